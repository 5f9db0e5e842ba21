"""Back to the clear: `StartTLSMixin.stopTLS` (RFC 4217, section 6)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, cast
from urllib.parse import quote

from OpenSSL import SSL
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.protocol import Factory
from twisted.internet.ssl import CertificateOptions
from twisted.internet.task import Clock
from twisted.protocols.basic import LineReceiver
from twisted.protocols.policies import WrappingFactory
from twisted.python.failure import Failure

import txtransport
from tests import certificates
from tests.loopback import LoopbackTestCase, Recorder
from tests.speakers import client_policy, server_policy
from txtransport.errors import (
    ConversationOver,
    InvalidOption,
    ProducerInTheWay,
    TransportTimeout,
    UpgradeError,
)
from txtransport.testing.proxy import TestProxy
from txtransport.upgrade.switch import TLSState

CLEAR: Final = TLSState.PLAINTEXT
SECURE: Final = TLSState.SECURE
STOPPING: Final = TLSState.STOPPING


class Talker(txtransport.StartTLSMixin, LineReceiver):
    """Either side of a conversation like FTP's: AUTH and 234, CCC and 200.

    Args:
        case: Is told of the connection.

    Attributes:
        heard: Each line, and whether it came in the clear.
        forgotten: How often it was to forget what it knew.
        secured: The Deferred of the latest startTLS.
        stopped: The Deferred of the latest stopTLS.
        lost: Fires when the connection is over, with the reason in a list.
    """

    transport: Any
    say_at_stop: bytes = b""
    waits: bool = False

    def __init__(self) -> None:
        self.heard: list[tuple[bytes, TLSState]] = []
        self.forgotten = 0
        self.secured: Deferred[Any] = Deferred()
        self.stopped: Deferred[Any] = Deferred()
        self.lost: Deferred[list[Failure]] = Deferred()
        self._waiting: list[tuple[bytes, Deferred[None]]] = []

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self.lost.callback([reason])
        for _, waiting in self._waiting:
            waiting.errback(reason)

    def forget_plaintext_state(self) -> None:
        self.forgotten += 1

    def lineReceived(self, line: bytes) -> None:
        self.heard.append((line, self.tls_state))
        if line == b"AUTH":
            self.secured = self.startTLS(server_policy(), reply=b"234\r\n")
        elif line == b"234":
            self.secured = self.startTLS(client_policy())
        elif line == b"CCC":
            self.sendLine(b"200")
            self.stop()
        elif line == b"200":
            self.stop()
        elif line.startswith(b"say "):
            self.sendLine(b"said " + line[4:])
        for waiting in [waiting for waiting in self._waiting if waiting[0] == line]:
            self._waiting.remove(waiting)
            waiting[1].callback(None)

    def stop(self) -> None:
        """Call stopTLS, and write at once what is to be sent in the clear."""
        self.stopped = self.stopTLS(wait_for_peer=self.waits)
        if self.say_at_stop:
            self.sendLine(self.say_at_stop)

    def hears(self, line: bytes) -> Deferred[None]:
        """Fires when the line is heard."""
        heard: Deferred[None] = Deferred()
        self._waiting.append((line, heard))
        return heard

    async def ask(self, line: bytes, answer: bytes) -> None:
        """Say a line, and wait for its answer."""
        heard = self.hears(answer)
        self.sendLine(line)
        await heard


class Foreign:
    """A peer whose TLS is OpenSSL's in memory, and which sends what the test says.

    Args:
        recorder: Has the connection.
        side: ``set_connect_state`` or ``set_accept_state``.
    """

    def __init__(self, recorder: Recorder, *, is_client: bool) -> None:
        self.recorder = recorder
        self._read = 0
        method = SSL.TLS_CLIENT_METHOD if is_client else SSL.TLS_SERVER_METHOD
        context = SSL.Context(method)
        if not is_client:
            context.use_certificate_chain_file(certificates.site())
            context.use_privatekey_file(certificates.site())
        self.tls = SSL.Connection(context, None)
        (self.tls.set_connect_state if is_client else self.tls.set_accept_state)()

    def taken(self) -> bytes:
        """The encrypted bytes that OpenSSL has for the peer."""
        try:
            return self.tls.bio_read(2**20)
        except SSL.WantReadError:
            return b""

    def encrypted(self, *lines: bytes, close: bool = False) -> bytes:
        """Lines as records, and a close_notify behind them."""
        for line in lines:
            self.tls.send(line + b"\r\n")
        if close:
            self.tls.shutdown()
        return self.taken()

    def feed(self) -> None:
        """Give OpenSSL what has arrived."""
        data = self.recorder.received[self._read :]
        self._read += len(data)
        if data:
            self.tls.bio_write(data)

    async def more(self) -> None:
        """Wait for bytes, and give them to OpenSSL."""
        if len(self.recorder.received) == self._read:
            await self.recorder.grown(self._read + 1)
        self.feed()

    async def handshake(self) -> None:
        """Go through the handshake."""
        while True:
            try:
                self.tls.do_handshake()
                self.recorder.say(self.taken())
                return
            except SSL.WantReadError:
                if data := self.taken():
                    self.recorder.say(data)
                await self.more()

    async def line(self) -> bytes:
        """One line that comes under TLS."""
        line = b""
        while not line.endswith(b"\r\n"):
            try:
                line += self.tls.recv(1)
            except SSL.WantReadError:
                await self.more()
        return line[:-2]

    async def closed(self) -> None:
        """Wait for the close_notify of the other side."""
        while True:
            try:
                raise AssertionError(self.tls.recv(100))
            except SSL.ZeroReturnError:
                return
            except SSL.WantReadError:
                await self.more()


class StopTestCase(LoopbackTestCase):
    """Servers and clients of `Talker` on loopback."""

    async def serve(
        self, url: str = "tcp://127.0.0.1:0", **options: Any
    ) -> tuple[int, list[Talker]]:
        """Listen; the port and the servers that were built."""
        built: list[Talker] = []

        def build() -> Talker:
            built.append(Talker())
            return built[-1]

        factory: Factory[Any] = Factory.forProtocol(build)
        factory.noisy = False
        self.addCleanup(self.end_all, built)
        return await self.listening(url, self.wrapped(factory), **options), built

    def wrapped(self, factory: Factory[Any]) -> Any:
        """The factory as it is; other cases put wrappers around it."""
        return factory

    async def connect(self, url: str, **options: Any) -> Talker:
        """A client."""
        made: list[Talker] = []

        def build() -> Talker:
            made.append(Talker())
            return made[-1]

        factory: Factory[Any] = Factory.forProtocol(build)
        factory.noisy = False
        self.addCleanup(self.end_all, made)
        await txtransport.client(self.reactor, url, None, **options).connect(self.wrapped(factory))
        return made[0]

    async def end_all(self, talkers: list[Talker]) -> None:
        """Abort what is still open, and take the errors that no test asks for."""
        for talker in talkers:
            talker.secured.addErrback(lambda reason: None)
            talker.stopped.addErrback(lambda reason: None)
            if not talker.lost.called:
                talker.transport.abortConnection()
                await talker.lost

    async def secure(self) -> tuple[Talker, Talker]:
        """Client and server, under TLS after an upgrade."""
        port, servers = await self.serve()
        client = await self.connect(f"tcp://127.0.0.1:{port}")
        await client.ask(b"say hello", b"said hello")
        await client.ask(b"AUTH", b"234")
        await client.secured
        await client.ask(b"say secret", b"said secret")
        return client, servers[0]

    async def foreign_client(self, *, upgraded: bool = True) -> tuple[Foreign, Talker]:
        """A foreign client and our server, under TLS."""
        port, servers = await self.serve(
            "tcp://127.0.0.1:0" if upgraded else "tls://127.0.0.1:0",
            **({} if upgraded else {"local_cert": certificates.site()}),
        )
        recorder = await self.connected(f"tcp://127.0.0.1:{port}")
        if upgraded:
            recorder.say(b"AUTH\r\n")
            await recorder.heard(b"234\r\n")
        foreign = Foreign(recorder, is_client=True)
        foreign._read = len(recorder.received)
        await foreign.handshake()
        recorder.say(foreign.encrypted(b"say secret"))
        self.assertEqual(await foreign.line(), b"said secret")
        return foreign, servers[0]

    async def error_of(self, deferred: Deferred[Any]) -> Any:
        """What a Deferred fails with."""
        failures: list[Failure] = []
        deferred.addErrback(failures.append)
        await deferred
        self.assertEqual(len(failures), 1, "it did not fail")
        return failures[0].value

    async def reason_of(self, talker: Talker) -> Any:
        """Why a connection is over."""
        (reason,) = await talker.lost
        return reason.value


class StopTests(StopTestCase):
    """The way there and back, between two of ours."""

    async def there_and_back(self, client: Talker, server: Talker) -> None:
        """From TLS to the clear, to TLS again, and back once more."""
        for _ in range(2):
            await client.ask(b"CCC", b"200")
            await client.stopped
            await client.ask(b"say clear", b"said clear")
            await server.stopped
            for talker in (client, server):
                self.assertIs(talker.tls_state, CLEAR)
                self.assertFalse(talker.is_secure)
                self.assertIsNone(txtransport.session_of(talker.transport))
            await client.ask(b"AUTH", b"234")
            await client.secured
            await client.ask(b"say secret", b"said secret")
            for talker in (client, server):
                self.assertIs(talker.tls_state, SECURE)
                self.assertIsNotNone(txtransport.session_of(talker.transport))
        states = [state for line, state in client.heard if line.startswith(b"said c")]
        self.assertEqual(set(states), {CLEAR})
        self.assertEqual({state for line, state in server.heard if line == b"CCC"}, {SECURE})

    async def test_after_an_upgrade(self) -> None:
        """A conversation leaves TLS, is in the clear, and can begin TLS again."""
        client, server = await self.secure()
        self.assertEqual((client.forgotten, server.forgotten), (1, 1))
        await self.there_and_back(client, server)
        # Only the handshakes have voided what was known.
        self.assertEqual((client.forgotten, server.forgotten), (3, 3))

    async def test_where_tls_was_there_from_the_start(self) -> None:
        """So can one whose endpoint began with TLS, with and without limits."""
        cases: tuple[tuple[str, dict[str, Any]], ...] = (
            ("", {}),
            ("", {"max_connections": 5}),
            ("?starttls=ldap", {}),
            ("?starttls=ldap", {"max_connections": 5}),
            ("", {"proxy_protocol": "any", "proxy_from": "127.0.0.1"}),
        )
        for query, serving in cases:
            port, servers = await self.serve(
                f"tls://127.0.0.1:0{query}", local_cert=certificates.site(), **serving
            )
            client = await self.connect(
                f"tls://localhost:{port}{query}",
                cafile=certificates.cafile(),
                bindto="127.0.0.1:0",
                **({"send_proxy": "v2"} if "proxy_protocol" in serving else {}),
            )
            await client.ask(b"say secret", b"said secret")
            self.assertIs(client.tls_state, SECURE)
            await self.there_and_back(client, servers[0])
            client.transport.loseConnection()
            self.assertIsInstance(await self.reason_of(servers[0]), ConnectionDone)

    async def test_through_proxies(self) -> None:
        """Behind a proxy it is the same; of TLS within TLS the inner one is left."""
        proxy = TestProxy(self.reactor)
        plain = await self.listening("tcp://127.0.0.1:0", proxy)
        secure = await self.listening("tls://127.0.0.1:0", proxy, local_cert=certificates.site())
        trust = quote(certificates.cafile(), safe="")
        port, servers = await self.serve("tls://127.0.0.1:0", local_cert=certificates.site())
        url, trusted = f"tls://localhost:{port}", certificates.cafile()
        for place in (f"http://127.0.0.1:{plain}", f"socks5://127.0.0.1:{plain}"):
            client = await self.connect(url, cafile=trusted, proxy=place)
            await client.ask(b"say secret", b"said secret")
            await self.there_and_back(client, servers[-1])
        place = f"https://localhost:{secure}?cafile={trust}"
        client = await self.connect(url, cafile=trusted, proxy=place)
        await client.ask(b"say secret", b"said secret")
        await client.ask(b"CCC", b"200")
        await client.stopped
        await client.ask(b"say clear", b"said clear")
        self.assertIsNone(txtransport.session_of(client.transport))
        self.assertIs(servers[-1].tls_state, CLEAR)
        self.assertRaises(UpgradeError, client.startTLS, client_policy())
        await client.ask(b"say still", b"said still")

    async def test_on_local_sockets(self) -> None:
        """On a local socket it is the same, on either layer of TLS."""
        path = self.socket_path()
        _, servers = await self.serve(f"unix://{path}")
        client = await self.connect(f"unix://{path}")
        await client.ask(b"AUTH", b"234")
        await client.secured
        await self.there_and_back(client, servers[0])
        path = self.socket_path()
        _, servers = await self.serve(f"tls+unix://{path}", local_cert=certificates.site())
        client = await self.connect(
            f"tls+unix://{path}", cafile=certificates.cafile(), peer_name="localhost"
        )
        await client.ask(b"say secret", b"said secret")
        await self.there_and_back(client, servers[0])

    async def test_what_is_written_meanwhile_is_sent_in_the_clear(self) -> None:
        """It follows the close of TLS, in order, and is not lost."""
        client, server = await self.secure()
        client.say_at_stop, server.say_at_stop = b"say first", b"banner"
        heard = client.hears(b"said first")
        client.sendLine(b"CCC")
        await heard
        self.assertEqual(
            client.heard[-3:], [(b"200", SECURE), (b"banner", CLEAR), (b"said first", CLEAR)]
        )
        self.assertIn((b"say first", CLEAR), server.heard)

    async def test_one_side_may_wait_for_the_other(self) -> None:
        """The order of the two close_notify does not matter, nor does who waits."""
        for waits in ("server", "client"):
            client, server = await self.secure()
            (server if waits == "server" else client).waits = True
            client.say_at_stop, server.say_at_stop = b"say first", b"banner"
            await self.there_and_back(client, server)
            self.assertIn((b"banner", CLEAR), client.heard)

    async def test_much_data_arrives_before(self) -> None:
        """What was sent under TLS is delivered under TLS, however much it is."""
        client, server = await self.secure()
        lines = [b"%d " % number + b"x" * 12000 for number in range(100)]
        for line in lines:
            client.sendLine(line)
        await client.ask(b"CCC", b"200")
        await client.stopped
        await client.ask(b"say clear", b"said clear")
        self.assertEqual([line for line, state in server.heard if state is SECURE][1:-1], lines)


class WrappedStopTests(StopTests):
    """The same with one of Twisted's wrappers between protocol and transport."""

    def wrapped(self, factory: Factory[Any]) -> Any:
        wrapping = WrappingFactory(factory)
        wrapping.noisy = False
        return wrapping


class ForeignStopTests(StopTestCase):
    """A peer that sends its bytes as it likes."""

    is_upgraded = True

    async def peers(self) -> tuple[Foreign, Talker]:
        """A foreign client and our server, under TLS."""
        return await self.foreign_client(upgraded=self.is_upgraded)

    async def test_clear_text_in_the_segment_of_the_close(self) -> None:
        """What stands behind the close_notify is delivered as clear text, and nothing is lost."""
        for behind in (b"say one\r\nsay two\r\n", b"say one\r\n" + b"say two\r\n" * 4000):
            foreign, server = await self.peers()
            foreign.recorder.say(foreign.encrypted(b"CCC"))
            self.assertEqual(await foreign.line(), b"200")
            foreign.recorder.say(foreign.encrypted(b"say under TLS", close=True) + behind)
            await foreign.recorder.heard(b"said two\r\n")
            self.assertIn((b"say under TLS", STOPPING), server.heard)
            lines = [line for line, state in server.heard if state is CLEAR]
            self.assertEqual(lines[-behind.count(b"\r\n") :], behind.split(b"\r\n")[:-1])

    async def test_everything_in_one_segment(self) -> None:
        """The request, the close_notify and clear text may arrive together."""
        foreign, server = await self.peers()
        foreign.recorder.say(
            foreign.encrypted(b"say a", b"CCC", b"say b", close=True) + b"say c\r\nsay d\r\n"
        )
        await foreign.recorder.heard(b"said d\r\n")
        self.assertEqual(
            server.heard[-5:],
            [
                (b"say a", SECURE),
                (b"CCC", SECURE),
                (b"say b", STOPPING),
                (b"say c", CLEAR),
                (b"say d", CLEAR),
            ],
        )
        for line in (b"said secret", b"said a", b"200"):
            if line != b"said secret":
                self.assertEqual(await foreign.line(), line)

    async def test_byte_by_byte(self) -> None:
        """However the network cuts, each byte is what it was sent as."""
        foreign, server = await self.peers()
        data = foreign.encrypted(b"CCC", b"say b", close=True) + b"say c\r\n"
        foreign.recorder.transport.setTcpNoDelay(True)  # type: ignore[union-attr]
        for place in range(len(data)):
            foreign.recorder.say(data[place : place + 1])
            await self.turn()
        await foreign.recorder.heard(b"said c\r\n")
        self.assertEqual([state for _, state in server.heard[-3:]], [SECURE, STOPPING, CLEAR])

    async def test_our_close_notify_stands_before_our_clear_text(self) -> None:
        """The peer reads the answer under TLS, our close_notify, and then clear text."""
        foreign, server = await self.peers()
        server.say_at_stop = b"banner"
        foreign.recorder.say(foreign.encrypted(b"CCC"))
        self.assertEqual(await foreign.line(), b"200")
        await foreign.closed()
        self.assertNotIn(b"banner", foreign.recorder.received)
        foreign.recorder.say(foreign.encrypted(close=True))
        await foreign.recorder.heard(b"banner\r\n")
        await server.stopped

    async def test_a_side_that_waits_sends_nothing_before(self) -> None:
        """The peer's close_notify comes first, and then ours and clear text."""
        foreign, server = await self.peers()
        server.waits, server.say_at_stop = True, b"banner"
        foreign.recorder.say(foreign.encrypted(b"CCC"))
        self.assertEqual(await foreign.line(), b"200")
        for _ in range(5):
            await self.turn()
        size = len(foreign.recorder.received)
        foreign.recorder.say(foreign.encrypted(b"say still", close=True) + b"say here\r\n")
        await foreign.recorder.heard(b"banner\r\nsaid still\r\nsaid here\r\n")
        self.assertEqual(foreign._read, size)
        await foreign.closed()
        self.assertIn((b"say still", STOPPING), server.heard)

    async def test_an_end_without_close_notify_fails(self) -> None:
        """A cut line is not the end of TLS: the Deferred fails, and the connection is over."""
        foreign, server = await self.peers()
        foreign.recorder.say(foreign.encrypted(b"CCC"))
        self.assertEqual(await foreign.line(), b"200")
        foreign.recorder.transport.loseConnection()  # type: ignore[union-attr]
        self.assertIsInstance(await self.error_of(server.stopped), ConnectionLost)
        self.assertIsInstance(await self.reason_of(server), ConnectionLost)
        self.assertIs(server.tls_state, TLSState.CLOSED)

    async def test_clear_text_in_place_of_the_close_is_not_delivered(self) -> None:
        """Clear bytes before the close_notify are no TLS, and end the connection."""
        foreign, server = await self.peers()
        foreign.recorder.say(foreign.encrypted(b"CCC"))
        self.assertEqual(await foreign.line(), b"200")
        foreign.recorder.say(b"say evil\r\n" * 10)
        await self.error_of(server.stopped)
        await server.lost
        self.assertEqual([line for line, _ in server.heard if b"evil" in line], [])

    async def test_a_close_that_nobody_asked_for_ends_the_connection(self) -> None:
        """A peer's close_notify is the end, as ever; what follows is not delivered."""
        foreign, server = await self.peers()
        foreign.recorder.say(foreign.encrypted(close=True) + b"say evil\r\n")
        self.assertIsInstance(await self.reason_of(server), ConnectionDone)
        self.assertEqual([line for line, _ in server.heard if b"evil" in line], [])
        await self.assertFailure(cast(Any, self.called(server.stopTLS)), ConversationOver)

    def called(self, function: Callable[[], object]) -> Deferred[Any]:
        """The result of a function, or its exception."""
        result: Deferred[Any] = Deferred()
        try:
            result.callback(function())
        except Exception:
            result.errback(Failure())
        return result

    async def test_a_silent_peer_is_waited_for_so_long(self) -> None:
        """Without the peer's close_notify the connection is aborted, and the error says why."""
        clock = Clock()
        foreign, server = await self.peers()
        server.tls_clock = clock
        foreign.recorder.say(foreign.encrypted(b"CCC"))
        self.assertEqual(await foreign.line(), b"200")
        await foreign.closed()
        clock.advance(4.9)
        self.assertFalse(server.stopped.called)
        clock.advance(0.2)
        for error in (await self.error_of(server.stopped), await self.reason_of(server)):
            self.assertIsInstance(error, TransportTimeout)
            self.assertIn("close_notify", str(error))
        self.assertEqual(clock.getDelayedCalls(), [])

    async def test_cancelling_aborts(self) -> None:
        """A cancelled stopTLS ends the connection, and says so."""
        foreign, server = await self.peers()
        foreign.recorder.say(foreign.encrypted(b"CCC"))
        self.assertEqual(await foreign.line(), b"200")
        server.stopped.cancel()
        self.assertIsInstance(await self.error_of(server.stopped), CancelledError)
        self.assertIsInstance(await self.reason_of(server), CancelledError)

    async def test_closing_meanwhile_closes(self) -> None:
        """loseConnection() and abortConnection() end the connection, and the Deferred fails."""
        for end, reasons in (
            ("loseConnection", (ConnectionDone, ConnectionLost)),
            ("abortConnection", (ConnectionAborted, ConnectionLost)),
        ):
            foreign, server = await self.peers()
            foreign.recorder.say(foreign.encrypted(b"CCC"))
            self.assertEqual(await foreign.line(), b"200")
            await foreign.closed()
            getattr(server.transport, end)()
            if end == "loseConnection":
                foreign.recorder.say(foreign.encrypted(close=True))
            self.assertIsInstance(await self.error_of(server.stopped), reasons)
            self.assertIsInstance(await self.reason_of(server), reasons)


class ForeignStopOnDriverTests(ForeignStopTests):
    """The same where TLS was there from the start, and our own layer carries it."""

    is_upgraded = False


class RefusalTests(StopTestCase):
    """When TLS cannot be closed; the conversation is as it was."""

    async def test_in_the_clear(self) -> None:
        """There is no TLS to close."""
        port, _ = await self.serve()
        client = await self.connect(f"tcp://127.0.0.1:{port}")
        error = self.assertRaises(UpgradeError, client.stopTLS)
        self.assertIn("TLS is not on", str(error))
        await client.ask(b"say hello", b"said hello")

    async def test_without_a_connection(self) -> None:
        """Before and after the connection there is nothing to close."""
        self.assertRaises(ConversationOver, Talker().stopTLS)
        client, _ = await self.secure()
        client.transport.loseConnection()
        self.assertRaises(ConversationOver, client.stopTLS)
        await client.lost
        self.assertRaises(ConversationOver, client.stopTLS)

    async def test_twice(self) -> None:
        """While TLS is closing, it cannot be closed or begun."""
        foreign, server = await self.foreign_client()
        foreign.recorder.say(foreign.encrypted(b"CCC"))
        self.assertEqual(await foreign.line(), b"200")
        self.assertRaises(ConversationOver, server.stopTLS)
        self.assertRaises(ConversationOver, server.startTLS, server_policy())

    async def test_with_a_producer(self) -> None:
        """A producer would write half under TLS and half in the clear."""

        class Pushing:
            def stopProducing(self) -> None: ...
            def pauseProducing(self) -> None: ...
            def resumeProducing(self) -> None: ...

        for upgraded in (True, False):
            foreign, server = await self.foreign_client(upgraded=upgraded)
            server.transport.registerProducer(Pushing(), True)
            self.assertRaises(ProducerInTheWay, server.stopTLS)
            server.transport.unregisterProducer()
            foreign.recorder.say(foreign.encrypted(b"say still", b"say here"))
            self.assertEqual(await foreign.line(), b"said still")

    async def test_with_a_time_that_is_none(self) -> None:
        """A timeout that is no time is refused before anything is sent."""
        client, _ = await self.secure()
        self.assertRaises(InvalidOption, client.stopTLS, timeout="soon")
        await client.ask(b"say hello", b"said hello")

    async def test_tls_of_others(self) -> None:
        """TLS that someone else has begun is someone else's to close."""
        port, _ = await self.serve()
        client = await self.connect(f"tcp://127.0.0.1:{port}")
        client.transport.startTLS(CertificateOptions())
        error = self.assertRaises(UpgradeError, client.stopTLS)
        self.assertIn("someone else", str(error))
