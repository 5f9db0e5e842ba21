"""Replies with a code, texts that end with a dot, and lines that announce no literal.

Knows how replies are put together, and that 4xx and 5xx are refusals; what any
other code means is the dialogues' to say.
"""

from __future__ import annotations

import re
from typing import Final

from attrs import frozen

from txtransport.errors import PeerLeft, PeerMisbehaved, TLSRefused
from txtransport.starttls.wire import Dialogue, Wire
from txtransport.text import escape_bytes


@frozen
class Reply:
    """A reply, of one line or several.

    Attributes:
        code: Its three digits.
        lines: What stands behind the code, of each line.
    """

    code: bytes
    lines: tuple[bytes, ...]

    @property
    def words(self) -> list[bytes]:
        """The first word of each line but the first, in upper case: keywords."""
        return [line.split()[0].upper() for line in self.lines[1:] if line.strip()]

    @property
    def text(self) -> bytes:
        """All of it but the code, for messages."""
        return b" ".join(self.lines)

    @property
    def said(self) -> bytes:
        """All of it, for messages."""
        return self.code + b" " + self.text

    @property
    def is_negative(self) -> bool:
        """Whether it says no, for now (4xx) or for good (5xx)."""
        return self.code[:1] in (b"4", b"5")


_LINE: Final = re.compile(rb"([1-5][0-9]{2})(?:([ -])(.*))?").fullmatch
_LITERAL: Final = re.compile(rb"\{[0-9]+\+?\}\Z").search


def reply(wire: Wire) -> Dialogue[Reply]:
    """A reply whose every line has the code (RFC 5321, 4.2.1).

    Raises:
        PeerMisbehaved: What has come is none.
    """
    code, lines, is_last = b"", [], False
    while not is_last:
        line = yield from wire.line()
        found = _LINE(line)
        if found is None or (code and found[1] != code):
            raise PeerMisbehaved(
                f"expected a reply with a code, and the peer sent {escape_bytes(line)}"
            )
        code, is_last = found[1], found[2] != b"-"
        lines.append(found[3] or b"")
    return Reply(code, tuple(lines))


def ftp_reply(wire: Wire) -> Dialogue[Reply]:
    """A reply in whose middle anything may stand (RFC 959, 4.2).

    Raises:
        PeerMisbehaved: What has come is none.
    """
    first = yield from wire.line()
    found = _LINE(first)
    if found is None:
        raise PeerMisbehaved(
            f"expected a reply with a code, and the peer sent {escape_bytes(first)}"
        )
    lines, is_last = [found[3] or b""], found[2] != b"-"
    while not is_last:
        line = yield from wire.line()
        is_last = line.startswith(found[1] + b" ") or line == found[1]
        lines.append(line[4:] if is_last else line)
    return Reply(found[1], tuple(lines))


def dotted(wire: Wire) -> Dialogue[list[bytes]]:
    """Lines up to a lone dot, without the dots put in front of others (RFC 3977, 3.1.1)."""
    lines: list[bytes] = []
    while (line := (yield from wire.line())) != b".":
        lines.append(line.removeprefix(b"."))
    return lines


def whole_line(wire: Wire) -> Dialogue[bytes]:
    """A line of IMAP or ManageSieve that does not go on in a literal.

    Raises:
        PeerMisbehaved: It announces one, and nothing in the clear needs any.
    """
    line = yield from wire.line()
    if announces_literal(line):
        raise PeerMisbehaved(f"the peer announced a literal before TLS: {escape_bytes(line)}")
    return line


def announces_literal(line: bytes) -> bool:
    """Whether bytes that are no line follow: ``{20}``, ``{20+}`` (RFC 9051, 4.3; RFC 5804, 4)."""
    return _LITERAL(line) is not None


def welcome(greeting: Reply, *codes: bytes) -> None:
    """See that a server lets us in.

    Raises:
        PeerLeft: It turns us away (4xx or 5xx).
        PeerMisbehaved: It says something else.
    """
    # Nothing was asked for yet, so nothing about TLS was refused.
    if greeting.is_negative:
        raise PeerLeft(greeting.said)
    expect(greeting, *codes)


def expect(answer: Reply, *codes: bytes) -> None:
    """See that the answer is one that leads on.

    Raises:
        TLSRefused: The answer is a refusal (4xx or 5xx).
        PeerMisbehaved: It is neither.
    """
    if answer.code in codes:
        return
    if answer.is_negative:
        raise TLSRefused(answer.code.decode("ascii"), answer.text)
    wanted = b" or ".join(codes).decode("ascii")
    raise PeerMisbehaved(f"expected reply {wanted}, and the peer sent {escape_bytes(answer.said)}")
