"""The records of SSL 2.0 (draft-hickman-netscape-ssl-00, section 4).

A record has a header of 2 bytes, or of 3 when it is padded::

    1lllllll llllllll                 length, 32767 at the most; no padding
    0ellllll llllllll pppppppp        length, 16383 at the most; escape; padding

What follows is encrypted as a whole, but for the first messages: 16 bytes of MAC, the data,
and the padding, if the cipher has blocks. The MAC is MD5 of the key, the data, the padding
and the record's number, which is not sent and begins with the first record in the clear.

What that means for what is checked here:

- *The header is not in the MAC.* The data is, together with the padding, but not where one
  ends and the other begins: someone between the two can change the third byte of a header
  and cut bytes off the end of the data, or have the padding read as data (Wagner and
  Schneier, "Analysis of the SSL 3.0 Protocol", 1996, section 3). So a padding is less than a
  block, and none with a stream cipher, which closes the hole for RC4. With 3DES 7 bytes at
  the end of each record stay within reach.
- *The MAC comes first*, so the first blocks of a record cannot be foreseen by whoever
  chooses the data: BEAST has nothing to work on, though the vector of a record is the last
  block of the one before.
- *The padding's length is in the clear*, so a padding tells nothing. Still, every bad record
  costs the same operations and becomes the same error, for which the protocol has no
  message: nothing is sent.
- *Nothing tells the last record from others*: there is no close_notify, and an end that the
  network makes looks as one that the peer makes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from hmac import compare_digest
from typing import Final

from attrs import frozen
from cryptography.hazmat.primitives.ciphers import CipherContext

from txtransport.tls.legacy.ssl2_messages import (
    MessageType,
    NewerProtocolError,
    SSL2Error,
    peer_error,
)
from txtransport.tls.legacy.ssl2_suites import DirectionKey

__all__ = ["MAX_DATA", "RecordReader", "RecordWriter"]

_MAC_SIZE: Final = 16
_MAX_CLEAR: Final = 0x7FFF

MAX_DATA: Final = 0x3FFF // 8 * 8 - _MAC_SIZE
"""The most data that we put into a record, in bytes: with MAC and padding it fits both headers."""

_TLS_RECORDS: Final = range(0x14, 0x18)
_TLS_MAJOR: Final = (3,)


class _RecordMAC:
    """The MAC of one side's records, and the number of the next one."""

    def __init__(self) -> None:
        self._number = 0
        self._keyed = hashlib.md5()

    def skip(self) -> None:
        """Count a record in the clear, which has no MAC."""
        self._number += 1

    def switch(self, secret: bytes) -> None:
        """Have a secret from now on."""
        self._keyed = hashlib.md5(secret)

    def next(self, data: bytes) -> bytes:
        """The MAC of the next record.

        Args:
            data: Its data and padding.
        """
        mac = self._keyed.copy()
        mac.update(data)
        # The specification has the number begin anew after 32 bits.
        mac.update((self._number & 0xFFFFFFFF).to_bytes(4, "big"))
        self._number += 1
        return mac.digest()


class RecordWriter:
    """Makes our records, in the clear until `switch`."""

    def __init__(self) -> None:
        self._mac = _RecordMAC()
        self._cipher: CipherContext | None = None
        self._block = 1

    def switch(self, key: DirectionKey) -> None:
        """Encrypt from now on."""
        self._mac.switch(key.key)
        self._cipher = key.suite.cipher(key).encryptor()
        self._block = key.suite.block

    def seal(self, data: bytes) -> bytes:
        """One record.

        Args:
            data: A whole message, or data of the application: `MAX_DATA` at the most.

        Raises:
            SSL2Error: A message has no room in a record, such as a certificate of 32 KiB.
        """
        if self._cipher is None:
            if len(data) > _MAX_CLEAR:
                raise SSL2Error("message too long")
            self._mac.skip()
            return _encode_header(len(data), 0) + data
        if len(data) > MAX_DATA:
            raise SSL2Error("message too long")
        padding = -len(data) % self._block
        if padding:
            data += bytes(padding)
        body = self._mac.next(data) + data
        return _encode_header(len(body), padding) + self._cipher.update(body)


def _encode_header(size: int, padding: int) -> bytes:
    if padding:
        return bytes((size >> 8, size & 0xFF, padding))
    return bytes((0x80 | size >> 8, size & 0xFF))


class RecordReader:
    """Reads the peer's records, in the clear until `switch`.

    It keeps no more than one record that is not complete, which is 32 KiB at the most.
    """

    def __init__(self) -> None:
        self._mac = _RecordMAC()
        self._cipher: CipherContext | None = None
        self._block = 1
        self._buffer = b""

    def switch(self, key: DirectionKey) -> None:
        """Decrypt the next record, and those behind it."""
        self._mac.switch(key.key)
        self._cipher = key.suite.cipher(key).decryptor()
        self._block = key.suite.block

    def records(self, data: bytes) -> Iterator[bytes]:
        """The contents of the records that are complete now.

        Each is opened when it is asked for, so that `switch` holds for the one behind.

        Args:
            data: What the peer has sent, cut anywhere.

        Raises:
            SSL2Error: A record is bad, or the peer speaks something else.
        """
        buffer, at = self._buffer + data, 0
        try:
            while (header := self._header(buffer[at : at + 3])) is not None:
                end = at + header.size + header.length
                if end > len(buffer):
                    return
                body, at = buffer[at + header.size : end], end
                if self._cipher is None:
                    self._mac.skip()
                else:
                    body = self._open(self._cipher, header, body)
                yield body
        finally:
            self._buffer = buffer[at:]

    def _header(self, start: bytes) -> _Header | None:
        """The header that a record begins with; None while it is not complete."""
        if self._cipher is None:
            _check_clear(start)
        if len(start) < 3:
            return None
        first, second, third = start
        if first & 0x80:
            return _Header(2, (first & 0x7F) << 8 | second)
        return _Header(3, (first & 0x3F) << 8 | second, third, bool(first & 0x40))

    def _open(self, cipher: CipherContext, header: _Header, body: bytes) -> bytes:
        """The data of an encrypted record; whatever is wrong, the same is done."""
        data = cipher.update(body)
        mac, data = data[:_MAC_SIZE], data[_MAC_SIZE:]
        end = len(data) - header.padding
        is_authentic = compare_digest(mac, self._mac.next(data))
        is_well_formed = (
            (len(body) % self._block == 0)
            & (header.padding < self._block)
            & (end >= 0)
            & (not header.is_escape)
        )
        if not is_authentic & is_well_formed:
            # A peer that could not make the keys says why in the clear.
            raise SSL2Error(peer_error(body) or "bad mac decode")
        return data[:end]


@frozen
class _Header:
    """The header of a record.

    Attributes:
        size: Its own size in bytes.
        length: How many bytes follow.
        padding: How many of these are padding, at the end.
        is_escape: Whether it is marked as a "security escape", of which the specification
            says no more.
    """

    size: int
    length: int
    padding: int = 0
    is_escape: bool = False


def _check_clear(start: bytes) -> None:
    """Raise when a record in the clear begins like none, so that nothing is waited for.

    Args:
        start: Its first bytes, 3 at the most.

    Raises:
        SSL2Error: It is padded, which no record in the clear is, or no message.
    """
    if not start:
        return
    if start[0] & 0x80:
        if start[2:] > bytes((max(MessageType),)):
            raise SSL2Error("read wrong packet type")
        return
    begin = zip(start[:2], (_TLS_RECORDS, _TLS_MAJOR), strict=False)
    if not all(byte in expected for byte, expected in begin):
        raise SSL2Error("wrong version number")
    if len(start) > 2:
        raise NewerProtocolError(start[2])
