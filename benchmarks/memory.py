"""Memory of servers: what a TLS connection holds while it is idle, and after it was used.

Resident memory of a new server process, the growth divided by the connections:
after a handshake and 5 bytes there and back; after 64 KiB, 1 MiB and 4 MiB in all,
in each direction, 64 KiB at a time. The neutral client holds them open.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Final

from benchmarks.lab.report import Sample, Table, make_table
from benchmarks.lab.workload import Lab, Workload
from benchmarks.peers import NEUTRAL

STAGES: Final[Mapping[str, tuple[int, int]]] = {
    "idle": (0, 1),
    "after 64 KiB": (2**16, 2**16),
    "after 1 MiB": (2**20 - 2**16, 2**16),
    "after 4 MiB": (2**22 - 2**20, 2**16),
}
"""How many bytes are echoed before each look at the memory, and how many at a time."""

CONNECTIONS: Final = 100
"""So many that the heap's own growth hardly counts."""


def held(lab: Lab, peer: str, count: int) -> dict[str, Sample]:
    """KiB a connection at each stage, in a new process."""
    with lab.new_worker(peer) as server:
        port = server.ask("listen")["port"]
        lab.neutral.ask("connect", port=port, count=1)
        before = server.ask("memory")["bytes"]
        try:
            lab.neutral.ask("hold", port=port, count=count)
            found = {}
            for stage, (amount, piece) in STAGES.items():
                lab.neutral.ask("exchange", amount=amount, piece=piece)
                growth = server.ask("memory")["bytes"] - before
                found[stage] = Sample(growth / count / 1024)
        finally:
            lab.neutral.ask("release")
    return found


def tables(lab: Lab) -> Iterator[Table]:
    """Measure and summarise."""
    turns = {
        peer: partial(held, lab, peer, CONNECTIONS)
        for peer, _ in lab.candidates("listen", "memory").values()
        if peer != NEUTRAL  # which serves one connection at a time
    }
    found = lab.measure(turns, lab.rounds(5, quick=1))
    for stage in STAGES:
        yield make_table(
            f"memory, {stage}",
            f"A TLS connection that is open, {stage}, server",
            "KiB a connection",
            {peer: [each[stage] for each in samples] for peer, samples in found.items()},
        )


WORKLOAD = Workload(__doc__, tables)

if __name__ == "__main__":
    WORKLOAD.main()
