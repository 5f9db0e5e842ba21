"""Servers: from a Transport to an endpoint that listens.

`plain` is TCP or a local socket; `ServerEndpoint` adds the limits and, when
there are terms, the gate to TLS.

The sockets are made here, because Twisted's endpoints set no options on
theirs. What is set on a listening socket holds for those that it accepts
(tcp(7); on the BSDs as well), so that no one has to touch each of them.
"""

from __future__ import annotations

import socket
from typing import Any, Final, cast

from attrs import frozen
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.error import CannotListenError, NoProtocol
from twisted.internet.interfaces import (
    IAddress,
    IListeningPort,
    IProtocol,
    IProtocolFactory,
    IPushProducer,
    IReactorSocket,
    IReactorUNIX,
    IStreamServerEndpoint,
)
from twisted.internet.protocol import Factory, ServerFactory
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.lockfile import FilesystemLock
from zope.interface import implementer

from txtransport.config.settings import ServingPolicy, SocketOptions
from txtransport.config.url import Transport
from txtransport.connection.handshake import Gate, Visit, tls_factory
from txtransport.connection.lifetime import Terms, report
from txtransport.connection.negotiation import Prelude, way
from txtransport.connection.pending import Passage, log_name
from txtransport.endpoints.client import socket_path
from txtransport.endpoints.limits import Limited
from txtransport.endpoints.resolve import addresses
from txtransport.endpoints.sockets import bound, refuse_ipv6_alone
from txtransport.errors import (
    InvalidTransport,
)

_log: Final = Logger()


def plain(
    reactor: Any, transport: Transport, sockets: SocketOptions, timeout: float
) -> IStreamServerEndpoint:
    """The endpoint that listens, without TLS.

    Args:
        reactor: Listens.
        transport: Where; the host ``*`` is every address, port 0 any port.
        sockets: The options of the listening socket.
        timeout: Seconds that the look-up of a name may take.

    Raises:
        InvalidTransport: The port is missing.
        InvalidOption: ``ipv6_v6only`` is on for an address that is not IPv6's.
    """
    if transport.path:
        return LocalListener(reactor, socket_path(transport.path), sockets.backlog)
    if transport.port is None:
        raise InvalidTransport(
            f"{transport.where}: the port is missing; write {transport.where}:PORT, "
            "0 for any, or give port="
        )
    if transport.is_literal:
        refuse_ipv6_alone(transport.host, sockets)
    return TCPListener(reactor, transport, transport.port, sockets, timeout)


@implementer(IStreamServerEndpoint)
@frozen
class LocalListener:
    """Listens on a local socket.

    Attributes:
        reactor: Listens.
        path: As the system wants it; abstract names begin with NUL.
        backlog: How many may wait to be accepted.
    """

    reactor: IReactorUNIX
    path: str
    backlog: int

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """Listen.

        Returns:
            The port. Fails with Twisted's ``CannotListenError``.
        """
        return maybeDeferred(self._listen, protocolFactory)

    def _listen(self, guests: IProtocolFactory) -> IListeningPort:
        # The lock file tells a socket in use from one that a crash left.
        wants_lock = not self.path.startswith("\0")
        try:
            return self.reactor.listenUNIX(
                self.path, cast(ServerFactory, guests), self.backlog, wantPID=wants_lock
            )
        except OSError as problem:
            # The lock could not be written.
            raise CannotListenError(None, self.path, problem) from problem
        except CannotListenError as error:
            if wants_lock and isinstance(error.socketError, OSError):
                # Twisted had the lock already, and forgets it.
                FilesystemLock(f"{self.path}.lock").unlock()
            raise


@implementer(IStreamServerEndpoint)
@frozen
class TCPListener:
    """Listens on a host's addresses, with the options that were asked for.

    Attributes:
        reactor: Listens.
        transport: ``*``, an address, or a name whose every address is listened on.
        port: 0 to 65535.
        sockets: The options.
        timeout: Seconds that the look-up of a name may take.
    """

    reactor: Any
    transport: Transport
    port: int
    sockets: SocketOptions
    timeout: float

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """Listen.

        Returns:
            The port. Fails with Twisted's ``CannotListenError``, and for a
            name with ``DNSLookupError`` or `TransportTimeout`.
        """
        host = self.transport.host
        if host == "*" or self.transport.is_literal:
            return maybeDeferred(self._listen_on, [host], protocolFactory)
        found = addresses(
            self.reactor, host, self.port, "TCP",
            seconds=self.timeout, where=self.transport.where,
        )  # fmt: skip
        return found.addCallback(
            lambda places: self._listen_on([place.host for place in places], protocolFactory)
        )

    def _listen_on(self, hosts: list[str], guests: IProtocolFactory) -> IListeningPort:
        ports: list[IListeningPort] = []
        number = self.port
        try:
            for host in hosts:
                ports.append(self._listen_at(host, number, guests))
                # Port 0 is any, but the same one everywhere.
                number = cast(IPv4Address, ports[0].getHost()).port
        except BaseException:
            for port in ports:
                port.stopListening()
            raise
        return ports[0] if len(ports) == 1 else PortGroup(tuple(ports))

    def _listen_at(self, host: str, number: int, guests: IProtocolFactory) -> IListeningPort:
        try:
            listening = bound(host, number, socket.SOCK_STREAM, self.sockets)
        except OSError as problem:
            raise CannotListenError(host, number, problem) from problem
        with listening:
            try:
                listening.listen(self.sockets.backlog)
            except OSError as problem:
                raise CannotListenError(host, number, problem) from problem
            # The reactor takes a copy; ours is closed on the way out.
            return cast(IReactorSocket, self.reactor).adoptStreamPort(
                listening.fileno(), listening.family, cast(ServerFactory, guests)
            )


@implementer(IListeningPort)
@frozen
class PortGroup:
    """The ports of one name with several addresses, as one.

    Attributes:
        ports: At least two, with the same number.
    """

    ports: tuple[IListeningPort, ...]

    def startListening(self) -> None:
        """Listen on all of them."""
        for port in self.ports:
            port.startListening()

    def stopListening(self) -> Deferred[None]:
        """Stop on all of them; fires when the last has stopped."""
        stopping = gatherResults([maybeDeferred(port.stopListening) for port in self.ports])
        return stopping.addCallback(lambda results: None)

    def getHost(self) -> IAddress:
        """The first port's address."""
        return self.ports[0].getHost()

    def pauseProducing(self) -> None:
        """Accept no one for the time being."""
        for port in self.ports:
            cast(IPushProducer, port).pauseProducing()

    def resumeProducing(self) -> None:
        """Accept again."""
        for port in self.ports:
            cast(IPushProducer, port).resumeProducing()


class ServerGate(Factory):
    """The factory that a listening port gets: a gate for each who knocks.

    Args:
        terms: What TLS demands.
        guests: The application's factory.
    """

    noisy = False

    def __init__(self, terms: Terms, guests: IProtocolFactory) -> None:
        self._terms = terms
        self._guests = guests
        self._tls = tls_factory(terms, guests)
        self._under_way = 0
        self._stopping = 0

    def logPrefix(self) -> str:
        """The application's factory, whom a reader of the log knows, and that it is under TLS."""
        return f"{log_name(self._guests)} (TLS)"

    def doStart(self) -> None:
        """The port listens."""
        self._guests.doStart()

    def doStop(self) -> None:
        """The port is closed; the application's factory may still be asked for a guest or two."""
        self._stopping += 1
        self._stop()

    def buildProtocol(self, addr: IAddress | None) -> Gate | Prelude:
        """A way to a guest, for a new connection."""
        seconds = self._terms.deadlines.handshake_timeout
        self._under_way += 1
        visit = Visit(
            self._terms,
            self._tls,
            self._guests,
            addr,
            seconds,
            opened=lambda guest: self._over(),
            failed=lambda reason: self._over(addr, reason),
        )
        return way(visit, seconds)

    def _over(self, address: IAddress | None = None, reason: Failure | None = None) -> None:
        """A visitor is through the gate, or will not be."""
        self._under_way -= 1
        if reason is not None:
            self._tell(address, reason)
        self._stop()

    def _stop(self) -> None:
        # Whoever has been accepted before the port was closed is waited for,
        # as it would be without TLS.
        while self._stopping and not self._under_way:
            self._stopping -= 1
            self._guests.doStop()

    def _tell(self, address: IAddress | None, reason: Failure) -> None:
        where = self._terms.where
        if reason.check(NoProtocol):
            _log.info("{peer}: the factory wants none", peer=address, where=where)
        elif not report(address, reason.value, where):
            _log.failure("{peer}: building the protocol failed", reason, peer=address)


class ClearFactory(Factory):
    """The factory that a listening port in the clear gets.

    Says once if a client speaks TLS to it: it may want ``tls://``, or be in
    good hands, where the guest passes TLS on.

    Args:
        where: The endpoint, for people.
        guests: The application's factory.
    """

    noisy = False

    def __init__(self, where: str, guests: IProtocolFactory) -> None:
        self._where = where
        self._guests = guests
        self._is_told = False

    def doStart(self) -> None:
        """The port listens."""
        self._guests.doStart()

    def doStop(self) -> None:
        """The port is closed."""
        self._guests.doStop()

    def buildProtocol(self, addr: IAddress | None) -> _Clear | None:
        """A way to a guest, for a new connection."""
        guest = self._guests.buildProtocol(cast(IAddress, addr))
        return None if guest is None else _Clear(self, guest)

    def hear(self, peer: object, data: bytes) -> None:
        """The first bytes of a client."""
        if data[:2] == _HELLO and not self._is_told:
            self._is_told = True
            _log.info(
                "{peer}: the client began with TLS at {where}, which is in the clear: if it gets "
                "no answer, it wants tls:// there", peer=peer, where=self._where,
            )  # fmt: skip


# A record of TLS's handshake (RFC 8446, 5.1).
_HELLO: Final = b"\x16\x03"


class _Clear(Passage):
    """The way to a guest in the clear, who has come already."""

    _has_heard = False

    def __init__(self, clear: ClearFactory, guest: IProtocol) -> None:
        self._clear = clear
        self.expect(guest)

    def connectionMade(self) -> None:
        self.let_in()

    def dataReceived(self, data: bytes) -> None:
        if not self._has_heard:
            self._has_heard = True
            self._clear.hear(cast(Any, self.transport).getPeer(), data)
        super().dataReceived(data)


@implementer(IStreamServerEndpoint)
@frozen
class ServerEndpoint:
    """A server endpoint with its limits, and TLS if it is to be.

    Attributes:
        plain: Listens.
        serving: How many conversations at once.
        terms: What TLS demands, or None for plain text.
        where: The endpoint, for people.
    """

    plain: IStreamServerEndpoint
    serving: ServingPolicy
    terms: Terms | None
    where: str

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """Listen.

        Returns:
            The port. Under TLS, the factory builds a protocol for each peer
            that is through the handshake, and hears of no other. Fails with
            Twisted's ``CannotListenError``.
        """
        guests: IProtocolFactory
        if self.terms is not None:
            guests = ServerGate(self.terms, protocolFactory)
        else:
            guests = ClearFactory(self.where, protocolFactory)
        if self.serving == ServingPolicy():
            return self.plain.listen(guests)
        limited = Limited(guests, self.serving)

        def listening(port: IListeningPort) -> IListeningPort:
            limited.port = port
            return port

        return self.plain.listen(limited).addCallback(listening)
