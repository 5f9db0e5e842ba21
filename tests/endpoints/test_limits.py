"""Limits: so many connections at once, and each that ends makes way for another."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.address import IPv4Address, IPv6Address
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


class PausablePort:
    """In place of a listening port: records whether it accepts connections."""

    is_open = True

    def pauseProducing(self) -> None:
        self.is_open = False

    def resumeProducing(self) -> None:
        self.is_open = True


class AppFactory(Factory):
    """Builds protocols; the test may make it fail.

    Attributes:
        all: The protocols built so far.
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
        self.port = PausablePort()

    def limited(self, **serving: Any) -> ConnectionLimits:
        """A factory with these limits, on `port`."""
        made = ConnectionLimits(self.factory, ServingPolicy(**serving))
        made.port = cast(IPushProducer, self.port)
        return made

    def connect(self, limited: ConnectionLimits, host: str = "192.0.2.1") -> End | None:
        """A new connection; None if it was closed at once."""
        address: Any = (IPv6Address if ":" in host else IPv4Address)("TCP", host, 1)
        protocol = limited.buildProtocol(address)
        if protocol is None:
            return None
        end = End(self.clock, peerAddress=address)
        end.start(protocol)
        return end

    def connect_all(self, limited: ConnectionLimits, *hosts: str) -> list[End]:
        """New connections, none of which is closed at once."""
        ends = [self.connect(limited, host) for host in hosts]
        self.assertNotIn(None, ends)
        return [end for end in ends if end is not None]


class TotalTests(LimitsTestCase):
    """``max_connections``: how many at once."""

    def test_the_protocol_s_transport_is_the_real_one(self) -> None:
        """The limit hides nothing: the protocol's transport is the real one."""
        (end,) = self.connect_all(self.limited(max_connections=1), "192.0.2.1")
        end.hear(b"hello")
        self.assertIs(self.factory.all[0].transport, end)
        end.lose(ConnectionDone())
        self.assertEqual(self.factory.all[0].heard, ["made", "hello", "lost"])

    def test_the_port_is_paused_while_it_is_full(self) -> None:
        """The kernel lets new connections wait until another has ended."""
        limited = self.limited(max_connections=2)
        one, _ = self.connect_all(limited, "192.0.2.1", "192.0.2.2")
        self.assertFalse(self.port.is_open)
        one.lose()
        self.assertTrue(self.port.is_open)
        self.connect_all(limited, "192.0.2.3")
        self.assertFalse(self.port.is_open)

    def test_a_port_that_the_application_paused_stays_paused(self) -> None:
        """A connection that ends resumes the port only if a limit has paused it."""
        for serving in ({"max_connections": 2}, {"max_per_ip": 2}):
            limited = self.limited(**serving)
            (one,) = self.connect_all(limited, "192.0.2.1")
            self.port.pauseProducing()
            one.lose()
            self.assertFalse(self.port.is_open)
            self.port.resumeProducing()

    def test_a_connection_accepted_above_the_limit_waits(self) -> None:
        """Until its turn it is not read from, and no protocol is built."""
        limited = self.limited(max_connections=1)
        first, second, third = self.connect_all(limited, "192.0.2.1", "192.0.2.2", "192.0.2.3")
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

    def test_the_closed_protocol_hears_so_before_the_next_is_connected(self) -> None:
        """A waiting connection gets its protocol after the closed one has heard connectionLost."""
        limited = self.limited(max_connections=1)
        first, _ = self.connect_all(limited, "192.0.2.1", "192.0.2.2")
        order: list[str] = []
        self.patch(AppProtocol, "connectionMade", lambda protocol: order.append("made"))
        self.patch(AppProtocol, "connectionLost", lambda protocol, reason: order.append("lost"))
        first.lose()
        self.assertEqual(order, ["lost", "made"])

    def test_a_connection_that_ends_while_waiting_is_forgotten(self) -> None:
        """It gets no protocol, and does not count."""
        limited = self.limited(max_connections=1)
        first, second, third = self.connect_all(limited, "192.0.2.1", "192.0.2.2", "192.0.2.3")
        second.lose()
        first.lose()
        self.assertEqual(len(self.factory.all), 2)
        third.lose()
        self.assertEqual(len(self.factory.all), 2)
        self.assertTrue(self.port.is_open)

    def test_overflow_close_closes_new_connections(self) -> None:
        """With ``overflow=close`` no connection waits, and the port goes on accepting."""
        limited = self.limited(max_connections=1, overflow="close")
        (first,) = self.connect_all(limited, "192.0.2.1")
        self.assertIsNone(self.connect(limited))
        self.assertTrue(self.port.is_open)
        first.lose()
        self.assertIsNotNone(self.connect(limited))

    def test_limits_hold_before_the_port_is_known(self) -> None:
        """A connection may come before the port is known."""
        limited = self.limited(max_connections=1)
        limited.port = None
        first, second = self.connect_all(limited, "192.0.2.1", "192.0.2.2")
        first.lose()
        self.assertFalse(second.is_paused)

    def test_the_log_names_the_application(self) -> None:
        """The name in the log is that of the application's factory, not of its wrapper."""
        self.assertEqual(self.limited(max_connections=1).logPrefix(), "AppFactory")
        nameless: Any = PausablePort()
        self.assertEqual(ConnectionLimits(nameless, ServingPolicy()).logPrefix(), "PausablePort")

    def test_the_application_s_factory_starts_and_stops_with_the_port(self) -> None:
        """The application's factory is started and stopped with its port."""
        limited = self.limited(max_connections=1)
        limited.doStart()
        self.assertEqual(self.factory.started, 1)
        limited.doStop()
        self.assertEqual(self.factory.started, 0)


class AddressTests(LimitsTestCase):
    """``max_per_ip``: how many at once from one address."""

    def test_a_connection_above_max_per_ip_is_closed(self) -> None:
        """Other addresses are not affected, and a connection that ends makes way for another."""
        limited = self.limited(max_per_ip=2)
        first, _ = self.connect_all(limited, "192.0.2.1", "192.0.2.1")
        self.assertIsNone(self.connect(limited, "192.0.2.1"))
        self.connect_all(limited, "192.0.2.2")
        first.lose()
        self.connect_all(limited, "192.0.2.1")
        self.assertIsNone(self.connect(limited, "192.0.2.1"))
        self.assertTrue(self.port.is_open)

    def test_an_ipv6_network_counts_as_one_address(self) -> None:
        """A host chooses the last 64 bits itself, and cannot get round the limit with them."""
        limited = self.limited(max_per_ip=2)
        first, _ = self.connect_all(limited, "2001:db8::1", "2001:db8::ffff:0:0:1")
        self.assertIsNone(self.connect(limited, "2001:db8::2"))
        self.connect_all(limited, "2001:db8:0:1::1", "2001:db8:0:1::2", "::1")
        first.lose()
        self.connect_all(limited, "2001:db8::3")
        self.assertIsNone(self.connect(limited, "2001:db8::1"))

    def test_ipv4_clients_of_an_ipv6_socket_count_each(self) -> None:
        """An IPv4-mapped address counts as its IPv4 address, and not as a part of ``::/64``."""
        limited = self.limited(max_per_ip=1)
        self.connect_all(limited, "::ffff:192.0.2.1", "::ffff:192.0.2.2", "192.0.2.3", "::1")
        for host in ("::ffff:192.0.2.1", "192.0.2.2", "::ffff:192.0.2.3"):
            self.assertIsNone(self.connect(limited, host))

    def test_a_waiting_connection_counts_for_max_per_ip(self) -> None:
        """No address can fill the queue, and exceed its limit later."""
        limited = self.limited(max_per_ip=1, max_connections=1)
        first, second = self.connect_all(limited, "192.0.2.1", "192.0.2.2")
        self.assertIsNone(self.connect(limited, "192.0.2.2"))
        second.lose()
        self.assertIsNotNone(self.connect(limited, "192.0.2.2"))
        first.lose()
        self.assertIsNone(self.connect(limited, "192.0.2.2"))


class ApplicationTests(LimitsTestCase):
    """An error of the application leaves the count right, and affects no other connection."""

    def turn_of_another(self, mood: str) -> End:
        """One connection ends; the next one's turn comes while the application fails like that."""
        limited = self.limited(max_connections=1)
        first, second, third = self.connect_all(limited, "192.0.2.1", "192.0.2.2", "192.0.2.3")
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

    def test_a_factory_that_builds_none_frees_the_connection(self) -> None:
        """A connection for which there is none is closed."""
        self.assertTrue(self.turn_of_another("none").is_over)
        self.factory.mood = "none"
        self.assertIsNone(self.connect(self.limited(max_connections=1)))

    def test_an_exception_in_the_factory_frees_the_connection(self) -> None:
        """It is logged once, and the connection ends."""
        self.assertTrue(self.turn_of_another("build").is_over)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_an_exception_in_connection_made_frees_the_connection(self) -> None:
        """It is logged once, the connection ends, and the protocol hears so."""
        self.assertTrue(self.turn_of_another("made").is_over)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual(self.factory.all[1].heard, ["made", "lost"])

    def test_a_protocol_that_pauses_stays_paused(self) -> None:
        """A protocol that is connected after waiting may decide when to read."""
        limited = self.limited(max_connections=1)
        first, second = self.connect_all(limited, "192.0.2.1", "192.0.2.2")
        self.factory.mood = "paused"
        first.lose()
        self.assertTrue(second.is_paused)

    def test_an_exception_in_connection_lost_frees_the_connection(self) -> None:
        """After an exception in connectionLost the connection no longer counts."""
        limited = self.limited(max_connections=1)
        (first,) = self.connect_all(limited, "192.0.2.1")

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
        """A client, once the server has a protocol for it."""
        arriving = factory.next()
        client = await self.connected(url, **options)
        await arriving
        return client

    async def test_a_connection_above_max_connections_waits_for_its_turn(self) -> None:
        """A paused server lets new connections wait, and serves each in its turn."""
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

    async def test_a_connection_in_its_handshake_counts(self) -> None:
        """A connection in the middle of its handshake counts, until it ends."""
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

    async def test_max_per_ip_counts_each_address_for_itself(self) -> None:
        """A second connection from one address is closed, one from another is not."""
        factory = Recorders()
        port = await self.listening(self.url("tcp"), factory, max_per_ip=1)
        await self.arrived(factory, self.url("tcp", port))
        second = await self.connected(self.url("tcp", port))
        await second.gone()
        await self.arrived(factory, self.url("tcp", port), bindto="127.0.0.2")
        self.assertEqual(factory.built, 2)
