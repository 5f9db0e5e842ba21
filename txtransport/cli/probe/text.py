"""A report for people: where the time went, what was agreed, who vouches, and the verdict."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from attrs import evolve

from txtransport import Session
from txtransport.cli.probe.report import (
    AddressOutcome,
    AddressResult,
    FirstByte,
    ProbeReport,
    ProbeStage,
    StageTime,
    Survey,
)
from txtransport.cli.terminal import TerminalStyle, wrap
from txtransport.errors import Diagnosis
from txtransport.text import escape_bytes as quoted
from txtransport.text import escape_text
from txtransport.tls.certificate import CertificateSummary

_INDENT: Final = "  "
_NARROWEST: Final = 24
_DEEPEST: Final = 4
# A date, and no less.
_SHORTEST: Final = 10
_SOON: Final = 21
"""Days before its end at which a certificate is to be noticed."""


def as_text(
    report: ProbeReport, look: TerminalStyle, now: datetime, *, is_brief: bool = False
) -> str:
    """The report, laid out.

    Args:
        report: What the probe saw.
        look: How it may look.
        now: For the days that are left.
        is_brief: Whether the verdict is enough.

    Returns:
        Lines, the last one ended as well.
    """
    look = evolve(look, width=max(look.width, _NARROWEST))
    parts = [[*verdict(report, look)]]
    if not is_brief:
        parts = [
            [look.painted(escape_text(line), "heading") for line in
             wrap(report.url.redacted(), look.width)],
            [*_addresses(report, look)],
            [*_waterfall(report, look)],
            [*_session(report, look)],
            [*_versions(report, look)],
            [*_chain(report, look, now)],
            *parts,
        ]  # fmt: skip
    return _paragraphs(parts)


def _paragraphs(parts: Sequence[Sequence[str]]) -> str:
    return "\n\n".join("\n".join(lines) for lines in parts if lines) + "\n"


def as_survey_text(survey: Survey, look: TerminalStyle, *, is_brief: bool = False) -> str:
    """What answers at a host, laid out.

    Args:
        survey: What was seen.
        look: How it may look.
        is_brief: Whether the URLs that work are enough.

    Returns:
        Lines, the last one ended as well.
    """
    look = evolve(look, width=max(look.width, _NARROWEST))
    working = [escape_text(report.url.redacted()) for report in survey.working]
    if is_brief and working:
        return "\n".join(working) + "\n"
    parts = [[*_surveyed(survey, working, look)]]
    if not is_brief:
        title = look.painted(escape_text(survey.host), "heading")
        works = [look.painted(f"{_INDENT}{url}", "good") for url in working]
        parts = [
            [title],
            [look.painted("works, verified", "heading"), *works] if works else [],
            [*_failing(survey, look)],
            *parts,
        ]
    return _paragraphs(parts)


def _surveyed(survey: Survey, working: list[str], look: TerminalStyle) -> Iterator[str]:
    """What a survey comes to."""
    if survey.diagnosis is not None:
        yield from diagnosis_lines(survey.diagnosis, look)
        return
    total = len(survey.answering) + len(survey.silent)
    silence = f"{len(survey.silent)} of {total} usual ways are silent"
    kind = "good" if working else "bad"
    count = {0: "none works", 1: "1 URL works"}.get(len(working), f"{len(working)} URLs work")
    for line in wrap(f"{count}; {silence}", look.width):
        yield look.painted(line, kind)


def _failing(survey: Survey, look: TerminalStyle) -> Iterator[str]:
    for number, report in enumerate(survey.failing):
        if not number:
            yield look.painted("answers, and fails", "heading")
        yield from _lines(report.url.redacted(), look, "bad")
        diagnosis = report.diagnosis
        cause, why = ("not-verified", "the options do not demand chain and name")
        if diagnosis is not None:
            cause, why = diagnosis.cause, diagnosis.summary
        why = why.removeprefix(f"{report.url.redacted()}: ")
        yield from _lines(f"{cause}: {why.removeprefix(report.url.location + ': ')}", look)
        if diagnosis is not None and diagnosis.remedy:
            yield from _lines(diagnosis.remedy, look)


# --- the verdict -----------------------------------------------------------------


def verdict(report: ProbeReport, look: TerminalStyle) -> Iterator[str]:
    """What it comes to, and what to do."""
    if report.diagnosis is not None:
        yield from diagnosis_lines(report.diagnosis, look)
    elif report.is_verified:
        yield look.painted("connected, verified", "good")
    elif report.session is not None:
        yield look.painted("connected, NOT verified", "bad")
        yield from _lines("The options do not demand a trusted chain and the right name.", look)
    else:
        for line in wrap("connected, in the clear: nothing is verified", look.width):
            yield look.painted(line, "doubtful")
    if report.hint:
        yield from _lines(f"{report.hint}.", look)


def diagnosis_lines(diagnosis: Diagnosis, look: TerminalStyle) -> Iterator[str]:
    """A diagnosis: what happened, what was seen, what to do."""
    for line in wrap(f"not connected: {diagnosis.summary}", look.width, "", 2):
        yield look.painted(escape_text(line), "bad")
    whose = _WHOSE.get(diagnosis.fault, diagnosis.fault)
    again = "trying again cannot help" if diagnosis.permanent else "trying again may help"
    yield from _lines(f"cause: {diagnosis.cause}; {whose}; {again}", look)
    for seen in diagnosis.evidence:
        yield from _seen(seen, look)
    if diagnosis.remedy:
        stop = "" if diagnosis.remedy[-1] in "?." else "."
        yield from _lines(f"What to do: {diagnosis.remedy}{stop}", look, "heading")


def _seen(text: str, look: TerminalStyle) -> Iterator[str]:
    """A line of evidence: nothing to be copied, and perhaps one long word."""
    lines = textwrap.wrap(f"- {escape_text(text)}", look.width - 2 * len(_INDENT))
    for number, line in enumerate(lines):
        yield look.painted(f"{_INDENT * (2 if number else 1)}{line}", "aside")


_WHOSE: Final = {
    "peer": "the peer is to mend it",
    "ours": "it is for this side to mend",
    "network": "the network is between",
    "someone-between": "someone may be in between",
}


# --- the rest --------------------------------------------------------------------


def _addresses(report: ProbeReport, look: TerminalStyle) -> Iterator[str]:
    if not report.addresses:
        return
    yield look.painted("addresses", "heading")
    room = max(len(address.host) for address in report.addresses)
    for address in report.addresses:
        text = f"{escape_text(address.host):{room}}  {_told(address)}"
        yield from _lines(text, look, _COLOUR_OF_ADDRESS[address.outcome])


_COLOUR_OF_ADDRESS: Final = {
    AddressOutcome.CONNECTED: None,
    AddressOutcome.FAILED: "doubtful",
    AddressOutcome.GIVEN_UP: "aside",
}


def _told(address: AddressResult) -> str:
    why = f": {address.diagnosis.summary}" if address.diagnosis is not None else ""
    return f"{address.outcome.value} after {_time(address.milliseconds)}{why}"


def _waterfall(report: ProbeReport, look: TerminalStyle) -> Iterator[str]:
    """The stages, each with a bar from where it begins to where it ends."""
    spans = [
        span
        for span in report.spans
        if span.stage is not ProbeStage.LOOK_UP or not _is_known(report)
    ]
    if not spans:
        return
    yield look.painted("time", "heading")
    total = max(report.milliseconds, 0.001)
    label = max(len("first byte"), *(len(span.stage.value) for span in spans))
    number = max(len(_time(span.milliseconds)) for span in spans)
    room = look.width - len(_INDENT) * 3 - label - number
    for span in spans:
        failed = report.failed_stage is span.stage
        bar = _bar(span, total, room, look)
        line = f"{_INDENT}{span.stage.value:{label}}{_INDENT}{_time(span.milliseconds):>{number}}"
        line = f"{line}{_INDENT}{bar}".rstrip()
        yield look.painted(line, "bad") if failed else line
    if report.first_byte is not None:
        yield from _lines(f"{'first byte':{label}}  {_first(report.first_byte)}", look)


def _is_known(report: ProbeReport) -> bool:
    return report.url.is_literal or bool(report.url.path)


def _bar(span: StageTime, total: float, room: int, look: TerminalStyle) -> str:
    if room < 8:
        return ""
    begin = min(int(span.begin / total * room), room - 1)
    length = max(1, round(span.milliseconds / total * room))
    return " " * begin + look.bar * min(length, room - begin)


def _first(first: FirstByte) -> str:
    if first.data:
        return f"{_time(first.waited)}: {quoted(first.data)}"
    if first.is_goodbye:
        return f"none: the peer hung up after {_time(first.waited)}"
    return f"none within {_time(first.waited)}; many servers wait for the client"


def _time(milliseconds: float) -> str:
    if milliseconds >= 1000:
        return f"{milliseconds / 1000:.2f} s"
    return f"{milliseconds:.1f} ms"


def _session(report: ProbeReport, look: TerminalStyle) -> Iterator[str]:
    session = report.session
    if session is None:
        return
    yield look.painted("session", "heading")
    rows = [*_facts(session), ("resumption", _RESUMED[report.is_resumed])]
    room = max(len(name) for name, _ in rows)
    for name, value in rows:
        yield from _lines(f"{name:{room}}  {value}", look)


_RESUMED: Final = {
    True: "yes, on a second connection",
    False: "no: a second connection began anew",
    None: "not tried",
}


def _facts(session: Session) -> Iterator[tuple[str, str]]:
    yield "version", session.version
    yield "cipher", f"{session.cipher}, {session.bits} bits"
    yield "group", session.group or "none"
    yield "ALPN", session.alpn_protocol or "none agreed on"
    yield "SNI", session.server_name or "none sent"


def _versions(report: ProbeReport, look: TerminalStyle) -> Iterator[str]:
    if not report.versions:
        return
    yield look.painted("versions", "heading")
    for version in report.versions:
        text = "accepted" if version.is_accepted else "refused"
        if version.diagnosis is not None:
            text += f" ({version.diagnosis.cause}): {version.diagnosis.summary}"
        colour = None if version.is_accepted else "aside"
        yield from _lines(f"{version.name}  {text}", look, colour)


def _chain(report: ProbeReport, look: TerminalStyle, now: datetime) -> Iterator[str]:
    """The chain as a tree: who vouches stands above, and the leaf is the last."""
    if not report.chain:
        return
    refused = "" if report.session is not None else " (as shown; nothing vouches for it)"
    for line in wrap(f"chain{refused}", look.width):
        yield look.painted(line, "heading")
    top = report.chain[-1]
    depth = 0
    if not top.is_own_issuer:
        yield from _lines(f"{top.issuer} (issuer, not sent)", look, "aside")
        depth = 1
    for certificate in reversed(report.chain):
        yield from _certificate(certificate, depth, look, now)
        depth += 1


def _certificate(
    certificate: CertificateSummary, depth: int, look: TerminalStyle, now: datetime
) -> Iterator[str]:
    # A peer may send a hundred of them.
    depth = min(depth, _DEEPEST)
    before = "" if depth == 0 else " " * (len(look.branch) * (depth - 1)) + look.branch
    beneath = " " * len(before)
    yield from _indented(f"{before}{certificate.subject}", look, beneath)
    days, colour = _validity(certificate, now)
    names = ", ".join(certificate.names) or ("" if certificate.is_authority else "nobody")
    if names:
        yield from _indented(
            f"{beneath}{_INDENT}for    {names}", look, f"{beneath}{_INDENT}       "
        )
    lines = (
        (f"valid  {certificate.not_before:%Y-%m-%d} to {certificate.not_after:%Y-%m-%d}, {days}",
         colour),
        (f"key    {certificate.key}, signed with {certificate.signature}", None),
    )  # fmt: skip
    for line, kind in lines:
        for text in _indented(f"{beneath}{_INDENT}{line}", look, f"{beneath}{_INDENT}       "):
            yield look.painted(text, kind) if kind else text


def _validity(certificate: CertificateSummary, now: datetime) -> tuple[str, str | None]:
    if now < certificate.not_before:
        return "NOT YET valid", "bad"
    days = certificate.days_left(now)
    if days < 0:
        return f"EXPIRED {-days} days ago", "bad"
    return f"{days} days left", "doubtful" if days < _SOON else None


def _indented(text: str, look: TerminalStyle, beneath: str) -> Iterator[str]:
    """A paragraph of a tree: its first line as it is, the others below it."""
    first = text[: len(text) - len(text.lstrip(" └─`-"))]
    room = look.width - len(_INDENT) - max(len(first), len(beneath))
    lines = wrap(text[len(first) :], max(room, _SHORTEST))
    for number, line in enumerate(lines):
        yield _INDENT + (first if number == 0 else beneath) + escape_text(line)


def _lines(text: str, look: TerminalStyle, kind: str | None = None) -> Iterator[str]:
    for line in wrap(text, look.width, _INDENT, 2):
        shown = escape_text(line)
        yield look.painted(shown, kind) if kind else shown
