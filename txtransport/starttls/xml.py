"""An XMPP stream, parsed tag by tag, and not a byte beyond a tag.

An XML parser usually takes all bytes that have come. Here this would be a hole:
what stands behind ``<proceed/>`` would be in the parser, and nobody would see
that it stands where TLS begins. So this module finds the end of the next tag
itself, takes the bytes up to it from the wire, and gives only these to expat,
the parser of the standard library. What stands behind the tag stays in
`Wire.received`, where `Negotiation` finds it.

A tag ends at the first ``>`` outside of quotes. This is true only where there
are no comments, no CDATA, no processing instructions and no DTD. XMPP forbids
all but CDATA, and with the DTD all entities except the five of XML itself (RFC
6120, 11.1); CDATA has no use before TLS. So everything that begins with ``<!`` or
``<?`` is refused before expat gets it, except for the XML declaration.

How a stream is built of XML (RFC 6120, 4.2) is known here; what its elements mean
is known in xmpp.py.
"""

from __future__ import annotations

import re
from typing import Final
from xml.parsers import expat

from attrs import define, field, frozen

from txtransport.errors import PeerMisbehaved
from txtransport.starttls.wire import LINE, Dialogue, Wire
from txtransport.text import escape_bytes

__all__ = ["Element", "Stream"]


@frozen
class Element:
    """An element of a stream, or the header of the stream.

    Attributes:
        name: The namespace, a space, and the local name, without a prefix.
        attributes: The values of the attributes by name, in the same form.
        children: The names of the elements directly in it; their contents are
            not kept.
        source: The bytes as they came, for messages.
    """

    name: str
    attributes: dict[str, str]
    children: tuple[str, ...]
    source: bytes


@define(eq=False)
class Stream:
    """The peer's half of an XMPP stream, one element after the other.

    Attributes:
        wire: Where the bytes come from.
    """

    wire: Wire
    _depth: int = field(default=0, init=False)
    _root: str = field(default="", init=False)
    _name: str = field(default="", init=False)
    _attributes: dict[str, str] = field(factory=dict, init=False)
    _children: list[str] = field(factory=list, init=False)
    _source: bytearray = field(factory=bytearray, init=False)
    _parser: expat.XMLParserType = field(init=False)

    def __attrs_post_init__(self) -> None:
        # Streams are UTF-8, whatever encoding they declare (RFC 6120, 11.6).
        self._parser = expat.ParserCreate("UTF-8", " ")
        self._parser.StartElementHandler = self._start_element
        self._parser.EndElementHandler = self._end_element
        self._parser.CharacterDataHandler = self._character_data

    def header(self) -> Dialogue[Element]:
        """Wait for the first tag of the stream, and take it.

        Raises:
            PeerMisbehaved: The peer sent something that is not XML, or XML
                that a stream does not allow.
        """
        yield from _expect_xml(self.wire)
        while not self._root:
            yield from self._parse_tag()
        return self._element()

    def element(self) -> Dialogue[Element | None]:
        """Wait for the next element, up to its end tag; None when the stream ends.

        Raises:
            PeerMisbehaved: As for `header`.
        """
        self._source.clear()
        if self._depth:
            yield from self._parse_tag()
        while self._depth > 1:
            yield from self._parse_tag()
        return self._element() if self._depth else None

    def _element(self) -> Element:
        return Element(
            self._name, self._attributes, tuple(self._children), bytes(self._source).strip()
        )

    def _parse_tag(self) -> Dialogue[None]:
        tag = yield from _take_tag(self.wire)
        if _FORBIDDEN(tag):
            raise PeerMisbehaved(f"XMPP has no such XML (RFC 6120, 11.1): {escape_bytes(tag)}")
        self._source += tag
        try:
            self._parser.Parse(tag, False)
        except expat.ExpatError as error:
            raise PeerMisbehaved(
                f"what the peer sent is no XML ({error}): {escape_bytes(tag)}"
            ) from error

    def _start_element(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth == 1:
            self._root = name
        if self._depth == 2 and name == self._root:
            raise PeerMisbehaved("the peer began a stream within its stream")
        if self._depth <= 2:
            self._name, self._attributes, self._children = name, attributes, []
        if self._depth == 3:
            self._children.append(name)

    def _end_element(self, _name: str) -> None:
        self._depth -= 1

    def _character_data(self, text: str) -> None:
        # White space between elements is a keepalive (RFC 6120, 4.6).
        if self._depth == 1 and text.strip(" \t\r\n"):
            raise PeerMisbehaved(
                f"text stands between a stream's elements: {escape_bytes(text.encode())}"
            )


_FIRST: Final = b"< \t\r\n\xef"
"""White space and a byte order mark may stand before the first tag."""

# A NUL would be UTF-16, in which a tag ends with other bytes.
_FORBIDDEN: Final = re.compile(rb"\0|<(?:!|\?(?!xml\s))").search

_NEXT_STATE: Final = {
    (b"", b"<"): b"<",
    (b"<", b"'"): b"'",
    (b"<", b'"'): b'"',
    (b"'", b"'"): b"<",
    (b'"', b'"'): b"<",
}
"""The state after a byte: before a tag (``b""``), in it (``<``), or in quotes (the quote).

Keys are the state and the byte; a pair that is not listed leaves the state as it is.
"""


def _expect_xml(wire: Wire) -> Dialogue[None]:
    """Wait for the first byte, and check that XML may begin with it.

    A peer of another protocol may never send the end of a tag.
    """
    yield from wire.wait_for_data()
    if wire.received[0] not in _FIRST:
        raise PeerMisbehaved(
            f"the peer does not begin with XML: {escape_bytes(bytes(wire.received))}"
        )


def _take_tag(wire: Wire) -> Dialogue[bytes]:
    """Wait for the end of a tag; take the tag, and the text before it."""
    state = b""
    for index in range(LINE):
        while len(wire.received) <= index:
            yield
        byte = bytes(wire.received[index : index + 1])
        if (state, byte) == (b"<", b">"):
            return wire.take(index + 1)
        state = _NEXT_STATE.get((state, byte), state)
    raise PeerMisbehaved(f"a tag is longer than {LINE} bytes: {escape_bytes(bytes(wire.received))}")
