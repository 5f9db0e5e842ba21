"""The RDP dialogue: security negotiation, with the bytes of the specification."""

from __future__ import annotations

from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from tests.starttls.in_memory import after_receiving, byte_by_byte, split_at
from txtransport.errors import PeerMisbehaved, PlaintextInjected, TLSNotOffered, TLSRefused
from txtransport.starttls import rdp

REQUEST: Final = bytes.fromhex("03000013 0ee00000000000 01000800 01000000")
REQUEST_NLA: Final = bytes.fromhex("03000013 0ee00000000000 01000800 03000000")
CONFIRM: Final = bytes.fromhex("03000013 0ed00000123400 02000800 01000000")
LEGACY: Final = bytes.fromhex("0300000b 06d00000123400")


def chosen(value: int, kind: int = 2, flags: int = 0) -> bytes:
    """A server's answer that chooses a security protocol."""
    return CONFIRM[:11] + bytes((kind, flags, 8, 0)) + value.to_bytes(4, "little")


def changed(place: int, byte: int) -> bytes:
    """The good answer with one byte changed."""
    return CONFIRM[:place] + bytes([byte]) + CONFIRM[place + 1 :]


class RDPTests(SynchronousTestCase):
    """The client, given what a server may send."""

    def test_tls_is_asked_for_and_chosen(self) -> None:
        """The client asks for TLS, and the server chooses it."""
        client = after_receiving(rdp.connect)
        self.assertEqual(client.data_to_send(), REQUEST)
        client.receive_data(CONFIRM)
        self.assertTrue(client.is_complete)
        self.assertEqual((client.data_to_send(), client.outcome), (b"", b""))

    def test_credssp_is_asked_for_and_chosen(self) -> None:
        """The client asks for CredSSP over TLS, and the server chooses it."""
        client = after_receiving(rdp.connect_nla)
        self.assertEqual(client.data_to_send(), REQUEST_NLA)
        client.receive_data(chosen(2))
        self.assertTrue(client.is_complete)
        self.assertEqual(client.outcome, b"")

    def test_the_server_s_flags_are_ignored(self) -> None:
        """The flags in the answer concern later stages."""
        self.assertTrue(after_receiving(rdp.connect, chosen(1, flags=0x1F)).is_complete)

    def test_segments_do_not_matter(self) -> None:
        """The answer is the same byte by byte, or split in two anywhere."""
        for cut in (byte_by_byte, *(split_at(place) for place in range(1, len(CONFIRM)))):
            self.assertTrue(after_receiving(rdp.connect, *cut(CONFIRM)).is_complete)

    def test_bytes_after_the_go_ahead_are_an_attack(self) -> None:
        """Bytes after the answer are an attack."""
        for evil in (b"\x00", b"\x16\x03\x03", CONFIRM):
            self.assertRaises(
                PlaintextInjected, after_receiving(rdp.connect).receive_data, CONFIRM + evil
            )

    def test_tls_not_offered_ends_the_dialogue(self) -> None:
        """A server that has only RDP's own encryption has no TLS."""
        error = self.assertRaises(TLSNotOffered, after_receiving(rdp.connect).receive_data, LEGACY)
        self.assertEqual(error.reply, LEGACY)

    def test_a_refusal_of_tls_is_reported(self) -> None:
        """Each failure code of the specification is explained, and an unknown code is reported."""
        for code, word in (
            (1, b"demands TLS"),
            (2, b"switched off"),
            (3, b"no certificate"),
            (4, b"inconsistent"),
            (5, b"rdp-nla"),
            (6, b"client's"),
            (99, b"not known"),
        ):
            error = self.assertRaises(
                TLSRefused, after_receiving(rdp.connect).receive_data, chosen(code, kind=3)
            )
            self.assertEqual(error.code, str(code))
            self.assertIn(word, error.text)

    def test_a_weaker_choice_is_a_refusal(self) -> None:
        """A choice with which the application cannot continue is a refusal."""
        for speaker, value, word in (
            (rdp.connect, 0, b"own encryption"),
            (rdp.connect_nla, 0, b"own encryption"),
            (rdp.connect_nla, 1, b"starttls=rdp"),
        ):
            error = self.assertRaises(
                TLSRefused, after_receiving(speaker).receive_data, chosen(value)
            )
            self.assertEqual(error.code, str(value))
            self.assertIn(word, error.text)

    def test_a_choice_that_was_not_asked_for_is_refused(self) -> None:
        """The server cannot choose what the client did not ask for."""
        for speaker, value in (
            (rdp.connect, 2),
            (rdp.connect, 3),
            (rdp.connect, 8),
            (rdp.connect_nla, 4),
            (rdp.connect_nla, 8),
            (rdp.connect_nla, 0x01000000),
        ):
            error = self.assertRaises(
                PeerMisbehaved, after_receiving(speaker).receive_data, chosen(value)
            )
            self.assertIn(str(value), str(error))

    def test_only_the_go_ahead_leads_to_tls(self) -> None:
        """Other packets, other sizes and other kinds of answers never lead to TLS."""
        for reply in (
            changed(0, 2),
            changed(3, 0x12),
            changed(3, 0x14),
            changed(2, 0xFF),
            changed(3, 0),
            changed(4, 0x0F),
            changed(5, 0x80),
            changed(5, 0xE0),
            changed(11, 1),
            changed(11, 4),
            changed(13, 9),
            chosen(5, kind=3)[:13] + b"\x07" + chosen(5, kind=3)[14:],
            b"220 mail.example.com ESMTP\r\n",
        ):
            client = after_receiving(rdp.connect)
            self.assertRaises(PeerMisbehaved, client.receive_data, reply)
            self.assertFalse(client.is_complete)
