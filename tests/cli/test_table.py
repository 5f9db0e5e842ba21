"""Columns and prose, in windows of any width."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txtransport.cli.terminal import table_lines, wrap

ROWS = (("a", "short", "one two three four five six seven"), ("longer", "b", ""))


class TableTests(SynchronousTestCase):
    """Rows."""

    def test_columns_are_aligned(self) -> None:
        """Each column is as wide as it must be, and the last one goes on below itself."""
        self.assertEqual(
            [*table_lines(ROWS, 40)],
            [
                "a       short  one two three four five",
                "               six seven",
                "longer  b",
            ],
        )

    def test_a_narrow_window(self) -> None:
        """Where the last column would have no room, it stands below the others."""
        self.assertEqual(
            [*table_lines(ROWS, 30)],
            ["a  short", "  one two three four five six", "  seven", "longer  b"],
        )

    def test_no_window_is_too_narrow(self) -> None:
        """A width that makes no sense is no reason to fail."""
        for width in (-1, 0, 1):
            self.assertEqual([*table_lines(ROWS, width)], [*table_lines(ROWS, 24)])

    def test_a_wide_window_changes_little(self) -> None:
        """Prose stays readable however wide the window is."""
        lines = [*table_lines([("name", "word " * 99)], 400)]
        self.assertLess(max(map(len, lines)), 110)

    def test_no_rows(self) -> None:
        """Nothing to show is shown as nothing."""
        self.assertEqual([*table_lines([], 80)], [])


class ProseTests(SynchronousTestCase):
    """Paragraphs."""

    def test_a_paragraph(self) -> None:
        """Lines end before the window does, and begin where they are told to."""
        self.assertEqual(
            wrap("one two three four", 12, "> ", 2), ["> one two", ">   three", ">   four"]
        )

    def test_what_is_to_be_copied_stays_whole(self) -> None:
        """A URL is not broken, however narrow the window is."""
        url = "tls://a-long-name.example.com:443"
        self.assertEqual(wrap(f"use {url} now", 10), ["use", url, "now"])
