"""The demo's servers on loopback, their certificates, and its clients' connections to them.

Every transport that is asked for is mapped onto this machine: names and IPv4
addresses onto 127.0.0.1, IPv6 addresses onto ::1, paths into the demo's folder,
ports onto free ones. A server starts when it is first needed. `DemoServers.close`
stops them all and ends every connection, of servers and of clients.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar, cast

from attrs import define, evolve, field
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import (
    IAddress,
    IListeningPort,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import DatagramProtocol, Factory, Protocol, connectionDone
from twisted.python.failure import Failure

import txtransport
from txtransport import TransportURL
from txtransport.config.address import is_ipv6
from txtransport.config.schemes import SCHEMES
from txtransport.connection.twisted_types import TCPTransport
from txtransport.testing.devcert import Authority, write_private

__all__ = [
    "IN_THE_CLEAR",
    "NAMES",
    "AddressUnavailable",
    "DatagramEcho",
    "DemoPeer",
    "DemoPeerFactory",
    "DemoServers",
    "Echo",
]

NAMES: Final = ("www.example.com", "mail.example.com", "127.0.0.1", "::1")
"""The names and addresses that the servers' certificate is for."""

IN_THE_CLEAR: Final = frozenset({"tcp", "unix", "udp"})
"""The schemes without TLS."""

# What the system says of an address that this machine does not have.
_UNAVAILABLE: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})

_Value = TypeVar("_Value")
_Peer = TypeVar("_Peer", bound="DemoPeer")


class AddressUnavailable(Exception):
    """This machine has no such address, for example none of IPv6."""


class DemoPeer(Protocol):
    """One side of a connection, a server's or a client's.

    Attributes:
        gone: Fires when the connection is lost.
    """

    gone: Deferred[None]

    def connectionMade(self) -> None:
        """Join the peers of the factory."""
        self.gone = Deferred()
        cast(DemoPeerFactory, self.factory).peers.add(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Leave the peers of the factory."""
        self.gone.callback(None)
        cast(DemoPeerFactory, self.factory).peer_gone(self)


class DemoPeerFactory(Factory):
    """Builds peers, and can end the connections of all.

    Args:
        build: Makes a peer.

    Attributes:
        peers: Those that are connected.
    """

    noisy = False

    def __init__(self, build: Callable[[], DemoPeer]) -> None:
        self.peers: set[DemoPeer] = set()
        self._build = build
        self._all_gone: Deferred[None] = Deferred()

    def buildProtocol(self, addr: IAddress | None) -> DemoPeer:
        """Build a peer, whatever the address."""
        peer = self._build()
        peer.factory = self
        return peer

    def peer_gone(self, peer: DemoPeer) -> None:
        """Note that a peer's connection is lost."""
        self.peers.discard(peer)
        if not self.peers:
            all_gone, self._all_gone = self._all_gone, Deferred()
            all_gone.callback(None)

    def abort_all(self) -> Deferred[None]:
        """Abort every connection; fires when all are lost."""
        for peer in list(self.peers):
            cast(TCPTransport, peer.transport).abortConnection()
        return self._all_gone if self.peers else succeed(None)


class Echo(DemoPeer):
    """Sends back every byte."""

    def dataReceived(self, data: bytes) -> None:
        """Send the bytes back."""
        assert self.transport is not None
        self.transport.write(data)


class DatagramEcho(DatagramProtocol):
    """Sends every datagram back to its sender."""

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        """Send the datagram back."""
        assert self.transport is not None
        self.transport.write(datagram, addr)


@define
class DemoServers:
    """The servers, and the connections to them.

    Attributes:
        reactor: Listens, connects and keeps time.
        folder: For certificates and local sockets; the caller removes it.
        ipv4: What names and IPv4 addresses are mapped onto.
        ipv6: What IPv6 addresses are mapped onto.
        wait: Seconds that each single step may take.
        total: Seconds that everything before `close` may take together, so
            that the demo ends within ten seconds, whatever hangs.
    """

    reactor: object
    folder: Path
    ipv4: str = "127.0.0.1"
    ipv6: str = "::1"
    wait: float = 2.0
    total: float = 7.0
    _clock: IReactorTime = field(init=False)
    _ends_at: float = field(init=False)
    _authority: Authority = field(init=False)
    _served: dict[TransportURL, TransportURL] = field(init=False, factory=dict)
    _ports: list[IListeningPort] = field(init=False, factory=list)
    _factories: list[DemoPeerFactory] = field(init=False, factory=list)

    def __attrs_post_init__(self) -> None:
        self._clock = cast(IReactorTime, self.reactor)
        self._ends_at = self._clock.seconds() + self.total
        authority = Authority.create("txtransport demo CA")
        self._authority = authority
        write_private(self.cafile, authority.pem)
        write_private(self.local_cert, authority.issue(*NAMES).pem)

    @property
    def cafile(self) -> str:
        """The PEM file of the authority."""
        return str(self.folder / "ca.pem")

    @property
    def local_cert(self) -> str:
        """The PEM file of the servers' certificate and key."""
        return str(self.folder / "site.pem")

    def peer_factory(self, build: Callable[[], DemoPeer]) -> DemoPeerFactory:
        """A factory whose peers' connections end at the latest with `close`."""
        factory = DemoPeerFactory(build)
        self._factories.append(factory)
        return factory

    async def served_url(self, asked: TransportURL) -> TransportURL:
        """Serve a transport on this machine with an echo, unless it is served already.

        Args:
            asked: The transport that a user asks for.

        Returns:
            The URL at which a client reaches it.

        Raises:
            AddressUnavailable: This machine has no such addresses.
            TransportUnavailable: txtransport does not have the transport.
        """
        local = self._mapped(asked)
        if local not in self._served:
            listen = self._listen_for_datagrams if local.scheme == "udp" else self._listen
            self._served[local] = await listen(local)
        return self._served[local]

    async def serve(self, scheme: str, build: Callable[[], DemoPeer]) -> TransportURL:
        """Start a server, over IPv4, at a free port.

        Args:
            scheme: Of its transport.
            build: Makes its side of a connection.

        Returns:
            The URL at which a client reaches it.
        """
        return await self._listen(TransportURL(scheme, self.ipv4, 0), build)

    def trust(self, asked: TransportURL) -> dict[str, str]:
        """The options with which a client on loopback verifies the peer that was asked for."""
        if asked.scheme in IN_THE_CLEAR:
            return {}
        allowed = {"allow_broken_ssl": "yes"} if SCHEMES[asked.scheme].is_broken else {}
        return {"cafile": self.cafile, "peer_name": asked.name or NAMES[0], **allowed}

    def client(self, asked: TransportURL, dialled: TransportURL) -> IStreamClientEndpoint:
        """An endpoint that connects here, and demands the peer that was asked for.

        Args:
            asked: The transport that a user asks for.
            dialled: The URL on this machine.

        Raises:
            TimeoutError: The demo has no time left.
        """
        options: dict[str, Any] = {"timeout": self.seconds_left(), **self.trust(asked)}
        return txtransport.client(self.reactor, dialled, **options)

    def seconds_left(self) -> float:
        """How many seconds the next step may take.

        Raises:
            TimeoutError: The demo has no time left.
        """
        left = self._left()
        if not left:
            raise TimeoutError(f"not tried: the {self.total:g} seconds of the demo were over")
        return left

    async def within_deadline(self, awaited: Deferred[_Value]) -> _Value:
        """The result of a step, if it comes in time; else the step is cancelled.

        Raises:
            TimeoutError: The result did not come in time.
        """
        seconds = self.seconds_left()

        def give_up(result: object, _: float) -> NoReturn:
            raise TimeoutError(f"nothing came within {seconds:g} seconds")

        return await awaited.addTimeout(seconds, self._clock, give_up)

    async def connect(self, endpoint: IStreamClientEndpoint, build: Callable[[], _Peer]) -> _Peer:
        """Connect a client's peer; its connection ends at the latest with `close`."""
        return cast(_Peer, await endpoint.connect(self.peer_factory(build)))

    async def disconnect(self, peer: DemoPeer) -> None:
        """Close a peer's connection, in time or by force, and wait until it is lost."""
        transport = cast(TCPTransport, peer.transport)
        transport.loseConnection()
        timer = self._clock.callLater(self._left(), transport.abortConnection)
        try:
            await peer.gone
        finally:
            if timer.active():
                timer.cancel()

    async def close(self) -> None:
        """Stop all servers, abort all connections, and wait for it, `wait` seconds at the most."""
        endings: list[Callable[[], object]] = [port.stopListening for port in self._ports]
        endings += [factory.abort_all for factory in self._factories]
        ended = DeferredList([maybeDeferred(end) for end in endings], consumeErrors=True)
        await ended.addTimeout(self.wait, self._clock, lambda result, _: None)

    def _left(self) -> float:
        return max(0.0, min(self.wait, self._ends_at - self._clock.seconds()))

    def _mapped(self, asked: TransportURL) -> TransportURL:
        if asked.path:
            return evolve(asked, path=str(self.folder / Path(asked.path).name))
        return evolve(asked, host=self.ipv6 if is_ipv6(asked.host) else self.ipv4, port=0)

    async def _listen(
        self, local: TransportURL, build: Callable[[], DemoPeer] = Echo
    ) -> TransportURL:
        endpoint = txtransport.server(self.reactor, local, None, **self._own_options(local.scheme))
        return await self._listening(local, endpoint.listen(self.peer_factory(build)))

    def _own_options(self, scheme: str) -> dict[str, str]:
        """The options of a server, with its certificate if it is one of TLS."""
        if scheme in IN_THE_CLEAR:
            return {}
        if not SCHEMES[scheme].is_available or not SCHEMES[scheme].is_broken:
            return {"local_cert": self.local_cert}
        # They know keys of RSA alone, and the one of SSL 2.0 must be no other server's.
        own = self.folder / f"{scheme}.pem"
        if not own.exists():
            write_private(own, self._authority.issue(*NAMES, key="rsa").pem)
        return {"local_cert": str(own), "allow_broken_ssl": "yes"}

    async def _listen_for_datagrams(self, local: TransportURL) -> TransportURL:
        endpoint = txtransport.datagram(self.reactor, local)
        return await self._listening(local, endpoint.listen(DatagramEcho()))

    async def _listening(self, local: TransportURL, port: Deferred[IListeningPort]) -> TransportURL:
        """Wait for the port; the URL with its number."""
        try:
            self._ports.append(await port)
        except CannotListenError as problem:
            if getattr(problem.socketError, "errno", None) in _UNAVAILABLE:
                raise AddressUnavailable(
                    f"this machine has no {local.host}: {problem.socketError}"
                ) from problem
            raise
        if local.path:
            return local
        address = cast("IPv4Address | IPv6Address", self._ports[-1].getHost())
        return evolve(local, port=address.port)
