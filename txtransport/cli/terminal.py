"""Writing to standard output, as all commands do it."""

from __future__ import annotations

import os
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from typing import Any, Final

from attrs import frozen

from txtransport.text import escape_text

PACKAGES: Final = ("txtransport", "twisted", "pyopenssl", "cryptography")
"""Whose versions a report names."""


def write_output(text: str) -> None:
    """Write to standard output; that no one reads on, as in ``| head``, is no error.

    Args:
        text: What the output's encoding does not have is written as an escape.

    Raises:
        OSError: It cannot be written, for any other reason.
    """
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    try:
        print(text.encode(encoding, "backslashreplace").decode(encoding), end="", flush=True)
    except OSError as problem:
        # Python would try once more when it exits, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(problem, BrokenPipeError):
            raise


def version(package: str) -> str:
    """The version of a package, or that it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "(not installed)"


# SGR, ECMA-48 section 8.3.117: of all that a terminal takes, what moves nothing.
_COLOURS: Final = {"good": "32", "bad": "31", "doubtful": "33", "heading": "1", "aside": "2"}


@frozen
class TerminalStyle:
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


def style_of(
    stream: Any, environment: Mapping[str, str] = os.environ, width: int = 80
) -> TerminalStyle:
    """How a stream may be written to.

    Args:
        stream: A file of text, such as ``sys.stdout``.
        environment: ``NO_COLOR`` (https://no-color.org) and ``TERM`` count.
        width: In characters.
    """
    is_plain = environment.get("NO_COLOR") or environment.get("TERM") == "dumb"
    encoding = getattr(stream, "encoding", None) or "ascii"
    is_unicode = re.fullmatch("utf-?(8|16|32)", encoding, re.IGNORECASE) is not None
    return TerminalStyle(width, is_terminal(stream) and not is_plain, is_unicode)


def is_terminal(stream: Any) -> bool:
    """Whether someone reads along."""
    return bool(getattr(stream, "isatty", bool)())


# Return, and erase to the end of the line (EL, ECMA-48 section 8.3.41).
_CLEAR: Final = "\r\x1b[K"


class Progress:
    """One line that is written over and over.

    Args:
        stream: A terminal, or None to say nothing.
        width: In characters.
    """

    def __init__(self, stream: Any, width: int) -> None:
        self._stream = stream
        self._width = width
        self._is_written = False

    def show(self, doing: str) -> None:
        """Say what is going on."""
        self._write(f"{_CLEAR}{escape_text(doing)[: self._width - 4]} ...")
        self._is_written = True

    def done(self) -> None:
        """Take the line away."""
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
            # The terminal is gone; what is to be seen is on standard output.
            self._stream = None


_GAP: Final = "  "


# Prose that is wider than this is hard to read.
_MAX_PROSE_WIDTH: Final = 96


# Nor is it easy to read when there are but two or three words in a line.
_MIN_PROSE_WIDTH: Final = 24


def wrap(text: str, width: int, indent: str = "", hanging: int = 0) -> list[str]:
    """A paragraph as lines.

    Args:
        text: One paragraph.
        width: The window's, in characters; a long word may be wider.
        indent: Stands before each line.
        hanging: How many blanks more before each line but the first.
    """
    return textwrap.wrap(
        text,
        min(width, _MAX_PROSE_WIDTH),
        initial_indent=indent,
        subsequent_indent=indent + " " * hanging,
        # URLs are to be copied whole.
        break_long_words=False,
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
    beside = sum(widths) + len(_GAP) * len(widths)
    for *cells, last in rows:
        if width - beside < _MIN_PROSE_WIDTH:
            yield from wrap(_GAP.join(cells), width, hanging=len(_GAP))
            yield from wrap(last, width, _GAP)
            continue
        lines = wrap(last, width, " " * beside) or [""]
        words = (f"{cell:{room}}" for cell, room in zip(cells, widths, strict=True))
        yield _GAP.join([*words, lines[0][beside:]]).rstrip()
        yield from lines[1:]
