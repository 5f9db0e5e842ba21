"""The stage: servers on loopback, the authority that they show, and who speaks.

Every transport that is asked for is mapped onto this machine: names and IPv4
addresses onto 127.0.0.1, IPv6 addresses onto ::1, paths into the demo's folder,
ports onto free ones. A server starts when it is first needed, and all that was
opened is closed with the stage.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar, cast

from attrs import define, evolve, field
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress, IListeningPort, IStreamClientEndpoint
from twisted.internet.protocol import DatagramProtocol, Factory, Protocol, connectionDone
from twisted.python.failure import Failure

import txtransport
from txtransport import TransportURL
from txtransport.config.address import is_ipv6
from txtransport.testing.devcert import Authority, write_private

NAMES: Final = ("www.example.com", "mail.example.com", "127.0.0.1", "::1")
"""Whom the servers' certificate is for."""

IN_THE_CLEAR: Final = frozenset({"tcp", "unix", "udp"})
"""The transports without TLS."""

_NOT_HERE: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})

_Value = TypeVar("_Value")
_Peer = TypeVar("_Peer", bound="DemoPeer")


class AddressUnavailable(Exception):
    """This machine lacks what would be needed."""


class DemoPeer(Protocol):
    """One side of a conversation.

    Attributes:
        gone: Fires when its connection is over.
    """

    gone: Deferred[None]

    def connectionMade(self) -> None:
        """It can speak now."""
        self.gone = Deferred()
        cast(DemoPeerFactory, self.factory).present.add(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """It is over."""
        self.gone.callback(None)
        cast(DemoPeerFactory, self.factory).left(self)


class DemoPeerFactory(Factory):
    """Builds one side of a conversation, again and again, and knows who is there.

    Args:
        build: Makes one.

    Attributes:
        present: Those whose connection is not over.
    """

    noisy = False

    def __init__(self, build: Callable[[], DemoPeer]) -> None:
        self.present: set[DemoPeer] = set()
        self._build = build
        self._all_gone: Deferred[None] = Deferred()

    def buildProtocol(self, addr: IAddress | None) -> DemoPeer:
        """One more."""
        party = self._build()
        party.factory = self
        return party

    def left(self, party: DemoPeer) -> None:
        """That one is gone."""
        self.present.discard(party)
        if not self.present:
            leaving, self._all_gone = self._all_gone, Deferred()
            leaving.callback(None)

    def leave(self) -> Deferred[None]:
        """Have all leave at once; fires when they are gone."""
        for party in list(self.present):
            cast(Any, party.transport).abortConnection()
        return self._all_gone if self.present else succeed(None)


class Echo(DemoPeer):
    """Sends back what comes."""

    def dataReceived(self, data: bytes) -> None:
        """Bytes of the peer."""
        assert self.transport is not None
        self.transport.write(data)


class DatagramEcho(DatagramProtocol):
    """Sends back what comes, to whom it came from."""

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """A datagram of a peer."""
        assert self.transport is not None
        self.transport.write(datagram, addr)


@define
class DemoServers:
    """The servers, and where each of them is.

    Attributes:
        reactor: Listens, connects and keeps time.
        folder: For certificates and sockets; it is the caller's to remove.
        ipv4: What names and IPv4 addresses are mapped onto.
        ipv6: What IPv6 addresses are mapped onto.
        wait: How many seconds a party may keep another waiting.
        total: How many seconds all that is tried may take together. With the
            closing it must be over within ten, whatever hangs.
    """

    reactor: Any
    folder: Path
    ipv4: str = "127.0.0.1"
    ipv6: str = "::1"
    wait: float = 2.0
    total: float = 7.0
    _ends_at: float = field(init=False)
    _served: dict[TransportURL, TransportURL] = field(init=False, factory=dict)
    _ports: list[IListeningPort] = field(init=False, factory=list)
    _factories: list[DemoPeerFactory] = field(init=False, factory=list)

    def __attrs_post_init__(self) -> None:
        self._ends_at = self.reactor.seconds() + self.total
        authority = Authority.create("txtransport demo CA")
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
        """A factory; who comes of it leaves at the latest with the stage."""
        made = DemoPeerFactory(build)
        self._factories.append(made)
        return made

    async def served_url(self, asked: TransportURL) -> TransportURL:
        """Where on this machine a transport is served, with an echo.

        Raises:
            NotHere: This machine has no such addresses.
            TransportUnavailable: No one can serve it.
        """
        place = self._mapped(asked)
        if place not in self._served:
            listen = self._listen_for_datagrams if place.scheme == "udp" else self._listen
            self._served[place] = await listen(place)
        return self._served[place]

    async def serve(self, scheme: str, build: Callable[[], DemoPeer]) -> TransportURL:
        """Start a server of one's own.

        Args:
            scheme: Its transport, over IPv4.
            build: Makes its side of a conversation.

        Returns:
            Where it is.
        """
        return await self._listen(TransportURL(scheme, self.ipv4, 0), build)

    def trust(self, asked: TransportURL) -> dict[str, Any]:
        """The options by which a client verifies a place as what was asked for."""
        if asked.scheme in IN_THE_CLEAR:
            return {}
        return {"cafile": self.cafile, "peer_name": asked.name or NAMES[0]}

    def seconds_left(self) -> float:
        """How many seconds to wait for the next thing.

        Raises:
            TimeoutError: The demo is over.
        """
        left = self._left()
        if not left:
            raise TimeoutError(f"not tried: the {self.total:g} seconds of the demo were over")
        return left

    async def within_deadline(self, what: Deferred[_Value]) -> _Value:
        """The result, or the end of patience.

        Raises:
            TimeoutError: Nothing came.
        """
        seconds = self.seconds_left()

        def give_up(result: object, _: float) -> NoReturn:
            raise TimeoutError(f"nothing came within {seconds:g} seconds")

        return await what.addTimeout(seconds, self.reactor, give_up)

    async def connect(self, endpoint: IStreamClientEndpoint, build: Callable[[], _Peer]) -> _Peer:
        """A client's side of a conversation, connected."""
        return cast(_Peer, await endpoint.connect(self.peer_factory(build)))

    async def disconnect(self, party: DemoPeer) -> None:
        """Have a party say goodbye, and wait until it is gone."""
        transport = cast(Any, party.transport)
        transport.loseConnection()
        impatience = self.reactor.callLater(self._left(), transport.abortConnection)
        try:
            await party.gone
        finally:
            if impatience.active():
                impatience.cancel()

    async def close(self) -> None:
        """Stop all servers, end all conversations, and wait until they are gone."""
        ending: list[Deferred[Any]] = [maybeDeferred(port.stopListening) for port in self._ports]
        ending += [parties.leave() for parties in self._factories]
        over: Deferred[Any] = DeferredList(ending, consumeErrors=True)
        await over.addTimeout(self.wait, self.reactor, lambda result, _: None)

    def _left(self) -> float:
        left: float = min(self.wait, self._ends_at - self.reactor.seconds())
        return max(0.0, left)

    def _mapped(self, asked: TransportURL) -> TransportURL:
        if asked.path:
            return evolve(asked, path=str(self.folder / Path(asked.path).name))
        return evolve(asked, host=self.ipv6 if is_ipv6(asked.host) else self.ipv4, port=0)

    async def _listen(
        self, place: TransportURL, build: Callable[[], DemoPeer] = Echo
    ) -> TransportURL:
        is_clear = place.scheme in IN_THE_CLEAR
        options: dict[str, Any] = {} if is_clear else {"local_cert": self.local_cert}
        endpoint = txtransport.server(self.reactor, place, **options)
        return await self._listening(place, endpoint.listen(self.peer_factory(build)))

    async def _listen_for_datagrams(self, place: TransportURL) -> TransportURL:
        endpoint = txtransport.datagram(self.reactor, place)
        return await self._listening(place, endpoint.listen(DatagramEcho()))

    async def _listening(self, place: TransportURL, port: Deferred[IListeningPort]) -> TransportURL:
        try:
            self._ports.append(await port)
        except CannotListenError as problem:
            if getattr(problem.socketError, "errno", None) in _NOT_HERE:
                raise AddressUnavailable(
                    f"this machine has no {place.host}: {problem.socketError}"
                ) from problem
            raise
        if place.path:
            return place
        return evolve(place, port=cast(Any, self._ports[-1].getHost()).port)
