"""Bulk: one connection, as many bytes as backpressure lets through, each way.

CPU time of the client for a GiB, without the handshake. It writes pieces of 16,
64 and 256 KiB; what it receives, the neutral server has written in such pieces.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Final

from benchmarks.lab.report import Sample, Table, make_table
from benchmarks.lab.workload import Lab, Workload

PIECES: Final = (16, 64, 256)
"""KiB of one write."""


def transfer(lab: Lab, peer: str, do: str, port: int, amount: int, **request: int) -> Sample:
    """Send or receive so many bytes over a new connection."""
    costs = lab.worker(peer).ask(do, port=port, amount=amount, **request)
    return Sample(costs["cpu"] / amount * 2**30)


def tables(lab: Lab) -> Iterator[Table]:
    """Measure and summarise."""
    amount = (4 if lab.is_quick else 64) * 2**20
    for do, role in (("send", "sink"), ("receive", "source")):
        for size in PIECES:
            piece = size * 1024
            arguments = {"piece": piece} if do == "receive" else {}
            port = lab.neutral.ask("listen", role=role, amount=amount, **arguments)["port"]
            request = {"piece": piece} if do == "send" else {}
            turns = {
                peer: partial(transfer, lab, peer, do, port, amount, **request)
                for peer, _ in lab.candidates(do).values()
            }
            yield make_table(
                f"{do}, {size} KiB",
                f"Bulk, {do}: writes of {size} KiB",
                "s of CPU a GiB",
                lab.measure(turns, lab.rounds(9)),
            )


WORKLOAD = Workload(__doc__, tables)

if __name__ == "__main__":
    WORKLOAD.main()
