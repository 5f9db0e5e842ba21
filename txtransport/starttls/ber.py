"""Tag, length, contents: BER as far as LDAP needs it (X.690, 8.1; RFC 4511, 5.1).

Knows lengths in their definite forms, short and long, and sees that they fit
exactly. What a tag means it does not know.
"""

from __future__ import annotations

from typing import Final

from attrs import frozen

from txtransport.errors import PeerMisbehaved
from txtransport.starttls.wire import Dialogue, Wire
from txtransport.text import escape_bytes

_LONG: Final = 0x80
_LENGTHS: Final = 4
"""How many bytes a length may have; Active Directory always takes that many."""


@frozen
class Element:
    """A tag, and what stands in it.

    Attributes:
        tag: One byte; tags of more are none of LDAP's.
        contents: What its length encloses.
    """

    tag: int
    contents: bytes


def element(wire: Wire, tag: int) -> Dialogue[Element]:
    """The next element, which is to have that tag.

    Raises:
        PeerMisbehaved: It has another, or a length that cannot be.
    """
    yield from wire.wait_for_data()
    if wire.received[0] != tag:
        raise PeerMisbehaved(
            f"expected a message (tag {tag:02x}), and the peer sent "
            f"{escape_bytes(bytes(wire.received))}"
        )
    while (extent := _extent(wire.received, 0)) is None:
        yield
    begin, end = extent
    return Element(tag, (yield from wire.exactly(end))[begin:])


def elements(contents: bytes) -> list[Element]:
    """The elements that these contents are made of, to the last byte.

    Raises:
        PeerMisbehaved: They are not made of elements.
    """
    found, place = [], 0
    while place < len(contents):
        extent = _extent(contents, place)
        if extent is None or extent[1] > len(contents):
            raise PeerMisbehaved(
                f"an element ends within its header or beyond: {escape_bytes(contents)}"
            )
        found.append(Element(contents[place], contents[extent[0] : extent[1]]))
        place = extent[1]
    return found


def number(contents: bytes) -> int:
    """An INTEGER or ENUMERATED that is not negative, below 2**31.

    Raises:
        PeerMisbehaved: It is none.
    """
    if not 1 <= len(contents) <= 4 or contents[0] & 0x80:
        raise PeerMisbehaved(f"expected a small number, and the peer sent {escape_bytes(contents)}")
    return int.from_bytes(contents, "big")


def encoded(tag: int, *parts: bytes) -> bytes:
    """An element with those contents, its length as short as can be."""
    contents = b"".join(parts)
    size = len(contents)
    if size < _LONG:
        return bytes((tag, size)) + contents
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, _LONG | len(length))) + length + contents


def _extent(data: bytes | bytearray, place: int) -> tuple[int, int] | None:
    """Where the contents of the element at that place begin and end; None if that has not come."""
    if len(data) < place + 2:
        return None
    size, begin = data[place + 1], place + 2
    if size >= _LONG:
        more = size - _LONG
        if not 1 <= more <= _LENGTHS:
            raise PeerMisbehaved(f"a length is not definite, or has more than {_LENGTHS} bytes")
        if len(data) < begin + more:
            return None
        size = int.from_bytes(data[begin : begin + more], "big")
        begin += more
    return begin, begin + size
