"""UDP: a server sends 64 bytes back, with 16 datagrams of a neutral client on their way.

CPU time of the server for each datagram.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from benchmarks.lab.report import Sample, Table, make_table
from benchmarks.lab.workload import Lab, Workload


def echoes(lab: Lab, peer: str, port: int, count: int) -> Sample:
    """So many datagrams."""
    server = lab.worker(peer)
    before = server.ask("usage")["cpu"]
    costs = lab.neutral.ask("ask_datagrams", port=port, count=count, size=64)
    return Sample((server.ask("usage")["cpu"] - before) / count * 1e6, costs["elapsed"] / count)


def tables(lab: Lab) -> Iterator[Table]:
    """Measure and summarise."""
    count = 1000 if lab.is_quick else 10_000
    turns = {}
    for name, (peer, _) in lab.candidates("datagrams").items():
        port = lab.worker(peer).ask("datagrams")["port"]
        turns[name] = partial(echoes, lab, peer, port, count)
    samples = lab.measure(turns, lab.rounds(9))
    yield make_table(
        "datagrams",
        "A datagram of 64 bytes, sent back by a server",
        "µs of CPU a datagram",
        samples,
        calls=lab.calls(turns, count),
    )


WORKLOAD = Workload(__doc__, tables)

if __name__ == "__main__":
    WORKLOAD.main()
