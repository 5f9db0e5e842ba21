"""Plaintext that a client injects: guarded servers never read it as if it came under TLS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionClosed
from twisted.internet.interfaces import ISSLTransport
from twisted.logger import formatEvent
from twisted.protocols import amp

import txtransport
from tests import twisted_protocols
from tests.loopback import Recorder
from tests.twisted_protocols import Recording, RecordingFactory
from tests.upgrade.guard_case import EVIL, GuardTestCase
from txtransport.errors import PeerMisbehaved, PlaintextInjected


@frozen
class ServerUpgrade:
    """How a client asks one of the servers for TLS.

    Attributes:
        build: Builds the server.
        request: The client's request for TLS.
        go_ahead: How the server's reply to the request begins.
        opening: What the client says before the request.
        opening_reply: How the server's reply to the opening ends.
    """

    build: Callable[[], object]
    request: bytes
    go_ahead: bytes
    opening: bytes = b""
    opening_reply: bytes = b""


SERVERS: Final = {
    "smtp": ServerUpgrade(
        build=lambda: twisted_protocols.mail_server(twisted_protocols.Postbox()),
        request=b"STARTTLS\r\n",
        go_ahead=b"220 Begin",
        opening=b"EHLO a.example\r\n",
        opening_reply=b"250 STARTTLS\r\n",
    ),
    "imap": ServerUpgrade(
        build=twisted_protocols.imap_server,
        request=b"A STARTTLS\r\n",
        go_ahead=b"A OK Begin",
        opening=b"",
        opening_reply=b"* OK ",
    ),
    "pop3": ServerUpgrade(
        build=twisted_protocols.POP3Server,
        request=b"STLS\r\n",
        go_ahead=b"+OK\r\n",
        opening=b"",
        opening_reply=b"+OK ready\r\n",
    ),
    "xmpp": ServerUpgrade(
        build=lambda: twisted_protocols.xmpp_server(twisted_protocols.ServerAuthenticator()),
        request=twisted_protocols.STARTTLS,
        go_ahead=b"<proceed",
        opening=twisted_protocols.STREAM,
        opening_reply=b"</stream:features>",
    ),
    "amp": ServerUpgrade(
        build=twisted_protocols.AMPPeer,
        request=twisted_protocols.amp_box(_ask=b"1", _command=b"StartTLS"),
        go_ahead=b"\x00\x07_answer",
    ),
}


class ServerInjectionTests(GuardTestCase):
    """What a client sends in the clear after its request for TLS is never executed."""

    async def client_ready_for_tls(self, name: str) -> tuple[Any, Recorder]:
        """Servers of that name, and a client that has said the opening."""
        case = SERVERS[name]
        servers = await self.guarded_servers(case.build)
        client = await self.raw_client(servers)
        client.say(case.opening)
        await client.heard(case.opening_reply)
        return servers, client

    async def check_pipelined(self, name: str, *injected: bytes) -> None:
        """Each text after the request ends the connection, and never reaches the server."""
        for evil in injected:
            servers, client = await self.client_ready_for_tls(name)
            before = client.received
            client.say(SERVERS[name].request + evil)
            await client.gone()
            recording = servers.recording
            reason = await recording.reason()
            self.assertIsInstance(reason, PlaintextInjected, evil)
            self.assertEqual(reason.received, evil[:64])
            self.assertEqual(recording.heard, SERVERS[name].opening + SERVERS[name].request)
            # The server did not even send the go-ahead.
            self.assertEqual(client.received, before)

    async def test_smtp_command_after_starttls_is_not_executed(self) -> None:
        """SMTP: a pipelined EHLO is not answered under TLS."""
        await self.check_pipelined("smtp", b"EHLO evil.example\r\n", b"NOOP\n", b"\r\n", b"X")

    async def test_smtp_mail_after_starttls_is_not_accepted(self) -> None:
        """SMTP: a whole pipelined mail is not accepted."""
        await self.check_pipelined(
            "smtp", b"MAIL FROM:<mallory@x>\r\nRCPT TO:<bob@x>\r\nDATA\r\nevil\r\n.\r\n"
        )

    async def test_imap_commands_after_starttls_are_not_executed(self) -> None:
        """IMAP: neither a pipelined NOOP nor a pipelined log-in is executed."""
        await self.check_pipelined("imap", b"B NOOP\r\nC LOGIN mallory pw\r\n")

    async def test_imap_partial_command_after_starttls_is_not_completed(self) -> None:
        """IMAP: the first line under TLS does not complete a command begun in the clear."""
        await self.check_pipelined("imap", b"X LOGIN mallory ", b" ")

    async def test_imap_literal_after_starttls_is_not_continued(self) -> None:
        """IMAP: the server does not ask under TLS for the literal of a pipelined command."""
        await self.check_pipelined(
            "imap", b"X LOGIN mallory {20}\r\n", b"X LOGIN {7+}\r\nmallory pw\r\n"
        )

    async def test_pop3_commands_after_stls_are_not_executed(self) -> None:
        """POP3: no pipelined command is executed."""
        await self.check_pipelined("pop3", b"CAPA\r\n", b"USER mallory\r\nPASS x\r\n", b"\n")

    async def test_xmpp_data_after_starttls_ends_the_connection(self) -> None:
        """XMPP: neither a stanza nor a single space may follow the request."""
        await self.check_pipelined(
            "xmpp", b"<iq type='set' id='evil'/>", b" ", b"<", b"<!-- -->", twisted_protocols.STREAM
        )

    async def test_amp_box_after_start_tls_is_not_answered(self) -> None:
        """AMP: a pipelined call is neither executed nor answered."""
        await self.check_pipelined(
            "amp", twisted_protocols.amp_box(_ask=b"2", _command=b"Ask", text=EVIL), b"\0"
        )

    async def test_local_socket_is_protected_too(self) -> None:
        """Over a local socket, injection ends the connection and plaintext state is forgotten."""
        servers: Any = RecordingFactory(SERVERS["smtp"].build)
        path = self.socket_path()
        await self.listening(f"unix://{path}", txtransport.guard(servers))
        client = await self.connected(f"unix://{path}")
        overheard = self.overheard()
        client.say(b"STARTTLS\r\nevil\r\n")
        await client.gone()
        self.assertIsInstance(await servers.recording.reason(), PlaintextInjected)
        self.assertIn("local socket", formatEvent(overheard.events[0]))
        client = await self.connected(f"unix://{path}")
        client.say(b"MAIL FROM:<mallory@x>\r\n")
        await client.heard(b"250 Sender")
        client.say(b"STARTTLS\r\n")
        await client.heard(b"now\r\n")
        self.start_tls(client)
        client.say(b"RCPT TO:<bob@x>\r\n")
        await client.heard(b"now\r\n503 ")

    async def test_amp_partial_box_is_not_completed_under_tls(self) -> None:
        """AMP: a box begun while the answer to StartTLS is pending does not continue under TLS."""

        class Slow(twisted_protocols.AMPPeer):
            def secure(self) -> Any:
                self.answering: Deferred[Any] = Deferred()
                answer = {"tls_localCertificate": twisted_protocols.identity()}
                return self.answering.addCallback(lambda _: answer)

            amp.StartTLS.responder(secure)

        servers = await self.guarded_servers(Slow)
        client = await self.raw_client(servers)
        half = twisted_protocols.amp_box(_ask=b"2", _command=b"Ask", text=EVIL)[:-2]
        client.say(SERVERS["amp"].request + half)
        while not servers.recordings or not servers.recording.heard.endswith(half):
            await self.turn()
        servers.recording.protocol.answering.callback(None)
        self.assertEqual((await servers.recording.reason()).received, half[:64])
        await client.gone()

    async def test_pipelined_client_hello_ends_the_connection(self) -> None:
        """A ClientHello sent together with the request ends the connection; nothing hangs."""
        for name in SERVERS:
            await self.check_pipelined(name, b"\x16\x03\x01\x00\x05hello")

    async def test_plaintext_after_the_go_ahead_fails_the_handshake(self) -> None:
        """Plaintext that follows the go-ahead goes to TLS, which reports a plaintext peer."""
        for name, case in SERVERS.items():
            servers, client = await self.client_ready_for_tls(name)
            client.say(case.request)
            await client.heard(case.go_ahead)
            client.say(b"MAIL FROM:<mallory@example.com>\r\n")
            await client.gone()
            reason = await servers.recording.reason()
            self.assertEqual((reason.cause, reason.received[:9]), ("plaintext-peer", b"MAIL FROM"))
            self.assertEqual(servers.recording.heard, case.opening + case.request)

    async def test_segmentation_does_not_matter(self) -> None:
        """However the opening and the request are cut into segments, TLS begins after them."""
        for case in SERVERS.values():
            whole = case.opening + case.request
            for cuts in ([1] * len(whole), [len(whole) // 2, len(whole)], [len(whole)]):
                servers = await self.guarded_servers(case.build)
                client = await self.raw_client(servers)
                await self.until_built(servers)
                wrapper, rest = servers.recording.protocol.transport, whole
                for cut in cuts:
                    wrapper.dataReceived(rest[:cut])
                    rest = rest[cut:]
                await client.heard(case.go_ahead)
                self.start_tls(client)
                client.say(b"\r\n")
                await self.until_secure(servers.recording)
                await self.end(client)

    async def until_built(self, servers: Any) -> None:
        """Wait until a client is connected; the test's timeout bounds this."""
        while not servers.recordings:
            await self.turn()

    async def until_secure(self, recording: Recording) -> None:
        """Wait until the protocol is under TLS; the test's timeout bounds this."""
        while not ISSLTransport.providedBy(recording.protocol.transport):
            await self.turn()

    async def test_starttls_inside_message_data_is_not_a_command(self) -> None:
        """STARTTLS inside a mail, or inside an IMAP literal, is data."""
        servers, client = await self.client_ready_for_tls("smtp")
        client.say(b"MAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\nDATA\r\nSTARTTLS\r\n.\r\nNOOP\r\n")
        await client.heard(b"250 Delivery in progress")
        self.assertNotIn(b"220 Begin", client.received)
        self.assertEqual(servers.recording.protocol.delivery.mails, [[b"", b"STARTTLS"]])
        servers, client = await self.client_ready_for_tls("imap")
        client.say(b"A LOGIN {12}\r\nB STARTTLS\r\n {3}\r\nabc\r\nC NOOP\r\n")
        await client.heard(b"C OK")
        self.assertNotIn(b"B OK", client.received)

    async def test_xmpp_document_type_is_refused(self) -> None:
        """XMPP: a document type is refused; one of its entities could stand for many tags."""
        authenticator = twisted_protocols.ServerAuthenticator()
        servers = await self.guarded_servers(lambda: twisted_protocols.xmpp_server(authenticator))
        client = await self.raw_client(servers)
        entity = (
            b'<!DOCTYPE s [<!ENTITY e "' + twisted_protocols.STARTTLS + b"<message to='evil'/>\">]>"
        )
        client.say(entity + twisted_protocols.STREAM + b"&e;<iq/>")
        await client.gone()
        self.assertIn("document type", str(await servers.recording.reason()))
        self.assertEqual((servers.recording.given, authenticator.stanzas), ([], []))

    async def test_xmpp_quoted_bracket_does_not_end_the_request(self) -> None:
        """XMPP: a tag with quoted brackets is one tag, and a stanza after it is injected."""
        authenticator = twisted_protocols.ServerAuthenticator()
        servers = await self.guarded_servers(lambda: twisted_protocols.xmpp_server(authenticator))
        client = await self.raw_client(servers)
        client.say(twisted_protocols.STREAM)
        await client.heard(b"</stream:features>")
        client.say(twisted_protocols.STARTTLS[:-2] + b" a='>>>\"'/><message/>")
        await client.gone()
        self.assertEqual((await servers.recording.reason()).received, b"<message/>")
        self.assertEqual(authenticator.stanzas, ["starttls"])

    async def test_input_without_an_end_is_not_kept_without_limit(self) -> None:
        """A line, box or tag that never ends is refused; it does not fill the memory."""
        for name in ("smtp", "imap", "pop3", "xmpp", "amp"):
            servers, client = await self.client_ready_for_tls(name)
            client.say(b"<" + b"x" * 300_000)
            await client.gone()
            reason = await servers.recording.reason()
            self.assertIsInstance(reason, (PeerMisbehaved, ConnectionClosed), name)
