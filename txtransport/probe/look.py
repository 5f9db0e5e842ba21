"""How a report may look where it is shown: its width, its colours, its lines."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any, Final

from attrs import frozen

# SGR, ECMA-48 section 8.3.117: of all that a terminal takes, what moves nothing.
_COLOURS: Final = {"good": "32", "bad": "31", "doubtful": "33", "heading": "1", "aside": "2"}


@frozen
class Look:
    """What the place where a report is shown can do.

    Attributes:
        width: In characters.
        is_coloured: Whether colours are wanted.
        is_unicode: Whether it has more than ASCII.
    """

    width: int = 80
    is_coloured: bool = False
    is_unicode: bool = False

    @property
    def bar(self) -> str:
        """What a bar is made of."""
        return "█" if self.is_unicode else "#"

    @property
    def branch(self) -> str:
        """What leads from a certificate to one that it vouches for."""
        return "└─ " if self.is_unicode else "`- "

    def painted(self, text: str, kind: str) -> str:
        """A line in the colour of its kind.

        Args:
            text: Has no colours of its own.
            kind: ``good``, ``bad``, ``doubtful``, ``heading`` or ``aside``.
        """
        if not self.is_coloured or not text:
            return text
        return f"\x1b[{_COLOURS[kind]}m{text}\x1b[0m"


def look_of(stream: Any, environment: Mapping[str, str] = os.environ, width: int = 80) -> Look:
    """How a stream may be written to.

    Args:
        stream: A file of text, such as ``sys.stdout``.
        environment: ``NO_COLOR`` (https://no-color.org) and ``TERM`` count.
        width: In characters.
    """
    is_plain = environment.get("NO_COLOR") or environment.get("TERM") == "dumb"
    encoding = getattr(stream, "encoding", None) or "ascii"
    is_unicode = re.fullmatch("utf-?(8|16|32)", encoding, re.IGNORECASE) is not None
    return Look(width, is_terminal(stream) and not is_plain, is_unicode)


def is_terminal(stream: Any) -> bool:
    """Whether someone reads along."""
    return bool(getattr(stream, "isatty", bool)())


def harmless(text: str) -> str:
    """A text that moves no cursor: what cannot be printed becomes an escape."""
    return text if text.isprintable() else "".join(map(_harmless, text))


def _harmless(character: str) -> str:
    return character if character.isprintable() else ascii(character)[1:-1]
