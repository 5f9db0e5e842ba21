"""Clients that resume: as `connect`, from the second connection on with a session of before.

What they are compared to is a full handshake of stock Twisted, which has no
way to resume. Stacks without one are not here.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Final

from benchmarks.connect import connections
from benchmarks.lab.report import OURS, STOCK, Table, make_table
from benchmarks.lab.workload import Lab, Workload
from benchmarks.peers import NEUTRAL, PEERS

RESUMING: Final = (OURS, NEUTRAL, "Python's ssl, blocking", "Go")


def tables(lab: Lab) -> Iterator[Table]:
    """Measure and summarise."""
    port = lab.neutral.ask("listen", role="echo")["port"]
    ways: dict[str, tuple[str, ...]] = dict.fromkeys(PEERS, ())
    ways |= {STOCK: ("",)} | dict.fromkeys(RESUMING, ("resumed",))
    turns = {
        name: partial(connections, lab, peer, port, way)
        for name, (peer, way) in lab.candidates("connect", ways=ways).items()
    }
    samples = lab.measure(turns, lab.rounds(15))
    yield make_table(
        "resume",
        "A resumed connection with echo, client (stock Twisted: a full one)",
        "µs of CPU a connection",
        samples,
        calls=lab.calls(turns, lab.burst),
    )


WORKLOAD = Workload(__doc__, tables)

if __name__ == "__main__":
    WORKLOAD.main()
