"""The MySQL dialogue: SSLRequest, and greetings as real servers send them."""

from __future__ import annotations

from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from tests.starttls.in_memory import after_receiving, byte_by_byte, negotiate, split_at
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


def greeting(
    capabilities: bytes = CAPABLE, version: bytes = b"8.0.36", protocol: int = 10
) -> bytes:
    """A greeting of MySQL 8.0."""
    return packet(
        bytes([protocol])
        + version
        + b"\0\x0b\0\0\0"
        + b"abcdefgh\0"
        + capabilities
        + b"\xff\x02\x00\xff\xdf\x15"
        + bytes(10)
        + b"ijklmnopqrst\0caching_sha2_password\0"
    )


def server_error(data: bytes) -> tuple[int, int, bytes, bytes]:
    """The packet number, code, state and text of an error packet."""
    if len(data) - 4 != int.from_bytes(data[:3], "little") or data[4] != 0xFF or data[7:8] != b"#":
        raise AssertionError(data)
    return data[3], int.from_bytes(data[5:7], "little"), data[8:13], data[13:]


def salt_of(data: bytes) -> bytes:
    """The salt of a greeting, which stands in two parts, of 8 and 12 bytes."""
    _, _, rest = data.partition(b"\0\x0a")[2].partition(b"\0")
    return rest[4:12] + rest[31:43]


class MySQLTests(SynchronousTestCase):
    """The client and the server."""

    def test_the_dialogue_follows_the_specification(self) -> None:
        """A client and a server send what the documentation specifies."""
        result = negotiate(mysql.connect, mysql.serve)
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

    def test_the_outcome_is_the_greeting(self) -> None:
        """On both sides the outcome is the greeting, from which a login is computed."""
        result = negotiate(mysql.connect, mysql.serve)
        self.assertEqual([result.client.outcome], result.by_server)
        self.assertEqual([result.server.outcome], result.by_server)

    def test_the_request_has_a_public_name(self) -> None:
        """REQUEST is the request's 32 bytes, with TLS and protocol 4.1 in the capabilities."""
        self.assertEqual(mysql.REQUEST, REQUEST[4:])
        self.assertEqual(len(mysql.REQUEST), 32)
        self.assertEqual(mysql.REQUEST[1] & 0x0A, 0x0A)


class MySQLClientTests(SynchronousTestCase):
    """The client, given what a server may send."""

    def test_the_greetings_of_usual_servers_are_understood(self) -> None:
        """MySQL, MariaDB and old servers are asked for TLS; the outcome is their greeting."""
        old = packet(b"\x0a4.1.22\0\x01\0\0\0abcdefgh\0\x2c\xaa")
        for received in (greeting(), greeting(version=b"5.5.5-10.11.6-MariaDB"), old):
            client = after_receiving(mysql.connect, received)
            self.assertTrue(client.is_complete)
            self.assertEqual(client.data_to_send(), REQUEST)
            self.assertEqual(client.outcome, received)

    def test_segments_do_not_matter(self) -> None:
        """A greeting is the same byte by byte, or split in two anywhere."""
        for cut in (byte_by_byte, *(split_at(place) for place in range(1, len(greeting())))):
            self.assertEqual(
                after_receiving(mysql.connect, *cut(greeting())).data_to_send(), REQUEST
            )

    def test_tls_not_offered_ends_the_dialogue(self) -> None:
        """A greeting without SSL ends the dialogue, and nothing is sent (CVE-2015-3152)."""
        for can in (WITHOUT_SSL, WITHOUT_41, b"\0\0"):
            client = after_receiving(mysql.connect)
            error = self.assertRaises(TLSNotOffered, client.receive_data, greeting(can))
            self.assertEqual(error.reply, b"8.0.36")
            self.assertEqual(client.data_to_send(), b"")

    def test_a_server_may_refuse_the_connection(self) -> None:
        """An error packet in place of a greeting is reported as PeerLeft."""
        for body, text in (
            (b"\xff\x69\x04Host is blocked", b"Host is blocked"),
            (b"\xff\x10\x04#08004Too many", b"#08004Too many"),
            (b"\xff\x69", b""),
            (b"\xff", b""),
        ):
            client = after_receiving(mysql.connect)
            error = self.assertRaises(PeerLeft, client.receive_data, packet(body))
            self.assertEqual(error.received, text)
            self.assertEqual(client.data_to_send(), b"")

    def test_only_a_greeting_leads_to_tls(self) -> None:
        """Other protocols, other packet numbers and incomplete greetings never lead to TLS."""
        whole = greeting()[4:]
        for received in (
            greeting(protocol=9),
            packet(whole, 1),
            packet(b"\x0aunending" * 5),
            packet(whole[:22]),
            b"\0\0\0\0",
            b"220 mail.example.com ESMTP\r\n",
        ):
            client = after_receiving(mysql.connect)
            self.assertRaises(PeerMisbehaved, client.receive_data, received)
            self.assertEqual((client.is_complete, client.data_to_send()), (False, b""))

    def test_a_huge_greeting_is_refused_at_its_header(self) -> None:
        """The announced size of a greeting is checked before a byte of it is waited for."""
        for head in (b"\xff\xff\xff\0", b"\x01\x04\0\0"):
            self.assertRaises(PeerMisbehaved, after_receiving, mysql.connect, head)

    def test_bytes_after_the_go_ahead_are_an_attack(self) -> None:
        """A server sends nothing after its greeting in plaintext, not even what looks like TLS."""
        for evil in (b"\x07\0\0\x02\0\0\0\x02\0\0\0", b"\xff", HELLO):
            client = after_receiving(mysql.connect)
            self.assertRaises(PlaintextInjected, client.receive_data, greeting() + evil)
            self.assertEqual(client.data_to_send(), b"")


class MySQLServerTests(SynchronousTestCase):
    """The server, given what a client may send."""

    def test_the_greeting_has_what_clients_need(self) -> None:
        """The greeting has a version, TLS, the login plug-in, and a salt that ends with a zero."""
        sent = after_receiving(mysql.serve).data_to_send()
        self.assertEqual(sent[:5], (len(sent) - 4).to_bytes(3, "little") + b"\0\x0a")
        version, _, rest = sent[5:].partition(b"\0")
        self.assertEqual(version.split(b".")[0], b"8")
        self.assertTrue(rest[14] & 0x08, "TLS")
        self.assertEqual(rest[20], 21)
        self.assertEqual((rest[12:13], rest[43:44]), (b"\0", b"\0"))
        self.assertEqual(salt_of(sent), b"fresh1fresh2fresh3fr")
        self.assertEqual(rest[44:], b"caching_sha2_password\0")

    def test_each_greeting_has_a_salt_of_its_own(self) -> None:
        """Salts are printable, so they have no zero, and no salt comes twice."""
        salts = {salt_of(Negotiation(mysql.serve).data_to_send()) for _ in range(50)}
        self.assertEqual(len(salts), 50)
        self.assertTrue(all(salt.isalnum() for salt in salts))

    def test_every_spelling_of_the_request_is_understood(self) -> None:
        """Other capabilities of a client, its charset and MariaDB's own flags do not matter."""
        for body in (
            b"\x05\xae\xff\x19\0\0\0\x01\xff" + bytes(23),
            b"\x00\x0a\0\0\0\0\0\0\x08" + bytes(19) + b"\x1d\0\0\0",
        ):
            server = after_receiving(mysql.serve, packet(body, 1))
            self.assertTrue(server.is_complete)
            self.assertEqual(server.data_to_send(), server.outcome)

    def test_an_early_client_hello_goes_to_tls(self) -> None:
        """A client need not wait: its ClientHello may arrive in the request's segment."""
        server = after_receiving(mysql.serve, REQUEST + HELLO)
        self.assertTrue(server.is_complete)
        self.assertEqual(server.early_client_hello, HELLO)

    def test_bytes_after_the_request_are_an_attack(self) -> None:
        """A plaintext login after the request ends the dialogue, unread."""
        server = after_receiving(mysql.serve)
        self.assertRaises(PlaintextInjected, server.receive_data, REQUEST + packet(LOGIN[4:], 2))
        self.assertEqual(server.early_client_hello, b"")

    def test_a_client_without_tls_is_told_why(self) -> None:
        """A plaintext login is answered with an error as soon as its length is known."""
        for received in (
            LOGIN,
            LOGIN[:4],
            packet(REQUEST[4:], 2),
            packet(b"\x85\xa6" + REQUEST[6:], 1),
            packet(b"\x85\xac" + REQUEST[6:], 1),
            packet(b"\x85\xae\0\0\x01", 1),
            HELLO,
        ):
            server = after_receiving(mysql.serve)
            server.data_to_send()
            error = self.assertRaises(PeerMisbehaved, server.receive_data, received)
            number, code, state, text = server_error(server.data_to_send())
            self.assertEqual((number, code, state), (2, 3159, b"HY000"))
            self.assertIn(b"TLS", text)
            self.assertNotIn("alice", str(error))
