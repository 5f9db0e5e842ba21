"""Two UDP ports, of IPv6 and of IPv4, as one transport of one protocol."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import NoReturn, cast

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.error import InvalidAddressError
from twisted.internet.interfaces import IListeningPort, IUDPTransport
from twisted.internet.protocol import DatagramProtocol
from zope.interface import implementer

from txtransport.config.address import is_ipv6
from txtransport.connection.pending import log_name
from txtransport.endpoints.datagram_port import DatagramPort, PortReactor

__all__ = ["DatagramPortGroup"]


class _Relay(DatagramProtocol):
    """The protocol of one of the ports: passes what it receives on."""

    def __init__(self, protocol: DatagramProtocol) -> None:
        self._protocol = protocol
        # What is called for each datagram is the protocol's own method.
        self.datagramReceived = protocol.datagramReceived  # type: ignore[method-assign]

    def logPrefix(self) -> str:
        return log_name(self._protocol)


@implementer(IListeningPort, IUDPTransport)
class DatagramPortGroup:
    """Receives by several sockets, each of another address family, and answers by the right one.

    Args:
        reactor: Tells when a socket can be read.
        handles: Bound sockets, non-blocking; they are the group's when it has started.
        protocol: Is started by `startListening`, and stopped when the last port has.
    """

    def __init__(
        self, reactor: PortReactor, handles: Iterable[socket.socket], protocol: DatagramProtocol
    ) -> None:
        self._protocol = protocol
        self._ports = {
            handle.family: DatagramPort(reactor, handle, _Relay(protocol)) for handle in handles
        }
        self._stopping: Deferred[None] | None = None

    def startListening(self) -> None:
        """Start the protocol, and read from then on. Once only.

        Raises:
            Exception: What ``startProtocol`` raised.
        """
        try:
            self._protocol.makeConnection(cast(IUDPTransport, self))
        except BaseException:
            # Without doStop(): the protocol was not started.
            self._protocol.transport = None
            raise
        for port in self._ports.values():
            port.startListening()

    def stopListening(self) -> Deferred[None]:
        """Stop reading at once; then stop the protocol, and close the sockets.

        Returns:
            Fires when that is done. Each call returns the same Deferred.
        """
        if self._stopping is None:
            ports = self._ports.values()
            stopping = gatherResults([maybeDeferred(port.stopListening) for port in ports])
            self._stopping = stopping.addCallback(lambda _: self._protocol.doStop())
        return self._stopping

    def write(self, packet: bytes, addr: tuple[str, int] | None = None) -> None:
        """Send a datagram by the socket of the address's family.

        Args:
            packet: As for `DatagramPort.write`.
            addr: IP address and port to send to.

        Raises:
            MessageLengthError: The datagram is too long.
            InvalidAddressError: The address is missing, a name, or of a family of which
                there is no socket.
            OSError: The system refuses to send.
        """
        if addr is None:
            raise InvalidAddressError("", "write() needs an address on this port")
        family = socket.AF_INET6 if is_ipv6(addr[0]) else socket.AF_INET
        port = self._ports.get(family)
        if port is None:
            raise InvalidAddressError(addr[0], "no socket of this port is of its address family")
        port.write(packet, addr)

    def writeSequence(self, seq: Iterable[bytes], addr: tuple[str, int] | None = None) -> None:
        """Send one datagram that is made of several pieces."""
        self.write(b"".join(seq), addr)

    def connect(self, host: str, port: int) -> NoReturn:
        """Refuse: there are several sockets.

        Raises:
            RuntimeError: Always.
        """
        raise RuntimeError("a port of several sockets cannot be connected")

    def getHost(self) -> IPv4Address | IPv6Address:
        """The address and port of the first socket."""
        return next(iter(self._ports.values())).getHost()

    def setBroadcastAllowed(self, enabled: bool) -> None:
        """Say whether datagrams may go to broadcast addresses."""
        for port in self._ports.values():
            port.setBroadcastAllowed(enabled)

    def getBroadcastAllowed(self) -> bool:
        """Whether datagrams may go to broadcast addresses."""
        return all(port.getBroadcastAllowed() for port in self._ports.values())
