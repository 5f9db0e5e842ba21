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

from txtransport.config.policy import Side
from txtransport.connection.handshake import Gate, Visit
from txtransport.connection.pending import Passage
from txtransport.connection.trace import Event, Step
from txtransport.diagnosis.banners import is_tls, recognise
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
from txtransport.starttls.protocols import Upgradable
from txtransport.starttls.wire import Wire
from txtransport.tls.connection import KEPT

_log: Final = Logger()

_IMPLICIT: Final = "This port speaks TLS from the start: leave starttls out"
_MUTE: Final = "If this port speaks TLS from the start, leave starttls out"


def way(visit: Visit, seconds: float) -> Gate | Prelude:
    """The way to a guest: through a gate, and through a prelude if there is to be one.

    Args:
        visit: Whose way it is.
        seconds: How long everything may take from now.
    """
    protocol = visit.terms.way_in.starttls
    return Gate(visit, seconds) if protocol is None else Prelude(visit, protocol, seconds)


class Prelude(Passage):
    """One dialogue, until a gate takes its place.

    Args:
        visit: Whose way it is.
        protocol: Whose dialogue it is.
        seconds: How long everything may take from now.
    """

    def __init__(self, visit: Visit, protocol: Upgradable, seconds: float) -> None:
        self._visit = visit
        self._terms = visit.terms
        self._protocol = protocol
        self._deadline = visit.terms.clock.seconds() + seconds
        self._timer: IDelayedCall | None = None
        self._talk: Negotiation | None = None
        self._verdict: Failure | None = None
        self._first = b""

    # --- what the transport tells us ---

    def connectionMade(self) -> None:
        """Begin the dialogue."""
        transport: Any = self.transport
        left = self._deadline - self._terms.clock.seconds()
        patience = self._protocol.patience if self._terms.side is Side.CLIENT else None
        seconds = left if patience is None else min(left, patience)
        self._timer = self._terms.clock.callLater(max(0.0, seconds), self._expired)
        try:
            self._visit.tune(transport)
            speaker = self._protocol.connect
            if self._terms.side is Side.SERVER:
                speaker = self._protocol.serve or speaker
            self._talk = Negotiation(speaker, self._wire(), self._terms.where)
            self._go_on(self._talk)
        except Exception:
            self._end(Failure())

    def dataReceived(self, data: bytes) -> None:
        """Bytes of the peer: of the dialogue, and then for the gate."""
        talk = self._talk
        if talk is None:
            if self._verdict is None:
                super().dataReceived(data)
            return
        self._first = self._first or data[:KEPT]
        try:
            talk.receive(data)
            self._go_on(talk)
        except NegotiationError as error:
            self._not_to_be(error)
        except Exception:
            # A dialogue of the user's own.
            self._end(Failure())

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """The plain connection is gone."""
        self._stop_timer()
        if self._talk is not None:
            self._verdict = Failure(self._left(self._talk))
            self._talk = None
        if self._verdict is not None:
            self._visit.failed(self._verdict)
        # A guest that was let in hears of it, even if it failed or gave up then.
        super().connectionLost(reason)

    def cancel(self, reason: BaseException) -> None:
        """Whoever waits for the guest does so no longer."""
        if isinstance(self.guest, Gate):
            self.guest.cancel(reason)
        else:
            self._end(Failure(reason))

    # --- the dialogue's ends ---

    def _go_on(self, talk: Negotiation) -> None:
        self._say(talk)
        if not talk.is_over:
            return
        self._stop_timer()
        self._talk = None
        if self._terms.trace is not None:
            self._terms.trace(Event(Step.NEGOTIATED))
        left = max(0.0, self._deadline - self._terms.clock.seconds())
        is_server = self._terms.side is Side.SERVER
        gate = Gate(
            evolve(self._visit, opened=self._greeted, tune=lambda transport: None),
            left,
            talk.outcome,
            self._protocol.greeting if is_server else None,
        )
        self.expect(gate)
        self.let_in()
        if talk.hello:
            gate.dataReceived(talk.hello)

    def _greeted(self, guest: IProtocol) -> None:
        """The guest is there, under TLS: let it hear what it waits for."""
        self._visit.opened(guest)
        gate = cast(Gate, self.guest)
        if self._terms.side is Side.CLIENT and self._protocol.is_transparent:
            _greet(guest, gate.outcome, is_leaving=gate.is_leaving)

    def _not_to_be(self, error: NegotiationError) -> None:
        talk = cast(Negotiation, self._talk)
        if self._may_go_on(error, talk):
            self._go_on_in_the_clear(error, talk)
            return
        verdict = Failure(error.located(self._terms.where, self._advice(error)))
        if isinstance(error, PlaintextInjected) or self._terms.side is Side.CLIENT:
            self._end(verdict)
            return
        # The client is told in its protocol's own words; the timer goes on,
        # in case that it does not want to hear them.
        self._say(talk)
        self._talk, self._verdict = None, verdict
        cast(Any, self.transport).loseConnection()

    def _may_go_on(self, error: NegotiationError, talk: Negotiation) -> bool:
        return (
            isinstance(error, (TLSNotOffered, TLSRefused))
            and self._terms.side is Side.CLIENT
            and self._terms.way_in.starttls_policy == "may"
            and self._protocol.may_continue
            and not talk.wire.received
        )

    def _go_on_in_the_clear(self, error: NegotiationError, talk: Negotiation) -> None:
        self._stop_timer()
        self._talk = None
        _log.warn(
            "{where}: {error}; it goes on in the clear, as starttls_policy=may allows",
            where=self._terms.where, error=error,
        )  # fmt: skip
        try:
            guest = self._visit.guests.buildProtocol(cast(IAddress, self._visit.address))
            if guest is None:
                raise NoProtocol()
            self.expect(guest)
            self.let_in()
        except Exception:
            self._end(Failure())
            return
        self._visit.opened(guest)
        is_leaving = self._verdict is not None or cast(Any, self.transport).disconnecting
        _greet(guest, talk.wire.greeting, is_leaving=is_leaving)

    def _end(self, verdict: Failure) -> None:
        self._talk, self._verdict = None, self._verdict or verdict
        cast(Any, self.transport).abortConnection()

    def _expired(self) -> None:
        self._timer = None
        terms, talk = self._terms, self._talk
        transport: Any = self.transport
        if talk is None:
            # It was told why, and lingers.
            transport.abortConnection()
        elif terms.clock.seconds() < self._deadline:
            self._not_to_be(TLSNotOffered(b"nothing"))
        else:
            heard = bytes(talk.wire.received) or self._first
            # As in `_left`.
            heard = heard if terms.side is Side.CLIENT else b""
            self._end(
                Failure(TransportTimeout(terms.where, "negotiation", self._visit.total, heard))
            )

    # --- the rest ---

    def _advice(self, error: NegotiationError) -> str:
        """What the peer's first bytes suggest to a client that did not expect them."""
        if self._terms.side is Side.SERVER or not isinstance(error, PeerMisbehaved):
            return ""
        if is_tls(self._first):
            return _IMPLICIT
        known = recognise(self._first, Side.CLIENT, self._terms.port)
        advice = "" if known is None else known.advice_at(self._terms.where.partition("?")[0])
        return "" if f"starttls={self._protocol.name} " in f"{advice} " else advice

    def _left(self, talk: Negotiation) -> NegotiationError:
        if self._terms.side is Side.SERVER:
            # What a client had not finished may be its password.
            return PeerLeft().located(self._terms.where)
        return talk.lost().located(self._terms.where, "" if self._first else _MUTE)

    def _say(self, talk: Negotiation) -> None:
        said = talk.said()
        if said:
            cast(Any, self.transport).write(said)

    def _wire(self) -> Wire:
        host = self._terms.host or "localhost"
        if self._terms.side is Side.SERVER:
            return Wire(us=host)
        way_in = self._terms.way_in
        us = way_in.starttls_from or _literal(self.transport)
        return Wire(us=us, host=host, name=way_in.starttls_name or host)

    def _stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None


def _greet(guest: IProtocol, greeting: bytes, *, is_leaving: bool) -> None:
    """Let a guest hear what it waits for, unless it has left already."""
    if greeting and not is_leaving:
        guest.dataReceived(greeting)


def _literal(transport: Any) -> str:
    """Our own address, as mail has it (RFC 5321, 4.1.3)."""
    host = str(getattr(transport.getHost(), "host", "")).partition("%")[0]
    if not host:
        return "localhost"
    return f"[IPv6:{host}]" if ":" in host else f"[{host}]"
