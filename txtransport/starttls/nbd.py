"""NBD: ``NBD_OPT_STARTTLS`` of the fixed newstyle negotiation (NBD's ``proto.md``).

    S: "NBDMAGIC" "IHAVEOPT" 00 03      fixed newstyle, and no zeroes
    C: 00 00 00 03                      those of them that the client knows too
    C: "IHAVEOPT" 00 00 00 05 00 00 00 00
    S: 00 03 e8 89 04 55 65 a9 00 00 00 05 00 00 00 01 00 00 00 00
    TLS
    C: "IHAVEOPT" 00 00 00 07 ...       every option anew (CVE-2021-3716)

The greeting and the client's flags are not sent again under TLS. The
application's protocol asks for the outcome, which on both sides is the client's
flags, four bytes, big endian. Someone on the path may have cleared "no zeroes"
for one side only, so an application should ask for its export with
``NBD_OPT_GO``, where this flag has no effect.
"""

from __future__ import annotations

import struct
from typing import Final

from txtransport.errors import PeerLeft, PeerMisbehaved, TLSNotOffered, TLSRefused
from txtransport.starttls.wire import COMMANDS, Dialogue, Wire
from txtransport.text import escape_bytes

__all__ = ["connect", "serve"]

_GREETING: Final = struct.Struct(">8s8sH")
_REQUEST: Final = struct.Struct(">8sII")
_REPLY: Final = struct.Struct(">8sIII")

_SERVER_MAGIC: Final = b"NBDMAGIC"
_OPTION_MAGIC: Final = b"IHAVEOPT"
_OLDSTYLE: Final = bytes.fromhex("0000420281861253")
_REPLY_MAGIC: Final = bytes.fromhex("0003e889045565a9")

_FIXED: Final = 1
_FLAGS: Final = 3
"""Fixed newstyle, without which there is no STARTTLS, and no zeroes."""

_EXPORT_NAME: Final = 1
_ABORT: Final = 2
_STARTTLS: Final = 5

_ACK: Final = 1
_UNSUPPORTED: Final = 0x80000001
_INVALID: Final = 0x80000003
_TLS_REQUIRED: Final = 0x80000005


def connect(wire: Wire) -> Dialogue[bytes]:
    """The client's side; returns the flags that both sides know, 4 bytes."""
    greeting = yield from wire.exactly(_GREETING.size)
    server, style, flags = _GREETING.unpack(greeting)
    if server != _SERVER_MAGIC or style not in (_OPTION_MAGIC, _OLDSTYLE):
        raise PeerMisbehaved(f"expected NBD's greeting, and the peer sent {escape_bytes(greeting)}")
    if style == _OLDSTYLE or not flags & _FIXED:
        raise TLSNotOffered(greeting)
    agreed: bytes = (flags & _FLAGS).to_bytes(4, "big")
    wire.ask(agreed + _REQUEST.pack(_OPTION_MAGIC, _STARTTLS, 0))
    reply = yield from wire.exactly(_REPLY.size)
    magic, option, kind, length = _REPLY.unpack(reply)
    if magic != _REPLY_MAGIC or option != _STARTTLS:
        raise PeerMisbehaved(
            f"expected a reply to STARTTLS, and the peer sent {escape_bytes(reply)}"
        )
    if kind == _ACK and length == 0:
        return agreed
    if kind < _UNSUPPORTED:
        raise PeerMisbehaved(
            f"expected an acknowledgement, and the peer sent {escape_bytes(reply)}"
        )
    text = yield from wire.exactly(length)
    if kind == _UNSUPPORTED:
        raise TLSNotOffered(text)
    raise TLSRefused(f"{kind:#010x}", text)


def serve(wire: Wire) -> Dialogue[bytes]:
    """The server's side; returns the flags that the client has set, 4 bytes."""
    wire.send(_GREETING.pack(_SERVER_MAGIC, _OPTION_MAGIC, _FLAGS))
    agreed = yield from wire.exactly(4)
    if int.from_bytes(agreed, "big") & ~_FLAGS:
        raise PeerMisbehaved(
            f"the client knows flags that it was not offered: {escape_bytes(agreed)}"
        )
    for _ in range(COMMANDS):
        request = yield from wire.exactly(_REQUEST.size)
        magic, option, length = _REQUEST.unpack(request)
        if magic != _OPTION_MAGIC:
            raise PeerMisbehaved(f"expected an option, and the peer sent {escape_bytes(request)}")
        yield from wire.exactly(length)
        if option == _STARTTLS and not length:
            _send_reply(wire, option, _ACK)
            return agreed
        if option == _ABORT:
            _send_reply(wire, option, _ACK)
            raise PeerLeft()
        if option == _EXPORT_NAME:
            # The protocol has no reply that refuses this option.
            raise PeerMisbehaved("the client asked for an export before TLS")
        _send_reply(wire, option, _INVALID if option == _STARTTLS else _TLS_REQUIRED)
    wire.give_up(b"")


def _send_reply(wire: Wire, option: int, kind: int) -> None:
    wire.send(_REPLY.pack(_REPLY_MAGIC, option, kind, 0))
