"""Does much data arrive unchanged in SSL 2.0, and how fast?

    python -m tests.tls.legacy.carry_ssl2 --mebibytes 100

A client and a server of ours, in memory: the client sends random bytes, by pieces of the
engine's size, and what arrives must be the same (SHA-256). The speeds are those of one side,
by CPU time: what encrypts, and what decrypts. 3DES carries a tenth.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import time

from tests.tls.legacy.ssl2_ends import ALL, connected


def carry(name: str, size: int) -> tuple[float, float]:
    """Carry that many bytes; returns the seconds of both sides.

    Raises:
        AssertionError: Something else arrived.
    """
    talk = connected(name)
    sender, receiver = talk.client, talk.server
    sent, heard, seconds = hashlib.sha256(), hashlib.sha256(), [0.0, 0.0]
    block = os.urandom(2**20)
    for begin in range(0, size, sender.piece):
        at = begin % (2**20 - sender.piece)
        data = block[at : at + min(sender.piece, size - begin)]
        start = time.thread_time()
        sender.send(data)
        record = sender.data_to_send()
        middle = time.thread_time()
        events = receiver.receive(record)
        seconds[0] += middle - start
        seconds[1] += time.thread_time() - middle
        sent.update(data)
        for event in events:
            assert isinstance(event, bytes), event
            heard.update(event)
    assert sent.digest() == heard.digest(), "other bytes have arrived"
    return seconds[0], seconds[1]


def main() -> None:
    """Carry data in each suite, and print how fast."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--mebibytes", type=int, default=100)
    count = parser.parse_args().mebibytes
    for name in ALL:
        size = count * 2**20 // (10 if name == "DES-CBC3-MD5" else 1)
        speeds = [size / 2**20 / one for one in carry(name, size)]
        print(f"{name:<14}{size / 2**20:>6.0f} MiB unchanged; encrypts {speeds[0]:.0f} MiB/s, "
              f"decrypts {speeds[1]:.0f} MiB/s")  # fmt: skip


if __name__ == "__main__":
    main()
