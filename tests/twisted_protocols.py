"""Twisted's own protocols, unmodified, for the tests of `txtransport.upgrade.guard`.

Servers and clients for SMTP, IMAP, POP3, XMPP and AMP, with Twisted's own
context factories. A `Recording` keeps what a protocol is given and how its
connection ends: it wraps the protocol's ``dataReceived`` and ``connectionLost``.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ClassVar, Final, cast

from attrs import define, field
from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.portal import IRealm, Portal
from twisted.internet import ssl
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.mail import imap4, smtp
from twisted.protocols import amp
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure
from twisted.words.protocols.jabber import xmlstream
from twisted.words.xish import domish
from zope.interface import implementer

from tests import certificates

USER: Final = b"alice"
PASSWORD: Final = b"correct horse"

# --- Twisted's context factories -------------------------------------------------


@functools.cache
def identity(file: str | None = None) -> ssl.PrivateCertificate:
    """A server's certificate and key, of a PEM file; `certificates.site` by default."""
    pem = Path(file or certificates.site()).read_bytes()
    return cast(ssl.PrivateCertificate, ssl.PrivateCertificate.loadPEM(pem))


@functools.cache
def trusted_root() -> ssl.Certificate:
    """The certificate authority that the clients trust."""
    return ssl.Certificate.loadPEM(Path(certificates.cafile()).read_bytes())


def server_context(file: str | None = None) -> Any:
    """A server's context factory, for the certificate in that file."""
    return identity(file).options()


def client_context(name: str = "good.example") -> Any:
    """A client's context factory, which verifies that the server has that name.

    With service_identity 24.2, Twisted cannot hold a name of one label against a wildcard.
    """
    return ssl.optionsForClientTLS(name, trustRoot=trusted_root())


# --- recordings ------------------------------------------------------------------


@define(eq=False)
class Recording:
    """What one protocol was given, and how its connection ended.

    Attributes:
        protocol: The protocol.
        given: The argument of each call of ``dataReceived``.
        lost: Fires with the reason, in a list, when the connection has ended.
    """

    protocol: Any
    given: list[bytes] = field(factory=list)
    lost: Deferred[list[Failure]] = field(factory=Deferred)

    @classmethod
    def of(cls, protocol: Any) -> Recording:
        """Start to record a protocol."""
        recording = cls(protocol)
        receive, end = protocol.dataReceived, protocol.connectionLost

        def data_received(data: bytes) -> None:
            recording.given.append(data)
            receive(data)

        def connection_lost(reason: Failure) -> None:
            end(reason)
            recording.lost.callback([reason])

        # On the instance: the class is Twisted's, and stays unmodified.
        vars(protocol).update(dataReceived=data_received, connectionLost=connection_lost)
        return recording

    @property
    def heard(self) -> bytes:
        """All bytes that the protocol was given."""
        return b"".join(self.given)

    async def reason(self) -> Any:
        """The exception with which the connection ends."""
        (failure,) = await self.lost
        return failure.value


class RecordingFactory(Factory):
    """Builds protocols, and records each.

    Args:
        build: Builds a protocol.

    Attributes:
        recordings: Those of the protocols built so far.
    """

    noisy = False

    def __init__(self, build: Callable[[], object]) -> None:
        self.recordings: list[Recording] = []
        self._build = build

    def buildProtocol(self, addr: object) -> Any:
        recording = Recording.of(self._build())
        self.recordings.append(recording)
        return recording.protocol

    @property
    def recording(self) -> Recording:
        """The only recording; fails if there is not exactly one."""
        (recording,) = self.recordings
        return recording


class ScriptedServer(Protocol):
    """Follows a script, without a parser.

    Args:
        greeting: What to send first.
        steps: Pairs of bytes to wait for and the reply to send then; None in
            place of a reply starts TLS.

    Attributes:
        heard: All that it received.
    """

    def __init__(self, greeting: bytes, steps: Iterable[tuple[bytes, bytes | None]]) -> None:
        self.heard = b""
        self._greeting = greeting
        self._steps = list(steps)
        self._new = b""

    def connectionMade(self) -> None:
        self._say(self._greeting)

    def dataReceived(self, data: bytes) -> None:
        self.heard += data
        self._new += data
        while self._steps and self._steps[0][0] in self._new:
            awaited, answer = self._steps.pop(0)
            self._new = self._new.partition(awaited)[2]
            self._say(answer)

    def _say(self, answer: bytes | None) -> None:
        transport: Any = self.transport
        if answer is None:
            transport.startTLS(server_context())
        else:
            transport.write(answer)


# --- accounts ----------------------------------------------------------------------


@implementer(IRealm)
@define(eq=False)
class Realm:
    """A realm in which every user has the same avatar.

    Attributes:
        avatar: The avatar.
        logins: The names with which users have logged in.
    """

    avatar: object
    logins: list[Any] = field(factory=list)

    def requestAvatar(self, avatarId: object, mind: object, *interfaces: Any) -> Any:
        self.logins.append(avatarId)
        return interfaces[-1], self.avatar, lambda: None


class DelayedPortal(Portal):
    """A portal that can keep log-ins pending.

    Attributes:
        waiting: Fire one of these to let that log-in continue; None to keep none pending.
    """

    waiting: list[Deferred[None]] | None = None

    def login(self, *args: Any) -> Any:
        """Log in, at once or when the test fires the Deferred in `waiting`."""
        if self.waiting is None:
            return super().login(*args)
        opened: Deferred[None] = Deferred()
        self.waiting.append(opened)
        login = super().login
        return opened.addCallback(lambda _: login(*args))


def portal_for(avatar: object) -> Any:
    """A portal that gives that avatar to `USER` with `PASSWORD`."""
    return DelayedPortal(Realm(avatar), [InMemoryUsernamePasswordDatabaseDontUse(alice=PASSWORD)])


# --- SMTP --------------------------------------------------------------------------


@implementer(smtp.IMessageDelivery)
@define(eq=False)
class Postbox:
    """An SMTP delivery that accepts every mail.

    Attributes:
        mails: The lines of each mail.
        senders: The address of each MAIL command.
        helos: The client's EHLO name, for each mail.
        deciding: Fire one of these to accept that MAIL command; None to accept at once.
        storing: Fire one of these to acknowledge that mail; None to acknowledge at once.
    """

    mails: list[list[bytes]] = field(factory=list)
    senders: list[bytes] = field(factory=list)
    helos: list[bytes | None] = field(factory=list)
    deciding: list[Deferred[Any]] | None = None
    storing: list[Deferred[Any]] | None = None

    def receivedHeader(self, helo: Any, origin: object, recipients: object) -> bytes:
        self.helos.append(helo[0])
        return b""

    def validateFrom(self, helo: object, origin: Any) -> Any:
        self.senders.append(bytes(origin))
        if self.deciding is None:
            return origin
        decided: Deferred[Any] = Deferred()
        self.deciding.append(decided)
        return decided.addCallback(lambda _: origin)

    def validateTo(self, user: object) -> Any:
        return lambda: Mail(self)


@implementer(smtp.IMessage)
@define(eq=False)
class Mail:
    """One mail that is being received."""

    postbox: Postbox
    lines: list[bytes] = field(factory=list)

    def lineReceived(self, line: bytes) -> None:
        self.lines.append(line)

    def eomReceived(self) -> Any:
        self.postbox.mails.append(self.lines)
        stored: Deferred[Any] = Deferred()
        if self.postbox.storing is None:
            stored.callback(None)
        else:
            self.postbox.storing.append(stored)
        return stored

    def connectionLost(self) -> None:
        pass


def mail_server(postbox: Postbox, context: Any = None, portal: Any = None) -> smtp.ESMTP:
    """An SMTP server that delivers to that postbox, with an account for `USER`."""
    server = smtp.ESMTP({b"PLAIN": imap4.PLAINCredentials}, context or server_context())
    server.delivery = postbox
    server.portal = portal or portal_for(postbox)
    server.noisy = False
    return server


class MailSender(smtp.ESMTPSender):
    """Twisted's SMTP client; tells its factory why the connection has ended."""

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self.factory.reason = reason
        super().connectionLost(reason)


class MailSenderFactory(smtp.ESMTPSenderFactory):
    """Twisted's factory, whose `result` fails with what the client was told.

    Before 26.4 it fails with what the plain connection's end was, and overwrites that in
    a failure that all connections share.

    Attributes:
        reason: Why the connection has ended, as the client was told; None before.
    """

    protocol = MailSender
    reason: Failure | None = None

    def clientConnectionLost(self, connector: Any, reason: Failure) -> None:
        told = reason if self.reason is None else self.reason
        super().clientConnectionLost(connector, Failure(told.value))


def why_unsent(error: BaseException) -> BaseException | None:
    """What ended the connection of a client that could not send its mail."""
    # Twisted wraps it from 26.4 on.
    return error.__cause__ if isinstance(error, smtp.SMTPConnectError) else error


def mail_sender(result: Deferred[Any], context: Any = None, **keywords: Any) -> Any:
    """Twisted's client factory that sends one mail; `result` fires when it is sent."""
    return MailSenderFactory(
        USER,
        PASSWORD,
        "alice@example.com",
        "bob@example.net",
        io.BytesIO(b"Subject: hello\n\nDear Bob\n"),
        result,
        retries=0,
        contextFactory=context or client_context(),
        **{"requireAuthentication": False, **keywords},
    )


# --- IMAP --------------------------------------------------------------------------


def imap_account() -> Any:
    """An IMAP account with one mailbox."""
    made = imap4.MemoryAccount(b"alice")
    made.addMailbox("INBOX", Mailbox())
    return made


@implementer(imap4.IMailboxInfo)
class Mailbox:
    """As much of a mailbox as LIST needs."""

    def getFlags(self) -> list[str]:
        return ["\\HasNoChildren"]

    def getHierarchicalDelimiter(self) -> str:
        return "/"


def imap_server(portal: Any = None, context: Any = None) -> imap4.IMAP4Server:
    """An IMAP server with an account for `USER`."""
    server = imap4.IMAP4Server({b"PLAIN": imap4.PLAINCredentials}, context or server_context())
    server.portal = portal or portal_for(imap_account())
    return server


# --- POP3 --------------------------------------------------------------------------


class POP3Server(LineOnlyReceiver):
    """A POP3 server that accepts any command; Twisted's own server has no STLS.

    Attributes:
        heard: The commands that it received.
    """

    def __init__(self) -> None:
        self.heard: list[bytes] = []

    def connectionMade(self) -> None:
        self.sendLine(b"+OK ready")

    def lineReceived(self, line: bytes) -> None:
        self.heard.append(line)
        self.sendLine(b"+OK" if line != b"CAPA" else b"+OK\r\nUSER\r\nSTLS\r\n.")
        if line == b"STLS":
            cast(Any, self.transport).startTLS(server_context())


# --- XMPP --------------------------------------------------------------------------

TLS_NAMESPACE: Final = "urn:ietf:params:xml:ns:xmpp-tls"
STREAM: Final = (
    b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' "
    b"from='localhost' id='1' version='1.0'>"
)
FEATURES: Final = (
    b"<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>"
)
STARTTLS: Final = b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
PROCEED: Final = b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"


class ClientAuthenticator(xmlstream.ConnectAuthenticator):
    """Opens a client's stream, and requires TLS.

    Attributes:
        context: The context factory for ``startTLS``.
        ready: Fires when the stream is ready for stanzas, or fails.
        stanzas: The names of the elements that the stream has dispatched.
    """

    namespace = "jabber:client"

    def __init__(self, context: Any = None) -> None:
        super().__init__("localhost")
        self.context = context or client_context()
        self.ready: Deferred[None] = Deferred()
        self.stanzas: list[str] = []

    def associateWithStream(self, xmlstream: Any) -> None:
        super().associateWithStream(xmlstream)
        xmlstream.initializers = [_tls_initializer(xmlstream, self.context)]
        _note_stanzas(xmlstream, self.stanzas)
        xmlstream.addOnetimeObserver(_AUTHENTICATED, lambda _: self.ready.callback(None))
        xmlstream.addOnetimeObserver(_FAILED, self.ready.errback)


class ServerAuthenticator(xmlstream.ListenAuthenticator):
    """Accepts a stream, and offers TLS.

    Attributes:
        stanzas: The names of the elements that the stream has dispatched.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stanzas: list[str] = []
        self._is_secure = False

    def associateWithStream(self, xmlstream: Any) -> None:
        super().associateWithStream(xmlstream)
        xmlstream.addObserver(f"/starttls[@xmlns='{TLS_NAMESPACE}']", self._start)
        _note_stanzas(xmlstream, self.stanzas)

    def streamStarted(self, rootElement: Any) -> None:
        super().streamStarted(rootElement)
        stream: Any = self.xmlstream
        stream.sendHeader()
        stream.send(b"<stream:features/>" if self._is_secure else FEATURES)

    def _start(self, element: object) -> None:
        stream: Any = self.xmlstream
        stream.send(PROCEED)
        self._is_secure = True
        stream.transport.startTLS(server_context())
        stream.reset()


_AUTHENTICATED: Final = xmlstream.STREAM_AUTHD_EVENT
_FAILED: Final = xmlstream.INIT_FAILED_EVENT


def _tls_initializer(stream: Any, context: Any) -> Any:
    return xmlstream.TLSInitiatingInitializer(stream, True, context)


def _note_stanzas(stream: Any, stanzas: list[str]) -> None:
    def note(element: domish.Element) -> None:
        stanzas.append(element.name)

    for name in ("message", "iq", "presence", "proceed", "features", "error", "starttls"):
        stream.addObserver(f"/{name}", note)


def xmpp_client(authenticator: ClientAuthenticator) -> Any:
    """The stream of an XMPP client."""
    return xmlstream.XmlStream(authenticator)


def xmpp_server(authenticator: ServerAuthenticator) -> Any:
    """The stream of an XMPP server."""
    return xmlstream.XmlStream(authenticator)


# --- AMP ---------------------------------------------------------------------------


class Ask(amp.Command):
    """An AMP command whose answer repeats its text."""

    arguments: ClassVar = [(b"text", amp.Unicode())]
    response: ClassVar = [(b"text", amp.Unicode())]


class AMPPeer(amp.AMP):
    """An AMP peer that answers `Ask`, and accepts StartTLS.

    Attributes:
        asked: The text of each `Ask` that it received.
    """

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    @Ask.responder
    def answer(self, text: str) -> dict[str, str]:
        self.asked.append(text)
        return {"text": text}

    @amp.StartTLS.responder
    def secure(self) -> dict[str, Any]:
        return {"tls_localCertificate": identity()}


def amp_box(**values: bytes) -> bytes:
    """An AMP box in bytes."""
    made = amp.AmpBox({name.encode(): value for name, value in values.items()})
    return cast(bytes, made.serialize())


def start_amp_tls(peer: AMPPeer) -> Deferred[Any]:
    """Call StartTLS on the other peer, and verify its certificate."""
    return cast(
        "Deferred[Any]", peer.callRemote(amp.StartTLS, tls_verifyAuthorities=[trusted_root()])
    )
