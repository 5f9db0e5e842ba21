"""The demo as a program: the global reactor, a folder that goes, and signals.

The folder with the servers' key exists only while the reactor runs and the
signals are in our hands, so that nothing but SIGKILL leaves it behind.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, cast

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from txtransport.demo.mail import story
from txtransport.demo.report import Report
from txtransport.demo.stage import Stage
from txtransport.demo.table import table


class Interrupted(Exception):
    """A signal ended the demo.

    Attributes:
        number: The signal's.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"ended by {signal.Signals(number).name}")
        self.number = number


async def played(reactor: Any) -> Report:
    """The whole demo; when it ends, however it ends, nothing is left of it.

    Args:
        reactor: Runs.
    """
    began = time.perf_counter()
    with TemporaryDirectory(prefix="txtransport-") as folder:
        stage = Stage(reactor, Path(folder))
        try:
            rows, scenes = await table(stage), await story(stage)
        finally:
            await stage.close()
    return Report(rows, scenes, time.perf_counter() - began)


_ENDS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run() -> Report:
    """The whole demo with the global reactor, which a process can run once.

    Raises:
        Interrupted: A signal came; what there was to clean up is cleaned up.
    """
    from twisted.internet import reactor as the_reactor

    reactor = cast(Any, the_reactor)
    signals: list[int] = []
    problems: list[Failure] = []
    reports: list[Report] = []
    playing: Deferred[None]

    def begin() -> None:
        nonlocal playing
        playing = Deferred.fromCoroutine(played(reactor)).addCallbacks(
            reports.append, problems.append
        )
        playing.addBoth(lambda result: reactor.stop())

    def end(number: int, frame: object) -> None:
        signals.append(number)
        if len(signals) == 1:
            reactor.callFromThread(lambda: playing.cancel())

    reactor.callWhenRunning(begin)
    with _caught(end):
        # react() leaves the signals to the reactor, which does not say which
        # of them came, knows nothing of SIGHUP, and stops with all that is
        # open.
        reactor.run(installSignalHandlers=False)
    if signals:
        raise Interrupted(signals[0])
    for problem in problems:
        problem.raiseException()
    return reports[0]


@contextmanager
def _caught(end: Callable[[int, object], None]) -> Iterator[None]:
    """Have signals end the demo, except those that we are to ignore (nohup, ``&``)."""
    before = {number: signal.getsignal(number) for number in _ENDS}
    try:
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, end)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
