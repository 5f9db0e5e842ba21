"""Blocking pyOpenSSL: what stands at the other end of every measured connection.

It serves one connection at a time, each to its end, and so costs little and
always the same. Measured itself, it shows what Python and pyOpenSSL cost without
an event loop: the least that every stack on them costs. (It verifies the chain and not the
name, for which pyOpenSSL has nothing.)
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

from OpenSSL import SSL

from benchmarks.lab.worker import PATIENCE, Costs, obey, run_blocking

FOLDER: Final = Path(sys.argv[1])
READ: Final = 65536

Role = Callable[[Any], None]
"""What a server does with a connection, until the client closes it."""


def openssl_version() -> str:
    """Of the library that cryptography brings along."""
    version = SSL.SSLeay_version(SSL.SSLEAY_VERSION).decode()
    return f"{' '.join(version.split()[:2])}, which cryptography brings along"


def new_context() -> SSL.Context:
    """OpenSSL's defaults, from TLS 1.2 on; with verification, and with a certificate."""
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    return context


SERVER: Final = new_context()
SERVER.use_certificate_chain_file(str(FOLDER / "site.pem"))
SERVER.use_privatekey_file(str(FOLDER / "site.pem"))

CLIENT: Final = new_context()
CLIENT.load_verify_locations(str(FOLDER / "ca.pem"))
CLIENT.set_verify(SSL.VERIFY_PEER)

_listeners: dict[socket.socket, tuple[Role, bool]] = {}
_idle: list[Any] = []
_session: list[Any] = []


def bounded(connection: socket.socket) -> socket.socket:
    """A blocking socket on which no call takes longer than `PATIENCE`, by the kernel."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        connection.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", int(PATIENCE), 0))
    return connection


# --- The server ---------------------------------------------------------------------------


def echo(tls: Any) -> None:
    """Send back what comes."""
    while True:
        tls.sendall(tls.recv(READ))


def sink(tls: Any, amount: int) -> None:
    """Answer one byte for each `amount` bytes."""
    received = 0
    while True:
        received += len(tls.recv(READ))
        if received >= amount:
            received -= amount
            tls.sendall(b".")


def source(tls: Any, amount: int, piece: int) -> None:
    """Answer each byte with `amount` bytes, written `piece` bytes at a time."""
    data = bytes(piece)
    while True:
        tls.recv(1)
        for _ in range(amount // piece):
            tls.sendall(data)


ROLES: Final[dict[str, Callable[..., None]]] = {
    "echo": echo, "sink": sink, "source": source, "starttls": echo
}  # fmt: skip


def start_tls(plain: socket.socket) -> None:
    """The server's part of STARTTLS of SMTP: a client asks twice."""
    plain.sendall(b"220 localhost ESMTP\r\n")
    for reply in (b"250-localhost\r\n250 STARTTLS\r\n", b"220 go ahead\r\n"):
        if not plain.recv(READ):
            return
        plain.sendall(reply)


def serve(listener: socket.socket) -> None:
    """Serve one connection to its end."""
    connection, _ = listener.accept()
    role, is_clear = _listeners[listener]
    with bounded(connection):
        tls = SSL.Connection(SERVER, connection)
        tls.set_accept_state()
        try:
            if is_clear:
                start_tls(connection)
            tls.do_handshake()
            role(tls)
        except SSL.ZeroReturnError:
            with contextlib.suppress(SSL.Error):
                tls.shutdown()
        except (SSL.Error, OSError):
            pass  # the client that is measured tells what went wrong


async def listen(role: str = "echo", way: str = "", **arguments: int) -> dict[str, int]:
    listener = socket.create_server(("127.0.0.1", 0))
    _listeners[listener] = partial(ROLES[role], **arguments), role == "starttls"
    return {"port": listener.getsockname()[1]}


async def release() -> dict[str, int]:
    """Close the connections that are held."""
    for tls in _idle:
        tls.close()
    _idle.clear()
    return {}


async def readable(descriptor: int) -> None:
    """Serve until a command is there."""
    while True:
        descriptors = {listener.fileno(): listener for listener in _listeners}
        ready, _, _ = select.select([descriptor, *descriptors], [], [])
        if descriptor in ready:
            return
        for each in ready:
            serve(descriptors[each])


# --- The client ---------------------------------------------------------------------------


def opened(port: int, session: Any = None) -> Any:
    """A verified connection."""
    tls = SSL.Connection(CLIENT, bounded(socket.create_connection(("127.0.0.1", port))))
    tls.set_tlsext_host_name(b"localhost")
    tls.set_verify(SSL.VERIFY_PEER)
    if session is not None:
        tls.set_session(session)
    tls.set_connect_state()
    tls.do_handshake()
    return tls


def closed(tls: Any) -> None:
    """Say close_notify, wait for the peer's, and close."""
    with contextlib.suppress(SSL.Error):
        if not tls.shutdown():
            tls.recv(1)
    tls.close()


def read(tls: Any, amount: int) -> None:
    """Read exactly so much."""
    while amount > 0:
        amount -= len(tls.recv(min(READ, amount)))


@contextlib.contextmanager
def connection(port: int) -> Iterator[Any]:
    tls = opened(port)
    yield tls
    closed(tls)


async def connect(port: int, count: int, way: str = "") -> dict[str, float]:
    with Costs() as costs:
        for _ in range(count):
            tls = opened(port, _session[0] if way == "resumed" and _session else None)
            tls.sendall(b"hello")
            read(tls, 5)
            if way == "resumed":
                _session[:] = [tls.get_session()]
            closed(tls)
    return costs.answer()


async def upgrade(port: int, count: int, way: str = "") -> dict[str, float]:
    with Costs() as costs:
        for _ in range(count):
            plain = bounded(socket.create_connection(("127.0.0.1", port)))
            for request in (b"", b"EHLO client\r\n", b"STARTTLS\r\n"):
                plain.sendall(request)
                reply = b""
                while not (reply.endswith(b"\n") and reply.splitlines()[-1][3:4] == b" "):
                    data = plain.recv(READ)
                    if not data:
                        raise ConnectionError("the server closed in the clear")
                    reply += data
            tls = SSL.Connection(CLIENT, plain)
            tls.set_tlsext_host_name(b"localhost")
            tls.set_connect_state()
            tls.do_handshake()
            tls.sendall(b"hello")
            read(tls, 5)
            closed(tls)
    return costs.answer()


async def send(port: int, amount: int, piece: int) -> dict[str, float]:
    data = bytes(piece)
    with connection(port) as tls, Costs() as costs:
        for _ in range(amount // piece):
            tls.sendall(data)
        read(tls, 1)
    return costs.answer()


async def receive(port: int, amount: int) -> dict[str, float]:
    with connection(port) as tls, Costs() as costs:
        tls.sendall(b"x")
        read(tls, amount)
    return costs.answer()


async def pingpong(port: int, count: int, size: int) -> dict[str, float]:
    data = bytes(size)
    with connection(port) as tls, Costs() as costs:
        for _ in range(count):
            tls.sendall(data)
            read(tls, size)
    return costs.answer()


async def bursts(port: int, count: int, writes: int, size: int) -> dict[str, float]:
    data = bytes(size)
    with connection(port) as tls, Costs() as costs:
        for _ in range(count):
            for _ in range(writes):
                tls.sendall(data)
            read(tls, 1)
    return costs.answer()


async def hold(port: int, count: int) -> dict[str, int]:
    """Open connections that stay, after 5 bytes there and back; for servers' memory."""
    for _ in range(count):
        tls = opened(port)
        tls.sendall(b"hello")
        read(tls, 5)
        _idle.append(tls)
    return {}


async def first_answer(port: int, count: int) -> dict[str, float]:
    """The clock's time until the first answer to 5 bytes, all connections together."""
    elapsed = 0.0
    for _ in range(count):
        with connection(port) as tls, Costs() as costs:
            tls.sendall(b"hello")
            read(tls, 5)
        elapsed += costs.elapsed
    return {"elapsed": elapsed}


async def exchange(amount: int, piece: int) -> dict[str, int]:
    """Send and receive so much on each connection that is held, a piece at a time.

    Each segment is acknowledged at once (TCP_QUICKACK, which lasts for a moment): a server
    without TCP_NODELAY sends the last one of a piece when the others are acknowledged,
    which otherwise takes 40 ms.
    """
    data = bytes(piece)
    for tls in _idle:
        for _ in range(amount // len(data)):
            tls.sendall(data)
            left = len(data)
            while left > 0:
                tls.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
                left -= len(tls.recv(min(READ, left)))
    return {}


async def ask_datagrams(port: int, count: int, size: int) -> dict[str, float]:
    """Have `count` datagrams echoed, with 16 on their way; fails if one is lost."""
    data = bytes(size)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own, Costs() as costs:
        own.connect(("127.0.0.1", port))
        own.settimeout(PATIENCE)
        for _ in range(16):
            own.send(data)
        for index in range(count):
            own.recv(READ)
            if index < count - 16:
                own.send(data)
    return costs.answer()


DEEDS: Final = {
    each.__name__: each
    for each in (
        listen, release, connect, upgrade, send, receive, pingpong, bursts, hold, exchange,
        first_answer, ask_datagrams,
    )
}  # fmt: skip

if __name__ == "__main__":
    run_blocking(obey(DEEDS, readable, openssl_version()))
