"""The table of protocols, the page made from it, and a protocol of a user's own."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from twisted.trial.unittest import SynchronousTestCase

from tests.starttls.in_memory import after_receiving, byte_by_byte, negotiate, one_segment
from txtransport.errors import InvalidOption, PeerMisbehaved, PlaintextInjected, TLSRefused
from txtransport.starttls.protocols import STARTTLS_PROTOCOLS, StartTLSProtocol, starttls_protocol
from txtransport.starttls.wire import COMMANDS, Dialogue, Wire

PAGE: Final = Path(__file__).parents[2] / "docs" / "starttls.md"

PORTS: Final = {
    "smtp": (587, 465),
    "lmtp": (24, None),
    "pop3": (110, 995),
    "imap": (143, 993),
    "nntp": (119, 563),
    "sieve": (4190, None),
    "ftp": (21, 990),
    "xmpp": (5222, 5223),
    "xmpp-server": (5269, 5270),
    "ldap": (389, 636),
    "irc": (6667, 6697),
    "postgres": (5432, 5432),
    "telnet": (23, 992),
    "nats": (4222, None),
    "amqp": (5672, 5671),
    "nut": (3493, None),
    "nbd": (10809, None),
    "rdp": (3389, None),
    "rdp-nla": (3389, None),
    "mysql": (3306, None),
    "vnc": (5900, None),
}
"""The port for STARTTLS, and the port with TLS from the start (IANA)."""

GREETINGS: Final = {
    "smtp": b"220-mail.example.com ESMTP\r\n220 no spam\r\n",
    "lmtp": b"220 mail.example.com LMTP\r\n",
    "pop3": b"+OK ready <1.2@mail.example.com>\r\n",
    "imap": b"* OK [CAPABILITY IMAP4rev1] ready\r\n",
    "nntp": b"200 posting allowed\r\n",
    "ftp": b"220-Welcome\r\n 110 is no code\r\n221-nor is this its end\r\n220 ready\r\n",
    "nats": b'INFO {"version":"2.10.0"}\r\n',
}
"""What the application of a server sends first, in protocols whose servers greet."""


# --- a protocol that is not in the table -----------------------------------------


def connect(wire: Wire) -> Dialogue[bytes]:
    """The client's side."""
    hello = yield from wire.line()
    if hello != b"HELLO":
        raise PeerMisbehaved("the peer does not speak CHAT")
    wire.ask(b"SECURE?\n")
    answer = yield from wire.line()
    if answer != b"YES":
        raise TLSRefused("NO", answer)
    return b"HELLO\n"


def serve(wire: Wire) -> Dialogue[bytes]:
    """The server's side."""
    wire.send(b"HELLO\n")
    for _ in range(COMMANDS):
        if (yield from wire.line()) == b"SECURE?":
            wire.send(b"YES\n")
            return b""
        wire.send(b"NOT WITHOUT TLS\n")
    wire.give_up(b"BYE\n")


CHAT: Final = StartTLSProtocol("chat", connect, serve, 4321)


class TableTests(SynchronousTestCase):
    """What the table holds."""

    def test_names_can_stand_in_a_url(self) -> None:
        """Each protocol has a name in lower case that needs no quoting."""
        for name, row in STARTTLS_PROTOCOLS.items():
            self.assertEqual(name, row.name)
            self.assertEqual(quote(name.lower()), name)

    def test_each_protocol_has_its_usual_ports(self) -> None:
        """The ports are those of the IANA registry."""
        ports = {name: (row.port, row.tls_port) for name, row in STARTTLS_PROTOCOLS.items()}
        self.assertEqual(ports, PORTS)

    def test_only_xmpp_verifies_a_domain(self) -> None:
        """XMPP verifies the domain that is asked for, every other protocol the host."""
        domains = {name for name, row in STARTTLS_PROTOCOLS.items() if row.verifies == "domain"}
        self.assertEqual(domains, {"xmpp", "xmpp-server"})
        self.assertEqual({row.verifies for row in STARTTLS_PROTOCOLS.values()}, {"domain", "host"})

    def test_only_three_protocols_are_not_transparent(self) -> None:
        """Only an application that must continue inside an exchange asks for the outcome."""
        asking = {name for name, row in STARTTLS_PROTOCOLS.items() if not row.is_transparent}
        self.assertEqual(asking, {"mysql", "nbd", "vnc"})

    def test_only_irc_has_an_offer_timeout(self) -> None:
        """On IRC silence means no (IRCv3); elsewhere only the deadline counts."""
        timeouts = {
            name: row.offer_timeout for name, row in STARTTLS_PROTOCOLS.items() if row.offer_timeout
        }
        self.assertEqual(timeouts, {"irc": 8.0})

    def test_only_transparent_protocols_may_continue_in_plaintext(self) -> None:
        """An application that begins inside an exchange has nowhere to begin without TLS."""
        for row in STARTTLS_PROTOCOLS.values():
            self.assertFalse(row.may_continue and not row.is_transparent, row.name)

    def test_the_application_receives_a_greeting_or_nothing(self) -> None:
        """The application of a client receives our greeting where servers greet, else nothing."""
        for row in STARTTLS_PROTOCOLS.values():
            if row.serve is None or not row.is_transparent:
                continue
            outcome = negotiate(row.connect, row.serve).client.outcome
            self.assertEqual(bool(outcome), row.greeting is not None, row.name)
            self.assertTrue(row.greeting is None or row.greeting(outcome) == len(outcome), row.name)


class GreetingTests(SynchronousTestCase):
    """The greeting of a server's application, which the client has received already."""

    def test_servers_that_greet_have_a_greeting_in_their_row(self) -> None:
        """Where a server's application sends first, its greeting is recognised."""
        having = {name for name, row in STARTTLS_PROTOCOLS.items() if row.greeting is not None}
        self.assertEqual(having, GREETINGS.keys())

    def test_the_end_of_a_greeting_is_found(self) -> None:
        """A greeting is not complete before its last byte, and what follows is not part of it."""
        for name, greeting in GREETINGS.items():
            end = STARTTLS_PROTOCOLS[name].greeting
            assert end is not None
            for place in range(len(greeting)):
                self.assertEqual(end(greeting[:place]), 0, (name, place))
            self.assertEqual(end(greeting), len(greeting))
            self.assertEqual(end(greeting + b"250 more\r\n"), len(greeting))

    def test_a_short_greeting_ends_with_its_line(self) -> None:
        """A greeting of a code alone, or of less, ends at the end of its line."""
        for greeting in (b"220\r\n", b"220\n", b"22\n", b"\n"):
            end = STARTTLS_PROTOCOLS["smtp"].greeting
            assert end is not None
            self.assertEqual(end(greeting + b"x"), len(greeting))


class LookupTests(SynchronousTestCase):
    """What ``starttls=`` accepts."""

    def test_case_does_not_matter(self) -> None:
        """SMTP and Smtp are smtp."""
        for name in ("smtp", "SMTP", "Smtp"):
            self.assertIs(starttls_protocol(name), STARTTLS_PROTOCOLS["smtp"])

    def test_an_unknown_name_lists_the_known_ones(self) -> None:
        """The error for an unknown name shows the name, cut, and all known names."""
        for name in ("smpt", "", "smtp ", "\u017fmtp", "x" * 1000, "evil\x1b\n", "'"):
            error = self.assertRaises(InvalidOption, starttls_protocol, name)
            self.assertEqual(error.option, "starttls")
            self.assertIn(", ".join(STARTTLS_PROTOCOLS), str(error))
            self.assertTrue(str(error).isprintable())
            self.assertLess(len(str(error)), 400)

    def test_other_types_are_refused(self) -> None:
        """Values of other types, a dialogue function among them, are an InvalidOption."""
        given: Any
        for given in (None, b"smtp", 25, [], True, connect):
            self.assertRaises(InvalidOption, starttls_protocol, given)


class OwnProtocolTests(SynchronousTestCase):
    """A protocol of a user's own."""

    def test_an_own_protocol_does_not_change_the_table(self) -> None:
        """A user's own row is accepted as it is, and changes nothing for anyone else."""
        self.assertIs(starttls_protocol(CHAT), CHAT)
        self.assertNotIn("chat", STARTTLS_PROTOCOLS)
        self.assertRaises(InvalidOption, starttls_protocol, "chat")

    def test_client_and_server_come_to_tls(self) -> None:
        """Two functions of ten lines come to TLS, in any segments, and have an outcome."""
        for split in (one_segment, byte_by_byte):
            result = negotiate(CHAT.connect, serve, split)
            self.assertEqual(result.by_client, [b"SECURE?\n"])
            self.assertEqual(result.by_server, [b"HELLO\n", b"YES\n"])
            self.assertEqual(result.client.outcome, b"HELLO\n")
            self.assertTrue(result.server.is_complete)

    def test_an_own_protocol_is_protected_like_the_others(self) -> None:
        """The rules of every dialogue hold for a user's own dialogue too."""
        self.assertRaises(PeerMisbehaved, after_receiving, connect, b"HELLO\nYES\n")
        self.assertRaises(PlaintextInjected, after_receiving, connect, b"HELLO\n", b"YES\nevil")
        self.assertRaises(PlaintextInjected, after_receiving, serve, b"SECURE?\nevil")
        self.assertRaises(PeerMisbehaved, after_receiving, serve, b"x" * 10000)
        self.assertRaises(PeerMisbehaved, after_receiving, serve, b"let me in\n" * COMMANDS)
        self.assertRaises(TLSRefused, after_receiving, connect, b"HELLO\n", b"NO\n")


class PageTests(SynchronousTestCase):
    """docs/starttls.md."""

    def test_the_page_has_the_table(self) -> None:
        """The page has the names, ports, sides and greetings as they are in the code."""
        page = PAGE.read_text(encoding="utf-8")
        rows = "\n".join(map(_table_row, STARTTLS_PROTOCOLS.values()))
        self.assertIn(f"| --- | --- | --- | --- | --- |\n{rows}\n\n", page)

    def test_the_page_has_the_tested_code(self) -> None:
        """The dialogue on the page is the one that is tested here."""
        page = PAGE.read_text(encoding="utf-8")
        for function in (connect, serve):
            self.assertIn(inspect.getsource(function), page)


def _table_row(row: StartTLSProtocol) -> str:
    """A protocol as a row of the page's table."""
    sides = "client, server" if row.serve else "client"
    cells = (f"`{row.name}`", str(row.port), str(row.tls_port or ""), sides, _greeting_cell(row))
    return f"| {' | '.join(cells)} |"


def _greeting_cell(row: StartTLSProtocol) -> str:
    if not row.is_transparent:
        return "has to ask"
    outcome = negotiate(row.connect, row.serve).client.outcome if row.serve else b""
    words = outcome.decode("ascii").replace("server.example", "host").strip()
    # The page leaves out the JSON of an INFO.
    return f"`{words.partition('{')[0].strip()}`" if words else "nothing"
