"""The ManageSieve dialogue: ``STARTTLS``."""

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
from txtransport.starttls import sieve
from txtransport.starttls.protocols import STARTTLS_PROTOCOLS
from txtransport.starttls.wire import COMMANDS

OFFER: Final = b'"IMPLEMENTATION" "x"\r\n"SIEVE" "fileinto vacation"\r\n"STARTTLS"\r\nOK\r\n'
CAPABILITIES: Final = (
    b'"IMPLEMENTATION" "ManageSieve"\r\n"SASL" ""\r\n"SIEVE" ""\r\n"STARTTLS"\r\n'
    b'"VERSION" "1.0"\r\nOK "ready"\r\n'
)


class SieveTests(SynchronousTestCase):
    """The client and the server."""

    def test_the_dialogue_follows_the_specification(self) -> None:
        """A client and a server send what RFC 5804 specifies."""
        result = negotiate(sieve.connect, sieve.serve)
        self.assertEqual(result.by_server, [CAPABILITIES, b'OK "Begin TLS negotiation now"\r\n'])
        self.assertEqual(result.by_client, [b"STARTTLS\r\n"])

    def test_the_application_receives_nothing(self) -> None:
        """The server sends its capabilities again under TLS, and only those count."""
        result = negotiate(sieve.connect, sieve.serve)
        self.assertEqual((result.client.outcome, result.server.outcome), (b"", b""))

    def test_the_table_has_its_ports_and_options(self) -> None:
        """The table has its port; what a server's application sends first goes to the client."""
        row = STARTTLS_PROTOCOLS["sieve"]
        self.assertEqual((row.connect, row.serve), (sieve.connect, sieve.serve))
        self.assertEqual((row.port, row.tls_port, row.verifies), (4190, None, "host"))
        self.assertTrue(row.is_transparent)
        self.assertIsNone(row.greeting)

    def test_a_client_cannot_continue_in_plaintext(self) -> None:
        """An application would wait for capabilities that the dialogue has taken."""
        self.assertFalse(STARTTLS_PROTOCOLS["sieve"].may_continue)


class SieveClientTests(SynchronousTestCase):
    """The client, given what a server may send."""

    def test_starttls_is_a_capability_of_its_own(self) -> None:
        """STARTTLS is looked for by its whole name, in any case, and OK ends the list."""
        for offer in (
            OFFER,
            b'"starttls"\r\nok\r\n',
            b'"A\\"B" "x"\r\n"StartTLS" "x"\r\nOk (TAG "x") "ready"\r\n',
            b'"STARTTLS"\nOK\n',
        ):
            self.assertEqual(after_receiving(sieve.connect, offer).data_to_send(), b"STARTTLS\r\n")

    def test_tls_not_offered_ends_the_dialogue(self) -> None:
        """Without the capability the client does not send STARTTLS."""
        for offer in (
            b"OK\r\n",
            b'OK "STARTTLS"\r\n',
            b'"SIEVE" "STARTTLS"\r\nOK\r\n',
            b'"XSTARTTLS"\r\n"STARTTLSX"\r\n"STARTTLS"x\r\n"x\\"STARTTLS"\r\n"STARTTLS\r\nOK\r\n',
        ):
            client = after_receiving(sieve.connect)
            self.assertRaises(TLSNotOffered, client.receive_data, offer)
            self.assertEqual(client.data_to_send(), b"")

    def test_a_refusal_of_tls_is_reported(self) -> None:
        """A server that lists STARTTLS and answers NO has refused TLS."""
        for answer, text in ((b'NO "not now"\r\n', b'"not now"'), (b"no\r\n", b"")):
            error = self.assertRaises(TLSRefused, after_receiving, sieve.connect, OFFER, answer)
            self.assertEqual((error.code, error.text), ("NO", text))

    def test_only_the_go_ahead_leads_to_tls(self) -> None:
        """An answer that is neither OK nor NO, as a whole word, breaks the protocol."""
        for received in (
            b'OK"go"',
            b"OKAY",
            b"+OK",
            b"* OK",
            b"",
            b" OK",
            b"382 go",
            b'"STARTTLS"',
        ):
            self.assertRaises(
                PeerMisbehaved, after_receiving, sieve.connect, OFFER, received + b"\r\n"
            )
        for greeting in (b"NO\r\n", b"+OK\r\n", b"220 hi\r\n", b"* OK hi\r\n", b"\r\n"):
            self.assertRaises(
                PeerMisbehaved, after_receiving, sieve.connect, b'"STARTTLS"\r\n' + greeting
            )

    def test_a_server_may_refuse_the_connection(self) -> None:
        """BYE is reported as PeerLeft, before and after STARTTLS."""
        for received in ((b'BYE "busy"\r\n',), (OFFER, b'bye "busy"\r\n')):
            error = self.assertRaises(PeerLeft, after_receiving, sieve.connect, *received)
            self.assertEqual(error.received, received[-1][:-2])

    def test_an_answer_before_its_question_is_refused(self) -> None:
        """An OK that arrives with the capabilities is not the answer to STARTTLS."""
        client = after_receiving(sieve.connect)
        self.assertRaises(PeerMisbehaved, client.receive_data, OFFER + b'OK "go"\r\n')
        self.assertEqual(client.data_to_send(), b"")

    def test_referrals_are_not_followed(self) -> None:
        """A BYE with a referral is reported as PeerLeft; its server is not connected to."""
        received = b'BYE (REFERRAL "sieve://evil.example") "go away"\r\n'
        self.assertRaises(PeerLeft, after_receiving, sieve.connect, received)

    def test_literals_end_the_dialogue(self) -> None:
        """A line that announces a literal ends the dialogue; the literal is not read as lines."""
        for received in (
            (b'"IMPLEMENTATION" {9+}\r\n"STARTTLS"\r\nOK\r\n',),
            (b'"STARTTLS"\r\nOK {4}\r\n',),
            (OFFER, b"OK {4+}\r\n"),
            (OFFER, b"NO {4+}\r\nevil\r\n"),
        ):
            error = self.assertRaises(PeerMisbehaved, after_receiving, sieve.connect, *received)
            self.assertIn("literal", str(error))

    def test_bytes_after_the_go_ahead_are_an_attack(self) -> None:
        """The capabilities that a server repeats come under TLS, and never before."""
        client = after_receiving(sieve.connect, OFFER)
        self.assertRaises(
            PlaintextInjected, client.receive_data, b'OK "go"\r\n"SASL" "PLAIN"\r\nOK\r\n'
        )
        self.assertEqual(client.outcome, b"")

    def test_a_flood_ends_the_dialogue(self) -> None:
        """A list that does not end is not waited for without end."""
        flood = b'"X" "y"\r\n' * 1000
        self.assertRaises(PeerMisbehaved, after_receiving, sieve.connect, flood)


class SieveServerTests(SynchronousTestCase):
    """The server, given what a client may send."""

    def test_every_other_command_demands_tls(self) -> None:
        """Before TLS the server offers TLS, and nothing else."""
        required = b'NO (ENCRYPT-NEEDED) "TLS required"\r\n'
        rows = {
            b"CAPABILITY\r\n": CAPABILITIES,
            b"noop\n": b'OK "Done"\r\n',
            b"STARTTLS now\r\n": b'NO "STARTTLS takes no arguments"\r\n',
            b"STARTTLS\r\r\n": required,
            b'AUTHENTICATE "PLAIN" "AGpvZQBzZWNyZXQ="\r\n': required,
            b"LISTSCRIPTS\r\n": required,
            b"\r\n": required,
        }
        for received, answer in rows.items():
            server = after_receiving(sieve.serve, received)
            self.assertFalse(server.is_complete)
            self.assertEqual(server.data_to_send(), CAPABILITIES + answer)

    def test_every_spelling_of_the_request_is_understood(self) -> None:
        """STARTTLS is understood in any case, and with a bare LF."""
        for received in (b"STARTTLS\r\n", b"starttls\n"):
            self.assertTrue(after_receiving(sieve.serve, received).is_complete)

    def test_literals_end_the_dialogue(self) -> None:
        """A client that announces a script is rejected before it sends the script."""
        for received in (b'PUTSCRIPT "x" {9}\r\n', b'AUTHENTICATE "PLAIN" {20+}\r\nSTARTTLS\r\n'):
            error, sent = failure_after(sieve.serve, received)
            self.assertIsInstance(error, PeerMisbehaved)
            self.assertEqual(sent, CAPABILITIES + b'BYE "No literals before TLS"\r\n')

    def test_bytes_after_the_request_are_an_attack(self) -> None:
        """Commands pipelined after STARTTLS end the dialogue, without a go-ahead."""
        for evil in (b"NOOP\r\n", b"X", b"\x16\x03\x01"):
            error, sent = failure_after(sieve.serve, b"STARTTLS\r\n" + evil)
            self.assertIsInstance(error, PlaintextInjected)
            self.assertEqual(sent, b"")

    def test_passwords_in_plaintext_are_not_evaluated(self) -> None:
        """Credentials in plaintext are rejected unread, and appear in no message."""
        error, sent = failure_after(
            sieve.serve, *[b'AUTHENTICATE "PLAIN" "aHVudGVy"\r\n'] * COMMANDS
        )
        self.assertNotIn("aHVudGVy", str(error))
        self.assertEqual(sent.count(b"ENCRYPT-NEEDED"), COMMANDS)

    def test_a_client_may_quit(self) -> None:
        """LOGOUT is answered, and reported as PeerLeft."""
        error, sent = failure_after(sieve.serve, b"LOGOUT\r\n")
        self.assertIsInstance(error, PeerLeft)
        self.assertEqual(sent, CAPABILITIES + b'OK "Bye"\r\n')

    def test_a_client_that_never_starts_tls_is_cut_off(self) -> None:
        """After so many commands the server gives up; the last of them may still start TLS."""
        error, sent = failure_after(sieve.serve, *[b"NOOP\r\n"] * COMMANDS)
        self.assertIsInstance(error, PeerMisbehaved)
        self.assertTrue(sent.endswith(b'OK "Done"\r\nBYE "Too many commands before STARTTLS"\r\n'))
        self.assertTrue(
            after_receiving(
                sieve.serve, *[b"NOOP\r\n"] * (COMMANDS - 1), b"STARTTLS\r\n"
            ).is_complete
        )
