"""Transport to a datagram endpoint: UDP, connected or listening."""

from __future__ import annotations

import socket
from typing import Any, cast

from attrs import frozen
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IReactorSocket, IUDPTransport
from twisted.internet.protocol import DatagramProtocol
from twisted.python.failure import Failure
from zope.interface import Interface, implementer

from txtransport.errors import InvalidTransport, TransportTimeout
from txtransport.lookup import addresses
from txtransport.options import Settings
from txtransport.sockets import bound
from txtransport.url import Transport


class IDatagramEndpoint(Interface):
    """Where datagrams go to, or come to."""

    def connect(protocol: DatagramProtocol) -> Deferred[IUDPTransport]:
        """Send to the endpoint's place, and hear from no one else.

        Returns:
            The transport, when the name has been looked up, the socket
            connected and the protocol started; it writes without an address.
        """

    def listen(protocol: DatagramProtocol) -> Deferred[IListeningPort]:
        """Receive what comes to the endpoint's place.

        Returns:
            The port, when the protocol has been started.
        """


@implementer(IDatagramEndpoint)
@frozen
class UDPEndpoint:
    """A place of UDP's.

    Attributes:
        reactor: Looks names up, and reads the socket.
        transport: Where; ``*`` and port 0 are for listening.
        settings: The options, read.
    """

    reactor: Any
    transport: Transport
    settings: Settings

    def connect(self, protocol: DatagramProtocol) -> Deferred[IUDPTransport]:
        """Send to this place, and hear from no one else.

        Args:
            protocol: Is started when the socket is connected; a refusal that
                comes back reaches its ``connectionRefused``.

        Returns:
            The transport. Fails with Twisted's ``DNSLookupError`` or
            ``CannotListenError``, with `TransportTimeout`, or with
            `InvalidTransport` when this is no place to send to.
        """
        where = self.transport.where
        if self.transport.host == "*" or not self.transport.port:
            error = InvalidTransport(f"{where}: a host and a port from 1 to 65535 are needed")
            return _failed(error)
        return self._address().addCallback(self._connect, protocol)

    def listen(self, protocol: DatagramProtocol) -> Deferred[IListeningPort]:
        """Receive what comes to this place; of a name, its first address.

        Returns:
            The port. Fails as `connect` does.
        """
        number = self.transport.port
        if number is None:
            error = InvalidTransport(f"{self.transport.where}: the port is missing; 0 is any")
            return _failed(error)
        return self._address().addCallback(lambda host: self._adopt(host, number, protocol))

    def _address(self) -> Deferred[str]:
        host, port = self.transport.host, self.transport.port or 0
        if host == "*" or self.transport.is_literal:
            return succeed(host)
        seconds = self.settings.deadlines.timeout
        found = addresses(self.reactor, host, port, "UDP")
        found.addTimeout(seconds, self.reactor)
        found.addErrback(self._late, seconds)
        return found.addCallback(lambda places: places[0].host)

    def _late(self, reason: Failure, seconds: float) -> Any:
        reason.trap(DeferredTimeout)
        raise TransportTimeout(self.transport.where, "look-up", seconds)

    def _connect(self, host: str, protocol: DatagramProtocol) -> IUDPTransport:
        wanted = self.settings.sockets.bindto
        local, number = wanted or ("::" if ":" in host else "0.0.0.0", 0)
        # The guest is started when what it would be told is true: the socket
        # is connected. Until then a stranger holds its place.
        port = self._adopt(local, number, DatagramProtocol())
        port.connect(host, self.transport.port)
        port.protocol = protocol
        protocol.makeConnection(port)
        return cast(IUDPTransport, port)

    def _adopt(self, host: str, number: int, protocol: DatagramProtocol) -> Any:
        try:
            made = bound(host, number, socket.SOCK_DGRAM, self.settings.sockets)
        except OSError as problem:
            raise CannotListenError(host, number, problem) from problem
        with made:
            # The reactor takes a copy; ours is closed on the way out.
            return cast(IReactorSocket, self.reactor).adoptDatagramPort(
                made.fileno(), made.family, protocol, _LARGEST
            )


# A datagram of any size arrives whole.
_LARGEST = 65536


def _failed(error: Exception) -> Deferred[Any]:
    def fail() -> None:
        raise error

    return maybeDeferred(fail)
