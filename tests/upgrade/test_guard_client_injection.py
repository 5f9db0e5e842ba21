"""Plaintext that a server injects: guarded clients never read it as if it came under TLS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.mail import imap4, pop3

from tests import certificates, twisted_protocols
from tests.twisted_protocols import Recording
from tests.upgrade.guard_case import EVIL, POP3_OPENING, GuardTestCase
from txtransport.errors import HandshakeFailed, PlaintextInjected
from txtransport.testing.devcert import Authority

SMTP_SESSION: Final = (
    b"250-mx\r\n250 AUTH PLAIN\r\n235 ok\r\n250 ok\r\n250 ok\r\n354 go on\r\n"
    b"250 queued\r\n221 bye\r\n"
)
"""All that an SMTP server says after the go-ahead, until a mail is sent."""


@frozen
class ClientUpgrade:
    """How one of the clients upgrades, up to the go-ahead.

    Attributes:
        build: Builds the client.
        begin: Makes the client start, and returns a Deferred or None.
        greeting: What the server says first.
        steps: What the client says before its request, and the server's replies.
        request: How the client's request for TLS ends.
        go_ahead: The server's reply to the request.
    """

    build: Callable[[], object]
    begin: Callable[[Any], Any]
    greeting: bytes
    steps: tuple[tuple[bytes, bytes], ...]
    request: bytes
    go_ahead: bytes


CLIENTS: Final = {
    "smtp": ClientUpgrade(
        build=lambda: twisted_protocols.mail_sender(Deferred()).buildProtocol(None),
        begin=lambda client: None,
        greeting=b"220 mx\r\n",
        steps=((b"EHLO", b"250-mx\r\n250 STARTTLS\r\n"),),
        request=b"STARTTLS\r\n",
        go_ahead=b"220 go\r\n",
    ),
    "imap": ClientUpgrade(
        build=lambda: imap4.IMAP4Client(twisted_protocols.client_context()),
        begin=lambda client: client.getCapabilities().addCallback(lambda _: client.startTLS()),
        greeting=b"* OK hello\r\n",
        steps=((b"CAPABILITY", b"* CAPABILITY IMAP4rev1 STARTTLS\r\n0001 OK done\r\n"),),
        request=b"0002 STARTTLS\r\n",
        go_ahead=b"0002 OK go\r\n",
    ),
    "pop3": ClientUpgrade(
        build=pop3.AdvancedPOP3Client,
        begin=lambda client: client.startTLS(twisted_protocols.client_context()),
        greeting=POP3_OPENING[0],
        steps=(POP3_OPENING[1],),
        request=b"STLS\r\n",
        go_ahead=b"+OK go\r\n",
    ),
    "xmpp": ClientUpgrade(
        build=lambda: twisted_protocols.xmpp_client(twisted_protocols.ClientAuthenticator()),
        begin=lambda client: None,
        greeting=b"",
        steps=((b"<stream:stream", twisted_protocols.STREAM + twisted_protocols.FEATURES),),
        request=b"xmpp-tls'/>",
        go_ahead=twisted_protocols.PROCEED,
    ),
    "amp": ClientUpgrade(
        build=twisted_protocols.AMPPeer,
        begin=twisted_protocols.start_amp_tls,
        greeting=b"",
        steps=(),
        request=b"\x08StartTLS\0\0",
        go_ahead=twisted_protocols.amp_box(_answer=b"1"),
    ),
}


@frozen
class StartedClient:
    """A client that has begun to ask for TLS.

    Attributes:
        recording: The client's side of the connection.
        servers: The servers to which it is connected.
        outcome: The Deferred of the client's upgrade, or None.
    """

    recording: Recording
    servers: Any
    outcome: Any


class ClientInjectionTests(GuardTestCase):
    """What a server sends in the clear after its go-ahead is never believed."""

    async def start_client(
        self, name: str, go_ahead: bytes, *more: tuple[bytes, bytes | None]
    ) -> StartedClient:
        """A client of that name, and servers which give that go-ahead, then `more`."""
        case = CLIENTS[name]
        steps = [*case.steps, (case.request, go_ahead), *more]
        return await self.start_client_of(case, await self.scripted_servers(case.greeting, *steps))

    async def start_client_of(self, case: ClientUpgrade, servers: Any) -> StartedClient:
        """A client that has begun, connected to those servers."""
        recording = await self.guarded_client(case.build, servers)
        # AMP's Deferred fires with success before the handshake, so it tells nothing.
        outcome = case.begin(recording.protocol) if case is not CLIENTS["amp"] else None
        if case is CLIENTS["amp"]:
            case.begin(recording.protocol)
        return StartedClient(recording, servers, outcome)

    async def check_injected(self, name: str, *texts: bytes) -> None:
        """Each text after the go-ahead ends the connection, and never reaches the client."""
        case = CLIENTS[name]
        for evil in texts:
            started = await self.start_client(name, case.go_ahead + evil)
            reason = await started.recording.reason()
            self.assertIsInstance(reason, PlaintextInjected, evil)
            self.assertEqual(reason.received, evil[:64])
            self.assertTrue(
                started.recording.heard.endswith(case.go_ahead), started.recording.heard
            )
            if started.outcome is not None:
                self.assertIs(await self.failure_of(started.outcome), reason)
            # The client sent neither a ClientHello nor credentials.
            server = started.servers.recording
            self.assertTrue(server.heard.endswith(case.request), server.heard)
            await server.lost

    async def test_smtp_reply_after_the_go_ahead_is_not_believed(self) -> None:
        """SMTP: a reply to EHLO after the go-ahead gets no credentials from the client."""
        await self.check_injected("smtp", b"250-evil\r\n250 AUTH LOGIN PLAIN\r\n", b"\r\n")

    async def test_pop3_capabilities_after_the_go_ahead_are_not_believed(self) -> None:
        """POP3: a list of capabilities after the go-ahead is not believed."""
        await self.check_injected("pop3", b"+OK\r\nPLAIN\r\nLOGIN\r\n.\r\n")

    async def test_pop3_partial_line_after_the_go_ahead_ends_the_connection(self) -> None:
        """POP3: part of a line counts as injected too."""
        await self.check_injected("pop3", b"\xb9\xb3\xb9\xb2\xb3", b"+")

    async def test_imap_replies_after_the_go_ahead_are_not_believed(self) -> None:
        """IMAP: capabilities and tagged replies after the go-ahead are not believed."""
        await self.check_injected(
            "imap", b"* CAPABILITY IMAP4REV1 AUTH=PLAIN\r\n0003 OK done\r\n", b"* 9 EXISTS\r\n"
        )

    async def test_imap_alert_after_the_go_ahead_ends_the_connection(self) -> None:
        """IMAP: an alert after the go-ahead is not shown; one before it does no harm."""
        await self.check_injected("imap", b"* OK [ALERT] x\r\n")
        started = await self.start_client("imap", b"* OK [ALERT] x\r\n0002 OK go\r\n")
        await self.until_hello(started)
        await self.hang_up(started.recording)
        await self.failure_of(started.outcome)

    async def test_imap_bye_after_the_go_ahead_is_not_a_clean_close(self) -> None:
        """IMAP: a BYE after the go-ahead is an injection, not a clean close."""
        await self.check_injected("imap", b"* BYE close\r\n")

    async def test_xmpp_data_after_proceed_ends_the_connection(self) -> None:
        """XMPP: no stanza, features, error, stream header or space may follow <proceed/>."""
        await self.check_injected(
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
        await self.check_injected(
            "amp", twisted_protocols.amp_box(_ask=b"9", _command=b"Ask", text=EVIL), b"\0\0"
        )
        servers = await self.scripted_servers(
            b"", (CLIENTS["amp"].request, CLIENTS["amp"].go_ahead + b"\0")
        )
        recording = await self.guarded_client(twisted_protocols.AMPPeer, servers)
        # AMP's Deferred fires before the handshake; only the next call shows the failure.
        await twisted_protocols.start_amp_tls(recording.protocol)
        failed = await self.failure_of(
            recording.protocol.callRemote(twisted_protocols.Ask, text="secret")
        )
        self.assertIsInstance(failed, PlaintextInjected)
        self.assertEqual(recording.protocol.asked, [])

    async def test_xmpp_document_type_is_refused(self) -> None:
        """XMPP: a document type is refused; one of its entities could stand for many tags."""
        entity = b'<!DOCTYPE s [<!ENTITY e "' + twisted_protocols.PROCEED + b'<message/>">]>'
        servers = await self.scripted_servers(
            b"", (b"<stream", entity + twisted_protocols.STREAM + b"&e;<a/>")
        )
        recording = await self.guarded_client(CLIENTS["xmpp"].build, servers)
        self.assertIn("document type", str(await recording.reason()))
        self.assertEqual(recording.protocol.authenticator.stanzas, [])

    async def test_plaintext_after_the_go_ahead_fails_the_handshake(self) -> None:
        """Plaintext that follows the go-ahead goes to TLS, which reports a plaintext peer."""
        for name, case in CLIENTS.items():
            started = await self.start_client(name, case.go_ahead, (b"\x16\x03", b"250 evil\r\n"))
            reason = await started.recording.reason()
            self.assertEqual((reason.cause, reason.received), ("plaintext-peer", b"250 evil\r\n"))
            self.assertTrue(started.recording.heard.endswith(case.go_ahead))
            if started.outcome is not None:
                self.assertIs(await self.failure_of(started.outcome), reason)

    async def test_segmentation_does_not_matter(self) -> None:
        """However the replies are cut into segments, TLS begins after the go-ahead."""
        for case in CLIENTS.values():
            answers = [case.greeting, *(answer for _, answer in case.steps), case.go_ahead]
            for size in (1, 7):
                started = await self.start_client_of(case, await self.scripted_servers(b""))
                wrapper = started.recording.protocol.transport
                for answer in answers:
                    for start in range(0, len(answer), size):
                        wrapper.dataReceived(answer[start : start + size])
                await self.until_hello(started)
                await self.hang_up(started.recording)
                if started.outcome is not None:
                    await self.failure_of(started.outcome)

    async def until_hello(self, started: StartedClient) -> None:
        """Wait until the client has sent a ClientHello; the test's timeout bounds this."""
        while b"\x16\x03" not in started.servers.recording.heard:
            await self.turn()

    async def test_smtp_plaintext_replies_do_not_count_as_a_mail_sent(self) -> None:
        """SMTP: a whole session's replies in the clear do not make a mail count as sent."""
        servers = await self.scripted_servers(
            b"220 mx\r\n",
            (b"EHLO", b"250-mx\r\n250 STARTTLS\r\n"),
            (b"STARTTLS", b"220 go\r\n" + SMTP_SESSION),
        )
        failed = await self.failure_of(self.send_mail(servers))
        self.assertIsInstance(twisted_protocols.why_unsent(failed), PlaintextInjected)
        self.assertTrue(servers.recording.heard.endswith(b"STARTTLS\r\n"))

    async def test_smtp_mail_is_not_sent_to_an_untrusted_server(self) -> None:
        """SMTP: no mail goes to an untrusted certificate, with the guard's policy or without."""
        untrusted = certificates.issued("untrusted.pem", "localhost", by=Authority.create("no one"))
        postbox = twisted_protocols.Postbox()
        for policy in (None, {"peer_name": "localhost", "cafile": certificates.cafile()}):
            servers = await self.guarded_servers(
                lambda: twisted_protocols.mail_server(
                    postbox, twisted_protocols.server_context(untrusted)
                )
            )
            failed = await self.failure_of(self.send_mail(servers, policy=policy))
            self.assertIsInstance(twisted_protocols.why_unsent(failed), HandshakeFailed)
            await servers.recording.lost
        self.assertEqual((postbox.senders, postbox.mails), ([], []))

    async def test_smtp_wrong_reply_to_starttls_sends_no_mail(self) -> None:
        """SMTP: whatever the server says in place of the go-ahead, no mail is sent in the clear."""
        for answer in (b"354 x", b"250 ok", b"* 220", b"220ok", b"2200 x", b"+ go", b"454 no"):
            servers = await self.scripted_servers(
                b"220 mx\r\n",
                (b"EHLO", b"250-mx\r\n250 AUTH PLAIN\r\n250 STARTTLS\r\n"),
                (b"STARTTLS\r\n", answer + b"\r\n"),
                # The client sends a ClientHello if it took the reply for a go-ahead, else QUIT.
                (b"\x16" if answer.startswith(b"220") else b"QUIT", b"221 bye\r\n"),
            )
            await self.failure_of(self.send_mail(servers))
            for word in (b"AUTH", b"MAIL", b"Bob"):
                self.assertNotIn(word, servers.recording.heard, answer)
