"""Small protocols that switch to TLS, one for each of Twisted's parsers.

All speak the same conversation in words: whoever hears ``STARTTLS`` answers
``GO`` and switches, whoever hears ``GO`` switches, and anything else is
answered with ``heard`` and the word (by servers).
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
    """What all of them have in common.

    Attributes:
        heard: Each word, and whether it came under TLS.
        policy: What TLS is to be like.
        is_server: Whether it answers.
        secured: Fires with the session, or fails, when the switch is over.
        lost: Fires with the reason when the connection is over.
        forget_calls: How often it was told to forget.
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
        """A word, as it is written."""
        raise NotImplementedError

    def say(self, word: bytes) -> None:
        """Write a word."""
        assert self.transport is not None
        self.transport.write(self.encode(word))

    def word_received(self, word: bytes) -> None:
        """A word has come."""
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
        """Switch to TLS."""
        started = self.startTLS(self.policy, reply=reply, timeout=self.timeout)
        started.addCallbacks(self.secured.callback, self.secured.errback)

    def hears(self, word: bytes) -> Deferred[None]:
        """Fires when that word has come."""
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
    """Over lines."""

    def encode(self, word: bytes) -> bytes:
        return word + b"\r\n"

    def lineReceived(self, line: bytes) -> None:
        self.word_received(line)


class OnlyLines(Speaker, LineOnlyReceiver):
    """Over lines, with the parser that cannot be asked for what is left."""

    encode = Lines.encode

    def lineReceived(self, line: bytes) -> None:
        self.word_received(line)


class Shorts(Speaker, Int16StringReceiver):
    """Over messages with 16 bits of length."""

    def encode(self, word: bytes) -> bytes:
        return len(word).to_bytes(2, "big") + word

    def stringReceived(self, string: bytes) -> None:
        self.word_received(string)


class Longs(Speaker, Int32StringReceiver):
    """Over messages with 32 bits of length."""

    def encode(self, word: bytes) -> bytes:
        return len(word).to_bytes(4, "big") + word

    stringReceived = Shorts.stringReceived


class Netstrings(Speaker, NetstringReceiver):
    """Over netstrings."""

    def encode(self, word: bytes) -> bytes:
        return b"%d:%s," % (len(word), word)

    stringReceived = Shorts.stringReceived


class Plain(Speaker, Protocol):
    """Over a parser of its own: words end with a semicolon."""

    _rest = b""

    def encode(self, word: bytes) -> bytes:
        return word + b";"

    def dataReceived(self, data: bytes) -> None:
        *words, self._rest = (self._rest + data).split(b";")
        for word in words:
            self.word_received(word)


KINDS: Final[tuple[type[Speaker], ...]] = (Lines, OnlyLines, Shorts, Longs, Netstrings, Plain)


def server_policy() -> dict[str, Any]:
    """What a server of the tests wants of TLS."""
    return {"local_cert": certificates.site()}


def client_policy() -> dict[str, Any]:
    """What a client of the tests wants of TLS."""
    return {"cafile": certificates.cafile(), "peer_name": "localhost"}


class SpeakerFactory(Factory):
    """Builds servers of one kind, and keeps them.

    Attributes:
        all: Those built so far.
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
