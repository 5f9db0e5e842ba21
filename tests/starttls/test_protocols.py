"""The table of protocols, the page made from it, and a protocol of one's own."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from twisted.trial.unittest import SynchronousTestCase

from tests.starttls.talk import bytewise, talk, told
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
"""In the clear, and with TLS from the start (IANA)."""

GREETINGS: Final = {
    "smtp": b"220-mail.example.com ESMTP\r\n220 no spam\r\n",
    "lmtp": b"220 mail.example.com LMTP\r\n",
    "pop3": b"+OK ready <1.2@mail.example.com>\r\n",
    "imap": b"* OK [CAPABILITY IMAP4rev1] ready\r\n",
    "nntp": b"200 posting allowed\r\n",
    "ftp": b"220-Welcome\r\n 110 is no code\r\n221-nor is this its end\r\n220 ready\r\n",
    "nats": b'INFO {"version":"2.10.0"}\r\n',
}
"""What a server's guest says first, where the client has heard it already."""


# --- a protocol that the catalogue does not have ---------------------------------


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


class CatalogueTests(SynchronousTestCase):
    """What the table says."""

    def test_names_can_stand_in_a_url(self) -> None:
        """Each protocol has a name in lower case that needs no quoting."""
        for name, row in STARTTLS_PROTOCOLS.items():
            self.assertEqual(name, row.name)
            self.assertEqual(quote(name.lower()), name)

    def test_ports(self) -> None:
        """Each protocol has its usual ports."""
        ports = {name: (row.port, row.tls_port) for name, row in STARTTLS_PROTOCOLS.items()}
        self.assertEqual(ports, PORTS)

    def test_who_is_verified(self) -> None:
        """XMPP verifies the domain that is asked for, everyone else the host."""
        domains = {name for name, row in STARTTLS_PROTOCOLS.items() if row.verifies == "domain"}
        self.assertEqual(domains, {"xmpp", "xmpp-server"})
        self.assertEqual({row.verifies for row in STARTTLS_PROTOCOLS.values()}, {"domain", "host"})

    def test_who_has_to_ask(self) -> None:
        """Only where the guest must go on in the middle of something does it hear nothing."""
        asking = {name for name, row in STARTTLS_PROTOCOLS.items() if not row.is_transparent}
        self.assertEqual(asking, {"mysql", "nbd", "vnc"})

    def test_who_is_silent(self) -> None:
        """On IRC silence means no (IRCv3); elsewhere one deadline holds for all."""
        patience = {
            name: row.offer_timeout for name, row in STARTTLS_PROTOCOLS.items() if row.offer_timeout
        }
        self.assertEqual(patience, {"irc": 8.0})

    def test_no_guest_that_must_ask_can_go_on_in_the_clear(self) -> None:
        """A guest that begins in mid-protocol has nowhere to begin without TLS."""
        for row in STARTTLS_PROTOCOLS.values():
            self.assertFalse(row.may_continue and not row.is_transparent, row.name)

    def test_guests_hear_nothing_of_servers_but_a_greeting(self) -> None:
        """A transparent client's guest hears a line of ours where servers greet, else nothing."""
        for row in STARTTLS_PROTOCOLS.values():
            if row.serve is None or not row.is_transparent:
                continue
            heard = talk(row.connect, row.serve).client.outcome
            self.assertEqual(bool(heard), row.greeting is not None, row.name)
            self.assertTrue(row.greeting is None or row.greeting(heard) == len(heard), row.name)


class GreetingTests(SynchronousTestCase):
    """What a server's guest says first, and the client has heard."""

    def test_which_protocols_have_one(self) -> None:
        """Where the server's guest speaks first, its greeting is kept back."""
        having = {name for name, row in STARTTLS_PROTOCOLS.items() if row.greeting is not None}
        self.assertEqual(having, GREETINGS.keys())

    def test_greetings_end_where_they_end(self) -> None:
        """Byte by byte a greeting is not over until its end, and what follows is not part of it."""
        for name, greeting in GREETINGS.items():
            end = STARTTLS_PROTOCOLS[name].greeting
            assert end is not None
            for place in range(len(greeting)):
                self.assertEqual(end(greeting[:place]), 0, (name, place))
            self.assertEqual(end(greeting), len(greeting))
            self.assertEqual(end(greeting + b"250 more\r\n"), len(greeting))

    def test_short_greetings(self) -> None:
        """A greeting of a code alone, or of less, is over at the end of its line."""
        for greeting in (b"220\r\n", b"220\n", b"22\n", b"\n"):
            end = STARTTLS_PROTOCOLS["smtp"].greeting
            assert end is not None
            self.assertEqual(end(greeting + b"x"), len(greeting))


class NamesTests(SynchronousTestCase):
    """What ``starttls=`` takes."""

    def test_case_does_not_matter(self) -> None:
        """SMTP and Smtp are smtp."""
        for name in ("smtp", "SMTP", "Smtp"):
            self.assertIs(starttls_protocol(name), STARTTLS_PROTOCOLS["smtp"])

    def test_an_unknown_one_lists_the_known(self) -> None:
        """A name that is none is shown, bounded, with all that there are."""
        for name in ("smpt", "", "smtp ", "\u017fmtp", "x" * 1000, "evil\x1b\n", "'"):
            error = self.assertRaises(InvalidOption, starttls_protocol, name)
            self.assertEqual(error.option, "starttls")
            self.assertIn(", ".join(STARTTLS_PROTOCOLS), str(error))
            self.assertTrue(str(error).isprintable())
            self.assertLess(len(str(error)), 400)

    def test_only_names_and_rows(self) -> None:
        """Values of other types, a dialogue alone among them, are refused as options are."""
        given: Any
        for given in (None, b"smtp", 25, [], True, connect):
            self.assertRaises(InvalidOption, starttls_protocol, given)


class OwnTests(SynchronousTestCase):
    """A protocol of one's own."""

    def test_it_stands_beside_the_others(self) -> None:
        """A row of one's own is taken as it is, and changes nothing for anyone else."""
        self.assertIs(starttls_protocol(CHAT), CHAT)
        self.assertNotIn("chat", STARTTLS_PROTOCOLS)
        self.assertRaises(InvalidOption, starttls_protocol, "chat")

    def test_both_sides_agree(self) -> None:
        """Two functions of ten lines come to TLS, in any segments, and the guest is greeted."""
        for cut in (lambda said: [said], bytewise):
            result = talk(CHAT.connect, serve, cut)
            self.assertEqual(result.by_client, [b"SECURE?\n"])
            self.assertEqual(result.by_server, [b"HELLO\n", b"YES\n"])
            self.assertEqual(result.client.outcome, b"HELLO\n")
            self.assertTrue(result.server.is_complete)

    def test_it_is_as_safe_as_the_others(self) -> None:
        """What every dialogue is protected from, it is protected from too."""
        self.assertRaises(PeerMisbehaved, told, connect, b"HELLO\nYES\n")
        self.assertRaises(PlaintextInjected, told, connect, b"HELLO\n", b"YES\nevil")
        self.assertRaises(PlaintextInjected, told, serve, b"SECURE?\nevil")
        self.assertRaises(PeerMisbehaved, told, serve, b"x" * 10000)
        self.assertRaises(PeerMisbehaved, told, serve, b"let me in\n" * COMMANDS)
        self.assertRaises(TLSRefused, told, connect, b"HELLO\n", b"NO\n")


class PageTests(SynchronousTestCase):
    """docs/starttls.md."""

    def test_the_page_has_the_table(self) -> None:
        """Names, ports, sides and what the guest hears are on the page as they are in the code."""
        page = PAGE.read_text(encoding="utf-8")
        rows = "\n".join(map(_written, STARTTLS_PROTOCOLS.values()))
        self.assertIn(f"| --- | --- | --- | --- | --- |\n{rows}\n\n", page)

    def test_the_page_has_the_code(self) -> None:
        """The dialogue on the page is the one that is tested here."""
        page = PAGE.read_text(encoding="utf-8")
        for function in (connect, serve):
            self.assertIn(inspect.getsource(function), page)


def _written(row: StartTLSProtocol) -> str:
    """A protocol, as the page has it."""
    sides = "client, server" if row.serve else "client"
    cells = (f"`{row.name}`", str(row.port), str(row.tls_port or ""), sides, _heard(row))
    return f"| {' | '.join(cells)} |"


def _heard(row: StartTLSProtocol) -> str:
    if not row.is_transparent:
        return "has to ask"
    heard = talk(row.connect, row.serve).client.outcome if row.serve else b""
    words = heard.decode("ascii").replace("server.example", "host").strip()
    # What is in an INFO, the page leaves out.
    return f"`{words.partition('{')[0].strip()}`" if words else "nothing"
