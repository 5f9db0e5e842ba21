"""AMQP 1.0: eight bytes each way, and the eight bytes that mean no."""

from __future__ import annotations

from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from tests.starttls.talk import farewell, talk, told
from txtransport.errors import PeerMisbehaved, PlaintextInjected, TLSRefused
from txtransport.starttls import amqp

HEADER: Final = bytes.fromhex("414d515002010000")


class AMQPTests(SynchronousTestCase):
    """Both sides."""

    def test_the_transcript(self) -> None:
        """Both sides say the header of TLS, and the guests hear nothing."""
        result = talk(amqp.connect, amqp.serve)
        self.assertEqual((result.by_client, result.by_server), ([HEADER], [HEADER]))
        self.assertEqual((result.client.outcome, result.server.outcome), (b"", b""))

    def test_c15_another_header_is_a_refusal(self) -> None:
        """C15: a server that would rather speak something else says what."""
        for header, wish in (
            (b"AMQP\x00\x01\x00\x00", "protocol 0, version 1.0.0"),
            (b"AMQP\x03\x01\x00\x00", "protocol 3, version 1.0.0"),
            (b"AMQP\x02\x01\x00\x01", "protocol 2, version 1.0.1"),
            # RabbitMQ and its kind.
            (b"AMQP\x00\x00\x09\x01", "protocol 0, version 0.9.1"),
            (b"AMQP\x01\x01\x00\x0a", "protocol 1, version 1.0.10"),
        ):
            error, said = farewell(amqp.connect, header)
            self.assertIs(type(error), TLSRefused)
            self.assertIn(f"({wish})", str(error))
            self.assertEqual(said, HEADER)

    def test_c16_what_is_no_header(self) -> None:
        """C16: eight bytes of anything else are no answer."""
        for other in (b"HTTP/1.1 400", b"\x00" * 8, b"amqp\x02\x01\x00\x00", b"\x16\x03\x01" * 3):
            error, _ = farewell(amqp.connect, other)
            self.assertIs(type(error), PeerMisbehaved)
        self.assertFalse(told(amqp.connect, HEADER[:7]).is_complete)

    def test_c1_nothing_may_follow(self) -> None:
        """C1: bytes behind the server's header end it, be they the header of SASL."""
        for evil in (b"AMQP\x03\x01\x00\x00", b"\0", b"\x16\x03\x01"):
            error, _ = farewell(amqp.connect, HEADER + evil)
            self.assertIsInstance(error, PlaintextInjected)

    def test_s1_nothing_may_follow_the_request(self) -> None:
        """S1: bytes behind the client's header end it, and nothing is said."""
        for evil in (b"AMQP\x03\x01\x00\x00", b"\0", b"\x16\x03\x01"):
            error, said = farewell(amqp.serve, HEADER + evil)
            self.assertIsInstance(error, PlaintextInjected)
            self.assertEqual(said, b"")

    def test_s20_no_other_protocol_before_tls(self) -> None:
        """S20: a client that wants to go on in the clear is shown the header it needs."""
        for other in (b"AMQP\x03\x01\x00\x00", b"AMQP\x00\x00\x09\x01", b"GET / HT", HEADER[::-1]):
            error, said = farewell(amqp.serve, other)
            self.assertIs(type(error), PeerMisbehaved)
            self.assertEqual(said, HEADER)
