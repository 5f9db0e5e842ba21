"""What came of a handshake.

`TLSConnection` is OpenSSL's connection with a notebook: verification writes
down what it saw while it ran, so that a failure can be explained and a
success described. `session_of` reads it all out as one value.
"""

from __future__ import annotations

from attrs import frozen
from cryptography import x509
from OpenSSL import SSL

from txtransport.tls.connection import TLSConnection, _chain, _is_finished


@frozen
class Session:
    """A secured conversation, described.

    Attributes:
        version: ``TLSv1.2``, ``TLSv1.3`` …
        cipher: OpenSSL's name of the cipher.
        bits: The cipher's strength, in bits.
        group: The key exchange's group, such as ``X25519MLKEM768``; None where
            there is none.
        alpn_protocol: The application protocol agreed on, or None.
        server_name: The name that the client asked for (SNI), or None.
        resumed: Whether an earlier session was taken up again; None when that
            cannot be told, because the connection is not of our making.
        peer_certificate: The peer's leaf, or None.
        peer_chain: What the peer sent, leaf first, but for what cannot be read.
        verified: Whether chain and, on clients, name were verified.
    """

    version: str
    cipher: str
    bits: int
    group: str | None
    alpn_protocol: str | None
    server_name: str | None
    resumed: bool | None
    peer_certificate: x509.Certificate | None
    peer_chain: tuple[x509.Certificate, ...]
    verified: bool


def session_of(transport: object) -> Session | None:
    """The TLS session of a transport.

    Args:
        transport: A protocol's ``transport``.

    Returns:
        The session, or None in the clear, before the handshake is over and
        after the connection is.
    """
    handle = getattr(transport, "getHandle", None)
    connection = handle() if handle is not None else None
    ours = connection if isinstance(connection, TLSConnection) else None
    if not isinstance(connection, SSL.Connection) or not (
        ours.is_complete if ours else _is_finished(connection)
    ):
        return None
    leaf = connection.get_peer_certificate(as_cryptography=True)
    chain = _chain(connection)
    if leaf is not None and chain[:1] != (leaf,):
        # A server's OpenSSL keeps the client's leaf out of the chain.
        chain = (leaf, *chain)
    return Session(
        version=connection.get_protocol_version_name(),
        cipher=connection.get_cipher_name() or "",
        bits=connection.get_cipher_bits() or 0,
        group=connection.get_group_name(),
        alpn_protocol=_as_text(connection.get_alpn_proto_negotiated()),
        server_name=_as_text(connection.get_servername()),
        resumed=ours.is_resumed if ours else None,
        peer_certificate=leaf,
        peer_chain=chain,
        verified=ours.is_verified if ours else False,
    )


def _as_text(name: bytes | None) -> str | None:
    """What the peer wrote, escaped if it could not be shown."""
    text = (name or b"").decode("utf-8", "backslashreplace")
    return (text if text.isprintable() else ascii(text)[1:-1]) or None
