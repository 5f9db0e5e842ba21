"""The POP3 dialogue: ``STLS``."""

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
from txtransport.starttls import pop3
from txtransport.starttls.protocols import STARTTLS_PROTOCOLS
from txtransport.starttls.wire import COMMANDS

GREETING: Final = b"+OK hi\r\n"
OFFER: Final = b"+OK\r\nTOP\r\nSTLS\r\nSASL PLAIN\r\n.\r\n"


class POP3Tests(SynchronousTestCase):
    """The client and the server."""

    def test_the_dialogue_follows_the_specification(self) -> None:
        """A client and a server send what RFC 2595 specifies."""
        result = negotiate(pop3.connect, pop3.serve)
        self.assertEqual(
            result.by_server,
            [b"+OK ready\r\n", b"+OK\r\nSTLS\r\n.\r\n", b"+OK Begin TLS negotiation\r\n"],
        )
        self.assertEqual(result.by_client, [b"CAPA\r\n", b"STLS\r\n"])

    def test_the_client_s_application_receives_our_greeting(self) -> None:
        """The application of a client receives a greeting; a server's receives nothing."""
        result = negotiate(pop3.connect, pop3.serve)
        self.assertEqual(result.client.outcome, b"+OK ready\r\n")
        self.assertEqual(result.server.outcome, b"")

    def test_the_greeting_has_no_apop_challenge(self) -> None:
        """A time stamp in the plaintext greeting is not passed on: APOP's digest would use it."""
        client = after_receiving(
            pop3.connect, b"+OK ready <1896.6971@evil>\r\n", OFFER, b"+OK <x@evil>\r\n"
        )
        self.assertEqual(client.outcome, b"+OK ready\r\n")

    def test_the_table_has_its_ports_and_options(self) -> None:
        """The table has its ports, and that a client may continue in plaintext."""
        row = STARTTLS_PROTOCOLS["pop3"]
        self.assertEqual((row.connect, row.serve), (pop3.connect, pop3.serve))
        self.assertEqual((row.port, row.tls_port, row.verifies), (110, 995, "host"))
        self.assertTrue(row.is_transparent and row.may_continue)
        self.assertIsNone(row.offer_timeout)

    def test_the_end_of_a_greeting_is_found(self) -> None:
        """The application of a server greets in one line, which is not sent again."""
        end = STARTTLS_PROTOCOLS["pop3"].greeting
        assert end is not None
        self.assertEqual(end(b"+OK hi\r\n+OK more\r\n"), 8)
        self.assertEqual(end(b"+OK hi\r"), 0)


class POP3ClientTests(SynchronousTestCase):
    """The client, given what a server may send."""

    def test_stls_is_a_line_of_the_list(self) -> None:
        """STLS is looked for line by line, in any case, after dot-stuffing is undone."""
        for offer in (
            OFFER,
            b"+OK x\r\nstls\r\n.\r\n",
            b"+OK\r\n.STLS\r\n.\r\n",
            b"+OK\r\nSTLS x\r\n.\r\n",
        ):
            client = after_receiving(pop3.connect, GREETING, offer)
            self.assertEqual(client.data_to_send(), b"CAPA\r\nSTLS\r\n")

    def test_tls_not_offered_ends_the_dialogue(self) -> None:
        """If the list has no STLS, the client does not send it."""
        for offer in (
            b"+OK\r\n.\r\n",
            b"+OK STLS\r\n.\r\n",
            b"+OK\r\nXSTLS\r\nSTLSX\r\nSASL STLS\r\n..STLS\r\n.\r\n",
        ):
            client = after_receiving(pop3.connect, GREETING)
            client.data_to_send()
            self.assertRaises(TLSNotOffered, client.receive_data, offer)
            self.assertEqual(client.data_to_send(), b"")

    def test_a_server_without_capa_is_asked_for_tls(self) -> None:
        """A server without CAPA is sent STLS all the same; its refusal means "not offered"."""
        client = after_receiving(pop3.connect, GREETING, b"-ERR what?\r\n")
        self.assertEqual(client.data_to_send(), b"CAPA\r\nSTLS\r\n")
        client.receive_data(b"+OK go\r\n")
        self.assertTrue(client.is_complete)
        error = self.assertRaises(
            TLSNotOffered,
            after_receiving,
            pop3.connect,
            GREETING,
            b"-ERR what?\r\n",
            b"-ERR again?\r\n",
        )
        self.assertEqual(error.reply, b"-ERR again?")

    def test_a_refusal_of_tls_is_reported(self) -> None:
        """A server that lists STLS and answers -ERR has refused TLS."""
        for answer, text in ((b"-ERR not now\r\n", b"not now"), (b"-ERR\r\n", b"")):
            error = self.assertRaises(
                TLSRefused, after_receiving, pop3.connect, GREETING, OFFER, answer
            )
            self.assertEqual((error.code, error.text), ("-ERR", text))

    def test_the_greeting_is_known_after_a_refusal(self) -> None:
        """After a refusal there is still a greeting for a client that continues in plaintext."""
        client = after_receiving(pop3.connect, GREETING, OFFER)
        self.assertRaises(TLSRefused, client.receive_data, b"-ERR not now\r\n")
        self.assertEqual(client.wire.greeting, b"+OK ready\r\n")

    def test_only_the_go_ahead_leads_to_tls(self) -> None:
        """An answer that is neither +OK nor -ERR, as a whole word, breaks the protocol."""
        for received in (
            b"+OKAY",
            b"+ok",
            b"OK go",
            b"+ ",
            b"220 go",
            b"",
            b" +OK",
            b"+OK\tgo",
            b"-ERROR",
        ):
            self.assertRaises(
                PeerMisbehaved, after_receiving, pop3.connect, GREETING, OFFER, received + b"\r\n"
            )
            self.assertRaises(
                PeerMisbehaved, after_receiving, pop3.connect, GREETING, received + b"\r\n"
            )
            self.assertRaises(PeerMisbehaved, after_receiving, pop3.connect, received + b"\r\n")

    def test_a_server_may_refuse_the_connection(self) -> None:
        """A negative greeting is reported as PeerLeft, and nothing is sent."""
        client = after_receiving(pop3.connect)
        error = self.assertRaises(PeerLeft, client.receive_data, b"-ERR [SYS/TEMP] busy\r\n")
        self.assertEqual(error.received, b"-ERR [SYS/TEMP] busy")
        self.assertEqual(client.data_to_send(), b"")

    def test_an_answer_before_its_question_is_refused(self) -> None:
        """What arrives with a greeting or a list is not the answer to a later command."""
        self.assertRaises(PeerMisbehaved, after_receiving, pop3.connect, GREETING + OFFER)
        self.assertRaises(
            PeerMisbehaved, after_receiving, pop3.connect, GREETING, OFFER + b"+OK go\r\n"
        )
        self.assertRaises(
            PeerMisbehaved, after_receiving, pop3.connect, GREETING, b"-ERR\r\n+OK go\r\n"
        )

    def test_bytes_after_the_go_ahead_are_an_attack(self) -> None:
        """Bytes that arrive with the go-ahead are an attack, even half a line."""
        for evil in (b"+OK\r\nPLAIN\r\nLOGIN\r\n.\r\n", b"\xb9\xb3\xb1\xb2\xb3"):
            client = after_receiving(pop3.connect, GREETING, OFFER)
            error = self.assertRaises(PlaintextInjected, client.receive_data, b"+OK go\r\n" + evil)
            self.assertEqual(error.received, evil)
            self.assertEqual(client.outcome, b"")

    def test_hostile_text_is_escaped_and_cut(self) -> None:
        """A server's text is escaped and cut in messages."""
        hostile = b"-ERR \x1b[2J\x00" + b"x" * 8000 + b"\r\n"
        error = self.assertRaises(
            TLSRefused, after_receiving, pop3.connect, GREETING, OFFER, hostile
        )
        self.assertTrue(str(error).isprintable())
        self.assertLess(len(str(error)), 400)


class POP3ServerTests(SynchronousTestCase):
    """The server, given what a client may send."""

    def test_every_other_command_demands_tls(self) -> None:
        """Before TLS the server offers TLS, and nothing else."""
        required = b"-ERR [SYS/PERM] TLS required\r\n"
        rows = {
            b"CAPA\r\n": b"+OK\r\nSTLS\r\n.\r\n",
            b"capa\n": b"+OK\r\nSTLS\r\n.\r\n",
            b"STLS now\r\n": b"-ERR STLS takes no arguments\r\n",
            b"STLS\r\r\n": required,
            b"USER joe\r\n": required,
            b"APOP joe c4c9334bac560ecc979e58001b3e22fb\r\n": required,
            b"\r\n": required,
        }
        for received, answer in rows.items():
            server = after_receiving(pop3.serve, received)
            self.assertFalse(server.is_complete)
            self.assertEqual(server.data_to_send(), b"+OK ready\r\n" + answer)

    def test_every_spelling_of_the_request_is_understood(self) -> None:
        """STLS is understood in any case, and with a bare LF."""
        for received in (b"STLS\r\n", b"stls\n", b"Stls \r\n"):
            self.assertTrue(after_receiving(pop3.serve, received).is_complete)

    def test_bytes_after_the_request_are_an_attack(self) -> None:
        """Commands pipelined after STLS end the dialogue, without a go-ahead."""
        for evil in (b"CAPA\r\n", b"X", b"\x16\x03\x01"):
            error, sent = failure_after(pop3.serve, b"STLS\r\n" + evil)
            self.assertIsInstance(error, PlaintextInjected)
            self.assertEqual(sent, b"")

    def test_passwords_in_plaintext_are_not_evaluated(self) -> None:
        """Credentials in plaintext are rejected unread, and appear in no message."""
        error, sent = failure_after(pop3.serve, *[b"PASS hunter2\r\n"] * COMMANDS)
        self.assertNotIn("hunter2", str(error))
        self.assertEqual(sent.count(b"TLS required"), COMMANDS)

    def test_a_client_may_quit(self) -> None:
        """QUIT is answered, and reported as PeerLeft."""
        error, sent = failure_after(pop3.serve, b"QUIT\r\n")
        self.assertIsInstance(error, PeerLeft)
        self.assertEqual(sent, b"+OK ready\r\n+OK\r\n")

    def test_a_client_that_never_starts_tls_is_cut_off(self) -> None:
        """After so many commands the server gives up; the last of them may still start TLS."""
        error, sent = failure_after(pop3.serve, *[b"CAPA\r\n"] * COMMANDS)
        self.assertIsInstance(error, PeerMisbehaved)
        self.assertTrue(sent.endswith(b".\r\n-ERR [SYS/PERM] Too many commands before STLS\r\n"))
        self.assertTrue(
            after_receiving(pop3.serve, *[b"CAPA\r\n"] * (COMMANDS - 1), b"STLS\r\n").is_complete
        )
