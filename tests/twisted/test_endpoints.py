"""Twisted's tests of endpoints, which look at what an endpoint asks of its reactor.

They give an endpoint an ``object()`` for the factory and another for the protocol, and
make a connection by hand. Our endpoints build the protocol when the connection is
secure, so they need real ones, and a peer: see `RealFactory`.
"""

from __future__ import annotations

from typing import Any, Final, cast

from attrs import define
from twisted.internet.address import HostnameAddress, IPv4Address, UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    IListeningPort,
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
)
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.test.test_endpoints import (
    ClientEndpointTestCaseMixin,
    EndpointTestCaseMixin,
)
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tests.memory import End, carry
from tests.twisted.pairs import HOST, PAIRS, Pair, skipped

NAME: Final = "txtransport"
"""A local socket without a file (unix(7)): a reactor in memory would make none."""

ADOPTED: Final = IPv4Address("TCP", "0.0.0.0", 1234)
"""Where a reactor in memory says that it listens when it is given a socket."""

LOCAL_PORT: Final = 49595

BACKLOG: Final = 50
"""How many connections may wait if the URL does not say."""


@implementer(IStreamClientEndpoint, IStreamServerEndpoint)
@define
class RealFactory:
    """An endpoint of ours, with a real factory in the place of Twisted's ``object()``.

    Attributes:
        endpoint: Our endpoint.
        protocol: What `connect` fires with in the place of the factory's protocol.
    """

    endpoint: Any
    protocol: object = None

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Connect.

        Args:
            protocolFactory: Ignored.

        Returns:
            Fires with `protocol` when a real one is connected, and fails with the
            error that the reactor has raised.
        """
        connecting: Deferred[Any] = self.endpoint.connect(_factory())
        return connecting.addCallbacks(self._connected, _cause)

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """Listen.

        Args:
            protocolFactory: Ignored.

        Returns:
            Fires with the port, and fails with the error that the reactor has raised.
        """
        listening: Deferred[IListeningPort] = self.endpoint.listen(_factory())
        return listening.addErrback(_cause)

    def _connected(self, protocol: Protocol) -> IProtocol:
        assert protocol.connected
        return cast(IProtocol, self.protocol)


def _factory() -> Factory:
    return Factory.forProtocol(Protocol)


def _cause(reason: Failure) -> Failure:
    """The reactor's error, in the place of the one that is ours as well as Twisted's."""
    cause = cast(BaseException, reason.value).__cause__
    return reason if cause is None else Failure(cause)


class Endpoints(EndpointTestCaseMixin):
    """Makes the endpoints of a pair, and says what they are to ask of the reactor."""

    pair: Pair
    _client: RealFactory

    # The mixin hides this one behind the other of the same name.
    test_clientInterface = ClientEndpointTestCaseMixin.test_interface

    @property
    def expectedAddress(self) -> str:
        """The address that a name has."""
        return HOST

    def createServerEndpoint(
        self, reactor: Any, serverFactory: object, **connectArgs: Any
    ) -> tuple[IStreamServerEndpoint, tuple[object, ...], IAddress]:
        """A server's endpoint, what it is to ask for, and where the port says that it is."""
        place = f"@{NAME}" if self.pair.is_local else f"{HOST}:0"
        endpoint = RealFactory(self.pair.server(reactor, place, **connectArgs))
        if not self.pair.is_local:
            return endpoint, (), ADOPTED
        expected = f"\0{NAME}", int(connectArgs.get("backlog", BACKLOG))
        return endpoint, expected, UNIXAddress(f"\0{NAME}")

    def expectedServers(self, reactor: Any) -> list[tuple[object, ...]]:
        """What was asked for.

        Of TCP nothing is compared but that it was asked for once: the socket was made
        and bound by ourselves.
        """
        asked = [(path, backlog) for path, _, backlog, *_ in reactor.unixServers]
        return asked + [() for _ in reactor.adoptedPorts]

    def listenArgs(self) -> dict[str, str]:
        """Options of a server."""
        return {"backlog": "100"}

    def createClientEndpoint(
        self, reactor: Any, clientFactory: object, **connectArgs: Any
    ) -> tuple[IStreamClientEndpoint, tuple[object, ...], IAddress]:
        """A client's endpoint, what it is to ask for, and what it connects to."""
        address: Any = IPv4Address("TCP", HOST, 80)
        expected: tuple[object, ...] = (HOST, 80, (HOST, LOCAL_PORT) if connectArgs else None)
        if self.pair.is_local:
            address, expected = UNIXAddress(f"\0{NAME}"), (f"\0{NAME}",)
        self._client = RealFactory(self.pair.client(reactor, address, **connectArgs))
        if self.pair.client_host != HOST:
            address = HostnameAddress(self.pair.client_host.encode(), 80)
        return self._client, expected, address

    def connectArgs(self) -> dict[str, object]:
        """Options of a client."""
        bindto = {} if self.pair.is_local else {"bindto": f"{HOST}:{LOCAL_PORT}"}
        return {"timeout": "10", **bindto}

    def expectedClients(self, reactor: Any) -> list[tuple[object, ...]]:
        """What was asked for, as `retrieveConnectedFactory` and `assertConnectArgs` take it."""
        return cast("list[tuple[object, ...]]", reactor.tcpClients + reactor.unixClients)

    def retrieveConnectedFactory(self, reactor: Any) -> Any:
        """The factory of the only attempt."""
        return self.expectedClients(reactor)[0][1 if self.pair.is_local else 2]

    def assertConnectArgs(
        self, receivedArgs: tuple[object, ...], expectedArgs: tuple[object, ...]
    ) -> None:
        """Compare all but the factory and the time, of which our own deadline decides."""
        if self.pair.is_local:
            received = receivedArgs[:1]
        else:
            host, port, _, _, bind_address = receivedArgs
            received = (host, port, bind_address)
        self.assertEqual(received, expectedArgs)

    def satisfyPendingConnect(self, connectingFactory: Any, expectedProto: object) -> None:
        """Connect the attempt to a server of ours, in memory."""
        self._client.protocol = expectedProto
        reactor: Any = MemoryReactorClock()
        self.createServerEndpoint(reactor, None)[0].listen(cast(IProtocolFactory, None))
        (factory,) = [made[1] for made in reactor.unixServers] + [
            made[2] for made in reactor.adoptedPorts
        ]
        clock = Clock()
        client, server = End(clock), End(clock)
        client.start(connectingFactory.buildProtocol(ADOPTED))
        server.start(factory.buildProtocol(ADOPTED))
        carry(client, server)


def _too_old(pair: Pair) -> dict[str, Any]:
    """Tests that an endpoint of ours cannot pass before Twisted 26.4, each skipped."""
    if hasattr(ClientEndpointTestCaseMixin, "satisfyPendingConnect"):
        return {}
    reasons = {
        "test_endpointConnectSuccess": "before Twisted 26.4, it connects a protocol to nothing",
        "test_endpointConnectFailure": "before Twisted 26.4, its reactor keeps no time",
    }
    if pair.client_host != HOST:
        for name in ("test_endpointConnectNonDefaultArgs", "test_endpointConnectingCancelled"):
            reasons[name] = "before Twisted 25.5, its reactor looks no names up"
    return {name: skipped(reason) for name, reason in reasons.items()}


for pair in PAIRS:
    name = f"{pair.name}EndpointsTests"
    globals()[name] = type(
        name,
        (Endpoints, SynchronousTestCase),
        {"__module__": __name__, "pair": pair, **_too_old(pair)},
    )
