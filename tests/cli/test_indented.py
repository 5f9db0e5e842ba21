"""Indented lines: what must be whole, and what must not be wide."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txtransport.cli.indented import MIN_WIDTH, copied_lines, indented_lines, paragraphs
from txtransport.cli.terminal import TerminalStyle

WIDTHS = st.integers(MIN_WIDTH, 200)


class LineTests(SynchronousTestCase):
    """Lines of a report, below its headings."""

    @given(st.text(), WIDTHS)
    def test_no_text_is_wider_than_the_window(self, text: str, width: int) -> None:
        """Whatever a peer sends, each line of it is printable and fits."""
        for line in indented_lines(text, TerminalStyle(width)):
            self.assertTrue(line.isprintable() and len(line) <= width, line)

    @given(st.text(st.characters(exclude_categories=("C", "Z")), min_size=1), WIDTHS)
    def test_nothing_of_a_word_is_lost(self, word: str, width: int) -> None:
        """A long word is broken, and all of it is there."""
        for lines in (indented_lines, copied_lines):
            shown = "".join("".join(lines(word, TerminalStyle(width))).split())
            self.assertEqual(shown, word)

    def test_a_url_stays_whole_among_words_that_do_not(self) -> None:
        """In advice a URL is never broken, and a long name of a peer is."""
        url = f"tls://{'long.' * 20}example:443"
        lines = [*copied_lines(f"{'x' * 90} and {url} then", TerminalStyle(40))]
        (whole,) = [line for line in lines if "://" in line]
        self.assertEqual(whole.strip(), url)
        self.assertTrue(all(len(line) <= 40 for line in lines if line != whole), lines)

    def test_parts_without_lines_leave_no_gap(self) -> None:
        """Between paragraphs is one empty line, whichever are missing."""
        self.assertEqual(paragraphs([["a", "b"], [], ["c"]]), "a\nb\n\nc\n")
