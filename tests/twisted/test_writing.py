"""Twisted's tests of ``writeSequence`` and of producers."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.test.test_tcp import WriteSequenceTestsMixin
from twisted.test.test_tcp import MyClientFactory, MyServerFactory

from tests.twisted.pairs import Pair, make_test_cases


class Writing(WriteSequenceTestsMixin):
    """Connects the endpoints of a pair."""

    pair: Pair

    def getConnectedClientAndServer(
        self, reactor: Any, interface: object, addressFamily: object
    ) -> Deferred[Any]:
        """Connect, and stop the reactor when both sides have ended.

        Args:
            reactor: The reactor.
            interface: Ignored, and so is the next: the pair says where.
            addressFamily: Ignored.

        Returns:
            Fires with the client's protocol, the server's, and the port.
        """
        factories: Any = (MyClientFactory(), MyServerFactory())
        for factory in factories:
            factory.protocolConnectionMade = Deferred()
            factory.protocolConnectionLost = Deferred()
        made = gatherResults([factory.protocolConnectionMade for factory in factories])
        lost = gatherResults([factory.protocolConnectionLost for factory in factories])
        lost.addBoth(lambda ended: reactor.stop())
        client, server = factories
        port = self.pair.listen(reactor, server)
        self.pair.client(reactor, port.getHost()).connect(client)
        return made.addCallback(lambda protocols: (*protocols, port))


globals().update(make_test_cases(Writing))
