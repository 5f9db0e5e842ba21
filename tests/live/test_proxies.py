"""Our clients behind foreign proxies: tinyproxy, Squid, Dante, microsocks and ``ssh -D``."""

from __future__ import annotations

from io import BytesIO
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.mail.smtp import ESMTPSenderFactory

import txtransport
from tests import certificates
from tests.live.mail_servers import PASSWORD as MAIL_PASSWORD
from tests.live.mail_servers import MailServersTestCase
from tests.live.peers import under_tls
from tests.live.proxies import (
    DANTE,
    LOGIN,
    MICROSOCKS,
    SQUID,
    SSHD,
    TINYPROXY,
    ProxyServersTestCase,
)
from tests.loopback import Recorder, Recorders
from txtransport.errors import PeerLeft, ProxyRefused
from txtransport.mail import sendmail

WRONG: Final = "user:wrong@"


class ProxiesTestCase(ProxyServersTestCase):
    """A server of ours, and clients behind a foreign proxy."""

    async def behind(self, proxy: str, scheme: str = "tls", host: str = "localhost") -> None:
        """Assert that a client behind that proxy and a server hear each other."""
        servers = Recorders()
        site = certificates.site()
        given = f"?local_cert={site}" if scheme == "tls" else ""
        port = await self.listening(f"{scheme}://127.0.0.1:0{given}", servers)
        trust = {"cafile": certificates.cafile()} if scheme == "tls" else {}
        arriving = servers.next()
        client = await self.connected(f"{scheme}://{host}:{port}", proxy=proxy, **trust)
        server = await arriving
        client.say(b"a question")
        await server.heard(b"a question")
        server.say(b"." * 1_000_000 + b"an answer")
        await client.heard(b"an answer")
        if scheme == "tls":
            self.assertTrue(under_tls(client).verified)
        await self.end(client)
        await server.gone()

    async def refused(self, proxy: str, port: int | None = None) -> Any:
        """The error of a client behind a proxy that will not, or cannot, connect it."""
        if port is None:
            port = await self.listening("tcp://127.0.0.1:0", Recorders())
        endpoint: Any = txtransport.client(self.reactor, f"tls://localhost:{port}", proxy=proxy)
        factory = Recorders()
        error = await self.assertFailure(endpoint.connect(factory), ProxyRefused)
        self.assertEqual(factory.built, 0)
        for secret in ("wrong", "sesame"):
            self.assertNotIn(secret, str(error))
        return error


class TinyproxyTests(ProxiesTestCase):
    """CONNECT by tinyproxy."""

    program = TINYPROXY

    async def test_connect(self) -> None:
        """TLS and plain TCP, to a name and to an address, with a login and without."""
        port = await self.tinyproxy()
        for scheme, host in (("tls", "localhost"), ("tls", "127.0.0.1"), ("tcp", "localhost")):
            await self.behind(f"http://127.0.0.1:{port}", scheme, host)
        port = await self.tinyproxy("BasicAuth user sesame")
        await self.behind(f"http://user:sesame@127.0.0.1:{port}")

    async def test_refusals(self) -> None:
        """A wrong login, none, a port that the rules forbid, a target that is not there."""
        port = await self.tinyproxy("BasicAuth user word")
        for login in ("", WRONG):
            error = await self.refused(f"http://{login}127.0.0.1:{port}")
            # tinyproxy takes a wrong login for a wrong request of the web.
            self.assertIn(error.code, (401, 407))
            self.assertEqual(error.fault, "ours")
        port = await self.tinyproxy("ConnectPort 443")
        error = await self.refused(f"http://127.0.0.1:{port}")
        self.assertEqual((error.code, error.cause), (403, "proxy-forbidden"))
        port = await self.tinyproxy()
        error = await self.refused(f"http://127.0.0.1:{port}", self.free_port())
        self.assertGreaterEqual(error.code, 500)
        self.assertFalse(error.permanent)


class SquidTests(ProxiesTestCase):
    """CONNECT by Squid, in the clear and under TLS."""

    program = SQUID

    async def test_connect(self) -> None:
        """With a login, in the clear."""
        port = await self.squid(has_users=True)
        await self.behind(f"http://{LOGIN}127.0.0.1:{port}")
        await self.behind(f"http://{LOGIN}127.0.0.1:{port}", "tcp")

    async def test_tls_in_tls(self) -> None:
        """An ``https://`` proxy, verified by its own trust, with a login."""
        port = await self.squid(tls=True, has_users=True)
        proxy = f"https://{LOGIN}localhost:{port}?cafile={certificates.cafile()}"
        await self.behind(proxy)
        await self.behind(proxy, "tcp")
        error = await self.refused(proxy.replace(LOGIN, WRONG))
        self.assertEqual(error.code, 407)

    async def test_refusals(self) -> None:
        """A wrong login, none, and a target that is not there."""
        port = await self.squid(has_users=True)
        for login, words in (("", "wants a login"), (WRONG, "does not accept the user")):
            error = await self.refused(f"http://{login}127.0.0.1:{port}")
            self.assertEqual(
                (error.code, error.cause, error.schemes), (407, "proxy-login", ("Basic",))
            )
            self.assertIn(words, str(error))
        error = await self.refused(f"http://{LOGIN}127.0.0.1:{port}", self.free_port())
        self.assertEqual((error.code, error.cause), (503, "proxy-unreachable"))


class DanteTests(ProxiesTestCase):
    """SOCKS 5 by Dante."""

    program = DANTE

    async def test_socks(self) -> None:
        """Names that are looked up here and there, and an address."""
        port = await self.dante()
        for scheme in ("socks5", "socks5h"):
            await self.behind(f"{scheme}://127.0.0.1:{port}")
        await self.behind(f"socks5h://127.0.0.1:{port}", "tcp", "127.0.0.1")

    async def test_refusals(self) -> None:
        """Its rules, a target that is not there, and a login that it does not take."""
        port = await self.dante("block")
        error = await self.refused(f"socks5h://127.0.0.1:{port}")
        self.assertEqual((error.kind, error.code), ("SOCKS reply", 2))
        port = await self.dante()
        error = await self.refused(f"socks5h://127.0.0.1:{port}", self.free_port())
        self.assertEqual((error.kind, error.code), ("SOCKS reply", 5))
        error = await self.refused(f"socks5h://{LOGIN}127.0.0.1:{port}")
        self.assertEqual((error.kind, error.code), ("SOCKS method", 255))


class MicrosocksTests(ProxiesTestCase):
    """SOCKS 5 by microsocks, with a login."""

    program = MICROSOCKS

    async def test_socks(self) -> None:
        """With a login and without; and behind a chain of two."""
        port = await self.microsocks(has_users=True)
        await self.behind(f"socks5h://{LOGIN}127.0.0.1:{port}")
        await self.behind(f"socks5://{LOGIN}127.0.0.1:{port}", "tcp")
        other = await self.microsocks()
        await self.behind(f"socks5h://127.0.0.1:{other},socks5h://{LOGIN}127.0.0.1:{port}")

    async def test_refusals(self) -> None:
        """A wrong login, none, and a target that is not there."""
        port = await self.microsocks(has_users=True)
        error = await self.refused(f"socks5h://{WRONG}127.0.0.1:{port}")
        self.assertEqual((error.kind, error.cause), ("SOCKS login", "proxy-login"))
        error = await self.refused(f"socks5h://127.0.0.1:{port}")
        self.assertEqual((error.kind, error.code), ("SOCKS method", 255))
        error = await self.refused(f"socks5h://{LOGIN}127.0.0.1:{port}", self.free_port())
        self.assertEqual((error.kind, error.code), ("SOCKS reply", 5))


class SSHTests(ProxiesTestCase):
    """SOCKS 5 by OpenSSH's client, which connects at the other end of its connection."""

    program = SSHD

    async def test_socks(self) -> None:
        """``ssh -D`` takes names and addresses."""
        port = await self.ssh()
        for scheme in ("socks5", "socks5h"):
            await self.behind(f"{scheme}://127.0.0.1:{port}")
        await self.behind(f"socks5h://127.0.0.1:{port}", "tcp", "127.0.0.1")

    async def test_a_target_that_is_not_there_is_answered_by_hanging_up(self) -> None:
        """``ssh -D`` has no reply for that, and the error says so."""
        port = await self.ssh()
        url = f"tls://localhost:{self.free_port()}"
        endpoint: Any = txtransport.client(self.reactor, url, proxy=f"socks5h://127.0.0.1:{port}")
        error: Any = await self.assertFailure(endpoint.connect(Recorders()), PeerLeft)
        self.assertIn("hang up when they cannot connect: is localhost:", str(error))

    async def test_a_login_is_refused_by_hanging_up(self) -> None:
        """It knows no users, and says so by closing; the error has what to look at."""
        port = await self.ssh()
        endpoint: Any = txtransport.client(
            self.reactor, "tls://localhost:1", proxy=f"socks5h://{LOGIN}127.0.0.1:{port}"
        )
        error: Any = await self.assertFailure(endpoint.connect(Recorders()), PeerLeft)
        self.assertIn("does it want a login, or none?", str(error))


class MailTests(MailServersTestCase, ProxyServersTestCase):
    """Postfix behind a SOCKS proxy, as a program that submits mail through Tor has it."""

    async def test_mail_goes_through_a_socks_proxy(self) -> None:
        """A letter by implicit TLS (465), and one after STARTTLS (587), arrive."""
        dovecot = await self.dovecot()
        postfix = await self.postfix(dovecot.ports["lmtp"])
        port = await self.microsocks(has_users=True)
        options: dict[str, Any] = {
            "cafile": certificates.cafile(),
            "proxy": f"socks5h://{LOGIN}127.0.0.1:{port}",
        }
        for number, url in enumerate(
            (
                f"tls://localhost:{postfix.ports['smtps']}",
                f"tls://localhost:{postfix.ports['smtp']}?starttls=smtp",
            )
        ):
            sent: Deferred[Any] = Deferred()
            letter = BytesIO(b"Subject: letter %d\n\nthrough a proxy\n" % number)
            factory = ESMTPSenderFactory(
                b"", b"", b"joe@example.com", b"ann@example.com", letter, sent,
                requireTransportSecurity=False, requireAuthentication=False,
            )  # fmt: skip
            endpoint: Any = txtransport.client(self.reactor, url, None, **options)
            await endpoint.connect(factory)
            await sent
        imap = await self.connected(f"tls://localhost:{dovecot.ports['imaps']}", **options)
        self.assertIsInstance(imap, Recorder)
        imap.say(b"a LOGIN ann %s\r\n" % MAIL_PASSWORD.encode())
        await imap.heard(b"a OK")
        for number in range(2):
            await dovecot.peer.prints(
                rb"(?s)saved mail to INBOX" + rb".*saved mail to INBOX" * number
            )
        imap.say(b"b STATUS INBOX (MESSAGES)\r\n")
        self.assertIn(b"MESSAGES 2", await imap.heard(b"b OK"))

    async def test_sendmail_logs_in_through_a_socks_proxy(self) -> None:
        """`sendmail` submits with TLS from the start, and by STARTTLS, as a relay would."""
        dovecot = await self.dovecot()
        postfix = await self.postfix(dovecot.ports["lmtp"], auth=dovecot.ports["auth"])
        port = await self.microsocks(has_users=True)
        for url in (
            f"tls://localhost:{postfix.ports['smtps']}",
            f"tls://localhost:{postfix.ports['submission']}?starttls=smtp",
        ):
            sent = await sendmail(
                self.reactor, url, "joe@example.com", "ann@example.com", b"Subject: x\n\ny\n",
                user="joe@example.com", password=MAIL_PASSWORD, cafile=certificates.cafile(),
                proxy=f"socks5h://{LOGIN}127.0.0.1:{port}",
            )  # fmt: skip
            self.assertEqual(sent.accepted, ("ann@example.com",))
        self.assertNotIn(MAIL_PASSWORD.encode(), postfix.peer.printed)
