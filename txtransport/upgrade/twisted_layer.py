"""What an upgrade learns from Twisted's TLS layer; the one place where its methods are replaced.

``transport.startTLS()`` makes the layer that carries the bytes of an upgraded
connection, and Twisted chooses its class: no subclass of ours can stand there. Most of
what an upgrade must know it learns in OpenSSL's connection, whose class is ours
(`ObservedConnection`), and in the protocol that stands above the layer. What is left
cannot be learnt there:

- that the application has called ``loseConnection()``: while a producer is registered,
  the layer only sets a flag, and OpenSSL hears of the close when the producer is done,
  which a peer that reads nothing can put off for ever;
- why the plain connection is gone: the layer asks OpenSSL, to which our own abort looks as
  if the peer had cut the line, and the application's own exception like that, too;
- with a context that a protocol brings, everything, since its connections are not ours.

So some methods are replaced on the layer's instance, all of them here. A new release of
Twisted that calls them otherwise fails the tests of this module.
"""

from __future__ import annotations

import typing
from collections.abc import Callable
from typing import Final

from attrs import frozen
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IOpenSSLServerConnectionCreator,
    ISSLTransport,
)
from twisted.python.failure import Failure
from zope.interface import directlyProvides, implementer, noLongerProvides, providedBy

from txtransport.connection.attempt import ConnectionAttempt, Stage
from txtransport.connection.twisted_types import StartTLSTransport
from txtransport.tls.connection import LayeredConnection

__all__ = [
    "ConnectionMaker",
    "TLSLayer",
    "keep_declarations",
    "observe_end",
    "observe_foreign_context",
    "take_layer_off",
]


class TLSLayer(typing.Protocol):
    """What an upgrade uses of Twisted's `TLSMemoryBIOProtocol`.

    The methods that are replaced stand here as attributes that hold functions.

    Attributes:
        connectionLost: Is called when the TCP connection is over.
        dataReceived: Is called with what the socket brings.
        disconnecting: Whether the close was asked for.
        loseConnection: Sends what is written, then a close_notify, then closes.
        transport: The TCP connection, past ``transport.TLS``.
        wrappedProtocol: The protocol right above.
    """

    connectionLost: Callable[[Failure], object]
    dataReceived: Callable[[bytes], object]
    disconnecting: bool
    loseConnection: Callable[[], object]
    transport: _TransportOfTLSLayer
    wrappedProtocol: object

    def abortConnection(self) -> None: ...


class _TransportOfTLSLayer(typing.Protocol):
    loseConnection: Callable[[], object]
    write: Callable[[bytes], object]


@implementer(IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator)
@frozen
class ConnectionMaker:
    """What ``transport.startTLS()`` takes for a context: it makes OpenSSL's connection.

    Attributes:
        attempt: Gets the connection.
        factory: The application's factory, which is asked for its application
            protocols where the policy names none.
    """

    attempt: ConnectionAttempt
    factory: object = None

    # What is returned has the methods of OpenSSL's connection that the layer calls.

    def clientConnectionForTLS(  # type: ignore[override]
        self, tlsProtocol: object
    ) -> LayeredConnection:
        """A new connection; Twisted calls this for TLS's client."""
        return self._new_connection(tlsProtocol)

    def serverConnectionForTLS(  # type: ignore[override]
        self, tlsProtocol: object
    ) -> LayeredConnection:
        """A new connection; Twisted calls this for TLS's server."""
        return self._new_connection(tlsProtocol)

    def _new_connection(self, layer: object) -> LayeredConnection:
        attempt = self.attempt
        connection = attempt.config.new_layered_connection(self.factory)
        attempt.connection, attempt.outgoing = connection, connection.outgoing

        def close_notify_sent() -> None:
            # After our own `loseConnection`, the close has its deadline already.
            if not getattr(layer, "disconnecting", False):
                # The peer has closed first, and may not take what is still to be sent.
                attempt.closing()

        connection.on_close = close_notify_sent
        return connection


def observe_end(
    layer: TLSLayer, closing: Callable[[], object], lost: Callable[[Failure], object]
) -> None:
    """Learn from a layer that we close, and why the plain connection is gone.

    Args:
        layer: Twisted's.
        closing: Is called when the application has called ``loseConnection()``.
        lost: Is called with the plain connection's end, before the layer hears of it.
    """
    lose, end = layer.loseConnection, layer.connectionLost

    def lose_connection() -> None:
        lose()
        closing()

    def connection_lost(reason: Failure) -> None:
        lost(reason)
        end(reason)

    layer.loseConnection, layer.connectionLost = lose_connection, connection_lost


def keep_declarations(layer: TLSLayer) -> None:
    """Spare zope the work of computing anew what each layer of Twisted's provides.

    Twisted declares one interface of the transport after the other for the layer. zope
    remembers such a declaration only as long as an object has it.

    Args:
        layer: Twisted's, on its transport.
    """
    kind, declared = type(layer), providedBy(layer.transport)
    if (kind, declared) in _kept:
        return
    _kept[kind, declared] = layers = []
    for interface in declared:
        layers.append(kind.__new__(kind))
        directlyProvides(layers[-1], interface)


_kept: Final[dict[tuple[type, object], list[object]]] = {}


def take_layer_off(raw: StartTLSTransport, layer: TLSLayer) -> None:
    """Undo what ``transport.startTLS()`` has done to a transport.

    Args:
        raw: The transport; what it writes is clear text from now on.
        layer: Twisted's, which is on it.
    """
    raw.protocol, raw.TLS = layer.wrappedProtocol, False
    for name in ("getHandle", "getPeerCertificate"):
        vars(raw).pop(name, None)
    noLongerProvides(raw, ISSLTransport)


def observe_foreign_context(
    layer: TLSLayer, attempt: ConnectionAttempt, remember: Callable[[bytes], object]
) -> None:
    """Observe a connection of a foreign context, as `ObservedConnection` observes itself.

    Args:
        layer: Twisted's.
        attempt: Counts what is sent, and starts the deadline of the close.
        remember: Is given what the socket brings, before it is decrypted.
    """
    receive, send, lose = layer.dataReceived, layer.transport.write, layer.transport.loseConnection
    is_receiving = False

    def data_received(data: bytes) -> None:
        nonlocal is_receiving
        is_receiving = True
        remember(data)
        try:
            receive(data)
        except Exception:
            # Twisted raises an IndexError when a close_notify arrives in the
            # handshake. Later exceptions are those of the protocol above.
            if attempt.stage is not Stage.HANDSHAKE:
                raise
            attempt.refuse(attempt.explained(Failure()))
        finally:
            is_receiving = False

    def write(data: bytes) -> None:
        # After the application's close, what is sent while bytes of the peer
        # are processed is TLS's own: close_notify, answers to KeyUpdate.
        attempt.outgoing.add(len(data), is_data=not (is_receiving and layer.disconnecting))
        send(data)

    def lose_connection() -> None:
        # The layer calls this when the peer has sent its close_notify. The peer may not
        # take what we have still to send; the close's deadline bounds the wait.
        lose()
        if attempt.stage is Stage.OPEN:
            attempt.closing()

    layer.dataReceived = data_received
    layer.transport.write, layer.transport.loseConnection = write, lose_connection
