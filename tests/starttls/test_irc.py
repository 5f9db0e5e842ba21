"""The IRC dialogue: ``STARTTLS``."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.starttls.in_memory import after_receiving, failure_after, negotiate
from txtransport.errors import (
    PeerLeft,
    PeerMisbehaved,
    PlaintextInjected,
    TLSNotOffered,
    TLSRefused,
)
from txtransport.starttls import irc
from txtransport.starttls.negotiation import Negotiation
from txtransport.starttls.protocols import STARTTLS_PROTOCOLS
from txtransport.starttls.wire import COMMANDS


class IRCTests(SynchronousTestCase):
    """The client and the server."""

    def test_the_dialogue_follows_the_specification(self) -> None:
        """A client and a server send what IRCv3 specifies."""
        result = negotiate(irc.connect, irc.serve)
        self.assertEqual(result.by_client, [b"STARTTLS\r\n"])
        self.assertEqual(
            result.by_server,
            [b":server.example 670 * :STARTTLS successful, proceed with TLS handshake\r\n"],
        )

    def test_the_application_receives_nothing(self) -> None:
        """The application's protocol receives nothing: a client sends first."""
        result = negotiate(irc.connect, irc.serve)
        self.assertEqual((result.client.outcome, result.server.outcome), (b"", b""))

    def test_the_table_has_its_ports_and_options(self) -> None:
        """The table has its ports, and the seconds after which silence means no."""
        row = STARTTLS_PROTOCOLS["irc"]
        self.assertEqual((row.connect, row.serve), (irc.connect, irc.serve))
        self.assertEqual((row.port, row.tls_port, row.verifies), (6667, 6697, "host"))
        self.assertTrue(row.is_transparent and row.may_continue)
        self.assertIsNone(row.greeting)
        self.assertEqual(row.offer_timeout, 8.0)


class IRCClientTests(SynchronousTestCase):
    """The client, given what a server may send."""

    def test_starttls_is_sent_first(self) -> None:
        """The client sends STARTTLS before any name."""
        self.assertEqual(after_receiving(irc.connect).data_to_send(), b"STARTTLS\r\n")

    def test_the_go_ahead_is_recognised_by_its_number(self) -> None:
        """Only the number counts, not who sends it or how the text reads."""
        for received in (
            b":s 670 nick :go\r\n",
            b":irc.example 670 * :STARTTLS erfolgreich\r\n",
            b":s 670\n",
            b"670 * :go\r\n",
        ):
            self.assertTrue(after_receiving(irc.connect, received).is_complete, received)

    def test_notices_before_the_go_ahead_are_dropped(self) -> None:
        """What a server sends while it looks up names is not an answer, and is not delivered."""
        client = after_receiving(
            irc.connect,
            b":s NOTICE * :*** Looking up your hostname...\r\nNOTICE AUTH :*** 670 \r\n",
            b":s CAP * LS :tls\r\n:s notice AUTH :*** Checking Ident\r\nPING :670\r\n",
            b":s 020 * :Please wait while we process your connection.\r\n:s 439 * :Please wait\r\n",
        )
        self.assertFalse(client.is_complete)
        self.assertEqual(client.data_to_send(), b"STARTTLS\r\n")
        client.receive_data(b":s 670 * :go\r\n")
        self.assertTrue(client.is_complete)
        self.assertEqual(client.outcome, b"")

    def test_tls_not_offered_ends_the_dialogue(self) -> None:
        """Servers that do not know the command send 421 or 451."""
        for received in (
            b":s 421 * STARTTLS :Unknown command",
            b":s 451 * :You have not registered",
        ):
            error = self.assertRaises(
                TLSNotOffered, after_receiving, irc.connect, received + b"\r\n"
            )
            self.assertEqual(error.reply, received)

    def test_a_refusal_of_tls_is_reported(self) -> None:
        """A server that cannot start TLS at the moment refuses with 691."""
        error = self.assertRaises(
            TLSRefused,
            after_receiving,
            irc.connect,
            b":s 691 * :STARTTLS failed (Wrong moon phase)\r\n",
        )
        self.assertEqual(
            (error.code, error.text), ("691", b"* :STARTTLS failed (Wrong moon phase)")
        )

    def test_only_the_go_ahead_leads_to_tls(self) -> None:
        """Only a whole number in the right place is an answer."""
        for received in (
            b":s 6700 * :go", b":s 67 * :go", b":s  670 * :go", b":670 * :go", b": :s 670", b"",
            b"@a=b :s 670 * :go", b":s 001 nick :Welcome", b"220 hi", b"+OK", b"* OK", b":s",
            b":s PRIVMSG you :670",
        ):  # fmt: skip
            self.assertRaises(PeerMisbehaved, after_receiving, irc.connect, received + b"\r\n")

    def test_a_server_may_close_the_link(self) -> None:
        """ERROR is reported as PeerLeft, with its reason."""
        for received in (b"ERROR :Closing Link: (Throttled)", b":s error :no"):
            error = self.assertRaises(PeerLeft, after_receiving, irc.connect, received + b"\r\n")
            self.assertEqual(error.received, received)

    def test_a_flood_ends_the_dialogue(self) -> None:
        """A server that sends only notices is not waited for without end."""
        self.assertRaises(
            PeerMisbehaved, after_receiving, irc.connect, b":s NOTICE * :x\r\n" * 1000
        )

    def test_bytes_after_the_go_ahead_are_an_attack(self) -> None:
        """Bytes that arrive with the go-ahead are an attack."""
        client = after_receiving(irc.connect)
        evil = b":s 001 nick :Welcome\r\n"
        error = self.assertRaises(
            PlaintextInjected, client.receive_data, b":s 670 * :go\r\n" + evil
        )
        self.assertEqual(error.received, evil)


class IRCServerTests(SynchronousTestCase):
    """The server, given what a client may send."""

    def answer(self, received: bytes) -> bytes:
        """What the server sends in answer to a line, after which the dialogue continues."""
        server = Negotiation(irc.serve)
        self.assertEqual(server.data_to_send(), b"")
        server.receive_data(received)
        self.assertFalse(server.is_complete)
        return server.data_to_send()

    def test_every_other_command_demands_tls(self) -> None:
        """Before TLS the server offers TLS, and nothing else."""
        required = b":localhost 451 * :TLS required, use STARTTLS\r\n"
        rows = {
            b"CAP LS\r\n": b":localhost CAP * LS :tls\r\n",
            b"cap ls 302\n": b":localhost CAP * LS :tls\r\n",
            b"CAP\r\n": required,
            b"CAP LSX\r\n": required,
            b"CAP END\r\n": required,
            b"STARTTLS now\r\n": b":localhost 691 * :STARTTLS takes no parameters\r\n",
            b"STARTTLS\r\r\n": required,
            b"NICK joe\r\n": required,
            b"USER joe 0 * :Joe\r\n": required,
            b"\r\n": required,
        }
        for received, answer in rows.items():
            self.assertEqual(self.answer(received), answer, received)

    def test_every_spelling_of_the_request_is_understood(self) -> None:
        """STARTTLS is understood in any case, and with a bare LF."""
        for received in (b"STARTTLS\r\n", b"starttls\n"):
            self.assertTrue(after_receiving(irc.serve, received).is_complete)

    def test_bytes_after_the_request_are_an_attack(self) -> None:
        """Commands pipelined after STARTTLS end the dialogue, without a go-ahead."""
        for evil in (b"NICK evil\r\n", b"X", b"\x16\x03\x01"):
            error, sent = failure_after(irc.serve, b"STARTTLS\r\n" + evil)
            self.assertIsInstance(error, PlaintextInjected)
            self.assertEqual(sent, b"")

    def test_passwords_in_plaintext_are_not_evaluated(self) -> None:
        """Credentials in plaintext are rejected unread, and appear in no message."""
        error, sent = failure_after(irc.serve, *[b"PASS hunter2\r\n"] * COMMANDS)
        self.assertNotIn("hunter2", str(error))
        self.assertEqual(sent.count(b"TLS required"), COMMANDS)

    def test_a_client_may_quit(self) -> None:
        """QUIT is answered, and reported as PeerLeft."""
        error, sent = failure_after(irc.serve, b"QUIT :bye\r\n")
        self.assertIsInstance(error, PeerLeft)
        self.assertEqual(sent, b"ERROR :Bye\r\n")

    def test_a_client_that_never_starts_tls_is_cut_off(self) -> None:
        """After so many commands the server gives up; the last of them may still start TLS."""
        error, sent = failure_after(irc.serve, *[b"CAP LS\r\n"] * COMMANDS)
        self.assertIsInstance(error, PeerMisbehaved)
        self.assertTrue(sent.endswith(b":tls\r\nERROR :Too many commands before STARTTLS\r\n"))
        self.assertTrue(
            after_receiving(
                irc.serve, *[b"CAP LS\r\n"] * (COMMANDS - 1), b"STARTTLS\r\n"
            ).is_complete
        )
