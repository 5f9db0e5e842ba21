"""Shared by tests with real sockets on the loopback interface.

Everything that a test opens with these is closed when the test ends, even when
it fails, so that no test leaves anything in the reactor.
"""

from __future__ import annotations

import shutil
import socket
import tempfile
from collections.abc import Iterable, Mapping
from typing import Any, cast

from attrs import frozen
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import (
    IHostnameResolver,
    IHostResolution,
    IListeningPort,
    IProtocol,
    IProtocolFactory,
    IProtocolNegotiationFactory,
    IResolutionReceiver,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock, deferLater
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from zope.interface import directlyProvides, implementer, providedBy

import txtransport


class Recorder(Protocol):
    """An application's protocol that records what it receives.

    Attributes:
        received: All bytes so far.
        is_connected: Whether it is connected now.
        made: Fires with the protocol when it is connected.
        lost: Fires when the connection is over, with a list that holds the
            reason (a Failure).
    """

    def __init__(self) -> None:
        self.received = b""
        self.is_connected = False
        self.made: Deferred[Recorder] = Deferred()
        self.lost: Deferred[Failure] = Deferred()
        self._waiting: list[tuple[bytes, Deferred[bytes]]] = []
        self._growing: list[tuple[int, Deferred[None]]] = []

    def connectionMade(self) -> None:
        self.is_connected = True
        self.made.callback(self)

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        for text, heard in list(self._waiting):
            if text in self.received:
                self._waiting.remove((text, heard))
                heard.callback(self.received)
        for size, grown in list(self._growing):
            if len(self.received) >= size:
                self._growing.remove((size, grown))
                grown.callback(None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.is_connected = False
        # In a list: a bare Failure handed to callback() would be an errback.
        self.lost.callback(cast(Failure, [reason]))
        for _, heard in self._waiting:
            heard.errback(reason)

    def heard(self, text: bytes) -> Deferred[bytes]:
        """Fires with all received bytes, once they contain `text`."""
        heard: Deferred[bytes] = Deferred()
        if text in self.received:
            heard.callback(self.received)
        else:
            self._waiting.append((text, heard))
        return heard

    def grown(self, size: int) -> Deferred[None]:
        """Fires once that many bytes have been received."""
        grown: Deferred[None] = Deferred()
        self._growing.append((size, grown))
        return grown

    async def gone(self) -> Failure:
        """Wait for the end of the connection; return the reason."""
        reason: Any = await self.lost
        return cast(Failure, reason[0])

    @property
    def socket(self) -> socket.socket:
        """The socket of the connection, which is below TLS if there is any."""
        transport: Any = self.transport
        handle = transport.getHandle()
        return cast(
            socket.socket,
            handle if isinstance(handle, socket.socket) else transport.transport.getHandle(),
        )

    def say(self, data: bytes) -> None:
        """Write bytes."""
        assert self.transport is not None
        self.transport.write(data)


class Recorders(Factory):
    """A factory of recorders, which it keeps.

    Attributes:
        built: How many recorders were built.
        all: The recorders that are or were connected.
    """

    noisy = False

    def __init__(self) -> None:
        self.built = 0
        self.all: list[Recorder] = []
        self._next: list[Deferred[Recorder]] = []

    def buildProtocol(self, addr: object) -> Recorder:
        self.built += 1
        recorder = Recorder()
        recorder.made.addCallback(self._keep)
        return recorder

    def _keep(self, recorder: Recorder) -> Recorder:
        self.all.append(recorder)
        for waiting in self._next[:1]:
            self._next.remove(waiting)
            waiting.callback(recorder)
        return recorder

    def next(self) -> Deferred[Recorder]:
        """Fires with the next recorder that is connected."""
        waiting: Deferred[Recorder] = Deferred()
        self._next.append(waiting)
        return waiting


@implementer(IProtocolNegotiationFactory)
class NegotiatingRecorders(Recorders):
    """A factory of recorders that speak HTTP/2, or else HTTP/1.1, as they say (ALPN)."""

    def acceptableProtocols(self) -> list[bytes]:
        return [b"h2", b"http/1.1"]


@implementer(ILogObserver)
class Overheard:
    """Records what txtransport logs.

    Args:
        namespace: Which modules are listened to, by the beginning of their names.

    Attributes:
        events: The events so far.
    """

    def __init__(self, namespace: str = "txtransport") -> None:
        self._namespace = namespace
        self.events: list[LogEvent] = []
        self._next: list[Deferred[LogEvent]] = []

    def __call__(self, event: LogEvent) -> None:
        if str(event.get("log_namespace", "")).startswith(self._namespace):
            self.events.append(event)
            waiting, self._next = self._next, []
            for one in waiting:
                one.callback(event)

    def next(self) -> Deferred[LogEvent]:
        """Fires with the next event that is logged."""
        waiting: Deferred[LogEvent] = Deferred()
        self._next.append(waiting)
        return waiting


class Only(Factory):
    """A factory that returns one existing protocol."""

    noisy = False

    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol

    def buildProtocol(self, addr: object) -> Protocol:
        return self._protocol


class ClockedReactor:
    """The real reactor for sockets, and for time a clock that only the test advances.

    Attributes:
        clock: Runs every delayed call whose delay is more than 0.
        running: Whether the reactor says that it runs (IReactorCore).
    """

    running = True

    def __init__(self, reactor: Any) -> None:
        self.clock = Clock()
        self._reactor = reactor
        directlyProvides(self, providedBy(reactor))

    def callLater(self, delay: float, call: Any, *args: Any, **keywords: Any) -> Any:
        """Schedule a call: with the reactor if the delay is 0, with the clock otherwise."""
        return (self.clock if delay else self._reactor).callLater(delay, call, *args, **keywords)

    def seconds(self) -> float:
        """The clock's time."""
        return self.clock.seconds()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)


@implementer(IHostnameResolver)
class Resolver:
    """A name resolver for the reactor, with a fixed table.

    Args:
        names: The addresses of each name; None for a name whose look-up ends
            only when the test calls `answer`.

    Attributes:
        hosts: What was looked up, in that order.
    """

    def __init__(self, names: Mapping[str, Iterable[str] | None]) -> None:
        self._names = dict(names)
        self.hosts: list[str] = []
        self._asked: list[tuple[IResolutionReceiver, str, int, str]] = []

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: object = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        resolution = _Resolution(hostName)
        resolutionReceiver.resolutionBegan(resolution)
        self.hosts.append(hostName)
        self._asked.append((resolutionReceiver, hostName, portNumber, transportSemantics))
        addresses = self._names.get(hostName, ())
        if addresses is not None:
            self.answer(*addresses)
        return resolution

    def answer(self, *addresses: str) -> None:
        """End the latest look-up, with these addresses; ``fe80::1%2`` has the zone 2."""
        receiver, _, port, semantics = self._asked.pop()
        for address in addresses:
            host, _, zone = address.partition("%")
            over: Any = IPv6Address if ":" in address else IPv4Address
            zones = {"scopeID": int(zone)} if zone else {}
            receiver.addressResolved(over(semantics, host, port, **zones))
        receiver.resolutionComplete()


@implementer(IHostResolution)
@frozen
class _Resolution:
    name: str

    def cancel(self) -> None:
        # Twisted's own resolution cannot be cancelled either.
        raise NotImplementedError()


class LoopbackTestCase(TestCase):
    """A test with real sockets."""

    timeout = 20

    @property
    def reactor(self) -> Any:
        """The reactor in which trial or pytest runs the tests."""
        from twisted.internet import reactor

        return reactor

    async def listening(self, url: str, factory: IProtocolFactory, **options: Any) -> int:
        """Listen until the test is over.

        Args:
            url: For example ``tls://127.0.0.1:0``.
            factory: Builds the protocols.
            **options: As for `txtransport.server`.

        Returns:
            The number of the port; 0 for a local socket.
        """
        port = await txtransport.server(self.reactor, url, **options).listen(factory)
        return self.adopt(port)

    def adopt(self, port: IListeningPort) -> int:
        """Stop a port when the test is over; return its number, 0 for a local socket."""
        self.addCleanup(port.stopListening)
        return int(getattr(port.getHost(), "port", 0))

    async def connected(self, url: str, **options: Any) -> Recorder:
        """Connect a client until the test is over.

        Args:
            url: For example ``tls://localhost:1234``.
            **options: As for `txtransport.client`.

        Returns:
            The client's protocol.
        """
        endpoint = txtransport.client(self.reactor, url, **options)
        recorder = cast(Recorder, await endpoint.connect(Factory.forProtocol(Recorder)))
        self.addCleanup(self.end, recorder)
        return recorder

    async def stop(self, port: IListeningPort) -> None:
        """Stop a port, and wait until it is stopped."""
        await maybeDeferred(port.stopListening)

    def resolving(self, **names: Iterable[str] | None) -> Resolver:
        """Let the reactor resolve names with a fixed table until the test is over.

        Args:
            **names: As for `Resolver`.
        """
        resolver = Resolver(names)
        before = self.reactor.installNameResolver(resolver)
        self.addCleanup(self.reactor.installNameResolver, before)
        return resolver

    def overheard(self, namespace: str = "txtransport") -> Overheard:
        """Record what txtransport logs from now on, until the test is over.

        Args:
            namespace: As for `Overheard`.
        """
        overheard = Overheard(namespace)
        globalLogPublisher.addObserver(overheard)
        self.addCleanup(globalLogPublisher.removeObserver, overheard)
        return overheard

    def turn(self) -> Deferred[None]:
        """Fires in the reactor's next turn."""
        return deferLater(self.reactor, 0, lambda: None)

    def socket_path(self) -> str:
        """A path for a local socket, in a folder that is removed when the test is over."""
        # The path of a local socket must be short (unix(7)); trial's folders are too deep.
        folder = tempfile.mkdtemp(prefix="txtransport-")
        self.addCleanup(shutil.rmtree, folder)
        return f"{folder}/socket"

    def free_port(self) -> int:
        """The number of a TCP port that was free a moment ago."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    def full_port(self) -> int:
        """The number of a TCP port that does not answer, because its backlog is full."""
        full = socket.socket()
        self.addCleanup(full.close)
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address: tuple[str, int] = full.getsockname()
        filling = socket.create_connection(address)
        self.addCleanup(filling.close)
        return address[1]

    async def end(self, protocol: IProtocol) -> None:
        """Abort a recorder's connection, if it is connected, and wait for its end."""
        recorder = cast(Recorder, protocol)
        if recorder.is_connected:
            cast(Any, recorder.transport).abortConnection()
            await recorder.gone()
