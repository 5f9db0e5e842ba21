"""One TLS connection in memory: bytes go in, bytes and events come out.

The engine knows no transport. Who drives it (`txtransport.connection.driver`) hands it
what the network brings and sends what it returns. OpenSSL works on two memory BIOs::

      data to send  --send()-->  +-----------+  --data_to_send()-->  to the peer
                                 |  OpenSSL  |
      events  <------------------+-----------+  <------receive()---  from the peer

Three facts about OpenSSL shape the code:

- *A memory BIO never shrinks.* It grows to 4/3 of the most that it ever held. So no more
  than a piece is put into OpenSSL at a time: 16 KiB, which is one record, until a
  connection has carried 1 MiB in one direction, and 64 KiB from then on, which is faster.
- *bio_read() allocates what it is asked for*, and an empty BIO costs an exception. So the
  engine knows how many bytes a piece becomes, and reads them with one call.
- *What follows a close_notify in one bio_write() is lost* in OpenSSL. An engine that is
  asked to `keep_unread` never gives OpenSSL more, and keeps what follows in `unread`.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import ClassVar, Final, Protocol

from OpenSSL import SSL

from txtransport.tls.connection import MAX_FIRST_BYTES, SecureConnection, TLSConnection
from txtransport.tls.records import RecordCutter

__all__ = ["Engine", "Signal", "TLSEngine", "TLSEvent"]


class Signal(Enum):
    """What happened, other than that data arrived."""

    COMPLETE = "complete"
    """The handshake is complete, and the peer is verified."""
    CLOSED = "closed"
    """The peer sent close_notify: no data follows."""
    FAILED = "failed"
    """TLS is broken, and `TLSEngine.error` says why; an alert may be to be sent."""


TLSEvent = bytes | Signal
"""The application's data, or what else happened."""


class Engine(Protocol):
    """What a driver asks of an engine: `TLSEngine` has it, and what speaks SSL 2.0 or SSL 3.0.

    All is as `TLSEngine` says it.
    """

    @property
    def connection(self) -> SecureConnection: ...
    @property
    def is_complete(self) -> bool: ...
    @property
    def is_closed(self) -> bool: ...
    @property
    def is_closed_by_peer(self) -> bool: ...
    @property
    def error(self) -> SSL.Error | None: ...
    @property
    def piece(self) -> int: ...
    @property
    def unread(self) -> bytes: ...
    @property
    def keeps_unread(self) -> bool: ...
    def keep_unread(self) -> None: ...
    def start(self) -> None: ...
    def receive(self, data: bytes) -> list[TLSEvent]: ...
    def send(self, data: bytes | memoryview) -> object: ...
    def data_to_send(self) -> bytes: ...
    def close(self) -> None: ...


RECORD: Final = 16384
"""The most plaintext that fits in one record (RFC 8446, section 5.1), in bytes."""

_LARGE_PIECE: Final = 65536 if hasattr(SSL.Context, "clear_mode") else RECORD
"""Bytes. A pyOpenSSL that cannot switch partial writes off encrypts one record at a time."""

_SMALL_UNTIL: Final = 5 * 2**18
"""Bytes in one direction, after which pieces become large: 1 MiB of data and what TLS adds."""

_OVERHEAD: Final = 96
"""More bytes than any cipher adds to a record (RFC 5246, 6.2.3: CBC adds 5 + 16 + 64 at most)."""

_OWN_BYTES: Final = 4096
"""What OpenSSL sends of its own accord is seldom more, except in a flight of certificates."""


class TLSEngine:
    """One TLS connection, driven by the bytes of its peer.

    Args:
        connection: OpenSSL's, new. It decides whether the peer is acceptable.

    Attributes:
        connection: As given.
        is_complete: Whether the handshake is complete and the peer verified.
        is_closed: Whether our close_notify was made: nothing can be sent any more.
        is_closed_by_peer: Whether the peer's close_notify was read.
        error: Why TLS is broken, or None.
        piece: The most bytes that `send` should be given at once.
        unread: After `keep_unread`, what the peer sent behind its close_notify.
        keeps_unread: Whether that can be asked for.
    """

    keeps_unread: ClassVar[bool] = True
    __slots__ = (
        "_cutter",
        "_expected",
        "_handshake",
        "_received",
        "_sent",
        "connection",
        "error",
        "is_closed",
        "is_closed_by_peer",
        "is_complete",
        "piece",
        "unread",
    )

    def __init__(self, connection: TLSConnection) -> None:
        self.connection: TLSConnection = connection
        self.is_complete: bool = False
        self.is_closed: bool = False
        self.is_closed_by_peer: bool = False
        self.error: SSL.Error | None = None
        self.piece: int = RECORD
        self.unread: bytes = b""
        # Where in a record we are can be told from the beginning only. What came until the
        # handshake was complete is kept for that, until it is known that nobody asks.
        self._handshake: list[bytes] | None = []
        self._cutter: RecordCutter | None = None
        self._received = self._sent = 0
        self._expected = 0

    def keep_unread(self) -> None:
        """Keep what the peer sends behind its close_notify in `unread`, from now on.

        It may be asked for until the first bytes after those that complete the handshake.
        Receiving costs a little more then (`RecordCutter`).

        Raises:
            RuntimeError: It is too late.
        """
        if self._handshake is None:
            raise RuntimeError("where records end is not known any more")
        self._cutter = RecordCutter()
        for data in self._handshake:
            self._cutter.skip(data)
        self._handshake = None

    def start(self) -> None:
        """Begin the handshake, which on clients makes the ClientHello."""
        self._continue_handshake()

    def receive(self, data: bytes) -> list[TLSEvent]:
        """Take bytes of the peer.

        Args:
            data: What the network has brought, cut anywhere.

        Returns:
            What came of it, in order. After `Signal.CLOSED` and `Signal.FAILED`
            nothing follows.
        """
        events: list[TLSEvent] = []
        size = len(data)
        if not self.is_complete:
            connection = self.connection
            connection.first_bytes = (connection.first_bytes + data)[:MAX_FIRST_BYTES]
            if self._handshake is not None:
                self._handshake.append(data)
        else:
            self._handshake = None
        if self.error is not None or self.is_closed_by_peer:
            self._keep(data)
            return events
        if self._cutter is not None or size > self.piece:
            self._receive_pieces(data, events)
        else:
            self._receive_piece(data, events)
        self._received += size
        if self._received > _SMALL_UNTIL:
            self.piece = _LARGE_PIECE
        return events

    def send(self, data: bytes | memoryview) -> None:
        """Encrypt data of the application; `data_to_send` then returns it.

        If TLS is broken, `error` says why from then on.

        Args:
            data: Not empty, and `piece` bytes at the most, or OpenSSL's buffers grow.
        """
        size, sent = len(data), 0
        try:
            sent = self.connection.send(data)
            while sent < size:
                # A pyOpenSSL that cannot switch partial writes off: one record at a time.
                sent += self.connection.send(data[sent:])
        except SSL.Error as error:
            self.error = _without_frames(error)
        self._expected += sent + _OVERHEAD * (size // RECORD + 1)
        self._sent += sent
        if self._sent > _SMALL_UNTIL:
            self.piece = _LARGE_PIECE

    def data_to_send(self) -> bytes:
        """All encrypted bytes for the peer that were not returned yet; often none."""
        size = self._expected + _OWN_BYTES
        self._expected = 0
        try:
            data = self.connection.bio_read(size)
        except SSL.WantReadError:
            return b""
        if len(data) == size:
            data += b"".join(self._rest(size))
        if not self.is_complete:
            self.connection.remember_flight(data)
        return data

    def close(self) -> None:
        """Make our close_notify, if there is none yet and TLS is not broken."""
        if self.is_closed or self.error is not None:
            return
        self.is_closed = True
        try:
            self.connection.shutdown()
        except SSL.Error as error:
            self.error = _without_frames(error)

    def _rest(self, size: int) -> Iterator[bytes]:
        try:
            while True:
                yield self.connection.bio_read(size)
        except SSL.WantReadError:
            return

    def _receive_pieces(self, data: bytes, events: list[TLSEvent]) -> None:
        """Give OpenSSL one piece after the other, until one ends the connection."""
        pieces = self._cut(data) if self._cutter is None else self._cutter.cut(data)
        for piece in pieces:
            self._receive_piece(piece, events)
            if self.is_closed_by_peer or self.error is not None:
                break
        for piece in pieces:
            self._keep(piece)

    def _cut(self, data: bytes) -> Iterator[bytes]:
        size = self.piece
        for begin in range(0, len(data), size):
            yield data[begin : begin + size]

    def _keep(self, data: bytes | memoryview) -> None:
        if self._cutter is not None and self.is_closed_by_peer:
            self.unread += data

    def _receive_piece(self, data: bytes | memoryview, events: list[TLSEvent]) -> None:
        connection = self.connection
        connection.bio_write(data)
        if not self.is_complete:
            if not self._continue_handshake():
                if self.error is not None:
                    events.append(Signal.FAILED)
                return
            events.append(Signal.COMPLETE)
        recv = connection.recv
        try:
            while True:
                events.append(recv(RECORD))
        except SSL.WantReadError:
            pass
        except SSL.ZeroReturnError:
            self.is_closed_by_peer = True
            events.append(Signal.CLOSED)
        except SSL.Error as error:
            self.error = _without_frames(error)
            events.append(Signal.FAILED)

    def _continue_handshake(self) -> bool:
        """Whether the handshake is complete now."""
        try:
            self.connection.do_handshake()
        except SSL.WantReadError:
            return False
        except SSL.Error as error:
            self.error = _without_frames(error)
            return False
        self.is_complete = True
        return True


def _without_frames(error: SSL.Error) -> SSL.Error:
    """An error of OpenSSL's without its traceback, and what it was raised from likewise.

    The frames name the connection and the driver. An application that keeps its errors
    would keep both, with OpenSSL's 30 KiB, for each of them.
    """
    if error.__cause__ is not None:
        error.__cause__.__traceback__ = None
    return error.with_traceback(None)
