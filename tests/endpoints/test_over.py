"""``over=``: TLS, deadlines and limits on an endpoint of any kind."""

from __future__ import annotations

import socket
from typing import Any, Final
from urllib.parse import quote

from attrs import define, field
from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.endpoints import (
    StandardIOEndpoint,
    TCP4ClientEndpoint,
    TCP4ServerEndpoint,
    clientFromString,
    serverFromString,
)
from twisted.internet.error import CannotListenError, ConnectError, ConnectionAborted
from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    IListeningPort,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
)
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

import txtransport
from tests import certificates
from tests.loopback import LoopbackTestCase, Recorder, Recorders
from tests.memory import End, carry
from txtransport import InvalidOption, InvalidTransport, TransportTimeout, TransportURL
from txtransport.endpoints.network_errors import NetworkError
from txtransport.errors import HandshakeFailed

NAME: Final = "localhost"
"""Whom the certificate of the tests is for."""


class Pipe:
    """A transport with as few methods as standard input and output has, and fewer."""

    def __init__(self) -> None:
        self.written = b""
        self.is_closed = False
        self.protocol: Any = None

    def start(self, protocol: Any) -> None:
        """Connect a protocol to this transport."""
        self.protocol = protocol
        protocol.makeConnection(self)

    def write(self, data: bytes) -> None:
        self.written += data

    def loseConnection(self) -> None:
        # As for standard output whose reader has stopped: nothing follows.
        self.is_closed = True


@implementer(IStreamClientEndpoint, IStreamServerEndpoint)
@define(eq=False)
class Elsewhere:
    """An endpoint in memory; the test says when it connects.

    Attributes:
        result: What `connect` and `listen` return.
        factory: What was given to them.
        is_cancelled: Whether the Deferred was cancelled.
    """

    result: Any = None
    factory: Any = None
    is_cancelled: bool = False
    _deferred: Deferred[Any] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._deferred = Deferred(lambda _: self._cancelled())

    def _cancelled(self) -> None:
        self.is_cancelled = True

    def connect(self, protocolFactory: Any) -> Any:
        self.factory = protocolFactory
        if isinstance(self.result, Exception):
            raise self.result
        return self._deferred if self.result is None else self.result

    listen = connect

    def open(self, transport: Any) -> Any:
        """Connect a transport; fire with what the factory has built."""
        protocol = self.factory.buildProtocol(IPv4Address("TCP", "192.0.2.1", 9))
        transport.start(protocol)
        if self.result is None:
            self._deferred.callback(protocol)
        return protocol


class Counted(Recorders):
    """A factory that counts how often it was started and stopped."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[str] = []

    def startFactory(self) -> None:
        self.events.append("start")

    def stopFactory(self) -> None:
        self.events.append("stop")


@implementer(IListeningPort)
class Port:
    """A port of another kind that cannot pause."""

    is_stopped = False

    def stopListening(self) -> None:
        self.is_stopped = True

    def startListening(self) -> None: ...

    def getHost(self) -> IPv4Address:
        return IPv4Address("TCP", "192.0.2.1", 9)


class PausingPort(Port):
    """A port that can pause."""

    is_paused = False

    def pauseProducing(self) -> None:
        self.is_paused = True

    def resumeProducing(self) -> None:
        self.is_paused = False


class LocalPort(Port):
    """A port of a local socket."""

    def getHost(self) -> Any:
        return UNIXAddress("/run/x")


def session(protocol: Any) -> txtransport.Session:
    """The session of a protocol that is connected under TLS."""
    found = txtransport.session_of(protocol.transport)
    assert found is not None
    return found


class OverTestCase(SynchronousTestCase):
    """A clock, and endpoints in memory."""

    clock: Any

    def setUp(self) -> None:
        self.clock = Clock()

    def client(self, url: str = f"tls://{NAME}", **options: Any) -> Any:
        """A client endpoint that trusts the authority of the tests."""
        if url.startswith("tls"):
            options.setdefault("cafile", certificates.cafile())
        return txtransport.client(self.clock, url, **options)

    def server(self, url: str = f"tls://{NAME}", **options: Any) -> Any:
        """A server endpoint with the certificate of the tests."""
        if url.startswith("tls"):
            options.setdefault("local_cert", certificates.site())
        return txtransport.server(self.clock, url, **options)

    def pair(self, here: Elsewhere, there: Elsewhere) -> tuple[End, End]:
        """Connect two endpoints to each other, and move the bytes."""
        ends = End(self.clock), End(self.clock)
        there.open(ends[1])
        here.open(ends[0])
        self.move(ends)
        return ends

    def move(self, ends: tuple[End, End]) -> None:
        """Move what was written, and let what waits for the next turn happen."""
        for _ in range(4):
            carry(*ends)
            self.clock.advance(0)

    def refused(self, option: str, side: str, url: str, **options: Any) -> str:
        """The text of the error about an option."""
        error = self.assertRaises(InvalidOption, getattr(self, side), url, **options)
        self.assertEqual(error.option, option)
        return str(error)


class ConversationTests(OverTestCase):
    """What ours promise holds over any other endpoint."""

    def test_connected_means_verified(self) -> None:
        """Both sides build their protocols when the peer is verified, and bytes go through."""
        here, there, theirs = Elsewhere(), Elsewhere(result=Deferred()), Recorders()
        self.server(over=there).listen(theirs)
        connecting = self.client(over=here).connect(Recorders())
        self.assertNoResult(connecting)
        ends = self.pair(here, there)
        ours = self.successResultOf(connecting)
        self.assertIs(session(ours).verified, True)
        ours.transport.write(b"question")
        self.move(ends)
        served = theirs.all[0]
        self.assertEqual(served.received, b"question")
        ours.transport.loseConnection()
        self.move(ends)
        self.assertFalse(served.is_connected or ours.is_connected)

    def test_the_host_is_the_name_to_verify(self) -> None:
        """Wherever the endpoint leads, the certificate must be for the URL's host."""
        here, there = Elsewhere(), Elsewhere(result=Deferred())
        self.server(over=there).listen(Recorders())
        connecting = self.client("tls://bank.example", over=here).connect(Recorders())
        self.pair(here, there)
        error = self.failureResultOf(connecting, HandshakeFailed).value
        self.assertEqual(error.cause, "wrong-name")
        self.assertTrue(str(error).startswith("tls://bank.example: "), error)

    def test_starttls_needs_no_port(self) -> None:
        """The dialogue runs over the other endpoint, and the URL has no port."""
        here, there, theirs = Elsewhere(), Elsewhere(result=Deferred()), Recorders()
        url = f"tls://{NAME}?starttls=imap"
        self.server(url, over=there).listen(theirs)
        connecting = self.client(url, over=here).connect(Recorders())
        self.pair(here, there)
        self.assertEqual(session(self.successResultOf(connecting)).version, "TLSv1.3")

    def test_without_tls(self) -> None:
        """tcp:// over an endpoint: the deadline and the limits, and no TLS."""
        here, there, theirs = Elsewhere(), Elsewhere(result=Deferred()), Recorders()
        self.server("tcp://x", over=there, max_connections=1, overflow="close").listen(theirs)
        connecting = self.client("tcp://x", over=here).connect(Recorders())
        ends = self.pair(here, there)
        self.successResultOf(connecting).transport.write(b"hello")
        self.move(ends)
        self.assertEqual(theirs.all[0].received, b"hello")
        self.assertIsNone(there.factory.buildProtocol(None))

    def test_nothing_is_looked_up_or_opened(self) -> None:
        """The host leads nowhere: no name is resolved, no socket opened."""
        reactor, here = MemoryReactorClock(), Elsewhere()
        txtransport.client(reactor, "tls://bank.example:443", over=here).connect(Recorders())
        self.assertEqual(reactor.tcpClients, [])
        self.assertIsNotNone(here.factory)

    def test_sessions_stay_with_their_endpoint(self) -> None:
        """Two endpoints may stand for two persons (Tor), so no session joins them."""

        def is_resumed(endpoint: Any, here: Elsewhere) -> bool | None:
            there = Elsewhere(result=Deferred())
            server.listen(Recorders())
            there.factory = listening.factory
            connecting = endpoint.connect(Recorders())
            ends = self.pair(here, there)
            ours = self.successResultOf(connecting)
            resumed = session(ours).resumed
            ours.transport.loseConnection()
            self.move(ends)
            return resumed

        listening = Elsewhere(result=Deferred())
        server = self.server(over=listening)

        one, other = Again(), Again()
        first = self.client(over=one)
        self.assertEqual([is_resumed(first, one), is_resumed(first, one)], [False, True])
        self.assertIs(is_resumed(self.client(over=other), other), False)


class Again(Elsewhere):
    """An endpoint that can be connected more than once."""

    def connect(self, protocolFactory: Any) -> Any:
        self._deferred = Deferred()
        return super().connect(protocolFactory)


class RefusalTests(OverTestCase):
    """What makes no sense over an endpoint is an error before anything is opened."""

    def test_options_of_a_socket_are_refused(self) -> None:
        """A socket that is not ours has no options of ours; each is named."""
        for side, options in (
            ("client", {"bindto": "192.0.2.7", "so_keepalive": True, "so_linger": 1,
                        "so_rcvbuf": 4096, "so_sndbuf": 4096, "tcp_nodelay": False}),
            ("server", {"backlog": 5, "ipv6_v6only": True, "so_reuseport": True,
                        "so_keepalive": False, "so_rcvbuf": 4096, "tcp_nodelay": "no"}),
        ):  # fmt: skip
            for name, value in options.items():
                text = self.refused(name, side, "tls://h", over=Elsewhere(), **{name: value})
                self.assertIn(f"tls://h: {name} belongs to a socket of our own", text)

    def test_standard_input_has_no_balancer(self) -> None:
        """What comes there is one connection, whose other end has no address to look up."""
        options = {"proxy_protocol": "any", "proxy_from": "unix"}
        text = self.refused("proxy_protocol", "server", "tls://h", over="stdio:", **options)
        self.assertIn("standard input is a connection", text)

    def test_a_proxy_belongs_to_a_socket_of_ours(self) -> None:
        """Two ways to the peer, of which one would not be taken."""
        self.refused(
            "proxy", "client", "tls://h:1", over=Elsewhere(), proxy="socks5h://127.0.0.1:1"
        )

    def test_the_default_of_tcp_nodelay_may_be_written(self) -> None:
        """tcp_nodelay=yes is what holds anyway."""
        self.client(over=Elsewhere(), tcp_nodelay="yes")

    def test_a_local_socket_is_no_name(self) -> None:
        """unix:///path over an endpoint would have two places."""
        for url in ("unix:///run/x", "tls+unix:///run/x"):
            text = self.refused("over", "client", url, over=Elsewhere())
            self.assertIn("has no option over; it belongs to tcp, tls", text)

    def test_rules_about_hosts_are_refused(self) -> None:
        """allow_hosts and public_only could not be kept, so they are no false comfort."""
        for rules in ({"allow_hosts": [NAME]}, {"public_only": True}):
            text = self.refused("over", "client", "tls://h", over=Elsewhere(), **rules)
            self.assertIn("leaves that to another endpoint", text)

    def test_a_star_is_no_peer(self) -> None:
        """A client needs a name to verify."""
        self.assertRaises(InvalidTransport, self.client, "tls://*", over=Elsewhere())

    def test_the_endpoint_must_be_of_the_side(self) -> None:
        """An endpoint for servers connects nothing, and the message says what is needed."""
        clock: Any = self.clock
        listener = TCP4ServerEndpoint(clock, 80)
        text = self.refused("over", "client", "tls://h", over=listener)
        self.assertIn("takes an IStreamClientEndpoint, and TCP4ServerEndpoint is none", text)
        dialler = TCP4ClientEndpoint(clock, "192.0.2.7", 80)
        text = self.refused("over", "server", "tls://h", over=dialler)
        self.assertIn("takes an IStreamServerEndpoint", text)

    def test_over_is_not_for_strangers(self) -> None:
        """A URL from outside does not choose an endpoint of this machine."""
        error = self.assertRaises(
            InvalidOption, TransportURL.parse, "tls://h:1?over=stdio%3A", trusted=False
        )
        self.assertEqual(error.option, "over")

    def test_no_description_is_shown(self) -> None:
        """A description may hold secrets of any plugin, so nothing of it is shown."""
        url = TransportURL.parse("tls://h?over=tor%3Ahunter2%3A80")
        for shown in (repr(url), url.redacted(), repr(self.client(over="tcp:hunter2:80"))):
            self.assertNotIn("hunter2", shown)
        self.assertIn("hunter2", str(url))
        for text in ("tcp:h:80:password=hunter2", "tcp:h:80:token=hunter2"):
            self.assertNotIn("hunter2", self.refused("over", "client", "tls://h", over=text))
        error = self.assertRaises(
            InvalidTransport, TransportURL.parse, "tls://h?over=tor%3Ax&hunter2=1"
        )
        self.assertNotIn("hunter2", str(error))


class DescriptionTests(OverTestCase):
    """``over=`` as text is one of Twisted's endpoint strings."""

    def setUp(self) -> None:
        self.clock = MemoryReactorClock()

    def test_a_description_is_made_an_endpoint(self) -> None:
        """tcp:192.0.2.7:1080 is connected to, and the name of the URL is verified."""
        self.client("tls://bank.example", over="tcp:192.0.2.7:1080").connect(Recorders())
        self.assertEqual(self.clock.tcpClients[0][:2], ("192.0.2.7", 1080))

    def test_it_may_stand_in_an_endpoint_string(self) -> None:
        """transport:tls://host:443?over=DESCRIPTION, percent-encoded."""
        description = quote("tcp:192.0.2.7:1080", safe="")
        text = f"transport:tls://bank.example:443?over={description}"
        clientFromString(self.clock, text).connect(Recorders())
        self.assertEqual(self.clock.tcpClients[0][:2], ("192.0.2.7", 1080))
        cert = quote(certificates.site(), safe="/")
        text = f"transport:tls://*?local_cert={cert}&over={quote('tcp:8443', safe='')}"
        serverFromString(self.clock, text).listen(Recorders())
        self.assertEqual(self.clock.tcpServers[0][0], 8443)

    def test_a_raw_colon_is_refused_without_showing_what_it_cut_off(self) -> None:
        """Without percent-encoding Twisted takes the string apart; nothing is guessed."""
        for text in (
            "transport:tls://h:443?over=tcp:192.0.2.7:hunter2",
            "transport:tls://h?over=tcp:hunter2:80",
        ):
            error = self.assertRaises(InvalidTransport, clientFromString, self.clock, text)
            self.assertIn("%3A", str(error))
            self.assertNotIn("hunter2", str(error))

    def test_endpoints_may_be_nested(self) -> None:
        """A description may be a URL of ours, which has an endpoint of its own."""
        inner = f"transport:tls://proxy.example?over={quote('tcp:192.0.2.7:1080', safe='')}"
        self.client("tls://bank.example", over=inner).connect(Recorders())
        self.assertEqual(self.clock.tcpClients[0][:2], ("192.0.2.7", 1080))

    def test_what_describes_nothing_is_refused_with_the_reason(self) -> None:
        """The parser's own words, in front of them where they belong."""
        for text, why in (
            ("nonesuch:x", "ValueError: Unknown endpoint type: 'nonesuch'"),
            ("tcp:h:80:80:80:80", "TypeError"),
            ("tcp:h:eighty", "ValueError: invalid literal"),
            ("transport:nonesuch://h", "InvalidTransport: 'nonesuch://h': there is no transport"),
        ):
            said = self.refused("over", "client", "tls://h", over=text)
            self.assertTrue(said.startswith("tls://h: over= describes no endpoint: "), said)
            self.assertIn(why, said)


class BadEndpointTests(OverTestCase):
    """An endpoint that misbehaves ends in an error of ours, within the deadline."""

    def test_an_endpoint_that_never_answers_is_given_up(self) -> None:
        """The deadline names the stage, and what connects later gets nothing."""
        here, factory = Elsewhere(), Counted()
        connecting = self.client(over=here, timeout=5).connect(factory)
        self.clock.advance(5)
        error = self.failureResultOf(connecting, TransportTimeout).value
        self.assertEqual((error.stage, error.seconds), ("connect", 5))
        self.assertTrue(here.is_cancelled)
        self.assertIsNone(here.factory.buildProtocol(None))
        self.assertEqual(factory.events, ["start", "stop"])

    def test_a_connection_that_comes_too_late_is_aborted(self) -> None:
        """The protocol was built before the deadline, and the transport comes after it."""
        for kind in (lambda: End(self.clock), Pipe):
            here, factory = Elsewhere(result=Deferred(lambda _: None)), Counted()
            connecting = self.client("tcp://h", over=here, timeout=5).connect(factory)
            protocol = here.factory.buildProtocol(None)
            self.clock.advance(5)
            self.failureResultOf(connecting, TransportTimeout)
            transport: Any = kind()
            transport.start(protocol)
            protocol.dataReceived(b"late")
            self.clock.advance(0)
            is_ended = transport.is_closed if isinstance(transport, Pipe) else transport.is_over
            self.assertTrue(is_ended)
            self.assertEqual(factory.all, [])
            self.assertEqual(factory.events, ["start", "stop"])

    def test_success_without_a_connection_is_a_failure(self) -> None:
        """An endpoint that fires and has connected nothing is not waited for."""
        connecting = self.client(over=Elsewhere(result=succeed(None))).connect(Recorders())
        error = self.failureResultOf(connecting, NetworkError).value
        self.assertIsInstance(error, ConnectError)
        self.assertIn("connected nothing", str(error))

    def test_foreign_errors_become_ours(self) -> None:
        """Whatever an endpoint fails with is a NetworkError and a ConnectError as well."""
        for broken in (RuntimeError("no circuit"), fail(RuntimeError("no circuit"))):
            connecting = self.client(over=Elsewhere(result=broken)).connect(Recorders())
            error = self.failureResultOf(connecting, NetworkError).value
            self.assertIsInstance(error, ConnectError)
            self.assertIn(f"tls://{NAME}: it failed with RuntimeError: no circuit", str(error))
            self.assertIsInstance(error.__cause__, RuntimeError)

    def test_errors_of_the_network_keep_their_diagnosis(self) -> None:
        """An endpoint whose address refuses is told as if it were ours."""
        refused = fail(ConnectError(string="x"))
        connecting = self.client(over=Elsewhere(result=refused)).connect(Recorders())
        self.assertIsInstance(self.failureResultOf(connecting).value, NetworkError)

    def test_a_second_protocol_is_refused(self) -> None:
        """One attempt has one connection, whatever an endpoint asks for."""
        here = Elsewhere()
        self.client(over=here).connect(Recorders())
        here.open(End(self.clock))
        self.assertIsNone(here.factory.buildProtocol(None))

    def test_an_end_before_the_beginning_is_an_error(self) -> None:
        """A protocol that hears of the end, and of no beginning."""
        here = Elsewhere(result=Deferred())
        connecting = self.client(over=here).connect(Recorders())
        here.factory.buildProtocol(None).connectionLost(None)
        self.assertIsInstance(self.failureResultOf(connecting).value, NetworkError)

    def test_a_transport_that_cannot_be_aborted_does_not_hold_the_deadline_up(self) -> None:
        """A silent peer behind a pipe: the error comes in time, and nothing after it."""
        here, pipe = Elsewhere(), Pipe()
        connecting = self.client(over=here, timeout=5).connect(Recorders())
        here.open(pipe)
        self.assertNoResult(connecting)
        self.clock.advance(5)
        self.clock.advance(0)
        self.assertEqual(
            self.failureResultOf(connecting, TransportTimeout).value.stage, "handshake"
        )
        self.assertTrue(pipe.is_closed)
        written = len(pipe.written)
        pipe.protocol.dataReceived(b"\x15\x03\x03\x00\x02\x02\x28")
        pipe.protocol.connectionLost(Failure(ConnectionAborted()))
        self.assertEqual(len(pipe.written), written)

    def test_a_server_s_deadline_holds_as_well(self) -> None:
        """A silent client behind a pipe is let go, and the factory hears nothing."""
        there, pipe, factory = Elsewhere(result=Deferred()), Pipe(), Counted()
        self.server(over=there, handshake_timeout=3).listen(factory)
        there.open(pipe)
        self.clock.advance(3)
        self.clock.advance(0)
        self.assertTrue(pipe.is_closed)
        self.assertEqual(factory.all, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_an_endpoint_that_cannot_listen(self) -> None:
        """Errors of a foreign listen() are ours and Twisted's CannotListenError."""
        for broken in (RuntimeError("no unit"), fail(RuntimeError("no unit"))):
            listening = self.server(over=Elsewhere(result=broken)).listen(Recorders())
            error = self.failureResultOf(listening, CannotListenError).value
            self.assertIsInstance(error, NetworkError)
            self.assertIn("RuntimeError: no unit", f"{error} {error.evidence}")


class FactoryTests(OverTestCase):
    """The application's factory is started before it is asked, and stopped at the end."""

    def test_an_endpoint_that_starts_no_factory(self) -> None:
        """As Twisted's StandardIOEndpoint: once for the connection."""
        here, there = Elsewhere(), Elsewhere(result=Deferred())
        ours, theirs = Counted(), Counted()
        self.server("tcp://h", over=there).listen(theirs)
        self.client("tcp://h", over=here).connect(ours)
        ends = self.pair(here, there)
        self.assertEqual((ours.events, theirs.events), (["start"], ["start"]))
        ends[0].lose()
        ends[1].lose()
        self.assertEqual((ours.events, theirs.events), (["start", "stop"], ["start", "stop"]))

    def test_an_endpoint_that_starts_the_factory(self) -> None:
        """As Twisted's ports: from the listening to its end."""
        there, theirs = Elsewhere(result=Deferred()), Counted()
        self.server("tcp://h", over=there).listen(theirs)
        there.factory.doStart()
        there.open(End(self.clock))
        self.assertEqual(theirs.events, ["start"])
        there.factory.doStop()
        self.assertEqual(theirs.events, ["start", "stop"])

    def test_a_factory_that_builds_nothing(self) -> None:
        """A server's factory may refuse, and a client's fails the attempt."""

        class Refusing(Counted):
            def buildProtocol(self, addr: object) -> Any:
                return None

        there, theirs = Elsewhere(result=Deferred()), Refusing()
        self.server("tcp://h", over=there).listen(theirs)
        self.assertIsNone(there.factory.buildProtocol(None))
        self.assertEqual(theirs.events, ["start", "stop"])


class PausingTests(OverTestCase):
    """``overflow=pause`` needs a port that can pause accepting."""

    def test_standard_input_is_refused_at_once(self) -> None:
        """Its pause would stop the reading of the connection; the message says close."""
        clock: Any = self.clock
        text = self.refused(
            "overflow", "server", "tls://h", over=StandardIOEndpoint(clock), max_connections=5
        )
        self.assertIn("write overflow=close", text)
        self.refused("overflow", "server", "tls://h", over="stdio:", max_connections=5)
        self.server(over=StandardIOEndpoint(clock), max_connections=5, overflow="close")
        self.server(over=StandardIOEndpoint(clock))

    def test_a_port_that_cannot_pause_is_stopped(self) -> None:
        """What the endpoint returns is known late: it is stopped, and serves nobody."""
        there, port, theirs = Elsewhere(), Port(), Recorders()
        there.result = Deferred()
        listening = self.server("tcp://h", over=there, max_connections=5).listen(theirs)
        end = End(self.clock)
        there.open(end)
        there.result.callback(port)
        error = self.failureResultOf(listening, InvalidOption).value
        self.assertEqual(error.option, "overflow")
        self.assertIn("tcp://h: overflow=pause cannot be: Port cannot pause", str(error))
        self.clock.advance(0)
        self.assertTrue(port.is_stopped and end.is_over)
        self.assertIsNone(there.factory.buildProtocol(None))

    def test_a_port_that_can_pause_is_paused(self) -> None:
        """When as many connections are open as may be, the port accepts no more."""
        there, port = Elsewhere(), PausingPort()
        there.result = Deferred()
        listening = self.server("tcp://h", over=there, max_connections=1).listen(Recorders())
        there.result.callback(port)
        self.assertIs(self.successResultOf(listening), port)
        end = End(self.clock)
        there.open(end)
        self.assertTrue(port.is_paused)
        end.lose()
        self.assertFalse(port.is_paused)

    def test_clients_without_addresses_are_not_counted_as_one(self) -> None:
        """``max_per_ip`` would let so many in as may come from one address: all are from none."""
        self.refused("max_per_ip", "server", "tcp://h", over="stdio:", max_per_ip=2)
        there, port, theirs = Elsewhere(), LocalPort(), Recorders()
        there.result = Deferred()
        listening = self.server("tcp://h", over=there, max_per_ip=2).listen(theirs)
        there.result.callback(port)
        error = self.failureResultOf(listening, InvalidOption).value
        self.assertEqual(error.option, "max_per_ip")
        self.assertTrue(port.is_stopped)
        self.assertIsNone(there.factory.buildProtocol(None))

    def test_close_needs_no_port(self) -> None:
        """With overflow=close any endpoint will do."""
        there = Elsewhere(result=succeed(object()))
        options = {"max_connections": 5, "overflow": "close"}
        port = self.successResultOf(self.server("tcp://h", over=there, **options).listen(Factory()))
        self.assertTrue(IListeningPort.providedBy(port))
        self.assertIsNone(port.stopListening())
        self.assertRaises(CannotListenError, port.startListening)


class CompletedTransportTests(OverTestCase):
    """A transport that lacks methods has them for the application."""

    def connected(self, factory: Any = None) -> tuple[Any, Pipe]:
        """An application's protocol over a pipe, in the clear."""
        here, pipe = Elsewhere(), Pipe()
        connecting = self.client("tcp://h", over=here).connect(factory or Recorders())
        here.open(pipe)
        return self.successResultOf(connecting), pipe

    def test_a_pause_keeps_what_comes(self) -> None:
        """Bytes that come meanwhile are delivered afterwards, in their order."""
        ours, pipe = self.connected()
        pipe.protocol.dataReceived(b"1")
        ours.transport.pauseProducing()
        pipe.protocol.dataReceived(b"2")
        pipe.protocol.dataReceived(b"3")
        self.assertEqual(ours.received, b"1")
        ours.transport.resumeProducing()
        self.assertEqual(ours.received, b"123")

    def test_what_is_kept_is_bounded(self) -> None:
        """A peer that floods a paused connection loses it."""
        ours, pipe = self.connected()
        ours.transport.pauseProducing()
        for _ in range(5):
            pipe.protocol.dataReceived(bytes(2**16))
        self.clock.advance(0)
        self.assertFalse(ours.is_connected)
        self.assertEqual(ours.received, b"")

    def test_an_abort_is_over_in_the_next_turn(self) -> None:
        """The application hears of the end, though the pipe's reader has stopped."""
        ours, pipe = self.connected()
        ours.transport.abortConnection()
        ours.transport.write(b"nothing")
        self.assertTrue(ours.is_connected)
        self.clock.advance(0)
        self.assertFalse(ours.is_connected)
        reason = self.successResultOf(ours.lost)[0]
        self.assertIsInstance(reason.value, ConnectionAborted)
        self.assertEqual(pipe.written, b"")
        ours.transport.abortConnection()

    def test_the_end_comes_behind_the_last_bytes(self) -> None:
        """A paused application still gets what came before the end."""
        ours, pipe = self.connected()
        ours.transport.pauseProducing()
        pipe.protocol.dataReceived(b"last")
        pipe.protocol.connectionLost(None)
        self.assertEqual((ours.received, ours.is_connected), (b"last", False))

    def test_addresses_are_those_of_a_pipe(self) -> None:
        """A transport that knows no address is a pipe."""
        ours, _ = self.connected()
        for address in (ours.transport.getPeer(), ours.transport.getHost()):
            self.assertEqual(type(address).__name__, "PipeAddress")

    def test_producers(self) -> None:
        """A push producer writes on; one that waits to be asked would wait for ever."""
        ours, pipe = self.connected()
        ours.transport.registerProducer(object(), True)
        ours.transport.writeSequence([b"a", b"b"])
        ours.transport.unregisterProducer()
        self.assertEqual(pipe.written, b"ab")
        self.assertRaises(RuntimeError, ours.transport.registerProducer, object(), False)
        ours.transport.stopProducing()
        self.assertTrue(pipe.is_closed and ours.transport.disconnecting)

    def test_what_belongs_to_tcp_does_nothing(self) -> None:
        """Twisted's web server sets TCP_NODELAY on any transport."""
        ours, _ = self.connected()
        ours.transport.setTcpNoDelay(True)
        ours.transport.setTcpKeepAlive(True)
        self.assertEqual((ours.transport.getTcpNoDelay(), ours.transport.getTcpKeepAlive()),
                         (False, False))  # fmt: skip

    def test_half_a_close_is_told(self) -> None:
        """A protocol that closes by halves hears of the halves."""
        halves: list[str] = []

        @implementer(IHalfCloseableProtocol)
        class Halves(Recorder):
            def readConnectionLost(self) -> None:
                halves.append("read")

            def writeConnectionLost(self) -> None:
                halves.append("write")

        _, pipe = self.connected(Factory.forProtocol(Halves))
        self.assertTrue(IHalfCloseableProtocol.providedBy(pipe.protocol))
        pipe.protocol.readConnectionLost()
        pipe.protocol.writeConnectionLost()
        self.assertEqual(halves, ["read", "write"])


@implementer(IStreamClientEndpoint, IStreamServerEndpoint)
class SocketEndpoint:
    """An endpoint of a program's own for a socket that is connected already."""

    def __init__(self, reactor: Any, connected: socket.socket) -> None:
        self.reactor = reactor
        self.socket = connected

    def connect(self, protocolFactory: Any) -> Deferred[Any]:
        self.socket.setblocking(False)
        self.reactor.adoptStreamConnection(
            self.socket.fileno(), self.socket.family, protocolFactory
        )
        self.socket.close()
        return succeed(None)

    listen = connect


class LoopbackTests(LoopbackTestCase):
    """Over Twisted's own endpoints and over sockets, in a reactor."""

    async def exchange(self, ours: Recorder, served: Recorder) -> None:
        """Each side hears what the other says, and of the end."""
        ours.say(b"question")
        await served.heard(b"question")
        served.say(b"answer")
        await ours.heard(b"answer")
        self.assertIsNotNone(txtransport.session_of(ours.transport))
        assert ours.transport is not None
        ours.transport.loseConnection()
        await served.lost

    async def test_twisted_s_own_endpoints(self) -> None:
        """TCP4ServerEndpoint and TCP4ClientEndpoint, the socket with TCP_NODELAY."""
        factory = Recorders()
        serving = factory.next()
        there = TCP4ServerEndpoint(self.reactor, 0, interface="127.0.0.1")
        number = await self.listening(
            f"tls://{NAME}", factory, over=there, local_cert=certificates.site(), max_connections=9
        )
        here = TCP4ClientEndpoint(self.reactor, "127.0.0.1", number)
        ours = await self.connected(f"tls://{NAME}", over=here, cafile=certificates.cafile())
        served = await serving
        for each in (ours, served):
            plain = each.transport.transport  # type: ignore[union-attr]
            self.assertTrue(plain.getTcpNoDelay())
        await self.exchange(ours, served)

    async def test_a_balancer_s_header(self) -> None:
        """The client's address is known over another endpoint's port as well."""
        factory = Recorders()
        serving = factory.next()
        there = TCP4ServerEndpoint(self.reactor, 0, interface="127.0.0.1")
        number = await self.listening(
            "tcp://x", factory, over=there, proxy_protocol="any", proxy_from="127.0.0.1"
        )
        ours = await self.connected(f"tcp://127.0.0.1:{number}")
        ours.say(b"PROXY TCP4 192.0.2.9 192.0.2.10 1 2\r\nhello")
        served = await serving
        await served.heard(b"hello")
        plain: Any = served.transport
        self.assertEqual(plain.getPeer().host, "192.0.2.9")

    async def test_a_socketpair(self) -> None:
        """Both sides of TLS over two connected sockets."""
        one, other = socket.socketpair()
        factory = Recorders()
        serving = factory.next()
        listening = txtransport.server(
            self.reactor,
            f"tls://{NAME}",
            over=SocketEndpoint(self.reactor, other),
            local_cert=certificates.site(),
        ).listen(factory)
        here = SocketEndpoint(self.reactor, one)
        ours = await self.connected(f"tls://{NAME}", over=here, cafile=certificates.cafile())
        await listening
        await self.exchange(ours, await serving)

    async def test_tls_in_tls(self) -> None:
        """TLS over a TLS endpoint of ours: two handshakes, two names."""
        factory = Recorders()
        serving = factory.next()
        outside = certificates.issued("outer.pem", "outer.example")
        there = txtransport.server(self.reactor, "tls://127.0.0.1:0", local_cert=outside)
        number = await self.listening(
            f"tls://{NAME}", factory, over=there, local_cert=certificates.site()
        )
        tunnel = txtransport.client(
            self.reactor,
            f"tls://127.0.0.1:{number}",
            peer_name="outer.example",
            cafile=certificates.cafile(),
        )
        ours = await self.connected(f"tls://{NAME}", over=tunnel, cafile=certificates.cafile())
        await self.exchange(ours, await serving)
