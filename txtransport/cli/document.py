"""What the JSON of probe and of inspect has in common: a certificate, a diagnosis."""

from __future__ import annotations

from datetime import datetime

from attrs import asdict

from txtransport.errors import Diagnosis
from txtransport.tls.certificate import CertificateSummary

__all__ = ["certificate_document", "diagnosis_document"]


def certificate_document(certificate: CertificateSummary, now: datetime) -> dict[str, object]:
    """One certificate as what ``json.dumps`` takes.

    Args:
        certificate: As it was sent, or as it stands in a file.
        now: From which the days until its end are counted.
    """
    return {
        "subject": certificate.subject,
        "issuer": certificate.issuer,
        "names": list(certificate.names),
        "not_before": certificate.not_before.isoformat(),
        "not_after": certificate.not_after.isoformat(),
        "days_left": certificate.days_left(now),
        "key": certificate.key,
        "signature": certificate.signature,
        "authority": certificate.is_authority,
        "fingerprint": certificate.fingerprint,
    }


def diagnosis_document(diagnosis: Diagnosis) -> dict[str, object]:
    """A diagnosis as what ``json.dumps`` takes."""
    return {**asdict(diagnosis), "evidence": list(diagnosis.evidence)}
