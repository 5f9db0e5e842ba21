"""A timer that calls a function once, unless it is stopped first."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

__all__ = ["Deadline"]


class Deadline:
    """Calls `expired` once, some time from now, and never after `stop`.

    It runs from the moment that it is made. A deadline that is over, because
    it was stopped or because it has expired, does not run again: to wait
    anew, make another.

    Args:
        clock: Keeps time.
        seconds: How long to wait; 0 or more.
        expired: Is called without arguments; `is_running` is False by then.
    """

    __slots__ = ("_call",)

    def __init__(self, clock: IReactorTime, seconds: float, expired: Callable[[], object]) -> None:
        # The delayed call forgets its arguments when it is over. Kept as an
        # attribute, `expired` would hold its owner in a reference cycle.
        self._call: IDelayedCall | None = clock.callLater(seconds, self._expire, expired)

    @property
    def is_running(self) -> bool:
        """Whether it has neither expired nor been stopped."""
        return self._call is not None

    def stop(self) -> None:
        """Do not call `expired` any more; without effect on a deadline that is over."""
        call, self._call = self._call, None
        if call is not None and call.active():
            call.cancel()

    def _expire(self, expired: Callable[[], object]) -> None:
        self._call = None
        expired()
