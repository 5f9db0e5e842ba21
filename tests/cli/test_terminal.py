"""The terminal: colours only where they can be seen, lines that fit, progress that goes."""

from __future__ import annotations

import io
from typing import Final, TextIO

from twisted.trial.unittest import SynchronousTestCase

from txtransport.cli.terminal import (
    DID_YOU_MEAN,
    Progress,
    TerminalStyle,
    error_lines,
    style_of,
    table_lines,
    wrap,
)
from txtransport.text import escape_text

ROWS: Final = (("a", "short", "one two three four five six seven"), ("longer", "b", ""))


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    encoding = "UTF-8"

    def isatty(self) -> bool:
        return True


class StyleTests(SynchronousTestCase):
    """What a stream can show."""

    def style(self, stream: TextIO | None, **environment: str) -> tuple[bool, bool]:
        """Whether a stream has colours, and more than ASCII."""
        style = style_of(stream, environment)
        return style.is_coloured, style.is_unicode

    def test_terminal_has_colours_unless_unwanted(self) -> None:
        """A terminal has colours, unless its user wants none or it can show none."""
        self.assertEqual(self.style(Terminal(), TERM="xterm"), (True, True))
        self.assertEqual(self.style(Terminal(), NO_COLOR="1"), (False, True))
        self.assertEqual(self.style(Terminal(), TERM="dumb"), (False, True))
        # https://no-color.org: "when present and not an empty string".
        self.assertEqual(self.style(Terminal(), NO_COLOR=""), (True, True))

    def test_file_pipe_or_nothing_has_no_colours(self) -> None:
        """A file, a pipe or nothing at all has no colours."""
        file = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
        self.assertEqual(self.style(file), (False, False))
        self.assertEqual(self.style(None), (False, False))

    def test_bars_and_branches_have_ascii_forms(self) -> None:
        """Without more than ASCII the bars and branches are made of ASCII."""
        self.assertTrue(TerminalStyle().bar.isascii() and TerminalStyle().branch.isascii())
        self.assertEqual(len(TerminalStyle().branch), len(TerminalStyle(is_unicode=True).branch))

    def test_unprintable_characters_are_escaped(self) -> None:
        """What cannot be printed becomes an escape; what can stays as it is."""
        self.assertEqual(escape_text("a\x1bb\u202e\n"), "a\\x1bb\\u202e\\n")
        self.assertEqual(escape_text("bücher └─"), "bücher └─")


class TableTests(SynchronousTestCase):
    """Rows and columns, in windows of any width."""

    def test_columns_are_aligned(self) -> None:
        """Each column is as wide as it must be, and the last one is wrapped below itself."""
        self.assertEqual(
            [*table_lines(ROWS, 40)],
            [
                "a       short  one two three four five",
                "               six seven",
                "longer  b",
            ],
        )

    def test_narrow_window_puts_the_last_column_below(self) -> None:
        """Where the last column would be too narrow, it stands below the others."""
        self.assertEqual(
            [*table_lines(ROWS, 30)],
            ["a  short", "  one two three four five six", "  seven", "longer  b"],
        )

    def test_no_window_is_too_narrow(self) -> None:
        """A width that makes no sense is no reason to fail."""
        for width in (-1, 0, 1):
            self.assertEqual([*table_lines(ROWS, width)], [*table_lines(ROWS, 24)])

    def test_prose_stays_readable_in_a_wide_window(self) -> None:
        """Prose stays readable however wide the window is."""
        lines = [*table_lines([("name", "word " * 99)], 400)]
        self.assertLess(max(map(len, lines)), 110)

    def test_no_rows_make_no_lines(self) -> None:
        """A table without rows has no lines."""
        self.assertEqual([*table_lines([], 80)], [])


class ProseTests(SynchronousTestCase):
    """Paragraphs, in windows of any width."""

    def test_paragraph_is_wrapped_and_indented(self) -> None:
        """Lines end before the window does, and begin where they are told to."""
        self.assertEqual(
            wrap("one two three four", 12, "> ", 2), ["> one two", ">   three", ">   four"]
        )

    def test_url_stays_whole(self) -> None:
        """A URL is not broken, however narrow the window is."""
        url = "tls://a-long-name.example.com:443"
        self.assertEqual(wrap(f"use {url} now", 10), ["use", url, "now"])


class ErrorTests(SynchronousTestCase):
    """What is wrong with a command line, in windows of any width."""

    def test_command_is_on_a_line_of_its_own(self) -> None:
        """A command to copy is never broken: its first half would be a command as well."""
        command = "txtransport probe 'tls://host:587?starttls=smtp&timeout=5'"
        for width in (0, 10, 40, 200):
            *said, last = error_lines(f"no command 'x'; {DID_YOU_MEAN}{command}", width)
            self.assertEqual(last.strip(), command)
            self.assertEqual(" ".join(map(str.strip, said)), "no command 'x'; did you mean:")
        self.assertEqual(error_lines("too much", 80), ["too much"])


class ClosedTerminal(io.StringIO):
    """A terminal that was closed."""

    def write(self, text: str) -> int:
        raise OSError("gone")


class ProgressTests(SynchronousTestCase):
    """The line that says what is going on."""

    def test_each_step_overwrites_the_last(self) -> None:
        """Each step is written over the one before, and in the end the line is erased."""
        stream = io.StringIO()
        progress = Progress(stream, 80)
        progress.show("looking up a.example")
        progress.show("connecting to 192.0.2.1")
        progress.done()
        progress.done()
        self.assertEqual(
            stream.getvalue(),
            "\r\x1b[Klooking up a.example ...\r\x1b[Kconnecting to 192.0.2.1 ...\r\x1b[K",
        )

    def test_long_step_is_cut_and_escaped(self) -> None:
        """A long step is cut, so that it does not begin a second line; escapes stay text."""
        stream = io.StringIO()
        Progress(stream, 20).show("\x1b[2J" + "x" * 100)
        line = stream.getvalue().removeprefix("\r\x1b[K")
        self.assertEqual((len(line), line.isprintable()), (20, True))

    def test_missing_or_closed_terminal_is_no_failure(self) -> None:
        """Without a terminal nothing is written, and a terminal that was closed is no failure."""
        Progress(None, 80).show("x")
        progress = Progress(ClosedTerminal(), 80)
        progress.show("x")
        progress.show("y")
        progress.done()
