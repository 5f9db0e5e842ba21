"""What a certificate says, as words: for a report, never for a decision.

All of it is a stranger's: each text is escaped and bounded, and what cannot be
read is called so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, Final

from attrs import frozen
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import SignatureAlgorithmOID

from txtransport.tls.pem import display_issuer, display_subject

UNREADABLE: Final = "unreadable"

_NAMES: Final = 100
_LONGEST: Final = 253

_SIGNATURES: Final = {
    oid: name.lower().replace("_", "-")
    for name, oid in vars(SignatureAlgorithmOID).items()
    if isinstance(oid, x509.ObjectIdentifier)
}


@frozen
class CertificateSummary:
    """One certificate.

    Attributes:
        subject: Whom it is about (RFC 4514).
        issuer: Who vouches for it.
        names: Whom it is for (SANs), 100 at the most.
        not_before: When it begins to be valid, in UTC.
        not_after: When it ends to be.
        key: The kind and the size of its key: ``EC secp256r1``, ``RSA 2048 bits``.
        signature: How it is signed: ``ecdsa-with-sha256``.
        is_authority: Whether it may issue others.
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
        """Whether it names itself as its issuer, as roots do."""
        return self.issuer == self.subject

    def days_left(self, now: datetime) -> int:
        """Whole days until it ends to be valid, rounded down; negative when it has."""
        return (self.not_after - now).days


def summarize_chain(chain: Iterable[x509.Certificate]) -> tuple[CertificateSummary, ...]:
    """Each certificate of a chain, in its order."""
    return tuple(map(_summarize, chain))


def _summarize(certificate: x509.Certificate) -> CertificateSummary:
    algorithm = certificate.signature_algorithm_oid
    return CertificateSummary(
        _bare_address(display_subject(certificate)),
        _bare_address(display_issuer(certificate)),
        _read(lambda: _names(certificate), (UNREADABLE,)),
        certificate.not_valid_before_utc,
        certificate.not_valid_after_utc,
        _read(lambda: _key(certificate.public_key()), UNREADABLE),
        _SIGNATURES.get(algorithm, algorithm.dotted_string),
        _read(lambda: _is_authority(certificate), False),
        certificate.fingerprint(hashes.SHA256()).hex(),
    )


def _read(look: Callable[[], Any], otherwise: Any) -> Any:
    try:
        return look()
    except x509.ExtensionNotFound:
        return type(otherwise)()
    except (ValueError, UnsupportedAlgorithm, x509.DuplicateExtension):
        return otherwise


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    names = [name.value for name in found if not isinstance(name, x509.OtherName)]
    return tuple(ascii(str(name)[:_LONGEST])[1:-1] for name in names[:_NAMES])


def _is_authority(certificate: x509.Certificate) -> bool:
    found = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    return found.value.ca


def _key(key: Any) -> str:
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"EC {key.curve.name}"
    kind = type(key).__name__.removeprefix("_").removesuffix("PublicKey")
    size = getattr(key, "key_size", None)
    return kind if size is None else f"{kind} {size} bits"


def _bare_address(text: str) -> str:
    """Without the quotes that stand around a name in a sentence."""
    return text[1:-1] if text[:1] in ("'", '"') else text or "nobody"
