"""Transport to the plain endpoint that reaches it: TCP or a local socket."""

from __future__ import annotations

import ipaddress
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    HostnameEndpoint,
    TCP4ClientEndpoint,
    TCP6ClientEndpoint,
    UNIXClientEndpoint,
)
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from zope.interface import implementer

from txtransport.errors import InvalidOption, InvalidTransport
from txtransport.options import SocketOptions
from txtransport.url import Transport

# The deadline is the gate's; Twisted's own only stands behind it.
_BEHIND = 5.0


def plain(
    reactor: Any, transport: Transport, sockets: SocketOptions, timeout: float
) -> IStreamClientEndpoint:
    """The endpoint that connects, without TLS.

    Args:
        reactor: Connects and keeps time.
        transport: Where to.
        sockets: ``bindto`` is used here.
        timeout: Seconds that the caller will wait at the most.

    Raises:
        InvalidTransport: A host or port is missing, or is one for servers.
        InvalidOption: ``bindto`` is of another family than the address.
    """
    waits = timeout + _BEHIND
    if transport.path:
        return UNIXClientEndpoint(reactor, socket_path(transport.path), timeout=waits)
    host, port, bindto = transport.host, transport.port, sockets.bindto
    if host == "*":
        raise InvalidTransport(f"{transport.where}: * is for servers; name the host to connect to")
    if port is None:
        raise InvalidTransport(
            f"{transport.where}: the port is missing; write {transport.where}:PORT or give port="
        )
    if port == 0:
        raise InvalidTransport(f"{transport.where}: port 0 is for servers; a client needs 1 to 65535")
    if not transport.is_literal:
        return ByName(reactor, host, port, waits, bindto)
    is_ipv6 = ":" in host
    if bindto is not None and is_ipv6 != (ipaddress.ip_address(bindto[0]).version == 6):
        raise InvalidOption(
            "bindto", f"bindto={bindto[0]} and {host} are not of the same address family"
        )
    over = TCP6ClientEndpoint if is_ipv6 else TCP4ClientEndpoint
    return over(reactor, host, port, timeout=waits, bindAddress=bindto)


@implementer(IStreamClientEndpoint)
@frozen
class ByName:
    """Twisted's ``HostnameEndpoint``, made when it is needed.

    Making one takes the name through IDNA once more, which costs more than
    all the rest of an endpoint.

    Attributes:
        reactor: Connects and keeps time.
        host: The name.
        port: 1 to 65535.
        waits: Seconds for each attempt.
        bindto: The local address, or None.
    """

    reactor: Any
    host: str
    port: int
    waits: float
    bindto: tuple[str, int] | None

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Look the name up and connect to its addresses (RFC 8305)."""
        endpoint = HostnameEndpoint(
            self.reactor, self.host, self.port, timeout=self.waits, bindAddress=self.bindto
        )
        return endpoint.connect(protocolFactory)


def socket_path(path: str) -> str:
    """A local socket's path as the system wants it: abstract names begin with NUL."""
    return f"\0{path[1:]}" if path.startswith("@") else path
