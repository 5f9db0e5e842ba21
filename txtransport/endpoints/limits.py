"""Limits on the connections of a server: how many at once, in all and from one host.

Limits stand below TLS: a connection counts from the moment that it is
accepted, so that a connection in the middle of its handshake counts as well.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import Final, cast

from twisted.internet.error import NoProtocol
from twisted.internet.interfaces import (
    IAddress,
    IListeningPort,
    IProtocol,
    IProtocolFactory,
    IPushProducer,
)
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure

from txtransport.config.address import client_network
from txtransport.config.settings import ServingPolicy
from txtransport.connection.peers import describe_address
from txtransport.connection.pending import PendingProtocol, log_name
from txtransport.connection.twisted_types import TCPTransport
from txtransport.endpoints.behind_balancer import ProxyHeaderProtocol

__all__ = ["ConnectionLimits"]

_log: Final = Logger()


class _CountedProtocol(PendingProtocol):
    """One accepted connection, whose protocol is connected when the limits allow it.

    Args:
        limits: Is told that the connection was accepted, and that it was closed.
        address: The peer's address.
        network: As the attribute.

    Attributes:
        address: The peer's address.
        network: What of the client's address counts for ``max_per_ip``; None where
            nothing does: a connection whose PROXY header is not read yet, and one that
            is a balancer's own.
        is_waiting: Whether it waits, because ``max_connections`` are open.
    """

    def __init__(
        self, limits: ConnectionLimits, address: IAddress | None, network: str | None
    ) -> None:
        self.address = address
        self.network = network
        self.is_waiting = False
        self._limits = limits

    def expect(self, protocol: IProtocol) -> None:
        """Name the protocol; one that reads a PROXY header will ask who may connect."""
        super().expect(protocol)
        if isinstance(protocol, ProxyHeaderProtocol):
            protocol.is_allowed = self._is_allowed

    def _is_allowed(self, client: IAddress) -> bool:
        return self._limits.identify(self, client)

    def connectionMade(self) -> None:
        """Count the connection, and connect its protocol or wait."""
        self._limits.accepted(self)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """Tell the protocol of the end if it is connected, and count one connection less."""
        try:
            super().connectionLost(reason)
        finally:
            self._limits.closed(self)


class ConnectionLimits(Factory):
    """Wraps a factory, and lets it have only so many connections at once.

    Args:
        factory: The factory to protect.
        serving: The limits. Above ``max_connections`` a new connection is closed
            (``overflow=close``), or the port is paused and connections that it
            has already accepted wait for their turn (``overflow=pause``). Above
            ``max_per_ip`` a new connection is closed; of an IPv6 address the
            first 64 bits count.
        where: The endpoint, as messages name it.
        is_proxied: Whether a PROXY header tells the client's address, which then counts
            for ``max_per_ip`` in place of the balancer's.

    Attributes:
        port: The listening port, to pause and resume; set once it listens.
    """

    noisy = False
    port: IPushProducer | None = None

    def __init__(
        self,
        factory: IProtocolFactory,
        serving: ServingPolicy,
        where: str = "a server",
        *,
        is_proxied: bool = False,
    ) -> None:
        self._is_proxied = is_proxied
        self._where = where
        self._factory = factory
        self._serving = serving
        self._count = 0
        self._count_by_network: Counter[str] = Counter()
        self._waiting: deque[_CountedProtocol] = deque()
        # The application may pause the port as well, and resumes it itself.
        self._has_paused = False

    def logPrefix(self) -> str:
        """The name of the wrapped factory in the log."""
        return log_name(self._factory)

    def doStart(self) -> None:
        """Start the wrapped factory: the port listens."""
        self._factory.doStart()

    def doStop(self) -> None:
        """Stop the wrapped factory: the port is closed."""
        self._factory.doStop()

    def buildProtocol(self, addr: IAddress | None) -> _CountedProtocol | None:
        """The protocol for a new connection.

        Args:
            addr: The peer's address.

        Returns:
            None, which closes the connection, if a limit is reached, or if the
            wrapped factory builds none.
        """
        network = None if self._is_proxied else _network(addr)
        if network is not None and self._has_most(network):
            return None
        connection = _CountedProtocol(self, addr, network)
        if self._is_full:
            return None if self._serving.overflow == "close" else connection
        try:
            connection.expect(self._build(addr))
        except NoProtocol:
            return None
        return connection

    def accepted(self, connection: _CountedProtocol) -> None:
        """Count a connection; connect its protocol, or let it wait without reading.

        Args:
            connection: It was accepted, and has its transport.
        """
        if connection.network is not None:
            self._count_by_network[connection.network] += 1
        if connection.protocol is not None:
            self._admit(connection)
            return
        connection.is_waiting = True
        self._waiting.append(connection)
        cast(TCPTransport, connection.transport).pauseProducing()

    def identify(self, connection: _CountedProtocol, client: IAddress) -> bool:
        """Count a connection for the client that its PROXY header tells.

        Args:
            connection: It was accepted.
            client: The client's address.

        Returns:
            Whether ``max_per_ip`` allows one more from there; if not, nothing is counted.
        """
        network = _network(client)
        if self._has_most(network):
            return False
        connection.network = network
        self._count_by_network[network] += 1
        return True

    def listens(self, port: IListeningPort) -> IListeningPort:
        """Pause and resume a port from now on.

        Args:
            port: The port.

        Returns:
            The port.
        """
        self.port = cast(IPushProducer, port)
        return port

    def closed(self, connection: _CountedProtocol) -> None:
        """Count a connection less, and admit the one that has waited longest.

        Args:
            connection: It is gone.
        """
        network = connection.network
        if network is not None:
            self._count_by_network[network] -= 1
            if not self._count_by_network[network]:
                del self._count_by_network[network]
        if connection.is_waiting:
            self._waiting.remove(connection)
            return
        self._count -= 1
        while self._waiting and not self._is_full:
            self._admit_waiting(self._waiting.popleft())
        if self._has_paused and not self._is_full and self.port is not None:
            self._has_paused = False
            self.port.resumeProducing()

    def _has_most(self, network: str) -> bool:
        max_per_ip = self._serving.max_per_ip
        return max_per_ip is not None and self._count_by_network[network] >= max_per_ip

    @property
    def _is_full(self) -> bool:
        max_connections = self._serving.max_connections
        return max_connections is not None and self._count >= max_connections

    def _admit_waiting(self, connection: _CountedProtocol) -> None:
        connection.is_waiting = False
        cast(TCPTransport, connection.transport).resumeProducing()
        self._admit(connection)

    def _build(self, address: IAddress | None) -> IProtocol:
        protocol = self._factory.buildProtocol(cast(IAddress, address))
        if protocol is None:
            raise NoProtocol()
        return protocol

    def _admit(self, connection: _CountedProtocol) -> None:
        """Connect the protocol of a connection, and pause the port if that was the last."""
        self._count += 1
        if self._is_full and self._serving.overflow == "pause" and self.port is not None:
            self._has_paused = True
            self.port.pauseProducing()
        transport = cast(TCPTransport, connection.transport)
        try:
            if connection.protocol is None:
                connection.expect(self._build(connection.address))
            connection.connect_protocol()
        except NoProtocol:
            transport.loseConnection()
        except Exception:
            # Logged, not raised: the caller may be another connection, which
            # has just been closed.
            _log.failure(
                "{where}: {client}: connecting the protocol failed", where=self._where,
                client=describe_address(connection.address), peer=connection.address,
            )  # fmt: skip
            transport.abortConnection()


def _network(address: IAddress | None) -> str:
    return client_network(str(getattr(address, "host", "")))
