"""Connections that a balancer passes on: whose they are, by their PROXY header.

`ProxiedConnection` takes the place of Twisted's class of accepted connections. As soon as
the header has been read, its addresses are those that the header tells, for the
application's protocol as for TLS above it, and no frame is needed for that.
"""

from __future__ import annotations

import typing
from collections.abc import Mapping
from typing import Final, cast

from twisted.internet import tcp, unix
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress, IReactorTime, ITCPTransport
from twisted.protocols.policies import ProtocolWrapper

from txtransport.connection.driver import TLSDriver
from txtransport.proxy.proxy_protocol.header import ProxiedAddress, ProxyHeader

__all__ = ["ProxiedConnection", "ProxiedLocalConnection", "proxy_header_of"]


class ProxiedConnection(tcp.Server):
    """An accepted TCP connection, with the addresses of its PROXY header.

    Attributes:
        proxy_header: The header; None until it has been read.
    """

    proxy_header: ProxyHeader | None = None
    _peer: IAddress | None = None
    _host: IAddress | None = None
    _is_reading = False
    _first_data = b""

    def take_header(self, header: ProxyHeader) -> None:
        """Have from now on the addresses that a header tells, if it tells any.

        Args:
            header: The header.
        """
        self.proxy_header = header
        self._peer = _address(header.source, is_datagram=header.is_datagram)
        self._host = _address(header.destination, is_datagram=header.is_datagram)
        host = getattr(self._peer, "host", None)
        if host is not None:
            # Its name in the log, such as ``Protocol,3,192.0.2.7``.
            self.logstr: str = f"{self.logstr.rpartition(',')[0]},{host}"

    def getPeer(self) -> IPv4Address | IPv6Address:
        """The client's address; the balancer's where the header tells none."""
        return cast(IPv4Address, self._peer or cast(ITCPTransport, super()).getPeer())

    def getHost(self) -> IPv4Address | IPv6Address:
        """The address that the client has connected to; ours where the header tells none."""
        return cast(IPv4Address, self._host or cast(ITCPTransport, super()).getHost())

    def deliver_first(self, data: bytes) -> None:
        """Deliver bytes that came together with the header, as soon as the protocol reads.

        A protocol may have paused or closed the connection in its ``connectionMade``. Then
        it must not hear them yet, or ever, as if they were still in the socket.

        Args:
            data: The bytes; they come before any that the socket still has.
        """
        if self._is_reading:
            self.protocol.dataReceived(data)
        else:
            self._first_data = data

    def startReading(self) -> None:
        """Read; but first deliver what has been read already."""
        self._is_reading = True
        if self._first_data:
            cast(IReactorTime, self.reactor).callLater(0, self._deliver)
        else:
            cast(_Readable, super()).startReading()

    def stopReading(self) -> None:
        """Read no more."""
        self._is_reading = False
        cast(_Readable, super()).stopReading()

    def _deliver(self) -> None:
        if not self._is_reading or not self._first_data:
            return
        data, self._first_data = self._first_data, b""
        cast(_Readable, super()).startReading()
        self.protocol.dataReceived(data)


class _Readable(typing.Protocol):
    def startReading(self) -> None: ...
    def stopReading(self) -> None: ...


class ProxiedLocalConnection(ProxiedConnection, unix.Server):
    """An accepted connection of a local socket, with the addresses of its PROXY header."""


def proxy_header_of(transport: object) -> ProxyHeader | None:
    """The PROXY header with which a connection began.

    Args:
        transport: A protocol's ``transport``, perhaps with TLS or wrappers of Twisted's
            above the connection.

    Returns:
        The header; None where there was none.
    """
    while isinstance(transport, (ProtocolWrapper, TLSDriver)):
        transport = transport.transport
    return transport.proxy_header if isinstance(transport, ProxiedConnection) else None


def _address(told: ProxiedAddress | None, *, is_datagram: bool) -> IAddress | None:
    if told is None:
        return None
    if isinstance(told, bytes):
        return UNIXAddress(told or None)
    host, port = told
    return (IPv6Address if ":" in host else IPv4Address)(_KINDS[is_datagram], host, port)


_KINDS: Final[Mapping[bool, typing.Literal["TCP", "UDP"]]] = {False: "TCP", True: "UDP"}
