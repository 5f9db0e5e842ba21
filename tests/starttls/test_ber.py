"""BER as LDAP needs it: every length has to fit, in its short or long form."""

from __future__ import annotations

from typing import Final

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.starttls.in_memory import byte_by_byte
from txtransport.errors import PeerMisbehaved
from txtransport.starttls.ber import Element, element, elements, encoded, number
from txtransport.starttls.negotiation import Negotiation
from txtransport.starttls.wire import TOTAL, Dialogue, Wire

MESSAGE: Final = 0x30


def _contents(wire: Wire) -> Dialogue[bytes]:
    return (yield from element(wire, MESSAGE)).contents


def message(*segments: bytes) -> bytes | None:
    """The contents of the message in these segments; None if it is not complete."""
    reading = Negotiation(_contents)
    for segment in segments:
        reading.receive_data(segment)
    return reading.outcome if reading.is_complete else None


class ElementTests(SynchronousTestCase):
    """An element that arrives on the wire."""

    def test_lengths_may_be_short_or_long(self) -> None:
        """A length may be short, or long in up to four bytes, as Active Directory sends it."""
        for length in ("03", "8103", "820003", "83000003", "8400000003"):
            self.assertEqual(message(bytes.fromhex("30" + length) + b"abc"), b"abc", length)

    def test_segments_do_not_matter(self) -> None:
        """An element is the same in whatever segments it arrives."""
        whole = bytes.fromhex("308400000003") + b"abc"
        self.assertEqual(message(*byte_by_byte(whole)), b"abc")
        for count in range(len(whole)):
            self.assertIsNone(message(*byte_by_byte(whole[:count])), count)

    def test_lengths_out_of_bounds_are_refused(self) -> None:
        """An indefinite length, a length of five bytes and a length above the limit are refused."""
        for length in ("80", "85", "ff", "840001 0001", "84ffffffff", "83010001"):
            self.assertRaises(PeerMisbehaved, message, bytes.fromhex("30" + length))

    def test_the_longest_message_is_read(self) -> None:
        """A length at the limit is waited for, and one byte more is refused at once."""
        self.assertIsNone(message(b"\x30\x82\xff\xf0"))
        size = (TOTAL + 1).to_bytes(4, "big")
        self.assertRaises(PeerMisbehaved, message, b"\x30\x84" + size)

    def test_another_tag_is_refused_at_once(self) -> None:
        """A peer that speaks another protocol is refused at its first byte."""
        error = self.assertRaises(PeerMisbehaved, message, b"2")
        self.assertIn("b'2'", str(error))


class ElementsTests(SynchronousTestCase):
    """Elements inside an element."""

    def test_elements_are_split(self) -> None:
        """Contents are split into their elements, empty ones included."""
        self.assertEqual(
            elements(bytes.fromhex("0a0100 0400 8a8103") + b"1.3"),
            [Element(0x0A, b"\0"), Element(0x04, b""), Element(0x8A, b"1.3")],
        )
        self.assertEqual(elements(b""), [])

    def test_the_last_element_ends_with_the_contents(self) -> None:
        """An element that ends beyond its enclosing element is refused, and so is half a header."""
        for contents in ("04", "0401", "0400 04", "0481", "048201", "0480", "0a0200", "0485"):
            self.assertRaises(PeerMisbehaved, elements, bytes.fromhex(contents))

    def test_many_elements_are_read_in_one_pass(self) -> None:
        """A message full of the smallest elements is read in linear time."""
        self.assertEqual(len(elements(b"\x04\0" * (TOTAL // 2))), TOTAL // 2)

    @given(tag=st.integers(0, 255), contents=st.binary(max_size=300))
    def test_what_is_encoded_can_be_decoded(self, tag: int, contents: bytes) -> None:
        """Whatever is encoded is decoded as it was."""
        self.assertEqual(elements(encoded(tag, contents)), [Element(tag, contents)])

    def test_lengths_are_encoded_in_the_shortest_form(self) -> None:
        """A length is encoded in the fewest bytes."""
        for size, header in ((127, "047f"), (128, "048180"), (255, "0481ff"), (256, "04820100")):
            self.assertEqual(encoded(0x04, bytes(size))[:-size].hex(), header)


class NumberTests(SynchronousTestCase):
    """Integers, such as message ids and result codes."""

    def test_one_to_four_bytes_are_a_number(self) -> None:
        """A number has one to four bytes, big endian."""
        for contents, value in (("00", 0), ("0d", 13), ("0080", 128), ("7fffffff", 2**31 - 1)):
            self.assertEqual(number(bytes.fromhex(contents)), value)

    def test_other_numbers_are_refused(self) -> None:
        """Empty contents, negative numbers and numbers above the limit are refused."""
        for contents in ("", "80", "ff", "0080000000", "0000000001"):
            self.assertRaises(PeerMisbehaved, number, bytes.fromhex(contents))
