"""anyio on asyncio, with its TLSStream."""

from __future__ import annotations

import ssl
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Final

import anyio
from anyio.abc import ByteStream
from anyio.streams.tls import TLSListener, TLSStream

from benchmarks.lab.worker import Costs, obey, python_library

FOLDER: Final = Path(sys.argv[1])
LOCALHOST: Final = "127.0.0.1"
READ: Final = 65536

CLIENT: Final = ssl.create_default_context(cafile=str(FOLDER / "ca.pem"))
SERVER: Final = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
SERVER.load_cert_chain(FOLDER / "site.pem")


async def opened(port: int) -> TLSStream:
    return await anyio.connect_tcp(LOCALHOST, port, ssl_context=CLIENT, tls_hostname="localhost")


async def read(tls: TLSStream, amount: int) -> None:
    while amount > 0:
        amount -= len(await tls.receive(READ))


async def connect(port: int, count: int, way: str = "") -> dict[str, float]:
    with Costs() as costs:
        for _ in range(count):
            async with await opened(port) as tls:
                await tls.send(b"hello")
                await read(tls, 5)
    return costs.answer()


async def send(port: int, amount: int, piece: int) -> dict[str, float]:
    data = bytes(piece)
    async with await opened(port) as tls:
        with Costs() as costs:
            for _ in range(amount // piece):
                await tls.send(data)
            await read(tls, 1)
    return costs.answer()


async def receive(port: int, amount: int) -> dict[str, float]:
    async with await opened(port) as tls:
        with Costs() as costs:
            await tls.send(b"x")
            await read(tls, amount)
    return costs.answer()


async def pingpong(port: int, count: int, size: int) -> dict[str, float]:
    data = bytes(size)
    async with await opened(port) as tls:
        with Costs() as costs:
            for _ in range(count):
                await tls.send(data)
                await read(tls, size)
    return costs.answer()


async def bursts(port: int, count: int, writes: int, size: int) -> dict[str, float]:
    data = bytes(size)
    async with await opened(port) as tls:
        with Costs() as costs:
            for _ in range(count):
                for _ in range(writes):
                    await tls.send(data)
                await read(tls, 1)
    return costs.answer()


async def echo(tls: ByteStream) -> None:
    try:
        async with tls:
            async for data in tls:
                await tls.send(data)
    except (anyio.BrokenResourceError, anyio.EndOfStream, ssl.SSLError):
        pass  # a close that is not clean


async def main() -> None:
    """Work, and serve in the background."""
    async with anyio.create_task_group() as group:

        async def listen(way: str = "") -> dict[str, int]:
            plain = await anyio.create_tcp_listener(local_host=LOCALHOST)
            port = plain.extra(anyio.abc.SocketAttribute.local_port)
            group.start_soon(TLSListener(plain, SERVER).serve, echo)
            return {"port": port}

        deeds = {each.__name__: each for each in (connect, send, receive, pingpong, bursts, listen)}
        await obey(deeds, anyio.wait_readable, f"anyio {version('anyio')}, {python_library()}")
        group.cancel_scope.cancel()


if __name__ == "__main__":
    anyio.run(main)
