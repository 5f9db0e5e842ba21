"""``starttls=`` from end to end: dialogue, TLS, and a protocol that hears what it expects."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any, Final, cast

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectingCancelledError
from twisted.internet.interfaces import IProtocol
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

import txtransport
from tests import certificates
from tests.loopback import LoopbackTestCase, Only, Recorder, Recorders
from txtransport.connection.driver import starttls_outcome
from txtransport.errors import (
    HandshakeFailed,
    InvalidOption,
    InvalidTransport,
    NegotiationError,
    PeerLeft,
    PeerMisbehaved,
    PlaintextInjected,
    PreAuthenticated,
    TLSNotOffered,
    TLSRefused,
    TransportTimeout,
)
from txtransport.starttls.protocols import STARTTLS_PROTOCOLS, StartTLSProtocol
from txtransport.starttls.wire import Dialogue, Wire
from txtransport.testing.devcert import Authority, self_signed

GREETINGS: Final = {
    "smtp": b"220-app\r\n220 app ESMTP\r\n",
    "lmtp": b"220 app LMTP\r\n",
    "pop3": b"+OK app\r\n",
    "imap": b"* OK app\r\n",
    "nntp": b"200 app\r\n",
    "ftp": b"220 app\r\n",
    "nats": b'INFO {"server_id":"app"}\r\n',
    "vnc": b"RFB 003.008\n",
    "mysql": b"\x03\x00\x00\x00app",
    "nbd": b"NBDMAGICIHAVEOPT\x00\x03",
}
"""What the applications of the tests say first."""

HEARD: Final = {
    "smtp": b"220 localhost ESMTP\r\n",
    "lmtp": b"220 localhost LMTP\r\n",
    "pop3": b"+OK ready\r\n",
    "imap": b"* OK ready\r\n",
    "nntp": b"200 ready\r\n",
    "ftp": b"220 ready\r\n",
}
"""What the applications of clients hear first, under TLS."""


class Application(Protocol):
    """An application's protocol that greets, and echoes."""

    greeting = b""
    outcome = b""

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.outcome = starttls_outcome(self.transport)
        for place in range(0, len(self.greeting), 3):
            self.transport.write(self.greeting[place : place + 3])
        self.transport.writeSequence([b"ap", b"p>"])

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)


class NegotiationTestCase(LoopbackTestCase):
    """Servers with ``starttls=``, servers that follow a script, and clients."""

    async def fronted(self, name: str, **options: Any) -> tuple[int, list[Application]]:
        """A server of ours that speaks the protocol's dialogue; its port and applications."""
        built: list[Application] = []

        def build() -> Application:
            application = Application()
            application.greeting = GREETINGS.get(name, b"")
            built.append(application)
            return application

        factory = Factory.forProtocol(build)
        factory.noisy = False
        options = {"local_cert": certificates.site(), **options}
        url = f"tls://127.0.0.1:0?starttls={name}"
        return await self.listening(url, factory, **options), built

    async def scripted(self, *script: bytes) -> int:
        """A server that greets with the first text and answers each line with the next."""

        class Script(Protocol):
            def connectionMade(self) -> None:
                self.left = list(script)
                self.answer()

            def dataReceived(self, data: bytes) -> None:
                self.answer()

            def answer(self) -> None:
                assert self.transport is not None
                if self.left:
                    said = self.left.pop(0)
                    if said == b"hang up":
                        self.transport.loseConnection()
                    self.transport.write(said)

        factory = Factory.forProtocol(Script)
        factory.noisy = False
        return await self.listening("tcp://127.0.0.1:0", factory)

    def dialled(self, name: str, port: int, factory: Any = None, **options: Any) -> Deferred[Any]:
        """A client's attempt."""
        options = {"cafile": certificates.cafile(), **options}
        if STARTTLS_PROTOCOLS[name].is_between_servers:
            options["starttls_from"] = "example.org"
        url = f"tls://localhost:{port}?starttls={name}"
        endpoint = txtransport.client(self.reactor, url, **options)
        return endpoint.connect(factory or Recorders())

    async def refused(self, kind: type[Exception], connecting: Deferred[Any]) -> Any:
        """The error of that kind with which an attempt fails."""
        return await self.assertFailure(connecting, kind)


class EveryProtocolTests(NegotiationTestCase):
    """What holds for every protocol of which both sides are here."""

    async def test_both_applications_are_verified_and_greeted_once(self) -> None:
        """Client and server are verified and greeted once, whatever was said in the clear."""
        for row in STARTTLS_PROTOCOLS.values():
            if row.serve is None:
                continue
            port, applications = await self.fronted(row.name)
            client = await self.dialled(row.name, port)
            self.addCleanup(self.end, client)
            await client.heard(b"app>")
            heard = client.received.removesuffix(b"app>")
            if row.name in HEARD:
                self.assertEqual(heard, HEARD[row.name])
            elif row.name == "nats":
                self.assertTrue(heard.startswith(b"INFO {"), heard)
            else:
                self.assertEqual(heard, b"" if row.greeting else GREETINGS.get(row.name, b""))
            client.say(b"ping")
            await client.heard(b"app>ping")
            for protocol in (client, applications[0]):
                session = txtransport.session_of(protocol.transport)
                assert session is not None
                self.assertEqual(session.version, "TLSv1.3", row.name)
            self.assertTrue(cast(Any, txtransport.session_of(client.transport)).verified)

    async def test_a_wrong_certificate_is_refused_with_its_cause_in_every_protocol(self) -> None:
        """Whatever the protocol, a wrong certificate is refused with the cause of its own."""
        past = datetime(2020, 1, 1, tzinfo=timezone.utc)
        future = datetime(2100, 1, 1, tzinfo=timezone.utc)
        day = timedelta(days=1)
        stranger = Authority.create("a stranger")
        rows = {
            "wrong-name": certificates.issued("wrong-name.pem", "elsewhere.example"),
            "wrong-name ": certificates.issued("wrong-nobody.pem", common_name="localhost"),
            "unknown-issuer": certificates.issued("wrong-ca.pem", "localhost", by=stranger),
            "self-signed": certificates.written("wrong-self.pem", self_signed("localhost").pem),
            "expired": certificates.issued(
                "wrong-old.pem", "localhost", not_before=past, not_after=past + day
            ),
            "not-yet-valid": certificates.issued(
                "wrong-new.pem", "localhost", not_before=future, not_after=future + day
            ),
            "wrong-purpose": certificates.issued("wrong-use.pem", "localhost", purpose="client"),
        }
        for row in STARTTLS_PROTOCOLS.values():
            if row.serve is None:
                continue
            for cause, file in rows.items():
                port, applications = await self.fronted(row.name, local_cert=file)
                factory = Recorders()
                failed = await self.refused(HandshakeFailed, self.dialled(row.name, port, factory))
                self.assertEqual(failed.cause, cause.strip(), row.name)
                self.assertIn(f"?starttls={row.name}", str(failed))
                self.assertEqual((factory.all, applications), ([], []))

    async def test_the_certificate_must_be_for_the_host_of_the_url(self) -> None:
        """Case does not matter; an address is verified as one, and never sent as SNI."""
        rows = {"LOCALHOST": "localhost", "localhost": "localhost", "127.0.0.1": None}
        port, _ = await self.fronted("smtp")
        for host, asked in rows.items():
            url = f"tls://{host}:{port}?starttls=smtp"
            client = await self.connected(url, cafile=certificates.cafile())
            session = cast(Any, txtransport.session_of(client.transport))
            self.assertEqual((session.verified, session.server_name), (True, asked), host)

    async def test_capabilities_offered_in_the_clear_are_never_delivered(self) -> None:
        """The application hears what is offered under TLS, and nothing of before."""

        def boasting(wire: Wire) -> Dialogue[bytes]:
            wire.send(b"220 BEFORE\r\n")
            yield from wire.line()
            wire.send(b"250-BEFORE\r\n250-AUTH BEFORE\r\n250 STARTTLS\r\n")
            yield from wire.line()
            wire.send(b"220 BEFORE\r\n")
            return b""

        port = await self.listening(
            "tls://127.0.0.1:0",
            Factory.forProtocol(Application),
            local_cert=certificates.site(),
            starttls=boasting,
        )
        client = await self.dialled("smtp", port)
        self.addCleanup(self.end, client)
        client.say(b"NOW")
        await client.heard(b"NOW")
        self.assertEqual(client.received, b"220 localhost ESMTP\r\napp>NOW")

    async def test_both_applications_can_ask_for_the_outcome(self) -> None:
        """Where a protocol goes on from what was said in the clear, both sides can ask for it."""
        for name in ("mysql", "vnc", "nbd"):
            port, applications = await self.fronted(name)
            client = await self.dialled(name, port)
            self.addCleanup(self.end, client)
            await client.heard(b"app>")
            self.assertNotEqual(starttls_outcome(client.transport), b"", name)
            self.assertEqual(starttls_outcome(client.transport), applications[0].outcome)
        self.assertEqual(starttls_outcome(object()), b"")


class ClientTests(NegotiationTestCase):
    """What a client does when there is no TLS at the end of the dialogue."""

    async def test_nothing_is_sent_in_the_clear_if_tls_is_not_offered(self) -> None:
        """Nothing of the application is said in the clear, and the error shows the answer."""
        port = await self.scripted(b"220 hi\r\n", b"250-hi\r\n250 AUTH PLAIN\r\n")
        factory = Recorders()
        error = await self.refused(TLSNotOffered, self.dialled("smtp", port, factory))
        self.assertIn(f"tls://localhost:{port}?starttls=smtp: ", str(error))
        self.assertIn("AUTH PLAIN", str(error))
        self.assertEqual(factory.all, [])

    async def test_a_refusal_carries_the_code_and_text_of_the_reply(self) -> None:
        """The refusal's code and text are there for programs."""
        port = await self.scripted(b"220 hi\r\n", b"250-hi\r\n250 STARTTLS\r\n", b"454 not now\r\n")
        error = await self.refused(TLSRefused, self.dialled("smtp", port))
        self.assertEqual((error.code, error.text), ("454", b"not now"))

    async def test_text_behind_the_go_ahead_is_an_injection(self) -> None:
        """Injected text ends it, and no ClientHello follows (CVE-2011-0411)."""
        received: list[bytes] = []

        class Injecting(Protocol):
            answers = iter(
                (b"220 hi\r\n", b"250-hi\r\n250 STARTTLS\r\n", b"220 go\r\n250 evil\r\n")
            )

            def connectionMade(self) -> None:
                assert self.transport is not None
                self.transport.write(next(self.answers))

            def dataReceived(self, data: bytes) -> None:
                assert self.transport is not None
                received.append(data)
                self.transport.write(next(self.answers))

        port = await self.listening("tcp://127.0.0.1:0", Factory.forProtocol(Injecting))
        error = await self.refused(PlaintextInjected, self.dialled("smtp", port))
        self.assertEqual(error.received, b"250 evil\r\n")
        self.assertEqual(received[-1], b"STARTTLS\r\n")

    async def test_text_in_place_of_tls_is_named_by_the_handshake(self) -> None:
        """Text in the next segment reaches TLS, which names it."""
        port = await self.scripted(
            b"220 hi\r\n", b"250-hi\r\n250 STARTTLS\r\n", b"220 go\r\n", b"250 evil and long\r\n"
        )
        error = await self.refused(HandshakeFailed, self.dialled("smtp", port))
        self.assertEqual(error.cause, "plaintext-peer")
        self.assertIn("250 evil and long", str(error))

    async def test_each_error_of_a_dialogue_has_its_class(self) -> None:
        """Each has the class that says who must act."""
        rows: tuple[tuple[str, type[NegotiationError], tuple[bytes, ...]], ...] = (
            ("imap", PreAuthenticated, (b"* PREAUTH [CAPABILITY IMAP4rev1 STARTTLS] hi\r\n",)),
            ("pop3", PeerMisbehaved, (b"220 hi\r\n",)),
            ("smtp", PeerMisbehaved, (b"220 hi\r\n250 STARTTLS\r\n220 go\r\n",)),
            ("smtp", PeerLeft, (b"220 hi\r\n", b"hang up")),
            ("postgres", TLSRefused, (b"", b"N")),
        )
        for name, kind, script in rows:
            port = await self.scripted(*script)
            error = await self.refused(kind, self.dialled(name, port))
            self.assertIn(f"starttls={name}: ", str(error))

    async def test_a_port_with_tls_from_the_start_is_recognised(self) -> None:
        """For ``starttls=`` on a port with implicit TLS, the error says to leave it out."""
        port = await self.listening(
            "tls://127.0.0.1:0", Recorders(), local_cert=certificates.site()
        )
        error = await self.refused(NegotiationError, self.dialled("postgres", port))
        self.assertIn("leave starttls out", str(error))

    async def test_a_server_of_another_protocol_is_recognised(self) -> None:
        """A server that speaks another protocol is recognised, and its URL is given."""
        port = await self.scripted(b"220 mail.example.com ESMTP\r\n")
        error = await self.refused(PeerMisbehaved, self.dialled("imap", port))
        self.assertIn(f"tls://localhost:{port}?starttls=smtp on this port", str(error))

    async def test_a_greeting_of_several_protocols_is_not_taken_for_another(self) -> None:
        """Where the server greets as the protocol of ``starttls=`` may, no other one is advised."""
        for name, *script in (
            ("ftp", b"220 welcome\r\n", b"200 eh\r\n"),
            ("ftp", b"220 mail.example ready\r\n", b"eh\r\n"),
            ("ftp", b"220 example ESMTP\r\n", b"200 eh\r\n"),
            ("lmtp", b"220 example LMTP\r\n", b"200 eh\r\n"),
            ("smtp", b"220 ftp.example\r\n", b"eh\r\n"),
            ("xmpp-server", b"<?xml version='1.0'?>", b"<eh/>"),
            ("rdp-nla", b"\x03\x00\x00\x05\x00"),
        ):
            port = await self.scripted(*script)
            error = await self.refused(PeerMisbehaved, self.dialled(name, port))
            self.assertEqual(error.remedy, "Is it the right protocol for this port?", name)

    async def test_a_silent_or_slow_server_ends_at_the_deadline(self) -> None:
        """A server that says nothing, or drips, ends the attempt at its deadline."""
        for script in ((b"",), (b"220-and so on\r\n",)):
            port = await self.scripted(*script)
            connecting = self.dialled("smtp", port, timeout=0.2)
            error = await self.refused(TransportTimeout, connecting)
            self.assertEqual(error.stage, "negotiation")
            self.assertIn("try without starttls", str(error))

    async def test_cancelling_in_the_dialogue_ends_the_connection(self) -> None:
        """Giving up in mid-dialogue ends the connection."""
        factory = Recorders()
        arriving = factory.next()
        port = await self.listening("tcp://127.0.0.1:0", factory)
        connecting = self.dialled("smtp", port)
        server = await arriving
        connecting.cancel()
        await self.assertFailure(connecting, CancelledError, Exception)
        await server.gone()

    async def test_an_xmpp_certificate_is_for_the_domain(self) -> None:
        """The certificate is for the domain that was asked for, not for the host."""
        port, _ = await self.fronted(
            "xmpp", local_cert=certificates.issued("negotiation-xmpp.pem", "example.org")
        )
        client = await self.dialled("xmpp", port, starttls_name="example.org")
        self.addCleanup(self.end, client)
        session = cast(Any, txtransport.session_of(client.transport))
        self.assertEqual((session.server_name, session.verified), ("example.org", True))

    async def test_a_dialogue_works_over_a_local_socket(self) -> None:
        """A local socket can be used like TCP."""
        path = f"{certificates.folder()}/negotiation.sock"
        url = f"tls+unix://{path}?starttls=postgres"
        application = Factory.forProtocol(Application)
        await self.listening(url, application, local_cert=certificates.site())
        client = await self.connected(url, cafile=certificates.cafile(), peer_name="localhost")
        await client.heard(b"app>")
        self.assertIsNotNone(txtransport.session_of(client.transport))

    async def test_a_protocol_that_closes_at_once_is_not_greeted(self) -> None:
        """A protocol that closes in connectionMade does not hear the greeting."""

        class Leaving(Recorder):
            def connectionMade(self) -> None:
                super().connectionMade()
                cast(Any, self.transport).loseConnection()

        port, _ = await self.fronted("smtp")
        protocol = await self.dialled("smtp", port, Factory.forProtocol(Leaving))
        await protocol.gone()
        self.assertEqual(protocol.received, b"")

    async def test_a_protocol_without_a_transport_attribute_is_greeted(self) -> None:
        """To deliver the greeting, nothing is asked of a protocol but what IProtocol has."""

        @implementer(IProtocol)
        class Private:
            def makeConnection(self, transport: Any) -> None:
                self.end = transport.abortConnection

            def connectionMade(self) -> None:
                raise AssertionError("makeConnection is ours")

            def dataReceived(self, data: bytes) -> None:
                heard.callback(data)

            def connectionLost(self, reason: Failure) -> None:
                gone.callback(None)

        heard: Deferred[bytes] = Deferred()
        gone: Deferred[None] = Deferred()
        port, _ = await self.fronted("smtp")
        protocol = await self.dialled("smtp", port, Only(cast(Protocol, Private())))
        self.assertEqual(await heard, b"220 localhost ESMTP\r\n")
        protocol.end()
        await gone

    async def test_a_reconnecting_client_resumes(self) -> None:
        """The second dialogue with a server leads to the session of the first."""
        port, _ = await self.fronted("smtp")
        resumed = []
        for _ in range(2):
            client = await self.dialled("smtp", port)
            await client.heard(b"app>")
            resumed.append(cast(Any, txtransport.session_of(client.transport)).resumed)
            client.transport.loseConnection()
            await client.gone()
        self.assertEqual(resumed, [False, True])


class OfferTimeoutTests(NegotiationTestCase):
    """Protocols in which a server that does not know the command is silent."""

    async def test_silence_after_the_offer_timeout_means_no_tls(self) -> None:
        """A server that ignores IRC's STARTTLS for 8 seconds does not offer it."""
        port = await self.scripted(b"")
        clock = Clock()
        row = STARTTLS_PROTOCOLS["irc"]
        self.assertEqual(row.offer_timeout, 8.0)
        impatient = StartTLSProtocol("irc", row.connect, row.serve, row.port, offer_timeout=0.1)
        connecting = self.dialled("irc", port, starttls=impatient)
        error = await self.refused(TLSNotOffered, connecting)
        self.assertIn("nothing", str(error))
        self.assertEqual(clock.getDelayedCalls(), [])

    def dialled(self, name: str, port: int, factory: Any = None, **options: Any) -> Deferred[Any]:
        """A client's attempt, with a row of the test's own."""
        url = f"tls://localhost:{port}"
        options = {"cafile": certificates.cafile(), **options}
        return txtransport.client(self.reactor, url, **options).connect(factory or Recorders())


class ClearTextTests(NegotiationTestCase):
    """``starttls_policy=may``, and what it never allows."""

    async def test_a_refusal_lets_the_client_go_on_in_the_clear(self) -> None:
        """After a clear refusal the application is greeted in the clear, and the log says so."""
        for last in (b"250 hi\r\n", b"454 no\r\n"):
            script = [b"220 hi\r\n", b"250-hi\r\n250 STARTTLS\r\n", last]
            if last.startswith(b"250"):
                del script[1]
            port = await self.scripted(*script, b"pong\r\n")
            client = await self.dialled("smtp", port, starttls_policy="may")
            self.addCleanup(self.end, client)
            await client.heard(b"220 localhost ESMTP\r\n")
            self.assertIsNone(txtransport.session_of(client.transport))
            client.say(b"ping\r\n")
            await client.heard(b"pong\r\n")

    async def test_an_attack_never_leads_to_the_clear(self) -> None:
        """Injected text, PREAUTH and a bad certificate are no reasons to go on in the clear."""
        rows: tuple[tuple[str, type[Exception], tuple[bytes, ...]], ...] = (
            (
                "smtp",
                PlaintextInjected,
                (b"220 hi\r\n", b"250-hi\r\n250 STARTTLS\r\n", b"220 go\r\nevil\r\n"),
            ),
            ("smtp", PeerMisbehaved, (b"220 hi\r\n", b"250 hi\r\n454 and more\r\n")),
            ("imap", PreAuthenticated, (b"* PREAUTH hi\r\n",)),
            ("smtp", PeerLeft, (b"220 hi\r\n", b"hang up")),
        )
        for name, kind, script in rows:
            factory = Recorders()
            port = await self.scripted(*script)
            connecting = self.dialled(name, port, factory, starttls_policy="may")
            await self.refused(NegotiationError if kind is PeerMisbehaved else kind, connecting)
            self.assertEqual(factory.all, [])
        port, _ = await self.fronted("smtp", local_cert=certificates.issued("x.pem", "x.example"))
        await self.refused(HandshakeFailed, self.dialled("smtp", port, starttls_policy="may"))

    async def test_an_exception_in_the_factory_ends_the_connection(self) -> None:
        """The application's own fault is told, and the connection ends."""
        port = await self.scripted(b"220 hi\r\n", b"250 hi\r\n")

        class Broken(Factory):
            noisy = False

            def buildProtocol(self, addr: object) -> Any:
                raise ZeroDivisionError("no protocol today")

        connecting = self.dialled("smtp", port, Broken(), starttls_policy="may")
        await self.refused(ZeroDivisionError, connecting)

    async def test_a_protocol_that_fails_in_the_clear_hears_of_the_end(self) -> None:
        """A protocol that raises, or cancels, in connectionMade is told of the end, and no more."""
        port = await self.scripted(b"220 hi\r\n", b"250 hi\r\n")

        class Leaving(Recorder):
            def connectionMade(self) -> None:
                super().connectionMade()
                connecting.cancel()

        class Failing(Recorder):
            def connectionMade(self) -> None:
                super().connectionMade()
                raise ZeroDivisionError("not now")

        for kind, error in ((Leaving, ConnectingCancelledError), (Failing, ZeroDivisionError)):
            factory = [kind()]
            connecting = self.dialled("smtp", port, Only(factory[0]), starttls_policy="may")
            await self.refused(error, connecting)
            await factory[0].gone()
            self.assertEqual(factory[0].received, b"")


class ServerTests(NegotiationTestCase):
    """What a server does with clients that do not start TLS."""

    async def raw(self, port: int) -> Recorder:
        """A client that writes what it likes."""
        return await self.connected(f"tcp://127.0.0.1:{port}")

    async def test_other_commands_are_refused_with_the_protocol_s_reply(self) -> None:
        """A client is told to start TLS, and no application hears a word."""
        port, applications = await self.fronted("smtp")
        client = await self.raw(port)
        client.say(b"MAIL FROM:<a@example.com>\r\nQUIT\r\n")
        await client.gone()
        self.assertIn(b"530 5.7.0 Must issue a STARTTLS command first\r\n", client.received)
        self.assertTrue(client.received.endswith(b"221 2.0.0 Bye\r\n"))
        self.assertEqual(applications, [])

    async def test_commands_behind_starttls_end_the_connection(self) -> None:
        """Commands behind STARTTLS end the connection before the go-ahead."""
        port, applications = await self.fronted("smtp")
        client = await self.raw(port)
        client.say(b"EHLO a\r\nSTARTTLS\r\nEHLO evil\r\n")
        await client.gone()
        self.assertNotIn(b"Ready to start TLS", client.received)
        self.assertEqual(applications, [])

    async def test_a_client_hello_may_follow_the_request_of_postgresql(self) -> None:
        """PostgreSQL's clients may send their hello with the request."""
        port, applications = await self.fronted("postgres")
        client = await self.raw(port)
        client.say(bytes.fromhex("0000000804d2162f") + b"\x16\x03\x01\x00\x01\x01")
        await client.heard(b"S")
        self.assertEqual(applications, [])

    async def test_a_silent_client_is_dropped_at_the_deadline(self) -> None:
        """A client that never asks for TLS is dropped at the deadline."""
        port, applications = await self.fronted("smtp", handshake_timeout=0.2)
        client = await self.raw(port)
        await client.gone()
        self.assertTrue(client.received.startswith(b"220 "))
        self.assertEqual(applications, [])

    async def test_too_many_commands_end_the_connection(self) -> None:
        """After a thousand useless commands the server closes the connection."""
        port, _ = await self.fronted("smtp")
        client = await self.raw(port)
        client.say(b"NOOP\r\n" * 1000)
        await client.gone()
        self.assertTrue(
            client.received.endswith(b"421 4.7.0 Too many commands before STARTTLS\r\n")
        )

    async def test_a_client_that_disconnects_leaves_no_timer(self) -> None:
        """A client that only connects and disconnects leaves no timer, and no error in the log."""
        port, applications = await self.fronted("smtp")
        client = await self.raw(port)
        await client.heard(b"220 ")
        await self.end(client)
        self.assertEqual(applications, [])

    async def test_an_endless_greeting_ends_the_connection(self) -> None:
        """An application that never finishes its greeting is the end of the connection."""

        class Endless(Protocol):
            def connectionMade(self) -> None:
                assert self.transport is not None
                self.transport.write(b"220-" + b"x" * 70_000)

        factory = Factory.forProtocol(Endless)
        port = await self.listening(
            "tls://127.0.0.1:0?starttls=smtp", factory, local_cert=certificates.site()
        )
        client = await self.dialled("smtp", port)
        await client.gone()
        self.assertEqual(client.received, b"220 localhost ESMTP\r\n")


class OwnDialogueTests(NegotiationTestCase):
    """A dialogue of the user's own."""

    async def own(self, dialogue: Any) -> Deferred[Any]:
        """A client's attempt with that dialogue, at a server that says yes."""
        port = await self.scripted(b"yes")
        endpoint = txtransport.client(
            self.reactor, f"tls://localhost:{port}", starttls=dialogue, timeout=2
        )
        return endpoint.connect(Recorders())

    async def test_a_function_of_a_wire_leads_to_tls_on_both_sides(self) -> None:
        """A function of a wire leads to TLS on both sides."""

        def ask_for_tls(wire: Wire) -> Dialogue[bytes]:
            wire.ask(b"tls?\n")
            yield from wire.line()
            return b"welcome\n"

        def agree_to_tls(wire: Wire) -> Dialogue[bytes]:
            yield from wire.line()
            wire.send(b"yes\n")
            return b""

        port = await self.listening(
            "tls://127.0.0.1:0",
            Factory.forProtocol(Application),
            local_cert=certificates.site(),
            starttls=agree_to_tls,
        )
        client = await self.connected(
            f"tls://localhost:{port}", cafile=certificates.cafile(), starttls=ask_for_tls
        )
        await client.heard(b"welcome\napp>")

    async def test_an_exception_in_a_dialogue_ends_the_connection(self) -> None:
        """Its exceptions are told as they are, and end the connection."""

        def at_once(wire: Wire) -> Dialogue[bytes]:
            raise ZeroDivisionError("at once")

        def later(wire: Wire) -> Dialogue[bytes]:
            yield
            raise ZeroDivisionError("later")

        for dialogue in (at_once, later):
            await self.refused(ZeroDivisionError, await self.own(dialogue))


class URLTests(NegotiationTestCase):
    """What is wrong is said before anything is opened."""

    def test_a_missing_port_is_refused_with_the_usual_one(self) -> None:
        """The error knows the usual one."""
        error = self.assertRaises(
            InvalidTransport, txtransport.client, self.reactor, "tls://h?starttls=smtp"
        )
        self.assertIn("587", str(error))

    def test_an_unknown_protocol_is_refused_with_a_list(self) -> None:
        """The error lists those that there are."""
        error = self.assertRaises(
            InvalidOption, txtransport.client, self.reactor, "tls://h:1?starttls=smpt"
        )
        self.assertIn("smtp", str(error))
