"""What was found in files, for programs: one object of JSON, which ``docs/inspect.md`` explains.

Keys are added with time; those that are there keep their meaning.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from attrs import asdict

from txtransport.cli.document import certificate_document, diagnosis_document
from txtransport.cli.inspect.report import (
    FileReport,
    Finding,
    ListSummary,
    OptionUse,
    PeerVerdict,
)
from txtransport.text import escape_text

__all__ = ["as_document"]


def as_document(reports: Sequence[FileReport], now: datetime) -> dict[str, object]:
    """The reports as what ``json.dumps`` takes.

    Args:
        reports: One for each file.
        now: From which the days until an end are counted.
    """
    return {
        "ok": all(report.is_good for report in reports),
        "files": [_file(report, now) for report in reports],
    }


def _file(report: FileReport, now: datetime) -> dict[str, object]:
    return {
        "path": escape_text(report.path),
        "key_path": None if report.key_path is None else escape_text(report.key_path),
        "purpose": report.purpose,
        "ok": report.is_good,
        "findings": [_finding(finding) for finding in report.findings],
        "trust": escape_text(report.trust) or None,
        "verdicts": [_verdict(verdict) for verdict in report.verdicts],
        "key": None if report.key is None else asdict(report.key),
        "certificates": [certificate_document(each, now) for each in report.certificates],
        "lists": [_list(each) for each in report.lists],
        "options": [_use(use) for use in report.uses],
    }


def _finding(finding: Finding) -> dict[str, object]:
    return {
        "wrong": finding.is_wrong,
        **diagnosis_document(finding.diagnosis),
        "command": finding.command or None,
    }


def _verdict(verdict: PeerVerdict) -> dict[str, object]:
    return {
        "name": verdict.name or None,
        "accepted": verdict.refusal is None,
        "diagnosis": None if verdict.refusal is None else diagnosis_document(verdict.refusal),
    }


def _use(use: OptionUse) -> dict[str, object]:
    return {
        "option": use.option,
        "takes": use.refusal is None,
        "refusal": None if use.refusal is None else _finding(use.refusal),
    }


def _list(revocations: ListSummary) -> dict[str, object]:
    end = revocations.next_update
    return {
        "issuer": revocations.issuer,
        "this_update": revocations.this_update.isoformat(),
        "next_update": None if end is None else end.isoformat(),
        "revoked": revocations.count,
    }
