"""Why a certificate was refused with ``x509_strict=yes``, by OpenSSL's number.

These rules of RFC 5280 are broken by many certificates that work, so OpenSSL
checks them only when it is asked to (X509_V_FLAG_X509_STRICT).
"""

from __future__ import annotations

from typing import Final

from txtransport.diagnosis.rule import Rule
from txtransport.errors import Diagnosis

__all__ = ["STRICT_RULES"]


def _broken(number: int, summary: str, source: str) -> Rule[int]:
    remedy = f"The peer must get one that keeps {source}; x509_strict=no lets it pass"
    return Rule(number, Diagnosis("malformed", summary, remedy))


def _rfc5280(number: int, summary: str, section: str) -> Rule[int]:
    return _broken(number, summary, f"RFC 5280 (section {section})")


STRICT_RULES: Final = (
    _rfc5280(78, "it names two different algorithms of its signature", "4.1.1.2"),
    _rfc5280(80, "it limits the authorities below itself (pathlen) and is no authority", "4.2.1.9"),
    _rfc5280(
        81,
        "it limits the authorities below itself (pathlen), and its key may not sign certificates",
        "4.2.1.9",
    ),
    _rfc5280(82, "its key may sign certificates (keyCertSign), and it is no authority", "4.2.1.9"),
    _rfc5280(83, "it names no issuer", "4.1.2.4"),
    _rfc5280(84, "it is an authority that has no name", "4.1.2.6"),
    _rfc5280(85, "it does not say which key has signed it (authorityKeyIdentifier)", "4.2.1.1"),
    _rfc5280(
        86, "it is an authority and does not identify its key (subjectKeyIdentifier)", "4.2.1.2"
    ),
    _rfc5280(87, "its subject alternative name is empty", "4.2.1.6"),
    _rfc5280(88, "it has no subject, and its subject alternative name is not critical", "4.2.1.6"),
    _rfc5280(89, "it is an authority whose basicConstraints is not critical", "4.2.1.9"),
    _rfc5280(90, "its authorityKeyIdentifier is critical", "4.2.1.1"),
    _rfc5280(91, "its subjectKeyIdentifier is critical", "4.2.1.2"),
    _rfc5280(92, "it is an authority that has no key usage", "4.2.1.3"),
    _rfc5280(93, "it has extensions and is not of version 3", "4.1.2.9"),
    _broken(
        94, "its key describes an elliptic curve and does not name one", "RFC 5480 (section 2.1.1)"
    ),
    _rfc5280(102, "its authorityKeyIdentifier is empty", "4.2.1.1"),
    _rfc5280(
        103,
        "its authorityKeyIdentifier names an issuer without a serial number, or the reverse",
        "4.2.1.1",
    ),
)
"""By OpenSSL's number (``X509_V_ERR_…``, x509_vfy.h); "it" is the certificate."""
