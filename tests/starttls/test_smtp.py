"""The SMTP and LMTP dialogues: ``STARTTLS``."""

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
from txtransport.starttls import smtp
from txtransport.starttls.negotiation import Negotiation
from txtransport.starttls.protocols import STARTTLS_PROTOCOLS
from txtransport.starttls.wire import COMMANDS

GREETING: Final = b"220 mail ESMTP\r\n"
OFFER: Final = b"250-mail\r\n250-SIZE 1000\r\n250 STARTTLS\r\n"


class SMTPTests(SynchronousTestCase):
    """The client and the server."""

    def test_the_dialogue_follows_the_specification(self) -> None:
        """A client and a server send what RFC 3207 specifies."""
        result = negotiate(smtp.connect, smtp.serve)
        self.assertEqual(
            result.by_server,
            [
                b"220 server.example ESMTP\r\n",
                b"250-server.example\r\n250 STARTTLS\r\n",
                b"220 2.0.0 Ready to start TLS\r\n",
            ],
        )
        self.assertEqual(result.by_client, [b"EHLO [192.0.2.7]\r\n", b"STARTTLS\r\n"])

    def test_the_dialogue_of_lmtp_follows_the_specification(self) -> None:
        """LMTP sends LHLO, and is the same otherwise (RFC 2033)."""
        result = negotiate(smtp.connect_lmtp, smtp.serve_lmtp)
        self.assertEqual(result.by_client, [b"LHLO [192.0.2.7]\r\n", b"STARTTLS\r\n"])
        self.assertEqual(result.by_server[0], b"220 server.example LMTP\r\n")
        self.assertEqual(result.client.outcome, b"220 server.example LMTP\r\n")

    def test_the_client_s_application_receives_our_greeting(self) -> None:
        """The application of a client receives a greeting; a server's receives nothing."""
        result = negotiate(smtp.connect, smtp.serve)
        self.assertEqual(result.client.outcome, b"220 server.example ESMTP\r\n")
        self.assertEqual(result.server.outcome, b"")

    def test_the_table_has_its_ports_and_options(self) -> None:
        """The table has both names, their ports, and that a client may continue in plaintext."""
        row = STARTTLS_PROTOCOLS["smtp"]
        self.assertEqual((row.connect, row.serve), (smtp.connect, smtp.serve))
        self.assertEqual((row.port, row.tls_port, row.verifies), (587, 465, "host"))
        self.assertTrue(row.is_transparent and row.may_continue)
        row = STARTTLS_PROTOCOLS["lmtp"]
        self.assertEqual((row.connect, row.serve), (smtp.connect_lmtp, smtp.serve_lmtp))
        self.assertEqual((row.port, row.tls_port), (24, None))

    def test_the_end_of_a_greeting_is_found(self) -> None:
        """The application of a server greets in one line or several, which are not sent again."""
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
    """The client, given what a server may send."""

    def test_starttls_is_found_in_any_case_and_place(self) -> None:
        """STARTTLS is found in upper or lower case, with or without parameters."""
        for offer in (OFFER, b"250-m\r\n250-starttls\r\n250 X\r\n", b"250-m\r\n250 StartTLS x\r\n"):
            client = after_receiving(smtp.connect, GREETING, offer)
            self.assertEqual(client.data_to_send(), b"EHLO [192.0.2.7]\r\nSTARTTLS\r\n")
            client.receive_data(b"220 go\r\n")
            self.assertTrue(client.is_complete)

    def test_replies_may_have_several_lines(self) -> None:
        """Greeting and go-ahead may have several lines, each with the code."""
        client = after_receiving(
            smtp.connect, b"220-a\r\n220-\r\n220 b\r\n", OFFER, b"220-2.0.0 go\r\n220 now\r\n"
        )
        self.assertTrue(client.is_complete)

    def test_tls_not_offered_ends_the_dialogue(self) -> None:
        """A server without the extension is not sent STARTTLS, whatever its texts say of TLS."""
        for offer in (
            b"250 mail\r\n",
            b"250-mail\r\n250 AUTH PLAIN\r\n",
            b"250 STARTTLS\r\n",
            b"250-mail\r\n250 XSTARTTLS\r\n",
            b"250-mail\r\n250-STARTTLSX\r\n250 AUTH STARTTLS\r\n",
        ):
            client = after_receiving(smtp.connect, GREETING)
            client.data_to_send()
            error = self.assertRaises(TLSNotOffered, client.receive_data, offer)
            self.assertIn(b"250 ", error.reply)
            self.assertEqual(client.data_to_send(), b"")

    def test_a_server_without_capabilities_has_no_tls(self) -> None:
        """A server that does not know EHLO has no TLS; HELO would not help."""
        for code in (b"500", b"502", b"554", b"421"):
            error = self.assertRaises(
                TLSNotOffered,
                after_receiving,
                smtp.connect,
                GREETING,
                code + b"-no\r\n" + code + b" STARTTLS\r\n",
            )
            self.assertEqual(error.reply, code + b" no STARTTLS")

    def test_a_refusal_of_tls_is_reported(self) -> None:
        """A refusal is reported with its code and text."""
        for code in (b"454", b"501", b"502", b"503", b"421"):
            error = self.assertRaises(
                TLSRefused, after_receiving, smtp.connect, GREETING, OFFER, code + b" 5.7.0 no\r\n"
            )
            self.assertEqual((error.code, error.text), (code.decode(), b"5.7.0 no"))

    def test_the_greeting_is_known_after_a_refusal(self) -> None:
        """After a refusal there is still a greeting for a client that continues in plaintext."""
        client = after_receiving(smtp.connect, GREETING, OFFER)
        self.assertRaises(TLSRefused, client.receive_data, b"454 not now\r\n")
        self.assertEqual(client.wire.greeting, b"220 server.example ESMTP\r\n")

    def test_an_unexpected_answer_to_ehlo_is_refused(self) -> None:
        """An answer to EHLO that is neither 250 nor negative does not mean "not offered"."""
        for code in (b"220", b"251", b"354"):
            told_ = code + b"-mail\r\n" + code + b" STARTTLS\r\n"
            self.assertRaises(PeerMisbehaved, after_receiving, smtp.connect, GREETING, told_)

    def test_only_the_go_ahead_leads_to_tls(self) -> None:
        """Only 220 leads to TLS, and no other positive reply."""
        for received in (
            b"354 x", b"250 ok", b"221 bye", b"334 go", b"+ continue", b"220ok", b"2200 x",
            b"* 220", b"x OK", b"", b"220-go\r\n250 no", b"200 ok",
        ):  # fmt: skip
            self.assertRaises(
                PeerMisbehaved, after_receiving, smtp.connect, GREETING, OFFER, received + b"\r\n"
            )

    def test_a_server_may_refuse_the_connection(self) -> None:
        """A negative greeting is reported as PeerLeft, and nothing is sent."""
        for greeting in (b"554 no service\r\n", b"421-busy\r\n421 later\r\n"):
            client = after_receiving(smtp.connect)
            error = self.assertRaises(PeerLeft, client.receive_data, greeting)
            self.assertIn(greeting[:3], error.received)
            self.assertEqual(client.data_to_send(), b"")
        for greeting in (b"250 hi\r\n", b"+OK hi\r\n", b"* OK hi\r\n", b"SSH-2.0-x\r\n"):
            self.assertRaises(PeerMisbehaved, after_receiving, smtp.connect, greeting)

    def test_an_answer_before_its_question_is_refused(self) -> None:
        """What arrives with a greeting or a list is not the answer to a later command."""
        for received in (
            (GREETING + OFFER + b"220 go\r\n",),
            (GREETING + b"2",),
            (GREETING, OFFER + b"220 go\r\n"),
        ):
            client = after_receiving(smtp.connect, *received[:-1])
            client.data_to_send()
            self.assertRaises(PeerMisbehaved, client.receive_data, received[-1])
            self.assertEqual(client.data_to_send(), b"")

    def test_bytes_after_the_go_ahead_are_an_attack(self) -> None:
        """Replies that arrive with the go-ahead are an attack, and are not delivered."""
        client = after_receiving(smtp.connect, GREETING, OFFER)
        evil = b"250-evil\r\n250 AUTH LOGIN PLAIN\r\n235 ok\r\n"
        error = self.assertRaises(PlaintextInjected, client.receive_data, b"220 go\r\n" + evil)
        self.assertEqual(error.received, evil)
        self.assertEqual(client.outcome, b"")

    def test_hostile_text_is_escaped_and_cut(self) -> None:
        """A server's text is escaped and cut in messages."""
        error = self.assertRaises(
            TLSRefused,
            after_receiving,
            smtp.connect,
            GREETING,
            OFFER,
            b"454 \x1b[2J\x00" + b"x" * 8000 + b"\r\n",
        )
        self.assertTrue(str(error).isprintable())
        self.assertLess(len(str(error)), 400)


class SMTPServerTests(SynchronousTestCase):
    """The server, given what a client may send."""

    def answer(self, received: bytes) -> bytes:
        """What the server sends in answer to a line, after which the dialogue continues."""
        server = Negotiation(smtp.serve)
        server.data_to_send()
        server.receive_data(received)
        self.assertFalse(server.is_complete)
        return server.data_to_send()

    def test_every_other_command_demands_tls(self) -> None:
        """Before TLS the server offers TLS, and nothing else."""
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
        for received, answer in rows.items():
            self.assertEqual(self.answer(received), answer, received)

    def test_lmtp_has_no_helo(self) -> None:
        """LMTP has LHLO only."""
        for received in (b"HELO x\r\n", b"EHLO x\r\n"):
            server = after_receiving(smtp.serve_lmtp, received)
            self.assertTrue(
                server.data_to_send().endswith(b"530 5.7.0 Must issue a STARTTLS command first\r\n")
            )

    def test_every_spelling_of_the_request_is_understood(self) -> None:
        """STARTTLS is understood in any case, without EHLO and with a bare LF, not with two CRs."""
        for received in (b"STARTTLS\r\n", b"starttls\r\n", b"StartTLS \n", b"STARTTLS\n"):
            self.assertTrue(after_receiving(smtp.serve, received).is_complete)
        self.assertTrue(self.answer(b"STARTTLS\r\r\n").startswith(b"530"))
        self.assertEqual(self.answer(b"STARTTLS\r"), b"")

    def test_passwords_in_plaintext_are_not_evaluated(self) -> None:
        """Credentials in plaintext are rejected unread, and appear in no message."""
        self.assertTrue(self.answer(b"AUTH PLAIN AGpvZQBzZWNyZXQ=\r\n").startswith(b"530 5.7.0"))
        error, _ = failure_after(smtp.serve, b"AUTH PLAIN AGpvZQBzZWNyZXQ=\r\n" * COMMANDS)
        self.assertNotIn("AGpv", str(error))

    def test_bytes_after_the_request_are_an_attack(self) -> None:
        """Commands pipelined after STARTTLS end the dialogue: no go-ahead, and no answer."""
        for evil in (b"EHLO evil\r\n", b"MAIL FROM:<x>\r\nDATA\r\n", b"x", b"\x16\x03\x01\x02\x00"):
            error, sent = failure_after(smtp.serve, b"EHLO a\r\nSTARTTLS\r\n" + evil)
            self.assertIsInstance(error, PlaintextInjected)
            self.assertEqual(sent, b"")

    def test_pipelining_before_the_request_is_allowed(self) -> None:
        """Commands that arrive together before STARTTLS are answered one after the other."""
        server = after_receiving(smtp.serve, b"EHLO a\r\nNOOP\r\nSTARTTLS\r\n")
        self.assertTrue(server.is_complete)
        self.assertEqual(server.data_to_send().count(b"\r\n"), 5)

    def test_a_client_may_quit(self) -> None:
        """QUIT is answered, and reported as PeerLeft."""
        error, sent = failure_after(smtp.serve, b"QUIT\r\n")
        self.assertIsInstance(error, PeerLeft)
        self.assertEqual(sent, b"220 server.example ESMTP\r\n221 2.0.0 Bye\r\n")

    def test_a_client_that_never_starts_tls_is_cut_off(self) -> None:
        """After so many commands the server gives up; the last of them may still start TLS."""
        error, sent = failure_after(smtp.serve, *[b"NOOP\r\n"] * COMMANDS)
        self.assertIsInstance(error, PeerMisbehaved)
        self.assertTrue(
            sent.endswith(b"250 2.0.0 Ok\r\n421 4.7.0 Too many commands before STARTTLS\r\n")
        )
        self.assertTrue(
            after_receiving(
                smtp.serve, *[b"NOOP\r\n"] * (COMMANDS - 1), b"STARTTLS\r\n"
            ).is_complete
        )
