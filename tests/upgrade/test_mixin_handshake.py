"""The handshake that the mixin starts: deadlines, certificates, and failures."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, cast

from twisted.internet.protocol import Factory
from twisted.internet.task import Clock

from tests import certificates
from tests.loopback import NegotiatingRecorders, Recorder
from tests.speakers import Lines, client_policy, server_policy
from tests.upgrade.mixin_case import HELLO_START, MixinTestCase
from txtransport.errors import TransportTimeout
from txtransport.upgrade.switch import TLSState


class HandshakeTests(MixinTestCase):
    """Every handshake that fails is reported once, with its cause."""

    async def test_handshake_timeout_aborts_a_silent_client(self) -> None:
        """At the deadline, ten seconds by default, a silent client is aborted."""
        for timeout, expected in ((None, 10.0), (3, 3.0)):
            clock = Clock()
            server, client = await self.handshaking(tls_clock=clock, timeout=timeout)
            clock.advance(expected - 0.01)
            self.assertIs(server.tls_state, TLSState.HANDSHAKING)
            clock.advance(0.02)
            late = await self.upgrade_failure(server)
            self.assertIsInstance(late, TransportTimeout)
            self.assertEqual((late.stage, late.seconds), ("handshake", expected))
            self.assertIs(await self.reason_of(server), late)
            self.assertIs(server.tls_state, TLSState.FAILED)
            self.assertEqual(clock.getDelayedCalls(), [])
            await client.gone()

    async def test_client_handshake_timeout_is_thirty_seconds(self) -> None:
        """A client waits thirty seconds for a silent server."""
        clock = Clock()
        port = await self.listening("tcp://127.0.0.1:0", Factory.forProtocol(Recorder))
        client = await self.client_of(Lines, port, tls_clock=clock)
        client.upgrade(b"")
        clock.advance(30.01)
        self.assertIsInstance(await self.upgrade_failure(client), TransportTimeout)

    async def test_handshake_timeout_covers_the_whole_handshake(self) -> None:
        """A client that sends a byte every two seconds does not extend the deadline."""
        clock = Clock()
        server, client = await self.handshaking(tls_clock=clock)
        for byte in HELLO_START + b"\x00\xff":
            server.transport.protocol.dataReceived(bytes([byte]))
            clock.advance(1.9)
        clock.advance(0.6)
        self.assertEqual((await self.upgrade_failure(server)).received, HELLO_START + b"\x00\xff")
        await client.gone()

    async def test_plaintext_in_place_of_tls_is_named_and_not_executed(self) -> None:
        """The error shows, escaped, what came in place of TLS; none of it is executed."""
        rows = {
            b"EHLO evil.example\r\n": ("plaintext-peer", "EHLO evil"),
            b"GET / HTTP/1.1\r\n\r\n": ("plaintext-peer", "GET /"),
            bytes(64): ("plaintext-peer", r"\x00"),
            b"\x80\x2e\x01\x03\x01" + bytes(60): ("plaintext-peer", r"\x80."),
            b"\x1b[2J\x07" * 20: ("plaintext-peer", r"\x1b[2J\x07"),
            b"\x16\x03\x00\x00\x2d\x01\x00\x00\x29\x03\x00"
            + bytes(33)
            + b"\x00\x02\x00\x2f\x01\x00": ("no-common-version", ""),
        }
        for sent, (cause, shown) in rows.items():
            server, client = await self.handshaking()
            client.say(sent)
            await client.gone()
            failed = await self.upgrade_failure(server)
            self.assertEqual(failed.cause, cause, sent)
            self.assertIn(shown, str(failed))
            self.assertTrue(str(failed).isprintable())
            self.assertEqual(self.words_heard(server), [b"STARTTLS"])

    async def test_connection_lost_during_the_handshake_is_reported_once(self) -> None:
        """A close, a reset and a close_notify in place of a handshake are each reported once."""
        for say in (b"", HELLO_START, b"\x15\x03\x03\x00\x02\x01\x00"):
            for is_abrupt in (False, True):
                server, client = await self.handshaking()
                client.say(say)
                transport = cast(Any, client.transport)
                if is_abrupt and not say:
                    transport.abortConnection()
                else:
                    transport.loseConnection()
                failed = await self.upgrade_failure(server)
                self.assertEqual(failed.cause, "closed", say)
                self.assertIs(await self.reason_of(server), failed)
        self.assertEqual(self.flushLoggedErrors(), [])

    async def test_server_learns_that_its_certificate_was_rejected(self) -> None:
        """The server learns that the client rejected its certificate; both connections end."""
        servers = await self.servers_of(Lines)
        client = await self.client_of(Lines, servers.port, policy={"peer_name": "localhost"})
        client.say(b"STARTTLS")
        self.assertEqual((await self.upgrade_failure(client)).cause, "unknown-issuer")
        refused = await self.upgrade_failure(servers.all[0])
        self.assertEqual(refused.cause, "peer-alert")
        self.assertIn("refused our certificate", str(refused))

    async def test_invalid_certificate_is_refused_with_its_cause(self) -> None:
        """An invalid certificate is refused with its own cause, and the client sends no data."""
        rows = {
            "wrong-name": certificates.issued("elsewhere.pem", "elsewhere.example"),
            "expired": certificates.issued(
                "old.pem",
                "localhost",
                not_before=datetime(2020, 1, 1, tzinfo=timezone.utc),
                not_after=datetime(2020, 2, 1, tzinfo=timezone.utc),
            ),
            "wrong-purpose": certificates.issued("purpose.pem", "localhost", purpose="client"),
        }
        for cause, file in rows.items():
            servers = await self.servers_of(Lines, policy={"local_cert": file})
            client = await self.client_of(Lines, servers.port)
            client.say(b"STARTTLS")
            await client.hears(b"GO")
            client.say(b"secret")
            self.assertEqual((await self.upgrade_failure(client)).cause, cause)
            self.assertIs(client.tls_state, TLSState.FAILED)
            await servers.all[0].lost
            self.assertEqual(self.words_heard(servers.all[0]), [b"STARTTLS"])
            servers.all[0].secured.addErrback(lambda reason: None)

    async def test_no_common_version_is_reported_on_both_sides(self) -> None:
        """Client and server without a TLS version in common both report that."""
        servers = await self.servers_of(Lines, policy={**server_policy(), "min_version": "1.3"})
        client = await self.client_of(
            Lines, servers.port, policy={**client_policy(), "max_version": "1.2"}
        )
        client.say(b"STARTTLS")
        self.assertEqual((await self.upgrade_failure(client)).cause, "no-common-version")
        self.assertEqual((await self.upgrade_failure(servers.all[0])).cause, "no-common-version")

    async def test_missing_client_certificate_is_explained(self) -> None:
        """In TLS 1.3 a client learns late that its certificate is missing, and learns why."""
        demanding = {**server_policy(), "verify_peer": "yes", "cafile": certificates.cafile()}
        servers = await self.servers_of(Lines, policy=demanding)
        client = await self.client_of(Lines, servers.port)
        client.say(b"STARTTLS")
        await client.secured
        self.assertEqual((await self.reason_of(client)).cause, "client-certificate-required")
        self.assertEqual(
            (await self.upgrade_failure(servers.all[0])).cause, "client-certificate-required"
        )

    async def test_server_receives_the_client_certificate(self) -> None:
        """A server that demands a client certificate receives it."""
        demanding = {**server_policy(), "verify_peer": "yes", "cafile": certificates.cafile()}
        servers = await self.servers_of(Lines, policy=demanding)
        knowing = {**client_policy(), "local_cert": certificates.client()}
        client = await self.client_of(Lines, servers.port, policy=knowing)
        client.say(b"STARTTLS")
        await client.secured
        leaf = (await servers.all[0].secured).peer_certificate
        self.assertEqual(leaf.subject.rfc4514_string(), "CN=client.example")

    async def test_unknown_alpn_offer_does_not_fail_the_handshake(self) -> None:
        """An ALPN offer that the server does not know is ignored."""
        servers = await self.servers_of(Lines)
        client = await self.client_of(
            Lines, servers.port, policy={**client_policy(), "alpn_protocols": "smtp"}
        )
        client.say(b"STARTTLS")
        self.assertIsNone((await client.secured).alpn_protocol)

    async def test_factory_s_application_protocols_are_negotiated(self) -> None:
        """The protocol's factory is asked for its application protocols (ALPN)."""
        for offered in ("http/1.1", "imap"):
            servers = await self.servers_of(Lines, factory=NegotiatingRecorders())
            policy = {**client_policy(), "alpn_protocols": offered}
            client = await self.client_of(Lines, servers.port, policy=policy)
            client.say(b"STARTTLS")
            if offered == "http/1.1":
                self.assertEqual((await client.secured).alpn_protocol, "http/1.1")
            else:
                refusal = await self.upgrade_failure(client)
                self.assertEqual(refusal.cause, "no-common-protocol")
                await self.reason_of(servers.all[0])

    async def test_client_offers_its_factory_s_application_protocols(self) -> None:
        """A client with the mixin offers the application protocols of its factory."""
        accepting = {**server_policy(), "alpn_protocols": "http/1.1"}
        servers = await self.servers_of(Lines, policy=accepting)
        client = await self.client_of(Lines, servers.port, factory=NegotiatingRecorders())
        client.say(b"STARTTLS")
        self.assertEqual((await client.secured).alpn_protocol, "http/1.1")
