r"""MySQL and MariaDB: the SSLRequest packet (client/server protocol, "Protocol::SSLRequest").

    S: 55 00 00 00 0a "8.0.0-..." 00 ...  greeting: version, salt, capabilities
    C: 20 00 00 01 85 ae 7f 00 00 00 00 01 21 00 ... 00
    TLS                                   at once: the request has no answer
    C: .. .. 00 02 ...                    login, which begins with the same bytes

Packet numbers continue under TLS, and the login is computed from the salt in the
greeting, so the application's protocol has to know the greeting. It does not
receive the greeting as data: it asks for the outcome, which on both sides is the
whole packet of the greeting, with its header.

The application's protocol of a client must not trust anything in the greeting,
since anyone on the path may have sent it. It sends the login as packet 2, which
begins with `REQUEST` again: MySQL reads the capabilities only once, and closes
the connection if the charset differs. With these capabilities the login
continues with the user, 00, the length of the authentication response and the
response, the plug-in's name, 00, and the length of the attributes and the
attributes (00 for none). A database is chosen afterwards.

The application's protocol of a server sends no greeting of its own. It checks
the login, packet 2, against the salt of the greeting that was sent, and answers
with packet 3. If the authentication response is of the plug-in that our greeting
names (caching_sha2_password), ``01 03`` ("fast authentication succeeded") has to
come before the OK: a client takes an OK alone for a request to send the password
itself.
"""

from __future__ import annotations

import struct
from typing import Final

from txtransport.errors import PeerLeft, PeerMisbehaved, TLSNotOffered
from txtransport.starttls.wire import Dialogue, Wire
from txtransport.text import escape_bytes

__all__ = ["REQUEST", "connect", "serve"]

_PROTOCOL_41: Final = 0x0200
_SSL: Final = 0x0800
_NEEDED: Final = _PROTOCOL_41 | _SSL

_REQUEST: Final = struct.Struct("<IIB23x")
_UTF8: Final = 33

REQUEST: Final = _REQUEST.pack(0x007FAE85, 0x01000000, _UTF8)
"""The payload of the SSLRequest: capabilities, the longest packet in bytes, charset."""

_MAX_GREETING: Final = 1024
"""The most bytes that a greeting may have; real ones have about 80."""
_PROTOCOL: Final = 10
_ERROR: Final = 0xFF

_VERSION: Final = b"8.0.0-txtransport"
_OFFERED: Final = 0x0008AA0D
"""Long password and flags, a database, 4.1's protocol, SSL, transactions, plug-ins."""
_AUTOCOMMIT: Final = 2
_SALT: Final = 20
_PLUGIN: Final = b"caching_sha2_password"

_REFUSAL: Final = b"\xff" + (3159).to_bytes(2, "little") + b"#HY000this server demands TLS"
"""ER_SECURE_TRANSPORT_REQUIRED."""


def connect(wire: Wire) -> Dialogue[bytes]:
    """The client's side; returns the server's greeting, a whole packet."""
    head = yield from wire.exactly(4)
    length = _length(head)
    if not 0 < length <= _MAX_GREETING or head[3] != 0:
        raise PeerMisbehaved(f"expected MySQL's greeting, and the peer sent {escape_bytes(head)}")
    greeting = yield from wire.exactly(length)
    if greeting[0] == _ERROR:
        # Behind a code, the reason: host blocked, too many connections.
        raise PeerLeft(greeting[3:])
    version, end, rest = greeting[1:].partition(b"\0")
    # Behind the version: connection id (4), salt (8), a zero (1), capabilities (2).
    if greeting[0] != _PROTOCOL or not end or len(rest) < 15:
        raise PeerMisbehaved(
            f"expected MySQL's greeting, and the peer sent {escape_bytes(greeting)}"
        )
    if int.from_bytes(rest[13:15], "little") & _NEEDED != _NEEDED:
        raise TLSNotOffered(version)
    wire.send(_packet(1, REQUEST))
    return head + greeting


def serve(wire: Wire) -> Dialogue[bytes]:
    """The server's side; returns the greeting that it has sent, a whole packet."""
    wire.accepts_early_client_hello = True
    greeting = _packet(0, _greeting(_salt(wire)))
    wire.send(greeting)
    head = yield from wire.exactly(4)
    # A login in plaintext is longer: only its header is read, not the password.
    if _length(head) == _REQUEST.size and head[3] == 1:
        capabilities, *_ = _REQUEST.unpack((yield from wire.exactly(_REQUEST.size)))
        if capabilities & _NEEDED == _NEEDED:
            return greeting
    wire.send(_packet(2, _REFUSAL))
    raise PeerMisbehaved("the client did not ask for TLS (--ssl-mode=REQUIRED does)")


def _length(head: bytes) -> int:
    return int.from_bytes(head[:3], "little")


def _packet(number: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "little") + bytes([number]) + payload


def _salt(wire: Wire) -> bytes:
    """20 unpredictable bytes without a zero, which would end the salt."""
    salt = b""
    while len(salt) < _SALT:
        salt += wire.nonce().encode("ascii")
    return salt[:_SALT]


def _greeting(salt: bytes) -> bytes:
    return b"".join(
        (
            bytes([_PROTOCOL]) + _VERSION + b"\0",
            bytes(
                4
            ),  # The connection id: the application, which could choose one, is not there yet.
            salt[:8] + b"\0",
            (_OFFERED & 0xFFFF).to_bytes(2, "little"),
            bytes([_UTF8]) + _AUTOCOMMIT.to_bytes(2, "little"),
            (_OFFERED >> 16).to_bytes(2, "little"),
            bytes([_SALT + 1]) + bytes(10),
            salt[8:] + b"\0",
            _PLUGIN + b"\0",
        )
    )
