"""A command's work under the global reactor, with the signals in our hands.

Whatever the work has to clean up is cleaned up before the process ends, also
when a signal ends it.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar, cast

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

_Result = TypeVar("_Result")


class Interrupted(Exception):
    """A signal ended the work.

    Attributes:
        number: The signal's.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"ended by {signal.Signals(number).name}")
        self.number = number


_ENDS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_until_complete(work: Callable[[Any], Coroutine[Any, Any, _Result]]) -> _Result:
    """What the work comes to, with the global reactor, which a process can run once.

    Args:
        work: Is given the reactor, which runs; is cancelled by a signal.

    Raises:
        Interrupted: A signal came; what there was to clean up is cleaned up.
        Exception: Whatever the work raises.
    """
    from twisted.internet import reactor as the_reactor

    reactor = cast(Any, the_reactor)
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
            reactor.callFromThread(lambda: working.cancel())

    reactor.callWhenRunning(begin)
    with _signals_caught(end):
        # react() leaves the signals to the reactor, which does not say which
        # of them came, knows nothing of SIGHUP, and stops with all that is
        # open.
        reactor.run(installSignalHandlers=False)
    if signals:
        raise Interrupted(signals[0])
    for problem in problems:
        problem.raiseException()
    return results[0]


@contextmanager
def _signals_caught(end: Callable[[int, object], None]) -> Iterator[None]:
    """Have signals end the work, except those that we are to ignore (nohup, ``&``)."""
    before = {number: signal.getsignal(number) for number in _ENDS}
    try:
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, end)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
