"""Telnet: START_TLS among other options, of which none is granted in the clear."""

from __future__ import annotations

from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from tests.starttls.talk import bytewise, farewell, talk, told
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
    """What a client makes of a server's words."""

    def fails(self, kind: type[NegotiationError], *said: bytes) -> NegotiationError:
        """How a client fails that hears this."""
        error, _ = farewell(telnet.connect, *said)
        self.assertIs(type(error), kind, error)
        return error

    def test_the_transcript(self) -> None:
        """Both sides say the bytes of the draft, and the guests hear nothing."""
        result = talk(telnet.connect, telnet.serve)
        self.assertEqual(result.by_client, [WILL + FOLLOWS])
        self.assertEqual(result.by_server, [DO, FOLLOWS])
        self.assertEqual((result.client.outcome, result.server.outcome), (b"", b""))

    def test_other_options_are_refused(self) -> None:
        """What a server asks for or offers besides is refused, before or after its request."""
        asked = b"\xff\xfd" + TERMINAL + b"\xff\xfb" + ECHO
        refused = b"\xff\xfc" + TERMINAL + b"\xff\xfe" + ECHO
        for said in (asked + DO, DO + asked):
            client = told(telnet.connect, said)
            self.assertEqual(client.data_to_send(), refused + WILL + FOLLOWS)
            client.receive_data(FOLLOWS)
            self.assertTrue(client.is_complete)

    def test_refusals_have_no_answer(self) -> None:
        """What asks for nothing is passed over, lest both sides answer each other for ever."""
        for said in (b"\xff\xfc" + ECHO, b"\xff\xfe" + ECHO, WONT, *BARE):
            client = told(telnet.connect, said)
            self.assertEqual((client.data_to_send(), client.is_complete), (b"", False), said)

    def test_a_server_that_offers_its_own(self) -> None:
        """TLS is started by a server's request; its offer to be asked is refused."""
        self.assertEqual(told(telnet.connect, WILL).data_to_send(), DONT)

    def test_once_willing_nothing_else_is_said(self) -> None:
        """Behind our FOLLOWS comes nothing but TLS; options asked for by then are passed over."""
        client = told(telnet.connect, DO)
        client.data_to_send()
        client.receive_data(b"\xff\xfd" + TERMINAL + b"\xff\xfa\x18\x01\xff\xf0" + DO + FOLLOWS)
        self.assertEqual((client.data_to_send(), client.is_complete), (b"", True))

    def test_c1_nothing_may_follow(self) -> None:
        """C1: bytes behind FOLLOWS end it, be they an option."""
        for evil in (b"login: ", b"\xff\xfd" + TERMINAL, FOLLOWS, b"\0", b"\x16\x03\x01"):
            self.fails(PlaintextInjected, DO, FOLLOWS + evil)

    def test_c13_follows_before_we_were_willing(self) -> None:
        """C13: FOLLOWS that came along with the request is no answer to us."""
        for early in (FOLLOWS, DO + FOLLOWS, DO + BARE[0] + FOLLOWS):
            self.fails(PeerMisbehaved, early)

    def test_c14_not_offered(self) -> None:
        """C14: a server that begins to talk, or says no, has not offered TLS."""
        for said in (b"login: ", b"\r\n", b"\xff\xff", DONT, b"\xff\xfd\x18Welcome"):
            self.fails(TLSNotOffered, said)
        self.assertIn("b'login: '", str(self.fails(TLSNotOffered, b"login: ")))

    def test_c15_refused(self) -> None:
        """C15: a server may change its mind."""
        self.fails(TLSRefused, DO, DONT)
        self.fails(TLSNotOffered, DO + DONT)

    def test_c16_text_where_follows_is_due(self) -> None:
        """C16: a server that asks for TLS and then talks in the clear is none."""
        self.fails(PeerMisbehaved, DO, b"login: ")
        self.fails(PeerMisbehaved, DO + b"login: ")
        self.fails(PeerMisbehaved, DO, b"\xff\xff")

    def test_parameters_of_options(self) -> None:
        """Parameters are passed over, escapes and all, and are no FOLLOWS."""
        for parameters in (
            b"\xff\xfa\x18\x01\xff\xf0",
            b"\xff\xfa\x2e\x02\xff\xf0",
            b"\xff\xfa\x2e\x01\x01\xff\xf0",
            b"\xff\xfa\xff\xf0",
            b"\xff\xfa\x18\xff\xff\xf0\x01" + FOLLOWS[:-2] + b"\xff\xff\xff\xf0",
        ):
            client = told(telnet.connect, parameters + DO)
            self.assertEqual(client.data_to_send(), WILL + FOLLOWS, parameters)
            client.receive_data(parameters)
            self.assertFalse(client.is_complete)
            client.receive_data(FOLLOWS)
            self.assertTrue(client.is_complete)

    def test_c11_byte_by_byte(self) -> None:
        """C11: commands are the same in whatever segments they come."""
        said = b"\xff\xfd\x18\xff\xfa\x18\xff\xff\x01\xff\xf0\xff\xf1" + DO
        client = told(telnet.connect, *bytewise(said))
        self.assertEqual(client.data_to_send(), b"\xff\xfc\x18" + WILL + FOLLOWS)
        for byte in bytewise(FOLLOWS):
            self.assertFalse(client.is_complete)
            client.receive_data(byte)
        self.assertTrue(client.is_complete)

    def test_c28_floods(self) -> None:
        """C28: options without end, and parameters without end, come to an end."""
        for flood in (b"\xff\xfd\x18", b"\xff\xf1", b"\xff\xfa\x18\xff\xf0"):
            self.fails(PeerMisbehaved, flood * 100)
            self.fails(PeerMisbehaved, DO, flood * 100)
        for endless in (b"\0" * 300, b"\xff\xff" * 300, b"\xff\xf1" * 300):
            self.fails(PeerMisbehaved, b"\xff\xfa\x18" + endless)
            self.fails(PeerMisbehaved, *bytewise(b"\xff\xfa\x18" + endless))


class ServerTests(SynchronousTestCase):
    """What a server makes of a client's words."""

    def fails(self, kind: type[NegotiationError], *said: bytes) -> bytes:
        """What a server has said behind its request when it fails that hears this."""
        error, answered = farewell(telnet.serve, *said)
        self.assertIs(type(error), kind, error)
        return answered.removeprefix(DO)

    def test_other_options_are_refused(self) -> None:
        """What a client offers besides is refused."""
        server = told(telnet.serve, b"\xff\xfb\x1f" + WILL + b"\xff\xfd\x03" + FOLLOWS)
        self.assertEqual(server.data_to_send(), DO + b"\xff\xfe\x1f\xff\xfc\x03" + FOLLOWS)
        self.assertTrue(server.is_complete)

    def test_s7_nothing_may_follow(self) -> None:
        """S7: whatever is pipelined behind FOLLOWS ends it, and no FOLLOWS is said."""
        for evil in (b"root\r\n", b"\0", b"\xff\xfd\x03", b"\x16\x03\x01"):
            said = self.fails(PlaintextInjected, WILL + FOLLOWS + evil)
            self.assertEqual(said, b"")

    def test_s20_nothing_else_before_tls(self) -> None:
        """S20: a client that types its name in the clear is told what comes first."""
        for text in (b"root\r\n", b"\xff\xff", b"\0"):
            self.assertEqual(self.fails(PeerMisbehaved, text), b"TLS comes first\r\n")
            self.assertEqual(self.fails(PeerMisbehaved, WILL + text), b"TLS comes first\r\n")

    def test_a_client_without_tls(self) -> None:
        """A client that refuses the option has no TLS."""
        self.assertEqual(self.fails(TLSNotOffered, WONT), b"")

    def test_follows_without_will(self) -> None:
        """FOLLOWS means nothing of a client that was not willing."""
        self.assertEqual(self.fails(PeerMisbehaved, FOLLOWS), b"")

    def test_s25_floods(self) -> None:
        """S25: options without end come to an end."""
        self.fails(PeerMisbehaved, b"\xff\xfb\x1f" * 100)
        self.fails(PeerMisbehaved, WILL * 100)
        self.fails(PeerMisbehaved, b"\xff\xfa\x18" + b"x" * 300)
