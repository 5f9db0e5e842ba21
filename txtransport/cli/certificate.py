"""The facts of a certificate as the reports of probe and inspect show them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from txtransport.tls.certificate import CertificateSummary

__all__ = ["SOON", "certificate_facts"]

SOON: Final = 21
"""Days before its end at which a certificate should have been renewed."""


def certificate_facts(
    certificate: CertificateSummary, now: datetime, soon: int = SOON
) -> Iterator[tuple[str, str | None]]:
    """For whom a certificate is, how long, and with which key: a line each, not yet wrapped.

    Args:
        certificate: As it was sent, or as it stands in a file.
        now: From which the days until its end are counted.
        soon: With fewer days left, the line that says so has a colour.

    Yields:
        The line, whose label takes seven characters, and its colour, as for
        `TerminalStyle.painted`, or None.
    """
    names = ", ".join(certificate.names) or ("" if certificate.is_authority else "nobody")
    if names:
        yield f"for    {names}", None
    left, kind = _days_left(certificate, now, soon)
    begin, end = certificate.not_before, certificate.not_after
    yield f"valid  {begin:%Y-%m-%d} to {end:%Y-%m-%d}, {left}", kind
    yield f"key    {certificate.key}, signed with {certificate.signature}", None


def _days_left(certificate: CertificateSummary, now: datetime, soon: int) -> tuple[str, str | None]:
    if now < certificate.not_before:
        return "NOT YET valid", "bad"
    days = certificate.days_left(now)
    if days < 0:
        return f"EXPIRED {-days} days ago", "bad"
    return f"{days} days left", "doubtful" if days < soon else None
