"""Clients of others at fronts of ours: ``starttls=`` as curl and OpenSSL begin it."""

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
"""What ``openssl s_client -starttls`` takes."""


# --- applications, all of them Twisted's -----------------------------------------


@implementer(IMessageDelivery, IMessageSMTP)
class Letterbox:
    """Takes every letter.

    Attributes:
        letters: For whom, and the lines of each.
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
    """As much of a folder as it takes to be listed."""

    def getFlags(self) -> list[str]:
        return ["\\Marked"]

    def getHierarchicalDelimiter(self) -> str:
        return "/"


class Pigeonhole(Mailbox):
    """A POP3 mailbox with one letter."""

    def listMessages(self, index: int | None = None) -> Any:
        return [len(LETTER)] if index is None else len(LETTER)

    def getMessage(self, index: int) -> Any:
        return BytesIO(LETTER)


@implementer(IRealm)
class House:
    """What everyone finds who is let in, by what they ask for.

    Args:
        folder: For FTP.
    """

    def __init__(self, folder: FilePath[str]) -> None:
        account: Any = MemoryAccount("joe")
        account.addMailbox("INBOX", Folder())
        account.addMailbox("Letters/Guests", Folder())
        self._rooms: dict[Any, Any] = {
            IAccountIMAP: account,
            IMailboxPOP3: Pigeonhole(),
            IFTPShell: FTPAnonymousShell(folder),
        }

    def requestAvatar(self, avatarId: object, mind: object, *interfaces: Any) -> Any:
        return interfaces[0], self._rooms[interfaces[0]], lambda: None


def greeter(greeting: bytes) -> Application:
    """An application with a greeting that its front keeps back."""
    application = Application()
    application.greeting = greeting
    return application


class RecordingFactory(WrappingFactory):
    """Builds what another factory does, and counts who comes and goes.

    Args:
        factory: The other.

    Attributes:
        sessions: Under which TLS each has come.
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
        """Fires when the only one has left."""
        leaving: Deferred[None] = Deferred()
        if self.sessions and not self.protocols:
            leaving.callback(None)
        else:
            self._leaving.append(leaving)
        return leaving


# --- the tests -------------------------------------------------------------------


class FrontTestCase(PeerTestCase):
    """A front of ours, and clients that begin in the clear."""

    async def fronted(self, name: str, factory: RecordingFactory, **options: Any) -> int:
        """A server that speaks that dialogue; its port."""
        options = {"local_cert": certificates.site(), **options}
        return await self.listening(f"tls://127.0.0.1:0?starttls={name}", factory, **options)

    async def assertUnderTLS(self, factory: RecordingFactory) -> None:
        """There was one guest, who came under TLS, and leaves by now."""
        await factory.gone().addTimeout(PATIENCE, self.reactor)
        (session,) = factory.sessions
        assert session is not None
        self.assertEqual(session.version, "TLSv1.3")


class CurlTests(FrontTestCase):
    """``curl`` comes to an application of Twisted's."""

    program = CURL

    def coming(
        self, url: str, *arguments: str, cafile: str | None = None, demand: str = "--ssl-reqd"
    ) -> Peer:
        """A client that does without TLS on no account."""
        trusted = cafile or certificates.cafile()
        return self.start(
            "--disable", "--ipv4", "--silent", "--show-error", "--max-time", f"{PATIENCE:g}",
            "--noproxy", "*", demand, "--cacert", trusted, *arguments, url,
        )  # fmt: skip

    def let_in(self, build: Callable[[], Any]) -> RecordingFactory:
        """Guests that let people in."""
        portal = Portal(House(FilePath(str(self.folder()))))
        portal.registerChecker(InMemoryUsernamePasswordDatabaseDontUse(joe=PASSWORD.encode()))

        def built() -> Any:
            protocol = build()
            protocol.portal = portal
            return protocol

        return RecordingFactory(Factory.forProtocol(built))

    async def test_a_letter_is_sent(self) -> None:
        """A letter sent over starttls=smtp arrives whole."""
        letterbox = Letterbox()

        def build() -> ESMTP:
            protocol = ESMTP()
            protocol.delivery = letterbox
            return protocol

        factory = RecordingFactory(Factory.forProtocol(build))
        letter = self.folder() / "letter"
        letter.write_bytes(LETTER.replace(b"\n", b"\r\n"))
        port = await self.fronted("smtp", factory)
        sending = ("--mail-from", "ann@example.org", "--mail-rcpt", "joe@example.com",
                   "--upload-file", str(letter))  # fmt: skip
        peer = self.coming(f"smtp://localhost:{port}/us.example", *sending)
        self.assertEqual(await peer.exits(), 0)
        ((recipient, lines),) = letterbox.letters
        self.assertEqual((recipient, lines), (b"<joe@example.com>", LETTER.splitlines()))
        await self.assertUnderTLS(factory)

    async def test_folders_are_listed(self) -> None:
        """Who logs in over starttls=imap is shown the folders."""
        # curl does not forget that it was told LOGINDISABLED before TLS, so it needs another way.
        factory = self.let_in(partial(IMAP4Server, chal={b"PLAIN": PLAINCredentials}))
        port = await self.fronted("imap", factory)
        peer = self.coming(f"imap://localhost:{port}/", "--user", LOGIN)
        self.assertEqual(await peer.exits(), 0)
        await peer.prints(rb'^\* LIST \(\\Marked\) "?/"? "?INBOX"?')
        await self.assertUnderTLS(factory)

    async def test_a_letter_is_fetched(self) -> None:
        """Who logs in over starttls=pop3 is given the letter, whole."""
        factory = self.let_in(POP3)
        port = await self.fronted("pop3", factory)
        peer = self.coming(f"pop3://localhost:{port}/1", "--user", LOGIN)
        self.assertEqual(await peer.exits(), 0)
        self.assertEqual(peer.printed, LETTER.replace(b"\n", b"\r\n"))
        await self.assertUnderTLS(factory)

    async def test_a_file_server_is_entered(self) -> None:
        """Who logs in over starttls=ftp is answered under TLS."""
        portal = Portal(House(FilePath(str(self.folder()))), [AllowAnonymousAccess()])
        factory = RecordingFactory(FTPFactory(portal))
        # At QUIT, Twisted's server stops reading for good, and so does not see the client leave.
        port = await self.fronted("ftp", factory, close_timeout=0.2)
        # Twisted's server has no TLS for the connections of data, so none is demanded.
        url, asking = f"ftp://localhost:{port}/", ("--head", "--quote", "PWD", "--verbose")
        peer = self.coming(url, *asking, demand="--ftp-ssl-control")
        self.assertEqual(await peer.exits(), 0)
        await peer.prints(rb'^< 257 "/"')
        await self.assertUnderTLS(factory)

    async def test_a_client_that_does_not_trust_us(self) -> None:
        """A client that does not know our authority says nothing more, and the log says why."""
        alien = certificates.written("fronts-alien.pem", Authority.create().pem)
        for name in ("smtp", "imap", "pop3", "ftp"):
            factory = self.let_in(POP3)
            port = await self.fronted(name, factory)
            refusal = self.refusal()
            peer = self.coming(f"{name}://localhost:{port}/", "--user", LOGIN, cafile=alien)
            self.assertEqual(await peer.exits(), 60, name)
            self.assertIn("the client refused our certificate", str(await refusal))
            self.assertEqual(factory.sessions, [])


class OpenSSLTests(FrontTestCase):
    """``openssl s_client -starttls`` comes, in every protocol that it has."""

    program = OPENSSL

    async def test_every_protocol(self) -> None:
        """Each dialogue leads to TLS: we are verified, and what is said arrives both ways."""
        for name in KNOWN_TO_OPENSSL:
            greeting = GREETINGS[name] if STARTTLS_PROTOCOLS[name].greeting else b""
            factory = RecordingFactory(Factory.forProtocol(partial(greeter, greeting)))
            port = await self.fronted(name, factory)
            peer = self.coming(name, port)
            await peer.prints(rb"^Verify return code: 0 \(ok\)")
            await peer.prints(rb"app>")
            peer.type(b"a word\n")
            # What was said in the clear OpenSSL prints as well, some of it in between.
            await peer.prints(rb"a word")
            self.assertNotIn(greeting or b"no greeting", peer.printed)
            peer.kill()
            await self.assertUnderTLS(factory)

    def coming(self, name: str, port: int) -> Peer:
        """A client that begins with that dialogue, and trusts the tests' root."""
        return self.start(
            "s_client", "-starttls", name, "-connect", f"127.0.0.1:{port}", "-name", "localhost",
            "-CAfile", certificates.cafile(), "-verify_return_error",
            "-verify_hostname", "localhost",
        )  # fmt: skip
