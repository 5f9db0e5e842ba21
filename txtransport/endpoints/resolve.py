"""Names to addresses, within a deadline."""

from __future__ import annotations

import contextlib
from typing import Any

from attrs import Factory, define
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.error import DNSLookupError
from twisted.internet.interfaces import IAddress, IHostResolution, IResolutionReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

from txtransport.errors import TransportTimeout

IPAddress = IPv4Address | IPv6Address


def resolve_addresses(
    reactor: Any, host: str, port: int, kind: str, *, seconds: float, where: str
) -> Deferred[list[IPAddress]]:
    """Every address of a host, in the resolver's order.

    Args:
        reactor: Has the resolver, and keeps time.
        host: A name or an address.
        port: What the addresses shall carry.
        kind: ``TCP`` or ``UDP``.
        seconds: How long the look-up may take.
        where: The endpoint, for people.

    Returns:
        At least one address. Fails with Twisted's ``DNSLookupError`` when
        there is none, and with `TransportTimeout`; cancelling gives the
        look-up up.
    """

    def late(reason: Failure) -> Any:
        reason.trap(DeferredTimeout)
        raise TransportTimeout(where, "look-up", seconds)

    collecting = _AddressCollector(host)
    try:
        reactor.nameResolver.resolveHostName(collecting, host, port, transportSemantics=kind)
    except Exception:
        # It could not even be begun, for want of a thread perhaps.
        collecting.done.errback()
    return collecting.done.addTimeout(seconds, reactor).addErrback(late)


@implementer(IResolutionReceiver)
@define(eq=False)
class _AddressCollector:
    host: str
    found: list[IPAddress] = Factory(list)
    resolution: IHostResolution | None = None
    done: Deferred[list[IPAddress]] = Factory(
        lambda self: Deferred(self._cancelled), takes_self=True
    )

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        self.resolution = resolutionInProgress

    def addressResolved(self, address: IAddress) -> None:
        if isinstance(address, (IPv4Address, IPv6Address)) and address not in self.found:
            self.found.append(address)

    def resolutionComplete(self) -> None:
        if self.done.called:
            return
        if self.found:
            self.done.callback(self.found)
        else:
            self.done.errback(DNSLookupError(f"there is no address of {self.host}"))

    def _cancelled(self, done: object) -> None:
        if self.resolution is not None:
            # Twisted's own cannot be cancelled: its thread ends some time,
            # and no one hears.
            with contextlib.suppress(NotImplementedError):
                self.resolution.cancel()
