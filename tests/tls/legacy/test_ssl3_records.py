"""The records of SSL 3.0: their form, their ciphers, and what a changed one tells."""

from __future__ import annotations

import hashlib
from typing import Final

from cryptography.hazmat.decrepit.ciphers.algorithms import ARC4, TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txtransport.tls.legacy.ssl3_fault import Alert, SSL3Fault
from txtransport.tls.legacy.ssl3_records import (
    MAX_CIPHERTEXT,
    MAX_PLAINTEXT,
    ContentType,
    DirectionKeys,
    Hash,
    RecordReader,
    RecordWriter,
)
from txtransport.tls.legacy.ssl3_suites import SUITES, Suite

DATA: Final = ContentType.APPLICATION_DATA
MAC_SIZES: Final = {"md5": 16, "sha1": 20}


def keys(suite: Suite) -> DirectionKeys:
    """Some keys for a suite."""
    cipher = suite.cipher
    return DirectionKeys(
        bytes(range(MAC_SIZES[suite.digest])),
        bytes(range(100, 100 + cipher.key_size)),
        bytes(range(200, 200 + cipher.block_size)),
    )


def mac(suite: Suite, number: int, kind: int, data: bytes) -> bytes:
    """The MAC, as RFC 6101, section 5.2.3.1, writes it."""
    secret, pad = keys(suite).mac, {"md5": 48, "sha1": 40}[suite.digest]
    inner = hashlib.new(suite.digest, secret + b"\x36" * pad)
    inner.update(number.to_bytes(8, "big") + bytes((kind,)) + len(data).to_bytes(2, "big") + data)
    return hashlib.new(suite.digest, secret + b"\x5c" * pad + inner.digest()).digest()


def encrypted(suite: Suite, opened: bytes) -> bytes:
    """A record that decrypts to the given bytes, made without the code under test."""
    algorithm = TripleDES if suite.cipher.name == "TRIPLE_DES" else AES
    cipher = Cipher(algorithm(keys(suite).key), modes.CBC(keys(suite).iv))
    sealed = cipher.encryptor().update(opened)
    return header(sealed) + sealed


def header(data: bytes, kind: int = DATA) -> bytes:
    """A record's header."""
    return bytes((kind, 3, 0)) + len(data).to_bytes(2, "big")


def reader(suite: Suite | None, counter: Counter | None = None) -> RecordReader:
    """A reader that decrypts, unless there is no suite."""
    made = RecordReader(counter.new) if counter is not None else RecordReader()
    if suite is not None:
        made.decrypt(suite, keys(suite))
    return made


def read(made: RecordReader, data: bytes) -> list[tuple[ContentType, bytes]]:
    """All records of the data."""
    made.feed(data)
    return list(iter(made.read, None))


class Counter:
    """Counts what all its hashes do.

    Attributes:
        calls: The calls of their methods.
        blocks: The blocks of 64 bytes that they process, which is what takes time.
    """

    def __init__(self) -> None:
        self.calls = 0
        self.blocks = 0

    def new(self, name: str, data: bytes, *, usedforsecurity: bool) -> Hash:
        """A hash that is counted, as `hashlib.new`."""
        return CountedHash(self, hashlib.new(name, usedforsecurity=usedforsecurity), 0, data)


class CountedHash:
    """A hash whose work is counted."""

    def __init__(self, counter: Counter, below: Hash, pending: int, data: bytes = b"") -> None:
        self._counter, self._below, self._pending = counter, below, pending
        self.update(data)

    def update(self, data: bytes, /) -> None:
        """Process whole blocks, and keep the rest."""
        blocks, self._pending = divmod(self._pending + len(data), 64)
        self._counter.blocks += blocks
        self._counter.calls += 1
        self._below.update(data)

    def copy(self) -> CountedHash:
        """An independent hash in the same state."""
        return CountedHash(self._counter, self._below.copy(), self._pending)

    def digest(self) -> bytes:
        """Process what was kept, with a bit and the length in 8 bytes behind it."""
        self._counter.blocks += (self._pending + 9 + 63) // 64
        self._counter.calls += 1
        return self._below.digest()


BLOCK_SUITES: Final = [suite for suite in SUITES.values() if suite.cipher.block_size]


class FormTests(SynchronousTestCase):
    """What is on the wire."""

    @given(st.sampled_from(list(SUITES.values())), st.lists(st.binary(min_size=1), max_size=6))
    def test_what_one_side_writes_the_other_one_reads(
        self, suite: Suite, messages: list[bytes]
    ) -> None:
        """With every suite, data arrives unchanged and in order."""
        writer = RecordWriter()
        writer.encrypt(suite, keys(suite))
        for message in messages:
            writer.write(DATA, message)
        found = read(reader(suite), writer.take())
        self.assertEqual(b"".join(data for _, data in found), b"".join(messages))
        self.assertEqual(writer.take(), b"")

    def test_a_record_is_as_the_rfc_has_it(self) -> None:
        """Type, version, length; the data and its MAC, filled up to whole blocks."""
        for suite in BLOCK_SUITES:
            block = suite.cipher.block_size
            opened = b"x" + mac(suite, 0, 23, b"x")
            opened += bytes((block - 1 - len(opened) % block,)) * (block - len(opened) % block)
            writer = RecordWriter()
            writer.encrypt(suite, keys(suite))
            writer.write(DATA, b"x")
            self.assertEqual(writer.take(), encrypted(suite, opened))

    def test_a_block_cipher_s_data_begins_with_a_record_of_one_byte(self) -> None:
        """BEAST cannot choose the data that an initialization vector known to it meets."""
        for suite in SUITES.values():
            writer = RecordWriter()
            writer.encrypt(suite, keys(suite))
            writer.write(DATA, b"secret")
            found = [data for _, data in read(reader(suite), writer.take())]
            is_block = suite in BLOCK_SUITES
            self.assertEqual(found, [b"s", b"ecret"] if is_block else [b"secret"], suite.name)

    def test_long_data_becomes_several_records(self) -> None:
        """No record has more than 16 KiB."""
        suite = SUITES["RC4-SHA"]
        writer = RecordWriter()
        writer.encrypt(suite, keys(suite))
        writer.write(DATA, bytes(40000))
        sizes = [len(data) for _, data in read(reader(suite), writer.take())]
        self.assertEqual(sizes, [MAX_PLAINTEXT, MAX_PLAINTEXT, 40000 - 2 * MAX_PLAINTEXT])

    def test_any_filling_of_the_right_length_is_accepted(self) -> None:
        """SSL 3.0 does not say what is in the filling, so peers put anything there."""
        for suite in BLOCK_SUITES:
            block = suite.cipher.block_size
            opened = b"data" + mac(suite, 0, 23, b"data")
            filling = block - 1 - len(opened) % block
            data = encrypted(suite, opened + b"\xaa" * filling + bytes((filling,)))
            self.assertEqual(read(reader(suite), data), [(DATA, b"data")])


class BadRecordTests(SynchronousTestCase):
    """A record that was changed, of which nothing may be learnt."""

    def refused(self, suite: Suite, data: bytes) -> tuple[str, Alert | None, int, int]:
        """The reason, the alert and the work for one record."""
        counter = Counter()
        made = reader(suite, counter)
        before = counter.calls, counter.blocks
        fault = self.assertRaises(SSL3Fault, read, made, data)
        return (
            fault.reason,
            fault.alert,
            counter.calls - before[0],
            counter.blocks - before[1],
        )

    def test_every_bad_record_costs_the_same(self) -> None:
        """One alert and one count of operations, whether filling or MAC is wrong (Lucky 13)."""
        for suite in BLOCK_SUITES:
            for size in range(48, 48 + 64 + 16, 16):
                outcomes = set()
                for filling in range(256):
                    opened = bytes(size - 1) + bytes((filling,))
                    outcomes.add(self.refused(suite, encrypted(suite, opened)))
                self.assertEqual(len(outcomes), 1, (suite.name, size, outcomes))
                self.assertEqual(next(iter(outcomes))[1], Alert.BAD_RECORD_MAC)

    def test_a_good_mac_and_a_bad_filling_cost_the_same(self) -> None:
        """A filling of an impossible length behind a right MAC is not told from a wrong MAC."""
        for suite in BLOCK_SUITES:
            block = suite.cipher.block_size
            text = bytes(4 * block - 1 - MAC_SIZES[suite.digest])
            opened = text + mac(suite, 0, 23, text)
            outcomes = {
                self.refused(suite, encrypted(suite, opened + bytes((last,))))
                for last in range(block, 256)
            }
            outcomes.add(self.refused(suite, encrypted(suite, bytes(4 * block))))
            self.assertEqual(len(outcomes), 1, outcomes)

    def test_every_changed_bit_is_noticed(self) -> None:
        """With every suite, a change anywhere but in the filling is a bad record."""
        for suite in SUITES.values():
            writer = RecordWriter()
            writer.encrypt(suite, keys(suite))
            # A length that leaves no room for more filling than its length byte.
            block = suite.cipher.block_size or 1
            size = 3 * 48 - MAC_SIZES[suite.digest] - (block > 1)
            writer.write(ContentType.HANDSHAKE, bytes(size))
            good = writer.take()
            for at in range(5, len(good)):
                data = bytearray(good)
                data[at] ^= 0x10
                self.assertRaises(SSL3Fault, read, reader(suite), bytes(data))

    def test_the_order_and_the_kind_are_authenticated(self) -> None:
        """A record that is sent again, left out or given another type is a bad record."""
        suite = SUITES["RC4-SHA"]
        writer = RecordWriter()
        writer.encrypt(suite, keys(suite))
        writer.write(DATA, b"one")
        first = writer.take()
        writer.write(DATA, b"two")
        second = writer.take()
        for data in (first + first, second, bytes((22,)) + first[1:]):
            self.assertRaises(SSL3Fault, read, reader(suite), data)

    def test_a_record_that_is_no_multiple_of_the_block_is_bad(self) -> None:
        """So is one in which there is no space for a MAC; the cipher never sees either."""
        for suite in SUITES.values():
            least = MAC_SIZES[suite.digest] + (suite.cipher.block_size > 0)
            for size in range(100):
                block = suite.cipher.block_size or 1
                fault = self.assertRaises(
                    SSL3Fault, read, reader(suite), header(bytes(size)) + bytes(size)
                )
                self.assertEqual(fault.alert, Alert.BAD_RECORD_MAC)
                if size < least or size % block:
                    self.assertEqual(
                        self.refused(suite, header(bytes(size)) + bytes(size))[2:], (0, 0)
                    )


class LengthTests(SynchronousTestCase):
    """Lengths that a peer only claims."""

    def test_a_record_that_is_too_long_is_refused_at_its_header(self) -> None:
        """Nobody can make us wait for, and keep, more than one record."""
        for suite, most in ((None, MAX_PLAINTEXT), (SUITES["RC4-SHA"], MAX_CIPHERTEXT)):
            size = most + 1
            head = bytes((23, 3, 0)) + size.to_bytes(2, "big")
            self.assertEqual(read(reader(suite), head[:4]), [])
            self.assertRaises(SSL3Fault, read, reader(suite), head)
            self.assertEqual(read(reader(suite), bytes((23, 3, 0)) + most.to_bytes(2, "big")), [])

    def test_a_record_that_decrypts_to_too_much_is_refused(self) -> None:
        """An encrypted record may be 2 KiB longer, but its data not."""
        suite = SUITES["RC4-SHA"]
        text = bytes(MAX_PLAINTEXT + 1)
        cipher = Cipher(ARC4(keys(suite).key), None).encryptor()
        data = cipher.update(text + mac(suite, 0, 23, text))
        fault = self.assertRaises(SSL3Fault, read, reader(suite), header(data) + data)
        self.assertEqual(fault.reason, "data length too long")

    def test_what_is_no_record_is_told_from_one(self) -> None:
        """Plain text and other versions end with OpenSSL's words for it, and without an alert."""
        for data in (
            b"HTTP/1.1 400",
            b"220 ready\r\n",
            b"\x16\x02\x00\x00\x01",
            b"\x18\x03\x00\x00\x01",
        ):
            fault = self.assertRaises(SSL3Fault, read, reader(None), data)
            self.assertEqual((fault.reason, fault.alert), ("wrong version number", None))

    def test_only_the_agreed_version_is_accepted(self) -> None:
        """Once the version is agreed on, no record of TLS is; but for an alert in the clear."""
        made = reader(None)
        self.assertEqual(len(read(made, b"\x16\x03\x01\x00\x01x")), 1)
        made.is_version_fixed = True
        self.assertEqual(len(read(made, b"\x15\x03\x01\x00\x02\x02\x46")), 1)
        self.assertRaises(SSL3Fault, read, made, b"\x16\x03\x01\x00\x01x")
