"""The way back from TLS to clear text in mid-conversation (RFC 4217, section 6: ``CCC``).

Both sides send a close_notify, and the connection goes on. The promise of the upgrade holds
the other way round: what came under TLS is delivered before clear text is, and what stands
behind the peer's close_notify, even in the same segment, is delivered as clear text. For
that, what follows a close_notify must not be given to OpenSSL, which does not give it back
(`ObservedConnection.recv`, `TLSEngine.keep_unread`).

After an upgrade Twisted's TLS layer carries the bytes. The layer takes a close_notify for
the end of the connection. So OpenSSL's connection, whose class is ours, does not tell it of
that one, and a `LayerStop` stands in its place meanwhile::

      under TLS          closing TLS          in the clear

        above               above                above
          ^                   ^                    ^
          |                   |                    |
      TLS layer           TLS layer                |
          ^                   ^                    |
          |               LayerStop                |
          |                   ^                    |
      transport           transport            transport

Where TLS was there from the start, our own `TLSDriver` does this itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, cast

from twisted.internet.interfaces import IProducer
from twisted.internet.protocol import Protocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from txtransport.connection.twisted_types import StartTLSTransport
from txtransport.tls.connection import ObservedConnection
from txtransport.upgrade.twisted_layer import TLSLayer, take_layer_off

__all__ = ["LayerStop"]

_log: Final = Logger()


class LayerStop(Protocol):
    """Stands in the place of Twisted's TLS layer while both sides close TLS.

    Args:
        raw: The transport that the layer is on.
        layer: The layer.
        connection: The layer's connection.
        stopped: Is called when TLS is off; clear bytes follow.
        waits: Whether our close_notify is the answer to the peer's.
    """

    def __init__(
        self,
        raw: StartTLSTransport,
        layer: TLSLayer,
        connection: ObservedConnection,
        stopped: Callable[[], object],
        *,
        waits: bool,
    ) -> None:
        self._raw = raw
        self._layer = layer
        self._connection = connection
        self._stopped = stopped
        self._held: list[bytes] = []
        self._waits = waits
        self._may_send = False
        self._is_sent = False
        self._is_over = False

    def begin(self) -> None:
        """Send what was written, and a close_notify now or when the peer's has come."""
        self._connection.is_stopping = True
        self._raw.protocol = self
        # The layer may have collected what was written, until the next turn of the reactor.
        # Of two timers that are due at once, either may be the first.
        later = self._raw.reactor.callLater
        later(0, lambda: later(0, self._turns_over))

    def _turns_over(self) -> None:
        """All that was written is sent."""
        self._may_send = True
        try:
            self._look()
        except Exception:
            # As where the reactor delivers the bytes of a socket.
            _log.failure("{protocol} failed", protocol=self._layer.wrappedProtocol)
            self._raw.abortConnection()

    def _look(self) -> None:
        """Close TLS, if it is our turn, and take it off, if both sides have closed it."""
        if self._is_over or not self._may_send:
            return
        if not self._is_sent and (self._connection.is_stopped or not self._waits):
            self._is_sent = True
            data = self._connection.close_notify()
            if not data:
                self._is_over = True
                self._raw.abortConnection()
                return
            self._layer.transport.write(data)
        if not self._is_sent or not self._connection.is_stopped:
            return
        self._is_over = True
        raw, unread = self._raw, self._connection.take_unread()
        take_layer_off(raw, self._layer)
        for data in self._held:
            raw.write(data)
        self._stopped()
        if unread and raw.connected:
            cast(Protocol, raw.protocol).dataReceived(unread)

    # --- what the transport calls ---

    def dataReceived(self, data: bytes) -> None:
        """Have the layer decrypt bytes; those behind the peer's close_notify are kept."""
        self._layer.dataReceived(data)
        self._look()

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """Tell the layer that the connection is over."""
        self._is_over = True
        self._layer.connectionLost(reason)

    def write(self, data: bytes) -> None:
        """Keep what is to be sent in the clear."""
        self._held.append(data)

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """Keep what is to be sent in the clear."""
        self._held.extend(iovec)

    def loseConnection(self) -> None:
        """Close the connection, as under TLS; what was kept is dropped."""
        self._is_over = True
        self._connection.is_stopping = False
        self._raw.protocol = self._layer
        self._layer.loseConnection()

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        """Stop a producer: nothing can be produced now."""
        producer.stopProducing()

    def unregisterProducer(self) -> None:
        """Do nothing: none is registered."""
