"""Prosody and NATS, which carry messages, and our clients."""

from __future__ import annotations

import json
from typing import ClassVar, Final

from tests import certificates
from tests.live.peers import Program, under_tls
from tests.live.switching import ELSEWHERE, ServerTestCase
from txtransport.errors import PeerLeft, TLSNotOffered

PROSODY: Final = Program("prosody", ("--help",), r"prosody \[")
NATS: Final = Program("nats-server", ("--version",), r"nats-server: v2\.")

DOMAIN: Final = "good.example"
"""Whom the certificate is for; it is also for the host."""

CALLER: Final = "calling.example"
"""Whom another server speaks for."""

PROSODY_CONF: Final = """
run_as_root = true
pidfile = "{folder}/pid"
data_path = "{folder}"
certificates = "{folder}"
log = {{ {{ levels = {{ min = "info" }}; to = "console" }} }}
interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ {c2s} }}
s2s_ports = {{ {s2s} }}
modules_enabled = {{ "saslauth"; "dialback"; {module} }}
{clear}
ssl = {{ certificate = "{pem}"; key = "{pem}" }}
VirtualHost "{domain}"
VirtualHost "{elsewhere}"
"""

IN_THE_CLEAR: Final = "c2s_require_encryption = false; allow_unencrypted_plain_auth = true"
"""What makes Prosody take logins without TLS."""

NATS_CONF: Final = """
listen: "127.0.0.1:-1"
authorization {{ user: "joe", password: "open sesame" }}
{tls}
"""

LOGIN: Final = b'CONNECT {"user":"joe","pass":"open sesame","verbose":false}\r\n'


def opening(kind: str, **names: str) -> bytes:
    """The beginning of a stream of XMPP's."""
    said = "".join(f" {name}='{value}'" for name, value in names.items())
    return (
        f"<?xml version='1.0'?><stream:stream xmlns='jabber:{kind}'{said} version='1.0' "
        "xmlns:stream='http://etherx.jabber.org/streams'>"
    ).encode()


class ProsodyTestCase(ServerTestCase):
    """Ours goes to Prosody, which serves two domains with a certificate for one."""

    program = PROSODY

    async def serving(self, *, tls: bool = True) -> int:
        """Start it; the port for this protocol."""
        folder = self.folder()
        ports = {"xmpp": self.free_port(), "xmpp-server": self.free_port()}
        conf = PROSODY_CONF.format(
            folder=folder, c2s=ports["xmpp"], s2s=ports["xmpp-server"], pem=certificates.site(),
            domain=DOMAIN, elsewhere=ELSEWHERE, module='"tls"' if tls else "",
            clear="" if tls else IN_THE_CLEAR,
        )  # fmt: skip
        (folder / "conf.lua").write_text(conf)
        peer = self.start("-F", "--config", f"{folder}/conf.lua")
        for port in ports.values():
            await peer.prints(rb"\[127\.0\.0\.1\]:%d$" % port)
        return ports[self.protocol]


class ProsodyTests(ProsodyTestCase):
    """Ours goes there as someone who chats."""

    protocol = "xmpp"
    options: ClassVar = {"starttls_name": DOMAIN}

    async def test_a_stream_under_tls(self) -> None:
        """The domain is verified, not the host; the guest begins anew, and may log in."""
        client = await self.visiting(await self.serving())
        agreed = under_tls(client)
        self.assertEqual((agreed.server_name, agreed.verified), (DOMAIN, True))
        self.assertEqual(client.received, b"")
        heard = await self.asked(client, opening("client", to=DOMAIN), b"</stream:features>")
        self.assertIn(b"<mechanism>PLAIN</mechanism>", heard)
        self.assertNotIn(b"urn:ietf:params:xml:ns:xmpp-tls", heard)

    async def test_tls_at_once(self) -> None:
        """Who begins with TLS is told where it begins in the clear, and that works."""
        await self.advised(await self.serving())

    async def test_a_certificate_that_is_not_good(self) -> None:
        """A certificate for the host alone does not make it the server of a domain."""
        await self.distrusting(await self.serving(), starttls_name=ELSEWHERE)

    async def test_a_domain_that_is_not_served(self) -> None:
        """A server says that it does not know a domain, and the error shows it."""
        error = await self.failing(PeerLeft, await self.serving(), starttls_name="un.known")
        self.assertIn("host-unknown", str(error))

    async def test_a_server_without_tls(self) -> None:
        """It does not offer any, and says so in what it can do."""
        await self.failing(TLSNotOffered, await self.serving(tls=False))


class FederationTests(ProsodyTestCase):
    """Ours goes there as another server."""

    protocol = "xmpp-server"
    options: ClassVar = {"starttls_name": DOMAIN, "starttls_from": CALLER}

    async def test_a_stream_under_tls(self) -> None:
        """The domain is verified, and the guest begins a stream between servers."""
        client = await self.visiting(await self.serving())
        self.assertEqual(under_tls(client).server_name, DOMAIN)
        header = opening("server", to=DOMAIN, **{"from": CALLER})
        heard = await self.asked(client, header, b"</stream:features>")
        self.assertIn(b"urn:xmpp:features:dialback", heard)
        self.assertNotIn(b"urn:ietf:params:xml:ns:xmpp-tls", heard)

    async def test_tls_at_once(self) -> None:
        """Who begins with TLS is told where it begins in the clear, and that works."""
        await self.advised(await self.serving())


class NATSTests(ServerTestCase):
    """Ours goes to nats-server."""

    program = NATS
    protocol = "nats"

    async def serving(self, *, tls: bool = True) -> int:
        """Start it; its port."""
        pem = certificates.site()
        with_tls = f'tls {{ cert_file: "{pem}", key_file: "{pem}" }}' if tls else ""
        conf = self.folder() / "nats.conf"
        conf.write_text(NATS_CONF.format(tls=with_tls))
        peer = self.start("-c", str(conf))
        return int((await peer.prints(rb"connections on 127\.0\.0\.1:(\d+)\n"))[1])

    async def test_messages_under_tls(self) -> None:
        """The guest hears what it needs to log in, and then its own message."""
        client = await self.visiting(await self.serving())
        self.assertTrue(under_tls(client).verified)
        verb, info = (await client.heard(b"\r\n")).split(b" ", 1)
        self.assertEqual(verb, b"INFO")
        self.assertTrue(json.loads(info)["auth_required"])
        self.assertNotIn("tls_required", json.loads(info))
        await self.asked(client, LOGIN + b"PING\r\n", b"PONG\r\n")
        await self.asked(client, b"SUB a 1\r\nPUB a 5\r\nhello\r\n", b"MSG a 1 5\r\nhello\r\n")

    async def test_tls_at_once(self) -> None:
        """Who begins with TLS is told where it begins in the clear, and that works."""
        await self.advised(await self.serving())

    async def test_a_login_that_is_refused(self) -> None:
        """With another password, the guest hears so, under TLS."""
        client = await self.visiting(await self.serving())
        login = b'CONNECT {"user":"joe","pass":"wrong"}\r\n'
        await self.asked(client, login, b"-ERR 'Authorization Violation'\r\n")

    async def test_a_certificate_that_is_not_good(self) -> None:
        """There is no guest for a server that is another, or that no one vouches for."""
        await self.distrusting(await self.serving(), peer_name=ELSEWHERE)

    async def test_a_server_without_tls(self) -> None:
        """It offers none, and the guest may go on in the clear where that was said."""
        port = await self.serving(tls=False)
        await self.failing(TLSNotOffered, port)
        client = await self.visiting(port, starttls_policy="may")
        await self.asked(client, LOGIN + b"PING\r\n", b"PONG\r\n")
