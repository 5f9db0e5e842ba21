"""The handshake of guarded protocols: deadlines, failures, and closing."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final, cast

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted, ConnectionClosed
from twisted.internet.interfaces import IHandshakeListener, ISSLTransport
from twisted.internet.ssl import Certificate, optionsForClientTLS
from twisted.logger import formatEvent
from twisted.mail import pop3
from zope.interface import implementer

from tests import twisted_protocols
from tests.key_updates import attacking_client
from tests.loopback import ClockedReactor, Recorder
from tests.speakers import server_policy
from tests.twisted_protocols import Recording
from tests.upgrade.guard_case import GuardTestCase
from txtransport.errors import HandshakeFailed, TransportTimeout
from txtransport.testing.devcert import Authority
from txtransport.upgrade.base_transport import base_transport


class HandshakeListeningServer(twisted_protocols.POP3Server):
    """A POP3 server that is an IHandshakeListener.

    Attributes:
        completed: How often handshakeCompleted() was called.
        on_handshake: Called with the server by handshakeCompleted().
    """

    completed = 0
    on_handshake: Callable[[Any], object] = staticmethod(lambda protocol: None)

    def handshakeCompleted(self) -> None:
        assert ISSLTransport.providedBy(self.transport)
        self.completed += 1
        self.on_handshake(self)


implementer(IHandshakeListener)(HandshakeListeningServer)


class HandshakeTests(GuardTestCase):
    """With a policy and without, every connection ends once, with its reason."""

    POLICIES: Final = (None, server_policy)
    """The protocol's own context, and a policy of the guard."""

    async def handshaking(
        self, policy: Any = None, build: Callable[[], object] = twisted_protocols.POP3Server
    ) -> tuple[Recording, Recorder, Any]:
        """A server that waits for a ClientHello, its client, and the server's clock."""
        servers = await self.guarded_servers(build, policy=policy and policy())
        client = await self.raw_client(servers)
        await client.heard(b"+OK ready")
        clocked = ClockedReactor(self.reactor)
        base_transport(servers.recording.protocol.transport).reactor = clocked
        client.say(b"STLS\r\n")
        await client.heard(b"+OK\r\n")
        return servers.recording, client, clocked.clock

    async def test_handshake_timeout_aborts_a_silent_or_slow_client(self) -> None:
        """A client that sends nothing, or a byte a second, is aborted at the deadline."""
        for policy in self.POLICIES:
            for word in (b"", b"\x16\x03\x01\x02\x00\x01"):
                recording, client, clock = await self.handshaking(policy)
                for byte in word:
                    base_transport(recording.protocol.transport).protocol.dataReceived(
                        bytes([byte])
                    )
                    clock.advance(1)
                clock.advance(9.99 - len(word))
                self.assertFalse(recording.lost.called)
                clock.advance(0.02)
                reason = await recording.reason()
                self.assertIsInstance(reason, TransportTimeout)
                self.assertEqual((reason.stage, reason.received), ("handshake", word))
                self.assertEqual(clock.getDelayedCalls(), [])
                await client.gone()

    async def test_client_handshake_timeout_is_thirty_seconds(self) -> None:
        """A client waits thirty seconds for a silent server."""
        servers = await self.scripted_servers(b"")
        recording = await self.guarded_client(pop3.AdvancedPOP3Client, servers)
        clocked = ClockedReactor(self.reactor)
        base_transport(recording.protocol.transport).reactor = clocked
        recording.protocol.transport.startTLS(twisted_protocols.client_context())
        clocked.clock.advance(29.99)
        self.assertFalse(recording.lost.called)
        clocked.clock.advance(0.02)
        self.assertIsInstance(await recording.reason(), TransportTimeout)

    async def test_plaintext_in_place_of_tls_is_logged_and_not_executed(self) -> None:
        """The log shows, escaped, what came in place of TLS; none of it is executed."""
        rows = {
            b"EHLO evil.example\r\n": "EHLO evil",
            b"GET / HTTP/1.1\r\n\r\n": "GET /",
            bytes(64): r"\x00\x00",
            b"\x80\x2e\x01\x03\x01" + bytes(60): r"\x80.",
            b"\x1b[2J\x07{peer}\r\n" * 9: r"\x1b[2J\x07{peer}\r\n",
        }
        for policy in self.POLICIES:
            for said, shown in rows.items():
                recording, client, _ = await self.handshaking(policy)
                overheard = self.overheard()
                client.say(said)
                await client.gone()
                reason = await recording.reason()
                self.assertEqual(reason.cause, "plaintext-peer")
                (event,) = overheard.events
                self.assertEqual((event["error"], event["cause"]), (reason, "plaintext-peer"))
                text = formatEvent(event)
                self.assertIn(shown, text)
                self.assertTrue(text.isprintable())
                self.assertEqual(recording.protocol.heard, [b"STLS"])

    async def test_client_that_rejects_our_certificate_is_logged(self) -> None:
        """The log says why the client rejected the server's certificate."""
        for policy in self.POLICIES:
            recording, client, _ = await self.handshaking(policy)
            overheard = self.overheard()
            other_authority = Certificate.loadPEM(Authority.create("another").pem)
            context = optionsForClientTLS("localhost", trustRoot=other_authority)
            cast(Any, client.transport).startTLS(context)
            await client.gone()
            self.assertEqual((await recording.reason()).cause, "peer-alert")
            (event,) = overheard.events
            self.assertIn("unknown ca", formatEvent(event))

    async def test_close_notify_during_the_handshake_is_reported_as_closed(self) -> None:
        """A close_notify in place of a ClientHello ends the connection as `closed`."""
        for policy in self.POLICIES:
            recording, client, _ = await self.handshaking(policy)
            client.say(b"\x15\x03\x03\x00\x02\x01\x00")
            await client.gone()
            reason = await recording.reason()
            self.assertIsInstance(reason, HandshakeFailed)
            self.assertEqual(reason.cause, "closed")

    async def test_connection_lost_during_the_handshake_is_reported_as_closed(self) -> None:
        """A reset, and an end in the middle of the ClientHello, are reported as `closed`."""
        for policy in self.POLICIES:
            for leave, word, how in (
                ("abortConnection", b"", "was reset (RST)"),
                ("abortConnection", b"\x16\x03\x01", "was reset (RST)"),
                ("loseConnection", b"\x16\x03\x01", "closed the connection"),
            ):
                recording, client, _ = await self.handshaking(policy)
                client.say(word)
                getattr(client.transport, leave)()
                reason = await recording.reason()
                self.assertEqual(reason.cause, "closed")
                self.assertIn(how, str(reason))

    async def test_handshake_listener_is_called_once(self) -> None:
        """A protocol that is an IHandshakeListener is called once, and may close at once."""
        for policy in self.POLICIES:
            for leave in ("", "abortConnection", "loseConnection"):
                recording, client, _ = await self.handshaking(policy, HandshakeListeningServer)
                if leave:
                    recording.protocol.on_handshake = partial(self.leave, leave)
                self.start_tls(client)
                client.say(b"NOOP\r\n")
                if not leave:
                    await client.heard(b"+OK\r\n+OK\r\n")
                    await self.end(client)
                self.assertIsInstance(await recording.reason(), ConnectionClosed)
                self.assertEqual(recording.protocol.completed, 1)
                self.assertEqual(
                    recording.protocol.heard, [b"STLS"] if leave else [b"STLS", b"NOOP"]
                )

    def leave(self, method: str, protocol: Any) -> None:
        """Close the protocol's connection by that method of its transport."""
        getattr(protocol.transport, method)()

    async def test_error_in_handshake_completed_ends_the_connection(self) -> None:
        """An exception in handshakeCompleted() ends the connection and is logged once."""

        def fail(protocol: object) -> None:
            raise ZeroDivisionError("of the protocol's")

        for policy in self.POLICIES:
            recording, client, _ = await self.handshaking(policy, HandshakeListeningServer)
            recording.protocol.on_handshake = fail
            self.start_tls(client)
            client.say(b"NOOP\r\n")
            reason = await recording.reason()
            self.assertIsInstance(reason, ZeroDivisionError)
            (logged,) = self.flushLoggedErrors()
            self.assertIs(logged.value, reason)
            self.assertEqual(recording.protocol.heard, [b"STLS"])
            await client.gone()

    async def test_close_waits_at_most_five_seconds_for_close_notify(self) -> None:
        """A client that never sends close_notify is waited for five seconds."""
        for policy in self.POLICIES:
            recording, client, clock = await self.handshaking(policy, HandshakeListeningServer)
            self.start_tls(client)
            client.say(b"NOOP\r\n")
            await client.heard(b"+OK\r\n+OK\r\n")
            cast(Any, client.transport).pauseProducing()
            recording.protocol.transport.loseConnection()
            for _ in range(2):
                # The deadline starts anew if the transport could still write something.
                await self.turn()
                clock.advance(5.01)
            self.assertIsInstance(await recording.reason(), ConnectionClosed)
            self.assertEqual(clock.getDelayedCalls(), [])
            cast(Any, client.transport).resumeProducing()
            await client.gone()

    async def test_key_updates_do_not_keep_a_closed_connection(self) -> None:
        """A client that asks for new keys all the time, and never closes, is cut off."""
        for policy in self.POLICIES:
            clocked, secured = ClockedReactor(self.reactor), Deferred[Any]()

            class Server(HandshakeListeningServer):
                on_handshake = staticmethod(secured.callback)

                def connectionMade(self, clocked: ClockedReactor = clocked) -> None:
                    base_transport(self.transport).reactor = clocked
                    super().connectionMade()

            servers = await self.guarded_servers(Server, policy=policy and policy())
            attacker = await attacking_client(self, servers.port, b"STLS\r\n", b"+OK\r\n")
            (await secured).transport.loseConnection()
            await attacker.ask_all_the_time(self, clocked.clock, 60)
            self.assertEqual(clocked.clock.seconds(), 5)
            self.assertIsInstance(await servers.recording.reason(), ConnectionClosed)

    async def test_a_client_that_still_reads_is_waited_for(self) -> None:
        """A slow reader of a large answer is not cut off while it reads."""
        for policy in self.POLICIES:
            recording, client, clock = await self.handshaking(policy, HandshakeListeningServer)
            self.start_tls(client)
            client.say(b"RETR\r\n")
            await client.heard(b"+OK\r\n+OK\r\n")
            reading: Any = client.transport
            reading.pauseProducing()
            # More than the buffers of the system hold.
            recording.protocol.transport.write(bytes(20_000_000))
            recording.protocol.transport.loseConnection()
            for _ in range(4):
                clock.advance(4.9)
                reading.resumeProducing()
                await client.grown(len(client.received) + 1_000_000)
                reading.pauseProducing()
                clock.advance(0.2)
                await self.turn()
                self.assertFalse(recording.lost.called)
            for _ in range(3):
                clock.advance(5.1)
                await self.turn()
            self.assertIsInstance(await recording.reason(), ConnectionClosed)
            reading.resumeProducing()
            await client.gone()

    async def test_close_during_the_handshake_sends_what_was_written(self) -> None:
        """loseConnection() sends what was written before, if anything was; else it aborts."""

        class Leaving(twisted_protocols.POP3Server):
            last = b""

            def lineReceived(self, line: bytes) -> None:
                super().lineReceived(line)
                cast(Any, self.transport).write(self.last)
                cast(Any, self.transport).loseConnection()

        servers = await self.guarded_servers(Leaving)
        client = await self.raw_client(servers)
        overheard = self.overheard()
        client.say(b"STLS\r\n")
        self.assertIsInstance(await servers.recording.reason(), ConnectionAborted)
        # The protocol closed the connection itself, so there is nothing to log.
        self.assertEqual(overheard.events, [])
        self.patch(Leaving, "last", b"bye\r\n")
        servers = await self.guarded_servers(Leaving)
        client = await self.raw_client(servers)
        client.say(b"STLS\r\n")
        await client.heard(b"+OK\r\n")
        self.start_tls(client)
        await client.heard(b"bye\r\n")
        self.assertIsInstance(await servers.recording.reason(), ConnectionClosed)
