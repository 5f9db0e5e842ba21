"""Clients that pass connections on: a PROXY header before everything else."""

from __future__ import annotations

from typing import Any, Final

from attrs import evolve
from twisted.internet.address import IPv4Address
from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory
from twisted.internet.testing import StringTransport

import txtransport
from tests import certificates
from tests.loopback import LoopbackTestCase, Recorder, Recorders
from tests.proxy.proxy_protocol.samples import CLIENT_OF_HAPROXY
from txtransport.config.url import TransportURL
from txtransport.errors import InvalidOption
from txtransport.proxy.proxy_protocol.header import ProxyHeader
from txtransport.proxy.proxy_protocol.reader import read_header, write_header
from txtransport.proxy.proxy_protocol.tlv import TLV
from txtransport.starttls.tls_record import begins_handshake
from txtransport.testing.proxy import TestProxy

CLIENT: Final = IPv4Address("TCP", "192.0.2.7", 56324)
PASSED_ON: Final = StringTransport(
    peerAddress=CLIENT, hostAddress=IPv4Address("TCP", "198.51.100.1", 443)
)
BEHIND: Final = "proxy_protocol=any&proxy_from=127.0.0.1,unix"


class SendProxyTests(LoopbackTestCase):
    """The header on the wire."""

    async def test_it_comes_first(self) -> None:
        """Before the application's first bytes, and before the ClientHello."""
        factory = Recorders()
        port = await self.listening("tcp://127.0.0.1:0", factory)
        path = self.socket_path()
        await self.listening(f"unix://{path}", factory)
        for url in (f"tcp://127.0.0.1:{port}", f"unix://{path}"):
            for version in ("v1", "v2"):
                made = factory.next()
                client = await self.connected(url, send_proxy=version, proxied_for=PASSED_ON)
                client.say(b"hello")
                server = await made
                await server.heard(b"hello")
                header, size = read_header(server.received, version)  # type: ignore[misc]
                self.assertEqual(header.source, ("192.0.2.7", 56324))
                self.assertEqual(server.received[size:], b"hello")
        made = factory.next()
        url = f"tls://127.0.0.1:{port}"
        connecting = txtransport.client(self.reactor, url, send_proxy="v2").connect(Factory())
        server = await made
        await server.grown(100)
        self.assertEqual(server.received[:16], write_header(ProxyHeader(2, is_local=True)))
        self.assertTrue(begins_handshake(server.received[16:]))
        connecting.addErrback(lambda reason: None).cancel()

    async def test_it_comes_before_a_dialogue(self) -> None:
        """A server of SMTP would speak first; the header does not wait for it."""
        factory = Recorders()
        port = await self.listening("tcp://127.0.0.1:0", factory)
        made = factory.next()
        endpoint = txtransport.client(
            self.reactor, f"tls://127.0.0.1:{port}?starttls=smtp&send_proxy=v1"
        )
        connecting = endpoint.connect(Factory())
        server = await made
        await server.heard(b"PROXY UNKNOWN\r\n")
        server.say(b"220 hello\r\n")
        await server.heard(b"EHLO")
        self.assertTrue(server.received.startswith(b"PROXY UNKNOWN\r\nEHLO "))
        connecting.addErrback(lambda reason: None).cancel()

    async def test_it_is_for_the_target_and_not_for_a_proxy(self) -> None:
        """Through proxies it comes first behind the last one, which has not seen it before."""
        factory = Recorders()
        target = await self.listening("tcp://127.0.0.1:0", factory)
        seen: list[bytes] = []

        class Listening(TestProxy):
            def buildProtocol(self, addr: Any) -> Any:
                protocol: Any = super().buildProtocol(addr)
                receive = protocol.dataReceived

                def data_received(data: bytes) -> None:
                    seen.append(data)
                    receive(data)

                protocol.dataReceived = data_received
                return protocol

        port = await self.listening("tcp://127.0.0.1:0", Listening(self.reactor))
        for proxy in (f"http://127.0.0.1:{port}", f"socks5://127.0.0.1:{port}"):
            for scheme in ("tcp", "tls"):
                seen.clear()
                made = factory.next()
                connecting = txtransport.client(
                    self.reactor,
                    f"{scheme}://127.0.0.1:{target}",
                    proxy=proxy,
                    send_proxy="v1",
                    proxied_for=PASSED_ON,
                ).connect(Factory.forProtocol(Recorder))
                server = await made
                header = b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n"
                await server.heard(header)
                self.assertTrue(server.received.startswith(header))
                self.assertNotIn(b"PROXY", seen[0])
                if scheme == "tcp":
                    self.addCleanup(self.end, await connecting)
                else:
                    await server.grown(100)
                    self.assertTrue(begins_handshake(server.received[len(header) :]))
                    connecting.addErrback(lambda reason: None).cancel()

    async def test_each_connection_begins_with_it(self) -> None:
        """An endpoint that connects again (ClientService) sends it again."""
        factory = Recorders()
        port = await self.listening("tcp://127.0.0.1:0", factory)
        endpoint = txtransport.client(
            self.reactor, f"tcp://127.0.0.1:{port}", send_proxy="v1", proxied_for=PASSED_ON
        )
        for _ in range(2):
            made = factory.next()
            self.addCleanup(self.end, await endpoint.connect(Factory.forProtocol(Recorder)))
            await (await made).heard(b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n")

    async def test_twisteds_own_wrapper_reads_it(self) -> None:
        """The bytes are those that another implementation understands."""
        factory = Recorders()
        twisteds = serverFromString(self.reactor, "haproxy:tcp:0:interface=127.0.0.1")
        port = self.adopt(await twisteds.listen(factory))
        for version in ("v1", "v2"):
            made = factory.next()
            client = await self.connected(
                f"tcp://127.0.0.1:{port}", send_proxy=version, proxied_for=PASSED_ON
            )
            client.say(b"hello")
            server: Any = await made
            await server.heard(b"hello")
            self.assertEqual(server.transport.getPeer(), CLIENT)

    async def test_an_endpoint_string_has_it(self) -> None:
        """``transport:URL`` knows both sides."""
        url = f"tcp://127.0.0.1:0?{BEHIND}&proxy_local=serve"
        factory = Recorders()
        description = txtransport.endpoint_string(url)
        port = self.adopt(await serverFromString(self.reactor, description).listen(factory))
        made = factory.next()
        await self.connected(f"tcp://127.0.0.1:{port}?send_proxy=v2")
        server: Any = await made
        header: Any = txtransport.proxy_header_of(server.transport)
        self.assertTrue(header.is_local)

    def test_what_cannot_be_sent_is_refused_before_anything_is_opened(self) -> None:
        """A keyword without its option, and a transport that is none."""
        for url, options in (
            ("tcp://h:1", {"proxied_for": PASSED_ON}),
            ("tls://h:1", {"send_proxy": "v2", "proxied_for": "192.0.2.7"}),
            ("tcp://h:1", {"send_proxy": "v3"}),
        ):
            error = self.assertRaises(
                InvalidOption, txtransport.client, self.reactor, url, **options
            )
            self.assertTrue(str(error).startswith(f"{url}: "), error)
        self.assertRaises(InvalidOption, TransportURL.parse, "tcp://h:1?proxied_for=x")

    async def test_a_connection_that_is_over_cannot_be_passed_on(self) -> None:
        """Its addresses are not known any more: an error, before anything is opened."""
        factory = Recorders()
        port = await self.listening("tcp://127.0.0.1:0", factory)
        made = factory.next()
        await self.end(await self.connected(f"tcp://127.0.0.1:{port}"))
        server: Any = await made
        await server.gone()
        error = self.assertRaises(
            InvalidOption, txtransport.client, self.reactor, f"tcp://127.0.0.1:{port}",
            send_proxy="v2", proxied_for=server.transport,
        )  # fmt: skip
        self.assertEqual(error.option, "proxied_for")


class RelayTests(LoopbackTestCase):
    """A chain: a client, a balancer that sends headers, we who pass connections on, a server."""

    def setUp(self) -> None:
        self.middle, self.behind = Recorders(), Recorders()
        self.serving: dict[str, Any] = {}

    async def relayed(
        self, url: str, first: bytes = b"", version: str = "v2", **options: Any
    ) -> ProxyHeader:
        """What the last server is told of a connection that the middle has accepted.

        Args:
            url: The middle's.
            first: What is sent to the middle first, below TLS.
            version: What the middle sends.
            **options: Those of the client of the middle.
        """
        middle_port = await self.listening(url, self.middle, **self.serving)
        last_port = await self.listening(
            f"tcp://127.0.0.1:0?{BEHIND}&proxy_local=serve", self.behind
        )
        accepted, made = self.middle.next(), self.behind.next()
        scheme = "tls" if url.startswith("tls") else "tcp"
        client = await self.connected(f"{scheme}://localhost:{middle_port}", **options)
        client.say(first)
        server: Any = await accepted
        await self.connected(
            f"tcp://127.0.0.1:{last_port}", send_proxy=version, proxied_for=server.transport
        )
        self.client = client
        last: Any = await made
        header = txtransport.proxy_header_of(last.transport)
        assert header is not None
        return header

    async def test_what_a_balancer_has_told_goes_on(self) -> None:
        """Addresses, unknown facts and those of TLS: as they came."""
        told, _ = read_header(CLIENT_OF_HAPROXY)  # type: ignore[misc]
        header = await self.relayed(f"tcp://127.0.0.1:0?{BEHIND}", CLIENT_OF_HAPROXY)
        self.assertEqual(header, told)
        unknown = ProxyHeader(2, ("::1", 1), ("::2", 2), tlvs=((0xEA, b"\x01vpce"), (0xEA, b"x")))
        self.assertEqual(
            await self.relayed(f"tcp://127.0.0.1:0?{BEHIND}", write_header(unknown)), unknown
        )

    async def test_a_client_that_no_one_knows_stays_unknown(self) -> None:
        """A balancer is never told to be the client."""
        url = f"tcp://127.0.0.1:0?{BEHIND}&proxy_local=serve"
        for told in (ProxyHeader(2), ProxyHeader(2, is_local=True), ProxyHeader(1, is_local=True)):
            header = await self.relayed(url, write_header(told))
            self.assertEqual((header.source, header.is_local), (None, told.is_local))

    async def test_a_version_that_cannot_tell_it_leaves_it_out(self) -> None:
        """Version 1 has addresses and nothing else."""
        header = await self.relayed(f"tcp://127.0.0.1:0?{BEHIND}", CLIENT_OF_HAPROXY, "v1")
        self.assertEqual((header.source, header.tlvs), (("10.77.2.2", 58482), ()))

    async def test_our_own_tls_is_told(self) -> None:
        """A session that ended here: version, cipher, names, certificate and verdict."""
        self.serving = {
            "local_cert": certificates.site(), "verify_peer": "optional",
            "cafile": certificates.cafile(), "alpn_protocols": "h2",
        }  # fmt: skip
        rows: tuple[tuple[dict[str, Any], bool, str | None], ...] = (
            ({}, False, None),
            ({"local_cert": certificates.client()}, True, "client.example"),
        )
        for files, is_verified, name in rows:
            header = await self.relayed(
                "tls://127.0.0.1:0", alpn_protocols="h2", cafile=certificates.cafile(), **files
            )
            transport: Any = self.client.transport
            self.assertEqual(header.source, ("127.0.0.1", transport.getHost().port))
            self.assertEqual((header.alpn_protocol, header.authority), ("h2", "localhost"))
            tls: Any = header.tls
            session: Any = txtransport.session_of(transport)
            self.assertEqual((tls.version, tls.cipher), (session.version, session.cipher))
            self.assertEqual((tls.has_certificate, tls.is_verified), (is_verified, is_verified))
            self.assertEqual(tls.common_name, name)

    async def test_tls_that_ended_before_us_is_not_covered_by_ours(self) -> None:
        """Where the balancer tells of the client's TLS, ours with the balancer is not told."""
        told, _ = read_header(CLIENT_OF_HAPROXY)  # type: ignore[misc]
        self.serving = {"local_cert": certificates.site()}
        middle = await self.listening(f"tls://127.0.0.1:0?{BEHIND}", self.middle, **self.serving)
        last = await self.listening(f"tcp://127.0.0.1:0?{BEHIND}", self.behind)
        accepted, made = self.middle.next(), self.behind.next()
        endpoint = txtransport.client(
            self.reactor, f"tls://localhost:{middle}", cafile=certificates.cafile()
        )
        endpoint = evolve(endpoint, header=CLIENT_OF_HAPROXY)
        self.addCleanup(self.end, await endpoint.connect(Factory.forProtocol(Recorder)))
        server: Any = await accepted
        self.assertIsNotNone(txtransport.session_of(server.transport))
        await self.connected(
            f"tcp://127.0.0.1:{last}", send_proxy="v2", proxied_for=server.transport
        )
        behind: Any = await made
        header = txtransport.proxy_header_of(behind.transport)
        self.assertEqual(header, told)

    async def test_a_header_without_tls_is_completed(self) -> None:
        """A balancer that passes TLS through cannot tell of it; we, where it ends, can."""
        self.serving = {"local_cert": certificates.site()}
        header = await self.relayed(
            f"tls://127.0.0.1:0?{BEHIND}", cafile=certificates.cafile(), send_proxy="v2",
            proxied_for=PASSED_ON,
        )  # fmt: skip
        self.assertEqual(header.source, ("192.0.2.7", 56324))
        self.assertEqual(
            (header.authority, header.tls and header.tls.version), ("localhost", "TLSv1.3")
        )
        self.assertEqual([kind for kind, _ in header.tlvs], [TLV.AUTHORITY, TLV.SSL])
