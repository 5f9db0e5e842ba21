"""The transport under all wrappers: can TLS start on it, are we its client, who is the peer?

A protocol's transport may be Twisted's own connection, or a stack of wrappers
(limits, time-outs, a guard) above it. TLS starts on the connection itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, cast

from twisted.internet import tcp
from twisted.internet.interfaces import IAddress
from twisted.protocols.policies import ProtocolWrapper
from twisted.protocols.tls import TLSMemoryBIOProtocol

from txtransport.connection.driver import TLSDriver
from txtransport.connection.peers import location_of
from txtransport.connection.twisted_types import StartTLSTransport, TCPTransport
from txtransport.errors import AlreadySecure, ConversationOver, ProducerInTheWay, UpgradeError

__all__ = [
    "base_transport",
    "describe_peer",
    "driver_below",
    "is_client",
    "is_under_tls",
    "require_startable",
    "wrapped_protocols",
    "wrappers_below",
]


class _KnowsPeer(Protocol):
    """A transport, as far as `describe_peer` needs it."""

    def getPeer(self) -> IAddress: ...


def base_transport(transport: object) -> Any:
    """The transport under all wrappers.

    Args:
        transport: A protocol's ``transport``.

    Returns:
        Nearly always Twisted's own connection, but possibly a transport of any
        class; `require_startable` checks that.
    """
    while isinstance(transport, (ProtocolWrapper, TLSDriver)):
        transport = transport.transport
    return transport


def wrappers_below(transport: object) -> Iterator[ProtocolWrapper]:
    """The wrappers between a protocol and the transport under all of them, from above.

    Args:
        transport: A protocol's ``transport``.
    """
    while isinstance(transport, ProtocolWrapper):
        yield transport
        transport = transport.transport


def wrapped_protocols(wrapper: ProtocolWrapper) -> Iterator[object]:
    """What is above a wrapper: other wrappers, and last the application's protocol.

    Args:
        wrapper: The wrapper. A TLS layer above it is taken for the last, since
            what is above that receives other bytes.
    """
    protocol: object = wrapper.wrappedProtocol
    yield protocol
    while isinstance(protocol, ProtocolWrapper) and not isinstance(protocol, TLSMemoryBIOProtocol):
        protocol = protocol.wrappedProtocol
        yield protocol


def require_startable(transport: TCPTransport) -> StartTLSTransport:
    """The transport under all wrappers, if TLS can be started on it now.

    Args:
        transport: A protocol's ``transport``.

    Raises:
        AlreadySecure: TLS has started already.
        ConversationOver: The connection is closing or closed.
        ProducerInTheWay: A pull producer would write in the clear.
        UpgradeError: A transport of this kind cannot start TLS.
    """
    if is_under_tls(transport):
        raise AlreadySecure("TLS has been there from the start (implicit TLS)")
    base = base_transport(transport)
    if not isinstance(base, tcp.Connection):
        raise UpgradeError(
            f"a transport of type {type(base).__name__} cannot start TLS; TCP and local sockets can"
        )
    raw = cast(StartTLSTransport, base)
    if raw.TLS:
        raise AlreadySecure("TLS is on already: someone else called transport.startTLS()")
    if raw.disconnecting or transport.disconnecting or not raw.connected:
        raise ConversationOver("the connection is closing")
    if raw.producer is not None and not raw.streamingProducer:
        # Twisted's startTLS() registers the producer with the TLS layer, which
        # would ask a pull producer for data at once, before the handshake.
        raise ProducerInTheWay("a pull producer is registered; unregister it first")
    return raw


def is_under_tls(transport: object) -> bool:
    """Whether the connection has been under TLS from its beginning (implicit TLS).

    Args:
        transport: A protocol's ``transport``.
    """
    while isinstance(transport, ProtocolWrapper):
        if isinstance(transport, TLSMemoryBIOProtocol):
            return True
        transport = transport.transport
    return isinstance(transport, TLSDriver)


def driver_below(transport: object) -> TLSDriver | None:
    """Our own layer of TLS below a protocol, or None if TLS is of another kind, or none.

    Args:
        transport: A protocol's ``transport``.
    """
    while isinstance(transport, ProtocolWrapper) and not isinstance(
        transport, TLSMemoryBIOProtocol
    ):
        transport = transport.transport
    return transport if isinstance(transport, TLSDriver) else None


def is_client(transport: object) -> bool | None:
    """Whether we opened the TCP connection; None where the transport does not tell.

    Args:
        transport: A protocol's ``transport``.
    """
    base = base_transport(transport)
    if isinstance(base, tcp.BaseClient):
        return True
    return False if isinstance(base, tcp.Server) else None


def describe_peer(transport: _KnowsPeer, name: str | None = None) -> str:
    """The peer of an upgrade, for messages: ``tcp://192.0.2.1:25: STARTTLS with mx.example``.

    Args:
        transport: A protocol's ``transport``, for the peer's address.
        name: The peer's name, if we know one.
    """
    place = location_of(transport.getPeer())
    return f"{place}: STARTTLS with {name}" if name else f"{place}: STARTTLS"
