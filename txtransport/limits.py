"""How many conversations a server holds at once, in all and from one address.

Limits stand below TLS: a connection counts from the moment that it is
accepted, so that those in the middle of a handshake count as well.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import Any

from twisted.internet.interfaces import IAddress, IProtocol, IProtocolFactory
from twisted.internet.protocol import Protocol
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure

from txtransport.options import ServingPolicy


class _Place(ProtocolWrapper):
    """One accepted connection; its guest comes when there is room."""

    factory: Limited

    def __init__(self, limited: Limited, guest: IProtocol | None, address: Any) -> None:
        super().__init__(limited, guest or Protocol())
        self.address = address
        self.is_waiting = guest is None

    def makeConnection(self, transport: Any) -> None:
        """The connection was accepted."""
        if self.is_waiting:
            self.transport = transport
            transport.pauseProducing()
        else:
            super().makeConnection(transport)

    def admit(self, guest: IProtocol) -> None:
        """There is room now."""
        transport: Any = self.transport
        self.is_waiting = False
        self.wrappedProtocol = guest
        super().makeConnection(transport)
        transport.resumeProducing()

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """The connection is gone, perhaps before there was room."""
        if self.is_waiting:
            self.factory.gave_up(self)
        else:
            super().connectionLost(reason)


class Limited(WrappingFactory[_Place]):
    """A factory that admits so many and no more.

    Args:
        guests: The factory behind it.
        serving: The limits. Above ``max_connections`` newcomers are closed,
            or the port is paused and those that it had already accepted wait;
            above ``max_per_ip`` they are closed.

    Attributes:
        port: The listening port, to pause and resume; set when it listens.
    """

    protocol = _Place
    noisy = False
    port: Any = None

    def __init__(self, guests: IProtocolFactory, serving: ServingPolicy) -> None:
        super().__init__(guests)
        self._serving = serving
        self._from: Counter[str] = Counter()
        self._waiting: deque[_Place] = deque()

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """A place for a newcomer, or None to close it."""
        most_each = self._serving.max_per_ip
        if most_each is not None and self._from[_host(addr)] >= most_each:
            return None
        if not self._is_full:
            guest = self.wrappedFactory.buildProtocol(addr)
            return None if guest is None else _Place(self, guest, addr)
        if self._serving.overflow == "close":
            return None
        place = _Place(self, None, addr)
        self._waiting.append(place)
        return place

    def registerProtocol(self, p: _Place) -> None:
        """One more is inside."""
        super().registerProtocol(p)
        self._from[_host(p.address)] += 1
        if self._is_full and self._serving.overflow == "pause" and self.port is not None:
            self.port.pauseProducing()

    def unregisterProtocol(self, p: _Place) -> None:
        """One has left; whoever waits longest comes in."""
        super().unregisterProtocol(p)
        host = _host(p.address)
        self._from[host] -= 1
        if not self._from[host]:
            del self._from[host]
        while self._waiting and not self._is_full:
            self._admit(self._waiting.popleft())
        if not self._is_full and self.port is not None:
            self.port.resumeProducing()

    def gave_up(self, place: _Place) -> None:
        """One that waited is gone."""
        self._waiting.remove(place)

    @property
    def _is_full(self) -> bool:
        most = self._serving.max_connections
        return most is not None and len(self.protocols) >= most

    def _admit(self, place: _Place) -> None:
        guest = self.wrappedFactory.buildProtocol(place.address)
        if guest is not None:
            place.admit(guest)
        elif place.transport is not None:
            place.transport.loseConnection()


def _host(address: Any) -> str:
    return str(getattr(address, "host", ""))
