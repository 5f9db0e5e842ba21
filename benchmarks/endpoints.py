"""Measures what it costs to make a client endpoint, ours and Twisted's.

    python benchmarks/endpoints.py [rounds]

Prints the median time of each candidate in microseconds, and its ratio to
`txtransport.client` with a URL without options. The candidates take turns, so
that a change of the machine's speed affects all of them. Nothing is connected.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from twisted.internet.endpoints import HostnameEndpoint, clientFromString, wrapClientTLS
from twisted.internet.ssl import optionsForClientTLS
from twisted.internet.testing import MemoryReactorClock

import txtransport
from txtransport.testing.devcert import Authority

CALLS = 50


def main(rounds: int) -> None:
    """Measure and print."""
    reactor = MemoryReactorClock()
    with tempfile.TemporaryDirectory() as folder:
        cafile = str(Path(folder, "ca.pem"))
        Path(cafile).write_bytes(Authority.create().pem)
        options = optionsForClientTLS("www.example.com")
        candidates: dict[str, Callable[[], object]] = {
            "client(tls://host:443)": lambda: txtransport.client(
                reactor, "tls://www.example.com:443"
            ),
            "client(tls://…?cafile=…)": lambda: txtransport.client(
                reactor, f"tls://www.example.com:443?cafile={cafile}"
            ),
            "client(tls://…, cafile=…)": lambda: txtransport.client(
                reactor, "tls://www.example.com:443", cafile=cafile
            ),
            "client(tcp://host:80)": lambda: txtransport.client(
                reactor, "tcp://www.example.com:80"
            ),
            "Twisted, shared options": lambda: wrapClientTLS(
                options, HostnameEndpoint(reactor, "www.example.com", 443)
            ),
            "Twisted, own options": lambda: wrapClientTLS(
                optionsForClientTLS("www.example.com"),
                HostnameEndpoint(reactor, "www.example.com", 443),
            ),
            "clientFromString(tls:…)": lambda: clientFromString(reactor, "tls:www.example.com:443"),
        }
        times: dict[str, list[float]] = {name: [] for name in candidates}
        for _ in range(rounds):
            for name, make in candidates.items():
                begin = time.perf_counter()
                for _ in range(CALLS):
                    make()
                times[name].append((time.perf_counter() - begin) / CALLS * 1e6)
    base = statistics.median(times["client(tls://host:443)"])
    for name, each in times.items():
        median = statistics.median(each)
        print(f"{name:28}{median:10.1f} µs{median / base:9.1f} x")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
