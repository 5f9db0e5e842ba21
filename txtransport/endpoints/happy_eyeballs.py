"""Several addresses of one name, tried as RFC 8305 (Happy Eyeballs) has it.

The next address has its turn when the one before has failed, or has been
silent for a quarter of a second; the first that connects wins, and the others
are given up. IPv6 and IPv4 take turns, so that a network on which one of them
leads nowhere costs one delay and no more.

Twisted's ``HostnameEndpoint`` does the same for most names. It lets each
address that refuses cost 0.3 s, though, and knows no host whose name is not
also good IDNA: ``my_service``, or ``r3---sn-x.example``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import zip_longest
from typing import Any, Final

from attrs import Factory, define
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectError, TimeoutError
from twisted.internet.interfaces import (
    IDelayedCall,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.python.failure import Failure

from txtransport.config.address import is_ipv6

# RFC 8305, section 5: between 100 ms and 2 s, 250 ms recommended.
DELAY: Final = 0.25
"""Seconds after which the next address has its turn."""

# What an address may be blamed for. Anything else is a fault of whoever
# builds the protocol, and is not to be met with at every address.
_ADDRESS_ERRORS: Final = (ConnectError, TimeoutError)


def interleave_families(hosts: Iterable[str]) -> list[str]:
    """Addresses in the order in which to try them.

    Args:
        hosts: In the resolver's order, the preferred first.

    Returns:
        The same, with the families taking turns (RFC 8305, section 4).
    """
    families: dict[bool, list[str]] = {}
    for host in hosts:
        families.setdefault(is_ipv6(host), []).append(host)
    rounds = zip_longest(*families.values())
    return [host for turn in rounds for host in turn if host is not None]


@define(eq=False)
class HappyEyeballs:
    """One connection attempt at several addresses.

    Attributes:
        clock: For the delays.
        endpoints: At least one, the preferred first.
        guests: Builds the protocol for the winner.
        done: Fires with the winner's protocol, or fails as the last of them
            did; cancelling gives all of them up.
    """

    clock: IReactorTime
    endpoints: deque[IStreamClientEndpoint]
    factory: IProtocolFactory
    done: Deferred[IProtocol] = Factory(lambda self: Deferred(self._cancelled), takes_self=True)
    _running: list[Deferred[IProtocol]] = Factory(list)
    _timer: IDelayedCall | None = None
    _is_over: bool = False

    def start(self) -> Deferred[IProtocol]:
        """Give the first address its turn; `done`."""
        self._next()
        return self.done

    def _next(self) -> None:
        self._stop_timer()
        endpoint = self.endpoints.popleft()
        if self.endpoints:
            self._timer = self.clock.callLater(DELAY, self._next)
        attempt = endpoint.connect(self.factory)
        self._running.append(attempt)
        attempt.addBoth(self._finished, attempt)

    def _finished(self, result: Any, attempt: Deferred[IProtocol]) -> None:
        self._running.remove(attempt)
        if self._is_over:
            return
        if not isinstance(result, Failure):
            self._end()
            self.done.callback(result)
        elif self.endpoints and result.check(*_ADDRESS_ERRORS):
            self._next()
        elif not self._running or not result.check(*_ADDRESS_ERRORS):
            self._end()
            self.done.errback(result)

    def _cancelled(self, done: object) -> None:
        self._end()

    def _end(self) -> None:
        self._is_over = True
        self._stop_timer()
        for attempt in list(self._running):
            attempt.cancel()

    def _stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
