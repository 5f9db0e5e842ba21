"""The records of SSL 2.0: headers, MAC, padding, and what is done with bad ones."""

from __future__ import annotations

import hashlib
import itertools

from cryptography.hazmat.primitives.ciphers import CipherContext
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.tls.legacy.ssl2_ends import ALL, cut, operations, records
from txtransport.tls.legacy.ssl2_messages import SSL2Error
from txtransport.tls.legacy.ssl2_record import MAX_DATA, RecordReader, RecordWriter
from txtransport.tls.legacy.ssl2_suites import SUITES, DirectionKey

BLOCKS, STREAM = "DES-CBC3-MD5", "RC4-MD5"


def key(name: str) -> DirectionKey:
    """A key of a suite."""
    suite = SUITES[name]
    return DirectionKey(suite, bytes(range(suite.key_size)), bytes(suite.argument_size))


def pair(name: str) -> tuple[RecordWriter, RecordReader]:
    """Two ends of an encrypted direction."""
    writer, reader = RecordWriter(), RecordReader()
    writer.switch(key(name))
    reader.switch(key(name))
    return writer, reader


class Forger:
    """Whoever has the key and makes records that no honest peer would make.

    Args:
        name: The cipher suite.
    """

    def __init__(self, name: str) -> None:
        self._key = key(name)
        self._cipher: CipherContext = self._key.suite.cipher(self._key).encryptor()
        self._number = 0

    def record(self, data: bytes, padding: int, *, spoil: bool = False) -> bytes:
        """A record with any padding; with another MAC than it should have, if asked."""
        number = self._number.to_bytes(4, "big")
        mac = hashlib.md5(self._key.key + data + bytes(padding) + number).digest()
        body = (bytes(16) if spoil else mac) + data + bytes(padding)
        self._number += 1
        size = len(body)
        header = bytes((size >> 8, size & 0xFF, padding)) if padding else _short(size)
        return header + self._cipher.update(body)


def _short(size: int) -> bytes:
    return bytes((0x80 | size >> 8, size & 0xFF))


def opened(reader: RecordReader, data: bytes) -> list[bytes]:
    """The contents of the records."""
    return list(reader.records(data))


def refusal(reader: RecordReader, data: bytes) -> str:
    """Why bytes are refused; empty if they are not."""
    try:
        list(reader.records(data))
    except SSL2Error as error:
        return error.reason
    return ""


class ClearTests(SynchronousTestCase):
    """Records before the keys are there."""

    def test_a_record_in_the_clear_is_its_message_behind_two_bytes(self) -> None:
        """The first bit says that there is no padding, the other 15 how long it is."""
        self.assertEqual(RecordWriter().seal(b"\x01" * 300), b"\x81\x2c" + b"\x01" * 300)
        self.assertEqual(opened(RecordReader(), b"\x80\x03\x01\x02\x03"), [b"\x01\x02\x03"])

    def test_a_message_has_room_in_one_record_or_none(self) -> None:
        """Messages are not split, so a certificate of 32 KiB cannot be shown."""
        self.assertEqual(len(RecordWriter().seal(bytes(32767))), 32769)
        self.assertRaises(SSL2Error, RecordWriter().seal, bytes(32768))

    def test_other_protocols_are_told_at_once(self) -> None:
        """Nobody waits for 21 KiB because plain text begins like a record of that size."""
        newer, other = "peer speaks ssl 3.0 or tls", "wrong version number"
        for data, reason in (
            (b"\x16\x03\x01\x02\x00\x01", newer),
            (b"\x15\x03\x00", newer),
            (b"\x15\x03", ""),
            (b"\x16", ""),
            (b"\x16\x04", other),
            (b"G", other),
            (b"220 mail.example.com ESMTP\r\n", other),
            (b"\x00", other),
            (b"\x80\x2e", ""),
            (b"\x80\x2e\x09", "read wrong packet type"),
            (b"\xff\xfd\x18", "read wrong packet type"),
        ):
            self.assertEqual(refusal(RecordReader(), data), reason, data)


class EncryptedTests(SynchronousTestCase):
    """Records with keys."""

    def test_the_mac_is_that_of_the_specification(self) -> None:
        """MD5 of key, data, padding and number, and the number counts clear records, too."""
        for name, padding in ((STREAM, 0), (BLOCKS, 3)):
            writer = RecordWriter()
            writer.seal(b"\x01 in the clear")
            writer.switch(key(name))
            record = writer.seal(b"hello")
            header = 3 if padding else 2
            body = SUITES[name].cipher(key(name)).decryptor().update(record[header:])
            data = b"hello" + bytes(padding)
            mac = hashlib.md5(key(name).key + data + b"\x00\x00\x00\x01").digest()
            self.assertEqual(body, mac + data)
            self.assertEqual(record[2:header], bytes((padding,)) if padding else b"")

    @settings(max_examples=60, deadline=None)
    @given(
        st.sampled_from(ALL),
        st.lists(st.binary(max_size=300), max_size=6),
        st.lists(st.integers(1, 400), min_size=1, max_size=5),
    )
    def test_records_arrive_whole_however_they_are_cut(
        self, name: str, messages: list[bytes], sizes: list[int]
    ) -> None:
        """What was sent arrives, record by record."""
        writer, reader = pair(name)
        data = b"".join(map(writer.seal, messages))
        got = [one for piece in cut(data, itertools.cycle(sizes)) for one in opened(reader, piece)]
        self.assertEqual(got, messages)

    def test_the_largest_record_fits_both_headers(self) -> None:
        """A record has at the most 16383 bytes, so that a peer with small buffers can read it."""
        for name in ALL:
            writer, reader = pair(name)
            record = writer.seal(bytes(MAX_DATA))
            self.assertLessEqual(len(record), 16383)
            self.assertEqual(opened(reader, record), [bytes(MAX_DATA)])
            self.assertRaises(SSL2Error, writer.seal, bytes(MAX_DATA + 1))

    def test_the_number_begins_anew_after_32_bits(self) -> None:
        """The specification says so; the cipher's state still differs."""
        writer, reader = pair(STREAM)
        for end in (writer, reader):
            end._mac._number = 0xFFFFFFFF
        data = writer.seal(b"last") + writer.seal(b"first")
        self.assertEqual(opened(reader, data), [b"last", b"first"])

    def test_every_changed_byte_is_noticed(self) -> None:
        """No byte of a record can be changed, but a 3DES record's padding length."""
        for name in ALL:
            record = pair(name)[0].seal(b"hello")
            for at in range(len(record)):
                reader = pair(name)[1]
                for bit in (1, 128):
                    changed = record[:at] + bytes((record[at] ^ bit,)) + record[at + 1 :]
                    if name == BLOCKS and (at, bit) == (2, 1):
                        continue
                    try:
                        got = opened(reader, changed)
                    except SSL2Error:
                        got = []
                    self.assertEqual(got, [], (name, at, bit))

    def test_records_are_not_left_out_repeated_or_exchanged(self) -> None:
        """The number, which is not sent, is in the MAC."""
        for name in ALL:
            for order in ([1], [0, 0], [1, 0]):
                writer, reader = pair(name)
                made = [writer.seal(b"\x05 first"), writer.seal(b"\x05 second")]
                data = b"".join(made[one] for one in order)
                self.assertEqual(refusal(reader, data), "bad mac decode")

    def test_nothing_is_kept_but_one_record(self) -> None:
        """A peer that never ends a record costs 32 KiB."""
        for reader in (RecordReader(), pair(STREAM)[1]):
            self.assertEqual(opened(reader, b"\xff\xff\x01" + bytes(32000)), [])
            self.assertLess(len(reader._buffer), 32770)


class PaddingTests(SynchronousTestCase):
    """The padding's length is not in the MAC, so it is held to what honest peers send."""

    def test_a_stream_cipher_has_no_padding(self) -> None:
        """Otherwise someone between could cut bytes off the end of any record of RC4."""
        for padding in (1, 7, 255):
            record = Forger(STREAM).record(b"transfer 100 to me", padding)
            self.assertEqual(refusal(pair(STREAM)[1], record), "bad mac decode")

    def test_an_attacker_cannot_shorten_a_record_of_rc4(self) -> None:
        """A header of two bytes is made one of three, with some of the data as padding."""
        writer, reader = pair(STREAM)
        record = writer.seal(b"do not delete")
        size = len(record) - 2
        longer = bytes((size >> 8, size & 0xFF, 10)) + record[2:]
        self.assertEqual(refusal(reader, longer), "bad mac decode")

    def test_a_padding_is_less_than_a_block(self) -> None:
        """An attacker may cut 7 bytes off a record of 3DES, or add its padding, and no more."""
        for padding in (8, 16, 24, 255):
            data = bytes(-padding % 8) + b"12345678" * 40
            self.assertEqual(
                refusal(pair(BLOCKS)[1], Forger(BLOCKS).record(data, padding)), "bad mac decode"
            )
        self.assertEqual(opened(pair(BLOCKS)[1], Forger(BLOCKS).record(b"1", 7)), [b"1"])

    def test_a_padding_is_no_longer_than_the_record(self) -> None:
        """A record without data has no padding to take away."""
        for name in ALL:
            record = Forger(name).record(b"", 0)
            longer = bytes((0, 16, 7)) + record[2:]
            self.assertEqual(refusal(pair(name)[1], longer), "bad mac decode")

    def test_a_security_escape_is_refused(self) -> None:
        """The specification marks such records and does not say what they are."""
        record = Forger(BLOCKS).record(b"hello", 3)
        escape = bytes((record[0] | 0x40,)) + record[1:]
        self.assertEqual(opened(pair(BLOCKS)[1], record), [b"hello"])
        self.assertEqual(refusal(pair(BLOCKS)[1], escape), "bad mac decode")

    def test_every_bad_record_costs_the_same_and_says_the_same(self) -> None:
        """One error after the same operations: how a record is bad cannot be told by time."""
        for name in ALL:
            size = 40
            good = Forger(name).record(bytes(24), 0)
            body = good[2:]
            bad = {
                "MAC": Forger(name).record(bytes(24), 0, spoil=True),
                "padding": bytes((0, size, 8)) + body,
                "padding longer than the record": bytes((0, size, 255)) + body,
                "escape": bytes((0x40, size, 0)) + body,
                "data": _short(size) + body[:-1] + bytes((body[-1] ^ 1,)),
                "length": _short(size - 1) + body[:-1],
                "shorter than a MAC": _short(9) + body[:9],
                "empty": _short(0),
            }
            done = {}
            for what, record in bad.items():
                reader = pair(name)[1]
                done[what] = operations(lambda r=reader, d=record: refusal(r, d + b"\x80"))  # type: ignore[misc]
                self.assertEqual(refusal(pair(name)[1], record + b"\x80"), "bad mac decode", what)
            for what, calls in done.items():
                self.assertEqual(calls, done["MAC"], f"{name}: {what}")
            self.assertEqual(done["MAC"].count("update"), 3, "one of the cipher, two of the MAC")

    def test_what_the_peer_says_in_the_clear_is_told(self) -> None:
        """A server that cannot make the keys says why in the clear: a record of 3 bytes."""
        self.assertEqual(refusal(pair(STREAM)[1], b"\x80\x03\x00\x00\x01"), "peer error no cipher")
        self.assertEqual(records(b"\x80\x03\x00\x00\x01"), [b"\x80\x03\x00\x00\x01"])
