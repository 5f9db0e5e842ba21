"""The first answer that is not immediate: a server answers 5 ms after it was asked.

The time on the clock beyond these, at the client: not CPU, as it is a matter of
waiting. A server without TCP_NODELAY waits for the client to acknowledge the
session tickets, which takes 40 ms.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Final

from benchmarks.lab.report import Sample, Table, make_table
from benchmarks.lab.workload import Lab, Workload

DELAY: Final = 0.005
CONNECTIONS: Final = 20


def answers(lab: Lab, port: int) -> Sample:
    """The mean of the connections of one turn."""
    elapsed = lab.neutral.ask("first_answer", port=port, count=CONNECTIONS)["elapsed"]
    return Sample((elapsed / CONNECTIONS - DELAY) * 1e3)


def tables(lab: Lab) -> Iterator[Table]:
    """Measure and summarise."""
    turns = {}
    for peer, _ in lab.candidates("listen_later").values():
        port = lab.worker(peer).ask("listen_later", delay=DELAY)["port"]
        turns[peer] = partial(answers, lab, port)
    yield make_table(
        "first answer",
        "The first answer of a server that needs 5 ms for it, beyond these",
        "ms on the clock",
        lab.measure(turns, lab.rounds(9)),
    )


WORKLOAD = Workload(__doc__, tables)

if __name__ == "__main__":
    WORKLOAD.main()
