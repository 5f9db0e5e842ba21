"""Looks up the addresses of a host's name, within a number of seconds."""

from __future__ import annotations

import contextlib
from typing import NoReturn, cast

from attrs import Factory, define
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.error import DNSLookupError
from twisted.internet.interfaces import IAddress, IHostResolution, IResolutionReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

from txtransport.connection.twisted_types import Reactor
from txtransport.errors import TransportTimeout

__all__ = ["IPAddress", "resolve_addresses"]

IPAddress = IPv4Address | IPv6Address


def resolve_addresses(
    reactor: object, host: str, port: int, kind: str, *, seconds: float, where: str
) -> Deferred[list[IPAddress]]:
    """Look up every address of a host, in the resolver's order.

    Args:
        reactor: Has the resolver, and keeps time.
        host: A name or an address.
        port: The port of the addresses, 0 to 65535.
        kind: ``TCP`` or ``UDP``.
        seconds: How long the look-up may take.
        where: The endpoint, as messages name it.

    Returns:
        Fires with at least one address, none of them twice. Fails with
        Twisted's ``DNSLookupError`` if there is none, and with
        `TransportTimeout`. Cancelling it gives the look-up up.
    """
    reactor = cast(Reactor, reactor)

    def timed_out(reason: Failure) -> NoReturn:
        reason.trap(DeferredTimeout)
        raise TransportTimeout(where, "look-up", seconds)

    collecting = _AddressCollector(host)
    try:
        reactor.nameResolver.resolveHostName(collecting, host, port, transportSemantics=kind)
    except Exception:
        # The look-up could not begin: no thread is free, perhaps.
        collecting.done.errback()
    return collecting.done.addTimeout(seconds, reactor).addErrback(timed_out)


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
            # Twisted's own resolver cannot cancel: its thread ends some time
            # later, and the result is dropped.
            with contextlib.suppress(NotImplementedError):
                self.resolution.cancel()
