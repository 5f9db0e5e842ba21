"""Reading an XMPP stream: XML in any spelling, nothing that XMPP forbids, not a byte too many."""

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


def now(dialogue: Dialogue[T]) -> T:
    """What a dialogue comes to that need not wait.

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
    """A stream whose header was read, and what has come behind it."""
    said = Stream(Wire(received=bytearray(header + behind)))
    now(said.header())
    return said


def child(behind: bytes) -> Element:
    """The stream's first element."""
    element = now(stream(behind).element())
    if element is None:
        raise AssertionError("the stream has ended")
    return element


class ReadingTests(SynchronousTestCase):
    """What is read."""

    def test_a_header(self) -> None:
        """A stream's header has a name and attributes, whether or not it is declared to be XML."""
        for declaration in (
            b"",
            b"<?xml version='1.0'?>",
            b'<?xml version="1.0" encoding="UTF-8"?>\r\n',
            # It is UTF-8 whatever it says.
            b"<?xml version='1.0' encoding='ISO-8859-1' standalone='yes' ?> ",
        ):
            header = now(Stream(Wire(received=bytearray(declaration + HEADER))).header())
            self.assertEqual(header.name, STREAM)
            self.assertEqual(header.attributes, {"to": "example.com", "version": "1.0"})
            self.assertEqual(header.source, declaration + HEADER)

    def test_every_spelling_of_an_element(self) -> None:
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

    def test_namespaces_count(self) -> None:
        """A name in another namespace is another name."""
        for other in (b"<proceed/>", b"<proceed xmlns='x'/>", b"<stream:proceed/>"):
            self.assertNotEqual(child(other).name, PROCEED)

    def test_children(self) -> None:
        """The elements within an element are listed, and what those hold is passed over."""
        element = child(b"<a xmlns='n'><b><c/></b>&lt;text&gt; <d xmlns='m'/></a>")
        self.assertEqual((element.name, element.children), ("n a", ("n b", "m d")))

    def test_one_after_the_other(self) -> None:
        """Elements come one by one, white space may stand between them, and then comes the end."""
        said = stream(b"<a/> \r\n\t<b x='1'/></stream:stream>")
        first, second, last = (now(said.element()) for _ in range(3))
        self.assertEqual(first, Element("jabber:client a", {}, (), b"<a/>"))
        self.assertEqual(second, Element("jabber:client b", {"x": "1"}, (), b"<b x='1'/>"))
        self.assertIsNone(last)
        self.assertIsNone(now(said.element()))

    def test_a_stream_that_ends_with_its_header(self) -> None:
        """A stream may hold nothing."""
        said = stream(b"", HEADER[:-1] + b"/>")
        self.assertIsNone(now(said.element()))

    def test_not_a_byte_too_many(self) -> None:
        """What stands behind a tag is left where it is, however much it looks like XML."""
        for evil in (b" ", b"\n", b"<", b"<evil/>", b"</stream:stream>", b">", b"\0", b"'"):
            for element in (b"<a/>", b"<a></a>", b"<a b='>'/>", b'<a b="\'>"><c/></a>'):
                said = stream(element + evil)
                now(said.element())
                self.assertEqual(bytes(said.wire.received), evil)

    def test_waiting(self) -> None:
        """An element is waited for to its last byte."""
        whole = b"<a b='>' c=\">\"><d>e > f</d></a>"
        for count in range(len(whole)):
            self.assertRaises(AssertionError, child, whole[:count])

    @given(cuts=st.lists(st.integers(1, 20), max_size=30))
    def test_segments_do_not_matter(self, cuts: list[int]) -> None:
        """An element is the same in whatever segments it comes."""
        rest = HEADER + "<a b='ä>'><d e=\"'\"/>ö > &amp;</a>".encode() + b"behind"
        said = Stream(Wire())
        header, element = said.header(), said.element()
        found: list[Element | None] = []
        for reading in (header, element):
            while True:
                try:
                    next(reading)
                except StopIteration as end:
                    found.append(end.value)
                    break
                count = cuts.pop() if cuts else 1
                said.wire.received += rest[:count]
                rest = rest[count:]
        self.assertEqual(found[1], child("<a b='ä>'><d e=\"'\"/>ö > &amp;</a>".encode()))
        self.assertEqual(bytes(said.wire.received) + rest, b"behind")


class RefusalTests(SynchronousTestCase):
    """What is not read."""

    def refused(self, behind: bytes) -> str:
        """Why what follows a header is refused."""
        return str(self.assertRaises(PeerMisbehaved, now, stream(behind).element()))

    def test_what_xmpp_forbids(self) -> None:
        """Comments, instructions, DTDs and CDATA are refused, before they are looked into."""
        for forbidden in (
            b"<!-- x -->",
            b"<?php x ?>",
            b"<?xml-stylesheet href='x'?>",
            b"<!DOCTYPE a [<!ENTITY b 'c'>",
            b"<![CDATA[ x ]]>",
            # The quote would hide the tag behind it.
            b"<![CDATA[']]><proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>evil'>",
        ):
            self.assertIn("no such XML", self.refused(forbidden))
            self.assertIn("no such XML", self.refused(b"<a>x" + forbidden))

    def test_no_dtd_before_the_stream(self) -> None:
        """No entity can be declared, so none can grow."""
        for prolog in (
            b"<!DOCTYPE a [<!ENTITY b 'bbbb'><!ENTITY c '&b;&b;'>]>",
            b"<!DOCTYPE a SYSTEM 'file:///etc/passwd'>",
            b"<?xml version='1.0'?><!DOCTYPE a>",
            b"<!-- x -->",
            b"<?x?>",
        ):
            wire = Wire(received=bytearray(prolog + HEADER))
            self.assertRaises(PeerMisbehaved, now, Stream(wire).header())

    def test_entities_that_no_one_declared(self) -> None:
        """Entities other than XML's own are refused, in text and in attributes."""
        for entity in (b"<a>&b;</a>", b"<a b='&c;'/>"):
            self.assertIn("undefined entity", self.refused(entity))

    def test_what_is_no_xml(self) -> None:
        """What is not well-formed is refused, and told with its beginning."""
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

    def test_other_encodings(self) -> None:
        """UTF-16 is refused, in which a tag would end at other bytes."""
        for encoding in ("utf-16", "utf-16-le", "utf-16-be"):
            wire = Wire(received=bytearray("<a b='>'/>".encode(encoding)))
            self.assertRaises(PeerMisbehaved, now, Stream(wire).header())
        self.assertIn("no such XML", self.refused(b"<a b='\0'/>"))

    def test_text_between_elements(self) -> None:
        """Text has no place between a stream's elements."""
        self.assertIn("b'evil'", self.refused(b"evil<a/>"))
        self.assertIn("b'<'", self.refused(b"&lt;<a/>"))

    def test_a_stream_within_a_stream(self) -> None:
        """A second header is no element to be waited for."""
        self.assertIn("within its stream", self.refused(HEADER))

    def test_behind_the_end(self) -> None:
        """Nothing is read behind the stream's end."""
        said = stream(b"</stream:stream><a/>")
        self.assertIsNone(now(said.element()))
        self.assertIsNone(now(said.element()))
        self.assertEqual(bytes(said.wire.received), b"<a/>")

    def test_a_tag_without_an_end(self) -> None:
        """A tag is so long and no longer, with whatever stands before it."""
        for long in (b"<a b='" + b">" * LINE, b"x" * LINE, b"<" * LINE):
            self.assertIn("longer than", self.refused(long))
        fits = b"<a b='" + b">" * (LINE - 9) + b"'/>"
        self.assertEqual(len(fits), LINE)
        self.assertEqual(child(fits).source, fits)

    def test_depth_costs_nothing(self) -> None:
        """Elements within elements without end neither recurse nor pile up."""
        deep = child(b"<a>" * 20000 + b"</a>" * 20000)
        self.assertEqual(deep.children, ("jabber:client a",))
