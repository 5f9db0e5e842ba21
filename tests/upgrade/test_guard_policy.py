"""The guard's own TLS policy, in place of the protocols' contexts."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import Any

from service_identity.exceptions import CertificateError
from twisted.internet.interfaces import IProtocolNegotiationFactory
from twisted.logger import formatEvent
from twisted.mail import pop3
from zope.interface import implementer

import txtransport
from tests import certificates, twisted_protocols
from tests.speakers import server_policy
from tests.upgrade.guard_case import FirstLineReceiver, GuardTestCase
from txtransport.errors import InvalidOption, PlaintextInjected


class PolicyTests(GuardTestCase):
    """With a policy, the guard ignores the context that the protocol gives startTLS()."""

    async def test_certificate_without_names_is_refused(self) -> None:
        """A certificate without names passes Twisted's own verification, but no policy."""
        nameless = certificates.issued("nameless.pem", alternative_names=())
        for policy in ({"cafile": certificates.cafile(), "peer_name": "localhost"}, None):
            postbox = twisted_protocols.Postbox()
            servers = await self.guarded_servers(
                partial(
                    twisted_protocols.mail_server,
                    postbox,
                    twisted_protocols.server_context(nameless),
                )
            )
            sent = self.send_mail(servers, policy)
            if policy is None:
                # Twisted before 26.4 refuses it, too.
                with contextlib.suppress(CertificateError):
                    await sent
                    self.assertEqual(len(postbox.mails), 1)
                self.assertIn("subjectAltName", str(self.flushLoggedErrors()))
            else:
                failed = await self.failure_of(sent)
                error: Any = twisted_protocols.why_unsent(failed)
                self.assertEqual(error.cause, "wrong-name")
                self.assertEqual(postbox.mails, [])
            await servers.recording.lost

    async def test_policy_may_be_options_a_tls_policy_or_a_host_name(self) -> None:
        """A policy is a mapping, a TLSPolicy, or on clients the server's name."""
        for server, client in (
            (server_policy(), "localhost"),
            (
                txtransport.TLSPolicy(local_cert=certificates.site()),
                txtransport.TLSPolicy(peer_name="localhost", cafile=certificates.cafile()),
            ),
        ):
            servers = await self.guarded_servers(twisted_protocols.POP3Server, policy=server)
            recording = await self.guarded_client(pop3.AdvancedPOP3Client, servers, policy=client)
            # With a policy, the guard ignores the context.
            outcome = recording.protocol.startTLS(object())
            if client == "localhost":
                # With a name alone the platform's trust store is used, which lacks our root.
                self.assertEqual((await self.failure_of(outcome)).cause, "unknown-issuer")
            else:
                await outcome
                session = txtransport.session_of(recording.protocol.transport)
                assert session is not None
                self.assertTrue(session.verified)

    async def test_injected_plaintext_is_refused_and_logged(self) -> None:
        """With a policy, plaintext where TLS is to begin ends the connection too."""
        servers = await self.guarded_servers(twisted_protocols.POP3Server, policy=server_policy())
        client = await self.raw_client(servers)
        overheard = self.overheard()
        client.say(b"STLS\r\nevil\x1b\r\n")
        reason = await servers.recording.reason()
        self.assertIsInstance(reason, PlaintextInjected)
        (event,) = overheard.events
        self.assertEqual((event["error"], event["cause"]), (reason, "plaintext-injected"))
        self.assertEqual(event["peer"].host, "127.0.0.1")
        self.assertIn(r"evil\x1b", formatEvent(event))

    async def test_invalid_policy_is_reported_to_the_caller(self) -> None:
        """startTLS() raises when the policy cannot be used, and the connection stays usable."""
        for policy, wrong in (
            ({"local_cert": "/nowhere.pem"}, InvalidOption),
            ("localhost", InvalidOption),
            (7, TypeError),
        ):
            servers = await self.guarded_servers(twisted_protocols.POP3Server, policy=policy)
            client = await self.raw_client(servers)
            await client.heard(b"+OK ready")
            self.assertRaises(wrong, servers.recording.protocol.transport.startTLS, None)
            client.say(b"NOOP\r\n")
            await client.heard(b"+OK\r\n")

    async def test_tls_roles_may_be_reversed(self) -> None:
        """TLS's client may be TCP's server, with a policy and without."""
        client_policy = {"cafile": certificates.cafile(), "peer_name": "localhost"}
        for server, client in ((client_policy, server_policy()), (None, None)):
            servers = await self.guarded_servers(FirstLineReceiver, policy=server)
            recording = await self.guarded_client(FirstLineReceiver, servers, policy=client)
            while not servers.recordings:
                await self.turn()
            recording.protocol.transport.startTLS(twisted_protocols.server_context(), False)
            servers.recording.protocol.transport.startTLS(
                twisted_protocols.client_context(), normal=False
            )
            servers.recording.protocol.sendLine(b"hello")
            self.assertEqual(await recording.protocol.first_line, b"hello")
            session = txtransport.session_of(servers.recording.protocol.transport)
            assert session is not None
            self.assertIsNotNone(session.peer_certificate)

    async def test_application_protocols_of_the_guarded_factory_are_negotiated(self) -> None:
        """The factory within the guard is asked for its application protocols (ALPN)."""
        servers: Any = _Negotiating(twisted_protocols.POP3Server)
        guarded = txtransport.guard(servers, policy=server_policy())
        servers.port = await self.listening("tcp://127.0.0.1:0", guarded)
        policy = {"cafile": certificates.cafile(), "peer_name": "localhost"}
        recording = await self.guarded_client(
            pop3.AdvancedPOP3Client, servers, policy={**policy, "alpn_protocols": "smtp,pop3"}
        )
        await recording.protocol.startTLS(object())
        session = txtransport.session_of(recording.protocol.transport)
        assert session is not None
        self.assertEqual(session.alpn_protocol, "pop3")


@implementer(IProtocolNegotiationFactory)
class _Negotiating(twisted_protocols.RecordingFactory):
    def acceptableProtocols(self) -> list[bytes]:
        return [b"pop3"]
