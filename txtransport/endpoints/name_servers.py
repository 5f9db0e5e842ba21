"""Asks the system's name servers for SRV records, on the reactor.

The system's own resolver (``getaddrinfo``), by which the addresses of names are looked up,
has no SRV records. Twisted's ``twisted.names.client.Resolver`` has, but it reads
``/etc/resolv.conf`` again every minute for as long as the process runs, and leaves timers
and connections behind when a question is given up. `NameServers` is made for one question
and leaves nothing. It speaks the protocol by ``twisted.names.dns``.

An answer counts when it comes from the address that was asked, has the number of the
question (16 random bits, from a port of the system's choice), and repeats the question.
One that does not fit into a datagram is asked for again over TCP.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any, Final

from attrs import define, field
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.error import ConnectError, ConnectionRefusedError
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory
from twisted.names import dns, error
from twisted.python.failure import Failure

from txtransport.config.address import canonical_address, is_ipv6
from txtransport.endpoints.plaintext_client import AddressEndpoint

__all__ = ["NameServers", "read_name_servers", "system_name_servers"]

_RESOLV_CONF: Final = Path("/etc/resolv.conf")
_MOST_SERVERS: Final = 3
"""MAXNS of resolv.conf(5)."""

_Answer = tuple[list[dns.RRHeader], list[dns.RRHeader], list[dns.RRHeader]]

_FAILURES: Final = {
    dns.EFORMAT: error.DNSFormatError,
    dns.ESERVER: error.DNSServerError,
    dns.ENAME: error.DNSNameError,
    dns.ENOTIMP: error.DNSNotImplementedError,
    dns.EREFUSED: error.DNSQueryRefusedError,
}


def read_name_servers(text: str) -> list[tuple[str, int]]:
    """The name servers of a resolv.conf(5).

    Args:
        text: Of the file.

    Returns:
        Addresses, in the form in which their answers have them, and ports; three at the
        most. Without any, the name server of this machine.
    """
    servers = []
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["nameserver"] and len(words) > 1:
            try:
                servers.append((canonical_address(words[1]), dns.PORT))
            except ValueError:
                continue
    return servers[:_MOST_SERVERS] or [("127.0.0.1", dns.PORT)]


def system_name_servers(path: Path = _RESOLV_CONF) -> list[tuple[str, int]]:
    """The name servers of this machine, as they are now.

    Args:
        path: The system's resolv.conf(5). Where there is none, the name server of this
            machine is asked.
    """
    try:
        return read_name_servers(path.read_text("utf-8", "replace"))
    except OSError:
        return read_name_servers("")


@define(eq=False)
class NameServers:
    """Some name servers, for one question; of Twisted's ``IResolver`` it has what SRV needs.

    Attributes:
        reactor: Sends datagrams, connects and keeps time.
        servers: Their addresses and ports, asked in this order.
    """

    reactor: Any
    servers: Sequence[tuple[str, int]]
    _connected: Deferred[None] = field(factory=Deferred, init=False)

    @inlineCallbacks
    def lookupService(
        self, name: str, timeout: Sequence[int]
    ) -> Generator[Deferred[Any], Any, _Answer]:
        """Look up SRV records.

        Args:
            name: For example ``_xmpps-client._tcp.example.com``.
            timeout: Seconds to wait for each server; one round of all servers for each.

        Returns:
            Fires with the answer's three sections. Fails with the errors of
            ``twisted.names.error``. Cancelling it leaves nothing behind.
        """
        query = dns.Query(name, dns.SRV, dns.IN)
        refusal: Exception = error.DNSQueryTimeoutError(0)
        for seconds in timeout:
            for server in self.servers:
                try:
                    message: dns.Message = yield self._ask(server, query, seconds)
                except DeferredTimeout:
                    continue
                except (ConnectError, OSError) as problem:
                    refusal = problem
                    continue
                if message.rCode == dns.OK:
                    return message.answers, message.authority, message.additional
                refusal = _FAILURES.get(message.rCode, error.DNSUnknownError)(message)
                if message.rCode == dns.ENAME:
                    raise refusal
            if not isinstance(refusal, DeferredTimeout):
                raise refusal
        raise refusal

    @inlineCallbacks
    def _ask(
        self, server: tuple[str, int], query: dns.Query, seconds: int
    ) -> Generator[Deferred[Any], Any, dns.Message]:
        """One server's answer."""
        message: dns.Message = yield self._ask_by_datagram(server, query, seconds)
        if message.trunc:
            over_tcp = self._ask_by_stream(server, query, seconds)
            message = yield over_tcp.addTimeout(seconds, self.reactor)
        if message.queries != [query]:
            message.rCode = dns.EFORMAT
        return message

    @inlineCallbacks
    def _ask_by_datagram(
        self, server: tuple[str, int], query: dns.Query, seconds: int
    ) -> Generator[Deferred[Any], Any, dns.Message]:
        protocol = _DatagramProtocol(self, self.reactor, server)
        interface = "::" if is_ipv6(server[0]) else ""
        port = self.reactor.listenUDP(0, protocol, interface=interface)
        try:
            message: dns.Message = yield protocol.query(server, [query], seconds)
        finally:
            _stop_timers(protocol)
            port.stopListening()
        return message

    @inlineCallbacks
    def _ask_by_stream(
        self, server: tuple[str, int], query: dns.Query, seconds: int
    ) -> Generator[Deferred[Any], Any, dns.Message]:
        self._connected = Deferred()
        host, port = server
        endpoint = AddressEndpoint(
            lambda factory: self.reactor.connectTCP(host, port, factory, timeout=seconds)
        )
        protocol = yield endpoint.connect(_StreamFactory(self, self.reactor))
        try:
            yield self._connected
            message: dns.Message = yield protocol.query([query], seconds)
        finally:
            _stop_timers(protocol)
            protocol.transport.abortConnection()
        return message

    # --- what the protocols of twisted.names call ---

    def messageReceived(
        self, message: dns.Message, protocol: object, address: object = None
    ) -> None:
        """Nothing: a message that answers no question."""

    def connectionMade(self, protocol: object) -> None:
        """Go on: the question can be asked over TCP."""
        self._connected.callback(None)

    def connectionLost(self, protocol: dns.DNSProtocol) -> None:
        """Fail what waits for an answer over TCP."""
        _fail(protocol, ConnectError(string="the name server closed the connection"))


class _DatagramProtocol(dns.DNSDatagramProtocol):
    """Asks one name server by datagrams, on a socket that hears no other address.

    Args:
        controller: As Twisted's class has it, and so is the reactor.
        reactor: Keeps time.
        server: The name server's address and port.
    """

    noisy = False

    def __init__(self, controller: NameServers, reactor: Any, server: tuple[str, int]) -> None:
        super().__init__(controller, reactor)  # type: ignore[no-untyped-call]
        self._server = server

    def startProtocol(self) -> None:
        super().startProtocol()  # type: ignore[no-untyped-call]
        self.transport.connect(*self._server)

    def connectionRefused(self) -> None:
        """Fail at once: no name server listens there."""
        _fail(self, ConnectionRefusedError())

    def stopProtocol(self) -> None:
        """Fail as well where the reactor takes the same message (ICMP) for the port's end."""
        _fail(self, ConnectionRefusedError())
        super().stopProtocol()


class _StreamFactory(Factory):
    """Builds the protocol of a question over TCP.

    Args:
        servers: Is told of connections and messages.
        reactor: Keeps time.
    """

    noisy = False

    def __init__(self, servers: NameServers, reactor: Any) -> None:
        self._servers = servers
        self._reactor = reactor

    def buildProtocol(self, addr: IAddress | None) -> dns.DNSProtocol:
        return dns.DNSProtocol(self._servers, self._reactor)


def _stop_timers(protocol: dns.DNSMixin) -> None:
    """Stop what twisted.names would go on waiting with after a question is given up."""
    for _, call in protocol.liveMessages.values():
        call.cancel()
    protocol.liveMessages = {}


def _fail(protocol: dns.DNSMixin, problem: Exception) -> None:
    """Fail the question that a protocol waits with, if it does."""
    waiting = list(protocol.liveMessages.values())
    _stop_timers(protocol)
    for deferred, _ in waiting:
        deferred.errback(Failure(problem))
