"""PostgreSQL's way to TLS, with the bytes of its documentation."""

from __future__ import annotations

from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from tests.starttls.talk import bytewise, talk, told
from txtransport.errors import PeerLeft, PeerMisbehaved, PlaintextInjected, TLSRefused
from txtransport.starttls import postgres

SSL: Final = bytes.fromhex("00000008 04d2162f")
GSS: Final = bytes.fromhex("00000008 04d21630")
CANCEL: Final = bytes.fromhex("00000010 04d2162e 00000001 00000002")
STARTUP: Final = bytes.fromhex("00000014 00030000") + b"user\0alice\0\0"
HELLO: Final = bytes.fromhex("16030100050100000100")
AUTHENTICATED: Final = bytes.fromhex("52 00000008 00000000")


class PostgresTests(SynchronousTestCase):
    """Both sides."""

    def test_the_transcript(self) -> None:
        """A client and a server say what the documentation has them say."""
        result = talk(postgres.connect, postgres.serve)
        self.assertEqual(result.by_client, [SSL])
        self.assertEqual(result.by_server, [b"S"])

    def test_the_guests_hear_nothing(self) -> None:
        """Both guests begin where they begin without TLS."""
        result = talk(postgres.connect, postgres.serve)
        self.assertEqual((result.client.outcome, result.server.outcome), (b"", b""))


class PostgresClientTests(SynchronousTestCase):
    """The client's side, told what a server might say."""

    def test_c15_refusal(self) -> None:
        """A server without TLS says N."""
        error = self.assertRaises(TLSRefused, told, postgres.connect, b"N")
        self.assertEqual(error.code, "N")

    def test_an_error_in_place_of_an_answer(self) -> None:
        """Nothing of it is shown, since anyone may have sent it (CVE-2024-10977)."""
        client = told(postgres.connect)
        error = self.assertRaises(
            PeerLeft, client.receive_data, b"E\0\0\0\x20SERROR\0Cevil\0Mcall 555-0100\0\0"
        )
        self.assertNotIn("evil", str(error))

    def test_c16_what_is_no_answer(self) -> None:
        """Any other byte is no answer, GSSAPI's yes among them."""
        for byte in (b"G", b"s", b"n", b"\0", b"\x16", b"R", b" "):
            client = told(postgres.connect)
            self.assertRaises(PeerMisbehaved, client.receive_data, byte)
            self.assertFalse(client.is_complete)

    def test_c9_nothing_may_follow_the_answer(self) -> None:
        """Clear bytes behind S are an attack (CVE-2021-23222)."""
        for evil in (AUTHENTICATED, b"S", b"\n", HELLO):
            self.assertRaises(PlaintextInjected, told(postgres.connect).receive_data, b"S" + evil)


class PostgresServerTests(SynchronousTestCase):
    """The server's side, told what a client might say."""

    def test_s10_hello_in_the_same_segment(self) -> None:
        """A client need not wait: TLS may begin in the request's segment."""
        server = told(postgres.serve, SSL + HELLO)
        self.assertTrue(server.is_complete)
        self.assertEqual((server.data_to_send(), server.early_client_hello), (b"S", HELLO))

    def test_s10_a_startup_behind_the_request(self) -> None:
        """Anything else in the request's segment ends it, and S is not said (CVE-2021-23214)."""
        server = told(postgres.serve)
        self.assertRaises(PlaintextInjected, server.receive_data, SSL + STARTUP)
        self.assertEqual((server.data_to_send(), server.early_client_hello), (b"", b""))

    def test_direct_tls(self) -> None:
        """Since PostgreSQL 17 a client may leave the request out; nothing is said to it."""
        for segments in ([HELLO], [HELLO[:1]], [HELLO[:2], HELLO[2:]]):
            server = told(postgres.serve, segments[0])
            self.assertTrue(server.is_complete)
            self.assertEqual((server.data_to_send(), server.early_client_hello), (b"", segments[0]))

    def test_what_only_begins_like_tls(self) -> None:
        """A first byte of TLS with something else behind it is not taken for it."""
        self.assertRaises(PlaintextInjected, told, postgres.serve, b"\x16evil")

    def test_gssapi_first(self) -> None:
        """A client may ask for GSSAPI's encryption first, hears N, and asks again."""
        server = told(postgres.serve, *bytewise(GSS))
        self.assertEqual((server.data_to_send(), server.is_complete), (b"N", False))
        server.receive_data(SSL)
        self.assertEqual((server.data_to_send(), server.is_complete), (b"S", True))

    def test_gssapi_for_ever(self) -> None:
        """A client that asks for nothing else is answered so many times and no more."""
        server = told(postgres.serve, GSS, GSS, GSS)
        self.assertEqual(server.data_to_send(), b"NNN")
        self.assertRaises(PeerMisbehaved, server.receive_data, GSS)
        self.assertTrue(server.data_to_send().startswith(b"NE\0\0\0"))

    def test_s20_startup_in_the_clear(self) -> None:
        """A client without TLS hears why, in an error as PostgreSQL writes it."""
        for said in (STARTUP, STARTUP[:8], GSS + STARTUP):
            server = told(postgres.serve)
            error = self.assertRaises(PeerMisbehaved, server.receive_data, said)
            answer = server.data_to_send().removeprefix(b"N")
            self.assertEqual(answer[:1], b"E")
            self.assertEqual(int.from_bytes(answer[1:5], "big"), len(answer) - 1)
            self.assertEqual(
                answer[5:].split(b"\0"),
                [b"SFATAL", b"VFATAL", b"C28000", b"Mconnection requires SSL", b"", b""],
            )
            self.assertNotIn("alice", str(error))

    def test_cancel_requests(self) -> None:
        """A request to cancel in the clear is neither answered nor carried out."""
        server = told(postgres.serve)
        self.assertRaises(PeerLeft, server.receive_data, CANCEL)
        self.assertEqual(server.data_to_send(), b"")
