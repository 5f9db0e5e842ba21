"""What two sides say in the clear before the gate: the dialogue of ``starttls=``.

A prelude stands on the plain transport and has a negotiation speak on it. When
that comes to TLS, a gate takes its place, and all that the gate promises holds
from there: the guest is built behind it, and hears what its protocol expects to
hear first, in our words. When it does not come to TLS, the connection ends;
nothing goes on in the clear, unless ``starttls_policy=may`` says so, and then
only after a plain no.
"""

from __future__ import annotations

from typing import Any, Final, cast

from attrs import evolve
from twisted.internet.error import NoProtocol
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IProtocol,
)
from twisted.logger import Logger
from twisted.python.failure import Failure

from txtransport.config.address import is_ipv6, without_zone
from txtransport.config.policy import Side
from txtransport.connection.handshake import ConnectionAttempt, HandshakeProtocol
from txtransport.connection.pending import PendingProtocol
from txtransport.connection.trace import Event, Step
from txtransport.diagnosis.banners import recognise_plaintext, remedy_at
from txtransport.errors import (
    NegotiationError,
    PeerLeft,
    PeerMisbehaved,
    PlaintextInjected,
    TLSNotOffered,
    TLSRefused,
    TransportTimeout,
)
from txtransport.starttls.negotiation import Negotiation
from txtransport.starttls.protocols import StartTLSProtocol
from txtransport.starttls.tls_record import is_tls
from txtransport.starttls.wire import Wire
from txtransport.tls.connection import MAX_FIRST_BYTES

_log: Final = Logger()

_USE_IMPLICIT_TLS: Final = "This port speaks TLS from the start: leave starttls out"
_TRY_IMPLICIT_TLS: Final = "If this port speaks TLS from the start, leave starttls out"


def initial_protocol(
    attempt: ConnectionAttempt, seconds: float
) -> HandshakeProtocol | NegotiationProtocol:
    """The way to a guest: through a gate, and through a prelude if there is to be one.

    Args:
        visit: Whose way it is.
        seconds: How long everything may take from now.
    """
    protocol = attempt.config.starttls_options.starttls
    return (
        HandshakeProtocol(attempt, seconds)
        if protocol is None
        else NegotiationProtocol(attempt, protocol, seconds)
    )


class NegotiationProtocol(PendingProtocol):
    """One dialogue, until a gate takes its place.

    Args:
        visit: Whose way it is.
        protocol: Whose dialogue it is.
        seconds: How long everything may take from now.
    """

    def __init__(
        self, attempt: ConnectionAttempt, protocol: StartTLSProtocol, seconds: float
    ) -> None:
        self._attempt = attempt
        self._config = attempt.config
        self._starttls = protocol
        self._deadline = attempt.config.clock.seconds() + seconds
        self._timer: IDelayedCall | None = None
        self._negotiation: Negotiation | None = None
        self._verdict: Failure | None = None
        self._first_bytes = b""

    # --- what the transport tells us ---

    def connectionMade(self) -> None:
        """Begin the dialogue."""
        transport: Any = self.transport
        left = self._deadline - self._config.clock.seconds()
        patience = self._starttls.offer_timeout if self._config.side is Side.CLIENT else None
        seconds = left if patience is None else min(left, patience)
        self._timer = self._config.clock.callLater(max(0.0, seconds), self._expired)
        try:
            self._attempt.set_options(transport)
            speaker = self._starttls.connect
            if self._config.side is Side.SERVER:
                speaker = self._starttls.serve or speaker
            self._negotiation = Negotiation(speaker, self._wire(), self._config.where)
            self._continue(self._negotiation)
        except Exception:
            self._end(Failure())

    def dataReceived(self, data: bytes) -> None:
        """Bytes of the peer: of the dialogue, and then for the gate."""
        negotiation = self._negotiation
        if negotiation is None:
            if self._verdict is None:
                super().dataReceived(data)
            return
        self._first_bytes = self._first_bytes or data[:MAX_FIRST_BYTES]
        try:
            negotiation.receive_data(data)
            self._continue(negotiation)
        except NegotiationError as error:
            self._negotiation_failed(error)
        except Exception:
            # A dialogue of the user's own.
            self._end(Failure())

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """The plain connection is gone."""
        self._stop_timer()
        if self._negotiation is not None:
            self._verdict = Failure(self._peer_left(self._negotiation))
            self._negotiation = None
        if self._verdict is not None:
            self._attempt.failed(self._verdict)
        # A guest that was let in hears of it, even if it failed or gave up then.
        super().connectionLost(reason)

    def cancel(self, reason: BaseException) -> None:
        """Whoever waits for the guest does so no longer."""
        if isinstance(self.protocol, HandshakeProtocol):
            self.protocol.cancel(reason)
        else:
            self._end(Failure(reason))

    # --- the dialogue's ends ---

    def _continue(self, negotiation: Negotiation) -> None:
        self._send(negotiation)
        if not negotiation.is_complete:
            return
        self._stop_timer()
        self._negotiation = None
        if self._config.trace is not None:
            self._config.trace(Event(Step.NEGOTIATED))
        left = max(0.0, self._deadline - self._config.clock.seconds())
        is_server = self._config.side is Side.SERVER
        handshake = HandshakeProtocol(
            evolve(
                self._attempt, opened=self._deliver_greeting, set_options=lambda transport: None
            ),
            left,
            negotiation.outcome,
            self._starttls.greeting if is_server else None,
        )
        self.expect(handshake)
        self.connect_protocol()
        if negotiation.early_client_hello:
            handshake.dataReceived(negotiation.early_client_hello)

    def _deliver_greeting(self, protocol: IProtocol) -> None:
        """The guest is there, under TLS: let it hear what it waits for."""
        self._attempt.opened(protocol)
        handshake = cast(HandshakeProtocol, self.protocol)
        if self._config.side is Side.CLIENT and self._starttls.is_transparent:
            _deliver(protocol, handshake.outcome, is_leaving=handshake.is_closing)

    def _negotiation_failed(self, error: NegotiationError) -> None:
        negotiation = cast(Negotiation, self._negotiation)
        if self._may_continue(error, negotiation):
            self._continue_in_plaintext(error, negotiation)
            return
        verdict = Failure(error.located(self._config.where, self._advice(error)))
        if isinstance(error, PlaintextInjected) or self._config.side is Side.CLIENT:
            self._end(verdict)
            return
        # The client is told in its protocol's own words; the timer goes on,
        # in case that it does not want to hear them.
        self._send(negotiation)
        self._negotiation, self._verdict = None, verdict
        cast(Any, self.transport).loseConnection()

    def _may_continue(self, error: NegotiationError, negotiation: Negotiation) -> bool:
        return (
            isinstance(error, (TLSNotOffered, TLSRefused))
            and self._config.side is Side.CLIENT
            and self._config.starttls_options.starttls_policy == "may"
            and self._starttls.may_continue
            and not negotiation.wire.received
        )

    def _continue_in_plaintext(self, error: NegotiationError, negotiation: Negotiation) -> None:
        self._stop_timer()
        self._negotiation = None
        _log.warn(
            "{where}: {error}; it goes on in the clear, as starttls_policy=may allows",
            where=self._config.where, error=error,
        )  # fmt: skip
        try:
            protocol = self._attempt.factory.buildProtocol(cast(IAddress, self._attempt.address))
            if protocol is None:
                raise NoProtocol()
            self.expect(protocol)
            self.connect_protocol()
        except Exception:
            self._end(Failure())
            return
        self._attempt.opened(protocol)
        is_leaving = self._verdict is not None or cast(Any, self.transport).disconnecting
        _deliver(protocol, negotiation.wire.greeting, is_leaving=is_leaving)

    def _end(self, verdict: Failure) -> None:
        self._negotiation, self._verdict = None, self._verdict or verdict
        cast(Any, self.transport).abortConnection()

    def _expired(self) -> None:
        self._timer = None
        config, negotiation = self._config, self._negotiation
        transport: Any = self.transport
        if negotiation is None:
            # It was told why, and lingers.
            transport.abortConnection()
        elif config.clock.seconds() < self._deadline:
            self._negotiation_failed(TLSNotOffered(b"nothing"))
        else:
            heard = bytes(negotiation.wire.received) or self._first_bytes
            # As in `_peer_left`.
            heard = heard if config.side is Side.CLIENT else b""
            self._end(
                Failure(TransportTimeout(config.where, "negotiation", self._attempt.total, heard))
            )

    # --- the rest ---

    def _advice(self, error: NegotiationError) -> str:
        """What the peer's first bytes suggest to a client that did not expect them."""
        if self._config.side is Side.SERVER or not isinstance(error, PeerMisbehaved):
            return ""
        if is_tls(self._first_bytes):
            return _USE_IMPLICIT_TLS
        known = recognise_plaintext(self._first_bytes, Side.CLIENT, self._config.port)
        where = self._config.where.partition("?")[0]
        advice = "" if known is None else remedy_at(known.diagnosis, where)
        return "" if f"starttls={self._starttls.name} " in f"{advice} " else advice

    def _peer_left(self, negotiation: Negotiation) -> NegotiationError:
        if self._config.side is Side.SERVER:
            # What a client had not finished may be its password.
            return PeerLeft().located(self._config.where)
        return negotiation.connection_lost().located(
            self._config.where, "" if self._first_bytes else _TRY_IMPLICIT_TLS
        )

    def _send(self, negotiation: Negotiation) -> None:
        said = negotiation.data_to_send()
        if said:
            cast(Any, self.transport).write(said)

    def _wire(self) -> Wire:
        host = self._config.host or "localhost"
        if self._config.side is Side.SERVER:
            return Wire(local_name=host)
        starttls_options = self._config.starttls_options
        us = starttls_options.starttls_from or _address_literal(self.transport)
        return Wire(local_name=us, host=host, name=starttls_options.starttls_name or host)

    def _stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None


def _deliver(protocol: IProtocol, greeting: bytes, *, is_leaving: bool) -> None:
    """Let a guest hear what it waits for, unless it has left already."""
    if greeting and not is_leaving:
        protocol.dataReceived(greeting)


def _address_literal(transport: Any) -> str:
    """Our own address, as mail has it (RFC 5321, 4.1.3)."""
    host = without_zone(str(getattr(transport.getHost(), "host", "")))
    if not host:
        return "localhost"
    return f"[IPv6:{host}]" if is_ipv6(host) else f"[{host}]"
