"""What is inspected, and what of a file can be read, whichever option it is for."""

from __future__ import annotations

from datetime import datetime

from attrs import frozen
from cryptography import x509

from txtransport.config.policy import TLSPolicy
from txtransport.errors import BadCertificateFile
from txtransport.tls import pem

__all__ = ["Subject", "certificates_of", "contents_of", "key_of", "lists_of"]


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


def contents_of(path: str) -> pem.FileContents:
    """What stands in a file; nothing, where it cannot be read."""
    try:
        return pem.read_contents("local_cert", path)
    except BadCertificateFile:
        return pem.FileContents((), is_encrypted=False, form=None, ends_line=False)


def certificates_of(path: str) -> list[x509.Certificate]:
    """The certificates of a file; none where one is broken."""
    try:
        return pem.read_authorities("cafile", path)
    except BadCertificateFile:
        return []


def key_of(path: str, policy: TLSPolicy) -> pem.PrivateKey | None:
    """The first private key of a file; None where it cannot be read."""
    try:
        return pem.read_key(policy, "local_pk", path)
    except BadCertificateFile:
        return None


def lists_of(path: str) -> list[x509.CertificateRevocationList]:
    """The revocation lists of a file; none where one is broken."""
    try:
        return pem.read_revocations("crl", path)
    except BadCertificateFile:
        return []
