"""The LDAP dialogue: StartTLS to the byte, and the answers of usual servers."""

from __future__ import annotations

from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from tests.starttls.in_memory import after_receiving, failure_after, negotiate
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
    """An LDAPMessage with this operation."""
    digits = number.to_bytes(number.bit_length() // 8 + 1, "big")
    return encoded(0x30, encoded(0x02, digits), operation, behind)


def answer(code: int, text: bytes = b"", *more: bytes, number: int = 1) -> bytes:
    """An answer to an extended operation."""
    result = encoded(0x0A, bytes((code,))), encoded(0x04), encoded(0x04, text)
    return message(encoded(0x78, *result, *more), number)


class TranscriptTests(SynchronousTestCase):
    """The client and the server, when all is well."""

    def test_the_dialogue_follows_the_specification(self) -> None:
        """A client and a server send the bytes that RFC 4511 specifies."""
        result = negotiate(ldap.connect, ldap.serve)
        self.assertEqual(result.by_client, [REQUEST])
        self.assertEqual(result.by_server, [OPENLDAP])

    def test_the_go_ahead_of_usual_servers_is_understood(self) -> None:
        """OpenLDAP, Active Directory and ApacheDS encode their success differently."""
        for yes in (OPENLDAP, ACTIVE_DIRECTORY, APACHE):
            self.assertTrue(after_receiving(ldap.connect, yes).is_complete)

    def test_controls_in_the_answer_are_ignored(self) -> None:
        """An answer may have controls, which are ignored."""
        with_controls = message(OPENLDAP[5:], behind=encoded(0xA0, b"\x30\x00"))
        self.assertTrue(after_receiving(ldap.connect, with_controls).is_complete)

    def test_the_application_receives_nothing(self) -> None:
        """Under TLS a client sends first, so the application's protocol receives nothing."""
        result = negotiate(ldap.connect, ldap.serve)
        self.assertEqual((result.client.outcome, result.server.outcome), (b"", b""))


class ClientTests(SynchronousTestCase):
    """The client, given what a server may send."""

    def fails(self, kind: type[NegotiationError], received: bytes) -> NegotiationError:
        """The error of a client that receives this, which has to be of this kind."""
        error, sent = failure_after(ldap.connect, received)
        self.assertIs(type(error), kind, error)
        self.assertEqual(sent, REQUEST)
        return error

    def test_bytes_after_the_go_ahead_are_an_attack(self) -> None:
        """A search entry after the success ends the dialogue, and is not delivered."""
        entry = message(encoded(0x64, encoded(0x04, b"cn=evil"), encoded(0x30)), 2)
        for evil in (entry, OPENLDAP, b"\0", b"\x30"):
            for yes in (OPENLDAP, ACTIVE_DIRECTORY, APACHE):
                error, _ = failure_after(ldap.connect, yes + evil)
                self.assertIsInstance(error, PlaintextInjected)

    def test_a_refusal_of_tls_is_reported(self) -> None:
        """Every code but success is a refusal, reported with its name and the server's text."""
        for code, name in (
            (1, "1 operationsError"),
            (2, "2 protocolError"),
            (13, "13 confidentialityRequired"),
            (52, "52 unavailable"),
            (99, "99"),
        ):
            error = self.fails(TLSRefused, answer(code, b"no TLS here"))
            self.assertIn(f"({name}): b'no TLS here'", str(error))

    def test_a_refusal_of_active_directory_is_reported(self) -> None:
        """Active Directory without a certificate answers "unavailable"."""
        refused = ACTIVE_DIRECTORY.replace(b"\x0a\x01\x00", b"\x0a\x01\x34")
        self.fails(TLSRefused, refused)

    def test_only_the_go_ahead_leads_to_tls(self) -> None:
        """Another message id, operation or name, and any other bytes, are not a go-ahead."""
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

    def test_referrals_are_not_followed(self) -> None:
        """The server in a referral is neither connected to nor shown as advice."""
        url = b"ldap://evil.example/"
        error = self.fails(TLSRefused, answer(10, url, encoded(0xA3, encoded(0x04, url))))
        self.assertIn("10 referral", str(error))
        self.assertNotIn("evil", str(error))
        # A referral in a success is ignored as well.
        self.assertTrue(
            after_receiving(
                ldap.connect, answer(0, b"", encoded(0xA3, encoded(0x04, url)))
            ).is_complete
        )

    def test_a_server_may_disconnect(self) -> None:
        """A Notice of Disconnection is reported as PeerLeft, whatever its code."""
        for code in (0, 2, 52):
            notice = answer(code, b"going down", encoded(0x8A, NOTICE), number=0)
            self.assertIn("going down", str(self.fails(PeerLeft, notice)))

    def test_hostile_text_is_escaped_and_cut(self) -> None:
        """A server's text is escaped and cut in messages."""
        error = self.fails(TLSRefused, answer(2, b"\x1b[31m\r\n" + b"x" * 8000))
        self.assertTrue(str(error).isprintable())
        self.assertLess(len(str(error)), 400)


class ServerTests(SynchronousTestCase):
    """The server, given what a client may send."""

    def disconnects(self, received: bytes) -> NegotiationError:
        """The error of a server that receives this, and answers with a Notice of Disconnection."""
        error, answered = failure_after(ldap.serve, received)
        notice = answer(2, b"StartTLS comes first", encoded(0x8A, NOTICE), number=0)
        self.assertTrue(answered.endswith(notice), answered)
        return error

    def test_bytes_after_the_request_are_an_attack(self) -> None:
        """A Bind after the request ends the dialogue: it is not read, and no go-ahead is sent."""
        for evil in (message(BIND, 2), b"\0", b"\x16\x03\x01"):
            error, sent = failure_after(ldap.serve, REQUEST + evil)
            self.assertIsInstance(error, PlaintextInjected)
            self.assertEqual(sent, b"")

    def test_nothing_else_is_served_before_tls(self) -> None:
        """Every operation is answered with confidentialityRequired, and is not evaluated."""
        for asked, answered in (
            (0x60, 0x61), (0x63, 0x65), (0x66, 0x67), (0x68, 0x69),
            (0x4A, 0x6B), (0x6C, 0x6D), (0x6E, 0x6F),
        ):  # fmt: skip
            server = after_receiving(ldap.serve, message(encoded(asked, b"any bytes"), 300))
            self.assertEqual(
                server.data_to_send(), message(encoded(answered, CONFIDENTIALITY), 300)
            )
            server.receive_data(REQUEST)
            self.assertTrue(server.is_complete)

    def test_an_answer_has_the_message_id_of_its_request(self) -> None:
        """An answer has the message id of its request, from the smallest to the largest."""
        for number in ("01", "7f", "0080", "00ff", "7fffffff"):
            value = encoded(0x02, bytes.fromhex(number))
            server = after_receiving(ldap.serve, encoded(0x30, value, REQUEST[5:]))
            self.assertTrue(server.data_to_send()[2:].startswith(value), number)
            self.assertTrue(server.is_complete)

    def test_other_extended_operations_demand_tls(self) -> None:
        """Extended operations other than StartTLS need TLS, too."""
        who_am_i = message(encoded(0x77, encoded(0x80, b"1.3.6.1.4.1.4203.1.11.3")), 7)
        self.assertEqual(
            after_receiving(ldap.serve, who_am_i).data_to_send(),
            message(encoded(0x78, CONFIDENTIALITY), 7),
        )

    def test_a_request_with_a_value_may_be_repeated_without(self) -> None:
        """StartTLS takes no value; a client that sends one may ask again without."""
        request = message(encoded(0x77, encoded(0x80, OID), encoded(0x81)))
        server = after_receiving(ldap.serve, request)
        self.assertEqual(server.data_to_send(), answer(2, b"StartTLS comes first"))
        server.receive_data(REQUEST)
        self.assertEqual((server.is_complete, server.data_to_send()), (True, OPENLDAP))

    def test_every_spelling_of_the_request_is_understood(self) -> None:
        """A request may have long lengths, another message id, and controls."""
        for request in (
            bytes.fromhex("308400000021020101778400000018") + REQUEST[7:],
            message(REQUEST[5:], 99),
            message(REQUEST[5:], behind=encoded(0xA0)),
        ):
            self.assertTrue(after_receiving(ldap.serve, request).is_complete, request)

    def test_a_client_may_quit(self) -> None:
        """Unbind is reported as PeerLeft, and has no answer."""
        error, sent = failure_after(ldap.serve, message(bytes.fromhex("4200")))
        self.assertIsInstance(error, PeerLeft)
        self.assertEqual(sent, b"")

    def test_abandon_has_no_answer(self) -> None:
        """Abandon is ignored: the protocol has no answer to it."""
        server = after_receiving(ldap.serve, message(encoded(0x50, b"\1")))
        self.assertEqual((server.data_to_send(), server.is_complete), (b"", False))

    def test_a_client_that_never_starts_tls_is_cut_off(self) -> None:
        """After so many operations the server gives up."""
        for operation in (BIND, encoded(0x50, b"\1")):
            server = Negotiation(ldap.serve)
            for _ in range(COMMANDS - 1):
                server.receive_data(message(operation))
            self.assertRaises(PeerMisbehaved, server.receive_data, message(operation))
            self.assertIn(NOTICE, server.data_to_send())

    def test_what_is_no_request_ends_the_dialogue(self) -> None:
        """Responses, invalid ids and other bytes are answered with a Notice of Disconnection."""
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
            self.assertIs(type(self.disconnects(other)), PeerMisbehaved)
