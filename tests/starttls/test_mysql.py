"""MySQL's way to TLS, with greetings as servers send them."""

from __future__ import annotations

from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from tests.starttls.talk import bytewise, split_at, talk, told
from txtransport.errors import PeerLeft, PeerMisbehaved, PlaintextInjected, TLSNotOffered
from txtransport.starttls import mysql
from txtransport.starttls.negotiation import Negotiation

REQUEST: Final = bytes.fromhex("20000001 85ae7f00 00000001 21") + bytes(23)
HELLO: Final = bytes.fromhex("16030100050100000100")
LOGIN: Final = b"\xb4\x00\x00\x01\x8d\xa6\x0f\x00" + b"\0\0\0\x01\x21" + bytes(23) + b"alice\0"

CAPABLE: Final = b"\xff\xff"
WITHOUT_SSL: Final = b"\xff\xf7"
WITHOUT_41: Final = b"\xff\xfd"


def packet(payload: bytes, number: int = 0) -> bytes:
    """A packet with its header."""
    return len(payload).to_bytes(3, "little") + bytes([number]) + payload


def greeting(can: bytes = CAPABLE, version: bytes = b"8.0.36", protocol: int = 10) -> bytes:
    """A greeting of MySQL 8.0."""
    return packet(
        bytes([protocol])
        + version
        + b"\0\x0b\0\0\0"
        + b"abcdefgh\0"
        + can
        + b"\xff\x02\x00\xff\xdf\x15"
        + bytes(10)
        + b"ijklmnopqrst\0caching_sha2_password\0"
    )


def server_error(said: bytes) -> tuple[int, int, bytes, bytes]:
    """An error packet's number, code, state and text."""
    if len(said) - 4 != int.from_bytes(said[:3], "little") or said[4] != 0xFF or said[7:8] != b"#":
        raise AssertionError(said)
    return said[3], int.from_bytes(said[5:7], "little"), said[8:13], said[13:]


def salt_of(said: bytes) -> bytes:
    """The salt of a greeting, of which 8 bytes come early and 12 late."""
    _, _, rest = said.partition(b"\0\x0a")[2].partition(b"\0")
    return rest[4:12] + rest[31:43]


class MySQLTests(SynchronousTestCase):
    """Both sides."""

    def test_the_transcript(self) -> None:
        """A client and a server say what the documentation has them say."""
        result = talk(mysql.connect, mysql.serve)
        self.assertEqual(
            result.by_server,
            [
                bytes.fromhex("55000000 0a")
                + b"8.0.0-txtransport\0"
                + bytes(4)
                + b"fresh1fr\0"
                + bytes.fromhex("0daa 21 0200 0800 15")
                + bytes(10)
                + b"esh2fresh3fr\0caching_sha2_password\0"
            ],
        )
        self.assertEqual(result.by_client, [REQUEST])

    def test_what_the_guests_ask_for(self) -> None:
        """Both guests learn the greeting, of which a login is made."""
        result = talk(mysql.connect, mysql.serve)
        self.assertEqual([result.client.outcome], result.by_server)
        self.assertEqual([result.server.outcome], result.by_server)

    def test_a_login_begins_like_the_request(self) -> None:
        """A guest finds the request's 32 bytes by name, TLS and 4.1's protocol in them."""
        self.assertEqual(mysql.REQUEST, REQUEST[4:])
        self.assertEqual(len(mysql.REQUEST), 32)
        self.assertEqual(mysql.REQUEST[1] & 0x0A, 0x0A)


class MySQLClientTests(SynchronousTestCase):
    """The client's side, told what a server might say."""

    def test_greetings_of_real_servers(self) -> None:
        """MySQL, MariaDB and servers of old are asked for TLS; the guest gets their greeting."""
        old = packet(b"\x0a4.1.22\0\x01\0\0\0abcdefgh\0\x2c\xaa")
        for said in (greeting(), greeting(version=b"5.5.5-10.11.6-MariaDB"), old):
            client = told(mysql.connect, said)
            self.assertTrue(client.is_complete)
            self.assertEqual(client.data_to_send(), REQUEST)
            self.assertEqual(client.outcome, said)

    def test_c11_segments_do_not_matter(self) -> None:
        """Byte by byte, or cut in two anywhere, a greeting is the same."""
        for cut in (bytewise, *(split_at(place) for place in range(1, len(greeting())))):
            self.assertEqual(told(mysql.connect, *cut(greeting())).data_to_send(), REQUEST)

    def test_c14_a_server_without_tls(self) -> None:
        """BACKRONYM (CVE-2015-3152): a greeting without SSL ends it, and nothing is sent."""
        for can in (WITHOUT_SSL, WITHOUT_41, b"\0\0"):
            client = told(mysql.connect)
            error = self.assertRaises(TLSNotOffered, client.receive_data, greeting(can))
            self.assertEqual(error.reply, b"8.0.36")
            self.assertEqual(client.data_to_send(), b"")

    def test_an_error_in_place_of_a_greeting(self) -> None:
        """A server that wants no more connections says so."""
        for body, text in (
            (b"\xff\x69\x04Host is blocked", b"Host is blocked"),
            (b"\xff\x10\x04#08004Too many", b"#08004Too many"),
            (b"\xff\x69", b""),
            (b"\xff", b""),
        ):
            client = told(mysql.connect)
            error = self.assertRaises(PeerLeft, client.receive_data, packet(body))
            self.assertEqual(error.received, text)
            self.assertEqual(client.data_to_send(), b"")

    def test_c16_what_is_no_greeting(self) -> None:
        """Other protocols, other numbers and greetings that end too early never lead to TLS."""
        whole = greeting()[4:]
        for said in (
            greeting(protocol=9),
            packet(whole, 1),
            packet(b"\x0aunending" * 5),
            packet(whole[:22]),
            b"\0\0\0\0",
            b"220 mail.example.com ESMTP\r\n",
        ):
            client = told(mysql.connect)
            self.assertRaises(PeerMisbehaved, client.receive_data, said)
            self.assertEqual((client.is_complete, client.data_to_send()), (False, b""))

    def test_a_greeting_of_megabytes(self) -> None:
        """A greeting's announced size is looked at before a byte of it is waited for."""
        for head in (b"\xff\xff\xff\0", b"\x01\x04\0\0"):
            self.assertRaises(PeerMisbehaved, told, mysql.connect, head)

    def test_c9_nothing_may_follow_the_greeting(self) -> None:
        """A client awaits nothing more in the clear, not even what looks like TLS."""
        for evil in (b"\x07\0\0\x02\0\0\0\x02\0\0\0", b"\xff", HELLO):
            client = told(mysql.connect)
            self.assertRaises(PlaintextInjected, client.receive_data, greeting() + evil)
            self.assertEqual(client.data_to_send(), b"")


class MySQLServerTests(SynchronousTestCase):
    """The server's side, told what a client might say."""

    def test_the_greeting(self) -> None:
        """Clients find a version, TLS, the method to log in, and a salt that ends with a zero."""
        said = told(mysql.serve).data_to_send()
        self.assertEqual(said[:5], (len(said) - 4).to_bytes(3, "little") + b"\0\x0a")
        version, _, rest = said[5:].partition(b"\0")
        self.assertEqual(version.split(b".")[0], b"8")
        self.assertTrue(rest[14] & 0x08, "TLS")
        self.assertEqual(rest[20], 21)
        self.assertEqual((rest[12:13], rest[43:44]), (b"\0", b"\0"))
        self.assertEqual(salt_of(said), b"fresh1fresh2fresh3fr")
        self.assertEqual(rest[44:], b"caching_sha2_password\0")

    def test_each_greeting_has_a_salt_of_its_own(self) -> None:
        """Salts are printable, which is to say without zeroes, and none comes twice."""
        salts = {salt_of(Negotiation(mysql.serve).data_to_send()) for _ in range(50)}
        self.assertEqual(len(salts), 50)
        self.assertTrue(all(salt.isalnum() for salt in salts))

    def test_requests_of_real_clients(self) -> None:
        """Whatever else a client can do, its charset and MariaDB's own flags do not matter."""
        for body in (
            b"\x05\xae\xff\x19\0\0\0\x01\xff" + bytes(23),
            b"\x00\x0a\0\0\0\0\0\0\x08" + bytes(19) + b"\x1d\0\0\0",
        ):
            server = told(mysql.serve, packet(body, 1))
            self.assertTrue(server.is_complete)
            self.assertEqual(server.data_to_send(), server.outcome)

    def test_s11_hello_in_the_same_segment(self) -> None:
        """A client need not wait: TLS may begin in the request's segment."""
        server = told(mysql.serve, REQUEST + HELLO)
        self.assertTrue(server.is_complete)
        self.assertEqual(server.early_client_hello, HELLO)

    def test_s11_a_login_behind_the_request(self) -> None:
        """A login in the clear behind the request ends it, unread."""
        server = told(mysql.serve)
        self.assertRaises(PlaintextInjected, server.receive_data, REQUEST + packet(LOGIN[4:], 2))
        self.assertEqual(server.early_client_hello, b"")

    def test_s20_a_login_in_the_clear(self) -> None:
        """A client without TLS hears why, as soon as the login's length is known."""
        for said in (
            LOGIN,
            LOGIN[:4],
            packet(REQUEST[4:], 2),
            packet(b"\x85\xa6" + REQUEST[6:], 1),
            packet(b"\x85\xac" + REQUEST[6:], 1),
            packet(b"\x85\xae\0\0\x01", 1),
            HELLO,
        ):
            server = told(mysql.serve)
            server.data_to_send()
            error = self.assertRaises(PeerMisbehaved, server.receive_data, said)
            number, code, state, text = server_error(server.data_to_send())
            self.assertEqual((number, code, state), (2, 3159, b"HY000"))
            self.assertIn(b"TLS", text)
            self.assertNotIn("alice", str(error))
