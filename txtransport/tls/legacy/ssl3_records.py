"""The records of SSL 3.0: how they are cut, encrypted and authenticated (RFC 6101, section 5.2).

A record is a type, a version, a length and up to 2^14 bytes. When keys are agreed on, a MAC
follows the data, and both are encrypted together, in this order. tlslite-ng could do this,
but in pure Python: 0.5 MiB/s with AES, 0.014 MiB/s with 3DES. So the ciphers here are those
of `cryptography`, and the hashes those of `hashlib`.

**What is broken, and what is done about it.** With a block cipher the data is filled up to
whole blocks, and the filling is not authenticated.

- *POODLE* (CVE-2014-3566) stays. SSL 3.0 says of the filling only how long it is, and not
  what it is, so nobody can check it: someone between the two can put another block in its
  place, and in one of 256 tries the record is still good, which tells a byte of the data.
  Only a stream cipher is safe from it, and the only one is RC4.
- *Padding oracles* (Vaudenay, 2002; CVE-2003-0078) tell by the alert or by the time whether
  the filling or the MAC was wrong. Here every bad record has the same alert and costs the
  same hashing, by the block: a filling of an impossible length counts as none, its MAC is
  computed all the same, and what a shorter text saves is hashed for nothing (Lucky
  Thirteen, CVE-2013-0169).
- *BEAST* (CVE-2011-3389): the last block of a record is the initialization vector of the
  next one, so that it is known before the data is chosen. The first byte of what is sent
  goes in a record of its own, whose MAC makes the rest unpredictable ("1/n-1 splitting").
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from enum import IntEnum
from typing import Final, Protocol

from attrs import field, frozen
from cryptography.hazmat.decrepit.ciphers.algorithms import ARC4, TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES

from txtransport.tls.legacy.ssl3_fault import Alert, SSL3Fault, bad_record
from txtransport.tls.legacy.ssl3_suites import BulkCipher, Suite

__all__ = [
    "MAX_CIPHERTEXT",
    "MAX_PLAINTEXT",
    "RECORD_HEADER",
    "ContentType",
    "DirectionKeys",
    "Hash",
    "HashFactory",
    "RecordReader",
    "RecordWriter",
]

RECORD_HEADER: Final = 5
"""The bytes of a record's header: type, version and length."""

MAX_PLAINTEXT: Final = 2**14
"""The most data in one record, in bytes."""

MAX_CIPHERTEXT: Final = 2**14 + 2048
"""The most bytes of an encrypted record (RFC 6101, section 5.2.3)."""

_VERSION: Final = b"\x03\x00"

_SSL2_HEADER: Final = 2
_CLIENT_HELLO: Final = 1


class ContentType(IntEnum):
    """What is in a record."""

    CHANGE_CIPHER_SPEC = 20
    ALERT = 21
    HANDSHAKE = 22
    APPLICATION_DATA = 23


class Hash(Protocol):
    """A running hash, as those of `hashlib`."""

    def update(self, data: bytes, /) -> None:
        """Add data."""

    def copy(self) -> Hash:
        """An independent hash in the same state."""

    def digest(self) -> bytes:
        """The hash of what was added."""


class HashFactory(Protocol):
    """Makes hashes; `hashlib.new` does, and a double that counts what is hashed."""

    def __call__(self, name: str, data: bytes, *, usedforsecurity: bool) -> Hash:
        """A hash by its name, with its first data."""


@frozen
class DirectionKeys:
    """The keys of one direction.

    Attributes:
        mac: The secret of the MAC.
        key: The cipher's key.
        iv: The cipher's first initialization vector; empty for a stream cipher.
    """

    mac: bytes = field(repr=False)
    key: bytes = field(repr=False)
    iv: bytes = field(repr=False)


_PADS: Final = {"md5": 48, "sha1": 40}
"""How many bytes of each pad a hash's MAC has (RFC 6101, section 5.2.3.1)."""

_BLOCK: Final = 64
"""The bytes that MD5 and SHA-1 process at a time."""

_HASH_END: Final = 9
"""The bytes that a hash adds to its data: a bit, and the length."""

_MAC_HEADER: Final = 11
"""The bytes before the data: the sequence number, the type and the length."""


class _MAC:
    """Authenticates the records of one direction (RFC 6101, section 5.2.3.1).

    It is ``hash(secret + pad2 + hash(secret + pad1 + number + type + length + data))``,
    an ancestor of HMAC. The hashes of secret and pad are kept, and copied for each record.
    """

    def __init__(self, name: str, secret: bytes, new_hash: HashFactory) -> None:
        pad = _PADS[name]
        self._inner = new_hash(name, secret + b"\x36" * pad, usedforsecurity=False)
        self._outer = new_hash(name, secret + b"\x5c" * pad, usedforsecurity=False)
        self._before_data = len(secret) + pad + _MAC_HEADER
        self._number = 0
        self.size: int = len(secret)

    def next(self, kind: int, data: bytes, most: int) -> bytes:
        """The MAC of the next record.

        Args:
            kind: The record's type.
            data: Its data.
            most: The bytes of data for whose hashing it shall cost as much.
        """
        header = self._number.to_bytes(8, "big") + bytes((kind,)) + len(data).to_bytes(2, "big")
        self._number += 1
        inner, outer, wasted = self._inner.copy(), self._outer.copy(), self._inner.copy()
        inner.update(header + data)
        outer.update(inner.digest())
        wasted.update(bytes(_BLOCK * (self._blocks(most) - self._blocks(len(data)))))
        return outer.digest()

    def _blocks(self, size: int) -> int:
        return (self._before_data + size + _HASH_END + _BLOCK - 1) // _BLOCK


def _cipher(suite: Suite, keys: DirectionKeys) -> Cipher[modes.CBC] | Cipher[None]:
    if suite.cipher is BulkCipher.RC4:
        return Cipher(ARC4(keys.key), None)
    algorithm = TripleDES if suite.cipher is BulkCipher.TRIPLE_DES else AES
    return Cipher(algorithm(keys.key), modes.CBC(keys.iv))


class _Sealer:
    """Authenticates and encrypts the records of one direction.

    The cipher's state goes on from record to record: RC4's stream as well as CBC's last
    block.
    """

    def __init__(self, suite: Suite, keys: DirectionKeys, new_hash: HashFactory) -> None:
        self.block_size: int = suite.cipher.block_size
        self._mac = _MAC(suite.digest, keys.mac, new_hash)
        self._cipher: CipherContext = _cipher(suite, keys).encryptor()

    def seal(self, kind: int, data: bytes) -> bytes:
        """The bytes that stand for a record's data.

        Args:
            kind: The record's type.
            data: The data.
        """
        sealed = data + self._mac.next(kind, data, len(data))
        block = self.block_size
        if block:
            filling = block - 1 - len(sealed) % block
            sealed += bytes((filling,)) * (filling + 1)
        return self._cipher.update(sealed)


class _Opener:
    """Decrypts and checks the records of one direction."""

    def __init__(self, suite: Suite, keys: DirectionKeys, new_hash: HashFactory) -> None:
        self._block = suite.cipher.block_size
        self._mac = _MAC(suite.digest, keys.mac, new_hash)
        self._cipher: CipherContext = _cipher(suite, keys).decryptor()

    def open(self, kind: int, sealed: bytes) -> bytes:
        """The data of a record.

        Args:
            kind: The record's type.
            sealed: What came behind its header.

        Raises:
            SSL3Fault: The record is not as the peer has made it. One alert stands for
                everything that can be wrong, and each costs the same.
        """
        is_block = bool(self._block)
        most = len(sealed) - self._mac.size - is_block
        # Everybody can see how long a record is.
        if most < 0 or (is_block and len(sealed) % self._block):
            raise bad_record()
        opened = self._cipher.update(sealed)
        filling = opened[-1] if is_block else 0
        is_filled = not is_block or (filling < self._block and filling <= most)
        size = most - filling if is_filled else most
        expected = self._mac.next(kind, opened[:size], most)
        is_authentic = hmac.compare_digest(opened[size : size + self._mac.size], expected)
        if not (is_authentic and is_filled):
            raise bad_record()
        return opened[:size]


class RecordWriter:
    """Makes records, and keeps them until they are taken.

    Args:
        new_hash: Makes the MACs' hashes.
    """

    def __init__(self, new_hash: HashFactory = hashlib.new) -> None:
        self._new_hash = new_hash
        self._sealer: _Sealer | None = None
        self._records: list[bytes] = []

    def encrypt(self, suite: Suite, keys: DirectionKeys) -> None:
        """Encrypt from the next record on.

        Args:
            suite: How.
            keys: With what.
        """
        self._sealer = _Sealer(suite, keys, self._new_hash)

    def write(self, kind: ContentType, data: bytes) -> None:
        """Make records of data.

        Args:
            kind: What the data is.
            data: The data, of any length.
        """
        self._records += [self._record(kind, part) for part in self._split(kind, data)]

    def take(self) -> bytes:
        """All records that were not taken yet."""
        records = b"".join(self._records)
        self._records.clear()
        return records

    def _split(self, kind: ContentType, data: bytes) -> Iterator[bytes]:
        begin = 0
        is_block = self._sealer is not None and self._sealer.block_size
        if is_block and kind is ContentType.APPLICATION_DATA:
            begin = 1
            yield data[:1]
        for at in range(begin, len(data), MAX_PLAINTEXT):
            yield data[at : at + MAX_PLAINTEXT]

    def _record(self, kind: ContentType, data: bytes) -> bytes:
        if self._sealer is not None:
            data = self._sealer.seal(kind, data)
        return bytes((kind,)) + _VERSION + len(data).to_bytes(2, "big") + data


class RecordReader:
    """Takes the peer's bytes, cut anywhere, and returns records.

    Args:
        new_hash: Makes the MACs' hashes.

    Attributes:
        is_version_fixed: Whether the version is agreed on. Before that a record may have
            any version that begins with 3, since clients do not know which to take.
    """

    def __init__(self, new_hash: HashFactory = hashlib.new) -> None:
        self.is_version_fixed: bool = False
        self._new_hash = new_hash
        self._opener: _Opener | None = None
        self._buffer = bytearray()

    def decrypt(self, suite: Suite, keys: DirectionKeys) -> None:
        """Decrypt from the next record on.

        Args:
            suite: How.
            keys: With what.
        """
        self._opener = _Opener(suite, keys, self._new_hash)

    def feed(self, data: bytes) -> None:
        """Take bytes of the peer.

        Args:
            data: The bytes.
        """
        self._buffer += data

    def take_rest(self) -> bytes:
        """All bytes that were not read yet."""
        return self._take(len(self._buffer))

    @property
    def is_ssl2_hello(self) -> bool:
        """Whether what comes in is a ClientHello in the form of SSL 2.0 (RFC 6101, E.1).

        It has a header of two bytes, of which the first has its highest bit set.
        """
        first = self._buffer[: _SSL2_HEADER + 1]
        return len(first) > _SSL2_HEADER and first[0] >= 0x80 and first[2] == _CLIENT_HELLO

    def read_ssl2_hello(self) -> bytes | None:
        """The ClientHello in the form of SSL 2.0, or None if it has not come in whole.

        Returns:
            The message, without its header.
        """
        size = _SSL2_HEADER + int.from_bytes(self._buffer[:_SSL2_HEADER], "big") - 0x8000
        if len(self._buffer) < size:
            return None
        return self._take(size)[_SSL2_HEADER:]

    def read(self) -> tuple[ContentType, bytes] | None:
        """The next record's type and data, or None if it has not come in whole.

        Raises:
            SSL3Fault: It is no record of SSL 3.0, is too long, or was changed.
        """
        if len(self._buffer) < RECORD_HEADER:
            return None
        kind, size = self._header()
        if len(self._buffer) < RECORD_HEADER + size:
            return None
        sealed = self._take(RECORD_HEADER + size)[RECORD_HEADER:]
        data = sealed if self._opener is None else self._opener.open(kind, sealed)
        if len(data) > MAX_PLAINTEXT:
            raise SSL3Fault("data length too long", Alert.ILLEGAL_PARAMETER)
        return kind, data

    def _take(self, size: int) -> bytes:
        taken = bytes(memoryview(self._buffer)[:size])
        del self._buffer[:size]
        return taken

    def _header(self) -> tuple[ContentType, int]:
        """The type and the length of the next record, whose header has come in."""
        kind, major, minor = self._buffer[:3]
        size = int.from_bytes(self._buffer[3:RECORD_HEADER], "big")
        if not 20 <= kind <= 23 or major != 3:
            # It is not SSL at all, and no alert would be understood.
            raise SSL3Fault("wrong version number", None)
        # A peer that refuses our version says so in an alert of its own.
        is_last_word = kind == ContentType.ALERT and self._opener is None
        if minor and self.is_version_fixed and not is_last_word:
            raise SSL3Fault("wrong version number", Alert.ILLEGAL_PARAMETER)
        if size > (MAX_PLAINTEXT if self._opener is None else MAX_CIPHERTEXT):
            raise SSL3Fault("encrypted length too long", Alert.ILLEGAL_PARAMETER)
        return ContentType(kind), size
