r"""ManageSieve: ``STARTTLS`` (RFC 5804, section 2.2).

    S: "IMPLEMENTATION" "ManageSieve"
    S: "SASL" ""
    S: "SIEVE" ""
    S: "STARTTLS"
    S: "VERSION" "1.0"
    S: OK "ready"
    C: STARTTLS
    S: OK "Begin TLS negotiation now"
    TLS
    S: "IMPLEMENTATION" "..."           its capabilities again, unasked

The application's protocol of a client receives nothing from here: under TLS the
server sends its capabilities again, and the application's protocol of a server
does so as well. A literal (``{5}`` or ``{5+}`` at the end of a line) ends the
dialogue: nothing before TLS needs one.
"""

from __future__ import annotations

import re
from typing import Final

from txtransport.errors import PeerLeft, PeerMisbehaved, TLSNotOffered, TLSRefused
from txtransport.starttls.replies import announces_literal, line_without_literal
from txtransport.starttls.wire import COMMANDS, Dialogue, Wire
from txtransport.text import escape_bytes

__all__ = ["connect", "serve"]

_CAPABILITIES: Final = (
    b'"IMPLEMENTATION" "ManageSieve"\r\n'
    b'"SASL" ""\r\n'
    b'"SIEVE" ""\r\n'
    b'"STARTTLS"\r\n'
    b'"VERSION" "1.0"\r\n'
    b'OK "ready"\r\n'
)
_REQUIRED: Final = b'NO (ENCRYPT-NEEDED) "TLS required"\r\n'

_CAPABILITY: Final = re.compile(rb'"([^"\\]*)"(?: .*)?').fullmatch


def connect(wire: Wire) -> Dialogue[bytes]:
    """The client's side."""
    listed: list[bytes] = []
    while (line := (yield from line_without_literal(wire))).startswith(b'"'):
        listed.append(line)
    _response(line, b"OK")
    if b"STARTTLS" not in (found[1].upper() for found in map(_CAPABILITY, listed) if found):
        raise TLSNotOffered(b" ".join([*listed, line]))
    wire.ask(b"STARTTLS\r\n")
    word, text = _response((yield from line_without_literal(wire)), b"OK", b"NO")
    if word == b"NO":
        raise TLSRefused("NO", text)
    return b""


def serve(wire: Wire) -> Dialogue[bytes]:
    """The server's side."""
    wire.send(_CAPABILITIES)
    for _ in range(COMMANDS):
        command, argument = yield from wire.command()
        if announces_literal(argument):
            wire.send(b'BYE "No literals before TLS"\r\n')
            raise PeerMisbehaved("the client announced a literal before TLS")
        if command == b"STARTTLS" and not argument:
            wire.send(b'OK "Begin TLS negotiation now"\r\n')
            return b""
        if command == b"LOGOUT":
            wire.send(b'OK "Bye"\r\n')
            raise PeerLeft()
        wire.send(_REPLIES.get(command, _REQUIRED))
    wire.give_up(b'BYE "Too many commands before STARTTLS"\r\n')


def _response(line: bytes, *words: bytes) -> tuple[bytes, bytes]:
    """Check that a response begins with one of `words`; return this word and the text."""
    word, _, text = line.partition(b" ")
    word = word.upper()
    if word == b"BYE":
        raise PeerLeft(line)
    if word not in words:
        wanted = b" or ".join(words).decode("ascii")
        raise PeerMisbehaved(f"expected {wanted}, and the peer sent {escape_bytes(line)}")
    return word, text


_REPLIES: Final = {
    b"CAPABILITY": _CAPABILITIES,
    b"NOOP": b'OK "Done"\r\n',
    b"STARTTLS": b'NO "STARTTLS takes no arguments"\r\n',
}
