"""The result of a successful handshake, as one value.

While the handshake runs, `TLSConnection` records what verification saw.
`session_of` reads the record, and what OpenSSL knows, into a `Session`.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from attrs import field, frozen
from cryptography import x509
from OpenSSL import SSL

from txtransport.errors import NoChannelBinding
from txtransport.text import decode_text
from txtransport.tls.channel_binding import channel_binding
from txtransport.tls.connection import SecureConnection, _chain, _is_finished
from txtransport.tls.pem import display_subject

__all__ = ["Session", "session_of"]


def _certificate_repr(certificate: x509.Certificate | None) -> str:
    # cryptography's own repr raises an exception for a subject that it cannot read.
    return "None" if certificate is None else f"<certificate {display_subject(certificate)}>"


def _chain_repr(chain: tuple[x509.Certificate, ...]) -> str:
    return f"({', '.join(map(_certificate_repr, chain))})"


@frozen
class Session:
    """What client and server agreed on, and whom the peer proved to be.

    Attributes:
        version: ``TLSv1.2``, ``TLSv1.3`` …; ``SSLv2`` or ``SSLv3``, where that was allowed.
        cipher: The cipher suite, by OpenSSL's name.
        bits: The strength of the cipher, in bits.
        group: The group of the key exchange, such as ``X25519MLKEM768``; None
            when the key exchange uses none, or pyOpenSSL is older than 26.0,
            which cannot tell.
        alpn_protocol: The application protocol that was agreed on (ALPN), or None.
        server_name: The name that the client sent (SNI), or None.
        resumed: Whether an earlier session was resumed; None when that is not
            known, because txtransport did not make the connection.
        peer_certificate: The peer's leaf certificate, or None; None as well for one
            that cannot be parsed, which only a connection of others accepts.
        peer_chain: The certificates that the peer sent, leaf first, without
            those that cannot be parsed.
        verified: Whether the chain was verified, and on clients the name too.
    """

    version: str
    cipher: str
    bits: int
    group: str | None
    alpn_protocol: str | None
    server_name: str | None
    resumed: bool | None
    peer_certificate: x509.Certificate | None = field(repr=_certificate_repr)
    peer_chain: tuple[x509.Certificate, ...] = field(repr=_chain_repr)
    verified: bool
    # Weak, so that a program that keeps a session does not keep OpenSSL's part of the connection.
    _connection: weakref.ref[SSL.Connection] | None = field(
        default=None, repr=False, eq=False, kw_only=True
    )

    def channel_binding(self, kind: str) -> bytes:
        """What binds a login to this TLS connection, the same at both ends.

        Args:
            kind: ``tls-exporter`` (TLS 1.3), ``tls-unique`` (TLS 1.2), or
                ``tls-server-end-point``, the digest of the server's certificate.

        Returns:
            The bytes, without the prefix that SCRAM puts before them
            (``p=tls-exporter,,``).

        Raises:
            NoChannelBinding: There is no such type, it is not defined for this connection,
                or the connection is over.

        Source: RFC 9266; RFC 5929.
        """
        connection = self._connection() if self._connection is not None else None
        if connection is None:
            raise NoChannelBinding(kind, "the connection is over")
        return channel_binding(connection, kind)


def session_of(transport: object) -> Session | None:
    """Describe the TLS session of a transport.

    Args:
        transport: A protocol's ``transport``, of txtransport or of Twisted.

    Returns:
        The session. None when the transport has no TLS, its handshake is not
        complete, or the connection is over.
    """
    handle = getattr(transport, "getHandle", None)
    # One that is not OpenSSL's has the same methods (`SecureConnection`).
    connection: Any = handle() if handle is not None else None
    ours = connection if isinstance(connection, SecureConnection) else None
    if ours is not None:
        is_complete = ours.is_complete
    else:
        is_complete = isinstance(connection, SSL.Connection) and _is_finished(connection)
    if not is_complete:
        return None
    leaf = _leaf(connection)
    chain = _chain(connection)
    if leaf is not None and chain[:1] != (leaf,):
        # On servers, OpenSSL leaves the client's leaf out of the chain
        # (SSL_get_peer_cert_chain(3)).
        chain = (leaf, *chain)
    return Session(
        version=connection.get_protocol_version_name(),
        cipher=connection.get_cipher_name() or "",
        bits=connection.get_cipher_bits() or 0,
        group=_group(connection),
        alpn_protocol=decode_text(connection.get_alpn_proto_negotiated()) or None,
        server_name=decode_text(connection.get_servername() or b"") or None,
        resumed=ours.is_resumed if ours else None,
        peer_certificate=leaf,
        peer_chain=chain,
        verified=ours.is_verified if ours else False,
        connection=weakref.ref(connection),
    )


def _group(connection: SSL.Connection) -> str | None:
    # pyOpenSSL has the method from version 26.0 on.
    get_group_name: Callable[[], str | None] | None
    get_group_name = getattr(connection, "get_group_name", None)
    return get_group_name() if get_group_name is not None else None


def _leaf(connection: SSL.Connection) -> x509.Certificate | None:
    try:
        return connection.get_peer_certificate(as_cryptography=True)
    except (ValueError, x509.InvalidVersion):
        # OpenSSL reads more than cryptography does. Our own connections have refused
        # such a leaf.
        return None
