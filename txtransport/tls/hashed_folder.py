"""Finds the certificates of a folder that OpenSSL will not find.

Of a folder of authorities (``capath``) OpenSSL opens only the files whose names are the
hash of a subject and a number, which ``openssl rehash`` makes. It says nothing of others.
"""

from __future__ import annotations

import os
import re
from typing import Final

from OpenSSL import crypto

from txtransport.errors import BadCertificateFile
from txtransport.tls import pem

__all__ = ["lost_files"]

_MAX_FILES: Final = 4096
_HASHED: Final = re.compile(r"([0-9a-f]{8})\.\d+").fullmatch


def lost_files(path: str) -> list[str]:
    """The files of a folder with certificates none of whose subjects OpenSSL finds.

    Args:
        path: The folder; its first 4096 files are looked at.

    Returns:
        Their names, sorted.

    Raises:
        OSError: The folder cannot be listed.

    Source: SSL_CTX_load_verify_locations(3), openssl-rehash(1).
    """
    names = sorted(os.listdir(path))[:_MAX_FILES]
    hashed = {found[1] for name in names if (found := _HASHED(name))}
    lost = []
    for name in names:
        hashes = _hashes(os.path.join(path, name))
        if hashes and not hashes & hashed:
            lost.append(name)
    return lost


def _hashes(path: str) -> set[str]:
    """The hashes of the subjects of a file's certificates; none for any other file."""
    try:
        certificates = pem.read_authorities("capath", path)
    except BadCertificateFile:
        return set()
    read = map(crypto.X509.from_cryptography, certificates)
    return {f"{certificate.subject_name_hash():08x}" for certificate in read}
