"""Clients: verified connections, one after another, 5 bytes there and back, closed cleanly.

CPU time of the client, by bursts of 40 connections. Python calls are counted
with cProfile in a burst of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Final

from benchmarks.lab.report import STOCK, Sample, Table, make_table
from benchmarks.lab.workload import Lab, Workload

WAYS: Final[Mapping[str, tuple[str, ...]]] = {STOCK: ("", "HostnameEndpoint")}
"""How a peer connects, where there is more than one way."""


def connections(lab: Lab, peer: str, port: int, way: str = "", do: str = "connect") -> Sample:
    """A burst of a client that is measured."""
    costs = lab.worker(peer).ask(do, port=port, count=lab.burst, way=way)
    return Sample(costs["cpu"] / lab.burst * 1e6, costs["elapsed"] / lab.burst)


def tables(lab: Lab) -> Iterator[Table]:
    """Measure and summarise."""
    port = lab.neutral.ask("listen", role="echo")["port"]
    candidates = lab.candidates("connect", ways=WAYS)
    turns = {
        name: partial(connections, lab, peer, port, way) for name, (peer, way) in candidates.items()
    }
    samples = lab.measure(turns, lab.rounds(15))
    yield make_table(
        "connect",
        "A verified connection with echo, client",
        "µs of CPU a connection",
        samples,
        calls=lab.calls(turns, lab.burst),
    )


WORKLOAD = Workload(__doc__, tables)

if __name__ == "__main__":
    WORKLOAD.main()
