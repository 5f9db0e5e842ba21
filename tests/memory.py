"""Conversations in memory: two ends, a clock, and no socket."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure


class End(StringTransport):
    """One end of a connection; the test carries its bytes.

    Like a socket's, it ends in the clock's next turn when it is aborted.

    Attributes:
        is_over: Whether the protocol has been told of the end.
        is_paused: Whether it has been told not to read.
    """

    is_over = False
    is_paused = False

    def __init__(self, clock: Clock, **addresses: Any) -> None:
        super().__init__(lenient=True, **addresses)
        self._clock = clock
        self._protocol: Any = None

    def start(self, protocol: Any) -> None:
        """The connection is there."""
        self._protocol = protocol
        protocol.makeConnection(self)

    def hear(self, data: bytes) -> None:
        """Bytes of the peer."""
        self._protocol.dataReceived(data)

    def taken(self) -> bytes:
        """What was written since the last time."""
        data = bytes(self.value())
        self.clear()
        return data

    def write(self, data: bytes) -> None:
        if not self.disconnected:
            super().write(data)

    def abortConnection(self) -> None:
        super().abortConnection()
        # What was not sent yet never is.
        self.clear()
        self._clock.callLater(0, self.lose, ConnectionAborted())

    def lose(self, error: Exception | None = None) -> None:
        """The connection is gone; the peer has cut it unless `error` says otherwise."""
        if not self.is_over:
            self.is_over = True
            self._protocol.connectionLost(Failure(error or ConnectionLost()))

    def pauseProducing(self) -> None:
        self.is_paused = True

    def resumeProducing(self) -> None:
        self.is_paused = False


def carry(one: End, other: End) -> None:
    """Carry bytes to and fro until both are silent, and let go what was closed."""
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
