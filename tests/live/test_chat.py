"""Our clients at Prosody (XMPP) and nats-server (NATS)."""

from __future__ import annotations

import json
from typing import ClassVar, Final

from tests import certificates
from tests.live.peers import Program, under_tls
from tests.live.starttls import ELSEWHERE, ServerTestCase
from txtransport.errors import PeerLeft, TLSNotOffered

PROSODY: Final = Program("prosody", ("--help",), r"prosody \[")
NATS: Final = Program("nats-server", ("--version",), r"nats-server: v2\.")

DOMAIN: Final = "good.example"
"""A domain in Prosody's certificate, which is also for localhost."""

CALLER: Final = "calling.example"
"""The domain of our side in a stream between servers."""

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
"""Makes Prosody accept logins without TLS."""

NATS_CONF: Final = """
listen: "127.0.0.1:-1"
authorization {{ user: "joe", password: "open sesame" }}
{tls}
"""

LOGIN: Final = b'CONNECT {"user":"joe","pass":"open sesame","verbose":false}\r\n'


def stream_header(kind: str, **names: str) -> bytes:
    """The header that opens an XMPP stream."""
    attributes = "".join(f" {name}='{value}'" for name, value in names.items())
    return (
        f"<?xml version='1.0'?><stream:stream xmlns='jabber:{kind}'{attributes} version='1.0' "
        "xmlns:stream='http://etherx.jabber.org/streams'>"
    ).encode()


class ProsodyTestCase(ServerTestCase):
    """A client of ours connects to Prosody, which serves two domains with a certificate for one."""

    program = PROSODY

    async def start_server(self, *, tls: bool = True) -> int:
        """Start Prosody; return the port for this protocol."""
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
    """A client of ours connects to Prosody as an XMPP client."""

    protocol = "xmpp"
    options: ClassVar = {"starttls_name": DOMAIN}

    async def test_a_stream_starts_again_under_tls(self) -> None:
        """The domain is verified, not the host; the application opens its own stream."""
        client = await self.connect(await self.start_server())
        agreed = under_tls(client)
        self.assertEqual((agreed.server_name, agreed.verified), (DOMAIN, True))
        self.assertEqual(client.received, b"")
        heard = await self.ask(client, stream_header("client", to=DOMAIN), b"</stream:features>")
        self.assertIn(b"<mechanism>PLAIN</mechanism>", heard)
        self.assertNotIn(b"urn:ietf:params:xml:ns:xmpp-tls", heard)

    async def test_implicit_tls_is_advised_to_use_starttls(self) -> None:
        """A probe that begins with TLS is advised to use starttls=, and that works."""
        await self.assert_advised(await self.start_server())

    async def test_a_certificate_for_the_host_is_not_enough(self) -> None:
        """A certificate for the host alone does not make it the server of a domain."""
        await self.assert_distrusted(await self.start_server(), starttls_name=ELSEWHERE)

    async def test_an_unknown_domain_is_reported(self) -> None:
        """When the server does not serve the domain, the error shows what it said."""
        error = await self.connect_error(
            PeerLeft, await self.start_server(), starttls_name="un.known"
        )
        self.assertIn("host-unknown", str(error))

    async def test_a_server_without_tls_is_refused(self) -> None:
        """A server that does not offer STARTTLS is refused."""
        await self.connect_error(TLSNotOffered, await self.start_server(tls=False))


class FederationTests(ProsodyTestCase):
    """A client of ours connects to Prosody as another server."""

    protocol = "xmpp-server"
    options: ClassVar = {"starttls_name": DOMAIN, "starttls_from": CALLER}

    async def test_a_server_stream_starts_again_under_tls(self) -> None:
        """The domain is verified, and the application opens a stream between servers."""
        client = await self.connect(await self.start_server())
        self.assertEqual(under_tls(client).server_name, DOMAIN)
        header = stream_header("server", to=DOMAIN, **{"from": CALLER})
        heard = await self.ask(client, header, b"</stream:features>")
        self.assertIn(b"urn:xmpp:features:dialback", heard)
        self.assertNotIn(b"urn:ietf:params:xml:ns:xmpp-tls", heard)

    async def test_implicit_tls_is_advised_to_use_starttls(self) -> None:
        """A probe that begins with TLS is advised to use starttls=, and that works."""
        await self.assert_advised(await self.start_server())


class NATSTests(ServerTestCase):
    """A client of ours connects to nats-server."""

    program = NATS
    protocol = "nats"

    async def start_server(self, *, tls: bool = True) -> int:
        """Start nats-server; return its port."""
        pem = certificates.site()
        with_tls = f'tls {{ cert_file: "{pem}", key_file: "{pem}" }}' if tls else ""
        conf = self.folder() / "nats.conf"
        conf.write_text(NATS_CONF.format(tls=with_tls))
        peer = self.start("-c", str(conf))
        return int((await peer.prints(rb"connections on 127\.0\.0\.1:(\d+)\n"))[1])

    async def test_messages_are_exchanged_under_tls(self) -> None:
        """The application receives the INFO that it needs to log in, and then its own message."""
        client = await self.connect(await self.start_server())
        self.assertTrue(under_tls(client).verified)
        verb, info = (await client.heard(b"\r\n")).split(b" ", 1)
        self.assertEqual(verb, b"INFO")
        self.assertTrue(json.loads(info)["auth_required"])
        self.assertNotIn("tls_required", json.loads(info))
        await self.ask(client, LOGIN + b"PING\r\n", b"PONG\r\n")
        await self.ask(client, b"SUB a 1\r\nPUB a 5\r\nhello\r\n", b"MSG a 1 5\r\nhello\r\n")

    async def test_implicit_tls_is_advised_to_use_starttls(self) -> None:
        """A probe that begins with TLS is advised to use starttls=, and that works."""
        await self.assert_advised(await self.start_server())

    async def test_a_refused_login_is_heard_by_the_application(self) -> None:
        """With a wrong password, the application receives the refusal, under TLS."""
        client = await self.connect(await self.start_server())
        login = b'CONNECT {"user":"joe","pass":"wrong"}\r\n'
        await self.ask(client, login, b"-ERR 'Authorization Violation'\r\n")

    async def test_a_bad_certificate_is_refused(self) -> None:
        """A server with another name or an unknown issuer is refused."""
        await self.assert_distrusted(await self.start_server(), peer_name=ELSEWHERE)

    async def test_a_server_without_tls_needs_starttls_policy_may(self) -> None:
        """Without TLS the connection fails, and goes on in the clear with starttls_policy=may."""
        port = await self.start_server(tls=False)
        await self.connect_error(TLSNotOffered, port)
        client = await self.connect(port, starttls_policy="may")
        await self.ask(client, LOGIN + b"PING\r\n", b"PONG\r\n")
