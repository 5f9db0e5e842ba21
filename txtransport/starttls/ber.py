"""Reading and writing BER as far as LDAP needs it (X.690, 8.1; RFC 4511, 5.1).

An element is a tag, a length and contents. Lengths have their definite forms,
short and long, and have to fit exactly. What a tag means, ldap.py knows.
"""

from __future__ import annotations

from typing import Final

from attrs import frozen

from txtransport.errors import PeerMisbehaved
from txtransport.starttls.wire import Dialogue, Wire
from txtransport.text import escape_bytes

__all__ = ["Element", "element", "elements", "encoded", "number"]

_LONG_FORM: Final = 0x80
_MAX_LENGTH_BYTES: Final = 4
"""The most bytes that encode a length; Active Directory always uses this many."""


@frozen
class Element:
    """One element of BER.

    Attributes:
        tag: One byte; LDAP has no tags of several bytes.
        contents: The bytes that its length encloses.
    """

    tag: int
    contents: bytes


def element(wire: Wire, tag: int) -> Dialogue[Element]:
    """Wait for an element with this tag, and take it.

    Raises:
        PeerMisbehaved: The tag is another, or the length is not definite, or
            is beyond the bounds.
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
    """Split the contents of an element into the elements in it.

    Raises:
        PeerMisbehaved: The last element does not end with the last byte.
    """
    found, offset = [], 0
    while offset < len(contents):
        extent = _extent(contents, offset)
        if extent is None or extent[1] > len(contents):
            raise PeerMisbehaved(
                f"an element ends within its header or beyond: {escape_bytes(contents)}"
            )
        found.append(Element(contents[offset], contents[extent[0] : extent[1]]))
        offset = extent[1]
    return found


def number(contents: bytes) -> int:
    """The value of an INTEGER or ENUMERATED, 0 to 2**31 - 1.

    Raises:
        PeerMisbehaved: The contents are empty, negative or longer than 4 bytes.
    """
    if not 1 <= len(contents) <= 4 or contents[0] & 0x80:
        raise PeerMisbehaved(f"expected a small number, and the peer sent {escape_bytes(contents)}")
    return int.from_bytes(contents, "big")


def encoded(tag: int, *parts: bytes) -> bytes:
    """The bytes of an element, its length in the shortest form.

    Args:
        tag: The tag, one byte.
        parts: The contents, joined in this order.
    """
    contents = b"".join(parts)
    size = len(contents)
    if size < _LONG_FORM:
        return bytes((tag, size)) + contents
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, _LONG_FORM | len(length))) + length + contents


def _extent(data: bytes | bytearray, offset: int) -> tuple[int, int] | None:
    """Where the contents of the element at `offset` begin and end.

    None if the header of the element is not complete yet.
    """
    if len(data) < offset + 2:
        return None
    size, begin = data[offset + 1], offset + 2
    if size >= _LONG_FORM:
        more = size - _LONG_FORM
        if not 1 <= more <= _MAX_LENGTH_BYTES:
            raise PeerMisbehaved(
                f"a length is not definite, or has more than {_MAX_LENGTH_BYTES} bytes"
            )
        if len(data) < begin + more:
            return None
        size = int.from_bytes(data[begin : begin + more], "big")
        begin += more
    return begin, begin + size
