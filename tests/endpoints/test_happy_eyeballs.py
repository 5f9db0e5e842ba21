"""Happy Eyeballs: the first address that connects, and no other."""

from __future__ import annotations

from collections import deque
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionRefusedError, NoRouteError, TimeoutError
from twisted.internet.interfaces import IProtocol, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from txtransport.endpoints.happy_eyeballs import DELAY, HappyEyeballs, interleave_families


class OrderTests(SynchronousTestCase):
    """The order in which addresses are tried."""

    def test_the_families_take_turns(self) -> None:
        """A network on which one family does not work costs one delay (RFC 8305, 4)."""
        rows = {
            "a: b: c: 1 2": "a: 1 b: 2 c:",
            "1 2 a:": "1 a: 2",
            "a: 1 b:": "a: 1 b:",
            "1 2 3": "1 2 3",
            "a:": "a:",
            "": "",
        }
        for given, expected in rows.items():
            self.assertEqual(interleave_families(given.split()), expected.split())


@implementer(IStreamClientEndpoint)
class FakeEndpoint:
    """An address that answers when the test says so."""

    def __init__(self) -> None:
        self.attempt: Deferred[Any] | None = None
        self.is_given_up = False

    def connect(self, protocolFactory: object) -> Deferred[IProtocol]:
        self.attempt = Deferred(self.give_up)
        return self.attempt

    def give_up(self, attempt: object) -> None:
        self.is_given_up = True

    def connects(self) -> Protocol:
        """It connects."""
        protocol = Protocol()
        assert self.attempt is not None
        self.attempt.callback(protocol)
        return protocol

    def refuses(self, error: Exception | None = None) -> None:
        """It refuses."""
        assert self.attempt is not None
        self.attempt.errback(error or ConnectionRefusedError())


class HappyEyeballsTests(SynchronousTestCase):
    """Three addresses, and a clock."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.addresses = [FakeEndpoint(), FakeEndpoint(), FakeEndpoint()]
        attempt = HappyEyeballs(self.clock, deque(self.addresses), Factory())
        self.done = attempt.start()

    def running(self) -> list[int]:
        """The numbers of the addresses that are being tried."""
        return [
            number
            for number, address in enumerate(self.addresses)
            if address.attempt is not None and not address.attempt.called
        ]

    def test_the_first_address_is_preferred(self) -> None:
        """If the first address answers at once, no other is tried."""
        protocol = self.addresses[0].connects()
        self.assertIs(self.successResultOf(self.done), protocol)
        self.clock.advance(10)
        self.assertIsNone(self.addresses[1].attempt)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_after_the_delay_the_next_address_is_tried_as_well(self) -> None:
        """Every quarter of a second another address is tried, beside the others."""
        self.assertEqual(self.running(), [0])
        for expected in ([0, 1], [0, 1, 2], [0, 1, 2]):
            self.clock.advance(DELAY)
            self.assertEqual(self.running(), expected)
        protocol = self.addresses[1].connects()
        self.assertIs(self.successResultOf(self.done), protocol)
        self.assertEqual([one.is_given_up for one in self.addresses], [True, False, True])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_after_a_refusal_the_next_address_is_tried_at_once(self) -> None:
        """An address that refuses costs no delay."""
        self.addresses[0].refuses()
        self.assertEqual(self.running(), [1])
        self.addresses[1].refuses(TimeoutError())
        self.assertEqual(self.running(), [2])
        protocol = self.addresses[2].connects()
        self.assertIs(self.successResultOf(self.done), protocol)

    def test_the_last_error_is_told_when_all_have_failed(self) -> None:
        """While one address is still being tried, the attempt has not failed."""
        self.clock.advance(DELAY)
        self.addresses[1].refuses()
        self.addresses[2].refuses()
        self.assertNoResult(self.done)
        self.addresses[0].refuses(NoRouteError())
        self.failureResultOf(self.done, NoRouteError)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_an_exception_of_the_factory_ends_the_attempt(self) -> None:
        """What is not the fault of an address is told at once, and no other is tried."""
        self.clock.advance(DELAY)
        self.addresses[1].refuses(RuntimeError("a bug"))
        self.failureResultOf(self.done, RuntimeError)
        self.assertEqual(self.running(), [])
        self.assertIsNone(self.addresses[2].attempt)

    def test_cancelling_gives_up_all_addresses(self) -> None:
        """No attempt and no timer is left over."""
        self.clock.advance(DELAY)
        self.done.cancel()
        self.failureResultOf(self.done, CancelledError)
        self.assertEqual([one.is_given_up for one in self.addresses], [True, True, False])
        self.clock.advance(10)
        self.assertIsNone(self.addresses[2].attempt)
        self.assertEqual(self.clock.getDelayedCalls(), [])
