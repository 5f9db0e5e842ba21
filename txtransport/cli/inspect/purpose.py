"""Guesses which option a file is meant for, and which key belongs to which certificate."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from cryptography import x509

from txtransport.cli.inspect.subject import certificates_of, contents_of, key_of
from txtransport.config.policy import TLSPolicy
from txtransport.tls import pem
from txtransport.tls.certificate import summarize_chain
from txtransport.tls.chain import is_issued_by

__all__ = ["guess_purpose", "with_keys"]


def guess_purpose(path: str, *, has_key: bool) -> str:
    """The option that a file is most likely meant for.

    A file with a key and certificates is for ``local_cert``, and so is one with the
    certificate of a server whose key must be elsewhere; authorities are for ``cafile``.

    Args:
        path: The file or folder.
        has_key: Whether the file of its key was named beside it.
    """
    if os.path.isdir(path):
        return "capath"
    contents = contents_of(path)
    if contents.form is not None:
        return contents.form.purpose
    if contents.has_key:
        return "local_cert" if contents.has_certificate else "local_pk"
    if contents.has_certificate:
        leaf_is_meant = has_key or any(map(_is_leaf, certificates_of(path)))
        return "local_cert" if leaf_is_meant else "cafile"
    return "crl" if "X509 CRL" in contents.labels else "local_cert"


def with_keys(paths: Sequence[str], policy: TLSPolicy) -> Iterator[tuple[str, str | None]]:
    """Each file with the file of its key, as ``local_cert`` and ``local_pk`` name them.

    A file with a private key alone belongs to the certificate that has the same public
    key; where there is one file of each kind, they are taken for a pair in any case.

    Args:
        paths: The files.
        policy: Has the passphrase for encrypted keys.

    Returns:
        Pairs of a file and its key's file; None where the file has none or needs none.
    """
    held = {path: contents_of(path) for path in paths}
    keys = [path for path in paths if held[path].has_key and not held[path].has_certificate]
    lacking = [path for path in paths if held[path].has_certificate and not held[path].has_key]
    found = _matches(lacking, keys, policy)
    if len(keys) == 1 == len(lacking):
        found = {lacking[0]: keys[0]}
    taken = set(found.values())
    return ((path, found.get(path)) for path in paths if path not in taken)


def _matches(lacking: list[str], keys: list[str], policy: TLSPolicy) -> dict[str, str]:
    found: dict[str, str] = {}
    for key_path in keys:
        key = key_of(key_path, policy)
        for path in lacking:
            certificates = certificates_of(path)
            if key is not None and any(pem.same_key(each, key) for each in certificates):
                found.setdefault(path, key_path)
    return found


def _is_leaf(certificate: x509.Certificate) -> bool:
    """Whether it is one that others do not trust as it is: no authority, and not self-signed."""
    (summary,) = summarize_chain([certificate])
    return not summary.is_authority and not is_issued_by(certificate, certificate)
