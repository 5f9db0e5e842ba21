"""Words in columns, and prose, for a window of any width."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import Final

_GAP: Final = "  "
# Prose that is wider than this is hard to read.
_PROSE: Final = 96
# Nor is it easy to read when there are but two or three words in a line.
_NARROWEST: Final = 24


def wrapped(text: str, width: int, indent: str = "", hanging: int = 0) -> list[str]:
    """A paragraph as lines.

    Args:
        text: One paragraph.
        width: The window's, in characters; a long word may be wider.
        indent: Stands before each line.
        hanging: How many blanks more before each line but the first.
    """
    return textwrap.wrap(
        text,
        min(width, _PROSE),
        initial_indent=indent,
        subsequent_indent=indent + " " * hanging,
        # URLs are to be copied whole.
        break_long_words=False,
        break_on_hyphens=False,
    )


def laid_out(rows: Sequence[Sequence[str]], width: int) -> Iterator[str]:
    """Rows as lines: columns side by side, the last one wrapped.

    Where the last column would be too narrow, a row's last cell stands below
    the others.

    Args:
        rows: All of the same number of cells.
        width: The window's, in characters.
    """
    width = max(width, _NARROWEST)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:-1]
    beside = sum(widths) + len(_GAP) * len(widths)
    for *cells, last in rows:
        if width - beside < _NARROWEST:
            yield from wrapped(_GAP.join(cells), width, hanging=len(_GAP))
            yield from wrapped(last, width, _GAP)
            continue
        lines = wrapped(last, width, " " * beside) or [""]
        words = (f"{cell:{room}}" for cell, room in zip(cells, widths, strict=True))
        yield _GAP.join([*words, lines[0][beside:]]).rstrip()
        yield from lines[1:]
