"""`txtransport.mail.sendmail`, with a server that is Twisted's or says what the test wants."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from email.message import EmailMessage
from typing import Any, Final, cast

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import tcp
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import ProcessEndpoint
from twisted.internet.error import ConnectError
from twisted.internet.protocol import Factory
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests import certificates
from tests.loopback import LoopbackTestCase
from txtransport.errors import (
    HandshakeFailed,
    InvalidOption,
    MailNotSent,
    TransportTimeout,
)
from txtransport.mail import SentMail, _body, sendmail
from txtransport.testing.proxy import TestProxy

ME: Final = "me@example.com"
YOU: Final = "you@example.org"
MESSAGE: Final = b"Subject: x\r\n\r\nhello\r\n"
PASSWORD: Final = "correct horse"
AUTH: Final = b"250-AUTH PLAIN LOGIN"

SOME: Final = bytes(b"\r\n.ab"[number % 5] for number in range(256))

EVIL: Final = b"\x1b[31m" + b"evil" * 200


class Server(LineReceiver):
    """A mail server that accepts everything, unless the test has other answers.

    Args:
        answers: For commands: a line to say instead, or a function to call.

    Attributes:
        commands: What the client has said.
        mails: The messages as they came, with their final dots.
    """

    transport: Any
    greeting: bytes = b"220 localhost ESMTP"

    def __init__(self, answers: dict[bytes, Any]) -> None:
        self.answers = answers
        self.commands: list[bytes] = []
        self.mails: list[bytes] = []
        self.lost: Deferred[None] = Deferred()
        self._mail: bytes | None = None

    def connectionMade(self) -> None:
        self.answer(b"greeting", self.greeting)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self.lost.callback(None)

    def dataReceived(self, data: bytes) -> None:
        if self._mail is None:
            super().dataReceived(data)
            return
        self._mail += data
        if self._mail.endswith(b"\r\n.\r\n") or self._mail == b".\r\n":
            mail, self._mail = self._mail, None
            self.mails.append(mail)
            self.answer(b"dot", b"250 taken as 1")

    def lineReceived(self, line: bytes) -> None:
        self.commands.append(line)
        verb = line.split(b" ")[0].split(b":")[0].upper()
        usual = {
            b"EHLO": b"250-localhost\r\n"
            + self.answers.get(b"auth", b"250-PIPELINING")
            + b"\r\n250 OK",
            b"DATA": b"354 go on",
            b"AUTH": b"235 welcome",
            b"QUIT": b"221 bye",
        }.get(verb, b"250 fine")
        key = line if line in self.answers else verb
        if verb == b"DATA" and key not in self.answers:
            self._mail = b""
        self.answer(key, usual)

    def answer(self, key: bytes, usual: bytes) -> None:
        """Say what the test has for a command, or what is usual."""
        answer = self.answers.get(key, usual)
        if callable(answer):
            answer(self)
        elif answer:
            self.sendLine(answer)


def hang_up(server: Server) -> None:
    """End the connection at once."""
    server.transport.abortConnection()


def silent(server: Server) -> None:
    """Say nothing."""


class MailTestCase(LoopbackTestCase):
    """Servers on loopback, and mails to them."""

    def setUp(self) -> None:
        self.logged: list[LogEvent] = []
        observer = cast(ILogObserver, self.logged.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    async def serve(
        self, answers: dict[bytes, Any] | None = None, url: str = "tls://127.0.0.1:0"
    ) -> tuple[int, list[Server]]:
        """Listen; the port, and the servers that were built."""
        built: list[Server] = []

        def build() -> Server:
            built.append(Server(answers or {}))
            return built[-1]

        factory: Factory[Any] = Factory.forProtocol(build)
        factory.noisy = False
        self.addCleanup(self.end_all, built)
        tls = {"local_cert": certificates.site()} if "tls" in url else {}
        return await self.listening(url, factory, **tls), built

    async def end_all(self, servers: list[Server]) -> None:
        """End what is still open, on both sides."""
        for server in servers:
            server.transport.abortConnection()
            await server.lost
        while any(isinstance(reader, tcp.Client) for reader in self.reactor.getReaders()):
            await self.turn()

    def send(self, port: int, url: str = "", **more: Any) -> Deferred[SentMail]:
        """Send a mail."""
        arguments: dict[str, Any] = {"message": MESSAGE, "recipients": [YOU], "sender": ME, **more}
        if not url.startswith("tcp") and "cafile" not in arguments and "unix" not in url:
            arguments["cafile"] = certificates.cafile()
        url = (url or "tls://localhost:PORT").replace("PORT", str(port))
        return sendmail(self.reactor, url, **arguments)

    async def failure_of(self, sending: Deferred[Any]) -> Any:
        """What a sending fails with; it says nothing secret, nor anything that a terminal obeys."""
        failures: list[Failure] = []
        sending.addErrback(failures.append)
        await sending
        self.assertEqual(len(failures), 1, "it did not fail")
        error = failures[0].value
        for secret in (PASSWORD, base64.b64encode(PASSWORD.encode()).decode(), "\x1b"):
            self.assertNotIn(secret, f"{error!s}{error!r}{failures[0].getTraceback()}")
        return error


class SentTests(MailTestCase):
    """A mail that is sent."""

    async def test_by_tls_from_the_start_and_by_starttls(self) -> None:
        """The URL is the only difference between 465 and 587."""
        for served, url in (
            ("tls://127.0.0.1:0", "tls://localhost:PORT"),
            ("tls://127.0.0.1:0?starttls=smtp", "tls://localhost:PORT?starttls=smtp"),
            ("tcp://127.0.0.1:0", "tcp://localhost:PORT"),
        ):
            port, servers = await self.serve(url=served)
            sent = await self.send(port, url, recipients=[YOU, "b@example.org"], helo="me.example")
            self.assertEqual(sent.accepted, (YOU, "b@example.org"))
            self.assertEqual((sent.refused, str(sent.reply)), ((), "250 taken as 1"))
            (server,) = servers
            self.assertEqual(server.mails, [MESSAGE + b".\r\n"])
            self.assertEqual(
                server.commands[:5],
                [
                    b"EHLO me.example",
                    b"MAIL FROM:<me@example.com>",
                    b"RCPT TO:<you@example.org>",
                    b"RCPT TO:<b@example.org>",
                    b"DATA",
                ],
            )

    async def test_on_a_local_socket(self) -> None:
        """A relay on this machine may be a local socket, where a password is safe as well."""
        path = self.socket_path()
        _, servers = await self.serve({b"auth": AUTH, b"AUTH": login}, f"unix://{path}")
        await self.send(0, f"unix://{path}", user="me", password=PASSWORD)
        self.assertEqual(servers[0].mails, [MESSAGE + b".\r\n"])

    async def test_through_a_proxy(self) -> None:
        """A relay that is behind a proxy is reached through it, with TLS from either side."""
        proxy = TestProxy(self.reactor)
        through = await self.listening("tcp://127.0.0.1:0", proxy)
        for scheme in ("socks5", "http"):
            for query in ("", "?starttls=smtp"):
                port, servers = await self.serve(url=f"tls://127.0.0.1:0{query}")
                url = f"tls://127.0.0.1:PORT{query}"
                await self.send(
                    port, url, proxy=f"{scheme}://127.0.0.1:{through}", peer_name="localhost"
                )
                self.assertEqual(servers[0].mails, [MESSAGE + b".\r\n"])
                self.assertEqual(proxy.requests[-1].target, f"127.0.0.1:{port}")

    async def test_with_a_log_in(self) -> None:
        """Name and password are sent under TLS, and appear in no log and no representation."""
        port, servers = await self.serve({b"auth": AUTH, b"AUTH": login})
        sending = self.send(port, user="me", password=PASSWORD)
        self.assertNotIn(PASSWORD, repr(sending))
        await sending
        self.assertEqual(
            [base64.b64decode(line) for line in servers[0].commands[2:4]],
            [b"me", PASSWORD.encode()],
        )
        logged = repr(self.logged)
        self.assertNotIn(PASSWORD, logged)
        self.assertNotIn(base64.b64encode(PASSWORD.encode()).decode(), logged)

    async def test_some_recipients_are_refused(self) -> None:
        """The mail is sent to the others, and the result says who was refused, and why."""
        port, _ = await self.serve({b"RCPT TO:<bad@example.org>": b"550 no such user"})
        sent = await self.send(port, recipients=["bad@example.org", YOU])
        self.assertEqual(sent.accepted, (YOU,))
        ((name, reply),) = sent.refused
        self.assertEqual((name, str(reply)), ("bad@example.org", "550 no such user"))

    async def test_a_mail_without_a_sender(self) -> None:
        """The empty sender is that of bounces."""
        port, servers = await self.serve()
        await self.send(port, sender="")
        self.assertIn(b"MAIL FROM:<>", servers[0].commands)

    async def test_a_message_object(self) -> None:
        """Its Bcc is left out, what is not ASCII is encoded, and the object is not changed."""
        message = EmailMessage()
        message["Subject"] = "Grüße"
        message["Bcc"] = "secret@example.org"
        message.set_content("Schöne Grüße\n.\n")
        port, servers = await self.serve()
        await self.send(port, message=message)
        (mail,) = servers[0].mails
        self.assertNotIn(b"secret", mail)
        self.assertTrue(mail.isascii())
        self.assertEqual(message["Bcc"], "secret@example.org")

    async def test_a_server_that_never_says_goodbye(self) -> None:
        """The Deferred fires with the server's answer to the mail; what follows is not awaited."""
        for last in (hang_up, silent):
            port, servers = await self.serve({b"RSET": last})
            sent = await self.send(port, reply_timeout=0.2)
            self.assertEqual(sent.accepted, (YOU,))
            self.assertEqual(len(servers), 1)

    async def test_large_mails_arrive_as_they_are(self) -> None:
        """Wherever the pieces are cut, a dot at the beginning of a line is doubled."""
        line = b"." + b"x" * 60 + b"\r\n"
        body = b"\r\n".join([b"Subject: x", b"", b""]) + line * 1500
        port, servers = await self.serve()
        await self.send(port, message=body)
        self.assertEqual(servers[0].mails, [body.replace(b"\r\n.", b"\r\n..") + b".\r\n"])


def login(server: Server) -> None:
    """Ask for name and password, as the mechanism LOGIN does."""
    server.answers = dict(server.answers)
    server.answers.pop(b"AUTH")
    asked = [b"334 UGFzc3dvcmQ6", b"235 welcome"]
    first = server.lineReceived

    def hear(line: bytes) -> None:
        server.commands.append(line)
        server.sendLine(asked.pop(0))
        if not asked:
            vars(server)["lineReceived"] = first

    vars(server)["lineReceived"] = hear
    server.sendLine(b"334 VXNlcm5hbWU6")


class NotSentTests(MailTestCase):
    """A mail that is not sent; nothing is tried twice."""

    async def test_the_server_says_no(self) -> None:
        """Each negative reply is told, with its code, whose fault it is and what to do."""
        rows: Sequence[tuple[dict[bytes, Any], str, int, bool]] = (
            ({b"MAIL": b"550 not you"}, "refused", 550, True),
            ({b"RCPT": b"550 no such user"}, "refused", 550, True),
            ({b"RCPT": b"451 later"}, "refused-for-now", 451, False),
            ({b"DATA": b"554 no mail today"}, "refused", 554, True),
            ({b"dot": b"554 spam"}, "refused", 554, True),
            ({b"dot": b"452 disk full"}, "refused-for-now", 452, False),
            ({b"greeting": b"554 go away"}, "refused", 554, True),
            ({b"greeting": b"421 too busy"}, "refused-for-now", 421, False),
            ({b"MAIL": b"HTTP/1.1 400 no"}, "protocol", -1, True),
        )
        for answers, cause, code, is_permanent in rows:
            port, servers = await self.serve(answers)
            error = await self.failure_of(self.send(port))
            self.assertIsInstance(error, MailNotSent, answers)
            self.assertEqual((error.cause, error.code), (cause, code), answers)
            self.assertEqual(error.permanent, is_permanent, answers)
            self.assertFalse(error.may_be_delivered)
            self.assertTrue(str(error).startswith(f"tls://localhost:{port}: "), str(error))
            self.assertTrue(error.remedy)
            self.assertEqual(len(servers), 1)

    async def test_what_a_server_says_is_bounded_and_escaped(self) -> None:
        """A reply does not flood a log, nor colour a terminal."""
        port, _ = await self.serve({b"MAIL": b"550 " + EVIL})
        error = await self.failure_of(self.send(port))
        self.assertLess(len(str(error)), 700)
        self.assertNotIn("\x1b", str(error))

    async def test_a_reply_without_end(self) -> None:
        """A reply has 200 lines at the most, and a line 16 KiB: what is kept is bounded."""
        for endless in (b"250-more\r\n" * 300 + b"250 OK", b"250-" + b"x" * 20000):
            port, _ = await self.serve({b"EHLO": endless})
            error = await self.failure_of(self.send(port))
            self.assertIn(error.cause, ("protocol", "closed"))
            self.assertLess(len(str(error)), 300)

    async def test_a_refused_log_in(self) -> None:
        """Without a log-in nothing is sent, and the reply is told."""
        port, servers = await self.serve({b"auth": AUTH, b"AUTH": b"535 bad credentials"})
        error = await self.failure_of(self.send(port, user="me", password=PASSWORD))
        self.assertEqual((error.cause, error.code), ("login-refused", 535))
        self.assertNotIn(b"MAIL", b"".join(servers[0].commands))

    async def test_a_server_without_a_log_in(self) -> None:
        """A server that offers none is not sent a mail without one."""
        port, servers = await self.serve()
        error = await self.failure_of(self.send(port, user="me", password=PASSWORD))
        self.assertEqual(error.cause, "no-login")
        self.assertNotIn(b"MAIL", b"".join(servers[0].commands))

    async def test_a_password_is_not_sent_in_the_clear(self) -> None:
        """Neither where the URL has no TLS, nor where the server has none."""
        error = self.assertRaises(
            InvalidOption, self.send, 25, "tcp://localhost:PORT", user="me", password=PASSWORD
        )
        self.assertIn("under TLS", str(error))
        # Neither has a port, as a local socket has none; both lead anywhere.
        for url, options in (
            ("tcp://example.com?srv=submission", {}),
            ("tcp://example.com", {"over": ProcessEndpoint(self.reactor, "/nonexistent")}),
        ):
            error = self.assertRaises(
                InvalidOption, self.send, 25, url, user="me", password=PASSWORD, **options
            )
            self.assertIn("under TLS", str(error))
        port, servers = await self.serve({b"auth": AUTH}, "tcp://127.0.0.1:0")
        error = await self.failure_of(
            self.send(
                port,
                "tls://localhost:PORT?starttls=smtp&starttls_policy=may",
                user="me",
                password=PASSWORD,
            )
        )
        self.assertEqual(error.cause, "no-tls")
        said = b" ".join(servers[0].commands)
        self.assertNotIn(b"AUTH", said)
        self.assertNotIn(b"MAIL", said)

    async def test_a_connection_that_ends_before_the_mail(self) -> None:
        """Nothing was delivered, and trying again may help."""
        for answers in ({b"greeting": hang_up}, {b"MAIL": hang_up}, {b"RCPT": hang_up}):
            port, servers = await self.serve(answers)
            error = await self.failure_of(self.send(port))
            self.assertIsInstance(error, MailNotSent)
            self.assertEqual((error.cause, error.may_be_delivered), ("closed", False))
            self.assertFalse(error.permanent)
            self.assertEqual(len(servers), 1)

    async def test_a_connection_that_ends_behind_the_mail(self) -> None:
        """The server may have the mail: the error says so, and nothing is sent again."""
        port, servers = await self.serve({b"dot": hang_up})
        error = await self.failure_of(self.send(port))
        self.assertTrue(error.may_be_delivered)
        self.assertIn("it may have been delivered", str(error))
        self.assertEqual(len(servers), 1)
        self.assertEqual(servers[0].mails, [MESSAGE + b".\r\n"])

    async def test_a_server_that_does_not_answer(self) -> None:
        """Before the mail it is a deadline that passed; behind it, the mail may be delivered."""
        port, _ = await self.serve({b"MAIL": silent})
        error = await self.failure_of(self.send(port, reply_timeout=0.1))
        self.assertIsInstance(error, TransportTimeout)
        self.assertEqual(error.stage, "reply")
        port, _ = await self.serve({b"dot": silent})
        error = await self.failure_of(self.send(port, reply_timeout=0.1))
        self.assertEqual((error.cause, error.may_be_delivered), ("timeout", True))

    async def test_no_connection_fails_as_with_a_client(self) -> None:
        """A refused connection and a bad certificate are the client's errors."""
        port, _ = await self.serve()
        error = await self.failure_of(self.send(port, peer_name="other.example"))
        self.assertIsInstance(error, HandshakeFailed)
        error = await self.failure_of(self.send(1, "tls://127.0.0.1:1"))
        self.assertIsInstance(error, ConnectError)

    async def test_cancelling_ends_the_connection(self) -> None:
        """At any time; the server sees the end, and nothing is left."""
        heard: Deferred[None] = Deferred()
        port, servers = await self.serve({b"MAIL": lambda server: heard.callback(None)})
        sending = self.send(port)
        await heard
        sending.cancel()
        self.assertIsInstance(await self.failure_of(sending), CancelledError)
        while servers[0].transport.connected:
            await self.turn()
        sending = self.send(port)
        sending.cancel()
        self.assertIsInstance(await self.failure_of(sending), CancelledError)


class ArgumentTests(MailTestCase):
    """What cannot be sent is refused before anything is opened."""

    def refusal(self, **more: Any) -> str:
        """Why a mail is refused."""
        return str(self.assertRaises(InvalidOption, self.send, 465, **more))

    def test_addresses(self) -> None:
        """An address cannot end the command that it is in."""
        for bad in ("a@b\r\nDATA", "<a@b>", "a b@c", "ä@example.com", "", "a@b>", "x" * 400, 7):
            self.assertIn("plain addresses", self.refusal(recipients=[bad]), bad)
            if bad:
                self.assertIn("plain addresses", self.refusal(sender=bad), bad)
        self.assertIn("1 to 100", self.refusal(recipients=[]))
        self.assertIn("1 to 100", self.refusal(recipients=[YOU] * 101))

    def test_the_rest(self) -> None:
        """A log-in is a name and a password, a message a message, and a name a name."""
        for more in (
            {"user": "me"},
            {"password": PASSWORD},
            {"user": "me", "password": "\0"},
            {"message": 7},
            {"message": "Grüße"},
            {"helo": "me\r\nMAIL"},
            {"reply_timeout": 0},
            {"reply_timeout": float("nan")},
        ):
            text = self.refusal(**more)
            self.assertTrue(text.startswith("tls://localhost:465: "), text)
            self.assertNotIn(PASSWORD, text)


class BodyTests(SynchronousTestCase):
    """What is sent of a message."""

    @given(st.binary(max_size=300).map(lambda data: data.translate(SOME)))
    def test_nothing_in_it_ends_it(self, message: bytes) -> None:
        """Every line ends with CRLF, nothing else has a CR or LF, and no line is a dot."""
        body = _body(message)
        lines = body.split(b"\r\n")
        self.assertEqual(lines.pop(), b"")
        for line in lines:
            self.assertNotIn(b"\r", line)
            self.assertNotIn(b"\n", line)
            self.assertNotEqual(line, b".")
        undone = b"\n".join(line.removeprefix(b".") if line[:1] == b"." else line for line in lines)
        whole = message.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        self.assertEqual(undone, whole.removesuffix(b"\n"))
