"""The dialogue of Network UPS Tools: ``STARTTLS``, and servers without TLS."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.starttls.in_memory import after_receiving, failure_after, negotiate
from txtransport.errors import (
    NegotiationError,
    PeerLeft,
    PeerMisbehaved,
    PlaintextInjected,
    TLSNotOffered,
    TLSRefused,
)
from txtransport.starttls import nut
from txtransport.starttls.negotiation import Negotiation
from txtransport.starttls.wire import COMMANDS


class ClientTests(SynchronousTestCase):
    """The client, given what a server may send."""

    def fails(self, kind: type[NegotiationError], received: bytes) -> NegotiationError:
        """The error of a client that receives this, which has to be of this kind."""
        error, _ = failure_after(nut.connect, received)
        self.assertIs(type(error), kind, error)
        return error

    def test_the_dialogue_follows_the_specification(self) -> None:
        """Both sides send what RFC 9271 specifies; the applications receive nothing."""
        result = negotiate(nut.connect, nut.serve)
        self.assertEqual(result.by_client, [b"STARTTLS\n"])
        self.assertEqual(result.by_server, [b"OK STARTTLS\n"])
        self.assertEqual((result.client.outcome, result.server.outcome), (b"", b""))

    def test_tls_not_offered_ends_the_dialogue(self) -> None:
        """A server that was built without TLS, or is older, does not offer TLS."""
        for received in (b"ERR FEATURE-NOT-SUPPORTED\n", b"ERR UNKNOWN-COMMAND\r\n"):
            self.fails(TLSNotOffered, received)

    def test_a_refusal_of_tls_is_reported(self) -> None:
        """Every other error is a refusal, reported with its name."""
        for code in ("FEATURE-NOT-CONFIGURED", "ALREADY-SSL-MODE", "ACCESS-DENIED"):
            for end in ("\n", " with more to say\n"):
                error = self.fails(TLSRefused, f"ERR {code}{end}".encode())
                self.assertIn(f"({code}): b'ERR {code}", str(error))
        self.fails(TLSRefused, b"ERR\n")

    def test_only_the_go_ahead_leads_to_tls(self) -> None:
        """Only the exact words lead to TLS."""
        for received in (
            b"OK\n",
            b"OK STARTTLS now\n",
            b"OK  STARTTLS\n",
            b"ok starttls\n",
            b"OK STARTTLS\r\r\n",
            b" OK STARTTLS\n",
            b"ERROR\n",
            b"\n",
            b"220 mail.example.com ESMTP\r\n",
        ):
            self.fails(PeerMisbehaved, received)

    def test_bytes_after_the_go_ahead_are_an_attack(self) -> None:
        """Bytes after the go-ahead end the dialogue."""
        for evil in (b"OK\n", b"\n", b"x", b"\x16\x03\x01"):
            self.fails(PlaintextInjected, b"OK STARTTLS\n" + evil)

    def test_hostile_text_is_escaped_and_cut(self) -> None:
        """A server's text is escaped and cut in messages."""
        error = self.fails(TLSRefused, b"ERR \x1b[31m\xff" + b"x" * 8000 + b"\n")
        self.assertTrue(str(error).isprintable())
        self.assertLess(len(str(error)), 400)


class ServerTests(SynchronousTestCase):
    """The server, given what a client may send."""

    def test_bytes_after_the_request_are_an_attack(self) -> None:
        """Commands pipelined after the request end the dialogue, without a go-ahead."""
        for evil in (b"USERNAME evil\n", b"x", b"\x16\x03\x01"):
            error, sent = failure_after(nut.serve, b"STARTTLS\n" + evil)
            self.assertIsInstance(error, PlaintextInjected)
            self.assertEqual(sent, b"")

    def test_every_spelling_of_the_request_is_understood(self) -> None:
        """The request may be in lower case and end with CR LF, and takes no parameters."""
        for request in (b"STARTTLS\n", b"starttls\r\n", b" StartTLS \n"):
            self.assertTrue(after_receiving(nut.serve, request).is_complete)
        server = after_receiving(nut.serve, b"STARTTLS now\n")
        self.assertEqual(
            (server.is_complete, server.data_to_send()), (False, b"ERR INVALID-ARGUMENT\n")
        )
        self.assertEqual(after_receiving(nut.serve, b"STARTTLS\r").data_to_send(), b"")

    def test_nothing_else_is_served_before_tls(self) -> None:
        """Credentials and all other commands are rejected, and not evaluated."""
        for command in (b"USERNAME a", b"PASSWORD secret", b"LIST UPS", b"VER", b"", b"\xff"):
            server = after_receiving(nut.serve, command + b"\n")
            self.assertEqual(server.data_to_send(), b"ERR ACCESS-DENIED\n")
            server.receive_data(b"STARTTLS\n")
            self.assertEqual((server.is_complete, server.data_to_send()), (True, b"OK STARTTLS\n"))

    def test_a_client_may_quit(self) -> None:
        """LOGOUT is answered, and reported as PeerLeft."""
        error, sent = failure_after(nut.serve, b"LOGOUT\n")
        self.assertIsInstance(error, PeerLeft)
        self.assertEqual(sent, b"OK Goodbye\n")

    def test_a_client_that_never_starts_tls_is_cut_off(self) -> None:
        """After so many commands the server gives up."""
        server = Negotiation(nut.serve)
        for _ in range(COMMANDS - 1):
            server.receive_data(b"VER\n")
        self.assertRaises(PeerMisbehaved, server.receive_data, b"VER\n")
