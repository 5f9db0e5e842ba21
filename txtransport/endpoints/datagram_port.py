"""A UDP port for Twisted's reactors: one socket, read and written for one protocol.

Twisted's ``listenUDP`` and ``adoptDatagramPort`` make a ``udp.Port``. `DatagramPort`
stands in its place, for two reasons.

**An ICMP message must not end the port.** "Port unreachable" is an error that waits at
the connected socket (udp(7)), and reactors tell of it in two ways. With select(2) and
asyncio the socket can be read, and reading raises the error. poll(2) and epoll(7) have
an event of its own for it, which Twisted's reactors take for the end of a connection:
they stop reading and call ``readConnectionLost``. ``udp.Port`` then closes. Here the
protocol's ``connectionRefused`` is called in either case, and the port goes on.

**A datagram should cost little.** ``udp.Port`` parses the address of each datagram that
it sends up to four times, and asks the kernel who sent each that it receives, although
a connected socket receives from its peer alone. Three ideas were measured and left out:

- A shorter read. "At most 65,536 bytes" is as fast as 8,192 when 64 arrive, and keeps no
  more memory, since the allocator takes the rest back at once.
- A buffer of our own to read into (``recvfrom_into``): the copy out of it is 0.1 µs more.
- Answers collected for one system call at the end of the turn (``UDP_SEGMENT``). With 32
  datagrams under way an echo cost a fifth less, and with 8 twice as much: each side then
  waits for the other, and the reactor wakes up for every few datagrams.

Of Twisted, the public ``FileDescriptor`` and ``IReactorFDSet`` are used. Every reactor
that Twisted has for a system with POSIX sockets provides the latter.
"""

from __future__ import annotations

import errno
import functools
import socket
from collections.abc import Iterable
from contextlib import suppress
from typing import Final, cast

from twisted.internet.abstract import FileDescriptor, isIPAddress, isIPv6Address
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError, InvalidAddressError, MessageLengthError
from twisted.internet.interfaces import (
    IListeningPort,
    ILoggingContext,
    IReactorFDSet,
    IReactorTime,
    ISystemHandle,
    IUDPTransport,
)
from twisted.internet.protocol import DatagramProtocol
from twisted.logger import Logger
from twisted.python import log
from twisted.python.failure import Failure
from zope.interface import implementer

__all__ = ["DatagramPort", "PortReactor"]

_log: Final = Logger()


class PortReactor(IReactorFDSet, IReactorTime):
    """What a port uses of a reactor; as `Reactor`, a type to cast to."""


@implementer(IListeningPort, IUDPTransport, ISystemHandle)
class DatagramPort(FileDescriptor):
    """A bound UDP socket: the transport of a protocol, and what stops its listening.

    Args:
        reactor: Tells when the socket can be read.
        handle: Bound and non-blocking. From `startListening` on it is the port's,
            which closes it at its end.
        protocol: Is started by `startListening`. What it raises later is logged, and
            the port goes on.
        peer: The address that the socket is connected to, as the user wrote it, if
            nothing from before is left in the socket to read. None: not connected.

    Attributes:
        protocol: Is told of the datagrams.
        socket: The socket.
        addressFamily: ``AF_INET`` or ``AF_INET6``.
    """

    reactor: PortReactor

    def __init__(
        self,
        reactor: PortReactor,
        handle: socket.socket,
        protocol: DatagramProtocol,
        peer: tuple[str, int] | None = None,
    ) -> None:
        super().__init__(reactor)
        self.protocol = protocol
        self.socket = handle
        # The socket's own attribute makes the enum's member anew, each time.
        self.addressFamily: socket.AddressFamily = handle.family
        self._number: int = handle.getsockname()[1]
        self._log_prefix = _log_prefix_of(protocol)
        self._is_reading = False
        # The latest sender, which needs no check when the protocol answers it.
        self._sender = ("", 0)
        self._send, self._sendto = handle.send, handle.sendto
        self._waiting_for_the_end: list[Deferred[None]] = []
        # The peer as the kernel writes it, and every way to write it in `write`.
        self._peer: tuple[str, int] | None = None
        self._peer_names: frozenset[tuple[str, int]] = frozenset()
        # Whether whatever can be read is of the peer.
        self._is_private = peer is not None
        if peer is not None:
            self._set_peer(peer)

    def __repr__(self) -> str:
        where = f"on {self._number}" if self.connected else "not connected"
        return f"<{type(self.protocol)} {where}>"

    # The beginning and the end (IListeningPort).

    def startListening(self) -> None:
        """Start the protocol, and read from then on. Once only.

        Raises:
            CannotListenError: The port was started before.
            Exception: What ``startProtocol`` raised; the socket is closed.
        """
        if self.connected or self.disconnected:
            problem = OSError(errno.EALREADY, "a port can be started once")
            raise CannotListenError("", self._number, problem)
        # By this function as in udp.Port, for programs that look for the words.
        log.msg(f"{self._log_prefix} starting on {self._number}")
        self.connected = 1
        try:
            self.protocol.makeConnection(cast(IUDPTransport, self))
        except BaseException:
            # Without doStop(): the protocol was not started.
            if self.protocol.transport is self:
                self.protocol.transport = None
            FileDescriptor.connectionLost(self, None)
            self._close()
            raise
        self.startReading()

    def stopListening(self) -> Deferred[None] | None:
        """Stop reading at once; stop the protocol and close the socket a turn later.

        Returns:
            Fires when that is done; None if the port is not open.
        """
        if not self.connected:
            return None
        waiting: Deferred[None] = Deferred()
        self._waiting_for_the_end.append(waiting)
        if not self.disconnecting:
            self.disconnecting = 1
            self.stopReading()
            # Later, since it may be a method of the protocol that calls this.
            self.reactor.callLater(0, self.connectionLost)
        return waiting

    def loseConnection(self) -> None:
        """As `stopListening`, which is Twisted's name for it with datagrams."""
        self.stopListening()

    def connectionLost(self, reason: Failure | None = None) -> None:
        """Stop the protocol and close the socket, now. Called by the reactor.

        Args:
            reason: Not used; a protocol for datagrams is not told why it stops.
        """
        if not self.connected:
            return
        log.msg(f"(UDP Port {self._number} Closed)")
        FileDescriptor.connectionLost(self, reason)
        try:
            self.protocol.doStop()
        finally:
            self._close()

    def _close(self) -> None:
        self.socket.close()
        waiting, self._waiting_for_the_end = self._waiting_for_the_end, []
        for one in waiting:
            one.callback(None)

    # Reading (IReadDescriptor, IPushProducer).

    def fileno(self) -> int:
        """The number of the socket's descriptor; -1 when it is closed."""
        return self.socket.fileno()

    def logPrefix(self) -> str:
        """What a line in the log begins with while this port reads."""
        return f"{self._log_prefix} (UDP)"

    def startReading(self) -> None:
        """Read, unless the port is not open or about to close."""
        if self.connected and not self.disconnecting:
            self._is_reading = True
            self.reactor.addReader(self)

    def stopReading(self) -> None:
        """Read nothing more, not even what has arrived already."""
        self._is_reading = False
        self.reactor.removeReader(self)

    def doRead(self) -> None:
        """Read what has arrived; no more than a budget, so that others get their turn.

        Called by the reactor when there is something to read.

        Raises:
            OSError: The socket is of no use. The reactor logs it and ends the port.
        """
        handle, is_private = self.socket, self._is_private
        is_ipv6 = self.addressFamily == socket.AF_INET6
        sender: tuple[str, int] = self._peer or ("", 0)
        left = _BUDGET
        while left > 0 and self._is_reading:
            try:
                if is_private:
                    datagram = handle.recv(_MAX_DATAGRAM)
                else:
                    datagram, sender = handle.recvfrom(_MAX_DATAGRAM)
                    if is_ipv6:
                        sender = sender[:2]  # Without flow label and zone, as in Twisted.
                    if self._peer is not None and sender != self._peer:
                        left -= _COST
                        continue  # It came before the socket was connected.
                    self._sender = sender
            except BlockingIOError:  # Nothing is left.
                return
            except OSError as problem:
                left -= _COST
                self._not_read(problem)
                continue
            left -= _COST + len(datagram)
            try:
                self.protocol.datagramReceived(datagram, sender)
            except BaseException:
                _log.failure("{port} could not take a datagram", port=self)

    def readConnectionLost(self, reason: Failure) -> None:
        """Go on after an ICMP message. Called by reactors with poll(2) or epoll(7).

        Args:
            reason: The end of a connection, for which the reactor takes the message.
        """
        try:
            number = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        except OSError:  # Not even that works: something has closed the descriptor.
            self.connectionLost(reason)
            return
        self.startReading()
        if number:  # Otherwise a write has met the error first, and told of it.
            self._tell_refused()

    def _not_read(self, problem: OSError) -> None:
        if problem.errno in _NO_ROOM:
            return
        if problem.errno not in _ICMP_ERRORS:
            raise problem
        if self._peer is not None:
            self._tell_refused()

    def _tell_refused(self) -> None:
        try:
            self.protocol.connectionRefused()
        except BaseException:
            _log.failure("{port} could not take a refusal", port=self)

    # Writing (IUDPTransport).

    def write(self, packet: bytes, addr: tuple[str, int] | None = None) -> None:
        """Send a datagram.

        It is lost, as any datagram may be, when the system has no space for it or the
        port is closed.

        Args:
            packet: At most 65,507 bytes with IPv4, and 65,527 with IPv6.
            addr: IP address and port, to which it is sent; if the port is connected,
                None or its peer.

        Raises:
            MessageLengthError: The datagram is too long.
            InvalidAddressError: The address is missing, a name, of the other family
                or not the peer's.
            OSError: The system refuses to send, for example because of a firewall.
        """
        try:
            if self._peer is None:
                if addr is None:
                    raise InvalidAddressError("", "write() needs an address on this port")
                if addr is not self._sender:
                    self._check_family(addr[0])
                self._sendto(packet, addr)
            else:
                if addr is not None and addr not in self._peer_names:
                    raise InvalidAddressError(addr[0], f"the port is connected to {self._peer}")
                self._send(packet)
        except OSError as problem:
            self._not_sent(problem, packet)

    def writeSequence(self, seq: Iterable[bytes], addr: tuple[str, int] | None = None) -> None:
        """Send one datagram that is made of several pieces.

        Args:
            seq: The pieces.
            addr: As for `write`.
        """
        self.write(b"".join(seq), addr)

    def connect(self, host: str, port: int) -> None:
        """Send to one address only from now on, and hand on its datagrams only.

        Args:
            host: An IP address.
            port: 1 to 65535.

        Raises:
            InvalidAddressError: The host is none, or one of the other family.
            RuntimeError: The port is connected already.
            OSError: The system refuses it.
        """
        if self._peer is not None:
            raise RuntimeError("already connected, reconnecting is not currently supported")
        self._check_family(host)
        self.socket.connect((host, port))
        self._set_peer((host, port))

    def _set_peer(self, given: tuple[str, int]) -> None:
        self._peer = self.socket.getpeername()[:2]
        self._peer_names = frozenset({given, self._peer})

    def _check_family(self, host: str) -> None:
        if _family_of(host) != self.addressFamily:
            ours = "IPv6" if self.addressFamily == socket.AF_INET6 else "IPv4"
            raise InvalidAddressError(host, f"an {ours} port cannot send to this address")

    def _not_sent(self, problem: OSError, packet: bytes) -> None:
        """Handle an error of sending, which need not be of the datagram that met it."""
        if not self.connected or problem.errno in _NO_ROOM:
            return
        if problem.errno == errno.EMSGSIZE:
            raise MessageLengthError("message too long") from problem
        if problem.errno not in _ICMP_ERRORS:
            raise problem
        if self._peer is not None:
            self._send_again(packet)

    def _send_again(self, packet: bytes) -> None:
        """Send what was not sent because an ICMP message about an earlier one waited."""
        with suppress(ConnectionRefusedError):  # The next message has come already.
            self.socket.send(packet)
        self._tell_refused()

    # The socket.

    def getHandle(self) -> socket.socket:
        """The socket."""
        return self.socket

    def getHost(self) -> IPv4Address | IPv6Address:
        """The local address and port."""
        host, number = self.socket.getsockname()[:2]
        if self.addressFamily == socket.AF_INET6:
            return IPv6Address("UDP", host, number)
        return IPv4Address("UDP", host, number)

    def setBroadcastAllowed(self, enabled: bool) -> None:
        """Say whether datagrams may go to broadcast addresses.

        Args:
            enabled: Whether they may.
        """
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, enabled)

    def getBroadcastAllowed(self) -> bool:
        """Whether datagrams may go to broadcast addresses."""
        return bool(self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST))


_MAX_DATAGRAM: Final = 65536
"""Bytes to read at once, so that a datagram of any size arrives whole."""

# A turn of 128 small datagrams, or of 4 of the longest.
_BUDGET: Final = 256 * 1024
"""Bytes to read in one turn of the reactor, as ``udp.Port`` does."""

_COST: Final = 2048
"""What a datagram takes of the budget beside its bytes: an empty one costs time as well."""

# How Linux reports ICMP messages (net/ipv4/icmp.c, icmp_err_convert), where the system
# has the number. ENOPROTOOPT: the peer has no UDP. EHOSTUNREACH: a firewall says no.
_ICMP_ERRORS: Final = frozenset(
    getattr(errno, name)
    for name in (
        "ECONNREFUSED", "ECONNRESET", "EHOSTDOWN", "EHOSTUNREACH", "ENETUNREACH",
        "ENETRESET", "ENONET", "ENOPROTOOPT", "EOPNOTSUPP",
    )
    if hasattr(errno, name)
)  # fmt: skip

_NO_ROOM: Final = frozenset({errno.EAGAIN, errno.EWOULDBLOCK, errno.ENOBUFS, errno.ENOMEM})


def _log_prefix_of(protocol: DatagramProtocol) -> str:
    is_own = ILoggingContext.providedBy(protocol)
    return str(protocol.logPrefix()) if is_own else type(protocol).__name__


@functools.lru_cache(maxsize=1024)
def _family_of(host: str) -> socket.AddressFamily:
    """The family of an address, remembered; a name is an error, and is not."""
    if isIPAddress(host) or host == "<broadcast>":
        return socket.AF_INET
    if isIPv6Address(host):
        return socket.AF_INET6
    raise InvalidAddressError(host, "an IP address is needed, not a name")
