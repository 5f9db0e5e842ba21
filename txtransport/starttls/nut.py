r"""Network UPS Tools: ``STARTTLS`` (RFC 9271).

    C: STARTTLS
    S: OK STARTTLS                      or ERR FEATURE-NOT-CONFIGURED
    TLS
    C: USERNAME …

The application's protocol receives nothing: a client sends first.
"""

from __future__ import annotations

from typing import Final

from txtransport.errors import PeerLeft, PeerMisbehaved, TLSNotOffered, TLSRefused
from txtransport.starttls.wire import COMMANDS, Dialogue, Wire
from txtransport.text import escape_bytes

__all__ = ["connect", "serve"]

_UNKNOWN: Final = (b"FEATURE-NOT-SUPPORTED", b"UNKNOWN-COMMAND")
"""The errors of a server without TLS."""


def connect(wire: Wire) -> Dialogue[bytes]:
    """The client's side."""
    wire.ask(b"STARTTLS\n")
    answer = yield from wire.line()
    if answer == b"OK STARTTLS":
        return b""
    status, error, *_ = *answer.split(b" "), b""
    if status != b"ERR":
        raise PeerMisbehaved(f"expected OK STARTTLS, and the peer sent {escape_bytes(answer)}")
    if error in _UNKNOWN:
        raise TLSNotOffered(answer)
    raise TLSRefused(error.decode("ascii", "replace"), answer)


def serve(wire: Wire) -> Dialogue[bytes]:
    """The server's side."""
    for _ in range(COMMANDS):
        command, argument = yield from wire.command()
        if command == b"STARTTLS" and not argument:
            wire.send(b"OK STARTTLS\n")
            return b""
        if command == b"LOGOUT":
            wire.send(b"OK Goodbye\n")
            raise PeerLeft()
        wire.send(_REPLIES.get(command, b"ERR ACCESS-DENIED\n"))
    wire.give_up(b"")


_REPLIES: Final = {b"STARTTLS": b"ERR INVALID-ARGUMENT\n"}
