"""Round trips: 64 bytes there and back over one connection, many times.

CPU time of the client, and the time on the clock, in which the neutral server
has its part.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from benchmarks.lab.report import Sample, Table, make_table
from benchmarks.lab.workload import Lab, Workload


def trips(lab: Lab, peer: str, port: int, count: int) -> Sample:
    """So many round trips over a new connection."""
    costs = lab.worker(peer).ask("pingpong", port=port, count=count, size=64)
    return Sample(costs["cpu"] / count * 1e6, costs["elapsed"] / count)


def tables(lab: Lab) -> Iterator[Table]:
    """Measure and summarise."""
    count = 200 if lab.is_quick else 2000
    port = lab.neutral.ask("listen", role="echo")["port"]
    turns = {
        peer: partial(trips, lab, peer, port, count)
        for peer, _ in lab.candidates("pingpong").values()
    }
    samples = lab.measure(turns, lab.rounds(9))
    yield make_table(
        "ping-pong",
        "A round trip of 64 bytes, client",
        "µs of CPU a round trip",
        samples,
        calls=lab.calls(turns, count),
    )


WORKLOAD = Workload(__doc__, tables)

if __name__ == "__main__":
    WORKLOAD.main()
