"""A client and a server of SSL 3.0, and the bytes between them."""

from __future__ import annotations

import functools
import hashlib
import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from attrs import evolve
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding

from tests import certificates
from tests.live.peers import demand
from txtransport.config.policy import Side, Verify
from txtransport.tls.engine import Signal, TLSEvent
from txtransport.tls.legacy.engine import LegacyConfig, LegacyIdentity

try:
    from txtransport.tls.legacy.ssl3 import SSL3_CIPHERS, SSL3Engine
except ModuleNotFoundError as error:
    if error.name != "tlslite":
        raise
    demand("tlslite-ng is not installed (pip install 'txtransport[legacy]')", os.environ)

__all__ = [
    "Conversation",
    "Judge",
    "client_config",
    "cut",
    "drawn",
    "identity",
    "pair",
    "server_config",
]

RSA_AES: Final = "AES128-SHA"
"""A suite of which the server's bytes follow from its entropy and the client's bytes alone."""


@functools.cache
def identity(purpose: str = "server") -> LegacyIdentity:
    """A certificate of the tests' authority with an RSA key of 2048 bits.

    Args:
        purpose: ``server`` or ``client``.
    """
    name = "good.example" if purpose == "server" else "client.example"
    issued = certificates.authority().issue(name, key="rsa", purpose=purpose)  # type: ignore[arg-type]
    key = issued.key
    assert isinstance(key, RSAPrivateKey)
    root = certificates.authority().certificate
    chain = (issued.certificate.public_bytes(Encoding.DER), root.public_bytes(Encoding.DER))
    return LegacyIdentity(chain, key)


class Judge:
    """Decides about peers, and remembers whom it was asked about.

    Args:
        verdict: What it says, or what it raises.

    Attributes:
        asked: The chains.
    """

    def __init__(self, verdict: bool | Exception = True) -> None:
        self._verdict = verdict
        self.asked: list[tuple[bytes, ...]] = []

    def __call__(self, chain: tuple[bytes, ...]) -> bool:
        self.asked.append(chain)
        if isinstance(self._verdict, Exception):
            raise self._verdict
        return self._verdict


def client_config(*ciphers: str, **changes: object) -> LegacyConfig:
    """A client that accepts every server.

    Args:
        *ciphers: Its suites; all by default.
        **changes: Other fields.
    """
    made = LegacyConfig(Side.CLIENT, ciphers or SSL3_CIPHERS, Judge())
    return evolve(made, **changes)  # type: ignore[arg-type]


def server_config(*ciphers: str, **changes: object) -> LegacyConfig:
    """A server that accepts every client, and asks for no certificate.

    Args:
        *ciphers: Its suites; all by default.
        **changes: Other fields.
    """
    made = LegacyConfig(Side.SERVER, ciphers or SSL3_CIPHERS, Judge(), identity())
    return evolve(made, **changes)  # type: ignore[arg-type]


def drawn(label: str) -> Callable[[int], bytes]:
    """What makes random bytes that are the same each time, for a label."""
    count = itertools.count()
    return lambda size: hashlib.shake_128(f"{label} {next(count)}".encode()).digest(size)


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
        client: The client's configuration.
        server: The server's.
        sizes: The sizes of the pieces, again and again.
        by_record: As for the engines.

    Attributes:
        client: The client's engine.
        server: The server's engine.
        events: What each of them has said.
        sent: All bytes that each of them has sent.
    """

    def __init__(
        self,
        client: LegacyConfig | None = None,
        server: LegacyConfig | None = None,
        sizes: Iterable[int] = (2**20,),
        *,
        by_record: bool = False,
    ) -> None:
        self.client = SSL3Engine(client or client_config(), by_record=by_record)
        self.server = SSL3Engine(server or server_config(), by_record=by_record)
        self._sizes = itertools.cycle(sizes)
        self.events: dict[SSL3Engine, list[TLSEvent]] = {self.client: [], self.server: []}
        self.sent: dict[SSL3Engine, bytes] = {self.client: b"", self.server: b""}
        for end in (self.client, self.server):
            end.start()

    def step(self, source: SSL3Engine) -> bytes:
        """Move what one side has to send; return it."""
        target = self.server if source is self.client else self.client
        data = source.data_to_send()
        self.sent[source] += data
        for piece in cut(data, self._sizes):
            self.events[target] += target.receive(piece)
        return data

    def carry(self) -> Conversation:
        """Move bytes until there are none."""
        while self.step(self.client) + self.step(self.server):
            pass
        return self

    def heard(self, end: SSL3Engine) -> bytes:
        """The application's data that an end has received."""
        return b"".join(event for event in self.events[end] if isinstance(event, bytes))

    def signals(self, end: SSL3Engine) -> list[Signal]:
        """What else an end has said."""
        return [event for event in self.events[end] if isinstance(event, Signal)]


def pair(*ciphers: str, certificate: Verify = Verify.NO) -> Conversation:
    """A conversation that is complete.

    Args:
        *ciphers: The client's suites; all by default.
        certificate: Whether the server asks for a certificate, which the client has.
    """
    talk = Conversation(
        client_config(*ciphers, identity=identity("client")),
        server_config(certificate=certificate),
    ).carry()
    assert talk.client.is_complete and talk.server.is_complete
    return talk


def reason(end: SSL3Engine) -> str:
    """Why an end is broken, in OpenSSL's words."""
    assert end.error is not None
    return str(end.error.args[0][0][2])
