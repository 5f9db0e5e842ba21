"""Producers above TLS: when they are paused, resumed, asked, stopped, and what they may do."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IPullProducer, IPushProducer
from zope.interface import implementer

from tests.connection.test_driver import AppProtocol, HandshakeTestCase, Party
from tests.memory import End
from tests.memory_tcp import MemoryTCP, PolledClock
from txtransport.config.policy import Side
from txtransport.connection.plain_writer import PlainWriter

BUDGET: Final = 2**19
"""Bytes that a producer may write in one turn."""


class Counting(AppProtocol):
    """Counts what it receives, and keeps it together."""

    def __init__(self) -> None:
        super().__init__()
        self.received = bytearray()

    def dataReceived(self, data: bytes) -> None:
        self.received += data


@implementer(IPushProducer)
class Pushing:
    """A push producer that does what the test says when it is told something.

    Args:
        **steps: What to do at ``pause``, ``resume`` and ``stop``.

    Attributes:
        told: What it was told.
        deepest: In how many of its own calls it was at once.
    """

    def __init__(self, **steps: Callable[[], object]) -> None:
        self.told: list[str] = []
        self.deepest = 0
        self._steps = steps
        self._depth = 0

    def _hear(self, step: str) -> None:
        self.told.append(step)
        self._depth += 1
        self.deepest = max(self.deepest, self._depth)
        try:
            self._steps.get(step, lambda: None)()
        finally:
            self._depth -= 1

    def pauseProducing(self) -> None:
        self._hear("pause")

    def resumeProducing(self) -> None:
        self._hear("resume")

    def stopProducing(self) -> None:
        self._hear("stop")


@implementer(IPullProducer)
class Pulled:
    """A pull producer, which does what the test says each time that it is asked.

    Args:
        produce: What to do.

    Attributes:
        asked: How often it was asked.
        is_stopped: Whether it was stopped.
    """

    def __init__(self, produce: Callable[[], object]) -> None:
        self.asked = 0
        self.is_stopped = False
        self._produce = produce

    def resumeProducing(self) -> None:
        self.asked += 1
        if self.asked > 10_000:
            raise AssertionError("it is asked without end")
        self._produce()

    def stopProducing(self) -> None:
        self.is_stopped = True


def raises() -> None:
    """Raise an exception, as a producer with a fault would."""
    raise RuntimeError("a fault of the producer's")


class ProducerTestCase(HandshakeTestCase):
    """A client that writes, on a plain transport of each of two kinds, and its server.

    TCP of Twisted's is written to past its buffer; any other transport only has
    ``write()`` and its own producer.
    """

    is_tcp = True
    clock: PolledClock

    def setUp(self) -> None:
        super().setUp()
        self.clock = PolledClock()

    def secure(self, **more: Any) -> tuple[Any, Any, Party, Party]:
        """The client's plain transport and its TLS, and both sides, connected and secure."""
        more.setdefault("end", MemoryTCP(self.clock) if self.is_tcp else None)
        client = Party(self.clock, Side.CLIENT, **more)
        server = Party(self.clock, Side.SERVER, build=Counting)
        server.end.start(server.driver)
        client.end.start(client.driver)
        self.carry(client, server)
        return client.end, client.protocol.transport, client, server

    def carry(self, client: Party, server: Party, turns: int = 4) -> None:
        """Carry bytes for some turns of the reactor."""
        for _ in range(turns):
            self.clock.turn()
            for source, target in ((client.end, server.end), (server.end, client.end)):
                data = source.taken()
                if data and not target.is_over:
                    target.hear(data)
            for end in (client.end, server.end):
                # TCP ends itself when it has sent what waited.
                if isinstance(end, End) and end.disconnecting and not end.disconnected:
                    end.lose(ConnectionDone())

    def fill(self, plain: Any) -> None:
        """From now on the plain transport takes nothing."""
        if self.is_tcp:
            plain.memory.capacity = 0
        elif plain.producer is not None:
            plain.producer.pauseProducing()

    def drain(self, plain: Any) -> None:
        """From now on it takes everything, and has sent what waited."""
        if self.is_tcp:
            plain.memory.capacity = 2**62
            self.clock.turn()
        elif plain.producer is not None:
            plain.producer.resumeProducing()

    def assert_over(self, client: Party, server: Party) -> None:
        """The client is told of the end, and nothing is left."""
        self.carry(client, server)
        self.assertEqual(client.protocol.heard[-1:], ["lost"])
        self.assertEqual(client.protocol.heard.count("lost"), 1)
        server.end.lose()
        self.clock.turn()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class PushTests(ProducerTestCase):
    """Push producers, on TCP."""

    def test_it_is_paused_while_the_socket_takes_no_more(self) -> None:
        """A push producer waits while the socket takes nothing, and goes on when it is empty."""
        plain, tls, client, server = self.secure()
        producer = Pushing()
        tls.registerProducer(producer, True)
        tls.write(b"a" * 1000)
        self.clock.turn()
        self.assertEqual(producer.told, [])
        self.fill(plain)
        tls.write(b"b" * 20000)
        tls.write(b"c" * 20000)
        self.clock.turn()
        self.assertEqual(producer.told, ["pause"])
        self.drain(plain)
        self.carry(client, server)
        self.assertEqual(producer.told, ["pause", "resume"])
        self.assertEqual(bytes(server.protocol.received), b"a" * 1000 + b"b" * 20000 + b"c" * 20000)

    def test_it_is_paused_at_once_if_it_comes_while_the_socket_takes_nothing(self) -> None:
        """A push producer that is registered while data waits is paused before it writes."""
        plain, tls, client, server = self.secure()
        self.fill(plain)
        tls.write(b"a" * 20000)
        producer = Pushing()
        tls.registerProducer(producer, True)
        if not self.is_tcp:
            self.fill(plain)
        self.assertEqual(producer.told, ["pause"])
        self.drain(plain)
        self.carry(client, server)
        self.assertEqual(producer.told, ["pause", "resume"])

    def test_it_writes_half_a_megabyte_in_a_turn(self) -> None:
        """However fast the peer reads, other connections have their turn."""
        _, tls, client, server = self.secure()
        written = []

        def produce() -> None:
            written.append(0)
            while producer.told[-1:] != ["pause"]:
                tls.write(b"x" * 65536)
                written[-1] += 65536

        producer = Pushing(resume=produce)
        tls.registerProducer(producer, True)
        produce()
        for _ in range(3):
            self.carry(client, server, turns=1)
        self.assertEqual(written, [BUDGET] * 4)
        self.assertLessEqual(producer.deepest, 2)
        tls.unregisterProducer()
        self.carry(client, server)
        self.assertEqual(len(server.protocol.received), 4 * BUDGET)

    def test_it_may_write_when_it_is_paused(self) -> None:
        """What a producer writes in pauseProducing follows what it was paused for."""
        plain, tls, client, server = self.secure()
        producer = Pushing(pause=lambda: tls.write(b"b" * 20000))
        tls.registerProducer(producer, True)
        expected = b""
        for _ in range(3):
            self.fill(plain)
            tls.write(b"a" * 100_000)
            expected += b"a" * 100_000 + b"b" * 20000
            self.drain(plain)
            self.carry(client, server)
        if self.is_tcp:
            self.assertEqual(bytes(server.protocol.received), expected)
            self.assertEqual(producer.told, ["pause", "resume"] * 3)

    def test_unregister_lets_a_close_go_on(self) -> None:
        """A close waits for the producer; when it is unregistered, all is sent and it closes."""
        _, tls, client, server = self.secure()
        producer = Pushing()
        tls.registerProducer(producer, True)
        tls.write(b"a")
        tls.loseConnection()
        self.carry(client, server)
        tls.write(b"b" * 70000)
        self.carry(client, server)
        self.assertEqual(client.protocol.heard, ["made"])
        tls.unregisterProducer()
        tls.write(b"too late")
        self.assert_over(client, server)
        self.assertIsInstance(client.protocol.reason, ConnectionDone)
        self.assertEqual(bytes(server.protocol.received), b"a" + b"b" * 70000)
        self.assertEqual(producer.told, [])

    def test_unregister_twice_does_nothing(self) -> None:
        """To unregister what is not registered is no error."""
        _, tls, client, server = self.secure()
        tls.registerProducer(Pushing(), True)
        for _ in range(2):
            tls.unregisterProducer()
        tls.loseConnection()
        self.assert_over(client, server)

    def test_a_second_one_is_refused(self) -> None:
        """A second producer is a RuntimeError, and the first goes on."""
        _, tls, client, server = self.secure()
        first = Pushing()
        tls.registerProducer(first, True)
        for is_streaming in (True, False):
            self.assertRaises(RuntimeError, tls.registerProducer, Pushing(), is_streaming)
        self.assertEqual(first.told, [])
        client.end.lose()
        self.assert_over(client, server)
        self.assertEqual(first.told, ["stop"])

    def test_it_is_stopped_if_it_comes_after_the_end(self) -> None:
        """A producer for a connection that is over, aborted or closed is stopped at once."""

        def lost(party: Party) -> None:
            party.end.lose()

        def aborted(party: Party) -> None:
            party.protocol.transport.abortConnection()

        def closed(party: Party) -> None:
            party.protocol.transport.loseConnection()

        for end in (lost, aborted, closed):
            for is_streaming in (True, False):
                _, tls, client, server = self.secure()
                end(client)
                pulled, pushing = Pulled(partial(tls.write, b"late" * 100)), Pushing()
                tls.registerProducer(pushing if is_streaming else pulled, is_streaming)
                self.assertEqual(pushing.told, ["stop"] if is_streaming else [], end)
                self.assertEqual((pulled.is_stopped, pulled.asked), (not is_streaming, 0), end)
                self.assert_over(client, server)
                self.assertEqual(bytes(server.protocol.received), b"")

    def test_the_peers_close_stops_it(self) -> None:
        """When the peer closes, the connection ends and the producer is stopped."""
        for is_full in (False, True):
            plain, tls, client, server = self.secure()
            producer = Pushing()
            tls.registerProducer(producer, True)
            if is_full:
                self.fill(plain)
                tls.write(b"x" * 20000)
            server.protocol.transport.loseConnection()
            self.carry(client, server)
            self.drain(plain)
            self.assert_over(client, server)
            self.assertEqual(producer.told[-1:], ["stop"])
            self.assertIsInstance(client.protocol.reason, ConnectionDone)

    def test_one_that_writes_on_after_the_peers_close_does_no_harm(self) -> None:
        """What is written after the peer's close is dropped, and the reactor goes on."""
        for size in (1000, 20000):
            _, tls, client, server = self.secure()
            producer = Pulled(partial(tls.write, b"x" * size))
            tls.registerProducer(producer, False)
            self.carry(client, server, turns=1)
            server.protocol.transport.loseConnection()
            client.end.hear(server.end.taken())
            for _ in range(3):
                self.clock.turn()
            self.assertLess(producer.asked, 2000)
            if not client.end.is_over:
                client.end.lose(ConnectionDone())
            self.assertTrue(producer.is_stopped)
            self.assert_over(client, server)

    def test_one_that_raises_in_a_timer_ends_the_connection(self) -> None:
        """A producer with a fault ends the connection, which is told once and logged."""
        _plain, tls, client, server = self.secure()
        tls.registerProducer(Pushing(resume=raises), True)
        tls.write(b"x" * BUDGET)
        self.assert_over(client, server)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_one_that_raises_when_it_is_stopped_keeps_nothing_from_the_application(self) -> None:
        """The application hears of the end although its producer fails at it."""
        _, tls, client, server = self.secure()
        tls.registerProducer(Pushing(stop=raises), True)
        client.end.lose(ConnectionLost())
        self.assert_over(client, server)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_it_may_abort_when_it_is_told_something(self) -> None:
        """An abort in pauseProducing or resumeProducing ends the connection at once."""
        for step in ("pause", "resume"):
            plain, tls, client, server = self.secure()
            producer = Pushing(**{step: tls.abortConnection})
            tls.registerProducer(producer, True)
            self.fill(plain)
            tls.write(b"x" * 20000)
            if not self.is_tcp:
                self.fill(plain)
            self.drain(plain)
            self.assert_over(client, server)
            self.assertIsInstance(client.protocol.reason, ConnectionAborted)
            self.assertEqual(producer.told[-1:], ["stop"])
            self.assertEqual(producer.told.count(step), 1)

    def test_it_is_told_nothing_after_an_abort_but_to_stop(self) -> None:
        """Between the abort and the end of the connection the producer is left alone."""
        _plain, tls, client, server = self.secure()
        producer = Pushing()
        tls.registerProducer(producer, True)
        tls.write(b"x" * BUDGET)
        told = list(producer.told)
        tls.abortConnection()
        self.clock.turn()
        self.assert_over(client, server)
        self.assertEqual(producer.told, [*told, "stop"])


class PushOnOtherTransportTests(PushTests):
    """Push producers, on any other plain transport."""

    is_tcp = False

    def test_it_is_told_by_the_plain_transports_own_producer(self) -> None:
        """The plain transport has a producer of ours exactly as long as we have one."""
        plain, tls, client, server = self.secure()
        self.assertIsNone(plain.producer)
        tls.registerProducer(Pushing(), True)
        self.assertIsNotNone(plain.producer)
        tls.unregisterProducer()
        self.assertIsNone(plain.producer)
        client.end.lose()
        self.assert_over(client, server)


class NarrowEnd(End):
    """A transport that pauses its producer from within each write, as Twisted's do when full."""

    def write(self, data: bytes) -> None:
        super().write(data)
        if self.producer is not None:
            self.producer.pauseProducing()
            if not self.is_full:
                self.producer.resumeProducing()

    is_full = True


class NarrowTests(ProducerTestCase):
    """Producers above a transport that calls them from within a write."""

    def secured(self) -> tuple[Any, Any, Party, Party]:
        """As `secure`, on a `NarrowEnd`."""
        self.is_tcp = False
        client = Party(self.clock, Side.CLIENT, end=NarrowEnd(self.clock))
        server = Party(self.clock, Side.SERVER, build=Counting)
        server.end.start(server.driver)
        client.end.start(client.driver)
        self.carry(client, server)
        return client.end, client.protocol.transport, client, server

    def test_what_is_written_in_pause_producing_keeps_its_place(self) -> None:
        """A producer that writes when it is paused does not write between parts of a write."""
        _, tls, client, server = self.secured()
        producer = Pushing(pause=lambda: tls.write(b"b" * 20000))
        tls.registerProducer(producer, True)
        tls.write(b"a" * 100_000)
        self.assertEqual(producer.told, ["pause"])
        self.carry(client, server)
        self.assertEqual(bytes(server.protocol.received), b"a" * 100_000 + b"b" * 20000)

    def test_what_is_written_in_resume_producing_keeps_its_place(self) -> None:
        """A producer that writes when it is resumed does not write between parts of a write."""
        plain, tls, client, server = self.secured()
        rest = [b"b", b"c" * 20000]
        producer = Pushing(resume=lambda: tls.write(rest.pop(0)) if rest else None)
        tls.registerProducer(producer, True)
        tls.write(b"z")
        self.carry(client, server)
        plain.is_full = False
        tls.write(b"a" * 100_000)
        self.carry(client, server)
        self.assertEqual(
            bytes(server.protocol.received), b"z" + b"a" * 100_000 + b"b" + b"c" * 20000
        )

    def test_a_new_one_does_not_wait_for_what_the_one_before_was_told(self) -> None:
        """A producer that follows one which was paused may write until it is paused itself."""
        _, tls, client, server = self.secured()
        tls.registerProducer(Pushing(), True)
        tls.write(b"a" * 20000)
        tls.unregisterProducer()
        producer = Pulled(partial(tls.write, b"b"))
        tls.registerProducer(producer, False)
        self.assertEqual(producer.asked, 1)
        tls.unregisterProducer()
        tls.loseConnection()
        self.assert_over(client, server)


class PullTests(ProducerTestCase):
    """Pull producers, on TCP."""

    def test_it_is_asked_until_it_is_done(self) -> None:
        """A pull producer is asked for one piece after the other, and arrives whole."""
        _, tls, client, server = self.secure()
        pieces = [bytes([number % 251]) * 50_000 for number in range(40)]
        rest = list(pieces)

        def produce() -> None:
            tls.write(rest.pop(0))
            if not rest:
                tls.unregisterProducer()
                tls.loseConnection()

        producer = Pulled(produce)
        tls.registerProducer(producer, False)
        self.carry(client, server, turns=20)
        self.assertEqual(producer.asked, 40)
        self.assertEqual(bytes(server.protocol.received), b"".join(pieces))
        self.assert_over(client, server)

    def produce_last(self, tls: Any) -> None:
        """Write one byte, and no more."""
        tls.write(b"y")
        tls.unregisterProducer()

    def test_it_is_asked_after_much_was_written_without_one(self) -> None:
        """How much was written before a producer came plays no role."""
        for size in (BUDGET - 1, BUDGET, 3 * BUDGET):
            _, tls, client, server = self.secure()
            tls.write(b"x" * size)
            self.carry(client, server)
            producer = Pulled(partial(self.produce_last, tls))
            tls.registerProducer(producer, False)
            self.carry(client, server)
            self.assertEqual(len(server.protocol.received), size + 1)
            tls.loseConnection()
            self.assert_over(client, server)

    def test_it_is_not_asked_while_the_socket_takes_no_more(self) -> None:
        """While the socket takes nothing, it waits, without a timer that is run in vain."""
        plain, tls, client, server = self.secure()
        producer = Pulled(lambda: tls.write(b"x" * 20000))
        self.fill(plain)
        if self.is_tcp:
            tls.write(b"x" * 20000)
        tls.registerProducer(producer, False)
        self.fill(plain)
        self.clock.turn()
        asked = producer.asked
        for _ in range(3):
            self.clock.turn()
        self.assertEqual(producer.asked, asked)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.drain(plain)
        self.assertGreater(producer.asked, asked)
        tls.unregisterProducer()
        tls.loseConnection()
        self.carry(client, server)
        self.assert_over(client, server)

    def test_it_is_asked_after_a_dialogue_in_the_clear(self) -> None:
        """Where TLS was preceded by a dialogue, a producer is asked just the same."""
        plain: Any = MemoryTCP(self.clock) if self.is_tcp else End(self.clock)
        writer = PlainWriter(plain)
        writer.write_by_buffer(b"")
        _, tls, client, server = self.secure(writer=writer, end=plain)
        rest = [b"a", b"", b"b", b"c"]

        def produce() -> None:
            piece = rest.pop(0) if rest else b""
            if piece:
                tls.write(piece)

        tls.registerProducer(Pulled(produce), False)
        self.carry(client, server, turns=8)
        self.assertEqual(bytes(server.protocol.received), b"abc")
        tls.unregisterProducer()
        tls.loseConnection()
        self.assert_over(client, server)

    def test_it_writes_half_a_megabyte_in_a_turn(self) -> None:
        """However fast the peer reads, other connections have their turn."""
        _, tls, client, server = self.secure()
        producer = Pulled(lambda: tls.write(b"x" * 1000))
        tls.registerProducer(producer, False)
        self.clock.turn()
        self.assertLess(producer.asked, 3 * BUDGET // 1000)
        tls.abortConnection()
        self.assert_over(client, server)

    def test_it_may_abort_when_it_is_asked(self) -> None:
        """A pull producer that aborts is not asked again, whatever it still writes."""
        _, tls, client, server = self.secure()
        producer = Pulled(lambda: (tls.abortConnection(), tls.write(b"x" * 1000)))
        tls.registerProducer(producer, False)
        self.clock.turn()
        self.assertEqual((producer.asked, producer.is_stopped), (1, True))
        self.assert_over(client, server)
        self.assertEqual(bytes(server.protocol.received), b"")

    def test_one_that_raises_ends_the_connection(self) -> None:
        """A pull producer with a fault ends the connection, which is told once and logged."""
        _, tls, client, server = self.secure()
        pieces = [b"x" * BUDGET]
        # An IndexError at the second piece.
        tls.registerProducer(Pulled(lambda: tls.write(pieces.pop())), False)
        self.assert_over(client, server)
        self.assertEqual(len(self.flushLoggedErrors(IndexError)), 1)


class PullOnOtherTransportTests(PullTests):
    """Pull producers, on any other plain transport."""

    is_tcp = False


class BrokenSocketTests(ProducerTestCase):
    """A socket that breaks while it is written to."""

    def test_the_reactor_finds_it(self) -> None:
        """A socket that breaks in the middle of a write ends the connection in the next turn."""
        plain, tls, client, server = self.secure()
        producer = Pushing()
        tls.registerProducer(producer, True)
        plain.memory.error = ConnectionResetError(104, "Connection reset by peer")
        tls.write(b"x" * 100_000)
        self.assertEqual(client.protocol.heard, ["made"])
        self.clock.turn()
        self.assertEqual(client.protocol.heard, ["made", "lost"])
        self.assertIsInstance(client.protocol.reason, ConnectionLost)
        self.assertEqual(producer.told, ["pause", "stop"])
        self.assert_over(client, server)

    def test_a_close_with_much_still_waiting_sends_all_of_it(self) -> None:
        """What waits below is sent before the close, also when the peer has closed."""
        for closing in ("we", "the peer"):
            plain, tls, client, server = self.secure()
            plain.memory.capacity = 30_000
            tls.write(b"x" * 1_000_000)
            if closing == "we":
                tls.loseConnection()
            else:
                server.end.hear(plain.taken())
                # In memory there is no way for the server to go on reading.
                tls.loseConnection()
            while len(server.protocol.received) < 1_000_000:
                plain.memory.capacity = 100_000
                self.carry(client, server, turns=1)
            plain.memory.capacity = 2**62
            self.assert_over(client, server)
            self.assertIsInstance(client.protocol.reason, ConnectionDone)
