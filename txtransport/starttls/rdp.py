"""RDP: the security negotiation within the X.224 connection (MS-RDPBCGR, 1.3.1.1, 2.2.1.1).

    C: 03 00 00 13 0e e0 00 00 00 00 00 01 00 08 00 01 00 00 00     asks for TLS
    S: 03 00 00 13 0e d0 00 00 12 34 00 02 00 08 00 01 00 00 00     chooses TLS
    TLS
    C: MCS Connect Initial                                          or CredSSP

``rdp`` asks for TLS alone, and the application's protocol continues with MCS.
Servers that demand network level authentication (NLA: users log on before a
session begins) refuse this. ``rdp-nla`` asks for CredSSP over TLS (``03`` instead
of ``01``; the answer is ``02``), and the application's protocol continues with
CredSSP. Either way it receives nothing. There is no server's side here.
"""

from __future__ import annotations

import struct
from typing import Final

from txtransport.errors import PeerMisbehaved, TLSNotOffered, TLSRefused
from txtransport.starttls.wire import Dialogue, Wire
from txtransport.text import escape_bytes

__all__ = ["connect", "connect_nla"]

_TPKT: Final = struct.Struct(">BBH")
_REQUEST: Final = bytes.fromhex("03000013 0ee00000000000 01000800")
_CONFIRM: Final = struct.Struct("<BBHHB")
_SECURITY: Final = struct.Struct("<BBHI")

_SHORT_CONFIRM: Final = _TPKT.size + _CONFIRM.size
"""Bytes of the answer of a server that has only RDP's own encryption."""
_FULL_CONFIRM: Final = _SHORT_CONFIRM + _SECURITY.size

_TLS: Final = 1
_CREDSSP: Final = 2
"""CredSSP, which runs over TLS as well."""

_WEAKER_CHOICES: Final = {
    0: b"the server chose RDP's own encryption",
    _TLS: b"the server chose TLS without network level authentication (starttls=rdp)",
}
"""Choices that are weaker than what was asked for, in our words."""

_CONFIRMED: Final = 0xD0
_CHOICE: Final = 2
_FAILURE: Final = 3

_FAILURES: Final = {
    1: b"the server demands TLS",
    2: b"the server has TLS switched off",
    3: b"the server has no certificate",
    4: b"the server found the flags inconsistent",
    5: b"the server demands network level authentication (starttls=rdp-nla)",
    6: b"the server demands TLS with a certificate of the client's",
}
"""The failure codes of MS-RDPBCGR, 2.2.1.2.2, in our words."""


def connect(wire: Wire) -> Dialogue[bytes]:
    """The client's side, with TLS alone."""
    return (yield from _connect(wire, _TLS, _TLS))


def connect_nla(wire: Wire) -> Dialogue[bytes]:
    """The client's side, with CredSSP over TLS."""
    # A request for CredSSP has to ask for TLS as well (2.2.1.1.1).
    return (yield from _connect(wire, _TLS | _CREDSSP, _CREDSSP))


def _connect(wire: Wire, asked: int, wanted: int) -> Dialogue[bytes]:
    wire.ask(_REQUEST + asked.to_bytes(4, "little"))
    head = yield from wire.exactly(_TPKT.size)
    version, _, length = _TPKT.unpack(head)
    if version != 3 or length not in (_SHORT_CONFIRM, _FULL_CONFIRM):
        raise PeerMisbehaved(
            f"expected a connection confirm, and the peer sent {escape_bytes(head)}"
        )
    body = yield from wire.exactly(length - _TPKT.size)
    rest, code, *_ = _CONFIRM.unpack_from(body)
    if code != _CONFIRMED or rest != len(body) - 1:
        raise PeerMisbehaved(
            f"expected a connection confirm, and the peer sent {escape_bytes(body)}"
        )
    if length == _SHORT_CONFIRM:
        raise TLSNotOffered(head + body)
    kind, _, size, value = _SECURITY.unpack_from(body, _CONFIRM.size)
    if kind == _FAILURE and size == _SECURITY.size:
        raise TLSRefused(str(value), _FAILURES.get(value, b"for a reason that is not known"))
    if kind != _CHOICE or size != _SECURITY.size:
        raise PeerMisbehaved(
            f"expected a choice of security, and the peer sent {escape_bytes(body)}"
        )
    if value == wanted:
        return b""
    if value in _WEAKER_CHOICES:
        raise TLSRefused(str(value), _WEAKER_CHOICES[value])
    raise PeerMisbehaved(f"the peer chose security {value}, which it was not asked for")
