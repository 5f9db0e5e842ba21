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
from txtransport.config.settings import Deadlines, WayIn
from txtransport.connection.tcp_info import acknowledged, is_draining
from txtransport.connection.trace import Trace
from txtransport.errors import HandshakeFailed, NegotiationError, PeerLeft, TransportTimeout
from txtransport.tls.connection import KEPT, Conversation
from txtransport.tls.creator import Creator
from txtransport.tls.failure import Attempt, explain, explain_late, hint

_log: Final = Logger()

_GOODBYE: Final = 4096
"""Bytes that a last small answer and a close_notify take on the wire, at the most."""


@implementer(IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator)
@frozen
class Starting:
    """A creator as Twisted asks for it."""

    creator: Creator

    def clientConnectionForTLS(self, tlsProtocol: object) -> Conversation:
        """A connection for a client."""
        return self._made()

    def serverConnectionForTLS(self, tlsProtocol: object) -> Conversation:
        """A connection for a server."""
        return self._made()

    def _made(self) -> Conversation:
        made = self.creator.connection()
        problem = self.creator.shared.news()
        if problem is not None:
            _log.error(
                "A certificate file changed and cannot be used; the one from before goes on: "
                "{problem}", problem=problem,
            )  # fmt: skip
        return made


@frozen
class Borrowed:
    """In a creator's place, where a protocol brings a context of its own.

    Attributes:
        side: Who we are.
    """

    side: Side

    def ended(self, connection: Conversation) -> None:
        """Nothing is kept of a connection that is not of our making."""


@frozen
class Terms:
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
    creator: Creator | Borrowed
    deadlines: Deadlines
    is_upgrade: bool = False
    way_in: WayIn = field(factory=WayIn)
    host: str = ""
    trace: Trace | None = field(default=None, repr=False)

    @property
    def side(self) -> Side:
        """Who we are."""
        return self.creator.side


def report(peer: object, error: BaseException | None, where: str) -> bool:
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


class Stage(Enum):
    """How far a connection is."""

    HANDSHAKING = auto()
    SECURE = auto()
    OVER = auto()


class Watch:
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
        terms: Terms,
        plain: Any,
        tls: Any,
        *,
        handle: object,
        seconds: float,
        total: float,
        failed: Callable[[Failure], object],
    ) -> None:
        self.stage = Stage.HANDSHAKING
        self._terms = terms
        self._plain = plain
        self._tls = tls
        self._handle = handle
        self._total = total
        self._failed = failed
        self._heard = b""
        self._is_leaving = False
        self._verdict: Failure | None = None
        self._acknowledged: int | None = None
        self._timer: IDelayedCall | None = terms.clock.callLater(seconds, self._expired)

    @property
    def is_refused(self) -> bool:
        """Whether there is a verdict already, and only the end is awaited."""
        return self._verdict is not None

    def hear(self, data: bytes) -> None:
        """Remember the peer's first bytes, for a connection that does not do so itself."""
        if len(self._heard) < KEPT:
            self._heard = (self._heard + data)[:KEPT]

    def secured(self) -> None:
        """The handshake is over, and the peer is who it must be."""
        self._stop_timer()
        self.stage = Stage.SECURE
        connection = self._connection()
        if connection is not None:
            connection.closing = self._answering
        if self._is_leaving:
            # What was written before the close is sent now.
            self.closing()

    def stop(self) -> None:
        """There is nothing to watch over after all."""
        self.stage = Stage.OVER
        self._stop_timer()

    def refuse(self, verdict: Failure) -> None:
        """End the connection for that reason, before it is secure."""
        if self.stage is Stage.HANDSHAKING and self._verdict is None:
            self._verdict = verdict
            self._tls.abortConnection()

    def closing(self) -> None:
        """One of us has closed; wait for what is still to come, but not for ever."""
        self._is_leaving = True
        if self.stage is Stage.SECURE and self._timer is None:
            # Someone who wanted nothing more would not hear the goodbye either.
            self._plain.resumeProducing()
            self._acknowledged = acknowledged(self._handle)
            self._timer = self._terms.clock.callLater(
                self._terms.deadlines.close_timeout, self._close_expired
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
        stage, self.stage = self.stage, Stage.OVER
        self._stop_timer()
        if stage is Stage.HANDSHAKING:
            verdict = self._verdict or self._own_end(reason) or self.explained(reason)
            self._failed(verdict)
            return verdict
        connection = self._connection()
        if stage is Stage.OVER or connection is None:
            return reason
        late = self._worded(explain_late, reason)
        if late is not None:
            return late
        if not reason.check(ConnectionClosed):
            return reason
        # Asked first: to keep the session is to set the flag that tells.
        is_farewell = connection.is_ended_by_peer
        self._terms.creator.ended(connection)
        # When the peer has said goodbye, how the socket then went is no news.
        return Failure(ConnectionDone()) if is_farewell else reason

    def _own_end(self, reason: Failure) -> Failure | None:
        """That we closed in mid-handshake, if there is no other reason."""
        is_ours = self._is_leaving and reason.check(ConnectionClosed)
        return Failure(ConnectionAborted()) if is_ours else None

    def explained(self, reason: Failure) -> Failure:
        """Why the handshake failed, in our words."""
        return self._worded(explain, reason) or reason

    def _worded(
        self, explain: Callable[[Attempt], HandshakeFailed | None], reason: Failure
    ) -> Failure | None:
        try:
            error = explain(self._attempt(reason))
        except Exception:
            # Whoever waits must hear of the end, be it in other words.
            _log.failure("{where}: the end could not be explained", where=self._terms.where)
            return None
        return None if error is None else Failure(error)

    def _expired(self) -> None:
        self._timer = None
        terms, received = self._terms, self._received
        advice = (
            "did the peer switch to TLS after the go-ahead?"
            if terms.is_upgrade
            else hint(received, terms.side, terms.port, terms.where)
        )
        error = TransportTimeout(terms.where, "handshake", self._total, received, advice)
        self.refuse(Failure(error))
        # A connection that was refused for another reason and still lingers.
        self._plain.abortConnection()

    def _close_expired(self) -> None:
        self._timer = None
        before, now = self._acknowledged, acknowledged(self._handle)
        taken = 0 if before is None or now is None else now - before
        # It still takes what was written before the close; its kernel's word
        # for our goodbye alone is no sign of that.
        if taken > _GOODBYE or (taken and is_draining(self._handle)):
            self.closing()
        else:
            self._tls.abortConnection()

    def _attempt(self, reason: Failure) -> Attempt:
        terms, connection = self._terms, self._connection()
        return Attempt(
            terms.where,
            terms.side,
            terms.port,
            self._received,
            reason.value or Exception(),
            connection,
            terms.is_upgrade,
        )

    @property
    def _received(self) -> bytes:
        connection = self._connection()
        return connection.received if connection is not None else self._heard

    def _connection(self) -> Conversation | None:
        handle = self._tls.getHandle()
        return handle if isinstance(handle, Conversation) else None

    def _stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
