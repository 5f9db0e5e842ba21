"""What a STARTTLS dialogue costs: CPU time, and memory while it waits.

The dialogues run in memory, in this process, without a reactor, a socket or TLS.
For each protocol:

- the CPU time of a dialogue, for both sides together and for the client alone
  (with recorded messages of the server);
- the bytes that a client holds while it waits for the last answer, measured with
  2,000 clients: in Python's objects (tracemalloc), and in the resident memory
  of a new process;
- the bytes that a whole connection attempt with SMTP holds beside its transport
  (endpoint, deadline, Deferred), on the client and on the server.

The goals for SMTP's client: under 100 µs, and under 4 KiB. What a dialogue adds
to a real connection is measured by `upgrade`.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import tempfile
import tracemalloc
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock, StringTransport

import txtransport
from benchmarks.lab.processes import ROOT
from benchmarks.lab.report import OURS, Sample, Table, make_table
from benchmarks.lab.workload import Lab, Turn, Workload
from txtransport.starttls.negotiation import Negotiation
from txtransport.starttls.protocols import STARTTLS_PROTOCOLS, StartTLSProtocol
from txtransport.starttls.wire import Speaker, Wire
from txtransport.testing.devcert import Authority, write_private

NAMES: Final = ("smtp", "imap", "xmpp", "ldap", "postgres", "vnc")
DIALOGUES: Final = 200
WAITING: Final = 2_000


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


def waiting_clients(row: StartTLSProtocol, replies: list[bytes], count: int) -> list[Negotiation]:
    """Clients that wait for the server's last message."""
    return [run_client(row, replies[:-1]) for _ in range(count)]


def traced_memory(row: StartTLSProtocol, replies: list[bytes], count: int) -> Sample:
    """The bytes in Python's objects of one waiting client."""
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    clients = waiting_clients(row, replies, count)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return Sample((after - before) / len(clients))


def resident_memory() -> int:
    """The bytes of this process that are in physical memory (proc(5))."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def memory_growth(name: str, count: int) -> float:
    """The bytes by which this process grows for one waiting client."""
    row = STARTTLS_PROTOCOLS[name]
    assert row.serve is not None
    replies = run_dialogue(row, row.serve)
    run_client(row, replies)
    gc.collect()
    before = resident_memory()
    clients = waiting_clients(row, replies, count)
    return (resident_memory() - before) / len(clients)


def memory_growth_in_new_process(name: str, count: int) -> Sample:
    """`memory_growth` in a new process, whose free memory nothing has used before."""
    run = [sys.executable, "-m", "benchmarks.negotiations", "--grown", name, str(count)]
    done = subprocess.run(run, capture_output=True, text=True, check=True, timeout=120, cwd=ROOT)
    return Sample(float(done.stdout))


def client_attempt_memory(count: int) -> Sample:
    """The bytes of a client's waiting connection attempt, beside its transport."""
    reactor = MemoryReactorClock()
    endpoint = txtransport.client(reactor, "tls://127.0.0.1:587?starttls=smtp")
    application = Factory.forProtocol(Protocol)
    transports = [StringTransport() for _ in range(count)]
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    waiting = []
    for transport in transports:
        attempt = endpoint.connect(application)
        *_, factory, _, _ = reactor.tcpClients.pop()
        protocol: Any = factory.buildProtocol(None)
        protocol.makeConnection(transport)
        protocol.dataReceived(b"220 mail.example.com ESMTP\r\n")
        transport.clear()
        waiting.append((attempt, protocol))
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return Sample((after - before) / len(waiting))


def server_attempt_memory(count: int) -> Sample:
    """The bytes of a server's waiting connection, beside its transport."""
    reactor = MemoryReactorClock()
    with tempfile.TemporaryDirectory() as folder:
        pem = Path(folder, "site.pem")
        write_private(pem, Authority.create().issue("localhost").pem)
        url = f"tls+unix://{folder}/socket?starttls=smtp&local_cert={pem}"
        txtransport.server(reactor, url).listen(Factory.forProtocol(Protocol))
    factory: Any = reactor.unixServers[0][1]
    transports = [StringTransport() for _ in range(count)]
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    waiting = []
    for transport in transports:
        protocol: Any = factory.buildProtocol(None)
        protocol.makeConnection(transport)
        transport.clear()
        waiting.append(protocol)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return Sample((after - before) / len(waiting))


def tables(lab: Lab) -> Iterator[Table]:
    """Measure and summarise."""
    turns = {}
    for name in NAMES:
        row = STARTTLS_PROTOCOLS[name]
        assert row.serve is not None
        replies = run_dialogue(row, row.serve)
        for side, work in (
            ("both sides", partial(run_dialogue, row, row.serve)),
            ("client", partial(run_client, row, replies)),
        ):
            turns[f"{OURS}, {name}, {side}"] = partial(lab.call, work, DIALOGUES, 1e6)
    yield make_table(
        "dialogue",
        "A dialogue of STARTTLS, in memory",
        "µs of CPU",
        lab.measure(turns, lab.rounds(15)),
        base=None,
    )
    yield make_table(
        "waiting",
        "A client that waits for the last answer: Python's objects, and a process",
        "bytes",
        lab.measure(memory_turns(500 if lab.is_quick else WAITING), lab.rounds(3, quick=1)),
        base=None,
    )


def memory_turns(count: int) -> dict[str, Turn]:
    """What waiting clients hold, and whole attempts beside their transports."""
    turns: dict[str, Turn] = {}
    for name in NAMES:
        row = STARTTLS_PROTOCOLS[name]
        assert row.serve is not None
        replies = run_dialogue(row, row.serve)
        turns[f"{OURS}, {name}, objects"] = partial(traced_memory, row, replies, count)
        turns[f"{OURS}, {name}, process"] = partial(memory_growth_in_new_process, name, count)
    turns[f"{OURS}, smtp, a whole attempt, client"] = partial(client_attempt_memory, count)
    turns[f"{OURS}, smtp, a whole attempt, server"] = partial(server_attempt_memory, count)
    return turns


WORKLOAD = Workload(__doc__, tables)

if __name__ == "__main__":
    if sys.argv[1:2] == ["--grown"]:
        print(memory_growth(sys.argv[2], int(sys.argv[3])))
    else:
        WORKLOAD.main()
