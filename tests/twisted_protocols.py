"""Twisted's own protocols, unmodified, for `txtransport.upgrade.guard` to stand around.

Servers and clients for SMTP, IMAP, POP3, XMPP and AMP, with contexts of
Twisted's making. What a guest is given, and how its conversation ends, is
noted at the two methods through which it hears of either.
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

# --- what TLS is to be like, in Twisted's words ----------------------------------


@functools.cache
def identity(file: str | None = None) -> ssl.PrivateCertificate:
    """Who the servers are; `certificates.site` by default."""
    pem = Path(file or certificates.site()).read_bytes()
    return cast(ssl.PrivateCertificate, ssl.PrivateCertificate.loadPEM(pem))


@functools.cache
def trusted_root() -> ssl.Certificate:
    """Whom the clients trust."""
    return ssl.Certificate.loadPEM(Path(certificates.cafile()).read_bytes())


def server_context(file: str | None = None) -> Any:
    """A server's context factory."""
    return identity(file).options()


def client_context(name: str = "localhost") -> Any:
    """A client's context factory, which wants that name verified."""
    return ssl.optionsForClientTLS(name, trustRoot=trusted_root())


# --- what becomes of a guest -----------------------------------------------------


@define(eq=False)
class Recording:
    """One guest's conversation, as the guest heard it.

    Attributes:
        guest: The protocol.
        given: What it was given, piece by piece.
        lost: Fires with the reason when the conversation is over, in a list.
    """

    protocol: Any
    given: list[bytes] = field(factory=list)
    lost: Deferred[list[Failure]] = field(factory=Deferred)

    @classmethod
    def of(cls, protocol: Any) -> Recording:
        """Begin to take notes."""
        recording = cls(protocol)
        receive, end = protocol.dataReceived, protocol.connectionLost

        def data_received(data: bytes) -> None:
            recording.given.append(data)
            receive(data)

        def connection_lost(reason: Failure) -> None:
            end(reason)
            recording.lost.callback([reason])

        # On the instance, so that the class remains Twisted's.
        vars(protocol).update(dataReceived=data_received, connectionLost=connection_lost)
        return recording

    @property
    def heard(self) -> bytes:
        """All that it was given."""
        return b"".join(self.given)

    async def reason(self) -> Any:
        """The exception for which the conversation ended."""
        (failure,) = await self.lost
        return failure.value


class RecordingFactory(Factory):
    """Builds protocols, and notes what becomes of them.

    Attributes:
        visits: Those built so far.
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
        """The only one."""
        (recording,) = self.recordings
        return recording


class ScriptedServer(Protocol):
    """Says what a script says, whatever it means.

    Args:
        greeting: What it says first.
        steps: What to wait for, and what to say then; None means TLS.

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
    """Gives everyone the same.

    Attributes:
        avatar: What everyone gets.
        logins: Who has logged in.
    """

    avatar: object
    logins: list[Any] = field(factory=list)

    def requestAvatar(self, avatarId: object, mind: object, *interfaces: Any) -> Any:
        self.logins.append(avatarId)
        return interfaces[-1], self.avatar, lambda: None


class DelayedPortal(Portal):
    """A portal that may take its time.

    Attributes:
        waiting: Who is kept waiting, if it does.
    """

    waiting: list[Deferred[None]] | None = None

    def login(self, *args: Any) -> Any:
        """Log someone in, at once or when the test says so."""
        if self.waiting is None:
            return super().login(*args)
        opened: Deferred[None] = Deferred()
        self.waiting.append(opened)
        login = super().login
        return opened.addCallback(lambda _: login(*args))


def portal_for(avatar: object) -> Any:
    """The portal to that, for `USER` with `PASSWORD`."""
    return DelayedPortal(Realm(avatar), [InMemoryUsernamePasswordDatabaseDontUse(alice=PASSWORD)])


# --- SMTP --------------------------------------------------------------------------


@implementer(smtp.IMessageDelivery)
@define(eq=False)
class Postbox:
    """Takes every mail.

    Attributes:
        mails: The lines of each.
        senders: Who wanted to send.
        helos: By which name they had come.
        deciding: Who is kept waiting for the answer to MAIL, or None.
        storing: Who is kept waiting for the answer to a mail, or None.
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
    """One mail on its way in."""

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
    """A mail server that delivers there, and knows `USER`."""
    server = smtp.ESMTP({b"PLAIN": imap4.PLAINCredentials}, context or server_context())
    server.delivery = postbox
    server.portal = portal or portal_for(postbox)
    server.noisy = False
    return server


def mail_sender(result: Deferred[Any], context: Any = None, **keywords: Any) -> Any:
    """Twisted's factory for one mail; `result` fires when it was sent."""
    return smtp.ESMTPSenderFactory(
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
    """An account with one mailbox."""
    made = imap4.MemoryAccount(b"alice")
    made.addMailbox("INBOX", Mailbox())
    return made


@implementer(imap4.IMailboxInfo)
class Mailbox:
    """As much of a mailbox as a list shows."""

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
    """A POP3 server, as far as a log-in goes; Twisted's own knows no STLS.

    Attributes:
        heard: Its commands.
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
    """Begins a stream, and wants TLS.

    Attributes:
        context: As for ``startTLS``.
        ready: Fires when the stream is ready for stanzas, or fails.
        stanzas: All that were dispatched.
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
    """Takes a stream, and offers TLS.

    Attributes:
        stanzas: All that were dispatched.
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
    """A client's stream."""
    return xmlstream.XmlStream(authenticator)


def xmpp_server(authenticator: ServerAuthenticator) -> Any:
    """A server's stream."""
    return xmlstream.XmlStream(authenticator)


# --- AMP ---------------------------------------------------------------------------


class Ask(amp.Command):
    """A question; the answer says it again."""

    arguments: ClassVar = [(b"text", amp.Unicode())]
    response: ClassVar = [(b"text", amp.Unicode())]


class AMPPeer(amp.AMP):
    """Answers, and is willing to talk in secret.

    Attributes:
        asked: What it was asked.
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
    """An AMP box, as it goes over the wire."""
    made = amp.AmpBox({name.encode(): value for name, value in values.items()})
    return cast(bytes, made.serialize())


def start_amp_tls(peer: AMPPeer) -> Deferred[Any]:
    """Have a peer ask the other for TLS, and verify it."""
    return cast(
        "Deferred[Any]", peer.callRemote(amp.StartTLS, tls_verifyAuthorities=[trusted_root()])
    )
