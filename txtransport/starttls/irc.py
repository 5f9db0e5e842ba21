r"""IRC: ``STARTTLS`` (IRCv3.1's ``tls`` extension, deprecated there; port 6697 is better).

    C: STARTTLS                         at once, before NICK and USER
    S: :irc.example NOTICE * :*** Looking up your hostname...
    S: :irc.example 670 * :STARTTLS successful, proceed with TLS handshake
    TLS
    C: NICK ...

The application's protocol receives nothing: a client sends first, before TLS and
under TLS. A server that does not know the command may not answer at all. A
dialogue knows no clock, so the table of protocols has the time after which
silence means no (`StartTLSProtocol.offer_timeout`).
"""

from __future__ import annotations

from typing import Final

from txtransport.errors import PeerLeft, PeerMisbehaved, TLSNotOffered, TLSRefused
from txtransport.starttls.wire import COMMANDS, Dialogue, Wire
from txtransport.text import escape_bytes

__all__ = ["connect", "serve"]

_GO_AHEAD: Final = b"670"
_FAILED: Final = b"691"
_UNKNOWN: Final = (b"421", b"451")
"""ERR_UNKNOWNCOMMAND and ERR_NOTREGISTERED: no STARTTLS here."""

_REQUIRED: Final = b" 451 * :TLS required, use STARTTLS\r\n"
_IGNORED: Final = (b"NOTICE", b"CAP", b"PING", b"020", b"439")
"""What servers send while they look up the client's name; 020 and 439: "please wait"."""


def connect(wire: Wire) -> Dialogue[bytes]:
    """The client's side."""
    wire.ask(b"STARTTLS\r\n")
    while True:
        line = yield from wire.line()
        command, text = _message(line)
        if command == _GO_AHEAD:
            return b""
        if command == _FAILED:
            raise TLSRefused("691", text)
        if command in _UNKNOWN:
            raise TLSNotOffered(line)
        if command == b"ERROR":
            raise PeerLeft(line)
        if command not in _IGNORED:
            raise PeerMisbehaved(f"expected reply 670, and the peer sent {escape_bytes(line)}")


def serve(wire: Wire) -> Dialogue[bytes]:
    """The server's side."""
    prefix = b":" + wire.local_name.encode("ascii")
    for _ in range(COMMANDS):
        command, argument = yield from wire.command()
        if command == b"STARTTLS" and not argument:
            wire.send(prefix + b" 670 * :STARTTLS successful, proceed with TLS handshake\r\n")
            return b""
        if command == b"QUIT":
            wire.send(b"ERROR :Bye\r\n")
            raise PeerLeft()
        if command == b"CAP":
            command += b" " + argument.partition(b" ")[0].upper()
        wire.send(prefix + _REPLIES.get(command, _REQUIRED))
    wire.give_up(b"ERROR :Too many commands before STARTTLS\r\n")


def _message(line: bytes) -> tuple[bytes, bytes]:
    """Split a message, without its prefix, into the command in upper case and the rest."""
    if line.startswith(b":"):
        _, _, line = line.partition(b" ")
    command, _, text = line.partition(b" ")
    return command.upper(), text


_REPLIES: Final = {
    b"CAP LS": b" CAP * LS :tls\r\n",
    b"STARTTLS": b" 691 * :STARTTLS takes no parameters\r\n",
}
