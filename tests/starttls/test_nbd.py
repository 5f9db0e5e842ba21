"""NBD's way to TLS, with the bytes of its specification."""

from __future__ import annotations

from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from tests.starttls.talk import bytewise, talk, told
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
    """What a client asks for."""
    return b"IHAVEOPT" + number.to_bytes(4, "big") + len(data).to_bytes(4, "big") + data


def answer(kind: int, data: bytes = b"", to: int = 5) -> bytes:
    """What a server says to an option."""
    numbers = (to, kind, len(data))
    return ACK[:8] + b"".join(number.to_bytes(4, "big") for number in numbers) + data


class NBDTests(SynchronousTestCase):
    """Both sides."""

    def test_the_transcript(self) -> None:
        """A client and a server say what the specification has them say."""
        result = talk(nbd.connect, nbd.serve)
        self.assertEqual(result.by_server, [GREETING, ACK])
        self.assertEqual(result.by_client, [b"\0\0\0\x03" + STARTTLS])

    def test_what_the_guests_ask_for(self) -> None:
        """Both guests learn which flags the client has set, and nothing else."""
        result = talk(nbd.connect, nbd.serve)
        self.assertEqual(result.client.outcome, b"\0\0\0\x03")
        self.assertEqual(result.server.outcome, b"\0\0\0\x03")


class NBDClientTests(SynchronousTestCase):
    """The client's side, told what a server might say."""

    def test_flags_that_only_the_server_knows_are_not_set(self) -> None:
        """A client says of each flag whether both sides know it."""
        for offered, set_ in ((b"\x00\x01", 1), (b"\xff\xff", 3), (b"\x80\x03", 3)):
            client = told(nbd.connect, GREETING[:16] + offered)
            self.assertEqual(client.data_to_send(), bytes((0, 0, 0, set_)) + STARTTLS)
            client.receive_data(ACK)
            self.assertEqual(client.outcome, bytes((0, 0, 0, set_)))

    def test_servers_of_the_old_style_have_no_tls(self) -> None:
        """Without the fixed newstyle there is no option to ask for TLS with, and none is sent."""
        for greeting in (OLDSTYLE, GREETING[:16] + b"\x00\x00", GREETING[:16] + b"\x00\x02"):
            client = told(nbd.connect)
            self.assertRaises(TLSNotOffered, client.receive_data, greeting)
            self.assertEqual(client.data_to_send(), b"")

    def test_what_is_no_greeting(self) -> None:
        """A server of something else is named by what it said."""
        for greeting in (b"220 mail.example.com ESMTP\r\n", b"NBDMAGIC" + b"x" * 10):
            error = self.assertRaises(PeerMisbehaved, told, nbd.connect, greeting)
            self.assertIn(repr(greeting[:18]), str(error))

    def test_c13_no_answer_before_the_question(self) -> None:
        """An acknowledgement that came with the greeting is none."""
        client = told(nbd.connect)
        self.assertRaises(PeerMisbehaved, client.receive_data, GREETING + ACK)
        self.assertEqual(client.data_to_send(), b"")

    def test_c14_a_server_that_does_not_know_the_option(self) -> None:
        """A server without TLS is told from one that refuses it."""
        for text in (b"", b"no such option"):
            error = self.assertRaises(
                TLSNotOffered, told, nbd.connect, GREETING, answer(0x80000001, text)
            )
            self.assertEqual(error.reply, text)

    def test_c15_refusals(self) -> None:
        """A refusal has the protocol's code and the server's words."""
        for kind, code in ((0x80000002, "0x80000002"), (0x80000005, "0x80000005")):
            error = self.assertRaises(
                TLSRefused, told, nbd.connect, GREETING, *bytewise(answer(kind, b"not you\x1b"))
            )
            self.assertEqual((error.code, error.text), (code, b"not you\x1b"))
            self.assertTrue(str(error).isprintable())

    def test_c16_what_is_no_acknowledgement(self) -> None:
        """Replies of another kind, to another option, or with data never lead to TLS."""
        for reply in (
            answer(2),
            answer(0),
            answer(0x7FFFFFFF),
            answer(1, b"x"),
            answer(1, to=6),
            b"IHAVEOPT" + ACK[8:],
        ):
            client = told(nbd.connect, GREETING)
            self.assertRaises(PeerMisbehaved, client.receive_data, reply)
            self.assertFalse(client.is_complete)

    def test_a_refusal_of_gigabytes(self) -> None:
        """A text's announced size is looked at before a byte of it is waited for."""
        huge = answer(0x80000002)[:-4] + b"\xff\xff\xff\xff"
        self.assertRaises(PeerMisbehaved, told, nbd.connect, GREETING, huge)

    def test_nothing_may_follow_the_acknowledgement(self) -> None:
        """Clear bytes behind it are an attack, such as answers to options not yet asked for."""
        self.assertRaises(PlaintextInjected, told, nbd.connect, GREETING, ACK + answer(3, to=7))


class NBDServerTests(SynchronousTestCase):
    """The server's side, told what a client might say."""

    def test_everything_else_demands_tls(self) -> None:
        """List, info, go and unknown options, with or without data, get one answer."""
        for number in (3, 6, 7, 8, 99):
            server = told(nbd.serve, b"\0\0\0\x03", option(number, b"disk"))
            self.assertEqual(server.data_to_send(), GREETING + answer(0x80000005, to=number))
            server.receive_data(STARTTLS)
            self.assertTrue(server.is_complete)
            self.assertEqual(server.data_to_send(), ACK)

    def test_s19_starttls_has_no_data(self) -> None:
        """STARTTLS with data is answered, and can be sent again without."""
        server = told(nbd.serve, b"\0\0\0\x01", option(5, b"x"))
        self.assertEqual(server.data_to_send(), GREETING + answer(0x80000003))
        server.receive_data(STARTTLS)
        self.assertEqual(server.outcome, b"\0\0\0\x01")

    def test_goodbye(self) -> None:
        """A client that gives up is let go."""
        server = told(nbd.serve, b"\0\0\0\x03")
        self.assertRaises(PeerLeft, server.receive_data, option(2))
        self.assertEqual(server.data_to_send(), GREETING + answer(1, to=2))

    def test_an_export_in_the_clear_ends_it(self) -> None:
        """The old way to ask for an export knows no error, so the connection ends."""
        server = told(nbd.serve, b"\0\0\0\x03")
        server.data_to_send()
        self.assertRaises(PeerMisbehaved, server.receive_data, option(1, b"disk"))
        self.assertEqual(server.data_to_send(), b"")

    def test_flags_that_were_not_offered(self) -> None:
        """A client that sets flags unknown here ends it, as the specification demands."""
        self.assertRaises(PeerMisbehaved, told, nbd.serve, b"\0\0\0\x07")

    def test_what_is_no_option(self) -> None:
        """A client that speaks something else ends it."""
        self.assertRaises(PeerMisbehaved, told, nbd.serve, b"\0\0\0\x03", b"GET / HTTP/1.1\r\n")

    def test_an_option_of_gigabytes(self) -> None:
        """An option's announced size is looked at before a byte of it is waited for."""
        huge = option(3)[:-4] + b"\xff\xff\xff\xff"
        self.assertRaises(PeerMisbehaved, told, nbd.serve, b"\0\0\0\x03", huge)

    def test_options_in_vain_come_to_an_end(self) -> None:
        """A client that never starts TLS is answered so many times and no more."""
        server = told(nbd.serve, b"\0\0\0\x03", *[option(3)] * (COMMANDS - 1))
        self.assertRaises(PeerMisbehaved, server.receive_data, option(3))
        self.assertEqual(server.data_to_send(), GREETING + answer(0x80000005, to=3) * COMMANDS)

    def test_s7_options_behind_starttls(self) -> None:
        """An option pipelined behind STARTTLS ends it, and nothing is acknowledged."""
        server = told(nbd.serve, b"\0\0\0\x03")
        server.data_to_send()
        self.assertRaises(PlaintextInjected, server.receive_data, STARTTLS + option(7))
        self.assertEqual(server.data_to_send(), b"")
