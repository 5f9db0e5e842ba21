"""The system's name servers, asked for SRV records: over UDP, over TCP, and in vain."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, cast

from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.protocol import DatagramProtocol
from twisted.names import dns, error
from twisted.trial.unittest import SynchronousTestCase

from tests.loopback import ClockedReactor, Recorders
from tests.name_server import NameServerTestCase, srv
from txtransport.endpoints.name_servers import (
    NameServers,
    read_name_servers,
    system_name_servers,
)

NAME = "_imaps._tcp.example.com"
ZONE = {
    "_imaps._tcp": [srv("mail.example.com", 993)],
    "_many._tcp": [srv(f"{'x' * 40}.example.com", 1 + n) for n in range(40)],
}


CUT = b"\x82\x00" + bytes(8)
"""An answer, behind its number, that does not fit into a datagram (TC)."""


class ResolvConfTests(SynchronousTestCase):
    """Which name servers the system has."""

    def test_the_first_three_name_servers_count(self) -> None:
        """In the form in which answers come from them; what is none is passed over (MAXNS)."""
        text = (
            "# nameserver 192.0.2.9\nsearch a.example\nnameserver 192.0.2.1\nnameserver\n"
            "nameserver 2001:DB8:0::1\n nameserver\tname.example\nnameserver fe80::1%eth0 x\n"
            "nameserver 192.0.2.2\n"
        )
        servers = ["192.0.2.1", "2001:db8::1", "fe80::1%eth0"]
        self.assertEqual(read_name_servers(text), [(server, 53) for server in servers])

    def test_without_any_this_machine_is_asked(self) -> None:
        """As resolv.conf(5) has it, also where there is no such file."""
        here = [("127.0.0.1", 53)]
        self.assertEqual(read_name_servers("options edns0\n"), here)
        self.assertEqual(system_name_servers(Path("/nonexistent/resolv.conf")), here)
        with tempfile.NamedTemporaryFile("wb") as file:
            file.write(b"nameserver 192.0.2.1\n\xff\xfe\n")
            file.flush()
            self.assertEqual(system_name_servers(Path(file.name)), [("192.0.2.1", 53)])


class Mute(DatagramProtocol):
    """A name server that answers with what the test says."""

    noisy = False
    answer: bytes | None = None
    asked = 0

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        self.asked += 1
        if self.answer is not None:
            assert self.transport is not None
            self.transport.write(datagram[:2] + self.answer, addr)


class NameServersTests(NameServerTestCase):
    """Questions to servers on loopback."""

    def mute(self, streams: Recorders | None = None) -> tuple[Mute, tuple[str, int]]:
        """A server of `Mute`, and its address; with a factory, over TCP as well."""
        protocol = Mute()
        if streams is not None:
            protocol.answer = CUT
            return protocol, ("127.0.0.1", self.listening_to_both(protocol, streams))
        port = self.reactor.listenUDP(0, protocol, interface="127.0.0.1")
        return protocol, ("127.0.0.1", self.adopt(port))

    async def look_up(self, *servers: tuple[str, int], name: str = NAME) -> list[Any]:
        """The records that they answer with."""
        asking = NameServers(self.reactor, servers).lookupService(name, (5,))
        answers, _, _ = await asking
        self.assertEqual(self.timers(), [])
        return [answer.payload for answer in answers]

    def timers(self) -> list[Any]:
        """What of twisted.names still waits."""
        return [each for each in self.reactor.getDelayedCalls() if "_clearFailed" in repr(each)]

    async def test_records_come_over_udp(self) -> None:
        """An answer that fits into a datagram costs one question."""
        server, port = self.name_server(ZONE)
        (record,) = await self.look_up(("127.0.0.1", port))
        self.assertEqual((record.target.name, record.port), (b"mail.example.com", 993))
        self.assertEqual((server.datagrams, server.streams), (1, 0))

    async def test_an_answer_that_is_cut_comes_over_tcp(self) -> None:
        """All forty records come, and the connection does not stay."""
        server, port = self.name_server(ZONE)
        records = await self.look_up(("127.0.0.1", port), name="_many._tcp.example.com")
        self.assertEqual(len(records), 40)
        self.assertEqual((server.datagrams, server.streams), (1, 1))

    async def test_a_name_that_is_not_there_is_an_error_of_its_own(self) -> None:
        """NXDOMAIN is an answer: no other server is asked."""
        _, port = self.name_server(ZONE)
        mute, other = self.mute()
        looking = self.look_up(("127.0.0.1", port), other, name="_pop3s._tcp.example.com")
        with self.assertRaises(error.DNSNameError):
            await looking
        self.assertEqual(mute.asked, 0)

    async def test_a_server_that_fails_is_followed_by_the_next(self) -> None:
        """SERVFAIL, REFUSED, an answer to another question, and no server at all."""
        _, good = self.name_server(ZONE)
        for code in (dns.ESERVER, dns.EREFUSED, dns.EFORMAT, 9):
            server, port = self.name_server(ZONE)
            server.code = code
            self.assertEqual(len(await self.look_up(("127.0.0.1", port), ("127.0.0.1", good))), 1)
        mute, liar = self.mute()
        other = dns.Message(answer=1)
        other.queries = [dns.Query(b"_imaps._tcp.evil.example", dns.SRV)]
        mute.answer = other.toStr()[2:]
        self.assertEqual(len(await self.look_up(liar, ("127.0.0.1", good))), 1)
        closed = ("127.0.0.1", self.free_port())
        self.assertEqual(len(await self.look_up(closed, ("127.0.0.1", good))), 1)

    async def test_the_last_failure_is_told(self) -> None:
        """SERVFAIL, and a port at which nothing listens, end the question at once."""
        server, port = self.name_server(ZONE)
        server.code = dns.ESERVER
        with self.assertRaises(error.DNSServerError):
            await self.look_up(("127.0.0.1", port))
        with self.assertRaises(ConnectionRefusedError):
            await self.look_up(("127.0.0.1", self.free_port()))

    async def test_silence_is_waited_for_in_rounds(self) -> None:
        """A server that says nothing is asked once a round, and given up after the last."""
        _, address = self.mute()
        clocked = ClockedReactor(self.reactor)
        asking = NameServers(clocked, [address]).lookupService(NAME, (1, 2))
        clocked.clock.advance(1)
        self.assertNoResult(asking)
        clocked.clock.advance(2)
        self.failureResultOf(asking, error.DNSQueryTimeoutError)
        self.assertEqual(clocked.clock.getDelayedCalls(), [])
        await self.turn()

    async def test_a_question_that_is_given_up_leaves_nothing(self) -> None:
        """Neither a timer nor a socket, over UDP and over TCP."""
        for is_cut in (False, True):
            peers = Recorders()
            arriving = peers.next() if is_cut else None
            _, address = self.mute(peers if is_cut else None)
            asking = NameServers(self.reactor, [address]).lookupService(NAME, (30,))
            if arriving is not None:
                peer = await arriving
                await peer.heard(b"_imaps")
            asking.cancel()
            await self.assertFailure(asking, CancelledError)
            self.assertEqual(self.timers(), [])
            if arriving is not None:
                await peer.gone()

    async def test_a_server_that_hangs_up_has_failed(self) -> None:
        """A TCP connection that ends without an answer does not cost the whole time."""
        peers = Recorders()
        arriving = peers.next()
        _, address = self.mute(peers)
        asking = NameServers(self.reactor, [address]).lookupService(NAME, (30,))
        peer = await arriving
        await peer.heard(b"_imaps")
        cast(Any, peer.transport).loseConnection()
        failure = await self.assertFailure(asking, Exception)
        self.assertIn("closed the connection", str(failure))
