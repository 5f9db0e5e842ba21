"""Reading the files that TLS options name.

Each function takes the option's name beside the path, so that an error says
which option to mend. A file is read whole and checked whole before anything
is opened on the network: what it must hold, whether certificate and key
belong together, whether the passphrase fits.
"""

from __future__ import annotations

import os
import re
from typing import Final

from attrs import field, frozen
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from txtransport.errors import BadCertificateFile
from txtransport.tls.policy import TLSPolicy

PrivateKey = (
    rsa.RSAPrivateKey
    | ec.EllipticCurvePrivateKey
    | ed25519.Ed25519PrivateKey
    | ed448.Ed448PrivateKey
    | dsa.DSAPrivateKey
)
"""The kinds of keys that a certificate of TLS can have."""

Stamp = tuple[tuple[int, int, int] | None, ...]
"""What a list of files looked like: time (ns), size (bytes) and inode of each."""

_LARGEST: Final = 16 * 2**20
_KEY: Final = re.compile(
    rb"-----BEGIN ([A-Z0-9 ]*PRIVATE KEY)-----.*?-----END \1-----", re.DOTALL
).search
_KINDS: Final = (
    rsa.RSAPrivateKey,
    ec.EllipticCurvePrivateKey,
    ed25519.Ed25519PrivateKey,
    ed448.Ed448PrivateKey,
    dsa.DSAPrivateKey,
)


@frozen
class Identity:
    """Who we are: a certificate, its chain and its key.

    Attributes:
        leaf: The certificate.
        chain: The authorities between it and the root, as the file has them.
        key: The certificate's private key.
    """

    leaf: x509.Certificate
    chain: tuple[x509.Certificate, ...]
    key: PrivateKey = field(repr=False)


def identity(policy: TLSPolicy) -> Identity | None:
    """The policy's own certificate, or None when it has none.

    Raises:
        BadCertificateFile: A file is missing, empty, not PEM, holds something
            else, or certificate and key do not belong together.
    """
    if policy.local_cert is None:
        return None
    return read_identity(policy, "local_cert", policy.local_cert)


def read_identity(policy: TLSPolicy, option: str, path: str) -> Identity:
    """Certificate, chain and key.

    Args:
        policy: Has the key's file and passphrase.
        option: The option that named `path`.
        path: A PEM file: the leaf first, then its chain, and the key in it or
            (for ``local_cert``) in ``local_pk``.

    Raises:
        BadCertificateFile: As for `identity`.
    """
    content = _content(option, path)
    certificates = _certificates(option, path, content)
    if option == "local_cert" and policy.local_pk is not None:
        key_option, key_path = "local_pk", policy.local_pk
        content = _content(key_option, key_path)
    else:
        key_option, key_path = option, path
    key = _key(key_option, key_path, content, _passphrase(policy))
    ours = _spki(key.public_key())
    if _spki(certificates[0].public_key()) != ours:
        if any(_spki(one.public_key()) == ours for one in certificates[1:]):
            problem = "the key belongs to a later certificate in it; the leaf stands first"
        else:
            problem = (
                f"the key is not that of the certificate {shown_name(certificates[0].subject)}"
            )
        raise BadCertificateFile(key_option, key_path, problem)
    return Identity(certificates[0], tuple(certificates[1:]), key)


def read_authorities(option: str, path: str) -> list[x509.Certificate]:
    """The certificates of a PEM file.

    Raises:
        BadCertificateFile: It is missing, empty, or holds none.
    """
    return _certificates(option, path, _content(option, path))


def read_revocations(option: str, path: str) -> list[x509.CertificateRevocationList]:
    """The revocation lists of a PEM file.

    Raises:
        BadCertificateFile: It is missing, empty, or holds none.
    """
    content = _content(option, path)
    blocks = re.findall(rb"-----BEGIN X509 CRL-----.*?-----END X509 CRL-----", content, re.DOTALL)
    if not blocks:
        raise BadCertificateFile(option, path, f"it holds no revocation list{_instead(content)}")
    try:
        return [x509.load_pem_x509_crl(block) for block in blocks]
    except ValueError as problem:
        raise BadCertificateFile(
            option, path, f"a revocation list in it is broken: {problem}"
        ) from problem


def check_folder(option: str, path: str) -> None:
    """See that `path` is a folder that can be listed.

    Raises:
        BadCertificateFile: It is not.
    """
    try:
        os.listdir(path)
    except OSError as problem:
        raise BadCertificateFile(option, path, _reason(problem)) from problem


def files(policy: TLSPolicy) -> tuple[str, ...]:
    """Every file that the policy names."""
    named = (policy.local_cert, policy.local_pk, policy.passphrase_file, policy.cafile)
    more = (policy.capath, policy.crl, *(path for _, path in policy.SNI_server_certs))
    return tuple(path for path in named + more if path is not None)


def stamp(paths: tuple[str, ...]) -> Stamp:
    """What those files look like now, to see later whether they have changed."""
    return tuple(_stamp(path) for path in paths)


def shown_name(name: x509.Name) -> str:
    """A certificate's subject or issuer, escaped and bounded, for messages."""
    return ascii(name.rfc4514_string()[:200])


def _stamp(path: str) -> tuple[int, int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _content(option: str, path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            content = file.read(_LARGEST + 1)
    except (OSError, ValueError) as problem:
        raise BadCertificateFile(option, path, _reason(problem)) from problem
    if not content.strip():
        raise BadCertificateFile(option, path, "it is empty")
    if len(content) > _LARGEST:
        raise BadCertificateFile(option, path, "it is larger than 16 MiB")
    return content


def _reason(problem: Exception) -> str:
    return getattr(problem, "strerror", None) or str(problem)


def _certificates(option: str, path: str, content: bytes) -> list[x509.Certificate]:
    if b"-----BEGIN CERTIFICATE-----" not in content:
        raise BadCertificateFile(option, path, f"it holds no certificate{_instead(content)}")
    try:
        return x509.load_pem_x509_certificates(content)
    except ValueError as problem:
        raise BadCertificateFile(
            option, path, f"a certificate in it is broken: {problem}"
        ) from problem


def _key(option: str, path: str, content: bytes, passphrase: bytes | None) -> PrivateKey:
    found = _KEY(content)
    if found is None:
        raise BadCertificateFile(option, path, f"it holds no private key{_instead(content)}")
    is_encrypted = b"ENCRYPTED" in found[0]
    if is_encrypted and passphrase is None:
        raise BadCertificateFile(
            option, path, "its key is encrypted; give passphrase or passphrase_file"
        )
    try:
        key = load_pem_private_key(found[0], passphrase if is_encrypted else None)
    except (ValueError, UnsupportedAlgorithm) as problem:
        raise BadCertificateFile(
            option,
            path,
            "the passphrase does not open its key"
            if is_encrypted
            else f"its key is broken: {problem}",
        ) from problem
    if not isinstance(key, _KINDS):
        raise BadCertificateFile(option, path, "its key is of a kind that TLS has no use for")
    return key


def _passphrase(policy: TLSPolicy) -> bytes | None:
    if policy.passphrase is not None:
        return policy.passphrase.encode()
    if policy.passphrase_file is None:
        return None
    line = _content("passphrase_file", policy.passphrase_file).splitlines()[0]
    if not line:
        raise BadCertificateFile(
            "passphrase_file", policy.passphrase_file, "its first line is empty"
        )
    return line


def _instead(content: bytes) -> str:
    """What a file holds instead of what was expected, when that can be told."""
    found = re.search(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----", content)
    if found:
        return f", but {found[1].decode().lower()!r}; are the files swapped?"
    if content[:1] == b"0":
        return "; it looks like DER, and PEM is expected"
    return "; PEM is expected"


def _spki(key: object) -> bytes:
    return key.public_bytes(  # type: ignore[attr-defined,no-any-return]
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )
