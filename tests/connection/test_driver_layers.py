"""TLS among other layers: on plain TCP, on a wrapper, in TLS, and below wrappers."""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.interfaces import (
    IConsumer,
    INegotiated,
    IPullProducer,
    IPushProducer,
    ISSLTransport,
    ISystemHandle,
    ITCPTransport,
    ITLSTransport,
    ITransport,
)
from twisted.protocols.policies import ProtocolWrapper, TimeoutFactory, WrappingFactory
from zope.interface import implementer
from zope.interface.verify import verifyObject

from tests import certificates
from tests.connection.test_driver import HandshakeTestCase, Party
from tests.loopback import LoopbackTestCase, Only, Recorder, Recorders
from tests.memory_tcp import MemoryTCP, PolledClock
from txtransport.config.policy import Side
from txtransport.tls.session import session_of

MUCH: Final = bytes(range(256)) * 12_000
"""More than the system takes at once, some 3 MB."""


@implementer(IPullProducer)
class Pieces:
    """A pull producer that writes data in pieces and then leaves.

    Args:
        transport: Gets the data.
        data: What it writes.
        size: Bytes of a piece.
    """

    def __init__(self, transport: Any, data: bytes, size: int) -> None:
        self._transport = transport
        self._rest = [data[at : at + size] for at in range(0, len(data), size)]

    def resumeProducing(self) -> None:
        self._transport.write(self._rest.pop(0))
        if not self._rest:
            self._transport.unregisterProducer()

    def stopProducing(self) -> None:
        pass


class Scrambling(ProtocolWrapper):
    """A layer of its own between TCP and TLS: it changes every byte, both ways."""

    _table: Final = bytes(byte ^ 0x55 for byte in range(256))

    def write(self, data: bytes) -> None:
        super().write(data.translate(self._table))

    def writeSequence(self, data: Any) -> None:
        self.write(b"".join(data))

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data.translate(self._table))


def scrambled(protocol: Any) -> WrappingFactory:
    """A factory of the protocol above a `Scrambling`."""
    factory = WrappingFactory(Only(protocol))
    factory.noisy = False
    factory.protocol = Scrambling
    return factory


class LayeredTests(LoopbackTestCase):
    """TLS above another layer, between real sockets."""

    async def assert_much_arrives(self, client: Party, server: Party) -> None:
        """Much data goes both ways at once, by a producer and by one write; then it closes."""
        ours, theirs = client.protocol, server.protocol
        for one, other in ((ours, theirs), (theirs, ours)):
            one.transport.registerProducer(Pieces(one.transport, MUCH, 50_000), False)
            grown = other.grown(len(MUCH))
            await grown
            one.transport.write(MUCH)
            await other.grown(2 * len(MUCH))
            self.assertTrue(other.received == MUCH * 2)
        ours.transport.loseConnection()
        await ours.gone()
        await theirs.gone()

    async def parties(self) -> tuple[Party, Party]:
        """Client and server, whose drivers are still to be connected."""
        client, server = (
            Party(self.reactor, side, build=Recorder) for side in (Side.CLIENT, Side.SERVER)
        )
        return client, server

    async def opened(self, *parties: Party) -> None:
        """Wait until both sides are open."""
        while not all(party.opened or party.failures for party in parties):
            await self.turn()
        self.assertEqual([party.failures for party in parties], [[], []])

    async def test_tls_on_a_wrapper_does_not_write_past_it(self) -> None:
        """A wrapper below TLS sees all bytes, though it has the methods of what is below it."""
        client, server = await self.parties()
        listening = TCP4ServerEndpoint(self.reactor, 0, interface="127.0.0.1")
        port = self.adopt(await listening.listen(scrambled(server.driver)))
        await TCP4ClientEndpoint(self.reactor, "127.0.0.1", port).connect(scrambled(client.driver))
        await self.opened(client, server)
        await self.assert_much_arrives(client, server)

    async def test_tls_in_tls(self) -> None:
        """One TLS connection carries another, and each has its own session and end."""
        client, server = await self.parties()
        port = await self.listening(
            "tls://127.0.0.1:0", Only(server.driver), local_cert=certificates.site()
        )
        endpoint = self.client_endpoint(port)
        outer: Any = await endpoint.connect(Only(client.driver))
        await self.opened(client, server)
        self.assertIsNot(session_of(client.protocol.transport), session_of(outer.transport))
        await self.assert_much_arrives(client, server)

    def client_endpoint(self, port: int) -> Any:
        """An endpoint for a TLS server of ours."""
        import txtransport

        return txtransport.client(
            self.reactor, f"tls://127.0.0.1:{port}", cafile=certificates.cafile()
        )

    async def test_wrappers_above_pass_everything_on(self) -> None:
        """Twisted's wrappers above TLS see the session, and a close goes through them."""
        factory = Recorders()
        wrapping = TimeoutFactory(WrappingFactory(factory), timeoutPeriod=10)
        arriving = factory.next()
        port = await self.listening("tls://127.0.0.1:0", wrapping, local_cert=certificates.site())
        client = await self.connected(f"tls://127.0.0.1:{port}?cafile={certificates.cafile()}")
        server = await arriving
        above: Any = server.transport
        self.assertIsInstance(above, ProtocolWrapper)
        self.assertTrue(ISSLTransport.providedBy(above))
        self.assertFalse(ITLSTransport.providedBy(above))
        above.registerProducer(Pieces(above, MUCH, 100_000), False)
        above.loseConnection()
        await client.gone()
        await server.gone()
        self.assertTrue(client.received == MUCH)


class InterfaceTests(HandshakeTestCase):
    """What the transport of an application says that it is."""

    def test_it_is_a_transport_of_tls_and_cannot_start_tls(self) -> None:
        """Servers see that TLS is on, and so offer no STARTTLS."""
        client, _ = self.met()
        transport = client.protocol.transport
        for interface in (
            ITransport, ITCPTransport, ISSLTransport, ISystemHandle, IConsumer, IPushProducer,
        ):  # fmt: skip
            self.assertTrue(verifyObject(interface, transport), interface)
        self.assertTrue(INegotiated.providedBy(transport))
        self.assertFalse(ITLSTransport.providedBy(transport))
        self.assertFalse(hasattr(transport, "startTLS"))
        client.end.lose()


class RecordTests(HandshakeTestCase):
    """How writes become records, and when these are sent."""

    clock: PolledClock

    def setUp(self) -> None:
        super().setUp()
        self.clock = PolledClock()

    def secure(self, build: Any = None) -> tuple[Party, Party]:
        """Client, on TCP, and server, connected and secure."""
        more = {} if build is None else {"build": build}
        end = MemoryTCP(self.clock)
        client = Party(self.clock, Side.CLIENT, end=end, **more)
        server = Party(self.clock, Side.SERVER)
        self.meet(client, server)
        client.end.taken()
        return client, server

    def records(self, data: bytes) -> list[int]:
        """The sizes of the records."""
        sizes = []
        while data:
            sizes.append(int.from_bytes(data[3:5], "big"))
            data = data[5 + sizes[-1] :]
        return sizes

    def test_small_writes_of_one_turn_are_one_record(self) -> None:
        """What is written in small pieces is sent at the end of the turn, as one record."""
        client, server = self.secure()
        for _ in range(100):
            client.protocol.transport.write(b"x" * 10)
        client.protocol.transport.writeSequence([b"y"] * 10)
        self.assertEqual(client.end.taken(), b"")
        self.clock.turn()
        self.assertEqual(self.records(client.end.taken()), [1010 + 17])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        server.end.lose()
        client.end.lose()

    def test_an_answer_is_sent_without_a_timer(self) -> None:
        """What is written while data is delivered is sent when all of it was delivered."""

        class Answering(Recorder):
            def dataReceived(self, data: bytes) -> None:
                assert self.transport is not None
                self.transport.write(data.upper())

        client, server = self.secure(Answering)
        for word in (b"one", b"two"):
            server.protocol.transport.write(word)
            self.clock.turn()
        client.end.hear(server.end.taken())
        self.assertEqual(self.clock.getDelayedCalls(), [])
        answer = client.end.taken()
        self.assertEqual(self.records(answer), [6 + 17])
        server.end.hear(answer)
        self.assertEqual(server.protocol.heard[-1], "ONETWO")
        server.end.lose()
        client.end.lose()

    def test_a_large_write_is_sent_at_once(self) -> None:
        """A record's worth of data is not held back."""
        client, server = self.secure()
        client.protocol.transport.write(b"x" * 10)
        client.protocol.transport.write(b"x" * 16384)
        self.assertEqual(sum(self.records(client.end.taken())), 16394 + 2 * 17)
        self.clock.turn()
        self.assertEqual(client.end.taken(), b"")
        server.end.lose()
        client.end.lose()

    def test_only_bytes_can_be_written(self) -> None:
        """Text is a TypeError, in a sequence as well; the buffers of bytes are copied."""
        client, server = self.secure()
        transport = client.protocol.transport
        self.assertRaises(TypeError, transport.write, "text")
        self.assertRaises(TypeError, transport.writeSequence, ["text"])
        buffer = bytearray(b"before")
        transport.write(buffer)
        buffer[:] = b"after!"
        transport.write(memoryview(b" and more"))
        self.clock.turn()
        server.end.hear(client.end.taken())
        self.assertEqual(server.protocol.heard[-1], "before and more")
        server.end.lose()
        client.end.lose()
