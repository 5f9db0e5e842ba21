"""Recorded conversations with OpenSSL 1.0.2 and Java: the same bytes come of the same bytes.

`tests.live.record_ssl3` has recorded them. The keys in them are for nothing else.
"""

from __future__ import annotations

import functools
import json
from base64 import b64decode
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_der_private_key
from twisted.trial.unittest import SynchronousTestCase

from tests.tls.legacy.ssl3_pair import Judge, client_config, drawn, server_config
from txtransport.config.policy import Side, Verify
from txtransport.tls.engine import Signal, TLSEvent
from txtransport.tls.legacy.engine import LegacyIdentity
from txtransport.tls.legacy.ssl3 import SSL3Engine

SIZE: Final = 40
"""The bytes that are sent there and back."""


@functools.cache
def recorded() -> dict[str, Any]:
    """All recordings, and the two certificates."""
    path = Path(__file__).with_name("ssl3_vectors.json")
    return dict(json.loads(path.read_text(encoding="ascii")))


@functools.cache
def identity(name: str) -> LegacyIdentity:
    """A certificate of the recordings."""
    key, *chain = (b64decode(part) for part in recorded()[name])
    loaded = load_der_private_key(key, None)
    assert isinstance(loaded, RSAPrivateKey)
    return LegacyIdentity(tuple(chain), loaded)


def ours(recording: dict[str, Any], judge: Judge) -> SSL3Engine:
    """Our side of a recording, with the random bytes that it had."""
    if recording["side"] == "client":
        own = identity("client") if recording["is_known"] else None
        config = client_config(recording["suite"], identity=own, verify=judge)
    else:
        config = server_config(
            recording["suite"],
            identity=identity("server"),
            certificate=Verify(recording["certificate"]),
            verify=judge,
        )
    return SSL3Engine(config, entropy=drawn(recording["name"]))


def react(end: SSL3Engine, events: list[TLSEvent]) -> None:
    """Do what the application does: the same when it is recorded and when it is repeated.

    A server sends back what it gets. A client says something, and closes when the end of it
    has come back.
    """
    is_client = end.config.side is Side.CLIENT
    for event in events:
        if event is Signal.COMPLETE and is_client:
            end.send(bytes(range(SIZE)))
        elif event is Signal.CLOSED:
            end.close()
        elif isinstance(event, bytes) and not is_client:
            end.send(event)
        elif isinstance(event, bytes) and event.endswith(bytes((SIZE - 1,))):
            end.close()


class VectorTests(SynchronousTestCase):
    """Conversations, repeated."""

    def test_our_side_says_what_it_said(self) -> None:
        """Byte by byte, in each recording, however the peer's bytes are cut."""
        self.assertEqual(len(recorded()["recordings"]), 25)
        for recording in recorded()["recordings"]:
            for size in (1, 2**16):
                self._repeat(recording, size)

    def _repeat(self, recording: dict[str, Any], size: int) -> None:
        judge, name = Judge(), recording["name"]
        end, events = ours(recording, judge), list[TLSEvent]()
        end.start()
        for who, text in recording["said"]:
            data = bytes.fromhex(text)
            if who == "ours":
                self.assertEqual(end.data_to_send(), data, name)
                continue
            for begin in range(0, len(data), size):
                new = end.receive(data[begin : begin + size])
                events += new
                react(end, new)
        self.assertEqual(end.data_to_send(), b"", name)
        self.assertIsNone(end.error)
        self.assertEqual(events[0], Signal.COMPLETE)
        self.assertEqual(events[-1], Signal.CLOSED)
        heard = b"".join(event for event in events if isinstance(event, bytes))
        self.assertEqual(len(heard), SIZE, name)
        peer = "server" if recording["side"] == "client" else "client"
        is_shown = peer == "server" or recording["certificate"] == "yes"
        self.assertEqual(judge.asked, [identity(peer).chain if is_shown else ()], name)
