"""Where a tag of XML ends: not at every bracket, and never after another tag."""

from __future__ import annotations

import time
from typing import Final
from xml.parsers import expat

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txtransport.errors import PeerMisbehaved
from txtransport.upgrade.xml_framing import MAX_TAG, next_tag

_TEXT: Final = st.text("ab \n>'\"&é", max_size=8).map(
    lambda text: text.replace("&", "&amp;").replace(">", "&gt;")
)
_VALUE: Final = st.one_of(
    st.text("ab> '/=-]?", max_size=8).map(lambda text: f'"{text}"'),
    st.text('ab> "/=-]?', max_size=8).map(lambda text: f"'{text}'"),
)
_PIECES: Final = st.one_of(
    _VALUE.map(lambda value: f"<a b={value} />"),
    st.tuples(_VALUE, _VALUE).map(lambda values: f"<a b={values[0]} c={values[1]}></a>"),
    st.just("<a></a >"),
    st.text("ab>'\"< ", max_size=8).map(lambda text: f"<!-- {text} -->"),
    st.text("ab>'\"<!-", max_size=8).map(lambda text: f"<![CDATA[{text}]]>"),
    st.text("ab>'\"< ", max_size=8).map(lambda text: f"<?p {text}?>".replace("?>?>", "?>")),
)
_STREAMS: Final = st.lists(st.tuples(_TEXT, _PIECES), max_size=6).map(
    lambda pieces: "<stream>" + "".join(text + piece for text, piece in pieces)
)


class Parser:
    """Expat, to which a stream is given in pieces.

    Attributes:
        tags: The number of start and end tags it has acted on.
    """

    def __init__(self) -> None:
        self.tags = 0
        self._parser = expat.ParserCreate("UTF-8")
        self._parser.StartElementHandler = lambda name, attributes: self._count()
        self._parser.EndElementHandler = lambda name: self._count()

    def give(self, data: bytes) -> int:
        """Parse; the number of tags on which it acted."""
        before = self.tags
        self._parser.Parse(data, False)
        return self.tags - before

    def _count(self) -> None:
        self.tags += 1


class TagTests(SynchronousTestCase):
    """A parser that is given a piece acts on the tag at its end, and on no other."""

    def pieces(self, stream: bytes) -> list[bytes]:
        """A stream, cut after each tag; the last piece is the rest."""
        cut = []
        while size := next_tag(stream):
            cut.append(stream[:size])
            stream = stream[size:]
        return [*cut, stream]

    def test_quotes_and_comments_do_not_end_a_tag(self) -> None:
        """A piece is a tag and the text before it; brackets in quotes and comments are skipped."""
        rows = {
            b"<a><b>": [b"<a>", b"<b>", b""],
            b" text <a/> more": [b" text <a/>", b" more"],
            b"<a b='>'/>": [b"<a b='>'/>", b""],
            b"<a b='\">\"' c=\"'>'\">x": [b"<a b='\">\"' c=\"'>'\">", b"x"],
            b"<?xml version='1.0'?><a>": [b"<?xml version='1.0'?>", b"<a>", b""],
            b"<!-- it's > --><a>": [b"<!-- it's > -->", b"<a>", b""],
            b"<!-->--><a>": [b"<!-->-->", b"<a>", b""],
            b"<![CDATA[<a>]]]><b>": [b"<![CDATA[<a>]]]>", b"<b>", b""],
            b"</a ><b": [b"</a >", b"<b"],
            b"\xef\xbb\xbf<a>": [b"\xef\xbb\xbf<a>", b""],
        }
        for stream, pieces in rows.items():
            self.assertEqual(self.pieces(stream), pieces)
            self.assertEqual(self.pieces(bytes(bytearray(stream))), pieces)

    def test_partial_tag_waits(self) -> None:
        """Cut anywhere, a tag is not delivered before its end."""
        for tag in (b"<a b='>' c=\"'>\">", b"<!-- > -->", b"<![CDATA[>]]>", b"<?p >?>", b"</a >"):
            for end in range(len(tag)):
                self.assertEqual(next_tag(b" x" + tag[:end]), 0, tag[:end])
            self.assertEqual(next_tag(b" x" + tag), len(tag) + 2)

    @settings(deadline=None)
    @given(_STREAMS)
    def test_parser_acts_on_one_tag_at_a_time(self, stream: str) -> None:
        """After each piece expat has acted on the tag at its end, and on none before."""
        parser, whole = Parser(), Parser()
        data = stream.encode()
        for piece in self.pieces(data):
            empty = piece.endswith(b"/>") and not piece.endswith((b"-->", b"]]>", b"?>"))
            is_other = piece.partition(b"<")[2][:1] in (b"!", b"?", b"")
            # An empty tag is a start and an end.
            self.assertEqual(parser.give(piece), 0 if is_other else 2 if empty else 1, piece)
        self.assertEqual(whole.give(data), parser.tags)

    def test_document_type_is_refused(self) -> None:
        """A document type could define texts that contain tags; it is refused at its start."""
        for declared in (b"<!DOCTYPE s [", b" <!D", b"<!ENTITY e 'x'>", b"<!>", b"<![INCLUDE["):
            self.assertRaises(PeerMisbehaved, next_tag, declared)

    def test_tag_that_is_too_long_is_refused(self) -> None:
        """Text may be long, a tag may not."""
        self.assertEqual(next_tag(b"x" * 10 * MAX_TAG), 0)
        self.assertEqual(next_tag(b"x" * 10 * MAX_TAG + b"<a"), 0)
        self.assertEqual(next_tag(b"<" + b"a" * (MAX_TAG - 1)), 0)
        self.assertRaises(PeerMisbehaved, next_tag, b"<" + b"a" * MAX_TAG)

    def test_finding_the_end_of_a_tag_is_fast(self) -> None:
        """No tag can be made so that finding its end takes long."""
        for hard in (b"''", b"'\"", b"x='>' ", b">'", b"=", b"\"'\"'"):
            began = time.perf_counter()
            next_tag((b"<a b='" + hard * MAX_TAG)[:MAX_TAG])
            next_tag((b"<!--" + hard * MAX_TAG)[:MAX_TAG])
            self.assertLess(time.perf_counter() - began, 0.25, hard)

    def test_text_is_not_scanned_again(self) -> None:
        """Text that arrives byte by byte is not searched from its beginning each time."""
        text = b"x" * 2**20
        for arrived in (text, text + b"<a b='"):
            began = time.perf_counter()
            for _ in range(500):
                self.assertEqual(next_tag(arrived), 0)
            self.assertLess(time.perf_counter() - began, 0.25)
