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
)
from twisted.internet.error import ConnectionClosed
from twisted.internet.interfaces import (
    IProtocolFactory,
    ISSLTransport,
)
from twisted.internet.protocol import Protocol
from twisted.mail import imap4, pop3

import txtransport
from tests import guests
from tests.guests import Guests, Visit
from tests.loopback import LoopbackTestCase, Recorder
from txtransport.errors import (
    PeerMisbehaved,
    PlaintextInjected,
)

EVIL: Final = b"mallory"
LOGIN: Final = b"AGFsaWNlAGNvcnJlY3QgaG9yc2U="
"""`guests.USER` and her password, as the mechanism PLAIN has it."""
SESSION: Final = (
    b"250-mx\r\n250 AUTH PLAIN\r\n235 ok\r\n250 ok\r\n250 ok\r\n354 go on\r\n"
    b"250 queued\r\n221 bye\r\n"
)
"""All that a mail server says after the go-ahead."""
MAILDROP: Final = (b"+OK ready\r\n", (b"CAPA", b"+OK\r\nSTLS\r\n.\r\n"))
"""How a POP3 server begins."""


@frozen
class Door:
    """One way to listen and to call.

    Attributes:
        listen: Where to listen: of a reactor, and a path for a local socket.
        call: How to call the one that listens there, and at that port.
    """

    listen: Callable[[Any, str], Any]
    call: Callable[[Any, str, int], Any]


TCP: Final = (
    Door(
        lambda reactor, path: txtransport.server(reactor, "tcp://127.0.0.1:0"),
        lambda reactor, path, port: txtransport.client(reactor, f"tcp://127.0.0.1:{port}"),
    ),
    Door(
        lambda reactor, path: txtransport.server(reactor, "tcp://127.0.0.1:0", max_connections=9),
        lambda reactor, path, port: txtransport.client(reactor, f"tcp://localhost:{port}"),
    ),
    Door(
        lambda reactor, path: TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1"),
        lambda reactor, path, port: TCP4ClientEndpoint(reactor, "127.0.0.1", port),
    ),
)
LOCAL: Final = (
    Door(
        lambda reactor, path: txtransport.server(reactor, f"unix://{path}"),
        lambda reactor, path, port: txtransport.client(reactor, f"unix://{path}"),
    ),
    Door(
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
        made: Any = Guests(build)
        made.port = await self.listening("tcp://127.0.0.1:0", txtransport.guard(made, **keywords))
        return made

    async def unguarded(self, build: Callable[[], object]) -> Any:
        """The same without a guard."""
        made: Any = Guests(build)
        made.port = await self.listening("tcp://127.0.0.1:0", made)
        return made

    async def scripted(self, greeting: bytes, *steps: tuple[bytes, bytes | None]) -> Any:
        """Servers that say what the script says; with the port's number."""
        return await self.unguarded(lambda: guests.Scripted(greeting, steps))

    async def raw(self, made: Any) -> Recorder:
        """A client that writes what it likes."""
        return await self.connected(f"tcp://127.0.0.1:{made.port}")

    def secure(self, client: Recorder, name: str = "localhost") -> None:
        """Have such a client begin TLS."""
        cast(Any, client.transport).startTLS(guests.as_client(name))

    async def calling(self, build: Callable[[], object], made: Any, **keywords: Any) -> Visit:
        """A guarded client's conversation with those servers."""
        clients = Guests(build)
        endpoint = txtransport.client(self.reactor, f"tcp://127.0.0.1:{made.port}")
        await endpoint.connect(txtransport.guard(clients, **keywords))
        self.addCleanup(self.hung_up, clients.visit)
        return clients.visit

    async def hung_up(self, visit: Visit) -> None:
        """Abort, and wait for the end."""
        if not visit.lost.called:
            visit.guest.transport.abortConnection()
            await visit.lost

    async def failure(self, attempt: Any) -> Any:
        """The exception with which something failed."""
        return await self.assertFailure(attempt, Exception)

    def send(self, made: Any, **keywords: Any) -> Deferred[Any]:
        """Have Twisted's guarded sender give a mail to those servers."""
        sent: Deferred[Any] = Deferred()
        sender = guests.sending(sent, **keywords)
        self.reactor.connectTCP("127.0.0.1", made.port, txtransport.guard(sender))
        return sent


class TwistedAloneTests(GuardTestCase):
    """Why there is a guard."""

    async def test_s2_twisted_alone_executes_what_was_injected(self) -> None:
        """Without the guard a mail that was sent in the clear arrives as if under TLS."""
        postbox = guests.Postbox()
        made = await self.unguarded(lambda: guests.mail_server(postbox))
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
        clients = Guests(pop3.AdvancedPOP3Client)
        client: Any = await endpoint.connect(clients)
        self.addCleanup(self.hung_up, clients.visit)
        self.assertEqual(await client.startTLS(guests.as_client()), {b"EVIL": None})


class ConversationTests(GuardTestCase):
    """With the guard, everything is as it was without, over whatever it runs."""

    async def pair(self, door: Door, server: IProtocolFactory, client: IProtocolFactory) -> None:
        """Connect them through that door."""
        path = self.socket_path()
        port = self.adopt(await door.listen(self.reactor, path).listen(server))
        await door.call(self.reactor, path, port).connect(client)

    async def over(
        self,
        doors: tuple[Door, ...],
        server: Callable[[], object],
        client: Callable[[], object],
        talk: Callable[[Any], Awaitable[object]],
    ) -> None:
        """Have the client talk over each of the doors, and see that it is under TLS."""
        for door in doors:
            servers, clients = Guests(server), Guests(client)
            await self.pair(door, txtransport.guard(servers), txtransport.guard(clients))
            visit = clients.visit
            self.addCleanup(self.hung_up, visit)
            self.assertFalse(ISSLTransport.providedBy(visit.guest.transport))
            self.assertIsNone(txtransport.session_of(visit.guest.transport))
            await talk(visit.guest)
            for each in (visit, servers.visit):
                self.assertTrue(ISSLTransport.providedBy(each.guest.transport))
                session = txtransport.session_of(each.guest.transport)
                assert session is not None
                self.assertEqual(session.version, "TLSv1.3")
            visit.guest.transport.loseConnection()
            await visit.lost
            await servers.visit.lost

    async def test_mail(self) -> None:
        """A mail is sent with SMTP."""
        for door in TCP:
            postbox, sent = guests.Postbox(), Deferred[Any]()
            servers = Guests(partial(guests.mail_server, postbox))
            sender = guests.sending(sent, requireAuthentication=True)
            await self.pair(door, txtransport.guard(servers), txtransport.guard(sender))
            self.assertEqual((await sent)[0], 1)
            await servers.visit.lost
            self.assertEqual(postbox.mails, [[b"Subject: hello", b"", b"Dear Bob"]])
            self.assertTrue(servers.visit.guest.authenticated)

    async def test_imap(self) -> None:
        """Someone logs in with IMAP and looks at the mailboxes."""

        async def talk(client: Any) -> None:
            await client.login(guests.USER, guests.PASSWORD)
            self.assertEqual(await client.list("", "%"), [(("\\HasNoChildren",), "/", "INBOX")])

        await self.over(
            TCP + LOCAL, guests.imap_server, lambda: imap4.IMAP4Client(guests.as_client()), talk
        )

    async def test_pop3(self) -> None:
        """Someone logs in with POP3."""

        async def talk(client: Any) -> None:
            await client.startTLS(guests.as_client())
            await client.login(guests.USER, guests.PASSWORD)

        await self.over(TCP + LOCAL, guests.PostOffice, pop3.AdvancedPOP3Client, talk)

    async def test_xmpp(self) -> None:
        """A stream of XMPP is made ready, and takes a message."""

        async def talk(client: Any) -> None:
            await client.authenticator.ready

        await self.over(
            TCP + LOCAL,
            lambda: guests.xmpp_server(guests.Callee()),
            lambda: guests.xmpp_client(guests.Caller()),
            talk,
        )

    async def test_amp(self) -> None:
        """Two AMP peers ask and answer, before and after."""

        async def talk(client: Any) -> None:
            await client.callRemote(guests.Ask, text="before\0")
            await guests.started(client)
            answer = await client.callRemote(guests.Ask, text="after")
            self.assertEqual(answer, {"text": "after"})

        await self.over(TCP + LOCAL, guests.Peer, guests.Peer, talk)

    async def test_a_boundary_for_someone_else_s_parser(self) -> None:
        """A parser that is not Twisted's gets what ends with the boundary."""

        class Words(Protocol):
            def connectionMade(self) -> None:
                self.words: list[bytes] = []

            def dataReceived(self, data: bytes) -> None:
                for word in data.split(b";;")[:-1]:
                    self.words.append(word)
                    if word == b"secure":
                        cast(Any, self.transport).write(b"go;;")
                        cast(Any, self.transport).startTLS(guests.as_server())

        made = await self.serving(Words, boundary=b";;")
        client = await self.raw(made)
        client.say(b"one;;two;;secure;;")
        await client.heard(b"go;;")
        self.secure(client)
        client.say(b"three;;end;;")
        await client.heard(b"go;;")
        await self.until(lambda: made.visit.guest.words[-1:] == [b"end"])
        self.assertEqual(made.visit.guest.words, [b"one", b"two", b"secure", b"three", b"end"])
        self.assertEqual(made.visit.given[:3], [b"one;;", b"two;;", b"secure;;"])

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait for that; the test's own deadline bounds it."""
        while not is_so():
            await self.turn()


@frozen
class Upgrade:
    """How a client asks one of the servers for TLS.

    Attributes:
        build: Builds the server.
        ask: The request, in the clear.
        opening: What comes before it.
        answer: How the answer to that ends.
        go_ahead: How the answer to the request begins.
        keywords: As for `txtransport.guard`.
    """

    build: Callable[[], object]
    ask: bytes
    go_ahead: bytes
    opening: bytes = b""
    answer: bytes = b""


SERVERS: Final = {
    "smtp": Upgrade(
        lambda: guests.mail_server(guests.Postbox()),
        b"STARTTLS\r\n",
        b"220 Begin",
        b"EHLO a.example\r\n",
        b"250 STARTTLS\r\n",
    ),
    "imap": Upgrade(guests.imap_server, b"A STARTTLS\r\n", b"A OK Begin", b"", b"* OK "),
    "pop3": Upgrade(guests.PostOffice, b"STLS\r\n", b"+OK\r\n", b"", b"+OK ready\r\n"),
    "xmpp": Upgrade(
        lambda: guests.xmpp_server(guests.Callee()),
        guests.STARTTLS,
        b"<proceed",
        guests.STREAM,
        b"</stream:features>",
    ),
    "amp": Upgrade(
        guests.Peer,
        guests.box(_ask=b"1", _command=b"StartTLS"),
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
            visit = made.visit
            reason = await visit.reason()
            self.assertIsInstance(reason, PlaintextInjected, evil)
            self.assertEqual(reason.received, evil[:64])
            self.assertEqual(visit.heard, SERVERS[name].opening + SERVERS[name].ask)
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
            "xmpp", b"<iq type='set' id='evil'/>", b" ", b"<", b"<!-- -->", guests.STREAM
        )

    async def test_a_box_behind_start_tls(self) -> None:
        """AMP: a question that was pipelined is neither asked nor answered."""
        await self.pipelined("amp", guests.box(_ask=b"2", _command=b"Ask", text=EVIL), b"\0")

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
            reason = await made.visit.reason()
            self.assertEqual((reason.cause, reason.received[:9]), ("plaintext-peer", b"MAIL FROM"))
            self.assertEqual(made.visit.heard, how.opening + how.ask)

    async def test_c11_segments_do_not_matter(self) -> None:
        """However the opening and the request are cut, TLS begins behind them."""
        for how in SERVERS.values():
            whole = how.opening + how.ask
            for cuts in ([1] * len(whole), [len(whole) // 2, len(whole)], [len(whole)]):
                made = await self.serving(how.build)
                client = await self.raw(made)
                await self.until_built(made)
                wrapper, rest = made.visit.guest.transport, whole
                for cut in cuts:
                    wrapper.dataReceived(rest[:cut])
                    rest = rest[cut:]
                await client.heard(how.go_ahead)
                self.secure(client)
                client.say(b"\r\n")
                await self.until_secure(made.visit)
                await self.end(client)

    async def until_built(self, made: Any) -> None:
        """Wait until someone has come; the test's own deadline bounds it."""
        while not made.visits:
            await self.turn()

    async def until_secure(self, visit: Visit) -> None:
        """Wait until a guest is under TLS; the test's own deadline bounds it."""
        while not ISSLTransport.providedBy(visit.guest.transport):
            await self.turn()

    async def test_s16_starttls_in_a_message(self) -> None:
        """Within a mail, or a literal of IMAP, the word is data and no command."""
        made, client = await self.opened("smtp")
        client.say(b"MAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\nDATA\r\nSTARTTLS\r\n.\r\nNOOP\r\n")
        await client.heard(b"250 Delivery in progress")
        self.assertNotIn(b"220 Begin", client.received)
        self.assertEqual(made.visit.guest.delivery.mails, [[b"", b"STARTTLS"]])
        made, client = await self.opened("imap")
        client.say(b"A LOGIN {12}\r\nB STARTTLS\r\n {3}\r\nabc\r\nC NOOP\r\n")
        await client.heard(b"C OK")
        self.assertNotIn(b"B OK", client.received)

    async def test_tags_that_hide_in_a_text(self) -> None:
        """XMPP: a document type could name a text that holds the request and more, and is refused."""
        callee = guests.Callee()
        made = await self.serving(lambda: guests.xmpp_server(callee))
        client = await self.raw(made)
        entity = b'<!DOCTYPE s [<!ENTITY e "' + guests.STARTTLS + b"<message to='evil'/>\">]>"
        client.say(entity + guests.STREAM + b"&e;<iq/>")
        await client.gone()
        self.assertIn("document type", str(await made.visit.reason()))
        self.assertEqual((made.visit.given, callee.stanzas), ([], []))

    async def test_a_request_in_many_pieces(self) -> None:
        """XMPP: a tag with quoted brackets is one, and what follows it is injected."""
        callee = guests.Callee()
        made = await self.serving(lambda: guests.xmpp_server(callee))
        client = await self.raw(made)
        client.say(guests.STREAM)
        await client.heard(b"</stream:features>")
        client.say(guests.STARTTLS[:-2] + b" a='>>>\"'/><message/>")
        await client.gone()
        self.assertEqual((await made.visit.reason()).received, b"<message/>")
        self.assertEqual(callee.stanzas, ["starttls"])

    async def test_s25_no_end(self) -> None:
        """A line, a word or a tag without an end is not waited for, and does not pile up."""
        for name in ("smtp", "imap", "pop3", "xmpp", "amp"):
            made, client = await self.opened(name)
            client.say(b"<" + b"x" * 300_000)
            await client.gone()
            reason = await made.visit.reason()
            self.assertIsInstance(reason, (PeerMisbehaved, ConnectionClosed), name)
