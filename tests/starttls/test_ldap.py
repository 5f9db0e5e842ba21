"""LDAP: StartTLS byte by byte, in the answers of the usual servers, and what is no answer."""

from __future__ import annotations

from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from tests.starttls.talk import farewell, talk, told
from txtransport.errors import (
    NegotiationError,
    PeerLeft,
    PeerMisbehaved,
    PlaintextInjected,
    TLSRefused,
)
from txtransport.starttls import ldap
from txtransport.starttls.ber import encoded
from txtransport.starttls.negotiation import Negotiation
from txtransport.starttls.wire import COMMANDS

OID: Final = b"1.3.6.1.4.1.1466.20037"
NOTICE: Final = b"1.3.6.1.4.1.1466.20036"
REQUEST: Final = bytes.fromhex("301d02010177188016312e332e362e312e342e312e313436362e3230303337")
OPENLDAP: Final = bytes.fromhex("300c02010178070a010004000400")
ACTIVE_DIRECTORY: Final = bytes.fromhex("30840000002802010178840000001f0a0100040004008a16") + OID
APACHE: Final = bytes.fromhex("302602010178210a0100040004008a16") + OID + b"\x8b\x00"

BIND: Final = encoded(0x60, bytes.fromhex("020103 0400 8006") + b"secret")
CONFIDENTIALITY: Final = (
    encoded(0x0A, b"\x0d") + encoded(0x04) + encoded(0x04, b"StartTLS comes first")
)


def message(operation: bytes, number: int = 1, behind: bytes = b"") -> bytes:
    """A message with that operation."""
    digits = number.to_bytes(number.bit_length() // 8 + 1, "big")
    return encoded(0x30, encoded(0x02, digits), operation, behind)


def answer(code: int, text: bytes = b"", *more: bytes, number: int = 1) -> bytes:
    """An answer to an extended operation."""
    result = encoded(0x0A, bytes((code,))), encoded(0x04), encoded(0x04, text)
    return message(encoded(0x78, *result, *more), number)


class TranscriptTests(SynchronousTestCase):
    """What is said when all is well."""

    def test_the_transcript(self) -> None:
        """A client and a server say what RFC 4511 has them say, to the byte."""
        result = talk(ldap.connect, ldap.serve)
        self.assertEqual(result.by_client, [REQUEST])
        self.assertEqual(result.by_server, [OPENLDAP])

    def test_the_usual_servers(self) -> None:
        """OpenLDAP, Active Directory and ApacheDS say yes in ways of their own."""
        for yes in (OPENLDAP, ACTIVE_DIRECTORY, APACHE):
            self.assertTrue(told(ldap.connect, yes).is_complete)

    def test_controls_may_follow(self) -> None:
        """An answer may have controls, which mean nothing to us."""
        with_controls = message(OPENLDAP[5:], behind=encoded(0xA0, b"\x30\x00"))
        self.assertTrue(told(ldap.connect, with_controls).is_complete)

    def test_the_guest_hears_nothing(self) -> None:
        """Under TLS a client asks first, so nothing is told."""
        result = talk(ldap.connect, ldap.serve)
        self.assertEqual((result.client.outcome, result.server.outcome), (b"", b""))


class ClientTests(SynchronousTestCase):
    """What a client makes of a server's words."""

    def fails(self, kind: type[NegotiationError], said: bytes) -> NegotiationError:
        """How a client fails that hears this."""
        error, heard = farewell(ldap.connect, said)
        self.assertIs(type(error), kind, error)
        self.assertEqual(heard, REQUEST)
        return error

    def test_c8_nothing_may_follow(self) -> None:
        """C8: an entry behind the success ends it, and is not delivered."""
        entry = message(encoded(0x64, encoded(0x04, b"cn=evil"), encoded(0x30)), 2)
        for evil in (entry, OPENLDAP, b"\0", b"\x30"):
            for yes in (OPENLDAP, ACTIVE_DIRECTORY, APACHE):
                error, _ = farewell(ldap.connect, yes + evil)
                self.assertIsInstance(error, PlaintextInjected)

    def test_c15_refused(self) -> None:
        """C15: every code but success is a refusal, with its name and the server's words."""
        for code, name in (
            (1, "1 operationsError"),
            (2, "2 protocolError"),
            (13, "13 confidentialityRequired"),
            (52, "52 unavailable"),
            (99, "99"),
        ):
            error = self.fails(TLSRefused, answer(code, b"no TLS here"))
            self.assertIn(f"({name}): b'no TLS here'", str(error))

    def test_c15_a_refusal_as_active_directory_sends_it(self) -> None:
        """C15: Active Directory without a certificate says that it is unavailable."""
        refused = ACTIVE_DIRECTORY.replace(b"\x0a\x01\x00", b"\x0a\x01\x34")
        self.fails(TLSRefused, refused)

    def test_c16_what_is_no_answer(self) -> None:
        """C16: another number, operation or name, and any other bytes, are no answer."""
        success = OPENLDAP[5:]
        for other in (
            message(success, 2),
            message(success, 0),
            answer(0, b"", encoded(0x8A, NOTICE)),
            answer(0, b"", encoded(0x8A, b"1.2.3")),
            message(b"\x61" + success[1:]),
            message(encoded(0x65, success[2:])),
            message(encoded(0x64, encoded(0x04), encoded(0x30))),
            message(encoded(0x78)),
            message(encoded(0x78, encoded(0x0A, b"\0"), encoded(0x04))),
            message(encoded(0x78, encoded(0x0A), encoded(0x04), encoded(0x04))),
            message(encoded(0x78, encoded(0x02, b"\0"), encoded(0x04), encoded(0x04))),
            message(encoded(0x78, success[2:], encoded(0x8B), encoded(0x8A, OID))),
            message(encoded(0x78, success[2:], b"\0")),
            message(success, behind=encoded(0x04)),
            message(success + success),
            message(b""),
            encoded(0x30),
            encoded(0x30, encoded(0x04, b"\1"), success),
            encoded(0x30, encoded(0x02), success),
            encoded(0x30, encoded(0x02, b"\xff"), success),
            OPENLDAP[:4] + b"\x02" + OPENLDAP[5:],
            bytes.fromhex("300b") + OPENLDAP[2:],
            bytes.fromhex("300d") + OPENLDAP[2:] + b"\0",
            bytes.fromhex("3080") + OPENLDAP[2:] + b"\0\0",
            b"220 mail.example.com ESMTP\r\n",
            b"\x15\x03\x01\x00\x02\x02\x46",
            bytes.fromhex("3084ffffffff"),
        ):
            self.fails(PeerMisbehaved, other)

    def test_c19_referrals_are_not_followed(self) -> None:
        """C19: where a server refers to is neither asked nor shown as advice."""
        url = b"ldap://evil.example/"
        error = self.fails(TLSRefused, answer(10, url, encoded(0xA3, encoded(0x04, url))))
        self.assertIn("10 referral", str(error))
        self.assertNotIn("evil", str(error))
        # Nor in a success, where it has no place but does no harm.
        self.assertTrue(
            told(ldap.connect, answer(0, b"", encoded(0xA3, encoded(0x04, url)))).is_complete
        )

    def test_a_server_that_disconnects(self) -> None:
        """A Notice of Disconnection is a goodbye, whatever its code."""
        for code in (0, 2, 52):
            notice = answer(code, b"going down", encoded(0x8A, NOTICE), number=0)
            self.assertIn("going down", str(self.fails(PeerLeft, notice)))

    def test_c21_texts_of_strangers(self) -> None:
        """C21: what a server says is shown escaped, and in part."""
        error = self.fails(TLSRefused, answer(2, b"\x1b[31m\r\n" + b"x" * 8000))
        self.assertTrue(str(error).isprintable())
        self.assertLess(len(str(error)), 400)


class ServerTests(SynchronousTestCase):
    """What a server makes of a client's words."""

    def ends(self, said: bytes) -> NegotiationError:
        """How a server fails that hears this; it says so with a Notice of Disconnection."""
        error, answered = farewell(ldap.serve, said)
        notice = answer(2, b"StartTLS comes first", encoded(0x8A, NOTICE), number=0)
        self.assertTrue(answered.endswith(notice), answered)
        return error

    def test_s9_nothing_may_follow_the_request(self) -> None:
        """S9: a Bind behind the request ends it; it is not looked at, and nothing is said."""
        for evil in (message(BIND, 2), b"\0", b"\x16\x03\x01"):
            error, said = farewell(ldap.serve, REQUEST + evil)
            self.assertIsInstance(error, PlaintextInjected)
            self.assertEqual(said, b"")

    def test_s20_every_other_operation(self) -> None:
        """S20: every operation gets its own answer, that it needs TLS, and is not looked into."""
        for asked, answered in (
            (0x60, 0x61), (0x63, 0x65), (0x66, 0x67), (0x68, 0x69),
            (0x4A, 0x6B), (0x6C, 0x6D), (0x6E, 0x6F),
        ):  # fmt: skip
            server = told(ldap.serve, message(encoded(asked, b"any bytes"), 300))
            self.assertEqual(
                server.data_to_send(), message(encoded(answered, CONFIDENTIALITY), 300)
            )
            server.receive_data(REQUEST)
            self.assertTrue(server.is_complete)

    def test_numbers_are_kept(self) -> None:
        """An answer has its question's number, be it small or as big as can be."""
        for number in ("01", "7f", "0080", "00ff", "7fffffff"):
            value = encoded(0x02, bytes.fromhex(number))
            server = told(ldap.serve, encoded(0x30, value, REQUEST[5:]))
            self.assertTrue(server.data_to_send()[2:].startswith(value), number)
            self.assertTrue(server.is_complete)

    def test_other_extended_operations(self) -> None:
        """Extended operations other than StartTLS need TLS, too."""
        who_am_i = message(encoded(0x77, encoded(0x80, b"1.3.6.1.4.1.4203.1.11.3")), 7)
        self.assertEqual(
            told(ldap.serve, who_am_i).data_to_send(), message(encoded(0x78, CONFIDENTIALITY), 7)
        )

    def test_s19_a_request_with_a_value(self) -> None:
        """S19: StartTLS takes no value; a client that gives one may ask again without."""
        request = message(encoded(0x77, encoded(0x80, OID), encoded(0x81)))
        server = told(ldap.serve, request)
        self.assertEqual(server.data_to_send(), answer(2, b"StartTLS comes first"))
        server.receive_data(REQUEST)
        self.assertEqual((server.is_complete, server.data_to_send()), (True, OPENLDAP))

    def test_requests_of_other_make(self) -> None:
        """A request may have long lengths, another number, and controls."""
        for request in (
            bytes.fromhex("308400000021020101778400000018") + REQUEST[7:],
            message(REQUEST[5:], 99),
            message(REQUEST[5:], behind=encoded(0xA0)),
        ):
            self.assertTrue(told(ldap.serve, request).is_complete, request)

    def test_a_client_that_leaves(self) -> None:
        """Unbind is a goodbye, and has no answer."""
        error, said = farewell(ldap.serve, message(bytes.fromhex("4200")))
        self.assertIsInstance(error, PeerLeft)
        self.assertEqual(said, b"")

    def test_abandon_has_no_answer(self) -> None:
        """Abandon is passed over in silence, for it has no answer."""
        server = told(ldap.serve, message(encoded(0x50, b"\1")))
        self.assertEqual((server.data_to_send(), server.is_complete), (b"", False))

    def test_s25_a_flood_of_operations(self) -> None:
        """S25: a client may send so many operations in vain, and then has to leave."""
        for operation in (BIND, encoded(0x50, b"\1")):
            server = Negotiation(ldap.serve)
            for _ in range(COMMANDS - 1):
                server.receive_data(message(operation))
            self.assertRaises(PeerMisbehaved, server.receive_data, message(operation))
            self.assertIn(NOTICE, server.data_to_send())

    def test_what_is_no_operation(self) -> None:
        """Answers, numbers that are none, and other bytes end it with a word of goodbye."""
        for other in (
            OPENLDAP,
            message(REQUEST[5:], 0),
            message(encoded(0x7F, b"")),
            message(encoded(0x77)),
            message(encoded(0x77, encoded(0x81), encoded(0x80, OID))),
            message(encoded(0x77, encoded(0x80, OID), b"\0")),
            encoded(0x30),
            b"GET / HTTP/1.1\r\n\r\n",
            b"\x16\x03\x01",
            bytes.fromhex("3085"),
        ):
            self.assertIs(type(self.ends(other)), PeerMisbehaved)
