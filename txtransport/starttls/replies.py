"""Replies with a code, as mail, news and files have them, and texts that end with a dot.

Knows how replies are put together; not what any code means, which is the
dialogues' to say, nor how one fails: `refused` does that for all of them.
"""

from __future__ import annotations

import re
from typing import Final

from attrs import frozen

from txtransport.errors import PeerMisbehaved, TLSRefused, shown
from txtransport.starttls.wire import Dialogue, Wire


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
        """All of it, for messages."""
        return b" ".join(self.lines)


_LINE: Final = re.compile(rb"([1-5][0-9]{2})(?:([ -])(.*))?", re.DOTALL).fullmatch


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
            raise PeerMisbehaved(f"expected a reply with a code, and the peer sent {shown(line)}")
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
        raise PeerMisbehaved(f"expected a reply with a code, and the peer sent {shown(first)}")
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


def expect(answer: Reply, code: bytes) -> None:
    """See that the answer is the one that leads on.

    Raises:
        TLSRefused: The answer is a refusal (4xx or 5xx).
        PeerMisbehaved: It is neither.
    """
    if answer.code == code:
        return
    if answer.code[:1] in (b"4", b"5"):
        raise TLSRefused(answer.code.decode("ascii"), answer.text)
    said = shown(answer.code + b" " + answer.text)
    raise PeerMisbehaved(f"expected reply {code.decode()}, and the peer sent {said}")
