"""Servers: connections of a neutral client, one after another, 5 bytes echoed.

CPU time of the server, by bursts of 40 connections. OpenSSL's servers send two
session tickets a connection; `no_ticket` and stock Twisted send none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Final

from benchmarks.lab.report import OURS, Sample, Table, make_table
from benchmarks.lab.workload import Lab, Workload

WAYS: Final[Mapping[str, tuple[str, ...]]] = {OURS: ("", "no_ticket")}
"""How a peer serves, where there is more than one way."""


def connections(lab: Lab, peer: str, port: int, do: str = "connect") -> Sample:
    """A burst of the neutral client at a server that is measured."""
    server = lab.worker(peer)
    before = server.ask("usage")["cpu"]
    costs = lab.neutral.ask(do, port=port, count=lab.burst)
    return Sample(
        (server.ask("usage")["cpu"] - before) / lab.burst * 1e6, costs["elapsed"] / lab.burst
    )


def tables(lab: Lab) -> Iterator[Table]:
    """Measure and summarise."""
    turns = {}
    for name, (peer, way) in lab.candidates("listen", ways=WAYS).items():
        port = lab.worker(peer).ask("listen", way=way)["port"]
        turns[name] = partial(connections, lab, peer, port)
    samples = lab.measure(turns, lab.rounds(15))
    yield make_table(
        "serve",
        "A connection with echo, server",
        "µs of CPU a connection",
        samples,
        calls=lab.calls(turns, lab.burst),
    )


WORKLOAD = Workload(__doc__, tables)

if __name__ == "__main__":
    WORKLOAD.main()
