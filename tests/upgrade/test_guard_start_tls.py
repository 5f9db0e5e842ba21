"""``startTLS()`` of the guard: when it works, and when it is refused."""

from __future__ import annotations

import warnings
from typing import Any, cast

from twisted.internet.interfaces import IOpenSSLServerConnectionCreator, IPushProducer
from twisted.internet.testing import StringTransport
from twisted.protocols.basic import LineReceiver
from zope.interface import implementer

import txtransport
from tests import twisted_protocols
from tests.twisted_protocols import RecordingFactory
from tests.upgrade.guard_case import TCP, FirstLineReceiver, GuardTestCase
from txtransport.errors import AlreadySecure, ConversationOver, ProducerInTheWay, UpgradeError
from txtransport.upgrade.base_transport import base_transport
from txtransport.upgrade.guard import Guard


@implementer(IPushProducer)
class IdleProducer:
    """A push producer that produces nothing."""

    def pauseProducing(self) -> None:
        """There is nothing to pause."""

    resumeProducing = stopProducing = pauseProducing


class StartTLSTests(GuardTestCase):
    """startTLS() refuses at once what it cannot do, and the connection stays usable."""

    async def test_pull_producer_is_refused_and_push_producer_continues(self) -> None:
        """With a pull producer, startTLS() is refused; a push producer continues under TLS."""

        @implementer(IPushProducer)
        class Producing:
            def pauseProducing(self) -> None:
                pass

            resumeProducing = stopProducing = pauseProducing

        servers = await self.guarded_servers(LineReceiver)
        client = await self.raw_client(servers)
        while not servers.recordings:
            await self.turn()
        recording = servers.recording
        transport = recording.protocol.transport
        transport.registerProducer(Producing(), False)
        self.assertRaises(ProducerInTheWay, transport.startTLS, twisted_protocols.server_context())
        transport.unregisterProducer()
        recording.protocol.lineReceived = recording.protocol.sendLine
        client.say(b"still here\r\n")
        await client.heard(b"still here\r\n")
        transport.registerProducer(Producing(), True)
        transport.startTLS(twisted_protocols.server_context())
        self.start_tls(client)
        client.say(b"secret\r\n")
        await client.heard(b"secret\r\n")
        transport.unregisterProducer()

    async def test_start_tls_works_in_connection_made(self) -> None:
        """A protocol may start TLS in connectionMade(), also with the limits of a server."""

        class Server(twisted_protocols.POP3Server):
            def connectionMade(self) -> None:
                cast(Any, self.transport).startTLS(twisted_protocols.server_context())

        class Client(FirstLineReceiver):
            def connectionMade(self) -> None:
                cast(Any, self.transport).startTLS(twisted_protocols.client_context())
                self.sendLine(b"NOOP")

        for limits in ({}, {"max_connections": 3}):
            servers: Any = RecordingFactory(Server)
            guarded = txtransport.guard(servers)
            servers.port = await self.listening("tcp://127.0.0.1:0", guarded, **limits)
            recording = await self.guarded_client(Client, servers)
            self.assertEqual(await recording.protocol.first_line, b"+OK")
            self.assertEqual(servers.recording.given, [b"NOOP\r\n"])

    def test_transport_without_tls_refuses_start_tls(self) -> None:
        """A protocol works over a transport without TLS; startTLS() says which have TLS."""
        factory = txtransport.guard(RecordingFactory(twisted_protocols.POP3Server))
        wrapper = cast(Guard, factory.buildProtocol(None))
        transport = StringTransport()
        wrapper.makeConnection(transport)
        wrapper.dataReceived(b"NOOP\r\n")
        self.assertEqual(transport.value(), b"+OK ready\r\n+OK\r\n")
        refused = self.assertRaises(
            UpgradeError, wrapper.startTLS, twisted_protocols.server_context()
        )
        self.assertIn("TCP and local sockets", str(refused))

    async def test_second_start_tls_is_refused(self) -> None:
        """A second startTLS() is refused, during the first and after it, and does no harm."""
        servers = await self.guarded_servers(twisted_protocols.POP3Server)
        client = await self.raw_client(servers)
        client.say(b"STLS\r\n")
        await client.heard(b"+OK\r\n")
        transport = servers.recording.protocol.transport
        self.assertRaises(AlreadySecure, transport.startTLS, twisted_protocols.server_context())
        self.start_tls(client)
        client.say(b"NOOP\r\n")
        await client.heard(b"+OK\r\n+OK\r\n")
        self.assertRaises(AlreadySecure, transport.startTLS, twisted_protocols.server_context())
        client.say(b"NOOP\r\n")
        await client.heard(b"+OK\r\n+OK\r\n+OK\r\n")
        transport.loseConnection()
        await servers.recording.lost
        self.assertRaises(ConversationOver, transport.startTLS, twisted_protocols.server_context())

    async def test_invalid_context_is_refused_and_the_connection_stays_usable(self) -> None:
        """startTLS() refuses an object that is no context; a valid one works afterwards."""
        servers = await self.guarded_servers(twisted_protocols.POP3Server)
        client = await self.raw_client(servers)
        await client.heard(b"+OK ready")
        transport = servers.recording.protocol.transport
        warnings.filterwarnings("ignore", ".* does not explicitly provide")
        for context in (None, object(), twisted_protocols.client_context()):
            self.assertRaises(TypeError, transport.startTLS, context)
        client.say(b"NOOP\r\nSTLS\r\n")
        await client.heard(b"+OK\r\n+OK\r\n")
        self.start_tls(client)
        client.say(b"NOOP\r\n")
        await client.heard(b"+OK\r\n+OK\r\n+OK\r\n")

    async def test_context_that_raises_ends_the_connection(self) -> None:
        """If a context fails to create its connection, the protocol is told the exception."""

        @implementer(IOpenSSLServerConnectionCreator)
        class Broken:
            def serverConnectionForTLS(self, tlsProtocol: object) -> Any:
                raise ZeroDivisionError("no key today")

        for endpoints in TCP:
            servers = RecordingFactory(
                lambda: twisted_protocols.mail_server(twisted_protocols.Postbox(), Broken())
            )
            port = self.adopt(
                await endpoints.listen(self.reactor, "").listen(txtransport.guard(servers))
            )
            client = await self.connected(f"tcp://127.0.0.1:{port}")
            client.say(b"STARTTLS\r\n")
            await client.gone()
            self.assertIsInstance(await servers.recording.reason(), ZeroDivisionError)
            self.assertEqual(servers.recording.heard, b"STARTTLS\r\n")
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    async def test_refused_context_leaves_the_producer_registered(self) -> None:
        """After a refused context, the protocol's producer is still registered."""
        servers = await self.guarded_servers(twisted_protocols.POP3Server)
        client = await self.raw_client(servers)
        await client.heard(b"+OK ready")
        transport = servers.recording.protocol.transport
        producer = IdleProducer()
        transport.registerProducer(producer, True)
        warnings.filterwarnings("ignore", ".* does not explicitly provide")
        self.assertRaises(TypeError, transport.startTLS, object())
        self.assertIs(base_transport(transport).producer, producer)
        transport.unregisterProducer()
