"""The report for programs: one object of JSON, whose keys ``docs/demo.md`` explains.

Keys are added with time; those that are there keep their meaning.
"""

from __future__ import annotations

from collections.abc import Mapping

from txtransport import Session, TransportURL
from txtransport.cli.demo.report import DemoReport, MailExample, Row

__all__ = ["as_document"]


def as_document(report: DemoReport, versions: Mapping[str, str]) -> dict[str, object]:
    """The report as what ``json.dumps`` takes.

    Args:
        report: What the demo saw.
        versions: The version of each package, by its name.
    """
    return {
        "ok": report.is_right,
        "seconds": round(report.seconds, 3),
        "versions": dict(versions),
        "rows": [_row(row) for row in report.rows],
        "mail": [_mail_example(example) for example in report.mail_examples],
    }


def _row(row: Row) -> dict[str, object]:
    milliseconds = row.milliseconds
    return {
        "asked": row.form.asked,
        "ok": row.is_right,
        "outcome": row.outcome.value,
        "parsed": _parts(row.parsed),
        "dialled": str(row.dialled) if row.dialled else None,
        **_session(row.session),
        "milliseconds": None if milliseconds is None else round(milliseconds, 3),
        "reason": row.reason or None,
    }


def _mail_example(example: MailExample) -> dict[str, object]:
    return {
        "title": example.title,
        "asked": example.asked,
        "ok": example.is_right,
        "dialled": str(example.dialled) if example.dialled else None,
        **_session(example.session),
        "transcript": [
            {
                "from": "client" if line.is_client else "server",
                "secure": line.is_secure,
                "text": line.text,
            }
            for line in example.lines
        ],
        "cause": example.cause or None,
        "explanation": example.explanation or None,
    }


def _parts(parsed: TransportURL | None) -> dict[str, object] | None:
    if parsed is None:
        return None
    return {
        "url": str(parsed),
        "scheme": parsed.scheme,
        "host": parsed.host or None,
        "port": parsed.port,
        "path": parsed.path or None,
    }


def _session(session: Session | None) -> dict[str, object]:
    """The session's keys, whose values are all null without TLS."""
    return {
        key: None if session is None else getattr(session, key)
        for key in ("version", "cipher", "group", "resumed", "verified")
    }
