r"""SMTP and LMTP: ``STARTTLS`` (RFC 3207).

    S: 220 mail.example.com ESMTP
    C: EHLO [192.0.2.7]                 LHLO for LMTP (RFC 2033)
    S: 250-mail.example.com
    S: 250 STARTTLS
    C: STARTTLS
    S: 220 2.0.0 Ready to start TLS
    TLS
    C: EHLO [192.0.2.7]                 everything from before is forgotten

The guest hears ``220 mail.example.com ESMTP``, in our words: what the peer said
in the clear anyone may have said.
"""

from __future__ import annotations

from typing import Final

from txtransport.errors import PeerLeft, TLSNotOffered
from txtransport.starttls.replies import expect, reply, welcome
from txtransport.starttls.wire import COMMANDS, Dialogue, Wire


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
    welcome((yield from reply(wire)), b"220")
    wire.greeting = b"220 " + wire.host.encode("ascii") + b" " + protocol + b"\r\n"
    wire.ask(hello + b" " + wire.local_name.encode("ascii") + b"\r\n")
    extensions = yield from reply(wire)
    if extensions.is_negative:
        raise TLSNotOffered(extensions.said)
    expect(extensions, b"250")
    if b"STARTTLS" not in extensions.words:
        raise TLSNotOffered(extensions.said)
    wire.ask(b"STARTTLS\r\n")
    expect((yield from reply(wire)), b"220")
    return wire.greeting


def _serve(wire: Wire, hello: bytes, protocol: bytes) -> Dialogue[bytes]:
    us = wire.local_name.encode("ascii")
    wire.send(b"220 " + us + b" " + protocol + b"\r\n")
    for _ in range(COMMANDS):
        command, argument = yield from wire.command()
        if command == b"STARTTLS" and not argument:
            wire.send(b"220 2.0.0 Ready to start TLS\r\n")
            return b""
        if command == b"QUIT":
            wire.send(b"221 2.0.0 Bye\r\n")
            raise PeerLeft()
        if command == hello:
            wire.send(b"250-" + us + b"\r\n250 STARTTLS\r\n")
        elif command == b"HELO" and protocol == b"ESMTP":
            wire.send(b"250 " + us + b"\r\n")
        else:
            wire.send(_ANSWERS.get(command, b"530 5.7.0 Must issue a STARTTLS command first\r\n"))
    wire.give_up(b"421 4.7.0 Too many commands before STARTTLS\r\n")


_ANSWERS: Final = {
    b"NOOP": b"250 2.0.0 Ok\r\n",
    b"RSET": b"250 2.0.0 Ok\r\n",
    b"STARTTLS": b"501 5.5.4 No parameters allowed\r\n",
}
