"""ManageSieve's way to TLS."""

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
from txtransport.starttls import sieve
from txtransport.starttls.protocols import STARTTLS_PROTOCOLS
from txtransport.starttls.wire import COMMANDS

OFFER: Final = b'"IMPLEMENTATION" "x"\r\n"SIEVE" "fileinto vacation"\r\n"STARTTLS"\r\nOK\r\n'
CAPABILITIES: Final = (
    b'"IMPLEMENTATION" "ManageSieve"\r\n"SASL" ""\r\n"SIEVE" ""\r\n"STARTTLS"\r\n'
    b'"VERSION" "1.0"\r\nOK "ready"\r\n'
)


class SieveTests(SynchronousTestCase):
    """Both sides."""

    def test_the_transcript(self) -> None:
        """A client and a server say what RFC 5804 has them say."""
        result = talk(sieve.connect, sieve.serve)
        self.assertEqual(result.by_server, [CAPABILITIES, b'OK "Begin TLS negotiation now"\r\n'])
        self.assertEqual(result.by_client, [b"STARTTLS\r\n"])

    def test_what_the_guests_hear(self) -> None:
        """Nothing: the server's capabilities come again under TLS, and only those count."""
        result = talk(sieve.connect, sieve.serve)
        self.assertEqual((result.client.outcome, result.server.outcome), (b"", b""))

    def test_the_row(self) -> None:
        """The catalogue knows its port; what a server's guest says first goes to the client."""
        row = STARTTLS_PROTOCOLS["sieve"]
        self.assertEqual((row.connect, row.serve), (sieve.connect, sieve.serve))
        self.assertEqual((row.port, row.tls_port, row.verifies), (4190, None, "host"))
        self.assertTrue(row.is_transparent)
        self.assertIsNone(row.greeting)

    def test_no_going_on_in_the_clear(self) -> None:
        """A guest would wait for capabilities that were taken already."""
        self.assertFalse(STARTTLS_PROTOCOLS["sieve"].may_continue)


class SieveClientTests(SynchronousTestCase):
    """The client's side, told what a server might say."""

    def test_capabilities(self) -> None:
        """STARTTLS is looked for by its whole name, in any case, and OK ends the list."""
        for offer in (
            OFFER,
            b'"starttls"\r\nok\r\n',
            b'"A\\"B" "x"\r\n"StartTLS" "x"\r\nOk (TAG "x") "ready"\r\n',
            b'"STARTTLS"\nOK\n',
        ):
            self.assertEqual(told(sieve.connect, offer).data_to_send(), b"STARTTLS\r\n")

    def test_c14_not_offered(self) -> None:
        """Without the capability the command is not tried."""
        for offer in (
            b"OK\r\n",
            b'OK "STARTTLS"\r\n',
            b'"SIEVE" "STARTTLS"\r\nOK\r\n',
            b'"XSTARTTLS"\r\n"STARTTLSX"\r\n"STARTTLS"x\r\n"x\\"STARTTLS"\r\n"STARTTLS\r\nOK\r\n',
        ):
            client = told(sieve.connect)
            self.assertRaises(TLSNotOffered, client.receive_data, offer)
            self.assertEqual(client.data_to_send(), b"")

    def test_c15_refused(self) -> None:
        """A server that offers TLS and says no has refused."""
        for answer, text in ((b'NO "not now"\r\n', b'"not now"'), (b"no\r\n", b"")):
            error = self.assertRaises(TLSRefused, told, sieve.connect, OFFER, answer)
            self.assertEqual((error.code, error.text), ("NO", text))

    def test_c16_answers_that_are_none(self) -> None:
        """Whatever is neither OK nor NO, whole words both, breaks the rules."""
        for said in (b'OK"go"', b"OKAY", b"+OK", b"* OK", b"", b" OK", b"382 go", b'"STARTTLS"'):
            self.assertRaises(PeerMisbehaved, told, sieve.connect, OFFER, said + b"\r\n")
        for greeting in (b"NO\r\n", b"+OK\r\n", b"220 hi\r\n", b"* OK hi\r\n", b"\r\n"):
            self.assertRaises(PeerMisbehaved, told, sieve.connect, b'"STARTTLS"\r\n' + greeting)

    def test_goodbye_of_the_server(self) -> None:
        """A server that says BYE has left, whether it was asked for TLS or not."""
        for said in ((b'BYE "busy"\r\n',), (OFFER, b'bye "busy"\r\n')):
            error = self.assertRaises(PeerLeft, told, sieve.connect, *said)
            self.assertEqual(error.received, said[-1][:-2])

    def test_c13_answers_before_their_questions(self) -> None:
        """An OK that comes with the capabilities is no answer."""
        client = told(sieve.connect)
        self.assertRaises(PeerMisbehaved, client.receive_data, OFFER + b'OK "go"\r\n')
        self.assertEqual(client.data_to_send(), b"")

    def test_c19_referrals_are_not_followed(self) -> None:
        """A server that sends us elsewhere in the clear is not obeyed."""
        said = b'BYE (REFERRAL "sieve://evil.example") "go away"\r\n'
        self.assertRaises(PeerLeft, told, sieve.connect, said)

    def test_c20_literals(self) -> None:
        """Text whose length is announced is not read as lines, and ends it."""
        for said in (
            (b'"IMPLEMENTATION" {9+}\r\n"STARTTLS"\r\nOK\r\n',),
            (b'"STARTTLS"\r\nOK {4}\r\n',),
            (OFFER, b"OK {4+}\r\n"),
            (OFFER, b"NO {4+}\r\nevil\r\n"),
        ):
            error = self.assertRaises(PeerMisbehaved, told, sieve.connect, *said)
            self.assertIn("literal", str(error))

    def test_c10_capabilities_in_the_clear_behind_the_go_ahead(self) -> None:
        """The capabilities that a server repeats come under TLS, and never before."""
        client = told(sieve.connect, OFFER)
        self.assertRaises(
            PlaintextInjected, client.receive_data, b'OK "go"\r\n"SASL" "PLAIN"\r\nOK\r\n'
        )
        self.assertEqual(client.outcome, b"")

    def test_c28_capabilities_without_end(self) -> None:
        """A list that does not end is not waited for."""
        flood = b'"X" "y"\r\n' * 1000
        self.assertRaises(PeerMisbehaved, told, sieve.connect, flood)


class SieveServerTests(SynchronousTestCase):
    """The server's side, told what a client might say."""

    def test_what_it_answers(self) -> None:
        """Before TLS there is TLS to be had and nothing else."""
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
        for said, answer in rows.items():
            server = told(sieve.serve, said)
            self.assertFalse(server.is_complete)
            self.assertEqual(server.data_to_send(), CAPABILITIES + answer)

    def test_s19_the_command(self) -> None:
        """STARTTLS is heard in any case, and with a bare LF."""
        for said in (b"STARTTLS\r\n", b"starttls\n"):
            self.assertTrue(told(sieve.serve, said).is_complete)

    def test_literals(self) -> None:
        """A client that announces a script is seen off before it sends it."""
        for said in (b'PUTSCRIPT "x" {9}\r\n', b'AUTHENTICATE "PLAIN" {20+}\r\nSTARTTLS\r\n'):
            error, heard = farewell(sieve.serve, said)
            self.assertIsInstance(error, PeerMisbehaved)
            self.assertEqual(heard, CAPABILITIES + b'BYE "No literals before TLS"\r\n')

    def test_s7_commands_behind_starttls(self) -> None:
        """What is pipelined behind STARTTLS ends it, without a go-ahead."""
        for evil in (b"NOOP\r\n", b"X", b"\x16\x03\x01"):
            error, said = farewell(sieve.serve, b"STARTTLS\r\n" + evil)
            self.assertIsInstance(error, PlaintextInjected)
            self.assertEqual(said, b"")

    def test_s20_passwords_are_not_heard(self) -> None:
        """Credentials in the clear are turned down unread, and appear in no message."""
        error, said = farewell(sieve.serve, *[b'AUTHENTICATE "PLAIN" "aHVudGVy"\r\n'] * COMMANDS)
        self.assertNotIn("aHVudGVy", str(error))
        self.assertEqual(said.count(b"ENCRYPT-NEEDED"), COMMANDS)

    def test_goodbye(self) -> None:
        """A client that leaves is seen off."""
        error, said = farewell(sieve.serve, b"LOGOUT\r\n")
        self.assertIsInstance(error, PeerLeft)
        self.assertEqual(said, CAPABILITIES + b'OK "Bye"\r\n')

    def test_s25_a_client_that_never_starts_tls(self) -> None:
        """After so many commands the server hangs up; the last of them may still start TLS."""
        error, said = farewell(sieve.serve, *[b"NOOP\r\n"] * COMMANDS)
        self.assertIsInstance(error, PeerMisbehaved)
        self.assertTrue(said.endswith(b'OK "Done"\r\nBYE "Too many commands before STARTTLS"\r\n'))
        self.assertTrue(
            told(sieve.serve, *[b"NOOP\r\n"] * (COMMANDS - 1), b"STARTTLS\r\n").is_complete
        )
