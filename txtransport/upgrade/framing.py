"""Where a parser's next unit ends: a line, a length-prefixed message, a tag or a byte.

Bytes behind the command that switches to TLS must not be in the parser's hands
when it acts on that command, and a parser does not give bytes back. So the
parser receives one *unit* at a time: as many bytes as possible such that it
acts on the last of them and on none before. A line with its end is such a
unit: a line parser acts when it sees the end.

This module knows Twisted's own parsers by their public attributes. Any other
parser receives single bytes, which is slow, but right for every parser.
"""

from __future__ import annotations

import re
import struct
import sys
from typing import Final, Protocol, cast

from twisted.protocols.basic import (
    IntNStringReceiver,
    LineOnlyReceiver,
    LineReceiver,
    NetstringReceiver,
)

from txtransport.upgrade.xml_framing import next_tag

__all__ = ["Held", "is_instance_of", "is_paused", "next_unit"]

Held = bytes | bytearray
"""Bytes that have arrived and that the parser has not received yet."""


class _PrefixedParser(Protocol):
    """What every concrete `IntNStringReceiver` has.

    Attributes:
        structFormat: The prefix, as the `struct` module describes it.
        prefixLength: The prefix's length, in bytes.
        MAX_LENGTH: How long a message may be, in bytes.
    """

    structFormat: str
    prefixLength: int
    MAX_LENGTH: int


def next_unit(parser: object, data: Held) -> int:
    """How many bytes of `data` the parser may receive next.

    Args:
        parser: The protocol.
        data: What has arrived; not empty.

    Returns:
        A number of bytes, or 0 when the unit is not complete yet. A line or a
        message that is too long, which the parser will refuse, is passed to
        the parser at once: it must not pile up here.

    Raises:
        PeerMisbehaved: The peer sends XML in which tags may hide.
    """
    if isinstance(parser, LineReceiver):
        # Only the protocol knows where raw data ends.
        return _line(parser, data) if parser.line_mode else 1
    if isinstance(parser, LineOnlyReceiver):
        return _line(parser, data)
    if isinstance(parser, IntNStringReceiver):
        return _prefixed(cast(_PrefixedParser, parser), data)
    if isinstance(parser, NetstringReceiver):
        return _netstring(parser, data)
    if is_instance_of(parser, "twisted.words.xish.xmlstream", "XmlStream"):
        return next_tag(data)
    return 1


def is_instance_of(parser: object, module: str, name: str) -> bool:
    """Whether a protocol is an instance of a class, without importing the class.

    Args:
        parser: The protocol.
        module: The full name of the module that defines the class. When it was
            never imported, no instance can exist.
        name: The class's name in that module.
    """
    kind = getattr(sys.modules.get(module), name, None)
    return kind is not None and isinstance(parser, kind)


def is_paused(parser: object) -> bool:
    """Whether one of Twisted's parsers has paused itself (``pauseProducing()``)."""
    return isinstance(parser, (LineReceiver, IntNStringReceiver)) and bool(parser.paused)


def _line(parser: LineReceiver | LineOnlyReceiver, data: Held) -> int:
    end = data.find(parser.delimiter)
    if end >= 0:
        return end + len(parser.delimiter)
    return len(data) if len(data) > parser.MAX_LENGTH + len(parser.delimiter) else 0


def _prefixed(parser: _PrefixedParser, data: Held) -> int:
    prefix = parser.prefixLength
    if len(data) < prefix:
        return 0
    length: int = struct.unpack_from(parser.structFormat, data)[0]
    if length > parser.MAX_LENGTH:
        return prefix
    return prefix + length if len(data) >= prefix + length else 0


_NETSTRING_LENGTH: Final = re.compile(rb"(0|[1-9][0-9]{0,15})(:?)").match


def _netstring(parser: NetstringReceiver, data: Held) -> int:
    found = _NETSTRING_LENGTH(data)
    if found is None or (not found[2] and found.end() < len(data)):
        # No netstring; the parser will end the connection.
        return len(data)
    length = int(found[1])
    if length > parser.MAX_LENGTH:
        return found.end()
    end = found.end() + length + len(b",")
    return end if found[2] and len(data) >= end else 0
