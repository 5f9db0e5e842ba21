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
from txtransport.connection.lifetime import (
    LifetimeState,
    TLSEndpointConfig,
    TLSLifetime,
    TwistedConnectionCreator,
)
from txtransport.connection.plain_http import plain_http_answer
from txtransport.connection.tcp_info import socket_of
from txtransport.tls.creator import ConnectionCreator

_log: Final = Logger()

_MAX_GREETING: Final = 65536
"""Bytes of a guest's greeting, at the most."""


class TLSTransport(BufferingTLSTransport):
    """Twisted's TLS transport, with a close that ends and an end that explains itself."""

    handshake: HandshakeProtocol

    def writeSequence(self, sequence: Iterable[bytes]) -> None:
        """Write several."""
        # Twisted's goes past `write`, where `withhold_greeting` may stand.
        self.write(b"".join(sequence))  # type: ignore[no-untyped-call]

    def withhold_greeting(self, greeting: Callable[[bytes], int]) -> None:
        """Do not send the guest's greeting, which the peer has heard in the clear.

        Args:
            greeting: Where it ends in what the guest says first; 0 if it has
                not ended.
        """
        send: Callable[[bytes], object] = self.write
        written = bytearray()

        def write(data: bytes) -> None:
            written.extend(data)
            end = greeting(bytes(written))
            if end:
                self.write = send  # type: ignore[method-assign]
                send(bytes(written[end:]))
            elif len(written) > _MAX_GREETING:
                self.abortConnection()

        self.write = write  # type: ignore[method-assign]

    def loseConnection(self) -> None:
        """Say goodbye, and wait for the peer's for ``close_timeout`` at the most."""
        super().loseConnection()
        self.handshake.lifetime.closing()

    def abortConnection(self) -> None:
        """End the connection at once, if it has not ended yet."""
        # Twisted's is lost for words when it has.
        if self.connected:
            super().abortConnection()  # type: ignore[no-untyped-call]

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """The connection is gone."""
        # What OpenSSL still holds is delivered below, before the guest hears
        # the end; in which words it hears it is the watch's to say.
        protocol = cast(Protocol, self.wrappedProtocol)
        self.wrappedProtocol = _ClosingProtocol(self.handshake.lifetime, protocol, reason)
        super().connectionLost(reason)


class TLSTransportFactory(TLSMemoryBIOFactory):
    """Makes them."""

    protocol = TLSTransport
    noisy = False


def tls_factory(config: TLSEndpointConfig, factory: IProtocolFactory) -> TLSTransportFactory:
    """Twisted's factory for the TLS layer above a gate.

    Args:
        terms: What the endpoint demands.
        guests: Builds the guests, and names them in the log.
    """
    assert isinstance(config.creator, ConnectionCreator)
    return TLSTransportFactory(
        TwistedConnectionCreator(config.creator), config.side is Side.CLIENT, factory, config.clock
    )


class _ClosingProtocol(Protocol):
    """Stands in for the protocol above while the connection ends.

    Args:
        watch: Puts the end into words.
        above: Hears the rest, and the end.
        plain: Why the plain connection is gone.
    """

    def __init__(self, lifetime: TLSLifetime, above: Protocol, plain: Failure) -> None:
        self._lifetime = lifetime
        self._above = above
        self._plain = plain

    def dataReceived(self, data: bytes) -> None:
        try:
            self._above.dataReceived(data)
        except Exception:
            # The connection cannot be ended for it; it ends already.
            _log.failure("{guest} failed", protocol=self._above)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        if self._plain.check(ConnectionAborted) and reason.check(ConnectionLost):
            # To OpenSSL our own abort looks as if the peer had cut the line.
            reason = self._plain
        self._above.connectionLost(self._lifetime.ended(reason))


@frozen
class ConnectionAttempt:
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

    config: TLSEndpointConfig
    tls: TLSTransportFactory
    factory: IProtocolFactory
    address: IAddress | None
    total: float
    opened: Callable[[IProtocol], object]
    failed: Callable[[Failure], object]
    set_options: Callable[[ITransport], object] = lambda transport: None


class HandshakeProtocol(Protocol):
    """One connection on its way to TLS, and the passage once it is there.

    Args:
        visit: Whose way it is.
        seconds: How long the handshake may take from now.
        outcome: What came of the dialogue before TLS.
        greeting: Where the guest's greeting ends, if it is to be kept back.
    """

    lifetime: TLSLifetime
    _has_heard = False

    def __init__(
        self,
        attempt: ConnectionAttempt,
        seconds: float,
        outcome: bytes = b"",
        greeting: Callable[[bytes], int] | None = None,
    ) -> None:
        self._attempt = attempt
        self._seconds = seconds
        self.outcome = outcome
        self._greeting = greeting
        self._tls: Any = TLSTransport(attempt.tls, _HandshakeListener(self))

    def connectionMade(self) -> None:
        """Begin the handshake."""
        transport: Any = self.transport
        self._tls.handshake = self
        self.lifetime = TLSLifetime(
            self._attempt.config,
            transport,
            self._tls,
            handle=socket_of(transport),
            seconds=self._seconds,
            total=self._attempt.total,
            failed=self._attempt.failed,
        )
        try:
            self._attempt.set_options(transport)
            self._tls.makeConnection(transport)
        except Exception:
            self.lifetime.stop()
            self._tls = Protocol()  # Hears the rest, and does nothing.
            transport.abortConnection()
            self._attempt.failed(Failure())

    def cancel(self, reason: BaseException) -> None:
        """Whoever waits for the guest does so no longer."""
        if self.lifetime.state is LifetimeState.SECURE:
            self._tls.abortConnection()
        else:
            self.lifetime.refuse(Failure(reason))

    @property
    def is_closing(self) -> bool:
        """Whether the guest has closed the connection."""
        return bool(self._tls.disconnecting)

    def dataReceived(self, data: bytes) -> None:
        """Bytes of the peer, to be deciphered."""
        if not self._has_heard:
            self._has_heard = True
            self._answer_plain_http(data)
        self._tls.dataReceived(data)

    def _answer_plain_http(self, data: bytes) -> None:
        """Tell a client that has lost its way where to go; TLS will end the connection."""
        answer = plain_http_answer(data) if self._attempt.config.side is Side.SERVER else b""
        if answer:
            cast(ITransport, self.transport).write(answer)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """The plain connection is gone."""
        self._tls.connectionLost(reason)

    def handshake_completed(self) -> None:
        """The handshake is over, and the peer is who it must be."""
        try:
            protocol = self._attempt.factory.buildProtocol(cast(IAddress, self._attempt.address))
            if protocol is None:
                raise NoProtocol()
        except Exception:
            self.lifetime.refuse(Failure())
            return
        if self.lifetime.is_refused:
            # Whoever waited has given up, in the factory.
            return
        self.lifetime.secured()
        self._tls.wrappedProtocol = protocol
        if self._greeting is not None:
            self._tls.withhold_greeting(self._greeting)
        try:
            protocol.makeConnection(self._tls)
            if IHandshakeListener.providedBy(protocol):
                cast(IHandshakeListener, protocol).handshakeCompleted()
        except Exception:
            self._tls.abortConnection()
            self._attempt.failed(Failure())
        else:
            self._attempt.opened(protocol)


@implementer(IHandshakeListener)
class _HandshakeListener(Protocol):
    """Where the guest will stand; until then it listens for the handshake."""

    def __init__(self, handshake: HandshakeProtocol) -> None:
        self._handshake = handshake

    def handshakeCompleted(self) -> None:
        self._handshake.handshake_completed()


def starttls_outcome(transport: object) -> bytes:
    """What came of the dialogue before TLS (``starttls=``), for guests that must know.

    Args:
        transport: A protocol's ``transport``.

    Returns:
        What ``docs/starttls.md`` says of the protocol: of MySQL, for example,
        the server's greeting packet. Empty where there was no dialogue.
    """
    while isinstance(transport, ProtocolWrapper):
        if isinstance(transport, TLSTransport):
            return transport.handshake.outcome
        transport = transport.transport
    return b""
