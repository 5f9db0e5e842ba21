"""Servers behind balancers: each connection begins with a PROXY header, below TLS.

::

    accepted     a balancer's address, by proxy_from?        no: closed unread
        | ProxyHeaderProtocol reads, within handshake_timeout
    header       right, and of the version that is wanted?   no: aborted
        | the connection has the client's addresses from here on (`ProxiedConnection`)
    client       one too many, by max_per_ip?                yes: closed
        | the factory behind: TLS, or the application's
    leaves the path of the bytes

A balancer's own connections get their protocol only at their first byte
(`FirstByteProtocol`), unless ``proxy_local=serve``: most of them are health checks that
connect, look whether TLS works, and leave. Their header says ``LOCAL`` or ``UNKNOWN``; in
version 1, HAProxy names the two addresses of the check's own connection instead.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, cast

from attrs import evolve
from twisted.internet import tcp, unix
from twisted.internet.address import UNIXAddress
from twisted.internet.error import NoProtocol
from twisted.internet.interfaces import (
    IAddress,
    IHandshakeListener,
    IListeningPort,
    IProtocol,
    IProtocolFactory,
)
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure

from txtransport.config.address import find_peer_address
from txtransport.config.settings import ProxyHeaderOptions
from txtransport.connection.attempt import EndpointConfig, log_failure
from txtransport.connection.deadline import Deadline
from txtransport.connection.driver import TLSDriver
from txtransport.connection.pending import PendingProtocol, log_name
from txtransport.connection.proxy_header import ProxiedConnection, ProxiedLocalConnection
from txtransport.connection.twisted_types import TCPTransport
from txtransport.endpoints.delayed_stop import DelayedStop
from txtransport.endpoints.port_group import PortGroup
from txtransport.errors import InvalidOption, InvalidProxyHeader, TransportTimeout
from txtransport.proxy.proxy_protocol.header import ProxiedAddress, ProxyHeader
from txtransport.proxy.proxy_protocol.reader import read_header

__all__ = [
    "FirstByteProtocol",
    "ProxyHeaderFactory",
    "ProxyHeaderProtocol",
    "give_client_addresses",
]

_log: Final = Logger()

Builder = Callable[[IAddress | None, float, bool], IProtocol | None]
"""Builds the protocol that follows the header.

Its arguments are the client's address, the seconds that are left for the way to the
application's protocol, and whether that is built only at the first byte.
"""


class ProxyHeaderFactory(Factory):
    """The factory of a port at which balancers pass connections on.

    Args:
        config: What the connections of the endpoint have in common.
        options: Which header is expected, and of whom.
        factory: The factory behind, to start and to stop.
        build: Builds the protocol for what follows the header, as `factory` would.

    Attributes:
        config: As given.
        options: As given.
        accepted: Which versions of the header are accepted.
        build: As given.
        stopping: Stops `factory`, and counts the headers that are awaited.
    """

    noisy = False

    def __init__(
        self,
        config: EndpointConfig,
        options: ProxyHeaderOptions,
        factory: IProtocolFactory,
        build: Builder,
    ) -> None:
        self.config: EndpointConfig = config
        self.options: ProxyHeaderOptions = options
        self.accepted: str = cast(str, options.proxy_protocol)
        self.build: Builder = build
        self.stopping: DelayedStop = DelayedStop(factory)
        self._factory = factory

    def logPrefix(self) -> str:
        """The name of the factory behind in the log."""
        return log_name(self._factory)

    def doStart(self) -> None:
        """Start the factory behind: the port listens."""
        self.stopping.start()

    def doStop(self) -> None:
        """Stop the factory behind, once no header is awaited any more."""
        self.stopping.stop()

    def buildProtocol(self, addr: IAddress | None) -> ProxyHeaderProtocol | None:
        """The protocol that reads the header of a new connection.

        Args:
            addr: The balancer's address.

        Returns:
            None, which closes the connection, if no balancer has that address.
        """
        host = None if isinstance(addr, UNIXAddress) else str(getattr(addr, "host", ""))
        if not self.options.proxy_from.has(host):
            self.log_failure(addr, InvalidProxyHeader("none is taken from there", _NOT_LISTED))
            return None
        self.stopping.under_way += 1
        return ProxyHeaderProtocol(self, addr)

    def log_failure(self, address: IAddress | None, error: InvalidProxyHeader) -> None:
        """Log why a connection ends before its header was read.

        Args:
            address: The balancer's address.
            error: The reason.
        """
        where = self.config.where
        log_failure(address, error.located(where, error.remedy), where)


_NOT_LISTED: Final = "If it is a balancer, add its address to proxy_from"


class ProxyHeaderProtocol(PendingProtocol):
    """Reads the PROXY header of one connection, then leaves the connection to what follows.

    Args:
        factory: Says what is expected, and builds what follows.
        address: The balancer's address.

    Attributes:
        is_allowed: Is called with the client's address when that is known; whether one
            more connection from there is allowed.
    """

    def __init__(self, factory: ProxyHeaderFactory, address: IAddress | None) -> None:
        self.is_allowed: Callable[[IAddress], bool] = _always
        self._factory = factory
        self._address = address
        self._received = bytearray()
        self._is_over = False
        self._until = 0.0
        self._deadline: Deadline | None = None

    def connectionMade(self) -> None:
        """It is this connection's turn: its time begins."""
        config = self._factory.config
        seconds = config.deadlines.handshake_timeout
        self._until = config.clock.seconds() + seconds
        self._deadline = Deadline(config.clock, seconds, self._expired)

    def dataReceived(self, data: bytes) -> None:
        """Read on in the header.

        Args:
            data: A segment of any size; the client's first bytes may be in it.
        """
        if self.protocol is not None:
            super().dataReceived(data)
            return
        if self._is_over:
            return
        self._received += data
        try:
            found = read_header(bytes(self._received), self._factory.accepted)
        except InvalidProxyHeader as error:
            self._fail(error)
            return
        if found is not None:
            header, size = found
            self._proceed(header, bytes(self._received[size:]))

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """Log an end within the header."""
        if not self._is_over:
            error = InvalidProxyHeader("the connection ended before it was complete")
            if not self._received:
                # Someone only looked whether the port is open.
                error.cause = "closed"
            self._end()
            self._factory.log_failure(self._address, error)
        super().connectionLost(reason)

    def _proceed(self, header: ProxyHeader, rest: bytes) -> None:
        """The header is read: connect what follows."""
        transport = cast(ProxiedConnection, self.transport)
        if _names_itself(header, transport):
            # How checks of HAProxy begin in version 1.
            header = evolve(header, is_local=True)
        transport.take_header(header)
        is_counted = isinstance(header.source, tuple) and not header.is_local
        if is_counted and not self.is_allowed(transport.getPeer()):
            self._end()
            self._plain_transport.loseConnection()
            return
        seconds = max(0.0, self._until - self._factory.config.clock.seconds())
        awaits_data = header.is_local and self._factory.options.proxy_local == "wait"
        try:
            protocol = self._factory.build(transport.getPeer(), seconds, awaits_data)
        finally:
            self._end()
        if protocol is None:
            self._plain_transport.loseConnection()
            return
        self.expect(protocol)
        self.connect_protocol()
        self.leave()
        if rest:
            transport.deliver_first(rest)

    def _expired(self) -> None:
        config = self._factory.config
        error = TransportTimeout(
            config.where, "proxy-header", config.deadlines.handshake_timeout, bytes(self._received)
        )
        self._end()
        log_failure(self._address, error, config.where)
        self._plain_transport.abortConnection()

    def _fail(self, error: InvalidProxyHeader) -> None:
        self._end()
        self._factory.log_failure(self._address, error)
        self._plain_transport.abortConnection()

    def _end(self) -> None:
        """The header is awaited no longer."""
        self._is_over = True
        self._received.clear()
        if self._deadline is not None:
            self._deadline.stop()
        self._factory.stopping.over()

    @property
    def _plain_transport(self) -> TCPTransport:
        return cast(TCPTransport, self.transport)


def _names_itself(header: ProxyHeader, transport: ProxiedConnection) -> bool:
    """Whether a header tells the two addresses of the very connection that it came over."""
    return _is_at(header.source, transport.getPeer()) and _is_at(
        header.destination, transport.getHost()
    )


def _is_at(told: ProxiedAddress | None, address: IAddress) -> bool:
    if not isinstance(told, tuple):
        return False
    host, port = told
    own = find_peer_address(str(getattr(address, "host", "")))
    return (find_peer_address(host), port) == (own, getattr(address, "port", None))


def _always(address: IAddress) -> bool:
    return True


class FirstByteProtocol(PendingProtocol):
    """Builds the application's protocol for a balancer's own connection at its first byte.

    Under TLS, the handshake is complete by then.

    Args:
        config: What the connections of the endpoint have in common.
        seconds: How long the first byte may take.
        build: Builds the protocol; raises `NoProtocol` if there is to be none.
        over: Is called once, when `build` will not be called any more.
    """

    def __init__(
        self,
        config: EndpointConfig,
        seconds: float,
        build: Callable[[], IProtocol],
        over: Callable[[], object],
    ) -> None:
        self._config = config
        self._seconds = seconds
        self._build = build
        self._over = over
        self._deadline: Deadline | None = None
        self._is_waiting = True

    def connectionMade(self) -> None:
        """Wait."""
        self._deadline = Deadline(self._config.clock, self._seconds, self._expired)

    def dataReceived(self, data: bytes) -> None:
        """Connect the application's protocol, and deliver.

        Args:
            data: The application's data.
        """
        if self._is_waiting:
            self._begin()
        if self.protocol is not None:
            super().dataReceived(data)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """Wait no longer."""
        if self._is_waiting:
            self._end()
        super().connectionLost(reason)

    def _begin(self) -> None:
        try:
            protocol = self._build()
        except NoProtocol:
            cast(TCPTransport, self.transport).loseConnection()
            return
        finally:
            self._end()
        self.expect(protocol)
        self.connect_protocol()
        if isinstance(self.transport, TLSDriver) and IHandshakeListener.providedBy(protocol):
            protocol.handshakeCompleted()
        self.leave()

    def _expired(self) -> None:
        self._end()
        _log.debug(
            "{where}: a balancer's own connection said nothing for {seconds:.3g} s, and is ended",
            where=self._config.where, seconds=self._seconds,
        )  # fmt: skip
        cast(TCPTransport, self.transport).abortConnection()

    def _end(self) -> None:
        self._is_waiting = False
        if self._deadline is not None:
            self._deadline.stop()
        self._over()


def give_client_addresses(port: IListeningPort) -> IListeningPort:
    """Have the connections of a port be `ProxiedConnection`, from now on.

    Args:
        port: A port of Twisted's, or a group of those, at which no connection was accepted
            yet.

    Returns:
        The port.

    Raises:
        InvalidOption: It is of another kind; it has stopped then.
    """
    for each in port.ports if isinstance(port, PortGroup) else (port,):
        if isinstance(each, unix.Port):
            each.transport = ProxiedLocalConnection
        elif isinstance(each, tcp.Port):
            each.transport = ProxiedConnection
        else:
            port.stopListening()
            raise InvalidOption(
                "proxy_protocol",
                "proxy_protocol is for ports of TCP and of local sockets that Twisted has opened, "
                f"not for a {type(each).__name__}",
            )
    return port
