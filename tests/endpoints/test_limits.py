"""Limits: so many at once and no more, and every place is free again."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

import txtransport
from tests import certificates
from tests.loopback import LoopbackTestCase, Recorder, Recorders
from tests.memory import End
from txtransport.config.settings import ServingPolicy
from txtransport.endpoints.limits import ConnectionLimits
from txtransport.errors import HandshakeFailed


class Gatekeeper:
    """A listening port, of which one only sees whether it accepts."""

    is_open = True

    def pauseProducing(self) -> None:
        self.is_open = False

    def resumeProducing(self) -> None:
        self.is_open = True


class AppFactory(Factory):
    """Builds guests; the test may make it fail.

    Attributes:
        all: Those built so far.
        mood: ``fine``, or what goes wrong: ``none``, ``build`` or ``made``.
        started: How many ports use it.
    """

    noisy = False
    mood = "fine"

    def __init__(self) -> None:
        self.all: list[AppProtocol] = []
        self.started = 0

    def doStart(self) -> None:
        self.started += 1

    def doStop(self) -> None:
        self.started -= 1

    def buildProtocol(self, addr: object) -> Any:
        if self.mood == "build":
            raise RuntimeError("build")
        if self.mood == "none":
            return None
        self.all.append(AppProtocol(self))
        return self.all[-1]


class AppProtocol(Protocol):
    """Writes down what it hears."""

    def __init__(self, factory: AppFactory) -> None:
        self._mood = factory.mood
        self.heard: list[str] = []

    def connectionMade(self) -> None:
        self.heard.append("made")
        if self._mood == "made":
            raise RuntimeError("made")
        if self._mood == "paused":
            transport: Any = self.transport
            transport.pauseProducing()

    def dataReceived(self, data: bytes) -> None:
        self.heard.append(data.decode())

    def connectionLost(self, reason: Any = None) -> None:
        self.heard.append("lost")


class LimitsTestCase(SynchronousTestCase):
    """What the tests of this file share."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.factory = AppFactory()
        self.port = Gatekeeper()

    def limited(self, **serving: Any) -> ConnectionLimits:
        """A factory with these limits, on `port`."""
        made = ConnectionLimits(self.factory, ServingPolicy(**serving))
        made.port = cast(IPushProducer, self.port)
        return made

    def knock(self, limited: ConnectionLimits, host: str = "192.0.2.1") -> End | None:
        """Someone connects; None if the connection was closed at once."""
        address = IPv4Address("TCP", host, 1)
        place = limited.buildProtocol(address)
        if place is None:
            return None
        end = End(self.clock, peerAddress=address)
        end.start(place)
        return end

    def knocks(self, limited: ConnectionLimits, *hosts: str) -> list[End]:
        """Several connect, and no one is closed at once."""
        ends = [self.knock(limited, host) for host in hosts]
        self.assertNotIn(None, ends)
        return [end for end in ends if end is not None]


class TotalTests(LimitsTestCase):
    """``max_connections``: how many at once."""

    def test_whoever_is_inside_is_on_the_transport_itself(self) -> None:
        """The limit hides nothing: the protocol's transport is the real one."""
        (end,) = self.knocks(self.limited(max_connections=1), "192.0.2.1")
        end.hear(b"hello")
        self.assertIs(self.factory.all[0].transport, end)
        end.lose(ConnectionDone())
        self.assertEqual(self.factory.all[0].heard, ["made", "hello", "lost"])

    def test_the_port_is_paused_while_it_is_full(self) -> None:
        """The system lets newcomers wait, until there is a place."""
        limited = self.limited(max_connections=2)
        one, _ = self.knocks(limited, "192.0.2.1", "192.0.2.2")
        self.assertFalse(self.port.is_open)
        one.lose()
        self.assertTrue(self.port.is_open)
        self.knocks(limited, "192.0.2.3")
        self.assertFalse(self.port.is_open)

    def test_who_was_accepted_already_waits(self) -> None:
        """They are not read from and no protocol is built, until it is their turn."""
        limited = self.limited(max_connections=1)
        first, second, third = self.knocks(limited, "192.0.2.1", "192.0.2.2", "192.0.2.3")
        self.assertEqual([end.is_paused for end in (first, second, third)], [False, True, True])
        self.assertEqual(len(self.factory.all), 1)
        first.lose()
        self.assertEqual((second.is_paused, third.is_paused), (False, True))
        self.assertFalse(self.port.is_open)
        self.assertEqual(len(self.factory.all), 2)
        second.hear(b"my turn")
        self.assertEqual(self.factory.all[1].heard, ["made", "my turn"])
        second.lose()
        third.lose()
        self.assertTrue(self.port.is_open)
        self.assertEqual([protocol.heard[-1] for protocol in self.factory.all], ["lost"] * 3)

    def test_the_one_who_leaves_hears_so_first(self) -> None:
        """No newcomer is connected before the one in whose place it comes has heard the end."""
        limited = self.limited(max_connections=1)
        first, _ = self.knocks(limited, "192.0.2.1", "192.0.2.2")
        order: list[str] = []
        self.patch(AppProtocol, "connectionMade", lambda protocol: order.append("made"))
        self.patch(AppProtocol, "connectionLost", lambda protocol, reason: order.append("lost"))
        first.lose()
        self.assertEqual(order, ["lost", "made"])

    def test_who_gives_up_waiting_takes_no_place(self) -> None:
        """A connection that ends while it waits is forgotten."""
        limited = self.limited(max_connections=1)
        first, second, third = self.knocks(limited, "192.0.2.1", "192.0.2.2", "192.0.2.3")
        second.lose()
        first.lose()
        self.assertEqual(len(self.factory.all), 2)
        third.lose()
        self.assertEqual(len(self.factory.all), 2)
        self.assertTrue(self.port.is_open)

    def test_newcomers_may_be_closed_instead(self) -> None:
        """With ``overflow=close`` no one waits, and the port goes on accepting."""
        limited = self.limited(max_connections=1, overflow="close")
        (first,) = self.knocks(limited, "192.0.2.1")
        self.assertIsNone(self.knock(limited))
        self.assertTrue(self.port.is_open)
        first.lose()
        self.assertIsNotNone(self.knock(limited))

    def test_without_a_port_no_one_is_paused(self) -> None:
        """A connection may come before the port is known."""
        limited = self.limited(max_connections=1)
        limited.port = None
        first, second = self.knocks(limited, "192.0.2.1", "192.0.2.2")
        first.lose()
        self.assertFalse(second.is_paused)

    def test_the_log_names_the_application(self) -> None:
        """Who listens is the application's factory, and not what stands in front of it."""
        self.assertEqual(self.limited(max_connections=1).logPrefix(), "AppFactory")
        nameless: Any = Gatekeeper()
        self.assertEqual(ConnectionLimits(nameless, ServingPolicy()).logPrefix(), "Gatekeeper")

    def test_starting_and_stopping(self) -> None:
        """The application's factory is started and stopped with its port."""
        limited = self.limited(max_connections=1)
        limited.doStart()
        self.assertEqual(self.factory.started, 1)
        limited.doStop()
        self.assertEqual(self.factory.started, 0)


class AddressTests(LimitsTestCase):
    """``max_per_ip``: how many at once from one address."""

    def test_one_too_many_is_closed(self) -> None:
        """Others are not affected by it, and its place is free again."""
        limited = self.limited(max_per_ip=2)
        first, _ = self.knocks(limited, "192.0.2.1", "192.0.2.1")
        self.assertIsNone(self.knock(limited, "192.0.2.1"))
        self.knocks(limited, "192.0.2.2")
        first.lose()
        self.knocks(limited, "192.0.2.1")
        self.assertIsNone(self.knock(limited, "192.0.2.1"))
        self.assertTrue(self.port.is_open)

    def test_who_waits_counts_as_well(self) -> None:
        """No address can fill the queue, and come in beyond its limit later."""
        limited = self.limited(max_per_ip=1, max_connections=1)
        first, second = self.knocks(limited, "192.0.2.1", "192.0.2.2")
        self.assertIsNone(self.knock(limited, "192.0.2.2"))
        second.lose()
        self.assertIsNotNone(self.knock(limited, "192.0.2.2"))
        first.lose()
        self.assertIsNone(self.knock(limited, "192.0.2.2"))


class ApplicationTests(LimitsTestCase):
    """What the application does wrong takes no place, and hurts no one else."""

    def turn_of_another(self, mood: str) -> End:
        """One of two leaves; the other one's turn comes while the application is in that mood."""
        limited = self.limited(max_connections=1)
        first, second, third = self.knocks(limited, "192.0.2.1", "192.0.2.2", "192.0.2.3")
        self.factory.mood = mood
        first.lose()
        self.assertEqual(self.factory.all[0].heard, ["made", "lost"])
        self.factory.mood = "fine"
        self.clock.advance(0)
        if second.disconnecting:
            second.lose(ConnectionDone())
        self.assertFalse(third.is_paused)
        third.lose()
        self.assertTrue(self.port.is_open)
        return second

    def test_it_wants_no_protocol(self) -> None:
        """A connection for which there is none is closed."""
        self.assertTrue(self.turn_of_another("none").is_over)
        self.factory.mood = "none"
        self.assertIsNone(self.knock(self.limited(max_connections=1)))

    def test_its_factory_raises(self) -> None:
        """It is logged once, and the connection ends."""
        self.assertTrue(self.turn_of_another("build").is_over)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_its_protocol_raises(self) -> None:
        """It is logged once, the connection ends, and the protocol hears so."""
        self.assertTrue(self.turn_of_another("made").is_over)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual(self.factory.all[1].heard, ["made", "lost"])

    def test_a_protocol_that_pauses_stays_paused(self) -> None:
        """Whoever comes in after waiting may decide for itself when to read."""
        limited = self.limited(max_connections=1)
        first, second = self.knocks(limited, "192.0.2.1", "192.0.2.2")
        self.factory.mood = "paused"
        first.lose()
        self.assertTrue(second.is_paused)

    def test_an_end_that_raises_frees_its_place(self) -> None:
        """A bug in connectionLost costs no place."""
        limited = self.limited(max_connections=1)
        (first,) = self.knocks(limited, "192.0.2.1")

        def connectionLost(protocol: AppProtocol, reason: object) -> None:
            raise RuntimeError("lost")

        self.patch(AppProtocol, "connectionLost", connectionLost)
        self.assertRaises(RuntimeError, first.lose)
        self.assertTrue(self.port.is_open)


class ServerTests(LoopbackTestCase):
    """The limits of a server that listens."""

    def url(self, scheme: str, port: int | None = None) -> str:
        """A server's URL, or with a port that of its clients."""
        if port is None:
            given = f"?local_cert={certificates.site()}" if scheme == "tls" else ""
            return f"{scheme}://127.0.0.1:0{given}"
        given = f"?cafile={certificates.cafile()}" if scheme == "tls" else ""
        return f"{scheme}://127.0.0.1:{port}{given}"

    async def arrived(self, factory: Recorders, url: str, **options: Any) -> Recorder:
        """A client, when the server has its guest for it."""
        arriving = factory.next()
        client = await self.connected(url, **options)
        await arriving
        return client

    async def test_the_third_waits_for_a_place(self) -> None:
        """A paused server leaves newcomers waiting, and serves them in their turn."""
        for scheme in ("tcp", "tls"):
            factory = Recorders()
            port = await self.listening(self.url(scheme), factory, max_connections=2)
            first, second = [await self.arrived(factory, self.url(scheme, port)) for _ in range(2)]
            arriving = factory.next()
            waiting = txtransport.client(self.reactor, self.url(scheme, port)).connect(Recorders())
            second.say(b"still there")
            await factory.all[1].heard(b"still there")
            self.assertEqual(factory.built, 2)
            await self.end(first)
            await arriving
            self.addCleanup(self.end, await waiting)
            self.assertEqual(factory.built, 3)

    async def test_handshakes_count(self) -> None:
        """Someone in the middle of a handshake takes a place, and frees it."""
        factory = Recorders()
        port = await self.listening(self.url("tls"), factory, max_connections=1, overflow="close")
        silent = await self.connected(f"tcp://127.0.0.1:{port}")
        endpoint = txtransport.client(self.reactor, self.url("tls", port))
        connecting: Any = endpoint.connect(Recorders())
        error: Any = await self.assertFailure(connecting, HandshakeFailed)
        self.assertEqual(error.cause, "closed")
        self.assertEqual(factory.built, 0)
        leaving = self.overheard().next()
        await self.end(silent)
        await leaving
        await self.arrived(factory, self.url("tls", port))

    async def test_one_address(self) -> None:
        """A second connection from one address is closed, one from another is not."""
        factory = Recorders()
        port = await self.listening(self.url("tcp"), factory, max_per_ip=1)
        await self.arrived(factory, self.url("tcp", port))
        second = await self.connected(self.url("tcp", port))
        await second.gone()
        await self.arrived(factory, self.url("tcp", port), bindto="127.0.0.2")
        self.assertEqual(factory.built, 2)
