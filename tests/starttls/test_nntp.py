"""The NNTP dialogue: ``STARTTLS``."""

from __future__ import annotations

from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from tests.starttls.in_memory import after_receiving, failure_after, negotiate
from txtransport.errors import (
    PeerLeft,
    PeerMisbehaved,
    PlaintextInjected,
    TLSNotOffered,
    TLSRefused,
)
from txtransport.starttls import nntp
from txtransport.starttls.protocols import STARTTLS_PROTOCOLS
from txtransport.starttls.wire import COMMANDS

GREETING: Final = b"200 hi\r\n"
OFFER: Final = b"101 list\r\nVERSION 2\r\nREADER\r\nSTARTTLS\r\n.\r\n"


class NNTPTests(SynchronousTestCase):
    """The client and the server."""

    def test_the_dialogue_follows_the_specification(self) -> None:
        """A client and a server send what RFC 4642 specifies."""
        result = negotiate(nntp.connect, nntp.serve)
        self.assertEqual(
            result.by_server,
            [
                b"200 ready\r\n",
                b"101 capabilities\r\nVERSION 2\r\nSTARTTLS\r\n.\r\n",
                b"382 Begin TLS negotiation\r\n",
            ],
        )
        self.assertEqual(result.by_client, [b"CAPABILITIES\r\n", b"STARTTLS\r\n"])

    def test_the_client_s_application_receives_our_greeting(self) -> None:
        """The client's application receives whether it may post; the server's receives nothing."""
        for greeting, outcome in (
            (b"200 hi <script>\r\n", b"200 ready\r\n"),
            (b"201 hi\r\n", b"201 ready\r\n"),
        ):
            client = after_receiving(nntp.connect, greeting, OFFER, b"382 go\r\n")
            self.assertEqual(client.outcome, outcome)
        self.assertEqual(negotiate(nntp.connect, nntp.serve).server.outcome, b"")

    def test_the_table_has_its_ports_and_options(self) -> None:
        """The table has its ports, and that a client may continue in plaintext."""
        row = STARTTLS_PROTOCOLS["nntp"]
        self.assertEqual((row.connect, row.serve), (nntp.connect, nntp.serve))
        self.assertEqual((row.port, row.tls_port, row.verifies), (119, 563, "host"))
        self.assertTrue(row.is_transparent and row.may_continue)
        assert row.greeting is not None
        self.assertEqual(row.greeting(b"200 hi\r\n101 x\r\n"), 8)
        self.assertEqual(row.greeting(b"200 hi"), 0)


class NNTPClientTests(SynchronousTestCase):
    """The client, given what a server may send."""

    def test_tls_not_offered_ends_the_dialogue(self) -> None:
        """If the list has no STARTTLS, the client does not send it."""
        for offer in (
            b"101 STARTTLS\r\n.\r\n",
            b"101 list\r\nVERSION 2\r\nXSTARTTLS\r\nSTARTTLSX\r\nSASL STARTTLS\r\n.\r\n",
        ):
            client = after_receiving(nntp.connect, GREETING)
            client.data_to_send()
            self.assertRaises(TLSNotOffered, client.receive_data, offer)
            self.assertEqual(client.data_to_send(), b"")

    def test_a_server_without_capabilities_has_no_tls(self) -> None:
        """A server without CAPABILITIES is not asked for TLS."""
        for code in (b"480", b"500", b"502"):
            client = after_receiving(nntp.connect, GREETING)
            client.data_to_send()
            error = self.assertRaises(TLSNotOffered, client.receive_data, code + b" what?\r\n")
            self.assertEqual(error.reply, code + b" what?")
            self.assertEqual(client.data_to_send(), b"")

    def test_a_refusal_of_tls_is_reported(self) -> None:
        """A refusal is reported with its code and text."""
        for code in (b"502", b"580", b"500", b"483", b"400"):
            error = self.assertRaises(
                TLSRefused, after_receiving, nntp.connect, GREETING, OFFER, code + b" no\r\n"
            )
            self.assertEqual((error.code, error.text), (code.decode(), b"no"))

    def test_the_greeting_is_known_after_a_refusal(self) -> None:
        """After a refusal there is still a greeting for a client that continues in plaintext."""
        client = after_receiving(nntp.connect, b"201 hi\r\n", OFFER)
        self.assertRaises(TLSRefused, client.receive_data, b"580 not now\r\n")
        self.assertEqual(client.wire.greeting, b"201 ready\r\n")

    def test_only_the_go_ahead_leads_to_tls(self) -> None:
        """Only 382 leads to TLS, and only 101 to a list."""
        for received in (b"381 x", b"200 ok", b"3820 x", b"382ok", b"* 382", b"+OK", b""):
            self.assertRaises(
                PeerMisbehaved, after_receiving, nntp.connect, GREETING, OFFER, received + b"\r\n"
            )
            self.assertRaises(
                PeerMisbehaved, after_receiving, nntp.connect, GREETING, received + b"\r\n"
            )

    def test_a_server_may_refuse_the_connection(self) -> None:
        """A negative greeting is reported as PeerLeft, and nothing is sent."""
        for greeting in (b"400 busy", b"502 not you"):
            client = after_receiving(nntp.connect)
            error = self.assertRaises(PeerLeft, client.receive_data, greeting + b"\r\n")
            self.assertEqual(error.received, greeting)
            self.assertEqual(client.data_to_send(), b"")
        for other in (b"220 hi\r\n", b"+OK hi\r\n", b"202 hi\r\n"):
            self.assertRaises(PeerMisbehaved, after_receiving, nntp.connect, other)

    def test_an_answer_before_its_question_is_refused(self) -> None:
        """What arrives with a greeting or a list is not the answer to a later command."""
        self.assertRaises(PeerMisbehaved, after_receiving, nntp.connect, GREETING + OFFER)
        self.assertRaises(
            PeerMisbehaved, after_receiving, nntp.connect, GREETING, OFFER + b"382 go\r\n"
        )

    def test_bytes_after_the_go_ahead_are_an_attack(self) -> None:
        """Bytes that arrive with the go-ahead are an attack."""
        client = after_receiving(nntp.connect, GREETING, OFFER)
        error = self.assertRaises(PlaintextInjected, client.receive_data, b"382 go\r\n101 evil\r\n")
        self.assertEqual(error.received, b"101 evil\r\n")
        self.assertEqual(client.outcome, b"")


class NNTPServerTests(SynchronousTestCase):
    """The server, given what a client may send."""

    def test_every_other_command_demands_tls(self) -> None:
        """Before TLS the server offers TLS, and nothing else."""
        required = b"483 Encryption required\r\n"
        rows = {
            b"capabilities\n": b"101 capabilities\r\nVERSION 2\r\nSTARTTLS\r\n.\r\n",
            b"STARTTLS now\r\n": b"501 STARTTLS takes no arguments\r\n",
            b"STARTTLS\r\r\n": required,
            b"MODE READER\r\n": required,
            b"AUTHINFO USER joe\r\n": required,
            b"\r\n": required,
        }
        for received, answer in rows.items():
            server = after_receiving(nntp.serve, received)
            self.assertFalse(server.is_complete)
            self.assertEqual(server.data_to_send(), b"200 ready\r\n" + answer)

    def test_every_spelling_of_the_request_is_understood(self) -> None:
        """STARTTLS is understood in any case, and with a bare LF."""
        for received in (b"STARTTLS\r\n", b"starttls\n"):
            self.assertTrue(after_receiving(nntp.serve, received).is_complete)

    def test_bytes_after_the_request_are_an_attack(self) -> None:
        """Commands pipelined after STARTTLS end the dialogue, without a go-ahead."""
        for evil in (b"CAPABILITIES\r\n", b"X", b"\x16\x03\x01"):
            error, sent = failure_after(nntp.serve, b"STARTTLS\r\n" + evil)
            self.assertIsInstance(error, PlaintextInjected)
            self.assertEqual(sent, b"")

    def test_passwords_in_plaintext_are_not_evaluated(self) -> None:
        """Credentials in plaintext are rejected unread, and appear in no message."""
        error, sent = failure_after(nntp.serve, *[b"AUTHINFO PASS hunter2\r\n"] * COMMANDS)
        self.assertNotIn("hunter2", str(error))
        self.assertEqual(sent.count(b"483 Encryption required"), COMMANDS)

    def test_a_client_may_quit(self) -> None:
        """QUIT is answered, and reported as PeerLeft."""
        error, sent = failure_after(nntp.serve, b"QUIT\r\n")
        self.assertIsInstance(error, PeerLeft)
        self.assertEqual(sent, b"200 ready\r\n205 Bye\r\n")

    def test_a_client_that_never_starts_tls_is_cut_off(self) -> None:
        """After so many commands the server gives up; the last of them may still start TLS."""
        error, sent = failure_after(nntp.serve, *[b"HELP\r\n"] * COMMANDS)
        self.assertIsInstance(error, PeerMisbehaved)
        self.assertTrue(
            sent.endswith(b"483 Encryption required\r\n400 Too many commands before STARTTLS\r\n")
        )
        self.assertTrue(
            after_receiving(
                nntp.serve, *[b"HELP\r\n"] * (COMMANDS - 1), b"STARTTLS\r\n"
            ).is_complete
        )
