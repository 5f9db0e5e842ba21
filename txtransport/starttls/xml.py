"""An XMPP stream, read tag by tag and not a byte further.

Knows how a stream is made of XML (RFC 6120, 4.2), and not what its elements
mean. The standard library's expat does the reading. It is fed up to the end of
one tag at a time, so whatever stands behind that tag is still in the wire, and
is found there if it stands where TLS was to begin.

A stream has no comments, no processing instructions and no DTD, hence no
entities but XML's own five (RFC 6120, 11.1): what begins with ``<!`` or ``<?``
is refused unread, but for the XML declaration. Only then is it true that a tag
ends at the first ``>`` that no quotes enclose.
"""

from __future__ import annotations

import re
from typing import Final
from xml.parsers import expat

from attrs import define, field, frozen

from txtransport.errors import PeerMisbehaved
from txtransport.starttls.wire import LINE, Dialogue, Wire
from txtransport.text import escape_bytes


@frozen
class Element:
    """An element, or the header of a stream.

    Attributes:
        name: Its namespace, a space, its local name; prefixes are gone.
        attributes: Its attributes, named in the same way.
        children: The names of the elements in it; what those hold is not kept.
        source: As it came, for messages.
    """

    name: str
    attributes: dict[str, str]
    children: tuple[str, ...]
    source: bytes


@define(eq=False)
class Stream:
    """What one side of a stream says, one element after the other.

    Attributes:
        wire: Where it comes from.
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
        # Streams are UTF-8, whatever they declare (RFC 6120, 11.6).
        self._parser = expat.ParserCreate("UTF-8", " ")
        self._parser.StartElementHandler = self._begins
        self._parser.EndElementHandler = self._ends
        self._parser.CharacterDataHandler = self._says

    def header(self) -> Dialogue[Element]:
        """The stream's first tag.

        Raises:
            PeerMisbehaved: What has come is no XML, or not the XML of a stream.
        """
        yield from _begun(self.wire)
        while not self._root:
            yield from self._read()
        return self._element()

    def element(self) -> Dialogue[Element | None]:
        """The next element of the stream, whole; None when the stream ends.

        Raises:
            PeerMisbehaved: What has come is no XML, or not the XML of a stream.
        """
        self._source.clear()
        if self._depth:
            yield from self._read()
        while self._depth > 1:
            yield from self._read()
        return self._element() if self._depth else None

    def _element(self) -> Element:
        return Element(
            self._name, self._attributes, tuple(self._children), bytes(self._source).strip()
        )

    def _read(self) -> Dialogue[None]:
        tag = yield from _tag(self.wire)
        if _NO_TAG(tag):
            raise PeerMisbehaved(f"XMPP has no such XML (RFC 6120, 11.1): {escape_bytes(tag)}")
        self._source += tag
        try:
            self._parser.Parse(tag, False)
        except expat.ExpatError as error:
            raise PeerMisbehaved(
                f"what the peer sent is no XML ({error}): {escape_bytes(tag)}"
            ) from error

    def _begins(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth == 1:
            self._root = name
        if self._depth == 2 and name == self._root:
            raise PeerMisbehaved("the peer began a stream within its stream")
        if self._depth <= 2:
            self._name, self._attributes, self._children = name, attributes, []
        if self._depth == 3:
            self._children.append(name)

    def _ends(self, _name: str) -> None:
        self._depth -= 1

    def _says(self, text: str) -> None:
        # White space keeps a connection alive (RFC 6120, 4.6).
        if self._depth == 1 and text.strip(" \t\r\n"):
            raise PeerMisbehaved(
                f"text stands between a stream's elements: {escape_bytes(text.encode())}"
            )


_FIRST: Final = b"< \t\r\n\xef"
"""White space and a byte order mark may stand before the first tag."""

# NUL is how UTF-16 would come in, whose `>` is another one.
_NO_TAG: Final = re.compile(rb"\0|<(?:!|\?(?!xml\s))").search

_INTO: Final = {
    (b"", b"<"): b"<",
    (b"<", b"'"): b"'",
    (b"<", b'"'): b'"',
    (b"'", b"'"): b"<",
    (b'"', b'"'): b"<",
}
"""Where one is in a tag: before it, in it, or in either kind of quotes; where a byte leads."""


def _begun(wire: Wire) -> Dialogue[None]:
    """Wait for the first byte: a peer of another protocol may never say the rest of a tag."""
    while not wire.received:
        yield
    if wire.received[0] not in _FIRST:
        raise PeerMisbehaved(
            f"the peer does not begin with XML: {escape_bytes(bytes(wire.received))}"
        )


def _tag(wire: Wire) -> Dialogue[bytes]:
    """What has come up to the end of a tag."""
    within = b""
    for place in range(LINE):
        while len(wire.received) <= place:
            yield
        byte = bytes(wire.received[place : place + 1])
        if (within, byte) == (b"<", b">"):
            return wire.take(place + 1)
        within = _INTO.get((within, byte), within)
    raise PeerMisbehaved(f"a tag is longer than {LINE} bytes: {escape_bytes(bytes(wire.received))}")
