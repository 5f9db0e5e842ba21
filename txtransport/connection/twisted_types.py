"""What we use of Twisted's transports, reactors and factories, as types for the type checker.

Twisted describes its transports by zope interfaces, one for each ability, and
none of them is all that a TCP connection has. A cast to one of these classes
says once what an attribute is, where ``Any`` would say nothing.
"""

from __future__ import annotations

from typing import Protocol, TypeVar

from twisted.internet.interfaces import (
    IAddress,
    IReactorPluggableNameResolver,
    IReactorSocket,
    IReactorTCP,
    IReactorTime,
    IReactorUNIX,
)

__all__ = ["ProtocolFactory", "Reactor", "StartTLSTransport", "TCPTransport"]

_P_co = TypeVar("_P_co", covariant=True)


class ProtocolFactory(Protocol[_P_co]):
    """Twisted's ``IProtocolFactory``, as every type checker understands it.

    Only mypy-zope knows which classes provide a zope interface: without it, no
    factory would be one that `connect` takes. Here the methods count, and what
    `buildProtocol` returns is the type of the protocol.
    """

    def buildProtocol(self, addr: IAddress, /) -> _P_co | None: ...
    def doStart(self) -> object: ...
    def doStop(self) -> object: ...


class Reactor(
    IReactorTime, IReactorTCP, IReactorUNIX, IReactorSocket, IReactorPluggableNameResolver
):
    """What endpoints use of a reactor.

    No object declares that it provides this. It is the type that a reactor is
    cast to, once, where a public function has taken it as ``object``: a type
    checker takes ``twisted.internet.reactor`` for a module, and a reactor made
    for tests need not provide what the test does not use.
    """


class TCPTransport(Protocol):
    """A connection that is a stream: TCP's, a local socket's, or TLS above either.

    Attributes:
        disconnecting: Whether `loseConnection` was called and the end is awaited.
    """

    disconnecting: bool

    def write(self, data: bytes) -> None: ...
    def loseConnection(self) -> None: ...
    def abortConnection(self) -> None: ...
    def pauseProducing(self) -> None: ...
    def resumeProducing(self) -> None: ...
    def getPeer(self) -> IAddress: ...
    def getHost(self) -> IAddress: ...


class StartTLSTransport(TCPTransport, Protocol):
    """Twisted's own TCP or local connection, on which TLS can be started.

    Attributes:
        TLS: Whether `startTLS` was called.
        connected: Whether the connection is open.
        producer: What is registered to write to it, or None.
        protocol: What hears the bytes of the peer.
        reactor: Keeps time.
        streamingProducer: Whether `producer` writes of its own accord (push).
    """

    TLS: bool
    connected: bool
    producer: object | None
    protocol: object
    reactor: IReactorTime
    streamingProducer: bool

    def startTLS(self, ctx: object, normal: bool) -> None: ...
    def registerProducer(self, producer: object, streaming: bool) -> None: ...
    def getHandle(self) -> object: ...
