"""The port of datagrams: what it hands on, what it survives, and how it ends."""

from __future__ import annotations

import errno
import os
import socket
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError, InvalidAddressError, MessageLengthError
from twisted.internet.interfaces import IListeningPort, ISystemHandle, IUDPTransport
from twisted.internet.main import CONNECTION_DONE
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.endpoints.test_datagram import Talker
from txtransport.endpoints.datagram_port import DatagramPort


class TroubledSocket(socket.socket):
    """A socket for datagrams of IPv4 that meets errors.

    Attributes:
        sending: The numbers of the errors that the next attempts to send meet; 0 for none.
        receiving: The same of reading.
        sent: Every datagram that was given to the system.
    """

    def __init__(self) -> None:
        super().__init__(socket.AF_INET, socket.SOCK_DGRAM)
        self.setblocking(False)
        self.bind(("127.0.0.1", 0))
        self.sending: list[int] = []
        self.receiving: list[int] = []
        self.sent: list[bytes] = []

    def _meet(self, numbers: list[int]) -> None:
        number = numbers.pop(0) if numbers else 0
        if number:
            raise OSError(number, os.strerror(number))

    def send(self, data: Any, *flags: int) -> int:
        self._meet(self.sending)
        self.sent.append(data)
        return super().send(data, *flags)

    def sendto(self, data: Any, *to: Any) -> int:
        self._meet(self.sending)
        self.sent.append(data)
        return super().sendto(data, *to)

    def recv(self, size: int, *flags: int) -> bytes:
        self._meet(self.receiving)
        return super().recv(size, *flags)

    def recvfrom(self, size: int, *flags: int) -> tuple[bytes, Any]:
        self._meet(self.receiving)
        return super().recvfrom(size, *flags)


class FloodedSocket(TroubledSocket):
    """A socket in which there is always one more datagram.

    Args:
        size: That of each, in bytes.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size

    def recvfrom(self, size: int, *flags: int) -> tuple[bytes, Any]:
        return b"x" * self._size, ("127.0.0.1", 9)


class PortTestCase(SynchronousTestCase):
    """Ports with real sockets, read when the test says so."""

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()

    def bound(self, host: str = "127.0.0.1") -> socket.socket:
        """A bound socket, which the test's end closes."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        made = socket.socket(family, socket.SOCK_DGRAM)
        self.addCleanup(made.close)
        made.setblocking(False)
        made.bind((host, 0))
        return made

    def port(
        self, talker: Any = None, handle: socket.socket | None = None, peer: Any = None
    ) -> DatagramPort:
        """A started port; connected by the system as well, if there is a peer."""
        handle = handle or self.bound()
        self.addCleanup(handle.close)
        if peer is not None:
            handle.connect(peer)
        port = DatagramPort(cast(Any, self.reactor), handle, talker or Talker(), peer)
        port.startListening()
        return port

    def stranger(self, port: DatagramPort) -> socket.socket:
        """A socket that sends to the port."""
        made = self.bound()
        made.connect(port.getHandle().getsockname())
        return made

    def heard(self, port: DatagramPort) -> list[bytes]:
        """What the port's protocol has heard so far."""
        return [datagram for datagram, _ in cast(Talker, port.protocol).heard]


class ReadingTests(PortTestCase):
    """What has arrived is handed on, a turn at a time."""

    def test_one_turn_has_a_limit_of_datagrams_and_one_of_bytes(self) -> None:
        """However fast a sender is, other descriptors get their turn soon."""
        for size, limit in ((0, 128), (64, 125), (65507, 4)):
            port = self.port(handle=FloodedSocket(size))
            for turn in (1, 2):
                port.doRead()
                self.assertEqual(len(self.heard(port)), limit * turn)
                self.assertEqual(len(self.heard(port)[-1]), size)

    def test_a_paused_port_hands_on_nothing_more(self) -> None:
        """Not even what has arrived already, which waits in the socket."""

        class Pausing(Talker):
            def datagramReceived(self, datagram: bytes, addr: Any) -> None:
                super().datagramReceived(datagram, addr)
                cast(Any, self.transport).pauseProducing()

        port = self.port(Pausing())
        sender = self.stranger(port)
        sender.send(b"one")
        sender.send(b"two")
        port.doRead()
        self.assertEqual(self.heard(port), [b"one"])
        self.assertNotIn(port, self.reactor.getReaders())
        port.resumeProducing()
        self.assertIn(port, self.reactor.getReaders())
        port.doRead()
        self.assertEqual(self.heard(port), [b"one", b"two"])

    def test_a_stopped_port_hands_on_nothing_more(self) -> None:
        """From `stopListening` on nothing is heard, and reading is not resumed."""

        class Stopping(Talker):
            def datagramReceived(self, datagram: bytes, addr: Any) -> None:
                super().datagramReceived(datagram, addr)
                cast(Any, self.transport).stopListening()

        port = self.port(Stopping())
        sender = self.stranger(port)
        sender.send(b"one")
        sender.send(b"two")
        port.doRead()
        port.resumeProducing()
        port.doRead()
        self.assertEqual(self.heard(port), [b"one"])
        self.assertNotIn(port, self.reactor.getReaders())

    def test_an_exception_of_the_protocol_is_logged(self) -> None:
        """The port goes on with the next datagram."""

        class Broken(Talker):
            def datagramReceived(self, datagram: bytes, addr: Any) -> None:
                super().datagramReceived(datagram, addr)
                raise RuntimeError(datagram)

        port = self.port(Broken())
        sender = self.stranger(port)
        sender.send(b"one")
        sender.send(b"two")
        port.doRead()
        self.assertEqual(self.heard(port), [b"one", b"two"])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 2)

    def test_the_sender_is_an_address_and_a_port(self) -> None:
        """As with Twisted, for IPv6 too; a connected port says the same of its peer."""
        for host in ("127.0.0.1", "::1"):
            peer = self.bound(host)
            address = peer.getsockname()[:2]
            for connected in (None, address):
                port = self.port(handle=self.bound(host), peer=connected)
                peer.sendto(b"x", port.getHandle().getsockname())
                port.doRead()
                self.assertEqual(cast(Talker, port.protocol).heard, [(b"x", address)])

    def test_what_came_before_connecting_is_not_of_the_peer(self) -> None:
        """After `connect`, what a stranger sent before is dropped; what the peer sent is not."""
        peer = self.bound()
        port = self.port()
        self.stranger(port).send(b"from a stranger")
        peer.sendto(b"from the peer", port.getHandle().getsockname())
        port.connect(*peer.getsockname())
        port.doRead()
        self.assertEqual(self.heard(port), [b"from the peer"])


class RefusalTests(PortTestCase):
    """ICMP messages, which the system reports as errors of the socket."""

    def troubled(self) -> tuple[DatagramPort, TroubledSocket, socket.socket]:
        """A connected port, its socket, and the peer."""
        peer, handle = self.bound(), TroubledSocket()
        return self.port(handle=handle, peer=peer.getsockname()), handle, peer

    def test_every_refusal_that_is_read_is_told(self) -> None:
        """A closed port, and a firewall that says no; the port goes on."""
        for number in (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENOPROTOOPT):
            port, handle, peer = self.troubled()
            peer.sendto(b"still there", handle.getsockname())
            handle.receiving = [number]
            port.doRead()
            self.assertEqual(cast(Talker, port.protocol).events, ["started", "refused"])
            self.assertEqual(self.heard(port), [b"still there"])

    def test_a_refusal_is_not_told_without_a_peer(self) -> None:
        """A port that is not connected does not tell of it, and goes on."""
        handle = TroubledSocket()
        port = self.port(handle=handle)
        handle.receiving = handle.sending = [errno.ECONNREFUSED]
        port.write(b"x", handle.getsockname())
        handle.receiving = [errno.ECONNREFUSED]
        port.write(b"y", handle.getsockname())
        port.doRead()
        self.assertEqual(cast(Talker, port.protocol).events, ["started"])
        self.assertEqual(self.heard(port), [b"y"])

    def test_a_write_that_meets_a_refusal_sends_nevertheless(self) -> None:
        """The message is about an earlier datagram; this one is not lost to it."""
        port, handle, peer = self.troubled()
        handle.sending = [errno.ECONNREFUSED]
        port.write(b"again")
        self.assertEqual(peer.recv(100), b"again")
        self.assertEqual(cast(Talker, port.protocol).events, ["started", "refused"])
        # When the peer is really away, each attempt meets the message of the last.
        handle.sending = [errno.ECONNREFUSED, errno.ECONNREFUSED]
        port.write(b"in vain")
        self.assertEqual(handle.sent, [b"again"])
        # What is wrong on this side is no refusal, and is raised.
        handle.sending = [errno.EHOSTUNREACH, errno.ENETUNREACH]
        self.assertRaises(OSError, port.write, b"x")

    def test_a_refusal_that_breaks_the_protocol_is_logged(self) -> None:
        """The port goes on."""

        class Broken(Talker):
            def connectionRefused(self) -> None:
                raise RuntimeError("broken")

        handle = TroubledSocket()
        port = self.port(Broken(), handle, self.bound().getsockname())
        handle.receiving = [errno.ECONNREFUSED]
        port.doRead()
        handle.sending = [errno.ECONNREFUSED]
        port.write(b"x")
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 2)
        self.assertTrue(port.connected)

    def test_a_reactor_that_takes_a_refusal_for_the_end_is_wrong(self) -> None:
        """poll(2) and epoll(7) report an error, perhaps one that a write has met before."""
        # Nothing listens at the number of a socket that was closed.
        gone = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        gone.bind(("127.0.0.1", 0))
        number = gone.getsockname()[1]
        gone.close()
        port = self.port(peer=("127.0.0.1", number))
        port.write(b"is someone there?")
        for _ in range(2):  # The second time there is no error left.
            self.reactor.removeReader(port)
            port.readConnectionLost(Failure(CONNECTION_DONE))
            self.assertIn(port, self.reactor.getReaders())
        self.assertEqual(cast(Talker, port.protocol).events, ["started", "refused"])

    def test_an_unusable_socket_ends_the_port(self) -> None:
        """The reactor gets the error, and ends the port; so it does for a closed descriptor."""
        port, handle, _ = self.troubled()
        handle.receiving = [errno.EBADF]
        self.assertRaises(OSError, port.doRead)
        handle.close()
        port.readConnectionLost(Failure(CONNECTION_DONE))
        self.assertEqual(cast(Talker, port.protocol).events, ["started", "stopped"])

    def test_a_system_without_memory_is_asked_again(self) -> None:
        """Reading goes on."""
        port, handle, peer = self.troubled()
        peer.sendto(b"x", handle.getsockname())
        handle.receiving = [errno.ENOBUFS, errno.ENOMEM]
        port.doRead()
        self.assertEqual(self.heard(port), [b"x"])
        # And a socket that raises nothing else does not hold the reactor up.
        handle.receiving = [errno.ENOBUFS] * 1000
        port.doRead()
        self.assertGreater(len(handle.receiving), 500)


class WritingTests(PortTestCase):
    """Where datagrams go, and which do not."""

    def test_an_address_is_needed_and_no_name(self) -> None:
        """A name would have to be looked up, which would hold the reactor up."""
        four, six = self.port(), self.port(handle=self.bound("::1"))
        for port, address, text in (
            (four, None, "needs an address"),
            (four, ("localhost", 9), "not a name"),
            (four, ("", 9), "not a name"),
            (four, ("127.1", 9), "not a name"),
            (four, ("::1", 9), "an IPv4 port cannot send to this address"),
            (six, ("127.0.0.1", 9), "an IPv6 port cannot send to this address"),
            (six, ("<broadcast>", 9), "an IPv6 port cannot send to this address"),
        ):
            error = self.assertRaises(InvalidAddressError, port.write, b"x", address)
            self.assertIn(text, str(error))
        self.assertRaises(InvalidAddressError, four.connect, "localhost", 9)
        self.assertRaises(InvalidAddressError, four.connect, "::1", 9)
        # As Twisted has it: permission is the system's matter, not a question of the address.
        self.assertRaises(PermissionError, four.write, b"x", ("<broadcast>", 9))

    def test_a_connected_port_sends_to_its_peer_alone(self) -> None:
        """The peer may be named, as the user wrote it or as the system does."""
        peer = self.bound("::1")
        number = peer.getsockname()[1]
        port = self.port(handle=self.bound("::1"), peer=("0:0::1", number))
        for address in (None, ("::1", number), ("0:0::1", number)):
            port.write(b"x", address)
            self.assertEqual(peer.recv(10), b"x")
        port.writeSequence([b"y", b"z"])
        self.assertEqual(peer.recv(10), b"yz")
        error = self.assertRaises(InvalidAddressError, port.write, b"x", ("::1", number + 1))
        self.assertIn("the port is connected to ('::1', ", str(error))
        self.assertRaises(RuntimeError, port.connect, "::1", number)

    def test_an_answer_goes_to_the_sender(self) -> None:
        """For IPv4, IPv6, and IPv4 at a socket of IPv6."""
        for host, target in (("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("::", "127.0.0.1")):

            class Echo(Talker):
                def datagramReceived(self, datagram: bytes, addr: Any) -> None:
                    cast(Any, self.transport).write(datagram, addr)

            handle = self.bound(host)
            port = self.port(Echo(), handle)
            asking = self.bound(target)
            asking.sendto(b"x", (target, handle.getsockname()[1]))
            port.doRead()
            self.assertEqual(asking.recv(10), b"x")

    def test_what_is_too_long_is_refused(self) -> None:
        """As with Twisted."""
        port = self.port()
        self.assertRaises(MessageLengthError, port.write, b"x" * 70000, ("127.0.0.1", 9))
        port.connect("127.0.0.1", 9)
        self.assertRaises(MessageLengthError, port.write, b"x" * 70000)

    def test_a_datagram_without_room_is_lost(self) -> None:
        """As any may be on its way; everything else that the system says is raised."""
        for number in (errno.EAGAIN, errno.ENOBUFS):
            handle = TroubledSocket()
            port = self.port(handle=handle)
            handle.sending = [number, errno.EPERM]
            port.write(b"x", ("127.0.0.1", 9))
            self.assertRaises(PermissionError, port.write, b"x", ("127.0.0.1", 9))

    def test_a_write_after_the_end_is_lost(self) -> None:
        """Until the end, which is a turn after `stopListening`, it is sent."""
        port, peer = self.port(), self.bound()
        port.stopListening()
        port.write(b"farewell", peer.getsockname())
        self.assertEqual(peer.recv(100), b"farewell")
        self.reactor.advance(0)
        port.write(b"too late", peer.getsockname())
        self.assertRaises(BlockingIOError, peer.recv, 100)


class LifeTests(PortTestCase):
    """How a port begins and ends."""

    def test_a_port_provides_its_interfaces(self) -> None:
        """It is a transport, a port, and has a handle."""
        port = self.port()
        for interface in (IListeningPort, IUDPTransport, ISystemHandle):
            self.assertTrue(verifyObject(interface, port))

    def test_each_caller_that_stops_a_port_is_told(self) -> None:
        """Stopping twice is no error, and stops the protocol once."""
        port = self.port()
        first, second = port.stopListening(), port.stopListening()
        port.loseConnection()
        self.assertEqual(cast(Talker, port.protocol).events, ["started"])
        self.assertNotIn(port, self.reactor.getReaders())
        self.reactor.advance(0)
        for stopped in (first, second):
            self.successResultOf(cast("Deferred[None]", stopped))
        self.assertEqual(cast(Talker, port.protocol).events, ["started", "stopped"])
        self.assertEqual(port.fileno(), -1)
        self.assertIsNone(port.stopListening())
        port.connectionLost()
        self.assertEqual(cast(Talker, port.protocol).events, ["started", "stopped"])
        self.assertIn("not connected", repr(port))

    def test_a_protocol_that_breaks_at_its_end_keeps_no_socket_open(self) -> None:
        """Its exception is the reactor's to log; the port is closed and says so."""

        class Broken(Talker):
            def stopProtocol(self) -> None:
                raise RuntimeError("broken")

        port = self.port(Broken())
        stopped = cast("Deferred[None]", port.stopListening())
        self.assertRaises(RuntimeError, port.connectionLost)
        self.successResultOf(stopped)
        self.assertEqual(port.fileno(), -1)

    def test_a_protocol_that_does_not_start_can_be_used_again(self) -> None:
        """Its socket is closed at once, and it belongs to no port."""

        class Reluctant(Talker):
            def startProtocol(self) -> None:
                super().startProtocol()
                if len(self.events) == 1:
                    raise RuntimeError("not yet")

        talker, handle = Reluctant(), self.bound()
        self.assertRaises(RuntimeError, self.port, talker, handle)
        self.assertEqual(handle.fileno(), -1)
        self.assertEqual(self.reactor.getReaders(), [])
        port = self.port(talker)
        self.assertIs(talker.transport, port)

    def test_a_protocol_may_stop_its_port_when_it_is_started(self) -> None:
        """It is then stopped, not re-entrantly, and never reads."""

        class Brief(Talker):
            def startProtocol(self) -> None:
                super().startProtocol()
                cast(Any, self.transport).stopListening()

        port = self.port(Brief())
        self.assertEqual(cast(Talker, port.protocol).events, ["started"])
        self.assertEqual(self.reactor.getReaders(), [])
        self.reactor.advance(0)
        self.assertEqual(cast(Talker, port.protocol).events, ["started", "stopped"])

    def test_a_port_is_started_once(self) -> None:
        """Starting it again is refused, and does not disturb it."""
        port = self.port()
        self.assertRaises(CannotListenError, port.startListening)
        self.assertIn(port, self.reactor.getReaders())
        port.connectionLost()
        self.assertRaises(CannotListenError, port.startListening)

    def test_broadcasting_can_be_switched(self) -> None:
        """As with Twisted's port."""
        port = self.port()
        for is_allowed in (True, False):
            port.setBroadcastAllowed(is_allowed)
            self.assertIs(port.getBroadcastAllowed(), is_allowed)
