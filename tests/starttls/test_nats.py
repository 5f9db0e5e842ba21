"""NATS: TLS behind INFO, and how little of that INFO the guest hears."""

from __future__ import annotations

import json
from typing import Any, Final

from twisted.trial.unittest import SynchronousTestCase

from tests.starttls.talk import bytewise, farewell, talk, told, wire
from txtransport.errors import (
    NegotiationError,
    PeerLeft,
    PeerMisbehaved,
    PlaintextInjected,
    TLSNotOffered,
)
from txtransport.starttls import nats
from txtransport.starttls.negotiation import Negotiation
from txtransport.starttls.protocols import STARTTLS_PROTOCOLS
from txtransport.starttls.wire import TOTAL

SERVER: Final[dict[str, Any]] = {
    "server_id": "NCUWF4KWI6NQR4NRT2ZWBI6WBW6V63XERJGREROVAVV6WZ4O4D7R6CVK",
    "server_name": "my_server",
    "version": "2.10.0",
    "proto": 1,
    "git_commit": "abcdef0",
    "go": "go1.21",
    "host": "0.0.0.0",
    "port": 4222,
    "headers": True,
    "auth_required": True,
    "tls_required": True,
    "max_payload": 1048576,
    "jetstream": True,
    "client_id": 61,
    "client_ip": "192.0.2.7",
    "nonce": "cPtnY2lNBjFxVHw",
    "cluster": "west",
    "connect_urls": ["evil.example:4222", "[2001:db8::1]:4222"],
    "ldm": False,
}
"""What a server says of itself."""


def info(**changed: Any) -> bytes:
    """An INFO as servers send it."""
    return b"INFO " + json.dumps(SERVER | changed).encode() + b" \r\n"


def heard(line: bytes) -> dict[str, Any]:
    """What a guest hears when a server has sent that line."""
    outcome = told(nats.connect, line).outcome
    if not outcome.startswith(b"INFO {") or outcome.count(b"\n") != 1 or outcome[-2:] != b"\r\n":
        raise AssertionError(outcome)
    found: dict[str, Any] = json.loads(outcome[5:])
    return found


class ClientTests(SynchronousTestCase):
    """What a client makes of a server's words, and tells its guest."""

    def fails(self, kind: type[NegotiationError], line: bytes) -> NegotiationError:
        """How a client fails that hears this; it says nothing."""
        error, said = farewell(nats.connect, line)
        self.assertIs(type(error), kind, error)
        self.assertEqual(said, b"")
        return error

    def test_a_client_says_nothing(self) -> None:
        """A client hears INFO, and begins TLS at once."""
        client = told(nats.connect, info())
        self.assertEqual((client.is_complete, client.data_to_send()), (True, b""))

    def test_what_the_guest_hears(self) -> None:
        """A guest hears what it needs to connect, and nothing of other servers or of TLS."""
        self.assertEqual(
            heard(info()),
            {
                "server_id": SERVER["server_id"],
                "version": "2.10.0",
                "proto": 1,
                "max_payload": 1048576,
                "auth_required": True,
                "nonce": "cPtnY2lNBjFxVHw",
                "headers": True,
            },
        )

    def test_what_is_missing_stays_missing(self) -> None:
        """A guest hears of nothing that the server did not say."""
        self.assertEqual(heard(b'INFO {"tls_required":true}\n'), {})

    def test_values_of_another_type(self) -> None:
        """A value of a type that it cannot have is left out."""
        rows: tuple[tuple[str, Any], ...] = (
            ("max_payload", "1"),
            ("max_payload", True),
            ("max_payload", 1.5),
            ("proto", None),
            ("nonce", ["x"]),
            ("headers", 1),
            ("auth_required", "yes"),
            ("server_id", {}),
        )
        for key, value in rows:
            self.assertNotIn(key, heard(info(**{key: value})), value)

    def test_values_cannot_break_out(self) -> None:
        """A value cannot end the line that the guest hears."""
        evil = '\r\nMSG x 1 1\r\n\x00\u2028"}\ud800'
        self.assertEqual(heard(info(nonce=evil))["nonce"], evil)

    def test_spellings(self) -> None:
        """A server may write INFO small, its JSON with spaces, and end its line with LF."""
        for line in (
            b'info {"tls_required":true}\r\n',
            b'INFO  { "tls_required" : true }\n',
            b'INFO {"tls_required":false,"tls_required":true}\r\n',
        ):
            self.assertTrue(told(nats.connect, line).is_complete)

    def test_tls_available(self) -> None:
        """A server that leaves it to the client gets TLS."""
        self.assertTrue(
            told(nats.connect, info(tls_required=False, tls_available=True)).is_complete
        )
        self.assertNotIn("tls_available", heard(info(tls_available=True)))

    def test_c14_not_offered(self) -> None:
        """C14: TLS is not begun where a server does not say clearly that it has it."""
        values: tuple[Any, ...] = (False, None, "true", 1, "", [], {})
        for value in values:
            error = self.fails(TLSNotOffered, info(tls_required=value, tls_available=value))
            self.assertIn("NCUWF4", str(error))
        self.fails(TLSNotOffered, b"INFO {}\r\n")

    def test_c32_what_is_heard_in_the_clear(self) -> None:
        """C32: a guest that is to go on without TLS hears no more of INFO than under TLS."""
        client = Negotiation(nats.connect)
        self.assertRaises(TLSNotOffered, client.receive_data, info(tls_required=False))
        self.assertEqual(client.wire.greeting, told(nats.connect, info()).outcome)

    def test_c1_nothing_may_follow(self) -> None:
        """C1: bytes behind INFO end it, be they another INFO or a PING."""
        for evil in (b"PING\r\n", info(), b"+OK\r\n", b"\n", b"\0", b"\x16\x03\x01"):
            self.fails(PlaintextInjected, info() + evil)

    def test_a_server_that_is_full(self) -> None:
        """A server that has only an error to tell has taken its leave."""
        error = self.fails(PeerLeft, b"-ERR 'maximum connections exceeded'\r\n")
        self.assertIn("maximum connections", str(error))

    def test_c16_what_is_no_info(self) -> None:
        """C16: other words, and an INFO without an object, are no INFO."""
        for line in (
            b"PING\r\n",
            b"+OK\r\n",
            b"INFORM {}\r\n",
            b"INFO\r\n",
            b"INFO \r\n",
            b"INFO []\r\n",
            b"INFO null\r\n",
            b'INFO "tls_required"\r\n',
            b'INFO {"tls_required":true\r\n',
            b'INFO {"tls_required":true}}\r\n',
            b"INFO {'tls_required':true}\r\n",
            b'INFO {"a":"\xff","tls_required":true}\r\n',
            'INFO {"tls_required":true}\r\n'.encode("utf-16-le"),
            b"220 mail.example.com ESMTP\r\n",
            b"\r\n",
        ):
            self.fails(PeerMisbehaved, line)

    def test_json_made_to_hurt(self) -> None:
        """Depth without end and numbers without end are refused, or stay what they are."""
        for evil in (b"[" * 30000, b'{"a":' * 6000, b'{"a":' + b"9" * 30000):
            self.fails(PeerMisbehaved, b"INFO " + evil + b"\r\n")

    def test_c28_a_line_without_an_end(self) -> None:
        """C28: a big cluster's INFO is read, and one without an end is not."""
        self.assertTrue(told(nats.connect, info(connect_urls=["x" * 100] * 300)).is_complete)
        self.fails(PeerMisbehaved, b"INFO " + b"x" * TOTAL)

    def test_c11_byte_by_byte(self) -> None:
        """C11: an INFO is the same in whatever segments it comes."""
        self.assertEqual(
            told(nats.connect, *bytewise(info())).outcome, told(nats.connect, info()).outcome
        )


class ServerTests(SynchronousTestCase):
    """What a server says."""

    def test_the_transcript(self) -> None:
        """A server says that TLS is required, and what a client may rely on."""
        result = talk(nats.connect, nats.serve)
        self.assertEqual(result.by_client, [])
        self.assertEqual(
            result.by_server,
            [
                b'INFO {"server_id":"server.example","version":"2.2.0","proto":1,'
                b'"max_payload":1048576,"auth_required":true,"headers":true,'
                b'"tls_required":true}\r\n'
            ],
        )
        self.assertEqual(result.server.outcome, b"")

    def test_tls_comes_at_once(self) -> None:
        """Whatever the client says is TLS's already: it may begin without waiting."""
        server = Negotiation(nats.serve, wire())
        self.assertTrue(server.is_complete and server.wire.accepts_early_client_hello)

    def test_the_application_says_info_too(self) -> None:
        """The INFO of the application behind is kept back: the client has heard ours."""
        ends = STARTTLS_PROTOCOLS["nats"].greeting
        if ends is None:
            raise AssertionError("nothing is kept back")
        self.assertEqual(ends(info() + b"PONG\r\n"), len(info()))
        self.assertEqual(ends(info()[:-1]), 0)
