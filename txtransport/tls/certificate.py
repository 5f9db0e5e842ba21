"""What a certificate says, as text for a report; nothing here decides about trust.

All text comes from the peer: it is escaped and bounded, and a field that cannot
be read is shown as `UNREADABLE`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import datetime, timezone
from typing import Final, TypeVar

from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, SignatureAlgorithmOID

from txtransport.text import ascii_text
from txtransport.tls.pem import display_issuer, display_subject

__all__ = [
    "UNREADABLE",
    "CertificateSummary",
    "describe_key",
    "is_for_clients_alone",
    "summarize_chain",
    "validity",
]

UNREADABLE: Final = "unreadable"
"""Stands for a field that cryptography cannot parse."""

_Field = TypeVar("_Field")

_MAX_NAMES: Final = 100
_MAX_NAME_LENGTH: Final = 253  # RFC 1035, section 2.3.4.

_SIGNATURE_NAMES: Final = {
    oid: name.lower().replace("_", "-")
    for name, oid in vars(SignatureAlgorithmOID).items()
    if isinstance(oid, x509.ObjectIdentifier)
}


@frozen
class CertificateSummary:
    """The fields of one certificate that a report shows.

    Attributes:
        subject: The subject's distinguished name (RFC 4514).
        issuer: The issuer's distinguished name (RFC 4514).
        names: The subject alternative names, at most 100.
        not_before: The start of its validity, in UTC.
        not_after: The end of its validity, in UTC.
        key: The kind and size of its public key: ``EC secp256r1``, ``RSA 2048 bits``.
        signature: The signature algorithm: ``ecdsa-with-sha256``.
        is_authority: Whether it may issue other certificates (RFC 5280, section 4.2.1.9).
        fingerprint: Its SHA-256 digest, 64 hex digits: what ``peer_fingerprint`` takes.
    """

    subject: str
    issuer: str
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    key: str
    signature: str
    is_authority: bool
    fingerprint: str

    @property
    def is_own_issuer(self) -> bool:
        """Whether issuer and subject are the same name, as in root certificates."""
        return self.issuer == self.subject

    def days_left(self, now: datetime) -> int:
        """Whole days until the certificate expires, rounded down.

        Args:
            now: The present, in UTC.

        Returns:
            The days; negative when the certificate has expired.
        """
        return (self.not_after - now).days


def summarize_chain(chain: Iterable[x509.Certificate]) -> tuple[CertificateSummary, ...]:
    """Describe each certificate of a chain, in the order given."""
    return tuple(map(_summarize, chain))


def validity(certificate: x509.Certificate) -> tuple[datetime, datetime]:
    """The start and the end of a certificate's validity, in UTC.

    A certificate may say "year 0", which `datetime` does not have: that is told as the
    beginning of year 1.
    """
    dates = lambda: certificate.not_valid_before_utc, lambda: certificate.not_valid_after_utc
    start, end = (_read(date, datetime.min.replace(tzinfo=timezone.utc)) for date in dates)
    return start, end


def is_for_clients_alone(certificate: x509.Certificate) -> bool:
    """Whether a certificate may be used by clients in TLS, and not by servers.

    Source: RFC 5280, section 4.2.1.12 (extended key usage).
    """
    try:
        uses = set(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except Exception:
        # Without the extension it is for any use; one that cannot be read is refused.
        return False
    servers = {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
    return ExtendedKeyUsageOID.CLIENT_AUTH in uses and not uses & servers


def describe_key(key: object) -> str:
    """The kind and size of a private or public key: ``EC secp256r1``, ``RSA 2048 bits``."""
    if isinstance(key, (ec.EllipticCurvePublicKey, ec.EllipticCurvePrivateKey)):
        return f"EC {key.curve.name}"
    kind = re.sub("(Public|Private)Key$", "", type(key).__name__.removeprefix("_"))
    size = getattr(key, "key_size", None)
    return kind if size is None else f"{kind} {size} bits"


def _summarize(certificate: x509.Certificate) -> CertificateSummary:
    algorithm = certificate.signature_algorithm_oid
    return CertificateSummary(
        _without_quotes(display_subject(certificate)),
        _without_quotes(display_issuer(certificate)),
        _read(lambda: _names(certificate), (UNREADABLE,)),
        *validity(certificate),
        _read(lambda: describe_key(certificate.public_key()), UNREADABLE),
        _SIGNATURE_NAMES.get(algorithm, algorithm.dotted_string),
        _read(lambda: _is_authority(certificate), False),
        certificate.fingerprint(hashes.SHA256()).hex(),
    )


def _read(read: Callable[[], _Field], unreadable: _Field) -> _Field:
    """A field's value: empty when its extension is missing, `unreadable` when it is malformed."""
    try:
        return read()
    except x509.ExtensionNotFound:
        return type(unreadable)()
    except Exception:
        # cryptography raises a dozen kinds of exceptions for what a peer may send;
        # none of them is a reason to end a report.
        return unreadable


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    names = [name.value for name in found if not isinstance(name, x509.OtherName)]
    return tuple(ascii_text(str(name), _MAX_NAME_LENGTH) for name in names[:_MAX_NAMES])


def _is_authority(certificate: x509.Certificate) -> bool:
    found = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    return found.value.ca


def _without_quotes(text: str) -> str:
    """A displayed name without its quotes; ``nobody`` for an empty one."""
    return text[1:-1] if text[:1] in ("'", '"') else text or "nobody"
