"""Back to the clear with foreign programs: `StartTLSMixin.stopTLS`, lftp, PHP, Python's ssl."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure

import txtransport
from tests import certificates
from tests.live.peers import Peer, PeerTestCase, Program
from tests.live.test_php import PHPTestCase
from txtransport.upgrade.switch import TLSState

LFTP: Final = Program("lftp", ("--version",), r"LFTP \| Version")
PYTHON: Final = Program(sys.executable, (), "")

PHP_CLIENT: Final = r"""
    $context = stream_context_create(["ssl" => $options]);
    $stream = stream_socket_client($uri, $code, $reason, 5, STREAM_CLIENT_CONNECT, $context);
    show("greeting", fgets($stream));
    fwrite($stream, "AUTH TLS\r\n");
    show("auth", fgets($stream));
    show("on", stream_socket_enable_crypto($stream, true, STREAM_CRYPTO_METHOD_TLS_CLIENT));
    fwrite($stream, "NOOP\r\n");
    show("secret", fgets($stream));
    fwrite($stream, "CCC\r\n");
    show("ccc", fgets($stream));
    stream_socket_enable_crypto($stream, false);
    fwrite($stream, "NOOP\r\n");
    $clear = "";
    while (strpos($clear, "200 fine\r\n") === false && !feof($stream)) $clear .= fgets($stream);
    show("clear", substr($clear, -10));
    fgets(STDIN);
"""

PYTHON_CLIENT: Final = """
import socket, ssl, sys

port, cafile = int(sys.argv[1]), sys.argv[2]
plain = socket.create_connection(("127.0.0.1", port), 5)
plain.recv(1000)
plain.sendall(b"AUTH TLS\\r\\n")
plain.recv(1000)
tls = ssl.create_default_context(cafile=cafile).wrap_socket(plain, server_hostname="localhost")
tls.sendall(b"CCC\\r\\n")
print(tls.recv(1000), flush=True)
plain = tls.unwrap()
plain.sendall(b"NOOP\\r\\n")
print(plain.recv(1000), flush=True)
plain.recv(1)
"""


class FTPServer(txtransport.StartTLSMixin, LineReceiver):
    """As much of an FTP server as a client needs until it is logged in.

    Attributes:
        heard: Each command, and how far the conversation was with TLS.
    """

    transport: Any
    waits: bool = False

    def __init__(self) -> None:
        self.heard: list[tuple[str, TLSState]] = []
        self.lost: Deferred[Failure] = Deferred()
        self.stopped: Deferred[None] | None = None

    def connectionMade(self) -> None:
        self.sendLine(b"220 ready")

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self.lost.callback(None)  # type: ignore[arg-type]

    def lineReceived(self, line: bytes) -> None:
        command = line.decode().upper()
        self.heard.append((command, self.tls_state))
        if command.startswith("AUTH"):
            policy = {"local_cert": certificates.site()}
            self.startTLS(policy, reply=b"234 go ahead\r\n").addErrback(lambda reason: None)
        elif command == "CCC":
            self.sendLine(b"200 in the clear")
            self.stopped = self.stopTLS(wait_for_peer=self.waits)
        else:
            self.sendLine(ANSWERS.get(command.split()[0], b"200 fine"))


ANSWERS: Final = {
    "FEAT": b"211-Features:\r\n AUTH TLS\r\n PBSZ\r\n PROT\r\n CCC\r\n211 end",
    "USER": b"331 password",
    "PASS": b"230 welcome",
    "PWD": b'257 "/"',
    "QUIT": b"221 bye",
}


class _Serving(PeerTestCase):
    """Listens with `FTPServer`."""

    waits = False

    async def serve(self) -> tuple[int, list[FTPServer]]:
        """The port, and the servers that were built."""
        built: list[FTPServer] = []

        def build() -> FTPServer:
            built.append(FTPServer())
            built[-1].waits = self.waits
            return built[-1]

        factory: Factory[Any] = Factory.forProtocol(build)
        factory.noisy = False
        return await self.listening("tcp://127.0.0.1:0", factory), built

    async def over(self, servers: list[FTPServer], peer: Peer) -> list[tuple[str, TLSState]]:
        """What the one server has heard, when its client has gone."""
        peer.kill()
        (server,) = servers
        await server.lost
        return server.heard


class LFTPTests(_Serving):
    """lftp closes TLS when it is logged in (``ftp:ssl-use-ccc``).

    A close_notify that arrives together with the answer to CCC is the end of the
    connection to it.
    """

    program = LFTP
    waits = True

    async def test_it_goes_on_in_the_clear(self) -> None:
        """The password came under TLS, and what follows CCC in the clear."""
        port, servers = await self.serve()
        settings = {
            "ftp:ssl-force": "true",
            "ftp:ssl-use-ccc": "true",
            "ssl:ca-file": certificates.cafile(),
            "net:max-retries": "1",
            "net:timeout": "5",
        }
        script = "; ".join(f"set {name} {value}" for name, value in settings.items())
        peer = self.start(
            "--norc", "-c",
            f"{script}; open -u me,secret -p {port} ftp://localhost; quote NOOP; quote HELP; exit",
        )  # fmt: skip
        await peer.exits()
        heard = dict(await self.over(servers, peer))
        self.assertIs(heard["PASS SECRET"], TLSState.SECURE)
        self.assertIs(heard["CCC"], TLSState.SECURE)
        self.assertIs(heard["HELP"], TLSState.PLAINTEXT)


class PHPTests(PHPTestCase, _Serving):
    """PHP switches TLS off by ``stream_socket_enable_crypto($stream, false)``.

    PHP 8.2 sends a close_notify, and does not wait for ours: its script reads those bytes,
    which nobody can decrypt any more, before the clear text.
    """

    async def test_it_goes_on_in_the_clear(self) -> None:
        """PHP reads answers before, under and after TLS."""
        port, servers = await self.serve()
        peer = self.script(
            PHP_CLIENT,
            uri=f"tcp://127.0.0.1:{port}",
            options={"cafile": certificates.cafile(), "peer_name": "localhost"},
        )
        self.assertIs(await self.shown(peer, "on"), True)
        self.assertEqual(await self.shown(peer, "secret"), "200 fine\r\n")
        self.assertEqual(await self.shown(peer, "ccc"), "200 in the clear\r\n")
        self.assertEqual(await self.shown(peer, "clear"), "200 fine\r\n")
        states = [state for command, state in await self.over(servers, peer) if command == "NOOP"]
        self.assertEqual(states, [TLSState.SECURE, TLSState.PLAINTEXT])


class PythonTests(_Serving):
    """Python's ssl switches TLS off by ``SSLSocket.unwrap()``."""

    program = PYTHON

    async def test_it_goes_on_in_the_clear(self) -> None:
        """unwrap() gets our close_notify, and the socket then carries clear text."""
        port, servers = await self.serve()
        script = self.folder() / "client.py"
        Path(script).write_text(PYTHON_CLIENT, encoding="ascii")
        peer = self.start(str(script), str(port), certificates.cafile())
        await peer.prints(rb"^b'200 in the clear\\r\\n'$")
        await peer.prints(rb"^b'200 fine\\r\\n'$")
        heard = await self.over(servers, peer)
        self.assertEqual(heard[-1], ("NOOP", TLSState.PLAINTEXT))
