"""Telnet: the option START_TLS (draft-altman-telnet-starttls-02).

    S: ff fd 2e                         IAC DO START_TLS
    C: ff fb 2e                         IAC WILL START_TLS
    C: ff fa 2e 01 ff f0                IAC SB START_TLS FOLLOWS IAC SE
    S: ff fa 2e 01 ff f0                the same from the server
    TLS
    C, S: every option is off again

Every other option is refused before TLS (RFC 854): WONT answers DO, DONT answers
WILL. A server that sends text before it has asked for START_TLS does not know the
option. Options are negotiated anew under TLS, so the application's protocol
receives nothing.
"""

from __future__ import annotations

import re
from typing import Final

from txtransport.errors import PeerMisbehaved, TLSNotOffered, TLSRefused
from txtransport.starttls.wire import Dialogue, Wire
from txtransport.text import escape_bytes

__all__ = ["connect", "serve"]

_DO: Final = b"\xff\xfd\x2e"
_DONT: Final = b"\xff\xfe\x2e"
_WILL: Final = b"\xff\xfb\x2e"
_WONT: Final = b"\xff\xfc\x2e"
_FOLLOWS: Final = b"\xff\xfa\x2e\x01\xff\xf0"

_REFUSALS: Final = {b"\xff\xfd": b"\xff\xfc", b"\xff\xfb": b"\xff\xfe"}
"""The answers to DO and to WILL for every other option: WONT and DONT."""

_MAX_COMMANDS: Final = 64
"""The most commands of a peer before TLS."""
_MAX_PARAMETERS: Final = 256
"""The most bytes of parameters in a subnegotiation."""
_TOKEN: Final = re.compile(
    rb"[^\xff]+"  # text
    rb"|\xff[\xfb-\xfe]."  # WILL, WONT, DO, DONT and an option
    rb"|\xff\xfa(?:[^\xff]|\xff[^\xf0]){0,%d}?\xff\xf0"  # SB … IAC SE
    rb"|\xff[^\xfa-\xfe]" % _MAX_PARAMETERS,  # all others
    re.DOTALL,
)


def connect(wire: Wire) -> Dialogue[bytes]:
    """The client's side."""
    is_asked = False
    # What came together with the server's DO is no answer to our WILL: all of it
    # is read before WILL is sent, and a FOLLOWS in it is an error.
    while not is_asked or wire.received:
        token = yield from _next_token(wire)
        if token == _DONT or (_is_text(token) and not is_asked):
            raise TLSNotOffered(token)
        if token == _FOLLOWS or _is_text(token):
            raise PeerMisbehaved(f"the peer said {escape_bytes(token)} before we were willing")
        is_asked = is_asked or token == _DO
        if token != _DO:
            wire.send(_refusal(token))
    wire.ask(_WILL + _FOLLOWS)
    # Nothing may follow our FOLLOWS but the ClientHello: options go unanswered now.
    while (token := (yield from _next_token(wire))) != _FOLLOWS:
        if token == _DONT:
            raise TLSRefused("DONT START_TLS", token)
        if _is_text(token):
            raise PeerMisbehaved(f"expected FOLLOWS, and the peer sent {escape_bytes(token)}")
    return b""


def serve(wire: Wire) -> Dialogue[bytes]:
    """The server's side."""
    wire.send(_DO)
    is_willing = False
    while (token := (yield from _next_token(wire))) != _FOLLOWS:
        if token == _WONT:
            raise TLSNotOffered(token)
        if _is_text(token):
            wire.send(b"TLS comes first\r\n")
            raise PeerMisbehaved(f"expected START_TLS, and the client sent {escape_bytes(token)}")
        is_willing = is_willing or token == _WILL
        if token != _WILL:
            wire.send(_refusal(token))
    if not is_willing:
        raise PeerMisbehaved("the client said FOLLOWS without WILL")
    wire.send(_FOLLOWS)
    return b""


def _next_token(wire: Wire) -> Dialogue[bytes]:
    """Wait for a command, or for text up to the next command, and take it."""
    # Telnet has no lines, so `lines` counts commands.
    wire.lines += 1
    if wire.lines > _MAX_COMMANDS:
        raise PeerMisbehaved(f"the peer has sent {_MAX_COMMANDS} commands, and not come to TLS")
    while (found := _TOKEN.match(bytes(wire.received[: _MAX_PARAMETERS + 5]))) is None:
        if len(wire.received) > _MAX_PARAMETERS + 4:
            begin = escape_bytes(bytes(wire.received))
            raise PeerMisbehaved(f"a subnegotiation has more than {_MAX_PARAMETERS} bytes: {begin}")
        yield
    return wire.take(found.end())


def _is_text(token: bytes) -> bool:
    # IAC IAC is the byte ff in text.
    return token[:1] != b"\xff" or token == b"\xff\xff"


def _refusal(token: bytes) -> bytes:
    """The answer that refuses the option of a DO or WILL; nothing for other commands."""
    return _REFUSALS[token[:2]] + token[2:] if token[:2] in _REFUSALS else b""
