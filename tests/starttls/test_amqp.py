"""The AMQP 1.0 dialogue: a header each way, and the headers that refuse TLS."""

from __future__ import annotations

from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from tests.starttls.in_memory import after_receiving, failure_after, negotiate
from txtransport.errors import PeerMisbehaved, PlaintextInjected, TLSRefused
from txtransport.starttls import amqp

HEADER: Final = bytes.fromhex("414d515002010000")


class AMQPTests(SynchronousTestCase):
    """The client and the server."""

    def test_the_dialogue_follows_the_specification(self) -> None:
        """Both sides send the TLS header; the applications receive nothing."""
        result = negotiate(amqp.connect, amqp.serve)
        self.assertEqual((result.by_client, result.by_server), ([HEADER], [HEADER]))
        self.assertEqual((result.client.outcome, result.server.outcome), (b"", b""))

    def test_a_refusal_of_tls_is_reported(self) -> None:
        """A server that prefers another protocol refuses TLS, and the error names this protocol."""
        for header, wish in (
            (b"AMQP\x00\x01\x00\x00", "protocol 0, version 1.0.0"),
            (b"AMQP\x03\x01\x00\x00", "protocol 3, version 1.0.0"),
            (b"AMQP\x02\x01\x00\x01", "protocol 2, version 1.0.1"),
            # RabbitMQ and its kind.
            (b"AMQP\x00\x00\x09\x01", "protocol 0, version 0.9.1"),
            (b"AMQP\x01\x01\x00\x0a", "protocol 1, version 1.0.10"),
        ):
            error, sent = failure_after(amqp.connect, header)
            self.assertIs(type(error), TLSRefused)
            self.assertIn(f"({wish})", str(error))
            self.assertEqual(sent, HEADER)

    def test_only_the_go_ahead_leads_to_tls(self) -> None:
        """Eight bytes of anything else are not an answer."""
        for other in (b"HTTP/1.1 400", b"\x00" * 8, b"amqp\x02\x01\x00\x00", b"\x16\x03\x01" * 3):
            error, _ = failure_after(amqp.connect, other)
            self.assertIs(type(error), PeerMisbehaved)
        self.assertFalse(after_receiving(amqp.connect, HEADER[:7]).is_complete)

    def test_bytes_after_the_go_ahead_are_an_attack(self) -> None:
        """Bytes after the server's header end the dialogue, even a SASL header."""
        for evil in (b"AMQP\x03\x01\x00\x00", b"\0", b"\x16\x03\x01"):
            error, _ = failure_after(amqp.connect, HEADER + evil)
            self.assertIsInstance(error, PlaintextInjected)

    def test_bytes_after_the_request_are_an_attack(self) -> None:
        """Bytes after the client's header end the dialogue, and no go-ahead is sent."""
        for evil in (b"AMQP\x03\x01\x00\x00", b"\0", b"\x16\x03\x01"):
            error, sent = failure_after(amqp.serve, HEADER + evil)
            self.assertIsInstance(error, PlaintextInjected)
            self.assertEqual(sent, b"")

    def test_nothing_else_is_served_before_tls(self) -> None:
        """A client that asks for a protocol without TLS is sent the header that it needs."""
        for other in (b"AMQP\x03\x01\x00\x00", b"AMQP\x00\x00\x09\x01", b"GET / HT", HEADER[::-1]):
            error, sent = failure_after(amqp.serve, other)
            self.assertIs(type(error), PeerMisbehaved)
            self.assertEqual(sent, HEADER)
