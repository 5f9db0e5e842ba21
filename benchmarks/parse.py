"""Parsing: a URL becomes a value.

CPU time of one call, in this process. The others do less (urllib, here without
its cache, checks almost nothing) or more (Twisted makes an endpoint).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final
from urllib.parse import urlsplit

import hyperlink
from twisted.internet.endpoints import clientFromString
from twisted.internet.testing import MemoryReactorClock

from benchmarks.lab.report import Table, make_table
from benchmarks.lab.workload import Lab, Workload
from txtransport.config.url import TransportURL

CALLS: Final = 500

BARE: Final = "tls://www.example.com:443"
OPTION: Final = "tls://www.example.com:443?verify_depth=3"
ZONE: Final = "tcp://[fe80::1%25eth0]:80"
BASE: Final = "stock Twisted, clientFromString(tcp:…)"


def tables(lab: Lab) -> Iterator[Table]:
    """Measure and summarise."""
    reactor = MemoryReactorClock()
    split = inspect.unwrap(urlsplit)
    candidates: dict[str, Callable[[], object]] = {
        "txtransport, bare": lambda: TransportURL.parse(BARE),
        "txtransport, one option": lambda: TransportURL.parse(OPTION),
        "txtransport, IPv6 and zone": lambda: TransportURL.parse(ZONE),
        BASE: lambda: clientFromString(reactor, "tcp:www.example.com:443"),
        "urllib.parse.urlsplit, bare": lambda: split(BARE),
        "urllib.parse.urlsplit, option": lambda: split(OPTION),
        "hyperlink.parse, bare": lambda: hyperlink.parse(BARE),
        "hyperlink.parse, one option": lambda: hyperlink.parse(OPTION),
    }
    turns = {name: partial(lab.call, read, CALLS, 1e6) for name, read in candidates.items()}
    yield make_table(
        "parse", "A URL is parsed", "µs of CPU", lab.measure(turns, lab.rounds(15)), base=BASE
    )


WORKLOAD = Workload(__doc__, tables)

if __name__ == "__main__":
    WORKLOAD.main()
