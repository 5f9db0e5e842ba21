"""The stage: everything is on this machine, and gone with it."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransportWithDisconnection

import txtransport
from tests.cli.demo.samples import StageTestCase, mode
from txtransport import TransportUnavailable, TransportURL
from txtransport.cli.demo.servers import AddressUnavailable, DemoPeer, DemoServers, Echo

NOWHERE = "2001:db8::1"
"""An address that no machine has (RFC 3849), as ::1 is without IPv6."""


class PlaceTests(StageTestCase):
    """Where a transport is served."""

    async def test_names_and_addresses_are_mapped(self) -> None:
        """Whatever was asked for is dialled on loopback, over the same transport."""
        stage = self.stage()
        for asked, scheme, host in (
            ("tcp://www.example.com:80", "tcp", "127.0.0.1"),
            ("tls://192.0.2.7:443", "tls", "127.0.0.1"),
            ("tlsv1.2://www.example.com", "tlsv1.2", "127.0.0.1"),
            ("udp://www.example.com", "udp", "127.0.0.1"),
            ("tcp://fe80::1", "tcp", "::1"),
        ):
            place = await stage.served_url(TransportURL.parse(asked))
            self.assertEqual((place.scheme, place.host), (scheme, host))
            self.assertGreater(place.port or 0, 1023)

    async def test_paths_are_mapped(self) -> None:
        """A local socket is made in the demo's folder, and nowhere else."""
        stage = self.stage()
        place = await stage.served_url(TransportURL.parse("unix:///run/a.sock"))
        self.assertEqual(place.path, str(stage.folder / "a.sock"))
        self.assertTrue((stage.folder / "a.sock").is_socket())

    async def test_one_server_for_one_place(self) -> None:
        """The session of tls://www.example.com can be resumed, since it is the same server."""
        stage = self.stage()
        first, again, other = [
            await stage.served_url(TransportURL.parse(f"{scheme}://www.example.com"))
            for scheme in ("tls", "tls", "ssl")
        ]
        self.assertEqual(first, again)
        self.assertNotEqual(first.port, other.port)

    async def test_without_ipv6(self) -> None:
        """A machine without such an address says so."""
        asked = TransportURL.parse("tcp://fe80::1")
        with self.assertRaises(AddressUnavailable) as caught:
            await self.stage(ipv6=NOWHERE).served_url(asked)
        self.assertIn(NOWHERE, str(caught.exception))

    async def test_other_failures_are_failures(self) -> None:
        """A server that cannot start for another reason is not taken for a lack of IPv6."""
        with self.assertRaises(CannotListenError):
            # Without its interface, a link-local address is no address.
            await self.stage(ipv6="fe80::1").served_url(TransportURL.parse("tcp://fe80::1"))

    async def test_what_cannot_be_had(self) -> None:
        """SSL 2.0 has no server, since there is none."""
        with self.assertRaises(TransportUnavailable):
            await self.stage().served_url(TransportURL.parse("sslv2://www.example.com"))


class SecretTests(StageTestCase):
    """The certificate and its key."""

    async def test_only_the_owner_reads_the_key(self) -> None:
        """The files are for their owner alone, and the authority's key is in none of them."""
        stage = self.stage()
        self.assertEqual((mode(stage.local_cert), mode(stage.cafile)), (0o600, 0o600))
        with open(stage.cafile, "rb") as file:
            self.assertNotIn(b"PRIVATE KEY", file.read())

    async def test_what_was_asked_for_is_verified(self) -> None:
        """A client on loopback demands the name that was asked for, not that of loopback."""
        stage = self.stage()
        trust = stage.trust(TransportURL.parse("tls://www.example.com"))
        self.assertEqual(trust, {"cafile": stage.cafile, "peer_name": "www.example.com"})
        self.assertEqual(stage.trust(TransportURL.parse("tls://[::1]:443"))["peer_name"], "::1")
        self.assertEqual(stage.trust(TransportURL.parse("tcp://www.example.com")), {})

    async def test_a_path_names_no_one(self) -> None:
        """Over a local socket the server is expected to be www.example.com."""
        trust = self.stage().trust(TransportURL.parse("tls+unix:///run/b.sock"))
        self.assertEqual(trust["peer_name"], "www.example.com")


class PatienceTests(StageTestCase):
    """No wait is for ever."""

    def on_a_clock(self, **options: Any) -> tuple[Clock, DemoServers]:
        """A stage whose time is ours."""
        clock = Clock()
        return clock, DemoServers(clock, self.folder(), wait=2, total=7, **options)

    def test_patience_ends(self) -> None:
        """Each wait is short, and all of them together are."""
        clock, stage = self.on_a_clock()
        self.assertEqual(stage.seconds_left(), 2)
        clock.advance(6.5)
        self.assertEqual(stage.seconds_left(), 0.5)
        clock.advance(0.5)
        self.assertIn("7 seconds", str(self.assertRaises(TimeoutError, stage.seconds_left)))

    def test_a_result_in_time(self) -> None:
        """What comes in time is the result, and no timer is left."""
        clock, stage = self.on_a_clock()
        answer: Deferred[str] = Deferred()
        waiting = Deferred.fromCoroutine(stage.within_deadline(answer))
        answer.callback("yes")
        self.assertEqual(self.successResultOf(waiting), "yes")
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_a_result_too_late(self) -> None:
        """What does not come is given up, with the time that it had."""
        clock, stage = self.on_a_clock()
        waiting: Deferred[None] = Deferred.fromCoroutine(stage.within_deadline(Deferred()))
        clock.advance(2)
        self.assertIn(
            "nothing came within 2 seconds",
            self.failureResultOf(waiting, TimeoutError).getErrorMessage(),
        )

    def test_a_goodbye_that_is_not_answered(self) -> None:
        """A peer that does not let go is left."""
        clock, stage = self.on_a_clock()
        party = stage.peer_factory(DemoPeer).buildProtocol(None)
        transport = Deaf()
        party.makeConnection(transport)
        parting = Deferred.fromCoroutine(stage.disconnect(party))
        clock.advance(1)
        self.assertEqual((transport.is_aborted, parting.called), (False, False))
        clock.advance(1)
        self.assertTrue(transport.is_aborted)
        party.connectionLost()
        self.successResultOf(parting)

    def test_a_goodbye_that_is(self) -> None:
        """A peer that lets go leaves no timer behind."""
        clock, stage = self.on_a_clock()
        party = stage.peer_factory(DemoPeer).buildProtocol(None)
        transport = cast(Any, StringTransportWithDisconnection())
        transport.protocol = party
        party.makeConnection(transport)
        self.successResultOf(Deferred.fromCoroutine(stage.disconnect(party)))
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_an_end_that_does_not_come(self) -> None:
        """Closing the stage ends, even if a connection does not."""
        clock, stage = self.on_a_clock()
        stage.peer_factory(DemoPeer).buildProtocol(None).makeConnection(Deaf())
        closing = Deferred.fromCoroutine(stage.close())
        self.assertNoResult(closing)
        clock.advance(2)
        self.successResultOf(closing)


class Deaf(StringTransportWithDisconnection):
    """A transport that does not lose its connection."""

    is_aborted = False

    def loseConnection(self) -> None:
        """No."""

    def abortConnection(self) -> None:
        """No, but noted."""
        self.is_aborted = True


class CloseTests(StageTestCase):
    """The end of it."""

    async def test_conversations_end_with_the_stage(self) -> None:
        """Whoever still speaks when the stage is closed is gone when it is."""
        stage = self.stage()
        place = await stage.served_url(TransportURL.parse("tls://www.example.com"))
        endpoint = txtransport.client(
            self.reactor, place, **stage.trust(TransportURL.parse("tls://www.example.com"))
        )
        party = await stage.connect(endpoint, Echo)
        self.assertFalse(party.gone.called)
        await stage.close()
        self.assertTrue(party.gone.called)

    async def test_servers_stop_with_the_stage(self) -> None:
        """The port is free again, and the socket's file is gone."""
        stage = self.stage()
        place = await stage.served_url(TransportURL.parse("tcp://www.example.com"))
        await stage.served_url(TransportURL.parse("unix:///run/a.sock"))
        await stage.close()
        self.assertEqual(
            sorted(path.name for path in stage.folder.iterdir()), ["ca.pem", "site.pem"]
        )
        await self.listening(str(place), stage.peer_factory(Echo))
