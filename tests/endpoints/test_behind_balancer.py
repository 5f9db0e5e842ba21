"""Servers behind balancers: a PROXY header before everything else, or no connection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IHandshakeListener
from twisted.internet.protocol import Factory
from twisted.internet.testing import StringTransport
from twisted.logger import LogLevel
from twisted.protocols.basic import LineReceiver
from twisted.protocols.policies import WrappingFactory
from zope.interface import implementer

import txtransport
from tests import certificates
from tests.loopback import (
    ClockedReactor,
    LoopbackTestCase,
    NegotiatingRecorders,
    Recorder,
    Recorders,
)
from tests.proxy.proxy_protocol.samples import CHECK_OF_HAPROXY, CLIENT_OF_HAPROXY, HEADER, LINE
from txtransport import proxy_header_of
from txtransport.endpoints.behind_balancer import give_client_addresses
from txtransport.errors import InvalidOption
from txtransport.proxy.proxy_protocol.header import ProxyHeader
from txtransport.proxy.proxy_protocol.reader import write_header
from txtransport.starttls.tls_record import begins_handshake
from txtransport.tls.in_memory import client_hello

CLIENT: Final = IPv4Address("TCP", "192.0.2.7", 56324)
DESTINATION: Final = IPv4Address("TCP", "198.51.100.1", 443)
SPOKEN: Final = write_header(HEADER)
LOCAL: Final = write_header(ProxyHeader(2, is_local=True))
FROM_HERE: Final = "proxy_protocol=any&proxy_from=127.0.0.1,unix"
OVER: Final = ("tcp", "tls", "unix", "tls+unix")


class Witness(Recorder):
    """Records what an application's protocol is told at its very beginning."""

    peer: Any = None
    host: Any = None
    header: ProxyHeader | None = None

    def connectionMade(self) -> None:
        transport: Any = self.transport
        self.peer, self.host = transport.getPeer(), transport.getHost()
        self.header = proxy_header_of(transport)
        super().connectionMade()


class Witnesses(Recorders):
    """A factory of witnesses.

    Attributes:
        asked_for: The addresses for which a protocol was asked for.
        stopped: How often it was stopped.
    """

    def __init__(self, kind: Callable[[], Recorder] = Witness) -> None:
        super().__init__()
        self.asked_for: list[object] = []
        self.stopped = 0
        self._kind = kind

    def buildProtocol(self, addr: object) -> Recorder:
        self.built += 1
        self.asked_for.append(addr)
        witness = self._kind()
        witness.made.addCallback(self._keep)
        return witness

    def stopFactory(self) -> None:
        self.stopped += 1


class BehindBalancerTestCase(LoopbackTestCase):
    """What the tests of this file share."""

    def setUp(self) -> None:
        self.factory = Witnesses()
        self.clocked = ClockedReactor(self.reactor)

    async def serving(self, scheme: str = "tcp", query: str = FROM_HERE, **options: Any) -> str:
        """Listen, and return the URL to connect to.

        Args:
            scheme: One of `OVER`.
            query: The options of the URL.
            **options: Further ones.
        """
        path = self.socket_path()
        place = f"//{path}" if scheme.endswith("unix") else "//127.0.0.1:0"
        if scheme.startswith("tls"):
            options["local_cert"] = certificates.site()
        endpoint = txtransport.server(self.clocked, f"{scheme}:{place}?{query}", **options)
        port = await endpoint.listen(self.factory)
        number = self.adopt(port)
        self.port = port
        return f"unix://{path}" if scheme.endswith("unix") else f"tcp://127.0.0.1:{number}"

    async def says(self, url: str, *segments: bytes) -> Recorder:
        """Connect as a balancer, and send segments, each in a turn of its own."""
        balancer = await self.connected(url)
        for segment in segments:
            balancer.say(segment)
            await self.turn()
            await self.turn()
        return balancer

    async def refused(self, url: str, *segments: bytes) -> Any:
        """Check that a connection is ended and nothing built; return the event in the log."""
        heard = self.overheard()
        telling = heard.next()
        balancer = await self.says(url, *segments)
        event = await telling
        await balancer.gone()
        self.assertEqual((self.factory.built, balancer.received), (0, b""))
        return event


class HeaderTests(BehindBalancerTestCase):
    """In the clear, where the application hears the bytes behind the header."""

    async def test_the_application_sees_the_client(self) -> None:
        """Factory, connectionMade and transport have the client's address and the one it called."""
        for header in (LINE, SPOKEN):
            for scheme in ("tcp", "unix"):
                url = await self.serving(scheme)
                made = self.factory.next()
                await self.says(url, header + b"hello")
                witness: Any = await made
                await witness.heard(b"hello")
                self.assertEqual(self.factory.asked_for[-1], CLIENT)
                self.assertEqual((witness.peer, witness.host), (CLIENT, DESTINATION))
                self.assertEqual(witness.header.source, ("192.0.2.7", 56324))
                self.assertEqual(witness.transport.getPeer(), CLIENT)
                self.assertEqual(witness.received, b"hello")

    async def test_a_header_may_come_in_any_pieces(self) -> None:
        """The protocol is built with the last byte, before a byte of the client has come."""
        url = await self.serving()
        for header in (LINE, SPOKEN):
            made = self.factory.next()
            built = self.factory.built
            *most, last = (bytes((byte,)) for byte in header)
            balancer = await self.says(url, *most)
            self.assertEqual(self.factory.built, built)
            balancer.say(last)
            witness: Any = await made
            self.assertEqual((witness.peer, witness.received), (CLIENT, b""))

    async def test_every_kind_of_address(self) -> None:
        """IPv6 and local sockets; a header without addresses leaves those of the connection."""
        url = await self.serving()
        for source, destination, peer in (
            (("2001:db8::7", 1), ("::1", 2), IPv6Address("TCP", "2001:db8::7", 1)),
            (b"/run/client", b"\0name", UNIXAddress(b"/run/client")),
            (b"", b"", UNIXAddress(None)),
            (None, None, None),
        ):
            made = self.factory.next()
            balancer: Any = await self.says(url, write_header(ProxyHeader(2, source, destination)))
            witness: Any = await made
            self.assertEqual(witness.peer, peer or balancer.transport.getHost())
            if peer is None:
                self.assertEqual(witness.host, balancer.transport.getPeer())

    async def test_no_frame_of_ours_stays_in_the_path(self) -> None:
        """When the first bytes have passed, the transport gives its events to the application."""
        for query in (FROM_HERE, f"{FROM_HERE}&proxy_local=serve"):
            for header in (SPOKEN, LOCAL):
                made = self.factory.next()
                await self.says(await self.serving(query=query), header + b"hello")
                witness: Any = await made
                await witness.heard(b"hello")
                self.assertIs(witness.transport.protocol, witness)

    async def test_the_transport_is_twisteds_own(self) -> None:
        """What Twisted's connections can do, this one can: half-close, producers, an upgrade."""
        url = await self.serving()
        made = self.factory.next()
        balancer = await self.says(url, SPOKEN)
        witness: Any = await made
        witness.transport.setTcpNoDelay(True)
        witness.transport.writeSequence([b"a", b"b"])
        witness.transport.loseWriteConnection()
        await balancer.heard(b"ab")

    async def test_the_log_names_the_client(self) -> None:
        """What happens on the connection is logged with the client's address."""
        made = self.factory.next()
        await self.says(await self.serving(), SPOKEN)
        witness: Any = await made
        self.assertRegex(witness.transport.logPrefix(), r"Witness,\d+,192\.0\.2\.7$")

    async def test_a_paused_protocol_hears_nothing(self) -> None:
        """A protocol that pauses in connectionMade gets the bytes behind the header later."""

        class Paused(Witness):
            def connectionMade(self) -> None:
                super().connectionMade()
                transport: Any = self.transport
                transport.pauseProducing()

        self.factory = Witnesses(Paused)
        url = await self.serving()
        made = self.factory.next()
        balancer = await self.says(url, SPOKEN + b"one ", b"two ")
        witness: Any = await made
        self.assertEqual(witness.received, b"")
        witness.transport.resumeProducing()
        # A pause in the same turn comes in time.
        witness.transport.pauseProducing()
        await self.turn()
        await self.turn()
        self.assertEqual(witness.received, b"")
        witness.transport.resumeProducing()
        await witness.heard(b"two ")
        self.assertEqual(witness.received, b"one two ")
        balancer.say(b"three")
        await witness.heard(b"three")

    async def test_a_closed_protocol_hears_nothing(self) -> None:
        """A protocol that closes in connectionMade is not told of the bytes behind the header."""

        class Closing(Witness):
            end = "loseConnection"

            def connectionMade(self) -> None:
                super().connectionMade()
                getattr(self.transport, self.end)()

        class Aborting(Closing):
            end = "abortConnection"

        for kind in (Closing, Aborting):
            self.factory = Witnesses(kind)
            url = await self.serving()
            made = self.factory.next()
            await self.says(url, SPOKEN + b"hello")
            witness: Any = await made
            await witness.gone()
            self.assertEqual(witness.received, b"")

    async def test_a_factory_may_want_no_connection(self) -> None:
        """If it builds no protocol for the client's address, the connection is closed."""

        class Nothing(Factory):
            def buildProtocol(self, addr: IAddress | None) -> None:
                asked.append(addr)

        asked: list[IAddress | None] = []
        for query in (FROM_HERE, f"{FROM_HERE}&max_connections=5"):
            endpoint = txtransport.server(self.reactor, f"tcp://127.0.0.1:0?{query}")
            number = self.adopt(await endpoint.listen(Nothing()))
            for header in (SPOKEN + b"x", LOCAL + b"x"):
                balancer = await self.says(f"tcp://127.0.0.1:{number}", header)
                await balancer.gone()
        self.assertEqual(
            [getattr(each, "host", "") for each in asked], ["192.0.2.7", "127.0.0.1"] * 2
        )

    async def test_a_second_header_is_the_clients(self) -> None:
        """A client that sends a header of its own behind the balancer's changes nothing."""
        url = await self.serving()
        made = self.factory.next()
        spoof = write_header(ProxyHeader(2, ("203.0.113.9", 1), ("203.0.113.9", 1)))
        await self.says(url, SPOKEN + spoof)
        witness: Any = await made
        await witness.heard(spoof)
        self.assertEqual((witness.transport.getPeer(), witness.received), (CLIENT, spoof))

    async def test_a_transport_without_a_header_has_none(self) -> None:
        """Of any other connection, and of anything else, there is no header."""
        url = await self.serving(query="")
        made = self.factory.next()
        await self.says(url)
        witness: Any = await made
        self.assertIsNone(witness.header)
        self.assertIsNone(proxy_header_of(None))

    async def test_wrappers_of_twisteds_are_looked_through(self) -> None:
        """A policy of Twisted's above the connection hides the header from no one."""
        endpoint = txtransport.server(self.reactor, f"tcp://127.0.0.1:0?{FROM_HERE}")
        number = self.adopt(await endpoint.listen(WrappingFactory(self.factory)))
        made = self.factory.next()
        await self.says(f"tcp://127.0.0.1:{number}", SPOKEN)
        witness: Any = await made
        self.assertEqual((witness.header.source, witness.peer), (("192.0.2.7", 56324), CLIENT))


class RefusalTests(BehindBalancerTestCase):
    """Connections that have no right header, or come from elsewhere."""

    async def test_a_stranger_is_not_listened_to(self) -> None:
        """From an address that is not listed, a header counts no more than no header."""
        for scheme in ("tcp", "tls"):
            url = await self.serving(scheme, "proxy_protocol=any&proxy_from=10.0.0.0/8,::1")
            for said in (LINE, SPOKEN, b"", LOCAL):
                event = await self.refused(url, said)
                self.assertEqual(event["cause"], "proxy-header")
                self.assertIn("add its address to proxy_from", str(event["error"]))
                self.assertEqual(event["peer"].host, "127.0.0.1")

    async def test_a_balancer_without_a_header_is_refused(self) -> None:
        """What begins with anything else is ended at once, and nothing of it is delivered."""
        for scheme in OVER:
            url = await self.serving(scheme)
            for said in (b"\x16\x03\x01\x00\xc8\x01", b"GET / HTTP/1.1\r\n\r\n", b"EHLO x\r\n"):
                event = await self.refused(url, said)
                self.assertIn("send-proxy-v2", event["diagnosis"].remedy)
                self.assertEqual(event["log_level"], LogLevel.info)

    async def test_a_wrong_header_is_refused(self) -> None:
        """Truncated, oversize, damaged, of the other version: none is half believed."""
        url = await self.serving()
        damaged = CLIENT_OF_HAPROXY[:-1] + b"5"
        for said in (damaged, b"PROXY TCP4 1.2.3.4\r\n", b"PROXY " + b"x" * 200,
                     SPOKEN[:14] + b"\xff\xff"):  # fmt: skip
            event = await self.refused(url, said + b"hello")
            self.assertEqual(event["cause"], "proxy-header")
        for query, said in (("v1", SPOKEN), ("v2", LINE)):
            url = await self.serving(query=f"proxy_protocol={query}&proxy_from=127.0.0.0/8")
            event = await self.refused(url, said + b"hello")
            self.assertIn("proxy_protocol=any", event["diagnosis"].remedy)

    async def test_a_header_has_a_deadline(self) -> None:
        """Silence, and a byte now and then, end after handshake_timeout: without TLS, too."""
        for scheme in OVER:
            for said in (b"", SPOKEN[:9]):
                url = await self.serving(scheme, handshake_timeout=4)
                telling = self.overheard().next()
                balancer = await self.says(url, said[:-1])
                self.clocked.clock.advance(3.9)
                balancer.say(said[-1:])
                await self.turn()
                self.assertTrue(balancer.is_connected)
                self.clocked.clock.advance(0.1)
                event = await telling
                await balancer.gone()
                self.assertEqual(
                    (event["cause"], event["error"].stage), ("timeout", "proxy-header")
                )
                self.assertIn("the PROXY header took longer than 4 s", str(event["error"]))
                self.assertEqual(self.factory.built, 0)

    async def test_an_end_within_the_header_is_logged(self) -> None:
        """One that has said nothing (a check without send-proxy) for debugging only."""
        url = await self.serving()
        heard = self.overheard()
        for said, level in ((b"", LogLevel.debug), (SPOKEN[:20], LogLevel.info)):
            telling = heard.next()
            balancer: Any = await self.says(url, said)
            balancer.transport.loseConnection()
            event = await telling
            self.assertEqual(event["log_level"], level)
            self.assertEqual(self.factory.built, 0)

    def test_a_list_that_has_everyone_is_warned_of(self) -> None:
        """Once for each endpoint: all addresses, and a local socket without rights."""
        for place, sources in (
            ("tcp://127.0.0.1:0", "0.0.0.0/0"), ("tcp://127.0.0.1:0", "::/0"),
            ("unix://@txtransport-none", "unix"),
        ):  # fmt: skip
            heard = self.overheard()
            for _ in range(2):
                txtransport.server(self.reactor, f"{place}?proxy_protocol=v2", proxy_from=sources)
            (event,) = heard.events
            self.assertEqual(event["log_level"], LogLevel.warn)
            self.assertIn("can pose as any client", event["weakness"])

    def test_a_port_of_another_kind_is_refused(self) -> None:
        """Where the client's addresses could not be given to the connections, nothing listens."""

        class OtherPort:
            is_open = True

            def stopListening(self) -> None:
                self.is_open = False

        port: Any = OtherPort()
        self.assertRaises(InvalidOption, give_client_addresses, port)
        self.assertFalse(port.is_open)

    def test_the_list_is_required(self) -> None:
        """Before anything is opened."""
        self.assertRaises(
            InvalidOption, txtransport.server, self.reactor, "tcp://127.0.0.1:0?proxy_protocol=v1"
        )


class LocalTests(BehindBalancerTestCase):
    """A balancer's own connections: health checks."""

    async def test_a_check_that_connects_builds_no_protocol(self) -> None:
        """The header is read, the connection accepted, and the application hears nothing."""
        for scheme in ("tcp", "unix"):
            url = await self.serving(scheme)
            for header in (CHECK_OF_HAPROXY, LOCAL, b"PROXY UNKNOWN\r\n"):
                balancer = await self.says(url, header)
                self.assertTrue(balancer.is_connected)
                await self.end(balancer)
        self.assertEqual((self.factory.built, self.factory.stopped), (0, 0))

    async def test_a_check_that_names_itself_builds_no_protocol(self) -> None:
        """HAProxy's checks in version 1 tell the addresses of their own connection."""
        url = await self.serving(max_per_ip=1)
        for version in (1, 2):
            for _ in range(2):
                balancer: Any = await self.connected(url)
                own, server = balancer.transport.getHost(), balancer.transport.getPeer()
                pair = (own.host, own.port), (server.host, server.port)
                balancer.say(write_header(ProxyHeader(version, *pair)))
                await self.turn()
                await self.turn()
                self.assertTrue(balancer.is_connected)
        self.assertEqual(self.factory.built, 0)
        made = self.factory.next()
        balancer.say(b"ping")
        witness: Any = await made
        self.assertEqual((witness.header.is_local, witness.header.source), (True, pair[0]))
        # A client on the balancer's machine is one.
        made = self.factory.next()
        other = write_header(ProxyHeader(1, (own.host, own.port + 1), (server.host, server.port)))
        await self.says(url, other)
        self.assertFalse((await made).header.is_local)  # type: ignore[attr-defined]

    async def test_a_check_that_asks_is_answered(self) -> None:
        """The protocol is built at the first byte, with the balancer's address."""
        url = await self.serving()
        for segments in ((LOCAL + b"ping",), (LOCAL, b"ping")):
            made = self.factory.next()
            balancer: Any = await self.says(url, *segments)
            witness: Any = await made
            await witness.heard(b"ping")
            witness.say(b"pong")
            await balancer.heard(b"pong")
            self.assertEqual(witness.peer, balancer.transport.getHost())
            self.assertEqual(witness.header, ProxyHeader(2, is_local=True))

    async def test_a_server_that_speaks_first_can_be_checked(self) -> None:
        """With proxy_local=serve the protocol is built at once."""
        url = await self.serving(query=f"{FROM_HERE}&proxy_local=serve")
        made = self.factory.next()
        balancer: Any = await self.says(url, LOCAL)
        witness: Any = await made
        self.assertEqual(witness.peer, balancer.transport.getHost())

    async def test_a_silent_check_ends(self) -> None:
        """A balancer's own connection that says nothing has handshake_timeout in all."""
        url = await self.serving(handshake_timeout=4)
        heard = self.overheard()
        balancer = await self.says(url, LOCAL[:-1])
        self.clocked.clock.advance(3)
        balancer.say(LOCAL[-1:])
        await self.turn()
        await self.turn()
        self.clocked.clock.advance(0.9)
        self.assertTrue(balancer.is_connected)
        self.clocked.clock.advance(0.2)
        await balancer.gone()
        self.assertEqual([event["log_level"] for event in heard.events], [LogLevel.debug])
        self.assertEqual(self.factory.built, 0)

    async def test_the_factory_is_stopped_when_no_connection_is_on_its_way(self) -> None:
        """A connection that was accepted before the port closed still gets its protocol."""
        for segments, rest in (((), SPOKEN), ((LOCAL,), b"ping")):
            self.factory = Witnesses()
            url = await self.serving()
            balancer = await self.says(url, *segments)
            await self.says(url, b"PRO")
            await self.stop(self.port)
            self.assertEqual(self.factory.stopped, 0)
            made = self.factory.next()
            balancer.say(rest)
            await made
            self.assertEqual(self.factory.stopped, 0)
            self.clocked.clock.advance(11)
            self.assertEqual(self.factory.stopped, 1)


@implementer(IHandshakeListener)
class Listener(Witness):
    """Wants to know when the handshake is complete."""

    def __init__(self) -> None:
        super().__init__()
        self.sessions: list[Any] = []

    def handshakeCompleted(self) -> None:
        self.sessions.append(txtransport.session_of(self.transport))


class TLSTests(BehindBalancerTestCase):
    """The header is below TLS, and below the dialogue of STARTTLS."""

    def passed_on(self) -> StringTransport:
        """The transport of a client's connection to the balancer."""
        return StringTransport(peerAddress=CLIENT, hostAddress=DESTINATION)

    async def secured(self, url: str, **options: Any) -> Recorder:
        """Connect through TLS, with a header before it."""
        tls = url.replace("tcp://127.0.0.1", "tls://localhost").replace("unix:", "tls+unix:")
        if url.startswith("unix"):
            options["peer_name"] = "localhost"
        return await self.connected(tls, cafile=certificates.cafile(), **options)

    async def test_the_application_sees_the_client(self) -> None:
        """In connectionMade, with TLS from the start and after a dialogue."""
        for scheme in ("tls", "tls+unix"):
            for starttls in ({}, {"starttls": "smtp"}, {"starttls": "postgres"}):
                for version in ("v1", "v2"):
                    url = await self.serving(scheme, **starttls)
                    made = self.factory.next()
                    client = await self.secured(
                        url, send_proxy=version, proxied_for=self.passed_on(), **starttls
                    )
                    client.say(b"hello")
                    witness: Any = await made
                    await witness.heard(b"hello")
                    self.assertEqual((witness.peer, witness.host), (CLIENT, DESTINATION))
                    self.assertEqual(self.factory.asked_for[-1], CLIENT)
                    self.assertEqual(witness.header.version, int(version[1]))
                    self.assertTrue(txtransport.session_of(witness.transport))

    async def test_the_handshake_begins_in_any_segment(self) -> None:
        """The ClientHello may come with the header, and the header in pieces."""
        hello = client_hello("localhost")
        for segments in (
            (SPOKEN + hello,),
            (SPOKEN[:12], SPOKEN[12:] + hello[:1], hello[1:]),
            (*(bytes((byte,)) for byte in LINE + hello[:9]), hello[9:]),
        ):
            url = await self.serving("tls")
            balancer = await self.says(url, *segments)
            await balancer.grown(5)
            self.assertTrue(begins_handshake(balancer.received))

    async def test_a_header_within_tls_is_data(self) -> None:
        """Only what stands before TLS is the balancer's."""
        url = await self.serving("tls")
        made = self.factory.next()
        client = await self.secured(url, send_proxy="v2", proxied_for=self.passed_on())
        client.say(LINE)
        witness: Any = await made
        await witness.heard(LINE)
        self.assertEqual(witness.transport.getPeer(), CLIENT)

    async def test_a_second_header_before_tls_is_refused(self) -> None:
        """A client's own header behind the balancer's is no TLS."""
        url = await self.serving("tls")
        for second in (LINE, SPOKEN):
            telling = self.overheard().next()
            balancer = await self.says(url, SPOKEN + second)
            event = await telling
            await balancer.gone()
            self.assertEqual((event["cause"], event["peer"]), ("plaintext-peer", CLIENT))
        self.assertEqual(self.factory.built, 0)

    async def test_a_failed_handshake_is_logged_with_the_clients_address(self) -> None:
        """Who tries again and again is found by address, and not behind the balancer's."""
        url = await self.serving("tls")
        telling = self.overheard().next()
        await self.says(url, SPOKEN + b"GET / HTTP/1.1\r\n\r\n")
        event = await telling
        self.assertEqual(event["peer"], CLIENT)
        self.assertIn("192.0.2.7:56324", event["text"])

    async def test_header_and_handshake_share_one_deadline(self) -> None:
        """A header that comes late leaves the handshake the rest of handshake_timeout."""
        url = await self.serving("tls", handshake_timeout=4)
        balancer = await self.says(url, SPOKEN[:9])
        self.clocked.clock.advance(3)
        balancer.say(SPOKEN[9:])
        await self.turn()
        await self.turn()
        self.assertTrue(balancer.is_connected)
        telling = self.overheard().next()
        self.clocked.clock.advance(1)
        event = await telling
        self.assertEqual(event["error"].stage, "handshake")
        self.assertIn("4 s", str(event["error"]))
        await balancer.gone()

    async def test_a_check_shakes_hands_and_builds_no_protocol(self) -> None:
        """TLS can be checked without the application's hearing of it; at the first byte it does."""
        self.factory = Witnesses(Listener)
        for scheme in ("tls", "tls+unix"):
            for starttls in ({}, {"starttls": "smtp"}):
                url = await self.serving(scheme, **starttls)
                built = self.factory.built
                for version in ("v1", "v2"):
                    client: Any = await self.secured(url, send_proxy=version, **starttls)
                    session: Any = txtransport.session_of(client.transport)
                    self.assertTrue(session.verified)
                    client.transport.loseConnection()
                    await client.gone()
                self.assertEqual(self.factory.built, built)
                client = await self.secured(url, send_proxy="v2", **starttls)
                made = self.factory.next()
                client.say(b"hello")
                listener: Any = await made
                await listener.heard(b"hello")
                self.assertEqual([session.version for session in listener.sessions], ["TLSv1.3"])

    async def test_a_silent_check_ends(self) -> None:
        """After the handshake, what is left of handshake_timeout remains for the first byte."""
        url = await self.serving("tls", handshake_timeout=4)
        client = await self.secured(url, send_proxy="v2")
        self.clocked.clock.advance(3.9)
        self.assertTrue(client.is_connected)
        self.clocked.clock.advance(0.2)
        await client.gone()
        self.assertEqual(self.factory.built, 0)

    async def test_the_factory_is_stopped_after_the_last_check(self) -> None:
        """A balancer's own connection may still ask for a protocol when the port is closed."""
        url = await self.serving("tls")
        client = await self.secured(url, send_proxy="v2")
        await self.stop(self.port)
        self.assertEqual(self.factory.stopped, 0)
        made = self.factory.next()
        client.say(b"hello")
        await made
        self.assertEqual(self.factory.stopped, 1)

    async def test_application_protocols_are_the_factorys(self) -> None:
        """What the factory speaks (ALPN) is asked of it for a check as well."""
        endpoint = txtransport.server(
            self.reactor, f"tls://127.0.0.1:0?{FROM_HERE}", local_cert=certificates.site()
        )
        number = self.adopt(await endpoint.listen(NegotiatingRecorders()))
        for proxied_for in (None, self.passed_on()):
            client: Any = await self.secured(
                f"tcp://127.0.0.1:{number}", send_proxy="v2", proxied_for=proxied_for,
                alpn_protocols="http/1.1",
            )  # fmt: skip
            self.assertEqual(client.transport.negotiatedProtocol, b"http/1.1")

    async def test_an_upgrade_in_mid_conversation(self) -> None:
        """startTLS() of an application behind a balancer works, and the addresses stay."""

        class Upgrading(txtransport.StartTLSMixin, LineReceiver):
            def lineReceived(self, line: bytes) -> None:
                if line == b"STARTTLS":
                    upgrade = self.startTLS({"local_cert": certificates.site()}, reply=b"go\r\n")
                    upgrade.addCallback(self.secured).addErrback(upgraded.errback)

            def secured(self, session: object) -> None:
                transport: Any = self.transport
                upgraded.callback((transport.getPeer(), proxy_header_of(transport), session))

        upgraded: Deferred[Any] = Deferred()
        endpoint = txtransport.server(self.reactor, f"tcp://127.0.0.1:0?{FROM_HERE}")
        number = self.adopt(await endpoint.listen(Factory.forProtocol(Upgrading)))

        def dialogue(wire: Any) -> Any:
            wire.ask(b"STARTTLS\r\n")
            yield from wire.line()
            return b""

        await self.secured(
            f"tcp://127.0.0.1:{number}", send_proxy="v2", proxied_for=self.passed_on(),
            starttls=dialogue,
        )  # fmt: skip
        peer, header, session = await upgraded
        self.assertEqual((peer, header.source), (CLIENT, ("192.0.2.7", 56324)))
        self.assertIsNotNone(session)


class LimitTests(BehindBalancerTestCase):
    """Which connections count, and for whom."""

    def header(self, host: str, port: int = 1) -> bytes:
        """A header for a client's address."""
        destination = ("::1", 2) if ":" in host else ("198.51.100.1", 2)
        return write_header(ProxyHeader(2, (host, port), destination))

    async def test_max_per_ip_counts_clients_and_not_the_balancer(self) -> None:
        """Two clients have two connections each, though all come from the balancer."""
        for scheme in ("tcp", "unix"):
            url = await self.serving(scheme, max_per_ip=2)
            for host in ("192.0.2.1", "192.0.2.2", "2001:db8::1"):
                for _ in range(2):
                    made = self.factory.next()
                    last = await self.says(url, self.header(host))
                    await made
                third = await self.says(url, self.header(host))
                await third.gone()
                await self.end(last)
                await self.turn()
                await self.turn()
                made = self.factory.next()
                await self.says(url, self.header(host))
                await made

    async def test_max_per_ip_counts_an_ipv6_network_as_one_client(self) -> None:
        """As it does without a balancer."""
        url = await self.serving(max_per_ip=1)
        made = self.factory.next()
        await self.says(url, self.header("2001:db8::1"))
        await made
        other = await self.says(url, self.header("2001:db8::ffff:2"))
        await other.gone()

    async def test_checks_do_not_count_for_max_per_ip(self) -> None:
        """A balancer may check as often as it likes, whatever a client may do."""
        url = await self.serving(max_per_ip=1, query=f"{FROM_HERE}&proxy_local=serve")
        for header in (LOCAL, LOCAL, write_header(ProxyHeader(2)), write_header(ProxyHeader(2))):
            made = self.factory.next()
            await self.says(url, header)
            await made

    async def test_max_connections_counts_from_the_accept(self) -> None:
        """A connection whose header is still awaited has its place; the next one waits."""
        url = await self.serving(max_connections=1, handshake_timeout=4)
        silent = await self.says(url, SPOKEN[:9])
        made = self.factory.next()
        await self.says(url, SPOKEN)
        await self.turn()
        self.assertEqual(self.factory.built, 0)
        self.clocked.clock.advance(4)
        await silent.gone()
        witness: Any = await made
        self.assertEqual(witness.peer, CLIENT)

    async def test_limits_and_tls(self) -> None:
        """The client's address counts before the handshake begins."""
        url = await self.serving("tls", max_per_ip=1, max_connections=9)
        first = await self.says(url, self.header("192.0.2.1"))
        second = await self.says(url, self.header("192.0.2.1") + client_hello("localhost"))
        await second.gone()
        self.assertEqual((second.received, first.is_connected), (b"", True))
