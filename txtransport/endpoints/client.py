"""Client endpoints: from a `TransportURL` to a connection, within one deadline.

`ClientEndpoint` wraps an endpoint of TCP or of a local socket
(`txtransport.endpoints.plaintext_client`): it holds the deadline, sets the socket's
options and, where TLS is asked for, runs negotiation and handshake before the
application's protocol exists.
"""

from __future__ import annotations

from collections.abc import Callable
from socket import gaierror
from typing import Final, TypeVar, cast

from attrs import Factory as Default
from attrs import define, field, frozen
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import (
    ConnectBindError,
    ConnectingCancelledError,
    NoProtocol,
    getConnectError,
)
from twisted.internet.interfaces import (
    IAddress,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
    ITransport,
)
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from txtransport.config.resolve import represent_endpoint
from txtransport.config.settings import Deadlines
from txtransport.connection.deadline import Deadline
from txtransport.connection.handshake import ConnectionAttempt, HandshakeProtocol, tls_factory
from txtransport.connection.lifetime import TLSEndpointConfig
from txtransport.connection.negotiation import NegotiationProtocol, initial_protocol
from txtransport.connection.pending import PendingProtocol
from txtransport.connection.trace import Event, Step, Trace
from txtransport.connection.twisted_types import ProtocolFactory, TCPTransport
from txtransport.endpoints.network_errors import (
    diagnosis_of,
    located,
    located_failure,
    undiagnosed,
)
from txtransport.endpoints.sockets import with_local_address
from txtransport.errors import TransportTimeout
from txtransport.starttls.tls_record import is_alert

__all__ = ["ClientEndpoint"]

_log: Final = Logger()

_P = TypeVar("_P")


@implementer(IStreamClientEndpoint)
@frozen(repr=False)
class ClientEndpoint:
    """A client endpoint with one deadline for everything, and TLS if the URL asks for it.

    What `txtransport.client` returns, and one of Twisted's ``IStreamClientEndpoint``.

    Attributes:
        plaintext: Connects, without TLS.
        set_options: Is given the plain transport, to set the socket's options.
        clock: Keeps the deadline.
        where: The endpoint, as messages name it.
        address: What is connected to, for the error of a cancelled attempt.
        deadlines: ``timeout`` is for the whole attempt, in seconds.
        config: What the TLS connections have in common, or None for plain text.
        bindto: The local address and port that `plaintext` uses, or None.
        trace: Is told of each step of an attempt, or None.
    """

    plaintext: IStreamClientEndpoint
    set_options: Callable[[ITransport], object]
    clock: IReactorTime
    where: str
    address: IAddress
    deadlines: Deadlines
    config: TLSEndpointConfig | None
    bindto: tuple[str, int] | None = None
    trace: Trace | None = None
    # The causes of failures that are in the log since the last connection.
    _logged: set[str] = field(factory=set, init=False, eq=False)

    def __repr__(self) -> str:
        return represent_endpoint("client", self.where)

    def connect(self, protocolFactory: ProtocolFactory[_P]) -> Deferred[_P]:
        """Connect and, under TLS, verify the peer; only then build the protocol.

        Args:
            protocolFactory: Builds the application's protocol.

        Returns:
            Fires with the protocol, when that is connected. Fails with
            `HandshakeFailed`, `NegotiationError`, `TransportTimeout` or a
            `NetworkError`, which is Twisted's ``ConnectError`` or
            ``DNSLookupError`` as well. What the factory or its protocol raises is
            not changed. Cancelling it aborts the attempt.
        """
        # The factory is Twisted's in all but its type, and what it builds is the result.
        factory = cast(IProtocolFactory, protocolFactory)
        return cast("Deferred[_P]", _Connecting(self, factory).begin())

    def _succeeded(self) -> None:
        """Note that an attempt has succeeded: from now on each cause is new again."""
        self._logged.clear()

    def _failed(self, error: BaseException) -> None:
        """Log why an attempt failed, unless the same cause is in the log already.

        Twisted's ``ClientService`` tries again and tells no one why.

        Args:
            error: What the attempt's Deferred fails with.
        """
        # An error of Twisted's that names no endpoint of ours is the application's own.
        is_foreign = located(error, self.where) is not error
        found = (undiagnosed if is_foreign else diagnosis_of)(error, self.where)
        if found.cause in self._logged or isinstance(error, ConnectingCancelledError):
            return
        self._logged.add(found.cause)
        text = f"{found.summary}. {found.remedy}" if found.remedy else found.summary
        _log.info(
            "{where}: not connected: {text}",
            text=text.removeprefix(f"{self.where}: "),
            error=error, cause=found.cause, diagnosis=found, where=self.where,
        )  # fmt: skip


@define(eq=False)
class _Connecting:
    """One attempt of a `ClientEndpoint`; its deadline runs from the moment that it is made.

    Attributes:
        endpoint: The endpoint.
        factory: The application's factory.
        stage: What the attempt is waiting for, as a `TransportTimeout` names it.
        done: Fires or fails as `ClientEndpoint.connect` says; None from then on.
    """

    endpoint: ClientEndpoint
    factory: IProtocolFactory
    stage: str = "look-up"
    done: Deferred[IProtocol] | None = Default(
        lambda self: Deferred(self._cancelled), takes_self=True
    )
    _connecting: Deferred[None] = Default(Deferred)
    _deadline: Deadline = Default(lambda self: self._new_deadline(), takes_self=True)
    _protocol: HandshakeProtocol | NegotiationProtocol | _PlaintextClientProtocol | None = None
    _is_late: bool = False

    def _new_deadline(self) -> Deadline:
        return Deadline(self.endpoint.clock, self.endpoint.deadlines.timeout, self._expired)

    def begin(self) -> Deferred[IProtocol]:
        done = cast("Deferred[IProtocol]", self.done)
        connecting = maybeDeferred(self.endpoint.plaintext.connect, _StageFactory(self))
        # Without a result: see `_end`.
        self._connecting = connecting.addCallbacks(lambda protocol: None, self._not_connected)
        return done

    def build(self, address: IAddress | None) -> IProtocol | None:
        """The protocol for the plain connection, or None if the application wants none."""
        endpoint = self.endpoint
        if endpoint.trace is not None:
            endpoint.trace(Event(Step.CONNECTED, str(getattr(address, "host", ""))))
        if endpoint.config is None:
            try:
                protocol = self.factory.buildProtocol(cast(IAddress, address))
            except Exception:
                # Told here, since it may be one of the errors for which the next address
                # would be tried. Building none ends the connection, and the attempts.
                self._fail_connected(Failure())
                return None
            if protocol is None:
                return None
            self._protocol = _PlaintextClientProtocol(
                protocol, endpoint.where, endpoint.set_options, self._succeed, self._fail_connected
            )
            return self._protocol
        # From here on the negotiation or the handshake holds the deadline.
        self._deadline.stop()
        attempt = ConnectionAttempt(
            endpoint.config,
            tls_factory(endpoint.config, self.factory),
            self.factory,
            address,
            endpoint.deadlines.timeout,
            self._succeed,
            self._fail_connected,
            endpoint.set_options,
        )
        self._protocol = initial_protocol(attempt, self._deadline.seconds_left)
        return self._protocol

    def _not_connected(self, reason: Failure) -> None:
        endpoint = self.endpoint
        if self._is_late:
            error = TransportTimeout(endpoint.where, self.stage, endpoint.deadlines.timeout)
            reason = Failure(error)
        elif reason.check(gaierror):
            # The reactor could not resolve the zone of the address (%eth0).
            reason = Failure(getConnectError(reason.value))
        elif endpoint.bindto is not None and reason.check(ConnectBindError):
            reason = located_failure(reason, with_local_address(endpoint.where, endpoint.bindto))
        self._fail(reason)

    def _expired(self) -> None:
        self._is_late = True
        self._connecting.cancel()

    def _cancelled(self, done: Deferred[IProtocol]) -> None:
        error = ConnectingCancelledError(self.endpoint.address)
        protocol = self._protocol
        self._fail(Failure(error))
        if protocol is None:
            self._connecting.cancel()
        else:
            protocol.cancel(error)

    def _succeed(self, protocol: IProtocol) -> None:
        done = self._end()
        if done is not None:
            self.endpoint._succeeded()
            done.callback(protocol)

    def _fail_connected(self, reason: Failure) -> None:
        """Fail the attempt although the address has answered.

        The network's part is over: an error of one of Twisted's classes is the
        application's own, of something that it does itself, and stays as it is.
        """
        if reason.check(NoProtocol):
            self._fail(reason)
        else:
            self._finish(reason)

    def _fail(self, reason: Failure) -> None:
        self._finish(located_failure(reason, self.endpoint.where))

    def _finish(self, reason: Failure) -> None:
        done = self._end()
        if done is not None:
            self.endpoint._failed(cast(BaseException, reason.value))
            done.errback(reason)

    def _end(self) -> Deferred[IProtocol] | None:
        """End the attempt, and forget the protocol.

        Twisted's connector keeps our factory, and so this attempt, and a reactor
        may keep the connector of a connection that is gone.

        Returns:
            `done`; None if that has fired already: a cancelled attempt has failed,
            and how it then ends is not told.
        """
        self._deadline.stop()
        self._protocol = None
        done, self.done = self.done, None
        return done


class _PlaintextClientProtocol(PendingProtocol):
    """Sets the socket's options on a plain connection, then connects the application's protocol.

    Args:
        protocol: The application's protocol.
        where: The endpoint, as messages name it.
        set_options: Is given the transport; an exception fails the attempt.
        opened: Is called with the protocol, once it is connected.
        failed: Is called with the reason, if it cannot be connected.
    """

    _has_received = False

    def __init__(
        self,
        protocol: IProtocol,
        where: str,
        set_options: Callable[[ITransport], object],
        opened: Callable[[IProtocol], object],
        failed: Callable[[Failure], object],
    ) -> None:
        self.expect(protocol)
        self._where = where
        self._set_options = set_options
        self._opened = opened
        self._failed = failed

    def connectionMade(self) -> None:
        try:
            self._set_options(cast(ITransport, self.transport))
            self.connect_protocol()
        except Exception:
            cast(TCPTransport, self.transport).abortConnection()
            self._failed(Failure())
        else:
            self._opened(cast(IProtocol, self.protocol))

    def dataReceived(self, data: bytes) -> None:
        if not self._has_received:
            self._has_received = True
            if is_alert(data):
                _log.info(
                    "{where}: the peer answered with an alert of TLS: this port wants tls://",
                    where=self._where,
                )
        super().dataReceived(data)

    def cancel(self, reason: BaseException) -> None:
        cast(TCPTransport, self.transport).abortConnection()


class _StageFactory(Factory):
    """The factory that the plain endpoint gets: it tells the attempt how far it has come."""

    noisy = False

    def __init__(self, attempt: _Connecting) -> None:
        self._attempt = attempt

    def doStart(self) -> None:
        # Twisted calls this when it begins to connect to an address, so the
        # look-up is over.
        self._attempt.stage = "connect"
        self._attempt.factory.doStart()

    def doStop(self) -> None:
        self._attempt.factory.doStop()

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        return cast("Protocol | None", self._attempt.build(addr))
