"""The buffers of a dialogue: how much they accept, and what counts as an answer."""

from __future__ import annotations

import itertools
import time
from typing import Any, TypeVar

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txtransport.errors import PeerMisbehaved
from txtransport.starttls.wire import COMMANDS, LINE, LINES, TOTAL, Dialogue, Wire

T = TypeVar("T")


def wire_with(*received: bytes) -> Wire:
    """A wire on which these bytes have arrived."""
    return Wire(received=bytearray(b"".join(received)))


def result(dialogue: Dialogue[T]) -> T:
    """What a dialogue returns that need not wait."""
    try:
        next(dialogue)
    except StopIteration as end:
        value: T = end.value
        return value
    raise AssertionError("it waits for more")


class WireTestCase(SynchronousTestCase):
    """What the tests of this file share."""

    def assert_waits(self, dialogue: Dialogue[Any]) -> None:
        """Check that a dialogue needs more bytes than have arrived."""
        self.assertIsNone(next(dialogue))

    def misbehaviour(self, dialogue: Dialogue[Any]) -> str:
        """The text of the PeerMisbehaved that a dialogue raises."""
        return str(self.assertRaises(PeerMisbehaved, next, dialogue))


class BoundsTests(WireTestCase):
    """The limits of a dialogue."""

    def test_the_limits_are_as_documented(self) -> None:
        """8 KiB a line, 200 lines and 64 KiB a dialogue, 20 commands before TLS."""
        self.assertEqual((LINE, LINES, TOTAL, COMMANDS), (8192, 200, 65536, 20))


class SendingTests(WireTestCase):
    """What a dialogue sends."""

    def test_bytes_are_sent_in_order(self) -> None:
        """Answers and questions are sent in the order of the calls."""
        wire = Wire()
        wire.send(b"one")
        wire.ask(b"two")
        self.assertEqual(wire.outgoing, b"onetwo")

    def test_an_answer_before_its_question_is_refused(self) -> None:
        """A question is not sent to a peer whose answer is already there (CVE-2026-42246)."""
        for early in (b"a1 OK done\r\n", b"a", b"\0"):
            wire = wire_with(early)
            error = self.assertRaises(PeerMisbehaved, wire.ask, b"a1 STARTTLS\r\n")
            self.assertIn(f"before it was asked: {early!r}", str(error))
            self.assertEqual(wire.outgoing, b"")

    def test_an_answer_is_sent_although_commands_wait(self) -> None:
        """An answer is sent although more commands have come: clients may pipeline."""
        wire = wire_with(b"NOOP\r\n")
        wire.send(b"250 Ok\r\n")
        self.assertEqual(wire.outgoing, b"250 Ok\r\n")

    def test_giving_up_sends_a_goodbye(self) -> None:
        """A client without a command for TLS is sent a goodbye; the error has the number."""
        wire = Wire()
        error = self.assertRaises(PeerMisbehaved, wire.give_up, b"421 Bye\r\n")
        self.assertEqual(wire.outgoing, b"421 Bye\r\n")
        self.assertIn(f"sent {COMMANDS} commands", str(error))

    def test_nonces_cannot_be_guessed(self) -> None:
        """Nonces are letters and digits, long, and never the same twice."""
        wire = Wire()
        words = {wire.nonce() for _ in range(100)}
        self.assertEqual(len(words), 100)
        for word in words:
            self.assertTrue(word.isascii() and word.isalnum() and len(word) >= 16, word)

    def test_each_wire_has_buffers_of_its_own(self) -> None:
        """Bytes of one wire are not seen on another."""
        one, other = Wire(), Wire()
        one.received += b"x"
        one.send(b"y")
        self.assertEqual((other.received, other.outgoing), (b"", b""))


class LineTests(WireTestCase):
    """Reading lines."""

    def test_a_line_ends_with_lf_or_cr_lf(self) -> None:
        """The end of a line is LF, or CR and LF; a second CR belongs to the line."""
        rows = {
            b"x\r\n": b"x",
            b"x\n": b"x",
            b"x\r\r\n": b"x\r",
            b"x\ry\n": b"x\ry",
            b"\r\n": b"",
            b"\n": b"",
            b" \0 \r\n": b" \0 ",
        }
        for received, line in rows.items():
            wire = wire_with(received, b"rest")
            self.assertEqual(result(wire.line()), line)
            self.assertEqual(wire.received, b"rest")

    def test_half_a_line_is_waited_for(self) -> None:
        """A line is complete when its LF has come; a CR is not an end."""
        for half in (b"", b"x", b"x\r"):
            wire = wire_with(half)
            dialogue = wire.line()
            self.assert_waits(dialogue)
            wire.received += b"y\n"
            self.assertEqual(result(dialogue), half + b"y")

    def test_the_bytes_of_a_line_are_limited(self) -> None:
        """A line has so many bytes with its end, and not one more."""
        self.assertEqual(len(result(wire_with(b"x" * (LINE - 1), b"\n").line())), LINE - 1)
        self.assert_waits(wire_with(b"x" * (LINE - 1)).line())
        for endless in (b"x" * LINE, b"x" * LINE + b"\n", b"x" * TOTAL):
            message = self.misbehaviour(wire_with(endless).line())
            self.assertIn(f"longer than {LINE} bytes", message)
            self.assertLess(len(message), 200)

    def test_a_dialogue_may_set_a_lower_limit(self) -> None:
        """A protocol with shorter lines passes its own limit."""
        self.assertEqual(result(wire_with(b"xxx\n").line(4)), b"xxx")
        self.assertIn("longer than 4 bytes", self.misbehaviour(wire_with(b"xxxx\n").line(4)))
        self.assertIn("longer than 4 bytes", self.misbehaviour(wire_with(b"xxxx").line(4)))

    def test_the_lines_of_a_dialogue_are_limited(self) -> None:
        """A dialogue reads so many lines, and not one more."""
        wire = wire_with(b"x\n" * (LINES + 1))
        for _ in range(LINES):
            result(wire.line())
        self.assertIn(f"more than {LINES} lines", self.misbehaviour(wire.line()))

    def test_a_line_byte_by_byte_takes_linear_time(self) -> None:
        """A line that arrives byte by byte is not searched from its start each time."""
        wire = Wire()
        dialogue = wire.line(TOTAL)
        began = time.process_time()
        for _ in range(TOTAL - 1):
            self.assert_waits(dialogue)
            wire.received += b"x"
        self.assertLess(time.process_time() - began, 2)
        wire.received += b"\n"
        self.assertEqual(len(result(dialogue)), TOTAL - 1)


class CommandTests(WireTestCase):
    """Reading the commands of a client."""

    def test_a_command_is_a_verb_and_an_argument(self) -> None:
        """A verb is read in any case, an argument as it is; spaces around them are stripped."""
        rows = {
            b"starttls\r\n": (b"STARTTLS", b""),
            b"StartTLS \r\n": (b"STARTTLS", b""),
            b" Auth  tls x \n": (b"AUTH", b"tls x"),
            b"\r\n": (b"", b""),
        }
        for received, command in rows.items():
            self.assertEqual(result(wire_with(received).command()), command)

    def test_only_spaces_are_stripped(self) -> None:
        """A control character makes another verb."""
        for received in (b"STLS\r\r\n", b"STLS\t\n", b"\0STLS\n", b"\x0bSTLS\n", b"STLS\0\n"):
            self.assertEqual(
                result(wire_with(received).command()), (received[:-1].removesuffix(b"\r"), b"")
            )


class ExactlyTests(WireTestCase):
    """Reading messages of a known length."""

    def test_exactly_the_asked_bytes_are_taken(self) -> None:
        """A message is taken when it is complete, and not a byte more."""
        wire = wire_with(b"abc")
        dialogue = wire.exactly(4)
        self.assert_waits(dialogue)
        wire.received += b"de"
        self.assertEqual(result(dialogue), b"abcd")
        self.assertEqual(wire.received, b"e")
        self.assertEqual(result(wire_with(b"abcd").exactly(4)), b"abcd")
        self.assertEqual(result(wire.exactly(0)), b"")

    def test_a_length_above_the_limit_is_refused(self) -> None:
        """A message that could never fit is not waited for."""
        for count in (-1, TOTAL + 1, 1 << 64):
            self.assertIn(f"of {count} bytes", self.misbehaviour(Wire().exactly(count)))
        self.assert_waits(Wire().exactly(TOTAL))

    def test_waiting_for_data_takes_nothing(self) -> None:
        """The first byte is waited for, and left in the buffer."""
        wire = Wire()
        dialogue = wire.wait_for_data()
        self.assert_waits(dialogue)
        wire.received += b"x"
        self.assertIsNone(result(dialogue))
        self.assertEqual(wire.received, b"x")

    @settings(deadline=None)
    @given(data=st.binary(max_size=200), cuts=st.lists(st.integers(0, 200), max_size=8))
    def test_segments_do_not_matter(self, data: bytes, cuts: list[int]) -> None:
        """The same bytes give the same lines, in whatever segments they arrive."""
        wire, lines, dialogue = Wire(), [], None
        places = [0, *sorted(cuts), 200]
        for begin, end in itertools.pairwise(places):
            wire.received += data[begin:end]
            while True:
                dialogue = dialogue or wire.line()
                try:
                    next(dialogue)
                except StopIteration as line:
                    lines.append(line.value)
                    dialogue = None
                else:
                    break
        expected = [line.removesuffix(b"\r") for line in data.split(b"\n")[:-1]]
        self.assertEqual(lines, expected)
