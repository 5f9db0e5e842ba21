"""What an authority in a chain must have, beyond what OpenSSL demands of it."""

from __future__ import annotations

from typing import Final

from cryptography import x509

from txtransport.diagnosis.x509_errors import diagnosis_of_x509
from txtransport.tls.connection import CertificateProblem

__all__ = ["authority_problem"]

# X509_V_ERR_INVALID_CA (x509_vfy.h).
_NO_AUTHORITY: Final = 79

_BASIC_CONSTRAINTS: Final = b"\x06\x03\x55\x1d\x13"
"""The object identifier 2.5.29.19 in DER."""


def authority_problem(certificate: x509.Certificate, depth: int) -> CertificateProblem | None:
    """Refuse a certificate that signed another and does not say that it is an authority.

    OpenSSL demands basicConstraints of the authorities between leaf and anchor,
    but not of the anchor, which for the sake of old roots may be of version 1 or
    have a key usage alone. Such a certificate may have been trusted for itself (a
    server's, in ``cafile``); its key must not vouch for others.

    Args:
        certificate: A certificate of the chain that OpenSSL accepts.
        depth: Where in the chain it stands: 0 is the leaf, which has signed no
            other, even if it is its own anchor.

    Returns:
        The problem; None if the certificate is the leaf or has basicConstraints,
        whose content OpenSSL has checked.

    Source: RFC 5280, section 4.2.1.9.
    """
    if depth == 0:
        return None
    try:
        certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    except (x509.ExtensionNotFound, x509.DuplicateExtension):
        # Of two that differ it is not known which one counts (RFC 5280, section 4.2).
        is_authority = False
    except (ValueError, x509.UnsupportedGeneralNameType):
        # Another extension cannot be read. OpenSSL has checked basicConstraints, if
        # they are there, which the bytes of their identifier tell.
        is_authority = _BASIC_CONSTRAINTS in certificate.tbs_certificate_bytes
    else:
        is_authority = True
    if is_authority:
        return None
    return CertificateProblem(diagnosis_of_x509(_NO_AUTHORITY), 0, depth, certificate)
