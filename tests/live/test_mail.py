"""Clients of ours at Postfix and Dovecot: the dialogues of mail as their servers hold them."""

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
from tests.live.peers import under_tls
from tests.live.post_office import PASSWORD, PostOfficeTestCase, Server
from tests.loopback import Recorder, Recorders
from txtransport.cli.probe.probing import probe
from txtransport.config.url import TransportURL
from txtransport.errors import HandshakeFailed, TLSNotOffered, TransportTimeout
from txtransport.testing.devcert import Authority

GREETINGS: Final = {
    "smtp": b"220 localhost ESMTP\r\n",
    "lmtp": b"220 localhost LMTP\r\n",
    "imap": b"* OK ready\r\n",
    "pop3": b"+OK ready\r\n",
    "sieve": b"",
}
"""What a guest hears first, which is ours, be it under TLS or in the clear."""

QUESTIONS: Final = {
    "smtp": (b"EHLO us.example\r\n", b"250 "),
    "lmtp": (b"LHLO us.example\r\n", b"250 "),
    "imap": (b"a CAPABILITY\r\n", b"a OK "),
    "pop3": (b"CAPA\r\n", b"\r\n.\r\n"),
    "sieve": (b"", b"\r\nOK "),
}
"""What a guest asks then, and how the answer ends."""

BODY: Final = b"\n.\n..\n.dots and\nthe rest\n"
MAIL: Final = b"Subject: round trip\n" + BODY


class MailTestCase(PostOfficeTestCase):
    """A test with an open post office."""

    async def opened(self, **keywords: Any) -> dict[str, int]:
        """Start both servers; their ports, by protocol."""
        dovecot = await self.dovecot(**keywords)
        postfix = await self.postfix(dovecot.ports["lmtp"], **keywords)
        return {**dovecot.ports, **postfix.ports}

    async def visiting(self, name: str, port: int, **options: Any) -> Recorder:
        """A client that begins with that dialogue, and trusts the tests' root."""
        options = {"cafile": certificates.cafile(), **options}
        return await self.connected(f"tls://localhost:{port}?starttls={name}", **options)

    async def failing(self, kind: type[Exception], url: str, **options: Any) -> Any:
        """The error of that kind with which a client fails; no guest has heard of it."""
        options = {"cafile": certificates.cafile(), **options}
        factory = Recorders()
        connecting = txtransport.client(self.reactor, url, **options).connect(factory)
        error = await self.assertFailure(cast("Deferred[Any]", connecting), kind)
        self.assertEqual(factory.built, 0)
        return error

    async def asked(self, name: str, client: Recorder) -> bytes:
        """What a guest has heard by the end of the first answer."""
        question, end = QUESTIONS[name]
        client.say(question)
        return await client.heard(end)


class DialogueTests(MailTestCase):
    """What comes of ``starttls=`` at each of their ports."""

    async def test_each_leads_to_tls(self) -> None:
        """Server and name are verified, and what the guest then hears was said under TLS."""
        ports = await self.opened()
        for name, greeting in GREETINGS.items():
            client = await self.visiting(name, ports[name])
            heard = await self.asked(name, client)
            self.assertTrue(heard.startswith(greeting), heard)
            self.assertNotIn(b"STARTTLS", heard)
            self.assertNotIn(b"STLS", heard)
            session = under_tls(client)
            self.assertEqual((session.version, session.verified), ("TLSv1.3", True), name)

    async def test_tls_at_once(self) -> None:
        """A probe that begins with TLS is told where it begins in the clear, and that works.

        A server for LMTP says in its greeting that it takes mail, and no more.
        """
        ports = await self.opened()
        options = {"cafile": certificates.cafile()}
        for name in ("smtp", "imap", "pop3", "sieve"):
            astray = TransportURL.parse(f"tls://localhost:{ports[name]}")
            report = await probe(self.reactor, astray, options, is_again=False)
            assert report.diagnosis is not None
            right = f"{astray}?starttls={name}"
            self.assertIn(f"Use {right} ", f"{report.diagnosis.remedy} ")
            report = await probe(self.reactor, TransportURL.parse(right), options, is_again=False)
            self.assertTrue(report.is_verified, report.diagnosis)

    async def test_the_certificate_is_for_someone_else(self) -> None:
        """A server that shows another's certificate gets no guest, whatever the protocol."""
        ports = await self.opened(pem=certificates.issued("mail-other.pem", "other.example"))
        for name in GREETINGS:
            url = f"tls://localhost:{ports[name]}?starttls={name}"
            error = await self.failing(HandshakeFailed, url)
            self.assertEqual((error.cause, error.permanent), ("wrong-name", True), name)
            self.assertIn("other.example", str(error))

    async def test_the_certificate_is_of_an_unknown_authority(self) -> None:
        """Nor does one whose authority we do not trust."""
        ports = await self.opened(
            pem=certificates.issued("mail-alien.pem", "localhost", by=Authority.create())
        )
        for name in GREETINGS:
            url = f"tls://localhost:{ports[name]}?starttls={name}"
            error = await self.failing(HandshakeFailed, url)
            self.assertEqual((error.cause, error.permanent), ("unknown-issuer", True), name)

    async def test_a_server_without_tls(self) -> None:
        """A server that has no TLS does not offer it, and gets no guest."""
        ports = await self.opened(tls=False)
        for name in GREETINGS:
            url = f"tls://localhost:{ports[name]}?starttls={name}"
            error = await self.failing(TLSNotOffered, url)
            self.assertIn(f"?starttls={name}: ", str(error))

    async def test_a_server_without_tls_where_it_may_be(self) -> None:
        """With starttls_policy=may the guest is greeted, and goes on in the clear."""
        ports = await self.opened(tls=False)
        for name in ("smtp", "lmtp", "imap", "pop3"):
            client = await self.visiting(name, ports[name], starttls_policy="may")
            heard = await self.asked(name, client)
            self.assertTrue(heard.startswith(GREETINGS[name]), heard)
            self.assertIsNone(txtransport.session_of(client.transport))


class PortTests(MailTestCase):
    """Ports with TLS from the start, and those without."""

    async def test_tls_from_the_start(self) -> None:
        """Where TLS comes first there is no dialogue, and the greeting is the server's own."""
        ports = await self.opened()
        rows = {"smtps": b"220 post.example ESMTP", "imaps": b"* OK [", "pop3s": b"+OK Dovecot"}
        for name, greeting in rows.items():
            url = f"tls://localhost:{ports[name]}"
            client = await self.connected(url, cafile=certificates.cafile())
            heard = await client.heard(b"\r\n")
            self.assertTrue(heard.startswith(greeting), heard)
            self.assertTrue(under_tls(client).verified)

    async def test_the_other_kind_of_port(self) -> None:
        """Who takes one kind of port for the other is told what to change in the URL."""
        ports = await self.opened()
        for name in ("smtp", "imap", "pop3"):
            error = await self.failing(HandshakeFailed, f"tls://localhost:{ports[name]}")
            self.assertEqual(error.cause, "plaintext-peer", name)
            self.assertIn(f"starttls={name}", str(error))
            url = f"tls://localhost:{ports[name + 's']}?starttls={name}&timeout=0.5"
            error = await self.failing(TransportTimeout, url)
            self.assertIn("try without starttls", str(error))


class RoundTripTests(MailTestCase):
    """A mail, by Twisted's own clients, none of which knows anything of us."""

    async def test_a_mail_is_sent_and_read(self) -> None:
        """Sent to Postfix, delivered to Dovecot, and read over IMAP and POP3, all under TLS."""
        dovecot = await self.dovecot()
        postfix = await self.postfix(dovecot.ports["lmtp"])
        await self.send(postfix)
        await postfix.peer.prints(rb"to=<joe@example\.com>.* status=sent")
        for mail in (await self.read_over_imap(dovecot), await self.read_over_pop3(dovecot)):
            self.assertIn(b"(Postfix) with ESMTPS id", mail)
            self.assertIn(b"\nSubject: round trip\n", mail)
            self.assertTrue(mail.endswith(BODY), mail)

    async def send(self, postfix: Server) -> None:
        """Send the mail, with a sender who insists on TLS."""
        sent: Deferred[tuple[int, Any]] = Deferred()
        sender = ESMTPSenderFactory(
            b"", b"", "ann@example.org", ["joe@example.com"], BytesIO(MAIL), sent,
            requireAuthentication=False, requireTransportSecurity=True,
        )  # fmt: skip
        sender.noisy = False
        await self.visited("smtp", postfix, sender)
        count, _ = await sent
        self.assertEqual(count, 1)

    async def read_over_imap(self, dovecot: Server) -> bytes:
        """What lies in the mailbox."""
        imap: Any = await self.visited("imap", dovecot, Factory.forProtocol(IMAP4Client))
        await imap.login(b"joe@example.com", PASSWORD.encode())
        self.assertEqual((await imap.select(b"INBOX"))["EXISTS"], 1)
        found = await imap.fetchMessage("1")
        await imap.logout()
        return cast(bytes, found[1]["RFC822"].encode().replace(b"\r\n", b"\n"))

    async def read_over_pop3(self, dovecot: Server) -> bytes:
        """What lies in the mailbox."""
        pop3: Any = await self.visited("pop3", dovecot, Factory.forProtocol(AdvancedPOP3Client))
        await pop3.login(b"joe@example.com", PASSWORD.encode())
        self.assertEqual(len(await pop3.listSize()), 1)
        lines = await pop3.retrieve(0)
        await pop3.quit()
        return b"\n".join(lines) + b"\n"

    async def visited(self, name: str, server: Server, factory: Any) -> Protocol:
        """A guest who is there, until the test is over."""
        url = f"tls://localhost:{server.ports[name]}?starttls={name}"
        factory.noisy = False
        endpoint = txtransport.client(self.reactor, url, cafile=certificates.cafile())
        protocol = cast(Protocol, await endpoint.connect(factory))
        self.addCleanup(cast(Any, protocol.transport).abortConnection)
        self.assertTrue(cast(Any, txtransport.session_of(protocol.transport)).verified)
        return protocol
