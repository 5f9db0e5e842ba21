"""With a policy, guarded mail servers and clients of Twisted's log in under TLS only."""

from __future__ import annotations

import io
from typing import Any, ClassVar, cast

from twisted.cred.credentials import CramMD5Credentials
from twisted.internet.defer import Deferred
from twisted.mail import imap4, pop3, smtp
from twisted.protocols.policies import TimeoutFactory

import txtransport
from tests import certificates, twisted_protocols
from tests.speakers import server_policy
from tests.upgrade.guard_case import (
    AUTH_PLAIN,
    POP3_OPENING,
    GuardTestCase,
    POP3WithoutTLS,
    esmtp,
    imap,
)
from txtransport.errors import InvalidOption, NegotiationError


class ServerTests(GuardTestCase):
    """Twisted's servers start TLS under the guard's policy, without a context of their own."""

    async def test_smtp_server_offers_tls_and_logs_in_under_tls_only(self) -> None:
        """An ESMTP server without a context offers STARTTLS; AUTH works only behind it."""
        servers = await self.guarded_servers(esmtp, policy=server_policy())
        client = await self.raw_client(servers)
        client.say(b"EHLO a\r\n")
        said = await client.heard(b"250 STARTTLS\r\n")
        self.assertNotIn(b"AUTH", said)
        client.say(b"AUTH PLAIN " + AUTH_PLAIN + b"\r\n")
        said = await client.heard(b"\r\n5")
        self.assertIn(b"530 5.7.0 ", said)
        self.assertFalse(servers.recording.protocol.authenticated)
        client.say(b"STARTTLS\r\n")
        await client.heard(b"220 Begin")
        self.start_tls(client)
        client.say(b"EHLO a\r\nAUTH PLAIN " + AUTH_PLAIN + b"\r\n")
        said = await client.heard(b"235 ")
        self.assertIn(b"AUTH PLAIN LOGIN\r\n", said)
        given = b"".join(servers.recording.given)
        self.assertNotIn(b"AUTH", given.partition(b"STARTTLS")[0])

    async def test_imap_server_offers_tls_and_logs_in_under_tls_only(self) -> None:
        """An IMAP server without a context offers STARTTLS; LOGIN works only behind it."""
        servers = await self.guarded_servers(imap, policy=server_policy())
        client = await self.raw_client(servers)
        said = await client.heard(b"Ready\r\n")
        self.assertIn(b"LOGINDISABLED STARTTLS", said)
        self.assertNotIn(b"AUTH=", said)
        client.say(b'A LOGIN alice "correct horse"\r\nB AUTHENTICATE PLAIN\r\nC STARTTLS\r\n')
        said = await client.heard(b"C OK")
        for tag in (b"A", b"B"):
            self.assertIn(b"\r\n" + tag + b" NO [PRIVACYREQUIRED] ", said)
        self.start_tls(client)
        client.say(b'C CAPABILITY\r\nD LOGIN alice "correct horse"\r\n')
        said = await client.heard(b"D OK")
        self.assertIn(b"AUTH=PLAIN", said)
        self.assertEqual(servers.recording.given[0], b"C STARTTLS\r\n")

    async def test_log_ins_that_the_application_names_meanwhile_are_kept(self) -> None:
        """Under TLS the server offers what the application has set, before or meanwhile."""
        offered = {b"CRAM-MD5": CramMD5Credentials}

        class Naming(imap4.IMAP4Server):
            def connectionMade(self) -> None:
                self.challengers = offered
                super().connectionMade()

        for build in (Naming, lambda: imap4.IMAP4Server(offered)):
            servers = await self.guarded_servers(build, policy=server_policy())
            client = await self.raw_client(servers)
            client.say(b"A STARTTLS\r\n")
            await client.heard(b"A OK")
            self.start_tls(client)
            client.say(b"B CAPABILITY\r\n")
            said = await client.heard(b"B OK")
            self.assertIn(b"AUTH=CRAM-MD5", said.partition(b"A OK")[2])
        self.assertEqual(list(offered), [b"CRAM-MD5"])

    async def test_a_server_that_cannot_start_tls_goes_on_offering_nothing(self) -> None:
        """When startTLS() is refused, log-ins are still not offered."""
        overheard = self.overheard()
        servers = await self.guarded_servers(esmtp, policy={"local_cert": "/no/such/file"})
        client = await self.raw_client(servers)
        client.say(b"EHLO a\r\n")
        await client.heard(b"250 STARTTLS\r\n")
        server = servers.recording.protocol
        self.assertRaises(InvalidOption, server.transport.startTLS, server.ctx)
        client.say(b"EHLO again\r\nRSET\r\n")
        self.assertNotIn(b"AUTH", await client.heard(b"nothing"))
        self.assertEqual(overheard.events, [])

    async def test_pop3_server_that_knows_stls_logs_in_under_tls_only(self) -> None:
        """A POP3 server with STLS, as a subclass may have, takes USER and PASS under TLS only."""

        class WithSTLS(POP3WithoutTLS):
            AUTH_CMDS = (*POP3WithoutTLS.AUTH_CMDS, b"STLS")  # type: ignore[assignment]

            def do_STLS(self) -> None:
                self.successResponse(b"go ahead")
                cast(Any, self.transport).startTLS(None)

        def build() -> Any:
            server = WithSTLS()
            server.portal = twisted_protocols.portal_for(object())
            return server

        overheard = self.overheard()
        servers = await self.guarded_servers(build, policy=server_policy())
        client = await self.raw_client(servers)
        client.say(b"USER alice\r\nPASS correct horse\r\nSTLS\r\n")
        said = await client.heard(b"go ahead")
        self.assertEqual(said.count(b"-ERR "), 2)
        self.start_tls(client)
        client.say(b"USER alice\r\n")
        await client.heard(b"+OK USER accepted")
        self.assertEqual(servers.recording.given[:2], [b"STLS\r\n", b"USER alice\r\n"])
        self.assertFalse([event for event in overheard.events if "cannot start TLS" in str(event)])

    async def test_a_server_inside_wrappers_logs_in_under_tls_only(self) -> None:
        """Twisted's wrappers around a server do not hide it from a guard with a boundary."""
        servers = twisted_protocols.RecordingFactory(esmtp)
        wrapped: Any = servers
        for _ in range(2):
            wrapped = TimeoutFactory(wrapped, 60)
        guarded = txtransport.guard(wrapped, boundary=b"\n", policy=server_policy())
        cast(Any, servers).port = await self.listening("tcp://127.0.0.1:0", guarded)
        client = await self.raw_client(servers)
        client.say(b"EHLO a\r\nAUTH PLAIN " + AUTH_PLAIN + b"\r\nSTARTTLS\r\n")
        said = await client.heard(b"220 Begin")
        self.assertIn(b"250 STARTTLS\r\n530 5.7.0 ", said)
        self.start_tls(client)
        client.say(b"EHLO a\r\nAUTH PLAIN " + AUTH_PLAIN + b"\r\n")
        await client.heard(b"235 ")

    async def test_log_ins_without_require_tls_are_delivered(self) -> None:
        """With require_tls=False, and without a policy, the server decides by itself."""
        for keywords in ({"policy": server_policy(), "require_tls": False}, {}):
            servers = await self.guarded_servers(esmtp, **keywords)
            client = await self.raw_client(servers)
            client.say(b"EHLO a\r\nAUTH PLAIN " + AUTH_PLAIN + b"\r\n")
            said = await client.heard(b"235 ")
            self.assertEqual(b"STARTTLS" in said, bool(keywords))

    async def test_log_ins_under_implicit_tls_are_delivered(self) -> None:
        """Under TLS from the start, a policy that demands TLS changes nothing."""
        servers = twisted_protocols.RecordingFactory(esmtp)
        guarded = txtransport.guard(servers, policy=server_policy(), require_tls=True)
        port = await self.listening("tls://127.0.0.1:0", guarded, local_cert=certificates.site())
        client = await self.connected(f"tls://localhost:{port}", cafile=certificates.cafile())
        client.say(b"EHLO a\r\nAUTH PLAIN " + AUTH_PLAIN + b"\r\n")
        said = await client.heard(b"235 ")
        self.assertNotIn(b"STARTTLS", said)
        self.assertIsNone(servers.recording.protocol.ctx)

    async def test_a_refusal_does_not_count_as_the_answer_to_another_command(self) -> None:
        """A client that pipelines AUTH behind a slow command is not let into TLS."""
        postbox = twisted_protocols.Postbox(deciding=[])

        def build() -> Any:
            server = esmtp()
            server.delivery = postbox
            return server

        servers = await self.guarded_servers(build, policy=server_policy())
        client = await self.raw_client(servers)
        client.say(b"EHLO a\r\n")
        await client.heard(b"STARTTLS")
        client.say(b"MAIL FROM:<mallory@x>\r\nAUTH PLAIN x\r\nSTARTTLS\r\n")
        await client.gone()
        self.assertIn("did not wait", str(await servers.recording.reason()))
        assert postbox.deciding
        postbox.deciding[0].callback(None)


class ClientTests(GuardTestCase):
    """Twisted's clients send no password before TLS."""

    policy: ClassVar = {"cafile": certificates.cafile(), "peer_name": "localhost"}

    async def check_ended(self, servers: Any, recording: Any, outcome: Any, command: str) -> None:
        """The conversation has ended, and the error says which command and what to do."""
        failed = None if outcome is None else await self.failure_of(outcome)
        reason = await recording.reason()
        self.assertIn(failed, (reason, None))
        self.assertIsInstance(reason, NegotiationError)
        self.assertEqual((reason.cause, reason.fault), ("plaintext-login", "ours"))
        self.assertIn(command, str(reason))
        self.assertIn("starttls=", reason.remedy)
        self.assertIn(reason.remedy, str(reason))
        self.assertNotIn(reason.remedy, reason.summary)
        self.assertNotIn("correct horse", str(reason))
        await servers.recording.lost
        for secret in (b"alice", b"correct horse", AUTH_PLAIN):
            self.assertNotIn(secret, servers.recording.heard)

    async def test_smtp_client_demands_tls(self) -> None:
        """An ESMTP client that would do without TLS is made to demand it."""
        servers = await self.scripted_servers(
            b"220 ready\r\n", (b"EHLO", b"250-hi\r\n250 AUTH PLAIN\r\n"), (b"QUIT", b"221 bye\r\n")
        )
        sent: Deferred[Any] = Deferred()
        sender = twisted_protocols.mail_sender(
            sent, requireTransportSecurity=False, requireAuthentication=True
        )
        guarded = txtransport.guard(sender, policy=self.policy)
        self.reactor.connectTCP("127.0.0.1", servers.port, guarded)
        self.assertIn("TLS", str(await self.failure_of(sent)))
        await servers.recording.lost
        self.assertNotIn(b"AUTH", servers.recording.heard)

    async def test_smtp_client_uses_the_policy_without_a_context(self) -> None:
        """An ESMTP client without a context of its own starts TLS."""
        servers = await self.guarded_servers(esmtp, policy=server_policy())
        for require_tls in (None, False):
            recording = await self.guarded_client(
                lambda: smtp.ESMTPClient(b"secret", None, b"client.example"),
                servers,
                policy=self.policy,
                require_tls=require_tls,
            )
            while not txtransport.session_of(recording.protocol.transport):
                await self.turn()
            await self.hang_up(recording)
            await servers.recordings.pop().lost

    async def test_smtp_client_that_authenticates_in_the_clear_is_ended(self) -> None:
        """AUTH is not sent before TLS, though the client would."""

        class Hasty(smtp.ESMTPClient):
            def tryTLS(self, code: int, resp: bytes, items: Any) -> None:
                self.authenticate(code, resp, items)

        def build() -> Any:
            client = Hasty(twisted_protocols.PASSWORD, None, b"client.example")
            client.registerAuthenticator(smtp.PLAINAuthenticator(twisted_protocols.USER))
            return client

        servers = await self.guarded_servers(esmtp)
        recording = await self.guarded_client(build, servers, policy=self.policy)
        await self.check_ended(servers, recording, None, "AUTH")

    async def test_imap_client_does_not_log_in_to_a_server_without_tls(self) -> None:
        """IMAP4Client's login() fails where the server offers no TLS, and sends no password."""
        for what in ("login", "authenticate"):
            servers = await self.guarded_servers(imap)
            recording = await self.guarded_client(imap4.IMAP4Client, servers, policy=self.policy)
            client = recording.protocol
            if what == "login":
                outcome = client.login(twisted_protocols.USER, twisted_protocols.PASSWORD)
            else:
                client.registerAuthenticator(imap4.PLAINAuthenticator(twisted_protocols.USER))
                outcome = client.authenticate(twisted_protocols.PASSWORD)
            await self.check_ended(servers, recording, outcome, what.upper())

    async def test_imap_client_may_store_a_mail_about_a_log_in(self) -> None:
        """The text of a mail, which may have any words, is sent before TLS as it is."""
        text = b"Subject: x\r\n\r\nPlease LOGIN now\r\ndone\r\n"
        servers = await self.scripted_servers(
            b"* PREAUTH hi\r\n", (b"APPEND", b"+ go\r\n"), (b"done\r\n", b"0001 OK done\r\n")
        )
        recording = await self.guarded_client(imap4.IMAP4Client, servers, policy=self.policy)
        while not recording.given:
            await self.turn()
        await recording.protocol.append("INBOX", io.BytesIO(text))
        self.assertIn(text, servers.recording.heard)

    async def test_imap_client_logs_in_to_a_server_with_tls(self) -> None:
        """IMAP4Client's login() starts TLS where the server offers it, and logs in."""
        servers = await self.guarded_servers(imap, policy=server_policy())
        recording = await self.guarded_client(imap4.IMAP4Client, servers, policy=self.policy)
        await recording.protocol.login(twisted_protocols.USER, twisted_protocols.PASSWORD)
        self.assertEqual(servers.recording.protocol.state, "auth")

    async def test_pop3_client_does_not_log_in_before_tls(self) -> None:
        """USER, PASS and APOP are not sent; that the client was told to allow it does not help."""
        for greeting, log_in, command in (
            (b"+OK ready\r\n", "user", "USER"),
            (b"+OK ready\r\n", "password", "PASS"),
            (b"+OK ready <1896.697170952@example>\r\n", "login", "APOP"),
        ):
            servers = await self.scripted_servers(greeting, POP3_OPENING[1])
            recording = await self.guarded_client(
                pop3.AdvancedPOP3Client, servers, policy=self.policy
            )
            client = recording.protocol
            client.allowInsecureLogin = True
            while client.state == "WELCOME":
                await self.turn()
            words = (twisted_protocols.USER, twisted_protocols.PASSWORD)
            arguments = {"user": words[:1], "password": words[1:], "login": words}[log_in]
            await self.check_ended(servers, recording, getattr(client, log_in)(*arguments), command)

    async def test_pop3_client_is_made_to_refuse_insecure_log_ins(self) -> None:
        """AdvancedPOP3Client's own switch for log-ins in the clear is off."""

        def build() -> Any:
            client = pop3.AdvancedPOP3Client()
            client.allowInsecureLogin = True
            return client

        servers = await self.scripted_servers(b"+OK ready\r\n", (b"CAPA", b"+OK\r\n.\r\n"))
        recording = await self.guarded_client(build, servers, policy=self.policy)
        client = recording.protocol
        while client.state == "WELCOME":
            await self.turn()
        failed = await self.failure_of(
            client.login(twisted_protocols.USER, twisted_protocols.PASSWORD)
        )
        self.assertIsInstance(failed, pop3.InsecureAuthenticationDisallowed)
