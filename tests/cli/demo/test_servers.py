"""The demo's servers: everything is on this machine, and gone when they are closed."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransportWithDisconnection

from tests.cli.demo.samples import DemoTestCase, mode
from txtransport import TransportUnavailable, TransportURL
from txtransport.cli.demo.servers import AddressUnavailable, DemoPeer, DemoServers, Echo
from txtransport.config import schemes

NOWHERE = "2001:db8::1"
"""An address that no machine has (RFC 3849), as ::1 is without IPv6."""


class MappingTests(DemoTestCase):
    """Where a transport is served."""

    async def test_names_and_addresses_are_mapped(self) -> None:
        """Whatever host is asked for, loopback is dialled, over the same transport."""
        servers = self.servers()
        for asked, scheme, host in (
            ("tcp://www.example.com:80", "tcp", "127.0.0.1"),
            ("tls://192.0.2.7:443", "tls", "127.0.0.1"),
            ("tlsv1.2://www.example.com", "tlsv1.2", "127.0.0.1"),
            ("udp://www.example.com", "udp", "127.0.0.1"),
            ("tcp://fe80::1", "tcp", "::1"),
        ):
            place = await servers.served_url(TransportURL.parse(asked))
            self.assertEqual((place.scheme, place.host), (scheme, host))
            self.assertGreater(place.port or 0, 1023)

    async def test_paths_are_mapped(self) -> None:
        """A local socket is made in the demo's folder, and nowhere else."""
        servers = self.servers()
        place = await servers.served_url(TransportURL.parse("unix:///run/a.sock"))
        self.assertEqual(place.path, str(servers.folder / "a.sock"))
        self.assertTrue((servers.folder / "a.sock").is_socket())

    async def test_same_transport_has_the_same_server(self) -> None:
        """The session of tls://www.example.com can be resumed, since it is the same server."""
        servers = self.servers()
        first, again, other = [
            await servers.served_url(TransportURL.parse(f"{scheme}://www.example.com"))
            for scheme in ("tls", "tls", "ssl")
        ]
        self.assertEqual(first, again)
        self.assertNotEqual(first.port, other.port)

    async def test_missing_addresses_are_an_error_of_their_own(self) -> None:
        """Where the machine has no such address, the error says so."""
        asked = TransportURL.parse("tcp://fe80::1")
        with self.assertRaises(AddressUnavailable) as caught:
            await self.servers(ipv6=NOWHERE).served_url(asked)
        self.assertIn(NOWHERE, str(caught.exception))

    async def test_other_failures_to_listen_are_failures(self) -> None:
        """A server that cannot start for another reason is not taken for a lack of IPv6."""
        with self.assertRaises(CannotListenError):
            # A link-local address cannot be bound without the name of its interface.
            await self.servers(ipv6="fe80::1").served_url(TransportURL.parse("tcp://fe80::1"))

    async def test_unavailable_transport_is_not_served(self) -> None:
        """A transport that is not there, such as SSL 2.0 without its extra, is not served."""
        self.patch(schemes, "is_legacy_installed", lambda: False)
        with self.assertRaises(TransportUnavailable):
            await self.servers().served_url(TransportURL.parse("sslv2://www.example.com"))


class SecretTests(DemoTestCase):
    """The certificate and its key."""

    async def test_only_the_owner_reads_the_key(self) -> None:
        """The files are for their owner alone, and the authority's key is in none of them."""
        servers = self.servers()
        self.assertEqual((mode(servers.local_cert), mode(servers.cafile)), (0o600, 0o600))
        with open(servers.cafile, "rb") as file:
            self.assertNotIn(b"PRIVATE KEY", file.read())

    async def test_client_verifies_the_name_that_was_asked_for(self) -> None:
        """A client on loopback demands the name that was asked for, not that of loopback."""
        servers = self.servers()
        trust = servers.trust(TransportURL.parse("tls://www.example.com"))
        self.assertEqual(trust, {"cafile": servers.cafile, "peer_name": "www.example.com"})
        self.assertEqual(servers.trust(TransportURL.parse("tls://[::1]:443"))["peer_name"], "::1")
        self.assertEqual(servers.trust(TransportURL.parse("tcp://www.example.com")), {})

    async def test_local_socket_stands_for_the_web_server(self) -> None:
        """Over a local socket the server is expected to be www.example.com."""
        trust = self.servers().trust(TransportURL.parse("tls+unix:///run/b.sock"))
        self.assertEqual(trust["peer_name"], "www.example.com")


class TimeLimitTests(DemoTestCase):
    """No wait is for ever."""

    def servers_on_a_clock(self, **options: Any) -> tuple[Clock, DemoServers]:
        """Servers, and the clock that they go by."""
        clock = Clock()
        return clock, DemoServers(clock, self.folder(), wait=2, total=7, **options)

    def test_each_step_and_all_together_have_a_limit(self) -> None:
        """Each step has its limit, and so have all of them together."""
        clock, servers = self.servers_on_a_clock()
        self.assertEqual(servers.seconds_left(), 2)
        clock.advance(6.5)
        self.assertEqual(servers.seconds_left(), 0.5)
        clock.advance(0.5)
        self.assertIn("7 seconds", str(self.assertRaises(TimeoutError, servers.seconds_left)))

    def test_result_in_time_leaves_no_timer(self) -> None:
        """A result that comes in time is passed on, and no timer is left."""
        clock, servers = self.servers_on_a_clock()
        answer: Deferred[str] = Deferred()
        waiting = Deferred.fromCoroutine(servers.within_deadline(answer))
        answer.callback("yes")
        self.assertEqual(self.successResultOf(waiting), "yes")
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_late_result_is_given_up(self) -> None:
        """A result that does not come in time is given up, and the error says how long it had."""
        clock, servers = self.servers_on_a_clock()
        waiting: Deferred[None] = Deferred.fromCoroutine(servers.within_deadline(Deferred()))
        clock.advance(2)
        self.assertIn(
            "nothing came within 2 seconds",
            self.failureResultOf(waiting, TimeoutError).getErrorMessage(),
        )

    def test_connection_that_does_not_close_is_aborted(self) -> None:
        """A connection that does not close in time is aborted."""
        clock, servers = self.servers_on_a_clock()
        peer = servers.peer_factory(DemoPeer).buildProtocol(None)
        transport = UnclosableTransport()
        peer.makeConnection(transport)
        closing = Deferred.fromCoroutine(servers.disconnect(peer))
        clock.advance(1)
        self.assertEqual((transport.is_aborted, closing.called), (False, False))
        clock.advance(1)
        self.assertTrue(transport.is_aborted)
        peer.connectionLost()
        self.successResultOf(closing)

    def test_connection_that_closes_leaves_no_timer(self) -> None:
        """A connection that closes in time leaves no timer behind."""
        clock, servers = self.servers_on_a_clock()
        peer = servers.peer_factory(DemoPeer).buildProtocol(None)
        transport = cast(Any, StringTransportWithDisconnection())
        transport.protocol = peer
        peer.makeConnection(transport)
        self.successResultOf(Deferred.fromCoroutine(servers.disconnect(peer)))
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_closing_ends_even_if_a_connection_does_not(self) -> None:
        """Closing the servers ends in time, even if a connection does not."""
        clock, servers = self.servers_on_a_clock()
        servers.peer_factory(DemoPeer).buildProtocol(None).makeConnection(UnclosableTransport())
        closing = Deferred.fromCoroutine(servers.close())
        self.assertNoResult(closing)
        clock.advance(2)
        self.successResultOf(closing)


class UnclosableTransport(StringTransportWithDisconnection):
    """A transport that does not lose its connection."""

    is_aborted = False

    def loseConnection(self) -> None:
        """Do nothing."""

    def abortConnection(self) -> None:
        """Do nothing but note it."""
        self.is_aborted = True


class CloseTests(DemoTestCase):
    """What closing the servers does."""

    async def test_closing_ends_open_connections(self) -> None:
        """To close the servers ends the connections that are still open."""
        servers = self.servers()
        place = await servers.served_url(TransportURL.parse("tls://www.example.com"))
        endpoint = servers.client(TransportURL.parse("tls://www.example.com"), place)
        peer = await servers.connect(endpoint, Echo)
        self.assertFalse(peer.gone.called)
        await servers.close()
        self.assertTrue(peer.gone.called)

    async def test_closing_stops_servers_and_frees_their_ports(self) -> None:
        """After closing, the port is free again, and the file of the local socket is gone."""
        servers = self.servers()
        place = await servers.served_url(TransportURL.parse("tcp://www.example.com"))
        await servers.served_url(TransportURL.parse("unix:///run/a.sock"))
        await servers.close()
        self.assertEqual(
            sorted(path.name for path in servers.folder.iterdir()), ["ca.pem", "site.pem"]
        )
        await self.listening(str(place), servers.peer_factory(Echo))
