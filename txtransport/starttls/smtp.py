r"""SMTP and LMTP: ``STARTTLS`` (RFC 3207).

    S: 220 mail.example.com ESMTP
    C: EHLO [192.0.2.7]                 LHLO for LMTP (RFC 2033)
    S: 250-mail.example.com
    S: 250 STARTTLS
    C: STARTTLS
    S: 220 2.0.0 Ready to start TLS
    TLS
    C: EHLO [192.0.2.7]                 everything from before is forgotten

The application's protocol of a client receives ``220 mail.example.com ESMTP``.
This line is made here, and is not the greeting of the server: anyone on the path
may have changed that one.
"""

from __future__ import annotations

from typing import Final

from txtransport.errors import PeerLeft, TLSNotOffered
from txtransport.starttls.replies import expect_code, expect_greeting, reply
from txtransport.starttls.wire import COMMANDS, Dialogue, Wire

__all__ = ["connect", "connect_lmtp", "serve", "serve_lmtp"]


def connect(wire: Wire) -> Dialogue[bytes]:
    """The client's side of SMTP."""
    return (yield from _connect(wire, b"EHLO", b"ESMTP"))


def connect_lmtp(wire: Wire) -> Dialogue[bytes]:
    """The client's side of LMTP."""
    return (yield from _connect(wire, b"LHLO", b"LMTP"))


def serve(wire: Wire) -> Dialogue[bytes]:
    """The server's side of SMTP."""
    return (yield from _serve(wire, b"EHLO", b"ESMTP"))


def serve_lmtp(wire: Wire) -> Dialogue[bytes]:
    """The server's side of LMTP."""
    return (yield from _serve(wire, b"LHLO", b"LMTP"))


def _connect(wire: Wire, hello: bytes, protocol: bytes) -> Dialogue[bytes]:
    expect_greeting((yield from reply(wire)), b"220")
    wire.greeting = b"220 " + wire.host.encode("ascii") + b" " + protocol + b"\r\n"
    wire.ask(hello + b" " + wire.local_name.encode("ascii") + b"\r\n")
    extensions = yield from reply(wire)
    if extensions.is_negative:
        raise TLSNotOffered(extensions.full_text)
    expect_code(extensions, b"250")
    if b"STARTTLS" not in extensions.keywords:
        raise TLSNotOffered(extensions.full_text)
    wire.ask(b"STARTTLS\r\n")
    expect_code((yield from reply(wire)), b"220")
    return wire.greeting


def _serve(wire: Wire, hello: bytes, protocol: bytes) -> Dialogue[bytes]:
    name = wire.local_name.encode("ascii")
    wire.send(b"220 " + name + b" " + protocol + b"\r\n")
    for _ in range(COMMANDS):
        command, argument = yield from wire.command()
        if command == b"STARTTLS" and not argument:
            wire.send(b"220 2.0.0 Ready to start TLS\r\n")
            return b""
        if command == b"QUIT":
            wire.send(b"221 2.0.0 Bye\r\n")
            raise PeerLeft()
        if command == hello:
            wire.send(b"250-" + name + b"\r\n250 STARTTLS\r\n")
        elif command == b"HELO" and protocol == b"ESMTP":
            wire.send(b"250 " + name + b"\r\n")
        else:
            wire.send(_REPLIES.get(command, b"530 5.7.0 Must issue a STARTTLS command first\r\n"))
    wire.give_up(b"421 4.7.0 Too many commands before STARTTLS\r\n")


_REPLIES: Final = {
    b"NOOP": b"250 2.0.0 Ok\r\n",
    b"RSET": b"250 2.0.0 Ok\r\n",
    b"STARTTLS": b"501 5.5.4 No parameters allowed\r\n",
}
