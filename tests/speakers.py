"""Small protocols with the mixin that switch to TLS, one for each of Twisted's parsers.

All exchange the same words. A speaker that receives ``STARTTLS`` replies
``GO`` and starts TLS; a speaker that receives ``GO`` starts TLS. A server
replies to any other word with ``heard`` and that word.
"""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.protocols.basic import (
    Int16StringReceiver,
    Int32StringReceiver,
    LineOnlyReceiver,
    LineReceiver,
    NetstringReceiver,
)
from twisted.python.failure import Failure

from tests import certificates
from txtransport import Session, StartTLSMixin


class Speaker(StartTLSMixin):
    """Exchanges words with its peer; a subclass frames them for its parser.

    Attributes:
        policy: The policy for `startTLS`.
        is_server: Whether it replies to words.
        timeout: Seconds for the handshake, or None for the default.
        heard: Each word that it received, and whether that was under TLS.
        secured: Fires with the session when TLS is established, or fails.
        lost: Fires with the reason, in a list, when the connection ends.
        forget_calls: How often `forget_plaintext_state` was called.
    """

    policy: Any = None
    is_server = False
    timeout: float | None = None

    def __init__(self) -> None:
        self.heard: list[tuple[bytes, bool]] = []
        self.secured: Deferred[Session] = Deferred()
        self.lost: Deferred[list[Failure]] = Deferred()
        self.forget_calls = 0
        self._waiting: list[tuple[bytes, Deferred[None]]] = []

    def encode(self, word: bytes) -> bytes:
        """A word as its parser reads it."""
        raise NotImplementedError

    def say(self, word: bytes) -> None:
        """Send a word."""
        assert self.transport is not None
        self.transport.write(self.encode(word))

    def word_received(self, word: bytes) -> None:
        """Act on a word that has arrived."""
        self.heard.append((word, self.is_secure))
        if word == b"STARTTLS":
            self.upgrade(self.encode(b"GO"))
        elif word == b"GO":
            self.upgrade(b"")
        elif self.is_server:
            self.say(b"heard " + word)
        for waiting in [each for each in self._waiting if each[0] == word]:
            self._waiting.remove(waiting)
            waiting[1].callback(None)

    def upgrade(self, reply: bytes) -> None:
        """Start TLS; `secured` tells the outcome."""
        started = self.startTLS(self.policy, reply=reply, timeout=self.timeout)
        started.addCallbacks(self.secured.callback, self.secured.errback)

    def hears(self, word: bytes) -> Deferred[None]:
        """Fires when that word has arrived."""
        hearing: Deferred[None] = Deferred()
        if word in [heard for heard, _ in self.heard]:
            hearing.callback(None)
        else:
            self._waiting.append((word, hearing))
        return hearing

    def forget_plaintext_state(self) -> None:
        self.forget_calls += 1

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost.callback([reason])


class Lines(Speaker, LineReceiver):
    """Words are lines."""

    def encode(self, word: bytes) -> bytes:
        return word + b"\r\n"

    def lineReceived(self, line: bytes) -> None:
        self.word_received(line)


class OnlyLines(Speaker, LineOnlyReceiver):
    """Words are lines, read by a parser that does not show what it has in its buffer."""

    encode = Lines.encode

    def lineReceived(self, line: bytes) -> None:
        self.word_received(line)


class Shorts(Speaker, Int16StringReceiver):
    """Words are messages after their length in 16 bits."""

    def encode(self, word: bytes) -> bytes:
        return len(word).to_bytes(2, "big") + word

    def stringReceived(self, string: bytes) -> None:
        self.word_received(string)


class Longs(Speaker, Int32StringReceiver):
    """Words are messages after their length in 32 bits."""

    def encode(self, word: bytes) -> bytes:
        return len(word).to_bytes(4, "big") + word

    stringReceived = Shorts.stringReceived


class Netstrings(Speaker, NetstringReceiver):
    """Words are netstrings."""

    def encode(self, word: bytes) -> bytes:
        return b"%d:%s," % (len(word), word)

    stringReceived = Shorts.stringReceived


class Plain(Speaker, Protocol):
    """Words end with a semicolon, read by a parser that is not Twisted's."""

    _rest = b""

    def encode(self, word: bytes) -> bytes:
        return word + b";"

    def dataReceived(self, data: bytes) -> None:
        *words, self._rest = (self._rest + data).split(b";")
        for word in words:
            self.word_received(word)


KINDS: Final[tuple[type[Speaker], ...]] = (Lines, OnlyLines, Shorts, Longs, Netstrings, Plain)


def server_policy() -> dict[str, Any]:
    """TLS options for a server, with the certificate of localhost."""
    return {"local_cert": certificates.site()}


def client_policy() -> dict[str, Any]:
    """TLS options for a client that verifies the name localhost."""
    return {"cafile": certificates.cafile(), "peer_name": "localhost"}


class SpeakerFactory(Factory):
    """Builds speakers of one kind, by default servers, and keeps them.

    Args:
        kind: The class of the speakers.
        **attributes: Set on each speaker.

    Attributes:
        all: The speakers built so far.
    """

    noisy = False

    def __init__(self, kind: type[Speaker], **attributes: Any) -> None:
        self.all: list[Any] = []
        self._kind = kind
        self._attributes = {"is_server": True, "policy": server_policy(), **attributes}

    def buildProtocol(self, addr: object) -> Speaker:
        speaker = self._kind()
        vars(speaker).update(self._attributes)
        self.all.append(speaker)
        return speaker
