"""Clients behind proxies: one deadline, nothing to the wrong party, and no look-up too many."""

from __future__ import annotations

import gc
import itertools
import os
from io import BytesIO
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString
from twisted.internet.error import (
    ConnectingCancelledError,
    ConnectionRefusedError,
    DNSLookupError,
)
from twisted.internet.interfaces import ISSLTransport, IStreamClientEndpoint, ITCPTransport
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import formatEvent
from twisted.protocols.basic import FileSender, LineReceiver
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

import txtransport
from tests import certificates
from tests.endpoints.test_client import Leaving
from tests.loopback import ClockedReactor, LoopbackTestCase, Only, Recorder, Recorders, Resolver
from txtransport.config.policy import Side
from txtransport.connection.trace import Event, Step
from txtransport.errors import (
    HandshakeFailed,
    InvalidOption,
    PeerMisbehaved,
    ProxyRefused,
    TransportTimeout,
    UpgradeError,
)
from txtransport.proxy import socks5
from txtransport.testing.proxy import ProxyRequest, TestProxy
from txtransport.tls.connection import TLSConnection
from txtransport.tls.session import session_of

USERS: Final = {"user": "hunter2"}
LOGIN: Final = "user:hunter2@"
KINDS: Final = ("http", "https", "socks5", "socks5h")


class Asked(Resolver):
    """A resolver that knows all names as 127.0.0.1, and remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__({})
        self.names: list[str] = []

    def resolveHostName(self, resolutionReceiver: Any, hostName: str, *args: Any, **kw: Any) -> Any:
        self.names.append(hostName)
        self._names[hostName] = ("127.0.0.1",)
        return super().resolveHostName(resolutionReceiver, hostName, *args, **kw)


class Upgrading(txtransport.StartTLSMixin, LineReceiver):
    """A protocol that may start TLS."""


class ProxyCase(LoopbackTestCase):
    """Servers and proxies on the loopback interface."""

    async def served(self, scheme: str = "tls", query: str = "") -> tuple[Recorders, int]:
        """A server, which is called mail.example.com:1 behind the proxies."""
        servers = Recorders()
        site = certificates.issued("mail.pem", "mail.example.com")
        given = f"?local_cert={site}{query}" if scheme == "tls" else ""
        port = await self.listening(f"{scheme}://127.0.0.1:0{given}", servers)
        return servers, port

    async def proxy(
        self, kind: str, port: int, *, users: dict[str, str] | None = None, login: str = ""
    ) -> tuple[TestProxy, str]:
        """A proxy of a kind by which that port is mail.example.com:1; and its URL."""
        route = ("127.0.0.1", port)
        routes = {"mail.example.com:1": route, "127.0.0.1:1": route}
        proxy = TestProxy(self.reactor, users, routes)
        self.addCleanup(proxy.end)
        if kind == "https":
            at = f"tls://127.0.0.1:0?local_cert={certificates.site()}"
            number = await self.listening(at, proxy)
            return proxy, f"https://{login}localhost:{number}?cafile={certificates.cafile()}"
        number = await self.listening("tcp://127.0.0.1:0", proxy)
        return proxy, f"{kind}://{login}127.0.0.1:{number}"

    def client(self, proxy: str | list[str], scheme: str = "tls", **options: Any) -> Any:
        """An endpoint to mail.example.com:1 behind that proxy."""
        if scheme == "tls":
            options.setdefault("cafile", certificates.cafile())
        url = f"{scheme}://mail.example.com:1"
        return txtransport.client(self.reactor, url, proxy=proxy, **options)

    async def conversation(self, endpoint: Any, servers: Recorders) -> Recorder:
        """Assert that the endpoint's client and the server hear each other; the client."""
        arriving = servers.next()
        client: Any = await endpoint.connect(Factory.forProtocol(Recorder))
        self.addCleanup(self.end, client)
        server = await arriving
        client.say(b"a question")
        await server.heard(b"a question")
        server.say(b"an answer" + b"." * 300_000)
        await client.grown(300_009)
        self.assertEqual(client.received[:9], b"an answer")
        return client  # type: ignore[no-any-return]

    async def failure(self, endpoint: Any, *kinds: type[BaseException]) -> Any:
        """The error that connecting ends with; it begins with the endpoint."""
        factory = Recorders()
        error = await self.assertFailure(endpoint.connect(factory), *kinds)
        self.assertEqual(factory.built, 0)
        return error


class ThroughTests(ProxyCase):
    """Every kind of proxy, before every kind of transport."""

    async def test_every_kind_of_proxy(self) -> None:
        """TLS behind HTTP, HTTPS, and SOCKS with names looked up here and there."""
        self.resolving(localhost=["127.0.0.1"], **{"mail.example.com": ["127.0.0.1"]})
        for kind in KINDS:
            servers, port = await self.served()
            proxy, url = await self.proxy(kind, port)
            endpoint = self.client(url)
            self.assertTrue(verifyObject(IStreamClientEndpoint, endpoint))
            client = await self.conversation(endpoint, servers)
            session = session_of(client.transport)
            assert session is not None
            self.assertTrue(session.verified)
            place = "127.0.0.1:1" if kind == "socks5" else "mail.example.com:1"
            protocol = "SOCKS" if "socks" in kind else "HTTP"
            self.assertEqual(proxy.requests, [ProxyRequest(protocol, place)])

    async def test_in_the_clear_and_with_a_dialogue(self) -> None:
        """``tcp://`` and ``starttls=`` go through a proxy as TLS does."""
        for kind in ("http", "https", "socks5h"):
            servers, port = await self.served("tcp")
            _, url = await self.proxy(kind, port)
            await self.conversation(self.client(url, "tcp"), servers)
            servers, port = await self.served("tls", "&starttls=smtp")
            _, url = await self.proxy(kind, port)
            client = self.client(url, starttls="smtp")
            arriving = servers.next()
            recorder: Any = await client.connect(Factory.forProtocol(Recorder))
            self.addCleanup(self.end, recorder)
            # In the words of the dialogue, and not in those of the server.
            await recorder.heard(b"220 mail.example.com ESMTP\r\n")
            self.assertIsNotNone(session_of(recorder.transport))
            (await arriving).say(b"220 greeting\r\nmore")
            await recorder.heard(b"more")

    async def test_a_chain_of_proxies(self) -> None:
        """Each is asked by the one before; TLS with one of them is inside TLS with another."""
        self.resolving(localhost=["127.0.0.1"])
        servers, port = await self.served()
        proxies = [
            await self.proxy(kind, port, users=USERS, login=LOGIN)
            for kind in ("http", "https", "socks5h", "https")
        ]
        for order in ((0, 1, 2, 3), (1, 3, 0), (2, 1), (3, 2)):
            before = [len(proxy.requests) for proxy, _ in proxies]
            await self.conversation(self.client([proxies[n][1] for n in order]), servers)
            for number, (proxy, _) in enumerate(proxies):
                is_used = number in order
                self.assertEqual(len(proxy.requests) - before[number], int(is_used))
            last = proxies[order[-1]][0].requests[-1]
            self.assertEqual(last.target, "mail.example.com:1")

    async def test_the_tunnel_is_not_in_the_path_of_the_bytes(self) -> None:
        """When it is there, the transport's protocol is TLS with the target."""
        servers, port = await self.served()
        for kind in ("http", "https"):
            _, url = await self.proxy(kind, port)
            client: Any = await self.conversation(self.client(url), servers)
            self.assertIs(client.transport.transport.protocol, client.transport)

    async def test_a_connection_ends_as_without_a_proxy(self) -> None:
        """Each side hears of a clean end, on whichever side it begins."""
        for kind in ("http", "https", "socks5h"):
            servers, port = await self.served()
            _, url = await self.proxy(kind, port)
            for closes in ("client", "server"):
                client: Any = await self.conversation(self.client(url), servers)
                closing: Any = client if closes == "client" else servers.all[-1]
                closing.transport.loseConnection()
                self.assertIn("cleanly", str((await client.gone()).value))

    async def test_an_endpoint_string_has_a_proxy(self) -> None:
        """Whatever takes a client endpoint string of Twisted's can go through a proxy."""
        servers, port = await self.served()
        _, url = await self.proxy("socks5h", port, users=USERS, login=LOGIN)
        text = f"tls://mail.example.com:1?proxy={url}&cafile={certificates.cafile()}"
        string = txtransport.endpoint_string(text)
        self.assertIn("proxy=socks5h%3A//user%3Ahunter2@127.0.0.1%3A", string)
        endpoint = clientFromString(self.reactor, string)
        self.assertNotIn("hunter2", repr(endpoint))
        await self.conversation(endpoint, servers)

    async def test_the_steps_are_told(self) -> None:
        """A trace has the proxy's address, and the moment at which it has connected us."""
        _, port = await self.served("tls", "&starttls=imap")
        for kind in ("http", "https"):
            self.resolving(localhost=["127.0.0.1"])
            _, url = await self.proxy(kind, port)
            events: list[Event] = []
            client = self.client(url, starttls="imap", trace=events.append)
            recorder = await client.connect(Factory.forProtocol(Recorder))
            self.addCleanup(self.end, recorder)
            steps = [event.step for event in events]
            self.assertEqual(
                steps, [Step.TRYING, Step.CONNECTED, Step.PROXIED, Step.NEGOTIATED], kind
            )
            self.assertEqual([event.host for event in events[:2]], ["127.0.0.1"] * 2)


class LookUpTests(ProxyCase):
    """Who looks a name up."""

    async def test_a_name_that_the_proxy_looks_up_is_not_looked_up_here(self) -> None:
        """With ``http``, ``https`` and ``socks5h`` only the proxy's own name is."""
        asked = Asked()
        before = self.reactor.installNameResolver(asked)
        self.addCleanup(self.reactor.installNameResolver, before)
        servers, port = await self.served()
        for kind, names in (
            ("http", []), ("https", ["localhost"]), ("socks5h", []),
            ("socks5", ["mail.example.com"]),
        ):  # fmt: skip
            asked.names.clear()
            proxy, url = await self.proxy(kind, port)
            proxy.routes = {**proxy.routes, "127.0.0.1:1": ("127.0.0.1", port)}
            await self.conversation(self.client(url), servers)
            self.assertEqual(asked.names, names)

    async def test_the_next_address_is_tried_when_the_proxy_cannot_reach_one(self) -> None:
        """With ``socks5`` a name may have several addresses; a login that fails is the end."""
        servers, port = await self.served()
        self.resolving(**{"mail.example.com": ["2001:db8::1", "127.0.0.1"]})
        proxy, url = await self.proxy("socks5", port)
        proxy.routes = {**proxy.routes, "[2001:db8::1]:1": ("127.0.0.1", self.free_port())}
        await self.conversation(self.client(url), servers)
        targets = [request.target for request in proxy.requests]
        self.assertEqual(targets, ["[2001:db8::1]:1", "127.0.0.1:1"])
        proxy, url = await self.proxy("socks5", port, users={}, login=LOGIN)
        error = await self.failure(self.client(url), ProxyRefused)
        self.assertEqual((error.kind, error.code), ("SOCKS login", 1))
        self.assertEqual(proxy.requests, [])

    async def test_a_proxy_s_addresses_are_tried_in_turn(self) -> None:
        """Its name may lead to an address that does not answer (happy eyeballs)."""
        servers, port = await self.served()
        _, url = await self.proxy("http", port)
        number = url.rpartition(":")[2]
        self.resolving(**{"p.example": ["::1", "127.0.0.1"]})
        await self.conversation(self.client(f"http://p.example:{number}"), servers)

    async def test_names_that_are_not_there_are_told_apart(self) -> None:
        """The proxy's own name, that of the next proxy, and that of the target."""
        _, port = await self.served()
        _, url = await self.proxy("socks5", port)
        self.resolving(**{"mail.example.com": [], "p.example": [], "q.example": []})
        for proxies, place in (
            (["http://p.example:1"], "tls://mail.example.com:1: the proxy http://p.example:1: the"),
            ([url], "tls://mail.example.com:1: the name has no address"),
            ([url, "http://q.example:1"], "the proxy http://q.example:1: the name has no address"),
        ):  # fmt: skip
            error = await self.failure(self.client(proxies), DNSLookupError)
            self.assertIn(place, str(error))
            self.assertTrue(str(error).startswith("tls://mail.example.com:1: "))


class ReferenceTests(ProxyCase):
    """A connection that is over leaves nothing behind."""

    async def test_a_connection_is_freed_with_its_end(self) -> None:
        """Neither TLS with the target nor TLS with a proxy waits for the garbage collector."""
        self.resolving(localhost=["127.0.0.1"], **{"mail.example.com": ["127.0.0.1"]})
        self.addCleanup(gc.enable)
        for kind, way in itertools.product(
            KINDS, ("loseConnection", "abortConnection", "refused", "wrong name")
        ):
            # Not recorders, which keep themselves.
            site = certificates.issued("mail.pem", "mail.example.com")
            port = await self.listening(
                f"tls://127.0.0.1:0?local_cert={site}", Factory.forProtocol(Protocol)
            )
            login = "user:wrong@" if way == "refused" else LOGIN
            proxy, url = await self.proxy(kind, port, users=USERS, login=login)
            options = {"peer_name": "other.example"} if way == "wrong name" else {}
            gc.collect()
            gc.disable()
            before = tls_connections()
            connecting = self.client(url, **options).connect(Factory.forProtocol(Leaving))
            if options or way == "refused":
                await self.assertFailure(connecting, ProxyRefused, HandshakeFailed)
            else:
                client: Any = await connecting
                await client.leave(way)
                del client
            del connecting
            await proxy.end()
            await self.turn()
            await self.turn()
            after = tls_connections()
            gc.enable()
            self.assertEqual(after - before, set(), (kind, way))


def tls_connections() -> set[int]:
    """The identities of all connections of OpenSSL's that are a client's."""
    found = (each for each in gc.get_objects() if isinstance(each, TLSConnection))
    return {id(each) for each in found if each.side is Side.CLIENT}


class FailureTests(ProxyCase):
    """What can go wrong, and how it is told."""

    async def test_a_proxy_that_is_not_there(self) -> None:
        """The error is Twisted's as well, and says that it is the proxy which is missing."""
        port = self.free_port()
        for kind in KINDS:
            url = f"{kind}://{LOGIN}127.0.0.1:{port}"
            overheard = self.overheard("txtransport.endpoints.client")
            self.resolving(**{"mail.example.com": ["127.0.0.1"]})
            error = await self.failure(self.client(url), ConnectionRefusedError)
            place = f"tls://mail.example.com:1: the proxy {kind}://user:***@127.0.0.1:{port}: "
            self.assertTrue(str(error).startswith(f"{place}the connection was refused"), error)
            self.assertIsInstance(error, txtransport.TransportError)
            # Once, by the endpoint, and not by the one to the proxy as well.
            texts = [formatEvent(event) or "" for event in overheard.events]
            self.assertEqual(len(texts), 1)
            self.assertNotIn("hunter2", texts[0])

    async def test_a_refusal_is_told_with_its_code(self) -> None:
        """A wrong login, and a target that the proxy cannot reach."""
        _, port = await self.served()
        for kind, wrong, unreachable in (("http", 407, 502), ("socks5h", 1, 5)):
            _, url = await self.proxy(kind, port, users=USERS, login="user:wrong@")
            error = await self.failure(self.client(url), ProxyRefused)
            self.assertEqual((error.code, error.fault), (wrong, "ours"))
            _, url = await self.proxy(kind, self.free_port(), users=USERS, login=LOGIN)
            error = await self.failure(self.client(url), ProxyRefused)
            self.assertEqual(error.code, unreachable)
            self.assertFalse(error.permanent)
            self.assertNotIn("hunter2", str(error))

    async def test_an_https_proxy_without_tls_is_told_how_to_be_written(self) -> None:
        """It hangs up, or says something else; no URL of a transport is suggested for it."""
        greeting = Recorders()
        arriving = greeting.next()
        speaking = await self.listening("tcp://127.0.0.1:0", greeting)
        _, closing = await self.proxy("http", 1)
        urls = f"https://127.0.0.1:{speaking}", closing.replace("http:", "https:")
        for url, cause in zip(urls, ("plaintext-peer", "closed"), strict=True):
            connecting = self.client(url).connect(Recorders())
            if cause == "plaintext-peer":
                (await arriving).say(b"220 mx ESMTP\r\n")
            error: Any = await self.assertFailure(connecting, HandshakeFailed)
            self.assertEqual(error.cause, cause)
            self.assertIn("in the clear write http://", error.remedy)
            self.assertTrue(str(error).startswith(f"tls://mail.example.com:1: the proxy {url}: "))
            self.assertNotIn("starttls", str(error))

    async def test_one_deadline_over_all(self) -> None:
        """A proxy that never answers, in its TLS or to its question, ends at ``timeout``."""
        silent = Recorders()
        port = await self.listening("tcp://127.0.0.1:0", silent)
        clocked = ClockedReactor(self.reactor)
        for kind in ("http", "https", "socks5h"):
            url = f"{kind}://127.0.0.1:{port}"
            arriving = silent.next()
            endpoint: Any = txtransport.client(clocked, "tls://mail.example.com:1", proxy=url)
            connecting = endpoint.connect(Recorders())
            await (await arriving).grown(3)
            clocked.clock.advance(29.9)
            self.assertNoResult(connecting)
            clocked.clock.advance(0.2)
            error = await self.assertFailure(connecting, TransportTimeout)
            self.assertEqual((error.stage, error.seconds), ("proxy", 30))
            place = f"tls://mail.example.com:1: {url}: the proxy took longer than 30 s"
            self.assertTrue(str(error).startswith(place), error)
            self.assertEqual(clocked.clock.getDelayedCalls(), [])
            await silent.all[-1].gone()

    async def test_the_deadline_goes_on_behind_the_proxy(self) -> None:
        """A target that is silent has what is left of it, and the error names the handshake."""
        silent = Recorders()
        port = await self.listening("tcp://127.0.0.1:0", silent)
        _, url = await self.proxy("http", port)
        clocked = ClockedReactor(self.reactor)
        arriving = silent.next()
        endpoint: Any = txtransport.client(clocked, "tls://mail.example.com:1", proxy=url)
        connecting = endpoint.connect(Recorders())
        await (await arriving).grown(3)
        clocked.clock.advance(30.1)
        error = await self.assertFailure(connecting, TransportTimeout)
        self.assertEqual(error.stage, "handshake")

    async def test_a_cancelled_attempt_leaves_nothing(self) -> None:
        """In every stage the connection to the proxy is ended."""
        silent = Recorders()
        port = await self.listening("tcp://127.0.0.1:0", silent)
        for kind in ("http", "https", "socks5h"):
            arriving = silent.next()
            connecting: Deferred[Any] = self.client(f"{kind}://127.0.0.1:{port}").connect(
                Recorders()
            )
            server = await arriving
            await server.grown(3)
            connecting.cancel()
            await self.assertFailure(connecting, ConnectingCancelledError)
            await server.gone()

    async def test_a_target_that_fails_is_told_as_without_a_proxy(self) -> None:
        """A certificate for another name is an error of the target."""
        _, port = await self.served()
        _, url = await self.proxy("http", port)
        error = await self.failure(self.client(url, peer_name="other.example"), HandshakeFailed)
        self.assertEqual(error.cause, "wrong-name")
        self.assertTrue(str(error).startswith("tls://mail.example.com:1: "))
        self.assertNotIn("proxy", str(error))


class PartyTests(ProxyCase):
    """What each party is told, and what not."""

    async def test_each_proxy_has_its_own_login_and_the_target_has_none(self) -> None:
        """In a chain the second login is given to the second proxy, as bytes of the tunnel."""
        first, second, target = Recorders(), Recorders(), Recorders()
        one, two = first.next(), second.next()
        ports = [
            await self.listening("tcp://127.0.0.1:0", each) for each in (first, second, target)
        ]
        connecting = self.client(
            [f"http://a:hunterA@127.0.0.1:{ports[0]}", f"socks5h://b:hunterB@127.0.0.1:{ports[1]}"],
            "tcp",
        ).connect(Factory.forProtocol(Recorder))
        proxy = await one
        said = await proxy.heard(b"\r\n\r\n")
        self.assertNotIn(b"hunterB", said)
        proxy.received = b""
        proxy.say(b"HTTP/1.1 200 OK\r\n\r\n")
        # From here on the first proxy only carries bytes, which the test does not.
        await proxy.heard(b"\x05\x01\x02")
        proxy.say(b"\x05\x02")
        self.assertEqual(await proxy.heard(b"hunterB"), b"\x05\x01\x02\x01\x01b\x07hunterB")
        proxy.received = b""
        proxy.say(b"\x01\x00")
        await proxy.heard(b"mail.example.com")
        proxy.received = b""
        proxy.say(socks5.answer(0))
        client: Any = await connecting
        client.say(b"to the target")
        self.assertEqual(await proxy.heard(b"to the target"), b"to the target")
        self.assertNotIn(b"hunter", client.received)
        await self.end(client)
        two.addErrback(lambda reason: None)

    async def test_an_https_proxy_is_verified_before_it_is_told_anything(self) -> None:
        """One whose certificate is not trusted, or for another name, hears no login."""
        heard = Recorders()
        port = await self.listening("tls://127.0.0.1:0", heard, local_cert=certificates.site())
        ca = certificates.cafile()
        for url, cause in (
            (f"https://{LOGIN}127.0.0.1:{port}", "unknown-issuer"),
            (f"https://{LOGIN}127.0.0.1:{port}?cafile={ca}&peer_name=other", "wrong-name"),
        ):
            # The authorities of the target are not those of the proxy.
            error = await self.failure(self.client(url, cafile=ca), HandshakeFailed)
            self.assertEqual(error.cause, cause)
            place = f"tls://mail.example.com:1: the proxy https://user:***@127.0.0.1:{port}: "
            self.assertTrue(str(error).startswith(place), error)
        for recorder in heard.all:
            self.assertEqual(recorder.received, b"")

    async def test_an_untrusted_target_is_not_trusted_for_its_proxy(self) -> None:
        """What an https proxy's own options say is not said of the target."""
        self.resolving(localhost=["127.0.0.1"])
        _, port = await self.served()
        _, url = await self.proxy("https", port)
        insecure = f"{url}&verify_peer=no&verify_peer_name=no"
        endpoint: Any = txtransport.client(
            self.reactor, "tls://mail.example.com:1", proxy=insecure.replace(
                f"cafile={certificates.cafile()}&", "")
        )  # fmt: skip
        error = await self.failure(endpoint, HandshakeFailed)
        self.assertEqual(error.cause, "unknown-issuer")
        self.assertNotIn("the proxy", str(error))

    async def test_tls_with_a_proxy_is_not_taken_for_tls_with_the_peer(self) -> None:
        """Behind an https proxy plain TCP is plain: no session, and no mail client logs in."""
        self.resolving(localhost=["127.0.0.1"])
        servers, port = await self.served("tcp")
        for kind in ("http", "https"):
            _, url = await self.proxy(kind, port)
            client: Any = await self.conversation(self.client(url, "tcp"), servers)
            self.assertIsNone(session_of(client.transport), kind)
            self.assertFalse(ISSLTransport.providedBy(client.transport))
            if kind == "https":
                self.assertTrue(verifyObject(ITCPTransport, client.transport))
                client.transport.setTcpNoDelay(True)
                client.transport.setTcpKeepAlive(True)
                self.assertTrue(client.transport.getTcpNoDelay())
                self.assertTrue(client.transport.getTcpKeepAlive())
                self.assertEqual(client.transport.getHost().host, "127.0.0.1")
            upgrading = Upgrading()
            await self.client(url, "tcp").connect(Only(upgrading))
            self.assertFalse(upgrading.is_secure)
            if kind == "https":
                error = self.assertRaises(UpgradeError, upgrading.startTLS, "mail.example.com")
                self.assertIn("ClearTransport cannot start TLS", str(error))
            upgrading.abort()

    async def test_a_producer_behind_an_https_proxy_is_paused(self) -> None:
        """In the clear and under TLS: it writes as fast as the proxy takes it, and all arrives."""
        self.resolving(localhost=["127.0.0.1"])
        for scheme in ("tcp", "tls"):
            servers, port = await self.served(scheme)
            _, url = await self.proxy("https", port)
            arriving = servers.next()
            client: Any = await self.client(url, scheme).connect(Factory.forProtocol(Recorder))
            self.addCleanup(self.end, client)
            server = await arriving
            sending = FileSender().beginFileTransfer(BytesIO(b"." * 5_000_000), client.transport)
            await server.grown(5_000_000)
            await sending
            client.transport.loseConnection()
            await server.gone()

    async def test_sessions_belong_to_a_proxy_and_its_user(self) -> None:
        """A session that was kept for one user is not shown by another, or without a proxy."""
        servers, port = await self.served()
        _, url = await self.proxy("socks5h", port, users={"a": "1", "b": "1"}, login="{}@")
        _, other = await self.proxy("http", port)

        async def is_resumed(proxy: str) -> bool:
            client: Any = await self.conversation(self.client(proxy), servers)
            session = session_of(client.transport)
            client.transport.loseConnection()
            await client.gone()
            assert session is not None
            return bool(session.resumed)

        a, b = url.format("a:1"), url.format("b:1")
        found = [await is_resumed(each) for each in (a, a, b, other, b, other)]
        self.assertEqual(found, [False, True, False, False, True, True])

    async def test_our_own_address_is_not_told_behind_a_proxy(self) -> None:
        """The EHLO before TLS does not say where we are; the server sees the proxy."""
        servers = Recorders()
        port = await self.listening("tcp://127.0.0.1:0", servers)
        proxy = TestProxy(self.reactor, routes={"mail.example.com:1": ("127.0.0.1", port)})
        self.addCleanup(proxy.end)
        number = await self.listening("tcp://[::1]:0", proxy)
        arriving = servers.next()
        connecting = self.client(f"socks5h://[::1]:{number}", starttls="smtp").connect(Recorders())
        server = await arriving
        server.say(b"220 mx ESMTP\r\n")
        self.assertEqual(await server.heard(b"\r\n"), b"EHLO [127.0.0.1]\r\n")
        connecting.cancel()
        await self.assertFailure(connecting, ConnectingCancelledError)
        await server.gone()

    async def test_bytes_behind_the_answer_are_not_tls_s(self) -> None:
        """A proxy that speaks for the target before we have spoken is told at once."""
        port = await self.listening("tcp://127.0.0.1:0", Recorders())
        proxies = Recorders()
        port = await self.listening("tcp://127.0.0.1:0", proxies)
        arriving = proxies.next()
        connecting = self.client(f"http://127.0.0.1:{port}").connect(Recorders())
        proxy = await arriving
        await proxy.heard(b"\r\n\r\n")
        proxy.say(b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 400 Bad Request\r\n")
        error = await self.assertFailure(connecting, PeerMisbehaved)
        self.assertIn("stood behind the proxy's answer", str(error))
        await proxy.gone()


class EnvironmentTests(ProxyCase):
    """``proxy=env``."""

    def setting(self, **environ: str) -> None:
        """Let the environment be this until the test is over."""
        self.patch(os, "environ", environ)

    async def test_the_environment_is_read_when_the_endpoint_is_made(self) -> None:
        """A later change of it does not count, and a URL that was used before is read anew."""
        servers, port = await self.served()
        proxy, url = await self.proxy("http", port)
        self.setting(HTTPS_PROXY=url)
        endpoint = self.client("env")
        self.assertIn(f"through {url}", repr(endpoint))
        self.setting(no_proxy="*", HTTPS_PROXY=url)
        self.assertNotIn("through", repr(self.client("env")))
        await self.conversation(endpoint, servers)
        self.assertEqual(len(proxy.requests), 1)

    async def test_without_a_proxy_it_connects_as_always(self) -> None:
        """Loopback and local sockets never go through a proxy, which would be refused here."""
        self.setting(ALL_PROXY=f"http://127.0.0.1:{self.free_port()}")
        path = self.socket_path()
        servers = Recorders()
        port = await self.listening("tcp://127.0.0.1:0", servers)
        await self.listening(f"unix://{path}", servers)
        for url in (f"tcp://127.0.0.1:{port}?bindto=127.0.0.1:0", f"unix://{path}"):
            endpoint = txtransport.client(self.reactor, url, proxy="env")
            await self.conversation(endpoint, servers)

    def test_a_variable_that_is_wrong_is_an_error(self) -> None:
        """Before anything is opened, with the place in front and without the value."""
        for value in ("http://user:hunter2@p", "https://user:hunter2@p:1?nothing=1"):
            self.setting(HTTPS_PROXY=value)
            error = self.assertRaises(InvalidOption, self.client, "env")
            self.assertTrue(str(error).startswith("tls://mail.example.com:1: "), error)
            self.assertNotIn("hunter2", str(error))


class RuleTests(SynchronousTestCase):
    """What is refused before anything is opened."""

    def refused(self, reason: str, url: str, option: str = "proxy", **options: Any) -> None:
        """Assert that a client is refused, with the place in front."""
        error: Any = self.assertRaises(
            InvalidOption, txtransport.client, MemoryReactorClock(), url, **options
        )
        self.assertIn(reason, str(error))
        self.assertEqual(error.option, option)
        self.assertTrue(str(error).startswith(f"{url}: "), error)

    def test_a_proxy_cannot_be_told_of_a_zone(self) -> None:
        """``%eth0`` means something on this machine only."""
        self.refused("zone", "tls://[fe80::1%25eth0]:1", proxy="http://p:1")
        self.refused("zone", "tls://h:1", proxy="http://p:1,http://[fe80::1%25eth0]:1")
        # The first proxy is connected to from here.
        reactor = MemoryReactorClock()
        self.assertIn("fe80", repr(txtransport.client(
            reactor, "tls://h:1", proxy="http://[fe80::1%25eth0]:1")))  # fmt: skip

    def test_bindto_is_of_the_connection_to_the_proxy(self) -> None:
        """Its family must be that of the first proxy, and need not be the target's."""
        self.refused("not of the same address family", "tls://[2001:db8::1]:1", "bindto",
                     proxy="http://[::1]:1", bindto="127.0.0.1")  # fmt: skip
        reactor: Any = MemoryReactorClock()
        endpoint: Any = txtransport.client(
            reactor, "tls://[2001:db8::1]:1", proxy="http://192.0.2.1:3128", bindto="127.0.0.1:5"
        )
        connecting = endpoint.connect(Recorders())
        host, port, _, _, bound = reactor.tcpClients[0]
        self.assertEqual((host, port, bound), ("192.0.2.1", 3128, ("127.0.0.1", 5)))
        connecting.cancel()
        self.failureResultOf(connecting, ConnectingCancelledError)

    def test_rules_about_addresses_need_an_address(self) -> None:
        """``public_only`` and ``allow_hosts`` are refused where the proxy looks the name up."""
        for scheme in ("http", "https", "socks5h"):
            proxy = f"{scheme}://192.0.2.1:1"
            self.refused("socks5://", "tls://h:1", "public_only", proxy=proxy, public_only=True)
            self.refused("socks5://", "tls://h:1", "allow_hosts", proxy=proxy, allow_hosts=["h"])
        for proxy in ("http://192.0.2.1:1", "socks5://192.0.2.1:1"):
            self.refused("loopback", "tls://127.0.0.1:1", "public_only", proxy=proxy,
                         public_only=True)  # fmt: skip
        self.refused("allow_hosts does not have", "tls://h:1", "allow_hosts",
                     proxy="socks5://p:1", allow_hosts=["g"])  # fmt: skip

    def test_a_file_of_a_proxy_s_options_is_read(self) -> None:
        """A file that is missing is an error of the endpoint, which names the proxy."""
        self.refused("the proxy https://u:***@p:1: cafile=/no/such", "tls://h:1", "cafile",
                     proxy="https://u:hunter2@p:1?cafile=/no/such")  # fmt: skip

    def test_a_representation_names_the_proxies(self) -> None:
        """Without their passwords, and in less than 120 characters."""
        long = ".".join(["a" * 60] * 4)
        for host in ("h", long):
            for proxy in ("socks5h://user:hunter2@127.0.0.1:9050", f"http://u:hunter2@{long}:1"):
                endpoint = txtransport.client(
                    MemoryReactorClock(), f"tls://{host}:1", proxy=f"{proxy},{proxy}"
                )
                said = repr(endpoint)
                self.assertIn(" through ", said)
                self.assertNotIn("hunter2", said)
                self.assertLess(len(said), 120)

    def test_weak_tls_with_a_proxy_is_warned_of(self) -> None:
        """As for the target, once for each endpoint, and with the proxy's place."""
        from twisted.logger import globalLogPublisher

        from tests.loopback import Overheard

        overheard = Overheard("txtransport.endpoints.api")
        globalLogPublisher.addObserver(overheard)
        self.addCleanup(globalLogPublisher.removeObserver, overheard)
        proxy = "https://u:hunter2@weak.example:1?verify_peer=no"
        txtransport.client(MemoryReactorClock(), "tls://weak:1", proxy=proxy)
        texts = [formatEvent(event) for event in overheard.events]
        self.assertEqual(
            texts,
            ["tls://weak:1: the proxy https://weak.example:1: verify_peer=no: anyone can pose as "
             "the peer"],
        )  # fmt: skip


class RuleAtConnectTests(ProxyCase):
    """Rules about addresses, where the name is looked up here."""

    async def test_each_address_is_judged(self) -> None:
        """With ``socks5`` the proxy is asked for an address that is allowed, or not at all."""
        servers, port = await self.served()
        proxy, url = await self.proxy("socks5", port)
        proxy.routes = {**proxy.routes, "198.51.100.7:1": ("127.0.0.1", port)}
        self.resolving(**{"mail.example.com": ["127.0.0.1", "198.51.100.7"]})
        await self.conversation(self.client(url, allow_hosts=["198.51.100.0/24"]), servers)
        self.assertEqual([request.target for request in proxy.requests], ["198.51.100.7:1"])
        error = await self.failure(self.client(url, public_only=True), InvalidOption)
        self.assertEqual(error.option, "public_only")
        self.assertEqual(len(proxy.requests), 1)
