"""Measures what it costs to parse a URL, with `TransportURL` and three other parsers.

    python benchmarks/parse.py [rounds]

Prints the median time of each candidate in microseconds, and its ratio to
`TransportURL.parse` of a URL without options. The others do less (urllib, here
without its cache, checks almost nothing) or more (Twisted makes an endpoint).
"""

from __future__ import annotations

import inspect
import statistics
import sys
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import hyperlink
from twisted.internet.endpoints import clientFromString
from twisted.internet.testing import MemoryReactorClock

from txtransport.config.url import TransportURL

CALLS = 500

BARE = "tls://www.example.com:443"
OPTION = "tls://www.example.com:443?verify_depth=3"
ZONE = "tcp://[fe80::1%25eth0]:80"


def main(rounds: int) -> None:
    """Measure and print."""
    reactor = MemoryReactorClock()
    split = inspect.unwrap(urlsplit)
    candidates: dict[str, Callable[[], object]] = {
        "TransportURL.parse, bare": lambda: TransportURL.parse(BARE),
        "TransportURL.parse, one option": lambda: TransportURL.parse(OPTION),
        "TransportURL.parse, IPv6 and zone": lambda: TransportURL.parse(ZONE),
        "urllib.parse.urlsplit, bare": lambda: split(BARE),
        "urllib.parse.urlsplit, option": lambda: split(OPTION),
        "hyperlink.parse, bare": lambda: hyperlink.parse(BARE),
        "hyperlink.parse, one option": lambda: hyperlink.parse(OPTION),
        "clientFromString(tcp:…)": lambda: clientFromString(reactor, "tcp:www.example.com:443"),
    }
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, read in candidates.items():
            times[name].append(microseconds(read))
    base = statistics.median(times["TransportURL.parse, bare"])
    for name, each in times.items():
        median = statistics.median(each)
        print(f"{name:32}{median:10.2f} µs{median / base:9.2f} x")


def microseconds(read: Callable[[], object]) -> float:
    """The time of one call, measured over `CALLS` calls."""
    begin = time.perf_counter()
    for _ in range(CALLS):
        read()
    return (time.perf_counter() - begin) / CALLS * 1e6


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
