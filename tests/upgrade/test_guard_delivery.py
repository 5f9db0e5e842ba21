"""What the guard gives the application's protocol, and when."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.error import ConnectionClosed
from twisted.internet.protocol import Protocol
from twisted.protocols.basic import LineReceiver

import txtransport
from tests import twisted_protocols
from tests.speakers import Lines, server_policy
from tests.twisted_protocols import RecordingFactory
from tests.upgrade.guard_case import GuardTestCase
from txtransport.errors import ConversationOver, PlaintextInjected


class DeliveryTests(GuardTestCase):
    """Nothing that the application's protocol does lets plaintext pass for data under TLS."""

    async def test_protocol_that_paused_receives_one_command_at_a_time(self) -> None:
        """After a pause, the protocol still receives one command at a time."""

        class Pausing(LineReceiver):
            def lineReceived(self, line: bytes) -> None:
                self.sendLine(line)
                if line == b"wait":
                    self.pauseProducing()
                if line == b"STLS":
                    cast(Any, self.transport).startTLS(twisted_protocols.server_context())

        class PausingItsTransport(twisted_protocols.POP3Server):
            def lineReceived(self, line: bytes) -> None:
                super().lineReceived(line)
                if line == b"wait":
                    cast(Any, self.transport).pauseProducing()

            def resumeProducing(self) -> None:
                cast(Any, self.transport).resumeProducing()

        class PausingItself(Pausing):
            def pauseProducing(self) -> None:
                self.paused = True

        for build in (Pausing, PausingItsTransport, PausingItself):
            servers = await self.guarded_servers(build)
            client = await self.raw_client(servers)
            client.say(b"wait\r\none\r\nSTLS\r\nevil\r\n")
            while not servers.recordings or not servers.recording.given:
                await self.turn()
            recording = servers.recording
            self.assertEqual(recording.given, [b"wait\r\n"])
            recording.protocol.resumeProducing()
            self.assertEqual(
                [unit for unit in recording.given if unit][1:], [b"one\r\n", b"STLS\r\n"]
            )
            self.assertIsInstance(await recording.reason(), PlaintextInjected)
            await client.gone()

    async def test_paused_protocol_receives_nothing_until_it_resumes(self) -> None:
        """A pause does not stop the handshake; the protocol receives nothing until it resumes."""

        class Pausing(twisted_protocols.POP3Server):
            def lineReceived(self, line: bytes) -> None:
                super().lineReceived(line)
                if line == b"STLS":
                    cast(Any, self.transport).pauseProducing()

        servers = await self.guarded_servers(Pausing)
        client = await self.raw_client(servers)
        client.say(b"STLS\r\n")
        await client.heard(b"+OK\r\n")
        self.start_tls(client)
        transport: Any = servers.recording.protocol.transport
        while txtransport.session_of(transport) is None:
            await self.turn()
        client.say(b"NOOP\r\n")
        for _ in range(5):
            await self.turn()
        self.assertEqual(servers.recording.protocol.heard, [b"STLS"])
        transport.resumeProducing()
        await client.heard(b"+OK\r\n+OK\r\n")

    async def test_abort_stops_delivery(self) -> None:
        """A protocol that aborts receives nothing more, in the clear or under TLS."""

        class Aborting(LineReceiver):
            def connectionMade(self) -> None:
                self.heard: list[bytes] = []

            def lineReceived(self, line: bytes) -> None:
                self.heard.append(line)
                transport: Any = self.transport
                if line == b"STLS":
                    self.sendLine(b"+OK")
                    transport.startTLS(twisted_protocols.server_context())
                if line == b"abort":
                    transport.abortConnection()
                    self.assertRaises(
                        ConversationOver, transport.startTLS, twisted_protocols.server_context()
                    )
                    transport.write(b"too late")
                    transport.resumeProducing()

            assertRaises = self.assertRaises

        servers = await self.guarded_servers(Aborting)
        client = await self.raw_client(servers)
        client.say(b"abort\r\nSTLS\r\nevil\r\n")
        self.assertIsInstance(await servers.recording.reason(), ConnectionClosed)
        self.assertEqual(servers.recording.protocol.heard, [b"abort"])
        servers = await self.guarded_servers(Aborting)
        client = await self.raw_client(servers)
        client.say(b"STLS\r\n")
        await client.heard(b"+OK\r\n")
        self.start_tls(client)
        client.say(b"one\r\nabort\r\ntwo\r\n")
        self.assertIsInstance(await servers.recording.reason(), ConnectionClosed)
        self.assertEqual(servers.recording.protocol.heard, [b"STLS", b"one", b"abort"])

    async def test_protocol_with_the_mixin_is_protected_too(self) -> None:
        """A protocol with a StartTLSMixin of its own is guarded as well."""

        def build() -> Any:
            lines = Lines()
            lines.is_server, lines.policy = True, server_policy()
            lines.secured.addErrback(lambda reason: None)
            return lines

        servers = await self.guarded_servers(build)
        client = await self.raw_client(servers)
        client.say(b"STARTTLS\r\nevil\r\n")
        self.assertIsInstance(await servers.recording.reason(), PlaintextInjected)
        self.assertEqual(servers.recording.protocol.heard, [(b"STARTTLS", False)])
        await client.gone()

    async def test_guard_around_a_guard_works(self) -> None:
        """A factory may be guarded twice."""
        servers = RecordingFactory(twisted_protocols.POP3Server)
        twice = txtransport.guard(txtransport.guard(servers))
        cast(Any, servers).port = await self.listening("tcp://127.0.0.1:0", twice)
        client = await self.raw_client(servers)
        client.say(b"STLS\r\nevil\r\n")
        self.assertIsInstance(await servers.recording.reason(), PlaintextInjected)
        client = await self.raw_client(servers)
        client.say(b"STLS\r\n")
        await client.heard(b"+OK\r\n")
        self.start_tls(client)
        client.say(b"NOOP\r\n")
        await client.heard(b"+OK\r\n+OK\r\n")
        self.assertEqual(servers.recordings[0].protocol.heard, [b"STLS"])

    async def test_boundary_in_two_segments_is_found(self) -> None:
        """When a long input is delivered in parts, half a boundary at its end waits."""

        class Long(Protocol):
            def connectionMade(self) -> None:
                self.rest, self.words = b"", list[bytes]()

            def dataReceived(self, data: bytes) -> None:
                *words, self.rest = (self.rest + data).split(b"\r\n")
                for word in words:
                    self.words.append(word.strip())
                    if word.endswith(b"STLS"):
                        cast(Any, self.transport).startTLS(twisted_protocols.server_context())

        servers = await self.guarded_servers(Long, boundary=b"\r\n")
        client = await self.raw_client(servers)
        client.say(b" " * 70_000 + b"STLS\r")
        while not servers.recordings or not servers.recording.protocol.rest.endswith(b"STLS"):
            await self.turn()
        client.say(b"\nevil\r\n")
        self.assertIsInstance(await servers.recording.reason(), PlaintextInjected)
        self.assertEqual(servers.recording.protocol.words, [b"STLS"])
        await client.gone()

    async def test_error_in_the_protocol_ends_the_connection(self) -> None:
        """An exception before TLS is the application's: it ends the connection, logged once."""

        class Broken(twisted_protocols.POP3Server):
            def lineReceived(self, line: bytes) -> None:
                raise ZeroDivisionError(line)

        servers = await self.guarded_servers(Broken)
        client = await self.raw_client(servers)
        client.say(b"one\r\ntwo\r\n")
        self.assertIsInstance(await servers.recording.reason(), ZeroDivisionError)
        self.assertEqual(len(self.flushLoggedErrors()), 1)
        self.assertEqual(servers.recording.given, [b"one\r\n"])
        await client.gone()
