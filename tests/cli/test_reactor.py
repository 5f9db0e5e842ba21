"""A command's work: run by the reactor, and cancelled by signals."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import twisted.internet
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from txtransport.cli.reactor import Interrupted, run_until_complete


class Reactor:
    """As much of a reactor as `run_until_complete` needs; it does not wait for events.

    Args:
        meanwhile: Happens while it runs.
    """

    def __init__(self, meanwhile: Callable[[], object]) -> None:
        self.is_stopped = False
        self._begin: list[Callable[[], object]] = []
        self._meanwhile = meanwhile

    def callWhenRunning(self, call: Callable[[], object]) -> None:
        self._begin.append(call)

    def callFromThread(self, call: Callable[[], object]) -> None:
        call()

    def run(self, installSignalHandlers: bool) -> None:
        assert not installSignalHandlers
        for call in self._begin:
            call()
        self._meanwhile()
        assert self.is_stopped

    def stop(self) -> None:
        self.is_stopped = True


class RunUntilCompleteTests(SynchronousTestCase):
    """The reactor, and the signals."""

    def run_during(self, working: Deferred[str], meanwhile: Callable[[], object] = str) -> str:
        """Run work that ends when `working` fires, and call `meanwhile` in the reactor."""
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGHUP)}

        async def work(reactor: Any) -> str:
            return await working

        self.patch(twisted.internet, "reactor", Reactor(meanwhile))
        try:
            return run_until_complete(work)
        finally:
            for number, handler in handlers.items():
                self.assertEqual(signal.getsignal(number), handler)

    def test_result_stops_the_reactor(self) -> None:
        """When the work is done, the reactor stops, and its result is returned."""
        working: Deferred[str] = Deferred()
        self.assertEqual(self.run_during(working, lambda: working.callback("done")), "done")

    def test_failure_is_raised(self) -> None:
        """When the work fails, the exception is raised."""
        working: Deferred[str] = Deferred()
        with self.assertRaises(OSError):
            self.run_during(working, lambda: working.errback(OSError("no space")))

    def test_signal_cancels_the_work_and_is_named(self) -> None:
        """SIGINT, SIGTERM and SIGHUP cancel the work, and are named; a second changes nothing."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            cancelled: list[object] = []
            working: Deferred[str] = Deferred(cancelled.append)

            def twice(number: int = number) -> None:
                signal.raise_signal(number)
                signal.raise_signal(signal.SIGTERM)

            with self.assertRaises(Interrupted) as caught:
                self.run_during(working, twice)
            self.assertEqual((caught.exception.number, cancelled), (number, [working]))
            self.assertIn(signal.Signals(number).name, str(caught.exception))

    def test_ignored_signal_stays_ignored(self) -> None:
        """Under nohup the end of a terminal does not end the work."""
        working: Deferred[str] = Deferred()

        def hang_up() -> None:
            signal.raise_signal(signal.SIGHUP)
            working.callback("done")

        before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self.addCleanup(signal.signal, signal.SIGHUP, before)
        self.assertEqual(self.run_during(working, hang_up), "done")
