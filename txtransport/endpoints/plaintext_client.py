"""Endpoints that connect to the address of a `TransportURL`, without TLS.

A `ConnectTarget` gives the endpoint of TCP or of a local socket that a
`txtransport.endpoints.client.ClientEndpoint` wraps. A host's name is looked up
at each attempt, and the addresses that were found are tried (`HostnameEndpoint`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, cast

from attrs import frozen
from twisted.internet.address import HostnameAddress, IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectingCancelledError, NoProtocol
from twisted.internet.interfaces import (
    IAddress,
    IConnector,
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import ClientFactory, Protocol
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from txtransport.config.address import is_ipv6
from txtransport.config.allowed_hosts import HostRules
from txtransport.config.url import TransportURL
from txtransport.connection.trace import Trace, with_trace
from txtransport.connection.twisted_types import Reactor
from txtransport.endpoints.happy_eyeballs import HappyEyeballs, interleave_families
from txtransport.endpoints.resolve import IPAddress, host_of, resolve_addresses
from txtransport.endpoints.sockets import refuse_other_family, socket_path
from txtransport.errors import InvalidOption, InvalidTransport

__all__ = ["ConnectTarget", "HostnameEndpoint", "address_of", "connect_target"]

_log: Final = Logger()

# The attempt has its deadline, and a second timer would be one too many. Twisted's
# connectors take None for "no timeout"; the interface's type does not say so.
_NO_TIMEOUT: Final = cast(float, None)

_MAX_ADDRESSES: Final = 16
"""How many addresses of a name one attempt tries."""


@frozen
class ConnectTarget:
    """Where a client connects to, checked once for any number of endpoints.

    Attributes:
        url: The URL; its options do not count.
        port: The port, 1 to 65535; 0 for a local socket.
        bindto: The local address and port, or None for any.
        path: The path of a local socket as Twisted takes it, or empty.
        is_literal: Whether the host is an address, and not a name to look up.
    """

    url: TransportURL
    port: int
    bindto: tuple[str, int] | None
    path: str
    is_literal: bool

    def endpoint(
        self,
        reactor: Reactor,
        timeout: float,
        trace: Trace | None = None,
        rules: HostRules | None = None,
    ) -> IStreamClientEndpoint:
        """An endpoint that connects there, without TLS.

        Args:
            reactor: Connects and keeps time.
            timeout: The most seconds that the caller waits for a connection.
            trace: Is told of each address that is tried, or None.
            rules: Which hosts may be connected to, or None for all.

        Raises:
            InvalidOption: The host is not allowed.
        """
        if rules is not None:
            rules.refuse_host(self.url)
        host, port, bindto, path = self.url.host, self.port, self.bindto, self.path
        if path:
            local = AddressEndpoint(
                lambda factory: reactor.connectUNIX(path, factory, timeout=_NO_TIMEOUT)
            )
            return with_trace(local, self.url.path, trace)
        if self.is_literal:
            return with_trace(_tcp_endpoint(reactor, host, port, bindto), host, trace)
        return HostnameEndpoint(reactor, self.url, port, timeout, bindto, trace, rules)


def connect_target(url: TransportURL, bindto: tuple[str, int] | None = None) -> ConnectTarget:
    """Where a client connects to.

    Args:
        url: Its scheme and options are ignored.
        bindto: The local address and port, or None for any.

    Raises:
        InvalidTransport: The port is missing, or host or port are for servers
            only (``*``, 0).
        InvalidOption: ``bindto`` is not of the same address family as the host.
    """
    if url.path:
        return ConnectTarget(url, 0, None, socket_path(url.path), False)
    host, port = url.host, url.port
    if host == "*":
        raise InvalidTransport(f"{url.location}: * is for servers; name the host to connect to")
    if port is None:
        raise InvalidTransport(
            f"{url.location}: the port is missing; write {url.location}:PORT or give port="
        )
    if port == 0:
        raise InvalidTransport(f"{url.location}: port 0 is for servers; write 1 to 65535")
    if url.is_literal:
        refuse_other_family(host, bindto, url.location)
    return ConnectTarget(url, port, bindto, "", url.is_literal)


def _tcp_endpoint(
    reactor: Reactor, host: str, port: int, bindto: tuple[str, int] | None
) -> AddressEndpoint:
    return AddressEndpoint(
        lambda factory: reactor.connectTCP(
            host, port, factory, timeout=_NO_TIMEOUT, bindAddress=bindto
        )
    )


@implementer(IStreamClientEndpoint)
@frozen
class AddressEndpoint:
    """Connects to one address, and puts nothing between the transport and the protocol.

    Twisted's endpoints connect a protocol of their own, which passes each event on, and
    run a timer for each connection. The attempt that waits for ours has a deadline.

    Attributes:
        start: Begins to connect: the reactor's ``connectTCP`` or ``connectUNIX``.
    """

    start: Callable[[ClientFactory], IConnector]

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Connect.

        Args:
            protocolFactory: Builds the protocol.

        Returns:
            Fires with the protocol as soon as it is built. Fails with Twisted's
            ``ConnectError``, or with what the factory raises.
        """
        attempt = _AddressAttempt(protocolFactory)
        self.start(attempt)
        return attempt.done


class _AddressAttempt(ClientFactory):
    """The factory that the reactor gets for one attempt to connect to one address.

    Args:
        factory: Builds the protocol.

    Attributes:
        done: As `AddressEndpoint.connect` says.
    """

    noisy = False
    _connector: IConnector | None = None
    _is_connected = False

    def __init__(self, factory: IProtocolFactory) -> None:
        self._factory: IProtocolFactory | None = factory
        self.done: Deferred[IProtocol] = Deferred(self._cancelled)

    def doStart(self) -> None:
        assert self._factory is not None
        self._factory.doStart()

    def doStop(self) -> None:
        """Connecting has failed, or the connection is over: let go of what belongs to it.

        Twisted's connector and transport keep each other and this factory, until the
        garbage collector finds them; OpenSSL's part of the connection is too large for that.
        """
        factory, self._factory, self._connector = self._factory, None, None
        if factory is not None:
            factory.doStop()

    def startedConnecting(self, connector: IConnector) -> None:
        self._connector = connector

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        self._is_connected = True
        factory = self._factory
        assert factory is not None
        try:
            protocol = factory.buildProtocol(addr)  # type: ignore[arg-type]
            if protocol is None:
                raise NoProtocol()
        except Exception:
            # The factory may have cancelled the attempt; then it has its error.
            if not self.done.called:
                self.done.errback(Failure())
            return None
        if self.done.called:
            return None
        self.done.callback(protocol)
        return protocol  # type: ignore[return-value]

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        if not self.done.called:
            self.done.errback(reason)

    def _cancelled(self, done: Deferred[IProtocol]) -> None:
        connector = cast(IConnector, self._connector)
        done.errback(Failure(ConnectingCancelledError(connector.getDestination())))
        if not self._is_connected:
            connector.stopConnecting()


@implementer(IStreamClientEndpoint)
@frozen
class HostnameEndpoint:
    """Connects to a host's name, whose addresses are looked up at each attempt.

    An attempt tries 16 of a name's addresses at the most. RFC 8305 sets no limit, but each
    address that does not answer costs a socket until the end of the attempt, and how many
    addresses a name has is up to the owner of the name.

    Attributes:
        reactor: Looks the name up, connects and keeps time.
        url: Has the name.
        port: 1 to 65535.
        timeout: Seconds that the look-up may take.
        bindto: The local address and port, or None for any.
        trace: Is told of each address that is tried, or None.
        rules: Which addresses may be connected to, or None for all.
    """

    reactor: Reactor
    url: TransportURL
    port: int
    timeout: float
    bindto: tuple[str, int] | None
    trace: Trace | None = None
    rules: HostRules | None = None

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Look the name up, and connect to the first address that answers.

        Args:
            protocolFactory: Builds the protocol for the connection.

        Returns:
            Fires with the protocol. Fails with Twisted's ``DNSLookupError`` or
            ``ConnectError``, with `TransportTimeout` for the look-up, or with
            `InvalidOption` if no address is allowed or of ``bindto``'s family.
        """
        found = resolve_addresses(
            self.reactor, self.url.host, self.port, "TCP",
            seconds=self.timeout, where=self.url.location,
        )  # fmt: skip
        return found.addCallback(self._connect, protocolFactory)

    def _connect(self, found: list[IPAddress], factory: IProtocolFactory) -> Deferred[IProtocol]:
        # These very addresses are connected to, so that a second look-up, which
        # could have another answer (DNS rebinding), never happens.
        allowed = self._allowed(interleave_families(host_of(address) for address in found))
        hosts = allowed
        if self.bindto is not None:
            wanted = is_ipv6(self.bindto[0])
            hosts = [host for host in allowed if is_ipv6(host) is wanted]
        if not hosts:
            refuse_other_family(allowed[0], self.bindto, self.url.location)
        hosts = hosts[:_MAX_ADDRESSES]
        endpoints = [self._endpoint_of(host) for host in hosts]
        return HappyEyeballs(self.reactor, deque(endpoints), factory).start()

    def _endpoint_of(self, host: str) -> IStreamClientEndpoint:
        """What connects to one of the addresses."""
        tcp = _tcp_endpoint(self.reactor, host, self.port, self.bindto)
        return with_trace(tcp, host, self.trace)

    def _allowed(self, hosts: list[str]) -> list[str]:
        """The addresses that may be connected to; the refusal if there is none."""
        if self.rules is None:
            return hosts
        allowed, refusals = [], []
        for host in hosts:
            try:
                self.rules.require_allowed(self.url, host)
                allowed.append(host)
            except InvalidOption as refusal:
                refusals.append(refusal)
        if not allowed:
            raise refusals[0]
        if refusals:
            _log.info(
                "{refusal}; not tried of this name: {count} address(es)",
                refusal=refusals[0], count=len(refusals),
            )  # fmt: skip
        return allowed


def address_of(url: TransportURL) -> IAddress:
    """The address that a client connects to, as Twisted describes addresses.

    Args:
        url: Where to connect to.

    Returns:
        For a name, the name and the port: it is not looked up.
    """
    if url.path:
        return UNIXAddress(socket_path(url.path))
    port = url.port or 0
    if not url.is_literal:
        return HostnameAddress(url.host.encode(), port)
    return (IPv6Address if is_ipv6(url.host) else IPv4Address)("TCP", url.host, port)
