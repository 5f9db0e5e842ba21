"""Finds out which authorities OpenSSL trusts here, and whether it accepts a policy.

OpenSSL has no public function for either. So `trust_store` reads the files in
which platforms keep authorities and lets OpenSSL verify each certificate, and
`refusal` begins a handshake whose ClientHello is never sent.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Final

from attrs import frozen
from OpenSSL import SSL, crypto

from txtransport.config.policy import Side, TLSPolicy
from txtransport.errors import InvalidOption
from txtransport.tls.context import build_context
from txtransport.tls.creator import connection_creator

__all__ = ["TrustStore", "refusal", "trust_store"]

_VARIABLES: Final = ("SSL_CERT_FILE", "SSL_CERT_DIR")
# Where pyOpenSSL looks when the folder compiled into OpenSSL is only that of
# the machine on which cryptography's wheel was built.
_PLATFORM_LOCATIONS: Final = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/certs",
)
_BLOCK: Final = re.compile(
    rb"-----BEGIN ((?:TRUSTED |X509 )?CERTIFICATE)-----.*?-----END \1-----", re.DOTALL
)
_MAX_SIZE: Final = 16 * 2**20
_MAX_FILES: Final = 4096


@frozen
class TrustStore:
    """The authorities that clients trust without `cafile` and `capath`.

    Attributes:
        count: The number of trusted authorities whose certificate is valid now.
        locations: The files and folders in which they were found.
    """

    count: int
    locations: tuple[str, ...]


def trust_store() -> TrustStore:
    """Count the authorities that OpenSSL trusts by default, and say where they are.

    Raises:
        InvalidOption: No context can be built.
    """
    # The store is part of the context, and freed with it: `context` must live on.
    context = build_context(TLSPolicy(), Side.CLIENT)
    store = context.get_cert_store()
    assert store is not None
    # The location by the certificate's digest: the same authority is often in
    # a bundle and in a folder.
    found: dict[bytes, str] = {}
    for location in _locations():
        for authority in _authorities(location):
            digest = authority.digest("sha256")
            if digest not in found and _is_trusted(store, authority):
                found[digest] = location
    return TrustStore(len(found), tuple(dict.fromkeys(found.values())))


def refusal(policy: TLSPolicy) -> str | None:
    """Find out why OpenSSL does not accept a client's policy.

    Args:
        policy: A client's policy. OpenSSL makes a ClientHello for it, which is
            not sent.

    Returns:
        OpenSSL's reason; None when it accepts the policy.
    """
    try:
        connection = connection_creator(policy.for_peer("localhost"), Side.CLIENT).connection()
        connection.set_connect_state()
        connection.do_handshake()
    except SSL.WantReadError:
        # The ClientHello is made, and OpenSSL waits for an answer.
        return None
    except SSL.Error as problem:
        return ", ".join(reason for *_, reason in problem.args[0]) if problem.args else "no reason"
    except InvalidOption as problem:
        return str(problem)
    raise AssertionError("a handshake without a peer")


def _locations() -> Iterator[str]:
    """The files and folders in which platforms keep authorities, likeliest first."""
    for name in _VARIABLES:
        yield from filter(None, os.environ.get(name, "").split(os.pathsep))
    own = SSL.OpenSSL_version(SSL.OPENSSL_DIR).decode("utf-8", "replace").partition('"')[2][:-1]
    yield from (os.path.join(own, name) for name in ("cert.pem", "certs"))
    yield from _PLATFORM_LOCATIONS


def _authorities(location: str) -> Iterator[crypto.X509]:
    """The certificates of a file, or of all files of a folder; other content is skipped."""
    paths = [location]
    if os.path.isdir(location):
        names = sorted(os.listdir(location))[:_MAX_FILES]
        paths = [os.path.join(location, name) for name in names]
    for path in paths:
        for block in _BLOCK.finditer(_content(path)):
            try:
                yield crypto.load_certificate(crypto.FILETYPE_PEM, block[0])
            except crypto.Error:
                continue


def _content(path: str) -> bytes:
    """A regular file's content; empty for anything else, and when it cannot be read."""
    # Reading a device or a FIFO might never end.
    if not os.path.isfile(path):
        return b""
    try:
        with open(path, "rb") as file:
            return file.read(_MAX_SIZE)
    except OSError:
        return b""


def _is_trusted(store: crypto.X509Store, authority: crypto.X509) -> bool:
    try:
        crypto.X509StoreContext(store, authority).verify_certificate()
    except crypto.X509StoreContextError:
        return False
    return True
