"""The error lines that other tools print today, and how `explain` reads them.

Each tool connects to servers of ours that fail its handshake in different ways.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Final, cast

from attrs import frozen
from twisted.internet.protocol import Factory, Protocol

from tests import certificates
from tests.live.peers import CURL, OPENSSL, PHP, PeerTestCase, Program
from tests.loopback import Recorders
from txtransport.diagnosis.explain import explain
from txtransport.testing.devcert import Authority, self_signed

_PYTHON: Final = Program(sys.executable, (), "")
_NODE: Final = Program("node", (), "")

_PHP_CLIENT: Final = """
    $ssl = ["cafile" => $argv[2], "peer_name" => "localhost"];
    $context = stream_context_create(["ssl" => $ssl]);
    $flags = STREAM_CLIENT_CONNECT;
    stream_socket_client("tls://127.0.0.1:$argv[1]", $code, $reason, 5, $flags, $context);
"""
_PYTHON_CLIENT: Final = """if True:
    import socket, ssl, sys
    context = ssl.create_default_context(cafile=sys.argv[2])
    plain = socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=5)
    context.wrap_socket(plain, server_hostname="localhost")
"""
_NODE_CLIENT: Final = """
    const ca = require("fs").readFileSync(process.argv[2]);
    const options = { host: "127.0.0.1", servername: "localhost", port: process.argv[1], ca };
    require("tls").connect(options).on("error", (error) => console.log(error));
"""

UNTOLD: Final = frozenset({"self-signed", "expired", "unknown-issuer", "closed"})
"""Causes that PHP's error lines do not reveal."""


@frozen
class Tool:
    """A foreign client.

    Attributes:
        name: The tool's name in an explanation.
        program: The program to start.
        arguments: Its arguments; ``PORT`` and ``CAFILE`` in them are replaced.
    """

    name: str
    program: Program
    arguments: Sequence[str]


TOOLS: Final = (
    Tool("curl", CURL, ("-sS", "--cacert", "CAFILE", "--connect-to", "::127.0.0.1:",
                        "https://localhost:PORT/")),
    Tool("OpenSSL", OPENSSL, ("s_client", "-connect", "127.0.0.1:PORT", "-CAfile", "CAFILE",
                              "-verify_return_error", "-verify_hostname", "localhost")),
    Tool("PHP", PHP, ("-d", "display_errors=stderr", "-r", _PHP_CLIENT, "--", "PORT", "CAFILE")),
    Tool("Python", _PYTHON, ("-c", _PYTHON_CLIENT, "PORT", "CAFILE")),
    Tool("Node", _NODE, ("-e", _NODE_CLIENT, "PORT", "CAFILE")),
)  # fmt: skip


class Greeter(Protocol):
    """A mail server without TLS, which only sends its greeting."""

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(b"220 mx1.example.org ESMTP\r\n")


class Closer(Protocol):
    """Closes the connection when it receives the first bytes."""

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.loseConnection()


class ErrorLineTestCase(PeerTestCase):
    """Each tool fails in one way, and its error line is explained."""

    program = OPENSSL

    async def assert_explained(self, port: int, expected: str) -> None:
        """Every installed tool fails at that port, and `explain` finds this cause in its output."""
        for tool in TOOLS:
            # Node is optional, even where peers are required.
            if tool.program is _NODE and shutil.which(_NODE.command) is None:
                continue
            given = [
                argument.replace("PORT", str(port)).replace("CAFILE", certificates.cafile())
                for argument in tool.arguments
            ]
            peer = self.start(*given, program=tool.program)
            peer.transport.closeStdin()
            await peer.exits()
            best = explain(peer.printed.decode())[0]
            cause = "other" if tool.name == "PHP" and expected in UNTOLD else expected
            self.assertEqual((best.tool, best.diagnosis.cause), (tool.name, cause))

    async def start_tls_server(self, pem: str) -> int:
        """Start a server of ours with that certificate; return its port."""
        return await self.listening("tls://127.0.0.1:0", Recorders(), local_cert=pem)

    async def start_plain_server(self, kind: type[Protocol]) -> int:
        """Start a server without TLS; return its port."""
        factory = cast(Factory, Factory.forProtocol(kind))
        return await self.listening("tcp://127.0.0.1:0", factory)


class CertificateTests(ErrorLineTestCase):
    """The tool refuses the server's certificate."""

    async def test_a_self_signed_certificate_is_explained(self) -> None:
        """A self-signed certificate."""
        pem = certificates.written("lone.pem", self_signed("localhost").pem)
        await self.assert_explained(await self.start_tls_server(pem), "self-signed")

    async def test_an_expired_certificate_is_explained(self) -> None:
        """A certificate whose validity is over."""
        now = datetime.now(timezone.utc)
        pem = certificates.issued(
            "over.pem",
            "localhost",
            not_before=now - timedelta(days=9),
            not_after=now - timedelta(days=1),
        )
        await self.assert_explained(await self.start_tls_server(pem), "expired")

    async def test_an_unknown_issuer_is_explained(self) -> None:
        """A certificate of an authority that the tool does not trust."""
        pem = certificates.issued("strange.pem", "localhost", by=Authority.create("stranger"))
        await self.assert_explained(await self.start_tls_server(pem), "unknown-issuer")

    async def test_a_wrong_name_is_explained(self) -> None:
        """A certificate for another name."""
        pem = certificates.issued("other.pem", "other.example")
        await self.assert_explained(await self.start_tls_server(pem), "wrong-name")


class PlainTests(ErrorLineTestCase):
    """The port does not speak TLS."""

    async def test_a_greeting_in_plain_text_is_explained(self) -> None:
        """A mail server that greets in the clear."""
        await self.assert_explained(await self.start_plain_server(Greeter), "plaintext-peer")

    async def test_a_closed_connection_is_explained(self) -> None:
        """A server that closes the connection."""
        await self.assert_explained(await self.start_plain_server(Closer), "closed")
