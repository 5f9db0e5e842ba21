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
from typing import Any, Final, cast

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
from twisted.protocols.tls import BufferingTLSTransport, TLSMemoryBIOFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from txtransport.sockets import handle_of
from txtransport.tls.creator import Creator
from txtransport.tls.policy import Side
from txtransport.watch import Stage, Starting, Terms, Watch

_log: Final = Logger()


class SecureTransport(BufferingTLSTransport):
    """Twisted's TLS transport, with a close that ends and an end that explains itself."""

    gate: Gate

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


class _TLSFactory(TLSMemoryBIOFactory):
    protocol = SecureTransport
    noisy = False


def tls_factory(terms: Terms, guests: IProtocolFactory) -> TLSMemoryBIOFactory:
    """Twisted's factory for the TLS layer above a gate.

    Args:
        terms: What the endpoint demands.
        guests: Builds the guests, and names them in the log.
    """
    assert isinstance(terms.creator, Creator)
    return _TLSFactory(Starting(terms.creator), terms.side is Side.CLIENT, guests, terms.clock)


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
        failed: Is called with the reason, when the guest cannot be used.
        tune: Is given the plain transport before anything else.
    """

    watch: Watch

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
        tune: Callable[[ITransport], object] = lambda transport: None,
    ) -> None:
        self._terms = terms
        self._guests = guests
        self._address = address
        self._seconds = seconds
        self._total = total
        self._opened = opened
        self._failed = failed
        self._tune = tune
        self._tls: Any = SecureTransport(tls, _Threshold(self))

    def connectionMade(self) -> None:
        """Begin the handshake."""
        transport: Any = self.transport
        self._tls.gate = self
        self.watch = Watch(
            self._terms,
            transport,
            self._tls,
            handle=handle_of(transport),
            seconds=self._seconds,
            total=self._total,
            failed=self._failed,
        )
        try:
            self._tune(transport)
            self._tls.makeConnection(transport)
        except Exception:
            self.watch.stop()
            self._tls = Protocol()  # Hears the rest, and does nothing.
            transport.abortConnection()
            self._failed(Failure())

    def cancel(self, reason: BaseException) -> None:
        """Whoever waits for the guest does so no longer."""
        if self.watch.stage is Stage.SECURE:
            self._tls.abortConnection()
        else:
            self.watch.refuse(Failure(reason))

    def dataReceived(self, data: bytes) -> None:
        """Bytes of the peer, to be deciphered."""
        self._tls.dataReceived(data)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """The plain connection is gone."""
        self._tls.connectionLost(reason)

    def handshake_completed(self) -> None:
        """The handshake is over, and the peer is who it must be."""
        try:
            guest = self._guests.buildProtocol(cast(IAddress, self._address))
            if guest is None:
                raise NoProtocol()
        except Exception:
            self.watch.refuse(Failure())
            return
        self.watch.secured()
        self._tls.wrappedProtocol = guest
        try:
            guest.makeConnection(self._tls)
            if IHandshakeListener.providedBy(guest):
                cast(IHandshakeListener, guest).handshakeCompleted()
        except Exception:
            self._tls.abortConnection()
            self._failed(Failure())
        else:
            self._opened(guest)


@implementer(IHandshakeListener)
class _Threshold(Protocol):
    """Where the guest will stand; until then it listens for the handshake."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def handshakeCompleted(self) -> None:
        self._gate.handshake_completed()
