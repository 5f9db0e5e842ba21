"""asyncio by its protocols (its streams cost more), on its own event loop or on uvloop's."""

from __future__ import annotations

import asyncio
import importlib
import ssl
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from benchmarks.lab.worker import Costs, obey, python_library

FOLDER: Final = Path(sys.argv[1])
LOOP: Final = sys.argv[2]
LOCALHOST: Final = "127.0.0.1"

CLIENT: Final = ssl.create_default_context(cafile=str(FOLDER / "ca.pem"))
SERVER: Final = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
SERVER.load_cert_chain(FOLDER / "site.pem")


class Echo(asyncio.Protocol):
    """Sends back what comes."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


class Later(Echo):
    """Sends back what comes, so many seconds later."""

    def __init__(self, delay: float) -> None:
        self._delay = delay

    def data_received(self, data: bytes) -> None:
        asyncio.get_running_loop().call_later(self._delay, self.transport.write, data)


class UpgradingServer(asyncio.Protocol):
    """Greets, answers EHLO, and switches to TLS; then echoes."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.is_switching = self.is_secure = False
        self.early = b""
        transport.write(b"220 localhost ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        if self.is_secure:
            self.transport.write(data)
        elif self.is_switching:
            # What comes with the end of the handshake, before start_tls() returns.
            self.early += data
        elif data.startswith(b"EHLO"):
            self.transport.write(b"250-localhost\r\n250 STARTTLS\r\n")
        else:
            self.is_switching = True
            self.transport.write(b"220 go ahead\r\n")
            self.task = asyncio.ensure_future(self.secure())

    async def secure(self) -> None:
        self.transport = await asyncio.get_running_loop().start_tls(
            self.transport, self, SERVER, server_side=True
        )
        self.is_secure = True
        self.transport.write(self.early)


class Client(asyncio.Protocol):
    """Awaits so many bytes, and writes pieces as long as the transport takes them."""

    def __init__(self) -> None:
        self.closed = asyncio.get_running_loop().create_future()
        self._left = 0
        self._whole: asyncio.Future[None] | None = None
        self._data, self._pieces, self._is_paused = b"", 0, False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def read(self, amount: int) -> asyncio.Future[None]:
        self._left = amount
        self._whole = asyncio.get_running_loop().create_future()
        return self._whole

    def data_received(self, data: bytes) -> None:
        self._left -= len(data)
        if self._left <= 0 and self._whole is not None and not self._whole.done():
            self._whole.set_result(None)

    def write(self, data: bytes, pieces: int) -> None:
        self._data, self._pieces = data, pieces
        self.resume_writing()

    def resume_writing(self) -> None:
        self._is_paused = False
        while self._pieces and not self._is_paused:
            self._pieces -= 1
            self.transport.write(self._data)

    def pause_writing(self) -> None:
        self._is_paused = True

    def connection_lost(self, error: Exception | None) -> None:
        if self._whole is not None and not self._whole.done():
            self._whole.set_exception(error or ConnectionError("closed"))
        self.closed.set_result(None)

    async def close(self) -> None:
        self.transport.close()
        await self.closed


class Dialogue(asyncio.Protocol):
    """The client's part of STARTTLS of SMTP, to the go-ahead.

    Attributes:
        is_over: Is done then.
    """

    def __init__(self) -> None:
        self.is_over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._requests = [b"EHLO client\r\n", b"STARTTLS\r\n"]
        self._reply = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._reply += data
        if not self._reply.endswith(b"\n") or self._reply.splitlines()[-1][3:4] == b"-":
            return
        self._reply = b""
        if self._requests:
            self.transport.write(self._requests.pop(0))
        else:
            self.is_over.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.is_over.done():
            self.is_over.set_exception(error or ConnectionError("closed in the clear"))


class EchoDatagrams(asyncio.DatagramProtocol):
    """Sends datagrams back."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, address: Any) -> None:
        self.transport.sendto(data, address)


async def opened(port: int) -> Client:
    _, client = await asyncio.get_running_loop().create_connection(
        Client, LOCALHOST, port, ssl=CLIENT, server_hostname="localhost"
    )
    return client


async def hello(client: Client) -> None:
    whole = client.read(5)
    client.transport.write(b"hello")
    await whole
    await client.close()


async def connect(port: int, count: int, way: str = "") -> dict[str, float]:
    with Costs() as costs:
        for _ in range(count):
            await hello(await opened(port))
    return costs.answer()


async def upgrade(port: int, count: int, way: str = "") -> dict[str, float]:
    loop = asyncio.get_running_loop()
    with Costs() as costs:
        for _ in range(count):
            plain, dialogue = await loop.create_connection(Dialogue, LOCALHOST, port)
            await dialogue.is_over
            client = Client()
            client.transport = await loop.start_tls(
                plain, client, CLIENT, server_hostname="localhost"
            )
            await hello(client)
    return costs.answer()


async def send(port: int, amount: int, piece: int) -> dict[str, float]:
    client = await opened(port)
    with Costs() as costs:
        answered = client.read(1)
        client.write(bytes(piece), amount // piece)
        await answered
    await client.close()
    return costs.answer()


async def receive(port: int, amount: int) -> dict[str, float]:
    client = await opened(port)
    with Costs() as costs:
        whole = client.read(amount)
        client.transport.write(b"x")
        await whole
    await client.close()
    return costs.answer()


async def pingpong(port: int, count: int, size: int) -> dict[str, float]:
    client, data = await opened(port), bytes(size)
    with Costs() as costs:
        for _ in range(count):
            back = client.read(size)
            client.transport.write(data)
            await back
    await client.close()
    return costs.answer()


async def bursts(port: int, count: int, writes: int, size: int) -> dict[str, float]:
    client, data = await opened(port), bytes(size)
    with Costs() as costs:
        for _ in range(count):
            answered = client.read(1)
            for _ in range(writes):
                client.transport.write(data)
            await answered
    await client.close()
    return costs.answer()


_kept: list[Any] = []
"""Servers, which a loop refers to weakly."""


async def listen(way: str = "") -> dict[str, int]:
    return await _listen(Echo, SERVER)


async def listen_later(delay: float) -> dict[str, int]:
    return await _listen(lambda: Later(delay), SERVER)


async def listen_starttls(way: str = "") -> dict[str, int]:
    return await _listen(UpgradingServer, None)


async def _listen(
    build: Callable[[], asyncio.Protocol], tls: ssl.SSLContext | None
) -> dict[str, int]:
    server = await asyncio.get_running_loop().create_server(build, LOCALHOST, 0, ssl=tls)
    _kept.append(server)
    return {"port": server.sockets[0].getsockname()[1]}


async def datagrams() -> dict[str, int]:
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        EchoDatagrams, (LOCALHOST, 0)
    )
    _kept.append(transport)
    return {"port": transport.get_extra_info("sockname")[1]}


async def readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ready = loop.create_future()

    def is_ready() -> None:
        loop.remove_reader(descriptor)
        ready.set_result(None)

    loop.add_reader(descriptor, is_ready)
    await ready


DEEDS: Final = {
    each.__name__: each
    for each in (
        connect,
        upgrade,
        send,
        receive,
        pingpong,
        bursts,
        listen,
        listen_later,
        listen_starttls,
        datagrams,
    )
}

if __name__ == "__main__":
    run: Callable[..., None] = asyncio.run
    if LOOP == "uvloop":
        uvloop = importlib.import_module("uvloop")
        run = uvloop.run
    run(obey(DEEDS, readable, python_library()))
