"""Twisted's tests of a client of streams."""

from __future__ import annotations

from functools import partial
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConnector, IListeningPort
from twisted.internet.protocol import ClientFactory, ServerFactory
from twisted.internet.test.connectionmixins import StreamClientTestsMixin

from tests.twisted.pairs import Pair, make_test_cases


class Clients(StreamClientTestsMixin):
    """Connects, with the endpoints of a pair, to what it has listened at last."""

    pair: Pair
    _port: IListeningPort | None = None

    def listen(self, reactor: object, factory: ServerFactory) -> None:
        """Listen."""
        self._port = self.pair.listen(reactor, factory)

    def connect(self, reactor: object, factory: ClientFactory) -> None:
        """Connect; a failure is told to the factory, as a connector would."""
        address = self.pair.nowhere() if self._port is None else self._port.getHost()
        connecting: Deferred[Any] = self.pair.client(reactor, address).connect(factory)
        connecting.addErrback(partial(factory.clientConnectionFailed, cast(IConnector, None)))


globals().update(make_test_cases(Clients))
