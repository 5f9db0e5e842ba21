"""The certificates that a peer sent, drawn as a tree: an issuer above what it has issued."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from txtransport.cli.probe.indented import INDENT, indented_lines
from txtransport.cli.probe.report import ProbeReport
from txtransport.cli.terminal import TerminalStyle, wrap
from txtransport.text import escape_text
from txtransport.tls.certificate import CertificateSummary

__all__ = ["chain_lines"]

_MAX_DEPTH: Final = 4
"""From here on, certificates are not indented further: a peer may send a hundred."""

_MIN_WIDTH: Final = 21
"""Characters of a line behind its branch: indents, a label, and a date at least."""

_SOON: Final = 21
"""Days before its end at which a certificate is shown in colour, without --warn-days."""


def chain_lines(report: ProbeReport, style: TerminalStyle, now: datetime) -> Iterator[str]:
    """The chain as a tree, with the leaf as the last; a list as sent if it is not in order.

    Args:
        report: What the probe saw.
        style: What the terminal can show.
        now: From which the days until a certificate's end are counted.
    """
    if not report.chain:
        return
    notes = ["as sent, leaf first"] if report.chain_problems else []
    notes += [] if report.session is not None else ["as shown; nothing vouches for it"]
    note = f" ({'; '.join(notes)})" if notes else ""
    for line in wrap(f"chain{note}", style.width):
        yield style.painted(line, "heading")
    soon = _SOON if report.warn_days is None else report.warn_days
    if report.chain_problems:
        # Drawn as a tree, it would show issuers above what they have not issued.
        for certificate in report.chain:
            yield from _certificate(certificate, 0, style, _validity(certificate, now, soon))
        return
    top = report.chain[-1]
    depth = 0
    if not top.is_own_issuer:
        yield from indented_lines(f"{top.issuer} (issuer, not sent)", style, "aside")
        depth = 1
    for certificate in reversed(report.chain):
        yield from _certificate(certificate, depth, style, _validity(certificate, now, soon))
        depth += 1


def _certificate(
    certificate: CertificateSummary,
    depth: int,
    style: TerminalStyle,
    validity: tuple[str, str | None],
) -> Iterator[str]:
    depth = min(depth, _MAX_DEPTH, (style.width - _MIN_WIDTH) // len(style.branch))
    branch = "" if depth == 0 else " " * (len(style.branch) * (depth - 1)) + style.branch
    blanks = " " * len(branch)
    yield from _paragraph(branch, certificate.subject, style, blanks)
    days, colour = validity
    names = ", ".join(certificate.names) or ("" if certificate.is_authority else "nobody")
    if names:
        yield from _paragraph(f"{blanks}{INDENT}for    ", names, style, f"{blanks}{INDENT}       ")
    lines = (
        (f"valid  {certificate.not_before:%Y-%m-%d} to {certificate.not_after:%Y-%m-%d}, {days}",
         colour),
        (f"key    {certificate.key}, signed with {certificate.signature}", None),
    )  # fmt: skip
    for line, kind in lines:
        for text in _paragraph(f"{blanks}{INDENT}", line, style, f"{blanks}{INDENT}       "):
            yield style.painted(text, kind) if kind else text


def _validity(certificate: CertificateSummary, now: datetime, soon: int) -> tuple[str, str | None]:
    """How long a certificate is valid, and the colour of that, or None."""
    if now < certificate.not_before:
        return "NOT YET valid", "bad"
    days = certificate.days_left(now)
    if days < 0:
        return f"EXPIRED {-days} days ago", "bad"
    return f"{days} days left", "doubtful" if days < soon else None


def _paragraph(first: str, text: str, style: TerminalStyle, hanging: str) -> Iterator[str]:
    """A paragraph of the tree.

    Args:
        first: Stands before the first line: a branch, blanks or a label.
        text: What a certificate says.
        style: What the terminal can show.
        hanging: Stands before each line but the first.
    """
    width = style.width - len(INDENT) - max(len(first), len(hanging))
    for number, line in enumerate(wrap(escape_text(text), width, breaks_words=True)):
        yield INDENT + (first if number == 0 else hanging) + line
