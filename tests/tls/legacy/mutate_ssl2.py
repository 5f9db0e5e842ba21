"""Changes recorded conversations of SSL 2.0, and looks at what an engine makes of them.

    python -m tests.tls.legacy.mutate_ssl2 --count 1000000 --seed 11

A conversation of two engines is recorded for each suite, with and without a client's
certificate. A new engine, with the same random bytes, is given what its peer has said, with
some bytes changed, left out, repeated or put in, cut anywhere. Whatever that is:

- no exception is raised;
- the only data is the peer's, record by record, none left out before it; of a 3DES record
  the last 7 bytes may be missing, or the padding be taken for data, which SSL 2.0 does not
  protect;
- after a failure nothing follows, and a failure has a reason;
- no more than one record is kept.
"""

from __future__ import annotations

import argparse
import functools
import random
import time
from collections import Counter
from datetime import datetime, timedelta, timezone
from typing import Final

from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from tests.tls.legacy.ssl2_ends import ALL, client, drawn, reason, server
from txtransport.config.policy import Side, Verify
from txtransport.tls.engine import Signal, TLSEvent
from txtransport.tls.legacy.engine import LegacyIdentity
from txtransport.tls.legacy.ssl2 import SSL2Engine

DATA: Final = (b"the first", bytes(300), b"x" * 17, b"the last")
"""What each side says when the handshake is complete, a record each, longer than a padding."""

MOST_KEPT: Final = 32770


@frozen
class Change:
    """One change of what a peer has said.

    Attributes:
        kind: ``flip``, ``set``, ``drop``, ``repeat``, ``insert`` or ``end``.
        place: Where, from 0 to 1.
        size: How many bytes it concerns.
        value: What is put there.
    """

    kind: str
    place: float
    size: int
    value: int

    def apply(self, data: bytes) -> bytes:
        """The data with this change."""
        at = int(self.place * len(data))
        part = data[at : at + self.size]
        put = {
            "flip": bytes(byte ^ (1 << self.value % 8) for byte in part),
            "set": bytes((self.value,)) * len(part),
            "drop": b"",
            "repeat": part + part,
            "insert": bytes((self.value,)) * self.size + part,
            "end": b"",
        }[self.kind]
        return data[:at] + put + (b"" if self.kind == "end" else data[at + self.size :])


KINDS: Final = ("flip", "set", "drop", "repeat", "insert", "end")


@frozen
class Scenario:
    """A conversation.

    Attributes:
        name: What it is, from which the random bytes follow.
        cipher: The suite.
        is_known: Whether the client shows a certificate.
        side: Whose engine is looked at.
        said: What its peer has said.
    """

    name: str
    cipher: str
    is_known: bool
    side: Side
    said: bytes = b""

    def engine(self, side: Side) -> SSL2Engine:
        """A new engine, with the random bytes that it had."""
        draw = drawn(f"{self.name} {side.value}")
        if side is Side.CLIENT:
            own = identity("client") if self.is_known else None
            return client(self.cipher, identity=own, random=draw)
        demand = Verify.YES if self.is_known else Verify.NO
        return server(self.cipher, identity=identity("server"), certificate=demand, random=draw)


@functools.cache
def identity(name: str) -> LegacyIdentity:
    """A certificate with a key that is small, so that much can be tried."""
    key = rsa.generate_private_key(65537, 1024)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(timezone.utc)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(1))
    )
    made = builder.sign(key, SHA256())
    return LegacyIdentity((made.public_bytes(Encoding.DER),), key)


@functools.cache
def scenarios() -> tuple[Scenario, ...]:
    """All conversations, recorded."""
    return tuple(
        record(cipher, side, is_known=is_known)
        for cipher in ALL
        for is_known in (False, True)
        for side in Side
    )


def record(cipher: str, side: Side, *, is_known: bool) -> Scenario:
    """Record a conversation."""
    empty = Scenario(f"{cipher} {is_known}", cipher, is_known, side)
    ends = {end: empty.engine(end) for end in Side}
    ours, peer = ends.pop(side), next(iter(ends.values()))
    said, has_spoken = b"", False
    while True:
        ours.receive(sent := peer.data_to_send())
        said += sent
        peer.receive(back := ours.data_to_send())
        if peer.is_complete and not has_spoken:
            has_spoken = True
            for one in DATA:
                peer.send(one)
        elif not sent and not back:
            return Scenario(empty.name, cipher, is_known, side, said)


def examine(scenario: Scenario, data: bytes, sizes: list[int]) -> str:
    """Give an engine the data, and look at what it makes of it.

    Args:
        scenario: The conversation.
        data: What the peer says instead.
        sizes: The sizes of the pieces, in turn; the last for all that is left.

    Returns:
        How it ended: the reason of the failure, ``complete`` or ``incomplete``.

    Raises:
        AssertionError: Something came of it that must not.
    """
    end = scenario.engine(scenario.side)
    events: list[TLSEvent] = []
    for size in [*sizes, len(data)]:
        piece, data = data[:size], data[size:]
        got = end.receive(piece) if piece else []
        assert not (got and Signal.FAILED in events), "something follows a failure"
        events += got
    assert (Signal.FAILED in events) == (end.error is not None), "a failure has no reason"
    assert len(end._handshake.reader._buffer) < MOST_KEPT, "more than a record is kept"
    check_data(scenario, events)
    return reason(end) or ("complete" if end.is_complete else "incomplete")


def check_data(scenario: Scenario, events: list[TLSEvent]) -> None:
    """Raise when other data came than the peer's, or before the handshake was complete."""
    heard = [event for event in events if isinstance(event, bytes)]
    assert len(heard) <= len(DATA), "more data than the peer's"
    assert not heard or events[0] is Signal.COMPLETE, "data before the handshake is complete"
    cut_off = 7 if scenario.cipher == "DES-CBC3-MD5" else 0
    for one, whole in zip(heard, DATA, strict=False):
        assert (whole + bytes(cut_off)).startswith(one), "other data than the peer's"
        assert len(whole) - len(one) <= cut_off, "data is missing"


def main() -> None:
    """Try many, and print how they ended."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=11)
    options = parser.parse_args()
    chance, ends = random.Random(options.seed), Counter[str]()
    begin, all_of_them = time.monotonic(), scenarios()
    for number in range(options.count):
        scenario = chance.choice(all_of_them)
        data = scenario.said
        changes = [
            Change(chance.choice(KINDS), chance.random(), chance.choice((1, 1, 1, 2, 3, 40)),
                   chance.randrange(256))
            for _ in range(chance.choice((1, 1, 1, 2, 5)))
        ]  # fmt: skip
        for change in changes:
            data = change.apply(data)
        sizes = [chance.randrange(1, 2000) for _ in range(chance.randrange(4))]
        try:
            ends[examine(scenario, data, sizes)] += 1
        except BaseException:
            print(f"number {number}: {scenario.name}, {scenario.side}: {changes}, {sizes}")
            raise
    for how, count in ends.most_common():
        print(f"{count:>9}  {how}")
    print(f"{options.count:>9}  in {time.monotonic() - begin:.0f} s, none with an exception")


if __name__ == "__main__":
    main()
