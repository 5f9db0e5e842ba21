"""PHP's streams, whose names and options ours are, in conversation with ours."""

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
"""The schemes for TLS that PHP and we both have, and the version that comes of each."""
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
"""Says a line, hears a line, and stays until it is told to go."""

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
"""Says back each line that it hears, to one client after the other."""


class PHPTestCase(PeerTestCase):
    """A test with the ``php`` command."""

    program = PHP

    def script(self, code: str, **variables: Any) -> Peer:
        """Run a script; ``show()`` in it prints a name and a value.

        Args:
            code: PHP.
            **variables: What it finds in variables of those names.
        """
        show = 'function show($name, $value) { echo "$name: ", json_encode($value), "\\n"; }'
        given = "extract(json_decode($argv[1], true));"
        return self.start(
            "-d", "display_errors=stderr", "-r", show + given + code, "--", json.dumps(variables)
        )  # fmt: skip

    async def shown(self, peer: Peer, name: str) -> Any:
        """What a script shows under that name."""
        return json.loads((await peer.prints(rb"^%b: (.*)\n" % name.encode()))[1])


class ClientTestCase(PHPTestCase):
    """PHP comes to ours."""

    def setUp(self) -> None:
        super().setUp()
        self.factory = Recorders()

    async def offering(self, scheme: str, **options: Any) -> int:
        """A server of ours; its port."""
        return await self.listening(f"{scheme}://127.0.0.1:0", self.factory, **options)

    async def conversing(self, uri: str, **options: Any) -> tuple[Peer, Recorder]:
        """A client that said its line and heard one."""
        arriving = self.factory.next().addTimeout(PATIENCE, self.reactor)
        peer = self.script(CLIENT, uri=uri, options={"cafile": certificates.cafile(), **options})
        protocol = await arriving
        await protocol.heard(b"from PHP\n")
        protocol.say(b"from us\n")
        self.assertEqual(await self.shown(peer, "heard"), "from us\n")
        return peer, protocol


class ClientTests(ClientTestCase):
    """PHP's stream_socket_client and our servers."""

    async def test_in_the_clear(self) -> None:
        """tcp:// and unix:// mean the same to both."""
        path = str(self.folder() / "s")
        await self.listening(f"unix://{path}", self.factory)
        port = await self.offering("tcp")
        for uri in (f"tcp://127.0.0.1:{port}", f"unix://{path}"):
            peer, protocol = await self.conversing(uri)
            self.assertIsNone(await self.shown(peer, "crypto"))
            peer.type(b"go\n")
            (await protocol.gone()).trap(ConnectionDone)

    async def test_every_scheme_of_tls(self) -> None:
        """A scheme of PHP's is understood by ours of the same name, to the cipher."""
        for scheme, version in SCHEMES.items():
            port = await self.offering(
                scheme, local_cert=certificates.site(), alpn_protocols="imap,h2"
            )
            uri = f"{scheme}://localhost:{port}"
            peer, protocol = await self.conversing(uri, alpn_protocols="h2,imap")
            crypto, agreed = await self.shown(peer, "crypto"), under_tls(protocol)
            self.assertEqual((crypto["protocol"], agreed.version), (version, version))
            self.assertEqual(crypto["cipher_name"], agreed.cipher)
            self.assertEqual((crypto["alpn_protocol"], agreed.alpn_protocol), ("imap", "imap"))
            self.assertEqual(agreed.server_name, "localhost")
            peer.type(b"go\n")
            (await protocol.gone()).trap(ConnectionDone)

    async def test_old_schemes(self) -> None:
        """TLS 1.0 and 1.1 are spoken by name, with a client that has its security level at 0."""
        for scheme, version in OLD_SCHEMES.items():
            port = await self.offering(scheme, local_cert=certificates.site())
            peer, protocol = await self.conversing(f"{scheme}://localhost:{port}", security_level=0)
            crypto = await self.shown(peer, "crypto")
            self.assertEqual((crypto["protocol"], under_tls(protocol).version), (version, version))

    async def test_an_address_asked_for_as_a_name(self) -> None:
        """PHP sends addresses as names, which RFC 6066 forbids, and is served all the same."""
        port = await self.offering(
            "tls",
            local_cert=certificates.site(),
            SNI_server_certs={"localhost": certificates.site()},
        )
        _, protocol = await self.conversing(f"tls://127.0.0.1:{port}")
        self.assertEqual(under_tls(protocol).server_name, "127.0.0.1")

    async def test_a_client_that_is_killed(self) -> None:
        """A client that is gone without a word has not said everything."""
        for scheme in ("tlsv1.2", "tlsv1.3"):
            port = await self.offering(scheme, local_cert=certificates.site())
            peer, protocol = await self.conversing(f"{scheme}://localhost:{port}")
            peer.kill()
            (await protocol.gone()).trap(ConnectionLost)

    async def test_a_client_with_a_certificate(self) -> None:
        """PHP's local_cert is what our verify_peer asks for."""
        port = await self.offering(
            "tls", local_cert=certificates.site(), verify_peer="yes", cafile=certificates.cafile()
        )
        uri = f"tls://localhost:{port}"
        _, protocol = await self.conversing(uri, local_cert=certificates.client())
        agreed = under_tls(protocol)
        assert agreed.peer_certificate is not None
        subject = agreed.peer_certificate.subject.rfc4514_string()
        self.assertEqual((subject, agreed.verified), ("CN=visitor.example", True))

    async def test_a_client_that_does_not_trust_us(self) -> None:
        """What PHP's warning leaves open, our log says: the client refused our certificate."""
        alien = certificates.written("alien-ca.pem", Authority.create().pem)
        port = await self.offering("tls", local_cert=certificates.site())
        refusal = self.refusal()
        peer = self.script(CLIENT, uri=f"tls://localhost:{port}", options={"cafile": alien})
        await peer.prints(rb"^refused$")
        error = await refusal
        self.assertEqual(error.cause, "peer-alert")
        self.assertIn("the client refused our certificate", str(error))
        self.assertEqual(self.factory.all, [])

    async def test_plain_text_is_refused(self) -> None:
        """PHP's tcp:// on a TLS port is heard by no guest."""
        port = await self.offering("tls", local_cert=certificates.site())
        refusal = self.refusal()
        peer = self.script(CLIENT, uri=f"tcp://127.0.0.1:{port}", options=[])
        self.assertIs(await self.shown(peer, "heard"), False)
        self.assertEqual((await refusal).cause, "plaintext-peer")
        self.assertEqual(self.factory.all, [])

    async def test_plain_text_after_tls(self) -> None:
        """What PHP sends when it has switched TLS off again is never taken for encrypted."""
        port = await self.offering("tls", local_cert=certificates.site())
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
    """PHP's stream_socket_server and our clients."""

    async def serving(self, uri: str, **options: Any) -> tuple[Peer, str]:
        """A server, and where it listens."""
        peer = self.script(SERVER, uri=uri, options={"local_cert": certificates.site(), **options})
        return peer, str(await self.shown(peer, "listening")).rpartition(":")[2]

    async def exchange(self, client: Recorder) -> None:
        """Something goes there and comes back."""
        client.say(b"from us\n")
        await client.heard(b"back: from us\n")

    async def failing(self, url: str, **options: Any) -> TransportError:
        """Why a client of ours does not get there."""
        endpoint = txtransport.client(self.reactor, url, cafile=certificates.cafile(), **options)
        connecting = cast(Any, endpoint.connect(Factory.forProtocol(Recorder)))
        return cast(TransportError, await self.assertFailure(connecting, TransportError))

    async def test_in_the_clear(self) -> None:
        """tcp:// and unix:// mean the same to both."""
        path = str(self.folder() / "s")
        _, port = await self.serving("tcp://127.0.0.1:0")
        await self.serving(f"unix://{path}")
        for url in (f"tcp://127.0.0.1:{port}", f"unix://{path}"):
            await self.exchange(await self.connected(url))

    async def test_every_scheme_of_tls(self) -> None:
        """A scheme of ours is understood by PHP's of the same name, to the cipher."""
        for scheme, version in SCHEMES.items():
            peer, port = await self.serving(f"{scheme}://127.0.0.1:0", alpn_protocols="imap,h2")
            client = await self.connected(
                f"{scheme}://localhost:{port}?alpn_protocols=h2,imap", cafile=certificates.cafile()
            )
            await self.exchange(client)
            crypto, agreed = await self.shown(peer, "crypto"), under_tls(client)
            self.assertEqual((crypto["protocol"], agreed.version), (version, version))
            self.assertEqual(crypto["cipher_name"], agreed.cipher)
            self.assertEqual((crypto["alpn_protocol"], agreed.alpn_protocol), ("imap", "imap"))
            self.assertTrue(agreed.verified)

    async def test_old_schemes(self) -> None:
        """TLS 1.0 and 1.1 are spoken by name, with a server that has its security level at 0."""
        for scheme, version in OLD_SCHEMES.items():
            peer, port = await self.serving(f"{scheme}://127.0.0.1:0", security_level=0)
            client = await self.connected(
                f"{scheme}://localhost:{port}", cafile=certificates.cafile()
            )
            await self.exchange(client)
            crypto = await self.shown(peer, "crypto")
            self.assertEqual((crypto["protocol"], under_tls(client).version), (version, version))

    async def test_our_farewell_is_understood(self) -> None:
        """PHP sees the end of what we say, and the next client finds a new conversation."""
        peer, port = await self.serving("tls://127.0.0.1:0")
        for count in (1, 2):
            client = await self.connected(f"tls://localhost:{port}", cafile=certificates.cafile())
            await self.exchange(client)
            # PHP 8.2 never takes a session up again, and is good for full handshakes.
            self.assertIs(under_tls(client).resumed, False)
            assert client.transport is not None
            client.transport.loseConnection()
            (await client.gone()).trap(ConnectionDone)
            await peer.prints(rb"(?s)(over: true\n.*){%d}" % count)

    async def test_a_server_that_is_killed(self) -> None:
        """A server that is gone without a word has not said everything."""
        for scheme in ("tlsv1.2", "tlsv1.3"):
            peer, port = await self.serving(f"{scheme}://127.0.0.1:0")
            client = await self.connected(
                f"{scheme}://localhost:{port}", cafile=certificates.cafile()
            )
            await self.exchange(client)
            peer.kill()
            (await client.gone()).trap(ConnectionLost)

    async def test_a_certificate_for_someone_else(self) -> None:
        """A certificate of another name is refused."""
        pem = certificates.issued("other.pem", "other.example")
        _, port = await self.serving("tls://127.0.0.1:0", local_cert=pem)
        error = await self.failing(f"tls://localhost:{port}")
        self.assertEqual(getattr(error, "cause", None), "wrong-name")

    async def test_a_server_that_greets_in_the_clear(self) -> None:
        """A mail server on a port without TLS is recognised, and the error says what to do."""
        peer = self.script(GREETS, greeting="220 mx.example ESMTP\r\n")
        error = await self.failing(f"tls://localhost:{await self.shown(peer, 'port')}")
        self.assertEqual(getattr(error, "cause", None), "plaintext-peer")
        self.assertIn("starttls=smtp", str(error))

    async def test_a_server_that_says_nothing(self) -> None:
        """A server that waits for us, as we for it, has until the deadline."""
        peer = self.script(GREETS, greeting="")
        url = f"tls://localhost:{await self.shown(peer, 'port')}?timeout=0.2"
        error = await self.failing(url)
        assert isinstance(error, TransportTimeout)
        self.assertEqual((error.stage, error.seconds), ("handshake", 0.2))


GREETS: Final = r"""
    $server = stream_socket_server("tcp://127.0.0.1:0");
    show("port", (int) substr(strrchr(stream_socket_get_name($server, false), ":"), 1));
    $stream = stream_socket_accept($server, 8);
    fwrite($stream, $greeting);
    fgets(STDIN);
"""
"""Says something in the clear, and waits."""


class Datagrams(DatagramProtocol):
    """Answers each datagram, if it is to, and fires with the first.

    Args:
        answers: Whether to answer.
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

    async def test_php_asks(self) -> None:
        """A datagram of PHP's arrives, and the answer goes back."""
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

    async def test_php_answers(self) -> None:
        """A datagram of ours arrives, and the answer comes back."""
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
    """PHP's stream_socket_enable_crypto and a mail server on the mixin."""

    async def coming(self, code: str) -> tuple[Peer, MailServer]:
        """A client that was greeted and said EHLO in the clear, and the server's side.

        Args:
            code: What it does then, with ``$stream``.
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

    async def test_the_switch(self) -> None:
        """What is said before is in the clear, what is said after is not, and nothing is lost."""
        peer, server = await self.coming(
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

    async def test_a_command_behind_the_request(self) -> None:
        """What PHP pipelines behind STARTTLS is never done, and there is no go-ahead."""
        peer, server = await self.coming(
            r"""
            fwrite($stream, "STARTTLS\r\nMAIL FROM:<pipelined>\r\n");
            show("ahead", fgets($stream));
            """
        )
        self.assertIs(await self.shown(peer, "ahead"), False)
        error = self.failureResultOf(server.secured, PlaintextInjected).value
        self.assertEqual(error.received, b"MAIL FROM:<pipelined>\r\n")
        self.assertEqual([line for line, _ in server.heard], [b"EHLO client.example", b"STARTTLS"])

    async def test_plain_text_after_a_switch_that_failed(self) -> None:
        """What PHP goes on to send in the clear when its own switch failed is never done."""
        _, server = await self.coming(
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
    """PHP's stream_socket_enable_crypto and a mail client on the mixin."""

    async def going(self, code: str) -> tuple[Peer, MailClient]:
        """A server that is asked for STARTTLS, and the client's side.

        Args:
            code: What it does then, with ``$stream``; ``$method`` is PHP's for
                servers.
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
        client = cast(MailClient, await connecting)
        self.addCleanup(self.over, client)
        return peer, client

    def over(self, client: MailClient) -> Deferred[None]:
        """End the conversation; fires when it is over."""
        client.abort()
        return client.lost

    async def test_the_switch(self) -> None:
        """What is heard before was in the clear, what is heard after was not."""
        _, client = await self.going(
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

    async def test_a_reply_behind_the_go_ahead(self) -> None:
        """A reply that was sent ahead of TLS is never heard, and TLS is not even begun."""
        peer, client = await self.going(
            r"""
            fwrite($stream, "220 Go ahead\r\n250 sent ahead\r\n");
            show("hello", fread($stream, 1000));
            """
        )
        error = await self.assertFailure(cast(Any, client.secured), PlaintextInjected)
        self.assertEqual(error.received, b"250 sent ahead\r\n")
        self.assertEqual(client.heard[-1], (b"220 Go ahead", False))
        self.assertIn(await self.shown(peer, "hello"), (False, ""))

    async def test_a_reply_in_place_of_tls(self) -> None:
        """A server that goes on in the clear after the go-ahead is not heard."""
        _, client = await self.going(
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
