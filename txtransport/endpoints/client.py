"""Client endpoints: from a `TransportURL` to a connection, within one deadline.

`ClientEndpoint` wraps an endpoint of TCP or of a local socket
(`txtransport.endpoints.plaintext_client`): it sets the socket's options and, where TLS is
asked for, runs negotiation and handshake before the application's protocol exists. One
`ClientAttempt` accompanies each connection, from the look-up to its end.
"""

from __future__ import annotations

from collections.abc import Callable
from socket import gaierror
from typing import Any, Final, TypeVar, cast

from attrs import evolve, field, frozen
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
    IStreamClientEndpoint,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from txtransport.config.proxy_url import ProxyURL
from txtransport.config.resolve import represent_endpoint
from txtransport.connection.attempt import ConnectionAttempt, EndpointConfig, Stage, Writer
from txtransport.connection.negotiation import initial_protocol
from txtransport.connection.pending import PendingProtocol
from txtransport.connection.trace import Event, Step
from txtransport.connection.twisted_types import ProtocolFactory, TCPTransport
from txtransport.endpoints.network_errors import (
    diagnosis_of,
    located,
    located_failure,
    undiagnosed,
)
from txtransport.endpoints.sockets import with_local_address
from txtransport.errors import Diagnosis, HandshakeFailed, TransportTimeout
from txtransport.starttls.tls_record import is_alert

__all__ = ["ClientAttempt", "ClientEndpoint"]

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
        address: What is connected to, for the error of a cancelled attempt.
        config: What the connections have in common; without TLS its ``creator`` is None.
        bindto: The local address and port that `plaintext` uses, or None.
        header: The PROXY header with which each connection begins; empty if none does.
    """

    plaintext: IStreamClientEndpoint
    set_options: Callable[[TCPTransport], object]
    address: IAddress
    config: EndpointConfig
    bindto: tuple[str, int] | None = None
    header: bytes = b""
    # The causes of failures that are in the log since the last connection, and those of
    # refusals after the handshake since the last connection that ended in another way.
    _logged: set[str] = field(factory=set, init=False, eq=False)
    _logged_late: set[str] = field(factory=set, init=False, eq=False)

    def __repr__(self) -> str:
        return represent_endpoint("client", self.config.where, self.config.proxy)

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
        return cast("Deferred[_P]", ClientAttempt(self, factory).begin())

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
        where = self.config.where
        is_foreign = located(error, where) is not error
        found = (undiagnosed if is_foreign else diagnosis_of)(error, where)
        if not isinstance(error, ConnectingCancelledError):
            self._log_once(found, error, self._logged, "not connected")

    def _ended(self, error: BaseException) -> None:
        """Log why a connection ended, if the server has refused our certificate.

        Under TLS 1.3 that comes after the handshake, so that a service would connect and
        lose the connection again and again, and tell no one why.

        Args:
            error: What the application's protocol is told.
        """
        if not isinstance(error, HandshakeFailed):
            self._logged_late.clear()
            return
        self._log_once(error.diagnosis, error, self._logged_late, "refused after the handshake")
        if self.config.trace is not None:
            self.config.trace(Event(Step.REFUSED, error=error))

    def _log_once(
        self, found: Diagnosis, error: BaseException, logged: set[str], what: str
    ) -> None:
        if found.cause in logged:
            return
        logged.add(found.cause)
        where = self.config.where
        text = f"{found.summary}. {found.remedy}" if found.remedy else found.summary
        _log.info(
            "{where}: {what}: {text}",
            what=what, text=text.removeprefix(f"{where}: "),
            error=error, cause=found.cause, diagnosis=found, where=where,
        )  # fmt: skip


@implementer(IProtocolFactory)
class ClientAttempt(ConnectionAttempt):
    """One attempt of a `ClientEndpoint`, and the factory that the plain endpoint gets.

    Its deadline runs from the moment that it is made.

    Args:
        endpoint: The endpoint.
        factory: The application's factory.

    Attributes:
        done: Fires or fails as `ClientEndpoint.connect` says; None from then on.
    """

    # The proxy that was connected to last, for messages.
    _proxy_place = ""

    def __init__(self, endpoint: ClientEndpoint, factory: IProtocolFactory) -> None:
        timeout = endpoint.config.deadlines.timeout
        super().__init__(endpoint.config, timeout, factory)
        self._endpoint = endpoint
        self._connecting: Deferred[Any] | None = None
        self._is_late = False
        self.done: Deferred[IProtocol] | None = Deferred(self._cancelled)
        self.run_deadline(timeout)

    def begin(self) -> Deferred[IProtocol]:
        """Connect.

        Returns:
            What fires or fails as `ClientEndpoint.connect` says.
        """
        done = self.done
        assert done is not None
        connecting = maybeDeferred(self._endpoint.plaintext.connect, self)
        # Without a result: a Deferred that keeps the protocol would keep the attempt.
        self._connecting = connecting
        connecting.addCallbacks(_forget, self._not_connected)
        return done

    # --- the factory of the plain endpoint ---

    def doStart(self) -> None:
        """Connecting to an address begins, so the look-up is over."""
        self.stage = Stage.CONNECT
        assert self.factory is not None
        self.factory.doStart()

    def doStop(self) -> None:
        """Connecting to an address has failed, or the connection is over."""
        assert self.factory is not None
        self.factory.doStop()

    def proxying(self, proxy: ProxyURL, address: IAddress) -> None:
        """A proxy is connected to, and is asked for what is behind it.

        Args:
            proxy: Which one.
            address: Its address.
        """
        trace = self.config.trace
        if trace is not None and self.stage is not Stage.PROXY:
            trace(Event(Step.CONNECTED, str(getattr(address, "host", ""))))
        self.stage: Stage = Stage.PROXY
        self._proxy_place = proxy.redacted()

    def buildProtocol(self, addr: IAddress | None) -> IProtocol | None:
        """The protocol for the plain connection, or None if the application wants none.

        Args:
            addr: The peer's address.
        """
        config = self.config
        self.address = addr
        if config.trace is not None:
            step = Step.PROXIED if self.stage is Stage.PROXY else Step.CONNECTED
            config.trace(Event(step, str(getattr(addr, "host", ""))))
        if config.creator is not None:
            return initial_protocol(self)
        try:
            protocol = self.build_protocol()
        except NoProtocol:
            return None
        except Exception:
            # Told here, since it may be one of the errors for which the next address
            # would be tried. Building none ends the connection, and the attempts.
            self.failed(Failure())
            return None
        return _PlaintextClientProtocol(self, protocol)

    def trying_target(self, where: str, port: int) -> None:
        """Name a target of ``srv=`` in messages, as `txtransport.endpoints.srv` says."""
        self.config: EndpointConfig = evolve(self.config, where=where, port=port)

    # --- how the attempt ends ---

    def connected(self, transport: TCPTransport, writer: Writer) -> None:
        """Set the socket's options, and write the PROXY header."""
        endpoint = self._endpoint
        endpoint.set_options(transport)
        if endpoint.header:
            writer.write(endpoint.header)

    def opened(self, protocol: IProtocol) -> None:
        """Fire with the application's protocol."""
        self._connecting = None
        done = self._end()
        if done is not None:
            self._endpoint._succeeded()
            done.callback(protocol)

    def failed(self, reason: Failure) -> None:
        """Fail although the address has answered.

        The network's part is over: an error of one of Twisted's classes is the
        application's own, of something that it does itself, and stays as it is.
        """
        self._connecting = None
        if isinstance(reason.value, NoProtocol):
            self._fail(reason)
        else:
            self._finish(reason)

    def ended(self, reason: Failure) -> Failure:
        """Explain the end, and tell the endpoint that of an open connection."""
        is_open = self.stage in (Stage.OPEN, Stage.CLOSING)
        told = super().ended(reason)
        if is_open:
            self._endpoint._ended(cast(BaseException, told.value))
        return told

    def connecting_expired(self) -> None:
        """Give the look-up or the connecting up."""
        self._is_late = True
        cast("Deferred[Any]", self._connecting).cancel()

    def _not_connected(self, reason: Failure) -> None:
        self._connecting = None
        config, error = self.config, reason.value
        bindto = self._endpoint.bindto
        if self._is_late:
            where = f"{config.where}: {self._proxy_place}" if self._proxy_place else config.where
            reason = Failure(TransportTimeout(where, self.stage.value, self.total))
        elif isinstance(error, gaierror):
            # The reactor could not resolve the zone of the address (%eth0).
            reason = Failure(getConnectError(error))
        elif bindto is not None and isinstance(error, ConnectBindError):
            reason = located_failure(reason, with_local_address(config.where, bindto))
        self._fail(reason)

    def _cancelled(self, done: Deferred[IProtocol]) -> None:
        error = ConnectingCancelledError(self._endpoint.address)
        # The Deferred keeps what it would cancel, which keeps this attempt: without the
        # cycle, all that a connection has is freed with its end.
        connecting, self._connecting = self._connecting, None
        self._fail(Failure(error))
        if self.layer is None and connecting is not None:
            connecting.cancel()
        else:
            self.cancel(error)

    def _fail(self, reason: Failure) -> None:
        self._finish(located_failure(reason, self.config.where))

    def _finish(self, reason: Failure) -> None:
        done = self._end()
        if done is not None:
            self._endpoint._failed(cast(BaseException, reason.value))
            done.errback(reason)

    def _end(self) -> Deferred[IProtocol] | None:
        """Stop the deadline of the attempt, unless that of the close is running.

        Returns:
            `done`; None if that has fired already: a cancelled attempt has failed,
            and how it then ends is not told.
        """
        if self.stage is not Stage.CLOSING:
            self.stop_deadline()
        done, self.done = self.done, None
        return done


def _forget(protocol: object) -> None:
    """Nothing: the result of a Deferred that nobody waits for."""


class _PlaintextClientProtocol(PendingProtocol):
    """Sets the socket's options on a plain connection, then connects the application's protocol.

    It leaves the path of the bytes when it has seen the peer's first.

    Args:
        attempt: The attempt.
        protocol: The application's protocol.
    """

    _has_received = False

    def __init__(self, attempt: ClientAttempt, protocol: IProtocol) -> None:
        self.expect(protocol)
        self._attempt = attempt

    def connectionMade(self) -> None:
        attempt = self._attempt
        attempt.layer = self
        try:
            transport = cast(TCPTransport, self.transport)
            attempt.connected(transport, transport)
            self.connect_protocol()
        except Exception:
            self.abortConnection()
            attempt.failed(Failure())
        else:
            attempt.opened_in_plaintext(cast(IProtocol, self.protocol))

    def dataReceived(self, data: bytes) -> None:
        if not self._has_received:
            self._has_received = True
            self.leave()
            if is_alert(data):
                _log.info(
                    "{where}: the peer answered with an alert of TLS: this port wants tls://",
                    where=self._attempt.config.where,
                )
        super().dataReceived(data)

    def abortConnection(self) -> None:
        cast(TCPTransport, self.transport).abortConnection()
