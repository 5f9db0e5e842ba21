"""Python's ssl with blocking sockets: no event loop at all."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from benchmarks.lab.worker import PATIENCE, Costs, obey, python_library, run_blocking

CLIENT: Final = ssl.create_default_context(cafile=str(Path(sys.argv[1], "ca.pem")))
LOCALHOST: Final = "127.0.0.1"


def opened(port: int, session: ssl.SSLSession | None = None) -> ssl.SSLSocket:
    plain = socket.create_connection((LOCALHOST, port), timeout=PATIENCE)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return CLIENT.wrap_socket(plain, server_hostname="localhost", session=session)


def read(tls: ssl.SSLSocket, amount: int) -> None:
    while amount > 0:
        data = tls.recv(min(65536, amount))
        if not data:
            raise ConnectionError("closed")
        amount -= len(data)


def close(tls: ssl.SSLSocket) -> None:
    with contextlib.suppress(OSError):
        tls.unwrap()
    tls.close()


@contextlib.contextmanager
def connection(port: int) -> Iterator[ssl.SSLSocket]:
    tls = opened(port)
    yield tls
    close(tls)


async def connect(port: int, count: int, way: str = "") -> dict[str, float]:
    session = None
    with Costs() as costs:
        for _ in range(count):
            tls = opened(port, session)
            tls.sendall(b"hello")
            read(tls, 5)
            if way == "resumed":
                session = tls.session
            close(tls)
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


async def readable(descriptor: int) -> None:
    select.select([descriptor], [], [])


DEEDS: Final = {each.__name__: each for each in (connect, send, receive, pingpong, bursts)}

if __name__ == "__main__":
    run_blocking(obey(DEEDS, readable, python_library()))
