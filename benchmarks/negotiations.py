"""What a dialogue before TLS costs: its CPU time, and the memory of those that wait.

    python benchmarks/negotiations.py [rounds]

The dialogues are held in memory, without a reactor, a socket or TLS. Prints the
median of microseconds a dialogue, of both sides together and of the client alone
(whose server's words are known), and the bytes that each of 10,000 clients holds
that wait for the last answer: of Python's objects (tracemalloc) and of the
process (resident, measured in a process of its own for each protocol). Below
that, what each of 10,000 whole attempts at SMTP holds beside its transport: with
endpoint, deadline and Deferred, on both sides.

The goals are those of SMTP's client: under 100 µs, and under 4 KiB. What a
dialogue adds to a real connection is in handshakes.py.
"""

from __future__ import annotations

import gc
import os
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock, StringTransport

import txtransport
from txtransport.starttls.negotiation import Negotiation
from txtransport.starttls.protocols import STARTTLS_PROTOCOLS, StartTLSProtocol
from txtransport.starttls.wire import Speaker, Wire
from txtransport.testing.devcert import Authority, write_private

NAMES: Final = ("smtp", "imap", "xmpp", "ldap", "postgres", "vnc")
DIALOGUES: Final = 200
WAITING: Final = 10_000


def client_of(row: StartTLSProtocol) -> Negotiation:
    """A client at the beginning; its private words are always the same."""
    return Negotiation(
        row.connect, Wire(local_name="[192.0.2.7]", nonce=lambda: "0123456789abcdef")
    )


def talk(row: StartTLSProtocol, serve: Speaker) -> list[bytes]:
    """Hold one dialogue.

    Returns:
        What the server said.
    """
    client, server = client_of(row), Negotiation(serve, Wire(local_name="mail.example.com"))
    words = []
    while not (client.is_complete and server.is_complete):
        if asked := client.data_to_send():
            server.receive_data(asked)
        if answered := server.data_to_send():
            words.append(answered)
            client.receive_data(answered)
    return words


def told(row: StartTLSProtocol, words: list[bytes]) -> Negotiation:
    """A client to which these things were said."""
    client = client_of(row)
    client.data_to_send()
    for each in words:
        client.receive_data(each)
        client.data_to_send()
    return client


def microseconds(work: Callable[[], object], rounds: int) -> float:
    """CPU time of one call: the median of rounds of many."""
    times = []
    for _ in range(rounds):
        begin = time.process_time()
        for _ in range(DIALOGUES):
            work()
        times.append((time.process_time() - begin) / DIALOGUES * 1e6)
    return statistics.median(times)


def waiting(row: StartTLSProtocol, words: list[bytes]) -> list[Negotiation]:
    """Clients that wait for the last answer."""
    return [told(row, words[:-1]) for _ in range(WAITING)]


def traced(row: StartTLSProtocol, words: list[bytes]) -> float:
    """Bytes of Python's objects of one that waits."""
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    clients = waiting(row, words)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return (after - before) / len(clients)


def resident() -> int:
    """Bytes of this process that are in memory (proc(5))."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def grown(name: str) -> float:
    """Bytes by which this process grows for one that waits."""
    row = STARTTLS_PROTOCOLS[name]
    assert row.serve is not None
    words = talk(row, row.serve)
    told(row, words)
    gc.collect()
    before = resident()
    clients = waiting(row, words)
    return (resident() - before) / len(clients)


def apart(name: str) -> float:
    """`grown`, in a process that has held nothing else."""
    run = [sys.executable, __file__, "--grown", name]
    done = subprocess.run(run, capture_output=True, text=True, check=True, timeout=120)
    return float(done.stdout)


def attempts() -> float:
    """Bytes of a client's whole attempt that waits, beside its transport."""
    reactor = MemoryReactorClock()
    endpoint = txtransport.client(reactor, "tls://127.0.0.1:587?starttls=smtp")
    protocols = Factory.forProtocol(Protocol)
    transports = [StringTransport() for _ in range(WAITING)]
    gc.collect()
    before, _ = tracemalloc.get_traced_memory()
    waiting = []
    for transport in transports:
        attempt = endpoint.connect(protocols)
        *_, factory, _, _ = reactor.tcpClients.pop()
        protocol = factory.buildProtocol(None)
        protocol.makeConnection(transport)
        protocol.dataReceived(b"220 mail.example.com ESMTP\r\n")
        transport.clear()
        waiting.append((attempt, protocol))
    after, _ = tracemalloc.get_traced_memory()
    return (after - before) / len(waiting)


def arrivals() -> float:
    """Bytes of a server's connection that waits, beside its transport."""
    reactor = MemoryReactorClock()
    with tempfile.TemporaryDirectory() as folder:
        pem = Path(folder, "site.pem")
        write_private(pem, Authority.create().issue("localhost").pem)
        url = f"tls+unix://{folder}/socket?starttls=smtp&local_cert={pem}"
        txtransport.server(reactor, url).listen(Factory.forProtocol(Protocol))
    factory = reactor.unixServers[0][1]
    transports = [StringTransport() for _ in range(WAITING)]
    gc.collect()
    before, _ = tracemalloc.get_traced_memory()
    waiting = []
    for transport in transports:
        protocol = factory.buildProtocol(None)
        protocol.makeConnection(transport)
        transport.clear()
        waiting.append(protocol)
    after, _ = tracemalloc.get_traced_memory()
    return (after - before) / len(waiting)


def main(rounds: int) -> None:
    """Measure and print."""
    print(f"{'':14}{'both, µs':>10}{'client, µs':>12}{'traced, B':>11}{'resident, B':>13}")
    for name in NAMES:
        row = STARTTLS_PROTOCOLS[name]
        assert row.serve is not None
        words = talk(row, row.serve)
        both = microseconds(partial(talk, row, row.serve), rounds)
        alone = microseconds(partial(told, row, words), rounds)
        memory = statistics.median(traced(row, words) for _ in range(3))
        process = statistics.median(apart(name) for _ in range(3))
        print(f"{name:14}{both:10.1f}{alone:12.1f}{memory:11.0f}{process:13.0f}")
    tracemalloc.start()
    print(f"\n{'a whole attempt, client':36}{attempts():11.0f}")
    gc.collect()
    print(f"{'a whole attempt, server':36}{arrivals():11.0f}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--grown"]:
        print(grown(sys.argv[2]))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
