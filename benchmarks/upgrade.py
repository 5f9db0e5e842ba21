"""STARTTLS: as `connect` and `serve`, with SMTP's dialogue in the clear before the handshake.

`starttls=` runs the dialogue in the endpoint; the mixin and the guard switch a
protocol in mid-conversation, as `transport.startTLS()` does in stock Twisted.
Resumed clients are compared to stock Twisted's full handshake.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Final

from benchmarks import connect, serve
from benchmarks.lab.report import OURS, Table, make_table
from benchmarks.lab.workload import Lab, Turn, Workload

KINDS: Final = ("starttls=", "mixin", "guard")
CLIENTS: Final = {OURS: (*KINDS, *(f"{kind} resumed" for kind in KINDS))}
SERVERS: Final = {OURS: KINDS}


def tables(lab: Lab) -> Iterator[Table]:
    """Measure and summarise."""
    port = lab.neutral.ask("listen", role="starttls")["port"]
    clients = {
        name: partial(connect.connections, lab, peer, port, way, "upgrade")
        for name, (peer, way) in lab.candidates("upgrade", ways=CLIENTS).items()
    }
    yield _table(lab, "client", clients)
    servers = {}
    for name, (peer, way) in lab.candidates("listen_starttls", ways=SERVERS).items():
        port = lab.worker(peer).ask("listen_starttls", way=way)["port"]
        servers[name] = partial(serve.connections, lab, peer, port, "upgrade")
    yield _table(lab, "server", servers)


def _table(lab: Lab, side: str, turns: Mapping[str, Turn]) -> Table:
    return make_table(
        f"upgrade, {side}",
        f"A connection with STARTTLS and echo, {side}",
        "µs of CPU a connection",
        lab.measure(turns, lab.rounds(15)),
        calls=lab.calls(turns, lab.burst),
    )


WORKLOAD = Workload(__doc__, tables)

if __name__ == "__main__":
    WORKLOAD.main()
