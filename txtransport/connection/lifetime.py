"""What watches over one TLS connection, whoever began it.

The handshake has a deadline, and so has the close. The end is put into words:
why the handshake failed, what the peer held against us later, or that it said
goodbye. The gate and the mixin both stand on this, so that a connection ends
the same way whether TLS was there from the start or came in mid-conversation.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from typing import Any, Final

from attrs import field, frozen
from twisted.internet.error import ConnectionAborted, ConnectionClosed, ConnectionDone
from twisted.internet.interfaces import (
    IDelayedCall,
    IOpenSSLClientConnectionCreator,
    IOpenSSLServerConnectionCreator,
    IReactorTime,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from txtransport.config.policy import Side
from txtransport.config.settings import Deadlines, StartTLSOptions
from txtransport.connection.tcp_info import acknowledged, is_draining
from txtransport.connection.trace import Trace
from txtransport.errors import HandshakeFailed, NegotiationError, PeerLeft, TransportTimeout
from txtransport.tls.connection import MAX_FIRST_BYTES, TLSConnection
from txtransport.tls.creator import ConnectionCreator
from txtransport.tls.failure import FailedConnection, handshake_failure, late_failure, timeout_hint

_log: Final = Logger()

_CLOSE_BYTES: Final = 4096
"""Bytes that a last small answer and a close_notify take on the wire, at the most."""


@implementer(IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator)
@frozen
class TwistedConnectionCreator:
    """A creator as Twisted asks for it."""

    creator: ConnectionCreator

    def clientConnectionForTLS(self, tlsProtocol: object) -> TLSConnection:
        """A connection for a client."""
        return self._new_connection()

    def serverConnectionForTLS(self, tlsProtocol: object) -> TLSConnection:
        """A connection for a server."""
        return self._new_connection()

    def _new_connection(self) -> TLSConnection:
        made = self.creator.connection()
        problem = self.creator.context.reload_error()
        if problem is not None:
            _log.error(
                "A certificate file changed and cannot be used; the one from before goes on: "
                "{problem}", problem=problem,
            )  # fmt: skip
        return made


@frozen
class ForeignContext:
    """In a creator's place, where a protocol brings a context of its own.

    Attributes:
        side: Who we are.
    """

    side: Side

    def ended(self, connection: TLSConnection) -> None:
        """Nothing is kept of a connection that is not of our making."""


@frozen
class TLSEndpointConfig:
    """What all the TLS connections of one endpoint have in common.

    Attributes:
        clock: For the deadlines.
        where: The endpoint, for people: ``tls://mail.example.com:465``.
        port: The peer's port (clients) or ours (servers), or None.
        creator: Makes the TLS connections, or stands for what makes them.
        deadlines: How long things may take.
        is_upgrade: Whether the conversation begins in the clear.
        way_in: What comes before TLS.
        host: The peer's name (clients) or ours (servers), for that.
        trace: Is told of the steps that are taken, or None.
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
        """Who we are."""
        return self.creator.side


def log_failure(peer: object, error: BaseException | None, where: str) -> bool:
    """Say in the log, in one event, that a connection did not come to TLS.

    Args:
        peer: Its address.
        error: Why not.
        where: The endpoint, for people.

    Returns:
        Whether the error is one that this is about.
    """
    if not isinstance(error, (HandshakeFailed, NegotiationError, TransportTimeout)):
        return False
    is_end = isinstance(error, PeerLeft) or error.cause == "closed"
    # Health checks and port scans leave without a word.
    say = _log.debug if is_end and not getattr(error, "received", b"") else _log.info
    say(
        "{peer}: {error}",
        peer=peer, error=error, cause=error.cause, diagnosis=error.diagnosis, where=where,
    )  # fmt: skip
    return True


class LifetimeState(Enum):
    """How far a connection is."""

    HANDSHAKING = auto()
    SECURE = auto()
    OVER = auto()


class TLSLifetime:
    """Keeps one TLS connection to its deadlines, and explains its end.

    Args:
        terms: What the endpoint demands.
        plain: The transport underneath.
        tls: The TLS layer above it, not connected yet or just so.
        handle: The socket, to see whether a peer still takes what we send.
        seconds: How long the handshake may take from now.
        total: How long the whole may take, for the error's text.
        failed: Is called with the reason if the handshake comes to nothing.

    Attributes:
        stage: How far the connection is.
    """

    def __init__(
        self,
        config: TLSEndpointConfig,
        plain: Any,
        tls: Any,
        *,
        handle: object,
        seconds: float,
        total: float,
        failed: Callable[[Failure], object],
    ) -> None:
        self.state = LifetimeState.HANDSHAKING
        self._config = config
        self._plain = plain
        self._tls = tls
        self._handle = handle
        self._total = total
        self._failed = failed
        self._first_bytes = b""
        self._is_closing = False
        self._verdict: Failure | None = None
        self._acknowledged: int | None = None
        self._timer: IDelayedCall | None = config.clock.callLater(seconds, self._expired)

    @property
    def is_refused(self) -> bool:
        """Whether there is a verdict already, and only the end is awaited."""
        return self._verdict is not None

    def remember_first_bytes(self, data: bytes) -> None:
        """Remember the peer's first bytes, for a connection that does not do so itself."""
        if len(self._first_bytes) < MAX_FIRST_BYTES:
            self._first_bytes = (self._first_bytes + data)[:MAX_FIRST_BYTES]

    def secured(self) -> None:
        """The handshake is over, and the peer is who it must be."""
        self._stop_timer()
        self.state = LifetimeState.SECURE
        connection = self._connection()
        if connection is not None:
            connection.on_close = self._answering
        if self._is_closing:
            # What was written before the close is sent now.
            self.closing()

    def stop(self) -> None:
        """There is nothing to watch over after all."""
        self.state = LifetimeState.OVER
        self._stop_timer()

    def refuse(self, verdict: Failure) -> None:
        """End the connection for that reason, before it is secure."""
        if self.state is LifetimeState.HANDSHAKING and self._verdict is None:
            self._verdict = verdict
            self._tls.abortConnection()

    def closing(self) -> None:
        """One of us has closed; wait for what is still to come, but not for ever."""
        self._is_closing = True
        if self.state is LifetimeState.SECURE and self._timer is None:
            # Someone who wanted nothing more would not hear the goodbye either.
            self._plain.resumeProducing()
            self._acknowledged = acknowledged(self._handle)
            self._timer = self._config.clock.callLater(
                self._config.deadlines.close_timeout, self._close_expired
            )

    def _answering(self) -> None:
        """A goodbye is said: ours, of which we know, or the answer to the peer's."""
        if not self._tls.disconnecting:
            # It has closed first, and may not take what is still to go.
            self.closing()

    def ended(self, reason: Failure) -> Failure:
        """The connection is over.

        Args:
            reason: Why, in the words of the TLS layer.

        Returns:
            Why, as whoever is above the TLS layer shall hear it.
        """
        stage, self.state = self.state, LifetimeState.OVER
        self._stop_timer()
        if stage is LifetimeState.HANDSHAKING:
            verdict = self._verdict or self._own_end(reason) or self.explained(reason)
            self._failed(verdict)
            return verdict
        connection = self._connection()
        if stage is LifetimeState.OVER or connection is None:
            return reason
        late = self._explained_by(late_failure, reason)
        if late is not None:
            return late
        if not reason.check(ConnectionClosed):
            return reason
        # Asked first: to keep the session is to set the flag that tells.
        is_farewell = connection.is_ended_by_peer
        self._config.creator.ended(connection)
        # When the peer has said goodbye, how the socket then went is no news.
        return Failure(ConnectionDone()) if is_farewell else reason

    def _own_end(self, reason: Failure) -> Failure | None:
        """That we closed in mid-handshake, if there is no other reason."""
        is_ours = self._is_closing and reason.check(ConnectionClosed)
        return Failure(ConnectionAborted()) if is_ours else None

    def explained(self, reason: Failure) -> Failure:
        """Why the handshake failed, in our words."""
        return self._explained_by(handshake_failure, reason) or reason

    def _explained_by(
        self, explain: Callable[[FailedConnection], HandshakeFailed | None], reason: Failure
    ) -> Failure | None:
        try:
            error = explain(self._failed_connection(reason))
        except Exception:
            # Whoever waits must hear of the end, be it in other words.
            _log.failure("{where}: the end could not be explained", where=self._config.where)
            return None
        return None if error is None else Failure(error)

    def _expired(self) -> None:
        self._timer = None
        config, received = self._config, self._received
        advice = (
            "did the peer switch to TLS after the go-ahead?"
            if config.is_upgrade
            else timeout_hint(received, config.side, config.port, config.where)
        )
        error = TransportTimeout(config.where, "handshake", self._total, received, advice)
        self.refuse(Failure(error))
        # A connection that was refused for another reason and still lingers.
        self._plain.abortConnection()

    def _close_expired(self) -> None:
        self._timer = None
        before, now = self._acknowledged, acknowledged(self._handle)
        taken = 0 if before is None or now is None else now - before
        # It still takes what was written before the close; its kernel's word
        # for our goodbye alone is no sign of that.
        if taken > _CLOSE_BYTES or (taken and is_draining(self._handle)):
            self.closing()
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
        )

    @property
    def _received(self) -> bytes:
        connection = self._connection()
        return connection.first_bytes if connection is not None else self._first_bytes

    def _connection(self) -> TLSConnection | None:
        handle = self._tls.getHandle()
        return handle if isinstance(handle, TLSConnection) else None

    def _stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
