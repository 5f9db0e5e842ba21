r"""NNTP: ``STARTTLS`` (RFC 4642, updated by RFC 8143).

    S: 200 ready                        or 201: no posting
    C: CAPABILITIES
    S: 101 capabilities
    S: VERSION 2
    S: STARTTLS
    S: .
    C: STARTTLS
    S: 382 Begin TLS negotiation
    TLS
    C: CAPABILITIES                     everything from before is forgotten

The application's protocol of a client receives ``200 ready``, or ``201 ready`` if
the server sent 201; nothing else of the plaintext greeting is used. A server too
old for ``CAPABILITIES`` counts as one that does not offer TLS.
"""

from __future__ import annotations

from typing import Final

from txtransport.errors import PeerLeft, TLSNotOffered
from txtransport.starttls.replies import dot_terminated, expect_code, expect_greeting, reply
from txtransport.starttls.wire import COMMANDS, Dialogue, Wire

__all__ = ["connect", "serve"]

_REQUIRED: Final = b"483 Encryption required\r\n"


def connect(wire: Wire) -> Dialogue[bytes]:
    """The client's side; returns a greeting for the application's protocol."""
    greeting = yield from reply(wire)
    expect_greeting(greeting, b"200", b"201")
    wire.greeting = greeting.code + b" ready\r\n"
    wire.ask(b"CAPABILITIES\r\n")
    answer = yield from reply(wire)
    if answer.is_negative:
        raise TLSNotOffered(answer.full_text)
    expect_code(answer, b"101")
    listed = yield from dot_terminated(wire)
    if b"STARTTLS" not in (line.partition(b" ")[0].upper() for line in listed):
        raise TLSNotOffered(b" ".join(listed))
    wire.ask(b"STARTTLS\r\n")
    expect_code((yield from reply(wire)), b"382")
    return wire.greeting


def serve(wire: Wire) -> Dialogue[bytes]:
    """The server's side."""
    wire.send(b"200 ready\r\n")
    for _ in range(COMMANDS):
        command, argument = yield from wire.command()
        if command == b"STARTTLS" and not argument:
            wire.send(b"382 Begin TLS negotiation\r\n")
            return b""
        if command == b"QUIT":
            wire.send(b"205 Bye\r\n")
            raise PeerLeft()
        wire.send(_REPLIES.get(command, _REQUIRED))
    wire.give_up(b"400 Too many commands before STARTTLS\r\n")


_REPLIES: Final = {
    b"CAPABILITIES": b"101 capabilities\r\nVERSION 2\r\nSTARTTLS\r\n.\r\n",
    b"STARTTLS": b"501 STARTTLS takes no arguments\r\n",
}
