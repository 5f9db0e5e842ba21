"""What binds an authentication to the TLS connection that it runs in (RFC 5056).

A login that names the channel (SCRAM-SHA-256-PLUS, for example) succeeds only if client
and server see the same one, and so not through an attacker in the middle who has a TLS
connection with each, be it with a certificate that the client trusts.

===================== ============================================ =====================
type                  what it is                                   where it is defined
===================== ============================================ =====================
tls-exporter          32 bytes that only the two ends can derive   TLS 1.3 (RFC 9266)
tls-unique            the first Finished message of the handshake  TLS 1.2 (RFC 5929, 3)
tls-server-end-point  the digest of the server's certificate       any (RFC 5929, 4)
===================== ============================================ =====================

Where a type is not defined, or would not be unique, there is an error and no bytes: a
caller that goes on with an empty binding has none. ``tls-exporter`` needs the extended
master secret (RFC 7627) under TLS 1.2, of which pyOpenSSL does not tell; there it is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.hashes import MD5, SHA1, SHA256, Hash, HashAlgorithm
from OpenSSL import SSL, crypto

from txtransport.config.policy import Side
from txtransport.errors import NoChannelBinding
from txtransport.text import short_repr
from txtransport.tls.connection import SecureConnection, TLSConnection

__all__ = ["CHANNEL_BINDINGS", "channel_binding"]

_EXPORTER_LABEL: Final = b"EXPORTER-Channel-Binding"
_EXPORTER_SIZE: Final = 32


def channel_binding(connection: SSL.Connection | SecureConnection, kind: str) -> bytes:
    """The bytes of a channel binding, the same at both ends.

    Args:
        connection: Its handshake is complete.
        kind: One of `CHANNEL_BINDINGS`.

    Raises:
        NoChannelBinding: There is no such type, or it is not defined for this connection.
    """
    bind = CHANNEL_BINDINGS.get(kind)
    if bind is None:
        known = ", ".join(CHANNEL_BINDINGS)
        raise NoChannelBinding(
            kind, f"there is no type {short_repr(kind, 40)}; write one of {known}"
        )
    if not isinstance(connection, SSL.Connection):
        raise NoChannelBinding(kind, "it is not defined for SSL 2.0 and SSL 3.0")
    return bind(connection)


def _exporter(connection: SSL.Connection) -> bytes:
    version = connection.get_protocol_version_name()
    if version != "TLSv1.3":
        raise NoChannelBinding(
            "tls-exporter", f"under {version} it may not be unique: use TLS 1.3, or tls-unique"
        )
    return connection.export_keying_material(_EXPORTER_LABEL, _EXPORTER_SIZE, b"")


def _unique(connection: SSL.Connection) -> bytes:
    version = connection.get_protocol_version_name()
    if version != "TLSv1.2":
        raise NoChannelBinding(
            "tls-unique", f"it is not defined for {version}: use TLS 1.3 and tls-exporter"
        )
    if not isinstance(connection, TLSConnection):
        raise NoChannelBinding(
            "tls-unique", "txtransport did not make this connection, and pyOpenSSL does not tell "
            "whether it resumed a session",
        )  # fmt: skip
    # The client's Finished is the first, unless a session was resumed.
    is_ours = (connection.side is Side.CLIENT) is not connection.is_resumed
    finished = connection.get_finished() if is_ours else connection.get_peer_finished()
    assert finished is not None
    return finished


def _server_end_point(connection: SSL.Connection) -> bytes:
    is_client = not _is_server(connection)
    found = connection.get_peer_certificate() if is_client else connection.get_certificate()
    if found is None:
        raise NoChannelBinding("tls-server-end-point", "the server has no certificate")
    return end_point_digest(crypto.dump_certificate(crypto.FILETYPE_ASN1, found))


def _is_server(connection: SSL.Connection) -> bool:
    if isinstance(connection, TLSConnection):
        return connection.side is Side.SERVER
    raise NoChannelBinding(
        "tls-server-end-point", "txtransport did not make this connection, and pyOpenSSL does not "
        "tell which end of it we are",
    )  # fmt: skip


def end_point_digest(der: bytes) -> bytes:
    """The digest of a server's certificate, by the algorithm of the certificate's signature.

    Args:
        der: The server's leaf, as it was sent.

    Returns:
        The digest; SHA-256 in place of MD5 and SHA-1.

    Raises:
        NoChannelBinding: The signature has no digest algorithm (Ed25519), or an unknown one.

    Source: RFC 5929, section 4.1.
    """
    certificate = x509.load_der_x509_certificate(der)
    algorithm: HashAlgorithm | None
    try:
        algorithm = certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        algorithm = None
    if algorithm is None:
        oid = certificate.signature_algorithm_oid.dotted_string
        raise NoChannelBinding(
            "tls-server-end-point", "it is not defined for a certificate whose signature names no "
            f"digest, such as Ed25519 (here {oid})",
        )  # fmt: skip
    if isinstance(algorithm, (MD5, SHA1)):
        algorithm = SHA256()
    digest = Hash(algorithm)
    digest.update(der)
    return digest.finalize()


CHANNEL_BINDINGS: Final[Mapping[str, Callable[[SSL.Connection], bytes]]] = {
    "tls-exporter": _exporter,
    "tls-unique": _unique,
    "tls-server-end-point": _server_end_point,
}
"""The types of channel bindings, by the names that IANA registers."""
