"""Runs a coroutine with the global reactor, and turns signals into its cancellation.

So whatever the coroutine has to clean up, in a ``finally:`` or on leaving a
``with``, is cleaned up before the process ends, also when a signal ends it.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Final, Protocol, TypeVar, cast

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

__all__ = ["Interrupted", "run_until_complete"]

_Result = TypeVar("_Result")


class Interrupted(Exception):
    """A signal ended the work.

    Attributes:
        number: The signal, such as 15 for SIGTERM.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"ended by {signal.Signals(number).name}")
        self.number = number


class _Reactor(Protocol):
    """What is used of the global reactor, for which Twisted has no type."""

    def callWhenRunning(self, callable: Callable[[], object]) -> object: ...
    def callFromThread(self, callable: Callable[[], object]) -> object: ...
    def run(self, installSignalHandlers: bool) -> object: ...
    def stop(self) -> object: ...


_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_until_complete(
    work: Callable[[object], Coroutine[Deferred[object], object, _Result]],
) -> _Result:
    """Run the global reactor until the work is done; a process can do so once.

    Args:
        work: Is called with the running reactor. SIGINT, SIGTERM and SIGHUP
            cancel it.

    Returns:
        The result of the work.

    Raises:
        Interrupted: A signal came, and the work has cleaned up.
        Exception: What the work raises.
    """
    from twisted.internet import reactor as the_reactor

    reactor = cast(_Reactor, the_reactor)
    signals: list[int] = []
    problems: list[Failure] = []
    results: list[_Result] = []
    working: Deferred[None]

    def begin() -> None:
        nonlocal working
        working = Deferred.fromCoroutine(work(reactor)).addCallbacks(
            results.append, problems.append
        )
        working.addBoth(lambda result: reactor.stop())

    def end(number: int, frame: object) -> None:
        signals.append(number)
        if len(signals) == 1:
            # Python runs a signal's handler between any two instructions: this
            # one may stand within the reactor's own code. callFromThread(),
            # which also wakes the reactor, is the one call that is safe there.
            reactor.callFromThread(lambda: working.cancel())

    reactor.callWhenRunning(begin)
    with _signals_caught(end):
        # Twisted's own `react()` lets the reactor catch the signals. The
        # reactor then stops at once, with everything still open; it does not
        # catch SIGHUP, and does not say which signal came.
        reactor.run(installSignalHandlers=False)
    if signals:
        raise Interrupted(signals[0])
    for problem in problems:
        problem.raiseException()
    return results[0]


@contextmanager
def _signals_caught(end: Callable[[int, object], None]) -> Iterator[None]:
    """Handle the signals for a while.

    A signal that is ignored stays ignored: nohup and the shell's ``&`` start a
    process like that, so that the end of the terminal does not end it.

    Args:
        end: Called with the signal, and the frame that it interrupted.
    """
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, end)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
