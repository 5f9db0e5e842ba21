"""Datagram endpoints: from a `TransportURL` to a UDP socket, connected or listening.

The sockets are made here, because Twisted's ``listenUDP`` sets no options and does not
connect a socket, and they are read and written by a port of our own (`DatagramPort`).
The protocol is started only when its socket is ready.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import cast

from attrs import frozen
from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.internet.error import CannotListenError, getConnectError
from twisted.internet.interfaces import IListeningPort, IReactorFDSet, IUDPTransport
from twisted.internet.protocol import DatagramProtocol
from zope.interface import Interface, implementer

from txtransport.config.address import is_ipv6
from txtransport.config.resolve import represent_endpoint
from txtransport.config.settings import Settings
from txtransport.config.url import TransportURL
from txtransport.connection.twisted_types import Reactor
from txtransport.endpoints.datagram_group import DatagramPortGroup
from txtransport.endpoints.datagram_port import DatagramPort, PortReactor
from txtransport.endpoints.inherited import InheritedSocket
from txtransport.endpoints.network_errors import located_failure
from txtransport.endpoints.resolve import (
    IPAddress,
    host_of,
    resolve_addresses,
    resolve_addresses_to_bind,
)
from txtransport.endpoints.sockets import (
    addresses_here,
    bind_socket,
    refuse_ipv6_alone,
    refuse_other_family,
    socket_address,
    with_local_address,
)
from txtransport.errors import InvalidOption, InvalidTransport, TransportUnavailable

__all__ = ["DatagramEndpoint", "IDatagramEndpoint"]


class IDatagramEndpoint(Interface):
    """An endpoint for datagrams, as Twisted's endpoints are for streams."""

    def connect(protocol: DatagramProtocol) -> Deferred[IUDPTransport]:
        """Send to the endpoint's address, and receive from no other.

        Args:
            protocol: Is started when the socket is connected.

        Returns:
            Fires with the transport, when the name has been looked up, the
            socket connected and the protocol started. The transport's ``write``
            needs no address.
        """

    def listen(protocol: DatagramProtocol) -> Deferred[IListeningPort]:
        """Receive the datagrams that are sent to the endpoint's address.

        Args:
            protocol: Is started when the socket is bound.

        Returns:
            Fires with the port, when the protocol has been started.
        """


@implementer(IDatagramEndpoint)
@frozen(repr=False)
class DatagramEndpoint:
    """Sends to the address of a URL, or receives there, over UDP.

    What `txtransport.datagram` returns.

    Attributes:
        reactor: Looks names up, and reads the socket.
        url: The address; the host ``*`` is for listening only.
        port: The port of the URL; 0, which is any, is for listening only.
        settings: The options of the URL.
        inherited: The sockets to receive with, if they were open before.
    """

    reactor: Reactor
    url: TransportURL
    port: int
    settings: Settings
    inherited: tuple[InheritedSocket, ...] = ()

    def __repr__(self) -> str:
        return represent_endpoint("datagram", self.url.location)

    def connect(self, protocol: DatagramProtocol) -> Deferred[IUDPTransport]:
        """Send to the URL's address, and receive from no other.

        Args:
            protocol: Is started when the socket is connected. Its
                ``connectionRefused`` is called when an ICMP message says that
                nothing listens there.

        Returns:
            Fires with the transport. Fails with a `NetworkError` that is
            Twisted's ``DNSLookupError``, ``ConnectError`` or
            ``CannotListenError`` (for ``bindto``) as well, with
            `TransportTimeout` for the look-up, or with `InvalidTransport` if
            the URL names no single host and port.
        """
        where, host = self.url.location, self.url.host
        if self.inherited:
            error = InvalidTransport(f"{where}: a socket that was open before is for listening")
            return fail(error)
        if host == "*" or not self.port:
            error = InvalidTransport(f"{where}: a host and a port from 1 to 65535 are needed")
            return fail(error)
        if self.url.is_literal:
            connecting = maybeDeferred(self._connect, [host], protocol)
        else:
            connecting = self._resolve(resolve_addresses).addCallback(self._connect, protocol)
        return connecting.addErrback(located_failure, with_local_address(where, self._bindto))

    def listen(self, protocol: DatagramProtocol) -> Deferred[IListeningPort]:
        """Receive the datagrams that are sent to the URL's address.

        Args:
            protocol: Is started when the socket is bound.

        Returns:
            Fires with the port; for a name, at its first address. Fails with
            `InvalidOption` for ``bindto``, which is for `connect`, and for
            ``ipv6_v6only`` without IPv6; otherwise as `connect` does.
        """
        host = self.url.host
        if self.inherited:
            adopted = maybeDeferred(self._listen_inherited, protocol)
            return adopted.addErrback(located_failure, self.url.location)
        if self._bindto is not None:
            text = "bindto is where to send from; to listen there, put it into the URL"
            return fail(InvalidOption("bindto", text))
        if host == "*" or self.url.is_literal:
            listening = maybeDeferred(self._listen, [host], protocol)
        else:
            found = self._resolve(resolve_addresses_to_bind)
            found.addCallback(addresses_here, self.settings.sockets)
            listening = found.addCallback(self._listen, protocol)
        return listening.addErrback(located_failure, self.url.location)

    @property
    def _bindto(self) -> tuple[str, int] | None:
        return self.settings.sockets.bindto

    def _resolve(self, resolve: Callable[..., Deferred[list[IPAddress]]]) -> Deferred[list[str]]:
        found = resolve(
            self.reactor, self.url.host, self.port, "UDP",
            seconds=self.settings.deadlines.timeout, where=self.url.location,
        )  # fmt: skip
        return found.addCallback(_host_names)

    def _connect(self, hosts: list[str], protocol: DatagramProtocol) -> IUDPTransport:
        host, local = self._choose_addresses(hosts)
        bound = self._bind(*local)
        return cast(IUDPTransport, self._start(bound, protocol, (host, self.port)))

    def _listen(self, hosts: list[str], protocol: DatagramProtocol) -> IListeningPort:
        refuse_ipv6_alone(hosts[0], self.settings.sockets)
        bound = self._bind(hosts[0], self.port)
        return cast(IListeningPort, self._start(bound, protocol))

    def _listen_inherited(self, protocol: DatagramProtocol) -> IListeningPort:
        self._require_watching()
        for each in self.inherited:
            each.require_same()
        reactor = cast(PortReactor, self.reactor)
        made: list[socket.socket] = []
        try:
            for each in self.inherited:
                made.append(each.duplicate())
            port: DatagramPort | DatagramPortGroup
            if len(made) == 1:
                port = DatagramPort(reactor, made[0], protocol)
            else:
                port = DatagramPortGroup(reactor, made, protocol)
            port.startListening()
        except BaseException:
            for one in made:
                one.close()
            raise
        for each in self.inherited:
            each.close()
        return cast(IListeningPort, port)

    def _start(
        self,
        bound: socket.socket,
        protocol: DatagramProtocol,
        peer: tuple[str, int] | None = None,
    ) -> DatagramPort:
        """A started port on a socket, which is connected if there is a peer."""
        try:
            if peer is not None:
                _connect_socket(bound, *peer)
            port = DatagramPort(cast(PortReactor, self.reactor), bound, protocol, peer)
            port.startListening()
        except BaseException:
            bound.close()
            raise
        return port

    def _choose_addresses(self, hosts: list[str]) -> tuple[str, tuple[str, int]]:
        """The address to send to, and the local address and port to send from."""
        bindto = self._bindto
        if bindto is None:
            return hosts[0], ("::" if is_ipv6(hosts[0]) else "0.0.0.0", 0)
        fitting = [host for host in hosts if is_ipv6(host) is is_ipv6(bindto[0])]
        if not fitting:
            refuse_other_family(hosts[0], bindto, self.url.location)
        return fitting[0], bindto

    def _require_watching(self) -> None:
        # Of Twisted's reactors, only that of Windows' completion ports lacks it.
        if not IReactorFDSet.providedBy(self.reactor):
            raise TransportUnavailable(
                "udp", "the reactor cannot watch sockets (IReactorFDSet)",
                "use twisted.internet.selectreactor", where=self.url.location,
            )  # fmt: skip

    def _bind(self, host: str, number: int) -> socket.socket:
        self._require_watching()
        try:
            return bind_socket(host, number, socket.SOCK_DGRAM, self.settings.sockets)
        except OSError as problem:
            raise CannotListenError(host, number, problem) from problem


def _host_names(found: list[IPAddress]) -> list[str]:
    return [host_of(address) for address in found]


def _connect_socket(bound: socket.socket, host: str, port: int) -> None:
    """Connect a socket, and drop what has come before: it may be from any sender."""
    try:
        bound.connect(socket_address(host, port, socket.SOCK_DGRAM))
    except OSError as problem:
        raise getConnectError(problem) from problem
    try:
        while True:
            bound.recv(1)
    except OSError:  # Nothing is left.
        pass
