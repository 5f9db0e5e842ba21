"""Readers for what several protocols share: coded replies, dot-terminated text, literals.

SMTP, LMTP, NNTP and FTP answer with three digits; POP3 and NNTP end a list with a
line that holds a dot; IMAP and ManageSieve announce a literal at the end of a
line. This module knows how these are built, and that a code of 4xx or 5xx is
negative. What any other code means, each dialogue knows.
"""

from __future__ import annotations

import re
from typing import Final

from attrs import frozen

from txtransport.errors import PeerLeft, PeerMisbehaved, TLSRefused
from txtransport.starttls.wire import Dialogue, Wire
from txtransport.text import escape_bytes

__all__ = [
    "Reply",
    "announces_literal",
    "dot_terminated",
    "expect_code",
    "expect_greeting",
    "ftp_reply",
    "line_without_literal",
    "reply",
]


@frozen
class Reply:
    """A reply of a server, of one line or several.

    Attributes:
        code: Its three digits.
        lines: The text of each line, without the code.
    """

    code: bytes
    lines: tuple[bytes, ...]

    @property
    def keywords(self) -> list[bytes]:
        """The first word of each line but the first, in upper case: EHLO keywords."""
        return [line.split()[0].upper() for line in self.lines[1:] if line.strip()]

    @property
    def text(self) -> bytes:
        """The text of all lines without the code, for messages."""
        return b" ".join(self.lines)

    @property
    def full_text(self) -> bytes:
        """The code and the text of all lines, for messages."""
        return self.code + b" " + self.text

    @property
    def is_negative(self) -> bool:
        """Whether the code is a refusal: transient (4xx) or permanent (5xx)."""
        return self.code[:1] in (b"4", b"5")


_LINE: Final = re.compile(rb"([1-5][0-9]{2})(?:([ -])(.*))?").fullmatch
_LITERAL: Final = re.compile(rb"\{[0-9]+\+?\}\Z").search


def reply(wire: Wire) -> Dialogue[Reply]:
    """Wait for a reply in which every line begins with the same code (RFC 5321, 4.2.1).

    Raises:
        PeerMisbehaved: A line has no code, or another one.
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
    """Wait for a reply of FTP, whose lines between the first and the last are free (RFC 959, 4.2).

    Raises:
        PeerMisbehaved: The first line has no code.
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


def dot_terminated(wire: Wire) -> Dialogue[list[bytes]]:
    """Wait for the lines up to a lone dot, and undo dot-stuffing (RFC 3977, 3.1.1)."""
    lines: list[bytes] = []
    while (line := (yield from wire.line())) != b".":
        lines.append(line.removeprefix(b"."))
    return lines


def line_without_literal(wire: Wire) -> Dialogue[bytes]:
    """Wait for a line of IMAP or ManageSieve that is complete without a literal.

    Raises:
        PeerMisbehaved: The line announces a literal; nothing before TLS needs one.
    """
    line = yield from wire.line()
    if announces_literal(line):
        raise PeerMisbehaved(f"the peer announced a literal before TLS: {escape_bytes(line)}")
    return line


def announces_literal(line: bytes) -> bool:
    """Whether a line ends with the length of a literal: ``{20}`` or ``{20+}``.

    The bytes behind such a line are data and not lines (RFC 9051, 4.3; RFC 5804, 4).
    """
    return _LITERAL(line) is not None


def expect_greeting(greeting: Reply, *codes: bytes) -> None:
    """Check that the first reply of a server has one of these codes.

    Raises:
        PeerLeft: The server refuses the connection (4xx or 5xx).
        PeerMisbehaved: The code is any other.
    """
    # Not TLSRefused: nothing was asked for yet.
    if greeting.is_negative:
        raise PeerLeft(greeting.full_text)
    expect_code(greeting, *codes)


def expect_code(answer: Reply, *codes: bytes) -> None:
    """Check that the answer to a command has one of these codes.

    Raises:
        TLSRefused: The answer is a refusal (4xx or 5xx).
        PeerMisbehaved: The code is any other.
    """
    if answer.code in codes:
        return
    if answer.is_negative:
        raise TLSRefused(answer.code.decode("ascii"), answer.text)
    wanted = b" or ".join(codes).decode("ascii")
    raise PeerMisbehaved(
        f"expected reply {wanted}, and the peer sent {escape_bytes(answer.full_text)}"
    )
