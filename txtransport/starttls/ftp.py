r"""FTP: ``AUTH TLS`` (RFC 4217, section 4).

    S: 220 server.example FTP           120 before it: please wait
    C: AUTH TLS                         then AUTH SSL, if the answer is 504
    S: 234 Begin TLS negotiation        or 334, from servers older than the RFC
    TLS
    C: USER ...                         everything from before is forgotten

The client does not send ``FEAT``: anyone on the path may shorten the list, some
servers have none, and the reply to ``AUTH`` tells the same. The application's
protocol of a client receives ``220 ready``. It has to ask for TLS on the data
connections by itself (``PBSZ 0``, ``PROT P``).
"""

from __future__ import annotations

from typing import Final

from txtransport.errors import PeerLeft, TLSNotOffered
from txtransport.starttls.replies import Reply, expect_code, expect_greeting, ftp_reply
from txtransport.starttls.wire import COMMANDS, Dialogue, Wire

__all__ = ["connect", "serve"]

_PLEASE_WAIT: Final = b"120"
_UNKNOWN_MECHANISM: Final = b"504"
_UNKNOWN: Final = (b"500", b"502", _UNKNOWN_MECHANISM)
"""The server does not know ``AUTH``, or not this mechanism."""

_MECHANISMS: Final = (b"TLS", b"TLS-C", b"TLS-P", b"SSL")
_REQUIRED: Final = b"530 Must use AUTH TLS first\r\n"


def connect(wire: Wire) -> Dialogue[bytes]:
    """The client's side; returns a greeting for the application's protocol."""
    greeting = yield from ftp_reply(wire)
    while greeting.code == _PLEASE_WAIT:
        greeting = yield from ftp_reply(wire)
    expect_greeting(greeting, b"220")
    wire.greeting = b"220 ready\r\n"
    answer = yield from _auth(wire, b"TLS")
    if answer.code == _UNKNOWN_MECHANISM:
        answer = yield from _auth(wire, b"SSL")
    if answer.code in _UNKNOWN:
        raise TLSNotOffered(answer.full_text)
    expect_code(answer, b"234", b"334")
    return wire.greeting


def serve(wire: Wire) -> Dialogue[bytes]:
    """The server's side."""
    wire.send(b"220 " + wire.local_name.encode("ascii") + b" FTP\r\n")
    for _ in range(COMMANDS):
        command, argument = yield from wire.command()
        if command == b"AUTH" and argument.upper() in _MECHANISMS:
            wire.send(b"234 Begin TLS negotiation\r\n")
            return b""
        if command == b"QUIT":
            wire.send(b"221 Bye\r\n")
            raise PeerLeft()
        wire.send(_REPLIES.get(command, _REQUIRED))
    wire.give_up(b"421 Too many commands before AUTH TLS\r\n")


def _auth(wire: Wire, mechanism: bytes) -> Dialogue[Reply]:
    wire.ask(b"AUTH " + mechanism + b"\r\n")
    return (yield from ftp_reply(wire))


_REPLIES: Final = {
    b"AUTH": b"504 Use AUTH TLS\r\n",
    b"FEAT": b"211-Features:\r\n AUTH TLS\r\n PBSZ\r\n PROT\r\n211 End\r\n",
}
