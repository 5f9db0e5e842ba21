"""Figures, tables, documents and plots, from samples that are made up."""

from __future__ import annotations

import json
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from benchmarks.lab.report import (
    MARK,
    STOCK,
    Sample,
    Table,
    document,
    make_table,
    markdown,
    number,
    one_line,
    page,
    paired_ratio,
    plain_text,
    plot,
)

COSTS = st.floats(min_value=1e-3, max_value=1e6)
ROUNDS = st.lists(st.tuples(COSTS, COSTS), min_size=1, max_size=20)
SVG = "{http://www.w3.org/2000/svg}"


def table(name: str = "connect", **costs: list[float]) -> Table:
    """A table of such costs; the underscores of names are spaces."""
    samples = {
        row.replace("_", " "): [Sample(cost, cost / 1e6) for cost in found]
        for row, found in costs.items()
    }
    return make_table(name, "A title", "µs", samples, calls={"txtransport": 1234.5})


EXAMPLE = table(stock_Twisted=[10.0, 20.0, 40.0], txtransport=[5.0, 20.0, 10.0], Go=[1.0, 2.0, 4.0])


class StatisticsTests(SynchronousTestCase):
    """What becomes of samples."""

    def test_minimum_median_and_maximum(self) -> None:
        """A row has the lowest, the middle and the highest cost, and the median of the clock."""
        row = EXAMPLE.rows[1]
        self.assertEqual((row.minimum, row.median, row.maximum), (5, 10, 20))
        self.assertEqual(row.elapsed, 10e-6)
        self.assertEqual(row.calls, 1234.5)

    def test_the_ratio_compares_within_rounds(self) -> None:
        """It is the median of each round's quotient, and not the quotient of the medians."""
        self.assertEqual(EXAMPLE.rows[1].ratio, 0.5)
        self.assertEqual(paired_ratio([1, 2, 30], [1, 4, 10]), 1)

    @given(ROUNDS)
    def test_a_speed_that_changes_between_rounds_changes_no_ratio(
        self, rounds: list[tuple[float, float]]
    ) -> None:
        """Each round may be as fast as it likes: the ratio is what it was."""
        base, factors = [cost for cost, _ in rounds], [factor for _, factor in rounds]
        ratio = paired_ratio(
            [3 * cost * factor for cost, factor in rounds],
            [cost * factor for cost, factor in zip(base, factors, strict=True)],
        )
        self.assertAlmostEqual(ratio, 3)

    @given(ROUNDS)
    def test_a_row_is_in_order(self, rounds: list[tuple[float, float]]) -> None:
        """The median is between the others, the baseline's ratio is 1, and none is negative."""
        ours, base = (list(each) for each in zip(*rounds, strict=True))
        row, stock = table(txtransport=ours, stock_Twisted=base).rows
        self.assertTrue(0 < row.minimum <= row.median <= row.maximum)
        self.assertEqual(stock.ratio, 1)
        assert row.ratio is not None
        self.assertTrue(row.minimum / max(base) <= row.ratio <= row.maximum / min(base))

    def test_without_a_baseline_there_is_no_ratio(self) -> None:
        """A table whose baseline is not there, or costs nothing, has no ratios."""
        for found in (table(txtransport=[1.0]), table(txtransport=[1.0], stock_Twisted=[0.0])):
            self.assertIsNone(found.base)
            self.assertIsNone(found.rows[0].ratio)

    def test_a_round_that_is_not_complete_is_an_error(self) -> None:
        """Costs are paired with the same round's, or not at all."""
        self.assertRaises(ValueError, paired_ratio, [1.0, 2.0], [1.0])


class TextTests(SynchronousTestCase):
    """What readers see."""

    def test_markdown(self) -> None:
        """A row has as many cells as the heading; ours is bold; the heading names the unit."""
        lines = markdown(EXAMPLE).splitlines()
        self.assertEqual(lines[0], "### A title")
        self.assertEqual(lines[2], "µs, 3 rounds")
        self.assertEqual({line.count("|") for line in lines[4:]}, {8})
        self.assertIn("| **txtransport** | 5.00 | 10.0 | 20.0 | 0.50 | 10.0 | 1,23", lines[7])

    def test_columns_that_would_be_empty_are_not_there(self) -> None:
        """Without a baseline, a clock and calls there are three columns of figures."""
        found = make_table("n", "t", "u", {"Go": [Sample(1.0)]})
        self.assertEqual(markdown(found).splitlines()[-1], "| Go | 1.00 | 1.00 | 1.00 |")

    def test_plain_text(self) -> None:
        """A terminal shows medians and ratios, a line a row."""
        lines = plain_text(EXAMPLE).splitlines()
        self.assertIn("÷ stock Twisted", lines[0])
        self.assertEqual(lines[2].split(), ["txtransport", "10.0", "0.50", "1,234", "calls"])

    def test_one_line(self) -> None:
        """In brief: ratios to the baseline, or medians without one."""
        self.assertEqual(one_line(EXAMPLE), "connect (÷ stock Twisted): txtransport 0.50; Go 0.10")
        self.assertEqual(one_line(table(Go=[1.5])), "connect (µs): Go 1.50")

    def test_results_replace_those_of_before(self) -> None:
        """What people have written above the mark stays, and old results go."""
        first = page(f"# Costs\n\nWords.\n\n{MARK}old\n", [EXAMPLE], ["a note"], "x.svg")
        second = page(first, [EXAMPLE], ["another"], "x.svg")
        self.assertTrue(second.startswith(f"# Costs\n\nWords.\n\n{MARK}"))
        self.assertNotIn("old", second)
        self.assertNotIn("a note", second)
        self.assertEqual(second.count("### A title"), 1)
        self.assertEqual(page("", [], [], "x.svg").count(MARK), 1)

    @given(st.floats(min_value=1e-6, max_value=1e9))
    def test_numbers_are_exact_to_three_digits(self, value: float) -> None:
        """What is printed is what was measured, to half a percent."""
        shown = float(number(value).replace(",", ""))
        self.assertTrue(abs(shown - value) <= value / 200, (value, shown))

    def test_numbers_that_are_special(self) -> None:
        """Zero and infinity are shown as such."""
        self.assertEqual((number(0.0), number(float("inf"))), ("0", "inf"))

    def test_the_document_is_json(self) -> None:
        """Other programs read names, figures and notes."""
        found = json.loads(json.dumps(document([EXAMPLE], ["a note"])))
        self.assertEqual(found["notes"], ["a note"])
        self.assertEqual(found["tables"][0]["base"], STOCK)
        self.assertEqual(found["tables"][0]["rows"][1]["median"], 10)


class PlotTests(SynchronousTestCase):
    """The image."""

    def test_cheaper_is_further_left(self) -> None:
        """A mark a candidate and none for the baseline, in the order of the ratios."""
        marks = {
            "".join(mark.itertext()).strip(): float(mark.attrib["cx"])
            for mark in self.marks(plot([EXAMPLE]))
        }
        self.assertEqual(
            sorted(marks, key=lambda title: marks[title]),
            ["connect, Go: 0.10", "connect, txtransport: 0.50"],
        )

    @given(st.lists(st.floats(min_value=1e-6, max_value=1e6), min_size=1, max_size=5))
    def test_every_mark_is_on_the_image(self, costs: list[float]) -> None:
        """Also those whose ratio is beyond the axis."""
        tables = [table(txtransport=[cost], stock_Twisted=[1.0]) for cost in costs]
        image = plot(tables)
        _, _, width, height = map(float, ElementTree.fromstring(image).attrib["viewBox"].split())
        marks = self.marks(image)
        self.assertEqual(len(marks), len(costs))
        for mark in marks:
            self.assertTrue(0 < float(mark.attrib["cx"]) < width)
            self.assertTrue(0 < float(mark.attrib["cy"]) < height)

    def test_names_are_escaped(self) -> None:
        """A name with signs of XML is shown, and does not break the image."""
        found = table("<a> & b", stock_Twisted=[1.0], Go=[2.0])
        texts = ElementTree.fromstring(plot([found])).iter(f"{SVG}text")
        self.assertIn("<a> & b", [text.text for text in texts])

    def test_tables_without_ratios_are_not_shown(self) -> None:
        """There is an image even if nothing can be compared."""
        self.assertEqual(self.marks(plot([table(Go=[1.0])])), [])

    def marks(self, image: str) -> list[ElementTree.Element]:
        """The marks of candidates, without the legend's."""
        root = ElementTree.fromstring(image)
        return [mark for mark in root.iter(f"{SVG}circle") if mark.find(f"{SVG}title") is not None]
