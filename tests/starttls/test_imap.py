"""IMAP's way to TLS."""

from __future__ import annotations

from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from tests.starttls.talk import farewell, talk, told
from txtransport.errors import (
    PeerLeft,
    PeerMisbehaved,
    PlaintextInjected,
    PreAuthenticated,
    TLSNotOffered,
    TLSRefused,
)
from txtransport.starttls import imap
from txtransport.starttls.negotiation import Negotiation
from txtransport.starttls.protocols import STARTTLS_PROTOCOLS
from txtransport.starttls.wire import COMMANDS

GREETING: Final = b"* OK hi\r\n"
OFFER: Final = b"* CAPABILITY IMAP4rev1 STARTTLS AUTH=PLAIN\r\nfresh1 OK done\r\n"
READY: Final = b"* OK [CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED] ready\r\n"

UNASKED: Final = (
    b"* OK [ALERT] your password expires",
    b"* NO [ALERT] disk full",
    b"* BAD what?",
    b"* 1 EXISTS",
    b"* 1 RECENT",
    b"* 1 EXPUNGE",
    b"* FLAGS (\\Seen)",
    b'* LIST () "/" INBOX',
    b"* SEARCH 1 2",
    b"* STATUS INBOX (MESSAGES 1)",
    b"* 1 FETCH (FLAGS ())",
    b"* OK [REFERRAL imap://evil.example/] elsewhere",
    b"* PREAUTH hi",
    b"* ",
    b"*",
)
"""What a server may say, or someone in the middle may have it say."""


class IMAPTests(SynchronousTestCase):
    """Both sides."""

    def test_the_transcript(self) -> None:
        """A client and a server say what RFC 9051 has them say."""
        result = talk(imap.connect, imap.serve)
        self.assertEqual(
            result.by_server,
            [
                READY,
                b"* CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED\r\nfresh1 OK Done\r\n",
                b"fresh2 OK Begin TLS negotiation now\r\n",
            ],
        )
        self.assertEqual(result.by_client, [b"fresh1 CAPABILITY\r\n", b"fresh2 STARTTLS\r\n"])

    def test_what_the_guests_hear(self) -> None:
        """A client's guest hears a greeting without capabilities; a server's begins by itself."""
        result = talk(imap.connect, imap.serve)
        self.assertEqual(result.client.outcome, b"* OK ready\r\n")
        self.assertEqual(result.server.outcome, b"")

    def test_the_row(self) -> None:
        """The catalogue knows its ports, and that it may go on in the clear."""
        row = STARTTLS_PROTOCOLS["imap"]
        self.assertEqual((row.connect, row.serve), (imap.connect, imap.serve))
        self.assertEqual((row.port, row.tls_port, row.verifies), (143, 993, "host"))
        self.assertTrue(row.is_transparent and row.may_continue)
        assert row.greeting is not None
        self.assertEqual(row.greeting(b"* OK hi\r\na OK\r\n"), 9)
        self.assertEqual(row.greeting(b"* OK hi"), 0)

    def test_tags_cannot_be_guessed(self) -> None:
        """Two conversations have no tag in common, nor has one the same twice."""
        tags = set()
        for _ in range(10):
            client = Negotiation(imap.connect)
            client.receive_data(GREETING)
            tag = client.data_to_send().partition(b" ")[0]
            client.receive_data(b"* CAPABILITY STARTTLS\r\n" + tag + b" OK\r\n")
            tags |= {tag, client.data_to_send().partition(b" ")[0]}
        self.assertEqual(len(tags), 20)
        self.assertTrue(all(tag.isalnum() and len(tag) >= 16 for tag in tags))


class IMAPClientTests(SynchronousTestCase):
    """The client's side, told what a server might say."""

    def test_greetings(self) -> None:
        """A greeting may have capabilities, which are asked for all the same."""
        for greeting in (b"* OK", b"* ok hi", b"* OK [CAPABILITY IMAP4rev1] hi", b"* OK [ALERT] x"):
            client = told(imap.connect, greeting + b"\r\n")
            self.assertEqual(client.data_to_send(), b"fresh1 CAPABILITY\r\n")

    def test_c18_a_server_that_knows_us_already(self) -> None:
        """PREAUTH rules the upgrade out, whatever is offered with it."""
        for greeting in (
            b"* PREAUTH hi",
            b"* preauth",
            b"* PREAUTH [CAPABILITY IMAP4rev1 STARTTLS] hi",
            b"* PREAUTH [CAPABILITY IMAP4rev1 AUTH=PLAIN] \x1b[2J",
        ):
            client = told(imap.connect)
            error = self.assertRaises(PreAuthenticated, client.receive_data, greeting + b"\r\n")
            self.assertTrue(str(error).isprintable())
            self.assertEqual(client.data_to_send(), b"")

    def test_a_server_that_turns_us_away(self) -> None:
        """BYE is a goodbye, as a greeting and later; what it says is told."""
        for said in (
            (b"* BYE busy\r\n",),
            (b"* bye\r\n",),
            (GREETING, b"* BYE busy\r\n"),
            (GREETING, OFFER, b"* Bye busy\r\n"),
            (GREETING, b"* BYE\r\n"),
        ):
            error = self.assertRaises(PeerLeft, told, imap.connect, *said)
            self.assertEqual(error.received, said[-1][:-2])

    def test_what_is_no_greeting(self) -> None:
        """Other protocols, and other words, are not a greeting."""
        for said in (b"220 hi", b"+OK hi", b"* NO hi", b"* BAD", b"OK hi", b"*OK", b"* OKAY", b"",
                     b" * OK", b"*  OK", b"+ OK", b"a OK"):  # fmt: skip
            self.assertRaises(PeerMisbehaved, told, imap.connect, said + b"\r\n")

    def test_capabilities(self) -> None:
        """STARTTLS is a whole word of the list, in any case; other lines do not matter."""
        for offer in (
            OFFER,
            b"* capability starttls\r\nfresh1 ok\r\n",
            b"* 1 EXISTS\r\n* CAPABILITY X\r\n* CAPABILITY STARTTLS\r\nfresh1 OK x\r\n",
        ):
            client = told(imap.connect, GREETING, offer)
            self.assertEqual(client.data_to_send(), b"fresh1 CAPABILITY\r\nfresh2 STARTTLS\r\n")

    def test_c14_not_offered(self) -> None:
        """Without the capability the command is not tried."""
        for offer in (
            b"",
            b"* CAPABILITY IMAP4rev1 XSTARTTLS STARTTLSX AUTH=STARTTLS\r\n",
            b"* OK STARTTLS\r\n",
            b"* OK [CAPABILITY IMAP4rev1 STARTTLS]\r\n",
            b"* XCAPABILITY STARTTLS\r\n",
            b"* CAPABILITY\r\n",
        ):
            client = told(imap.connect, GREETING)
            client.data_to_send()
            self.assertRaises(TLSNotOffered, client.receive_data, offer + b"fresh1 OK STARTTLS\r\n")
            self.assertEqual(client.data_to_send(), b"")

    def test_c17_no_list(self) -> None:
        """A server that does not answer what it can do has no TLS."""
        for word in (b"BAD", b"NO"):
            error = self.assertRaises(
                TLSNotOffered,
                told, imap.connect, GREETING,
                b"* CAPABILITY STARTTLS\r\nfresh1 " + word + b" what?\r\n",
            )  # fmt: skip
            self.assertEqual(error.reply, b"STARTTLS " + word + b" what?")
        self.assertRaises(
            TLSNotOffered, told, imap.connect, GREETING, b"* CAPABILITY IMAP4\r\nfresh1 OK\r\n"
        )

    def test_c15_refused(self) -> None:
        """NO and BAD are refusals, and told with their text."""
        for word, code in ((b"NO", "NO"), (b"bad", "BAD")):
            error = self.assertRaises(
                TLSRefused, told, imap.connect, GREETING, OFFER, b"fresh2 " + word + b" not now\r\n"
            )
            self.assertEqual((error.code, error.text), (code, b"not now"))

    def test_c32_going_on_in_the_clear(self) -> None:
        """After a refusal there is still a greeting for the guest, if it is to go on."""
        client = told(imap.connect, GREETING, OFFER)
        self.assertRaises(TLSRefused, client.receive_data, b"fresh2 NO not now\r\n")
        self.assertEqual(client.wire.greeting, b"* OK ready\r\n")

    def test_c16_answers_that_are_none(self) -> None:
        """Continuations, other tags, other words and glued ones are no answers."""
        for said in (
            b"+ continue", b"+", b"fresh1 OK", b"fresh3 OK", b"fresh2", b"fresh2OK", b"fresh2 OKAY",
            b"fresh2 ", b"fresh2  OK", b"FRESH2 OK", b" fresh2 OK", b"fresh22 OK", b"OK", b"",
            b"220 go", b"*fresh2 OK", b"a OK", b"fresh2 PREAUTH",
        ):  # fmt: skip
            client = told(imap.connect, GREETING, OFFER)
            self.assertRaises(PeerMisbehaved, client.receive_data, said + b"\r\n")
            self.assertFalse(client.is_complete)

    def test_c13_answers_before_their_questions(self) -> None:
        """Answers that came early are none, even with the right tag."""
        for said in (
            (GREETING + b"a1 OK\r\n",),
            (GREETING + OFFER,),
            (GREETING + b"* 1 EXISTS\r\n",),
            (GREETING, OFFER + b"fresh2 OK go\r\n"),
        ):
            client = told(imap.connect, *said[:-1])
            client.data_to_send()
            self.assertRaises(PeerMisbehaved, client.receive_data, said[-1])
            self.assertEqual(client.data_to_send(), b"")

    def test_c5_c20_what_was_said_unasked(self) -> None:
        """Mails, alerts and referrals from the clear are dropped; no guest hears of them."""
        for line in UNASKED:
            client = told(
                imap.connect,
                GREETING,
                line + b"\r\n" + OFFER,
                line + b"\r\n" + line + b"\r\nfresh2 OK go\r\n",
            )
            self.assertTrue(client.is_complete)
            self.assertEqual(client.outcome, b"* OK ready\r\n")

    def test_c28_so_much_and_no_more(self) -> None:
        """A server that talks and does not answer is not listened to for ever."""
        talking = b"* 1 EXISTS\r\n"
        client = told(imap.connect, GREETING, OFFER, talking * 50 + b"fresh2 OK\r\n")
        self.assertTrue(client.is_complete)
        for before in ((GREETING,), (GREETING, OFFER)):
            error = self.assertRaises(PeerMisbehaved, told, imap.connect, *before, talking * 51)
            self.assertIn("more than 50 lines", str(error))

    def test_c20_literals(self) -> None:
        """Text whose length is announced is not read as lines, and ends it."""
        mail = b"* 1 FETCH (BODY[] {28}\r\nfresh2 OK go\r\n"
        for said in (
            (b"* OK {5}\r\n",),
            (GREETING, b"* CAPABILITY {8}\r\nSTARTTLS\r\nfresh1 OK\r\n"),
            (GREETING, OFFER, mail),
            (GREETING, OFFER, b"fresh2 OK {5+}\r\n"),
            (GREETING, OFFER, b"fresh2 NO {5}\r\n"),
        ):
            error = self.assertRaises(PeerMisbehaved, told, imap.connect, *said)
            self.assertIn("literal", str(error))

    def test_c4_c6_text_behind_the_go_ahead(self) -> None:
        """What came with the go-ahead is an attack, a goodbye too."""
        for evil in (
            b"* CAPABILITY IMAP4REV1 AUTH=PLAIN\r\n2 OK done\r\n",
            b"* OK [ALERT] x\r\n",
            b"* BYE close\r\n",
        ):
            client = told(imap.connect, GREETING, OFFER)
            error = self.assertRaises(
                PlaintextInjected, client.receive_data, b"fresh2 OK\r\n" + evil
            )
            self.assertEqual(error.received, evil)
            self.assertEqual(client.outcome, b"")

    def test_c21_hostile_text(self) -> None:
        """What a server says goes into messages escaped and cut."""
        hostile = b"fresh2 NO \x1b[2J\x00" + b"x" * 8000 + b"\r\n"
        error = self.assertRaises(TLSRefused, told, imap.connect, GREETING, OFFER, hostile)
        self.assertTrue(str(error).isprintable())
        self.assertLess(len(str(error)), 400)


class IMAPServerTests(SynchronousTestCase):
    """The server's side, told what a client might say."""

    def test_what_it_answers(self) -> None:
        """Before TLS there is TLS to be had and nothing else."""
        required = b"a NO [PRIVACYREQUIRED] TLS required\r\n"
        unknown = b"* BAD Expected a tag and a command\r\n"
        rows = {
            b"a CAPABILITY\r\n": (
                b"* CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED\r\na OK Done\r\n"
            ),
            b"a noop\n": b"a OK Done\r\n",
            b'a ID ("name" "x")\r\n': b"* ID NIL\r\na OK Done\r\n",
            b"a STARTTLS now\r\n": b"a BAD STARTTLS takes no arguments\r\n",
            b"a STARTTLS\r\r\n": required,
            b"a LOGIN joe hunter2\r\n": required,
            b"a AUTHENTICATE PLAIN AGpvZQBzZWNyZXQ=\r\n": required,
            b"a SELECT INBOX\r\n": required,
            b"a\r\n": unknown,
            b"a \r\n": unknown,
            b"a  NOOP\r\n": unknown,
            b"\r\n": unknown,
            b"* NOOP\r\n": unknown,
            b"a+ NOOP\r\n": unknown,
            b"\x1b[2J NOOP\r\n": unknown,
            b"\xff NOOP\r\n": unknown,
            b"a" * 65 + b" NOOP\r\n": unknown,
        }
        for said, answer in rows.items():
            server = told(imap.serve, said)
            self.assertFalse(server.is_complete)
            self.assertEqual(server.data_to_send(), READY + answer, said)

    def test_s19_the_command(self) -> None:
        """STARTTLS is heard in any case, with any tag, and with a bare LF."""
        for said, tag in (
            (b"a1 STARTTLS\r\n", b"a1"),
            (b". starttls\n", b"."),
            (b"A]~ StartTLS \n", b"A]~"),
        ):
            server = told(imap.serve, said)
            self.assertTrue(server.is_complete)
            self.assertEqual(
                server.data_to_send(), READY + tag + b" OK Begin TLS negotiation now\r\n"
            )

    def test_s3_s4_s5_commands_behind_starttls(self) -> None:
        """What is pipelined behind STARTTLS ends it, whole or not, without a go-ahead."""
        for evil in (
            b"B NOOP\r\nC LOGIN mallory pw\r\n",
            b"X LOGIN mallory ",
            b"X LOGIN mallory {20}\r\n",
            b"\x16\x03\x01",
        ):
            error, said = farewell(imap.serve, b"A STARTTLS\r\n" + evil)
            self.assertIsInstance(error, PlaintextInjected)
            self.assertEqual(said, b"")

    def test_literals(self) -> None:
        """A client that announces a literal is seen off before it sends it."""
        for said, tag in (
            (b"a LOGIN {3}\r\n", b"a"),
            (b"a LOGIN {11+}\r\nb STARTTLS\r\n joe\r\n", b"a"),
            (b"{5}\r\n", b"*"),
            (b"a STARTTLS {5}\r\n", b"a"),
        ):
            error, heard = farewell(imap.serve, said)
            self.assertIsInstance(error, PeerMisbehaved)
            self.assertEqual(heard, READY + tag + b" BAD No literals before TLS\r\n")

    def test_s20_passwords_are_not_heard(self) -> None:
        """Credentials in the clear are turned down unread, and appear in no message."""
        error, said = farewell(imap.serve, *[b"a LOGIN joe hunter2\r\n"] * COMMANDS)
        self.assertNotIn("hunter2", str(error))
        self.assertEqual(said.count(b"a NO [PRIVACYREQUIRED]"), COMMANDS)

    def test_goodbye(self) -> None:
        """A client that leaves is seen off."""
        error, said = farewell(imap.serve, b"a LOGOUT\r\n")
        self.assertIsInstance(error, PeerLeft)
        self.assertEqual(said, READY + b"* BYE\r\na OK Bye\r\n")

    def test_s25_a_client_that_never_starts_tls(self) -> None:
        """After so many commands the server hangs up; the last of them may still start TLS."""
        error, said = farewell(imap.serve, *[b"a NOOP\r\n"] * COMMANDS)
        self.assertIsInstance(error, PeerMisbehaved)
        self.assertTrue(said.endswith(b"a OK Done\r\n* BYE Too many commands before STARTTLS\r\n"))
        self.assertTrue(
            told(imap.serve, *[b"a NOOP\r\n"] * (COMMANDS - 1), b"a STARTTLS\r\n").is_complete
        )
