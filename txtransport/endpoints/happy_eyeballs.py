"""Connects to the first of a name's addresses that answers (RFC 8305, Happy Eyeballs).

An address is tried when the one before has failed, or has not answered for a
quarter of a second; the first that connects wins, and the other attempts are
cancelled. IPv6 and IPv4 take turns, so that a network on which one of them
does not work costs one delay and no more.

Twisted's ``HostnameEndpoint`` does the same for most names, with two
differences: an address that refuses the connection costs 0.3 s, and a name
that is not valid IDNA, such as ``my_service`` or ``r3---sn-x.example``, cannot
be connected to.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import zip_longest
from typing import Final, cast

from attrs import Factory, define
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectError, TimeoutError
from twisted.internet.interfaces import (
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.python.failure import Failure

from txtransport.config.address import is_ipv6
from txtransport.connection.deadline import Deadline
from txtransport.errors import ProxyRefused

__all__ = ["DELAY", "HappyEyeballs", "interleave_families", "is_of_address"]

# RFC 8305, section 5: between 100 ms and 2 s, 250 ms recommended.
DELAY: Final = 0.25
"""Seconds without an answer after which the next address is tried as well."""

# Errors that another address may not have. Any other comes from building the
# protocol, and trying the next address would only repeat it.
_ADDRESS_ERRORS: Final = (ConnectError, TimeoutError)


def is_of_address(error: BaseException) -> bool:
    """Whether another address may not have the problem.

    Args:
        error: What connecting to one address failed with.
    """
    if isinstance(error, ProxyRefused):
        return error.is_of_address
    return isinstance(error, _ADDRESS_ERRORS)


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
    """One connection attempt to several addresses.

    Attributes:
        clock: Keeps the delays.
        endpoints: One for each address, at least one, the preferred first.
        factory: Builds the protocol for the address that connects first.
        done: Fires with that protocol, or fails as the last address did.
            Cancelling it cancels all that are under way.
    """

    clock: IReactorTime
    endpoints: deque[IStreamClientEndpoint]
    factory: IProtocolFactory
    done: Deferred[IProtocol] = Factory(lambda self: Deferred(self._cancelled), takes_self=True)
    _running: list[Deferred[IProtocol]] = Factory(list)
    _delay: Deadline | None = None
    _is_over: bool = False

    def start(self) -> Deferred[IProtocol]:
        """Try the first address.

        Returns:
            `done`.
        """
        self._next()
        return self.done

    def _next(self) -> None:
        self._stop_delay()
        endpoint = self.endpoints.popleft()
        if self.endpoints:
            self._delay = Deadline(self.clock, DELAY, self._next)
        attempt = endpoint.connect(self.factory)
        self._running.append(attempt)
        attempt.addBoth(self._finished, attempt)

    def _finished(self, result: IProtocol | Failure, attempt: Deferred[IProtocol]) -> None:
        self._running.remove(attempt)
        if self._is_over:
            return
        if not isinstance(result, Failure):
            self._end()
            self.done.callback(result)
        elif self.endpoints and is_of_address(cast(BaseException, result.value)):
            self._next()
        elif not self._running or not is_of_address(cast(BaseException, result.value)):
            self._end()
            self.done.errback(result)

    def _cancelled(self, done: object) -> None:
        self._end()

    def _end(self) -> None:
        self._is_over = True
        self._stop_delay()
        for attempt in list(self._running):
            attempt.cancel()

    def _stop_delay(self) -> None:
        if self._delay is not None:
            self._delay.stop()
