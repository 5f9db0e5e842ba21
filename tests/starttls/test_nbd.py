"""The NBD dialogue: ``NBD_OPT_STARTTLS``, with the bytes of the specification."""

from __future__ import annotations

from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from tests.starttls.in_memory import after_receiving, byte_by_byte, negotiate
from txtransport.errors import (
    PeerLeft,
    PeerMisbehaved,
    PlaintextInjected,
    TLSNotOffered,
    TLSRefused,
)
from txtransport.starttls import nbd
from txtransport.starttls.wire import COMMANDS

GREETING: Final = b"NBDMAGICIHAVEOPT\x00\x03"
OLDSTYLE: Final = b"NBDMAGIC" + bytes.fromhex("0000420281861253") + bytes(136)
STARTTLS: Final = b"IHAVEOPT" + bytes.fromhex("00000005 00000000")
ACK: Final = bytes.fromhex("0003e889045565a9 00000005 00000001 00000000")


def option(number: int, data: bytes = b"") -> bytes:
    """An option request of a client."""
    return b"IHAVEOPT" + number.to_bytes(4, "big") + len(data).to_bytes(4, "big") + data


def answer(kind: int, data: bytes = b"", to: int = 5) -> bytes:
    """A server's reply to an option."""
    numbers = (to, kind, len(data))
    return ACK[:8] + b"".join(number.to_bytes(4, "big") for number in numbers) + data


class NBDTests(SynchronousTestCase):
    """The client and the server."""

    def test_the_dialogue_follows_the_specification(self) -> None:
        """A client and a server send what the specification demands."""
        result = negotiate(nbd.connect, nbd.serve)
        self.assertEqual(result.by_server, [GREETING, ACK])
        self.assertEqual(result.by_client, [b"\0\0\0\x03" + STARTTLS])

    def test_the_outcome_is_the_client_s_flags(self) -> None:
        """On both sides the outcome is the flags that the client has set."""
        result = negotiate(nbd.connect, nbd.serve)
        self.assertEqual(result.client.outcome, b"\0\0\0\x03")
        self.assertEqual(result.server.outcome, b"\0\0\0\x03")


class NBDClientTests(SynchronousTestCase):
    """The client, given what a server may send."""

    def test_flags_that_only_the_server_knows_are_not_set(self) -> None:
        """The client sets a flag only if both sides know it."""
        for offered, set_ in ((b"\x00\x01", 1), (b"\xff\xff", 3), (b"\x80\x03", 3)):
            client = after_receiving(nbd.connect, GREETING[:16] + offered)
            self.assertEqual(client.data_to_send(), bytes((0, 0, 0, set_)) + STARTTLS)
            client.receive_data(ACK)
            self.assertEqual(client.outcome, bytes((0, 0, 0, set_)))

    def test_tls_not_offered_ends_the_dialogue(self) -> None:
        """A server without the fixed newstyle has no TLS, and is sent nothing."""
        for greeting in (OLDSTYLE, GREETING[:16] + b"\x00\x00", GREETING[:16] + b"\x00\x02"):
            client = after_receiving(nbd.connect)
            self.assertRaises(TLSNotOffered, client.receive_data, greeting)
            self.assertEqual(client.data_to_send(), b"")

    def test_another_greeting_is_refused(self) -> None:
        """The error for a server of another protocol shows what it sent."""
        for greeting in (b"220 mail.example.com ESMTP\r\n", b"NBDMAGIC" + b"x" * 10):
            error = self.assertRaises(PeerMisbehaved, after_receiving, nbd.connect, greeting)
            self.assertIn(repr(greeting[:18]), str(error))

    def test_an_answer_before_its_question_is_refused(self) -> None:
        """An acknowledgement that arrives with the greeting is not an answer."""
        client = after_receiving(nbd.connect)
        self.assertRaises(PeerMisbehaved, client.receive_data, GREETING + ACK)
        self.assertEqual(client.data_to_send(), b"")

    def test_an_unknown_option_means_that_tls_is_not_offered(self) -> None:
        """A server that does not know the option is told apart from one that refuses TLS."""
        for text in (b"", b"no such option"):
            error = self.assertRaises(
                TLSNotOffered, after_receiving, nbd.connect, GREETING, answer(0x80000001, text)
            )
            self.assertEqual(error.reply, text)

    def test_a_refusal_of_tls_is_reported(self) -> None:
        """A refusal is reported with the protocol's code and the server's text."""
        for kind, code in ((0x80000002, "0x80000002"), (0x80000005, "0x80000005")):
            error = self.assertRaises(
                TLSRefused,
                after_receiving,
                nbd.connect,
                GREETING,
                *byte_by_byte(answer(kind, b"not you\x1b")),
            )
            self.assertEqual((error.code, error.text), (code, b"not you\x1b"))
            self.assertTrue(str(error).isprintable())

    def test_only_the_go_ahead_leads_to_tls(self) -> None:
        """Replies of another kind, to another option, or with data never lead to TLS."""
        for reply in (
            answer(2),
            answer(0),
            answer(0x7FFFFFFF),
            answer(1, b"x"),
            answer(1, to=6),
            b"IHAVEOPT" + ACK[8:],
        ):
            client = after_receiving(nbd.connect, GREETING)
            self.assertRaises(PeerMisbehaved, client.receive_data, reply)
            self.assertFalse(client.is_complete)

    def test_a_huge_refusal_is_refused_at_its_header(self) -> None:
        """The announced size of a text is checked before a byte of it is waited for."""
        huge = answer(0x80000002)[:-4] + b"\xff\xff\xff\xff"
        self.assertRaises(PeerMisbehaved, after_receiving, nbd.connect, GREETING, huge)

    def test_bytes_after_the_go_ahead_are_an_attack(self) -> None:
        """Bytes after the acknowledgement are an attack, such as replies to later options."""
        self.assertRaises(
            PlaintextInjected, after_receiving, nbd.connect, GREETING, ACK + answer(3, to=7)
        )


class NBDServerTests(SynchronousTestCase):
    """The server, given what a client may send."""

    def test_every_other_command_demands_tls(self) -> None:
        """List, info, go and unknown options, with or without data, get the same answer."""
        for number in (3, 6, 7, 8, 99):
            server = after_receiving(nbd.serve, b"\0\0\0\x03", option(number, b"disk"))
            self.assertEqual(server.data_to_send(), GREETING + answer(0x80000005, to=number))
            server.receive_data(STARTTLS)
            self.assertTrue(server.is_complete)
            self.assertEqual(server.data_to_send(), ACK)

    def test_a_request_with_data_may_be_repeated_without(self) -> None:
        """STARTTLS with data is answered, and may be sent again without."""
        server = after_receiving(nbd.serve, b"\0\0\0\x01", option(5, b"x"))
        self.assertEqual(server.data_to_send(), GREETING + answer(0x80000003))
        server.receive_data(STARTTLS)
        self.assertEqual(server.outcome, b"\0\0\0\x01")

    def test_a_client_may_quit(self) -> None:
        """NBD_OPT_ABORT is answered, and reported as PeerLeft."""
        server = after_receiving(nbd.serve, b"\0\0\0\x03")
        self.assertRaises(PeerLeft, server.receive_data, option(2))
        self.assertEqual(server.data_to_send(), GREETING + answer(1, to=2))

    def test_an_export_in_plaintext_ends_the_dialogue(self) -> None:
        """NBD_OPT_EXPORT_NAME has no error reply, so the dialogue ends."""
        server = after_receiving(nbd.serve, b"\0\0\0\x03")
        server.data_to_send()
        self.assertRaises(PeerMisbehaved, server.receive_data, option(1, b"disk"))
        self.assertEqual(server.data_to_send(), b"")

    def test_flags_that_were_not_offered_are_refused(self) -> None:
        """A client that sets unknown flags ends the dialogue, as the specification demands."""
        self.assertRaises(PeerMisbehaved, after_receiving, nbd.serve, b"\0\0\0\x07")

    def test_another_protocol_is_refused(self) -> None:
        """A client of another protocol ends the dialogue."""
        self.assertRaises(
            PeerMisbehaved, after_receiving, nbd.serve, b"\0\0\0\x03", b"GET / HTTP/1.1\r\n"
        )

    def test_a_huge_option_is_refused_at_its_header(self) -> None:
        """The announced size of an option is checked before a byte of it is waited for."""
        huge = option(3)[:-4] + b"\xff\xff\xff\xff"
        self.assertRaises(PeerMisbehaved, after_receiving, nbd.serve, b"\0\0\0\x03", huge)

    def test_a_client_that_never_starts_tls_is_cut_off(self) -> None:
        """After so many options the server gives up."""
        server = after_receiving(nbd.serve, b"\0\0\0\x03", *[option(3)] * (COMMANDS - 1))
        self.assertRaises(PeerMisbehaved, server.receive_data, option(3))
        self.assertEqual(server.data_to_send(), GREETING + answer(0x80000005, to=3) * COMMANDS)

    def test_bytes_after_the_request_are_an_attack(self) -> None:
        """An option pipelined after STARTTLS ends the dialogue, without an acknowledgement."""
        server = after_receiving(nbd.serve, b"\0\0\0\x03")
        server.data_to_send()
        self.assertRaises(PlaintextInjected, server.receive_data, STARTTLS + option(7))
        self.assertEqual(server.data_to_send(), b"")
