"""What a report comes down to, and the lines that say so before everything else.

A report is read in the middle of the night, on a screen of 24 lines, by a person who
wants to know one thing. So the first line has the URL and the verdict, the second the
reason, and what to do follows at once; what was seen comes behind that.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from datetime import datetime
from typing import Final

from attrs import evolve, frozen

from txtransport import Session, TransportURL
from txtransport.cli.indented import INDENT, copied_lines, indented_lines
from txtransport.cli.probe.report import ProbeReport
from txtransport.cli.terminal import TerminalStyle
from txtransport.config.schemes import BROKEN_VERSIONS
from txtransport.errors import Diagnosis
from txtransport.text import escape_bytes, escape_text

__all__ = [
    "Verdict",
    "brief_lines",
    "diagnosis_lines",
    "expiry_text",
    "failure_verdict",
    "headline",
    "verdict_lines",
    "verdict_of",
    "without_place",
]


@frozen
class Verdict:
    """What a report comes down to.

    Attributes:
        status: In a few words, for the first line.
        kind: Its colour, as for `TerminalStyle.painted`.
        reason: Why, a sentence or the rest of one, without a full stop.
        advice: What to do, a sentence each, the most promising first.
        notes: What else is not as it should be, a sentence each.
        is_copied: Whether the reason has a URL that is to be copied.
    """

    status: str
    kind: str
    reason: str
    advice: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    is_copied: bool = False


def verdict_of(report: ProbeReport, now: datetime) -> Verdict:
    """What a report comes down to.

    Args:
        report: What the probe saw.
        now: From which the days until a certificate's end are counted.
    """
    diagnosis = report.diagnosis
    if diagnosis is not None:
        reason = without_place(diagnosis.summary, report.url)
        advice = tuple(filter(None, (report.hint, _remedy(report, diagnosis))))
        return Verdict(_failed(diagnosis), "bad", reason, advice, report.chain_problems)
    if report.session is None:
        return _clear(report)
    if not report.is_verified:
        reason = "the options do not demand a trusted chain and the right name"
        advice = ("Leave out verify_peer, verify_peer_name and allow_self_signed",)
        return Verdict("connected, NOT verified", "bad", reason, advice, report.chain_problems)
    if report.expiring(now):
        return _expiring(report, now)
    broken = BROKEN_VERSIONS.get(report.session.version)
    if broken is not None and broken.danger is not None:
        why = broken.danger
        told = f"connected by {report.session.version}, which is broken"
        return Verdict(told, "bad", why.summary, (_RENEW_DEVICE,), report.chain_problems)
    reason = _agreed(report, report.session, now)
    return Verdict("connected, verified", "good", reason, notes=report.chain_problems)


def _expiring(report: ProbeReport, now: datetime) -> Verdict:
    return Verdict(
        "connected, verified, and soon expired",
        "bad",
        expiry_text(report, now),
        (_RENEW,),
        report.chain_problems,
    )


_RENEW_DEVICE: Final = (
    "Try tlsv1.0:// and newer (--versions); renew the device, or keep it in a network of its own"
)
_RENEW: Final = (
    "The peer must renew it, and load the new file; if it is renewed by a program, look why that "
    "did not run"
)


def expiry_text(report: ProbeReport, now: datetime) -> str:
    """Which certificate has too few days left, and how many; of several the first to expire.

    Args:
        report: Has at least one such certificate.
        now: From which the days are counted.
    """
    first, *more = report.expiring(now)
    days = first.days_left(now)
    left = f"expired {-days} days ago" if days < 0 else f"has {_days(days)} left"
    others = f" (and {len(more)} more)" if more else ""
    least = f"fewer than --warn-days {report.warn_days}"
    return f"the certificate {first.subject} {left}, {least}{others}"


def _days(count: int) -> str:
    return "1 day" if count == 1 else f"{count} days"


def _remedy(report: ProbeReport, diagnosis: Diagnosis) -> str:
    """What to do, with what the probe itself can do to find out more."""
    is_old = diagnosis.cause == "no-common-version" and diagnosis.fault == "peer"
    if is_old and report.versions is None:
        return f"{diagnosis.remedy}; probe with --versions to see those that the peer accepts"
    return diagnosis.remedy


def _failed(diagnosis: Diagnosis) -> str:
    return f"not connected ({diagnosis.cause})"


def _clear(report: ProbeReport) -> Verdict:
    reason = report.hint or _silence(report)
    return Verdict("connected, in the clear", "doubtful", reason, is_copied=bool(report.hint))


def _silence(report: ProbeReport) -> str:
    """What the peer sent, or how it was silent."""
    if report.first_byte is not None and report.first_byte.data:
        return f"nothing is verified; the peer sent {escape_bytes(report.first_byte.data)}"
    if report.speaks_tls is False:
        return "nothing is verified; the peer says nothing, and does not answer a ClientHello"
    if report.first_byte is not None and report.first_byte.is_goodbye:
        return "nothing is verified, and the peer hung up without a word"
    return "nothing is verified, and the peer says nothing of its own accord"


def _agreed(report: ProbeReport, session: Session, now: datetime) -> str:
    """The version, and how long the peer's certificate is still valid."""
    if not report.chain:
        return session.version
    leaf = report.chain[0]
    left = _days(leaf.days_left(now))
    return f"{session.version}; certificate valid to {leaf.not_after:%Y-%m-%d}, {left} left"


# In front of the summary of an error: the URL without options other than starttls.
_BEHIND_LOCATION: Final = re.compile(r"(?:\?starttls=[\w-]+)?: (.*)", re.DOTALL)


def without_place(summary: str, url: TransportURL) -> str:
    """The summary of an error, without the endpoint that it begins with.

    Args:
        summary: Of a diagnosis.
        url: What was probed, which the report names once.
    """
    found = _BEHIND_LOCATION.fullmatch(summary.removeprefix(url.location))
    return found[1] if found is not None and summary.startswith(url.location) else summary


# --- lines -----------------------------------------------------------------------


def verdict_lines(report: ProbeReport, style: TerminalStyle, now: datetime) -> Iterator[str]:
    """Whether there is a connection, whether the peer was verified, why, and what to do.

    Args:
        report: What the probe saw.
        style: What the terminal can show.
        now: From which the days until a certificate's end are counted.
    """
    verdict = verdict_of(report, now)
    yield from _explained(report.url.redacted(), verdict, style)
    if report.diagnosis is not None:
        yield from _background(report.diagnosis, style)


def diagnosis_lines(place: str, diagnosis: Diagnosis, style: TerminalStyle) -> Iterator[str]:
    """A diagnosis that no report belongs to: what happened, what to do, and what was seen.

    Args:
        place: What was probed.
        diagnosis: Why that failed.
        style: What the terminal can show.
    """
    yield from _explained(place, failure_verdict(place, diagnosis), style)
    yield from _background(diagnosis, style)


def failure_verdict(place: str, diagnosis: Diagnosis) -> Verdict:
    """A diagnosis as a verdict.

    Args:
        place: What was probed; left out where the summary begins with it.
        diagnosis: Why that failed.
    """
    reason = diagnosis.summary.removeprefix(f"{place}: ")
    return Verdict(_failed(diagnosis), "bad", reason, tuple(filter(None, (diagnosis.remedy,))))


def headline(place: str, verdict: Verdict, style: TerminalStyle) -> Iterator[str]:
    """The place and the verdict on one line, or on two where the place is long.

    Args:
        place: The URL or the host that was probed.
        verdict: What it comes down to.
        style: What the terminal can show.
    """
    if _is_long(place, verdict, style):
        yield style.painted(f"{escape_text(place)}:", verdict.kind)
        yield from indented_lines(verdict.status, style, verdict.kind)
    else:
        yield style.painted(f"{escape_text(place)}: {verdict.status}", verdict.kind)


def brief_lines(place: str, verdict: Verdict, style: TerminalStyle) -> Iterator[str]:
    """The verdict in three lines at the most: headline, reason and what to do, both cut.

    A good verdict has no reason, only its notes.

    Args:
        place: The URL or the host that was probed.
        verdict: What it comes down to.
        style: What the terminal can show.
    """
    heads = [*headline(place, verdict, style)]
    more = [(_note(note), False) for note in verdict.notes]
    if verdict.kind != "good":
        heads = heads[:1]
        advice = [(text, True) for text in _advice(verdict)[:1]]
        more = [(_reason(place, verdict, style), verdict.is_copied), *advice, *more]
    yield from heads
    for text, is_copied in more[: _BRIEF - len(heads)]:
        yield _first_line(text, style, is_copied=is_copied)


_BRIEF: Final = 3
"""Lines of a brief verdict, at the most."""


def _explained(place: str, verdict: Verdict, style: TerminalStyle) -> Iterator[str]:
    """The verdict and the reason, which stand in the first two lines, and what to do."""
    yield next(headline(place, verdict, style))
    lines = copied_lines if verdict.is_copied else indented_lines
    yield from lines(_reason(place, verdict, style), style)
    for advice in _advice(verdict):
        yield from copied_lines(advice, style, "heading")
    for note in verdict.notes:
        yield from indented_lines(_note(note), style, "doubtful")


def _note(text: str) -> str:
    return f"Note: {_ended(text)}"


def _is_long(place: str, verdict: Verdict, style: TerminalStyle) -> bool:
    """Whether place and verdict do not fit on one line."""
    return len(f"{escape_text(place)}: {verdict.status}") > style.width


def _reason(place: str, verdict: Verdict, style: TerminalStyle) -> str:
    """The reason, behind the status where the first line has no space for that."""
    if _is_long(place, verdict, style):
        return _ended(f"{verdict.status}: {verdict.reason}")
    return _sentence(verdict.reason)


def _advice(verdict: Verdict) -> list[str]:
    begins = ["What to do", *["Otherwise"] * len(verdict.advice)]
    return [
        f"{begin}: {_sentence(text)}" for begin, text in zip(begins, verdict.advice, strict=False)
    ]


def _background(diagnosis: Diagnosis, style: TerminalStyle) -> Iterator[str]:
    """Whose fault it is, and what was seen."""
    whose = _WHOSE_FAULT.get(diagnosis.fault, diagnosis.fault)
    again = "trying again cannot help" if diagnosis.permanent else "trying again may help"
    yield from indented_lines(f"{whose}; {again}.", style)
    for seen in diagnosis.evidence:
        yield from _evidence(seen, style)


_WHOSE_FAULT: Final = {
    "peer": "It is for the peer to mend",
    "ours": "It is for this side to mend",
    "network": "The network in between may be the reason",
    "someone-between": "Someone may be in between",
}


def _evidence(text: str, style: TerminalStyle) -> Iterator[str]:
    """A piece of evidence, whose long words are broken, as nobody has to copy them."""
    lines = textwrap.wrap(f"- {escape_text(text)}", style.width - 2 * len(INDENT))
    for number, line in enumerate(lines):
        yield style.painted(f"{INDENT * (2 if number else 1)}{line}", "aside")


def _sentence(text: str) -> str:
    """Words as a sentence; a name or a URL at the beginning stays as it is."""
    return _ended(text[:1].upper() + text[1:] if re.match(r"[a-z']+ ", text) else text)


def _ended(text: str) -> str:
    """A text with a full stop, but not behind a URL, with which it would be copied."""
    is_url = "://" in text[text.rfind(" ") + 1 :]
    return text if text[-1:] in ("?", ".", "…") or is_url else f"{text}."


def _first_line(text: str, style: TerminalStyle, *, is_copied: bool) -> str:
    """As much of a text as fits on an indented line.

    Args:
        text: Is cut behind a word, so that no URL is cut.
        style: What the terminal can show.
        is_copied: Whether it may have a URL; another text's long words are cut.
    """
    lines_of = copied_lines if is_copied else indented_lines
    first, *rest = lines_of(text, style)
    if not rest:
        return first
    more = " …" if style.is_unicode else " ..."
    return next(lines_of(text, evolve(style, width=style.width - len(more)))) + more
