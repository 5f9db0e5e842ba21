"""Bytes go to a plain transport at once, and never overtake what waits there."""

from __future__ import annotations

import errno
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.error import ConnectionLost
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.memory import End
from tests.memory_tcp import MemoryTCP, PolledClock
from txtransport.connection.plain_writer import PlainWriter


class Ended(Protocol):
    """Notes why the connection is over."""

    reason: Failure | None = None

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self.reason = reason


def writer_on(transport: object) -> PlainWriter:
    """A writer on a transport of a test's."""
    return PlainWriter(cast("Any", transport))


class PlainWriterTests(SynchronousTestCase):
    """A writer on a TCP connection whose socket takes what the test says."""

    def setUp(self) -> None:
        self.clock = PolledClock()
        self.plain = MemoryTCP(self.clock)
        self.protocol = Ended()
        self.plain.start(self.protocol)
        self.writer = writer_on(self.plain)

    def test_bytes_are_sent_at_once(self) -> None:
        """They do not wait for the reactor's next turn, and nothing is left registered."""
        self.writer.write(b"hello")
        self.assertEqual(self.plain.taken(), b"hello")
        self.assertFalse(self.writer.is_waiting)
        self.assertIsNone(self.plain.producer)
        self.assertEqual(self.clock.writers, set())

    def test_what_the_socket_does_not_take_is_not_overtaken(self) -> None:
        """From then on all bytes wait in the transport, until it is empty."""
        told: list[bool] = []
        self.writer.emptied = lambda: told.append(self.writer.is_waiting)
        self.plain.memory.capacity = 2
        self.writer.write(b"hello")
        self.plain.memory.capacity = 2**20
        self.writer.write(b" world")
        self.assertEqual((self.plain.taken(), told), (b"he", []))
        self.assertTrue(self.writer.is_waiting)
        for _ in range(2):
            self.clock.turn()
        self.assertEqual((self.plain.taken(), told), (b"llo world", [False]))
        self.assertIsNone(self.plain.producer)
        self.writer.write(b"!")
        self.assertEqual(self.plain.taken(), b"!")

    def test_a_broken_socket_ends_the_connection_in_the_reactor(self) -> None:
        """The error is met where Twisted meets it, and told to the protocol."""
        self.plain.memory.error = OSError(errno.EPIPE, "Broken pipe")
        self.writer.write(b"hello")
        self.assertIsNone(self.protocol.reason)
        self.clock.turn()
        assert self.protocol.reason is not None
        self.assertIsInstance(self.protocol.reason.value, ConnectionLost)

    def test_others_can_register_a_producer_when_it_has_left(self) -> None:
        """What waits is still sent, before what others write."""
        self.plain.memory.capacity = 0
        self.writer.write(b"first")
        self.assertRaises(RuntimeError, self.plain.registerProducer, object(), True)
        self.writer.leave()
        self.plain.write(b" second")
        self.plain.memory.capacity = 2**20
        self.clock.turn()
        self.assertEqual(self.plain.taken(), b"first second")

    def test_a_close_sends_what_waits_first(self) -> None:
        """A writer's producer does not keep a connection that is to be closed."""
        self.plain.memory.capacity = 3
        self.writer.write(b"last words")
        self.plain.loseConnection()
        self.plain.memory.capacity = 2**20
        for _ in range(3):
            self.clock.turn()
        self.assertEqual(self.plain.taken(), b"last words")
        self.assertTrue(self.plain.is_over)

    def test_a_producer_of_others_is_not_displaced(self) -> None:
        """Where someone else's producer is registered, bytes go by the transport's own write()."""
        plain = MemoryTCP(self.clock)
        plain.start(Ended())
        plain.registerProducer(cast("Any", Protocol()), True)
        writer_on(plain).write(b"hello")
        self.assertEqual(plain.taken(), b"")

    def test_any_other_transport_is_written_to_as_usual(self) -> None:
        """A transport that is not Twisted's TCP has only write()."""
        end: Any = End(self.clock)
        writer = writer_on(end)
        writer.write(b"hello")
        self.assertEqual((end.taken(), writer.is_waiting), (b"hello", False))

    @given(st.lists(st.one_of(st.binary(min_size=1, max_size=40), st.integers(0, 60), st.none())))
    def test_whatever_the_socket_takes_the_order_is_kept(
        self, steps: list[bytes | int | None]
    ) -> None:
        """Writes, turns of the reactor and a socket that takes any number of bytes, mixed."""
        clock = PolledClock()
        plain = MemoryTCP(clock)
        plain.start(Ended())
        writer = writer_on(plain)
        expected = b""
        for step in steps:
            if isinstance(step, bytes):
                expected += step
                writer.write(step)
            elif step is None:
                clock.turn()
            else:
                plain.memory.capacity = step
            self.assertTrue(expected.startswith(plain.memory.sent))
        plain.memory.capacity = 2**20
        for _ in range(3):
            clock.turn()
        self.assertEqual((plain.taken(), writer.is_waiting), (expected, False))
