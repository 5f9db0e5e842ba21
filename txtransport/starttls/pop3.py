r"""POP3: ``STLS`` (RFC 2595, section 4).

    S: +OK ready
    C: CAPA                             RFC 2449; -ERR: no list, ask all the same
    S: +OK
    S: STLS
    S: .
    C: STLS
    S: +OK Begin TLS negotiation        or -ERR, which is a refusal
    TLS
    C: CAPA                             everything from before is forgotten

The application's protocol of a client receives ``+OK ready``. This line has no
time stamp, so that the client does not log in with APOP: the time stamp is the
challenge for APOP's digest, and someone on the path could have chosen it.
"""

from __future__ import annotations

from typing import Final

from txtransport.errors import PeerLeft, PeerMisbehaved, TLSNotOffered, TLSRefused
from txtransport.starttls.replies import dot_terminated
from txtransport.starttls.wire import COMMANDS, Dialogue, Wire
from txtransport.text import escape_bytes

__all__ = ["connect", "serve"]

_READY: Final = b"+OK ready\r\n"
_REQUIRED: Final = b"-ERR [SYS/PERM] TLS required\r\n"


def connect(wire: Wire) -> Dialogue[bytes]:
    """The client's side; returns a greeting for the application's protocol."""
    is_ok, text = yield from _status(wire)
    if not is_ok:
        raise PeerLeft(b"-ERR " + text)
    wire.greeting = _READY
    wire.ask(b"CAPA\r\n")
    is_listed, _ = yield from _status(wire)
    if is_listed:
        listed = yield from dot_terminated(wire)
        if b"STLS" not in (line.partition(b" ")[0].upper() for line in listed):
            raise TLSNotOffered(b" ".join(listed))
    wire.ask(b"STLS\r\n")
    is_ok, text = yield from _status(wire)
    if not is_ok:
        raise TLSRefused("-ERR", text) if is_listed else TLSNotOffered(b"-ERR " + text)
    return wire.greeting


def serve(wire: Wire) -> Dialogue[bytes]:
    """The server's side."""
    wire.send(_READY)
    for _ in range(COMMANDS):
        command, argument = yield from wire.command()
        if command == b"STLS" and not argument:
            wire.send(b"+OK Begin TLS negotiation\r\n")
            return b""
        if command == b"QUIT":
            wire.send(b"+OK\r\n")
            raise PeerLeft()
        wire.send(_REPLIES.get(command, _REQUIRED))
    wire.give_up(b"-ERR [SYS/PERM] Too many commands before STLS\r\n")


def _status(wire: Wire) -> Dialogue[tuple[bool, bytes]]:
    """Wait for a status line; return whether it is positive, and its text."""
    line = yield from wire.line()
    status, _, text = line.partition(b" ")
    if status not in (b"+OK", b"-ERR"):
        raise PeerMisbehaved(f"expected +OK or -ERR, and the peer sent {escape_bytes(line)}")
    return status == b"+OK", text


_REPLIES: Final = {
    b"CAPA": b"+OK\r\nSTLS\r\n.\r\n",
    b"STLS": b"-ERR STLS takes no arguments\r\n",
}
