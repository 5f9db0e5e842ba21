"""`agent`: Twisted's HTTP client over our endpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, cast

from hypothesis import given, strategies
from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.logger import LogLevel, formatEvent
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import (
    URI,
    Agent,
    HTTPConnectionPool,
    RedirectAgent,
    ResponseDone,
    ResponseNeverReceived,
)
from twisted.web.error import SchemeNotSupported
from twisted.web.iweb import IAgent, IAgentEndpointFactory
from twisted.web.resource import Resource
from twisted.web.server import Request, Site
from zope.interface import implementer
from zope.interface.verify import verifyObject

import txtransport
from tests import certificates
from tests.loopback import LoopbackTestCase, Recorders
from txtransport.endpoints.network_errors import ConnectionRefused
from txtransport.errors import HandshakeFailed, InvalidOption, InvalidTransport, TransportError
from txtransport.web import FOR_HOSTS, AgentEndpointFactory, agent

HOSTILE: Final = (
    b"h?verify_peer=no", b"h%3Fverify_peer=no", b"h&cafile=x", b"h/?cafile=x", b"h#", b"h=1", b"",
    b"*", b"h\\@evil", b"127.1", b"0x7f.1", b"h:abc", b"h h", b"h\0", b"\xff", b"h;x",
)  # fmt: skip
"""Hosts that are none."""


class Pages(Resource):
    """A server that says who asks, and sends requests for ``/away`` elsewhere.

    Attributes:
        away: Where requests for ``/away`` are sent.
        sessions: Of each request, what TLS agreed on; None without TLS.
        peers: The address and port that each request came from.
    """

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.away = b""
        self.sessions: list[txtransport.Session | None] = []
        self.peers: list[object] = []

    def render_GET(self, request: Request) -> bytes:
        """Answer."""
        self.sessions.append(txtransport.session_of(cast(Any, request).transport))
        self.peers.append(request.getClientAddress())
        if request.path == b"/away":
            request.redirect(self.away)
        return b"hello"


class Body(Protocol):
    """Collects the body of a response."""

    def __init__(self) -> None:
        self.received = b""
        self.complete: Deferred[bytes] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if reason.check(ResponseDone):
            self.complete.callback(self.received)
        else:
            self.complete.errback(reason)


def body_of(response: Any) -> Deferred[bytes]:
    """The body of a response; Twisted's readBody() warns of Twisted's own transport."""
    body = Body()
    response.deliverBody(body)
    return body.complete


class WebTestCase(LoopbackTestCase):
    """Web servers on loopback."""

    def setUp(self) -> None:
        self.resolving(localhost=["127.0.0.1"], **{"good.example": ["127.0.0.1"]})

    async def served(self, url: str, **options: Any) -> tuple[Pages, int]:
        """Serve pages until the test is over; return them and the port."""
        pages = Pages()
        site = Site(pages)
        site.noisy = False
        if url.startswith("tls"):
            options = {"local_cert": certificates.site(), **options}
        return pages, await self.listening(url, site, **options)

    def agent(self, **options: Any) -> Agent:
        """An agent that trusts the tests' root."""
        return agent(self.reactor, **{"cafile": certificates.cafile(), **options})

    async def get(self, agent: IAgent, url: str) -> bytes:
        """What is at a URL."""
        response: Any = await agent.request(b"GET", url.encode())
        return await body_of(response)

    async def error(self, agent: IAgent, url: str, kind: type[Exception]) -> Any:
        """The error that a request ends with."""
        return await self.assertFailure(agent.request(b"GET", url.encode()), kind)


class RequestTests(WebTestCase):
    """Requests, and what is verified."""

    async def test_a_page_comes_over_verified_tls(self) -> None:
        """https is TLS with a chain and a name that are verified; http/1.1 is agreed on."""
        pages, port = await self.served("tls://127.0.0.1:0")
        self.assertEqual(await self.get(self.agent(), f"https://localhost:{port}/"), b"hello")
        (session,) = pages.sessions
        assert session is not None
        self.assertEqual(session.alpn_protocol, "http/1.1")

    async def test_a_page_comes_in_the_clear(self) -> None:
        """http takes the options that are not about TLS, and leaves the others."""
        pages, port = await self.served("tcp://127.0.0.1:0")
        got = await self.get(self.agent(timeout=5), f"http://localhost:{port}/")
        self.assertEqual((got, pages.sessions), (b"hello", [None]))

    async def test_an_unknown_authority_is_refused(self) -> None:
        """The request is not sent, and fails with an error that explains itself."""
        pages, port = await self.served("tls://127.0.0.1:0")
        error = await self.error(
            agent(self.reactor), f"https://localhost:{port}/", HandshakeFailed
        )  # fmt: skip
        self.assertEqual(error.cause, "unknown-issuer")
        self.assertIn("cafile", error.remedy)
        self.assertEqual(pages.sessions, [])

    async def test_a_wrong_name_is_refused(self) -> None:
        """The certificate is to be for the host of the request."""
        self.resolving(**{"bad.example": ["127.0.0.1"]})
        _, port = await self.served("tls://127.0.0.1:0")
        error = await self.error(self.agent(), f"https://bad.example:{port}/", HandshakeFailed)
        self.assertEqual(error.cause, "wrong-name")

    async def test_a_refusal_after_the_handshake_is_explained(self) -> None:
        """In TLS 1.3 the server's no comes behind the request, and is among its reasons."""
        demand = {"verify_peer": "yes", "cafile": certificates.cafile()}
        pages, port = await self.served("tlsv1.3://127.0.0.1:0", **demand)
        url = f"https://localhost:{port}/"
        error = await self.error(self.agent(), url, ResponseNeverReceived)
        (reason,) = error.reasons
        self.assertIsInstance(reason.value, HandshakeFailed)
        self.assertEqual(reason.value.cause, "client-certificate-required")
        self.assertEqual(pages.sessions, [])

    async def test_each_new_cause_is_logged_once(self) -> None:
        """Ten requests to a server that is away are one line in the log."""
        told = self.overheard("txtransport.endpoints.client")
        asking, port = self.agent(), self.free_port()
        for _ in range(10):
            await self.error(asking, f"http://127.0.0.1:{port}/", ConnectionRefused)
        self.assertEqual([event["cause"] for event in told.events], ["refused"])

    async def test_a_pool_keeps_connections(self) -> None:
        """With a pool, a second request needs no second handshake."""
        pages, port = await self.served("tls://127.0.0.1:0")
        pool = HTTPConnectionPool(self.reactor)
        self.addCleanup(pool.closeCachedConnections)
        asking = self.agent(pool=pool)
        for _ in range(2):
            await self.get(asking, f"https://localhost:{port}/")
            await self.turn()
        first, second = pages.peers
        self.assertEqual(first, second)

    async def test_a_forbidden_address_is_refused(self) -> None:
        """With public_only no name leads a request inside, nor does a redirect."""
        pages, port = await self.served("tcp://127.0.0.1:0")
        asking = agent(self.reactor, public_only=True)
        for host in ("localhost", "127.0.0.1", "[::ffff:127.0.0.1]"):
            error = await self.error(asking, f"http://{host}:{port}/", InvalidOption)
            self.assertEqual(error.option, "public_only")
        self.assertEqual(pages.sessions, [])

    async def test_allowed_hosts_can_come_from_a_generator(self) -> None:
        """allow_hosts holds for each request, and not for the first alone."""
        _, port = await self.served("tcp://127.0.0.1:0")
        asking = agent(self.reactor, allow_hosts=(name for name in ["localhost", "good.example"]))
        for host in ("localhost", "good.example"):
            self.assertEqual(await self.get(asking, f"http://{host}:{port}/"), b"hello")
        await self.error(asking, f"http://127.0.0.1:{port}/", InvalidOption)


class NamedHostsTests(WebTestCase):
    """What is for some hosts does not go to others."""

    async def serve_two(self) -> tuple[Pages, str, Pages]:
        """Serve ``localhost``, whose page ``/away`` leads to ``good.example``."""
        here, port = await self.served(
            "tls://127.0.0.1:0", verify_peer="optional", cafile=certificates.cafile()
        )
        there, other = await self.served(
            "tls://127.0.0.1:0", verify_peer="optional", cafile=certificates.cafile()
        )
        here.away = b"https://good.example:%d/" % other
        return here, f"https://localhost:{port}", there

    async def test_our_certificate_is_not_shown_where_a_redirect_leads(self) -> None:
        """Only the hosts that are named are told who we are."""
        here, url, there = await self.serve_two()
        asking = RedirectAgent(self.agent(hosts=["localhost"], local_cert=certificates.client()))
        self.assertEqual(await self.get(asking, f"{url}/away"), b"hello")
        (session,) = here.sessions
        assert session is not None
        self.assertIsNotNone(session.peer_certificate)
        (session,) = there.sessions
        assert session is not None
        self.assertIsNone(session.peer_certificate)

    async def test_a_pin_is_for_the_hosts_that_are_named(self) -> None:
        """Another host has another key; the one that is named must have this one."""
        here, url, there = await self.serve_two()
        for pin in ("A" * 43 + "=", certificates_pin()):
            asking = self.agent(hosts=["localhost"], pin=pin)
            self.assertEqual(await self.get(asking, here.away.decode()), b"hello")
        self.assertEqual(await self.get(asking, f"{url}/"), b"hello")
        wrong = self.agent(hosts=["localhost"], pin="A" * 43 + "=")
        error = await self.error(wrong, f"{url}/", HandshakeFailed)
        self.assertEqual(error.cause, "fingerprint")
        self.assertEqual((len(here.sessions), len(there.sessions)), (1, 2))

    async def test_another_name_is_for_the_hosts_that_are_named(self) -> None:
        """peer_name does not make the certificate of one host good for another."""
        _, port = await self.served("tls://127.0.0.1:0")
        self.resolving(**{"alias.example": ["127.0.0.1"], "evil.example": ["127.0.0.1"]})
        asking = self.agent(hosts=["alias.example"], peer_name="good.example")
        self.assertEqual(await self.get(asking, f"https://alias.example:{port}/"), b"hello")
        error = await self.error(asking, f"https://evil.example:{port}/", HandshakeFailed)
        self.assertEqual(error.cause, "wrong-name")

    async def test_what_weakens_is_for_the_hosts_that_are_named(self) -> None:
        """verify_peer=no beside hosts= leaves every other host verified."""
        _, url, there = await self.serve_two()
        asking = agent(
            self.reactor, hosts=["localhost"], verify_peer=False, verify_peer_name=False
        )  # fmt: skip
        self.assertEqual(await self.get(asking, f"{url}/"), b"hello")
        await self.error(RedirectAgent(asking), f"{url}/away", HandshakeFailed)
        self.assertEqual(there.sessions, [])

    async def test_what_is_weak_is_said_of_its_host(self) -> None:
        """The log warns of a host when that is connected to, and of none that is not there."""
        _, port = await self.served("tls://127.0.0.1:0")
        told = self.overheard("txtransport.endpoints.api")
        asking = agent(self.reactor, hosts=["localhost"], verify_peer=False)
        self.assertEqual(told.events, [])
        await self.get(asking, f"https://localhost:{port}/")
        (event,) = told.events
        self.assertIn(f"tls://localhost:{port}: verify_peer=no", formatEvent(event))

    async def test_what_demands_tls_is_not_asked_for_in_the_clear(self) -> None:
        """A redirect to http does not take from a host what was demanded of it."""
        clear, port = await self.served("tcp://127.0.0.1:0")
        here, url, _ = await self.serve_two()
        here.away = b"http://localhost:%d/" % port
        asking = self.agent(hosts=["localhost"], local_cert=certificates.client())
        error = await self.error(RedirectAgent(asking), f"{url}/away", Exception)
        self.assertIn("http has no TLS, which local_cert demand of this host", repr(error))
        await self.error(asking, f"http://localhost:{port}/", InvalidTransport)
        self.assertEqual(clear.sessions, [])
        self.assertEqual(await self.get(asking, f"http://good.example:{port}/"), b"hello")

    async def test_a_local_socket_is_for_the_hosts_that_are_named(self) -> None:
        """Requests for those hosts go over it, with TLS and without; others over the network."""
        path = self.socket_path()
        local, _ = await self.served(f"unix://{path}")
        secure = Path(f"{path}-tls")
        local_tls, _ = await self.served(f"tls+unix://{secure}", local_cert=certificates.site())
        network, port = await self.served("tcp://127.0.0.1:0")
        asking = self.agent(hosts=["docker"], socket=path)
        self.assertEqual(await self.get(asking, "http://docker/version"), b"hello")
        self.assertEqual(await self.get(asking, f"http://localhost:{port}/"), b"hello")
        asking = self.agent(hosts=["good.example"], socket=secure)
        self.assertEqual(await self.get(asking, "https://good.example/"), b"hello")
        counts = [len(pages.sessions) for pages in (local, local_tls, network)]
        self.assertEqual(counts, [1, 1, 1])

    async def test_the_name_is_verified_over_a_local_socket(self) -> None:
        """TLS over a local socket is for the host of the request, as over the network."""
        path = self.socket_path()
        await self.served(f"tls+unix://{path}", local_cert=certificates.site())
        asking = self.agent(hosts=["bad.example"], socket=path)
        error = await self.error(asking, "https://bad.example/", HandshakeFailed)
        self.assertEqual(error.cause, "wrong-name")


def certificates_pin() -> str:
    """The digest of the key of `certificates.site`."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    from txtransport.testing.devcert import Issued

    pem = Path(certificates.site()).read_bytes()
    key = cast(Any, load_pem_private_key(pem, None))
    return Issued(x509.load_pem_x509_certificate(pem), key).spki_pin


class ProtocolTests(WebTestCase):
    """HTTP/2, which Twisted's agent does not speak."""

    async def test_a_server_that_agrees_on_h2_is_refused(self) -> None:
        """A client that offers h2 all the same gets an error of ours, and sends no request."""
        told = self.overheard("txtransport.web")
        peers = Recorders()
        port = await self.listening(
            "tls://127.0.0.1:0", peers, local_cert=certificates.site(), alpn_protocols="h2"
        )
        asking = self.agent(alpn_protocols="h2,http/1.1")
        (event,) = told.events
        self.assertEqual(event["log_level"], LogLevel.warn)
        self.assertIn("offers h2, which Twisted's Agent does not speak", formatEvent(event))
        error = await self.error(asking, f"https://localhost:{port}/", HandshakeFailed)
        self.assertEqual((error.cause, error.permanent), ("no-common-protocol", True))
        self.assertIn(f"tls://localhost:{port}: the server has agreed", str(error))
        await self.nothing_was_sent_to(peers)

    async def test_a_server_that_picks_h2_unasked_is_refused(self) -> None:
        """h2 that was not offered is no agreement, and ends the handshake or the connection."""
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.use_certificate_chain_file(certificates.site())
        context.use_privatekey_file(certificates.site())
        context.set_alpn_select_callback(lambda connection, offered: b"h2")
        peers = Recorders()
        below = TLSMemoryBIOFactory(_Creator(context), False, peers)
        below.noisy = False
        port = self.adopt(self.reactor.listenTCP(0, below, interface="127.0.0.1"))
        await self.error(self.agent(), f"https://localhost:{port}/", HandshakeFailed)
        await self.nothing_was_sent_to(peers)

    async def nothing_was_sent_to(self, peers: Recorders) -> None:
        """The server's protocols, of which there may be none, received nothing."""
        await self.turn()
        for peer in peers.all:
            await peer.gone()
            self.assertEqual(peer.received, b"")

    async def test_http_1_is_offered_without_a_warning(self) -> None:
        """The default, and what the user writes for it, are what the agent speaks."""
        told = self.overheard("txtransport.web")
        self.agent()
        self.agent(alpn_protocols="http/1.1")
        self.assertEqual(told.events, [])


@implementer(IOpenSSLServerConnectionCreator)
class _Creator:
    def __init__(self, context: SSL.Context) -> None:
        self.context = context

    def serverConnectionForTLS(self, protocol: object) -> SSL.Connection:
        return SSL.Connection(self.context)


class HostTests(SynchronousTestCase):
    """The host of a request is text from outside."""

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.agent = agent(self.reactor)

    def uri(self, host: bytes, port: int = 443, scheme: bytes = b"https") -> URI:
        """A URI with a host that its parser need not have let pass."""
        return URI(scheme, host, host, port, b"/", b"", b"", b"")

    def refusal(self, uri: URI) -> str:
        """Why nothing is connected to."""
        endpoint = AgentEndpointFactory(self.reactor).endpointForURI(uri)
        error = self.failureResultOf(cast("Deferred[Any]", endpoint.connect(Factory())),
                                     TransportError).value  # fmt: skip
        return str(error)

    def test_what_is_no_host_is_refused(self) -> None:
        """No host carries an option, a path or another host, and none is an address in disguise."""
        for host in HOSTILE:
            self.refusal(self.uri(host))
        for port in (0, -1, 65536, 10**9):
            self.assertIn("port", self.refusal(self.uri(b"h", port)))
        self.assertEqual((self.reactor.tcpClients, self.reactor.getDelayedCalls()), ([], []))

    @given(strategies.binary(max_size=40) | strategies.text("a.-:[]%?&=/@\\1*", max_size=12))
    def test_no_text_is_more_than_a_host(self, given: bytes | str) -> None:
        """Whatever stands for a host is refused, or is a name or an address and nothing else."""
        host = given.encode() if isinstance(given, str) else given
        factory = AgentEndpointFactory(self.reactor)
        shown = repr(factory.endpointForURI(self.uri(host)))
        if "_Refused" not in shown:
            self.assertRegex(shown, r"^<txtransport client tls://[a-z0-9._:%\[\]-]+:443>$")

    def test_what_is_a_host_is_connected_to(self) -> None:
        """Names and addresses of both families, with or without a zone."""
        factory = AgentEndpointFactory(self.reactor)
        rows = {
            b"http://Example.com/": "tcp://example.com:80",
            b"ws://example.com/": "tcp://example.com:80",
            b"https://example.com./": "tls://example.com.:443",
            b"wss://example.com:8443/": "tls://example.com:8443",
            b"https://192.0.2.7/": "tls://192.0.2.7:443",
            b"https://[2001:db8::7]:8443/": "tls://[2001:db8::7]:8443",
            b"https://[fe80::1%25eth0]/": "tls://[fe80::1%25eth0]:443",
        }
        for url, where in rows.items():
            endpoint = factory.endpointForURI(URI.fromBytes(url))
            self.assertEqual(repr(endpoint), f"<txtransport client {where}>")
            # Requests to one host share an endpoint, and its memory of what was logged.
            self.assertIs(factory.endpointForURI(URI.fromBytes(url)), endpoint)

    def test_many_hosts_do_not_fill_the_memory(self) -> None:
        """Endpoints are kept for the hosts of the last requests alone."""
        factory = AgentEndpointFactory(self.reactor)
        first = factory.endpointForURI(self.uri(b"first.example"))
        for number in range(200):
            factory.endpointForURI(self.uri(b"host-%d.example" % number))
        self.assertIsNot(factory.endpointForURI(self.uri(b"first.example")), first)

    def test_a_password_is_neither_sent_nor_shown(self) -> None:
        """Agent would send neither user nor password, so that a URL with them is refused."""
        request = self.agent.request(b"GET", b"https://user:secret@example.com/")
        error = self.failureResultOf(cast("Deferred[Any]", request), InvalidTransport).value
        self.assertNotIn("secret", str(error))
        self.assertIn("Authorization", str(error))

    def test_another_scheme_is_refused(self) -> None:
        """A redirect to ftp or file leads nowhere."""
        for url in (b"ftp://example.com/", b"file:///etc/passwd", b"unix:///run/x"):
            request = self.agent.request(b"GET", url)
            self.failureResultOf(cast("Deferred[Any]", request), SchemeNotSupported)


class BadInputTests(SynchronousTestCase):
    """What is wrong is said when the agent is made."""

    def test_each_mistake_is_an_error(self) -> None:
        """Options, files and hosts are checked before there is a request."""
        rows: tuple[tuple[dict[str, Any], str, str], ...] = (
            ({"cafil": "x"}, "cafil", "did you mean cafile?"),
            ({"cafile": "/nonexistent"}, "cafile", "cafile=/nonexistent: "),
            ({"timeout": -1}, "timeout", "timeout"),
            ({"port": 8080}, "port", "there is no option 'port'"),
            ({"url": "tls://h:1"}, "url", "there is no option 'url'"),
            ({"starttls": "smtp"}, "starttls", "not for HTTP"),
            ({"public_only": 1}, "public_only", "True or False"),
            ({"allow_hosts": "h"}, "allow_hosts", "takes a list"),
            ({"hosts": "example.com"}, "hosts", "takes a list"),
            ({"hosts": ["a/b"]}, "hosts", "'a/b' is none of them"),
            ({"socket": "run/app.sock", "hosts": ["h"]}, "socket", "whole path"),
            ({"socket": 3, "hosts": ["h"]}, "socket", "whole path"),
            ({"socket": "/run/app.sock"}, "socket", "name them, hosts="),
            ({"socket": "/run/app.sock", "hosts": ["h"], "public_only": True}, "socket", "beside"),
        )
        for options, name, text in rows:
            reactor = MemoryReactorClock()
            error = self.assertRaises(InvalidOption, agent, reactor, **options)
            self.assertEqual(error.option, name)
            self.assertIn(text, str(error))
            self.assertNotIn("host.invalid", str(error))
            self.assertEqual((reactor.tcpClients, reactor.getDelayedCalls()), ([], []))

    def test_what_is_for_one_peer_needs_its_name(self) -> None:
        """A client certificate, a pin or another name for any host is a mistake."""
        for name in FOR_HOSTS:
            error = self.assertRaises(InvalidOption, agent, MemoryReactorClock(), **{name: "x"})
            self.assertEqual(error.option, name)
            self.assertIn(f"{name} is for some hosts and no others", str(error))

    def test_another_endpoint_stands_beside_nothing_that_it_would_ignore(self) -> None:
        """Where over= leads is known to no rule, and a local socket would be used in its place."""
        over = TCP4ClientEndpoint(MemoryReactorClock(), "127.0.0.1", 1)
        for name, value in (("socket", "/run/app.sock"), ("public_only", True)):
            error = self.assertRaises(
                InvalidOption, agent, MemoryReactorClock(), over=over, hosts=["h"],
                **cast("dict[str, Any]", {name: value}),
            )  # fmt: skip
            self.assertEqual(error.option, "over")
            self.assertIn(name, str(error))

    def test_a_header_and_an_endpoint_go_to_the_named_hosts_alone(self) -> None:
        """A redirect takes neither a client's address nor a request to where it should not be."""
        reactor = MemoryReactorClock()
        over = TCP4ClientEndpoint(reactor, "127.0.0.1", 1)
        rows: tuple[tuple[dict[str, Any], str], ...] = (
            ({"over": over}, "127.0.0.1"),
            ({"send_proxy": "v1"}, "192.0.2.1"),
        )
        for options, told in rows:
            factory = AgentEndpointFactory(reactor, hosts=["192.0.2.1"], **options)
            for host, place in ((b"192.0.2.1", told), (b"192.0.2.2", "192.0.2.2")):
                endpoint = factory.endpointForURI(URI.fromBytes(b"http://" + host + b"/"))
                connecting = endpoint.connect(Factory.forProtocol(Protocol))
                self.assertEqual(reactor.tcpClients[-1][0], place)
                asked = StringTransport()
                cast(Any, reactor.tcpClients[-1][2].buildProtocol(None)).makeConnection(asked)
                is_told = host == b"192.0.2.1" and "send_proxy" in options
                self.assertEqual(asked.value(), b"PROXY UNKNOWN\r\n" if is_told else b"")
                self.successResultOf(connecting)

    def test_a_pool_belongs_to_one_agent(self) -> None:
        """A connection that was not verified is not given to an agent that verifies."""
        reactor = MemoryReactorClock()
        pool = HTTPConnectionPool(reactor)
        agent(reactor, pool=pool, verify_peer=False)
        error = self.assertRaises(InvalidOption, agent, reactor, pool=pool)
        self.assertEqual(error.option, "pool")
        agent(reactor, pool=pool, verify_peer=False)
        # One that keeps no connection can be shared.
        pool = HTTPConnectionPool(reactor, persistent=False)
        agent(reactor, pool=pool, verify_peer=False)
        agent(reactor, pool=pool)

    def test_they_are_what_twisted_asks_for(self) -> None:
        """The agent is Twisted's, and the factory one of its interface."""
        asking = agent(MemoryReactorClock())
        self.assertIsInstance(asking, Agent)
        verifyObject(IAgent, asking)
        verifyObject(IAgentEndpointFactory, AgentEndpointFactory(MemoryReactorClock()))
