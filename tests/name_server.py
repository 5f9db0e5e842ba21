"""A DNS server on loopback, for tests, and the records that it answers with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from twisted.internet.protocol import Factory
from twisted.names import dns
from twisted.names.authority import FileAuthority
from twisted.names.server import DNSServerFactory

from tests.loopback import LoopbackTestCase
from txtransport.endpoints.name_servers import NameServers

DOMAIN = b"example.com"


def srv(target: str, port: int, priority: int = 0, weight: int = 0) -> dns.Record_SRV:
    """An SRV record; the root is the target ``""``."""
    return dns.Record_SRV(priority, weight, port, target.encode(), 60)


def header(name: str, payload: Any) -> dns.RRHeader:
    """A record of an answer."""
    return dns.RRHeader(name.encode(), payload.TYPE, dns.IN, 60, payload)


class Zone(FileAuthority):
    """The zone example.com.

    Args:
        records: By the name in front of ``example.com``.
    """

    def __init__(self, records: Mapping[str, Sequence[Any]]) -> None:
        self._given = records
        super().__init__("example.com")

    def loadFile(self, filename: str) -> None:
        start = dns.Record_SOA(b"ns.example.com", b"hostmaster.example.com", 1, 60, 60, 60, 60)
        zone: Any = self
        zone.soa = DOMAIN, start
        zone.records = {
            DOMAIN: [start],
            **{f"{name}.example.com".encode(): [*found] for name, found in self._given.items()},
        }


class CountingServer(DNSServerFactory):
    """A DNS server that counts its questions.

    Attributes:
        datagrams: Questions over UDP.
        streams: Questions over TCP.
        code: What it answers all with, in place of an answer.
        is_silent: Whether it answers nothing.
    """

    noisy = False
    datagrams = streams = 0
    code: int | None = None
    is_silent = False

    def messageReceived(self, message: dns.Message, proto: Any, address: Any = None) -> None:
        if address is None:
            self.streams += 1
        else:
            self.datagrams += 1
        if self.is_silent:
            return
        if self.code is None:
            super().messageReceived(message, proto, address)
            return
        message.timeReceived = 0.0
        message.answer, message.rCode = 1, self.code
        self.sendReply(proto, message, address)

    def sendReply(self, protocol: Any, message: dns.Message, address: Any) -> None:
        if address is not None:
            # RFC 1035, section 4.2.1; Twisted's own would send datagrams of any size.
            message.maxSize = 512
        super().sendReply(protocol, message, address)


class System:
    """Looks up as the system's name servers would, if they were these.

    Args:
        reactor: Asks them.
        servers: Addresses and ports.
    """

    def __init__(self, reactor: Any, *servers: tuple[str, int]) -> None:
        self._reactor = reactor
        self._servers = servers

    def lookupService(self, name: str, timeout: Sequence[int]) -> Any:
        return NameServers(self._reactor, self._servers).lookupService(name, timeout)


class NameServerTestCase(LoopbackTestCase):
    """A test with DNS servers on loopback."""

    def name_server(self, zone: Mapping[str, Sequence[Any]]) -> tuple[CountingServer, int]:
        """A DNS server over UDP and TCP, until the test is over; and its port."""
        server = CountingServer(authorities=[Zone(zone)])
        protocol = dns.DNSDatagramProtocol(server, self.reactor)
        protocol.noisy = False
        return server, self.listening_to_both(protocol, _Serving(server))

    def listening_to_both(self, datagrams: Any, streams: Factory) -> int:
        """Listen for datagrams and for connections, until the test is over.

        Returns:
            The number of both ports: one that TCP had free, which few programs use for UDP.
        """
        tcp = self.reactor.listenTCP(0, streams, interface="127.0.0.1")
        number = self.adopt(tcp)
        self.adopt(self.reactor.listenUDP(number, datagrams, interface="127.0.0.1"))
        return number

    def system(self, zone: Mapping[str, Sequence[Any]]) -> System:
        """The system's look-up, by one server of ours."""
        return System(self.reactor, ("127.0.0.1", self.name_server(zone)[1]))


class _Serving(Factory):
    noisy = False

    def __init__(self, server: CountingServer) -> None:
        self._server = server

    def buildProtocol(self, addr: Any) -> Any:
        return self._server.buildProtocol(addr)
