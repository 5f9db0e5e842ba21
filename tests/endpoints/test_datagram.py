"""Datagrams: to one address or from any, and every refusal is told."""

from __future__ import annotations

import os
import socket
from typing import Any, cast

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import CannotListenError, ConnectError, DNSLookupError
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import DatagramProtocol
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from zope.interface.verify import verifyObject

import txtransport
from tests.loopback import ClockedReactor, LoopbackTestCase
from txtransport.endpoints import datagram as datagrams
from txtransport.endpoints import sockets
from txtransport.endpoints.datagram import IDatagramEndpoint
from txtransport.errors import (
    InvalidOption,
    InvalidTransport,
    TransportTimeout,
    TransportUnavailable,
)


class Talker(DatagramProtocol):
    """Writes down what it hears.

    Attributes:
        heard: Each datagram, and from where.
        refused: Fires when a datagram comes back refused.
        events: When it was started, stopped and refused.
    """

    def __init__(self) -> None:
        self.heard: list[tuple[bytes, Any]] = []
        self.refused: Deferred[None] = Deferred()
        self.events: list[str] = []
        self._next: list[Deferred[bytes]] = []

    def startProtocol(self) -> None:
        self.events.append("started")

    def stopProtocol(self) -> None:
        self.events.append("stopped")

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        self.heard.append((datagram, addr))
        for waiting in self._next[:1]:
            self._next.remove(waiting)
            waiting.callback(datagram)

    def connectionRefused(self) -> None:
        self.events.append("refused")
        if not self.refused.called:
            self.refused.callback(None)

    def next(self) -> Deferred[bytes]:
        """Fires with the next datagram."""
        waiting: Deferred[bytes] = Deferred()
        self._next.append(waiting)
        return waiting


class DatagramTestCase(LoopbackTestCase):
    """What the tests of this file share."""

    def endpoint(self, url: str, **options: Any) -> Any:
        """An endpoint for datagrams."""
        return txtransport.datagram(self.reactor, url, **options)

    async def listens(self, url: str, talker: DatagramProtocol, **options: Any) -> int:
        """Listen until the test is over; the port's number."""
        port: IListeningPort = await self.endpoint(url, **options).listen(talker)
        return self.adopt(port)

    async def connects(self, url: str, talker: DatagramProtocol, **options: Any) -> Any:
        """Connect until the test is over; the transport."""
        transport = await self.endpoint(url, **options).connect(talker)
        self.adopt(transport)
        return transport

    async def fails(self, waiting: Any, kind: type[Exception]) -> Any:
        """The error that it fails with."""
        return await self.assertFailure(waiting, kind)


class ConversationTests(DatagramTestCase):
    """Datagrams in both directions."""

    async def there_and_back(self, listening: str, calling: str) -> None:
        """One asks, the other answers to where the question came from."""
        server, client = Talker(), Talker()
        port = await self.listens(listening, server)
        asked, answered = server.next(), client.next()
        transport = await self.connects(calling.replace("PORT", str(port)), client)
        transport.write(b"question")
        self.assertEqual(await asked, b"question")
        cast(Any, server.transport).write(b"answer", server.heard[0][1])
        self.assertEqual(await answered, b"answer")
        self.assertEqual((server.events, client.events), (["started"], ["started"]))

    async def test_every_kind_of_address_works(self) -> None:
        """IPv4 and IPv6, and every address by ``*``."""
        for listening, calling in (
            ("udp://127.0.0.1:0", "udp://127.0.0.1:PORT"),
            ("udp://[::1]:0", "udp://[::1]:PORT"),
            ("udp://*:0", "udp://[::1]:PORT"),
            ("udp://*:0", "udp://127.0.0.1:PORT"),
        ):
            await self.there_and_back(listening, calling)

    async def test_names_are_looked_up_on_both_sides(self) -> None:
        """A name is looked up, on both sides."""
        await self.turn()  # Before it runs, the reactor's resolver is not asked.
        self.resolving(named=["127.0.0.1", "::1"])
        await self.there_and_back("udp://named:0", "udp://named:PORT")

    async def test_a_name_s_link_local_address_keeps_its_zone(self) -> None:
        """The zone that the resolver found is kept; without one it would be EINVAL."""
        await self.turn()
        self.resolving(link=["fe80::7%1"])
        error = await self.fails(self.endpoint("udp://link:0").listen(Talker()), CannotListenError)
        self.assertEqual(error.interface, "fe80::7%1")

    async def test_a_datagram_arrives_whole(self) -> None:
        """The largest there is, and an empty one as well."""
        server = Talker()
        port = await self.listens("udp://127.0.0.1:0", server)
        transport = await self.connects(f"udp://127.0.0.1:{port}", Talker())
        for datagram in (b"x" * 65507, b""):
            arriving = server.next()
            transport.write(datagram)
            self.assertEqual(await arriving, datagram)

    async def test_a_connected_protocol_receives_from_its_peer_alone(self) -> None:
        """What another sender sends does not arrive, even before the socket is connected."""
        server, client, stranger = Talker(), Talker(), Talker()
        port = await self.listens("udp://127.0.0.1:0", server)
        await self.listens("udp://127.0.0.1:0", stranger)
        bind = sockets.bind_socket

        def bound(*arguments: Any) -> socket.socket:
            made = bind(*arguments)
            number = made.getsockname()[1]
            cast(Any, stranger.transport).write(b"too early", ("127.0.0.1", number))
            return made

        self.patch(datagrams, "bind_socket", bound)
        transport = await self.connects(f"udp://127.0.0.1:{port}", client)
        number = transport.getHost().port
        cast(Any, stranger.transport).write(b"from a stranger", ("127.0.0.1", number))
        arriving = client.next()
        cast(Any, server.transport).write(b"from the peer", ("127.0.0.1", number))
        self.assertEqual(await arriving, b"from the peer")
        self.assertEqual(len(client.heard), 1)

    async def test_a_refusal_is_told_and_the_port_stays_open(self) -> None:
        """When nothing listens there, the protocol is told, and may try again."""
        client = Talker()
        number = self.free_port()
        transport = await self.connects(f"udp://127.0.0.1:{number}", client)
        transport.write(b"is someone there?")
        await client.refused
        self.assertEqual(client.events, ["started", "refused"])
        server = Talker()
        arriving = server.next()
        await self.listens(f"udp://127.0.0.1:{number}", server)
        transport.write(b"and now?")
        self.assertEqual(await arriving, b"and now?")

    async def test_the_protocol_stops_with_its_port(self) -> None:
        """When the port has stopped, so has the protocol."""
        for waiting in (
            self.endpoint("udp://127.0.0.1:0").listen,
            self.endpoint(f"udp://127.0.0.1:{self.free_port()}").connect,
        ):
            talker = Talker()
            await self.stop(await waiting(talker))
            self.assertEqual(talker.events, ["started", "stopped"])


class OptionTests(DatagramTestCase):
    """The options of a datagram socket."""

    def flag(self, transport: Any, number: int) -> int:
        """What the system says of an option."""
        return int(transport.getHandle().getsockopt(socket.SOL_SOCKET, number))

    async def test_broadcast_is_off_unless_asked_for(self) -> None:
        """Broadcasting is allowed only if the URL says so."""
        for url, expected in (("udp://127.0.0.1:9?so_broadcast=yes", 1), ("udp://127.0.0.1:9", 0)):
            transport = await self.connects(url, Talker())
            self.assertEqual(self.flag(transport, socket.SO_BROADCAST), expected)
        talker = Talker()
        await self.listens("udp://0.0.0.0:0?so_broadcast=yes", talker)
        self.assertEqual(self.flag(talker.transport, socket.SO_BROADCAST), 1)

    async def test_buffer_sizes_are_set(self) -> None:
        """The kernel doubles what it is asked for (socket(7))."""
        transport = await self.connects("udp://127.0.0.1:9?so_rcvbuf=20000", Talker())
        self.assertEqual(self.flag(transport, socket.SO_RCVBUF), 40000)

    async def test_several_may_listen_on_one_port(self) -> None:
        """With ``so_reuseport`` a second one may listen, and without it may not."""
        port = await self.listens("udp://127.0.0.1:0?so_reuseport=yes", Talker())
        await self.listens(f"udp://127.0.0.1:{port}?so_reuseport=yes", Talker())
        endpoint = self.endpoint(f"udp://127.0.0.1:{port}")
        await self.fails(endpoint.listen(Talker()), CannotListenError)

    async def test_bindto_is_where_datagrams_are_sent_from(self) -> None:
        """``bindto`` is used, for addresses and for names."""
        self.resolving(both=["::1", "127.0.0.1"])
        for host in ("127.0.0.1", "both"):
            transport = await self.connects(f"udp://{host}:9", Talker(), bindto="127.0.0.9")
            self.assertEqual(transport.getHost().host, "127.0.0.9")
        number = self.free_port()
        transport = await self.connects("udp://127.0.0.1:9", Talker(), bindto=f"127.0.0.1:{number}")
        self.assertEqual(transport.getHost().port, number)

    async def test_an_unusable_bindto_is_refused(self) -> None:
        """An address that is not ours, or of the other family, is fatal."""
        self.resolving(four=["127.0.0.1"])
        rows = {
            "127.0.0.1": ("198.51.100.7", CannotListenError, "198.51.100.7"),
            "[::1]": ("127.0.0.1", InvalidOption, "not of the same address family"),
            "four": ("[::1]:0", InvalidOption, "not of the same address family"),
        }
        for host, (bindto, kind, text) in rows.items():
            connecting = self.endpoint(f"udp://{host}:9", bindto=bindto).connect(Talker())
            self.assertIn(text, str(await self.fails(connecting, kind)))

    async def test_options_that_would_do_nothing_are_refused(self) -> None:
        """``bindto`` is for sending, ``ipv6_v6only`` for IPv6: elsewhere they are refused."""
        for given, option in (
            ("udp://127.0.0.1:0?bindto=127.0.0.1", "bindto"),
            ("udp://127.0.0.1:0?ipv6_v6only=yes", "ipv6_v6only"),
        ):
            error = await self.fails(self.endpoint(given).listen(Talker()), InvalidOption)
            self.assertEqual(error.option, option)


class FailureTests(DatagramTestCase):
    """What goes wrong is told, and leaves no socket behind."""

    def test_a_missing_port_is_refused_when_the_endpoint_is_made(self) -> None:
        """Without a port nothing can be sent, nor listened to: the URL is at fault."""
        for url in ("udp://localhost", "udp://*", "udp://127.0.0.1", "udp://[::1]"):
            error = self.assertRaises(InvalidTransport, self.endpoint, url)
            self.assertIn(f"{url}: the port is missing; write {url}:PORT, 0 to listen", str(error))
            self.endpoint(url, port=0)

    async def test_sending_needs_a_host_and_a_port(self) -> None:
        """What is for listening only cannot be sent to."""
        for url in ("udp://*:53", "udp://127.0.0.1:0"):
            error = await self.fails(self.endpoint(url).connect(Talker()), InvalidTransport)
            self.assertIn("a host and a port from 1 to 65535 are needed", str(error))

    async def test_a_port_in_use_cannot_be_listened_on(self) -> None:
        """A second listener is told so."""
        port = await self.listens("udp://127.0.0.1:0", Talker())
        listening = self.endpoint(f"udp://127.0.0.1:{port}").listen(Talker())
        await self.fails(listening, CannotListenError)

    async def test_an_unknown_zone_is_an_error(self) -> None:
        """The name of a network interface must be one."""
        for method, kind in (("connect", ConnectError), ("listen", CannotListenError)):
            endpoint = self.endpoint("udp://[fe80::1%25nowhere0]:9")
            await self.fails(getattr(endpoint, method)(Talker()), kind)

    async def test_a_name_without_addresses_is_twisted_s_error(self) -> None:
        """Twisted's own error says so, on both sides."""
        self.resolving()
        for method in ("connect", "listen"):
            await self.fails(
                getattr(self.endpoint("udp://nowhere:9"), method)(Talker()), DNSLookupError
            )

    async def test_a_look_up_that_never_ends_is_given_up(self) -> None:
        """It is given up at the deadline, and can be cancelled before."""
        self.resolving(lost=None)
        for method in ("connect", "listen"):
            clocked = ClockedReactor(self.reactor)
            endpoint: Any = txtransport.datagram(clocked, "udp://lost:9?timeout=7")
            waiting = getattr(endpoint, method)(Talker())
            clocked.clock.advance(7.1)
            error = await self.fails(waiting, TransportTimeout)
            self.assertEqual((error.stage, error.seconds), ("look-up", 7))
            waiting = getattr(endpoint, method)(Talker())
            waiting.cancel()
            await self.fails(waiting, CancelledError)
            self.assertEqual(clocked.clock.getDelayedCalls(), [])

    async def test_an_exception_in_start_protocol_closes_the_socket(self) -> None:
        """Its exception is told, and its socket is closed."""

        class Broken(Talker):
            def startProtocol(self) -> None:
                raise RuntimeError("broken")

        number = self.free_port()
        for waiting in (
            self.endpoint(f"udp://127.0.0.1:{number}").listen,
            self.endpoint("udp://127.0.0.1:9", bindto=f"127.0.0.1:{number}").connect,
        ):
            await self.fails(waiting(Broken()), RuntimeError)
            await self.turn()
            await self.stop(await self.endpoint(f"udp://127.0.0.1:{number}").listen(Talker()))

    async def test_a_protocol_in_use_stays_where_it_is(self) -> None:
        """A protocol with a port cannot get a second one, and keeps the first."""
        talker = Talker()
        port = await self.listens("udp://127.0.0.1:0", talker)
        await self.fails(self.endpoint("udp://127.0.0.1:0").listen(talker), AssertionError)
        await self.turn()
        self.assertEqual(talker.events, ["started"])
        arriving = talker.next()
        (await self.connects(f"udp://127.0.0.1:{port}", Talker())).write(b"still there?")
        self.assertEqual(await arriving, b"still there?")

    async def test_no_descriptor_is_left_behind(self) -> None:
        """Whether it listens, connects, fails to start or cannot be bound."""

        class Broken(Talker):
            def startProtocol(self) -> None:
                raise RuntimeError("broken")

        async def opened() -> None:
            port = await self.endpoint("udp://127.0.0.1:0").listen(Talker())
            taken = port.getHost().port
            transport = await self.endpoint(f"udp://127.0.0.1:{taken}").connect(Talker())
            await self.fails(
                self.endpoint(f"udp://127.0.0.1:{taken}").listen(Talker()), CannotListenError
            )
            await self.fails(self.endpoint("udp://127.0.0.1:0").listen(Broken()), RuntimeError)
            await self.fails(self.endpoint("udp://127.0.0.1:9").connect(Broken()), RuntimeError)
            await self.fails(
                self.endpoint("udp://255.255.255.255:9").connect(Talker()), ConnectError
            )
            await transport.stopListening()
            await port.stopListening()

        await opened()
        before = open_descriptors()
        for _ in range(20):
            await opened()
        # Not more; there may be fewer, since Python still closes what other tests left.
        self.assertLessEqual(open_descriptors(), before)

    async def test_a_reactor_that_cannot_watch_sockets_is_refused(self) -> None:
        """The message says what is missing; Windows' IOCP is such a reactor."""
        for method in ("listen", "connect"):
            endpoint: Any = txtransport.datagram(Clock(), "udp://127.0.0.1:9")
            error = await self.fails(getattr(endpoint, method)(Talker()), TransportUnavailable)
            self.assertEqual(
                str(error),
                "udp://127.0.0.1:9: udp:// is not available: the reactor cannot watch sockets "
                "(IReactorFDSet); use twisted.internet.selectreactor",
            )


def open_descriptors() -> int:
    """How many descriptors this process has."""
    return len(os.listdir("/dev/fd"))


class EndpointTests(LoopbackTestCase):
    """The endpoint itself."""

    def test_the_endpoint_provides_its_interface(self) -> None:
        """It provides what the interface promises."""
        for url in ("udp://127.0.0.1:53", "udp://*:0", "udp://name:9"):
            endpoint = txtransport.datagram(MemoryReactorClock(), url)
            self.assertTrue(verifyObject(IDatagramEndpoint, endpoint))
