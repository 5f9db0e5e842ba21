"""Server endpoints: from a `TransportURL` to a listening port.

`plaintext_endpoint` gives an endpoint of TCP or of a local socket.
`ServerEndpoint` wraps that: it adds the limits and, where TLS is asked for, the
negotiation and handshake of each connection.

The sockets are made here, because Twisted's endpoints set no options on
theirs. An accepted socket inherits the options of the listening socket (tcp(7);
on the BSDs as well), so they are not set on each connection.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Final, cast

from attrs import evolve, field, frozen
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import CannotListenError, NoProtocol
from twisted.internet.interfaces import (
    IAddress,
    IListeningPort,
    IProtocol,
    IProtocolFactory,
    IStreamServerEndpoint,
)
from twisted.internet.protocol import Factory, ServerFactory
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from txtransport.config.resolve import represent_endpoint
from txtransport.config.settings import ProxyHeaderOptions, ServingPolicy, SocketOptions
from txtransport.config.url import TransportURL
from txtransport.connection.attempt import (
    ConnectionAttempt,
    EndpointConfig,
    Stage,
    Writer,
    log_failure,
)
from txtransport.connection.driver import TLSDriver
from txtransport.connection.negotiation import NegotiationProtocol, initial_protocol
from txtransport.connection.peers import describe_address
from txtransport.connection.pending import PendingProtocol, log_name
from txtransport.connection.twisted_types import ProtocolFactory, Reactor, TCPTransport
from txtransport.endpoints.behind_balancer import (
    FirstByteProtocol,
    ProxyHeaderFactory,
    give_client_addresses,
)
from txtransport.endpoints.delayed_stop import DelayedStop
from txtransport.endpoints.limits import ConnectionLimits
from txtransport.endpoints.local import local_listener
from txtransport.endpoints.network_errors import located_failure
from txtransport.endpoints.port_group import PortGroup
from txtransport.endpoints.resolve import IPAddress, host_of, resolve_addresses_to_bind
from txtransport.endpoints.sockets import (
    addresses_here,
    bind_socket,
    every_address,
    refuse_ipv6_alone,
)
from txtransport.errors import InvalidTransport
from txtransport.starttls.tls_record import begins_handshake

__all__ = [
    "PlaintextServerFactory",
    "ServerEndpoint",
    "TCPListener",
    "TLSServerFactory",
    "plaintext_endpoint",
]

_log: Final = Logger()


def plaintext_endpoint(
    reactor: object, url: TransportURL, sockets: SocketOptions, timeout: float
) -> IStreamServerEndpoint:
    """An endpoint that listens at a URL's address, without TLS.

    Args:
        reactor: Listens and, for a name, looks it up.
        url: Where to listen; the host ``*`` is every address, port 0 any port.
        sockets: The options of the listening socket.
        timeout: Seconds that the look-up of a name may take in a running reactor.

    Raises:
        InvalidTransport: The port is missing.
        InvalidOption: ``ipv6_v6only`` is on, and the address is not one of IPv6;
            or the rights of a local socket cannot be set.
    """
    reactor = cast(Reactor, reactor)
    if url.path:
        return local_listener(reactor, url.path, sockets)
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
class TCPListener:
    """Listens on every address of a host, with the socket options of the URL.

    Attributes:
        reactor: Listens and, for a name, looks it up.
        url: Its host is ``*``, an address, or a name; of a name, every address
            is listened on, except those of IPv6 on a machine without it.
        port: 0 to 65535; 0 is any.
        sockets: The options of the listening sockets.
        timeout: Seconds that the look-up of a name may take in a running reactor.
    """

    reactor: Reactor
    url: TransportURL
    port: int
    sockets: SocketOptions
    timeout: float

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """Listen on all addresses with the same port number, or on none.

        Args:
            protocolFactory: Builds a protocol for each connection.

        Returns:
            Fires with the port; a `PortGroup` where there are several
            addresses. It has fired already if the reactor does not run yet, or
            if no name is to be looked up. Fails with Twisted's ``CannotListenError`` and, for a
            name, with ``DNSLookupError`` or `TransportTimeout`.
        """
        host = self.url.host
        if host == "*":
            return maybeDeferred(self._listen_on_every_address, protocolFactory)
        if self.url.is_literal:
            return maybeDeferred(self._listen_on, [host], self.sockets, protocolFactory)
        found = resolve_addresses_to_bind(
            self.reactor, host, self.port, "TCP",
            seconds=self.timeout, where=self.url.location,
        )  # fmt: skip
        return found.addCallback(self._listen_on_found, protocolFactory)

    def _listen_on_found(self, found: list[IPAddress], factory: IProtocolFactory) -> IListeningPort:
        hosts = addresses_here([host_of(address) for address in found], self.sockets)
        return self._listen_on(hosts, self.sockets, factory)

    def _listen_on_every_address(self, factory: IProtocolFactory) -> IListeningPort:
        # A socket for each family: at one of IPv6 that takes both, an IPv4 client would
        # be ::ffff:127.0.0.1 for the application, its rules and its logs.
        options = evolve(self.sockets, ipv6_v6only=True)
        return self._listen_on(every_address(self.sockets), options, factory)

    def _listen_on(
        self, hosts: Sequence[str], options: SocketOptions, factory: IProtocolFactory
    ) -> IListeningPort:
        listening = self._open_all(hosts, options)
        ports: list[IListeningPort] = []
        try:
            for each in listening:
                ports.append(self._adopt(each, factory))
        except BaseException:
            for port in ports:
                port.stopListening()
            raise
        finally:
            # The reactor has duplicated the descriptors.
            _close(listening)
        return ports[0] if len(ports) == 1 else PortGroup(tuple(ports))

    def _adopt(self, listening: socket.socket, factory: IProtocolFactory) -> IListeningPort:
        host, number = listening.getsockname()[:2]
        try:
            return self.reactor.adoptStreamPort(
                listening.fileno(), listening.family, cast(ServerFactory, factory)
            )
        except OSError as problem:
            # No descriptor is left to duplicate it.
            raise CannotListenError(host, number, problem) from problem

    def _open_all(self, hosts: Sequence[str], options: SocketOptions) -> list[socket.socket]:
        """Sockets that listen at each of the addresses, all with the same port number."""
        attempts = _ATTEMPTS if self.port == 0 else 1
        while True:
            attempts -= 1
            try:
                return self._open_each(hosts, options)
            except CannotListenError as error:
                # With port 0 the system chooses a port for the first address, which
                # may be in use at another one.
                if not attempts or error.socketError.errno != errno.EADDRINUSE:
                    raise

    def _open_each(self, hosts: Sequence[str], options: SocketOptions) -> list[socket.socket]:
        listening: list[socket.socket] = []
        number = self.port
        try:
            for host in hosts:
                listening.append(_open(host, number, options))
                number = listening[0].getsockname()[1]
        except BaseException:
            _close(listening)
            raise
        return listening


_ATTEMPTS: Final = 20
"""How often a port that is free at several addresses is looked for."""


def _open(host: str, number: int, options: SocketOptions) -> socket.socket:
    try:
        listening = bind_socket(host, number, socket.SOCK_STREAM, options)
        try:
            listening.listen(options.backlog)
        except BaseException:
            listening.close()
            raise
    except OSError as problem:
        raise CannotListenError(host, number, problem) from problem
    return listening


def _close(sockets: Iterable[socket.socket]) -> None:
    for each in sockets:
        each.close()


class TLSServerFactory(Factory):
    """The factory of a port under TLS: negotiation and handshake for each connection.

    The application's factory is stopped only when no handshake is under way
    any more, since until then it may be asked for a protocol.

    Args:
        config: What the TLS connections have in common.
        factory: The application's factory.
    """

    noisy = False

    def __init__(self, config: EndpointConfig, factory: IProtocolFactory) -> None:
        self._config = config
        self._factory = factory
        self._stopping = DelayedStop(factory)

    def logPrefix(self) -> str:
        """The name of the application's factory in the log, with ``(TLS)`` added."""
        return f"{log_name(self._factory)} (TLS)"

    def doStart(self) -> None:
        """Start the application's factory: the port listens."""
        self._stopping.start()

    def doStop(self) -> None:
        """Stop the application's factory, once the handshakes under way are over."""
        self._stopping.stop()

    def buildProtocol(self, addr: IAddress | None) -> TLSDriver | NegotiationProtocol:
        """The protocol that brings a new connection to TLS.

        Args:
            addr: The client's address.
        """
        config = self._config
        self._stopping.under_way += 1
        return initial_protocol(
            _ServerAttempt(self, config, self._factory, addr, config.deadlines.handshake_timeout)
        )

    def protocol_behind_header(
        self, addr: IAddress | None, seconds: float, awaits_data: bool
    ) -> TLSDriver | NegotiationProtocol:
        """The protocol that brings a connection whose PROXY header was read to TLS.

        Args:
            addr: The client's address.
            seconds: What is left of ``handshake_timeout``.
            awaits_data: Whether the application's protocol is built at the first byte.
        """
        kind = _AwaitingAttempt if awaits_data else _ServerAttempt
        self._stopping.under_way += 1
        return initial_protocol(kind(self, self._config, self._factory, addr, seconds))

    def attempt_over(self, address: IAddress | None = None, reason: Failure | None = None) -> None:
        """Count one attempt less.

        Args:
            address: The client's address.
            reason: Why the attempt has failed, or None.
        """
        if reason is not None:
            self._log(address, reason)
        self._stopping.over()

    def _log(self, address: IAddress | None, reason: Failure) -> None:
        where = self._config.where
        if reason.check(NoProtocol):
            _log.info(
                "{where}: {client}: the factory builds no protocol for it",
                where=where, client=describe_address(address), peer=address,
            )  # fmt: skip
        elif not log_failure(address, reason.value, where):
            _log.failure(
                "{where}: {client}: building the protocol failed", reason,
                where=where, client=describe_address(address), peer=address,
            )  # fmt: skip


class _ServerAttempt(ConnectionAttempt):
    """One accepted connection, on its way to TLS.

    Args:
        tls_factory: Is told what the attempt comes to.
        config: What the connections of the endpoint have in common.
        factory: The application's factory.
        address: The client's address.
        seconds: What is left of ``handshake_timeout``.
    """

    def __init__(
        self,
        tls_factory: TLSServerFactory,
        config: EndpointConfig,
        factory: IProtocolFactory,
        address: IAddress | None,
        seconds: float,
    ) -> None:
        super().__init__(config, config.deadlines.handshake_timeout, factory, address)
        self._seconds = seconds
        self.stage = Stage.CONNECT
        self._tls_factory = tls_factory

    def connected(self, transport: TCPTransport, writer: Writer) -> None:
        """It is this connection's turn: its time begins."""
        self.run_deadline(self._seconds)

    def opened(self, protocol: IProtocol) -> None:
        """Count the attempt as over."""
        self._tls_factory.attempt_over()

    def failed(self, reason: Failure) -> None:
        """Log why, and count the attempt as over."""
        self._tls_factory.attempt_over(self.address, reason)


class _AwaitingAttempt(_ServerAttempt):
    """A balancer's own connection: the application's protocol is built at the first byte."""

    _until = 0.0

    def connected(self, transport: TCPTransport, writer: Writer) -> None:
        super().connected(transport, writer)
        self._until = self.config.clock.seconds() + self._seconds

    def build_protocol(self) -> IProtocol:
        seconds = max(0.0, self._until - self.config.clock.seconds())
        return FirstByteProtocol(
            self.config, seconds, super().build_protocol, self._tls_factory.attempt_over
        )

    def opened(self, protocol: IProtocol) -> None:
        """Wait: the attempt is over when the application's protocol is built."""


class PlaintextServerFactory(Factory):
    """The factory of a port without TLS, which logs once that a client has begun TLS there.

    That is a mistake, and ``tls://`` is wanted, unless the application passes
    TLS on to something else.

    Args:
        config: What the connections have in common.
        factory: The application's factory.
    """

    noisy = False

    def __init__(self, config: EndpointConfig, factory: IProtocolFactory) -> None:
        self._config = config
        self._factory = factory
        self._stopping = DelayedStop(factory)
        self._has_logged = False

    def logPrefix(self) -> str:
        """The name of the application's factory in the log."""
        return log_name(self._factory)

    def doStart(self) -> None:
        """Start the application's factory: the port listens."""
        self._stopping.start()

    def doStop(self) -> None:
        """Stop the application's factory, once no first byte is awaited: the port is closed."""
        self._stopping.stop()

    def buildProtocol(self, addr: IAddress | None) -> _PlaintextProtocol | None:
        """The protocol for a new connection, around the application's.

        Args:
            addr: The client's address.

        Returns:
            None, which closes the connection, if the application's factory
            builds none.
        """
        protocol = self._factory.buildProtocol(cast(IAddress, addr))
        return None if protocol is None else _PlaintextProtocol(self, protocol)

    def protocol_behind_header(
        self, addr: IAddress | None, seconds: float, awaits_data: bool
    ) -> IProtocol | None:
        """The protocol for a connection whose PROXY header was read.

        Args:
            addr: The client's address.
            seconds: How long the first byte may take, if that is awaited.
            awaits_data: Whether the application's protocol is built at the first byte.

        Returns:
            None, as for `buildProtocol`.
        """
        if not awaits_data:
            return self.buildProtocol(addr)
        self._stopping.under_way += 1
        build = partial(self._build, addr)
        return FirstByteProtocol(self._config, seconds, build, self._stopping.over)

    def _build(self, addr: IAddress | None) -> IProtocol:
        protocol = self.buildProtocol(addr)
        if protocol is None:
            raise NoProtocol()
        return protocol

    def first_bytes(self, peer: object, data: bytes) -> None:
        """Look whether a client begins with TLS.

        Args:
            peer: The client's address.
            data: The first bytes that have arrived from it.
        """
        if len(data) > 1 and begins_handshake(data) and not self._has_logged:
            self._has_logged = True
            _log.info(
                "{where}: {client}: it began with TLS, and this port is in the clear: if it gets "
                "no answer, it wants tls:// there",
                where=self._config.where, client=describe_address(peer), peer=peer,
            )  # fmt: skip


class _PlaintextProtocol(PendingProtocol):
    """Connects the application's protocol at once, and shows the factory the first bytes."""

    _has_received = False

    def __init__(self, factory: PlaintextServerFactory, protocol: IProtocol) -> None:
        self._factory = factory
        self.expect(protocol)

    def connectionMade(self) -> None:
        self.connect_protocol()

    def dataReceived(self, data: bytes) -> None:
        if not self._has_received:
            self._has_received = True
            self.leave()
            self._factory.first_bytes(cast(TCPTransport, self.transport).getPeer(), data)
        super().dataReceived(data)


@implementer(IStreamServerEndpoint)
@frozen(repr=False)
class ServerEndpoint:
    """A server endpoint with its limits, and TLS if the URL asks for it.

    What `txtransport.server` returns, and one of Twisted's ``IStreamServerEndpoint``.

    Attributes:
        plaintext: Listens, without TLS.
        serving: How many connections may be open at once.
        config: What the connections have in common; without TLS its ``creator`` is None.
        where: The endpoint without its options, as messages name it.
        proxy_header: Whether connections begin with a PROXY header, and whose.
    """

    plaintext: IStreamServerEndpoint
    serving: ServingPolicy
    config: EndpointConfig
    where: str
    proxy_header: ProxyHeaderOptions = field(factory=ProxyHeaderOptions)

    def __repr__(self) -> str:
        return represent_endpoint("server", self.where)

    def listen(self, protocolFactory: ProtocolFactory[object]) -> Deferred[IListeningPort]:
        """Listen; under TLS, build protocols only for verified connections.

        Args:
            protocolFactory: The application's factory. Under TLS it builds a
                protocol for each connection whose handshake is complete, and
                hears of no other.

        Returns:
            Fires with the port. Fails with a `NetworkError` that is Twisted's
            ``CannotListenError`` or, for a name, ``DNSLookupError`` as well,
            or with `TransportTimeout`.
        """
        # The factory is Twisted's in all but its type.
        factory = cast(IProtocolFactory, protocolFactory)
        return self._listen(factory).addErrback(located_failure, self.where)

    def _listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        # No Deferred is kept in a variable: that of a failure would keep, by its traceback,
        # the socket that could not be bound.
        factory = self._factory(protocolFactory)
        if self.proxy_header.proxy_protocol is None:
            return self._listen_with_limits(factory, is_proxied=False)
        return self._listen_with_limits(factory, is_proxied=True).addCallback(give_client_addresses)

    def _listen_with_limits(
        self, factory: IProtocolFactory, *, is_proxied: bool
    ) -> Deferred[IListeningPort]:
        if self.serving == ServingPolicy():
            return self.plaintext.listen(factory)
        limited = ConnectionLimits(factory, self.serving, self.where, is_proxied=is_proxied)
        return self.plaintext.listen(limited).addCallback(limited.listens)

    def _factory(self, protocolFactory: IProtocolFactory) -> IProtocolFactory:
        """The factory of the port, without its limits."""
        kind = PlaintextServerFactory if self.config.creator is None else TLSServerFactory
        factory = kind(self.config, protocolFactory)
        if self.proxy_header.proxy_protocol is None:
            return factory
        return ProxyHeaderFactory(
            self.config, self.proxy_header, factory, factory.protocol_behind_header
        )
