"""VNC: VeNCrypt, RFB's security type 19 (RFC 6143, 7.1; rfbproto, 7.2.13).

    S: "RFB 003.008\\n"
    C: "RFB 003.008\\n"
    S: 01 13                            security types: one, VeNCrypt
    C: 13
    S: 00 02                            VeNCrypt 0.2
    C: 00 02
    S: 00                               good
    S: 03 00 00 01 06 00 00 01 05 00 00 01 04
    C: 00 00 01 06                      X509Plain (262), X509Vnc or X509None
    S: 01                               go ahead
    TLS
    S, C: what the kind demands: name and password, a challenge, nothing

The kinds without a certificate (257 to 259) are open to whoever stands in
between, and are neither taken nor offered. The guest goes on with what the
chosen kind demands, so it asks for the outcome: the kind, four bytes, big
endian. A server whose guest lets no one in without a password has to check it.
"""

from __future__ import annotations

import re
from typing import Final

from txtransport.errors import PeerLeft, PeerMisbehaved, TLSNotOffered, TLSRefused
from txtransport.starttls.wire import Dialogue, Wire
from txtransport.text import escape_bytes

_VERSION: Final = b"RFB 003.008\n"
_VENCRYPT: Final = b"\x13"
_VENCRYPT_VERSION: Final = b"\x00\x02"

X509_NONE: Final = 260
X509_VNC: Final = 261
X509_PLAIN: Final = 262
_KINDS: Final = (X509_PLAIN, X509_VNC, X509_NONE)
"""Those with a certificate, in the order in which a server offers them."""

_NO: Final = b"this server demands VeNCrypt with a certificate (X509), over RFB 3.8"

_is_version: Final = re.compile(rb"RFB [0-9]{3}\.[0-9]{3}\n").fullmatch


def connect(wire: Wire) -> Dialogue[bytes]:
    """The client's side; of the kinds that are fit it takes the server's first."""
    version = yield from _version(wire)
    # Before 3.8 the end of the security handshake looks different.
    if version < _VERSION:
        raise TLSNotOffered(version)
    wire.ask(_VERSION)
    types = yield from wire.exactly((yield from _number(wire, 1)))
    if not types:
        # It turns us away, and says why.
        raise PeerLeft((yield from wire.exactly((yield from _number(wire, 4)))))
    if _VENCRYPT not in types:
        raise TLSNotOffered(types)
    wire.ask(_VENCRYPT)
    vencrypt = yield from wire.exactly(2)
    if vencrypt < _VENCRYPT_VERSION:
        raise TLSNotOffered(vencrypt)
    wire.ask(_VENCRYPT_VERSION)
    verdict = yield from wire.exactly(1)
    if verdict != b"\x00":
        raise TLSRefused(verdict.hex(), b"the server does not speak VeNCrypt 0.2")
    offered = yield from wire.exactly(4 * (yield from _number(wire, 1)))
    kind = next((each for each in _fours(offered) if int.from_bytes(each, "big") in _KINDS), b"")
    if not kind:
        raise TLSNotOffered(offered)
    wire.ask(kind)
    verdict = yield from wire.exactly(1)
    if verdict == b"\x00":
        raise TLSRefused("0", b"the server does not go on with what it has offered")
    if verdict != b"\x01":
        raise PeerMisbehaved(f"expected 01 or 00, and the peer sent {escape_bytes(verdict)}")
    return kind


def serve(wire: Wire) -> Dialogue[bytes]:
    """The server's side."""
    wire.send(_VERSION)
    version = yield from _version(wire)
    if version != _VERSION:
        # Since 3.7 there is a list of types, which is empty; before, one type, which is 0.
        none = b"\x00" if version >= b"RFB 003.007\n" else bytes(4)
        wire.send(none + _reason())
        raise PeerMisbehaved(
            f"the client speaks {escape_bytes(version)}, which has no VeNCrypt here"
        )
    wire.send(b"\x01" + _VENCRYPT)
    chosen = yield from wire.exactly(1)
    if chosen != _VENCRYPT:
        wire.send(b"\x00\x00\x00\x01" + _reason())
        raise PeerMisbehaved(f"the client chose security type {chosen[0]}, which was not offered")
    wire.send(_VENCRYPT_VERSION)
    vencrypt = yield from wire.exactly(2)
    if vencrypt != _VENCRYPT_VERSION:
        wire.send(b"\xff")
        raise PeerMisbehaved(f"the client speaks VeNCrypt {vencrypt[0]}.{vencrypt[1]}, not 0.2")
    kinds = [kind.to_bytes(4, "big") for kind in _KINDS]
    wire.send(b"\x00" + bytes([len(kinds)]) + b"".join(kinds))
    kind = yield from wire.exactly(4)
    if kind not in kinds:
        wire.send(b"\x00")
        raise PeerMisbehaved(f"the client chose {escape_bytes(kind)}, which was not offered")
    wire.send(b"\x01")
    return kind


def _version(wire: Wire) -> Dialogue[bytes]:
    version = yield from wire.exactly(len(_VERSION))
    if not _is_version(version):
        raise PeerMisbehaved(
            f"expected a version of RFB, and the peer sent {escape_bytes(version)}"
        )
    return version


def _number(wire: Wire, size: int) -> Dialogue[int]:
    return int.from_bytes((yield from wire.exactly(size)), "big")


def _fours(data: bytes) -> list[bytes]:
    return [data[place : place + 4] for place in range(0, len(data), 4)]


def _reason() -> bytes:
    return len(_NO).to_bytes(4, "big") + _NO
