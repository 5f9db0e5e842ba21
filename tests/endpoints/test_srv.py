"""Clients with ``srv=``: where the DNS sends them, and where it cannot."""

from __future__ import annotations

from random import Random
from typing import Any, cast
from unittest import mock

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.endpoints import clientFromString
from twisted.internet.error import (
    ConnectBindError,
    ConnectingCancelledError,
    ConnectionRefusedError,
    DNSLookupError,
)
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.testing import MemoryReactorClock
from twisted.names import dns, error
from twisted.names.client import Resolver as TwistedResolver
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

import txtransport
from tests import certificates
from tests.loopback import Recorder, Recorders, Resolver
from tests.name_server import NameServerTestCase, header, srv
from txtransport.cli.probe.probing import probe
from txtransport.endpoints.client import ClientEndpoint
from txtransport.endpoints.network_errors import LookUpFailed, NetworkError
from txtransport.endpoints.srv import ServiceEndpoint
from txtransport.errors import (
    HandshakeFailed,
    InvalidOption,
    InvalidTransport,
    ProxyRefused,
    TransportTimeout,
)
from txtransport.testing.proxy import TestProxy

NAME = "_imaps._tcp.example.com"
URL = "tcp://example.com?srv=imaps"
ADDRESSES = {
    "example.com": ["192.0.2.100"],
    "a.example": ["192.0.2.1"],
    "b.example": ["192.0.2.2"],
    "c.example": ["2001:db8::3", "192.0.2.3"],
    "inside.example": ["10.0.0.1"],
    "public.example": ["8.8.8.8"],
}


class Answering:
    """A resolver that answers with records, fails, or waits for the test.

    Attributes:
        asked: What it was asked.
        given_up: How often the question was given up.
    """

    def __init__(self, *records: Any, error: Exception | None = None) -> None:
        self.asked: list[tuple[str, Any]] = []
        self.given_up = 0
        self._records = [
            each if isinstance(each, dns.RRHeader) else header(NAME, each) for each in records
        ]
        self._error = error
        self.is_silent = False

    def lookupService(self, name: str, timeout: Any) -> Deferred[Any]:
        self.asked.append((name, timeout))
        if self.is_silent:
            return Deferred(self._give_up)
        if self._error is not None:
            return fail(self._error)
        additional = [dns.RRHeader(b"a.example", dns.A, dns.IN, 60, dns.Record_A("6.6.6.6"))]
        return succeed((self._records, [], additional))

    def _give_up(self, looking: object) -> None:
        self.given_up += 1


class ServiceTestCase(SynchronousTestCase):
    """A reactor in memory, whose names have fixed addresses."""

    def setUp(self) -> None:
        self.reactor: Any = MemoryReactorClock()
        self.reactor.nameResolver = Resolver(ADDRESSES)
        self.factory = Recorders()

    def connecting(self, *records: Any, url: str = URL, **options: Any) -> Deferred[Any]:
        """An attempt to connect, whose records of equal priority come as they are given."""
        resolver = options.pop("resolver", None) or Answering(*records)
        endpoint = txtransport.client(self.reactor, url, resolver=resolver, **options)
        service = cast(ServiceEndpoint, endpoint.plaintext)
        endpoint = evolve(endpoint, plaintext=evolve(service, random=Random(1)))
        return endpoint.connect(self.factory)

    @property
    def tried(self) -> list[tuple[str, int]]:
        """The addresses and ports to which connections were begun."""
        return [client[:2] for client in self.reactor.tcpClients]

    def refuse(self, error: Exception | None = None) -> None:
        """Let the latest connection attempt fail."""
        factory = self.reactor.tcpClients[-1][2]
        factory.clientConnectionFailed(
            self.reactor.connectors[-1], Failure(error or ConnectionRefusedError(111))
        )


class URLTests(ServiceTestCase):
    """What is refused before anything is looked up."""

    def refused(self, url: str, kind: type[Exception] = InvalidOption, **options: Any) -> str:
        """Why the URL is refused."""
        options.setdefault("resolver", Answering())
        return str(self.assertRaises(kind, txtransport.client, self.reactor, url, **options))

    def test_an_address_has_no_services(self) -> None:
        """Nor has every address."""
        for host in ("192.0.2.1", "[2001:db8::1]:5"):
            self.assertIn("is an address", self.refused(f"tls://{host}?srv=imaps"))
        self.assertIn("name the domain", self.refused("tls://*?srv=imaps", InvalidTransport))
        self.assertIn("port 0", self.refused("tls://a.example:0?srv=imaps", InvalidTransport))

    def test_a_mistyped_service_says_how_it_is_written(self) -> None:
        """The name in the DNS is not that of the option."""
        told = self.refused("tls://example.com?srv=_imaps._tcp")
        self.assertIn("leave the underscore and what follows the service out", told)

    def test_a_domain_may_be_too_long(self) -> None:
        """Its name has no room for the service."""
        domain = ".".join(["x" * 60] * 4)
        self.assertIn("longer than 253", self.refused(f"tls://{domain}?srv=imaps"))

    def test_a_resolver_needs_a_service(self) -> None:
        """A resolver without ``srv=`` would not be asked."""
        self.assertIn("resolver needs srv", self.refused("tls://example.com:1"))
        self.assertIn("IResolver", self.refused(URL, resolver="8.8.8.8"))

    def test_a_proxy_that_looks_names_up_is_refused(self) -> None:
        """Our own name servers would hear what the user hides from them."""
        for proxy in (
            "socks5h://127.0.0.1:9050", "http://user:hunter2@proxy.example:3128",
            "https://proxy.example:443", "socks5://127.0.0.1:1,socks5h://127.0.0.1:2",
        ):  # fmt: skip
            for url in (URL, "tls://example.com:993?srv=imaps"):
                told = self.refused(url, proxy=proxy)
                self.assertIn("srv asks the name servers of this machine", told)
                self.assertNotIn("hunter2", told)
        with mock.patch.dict("os.environ", {"ALL_PROXY": "socks5h://127.0.0.1:9050"}):
            self.assertIn("srv asks", self.refused(URL, proxy="env"))

    def test_a_system_without_name_servers_needs_a_resolver(self) -> None:
        """Windows has no resolv.conf: nothing is guessed."""
        with mock.patch("os.name", "nt"):
            error = self.assertRaises(InvalidOption, txtransport.client, self.reactor, URL)
        self.assertIn("needs the keyword resolver", str(error))

    def test_strangers_may_not_ask_for_services(self) -> None:
        """Which port is connected to would be up to the domain's owner."""
        error = self.assertRaises(InvalidOption, txtransport.TransportURL.parse, URL, trusted=False)
        self.assertEqual(error.option, "srv")

    def test_servers_and_local_sockets_have_no_service(self) -> None:
        """The option is one of clients over TCP."""
        for url in ("unix:///run/x?srv=imaps", "udp://a.example:1?srv=imaps"):
            self.assertRaises(InvalidOption, txtransport.TransportURL.parse, url)
        self.assertRaises(InvalidOption, txtransport.server, self.reactor, "tcp://a:1?srv=imaps")

    def test_an_endpoint_with_a_service_is_one_of_twisted_s(self) -> None:
        """And one of an endpoint string; its representation names the service."""
        endpoint = txtransport.client(self.reactor, URL)
        verifyObject(IStreamClientEndpoint, endpoint.plaintext)
        self.assertEqual(repr(endpoint), f"<txtransport client {URL}>")
        text = txtransport.endpoint_string(f"{URL}&timeout=5")
        parsed = cast(ClientEndpoint, clientFromString(self.reactor, text))
        self.assertEqual(parsed.config.where, URL)
        with_starttls = "tls://example.com?srv=xmpp-client&starttls=xmpp"
        self.assertIn(with_starttls, repr(txtransport.client(self.reactor, with_starttls)))


class TargetTests(ServiceTestCase):
    """To which hosts and ports the records lead."""

    def test_the_target_and_its_port_are_connected_to(self) -> None:
        """The URL's own port does not count, nor does an address that the answer adds."""
        for url in (URL, "tcp://example.com:99?srv=imaps"):
            resolver = Answering(srv("a.example", 993))
            self.connecting(url=url, resolver=resolver)
            self.assertEqual(self.tried[-1], ("192.0.2.1", 993))
            ((name, rounds),) = resolver.asked
            self.assertEqual(name, NAME)
            self.assertGreaterEqual(sum(rounds), 30)

    def test_targets_are_tried_by_priority(self) -> None:
        """The next one when the one before refuses, and the error names the last."""
        connecting = self.connecting(
            srv("b.example", 2, 20), srv("a.example", 1, 10), srv("inside.example", 3, 30)
        )
        for _ in range(3):
            self.assertNoResult(connecting)
            self.refuse()
        self.assertEqual(self.tried, [("192.0.2.1", 1), ("192.0.2.2", 2), ("10.0.0.1", 3)])
        failure = self.failureResultOf(connecting, ConnectionRefusedError)
        error = cast(NetworkError, failure.value)
        self.assertIn(f"{URL}: inside.example:3 (target 3 of 3): the connection was", str(error))
        self.assertEqual(
            [line.partition(" (")[0] for line in error.evidence[1:]], ["a.example:1", "b.example:2"]
        )

    def test_the_addresses_of_a_target_compete(self) -> None:
        """Happy eyeballs within a target, and the next target only after the last address."""
        self.connecting(srv("c.example", 3, 1), srv("a.example", 1, 2))
        self.reactor.advance(0.3)
        self.assertEqual(self.tried, [("2001:db8::3", 3), ("192.0.2.3", 3)])
        self.refuse()
        self.assertEqual(len(self.tried), 2)

    def test_a_target_without_addresses_is_passed_over(self) -> None:
        """As is one that is an address, is no name, or has port 0."""
        self.connecting(
            srv("gone.example", 1, 1), srv("192.0.2.9", 1, 2), srv("a b", 1, 3),
            srv("a.example", 0, 4), srv("b.example", 5, 5),
        )  # fmt: skip
        self.assertEqual(self.tried, [("192.0.2.2", 5)])

    def test_bad_records_alone_are_an_error(self) -> None:
        """It says what is wrong with them; the plain host is not tried."""
        connecting = self.connecting(srv("127.0.0.1", 80), url="tcp://example.com:80?srv=imaps")
        error = self.failureResultOf(connecting, LookUpFailed).value
        self.assertEqual(error.cause, "bad-srv-target")
        self.assertTrue(error.permanent)
        self.assertEqual(self.tried, [])

    def test_a_silent_target_has_its_share_of_the_time(self) -> None:
        """What is left, divided by the targets that are left; the last has all."""
        connecting = self.connecting(
            srv("a.example", 1, 1), srv("b.example", 2, 2), srv("inside.example", 3, 3), timeout=30
        )
        for seconds, count in ((9.9, 1), (0.2, 2), (9.7, 2), (0.3, 3), (9.8, 3)):
            self.reactor.advance(seconds)
            self.assertEqual(len(self.tried), count)
        self.assertNoResult(connecting)
        self.reactor.advance(0.2)
        error = self.failureResultOf(connecting, TransportTimeout).value
        self.assertIn("inside.example:3 (target 3 of 3): ", str(error))
        self.assertIn("took longer than 30 s", str(error))
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_sixteen_targets_are_tried_at_the_most(self) -> None:
        """However many records a domain has."""
        connecting = self.connecting(*(srv("a.example", 1 + n, n) for n in range(100)))
        for _ in range(16):
            self.assertNoResult(connecting)
            self.refuse()
        self.failureResultOf(connecting, ConnectionRefusedError)
        self.assertEqual(len(self.tried), 16)

    def test_each_attempt_asks_again(self) -> None:
        """Records may change while a service reconnects."""
        resolver = Answering(srv("a.example", 1))
        endpoint = txtransport.client(self.reactor, URL, resolver=resolver)
        for count in (1, 2):
            connecting = endpoint.connect(self.factory)
            self.assertEqual(len(resolver.asked), count)
            self.refuse()
            self.failureResultOf(connecting)

    def test_a_local_address_that_cannot_be_used_is_fatal(self) -> None:
        """It is the same for each target."""
        connecting = self.connecting(
            srv("a.example", 1, 1), srv("b.example", 2, 2), bindto="192.0.2.250:0"
        )
        self.refuse(ConnectBindError(98))
        error = self.failureResultOf(connecting, ConnectBindError).value
        self.assertIn("192.0.2.250", str(error))
        self.assertEqual(len(self.tried), 1)

    def test_an_attempt_that_is_cancelled_ends_at_once(self) -> None:
        """In the look-up and while a target is connected to; no other target is tried."""
        silent = Answering()
        silent.is_silent = True
        connecting = self.connecting(resolver=silent)
        connecting.cancel()
        self.failureResultOf(connecting, ConnectingCancelledError)
        self.assertEqual(silent.given_up, 1)
        connecting = self.connecting(srv("a.example", 1, 1), srv("b.example", 2, 2))
        connecting.cancel()
        self.failureResultOf(connecting, ConnectingCancelledError)
        self.assertEqual(self.tried, [("192.0.2.1", 1)])
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    @given(st.lists(st.binary(max_size=80), max_size=5))
    def test_no_target_is_ever_an_address_or_printed_raw(self, targets: list[bytes]) -> None:
        """Whatever bytes the records have, names alone are looked up, and errors are printable."""
        self.setUp()
        resolver = self.reactor.nameResolver
        records = [srv("x", 80) for _ in targets]
        for record, target in zip(records, targets, strict=True):
            record.target.name = target
        connecting = self.connecting(*records)
        error = self.failureResultOf(connecting, LookUpFailed).value
        self.assertTrue(str(error).isprintable())
        self.assertLess(len(str(error)), 500)
        for host in resolver.hosts:
            self.assertRegex(host, r"\A[a-z0-9_.-]*[a-z_-][a-z0-9_-]*\.?\Z")


class PlainHostTests(ServiceTestCase):
    """When the URL's own host and port are connected to, and when they are not."""

    WITH_PORT = "tcp://example.com:99?srv=imaps"

    def test_a_domain_without_records_is_connected_to_itself(self) -> None:
        """There is no such name, or it has no records of this type."""
        for resolver in (
            Answering(),
            Answering(error=error.DNSNameError()),
            Answering(error=error.AuthoritativeDomainError()),
        ):
            self.connecting(url=self.WITH_PORT, resolver=resolver)
            self.assertEqual(self.tried.pop(), ("192.0.2.100", 99))
            self.reactor.tcpClients.clear()

    def test_without_a_port_that_is_an_error(self) -> None:
        """Nothing is guessed; the error says what to add."""
        failed = self.failureResultOf(self.connecting(), DNSLookupError).value
        self.assertEqual(failed.cause, "no-srv-record")
        self.assertIn(f"{URL}: the domain has no SRV record of that service", str(failed))
        self.assertIn("add the port", failed.remedy)

    def test_a_domain_without_the_service_is_not_connected_to(self) -> None:
        """The root as the only target says so (RFC 2782)."""
        connecting = self.connecting(srv("", 0), url=self.WITH_PORT)
        failed = self.failureResultOf(connecting, LookUpFailed).value
        self.assertEqual((failed.cause, failed.permanent), ("no-such-service", True))
        self.assertEqual(self.tried, [])

    def test_a_failure_of_the_name_server_is_no_answer(self) -> None:
        """An attacker who can only disturb the look-up does not choose where we connect to."""
        strange = header("_imaps._tcp.evil.example", srv("evil.example", 1))
        for resolver in (
            *(
                Answering(error=problem)
                for problem in (
                    error.DNSServerError(), error.DNSQueryRefusedError(), error.DNSFormatError(),
                    error.DNSNotImplementedError(), error.DNSUnknownError(),
                    error.DNSQueryTimeoutError(1), error.ResolverError(), error.DomainError(),
                    NotImplementedError(), OSError(101, "unreachable"), ValueError("\x1b[2J"),
                )
            ),
            Answering(strange),
        ):  # fmt: skip
            connecting = self.connecting(url=self.WITH_PORT, resolver=resolver)
            failed = self.failureResultOf(connecting, LookUpFailed).value
            self.assertEqual((failed.cause, failed.permanent), ("srv-look-up", False))
            self.assertTrue("".join(failed.evidence).isprintable())
            self.assertEqual(self.tried, [])

    def test_a_silent_name_server_is_given_up_at_the_deadline(self) -> None:
        """The look-up is a part of the attempt's time."""
        silent = Answering()
        silent.is_silent = True
        connecting = self.connecting(url=self.WITH_PORT, resolver=silent, timeout=7)
        self.reactor.advance(6.9)
        self.assertNoResult(connecting)
        self.reactor.advance(0.2)
        failed = self.failureResultOf(connecting, TransportTimeout).value
        self.assertEqual((failed.stage, failed.seconds), ("look-up", 7))
        self.assertEqual((self.tried, silent.given_up), ([], 1))

    def test_a_resolver_that_is_cancelled_from_elsewhere_fails_the_attempt(self) -> None:
        """It is not taken for an answer."""
        resolver = Answering(error=CancelledError())
        connecting = self.connecting(url=self.WITH_PORT, resolver=resolver)
        self.failureResultOf(connecting, CancelledError)
        self.assertEqual(self.tried, [])


class RuleTests(ServiceTestCase):
    """``allow_hosts`` and ``public_only`` beside ``srv=``."""

    def test_a_target_s_addresses_are_judged_as_any(self) -> None:
        """A domain's owner cannot lead us into our own network; other targets are tried."""
        inside, public = srv("inside.example", 80, 1), srv("public.example", 80, 2)
        connecting = self.connecting(inside, public_only=True)
        failed = self.failureResultOf(connecting, InvalidOption).value
        self.assertIn("public_only: 10.0.0.1", str(failed))
        self.assertIn("inside.example:80", str(failed))
        self.assertEqual(self.tried, [])
        self.connecting(inside, public, public_only=True)
        self.assertEqual(self.tried, [("8.8.8.8", 80)])

    def test_the_domain_s_name_is_what_is_allowed(self) -> None:
        """Its targets are its owner's choice, as its addresses are."""
        self.connecting(srv("a.example", 1), allow_hosts=["example.com"])
        self.assertEqual(self.tried, [("192.0.2.1", 1)])
        with self.assertRaises(InvalidOption):
            self.connecting(srv("a.example", 1), allow_hosts=["a.example"])

    def test_a_target_s_name_allows_nothing(self) -> None:
        """Where the domain is not allowed, its owner could name a host that is."""
        rules: dict[str, Any] = {"allow_hosts": ["a.example", "198.51.100.0/24"]}
        connecting = self.connecting(srv("a.example", 1), **rules)
        failed = self.failureResultOf(connecting, InvalidOption).value
        self.assertIn("allow_hosts does not have 192.0.2.1", str(failed))
        self.connecting(srv("a.example", 1), allow_hosts=["192.0.2.0/24"])
        self.assertEqual(self.tried, [("192.0.2.1", 1)])

    def test_the_plain_host_is_judged_too(self) -> None:
        """Without records as with them."""
        url = "tcp://inside.example:99?srv=imaps"
        connecting = self.connecting(url=url, public_only=True)
        self.failureResultOf(connecting, InvalidOption)
        self.assertEqual(self.tried, [])


class LoopbackTests(NameServerTestCase):
    """A DNS server and servers with TLS on loopback."""

    async def served(self, *names: str) -> tuple[int, Recorders]:
        """A server whose certificate is for these names; its port and its protocols."""
        peers = Recorders()
        site = certificates.issued("-".join(names), *names)
        port = await self.listening("tls://127.0.0.1:0", peers, local_cert=site)
        return port, peers

    def client(self, records: list[Any], query: str = "", **options: Any) -> ClientEndpoint:
        """A client of the service imaps of example.com, which has these records."""
        self.resolving(**{"mail.hosting.example": ["127.0.0.1"], "example.com": ["127.0.0.1"]})
        options.setdefault("cafile", certificates.cafile())
        options.setdefault("resolver", self.system({"_imaps._tcp": records}))
        return txtransport.client(self.reactor, f"tls://example.com{query}", srv="imaps", **options)

    async def reach(self, endpoint: ClientEndpoint, peers: Recorders) -> Recorder:
        """Connect to a server until the test is over; the server's handshake is complete."""
        arriving = peers.next()
        protocol = cast(Recorder, await endpoint.connect(Recorders()))
        self.addCleanup(self.end, protocol)
        await arriving
        return protocol

    async def test_the_peer_is_the_domain_and_not_the_target(self) -> None:
        """Name and SNI are the URL's, whatever the DNS says where the service is."""
        port, peers = await self.served("example.com")
        endpoint = self.client([srv("mail.hosting.example", port)])
        session = txtransport.session_of((await self.reach(endpoint, peers)).transport)
        assert session is not None
        self.assertEqual((session.server_name, session.verified), ("example.com", True))

    async def test_a_certificate_of_the_target_is_refused(self) -> None:
        """An attacker who forges an answer of the DNS has a certificate of that name, too."""
        port, peers = await self.served("mail.hosting.example")
        connecting = self.client([srv("mail.hosting.example", port)]).connect(Recorders())
        failed: Any = await self.assertFailure(connecting, HandshakeFailed)
        self.assertEqual(failed.cause, "wrong-name")
        self.assertIn(f"tls://example.com?srv=imaps: mail.hosting.example:{port}: ", str(failed))
        self.assertEqual(peers.built, 0)

    async def test_a_target_that_refuses_is_followed_by_the_next(self) -> None:
        """The backup is reached at once."""
        port, peers = await self.served("example.com")
        closed = self.free_port()
        await self.reach(
            self.client(
                [srv("mail.hosting.example", port, 20), srv("mail.hosting.example", closed, 10)]
            ),
            peers,
        )

    async def test_many_records_come_over_tcp(self) -> None:
        """An answer that does not fit into a datagram is as good as any."""
        port, peers = await self.served("example.com")
        records = [srv(f"{'x' * 40}.example.com", 1, 9) for _ in range(30)]
        await self.reach(self.client([srv("mail.hosting.example", port, 1), *records]), peers)

    async def test_twisted_s_own_resolver_serves(self) -> None:
        """Any of Twisted's IResolver can be given."""
        port, peers = await self.served("example.com")
        _, dns_port = self.name_server({"_imaps._tcp": [srv("mail.hosting.example", port)]})
        resolver = TwistedResolver(servers=[("127.0.0.1", dns_port)], reactor=self.reactor)
        await self.reach(self.client([], resolver=resolver), peers)

    async def proxied(self) -> tuple[TestProxy, str]:
        """A SOCKS proxy that is asked for addresses, and its URL."""
        proxy = TestProxy(self.reactor)
        self.addCleanup(proxy.end)
        return proxy, f"socks5://127.0.0.1:{await self.listening('tcp://127.0.0.1:0', proxy)}"

    async def test_targets_are_reached_through_a_proxy_that_looks_nothing_up(self) -> None:
        """A target to which the proxy cannot connect is followed by the next."""
        port, peers = await self.served("example.com")
        closed = self.free_port()
        proxy, url = await self.proxied()
        target = "mail.hosting.example"
        records = [srv(target, closed, 1), srv(target, port, 2)]
        await self.reach(self.client(records, proxy=url), peers)
        asked = [request.target for request in proxy.requests]
        self.assertEqual(asked, [f"127.0.0.1:{closed}", f"127.0.0.1:{port}"])
        connecting = self.client([srv(target, closed)], proxy=url).connect(Recorders())
        failed: Any = await self.assertFailure(connecting, ProxyRefused)
        self.assertIn(f"tls://example.com?srv=imaps: {target}:{closed}: the proxy", str(failed))

    async def test_rules_hold_through_a_proxy(self) -> None:
        """An address of a target is judged before the proxy is asked for it."""
        proxy, url = await self.proxied()
        endpoint = self.client([srv("mail.hosting.example", 1)], proxy=url, public_only=True)
        failed: Any = await self.assertFailure(endpoint.connect(Recorders()), InvalidOption)
        self.assertIn("public_only: 127.0.0.1", str(failed))
        self.assertEqual(proxy.requests, [])

    async def test_a_proxy_of_the_environment_may_be_none(self) -> None:
        """Then the targets are connected to as without ``proxy=``."""
        port, peers = await self.served("example.com")
        with mock.patch.dict("os.environ", {"ALL_PROXY": "socks5h://127.0.0.1:1", "NO_PROXY": "*"}):
            endpoint = self.client([srv("mail.hosting.example", port)], proxy="env")
        await self.reach(endpoint, peers)

    async def test_a_domain_without_records_is_reached_by_its_port(self) -> None:
        """And verified as ever."""
        port, peers = await self.served("example.com")
        await self.reach(self.client([], f":{port}"), peers)

    async def test_the_system_s_name_servers_are_asked(self) -> None:
        """Without a resolver, those of resolv.conf, which is read at each attempt."""
        port, peers = await self.served("example.com")
        _, dns_port = self.name_server({"_imaps._tcp": [srv("mail.hosting.example", port)]})
        servers = [("127.0.0.1", dns_port)]
        place = "txtransport.endpoints.name_servers.system_name_servers"
        with mock.patch(place, lambda: servers):
            await self.reach(self.client([], resolver=None), peers)

    async def test_a_probe_goes_where_the_records_lead(self) -> None:
        """The probe takes the option in the URL, and reports the address of the target."""
        port, _ = await self.served("example.com")
        _, dns_port = self.name_server({"_imaps._tcp": [srv("mail.hosting.example", port)]})
        self.resolving(**{"mail.hosting.example": ["127.0.0.1"]})
        place = "txtransport.endpoints.name_servers.system_name_servers"
        url = txtransport.TransportURL.parse("tls://example.com?srv=imaps")
        with mock.patch(place, lambda: [("127.0.0.1", dns_port)]):
            report = await probe(self.reactor, url, {"cafile": certificates.cafile()})
        self.assertTrue(report.is_connected)
        self.assertEqual([each.host for each in report.addresses], ["127.0.0.1"])
