"""Reading an XMPP stream: any spelling of XML, nothing forbidden, no byte beyond a tag."""

from __future__ import annotations

from typing import Final, TypeVar

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txtransport.errors import PeerMisbehaved
from txtransport.starttls.wire import LINE, Dialogue, Wire
from txtransport.starttls.xml import Element, Stream

T = TypeVar("T")

HEADER: Final = (
    b"<stream:stream xmlns='jabber:client' "
    b"xmlns:stream='http://etherx.jabber.org/streams' to='example.com' version='1.0'>"
)
STREAM: Final = "http://etherx.jabber.org/streams stream"
PROCEED: Final = "urn:ietf:params:xml:ns:xmpp-tls proceed"


def result(dialogue: Dialogue[T]) -> T:
    """What a dialogue returns that need not wait.

    Raises:
        AssertionError: It waits.
    """
    try:
        next(dialogue)
    except StopIteration as end:
        found: T = end.value
        return found
    raise AssertionError("it waits for more")


def stream(behind: bytes, header: bytes = HEADER) -> Stream:
    """A stream whose header was read, with these bytes after it."""
    reader = Stream(Wire(received=bytearray(header + behind)))
    result(reader.header())
    return reader


def child(behind: bytes) -> Element:
    """The stream's first element."""
    element = result(stream(behind).element())
    if element is None:
        raise AssertionError("the stream has ended")
    return element


class ReadingTests(SynchronousTestCase):
    """What is read."""

    def test_a_header_has_a_name_and_attributes(self) -> None:
        """A stream's header is read with or without an XML declaration."""
        for declaration in (
            b"",
            b"<?xml version='1.0'?>",
            b'<?xml version="1.0" encoding="UTF-8"?>\r\n',
            # A stream is UTF-8 whatever it declares.
            b"<?xml version='1.0' encoding='ISO-8859-1' standalone='yes' ?> ",
        ):
            header = result(Stream(Wire(received=bytearray(declaration + HEADER))).header())
            self.assertEqual(header.name, STREAM)
            self.assertEqual(header.attributes, {"to": "example.com", "version": "1.0"})
            self.assertEqual(header.source, declaration + HEADER)

    def test_every_spelling_of_an_element_is_understood(self) -> None:
        """Quotes, prefixes, spaces and the order of attributes do not matter."""
        for spelling in (
            b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
            b'<proceed xmlns="urn:ietf:params:xml:ns:xmpp-tls"/>',
            b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'></proceed>",
            b"<proceed\n\txmlns = 'urn:ietf:params:xml:ns:xmpp-tls' ></proceed >",
            b"<x:proceed a='1' xmlns:x='urn:ietf:params:xml:ns:xmpp-tls'/>",
            b"<p:proceed xmlns:p='urn:ietf:params:xml:ns:xmpp-tls' b='>' a=\"'>\"/>",
            b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-&#116;ls'> </proceed>",
        ):
            self.assertEqual(child(spelling).name, PROCEED, spelling)

    def test_a_name_includes_its_namespace(self) -> None:
        """The same local name in another namespace is another name."""
        for other in (b"<proceed/>", b"<proceed xmlns='x'/>", b"<stream:proceed/>"):
            self.assertNotEqual(child(other).name, PROCEED)

    def test_children_are_listed_without_their_contents(self) -> None:
        """The elements directly inside an element are listed, and their contents are skipped."""
        element = child(b"<a xmlns='n'><b><c/></b>&lt;text&gt; <d xmlns='m'/></a>")
        self.assertEqual((element.name, element.children), ("n a", ("n b", "m d")))

    def test_elements_are_read_one_after_the_other(self) -> None:
        """White space may stand between elements, and the last one is followed by the end."""
        reader = stream(b"<a/> \r\n\t<b x='1'/></stream:stream>")
        first, second, last = (result(reader.element()) for _ in range(3))
        self.assertEqual(first, Element("jabber:client a", {}, (), b"<a/>"))
        self.assertEqual(second, Element("jabber:client b", {"x": "1"}, (), b"<b x='1'/>"))
        self.assertIsNone(last)
        self.assertIsNone(result(reader.element()))

    def test_a_stream_may_be_empty(self) -> None:
        """A header may also end the stream."""
        reader = stream(b"", HEADER[:-1] + b"/>")
        self.assertIsNone(result(reader.element()))

    def test_no_byte_beyond_a_tag_is_taken(self) -> None:
        """What follows a tag is left in the buffer, however much it looks like XML."""
        for evil in (b" ", b"\n", b"<", b"<evil/>", b"</stream:stream>", b">", b"\0", b"'"):
            for element in (b"<a/>", b"<a></a>", b"<a b='>'/>", b'<a b="\'>"><c/></a>'):
                reader = stream(element + evil)
                result(reader.element())
                self.assertEqual(bytes(reader.wire.received), evil)

    def test_an_element_is_waited_for_to_its_last_byte(self) -> None:
        """An element is not returned before its end tag is complete."""
        whole = b"<a b='>' c=\">\"><d>e > f</d></a>"
        for count in range(len(whole)):
            self.assertRaises(AssertionError, child, whole[:count])

    @given(cuts=st.lists(st.integers(1, 20), max_size=30))
    def test_segments_do_not_matter(self, cuts: list[int]) -> None:
        """An element is the same in whatever segments it arrives."""
        rest = HEADER + "<a b='ä>'><d e=\"'\"/>ö > &amp;</a>".encode() + b"behind"
        reader = Stream(Wire())
        header, element = reader.header(), reader.element()
        found: list[Element | None] = []
        for reading in (header, element):
            while True:
                try:
                    next(reading)
                except StopIteration as end:
                    found.append(end.value)
                    break
                count = cuts.pop() if cuts else 1
                reader.wire.received += rest[:count]
                rest = rest[count:]
        self.assertEqual(found[1], child("<a b='ä>'><d e=\"'\"/>ö > &amp;</a>".encode()))
        self.assertEqual(bytes(reader.wire.received) + rest, b"behind")


class RefusalTests(SynchronousTestCase):
    """What is refused."""

    def refused(self, behind: bytes) -> str:
        """The text of the error for these bytes after a header."""
        return str(self.assertRaises(PeerMisbehaved, result, stream(behind).element()))

    def test_what_xmpp_forbids_is_refused(self) -> None:
        """Comments, instructions, DTDs and CDATA are refused before they are parsed."""
        for forbidden in (
            b"<!-- x -->",
            b"<?php x ?>",
            b"<?xml-stylesheet href='x'?>",
            b"<!DOCTYPE a [<!ENTITY b 'c'>",
            b"<![CDATA[ x ]]>",
            # The quote would hide the tag after it.
            b"<![CDATA[']]><proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>evil'>",
        ):
            self.assertIn("no such XML", self.refused(forbidden))
            self.assertIn("no such XML", self.refused(b"<a>x" + forbidden))

    def test_a_dtd_before_the_stream_is_refused(self) -> None:
        """No entity can be declared, so no entity can expand."""
        for prolog in (
            b"<!DOCTYPE a [<!ENTITY b 'bbbb'><!ENTITY c '&b;&b;'>]>",
            b"<!DOCTYPE a SYSTEM 'file:///etc/passwd'>",
            b"<?xml version='1.0'?><!DOCTYPE a>",
            b"<!-- x -->",
            b"<?x?>",
        ):
            wire = Wire(received=bytearray(prolog + HEADER))
            self.assertRaises(PeerMisbehaved, result, Stream(wire).header())

    def test_undeclared_entities_are_refused(self) -> None:
        """Entities other than XML's own are refused, in text and in attributes."""
        for entity in (b"<a>&b;</a>", b"<a b='&c;'/>"):
            self.assertIn("undefined entity", self.refused(entity))

    def test_malformed_xml_is_refused(self) -> None:
        """XML that is not well-formed is refused, and the error shows its beginning."""
        for broken in (
            b"<>",
            b"<a b=c>",
            b"<a b='1' b='2'/>",
            b"<a b='<'/>",
            b"</a>",
            b"<a></b>",
            b"<x:a/>",
            b"<a>]]></a>",
            b"< a/>",
            b"<a/ >",
            b"<a \xff='1'/>",
            b"<?xml version='1.0'?>",
            b"<a>&#0;</a>",
        ):
            self.assertIn("is no XML", self.refused(broken), broken)

    def test_other_encodings_are_refused(self) -> None:
        """UTF-16, in which a tag would end with other bytes, is refused."""
        for encoding in ("utf-16", "utf-16-le", "utf-16-be"):
            wire = Wire(received=bytearray("<a b='>'/>".encode(encoding)))
            self.assertRaises(PeerMisbehaved, result, Stream(wire).header())
        self.assertIn("no such XML", self.refused(b"<a b='\0'/>"))

    def test_text_between_elements_is_refused(self) -> None:
        """Text has no place between a stream's elements."""
        self.assertIn("b'evil'", self.refused(b"evil<a/>"))
        self.assertIn("b'<'", self.refused(b"&lt;<a/>"))

    def test_a_stream_within_a_stream_is_refused(self) -> None:
        """A second header is refused at once, and not waited for as an element."""
        self.assertIn("within its stream", self.refused(HEADER))

    def test_nothing_is_read_after_the_end(self) -> None:
        """Nothing is read after the stream's end."""
        reader = stream(b"</stream:stream><a/>")
        self.assertIsNone(result(reader.element()))
        self.assertIsNone(result(reader.element()))
        self.assertEqual(bytes(reader.wire.received), b"<a/>")

    def test_the_bytes_of_a_tag_are_limited(self) -> None:
        """A tag, with the text before it, has so many bytes and no more."""
        for long in (b"<a b='" + b">" * LINE, b"x" * LINE, b"<" * LINE):
            self.assertIn("longer than", self.refused(long))
        fits = b"<a b='" + b">" * (LINE - 9) + b"'/>"
        self.assertEqual(len(fits), LINE)
        self.assertEqual(child(fits).source, fits)

    def test_deep_nesting_is_cheap(self) -> None:
        """Endlessly nested elements neither recurse nor accumulate."""
        deep = child(b"<a>" * 20000 + b"</a>" * 20000)
        self.assertEqual(deep.children, ("jabber:client a",))
