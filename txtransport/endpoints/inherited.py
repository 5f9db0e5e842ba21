"""Sockets that were open before this process began: ``fd://3``, ``systemd://NAME``.

The parent process, systemd most of all, has opened a socket, bound it and begun to listen,
and passes the descriptor on. So its address, its rights and its queue are settled, and are
left as they are. A descriptor may turn out to be anything: a file, a connection, a socket of
another kind, or closed. Each is looked at when the endpoint is made, and again, with its
identity, when it listens, since a number can be given anew in between.

**Which descriptors systemd has passed.** They begin at 3, ``LISTEN_FDS`` says how many, and
``LISTEN_FDNAMES`` has their names (sd_listen_fds(3)). Twisted takes the former out of the
environment when it imports its endpoints, and of several sockets with one name tells the last
only. But its endpoints ``systemd:…:index=N`` count them all, and ``LISTEN_FDNAMES`` stays, in
the same order.

**The end.** Like Twisted's, an endpoint listens once, and closes the descriptor that it was
given when the reactor has one of its own. Others may hold the socket, too: systemd goes on
listening with it and starts the service again for the next client. So it is closed, and
never shut down.

**Local sockets.** Twisted's ``adoptStreamPort`` would give the socket's file the rights 0666,
whatever systemd gave it (``SocketMode=``), shorten its queue, and in the end shut the socket
down and remove the file, which are systemd's. `InheritedLocalPort` does none of that.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Final, cast

from attrs import frozen
from twisted.internet import tcp, unix
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import AdoptedStreamServerEndpoint, serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import (
    IListeningPort,
    IProtocolFactory,
    IStreamServerEndpoint,
)
from twisted.internet.protocol import ServerFactory
from twisted.python import log
from twisted.python.failure import Failure
from zope.interface import implementer

from txtransport.config.schemes import SCHEMES, Kind
from txtransport.config.settings import Settings
from txtransport.config.url import TransportURL
from txtransport.connection.pending import log_name
from txtransport.connection.twisted_types import Reactor
from txtransport.endpoints.port_group import PortGroup
from txtransport.errors import InvalidOption, InvalidTransport
from txtransport.text import short_repr, short_text

__all__ = [
    "InheritedListener",
    "InheritedLocalPort",
    "InheritedSocket",
    "inherited_datagram_sockets",
    "inherited_listener",
    "inherited_sockets",
]


@frozen
class InheritedSocket:
    """A socket that was passed to this process, and was looked at.

    Attributes:
        descriptor: Its number.
        identity: Device and inode, by which another socket under that number is known.
        family: For example ``AF_INET6``.
        kind: ``SOCK_STREAM`` or ``SOCK_DGRAM``.
    """

    descriptor: int
    identity: tuple[int, int]
    family: int
    kind: int

    def require_same(self) -> None:
        """Raise an exception if the number stands for something else by now.

        Raises:
                CannotListenError: It does, or nothing is open under it: the socket was
                listened at already, perhaps by another endpoint.
        """
        try:
            is_same = _identity(self.descriptor) == self.identity
        except OSError:
            is_same = False
        if not is_same:
            problem = OSError(errno.EBADF, f"descriptor {self.descriptor} is that socket no longer")
            raise CannotListenError(None, None, problem)

    def duplicate(self) -> socket.socket:
        """A socket of our own, non-blocking, for the same socket of the system."""
        # Non-blocking is the socket and not the descriptor. Without it, a reactor waits in
        # accept(2) when a client has gone or another process was faster.
        os.set_blocking(self.descriptor, False)
        return _SharedSocket(self.family, self.kind, fileno=os.dup(self.descriptor))

    def close(self) -> None:
        """Close the descriptor that was passed; standard ones become the null device."""
        if self.descriptor > 2:
            os.close(self.descriptor)
            return
        # The next file that is opened would become standard input, output or errors.
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, self.descriptor)
        os.close(null)


class _SharedSocket(socket.socket):
    """A socket that other processes hold as well."""

    def shutdown(self, how: int) -> None:
        """Nothing: it would be shut down for the others, too."""


# --- which sockets a URL means ---------------------------------------------------


def inherited_sockets(url: TransportURL, kind: Kind) -> tuple[InheritedSocket, ...]:
    """The sockets that a URL names, each fit to be listened at.

    Args:
        url: Its scheme is one of sockets that were open before.
        kind: What travels: of the sockets of a name, those for streams or for datagrams
            are meant.

    Returns:
        One or more. All are of that kind.

    Raises:
        InvalidTransport: There is none, or one of them is not a socket that waits for
            connections or datagrams.
    """
    where = url.location
    if SCHEMES[url.scheme].inherited_by == "descriptor":
        numbers = [int(url.path)]
    else:
        passed = [*_passed_by_systemd()]
        numbers = [each.number for each in passed if each.name == url.path and each.is_there]
        if not numbers:
            raise InvalidTransport(f"{where}: {_none_of_that_name(url.path, passed)}")
    wanted = _KINDS[kind]
    found = [_examine(number, where) for number in numbers]
    fitting = [each for each in found if each.kind == wanted]
    if not fitting:
        right = "datagram(…)" if wanted == socket.SOCK_STREAM else "server(…)"
        raise InvalidTransport(
            f"{where}: it is a socket for {_NAMES[found[0].kind]}s; use txtransport.{right}"
        )
    for each in fitting:
        _require_listening(each, where)
    return tuple(fitting)


_KINDS: Final = {Kind.STREAM: int(socket.SOCK_STREAM), Kind.DATAGRAM: int(socket.SOCK_DGRAM)}
_NAMES: Final = {number: kind.value for kind, number in _KINDS.items()}
_FAMILIES: Final = {
    _KINDS[Kind.STREAM]: frozenset({socket.AF_INET, socket.AF_INET6, socket.AF_UNIX}),
    _KINDS[Kind.DATAGRAM]: frozenset({socket.AF_INET, socket.AF_INET6}),
}


def inherited_datagram_sockets(url: TransportURL) -> tuple[InheritedSocket, ...]:
    """The sockets for datagrams that a URL names: one, or one of IPv6 and one of IPv4.

    Args:
        url: Its scheme is one of sockets that were open before.

    Raises:
        InvalidTransport: As `inherited_sockets` does, and for two of one family: an answer
            must leave by the socket that was asked, and its address alone does not say by
            which that was.
    """
    found = inherited_sockets(url, Kind.DATAGRAM)
    if len({each.family for each in found}) < len(found):
        raise InvalidTransport(
            f"{url.location}: {len(found)} sockets for datagrams have that name, and there may be "
            "one of IPv6 and one of IPv4; give each address a socket unit, or a name "
            "(FileDescriptorName=), of its own"
        )
    return found


@frozen
class _Passed:
    """A descriptor that systemd has passed to this process.

    Attributes:
        name: The name of its socket.
        number: The descriptor.
        is_there: Whether it is still that socket, and not closed or given anew.
    """

    name: str
    number: int
    is_there: bool


# The descriptors of systemd, with their identities when they were looked at first. An
# endpoint closes those that it listens at, and the system gives the numbers anew, while
# Twisted goes on telling of them.
_identities: dict[int, tuple[int, int]] = {}


def _passed_by_systemd() -> Iterator[_Passed]:
    """Each descriptor that systemd has passed to this process."""
    for index, name in enumerate(os.environ.get("LISTEN_FDNAMES", "").split(":")):
        try:
            # The address family does not matter, since nothing listens by this endpoint.
            endpoint = serverFromString(None, f"systemd:UNIX:index={index}")
        except IndexError:
            return
        number = cast(AdoptedStreamServerEndpoint, endpoint).fileno
        try:
            identity = _identity(number)
            is_there = _identities.setdefault(number, identity) == identity
        except OSError:
            is_there = False
        yield _Passed(name, number, is_there)


def _identity(number: int) -> tuple[int, int]:
    found = os.fstat(number)
    return found.st_dev, found.st_ino


def _none_of_that_name(name: str, passed: list[_Passed]) -> str:
    names = dict.fromkeys(each.name for each in passed)
    if name in names:
        return "an endpoint listens already at what was passed under that name"
    if passed:
        listed = ", ".join(short_repr(each, 40) for each in names)
        return f"no socket of that name was passed to this process, but {short_text(listed)}"
    text = "no socket was passed to this process"
    if os.environ.get("LISTEN_PID", str(os.getpid())) != str(os.getpid()):
        return (
            f"{text}, but to another one (LISTEN_PID); a shell that starts this program does so "
            "with exec"
        )
    return (
        f"{text} (LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES); is its socket unit running, and do "
        "its sockets have names (FileDescriptorName=, systemd-socket-activate --fdname=)?"
    )


def _examine(number: int, where: str) -> InheritedSocket:
    """What a descriptor is.

    Raises:
        InvalidTransport: It is not a socket, or not one that can be used here.
    """
    what = f"{where}: descriptor {number}"
    try:
        found = os.fstat(number)
    except OSError:
        raise InvalidTransport(f"{what} is not open: did the parent process pass it on?") from None
    if not stat.S_ISSOCK(found.st_mode):
        raise InvalidTransport(f"{what} is no socket")
    looked_at = socket.socket(fileno=number)
    try:
        family, kind = int(looked_at.family), int(looked_at.type)
    finally:
        looked_at.detach()
    if kind not in _NAMES:
        raise InvalidTransport(f"{what} is a socket of a kind that cannot be used here")
    if family not in _FAMILIES[kind]:
        local = " local" if family == socket.AF_UNIX else ""
        raise InvalidTransport(
            f"{what} is a{local} socket for {_NAMES[kind]}s of an address family that cannot be "
            "used here"
        )
    return InheritedSocket(number, (found.st_dev, found.st_ino), family, kind)


def _require_listening(each: InheritedSocket, where: str) -> None:
    """Refuse a socket that is connected, or that does not listen."""
    looked_at = socket.socket(fileno=each.descriptor)
    try:
        is_listening = each.kind == socket.SOCK_DGRAM or bool(
            looked_at.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        )
        is_connected = not is_listening or each.kind == socket.SOCK_DGRAM
        if is_connected:
            try:
                looked_at.getpeername()
            except OSError:
                is_connected = False
    finally:
        looked_at.detach()
    what = f"{where}: descriptor {each.descriptor}"
    if is_connected:
        raise InvalidTransport(
            f"{what} is a connection, and no socket that listens: write Accept=no into the socket "
            "unit (nowait becomes wait in inetd.conf), or serve this one connection with "
            "StandardInput=socket and over=stdio%3A"
        )
    if not is_listening:
        raise InvalidTransport(f"{what} does not listen")


# --- listening -------------------------------------------------------------------


def inherited_listener(
    reactor: Reactor, url: TransportURL, settings: Settings
) -> InheritedListener:
    """An endpoint that listens with the sockets that a URL names.

    Args:
        reactor: Listens.
        url: Its scheme is one of sockets that were open before.
        settings: The options of the URL; a local socket cannot have all of them.

    Raises:
        InvalidTransport: There is no such socket, or it does not listen for streams.
        InvalidOption: ``max_per_ip`` was given, and a socket is a local one, behind which
            no balancer says whose connections they are.
    """
    found = inherited_sockets(url, Kind.STREAM)
    needs_addresses = (
        settings.serving.max_per_ip is not None and settings.proxy_header.proxy_protocol is None
    )
    if needs_addresses and any(each.family == socket.AF_UNIX for each in found):
        raise InvalidOption(
            "max_per_ip", "max_per_ip needs addresses, and clients of a local socket have none"
        )
    return InheritedListener(reactor, found)


@implementer(IStreamServerEndpoint)
@frozen
class InheritedListener:
    """Listens, once, with sockets that were open before.

    Attributes:
        reactor: Listens.
        sockets: The sockets, which all listen already.
    """

    reactor: Reactor
    sockets: tuple[InheritedSocket, ...]

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """Accept connections from all of the sockets, or from none.

        Args:
            protocolFactory: Builds a protocol for each connection.

        Returns:
            Fires with the port, at once. Fails with Twisted's ``CannotListenError``, also
            when it is called again.
        """
        return maybeDeferred(self._listen, protocolFactory)

    def _listen(self, factory: IProtocolFactory) -> IListeningPort:
        for each in self.sockets:
            each.require_same()
        ports: list[IListeningPort] = []
        try:
            for each in self.sockets:
                ports.append(self._adopt(each, factory))
        except BaseException:
            for port in ports:
                port.stopListening()
            raise
        for each in self.sockets:
            each.close()
        # If Twisted started one of its ports again, that would be another socket.
        return PortGroup(tuple(ports))

    def _adopt(self, each: InheritedSocket, factory: IProtocolFactory) -> IListeningPort:
        ours = cast(ServerFactory, factory)
        shared = each.duplicate()
        try:
            if each.family == socket.AF_UNIX:
                port = InheritedLocalPort(shared, ours, self.reactor)
                port.startListening()
                return port
            # The default of tcp_nodelay; an accepted socket inherits it (tcp(7)).
            with suppress(OSError):
                shared.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            adopted = self.reactor.adoptStreamPort(
                shared.fileno(), socket.AddressFamily(each.family), ours
            )
        except OSError as problem:
            shared.close()
            raise CannotListenError(None, None, problem) from problem
        except BaseException:
            shared.close()
            raise
        # The reactor has duplicated the descriptor.
        shared.close()
        return adopted


class InheritedLocalPort(unix.Port):
    """A port at a local socket whose file, rights and queue are the parent's.

    Args:
        listening: The socket, which listens already.
        factory: Builds a protocol for each connection.
        reactor: Tells when there is a connection to accept.
    """

    def __init__(self, listening: socket.socket, factory: ServerFactory, reactor: object) -> None:
        name = cast("str | bytes", listening.getsockname())
        super().__init__(os.fsencode(name), factory, reactor=reactor)
        self._listening = listening
        self._name = name

    def startListening(self) -> None:
        """Accept connections; as Twisted does with a port of TCP that it adopts."""
        log.msg(f"{log_name(self.factory)} starting on {self._name!r}")
        cast(ServerFactory, self.factory).doStart()
        self.connected = True
        self.socket: socket.socket = self._listening
        self.fileno: Callable[[], int] = self._listening.fileno
        self.numberAccepts = 100
        self.reactor.addReader(self)

    def connectionLost(self, reason: Failure) -> None:
        """Close the socket, and leave its file. Called by the reactor.

        Args:
            reason: Why; for the log.
        """
        tcp.Port.connectionLost(self, reason)
