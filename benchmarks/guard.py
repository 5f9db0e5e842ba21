"""Measures what `guard()` costs while a conversation is in the clear: CPU time for each MiB.

    python benchmarks/guard.py [rounds]

The guarded protocols run in memory, without a reactor, a socket or TLS, and do
nothing with what they receive. Prints for each parser the median CPU time in
milliseconds, with the guard and without it, and the time that the guard adds:

- *unknown* has no parser of Twisted's, and so receives single bytes; without a
  guard it receives whole segments, as the guard also gives it after TLS;
- *boundary* is the same protocol with ``boundary=b"\\n"``;
- *lines* and *messages* have Twisted's parsers.

The goal for *unknown*: under 1 s a MiB.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from typing import Final, cast

from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import StringTransport
from twisted.protocols.basic import Int16StringReceiver, LineOnlyReceiver

import txtransport

SEGMENT: Final = 65536
"""How many bytes one read of the socket brings."""

LINE: Final = b"x" * 62 + b"\r\n"
MESSAGE: Final = b"\0\x3e" + b"x" * 62


class Unknown(Protocol):
    """A protocol without a parser of Twisted's."""

    def dataReceived(self, data: bytes) -> None:
        pass


class Lines(LineOnlyReceiver):
    """A protocol of lines."""

    def lineReceived(self, line: bytes) -> None:
        pass


class Messages(Int16StringReceiver):
    """A protocol of messages with their length in front."""

    def stringReceived(self, string: bytes) -> None:
        pass


def milliseconds(build: Callable[[], Protocol], unit: bytes, rounds: int) -> float:
    """The CPU time for a MiB: the median of `rounds`."""
    segment = unit * (SEGMENT // len(unit))
    times = []
    for _ in range(rounds):
        protocol = build()
        protocol.makeConnection(StringTransport())
        begin = time.process_time()
        for _ in range(2**20 // SEGMENT):
            protocol.dataReceived(segment)
        times.append((time.process_time() - begin) * 1e3)
    return statistics.median(times)


def guarded(protocol: type[Protocol], boundary: bytes | None) -> Callable[[], Protocol]:
    """Builds guarded protocols."""
    factory = txtransport.guard(Factory.forProtocol(protocol), boundary)
    return lambda: cast(Protocol, factory.buildProtocol(None))


def main(rounds: int) -> None:
    """Measure and print."""
    print(f"{'ms of CPU a MiB':18}{'guarded':>10}{'bare':>10}{'added':>10}")
    for name, protocol, boundary, unit in (
        ("unknown", Unknown, None, LINE),
        ("boundary", Unknown, b"\n", LINE),
        ("lines", Lines, None, LINE),
        ("messages", Messages, None, MESSAGE),
    ):
        bare = milliseconds(protocol, unit, rounds)
        own = milliseconds(guarded(protocol, boundary), unit, rounds)
        print(f"{name:18}{own:10.1f}{bare:10.1f}{own - bare:10.1f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
