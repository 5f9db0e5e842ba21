"""BER as LDAP has it: every length fits, in whichever form, or it is refused."""

from __future__ import annotations

from typing import Final

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.starttls.talk import bytewise
from txtransport.errors import PeerMisbehaved
from txtransport.starttls.ber import Element, element, elements, encoded, number
from txtransport.starttls.negotiation import Negotiation
from txtransport.starttls.wire import TOTAL, Dialogue, Wire

MESSAGE: Final = 0x30


def _contents(wire: Wire) -> Dialogue[bytes]:
    return (yield from element(wire, MESSAGE)).contents


def message(*segments: bytes) -> bytes | None:
    """The contents of the message that these segments are; None if more has to come."""
    reading = Negotiation(_contents)
    for segment in segments:
        reading.receive_data(segment)
    return reading.outcome if reading.is_complete else None


class ElementTests(SynchronousTestCase):
    """An element that comes over the wire."""

    def test_every_form_of_a_length(self) -> None:
        """A length may be short, or long in up to four bytes, as Active Directory sends it."""
        for length in ("03", "8103", "820003", "83000003", "8400000003"):
            self.assertEqual(message(bytes.fromhex("30" + length) + b"abc"), b"abc", length)

    def test_byte_by_byte(self) -> None:
        """An element is the same in whatever segments it comes."""
        whole = bytes.fromhex("308400000003") + b"abc"
        self.assertEqual(message(*bytewise(whole)), b"abc")
        for count in range(len(whole)):
            self.assertIsNone(message(*bytewise(whole[:count])), count)

    def test_lengths_that_cannot_be(self) -> None:
        """An indefinite length, a length of many bytes, and one beyond all bounds are refused."""
        for length in ("80", "85", "ff", "840001 0001", "84ffffffff", "83010001"):
            self.assertRaises(PeerMisbehaved, message, bytes.fromhex("30" + length))

    def test_the_longest_message(self) -> None:
        """A length within the bounds is waited for, and one byte more is refused at once."""
        self.assertIsNone(message(b"\x30\x82\xff\xf0"))
        size = (TOTAL + 1).to_bytes(4, "big")
        self.assertRaises(PeerMisbehaved, message, b"\x30\x84" + size)

    def test_another_tag_is_seen_at_once(self) -> None:
        """A peer that speaks another protocol is not waited for."""
        error = self.assertRaises(PeerMisbehaved, message, b"2")
        self.assertIn("b'2'", str(error))


class ElementsTests(SynchronousTestCase):
    """Elements within one."""

    def test_all_of_them(self) -> None:
        """Elements are told apart, be they empty."""
        self.assertEqual(
            elements(bytes.fromhex("0a0100 0400 8a8103") + b"1.3"),
            [Element(0x0A, b"\0"), Element(0x04, b""), Element(0x8A, b"1.3")],
        )
        self.assertEqual(elements(b""), [])

    def test_nothing_is_left_over(self) -> None:
        """An element that ends beyond what encloses it is refused, and so is half a header."""
        for contents in ("04", "0401", "0400 04", "0481", "048201", "0480", "0a0200", "0485"):
            self.assertRaises(PeerMisbehaved, elements, bytes.fromhex(contents))

    def test_many_elements_take_no_time(self) -> None:
        """A message full of the smallest elements is read in one pass."""
        self.assertEqual(len(elements(b"\x04\0" * (TOTAL // 2))), TOTAL // 2)

    @given(tag=st.integers(0, 255), contents=st.binary(max_size=300))
    def test_what_is_written_can_be_read(self, tag: int, contents: bytes) -> None:
        """Whatever we write, we read as it was."""
        self.assertEqual(elements(encoded(tag, contents)), [Element(tag, contents)])

    def test_lengths_are_written_short(self) -> None:
        """A length is written in the fewest bytes."""
        for size, header in ((127, "047f"), (128, "048180"), (255, "0481ff"), (256, "04820100")):
            self.assertEqual(encoded(0x04, bytes(size))[:-size].hex(), header)


class NumberTests(SynchronousTestCase):
    """Numbers of messages and results."""

    def test_numbers(self) -> None:
        """A number is what its one to four bytes say."""
        for contents, value in (("00", 0), ("0d", 13), ("0080", 128), ("7fffffff", 2**31 - 1)):
            self.assertEqual(number(bytes.fromhex(contents)), value)

    def test_no_numbers(self) -> None:
        """Nothing, a negative number and one that is too big are refused."""
        for contents in ("", "80", "ff", "0080000000", "0000000001"):
            self.assertRaises(PeerMisbehaved, number, bytes.fromhex(contents))
