"""Changes conversations of SSL 3.0, and looks at what an engine makes of them.

    python -m tests.tls.legacy.mutate_ssl3 --count 1000000 --seed 11

Conversations of two engines are recorded: with every kind of cipher and key exchange, with
and without a client's certificate. A new engine, with the same random bytes, is given what
its peer has said, with some bytes changed, left out, repeated or put in, cut anywhere.
Whatever that is:

- no exception is raised;
- the only data is the peer's, none left out before it;
- a handshake that is complete has asked about the peer's very certificates;
- after a failure nothing follows, and a failure has a reason;
- no more is kept than a record and a message.
"""

from __future__ import annotations

import argparse
import functools
import random
import time
from collections import Counter
from collections.abc import Callable
from typing import Final
from unittest.mock import patch

from attrs import evolve, frozen
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from tests.tls.legacy.mutate_ssl2 import KINDS, Change, identity
from tests.tls.legacy.ssl3_pair import Judge, client_config, drawn, reason, server_config
from txtransport.config.policy import Side, Verify
from txtransport.tls.engine import Signal, TLSEvent
from txtransport.tls.legacy import ssl3_handshake
from txtransport.tls.legacy.ssl3 import SSL3Engine

DATA: Final = (b"the first", bytes(300), b"x" * 17, b"the last")
"""What each side says when the handshake is complete."""

MOST_KEPT: Final = 5 + 2**14 + 2048 + 2**17 + 2**14

SUITES: Final = {
    "RC4-SHA": 6,
    "RC4-MD5": 2,
    "AES256-SHA": 6,
    "DES-CBC3-SHA": 6,
    "ECDHE-RSA-RC4-SHA": 2,
    "DHE-RSA-AES128-SHA": 1,
}
"""The suites, and how often each is taken: Diffie-Hellman is slow. With elliptic curves,
whose keys are new each time, a repeated handshake is never complete."""


def encrypted(key: RSAPublicKey, secret: bytes) -> bytes:
    """A client's secret for a server, with a padding that is always the same."""
    numbers, size = key.public_numbers(), (key.key_size + 7) // 8
    padded = b"\x00\x02" + b"\xaa" * (size - 3 - len(secret)) + b"\x00" + secret
    return pow(int.from_bytes(padded, "big"), numbers.e, numbers.n).to_bytes(size, "big")


@frozen
class Scenario:
    """A conversation.

    Attributes:
        suite: The suite.
        certificate: Whether the server asks for the client's certificate, which it has.
        side: Whose engine is looked at.
        said: What its peer has said.
    """

    suite: str
    certificate: Verify
    side: Side
    said: bytes = b""

    def engine(self, side: Side, judge: Callable[[tuple[bytes, ...]], bool]) -> SSL3Engine:
        """A new engine, with the random bytes that it had.

        Args:
            side: Whose.
            judge: Is asked about the peer.
        """
        draw = drawn(f"{self.suite} {self.certificate} {side.value}")
        if side is Side.CLIENT:
            config = client_config(self.suite, identity=identity("client"), verify=judge)
        else:
            config = server_config(
                self.suite,
                identity=identity("server"),
                certificate=self.certificate,
                verify=judge,
            )
        made = SSL3Engine(config, entropy=draw)
        made.start()
        return made

    @property
    def shown(self) -> tuple[bytes, ...]:
        """The peer's certificates."""
        if self.side is Side.CLIENT:
            return identity("server").chain
        return () if self.certificate is Verify.NO else identity("client").chain


@functools.cache
def scenarios() -> tuple[Scenario, ...]:
    """All conversations, recorded."""
    return tuple(
        recorded(Scenario(suite, certificate, side))
        for suite in SUITES
        for certificate in (Verify.NO, Verify.OPTIONAL)
        for side in Side
    )


@patch.object(ssl3_handshake, "encrypted", encrypted)
def recorded(scenario: Scenario) -> Scenario:
    """The conversation, with what the peer has said."""
    ends = {side: scenario.engine(side, Judge()) for side in Side}
    ours, peer = ends.pop(scenario.side), next(iter(ends.values()))
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
            return evolve(scenario, said=said)


@patch.object(ssl3_handshake, "encrypted", encrypted)
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
    judge = Judge()
    end = scenario.engine(scenario.side, judge)
    events: list[TLSEvent] = []
    for size in [*sizes, len(data)]:
        piece, data = data[:size], data[size:]
        got = end.receive(piece) if piece else []
        assert not (got and Signal.FAILED in events), "something follows a failure"
        events += got
        assert len(end._reader._buffer) + len(end._message) < MOST_KEPT, "too much is kept"
    assert (Signal.FAILED in events) == (end.error is not None), "a failure has no reason"
    check_data(scenario, judge, events)
    if end.error is not None:
        return reason(end)
    return "complete" if end.is_complete else "incomplete"


def check_data(scenario: Scenario, judge: Judge, events: list[TLSEvent]) -> None:
    """Raise when other data came than the peer's, or of another peer."""
    heard = b"".join(event for event in events if isinstance(event, bytes))
    assert b"".join(DATA).startswith(heard), "other data came than the peer's"
    is_complete = bool(events) and events[0] is Signal.COMPLETE
    assert is_complete or not heard, "data came before the handshake was complete"
    assert events.count(Signal.COMPLETE) == is_complete, "a handshake is complete too late"
    assert not is_complete or judge.asked == [scenario.shown], "another peer was accepted"


def main() -> None:
    """Try as many as one is told."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=11)
    options = parser.parse_args()
    chance, ends = random.Random(options.seed), Counter[str]()
    all_of_them = [one for one in scenarios() for _ in range(SUITES[one.suite])]
    begin = time.monotonic()
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
            print(f"number {number}: {scenario.suite}, {scenario.side}: {changes}, {sizes}")
            raise
    for how, count in ends.most_common():
        print(f"{count:>9}  {how}")
    print(f"{options.count:>9}  in {time.monotonic() - begin:.0f} s, none with an exception")


if __name__ == "__main__":
    main()
