"""Our clients at Postfix and Dovecot: SMTP, LMTP, IMAP, POP3 and ManageSieve."""

from __future__ import annotations

from io import BytesIO
from typing import Any, Final, cast

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.mail.imap4 import IMAP4Client
from twisted.mail.pop3 import AdvancedPOP3Client
from twisted.mail.smtp import ESMTPSenderFactory

import txtransport
from tests import certificates
from tests.live.mail_servers import PASSWORD, MailServersTestCase, Server
from tests.live.peers import under_tls
from tests.loopback import Recorder, Recorders
from txtransport.cli.probe.probing import probe
from txtransport.config.url import TransportURL
from txtransport.errors import HandshakeFailed, MailNotSent, TLSNotOffered, TransportTimeout
from txtransport.mail import SentMail, sendmail
from txtransport.testing.devcert import Authority

GREETINGS: Final = {
    "smtp": b"220 localhost ESMTP\r\n",
    "lmtp": b"220 localhost LMTP\r\n",
    "imap": b"* OK ready\r\n",
    "pop3": b"+OK ready\r\n",
    "sieve": b"",
}
"""The greeting that the application receives: ours, with TLS and in the clear."""

QUESTIONS: Final = {
    "smtp": (b"EHLO us.example\r\n", b"250 "),
    "lmtp": (b"LHLO us.example\r\n", b"250 "),
    "imap": (b"a CAPABILITY\r\n", b"a OK "),
    "pop3": (b"CAPA\r\n", b"\r\n.\r\n"),
    "sieve": (b"", b"\r\nOK "),
}
"""The application's first question, and the end of the answer."""

BODY: Final = b"\n.\n..\n.dots and\nthe rest\n"
MAIL: Final = b"Subject: round trip\n" + BODY


class MailTestCase(MailServersTestCase):
    """A client of ours connects to Postfix or Dovecot."""

    async def start_servers(self, **keywords: Any) -> dict[str, int]:
        """Start both servers; return their ports, by protocol."""
        dovecot = await self.dovecot(**keywords)
        postfix = await self.postfix(dovecot.ports["lmtp"], **keywords)
        return {**dovecot.ports, **postfix.ports}

    async def connect(self, name: str, port: int, **options: Any) -> Recorder:
        """Connect a client with that dialogue; it trusts the tests' root."""
        options = {"cafile": certificates.cafile(), **options}
        return await self.connected(f"tls://localhost:{port}?starttls={name}", **options)

    async def connect_error(self, kind: type[Exception], url: str, **options: Any) -> Any:
        """The error of a client that fails; the application's protocol is never built."""
        options = {"cafile": certificates.cafile(), **options}
        factory = Recorders()
        connecting = txtransport.client(self.reactor, url, **options).connect(factory)
        error = await self.assertFailure(cast("Deferred[Any]", connecting), kind)
        self.assertEqual(factory.built, 0)
        return error

    async def ask(self, name: str, client: Recorder) -> bytes:
        """Send the first question; return all that is received up to the end of its answer."""
        question, end = QUESTIONS[name]
        client.say(question)
        return await client.heard(end)


class DialogueTests(MailTestCase):
    """The result of ``starttls=`` at each port of the mail servers."""

    async def test_each_dialogue_leads_to_tls(self) -> None:
        """Server and name are verified, and the application receives only what came under TLS."""
        ports = await self.start_servers()
        for name, greeting in GREETINGS.items():
            client = await self.connect(name, ports[name])
            heard = await self.ask(name, client)
            self.assertTrue(heard.startswith(greeting), heard)
            self.assertNotIn(b"STARTTLS", heard)
            self.assertNotIn(b"STLS", heard)
            session = under_tls(client)
            self.assertEqual((session.version, session.verified), ("TLSv1.3", True), name)

    async def test_implicit_tls_is_advised_to_use_starttls(self) -> None:
        """A probe that begins with TLS is advised to use starttls=, and that works.

        LMTP is left out: its greeting does not say which protocol the server speaks.
        """
        ports = await self.start_servers()
        options = {"cafile": certificates.cafile()}
        for name in ("smtp", "imap", "pop3", "sieve"):
            wrong = TransportURL.parse(f"tls://localhost:{ports[name]}")
            report = await probe(self.reactor, wrong, options, is_again=False)
            assert report.diagnosis is not None
            right = f"{wrong}?starttls={name}"
            self.assertIn(f"Use {right} ", f"{report.diagnosis.remedy} ")
            report = await probe(self.reactor, TransportURL.parse(right), options, is_again=False)
            self.assertTrue(report.is_verified, report.diagnosis)

    async def test_a_wrong_name_is_refused(self) -> None:
        """A server whose certificate is for another name is refused, in each protocol."""
        ports = await self.start_servers(pem=certificates.issued("mail-other.pem", "other.example"))
        for name in GREETINGS:
            url = f"tls://localhost:{ports[name]}?starttls={name}"
            error = await self.connect_error(HandshakeFailed, url)
            self.assertEqual((error.cause, error.permanent), ("wrong-name", True), name)
            self.assertIn("other.example", str(error))

    async def test_an_unknown_issuer_is_refused(self) -> None:
        """A server whose authority the client does not trust is refused, in each protocol."""
        ports = await self.start_servers(
            pem=certificates.issued("mail-untrusted.pem", "localhost", by=Authority.create())
        )
        for name in GREETINGS:
            url = f"tls://localhost:{ports[name]}?starttls={name}"
            error = await self.connect_error(HandshakeFailed, url)
            self.assertEqual((error.cause, error.permanent), ("unknown-issuer", True), name)

    async def test_a_server_without_tls_is_refused(self) -> None:
        """A server that does not offer TLS is refused, in each protocol."""
        ports = await self.start_servers(tls=False)
        for name in GREETINGS:
            url = f"tls://localhost:{ports[name]}?starttls={name}"
            error = await self.connect_error(TLSNotOffered, url)
            self.assertIn(f"?starttls={name}: ", str(error))

    async def test_starttls_policy_may_goes_on_in_the_clear(self) -> None:
        """With starttls_policy=may the application is greeted, and goes on in the clear."""
        ports = await self.start_servers(tls=False)
        for name in ("smtp", "lmtp", "imap", "pop3"):
            client = await self.connect(name, ports[name], starttls_policy="may")
            heard = await self.ask(name, client)
            self.assertTrue(heard.startswith(GREETINGS[name]), heard)
            self.assertIsNone(txtransport.session_of(client.transport))


class PortTests(MailTestCase):
    """Ports with TLS from the start, and ports without."""

    async def test_implicit_tls_has_no_dialogue(self) -> None:
        """With TLS from the start the application receives the server's own greeting."""
        ports = await self.start_servers()
        rows = {"smtps": b"220 post.example ESMTP", "imaps": b"* OK [", "pop3s": b"+OK Dovecot"}
        for name, greeting in rows.items():
            url = f"tls://localhost:{ports[name]}"
            client = await self.connected(url, cafile=certificates.cafile())
            heard = await client.heard(b"\r\n")
            self.assertTrue(heard.startswith(greeting), heard)
            self.assertTrue(under_tls(client).verified)

    async def test_the_wrong_kind_of_port_is_explained(self) -> None:
        """With the wrong kind of port, the error says what to change in the URL."""
        ports = await self.start_servers()
        for name in ("smtp", "imap", "pop3"):
            error = await self.connect_error(HandshakeFailed, f"tls://localhost:{ports[name]}")
            self.assertEqual(error.cause, "plaintext-peer", name)
            self.assertIn(f"starttls={name}", str(error))
            url = f"tls://localhost:{ports[name + 's']}?starttls={name}&timeout=0.5"
            error = await self.connect_error(TransportTimeout, url)
            self.assertIn("try without starttls", str(error))


class RoundTripTests(MailTestCase):
    """Twisted's own mail clients, which know nothing of txtransport, send and read a mail."""

    async def test_a_mail_is_sent_and_read(self) -> None:
        """A mail is sent to Postfix, and read from Dovecot over IMAP and POP3, under TLS."""
        dovecot = await self.dovecot()
        postfix = await self.postfix(dovecot.ports["lmtp"])
        await self.send(postfix)
        await postfix.peer.prints(rb"to=<joe@example\.com>.* status=sent")
        for mail in (await self.read_over_imap(dovecot), await self.read_over_pop3(dovecot)):
            self.assertIn(b"(Postfix) with ESMTPS id", mail)
            self.assertIn(b"\nSubject: round trip\n", mail)
            self.assertTrue(mail.endswith(BODY), mail)

    async def send(self, postfix: Server) -> None:
        """Send the mail with a client that insists on TLS."""
        sent: Deferred[tuple[int, Any]] = Deferred()
        sender = ESMTPSenderFactory(
            b"", b"", "ann@example.org", ["joe@example.com"], BytesIO(MAIL), sent,
            requireAuthentication=False, requireTransportSecurity=True,
        )  # fmt: skip
        sender.noisy = False
        await self.connect_protocol("smtp", postfix, sender)
        count, _ = await sent
        self.assertEqual(count, 1)

    async def read_over_imap(self, dovecot: Server) -> bytes:
        """Fetch the mail over IMAP."""
        imap: Any = await self.connect_protocol("imap", dovecot, Factory.forProtocol(IMAP4Client))
        await imap.login(b"joe@example.com", PASSWORD.encode())
        self.assertEqual((await imap.select(b"INBOX"))["EXISTS"], 1)
        found = await imap.fetchMessage("1")
        await imap.logout()
        return cast(bytes, found[1]["RFC822"].encode().replace(b"\r\n", b"\n"))

    async def read_over_pop3(self, dovecot: Server) -> bytes:
        """Fetch the mail over POP3."""
        pop3: Any = await self.connect_protocol(
            "pop3", dovecot, Factory.forProtocol(AdvancedPOP3Client)
        )
        await pop3.login(b"joe@example.com", PASSWORD.encode())
        self.assertEqual(len(await pop3.listSize()), 1)
        lines = await pop3.retrieve(0)
        await pop3.quit()
        return b"\n".join(lines) + b"\n"

    async def connect_protocol(self, name: str, server: Server, factory: Any) -> Protocol:
        """Connect a factory's protocol until the test is over."""
        url = f"tls://localhost:{server.ports[name]}?starttls={name}"
        factory.noisy = False
        endpoint = txtransport.client(self.reactor, url, cafile=certificates.cafile())
        protocol = cast(Protocol, await endpoint.connect(factory))
        self.addCleanup(cast(Any, protocol.transport).abortConnection)
        self.assertTrue(cast(Any, txtransport.session_of(protocol.transport)).verified)
        return protocol


class SendMailTests(MailTestCase):
    """`txtransport.mail.sendmail` at Postfix, with log-ins that Dovecot checks."""

    def send(self, url: str, **more: Any) -> Deferred[SentMail]:
        """Send the mail to joe@example.com."""
        return sendmail(
            self.reactor, url, "ann@example.org", "joe@example.com", MAIL,
            cafile=certificates.cafile(), **more,
        )  # fmt: skip

    async def test_submission_at_both_ports(self) -> None:
        """With a log-in a mail is taken with TLS from the start, and by STARTTLS."""
        dovecot = await self.dovecot()
        postfix = await self.postfix(dovecot.ports["lmtp"], auth=dovecot.ports["auth"])
        login = {"user": "joe@example.com", "password": PASSWORD}
        for url in (
            f"tls://localhost:{postfix.ports['smtps']}",
            f"tls://localhost:{postfix.ports['submission']}?starttls=smtp",
        ):
            sent = await self.send(url, **login)
            self.assertEqual(sent.accepted, ("joe@example.com",))
            self.assertIn("queued as", str(sent.reply))
            await postfix.peer.prints(rb"to=<joe@example\.com>.* status=sent")
            error = await self.error_of(self.send(url, user="joe@example.com", password="wrong"))
            self.assertEqual((error.cause, error.code), ("login-refused", 535))
            error = await self.error_of(self.send(url))
            self.assertEqual((error.cause, error.code), ("refused", 554))
        self.assertNotIn(PASSWORD.encode(), postfix.peer.printed)

    async def error_of(self, sending: Deferred[Any]) -> Any:
        """Why a mail is not sent."""
        return await self.assertFailure(sending, MailNotSent)
