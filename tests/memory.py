"""Connections in memory: two transports and a clock, without sockets."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure


class End(StringTransport):
    """The transport of one end of a connection; the test moves its bytes.

    After `abortConnection` the protocol learns of the end in the clock's next
    turn, as it does with a socket.

    Attributes:
        is_over: Whether the protocol's `connectionLost` was called.
        is_paused: Whether the protocol has paused reading.
    """

    is_over = False
    is_paused = False

    def __init__(self, clock: Clock, **addresses: Any) -> None:
        super().__init__(lenient=True, **addresses)
        self._clock = clock
        self._protocol: Any = None

    def start(self, protocol: Any) -> None:
        """Connect a protocol to this transport."""
        self._protocol = protocol
        protocol.makeConnection(self)

    def hear(self, data: bytes) -> None:
        """Deliver bytes of the peer to the protocol."""
        self._protocol.dataReceived(data)

    def taken(self) -> bytes:
        """Return the bytes written since the last call, and forget them."""
        data = bytes(self.value())
        self.clear()
        return data

    def write(self, data: bytes) -> None:
        if not self.disconnected:
            super().write(data)

    def abortConnection(self) -> None:
        super().abortConnection()
        # Bytes that were not sent yet are discarded.
        self.clear()
        self._clock.callLater(0, self.lose, ConnectionAborted())

    def lose(self, error: Exception | None = None) -> None:
        """End the connection, unless it is over.

        Args:
            error: The reason; by default `ConnectionLost`, as when the peer
                cuts the connection.
        """
        if not self.is_over:
            self.is_over = True
            self._protocol.connectionLost(Failure(error or ConnectionLost()))

    def pauseProducing(self) -> None:
        self.is_paused = True

    def resumeProducing(self) -> None:
        self.is_paused = False


def carry(one: End, other: End) -> None:
    """Move bytes in both directions until neither end writes any; then finish closing."""
    moved = True
    while moved:
        moved = False
        for source, target in ((one, other), (other, one)):
            data = source.taken()
            if data and not target.is_over and not target.disconnected:
                moved = True
                target.hear(data)
    for end in (one, other):
        if end.disconnecting and not end.disconnected:
            one.lose(ConnectionDone())
            other.lose(ConnectionDone())
