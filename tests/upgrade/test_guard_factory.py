"""The factory that `guard` makes: its arguments, and what it passes on."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionClosed, ConnectionRefusedError
from twisted.internet.protocol import ClientFactory, Factory
from twisted.mail import pop3

import txtransport
from tests import twisted_protocols
from tests.twisted_protocols import RecordingFactory
from tests.upgrade.guard_case import GuardTestCase


class FactoryTests(GuardTestCase):
    """The guard's factory passes on everything to the factory that it wraps."""

    def test_boundary_must_be_non_empty_bytes(self) -> None:
        """A boundary that is empty, or not bytes, is refused at once."""
        self.assertIn(
            "empty", str(self.assertRaises(ValueError, txtransport.guard, Factory(), b""))
        )
        for wrong in ("\n", bytearray(b"\n"), 10):
            self.assertRaises(TypeError, txtransport.guard, Factory(), wrong)

    async def test_factory_that_builds_no_protocol_closes_the_connection(self) -> None:
        """If the factory builds no protocol for a client, the connection is closed."""

        class Closed(Factory):
            noisy = False

            def buildProtocol(self, addr: object) -> None:
                return None

        port = await self.listening("tcp://127.0.0.1:0", txtransport.guard(Closed()))
        client = await self.connected(f"tcp://127.0.0.1:{port}")
        self.assertIsInstance((await client.gone()).value, ConnectionClosed)

    async def test_client_factory_methods_are_called(self) -> None:
        """A ClientFactory is told of attempts, failures and ends, and is started and stopped."""
        told: list[str] = []

        class Told(ClientFactory):
            noisy = False
            protocol = twisted_protocols.POP3Server

            def __init__(self) -> None:
                self.ended: Deferred[list[Any]] = Deferred()

            def doStart(self) -> None:
                told.append("start")

            def doStop(self) -> None:
                told.append("stop")

            def startedConnecting(self, connector: object) -> None:
                told.append("attempt")

            def clientConnectionFailed(self, connector: object, reason: Any) -> None:
                told.append("failure")
                self.ended.callback([reason.value])

            def clientConnectionLost(self, connector: object, reason: Any) -> None:
                told.append("end")
                self.ended.callback([reason.value])

        factory = Told()
        self.reactor.connectTCP("127.0.0.1", self.free_port(), txtransport.guard(factory))
        self.assertIsInstance((await factory.ended)[0], ConnectionRefusedError)
        await self.turn()
        self.assertEqual(told, ["start", "attempt", "failure", "stop"])
        servers, factory = await self.guarded_servers(twisted_protocols.POP3Server), Told()
        self.reactor.connectTCP("127.0.0.1", servers.port, txtransport.guard(factory))
        while not servers.recordings:
            await self.turn()
        servers.recording.protocol.transport.abortConnection()
        self.assertIsInstance((await factory.ended)[0], ConnectionClosed)
        await self.turn()
        self.assertEqual(told[4:], ["start", "attempt", "end", "stop"])

    async def test_endpoint_deferred_fires_with_the_guard(self) -> None:
        """An endpoint's Deferred fires with the guard, which has the protocol as attribute."""
        servers = await self.guarded_servers(twisted_protocols.POP3Server)
        endpoint = txtransport.client(self.reactor, f"tcp://127.0.0.1:{servers.port}")
        clients = RecordingFactory(pop3.AdvancedPOP3Client)
        connected: Any = await endpoint.connect(txtransport.guard(clients))
        self.addCleanup(self.hang_up, clients.recording)
        self.assertIs(connected.wrappedProtocol, clients.recording.protocol)
