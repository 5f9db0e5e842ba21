"""SMTP's and LMTP's way to TLS."""

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
from txtransport.starttls import smtp
from txtransport.starttls.negotiation import Negotiation
from txtransport.starttls.protocols import STARTTLS_PROTOCOLS
from txtransport.starttls.wire import COMMANDS

GREETING: Final = b"220 mail ESMTP\r\n"
OFFER: Final = b"250-mail\r\n250-SIZE 1000\r\n250 STARTTLS\r\n"


class SMTPTests(SynchronousTestCase):
    """Both sides."""

    def test_the_transcript(self) -> None:
        """A client and a server say what RFC 3207 has them say."""
        result = talk(smtp.connect, smtp.serve)
        self.assertEqual(
            result.by_server,
            [
                b"220 server.example ESMTP\r\n",
                b"250-server.example\r\n250 STARTTLS\r\n",
                b"220 2.0.0 Ready to start TLS\r\n",
            ],
        )
        self.assertEqual(result.by_client, [b"EHLO [192.0.2.7]\r\n", b"STARTTLS\r\n"])

    def test_the_transcript_of_lmtp(self) -> None:
        """LMTP says LHLO, and is the same otherwise (RFC 2033)."""
        result = talk(smtp.connect_lmtp, smtp.serve_lmtp)
        self.assertEqual(result.by_client, [b"LHLO [192.0.2.7]\r\n", b"STARTTLS\r\n"])
        self.assertEqual(result.by_server[0], b"220 server.example LMTP\r\n")
        self.assertEqual(result.client.outcome, b"220 server.example LMTP\r\n")

    def test_what_the_guests_hear(self) -> None:
        """A client's guest hears a greeting in our words; a server's begins by itself."""
        result = talk(smtp.connect, smtp.serve)
        self.assertEqual(result.client.outcome, b"220 server.example ESMTP\r\n")
        self.assertEqual(result.server.outcome, b"")

    def test_the_row(self) -> None:
        """The catalogue knows both names, their ports, and that they may go on in the clear."""
        row = STARTTLS_PROTOCOLS["smtp"]
        self.assertEqual((row.connect, row.serve), (smtp.connect, smtp.serve))
        self.assertEqual((row.port, row.tls_port, row.verifies), (587, 465, "host"))
        self.assertTrue(row.is_transparent and row.may_continue)
        row = STARTTLS_PROTOCOLS["lmtp"]
        self.assertEqual((row.connect, row.serve), (smtp.connect_lmtp, smtp.serve_lmtp))
        self.assertEqual((row.port, row.tls_port), (24, None))

    def test_the_greeting_that_is_kept_back(self) -> None:
        """A server's guest greets in one line or in several; the client has heard it already."""
        for name in ("smtp", "lmtp"):
            end = STARTTLS_PROTOCOLS[name].greeting
            assert end is not None
            for greeting in (
                b"220 hi\r\n",
                b"220\n",
                b"220-a\r\n220-b\r\n220 c\r\n",
                b"220-a\r\n220\r\n",
            ):
                self.assertEqual(end(greeting), len(greeting))
                self.assertEqual(end(greeting + b"250 more\r\n"), len(greeting))
                for place in range(len(greeting)):
                    self.assertEqual(end(greeting[:place]), 0, greeting[:place])


class SMTPClientTests(SynchronousTestCase):
    """The client's side, told what a server might say."""

    def test_keywords_in_any_case_and_place(self) -> None:
        """An extension is offered in upper or lower case, with or without something behind it."""
        for offer in (OFFER, b"250-m\r\n250-starttls\r\n250 X\r\n", b"250-m\r\n250 StartTLS x\r\n"):
            client = told(smtp.connect, GREETING, offer)
            self.assertEqual(client.data_to_send(), b"EHLO [192.0.2.7]\r\nSTARTTLS\r\n")
            client.receive_data(b"220 go\r\n")
            self.assertTrue(client.is_complete)

    def test_replies_of_several_lines(self) -> None:
        """Greeting and go-ahead may have several lines, each with the code."""
        client = told(
            smtp.connect, b"220-a\r\n220-\r\n220 b\r\n", OFFER, b"220-2.0.0 go\r\n220 now\r\n"
        )
        self.assertTrue(client.is_complete)

    def test_c14_not_offered(self) -> None:
        """A server without the extension is not asked for it, whatever else it says of TLS."""
        for offer in (
            b"250 mail\r\n",
            b"250-mail\r\n250 AUTH PLAIN\r\n",
            b"250 STARTTLS\r\n",
            b"250-mail\r\n250 XSTARTTLS\r\n",
            b"250-mail\r\n250-STARTTLSX\r\n250 AUTH STARTTLS\r\n",
        ):
            client = told(smtp.connect, GREETING)
            client.data_to_send()
            error = self.assertRaises(TLSNotOffered, client.receive_data, offer)
            self.assertIn(b"250 ", error.reply)
            self.assertEqual(client.data_to_send(), b"")

    def test_c17_no_extensions_at_all(self) -> None:
        """A server that does not know EHLO has no TLS; HELO would not help."""
        for code in (b"500", b"502", b"554", b"421"):
            error = self.assertRaises(
                TLSNotOffered,
                told,
                smtp.connect,
                GREETING,
                code + b"-no\r\n" + code + b" STARTTLS\r\n",
            )
            self.assertEqual(error.reply, code + b" no STARTTLS")

    def test_c15_refused(self) -> None:
        """Whatever refuses is told with its code and text."""
        for code in (b"454", b"501", b"502", b"503", b"421"):
            error = self.assertRaises(
                TLSRefused, told, smtp.connect, GREETING, OFFER, code + b" 5.7.0 no\r\n"
            )
            self.assertEqual((error.code, error.text), (code.decode(), b"5.7.0 no"))

    def test_c32_going_on_in_the_clear(self) -> None:
        """After a refusal there is still a greeting for the guest, if it is to go on."""
        client = told(smtp.connect, GREETING, OFFER)
        self.assertRaises(TLSRefused, client.receive_data, b"454 not now\r\n")
        self.assertEqual(client.wire.greeting, b"220 server.example ESMTP\r\n")

    def test_c16_an_answer_to_ehlo_that_is_neither(self) -> None:
        """Neither yes nor no is no reason to go on in the clear."""
        for code in (b"220", b"251", b"354"):
            told_ = code + b"-mail\r\n" + code + b" STARTTLS\r\n"
            self.assertRaises(PeerMisbehaved, told, smtp.connect, GREETING, told_)

    def test_c16_answers_that_are_none(self) -> None:
        """Nothing but 220 leads to TLS, be it ever so positive."""
        for said in (
            b"354 x", b"250 ok", b"221 bye", b"334 go", b"+ continue", b"220ok", b"2200 x",
            b"* 220", b"x OK", b"", b"220-go\r\n250 no", b"200 ok",
        ):  # fmt: skip
            self.assertRaises(PeerMisbehaved, told, smtp.connect, GREETING, OFFER, said + b"\r\n")

    def test_a_server_that_turns_us_away(self) -> None:
        """A greeting that says no is told, and nothing more is said."""
        for greeting in (b"554 no service\r\n", b"421-busy\r\n421 later\r\n"):
            client = told(smtp.connect)
            error = self.assertRaises(PeerLeft, client.receive_data, greeting)
            self.assertIn(greeting[:3], error.received)
            self.assertEqual(client.data_to_send(), b"")
        for greeting in (b"250 hi\r\n", b"+OK hi\r\n", b"* OK hi\r\n", b"SSH-2.0-x\r\n"):
            self.assertRaises(PeerMisbehaved, told, smtp.connect, greeting)

    def test_c13_answers_before_their_questions(self) -> None:
        """What comes with a greeting or a list is no answer to what was not asked yet."""
        for said in (
            (GREETING + OFFER + b"220 go\r\n",),
            (GREETING + b"2",),
            (GREETING, OFFER + b"220 go\r\n"),
        ):
            client = told(smtp.connect, *said[:-1])
            client.data_to_send()
            self.assertRaises(PeerMisbehaved, client.receive_data, said[-1])
            self.assertEqual(client.data_to_send(), b"")

    def test_c1_a_session_behind_the_go_ahead(self) -> None:
        """Replies that came with the go-ahead are an attack, and no one hears them."""
        client = told(smtp.connect, GREETING, OFFER)
        evil = b"250-evil\r\n250 AUTH LOGIN PLAIN\r\n235 ok\r\n"
        error = self.assertRaises(PlaintextInjected, client.receive_data, b"220 go\r\n" + evil)
        self.assertEqual(error.received, evil)
        self.assertEqual(client.outcome, b"")

    def test_c21_hostile_text(self) -> None:
        """What a server says goes into messages escaped and cut."""
        error = self.assertRaises(
            TLSRefused,
            told,
            smtp.connect,
            GREETING,
            OFFER,
            b"454 \x1b[2J\x00" + b"x" * 8000 + b"\r\n",
        )
        self.assertTrue(str(error).isprintable())
        self.assertLess(len(str(error)), 400)


class SMTPServerTests(SynchronousTestCase):
    """The server's side, told what a client might say."""

    def answer(self, said: bytes) -> bytes:
        """What the server says to a line, and goes on."""
        server = Negotiation(smtp.serve)
        server.data_to_send()
        server.receive_data(said)
        self.assertFalse(server.is_complete)
        return server.data_to_send()

    def test_what_it_answers(self) -> None:
        """Before TLS there is TLS to be had and nothing else."""
        must = b"530 5.7.0 Must issue a STARTTLS command first\r\n"
        rows = {
            b"EHLO x\r\n": b"250-localhost\r\n250 STARTTLS\r\n",
            b"ehlo x\n": b"250-localhost\r\n250 STARTTLS\r\n",
            b"HELO x\r\n": b"250 localhost\r\n",
            b"NOOP\r\n": b"250 2.0.0 Ok\r\n",
            b"RSET\r\n": b"250 2.0.0 Ok\r\n",
            b"STARTTLS now\r\n": b"501 5.5.4 No parameters allowed\r\n",
            b"MAIL FROM:<x@example>\r\n": must,
            b"LHLO x\r\n": must,
            b"\r\n": must,
            b"\x16\x03\x01\r\n": must,
        }
        for said, answer in rows.items():
            self.assertEqual(self.answer(said), answer, said)

    def test_lmtp_has_no_helo(self) -> None:
        """LMTP knows LHLO alone."""
        for said in (b"HELO x\r\n", b"EHLO x\r\n"):
            server = told(smtp.serve_lmtp, said)
            self.assertTrue(
                server.data_to_send().endswith(b"530 5.7.0 Must issue a STARTTLS command first\r\n")
            )

    def test_s19_the_command(self) -> None:
        """STARTTLS is heard in any case, without EHLO and with a bare LF; a CR too many is not."""
        for said in (b"STARTTLS\r\n", b"starttls\r\n", b"StartTLS \n", b"STARTTLS\n"):
            self.assertTrue(told(smtp.serve, said).is_complete)
        self.assertTrue(self.answer(b"STARTTLS\r\r\n").startswith(b"530"))
        self.assertEqual(self.answer(b"STARTTLS\r"), b"")

    def test_s20_passwords_are_not_heard(self) -> None:
        """Credentials in the clear are turned down unread, and appear in no message."""
        self.assertTrue(self.answer(b"AUTH PLAIN AGpvZQBzZWNyZXQ=\r\n").startswith(b"530 5.7.0"))
        error, _ = farewell(smtp.serve, b"AUTH PLAIN AGpvZQBzZWNyZXQ=\r\n" * COMMANDS)
        self.assertNotIn("AGpv", str(error))

    def test_s1_s2_commands_behind_starttls(self) -> None:
        """What is pipelined behind STARTTLS ends it; there is neither a go-ahead nor an answer."""
        for evil in (b"EHLO evil\r\n", b"MAIL FROM:<x>\r\nDATA\r\n", b"x", b"\x16\x03\x01\x02\x00"):
            error, said = farewell(smtp.serve, b"EHLO a\r\nSTARTTLS\r\n" + evil)
            self.assertIsInstance(error, PlaintextInjected)
            self.assertEqual(said, b"")

    def test_pipelining_before_it_is_harmless(self) -> None:
        """Commands that came together are answered one after the other."""
        server = told(smtp.serve, b"EHLO a\r\nNOOP\r\nSTARTTLS\r\n")
        self.assertTrue(server.is_complete)
        self.assertEqual(server.data_to_send().count(b"\r\n"), 5)

    def test_goodbye(self) -> None:
        """A client that leaves is seen off."""
        error, said = farewell(smtp.serve, b"QUIT\r\n")
        self.assertIsInstance(error, PeerLeft)
        self.assertEqual(said, b"220 server.example ESMTP\r\n221 2.0.0 Bye\r\n")

    def test_s25_a_client_that_never_starts_tls(self) -> None:
        """After so many commands the server hangs up; the last of them may still start TLS."""
        error, said = farewell(smtp.serve, *[b"NOOP\r\n"] * COMMANDS)
        self.assertIsInstance(error, PeerMisbehaved)
        self.assertTrue(
            said.endswith(b"250 2.0.0 Ok\r\n421 4.7.0 Too many commands before STARTTLS\r\n")
        )
        self.assertTrue(
            told(smtp.serve, *[b"NOOP\r\n"] * (COMMANDS - 1), b"STARTTLS\r\n").is_complete
        )
