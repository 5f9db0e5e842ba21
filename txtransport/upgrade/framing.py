"""Where a parser's next unit ends: a line, a length-prefixed message, a byte.

What follows a command to switch to TLS must not be in the parser's hands when
the command is carried out, and a parser gives nothing back. So it is fed one
unit at a time: the most bytes after which it acts at the last of them, and at
none before. Knows Twisted's own parsers by their public attributes; any other
gets byte by byte, which is slow, and right for whatever acts on a byte.
"""

from __future__ import annotations

import re
import struct
import sys
from collections.abc import Callable
from typing import Any, Final

from twisted.protocols.basic import (
    IntNStringReceiver,
    LineOnlyReceiver,
    LineReceiver,
    NetstringReceiver,
)

from txtransport.upgrade.xml_framing import next_tag

Held = bytes | bytearray
"""What has arrived and was not delivered yet."""


def next_unit(parser: object, data: Held) -> int:
    """How many bytes of `data` the parser may have next.

    Args:
        parser: The protocol.
        data: What has arrived; not empty.

    Returns:
        A number of bytes, or 0 when the unit is not whole yet. What a parser
        will refuse anyhow (a line or a message that is too long) is given to
        it at once, so that nothing piles up in front of it.

    Raises:
        PeerMisbehaved: The peer sends XML in which tags may hide.
    """
    for kind, unit in _UNITS:
        if isinstance(parser, kind):
            return unit(parser, data)
    return (
        next_tag(data) if is_instance_of(parser, "twisted.words.xish.xmlstream", "XmlStream") else 1
    )


def is_instance_of(parser: object, module: str, name: str) -> bool:
    """Whether a protocol is of a class that may not have been imported."""
    kind = getattr(sys.modules.get(module), name, None)
    return kind is not None and isinstance(parser, kind)


def is_paused(parser: object) -> bool:
    """Whether a parser of Twisted's wants nothing for the moment."""
    return isinstance(parser, (LineReceiver, IntNStringReceiver)) and bool(parser.paused)


def _line(parser: Any, data: Held) -> int:
    end = data.find(parser.delimiter)
    if end >= 0:
        return end + len(parser.delimiter)
    return len(data) if len(data) > parser.MAX_LENGTH + len(parser.delimiter) else 0


def _line_or_raw(parser: Any, data: Held) -> int:
    # Where raw data ends only the protocol knows.
    return _line(parser, data) if parser.line_mode else 1


def _prefixed(parser: Any, data: Held) -> int:
    prefix: int = parser.prefixLength
    if len(data) < prefix:
        return 0
    (length,) = struct.unpack_from(parser.structFormat, data)
    if length > parser.MAX_LENGTH:
        return prefix
    return prefix + length if len(data) >= prefix + length else 0


_LENGTH: Final = re.compile(rb"(0|[1-9][0-9]{0,15})(:?)").match


def _netstring(parser: Any, data: Held) -> int:
    found = _LENGTH(data)
    if found is None or (not found[2] and found.end() < len(data)):
        return len(data)
    length = int(found[1])
    if length > parser.MAX_LENGTH:
        return found.end()
    end = found.end() + length + len(b",")
    return end if found[2] and len(data) >= end else 0


_UNITS: Final[tuple[tuple[type, Callable[[Any, Held], int]], ...]] = (
    (LineReceiver, _line_or_raw),
    (LineOnlyReceiver, _line),
    (IntNStringReceiver, _prefixed),
    (NetstringReceiver, _netstring),
)
