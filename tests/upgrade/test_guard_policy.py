"""The guard's own TLS policy, in place of the protocols' contexts."""

from __future__ import annotations

from functools import partial

from twisted.logger import formatEvent
from twisted.mail import pop3

import txtransport
from tests import certificates, twisted_protocols
from tests.speakers import as_server as policy_of_a_server
from tests.upgrade.guard_case import GuardTestCase, Telling
from txtransport.errors import (
    InvalidOption,
    PlaintextInjected,
)


class PolicyTests(GuardTestCase):
    """With a policy, the guard ignores the context that the protocol gives startTLS()."""

    async def test_certificate_without_names_is_refused(self) -> None:
        """A certificate without names passes Twisted's own verification, but no policy."""
        nameless = certificates.issued("nameless.pem", alternative_names=())
        for policy in ({"cafile": certificates.cafile(), "peer_name": "localhost"}, None):
            postbox = twisted_protocols.Postbox()
            made = await self.serving(
                partial(
                    twisted_protocols.mail_server, postbox, twisted_protocols.as_server(nameless)
                )
            )
            sent = self.send(made, policy)
            if policy is None:
                await sent
                self.assertEqual(len(postbox.mails), 1)
                self.assertIn("subjectAltName", str(self.flushLoggedErrors()))
            else:
                failed = await self.failure(sent)
                self.assertEqual(failed.__cause__.cause, "wrong-name")
                self.assertEqual(postbox.mails, [])
            await made.recorder.lost

    async def test_policy_may_be_options_a_tls_policy_or_a_host_name(self) -> None:
        """A policy is a mapping, a TLSPolicy, or on clients the server's name."""
        for server, client in (
            (policy_of_a_server(), "localhost"),
            (
                txtransport.TLSPolicy(local_cert=certificates.site()),
                txtransport.TLSPolicy(peer_name="localhost", cafile=certificates.cafile()),
            ),
        ):
            made = await self.serving(twisted_protocols.PostOffice, policy=server)
            recorder = await self.calling(pop3.AdvancedPOP3Client, made, policy=client)
            # The contexts are not even looked at.
            outcome = recorder.protocol.startTLS(object())
            if client == "localhost":
                # The name alone means the platform's trust, which does not know our root.
                self.assertEqual((await self.failure(outcome)).cause, "unknown-issuer")
            else:
                await outcome
                session = txtransport.session_of(recorder.protocol.transport)
                assert session is not None
                self.assertTrue(session.verified)

    async def test_injected_plaintext_is_refused_and_logged(self) -> None:
        """With a policy, plaintext where TLS is to begin ends the connection too."""
        made = await self.serving(twisted_protocols.PostOffice, policy=policy_of_a_server())
        client = await self.raw(made)
        overheard = self.overheard()
        client.say(b"STLS\r\nevil\x1b\r\n")
        reason = await made.recorder.reason()
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
            made = await self.serving(twisted_protocols.PostOffice, policy=policy)
            client = await self.raw(made)
            await client.heard(b"+OK ready")
            self.assertRaises(wrong, made.recorder.protocol.transport.startTLS, None)
            client.say(b"NOOP\r\n")
            await client.heard(b"+OK\r\n")

    async def test_tls_roles_may_be_reversed(self) -> None:
        """TLS's client may be TCP's server, with a policy and without."""
        as_client = {"cafile": certificates.cafile(), "peer_name": "localhost"}
        for server, client in ((as_client, policy_of_a_server()), (None, None)):
            made = await self.serving(Telling, policy=server)
            recorder = await self.calling(Telling, made, policy=client)
            while not made.recorders:
                await self.turn()
            recorder.protocol.transport.startTLS(twisted_protocols.as_server(), False)
            made.recorder.protocol.transport.startTLS(twisted_protocols.as_client(), normal=False)
            made.recorder.protocol.sendLine(b"hello")
            self.assertEqual(await recorder.protocol.told, b"hello")
            session = txtransport.session_of(made.recorder.protocol.transport)
            assert session is not None
            self.assertIsNotNone(session.peer_certificate)
