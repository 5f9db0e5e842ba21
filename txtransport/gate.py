"""The gate: who wants through speaks TLS first, and proves who it is.

A plain connection ends here, on both sides. The gate starts TLS on it, waits
for the handshake and the verdict on the peer, and only then builds the guest,
whose ``connectionMade`` is the first thing that it hears. Until then the
guest's factory is told nothing; afterwards the gate only passes bytes on.

What may go wrong ends in one of three ways, and each is told once: the
handshake failed (explained by `txtransport.tls.diagnosis`), the deadline
passed (`TransportTimeout`, with the stage), or the wait was cancelled.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from typing import Any, Final, cast

from attrs import frozen
from twisted.internet.error import ConnectionDone, NoProtocol
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IHandshakeListener,
    IOpenSSLClientConnectionCreator,
    IOpenSSLServerConnectionCreator,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
)
from twisted.internet.protocol import Protocol
from twisted.logger import Logger
from twisted.protocols.tls import BufferingTLSTransport, TLSMemoryBIOFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from txtransport.errors import TransportTimeout
from txtransport.options import Deadlines
from txtransport.sockets import acknowledged
from txtransport.tls.creator import Creator
from txtransport.tls.diagnosis import Attempt, explain, explain_late, hint
from txtransport.tls.policy import Side
from txtransport.tls.session import Conversation
from txtransport.tls.verification import completed

_log: Final = Logger()

KEPT: Final = 64
"""How many of a peer's first bytes are kept to explain a failure."""


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
class Terms:
    """What all the gates of one endpoint have in common.

    Attributes:
        clock: For the deadlines.
        where: The endpoint, for people: ``tls://mail.example.com:465``.
        port: The peer's port (clients) or ours (servers), or None.
        creator: Makes the TLS connections.
        deadlines: How long things may take.
    """

    clock: IReactorTime
    where: str
    port: int | None
    creator: Creator
    deadlines: Deadlines

    @property
    def side(self) -> Side:
        """Who we are."""
        return self.creator.side

    def tls_factory(self, guests: IProtocolFactory) -> TLSMemoryBIOFactory:
        """Twisted's factory for the TLS layer above a gate."""
        is_client = self.side is Side.CLIENT
        return _TLSFactory(Starting(self.creator), is_client, guests, self.clock)


class SecureTransport(BufferingTLSTransport):
    """Twisted's TLS transport, with a close that ends and an end that explains itself."""

    gate: Gate

    def loseConnection(self) -> None:
        """Say goodbye, and wait for the peer's for ``close_timeout`` at the most."""
        super().loseConnection()
        self.gate.closing()

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """The connection is gone."""
        # What OpenSSL still holds is delivered below, before the guest hears
        # the end; whom the end is told to is the gate's decision.
        self.wrappedProtocol = _Ending(self.gate, cast(Protocol, self.wrappedProtocol))
        super().connectionLost(reason)


class _TLSFactory(TLSMemoryBIOFactory):
    protocol = SecureTransport
    noisy = False


class _Ending(Protocol):
    """Stands in for the protocol above while the connection ends."""

    def __init__(self, gate: Gate, above: Protocol) -> None:
        self._gate = gate
        self._above = above

    def dataReceived(self, data: bytes) -> None:
        self._above.dataReceived(data)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self._above.connectionLost(self._gate.ended(reason))


class HandshakeRefused(Exception):
    """Verification refused what OpenSSL had let pass; the evidence says why."""


class _State(Enum):
    HANDSHAKING = auto()
    SECURE = auto()
    OVER = auto()


class Gate(Protocol):
    """One connection on its way to TLS, and the passage once it is there.

    Args:
        terms: What the endpoint demands.
        tls: Makes the TLS layer.
        guests: Builds the guest when all is well.
        address: The peer's, as ``buildProtocol`` wants it.
        seconds: How long the handshake may take from now.
        total: How long the whole may take, for the error's text.
        opened: Is called with the guest, once it is connected.
        failed: Is called with the reason, when there will be no guest.
    """

    def __init__(
        self,
        terms: Terms,
        tls: TLSMemoryBIOFactory,
        guests: IProtocolFactory,
        address: IAddress | None,
        *,
        seconds: float,
        total: float,
        opened: Callable[[IProtocol], object],
        failed: Callable[[Failure], object],
    ) -> None:
        self._terms = terms
        self._tls_factory = tls
        self._guests = guests
        self._address = address
        self._seconds = seconds
        self._total = total
        self._opened = opened
        self._failed = failed
        self._state = _State.HANDSHAKING
        self._received = b""
        self._verdict: Failure | None = None
        self._timer: IDelayedCall | None = None
        self._acknowledged: int | None = None
        self._tls: Any = None

    # --- what the plain transport tells us ---

    def connectionMade(self) -> None:
        """Begin the handshake."""
        clock = self._terms.clock
        self._timer = clock.callLater(self._seconds, self._expired)
        threshold = _Threshold(self)
        self._tls = SecureTransport(self._tls_factory, threshold)
        self._tls.gate = self
        self._tls.makeConnection(self.transport)

    def dataReceived(self, data: bytes) -> None:
        """Bytes of the peer, to be deciphered."""
        if self._state is not _State.HANDSHAKING:
            self._tls.dataReceived(data)
            return
        missing = KEPT - len(self._received)
        if missing > 0:
            self._received += data[:missing]
        try:
            self._tls.dataReceived(data)
        except Exception:
            # A close_notify in the handshake becomes an IndexError in
            # Twisted. Exceptions of the guest are its own.
            if self._state is not _State.HANDSHAKING:
                raise
            self.refuse(Failure())

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """The plain connection is gone."""
        self._stop_timer()
        self._tls.connectionLost(reason)

    # --- what the TLS layer tells us ---

    def handshake_completed(self) -> None:
        """The handshake is over; is the peer who it must be?"""
        connection = self._connection()
        if self._verdict is not None:
            return
        if connection is None or not completed(connection):
            self.refuse(Failure(HandshakeRefused()))
            return
        try:
            guest = self._guests.buildProtocol(cast(IAddress, self._address))
            if guest is None:
                raise NoProtocol()
        except Exception:
            self.refuse(Failure(), is_explained=True)
            return
        self._stop_timer()
        self._state = _State.SECURE
        self._tls.wrappedProtocol = guest
        guest.makeConnection(self._tls)
        if IHandshakeListener.providedBy(guest):
            cast(IHandshakeListener, guest).handshakeCompleted()
        self._opened(guest)

    def refuse(self, verdict: Failure, is_explained: bool = False) -> None:
        """End the connection for that reason; there will be no guest."""
        if self._state is _State.HANDSHAKING and self._verdict is None:
            self._verdict = verdict if is_explained else self._explained(verdict)
            self._tls.abortConnection()

    def ended(self, reason: Failure) -> Failure:
        """The end of the TLS layer, as whoever is above it shall hear it."""
        state, self._state = self._state, _State.OVER
        self._stop_timer()
        connection = self._connection()
        if state is _State.SECURE and connection is not None:
            if connection.is_ended_by_peer:
                # The peer said goodbye; how the socket then went is no news.
                reason = Failure(ConnectionDone())
            late = explain_late(self._attempt(reason))
            if late is not None:
                return Failure(late)
            self._terms.creator.ended(connection)
            return reason
        if state is _State.HANDSHAKING:
            verdict = self._verdict or self._explained(reason)
            self._failed(verdict)
            return verdict
        return reason

    # --- closing ---

    def closing(self) -> None:
        """The guest has closed; wait for the peer, but not for ever."""
        if self._state is _State.SECURE and self._timer is None:
            self._acknowledged = acknowledged(self._plain.getHandle())
            self._timer = self._terms.clock.callLater(
                self._terms.deadlines.close_timeout, self._close_expired
            )

    def _close_expired(self) -> None:
        self._timer = None
        before, self._acknowledged = self._acknowledged, acknowledged(self._plain.getHandle())
        if before is not None and before != self._acknowledged:
            # It still takes what was written before the close.
            self.closing()
        else:
            self._tls.abortConnection()

    # --- the rest ---

    def _expired(self) -> None:
        self._timer = None
        terms = self._terms
        error = TransportTimeout(
            terms.where, "handshake", self._total, self._received,
            hint(self._received, terms.side, terms.port, terms.where),
        )  # fmt: skip
        self.refuse(Failure(error), is_explained=True)
        # A connection that was refused for another reason and still lingers.
        self._plain.abortConnection()

    def _explained(self, reason: Failure) -> Failure:
        return Failure(explain(self._attempt(reason)))

    def _attempt(self, reason: Failure) -> Attempt:
        terms, connection = self._terms, self._connection()
        error = reason.value or Exception()
        return Attempt(terms.where, terms.side, terms.port, self._received, error, connection)

    @property
    def _plain(self) -> Any:
        # Twisted has no interface for all that a stream transport can do.
        return self.transport

    def _connection(self) -> Conversation | None:
        handle = self._tls.getHandle()
        return handle if isinstance(handle, Conversation) else None

    def _stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None


@implementer(IHandshakeListener)
class _Threshold(Protocol):
    """Where the guest will stand; until then it listens for the handshake."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def handshakeCompleted(self) -> None:
        self._gate.handshake_completed()
