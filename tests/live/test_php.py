"""PHP's streams, whose scheme and option names are ours too, with our clients and servers."""

from __future__ import annotations

import json
from typing import Any, Final, cast

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.protocol import DatagramProtocol, Factory

import txtransport
from tests import certificates
from tests.live.mail import MailClient, MailServer, MailServers
from tests.live.peers import PATIENCE, PHP, Peer, PeerTestCase, under_tls
from tests.loopback import Recorder, Recorders
from txtransport.errors import HandshakeFailed, PlaintextInjected, TransportError, TransportTimeout
from txtransport.testing.devcert import Authority

SCHEMES: Final = {
    "tls": "TLSv1.3",
    "ssl": "TLSv1.3",
    "tlsv1.2": "TLSv1.2",
    "tlsv1.3": "TLSv1.3",
}
"""The TLS schemes that PHP and txtransport both have, and the version that each leads to."""
OLD_SCHEMES: Final = {"tlsv1.0": "TLSv1", "tlsv1.1": "TLSv1.1"}

CLIENT: Final = r"""
    $context = stream_context_create(["ssl" => $options]);
    $stream = stream_socket_client($uri, $code, $reason, 5, STREAM_CLIENT_CONNECT, $context);
    if (!$stream) exit("refused\n");
    show("crypto", stream_get_meta_data($stream)["crypto"] ?? null);
    fwrite($stream, "from PHP\n");
    show("heard", fgets($stream));
    fgets(STDIN);
"""
"""Sends a line, receives a line, and stays connected until a line is typed."""

SERVER: Final = r"""
    $context = stream_context_create(["ssl" => $options]);
    $flags = STREAM_SERVER_BIND | STREAM_SERVER_LISTEN;
    $server = stream_socket_server($uri, $code, $reason, $flags, $context);
    show("listening", stream_socket_get_name($server, false));
    while (true) {
        $stream = stream_socket_accept($server, 8);
        if (!$stream) continue;
        show("crypto", stream_get_meta_data($stream)["crypto"] ?? null);
        while (($line = fgets($stream)) !== false) fwrite($stream, "back: $line");
        show("over", feof($stream));
        fclose($stream);
    }
"""
"""Sends each line back, to one client after the other."""


class PHPTestCase(PeerTestCase):
    """A test with the ``php`` command."""

    program = PHP

    def script(self, code: str, **variables: Any) -> Peer:
        """Run a PHP script, in which ``show($name, $value)`` prints a value as JSON.

        Args:
            code: The script.
            **variables: Become variables of the script.
        """
        show = 'function show($name, $value) { echo "$name: ", json_encode($value), "\\n"; }'
        given = "extract(json_decode($argv[1], true));"
        return self.start(
            "-d", "display_errors=stderr", "-r", show + given + code, "--", json.dumps(variables)
        )  # fmt: skip

    async def shown(self, peer: Peer, name: str) -> Any:
        """The value that a script shows with that name."""
        return json.loads((await peer.prints(rb"^%b: (.*)\n" % name.encode()))[1])


class ClientTestCase(PHPTestCase):
    """PHP connects to a server of ours."""

    def setUp(self) -> None:
        super().setUp()
        self.factory = Recorders()

    async def start_server(self, scheme: str, **options: Any) -> int:
        """Listen; return the port."""
        return await self.listening(f"{scheme}://127.0.0.1:0", self.factory, **options)

    async def accept_client(self, uri: str, **options: Any) -> tuple[Peer, Recorder]:
        """Start a client that sends a line and receives one; return it and our protocol."""
        arriving = self.factory.next().addTimeout(PATIENCE, self.reactor)
        peer = self.script(CLIENT, uri=uri, options={"cafile": certificates.cafile(), **options})
        protocol = await arriving
        await protocol.heard(b"from PHP\n")
        protocol.say(b"from us\n")
        self.assertEqual(await self.shown(peer, "heard"), "from us\n")
        return peer, protocol


class ClientTests(ClientTestCase):
    """PHP's stream_socket_client, and our servers."""

    async def test_plain_schemes_mean_the_same(self) -> None:
        """tcp:// and unix:// mean the same to both sides."""
        path = str(self.folder() / "s")
        await self.listening(f"unix://{path}", self.factory)
        port = await self.start_server("tcp")
        for uri in (f"tcp://127.0.0.1:{port}", f"unix://{path}"):
            peer, protocol = await self.accept_client(uri)
            self.assertIsNone(await self.shown(peer, "crypto"))
            peer.type(b"go\n")
            (await protocol.gone()).trap(ConnectionDone)

    async def test_tls_schemes_mean_the_same(self) -> None:
        """PHP's scheme and ours of the same name agree on version, cipher and ALPN."""
        for scheme, version in SCHEMES.items():
            port = await self.start_server(
                scheme, local_cert=certificates.site(), alpn_protocols="imap,h2"
            )
            uri = f"{scheme}://localhost:{port}"
            peer, protocol = await self.accept_client(uri, alpn_protocols="h2,imap")
            crypto, agreed = await self.shown(peer, "crypto"), under_tls(protocol)
            self.assertEqual((crypto["protocol"], agreed.version), (version, version))
            self.assertEqual(crypto["cipher_name"], agreed.cipher)
            self.assertEqual((crypto["alpn_protocol"], agreed.alpn_protocol), ("imap", "imap"))
            self.assertEqual(agreed.server_name, "localhost")
            peer.type(b"go\n")
            (await protocol.gone()).trap(ConnectionDone)

    async def test_old_schemes_mean_the_same(self) -> None:
        """tlsv1.0:// and tlsv1.1:// work with a client whose security level is 0."""
        for scheme, version in OLD_SCHEMES.items():
            port = await self.start_server(scheme, local_cert=certificates.site())
            peer, protocol = await self.accept_client(
                f"{scheme}://localhost:{port}", security_level=0
            )
            crypto = await self.shown(peer, "crypto")
            self.assertEqual((crypto["protocol"], under_tls(protocol).version), (version, version))

    async def test_an_address_sent_as_a_name_is_accepted(self) -> None:
        """PHP sends addresses as names, which RFC 6066 forbids, and is served all the same."""
        port = await self.start_server(
            "tls",
            local_cert=certificates.site(),
            SNI_server_certs={"localhost": certificates.site()},
        )
        _, protocol = await self.accept_client(f"tls://127.0.0.1:{port}")
        self.assertEqual(under_tls(protocol).server_name, "127.0.0.1")

    async def test_a_killed_client_is_not_a_clean_end(self) -> None:
        """A client that is killed may have had more to send."""
        for scheme in ("tlsv1.2", "tlsv1.3"):
            port = await self.start_server(scheme, local_cert=certificates.site())
            peer, protocol = await self.accept_client(f"{scheme}://localhost:{port}")
            peer.kill()
            (await protocol.gone()).trap(ConnectionLost)

    async def test_local_cert_of_php_is_verified(self) -> None:
        """PHP's local_cert satisfies our verify_peer."""
        port = await self.start_server(
            "tls", local_cert=certificates.site(), verify_peer="yes", cafile=certificates.cafile()
        )
        uri = f"tls://localhost:{port}"
        _, protocol = await self.accept_client(uri, local_cert=certificates.client())
        agreed = under_tls(protocol)
        assert agreed.peer_certificate is not None
        subject = agreed.peer_certificate.subject.rfc4514_string()
        self.assertEqual((subject, agreed.verified), ("CN=client.example", True))

    async def test_a_client_that_does_not_trust_us_is_logged(self) -> None:
        """PHP's warning does not say why it refused our certificate; our log does."""
        untrusted = certificates.written("untrusted-ca.pem", Authority.create().pem)
        port = await self.start_server("tls", local_cert=certificates.site())
        refusal = self.refusal()
        peer = self.script(CLIENT, uri=f"tls://localhost:{port}", options={"cafile": untrusted})
        await peer.prints(rb"^refused$")
        error = await refusal
        self.assertEqual(error.cause, "peer-alert")
        self.assertIn("the client refused our certificate", str(error))
        self.assertEqual(self.factory.all, [])

    async def test_plain_text_is_refused(self) -> None:
        """PHP's tcp:// at a TLS port reaches no protocol."""
        port = await self.start_server("tls", local_cert=certificates.site())
        refusal = self.refusal()
        peer = self.script(CLIENT, uri=f"tcp://127.0.0.1:{port}", options=[])
        self.assertIs(await self.shown(peer, "heard"), False)
        self.assertEqual((await refusal).cause, "plaintext-peer")
        self.assertEqual(self.factory.all, [])

    async def test_plain_text_after_tls_is_never_delivered(self) -> None:
        """What PHP sends after it has switched TLS off is never taken for encrypted."""
        port = await self.start_server("tls", local_cert=certificates.site())
        arriving = self.factory.next().addTimeout(PATIENCE, self.reactor)
        peer = self.script(
            r"""
            $context = stream_context_create(["ssl" => ["cafile" => $cafile]]);
            $stream = stream_socket_client("tls://localhost:$port", context: $context);
            fwrite($stream, "encrypted\n");
            stream_socket_enable_crypto($stream, false);
            show("wrote", fwrite($stream, "in the clear\n"));
            fgets(STDIN);
            """,
            port=port,
            cafile=certificates.cafile(),
        )
        protocol = await arriving
        (await protocol.gone()).trap(ConnectionDone)
        self.assertEqual(await self.shown(peer, "wrote"), len("in the clear\n"))
        self.assertEqual(protocol.received, b"encrypted\n")


class ServerTests(PHPTestCase):
    """PHP's stream_socket_server, and our clients."""

    async def start_server(self, uri: str, **options: Any) -> tuple[Peer, str]:
        """Start a server; return it and its port."""
        peer = self.script(SERVER, uri=uri, options={"local_cert": certificates.site(), **options})
        return peer, str(await self.shown(peer, "listening")).rpartition(":")[2]

    async def exchange(self, client: Recorder) -> None:
        """A line goes to the server and comes back."""
        client.say(b"from us\n")
        await client.heard(b"back: from us\n")

    async def connect_error(self, url: str, **options: Any) -> TransportError:
        """The error of a client that cannot connect."""
        endpoint = txtransport.client(self.reactor, url, cafile=certificates.cafile(), **options)
        connecting = cast(Any, endpoint.connect(Factory.forProtocol(Recorder)))
        return cast(TransportError, await self.assertFailure(connecting, TransportError))

    async def test_plain_schemes_mean_the_same(self) -> None:
        """tcp:// and unix:// mean the same to both sides."""
        path = str(self.folder() / "s")
        _, port = await self.start_server("tcp://127.0.0.1:0")
        await self.start_server(f"unix://{path}")
        for url in (f"tcp://127.0.0.1:{port}", f"unix://{path}"):
            await self.exchange(await self.connected(url))

    async def test_tls_schemes_mean_the_same(self) -> None:
        """Our scheme and PHP's of the same name agree on version, cipher and ALPN."""
        for scheme, version in SCHEMES.items():
            peer, port = await self.start_server(
                f"{scheme}://127.0.0.1:0", alpn_protocols="imap,h2"
            )
            client = await self.connected(
                f"{scheme}://localhost:{port}?alpn_protocols=h2,imap", cafile=certificates.cafile()
            )
            await self.exchange(client)
            crypto, agreed = await self.shown(peer, "crypto"), under_tls(client)
            self.assertEqual((crypto["protocol"], agreed.version), (version, version))
            self.assertEqual(crypto["cipher_name"], agreed.cipher)
            self.assertEqual((crypto["alpn_protocol"], agreed.alpn_protocol), ("imap", "imap"))
            self.assertTrue(agreed.verified)

    async def test_old_schemes_mean_the_same(self) -> None:
        """tlsv1.0:// and tlsv1.1:// work with a server whose security level is 0."""
        for scheme, version in OLD_SCHEMES.items():
            peer, port = await self.start_server(f"{scheme}://127.0.0.1:0", security_level=0)
            client = await self.connected(
                f"{scheme}://localhost:{port}", cafile=certificates.cafile()
            )
            await self.exchange(client)
            crypto = await self.shown(peer, "crypto")
            self.assertEqual((crypto["protocol"], under_tls(client).version), (version, version))

    async def test_loseconnection_is_the_end_of_the_stream(self) -> None:
        """PHP sees the end of our data, and serves the next client."""
        peer, port = await self.start_server("tls://127.0.0.1:0")
        for count in (1, 2):
            client = await self.connected(f"tls://localhost:{port}", cafile=certificates.cafile())
            await self.exchange(client)
            # PHP 8.2 never resumes a session; it always makes a full handshake.
            self.assertIs(under_tls(client).resumed, False)
            assert client.transport is not None
            client.transport.loseConnection()
            (await client.gone()).trap(ConnectionDone)
            await peer.prints(rb"(?s)(over: true\n.*){%d}" % count)

    async def test_a_killed_server_is_not_a_clean_end(self) -> None:
        """A server that is killed may have had more to send."""
        for scheme in ("tlsv1.2", "tlsv1.3"):
            peer, port = await self.start_server(f"{scheme}://127.0.0.1:0")
            client = await self.connected(
                f"{scheme}://localhost:{port}", cafile=certificates.cafile()
            )
            await self.exchange(client)
            peer.kill()
            (await client.gone()).trap(ConnectionLost)

    async def test_a_wrong_name_is_refused(self) -> None:
        """A certificate for another name is refused."""
        pem = certificates.issued("other.pem", "other.example")
        _, port = await self.start_server("tls://127.0.0.1:0", local_cert=pem)
        error = await self.connect_error(f"tls://localhost:{port}")
        self.assertEqual(getattr(error, "cause", None), "wrong-name")

    async def test_a_greeting_in_the_clear_is_recognized(self) -> None:
        """A mail server on a port without TLS is recognized, and the error says what to do."""
        peer = self.script(GREETS, greeting="220 mx.example ESMTP\r\n")
        error = await self.connect_error(f"tls://localhost:{await self.shown(peer, 'port')}")
        self.assertEqual(getattr(error, "cause", None), "plaintext-peer")
        self.assertIn("starttls=smtp", str(error))

    async def test_a_silent_server_has_until_the_deadline(self) -> None:
        """A server that waits for us, while we wait for it, has until the deadline."""
        peer = self.script(GREETS, greeting="")
        url = f"tls://localhost:{await self.shown(peer, 'port')}?timeout=0.2"
        error = await self.connect_error(url)
        assert isinstance(error, TransportTimeout)
        self.assertEqual((error.stage, error.seconds), ("handshake", 0.2))


GREETS: Final = r"""
    $server = stream_socket_server("tcp://127.0.0.1:0");
    show("port", (int) substr(strrchr(stream_socket_get_name($server, false), ":"), 1));
    $stream = stream_socket_accept($server, 8);
    fwrite($stream, $greeting);
    fgets(STDIN);
"""
"""Sends a greeting in the clear, and waits."""


class Datagrams(DatagramProtocol):
    """Receives datagrams.

    Args:
        answers: Whether each datagram is answered.

    Attributes:
        first: Fires with the first datagram.
    """

    def __init__(self, *, answers: bool) -> None:
        self.first: Deferred[bytes] = Deferred()
        self._answers = answers

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        if not self.first.called:
            self.first.callback(datagram)
        if self._answers:
            cast(Any, self.transport).write(b"back: " + datagram, addr)


class DatagramTests(PHPTestCase):
    """PHP's udp:// and ours."""

    async def test_a_datagram_of_php_is_answered(self) -> None:
        """A datagram from PHP arrives, and the answer goes back."""
        protocol = Datagrams(answers=True)
        endpoint = txtransport.datagram(self.reactor, "udp://127.0.0.1:0")
        port = self.adopt(await endpoint.listen(protocol))
        peer = self.script(
            r"""
            $stream = stream_socket_client("udp://127.0.0.1:$port");
            fwrite($stream, "from PHP");
            show("heard", fread($stream, 100));
            """,
            port=port,
        )
        self.assertEqual(await protocol.first, b"from PHP")
        self.assertEqual(await self.shown(peer, "heard"), "back: from PHP")

    async def test_php_answers_our_datagram(self) -> None:
        """A datagram from us arrives, and the answer comes back."""
        peer = self.script(
            r"""
            $server = stream_socket_server("udp://127.0.0.1:0", flags: STREAM_SERVER_BIND);
            show("listening", stream_socket_get_name($server, false));
            $heard = stream_socket_recvfrom($server, 100, 0, $from);
            stream_socket_sendto($server, "back: $heard", 0, $from);
            """
        )
        protocol = Datagrams(answers=False)
        url = f"udp://{await self.shown(peer, 'listening')}"
        transport: Any = await txtransport.datagram(self.reactor, url).connect(protocol)
        self.addCleanup(transport.stopListening)
        transport.write(b"from us")
        self.assertEqual(await protocol.first, b"back: from us")


class StartTLSClientTests(PHPTestCase):
    """PHP's stream_socket_enable_crypto, and a mail server with `StartTLSMixin`."""

    async def run_client(self, code: str) -> tuple[Peer, MailServer]:
        """Run a client that sends EHLO in the clear; return it, ended, and the server's side.

        Args:
            code: What it does after EHLO, with ``$stream``.
        """
        servers = MailServers()
        endpoint = txtransport.server(self.reactor, "tcp://127.0.0.1:0")
        port = self.adopt(await endpoint.listen(servers))
        peer = self.script(
            r"""
            $context = stream_context_create(["ssl" => ["cafile" => $cafile]]);
            $stream = stream_socket_client("tcp://localhost:$port", context: $context);
            fgets($stream);
            fwrite($stream, "EHLO client.example\r\n");
            fgets($stream);
            fgets($stream);
            """
            + code,
            port=port,
            cafile=certificates.cafile(),
        )
        await peer.exits()
        (server,) = servers.all
        await server.lost
        return peer, server

    async def test_only_what_follows_the_upgrade_is_encrypted(self) -> None:
        """Lines before the upgrade were in the clear, lines after it not, and none is lost."""
        peer, server = await self.run_client(
            r"""
            fwrite($stream, "STARTTLS\r\n");
            show("ahead", fgets($stream));
            $method = STREAM_CRYPTO_METHOD_TLS_CLIENT;
            show("switched", stream_socket_enable_crypto($stream, true, $method));
            fwrite($stream, "EHLO again\r\n");
            fgets($stream);
            show("heard", fgets($stream));
            """
        )
        self.assertEqual(self.successResultOf(server.secured).version, "TLSv1.3")
        self.assertIs(await self.shown(peer, "switched"), True)
        self.assertEqual(await self.shown(peer, "heard"), "250 SIZE 1000\r\n")
        heard = [(b"EHLO client.example", False), (b"STARTTLS", False), (b"EHLO again", True)]
        self.assertEqual(server.heard, heard)

    async def test_a_command_after_starttls_is_never_executed(self) -> None:
        """What PHP sends after STARTTLS is never executed, and there is no go-ahead."""
        peer, server = await self.run_client(
            r"""
            fwrite($stream, "STARTTLS\r\nMAIL FROM:<pipelined>\r\n");
            show("ahead", fgets($stream));
            """
        )
        self.assertIs(await self.shown(peer, "ahead"), False)
        error = self.failureResultOf(server.secured, PlaintextInjected).value
        self.assertEqual(error.received, b"MAIL FROM:<pipelined>\r\n")
        self.assertEqual([line for line, _ in server.heard], [b"EHLO client.example", b"STARTTLS"])

    async def test_plain_text_after_a_failed_upgrade_is_never_executed(self) -> None:
        """What PHP sends in the clear after its own upgrade failed is never executed."""
        _, server = await self.run_client(
            r"""
            fwrite($stream, "STARTTLS\r\n");
            fgets($stream);
            stream_context_set_option($stream, "ssl", "peer_name", "elsewhere.example");
            $method = STREAM_CRYPTO_METHOD_TLS_CLIENT;
            show("switched", stream_socket_enable_crypto($stream, true, $method));
            show("wrote", fwrite($stream, "MAIL FROM:<in-the-clear>\r\n"));
            """
        )
        self.assertNotIn(b"MAIL FROM:<in-the-clear>", [line for line, _ in server.heard])


class StartTLSServerTests(PHPTestCase):
    """PHP's stream_socket_enable_crypto, and a mail client with `StartTLSMixin`."""

    async def connect_to_script(self, code: str) -> tuple[Peer, MailClient]:
        """Connect a client to a script that serves SMTP; return the script and the client.

        Args:
            code: What the server does when it has received STARTTLS, with
                ``$stream``; ``$method`` is PHP's constant for servers.
        """
        peer = self.script(
            r"""
            $context = stream_context_create(["ssl" => ["local_cert" => $pem]]);
            $flags = STREAM_SERVER_BIND | STREAM_SERVER_LISTEN;
            $server = stream_socket_server("tcp://127.0.0.1:0", $c, $r, $flags, $context);
            show("listening", stream_socket_get_name($server, false));
            $stream = stream_socket_accept($server, 8);
            $method = STREAM_CRYPTO_METHOD_TLS_SERVER;
            fwrite($stream, "220 mx.example ESMTP\r\n");
            fgets($stream);
            fwrite($stream, "250-mx.example\r\n250 STARTTLS\r\n");
            fgets($stream);
            """
            + code,
            pem=certificates.site(),
        )
        url = f"tcp://{await self.shown(peer, 'listening')}"
        connecting = txtransport.client(self.reactor, url).connect(Factory.forProtocol(MailClient))
        client = await connecting
        self.addCleanup(self.ended, client)
        return peer, client

    def ended(self, client: MailClient) -> Deferred[None]:
        """End the connection; fires when it is over."""
        client.abort()
        return client.lost

    async def test_only_what_follows_the_upgrade_is_encrypted(self) -> None:
        """Lines before the upgrade were in the clear, lines after it were not."""
        _, client = await self.connect_to_script(
            r"""
            fwrite($stream, "220 Go ahead\r\n");
            show("switched", stream_socket_enable_crypto($stream, true, $method));
            fwrite($stream, strtoupper(fgets($stream)));
            fgets(STDIN);
            """
        )
        agreed = await client.secured
        self.assertEqual((agreed.version, agreed.verified), ("TLSv1.3", True))
        self.assertEqual(agreed.server_name, "localhost")
        client.say(b"ehlo again")
        await client.hears(b"EHLO AGAIN")
        self.assertEqual(client.heard[-2:], [(b"220 Go ahead", False), (b"EHLO AGAIN", True)])

    async def test_a_reply_after_the_go_ahead_is_never_delivered(self) -> None:
        """A reply that was sent ahead of TLS is never delivered, and TLS is not begun."""
        peer, client = await self.connect_to_script(
            r"""
            fwrite($stream, "220 Go ahead\r\n250 sent ahead\r\n");
            show("hello", fread($stream, 1000));
            """
        )
        error = await self.assertFailure(cast(Any, client.secured), PlaintextInjected)
        self.assertEqual(error.received, b"250 sent ahead\r\n")
        self.assertEqual(client.heard[-1], (b"220 Go ahead", False))
        self.assertIn(await self.shown(peer, "hello"), (False, ""))

    async def test_a_reply_in_place_of_tls_is_never_delivered(self) -> None:
        """What a server sends in the clear after the go-ahead is never delivered."""
        _, client = await self.connect_to_script(
            r"""
            fwrite($stream, "220 Go ahead\r\n");
            fread($stream, 1000);
            fwrite($stream, "250 still in the clear\r\n");
            fgets(STDIN);
            """
        )
        error = await self.assertFailure(cast(Any, client.secured), HandshakeFailed)
        self.assertEqual(error.cause, "plaintext-peer")
        self.assertEqual(client.heard[-1], (b"220 Go ahead", False))
