"""``startTLS()`` of the guard: when it works, and when it is refused."""

from __future__ import annotations

import warnings
from typing import Any, cast

from twisted.internet.interfaces import (
    IOpenSSLServerConnectionCreator,
    IPushProducer,
)
from twisted.internet.testing import StringTransport
from twisted.protocols.basic import LineReceiver
from zope.interface import implementer

import txtransport
from tests import twisted_protocols
from tests.twisted_protocols import RecordingFactory
from tests.upgrade.guard_case import TCP, GuardTestCase, Telling
from txtransport.errors import (
    AlreadySecure,
    ConversationOver,
    ProducerInTheWay,
    UpgradeError,
)
from txtransport.upgrade.base_transport import base_transport


@implementer(IPushProducer)
class Quiet:
    """A producer that has nothing to say."""

    def pauseProducing(self) -> None:
        """It did not speak anyhow."""

    resumeProducing = stopProducing = pauseProducing


class StartTLSTests(GuardTestCase):
    """What cannot be done is said at once."""

    async def test_s27_producers(self) -> None:
        """A pull producer is refused and nothing is harmed; a streaming one goes on under TLS."""

        @implementer(IPushProducer)
        class Producing:
            def pauseProducing(self) -> None:
                pass

            resumeProducing = stopProducing = pauseProducing

        made = await self.serving(LineReceiver)
        client = await self.raw(made)
        while not made.recorders:
            await self.turn()
        recorder = made.recorder
        transport = recorder.protocol.transport
        transport.registerProducer(Producing(), False)
        self.assertRaises(ProducerInTheWay, transport.startTLS, twisted_protocols.as_server())
        transport.unregisterProducer()
        recorder.protocol.lineReceived = recorder.protocol.sendLine
        client.say(b"still here\r\n")
        await client.heard(b"still here\r\n")
        transport.registerProducer(Producing(), True)
        transport.startTLS(twisted_protocols.as_server())
        self.secure(client)
        client.say(b"secret\r\n")
        await client.heard(b"secret\r\n")
        transport.unregisterProducer()

    async def test_tls_from_the_first_byte(self) -> None:
        """A guest may begin TLS when it is connected, under the limits of a server as well."""

        class Server(twisted_protocols.PostOffice):
            def connectionMade(self) -> None:
                cast(Any, self.transport).startTLS(twisted_protocols.as_server())

        class Client(Telling):
            def connectionMade(self) -> None:
                cast(Any, self.transport).startTLS(twisted_protocols.as_client())
                self.sendLine(b"NOOP")

        for limits in ({}, {"max_connections": 3}):
            made: Any = RecordingFactory(Server)
            guarded = txtransport.guard(made)
            made.port = await self.listening("tcp://127.0.0.1:0", guarded, **limits)
            recorder = await self.calling(Client, made)
            self.assertEqual(await recorder.protocol.told, b"+OK")
            self.assertEqual(made.recorder.given, [b"NOOP\r\n"])

    def test_a_transport_that_cannot(self) -> None:
        """Over a transport without TLS a guest works as ever, and is told which have it."""
        wrapper = txtransport.guard(RecordingFactory(twisted_protocols.PostOffice)).buildProtocol(
            None
        )
        transport = StringTransport()
        wrapper.makeConnection(transport)
        wrapper.dataReceived(b"NOOP\r\n")
        self.assertEqual(transport.value(), b"+OK ready\r\n+OK\r\n")
        refused = self.assertRaises(UpgradeError, wrapper.startTLS, twisted_protocols.as_server())
        self.assertIn("TCP and local sockets", str(refused))

    async def test_twice(self) -> None:
        """A second startTLS is refused, during the first and after it, and harms nothing."""
        made = await self.serving(twisted_protocols.PostOffice)
        client = await self.raw(made)
        client.say(b"STLS\r\n")
        await client.heard(b"+OK\r\n")
        transport = made.recorder.protocol.transport
        self.assertRaises(AlreadySecure, transport.startTLS, twisted_protocols.as_server())
        self.secure(client)
        client.say(b"NOOP\r\n")
        await client.heard(b"+OK\r\n+OK\r\n")
        self.assertRaises(AlreadySecure, transport.startTLS, twisted_protocols.as_server())
        client.say(b"NOOP\r\n")
        await client.heard(b"+OK\r\n+OK\r\n+OK\r\n")
        transport.loseConnection()
        await made.recorder.lost
        self.assertRaises(ConversationOver, transport.startTLS, twisted_protocols.as_server())

    async def test_s21_a_context_that_is_none(self) -> None:
        """What is no context is refused, and the conversation is as it was."""
        made = await self.serving(twisted_protocols.PostOffice)
        client = await self.raw(made)
        await client.heard(b"+OK ready")
        transport = made.recorder.protocol.transport
        warnings.filterwarnings("ignore", ".* does not explicitly provide")
        for context in (None, object(), twisted_protocols.as_client()):
            self.assertRaises(TypeError, transport.startTLS, context)
        client.say(b"NOOP\r\nSTLS\r\n")
        await client.heard(b"+OK\r\n+OK\r\n")
        self.secure(client)
        client.say(b"NOOP\r\n")
        await client.heard(b"+OK\r\n+OK\r\n+OK\r\n")

    async def test_s21_a_context_that_breaks(self) -> None:
        """A context that cannot make its connection is an end, and the guest hears which."""

        @implementer(IOpenSSLServerConnectionCreator)
        class Broken:
            def serverConnectionForTLS(self, tlsProtocol: object) -> Any:
                raise ZeroDivisionError("no key today")

        for endpoints in TCP:
            made = RecordingFactory(
                lambda: twisted_protocols.mail_server(twisted_protocols.Postbox(), Broken())
            )
            port = self.adopt(
                await endpoints.listen(self.reactor, "").listen(txtransport.guard(made))
            )
            client = await self.connected(f"tcp://127.0.0.1:{port}")
            client.say(b"STARTTLS\r\n")
            await client.gone()
            self.assertIsInstance(await made.recorder.reason(), ZeroDivisionError)
            self.assertEqual(made.recorder.heard, b"STARTTLS\r\n")
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    async def test_s21_a_producer_outlives_a_context_that_is_none(self) -> None:
        """A refused context costs a guest neither the conversation nor its producer."""
        made = await self.serving(twisted_protocols.PostOffice)
        client = await self.raw(made)
        await client.heard(b"+OK ready")
        transport = made.recorder.protocol.transport
        producer = Quiet()
        transport.registerProducer(producer, True)
        warnings.filterwarnings("ignore", ".* does not explicitly provide")
        self.assertRaises(TypeError, transport.startTLS, object())
        self.assertIs(base_transport(transport).producer, producer)
        transport.unregisterProducer()
