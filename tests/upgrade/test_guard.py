"""Twisted's own protocols behind the guard, unmodified, and what peers may try.

Rows of the attack lists carry their number in the name (C… are things that a
server may do to a client, S… the other way round).
"""

from __future__ import annotations

import warnings
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, cast

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    TCP4ClientEndpoint,
    TCP4ServerEndpoint,
    UNIXClientEndpoint,
    UNIXServerEndpoint,
    wrapClientTLS,
)
from twisted.internet.error import ConnectionAborted, ConnectionClosed, ConnectionRefusedError
from twisted.internet.interfaces import (
    IHandshakeListener,
    IOpenSSLServerConnectionCreator,
    IProtocolFactory,
    IPushProducer,
    ISSLTransport,
    ITLSTransport,
)
from twisted.internet.protocol import ClientFactory, Factory, Protocol
from twisted.internet.ssl import Certificate, optionsForClientTLS
from twisted.internet.testing import StringTransport
from twisted.logger import formatEvent
from twisted.mail import imap4, pop3
from twisted.protocols import amp
from twisted.protocols.basic import LineOnlyReceiver, LineReceiver
from twisted.protocols.tls import TLSMemoryBIOFactory
from zope.interface import implementer

import txtransport
from tests import certificates, twisted_protocols
from tests.loopback import ClockedReactor, LoopbackTestCase, Recorder
from tests.speakers import Lines
from tests.speakers import as_server as policy_of_a_server
from tests.twisted_protocols import Recording, RecordingFactory
from txtransport.errors import (
    AlreadySecure,
    ConversationOver,
    HandshakeFailed,
    InvalidOption,
    PeerMisbehaved,
    PlaintextInjected,
    ProducerInTheWay,
    TransportTimeout,
    UpgradeError,
)
from txtransport.testing.devcert import Authority
from txtransport.upgrade.base_transport import base_transport

EVIL: Final = b"mallory"
LOGIN: Final = b"AGFsaWNlAGNvcnJlY3QgaG9yc2U="
"""`twisted_protocols.USER` and her password, as the mechanism PLAIN has it."""
SESSION: Final = (
    b"250-mx\r\n250 AUTH PLAIN\r\n235 ok\r\n250 ok\r\n250 ok\r\n354 go on\r\n"
    b"250 queued\r\n221 bye\r\n"
)
"""All that a mail server says after the go-ahead."""
MAILDROP: Final = (b"+OK ready\r\n", (b"CAPA", b"+OK\r\nSTLS\r\n.\r\n"))
"""How a POP3 server begins."""


@frozen
class EndpointPair:
    """One way to listen and to call.

    Attributes:
        listen: Where to listen: of a reactor, and a path for a local socket.
        call: How to call the one that listens there, and at that port.
    """

    listen: Callable[[Any, str], Any]
    call: Callable[[Any, str, int], Any]


TCP: Final = (
    EndpointPair(
        lambda reactor, path: txtransport.server(reactor, "tcp://127.0.0.1:0"),
        lambda reactor, path, port: txtransport.client(reactor, f"tcp://127.0.0.1:{port}"),
    ),
    EndpointPair(
        lambda reactor, path: txtransport.server(reactor, "tcp://127.0.0.1:0", max_connections=9),
        lambda reactor, path, port: txtransport.client(reactor, f"tcp://localhost:{port}"),
    ),
    EndpointPair(
        lambda reactor, path: TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1"),
        lambda reactor, path, port: TCP4ClientEndpoint(reactor, "127.0.0.1", port),
    ),
)
LOCAL: Final = (
    EndpointPair(
        lambda reactor, path: txtransport.server(reactor, f"unix://{path}"),
        lambda reactor, path, port: txtransport.client(reactor, f"unix://{path}"),
    ),
    EndpointPair(
        lambda reactor, path: UNIXServerEndpoint(reactor, path),
        lambda reactor, path, port: UNIXClientEndpoint(reactor, path),
    ),
)


class GuardTestCase(LoopbackTestCase):
    """Guarded servers and clients."""

    def setUp(self) -> None:
        super().setUp()
        # Twisted builds its contexts of what pyOpenSSL would rather not have.
        # The filters that are in force now are gone when the test is over.
        warnings.filterwarnings("ignore", "Passing pyOpenSSL", DeprecationWarning)

    async def serving(self, build: Callable[[], object], **keywords: Any) -> Any:
        """Guarded servers on loopback; with the port's number."""
        made: Any = RecordingFactory(build)
        made.port = await self.listening("tcp://127.0.0.1:0", txtransport.guard(made, **keywords))
        return made

    async def unguarded(self, build: Callable[[], object]) -> Any:
        """The same without a guard."""
        made: Any = RecordingFactory(build)
        made.port = await self.listening("tcp://127.0.0.1:0", made)
        return made

    async def scripted(self, greeting: bytes, *steps: tuple[bytes, bytes | None]) -> Any:
        """Servers that say what the script says; with the port's number."""
        return await self.unguarded(lambda: twisted_protocols.Scripted(greeting, steps))

    async def raw(self, made: Any) -> Recorder:
        """A client that writes what it likes."""
        return await self.connected(f"tcp://127.0.0.1:{made.port}")

    def secure(self, client: Recorder, name: str = "localhost") -> None:
        """Have such a client begin TLS."""
        cast(Any, client.transport).startTLS(twisted_protocols.as_client(name))

    async def calling(self, build: Callable[[], object], made: Any, **keywords: Any) -> Recording:
        """A guarded client's conversation with those servers."""
        clients = RecordingFactory(build)
        endpoint = txtransport.client(self.reactor, f"tcp://127.0.0.1:{made.port}")
        await endpoint.connect(txtransport.guard(clients, **keywords))
        self.addCleanup(self.hung_up, clients.recorder)
        return clients.recorder

    async def hung_up(self, recorder: Recording) -> None:
        """Abort, and wait for the end."""
        if not recorder.lost.called:
            recorder.protocol.transport.abortConnection()
            await recorder.lost

    async def failure(self, attempt: Any) -> Any:
        """The exception with which something failed."""
        return await self.assertFailure(attempt, Exception)

    def send(self, made: Any, policy: Any = None) -> Deferred[Any]:
        """Have Twisted's guarded sender give a mail to those servers."""
        sent: Deferred[Any] = Deferred()
        sender = twisted_protocols.sending(sent)
        guarded = txtransport.guard(sender, policy=policy)
        self.reactor.connectTCP("127.0.0.1", made.port, guarded)
        return sent


class TwistedAloneTests(GuardTestCase):
    """Why there is a guard."""

    async def test_s2_twisted_alone_executes_what_was_injected(self) -> None:
        """Without the guard a mail that was sent in the clear arrives as if under TLS."""
        postbox = twisted_protocols.Postbox()
        made = await self.unguarded(lambda: twisted_protocols.mail_server(postbox))
        client = await self.raw(made)
        await client.heard(b"220 ")
        client.say(
            b"STARTTLS\r\nMAIL FROM:<mallory@example.com>\r\nRCPT TO:<bob@example.net>\r\n"
            b"DATA\r\nevil\r\n.\r\n"
        )
        await client.heard(b"220 Begin")
        self.secure(client)
        await client.heard(b"250 Delivery in progress")
        self.assertEqual(postbox.mails, [[b"", b"evil"]])

    async def test_c2_twisted_alone_believes_what_was_injected(self) -> None:
        """Without the guard a client reports TLS, and what it offers, before there is any."""
        made = await self.scripted(*MAILDROP, (b"STLS", b"+OK go\r\n+OK\r\nEVIL\r\n.\r\n"))
        endpoint = txtransport.client(self.reactor, f"tcp://127.0.0.1:{made.port}")
        clients = RecordingFactory(pop3.AdvancedPOP3Client)
        client: Any = await endpoint.connect(clients)
        self.addCleanup(self.hung_up, clients.recorder)
        self.assertEqual(await client.startTLS(twisted_protocols.as_client()), {b"EVIL": None})


class ConversationTests(GuardTestCase):
    """With the guard, everything is as it was without, over whatever it runs."""

    async def pair(
        self, endpoints: EndpointPair, server: IProtocolFactory, client: IProtocolFactory
    ) -> None:
        """Connect them through that door."""
        path = self.socket_path()
        port = self.adopt(await endpoints.listen(self.reactor, path).listen(server))
        await endpoints.call(self.reactor, path, port).connect(client)

    async def over(
        self,
        pairs: tuple[EndpointPair, ...],
        server: Callable[[], object],
        client: Callable[[], object],
        talk: Callable[[Any], Awaitable[object]],
    ) -> None:
        """Have the client talk over each of the doors, and see that it is under TLS."""
        for endpoints in pairs:
            servers, clients = RecordingFactory(server), RecordingFactory(client)
            await self.pair(endpoints, txtransport.guard(servers), txtransport.guard(clients))
            recorder = clients.recorder
            self.addCleanup(self.hung_up, recorder)
            self.assertFalse(ISSLTransport.providedBy(recorder.protocol.transport))
            self.assertIsNone(txtransport.session_of(recorder.protocol.transport))
            await talk(recorder.protocol)
            for each in (recorder, servers.recorder):
                self.assertTrue(ISSLTransport.providedBy(each.protocol.transport))
                session = txtransport.session_of(each.protocol.transport)
                assert session is not None
                self.assertEqual(session.version, "TLSv1.3")
            recorder.protocol.transport.loseConnection()
            await recorder.lost
            await servers.recorder.lost

    async def test_mail(self) -> None:
        """A mail is sent with SMTP."""
        for endpoints in TCP:
            postbox, sent = twisted_protocols.Postbox(), Deferred[Any]()
            servers = RecordingFactory(partial(twisted_protocols.mail_server, postbox))
            sender = twisted_protocols.sending(sent, requireAuthentication=True)
            await self.pair(endpoints, txtransport.guard(servers), txtransport.guard(sender))
            self.assertEqual((await sent)[0], 1)
            await servers.recorder.lost
            self.assertEqual(postbox.mails, [[b"Subject: hello", b"", b"Dear Bob"]])
            self.assertTrue(servers.recorder.protocol.authenticated)

    async def test_imap(self) -> None:
        """Someone logs in with IMAP and looks at the mailboxes."""

        async def talk(client: Any) -> None:
            await client.login(twisted_protocols.USER, twisted_protocols.PASSWORD)
            self.assertEqual(await client.list("", "%"), [(("\\HasNoChildren",), "/", "INBOX")])

        await self.over(
            TCP + LOCAL,
            twisted_protocols.imap_server,
            lambda: imap4.IMAP4Client(twisted_protocols.as_client()),
            talk,
        )

    async def test_pop3(self) -> None:
        """Someone logs in with POP3."""

        async def talk(client: Any) -> None:
            await client.startTLS(twisted_protocols.as_client())
            await client.login(twisted_protocols.USER, twisted_protocols.PASSWORD)

        await self.over(TCP + LOCAL, twisted_protocols.PostOffice, pop3.AdvancedPOP3Client, talk)

    async def test_xmpp(self) -> None:
        """A stream of XMPP is made ready, and takes a message."""

        async def talk(client: Any) -> None:
            await client.authenticator.ready

        await self.over(
            TCP + LOCAL,
            lambda: twisted_protocols.xmpp_server(twisted_protocols.Callee()),
            lambda: twisted_protocols.xmpp_client(twisted_protocols.Caller()),
            talk,
        )

    async def test_amp(self) -> None:
        """Two AMP peers ask and answer, before and after."""

        async def talk(client: Any) -> None:
            await client.callRemote(twisted_protocols.Ask, text="before\0")
            await twisted_protocols.started(client)
            answer = await client.callRemote(twisted_protocols.Ask, text="after")
            self.assertEqual(answer, {"text": "after"})

        await self.over(TCP + LOCAL, twisted_protocols.Peer, twisted_protocols.Peer, talk)

    async def test_someone_else_s_parser(self) -> None:
        """A parser that is not Twisted's gets what ends with the boundary, or byte by byte."""

        class Words(Protocol):
            def connectionMade(self) -> None:
                self.words, self.rest = list[bytes](), b""

            def dataReceived(self, data: bytes) -> None:
                *words, self.rest = (self.rest + data).split(b";;")
                for word in words:
                    self.words.append(word)
                    if word == b"secure":
                        cast(Any, self.transport).write(b"go;;")
                        cast(Any, self.transport).startTLS(twisted_protocols.as_server())

        secret = [b"one", b"two", b"secure", b"three", b"end"]
        for boundary, given in ((b";;", [b"one;;", b"two;;", b"secure;;"]), (None, [b"o", b"n"])):
            made = await self.serving(Words, boundary=boundary)
            client = await self.raw(made)
            client.say(b"one;;two;;secure;;")
            await client.heard(b"go;;")
            self.secure(client)
            client.say(b"three;;end;;")
            words = made.recorder.protocol.words
            while words[-1:] != [b"end"]:
                await self.turn()
            self.assertEqual(words, secret)
            self.assertEqual(made.recorder.given[: len(given)], given)


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


class StateTests(GuardTestCase):
    """What was learnt in the clear is void."""

    async def mailing(
        self, postbox: twisted_protocols.Postbox, portal: Any = None
    ) -> tuple[Any, Recorder]:
        """Mail servers, and a client that has said EHLO."""
        made = await self.serving(lambda: twisted_protocols.mail_server(postbox, portal=portal))
        client = await self.raw(made)
        client.say(b"EHLO evil.example\r\n")
        await client.heard(b"250 STARTTLS")
        return made, client

    async def secured(self, made: Any, client: Recorder, word: bytes) -> bytes:
        """Ask for TLS and begin it; what the server says to that word then."""
        client.say(b"STARTTLS\r\n")
        await client.heard(b"220 Begin TLS negotiation now\r\n")
        self.secure(client)
        client.say(word)
        said = (await client.heard(b"now\r\n5"))[client.received.index(b"220 Begin") :]
        return said.partition(b"\r\n")[2]

    async def test_s17_a_mail_that_began_in_the_clear(self) -> None:
        """Sender and recipient are gone, and nobody is told so unasked."""
        made, client = await self.mailing(twisted_protocols.Postbox())
        client.say(b"MAIL FROM:<mallory@x>\r\nRCPT TO:<bob@x>\r\n")
        await client.heard(b"250 Recipient")
        said = await self.secured(made, client, b"DATA\r\n")
        self.assertTrue(said.startswith(b"503 "), said)

    async def test_s17_a_name_that_was_given_in_the_clear(self) -> None:
        """Who does not say EHLO again has no name."""
        postbox = twisted_protocols.Postbox()
        made, client = await self.mailing(postbox)
        await self.secured(made, client, b"X\r\n")
        client.say(b"MAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\nDATA\r\n.\r\n")
        await client.heard(b"250 Delivery")
        self.assertEqual(postbox.helos, [b""])

    async def test_s17_a_log_in_in_the_clear(self) -> None:
        """Who logged in in the clear may have been someone else: the connection ends."""
        made, client = await self.mailing(twisted_protocols.Postbox())
        client.say(b"AUTH PLAIN " + LOGIN + b"\r\n")
        await client.heard(b"235 ")
        client.say(b"STARTTLS\r\n")
        await client.gone()
        self.assertNotIn(b"220 Begin", client.received)
        self.assertIn("had logged in", str(await made.recorder.reason()))

    async def late(self, made: Any, client: Recorder, words: bytes) -> None:
        """Behind those words, which are not answered yet, the request ends the connection."""
        client.say(words)
        await client.gone()
        reason = await made.recorder.reason()
        self.assertIsInstance(reason, PeerMisbehaved)
        self.assertIn("did not wait for an answer", str(reason))
        self.assertNotIn(LOGIN.decode(), str(reason))

    async def test_s17_a_log_in_that_takes_its_time(self) -> None:
        """A log-in that was asked for in the clear does not come into force under TLS."""
        postbox = twisted_protocols.Postbox()
        portal = twisted_protocols.portal_for(postbox)
        portal.waiting = []
        made, client = await self.mailing(postbox, portal)
        await self.late(made, client, b"AUTH PLAIN " + LOGIN + b"\r\nNOOP\r\nSTARTTLS\r\n")
        portal.waiting[0].callback(None)

    async def test_s17_a_sender_who_takes_his_time(self) -> None:
        """Nor does the sender of a mail."""
        postbox = twisted_protocols.Postbox(deciding=[])
        made, client = await self.mailing(postbox)
        await self.late(made, client, b"MAIL FROM:<mallory@x>\r\nSTARTTLS\r\n")
        assert postbox.deciding
        postbox.deciding[0].callback(None)

    async def test_s17_a_mail_that_takes_its_time(self) -> None:
        """Nor is a mail answered that was sent in the clear."""
        postbox = twisted_protocols.Postbox(storing=[])
        made, client = await self.mailing(postbox)
        client.say(b"MAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\nDATA\r\n")
        await client.heard(b"354 ")
        await self.late(made, client, b"evil\r\n.\r\nSTARTTLS\r\n")
        assert postbox.storing
        postbox.storing[0].callback(None)

    async def test_s17_a_log_in_to_imap_that_takes_its_time(self) -> None:
        """A mailbox is not opened under TLS for one who wanted it in the clear."""
        portal = twisted_protocols.portal_for(twisted_protocols.account())
        portal.waiting = []
        made = await self.serving(lambda: twisted_protocols.imap_server(portal))
        client = await self.raw(made)
        client.say(b"A AUTHENTICATE PLAIN\r\n")
        await client.heard(b"\r\n+")
        await self.late(made, client, LOGIN + b"\r\nB STARTTLS\r\n")

    async def test_who_waits_for_answers_gets_tls(self) -> None:
        """Answers may take their time, and lines may be many, if the client waits."""
        postbox = twisted_protocols.Postbox(deciding=[], storing=[])
        made, client = await self.mailing(postbox)
        client.say(b"MAIL FROM:<a@x>\r\n")
        assert postbox.deciding is not None and postbox.storing is not None
        while not postbox.deciding:
            await self.turn()
        postbox.deciding[0].callback(None)
        await client.heard(b"250 Sender")
        client.say(b"RCPT TO:<b@x>\r\nDATA\r\n")
        await client.heard(b"354 ")
        client.say(b"one\r\ntwo\r\n.\r\n")
        while not postbox.storing:
            await self.turn()
        postbox.storing[0].callback(None)
        await client.heard(b"250 Delivery")
        # A line feed alone ends no line of SMTP.
        client.say(b"NO\nOP\r\n")
        await client.heard(b"500 ")
        said = await self.secured(made, client, b"DATA\r\n")
        self.assertTrue(said.startswith(b"503 "), said)
        made = await self.serving(twisted_protocols.imap_server)
        client = await self.raw(made)
        # Raw data is no command, and may hold line feeds.
        client.say(b"A LOGIN {7}\r\nal\n\nice {2}\r\npw\r\nB STARTTLS\r\n")
        await client.heard(b"B OK Begin")
        self.secure(client)
        client.say(b"C NOOP\r\n")
        await client.heard(b"C OK")

    async def test_s18_twice(self) -> None:
        """Under TLS it is not offered again, and not begun again."""
        made, client = await self.mailing(twisted_protocols.Postbox())
        await self.secured(made, client, b"X\r\n")
        client.say(b"EHLO a\r\nSTARTTLS\r\nNOOP\r\n")
        said = await client.heard(b"503 TLS already negotiated")
        self.assertEqual(said.count(b"STARTTLS"), 1)
        made = await self.serving(twisted_protocols.imap_server)
        client = await self.raw(made)
        client.say(b"A STARTTLS\r\n")
        await client.heard(b"A OK")
        self.secure(client)
        client.say(b"B STARTTLS\r\nC CAPABILITY\r\n")
        said = (await client.heard(b"C OK")).partition(b"A OK")[2]
        self.assertIn(b"B NO TLS already", said)
        for capability in (b"STARTTLS", b"LOGINDISABLED"):
            self.assertNotIn(capability, said.partition(b"* CAPABILITY")[2])

    async def test_under_implicit_tls(self) -> None:
        """Where TLS was first, it is not offered."""
        made = [
            RecordingFactory(lambda: twisted_protocols.mail_server(twisted_protocols.Postbox()))
            for _ in range(2)
        ]
        ours = self.listening(
            "tls://127.0.0.1:0", txtransport.guard(made[0]), local_cert=certificates.site()
        )
        for servers, listening in zip(made, (ours, self.wrapped(made[1])), strict=True):
            url = f"tls://localhost:{await listening}"
            client = await self.connected(url, cafile=certificates.cafile())
            client.say(b"EHLO a\r\nSTARTTLS\r\n")
            said = await client.heard(b"454 TLS not available")
            self.assertNotIn(b"STARTTLS", said)
            # Nor is there any need to cut what comes.
            self.assertEqual(servers.recorder.given, [b"EHLO a\r\nSTARTTLS\r\n"])

    async def wrapped(self, made: RecordingFactory) -> int:
        """Guarded servers under TLS of Twisted's; the port's number."""
        factory = TLSMemoryBIOFactory(twisted_protocols.as_server(), False, txtransport.guard(made))
        endpoint = TCP4ServerEndpoint(self.reactor, 0, interface="127.0.0.1")
        return self.adopt(await endpoint.listen(factory))

    async def test_a_log_in_under_tls(self) -> None:
        """Who logs in under TLS may, and need not wait; TLS is refused then as what it is."""
        made, client = await self.mailing(twisted_protocols.Postbox())
        await self.secured(made, client, b"X\r\n")
        client.say(b"EHLO a\r\nAUTH PLAIN " + LOGIN + b"\r\nNOOP\r\n")
        await client.heard(b"235 ")
        transport = made.recorder.protocol.transport
        self.assertRaises(AlreadySecure, transport.startTLS, twisted_protocols.as_server())
        client.say(b"RSET\r\n")
        await client.heard(b"250 I remember nothing")

    async def test_a_client_under_implicit_tls(self) -> None:
        """A guarded client knows that it is under TLS, and cannot begin it again."""
        for wrap in (True, False):
            number = await self.wrapped(RecordingFactory(twisted_protocols.PostOffice))
            clients = RecordingFactory(pop3.AdvancedPOP3Client)
            plain = TCP4ClientEndpoint(self.reactor, "127.0.0.1", number)
            if wrap:
                endpoint = wrapClientTLS(twisted_protocols.as_client(), plain)
            else:
                endpoint = txtransport.client(
                    self.reactor, f"tls://localhost:{number}", cafile=certificates.cafile()
                )
            await endpoint.connect(txtransport.guard(clients))
            self.addCleanup(self.hung_up, clients.recorder)
            transport = clients.recorder.protocol.transport
            self.assertTrue(ISSLTransport.providedBy(transport))
            self.assertFalse(ITLSTransport.providedBy(transport))
            self.assertRaises(AlreadySecure, transport.startTLS, twisted_protocols.as_client())


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


class ClientTests(GuardTestCase):
    """What servers send in the clear is never read as if it had been secret."""

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

    async def test_c1_smtp(self) -> None:
        """SMTP: an answer to EHLO behind the go-ahead gets no credentials."""
        await self.injected("smtp", b"250-evil\r\n250 AUTH LOGIN PLAIN\r\n", b"\r\n")

    async def test_c2_pop3(self) -> None:
        """POP3: a list of capabilities behind the go-ahead is not believed."""
        await self.injected("pop3", b"+OK\r\nPLAIN\r\nLOGIN\r\n.\r\n")

    async def test_c3_pop3_garbage(self) -> None:
        """POP3: part of a line counts too."""
        await self.injected("pop3", b"\xb9\xb3\xb9\xb2\xb3", b"+")

    async def test_c4_imap(self) -> None:
        """IMAP: capabilities and tagged answers behind the go-ahead are not believed."""
        await self.injected(
            "imap", b"* CAPABILITY IMAP4REV1 AUTH=PLAIN\r\n0003 OK done\r\n", b"* 9 EXISTS\r\n"
        )

    async def test_c5_imap_alerts(self) -> None:
        """IMAP: an alert behind the go-ahead is not shown; one before it does no harm."""
        await self.injected("imap", b"* OK [ALERT] x\r\n")
        attempt = await self.begun("imap", b"* OK [ALERT] x\r\n0002 OK go\r\n")
        await self.until_hello(attempt)
        await self.hung_up(attempt.recorder)
        await self.failure(attempt.outcome)

    async def test_c6_imap_bye(self) -> None:
        """IMAP: a goodbye behind the go-ahead is no clean close."""
        await self.injected("imap", b"* BYE close\r\n")

    async def test_c7_xmpp(self) -> None:
        """XMPP: neither a stanza, features, an error, a header nor a space may follow."""
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

    async def test_amp(self) -> None:
        """AMP: a question behind the answer is not asked, and the next question fails."""
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

    async def test_tags_that_hide_in_a_text(self) -> None:
        """XMPP: a document type, which could name a text that is many tags, is refused."""
        entity = b'<!DOCTYPE s [<!ENTITY e "' + twisted_protocols.PROCEED + b'<message/>">]>'
        made = await self.scripted(
            b"", (b"<stream", entity + twisted_protocols.STREAM + b"&e;<a/>")
        )
        recorder = await self.calling(CLIENTS["xmpp"].build, made)
        self.assertIn("document type", str(await recorder.reason()))
        self.assertEqual(recorder.protocol.authenticator.stanzas, [])

    async def test_c10_in_a_segment_of_its_own(self) -> None:
        """What comes after the go-ahead is taken for TLS, and is none."""
        for name, how in CLIENTS.items():
            attempt = await self.begun(name, how.go_ahead, (b"\x16\x03", b"250 evil\r\n"))
            reason = await attempt.recorder.reason()
            self.assertEqual((reason.cause, reason.received), ("plaintext-peer", b"250 evil\r\n"))
            self.assertTrue(attempt.recorder.heard.endswith(how.go_ahead))
            if attempt.outcome is not None:
                self.assertIs(await self.failure(attempt.outcome), reason)

    async def test_c11_segments_do_not_matter(self) -> None:
        """However the answers are cut, TLS begins behind the go-ahead."""
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

    async def test_c12_a_whole_session(self) -> None:
        """SMTP: a mail does not count as sent because someone says so in the clear."""
        made = await self.scripted(
            b"220 mx\r\n",
            (b"EHLO", b"250-mx\r\n250 STARTTLS\r\n"),
            (b"STARTTLS", b"220 go\r\n" + SESSION),
        )
        failed = await self.failure(self.send(made))
        self.assertIsInstance(failed.__cause__, PlaintextInjected)
        self.assertTrue(made.recorder.heard.endswith(b"STARTTLS\r\n"))

    async def test_c12_an_untrusted_certificate(self) -> None:
        """SMTP: nor when the peer is a stranger, whoever it is that verifies."""
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

    async def test_c16_answers_that_are_none(self) -> None:
        """SMTP: whatever stands in place of the go-ahead, no mail goes out in the clear."""
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


class Listening(twisted_protocols.PostOffice):
    """A POP3 server that listens for the handshake.

    Attributes:
        completed: How often it heard of one.
        then: What it does then.
    """

    completed = 0
    then: Callable[[Any], object] = staticmethod(lambda protocol: None)

    def handshakeCompleted(self) -> None:
        assert ISSLTransport.providedBy(self.transport)
        self.completed += 1
        self.then(self)


implementer(IHandshakeListener)(Listening)


class EndTests(GuardTestCase):
    """Every conversation ends, once, with its reason."""

    POLICIES: Final = (None, policy_of_a_server)
    """The guest's own context, and one of ours."""

    async def upgrading(
        self, policy: Any = None, build: Callable[[], object] = twisted_protocols.PostOffice
    ) -> tuple[Recording, Recorder, Any]:
        """A server that waits for a hello, whom it waits for, and its clock."""
        made = await self.serving(build, policy=policy and policy())
        client = await self.raw(made)
        await client.heard(b"+OK ready")
        clocked = ClockedReactor(self.reactor)
        base_transport(made.recorder.protocol.transport).reactor = clocked
        client.say(b"STLS\r\n")
        await client.heard(b"+OK\r\n")
        return made.recorder, client, clocked.clock

    async def test_s22_a_handshake_that_never_comes(self) -> None:
        """A silent client is dropped at the deadline, and so is one that says a byte a second."""
        for policy in self.POLICIES:
            for word in (b"", b"\x16\x03\x01\x02\x00\x01"):
                recorder, client, clock = await self.upgrading(policy)
                for byte in word:
                    base_transport(recorder.protocol.transport).protocol.dataReceived(bytes([byte]))
                    clock.advance(1)
                clock.advance(9.99 - len(word))
                self.assertFalse(recorder.lost.called)
                clock.advance(0.02)
                reason = await recorder.reason()
                self.assertIsInstance(reason, TransportTimeout)
                self.assertEqual((reason.stage, reason.received), ("handshake", word))
                self.assertEqual(clock.getDelayedCalls(), [])
                await client.gone()

    async def test_c27_a_server_that_falls_silent(self) -> None:
        """A client waits for thirty seconds, and not for ever."""
        made = await self.scripted(b"")
        recorder = await self.calling(pop3.AdvancedPOP3Client, made)
        clocked = ClockedReactor(self.reactor)
        base_transport(recorder.protocol.transport).reactor = clocked
        recorder.protocol.transport.startTLS(twisted_protocols.as_client())
        clocked.clock.advance(29.99)
        self.assertFalse(recorder.lost.called)
        clocked.clock.advance(0.02)
        self.assertIsInstance(await recorder.reason(), TransportTimeout)

    async def test_s23_what_is_not_tls(self) -> None:
        """The log names what came in place of TLS, escaped, and nothing is executed."""
        rows = {
            b"EHLO evil.example\r\n": "EHLO evil",
            b"GET / HTTP/1.1\r\n\r\n": "GET /",
            bytes(64): r"\x00\x00",
            b"\x80\x2e\x01\x03\x01" + bytes(60): r"\x80.",
            b"\x1b[2J\x07{peer}\r\n" * 9: r"\x1b[2J\x07{peer}\r\n",
        }
        for policy in self.POLICIES:
            for said, shown in rows.items():
                recorder, client, _ = await self.upgrading(policy)
                overheard = self.overheard()
                client.say(said)
                await client.gone()
                reason = await recorder.reason()
                self.assertEqual(reason.cause, "plaintext-peer")
                (event,) = overheard.events
                self.assertEqual((event["error"], event["cause"]), (reason, "plaintext-peer"))
                text = formatEvent(event)
                self.assertIn(shown, text)
                self.assertTrue(text.isprintable())
                self.assertEqual(recorder.protocol.heard, [b"STLS"])

    async def test_s24_a_client_that_refuses_the_certificate(self) -> None:
        """The log tells what the client held against it."""
        for policy in self.POLICIES:
            recorder, client, _ = await self.upgrading(policy)
            overheard = self.overheard()
            stranger = Certificate.loadPEM(Authority.create("another").pem)
            context = optionsForClientTLS("localhost", trustRoot=stranger)
            cast(Any, client.transport).startTLS(context)
            await client.gone()
            self.assertEqual((await recorder.reason()).cause, "peer-alert")
            (event,) = overheard.events
            self.assertIn("unknown ca", formatEvent(event))

    async def test_s26_a_goodbye_in_the_handshake(self) -> None:
        """A close_notify in place of a hello is an end and no error of the program."""
        for policy in self.POLICIES:
            recorder, client, _ = await self.upgrading(policy)
            client.say(b"\x15\x03\x03\x00\x02\x01\x00")
            await client.gone()
            reason = await recorder.reason()
            self.assertIsInstance(reason, HandshakeFailed)
            self.assertEqual(reason.cause, "closed")

    async def test_s26_a_cut_in_the_handshake(self) -> None:
        """Nor is it one when the client resets, or leaves in the middle of its hello."""
        for policy in self.POLICIES:
            for leave, word in (
                ("abortConnection", b""),
                ("abortConnection", b"\x16\x03\x01"),
                ("loseConnection", b"\x16\x03\x01"),
            ):
                recorder, client, _ = await self.upgrading(policy)
                client.say(word)
                getattr(client.transport, leave)()
                reason = await recorder.reason()
                self.assertEqual(reason.cause, "closed")

    async def test_who_listens_for_handshakes_hears_of_it(self) -> None:
        """A guest that is an IHandshakeListener is told once, and may leave at once."""
        for policy in self.POLICIES:
            for leave in ("", "abortConnection", "loseConnection"):
                recorder, client, _ = await self.upgrading(policy, Listening)
                if leave:
                    recorder.protocol.then = partial(self.leave, leave)
                self.secure(client)
                client.say(b"NOOP\r\n")
                if not leave:
                    await client.heard(b"+OK\r\n+OK\r\n")
                    await self.end(client)
                self.assertIsInstance(await recorder.reason(), ConnectionClosed)
                self.assertEqual(recorder.protocol.completed, 1)
                self.assertEqual(
                    recorder.protocol.heard, [b"STLS"] if leave else [b"STLS", b"NOOP"]
                )

    def leave(self, how: str, protocol: Any) -> None:
        """Have a guest leave."""
        getattr(protocol.transport, how)()

    async def test_s26_an_error_of_the_guest_s(self) -> None:
        """What it raises when it hears of the handshake ends it, and is in the log once."""

        def fail(protocol: object) -> None:
            raise ZeroDivisionError("of the guest's")

        for policy in self.POLICIES:
            recorder, client, _ = await self.upgrading(policy, Listening)
            recorder.protocol.then = fail
            self.secure(client)
            client.say(b"NOOP\r\n")
            reason = await recorder.reason()
            self.assertIsInstance(reason, ZeroDivisionError)
            (logged,) = self.flushLoggedErrors()
            self.assertIs(logged.value, reason)
            self.assertEqual(recorder.protocol.heard, [b"STLS"])
            await client.gone()

    async def test_a_close_ends(self) -> None:
        """A client that does not say goodbye is not waited for beyond five seconds."""
        for policy in self.POLICIES:
            recorder, client, clock = await self.upgrading(policy, Listening)
            self.secure(client)
            client.say(b"NOOP\r\n")
            await client.heard(b"+OK\r\n+OK\r\n")
            cast(Any, client.transport).pauseProducing()
            recorder.protocol.transport.loseConnection()
            for _ in range(2):
                # Once more, if it still took what was written.
                await self.turn()
                clock.advance(5.01)
            self.assertIsInstance(await recorder.reason(), ConnectionClosed)
            self.assertEqual(clock.getDelayedCalls(), [])
            cast(Any, client.transport).resumeProducing()
            await client.gone()

    async def test_a_close_in_the_handshake(self) -> None:
        """What a guest said before it left is sent when it can be; who only left is gone."""

        class Leaving(twisted_protocols.PostOffice):
            last = b""

            def lineReceived(self, line: bytes) -> None:
                super().lineReceived(line)
                cast(Any, self.transport).write(self.last)
                cast(Any, self.transport).loseConnection()

        made = await self.serving(Leaving)
        client = await self.raw(made)
        overheard = self.overheard()
        client.say(b"STLS\r\n")
        self.assertIsInstance(await made.recorder.reason(), ConnectionAborted)
        # It was the guest's own wish.
        self.assertEqual(overheard.events, [])
        self.patch(Leaving, "last", b"bye\r\n")
        made = await self.serving(Leaving)
        client = await self.raw(made)
        client.say(b"STLS\r\n")
        await client.heard(b"+OK\r\n")
        self.secure(client)
        await client.heard(b"bye\r\n")
        self.assertIsInstance(await made.recorder.reason(), ConnectionClosed)

    async def test_s27_producers(self) -> None:
        """A pull producer is refused and nothing is harmed; a streaming one goes on under TLS."""

        @implementer(IPushProducer)
        class Producing:
            def pauseProducing(self) -> None:
                pass

            resumeProducing = stopProducing = pauseProducing

        made = await self.serving(LineReceiver)
        client = await self.raw(made)
        while not made.recorders:
            await self.turn()
        recorder = made.recorder
        transport = recorder.protocol.transport
        transport.registerProducer(Producing(), False)
        self.assertRaises(ProducerInTheWay, transport.startTLS, twisted_protocols.as_server())
        transport.unregisterProducer()
        recorder.protocol.lineReceived = recorder.protocol.sendLine
        client.say(b"still here\r\n")
        await client.heard(b"still here\r\n")
        transport.registerProducer(Producing(), True)
        transport.startTLS(twisted_protocols.as_server())
        self.secure(client)
        client.say(b"secret\r\n")
        await client.heard(b"secret\r\n")
        transport.unregisterProducer()


@implementer(IPushProducer)
class Quiet:
    """A producer that has nothing to say."""

    def pauseProducing(self) -> None:
        """It did not speak anyhow."""

    resumeProducing = stopProducing = pauseProducing


class GuestTests(GuardTestCase):
    """A guest's own ways open no gap."""

    async def test_s15_a_paused_guest(self) -> None:
        """What a guest gets after a pause is one command at a time as before."""

        class Pausing(LineReceiver):
            def lineReceived(self, line: bytes) -> None:
                self.sendLine(line)
                if line == b"wait":
                    self.pauseProducing()
                if line == b"STLS":
                    cast(Any, self.transport).startTLS(twisted_protocols.as_server())

        class PausingItsTransport(twisted_protocols.PostOffice):
            def lineReceived(self, line: bytes) -> None:
                super().lineReceived(line)
                if line == b"wait":
                    cast(Any, self.transport).pauseProducing()

            def resumeProducing(self) -> None:
                cast(Any, self.transport).resumeProducing()

        class PausingItself(Pausing):
            def pauseProducing(self) -> None:
                self.paused = True

        for build in (Pausing, PausingItsTransport, PausingItself):
            made = await self.serving(build)
            client = await self.raw(made)
            client.say(b"wait\r\none\r\nSTLS\r\nevil\r\n")
            while not made.recorders or not made.recorder.given:
                await self.turn()
            recorder = made.recorder
            self.assertEqual(recorder.given, [b"wait\r\n"])
            recorder.protocol.resumeProducing()
            self.assertEqual(
                [unit for unit in recorder.given if unit][1:], [b"one\r\n", b"STLS\r\n"]
            )
            self.assertIsInstance(await recorder.reason(), PlaintextInjected)
            await client.gone()

    async def test_a_guest_that_pauses_in_the_handshake(self) -> None:
        """The handshake is not held up, and the guest is given nothing until it wants it."""

        class Pausing(twisted_protocols.PostOffice):
            def lineReceived(self, line: bytes) -> None:
                super().lineReceived(line)
                if line == b"STLS":
                    cast(Any, self.transport).pauseProducing()

        made = await self.serving(Pausing)
        client = await self.raw(made)
        client.say(b"STLS\r\n")
        await client.heard(b"+OK\r\n")
        self.secure(client)
        transport: Any = made.recorder.protocol.transport
        while txtransport.session_of(transport) is None:
            await self.turn()
        client.say(b"NOOP\r\n")
        for _ in range(5):
            await self.turn()
        self.assertEqual(made.recorder.protocol.heard, [b"STLS"])
        transport.resumeProducing()
        await client.heard(b"+OK\r\n+OK\r\n")

    async def test_an_abort_stops_the_delivery(self) -> None:
        """A guest that aborts hears nothing more, be it in the clear or under TLS."""

        class Aborting(LineReceiver):
            def connectionMade(self) -> None:
                self.heard: list[bytes] = []

            def lineReceived(self, line: bytes) -> None:
                self.heard.append(line)
                transport: Any = self.transport
                if line == b"STLS":
                    self.sendLine(b"+OK")
                    transport.startTLS(twisted_protocols.as_server())
                if line == b"abort":
                    transport.abortConnection()
                    self.assertRaises(
                        ConversationOver, transport.startTLS, twisted_protocols.as_server()
                    )
                    transport.write(b"too late")
                    transport.resumeProducing()

            assertRaises = self.assertRaises

        made = await self.serving(Aborting)
        client = await self.raw(made)
        client.say(b"abort\r\nSTLS\r\nevil\r\n")
        self.assertIsInstance(await made.recorder.reason(), ConnectionClosed)
        self.assertEqual(made.recorder.protocol.heard, [b"abort"])
        made = await self.serving(Aborting)
        client = await self.raw(made)
        client.say(b"STLS\r\n")
        await client.heard(b"+OK\r\n")
        self.secure(client)
        client.say(b"one\r\nabort\r\ntwo\r\n")
        self.assertIsInstance(await made.recorder.reason(), ConnectionClosed)
        self.assertEqual(made.recorder.protocol.heard, [b"STLS", b"one", b"abort"])

    async def test_tls_from_the_first_byte(self) -> None:
        """A guest may begin TLS when it is connected, under the limits of a server as well."""

        class Server(twisted_protocols.PostOffice):
            def connectionMade(self) -> None:
                cast(Any, self.transport).startTLS(twisted_protocols.as_server())

        class Client(Telling):
            def connectionMade(self) -> None:
                cast(Any, self.transport).startTLS(twisted_protocols.as_client())
                self.sendLine(b"NOOP")

        for limits in ({}, {"max_connections": 3}):
            made: Any = RecordingFactory(Server)
            guarded = txtransport.guard(made)
            made.port = await self.listening("tcp://127.0.0.1:0", guarded, **limits)
            recorder = await self.calling(Client, made)
            self.assertEqual(await recorder.protocol.told, b"+OK")
            self.assertEqual(made.recorder.given, [b"NOOP\r\n"])

    def test_a_transport_that_cannot(self) -> None:
        """Over a transport without TLS a guest works as ever, and is told which have it."""
        wrapper = txtransport.guard(RecordingFactory(twisted_protocols.PostOffice)).buildProtocol(
            None
        )
        transport = StringTransport()
        wrapper.makeConnection(transport)
        wrapper.dataReceived(b"NOOP\r\n")
        self.assertEqual(transport.value(), b"+OK ready\r\n+OK\r\n")
        refused = self.assertRaises(UpgradeError, wrapper.startTLS, twisted_protocols.as_server())
        self.assertIn("TCP and local sockets", str(refused))

    async def test_twice(self) -> None:
        """A second startTLS is refused, during the first and after it, and harms nothing."""
        made = await self.serving(twisted_protocols.PostOffice)
        client = await self.raw(made)
        client.say(b"STLS\r\n")
        await client.heard(b"+OK\r\n")
        transport = made.recorder.protocol.transport
        self.assertRaises(AlreadySecure, transport.startTLS, twisted_protocols.as_server())
        self.secure(client)
        client.say(b"NOOP\r\n")
        await client.heard(b"+OK\r\n+OK\r\n")
        self.assertRaises(AlreadySecure, transport.startTLS, twisted_protocols.as_server())
        client.say(b"NOOP\r\n")
        await client.heard(b"+OK\r\n+OK\r\n+OK\r\n")
        transport.loseConnection()
        await made.recorder.lost
        self.assertRaises(ConversationOver, transport.startTLS, twisted_protocols.as_server())

    async def test_s21_a_context_that_is_none(self) -> None:
        """What is no context is refused, and the conversation is as it was."""
        made = await self.serving(twisted_protocols.PostOffice)
        client = await self.raw(made)
        await client.heard(b"+OK ready")
        transport = made.recorder.protocol.transport
        warnings.filterwarnings("ignore", ".* does not explicitly provide")
        for context in (None, object(), twisted_protocols.as_client()):
            self.assertRaises(TypeError, transport.startTLS, context)
        client.say(b"NOOP\r\nSTLS\r\n")
        await client.heard(b"+OK\r\n+OK\r\n")
        self.secure(client)
        client.say(b"NOOP\r\n")
        await client.heard(b"+OK\r\n+OK\r\n+OK\r\n")

    async def test_s21_a_context_that_breaks(self) -> None:
        """A context that cannot make its connection is an end, and the guest hears which."""

        @implementer(IOpenSSLServerConnectionCreator)
        class Broken:
            def serverConnectionForTLS(self, tlsProtocol: object) -> Any:
                raise ZeroDivisionError("no key today")

        for endpoints in TCP:
            made = RecordingFactory(
                lambda: twisted_protocols.mail_server(twisted_protocols.Postbox(), Broken())
            )
            port = self.adopt(
                await endpoints.listen(self.reactor, "").listen(txtransport.guard(made))
            )
            client = await self.connected(f"tcp://127.0.0.1:{port}")
            client.say(b"STARTTLS\r\n")
            await client.gone()
            self.assertIsInstance(await made.recorder.reason(), ZeroDivisionError)
            self.assertEqual(made.recorder.heard, b"STARTTLS\r\n")
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    async def test_s21_a_producer_outlives_a_context_that_is_none(self) -> None:
        """A refused context costs a guest neither the conversation nor its producer."""
        made = await self.serving(twisted_protocols.PostOffice)
        client = await self.raw(made)
        await client.heard(b"+OK ready")
        transport = made.recorder.protocol.transport
        producer = Quiet()
        transport.registerProducer(producer, True)
        warnings.filterwarnings("ignore", ".* does not explicitly provide")
        self.assertRaises(TypeError, transport.startTLS, object())
        self.assertIs(base_transport(transport).producer, producer)
        transport.unregisterProducer()

    async def test_a_guest_that_hooks_what_it_is_given(self) -> None:
        """A guest which has a StartTLSMixin, that stands before its parser, is guarded as well."""

        def build() -> Any:
            lines = Lines()
            lines.is_server, lines.policy = True, policy_of_a_server()
            lines.secured.addErrback(lambda reason: None)
            return lines

        made = await self.serving(build)
        client = await self.raw(made)
        client.say(b"STARTTLS\r\nevil\r\n")
        self.assertIsInstance(await made.recorder.reason(), PlaintextInjected)
        self.assertEqual(made.recorder.protocol.heard, [(b"STARTTLS", False)])
        await client.gone()

    async def test_a_guard_within_a_guard(self) -> None:
        """Twice guarded is as good."""
        made = RecordingFactory(twisted_protocols.PostOffice)
        twice = txtransport.guard(txtransport.guard(made))
        cast(Any, made).port = await self.listening("tcp://127.0.0.1:0", twice)
        client = await self.raw(made)
        client.say(b"STLS\r\nevil\r\n")
        self.assertIsInstance(await made.recorder.reason(), PlaintextInjected)
        client = await self.raw(made)
        client.say(b"STLS\r\n")
        await client.heard(b"+OK\r\n")
        self.secure(client)
        client.say(b"NOOP\r\n")
        await client.heard(b"+OK\r\n+OK\r\n")
        self.assertEqual(made.recorders[0].protocol.heard, [b"STLS"])

    async def test_a_boundary_that_comes_in_two_pieces(self) -> None:
        """What is given away because it is long does not take half a boundary with it."""

        class Long(Protocol):
            def connectionMade(self) -> None:
                self.rest, self.words = b"", list[bytes]()

            def dataReceived(self, data: bytes) -> None:
                *words, self.rest = (self.rest + data).split(b"\r\n")
                for word in words:
                    self.words.append(word.strip())
                    if word.endswith(b"STLS"):
                        cast(Any, self.transport).startTLS(twisted_protocols.as_server())

        made = await self.serving(Long, boundary=b"\r\n")
        client = await self.raw(made)
        client.say(b" " * 70_000 + b"STLS\r")
        while not made.recorders or not made.recorder.protocol.rest.endswith(b"STLS"):
            await self.turn()
        client.say(b"\nevil\r\n")
        self.assertIsInstance(await made.recorder.reason(), PlaintextInjected)
        self.assertEqual(made.recorder.protocol.words, [b"STLS"])
        await client.gone()

    async def test_an_error_of_the_guest_s(self) -> None:
        """An exception in the clear is the application's, and is told once."""

        class Broken(twisted_protocols.PostOffice):
            def lineReceived(self, line: bytes) -> None:
                raise ZeroDivisionError(line)

        made = await self.serving(Broken)
        client = await self.raw(made)
        client.say(b"one\r\ntwo\r\n")
        self.assertIsInstance(await made.recorder.reason(), ZeroDivisionError)
        self.assertEqual(len(self.flushLoggedErrors()), 1)
        self.assertEqual(made.recorder.given, [b"one\r\n"])
        await client.gone()


class PolicyTests(GuardTestCase):
    """A policy in place of the guest's own context."""

    async def test_a_certificate_for_no_one(self) -> None:
        """Twisted's own verification takes one without names for anyone's; a policy does not."""
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

    async def test_both_sides(self) -> None:
        """A server's policy is options or a policy, a client's may be a name."""
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

    async def test_injection(self) -> None:
        """What stands where TLS is to begin ends the connection just the same."""
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

    async def test_a_bad_policy(self) -> None:
        """A policy that cannot be used is the caller's to hear of."""
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

    async def test_reversed_roles(self) -> None:
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


class Telling(LineOnlyReceiver):
    """Says nothing, and tells the first line.

    Attributes:
        told: Fires with it.
    """

    def __init__(self) -> None:
        self.told: Deferred[bytes] = Deferred()

    def lineReceived(self, line: bytes) -> None:
        self.told.callback(line)


class FactoryTests(GuardTestCase):
    """The guard's factory passes on what is the guest's factory's."""

    def test_a_boundary_is_some_bytes(self) -> None:
        """An empty boundary, and one that is text, are refused at once."""
        self.assertIn(
            "empty", str(self.assertRaises(ValueError, txtransport.guard, Factory(), b""))
        )
        for wrong in ("\n", bytearray(b"\n"), 10):
            self.assertRaises(TypeError, txtransport.guard, Factory(), wrong)

    async def test_a_factory_that_builds_none(self) -> None:
        """Whom the guest's factory does not want is closed."""

        class Closed(Factory):
            noisy = False

            def buildProtocol(self, addr: object) -> None:
                return None

        port = await self.listening("tcp://127.0.0.1:0", txtransport.guard(Closed()))
        client = await self.connected(f"tcp://127.0.0.1:{port}")
        self.assertIsInstance((await client.gone()).value, ConnectionClosed)

    async def test_what_client_factories_hear(self) -> None:
        """A client's factory hears of attempts, failures and ends, and is started and stopped."""
        told: list[str] = []

        class Told(ClientFactory):
            noisy = False
            protocol = twisted_protocols.PostOffice

            def __init__(self) -> None:
                self.ended: Deferred[list[Any]] = Deferred()

            def doStart(self) -> None:
                told.append("start")

            def doStop(self) -> None:
                told.append("stop")

            def startedConnecting(self, connector: object) -> None:
                told.append("attempt")

            def clientConnectionFailed(self, connector: object, reason: Any) -> None:
                told.append("failure")
                self.ended.callback([reason.value])

            def clientConnectionLost(self, connector: object, reason: Any) -> None:
                told.append("end")
                self.ended.callback([reason.value])

        factory = Told()
        self.reactor.connectTCP("127.0.0.1", self.free_port(), txtransport.guard(factory))
        self.assertIsInstance((await factory.ended)[0], ConnectionRefusedError)
        await self.turn()
        self.assertEqual(told, ["start", "attempt", "failure", "stop"])
        made, factory = await self.serving(twisted_protocols.PostOffice), Told()
        self.reactor.connectTCP("127.0.0.1", made.port, txtransport.guard(factory))
        while not made.recorders:
            await self.turn()
        made.recorder.protocol.transport.abortConnection()
        self.assertIsInstance((await factory.ended)[0], ConnectionClosed)
        await self.turn()
        self.assertEqual(told[4:], ["start", "attempt", "end", "stop"])

    async def test_what_an_endpoint_gives(self) -> None:
        """An endpoint's Deferred fires with the guard; the protocol is within."""
        made = await self.serving(twisted_protocols.PostOffice)
        endpoint = txtransport.client(self.reactor, f"tcp://127.0.0.1:{made.port}")
        clients = RecordingFactory(pop3.AdvancedPOP3Client)
        connected: Any = await endpoint.connect(txtransport.guard(clients))
        self.addCleanup(self.hung_up, clients.recorder)
        self.assertIs(connected.wrappedProtocol, clients.recorder.protocol)
