"""What the two peers on Twisted share: everything but how endpoints are made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import twisted
from attrs import frozen
from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer, IReadDescriptor
from twisted.internet.main import CONNECTION_LOST
from twisted.internet.protocol import DatagramProtocol, Factory, Protocol
from twisted.internet.task import react
from twisted.protocols.basic import LineReceiver
from zope.interface import implementer

from benchmarks.lab.worker import Costs, Deed, obey


@frozen
class Endpoints:
    """How a stack makes what it connects and listens with.

    Attributes:
        library: The versions of what is measured.
        client: From the reactor, a port and a way of connecting.
        server: From the reactor and a way of serving.
        upgrading: From the reactor, a port and a way: an endpoint and a factory
            for `Upgraded`, a client behind STARTTLS of SMTP.
        upgrade_server: From the reactor and a way: the same for a server.
        listen_datagrams: Starts a protocol; its Deferred fires with the port.
    """

    library: str
    client: Callable[[Any, int, str], Any]
    server: Callable[[Any, str], Any]
    upgrading: Callable[[Any, int, str], tuple[Any, Any]]
    upgrade_server: Callable[[Any, str], tuple[Any, Any]]
    listen_datagrams: Callable[[Any, DatagramProtocol], Any]


def library() -> str:
    """The versions of what is measured."""
    openssl = SSL.SSLeay_version(SSL.SSLEAY_VERSION).decode()
    return (
        f"Twisted {twisted.__version__}, {' '.join(openssl.split()[:2])},"
        " which cryptography brings along"
    )


def quiet(build: Callable[[], Any]) -> Factory:
    """A factory that does not log, as in production."""
    factory = Factory.forProtocol(build)
    factory.noisy = False
    return factory


# --- Servers ------------------------------------------------------------------------------


class Echo(Protocol):
    """Sends back what comes."""

    transport: Any

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)


class Later(Protocol):
    """Sends back what comes, so many seconds later."""

    transport: Any

    def __init__(self, reactor: Any, delay: float) -> None:
        self._reactor, self._delay = reactor, delay

    def dataReceived(self, data: bytes) -> None:
        self._reactor.callLater(self._delay, self.transport.write, data)


class GreetingEcho(Echo):
    """Greets before it echoes, as a server of SMTP does; for servers with ``starttls=``."""

    def connectionMade(self) -> None:
        self.transport.write(b"220 localhost ESMTP\r\n")


@implementer(IPushProducer)
class Writer:
    """Writes pieces, as long as the transport wants more."""

    def __init__(self, transport: Any, amount: int, piece: int) -> None:
        self._transport, self._data = transport, bytes(piece)
        self._left, self._is_paused = amount // piece, False
        transport.registerProducer(self, True)
        self.resumeProducing()

    def resumeProducing(self) -> None:
        self._is_paused = False
        while self._left and not self._is_paused:
            self._left -= 1
            if not self._left:
                self._transport.write(self._data)
                self._transport.unregisterProducer()
                return
            self._transport.write(self._data)

    def pauseProducing(self) -> None:
        self._is_paused = True

    def stopProducing(self) -> None:
        self._left = 0


# --- Clients ------------------------------------------------------------------------------


class Once(Protocol):
    """Sends 5 bytes, waits until they come back, and closes."""

    transport: Any

    def __init__(self) -> None:
        self.closed: Deferred[None] = Deferred()
        self.received = 0

    def connectionMade(self) -> None:
        self.transport.write(b"hello")

    def dataReceived(self, data: bytes) -> None:
        self.received += len(data)
        if self.received == 5:
            self.transport.loseConnection()

    def connectionLost(self, reason: Any = None) -> None:
        if self.received == 5:
            self.closed.callback(None)
        else:
            self.closed.errback(reason)


class Awaiting(Protocol):
    """Fires a Deferred when so many bytes have come."""

    transport: Any

    def __init__(self) -> None:
        self._left = 0
        self._whole: Deferred[None] | None = None
        self.closed: Deferred[None] = Deferred()

    def read(self, amount: int) -> Deferred[None]:
        self._left, self._whole = amount, Deferred()
        return self._whole

    def dataReceived(self, data: bytes) -> None:
        self._left -= len(data)
        if self._left <= 0 and self._whole is not None:
            whole, self._whole = self._whole, None
            whole.callback(None)

    def connectionLost(self, reason: Any = None) -> None:
        if self._whole is not None:
            self._whole.errback(reason)
        self.closed.callback(None)

    async def close(self) -> None:
        self.transport.loseConnection()
        await self.closed


# --- STARTTLS of SMTP, as an application of Twisted does it ---------------------------------


class UpgradingServer(LineReceiver):
    """Greets, answers EHLO, and switches to TLS by `switch`; then echoes.

    Attributes:
        switch: Called with this protocol; writes the go-ahead and starts TLS.
    """

    transport: Any

    def __init__(self, switch: Callable[[Any], None]) -> None:
        self.switch = switch

    def connectionMade(self) -> None:
        self.sendLine(b"220 localhost ESMTP")

    def lineReceived(self, line: bytes) -> None:
        if line.startswith(b"EHLO"):
            self.sendLine(b"250-localhost\r\n250 STARTTLS")
        elif line == b"STARTTLS":
            self.setRawMode()
            self.switch(self)

    def rawDataReceived(self, data: bytes) -> None:
        self.transport.write(data)


class UpgradingClient(LineReceiver):
    """Awaits the greeting, says EHLO, and switches to TLS by `switch`; then as `Once`.

    Attributes:
        switch: Called with this protocol; starts TLS.
        requests: What to say before; nothing where an endpoint has said it.
    """

    transport: Any

    def __init__(
        self,
        switch: Callable[[Any], None],
        requests: Sequence[bytes] = (b"EHLO client", b"STARTTLS"),
    ) -> None:
        self.switch = switch
        self.closed: Deferred[None] = Deferred()
        self._requests = list(requests)
        self._received = 0

    def lineReceived(self, line: bytes) -> None:
        if line[3:4] == b"-":
            return
        if self._requests:
            self.sendLine(self._requests.pop(0))
        else:
            self.setRawMode()
            self.switch(self)

    def rawDataReceived(self, data: bytes) -> None:
        self._received += len(data)
        if self._received == 5:
            self.transport.loseConnection()

    def connectionLost(self, reason: Any = None) -> None:
        if self._received == 5:
            self.closed.callback(None)
        else:
            self.closed.errback(reason)


class EchoDatagrams(DatagramProtocol):
    """Sends datagrams back."""

    transport: Any

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        self.transport.write(datagram, addr)


# --- The deeds ------------------------------------------------------------------------------


def deeds(reactor: Any, endpoints: Endpoints) -> dict[str, Deed]:
    """What a peer on Twisted does, with these endpoints."""

    async def opened(port: int) -> Awaiting:
        client: Awaiting = await endpoints.client(reactor, port, "").connect(quiet(Awaiting))
        return client

    async def connect(port: int, count: int, way: str = "") -> dict[str, float]:
        factory = quiet(Once)
        with Costs() as costs:
            for _ in range(count):
                once = await endpoints.client(reactor, port, way).connect(factory)
                await once.closed
        return costs.answer()

    async def upgrade(port: int, count: int, way: str = "") -> dict[str, float]:
        with Costs() as costs:
            for _ in range(count):
                endpoint, factory = endpoints.upgrading(reactor, port, way)
                once = await endpoint.connect(factory)
                await getattr(once, "wrappedProtocol", once).closed
        return costs.answer()

    async def send(port: int, amount: int, piece: int) -> dict[str, float]:
        client = await opened(port)
        with Costs() as costs:
            answered = client.read(1)
            Writer(client.transport, amount, piece)
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

    async def listen(way: str = "") -> dict[str, int]:
        port = await endpoints.server(reactor, way).listen(quiet(Echo))
        return {"port": port.getHost().port}

    async def listen_later(delay: float) -> dict[str, int]:
        factory = quiet(lambda: Later(reactor, delay))
        port = await endpoints.server(reactor, "").listen(factory)
        return {"port": port.getHost().port}

    async def listen_starttls(way: str = "") -> dict[str, int]:
        endpoint, factory = endpoints.upgrade_server(reactor, way)
        port = await endpoint.listen(factory)
        return {"port": port.getHost().port}

    async def datagrams() -> dict[str, int]:
        port = await endpoints.listen_datagrams(reactor, EchoDatagrams())
        return {"port": port.getHost().port}

    return {
        each.__name__: each
        for each in (
            connect, upgrade, send, receive, pingpong, bursts, listen, listen_later,
            listen_starttls, datagrams,
        )
    }  # fmt: skip


@implementer(IReadDescriptor)
class Readable:
    """Waits until a descriptor can be read, without reading it."""

    def __init__(self, reactor: Any, descriptor: int) -> None:
        self._reactor, self._descriptor = reactor, descriptor
        self.ready: Deferred[None] = Deferred()
        reactor.addReader(self)

    def fileno(self) -> int:
        return self._descriptor

    def doRead(self) -> None:
        self._reactor.removeReader(self)
        self.ready.callback(None)

    def connectionLost(self, reason: Any = CONNECTION_LOST) -> None:
        # Its end is something to read, and a reactor tells it in either way.
        if not self.ready.called:
            self.ready.callback(None)

    def logPrefix(self) -> str:
        return "commands"


def work(endpoints: Endpoints) -> None:
    """Run a peer on Twisted, until the harness ends it."""
    react(
        lambda reactor: Deferred.fromCoroutine(
            obey(
                deeds(reactor, endpoints),
                lambda descriptor: Readable(reactor, descriptor).ready,
                endpoints.library,
            )
        )
    )


LOCALHOST: Final = "127.0.0.1"
