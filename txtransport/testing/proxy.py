"""A proxy for tests: HTTP's CONNECT and SOCKS 5 on one port, perhaps with users.

It connects where its clients ask, or where its `routes` say, so that a test can reach a
server of its own by a name that is not in the DNS::

    proxy = TestProxy(reactor, routes={"mail.example.com:465": ("127.0.0.1", port)})
    listening = await txtransport.server(reactor, "tcp://127.0.0.1:0").listen(proxy)

Listened to with ``tls://`` it is an ``https://`` proxy. It is for tests: it has no rules,
no limits and no deadlines.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final, cast

from attrs import Factory as default
from attrs import define, frozen
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    HostnameEndpoint,
    TCP4ClientEndpoint,
    TCP6ClientEndpoint,
)
from twisted.internet.interfaces import IAddress, IConsumer, IPushProducer, ITransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from txtransport.config.address import is_address, is_ipv6
from txtransport.connection.twisted_types import TCPTransport
from txtransport.errors import NegotiationError
from txtransport.proxy import http_connect, socks5
from txtransport.proxy.target import Target
from txtransport.starttls.negotiation import Negotiation
from txtransport.starttls.wire import Dialogue, Wire

__all__ = ["ProxyRequest", "TestProxy"]

_SOCKS: Final = b"\x05"
_REFUSED: Final = 5
_BAD_GATEWAY: Final = b"HTTP/1.1 502 Bad Gateway\r\n\r\n"


@frozen
class ProxyRequest:
    """What a client has asked the proxy for.

    Attributes:
        protocol: ``HTTP`` or ``SOCKS``.
        target: The host and the port, as the client gave them: ``mail.example.com:465``.
    """

    protocol: str
    target: str


@define(eq=False)
class TestProxy(Factory):
    """The factory of the proxy's connections.

    Attributes:
        reactor: Connects to the targets.
        users: The password of each user; None for a proxy that asks nobody.
        routes: For a target as clients write it, the host and port to connect to instead.
        requests: What was asked for, in order, by clients that could log in.
    """

    # For pytest: this is no test case.
    __test__ = False

    reactor: object
    users: Mapping[str, str] | None = None
    routes: Mapping[str, tuple[str, int]] = default(dict)
    requests: list[ProxyRequest] = default(list)
    _open: _Connections = default(lambda: _Connections())

    def end(self) -> Deferred[None]:
        """End all connections, to clients and to targets.

        Returns:
            Fires when they are over, so that a test may end.
        """
        return self._open.end()

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        """The protocol of one client."""
        return _Client(self, self._open)


class _Connections:
    """The connections of a proxy that are open now."""

    def __init__(self) -> None:
        self._all: set[Protocol] = set()
        self._ended: list[Deferred[None]] = []

    def add(self, connection: Protocol) -> None:
        """A connection was made."""
        self._all.add(connection)

    def discard(self, connection: Protocol) -> None:
        """A connection is over."""
        self._all.discard(connection)
        self._look_whether_ended()

    def end(self) -> Deferred[None]:
        """End all; fires when they are over."""
        ended: Deferred[None] = Deferred()
        self._ended.append(ended)
        for connection in list(self._all):
            cast(TCPTransport, connection.transport).abortConnection()
        self._look_whether_ended()
        return ended

    def _look_whether_ended(self) -> None:
        if not self._all:
            waiting, self._ended = self._ended, []
            for each in waiting:
                each.callback(None)


class _Client(Protocol):
    """One client of the proxy: its request, and then its bytes.

    Args:
        proxy: The proxy.
        connections: Those of the proxy.

    Attributes:
        connections: As given.
    """

    def __init__(self, proxy: TestProxy, connections: _Connections) -> None:
        self.connections = connections
        self._proxy = proxy
        self._negotiation: Negotiation | None = None
        self._protocol = ""
        self._target: Target | None = None
        self._other: ITransport | None = None
        self._is_over = False

    def connectionMade(self) -> None:
        self.connections.add(self)

    def dataReceived(self, data: bytes) -> None:
        if self._other is not None:
            self._other.write(data)
            return
        if self._is_over or self._target is not None:
            # More than the request, before its answer.
            self._end()
            return
        negotiation = self._negotiation
        try:
            if negotiation is None:
                self._protocol = "SOCKS" if data[:1] == _SOCKS else "HTTP"
                negotiation = self._negotiation = Negotiation(self._request)
            negotiation.receive_data(data)
        except NegotiationError:
            self._say(b"" if negotiation is None else negotiation.data_to_send())
            self._end()
            return
        self._say(negotiation.data_to_send())
        if negotiation.is_complete:
            self._negotiation = None
            self._connect()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._is_over = True
        if self._other is not None:
            self._other.loseConnection()
        self.connections.discard(self)

    def _request(self, wire: Wire) -> Dialogue[bytes]:
        module = socks5 if self._protocol == "SOCKS" else http_connect
        self._target = yield from module.request(wire, self._proxy.users)
        return b""

    def _connect(self) -> None:
        target = self._target
        assert target is not None
        self._proxy.requests.append(ProxyRequest(self._protocol, str(target)))
        host, port = self._proxy.routes.get(str(target), (target.host, target.port))
        kind: type[HostnameEndpoint] | type[TCP6ClientEndpoint] | type[TCP4ClientEndpoint]
        # An address is not for the reactor's resolver, which may be the test's own.
        kind = TCP6ClientEndpoint if is_ipv6(host) else TCP4ClientEndpoint
        if not is_address(host):
            kind = HostnameEndpoint
        connecting = kind(self._proxy.reactor, host, port).connect(
            Factory.forProtocol(partial(_Target, self))
        )
        connecting.addErrback(self._not_connected)

    def reached(self, target: _Target) -> None:
        """The target is connected: what comes from either side goes to the other."""
        if self._is_over:
            cast(ITransport, target.transport).loseConnection()
            return
        self._other = target.transport
        is_socks = self._protocol == "SOCKS"
        self._say(socks5.answer(socks5.SUCCEEDED) if is_socks else http_connect.ESTABLISHED)
        ours, theirs = self.transport, target.transport
        cast(IConsumer, ours).registerProducer(cast(IPushProducer, theirs), True)
        cast(IConsumer, theirs).registerProducer(cast(IPushProducer, ours), True)

    def heard(self, data: bytes) -> None:
        """Pass on what the target has sent."""
        self._say(data)

    def target_lost(self) -> None:
        """The target has ended its connection."""
        self._other = None
        cast(IConsumer, self.transport).unregisterProducer()
        self._end()

    def _not_connected(self, reason: Failure) -> None:
        if not self._is_over:
            self._say(socks5.answer(_REFUSED) if self._protocol == "SOCKS" else _BAD_GATEWAY)
            self._end()

    def _say(self, data: bytes) -> None:
        if data:
            cast(ITransport, self.transport).write(data)

    def _end(self) -> None:
        self._is_over = True
        cast(ITransport, self.transport).loseConnection()


class _Target(Protocol):
    """The connection to what a client has asked for.

    Args:
        client: The client.
    """

    def __init__(self, client: _Client) -> None:
        self._client = client

    def connectionMade(self) -> None:
        self._client.connections.add(self)
        self._client.reached(self)

    def dataReceived(self, data: bytes) -> None:
        self._client.heard(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        cast(IConsumer, self.transport).unregisterProducer()
        self._client.target_lost()
        self._client.connections.discard(self)
