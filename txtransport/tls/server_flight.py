"""Whether a server's own answer to a ClientHello resumes a session, by its bytes.

SSL_session_reused(3) is not public in pyOpenSSL. The first flight of a server shows it in
the clear::

    TLS 1.3   ServerHello with pre_shared_key, then encrypted      resumed
              ServerHello without it, then encrypted               not resumed
              HelloRetryRequest                                    the next flight shows it
    TLS 1.2   ServerHello, (NewSessionTicket,) ChangeCipherSpec    resumed
              ServerHello, Certificate …                           not resumed
"""

from __future__ import annotations

import struct
from typing import Final

__all__ = ["resumes_session"]

_HANDSHAKE: Final = 22
_SERVER_HELLO: Final = 2
_NEW_SESSION_TICKET: Final = 4
_PRE_SHARED_KEY: Final = 41
_SUPPORTED_VERSIONS: Final = 43

_RETRY: Final = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
"""The random value of a HelloRetryRequest (RFC 8446, section 4.1.3)."""


def resumes_session(flight: bytes) -> bool | None:
    """Whether a server's flight resumes a session.

    Args:
        flight: What the server sends in answer to a ClientHello, from its first byte.

    Returns:
        None where the flight does not show it: it is a HelloRetryRequest, an alert, or
        incomplete.

    Source: RFC 8446, sections 4.1.3 and 4.2.11; RFC 5246, section 7.3; RFC 5077, section 3.1.
    """
    messages = _plain_handshake(flight)
    size = int.from_bytes(messages[1:4], "big")
    hello = messages[4 : 4 + size]
    is_whole = messages[:1] == bytes([_SERVER_HELLO]) and len(hello) == size > _BEFORE_SESSION_ID
    if not is_whole or hello[2:34] == _RETRY:
        return None
    extensions = _extension_types(hello)
    if _SUPPORTED_VERSIONS in extensions:
        return _PRE_SHARED_KEY in extensions
    return messages[4 + size : 5 + size] in (b"", bytes([_NEW_SESSION_TICKET]))


def _plain_handshake(flight: bytes) -> bytes:
    """The handshake messages at the beginning of a flight, without their records."""
    messages, at = b"", 0
    while flight[at : at + 1] == bytes([_HANDSHAKE]):
        size = int.from_bytes(flight[at + 3 : at + 5], "big")
        messages += flight[at + 5 : at + 5 + size]
        at += 5 + size
    return messages


def _extension_types(hello: bytes) -> set[int]:
    # Behind the session id stand cipher (2 bytes), compression (1) and the length of the
    # extensions (2).
    end = len(hello)
    at = _BEFORE_SESSION_ID + 1 + hello[_BEFORE_SESSION_ID] + 5
    types = set()
    while at + 4 <= end:
        kind, size = _EXTENSION.unpack_from(hello, at)
        types.add(kind)
        at += 4 + size
    return types


_BEFORE_SESSION_ID: Final = 34
"""Bytes of a ServerHello before the length of the session id: version and random value."""

_EXTENSION: Final = struct.Struct(">HH")
"""Type and length."""
