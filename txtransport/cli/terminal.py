"""What the commands share to write to a terminal.

In this order: writing to standard output, what a terminal can show
(`TerminalStyle`), paragraphs and tables that fit its width, a line of progress
that is overwritten, and the versions that a report names. What is said is the
commands' own.
"""

from __future__ import annotations

import os
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from typing import Final, TextIO

from attrs import frozen

from txtransport.text import escape_text

__all__ = [
    "DID_YOU_MEAN",
    "PACKAGES",
    "Progress",
    "TerminalStyle",
    "error_lines",
    "is_terminal",
    "style_of",
    "table_lines",
    "version",
    "wrap",
    "write_output",
]


# --- standard output -------------------------------------------------------------


def write_output(text: str) -> None:
    """Write to standard output; a reader that has gone, as in ``| head``, is no error.

    Args:
        text: Characters that the output's encoding lacks are written as escapes.

    Raises:
        OSError: The text cannot be written, for any other reason.
    """
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    try:
        print(text.encode(encoding, "backslashreplace").decode(encoding), end="", flush=True)
    except OSError as problem:
        # When Python exits, it flushes what is left in the buffer: it would
        # fail again, and complain on standard error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(problem, BrokenPipeError):
            raise


# --- what a terminal can show ----------------------------------------------------

# "Select graphic rendition" (SGR, ECMA-48 section 8.3.117) is the only control
# function that is written besides progress: it moves no cursor and erases nothing.
_COLOURS: Final = {"good": "32", "bad": "31", "doubtful": "33", "heading": "1", "aside": "2"}


@frozen
class TerminalStyle:
    """What the terminal or file that shows a report can display.

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
        """The character that the bars of a chart are made of."""
        return "█" if self.is_unicode else "#"

    @property
    def branch(self) -> str:
        """What stands, in a tree, before a certificate that the one above it has issued."""
        return "└─ " if self.is_unicode else "`- "

    def painted(self, text: str, kind: str) -> str:
        """A line in the colour of its kind, or as it is where no colours are wanted.

        Args:
            text: Has no colours of its own.
            kind: ``good``, ``bad``, ``doubtful``, ``heading`` or ``aside``.
        """
        if not self.is_coloured or not text:
            return text
        return f"\x1b[{_COLOURS[kind]}m{text}\x1b[0m"


def style_of(
    stream: TextIO | None, environment: Mapping[str, str] = os.environ, width: int = 80
) -> TerminalStyle:
    """What a stream can show.

    Args:
        stream: Such as ``sys.stdout``, which is None in a process without one.
        environment: ``NO_COLOR`` (https://no-color.org) and ``TERM`` count.
        width: In characters.
    """
    is_plain = environment.get("NO_COLOR") or environment.get("TERM") == "dumb"
    encoding = getattr(stream, "encoding", None) or "ascii"
    is_unicode = re.fullmatch("utf-?(8|16|32)", encoding, re.IGNORECASE) is not None
    return TerminalStyle(width, is_terminal(stream) and not is_plain, is_unicode)


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a stream is a terminal, at which a person may be reading."""
    return bool(getattr(stream, "isatty", bool)())


# --- paragraphs and tables -------------------------------------------------------

_GAP: Final = "  "
# Prose is hard to read when its lines are wider than this, in characters, or
# have but two or three words.
_MAX_PROSE_WIDTH: Final = 96
_MIN_PROSE_WIDTH: Final = 24


def wrap(
    text: str, width: int, indent: str = "", hanging: int = 0, *, breaks_words: bool = False
) -> list[str]:
    """A paragraph as lines.

    Args:
        text: One paragraph.
        width: The window's, in characters.
        indent: Stands before each line.
        hanging: How many blanks more before each line but the first.
        breaks_words: Whether a word that is too long for a line is broken. It is not by
            default: a URL must stay whole, so that it can be copied.
    """
    return textwrap.wrap(
        text,
        min(width, _MAX_PROSE_WIDTH),
        initial_indent=indent,
        subsequent_indent=indent + " " * hanging,
        break_long_words=breaks_words,
        break_on_hyphens=False,
    )


def table_lines(rows: Sequence[Sequence[str]], width: int) -> Iterator[str]:
    """Rows as lines: columns side by side, the last one wrapped.

    Where the last column would be too narrow, a row's last cell stands below
    the others.

    Args:
        rows: All of the same number of cells.
        width: The window's, in characters.
    """
    width = max(width, _MIN_PROSE_WIDTH)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:-1]
    before_last = sum(widths) + len(_GAP) * len(widths)
    for *cells, last in rows:
        if width - before_last < _MIN_PROSE_WIDTH:
            yield from wrap(_GAP.join(cells), width, hanging=len(_GAP))
            yield from wrap(last, width, _GAP)
            continue
        lines = wrap(last, width, " " * before_last) or [""]
        padded = (f"{cell:{column}}" for cell, column in zip(cells, widths, strict=True))
        yield _GAP.join([*padded, lines[0][before_last:]]).rstrip()
        yield from lines[1:]


DID_YOU_MEAN: Final = "did you mean: "
"""What stands in an error before a command to copy, which ends it."""


def error_lines(text: str, width: int) -> list[str]:
    """An error as lines; a command at its end stands whole on a line of its own.

    Args:
        text: One paragraph, perhaps with `DID_YOU_MEAN` and a command at its end.
        width: The window's, in characters; a long word may be wider.
    """
    said, mark, command = text.partition(DID_YOU_MEAN)
    lines = wrap(said + mark, max(width, _MIN_PROSE_WIDTH), hanging=2)
    return [*lines, f"    {command}"] if command else lines


# --- progress --------------------------------------------------------------------

# Return, and erase to the end of the line (EL, ECMA-48 section 8.3.41).
_CLEAR: Final = "\r\x1b[K"


class Progress:
    """One line that says what is going on, and is overwritten by the next.

    Args:
        stream: A terminal, or None to write nothing.
        width: In characters.
    """

    def __init__(self, stream: TextIO | None, width: int) -> None:
        self._stream = stream
        self._width = width
        self._is_written = False

    def show(self, doing: str) -> None:
        """Replace the line.

        Args:
            doing: What is going on, in a few words; cut where the line would
                be wider than the terminal.
        """
        self._write(f"{_CLEAR}{escape_text(doing)[: self._width - 4]} ...")
        self._is_written = True

    def done(self) -> None:
        """Erase the line."""
        if self._is_written:
            self._write(_CLEAR)
            self._is_written = False

    def _write(self, text: str) -> None:
        if self._stream is None:
            return
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError:
            # The terminal was closed. The command goes on, as its result is
            # written to standard output.
            self._stream = None


# --- versions --------------------------------------------------------------------

PACKAGES: Final = ("txtransport", "twisted", "pyopenssl", "cryptography")
"""Whose versions a report names."""


def version(package: str) -> str:
    """The version of a package, or that it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "(not installed)"
