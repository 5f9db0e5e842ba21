"""The FTP dialogue: ``AUTH TLS``."""

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
from txtransport.starttls import ftp
from txtransport.starttls.negotiation import Negotiation
from txtransport.starttls.protocols import STARTTLS_PROTOCOLS
from txtransport.starttls.wire import COMMANDS

GREETING: Final = b"220 hi\r\n"


class FTPTests(SynchronousTestCase):
    """The client and the server."""

    def test_the_dialogue_follows_the_specification(self) -> None:
        """A client and a server send what RFC 4217 specifies."""
        result = negotiate(ftp.connect, ftp.serve)
        self.assertEqual(
            result.by_server, [b"220 server.example FTP\r\n", b"234 Begin TLS negotiation\r\n"]
        )
        self.assertEqual(result.by_client, [b"AUTH TLS\r\n"])

    def test_the_client_s_application_receives_our_greeting(self) -> None:
        """The application of a client receives a greeting; a server's receives nothing."""
        result = negotiate(ftp.connect, ftp.serve)
        self.assertEqual(result.client.outcome, b"220 ready\r\n")
        self.assertEqual(result.server.outcome, b"")

    def test_the_table_has_its_ports_and_options(self) -> None:
        """The table has its ports, and that a client may continue in plaintext."""
        row = STARTTLS_PROTOCOLS["ftp"]
        self.assertEqual((row.connect, row.serve), (ftp.connect, ftp.serve))
        self.assertEqual((row.port, row.tls_port, row.verifies), (21, 990, "host"))
        self.assertTrue(row.is_transparent and row.may_continue)

    def test_the_end_of_a_greeting_is_found(self) -> None:
        """FTP's greeting ends with its code and a space, whatever the lines before it hold."""
        end = STARTTLS_PROTOCOLS["ftp"].greeting
        assert end is not None
        greeting = b"220-Welcome\r\n to\r\n230 files\r\nhere\r\n220 ready\r\n"
        self.assertEqual(end(greeting + b"331 more\r\n"), len(greeting))
        for place in range(len(greeting)):
            self.assertEqual(end(greeting[:place]), 0, greeting[:place])


class FTPClientTests(SynchronousTestCase):
    """The client, given what a server may send."""

    def test_both_go_aheads_lead_to_tls(self) -> None:
        """Servers send 234; some that are older than the RFC send 334."""
        for go_ahead in (b"234 go\r\n", b"334 go\r\n", b"234-a\r\n b\r\n234 go\r\n", b"234\r\n"):
            self.assertTrue(after_receiving(ftp.connect, GREETING, go_ahead).is_complete)

    def test_a_server_may_ask_to_wait(self) -> None:
        """120 asks to wait, once or several times; the greeting follows, at once or later."""
        for received in (
            (b"120 in 3 minutes\r\n", GREETING),
            (b"120 wait\r\n" + GREETING,),
            (b"120-a\r\n220 b\r\n120 wait\r\n", b"120 wait\r\n", GREETING),
        ):
            client = after_receiving(ftp.connect, *received)
            self.assertEqual(client.data_to_send(), b"AUTH TLS\r\n")

    def test_a_flood_ends_the_dialogue(self) -> None:
        """A server that always asks to wait is not waited for without end."""
        self.assertRaises(PeerMisbehaved, after_receiving, ftp.connect, b"120 wait\r\n" * 1000)

    def test_a_greeting_may_have_several_lines(self) -> None:
        """A line inside a greeting is not a reply."""
        client = after_receiving(
            ftp.connect, b"220-Welcome\r\n 220 not yet\r\n421 nor this\r\n220 ready\r\n"
        )
        self.assertEqual(client.data_to_send(), b"AUTH TLS\r\n")

    def test_auth_ssl_is_tried_after_auth_tls(self) -> None:
        """A server that does not know the mechanism TLS is asked for SSL, once."""
        client = after_receiving(ftp.connect, GREETING, b"504 TLS?\r\n")
        self.assertEqual(client.data_to_send(), b"AUTH TLS\r\nAUTH SSL\r\n")
        client.receive_data(b"234 go\r\n")
        self.assertTrue(client.is_complete)
        client = after_receiving(ftp.connect, GREETING, b"504 TLS?\r\n")
        client.data_to_send()
        error = self.assertRaises(TLSNotOffered, client.receive_data, b"504 SSL?\r\n")
        self.assertEqual(error.reply, b"504 SSL?")
        self.assertEqual(client.data_to_send(), b"")

    def test_tls_not_offered_ends_the_dialogue(self) -> None:
        """A server that does not know the command has no TLS, and is sent nothing more."""
        for code in (b"500", b"502"):
            client = after_receiving(ftp.connect, GREETING)
            client.data_to_send()
            error = self.assertRaises(TLSNotOffered, client.receive_data, code + b" what?\r\n")
            self.assertEqual(error.reply, code + b" what?")
            self.assertEqual(client.data_to_send(), b"")

    def test_a_refusal_of_tls_is_reported(self) -> None:
        """A refusal is reported with its code and text, for both mechanisms."""
        for code in (b"431", b"534", b"530", b"421"):
            for before in ((GREETING,), (GREETING, b"504 TLS?\r\n")):
                error = self.assertRaises(
                    TLSRefused, after_receiving, ftp.connect, *before, code + b" no\r\n"
                )
                self.assertEqual((error.code, error.text), (code.decode(), b"no"))

    def test_the_greeting_is_known_after_a_refusal(self) -> None:
        """After a refusal there is still a greeting for a client that continues in plaintext."""
        client = after_receiving(ftp.connect, GREETING)
        self.assertRaises(TLSRefused, client.receive_data, b"431 not now\r\n")
        self.assertEqual(client.wire.greeting, b"220 ready\r\n")

    def test_only_the_go_ahead_leads_to_tls(self) -> None:
        """Only 234 and 334 lead to TLS, and no other positive reply."""
        for received in (
            b"200 ok",
            b"230 in",
            b"235 x",
            b"331 x",
            b"234ok",
            b"2340 x",
            b"* 234",
            b"",
        ):
            self.assertRaises(
                PeerMisbehaved, after_receiving, ftp.connect, GREETING, received + b"\r\n"
            )

    def test_a_server_may_refuse_the_connection(self) -> None:
        """A negative greeting is reported as PeerLeft, and nothing is sent."""
        for received in ((b"421 busy\r\n",), (b"120 wait\r\n", b"530 not you\r\n")):
            error, sent = failure_after(ftp.connect, *received)
            self.assertIsInstance(error, PeerLeft)
            self.assertIn(repr(received[-1][:-2]), str(error))
            self.assertEqual(sent, b"")
        for other in (b"230 in\r\n", b"+OK hi\r\n", b"SSH-2.0-x\r\n"):
            self.assertRaises(PeerMisbehaved, after_receiving, ftp.connect, other)

    def test_an_answer_before_its_question_is_refused(self) -> None:
        """What arrives with a greeting, or with a 504, is not the answer to a later command."""
        self.assertRaises(PeerMisbehaved, after_receiving, ftp.connect, GREETING + b"234 go\r\n")
        self.assertRaises(
            PeerMisbehaved, after_receiving, ftp.connect, GREETING, b"504 x\r\n234 go\r\n"
        )

    def test_bytes_after_the_go_ahead_are_an_attack(self) -> None:
        """Bytes that arrive with the go-ahead are an attack."""
        client = after_receiving(ftp.connect, GREETING)
        error = self.assertRaises(PlaintextInjected, client.receive_data, b"234 go\r\n230 in\r\n")
        self.assertEqual(error.received, b"230 in\r\n")
        self.assertEqual(client.outcome, b"")


class FTPServerTests(SynchronousTestCase):
    """The server, given what a client may send."""

    def answer(self, received: bytes) -> bytes:
        """What the server sends in answer to a line, after which the dialogue continues."""
        server = Negotiation(ftp.serve)
        server.data_to_send()
        server.receive_data(received)
        self.assertFalse(server.is_complete)
        return server.data_to_send()

    def test_every_other_command_demands_tls(self) -> None:
        """Before TLS the server offers TLS, and nothing else."""
        required = b"530 Must use AUTH TLS first\r\n"
        rows = {
            b"FEAT\r\n": b"211-Features:\r\n AUTH TLS\r\n PBSZ\r\n PROT\r\n211 End\r\n",
            b"AUTH GSSAPI\r\n": b"504 Use AUTH TLS\r\n",
            b"AUTH\r\n": b"504 Use AUTH TLS\r\n",
            b"AUTH TLS x\r\n": b"504 Use AUTH TLS\r\n",
            b"AUTH TLS\r\r\n": b"504 Use AUTH TLS\r\n",
            b"AUTHTLS\r\n": required,
            b"USER joe\r\n": required,
            b"PBSZ 0\r\n": required,
            b"\r\n": required,
        }
        for received, answer in rows.items():
            self.assertEqual(self.answer(received), answer, received)

    def test_every_spelling_of_the_request_is_understood(self) -> None:
        """Every name of the mechanism is known, in any case, and with a bare LF."""
        for received in (
            b"AUTH TLS\r\n",
            b"auth tls\n",
            b"AUTH TLS-C\r\n",
            b"AUTH SSL\r\n",
            b"Auth  Tls-P\n",
        ):
            server = after_receiving(ftp.serve, received)
            self.assertTrue(server.is_complete)
            self.assertTrue(server.data_to_send().endswith(b"\r\n234 Begin TLS negotiation\r\n"))

    def test_bytes_after_the_request_are_an_attack(self) -> None:
        """Commands pipelined after AUTH TLS end the dialogue, without a go-ahead."""
        for evil in (b"USER a\r\n", b"X", b"\x16\x03\x01"):
            error, sent = failure_after(ftp.serve, b"AUTH TLS\r\n" + evil)
            self.assertIsInstance(error, PlaintextInjected)
            self.assertEqual(sent, b"")

    def test_passwords_in_plaintext_are_not_evaluated(self) -> None:
        """Credentials in plaintext are rejected unread, and appear in no message."""
        error, sent = failure_after(ftp.serve, *[b"PASS hunter2\r\n"] * COMMANDS)
        self.assertNotIn("hunter2", str(error))
        self.assertEqual(sent.count(b"530 Must use AUTH TLS first"), COMMANDS)

    def test_a_client_may_quit(self) -> None:
        """QUIT is answered, and reported as PeerLeft."""
        error, sent = failure_after(ftp.serve, b"QUIT\r\n")
        self.assertIsInstance(error, PeerLeft)
        self.assertEqual(sent, b"220 server.example FTP\r\n221 Bye\r\n")

    def test_a_client_that_never_starts_tls_is_cut_off(self) -> None:
        """After so many commands the server gives up; the last of them may still start TLS."""
        error, sent = failure_after(ftp.serve, *[b"SYST\r\n"] * COMMANDS)
        self.assertIsInstance(error, PeerMisbehaved)
        self.assertTrue(sent.endswith(b"first\r\n421 Too many commands before AUTH TLS\r\n"))
        self.assertTrue(
            after_receiving(ftp.serve, *[b"SYST\r\n"] * (COMMANDS - 1), b"AUTH TLS\r\n").is_complete
        )
