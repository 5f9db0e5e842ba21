"""Transport to a datagram endpoint: UDP, connected or listening."""

from __future__ import annotations

import socket
from typing import Any, cast

from attrs import frozen
from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.internet.error import CannotListenError, getConnectError
from twisted.internet.interfaces import IListeningPort, IReactorSocket, IUDPTransport
from twisted.internet.protocol import DatagramProtocol
from twisted.python.failure import Failure
from zope.interface import Interface, implementer

from txtransport.config.address import is_ipv6
from txtransport.config.settings import Settings
from txtransport.config.url import TransportURL
from txtransport.endpoints.resolve import IPAddress, resolve_addresses
from txtransport.endpoints.sockets import (
    bind_socket,
    refuse_ipv6_alone,
    refuse_other_family,
    socket_address,
)
from txtransport.errors import InvalidOption, InvalidTransport


class IDatagramEndpoint(Interface):
    """Where datagrams go to, or come to."""

    def connect(protocol: DatagramProtocol) -> Deferred[IUDPTransport]:
        """Send to the endpoint's place, and hear from no one else.

        Returns:
            The transport, when the name has been looked up, the socket
            connected and the protocol started; it writes without an address.
        """

    def listen(protocol: DatagramProtocol) -> Deferred[IListeningPort]:
        """Receive what comes to the endpoint's place.

        Returns:
            The port, when the protocol has been started.
        """


@implementer(IDatagramEndpoint)
@frozen
class UDPEndpoint:
    """A place of UDP's.

    Attributes:
        reactor: Looks names up, and reads the socket.
        transport: Where; ``*`` and port 0 are for listening.
        settings: The options, read.
    """

    reactor: Any
    url: TransportURL
    settings: Settings

    def connect(self, protocol: DatagramProtocol) -> Deferred[IUDPTransport]:
        """Send to this place, and hear from no one else.

        Args:
            protocol: Is started when the socket is connected; a refusal that
                comes back reaches its ``connectionRefused``.

        Returns:
            The transport. Fails with Twisted's ``DNSLookupError``,
            ``ConnectError`` or ``CannotListenError`` (for ``bindto``), with
            `TransportTimeout` for the look-up, or with `InvalidTransport`
            when this is no place to send to.
        """
        where, host = self.url.location, self.url.host
        if host == "*" or not self.url.port:
            error = InvalidTransport(f"{where}: a host and a port from 1 to 65535 are needed")
            return fail(error)
        if self.url.is_literal:
            return maybeDeferred(self._connect, [host], protocol)
        return self._resolve().addCallback(self._connect, protocol)

    def listen(self, protocol: DatagramProtocol) -> Deferred[IListeningPort]:
        """Receive what comes to this place; of a name, its first address.

        Returns:
            The port. Fails with `InvalidTransport` when the URL has no port,
            with `InvalidOption` for ``bindto``, which is for `connect`, and
            for ``ipv6_v6only`` without IPv6; otherwise as `connect` does.
        """
        number, host = self.url.port, self.url.host
        if number is None:
            error = InvalidTransport(f"{self.url.location}: the port is missing; 0 is any")
            return fail(error)
        if self._bindto is not None:
            text = "bindto is where to send from; to listen there, put it into the URL"
            return fail(InvalidOption("bindto", text))
        if host == "*" or self.url.is_literal:
            return maybeDeferred(self._listen, [host], number, protocol)
        return self._resolve().addCallback(self._listen, number, protocol)

    @property
    def _bindto(self) -> tuple[str, int] | None:
        return self.settings.sockets.bindto

    def _resolve(self) -> Deferred[list[str]]:
        found = resolve_addresses(
            self.reactor, self.url.host, self.url.port or 0, "UDP",
            seconds=self.settings.deadlines.timeout, where=self.url.location,
        )  # fmt: skip
        return found.addCallback(_host_names)

    def _connect(self, hosts: list[str], protocol: DatagramProtocol) -> IUDPTransport:
        host, local = self._pair(hosts)
        number = self.url.port
        made = self._bind(*local)
        with made:
            try:
                made.connect(socket_address(host, number or 0, socket.SOCK_DGRAM))
            except OSError as problem:
                raise getConnectError(problem) from problem
            _drain(made)
            port = self._adopt(made)
        # For the system it is connected already; now Twisted knows as well.
        port.connect(host, number)
        return cast(IUDPTransport, _started(port, protocol))

    def _listen(self, hosts: list[str], number: int, protocol: DatagramProtocol) -> IListeningPort:
        refuse_ipv6_alone(hosts[0], self.settings.sockets)
        made = self._bind(hosts[0], number)
        with made:
            port = self._adopt(made)
        return cast(IListeningPort, _started(port, protocol))

    def _pair(self, hosts: list[str]) -> tuple[str, tuple[str, int]]:
        """Where to send, and from where."""
        bindto = self._bindto
        if bindto is None:
            return hosts[0], ("::" if is_ipv6(hosts[0]) else "0.0.0.0", 0)
        fitting = [host for host in hosts if is_ipv6(host) is is_ipv6(bindto[0])]
        if not fitting:
            refuse_other_family(hosts[0], bindto)
        return fitting[0], bindto

    def _bind(self, host: str, number: int) -> socket.socket:
        try:
            return bind_socket(host, number, socket.SOCK_DGRAM, self.settings.sockets)
        except OSError as problem:
            raise CannotListenError(host, number, problem) from problem

    def _adopt(self, made: socket.socket) -> Any:
        # The reactor takes a copy; ours is closed by whoever made it. The
        # guest is started when what it would be told is true; until then a
        # stranger holds its place.
        port = cast(IReactorSocket, self.reactor).adoptDatagramPort(
            made.fileno(), made.family, DatagramProtocol(), _LARGEST
        )
        _outlive_refusals(port)
        return port


# A datagram of any size arrives whole.
_LARGEST = 65536


def _host_names(found: list[IPAddress]) -> list[str]:
    return [address.host for address in found]


def _drain(made: socket.socket) -> None:
    """Drop what came between binding and connecting; anyone may have sent it."""
    try:
        while True:
            made.recv(1)
    except OSError:  # Nothing is left.
        pass


def _outlive_refusals(port: Any) -> None:
    """Let a refusal reach the protocol, and not end the port.

    What comes back as ICMP is an error of the connected socket (udp(7)).
    select(2) wakes its reader, who finds it and calls ``connectionRefused``;
    poll(2) and epoll(7) report it as an event of its own, which Twisted's
    reactors take for the end of the connection.
    """
    end = port.connectionLost

    def connectionLost(reason: Failure | None = None) -> None:
        if reason is None or not port.getHandle().getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            end(reason)
        else:
            port.startReading()
            port.protocol.connectionRefused()

    port.connectionLost = connectionLost


def _started(port: Any, protocol: DatagramProtocol) -> Any:
    """The port, with the guest in its place."""
    stranger, port.protocol = port.protocol, protocol
    try:
        protocol.makeConnection(port)
    except BaseException:
        port.protocol = stranger
        port.stopListening()
        raise
    return port
