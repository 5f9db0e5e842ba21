"""Telnet: the option START_TLS (draft-altman-telnet-starttls-02).

    S: ff fd 2e                         IAC DO START_TLS
    C: ff fb 2e                         IAC WILL START_TLS
    C: ff fa 2e 01 ff f0                IAC SB START_TLS FOLLOWS IAC SE
    S: ff fa 2e 01 ff f0                the same
    TLS
    both: every option is off again

Every other option is refused while in the clear (RFC 854): WONT to DO, DONT to
WILL. A server that begins to talk before it has asked for START_TLS does not
know it. Options begin anew under TLS, so the guest hears nothing.
"""

from __future__ import annotations

import re
from typing import Final

from txtransport.errors import PeerMisbehaved, TLSNotOffered, TLSRefused
from txtransport.starttls.wire import Dialogue, Wire
from txtransport.text import escape_bytes

_DO: Final = b"\xff\xfd\x2e"
_DONT: Final = b"\xff\xfe\x2e"
_WILL: Final = b"\xff\xfb\x2e"
_WONT: Final = b"\xff\xfc\x2e"
_FOLLOWS: Final = b"\xff\xfa\x2e\x01\xff\xf0"

_REFUSALS: Final = {b"\xff\xfd": b"\xff\xfc", b"\xff\xfb": b"\xff\xfe"}
"""What is said to DO and to WILL of an option that we do not have."""

_COMMANDS: Final = 64
"""How many commands a peer may send."""
_PARAMETERS: Final = 256
"""Bytes of a subnegotiation, at the most."""
_PIECE: Final = re.compile(
    rb"[^\xff]+"  # text
    rb"|\xff[\xfb-\xfe]."  # WILL, WONT, DO, DONT and an option
    rb"|\xff\xfa(?:[^\xff]|\xff[^\xf0]){0,%d}?\xff\xf0"  # SB … IAC SE
    rb"|\xff[^\xfa-\xfe]" % _PARAMETERS,  # all others
    re.DOTALL,
)


def connect(wire: Wire) -> Dialogue[bytes]:
    """The client's side."""
    is_asked = False
    # What came along with the request was not said in answer to us: it is dealt
    # with first, and a FOLLOWS among it is none.
    while not is_asked or wire.received:
        piece = yield from _piece(wire)
        if piece == _DONT or (_is_text(piece) and not is_asked):
            raise TLSNotOffered(piece)
        if piece == _FOLLOWS or _is_text(piece):
            raise PeerMisbehaved(f"the peer said {escape_bytes(piece)} before we were willing")
        is_asked = is_asked or piece == _DO
        if piece != _DO:
            wire.send(_refusal(piece))
    wire.ask(_WILL + _FOLLOWS)
    # From here on we say nothing but TLS's first message.
    while (piece := (yield from _piece(wire))) != _FOLLOWS:
        if piece == _DONT:
            raise TLSRefused("DONT START_TLS", piece)
        if _is_text(piece):
            raise PeerMisbehaved(f"expected FOLLOWS, and the peer sent {escape_bytes(piece)}")
    return b""


def serve(wire: Wire) -> Dialogue[bytes]:
    """The server's side."""
    wire.send(_DO)
    is_willing = False
    while (piece := (yield from _piece(wire))) != _FOLLOWS:
        if piece == _WONT:
            raise TLSNotOffered(piece)
        if _is_text(piece):
            wire.send(b"TLS comes first\r\n")
            raise PeerMisbehaved(f"expected START_TLS, and the client sent {escape_bytes(piece)}")
        is_willing = is_willing or piece == _WILL
        if piece != _WILL:
            wire.send(_refusal(piece))
    if not is_willing:
        raise PeerMisbehaved("the client said FOLLOWS without WILL")
    wire.send(_FOLLOWS)
    return b""


def _piece(wire: Wire) -> Dialogue[bytes]:
    """The next command, or the text up to it."""
    # What lines are elsewhere, commands are here.
    wire.lines += 1
    if wire.lines > _COMMANDS:
        raise PeerMisbehaved(f"the peer has sent {_COMMANDS} commands, and not come to TLS")
    while (found := _PIECE.match(bytes(wire.received[: _PARAMETERS + 5]))) is None:
        if len(wire.received) > _PARAMETERS + 4:
            begin = escape_bytes(bytes(wire.received))
            raise PeerMisbehaved(f"a subnegotiation has more than {_PARAMETERS} bytes: {begin}")
        yield
    return wire.take(found.end())


def _is_text(piece: bytes) -> bool:
    # IAC IAC is a byte of text, too.
    return piece[:1] != b"\xff" or piece == b"\xff\xff"


def _refusal(piece: bytes) -> bytes:
    """What to say to a command: nothing, but to the offer or the request of an option."""
    return _REFUSALS[piece[:2]] + piece[2:] if piece[:2] in _REFUSALS else b""
