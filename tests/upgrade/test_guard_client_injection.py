"""Plaintext that a server injects: guarded clients never read it as if it came under TLS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.mail import imap4, pop3

from tests import certificates, twisted_protocols
from tests.twisted_protocols import Recording
from tests.upgrade.guard_case import EVIL, MAILDROP, GuardTestCase
from txtransport.errors import (
    HandshakeFailed,
    PlaintextInjected,
)
from txtransport.testing.devcert import Authority

SESSION: Final = (
    b"250-mx\r\n250 AUTH PLAIN\r\n235 ok\r\n250 ok\r\n250 ok\r\n354 go on\r\n"
    b"250 queued\r\n221 bye\r\n"
)
"""All that a mail server says after the go-ahead."""


@frozen
class Reply:
    """How a server lets one of the clients go ahead.

    Attributes:
        build: Builds the client.
        begin: Has it begin.
        greeting: What the server says first.
        steps: What it says to what, before the go-ahead.
        ask: How the client asks for TLS.
        go_ahead: The answer.
    """

    build: Callable[[], object]
    begin: Callable[[Any], Any]
    greeting: bytes
    steps: tuple[tuple[bytes, bytes], ...]
    ask: bytes
    go_ahead: bytes


CLIENTS: Final = {
    "smtp": Reply(
        lambda: twisted_protocols.sending(Deferred()).buildProtocol(None),
        lambda client: None,
        b"220 mx\r\n",
        ((b"EHLO", b"250-mx\r\n250 STARTTLS\r\n"),),
        b"STARTTLS\r\n",
        b"220 go\r\n",
    ),
    "imap": Reply(
        lambda: imap4.IMAP4Client(twisted_protocols.as_client()),
        lambda client: client.getCapabilities().addCallback(lambda _: client.startTLS()),
        b"* OK hello\r\n",
        ((b"CAPABILITY", b"* CAPABILITY IMAP4rev1 STARTTLS\r\n0001 OK done\r\n"),),
        b"0002 STARTTLS\r\n",
        b"0002 OK go\r\n",
    ),
    "pop3": Reply(
        pop3.AdvancedPOP3Client,
        lambda client: client.startTLS(twisted_protocols.as_client()),
        MAILDROP[0],
        (MAILDROP[1],),
        b"STLS\r\n",
        b"+OK go\r\n",
    ),
    "xmpp": Reply(
        lambda: twisted_protocols.xmpp_client(twisted_protocols.Caller()),
        lambda client: None,
        b"",
        ((b"<stream:stream", twisted_protocols.STREAM + twisted_protocols.FEATURES),),
        b"xmpp-tls'/>",
        twisted_protocols.PROCEED,
    ),
    "amp": Reply(
        twisted_protocols.Peer,
        twisted_protocols.started,
        b"",
        (),
        b"\x08StartTLS\0\0",
        twisted_protocols.box(_answer=b"1"),
    ),
}


@frozen
class Attempt:
    """One client's way to TLS.

    Attributes:
        visit: The client's side.
        made: The servers that it came to.
        outcome: What it was promised, or None.
    """

    recorder: Recording
    made: Any
    outcome: Any


class ClientInjectionTests(GuardTestCase):
    """What a server sends in the clear after its go-ahead is never believed."""

    async def begun(self, name: str, go_ahead: bytes, *more: tuple[bytes, bytes | None]) -> Attempt:
        """A client that has begun with servers which answer so."""
        how = CLIENTS[name]
        steps = [*how.steps, (how.ask, go_ahead), *more]
        return await self.attempt(how, await self.scripted(how.greeting, *steps))

    async def attempt(self, how: Reply, made: Any) -> Attempt:
        """A client that has begun with those servers."""
        recorder = await self.calling(how.build, made)
        # AMP says that all is well before the handshake.
        outcome = how.begin(recorder.protocol) if how is not CLIENTS["amp"] else None
        if how is CLIENTS["amp"]:
            how.begin(recorder.protocol)
        return Attempt(recorder, made, outcome)

    async def injected(self, name: str, *texts: bytes) -> None:
        """Each of these behind the go-ahead ends the connection, and is not given to the client."""
        how = CLIENTS[name]
        for evil in texts:
            attempt = await self.begun(name, how.go_ahead + evil)
            reason = await attempt.recorder.reason()
            self.assertIsInstance(reason, PlaintextInjected, evil)
            self.assertEqual(reason.received, evil[:64])
            self.assertTrue(attempt.recorder.heard.endswith(how.go_ahead), attempt.recorder.heard)
            if attempt.outcome is not None:
                self.assertIs(await self.failure(attempt.outcome), reason)
            # Neither a hello nor a secret was said.
            server = attempt.made.recorder
            self.assertTrue(server.heard.endswith(how.ask), server.heard)
            await server.lost

    async def test_smtp_reply_after_the_go_ahead_is_not_believed(self) -> None:
        """SMTP: a reply to EHLO after the go-ahead gets no credentials from the client."""
        await self.injected("smtp", b"250-evil\r\n250 AUTH LOGIN PLAIN\r\n", b"\r\n")

    async def test_pop3_capabilities_after_the_go_ahead_are_not_believed(self) -> None:
        """POP3: a list of capabilities after the go-ahead is not believed."""
        await self.injected("pop3", b"+OK\r\nPLAIN\r\nLOGIN\r\n.\r\n")

    async def test_pop3_partial_line_after_the_go_ahead_ends_the_connection(self) -> None:
        """POP3: part of a line counts as injected too."""
        await self.injected("pop3", b"\xb9\xb3\xb9\xb2\xb3", b"+")

    async def test_imap_replies_after_the_go_ahead_are_not_believed(self) -> None:
        """IMAP: capabilities and tagged replies after the go-ahead are not believed."""
        await self.injected(
            "imap", b"* CAPABILITY IMAP4REV1 AUTH=PLAIN\r\n0003 OK done\r\n", b"* 9 EXISTS\r\n"
        )

    async def test_imap_alert_after_the_go_ahead_ends_the_connection(self) -> None:
        """IMAP: an alert after the go-ahead is not shown; one before it does no harm."""
        await self.injected("imap", b"* OK [ALERT] x\r\n")
        attempt = await self.begun("imap", b"* OK [ALERT] x\r\n0002 OK go\r\n")
        await self.until_hello(attempt)
        await self.hung_up(attempt.recorder)
        await self.failure(attempt.outcome)

    async def test_imap_bye_after_the_go_ahead_is_not_a_clean_close(self) -> None:
        """IMAP: a BYE after the go-ahead is an injection, not a clean close."""
        await self.injected("imap", b"* BYE close\r\n")

    async def test_xmpp_data_after_proceed_ends_the_connection(self) -> None:
        """XMPP: no stanza, features, error, stream header or space may follow <proceed/>."""
        await self.injected(
            "xmpp",
            b"<message from='mallory@localhost'><body>hi</body></message>",
            twisted_protocols.PROCEED,
            b"<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>"
            b"<mechanism>PLAIN</mechanism></mechanisms></stream:features>",
            b"<stream:error><see-other-host xmlns='urn:ietf:params:xml:ns:xmpp-streams'>"
            b"evil.example</see-other-host></stream:error>",
            twisted_protocols.STREAM,
            b" ",
        )

    async def test_amp_box_after_the_answer_is_not_executed(self) -> None:
        """AMP: a call after the answer is not executed, and the client's next call fails."""
        await self.injected(
            "amp", twisted_protocols.box(_ask=b"9", _command=b"Ask", text=EVIL), b"\0\0"
        )
        made = await self.scripted(b"", (CLIENTS["amp"].ask, CLIENTS["amp"].go_ahead + b"\0"))
        recorder = await self.calling(twisted_protocols.Peer, made)
        # AMP says that all is well before the handshake; what is asked after it tells.
        await twisted_protocols.started(recorder.protocol)
        failed = await self.failure(
            recorder.protocol.callRemote(twisted_protocols.Ask, text="secret")
        )
        self.assertIsInstance(failed, PlaintextInjected)
        self.assertEqual(recorder.protocol.asked, [])

    async def test_xmpp_document_type_is_refused(self) -> None:
        """XMPP: a document type is refused; one of its entities could stand for many tags."""
        entity = b'<!DOCTYPE s [<!ENTITY e "' + twisted_protocols.PROCEED + b'<message/>">]>'
        made = await self.scripted(
            b"", (b"<stream", entity + twisted_protocols.STREAM + b"&e;<a/>")
        )
        recorder = await self.calling(CLIENTS["xmpp"].build, made)
        self.assertIn("document type", str(await recorder.reason()))
        self.assertEqual(recorder.protocol.authenticator.stanzas, [])

    async def test_plaintext_after_the_go_ahead_fails_the_handshake(self) -> None:
        """Plaintext that follows the go-ahead goes to TLS, which reports a plaintext peer."""
        for name, how in CLIENTS.items():
            attempt = await self.begun(name, how.go_ahead, (b"\x16\x03", b"250 evil\r\n"))
            reason = await attempt.recorder.reason()
            self.assertEqual((reason.cause, reason.received), ("plaintext-peer", b"250 evil\r\n"))
            self.assertTrue(attempt.recorder.heard.endswith(how.go_ahead))
            if attempt.outcome is not None:
                self.assertIs(await self.failure(attempt.outcome), reason)

    async def test_segmentation_does_not_matter(self) -> None:
        """However the replies are cut into segments, TLS begins after the go-ahead."""
        for how in CLIENTS.values():
            answers = [how.greeting, *(answer for _, answer in how.steps), how.go_ahead]
            for size in (1, 7):
                attempt = await self.attempt(how, await self.scripted(b""))
                wrapper = attempt.recorder.protocol.transport
                for answer in answers:
                    for start in range(0, len(answer), size):
                        wrapper.dataReceived(answer[start : start + size])
                await self.until_hello(attempt)
                await self.hung_up(attempt.recorder)
                if attempt.outcome is not None:
                    await self.failure(attempt.outcome)

    async def until_hello(self, attempt: Attempt) -> None:
        """Wait for a client to begin TLS; the test's own deadline bounds it."""
        while b"\x16\x03" not in attempt.made.recorder.heard:
            await self.turn()

    async def test_smtp_mail_is_not_sent_because_plaintext_says_so(self) -> None:
        """SMTP: a whole session's replies in the clear do not make a mail count as sent."""
        made = await self.scripted(
            b"220 mx\r\n",
            (b"EHLO", b"250-mx\r\n250 STARTTLS\r\n"),
            (b"STARTTLS", b"220 go\r\n" + SESSION),
        )
        failed = await self.failure(self.send(made))
        self.assertIsInstance(failed.__cause__, PlaintextInjected)
        self.assertTrue(made.recorder.heard.endswith(b"STARTTLS\r\n"))

    async def test_smtp_mail_is_not_sent_to_an_untrusted_server(self) -> None:
        """SMTP: no mail goes to an untrusted certificate, with the guard's policy or without."""
        stranger = certificates.issued("stranger.pem", "localhost", by=Authority.create("no one"))
        postbox = twisted_protocols.Postbox()
        for policy in (None, {"peer_name": "localhost", "cafile": certificates.cafile()}):
            made = await self.serving(
                lambda: twisted_protocols.mail_server(
                    postbox, twisted_protocols.as_server(stranger)
                )
            )
            failed = await self.failure(self.send(made, policy=policy))
            self.assertIsInstance(failed.__cause__, HandshakeFailed)
            await made.recorder.lost
        self.assertEqual((postbox.senders, postbox.mails), ([], []))

    async def test_smtp_wrong_reply_to_starttls_sends_no_mail(self) -> None:
        """SMTP: whatever the server says in place of the go-ahead, no mail is sent in the clear."""
        for answer in (b"354 x", b"250 ok", b"* 220", b"220ok", b"2200 x", b"+ go", b"454 no"):
            made = await self.scripted(
                b"220 mx\r\n",
                (b"EHLO", b"250-mx\r\n250 AUTH PLAIN\r\n250 STARTTLS\r\n"),
                (b"STARTTLS\r\n", answer + b"\r\n"),
                # A goodbye, whether to a hello or to a QUIT.
                (b"\x16" if answer.startswith(b"220") else b"QUIT", b"221 bye\r\n"),
            )
            await self.failure(self.send(made))
            for word in (b"AUTH", b"MAIL", b"Bob"):
                self.assertNotIn(word, made.recorder.heard, answer)
