r"""IMAP: ``STARTTLS`` (RFC 9051, section 6.2.1).

    S: * OK [CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED] ready
    C: 1f0c CAPABILITY
    S: * CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED
    S: 1f0c OK Done
    C: 9ae3 STARTTLS
    S: 9ae3 OK Begin TLS negotiation now
    TLS
    C: CAPABILITY                       everything from before is forgotten

Tags are unpredictable, so that no one can send an answer before the command
(CVE-2026-42246). Untagged responses are dropped, and never delivered: before TLS
anyone on the path can forge new mail or alerts. The application's protocol of a
client receives ``* OK ready``, without capabilities, so it asks for them under
TLS. A literal (``{5}`` or ``{5+}`` at the end of a line) ends the dialogue:
nothing before TLS needs one.
"""

from __future__ import annotations

import re
from typing import Final

from attrs import frozen

from txtransport.errors import PeerLeft, PeerMisbehaved, PreAuthenticated, TLSNotOffered, TLSRefused
from txtransport.starttls.replies import announces_literal, line_without_literal
from txtransport.starttls.wire import COMMANDS, Dialogue, Wire
from txtransport.text import escape_bytes

__all__ = ["connect", "serve"]

_MAX_UNTAGGED: Final = 50
"""The most untagged lines before the answer to a command."""

_CAPABILITIES: Final = b"CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED"
_REQUIRED: Final = (b"", b"NO [PRIVACYREQUIRED] TLS required\r\n")
"""A reply: what is sent before the tag, and behind it (RFC 5530)."""

_COMMAND: Final = re.compile(rb'([^\x00-\x20\x7f-\xff(){%*"\\+]{1,64}) ([^ ]+)(?: (.*))?').fullmatch


def connect(wire: Wire) -> Dialogue[bytes]:
    """The client's side; returns a greeting for the application's protocol."""
    _check_greeting((yield from line_without_literal(wire)))
    wire.greeting = b"* OK ready\r\n"
    answer = yield from _ask(wire, b"CAPABILITY")
    if answer.status != b"OK" or b"STARTTLS" not in answer.capabilities:
        raise TLSNotOffered(b" ".join((*answer.capabilities, answer.status, answer.text)))
    answer = yield from _ask(wire, b"STARTTLS")
    if answer.status != b"OK":
        raise TLSRefused(answer.status.decode("ascii"), answer.text)
    return wire.greeting


def serve(wire: Wire) -> Dialogue[bytes]:
    """The server's side."""
    wire.send(b"* OK [" + _CAPABILITIES + b"] ready\r\n")
    for _ in range(COMMANDS):
        line = yield from wire.line()
        found = _COMMAND(line)
        tag, verb, argument = found.groups() if found else (b"*", b"", None)
        tag, verb = tag + b" ", verb.upper()
        if announces_literal(line):
            wire.send(tag + b"BAD No literals before TLS\r\n")
            raise PeerMisbehaved("the client announced a literal before TLS")
        if verb == b"STARTTLS" and not argument:
            wire.send(tag + b"OK Begin TLS negotiation now\r\n")
            return b""
        if verb == b"LOGOUT":
            wire.send(b"* BYE\r\n" + tag + b"OK Bye\r\n")
            raise PeerLeft()
        untagged, tagged = _REPLIES.get(verb, _REQUIRED)
        wire.send(untagged + tag + tagged)
    wire.give_up(b"* BYE Too many commands before STARTTLS\r\n")


@frozen
class _Answer:
    """A tagged answer to a command of ours.

    Attributes:
        status: ``OK``, ``NO`` or ``BAD``.
        text: The rest of the line.
        capabilities: The capabilities listed in untagged lines before the
            answer, in upper case.
    """

    status: bytes
    text: bytes
    capabilities: list[bytes]


def _check_greeting(greeting: bytes) -> None:
    """Check that the server accepts the connection, and does not claim to know the client."""
    status = greeting.upper().split(b" ", 2)[:2]
    if status == [b"*", b"PREAUTH"]:
        raise PreAuthenticated(
            "the peer claims to know us before TLS, which rules TLS out; "
            f"it said {escape_bytes(greeting)}"
        )
    if status == [b"*", b"BYE"]:
        raise PeerLeft(greeting)
    if status != [b"*", b"OK"]:
        raise PeerMisbehaved(f"expected a greeting, and the peer sent {escape_bytes(greeting)}")


def _ask(wire: Wire, command: bytes) -> Dialogue[_Answer]:
    """Send a command, and wait for its tagged answer."""
    tag = wire.nonce().encode("ascii") + b" "
    wire.ask(tag + command + b"\r\n")
    capabilities: list[bytes] = []
    for _ in range(_MAX_UNTAGGED + 1):
        line = yield from line_without_literal(wire)
        if line.startswith(tag):
            return _parse_tagged(line.removeprefix(tag), capabilities)
        words = line.upper().split(b" ")
        if words[0] != b"*":
            raise PeerMisbehaved(
                f"expected an answer with our tag, and the peer sent {escape_bytes(line)}"
            )
        if words[1:2] == [b"BYE"]:
            raise PeerLeft(line)
        if words[1:2] == [b"CAPABILITY"]:
            capabilities += words[2:]
    raise PeerMisbehaved(f"the peer said more than {_MAX_UNTAGGED} lines before its answer")


def _parse_tagged(line: bytes, capabilities: list[bytes]) -> _Answer:
    status, _, text = line.partition(b" ")
    if status.upper() not in (b"OK", b"NO", b"BAD"):
        raise PeerMisbehaved(f"expected OK, NO or BAD, and the peer sent {escape_bytes(line)}")
    return _Answer(status.upper(), text, capabilities)


_REPLIES: Final = {
    b"": (b"", b"BAD Expected a tag and a command\r\n"),
    b"CAPABILITY": (b"* " + _CAPABILITIES + b"\r\n", b"OK Done\r\n"),
    b"ID": (b"* ID NIL\r\n", b"OK Done\r\n"),
    b"NOOP": (b"", b"OK Done\r\n"),
    b"STARTTLS": (b"", b"BAD STARTTLS takes no arguments\r\n"),
}
