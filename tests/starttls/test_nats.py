"""The NATS dialogue: TLS after INFO, and what the application receives of this INFO."""

from __future__ import annotations

import json
from typing import Any, Final

from twisted.trial.unittest import SynchronousTestCase

from tests.starttls.in_memory import (
    after_receiving,
    byte_by_byte,
    failure_after,
    negotiate,
    new_wire,
)
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
"""The INFO of a server."""


def info(**changed: Any) -> bytes:
    """An INFO as servers send it."""
    return b"INFO " + json.dumps(SERVER | changed).encode() + b" \r\n"


def forwarded(line: bytes) -> dict[str, Any]:
    """The INFO that the application receives when a server has sent this line."""
    outcome = after_receiving(nats.connect, line).outcome
    if not outcome.startswith(b"INFO {") or outcome.count(b"\n") != 1 or outcome[-2:] != b"\r\n":
        raise AssertionError(outcome)
    found: dict[str, Any] = json.loads(outcome[5:])
    return found


class ClientTests(SynchronousTestCase):
    """The client, given what a server may send, and what its application receives."""

    def fails(self, kind: type[NegotiationError], line: bytes) -> NegotiationError:
        """The error of a client that receives this line, and has to send nothing."""
        error, sent = failure_after(nats.connect, line)
        self.assertIs(type(error), kind, error)
        self.assertEqual(sent, b"")
        return error

    def test_the_client_sends_nothing_before_tls(self) -> None:
        """A client receives INFO, and begins TLS at once."""
        client = after_receiving(nats.connect, info())
        self.assertEqual((client.is_complete, client.data_to_send()), (True, b""))

    def test_the_application_receives_only_what_it_needs(self) -> None:
        """The INFO for the application has what it needs to connect, no servers and no TLS keys."""
        self.assertEqual(
            forwarded(info()),
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

    def test_missing_keys_are_not_invented(self) -> None:
        """The INFO for the application has no key that the server did not send."""
        self.assertEqual(forwarded(b'INFO {"tls_required":true}\n'), {})

    def test_values_of_another_type_are_left_out(self) -> None:
        """A value of a wrong type is left out."""
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
            self.assertNotIn(key, forwarded(info(**{key: value})), value)

    def test_values_cannot_end_the_line(self) -> None:
        """A value cannot end the line that the application's protocol receives."""
        evil = '\r\nMSG x 1 1\r\n\x00\u2028"}\ud800'
        self.assertEqual(forwarded(info(nonce=evil))["nonce"], evil)

    def test_every_spelling_of_info_is_understood(self) -> None:
        """INFO may be in lower case, its JSON with spaces, its line with a bare LF."""
        for line in (
            b'info {"tls_required":true}\r\n',
            b'INFO  { "tls_required" : true }\n',
            b'INFO {"tls_required":false,"tls_required":true}\r\n',
        ):
            self.assertTrue(after_receiving(nats.connect, line).is_complete)

    def test_tls_available_leads_to_tls(self) -> None:
        """If the server leaves the choice to the client, the client starts TLS."""
        self.assertTrue(
            after_receiving(nats.connect, info(tls_required=False, tls_available=True)).is_complete
        )
        self.assertNotIn("tls_available", forwarded(info(tls_available=True)))

    def test_tls_not_offered_ends_the_dialogue(self) -> None:
        """TLS is not begun unless one of the two keys for TLS is a JSON true."""
        values: tuple[Any, ...] = (False, None, "true", 1, "", [], {})
        for value in values:
            error = self.fails(TLSNotOffered, info(tls_required=value, tls_available=value))
            self.assertIn("NCUWF4", str(error))
        self.fails(TLSNotOffered, b"INFO {}\r\n")

    def test_the_greeting_is_known_after_a_refusal(self) -> None:
        """A client that continues in plaintext receives the same INFO as under TLS."""
        client = Negotiation(nats.connect)
        self.assertRaises(TLSNotOffered, client.receive_data, info(tls_required=False))
        self.assertEqual(client.wire.greeting, after_receiving(nats.connect, info()).outcome)

    def test_bytes_after_the_go_ahead_are_an_attack(self) -> None:
        """Bytes after INFO end the dialogue, even another INFO or a PING."""
        for evil in (b"PING\r\n", info(), b"+OK\r\n", b"\n", b"\0", b"\x16\x03\x01"):
            self.fails(PlaintextInjected, info() + evil)

    def test_a_server_may_refuse_the_connection(self) -> None:
        """An error in place of INFO is reported as PeerLeft."""
        error = self.fails(PeerLeft, b"-ERR 'maximum connections exceeded'\r\n")
        self.assertIn("maximum connections", str(error))

    def test_only_info_leads_to_tls(self) -> None:
        """Other words, and an INFO without a JSON object, do not lead to TLS."""
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

    def test_hostile_json_is_refused(self) -> None:
        """Deep nesting and endless numbers are refused."""
        for evil in (b"[" * 30000, b'{"a":' * 6000, b'{"a":' + b"9" * 30000):
            self.fails(PeerMisbehaved, b"INFO " + evil + b"\r\n")

    def test_a_flood_ends_the_dialogue(self) -> None:
        """A big cluster's INFO is read, and an INFO without an end is not."""
        self.assertTrue(
            after_receiving(nats.connect, info(connect_urls=["x" * 100] * 300)).is_complete
        )
        self.fails(PeerMisbehaved, b"INFO " + b"x" * TOTAL)

    def test_segments_do_not_matter(self) -> None:
        """An INFO is the same in whatever segments it arrives."""
        self.assertEqual(
            after_receiving(nats.connect, *byte_by_byte(info())).outcome,
            after_receiving(nats.connect, info()).outcome,
        )


class ServerTests(SynchronousTestCase):
    """What the server sends."""

    def test_the_dialogue_follows_the_specification(self) -> None:
        """A server sends that TLS is required, and what a client may rely on."""
        result = negotiate(nats.connect, nats.serve)
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

    def test_the_client_s_first_bytes_are_tls(self) -> None:
        """Whatever the client sends goes to TLS: it may begin without waiting."""
        server = Negotiation(nats.serve, new_wire())
        self.assertTrue(server.is_complete and server.wire.accepts_early_client_hello)

    def test_the_application_s_info_is_recognised(self) -> None:
        """The INFO of the application behind is not sent: the client has received ours."""
        ends = STARTTLS_PROTOCOLS["nats"].greeting
        if ends is None:
            raise AssertionError("nothing is kept back")
        self.assertEqual(ends(info() + b"PONG\r\n"), len(info()))
        self.assertEqual(ends(info()[:-1]), 0)
