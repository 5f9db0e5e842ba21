"""Names to addresses, for those doors where Twisted does not look them up itself."""

from __future__ import annotations

from typing import Any

from attrs import Factory, define
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.error import DNSLookupError
from twisted.internet.interfaces import (
    IAddress,
    IHostResolution,
    IReactorPluggableNameResolver,
    IResolutionReceiver,
)
from zope.interface import implementer

Address = IPv4Address | IPv6Address


def addresses(
    reactor: IReactorPluggableNameResolver, host: str, port: int, kind: str
) -> Deferred[list[Address]]:
    """Every address of a host, in the resolver's order.

    Args:
        reactor: Has the resolver.
        host: A name or an address.
        port: What the addresses shall carry.
        kind: ``TCP`` or ``UDP``.

    Returns:
        At least one address. Fails with Twisted's ``DNSLookupError`` when
        there is none; cancelling gives the look-up up.
    """
    collecting = _Collecting(host, kind)
    collecting.resolution = reactor.nameResolver.resolveHostName(
        collecting, host, port, transportSemantics=kind
    )
    return collecting.done


@implementer(IResolutionReceiver)
@define(eq=False)
class _Collecting:
    host: str
    kind: str
    found: list[Address] = Factory(list)
    resolution: IHostResolution | None = None
    done: Deferred[list[Address]] = Factory(lambda self: Deferred(self._cancelled), takes_self=True)

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

    def _cancelled(self, done: Any) -> None:
        if self.resolution is not None:
            self.resolution.cancel()
