"""Certificates for the tests: made once, in a folder that is removed when the run ends."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from txtransport.testing.devcert import Authority, Issued, self_signed, write_private

NAMES: Final = ("localhost", "good.example", "*.wild.example", "127.0.0.1", "::1")
"""The names in the certificate of `site`."""


@functools.cache
def folder() -> Path:
    """The folder of all files that are written here."""
    made = Path(tempfile.mkdtemp(prefix="txtransport-tests-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


@functools.cache
def authority() -> Authority:
    """The root authority that the tests trust."""
    return Authority.create("txtransport test CA")


@functools.cache
def cafile() -> str:
    """The path of a PEM file with the certificate of `authority`."""
    return written("ca.pem", authority().pem)


@functools.cache
def site() -> str:
    """The path of a good server's PEM file: a certificate for `NAMES`, and its key."""
    return issued("site.pem", *NAMES)


@functools.cache
def rsa_site() -> str:
    """As `site`, with an RSA key, which SSL 2.0 and SSL 3.0 demand."""
    return issued("rsa-site.pem", *NAMES, key="rsa")


@functools.cache
def ssl2_site() -> str:
    """As `rsa_site`, for SSL 2.0 alone: its key belongs to no other server."""
    return issued("ssl2-site.pem", *NAMES, key="rsa")


@functools.cache
def rsa_client() -> str:
    """As `client`, with an RSA key."""
    return issued("rsa-client.pem", "client.example", purpose="client", key="rsa")


@functools.cache
def client() -> str:
    """The path of a good client's PEM file: its certificate and key."""
    return issued("good-client.pem", "client.example", purpose="client")


@functools.cache
def mislabelled() -> Issued:
    """A certificate with a subject that OpenSSL can read and cryptography cannot.

    The subject is Latin-1 but labelled T61String, as in many old appliances. The
    signature is not valid.
    """
    made = self_signed("good.example", common_name="Buecher AG")
    der = made.certificate.public_bytes(Encoding.DER)
    broken = der.replace(b"\x0c\x0aBuecher AG", b"\x14\x0aB\xfccher Ltd")
    return Issued(x509.load_der_x509_certificate(broken), made.key)


@functools.cache
def hostile() -> tuple[tuple[str, x509.Certificate], ...]:
    """What is wrong with it, and a certificate that cryptography loads and cannot read."""
    date = b"\x18\x0f20600101000000Z"
    return (
        ("a name whose bytes are not of its kind", mislabelled().certificate),
        ("a name that is a bit string", _patched(b"\x0c\x03\0ab", b"\x03\x03\0ab", "\0ab")),
        ("the name of another kind of network", _patched(b"\x82\x0cgood.", b"\xa3\x0cgood.")),
        (
            "a malformed extension",
            _patched(b"\x03\x55\x1d\x0e\x04\x16\x04", b"\x03\x55\x1d\x0e\x04\x16\x05"),
        ),
        ("a key that is none", _patched(b"\x03\x42\x00\x04", b"\x03\x42\x00\x05")),
        ("a year that is none", _patched(date, b"\x18\x0f00000101000000Z")),
    )


def _patched(old: bytes, new: bytes, common_name: str = "good.example") -> x509.Certificate:
    end = datetime(2060, 1, 1, tzinfo=timezone.utc)
    made = authority().issue("good.example", common_name=common_name, not_after=end)
    der = made.certificate.public_bytes(Encoding.DER)
    assert old in der, old
    return x509.load_der_x509_certificate(der.replace(old, new))


def issued(file: str, *names: str, by: Authority | None = None, **keywords: Any) -> str:
    """Issue a certificate, and write it with its chain and key into a PEM file.

    Args:
        file: The file's name within the folder.
        *names: Its names, as for `Authority.issue`.
        by: The issuer; the tests' root by default.
        **keywords: As for `Authority.issue`.

    Returns:
        The path of the file.
    """
    made: Issued = (by or authority()).issue(*names, **keywords)
    return written(file, made.pem)


def written(file: str, content: bytes) -> str:
    """Write a file into the folder; return its path."""
    path = folder() / file
    write_private(path, content)
    return str(path)
