"""How fast SSL 3.0 is, and whether much of it arrives unchanged.

    python -m tests.tls.legacy.ssl3_speed --mebibytes 100

With each cipher, one engine sends so many random mebibytes to another one, in pieces of 16
KiB, both in memory. What arrives must have the same SHA-256. The time of sending and of
receiving is CPU time, each alone.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import time

from attrs import define

from tests.tls.legacy.ssl3_pair import Conversation, client_config
from txtransport.tls.legacy.ssl3_suites import SSL3_CIPHERS, SUITES


@define
class Stopwatch:
    """Counts CPU time while it is entered."""

    seconds: float = 0.0

    def __enter__(self) -> None:
        self.seconds -= time.process_time()

    def __exit__(self, *_: object) -> None:
        self.seconds += time.process_time()


def measure(suite: str, mebibytes: int) -> tuple[float, float]:
    """Send data with a suite.

    Args:
        suite: The suite.
        mebibytes: How much.

    Returns:
        Mebibytes a second, of sending and of receiving.

    Raises:
        AssertionError: Something else has arrived.
    """
    talk = Conversation(client_config(suite)).carry()
    sending, receiving, sent, heard = Stopwatch(), Stopwatch(), hashlib.sha256(), hashlib.sha256()
    for _ in range(mebibytes * 2**20 // talk.client.piece):
        data = os.urandom(talk.client.piece)
        sent.update(data)
        with sending:
            talk.client.send(data)
            records = talk.client.data_to_send()
        with receiving:
            events = talk.server.receive(records)
        for event in events:
            assert isinstance(event, bytes), talk.server.error
            heard.update(event)
    assert sent.digest() == heard.digest(), f"{suite}: other bytes have arrived"
    return mebibytes / sending.seconds, mebibytes / receiving.seconds


def main() -> None:
    """Measure one suite for each cipher and hash."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--mebibytes", type=int, default=100)
    options = parser.parse_args()
    kinds = {(SUITES[name].cipher, SUITES[name].digest): name for name in SSL3_CIPHERS}
    print("| cipher | MiB/s sent | MiB/s received |\n|---|---|---|")
    for name in kinds.values():
        sent, received = measure(name, options.mebibytes)
        print(f"| {name} | {sent:.0f} | {received:.0f} |")


if __name__ == "__main__":
    main()
