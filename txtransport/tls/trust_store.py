"""What the platform brings along: the versions that its OpenSSL speaks, and whom it trusts.

OpenSSL says neither. So it is made to begin a conversation, which goes nowhere,
and is shown every authority that platforms keep, to see which ones it takes.
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

_VARIABLES: Final = ("SSL_CERT_FILE", "SSL_CERT_DIR")
# Where pyOpenSSL looks when OpenSSL's own folder is that of a machine on which
# wheels are built.
_BUNDLES: Final = (
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
_LARGEST: Final = 16 * 2**20
_MOST_FILES: Final = 4096


@frozen
class TrustStore:
    """Whom clients trust when no option says otherwise.

    Attributes:
        count: How many authorities there are whose certificate is valid now.
        places: The files and folders in which they were found.
    """

    count: int
    locations: tuple[str, ...]


def trust_store() -> TrustStore:
    """The platform's trust, as OpenSSL takes it from its default places.

    Raises:
        InvalidOption: No context can be built.
    """
    # pyOpenSSL's store is the context's, and gone with it.
    context = build_context(TLSPolicy(), Side.CLIENT)
    store = context.get_cert_store()
    assert store is not None
    # By place; the same authority is in a bundle and in a folder.
    found: dict[bytes, str] = {}
    for place in _locations():
        for authority in _authorities(place):
            digest = authority.digest("sha256")
            if digest not in found and _is_trusted(store, authority):
                found[digest] = place
    return TrustStore(len(found), tuple(dict.fromkeys(found.values())))


def refusal(policy: TLSPolicy) -> str | None:
    """Why OpenSSL will not speak TLS by a policy, or None when it will.

    Args:
        policy: A client's. Its ``ClientHello`` is made, and goes nowhere.
    """
    try:
        conversation = connection_creator(policy.for_peer("localhost"), Side.CLIENT).connection()
        conversation.set_connect_state()
        conversation.do_handshake()
    except SSL.WantReadError:
        # It has spoken, and waits for an answer.
        return None
    except SSL.Error as problem:
        return ", ".join(reason for *_, reason in problem.args[0]) if problem.args else "no reason"
    except InvalidOption as problem:
        return str(problem)
    raise AssertionError("a handshake without a peer")


def _locations() -> Iterator[str]:
    """Where platforms keep the authorities that they trust, likeliest first."""
    for name in _VARIABLES:
        yield from filter(None, os.environ.get(name, "").split(os.pathsep))
    own = SSL.OpenSSL_version(SSL.OPENSSL_DIR).decode("utf-8", "replace").partition('"')[2][:-1]
    yield from (os.path.join(own, name) for name in ("cert.pem", "certs"))
    yield from _BUNDLES


def _authorities(place: str) -> Iterator[crypto.X509]:
    """The certificates of a file, or of the files of a folder; what is none is passed over."""
    paths = [place]
    if os.path.isdir(place):
        paths = [os.path.join(place, name) for name in sorted(os.listdir(place))[:_MOST_FILES]]
    for path in paths:
        for block in _BLOCK.finditer(_content(path)):
            try:
                yield crypto.load_certificate(crypto.FILETYPE_PEM, block[0])
            except crypto.Error:
                continue


def _content(path: str) -> bytes:
    # Reading a device or a FIFO might never end.
    if not os.path.isfile(path):
        return b""
    try:
        with open(path, "rb") as file:
            return file.read(_LARGEST)
    except OSError:
        return b""


def _is_trusted(store: crypto.X509Store, authority: crypto.X509) -> bool:
    try:
        crypto.X509StoreContext(store, authority).verify_certificate()
    except crypto.X509StoreContextError:
        return False
    return True
