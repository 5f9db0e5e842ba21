"""Twisted's tests of a UDP port, with the ports of `txtransport.datagram`, on each reactor.

`Ports` has Twisted's own tests of a port (``twisted.internet.test.test_udp``). `Refusals`
has ours of what reactors tell in different ways. `UDPTests` and
`ReactorShutdownInteractionTests` are Twisted's, with the reactor in which the tests run.
"""

from __future__ import annotations

import socket
from collections.abc import Coroutine
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import DatagramProtocol
from twisted.internet.test import test_udp as with_each_reactor
from twisted.internet.test.connectionmixins import findFreePort
from twisted.python.failure import Failure
from twisted.test import test_udp as with_one_reactor

import txtransport
from tests.endpoints.test_datagram import Talker
from tests.twisted.pairs import PairTestsBuilder


def listen(
    reactor: object,
    protocol: DatagramProtocol,
    port: int = 0,
    interface: str = "",
    maxPacketSize: int = 8192,
) -> IListeningPort:
    """Listen as ``reactor.listenUDP`` does: at once, or with an exception."""
    host = f"[{interface}]" if ":" in interface else interface or "0.0.0.0"
    outcome: list[Any] = []
    endpoint = txtransport.datagram(reactor, f"udp://{host}:{port}")
    endpoint.listen(protocol).addBoth(outcome.append)
    if isinstance(outcome[0], Failure):
        outcome[0].raiseException()
    return cast(IListeningPort, outcome[0])


class Ports(
    with_each_reactor.UDPPortTestsMixin,
    with_each_reactor.DatagramTransportTestsMixin,
    PairTestsBuilder,
):
    """Twisted's own tests."""

    getListeningPort = staticmethod(listen)


class Refusals(PairTestsBuilder):
    """What becomes of datagrams to a number at which nothing listens."""

    def plays(self, scene: Any) -> None:
        """Run a coroutine in a new reactor, until it is over."""
        reactor = self.buildReactor()
        outcome: list[object] = []

        def begin() -> None:
            playing: Coroutine[Any, Any, None] = scene(reactor)
            over = Deferred.fromCoroutine(playing).addBoth(outcome.append)
            over.addBoth(lambda _: reactor.stop())

        reactor.callWhenRunning(begin)
        self.runReactor(reactor, timeout=10)
        if isinstance(outcome[0], Failure):
            outcome[0].raiseException()

    def test_a_refusal_is_told_and_the_port_goes_on(self) -> None:
        """For ``connect`` of the endpoint, and of a port that listens."""

        async def scene(reactor: object) -> None:
            for is_connected in (True, False):
                number = findFreePort(type=socket.SOCK_DGRAM)[1]
                client, server = Talker(), Talker()
                if is_connected:
                    endpoint = txtransport.datagram(reactor, f"udp://127.0.0.1:{number}")
                    transport: Any = await endpoint.connect(client)
                else:
                    transport = listen(reactor, client, interface="127.0.0.1")
                    transport.connect("127.0.0.1", number)
                transport.write(b"is someone there?")
                await client.refused
                port: Any = listen(reactor, server, number, "127.0.0.1")
                arriving, answered = server.next(), client.next()
                transport.write(b"and now?")
                assert await arriving == b"and now?"
                port.write(b"yes", server.heard[0][1])
                assert await answered == b"yes"
                assert client.events == ["started", "refused"]
                await transport.stopListening()
                await port.stopListening()
                assert client.events == ["started", "refused", "stopped"]

        self.plays(scene)

    def test_a_refusal_that_a_write_meets_is_told_once(self) -> None:
        """Whichever sees it first, the write or the reactor, the port goes on."""

        async def scene(reactor: Any) -> None:
            number = findFreePort(type=socket.SOCK_DGRAM)[1]
            client, bystander = Talker(), Talker()
            endpoint = txtransport.datagram(reactor, f"udp://127.0.0.1:{number}")
            transport: Any = await endpoint.connect(client)
            for text in (b"one", b"two", b"three"):
                transport.write(text)
            await client.refused
            # A turn of the reactor, with all that it has to tell.
            port: Any = listen(reactor, bystander, 0, "127.0.0.1")
            arriving = bystander.next()
            port.write(b"x", ("127.0.0.1", port.getHost().port))
            await arriving
            assert 1 <= client.events.count("refused") <= 3, client.events
            assert transport.connected
            await transport.stopListening()
            await port.stopListening()

        self.plays(scene)


class _OurPort:
    """Our port, with the one private name of Twisted's that Twisted's tests use."""

    def __init__(self, port: IListeningPort) -> None:
        self._port = port
        self._realPortNumber = cast(Any, port).getHost().port

    def __getattr__(self, name: str) -> object:
        return getattr(self._port, name)


class _OurReactor:
    """The reactor, but for ``listenUDP``."""

    def __init__(self, reactor: object) -> None:
        self._reactor = reactor

    def __getattr__(self, name: str) -> object:
        return getattr(self._reactor, name)

    def listenUDP(self, port: int, protocol: DatagramProtocol, interface: str = "") -> _OurPort:
        """Listen with our endpoint."""
        return _OurPort(listen(self._reactor, protocol, port, interface))


class UDPTests(with_one_reactor.UDPTests):
    """Twisted's own tests."""

    def setUp(self) -> None:
        self.patch(with_one_reactor, "reactor", _OurReactor(cast(Any, with_one_reactor).reactor))


class ReactorShutdownInteractionTests(with_one_reactor.ReactorShutdownInteractionTests):
    """Twisted's own tests."""

    def setUp(self) -> None:
        self.patch(with_one_reactor, "reactor", _OurReactor(cast(Any, with_one_reactor).reactor))
        super().setUp()


def _for_each_reactor(builder: Any) -> dict[str, Any]:
    """A test case for each reactor; none for those that cannot be imported here."""
    cases = builder.makeTestCaseClasses()
    return {name: case for name, case in cases.items() if not hasattr(case, "skip")}


globals().update(_for_each_reactor(Ports), **_for_each_reactor(Refusals))
