"""Colours and lines, only where they can be seen."""

from __future__ import annotations

import io
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from txtransport.cli.terminal import TerminalStyle, style_of
from txtransport.text import escape_text


class Terminal(io.StringIO):
    """As much of a terminal as is asked for."""

    encoding = "UTF-8"

    def isatty(self) -> bool:
        return True


class LookTests(SynchronousTestCase):
    """What a stream can do."""

    def looks(self, stream: Any, **environment: str) -> tuple[bool, bool]:
        """Whether there are colours, and more than ASCII."""
        look = style_of(stream, environment)
        return look.is_coloured, look.is_unicode

    def test_a_terminal(self) -> None:
        """A terminal has colours, unless its user wants none or it can show none."""
        self.assertEqual(self.looks(Terminal(), TERM="xterm"), (True, True))
        self.assertEqual(self.looks(Terminal(), NO_COLOR="1"), (False, True))
        self.assertEqual(self.looks(Terminal(), TERM="dumb"), (False, True))
        # https://no-color.org: "when present and not an empty string".
        self.assertEqual(self.looks(Terminal(), NO_COLOR=""), (True, True))

    def test_no_terminal(self) -> None:
        """A file, a pipe or nothing at all has no colours."""
        file = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
        self.assertEqual(self.looks(file), (False, False))
        self.assertEqual(self.looks(None), (False, False))

    def test_ascii_is_enough(self) -> None:
        """Without more than ASCII the bars and branches are made of ASCII."""
        self.assertTrue(TerminalStyle().bar.isascii() and TerminalStyle().branch.isascii())
        self.assertEqual(len(TerminalStyle().branch), len(TerminalStyle(is_unicode=True).branch))

    def test_harmless(self) -> None:
        """What cannot be printed becomes an escape; what can stays as it is."""
        self.assertEqual(escape_text("a\x1bb\u202e\n"), "a\\x1bb\\u202e\\n")
        self.assertEqual(escape_text("bücher └─"), "bücher └─")
