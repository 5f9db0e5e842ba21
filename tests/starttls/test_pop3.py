"""POP3's way to TLS."""

from __future__ import annotations

from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from tests.starttls.talk import farewell, talk, told
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
    """Both sides."""

    def test_the_transcript(self) -> None:
        """A client and a server say what RFC 2595 has them say."""
        result = talk(pop3.connect, pop3.serve)
        self.assertEqual(
            result.by_server,
            [b"+OK ready\r\n", b"+OK\r\nSTLS\r\n.\r\n", b"+OK Begin TLS negotiation\r\n"],
        )
        self.assertEqual(result.by_client, [b"CAPA\r\n", b"STLS\r\n"])

    def test_what_the_guests_hear(self) -> None:
        """A client's guest hears a greeting of ours; a server's begins by itself."""
        result = talk(pop3.connect, pop3.serve)
        self.assertEqual(result.client.outcome, b"+OK ready\r\n")
        self.assertEqual(result.server.outcome, b"")

    def test_no_challenge_comes_from_the_clear(self) -> None:
        """A time stamp in the greeting is not passed on: digests over it are for no one (APOP)."""
        client = told(pop3.connect, b"+OK ready <1896.6971@evil>\r\n", OFFER, b"+OK <x@evil>\r\n")
        self.assertEqual(client.outcome, b"+OK ready\r\n")

    def test_the_row(self) -> None:
        """The catalogue knows its ports, and that it may go on in the clear."""
        row = STARTTLS_PROTOCOLS["pop3"]
        self.assertEqual((row.connect, row.serve), (pop3.connect, pop3.serve))
        self.assertEqual((row.port, row.tls_port, row.verifies), (110, 995, "host"))
        self.assertTrue(row.is_transparent and row.may_continue)
        self.assertIsNone(row.offer_timeout)

    def test_the_greeting_that_is_kept_back(self) -> None:
        """A server's guest greets in a line, which the client has heard already."""
        end = STARTTLS_PROTOCOLS["pop3"].greeting
        assert end is not None
        self.assertEqual(end(b"+OK hi\r\n+OK more\r\n"), 8)
        self.assertEqual(end(b"+OK hi\r"), 0)


class POP3ClientTests(SynchronousTestCase):
    """The client's side, told what a server might say."""

    def test_capabilities(self) -> None:
        """STLS is looked for line by line, in any case, with dots taken off."""
        for offer in (
            OFFER,
            b"+OK x\r\nstls\r\n.\r\n",
            b"+OK\r\n.STLS\r\n.\r\n",
            b"+OK\r\nSTLS x\r\n.\r\n",
        ):
            client = told(pop3.connect, GREETING, offer)
            self.assertEqual(client.data_to_send(), b"CAPA\r\nSTLS\r\n")

    def test_c14_not_offered(self) -> None:
        """A list without STLS is an answer, and the command is not tried."""
        for offer in (
            b"+OK\r\n.\r\n",
            b"+OK STLS\r\n.\r\n",
            b"+OK\r\nXSTLS\r\nSTLSX\r\nSASL STLS\r\n..STLS\r\n.\r\n",
        ):
            client = told(pop3.connect, GREETING)
            client.data_to_send()
            self.assertRaises(TLSNotOffered, client.receive_data, offer)
            self.assertEqual(client.data_to_send(), b"")

    def test_c17_no_list(self) -> None:
        """A server without CAPA is asked for TLS all the same; if it has none, that is told."""
        client = told(pop3.connect, GREETING, b"-ERR what?\r\n")
        self.assertEqual(client.data_to_send(), b"CAPA\r\nSTLS\r\n")
        client.receive_data(b"+OK go\r\n")
        self.assertTrue(client.is_complete)
        error = self.assertRaises(
            TLSNotOffered, told, pop3.connect, GREETING, b"-ERR what?\r\n", b"-ERR again?\r\n"
        )
        self.assertEqual(error.reply, b"-ERR again?")

    def test_c15_refused(self) -> None:
        """A server that lists STLS and says no has refused."""
        for answer, text in ((b"-ERR not now\r\n", b"not now"), (b"-ERR\r\n", b"")):
            error = self.assertRaises(TLSRefused, told, pop3.connect, GREETING, OFFER, answer)
            self.assertEqual((error.code, error.text), ("-ERR", text))

    def test_c32_going_on_in_the_clear(self) -> None:
        """After a refusal there is still a greeting for the guest, if it is to go on."""
        client = told(pop3.connect, GREETING, OFFER)
        self.assertRaises(TLSRefused, client.receive_data, b"-ERR not now\r\n")
        self.assertEqual(client.wire.greeting, b"+OK ready\r\n")

    def test_c16_answers_that_are_none(self) -> None:
        """Whatever is neither +OK nor -ERR, whole words both, breaks the rules."""
        for said in (
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
            self.assertRaises(PeerMisbehaved, told, pop3.connect, GREETING, OFFER, said + b"\r\n")
            self.assertRaises(PeerMisbehaved, told, pop3.connect, GREETING, said + b"\r\n")
            self.assertRaises(PeerMisbehaved, told, pop3.connect, said + b"\r\n")

    def test_a_server_that_turns_us_away(self) -> None:
        """A greeting that says no is told, and nothing more is said."""
        client = told(pop3.connect)
        error = self.assertRaises(PeerLeft, client.receive_data, b"-ERR [SYS/TEMP] busy\r\n")
        self.assertEqual(error.received, b"-ERR [SYS/TEMP] busy")
        self.assertEqual(client.data_to_send(), b"")

    def test_c13_answers_before_their_questions(self) -> None:
        """What comes with a greeting or a list is no answer to what was not asked yet."""
        self.assertRaises(PeerMisbehaved, told, pop3.connect, GREETING + OFFER)
        self.assertRaises(PeerMisbehaved, told, pop3.connect, GREETING, OFFER + b"+OK go\r\n")
        self.assertRaises(PeerMisbehaved, told, pop3.connect, GREETING, b"-ERR\r\n+OK go\r\n")

    def test_c2_c3_text_behind_the_go_ahead(self) -> None:
        """Answers that came with the go-ahead are an attack, be it half a line."""
        for evil in (b"+OK\r\nPLAIN\r\nLOGIN\r\n.\r\n", b"\xb9\xb3\xb1\xb2\xb3"):
            client = told(pop3.connect, GREETING, OFFER)
            error = self.assertRaises(PlaintextInjected, client.receive_data, b"+OK go\r\n" + evil)
            self.assertEqual(error.received, evil)
            self.assertEqual(client.outcome, b"")

    def test_c21_hostile_text(self) -> None:
        """What a server says goes into messages escaped and cut."""
        hostile = b"-ERR \x1b[2J\x00" + b"x" * 8000 + b"\r\n"
        error = self.assertRaises(TLSRefused, told, pop3.connect, GREETING, OFFER, hostile)
        self.assertTrue(str(error).isprintable())
        self.assertLess(len(str(error)), 400)


class POP3ServerTests(SynchronousTestCase):
    """The server's side, told what a client might say."""

    def test_what_it_answers(self) -> None:
        """Before TLS there is TLS to be had and nothing else."""
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
        for said, answer in rows.items():
            server = told(pop3.serve, said)
            self.assertFalse(server.is_complete)
            self.assertEqual(server.data_to_send(), b"+OK ready\r\n" + answer)

    def test_s19_the_command(self) -> None:
        """STLS is heard in any case, and with a bare LF."""
        for said in (b"STLS\r\n", b"stls\n", b"Stls \r\n"):
            self.assertTrue(told(pop3.serve, said).is_complete)

    def test_s6_commands_behind_stls(self) -> None:
        """What is pipelined behind STLS ends it, without a go-ahead."""
        for evil in (b"CAPA\r\n", b"X", b"\x16\x03\x01"):
            error, said = farewell(pop3.serve, b"STLS\r\n" + evil)
            self.assertIsInstance(error, PlaintextInjected)
            self.assertEqual(said, b"")

    def test_s20_passwords_are_not_heard(self) -> None:
        """Credentials in the clear are turned down unread, and appear in no message."""
        error, said = farewell(pop3.serve, *[b"PASS hunter2\r\n"] * COMMANDS)
        self.assertNotIn("hunter2", str(error))
        self.assertEqual(said.count(b"TLS required"), COMMANDS)

    def test_goodbye(self) -> None:
        """A client that leaves is seen off."""
        error, said = farewell(pop3.serve, b"QUIT\r\n")
        self.assertIsInstance(error, PeerLeft)
        self.assertEqual(said, b"+OK ready\r\n+OK\r\n")

    def test_s25_a_client_that_never_starts_tls(self) -> None:
        """After so many commands the server hangs up; the last of them may still start TLS."""
        error, said = farewell(pop3.serve, *[b"CAPA\r\n"] * COMMANDS)
        self.assertIsInstance(error, PeerMisbehaved)
        self.assertTrue(said.endswith(b".\r\n-ERR [SYS/PERM] Too many commands before STLS\r\n"))
        self.assertTrue(told(pop3.serve, *[b"CAPA\r\n"] * (COMMANDS - 1), b"STLS\r\n").is_complete)
