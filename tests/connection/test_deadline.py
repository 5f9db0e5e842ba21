"""Deadlines: one call at the right time, or none."""

from __future__ import annotations

import gc
import weakref

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from txtransport.connection.deadline import Deadline


class DeadlineTests(SynchronousTestCase):
    """One timer, on a clock that the test moves."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.calls: list[float] = []

    def expired(self) -> None:
        """Write down when the deadline expired."""
        self.calls.append(self.clock.seconds())

    def test_expired_is_called_once_when_the_time_has_come(self) -> None:
        """Nothing happens before the deadline, and nothing more after it."""
        deadline = Deadline(self.clock, 5, self.expired)
        self.clock.advance(4.9)
        self.assertTrue(deadline.is_running)
        self.assertEqual(self.calls, [])
        self.clock.advance(0.1)
        self.assertFalse(deadline.is_running)
        self.clock.advance(100)
        self.assertEqual(self.calls, [5.0])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_zero_seconds_expire_in_the_next_turn(self) -> None:
        """A deadline is never called by the line that makes it."""
        deadline = Deadline(self.clock, 0, self.expired)
        self.assertTrue(deadline.is_running)
        self.assertEqual(self.calls, [])
        self.clock.advance(0)
        self.assertEqual(self.calls, [0.0])

    def test_a_stopped_deadline_never_expires(self) -> None:
        """Once it is stopped, there is no call, and no timer is left on the clock."""
        deadline = Deadline(self.clock, 5, self.expired)
        deadline.stop()
        self.assertFalse(deadline.is_running)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.clock.advance(100)
        self.assertEqual(self.calls, [])

    def test_stop_is_safe_at_any_time(self) -> None:
        """Stopping twice, or after the deadline, does nothing."""
        stopped = Deadline(self.clock, 1, self.expired)
        over = Deadline(self.clock, 1, self.expired)
        stopped.stop()
        self.clock.advance(1)
        for deadline in (stopped, over):
            deadline.stop()
            deadline.stop()
            self.assertFalse(deadline.is_running)
        self.assertEqual(self.calls, [1.0])

    def test_stop_is_safe_when_the_clock_has_dropped_the_call(self) -> None:
        """A reactor that is shut down may have cancelled every timer already."""
        deadline = Deadline(self.clock, 1, self.expired)
        for call in self.clock.getDelayedCalls():
            call.cancel()
        deadline.stop()
        self.assertFalse(deadline.is_running)

    def test_expired_may_stop_it_and_start_another(self) -> None:
        """Within the call the deadline is over, so its owner can set a new one."""

        def again() -> None:
            self.assertFalse(deadlines[-1].is_running)
            deadlines[-1].stop()
            self.expired()
            if len(deadlines) < 3:
                deadlines.append(Deadline(self.clock, 2, again))

        deadlines = [Deadline(self.clock, 2, again)]
        self.clock.pump([1] * 10)
        self.assertEqual(self.calls, [2.0, 4.0, 6.0])

    def test_an_exception_in_expired_leaves_it_over(self) -> None:
        """What `expired` raises reaches the clock, and there is no second call."""

        def broken() -> None:
            self.expired()
            raise ZeroDivisionError

        deadline = Deadline(self.clock, 1, broken)
        self.assertRaises(ZeroDivisionError, self.clock.advance, 1)
        self.assertFalse(deadline.is_running)
        self.clock.advance(10)
        self.assertEqual(self.calls, [1.0])

    def test_a_deadline_that_is_over_keeps_nothing_alive(self) -> None:
        """Its owner is freed at once, without waiting for the garbage collector."""

        class Owner:
            def __init__(self, clock: Clock) -> None:
                self.deadline = Deadline(clock, 5, self.expired)

            def expired(self) -> None:
                pass

        owner = Owner(self.clock)
        owner.deadline.stop()
        # A cancelled call stays in the clock's list until its turn on some reactors.
        self.clock.advance(5)
        freed = weakref.ref(owner)
        was_enabled = gc.isenabled()
        gc.disable()
        try:
            del owner
            self.assertIsNone(freed())
        finally:
            if was_enabled:
                gc.enable()
