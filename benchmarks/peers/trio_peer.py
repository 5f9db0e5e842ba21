"""trio, with its SSLStream."""

from __future__ import annotations

import ssl
import sys
from functools import partial
from pathlib import Path
from typing import Any, Final

import trio

from benchmarks.lab.worker import Costs, obey, python_library

FOLDER: Final = Path(sys.argv[1])
LOCALHOST: Final = "127.0.0.1"
READ: Final = 65536

CLIENT: Final = ssl.create_default_context(cafile=str(FOLDER / "ca.pem"))
SERVER: Final = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
SERVER.load_cert_chain(FOLDER / "site.pem")


async def opened(port: int) -> trio.SSLStream[Any]:
    plain = await trio.open_tcp_stream(LOCALHOST, port)
    return trio.SSLStream(plain, CLIENT, server_hostname="localhost")


async def read(tls: trio.SSLStream[Any], amount: int) -> None:
    while amount > 0:
        data = await tls.receive_some(READ)
        if not data:
            raise ConnectionError("closed")
        amount -= len(data)


async def connect(port: int, count: int, way: str = "") -> dict[str, float]:
    with Costs() as costs:
        for _ in range(count):
            async with await opened(port) as tls:
                await tls.send_all(b"hello")
                await read(tls, 5)
    return costs.answer()


async def send(port: int, amount: int, piece: int) -> dict[str, float]:
    data = bytes(piece)
    async with await opened(port) as tls:
        await tls.do_handshake()
        with Costs() as costs:
            for _ in range(amount // piece):
                await tls.send_all(data)
            await read(tls, 1)
    return costs.answer()


async def receive(port: int, amount: int) -> dict[str, float]:
    async with await opened(port) as tls:
        await tls.do_handshake()
        with Costs() as costs:
            await tls.send_all(b"x")
            await read(tls, amount)
    return costs.answer()


async def pingpong(port: int, count: int, size: int) -> dict[str, float]:
    data = bytes(size)
    async with await opened(port) as tls:
        await tls.do_handshake()
        with Costs() as costs:
            for _ in range(count):
                await tls.send_all(data)
                await read(tls, size)
    return costs.answer()


async def bursts(port: int, count: int, writes: int, size: int) -> dict[str, float]:
    data = bytes(size)
    async with await opened(port) as tls:
        await tls.do_handshake()
        with Costs() as costs:
            for _ in range(count):
                for _ in range(writes):
                    await tls.send_all(data)
                await read(tls, 1)
    return costs.answer()


async def echo(tls: trio.SSLStream[Any]) -> None:
    try:
        async with tls:
            while data := await tls.receive_some(READ):
                await tls.send_all(data)
    except trio.BrokenResourceError:
        pass  # a close that is not clean


async def main() -> None:
    """Work, and serve in the background."""
    async with trio.open_nursery() as nursery:

        async def listen(way: str = "") -> dict[str, int]:
            (listener,) = await nursery.start(
                partial(trio.serve_ssl_over_tcp, host=LOCALHOST), echo, 0, SERVER
            )
            return {"port": listener.transport_listener.socket.getsockname()[1]}

        client = (connect, send, receive, pingpong, bursts, listen)
        deeds = {each.__name__: each for each in client}
        library = f"trio {trio.__version__}, {python_library()}"
        await obey(deeds, trio.lowlevel.wait_readable, library)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main)
