"""Twisted's tests of a listening port."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.interfaces import IConnector, IListeningPort
from twisted.internet.protocol import ClientFactory, ServerFactory
from twisted.internet.test.test_tcp import StreamTransportTestsMixin
from twisted.python import log
from twisted.trial.unittest import SynchronousTestCase

from tests.twisted.pairs import HOST, Pair, make_test_cases, path_of


class Ports(StreamTransportTestsMixin):
    """Listens with the endpoint of a pair, and connects in the clear.

    Our own client would not say that it was connected, under TLS, before the port had
    answered.
    """

    pair: Pair

    def observe(self) -> list[dict[str, Any]]:
        """Record the log's texts, such as a port's.

        A local port of ours starts its factory before it makes its file, and that
        Twisted logs first, in an event that has no text.
        """
        events: list[dict[str, Any]] = []

        def record(event: dict[str, Any]) -> None:
            if event["message"]:
                events.append(event)

        log.addObserver(record)
        cast(SynchronousTestCase, self).addCleanup(log.removeObserver, record)
        return events

    def getListeningPort(self, reactor: object, factory: ServerFactory) -> IListeningPort:
        """Listen."""
        return self.pair.listen(reactor, factory)

    def connectToListener(self, reactor: Any, address: Any, factory: ClientFactory) -> IConnector:
        """Connect, with Twisted's own client."""
        connector: IConnector = (
            reactor.connectUNIX(address.name, factory)
            if self.pair.is_local
            else reactor.connectTCP(HOST, address.port, factory)
        )
        return connector

    def getExpectedStartListeningLogMessage(self, port: IListeningPort, factory: str) -> str:
        """What the log says when the port is open."""
        kind = " (TLS)" if self.pair.is_tls else ""
        return f"{factory}{kind} starting on {self._place(port)!r}"

    def getExpectedConnectionLostLogMsg(self, port: IListeningPort) -> str:
        """What the log says when the port is closed."""
        return f"({'UNIX' if self.pair.is_local else 'TCP'} Port {self._place(port)} Closed)"

    def _place(self, port: IListeningPort) -> str | int:
        address: Any = port.getHost()
        return path_of(address) if self.pair.is_local else int(address.port)


globals().update(make_test_cases(Ports))
