"""The deadlines of one TLS connection, and the reason that its end is given.

A `TLSLifetime` stands beside each TLS connection, whether TLS was there from
the start (`txtransport.connection.handshake`) or came in mid-conversation
(`txtransport.upgrade`), so that both end the same way. The handshake has a
deadline, and so has the close. When the connection is over, the lifetime says
why: the handshake failed, the peer refused us after it, or the peer closed
properly, with a close_notify.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from typing import Final, Protocol

from attrs import field, frozen
from twisted.internet.error import (
    ConnectionAborted,
    ConnectionClosed,
    ConnectionDone,
    ConnectionLost,
)
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IOpenSSLServerConnectionCreator,
    IReactorTime,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from txtransport.config.policy import Side
from txtransport.config.settings import Deadlines, StartTLSOptions
from txtransport.connection.application_protocols import acceptable_protocols
from txtransport.connection.deadline import Deadline
from txtransport.connection.delivery import Delivery
from txtransport.connection.peers import describe_address
from txtransport.connection.tcp_info import acknowledged
from txtransport.connection.trace import Trace
from txtransport.errors import HandshakeFailed, NegotiationError, PeerLeft, TransportTimeout
from txtransport.tls.connection import MAX_FIRST_BYTES, OutgoingBytes, TLSConnection
from txtransport.tls.creator import ConnectionCreator
from txtransport.tls.failure import FailedConnection, handshake_failure, late_failure, timeout_hint

__all__ = [
    "ForeignContext",
    "LifetimeState",
    "TLSEndpointConfig",
    "TLSLifetime",
    "TwistedConnectionCreator",
    "is_reset",
    "log_failure",
]

_log: Final = Logger()


@implementer(IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator)
@frozen
class TwistedConnectionCreator:
    """Gives our `ConnectionCreator` the methods that Twisted's TLS layer calls.

    Attributes:
        creator: Makes the connections; it knows which side they are for.
        factory: The application's factory, which is asked for its application
            protocols where the policy names none.
        where: The endpoint, as messages name it.
    """

    creator: ConnectionCreator
    factory: object = None
    where: str = "TLS"

    def clientConnectionForTLS(self, tlsProtocol: object) -> TLSConnection:
        """A new connection; Twisted calls this for TLS's client."""
        return self._new_connection()

    def serverConnectionForTLS(self, tlsProtocol: object) -> TLSConnection:
        """A new connection; Twisted calls this for TLS's server."""
        return self._new_connection()

    def _new_connection(self) -> TLSConnection:
        has_protocols = bool(self.creator.policy.alpn_protocols)
        connection = self.creator.connection(
            () if has_protocols else acceptable_protocols(self.factory)
        )
        problem = self.creator.context.reload_error()
        if problem is not None:
            _log.error(
                "{where}: a certificate file changed and cannot be used; the one from before goes "
                "on: {problem}", where=self.where, problem=problem,
            )  # fmt: skip
        return connection


@frozen
class ForeignContext:
    """Stands in for a `ConnectionCreator` where a protocol brings its own TLS context.

    Attributes:
        side: Which side of TLS we are.
    """

    side: Side

    def ended(self, connection: TLSConnection) -> None:
        """Do nothing: a session is kept only of connections that we have made."""


@frozen
class TLSEndpointConfig:
    """What all the TLS connections of one endpoint have in common.

    Attributes:
        clock: Keeps the deadlines.
        where: The endpoint, as messages name it: ``tls://mail.example.com:465``.
        port: The peer's port (clients) or ours (servers), or None.
        creator: Makes the TLS connections, or stands in for the protocol's own
            context.
        deadlines: How long each stage may take, in seconds.
        is_upgrade: Whether the connection begins in the clear.
        starttls_options: The dialogue before TLS, if there is one.
        host: The peer's name (clients) or ours (servers), as the dialogue says it.
        trace: Is told of each step of an attempt, or None.
    """

    clock: IReactorTime
    where: str
    port: int | None
    creator: ConnectionCreator | ForeignContext
    deadlines: Deadlines
    is_upgrade: bool = False
    starttls_options: StartTLSOptions = field(factory=StartTLSOptions)
    host: str = ""
    trace: Trace | None = field(default=None, repr=False)

    @property
    def side(self) -> Side:
        """Which side of TLS we are."""
        return self.creator.side


def is_reset(reason: Failure) -> bool:
    """Whether a peer has reset a TCP connection (RST) instead of closing it (FIN).

    Args:
        reason: What Twisted tells the protocol of the plain connection. For OpenSSL, both
            are the same end of its input.
    """
    # Our own abort is a ConnectionLost to Twisted as well.
    return bool(reason.check(ConnectionLost)) and not reason.check(ConnectionAborted)


def log_failure(peer: object, error: BaseException | None, where: str) -> bool:
    """Log, in one event, that a connection ended before it was secure.

    Args:
        peer: The peer's address.
        error: The reason.
        where: The endpoint, as messages name it.

    Returns:
        Whether it was logged: only a failed handshake, a failed negotiation and
        a deadline that passed are; any other error is the caller's to report.
    """
    if not isinstance(error, (HandshakeFailed, NegotiationError, TransportTimeout)):
        return False
    is_end = isinstance(error, PeerLeft) or error.cause == "closed"
    # Health checks and port scans close the connection without sending anything.
    say = _log.debug if is_end and not getattr(error, "received", b"") else _log.info
    place, client = f"{where}: ", describe_address(peer)
    # Of an upgrade, the place is the peer's address.
    text = place if client in where else f"{place}{client}: "
    text += str(error).removeprefix(place)
    say(
        "{text}", text=text,
        peer=peer, error=error, cause=error.cause, diagnosis=error.diagnosis, where=where,
    )  # fmt: skip
    return True


class LifetimeState(Enum):
    """How far a TLS connection has come."""

    HANDSHAKING = auto()
    """The handshake is under way, and its deadline is running."""
    SECURE = auto()
    """The handshake is complete, and the peer is verified."""
    OVER = auto()
    """The connection is gone, or TLS never began."""


class _PlainTransport(Protocol):
    """What a lifetime asks of the transport below the TLS layer."""

    def abortConnection(self) -> None: ...
    def resumeProducing(self) -> None: ...


class _TLSLayer(Protocol):
    """What a lifetime asks of the TLS layer, be it ours or one that Twisted has made."""

    @property
    def disconnecting(self) -> int: ...
    def abortConnection(self) -> None: ...
    def getHandle(self) -> object: ...


class TLSLifetime:
    """Keeps one TLS connection to its deadlines, and explains its end.

    The handshake's deadline runs from the moment that the lifetime is made.

    Args:
        config: What the connections of the endpoint have in common.
        plain: The transport below the TLS layer.
        tls: The TLS layer; it may have its transport already, or not yet.
        handle: The socket, to see whether the peer still takes what we send; or
            anything else where that cannot be seen.
        seconds: How long the handshake may take from now.
        total: How long the whole attempt may take, in seconds, for the error's text.
        failed: Is called once with the reason, if the handshake fails.

    Attributes:
        state: How far the connection has come.
    """

    def __init__(
        self,
        config: TLSEndpointConfig,
        plain: _PlainTransport,
        tls: _TLSLayer,
        *,
        handle: object,
        seconds: float,
        total: float,
        failed: Callable[[Failure], object],
    ) -> None:
        self.state: LifetimeState = LifetimeState.HANDSHAKING
        self._config = config
        self._plain = plain
        self._tls = tls
        self._handle = handle
        self._total = total
        self._failed = failed
        self._first_bytes = b""
        self._is_closing = False
        self._is_reset = False
        self._verdict: Failure | None = None
        self._outgoing = OutgoingBytes()
        self._delivery: Delivery | None = None
        self._deadline = Deadline(config.clock, seconds, self._expired)

    @property
    def is_refused(self) -> bool:
        """Whether the handshake was refused, and only the end of the connection is awaited."""
        return self._verdict is not None

    def remember_first_bytes(self, data: bytes) -> None:
        """Keep the peer's first bytes for the error's text.

        Only a connection of a `ForeignContext` needs this; a `TLSConnection` keeps
        them itself.

        Args:
            data: The bytes that have just arrived, before decryption.
        """
        if len(self._first_bytes) < MAX_FIRST_BYTES:
            self._first_bytes = (self._first_bytes + data)[:MAX_FIRST_BYTES]

    def plain_connection_lost(self, reason: Failure) -> None:
        """Note how the connection below TLS has ended, which the TLS layer does not pass on.

        Args:
            reason: What the transport said.
        """
        self._is_reset = is_reset(reason)

    def count_outgoing(self, size: int, *, is_data: bool) -> None:
        """Count bytes that the TLS layer has handed to the transport.

        Only a connection of a `ForeignContext` needs this; a `TLSConnection`
        counts them itself.

        Args:
            size: How many, encrypted.
            is_data: Whether there is application data among them.
        """
        self._outgoing.add(size, is_data=is_data)

    def secured(self) -> None:
        """Take note that the handshake is complete and the peer verified."""
        self._deadline.stop()
        self.state = LifetimeState.SECURE
        connection = self._connection()
        outgoing = self._outgoing
        if connection is not None:
            connection.on_close = self._close_notify_sent
            outgoing = connection.outgoing
        handle = self._handle
        self._delivery = Delivery(outgoing, lambda: acknowledged(handle))
        if self._is_closing:
            # What was written before the close is sent now.
            self.closing()

    def stop(self) -> None:
        """Stop the deadline and explain nothing: TLS did not begin."""
        self.state = LifetimeState.OVER
        self._deadline.stop()

    def refuse(self, verdict: Failure) -> None:
        """Abort the connection for that reason, unless it is secure or refused already.

        Args:
            verdict: The reason that `ended` will give.
        """
        if self.state is LifetimeState.HANDSHAKING and self._verdict is None:
            self._verdict = verdict
            self._tls.abortConnection()

    def closing(self) -> None:
        """Start the deadline of the close, unless it is running: one side has closed."""
        self._is_closing = True
        if self.state is LifetimeState.SECURE and not self._deadline.is_running:
            # An application that has paused reading would never receive the
            # peer's close_notify.
            self._plain.resumeProducing()
            if self._delivery is not None:
                self._delivery.begin()
            self._wait_for_close()

    def _wait_for_close(self) -> None:
        seconds = self._config.deadlines.close_timeout
        self._deadline = Deadline(self._config.clock, seconds, self._close_expired)

    def _close_notify_sent(self) -> None:
        """A close_notify was sent: ours, or the answer to the peer's."""
        # After our own `loseConnection`, `closing` is called anyway.
        if not self._tls.disconnecting:
            # The peer has closed first, and may not take what is still to be sent.
            self.closing()

    def ended(self, reason: Failure) -> Failure:
        """Explain the end of the connection, and keep its session for the next one.

        Args:
            reason: The reason that the TLS layer gives.

        Returns:
            The reason to give to the protocol above the TLS layer.
        """
        state, self.state = self.state, LifetimeState.OVER
        self._deadline.stop()
        if state is LifetimeState.HANDSHAKING:
            verdict = self._verdict or self._own_end(reason) or self.explained(reason)
            self._failed(verdict)
            return verdict
        connection = self._connection()
        if state is LifetimeState.OVER or connection is None:
            return reason
        late = self._explained_by(late_failure, reason)
        if late is not None:
            return late
        if not reason.check(ConnectionClosed):
            return reason
        # Asked before `ended`, which keeps the session and for that sets the
        # flag of a received close_notify.
        is_closed_by_peer = connection.is_ended_by_peer
        self._config.creator.ended(connection)
        # After a close_notify it does not matter how the socket was closed.
        return Failure(ConnectionDone()) if is_closed_by_peer else reason

    def _own_end(self, reason: Failure) -> Failure | None:
        """`ConnectionAborted`, if we closed during the handshake and nothing else failed."""
        is_ours = self._is_closing and reason.check(ConnectionClosed)
        return Failure(ConnectionAborted()) if is_ours else None

    def explained(self, reason: Failure) -> Failure:
        """Why the handshake failed.

        Args:
            reason: The reason that the TLS layer gives.

        Returns:
            A `HandshakeFailed`; `reason` itself if it cannot be explained.
        """
        return self._explained_by(handshake_failure, reason) or reason

    def _explained_by(
        self, explain: Callable[[FailedConnection], HandshakeFailed | None], reason: Failure
    ) -> Failure | None:
        try:
            error = explain(self._failed_connection(reason))
        except Exception:
            # The end must be told in any case, if need be unexplained.
            _log.failure("{where}: the end could not be explained", where=self._config.where)
            return None
        return None if error is None else Failure(error)

    def _expired(self) -> None:
        config, received = self._config, self._received
        advice = (
            "did the peer switch to TLS after the go-ahead?"
            if config.is_upgrade
            else timeout_hint(received, config.side, config.port, config.where)
        )
        error = TransportTimeout(config.where, "handshake", self._total, received, advice)
        self.refuse(Failure(error))
        # If the connection was refused before, `refuse` does nothing; but the
        # connection is still there, so it is cut.
        self._plain.abortConnection()

    def _close_expired(self) -> None:
        if self._delivery is not None and self._delivery.may_wait_on():
            self._wait_for_close()
        else:
            self._tls.abortConnection()

    def _failed_connection(self, reason: Failure) -> FailedConnection:
        config, connection = self._config, self._connection()
        return FailedConnection(
            config.where,
            config.side,
            config.port,
            self._received,
            reason.value or Exception(),
            connection,
            config.is_upgrade,
            self._is_reset,
        )

    @property
    def _received(self) -> bytes:
        connection = self._connection()
        return connection.first_bytes if connection is not None else self._first_bytes

    def _connection(self) -> TLSConnection | None:
        handle = self._tls.getHandle()
        return handle if isinstance(handle, TLSConnection) else None
