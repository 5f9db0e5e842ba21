"""What clients send in the clear to guarded servers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionClosed
from twisted.internet.interfaces import (
    ISSLTransport,
)
from twisted.logger import formatEvent
from twisted.protocols import amp

import txtransport
from tests import twisted_protocols
from tests.loopback import Recorder
from tests.twisted_protocols import Recording, RecordingFactory
from tests.upgrade.guard_case import EVIL, GuardTestCase
from txtransport.errors import (
    PeerMisbehaved,
    PlaintextInjected,
)


@frozen
class Upgrade:
    """How a client asks one of the servers for TLS.

    Attributes:
        build: Builds the server.
        ask: The request, in the clear.
        opening: What comes before it.
        answer: How the answer to that ends.
        go_ahead: How the answer to the request begins.
        keywords: As for `txtransport.upgrade.guard`.
    """

    build: Callable[[], object]
    ask: bytes
    go_ahead: bytes
    opening: bytes = b""
    answer: bytes = b""


SERVERS: Final = {
    "smtp": Upgrade(
        lambda: twisted_protocols.mail_server(twisted_protocols.Postbox()),
        b"STARTTLS\r\n",
        b"220 Begin",
        b"EHLO a.example\r\n",
        b"250 STARTTLS\r\n",
    ),
    "imap": Upgrade(twisted_protocols.imap_server, b"A STARTTLS\r\n", b"A OK Begin", b"", b"* OK "),
    "pop3": Upgrade(twisted_protocols.PostOffice, b"STLS\r\n", b"+OK\r\n", b"", b"+OK ready\r\n"),
    "xmpp": Upgrade(
        lambda: twisted_protocols.xmpp_server(twisted_protocols.Callee()),
        twisted_protocols.STARTTLS,
        b"<proceed",
        twisted_protocols.STREAM,
        b"</stream:features>",
    ),
    "amp": Upgrade(
        twisted_protocols.Peer,
        twisted_protocols.box(_ask=b"1", _command=b"StartTLS"),
        b"\x00\x07_answer",
    ),
}


class ServerTests(GuardTestCase):
    """What clients send in the clear is never read as if it had been secret."""

    async def opened(self, name: str) -> tuple[Any, Recorder]:
        """Servers of that kind, and a client that may ask for TLS."""
        how = SERVERS[name]
        made = await self.serving(how.build)
        client = await self.raw(made)
        client.say(how.opening)
        await client.heard(how.answer)
        return made, client

    async def pipelined(self, name: str, *injected: bytes) -> None:
        """Each of these behind the request ends the connection, and is not given to the server."""
        for evil in injected:
            made, client = await self.opened(name)
            before = client.received
            client.say(SERVERS[name].ask + evil)
            await client.gone()
            recorder = made.recorder
            reason = await recorder.reason()
            self.assertIsInstance(reason, PlaintextInjected, evil)
            self.assertEqual(reason.received, evil[:64])
            self.assertEqual(recorder.heard, SERVERS[name].opening + SERVERS[name].ask)
            # Not even the go-ahead was said.
            self.assertEqual(client.received, before)

    async def test_s1_a_command_behind_starttls(self) -> None:
        """SMTP: an EHLO that was pipelined is not answered inside TLS."""
        await self.pipelined("smtp", b"EHLO evil.example\r\n", b"NOOP\n", b"\r\n", b"X")

    async def test_s2_a_mail_behind_starttls(self) -> None:
        """SMTP: a whole mail that was pipelined is not taken."""
        await self.pipelined(
            "smtp", b"MAIL FROM:<mallory@x>\r\nRCPT TO:<bob@x>\r\nDATA\r\nevil\r\n.\r\n"
        )

    async def test_s3_commands_behind_starttls(self) -> None:
        """IMAP: neither a NOOP nor a log-in that was pipelined is executed."""
        await self.pipelined("imap", b"B NOOP\r\nC LOGIN mallory pw\r\n")

    async def test_s4_half_a_command_behind_starttls(self) -> None:
        """IMAP: the first secret line does not complete a command that began in the clear."""
        await self.pipelined("imap", b"X LOGIN mallory ", b" ")

    async def test_s5_a_literal_behind_starttls(self) -> None:
        """IMAP: a command with a literal is not asked for its rest inside TLS."""
        await self.pipelined("imap", b"X LOGIN mallory {20}\r\n", b"X LOGIN {7+}\r\nmallory pw\r\n")

    async def test_s6_a_command_behind_stls(self) -> None:
        """POP3: nothing that was pipelined is executed."""
        await self.pipelined("pop3", b"CAPA\r\n", b"USER mallory\r\nPASS x\r\n", b"\n")

    async def test_s8_a_stanza_behind_starttls(self) -> None:
        """XMPP: neither a stanza nor a single space may follow."""
        await self.pipelined(
            "xmpp", b"<iq type='set' id='evil'/>", b" ", b"<", b"<!-- -->", twisted_protocols.STREAM
        )

    async def test_a_box_behind_start_tls(self) -> None:
        """AMP: a question that was pipelined is neither asked nor answered."""
        await self.pipelined(
            "amp", twisted_protocols.box(_ask=b"2", _command=b"Ask", text=EVIL), b"\0"
        )

    async def test_over_a_local_socket(self) -> None:
        """Where a peer has no address, it is held to the same, and forgotten as well."""
        made: Any = RecordingFactory(SERVERS["smtp"].build)
        path = self.socket_path()
        await self.listening(f"unix://{path}", txtransport.guard(made))
        client = await self.connected(f"unix://{path}")
        overheard = self.overheard()
        client.say(b"STARTTLS\r\nevil\r\n")
        await client.gone()
        self.assertIsInstance(await made.recorder.reason(), PlaintextInjected)
        self.assertIn("local socket", formatEvent(overheard.events[0]))
        client = await self.connected(f"unix://{path}")
        client.say(b"MAIL FROM:<mallory@x>\r\n")
        await client.heard(b"250 Sender")
        client.say(b"STARTTLS\r\n")
        await client.heard(b"now\r\n")
        self.secure(client)
        client.say(b"RCPT TO:<bob@x>\r\n")
        await client.heard(b"now\r\n503 ")

    async def test_half_a_box_behind_start_tls(self) -> None:
        """AMP: if the answer takes its time, a box that began meanwhile does not go on in TLS."""

        class Slow(twisted_protocols.Peer):
            def secure(self) -> Any:
                self.answering: Deferred[Any] = Deferred()
                answer = {"tls_localCertificate": twisted_protocols.identity()}
                return self.answering.addCallback(lambda _: answer)

            amp.StartTLS.responder(secure)

        made = await self.serving(Slow)
        client = await self.raw(made)
        half = twisted_protocols.box(_ask=b"2", _command=b"Ask", text=EVIL)[:-2]
        client.say(SERVERS["amp"].ask + half)
        while not made.recorders or not made.recorder.heard.endswith(half):
            await self.turn()
        made.recorder.protocol.answering.callback(None)
        self.assertEqual((await made.recorder.reason()).received, half[:64])
        await client.gone()

    async def test_s12_a_hello_behind_the_request(self) -> None:
        """A ClientHello that was pipelined ends the connection, instead of hanging."""
        for name in SERVERS:
            await self.pipelined(name, b"\x16\x03\x01\x00\x05hello")

    async def test_s13_in_a_segment_of_its_own(self) -> None:
        """What comes after the go-ahead is taken for TLS, and is none."""
        for name, how in SERVERS.items():
            made, client = await self.opened(name)
            client.say(how.ask)
            await client.heard(how.go_ahead)
            client.say(b"MAIL FROM:<mallory@example.com>\r\n")
            await client.gone()
            reason = await made.recorder.reason()
            self.assertEqual((reason.cause, reason.received[:9]), ("plaintext-peer", b"MAIL FROM"))
            self.assertEqual(made.recorder.heard, how.opening + how.ask)

    async def test_c11_segments_do_not_matter(self) -> None:
        """However the opening and the request are cut, TLS begins behind them."""
        for how in SERVERS.values():
            whole = how.opening + how.ask
            for cuts in ([1] * len(whole), [len(whole) // 2, len(whole)], [len(whole)]):
                made = await self.serving(how.build)
                client = await self.raw(made)
                await self.until_built(made)
                wrapper, rest = made.recorder.protocol.transport, whole
                for cut in cuts:
                    wrapper.dataReceived(rest[:cut])
                    rest = rest[cut:]
                await client.heard(how.go_ahead)
                self.secure(client)
                client.say(b"\r\n")
                await self.until_secure(made.recorder)
                await self.end(client)

    async def until_built(self, made: Any) -> None:
        """Wait until someone has come; the test's own deadline bounds it."""
        while not made.recorders:
            await self.turn()

    async def until_secure(self, recorder: Recording) -> None:
        """Wait until a guest is under TLS; the test's own deadline bounds it."""
        while not ISSLTransport.providedBy(recorder.protocol.transport):
            await self.turn()

    async def test_s16_starttls_in_a_message(self) -> None:
        """Within a mail, or a literal of IMAP, the word is data and no command."""
        made, client = await self.opened("smtp")
        client.say(b"MAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\nDATA\r\nSTARTTLS\r\n.\r\nNOOP\r\n")
        await client.heard(b"250 Delivery in progress")
        self.assertNotIn(b"220 Begin", client.received)
        self.assertEqual(made.recorder.protocol.delivery.mails, [[b"", b"STARTTLS"]])
        made, client = await self.opened("imap")
        client.say(b"A LOGIN {12}\r\nB STARTTLS\r\n {3}\r\nabc\r\nC NOOP\r\n")
        await client.heard(b"C OK")
        self.assertNotIn(b"B OK", client.received)

    async def test_tags_that_hide_in_a_text(self) -> None:
        """XMPP: a document type, which could name a text that is many tags, is refused."""
        callee = twisted_protocols.Callee()
        made = await self.serving(lambda: twisted_protocols.xmpp_server(callee))
        client = await self.raw(made)
        entity = (
            b'<!DOCTYPE s [<!ENTITY e "' + twisted_protocols.STARTTLS + b"<message to='evil'/>\">]>"
        )
        client.say(entity + twisted_protocols.STREAM + b"&e;<iq/>")
        await client.gone()
        self.assertIn("document type", str(await made.recorder.reason()))
        self.assertEqual((made.recorder.given, callee.stanzas), ([], []))

    async def test_a_request_in_many_pieces(self) -> None:
        """XMPP: a tag with quoted brackets is one, and what follows it is injected."""
        callee = twisted_protocols.Callee()
        made = await self.serving(lambda: twisted_protocols.xmpp_server(callee))
        client = await self.raw(made)
        client.say(twisted_protocols.STREAM)
        await client.heard(b"</stream:features>")
        client.say(twisted_protocols.STARTTLS[:-2] + b" a='>>>\"'/><message/>")
        await client.gone()
        self.assertEqual((await made.recorder.reason()).received, b"<message/>")
        self.assertEqual(callee.stanzas, ["starttls"])

    async def test_s25_no_end(self) -> None:
        """A line, a word or a tag without an end is not waited for, and does not pile up."""
        for name in ("smtp", "imap", "pop3", "xmpp", "amp"):
            made, client = await self.opened(name)
            client.say(b"<" + b"x" * 300_000)
            await client.gone()
            reason = await made.recorder.reason()
            self.assertIsInstance(reason, (PeerMisbehaved, ConnectionClosed), name)
