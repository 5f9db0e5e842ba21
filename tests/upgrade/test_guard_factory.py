"""The factory that `guard` makes: its arguments, and what it passes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionClosed, ConnectionRefusedError
from twisted.internet.protocol import ClientFactory, Factory, Protocol
from twisted.internet.testing import StringTransport
from twisted.logger import LogLevel, formatEvent
from twisted.mail import pop3
from twisted.protocols.basic import (
    Int16StringReceiver,
    LineOnlyReceiver,
    LineReceiver,
    NetstringReceiver,
)
from twisted.protocols.policies import WrappingFactory
from twisted.words.protocols.jabber import xmlstream

import txtransport
from tests import twisted_protocols
from tests.loopback import LoopbackTestCase
from tests.speakers import server_policy
from tests.twisted_protocols import RecordingFactory
from tests.upgrade.guard_case import GuardTestCase


class FactoryTests(GuardTestCase):
    """The guard's factory passes on everything to the factory that it wraps."""

    def test_boundary_must_be_non_empty_bytes(self) -> None:
        """A boundary that is empty, or not bytes, is refused at once."""
        self.assertIn(
            "empty", str(self.assertRaises(ValueError, txtransport.guard, Factory(), b""))
        )
        for wrong in ("\n", bytearray(b"\n"), 10):
            self.assertRaises(TypeError, txtransport.guard, Factory(), wrong)

    async def test_factory_that_builds_no_protocol_closes_the_connection(self) -> None:
        """If the factory builds no protocol for a client, the connection is closed."""

        class Closed(Factory):
            noisy = False

            def buildProtocol(self, addr: object) -> None:
                return None

        port = await self.listening("tcp://127.0.0.1:0", txtransport.guard(Closed()))
        client = await self.connected(f"tcp://127.0.0.1:{port}")
        self.assertIsInstance((await client.gone()).value, ConnectionClosed)

    async def test_client_factory_methods_are_called(self) -> None:
        """A ClientFactory is told of attempts, failures and ends, and is started and stopped."""
        told: list[str] = []

        class Told(ClientFactory):
            noisy = False
            protocol = twisted_protocols.POP3Server

            def __init__(self) -> None:
                self.ended: Deferred[list[Any]] = Deferred()

            def doStart(self) -> None:
                told.append("start")

            def doStop(self) -> None:
                told.append("stop")

            def startedConnecting(self, connector: object) -> None:
                told.append("attempt")

            def clientConnectionFailed(self, connector: object, reason: Any) -> None:
                told.append("failure")
                self.ended.callback([reason.value])

            def clientConnectionLost(self, connector: object, reason: Any) -> None:
                told.append("end")
                self.ended.callback([reason.value])

        factory = Told()
        self.reactor.connectTCP("127.0.0.1", self.free_port(), txtransport.guard(factory))
        self.assertIsInstance((await factory.ended)[0], ConnectionRefusedError)
        await self.turn()
        self.assertEqual(told, ["start", "attempt", "failure", "stop"])
        servers, factory = await self.guarded_servers(twisted_protocols.POP3Server), Told()
        self.reactor.connectTCP("127.0.0.1", servers.port, txtransport.guard(factory))
        while not servers.recordings:
            await self.turn()
        servers.recording.protocol.transport.abortConnection()
        self.assertIsInstance((await factory.ended)[0], ConnectionClosed)
        await self.turn()
        self.assertEqual(told[4:], ["start", "attempt", "end", "stop"])

    async def test_endpoint_deferred_fires_with_the_guard(self) -> None:
        """An endpoint's Deferred fires with the guard, which has the protocol as attribute."""
        servers = await self.guarded_servers(twisted_protocols.POP3Server)
        endpoint = txtransport.client(self.reactor, f"tcp://127.0.0.1:{servers.port}")
        clients = RecordingFactory(pop3.AdvancedPOP3Client)
        connected: Any = await endpoint.connect(txtransport.guard(clients))
        self.addCleanup(self.hang_up, clients.recording)
        self.assertIs(connected.wrappedProtocol, clients.recording.protocol)


class UnknownParserTests(LoopbackTestCase):
    """A protocol whose commands the guard cannot find is named in the log."""

    def events(self, build: Callable[[], object], connections: int = 1, **keywords: Any) -> Any:
        """What is logged when a guarded factory's protocols are connected."""
        overheard = self.overheard()
        factory = txtransport.guard(RecordingFactory(build), **keywords)
        for _ in range(connections):
            guarded: Any = factory.buildProtocol(None)
            guarded.makeConnection(StringTransport())
            self.assertIsNone(guarded.transport.value() or None)
        return overheard.events

    def test_a_parser_that_is_not_known_is_logged_once(self) -> None:
        """The log says once that single bytes are slow, and that `boundary` helps."""
        (event,) = self.events(Bytes, connections=3)
        self.assertEqual(event["log_level"], LogLevel.warn)
        said = formatEvent(event)
        for words in ("Bytes", "single bytes", "boundary="):
            self.assertIn(words, said)
        self.assertNotIn("log in", said)

    def test_that_log_ins_are_not_known_is_logged_too(self) -> None:
        """Where log-ins have to wait for TLS, the log says that nobody knows them."""
        (event,) = self.events(Bytes, policy=server_policy())
        self.assertIn("log in", formatEvent(event))

    def test_a_wrapper_inside_the_guard_is_advised_against(self) -> None:
        """Twisted's wrappers hide the protocol; the log says to put them around the guard."""
        inner: Any = cast(Any, WrappingFactory)(RecordingFactory(LineReceiver))
        (event,) = self.events(lambda: inner.buildProtocol(None))
        self.assertIn("ProtocolWrapper", formatEvent(event))
        self.assertIn("guard() the factory inside", formatEvent(event))

    def test_known_parsers_are_not_logged(self) -> None:
        """With a boundary, or a parser of Twisted's, the log says nothing."""
        self.assertEqual(self.events(Bytes, boundary=b";"), [])
        for known in (LineReceiver, LineOnlyReceiver, Int16StringReceiver, NetstringReceiver):
            self.assertEqual(self.events(known), [], known)
        self.assertEqual(self.events(lambda: xmlstream.XmlStream(xmlstream.Authenticator())), [])

    def test_what_such_a_parser_receives_stays_single_bytes(self) -> None:
        """Such a protocol receives bytes one by one, and none while it pauses."""
        factory = txtransport.guard(RecordingFactory(Bytes))
        guarded: Any = factory.buildProtocol(None)
        guarded.makeConnection(StringTransport())
        guarded.dataReceived(b"ab|cd")
        self.assertEqual(guarded.wrappedProtocol.received, [b"a", b"b", b"|"])
        guarded.resumeProducing()
        self.assertEqual(guarded.wrappedProtocol.received, [b"a", b"b", b"|", b"c", b"d"])


class Bytes(Protocol):
    """Keeps what it receives, and pauses its transport at each bar."""

    def __init__(self) -> None:
        self.received: list[bytes] = []

    def dataReceived(self, data: bytes) -> None:
        self.received.append(data)
        if data == b"|":
            cast(Any, self.transport).pauseProducing()
