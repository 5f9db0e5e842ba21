"""Clients: one deadline, one outcome, and nothing left behind."""

from __future__ import annotations

import gc
import itertools
import socket
import weakref
from typing import Any, Final, cast

from attrs import evolve
from twisted.application.internet import ClientService
from twisted.internet.address import HostnameAddress, IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.error import (
    ConnectBindError,
    ConnectError,
    ConnectingCancelledError,
    ConnectionRefusedError,
    DNSLookupError,
    NoProtocol,
)
from twisted.internet.interfaces import (
    IAddress,
    IHalfCloseableProtocol,
    IListeningPort,
    IProtocol,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import LogLevel, formatEvent
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

import txtransport
from tests import certificates
from tests.loopback import (
    ClockedReactor,
    LoopbackTestCase,
    Only,
    Recorder,
    Recorders,
    Resolver,
)
from txtransport.config.url import TransportURL
from txtransport.connection.trace import Event, Step
from txtransport.endpoints.plaintext_client import connect_target
from txtransport.errors import HandshakeFailed, InvalidOption, InvalidTransport, TransportTimeout
from txtransport.tls.connection import TLSConnection
from txtransport.tls.session import session_of
from txtransport.upgrade.base_transport import base_transport

SCHEMES: Final = ("tcp", "tls")
"""What holds for these holds in the clear and under TLS."""


class Broken(Exception):
    """An exception of the application."""


class Failing(Factory):
    """A factory that fails at the step of that name."""

    noisy = False

    def __init__(self, step: str) -> None:
        self.step = step
        self.recorder = Recorder()
        self.built = 0

    def buildProtocol(self, addr: object) -> Any:
        self.built += 1
        if self.step == "build":
            raise Broken(self.step)
        if self.step == "none":
            return None
        return self.recorder if self.step == "options" else Stumbling(self.recorder)


class Stumbling(Protocol):
    """A protocol that fails when it is connected, and then is told of the end."""

    def __init__(self, protocol: Recorder) -> None:
        self.protocol = protocol

    def connectionMade(self) -> None:
        raise Broken("connectionMade")

    def connectionLost(self, reason: Any = None) -> None:
        self.protocol.connectionLost(reason)


class ClientTestCase(LoopbackTestCase):
    """What the tests of this file share."""

    async def served(self, scheme: str, factory: Factory) -> str:
        """A server of that scheme; the URL for its clients."""
        given = f"?local_cert={certificates.site()}" if scheme == "tls" else ""
        port = await self.listening(f"{scheme}://127.0.0.1:0{given}", factory)
        given = f"?cafile={certificates.cafile()}" if scheme == "tls" else ""
        return f"{scheme}://127.0.0.1:{port}{given}"

    async def silent(self, peers: Recorders) -> str:
        """A server that says nothing; the URL of TLS for its clients."""
        port = await self.listening("tcp://127.0.0.1:0", peers)
        return f"tls://127.0.0.1:{port}"

    async def failure_of(self, connecting: Deferred[Any], *kinds: type[BaseException]) -> Any:
        """The error that a connection attempt ends with."""
        return await self.assertFailure(connecting, *kinds)


class URLTests(SynchronousTestCase):
    """A URL that a client cannot connect to is refused before it tries."""

    def refusal(self, url: str, **options: Any) -> str:
        """Why a URL is not one of a client."""
        kind = InvalidOption if options else InvalidTransport
        error = self.assertRaises(kind, txtransport.client, MemoryReactorClock(), url, **options)
        return str(error)

    def test_a_client_needs_a_host_and_a_port(self) -> None:
        """Any address and any port are for servers, and the message says so."""
        rows = {
            "tcp://*:80": "* is for servers",
            "tls://h": "tls://h: the port is missing; write tls://h:PORT",
            "tcp://[::1]": "write tcp://[::1]:PORT",
            "tcp://h:0": "port 0 is for servers",
        }
        for url, reason in rows.items():
            self.assertIn(reason, self.refusal(url))

    def test_a_local_address_of_the_wrong_family_is_refused(self) -> None:
        """No connection from an IPv4 address can go to an IPv6 one, nor the other way."""
        for url, bindto in (("tcp://[::1]:80", "127.0.0.1:0"), ("tcp://127.0.0.1:80", "[::1]:0")):
            text = self.refusal(url, bindto=bindto)
            self.assertIn("not of the same address family", text)
            self.assertTrue(text.startswith(f"{url}: "), text)

    def test_every_client_endpoint_is_one_of_twisted_s(self) -> None:
        """Whatever takes a client endpoint of Twisted's takes one of these."""
        reactor = MemoryReactorClock()
        for url in (
            "tcp://h:1",
            "tcp://127.0.0.1:1",
            "tcp://[::1]:1",
            "tls://h:1",
            "unix:///run/x",
        ):
            self.assertTrue(verifyObject(IStreamClientEndpoint, txtransport.client(reactor, url)))
            plain = connect_target(TransportURL.parse(url)).endpoint(cast("Any", reactor), 1.0)
            self.assertTrue(verifyObject(IStreamClientEndpoint, plain))

    def encrypted(self) -> str:
        """PEM file of a certificate whose key has a passphrase."""
        made = certificates.authority().issue("localhost")
        return certificates.written("encrypted.pem", made.key_pem("hunter2") + made.cert_pem)

    def test_the_representation_is_short_and_names_the_endpoint(self) -> None:
        """An endpoint in a log names its side and its place, and no secret."""
        endpoint = txtransport.client(
            MemoryReactorClock(),
            "tls://h:1", local_cert=self.encrypted(), passphrase="hunter2",
        )  # fmt: skip
        self.assertEqual(repr(endpoint), "<txtransport client tls://h:1>")
        long = f"{'.'.join(['a' * 60] * 4)}:12345"
        for url in (f"tls://{long}?passphrase=hunter2", f"unix:///run/{'a' * 90}", f"tcp://{long}"):
            options: dict[str, Any] = {"local_cert": self.encrypted()} if "hunter2" in url else {}
            said = repr(txtransport.client(MemoryReactorClock(), url, None, **options))
            self.assertTrue(said.startswith(f"<txtransport client {url[:60]}"), said)
            self.assertLess(len(said), 120)
            self.assertNotIn("hunter2", said)


class DeadlineTests(ClientTestCase):
    """One deadline holds for everything, and the error names the stage."""

    async def expired(self, url: str, clocked: ClockedReactor, factory: Recorders) -> Any:
        """How a connection attempt ends that is given 30 seconds."""
        connecting = txtransport.client(clocked, url).connect(factory)
        clocked.clock.advance(29.9)
        self.assertNoResult(connecting)
        clocked.clock.advance(0.2)
        error = await self.failure_of(connecting, TransportTimeout)
        self.assertEqual(error.seconds, 30)
        self.assertEqual(factory.built, 0)
        self.assertEqual(clocked.clock.getDelayedCalls(), [])
        return error

    async def test_a_look_up_that_never_ends_is_given_up(self) -> None:
        """A name server that is silent is given up at the deadline."""
        self.resolving(lost=None)
        for scheme in SCHEMES:
            factory = Recorders()
            error = await self.expired(f"{scheme}://lost:1", ClockedReactor(self.reactor), factory)
            self.assertEqual(error.stage, "look-up")
            self.assertIn(f"{scheme}://lost:1: the look-up took longer", str(error))

    async def test_a_peer_that_never_answers_is_given_up(self) -> None:
        """Packets that vanish are waited for until the deadline."""
        port = self.full_port()
        self.resolving(full=["127.0.0.1"])
        for place in ("tcp://127.0.0.1", "tls://127.0.0.1", "tls://full"):
            clocked = ClockedReactor(self.reactor)
            error = await self.expired(f"{place}:{port}", clocked, Recorders())
            self.assertEqual(error.stage, "connect")
            self.assertIn("firewall", str(error))

    async def test_a_silent_peer_is_dropped(self) -> None:
        """A peer that accepts and says nothing is hung up on at the deadline."""
        peers, factory = Recorders(), Recorders()
        arriving = peers.next()
        clocked = ClockedReactor(self.reactor)
        connecting = txtransport.client(clocked, await self.silent(peers)).connect(factory)
        peer = await arriving
        await peer.heard(b"\x16")
        clocked.clock.advance(29.9)
        self.assertNoResult(connecting)
        clocked.clock.advance(0.2)
        error = await self.failure_of(connecting, TransportTimeout)
        self.assertEqual((error.stage, error.seconds, error.received), ("handshake", 30, b""))
        await peer.gone()
        self.assertEqual(factory.built, 0)
        self.assertEqual(clocked.clock.getDelayedCalls(), [])

    async def test_the_stages_share_one_deadline(self) -> None:
        """Time that the look-up took is gone for the handshake."""
        resolver = self.resolving(later=None)
        peers = Recorders()
        arriving = peers.next()
        clocked = ClockedReactor(self.reactor)
        port = (await self.silent(peers)).rpartition(":")[2]
        endpoint = txtransport.client(clocked, f"tls://later:{port}", timeout=10)
        connecting = endpoint.connect(Recorders())
        clocked.clock.advance(8)
        resolver.answer("127.0.0.1")
        await (await arriving).heard(b"\x16")
        clocked.clock.advance(1.9)
        self.assertNoResult(connecting)
        clocked.clock.advance(0.2)
        error = await self.failure_of(connecting, TransportTimeout)
        self.assertEqual((error.stage, error.seconds), ("handshake", 10))

    async def test_the_deadline_ends_when_the_protocol_is_connected(self) -> None:
        """The deadline is over when the protocol is connected."""
        for scheme in SCHEMES:
            url = await self.served(scheme, Recorders())
            clocked = ClockedReactor(self.reactor)
            client = await txtransport.client(clocked, url).connect(Recorders())
            self.addCleanup(self.end, client)
            clocked.clock.advance(100)
            self.assertEqual(clocked.clock.getDelayedCalls(), [])
            self.assertTrue(client.is_connected)


@implementer(IStreamClientEndpoint)
class WaitingEndpoint:
    """An endpoint that is never connected."""

    def connect(self, protocolFactory: object) -> Deferred[IProtocol]:
        return Deferred()


class CancelTests(ClientTestCase):
    """A cancelled attempt ends at any stage."""

    async def cancelled(self, connecting: Deferred[Any], clocked: ClockedReactor) -> None:
        """A connection attempt that is cancelled ends so, and leaves nothing behind."""
        connecting.cancel()
        await self.failure_of(connecting, ConnectingCancelledError)
        await self.turn()
        self.assertEqual(clocked.clock.getDelayedCalls(), [])

    async def test_a_cancelled_attempt_names_the_address(self) -> None:
        """As Twisted promises, the error's address is the address that was to be reached."""
        path = self.socket_path()
        cases: tuple[tuple[str, IAddress], ...] = (
            ("tcp://later.example:25", HostnameAddress(b"later.example", 25)),
            ("tls://later.example:443", HostnameAddress(b"later.example", 443)),
            ("tls://192.0.2.7:443", IPv4Address("TCP", "192.0.2.7", 443)),
            ("tls://[2001:db8::7]:443", IPv6Address("TCP", "2001:db8::7", 443)),
            (f"unix://{path}", UNIXAddress(path.encode())),
            ("unix://@name", UNIXAddress(b"\0name")),
        )
        for url, address in cases:
            endpoint: Any = txtransport.client(Clock(), url)
            waiting = evolve(endpoint, plaintext=WaitingEndpoint())
            connecting = waiting.connect(Recorders())
            connecting.cancel()
            error = await self.failure_of(connecting, ConnectingCancelledError)
            self.assertEqual(error.address, address)
            self.assertTrue(IAddress.providedBy(error.address))

    async def test_cancelling_during_the_look_up(self) -> None:
        """What the look-up finds after that is not connected to."""
        for scheme in SCHEMES:
            peers, factory = Recorders(), Recorders()
            resolver = self.resolving(later=None)
            port = await self.listening("tcp://127.0.0.1:0", peers)
            clocked = ClockedReactor(self.reactor)
            connecting = txtransport.client(clocked, f"{scheme}://later:{port}").connect(factory)
            await self.cancelled(connecting, clocked)
            resolver.answer("127.0.0.1")
            self.assertEqual((peers.built, factory.built), (0, 0))

    async def test_cancelling_during_connecting(self) -> None:
        """An attempt without an answer is given up, and no other address is tried."""
        port = self.full_port()
        self.resolving(full=["127.0.0.1", "127.0.0.1"], two=["127.0.0.1", "127.0.0.2"])
        for host in ("127.0.0.1", "full", "two"):
            for scheme in SCHEMES:
                factory = Recorders()
                clocked = ClockedReactor(self.reactor)
                connecting = txtransport.client(clocked, f"{scheme}://{host}:{port}").connect(
                    factory
                )
                self.assertNoResult(connecting)
                await self.cancelled(connecting, clocked)
                self.assertEqual(factory.built, 0)

    async def test_cancelling_during_the_handshake(self) -> None:
        """The peer sees the end at once."""
        peers, factory = Recorders(), Recorders()
        arriving = peers.next()
        clocked = ClockedReactor(self.reactor)
        connecting = txtransport.client(clocked, await self.silent(peers)).connect(factory)
        peer = await arriving
        await peer.heard(b"\x16")
        await self.cancelled(connecting, clocked)
        await peer.gone()
        self.assertEqual(factory.built, 0)

    def cancel_first(self, made: object, connecting: list[Deferred[IProtocol]]) -> None:
        """Cancel the attempt in connectionMade."""
        connecting[0].cancel()

    async def test_cancelling_in_connection_made(self) -> None:
        """An attempt that is cancelled within connectionMade fails, and the connection ends."""
        for scheme in SCHEMES:
            url = await self.served(scheme, Recorders())
            protocol = Recorder()
            connecting: list[Deferred[IProtocol]] = []
            protocol.made.addCallback(self.cancel_first, connecting)
            clocked = ClockedReactor(self.reactor)
            connecting.append(txtransport.client(clocked, url).connect(Only(protocol)))
            await self.failure_of(connecting[0], ConnectingCancelledError)
            await protocol.gone()

    async def test_cancelling_when_the_address_has_answered(self) -> None:
        """An attempt may be cancelled while its protocol is built, or by its own trace."""

        class Cancelling(Recorders):
            def buildProtocol(self, addr: object) -> Recorder:
                if place == "factory":
                    connecting[0].cancel()
                return super().buildProtocol(addr)

        def trace(event: Event) -> None:
            if place == "trace" and event.step is Step.CONNECTED:
                connecting[0].cancel()

        own = {"tls": f"?local_cert={certificates.site()}", "tcp": ""}
        more = {"tls": f"?cafile={certificates.cafile()}", "tcp": ""}
        for scheme, host in itertools.product(own, ("127.0.0.1", "localhost")):
            port = await self.listening(f"{scheme}://127.0.0.1:0{own[scheme]}", Recorders())
            for place in ("factory", "trace"):
                factory = Cancelling()
                connecting: list[Deferred[Any]] = []
                endpoint = txtransport.client(
                    self.reactor, f"{scheme}://{host}:{port}{more[scheme]}", trace=trace
                )
                connecting.append(endpoint.connect(factory))
                await self.assertFailure(connecting[0], ConnectingCancelledError)
                for _ in range(3):
                    await self.turn()
                self.assertEqual(factory.all, [], (scheme, host, place))
        self.assertEqual(self.flushLoggedErrors(), [])


class ExceptionTests(ClientTestCase):
    """Whatever goes wrong is told once, ends the connection and is not in the log."""

    async def told(self, scheme: str, step: str, kind: type[Exception]) -> Failing:
        """A factory that fails at that step, when the connection is over."""
        peers = Recorders()
        url = await self.served(scheme, peers)
        arriving = peers.next()
        factory = Failing(step)
        clocked = ClockedReactor(self.reactor)
        endpoint: Any = txtransport.client(clocked, url)
        if step == "options":
            endpoint = evolve(endpoint, set_options=self.refuse_options)
        error = await self.failure_of(endpoint.connect(factory), kind)
        self.assertIsInstance(error, kind)
        if scheme == "tcp":
            await (await arriving).gone()
        self.assertEqual(clocked.clock.getDelayedCalls(), [])
        self.assertEqual(self.flushLoggedErrors(), [])
        return factory

    def refuse_options(self, transport: object) -> None:
        """As if the system refused a socket's option."""
        raise OSError(92, "so_linger cannot be set: Protocol not available")

    async def test_a_factory_that_raises(self) -> None:
        """The exception is what the connection attempt fails with."""
        for scheme in SCHEMES:
            await self.told(scheme, "build", Broken)

    async def test_a_factory_without_a_protocol(self) -> None:
        """A factory may want no connection after all."""
        for scheme in SCHEMES:
            await self.told(scheme, "none", NoProtocol)

    async def test_an_exception_in_connection_made_fails_the_attempt(self) -> None:
        """Its exception is what the attempt fails with, and it hears of the end."""
        for scheme in SCHEMES:
            factory = await self.told(scheme, "made", Broken)
            await factory.recorder.gone()

    async def test_a_refused_socket_option_fails_the_attempt(self) -> None:
        """No protocol is connected without the socket options that were asked for."""
        for scheme in SCHEMES:
            factory = await self.told(scheme, "options", OSError)
            self.assertFalse(factory.recorder.is_connected)
            self.assertFalse(factory.recorder.lost.called)

    async def test_a_name_whose_factory_fails_is_not_tried_again(self) -> None:
        """An exception of the factory is told at once, however many addresses a name has."""
        port = await self.listening("tcp://127.0.0.1:0", Recorders())
        self.resolving(many=["127.0.0.1", "127.0.0.2", "127.0.0.3"])
        factory = Failing("build")
        connecting = txtransport.client(self.reactor, f"tcp://many:{port}").connect(factory)
        await self.failure_of(connecting, Broken)
        self.assertEqual(factory.built, 1)

    async def test_an_exception_of_the_reactor_fails_the_attempt(self) -> None:
        """What the reactor raises is in the Deferred, and not raised by connect."""
        clocked = ClockedReactor(self.reactor)
        endpoint: Any = evolve(
            cast(Any, txtransport.client(clocked, "tcp://127.0.0.1:1")), plaintext=FailingEndpoint()
        )
        await self.failure_of(endpoint.connect(Recorders()), Broken)
        self.assertEqual(clocked.clock.getDelayedCalls(), [])

    async def test_a_refused_connection_is_twisted_s_error(self) -> None:
        """What TCP reports is found by ``except`` of Twisted's class."""
        port = self.free_port()
        for scheme in SCHEMES:
            endpoint = txtransport.client(self.reactor, f"{scheme}://127.0.0.1:{port}")
            await self.failure_of(endpoint.connect(Recorders()), ConnectionRefusedError)

    async def test_an_unknown_zone_is_a_connect_error(self) -> None:
        """The name of a network interface must be one; that, too, is a ConnectError."""
        endpoint = txtransport.client(self.reactor, "tcp://[fe80::1%25nowhere0]:1")
        await self.failure_of(endpoint.connect(Recorders()), ConnectError)

    async def test_the_factory_is_stopped_as_often_as_started(self) -> None:
        """However an attempt ends, the application's factory hears of it in pairs."""
        self.resolving(two=["127.0.0.2", "127.0.0.1"])
        for scheme in SCHEMES:
            url = (await self.served(scheme, Recorders())).replace("127.0.0.1", "two")
            factory = Recorders()
            connecting = txtransport.client(self.reactor, url).connect(factory)
            if scheme == "tls":
                # The certificate is for another name.
                await self.failure_of(connecting, HandshakeFailed)
            else:
                await self.end(await connecting)
            await self.turn()
            self.assertEqual(factory.numPorts, 0)

    async def test_a_name_without_addresses_is_twisted_s_error(self) -> None:
        """A name without an address is Twisted's own error as well."""
        self.resolving()
        for scheme in SCHEMES:
            endpoint = txtransport.client(self.reactor, f"{scheme}://nowhere.example:1")
            await self.failure_of(endpoint.connect(Recorders()), DNSLookupError)


@implementer(IStreamClientEndpoint)
class FailingEndpoint:
    """An endpoint that cannot even begin."""

    def connect(self, protocolFactory: object) -> Deferred[IProtocol]:
        raise Broken("begin")


class NameTests(ClientTestCase):
    """A name may have several addresses, and odd letters."""

    async def answered(self, host: str, port: int) -> Recorder:
        """A client that is connected to that host."""
        return await self.connected(f"tcp://{host}:{port}")

    async def test_an_address_that_refuses_is_skipped_at_once(self) -> None:
        """If an address refuses, the next one is tried at once."""
        port = await self.listening("tcp://127.0.0.1:0", Recorders())
        self.resolving(half=["::1", "127.0.0.2", "127.0.0.1"])
        client = await self.answered("half", port)
        self.assertEqual(cast(Any, client.transport).getPeer().host, "127.0.0.1")

    async def test_an_address_that_does_not_answer_is_passed_over(self) -> None:
        """If an address does not answer, the next one is tried a moment later."""
        port = self.full_port()
        await self.listening(f"tcp://[::1]:{port}", Recorders())
        self.resolving(half=["127.0.0.1", "::1"])
        clocked = ClockedReactor(self.reactor)
        connecting = txtransport.client(clocked, f"tcp://half:{port}").connect(Recorders())
        self.assertNoResult(connecting)
        clocked.clock.advance(0.3)
        client = await connecting
        self.addCleanup(self.end, client)
        self.assertEqual(cast(Any, client.transport).getPeer().host, "::1")
        self.assertEqual(clocked.clock.getDelayedCalls(), [])

    async def test_the_name_is_verified_and_not_the_address(self) -> None:
        """However many addresses it has, the certificate must be for the name."""
        port = await self.listening(
            "tls://127.0.0.1:0", Recorders(), local_cert=certificates.site()
        )
        self.resolving(**{"good.example": ["::1", "127.0.0.1"], "bad.example": ["127.0.0.1"]})
        trust = f"cafile={certificates.cafile()}"
        await self.connected(f"tls://good.example:{port}?{trust}")
        endpoint = txtransport.client(self.reactor, f"tls://bad.example:{port}?{trust}")
        error = await self.failure_of(endpoint.connect(Recorders()), HandshakeFailed)
        self.assertEqual(error.cause, "wrong-name")

    async def test_names_that_are_not_valid_idna_are_connected_to(self) -> None:
        """``my_service`` and ``r3---sn-x.example`` are names of hosts, if not of domains."""
        port = await self.listening("tcp://127.0.0.1:0", Recorders())
        for host in ("my_service", "r3---sn-x.example"):
            self.resolving(**{host: ["127.0.0.1"]})
            await self.answered(host, port)


class LocalAddressTests(ClientTestCase):
    """``bindto`` is where a connection comes from, or there is none."""

    async def test_the_local_address_is_used(self) -> None:
        """The server sees the address that was asked for."""
        for url, bindto in (("127.0.0.1", "127.0.0.9:0"), ("[::1]", "[::1]:0")):
            factory = Recorders()
            arriving = factory.next()
            port = await self.listening(f"tcp://{url}:0", factory)
            await self.connected(f"tcp://{url}:{port}", bindto=bindto)
            peer = cast(Any, (await arriving).transport).getPeer().host
            self.assertEqual(peer, bindto.strip("[]").removesuffix(":0").removesuffix("]"))

    async def test_the_local_port_is_used(self) -> None:
        """The local port may be asked for as well."""
        factory = Recorders()
        arriving = factory.next()
        port = await self.listening("tcp://127.0.0.1:0", factory)
        wanted = self.free_port()
        await self.connected(f"tcp://127.0.0.1:{port}", bindto=f"127.0.0.1:{wanted}")
        self.assertEqual(cast(Any, (await arriving).transport).getPeer().port, wanted)

    async def test_an_address_that_is_not_ours_is_fatal(self) -> None:
        """A connection never comes from another address than the one asked for."""
        peers = Recorders()
        port = await self.listening("tcp://127.0.0.1:0", peers)
        self.resolving(named=["127.0.0.1"])
        for host in ("127.0.0.1", "named"):
            endpoint = txtransport.client(
                self.reactor, f"tcp://{host}:{port}", bindto="198.51.100.7"
            )
            error = await self.failure_of(endpoint.connect(Recorders()), ConnectBindError)
            self.assertIn("bindto=198.51.100.7", str(error))
            self.assertIn(f"tcp://{host}:{port}", str(error))
        self.assertEqual(peers.built, 0)
        # Twisted leaves the socket that it could not bind to be collected.
        self.flushWarnings()

    async def test_a_name_is_reached_by_the_addresses_of_that_family(self) -> None:
        """Of a name's addresses, those that cannot be reached from ``bindto`` are left out."""
        port = await self.listening("tcp://127.0.0.1:0", Recorders())
        self.resolving(both=["::1", "127.0.0.1"], six=["::1"])
        await self.connected(f"tcp://both:{port}", bindto="127.0.0.1")
        endpoint = txtransport.client(self.reactor, f"tcp://six:{port}", bindto="127.0.0.1")
        error = await self.failure_of(endpoint.connect(Recorders()), InvalidOption)
        self.assertIn("not of the same address family", str(error))


class ZoneTests(SynchronousTestCase):
    """Names that lead to link-local addresses, as with multicast DNS."""

    def test_a_name_s_link_local_address_is_connected_to_in_its_zone(self) -> None:
        """Without the zone there would be no route to it."""
        reactor: Any = MemoryReactorClock()
        reactor.nameResolver = Resolver({"printer.local": ["fe80::7%3"]})
        txtransport.client(reactor, "tcp://printer.local:1").connect(Recorders())
        self.assertEqual(reactor.tcpClients[0][0], "fe80::7%3")


class ApplicationErrorTests(ClientTestCase):
    """An error of Twisted's that the application raises is not one of the address."""

    async def test_an_application_s_connect_error_is_its_own(self) -> None:
        """It is told as it is, in the clear and under TLS, whoever raises it."""
        error = ConnectionRefusedError(111, "the application's own backend")
        for scheme in SCHEMES:
            url = await self.served(scheme, Recorders())
            for failing in (Refusing(error, "build"), Refusing(error, "made")):
                overheard = self.overheard()
                connecting = txtransport.client(self.reactor, url).connect(failing)
                self.assertIs(await self.failure_of(connecting, ConnectError), error)
                told = [event for event in overheard.events if "cause" in event]
                self.assertIn("other", [event["cause"] for event in told])

    async def test_no_other_address_is_tried(self) -> None:
        """The application's factory is asked once, however many addresses there are."""
        port = await self.listening("tcp://0.0.0.0:0", Recorders())
        self.resolving(**{"three.example": ["127.0.0.1", "127.0.0.2", "127.0.0.3"]})
        error = ConnectError(None, "the application's own")
        failing = Refusing(error, "build")
        connecting = txtransport.client(self.reactor, f"tcp://three.example:{port}").connect(
            failing
        )
        self.assertIs(await self.failure_of(connecting, ConnectError), error)
        self.assertEqual(failing.built, 1)


class Refusing(Factory):
    """A factory that raises an error at a step, or builds a protocol that does.

    Args:
        error: Is raised.
        step: ``build`` or ``made``.
    """

    noisy = False

    def __init__(self, error: Exception, step: str) -> None:
        self._error = error
        self._step = step
        self.built = 0

    def buildProtocol(self, addr: object) -> Protocol:
        self.built += 1
        if self._step == "build":
            raise self._error
        protocol = Protocol()
        protocol.connectionMade = self._refuse  # type: ignore[method-assign]
        return protocol

    def _refuse(self) -> None:
        raise self._error


class AllowedHostTests(ClientTestCase):
    """``allow_hosts`` and ``public_only``: which hosts a URL from a stranger reaches."""

    async def refused(self, url: str, **rules: Any) -> str:
        """Why a connection attempt is refused; no factory is asked for a protocol."""
        factory = Recorders()
        connecting = txtransport.client(self.reactor, url, **rules).connect(factory)
        error = await self.failure_of(connecting, InvalidOption)
        self.assertIn(error.option, rules)
        self.assertEqual(factory.built, 0)
        return str(error)

    async def test_a_name_that_leads_to_this_machine_is_refused(self) -> None:
        """No name reaches what only this machine can reach, whatever form its address has."""
        peers = Recorders()
        port = await self.listening("tcp://127.0.0.1:0", peers)
        for address in ("127.0.0.1", "::1", "0.0.0.0", "::ffff:127.0.0.1", "64:ff9b::7f00:1"):
            self.resolving(**{"evil.example": [address]})
            for scheme in SCHEMES:
                text = await self.refused(f"{scheme}://evil.example:{port}", public_only=True)
                self.assertIn(f"{scheme}://evil.example:{port}: public_only: {address} ", text)
        self.assertEqual(peers.built, 0)

    def test_an_address_in_the_url_is_refused_at_once(self) -> None:
        """A literal, and a local socket, are refused before there is an endpoint."""
        for url, rules in (
            ("tcp://127.0.0.1:1", {"public_only": True}),
            ("tls://[::ffff:169.254.169.254]:1", {"public_only": True}),
            ("unix:///run/x", {"public_only": True}),
            ("tls://evil.example:1", {"allow_hosts": ["good.example"]}),
            ("tls://192.0.2.7:1", {"allow_hosts": ["good.example"]}),
        ):
            reactor = MemoryReactorClock()
            error = self.assertRaises(InvalidOption, txtransport.client, reactor, url, **rules)
            self.assertIn(url, str(error))
            self.assertNotIn("there is no option", str(error))
            self.assertIn(error.option, rules)

    async def test_each_look_up_is_judged(self) -> None:
        """A name that was allowed once leads elsewhere the next time (DNS rebinding)."""
        port = await self.listening("tcp://127.0.0.1:0", Recorders())
        resolver = self.resolving(later=None)
        endpoint = txtransport.client(
            self.reactor, f"tcp://later:{port}", allow_hosts=["127.0.0.1"]
        )
        connecting = endpoint.connect(Recorders())
        resolver.answer("127.0.0.1")
        await self.end(await connecting)
        again = endpoint.connect(Recorders())
        resolver.answer("127.0.0.2")
        error = await self.failure_of(again, InvalidOption)
        self.assertIn("allow_hosts does not have 127.0.0.2", str(error))

    def test_the_address_that_was_judged_is_connected_to(self) -> None:
        """The name is looked up once, and its allowed addresses alone are tried."""
        reactor: Any = MemoryReactorClock()
        reactor.nameResolver = Resolver(
            {"mixed.example": ["::1", "8.8.8.8", "10.0.0.1", "8.8.4.4"]}
        )
        overheard = self.overheard()
        endpoint = txtransport.client(reactor, "tcp://mixed.example:1", public_only=True)
        connecting = endpoint.connect(Recorders())
        reactor.advance(1)
        self.assertEqual([client[0] for client in reactor.tcpClients], ["8.8.8.8", "8.8.4.4"])
        (told,) = [event for event in overheard.events if "refusal" in event]
        self.assertIn("::1 is of loopback", formatEvent(told))
        self.assertEqual(told["count"], 2)
        connecting.addErrback(lambda reason: None)
        connecting.cancel()

    def test_a_name_costs_sixteen_sockets_at_the_most(self) -> None:
        """However many addresses a stranger's name has, few are tried, and the log is short."""
        public = [f"8.8.{one}.{other}" for one in range(4) for other in range(1, 250)]
        private = [f"10.0.{one}.{other}" for one in range(4) for other in range(1, 250)]
        reactor: Any = MemoryReactorClock()
        reactor.nameResolver = Resolver({"many.example": [*private, *public, "2606:4700::1"]})
        overheard = self.overheard()
        endpoint = txtransport.client(reactor, "tcp://many.example:1?timeout=60", public_only=True)
        connecting = endpoint.connect(Recorders())
        reactor.pump([0.25] * 200)
        tried = [client[0] for client in reactor.tcpClients]
        self.assertEqual(sorted(tried), sorted([*public[:15], "2606:4700::1"]))
        self.assertEqual(len(overheard.events), 1)
        connecting.addErrback(lambda reason: None)
        connecting.cancel()

    async def test_no_allowed_address_of_the_family_of_bindto_is_told(self) -> None:
        """An address that is not allowed does not count as one of the right family."""
        self.resolving(**{"both.example": ["127.0.0.1", "::1"]})
        endpoint = txtransport.client(
            self.reactor, "tcp://both.example:1", allow_hosts=["::1"], bindto="127.0.0.1:0"
        )
        error = await self.failure_of(endpoint.connect(Recorders()), InvalidOption)
        self.assertEqual(error.option, "bindto")
        self.assertIn("bindto=127.0.0.1 and ::1 are not of the same address family", str(error))

    async def test_what_is_allowed_is_connected_and_verified(self) -> None:
        """A listed name is connected to as without the list."""
        port = await self.listening(
            "tls://127.0.0.1:0", Recorders(), local_cert=certificates.site()
        )
        self.resolving(**{"good.example": ["127.0.0.1"]})
        url = f"tls://good.example:{port}?cafile={certificates.cafile()}"
        for allowed in (["good.example"], ["*.example"], ["127.0.0.0/8"]):
            await self.connected(url, allow_hosts=allowed)

    def test_a_url_cannot_carry_them(self) -> None:
        """Rules for strangers are not the strangers' to change."""
        for query in ("public_only=no", "allow_hosts=a"):
            for url in (f"tls://h:1?{query}", TransportURL("tls", "h", 1, "", (_pair(query),))):
                error = self.assertRaises(
                    InvalidOption, txtransport.client, MemoryReactorClock(), url
                )
                self.assertEqual(error.option, query.partition("=")[0])
            # Nor is a server, or an endpoint for datagrams, restricted by them.
            for function in (txtransport.server, txtransport.datagram):
                name, text = _pair(query)
                self.assertRaises(
                    (InvalidOption, InvalidTransport),
                    function, MemoryReactorClock(), "tcp://h:1", **{name: text},
                )  # fmt: skip


def _pair(query: str) -> tuple[str, str]:
    name, _, text = query.partition("=")
    return name, text


class SocketTests(ClientTestCase):
    """The socket's options are those of the URL, before the protocol is connected."""

    async def test_small_writes_leave_at_once(self) -> None:
        """``tcp_nodelay`` is on in the clear and under TLS, unless it is switched off."""
        for scheme in SCHEMES:
            url = await self.served(scheme, Recorders())
            for options, expected in (({}, True), ({"tcp_nodelay": False}, False)):
                client = await self.connected(url, **options)
                self.assertEqual(cast(Any, client.transport).getTcpNoDelay(), expected)

    async def test_the_options_are_set_before_connection_made(self) -> None:
        """In connectionMade the options hold already."""
        for scheme in SCHEMES:
            url = await self.served(scheme, Recorders())
            protocol = Recorder()
            seen = protocol.made.addCallback(
                lambda this: this.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            )
            client = await txtransport.client(self.reactor, url).connect(Only(protocol))
            self.addCleanup(self.end, client)
            self.assertEqual(self.successResultOf(seen), 1)

    async def test_every_other_option_is_set(self) -> None:
        """Probes, lingering and buffers are as the URL says."""
        rows = (
            ("so_keepalive=yes", socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
            ("so_keepalive=yes&tcp_keepidle=77", socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 77),
            ("so_keepalive=yes&tcp_keepintvl=7", socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 7),
            ("so_keepalive=yes&tcp_keepcnt=3", socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
            # The kernel doubles what it is asked for (socket(7)).
            ("so_rcvbuf=20000", socket.SOL_SOCKET, socket.SO_RCVBUF, 40000),
            ("so_sndbuf=20000", socket.SOL_SOCKET, socket.SO_SNDBUF, 40000),
        )
        for scheme in SCHEMES:
            url = await self.served(scheme, Recorders())
            url += "&" if "?" in url else "?"
            for option, level, number, expected in rows:
                client = await self.connected(url + option)
                self.assertEqual(client.socket.getsockopt(level, number), expected, option)
            lingering = await self.connected(f"{url}so_linger=0")
            value = lingering.socket.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)
            self.assertEqual(value, bytes([1, 0, 0, 0, 0, 0, 0, 0]))


class PlaintextTests(ClientTestCase):
    """Without TLS the protocol's transport is the plain one."""

    async def test_a_protocol_hears_of_a_half_close(self) -> None:
        """A protocol that wants to hear of a half close hears of it."""
        peers = Recorders()
        arriving = peers.next()
        port = await self.listening("tcp://127.0.0.1:0", peers)
        endpoint = txtransport.client(self.reactor, f"tcp://127.0.0.1:{port}")
        client = cast(HalfClosing, await endpoint.connect(Factory.forProtocol(HalfClosing)))
        self.addCleanup(self.end, client)
        peer = await arriving
        cast(Any, peer.transport).loseWriteConnection()
        await client.half_closed
        client.say(b"and yet it speaks")
        await peer.heard(b"and yet it speaks")

    async def test_a_local_socket_is_connected_to(self) -> None:
        """``unix://`` and ``tls+unix://`` connect to a path, or to an abstract name."""
        name = f"@txtransport-{id(self)}"
        cert, ca = certificates.site(), certificates.cafile()
        for place in (self.socket_path(), name):
            for given, wanted in (
                (f"unix://{place}", f"unix://{place}"),
                (f"tls+unix://{place}?local_cert={cert}",
                 f"tls+unix://{place}?cafile={ca}&peer_name=localhost"),
            ):  # fmt: skip
                factory = Recorders()
                arriving = factory.next()
                port = await txtransport.server(self.reactor, given).listen(factory)
                client = await self.connected(wanted)
                server = await arriving
                client.say(b"hello")
                await server.heard(b"hello")
                self.assertEqual(session_of(client.transport) is None, given.startswith("unix"))
                await self.end(client)
                await server.gone()
                await self.stop(port)

    async def test_a_path_without_a_server_is_a_connect_error(self) -> None:
        """A path without a server is Twisted's own error."""
        endpoint = txtransport.client(self.reactor, f"unix://{self.socket_path()}")
        await self.failure_of(endpoint.connect(Recorders()), ConnectError)


class ReferenceTests(ClientTestCase):
    """A connection that is over leaves nothing of the application behind."""

    async def ended(self, url: str) -> tuple[object, weakref.ref[Recorder]]:
        """Twisted's connector of a connection that is over, and a reference to its protocol."""
        arriving = Recorders()
        arrived = arriving.next()
        # The result stays in the Deferred, which nobody looks at.
        txtransport.client(self.reactor, url).connect(arriving)
        client = await arrived
        arriving.all.clear()
        plain = base_transport(client.transport)
        connector = plain.connector
        plain.abortConnection()
        await client.gone()
        return connector, weakref.ref(client)

    async def test_twisted_s_connector_does_not_keep_the_protocol(self) -> None:
        """A reactor may hold the connector of its last connection; the protocol is free."""
        self.resolving(here=["127.0.0.1"])
        for scheme in SCHEMES:
            for host in ("127.0.0.1", "here"):
                url = (await self.served(scheme, Recorders())).replace("127.0.0.1", host)
                url += "&peer_name=localhost" if scheme == "tls" else ""
                connector, client = await self.ended(url)
                await self.turn()
                gc.collect()
                self.assertIsNotNone(connector)
                self.assertIsNone(client(), url)

    async def test_a_connection_is_freed_with_its_end(self) -> None:
        """What OpenSSL keeps of a connection does not wait for the garbage collector."""
        self.resolving(here=["127.0.0.1"])
        self.addCleanup(gc.enable)
        for more, host, way in itertools.product(
            ("", "&starttls=postgres"),
            ("127.0.0.1", "here"),
            ("loseConnection", "abortConnection", "refuse"),
        ):
            port = await self.listening(
                f"tls://127.0.0.1:0?local_cert={certificates.site()}{more}",
                Factory.forProtocol(Protocol),
            )
            gc.collect()
            gc.disable()
            before = self.connections()
            trust = "" if way == "refuse" else f"&cafile={certificates.cafile()}"
            url = f"tls://{host}:{port}?peer_name=localhost{more}{trust}"
            connecting: Any = txtransport.client(self.reactor, url).connect(
                Factory.forProtocol(Leaving)
            )
            if way == "refuse":
                await self.assertFailure(connecting, HandshakeFailed)
            else:
                protocol = await connecting
                await protocol.leave(way)
                del protocol
            del connecting
            await self.turn()
            await self.turn()
            after = self.connections()
            gc.enable()
            self.assertEqual(after - before, set(), (more, host, way))

    def connections(self) -> set[int]:
        """The identities of all connections of OpenSSL's."""
        return {id(each) for each in gc.get_objects() if isinstance(each, TLSConnection)}


class Leaving(Protocol):
    """Ends its connection when the test says so."""

    def leave(self, way: str) -> Deferred[None]:
        """Call a method of the transport; fires when the connection is over."""
        self.over: Deferred[None] = Deferred()
        getattr(self.transport, way)()
        return self.over

    def connectionLost(self, reason: Any = None) -> None:
        self.over.callback(None)


@implementer(IHalfCloseableProtocol)
class HalfClosing(Recorder):
    """Goes on when the peer has closed its half."""

    def __init__(self) -> None:
        super().__init__()
        self.half_closed: Deferred[None] = Deferred()

    def readConnectionLost(self) -> None:
        self.half_closed.callback(None)

    def writeConnectionLost(self) -> None:
        pass


class ServiceTests(ClientTestCase):
    """Twisted's reconnecting service works with these endpoints."""

    async def test_a_failed_handshake_is_not_a_connection(self) -> None:
        """The service waits longer after each, instead of dialling at once for ever."""
        peers = Recorders()
        url = await self.served("tls", peers)
        url = url.partition("?")[0]  # Without the authority to trust.
        clock, attempts = Clock(), []

        def wait(attempt: int) -> float:
            attempts.append(attempt)
            return float(attempt)

        endpoint = txtransport.client(self.reactor, url)
        service = ClientService(endpoint, Recorders(), retryPolicy=wait, clock=clock)
        service.startService()
        self.addCleanup(service.stopService)
        for attempt in (1, 2, 3):
            connecting = cast(Any, service.whenConnected(failAfterFailures=1))
            error = await self.failure_of(connecting, HandshakeFailed)
            self.assertEqual(error.cause, "unknown-issuer")
            self.assertEqual(attempts[-1], attempt)
            await self.turn()
            clock.advance(attempt)
        self.assertEqual(peers.built, 0)

    async def test_a_complete_handshake_is_a_connection(self) -> None:
        """The service has its connection, and makes another when it is lost."""
        peers = Recorders()
        url = await self.served("tls", peers)
        clock = Clock()
        endpoint = txtransport.client(self.reactor, url)
        service = ClientService(endpoint, Recorders(), retryPolicy=lambda _: 1.0, clock=clock)
        service.startService()
        self.addCleanup(service.stopService)
        for _ in range(3):
            clock.advance(1)
            client: Any = await service.whenConnected(failAfterFailures=1)
            await self.turn()
            client.transport.abortConnection()
            await client.gone()
            await self.turn()

    async def test_each_new_cause_of_a_failure_is_logged_once(self) -> None:
        """A service tells no one why it is not connected, so the endpoint's log does."""
        port = self.free_port()
        self.resolving(**{"good.example": ["127.0.0.1"]})
        url = f"tls://good.example:{port}"
        clock, told = Clock(), self.overheard("txtransport.endpoints.client")
        endpoint = txtransport.client(self.reactor, url)
        service = ClientService(endpoint, Recorders(), retryPolicy=lambda _: 1.0, clock=clock)
        service.startService()
        self.addCleanup(service.stopService)

        async def fail(kind: type[BaseException]) -> None:
            await self.failure_of(cast(Any, service.whenConnected(failAfterFailures=1)), kind)
            await self.turn()
            clock.advance(1)

        for _ in range(3):
            await fail(ConnectionRefusedError)
        await self.listening(
            f"tls://127.0.0.1:{port}", Recorders(), local_cert=certificates.site()
        )  # fmt: skip
        for _ in range(3):
            await fail(HandshakeFailed)
        self.assertEqual([event["cause"] for event in told.events], ["refused", "unknown-issuer"])
        for line in told.events:
            self.assertEqual((line["log_level"], line["where"]), (LogLevel.info, url))
            text = formatEvent(line)
            self.assertIn(f"{url}: not connected: ", text)
            self.assertIn(line["diagnosis"].remedy, text)


class LogTests(ClientTestCase):
    """What the log says of attempts that fail."""

    async def test_a_cause_is_new_again_after_a_connection(self) -> None:
        """Each time that a peer goes away is logged, and not only the first."""
        number = self.free_port()
        endpoint: Any = txtransport.client(self.reactor, f"tcp://127.0.0.1:{number}")
        told = self.overheard()
        for count in (1, 2):
            for _ in range(2):
                await self.failure_of(endpoint.connect(Recorders()), ConnectionRefusedError)
            self.assertEqual([event["cause"] for event in told.events], ["refused"] * count)
            port = await txtransport.server(self.reactor, f"tcp://127.0.0.1:{number}").listen(
                Recorders()
            )
            await self.end(await endpoint.connect(Recorders()))
            await self.stop(port)

    async def test_a_certificate_refused_after_the_handshake_is_logged_once(self) -> None:
        """In TLS 1.3 the server's no comes when we are connected; the log and a trace have it."""
        number = self.free_port()
        url, events = f"tlsv1.3://127.0.0.1:{number}", cast(list[Event], [])
        cafile = certificates.cafile()
        endpoint = txtransport.client(self.reactor, url, cafile=cafile, trace=events.append)
        told = self.overheard("txtransport.endpoints.client")
        for count in (1, 2):
            demanding = await self.demanding_certificates(url)
            for _ in range(3):
                client = cast(Recorder, await endpoint.connect(Factory.forProtocol(Recorder)))
                error = (await client.gone()).value
                self.assertIsInstance(error, HandshakeFailed)
                refused = [event for event in events if event.step is Step.REFUSED]
                self.assertIs(refused[-1].error, error)
            self.assertEqual(len(refused), 3 * count)
            await self.stop(demanding)
            self.assertEqual(
                [event["cause"] for event in told.events], ["client-certificate-required"] * count
            )
            self.assertIn(f"{url}: refused after the handshake: ", formatEvent(told.events[-1]))
            # After a connection that ended in another way, each cause is new again.
            any_client = txtransport.server(self.reactor, url, local_cert=certificates.site())
            open_to_all = await any_client.listen(Recorders())
            await self.end(cast(Recorder, await endpoint.connect(Factory.forProtocol(Recorder))))
            await self.stop(open_to_all)

    async def demanding_certificates(self, url: str) -> IListeningPort:
        """A server there that demands a certificate of its clients."""
        server = txtransport.server(
            self.reactor, url,
            local_cert=certificates.site(), verify_peer="yes", cafile=certificates.cafile(),
        )  # fmt: skip
        return await server.listen(Recorders())

    async def test_a_cancelled_attempt_is_not_logged(self) -> None:
        """The program has given it up itself, and knows."""
        self.resolving(name=None)
        told = self.overheard()
        connecting: Any = txtransport.client(self.reactor, "tcp://name:1").connect(Recorders())
        connecting.cancel()
        await self.failure_of(connecting, ConnectingCancelledError)
        self.assertEqual(told.events, [])

    async def test_what_a_program_raises_is_escaped(self) -> None:
        """An exception of the application's factory is in the log with its endpoint."""
        port = await self.listening("tcp://127.0.0.1:0", Recorders())
        told = self.overheard()
        endpoint = txtransport.client(self.reactor, f"tcp://127.0.0.1:{port}")
        await self.failure_of(endpoint.connect(Failing("build")), Broken)
        (event,) = told.events
        self.assertTrue(formatEvent(event).isprintable())
        self.assertIn(f"tcp://127.0.0.1:{port}: not connected: ", formatEvent(event))
