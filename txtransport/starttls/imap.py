r"""IMAP: ``STARTTLS`` (RFC 9051, section 6.2.1).

    S: * OK [CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED] ready
    C: 1f0c CAPABILITY
    S: * CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED
    S: 1f0c OK Done
    C: 9ae3 STARTTLS
    S: 9ae3 OK Begin TLS negotiation now
    TLS
    C: CAPABILITY                       everything from before is forgotten

Tags are words that no one can guess, so that no answer can lie ready for them
(CVE-2026-42246). What a server says unasked is dropped: in the clear anyone may
report mails or alerts. The guest hears ``* OK ready``, without capabilities. A
literal (``{5}`` or ``{5+}`` at the end of a line) is more than a dialogue in
the clear needs, and ends it.
"""

from __future__ import annotations

import re
from typing import Final

from attrs import frozen

from txtransport.errors import PeerLeft, PeerMisbehaved, PreAuthenticated, TLSNotOffered, TLSRefused
from txtransport.starttls.replies import announces_literal, whole_line
from txtransport.starttls.wire import COMMANDS, Dialogue, Wire
from txtransport.text import escape_bytes

_UNTAGGED: Final = 50
"""Lines that a server may say before it answers."""

_CAPABILITIES: Final = b"CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED"
_REQUIRED: Final = (b"", b"NO [PRIVACYREQUIRED] TLS required\r\n")
"""What comes before the tag, and what behind it (RFC 5530)."""

_COMMAND: Final = re.compile(rb'([^\x00-\x20\x7f-\xff(){%*"\\+]{1,64}) ([^ ]+)(?: (.*))?').fullmatch


def connect(wire: Wire) -> Dialogue[bytes]:
    """The client's side."""
    _welcome((yield from whole_line(wire)))
    wire.greeting = b"* OK ready\r\n"
    answer = yield from _ask(wire, b"CAPABILITY")
    if answer.word != b"OK" or b"STARTTLS" not in answer.capabilities:
        raise TLSNotOffered(b" ".join((*answer.capabilities, answer.word, answer.text)))
    answer = yield from _ask(wire, b"STARTTLS")
    if answer.word != b"OK":
        raise TLSRefused(answer.word.decode("ascii"), answer.text)
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
        untagged, tagged = _ANSWERS.get(verb, _REQUIRED)
        wire.send(untagged + tag + tagged)
    wire.give_up(b"* BYE Too many commands before STARTTLS\r\n")


@frozen
class _Answer:
    """An answer with our tag, and what was listed before it.

    Attributes:
        word: ``OK``, ``NO`` or ``BAD``.
        text: What stands behind it.
        capabilities: What the server says it can do, in upper case.
    """

    word: bytes
    text: bytes
    capabilities: list[bytes]


def _welcome(greeting: bytes) -> None:
    """See that a server lets us in, and as a stranger."""
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
    """Say a command, and take its answer."""
    tag = wire.nonce().encode("ascii") + b" "
    wire.ask(tag + command + b"\r\n")
    capabilities: list[bytes] = []
    for _ in range(_UNTAGGED + 1):
        line = yield from whole_line(wire)
        if line.startswith(tag):
            return _tagged(line.removeprefix(tag), capabilities)
        words = line.upper().split(b" ")
        if words[0] != b"*":
            raise PeerMisbehaved(
                f"expected an answer with our tag, and the peer sent {escape_bytes(line)}"
            )
        if words[1:2] == [b"BYE"]:
            raise PeerLeft(line)
        if words[1:2] == [b"CAPABILITY"]:
            capabilities += words[2:]
    raise PeerMisbehaved(f"the peer said more than {_UNTAGGED} lines before its answer")


def _tagged(line: bytes, capabilities: list[bytes]) -> _Answer:
    word, _, text = line.partition(b" ")
    if word.upper() not in (b"OK", b"NO", b"BAD"):
        raise PeerMisbehaved(f"expected OK, NO or BAD, and the peer sent {escape_bytes(line)}")
    return _Answer(word.upper(), text, capabilities)


_ANSWERS: Final = {
    b"": (b"", b"BAD Expected a tag and a command\r\n"),
    b"CAPABILITY": (b"* " + _CAPABILITIES + b"\r\n", b"OK Done\r\n"),
    b"ID": (b"* ID NIL\r\n", b"OK Done\r\n"),
    b"NOOP": (b"", b"OK Done\r\n"),
    b"STARTTLS": (b"", b"BAD STARTTLS takes no arguments\r\n"),
}
