"""Our TLS layer in the place of Twisted's, for Twisted's own tests of that.

The tests make a `TLSMemoryBIOFactory` of a context, and with it the layer around a
protocol that exists already. Ours makes the protocol when the handshake is complete, with
a policy in the place of a context. `Layer` and `LayerFactory` have the names and arguments
that the tests use, and give our driver what it needs; the driver itself is not changed.

Of `twisted.internet.test.test_tls`, whose reactors and sockets the tests need, the mixins
run for our endpoints in the other modules of this folder. What it has besides is about
``listenSSL`` with a bad context, and about ``startTLS()``, which this transport has not.
"""

from __future__ import annotations

from typing import Any, cast

from attrs import define, frozen
from OpenSSL import SSL
from twisted.internet.interfaces import IProtocol, IReactorTime
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.protocols.test import test_tls
from twisted.python.failure import Failure
from twisted.test.ssl_helpers import ClientTLSContext, ServerTLSContext

from txtransport.config.policy import Side, TLSPolicy
from txtransport.config.settings import Deadlines
from txtransport.connection.attempt import ConnectionAttempt, EndpointConfig
from txtransport.connection.driver import TLSDriver
from txtransport.tls.connection import TLSConnection
from txtransport.tls.creator import ConnectionCreator
from txtransport.tls.engine import TLSEngine


@frozen
class Foreign:
    """Makes connections of a foreign context, as a `ConnectionCreator` does of a policy.

    Attributes:
        given: A context factory of Twisted's, old or new.
        side: Which side of TLS we are.
        factory: The layer's, which the context asks for application protocols.
    """

    given: Any
    side: Side
    factory: LayerFactory

    @property
    def policy(self) -> TLSPolicy:
        """It says nothing."""
        return TLSPolicy()

    @property
    def context(self) -> Foreign:
        """It stands for a `SharedContext` as well."""
        return self

    @property
    def problem(self) -> None:
        """There are no files."""

    def new_engine(self, protocols: tuple[bytes, ...] = ()) -> TLSEngine:
        """The engine of a new connection."""
        return TLSEngine(self.connection_of(TLSConnection, protocols))

    def connection_of(self, kind: Any, protocols: tuple[bytes, ...] = ()) -> TLSConnection:
        """A new connection, whose peer the context judges."""
        if hasattr(self.given, "getContext"):
            context = self.given.getContext()
        else:
            context = self.given.clientConnectionForTLS(self.factory).get_context()
        made = kind(context, self.policy, self.side, _any, protocols)
        return cast(TLSConnection, made)

    def reload_error(self) -> None:
        """There are no files."""

    def ended(self, connection: TLSConnection) -> None:
        """Sessions are not kept."""


def _any(connection: TLSConnection) -> bool:
    return True


class _Attempt(ConnectionAttempt):
    """An attempt whose protocol exists already, and is told of a failed handshake as well."""

    def __init__(self, config: EndpointConfig, protocol: IProtocol) -> None:
        super().__init__(config, 30)
        self._protocol: IProtocol | None = protocol

    def build_protocol(self) -> IProtocol:
        protocol, self._protocol = self._protocol, None
        assert protocol is not None
        return protocol

    def ended(self, reason: Failure) -> Failure:
        """Tell a protocol that was never connected what OpenSSL has said, as Twisted does."""
        protocol: Any = self._protocol
        self._protocol = None
        explained = super().ended(reason)
        if protocol is not None:
            protocol.connectionLost(reason)
        return explained


class Layer(TLSDriver):
    """Our driver with the constructor of Twisted's ``TLSMemoryBIOProtocol``.

    Args:
        factory: A `LayerFactory`.
        wrappedProtocol: The protocol above.
    """

    def __init__(self, factory: LayerFactory | None, wrappedProtocol: Any) -> None:
        if factory is None:
            # Only its interfaces are looked at.
            return
        self.factory: Any = factory
        side = Side.CLIENT if factory.isClient else Side.SERVER
        creator: Any = Foreign(factory.contextFactory, side, factory)
        config = EndpointConfig(
            factory.clock, "tls://test", None, side, cast(ConnectionCreator, creator), Deadlines()
        )
        self.wrappedProtocol = wrappedProtocol
        super().__init__(_Attempt(config, wrappedProtocol))

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """Forget what the tests look at, as Twisted's layer does."""
        super().connectionLost(reason)
        self.wrappedProtocol = None


@define
class LayerFactory:
    """The factory of a `Layer`, with the constructor of Twisted's ``TLSMemoryBIOFactory``."""

    contextFactory: Any
    isClient: bool
    wrappedFactory: Any
    _given: IReactorTime | None = None

    def __init__(
        self, contextFactory: Any, isClient: bool, wrappedFactory: Any, clock: Any = None
    ) -> None:
        self.__attrs_init__(contextFactory, isClient, wrappedFactory, clock)  # type: ignore[attr-defined]

    @property
    def clock(self) -> IReactorTime:
        """The clock that was given, or the reactor."""
        from twisted.internet import reactor

        return self._given or cast(IReactorTime, reactor)

    # As Twisted's tests name it.
    _clock = clock

    @property
    def factory(self) -> LayerFactory:
        """Itself: it stands for a layer where only the layer's factory is asked for."""
        return self

    def buildProtocol(self, addr: object) -> Layer:
        return Layer(self, self.wrappedFactory.buildProtocol(addr))


class Partners:
    """``buildTLSProtocol`` of Twisted's tests: a client, and then the server of its handshake.

    Twisted's connects the protocol before the handshake, and the tests use it at once.
    """

    def __init__(self) -> None:
        self._server: tuple[Any, Layer] | None = None

    def __call__(
        self,
        server: bool = False,
        transport: Any = None,
        fakeConnection: Any = None,
        serverMethod: Any = None,
    ) -> tuple[Any, Layer]:
        if server:
            made, self._server = self._server, None
            assert made is not None
            return made
        client = self._made(ClientTLSContext(), transport or StringTransport())
        context = ServerTLSContext(method=serverMethod or SSL.TLS_METHOD)
        self._server = self._made(context, StringTransport(), isClient=False)
        ends = [(client[1], self._server[1]), (self._server[1], client[1])]
        for _ in range(3):
            for source, target in ends:
                below: Any = source.transport
                data = below.value()
                below.clear()
                if data:
                    target.dataReceived(data)
        return client

    def _made(self, context: Any, transport: Any, isClient: bool = True) -> tuple[Any, Layer]:
        protocol: Any = test_tls.AccumulatingProtocol(999999999999)
        clock = Clock()
        factory = LayerFactory(context, isClient, None, clock)
        layer = Layer(factory, protocol)
        layer.makeConnection(transport)
        return protocol, layer
