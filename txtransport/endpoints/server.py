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
from txtransport.config.url import TransportURL
from txtransport.connection.handshake import ConnectionAttempt, HandshakeProtocol, tls_factory
from txtransport.connection.lifetime import TLSEndpointConfig, log_failure
from txtransport.connection.negotiation import NegotiationProtocol, initial_protocol
from txtransport.connection.pending import PendingProtocol, log_name
from txtransport.endpoints.client import socket_path
from txtransport.endpoints.limits import ConnectionLimits
from txtransport.endpoints.resolve import resolve_addresses
from txtransport.endpoints.sockets import bind_socket, refuse_ipv6_alone
from txtransport.errors import (
    InvalidTransport,
)

_log: Final = Logger()


def plaintext_endpoint(
    reactor: Any, url: TransportURL, sockets: SocketOptions, timeout: float
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
    if url.path:
        return LocalListener(reactor, socket_path(url.path), sockets.backlog)
    if url.port is None:
        raise InvalidTransport(
            f"{url.location}: the port is missing; write {url.location}:PORT, "
            "0 for any, or give port="
        )
    if url.is_literal:
        refuse_ipv6_alone(url.host, sockets)
    return TCPListener(reactor, url, url.port, sockets, timeout)


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

    def _listen(self, factory: IProtocolFactory) -> IListeningPort:
        # The lock file tells a socket in use from one that a crash left.
        wants_lock = not self.path.startswith("\0")
        try:
            return self.reactor.listenUNIX(
                self.path, cast(ServerFactory, factory), self.backlog, wantPID=wants_lock
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
    url: TransportURL
    port: int
    sockets: SocketOptions
    timeout: float

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """Listen.

        Returns:
            The port. Fails with Twisted's ``CannotListenError``, and for a
            name with ``DNSLookupError`` or `TransportTimeout`.
        """
        host = self.url.host
        if host == "*" or self.url.is_literal:
            return maybeDeferred(self._listen_on, [host], protocolFactory)
        found = resolve_addresses(
            self.reactor, host, self.port, "TCP",
            seconds=self.timeout, where=self.url.location,
        )  # fmt: skip
        return found.addCallback(
            lambda places: self._listen_on([place.host for place in places], protocolFactory)
        )

    def _listen_on(self, hosts: list[str], factory: IProtocolFactory) -> IListeningPort:
        ports: list[IListeningPort] = []
        number = self.port
        try:
            for host in hosts:
                ports.append(self._listen_at(host, number, factory))
                # Port 0 is any, but the same one everywhere.
                number = cast(IPv4Address, ports[0].getHost()).port
        except BaseException:
            for port in ports:
                port.stopListening()
            raise
        return ports[0] if len(ports) == 1 else PortGroup(tuple(ports))

    def _listen_at(self, host: str, number: int, factory: IProtocolFactory) -> IListeningPort:
        try:
            listening = bind_socket(host, number, socket.SOCK_STREAM, self.sockets)
        except OSError as problem:
            raise CannotListenError(host, number, problem) from problem
        with listening:
            try:
                listening.listen(self.sockets.backlog)
            except OSError as problem:
                raise CannotListenError(host, number, problem) from problem
            # The reactor takes a copy; ours is closed on the way out.
            return cast(IReactorSocket, self.reactor).adoptStreamPort(
                listening.fileno(), listening.family, cast(ServerFactory, factory)
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


class TLSServerFactory(Factory):
    """The factory that a listening port gets: a gate for each who knocks.

    Args:
        terms: What TLS demands.
        guests: The application's factory.
    """

    noisy = False

    def __init__(self, config: TLSEndpointConfig, factory: IProtocolFactory) -> None:
        self._config = config
        self._factory = factory
        self._tls = tls_factory(config, factory)
        self._under_way = 0
        self._stopping = 0

    def logPrefix(self) -> str:
        """The application's factory, whom a reader of the log knows, and that it is under TLS."""
        return f"{log_name(self._factory)} (TLS)"

    def doStart(self) -> None:
        """The port listens."""
        self._factory.doStart()

    def doStop(self) -> None:
        """The port is closed; the application's factory may still be asked for a guest or two."""
        self._stopping += 1
        self._stop_factory()

    def buildProtocol(self, addr: IAddress | None) -> HandshakeProtocol | NegotiationProtocol:
        """A way to a guest, for a new connection."""
        seconds = self._config.deadlines.handshake_timeout
        self._under_way += 1
        attempt = ConnectionAttempt(
            self._config,
            self._tls,
            self._factory,
            addr,
            seconds,
            opened=lambda protocol: self._attempt_over(),
            failed=lambda reason: self._attempt_over(addr, reason),
        )
        return initial_protocol(attempt, seconds)

    def _attempt_over(self, address: IAddress | None = None, reason: Failure | None = None) -> None:
        """A visitor is through the gate, or will not be."""
        self._under_way -= 1
        if reason is not None:
            self._log(address, reason)
        self._stop_factory()

    def _stop_factory(self) -> None:
        # Whoever has been accepted before the port was closed is waited for,
        # as it would be without TLS.
        while self._stopping and not self._under_way:
            self._stopping -= 1
            self._factory.doStop()

    def _log(self, address: IAddress | None, reason: Failure) -> None:
        where = self._config.where
        if reason.check(NoProtocol):
            _log.info("{peer}: the factory wants none", peer=address, where=where)
        elif not log_failure(address, reason.value, where):
            _log.failure("{peer}: building the protocol failed", reason, peer=address)


class PlaintextServerFactory(Factory):
    """The factory that a listening port in the clear gets.

    Says once if a client speaks TLS to it: it may want ``tls://``, or be in
    good hands, where the guest passes TLS on.

    Args:
        where: The endpoint, for people.
        guests: The application's factory.
    """

    noisy = False

    def __init__(self, where: str, factory: IProtocolFactory) -> None:
        self._where = where
        self._factory = factory
        self._is_told = False

    def doStart(self) -> None:
        """The port listens."""
        self._factory.doStart()

    def doStop(self) -> None:
        """The port is closed."""
        self._factory.doStop()

    def buildProtocol(self, addr: IAddress | None) -> _PlaintextProtocol | None:
        """A way to a guest, for a new connection."""
        protocol = self._factory.buildProtocol(cast(IAddress, addr))
        return None if protocol is None else _PlaintextProtocol(self, protocol)

    def first_bytes(self, peer: object, data: bytes) -> None:
        """The first bytes of a client."""
        if data[:2] == _HELLO and not self._is_told:
            self._is_told = True
            _log.info(
                "{peer}: the client began with TLS at {where}, which is in the clear: if it gets "
                "no answer, it wants tls:// there", peer=peer, where=self._where,
            )  # fmt: skip


# A record of TLS's handshake (RFC 8446, 5.1).
_HELLO: Final = b"\x16\x03"


class _PlaintextProtocol(PendingProtocol):
    """The way to a guest in the clear, who has come already."""

    _has_heard = False

    def __init__(self, factory: PlaintextServerFactory, protocol: IProtocol) -> None:
        self._factory = factory
        self.expect(protocol)

    def connectionMade(self) -> None:
        self.connect_protocol()

    def dataReceived(self, data: bytes) -> None:
        if not self._has_heard:
            self._has_heard = True
            self._factory.first_bytes(cast(Any, self.transport).getPeer(), data)
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

    plaintext: IStreamServerEndpoint
    serving: ServingPolicy
    config: TLSEndpointConfig | None
    where: str

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """Listen.

        Returns:
            The port. Under TLS, the factory builds a protocol for each peer
            that is through the handshake, and hears of no other. Fails with
            Twisted's ``CannotListenError``.
        """
        factory: IProtocolFactory
        if self.config is not None:
            factory = TLSServerFactory(self.config, protocolFactory)
        else:
            factory = PlaintextServerFactory(self.where, protocolFactory)
        if self.serving == ServingPolicy():
            return self.plaintext.listen(factory)
        limited = ConnectionLimits(factory, self.serving)

        def listening(port: IListeningPort) -> IListeningPort:
            limited.port = port
            return port

        return self.plaintext.listen(limited).addCallback(listening)
