"""The machine that runs a dialogue: completion, failure, limits, and bytes left over."""

from __future__ import annotations

import contextlib
import gc
import weakref
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from txtransport.errors import NegotiationError, PeerLeft, PeerMisbehaved, PlaintextInjected
from txtransport.starttls.negotiation import Negotiation
from txtransport.starttls.wire import TOTAL, Dialogue, Wire

HELLO: Final = b"\x16\x03\x01\x02\x00"


def empty(wire: Wire) -> Dialogue[bytes]:
    """A dialogue without a message."""
    yield from ()
    return b""


def asking(wire: Wire) -> Dialogue[bytes]:
    """A dialogue of a question, an answer and a last message, with an outcome."""
    wire.send(b"please\n")
    line = yield from wire.line()
    if line != b"yes":
        wire.send(b"pity\n")
        raise PeerMisbehaved("not yes")
    wire.send(b"thanks\n")
    return b"welcome\n"


def allowing_early_hello(wire: Wire) -> Dialogue[bytes]:
    """The same dialogue, but the ClientHello may come early."""
    wire.accepts_early_client_hello = True
    return (yield from asking(wire))


def broken(wire: Wire) -> Dialogue[bytes]:
    """A dialogue with a bug."""
    yield from wire.wait_for_data()
    raise ZeroDivisionError


class NegotiationTests(SynchronousTestCase):
    """From the first byte of a dialogue to TLS."""

    def test_an_empty_dialogue_is_complete_at_once(self) -> None:
        """TLS from the start is a dialogue without a message."""
        negotiation = Negotiation(empty)
        self.assertTrue(negotiation.is_complete)
        self.assertEqual((negotiation.outcome, negotiation.data_to_send()), (b"", b""))

    def test_bytes_to_send_are_returned_once(self) -> None:
        """Bytes to send are returned once; when the dialogue is complete it has an outcome."""
        negotiation = Negotiation(asking)
        self.assertEqual(negotiation.data_to_send(), b"please\n")
        self.assertEqual(negotiation.data_to_send(), b"")
        negotiation.receive_data(b"ye")
        self.assertFalse(negotiation.is_complete)
        negotiation.receive_data(b"")
        self.assertFalse(negotiation.is_complete)
        negotiation.receive_data(b"s\n")
        self.assertTrue(negotiation.is_complete)
        self.assertEqual(negotiation.data_to_send(), b"thanks\n")
        self.assertEqual((negotiation.outcome, negotiation.early_client_hello), (b"welcome\n", b""))

    def test_a_complete_dialogue_accepts_no_bytes(self) -> None:
        """Bytes after the end belong to TLS, and change nothing here."""
        for more in (b"", HELLO, b"evil\n"):
            negotiation = Negotiation(allowing_early_hello)
            negotiation.receive_data(b"yes\n" + HELLO)
            self.assertRaises(RuntimeError, negotiation.receive_data, more)
            self.assertTrue(negotiation.is_complete)
            self.assertEqual(
                (negotiation.outcome, negotiation.early_client_hello), (b"welcome\n", HELLO)
            )


class FailureTests(SynchronousTestCase):
    """A dialogue that has failed stays failed."""

    def fails(self, negotiation: Negotiation, received: bytes, kind: type[Exception]) -> None:
        """Check that these bytes end a negotiation, and that it accepts none after them."""
        self.assertRaises(kind, negotiation.receive_data, received)
        for more in (b"", b"yes\n", HELLO):
            self.assertRaises(RuntimeError, negotiation.receive_data, more)
            self.assertFalse(negotiation.is_complete)
            self.assertEqual((negotiation.outcome, negotiation.early_client_hello), (b"", b""))

    def test_a_failed_dialogue_accepts_no_bytes(self) -> None:
        """After a failure nothing leads to TLS; the answer that explains it can still be sent."""
        negotiation = Negotiation(allowing_early_hello)
        self.fails(negotiation, b"no\n", PeerMisbehaved)
        self.assertEqual(negotiation.data_to_send(), b"please\npity\n")

    def test_injected_plaintext_fails_for_good(self) -> None:
        """A peer that has injected plaintext cannot go on with TLS."""
        self.fails(Negotiation(allowing_early_hello), b"yes\nevil\n", PlaintextInjected)

    def test_a_dialogue_with_a_bug_never_completes(self) -> None:
        """An exception in a dialogue is raised, and does not lead to TLS."""
        self.fails(Negotiation(broken), b"x", ZeroDivisionError)

    def test_the_bytes_of_a_dialogue_are_limited(self) -> None:
        """A dialogue accepts so many bytes and no more, in many segments or in one."""
        line = b"x" * 1000 + b"\n"
        for piece in (1, len(line)):
            negotiation = Negotiation(lambda wire: _lines(wire))
            pieces = [line[place : place + piece] for place in range(0, len(line), piece)] * 66
            error = self.assertRaises(PeerMisbehaved, _all, negotiation, pieces)
            self.assertIn("and the dialogue is not over", str(error))
            self.assertLess(int(str(error).split()[4]), TOTAL + len(line))
            self.assertRaises(RuntimeError, negotiation.receive_data, b"")
            self.assertFalse(negotiation.is_complete)

    def test_a_dialogue_at_the_limit_may_complete(self) -> None:
        """A dialogue of the most bytes comes to TLS, or waits and fails at the next byte."""
        negotiation = Negotiation(lambda wire: wire.exactly(TOTAL))
        negotiation.receive_data(b"x" * (TOTAL - 1))
        negotiation.receive_data(b"x")
        self.assertTrue(negotiation.is_complete)
        negotiation = Negotiation(lambda wire: _lines(wire))
        negotiation.receive_data((b"x" * 4095 + b"\n") * (TOTAL // 4096))
        negotiation.receive_data(b"")
        self.assertRaises(PeerMisbehaved, negotiation.receive_data, b"x")

    def test_a_lost_connection_is_reported_with_the_last_bytes(self) -> None:
        """The error for a lost connection has the bytes that the dialogue had not taken."""
        negotiation = Negotiation(asking)
        negotiation.receive_data(b"554 no")
        error = negotiation.connection_lost()
        self.assertIsInstance(error, PeerLeft)
        self.assertEqual(error.received, b"554 no")
        self.assertIn("the peer closed the connection before TLS began", str(error))
        self.assertIn(
            "the connection was reset (RST) before TLS",
            str(negotiation.connection_lost(is_reset=True)),
        )
        self.assertFalse(negotiation.is_complete)

    def test_an_unused_negotiation_is_freed_at_once(self) -> None:
        """A negotiation without a reference is freed at once, however it has ended."""
        for received in (b"", b"no\n", b"yes\n", b"yes\nevil\n"):
            negotiation = Negotiation(asking)
            with contextlib.suppress(NegotiationError):
                negotiation.receive_data(received)
            here = weakref.ref(negotiation)
            # Without the collector of reference cycles.
            gc.disable()
            self.addCleanup(gc.enable)
            del negotiation
            self.assertIsNone(here(), received)


class LeftoverTests(SynchronousTestCase):
    """Bytes that are left when TLS is to begin."""

    def test_plaintext_after_the_last_message_is_an_attack(self) -> None:
        """A single byte left over ends the dialogue, is in the error, and no go-ahead is sent."""
        for evil in (b"\0", b" ", b"\n", b"\r\n", b"EHLO evil\r\n", HELLO, b"x" * 60000):
            negotiation = Negotiation(asking, where="smtp at mail.example")
            negotiation.data_to_send()
            error = self.assertRaises(PlaintextInjected, negotiation.receive_data, b"yes\n" + evil)
            self.assertEqual(error.received, evil[:64])
            self.assertIn("smtp at mail.example", str(error))
            self.assertLess(len(str(error)), 700)
            self.assertEqual(negotiation.data_to_send(), b"")
            self.assertEqual(negotiation.wire.received, b"")

    def test_an_early_client_hello_goes_to_tls(self) -> None:
        """The first bytes of TLS, however few, are kept for TLS and not counted as plaintext."""
        for hello in (HELLO[:1], HELLO[:2], HELLO, HELLO + b"x" * TOTAL):
            negotiation = Negotiation(allowing_early_hello)
            negotiation.receive_data(b"yes\n" + hello)
            self.assertTrue(negotiation.is_complete)
            self.assertEqual(negotiation.early_client_hello, hello)
            self.assertEqual(negotiation.data_to_send(), b"please\nthanks\n")
            self.assertEqual(negotiation.wire.received, b"")

    def test_only_a_client_hello_may_be_left(self) -> None:
        """No other TLS record, no older TLS and no plaintext is accepted as a ClientHello."""
        for evil in (b"\x17\x03\x03", b"\x15\x03\x01", b"\x16\x02\x00", b"\x80\x2e\x01", b"\0\0\0"):
            negotiation = Negotiation(allowing_early_hello)
            self.assertRaises(PlaintextInjected, negotiation.receive_data, b"yes\n" + evil)

    def test_an_early_client_hello_is_refused_by_default(self) -> None:
        """A dialogue that does not allow an early ClientHello gets none."""
        negotiation = Negotiation(asking)
        self.assertRaises(NegotiationError, negotiation.receive_data, HELLO + b"\n")
        self.assertEqual(negotiation.early_client_hello, b"")


def _lines(wire: Wire) -> Dialogue[bytes]:
    while True:
        yield from wire.line()


def _all(negotiation: Negotiation, pieces: list[bytes]) -> None:
    for piece in pieces:
        negotiation.receive_data(piece)
