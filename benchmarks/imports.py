"""Import: a new Python, until the first endpoint of TLS is there (nothing is connected).

CPU time of the whole process. txtransport has Twisted's reactor to import as
well, so that what it adds is its row without stock Twisted's.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Final

from benchmarks.lab.processes import child_cpu_seconds
from benchmarks.lab.report import OURS, STOCK, Sample, Table, make_table
from benchmarks.lab.workload import Lab, Workload, measured_core

PROGRAMS: Final[Mapping[str, str]] = {
    OURS: """
from twisted.internet import reactor
import txtransport
txtransport.client(reactor, "tls://localhost:443")
""",
    STOCK: """
from twisted.internet import reactor
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.ssl import optionsForClientTLS
wrapClientTLS(optionsForClientTLS("localhost"), HostnameEndpoint(reactor, "localhost", 443))
""",
    "nothing": "",
    "asyncio": "import asyncio, ssl",
    "uvloop": "import asyncio, ssl, uvloop",
    "trio": "import ssl, trio",
    "anyio": "import ssl, anyio; from anyio.streams import tls; import anyio._backends._asyncio",
}
"""What each imports; asyncio and its kin have nothing like an endpoint to make."""


def started(program: str) -> Sample:
    """Run Python once."""
    cpu, elapsed = child_cpu_seconds([sys.executable, "-c", program], measured_core())
    return Sample(cpu * 1e3, elapsed)


def tables(lab: Lab) -> Iterator[Table]:
    """Measure and summarise."""
    turns = {
        name: partial(started, program)
        for name, program in PROGRAMS.items()
        if name in (OURS, STOCK, "nothing") or importlib.util.find_spec(name)
    }
    yield make_table(
        "import",
        "From a new Python to the first endpoint",
        "ms of CPU",
        lab.measure(turns, lab.rounds(9)),
    )


WORKLOAD = Workload(__doc__, tables)

if __name__ == "__main__":
    WORKLOAD.main()
