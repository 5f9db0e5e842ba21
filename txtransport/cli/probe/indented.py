"""Indented lines for the terminal, as all parts of a probe's report have them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from txtransport.cli.terminal import TerminalStyle, wrap
from txtransport.text import escape_text

__all__ = ["INDENT", "MIN_WIDTH", "indented_lines"]

INDENT: Final = "  "
"""Stands before each line that is no heading."""

MIN_WIDTH: Final = 24
"""Characters; a report for a narrower terminal is laid out for this width."""


def indented_lines(text: str, style: TerminalStyle, kind: str | None = None) -> Iterator[str]:
    """A paragraph, indented, with what a peer put into it made harmless.

    Args:
        text: One paragraph.
        style: What the terminal can show.
        kind: Its colour, as for `TerminalStyle.painted`, or None.
    """
    for line in wrap(text, style.width, INDENT, 2):
        shown = escape_text(line)
        yield style.painted(shown, kind) if kind else shown
