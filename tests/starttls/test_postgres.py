"""The PostgreSQL dialogue: SSLRequest, with the bytes of the documentation."""

from __future__ import annotations

from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from tests.starttls.in_memory import after_receiving, byte_by_byte, negotiate
from txtransport.errors import PeerLeft, PeerMisbehaved, PlaintextInjected, TLSRefused
from txtransport.starttls import postgres

SSL: Final = bytes.fromhex("00000008 04d2162f")
GSS: Final = bytes.fromhex("00000008 04d21630")
CANCEL: Final = bytes.fromhex("00000010 04d2162e 00000001 00000002")
STARTUP: Final = bytes.fromhex("00000014 00030000") + b"user\0alice\0\0"
HELLO: Final = bytes.fromhex("16030100050100000100")
AUTHENTICATED: Final = bytes.fromhex("52 00000008 00000000")


class PostgresTests(SynchronousTestCase):
    """The client and the server."""

    def test_the_dialogue_follows_the_specification(self) -> None:
        """A client and a server send what the documentation specifies."""
        result = negotiate(postgres.connect, postgres.serve)
        self.assertEqual(result.by_client, [SSL])
        self.assertEqual(result.by_server, [b"S"])

    def test_the_application_receives_nothing(self) -> None:
        """Both applications' protocols begin as they do without TLS."""
        result = negotiate(postgres.connect, postgres.serve)
        self.assertEqual((result.client.outcome, result.server.outcome), (b"", b""))


class PostgresClientTests(SynchronousTestCase):
    """The client, given what a server may send."""

    def test_a_refusal_of_tls_is_reported(self) -> None:
        """A server without TLS answers N."""
        error = self.assertRaises(TLSRefused, after_receiving, postgres.connect, b"N")
        self.assertEqual(error.code, "N")

    def test_the_text_of_an_error_is_not_shown(self) -> None:
        """An error is not shown, since anyone may have sent it (CVE-2024-10977)."""
        client = after_receiving(postgres.connect)
        error = self.assertRaises(
            PeerLeft, client.receive_data, b"E\0\0\0\x20SERROR\0Cevil\0Mcall 555-0100\0\0"
        )
        self.assertNotIn("evil", str(error))

    def test_only_the_go_ahead_leads_to_tls(self) -> None:
        """Any other byte is refused, also G, the go-ahead for GSSAPI."""
        for byte in (b"G", b"s", b"n", b"\0", b"\x16", b"R", b" "):
            client = after_receiving(postgres.connect)
            self.assertRaises(PeerMisbehaved, client.receive_data, byte)
            self.assertFalse(client.is_complete)

    def test_bytes_after_the_go_ahead_are_an_attack(self) -> None:
        """Bytes after S are an attack (CVE-2021-23222)."""
        for evil in (AUTHENTICATED, b"S", b"\n", HELLO):
            self.assertRaises(
                PlaintextInjected, after_receiving(postgres.connect).receive_data, b"S" + evil
            )


class PostgresServerTests(SynchronousTestCase):
    """The server, given what a client may send."""

    def test_an_early_client_hello_goes_to_tls(self) -> None:
        """A client need not wait: its ClientHello may arrive in the request's segment."""
        server = after_receiving(postgres.serve, SSL + HELLO)
        self.assertTrue(server.is_complete)
        self.assertEqual((server.data_to_send(), server.early_client_hello), (b"S", HELLO))

    def test_bytes_after_the_request_are_an_attack(self) -> None:
        """Anything else after the request ends the dialogue, and S is not sent (CVE-2021-23214)."""
        server = after_receiving(postgres.serve)
        self.assertRaises(PlaintextInjected, server.receive_data, SSL + STARTUP)
        self.assertEqual((server.data_to_send(), server.early_client_hello), (b"", b""))

    def test_tls_may_begin_without_a_request(self) -> None:
        """Since PostgreSQL 17 a client may leave the request out; nothing is sent to it."""
        for segments in ([HELLO], [HELLO[:1]], [HELLO[:2], HELLO[2:]]):
            server = after_receiving(postgres.serve, segments[0])
            self.assertTrue(server.is_complete)
            self.assertEqual((server.data_to_send(), server.early_client_hello), (b"", segments[0]))

    def test_only_a_client_hello_may_come_without_a_request(self) -> None:
        """A first byte of TLS with something else after it is refused."""
        self.assertRaises(PlaintextInjected, after_receiving, postgres.serve, b"\x16evil")

    def test_gssapi_encryption_is_declined(self) -> None:
        """A client may ask for GSSAPI encryption first; it is answered N, and asks for TLS."""
        server = after_receiving(postgres.serve, *byte_by_byte(GSS))
        self.assertEqual((server.data_to_send(), server.is_complete), (b"N", False))
        server.receive_data(SSL)
        self.assertEqual((server.data_to_send(), server.is_complete), (b"S", True))

    def test_a_client_that_never_starts_tls_is_cut_off(self) -> None:
        """A client that asks only for GSSAPI encryption is answered so many times and no more."""
        server = after_receiving(postgres.serve, GSS, GSS, GSS)
        self.assertEqual(server.data_to_send(), b"NNN")
        self.assertRaises(PeerMisbehaved, server.receive_data, GSS)
        self.assertTrue(server.data_to_send().startswith(b"NE\0\0\0"))

    def test_a_client_without_tls_is_told_why(self) -> None:
        """A plaintext startup is answered with an error in PostgreSQL's format."""
        for received in (STARTUP, STARTUP[:8], GSS + STARTUP):
            server = after_receiving(postgres.serve)
            error = self.assertRaises(PeerMisbehaved, server.receive_data, received)
            answer = server.data_to_send().removeprefix(b"N")
            self.assertEqual(answer[:1], b"E")
            self.assertEqual(int.from_bytes(answer[1:5], "big"), len(answer) - 1)
            self.assertEqual(
                answer[5:].split(b"\0"),
                [b"SFATAL", b"VFATAL", b"C28000", b"Mconnection requires SSL", b"", b""],
            )
            self.assertNotIn("alice", str(error))

    def test_a_cancel_request_in_plaintext_is_ignored(self) -> None:
        """A plaintext request to cancel is neither answered nor carried out."""
        server = after_receiving(postgres.serve)
        self.assertRaises(PeerLeft, server.receive_data, CANCEL)
        self.assertEqual(server.data_to_send(), b"")
