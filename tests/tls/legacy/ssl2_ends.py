"""Clients and servers of SSL 2.0 for the tests, and what is between them."""

from __future__ import annotations

import functools
import hashlib
import itertools
import sys
from collections.abc import Callable, Iterable, Iterator
from types import FrameType
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding

from tests.certificates import authority
from txtransport.config.policy import Side
from txtransport.testing.devcert import Issued
from txtransport.tls.engine import Signal, TLSEvent
from txtransport.tls.legacy.engine import LegacyConfig, LegacyIdentity
from txtransport.tls.legacy.ssl2 import SSL2Engine
from txtransport.tls.legacy.ssl2_suites import SUITES

ALL: Final = tuple(SUITES)
"""The names of all cipher suites."""


@functools.cache
def site_certificate() -> Issued:
    """A server's certificate, and its key."""
    return authority().issue("good.example", key="rsa")


@functools.cache
def person_certificate() -> Issued:
    """A client's certificate, and its key."""
    return authority().issue("client.example", key="rsa", purpose="client")


def site() -> LegacyIdentity:
    """The server's certificate, as an engine takes it."""
    return as_identity(site_certificate())


def person() -> LegacyIdentity:
    """The client's certificate, as an engine takes it."""
    return as_identity(person_certificate())


def as_identity(issued: Issued) -> LegacyIdentity:
    """A certificate with an RSA key, as an engine takes it."""
    assert isinstance(issued.key, RSAPrivateKey)
    return LegacyIdentity((issued.certificate.public_bytes(Encoding.DER),), issued.key)


class Verdict:
    """Says whether a peer is acceptable.

    Args:
        is_good: What it says.

    Attributes:
        asked: The certificates that it was asked about, each time.
    """

    def __init__(self, *, is_good: bool = True) -> None:
        self._is_good = is_good
        self.asked: list[tuple[bytes, ...]] = []

    def __call__(self, chain: tuple[bytes, ...]) -> bool:
        """Whether the peer is acceptable."""
        self.asked.append(chain)
        return self._is_good


def client(*ciphers: str, **options: Any) -> SSL2Engine:
    """A client that has begun; with options of `LegacyConfig` and ``random``."""
    return _engine(Side.CLIENT, ciphers, options)


def server(*ciphers: str, **options: Any) -> SSL2Engine:
    """A server; with options of `LegacyConfig` and ``random``."""
    return _engine(Side.SERVER, ciphers, {"identity": site(), **options})


def _engine(side: Side, ciphers: tuple[str, ...], options: dict[str, Any]) -> SSL2Engine:
    random = {"random": options.pop("random")} if "random" in options else {}
    options = {"ciphers": ciphers or ALL, "verify": Verdict(), **options}
    made = SSL2Engine(LegacyConfig(side, **options), **random)
    made.start()
    return made


def cut(data: bytes, sizes: Iterator[int]) -> Iterator[bytes]:
    """The bytes in pieces of the given sizes."""
    at = 0
    while at < len(data):
        size = next(sizes)
        yield data[at : at + size]
        at += size


class Conversation:
    """A client and a server, and the bytes between them, cut into pieces.

    Args:
        client: The client.
        server: The server.
        sizes: Into pieces of these sizes, in turn.

    Attributes:
        client: As given.
        server: As given.
        events: What each of them has said.
        sent: All bytes that each of them has sent.
    """

    def __init__(
        self, client: SSL2Engine, server: SSL2Engine, sizes: Iterable[int] = (2**20,)
    ) -> None:
        self.client, self.server = client, server
        self._sizes = itertools.cycle(sizes)
        self.events: dict[SSL2Engine, list[TLSEvent]] = {client: [], server: []}
        self.sent: dict[SSL2Engine, bytes] = {client: b"", server: b""}

    def carry(self) -> Conversation:
        """Move bytes until there are none."""
        moved = True
        while moved:
            moved = False
            for source, target in ((self.client, self.server), (self.server, self.client)):
                data = source.data_to_send()
                self.sent[source] += data
                for piece in cut(data, self._sizes):
                    moved = True
                    self.events[target] += target.receive(piece)
        return self

    def heard(self, end: SSL2Engine) -> bytes:
        """The application's data that an end has received."""
        return b"".join(event for event in self.events[end] if isinstance(event, bytes))

    def signals(self, end: SSL2Engine) -> list[Signal]:
        """What else an end has said."""
        return [event for event in self.events[end] if isinstance(event, Signal)]


def connected(*ciphers: str, **options: Any) -> Conversation:
    """A conversation whose handshake is complete; with options for the server."""
    talk = Conversation(client(*ciphers), server(*ciphers, **options)).carry()
    assert talk.client.is_complete and talk.server.is_complete
    return talk


def drawn(label: str) -> Callable[[int], bytes]:
    """What makes random bytes that are the same each time, for a label."""
    count = itertools.count()

    def draw(size: int) -> bytes:
        made = hashlib.sha256(f"{label} {next(count)}".encode()).digest()
        return made[:size]

    return draw


def records(data: bytes) -> list[bytes]:
    """The records that bytes consist of, each with its header."""
    found = []
    while data:
        size = int.from_bytes(data[:2], "big")
        size = 2 + (size & 0x7FFF) if size & 0x8000 else 3 + (size & 0x3FFF)
        found.append(data[:size])
        data = data[size:]
    return found


def reason(engine: SSL2Engine) -> str:
    """Why an engine is broken; empty if it is not."""
    return "" if engine.error is None else str(engine.error.args[0][0][2])


def operations(work: Callable[[], object]) -> list[str]:
    """The functions that are called, in order, Python's and those of C.

    Without those by which isinstance() asks abstract classes: their answers are kept, and
    cryptography 43 does not ask for an empty buffer.
    """
    calls: list[str] = []

    def note(frame: FrameType, event: str, function: Any) -> None:
        if event == "call":
            calls.append(frame.f_code.co_name)
        elif event == "c_call":
            calls.append(function.__name__)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(before)
    return [name for name in calls if "instancecheck" not in name and "subclasscheck" not in name]
