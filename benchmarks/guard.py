"""What `guard()` costs while a conversation is in the clear: CPU time for each MiB.

The guarded protocols run in memory, in this process, without a reactor, a socket
or TLS, and do nothing with what they receive:

- *unknown* has no parser of Twisted's, and so receives single bytes; without a
  guard it receives whole segments, as the guard also gives it after TLS;
- *boundary* is the same protocol with ``boundary=b"\\n"``;
- *lines* and *messages* have Twisted's parsers.

The goal for *unknown*: under 1 s a MiB.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Final, cast

from attrs import frozen
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import StringTransport
from twisted.protocols.basic import Int16StringReceiver, LineOnlyReceiver

import txtransport
from benchmarks.lab.report import OURS, STOCK, Table, make_table
from benchmarks.lab.workload import Lab, Workload

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


@frozen
class Parser:
    """A row: a protocol, and what it receives.

    Attributes:
        name: Of the table.
        protocol: Receives.
        boundary: For the guard.
        unit: Is received again and again.
    """

    name: str
    protocol: type[Protocol]
    boundary: bytes | None
    unit: bytes


PARSERS: Final = (
    Parser("unknown", Unknown, None, LINE),
    Parser("boundary", Unknown, b"\n", LINE),
    Parser("lines", Lines, None, LINE),
    Parser("messages", Messages, None, MESSAGE),
)


def receive(build: Callable[[], Protocol], unit: bytes) -> None:
    """A MiB, in segments."""
    segment = unit * (SEGMENT // len(unit))
    protocol = build()
    protocol.makeConnection(StringTransport())
    for _ in range(2**20 // SEGMENT):
        protocol.dataReceived(segment)


def guarded(protocol: type[Protocol], boundary: bytes | None) -> Callable[[], Protocol]:
    """Builds guarded protocols."""
    factory = txtransport.guard(Factory.forProtocol(protocol), boundary)
    return lambda: cast(Protocol, factory.buildProtocol(None))


def tables(lab: Lab) -> Iterator[Table]:
    """Measure and summarise."""
    for parser in PARSERS:
        builders: dict[str, Callable[[], Protocol]] = {
            OURS: guarded(parser.protocol, parser.boundary),
            STOCK: parser.protocol,
        }
        turns = {
            name: partial(lab.call, partial(receive, build, parser.unit), 1, 1e3)
            for name, build in builders.items()
        }
        yield make_table(
            f"guard, {parser.name}",
            f"In the clear, with guard() and without: {parser.name}",
            "ms of CPU a MiB",
            lab.measure(turns, lab.rounds(5)),
            base=None,  # which does next to nothing
        )


WORKLOAD = Workload(__doc__, tables)

if __name__ == "__main__":
    WORKLOAD.main()
