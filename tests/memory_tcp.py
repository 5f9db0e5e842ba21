"""A TCP connection of Twisted's without a socket: the test says what the socket takes.

What an application may only see on a busy line is made at will here: a socket that takes
nothing, or a part, or breaks in the middle.
"""

from __future__ import annotations

from typing import Any

from twisted.internet import tcp
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.python.log import err

PEER = IPv4Address("TCP", "192.0.2.1", 465)


class PolledClock(Clock):
    """A clock that is a reactor for descriptors as well; the test makes its turns.

    Attributes:
        readers: Those that wait for something to read.
        writers: Those that wait until their socket takes something.
    """

    def __init__(self) -> None:
        super().__init__()
        self.readers: set[Any] = set()
        self.writers: set[Any] = set()
        self.addReader, self.removeReader = self.readers.add, self.readers.discard
        self.addWriter, self.removeWriter = self.writers.add, self.writers.discard

    def turn(self) -> None:
        """One turn: timers that are due, then all writers, as Twisted's reactors do it.

        What is to be called later is not called in this turn, and exceptions are logged.
        """
        for call in [call for call in self.calls if call.getTime() <= self.seconds()]:
            if call.active():
                self.calls.remove(call)
                call.called = 1
                try:
                    call.func(*call.args, **call.kw)
                except Exception:
                    err()
        for writer in list(self.writers):
            try:
                why = writer.doWrite()
            except Exception as error:
                err()
                why = error
            if why:
                writer.connectionLost(Failure(why))


class MemorySocket:
    """What a TCP connection of Twisted's needs of a socket.

    Attributes:
        capacity: How many bytes it takes until the test says otherwise.
        sent: What it has taken.
        error: What sending raises, or None.
        is_open: Whether it was not closed.
    """

    def __init__(self) -> None:
        self.capacity = 2**62
        self.sent = b""
        self.error: OSError | None = None
        self.is_open = True

    def send(self, data: memoryview) -> int:
        if self.error is not None:
            raise self.error
        taken = min(len(data), self.capacity)
        if not taken and data:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        self.capacity -= taken
        self.sent += data[:taken]
        return taken

    def fileno(self) -> int:
        return -1

    def setblocking(self, flag: bool) -> None:
        pass

    def setsockopt(self, *option: object) -> None:
        pass

    def shutdown(self, how: int) -> None:
        pass

    def close(self) -> None:
        self.is_open = False


class MemoryTCP(tcp.Connection):
    """Twisted's TCP connection over a `MemorySocket`; like `tests.memory.End` otherwise."""

    socket: Any
    protocol: Any
    reactor: Any

    def __init__(self, reactor: PolledClock) -> None:
        self.memory = MemorySocket()
        super().__init__(self.memory, None, reactor)  # type: ignore[arg-type]

    def start(self, protocol: Any) -> None:
        """Connect a protocol to this transport."""
        self.protocol = protocol
        self.connected = 1
        self.startReading()
        protocol.makeConnection(self)

    def hear(self, data: bytes) -> None:
        """Deliver bytes of the peer, if they are read."""
        assert self.is_reading, "it does not read"
        self.protocol.dataReceived(data)

    @property
    def is_reading(self) -> bool:
        """Whether bytes of the peer are read."""
        return self in self.reactor.readers

    @property
    def is_over(self) -> bool:
        """Whether the protocol's ``connectionLost`` was called."""
        return bool(self.disconnected)

    def taken(self) -> bytes:
        """Return the bytes that the socket has taken since the last call."""
        sent, self.memory.sent = self.memory.sent, b""
        return sent

    def lose(self, error: Exception | None = None) -> None:
        """End the connection, unless it is over; by default as when the peer has closed."""
        if not self.disconnected:
            self.connectionLost(Failure(error or ConnectionDone()))

    def getPeer(self) -> IPv4Address:
        return PEER

    def getHost(self) -> IPv4Address:
        return IPv4Address("TCP", "192.0.2.2", 40000)
