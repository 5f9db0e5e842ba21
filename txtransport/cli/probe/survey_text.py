"""The report of a survey for people: the URLs that work, and those that answer and fail."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from attrs import evolve

from txtransport.cli.indented import (
    INDENT,
    MIN_WIDTH,
    copied_lines,
    indented_lines,
    paragraphs,
)
from txtransport.cli.probe.report import Survey
from txtransport.cli.probe.verdict import (
    brief_lines,
    diagnosis_lines,
    expiry_text,
    failure_verdict,
    without_place,
)
from txtransport.cli.terminal import TerminalStyle, wrap
from txtransport.config.host import host_in_url
from txtransport.errors import Diagnosis
from txtransport.text import escape_text

__all__ = ["as_survey_text"]


def as_survey_text(
    survey: Survey, style: TerminalStyle, now: datetime, *, is_brief: bool = False
) -> str:
    """What answers at a host, as lines that fit the terminal.

    Args:
        survey: What was seen.
        style: What the terminal can show.
        now: From which the days until a certificate's end are counted.
        is_brief: Whether to write the URLs that work alone, one a line.

    Returns:
        Lines, each with its ending, the last one too.
    """
    style = evolve(style, width=max(style.width, MIN_WIDTH))
    working = [escape_text(report.url.redacted()) for report in survey.working]
    if is_brief and working:
        return "\n".join(working) + "\n"
    if survey.diagnosis is not None:
        return paragraphs([[*_failed(survey.host, survey.diagnosis, style, is_brief)]])
    parts = [[*_verdict(survey, working, style, now)]]
    if not is_brief:
        title = style.painted(escape_text(survey.host), "heading")
        parts = [
            [title],
            [*_working(survey, style, now)],
            [*_failing(survey, style)],
            [*parts[0], *_advice(survey, style)],
        ]
    return paragraphs(parts)


def _failed(host: str, diagnosis: Diagnosis, style: TerminalStyle, is_brief: bool) -> Iterator[str]:
    if is_brief:
        return brief_lines(host, failure_verdict(host, diagnosis), style)
    return diagnosis_lines(host, diagnosis, style)


def _working(survey: Survey, style: TerminalStyle, now: datetime) -> Iterator[str]:
    """The URLs that work, each with a note where a certificate has too few days left."""
    for number, report in enumerate(survey.working):
        if not number:
            yield style.painted("works, verified", "heading")
        yield style.painted(f"{INDENT}{escape_text(report.url.redacted())}", "good")
        if report.expiring(now):
            text = f"{INDENT}expires soon: {expiry_text(report, now)}"
            yield from indented_lines(text, style, "bad")


def _verdict(
    survey: Survey, working: list[str], style: TerminalStyle, now: datetime
) -> Iterator[str]:
    """How many URLs work, and at how many nothing answers."""
    total = len(survey.answering) + len(survey.silent)
    silence = f"{len(survey.silent)} of {total} usual ways are silent"
    kind = "good" if survey.is_good(now) else "bad"
    expiring = survey.expiring(now)
    count = {0: "none works", 1: "1 URL works"}.get(len(working), f"{len(working)} URLs work")
    if expiring:
        count += f", {len(expiring)} with a certificate that expires soon"
    for line in wrap(f"{count}; {silence}", style.width):
        yield style.painted(line, kind)


def _advice(survey: Survey, style: TerminalStyle) -> Iterator[str]:
    """What to do where nothing answers; what answers and fails has a remedy of its own."""
    if not survey.answering:
        host = host_in_url(survey.host)
        text = (
            f"What to do: If the server has another port, name it: tls://{host}:PORT; if it has a "
            "usual one, is it running, and does no firewall drop what is sent to it?"
        )
        yield from indented_lines(text, style, "heading")


def _failing(survey: Survey, style: TerminalStyle) -> Iterator[str]:
    for number, report in enumerate(survey.failing):
        if not number:
            yield style.painted("answers, and fails", "heading")
        yield from copied_lines(report.url.redacted(), style, "bad")
        diagnosis = report.diagnosis
        cause, why = ("not-verified", "the options do not demand chain and name")
        if diagnosis is not None:
            cause, why = diagnosis.cause, diagnosis.summary
        yield from indented_lines(f"{cause}: {without_place(why, report.url)}", style)
        if diagnosis is not None and diagnosis.remedy:
            yield from copied_lines(diagnosis.remedy, style)
