"""Looks up the addresses of a host's name, within a number of seconds."""

from __future__ import annotations

import contextlib
import socket
from typing import Literal, NoReturn, cast

from attrs import Factory, define
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.error import DNSLookupError
from twisted.internet.interfaces import IAddress, IHostResolution, IResolutionReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

from txtransport.connection.twisted_types import Reactor
from txtransport.errors import TransportTimeout

__all__ = ["IPAddress", "host_of", "resolve_addresses", "resolve_addresses_to_bind"]

IPAddress = IPv4Address | IPv6Address


def host_of(address: IPAddress) -> str:
    """An address as text, with its zone, as connecting and binding take it.

    Args:
        address: What a resolver found. The number of its zone, without which a link-local
            address leads nowhere (RFC 4007, section 6), is an attribute of its own.

    Returns:
        For example ``fe80::1%2`` or ``192.0.2.7``.
    """
    zone = address.scopeID if isinstance(address, IPv6Address) else 0
    return f"{address.host}%{zone}" if zone and "%" not in address.host else address.host


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


def resolve_addresses_to_bind(
    reactor: object,
    host: str,
    port: int,
    kind: Literal["TCP", "UDP"],
    *,
    seconds: float,
    where: str,
) -> Deferred[list[IPAddress]]:
    """Look up every address of a host to listen at; at once before the reactor runs.

    twistd starts its services, drops root's rights, and then runs the reactor. The
    reactor's resolver answers only when the reactor runs, which is too late to bind a
    port below 1024, and too late for twistd to exit because a port is in use. So before
    that the system is asked, and the call returns only with its answer, however long
    that takes: there is nothing yet that could be kept waiting.

    Args:
        reactor: As for `resolve_addresses`, and so are the others.
        host: A name or an address.
        port: The port of the addresses.
        kind: ``TCP`` or ``UDP``.
        seconds: How long the look-up may take in a running reactor.
        where: The endpoint, as messages name it.

    Returns:
        As `resolve_addresses` does; before the reactor runs it has its result already.
    """
    # Reactors for tests need not have the attribute (IReactorCore).
    if getattr(reactor, "running", True):
        return resolve_addresses(reactor, host, port, kind, seconds=seconds, where=where)
    return maybeDeferred(_ask_system, host, port, kind)


def _ask_system(host: str, port: int, kind: Literal["TCP", "UDP"]) -> list[IPAddress]:
    type_ = socket.SOCK_STREAM if kind == "TCP" else socket.SOCK_DGRAM
    try:
        found = socket.getaddrinfo(host, port, type=type_)
    except socket.gaierror as problem:
        raise _no_address(host) from problem
    collecting = _AddressCollector(host)
    for family, _, _, _, address in found:
        over = IPv6Address if family == socket.AF_INET6 else IPv4Address
        collecting.addressResolved(over(kind, *address))
    return collecting.found


def _no_address(host: str) -> DNSLookupError:
    return DNSLookupError(f"there is no address of {host}")


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
            self.done.errback(_no_address(self.host))

    def _cancelled(self, done: object) -> None:
        if self.resolution is not None:
            # Twisted's own resolver cannot cancel: its thread ends some time
            # later, and the result is dropped.
            with contextlib.suppress(NotImplementedError):
                self.resolution.cancel()
