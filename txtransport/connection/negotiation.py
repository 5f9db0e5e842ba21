"""The negotiation of one connection: the dialogue of ``starttls=``, before TLS.

`NegotiationProtocol` is the protocol of the plain transport, and runs a
dialogue (`txtransport.starttls`) on it. When the dialogue has agreed on TLS, it
connects a `HandshakeProtocol` to the transport, and all that this promises
holds from there: the application's protocol is built once the peer is verified.
A client's then hears the greeting that it expects, in the words of the
dialogue, and nothing of what the server offered in the clear.

When the dialogue does not come to TLS, the connection ends. It goes on in the
clear only if ``starttls_policy=may`` allows that, and then only after a clear
refusal by the server.
"""

from __future__ import annotations

from typing import Final, cast

from twisted.internet.interfaces import IProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from txtransport.config.address import is_ipv6, without_zone
from txtransport.config.policy import Side
from txtransport.connection.attempt import ConnectionAttempt, Stage, is_reset
from txtransport.connection.deadline import Deadline
from txtransport.connection.driver import TLSDriver
from txtransport.connection.pending import PendingProtocol
from txtransport.connection.plain_writer import PlainWriter
from txtransport.connection.trace import Event, Step
from txtransport.connection.twisted_types import TCPTransport
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

__all__ = ["NegotiationProtocol", "initial_protocol"]

_log: Final = Logger()

_USE_IMPLICIT_TLS: Final = "This port speaks TLS from the start: leave starttls out"
_TRY_IMPLICIT_TLS: Final = "If this port speaks TLS from the start, leave starttls out"

# Behind a proxy the server does not see our own address, which would tell it where we are.
_UNKNOWN_ADDRESS: Final = "[127.0.0.1]"

# A greeting that fits the protocol of starttls= is no sign of another one. Words
# and names in a greeting of 220 decide nothing: mail.example can be an FTP server.
_SAME_GREETING: Final = {
    name: names
    for names in (("smtp", "lmtp", "ftp"), ("xmpp", "xmpp-server"), ("rdp", "rdp-nla"))
    for name in names
}
"""For a value of ``starttls=``, those whose servers may begin with the same bytes."""


def initial_protocol(attempt: ConnectionAttempt) -> TLSDriver | NegotiationProtocol:
    """The protocol for a new plain connection: negotiation if there is one, else TLS.

    Args:
        attempt: The connection attempt.
    """
    protocol = attempt.config.starttls_options.starttls
    return TLSDriver(attempt) if protocol is None else NegotiationProtocol(attempt, protocol)


class NegotiationProtocol(PendingProtocol):
    """Runs the dialogue on one plain connection, then leaves the connection to TLS.

    Args:
        attempt: The connection attempt.
        protocol: The protocol whose dialogue it is.
    """

    def __init__(self, attempt: ConnectionAttempt, protocol: StartTLSProtocol) -> None:
        self._attempt = attempt
        self._config = attempt.config
        self._starttls = protocol
        # Until when a server must have offered TLS, where that is not the attempt's own
        # deadline.
        self._offer: Deadline | None = None
        self._negotiation: Negotiation | None = None
        self._first_bytes = b""

    # --- events of the transport ---

    def connectionMade(self) -> None:
        """Begin the dialogue."""
        attempt, config = self._attempt, self._config
        attempt.negotiating(self)
        self._writer = PlainWriter(self._plain_transport)
        try:
            attempt.connected(self._plain_transport, self._writer)
            speaker = self._starttls.connect
            if config.side is Side.SERVER:
                speaker = self._starttls.serve or speaker
            elif self._starttls.offer_timeout is not None:
                self._offer = Deadline(config.clock, self._starttls.offer_timeout, self._no_offer)
            self._negotiation = Negotiation(speaker, self._wire(), config.where)
            self._continue(self._negotiation)
        except Exception:
            self._end(Failure())

    def dataReceived(self, data: bytes) -> None:
        """Pass the peer's bytes to the dialogue, later to the handshake."""
        negotiation = self._negotiation
        if negotiation is None:
            if self._attempt.verdict is None:
                super().dataReceived(data)
            return
        self._first_bytes = self._first_bytes or data[:MAX_FIRST_BYTES]
        try:
            negotiation.receive_data(data)
            self._continue(negotiation)
        except NegotiationError as error:
            self._negotiation_failed(error)
        except Exception:
            # A dialogue of the user's own may raise anything.
            self._end(Failure())

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """Fail the attempt, unless TLS or the application has the connection."""
        self._stop_offer()
        attempt = self._attempt
        if self._negotiation is not None:
            left = self._peer_left(self._negotiation, is_reset=is_reset(reason))
            attempt.verdict = attempt.verdict or Failure(left)
            self._negotiation = None
        if attempt.stage is Stage.NEGOTIATION:
            attempt.give_up()
            attempt.failed(attempt.verdict or reason)
        # A protocol that was connected hears of the end, even if it raised an
        # exception or cancelled the attempt in its connectionMade.
        super().connectionLost(reason)

    def abortConnection(self) -> None:
        """End the connection at once; the attempt has the reason."""
        self._negotiation = None
        self._plain_transport.abortConnection()

    # --- how the dialogue ends ---

    def _continue(self, negotiation: Negotiation) -> None:
        self._send(negotiation)
        if not negotiation.is_complete:
            return
        self._stop_offer()
        self._negotiation = None
        if self._config.trace is not None:
            self._config.trace(Event(Step.NEGOTIATED))
        is_server = self._config.side is Side.SERVER
        driver = TLSDriver(
            self._attempt,
            negotiation.outcome,
            self._starttls.greeting if is_server else None,
            writer=self._writer,
            opened=self._deliver_greeting,
        )
        self.expect(driver)
        self.connect_protocol()
        self.leave()
        if negotiation.early_client_hello:
            driver.dataReceived(negotiation.early_client_hello)

    def _deliver_greeting(self, protocol: IProtocol) -> None:
        """Give a client's protocol, which is connected, the greeting that it expects."""
        driver = cast(TLSDriver, self.protocol)
        if self._config.side is Side.CLIENT and self._starttls.is_transparent:
            _deliver(protocol, driver.outcome, is_closing=driver.disconnecting)

    def _negotiation_failed(self, error: NegotiationError) -> None:
        negotiation = cast(Negotiation, self._negotiation)
        if self._may_continue(error, negotiation):
            self._continue_in_plaintext(error, negotiation)
            return
        verdict = Failure(error.located(self._config.where, self._advice(error)))
        if isinstance(error, PlaintextInjected) or self._config.side is Side.CLIENT:
            self._end(verdict)
            return
        # The dialogue has a last reply for the client. The deadline runs on,
        # for a client that does not read it and keeps the connection open.
        self._send(negotiation)
        self._negotiation, self._attempt.verdict = None, verdict
        self._plain_transport.loseConnection()

    def _may_continue(self, error: NegotiationError, negotiation: Negotiation) -> bool:
        return (
            isinstance(error, (TLSNotOffered, TLSRefused))
            and self._config.side is Side.CLIENT
            and self._config.starttls_options.starttls_policy == "may"
            and self._starttls.may_continue
            and not negotiation.wire.received
        )

    def _continue_in_plaintext(self, error: NegotiationError, negotiation: Negotiation) -> None:
        self._stop_offer()
        self._negotiation = None
        self._writer.leave()
        _log.warn(
            "{where}: {error}; it goes on in the clear, as starttls_policy=may allows",
            where=self._config.where, error=error,
        )  # fmt: skip
        attempt = self._attempt
        try:
            protocol = attempt.build_protocol()
            self.expect(protocol)
            self.connect_protocol()
        except Exception:
            self._end(Failure())
            return
        is_closing = attempt.verdict is not None or self._plain_transport.disconnecting
        attempt.opened_in_plaintext(protocol)
        _deliver(protocol, negotiation.wire.greeting, is_closing=is_closing)
        self.leave()

    def _end(self, verdict: Failure) -> None:
        self._negotiation = None
        self._attempt.refuse(verdict)

    def expired(self) -> None:
        """The attempt's deadline passed during the negotiation."""
        config, negotiation = self._config, self._negotiation
        if negotiation is None:
            # The client has been told why, and has not closed the connection.
            self._plain_transport.abortConnection()
            return
        received = bytes(negotiation.wire.received) or self._first_bytes
        # As in `_peer_left`.
        told = received if config.side is Side.CLIENT else None
        error = TransportTimeout(config.where, "negotiation", self._attempt.total, told)
        self._end(Failure(error))

    def _no_offer(self) -> None:
        """The server has said nothing in the time in which it had to offer TLS."""
        self._negotiation_failed(TLSNotOffered(b"nothing"))

    # --- details ---

    @property
    def _plain_transport(self) -> TCPTransport:
        return cast(TCPTransport, self.transport)

    def _advice(self, error: NegotiationError) -> str:
        """What a client should use instead, as the server's unexpected first bytes suggest."""
        if self._config.side is Side.SERVER or not isinstance(error, PeerMisbehaved):
            return ""
        if is_tls(self._first_bytes):
            return _USE_IMPLICIT_TLS
        known = recognise_plaintext(self._first_bytes, Side.CLIENT, self._config.port)
        where = self._config.where.partition("?")[0]
        advice = "" if known is None else remedy_at(known.diagnosis, where)
        possible = _SAME_GREETING.get(self._starttls.name, (self._starttls.name,))
        return "" if any(f"starttls={name} " in f"{advice} " for name in possible) else advice

    def _peer_left(self, negotiation: Negotiation, *, is_reset: bool) -> NegotiationError:
        if self._config.side is Side.SERVER:
            # An error without the last bytes: an unfinished line of the client
            # may hold its password.
            return PeerLeft(is_reset=is_reset).located(self._config.where)
        return negotiation.connection_lost(is_reset=is_reset).located(
            self._config.where, "" if self._first_bytes else _TRY_IMPLICIT_TLS
        )

    def _send(self, negotiation: Negotiation) -> None:
        data = negotiation.data_to_send()
        if data:
            self._writer.write(data)

    def _wire(self) -> Wire:
        host = self._config.host or "localhost"
        if self._config.side is Side.SERVER:
            return Wire(local_name=host)
        starttls_options = self._config.starttls_options
        local_name = starttls_options.starttls_from or (
            _UNKNOWN_ADDRESS if self._config.proxy else _address_literal(self._plain_transport)
        )
        return Wire(local_name=local_name, host=host, name=starttls_options.starttls_name or host)

    def _stop_offer(self) -> None:
        if self._offer is not None:
            self._offer.stop()


def _deliver(protocol: IProtocol, greeting: bytes, *, is_closing: bool) -> None:
    """Give the application's protocol the greeting, unless it has closed the connection."""
    if greeting and not is_closing:
        protocol.dataReceived(greeting)


def _address_literal(transport: TCPTransport) -> str:
    """Our own address as an address literal of mail (RFC 5321, 4.1.3)."""
    host = without_zone(str(getattr(transport.getHost(), "host", "")))
    if not host:
        return "localhost"
    return f"[IPv6:{host}]" if is_ipv6(host) else f"[{host}]"
