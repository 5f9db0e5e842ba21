"""What is inspected, and what of it can be read."""

from __future__ import annotations

from datetime import datetime

from attrs import frozen
from cryptography import x509

from txtransport.config.policy import TLSPolicy
from txtransport.errors import BadCertificateFile
from txtransport.tls import pem

__all__ = ["Subject", "has_key", "is_encrypted", "lists_of"]


@frozen
class Subject:
    """What is inspected, and what it is held against.

    Attributes:
        path: The file or folder.
        purpose: The option that it is judged for.
        own: The policy of a side that has the file as its own certificate.
        trust: The policy of the peer: whom it trusts.
        names: The names to ask for; those of the certificate when there are none.
        now: The present, in UTC.
        certificates: Those that can be read.
    """

    path: str
    purpose: str
    own: TLSPolicy
    trust: TLSPolicy
    names: tuple[str, ...]
    now: datetime
    certificates: tuple[x509.Certificate, ...]


def has_key(path: str) -> bool:
    """Whether a private key stands in a file, be it broken or encrypted."""
    try:
        labels = pem.read_contents("local_cert", path).labels
    except BadCertificateFile:
        return False
    return any(label.endswith("PRIVATE KEY") for label in labels)


def is_encrypted(path: str) -> bool:
    """Whether a file has a private key that a passphrase must open."""
    try:
        return pem.read_contents("local_cert", path).is_encrypted
    except BadCertificateFile:
        return False


def lists_of(path: str) -> list[x509.CertificateRevocationList]:
    """The revocation lists of a file; none where one is broken."""
    try:
        return pem.read_revocations("crl", path)
    except BadCertificateFile:
        return []
