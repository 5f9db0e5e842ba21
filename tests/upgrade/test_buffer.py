"""The input buffer: a parser gets one unit at a time, and the rest can still be seen."""

from __future__ import annotations

from typing import Any

from attrs import Factory, define
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from txtransport.upgrade.buffer import MAX_HELD, InputBuffer
from txtransport.upgrade.framing import Held


@define
class Parser:
    """Keeps the words it is given, which end with a semicolon; some words are commands."""

    got: list[bytes] = Factory(list)
    is_paused: bool = False
    buffer: Any = None

    def next_unit(self, data: Held) -> int:
        """The size of the first word, with its semicolon."""
        return data.find(b";") + 1

    def received(self, data: bytes) -> None:
        """Keep a word, and obey it if it is a command."""
        self.got.append(data)
        command = {
            b"pause;": lambda: setattr(self, "is_paused", True),
            b"hold;": self.buffer.hold,
            b"end;": self.buffer.close,
            b"back;": lambda: self.buffer.add(b"older;"),
            b"close;": self.buffer.transport.loseConnection,
        }.get(data)
        if command is not None:
            command()


class InputBufferTests(SynchronousTestCase):
    """What a parser gets, and when."""

    def setUp(self) -> None:
        self.parser = Parser()
        self.transport = StringTransport()
        self.buffer = self.parser.buffer = InputBuffer(
            self.transport,
            self.parser.received,
            self.parser.next_unit,
            lambda: self.parser.is_paused,
        )

    def test_parser_gets_whole_units(self) -> None:
        """However the bytes arrive, the parser gets whole units."""
        self.buffer.add(b"one;two;th")
        self.buffer.add(b"ree")
        self.assertEqual(self.parser.got, [b"one;", b"two;"])
        self.buffer.add(b";")
        self.assertEqual(self.parser.got, [b"one;", b"two;", b"three;"])

    def test_paused_parser_gets_nothing(self) -> None:
        """A paused parser gets nothing until it resumes."""
        self.buffer.add(b"pause;next;")
        self.assertEqual(self.parser.got, [b"pause;"])
        self.parser.is_paused = False
        self.buffer.deliver_units()
        self.assertEqual(self.parser.got, [b"pause;", b"next;"])

    def test_held_input_waits(self) -> None:
        """Held input waits, and the transport is paused."""
        self.buffer.add(b"hold;next;")
        self.assertEqual(self.parser.got, [b"hold;"])
        self.assertEqual(self.transport.producerState, "paused")
        self.buffer.release()
        self.assertEqual(self.parser.got, [b"hold;", b"next;"])
        self.assertEqual(self.transport.producerState, "producing")

    def test_release_does_not_resume_a_paused_parser(self) -> None:
        """If the parser paused meanwhile, its transport stays paused."""
        self.buffer.hold()
        self.parser.is_paused = True
        self.buffer.release()
        self.assertEqual(self.transport.producerState, "paused")

    def test_release_without_hold_does_nothing(self) -> None:
        """Releasing once too often does nothing."""
        self.buffer.release()
        self.assertEqual(self.transport.producerState, "producing")

    def test_closed_buffer_delivers_nothing(self) -> None:
        """A closed buffer gives back what was left, and delivers nothing more."""
        self.buffer.hold()
        self.buffer.add(b"next;")
        self.assertEqual(self.buffer.close(), b"next;")
        self.buffer.hold()
        self.buffer.add(b"late;")
        self.assertEqual(self.buffer.close(), b"")
        self.assertEqual(self.parser.got, [])

    def test_nothing_is_delivered_after_close(self) -> None:
        """What follows the unit on which the parser closed the buffer is not delivered."""
        self.buffer.add(b"end;next;")
        self.assertEqual(self.parser.got, [b"end;"])

    def test_nothing_is_kept_after_the_connection_closes(self) -> None:
        """What follows the unit that closed the connection is neither delivered nor kept."""
        self.buffer.add(b"close;next;")
        self.assertEqual(self.parser.got, [b"close;"])
        self.assertEqual(self.buffer.close(), b"")

    def test_bytes_given_back_come_first(self) -> None:
        """Bytes that the parser gives back come before those that wait."""
        self.buffer.add(b"back;next;")
        self.assertEqual(self.parser.got, [b"back;", b"older;", b"next;"])

    def test_impossible_unit_size_means_wait(self) -> None:
        """A size that is not positive, or more than has arrived, means to wait."""
        for size in (-1, 0, 7):

            def next_unit(data: object, size: int = size) -> int:
                return size

            buffer = InputBuffer(self.transport, self.parser.received, next_unit, lambda: False)
            buffer.add(b"word;")
            self.assertEqual(buffer.close(), b"word;")
        self.assertEqual(self.parser.got, [])

    def test_held_input_pauses_a_transport_that_was_resumed(self) -> None:
        """While input is held, a parser that resumes the transport gets no more of it."""
        self.buffer.hold()
        self.transport.resumeProducing()
        self.buffer.add(b"next;")
        self.assertEqual(self.transport.producerState, "paused")
        self.assertEqual(self.parser.got, [])

    def test_too_much_that_waits_is_noticed(self) -> None:
        """More than MAX_HELD bytes are too many, whatever they wait for."""
        self.buffer.add(b"x" * MAX_HELD)
        self.assertFalse(self.buffer.is_overfull)
        self.buffer.add(b"x")
        self.assertTrue(self.buffer.is_overfull)
        self.parser.is_paused = True
        self.assertTrue(self.buffer.is_overfull)
        self.buffer.hold()
        self.assertTrue(self.buffer.is_overfull)
