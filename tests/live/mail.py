"""A mail server and a mail client with `StartTLSMixin`, and an attacker between them.

They speak as much of SMTP (RFC 3207) as a test needs to begin in the clear, to
upgrade to TLS, and to see which lines came before and which after the upgrade.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, connectionDone
from twisted.protocols.basic import LineReceiver
from twisted.protocols.portforward import ProxyFactory, ProxyServer
from twisted.python.failure import Failure

from tests import certificates
from txtransport import Session, StartTLSMixin


class MailProtocol(StartTLSMixin, LineReceiver):
    """What the server and the client have in common.

    Attributes:
        heard: Each received line, and whether it was encrypted.
        secured: Fires with the session when the upgrade to TLS succeeds, or fails.
        lost: Fires when the connection is over.
    """

    def __init__(self) -> None:
        self.heard: list[tuple[bytes, bool]] = []
        self.secured: Deferred[Session] = Deferred()
        self.lost: Deferred[None] = Deferred()
        self._waits: list[tuple[bytes, Deferred[None]]] = []

    def say(self, *lines: bytes) -> None:
        """Write lines."""
        for line in lines:
            self.sendLine(line)

    def hears(self, line: bytes) -> Deferred[None]:
        """Fires when that line is received."""
        wait: Deferred[None] = Deferred()
        self._waits.append((line, wait))
        return wait

    def upgrade(self, policy: Any, reply: bytes = b"") -> None:
        """Upgrade to TLS.

        Args:
            policy: As for `startTLS`.
            reply: Sent before the upgrade.
        """
        started = self.startTLS(policy, reply=reply)
        started.addCallbacks(self.secured.callback, self.secured.errback)

    def answer(self, line: bytes) -> None:
        """React to a received line."""
        raise NotImplementedError

    def lineReceived(self, line: bytes) -> None:
        self.heard.append((line, self.is_secure))
        self.answer(line)
        for wait in [each for each in self._waits if each[0] == line]:
            self._waits.remove(wait)
            wait[1].callback(None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost.callback(None)


class MailServer(MailProtocol):
    """A mail server that demands STARTTLS before any other command."""

    def connectionMade(self) -> None:
        self.say(b"220 mx.example ESMTP")

    def answer(self, line: bytes) -> None:
        if line.upper() == b"STARTTLS" and not self.is_secure:
            self.upgrade({"local_cert": certificates.site()}, b"220 Go ahead\r\n")
        elif line.upper().startswith(b"EHLO"):
            self.say(b"250-mx.example", b"250 SIZE 1000" if self.is_secure else b"250 STARTTLS")
        else:
            self.say(b"250 OK" if self.is_secure else b"530 Must issue a STARTTLS command first")


class MailServers(Factory):
    """A factory of mail servers, which it keeps.

    Attributes:
        all: The servers built so far.
    """

    noisy = False

    def __init__(self) -> None:
        self.all: list[MailServer] = []

    def buildProtocol(self, addr: object) -> MailServer:
        self.all.append(MailServer())
        return self.all[-1]


class MailClient(MailProtocol):
    """A mail client that sends EHLO and STARTTLS, and nothing else in the clear."""

    def answer(self, line: bytes) -> None:
        if self.is_secure:
            return
        if line.startswith(b"220 ") and len(self.heard) > 1:
            self.upgrade({"cafile": certificates.cafile(), "peer_name": "localhost"})
        elif line.startswith(b"220 "):
            self.say(b"EHLO client.example")
        elif line == b"250 STARTTLS":
            self.say(b"STARTTLS")


class TamperingProxyFactory(ProxyFactory):
    """A proxy between client and server that changes what the client sends.

    Args:
        port: The server's port.
        tamper: Returns the bytes to forward for bytes of the client.
    """

    noisy = False

    def __init__(self, port: int, tamper: Callable[[bytes], bytes]) -> None:
        super().__init__("127.0.0.1", port)
        self.tamper = tamper
        self.protocol = TamperingProxy


class TamperingProxy(ProxyServer):
    """One proxied connection."""

    factory: TamperingProxyFactory

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(self.factory.tamper(data))
