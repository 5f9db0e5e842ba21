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

import socket
import struct
from collections.abc import Callable
from enum import Enum, auto
from typing import Any, Final, cast

from attrs import Factory as Made
from attrs import define, field, frozen
from OpenSSL import SSL
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectingCancelledError, ConnectionDone, NoProtocol
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IHandshakeListener,
    IOpenSSLClientConnectionCreator,
    IOpenSSLServerConnectionCreator,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
    ITransport,
)
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import Logger
from twisted.protocols.tls import BufferingTLSTransport, TLSMemoryBIOFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from txtransport.errors import HandshakeFailed, TransportTimeout
from txtransport.options import Deadlines
from txtransport.tls.creator import Creator
from txtransport.tls.diagnosis import Attempt, explain, hint
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
        address: IAddress,
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
            self.refuse(Failure(SSL.Error([])))
            return
        try:
            guest = self._guests.buildProtocol(self._address)
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
            if connection.get_shutdown() & SSL.RECEIVED_SHUTDOWN:
                # The peer said goodbye; how the socket then went is no news.
                reason = Failure(ConnectionDone())
            if reason.check(SSL.Error):
                return self._late_verdict(reason)
            self._terms.creator.ended(connection)
            return reason
        if state is _State.HANDSHAKING:
            verdict = self._verdict or self._explained(reason)
            self._failed(verdict)
            return verdict
        return reason

    def _late_verdict(self, reason: Failure) -> Failure:
        # In TLS 1.3 a server judges our certificate when our side of the
        # handshake is over, and the guest has been built.
        if self._terms.side is Side.CLIENT:
            explained = self._explained(reason)
            if explained.value.cause in _LATE:
                return explained
        return reason

    # --- closing ---

    def closing(self) -> None:
        """The guest has closed; wait for the peer, but not for ever."""
        if self._state is _State.SECURE and self._timer is None:
            self._acknowledged = _acknowledged(self.transport)
            self._timer = self._terms.clock.callLater(
                self._terms.deadlines.close_timeout, self._close_expired
            )

    def _close_expired(self) -> None:
        self._timer = None
        before, self._acknowledged = self._acknowledged, _acknowledged(self.transport)
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
        self.transport.abortConnection()

    def _explained(self, reason: Failure) -> Failure:
        terms = self._terms
        error = explain(
            Attempt(
                terms.where,
                terms.side,
                terms.port,
                self._received,
                reason.value,
                self._connection(),
            )
        )
        error.__cause__ = reason.value
        return Failure(error)

    def _connection(self) -> Conversation | None:
        handle = self._tls.getHandle()
        return handle if isinstance(handle, Conversation) else None

    def _stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None


_LATE: Final = ("client-certificate-required", "peer-alert")


@implementer(IHandshakeListener)
class _Threshold(Protocol):
    """Where the guest will stand; until then it listens for the handshake."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def handshakeCompleted(self) -> None:
        self._gate.handshake_completed()


# tcpi_bytes_acked in Linux's struct tcp_info (linux/tcp.h).
_ACKED: Final = struct.Struct("120xQ")


def _acknowledged(transport: Any) -> int | None:
    """How many bytes the peer's kernel has taken, or None where that is not known."""
    handle = transport.getHandle()
    if not isinstance(handle, socket.socket) or not hasattr(socket, "TCP_INFO"):
        return None
    try:
        return int(_ACKED.unpack(handle.getsockopt(6, socket.TCP_INFO, _ACKED.size))[0])
    except (OSError, struct.error):
        return None


# --- clients ---------------------------------------------------------------------


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

    def build(self, address: IAddress) -> IProtocol | None:
        """The protocol for the plain connection: a gate, or the guest itself."""
        endpoint = self.endpoint
        if endpoint.terms is None:
            return self.guests.buildProtocol(address)
        self.stage = "handshake"
        self._gate = Gate(
            endpoint.terms,
            endpoint.terms.tls_factory(self.guests),
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
            error = ConnectingCancelledError(self.endpoint.where)  # type: ignore[arg-type]
            self._gate.refuse(Failure(error), is_explained=True)
        elif self._connecting is not None:
            self._connecting.cancel()

    def _succeed(self, guest: IProtocol) -> None:
        self.done.callback(guest)

    def _fail(self, reason: Failure) -> None:
        if reason.check(CancelledError):
            reason = Failure(ConnectingCancelledError(self.endpoint.where))  # type: ignore[arg-type]
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

    def buildProtocol(self, addr: IAddress) -> Any:
        return self._opening.build(addr)


# --- servers ---------------------------------------------------------------------


class ServerGate(Factory):
    """The factory that a listening port gets: a gate for each who knocks.

    Args:
        terms: What TLS demands.
        guests: The application's factory.
    """

    noisy = False

    def __init__(self, terms: Terms, guests: IProtocolFactory) -> None:
        self._terms = terms
        self._guests = guests
        self._tls = terms.tls_factory(guests)

    def doStart(self) -> None:
        """The port listens."""
        self._guests.doStart()

    def doStop(self) -> None:
        """The port is closed."""
        self._guests.doStop()

    def buildProtocol(self, addr: IAddress) -> Gate:
        """A gate for a new connection."""
        seconds = self._terms.deadlines.handshake_timeout
        return Gate(
            self._terms,
            self._tls,
            self._guests,
            addr,
            seconds=seconds,
            total=seconds,
            opened=lambda guest: None,
            failed=lambda reason: self._tell(addr, reason),
        )

    def _tell(self, address: IAddress, reason: Failure) -> None:
        error = reason.value
        if isinstance(error, HandshakeFailed) and error.cause == "closed" and not error.received:
            # A health check, or a port scan.
            say = _log.debug
        elif isinstance(error, (HandshakeFailed, TransportTimeout, NoProtocol)):
            say = _log.info
        else:
            _log.failure("{peer}: building the protocol failed", reason, peer=address)
            return
        cause = getattr(error, "cause", type(error).__name__)
        say("{peer}: {error}", peer=address, error=error, cause=cause, where=self._terms.where)
