"""What a TLS record looks like from outside, by its first bytes.

A record begins with its content type, the major version 3 (that of every TLS since
SSL 3.0) and a minor version (RFC 8446, section 5.1). A peer may send any number of bytes
at a time, so each function here decides by the first byte or two if there are no more.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = [
    "alert_number",
    "begins_handshake",
    "begins_hello",
    "is_alert",
    "is_ssl2",
    "is_ssl3",
    "is_tls",
]

_ALERT: Final = b"\x15"
_HANDSHAKE: Final = b"\x16"
_CONTENT_TYPES: Final = (b"\x14", _ALERT, _HANDSHAKE, b"\x17")
_MAJOR: Final = b"\x03"

# Type, version and length of a whole alert; its level and its number.
_WHOLE_ALERT: Final = re.compile(rb"\x15\x03.\x00\x02[\x01\x02](.)", re.DOTALL)


def is_tls(received: bytes | bytearray) -> bool:
    """Whether a peer's first bytes may be the beginning of a TLS record of any type.

    Args:
        received: The first bytes; of a single byte only the type is known.
    """
    return received[:1] in _CONTENT_TYPES and received[1:2] in (b"", _MAJOR)


def begins_handshake(received: bytes | bytearray) -> bool:
    """Whether bytes may be the beginning of a handshake record, such as a ClientHello.

    Args:
        received: The first bytes; of a single byte only the type is known.
    """
    return received[:1] == _HANDSHAKE and received[1:2] in (b"", _MAJOR)


def is_ssl2(received: bytes | bytearray) -> bool:
    """Whether a peer's first bytes may be a message of SSL 2.0, which no record surrounds.

    Args:
        received: The first bytes: a length of two bytes, and the kind of the message: an
            error, a hello of a client or one of a server.
    """
    return received[:1] >= b"\x80" and received[2:3] in (b"", b"\x00", b"\x01", b"\x04")


def is_ssl3(received: bytes | bytearray) -> bool:
    """Whether a peer's first message says that it speaks SSL 3.0, and perhaps nothing newer.

    Args:
        received: The first bytes. A client of TLS may send its hello in a record of SSL 3.0;
            what counts is the version in the hello.
    """
    if received[1:3] != b"\x03\x00":
        return False
    return is_alert(received) or (begins_hello(received) and received[9:11] == b"\x03\x00")


def begins_hello(received: bytes | bytearray) -> bool:
    """Whether bytes are the beginning of a ClientHello or ServerHello (RFC 8446, section 4).

    Args:
        received: The first bytes; a record's header and one more are enough, and of
            fewer the answer is no.
    """
    return begins_handshake(received) and received[5:6] in (b"\x01", b"\x02")


def is_alert(received: bytes | bytearray) -> bool:
    """Whether bytes are the beginning of an alert record, type and major version.

    Args:
        received: The first bytes; one of them is not enough.
    """
    return received[:2] == _ALERT + _MAJOR


def alert_number(received: bytes | bytearray) -> int | None:
    """The number of the alert that a peer began with, or None when it began otherwise.

    Args:
        received: The first bytes. An alert is 7 bytes long.
    """
    found = _WHOLE_ALERT.match(received)
    return found[1][0] if found is not None else None
