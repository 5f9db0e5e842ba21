"""The gate: who wants through speaks TLS first, and proves who it is.

A plain connection ends here, on both sides. The gate starts TLS on it, waits
for the handshake and the verdict on the peer, and only then builds the guest,
whose ``connectionMade`` is the first thing that it hears. Until then the
guest's factory is told nothing; afterwards the gate only passes bytes on.

What may go wrong ends in one of three ways, and each is told once: the
handshake failed (explained by `txtransport.tls.failure`), the deadline
passed (`TransportTimeout`, with the stage), or the wait was cancelled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, cast

from attrs import frozen
from twisted.internet.error import ConnectionAborted, ConnectionLost, NoProtocol
from twisted.internet.interfaces import (
    IAddress,
    IHandshakeListener,
    IProtocol,
    IProtocolFactory,
    ITransport,
)
from twisted.internet.protocol import Protocol
from twisted.logger import Logger
from twisted.protocols.policies import ProtocolWrapper
from twisted.protocols.tls import BufferingTLSTransport, TLSMemoryBIOFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from txtransport.config.policy import Side
from txtransport.connection.lifetime import Stage, Starting, Terms, Watch
from txtransport.connection.plain_http import directions
from txtransport.connection.tcp_info import handle_of
from txtransport.tls.creator import Creator

_log: Final = Logger()

_LONGEST: Final = 65536
"""Bytes of a guest's greeting, at the most."""


class SecureTransport(BufferingTLSTransport):
    """Twisted's TLS transport, with a close that ends and an end that explains itself."""

    gate: Gate

    def writeSequence(self, sequence: Iterable[bytes]) -> None:
        """Write several."""
        # Twisted's goes past `write`, where `keep_back` may stand.
        self.write(b"".join(sequence))  # type: ignore[no-untyped-call]

    def keep_back(self, greeting: Callable[[bytes], int]) -> None:
        """Do not send the guest's greeting, which the peer has heard in the clear.

        Args:
            greeting: Where it ends in what the guest says first; 0 if it has
                not ended.
        """
        send: Callable[[bytes], object] = self.write
        said = bytearray()

        def write(data: bytes) -> None:
            said.extend(data)
            end = greeting(bytes(said))
            if end:
                self.write = send  # type: ignore[method-assign]
                send(bytes(said[end:]))
            elif len(said) > _LONGEST:
                self.abortConnection()

        self.write = write  # type: ignore[method-assign]

    def loseConnection(self) -> None:
        """Say goodbye, and wait for the peer's for ``close_timeout`` at the most."""
        super().loseConnection()
        self.gate.watch.closing()

    def abortConnection(self) -> None:
        """End the connection at once, if it has not ended yet."""
        # Twisted's is lost for words when it has.
        if self.connected:
            super().abortConnection()  # type: ignore[no-untyped-call]

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """The connection is gone."""
        # What OpenSSL still holds is delivered below, before the guest hears
        # the end; in which words it hears it is the watch's to say.
        guest = cast(Protocol, self.wrappedProtocol)
        self.wrappedProtocol = _Ending(self.gate.watch, guest, reason)
        super().connectionLost(reason)


class SecureTransports(TLSMemoryBIOFactory):
    """Makes them."""

    protocol = SecureTransport
    noisy = False


def tls_factory(terms: Terms, guests: IProtocolFactory) -> SecureTransports:
    """Twisted's factory for the TLS layer above a gate.

    Args:
        terms: What the endpoint demands.
        guests: Builds the guests, and names them in the log.
    """
    assert isinstance(terms.creator, Creator)
    return SecureTransports(Starting(terms.creator), terms.side is Side.CLIENT, guests, terms.clock)


class _Ending(Protocol):
    """Stands in for the protocol above while the connection ends.

    Args:
        watch: Puts the end into words.
        above: Hears the rest, and the end.
        plain: Why the plain connection is gone.
    """

    def __init__(self, watch: Watch, above: Protocol, plain: Failure) -> None:
        self._watch = watch
        self._above = above
        self._plain = plain

    def dataReceived(self, data: bytes) -> None:
        try:
            self._above.dataReceived(data)
        except Exception:
            # The connection cannot be ended for it; it ends already.
            _log.failure("{guest} failed", guest=self._above)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        if self._plain.check(ConnectionAborted) and reason.check(ConnectionLost):
            # To OpenSSL our own abort looks as if the peer had cut the line.
            reason = self._plain
        self._above.connectionLost(self._watch.ended(reason))


@frozen
class Visit:
    """One connection on its way to a guest, and who waits for that.

    Attributes:
        terms: What the endpoint demands.
        tls: Makes the TLS layer.
        guests: Builds the guest when all is well.
        address: The peer's, as ``buildProtocol`` wants it.
        total: How long the whole may take, for the error's text; in seconds.
        opened: Is called with the guest, once it is connected.
        failed: Is called with the reason, when the guest cannot be used.
        tune: Is given the plain transport before anything else.
    """

    terms: Terms
    tls: SecureTransports
    guests: IProtocolFactory
    address: IAddress | None
    total: float
    opened: Callable[[IProtocol], object]
    failed: Callable[[Failure], object]
    tune: Callable[[ITransport], object] = lambda transport: None


class Gate(Protocol):
    """One connection on its way to TLS, and the passage once it is there.

    Args:
        visit: Whose way it is.
        seconds: How long the handshake may take from now.
        outcome: What came of the dialogue before TLS.
        greeting: Where the guest's greeting ends, if it is to be kept back.
    """

    watch: Watch
    _has_heard = False

    def __init__(
        self,
        visit: Visit,
        seconds: float,
        outcome: bytes = b"",
        greeting: Callable[[bytes], int] | None = None,
    ) -> None:
        self._visit = visit
        self._seconds = seconds
        self.outcome = outcome
        self._greeting = greeting
        self._tls: Any = SecureTransport(visit.tls, _Threshold(self))

    def connectionMade(self) -> None:
        """Begin the handshake."""
        transport: Any = self.transport
        self._tls.gate = self
        self.watch = Watch(
            self._visit.terms,
            transport,
            self._tls,
            handle=handle_of(transport),
            seconds=self._seconds,
            total=self._visit.total,
            failed=self._visit.failed,
        )
        try:
            self._visit.tune(transport)
            self._tls.makeConnection(transport)
        except Exception:
            self.watch.stop()
            self._tls = Protocol()  # Hears the rest, and does nothing.
            transport.abortConnection()
            self._visit.failed(Failure())

    def cancel(self, reason: BaseException) -> None:
        """Whoever waits for the guest does so no longer."""
        if self.watch.stage is Stage.SECURE:
            self._tls.abortConnection()
        else:
            self.watch.refuse(Failure(reason))

    @property
    def is_leaving(self) -> bool:
        """Whether the guest has closed the connection."""
        return bool(self._tls.disconnecting)

    def dataReceived(self, data: bytes) -> None:
        """Bytes of the peer, to be deciphered."""
        if not self._has_heard:
            self._has_heard = True
            self._direct(data)
        self._tls.dataReceived(data)

    def _direct(self, data: bytes) -> None:
        """Tell a client that has lost its way where to go; TLS will end the connection."""
        answer = directions(data) if self._visit.terms.side is Side.SERVER else b""
        if answer:
            cast(ITransport, self.transport).write(answer)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """The plain connection is gone."""
        self._tls.connectionLost(reason)

    def handshake_completed(self) -> None:
        """The handshake is over, and the peer is who it must be."""
        try:
            guest = self._visit.guests.buildProtocol(cast(IAddress, self._visit.address))
            if guest is None:
                raise NoProtocol()
        except Exception:
            self.watch.refuse(Failure())
            return
        if self.watch.is_refused:
            # Whoever waited has given up, in the factory.
            return
        self.watch.secured()
        self._tls.wrappedProtocol = guest
        if self._greeting is not None:
            self._tls.keep_back(self._greeting)
        try:
            guest.makeConnection(self._tls)
            if IHandshakeListener.providedBy(guest):
                cast(IHandshakeListener, guest).handshakeCompleted()
        except Exception:
            self._tls.abortConnection()
            self._visit.failed(Failure())
        else:
            self._visit.opened(guest)


@implementer(IHandshakeListener)
class _Threshold(Protocol):
    """Where the guest will stand; until then it listens for the handshake."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def handshakeCompleted(self) -> None:
        self._gate.handshake_completed()


def outcome_of(transport: object) -> bytes:
    """What came of the dialogue before TLS (``starttls=``), for guests that must know.

    Args:
        transport: A protocol's ``transport``.

    Returns:
        What ``docs/starttls.md`` says of the protocol: of MySQL, for example,
        the server's greeting packet. Empty where there was no dialogue.
    """
    while isinstance(transport, ProtocolWrapper):
        if isinstance(transport, SecureTransport):
            return transport.gate.outcome
        transport = transport.transport
    return b""
