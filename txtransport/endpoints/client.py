"""Clients: from a Transport to an endpoint that connects, within one deadline.

`plain` is TCP or a local socket. `ClientEndpoint` stands in front of it with the
deadline and, when there are terms, with the gate to TLS.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from socket import gaierror
from typing import Any, Final, cast

from attrs import Factory as Made
from attrs import define, field, frozen
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import (
    TCP4ClientEndpoint,
    TCP6ClientEndpoint,
    UNIXClientEndpoint,
)
from twisted.internet.error import (
    ConnectBindError,
    ConnectingCancelledError,
    getConnectError,
)
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
    ITransport,
)
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from txtransport.config.address import is_ipv6
from txtransport.config.settings import Deadlines, SocketOptions
from txtransport.config.url import TransportURL
from txtransport.connection.handshake import ConnectionAttempt, HandshakeProtocol, tls_factory
from txtransport.connection.lifetime import TLSEndpointConfig
from txtransport.connection.negotiation import NegotiationProtocol, initial_protocol
from txtransport.connection.pending import PendingProtocol
from txtransport.connection.trace import Event, Step, Trace, with_trace
from txtransport.endpoints.happy_eyeballs import HappyEyeballs, interleave_families
from txtransport.endpoints.resolve import IPAddress, resolve_addresses
from txtransport.endpoints.sockets import refuse_other_family
from txtransport.errors import InvalidTransport, TransportTimeout

_log: Final = Logger()

# A record of TLS with an alert (RFC 8446, 5.1).
_ALERT: Final = b"\x15\x03"
# The deadline is the gate's; Twisted's own only stands behind it.
_MARGIN = 5.0


def plaintext_endpoint(
    reactor: Any,
    url: TransportURL,
    sockets: SocketOptions,
    timeout: float,
    trace: Trace | None = None,
) -> IStreamClientEndpoint:
    """The endpoint that connects, without TLS.

    Args:
        reactor: Connects and keeps time.
        transport: Where to.
        sockets: ``bindto`` is used here.
        timeout: Seconds that the caller will wait at the most.
        trace: Is told of each address that is tried.

    Raises:
        InvalidTransport: A host or port is missing, or is one for servers.
        InvalidOption: ``bindto`` is of another family than the address.
    """
    waits = timeout + _MARGIN
    if url.path:
        local = UNIXClientEndpoint(reactor, socket_path(url.path), timeout=waits)
        return with_trace(local, url.path, trace)
    host, port, bindto = url.host, url.port, sockets.bindto
    if host == "*":
        raise InvalidTransport(f"{url.location}: * is for servers; name the host to connect to")
    if port is None:
        raise InvalidTransport(
            f"{url.location}: the port is missing; write {url.location}:PORT or give port="
        )
    if port == 0:
        raise InvalidTransport(f"{url.location}: port 0 is for servers; write 1 to 65535")
    if not url.is_literal:
        return HostnameEndpoint(reactor, url, port, waits, bindto, trace)
    refuse_other_family(host, bindto)
    return with_trace(_address_endpoint(reactor, host, port, waits, bindto), host, trace)


def _address_endpoint(
    reactor: Any, host: str, port: int, waits: float, bindto: tuple[str, int] | None
) -> IStreamClientEndpoint:
    over = TCP6ClientEndpoint if is_ipv6(host) else TCP4ClientEndpoint
    return over(reactor, host, port, timeout=waits, bindAddress=bindto)


@implementer(IStreamClientEndpoint)
@frozen
class HostnameEndpoint:
    """A name and a port, whatever the name's addresses are today.

    Attributes:
        reactor: Looks the name up, connects and keeps time.
        transport: Has the name.
        port: 1 to 65535.
        waits: Seconds for the look-up, and for each address.
        bindto: The local address, or None.
        trace: Is told of each address that is tried, or None.
    """

    reactor: Any
    url: TransportURL
    port: int
    waits: float
    bindto: tuple[str, int] | None
    trace: Trace | None = None

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Look the name up, and connect to the first address that answers."""
        found = resolve_addresses(
            self.reactor, self.url.host, self.port, "TCP",
            seconds=self.waits, where=self.url.location,
        )  # fmt: skip
        return found.addCallback(self._connect, protocolFactory)

    def _connect(self, found: list[IPAddress], factory: IProtocolFactory) -> Deferred[IProtocol]:
        hosts = interleave_families(place.host for place in found)
        if self.bindto is not None:
            wanted = is_ipv6(self.bindto[0])
            hosts = [host for host in hosts if is_ipv6(host) is wanted]
        if not hosts:
            refuse_other_family(found[0].host, self.bindto)
        endpoints = [
            with_trace(
                _address_endpoint(self.reactor, host, self.port, self.waits, self.bindto),
                host,
                self.trace,
            )
            for host in hosts
        ]
        return HappyEyeballs(self.reactor, deque(endpoints), factory).start()


def socket_path(path: str) -> str:
    """A local socket's path as the system wants it: abstract names begin with NUL."""
    return f"\0{path[1:]}" if path.startswith("@") else path


# --- with a deadline, and with TLS ---------------------------------------------


@implementer(IStreamClientEndpoint)
@frozen
class ClientEndpoint:
    """A client endpoint with one deadline, and TLS if it is to be.

    Attributes:
        plain: Connects.
        tune: Is given the plain transport, to set the socket's options.
        clock: For the deadline.
        where: The endpoint, for people.
        deadlines: How long things may take.
        terms: What TLS demands, or None for plain text.
        bindto: The local address that `plain` uses, or None.
        trace: Is told of the steps that are taken, or None.
    """

    plaintext: IStreamClientEndpoint
    set_options: Callable[[ITransport], object] = field(repr=False)
    clock: IReactorTime = field(repr=False)
    where: str
    deadlines: Deadlines
    config: TLSEndpointConfig | None
    bindto: tuple[str, int] | None = None
    trace: Trace | None = field(default=None, repr=False)

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Connect, secure, verify; then build the guest.

        Returns:
            The guest, connected, under TLS when there is TLS. Fails with
            `HandshakeFailed`, `TransportTimeout` or Twisted's ``ConnectError``;
            cancelling ends the attempt.
        """
        return _Connecting(self, protocolFactory).begin()


@define(eq=False)
class _Connecting:
    """One attempt of a `ClientEndpoint`."""

    endpoint: ClientEndpoint
    factory: IProtocolFactory
    stage: str = "look-up"
    done: Deferred[IProtocol] = Made(lambda self: Deferred(self._cancelled), takes_self=True)
    _connecting: Deferred[Any] = Made(Deferred)
    _timer: IDelayedCall | None = None
    _deadline: float = 0.0
    _protocol: HandshakeProtocol | NegotiationProtocol | _PlaintextClientProtocol | None = None
    _is_late: bool = False

    def begin(self) -> Deferred[IProtocol]:
        clock, seconds = self.endpoint.clock, self.endpoint.deadlines.timeout
        self._deadline = clock.seconds() + seconds
        self._timer = clock.callLater(seconds, self._expired)
        self._connecting = maybeDeferred(self.endpoint.plaintext.connect, _StageFactory(self))
        self._connecting.addErrback(self._not_connected)
        return self.done

    def build(self, address: IAddress | None) -> IProtocol | None:
        """The protocol for the plain connection: the way to the guest."""
        endpoint = self.endpoint
        if endpoint.trace is not None:
            endpoint.trace(Event(Step.CONNECTED, str(getattr(address, "host", ""))))
        if endpoint.config is None:
            protocol = self.factory.buildProtocol(cast(IAddress, address))
            if protocol is None:
                return None
            self._protocol = _PlaintextClientProtocol(
                protocol, endpoint.where, endpoint.set_options, self._succeed, self._fail
            )
            return self._protocol
        # From here on the deadline is the gate's.
        self._stop_timer()
        attempt = ConnectionAttempt(
            endpoint.config,
            tls_factory(endpoint.config, self.factory),
            self.factory,
            address,
            endpoint.deadlines.timeout,
            self._succeed,
            self._fail,
            endpoint.set_options,
        )
        self._protocol = initial_protocol(
            attempt, max(0.0, self._deadline - endpoint.clock.seconds())
        )
        return self._protocol

    def _not_connected(self, reason: Failure) -> None:
        endpoint = self.endpoint
        if self._is_late:
            error = TransportTimeout(endpoint.where, self.stage, endpoint.deadlines.timeout)
            reason = Failure(error)
        elif reason.check(gaierror):
            # An address in a zone that is not there is not even tried.
            reason = Failure(getConnectError(reason.value))
        elif endpoint.bindto is not None and reason.check(ConnectBindError):
            host, port = endpoint.bindto
            text = f"{endpoint.where} from bindto={host}, port {port or 'any'}"
            reason = Failure(ConnectBindError(reason.value.osError, text))  # type: ignore[union-attr]
        self._fail(reason)

    def _expired(self) -> None:
        self._timer = None
        self._is_late = True
        self._connecting.cancel()

    def _cancelled(self, done: Deferred[IProtocol]) -> None:
        error = ConnectingCancelledError(self.endpoint.where)
        self._fail(Failure(error))
        if self._protocol is None:
            self._connecting.cancel()
        else:
            self._protocol.cancel(error)

    def _succeed(self, protocol: IProtocol) -> None:
        self._stop_timer()
        if not self.done.called:
            self.done.callback(protocol)

    def _fail(self, reason: Failure) -> None:
        self._stop_timer()
        # How it ends after it was cancelled is no news.
        if not self.done.called:
            self.done.errback(reason)

    def _stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None


class _PlaintextClientProtocol(PendingProtocol):
    """The way to a guest in the clear: first the socket's options, then the guest."""

    _has_heard = False

    def __init__(
        self,
        protocol: IProtocol,
        where: str,
        tune: Callable[[ITransport], object],
        opened: Callable[[IProtocol], object],
        failed: Callable[[Failure], object],
    ) -> None:
        self.expect(protocol)
        self._where = where
        self._tune = tune
        self._opened = opened
        self._failed = failed

    def connectionMade(self) -> None:
        transport: Any = self.transport
        try:
            self._tune(transport)
            self.connect_protocol()
        except Exception:
            transport.abortConnection()
            self._failed(Failure())
        else:
            self._opened(cast(IProtocol, self.protocol))

    def dataReceived(self, data: bytes) -> None:
        if not self._has_heard:
            self._has_heard = True
            if data[:2] == _ALERT:
                _log.info(
                    "{where}: the peer answered with an alert of TLS: this port wants tls://",
                    where=self._where,
                )
        super().dataReceived(data)

    def cancel(self, reason: BaseException) -> None:
        transport: Any = self.transport
        transport.abortConnection()


class _StageFactory(Factory):
    """What the plain endpoint sees of the guest's factory."""

    noisy = False

    def __init__(self, opening: _Connecting) -> None:
        self._opening = opening

    def doStart(self) -> None:
        # The first attempt at an address: the look-up is over.
        self._opening.stage = "connect"
        self._opening.factory.doStart()

    def doStop(self) -> None:
        self._opening.factory.doStop()

    def buildProtocol(self, addr: IAddress | None) -> Any:
        return self._opening.build(addr)
