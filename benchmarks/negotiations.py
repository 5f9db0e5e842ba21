"""Measures what a STARTTLS dialogue costs: CPU time, and memory while it waits.

    python benchmarks/negotiations.py [rounds]

The dialogues run in memory, without a reactor, a socket or TLS. Prints for each
protocol:

- the median CPU time of a dialogue in microseconds, for both sides together and
  for the client alone (with recorded messages of the server);
- the bytes that a client holds while it waits for the last answer, measured with
  10,000 clients: in Python's objects (tracemalloc), and in the resident memory
  of a fresh process.

Below that, the bytes that a whole connection attempt with SMTP holds beside its
transport (endpoint, deadline, Deferred), on the client and on the server.

The goals for SMTP's client: under 100 µs, and under 4 KiB. What a dialogue adds
to a real connection is measured in handshakes.py.
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


def new_client(row: StartTLSProtocol) -> Negotiation:
    """A client's negotiation at its beginning; its nonces are always the same."""
    return Negotiation(
        row.connect, Wire(local_name="[192.0.2.7]", nonce=lambda: "0123456789abcdef")
    )


def run_dialogue(row: StartTLSProtocol, serve: Speaker) -> list[bytes]:
    """Run one dialogue to its end.

    Returns:
        The server's messages.
    """
    client, server = new_client(row), Negotiation(serve, Wire(local_name="mail.example.com"))
    replies = []
    while not (client.is_complete and server.is_complete):
        if request := client.data_to_send():
            server.receive_data(request)
        if reply := server.data_to_send():
            replies.append(reply)
            client.receive_data(reply)
    return replies


def run_client(row: StartTLSProtocol, replies: list[bytes]) -> Negotiation:
    """A client that has received these messages of the server."""
    client = new_client(row)
    client.data_to_send()
    for each in replies:
        client.receive_data(each)
        client.data_to_send()
    return client


def microseconds(work: Callable[[], object], rounds: int) -> float:
    """The CPU time of one call: the median of `rounds`, each of `DIALOGUES` calls."""
    times = []
    for _ in range(rounds):
        begin = time.process_time()
        for _ in range(DIALOGUES):
            work()
        times.append((time.process_time() - begin) / DIALOGUES * 1e6)
    return statistics.median(times)


def waiting_clients(row: StartTLSProtocol, replies: list[bytes]) -> list[Negotiation]:
    """Clients that wait for the server's last message."""
    return [run_client(row, replies[:-1]) for _ in range(WAITING)]


def traced_memory(row: StartTLSProtocol, replies: list[bytes]) -> float:
    """The bytes in Python's objects of one waiting client."""
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    clients = waiting_clients(row, replies)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return (after - before) / len(clients)


def resident_memory() -> int:
    """The bytes of this process that are in physical memory (proc(5))."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def memory_growth(name: str) -> float:
    """The bytes by which this process grows for one waiting client."""
    row = STARTTLS_PROTOCOLS[name]
    assert row.serve is not None
    replies = run_dialogue(row, row.serve)
    run_client(row, replies)
    gc.collect()
    before = resident_memory()
    clients = waiting_clients(row, replies)
    return (resident_memory() - before) / len(clients)


def memory_growth_in_fresh_process(name: str) -> float:
    """`memory_growth` in a new process, whose free memory nothing has used before."""
    run = [sys.executable, __file__, "--grown", name]
    done = subprocess.run(run, capture_output=True, text=True, check=True, timeout=120)
    return float(done.stdout)


def client_attempt_memory() -> float:
    """The bytes of a client's waiting connection attempt, beside its transport."""
    reactor = MemoryReactorClock()
    endpoint = txtransport.client(reactor, "tls://127.0.0.1:587?starttls=smtp")
    application = Factory.forProtocol(Protocol)
    transports = [StringTransport() for _ in range(WAITING)]
    gc.collect()
    before, _ = tracemalloc.get_traced_memory()
    waiting = []
    for transport in transports:
        attempt = endpoint.connect(application)
        *_, factory, _, _ = reactor.tcpClients.pop()
        protocol = factory.buildProtocol(None)
        protocol.makeConnection(transport)
        protocol.dataReceived(b"220 mail.example.com ESMTP\r\n")
        transport.clear()
        waiting.append((attempt, protocol))
    after, _ = tracemalloc.get_traced_memory()
    return (after - before) / len(waiting)


def server_attempt_memory() -> float:
    """The bytes of a server's waiting connection, beside its transport."""
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
        replies = run_dialogue(row, row.serve)
        both = microseconds(partial(run_dialogue, row, row.serve), rounds)
        alone = microseconds(partial(run_client, row, replies), rounds)
        memory = statistics.median(traced_memory(row, replies) for _ in range(3))
        process = statistics.median(memory_growth_in_fresh_process(name) for _ in range(3))
        print(f"{name:14}{both:10.1f}{alone:12.1f}{memory:11.0f}{process:13.0f}")
    tracemalloc.start()
    print(f"\n{'a whole attempt, client':36}{client_attempt_memory():11.0f}")
    gc.collect()
    print(f"{'a whole attempt, server':36}{server_attempt_memory():11.0f}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--grown"]:
        print(memory_growth(sys.argv[2]))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
