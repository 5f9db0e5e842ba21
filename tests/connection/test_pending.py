"""Pending protocols: silent until they are connected, and then they hear everything."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IFileDescriptorReceiver,
    IHalfCloseableProtocol,
    IHandshakeListener,
    IProtocol,
)
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.python import log
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

import txtransport
from tests import certificates
from tests.loopback import LoopbackTestCase, Recorder, Recorders
from tests.memory import End
from txtransport.connection.pending import PendingProtocol


@implementer(IHalfCloseableProtocol, IFileDescriptorReceiver, IHandshakeListener)
class Curious(Protocol):
    """Provides every interface of a protocol, and records every event."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def connectionMade(self) -> None:
        self.heard.append("made")

    def dataReceived(self, data: bytes) -> None:
        self.heard.append(data.decode())

    def readConnectionLost(self) -> None:
        self.heard.append("read lost")

    def writeConnectionLost(self) -> None:
        self.heard.append("write lost")

    def fileDescriptorReceived(self, descriptor: int) -> None:
        self.heard.append(f"descriptor {descriptor}")

    def handshakeCompleted(self) -> None:
        self.heard.append("handshake")

    def connectionLost(self, reason: Any = None) -> None:
        self.heard.append(reason.type.__name__)


@implementer(IProtocol)
class Nameless:
    """A protocol with what Twisted demands of one, and no more."""

    def makeConnection(self, transport: object) -> None:
        pass

    def connectionMade(self) -> None:
        pass

    def dataReceived(self, data: bytes) -> None:
        pass

    def connectionLost(self, reason: object) -> None:
        pass


class PendingProtocolTests(SynchronousTestCase):
    """A protocol that is connected later than its transport."""

    def test_a_connected_protocol_hears_every_event(self) -> None:
        """Once it is connected, it hears each event as if the transport had called it."""
        end, pending, protocol = End(Clock()), PendingProtocol(), Curious()
        pending.expect(protocol)
        end.start(pending)
        self.assertEqual(protocol.heard, [])
        pending.connect_protocol()
        self.assertIs(protocol.transport, end)
        end.hear(b"data")
        pending.readConnectionLost()
        pending.writeConnectionLost()
        pending.fileDescriptorReceived(7)
        pending.handshakeCompleted()
        end.lose(ConnectionDone())
        self.assertEqual(protocol.heard, [
            "made", "data", "read lost", "write lost", "descriptor 7", "handshake",
            "ConnectionDone",
        ])  # fmt: skip

    def test_a_protocol_that_was_not_connected_hears_nothing(self) -> None:
        """A protocol that was not connected is not told of data, nor of the end."""
        end, pending, protocol = End(Clock()), PendingProtocol(), Curious()
        pending.expect(protocol)
        end.start(pending)
        end.hear(b"data")
        end.lose()
        self.assertEqual(protocol.heard, [])

    def test_it_provides_the_interfaces_of_the_expected_protocol(self) -> None:
        """Transports ask what a protocol understands before they say it."""
        wants = (IHalfCloseableProtocol, IFileDescriptorReceiver, IHandshakeListener)
        curious, plain = PendingProtocol(), PendingProtocol()
        curious.expect(Curious())
        plain.expect(Protocol())
        for interface in wants:
            self.assertTrue(interface.providedBy(curious))
            self.assertFalse(interface.providedBy(plain))

    def test_the_log_names_the_expected_protocol(self) -> None:
        """A line of the log is about the protocol that people know."""
        pending = PendingProtocol()
        self.assertEqual(pending.logPrefix(), "PendingProtocol")
        factory: tuple[IProtocol, ...] = (Curious(), Nameless())
        for protocol in factory:
            pending.expect(protocol)
            self.assertEqual(pending.logPrefix(), type(protocol).__name__)

    def test_an_exception_in_connection_made_reaches_the_caller(self) -> None:
        """What connectionMade raises, connect_protocol raises; the end is told all the same."""

        class Broken(Curious):
            def connectionMade(self) -> None:
                raise RuntimeError("broken")

        end, pending, protocol = End(Clock()), PendingProtocol(), Broken()
        pending.expect(protocol)
        end.start(pending)
        self.assertRaises(RuntimeError, pending.connect_protocol)
        pending.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(protocol.heard, ["ConnectionDone"])


class Talker(Recorder):
    """Writes to Twisted's log what it receives, as an application might."""

    def dataReceived(self, data: bytes) -> None:
        log.msg(f"heard {data.decode()}")
        super().dataReceived(data)

    def logPrefix(self) -> str:
        return "Talker"


class LogSystemTests(LoopbackTestCase):
    """Whom Twisted's log names while the application's protocol is at work."""

    async def systems(self, server: str, client: str, **serving: Any) -> list[str]:
        """What the log says of a server and then of its client, when they have heard something.

        Args:
            server: The server's URL.
            client: The client's; PORT is the server's port.
            **serving: Options of the server.
        """
        talkers: list[Talker] = []

        def build() -> Talker:
            talkers.append(Talker())
            return talkers[-1]

        factory = Factory.forProtocol(build)
        factory.noisy = False
        events: list[dict[str, Any]] = []
        log.addObserver(events.append)
        self.addCleanup(log.removeObserver, events.append)
        port = await self.listening(server, factory, **serving)
        trust: dict[str, Any] = {"cafile": certificates.cafile()} if "tls" in client else {}
        endpoint = txtransport.client(self.reactor, client.replace("PORT", str(port)), **trust)
        one = cast(Talker, await endpoint.connect(factory))
        self.addCleanup(self.end, one)
        while len(talkers) < 2 or not all(talker.is_connected for talker in talkers):
            await self.turn()
        (other,) = (talker for talker in talkers if talker is not one)
        # What the peer's last handshake message brings is read under the name from before.
        await self.turn()
        one.say(b"a question")
        await other.heard(b"a question")
        other.say(b"an answer")
        await one.heard(b"an answer")
        heard = [event for event in events if str(event.get("message")).startswith("('heard")]
        return [event["system"] for event in heard]

    async def test_the_log_names_the_application_s_protocol(self) -> None:
        """It names the protocol above TLS, as it does without TLS; never one of ours."""
        path = self.socket_path()
        tls = {"local_cert": certificates.site()}
        cases: tuple[tuple[str, str, dict[str, Any]], ...] = (
            ("tcp://127.0.0.1:0", "tcp://127.0.0.1:PORT", {}),
            ("tls://127.0.0.1:0", "tls://localhost:PORT", tls),
            ("tls://127.0.0.1:0", "tls://localhost:PORT", {**tls, "max_connections": 1}),
            ("tls://127.0.0.1:0?starttls=nbd", "tls://localhost:PORT?starttls=nbd", tls),
            (f"tls+unix://{path}", f"tls+unix://{path}?peer_name=localhost", tls),
        )
        for server, client, serving in cases:
            of_server, of_client = await self.systems(server, client, **serving)
            self.assertEqual(of_client, "Talker,client", server)
            host = "" if "unix" in server else "127.0.0.1"
            self.assertEqual(of_server, f"Talker,0,{host}", server)

    async def test_the_log_names_a_protocol_that_goes_on_in_the_clear(self) -> None:
        """Where starttls_policy=may allows plain text, the log names the application as well."""

        class Script(Recorder):
            def connectionMade(self) -> None:
                super().connectionMade()
                self.say(b"220 hello\r\n")

            def dataReceived(self, data: bytes) -> None:
                self.say(b"250 no TLS here\r\n")

        port = await self.listening("tcp://127.0.0.1:0", Factory.forProtocol(Script))
        client = txtransport.client(
            self.reactor, f"tls://localhost:{port}?starttls=smtp&starttls_policy=may"
        )
        talker: Any = await client.connect(Factory.forProtocol(Talker))
        self.addCleanup(self.end, talker)
        self.assertEqual(talker.transport.logPrefix(), "Talker,client")

    async def test_a_protocol_whose_log_prefix_fails_is_connected(self) -> None:
        """A logPrefix() that raises, perhaps for want of a transport, costs only the name."""

        class Premature(Recorder):
            def logPrefix(self) -> str:
                raise AttributeError("'NoneType' object has no attribute 'getPeer'")

        cases: tuple[tuple[str, str, dict[str, Any]], ...] = (
            ("tcp://127.0.0.1:0", "tcp://127.0.0.1:PORT", {}),
            ("tls://127.0.0.1:0", "tls://localhost:PORT", {"local_cert": certificates.site()}),
        )
        for server, client, serving in cases:
            servers = Recorders()
            accepted = servers.next()
            port = await self.listening(server, servers, **serving)
            trust: dict[str, Any] = {"cafile": certificates.cafile()} if serving else {}
            url = client.replace("PORT", str(port))
            endpoint = txtransport.client(self.reactor, url, timeout=2, **trust)
            protocol: Any = await endpoint.connect(Factory.forProtocol(Premature))
            self.addCleanup(self.end, protocol)
            self.assertTrue(protocol.is_connected, client)
            other = await accepted
            await self.end(protocol)
            await other.lost

    def test_other_transports_are_left_alone(self) -> None:
        """A transport without a name for the log, or with one of its own, keeps what it has."""
        for name in (None, "in memory"):
            end, pending = End(Clock()), PendingProtocol()
            if name is not None:
                vars(end)["logstr"] = name
            pending.expect(Curious())
            end.start(pending)
            pending.connect_protocol()
            self.assertEqual(vars(end).get("logstr"), name)
