"""Certificates for the tests: made once, in one folder that goes when the run ends."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from txtransport.testing.devcert import Authority, Issued, self_signed, write_private

NAMES: Final = ("localhost", "good.example", "*.wild.example", "127.0.0.1", "::1")
"""Whom `site` is for."""


@functools.cache
def folder() -> Path:
    """Where the files are."""
    made = Path(tempfile.mkdtemp(prefix="txtransport-tests-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


@functools.cache
def authority() -> Authority:
    """The root that the tests trust."""
    return Authority.create("txtransport test CA")


@functools.cache
def cafile() -> str:
    """Its PEM file."""
    return written("ca.pem", authority().pem)


@functools.cache
def site() -> str:
    """PEM file of a good server: for `NAMES`, with its key."""
    return issued("site.pem", *NAMES)


@functools.cache
def client() -> str:
    """PEM file of a good client."""
    return issued("visitor.pem", "visitor.example", purpose="client")


@functools.cache
def mislabelled() -> Issued:
    """Signed by no one, with a subject that OpenSSL reads and cryptography does not.

    It is Latin-1 and says that it is T.61, as that of many an old appliance.
    """
    made = self_signed("good.example", common_name="Buecher AG")
    der = made.certificate.public_bytes(Encoding.DER)
    broken = der.replace(b"\x0c\x0aBuecher AG", b"\x14\x0aB\xfccher Ltd")
    return Issued(x509.load_der_x509_certificate(broken), made.key)


def issued(file: str, *names: str, by: Authority | None = None, **keywords: Any) -> str:
    """PEM file of a certificate for those names, with its chain and key.

    Args:
        file: Its name within the folder.
        *names: As for `Authority.issue`, and so are `keywords`.
        by: Who issues it; the tests' root by default.
    """
    made: Issued = (by or authority()).issue(*names, **keywords)
    return written(file, made.pem)


def written(file: str, content: bytes) -> str:
    """A file in the folder with that content; its path."""
    path = folder() / file
    write_private(path, content)
    return str(path)
