"""Clients: from a Transport to an endpoint that connects, within one deadline.

`plain` is TCP or a local socket. `ClientGate` stands in front of it with the
deadline and, when there are terms, with the gate to TLS.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any, cast

from attrs import Factory as Made
from attrs import define, field, frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import (
    HostnameEndpoint,
    TCP4ClientEndpoint,
    TCP6ClientEndpoint,
    UNIXClientEndpoint,
)
from twisted.internet.error import ConnectingCancelledError
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
    ITransport,
)
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure
from zope.interface import implementer

from txtransport.errors import InvalidOption, InvalidTransport, TransportTimeout
from txtransport.gate import Gate, tls_factory
from txtransport.options import Deadlines, SocketOptions
from txtransport.url import Transport
from txtransport.watch import Terms

# The deadline is the gate's; Twisted's own only stands behind it.
_BEHIND = 5.0


def plain(
    reactor: Any, transport: Transport, sockets: SocketOptions, timeout: float
) -> IStreamClientEndpoint:
    """The endpoint that connects, without TLS.

    Args:
        reactor: Connects and keeps time.
        transport: Where to.
        sockets: ``bindto`` is used here.
        timeout: Seconds that the caller will wait at the most.

    Raises:
        InvalidTransport: A host or port is missing, or is one for servers.
        InvalidOption: ``bindto`` is of another family than the address.
    """
    waits = timeout + _BEHIND
    if transport.path:
        return UNIXClientEndpoint(reactor, socket_path(transport.path), timeout=waits)
    host, port, bindto = transport.host, transport.port, sockets.bindto
    if host == "*":
        raise InvalidTransport(f"{transport.where}: * is for servers; name the host to connect to")
    if port is None:
        raise InvalidTransport(
            f"{transport.where}: the port is missing; write {transport.where}:PORT or give port="
        )
    if port == 0:
        raise InvalidTransport(f"{transport.where}: port 0 is for servers; write 1 to 65535")
    if not transport.is_literal:
        return ByName(reactor, host, port, waits, bindto)
    is_ipv6 = ":" in host
    if bindto is not None and is_ipv6 != (ipaddress.ip_address(bindto[0]).version == 6):
        raise InvalidOption(
            "bindto", f"bindto={bindto[0]} and {host} are not of the same address family"
        )
    over = TCP6ClientEndpoint if is_ipv6 else TCP4ClientEndpoint
    return over(reactor, host, port, timeout=waits, bindAddress=bindto)


@implementer(IStreamClientEndpoint)
@frozen
class ByName:
    """Twisted's ``HostnameEndpoint``, made when it is needed.

    Making one takes the name through IDNA once more, which costs more than
    all the rest of an endpoint.

    Attributes:
        reactor: Connects and keeps time.
        host: The name.
        port: 1 to 65535.
        waits: Seconds for each attempt.
        bindto: The local address, or None.
    """

    reactor: Any
    host: str
    port: int
    waits: float
    bindto: tuple[str, int] | None

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Look the name up and connect to its addresses (RFC 8305)."""
        endpoint = HostnameEndpoint(
            self.reactor, self.host, self.port, timeout=self.waits, bindAddress=self.bindto
        )
        return endpoint.connect(protocolFactory)


def socket_path(path: str) -> str:
    """A local socket's path as the system wants it: abstract names begin with NUL."""
    return f"\0{path[1:]}" if path.startswith("@") else path


# --- with a deadline, and with TLS ---------------------------------------------


@implementer(IStreamClientEndpoint)
@frozen
class ClientGate:
    """A client endpoint with one deadline, and TLS if it is to be.

    Attributes:
        plain: Connects.
        tune: Is given the plain transport, to set the socket's options.
        clock: For the deadline.
        where: The endpoint, for people.
        deadlines: How long things may take.
        terms: What TLS demands, or None for plain text.
    """

    plain: IStreamClientEndpoint
    tune: Callable[[ITransport], object] = field(repr=False)
    clock: IReactorTime = field(repr=False)
    where: str
    deadlines: Deadlines
    terms: Terms | None

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Connect, secure, verify; then build the guest.

        Returns:
            The guest, connected, under TLS when there is TLS. Fails with
            `HandshakeFailed`, `TransportTimeout` or Twisted's ``ConnectError``;
            cancelling ends the attempt.
        """
        return _Opening(self, protocolFactory).begin()


@define(eq=False)
class _Opening:
    """One attempt of a `ClientGate`."""

    endpoint: ClientGate
    guests: IProtocolFactory
    stage: str = "look-up"
    done: Deferred[IProtocol] = Made(lambda self: Deferred(self._cancelled), takes_self=True)
    _connecting: Deferred[IProtocol] | None = None
    _timer: IDelayedCall | None = None
    _deadline: float = 0.0
    _gate: Gate | None = None
    _is_late: bool = False

    def begin(self) -> Deferred[IProtocol]:
        clock, seconds = self.endpoint.clock, self.endpoint.deadlines.timeout
        self._deadline = clock.seconds() + seconds
        self._timer = clock.callLater(seconds, self._expired)
        self._connecting = self.endpoint.plain.connect(_Watching(self))
        self._connecting.addCallbacks(self._connected, self._not_connected)
        return self.done

    def build(self, address: IAddress | None) -> IProtocol | None:
        """The protocol for the plain connection: a gate, or the guest itself."""
        endpoint = self.endpoint
        if endpoint.terms is None:
            return self.guests.buildProtocol(cast(IAddress, address))
        self.stage = "handshake"
        self._gate = Gate(
            endpoint.terms,
            tls_factory(endpoint.terms, self.guests),
            self.guests,
            address,
            seconds=max(0.0, self._deadline - endpoint.clock.seconds()),
            total=endpoint.deadlines.timeout,
            opened=self._succeed,
            failed=self._fail,
        )
        return self._gate

    def _connected(self, protocol: IProtocol) -> None:
        self._stop_timer()
        if self.endpoint.terms is None:
            transport = cast(Protocol, protocol).transport
            assert transport is not None
            self.endpoint.tune(transport)
            self._succeed(protocol)

    def _not_connected(self, reason: Failure) -> None:
        self._stop_timer()
        if self._is_late:
            endpoint = self.endpoint
            error = TransportTimeout(endpoint.where, self.stage, endpoint.deadlines.timeout)
            reason = Failure(error)
        self._fail(reason)

    def _expired(self) -> None:
        self._timer = None
        self._is_late = True
        if self._connecting is not None:
            self._connecting.cancel()

    def _cancelled(self, done: Deferred[IProtocol]) -> None:
        if self._gate is not None:
            error = ConnectingCancelledError(self.endpoint.where)
            self._gate.watch.refuse(Failure(error))
        elif self._connecting is not None:
            self._connecting.cancel()

    def _succeed(self, guest: IProtocol) -> None:
        self.done.callback(guest)

    def _fail(self, reason: Failure) -> None:
        if reason.check(CancelledError):
            reason = Failure(ConnectingCancelledError(self.endpoint.where))
        self.done.errback(reason)

    def _stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None


class _Watching(Factory):
    """What the plain endpoint sees of the guest's factory."""

    noisy = False

    def __init__(self, opening: _Opening) -> None:
        self._opening = opening

    def doStart(self) -> None:
        # The first attempt at an address: the look-up is over.
        if self._opening.stage == "look-up":
            self._opening.stage = "connect"
        self._opening.guests.doStart()

    def doStop(self) -> None:
        self._opening.guests.doStop()

    def buildProtocol(self, addr: IAddress | None) -> Any:
        return self._opening.build(addr)
