"""The switch to TLS in mid-conversation, as a protocol sees it.

Rows of the attack lists carry their number in the name (C… are things that a
server may do to a client, S… the other way round).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any, Final, cast

from OpenSSL import SSL
from twisted.internet import error
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.interfaces import IHandshakeListener, IPushProducer
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import LogLevel, formatEvent
from twisted.protocols.basic import NetstringReceiver
from twisted.protocols.policies import WrappingFactory
from twisted.python.failure import Failure
from twisted.words.xish import xmlstream
from zope.interface import implementer

import txtransport
from tests import certificates
from tests.loopback import LoopbackTestCase, Recorder
from tests.speakers import KINDS, Lines, Plain, Speaker, Speakers, as_client, as_server
from txtransport.config.policy import TLSPolicy
from txtransport.errors import (
    AlreadySecure,
    BadCertificateFile,
    ConversationOver,
    HandshakeFailed,
    InvalidOption,
    PeerMisbehaved,
    PlaintextInjected,
    ProducerInTheWay,
    TransportTimeout,
    UpgradeError,
)
from txtransport.upgrade.buffer import MAX_HELD
from txtransport.upgrade.switch import TLSState

EVIL: Final = b"evil"
HELLO: Final = b"\x16\x03\x01"


class MixinTestCase(LoopbackTestCase):
    """Servers and clients of the tests."""

    async def serving(self, kind: type[Speaker], url: str = "", **attributes: Any) -> Any:
        """A server over plain TCP; its factory, with the port's number."""
        speakers = Speakers(kind, **attributes)
        cast(Any, speakers).port = await self.listening(url or "tcp://127.0.0.1:0", speakers)
        self.addCleanup(self.settled, speakers)
        return speakers

    def settled(self, speakers: Speakers) -> None:
        """Upgrades of which a test does not say how they ended may have failed."""
        for speaker in speakers.all:
            speaker.secured.addErrback(lambda reason: None)

    async def calling(self, kind: type[Speaker], port: int, **attributes: Any) -> Any:
        """A client of that kind."""
        attributes = {"is_server": False, "policy": as_client(), **attributes}
        factory = Speakers(kind, **attributes)
        endpoint = txtransport.client(self.reactor, f"tcp://127.0.0.1:{port}")
        speaker: Any = await endpoint.connect(factory)
        self.addCleanup(self.hung_up, speaker)
        return speaker

    async def hung_up(self, speaker: Any) -> None:
        """Abort, and wait for the end."""
        if not speaker.lost.called:
            speaker.transport.abortConnection()
            await speaker.lost

    async def raw(self, port: int) -> Recorder:
        """A client that writes what it likes."""
        return await self.connected(f"tcp://127.0.0.1:{port}")

    async def reason(self, speaker: Any) -> Any:
        """The exception for which a conversation ended."""
        (failure,) = await speaker.lost
        return failure.value

    async def failure(self, speaker: Any) -> Any:
        """The exception with which an upgrade failed."""
        failures: list[Failure] = []
        speaker.secured.addErrback(failures.append)
        await speaker.secured
        self.assertEqual(len(failures), 1, "the upgrade did not fail")
        return failures[0].value

    def words(self, speaker: Any) -> list[bytes]:
        """What a speaker heard."""
        return [word for word, _ in speaker.heard]

    async def first(self, servers: Any) -> list[Any]:
        """The servers, when the first has been built."""
        while not servers.all:
            turn: Deferred[None] = Deferred()
            self.reactor.callLater(0, turn.callback, None)
            await turn
        return cast("list[Any]", servers.all)


class ConversationTests(MixinTestCase):
    """What holds for every parser."""

    async def test_a_conversation_goes_on_under_tls(self) -> None:
        """Words before are clear, words after are secret, on both sides."""
        for kind in KINDS:
            servers = await self.serving(kind)
            client = await self.calling(kind, servers.port)
            client.say(b"before")
            await client.hears(b"heard before")
            client.say(b"STARTTLS")
            session = await client.secured
            client.say(b"after")
            await client.hears(b"heard after")
            (server,) = servers.all
            self.assertEqual(
                server.heard,
                [(b"before", False), (b"STARTTLS", False), (b"after", True)],
                kind.__name__,
            )
            self.assertTrue(session.verified)
            self.assertEqual((client.forgot, server.forgot), (1, 1))
            self.assertEqual(txtransport.session_of(server.transport), await server.secured)

    async def test_s1_a_word_behind_the_request_is_never_heard(self) -> None:
        """What is pipelined behind the request ends the conversation instead of TLS."""
        for kind in KINDS:
            servers = await self.serving(kind)
            client = await self.raw(servers.port)
            pack = kind().packed
            client.say(pack(b"STARTTLS") + pack(EVIL) + pack(EVIL))
            await client.gone()
            (server,) = servers.all
            injected = await self.failure(server)
            self.assertIsInstance(injected, PlaintextInjected, kind.__name__)
            self.assertIs(await self.reason(server), injected)
            self.assertEqual(self.words(server), [b"STARTTLS"])
            # Not even the go-ahead was said.
            self.assertEqual(client.received, b"")

    async def test_s4_half_a_word_behind_the_request_is_never_completed(self) -> None:
        """A part of a word counts as well: it would be read with the first secret bytes."""
        for kind in KINDS:
            servers = await self.serving(kind)
            client = await self.raw(servers.port)
            pack = kind().packed
            client.say(pack(b"STARTTLS") + pack(EVIL)[:3])
            await client.gone()
            (server,) = servers.all
            self.assertIsInstance(await self.failure(server), PlaintextInjected)
            self.assertEqual(self.words(server), [b"STARTTLS"])

    async def test_s13_a_word_in_the_next_segment_reaches_tls(self) -> None:
        """What comes after the go-ahead is taken for TLS, and is none."""
        for kind in KINDS:
            servers = await self.serving(kind)
            client = await self.raw(servers.port)
            pack = kind().packed
            client.say(pack(b"STARTTLS"))
            await client.heard(pack(b"GO"))
            client.say(pack(b"evil, and long enough for a record"))
            await client.gone()
            (server,) = servers.all
            failed = await self.failure(server)
            self.assertEqual(failed.cause, "plaintext-peer")
            self.assertIn("evil, and", str(failed))
            self.assertEqual(self.words(server), [b"STARTTLS"])

    async def test_c1_a_word_behind_the_go_ahead_is_never_heard(self) -> None:
        """A server, or someone before it, cannot put words in front of TLS."""
        for kind in KINDS:
            pack = kind().packed
            client = await self.told(kind, pack(b"GO") + pack(EVIL))
            self.assertIsInstance(await self.failure(client), PlaintextInjected, kind.__name__)
            self.assertEqual(self.words(client), [b"GO"])

    async def test_c3_half_a_word_behind_the_go_ahead_counts(self) -> None:
        """Garbage without an end is clear text too."""
        for kind in KINDS:
            pack = kind().packed
            client = await self.told(kind, pack(b"GO") + b"\x01")
            self.assertIsInstance(await self.failure(client), PlaintextInjected, kind.__name__)

    async def test_c5_words_before_the_go_ahead_are_clear(self) -> None:
        """What came before is heard as what it is."""
        for kind in KINDS:
            servers = await self.serving(kind)
            client = await self.calling(kind, servers.port)
            await self.first(servers)
            servers.all[0].say(b"news")
            client.say(b"STARTTLS")
            await client.secured
            self.assertEqual(client.heard, [(b"news", False), (b"GO", False)])

    async def test_c11_the_segments_do_not_matter(self) -> None:
        """Byte by byte, a conversation is the same."""
        for kind in KINDS:
            servers = await self.serving(kind)
            client = await self.raw(servers.port)
            cast(Any, client.transport).setTcpNoDelay(True)
            (server,) = await self.first(servers)
            for byte in kind().packed(b"before") + kind().packed(b"STARTTLS"):
                server.dataReceived(bytes([byte]))
            await client.heard(kind().packed(b"GO"))
            self.assertEqual(server.heard, [(b"before", False), (b"STARTTLS", False)])
            await self.end(client)
            self.assertEqual((await self.failure(server)).cause, "closed")

    async def told(self, kind: type[Speaker], words: bytes) -> Any:
        """A client that a server told that, as soon as it came."""

        class Telling(Protocol):
            def connectionMade(self) -> None:
                assert self.transport is not None
                self.transport.write(words)

        port = await self.listening("tcp://127.0.0.1:0", Factory.forProtocol(Telling))
        return await self.calling(kind, port)


class DoorTests(MixinTestCase):
    """Over whatever a conversation runs."""

    async def over(self, url: str, place: str, **options: Any) -> Any:
        """The server's side of an upgrade over those URLs."""
        servers = Speakers(Lines)
        port = await self.listening(url, servers, **options)
        endpoint = txtransport.client(self.reactor, place.format(port=port))
        client: Any = await endpoint.connect(Speakers(Lines, is_server=False, policy=as_client()))
        self.addCleanup(self.hung_up, client)
        client.say(b"STARTTLS")
        await client.secured
        client.say(b"after")
        await client.hears(b"heard after")
        return servers.all[0]

    async def test_over_local_sockets(self) -> None:
        """A path and an abstract name do as well as TCP."""
        path = f"{certificates.folder()}/upgrade.sock"
        for place in (path, "@txtransport-upgrade-test"):
            server = await self.over(f"unix://{place}", f"unix://{place}")
            self.assertEqual(server.heard[-1], (b"after", True))

    async def test_under_the_limits_of_a_server(self) -> None:
        """The wrapper that counts connections is not in the way."""
        server = await self.over(
            "tcp://127.0.0.1:0", "tcp://127.0.0.1:{port}", max_connections=5, max_per_ip=5
        )
        self.assertTrue(server.is_secure)

    async def test_over_twisted_s_endpoints(self) -> None:
        """The mixin needs no endpoint of ours, and no wrapper that knows of handshakes."""
        for wrapped in (lambda factory: factory, WrappingFactory):
            servers = Speakers(Lines)
            listening = TCP4ServerEndpoint(self.reactor, 0, interface="127.0.0.1")
            port = self.adopt(await listening.listen(wrapped(servers)))
            calling = TCP4ClientEndpoint(self.reactor, "127.0.0.1", port)
            clients = Speakers(Lines, is_server=False, policy=as_client())
            await calling.connect(wrapped(clients))
            (client,) = clients.all
            self.addCleanup(self.hung_up, client)
            client.say(b"STARTTLS")
            await client.secured
            client.say(b"after")
            await client.hears(b"heard after")
            self.assertEqual(servers.all[0].heard[-1], (b"after", True))

    async def test_under_implicit_tls_it_stands_aside(self) -> None:
        """The same protocol serves port 465, where TLS was first."""
        servers = Speakers(Lines)
        port = await self.listening("tls://127.0.0.1:0", servers, **as_server())
        endpoint = txtransport.client(self.reactor, f"tls://127.0.0.1:{port}", **as_client())
        client: Any = await endpoint.connect(Speakers(Lines, is_server=False))
        self.addCleanup(self.hung_up, client)
        client.say(b"one")
        client.say(b"two")
        await client.hears(b"heard two")
        self.assertEqual(servers.all[0].heard, [(b"one", True), (b"two", True)])
        self.assertIs(client.tls_state, TLSState.SECURE)
        self.assertRaises(AlreadySecure, client.startTLS, as_client())

    async def test_who_listens_for_handshakes_hears_of_it(self) -> None:
        """A protocol that is Twisted's IHandshakeListener is told, as Twisted tells it."""

        @implementer(IHandshakeListener)
        class Listening(Lines):
            completed = 0

            def handshakeCompleted(self) -> None:
                assert self.is_secure
                self.completed += 1

        servers = await self.serving(Listening)
        client = await self.calling(Listening, servers.port)
        client.say(b"STARTTLS")
        await client.secured
        client.say(b"after")
        await client.hears(b"heard after")
        self.assertEqual((client.completed, servers.all[0].completed), (1, 1))

    async def test_the_roles_may_be_reversed(self) -> None:
        """TLS's client may be TCP's server, as in FTP's active mode."""
        servers = await self.serving(Lines, policy=as_client())
        client = await self.calling(Lines, servers.port, policy=as_server())
        # TLS's client may say hello right behind its go-ahead.
        client.may_pipeline_hello = True
        client.upgrade = lambda reply: self.reversed_upgrade(client, False)
        client.say(b"before")
        await client.hears(b"heard before")
        (server,) = servers.all
        server.upgrade = lambda reply: self.reversed_upgrade(server, True, reply)
        client.say(b"STARTTLS")
        self.assertTrue((await server.secured).verified)
        await client.secured

    def reversed_upgrade(self, speaker: Any, client: bool, reply: bytes = b"") -> None:
        """Switch, in the other role than TCP's."""
        started = speaker.startTLS(speaker.policy, reply=reply, client=client)
        started.addCallbacks(speaker.secured.callback, speaker.secured.errback)

    async def test_a_reconnecting_client_resumes(self) -> None:
        """The second upgrade with a peer takes up the session of the first."""
        servers = await self.serving(Lines)
        resumed = []
        for _ in range(2):
            client = await self.calling(Lines, servers.port)
            client.say(b"STARTTLS")
            resumed.append((await client.secured).resumed)
            client.say(b"after")
            await client.hears(b"heard after")
            client.transport.loseConnection()
            await client.lost
        self.assertEqual(resumed, [False, True])
        self.assertEqual([(await s.secured).resumed for s in servers.all], [False, True])


class RefusalTests(MixinTestCase):
    """What cannot be done is said at once, and the conversation goes on."""

    async def test_s21_a_bad_policy_leaves_the_conversation_as_it_was(self) -> None:
        """Files, options and names are looked at before the go-ahead is written."""
        servers = await self.serving(Lines)
        client = await self.calling(Lines, servers.port)
        client.say(b"before")
        await client.hears(b"heard before")
        (server,) = servers.all
        cases: list[tuple[Any, type[Exception]]] = [
            ({"local_cert": "/nowhere/site.pem"}, BadCertificateFile),
            ({"local_cert": certificates.cafile()}, BadCertificateFile),
            ({"local_certt": "x"}, InvalidOption),
            ({"timeout": 3}, InvalidOption),
            ({}, InvalidOption),
            (TLSPolicy(), InvalidOption),
            (TLSPolicy(local_cert=certificates.site(), verify_depth=cast(int, "x")), InvalidOption),
            ("localhost", InvalidOption),
            (None, TypeError),
            (b"localhost", TypeError),
        ]
        for policy, wrong in cases:
            self.assertRaises(wrong, server.startTLS, policy, reply=b"220 go\r\n")
        for keywords in ({"timeout": 0}, {"timeout": "soon"}):
            self.assertRaises(InvalidOption, server.startTLS, as_server(), **keywords)
        self.assertRaises(TypeError, server.startTLS, as_server(), reply="220 go\r\n")
        self.assertRaises(InvalidOption, client.startTLS, {"cafile": certificates.cafile()})
        self.assertIs(server.tls_state, TLSState.PLAINTEXT)
        client.say(b"still here")
        await client.hears(b"heard still here")
        client.say(b"STARTTLS")
        await client.secured

    async def test_s18_twice(self) -> None:
        """A second upgrade, during the first or after it, is refused and harms nothing."""
        servers = await self.serving(Lines)
        client = await self.calling(Lines, servers.port)
        client.say(b"STARTTLS")
        await client.hears(b"GO")
        self.assertIs(client.tls_state, TLSState.HANDSHAKING)
        self.assertFalse(client.is_secure)
        self.assertRaises(AlreadySecure, client.startTLS, as_client())
        await client.secured
        self.assertRaises(AlreadySecure, client.startTLS, as_client())
        client.say(b"after")
        await client.hears(b"heard after")

    async def test_someone_else_s_tls(self) -> None:
        """TLS that was started behind the mixin's back is seen."""
        servers = await self.serving(Lines)
        client = await self.calling(Lines, servers.port)
        client.transport.TLS = True
        self.assertRaises(AlreadySecure, client.startTLS, as_client())
        del client.transport.TLS

    async def test_c29_when_there_is_no_conversation(self) -> None:
        """Before the connection, while it closes and after it, an upgrade is refused."""
        self.assertRaises(ConversationOver, Lines().startTLS, as_client())
        self.assertIs(Lines().tls_state, TLSState.CLOSED)
        servers = await self.serving(Lines)
        client = await self.calling(Lines, servers.port)
        client.transport.loseConnection()
        self.assertRaises(ConversationOver, client.startTLS, as_client())
        await client.lost
        self.assertRaises(ConversationOver, client.startTLS, as_client())
        self.assertIs(client.tls_state, TLSState.CLOSED)

    async def test_a_transport_that_cannot(self) -> None:
        """Not every transport can start TLS, and the error says which can."""
        client = Lines()
        client.makeConnection(cast(Any, StringTransport()))
        self.assertIn(
            "TCP and local sockets",
            str(self.assertRaises(UpgradeError, client.startTLS, as_client())),
        )

    async def test_the_mixin_stands_first(self) -> None:
        """In the wrong order a parser may bypass the mixin; that is said and not risked."""

        class Wrong(NetstringReceiver, txtransport.StartTLSMixin):
            pass

        wrong = Wrong()
        wrong.makeConnection(cast(Any, StringTransport()))
        self.assertIn(
            "must stand first", str(self.assertRaises(UpgradeError, wrong.startTLS, as_client()))
        )

    async def test_s27_a_pull_producer(self) -> None:
        """A producer that Twisted would have write at once, in the clear, is refused."""

        @implementer(IPushProducer)
        class Producing:
            def resumeProducing(self) -> None:
                pass

            def pauseProducing(self) -> None:
                pass

            def stopProducing(self) -> None:
                pass

        servers = await self.serving(Lines)
        client = await self.calling(Lines, servers.port)
        client.transport.registerProducer(Producing(), False)
        self.assertRaises(ProducerInTheWay, client.startTLS, as_client())
        client.transport.unregisterProducer()
        # A streaming one waits until the handshake is over.
        client.transport.registerProducer(Producing(), True)
        client.say(b"STARTTLS")
        await client.secured
        client.say(b"after")
        await client.hears(b"heard after")
        client.transport.unregisterProducer()


class ParserTests(MixinTestCase):
    """The parser's own ways do not open a gap."""

    async def test_s15_a_paused_parser(self) -> None:
        """Words that came while the parser was paused are not in its hands at the switch."""

        class Pausing(Lines):
            def said(self, word: bytes) -> None:
                if word == b"wait":
                    self.pauseProducing()
                super().said(word)

        servers = await self.serving(Pausing)
        client = await self.raw(servers.port)
        client.say(b"wait\r\nSTARTTLS\r\nevil\r\n")
        await client.heard(b"heard wait")
        (server,) = servers.all
        self.assertEqual(self.words(server), [b"wait"])
        server.resumeProducing()
        self.assertIsInstance(await self.failure(server), PlaintextInjected)
        self.assertEqual(self.words(server), [b"wait", b"STARTTLS"])
        await client.gone()

    async def test_s14_a_decision_that_takes_time(self) -> None:
        """Held input is neither executed nor forgotten, and ends the upgrade."""

        class Deciding(Lines):
            def upgrade(self, reply: bytes) -> None:
                self.hold_input()
                self.decided = lambda: Lines.upgrade(self, reply)

        servers = await self.serving(Deciding)
        client = await self.raw(servers.port)
        client.say(b"before\r\nSTARTTLS\r\nevil\r\n")
        await client.heard(b"heard before")
        (server,) = servers.all
        self.assertEqual(self.words(server), [b"before", b"STARTTLS"])
        server.decided()
        self.assertIsInstance(await self.failure(server), PlaintextInjected)
        await client.gone()

    async def test_a_decision_for_tls_after_a_while(self) -> None:
        """Holding the input does not keep the handshake from coming in."""

        class Deciding(Lines):
            def upgrade(self, reply: bytes) -> None:
                self.hold_input()
                self.hold_input()
                assert self.transport is not None
                reactor: Any = cast(Any, self.transport).reactor
                reactor.callLater(0, Lines.upgrade, self, reply)

        servers = await self.serving(Deciding)
        client = await self.calling(Lines, servers.port)
        client.say(b"STARTTLS")
        await client.secured

    async def test_a_decision_against_tls(self) -> None:
        """Released input is read as what it is."""
        servers = await self.serving(Lines)
        client = await self.raw(servers.port)
        client.say(b"before\r\n")
        await client.heard(b"heard before")
        (server,) = servers.all
        server.hold_input()
        server.dataReceived(b"one\r\ntwo\r\n")
        self.assertEqual(self.words(server), [b"before"])
        server.release_input()
        server.release_input()
        self.assertEqual(server.heard[1:], [(b"one", False), (b"two", False)])

    async def test_s16_raw_data_is_data(self) -> None:
        """A request within raw data is none, and what follows the data is read as words."""
        told: list[bytes] = []

        class Mail(Lines):
            left = 0

            def said(self, word: bytes) -> None:
                if word.startswith(b"data "):
                    self.left = int(word[5:])
                    self.setRawMode()
                else:
                    super().said(word)

            def rawDataReceived(self, data: bytes) -> None:
                told.append(data[: self.left])
                rest, self.left = data[self.left :], self.left - len(data[: self.left])
                if not self.left:
                    self.setLineMode(rest)

        servers = await self.serving(Mail)
        client = await self.raw(servers.port)
        client.say(b"data 10\r\nSTARTTLS\r\nSTARTTLS\r\nevil\r\n")
        await client.gone()
        (server,) = servers.all
        self.assertEqual(b"".join(told), b"STARTTLS\r\n")
        self.assertIsInstance(await self.failure(server), PlaintextInjected)
        self.assertEqual(self.words(server), [b"STARTTLS"])

    async def test_what_a_parser_gives_back_is_older(self) -> None:
        """Bytes that a raw parser gives back come before those that wait."""

        class Bulk(Lines):
            def said(self, word: bytes) -> None:
                if word == b"raw":
                    self.setRawMode()
                super().said(word)

            def plaintext_unit(self, data: bytes | bytearray) -> int:
                return super().plaintext_unit(data) if self.line_mode else min(8, len(data))

            def rawDataReceived(self, data: bytes) -> None:
                # It needed two bytes, and got eight.
                self.setLineMode(data[2:])

        servers = await self.serving(Bulk)
        client = await self.raw(servers.port)
        client.say(b"raw\r\nxxone\r\ntwo\r\nthree\r\n")
        await client.heard(b"heard three")
        self.assertEqual(self.words(servers.all[0]), [b"raw", b"one", b"two", b"three"])

    async def test_a_parser_that_keeps_bytes_for_itself(self) -> None:
        """Clear bytes that a protocol gives back after the switch end it."""

        class Keeping(Lines):
            def plaintext_unit(self, data: bytes | bytearray) -> int:
                return len(data)

            def dataReceived(self, data: bytes) -> None:
                self.said(b"STARTTLS")
                self.dataReceived(b"evil\r\n")

        servers = await self.serving(Keeping)
        client = await self.raw(servers.port)
        client.say(b"x")
        await client.gone()
        self.assertIsInstance(await self.failure(servers.all[0]), PlaintextInjected)

    async def test_lines_that_a_parser_kept(self) -> None:
        """What a line parser holds in its own buffer counts as sent ahead."""

        class Whole(Lines):
            def plaintext_unit(self, data: bytes | bytearray) -> int:
                return len(data)

        servers = await self.serving(Whole)
        client = await self.raw(servers.port)
        client.say(b"STARTTLS\r\nevil\r\n")
        await client.gone()
        self.assertIsInstance(await self.failure(servers.all[0]), PlaintextInjected)
        self.assertEqual(self.words(servers.all[0]), [b"STARTTLS"])

    async def test_nothing_is_heard_after_a_close(self) -> None:
        """Words behind the one that closed, or aborted, are not acted upon."""
        for end in ("loseConnection", "abort"):

            class Ending(Lines):
                way = end

                def said(self, word: bytes) -> None:
                    super().said(word)
                    getattr(self if self.way == "abort" else self.transport, self.way)()

            servers = await self.serving(Ending)
            client = await self.raw(servers.port)
            client.say(b"quit\r\nSTARTTLS\r\nevil\r\n")
            await client.gone()
            (server,) = servers.all
            await server.lost
            self.assertEqual(self.words(server), [b"quit"], end)
            self.assertIs(server.tls_state, TLSState.CLOSED)

    async def test_s25_a_word_without_an_end(self) -> None:
        """Neither a parser's limits nor ours let a peer fill the memory."""

        class Never(Plain):
            def plaintext_unit(self, data: bytes | bytearray) -> int:
                return 0

        servers = await self.serving(Never)
        client = await self.raw(servers.port)
        client.say(b"x" * (MAX_HELD + 1))
        await client.gone()
        self.assertIsInstance(await self.reason(servers.all[0]), PeerMisbehaved)
        servers = await self.serving(Lines)
        client = await self.raw(servers.port)
        client.say(b"x" * 100_000)
        await client.gone()
        self.assertEqual(self.words(servers.all[0]), [])

    async def test_a_protocol_s_own_error(self) -> None:
        """An exception of the parser is the application's, and ends the connection."""

        class Broken(Lines):
            def said(self, word: bytes) -> None:
                raise ZeroDivisionError(word)

        servers = await self.serving(Broken)
        client = await self.raw(servers.port)
        client.say(b"one\r\ntwo\r\n")
        await client.gone()
        self.assertIsInstance(await self.reason(servers.all[0]), ZeroDivisionError)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class XMLTests(MixinTestCase):
    """A parser that nobody can ask for what it has."""

    async def told(self, *said: bytes) -> tuple[Any, Recorder]:
        """A server of XMPP's parser, and a client that said that to it."""
        server: Any = None

        class Stream(txtransport.StartTLSMixin, xmlstream.XmlStream):
            def __init__(self) -> None:
                nonlocal server
                super().__init__()
                server = self
                self.stanzas: list[str] = []
                self.ended: Deferred[list[Failure]] = Deferred()
                self.addObserver("/*", self.stanza)

            def stanza(self, element: Any) -> None:
                self.stanzas.append(element.name)
                if element.name == "starttls":
                    self.startTLS(as_server(), reply=b"<proceed/>").addErrback(lambda reason: None)

            def connectionLost(self, reason: Failure = connectionDone) -> None:
                self.ended.callback([reason])

        port = await self.listening("tcp://127.0.0.1:0", Factory.forProtocol(Stream))
        client = await self.raw(port)
        for each in said:
            client.say(each)
        await client.gone()
        return server, client

    async def test_c7_s8_stanzas_behind_the_request(self) -> None:
        """Whatever follows the tag, be it white space, ends it; a > within quotes is no end."""
        for evil in (b"<message/>", b" ", b"<message"):
            server, client = await self.told(b"<stream><starttls a='>'/>" + evil)
            (reason,) = await server.ended
            self.assertIsInstance(reason.value, PlaintextInjected)
            self.assertEqual(server.stanzas, ["starttls"])
            self.assertEqual(client.received, b"")

    async def test_texts_that_hold_tags(self) -> None:
        """An entity that stands for several stanzas at once is refused with its document type."""
        entity = b"<!DOCTYPE s [<!ENTITY e \"<starttls/><message to='evil'/>\">]>"
        server, _ = await self.told(entity + b"<stream>&e;</stream>")
        (reason,) = await server.ended
        self.assertIsInstance(reason.value, PeerMisbehaved)
        self.assertIn("STARTTLS with 127.0.0.1", str(reason.value))
        self.assertEqual(server.stanzas, [])


class PipelinedHelloTests(MixinTestCase):
    """A ClientHello in the same segment as the request."""

    def hello(self) -> tuple[SSL.Connection, bytes]:
        """A TLS client in memory, and its first bytes."""
        client = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None)
        client.set_connect_state()
        with self.assertRaises(SSL.WantReadError):
            client.do_handshake()
        return client, client.bio_read(65536)

    async def test_s12_is_refused_where_the_protocol_does_not_allow_it(self) -> None:
        """It never hangs: it counts as clear text, and the error shows it."""
        servers = await self.serving(Lines)
        client = await self.raw(servers.port)
        client.say(b"STARTTLS\r\n" + self.hello()[1])
        await client.gone()
        self.assertEqual((await self.failure(servers.all[0])).received[:2], HELLO[:2])

    async def test_s10_goes_to_tls_where_it_does(self) -> None:
        """PostgreSQL and MySQL allow it: the handshake goes on from there."""
        servers = await self.serving(Lines, may_pipeline_hello=True)
        client = await self.raw(servers.port)
        tls, hello = self.hello()
        client.say(b"STARTTLS\r\n" + hello)
        answer = (await client.heard(b"\x16\x03"))[len(b"GO\r\n") :]
        tls.bio_write(answer)
        tls.do_handshake()
        client.say(tls.bio_read(65536))
        self.assertEqual((await servers.all[0].secured).version, "TLSv1.3")

    async def test_s11_other_bytes_do_not(self) -> None:
        """Only a ClientHello may come ahead, and only to a server."""
        for left in (b"evil", b"\x15\x03\x01", b"\x17"):
            servers = await self.serving(Lines, may_pipeline_hello=True)
            client = await self.raw(servers.port)
            client.say(b"STARTTLS\r\n" + left)
            await client.gone()
            self.assertIsInstance(await self.failure(servers.all[0]), PlaintextInjected)

    async def test_the_first_byte_of_a_hello_may_come_alone(self) -> None:
        """The hello may be cut anywhere."""
        servers = await self.serving(Lines, may_pipeline_hello=True)
        client = await self.raw(servers.port)
        _, hello = self.hello()
        client.say(b"STARTTLS\r\n" + hello[:1])
        await client.heard(b"GO")
        client.say(hello[1:])
        await client.heard(b"\x16\x03")
        await self.end(client)
        self.assertEqual((await self.failure(servers.all[0])).cause, "closed")


class LogTests(MixinTestCase):
    """A server's log says once why TLS did not come about."""

    async def upgrading(self, after: bytes = b"", **attributes: Any) -> tuple[Any, Recorder]:
        """A server that was asked for TLS, and who asked."""
        servers = await self.serving(Lines, **attributes)
        client = await self.raw(servers.port)
        client.say(b"STARTTLS\r\n" + after)
        (server,) = await self.first(servers)
        await server.hears(b"STARTTLS")
        return server, client

    async def ended(self, server: Any, client: Recorder) -> Any:
        """What ended the server's conversation."""
        await client.gone()
        return await self.reason(server)

    async def test_each_failure_is_one_event(self) -> None:
        """The event has the peer, the error, its cause and its diagnosis, and reads as a line."""
        refused = bytes((0x15, 3, 3, 0, 2, 2, 48))
        for after, said, cause in (
            (b"", b"GET / HTTP/1.1\r\n\r\n", "plaintext-peer"),
            (b"", b"\x1b[2J{peer}\r\n" * 9, "plaintext-peer"),
            (b"", refused, "peer-alert"),
            (EVIL, b"", "plaintext-injected"),
        ):
            overheard = self.overheard()
            server, client = await self.upgrading(after)
            if said:
                await client.heard(b"GO\r\n")
                client.say(said)
            error = await self.ended(server, client)
            (event,) = overheard.events
            self.assertEqual(event["cause"], cause)
            self.assertEqual((event["error"], event["diagnosis"]), (error, error.diagnosis))
            self.assertEqual(event["peer"], server.transport.getPeer())
            self.assertEqual(event["where"], f"STARTTLS with 127.0.0.1:{event['peer'].port}")
            self.assertEqual(event["log_level"], LogLevel.info)
            self.assertTrue(formatEvent(event).isprintable())

    async def test_silence_is_one_event(self) -> None:
        """So is a client that lets the deadline pass."""
        clock, overheard = Clock(), self.overheard()
        server, client = await self.upgrading(tls_clock=clock)
        clock.advance(11)
        error = await self.ended(server, client)
        (event,) = overheard.events
        self.assertEqual((event["error"], event["cause"]), (error, "timeout"))

    async def test_who_leaves_without_a_word_is_no_news(self) -> None:
        """A client that hangs up in place of a hello is told to those who look for it only."""
        overheard = self.overheard()
        server, client = await self.upgrading()
        await client.heard(b"GO\r\n")
        cast(Any, client.transport).loseConnection()
        await self.ended(server, client)
        (event,) = overheard.events
        self.assertEqual((event["log_level"], event["cause"]), (LogLevel.debug, "closed"))

    async def test_a_local_socket(self) -> None:
        """Over a local socket it is the same, though its peers have no addresses."""
        path, overheard = self.socket_path(), self.overheard()
        servers = await self.serving(Lines, f"unix://{path}")
        client = await self.connected(f"unix://{path}")
        client.say(b"STARTTLS\r\n" + EVIL)
        await self.ended((await self.first(servers))[0], client)
        (event,) = overheard.events
        self.assertEqual(event["where"], "STARTTLS with a local socket")

    async def test_ordinary_ends_are_not_logged(self) -> None:
        """Neither a good conversation nor one that never asked for TLS leaves a line."""
        overheard = self.overheard()
        for words in ((), (b"hello",), (b"STARTTLS",)):
            servers = await self.serving(Lines)
            client = await self.calling(Lines, servers.port)
            (server,) = await self.first(servers)
            for word in words:
                client.say(word)
                await server.hears(word)
            if b"STARTTLS" in words:
                await client.secured
                await server.secured
            client.transport.loseConnection()
            await self.reason(server)
        self.assertEqual(overheard.events, [])

    async def test_a_client_has_its_deferred(self) -> None:
        """What a client's startTLS fails with is the program's to tell: only the server logs."""
        overheard = self.overheard()
        servers = await self.serving(Lines)
        client = await self.calling(Lines, servers.port, policy={"peer_name": "localhost"})
        client.say(b"STARTTLS")
        self.assertEqual((await self.failure(client)).cause, "unknown-issuer")
        await self.reason(client)
        (server,) = await self.first(servers)
        error = await self.reason(server)
        (event,) = overheard.events
        self.assertIs(event["error"], error)


class EndTests(MixinTestCase):
    """Every upgrade that fails ends, once, with its reason."""

    async def upgrading(self, **attributes: Any) -> tuple[Any, Recorder]:
        """A server that waits for a ClientHello, and whom it waits for."""
        servers = await self.serving(Lines, **attributes)
        client = await self.raw(servers.port)
        client.say(b"STARTTLS\r\n")
        await client.heard(b"GO\r\n")
        return servers.all[0], client

    async def test_s22_a_handshake_that_never_comes(self) -> None:
        """At the deadline a silent peer is dropped, on both sides."""
        for timeout, expected in ((None, 10.0), (3, 3.0)):
            clock = Clock()
            server, client = await self.upgrading(tls_clock=clock, timeout=timeout)
            clock.advance(expected - 0.01)
            self.assertIs(server.tls_state, TLSState.HANDSHAKING)
            clock.advance(0.02)
            late = await self.failure(server)
            self.assertIsInstance(late, TransportTimeout)
            self.assertEqual((late.stage, late.seconds), ("handshake", expected))
            self.assertIs(await self.reason(server), late)
            self.assertIs(server.tls_state, TLSState.FAILED)
            self.assertEqual(clock.getDelayedCalls(), [])
            await client.gone()

    async def test_c27_a_server_that_falls_silent(self) -> None:
        """A client waits for 30 seconds, and not for ever."""
        clock = Clock()
        port = await self.listening("tcp://127.0.0.1:0", Factory.forProtocol(Recorder))
        client = await self.calling(Lines, port, tls_clock=clock)
        client.upgrade(b"")
        clock.advance(30.01)
        self.assertIsInstance(await self.failure(client), TransportTimeout)

    async def test_s22_drip(self) -> None:
        """The deadline is for the whole, so that a byte a second does not help."""
        clock = Clock()
        server, client = await self.upgrading(tls_clock=clock)
        for byte in HELLO + b"\x00\xff":
            server.transport.protocol.dataReceived(bytes([byte]))
            clock.advance(1.9)
        clock.advance(0.6)
        self.assertEqual((await self.failure(server)).received, HELLO + b"\x00\xff")
        await client.gone()

    async def test_s23_what_is_not_tls(self) -> None:
        """Whatever a client sends in place of TLS is named, and not executed."""
        rows = {
            b"EHLO evil.example\r\n": ("plaintext-peer", "EHLO evil"),
            b"GET / HTTP/1.1\r\n\r\n": ("plaintext-peer", "GET /"),
            bytes(64): ("plaintext-peer", r"\x00"),
            b"\x80\x2e\x01\x03\x01" + bytes(60): ("plaintext-peer", r"\x80."),
            b"\x1b[2J\x07" * 20: ("plaintext-peer", r"\x1b[2J\x07"),
            b"\x16\x03\x00\x00\x2d\x01\x00\x00\x29\x03\x00"
            + bytes(33)
            + b"\x00\x02\x00\x2f\x01\x00": ("no-common-version", ""),
        }
        for sent, (cause, shown) in rows.items():
            server, client = await self.upgrading()
            client.say(sent)
            await client.gone()
            failed = await self.failure(server)
            self.assertEqual(failed.cause, cause, sent)
            self.assertIn(shown, str(failed))
            self.assertTrue(str(failed).isprintable())
            self.assertEqual(self.words(server), [b"STARTTLS"])

    async def test_c26_s26_ends_in_the_handshake(self) -> None:
        """A close, a reset and a goodbye in place of a handshake are each told, once."""
        for say in (b"", HELLO, b"\x15\x03\x03\x00\x02\x01\x00"):
            for is_abrupt in (False, True):
                server, client = await self.upgrading()
                client.say(say)
                transport = cast(Any, client.transport)
                if is_abrupt and not say:
                    transport.abortConnection()
                else:
                    transport.loseConnection()
                failed = await self.failure(server)
                self.assertEqual(failed.cause, "closed", say)
                self.assertIs(await self.reason(server), failed)
        self.assertEqual(self.flushLoggedErrors(), [])

    async def test_s24_a_client_that_refuses_the_certificate(self) -> None:
        """The server hears that it was its certificate, and both conversations end."""
        servers = await self.serving(Lines)
        client = await self.calling(Lines, servers.port, policy={"peer_name": "localhost"})
        client.say(b"STARTTLS")
        self.assertEqual((await self.failure(client)).cause, "unknown-issuer")
        refused = await self.failure(servers.all[0])
        self.assertEqual(refused.cause, "peer-alert")
        self.assertIn("refused our certificate", str(refused))

    async def test_c23_certificates(self) -> None:
        """A certificate that is not right is refused with its own cause, and nothing is said."""
        rows = {
            "wrong-name": certificates.issued("elsewhere.pem", "elsewhere.example"),
            "expired": certificates.issued(
                "old.pem",
                "localhost",
                not_before=datetime(2020, 1, 1, tzinfo=timezone.utc),
                not_after=datetime(2020, 2, 1, tzinfo=timezone.utc),
            ),
            "wrong-purpose": certificates.issued("purpose.pem", "localhost", purpose="client"),
        }
        for cause, file in rows.items():
            servers = await self.serving(Lines, policy={"local_cert": file})
            client = await self.calling(Lines, servers.port)
            client.say(b"STARTTLS")
            await client.hears(b"GO")
            client.say(b"secret")
            self.assertEqual((await self.failure(client)).cause, cause)
            self.assertIs(client.tls_state, TLSState.FAILED)
            await servers.all[0].lost
            self.assertEqual(self.words(servers.all[0]), [b"STARTTLS"])
            servers.all[0].secured.addErrback(lambda reason: None)

    async def test_c25_no_common_version(self) -> None:
        """Two sides without a version in common say so."""
        servers = await self.serving(Lines, policy={**as_server(), "min_version": "1.3"})
        client = await self.calling(
            Lines, servers.port, policy={**as_client(), "max_version": "1.2"}
        )
        client.say(b"STARTTLS")
        self.assertEqual((await self.failure(client)).cause, "no-common-version")
        self.assertEqual((await self.failure(servers.all[0])).cause, "no-common-version")

    async def test_c34_a_client_certificate_that_is_missing(self) -> None:
        """In TLS 1.3 the verdict comes late, and is explained all the same."""
        demanding = {**as_server(), "verify_peer": "yes", "cafile": certificates.cafile()}
        servers = await self.serving(Lines, policy=demanding)
        client = await self.calling(Lines, servers.port)
        client.say(b"STARTTLS")
        await client.secured
        self.assertEqual((await self.reason(client)).cause, "client-certificate-required")
        self.assertEqual((await self.failure(servers.all[0])).cause, "client-certificate-required")

    async def test_client_certificates(self) -> None:
        """A server that wants to know its client does."""
        demanding = {**as_server(), "verify_peer": "yes", "cafile": certificates.cafile()}
        servers = await self.serving(Lines, policy=demanding)
        knowing = {**as_client(), "local_cert": certificates.client()}
        client = await self.calling(Lines, servers.port, policy=knowing)
        client.say(b"STARTTLS")
        await client.secured
        leaf = (await servers.all[0].secured).peer_certificate
        self.assertEqual(leaf.subject.rfc4514_string(), "CN=visitor.example")

    async def test_c30_cancelling(self) -> None:
        """Giving up ends the connection, and leaves no timer behind."""
        clock = Clock()
        servers = await self.serving(Lines, tls_clock=clock)
        client = await self.raw(servers.port)
        client.say(b"before\r\n")
        await client.heard(b"heard before")
        (server,) = servers.all
        upgrading = server.startTLS(as_server())
        upgrading.cancel()
        await self.assertFailure(upgrading, CancelledError)
        await client.gone()
        await server.lost
        self.assertEqual(clock.getDelayedCalls(), [])

    async def test_c31_what_is_written_meanwhile(self) -> None:
        """Words written during the handshake are not sent in the clear, nor when it fails."""
        server, client = await self.upgrading()
        server.say(b"secret")
        client.say(b"this is not a handshake\r\n")
        await client.gone()
        self.assertNotIn(b"secret", client.received)
        self.assertIsInstance(await self.failure(server), HandshakeFailed)

    async def test_closing_in_the_handshake(self) -> None:
        """Our own close in mid-handshake is an end like any, and no one else's fault."""
        ends: tuple[Callable[[Any], object], ...] = (
            lambda server: server.abort(),
            lambda server: server.transport.loseConnection(),
            lambda server: server.transport.abortConnection(),
        )
        for end in ends:
            server, client = await self.upgrading()
            end(server)
            self.assertIsInstance(await self.failure(server), error.ConnectionAborted)
            await client.gone()

    async def test_a_close_ends(self) -> None:
        """A peer that never says goodbye is not waited for for ever."""
        clock = Clock()
        servers = await self.serving(Lines, tls_clock=clock)
        client = await self.calling(Lines, servers.port)
        client.say(b"STARTTLS")
        await client.secured
        (server,) = servers.all
        client.say(b"after")
        await client.hears(b"heard after")
        client.transport.pauseProducing()
        server.transport.loseConnection()
        clock.advance(4.99)
        self.assertFalse(server.lost.called)
        clock.advance(0.02)
        await server.lost
        self.assertEqual(clock.getDelayedCalls(), [])

    async def test_c33_an_end_after_success(self) -> None:
        """A conversation that was secure ends like any other."""
        servers = await self.serving(Lines)
        client = await self.calling(Lines, servers.port)
        client.say(b"STARTTLS")
        await client.secured
        client.say(b"after")
        await client.hears(b"heard after")
        (server,) = servers.all
        client.transport.loseConnection()
        self.assertIsInstance(await self.reason(server), error.ConnectionDone)
        self.assertIsInstance(await self.reason(client), error.ConnectionDone)
        self.assertIs(server.tls_state, TLSState.CLOSED)
        client = await self.calling(Lines, servers.port)
        client.say(b"STARTTLS")
        await client.secured
        client.say(b"after")
        await client.hears(b"heard after")
        client.transport.abortConnection()
        self.assertIsInstance(await self.reason(client), error.ConnectionAborted)
        self.assertIsInstance(await self.reason(servers.all[1]), error.ConnectionLost)

    async def test_forgetting_that_fails(self) -> None:
        """A protocol that cannot forget what it learnt in the clear does not go on."""

        class Stubborn(Lines):
            def forget_plaintext_state(self) -> None:
                raise ZeroDivisionError("never")

        servers = await self.serving(Stubborn)
        client = await self.calling(Lines, servers.port)
        client.say(b"STARTTLS")
        self.assertIsInstance(await self.failure(servers.all[0]), ZeroDivisionError)
        self.assertIsInstance(await self.reason(servers.all[0]), ZeroDivisionError)
        client.secured.addErrback(lambda reason: None)
        await client.lost

    async def test_a_protocol_may_connect_again(self) -> None:
        """An instance that is used for a second connection begins in the clear."""
        protocol = Lines()
        protocol.policy = as_client()
        for _ in range(2):
            protocol.lost = Deferred()
            protocol.secured = Deferred()
            servers = await self.serving(Lines)
            factory = Factory.forProtocol(lambda: protocol)
            factory.noisy = False
            await txtransport.client(self.reactor, f"tcp://127.0.0.1:{servers.port}").connect(
                factory
            )
            self.assertIs(protocol.tls_state, TLSState.PLAINTEXT)
            protocol.say(b"STARTTLS")
            await protocol.secured
            cast(Any, protocol.transport).loseConnection()
            await protocol.lost

    async def test_s29_application_protocols(self) -> None:
        """An offer that the server does not know ends no handshake."""
        servers = await self.serving(Lines)
        client = await self.calling(
            Lines, servers.port, policy={**as_client(), "alpn_protocols": "smtp"}
        )
        client.say(b"STARTTLS")
        self.assertIsNone((await client.secured).alpn_protocol)


class PolicyTests(MixinTestCase):
    """The ways to say what TLS is to be like."""

    async def test_a_policy_a_mapping_or_a_name(self) -> None:
        """All three come to the same rules."""
        rows: tuple[Any, ...] = (
            TLSPolicy(peer_name="localhost", cafile=certificates.cafile()),
            {"peer_name": "localhost", "cafile": certificates.cafile()},
        )
        for policy in rows:
            servers = await self.serving(
                Lines, policy=TLSPolicy(SNI_server_certs={"localhost": certificates.site()})
            )
            client = await self.calling(Lines, servers.port, policy=policy)
            client.say(b"STARTTLS")
            self.assertEqual((await client.secured).server_name, "localhost")
        servers = await self.serving(Lines)
        client = await self.calling(Lines, servers.port, policy="localhost")
        client.say(b"STARTTLS")
        # The name alone means the platform's trust, which does not know our root.
        self.assertEqual((await self.failure(client)).cause, "unknown-issuer")
        servers.all[0].secured.addErrback(lambda reason: None)
        await servers.all[0].lost
