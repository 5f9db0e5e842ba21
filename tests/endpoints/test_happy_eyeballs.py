"""The race for a name's addresses: the first that connects, and no one else."""

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
    """Which address has its turn when."""

    def test_the_families_take_turns(self) -> None:
        """A network on which one family leads nowhere costs one delay (RFC 8305, 4)."""
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
class Runner:
    """An address that answers when the test says so."""

    def __init__(self) -> None:
        self.attempt: Deferred[Any] | None = None
        self.is_given_up = False

    def connect(self, protocolFactory: object) -> Deferred[IProtocol]:
        self.attempt = Deferred(self.give_up)
        return self.attempt

    def give_up(self, attempt: object) -> None:
        self.is_given_up = True

    def wins(self) -> Protocol:
        """It connects."""
        protocol = Protocol()
        assert self.attempt is not None
        self.attempt.callback(protocol)
        return protocol

    def falls(self, error: Exception | None = None) -> None:
        """It refuses."""
        assert self.attempt is not None
        self.attempt.errback(error or ConnectionRefusedError())


class RaceTests(SynchronousTestCase):
    """Three addresses, and a clock."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.runners = [Runner(), Runner(), Runner()]
        race = HappyEyeballs(self.clock, deque(self.runners), Factory())
        self.done = race.start()

    def running(self) -> list[int]:
        """Who has had its turn and was not given up."""
        return [
            number
            for number, runner in enumerate(self.runners)
            if runner.attempt is not None and not runner.attempt.called
        ]

    def test_the_first_is_preferred(self) -> None:
        """If the first address answers at once, no other is tried."""
        protocol = self.runners[0].wins()
        self.assertIs(self.successResultOf(self.done), protocol)
        self.clock.advance(10)
        self.assertIsNone(self.runners[1].attempt)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_silence_gives_the_next_its_turn(self) -> None:
        """Every quarter of a second another address is tried, beside the others."""
        self.assertEqual(self.running(), [0])
        for expected in ([0, 1], [0, 1, 2], [0, 1, 2]):
            self.clock.advance(DELAY)
            self.assertEqual(self.running(), expected)
        protocol = self.runners[1].wins()
        self.assertIs(self.successResultOf(self.done), protocol)
        self.assertEqual([one.is_given_up for one in self.runners], [True, False, True])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_refusal_gives_the_next_its_turn_at_once(self) -> None:
        """No one waits for an address that has answered with no."""
        self.runners[0].falls()
        self.assertEqual(self.running(), [1])
        self.runners[1].falls(TimeoutError())
        self.assertEqual(self.running(), [2])
        protocol = self.runners[2].wins()
        self.assertIs(self.successResultOf(self.done), protocol)

    def test_the_last_error_is_told_when_all_have_failed(self) -> None:
        """While one address is still being tried, there is hope."""
        self.clock.advance(DELAY)
        self.runners[1].falls()
        self.runners[2].falls()
        self.assertNoResult(self.done)
        self.runners[0].falls(NoRouteError())
        self.failureResultOf(self.done, NoRouteError)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_bug_ends_the_race(self) -> None:
        """What is no address's fault is told at once, and no other address is tried."""
        self.clock.advance(DELAY)
        self.runners[1].falls(RuntimeError("a bug"))
        self.failureResultOf(self.done, RuntimeError)
        self.assertEqual(self.running(), [])
        self.assertIsNone(self.runners[2].attempt)

    def test_cancelling_gives_all_of_them_up(self) -> None:
        """No attempt and no timer is left over."""
        self.clock.advance(DELAY)
        self.done.cancel()
        self.failureResultOf(self.done, CancelledError)
        self.assertEqual([one.is_given_up for one in self.runners], [True, True, False])
        self.clock.advance(10)
        self.assertIsNone(self.runners[2].attempt)
        self.assertEqual(self.clock.getDelayedCalls(), [])
