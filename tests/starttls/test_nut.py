"""Network UPS Tools: a line each way, and what servers without TLS say."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.starttls.talk import farewell, talk, told
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
    """What a client makes of a server's words."""

    def fails(self, kind: type[NegotiationError], said: bytes) -> NegotiationError:
        """How a client fails that hears this."""
        error, _ = farewell(nut.connect, said)
        self.assertIs(type(error), kind, error)
        return error

    def test_the_transcript(self) -> None:
        """A client and a server say what RFC 9271 has them say, and the guests hear nothing."""
        result = talk(nut.connect, nut.serve)
        self.assertEqual(result.by_client, [b"STARTTLS\n"])
        self.assertEqual(result.by_server, [b"OK STARTTLS\n"])
        self.assertEqual((result.client.outcome, result.server.outcome), (b"", b""))

    def test_c14_not_offered(self) -> None:
        """C14: a server that was built without TLS, or is older, does not offer it."""
        for said in (b"ERR FEATURE-NOT-SUPPORTED\n", b"ERR UNKNOWN-COMMAND\r\n"):
            self.fails(TLSNotOffered, said)

    def test_c15_refused(self) -> None:
        """C15: every other error is a refusal, and is told by its name."""
        for code in ("FEATURE-NOT-CONFIGURED", "ALREADY-SSL-MODE", "ACCESS-DENIED"):
            for end in ("\n", " with more to say\n"):
                error = self.fails(TLSRefused, f"ERR {code}{end}".encode())
                self.assertIn(f"({code}): b'ERR {code}", str(error))
        self.fails(TLSRefused, b"ERR\n")

    def test_c16_what_is_no_answer(self) -> None:
        """C16: only the right words lead to TLS."""
        for said in (
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
            self.fails(PeerMisbehaved, said)

    def test_c1_nothing_may_follow(self) -> None:
        """C1: bytes behind the go-ahead end it."""
        for evil in (b"OK\n", b"\n", b"x", b"\x16\x03\x01"):
            self.fails(PlaintextInjected, b"OK STARTTLS\n" + evil)

    def test_c21_texts_of_strangers(self) -> None:
        """C21: what a server says is shown escaped, and in part."""
        error = self.fails(TLSRefused, b"ERR \x1b[31m\xff" + b"x" * 8000 + b"\n")
        self.assertTrue(str(error).isprintable())
        self.assertLess(len(str(error)), 400)


class ServerTests(SynchronousTestCase):
    """What a server makes of a client's words."""

    def test_s7_nothing_may_follow_the_request(self) -> None:
        """S7: commands behind the request end it, and nothing is said."""
        for evil in (b"USERNAME evil\n", b"x", b"\x16\x03\x01"):
            error, said = farewell(nut.serve, b"STARTTLS\n" + evil)
            self.assertIsInstance(error, PlaintextInjected)
            self.assertEqual(said, b"")

    def test_s19_spellings(self) -> None:
        """S19: the request may be small and end with CRLF, and takes no parameters."""
        for request in (b"STARTTLS\n", b"starttls\r\n", b" StartTLS \n"):
            self.assertTrue(told(nut.serve, request).is_complete)
        server = told(nut.serve, b"STARTTLS now\n")
        self.assertEqual(
            (server.is_complete, server.data_to_send()), (False, b"ERR INVALID-ARGUMENT\n")
        )
        self.assertEqual(told(nut.serve, b"STARTTLS\r").data_to_send(), b"")

    def test_s20_nothing_else_before_tls(self) -> None:
        """S20: credentials are not looked at, nor is any other command."""
        for command in (b"USERNAME a", b"PASSWORD secret", b"LIST UPS", b"VER", b"", b"\xff"):
            server = told(nut.serve, command + b"\n")
            self.assertEqual(server.data_to_send(), b"ERR ACCESS-DENIED\n")
            server.receive_data(b"STARTTLS\n")
            self.assertEqual((server.is_complete, server.data_to_send()), (True, b"OK STARTTLS\n"))

    def test_a_client_that_leaves(self) -> None:
        """A client may take its leave."""
        error, said = farewell(nut.serve, b"LOGOUT\n")
        self.assertIsInstance(error, PeerLeft)
        self.assertEqual(said, b"OK Goodbye\n")

    def test_s25_a_flood_of_commands(self) -> None:
        """S25: a client may send so many commands in vain, and then has to leave."""
        server = Negotiation(nut.serve)
        for _ in range(COMMANDS - 1):
            server.receive_data(b"VER\n")
        self.assertRaises(PeerMisbehaved, server.receive_data, b"VER\n")
