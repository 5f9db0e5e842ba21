"""HAProxy in front of our servers, it and others behind our clients: the PROXY protocol."""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.protocol import Factory
from twisted.internet.task import deferLater
from twisted.internet.testing import StringTransport
from twisted.protocols.basic import LineReceiver
from twisted.web.resource import Resource
from twisted.web.server import Site

import txtransport
from tests import certificates
from tests.endpoints.test_behind_balancer import Witnesses
from tests.live.mail_servers import MailServersTestCase
from tests.live.peers import CURL, PeerTestCase, Program
from tests.loopback import Recorder
from txtransport.connection.proxy_header import ProxiedConnection
from txtransport.proxy.proxy_protocol.header import ProxyHeader

HAPROXY: Final = Program("haproxy", ("-v",), r"HAProxy version (2\.[4-9]|[3-9])")

CONNECTIONS: Final = 400
AT_ONCE: Final = 40
CHECKS: Final = 8

CLIENT_HOST: Final = "127.0.0.9"
"""Where clients connect from, to be told from the balancer."""

ALL_FACTS: Final = "ssl,cert-cn,ssl-cipher,cert-sig,cert-key,authority,crc32c,unique-id"

_CONFIGURATION: Final = """\
global
    maxconn 2000
defaults
    mode tcp
    timeout connect 5s
    timeout client 10s
    timeout server 10s
{defaults}
frontend site
    bind 127.0.0.1:{port} {bind}
    default_backend app
frontend ready
    bind 127.0.0.1:{ready}
    tcp-request connection reject
backend app
    server one {server}
"""


class BalancerTestCase(PeerTestCase):
    """What the tests of this file share."""

    program = HAPROXY

    def setUp(self) -> None:
        super().setUp()
        self.factory = Witnesses()
        self.headers: list[ProxyHeader] = []
        self._awaited: list[tuple[int, Deferred[None]]] = []
        take_header = ProxiedConnection.take_header

        def recording(connection: ProxiedConnection, header: ProxyHeader) -> None:
            take_header(connection, header)
            self.headers.append(header)
            for count, came in self._awaited:
                if len(self.headers) >= count and not came.called:
                    came.callback(None)

        self.patch(ProxiedConnection, "take_header", recording)

    def headers_come(self, count: int) -> Deferred[None]:
        """Fires when so many headers have come in all."""
        came: Deferred[None] = Deferred()
        self._awaited.append((count, came))
        return came

    async def behind(self, scheme: str = "tcp", **options: Any) -> str:
        """A server of ours that believes HAProxy; returns its address for HAProxy."""
        options = {"proxy_protocol": "any", "proxy_from": "127.0.0.1,unix", **options}
        if scheme.startswith("tls"):
            options["local_cert"] = certificates.site()
        if not scheme.endswith("unix"):
            port = await self.listening(f"{scheme}://127.0.0.1:0", self.factory, **options)
            return f"127.0.0.1:{port}"
        path = self.socket_path()
        await self.listening(f"{scheme}://{path}", self.factory, **options)
        return f"unix@{path}"

    async def balanced(self, server: str, bind: str = "", defaults: str = "") -> int:
        """Start HAProxy; return the port at which it listens.

        Args:
            server: The rest of the server's line.
            bind: The rest of the line of its own port.
            defaults: More lines.
        """
        port, ready = self.free_port(), self.free_port()
        path = self.folder() / "haproxy.cfg"
        path.write_text(
            _CONFIGURATION.format(
                port=port, ready=ready, bind=bind, server=server, defaults=defaults
            )
        )
        self.haproxy = self.start("-db", "-f", str(path))
        # It says nothing when it listens. The last of its ports rejects every connection.
        for _ in range(200):
            try:
                await self.end(await self.connected(f"tcp://127.0.0.1:{ready}"))
            except txtransport.TransportError:
                await deferLater(self.reactor, 0.02, lambda: None)
            else:
                return port
        raise AssertionError("HAProxy does not listen")


class ServerTests(BalancerTestCase):
    """HAProxy in front of us."""

    timeout = 60

    async def test_400_connections_all_show_the_clients_address(self) -> None:
        """In connectionMade already, of each: over TCP, TLS and local sockets, both versions."""
        for scheme, directive in (
            ("tcp", "send-proxy"), ("tcp", "send-proxy-v2"), ("tls", "send-proxy-v2"),
            ("tls+unix", "send-proxy"),
        ):  # fmt: skip
            self.factory = Witnesses()
            address = await self.behind(scheme)
            port = await self.balanced(f"{address} {directive}")
            expected = set()
            url, options = f"tcp://127.0.0.1:{port}", {}
            if scheme.startswith("tls"):
                url = f"tls://localhost:{port}"
                options = {"cafile": certificates.cafile()}
            endpoint = txtransport.client(
                self.reactor,
                url,
                bindto=f"{CLIENT_HOST}:0",
                **options,  # type: ignore[arg-type]
            )
            for _ in range(CONNECTIONS // AT_ONCE):
                made = gatherResults([self.factory.next() for _ in range(AT_ONCE)])
                clients: Any = await gatherResults(
                    [endpoint.connect(Factory.forProtocol(Recorder)) for _ in range(AT_ONCE)]
                )
                await made
                for client in clients:
                    expected.add((CLIENT_HOST, client.transport.getHost().port))
                    await self.end(client)
            seen = {(each.peer.host, each.peer.port) for each in self.factory.all}  # type: ignore[attr-defined]
            self.assertEqual(len(self.factory.all), CONNECTIONS)
            self.assertEqual(seen, expected)

    async def test_health_checks_build_no_protocol(self) -> None:
        """In version 1 they name their own connection's addresses; check-ssl shakes TLS, too."""
        for scheme, directives in (
            ("tcp", "send-proxy check"), ("tcp", "send-proxy-v2 check"),
            ("tls", "send-proxy-v2 check"), ("tls", "send-proxy-v2 check check-ssl verify none"),
        ):  # fmt: skip
            self.factory = Witnesses()
            address = await self.behind(scheme)
            self.headers.clear()
            port = await self.balanced(f"{address} {directives} inter 100ms fall 1 rise 1")
            await self.headers_come(CHECKS)
            self.assertEqual([header.is_local for header in self.headers[:CHECKS]], [True] * CHECKS)
            self.assertEqual(self.factory.built, 0)
            # The server is up: a client comes through.
            url = f"tls://localhost:{port}" if scheme == "tls" else f"tcp://127.0.0.1:{port}"
            options: dict[str, Any] = {"cafile": certificates.cafile()} if scheme == "tls" else {}
            made = self.factory.next()
            await self.connected(url, bindto=f"{CLIENT_HOST}:0", **options)
            witness: Any = await made
            self.assertEqual(witness.peer.host, CLIENT_HOST)
            await self.haproxy.reaped()

    async def test_a_greeting_can_be_checked(self) -> None:
        """With proxy_local=serve a server that speaks first is checked by what it says."""

        class Greeting(LineReceiver):
            def connectionMade(self) -> None:
                self.sendLine(b"220 hello")

            def lineReceived(self, line: bytes) -> None:
                heard.append(line)
                self.sendLine(b"250 hello")
                if not asked.called:
                    asked.callback(None)

        heard: list[bytes] = []
        asked: Deferred[None] = Deferred()
        port = await self.listening(
            "tcp://127.0.0.1:0?proxy_protocol=v2&proxy_from=127.0.0.1&proxy_local=serve",
            Factory.forProtocol(Greeting),
        )
        front = await self.balanced(
            f"127.0.0.1:{port} send-proxy-v2 check inter 100ms fall 1 rise 1",
            defaults="    option smtpchk EHLO check.example",
        )
        await asked
        self.assertEqual(heard[0], b"EHLO check.example")
        client = await self.connected(f"tcp://127.0.0.1:{front}")
        await client.heard(b"220 hello")

    async def test_tls_that_ends_at_the_balancer_is_told(self) -> None:
        """Version, cipher, names, the client's certificate and a number for the logs."""
        address = await self.behind("tcp", proxy_local="serve")
        port = await self.balanced(
            f"{address} send-proxy-v2 proxy-v2-options {ALL_FACTS}",
            bind=f"ssl crt {certificates.site()} alpn h2 ca-file {certificates.cafile()} "
            "verify optional",
            defaults="    unique-id-format %{+X}o\\ %ci:%cp-%rt",
        )
        for files, has_certificate in (
            ({}, False), ({"local_cert": certificates.client()}, True),
        ):  # fmt: skip
            made = self.factory.next()
            client: Any = await self.connected(
                f"tls://localhost:{port}", cafile=certificates.cafile(), alpn_protocols="h2",
                bindto=f"{CLIENT_HOST}:0", **files,
            )  # fmt: skip
            witness: Any = await made
            header, session = witness.header, txtransport.session_of(client.transport)
            assert session is not None
            self.assertEqual(header.source, (CLIENT_HOST, client.transport.getHost().port))
            self.assertEqual((header.authority, header.alpn_protocol), ("localhost", "h2"))
            self.assertIn(b"7F000009", header.unique_id)
            tls = header.tls
            self.assertEqual((tls.version, tls.cipher), (session.version, session.cipher))
            self.assertEqual((tls.has_certificate, tls.is_verified), (has_certificate,) * 2)
            self.assertEqual(tls.common_name, "client.example" if has_certificate else None)
            self.assertEqual(tls.key_algorithm, "EC256")

    async def test_a_balancer_without_the_directive_is_told_what_to_write(self) -> None:
        """The log names the word that is missing in HAProxy's configuration."""
        address = await self.behind("tls")
        port = await self.balanced(address)
        heard = self.overheard()
        telling = heard.next()
        client = await self.connected(f"tcp://127.0.0.1:{port}")
        client.say(b"\x16\x03\x01\x00\x10")
        event = await telling
        while event["cause"] == "closed":
            event = await heard.next()
        self.assertEqual(event["cause"], "proxy-header")
        self.assertIn("send-proxy-v2", event["diagnosis"].remedy)
        self.assertEqual(self.factory.built, 0)


class ClientTests(BalancerTestCase):
    """HAProxy behind us."""

    async def test_haproxy_reads_what_we_send(self) -> None:
        """Addresses, checksum and names: HAProxy passes on what it has read."""
        address = await self.behind("tcp", proxy_local="serve")
        port = await self.balanced(
            f"{address} send-proxy-v2 proxy-v2-options authority", bind="accept-proxy"
        )
        for version in ("v1", "v2"):
            for peer in (
                IPv4Address("TCP", "192.0.2.7", 56324),
                None,
            ):
                passed_on = peer and StringTransport(
                    peerAddress=peer, hostAddress=IPv4Address("TCP", "198.51.100.1", 443)
                )
                made = self.factory.next()
                client: Any = await self.connected(
                    f"tcp://127.0.0.1:{port}", send_proxy=version, proxied_for=passed_on
                )
                client.say(b"hello")
                witness: Any = await made
                await witness.heard(b"hello")
                if peer is None:
                    peer = client.transport.getHost()
                self.assertEqual(witness.peer, peer)


class MailTests(MailServersTestCase):
    """Postfix and Dovecot behind us: they believe the header before STARTTLS."""

    timeout = 60

    async def test_the_mail_servers_see_the_client(self) -> None:
        """Both versions, our own connections too; their logs have the client's address."""
        dovecot = await self.dovecot()
        postfix = await self.postfix(dovecot.ports["lmtp"])
        for server, name, quits, logged in (
            (postfix, "smtp", b"QUIT\r\n", rb"connect from \S+\[%s\]"),
            (dovecot, "imap", b"a LOGOUT\r\n", rb"rip=%s, "),
        ):
            url = f"tls://localhost:{server.ports[f'{name}_proxied']}?starttls={name}"
            for version, host in (("v1", "192.0.2.7"), ("v2", "192.0.2.8"), ("v2", None)):
                passed_on = host and StringTransport(
                    peerAddress=IPv4Address("TCP", host, 1),
                    hostAddress=IPv4Address("TCP", "198.51.100.1", 2),
                )
                client = await self.connected(
                    url, cafile=certificates.cafile(), send_proxy=version, proxied_for=passed_on
                )
                client.say(quits)
                await server.peer.prints(logged % (host or "127.0.0.1").encode())
                await client.gone()


class CurlTests(PeerTestCase):
    """curl as a client that sends a header."""

    program = CURL

    async def test_a_site_of_twisteds_behind_curl(self) -> None:
        """``curl --haproxy-protocol`` names its own connection, and is answered."""

        class Address(Resource):
            isLeaf = True

            def render_GET(self, request: Any) -> bytes:
                header = txtransport.proxy_header_of(request.transport)
                return f"{request.getClientAddress().host} {header and header.is_local}".encode()

        port = await self.listening(
            "tls://127.0.0.1:0?proxy_protocol=v1&proxy_from=127.0.0.1", Site(Address()),
            local_cert=certificates.site(),
        )  # fmt: skip
        curl = self.start(
            "--silent", "--noproxy", "*", "--haproxy-protocol", "--cacert", certificates.cafile(),
            f"https://localhost:{port}/",
        )  # fmt: skip
        self.assertEqual(await curl.exits(), 0)
        self.assertEqual(curl.printed, b"127.0.0.1 True")
