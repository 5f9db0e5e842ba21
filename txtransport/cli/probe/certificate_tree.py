"""The certificates that a peer sent, drawn as a tree: an issuer above what it has issued."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final

from txtransport.cli.certificate import SOON, certificate_facts
from txtransport.cli.indented import INDENT, indented_lines
from txtransport.cli.probe.report import ProbeReport
from txtransport.cli.terminal import TerminalStyle, wrap
from txtransport.text import escape_text
from txtransport.tls.certificate import CertificateSummary

__all__ = ["chain_lines"]

_MAX_DEPTH: Final = 4
"""From here on, certificates are not indented further: a peer may send a hundred."""

_MIN_WIDTH: Final = 21
"""Characters of a line behind its branch: indents, a label, and a date at least."""


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
    soon = SOON if report.warn_days is None else report.warn_days
    # Drawn as a tree, a chain out of order would show issuers above what they have not issued.
    is_tree = not report.chain_problems
    top = report.chain[-1]
    depth = 0
    if is_tree and not top.is_own_issuer:
        yield from indented_lines(f"{top.issuer} (issuer, not sent)", style, "aside")
        depth = 1
    for certificate in reversed(report.chain) if is_tree else report.chain:
        facts = certificate_facts(certificate, now, soon)
        yield from _certificate(certificate, depth, style, facts)
        depth += 1 if is_tree else 0


def _certificate(
    certificate: CertificateSummary,
    depth: int,
    style: TerminalStyle,
    facts: Iterable[tuple[str, str | None]],
) -> Iterator[str]:
    depth = min(depth, _MAX_DEPTH, (style.width - _MIN_WIDTH) // len(style.branch))
    branch = "" if depth == 0 else " " * (len(style.branch) * (depth - 1)) + style.branch
    blanks = " " * len(branch)
    yield from _paragraph(branch, certificate.subject, style, blanks)
    for line, kind in facts:
        for text in _paragraph(f"{blanks}{INDENT}", line, style, f"{blanks}{INDENT}       "):
            yield style.painted(text, kind) if kind else text


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
