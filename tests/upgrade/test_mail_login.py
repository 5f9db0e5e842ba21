"""Log-ins before TLS, with bytes: which are refused, how, and what a client does not send."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any, Final, cast

from attrs import frozen
from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import ISSLTransport
from twisted.internet.protocol import Factory
from twisted.internet.testing import StringTransport
from twisted.logger import LogLevel, formatEvent
from twisted.mail import imap4, pop3, smtp
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import directlyProvides, providedBy

import txtransport
from tests import twisted_protocols
from tests.loopback import LoopbackTestCase, Only
from tests.speakers import server_policy
from tests.twisted_protocols import Recording, RecordingFactory
from tests.upgrade.guard_case import AUTH_PLAIN, POP3WithoutTLS, esmtp, imap, pop3_server
from txtransport.upgrade.mail_login import SentLines, mail_protocol

LOG_INS: Final = {
    "smtp": (
        b"AUTH PLAIN " + AUTH_PLAIN,
        b"auth plain " + AUTH_PLAIN,
        b" \t AuTh\tPLAIN\t" + AUTH_PLAIN,
        b"AUTH PLAIN",
        b"AUTH LOGIN",
        b"AUTH",
    ),
    "imap": (
        b'A LOGIN alice "correct horse"',
        b'a.1 login alice "correct horse"',
        b'  * \t Login alice "correct horse"',
        b"A LOGIN {5}",
        b"A AUTHENTICATE PLAIN",
        b"%\xff authenticate plain",
    ),
    "pop3": (
        b"USER alice",
        b"user alice",
        b"PASS correct horse",
        b"pass correct horse",
        b"APOP alice c4c9334bac560ecc979e58001b3e22fb",
        b"AUTH",
        b"AuTh PLAIN",
        b" USER alice",
    ),
}
"""Commands that log in, in ways that Twisted's servers read or that others might."""


SERVERS: Final = {"smtp": esmtp, "imap": imap, "pop3": pop3_server}


REFUSALS: Final = {"smtp": b"530 5.7.0 ", "imap": b" NO [PRIVACYREQUIRED] ", "pop3": b"-ERR "}


def pieces(data: bytes) -> Iterator[list[bytes]]:
    """The data whole, cut in two at each place, and in single bytes."""
    yield [data]
    for cut in range(1, len(data)):
        yield [data[:cut], data[cut:]]
    yield [data[i : i + 1] for i in range(len(data))]


@frozen
class Guarded:
    """One guarded protocol on a transport in memory.

    Attributes:
        protocol: The protocol.
        given: What it was given.
        guard: The guard around it.
        transport: The guard's transport, with what was written since the greeting.
    """

    protocol: Any
    given: list[bytes]
    guard: Any
    transport: Any

    @classmethod
    def connected(cls, protocol: Any, transport: Any = None, **keywords: Any) -> Guarded:
        """Guard a protocol, by default with a server's policy, and connect it."""
        given = Recording.of(protocol).given
        factory = txtransport.guard(Only(protocol), **{"policy": server_policy(), **keywords})
        address = IPv4Address("TCP", "192.0.2.1", 25)
        transport = transport or StringTransport(peerAddress=address)
        guard: Any = factory.buildProtocol(None)
        guard.makeConnection(transport)
        transport.clear()
        return cls(protocol, given, guard, transport)


class InMemoryCase(LoopbackTestCase):
    """Guarded protocols on a transport in memory, which cannot start TLS."""

    def connect(self, protocol: Any, transport: Any = None, **keywords: Any) -> Guarded:
        """Guard and connect a protocol, and stop its timer when the test ends."""
        if hasattr(protocol, "setTimeout"):
            self.addCleanup(protocol.setTimeout, None)
        return Guarded.connected(protocol, transport, **keywords)


class RefusedLogInTests(InMemoryCase):
    """A log-in before TLS is answered, and the server does not learn of it."""

    def test_every_spelling_is_refused_however_it_arrives(self) -> None:
        """Case, white space, tags and segments do not bring a log-in past the guard."""
        for name, build in SERVERS.items():
            for command in LOG_INS[name]:
                for segments in pieces(command + b"\r\n"):
                    server = self.connect(build())
                    for segment in segments:
                        server.guard.dataReceived(segment)
                    self.assertEqual(server.given, [], command)
                    reply = server.transport.value()
                    self.assertIn(REFUSALS[name], reply, command)
                    self.assertEqual(reply.count(b"\r\n"), 1)
                    self.assertFalse(server.transport.disconnecting)
                    if name == "imap":
                        self.assertTrue(reply.startswith(command.split()[0] + b" NO "))

    def test_other_commands_around_a_log_in_are_delivered(self) -> None:
        """Of pipelined commands, only those that log in do not reach the server."""
        for name, log_in, other, answer in (
            ("smtp", b"AUTH PLAIN x\r\n", b"RSET\r\n", b"250 "),
            ("imap", b"A LOGIN a b\r\n", b"B NOOP\r\n", b"B OK "),
            ("pop3", b"USER alice\r\n", b"CAPA\r\n", b"+OK "),
        ):
            server = self.connect(SERVERS[name]())
            server.guard.dataReceived((other + log_in) * 3 + other)
            self.assertEqual(server.given, [other] * 4)
            said = server.transport.value()
            self.assertEqual(said.count(REFUSALS[name]), 3)
            self.assertEqual(said.count(answer), 4)

    def test_words_within_data_are_no_log_in(self) -> None:
        """A line of a mail, or of a literal, that looks like a log-in is delivered."""
        server = self.connect(esmtp())
        server.protocol.delivery = postbox = twisted_protocols.Postbox()
        server.guard.dataReceived(
            b"HELO a\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\nDATA\r\nAUTH PLAIN x\r\n.\r\n"
        )
        self.assertEqual(postbox.mails, [[b"", b"AUTH PLAIN x"]])
        server = self.connect(imap())
        server.protocol.state, server.protocol.account = "auth", twisted_protocols.imap_account()
        server.guard.dataReceived(b"A SELECT {11}\r\nx LOGIN a b\r\n")
        self.assertEqual(server.given[1], b"x LOGIN a b\r\n")
        self.assertIn(b"A NO No such mailbox", server.transport.value())

    def test_a_log_in_with_a_literal_that_does_not_wait_ends_the_connection(self) -> None:
        """The name and the password that follow such a LOGIN are not taken for commands."""
        server = self.connect(imap())
        server.guard.dataReceived(b"A LOGIN {5+}\r\nalice {13+}\r\ncorrect horse\r\n")
        self.assertEqual(server.given, [])
        said = server.transport.value()
        self.assertIn(b"* BYE ", said)
        self.assertIn(b"A NO [PRIVACYREQUIRED] ", said)
        self.assertTrue(server.transport.disconnecting)

    async def test_a_refused_log_in_is_logged_once_without_its_secrets(self) -> None:
        """The log says that a client logs in before TLS, once a connection, and no password."""
        overheard = self.overheard()
        server = self.connect(esmtp())
        server.guard.dataReceived((b"AUTH PLAIN " + AUTH_PLAIN + b"\r\n") * 3)
        (event,) = overheard.events
        said = formatEvent(event)
        self.assertIn("192.0.2.1", said)
        self.assertIn("AUTH", said)
        self.assertNotIn(AUTH_PLAIN.decode(), str(event))

    def test_a_transport_that_is_under_tls_is_left_alone(self) -> None:
        """On any transport that says it is under TLS, log-ins are delivered."""
        transport = StringTransport(peerAddress=IPv4Address("TCP", "192.0.2.1", 25))
        directlyProvides(transport, ISSLTransport, providedBy(transport))
        server = self.connect(esmtp(), transport, require_tls=True)
        server.guard.dataReceived(b"AUTH PLAIN " + AUTH_PLAIN + b"\r\n")
        self.assertIn(b"235 ", transport.value())
        self.assertIsNone(server.protocol.ctx)

    def test_require_tls_is_a_bool(self) -> None:
        """A word in place of True or False is refused, since "no" would count as True."""
        for wrong in ("no", 0, 1, b""):
            self.assertRaises(TypeError, txtransport.guard, Factory(), require_tls=wrong)


class ClientOutputTests(InMemoryCase):
    """What a client writes before TLS, however it writes it."""

    def client(self) -> Any:
        """A guarded POP3 client."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            return self.connect(pop3.POP3Client(), policy="localhost")

    def test_a_log_in_is_not_sent_in_pieces(self) -> None:
        """However a log-in is cut, its words never leave."""
        for segments in pieces(b"NOOP\r\nuser alice\r\n"):
            client = self.client()
            for segment in segments:
                client.guard.write(segment)
            self.assertNotIn(b"alice", client.transport.value(), segments)
            self.assertNotIn(b"a", client.transport.value())
            self.assertTrue(client.transport.disconnected)

    def test_nothing_is_sent_behind_a_log_in(self) -> None:
        """The commands that follow a log-in which was not sent are not sent either."""
        client = self.client()
        client.guard.writeSequence([b"STAT\r\n", b"USER alice\r\n"])
        client.guard.write(b"LIST\r\n")
        self.assertEqual(client.transport.value(), b"")

    def test_other_commands_are_sent(self) -> None:
        """Commands, and words of commands that only begin like a log-in, are sent."""
        client = self.client()
        for data in (b"CAPA\r\n", b"USERS x\r\n", b"TOP USER 1\r\n", b"AP", b"O\r\n", b"Q" * 9999):
            client.guard.write(data)
        self.assertFalse(client.transport.disconnecting)
        self.assertTrue(client.transport.value().endswith(b"APO\r\n" + b"Q" * 9999))


class LiteralTests(SynchronousTestCase):
    """The literals of an IMAP client are no commands, and hide none."""

    def setUp(self) -> None:
        row = mail_protocol(imap4.IMAP4Client())
        assert row is not None
        self.sent = SentLines(row)

    def test_the_text_of_a_literal_is_no_command(self) -> None:
        """A mail may have lines like a log-in, however it is cut; what follows is looked at."""
        for head in (b"A APPEND x {27}\r\n", b"A APPEND x {27+}\r\n", b"A APPEND x ~{27}\r\n"):
            for segments in pieces(
                b"Please LOGIN\r\nA LOGIN a b\r\n (x LOGIN {0+}\r\n LOGIN x\r\n"
            ):
                self.setUp()
                self.assertEqual(self.sent.login(head), "")
                self.sent.received(b"* 1 EXISTS\r\n")
                if b"+" not in head:
                    self.sent.received(b"+ go on\r\n")
                self.assertEqual("".join(map(self.sent.login, segments)), "", segments)
                self.assertEqual(self.sent.login(b"B LOGIN a b\r\n"), "LOGIN")

    def test_a_literal_that_the_server_refuses_hides_nothing(self) -> None:
        """Only the server's go-ahead begins a literal, and its answer ends it, early or not."""
        for answers in (
            (b"A NO too much\r\n",),
            (b"+ go on\r\n", b"A NO too much\r\n"),
            (b" A NO too much\r\n",),
            (),
        ):
            self.setUp()
            self.assertEqual(self.sent.login(b"A APPEND x {1000}\r\n"), "")
            for answer in answers:
                self.sent.received(answer)
            self.assertEqual(self.sent.login(b"B LOGIN a b\r\n"), "LOGIN", answers)

    def test_an_answer_within_a_line_that_goes_on_hides_nothing(self) -> None:
        """If the server answers while the command's last line is under way, the next is seen."""
        self.sent.login(b"A APPEND x {4}\r\n")
        self.sent.received(b"+ go on\r\n")
        self.sent.login(b"mail (x")
        self.sent.received(b"A NO too much\r\n")
        self.assertEqual(self.sent.login(b"B LOGIN a b\r\n"), "LOGIN")

    def test_text_that_looks_like_a_literal_hides_nothing(self) -> None:
        """Once it is unclear where a literal ends, no other is believed."""
        self.sent.login(b"A APPEND x {1000}\r\n")
        self.sent.received(b"+ go on\r\n")
        self.sent.login(b"mail\r\n")
        self.sent.received(b"A NO too much\r\n")
        self.assertEqual(self.sent.login(b"more of the mail {1000+}\r\n"), "")
        self.assertEqual(self.sent.login(b"B LOGIN a b\r\n"), "LOGIN")

    def test_other_protocols_have_no_literals(self) -> None:
        """In POP3, braces mean nothing."""
        row = mail_protocol(pop3.AdvancedPOP3Client())
        assert row is not None
        sent = SentLines(row)
        self.assertEqual(sent.login(b"NOOP {1000+}\r\n"), "")
        self.assertEqual(sent.login(b"USER alice\r\n"), "USER")


class CannotStartTLSTests(InMemoryCase):
    """A protocol that cannot start TLS, though a policy was given, is named in the log."""

    def test_a_server_that_cannot_start_tls_is_logged_once(self) -> None:
        """Twisted's POP3 server has no STLS; the log says so once, and what to do."""
        overheard = self.overheard()
        factory = cast(Any, Factory).forProtocol(POP3WithoutTLS)
        factory.noisy = False
        guarded = txtransport.guard(factory, policy=server_policy())
        for _ in range(2):
            connection: Any = guarded.buildProtocol(None)
            connection.makeConnection(StringTransport())
            connection.wrappedProtocol.setTimeout(None)
        (event,) = overheard.events
        self.assertEqual(event["log_level"], LogLevel.warn)
        self.assertIn("POP3WithoutTLS cannot start TLS", formatEvent(event))
        self.assertIn("starttls=pop3", formatEvent(event))

    def test_a_server_without_policy_and_context_is_logged_once(self) -> None:
        """With require_tls alone nobody can log in to such a server; the log says what to do."""
        for build in (esmtp, imap):
            overheard = self.overheard()
            guarded = txtransport.guard(RecordingFactory(build), require_tls=True)
            for _ in range(2):
                connection: Any = guarded.buildProtocol(None)
                connection.makeConnection(StringTransport())
                connection.wrappedProtocol.setTimeout(None)
            (event,) = overheard.events
            self.assertEqual(event["log_level"], LogLevel.warn)
            self.assertIn("nobody can log in", formatEvent(event))
            self.assertIn("guard(factory, policy=", formatEvent(event))

    def test_a_protocol_that_can_start_tls_is_not_logged(self) -> None:
        """Protocols with TLS, and guards without a policy, say nothing."""
        overheard = self.overheard()
        for protocol, keywords in (
            (esmtp(), {}),
            (imap(), {}),
            (smtp.ESMTPClient(b"", None, b"x"), {}),
            (imap4.IMAP4Client(), {}),
            (pop3.AdvancedPOP3Client(), {}),
            (twisted_protocols.POP3Server(), {}),
            (pop3_server(), {"policy": None}),
            (twisted_protocols.imap_server(), {"policy": None, "require_tls": True}),
            (imap4.IMAP4Client(), {"policy": None, "require_tls": True}),
        ):
            self.connect(protocol, **keywords)
        self.assertEqual(overheard.events, [])

    def test_plain_smtp_is_logged(self) -> None:
        """SMTP without the E has no TLS either, on both sides."""
        for protocol in (smtp.SMTP(), smtp.SMTPClient(b"x")):
            overheard = self.overheard()
            self.connect(protocol)
            self.assertIn("starttls=smtp", formatEvent(overheard.events[0]))
