"""Indented lines and paragraphs for the terminal, as the reports of probe and inspect have them.

What a peer sent is escaped first and then wrapped, and its long words are broken: a peer
must not make a report wider than the terminal, which would break the lines anywhere. What
is there to be copied (a URL, a command's word) stays whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from txtransport.cli.terminal import TerminalStyle, wrap
from txtransport.text import escape_text

__all__ = ["INDENT", "MIN_WIDTH", "copied_lines", "indented_lines", "paragraphs"]

INDENT: Final = "  "
"""Stands before each line that is no heading."""

MIN_WIDTH: Final = 24
"""Characters; a report for a narrower terminal is laid out for this width."""

_HANGING: Final = 2


def indented_lines(text: str, style: TerminalStyle, kind: str | None = None) -> Iterator[str]:
    """A paragraph, indented; no line is wider than the terminal.

    Args:
        text: One paragraph.
        style: What the terminal can show.
        kind: Its colour, as for `TerminalStyle.painted`, or None.
    """
    shown = escape_text(text)
    for line in wrap(shown, style.width, INDENT, _HANGING, breaks_words=True):
        yield style.painted(line, kind) if kind else line


def copied_lines(text: str, style: TerminalStyle, kind: str | None = None) -> Iterator[str]:
    """A paragraph, indented, whose URLs stay whole, as people copy them.

    Args:
        text: One paragraph; it has no peer's first bytes, which may look like a URL.
        style: What the terminal can show.
        kind: Its colour, as for `TerminalStyle.painted`, or None.
    """
    width = style.width - len(INDENT) - _HANGING
    shown = re.sub(r"\S+", lambda word: _parted(word[0], width), escape_text(text))
    for line in wrap(shown, style.width, INDENT, _HANGING):
        yield style.painted(line, kind) if kind else line


def paragraphs(parts: Sequence[Sequence[str]]) -> str:
    """Lines as paragraphs, with an empty line between; a part without lines is left out."""
    return "\n\n".join("\n".join(lines) for lines in parts if lines) + "\n"


def _parted(word: str, width: int) -> str:
    """A word that fits on a line, or is a URL; any other one in parts that fill a line each."""
    if len(word) <= width or "://" in word:
        return word
    return " ".join(word[place : place + width] for place in range(0, len(word), width))
