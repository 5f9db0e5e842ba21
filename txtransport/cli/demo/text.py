"""The report for people: a table that fits its window, then the mail examples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from txtransport import Session, TransportURL
from txtransport.cli.demo.report import DemoReport, Line, MailExample, Row, RowOutcome
from txtransport.cli.terminal import wrap

__all__ = ["as_text"]

_HEADINGS: Final = ("asked for", "read as", "dialled", "result", "ms")
_GAP: Final = " "
_INDENT: Final = "  "
_MIN_WIDTH: Final = 24


def as_text(report: DemoReport, title: str, width: int) -> str:
    """The report, as lines that fit the window.

    Args:
        report: What the demo saw.
        title: The first line.
        width: The window's, in characters.

    Returns:
        Lines, each with its ending, the last one too.
    """
    width = max(width, _MIN_WIDTH)
    paragraphs = [
        [*wrap(title, width)],
        [*wrap(_PREFACE, width)],
        [*_table(report.rows, width)],
        *([*_mail_example(example, width)] for example in report.mail_examples),
        [line for text in _verdict(report) for line in wrap(text, width)],
    ]
    return "\n\n".join("\n".join(lines) for lines in paragraphs) + "\n"


_PREFACE: Final = (
    "Read as they stand, then dialled on loopback: names and IPv4 at 127.0.0.1, IPv6 at ::1, "
    "at free ports, with certificates of a throw-away authority. ms: from connect() until a "
    "line had come back."
)


# --- the table -------------------------------------------------------------------


def _table(rows: tuple[Row, ...], width: int) -> Iterator[str]:
    cells = [_cells(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(_HEADINGS, *cells, strict=True)]
    total = sum(widths) + len(_GAP) * (len(widths) - 1)
    if total > width:
        yield from _stacked(rows, width)
        return
    yield _aligned(_HEADINGS, widths)
    yield "-" * total
    for row, line in zip(rows, cells, strict=True):
        yield _aligned(line, widths)
        yield from wrap(_note(row), width, _INDENT)


def _stacked(rows: tuple[Row, ...], width: int) -> Iterator[str]:
    """The table for narrow windows: every cell on a line of its own."""
    label = max(map(len, _HEADINGS)) + 1
    for row in rows:
        for heading, cell in zip(_HEADINGS, _cells(row), strict=True):
            yield f"{heading:{label}}{cell}"
        yield from wrap(_note(row), width, _INDENT)
        yield ""


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.form.asked,
        str(row.parsed or "-"),
        _location(row.dialled),
        row.result,
        "-" if row.milliseconds is None else f"{row.milliseconds:.1f}",
    )


def _aligned(cells: tuple[str, ...], widths: list[int]) -> str:
    *words, number = cells
    padded = [f"{word:{width}}" for word, width in zip(words, widths, strict=False)]
    return _GAP.join([*padded, f"{number:>{widths[-1]}}"])


def _location(dialled: TransportURL | None) -> str:
    if dialled is None:
        return "-"
    if dialled.path:
        # The rest is the temporary folder, whose name says nothing.
        return f".../{dialled.path.rpartition('/')[2]}"
    return dialled.location.partition("://")[2]


def _note(row: Row) -> str:
    parts = [row.reason] if row.reason else []
    if row.session is not None:
        allowed = "with allow_broken_ssl=yes: " if row.form.is_broken else ""
        parts.append(allowed + _session_facts(row.session))
    if not row.is_right:
        parts.insert(0, f"NOT AS IT SHOULD BE: {_expected(row)} was expected;")
    return " ".join(parts)


def _expected(row: Row) -> str:
    return f"{row.form.expected}{', resumed' if row.form.is_resumed else ''}"


def _session_facts(session: Session) -> str:
    words = [session.cipher]
    if session.group is not None:
        words.append(session.group)
    words.append(f"resumed: {_yes_or_no(session.resumed)}")
    words.append(f"verified: {_yes_or_no(session.verified)}")
    return ", ".join(words)


def _yes_or_no(answer: bool | None) -> str:
    return "yes" if answer else "no"


# --- the mail examples -----------------------------------------------------------


def _mail_example(example: MailExample, width: int) -> Iterator[str]:
    yield from wrap(example.title, width)
    yield from wrap(f"{example.asked}, dialled at {_location(example.dialled)}", width, _INDENT)
    was_secure = False
    for line in example.lines:
        if line.is_secure and not was_secure and example.session is not None:
            session = example.session
            yield from wrap(f"== {session.version}, {_session_facts(session)}", width, _INDENT)
        was_secure = line.is_secure
        yield from wrap(_line(line), width, _INDENT, 12)
    if example.cause:
        yield from wrap(f"{example.cause}: {example.explanation}", width, _INDENT)
    if not example.is_right:
        yield from wrap(f"NOT AS IT SHOULD BE: {example.expected} was expected", width, _INDENT)


def _line(line: Line) -> str:
    how = "TLS" if line.is_secure else "clear"
    who = "C:" if line.is_client else "S:"
    return f"{how:5}  {who} {line.text}"


def _verdict(report: DemoReport) -> Iterator[str]:
    skipped = sum(row.outcome is RowOutcome.SKIPPED for row in report.rows)
    skips = f", {skipped} of them skipped" if skipped else ""
    count = f"{len(report.rows)} rows and {len(report.mail_examples)} scenes{skips}"
    end = ": all as they should be." if report.is_right else "."
    yield f"{count}, in {report.seconds:.1f} seconds{end}"
    if report.wrong:
        yield f"NOT as they should be: {', '.join(report.wrong)}."
