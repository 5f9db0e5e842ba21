"""The handshake: no protocol before it is complete, and every failure explained."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any, Final

from attrs import evolve, field, frozen
from cryptography import x509
from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHandshakeListener, IProtocol
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import LogLevel
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python import log
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

import txtransport
from tests import certificates
from tests.loopback import LoopbackTestCase, Overheard, Recorders
from tests.memory import End, carry
from tests.memory_tcp import MemoryTCP, PolledClock
from txtransport.config.policy import Side
from txtransport.config.settings import Deadlines, tls_policy
from txtransport.connection.attempt import ConnectionAttempt, EndpointConfig, Stage
from txtransport.connection.driver import TLSDriver, starttls_outcome
from txtransport.errors import HandshakeFailed, TransportTimeout
from txtransport.testing.devcert import Authority, self_signed
from txtransport.tls.creator import ConnectionCreator, connection_creator
from txtransport.tls.session import session_of


class AppProtocol(Protocol):
    """An application's protocol that records its events, and whether TLS was on."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.reason: Any = None

    def connectionMade(self) -> None:
        self.heard.append("made in the clear" if session_of(self.transport) is None else "made")

    def dataReceived(self, data: bytes) -> None:
        self.heard.append(data.decode())

    def connectionLost(self, reason: Any = None) -> None:
        self.heard.append("lost")
        self.reason = reason.value


@implementer(IHandshakeListener)
class Listener(AppProtocol):
    """Records the end of the handshake as well."""

    def handshakeCompleted(self) -> None:
        self.heard.append("handshake")


class FailingProtocol(Listener):
    """Raises an exception at the steps that it is given."""

    def __init__(self, *steps: str) -> None:
        super().__init__()
        self._steps = steps

    def _fail(self, step: str) -> None:
        if step in self._steps:
            raise RuntimeError(step)

    def connectionMade(self) -> None:
        super().connectionMade()
        self._fail("made")

    def handshakeCompleted(self) -> None:
        super().handshakeCompleted()
        self._fail("handshake")

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        self._fail(data.decode())


class Building(Factory):
    """Builds what the test wants, and counts.

    Attributes:
        built: How many protocols were asked for.
    """

    noisy = False

    def __init__(self, build: Callable[[], Any]) -> None:
        self.built = 0
        self._build = build

    def buildProtocol(self, addr: object) -> Any:
        self.built += 1
        return self._build()


class ReportedAttempt(ConnectionAttempt):
    """An attempt that reports to a `Party`, and has ten seconds."""

    def __init__(
        self,
        party: Party,
        config: EndpointConfig,
        factory: Any,
        address: Any,
        set_options: Callable[[Any], object],
    ) -> None:
        super().__init__(config, 10, factory, address)
        self._party = party
        self._set_options = set_options

    def connected(self, transport: Any, writer: object) -> None:
        self.run_deadline(10)
        self._set_options(transport)

    def opened(self, protocol: IProtocol) -> None:
        self._party.opened.append(protocol)

    def failed(self, reason: Failure) -> None:
        self._party.failures.append(reason)


class Party:
    """One side of a connection in memory.

    Attributes:
        factory: The application's factory.
        end: The plain transport.
        opened: The protocols that the attempt was reported to have connected.
        failures: The reasons that the attempt was reported to have failed for.
        attempt: The attempt.
        driver: The protocol of the plain transport.
    """

    def __init__(
        self,
        clock: Clock,
        side: Side,
        build: Callable[[], Any] = AppProtocol,
        made: ConnectionCreator | None = None,
        set_options: Callable[[Any], object] = lambda transport: None,
        end: Any = None,
        **more: Any,
    ) -> None:
        address = IPv4Address("TCP", "192.0.2.1", 465)
        self.factory = Building(build)
        self.end: Any = end or End(clock, peerAddress=address)
        self.opened: list[IProtocol] = []
        self.failures: list[Failure] = []
        config = EndpointConfig(
            clock, "tls://localhost:465", 465, side, made or fit(side), Deadlines()
        )
        self.attempt = ReportedAttempt(self, config, self.factory, address, set_options)
        self.driver = TLSDriver(self.attempt, **more)

    @property
    def protocol(self) -> Any:
        """The one protocol that is connected."""
        (protocol,) = self.opened
        return protocol

    @property
    def failure(self) -> Any:
        """The one error that the attempt failed with."""
        (failure,) = self.failures
        return failure.value


def fit(side: Side, **options: Any) -> ConnectionCreator:
    """A creator whose connections the other side accepts."""
    if side is Side.CLIENT:
        policy = tls_policy({"cafile": certificates.cafile(), **options}, side)
        return connection_creator(policy.for_peer("localhost"), side)
    return connection_creator(
        tls_policy({"local_cert": certificates.site(), **options}, side), side
    )


class HandshakeTestCase(SynchronousTestCase):
    """A connection in memory, and its clock."""

    def setUp(self) -> None:
        self.clock = Clock()

    def pair(
        self, client: dict[str, Any] | None = None, server: dict[str, Any] | None = None
    ) -> tuple[Party, Party]:
        """Client and server, not connected yet; each with arguments of `Party`."""
        return (
            Party(self.clock, Side.CLIENT, **(client or {})),
            Party(self.clock, Side.SERVER, **(server or {})),
        )

    def meet(self, client: Party, server: Party) -> None:
        """Connect them, and carry bytes until there are none."""
        server.end.start(server.driver)
        client.end.start(client.driver)
        self.go_on(client, server)

    def go_on(self, client: Party, server: Party) -> None:
        """Carry bytes until there are none."""
        carry(client.end, server.end)
        self.clock.advance(0)
        carry(client.end, server.end)

    def met(self, **keywords: Any) -> tuple[Party, Party]:
        """Client and server, connected and secure."""
        client, server = self.pair(**keywords)
        self.meet(client, server)
        return client, server

    def assert_nothing_is_left(self) -> None:
        """There is no timer, and nothing in the log."""
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.flushLoggedErrors(), [])


class BuildingTests(HandshakeTestCase):
    """When the application's protocol is built."""

    def test_no_protocol_is_built_before_the_handshake_is_complete(self) -> None:
        """On either side only the last step of the handshake has the protocol built."""
        client, server = self.pair()
        server.end.start(server.driver)
        client.end.start(client.driver)
        server.end.hear(client.end.taken())
        self.assertEqual((client.factory.built, server.factory.built), (0, 0))
        client.end.hear(server.end.taken())
        self.assertEqual((client.factory.built, server.factory.built), (1, 0))
        server.end.hear(client.end.taken())
        self.assertEqual((client.factory.built, server.factory.built), (1, 1))
        for party in (client, server):
            self.assertEqual(party.protocol.heard, ["made"])

    def test_data_in_the_last_handshake_segment_follows_connection_made(self) -> None:
        """The peer's first words follow connectionMade, even in the same segment."""
        client, server = self.pair()
        server.end.start(server.driver)
        client.end.start(client.driver)
        server.end.hear(client.end.taken())
        client.end.hear(server.end.taken())
        client.protocol.transport.write(b"hello")
        self.clock.advance(0)
        server.end.hear(client.end.taken())
        self.assertEqual(server.protocol.heard, ["made", "hello"])

    def test_a_handshake_byte_by_byte_builds_one_protocol(self) -> None:
        """However the bytes arrive, one protocol is built, and it hears everything."""
        client, server = self.pair()
        server.end.start(server.driver)
        client.end.start(client.driver)
        while True:
            hello, answer = client.end.taken(), server.end.taken()
            if not hello and not answer:
                break
            for byte in hello:
                server.end.hear(bytes([byte]))
            for byte in answer:
                client.end.hear(bytes([byte]))
        self.assertEqual((client.protocol.heard, server.protocol.heard), (["made"], ["made"]))

    def test_a_handshake_listener_is_told_after_connection_made(self) -> None:
        """An IHandshakeListener hears handshakeCompleted once it is connected."""
        client, server = self.met(client={"build": Listener}, server={"build": Listener})
        for party in (client, server):
            self.assertEqual(party.protocol.heard, ["made", "handshake"])

    def test_a_protocol_may_close_in_connection_made(self) -> None:
        """A protocol that closes or aborts in connectionMade is told of the end."""

        class Leaving(AppProtocol):
            def connectionMade(self) -> None:
                super().connectionMade()
                self.leave()

            def leave(self) -> None:
                transport: Any = self.transport
                transport.loseConnection()

        class Aborting(Leaving):
            def leave(self) -> None:
                transport: Any = self.transport
                transport.abortConnection()

        for build, reason in ((Leaving, ConnectionDone), (Aborting, ConnectionAborted)):
            client, server = self.met(server={"build": build})
            self.assertEqual(server.protocol.heard, ["made", "lost"])
            self.assertIsInstance(server.protocol.reason, reason)
            client.end.lose()
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_factory_that_builds_none_ends_the_connection(self) -> None:
        """If the factory builds none or raises, the connection ends, and the attempt fails once."""
        for build in (lambda: None, lambda: 1 / 0):
            client, server = self.met(server={"build": build})
            self.assertEqual(server.opened, [])
            self.assertEqual(len(server.failures), 1)
            self.assertTrue(server.end.disconnected)
            client.end.lose()
            self.assert_nothing_is_left()

    def test_a_protocol_built_for_a_cancelled_attempt_is_not_connected(self) -> None:
        """If the attempt is cancelled in buildProtocol, what that returns is never connected."""
        protocol = AppProtocol()

        def build() -> AppProtocol:
            client.attempt.cancel(CancelledError())
            return protocol

        client, server = self.pair(client={"build": build})
        self.meet(client, server)
        self.assertEqual((protocol.heard, client.opened), ([], []))
        self.assertIsInstance(client.failure, CancelledError)
        self.assertIs(client.attempt.stage, Stage.OVER)
        server.end.lose()
        self.assert_nothing_is_left()

    def test_a_refused_handshake_builds_no_protocol_when_it_completes(self) -> None:
        """After a refusal no protocol is built, even if the peer completes the handshake."""
        client, server = self.pair()
        server.end.start(server.driver)
        client.end.start(client.driver)
        server.end.hear(client.end.taken())
        client.end.hear(server.end.taken())
        server.attempt.refuse(Failure(ValueError("changed my mind")))
        server.end.hear(client.end.taken())
        self.clock.advance(0)
        self.assertEqual(server.factory.built, 0)
        self.assertEqual(str(server.failure), "changed my mind")


class DeadlineTests(HandshakeTestCase):
    """Every handshake ends."""

    def test_a_silent_peer_is_dropped_at_the_deadline(self) -> None:
        """On both sides a silent peer is dropped at the deadline, and no protocol is built."""
        for side in Side:
            party = Party(self.clock, side)
            party.end.start(party.driver)
            self.clock.advance(9.9)
            self.assertFalse(party.end.disconnected)
            self.clock.advance(0.2)
            self.clock.advance(0)
            self.assertTrue(party.end.is_over)
            self.assertIsInstance(party.failure, TransportTimeout)
            self.assertEqual(party.failure.stage, "handshake")
            self.assertEqual(party.factory.built, 0)
            self.assert_nothing_is_left()

    def test_a_timeout_shows_what_the_peer_sent(self) -> None:
        """The error holds the bytes that the peer had sent, and says what to do."""
        party = Party(self.clock, Side.CLIENT)
        party.end.start(party.driver)
        party.end.hear(b"220 ")
        self.clock.advance(11)
        self.assertEqual(party.failure.received, b"220 ")
        self.assertIn("?starttls=smtp", str(party.failure))

    def test_single_bytes_do_not_extend_the_deadline(self) -> None:
        """A peer that sends a byte now and then is dropped at the same time."""
        client, server = self.pair()
        server.end.start(server.driver)
        client.end.start(client.driver)
        for byte in client.end.taken()[:10]:
            server.end.hear(bytes([byte]))
            self.clock.advance(1)
        self.clock.advance(0)
        self.assertTrue(server.end.is_over)
        self.assertEqual(server.failure.stage, "handshake")


class ExceptionTests(HandshakeTestCase):
    """An exception here, or in the application, ends the connection and is told once."""

    def test_a_protocol_that_raises_fails_the_attempt(self) -> None:
        """If connectionMade or handshakeCompleted raises, the attempt fails with that exception."""
        for step, heard in (
            ("made", ["made", "lost"]),
            ("handshake", ["made", "handshake", "lost"]),
        ):
            protocol = FailingProtocol(step)
            client, server = self.met(client={"build": lambda this=protocol: this})
            self.assertEqual(client.opened, [])
            self.assertEqual(str(client.failure), step)
            self.assertTrue(client.end.is_over)
            self.assertEqual(protocol.heard, heard)
            server.end.lose()
            self.assert_nothing_is_left()

    def test_a_protocol_that_raises_at_the_end_still_hears_the_end(self) -> None:
        """If dataReceived raises just before the end, connectionLost is called all the same."""
        client, server = self.met(server={"build": lambda: FailingProtocol("one", "two")})
        for word in (b"one", b"two"):
            client.protocol.transport.write(word)
            self.clock.advance(0)
        data = client.end.taken()
        # In one segment: OpenSSL still holds what follows the first record.
        self.assertRaises(RuntimeError, server.end.hear, data)
        server.end.lose(ConnectionLost())
        self.assertEqual(server.protocol.heard, ["made", "handshake", "one", "two", "lost"])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_no_handshake_begins_without_the_socket_options(self) -> None:
        """If the socket's options cannot be set, not even a ClientHello is sent."""

        def set_options(transport: object) -> None:
            raise OSError("no such option")

        client = Party(self.clock, Side.CLIENT, set_options=set_options)
        self.assert_fails_at_once(client, OSError)

    def test_an_error_that_is_kept_keeps_no_connection(self) -> None:
        """A program that keeps its errors keeps no TLS connection with each of them."""
        client, server = self.met(client={"made": fit(Side.CLIENT, cafile=stranger())})
        error, driver = client.failure, weakref.ref(client.driver)
        connection = weakref.ref(client.attempt.connection)
        server.end.lose()
        self.assertIsInstance(error, HandshakeFailed)
        # Pytest and trial keep a failed test's local names, and these are such.
        del client, server
        gc.collect()
        self.assertEqual((driver(), connection()), (None, None))
        self.assertEqual(error.cause, "unknown-issuer")

    def test_an_exception_while_tls_is_set_up_fails_the_attempt(self) -> None:
        """If OpenSSL cannot make a connection, the attempt fails with that exception."""
        made = evolve(fit(Side.CLIENT))
        client = Party(self.clock, Side.CLIENT, made=Unable(**made_of(made)))
        self.assert_fails_at_once(client, MemoryError)

    def assert_fails_at_once(self, client: Party, kind: type[BaseException]) -> None:
        """The attempt fails once when it is connected, and later bytes are ignored."""
        client.end.start(client.driver)
        self.assertIsInstance(client.failure, kind)
        client.end.hear(b"220 ")
        self.clock.advance(0)
        self.assertTrue(client.end.is_over)
        self.assertEqual(client.end.taken(), b"")
        self.assertEqual((len(client.failures), client.factory.built), (1, 0))
        self.assert_nothing_is_left()


def stranger() -> str:
    """A file with an authority that nobody here was certified by."""
    return certificates.written("nobody.pem", Authority.create("nobody").pem)


class Unable(ConnectionCreator):
    """Cannot make a connection."""

    def connection_of(self, kind: Any, protocols: tuple[bytes, ...] = ()) -> Any:
        raise MemoryError


def made_of(one: ConnectionCreator) -> dict[str, Any]:
    """The parts of a creator."""
    return {name: getattr(one, name) for name in ("policy", "side", "peer", "context")}


class EndTests(HandshakeTestCase):
    """How a connection ends, and what the application's protocol is told of it."""

    def test_close_notify_from_both_sides_is_connection_done(self) -> None:
        """A close that both sides have agreed to is ConnectionDone, on both sides."""
        for closing in (0, 1):
            parties = self.met()
            parties[closing].protocol.transport.loseConnection()
            self.go_on(*parties)
            for party in parties:
                self.assertIsInstance(party.protocol.reason, ConnectionDone)
                self.assertEqual(party.protocol.heard, ["made", "lost"])
            self.assert_nothing_is_left()

    def test_an_end_without_close_notify_is_connection_lost(self) -> None:
        """Without the peer's close_notify data may be missing, however TCP has ended."""
        for error in (ConnectionDone(), ConnectionLost()):
            for party in self.met():
                party.end.lose(error)
                self.assertIsInstance(party.protocol.reason, ConnectionLost)
            self.assert_nothing_is_left()

    def test_a_lost_connection_after_close_notify_is_connection_done(self) -> None:
        """After its close_notify the peer may close TCP as it likes."""
        client, server = self.met()
        server.protocol.transport.loseConnection()
        client.end.hear(server.end.taken())
        client.end.lose(ConnectionLost())
        self.assertIsInstance(client.protocol.reason, ConnectionDone)

    def test_our_own_abort_is_connection_aborted(self) -> None:
        """A protocol that aborts hears ConnectionAborted, and may abort twice."""
        client, server = self.met()
        client.protocol.transport.abortConnection()
        self.clock.advance(0)
        self.assertIsInstance(client.protocol.reason, ConnectionAborted)
        client.protocol.transport.abortConnection()
        client.protocol.transport.loseConnection()
        client.protocol.transport.write(b"too late")
        server.end.lose()
        self.clock.advance(0)
        self.assert_nothing_is_left()

    def test_an_unanswered_close_notify_is_aborted_after_close_timeout(self) -> None:
        """A peer that does not answer our close_notify is waited for, and then cut off."""
        client, server = self.met()
        client.protocol.transport.loseConnection()
        self.clock.advance(4.9)
        self.assertFalse(client.end.disconnected)
        self.clock.advance(0.2)
        self.clock.advance(0)
        self.assertTrue(client.end.is_over)
        self.assertIsInstance(client.protocol.reason, ConnectionAborted)
        server.end.lose()
        self.assert_nothing_is_left()

    def test_data_that_arrives_with_the_end_is_delivered_first(self) -> None:
        """What arrives together with the end is delivered before it."""
        client, server = self.met()
        client.protocol.transport.write(b"last words")
        client.protocol.transport.loseConnection()
        self.clock.advance(0)
        self.go_on(client, server)
        self.assertEqual(server.protocol.heard, ["made", "last words", "lost"])

    def test_nothing_is_delivered_after_the_applications_end(self) -> None:
        """What came with the bytes at which a protocol has closed or aborted is not delivered."""

        class Leaving(AppProtocol):
            way = ""
            is_failing = False
            has_producer = False

            def dataReceived(self, data: bytes) -> None:
                super().dataReceived(data)
                transport: Any = self.transport
                if self.has_producer:
                    transport.registerProducer(StringTransport(), True)
                getattr(transport, self.way)()
                if self.is_failing:
                    raise RuntimeError

        for way, has_producer, is_failing in (
            ("loseConnection", False, False),
            ("loseConnection", False, True),
            ("abortConnection", False, False),
            ("abortConnection", False, True),
            ("abortConnection", True, False),
            ("abortConnection", True, True),
        ):
            client, server = self.met(server={"build": Leaving})
            one = server.protocol
            one.way, one.has_producer, one.is_failing = way, has_producer, is_failing
            for word in (b"one", b"two"):
                client.protocol.transport.write(word)
                self.clock.advance(0)
            # With the peer's close behind it, which must not be answered after an abort.
            client.protocol.transport.loseConnection()
            server.end.taken()
            try:
                server.end.hear(client.end.taken())
            except RuntimeError:
                # Twisted's reactors end a connection for this.
                server.end.lose(ConnectionLost())
            self.assertEqual(server.end.taken() == b"", way == "abortConnection")
            self.clock.advance(0)
            server.end.lose()
            self.assertEqual(one.heard, ["made", "one", "lost"], way)
            client.end.lose()
            self.assert_nothing_is_left()

    def test_broken_tls_has_a_deadline_where_the_peer_takes_nothing(self) -> None:
        """A peer that breaks TLS while it takes nothing keeps no connection open."""
        clock = PolledClock()
        self.clock = clock
        end = MemoryTCP(clock)
        client, server = self.pair(server={"end": end})
        self.meet(client, server)
        end.memory.capacity = 0
        server.protocol.transport.write(b"x" * 100_000)
        end.hear(b"no TLS at all")
        self.assertTrue(end.disconnecting)
        clock.advance(5.1)
        clock.turn()
        self.assertEqual(server.protocol.heard, ["made", "lost"])
        self.assertFalse(end.memory.is_open)
        client.end.lose()
        self.assert_nothing_is_left()

    def test_a_close_does_not_wait_for_a_socket_that_has_taken_all(self) -> None:
        """The connection ends with the turn, and what the application logs then has its name."""

        class Logging(AppProtocol):
            def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
                log.msg("the end")
                super().connectionLost(reason)

        events: list[dict[str, Any]] = []
        log.addObserver(events.append)
        self.addCleanup(log.removeObserver, events.append)
        self.clock = clock = PolledClock()
        end = MemoryTCP(clock)
        vars(end)["logstr"] = "TLSDriver,0,192.0.2.1"
        client, server = self.pair(server={"end": end, "build": Logging})
        self.meet(client, server)
        client.protocol.transport.loseConnection()
        end.hear(client.end.taken())
        self.assertEqual((server.protocol.heard, clock.writers), (["made"], set()))
        self.assertFalse(end.is_reading)
        clock.turn()
        self.assertEqual(server.protocol.heard, ["made", "lost"])
        self.assertIsInstance(server.protocol.reason, ConnectionDone)
        self.assertFalse(end.memory.is_open)
        (said,) = (event for event in events if event.get("message") == ("the end",))
        self.assertEqual(said["system"], "Logging,0,192.0.2.1")
        client.end.hear(end.taken())
        client.end.lose()
        self.assert_nothing_is_left()

    def test_an_abort_behind_a_close_is_told_once(self) -> None:
        """A protocol that aborts while its connection is ending hears of one end."""
        self.clock = clock = PolledClock()
        end = MemoryTCP(clock)
        client, server = self.pair(server={"end": end})
        self.meet(client, server)
        client.protocol.transport.loseConnection()
        end.hear(client.end.taken())
        server.protocol.transport.abortConnection()
        for _ in range(3):
            clock.turn()
        self.assertEqual(server.protocol.heard, ["made", "lost"])
        client.end.lose()
        self.assert_nothing_is_left()

    def test_a_plain_transport_may_end_at_once(self) -> None:
        """On a transport that ends within the call that closes it, the end is told once."""

        class Abrupt(End):
            def loseConnection(self) -> None:
                super().loseConnection()
                self.lose(ConnectionDone())

        for ending in ("the peer", "both"):
            client, server = self.pair(server={"end": Abrupt(self.clock)})
            self.meet(client, server)
            if ending == "both":
                server.protocol.transport.loseConnection()
            client.protocol.transport.write(b"bye")
            client.protocol.transport.loseConnection()
            server.end.hear(client.end.taken())
            self.assertEqual(server.protocol.heard.count("lost"), 1)
            client.end.lose()
            self.assert_nothing_is_left()

    def test_cancelling_in_the_handshake_ends_the_connection(self) -> None:
        """The attempt fails with the given reason, and the peer sees the end."""
        client, _ = self.pair()
        client.end.start(client.driver)
        client.attempt.cancel(ValueError("no longer wanted"))
        self.clock.advance(0)
        self.assertEqual(str(client.failure), "no longer wanted")
        self.assertTrue(client.end.is_over)
        self.assert_nothing_is_left()

    def test_cancelling_after_the_handshake_aborts_the_connection(self) -> None:
        """A protocol that is connected already hears ConnectionAborted."""
        client, server = self.met()
        client.attempt.cancel(ValueError("no longer wanted"))
        self.clock.advance(0)
        self.assertIsInstance(client.protocol.reason, ConnectionAborted)
        self.assertEqual(client.failures, [])
        server.end.lose()
        self.assert_nothing_is_left()

    def test_altered_bytes_end_the_connection_undelivered(self) -> None:
        """Bytes that were changed on the way end the connection, and are not delivered."""
        client, server = self.met()
        client.protocol.transport.write(b"hello")
        self.clock.advance(0)
        data = client.end.taken()
        server.end.hear(data[:-1] + bytes([data[-1] ^ 1]))
        self.assertTrue(server.end.disconnecting)
        self.go_on(client, server)
        self.assertEqual(server.protocol.heard, ["made", "lost"])
        self.assertNotIsInstance(server.protocol.reason, ConnectionDone)


class GreetingTests(HandshakeTestCase):
    """A server's protocol after a dialogue in the clear, in which the client was greeted."""

    def greeted(self, *words: bytes) -> tuple[str, Party]:
        """What the client hears when the server's protocol writes that; and the server."""

        class Greeting(AppProtocol):
            def connectionMade(self) -> None:
                transport: Any = self.transport
                for word in words:
                    transport.write(word)

        client, server = self.met(
            server={"build": Greeting, "greeting": lambda said: said.find(b"\n") + 1}
        )
        server.protocol.transport.writeSequence([b"and ", b"more"])
        self.clock.advance(0)
        self.go_on(client, server)
        return "".join(client.protocol.heard[1:]), server

    def test_the_greeting_is_withheld(self) -> None:
        """What the client has heard in the clear is not sent again; what follows it is."""
        for words in ((b"220 hello\n",), (b"220 ", b"hello\n"), (b"220 ", b"", b"hello", b"\n")):
            self.assertEqual(self.greeted(*words)[0], "and more")
        self.assertEqual(self.greeted(b"220 hello\n250 yes\n")[0], "250 yes\nand more")

    def test_an_endless_greeting_ends_the_connection(self) -> None:
        """Nothing is sent until the greeting ends, and after 65,536 bytes it is aborted."""
        for greeting, is_too_long in ((b"220 hello", False), (b"x" * 65537, True)):
            heard, server = self.greeted(greeting)
            self.assertEqual((heard, server.end.disconnected), ("", is_too_long))

    def test_the_outcome_of_the_dialogue_is_found_at_the_transport(self) -> None:
        """A protocol asks its transport for the outcome, however that is wrapped."""
        client, _ = self.met(client={"outcome": b"salt"})
        transport = client.protocol.transport
        self.assertEqual(starttls_outcome(transport), b"salt")
        above = ProtocolWrapper(WrappingFactory(Factory()), AppProtocol())
        above.makeConnection(transport)
        self.assertEqual(starttls_outcome(above), b"salt")
        for other in (client.end, None, object()):
            self.assertEqual(starttls_outcome(other), b"")


class SecuredTests(LoopbackTestCase):
    """Both sides are secured when they are connected."""

    async def test_both_sides_are_secured_when_they_are_connected(self) -> None:
        """The first bytes of a protocol are already under TLS, on both sides."""
        factory = Recorders()
        arriving = factory.next()
        port = await self.listening(f"tls://127.0.0.1:0?local_cert={certificates.site()}", factory)
        client = await self.connected(f"tls://127.0.0.1:{port}?cafile={certificates.cafile()}")
        server = await arriving
        client.say(b"hello")
        self.assertEqual(await server.heard(b"hello"), b"hello")
        for recorder in (client, server):
            session = session_of(recorder.transport)
            assert session is not None
            self.assertEqual(session.version, "TLSv1.3")


@frozen
class Fault:
    """A handshake that fails.

    Attributes:
        client: What the client is told: one of `CAUSES`.
        server: What the server logs.
        local_cert: PEM file of the server's certificate.
        ours: More of the client's options.
        theirs: More of the server's options.
    """

    client: str
    server: str
    local_cert: str
    ours: dict[str, Any] = field(factory=dict)
    theirs: dict[str, Any] = field(factory=dict)


NOW: Final = datetime.now(timezone.utc)
A_DAY: Final = timedelta(days=1)
MAIL: Final = [x509.RFC822Name("postmaster@localhost")]


def faults() -> dict[str, Fault]:
    """Handshakes that fail, each for one reason."""
    site, issued = certificates.site(), certificates.issued
    stranger = Authority.create("someone else's CA")
    alone = certificates.written("alone.pem", self_signed("127.0.0.1").pem)
    old: dict[str, Any] = {"not_before": NOW - 3 * A_DAY, "not_after": NOW - A_DAY}
    early: dict[str, Any] = {"not_before": NOW + A_DAY, "not_after": NOW + 3 * A_DAY}
    refused = "peer-alert"
    return {
        "no name at all": Fault("wrong-name", refused, issued("nameless.pem")),
        "no name of a host": Fault(
            "wrong-name", refused, issued("mail.pem", alternative_names=MAIL)
        ),
        "another name": Fault("wrong-name", refused, issued("other.pem", "other.example")),
        "expired": Fault("expired", refused, issued("old.pem", "127.0.0.1", **old)),
        "not yet valid": Fault("not-yet-valid", refused, issued("new.pem", "127.0.0.1", **early)),
        "self-signed": Fault("self-signed", refused, alone),
        "unknown authority": Fault(
            "unknown-issuer", refused, issued("stranger.pem", "127.0.0.1", by=stranger)
        ),
        "for clients": Fault(
            "wrong-purpose", refused, issued("client.pem", "127.0.0.1", purpose="client")
        ),
        "another fingerprint": Fault("fingerprint", refused, site, {"peer_fingerprint": "0" * 64}),
        "no version in common": Fault(
            "no-common-version", "no-common-version", site,
            {"max_version": "1.2"}, {"min_version": "1.3"},
        ),
        "no cipher in common": Fault(
            "no-common-cipher", "no-common-cipher", site,
            {"max_version": "1.2", "ciphers": "ECDHE-ECDSA-AES128-GCM-SHA256"},
            {"ciphers": "ECDHE-ECDSA-AES256-GCM-SHA384"},
        ),
        "no client certificate": Fault(
            "client-certificate-required", "client-certificate-required", site,
            {"max_version": "1.2"}, {"verify_peer": "yes", "cafile": certificates.cafile()},
        ),
    }  # fmt: skip


class FailureTests(LoopbackTestCase):
    """Handshakes that fail, between real sockets."""

    async def met(
        self, fault: Fault, factory: Recorders, heard: Overheard
    ) -> tuple[HandshakeFailed, dict[str, Any]]:
        """The client's error, and the server's line in the log."""
        port = await self.listening(
            "tls://127.0.0.1:0", factory, local_cert=fault.local_cert, **fault.theirs
        )
        telling = heard.next()
        options = {"cafile": certificates.cafile(), **fault.ours}
        endpoint = txtransport.client(self.reactor, f"tls://127.0.0.1:{port}", None, **options)
        connecting: Any = endpoint.connect(factory)
        error: Any = await self.assertFailure(connecting, HandshakeFailed)
        return error, await telling

    async def test_each_failure_has_its_cause_on_both_sides(self) -> None:
        """The client hears whose fault it is, the server logs it once, and no protocol is built."""
        # The line of the client's endpoint is another one.
        heard = self.overheard("txtransport.connection")
        for name, fault in faults().items():
            factory = Recorders()
            heard.events.clear()
            error, event = await self.met(fault, factory, heard)
            self.assertEqual(error.cause, fault.client, f"{name}: {error}")
            self.assertTrue(error.permanent, name)
            self.assertTrue(error.remedy, name)
            self.assertEqual(event["cause"], fault.server, f"{name}: {event['error']}")
            self.assertEqual(event["log_level"], LogLevel.info)
            self.assertEqual(event["peer"].host, "127.0.0.1")
            self.assertIn("tls://127.0.0.1:0", event["where"])
            self.assertEqual(factory.built, 0, name)
            self.assertEqual(len(heard.events), 1, name)
        self.assertEqual(self.flushLoggedErrors(), [])

    async def test_a_client_certificate_refused_after_the_handshake_is_explained(self) -> None:
        """In TLS 1.3 a server verifies a client that is connected already; the client hears why."""
        heard = self.overheard()
        trust = {"verify_peer": "yes", "cafile": certificates.cafile()}
        for name, ours, cause in (
            ("none", {}, "client-certificate-required"),
            ("a server's", {"local_cert": certificates.site()}, "peer-alert"),
        ):
            factory = Recorders()
            port = await self.listening(
                "tls://127.0.0.1:0", factory, local_cert=certificates.site(), **trust
            )
            telling = heard.next()
            client = await self.connected(
                f"tls://127.0.0.1:{port}", cafile=certificates.cafile(), **ours
            )
            reason: Any = (await client.gone()).value
            self.assertIsInstance(reason, HandshakeFailed, name)
            self.assertEqual(reason.cause, cause, f"{name}: {reason}")
            self.assertEqual((await telling)["log_level"], LogLevel.info)
            self.assertEqual(factory.built, 0)

    async def test_a_plain_text_server_is_recognised(self) -> None:
        """A plain-text server is recognised by its greeting, and the right URL is named."""
        peers = Recorders()
        port = await self.listening("tcp://127.0.0.1:0", peers)
        arriving = peers.next()
        connecting: Any = txtransport.client(self.reactor, f"tls://127.0.0.1:{port}").connect(
            Recorders()
        )
        (await arriving).say(b"220 mail.example.com ESMTP\r\n")
        error: Any = await self.assertFailure(connecting, HandshakeFailed)
        self.assertEqual(error.cause, "plaintext-peer")
        self.assertIn(f"tls://127.0.0.1:{port}?starttls=smtp", str(error))

    async def test_a_plain_http_client_is_recognised(self) -> None:
        """A client that speaks HTTP in the clear is in the server's log as what it is."""
        heard = self.overheard()
        port = await self.listening(
            "tls://127.0.0.1:0", Recorders(), local_cert=certificates.site()
        )
        telling = heard.next()
        client = await self.connected(f"tcp://127.0.0.1:{port}")
        client.say(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        event = await telling
        self.assertEqual(event["cause"], "plaintext-peer")
        self.assertIn("https://", str(event["error"]))
        await client.gone()


class ResumptionTests(LoopbackTestCase):
    """A client that connects again resumes its session."""

    async def session(self, factory: Recorders, url: str) -> tuple[Any, Any]:
        """The session of one connection, as client and server see it; then it is closed."""
        arriving = factory.next()
        client = await self.connected(url)
        server = await arriving
        # The tickets of TLS 1.3 are read with the first words.
        server.say(b"welcome")
        await client.heard(b"welcome")
        sessions = session_of(client.transport), session_of(server.transport)
        transport: Any = client.transport
        transport.loseConnection()
        await client.gone()
        await server.gone()
        return sessions

    async def test_a_second_handshake_is_resumed(self) -> None:
        """The peer counts as verified as before, and both sides know that it was resumed."""
        for version in ("1.2", "1.3"):
            factory = Recorders()
            port = await self.listening(
                f"tlsv{version}://127.0.0.1:0", factory, local_cert=certificates.site()
            )
            url = f"tlsv{version}://127.0.0.1:{port}?cafile={certificates.cafile()}"
            for expected in (False, True, True):
                for session in await self.session(factory, url):
                    self.assertEqual(session.version, f"TLSv{version}")
                    self.assertIs(session.resumed, expected)
                client, _ = await self.session(factory, url)
                self.assertTrue(client.verified)

    async def test_without_tickets_no_session_is_resumed(self) -> None:
        """With ``no_ticket`` every handshake is a full one."""
        factory = Recorders()
        port = await self.listening(
            "tls://127.0.0.1:0", factory, local_cert=certificates.site(), no_ticket=True
        )
        url = f"tls://127.0.0.1:{port}?cafile={certificates.cafile()}&no_ticket=yes"
        for _ in range(2):
            for session in await self.session(factory, url):
                self.assertIs(session.resumed, False)
