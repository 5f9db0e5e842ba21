"""The feed: a parser gets one unit at a time, and what it has not had stays in sight."""

from __future__ import annotations

from typing import Any

from attrs import Factory, define
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from txtransport.upgrade.buffer import MAX_HELD, InputBuffer
from txtransport.upgrade.framing import Held


@define
class Parser:
    """Takes words that end with a semicolon, and writes down what it got."""

    got: list[bytes] = Factory(list)
    is_paused: bool = False
    buffer: Any = None

    def next_unit(self, data: Held) -> int:
        """Up to the semicolon."""
        return data.find(b";") + 1

    def received(self, data: bytes) -> None:
        """A unit; some of them are commands."""
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


class FeedTests(SynchronousTestCase):
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

    def test_one_unit_at_a_time(self) -> None:
        """However the bytes come, the parser gets whole units."""
        self.buffer.add(b"one;two;th")
        self.buffer.add(b"ree")
        self.assertEqual(self.parser.got, [b"one;", b"two;"])
        self.buffer.add(b";")
        self.assertEqual(self.parser.got, [b"one;", b"two;", b"three;"])

    def test_a_parser_that_pauses(self) -> None:
        """A paused parser gets nothing until it wants more."""
        self.buffer.add(b"pause;next;")
        self.assertEqual(self.parser.got, [b"pause;"])
        self.parser.is_paused = False
        self.buffer.deliver_units()
        self.assertEqual(self.parser.got, [b"pause;", b"next;"])

    def test_holding(self) -> None:
        """Held input waits, and so does the transport."""
        self.buffer.add(b"hold;next;")
        self.assertEqual(self.parser.got, [b"hold;"])
        self.assertEqual(self.transport.producerState, "paused")
        self.buffer.release()
        self.assertEqual(self.parser.got, [b"hold;", b"next;"])
        self.assertEqual(self.transport.producerState, "producing")

    def test_releasing_a_paused_parser(self) -> None:
        """A parser that has paused itself meanwhile keeps its transport paused."""
        self.buffer.hold()
        self.parser.is_paused = True
        self.buffer.release()
        self.assertEqual(self.transport.producerState, "paused")

    def test_releasing_what_was_not_held(self) -> None:
        """Releasing once too often does nothing."""
        self.buffer.release()
        self.assertEqual(self.transport.producerState, "producing")

    def test_closing(self) -> None:
        """A closed feed gives back what was left, and delivers nothing more."""
        self.buffer.hold()
        self.buffer.add(b"next;")
        self.assertEqual(self.buffer.close(), b"next;")
        self.buffer.hold()
        self.buffer.add(b"late;")
        self.assertEqual(self.buffer.close(), b"")
        self.assertEqual(self.parser.got, [])

    def test_a_parser_that_ends_it(self) -> None:
        """What follows the unit that ended it is not delivered."""
        self.buffer.add(b"end;next;")
        self.assertEqual(self.parser.got, [b"end;"])

    def test_a_parser_that_closes_the_connection(self) -> None:
        """What follows the unit that closed the connection is not delivered, nor kept."""
        self.buffer.add(b"close;next;")
        self.assertEqual(self.parser.got, [b"close;"])
        self.assertEqual(self.buffer.close(), b"")

    def test_what_is_given_back_comes_first(self) -> None:
        """Bytes that the parser gives back are older than those that wait."""
        self.buffer.add(b"back;next;")
        self.assertEqual(self.parser.got, [b"back;", b"older;", b"next;"])

    def test_a_unit_that_cannot_be(self) -> None:
        """A size that is not there yet, or no size, means to wait."""
        for size in (-1, 0, 7):

            def next_unit(data: object, size: int = size) -> int:
                return size

            buffer = InputBuffer(self.transport, self.parser.received, next_unit, lambda: False)
            buffer.add(b"word;")
            self.assertEqual(buffer.close(), b"word;")
        self.assertEqual(self.parser.got, [])

    def test_too_much(self) -> None:
        """A unit without an end is noticed; a full buffer that only waits is not one."""
        self.buffer.add(b"x" * MAX_HELD)
        self.assertFalse(self.buffer.is_overfull)
        self.buffer.add(b"x")
        self.assertTrue(self.buffer.is_overfull)
        self.parser.is_paused = True
        self.assertFalse(self.buffer.is_overfull)
