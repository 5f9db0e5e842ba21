"""Foreign clients at our fronts: ``starttls=`` with curl and OpenSSL."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from io import BytesIO
from typing import Any, Final

from twisted.cred.checkers import AllowAnonymousAccess, InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.portal import IRealm, Portal
from twisted.internet.defer import Deferred, succeed
from twisted.internet.protocol import Factory
from twisted.mail.imap4 import IMAP4Server, MemoryAccount, PLAINCredentials
from twisted.mail.interfaces import (
    IAccountIMAP,
    IMailboxIMAPInfo,
    IMailboxPOP3,
    IMessageDelivery,
    IMessageSMTP,
)
from twisted.mail.pop3 import POP3, Mailbox
from twisted.mail.smtp import ESMTP
from twisted.protocols.ftp import FTPAnonymousShell, FTPFactory, IFTPShell
from twisted.protocols.policies import WrappingFactory
from twisted.python.filepath import FilePath
from zope.interface import implementer

import txtransport
from tests import certificates
from tests.connection.test_negotiation import GREETINGS, Application
from tests.live.peers import CURL, OPENSSL, PATIENCE, Peer, PeerTestCase
from txtransport.starttls.protocols import STARTTLS_PROTOCOLS
from txtransport.testing.devcert import Authority
from txtransport.tls.session import Session

PASSWORD: Final = "open sesame"
LOGIN: Final = f"joe:{PASSWORD}"
LETTER: Final = b"Subject: hello\n\n.\n.dots\n"

KNOWN_TO_OPENSSL: Final = (
    "smtp", "lmtp", "pop3", "imap", "ftp", "xmpp", "xmpp-server", "irc", "postgres", "mysql",
    "nntp", "sieve", "ldap", "telnet",
)  # fmt: skip
"""The protocols that ``openssl s_client -starttls`` knows."""


# --- applications, all of them Twisted's -------------------------------------------


@implementer(IMessageDelivery, IMessageSMTP)
class RecordingDelivery:
    """Accepts every letter, and keeps it.

    Attributes:
        letters: The recipient and the lines of each letter.
    """

    def __init__(self) -> None:
        self.letters: list[tuple[bytes, list[bytes]]] = []

    def receivedHeader(self, helo: Any, origin: Any, recipients: Any) -> bytes:
        return b""

    def validateFrom(self, helo: Any, origin: Any) -> Any:
        return origin

    def validateTo(self, user: Any) -> Any:
        self.letters.append((bytes(user.dest.addrstr), []))
        return lambda: self

    def lineReceived(self, line: bytes) -> None:
        self.letters[-1][1].append(line)

    def eomReceived(self) -> Deferred[None]:
        return succeed(None)

    def connectionLost(self) -> None:
        pass


@implementer(IMailboxIMAPInfo)
class Folder:
    """A mailbox that can be listed, and nothing else."""

    def getFlags(self) -> list[str]:
        return ["\\Marked"]

    def getHierarchicalDelimiter(self) -> str:
        return "/"


class OneLetterMailbox(Mailbox):
    """A POP3 mailbox that holds one letter."""

    def listMessages(self, index: int | None = None) -> Any:
        return [len(LETTER)] if index is None else len(LETTER)

    def getMessage(self, index: int) -> Any:
        return BytesIO(LETTER)


@implementer(IRealm)
class Realm:
    """Gives every user the same mailboxes and files.

    Args:
        folder: The folder that FTP users see.
    """

    def __init__(self, folder: FilePath[str]) -> None:
        account: Any = MemoryAccount("joe")
        account.addMailbox("INBOX", Folder())
        account.addMailbox("Letters/Friends", Folder())
        self._avatars: dict[Any, Any] = {
            IAccountIMAP: account,
            IMailboxPOP3: OneLetterMailbox(),
            IFTPShell: FTPAnonymousShell(folder),
        }

    def requestAvatar(self, avatarId: object, mind: object, *interfaces: Any) -> Any:
        return interfaces[0], self._avatars[interfaces[0]], lambda: None


def greeting_application(greeting: bytes) -> Application:
    """An application's protocol whose greeting the front withholds."""
    application = Application()
    application.greeting = greeting
    return application


class RecordingFactory(WrappingFactory):
    """Wraps a factory, and records the connections of its protocols.

    Args:
        factory: The wrapped factory.

    Attributes:
        sessions: The TLS session of each connection, None for one in the clear.
    """

    noisy = False

    def __init__(self, factory: Factory) -> None:
        super().__init__(factory)
        self.sessions: list[Session | None] = []
        self._leaving: list[Deferred[None]] = []

    def registerProtocol(self, p: Any) -> None:
        super().registerProtocol(p)
        self.sessions.append(txtransport.session_of(p.transport))

    def unregisterProtocol(self, p: Any) -> None:
        super().unregisterProtocol(p)
        for leaving in self._leaving:
            leaving.callback(None)

    def gone(self) -> Deferred[None]:
        """Fires when all connections are over, of which there was at least one."""
        leaving: Deferred[None] = Deferred()
        if self.sessions and not self.protocols:
            leaving.callback(None)
        else:
            self._leaving.append(leaving)
        return leaving


# --- the tests ---------------------------------------------------------------------


class FrontTestCase(PeerTestCase):
    """Foreign clients connect to a front of ours, and begin in the clear."""

    async def start_front(self, name: str, factory: RecordingFactory, **options: Any) -> int:
        """Listen with a front for one protocol; return the port."""
        options = {"local_cert": certificates.site(), **options}
        return await self.listening(f"tls://127.0.0.1:0?starttls={name}", factory, **options)

    async def assert_under_tls(self, factory: RecordingFactory) -> None:
        """Exactly one client was connected to the application, under TLS, and has left."""
        await factory.gone().addTimeout(PATIENCE, self.reactor)
        (session,) = factory.sessions
        assert session is not None
        self.assertEqual(session.version, "TLSv1.3")


class CurlTests(FrontTestCase):
    """curl connects to an application of Twisted's."""

    program = CURL

    def start_client(
        self, url: str, *arguments: str, cafile: str | None = None, demand: str = "--ssl-reqd"
    ) -> Peer:
        """Start curl, which insists on TLS."""
        trusted = cafile or certificates.cafile()
        return self.start(
            "--disable", "--ipv4", "--silent", "--show-error", "--max-time", f"{PATIENCE:g}",
            "--noproxy", "*", demand, "--cacert", trusted, *arguments, url,
        )  # fmt: skip

    def factory_with_login(self, build: Callable[[], Any]) -> RecordingFactory:
        """A factory of protocols that accept the login of these tests."""
        portal = Portal(Realm(FilePath(str(self.folder()))))
        portal.registerChecker(InMemoryUsernamePasswordDatabaseDontUse(joe=PASSWORD.encode()))

        def built() -> Any:
            protocol = build()
            protocol.portal = portal
            return protocol

        return RecordingFactory(Factory.forProtocol(built))

    async def test_a_letter_is_delivered(self) -> None:
        """A letter sent with starttls=smtp is delivered unchanged."""
        delivery = RecordingDelivery()

        def build() -> ESMTP:
            protocol = ESMTP()
            protocol.delivery = delivery
            return protocol

        factory = RecordingFactory(Factory.forProtocol(build))
        letter = self.folder() / "letter"
        letter.write_bytes(LETTER.replace(b"\n", b"\r\n"))
        port = await self.start_front("smtp", factory)
        sending = ("--mail-from", "ann@example.org", "--mail-rcpt", "joe@example.com",
                   "--upload-file", str(letter))  # fmt: skip
        peer = self.start_client(f"smtp://localhost:{port}/us.example", *sending)
        self.assertEqual(await peer.exits(), 0)
        ((recipient, lines),) = delivery.letters
        self.assertEqual((recipient, lines), (b"<joe@example.com>", LETTER.splitlines()))
        await self.assert_under_tls(factory)

    async def test_folders_are_listed(self) -> None:
        """A user who logs in with starttls=imap can list the mailboxes."""
        # curl remembers the LOGINDISABLED from before TLS, so it needs AUTHENTICATE PLAIN.
        factory = self.factory_with_login(partial(IMAP4Server, chal={b"PLAIN": PLAINCredentials}))
        port = await self.start_front("imap", factory)
        peer = self.start_client(f"imap://localhost:{port}/", "--user", LOGIN)
        self.assertEqual(await peer.exits(), 0)
        await peer.prints(rb'^\* LIST \(\\Marked\) "?/"? "?INBOX"?')
        await self.assert_under_tls(factory)

    async def test_a_letter_is_fetched(self) -> None:
        """A user who logs in with starttls=pop3 can fetch the letter unchanged."""
        factory = self.factory_with_login(POP3)
        port = await self.start_front("pop3", factory)
        peer = self.start_client(f"pop3://localhost:{port}/1", "--user", LOGIN)
        self.assertEqual(await peer.exits(), 0)
        self.assertEqual(peer.printed, LETTER.replace(b"\n", b"\r\n"))
        await self.assert_under_tls(factory)

    async def test_an_ftp_login_works(self) -> None:
        """A user who logs in with starttls=ftp is answered under TLS."""
        portal = Portal(Realm(FilePath(str(self.folder()))), [AllowAnonymousAccess()])
        factory = RecordingFactory(FTPFactory(portal))
        # After QUIT, Twisted's server never reads again, so it does not see the client close.
        port = await self.start_front("ftp", factory, close_timeout=0.2)
        # Twisted's server has no TLS for data connections, so curl must not demand it.
        url, asking = f"ftp://localhost:{port}/", ("--head", "--quote", "PWD", "--verbose")
        peer = self.start_client(url, *asking, demand="--ftp-ssl-control")
        self.assertEqual(await peer.exits(), 0)
        await peer.prints(rb'^< 257 "/"')
        await self.assert_under_tls(factory)

    async def test_a_client_that_does_not_trust_us_is_logged(self) -> None:
        """A client that does not know our authority sends nothing more, and the log says why."""
        unknown_ca = certificates.written("fronts-unknown-ca.pem", Authority.create().pem)
        for name in ("smtp", "imap", "pop3", "ftp"):
            factory = self.factory_with_login(POP3)
            port = await self.start_front(name, factory)
            refusal = self.refusal()
            peer = self.start_client(
                f"{name}://localhost:{port}/", "--user", LOGIN, cafile=unknown_ca
            )
            self.assertEqual(await peer.exits(), 60, name)
            self.assertIn("the client refused our certificate", str(await refusal))
            self.assertEqual(factory.sessions, [])


class OpenSSLTests(FrontTestCase):
    """``openssl s_client -starttls`` connects, with every protocol that it knows."""

    program = OPENSSL

    async def test_every_protocol_leads_to_tls(self) -> None:
        """Each dialogue leads to verified TLS, and data arrives in both directions."""
        for name in KNOWN_TO_OPENSSL:
            greeting = GREETINGS[name] if STARTTLS_PROTOCOLS[name].greeting else b""
            factory = RecordingFactory(Factory.forProtocol(partial(greeting_application, greeting)))
            port = await self.start_front(name, factory)
            peer = self.start_client(name, port)
            await peer.prints(rb"^Verify return code: 0 \(ok\)")
            await peer.prints(rb"app>")
            peer.type(b"a word\n")
            # OpenSSL also prints what it received in the clear, some of it in between.
            await peer.prints(rb"a word")
            self.assertNotIn(greeting or b"no greeting", peer.printed)
            peer.kill()
            await self.assert_under_tls(factory)

    def start_client(self, name: str, port: int) -> Peer:
        """Start s_client with that dialogue; it trusts the tests' root."""
        return self.start(
            "s_client", "-starttls", name, "-connect", f"127.0.0.1:{port}", "-name", "localhost",
            "-CAfile", certificates.cafile(), "-verify_return_error",
            "-verify_hostname", "localhost",
        )  # fmt: skip
