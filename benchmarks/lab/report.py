"""Samples become figures, tables, Markdown, JSON and a plot. Pure: no file, process or clock."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from xml.sax.saxutils import escape

from attrs import asdict, frozen

OURS: Final = "txtransport"
"""How the rows of this package begin, which the plot shows in a colour of its own."""

STOCK: Final = "stock Twisted"
"""The row to which the others are compared."""


@frozen
class Sample:
    """What one turn of one candidate cost, for each piece of work.

    Attributes:
        cost: In the table's unit.
        elapsed: Seconds on the clock; None if they tell nothing.
    """

    cost: float
    elapsed: float | None = None


@frozen
class Row:
    """A candidate's line in a table.

    Attributes:
        name: The candidate.
        minimum: The lowest cost, in the table's unit, like the next two.
        median: The middle one.
        maximum: The highest.
        ratio: The median of cost ÷ the baseline's cost in the same round; None
            if there is no baseline.
        elapsed: The median of the seconds on the clock.
        calls: Calls of Python for each piece of work, by cProfile.
    """

    name: str
    minimum: float
    median: float
    maximum: float
    ratio: float | None
    elapsed: float | None
    calls: float | None


@frozen
class Table:
    """What a workload has measured; in all of them less is better.

    Attributes:
        name: One or two words, for the plot and the JSON document.
        title: What each candidate did.
        unit: Of the costs, such as ``µs of CPU a connection``.
        base: The row to which the ratios compare; None without one.
        rows: In the order of the candidates.
        rounds: How many samples each row has.
    """

    name: str
    title: str
    unit: str
    base: str | None
    rows: tuple[Row, ...]
    rounds: int


def paired_ratio(costs: Sequence[float], base: Sequence[float]) -> float:
    """The median of the quotients within each round.

    The machine's speed changes between rounds, and less within one, so that
    this is steadier than the quotient of two medians.

    Args:
        costs: One for each round.
        base: The baseline's in the same rounds; none is zero.
    """
    return statistics.median(each / other for each, other in zip(costs, base, strict=True))


def make_table(
    name: str,
    title: str,
    unit: str,
    samples: Mapping[str, Sequence[Sample]],
    *,
    base: str | None = STOCK,
    calls: Mapping[str, float] | None = None,
) -> Table:
    """Summarise samples.

    Args:
        name: See `Table`, like the next two.
        title: See `Table`.
        unit: See `Table`.
        samples: For each candidate one a round; none is empty.
        base: The row to compare to; without that row there are no ratios.
        calls: Calls of Python for each piece of work, of the candidates where
            they are known.
    """
    costs = {each: [sample.cost for sample in found] for each, found in samples.items()}
    base = base if base in costs and min(costs[base]) > 0 else None
    rows = []
    for each, found in costs.items():
        elapsed = [sample.elapsed for sample in samples[each] if sample.elapsed is not None]
        rows.append(
            Row(
                name=each,
                minimum=min(found),
                median=statistics.median(found),
                maximum=max(found),
                ratio=None if base is None else paired_ratio(found, costs[base]),
                elapsed=statistics.median(elapsed) if elapsed else None,
                calls=(calls or {}).get(each),
            )
        )
    rounds = max(map(len, costs.values()), default=0)
    return Table(name, title, unit, base, tuple(rows), rounds)


def markdown(table: Table) -> str:
    """A table with a heading, without columns that would be empty."""
    columns = ["", "minimum", "median", "maximum"]
    if table.base is not None:
        columns.append(f"÷ {table.base}")
    has_elapsed = any(row.elapsed is not None for row in table.rows)
    has_calls = any(row.calls is not None for row in table.rows)
    columns += ["elapsed, µs"] * has_elapsed + ["Python calls"] * has_calls
    lines = [columns, ["---"] + ["---:"] * (len(columns) - 1)]
    for row in table.rows:
        name = f"**{row.name}**" if row.name.startswith(OURS) else row.name
        line = [name, *map(number, (row.minimum, row.median, row.maximum))]
        if table.base is not None:
            line.append("" if row.ratio is None else f"{row.ratio:.2f}")
        if has_elapsed:
            line.append("" if row.elapsed is None else number(row.elapsed * 1e6))
        if has_calls:
            line.append("" if row.calls is None else f"{row.calls:,.0f}")
        lines.append(line)
    heading = f"### {table.title}\n\n{table.unit}, {table.rounds} rounds\n\n"
    return heading + "".join(f"| {' | '.join(line)} |\n" for line in lines)


def plain_text(table: Table) -> str:
    """The same for a terminal: names to the left, the median and the ratio."""
    width = max((len(row.name) for row in table.rows), default=0)
    lines = [f"{table.title} ({table.unit}; median, ÷ {table.base or 'nothing'})"]
    for row in table.rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        calls = "" if row.calls is None else f"{row.calls:,.0f} calls"
        lines.append(f"  {row.name:{width}}{number(row.median):>12}{ratio:>8}  {calls}".rstrip())
    return "\n".join(lines) + "\n"


def one_line(table: Table) -> str:
    """The same in a line: ratios, or medians where there is nothing to compare to."""
    cells = [
        f"{row.name} {number(row.median) if row.ratio is None else f'{row.ratio:.2f}'}"
        for row in table.rows
        if row.name != table.base
    ]
    unit = table.unit if table.base is None else f"÷ {table.base}"
    return f"{table.name} ({unit}): {'; '.join(cells)}"


MARK: Final = "<!-- What follows is written by benchmarks.run, which replaces all of it. -->\n"


def page(before: str, tables: Sequence[Table], notes: Sequence[str], image: str) -> str:
    """A page with results.

    Args:
        before: The page as it was; what is above `MARK` stays.
        tables: All are shown, in their order.
        notes: What a reader has to know, below the tables.
        image: The plot's file, beside the page.
    """
    head, mark, _ = before.partition(MARK)
    parts = [
        head if mark else "# Results\n\n",
        MARK,
        f"\n![Costs as multiples of the baseline's, on a logarithmic axis]({image})\n\n",
        "\n".join(map(markdown, tables)),
        "\n### Notes\n\n",
        *(f"- {note}\n" for note in notes),
    ]
    return "".join(parts)


def number(value: float) -> str:
    """Three digits that count, and all those before the point.

    >>> number(1234.5), number(12.345), number(0.01234)
    ('1,234', '12.3', '0.0123')
    """
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{digits}f}"


def document(tables: Sequence[Table], notes: Sequence[str]) -> dict[str, Any]:
    """All of it for machines, with JSON's types alone."""
    return {"tables": [asdict(table) for table in tables], "notes": list(notes)}


# The plot: a line a table, a mark a candidate, at its ratio to the baseline. Ratios are
# on a logarithmic axis, so that half and double are equally far from the line at 1.

MARKS: Final[Mapping[str, str]] = {
    OURS: "#c2185b",
    "pyOpenSSL": "#7b5ea7",
    "asyncio": "#1565c0",
    "uvloop": "#00838f",
    "trio": "#ef6c00",
    "anyio": "#9e9d24",
    "Python's ssl": "#5d4037",
    "PHP": "#4527a0",
    "Go": "#2e7d32",
    "openssl": "#616161",
}
"""A colour for each stack, by how the names of its rows begin."""

_LABELS: Final = 210
"""Where the axis begins, in pixels from the left."""

_WIDTH: Final = 900
_LINE: Final = 24
_TOP: Final = 56
_TICKS: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 10, 20, 50, 100)


def plot(tables: Sequence[Table]) -> str:
    """An SVG image of the ratios of all tables that have them.

    A mark is in the colour of its stack and has a tooltip; this package's marks
    are larger and drawn last. Ratios beyond the axis (0.01 to 100) stand at its ends.
    """
    shown = [table for table in tables if table.base is not None]
    ratios = [row.ratio for table in shown for row in table.rows if row.ratio is not None]
    low, high = _axis(ratios)
    height = _TOP + _LINE * len(shown) + 40

    def place(ratio: float) -> float:
        share = math.log(min(max(ratio, low), high) / low) / math.log(high / low)
        return round(_LABELS + share * (_WIDTH - _LABELS - 30), 1)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}"'
        ' font-family="sans-serif" font-size="12">',
        "<title>Costs as multiples of the baseline's: further left is cheaper</title>",
        '<rect width="100%" height="100%" fill="white"/>',
        *_legend(shown),
    ]
    for tick in _TICKS:
        if low <= tick <= high:
            color = "#888" if tick == 1 else "#ddd"
            parts.append(
                f'<path d="M{place(tick)} {_TOP - 8}V{height - 30}" stroke="{color}"/>'
                f'<text x="{place(tick)}" y="{height - 14}" text-anchor="middle">{tick:g}</text>'
            )
    parts.append(f'<text x="8" y="{height - 14}">÷ baseline (left: cheaper)</text>')
    for index, table in enumerate(shown):
        y = _TOP + _LINE * index + _LINE // 2
        parts.append(f'<text x="8" y="{y + 4}">{escape(table.name)}</text>')
        for row in sorted(table.rows, key=lambda row: row.name.startswith(OURS)):
            if row.ratio is not None and row.name != table.base:
                radius = 6 if row.name.startswith(OURS) else 4
                parts.append(
                    f'<circle cx="{place(row.ratio)}" cy="{y}" r="{radius}"'
                    f' fill="{_color(row.name)}" fill-opacity="0.8">'
                    f"<title>{escape(f'{table.name}, {row.name}: {row.ratio:.2f}')}</title>"
                    "</circle>"
                )
    return "\n".join([*parts, "</svg>\n"])


def _axis(ratios: Sequence[float]) -> tuple[float, float]:
    """The ticks at the ends of the axis: 1 is always on it."""
    below = [tick for tick in _TICKS if tick <= min([0.5, *ratios])]
    above = [tick for tick in _TICKS if tick >= max([2.0, *ratios])]
    return below[-1] if below else _TICKS[0], above[0] if above else _TICKS[-1]


def _color(name: str) -> str:
    return next((color for begin, color in MARKS.items() if name.startswith(begin)), "#aaa")


def _legend(tables: Sequence[Table]) -> Iterator[str]:
    names = [row.name for table in tables for row in table.rows]
    x = 8
    for begin, color in MARKS.items():
        if any(name.startswith(begin) for name in names):
            yield f'<circle cx="{x + 5}" cy="20" r="5" fill="{color}"/>'
            yield f'<text x="{x + 14}" y="24">{escape(begin)}</text>'
            x += 30 + 7 * len(begin)
