"""Endpoints: what it costs to make one of a client, without connecting.

CPU time of one call, in this process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from typing import Final

from twisted.internet.endpoints import HostnameEndpoint, clientFromString, wrapClientTLS
from twisted.internet.ssl import optionsForClientTLS
from twisted.internet.testing import MemoryReactorClock

import txtransport
from benchmarks.lab.report import Table, make_table
from benchmarks.lab.workload import Lab, Workload

CALLS: Final = 50
BASE: Final = "stock Twisted, clientFromString(tls:…)"


def tables(lab: Lab) -> Iterator[Table]:
    """Measure and summarise."""
    reactor = MemoryReactorClock()
    cafile = str(lab.folder / "ca.pem")
    options = optionsForClientTLS("www.example.com")
    numbers = count()
    candidates: dict[str, Callable[[], object]] = {
        "txtransport, tls://host:443": lambda: txtransport.client(
            reactor, "tls://www.example.com:443"
        ),
        "txtransport, a URL that is new": lambda: txtransport.client(
            reactor, f"tls://www{next(numbers)}.example.com:443"
        ),
        "txtransport, tls://…?cafile=…": lambda: txtransport.client(
            reactor, f"tls://www.example.com:443?cafile={cafile}"
        ),
        "txtransport, tls://…, cafile=…": lambda: txtransport.client(
            reactor, "tls://www.example.com:443", cafile=cafile
        ),
        "txtransport, tcp://host:80": lambda: txtransport.client(
            reactor, "tcp://www.example.com:80"
        ),
        BASE: lambda: clientFromString(reactor, "tls:www.example.com:443"),
        "stock Twisted, shared options": lambda: wrapClientTLS(
            options, HostnameEndpoint(reactor, "www.example.com", 443)
        ),
        "stock Twisted, own options": lambda: wrapClientTLS(
            optionsForClientTLS("www.example.com"),
            HostnameEndpoint(reactor, "www.example.com", 443),
        ),
    }
    turns = {name: partial(lab.call, make, CALLS, 1e6) for name, make in candidates.items()}
    yield make_table(
        "endpoint",
        "A client's endpoint",
        "µs of CPU",
        lab.measure(turns, lab.rounds(15)),
        base=BASE,
    )


WORKLOAD = Workload(__doc__, tables)

if __name__ == "__main__":
    WORKLOAD.main()
