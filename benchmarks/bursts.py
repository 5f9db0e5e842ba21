"""Small writes: 100 of 64 bytes at once, then an answer of one byte is awaited.

CPU time of the client for each write. A stack that joins such writes into one
record is ahead here.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Final

from benchmarks.lab.report import Sample, Table, make_table
from benchmarks.lab.workload import Lab, Workload

WRITES: Final = 100
SIZE: Final = 64


def writes(lab: Lab, peer: str, port: int, count: int) -> Sample:
    """So many bursts over a new connection."""
    costs = lab.worker(peer).ask("bursts", port=port, count=count, writes=WRITES, size=SIZE)
    return Sample(costs["cpu"] / count / WRITES * 1e6)


def tables(lab: Lab) -> Iterator[Table]:
    """Measure and summarise."""
    count = 20 if lab.is_quick else 200
    port = lab.neutral.ask("listen", role="sink", amount=WRITES * SIZE)["port"]
    turns = {
        peer: partial(writes, lab, peer, port, count)
        for peer, _ in lab.candidates("bursts").values()
    }
    samples = lab.measure(turns, lab.rounds(9))
    yield make_table(
        "small writes",
        "Bursts of 100 writes of 64 bytes, client",
        "µs of CPU a write",
        samples,
        calls=lab.calls(turns, count * WRITES),
    )


WORKLOAD = Workload(__doc__, tables)

if __name__ == "__main__":
    WORKLOAD.main()
