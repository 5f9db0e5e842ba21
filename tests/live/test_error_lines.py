"""The error lines of other tools, as they print them today, and what we make of them.

Each comes to servers of ours that fail it in different ways.
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
    const place = { host: "127.0.0.1", servername: "localhost", port: process.argv[1], ca };
    require("tls").connect(place).on("error", (error) => console.log(error));
"""

UNTOLD: Final = frozenset({"self-signed", "expired", "unknown-issuer", "closed"})
"""What PHP knows and does not tell."""


@frozen
class Tool:
    """A client.

    Attributes:
        name: As an explanation has it.
        program: What is run.
        arguments: With ``PORT`` and ``CAFILE`` in them.
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
    """A mail server in the clear, as far as its greeting."""

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(b"220 mx1.example.org ESMTP\r\n")


class Closer(Protocol):
    """Ends every conversation with the first bytes."""

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.loseConnection()


class ErrorLineTestCase(PeerTestCase):
    """One way to fail, and what each tool prints of it."""

    program = OPENSSL

    async def told(self, port: int, expected: str) -> None:
        """Every tool that is here fails at that port, and its words have that cause."""
        for tool in TOOLS:
            # Of the machines that run these tests no Node is demanded.
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

    async def showing(self, pem: str) -> int:
        """A server of ours with that certificate; its port."""
        return await self.listening("tls://127.0.0.1:0", Recorders(), local_cert=pem)

    async def in_the_clear(self, kind: type[Protocol]) -> int:
        """A server without TLS; its port."""
        factory = cast(Factory, Factory.forProtocol(kind))
        return await self.listening("tcp://127.0.0.1:0", factory)


class CertificateTests(ErrorLineTestCase):
    """The certificate is not good."""

    async def test_self_signed(self) -> None:
        """A certificate that no one vouches for."""
        pem = certificates.written("lone.pem", self_signed("localhost").pem)
        await self.told(await self.showing(pem), "self-signed")

    async def test_expired(self) -> None:
        """A certificate whose time is over."""
        now = datetime.now(timezone.utc)
        pem = certificates.issued(
            "over.pem",
            "localhost",
            not_before=now - timedelta(days=9),
            not_after=now - timedelta(days=1),
        )
        await self.told(await self.showing(pem), "expired")

    async def test_unknown(self) -> None:
        """A certificate of an authority that no one knows."""
        pem = certificates.issued("strange.pem", "localhost", by=Authority.create("stranger"))
        await self.told(await self.showing(pem), "unknown-issuer")

    async def test_wrong_name(self) -> None:
        """A certificate for someone else."""
        pem = certificates.issued("other.pem", "other.example")
        await self.told(await self.showing(pem), "wrong-name")


class PlainTests(ErrorLineTestCase):
    """There is no TLS at the port."""

    async def test_plain_text(self) -> None:
        """A mail server that greets in the clear."""
        await self.told(await self.in_the_clear(Greeter), "plaintext-peer")

    async def test_closed(self) -> None:
        """A server that hangs up."""
        await self.told(await self.in_the_clear(Closer), "closed")
