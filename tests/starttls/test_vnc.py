"""The VNC dialogue: VeNCrypt, and only its subtypes with a certificate."""

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
from txtransport.starttls import vnc
from txtransport.starttls.negotiation import Negotiation

VERSION: Final = b"RFB 003.008\n"
PLAIN: Final = bytes.fromhex("00000106")
X509_VNC: Final = bytes.fromhex("00000105")
NONE: Final = bytes.fromhex("00000104")
ANONYMOUS: Final = [subtype.to_bytes(4, "big") for subtype in (257, 258, 259)]
WITH_SASL: Final = [subtype.to_bytes(4, "big") for subtype in (263, 264)]


def subtypes(*offered: bytes) -> bytes:
    """A server's list of subtypes."""
    return bytes([len(offered)]) + b"".join(offered)


def asked(*offered: bytes) -> Negotiation:
    """A client to which these subtypes were offered; what it sent before is taken."""
    client = after_receiving(vnc.connect, VERSION, b"\x01\x13", b"\x00\x02")
    client.data_to_send()
    client.receive_data(b"\x00" + subtypes(*offered))
    return client


class VNCTests(SynchronousTestCase):
    """The client and the server."""

    def test_the_dialogue_follows_the_specification(self) -> None:
        """A client and a server send what the specification demands."""
        result = negotiate(vnc.connect, vnc.serve)
        self.assertEqual(
            result.by_server,
            [VERSION, b"\x01\x13", b"\x00\x02", b"\x00" + subtypes(PLAIN, X509_VNC, NONE), b"\x01"],
        )
        self.assertEqual(result.by_client, [VERSION, b"\x13", b"\x00\x02", PLAIN])

    def test_the_outcome_is_the_subtype(self) -> None:
        """On both sides the outcome is the chosen subtype, with which the application continues."""
        result = negotiate(vnc.connect, vnc.serve)
        self.assertEqual(result.client.outcome, vnc.X509_PLAIN.to_bytes(4, "big"))
        self.assertEqual(result.server.outcome, PLAIN)


class VNCClientTests(SynchronousTestCase):
    """The client, given what a server may send."""

    def test_later_versions_are_answered_with_ours(self) -> None:
        """Servers with a version of their own (macOS, RealVNC) are answered with 3.8."""
        for version in (b"RFB 003.889\n", b"RFB 004.001\n", b"RFB 005.000\n"):
            self.assertEqual(after_receiving(vnc.connect, version).data_to_send(), VERSION)

    def test_a_server_before_3_8_has_no_tls(self) -> None:
        """A server before 3.8 is sent nothing, not even a version."""
        for version in (b"RFB 003.003\n", b"RFB 003.007\n"):
            client = after_receiving(vnc.connect)
            self.assertRaises(TLSNotOffered, client.receive_data, version)
            self.assertEqual(client.data_to_send(), b"")

    def test_another_greeting_is_refused(self) -> None:
        """The error for a server of another protocol shows what it sent."""
        for received in (
            b"220 mail.example.com\r\n",
            b"RFB 003.008\r",
            b"RFB 003_008\n",
            b"RFB xxx.yyy\n",
        ):
            error = self.assertRaises(PeerMisbehaved, after_receiving, vnc.connect, received)
            self.assertIn(repr(received[:12]), str(error))

    def test_a_server_may_refuse_the_connection(self) -> None:
        """An empty list of security types is reported as PeerLeft, with the server's reason."""
        reason = b"\x00\x00\x00\x08too many"
        error = self.assertRaises(
            PeerLeft, after_receiving, vnc.connect, VERSION, *byte_by_byte(b"\x00" + reason)
        )
        self.assertEqual(error.received, b"too many")
        self.assertRaises(
            PeerMisbehaved, after_receiving, vnc.connect, VERSION, b"\x00\xff\xff\xff\xff"
        )

    def test_tls_not_offered_ends_the_dialogue(self) -> None:
        """None, VNC's own password and anonymous TLS (18) are not chosen instead of VeNCrypt."""
        client = after_receiving(vnc.connect, VERSION)
        client.data_to_send()
        self.assertRaises(TLSNotOffered, client.receive_data, b"\x03\x01\x02\x12")
        self.assertEqual(client.data_to_send(), b"")

    def test_vencrypt_is_chosen_among_other_types(self) -> None:
        """VeNCrypt is chosen wherever it stands in the list."""
        for types in (b"\x13", b"\x01\x02\x13", b"\x13\x12\x01"):
            client = after_receiving(vnc.connect, VERSION, bytes([len(types)]) + types)
            self.assertEqual(client.data_to_send(), VERSION + b"\x13")

    def test_only_vencrypt_0_2_is_spoken(self) -> None:
        """0.1 has another format and is not spoken; later versions are answered with 0.2."""
        for version in (b"\x00\x00", b"\x00\x01"):
            self.assertRaises(
                TLSNotOffered, after_receiving, vnc.connect, VERSION, b"\x01\x13", version
            )
        for version in (b"\x00\x03", b"\x01\x00"):
            client = after_receiving(vnc.connect, VERSION, b"\x01\x13", version)
            self.assertEqual(client.data_to_send(), VERSION + b"\x13\x00\x02")

    def test_a_refusal_of_tls_is_reported(self) -> None:
        """A server may refuse the version, or the subtype that it has offered."""
        error = self.assertRaises(
            TLSRefused, after_receiving, vnc.connect, VERSION, b"\x01\x13", b"\x00\x02", b"\xff"
        )
        self.assertEqual(error.code, "ff")
        self.assertRaises(TLSRefused, asked(NONE).receive_data, b"\x00")

    def test_the_first_subtype_with_a_certificate_is_chosen(self) -> None:
        """The server's first subtype with a certificate is chosen, and is the outcome."""
        for first in (PLAIN, X509_VNC, NONE):
            client = asked(*WITH_SASL, *ANONYMOUS, first, PLAIN, NONE)
            self.assertEqual(client.data_to_send(), first)
            client.receive_data(b"\x01")
            self.assertEqual(client.outcome, first)

    def test_subtypes_without_a_certificate_are_not_chosen(self) -> None:
        """Encryption without a certificate could be with anyone, and is not chosen."""
        for offered in (ANONYMOUS, WITH_SASL, [*ANONYMOUS, *WITH_SASL], []):
            client = after_receiving(vnc.connect, VERSION, b"\x01\x13", b"\x00\x02")
            client.data_to_send()
            self.assertRaises(TLSNotOffered, client.receive_data, b"\x00" + subtypes(*offered))
            self.assertEqual(client.data_to_send(), b"")

    def test_only_the_go_ahead_leads_to_tls(self) -> None:
        """Only 01 leads to TLS."""
        for byte in (b"\x02", b"\x16", b"\xff"):
            client = asked(PLAIN)
            self.assertRaises(PeerMisbehaved, client.receive_data, byte)
            self.assertFalse(client.is_complete)

    def test_an_answer_before_its_question_is_refused(self) -> None:
        """A message that arrives before its question ends the dialogue."""
        for received in (
            [VERSION + b"\x01\x13"],
            [VERSION, b"\x01\x13\x00\x02"],
            [VERSION, b"\x01\x13", b"\x00\x02\x00"],
            [VERSION, b"\x01\x13", b"\x00\x02", b"\x00" + subtypes(PLAIN) + b"\x01"],
        ):
            *before, last = received
            client = after_receiving(vnc.connect, *before)
            self.assertRaises(PeerMisbehaved, client.receive_data, last)

    def test_bytes_after_the_go_ahead_are_an_attack(self) -> None:
        """A login result in plaintext, after the go-ahead, is an attack."""
        self.assertRaises(PlaintextInjected, asked(PLAIN).receive_data, b"\x01\x00\x00\x00\x00")


class VNCServerTests(SynchronousTestCase):
    """The server, given what a client may send."""

    def test_every_subtype_with_a_certificate_is_served(self) -> None:
        """The client chooses the subtype, which is the outcome."""
        for subtype in (PLAIN, X509_VNC, NONE):
            server = after_receiving(vnc.serve, VERSION, b"\x13", b"\x00\x02", subtype)
            self.assertTrue(server.is_complete)
            self.assertEqual(server.outcome, subtype)

    def test_a_client_of_another_version_is_told_why(self) -> None:
        """Clients of other versions are told the reason, in the format of their version."""
        for version, none in (
            (b"RFB 003.003\n", b"\0\0\0\0"),
            (b"RFB 003.005\n", b"\0\0\0\0"),
            (b"RFB 003.007\n", b"\0"),
            (b"RFB 003.889\n", b"\0"),
        ):
            server = after_receiving(vnc.serve)
            server.data_to_send()
            self.assertRaises(PeerMisbehaved, server.receive_data, version)
            answer = server.data_to_send()
            self.assertTrue(answer.startswith(none + b"\0\0\0"))
            size, reason = answer[len(none) : len(none) + 4], answer[len(none) + 4 :]
            self.assertEqual(int.from_bytes(size, "big"), len(reason))
            self.assertIn(b"VeNCrypt", reason)

    def test_nothing_else_is_served_before_tls(self) -> None:
        """None and VNC's own password are refused, and no challenge is sent."""
        for chosen in (b"\x01", b"\x02", b"\x12", b"\x00"):
            server = after_receiving(vnc.serve, VERSION)
            server.data_to_send()
            self.assertRaises(PeerMisbehaved, server.receive_data, chosen)
            answer = server.data_to_send()
            self.assertEqual(answer[:4], b"\0\0\0\x01")
            self.assertEqual(int.from_bytes(answer[4:8], "big"), len(answer[8:]))

    def test_other_versions_of_vencrypt_are_refused(self) -> None:
        """A client that asks for another version of VeNCrypt is refused."""
        for version in (b"\x00\x00", b"\x00\x01", b"\x00\x03"):
            server = after_receiving(vnc.serve, VERSION, b"\x13")
            server.data_to_send()
            self.assertRaises(PeerMisbehaved, server.receive_data, version)
            self.assertEqual(server.data_to_send(), b"\xff")

    def test_subtypes_without_a_certificate_are_not_served(self) -> None:
        """A client cannot choose a subtype that was not offered."""
        for subtype in (*ANONYMOUS, *WITH_SASL, bytes(4)):
            server = after_receiving(vnc.serve, VERSION, b"\x13", b"\x00\x02")
            server.data_to_send()
            self.assertRaises(PeerMisbehaved, server.receive_data, subtype)
            self.assertEqual(server.data_to_send(), b"\x00")

    def test_another_protocol_is_refused(self) -> None:
        """A client of another protocol ends the dialogue."""
        self.assertRaises(PeerMisbehaved, after_receiving, vnc.serve, b"GET / HTTP/1.1\r\n")

    def test_bytes_after_the_request_are_an_attack(self) -> None:
        """A name and a password pipelined after the choice end the dialogue, unread."""
        login = b"\0\0\0\x05\0\0\0\x02alicepw"
        server = after_receiving(vnc.serve, VERSION, b"\x13", b"\x00\x02")
        server.data_to_send()
        self.assertRaises(PlaintextInjected, server.receive_data, PLAIN + login)
        self.assertEqual((server.data_to_send(), server.outcome[4:]), (b"", b""))

    def test_an_early_client_hello_is_refused(self) -> None:
        """A ClientHello before the go-ahead ends the dialogue."""
        server = after_receiving(vnc.serve, VERSION, b"\x13", b"\x00\x02")
        self.assertRaises(PlaintextInjected, server.receive_data, PLAIN + b"\x16\x03\x01")
