"""Looking names up: all the addresses, once, within a deadline."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import DNSLookupError
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from tests.loopback import Resolver
from txtransport.endpoints.resolve import IPAddress, host_of, resolve_addresses
from txtransport.errors import TransportTimeout

SECONDS: Final = 30.0


class HostTests(SynchronousTestCase):
    """A found address as text."""

    def test_an_address_keeps_its_zone(self) -> None:
        """A link-local address leads nowhere without the interface that it belongs to."""
        rows: list[tuple[IPAddress, str]] = [
            (IPv4Address("TCP", "192.0.2.7", 1), "192.0.2.7"),
            (IPv6Address("TCP", "2001:db8::1", 1), "2001:db8::1"),
            (IPv6Address("TCP", "fe80::1", 1, scopeID=2), "fe80::1%2"),
            (IPv6Address("TCP", "fe80::1%eth0", 1, scopeID=2), "fe80::1%eth0"),
        ]
        for address, expected in rows:
            self.assertEqual(host_of(address), expected)


class LookupTests(SynchronousTestCase):
    """Looking up one name."""

    def setUp(self) -> None:
        self.reactor: Any = MemoryReactorClock()

    def asked(self, *known: Iterable[str] | None, kind: str = "TCP") -> Deferred[Any]:
        """The addresses of a name that has these; None for an endless look-up."""
        self.resolver = Resolver({"name": known[0] if known else ()})
        # Twisted's reactor in memory has a name resolver of its own from 25.5 on.
        self.reactor.nameResolver = self.resolver
        return resolve_addresses(
            self.reactor, "name", 7, kind, seconds=SECONDS, where="tcp://name:7"
        )

    def test_every_address_is_found_once_in_order(self) -> None:
        """A name has as many addresses as the resolver finds, each once."""
        found = self.successResultOf(self.asked(["::1", "127.0.0.1", "::1", "127.0.0.2"]))
        self.assertEqual(found, [
            IPv6Address("TCP", "::1", 7), IPv4Address("TCP", "127.0.0.1", 7),
            IPv4Address("TCP", "127.0.0.2", 7),
        ])  # fmt: skip
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_addresses_are_asked_for_by_kind(self) -> None:
        """Addresses are asked for by kind, since some resolvers tell them apart."""
        found = self.successResultOf(self.asked(["::1"], kind="UDP"))
        self.assertEqual(found, [IPv6Address("UDP", "::1", 7)])

    def test_what_is_no_address_of_the_internet_is_left_out(self) -> None:
        """Of a resolver's answers only IPv4 and IPv6 addresses are used."""
        looking = self.asked(None)
        receiver = self.resolver._asked[0][0]
        receiver.addressResolved(UNIXAddress("/run/x"))
        self.resolver.answer()
        self.failureResultOf(looking, DNSLookupError)

    def test_a_name_without_addresses_is_an_error(self) -> None:
        """There is no such name, and the error says which."""
        failure = self.failureResultOf(self.asked(), DNSLookupError)
        self.assertIn("there is no address of name", str(failure.value))

    def test_a_look_up_that_never_ends_is_given_up(self) -> None:
        """It is given up at the deadline, although Twisted's own cannot be cancelled."""
        looking = self.asked(None)
        self.reactor.advance(SECONDS - 1)
        self.assertNoResult(looking)
        self.reactor.advance(2)
        error: Any = self.failureResultOf(looking, TransportTimeout).value
        self.assertEqual((error.stage, error.seconds), ("look-up", SECONDS))
        self.assertIn("tcp://name:7", str(error))

    def test_the_answer_to_a_cancelled_look_up_is_dropped(self) -> None:
        """After a look-up was cancelled its answer is thrown away."""
        looking = self.asked(None)
        looking.cancel()
        self.failureResultOf(looking, CancelledError)
        self.resolver.answer("127.0.0.1")
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_a_resolver_that_can_be_cancelled_is_cancelled(self) -> None:
        """Cancelling the look-up cancels the work of the resolver."""
        resolver = CancellableResolver()
        self.reactor.nameResolver = resolver
        looking = resolve_addresses(self.reactor, "name", 7, "TCP", seconds=SECONDS, where="")
        looking.cancel()
        self.failureResultOf(looking, CancelledError)
        self.assertTrue(resolver.is_cancelled)

    def test_an_exception_of_the_resolver_fails_the_look_up(self) -> None:
        """The look-up fails with what resolveHostName raises."""
        self.reactor.nameResolver = FailingResolver()
        looking = resolve_addresses(self.reactor, "name", 7, "TCP", seconds=SECONDS, where="")
        self.failureResultOf(looking, RuntimeError)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_a_look_up_can_be_cancelled_before_it_began(self) -> None:
        """Cancelling works before the resolver has called resolutionBegan."""
        resolver = CancellableResolver(is_silent=True)
        self.reactor.nameResolver = resolver
        looking = resolve_addresses(self.reactor, "name", 7, "TCP", seconds=SECONDS, where="")
        looking.cancel()
        self.failureResultOf(looking, CancelledError)


class CancellableResolver:
    """A resolver that waits, and can be cancelled."""

    def __init__(self, *, is_silent: bool = False) -> None:
        self.is_cancelled = False
        self._is_silent = is_silent

    def resolveHostName(
        self, receiver: Any, *args: object, **keywords: object
    ) -> CancellableResolver:
        if not self._is_silent:
            receiver.resolutionBegan(self)
        return self

    def cancel(self) -> None:
        self.is_cancelled = True


class FailingResolver:
    """A resolver that cannot start a thread."""

    def resolveHostName(self, *args: object, **keywords: object) -> None:
        raise RuntimeError("cannot schedule new work")
