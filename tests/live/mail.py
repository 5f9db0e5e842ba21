"""A mail server and a mail client on the mixin, and someone in between (RFC 3207).

They say as much of SMTP as it takes to begin in the clear, to switch to TLS and
to tell what was heard on which side of the switch.
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


class Correspondent(StartTLSMixin, LineReceiver):
    """What client and server have in common.

    Attributes:
        heard: Each line, and whether it came under TLS.
        secured: Fires with the session, or fails, when the switch is over.
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
        """Fires when that line comes."""
        wait: Deferred[None] = Deferred()
        self._waits.append((line, wait))
        return wait

    def upgrade(self, policy: Any, reply: bytes = b"") -> None:
        """Switch to TLS."""
        started = self.startTLS(policy, reply=reply)
        started.addCallbacks(self.secured.callback, self.secured.errback)

    def answer(self, line: bytes) -> None:
        """Act on a line."""
        raise NotImplementedError

    def lineReceived(self, line: bytes) -> None:
        self.heard.append((line, self.is_secure))
        self.answer(line)
        for wait in [each for each in self._waits if each[0] == line]:
            self._waits.remove(wait)
            wait[1].callback(None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost.callback(None)


class MailServer(Correspondent):
    """Takes commands, and takes mail under TLS only."""

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
    """Builds mail servers, and keeps them.

    Attributes:
        all: Those built so far.
    """

    noisy = False

    def __init__(self) -> None:
        self.all: list[MailServer] = []

    def buildProtocol(self, addr: object) -> MailServer:
        self.all.append(MailServer())
        return self.all[-1]


class MailClient(Correspondent):
    """Asks for TLS as soon as it is greeted, and for nothing else before."""

    def answer(self, line: bytes) -> None:
        if self.is_secure:
            return
        if line.startswith(b"220 ") and len(self.heard) > 1:
            self.upgrade({"cafile": certificates.cafile(), "peer_name": "localhost"})
        elif line.startswith(b"220 "):
            self.say(b"EHLO client.example")
        elif line == b"250 STARTTLS":
            self.say(b"STARTTLS")


class Meddler(ProxyFactory):
    """Someone in between, who passes on what a client says, with additions.

    Args:
        port: The server's.
        meddle: What becomes of what the client says.
    """

    noisy = False

    def __init__(self, port: int, meddle: Callable[[bytes], bytes]) -> None:
        super().__init__("127.0.0.1", port)
        self.meddle = meddle
        self.protocol = Meddling


class Meddling(ProxyServer):
    """One conversation that is meddled with."""

    factory: Meddler

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(self.factory.meddle(data))
