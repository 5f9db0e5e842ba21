"""The report for programs: one object of JSON, whose keys ``docs/probe.md`` explains.

Keys are added with time; those that are there keep their meaning.
"""

from __future__ import annotations

from datetime import datetime

from txtransport.cli.document import certificate_document, diagnosis_document
from txtransport.cli.probe.report import (
    AddressResult,
    ProbeReport,
    ProbeStage,
    StageTime,
    Survey,
    VersionResult,
)
from txtransport.errors import Diagnosis
from txtransport.text import escape_bytes

__all__ = ["as_document", "as_survey_document"]


def as_document(report: ProbeReport, now: datetime) -> dict[str, object]:
    """The report as what ``json.dumps`` takes.

    Args:
        report: What the probe saw.
        now: From which the days until a certificate's end are counted.
    """
    return {
        "url": report.url.redacted(),
        "connected": report.is_connected,
        "verified": report.is_verified,
        "stage": report.failed_stage.value if report.failed_stage else None,
        "session": _session(report),
        "resumption": report.is_resumed,
        "speaks_tls": report.speaks_tls,
        "proxy": report.proxy or None,
        "addresses": [_address(address) for address in report.addresses],
        "timing": _timing(report),
        "first_bytes": _first_bytes(report),
        "chain": [certificate_document(certificate, now) for certificate in report.chain],
        "chain_problems": list(report.chain_problems),
        "warn_days": report.warn_days,
        "expiring": None
        if report.warn_days is None
        else [certificate.fingerprint for certificate in report.expiring(now)],
        "versions": None
        if report.versions is None
        else [_version(version) for version in report.versions],
        "hint": report.hint or None,
        "diagnosis": _diagnosis(report.diagnosis),
    }


def as_survey_document(survey: Survey, now: datetime) -> dict[str, object]:
    """What answers at a host, as what ``json.dumps`` takes.

    Args:
        survey: What was seen.
        now: From which the days until a certificate's end are counted.
    """
    return {
        "host": survey.host,
        "connected": bool(survey.answering),
        "verified": bool(survey.working),
        "working": [as_document(report, now) for report in survey.working],
        "failing": [as_document(report, now) for report in survey.failing],
        "silent": [str(url) for url in survey.silent],
        "diagnosis": _diagnosis(survey.diagnosis),
    }


def _session(report: ProbeReport) -> dict[str, object] | None:
    session = report.session
    if session is None:
        return None
    digests = [certificate.fingerprint for certificate in report.chain]
    return {
        "version": session.version,
        "cipher": session.cipher,
        "bits": session.bits,
        "group": session.group,
        "alpn_protocol": session.alpn_protocol,
        "server_name": session.server_name,
        "resumed": session.resumed,
        "peer_certificate": digests[0] if session.peer_certificate is not None else None,
        "peer_chain": digests,
        "verified": session.verified,
    }


def _address(address: AddressResult) -> dict[str, object]:
    return {
        "address": address.host,
        "outcome": address.outcome.value,
        "milliseconds": _rounded(address.milliseconds),
        "diagnosis": _diagnosis(address.diagnosis),
    }


def _timing(report: ProbeReport) -> dict[str, float | None]:
    spans: dict[ProbeStage, StageTime] = {span.stage: span for span in report.spans}
    timing = {
        stage.value.replace("-", "_"): _rounded(spans[stage].milliseconds)
        if stage in spans
        else None
        for stage in ProbeStage
    }
    first = report.first_byte
    waited = first.waited if first is not None and first.data else None
    return {**timing, "first_byte": _rounded(waited), "total": _rounded(report.milliseconds)}


def _first_bytes(report: ProbeReport) -> str | None:
    if report.first_byte is None or not report.first_byte.data:
        return None
    return escape_bytes(report.first_byte.data)


def _version(version: VersionResult) -> dict[str, object]:
    return {
        "version": version.name,
        "accepted": version.is_accepted,
        "diagnosis": _diagnosis(version.diagnosis),
    }


def _diagnosis(diagnosis: Diagnosis | None) -> dict[str, object] | None:
    return None if diagnosis is None else diagnosis_document(diagnosis)


def _rounded(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else round(milliseconds, 3)
