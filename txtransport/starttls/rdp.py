"""RDP: the security negotiation within the X.224 connection (MS-RDPBCGR, 1.3.1.1, 2.2.1.1).

    C: 03 00 00 13 0e e0 00 00 00 00 00 01 00 08 00 01 00 00 00     TLS, please
    S: 03 00 00 13 0e d0 00 00 12 34 00 02 00 08 00 01 00 00 00     TLS it is
    TLS
    C: MCS Connect Initial                                          or CredSSP

``rdp`` asks for TLS alone, and the guest goes on with MCS. Servers that demand
that users log on before a session begins (NLA) refuse this; ``rdp-nla`` asks
for CredSSP over TLS (``03`` in place of ``01``; ``02`` is the answer), with which
the guest goes on. Either way the guest hears nothing, and knows where it is.
There is no server's side here.
"""

from __future__ import annotations

import struct
from typing import Final

from txtransport.errors import PeerMisbehaved, TLSNotOffered, TLSRefused
from txtransport.starttls.wire import Dialogue, Wire
from txtransport.text import escape_bytes

_TPKT: Final = struct.Struct(">BBH")
_REQUEST: Final = bytes.fromhex("03000013 0ee00000000000 01000800")
_CONFIRM: Final = struct.Struct("<BBHHB")
_SECURITY: Final = struct.Struct("<BBHI")

_BARE: Final = _TPKT.size + _CONFIRM.size
"""What a server sends that knows nothing but RDP's own encryption."""
_WHOLE: Final = _BARE + _SECURITY.size

_TLS: Final = 1
_CREDSSP: Final = 2
"""Over TLS too."""

_LESS: Final = {
    0: b"the server chose RDP's own encryption",
    _TLS: b"the server chose TLS without network level authentication (starttls=rdp)",
}
"""Our words for choices that are less than what was asked for."""

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
"""Our words for the codes of MS-RDPBCGR, 2.2.1.2.2."""


def connect(wire: Wire) -> Dialogue[bytes]:
    """The client's side, with TLS alone."""
    return (yield from _connect(wire, _TLS, _TLS))


def connect_nla(wire: Wire) -> Dialogue[bytes]:
    """The client's side, with CredSSP to follow."""
    # Whoever asks for CredSSP has to ask for TLS as well (2.2.1.1.1).
    return (yield from _connect(wire, _TLS | _CREDSSP, _CREDSSP))


def _connect(wire: Wire, asked: int, wanted: int) -> Dialogue[bytes]:
    wire.ask(_REQUEST + asked.to_bytes(4, "little"))
    head = yield from wire.exactly(_TPKT.size)
    version, _, length = _TPKT.unpack(head)
    if version != 3 or length not in (_BARE, _WHOLE):
        raise PeerMisbehaved(
            f"expected a connection confirm, and the peer sent {escape_bytes(head)}"
        )
    body = yield from wire.exactly(length - _TPKT.size)
    rest, code, *_ = _CONFIRM.unpack_from(body)
    if code != _CONFIRMED or rest != len(body) - 1:
        raise PeerMisbehaved(
            f"expected a connection confirm, and the peer sent {escape_bytes(body)}"
        )
    if length == _BARE:
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
    if value in _LESS:
        raise TLSRefused(str(value), _LESS[value])
    raise PeerMisbehaved(f"the peer chose security {value}, which it was not asked for")
