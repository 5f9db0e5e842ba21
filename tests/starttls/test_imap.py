"""The IMAP dialogue: ``STARTTLS``."""

from __future__ import annotations

from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from tests.starttls.in_memory import after_receiving, failure_after, negotiate
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
"""Untagged lines that a server, or someone on the path, may send."""


class IMAPTests(SynchronousTestCase):
    """The client and the server."""

    def test_the_dialogue_follows_the_specification(self) -> None:
        """A client and a server send what RFC 9051 specifies."""
        result = negotiate(imap.connect, imap.serve)
        self.assertEqual(
            result.by_server,
            [
                READY,
                b"* CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED\r\nfresh1 OK Done\r\n",
                b"fresh2 OK Begin TLS negotiation now\r\n",
            ],
        )
        self.assertEqual(result.by_client, [b"fresh1 CAPABILITY\r\n", b"fresh2 STARTTLS\r\n"])

    def test_the_client_s_application_receives_our_greeting(self) -> None:
        """A client's application receives a greeting without capabilities, a server's nothing."""
        result = negotiate(imap.connect, imap.serve)
        self.assertEqual(result.client.outcome, b"* OK ready\r\n")
        self.assertEqual(result.server.outcome, b"")

    def test_the_table_has_its_ports_and_options(self) -> None:
        """The table has its ports, and that a client may continue in plaintext."""
        row = STARTTLS_PROTOCOLS["imap"]
        self.assertEqual((row.connect, row.serve), (imap.connect, imap.serve))
        self.assertEqual((row.port, row.tls_port, row.verifies), (143, 993, "host"))
        self.assertTrue(row.is_transparent and row.may_continue)
        assert row.greeting is not None
        self.assertEqual(row.greeting(b"* OK hi\r\na OK\r\n"), 9)
        self.assertEqual(row.greeting(b"* OK hi"), 0)

    def test_tags_cannot_be_guessed(self) -> None:
        """Tags differ between two dialogues, and no tag is used twice in one."""
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
    """The client, given what a server may send."""

    def test_capabilities_in_the_greeting_are_asked_for_again(self) -> None:
        """A greeting may list capabilities; the client sends CAPABILITY all the same."""
        for greeting in (b"* OK", b"* ok hi", b"* OK [CAPABILITY IMAP4rev1] hi", b"* OK [ALERT] x"):
            client = after_receiving(imap.connect, greeting + b"\r\n")
            self.assertEqual(client.data_to_send(), b"fresh1 CAPABILITY\r\n")

    def test_preauth_rules_out_tls(self) -> None:
        """PREAUTH ends the dialogue, whatever is offered with it."""
        for greeting in (
            b"* PREAUTH hi",
            b"* preauth",
            b"* PREAUTH [CAPABILITY IMAP4rev1 STARTTLS] hi",
            b"* PREAUTH [CAPABILITY IMAP4rev1 AUTH=PLAIN] \x1b[2J",
        ):
            client = after_receiving(imap.connect)
            error = self.assertRaises(PreAuthenticated, client.receive_data, greeting + b"\r\n")
            self.assertTrue(str(error).isprintable())
            self.assertEqual(client.data_to_send(), b"")

    def test_a_server_may_refuse_the_connection(self) -> None:
        """BYE is reported with its text, as a greeting and later."""
        for received in (
            (b"* BYE busy\r\n",),
            (b"* bye\r\n",),
            (GREETING, b"* BYE busy\r\n"),
            (GREETING, OFFER, b"* Bye busy\r\n"),
            (GREETING, b"* BYE\r\n"),
        ):
            error = self.assertRaises(PeerLeft, after_receiving, imap.connect, *received)
            self.assertEqual(error.received, received[-1][:-2])

    def test_another_greeting_is_refused(self) -> None:
        """Other protocols, and other words, are not a greeting."""
        for line in (b"220 hi", b"+OK hi", b"* NO hi", b"* BAD", b"OK hi", b"*OK", b"* OKAY", b"",
                     b" * OK", b"*  OK", b"+ OK", b"a OK"):  # fmt: skip
            self.assertRaises(PeerMisbehaved, after_receiving, imap.connect, line + b"\r\n")

    def test_starttls_is_a_whole_word_of_the_list(self) -> None:
        """STARTTLS is a whole word of the list, in any case; other lines do not matter."""
        for offer in (
            OFFER,
            b"* capability starttls\r\nfresh1 ok\r\n",
            b"* 1 EXISTS\r\n* CAPABILITY X\r\n* CAPABILITY STARTTLS\r\nfresh1 OK x\r\n",
        ):
            client = after_receiving(imap.connect, GREETING, offer)
            self.assertEqual(client.data_to_send(), b"fresh1 CAPABILITY\r\nfresh2 STARTTLS\r\n")

    def test_tls_not_offered_ends_the_dialogue(self) -> None:
        """Without the capability the client does not send STARTTLS."""
        for offer in (
            b"",
            b"* CAPABILITY IMAP4rev1 XSTARTTLS STARTTLSX AUTH=STARTTLS\r\n",
            b"* OK STARTTLS\r\n",
            b"* OK [CAPABILITY IMAP4rev1 STARTTLS]\r\n",
            b"* XCAPABILITY STARTTLS\r\n",
            b"* CAPABILITY\r\n",
        ):
            client = after_receiving(imap.connect, GREETING)
            client.data_to_send()
            self.assertRaises(TLSNotOffered, client.receive_data, offer + b"fresh1 OK STARTTLS\r\n")
            self.assertEqual(client.data_to_send(), b"")

    def test_a_server_without_capabilities_has_no_tls(self) -> None:
        """A server that does not answer CAPABILITY with a list has no TLS."""
        for word in (b"BAD", b"NO"):
            error = self.assertRaises(
                TLSNotOffered,
                after_receiving, imap.connect, GREETING,
                b"* CAPABILITY STARTTLS\r\nfresh1 " + word + b" what?\r\n",
            )  # fmt: skip
            self.assertEqual(error.reply, b"STARTTLS " + word + b" what?")
        self.assertRaises(
            TLSNotOffered,
            after_receiving,
            imap.connect,
            GREETING,
            b"* CAPABILITY IMAP4\r\nfresh1 OK\r\n",
        )

    def test_a_refusal_of_tls_is_reported(self) -> None:
        """NO and BAD are refusals, and are reported with their text."""
        for word, code in ((b"NO", "NO"), (b"bad", "BAD")):
            error = self.assertRaises(
                TLSRefused,
                after_receiving,
                imap.connect,
                GREETING,
                OFFER,
                b"fresh2 " + word + b" not now\r\n",
            )
            self.assertEqual((error.code, error.text), (code, b"not now"))

    def test_the_greeting_is_known_after_a_refusal(self) -> None:
        """After a refusal there is still a greeting for a client that continues in plaintext."""
        client = after_receiving(imap.connect, GREETING, OFFER)
        self.assertRaises(TLSRefused, client.receive_data, b"fresh2 NO not now\r\n")
        self.assertEqual(client.wire.greeting, b"* OK ready\r\n")

    def test_only_the_go_ahead_leads_to_tls(self) -> None:
        """Continuations, other tags, other words and joined words are not a go-ahead."""
        for received in (
            b"+ continue", b"+", b"fresh1 OK", b"fresh3 OK", b"fresh2", b"fresh2OK", b"fresh2 OKAY",
            b"fresh2 ", b"fresh2  OK", b"FRESH2 OK", b" fresh2 OK", b"fresh22 OK", b"OK", b"",
            b"220 go", b"*fresh2 OK", b"a OK", b"fresh2 PREAUTH",
        ):  # fmt: skip
            client = after_receiving(imap.connect, GREETING, OFFER)
            self.assertRaises(PeerMisbehaved, client.receive_data, received + b"\r\n")
            self.assertFalse(client.is_complete)

    def test_an_answer_before_its_question_is_refused(self) -> None:
        """Answers that arrive before the command are refused, even with the right tag."""
        for received in (
            (GREETING + b"a1 OK\r\n",),
            (GREETING + OFFER,),
            (GREETING + b"* 1 EXISTS\r\n",),
            (GREETING, OFFER + b"fresh2 OK go\r\n"),
        ):
            client = after_receiving(imap.connect, *received[:-1])
            client.data_to_send()
            self.assertRaises(PeerMisbehaved, client.receive_data, received[-1])
            self.assertEqual(client.data_to_send(), b"")

    def test_untagged_responses_are_dropped(self) -> None:
        """Mails, alerts and referrals in plaintext are dropped, and never delivered."""
        for line in UNASKED:
            client = after_receiving(
                imap.connect,
                GREETING,
                line + b"\r\n" + OFFER,
                line + b"\r\n" + line + b"\r\nfresh2 OK go\r\n",
            )
            self.assertTrue(client.is_complete)
            self.assertEqual(client.outcome, b"* OK ready\r\n")

    def test_a_flood_ends_the_dialogue(self) -> None:
        """A server that sends untagged lines and no answer is not waited for without end."""
        talking = b"* 1 EXISTS\r\n"
        client = after_receiving(imap.connect, GREETING, OFFER, talking * 50 + b"fresh2 OK\r\n")
        self.assertTrue(client.is_complete)
        for before in ((GREETING,), (GREETING, OFFER)):
            error = self.assertRaises(
                PeerMisbehaved, after_receiving, imap.connect, *before, talking * 51
            )
            self.assertIn("more than 50 lines", str(error))

    def test_literals_end_the_dialogue(self) -> None:
        """A line that announces a literal ends the dialogue; the literal is not read as lines."""
        mail = b"* 1 FETCH (BODY[] {28}\r\nfresh2 OK go\r\n"
        for received in (
            (b"* OK {5}\r\n",),
            (GREETING, b"* CAPABILITY {8}\r\nSTARTTLS\r\nfresh1 OK\r\n"),
            (GREETING, OFFER, mail),
            (GREETING, OFFER, b"fresh2 OK {5+}\r\n"),
            (GREETING, OFFER, b"fresh2 NO {5}\r\n"),
        ):
            error = self.assertRaises(PeerMisbehaved, after_receiving, imap.connect, *received)
            self.assertIn("literal", str(error))

    def test_bytes_after_the_go_ahead_are_an_attack(self) -> None:
        """Bytes that arrive with the go-ahead are an attack, a BYE too."""
        for evil in (
            b"* CAPABILITY IMAP4REV1 AUTH=PLAIN\r\n2 OK done\r\n",
            b"* OK [ALERT] x\r\n",
            b"* BYE close\r\n",
        ):
            client = after_receiving(imap.connect, GREETING, OFFER)
            error = self.assertRaises(
                PlaintextInjected, client.receive_data, b"fresh2 OK\r\n" + evil
            )
            self.assertEqual(error.received, evil)
            self.assertEqual(client.outcome, b"")

    def test_hostile_text_is_escaped_and_cut(self) -> None:
        """A server's text is escaped and cut in messages."""
        hostile = b"fresh2 NO \x1b[2J\x00" + b"x" * 8000 + b"\r\n"
        error = self.assertRaises(
            TLSRefused, after_receiving, imap.connect, GREETING, OFFER, hostile
        )
        self.assertTrue(str(error).isprintable())
        self.assertLess(len(str(error)), 400)


class IMAPServerTests(SynchronousTestCase):
    """The server, given what a client may send."""

    def test_every_other_command_demands_tls(self) -> None:
        """Before TLS the server offers TLS, and nothing else."""
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
        for received, answer in rows.items():
            server = after_receiving(imap.serve, received)
            self.assertFalse(server.is_complete)
            self.assertEqual(server.data_to_send(), READY + answer, received)

    def test_every_spelling_of_the_request_is_understood(self) -> None:
        """STARTTLS is understood in any case, with any tag, and with a bare LF."""
        for received, tag in (
            (b"a1 STARTTLS\r\n", b"a1"),
            (b". starttls\n", b"."),
            (b"A]~ StartTLS \n", b"A]~"),
        ):
            server = after_receiving(imap.serve, received)
            self.assertTrue(server.is_complete)
            self.assertEqual(
                server.data_to_send(), READY + tag + b" OK Begin TLS negotiation now\r\n"
            )

    def test_bytes_after_the_request_are_an_attack(self) -> None:
        """Commands pipelined after STARTTLS, whole or not, end the dialogue without a go-ahead."""
        for evil in (
            b"B NOOP\r\nC LOGIN mallory pw\r\n",
            b"X LOGIN mallory ",
            b"X LOGIN mallory {20}\r\n",
            b"\x16\x03\x01",
        ):
            error, sent = failure_after(imap.serve, b"A STARTTLS\r\n" + evil)
            self.assertIsInstance(error, PlaintextInjected)
            self.assertEqual(sent, b"")

    def test_literals_end_the_dialogue(self) -> None:
        """A client that announces a literal is rejected before it sends the literal."""
        for received, tag in (
            (b"a LOGIN {3}\r\n", b"a"),
            (b"a LOGIN {11+}\r\nb STARTTLS\r\n joe\r\n", b"a"),
            (b"{5}\r\n", b"*"),
            (b"a STARTTLS {5}\r\n", b"a"),
        ):
            error, sent = failure_after(imap.serve, received)
            self.assertIsInstance(error, PeerMisbehaved)
            self.assertEqual(sent, READY + tag + b" BAD No literals before TLS\r\n")

    def test_passwords_in_plaintext_are_not_evaluated(self) -> None:
        """Credentials in plaintext are rejected unread, and appear in no message."""
        error, sent = failure_after(imap.serve, *[b"a LOGIN joe hunter2\r\n"] * COMMANDS)
        self.assertNotIn("hunter2", str(error))
        self.assertEqual(sent.count(b"a NO [PRIVACYREQUIRED]"), COMMANDS)

    def test_a_client_may_quit(self) -> None:
        """LOGOUT is answered, and reported as PeerLeft."""
        error, sent = failure_after(imap.serve, b"a LOGOUT\r\n")
        self.assertIsInstance(error, PeerLeft)
        self.assertEqual(sent, READY + b"* BYE\r\na OK Bye\r\n")

    def test_a_client_that_never_starts_tls_is_cut_off(self) -> None:
        """After so many commands the server gives up; the last of them may still start TLS."""
        error, sent = failure_after(imap.serve, *[b"a NOOP\r\n"] * COMMANDS)
        self.assertIsInstance(error, PeerMisbehaved)
        self.assertTrue(sent.endswith(b"a OK Done\r\n* BYE Too many commands before STARTTLS\r\n"))
        self.assertTrue(
            after_receiving(
                imap.serve, *[b"a NOOP\r\n"] * (COMMANDS - 1), b"a STARTTLS\r\n"
            ).is_complete
        )
