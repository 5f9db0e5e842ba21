"""What was found in a file, for people: the verdict and what to do, then the facts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final

from attrs import evolve

from txtransport.cli.certificate import certificate_facts
from txtransport.cli.indented import INDENT, MIN_WIDTH, indented_lines, paragraphs
from txtransport.cli.inspect.report import FileReport, Finding, ListSummary, PeerVerdict
from txtransport.cli.terminal import TerminalStyle, table_lines, wrap
from txtransport.text import escape_text, short_text
from txtransport.tls.certificate import CertificateSummary

__all__ = ["as_text"]

_MAX_SHOWN: Final = 20
"""Certificates and lists that are shown; a bundle may have hundreds."""


def as_text(report: FileReport, style: TerminalStyle, now: datetime) -> str:
    """The report, as lines that fit the terminal; commands are never broken.

    Args:
        report: What was found.
        style: What the terminal can show.
        now: From which the days until an end are counted.

    Returns:
        Lines, each with its ending, the last one too.
    """
    style = evolve(style, width=max(style.width, MIN_WIDTH))
    return paragraphs(
        [
            [*_verdict(report, style)],
            [*_peers(report, style)],
            [*_key(report, style)],
            [*_certificates(report, style, now)],
            [*_lists(report, style, now)],
            [*_uses(report, style)],
        ]
    )


# --- the verdict -----------------------------------------------------------------------


def _verdict(report: FileReport, style: TerminalStyle) -> Iterator[str]:
    key = "" if report.key_path is None else f" with the key in {short_text(report.key_path)}"
    what = f"for {report.purpose}: {short_text(report.path)}{key}"
    if not report.is_good:
        line, kind = f"NOT good {what}", "bad"
    elif report.findings:
        line, kind = f"good {what}, but it could be better", "doubtful"
    else:
        line, kind = f"good {what}", "good"
    for shown in wrap(line, style.width, "", 2):
        yield style.painted(shown, kind)
    for finding in report.findings:
        yield from _finding(finding, style)
    others = [use.option for use in report.uses if use.refusal is None]
    if others and report.purpose not in others:
        yield from indented_lines(f"It can be used as {' and '.join(others)}.", style)


def _finding(finding: Finding, style: TerminalStyle) -> Iterator[str]:
    diagnosis = finding.diagnosis
    seen = f" ({'; '.join(diagnosis.evidence)})" if diagnosis.evidence else ""
    kind = "bad" if finding.is_wrong else "doubtful"
    summary = diagnosis.summary
    if "=" not in summary.partition(" ")[0]:  # An option's name stays as it is.
        summary = summary[:1].upper() + summary[1:]
    yield from indented_lines(f"{summary}{seen}.", style, kind)
    if diagnosis.remedy or finding.command:
        stop = ":" if finding.command else "."
        remedy = diagnosis.remedy or "Run"
        for line in wrap(f"What to do: {remedy}{stop}", style.width - 2, INDENT, 2):
            yield f"{INDENT}{escape_text(line)}"
    if finding.command:
        # Whole, however long, so that it can be copied.
        yield f"{INDENT * 3}{finding.command}"


# --- the facts -------------------------------------------------------------------------


def _peers(report: FileReport, style: TerminalStyle) -> Iterator[str]:
    if not report.verdicts:
        return
    trust = short_text(report.trust) if report.trust else "the authorities of this machine"
    who = "clients" if report.verdicts[0].name else "servers"
    yield from _heading(f"{who} that trust {trust}", style)
    column = max(len(_name(verdict)) for verdict in report.verdicts)
    for verdict in report.verdicts:
        says = "accept it" if verdict.refusal is None else f"refuse it: {verdict.refusal.summary}"
        kind = None if verdict.refusal is None else "bad"
        yield from _row(f"{_name(verdict):{column}}", says, style, kind)


def _name(verdict: PeerVerdict) -> str:
    return short_text(verdict.name, 60) or "any client"


def _key(report: FileReport, style: TerminalStyle) -> Iterator[str]:
    if report.key is None:
        return
    yield from _heading("private key", style)
    sealed = ", encrypted" if report.key.is_encrypted else ""
    yield from indented_lines(f"kind   {report.key.kind}{sealed}", style)
    # Whole, so that it can be copied.
    yield f"{INDENT}pin    {report.key.pin}"


def _certificates(report: FileReport, style: TerminalStyle, now: datetime) -> Iterator[str]:
    if not report.certificates:
        return
    yield from _heading("certificates, as they stand in the file", style)
    for number, certificate in enumerate(report.certificates[:_MAX_SHOWN], 1):
        yield from indented_lines(f"{number}  {certificate.subject}", style)
        yield from _below(_facts(certificate, now), style)
        # Whole, so that it can be copied.
        yield f"{_FACT_INDENT}sha256 {certificate.fingerprint}"
    yield from _more(len(report.certificates), style)


def _facts(certificate: CertificateSummary, now: datetime) -> Iterator[tuple[str, str | None]]:
    if certificate.is_authority:
        yield "is     an authority", None
    issuer = "itself" if certificate.is_own_issuer else certificate.issuer
    yield f"by     {issuer}", None
    yield from certificate_facts(certificate, now)


def _lists(report: FileReport, style: TerminalStyle, now: datetime) -> Iterator[str]:
    if not report.lists:
        return
    yield from _heading("revocation lists", style)
    for number, revocations in enumerate(report.lists[:_MAX_SHOWN], 1):
        yield from indented_lines(f"{number}  {revocations.issuer}", style)
        facts = f"valid  {_span(revocations, now)}", f"has    {revocations.count} revoked"
        yield from _below(((fact, None) for fact in facts), style)
    yield from _more(len(report.lists), style)


def _span(revocations: ListSummary, now: datetime) -> str:
    end = revocations.next_update
    begin = f"{revocations.this_update:%Y-%m-%d}"
    if end is None:
        return f"from {begin} on, without an end"
    left = "OUT OF DATE" if end < now else f"{(end - now).days} days left"
    return f"{begin} to {end:%Y-%m-%d}, {left}"


def _uses(report: FileReport, style: TerminalStyle) -> Iterator[str]:
    answers = {
        use.option: "takes it" if use.refusal is None else f"no: {use.refusal.diagnosis.summary}"
        for use in report.uses
    }
    # Where no option gets as far as the content, the verdict says all.
    if len(set(answers.values())) < 2:
        return
    yield from _heading("what each option makes of it", style)
    column = max(map(len, answers))
    for option, answer in answers.items():
        yield from _row(f"{option:{column}}", answer, style)


def _row(name: str, text: str, style: TerminalStyle, kind: str | None = None) -> Iterator[str]:
    """A name and a text beside it; the names of a table are of one width."""
    for line in table_lines([(f"{INDENT}{name}", escape_text(text))], style.width):
        yield style.painted(line, kind) if kind else line


_FACT_INDENT: Final = INDENT * 2 + " "


def _below(facts: Iterable[tuple[str, str | None]], style: TerminalStyle) -> Iterator[str]:
    """Facts with their colours, below the name that they belong to; labels take 7 characters."""
    for fact, kind in facts:
        for line in wrap(escape_text(fact), style.width, _FACT_INDENT, 7, breaks_words=True):
            yield style.painted(line, kind) if kind else line


def _more(count: int, style: TerminalStyle) -> Iterator[str]:
    if count > _MAX_SHOWN:
        yield from indented_lines(f"… and {count - _MAX_SHOWN} more", style, "aside")


def _heading(text: str, style: TerminalStyle) -> Iterator[str]:
    for line in wrap(text, style.width):
        yield style.painted(line, "heading")
