"""The transport at the bottom, under whatever wrappers: who is there, and may TLS begin?

A protocol's transport may be Twisted's own, or a stack of wrappers (limits,
time-outs, a guard) above it. What concerns TLS concerns the one at the bottom.
"""

from __future__ import annotations

from typing import Any

from twisted.internet import tcp
from twisted.protocols.policies import ProtocolWrapper
from twisted.protocols.tls import TLSMemoryBIOProtocol

from txtransport.errors import AlreadySecure, ConversationOver, ProducerInTheWay, UpgradeError


def base_transport(transport: Any) -> Any:
    """The transport under all wrappers."""
    while isinstance(transport, ProtocolWrapper):
        transport = transport.transport
    return transport


def require_startable(transport: Any) -> Any:
    """The transport at the bottom, if TLS can be started on it now.

    Raises:
        AlreadySecure: There is TLS already.
        ConversationOver: The connection is closing or closed.
        ProducerInTheWay: A pull producer would write in the clear.
        UpgradeError: It is not one that can start TLS.
    """
    if is_under_tls(transport):
        raise AlreadySecure("TLS has been there from the start (implicit TLS)")
    raw = base_transport(transport)
    if not isinstance(raw, tcp.Connection):
        raise UpgradeError(
            f"a transport of type {type(raw).__name__} cannot start TLS; TCP and local sockets can"
        )
    if raw.TLS:
        raise AlreadySecure("TLS is on already: someone else called transport.startTLS()")
    if raw.disconnecting or transport.disconnecting or not raw.connected:
        raise ConversationOver("the connection is closing")
    if raw.producer is not None and not raw.streamingProducer:
        # Twisted would have it write at once, before the handshake.
        raise ProducerInTheWay("a pull producer is registered; unregister it first")
    return raw


def is_under_tls(transport: Any) -> bool:
    """Whether a conversation has been under TLS from its beginning."""
    while isinstance(transport, ProtocolWrapper):
        if isinstance(transport, TLSMemoryBIOProtocol):
            return True
        transport = transport.transport
    return False


def is_client(transport: Any) -> bool | None:
    """Whether we are TCP's client, or None where the transport does not tell."""
    raw = base_transport(transport)
    if isinstance(raw, tcp.BaseClient):
        return True
    return False if isinstance(raw, tcp.Server) else None


def describe_peer(transport: Any, name: str | None = None) -> str:
    """With whom a conversation is, for people.

    Args:
        transport: Tells the peer's address.
        name: The peer's, if it is known by one.
    """
    peer = transport.getPeer()
    host = getattr(peer, "host", None)
    place = f"[{host}]" if ":" in (host or "") else host
    address = f"{place}:{peer.port}" if host else "a local socket"
    return f"STARTTLS with {name} ({address})" if name else f"STARTTLS with {address}"
