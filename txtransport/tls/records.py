"""Where TLS's records begin and end, without decrypting them.

OpenSSL does not give back what it was fed. What follows a close_notify may be clear text
again (RFC 4217, section 6), so it must not be fed: `RecordCutter` cuts what the network
brings at the ends of records.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

__all__ = ["RecordCutter"]

_HEADER: Final = 5
"""The bytes of a record's header: type, version and length (RFC 8446, section 5.1)."""

_FULL: Final = 2**14
"""The length of a record that has as much data as fits, or more, since encryption adds some."""

_MOST: Final = 2**16


class RecordCutter:
    """Knows where in a record a connection is, however the network has cut it.

    A close_notify is a short record. So full ones, of which large transfers consist, stay
    together.
    """

    __slots__ = ("_header", "_is_full", "_left")

    def __init__(self) -> None:
        self._header = b""
        self._is_full = False
        self._left = 0

    def cut(self, data: bytes) -> Iterator[bytes | memoryview]:
        """Cut bytes so that a close_notify is always at the end of a piece.

        Args:
            data: The next bytes of the peer. Bytes that are not a record's may follow a
                close_notify; they must not be asked for as pieces of TLS.

        Returns:
            The same bytes, 64 KiB at a time at the most, in pieces that end where a record
            ends or where `data` does.
        """
        view = memoryview(data)
        size, begin, end = len(data), 0, 0
        while end < size:
            if not self._left:
                missing = _HEADER - len(self._header)
                self._header += data[end : end + missing]
                end += missing
                if len(self._header) < _HEADER:
                    break
                self._left = int.from_bytes(self._header[3:], "big")
                self._is_full = self._left >= _FULL
                self._header = b""
            step = min(self._left, size - end)
            end += step
            self._left -= step
            if not self._left and (not self._is_full or end - begin >= _MOST - _FULL):
                yield data if end - begin == size else view[begin:end]
                begin = end
        if begin < size:
            yield view[begin:] if begin else data

    def skip(self, data: bytes) -> None:
        """Take note of bytes that need not be cut.

        Args:
            data: The next bytes of the peer.
        """
        size, place, left = len(data), 0, self._left
        if self._header:
            for _ in self.cut(data):
                pass
            return
        while left < size - place:
            place += left
            if size - place < _HEADER:
                self._header, self._left = data[place:], 0
                return
            left = int.from_bytes(data[place + 3 : place + _HEADER], "big")
            self._is_full = left >= _FULL
            place += _HEADER
        self._left = left - (size - place)

    def is_one_record(self, data: bytes) -> bool:
        """Whether bytes are one whole record, which need not be cut or skipped.

        Args:
            data: The next bytes of the peer.
        """
        return (
            not self._left
            and not self._header
            and int.from_bytes(data[3:_HEADER], "big") + _HEADER == len(data)
        )
