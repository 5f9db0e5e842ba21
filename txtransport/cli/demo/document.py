"""The report for machines: one object of JSON, whose keys ``docs/demo.md`` explains.

Keys are added with time; those that are there keep their meaning.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from txtransport import Session, TransportURL
from txtransport.cli.demo.report import DemoReport, MailExample, Row


def as_document(report: DemoReport, versions: Mapping[str, str]) -> dict[str, Any]:
    """The report as what ``json.dumps`` takes.

    Args:
        report: What the demo saw.
        versions: Of the software, by its name.
    """
    return {
        "ok": report.is_right,
        "seconds": round(report.seconds, 3),
        "versions": dict(versions),
        "rows": [_row(row) for row in report.rows],
        "mail": [_scene(scene) for scene in report.scenes],
    }


def _row(row: Row) -> dict[str, Any]:
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


def _scene(scene: MailExample) -> dict[str, Any]:
    return {
        "title": scene.title,
        "asked": scene.asked,
        "ok": scene.is_right,
        "dialled": str(scene.dialled) if scene.dialled else None,
        **_session(scene.session),
        "transcript": [
            {
                "from": "client" if line.is_client else "server",
                "secure": line.is_secure,
                "text": line.text,
            }
            for line in scene.lines
        ],
        "cause": scene.cause or None,
        "explanation": scene.explanation or None,
    }


def _parts(parsed: TransportURL | None) -> dict[str, Any] | None:
    if parsed is None:
        return None
    return {
        "url": str(parsed),
        "scheme": parsed.scheme,
        "host": parsed.host or None,
        "port": parsed.port,
        "path": parsed.path or None,
    }


def _session(session: Session | None) -> dict[str, Any]:
    """The same keys always; all of them null without TLS."""
    return {
        key: None if session is None else getattr(session, key)
        for key in ("version", "cipher", "group", "resumed", "verified")
    }
