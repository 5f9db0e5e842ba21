"""A service stays connected: how long it waits, what it says, and when it ends."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any, Final, cast

from twisted.application.service import IService, MultiService
from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import (
    ConnectError,
    ConnectionDone,
    ConnectionRefusedError,
    NoProtocol,
)
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.logger import LogLevel, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

import txtransport
from tests import certificates
from tests.loopback import ClockedReactor, LoopbackTestCase, Overheard, Recorder, Recorders
from txtransport.connection.trace import Event, Step
from txtransport.errors import HandshakeFailed, InvalidOption, InvalidTransport, TransportError

URL: Final = "tcp://192.0.2.7:25"
HOUR: Final = 3600.0

REFUSED: Final = ConnectionRefusedError(errno.ECONNREFUSED)
"""May pass: a server may be started."""
NOT_PERMITTED: Final = ConnectError(errno.EACCES)
"""Does not pass until someone changes something."""


def doubling(failures: int) -> float:
    """A policy without chance: 1, 2, 4 … seconds."""
    return 2.0 ** (failures - 1)


class InMemoryTestCase(SynchronousTestCase):
    """A service whose connections the test makes and breaks, on a clock that it advances."""

    plain: Any

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.factory: Any = Recorders()
        self.told = Overheard()
        globalLogPublisher.addObserver(self.told)
        self.addCleanup(globalLogPublisher.removeObserver, self.told)

    def started(self, url: Any = URL, **options: Any) -> txtransport.ReconnectingService[Recorder]:
        """A service that connects, with a policy without chance."""
        options = {"retry_policy": doubling, **options}
        service = txtransport.service(self.reactor, url, self.factory, **options)
        service.startService()
        self.addCleanup(service.stopService)
        return service

    @property
    def attempts(self) -> int:
        """How many addresses were connected to."""
        return len(self.reactor.tcpClients)

    def fail_attempt(self, error: Exception = REFUSED) -> None:
        """Let the attempt that is going on fail."""
        factory = self.reactor.tcpClients[-1][2]
        factory.clientConnectionFailed(self.reactor.connectors[-1], Failure(error))

    def connect(self) -> Recorder:
        """Let the attempt that is going on succeed."""
        factory: Any = self.reactor.tcpClients[-1][2]
        self.plain = factory.buildProtocol(IPv4Address("TCP", "192.0.2.7", 25))
        self.plain.makeConnection(Silent())
        return cast(Recorder, self.factory.all[-1])

    def lose(self) -> None:
        """End the connection that there is."""
        self.plain.connectionLost(Failure(ConnectionDone()))

    def waits(self, seconds: float) -> None:
        """The next attempt begins after so many seconds, and not before."""
        before = self.attempts
        self.reactor.advance(seconds * 0.999)
        self.assertEqual(self.attempts, before)
        self.reactor.advance(seconds * 0.001 + 1e-6)
        self.assertEqual(self.attempts, before + 1)

    def waits_for_an_hour(self) -> None:
        """The next attempt begins an hour from now, and up to six minutes later."""
        before = self.attempts
        self.reactor.advance(HOUR - 1)
        self.assertEqual(self.attempts, before)
        self.reactor.advance(HOUR / 10 + 2)
        self.assertEqual(self.attempts, before + 1)

    def causes(self) -> list[str]:
        """What the log has of failures."""
        return [event["cause"] for event in self.told.events if "cause" in event]


class Silent(StringTransport):
    """A transport that takes TCP's options."""

    def setTcpNoDelay(self, enabled: object) -> None:
        pass

    def abortConnection(self) -> None:
        pass


class WaitTests(InMemoryTestCase):
    """How long a service waits before it connects again."""

    def test_the_waits_grow_while_attempts_fail(self) -> None:
        """Each failure in a row makes the next wait longer, as the policy says."""
        self.started()
        for seconds in (1, 2, 4, 8):
            self.fail_attempt()
            self.waits(seconds)

    def test_a_healthy_connection_makes_the_waits_short_again(self) -> None:
        """A connection that has lasted for a while was good, and the next wait is the first."""
        self.started(healthy_after=30)
        for seconds in (1, 2, 4):
            self.fail_attempt()
            self.waits(seconds)
        self.connect()
        self.reactor.advance(30)
        self.lose()
        for seconds in (1, 2, 4):
            self.waits(seconds)
            self.fail_attempt()

    def test_a_short_connection_does_not(self) -> None:
        """A server that takes each connection and drops it is not called every other second."""
        self.started(healthy_after=30)
        for seconds in (1, 2, 4, 8, 16):
            self.connect()
            self.reactor.advance(29)
            self.lose()
            self.waits(seconds)

    def test_twisted_s_own_policy_is_the_default(self) -> None:
        """Without a policy the waits grow from 1.5 to 60 seconds, and up to a second more."""
        self.started(retry_policy=None)
        self.fail_attempt()
        self.reactor.advance(1.4)
        self.assertEqual(self.attempts, 1)
        self.reactor.advance(1.2)
        self.assertEqual(self.attempts, 2)
        for count in range(20):
            self.fail_attempt()
            self.reactor.advance(61.1)
            self.assertEqual(self.attempts, 3 + count)

    def test_what_does_not_pass_is_tried_once_an_hour(self) -> None:
        """It may pass after all, when someone has changed something; the log has it once."""
        service = self.started()
        for _ in range(3):
            self.fail_attempt(NOT_PERMITTED)
            self.waits_for_an_hour()
            self.assertIsInstance(service.error, TransportError)
        self.assertEqual(self.causes(), ["not-permitted"])
        self.connect()
        self.assertIsNone(service.error)

    def test_after_an_hour_what_passes_is_tried_at_the_usual_pace(self) -> None:
        """A server that is restarted with its new certificate is not left alone for an hour."""
        self.started()
        self.fail_attempt(NOT_PERMITTED)
        self.waits_for_an_hour()
        self.fail_attempt(REFUSED)
        self.waits(2)

    def test_a_good_connection_is_not_given_up_for_one_failure(self) -> None:
        """Someone between spoils one handshake, and gets one wait for it, not an hour."""
        self.started()
        self.connect()
        self.reactor.advance(30)
        self.lose()
        self.waits(1)
        self.fail_attempt(NOT_PERMITTED)
        self.waits(2)
        self.fail_attempt(NOT_PERMITTED)
        self.waits_for_an_hour()

    def test_the_hour_can_be_another(self) -> None:
        """permanent_wait is in seconds, and a tenth is added at the most."""
        self.started(permanent_wait=10)
        self.fail_attempt(NOT_PERMITTED)
        self.reactor.advance(9.9)
        self.assertEqual(self.attempts, 1)
        self.reactor.advance(1.2)
        self.assertEqual(self.attempts, 2)

    def test_an_exception_of_the_program_is_no_reason_to_slow_down(self) -> None:
        """What a factory raises is tried again at the usual pace, and is told."""
        self.factory.buildProtocol = _raise
        service = self.started()
        for seconds in (1, 2):
            self.reactor.tcpClients[-1][2].buildProtocol(IPv4Address("TCP", "192.0.2.7", 25))
            self.assertIsInstance(service.error, ZeroDivisionError)
            self.waits(seconds)


def _raise(address: object) -> Recorder:
    raise ZeroDivisionError


class StopTests(InMemoryTestCase):
    """on_permanent="stop", and stopping by hand."""

    def test_what_does_not_pass_ends_the_service(self) -> None:
        """Those who wait for a connection get the error, at once and later."""
        service = self.started(on_permanent="stop")
        waiting = service.whenConnected()
        self.fail_attempt(NOT_PERMITTED)
        self.assertNoResult(waiting)
        self.reactor.pump([0, 0])
        error = self.failureResultOf(waiting, ConnectError).value
        self.assertIs(error, service.error)
        self.assertIs(self.failureResultOf(service.whenConnected(), ConnectError).value, error)
        self.assertFalse(service.running)
        self.reactor.advance(3 * HOUR)
        self.assertEqual(self.attempts, 1)
        self.assertEqual(self.causes(), ["not-permitted"])
        said = [event for event in self.told.events if event["log_level"] is LogLevel.warn]
        self.assertEqual([formatEvent(event) for event in said], [
            f"{URL}: the service has stopped, since trying again cannot help (on_permanent=stop)"
        ])  # fmt: skip

    def test_what_passes_does_not(self) -> None:
        """Only what cannot pass by itself ends a service."""
        service = self.started(on_permanent="stop")
        for seconds in (1, 2, 4):
            self.fail_attempt(REFUSED)
            self.waits(seconds)
        self.assertTrue(service.running)

    def test_a_good_connection_is_not_given_up_for_one_failure(self) -> None:
        """Someone between spoils one handshake, and does not end the service with it."""
        service = self.started(on_permanent="stop")
        self.connect()
        self.reactor.advance(30)
        self.lose()
        self.waits(1)
        self.fail_attempt(NOT_PERMITTED)
        self.waits(2)
        self.assertTrue(service.running)
        self.fail_attempt(NOT_PERMITTED)
        self.reactor.advance(0)
        self.assertFalse(service.running)

    def test_it_can_be_started_again(self) -> None:
        """A service that has ended itself begins anew, as if nothing had happened."""
        service = self.started(on_permanent="stop")
        self.fail_attempt(NOT_PERMITTED)
        self.reactor.advance(0)
        service.startService()
        self.assertIsNone(service.error)
        waiting = service.whenConnected()
        connected = self.connect()
        self.reactor.advance(0)
        self.assertIs(self.successResultOf(waiting), connected)
        self.assertIs(self.successResultOf(service.whenConnected()), connected)
        self.lose()
        self.waits(1)

    def test_who_stops_it_first_is_not_told_of_the_error(self) -> None:
        """A service that is stopped by hand says so to those who wait, and nothing in the log."""
        service = self.started(on_permanent="stop")
        waiting = service.whenConnected()
        self.fail_attempt(NOT_PERMITTED)
        self.successResultOf(service.stopService())
        self.reactor.advance(0)
        self.failureResultOf(waiting, CancelledError)
        self.reactor.advance(HOUR)
        self.assertEqual([e for e in self.told.events if e["log_level"] is LogLevel.warn], [])
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_an_attempt_is_given_up(self) -> None:
        """To stop a service that is connecting leaves nothing behind, and is no failure."""
        service = self.started()
        waiting = service.whenConnected()
        self.successResultOf(service.stopService())
        self.reactor.advance(0)
        self.failureResultOf(waiting, CancelledError)
        self.assertIsNone(service.error)
        self.assertEqual(self.causes(), [])
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_who_waits_may_stop_it(self) -> None:
        """A callback of whenConnected() may call the service, which Twisted's cannot bear."""
        for become in (self.connect, self.fail_attempt):
            self.reactor = MemoryReactorClock()
            service = self.started()
            waiting: Any = service.whenConnected(failAfterFailures=1)
            waiting.addBoth(lambda _, service=service: service.stopService())
            become()
            self.assertTrue(service.running)
            self.reactor.advance(0)
            self.assertFalse(service.running)

    def test_who_gives_up_is_left_alone(self) -> None:
        """A cancelled wait is not told of the connection that has just come about."""
        service = self.started()
        waiting = service.whenConnected()
        self.connect()
        waiting.cancel()
        self.reactor.advance(0)
        self.failureResultOf(waiting, CancelledError)

    def test_it_is_part_of_an_application(self) -> None:
        """It connects when its application starts, and ends with it."""
        application = MultiService()
        service = txtransport.service(self.reactor, URL, self.factory)
        verifyObject(IService, service)
        service.setServiceParent(application)
        self.assertEqual(self.attempts, 0)
        application.startService()
        self.assertEqual(self.attempts, 1)
        application.stopService()
        self.assertFalse(service.running)


class SeveralTests(InMemoryTestCase):
    """Several URLs."""

    urls: Final = ("tcp://192.0.2.1:25", "tcp://192.0.2.2:25", "tcp://192.0.2.3:25")

    def hosts(self) -> list[str]:
        """The addresses that were connected to, so far."""
        return [each[0] for each in self.reactor.tcpClients]

    def test_they_are_tried_in_order(self) -> None:
        """The next is tried when one has failed, and each attempt begins with the first."""
        self.started(self.urls)
        self.fail_attempt()
        self.connect()
        self.assertEqual(self.hosts(), ["192.0.2.1", "192.0.2.2"])
        self.lose()
        self.waits(1)
        self.assertEqual(self.hosts()[-1], "192.0.2.1")

    def test_each_says_each_cause_once(self) -> None:
        """The log says of each URL what is wrong, once."""
        self.started([*self.urls])
        for _ in range(2):
            for _ in self.urls:
                self.fail_attempt()
            self.reactor.advance(4)
        self.assertEqual([event["where"] for event in self.told.events if "cause" in event],
                         [*self.urls])  # fmt: skip

    def test_one_that_may_pass_keeps_the_usual_pace(self) -> None:
        """A service slows down only when no URL can be connected to until something changes."""
        service = self.started(self.urls)
        self.fail_attempt(NOT_PERMITTED)
        self.fail_attempt(REFUSED)
        self.fail_attempt(NOT_PERMITTED)
        self.assertIsInstance(service.error, ConnectionRefusedError)
        self.waits(1)
        for _ in self.urls:
            self.fail_attempt(NOT_PERMITTED)
        self.waits_for_an_hour()

    def test_a_program_that_wants_no_protocol_gets_no_other_url(self) -> None:
        """What the program raises or refuses is no reason to go elsewhere."""
        for refuse, error in ((_raise, ZeroDivisionError), (lambda address: None, NoProtocol)):
            self.reactor = MemoryReactorClock()
            self.factory.buildProtocol = refuse
            service = self.started(self.urls)
            self.reactor.tcpClients[-1][2].buildProtocol(IPv4Address("TCP", "192.0.2.1", 25))
            self.assertIsInstance(service.error, error)
            self.assertEqual(self.hosts(), ["192.0.2.1"])

    def test_stopping_goes_to_no_other_url(self) -> None:
        """To stop while one is being tried does not begin the next."""
        service = self.started(self.urls)
        service.stopService()
        self.assertEqual(self.hosts(), ["192.0.2.1"])

    def test_none_is_a_way_around_tls(self) -> None:
        """Nobody can have clear text by keeping us from the URL that has TLS."""
        for clear in ("tcp://192.0.2.2:25", "192.0.2.2:25"):
            error = self.assertRaises(
                InvalidTransport, txtransport.service, self.reactor,
                ["tls://192.0.2.1:465", clear], self.factory,
            )  # fmt: skip
            self.assertIn("tcp://192.0.2.2:25: it is in the clear", str(error))
        self.started(["unix:///run/app.sock", "tls://192.0.2.1:465"])

    def test_none_is_a_way_to_weaker_tls(self) -> None:
        """Nobody can have SSL, clear text or another server by keeping us from the better URL."""
        rows = (
            ("sslv3://192.0.2.2:465?allow_broken_ssl=yes", "SSL 3.0"),
            ("tlsv1.0://192.0.2.2:465", "TLS 1.0 is deprecated"),
            ("tls://192.0.2.2:25?starttls=smtp&starttls_policy=may", "starttls_policy=may"),
            ("tls://192.0.2.2:465?verify_peer=no", "verify_peer=no"),
        )
        for weak, why in rows:
            error = self.assertRaises(
                InvalidTransport, txtransport.service, self.reactor,
                ["tls://192.0.2.1:465", weak], self.factory,
            )  # fmt: skip
            self.assertIn(why, str(error))
            self.assertIn("in place of tls://192.0.2.1:465", str(error))
        # All alike, no one gains by it.
        self.started([rows[2][0], "tls://192.0.2.3:25?starttls=smtp&starttls_policy=may"])
        self.started(["tls://192.0.2.1:1", "tls://192.0.2.2:2"], verify_peer=False)
        self.started(["tls://192.0.2.1:1", "tls+unix:///run/x?verify_peer=no&verify_peer_name=no"])

    def test_the_endpoint_s_repr_names_all(self) -> None:
        """The line that ClientService logs at each wait says what is connected to."""
        self.started(self.urls[:2])
        self.fail_attempt()
        self.fail_attempt()
        self.assertIn("tcp://192.0.2.1:25, tcp://192.0.2.2:25", formatEvent(self.told.events[-1]))


class BadInputTests(SynchronousTestCase):
    """What is wrong is said before anything is opened."""

    def test_each_mistake_is_an_error(self) -> None:
        """URLs, options, files and keywords are checked by service() itself."""
        rows: tuple[tuple[Any, dict[str, Any], type[Exception], str], ...] = (
            ([], {}, InvalidTransport, "the list of URLs is empty"),
            (None, {}, InvalidTransport, "a URL, or a list of URLs, is needed, not None"),
            (b"tcp://h:1", {}, InvalidTransport, "a URL, or a list of URLs, is needed"),
            ("tcp://h", {}, InvalidTransport, "the port is missing"),
            (["tcp://h:1", "tcp://i:b"], {}, InvalidTransport, "'b' is not a port"),
            ("tcp://h:1", {"verify_depth": 3}, InvalidOption, "verify_depth"),
            ("tls://h:1", {"cafile": "/nonexistent"}, InvalidOption, "/nonexistent"),
            (URL, {"on_permanent": "halt"}, InvalidOption, "on_permanent is slow or stop"),
            (URL, {"permanent_wait": 0}, InvalidOption, "permanent_wait is a number of seconds"),
            (URL, {"healthy_after": None}, InvalidOption, "healthy_after is a number of seconds"),
            (URL, {"healthy_after": 1e9}, InvalidOption, "up to a day (86400)"),
            (URL, {"retry_policy": 3}, InvalidOption, "retry_policy is a function"),
        )
        for url, options, kind, text in rows:
            reactor = MemoryReactorClock()
            error = self.assertRaises(kind, txtransport.service, reactor, url, Factory(), **options)
            self.assertIn(text, str(error))
            self.assertEqual((reactor.tcpClients, reactor.getDelayedCalls()), ([], []))

    def test_a_port_holds_for_all_that_have_none(self) -> None:
        """port= completes URLs, and contradicts none."""
        reactor, urls = MemoryReactorClock(), ["192.0.2.1", "192.0.2.2:25"]
        txtransport.service(reactor, urls, Factory(), 25)
        self.assertRaises(InvalidTransport, txtransport.service, reactor, urls, Factory(), 26)


class TLSTests(LoopbackTestCase):
    """Services at servers of ours, on loopback, with a clock that the test advances."""

    def setUp(self) -> None:
        self.clocked = ClockedReactor(self.reactor)
        self.url = f"tls://localhost:{self.free_port()}"
        self.resolving(localhost=["127.0.0.1"])

    def started(self, **options: Any) -> txtransport.ReconnectingService[Recorder]:
        """A service that connects until the test is over."""
        service = txtransport.service(
            self.clocked, self.url, cast("Factory", Factory.forProtocol(Recorder)),
            cafile=certificates.cafile(), retry_policy=doubling, **options,
        )  # fmt: skip
        service.startService()
        self.addCleanup(service.stopService)
        return cast("txtransport.ReconnectingService[Recorder]", service)

    async def served(self, local_cert: str, **options: Any) -> Callable[[], Deferred[None]]:
        """Start a server; what stops it, and ends its connections."""
        peers = Recorders()
        url = self.url.replace("localhost", "127.0.0.1")
        endpoint = txtransport.server(self.reactor, url, local_cert=local_cert, **options)
        port = await endpoint.listen(peers)

        async def stop() -> None:
            await self.stop(port)
            for peer in peers.all:
                await self.end(peer)

        return lambda: Deferred.fromCoroutine(stop())

    async def test_a_refused_client_certificate_is_told_once_and_slowed(self) -> None:
        """In TLS 1.3 the server's no comes after the handshake, and counts like one in it."""
        events: list[Event] = []
        told = self.overheard("txtransport.endpoints.client")
        stop = await self.served(
            certificates.site(), verify_peer="yes", cafile=certificates.cafile()
        )  # fmt: skip
        service = self.started(trace=events.append)
        client = await service.whenConnected()
        for _ in range(3):
            await client.gone()
            await self.turn()
            self.assertIsInstance(service.error, HandshakeFailed)
            waiting = service.whenConnected()
            self.clocked.clock.advance(HOUR - 1)
            await self.turn()
            self.assertNoResult(waiting)
            self.clocked.clock.advance(HOUR / 10 + 2)
            client = await waiting
        self.assertEqual([event["cause"] for event in told.events], ["client-certificate-required"])
        self.assertIn(Step.REFUSED, [event.step for event in events])
        await stop()

    async def test_a_refused_client_certificate_can_end_the_service(self) -> None:
        """on_permanent=stop holds for it as well."""
        stop = await self.served(
            certificates.site(), verify_peer="yes", cafile=certificates.cafile()
        )  # fmt: skip
        service = self.started(on_permanent="stop")
        client = await service.whenConnected()
        waiting = service.whenConnected()
        await client.gone()
        while service.running:
            await self.turn()
        self.assertIs(await waiting, client)
        error: Any = await self.assertFailure(service.whenConnected(), HandshakeFailed)
        self.assertEqual(error.cause, "client-certificate-required")
        await stop()
