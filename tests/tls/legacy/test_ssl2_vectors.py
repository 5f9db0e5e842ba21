"""Recorded conversations with OpenSSL 1.0.2: the same bytes must come of the same bytes.

`tests.live.record_ssl2` has recorded them. The keys in them are for nothing else.
"""

from __future__ import annotations

import functools
import json
from base64 import b64decode
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_der_private_key
from twisted.trial.unittest import SynchronousTestCase

from tests.tls.legacy.ssl2_ends import Verdict, client, drawn, records, server
from txtransport.config.policy import Verify
from txtransport.tls.engine import Signal, TLSEvent
from txtransport.tls.legacy.engine import LegacyIdentity
from txtransport.tls.legacy.ssl2 import SSL2Engine
from txtransport.tls.legacy.ssl2_messages import ClientMasterKey, MessageType
from txtransport.tls.legacy.ssl2_suites import SUITES


@functools.cache
def recorded() -> dict[str, Any]:
    """All recordings, and the two certificates."""
    path = Path(__file__).with_name("ssl2_vectors.json")
    return dict(json.loads(path.read_text(encoding="ascii")))


def identity(name: str) -> LegacyIdentity:
    """A certificate of the recordings."""
    certificate, key = (b64decode(part) for part in recorded()[name])
    loaded = load_der_private_key(key, None)
    assert isinstance(loaded, RSAPrivateKey)
    return LegacyIdentity((certificate,), loaded)


def ours(recording: dict[str, Any], verdict: Verdict) -> SSL2Engine:
    """Our side of a recording, with the random bytes that it had."""
    common = {"random": drawn(recording["name"]), "verify": verdict}
    if recording["role"] == "client":
        demand = Verify.YES if recording["is_known"] else Verify.NO
        return server(recording["cipher"], identity=identity("site"), certificate=demand, **common)
    own = identity("person") if recording["is_known"] else None
    return client(recording["cipher"], identity=own, **common)


def comparable(data: bytes, cipher: str) -> bytes:
    """The same bytes, without the encrypted key, which differs each time."""
    begin = bytes((MessageType.CLIENT_MASTER_KEY,)) + SUITES[cipher].kind
    parts = []
    for record in records(data):
        if record[2:6] == begin:
            encrypted = ClientMasterKey.decode(record[2:]).encrypted
            record = record.replace(encrypted, bytes(len(encrypted)))
        parts.append(record)
    return b"".join(parts)


class VectorTests(SynchronousTestCase):
    """Conversations, repeated."""

    def test_our_side_says_what_it_said(self) -> None:
        """Byte by byte, in each suite, with and without a client's certificate."""
        self.assertEqual(len(recorded()["recordings"]), 12)
        for recording in recorded()["recordings"]:
            for size in (1, 2**16):
                self._repeat(recording, size)

    def _repeat(self, recording: dict[str, Any], size: int) -> None:
        verdict, name, cipher = Verdict(), recording["name"], recording["cipher"]
        end, events = ours(recording, verdict), list[TLSEvent]()
        for who, text in recording["said"]:
            data = bytes.fromhex(text)
            if who == "ours":
                sent = end.data_to_send()
                self.assertEqual(comparable(sent, cipher), comparable(data, cipher), name)
                continue
            new = [
                event
                for begin in range(0, len(data), size)
                for event in end.receive(data[begin : begin + size])
            ]
            events += new
            echo = b"".join(event for event in new if isinstance(event, bytes))
            if echo and recording["role"] == "client":
                end.send(echo)
            if Signal.COMPLETE in new and recording["role"] == "server":
                end.send(bytes(range(40)))
        self.assertEqual(events[0], Signal.COMPLETE)
        heard = b"".join(event for event in events if isinstance(event, bytes))
        self.assertEqual(len(heard), 40)
        self.assertEqual(end.cipher, cipher)
        shown = identity("site").chain if recording["role"] == "server" else ()
        if recording["role"] == "client" and recording["is_known"]:
            shown = identity("person").chain
        self.assertEqual(verdict.asked, [shown])
