"""One connection from its look-up to its end: its stage, its deadline and its verdict.

Everything about one connection that others may want to know or to end stands in one
object, for clients, servers and upgrades alike::

    LOOK_UP -> CONNECT -> PROXY -> NEGOTIATION -> HANDSHAKE -> OPEN -> CLOSING -> OVER
    `--- clients ----'    proxy=   starttls=                   the application's
                                                               protocol exists

A stage may be left out, and any stage may be followed by OVER. There is one timer, and
what it means depends on the stage:

======================  ==========================================================
LOOK_UP … HANDSHAKE     what is left of ``timeout`` (servers: ``handshake_timeout``)
OPEN                    none
CLOSING                 ``close_timeout``, again while the peer takes data (`Delivery`)
======================  ==========================================================

There is one verdict, too: the first reason for which the connection was given up. It is
told once, to `failed`, when the connection is gone, or to the application's protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from functools import partial
from typing import Final, Protocol, cast

from attrs import field, frozen
from twisted.internet.error import (
    ConnectionAborted,
    ConnectionClosed,
    ConnectionDone,
    ConnectionLost,
    NoProtocol,
)
from twisted.internet.interfaces import (
    IAddress,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
)
from twisted.logger import Logger
from twisted.python.failure import Failure

from txtransport.config.policy import Side
from txtransport.config.settings import Deadlines, StartTLSOptions
from txtransport.connection.application_protocols import acceptable_protocols
from txtransport.connection.deadline import Deadline
from txtransport.connection.delivery import Delivery
from txtransport.connection.peers import describe_address
from txtransport.connection.tcp_info import acknowledged
from txtransport.connection.trace import Trace
from txtransport.connection.twisted_types import TCPTransport
from txtransport.errors import HandshakeFailed, NegotiationError, PeerLeft, TransportTimeout
from txtransport.tls.connection import LayeredConnection, OutgoingBytes, SecureConnection
from txtransport.tls.creator import Creator
from txtransport.tls.engine import Engine
from txtransport.tls.failure import FailedConnection, handshake_failure, late_failure, timeout_hint

__all__ = ["ConnectionAttempt", "EndpointConfig", "Stage", "Writer", "is_reset", "log_failure"]

_log: Final = Logger()


class Stage(Enum):
    """What a connection is doing; a `TransportTimeout` names it by its value."""

    LOOK_UP = "look-up"
    """Clients: the host's name is looked up."""
    CONNECT = "connect"
    """Clients: the network connects. Servers: the connection waits for its turn."""
    PROXY = "proxy"
    """Clients: a proxy is connected to, and asked for what is behind it."""
    NEGOTIATION = "negotiation"
    """The dialogue of ``starttls=`` is going on, in the clear."""
    HANDSHAKE = "handshake"
    """The handshake is going on; the peer is not verified yet."""
    OPEN = "open"
    """The application's protocol is connected; under TLS, the peer is verified."""
    CLOSING = "closing"
    """One side has said that it closes."""
    OVER = "over"
    """The connection is gone, or there will be none."""


@frozen
class EndpointConfig:
    """What all connections of one endpoint have in common.

    Attributes:
        clock: Keeps the deadlines.
        where: The endpoint, as messages name it: ``tls://mail.example.com:465``.
        port: The peer's port (clients) or ours (servers), or None.
        side: Which side of TLS we are.
        creator: Makes the TLS connections. None without TLS, and where a protocol
            brings its own context.
        deadlines: How long each stage may take, in seconds.
        is_upgrade: Whether the connection begins in the clear.
        starttls_options: The dialogue before TLS, if there is one.
        host: The peer's name (clients) or ours (servers), as the dialogue says it.
        trace: Is told of each step of an attempt, or None.
        proxy: The proxies in between, without their secrets; empty if there are none.
    """

    clock: IReactorTime
    where: str
    port: int | None
    side: Side
    creator: Creator | None
    deadlines: Deadlines
    is_upgrade: bool = False
    starttls_options: StartTLSOptions = field(factory=StartTLSOptions)
    host: str = ""
    trace: Trace | None = field(default=None, repr=False)
    proxy: str = ""

    def new_engine(self, factory: object) -> Engine:
        """The engine of a connection, for one handshake.

        Args:
            factory: The application's factory, which is asked for its application
                protocols (ALPN) where the policy names none.
        """
        creator = self.creator
        assert creator is not None, "there is no TLS here"
        names = () if creator.policy.alpn_protocols else acceptable_protocols(factory)
        engine = creator.new_engine(names)
        if creator.context.problem is not None:
            self._log_reload(creator)
        return engine

    def new_layered_connection(self, factory: object) -> LayeredConnection:
        """A connection for one handshake, which Twisted's TLS layer drives.

        Args:
            factory: As for `new_engine`.
        """
        creator = self.creator
        assert creator is not None, "there is no TLS here"
        names = () if creator.policy.alpn_protocols else acceptable_protocols(factory)
        connection = creator.new_layered_connection(names)
        self._log_reload(creator)
        return connection

    def _log_reload(self, creator: Creator) -> None:
        problem = creator.context.reload_error()
        if problem is not None:
            _log.error(
                "{where}: a certificate file changed and cannot be used; the one from before goes "
                "on: {problem}", where=self.where, problem=problem,
            )  # fmt: skip


def is_reset(reason: Failure) -> bool:
    """Whether a peer has reset a TCP connection (RST) instead of closing it (FIN).

    Args:
        reason: What Twisted tells the protocol of the plain connection. For OpenSSL, both
            are the same end of its input.
    """
    # Our own abort is a ConnectionLost to Twisted as well.
    error = reason.value
    return isinstance(error, ConnectionLost) and not isinstance(error, ConnectionAborted)


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


class Layer(Protocol):
    """What an attempt asks of the protocol that has the connection at the moment.

    It is a negotiation, our TLS driver, or the TLS layer that Twisted has made.
    """

    def abortConnection(self) -> None: ...


class Writer(Protocol):
    """What writes to a plain transport: itself, or what stands for it."""

    def write(self, data: bytes) -> None: ...


class PlainTransport(Protocol):
    """What an attempt asks of the transport below TLS."""

    def abortConnection(self) -> None: ...


class ConnectionAttempt:
    """One connection that is to become secure, then open, until it is over.

    A subclass says what an attempt comes to: `opened` and `failed`.

    Args:
        config: What the connections of the endpoint have in common.
        total: How long the attempt may take in all, in seconds.
        factory: The application's factory; an upgrade has its protocol already.
        address: The peer's address, for ``buildProtocol``.

    Attributes:
        config: As given.
        total: As given.
        factory: As given.
        address: As given.
        stage: What the connection is doing.
        verdict: Why the connection was given up, or None.
        is_closing: Whether we have closed, in whatever stage.
        is_reset: Whether the plain connection was reset (RST) and not closed (FIN).
        connection: The TLS connection, or None where there is none, or a foreign one.
        outgoing: Counts the encrypted bytes on their way to the peer.
        layer: The protocol that has the connection at the moment.
    """

    def __init__(
        self,
        config: EndpointConfig,
        total: float,
        factory: IProtocolFactory | None = None,
        address: IAddress | None = None,
    ) -> None:
        self.config: EndpointConfig = config
        self.total: float = total
        self.factory: IProtocolFactory | None = factory
        self.address: IAddress | None = address
        self.stage: Stage = Stage.LOOK_UP
        self.verdict: Failure | None = None
        self.is_closing: bool = False
        self.is_reset: bool = False
        self.connection: SecureConnection | None = None
        self.outgoing: OutgoingBytes = OutgoingBytes()
        self.layer: Layer | None = None
        self._plain: PlainTransport | None = None
        self._delivery: Delivery | None = None
        self._deadline: Deadline | None = None

    # --- what an attempt comes to ---

    def opened(self, protocol: IProtocol) -> None:
        """The application's protocol is connected."""

    def failed(self, reason: Failure) -> None:
        """The attempt has failed; is called at most once, and not after `opened`."""

    def connected(self, transport: TCPTransport, writer: Writer) -> None:
        """There is a plain connection, on which nothing was sent yet.

        Args:
            transport: The plain transport.
            writer: Writes to it what comes before all else.

        Raises:
            Exception: The attempt fails for it.
        """

    def build_protocol(self) -> IProtocol:
        """Ask the application's factory for its protocol.

        Raises:
            NoProtocol: It wants none.
            Exception: What the factory raises.
        """
        assert self.factory is not None
        protocol = self.factory.buildProtocol(self.address)  # type: ignore[arg-type]
        if protocol is None:
            raise NoProtocol()
        return protocol

    # --- the deadline ---

    def run_deadline(self, seconds: float) -> None:
        """Give the stage that begins, and those that follow, so many seconds from now."""
        self._deadline = Deadline(self.config.clock, seconds, self._expired)

    def stop_deadline(self) -> None:
        """Wait without end."""
        deadline, self._deadline = self._deadline, None
        if deadline is not None:
            deadline.stop()

    def _expired(self) -> None:
        _AT_DEADLINE[self.stage](self)

    def connecting_expired(self) -> None:
        """The deadline passed during the look-up, or while the network connects."""

    def _negotiation_expired(self) -> None:
        cast(_Negotiating, self.layer).expired()

    def _handshake_expired(self) -> None:
        config, received = self.config, self.first_bytes
        advice = (
            "did the peer switch to TLS after the go-ahead?"
            if config.is_upgrade
            else timeout_hint(received, config.side, config.port, config.where)
        )
        error = TransportTimeout(config.where, self.stage.value, self.total, received, advice)
        self.refuse(Failure(error))
        # If the connection was refused before, `refuse` does nothing; but the
        # connection is still there, so it is cut.
        self._abort_plain()

    def _close_expired(self) -> None:
        if self._delivery is not None and self._delivery.may_wait_on():
            self.run_deadline(self.config.deadlines.close_timeout)
        elif self.layer is not None:
            self.layer.abortConnection()

    # --- from stage to stage ---

    def negotiating(self, layer: Layer) -> None:
        """The dialogue of ``starttls=`` begins."""
        self.stage, self.layer = Stage.NEGOTIATION, layer

    def handshaking(self, layer: Layer, plain: PlainTransport) -> None:
        """The handshake begins.

        Args:
            layer: Runs it.
            plain: The transport below.
        """
        self.stage, self.layer, self._plain = Stage.HANDSHAKE, layer, plain

    def secured(self, handle: object) -> None:
        """The handshake is complete, and the peer verified.

        Args:
            handle: The socket, to see whether the peer takes what we send; or anything
                else where that cannot be seen.
        """
        self.stop_deadline()
        self.stage = Stage.OPEN
        self._delivery = Delivery(self.outgoing, partial(acknowledged, handle))
        if self.is_closing:
            # What was written before the close is sent now.
            self.closing()

    def opened_in_plaintext(self, protocol: IProtocol) -> None:
        """The application's protocol is connected, and there is no TLS."""
        self.stop_deadline()
        self.stage = Stage.OPEN
        self.layer = None
        self.opened(protocol)

    def closing(self, *, is_reading: bool = False) -> None:
        """One side has closed: from now on, the end has a deadline.

        Args:
            is_reading: Whether the plain transport is known to be read from.
        """
        self.is_closing = True
        if self.stage is Stage.OPEN:
            self.stage = Stage.CLOSING
            if not is_reading:
                # An application that has paused reading would never receive the
                # peer's close_notify. A transport that cannot be paused has no such method.
                resume = getattr(self._plain, "resumeProducing", None)
                if resume is not None:
                    resume()
            if self._delivery is not None:
                self._delivery.begin()
            self.run_deadline(self.config.deadlines.close_timeout)

    def refuse(self, verdict: Failure) -> None:
        """Abort the connection for that reason, unless it is open or refused already."""
        if self.verdict is None and self.stage in _NOT_OPEN_YET:
            self.verdict = verdict
            if self.layer is not None:
                self.layer.abortConnection()

    def cancel(self, reason: BaseException) -> None:
        """End the connection at once, in whatever stage.

        Args:
            reason: What the attempt fails with, if it is not open yet.
        """
        if self.stage in _NOT_OPEN_YET:
            self.refuse(Failure(reason))
        elif self.layer is not None:
            self.layer.abortConnection()

    def give_up(self) -> None:
        """The connection will not come to TLS; whoever calls this tells why."""
        self.stop_deadline()
        self.stage = Stage.OVER

    def ended(self, reason: Failure) -> Failure:
        """Explain the end of the connection, and keep its session for the next one.

        Args:
            reason: Why the connection is gone, as the transport or OpenSSL has said.

        Returns:
            Why, for the application's protocol.
        """
        stage, self.stage = self.stage, Stage.OVER
        self.stop_deadline()
        # Twisted's connector may be kept when its connection is gone, and keeps its
        # factory, which an attempt may be.
        self.layer = self._plain = None
        if stage is Stage.HANDSHAKE:
            verdict = self.verdict or self._own_end(reason) or self.explained(reason)
            self.verdict = verdict
            self.failed(verdict)
            return verdict
        connection = self.connection
        if stage is Stage.OVER or connection is None:
            return reason
        if not isinstance(reason.value, ConnectionClosed):
            return self._explained_by(late_failure, reason) or reason
        # Asked before `ended`, which keeps the session and for that sets the
        # flag of a received close_notify.
        is_closed_by_peer = connection.is_ended_by_peer
        if self.config.creator is not None:
            self.config.creator.ended(connection)
        if not is_closed_by_peer or isinstance(reason.value, ConnectionDone):
            return reason
        # After a close_notify it does not matter how the socket was closed.
        return Failure(ConnectionDone())

    # --- explanations ---

    @property
    def first_bytes(self) -> bytes:
        """The first bytes of the peer under TLS, as many as are kept."""
        return b"" if self.connection is None else self.connection.first_bytes

    def explained(self, reason: Failure) -> Failure:
        """Why the handshake failed.

        Args:
            reason: Why the connection is gone, as the transport or OpenSSL has said.

        Returns:
            A `HandshakeFailed`; `reason` itself if it cannot be explained.
        """
        return self._explained_by(handshake_failure, reason) or reason

    def _own_end(self, reason: Failure) -> Failure | None:
        """`ConnectionAborted`, if we closed during the handshake and nothing else failed."""
        is_ours = self.is_closing and isinstance(reason.value, ConnectionClosed)
        return Failure(ConnectionAborted()) if is_ours else None

    def _explained_by(
        self, explain: Callable[[FailedConnection], HandshakeFailed | None], reason: Failure
    ) -> Failure | None:
        config = self.config
        try:
            error = explain(
                FailedConnection(
                    config.where,
                    config.side,
                    config.port,
                    self.first_bytes,
                    reason.value or Exception(),
                    self.connection,
                    config.is_upgrade,
                    self.is_reset,
                )
            )
        except Exception:
            # The end must be told in any case, if need be unexplained.
            _log.failure("{where}: the end could not be explained", where=config.where)
            return None
        return None if error is None else Failure(error)

    def _abort_plain(self) -> None:
        if self._plain is not None:
            self._plain.abortConnection()


class _Negotiating(Protocol):
    def expired(self) -> None: ...


_NOT_OPEN_YET: Final = frozenset(
    {Stage.LOOK_UP, Stage.CONNECT, Stage.PROXY, Stage.NEGOTIATION, Stage.HANDSHAKE}
)

_AT_DEADLINE: Final[Mapping[Stage, Callable[[ConnectionAttempt], None]]] = {
    Stage.LOOK_UP: lambda attempt: attempt.connecting_expired(),
    Stage.CONNECT: lambda attempt: attempt.connecting_expired(),
    Stage.PROXY: lambda attempt: attempt.connecting_expired(),
    Stage.NEGOTIATION: ConnectionAttempt._negotiation_expired,
    Stage.HANDSHAKE: ConnectionAttempt._handshake_expired,
    Stage.CLOSING: ConnectionAttempt._close_expired,
}
"""What the deadline means in each stage; in the others none is running."""
