"""VNC: VeNCrypt, RFB's security type 19 (RFC 6143, 7.1; rfbproto, 7.2.13).

    S: "RFB 003.008\\n"
    C: "RFB 003.008\\n"
    S: 01 13                            security types: one, VeNCrypt
    C: 13
    S: 00 02                            VeNCrypt 0.2
    C: 00 02
    S: 00                               accepted
    S: 03 00 00 01 06 00 00 01 05 00 00 01 04
    C: 00 00 01 06                      X509Plain (262), X509Vnc or X509None
    S: 01                               go ahead
    TLS
    S, C: the login of this subtype: name and password, a challenge, or none

The subtypes without a certificate (257 to 259) do not protect from someone on the
path, and are neither chosen nor offered. The application's protocol continues
with the login of the chosen subtype, so it asks for the outcome: the subtype,
four bytes, big endian. The client chooses the subtype, so an application that
admits nobody without a password has to refuse X509None itself.
"""

from __future__ import annotations

import re
from typing import Final

from txtransport.errors import PeerLeft, PeerMisbehaved, TLSNotOffered, TLSRefused
from txtransport.starttls.wire import Dialogue, Wire
from txtransport.text import escape_bytes

__all__ = ["X509_NONE", "X509_PLAIN", "X509_VNC", "connect", "serve"]

_VERSION: Final = b"RFB 003.008\n"
_VENCRYPT: Final = b"\x13"
_VENCRYPT_VERSION: Final = b"\x00\x02"

X509_NONE: Final = 260
X509_VNC: Final = 261
X509_PLAIN: Final = 262
_SUBTYPES: Final = (X509_PLAIN, X509_VNC, X509_NONE)
"""The subtypes with a certificate, in the order in which our server offers them."""

_REFUSAL_REASON: Final = b"this server demands VeNCrypt with a certificate (X509), over RFB 3.8"

_is_version: Final = re.compile(rb"RFB [0-9]{3}\.[0-9]{3}\n").fullmatch


def connect(wire: Wire) -> Dialogue[bytes]:
    """The client's side; returns the first offered subtype that has a certificate, 4 bytes."""
    version = yield from _version(wire)
    # Before 3.8 the security handshake ends in another way.
    if version < _VERSION:
        raise TLSNotOffered(version)
    wire.ask(_VERSION)
    types = yield from wire.exactly((yield from _number(wire, 1)))
    if not types:
        # The server refuses the connection, and sends the reason.
        raise PeerLeft((yield from wire.exactly((yield from _number(wire, 4)))))
    if _VENCRYPT not in types:
        raise TLSNotOffered(types)
    wire.ask(_VENCRYPT)
    vencrypt = yield from wire.exactly(2)
    if vencrypt < _VENCRYPT_VERSION:
        raise TLSNotOffered(vencrypt)
    wire.ask(_VENCRYPT_VERSION)
    status = yield from wire.exactly(1)
    if status != b"\x00":
        raise TLSRefused(status.hex(), b"the server does not speak VeNCrypt 0.2")
    offered = yield from wire.exactly(4 * (yield from _number(wire, 1)))
    subtype = next(
        (each for each in _four_byte_groups(offered) if int.from_bytes(each, "big") in _SUBTYPES),
        b"",
    )
    if not subtype:
        raise TLSNotOffered(offered)
    wire.ask(subtype)
    status = yield from wire.exactly(1)
    if status == b"\x00":
        raise TLSRefused("0", b"the server does not go on with what it has offered")
    if status != b"\x01":
        raise PeerMisbehaved(f"expected 01 or 00, and the peer sent {escape_bytes(status)}")
    return subtype


def serve(wire: Wire) -> Dialogue[bytes]:
    """The server's side; returns the subtype that the client has chosen, 4 bytes."""
    wire.send(_VERSION)
    version = yield from _version(wire)
    if version != _VERSION:
        # Since 3.7 the server sends a list of types, here an empty one; before, one type, here 0.
        none = b"\x00" if version >= b"RFB 003.007\n" else bytes(4)
        wire.send(none + _counted_reason())
        raise PeerMisbehaved(
            f"the client speaks {escape_bytes(version)}, which has no VeNCrypt here"
        )
    wire.send(b"\x01" + _VENCRYPT)
    chosen = yield from wire.exactly(1)
    if chosen != _VENCRYPT:
        wire.send(b"\x00\x00\x00\x01" + _counted_reason())
        raise PeerMisbehaved(f"the client chose security type {chosen[0]}, which was not offered")
    wire.send(_VENCRYPT_VERSION)
    vencrypt = yield from wire.exactly(2)
    if vencrypt != _VENCRYPT_VERSION:
        wire.send(b"\xff")
        raise PeerMisbehaved(f"the client speaks VeNCrypt {vencrypt[0]}.{vencrypt[1]}, not 0.2")
    subtypes = [subtype.to_bytes(4, "big") for subtype in _SUBTYPES]
    wire.send(b"\x00" + bytes([len(subtypes)]) + b"".join(subtypes))
    subtype = yield from wire.exactly(4)
    if subtype not in subtypes:
        wire.send(b"\x00")
        raise PeerMisbehaved(f"the client chose {escape_bytes(subtype)}, which was not offered")
    wire.send(b"\x01")
    return subtype


def _version(wire: Wire) -> Dialogue[bytes]:
    version = yield from wire.exactly(len(_VERSION))
    if not _is_version(version):
        raise PeerMisbehaved(
            f"expected a version of RFB, and the peer sent {escape_bytes(version)}"
        )
    return version


def _number(wire: Wire, size: int) -> Dialogue[int]:
    return int.from_bytes((yield from wire.exactly(size)), "big")


def _four_byte_groups(data: bytes) -> list[bytes]:
    return [data[start : start + 4] for start in range(0, len(data), 4)]


def _counted_reason() -> bytes:
    return len(_REFUSAL_REASON).to_bytes(4, "big") + _REFUSAL_REASON
