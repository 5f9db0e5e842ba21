"""One connection attempt: every wait ends, and every end is explained."""

from __future__ import annotations

import fcntl
import socket
import sys
import termios
from typing import Any, Final, cast

from OpenSSL import SSL
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

import txtransport
from tests import certificates
from tests.key_updates import KeyUpdaters, attacking_client
from tests.loopback import ClockedReactor, LoopbackTestCase, Recorder, Recorders
from txtransport.config.policy import Side, TLSPolicy
from txtransport.config.settings import Deadlines
from txtransport.connection import attempt as module
from txtransport.connection.attempt import ConnectionAttempt, EndpointConfig, Stage, is_reset
from txtransport.connection.tcp_info import socket_of
from txtransport.errors import HandshakeFailed, TransportTimeout
from txtransport.tls.connection import TLSConnection
from txtransport.tls.creator import connection_creator
from txtransport.upgrade.base_transport import base_transport

WHERE: Final = "tls://mail.example.com:465"
DEADLINES: Final = Deadlines(timeout=30, handshake_timeout=10, close_timeout=5)


class Layer:
    """In place of the plain transport, or of the TLS layer above it.

    Attributes:
        aborted: How often it was aborted.
        resumed: How often it was told to read on.
    """

    def __init__(self) -> None:
        self.aborted = self.resumed = 0

    def abortConnection(self) -> None:
        self.aborted += 1

    def resumeProducing(self) -> None:
        self.resumed += 1


class ReportedAttempt(ConnectionAttempt):
    """An attempt that collects its failures."""

    def __init__(self, config: EndpointConfig, failures: list[Failure]) -> None:
        super().__init__(config, 30)
        self._failures = failures

    def failed(self, reason: Failure) -> None:
        self._failures.append(reason)


class AttemptTestCase(SynchronousTestCase):
    """An attempt of a connection that does nothing of its own."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.plain, self.tls = Layer(), Layer()
        self.failures: list[Failure] = []

    def attempt(self, side: Side = Side.CLIENT, *, is_upgrade: bool = False) -> ConnectionAttempt:
        """An attempt, with ten of thirty seconds left for the handshake, which has begun."""
        config = EndpointConfig(self.clock, WHERE, 465, side, None, DEADLINES, is_upgrade)
        attempt = ReportedAttempt(config, self.failures)
        attempt.run_deadline(10)
        attempt.handshaking(self.tls, self.plain)
        return attempt

    def failure(self) -> Any:
        """The one error that was reported."""
        self.assertEqual(len(self.failures), 1)
        return self.failures[0].value

    def connection(self, side: Side = Side.CLIENT) -> TLSConnection:
        """An OpenSSL connection without a peer."""
        policy = TLSPolicy(peer_name="localhost", local_cert=certificates.site())
        return connection_creator(policy, side).connection()


class HandshakeTests(AttemptTestCase):
    """Until the connection is secure."""

    def test_a_handshake_in_time_stops_the_deadline(self) -> None:
        """Once the handshake is complete, nothing is aborted."""
        attempt = self.attempt()
        self.assertIs(attempt.stage, Stage.HANDSHAKE)
        self.clock.advance(9.9)
        attempt.secured(None)
        self.clock.advance(100)
        self.assertIs(attempt.stage, Stage.OPEN)
        self.assertEqual((self.tls.aborted, self.plain.aborted), (0, 0))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_handshake_that_takes_too_long_is_aborted(self) -> None:
        """At the deadline it is aborted; the error tells the stage, and the time for the whole."""
        attempt = self.attempt()
        self.clock.advance(10)
        self.assertIsNotNone(attempt.verdict)
        self.assertEqual(self.failures, [])
        self.assertEqual((self.tls.aborted, self.plain.aborted), (1, 1))
        reason = attempt.ended(Failure(ConnectionAborted()))
        error = self.failure()
        self.assertIs(reason.value, error)
        self.assertIsInstance(error, TransportTimeout)
        self.assertEqual((error.stage, error.seconds), ("handshake", 30))
        self.assertIn(f"{WHERE}: the handshake took longer than 30 s", str(error))
        self.assertIn("does this port speak TLS at once", str(error))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_the_first_bytes_of_the_peer_name_the_right_url(self) -> None:
        """A few bytes of a plain-text server are enough to say which URL is right."""
        for received, protocol in ((b"220 ", "smtp"), (b"+OK", "pop3")):
            self.failures.clear()
            attempt = self.attempt()
            attempt.connection = self.connection()
            attempt.connection.first_bytes = received
            self.clock.advance(10)
            attempt.ended(Failure(ConnectionAborted()))
            self.assertEqual(self.failure().received, received)
            self.assertIn(f"starttls={protocol}", str(self.failure()))

    def test_a_timeout_after_an_upgrade_has_advice_of_its_own(self) -> None:
        """After the peer has agreed to TLS, the error does not ask whether the port speaks TLS."""
        attempt = self.attempt(is_upgrade=True)
        self.clock.advance(10)
        attempt.ended(Failure(ConnectionAborted()))
        self.assertIn("did the peer switch to TLS after the go-ahead?", str(self.failure()))

    def test_the_first_verdict_stands(self) -> None:
        """A connection is refused once, for one reason."""
        attempt = self.attempt()
        attempt.refuse(Failure(ValueError("first")))
        attempt.refuse(Failure(ValueError("second")))
        self.assertEqual(self.tls.aborted, 1)
        attempt.ended(Failure(ConnectionAborted()))
        self.assertEqual(str(self.failure()), "first")

    def test_a_refused_connection_does_not_linger(self) -> None:
        """If the connection is still there at the deadline, it is cut off."""
        attempt = self.attempt()
        attempt.refuse(Failure(ValueError("first")))
        self.clock.advance(10)
        self.assertEqual((self.tls.aborted, self.plain.aborted), (1, 1))

    def test_a_secure_connection_is_not_refused(self) -> None:
        """After the handshake a refusal does nothing."""
        attempt = self.attempt()
        attempt.secured(None)
        attempt.refuse(Failure(ValueError()))
        self.assertIsNone(attempt.verdict)
        self.assertEqual(self.tls.aborted, 0)

    def test_an_end_in_the_handshake_is_explained(self) -> None:
        """The reason of the TLS layer is replaced by one that says what to do."""
        for side, text in ((Side.CLIENT, "Is this port for TLS?"), (Side.SERVER, "Health checks")):
            self.failures.clear()
            reason = self.attempt(side).ended(Failure(ConnectionLost()))
            error = self.failure()
            self.assertIs(reason.value, error)
            self.assertIsInstance(error, HandshakeFailed)
            self.assertEqual(error.cause, "closed")
            self.assertIn(text, str(error))
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_reset_is_told_from_a_close(self) -> None:
        """To OpenSSL both are the same; what the transport said tells them apart."""
        for side in Side:
            for end, words in (
                (ConnectionDone(), "closed the connection"),
                (ConnectionLost(), "was reset (RST)"),
                (ConnectionAborted(), "closed the connection"),
            ):
                self.failures.clear()
                attempt = self.attempt(side)
                attempt.is_reset = is_reset(Failure(end))
                attempt.ended(Failure(ConnectionLost()))
                self.assertIn(words, str(self.failure()))

    def test_our_own_end_is_not_the_peer_s(self) -> None:
        """After our own close in the handshake the reason is ConnectionAborted."""
        attempt = self.attempt()
        attempt.closing()
        attempt.ended(Failure(ConnectionLost()))
        self.assertIsInstance(self.failure(), ConnectionAborted)

    def test_an_end_that_cannot_be_explained_is_told_as_it_is(self) -> None:
        """If explaining raises, the attempt fails with the original reason, and that is logged."""

        def explain(attempt: object) -> None:
            raise ZeroDivisionError

        self.patch(module, "handshake_failure", explain)
        reason = Failure(ConnectionLost())
        self.assertIs(self.attempt().ended(reason), reason)
        self.assertIsInstance(self.failure(), ConnectionLost)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_an_attempt_that_was_given_up_reports_nothing(self) -> None:
        """If TLS did not begin, no failure is reported, and no timer is left."""
        attempt = self.attempt()
        attempt.give_up()
        reason = Failure(ConnectionLost())
        self.assertIs(attempt.ended(reason), reason)
        self.assertEqual(self.failures, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])


class CloseTests(AttemptTestCase):
    """After the connection was secure."""

    def test_a_close_that_the_peer_ignores_is_aborted(self) -> None:
        """The peer has close_timeout to answer; then the connection is aborted."""
        attempt = self.attempt()
        attempt.secured(None)
        attempt.closing()
        self.clock.advance(4.9)
        self.assertEqual(self.tls.aborted, 0)
        self.clock.advance(0.2)
        self.assertEqual(self.tls.aborted, 1)
        self.clock.advance(100)
        self.assertEqual(self.tls.aborted, 1)

    def test_a_second_close_does_not_extend_the_deadline(self) -> None:
        """Closing again does not start the wait anew."""
        attempt = self.attempt()
        attempt.secured(None)
        attempt.closing()
        self.clock.advance(4)
        attempt.closing()
        self.clock.advance(1)
        self.assertEqual(self.tls.aborted, 1)

    def test_the_deadline_of_a_close_starts_after_the_handshake(self) -> None:
        """The wait begins when what was written before the close can be sent."""
        attempt = self.attempt()
        attempt.closing()
        self.clock.advance(6)
        attempt.secured(None)
        self.clock.advance(4.9)
        self.assertEqual(self.tls.aborted, 0)
        self.clock.advance(0.2)
        self.assertEqual(self.tls.aborted, 1)

    def test_answers_that_tls_requires_do_not_extend_the_close(self) -> None:
        """That a peer takes the answers to its own KeyUpdates does not keep the connection."""
        attempt = self.attempt()
        self.patch(module, "acknowledged", lambda handle: attempt.outgoing.total)
        attempt.secured(None)
        attempt.closing()
        for _ in range(60):
            attempt.outgoing.add(2_700, is_data=False)
            self.clock.advance(1)
        self.assertEqual(self.tls.aborted, 1)

    def test_an_answered_close_leaves_no_timer(self) -> None:
        """When the connection is over, nothing is left to wait for."""
        attempt = self.attempt()
        attempt.secured(None)
        attempt.closing()
        attempt.ended(Failure(ConnectionDone()))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        attempt.closing()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_the_end_of_a_foreign_connection_is_told_as_it_is(self) -> None:
        """With a protocol's own context, the TLS layer's reason is handed on."""
        attempt = self.attempt()
        attempt.secured(None)
        reason = Failure(ConnectionLost())
        self.assertIs(attempt.ended(reason), reason)
        self.assertIs(attempt.stage, Stage.OVER)
        self.assertEqual(self.failures, [])

    def test_an_exception_is_handed_on_as_it_is(self) -> None:
        """An exception in the middle of a connection is the reason of its end."""
        for error in (ValueError("a bug above"), SSL.Error([("SSL routines", "", "bad record")])):
            attempt = self.attempt()
            attempt.connection = self.connection()
            attempt.secured(None)
            reason = Failure(error)
            self.assertIs(attempt.ended(reason), reason)


class SlowPeerTests(LoopbackTestCase):
    """A close, and a peer that still reads."""

    async def test_a_peer_that_still_reads_is_waited_for(self) -> None:
        """While the peer takes data, it is sent more; when it stops, the connection is aborted."""
        clocked = ClockedReactor(self.reactor)
        factory = Recorders()
        arriving = factory.next()
        url = f"tls://127.0.0.1:0?local_cert={certificates.site()}&so_sndbuf=20000"
        port = self.adopt(await txtransport.server(clocked, url).listen(factory))
        client = await self.connected(
            f"tls://127.0.0.1:{port}?cafile={certificates.cafile()}&so_rcvbuf=20000"
        )
        server = await arriving
        transport: Any = client.transport
        transport.pauseProducing()
        server.say(b"x" * 4_000_000)
        tls: Any = server.transport
        tls.loseConnection()
        for _ in range(3):
            clocked.clock.advance(4.9)
            transport.resumeProducing()
            # More than its system's buffers hold.
            await client.grown(len(client.received) + 100_000)
            transport.pauseProducing()
            clocked.clock.advance(0.2)
            await self.turn()
            self.assertTrue(server.is_connected)
        clocked.clock.advance(5.1)
        # What was on its way when it was looked at last.
        clocked.clock.advance(5.1)
        self.assertIsInstance((await server.gone()).value, ConnectionAborted)
        self.assertEqual(clocked.clock.getDelayedCalls(), [])


class CloseNotifyTests(LoopbackTestCase):
    """A peer that sends a close_notify and then reads nothing more."""

    async def test_a_peer_that_closes_and_reads_nothing_is_cut_off(self) -> None:
        """What the peer does not take is dropped, close_timeout after its close_notify."""
        clocked = ClockedReactor(self.reactor)
        factory = Recorders()
        arriving = factory.next()
        url = f"tls://127.0.0.1:0?local_cert={certificates.site()}"
        port = self.adopt(await txtransport.server(clocked, url).listen(factory))
        client = await self.connected(f"tls://127.0.0.1:{port}?cafile={certificates.cafile()}")
        server = await arriving
        transport: Any = client.transport
        base_transport(transport).pauseProducing()
        server.say(bytes(20_000_000))
        transport.loseConnection()
        while not clocked.clock.getDelayedCalls():
            await self.turn()
        for _ in range(4):
            clocked.clock.advance(5.01)
            await self.turn()
        await server.gone()
        self.assertEqual(clocked.clock.getDelayedCalls(), [])


def unacknowledged(transport: object) -> int:
    """How many bytes of a TCP connection the peer's system has still to acknowledge."""
    size = fcntl.ioctl(cast(socket.socket, socket_of(transport)), termios.TIOCOUTQ, bytes(4))
    return int.from_bytes(size, sys.byteorder)


class KeyUpdateTests(LoopbackTestCase):
    """A peer that asks for new keys all the time, and never closes (RFC 8446, 4.6.3)."""

    async def test_a_client_that_only_asks_for_new_keys_is_cut_off(self) -> None:
        """A server ends the connection close_timeout after its close, whatever it has to answer."""
        clocked = ClockedReactor(self.reactor)
        factory = Recorders()
        arriving = factory.next()
        url = f"tls://127.0.0.1:0?local_cert={certificates.site()}"
        port = self.adopt(await txtransport.server(clocked, url).listen(factory))
        attacker = await attacking_client(self, port)
        server = await arriving
        cast(Any, server.transport).loseConnection()
        await attacker.ask_all_the_time(self, clocked.clock, 60)
        self.assertEqual(clocked.clock.seconds(), 5)
        self.assertIsInstance((await server.gone()).value, ConnectionAborted)

    async def test_answers_that_wait_in_openssl_are_no_data(self) -> None:
        """Answers that OpenSSL still holds when the application writes do not count as its data."""
        clocked = ClockedReactor(self.reactor)
        factory = Recorders()
        arriving = factory.next()
        url = f"tls://127.0.0.1:0?local_cert={certificates.site()}"
        port = self.adopt(await txtransport.server(clocked, url).listen(factory))
        attacker = await attacking_client(self, port)
        server = await arriving
        # More answers than Twisted's TLS layer reads from OpenSSL at once.
        attacker.ask(20_000)
        # The system acknowledges the last of them up to 40 ms after they were taken.
        while not attacker.is_answered or unacknowledged(base_transport(server.transport)):
            await self.turn()
        server.say(b"221 bye\r\n")
        cast(Any, server.transport).loseConnection()
        for _ in range(30):
            if not attacker.is_connected:
                break
            attacker.ask(1_300)
            for _ in range(6):
                await self.turn()
            clocked.clock.advance(1)
            for _ in range(6):
                await self.turn()
        self.assertEqual(clocked.clock.seconds(), 5)
        await server.gone()

    async def test_unread_data_is_waited_for_a_bounded_time(self) -> None:
        """Data that the client never reads does not keep the connection, either."""
        clocked = ClockedReactor(self.reactor)
        factory = Recorders()
        arriving = factory.next()
        url = f"tls://127.0.0.1:0?local_cert={certificates.site()}"
        port = self.adopt(await txtransport.server(clocked, url).listen(factory))
        attacker = await attacking_client(self, port)
        server = await arriving
        server.say(bytes(40_000))
        cast(Any, server.transport).loseConnection()
        await attacker.ask_all_the_time(self, clocked.clock, 60)
        # All arrived in the first five seconds; five more were for the answer.
        self.assertEqual(clocked.clock.seconds(), 10)
        await server.gone()

    async def test_a_server_that_only_asks_for_new_keys_is_cut_off(self) -> None:
        """A client ends the connection close_timeout after its close, whatever it has to answer."""
        clocked = ClockedReactor(self.reactor)
        attackers = KeyUpdaters()
        port = await self.listening("tcp://127.0.0.1:0", attackers)
        endpoint = txtransport.client(
            clocked, f"tls://localhost:{port}?cafile={certificates.cafile()}"
        )
        connecting = endpoint.connect(Factory.forProtocol(Recorder))
        while not attackers.all:
            await self.turn()
        attackers.all[0].start_tls()
        client = await connecting
        self.addCleanup(attackers.all[0].hang_up)
        cast(Any, client.transport).loseConnection()
        await attackers.all[0].ask_all_the_time(self, clocked.clock, 60)
        self.assertEqual(clocked.clock.seconds(), 5)
        self.assertIsInstance((await client.gone()).value, ConnectionAborted)


class PausedReadingTests(LoopbackTestCase):
    """A protocol that pauses reading, and then closes."""

    async def test_a_paused_protocol_that_closes_gets_the_close_notify(self) -> None:
        """Twisted's FTP server pauses reading before it closes; its close is clean, and at once."""
        clocked = ClockedReactor(self.reactor)
        factory = Recorders()
        arriving = factory.next()
        url = f"tls://127.0.0.1:0?local_cert={certificates.site()}"
        port = self.adopt(await txtransport.server(clocked, url).listen(factory))
        client = await self.connected(f"tls://127.0.0.1:{port}?cafile={certificates.cafile()}")
        server = await arriving
        client.say(b"QUIT")
        await server.heard(b"QUIT")
        transport: Any = server.transport
        transport.pauseProducing()
        transport.loseConnection()
        self.assertIsInstance((await server.gone()).value, ConnectionDone)
        self.assertEqual(clocked.clock.getDelayedCalls(), [])
