"""Measures what a connection costs on the loopback interface, ours and Twisted's.

    python benchmarks/handshakes.py [connections]

Each connection completes a handshake, sends 5 bytes, receives them back and
closes. Client and server are one process, so the CPU time is that of both.
Prints the medians of CPU time (microseconds) and elapsed time (milliseconds) for
each connection, and the ratio of Twisted's CPU time, with shared options, to it.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from twisted.internet import task
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, SSL4ServerEndpoint, wrapClientTLS
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import (
    Certificate,
    PrivateCertificate,
    optionsForClientTLS,
    trustRootFromCertificates,
)

import txtransport
from txtransport.testing.devcert import Authority, write_private

BATCH = 20


class Echo(Protocol):
    """Sends back what it receives."""

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)


class Greeting(Echo):
    """Sends a greeting as mail servers do, which our server endpoint withholds."""

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(b"220 localhost ESMTP\r\n")


class Once(Protocol):
    """Sends 5 bytes, waits until they come back, and closes."""

    def __init__(self) -> None:
        self.closed: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(b"hello")

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.loseConnection()

    def connectionLost(self, reason: Any = None) -> None:
        self.closed.callback(None)


async def main(reactor: Any, connections: int) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        authority = Authority.create()
        site = authority.issue("localhost")
        cafile, pem = Path(folder, "ca.pem"), Path(folder, "site.pem")
        cafile.write_bytes(authority.pem)
        write_private(pem, site.pem)
        echo = Factory.forProtocol(Echo)
        ours = await txtransport.server(reactor, f"tls://127.0.0.1:0?local_cert={pem}").listen(echo)
        stock = await SSL4ServerEndpoint(
            reactor, 0, PrivateCertificate.loadPEM(site.pem).options(), interface="127.0.0.1"
        ).listen(echo)
        trust = trustRootFromCertificates([Certificate.loadPEM(authority.pem)])
        mail = await txtransport.server(
            reactor, f"tls://127.0.0.1:0?starttls=smtp&local_cert={pem}"
        ).listen(Factory.forProtocol(Greeting))
        shared = optionsForClientTLS("localhost", trustRoot=trust)
        our_port, stock_port = ours.getHost().port, stock.getHost().port
        mail_port = mail.getHost().port
        url = f"tls://localhost:{our_port}?cafile={cafile}"

        def twisted_client() -> Any:
            return wrapClientTLS(shared, HostnameEndpoint(reactor, "127.0.0.1", stock_port))

        candidates = {
            "Twisted, shared options": twisted_client,
            "txtransport, full": lambda: txtransport.client(
                reactor,
                f"tls://127.0.0.1:{our_port}?cafile={cafile}&no_ticket=yes&peer_name=localhost",
            ),
            "txtransport, resumed": lambda: txtransport.client(
                reactor, f"tls://127.0.0.1:{our_port}?cafile={cafile}&peer_name=localhost"
            ),
            "txtransport, starttls=smtp": lambda: txtransport.client(
                reactor,
                f"tls://127.0.0.1:{mail_port}?cafile={cafile}&no_ticket=yes"
                "&peer_name=localhost&starttls=smtp",
            ),
            "txtransport, by name": lambda: txtransport.client(reactor, url),
        }
        cpu: dict[str, list[float]] = {name: [] for name in candidates}
        wall: dict[str, list[float]] = {name: [] for name in candidates}
        for _ in range(max(1, connections // BATCH)):
            for name, endpoint in candidates.items():
                began, clock = time.process_time(), time.perf_counter()
                for _ in range(BATCH):
                    once = await endpoint().connect(Factory.forProtocol(Once))
                    await once.closed
                cpu[name].append((time.process_time() - began) / BATCH * 1e6)
                wall[name].append((time.perf_counter() - clock) / BATCH * 1e3)
        base = statistics.median(cpu["Twisted, shared options"])
        print(f"{'':28}{'CPU µs':>10}{'ms':>9}{'stock ÷ this':>15}")
        for name in candidates:
            median = statistics.median(cpu[name])
            each = statistics.median(wall[name])
            print(f"{name:28}{median:10.0f}{each:9.2f}{base / median:15.2f}")
        full, upgraded = (
            statistics.median(cpu[f"txtransport, {kind}"]) for kind in ("full", "starttls=smtp")
        )
        print(f"starttls=smtp adds {upgraded - full:.0f} µs to a full handshake, on both sides")
        await ours.stopListening()
        await mail.stopListening()
        await stock.stopListening()


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    task.react(lambda reactor: Deferred.fromCoroutine(main(reactor, count)))
