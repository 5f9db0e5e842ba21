"""Where a parser's next unit ends: never after more than one action of the parser."""

from __future__ import annotations

import struct
from typing import Any, Final, cast

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.protocol import Protocol
from twisted.internet.testing import StringTransport
from twisted.protocols.basic import (
    Int8StringReceiver,
    Int16StringReceiver,
    Int32StringReceiver,
    LineOnlyReceiver,
    LineReceiver,
    NetstringReceiver,
)
from twisted.trial.unittest import SynchronousTestCase
from twisted.words.xish.xmlstream import XmlStream

from txtransport.errors import PeerMisbehaved
from txtransport.upgrade.framing import is_paused, next_unit

THOROUGH: Final = settings(deadline=None, max_examples=200)


class Lines(LineReceiver):
    """Counts how often it acts."""

    acted = 0

    def lineReceived(self, line: bytes) -> None:
        self.acted += 1

    def rawDataReceived(self, data: bytes) -> None:
        self.acted += 1


class OnlyLines(LineOnlyReceiver):
    """Counts how often it acts."""

    acted = 0

    def lineReceived(self, line: bytes) -> None:
        self.acted += 1


class Short(Int16StringReceiver):
    """Counts how often it acts."""

    acted = 0

    def stringReceived(self, string: bytes) -> None:
        self.acted += 1


class Tiny(Int8StringReceiver):
    """Counts how often it acts."""

    acted = 0

    def stringReceived(self, string: bytes) -> None:
        self.acted += 1


class Netstrings(NetstringReceiver):
    """Counts how often it acts."""

    acted = 0

    def stringReceived(self, string: bytes) -> None:
        self.acted += 1


ENCODERS: Final[dict[type[Any], Any]] = {
    Lines: lambda words: b"".join(word.replace(b"\n", b"") + b"\r\n" for word in words),
    OnlyLines: lambda words: b"".join(word.replace(b"\n", b"") + b"\r\n" for word in words),
    Short: lambda words: b"".join(struct.pack("!H", len(word)) + word for word in words),
    Tiny: lambda words: b"".join(struct.pack("!B", len(word)) + word for word in words),
    Netstrings: lambda words: b"".join(b"%d:%s," % (len(word), word) for word in words),
}
"""How each parser's messages are encoded."""


class EveryParserTests(SynchronousTestCase):
    """What holds for every parser that is known."""

    @THOROUGH
    @given(
        kind=st.sampled_from(list(ENCODERS)),
        words=st.lists(st.binary(max_size=40), min_size=1, max_size=6),
        chunk=st.integers(1, 50),
    )
    def test_one_unit_is_one_action(self, kind: Any, words: list[bytes], chunk: int) -> None:
        """However the bytes arrive, a unit makes the parser act once, on the unit's last byte."""
        parser = kind()
        parser.makeConnection(StringTransport())
        encoded, held = ENCODERS[kind](words), bytearray()
        for place in range(0, len(encoded), chunk):
            held += encoded[place : place + chunk]
            while held and (size := next_unit(parser, held)):
                before = parser.acted
                parser.dataReceived(bytes(held[: size - 1]))
                self.assertEqual(parser.acted, before)
                parser.dataReceived(bytes(held[size - 1 : size]))
                self.assertEqual(parser.acted, before + 1)
                del held[:size]
        self.assertEqual(held, b"")
        self.assertEqual(parser.acted, len(words))

    @THOROUGH
    @given(kind=st.sampled_from(list(ENCODERS)), data=st.binary(min_size=1, max_size=200))
    def test_size_is_never_more_than_has_arrived(self, kind: Any, data: bytes) -> None:
        """Whatever a peer sends, the size is between 0 and the number of bytes."""
        parser = kind()
        parser.makeConnection(StringTransport())
        self.assertIn(next_unit(parser, data), range(len(data) + 1))


class ParserTests(SynchronousTestCase):
    """Where a unit ends for each kind of parser."""

    def test_line_ends_with_the_current_delimiter(self) -> None:
        """A line ends with its delimiter, which may change."""
        parser = Lines()
        self.assertEqual(next_unit(parser, b"one\r\ntwo\r\n"), 5)
        self.assertEqual(next_unit(parser, b"one"), 0)
        parser.delimiter = b";"
        self.assertEqual(next_unit(parser, b"one\r\n;two"), 6)

    def test_line_that_is_too_long_goes_to_the_parser(self) -> None:
        """What is too long for a line goes to the parser, which refuses it."""
        for parser in (Lines(), OnlyLines()):
            parser.MAX_LENGTH = 4
            self.assertEqual(next_unit(parser, b"123456"), 0)
            self.assertEqual(next_unit(parser, b"1234567"), 7)

    def test_raw_data_is_delivered_byte_by_byte(self) -> None:
        """Only the protocol knows where raw data ends: it gets byte by byte."""
        parser = Lines()
        parser.setRawMode()
        self.assertEqual(next_unit(parser, b"one\r\ntwo"), 1)

    def test_prefixed_message_is_as_long_as_its_prefix_says(self) -> None:
        """A message is as long as its prefix says."""
        self.assertEqual(next_unit(Short(), b"\x00\x03abcdef"), 5)
        self.assertEqual(next_unit(Short(), b"\x00\x03ab"), 0)
        self.assertEqual(next_unit(Short(), b"\x00"), 0)
        self.assertEqual(next_unit(Short(), b"\x00\x00rest"), 2)

    def test_prefix_of_a_message_that_is_too_long_goes_to_the_parser(self) -> None:
        """The parser gets the prefix alone, and refuses it."""
        parser = Int32StringReceiver()
        parser.MAX_LENGTH = 10
        self.assertEqual(next_unit(parser, b"\x00\x00\x00\x0brest"), 4)

    def test_netstring_ends_with_its_comma(self) -> None:
        """A netstring ends with its comma."""
        self.assertEqual(next_unit(Netstrings(), b"3:abc,1:x,"), 6)
        self.assertEqual(next_unit(Netstrings(), b"0:,rest"), 3)
        for part in (b"3:abc", b"3:", b"3"):
            self.assertEqual(next_unit(Netstrings(), part), 0, part)

    def test_invalid_netstring_goes_to_the_parser(self) -> None:
        """What is not a netstring goes to the parser, which refuses it."""
        for text in (b"x", b"12x4", b"03:abc,", b"-1:", b"99999999999999999999"):
            self.assertEqual(next_unit(Netstrings(), text), len(text), text)
        parser = Netstrings()
        parser.MAX_LENGTH = 10
        self.assertEqual(next_unit(parser, b"11:rest"), 3)

    def test_xml_is_delivered_by_tags(self) -> None:
        """A parser of XML gets whole tags; a document type is refused."""
        stream = XmlStream()
        self.assertEqual(next_unit(stream, b"<a b='>'/>rest>"), 10)
        self.assertEqual(next_unit(stream, b"<a b='>"), 0)
        self.assertRaises(PeerMisbehaved, next_unit, stream, b"<!DOCTYPE a>")

    def test_unknown_parser_gets_single_bytes(self) -> None:
        """A parser that is not known gets byte by byte."""
        self.assertEqual(next_unit(Protocol(), b"anything"), 1)

    def test_only_parsers_that_can_pause_are_paused(self) -> None:
        """A line parser can be paused; a LineOnlyReceiver cannot."""
        parser = Lines()
        parser.makeConnection(cast(Any, StringTransport()))
        self.assertFalse(is_paused(parser))
        parser.pauseProducing()
        self.assertTrue(is_paused(parser))
        self.assertFalse(is_paused(OnlyLines()))
