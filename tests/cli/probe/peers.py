"""Servers of many kinds on loopback, and how the tests probe them."""

from __future__ import annotations

import socket
from typing import Any, Final, cast

from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.protocol import Factory, Protocol

from tests import certificates
from tests.loopback import LoopbackTestCase, Recorders
from txtransport import StartTLSMixin, TransportURL
from txtransport.cli.probe.probing import probe
from txtransport.cli.probe.report import ProbeReport


class ScriptedPeer(Protocol):
    """Sends what its script says, at once and in answer to the client, and may hang up then.

    Args:
        banner: Sent at once.
        answers: Sent one after the other, each when something arrives; when
            none is left, nothing more is sent.
        end: What to do when everything is sent: ``stay``, ``close`` or ``reset``.
    """

    def __init__(self, banner: bytes, answers: tuple[bytes, ...], end: str) -> None:
        self._answers = list(answers)
        self._banner = banner
        self._end = end

    def connectionMade(self) -> None:
        self._send(self._banner)

    def dataReceived(self, data: bytes) -> None:
        if self._answers:
            self._send(self._answers.pop(0))

    def _send(self, data: bytes) -> None:
        transport: Any = self.transport
        transport.write(data)
        if self._answers or self._end == "stay":
            return
        if self._end == "close":
            transport.loseConnection()
        else:
            linger = b"\1\0\0\0\0\0\0\0"
            transport.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            # By then the answer has been written.
            transport.reactor.callLater(0.05, transport.abortConnection)


def scripted_peer(banner: bytes = b"", *answers: bytes, end: str = "stay") -> IProtocolFactory:
    """A factory of scripted peers."""

    class ScriptedPeerFactory(Factory):
        noisy = False

        def buildProtocol(self, addr: object) -> Protocol:
            return ScriptedPeer(banner, answers, end)

    return cast(IProtocolFactory, ScriptedPeerFactory())


class RDPServer(StartTLSMixin):
    """An RDP server: answers a connection request with TLS, and refuses everything else."""

    _asked = b""

    def dataReceived(self, data: bytes) -> None:
        head = b"\x03\x00\x00\x13\x0e\xd0\x00\x00\x124\x00"
        before, self._asked = self._asked, self._asked + data
        if self._asked[0] != 3:
            if not before:
                cast(Any, self.transport).write(head + b"\x03\x00\x08\x00\x01\x00\x00\x00")
        elif len(self._asked) == 19:
            confirm = head + b"\x02\x00\x08\x00\x01\x00\x00\x00"
            secured = self.startTLS({"local_cert": certificates.site()}, reply=confirm)
            secured.addErrback(lambda reason: None)


class ClosesAtOnce(Protocol):
    """Closes the connection at once."""

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.loseConnection()


class AbortsAtOnce(Protocol):
    """Aborts the connection at once."""

    def connectionMade(self) -> None:
        cast(Any, self.transport).abortConnection()


class ProbingTestCase(LoopbackTestCase):
    """Starts servers on loopback, and probes them."""

    async def probed(self, url: str, wait: float = 0.2, **options: Any) -> ProbeReport:
        """Probe a URL, without a second connection."""
        transport = TransportURL.parse(url)
        return await probe(self.reactor, transport, options, wait=wait, is_again=False)

    async def plain_peer(self, factory: IProtocolFactory) -> str:
        """Start a peer in the clear; its URL, as if it spoke TLS."""
        return f"tls://localhost:{await self.listening('tcp://127.0.0.1:0', factory)}"

    async def tls_peer(self, factory: IProtocolFactory | None = None, **options: Any) -> str:
        """Start a peer with TLS; its URL."""
        options = {"local_cert": certificates.site(), **options}
        port = await self.listening("tls://127.0.0.1:0", factory or Recorders(), **options)
        return f"tls://localhost:{port}"


# What a server of each kind sends at once, and what it answers to a ClientHello.
BANNERS: Final = {
    "SMTP": (b"220 mx.example.com ESMTP Postfix\r\n",),
    "FTP": (b"220 (vsFTPd 3.0.5)\r\n",),
    "POP3": (b"+OK Dovecot ready.\r\n",),
    "IMAP": (b"* OK [CAPABILITY IMAP4rev1 STARTTLS] ready.\r\n",),
    "SSH": (b"SSH-2.0-OpenSSH_9.9\r\n",),
    "HTTP": (b"", b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"),
    "MySQL": (b"\x4a\x00\x00\x00\x0a8.4.0\x00\x08\x00\x00\x00abcdefgh\x00\xff\xff",),
    "Redis": (b"", b"-ERR unknown command '\\x16\\x03\\x01'\r\n"),
    "XMPP": (b"", b"<?xml version='1.0'?><stream:stream><stream:error/>"),
    "VNC": (b"RFB 003.008\n",),
    "RDP": (b"", b"\x03\x00\x00\x13\x0e\xd0\x00\x00\x124\x00\x03\x00\x08\x00\x02\x00\x00\x00"),
}
