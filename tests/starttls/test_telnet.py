"""The Telnet dialogue: START_TLS among other options, which are all refused before TLS."""

from __future__ import annotations

from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from tests.starttls.in_memory import after_receiving, byte_by_byte, failure_after, negotiate
from txtransport.errors import (
    NegotiationError,
    PeerMisbehaved,
    PlaintextInjected,
    TLSNotOffered,
    TLSRefused,
)
from txtransport.starttls import telnet

DO: Final = b"\xff\xfd\x2e"
DONT: Final = b"\xff\xfe\x2e"
WILL: Final = b"\xff\xfb\x2e"
WONT: Final = b"\xff\xfc\x2e"
FOLLOWS: Final = b"\xff\xfa\x2e\x01\xff\xf0"

TERMINAL: Final = b"\x18"
ECHO: Final = b"\x01"
BARE: Final = b"\xff\xf1", b"\xff\xf9", b"\xff\xf0", b"\xff\xf6"
"""Commands without an option: no operation, go ahead, end, are you there."""


class ClientTests(SynchronousTestCase):
    """The client, given what a server may send."""

    def fails(self, kind: type[NegotiationError], *received: bytes) -> NegotiationError:
        """The error of a client that receives this, which has to be of this kind."""
        error, _ = failure_after(telnet.connect, *received)
        self.assertIs(type(error), kind, error)
        return error

    def test_the_dialogue_follows_the_specification(self) -> None:
        """Both sides send the bytes of the draft; the applications receive nothing."""
        result = negotiate(telnet.connect, telnet.serve)
        self.assertEqual(result.by_client, [WILL + FOLLOWS])
        self.assertEqual(result.by_server, [DO, FOLLOWS])
        self.assertEqual((result.client.outcome, result.server.outcome), (b"", b""))

    def test_other_options_are_refused(self) -> None:
        """Every other option that a server asks for or offers is refused, before or after DO."""
        asked = b"\xff\xfd" + TERMINAL + b"\xff\xfb" + ECHO
        refused = b"\xff\xfc" + TERMINAL + b"\xff\xfe" + ECHO
        for received in (asked + DO, DO + asked):
            client = after_receiving(telnet.connect, received)
            self.assertEqual(client.data_to_send(), refused + WILL + FOLLOWS)
            client.receive_data(FOLLOWS)
            self.assertTrue(client.is_complete)

    def test_refusals_are_not_answered(self) -> None:
        """DONT and WONT are not answered, so that two sides do not answer each other for ever."""
        for received in (b"\xff\xfc" + ECHO, b"\xff\xfe" + ECHO, WONT, *BARE):
            client = after_receiving(telnet.connect, received)
            self.assertEqual((client.data_to_send(), client.is_complete), (b"", False), received)

    def test_an_offer_of_the_server_is_refused(self) -> None:
        """TLS starts with the server's DO; its WILL for START_TLS is refused."""
        self.assertEqual(after_receiving(telnet.connect, WILL).data_to_send(), DONT)

    def test_nothing_is_sent_after_follows(self) -> None:
        """After our FOLLOWS comes only TLS; options that arrive then are not answered."""
        client = after_receiving(telnet.connect, DO)
        client.data_to_send()
        client.receive_data(b"\xff\xfd" + TERMINAL + b"\xff\xfa\x18\x01\xff\xf0" + DO + FOLLOWS)
        self.assertEqual((client.data_to_send(), client.is_complete), (b"", True))

    def test_bytes_after_the_go_ahead_are_an_attack(self) -> None:
        """Bytes after FOLLOWS end the dialogue, even an option."""
        for evil in (b"login: ", b"\xff\xfd" + TERMINAL, FOLLOWS, b"\0", b"\x16\x03\x01"):
            self.fails(PlaintextInjected, DO, FOLLOWS + evil)

    def test_an_answer_before_its_question_is_refused(self) -> None:
        """A FOLLOWS that arrives with DO is not an answer to our WILL."""
        for early in (FOLLOWS, DO + FOLLOWS, DO + BARE[0] + FOLLOWS):
            self.fails(PeerMisbehaved, early)

    def test_tls_not_offered_ends_the_dialogue(self) -> None:
        """A server that sends text first, or DONT, has not offered TLS."""
        for received in (b"login: ", b"\r\n", b"\xff\xff", DONT, b"\xff\xfd\x18Welcome"):
            self.fails(TLSNotOffered, received)
        self.assertIn("b'login: '", str(self.fails(TLSNotOffered, b"login: ")))

    def test_a_refusal_of_tls_is_reported(self) -> None:
        """A server may refuse after it has asked for TLS."""
        self.fails(TLSRefused, DO, DONT)
        self.fails(TLSNotOffered, DO + DONT)

    def test_only_the_go_ahead_leads_to_tls(self) -> None:
        """A server that asks for TLS and then sends text is refused."""
        self.fails(PeerMisbehaved, DO, b"login: ")
        self.fails(PeerMisbehaved, DO + b"login: ")
        self.fails(PeerMisbehaved, DO, b"\xff\xff")

    def test_parameters_of_options_are_skipped(self) -> None:
        """Parameters are skipped, escapes included, and are not taken for FOLLOWS."""
        for parameters in (
            b"\xff\xfa\x18\x01\xff\xf0",
            b"\xff\xfa\x2e\x02\xff\xf0",
            b"\xff\xfa\x2e\x01\x01\xff\xf0",
            b"\xff\xfa\xff\xf0",
            b"\xff\xfa\x18\xff\xff\xf0\x01" + FOLLOWS[:-2] + b"\xff\xff\xff\xf0",
        ):
            client = after_receiving(telnet.connect, parameters + DO)
            self.assertEqual(client.data_to_send(), WILL + FOLLOWS, parameters)
            client.receive_data(parameters)
            self.assertFalse(client.is_complete)
            client.receive_data(FOLLOWS)
            self.assertTrue(client.is_complete)

    def test_segments_do_not_matter(self) -> None:
        """Commands are the same in whatever segments they arrive."""
        received = b"\xff\xfd\x18\xff\xfa\x18\xff\xff\x01\xff\xf0\xff\xf1" + DO
        client = after_receiving(telnet.connect, *byte_by_byte(received))
        self.assertEqual(client.data_to_send(), b"\xff\xfc\x18" + WILL + FOLLOWS)
        for byte in byte_by_byte(FOLLOWS):
            self.assertFalse(client.is_complete)
            client.receive_data(byte)
        self.assertTrue(client.is_complete)

    def test_a_flood_ends_the_dialogue(self) -> None:
        """Endless options, and a subnegotiation without an end, end the dialogue."""
        for flood in (b"\xff\xfd\x18", b"\xff\xf1", b"\xff\xfa\x18\xff\xf0"):
            self.fails(PeerMisbehaved, flood * 100)
            self.fails(PeerMisbehaved, DO, flood * 100)
        for endless in (b"\0" * 300, b"\xff\xff" * 300, b"\xff\xf1" * 300):
            self.fails(PeerMisbehaved, b"\xff\xfa\x18" + endless)
            self.fails(PeerMisbehaved, *byte_by_byte(b"\xff\xfa\x18" + endless))


class ServerTests(SynchronousTestCase):
    """The server, given what a client may send."""

    def fails(self, kind: type[NegotiationError], *received: bytes) -> bytes:
        """What a server has sent after its DO when it fails on these segments."""
        error, answered = failure_after(telnet.serve, *received)
        self.assertIs(type(error), kind, error)
        return answered.removeprefix(DO)

    def test_other_options_are_refused(self) -> None:
        """Every other option that a client offers is refused."""
        server = after_receiving(telnet.serve, b"\xff\xfb\x1f" + WILL + b"\xff\xfd\x03" + FOLLOWS)
        self.assertEqual(server.data_to_send(), DO + b"\xff\xfe\x1f\xff\xfc\x03" + FOLLOWS)
        self.assertTrue(server.is_complete)

    def test_bytes_after_the_request_are_an_attack(self) -> None:
        """Bytes pipelined after FOLLOWS end the dialogue, and no FOLLOWS is sent."""
        for evil in (b"root\r\n", b"\0", b"\xff\xfd\x03", b"\x16\x03\x01"):
            sent = self.fails(PlaintextInjected, WILL + FOLLOWS + evil)
            self.assertEqual(sent, b"")

    def test_nothing_else_is_served_before_tls(self) -> None:
        """A client that sends text before TLS is told that TLS comes first."""
        for text in (b"root\r\n", b"\xff\xff", b"\0"):
            self.assertEqual(self.fails(PeerMisbehaved, text), b"TLS comes first\r\n")
            self.assertEqual(self.fails(PeerMisbehaved, WILL + text), b"TLS comes first\r\n")

    def test_tls_not_offered_ends_the_dialogue(self) -> None:
        """A client that refuses the option has no TLS."""
        self.assertEqual(self.fails(TLSNotOffered, WONT), b"")

    def test_follows_without_will_is_refused(self) -> None:
        """FOLLOWS is refused unless the client has sent WILL."""
        self.assertEqual(self.fails(PeerMisbehaved, FOLLOWS), b"")

    def test_a_client_that_never_starts_tls_is_cut_off(self) -> None:
        """Endless options end the dialogue."""
        self.fails(PeerMisbehaved, b"\xff\xfb\x1f" * 100)
        self.fails(PeerMisbehaved, WILL * 100)
        self.fails(PeerMisbehaved, b"\xff\xfa\x18" + b"x" * 300)
