"""How many conversations a server holds at once, in all and from one address.

Limits stand below TLS: a connection counts from the moment that it is
accepted, so that those in the middle of a handshake count as well.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import Any, Final, cast

from twisted.internet.error import NoProtocol
from twisted.internet.interfaces import IAddress, IProtocol, IProtocolFactory
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure

from txtransport.config.settings import ServingPolicy
from txtransport.connection.pending import PendingProtocol, log_name

_log: Final = Logger()


class _CountedProtocol(PendingProtocol):
    """One accepted connection; its guest comes when there is room.

    Attributes:
        address: The peer's.
        is_waiting: Whether there was no room yet.
    """

    def __init__(self, limits: ConnectionLimits, address: IAddress | None) -> None:
        self.address = address
        self.is_waiting = False
        self._limits = limits

    def connectionMade(self) -> None:
        """The connection was accepted."""
        self._limits.accepted(self)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """The connection is gone, perhaps before there was room."""
        try:
            super().connectionLost(reason)
        finally:
            self._limits.closed(self)


class ConnectionLimits(Factory):
    """A factory that admits so many and no more.

    Args:
        guests: The factory behind it.
        serving: The limits. Above ``max_connections`` newcomers are closed,
            or the port is paused and those that it had already accepted wait;
            above ``max_per_ip`` they are closed.

    Attributes:
        port: The listening port, to pause and resume; set when it listens.
    """

    noisy = False
    port: Any = None

    def __init__(self, factory: IProtocolFactory, serving: ServingPolicy) -> None:
        self._factory = factory
        self._serving = serving
        self._count = 0
        self._count_by_host: Counter[str] = Counter()
        self._waiting: deque[_CountedProtocol] = deque()

    def logPrefix(self) -> str:
        """The factory behind it, whom a reader of the log knows."""
        return log_name(self._factory)

    def doStart(self) -> None:
        """The port listens."""
        self._factory.doStart()

    def doStop(self) -> None:
        """The port is closed."""
        self._factory.doStop()

    def buildProtocol(self, addr: IAddress | None) -> _CountedProtocol | None:
        """A place for a newcomer, or None to close it."""
        most_each = self._serving.max_per_ip
        if most_each is not None and self._count_by_host[_host(addr)] >= most_each:
            return None
        place = _CountedProtocol(self, addr)
        if self._is_full:
            return None if self._serving.overflow == "close" else place
        try:
            place.expect(self._build(addr))
        except NoProtocol:
            return None
        return place

    def accepted(self, place: _CountedProtocol) -> None:
        """One more has been accepted, and comes in or waits."""
        self._count_by_host[_host(place.address)] += 1
        if place.protocol is not None:
            self._admit(place)
            return
        place.is_waiting = True
        self._waiting.append(place)
        transport: Any = place.transport
        transport.pauseProducing()

    def closed(self, place: _CountedProtocol) -> None:
        """One has gone; whoever waits longest comes in."""
        host = _host(place.address)
        self._count_by_host[host] -= 1
        if not self._count_by_host[host]:
            del self._count_by_host[host]
        if place.is_waiting:
            self._waiting.remove(place)
            return
        self._count -= 1
        while self._waiting and not self._is_full:
            self._admit_waiting(self._waiting.popleft())
        if not self._is_full and self.port is not None:
            self.port.resumeProducing()

    @property
    def _is_full(self) -> bool:
        most = self._serving.max_connections
        return most is not None and self._count >= most

    def _admit_waiting(self, place: _CountedProtocol) -> None:
        """It is the turn of one that waited."""
        place.is_waiting = False
        transport: Any = place.transport
        transport.resumeProducing()
        self._admit(place)

    def _build(self, address: IAddress | None) -> IProtocol:
        protocol = self._factory.buildProtocol(cast(IAddress, address))
        if protocol is None:
            raise NoProtocol()
        return protocol

    def _admit(self, place: _CountedProtocol) -> None:
        self._count += 1
        if self._is_full and self._serving.overflow == "pause" and self.port is not None:
            self.port.pauseProducing()
        transport: Any = place.transport
        try:
            if place.protocol is None:
                place.expect(self._build(place.address))
            place.connect_protocol()
        except NoProtocol:
            transport.loseConnection()
        except Exception:
            # A bug of one guest's is no reason to fail whoever has just left.
            _log.failure("{peer}: connecting the protocol failed", peer=place.address)
            transport.abortConnection()


def _host(address: Any) -> str:
    return str(getattr(address, "host", ""))
