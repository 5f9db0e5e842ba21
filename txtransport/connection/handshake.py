"""The TLS handshake of one connection, before the application's protocol exists.

Why there is a protocol of ours between the transport and Twisted's TLS layer:
Twisted's TLS endpoints build the application's protocol and call its
``connectionMade`` as soon as TCP is connected, before the handshake, and what
it writes then is written for a peer that nobody has verified. So the plain
connection ends here, on clients and on servers. `HandshakeProtocol` starts TLS
above itself, with a `_HandshakeListener` in the place of the application's protocol.
Only when the handshake is complete and the peer verified does it ask the
application's factory for a protocol and connect that. Until then the factory
hears nothing but ``doStart`` and ``doStop``. The verdict on the peer is not
given here: the TLS layer drives a `TLSConnection`, whose handshake is complete
only if the peer was accepted.

One connection, before, during and after the handshake. The bytes of the peer
go up; what is written goes down::

    NEGOTIATION            HANDSHAKE                  SECURE
    only with starttls=

                                                      application's protocol
                           _HandshakeListener           ^      | write
                             ^                          |      v
                           TLSTransport ------+       TLSTransport ------+
                             ^                |         ^                |
                             |                |         |                |
                           HandshakeProtocol  |       HandshakeProtocol  |
                             ^                |         ^                |
                             |                |         |                |
    NegotiationProtocol    NegotiationProtocol|       NegotiationProtocol|
      ^             |        ^                |         ^                |
      |             v        |                v         |                v
    transport              transport                  transport

    deadline: that of the  deadline: that of the      deadline: none; from the
    NegotiationProtocol    TLSLifetime                first close on, that of
                                                      the TLSLifetime

Who replaces whom:

- `HandshakeProtocol` does not replace the `NegotiationProtocol`, which cannot
  leave the transport. The negotiation drops its dialogue, stops its timer and
  from then on passes every event on to the handshake. Without ``starttls=``
  there is none, and the transport's protocol is the `HandshakeProtocol`. (If
  TLS is refused and ``starttls_policy=may`` allows it, the negotiation connects
  the application's protocol itself, in the clear.)
- The application's protocol replaces the `_HandshakeListener` (it becomes the
  TLS layer's ``wrappedProtocol``), and its ``transport`` is the TLS layer.
- The `HandshakeProtocol` stays and passes bytes up. What the application writes
  does not go through it: the TLS layer writes to the transport itself.
- At the end a `_ClosingProtocol` replaces the protocol above the TLS layer, to
  give it the reason that `TLSLifetime` has found.

Left out are two protocols directly above the transport that pass everything
on: one of Twisted's client endpoints, and on servers with limits a
`_CountedProtocol` of `txtransport.endpoints.limits`.

Who holds the deadline, one after the other:

- Until there is a plain connection, a client endpoint (``timeout``, which also
  covers the look-up and all that follows). On a server there is none yet, nor
  while an accepted connection waits for its turn (``max_connections``).
- Then a `NegotiationProtocol` has what is left of ``timeout``, on servers
  ``handshake_timeout``; on clients less where the dialogue waits for an offer
  of TLS that may not come.
- `TLSLifetime`, made when the `HandshakeProtocol` is connected, has what is
  left of the same time. Its deadline stops when the peer is verified.
- From the first close on, of either side, `TLSLifetime` holds one for
  ``close_timeout``, and makes others, but not without end, while the peer still
  takes the application's data (`Delivery`).

An attempt that has come this far fails for one of these reasons, and its
`ConnectionAttempt.failed` is told once: the handshake failed
(`HandshakeFailed`, explained by `txtransport.tls.failure`), the deadline passed
(`TransportTimeout`, with the stage), the attempt was cancelled, TLS could not be
set up, or the application's factory or protocol raised an exception (or the
factory built none: ``NoProtocol``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, cast

from attrs import frozen
from twisted.internet.error import ConnectionAborted, ConnectionLost, NoProtocol
from twisted.internet.interfaces import (
    IAddress,
    IHandshakeListener,
    ILoggingContext,
    IProtocol,
    IProtocolFactory,
    ITransport,
)
from twisted.internet.protocol import Factory, Protocol
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
from txtransport.connection.pending import rename_in_log
from txtransport.connection.plain_http import plain_http_answer
from txtransport.connection.tcp_info import socket_of
from txtransport.connection.twisted_types import TCPTransport
from txtransport.tls.creator import ConnectionCreator

__all__ = [
    "ConnectionAttempt",
    "HandshakeProtocol",
    "TLSTransport",
    "TLSTransportFactory",
    "starttls_outcome",
    "tls_factory",
]

_log: Final = Logger()

_MAX_GREETING: Final = 65536
"""The most bytes that are kept back while an application's greeting has no end."""


class TLSTransport(BufferingTLSTransport):
    """Twisted's TLS layer, with a deadline for its close and a reason for its end.

    Attributes:
        handshake: The protocol below, which started this layer.
    """

    handshake: HandshakeProtocol

    def writeSequence(self, sequence: Iterable[bytes]) -> None:
        """Write the chunks as one.

        Args:
            sequence: Chunks of the application's data.
        """
        # Twisted's own does not call `self.write`, which `withhold_greeting`
        # may have replaced.
        self.write(b"".join(sequence))  # type: ignore[no-untyped-call]

    def withhold_greeting(self, greeting: Callable[[bytes], int]) -> None:
        """Do not send the application's greeting: the client had one in the clear.

        Args:
            greeting: Is given all that the application has written so far, and
                returns how many bytes of that are its greeting; 0 if the
                greeting is not complete.
        """
        send: Callable[[bytes], object] = self.write
        written = bytearray()

        def write(data: bytes) -> None:
            written.extend(data)
            end = greeting(bytes(written))
            if end:
                vars(self)["write"] = send
                send(bytes(written[end:]))
            elif len(written) > _MAX_GREETING:
                self.abortConnection()

        vars(self)["write"] = write

    def loseConnection(self) -> None:
        """Send a close_notify, and wait ``close_timeout`` for the peer's, or to take the data."""
        super().loseConnection()
        self.handshake.lifetime.closing()

    def abortConnection(self) -> None:
        """End the connection at once, if it has not ended yet."""
        # Twisted's own fails on a connection that is over: it has no OpenSSL
        # connection left to shut down.
        if self.connected:
            super().abortConnection()  # type: ignore[no-untyped-call]

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """Deliver what OpenSSL still holds, then tell the protocol above of the end."""
        # Twisted does both in the call below; the closing protocol gives the
        # end the reason that the lifetime has found.
        protocol = cast(Protocol, self.wrappedProtocol)
        self.wrappedProtocol: IProtocol = _ClosingProtocol(
            self.handshake.lifetime, protocol, reason
        )
        super().connectionLost(reason)


class TLSTransportFactory(TLSMemoryBIOFactory):
    """Twisted's factory for TLS layers, which makes them of our class.

    One serves all connections of an endpoint.
    """

    protocol: type[TLSTransport] = TLSTransport
    noisy = False


def tls_factory(config: TLSEndpointConfig, factory: IProtocolFactory) -> TLSTransportFactory:
    """The factory for an endpoint's TLS layers.

    Args:
        config: What the connections of the endpoint have in common; its
            ``creator`` makes them.
        factory: The application's factory, which gives the TLS layer its name in
            the log, and its application protocols where the policy has none.

    Returns:
        One factory, to be shared by all connections of the endpoint.
    """
    assert isinstance(config.creator, ConnectionCreator)
    return TLSTransportFactory(
        TwistedConnectionCreator(config.creator, factory, config.where),
        config.side is Side.CLIENT,
        _NamedFactory(factory),
        config.clock,
    )


class _NamedFactory(Factory):
    """Gives the TLS layer its name in the log, and nothing else of the application's factory.

    Twisted before 26.4 would ask the application's factory for its application protocols,
    and set them on the OpenSSL context, which all connections of an equal policy share.

    Args:
        factory: The application's factory.
    """

    def __init__(self, factory: IProtocolFactory) -> None:
        self._factory = factory

    def logPrefix(self) -> str:
        """The name that the application's factory has in the log."""
        if ILoggingContext.providedBy(self._factory):
            return cast(ILoggingContext, self._factory).logPrefix()
        return type(self._factory).__name__


class _ClosingProtocol(Protocol):
    """Takes the place of the protocol above the TLS layer while the connection ends.

    Args:
        lifetime: Finds the reason to give.
        above: The protocol above, which hears the last data and the end.
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
            # The reactor would end the connection for this; it is ending already.
            _log.failure("{protocol} failed", protocol=self._above)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        if self._plain.check(ConnectionAborted) and reason.check(ConnectionLost):
            # OpenSSL cannot tell our own abort from a connection that the
            # peer has cut.
            reason = self._plain
        self._above.connectionLost(self._lifetime.ended(reason))


@frozen
class ConnectionAttempt:
    """One connection that is to become secure, and the callbacks for its result.

    Attributes:
        config: What the connections of the endpoint have in common.
        tls: Makes the TLS layer.
        factory: The application's; builds a protocol once the peer is verified.
        address: The peer's address, for ``buildProtocol``.
        total: How long the whole attempt may take, in seconds, for the error's text.
        opened: Is called with the application's protocol, once it is connected.
        failed: Is called with the reason if the attempt fails.
        set_options: Is given the plain transport before anything is sent on it;
            an exception fails the attempt.
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
    """Runs the handshake of one connection; afterwards it passes the peer's bytes up.

    Args:
        attempt: The connection attempt.
        seconds: How long the handshake may take, from the call of
            `connectionMade`.
        outcome: The outcome of the dialogue before TLS, if there was one.
        greeting: As `TLSTransport.withhold_greeting` takes it; None if the
            application's greeting is to be sent.

    Attributes:
        lifetime: The deadlines and the end of the connection; set by
            `connectionMade`.
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
        self._tls = TLSTransport(attempt.tls, _HandshakeListener(self))
        # What hears the transport: the TLS layer, unless that could not begin.
        self._receiver: Protocol = self._tls

    def connectionMade(self) -> None:
        """Begin the handshake, and its deadline."""
        transport = cast(TCPTransport, self.transport)
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
            self._attempt.set_options(cast(ITransport, transport))
            self._tls.makeConnection(transport)  # type: ignore[no-untyped-call]
        except Exception:
            self.lifetime.stop()
            self._receiver = Protocol()  # Does nothing with what it hears.
            transport.abortConnection()
            self._attempt.failed(Failure())

    def cancel(self, reason: BaseException) -> None:
        """Give the attempt up: abort the connection.

        Args:
            reason: What the attempt fails with, if the handshake is not over.
        """
        if self.lifetime.state is LifetimeState.SECURE:
            self._tls.abortConnection()
        else:
            self.lifetime.refuse(Failure(reason))

    @property
    def is_closing(self) -> bool:
        """Whether the application's protocol has closed the connection."""
        return bool(self._tls.disconnecting)

    def dataReceived(self, data: bytes) -> None:
        """Pass the peer's bytes, still encrypted, to the TLS layer."""
        if not self._has_heard:
            self._has_heard = True
            self._answer_plain_http(data)
        self._receiver.dataReceived(data)

    def _answer_plain_http(self, data: bytes) -> None:
        """Answer a client that speaks plain HTTP; the TLS layer then ends the connection."""
        answer = plain_http_answer(data) if self._attempt.config.side is Side.SERVER else b""
        if answer:
            cast(ITransport, self.transport).write(answer)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """Tell the TLS layer that the plain connection is gone."""
        self.lifetime.plain_connection_lost(reason)
        self._receiver.connectionLost(reason)

    def handshake_completed(self) -> None:
        """Build and connect the application's protocol: the peer is verified."""
        try:
            protocol = self._attempt.factory.buildProtocol(cast(IAddress, self._attempt.address))
            if protocol is None:
                raise NoProtocol()
        except Exception:
            self.lifetime.refuse(Failure())
            return
        if self.lifetime.is_refused:
            # The attempt was cancelled while the factory was building.
            return
        self.lifetime.secured()
        self._tls.wrappedProtocol = protocol
        if self._greeting is not None:
            self._tls.withhold_greeting(self._greeting)
        try:
            rename_in_log(self.transport, protocol)
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
    """Has the place of the application's protocol until the handshake is complete.

    Args:
        handshake: Is told when it is.
    """

    def __init__(self, handshake: HandshakeProtocol) -> None:
        self._handshake = handshake

    def handshakeCompleted(self) -> None:
        self._handshake.handshake_completed()


def starttls_outcome(transport: object) -> bytes:
    """The outcome of the dialogue before TLS (``starttls=``), for protocols that go on from it.

    Args:
        transport: The ``transport`` of the application's protocol, or of a
            wrapper above it.

    Returns:
        What ``docs/starttls.md`` says of the protocol: for MySQL, for example,
        the server's greeting packet. Empty where there was no dialogue.
    """
    while isinstance(transport, ProtocolWrapper):
        if isinstance(transport, TLSTransport):
            return transport.handshake.outcome
        transport = transport.transport
    return b""
