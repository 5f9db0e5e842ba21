"""Endpoints that are not ours (``over=``), with what ours add: TLS, deadlines, limits.

Some other program opens the connections: systemd, a Tor client, a parent process, ssh.
What it gives is one of Twisted's endpoints, and those promise less than the transports of
the reactor do:

- *A transport may lack methods.* Standard input and output cannot be aborted
  (``abortConnection``), and some transports cannot be paused. A connection past its
  deadline must end all the same, so `CompletedTransport` has what is missing.
- *An endpoint need not start its factory.* Twisted's ``StandardIOEndpoint`` calls neither
  ``doStart`` nor ``doStop``, so both are called here, and the endpoint's own calls ignored.
- *A Deferred may fire late, twice or for nothing.* An endpoint may go on to connect after
  it was cancelled, ask for a second protocol, or succeed without a connection. An attempt
  (`_OverAttempt`) takes one connection and has one result.
- *What listens need not be a port.* ``StandardIOEndpoint`` returns the connection, whose
  pause would stop the reading and not the accepting of connections.

Whom the endpoint leads to it decides alone: the name is verified, and nothing else is known.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Hashable
from contextlib import suppress
from socket import AF_INET, AF_INET6, IPPROTO_TCP, SOCK_STREAM, TCP_NODELAY, socket
from typing import Any, Final, cast

from attrs import frozen
from twisted.internet.address import UNIXAddress
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.endpoints import (
    StandardIOEndpoint,
    clientFromString,
    serverFromString,
)
from twisted.internet.error import (
    CannotListenError,
    ConnectError,
    ConnectingCancelledError,
    ConnectionAborted,
    ConnectionLost,
    NoProtocol,
    ProcessExitedAlready,
)
from twisted.internet.interfaces import (
    IAddress,
    IConsumer,
    IHalfCloseableProtocol,
    IHandshakeListener,
    IListeningPort,
    IProcessTransport,
    IProducer,
    IProtocol,
    IProtocolFactory,
    IPushProducer,
    IReactorTime,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
    ITransport,
)
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.stdio import PipeAddress, StandardIO
from twisted.python.failure import Failure
from zope.interface import implementer

from txtransport.config.allowed_hosts import HostRules
from txtransport.config.settings import Settings
from txtransport.config.url import TransportURL
from txtransport.connection.pending import PendingProtocol, log_name
from txtransport.connection.tcp_info import socket_of
from txtransport.connection.trace import Trace, with_trace
from txtransport.connection.twisted_types import Reactor
from txtransport.endpoints.network_errors import CannotListen, ConnectFailed, located
from txtransport.errors import InvalidOption, InvalidTransport, TransportError
from txtransport.text import describe_error

__all__ = [
    "CompletedTransport",
    "OverClientEndpoint",
    "OverServerEndpoint",
    "OverTarget",
    "over_listener",
    "over_target",
]


# --- what the option means -------------------------------------------------------


@frozen
class OverTarget:
    """What a client connects over, in the place of a `ConnectTarget`.

    Attributes:
        url: The URL; its host is the name to verify.
        over: The endpoint, or its description.
        peer: Under which sessions are kept: whom an endpoint object leads to is known to
            that object alone, so its sessions are not for others.
    """

    url: TransportURL
    over: object
    peer: Hashable
    bindto: None = None

    def endpoint(
        self,
        reactor: Reactor,
        timeout: float,
        trace: Trace | None = None,
        rules: HostRules | None = None,
    ) -> IStreamClientEndpoint:
        """An endpoint that connects over the other one, without TLS.

        Args:
            reactor: Connects and keeps time.
            timeout: Not used: the attempt that waits has its deadline.
            trace: Is told when it connects, or None.
            rules: Which hosts may be connected to, or None for all.

        Raises:
            InvalidOption: The description is not one of a client endpoint, or there are
                rules, which nobody could keep.
        """
        if rules is not None:
            raise InvalidOption(
                "over", "allow_hosts and public_only say where to connect to, and over= leaves "
                "that to another endpoint",
            )  # fmt: skip
        over = _endpoint(reactor, self.over, clientFromString, IStreamClientEndpoint)
        made = OverClientEndpoint(over, reactor, self.url.location)
        return with_trace(made, self.url.host, trace)


def over_target(url: TransportURL, over: object) -> OverTarget:
    """What a client connects over.

    Args:
        url: Its host is the name to verify.
        over: The endpoint, or its description.

    Raises:
        InvalidTransport: The host is ``*``.
        InvalidOption: The endpoint is none for clients.
    """
    if url.host == "*":
        raise InvalidTransport(f"{url.location}: * is for servers; write the name of the peer")
    if not isinstance(over, str):
        _require(over, IStreamClientEndpoint)
    return OverTarget(url, over, (url.host, url.port, over if isinstance(over, str) else object()))


def over_listener(reactor: Reactor, url: TransportURL, settings: Settings) -> OverServerEndpoint:
    """An endpoint that listens over another one, without TLS.

    Args:
        reactor: Keeps time, and listens if the other endpoint is only described.
        url: For messages.
        settings: The options of the URL; ``over`` is the endpoint, or its description.

    Raises:
        InvalidOption: The endpoint is none for servers, or has one connection, which
            ``overflow=pause`` would stop reading, or whose addresses are not known.
    """
    over, serving = settings.sockets.over, settings.serving
    endpoint = _endpoint(reactor, over, serverFromString, IStreamServerEndpoint)
    if settings.proxy_header.proxy_protocol and isinstance(endpoint, StandardIOEndpoint):
        raise InvalidOption(
            "proxy_protocol", "proxy_protocol needs a port that balancers connect to, and standard "
            "input is a connection",
        )  # fmt: skip
    must_pause = serving.max_connections is not None and serving.overflow == "pause"
    if must_pause and isinstance(endpoint, StandardIOEndpoint):
        raise _cannot_pause("standard input and output")
    # A PROXY header has the clients' addresses.
    needs_addresses = (
        serving.max_per_ip is not None and settings.proxy_header.proxy_protocol is None
    )
    if needs_addresses and isinstance(endpoint, StandardIOEndpoint):
        raise _no_addresses("standard input and output")
    return OverServerEndpoint(endpoint, reactor, url.location, must_pause, needs_addresses)


def _endpoint(
    reactor: Reactor, over: object, from_string: Callable[[Any, str], object], wanted: Any
) -> Any:
    """The endpoint that is meant, made from its description if it is text."""
    if not isinstance(over, str):
        return _require(over, wanted)
    try:
        return from_string(reactor, over)
    except Exception as problem:
        # The parser is of any plugin, and so is what it raises.
        raise InvalidOption("over", f"over= describes no endpoint: {_why(problem)}") from None


def _why(problem: Exception) -> str:
    """What a parser has said, unless it may quote a secret out of the description."""
    said = describe_error(problem)
    if not isinstance(problem, TransportError) and _MAY_BE_SECRET(said):
        said = "its text is not shown, since it may hold a secret"
    return f"{type(problem).__name__}: {said}"


_MAY_BE_SECRET: Final = re.compile("pass|secret|key|token|auth", re.IGNORECASE).search


def _require(over: object, wanted: Any) -> object:
    if wanted.providedBy(over):
        return over
    side = "client" if wanted is IStreamClientEndpoint else "server"
    raise InvalidOption(
        "over", f"over= of a {side} takes an {wanted.__name__}, and {type(over).__name__} is none"
    )


def _cannot_pause(what: str) -> InvalidOption:
    return InvalidOption(
        "overflow", f"overflow=pause cannot be: {what} cannot pause accepting connections; "
        "write overflow=close",
    )  # fmt: skip


def _no_addresses(what: str) -> InvalidOption:
    return InvalidOption(
        "max_per_ip", f"max_per_ip needs addresses, and clients of {what} have none"
    )


# --- clients ---------------------------------------------------------------------


@implementer(IStreamClientEndpoint)
@frozen
class OverClientEndpoint:
    """Connects over another endpoint, and keeps what an endpoint of ours promises.

    Attributes:
        endpoint: The other endpoint.
        clock: Keeps time.
        where: Ours, for messages.
    """

    endpoint: IStreamClientEndpoint
    clock: IReactorTime
    where: str

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Connect.

        Args:
            protocolFactory: Builds the protocol; it is started before, and stopped when the
                connection is over.

        Returns:
            Fires when the connection is there. Fails with a `NetworkError` that is
            Twisted's ``ConnectError`` as well, with any other error of ours that the
            endpoint has, or with what the factory raises.
        """
        return _OverAttempt(self, protocolFactory).begin()


@implementer(IProtocolFactory)
class _OverAttempt:
    """One attempt, and the factory that the other endpoint gets for it.

    Args:
        endpoint: The endpoint whose attempt it is.
        factory: Builds the protocol.
    """

    noisy = False

    def __init__(self, endpoint: OverClientEndpoint, factory: IProtocolFactory) -> None:
        self._endpoint = endpoint
        self._factory = factory
        self._connecting: Deferred[Any] | None = None
        self._is_built = False
        self._is_started = False
        self._done: Deferred[IProtocol] = Deferred(self._cancelled)

    def begin(self) -> Deferred[IProtocol]:
        """Have the other endpoint connect."""
        self._is_started = True
        self._factory.doStart()
        connecting = maybeDeferred(self._endpoint.endpoint.connect, self)
        self._connecting = connecting
        connecting.addCallbacks(self._succeeded, self._failed)
        return self._done

    # --- the factory of the other endpoint ---

    def doStart(self) -> None:
        """Nothing: the factory is started already."""

    def doStop(self) -> None:
        """Nothing: the factory is stopped when the connection is over."""

    def logPrefix(self) -> str:
        """The name of the factory in the log."""
        return log_name(self._factory)

    def buildProtocol(self, addr: IAddress | None) -> IProtocol | None:
        """The protocol for the connection; None for a second one, and for one that is late.

        Args:
            addr: The peer's address.
        """
        if self._done.called or self._is_built:
            return None
        self._is_built = True
        try:
            protocol = self._factory.buildProtocol(addr)  # type: ignore[arg-type]
            if protocol is None:
                raise NoProtocol()
        except Exception:
            # The factory may have cancelled the attempt; then it has its error.
            self._fail(Failure())
            return None
        return OverProtocol(protocol, self._endpoint.clock, self._connected, self._over)

    # --- what comes of it ---

    def _connected(self, protocol: OverProtocol) -> bool:
        """Whether the connection is still wanted."""
        if self._done.called:
            return False
        self._done.callback(protocol)
        return True

    def _over(self, protocol: OverProtocol, reason: Failure) -> None:
        """The connection is over, which may never have begun."""
        self._failed(reason)
        self._stop_factory()

    def _succeeded(self, result: object) -> None:
        # Many an endpoint fires as soon as the protocol is built.
        if not self._is_built:
            nothing = ConnectError(string="the endpoint of over= fired, and connected nothing")
            self._failed(Failure(nothing))

    def _failed(self, reason: Failure) -> None:
        error = cast(BaseException, reason.value)
        if not _is_ours(error):
            reason = Failure(_caused_by(error, ConnectFailed(self._endpoint.where, error)))
        self._fail(reason)

    def _cancelled(self, done: Deferred[IProtocol]) -> None:
        connecting = self._connecting
        self._fail(Failure(ConnectingCancelledError(PipeAddress())))
        if connecting is not None:
            connecting.cancel()

    def _fail(self, reason: Failure) -> None:
        # An endpoint that fails with a connection there has no more to say about it.
        if not self._done.called:
            self._connecting = None
            self._done.errback(reason)
            self._stop_factory()

    def _stop_factory(self) -> None:
        if self._is_started:
            self._is_started = False
            self._factory.doStop()


# --- servers ---------------------------------------------------------------------


@implementer(IStreamServerEndpoint)
@frozen
class OverServerEndpoint:
    """Listens over another endpoint, and keeps what an endpoint of ours promises.

    Attributes:
        endpoint: The other endpoint.
        clock: Keeps time.
        where: Ours, for messages.
        must_pause: Whether what listens has to be paused at times.
        needs_addresses: Whether its clients are told apart by their addresses.
    """

    endpoint: IStreamServerEndpoint
    clock: IReactorTime
    where: str
    must_pause: bool = False
    needs_addresses: bool = False

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """Listen.

        Args:
            protocolFactory: Builds a protocol for each connection.

        Returns:
            Fires with the port. Fails with a `NetworkError` that is Twisted's
            ``CannotListenError`` as well, or with `InvalidOption` if what listens must be
            able to pause and is not, or is a local socket whose clients have no address.
        """
        factory = _OverFactory(protocolFactory, self.clock)
        if isinstance(self.endpoint, StandardIOEndpoint):
            factory.on_end = _close_standard_io
        listening = maybeDeferred(self.endpoint.listen, factory)
        return listening.addCallbacks(self._listening, self._failed, callbackArgs=(factory,))

    def _listening(self, found: object, factory: _OverFactory) -> IListeningPort:
        is_port = IListeningPort.providedBy(found)
        can_pause = is_port and all(hasattr(found, name) for name in _PAUSES)
        problem = None
        if self.must_pause and not can_pause:
            problem = _cannot_pause(type(found).__name__)
        elif self.needs_addresses and is_port and _is_local(cast(IListeningPort, found)):
            problem = _no_addresses("a local socket")
        if problem is not None:
            factory.refuse()
            if is_port:
                maybeDeferred(cast(IListeningPort, found).stopListening)
            raise problem.located(self.where)
        return cast(IListeningPort, found) if is_port else ConnectionPort(found)

    def _failed(self, reason: Failure) -> Failure:
        error = cast(BaseException, reason.value)
        if _is_ours(error):
            return reason
        made = CannotListen(self.where, error)
        made.interface = made.port = None
        made.socketError = cast(OSError, error)
        return Failure(_caused_by(error, made))


def _is_local(port: IListeningPort) -> bool:
    # An endpoint of anyone's may have a port that says nothing of the kind.
    with suppress(Exception):
        return isinstance(port.getHost(), UNIXAddress)
    return False


_PAUSES: Final = ("pauseProducing", "resumeProducing")


class _OverFactory(Factory):
    """The factory that the other endpoint gets.

    Args:
        factory: Builds the protocols.
        clock: Keeps time.

    Attributes:
        on_end: Is called when a connection is over.
    """

    noisy = False

    def __init__(self, factory: IProtocolFactory, clock: IReactorTime) -> None:
        self.on_end: Callable[[], object] = _nothing
        self._factory = factory
        self._clock = clock
        self._is_started = False
        self._is_refusing = False
        self._open: set[OverProtocol] = set()

    def logPrefix(self) -> str:
        """The name of the factory in the log."""
        return log_name(self._factory)

    def doStart(self) -> None:
        """Start the factory: the endpoint listens."""
        self._is_started = True
        self._factory.doStart()

    def doStop(self) -> None:
        """Stop the factory: the endpoint listens no more."""
        self._factory.doStop()

    def buildProtocol(self, addr: IAddress | None) -> OverProtocol | None:
        """The protocol for a new connection, or None, which closes the connection.

        Args:
            addr: The client's address.
        """
        if self._is_refusing:
            return None
        if not self._is_started:
            self._factory.doStart()
        protocol = self._factory.buildProtocol(cast(IAddress, addr))
        if protocol is None:
            self._stop_if_alone()
            return None
        return OverProtocol(protocol, self._clock, self._connected, self._over)

    def refuse(self) -> None:
        """Build no more protocols, and end the connections that there are."""
        self._is_refusing = True
        for each in tuple(self._open):
            each.abort()

    def _connected(self, protocol: OverProtocol) -> bool:
        self._open.add(protocol)
        return not self._is_refusing

    def _over(self, protocol: OverProtocol, reason: Failure) -> None:
        self._open.discard(protocol)
        self.on_end()
        self._stop_if_alone()

    def _stop_if_alone(self) -> None:
        # An endpoint that never starts a factory does not stop it either.
        if not self._is_started:
            self._factory.doStop()


def _nothing() -> None:
    """Nothing is to be done."""


@implementer(IListeningPort)
@frozen
class ConnectionPort:
    """Stands for the port where an endpoint has only a connection (standard input).

    Attributes:
        connection: What the endpoint's ``listen`` fired with.
    """

    connection: object

    def startListening(self) -> None:
        """Refuse: there is one connection, and it is there already.

        Raises:
            CannotListenError: Always.
        """
        raise CannotListenError(None, None, "the endpoint of over= has one connection")

    def stopListening(self) -> Deferred[None] | None:
        """Nothing: no other connection comes, and that one ends by itself."""
        return None

    def getHost(self) -> IAddress:
        """The address of the connection."""
        host = getattr(self.connection, "getHost", None)
        return PipeAddress() if host is None else cast(IAddress, host())


# --- connections -----------------------------------------------------------------


class OverProtocol(PendingProtocol):
    """What another endpoint connects: it passes everything on, and watches begin and end.

    Args:
        protocol: Gets what the connection brings.
        clock: Keeps time.
        begun: Is told that there is a transport; returns whether it is still wanted.
        ended: Is told once that the connection is over, and why.
    """

    def __init__(
        self,
        protocol: IProtocol,
        clock: IReactorTime,
        begun: Callable[[OverProtocol], bool],
        ended: Callable[[OverProtocol, Failure], object],
    ) -> None:
        self.expect(protocol)
        self._clock = clock
        self._begun = begun
        self._ended: Callable[[OverProtocol, Failure], object] | None = ended
        self._completed: CompletedTransport | None = None

    def connectionMade(self) -> None:
        """Connect the protocol, with a transport that has all methods."""
        if not self._begun(self):
            _abort(self.transport)
            return
        _send_at_once(self.transport)
        if all(hasattr(self.transport, name) for name in _METHODS):
            self.connect_protocol()
            return
        completed = CompletedTransport(cast(IProtocol, self.protocol), self._clock)
        self._receiver = self._completed = completed
        makeConnection: Callable[[object], object] = completed.makeConnection
        makeConnection(self.transport)

    def connectionLost(self, reason: Failure | None) -> None:  # type: ignore[override]
        """Tell the protocol of the end.

        Args:
            reason: Why; None, as some transports say it, is an end without a reason.
        """
        ended, self._ended = self._ended, None
        if ended is None:
            return
        reason = reason or Failure(ConnectionLost())
        try:
            super().connectionLost(reason)
        finally:
            ended(self, reason)

    def abort(self) -> None:
        """End the connection at once."""
        _abort(self._completed or self.transport)


def _abort(transport: Any) -> None:
    """End a connection at once, as far as its transport can."""
    if isinstance(transport, StandardIO):
        # Its only way to end without waiting for the reader of standard output.
        cast(Any, transport).connectionLost(Failure(ConnectionAborted()))
    elif IProcessTransport.providedBy(transport):
        # A program whose input is closed need not end.
        with suppress(ProcessExitedAlready):
            transport.signalProcess("KILL")
        transport.loseConnection()
    else:
        getattr(transport, "abortConnection", transport.loseConnection)()


def _close_standard_io() -> None:
    """Leave the connection of standard input and output, which Twisted leaves open for ever.

    The peer would not see the end before the process ends, and would get in the clear what
    the program prints after TLS is over.
    """
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1):
        os.dup2(null, number)
    os.close(null)


_METHODS: Final = (
    "abortConnection",
    "getHost",
    "getPeer",
    "loseConnection",
    "pauseProducing",
    "registerProducer",
    "resumeProducing",
    "unregisterProducer",
    "disconnecting",
)
"""What a transport of the reactor's has, and layers of ours use."""

_MAX_HELD: Final = 2**18
"""Bytes that are kept for a protocol that has paused a transport without a pause."""


def _send_at_once(transport: object) -> None:
    """Set the default of ``tcp_nodelay`` where there is a TCP socket."""
    handle = socket_of(transport)
    is_tcp = (
        isinstance(handle, socket)
        and handle.family in (AF_INET, AF_INET6)
        and handle.type == SOCK_STREAM
    )
    if is_tcp:
        # It may have been closed already, which its transport will tell.
        with suppress(OSError):
            cast(socket, handle).setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)


@implementer(ITransport, IConsumer, IPushProducer)
class CompletedTransport(Protocol):
    """A transport with the methods that another one lacks, and the protocol of that one.

    Args:
        protocol: Is connected to this transport.
        clock: Keeps time.

    Attributes:
        protocol: Hears what comes.
        transport: The other transport.
        disconnecting: Whether the close was asked for.
    """

    transport: Any
    disconnecting: bool = False
    _is_paused = False
    # Aborted: nothing is delivered or written any more.
    _is_aborted = False
    _is_over = False

    def __init__(self, protocol: IProtocol, clock: IReactorTime) -> None:
        self.protocol: IProtocol = protocol
        self._clock = clock
        self._held = b""

    # --- the protocol of the other transport ---

    def connectionMade(self) -> None:
        self.protocol.makeConnection(self)

    def dataReceived(self, data: bytes) -> None:
        """Deliver bytes, or keep them while the protocol has paused.

        Args:
            data: Of the peer.
        """
        if self._is_aborted:
            return
        if not self._is_paused:
            self.protocol.dataReceived(data)
            return
        self._held += data
        if len(self._held) > _MAX_HELD:
            self.abortConnection()

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """Tell the protocol, once.

        Args:
            reason: Why the connection is gone.
        """
        if self._is_over:
            return
        self._is_over = True
        if not self._is_aborted and self._held:
            held, self._held = self._held, b""
            self.protocol.dataReceived(held)
        self.protocol.connectionLost(Failure(ConnectionAborted()) if self._is_aborted else reason)

    def readConnectionLost(self) -> None:
        cast(IHalfCloseableProtocol, self.protocol).readConnectionLost()

    def writeConnectionLost(self) -> None:
        cast(IHalfCloseableProtocol, self.protocol).writeConnectionLost()

    def handshakeCompleted(self) -> None:
        cast(IHandshakeListener, self.protocol).handshakeCompleted()

    # --- the transport of the protocol ---

    def write(self, data: bytes) -> None:
        """Write, unless the connection was aborted."""
        if not self._is_aborted:
            self.transport.write(data)

    def writeSequence(self, data: Any) -> None:
        """Write the pieces as one."""
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        """Close the connection when all was written."""
        self.disconnecting = True
        self.transport.loseConnection()

    def abortConnection(self) -> None:
        """Have the connection over for the protocol in the next turn.

        The transport is aborted if that can be done, and otherwise closed, for which it
        may wait until the peer has taken what was written before.
        """
        if self._is_aborted or self._is_over:
            return
        self._is_aborted = True
        self.disconnecting = True
        self._held = b""
        self._clock.callLater(0, self._end_now)

    def _end_now(self) -> None:
        _abort(self.transport)
        self.connectionLost(Failure(ConnectionAborted()))

    def getPeer(self) -> IAddress:
        """The peer's address, if the transport knows one."""
        return self._address("getPeer")

    def getHost(self) -> IAddress:
        """Our own address, if the transport knows one."""
        return self._address("getHost")

    def _address(self, name: str) -> IAddress:
        ask = getattr(self.transport, name, PipeAddress)
        return cast(IAddress, ask())

    # Applications of Twisted's (its web server) set these on any transport. As for Twisted's
    # local sockets, they do nothing where there is no TCP.

    def getTcpNoDelay(self) -> bool:
        """False: there is no TCP that is known."""
        return False

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Nothing: there is no TCP that is known."""

    def getTcpKeepAlive(self) -> bool:
        """False: there is no TCP that is known."""
        return False

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Nothing: there is no TCP that is known."""

    # --- producers ---

    def pauseProducing(self) -> None:
        """Deliver nothing until `resumeProducing`."""
        pause = getattr(self.transport, "pauseProducing", None)
        if pause is not None:
            pause()
        else:
            self._is_paused = True

    def resumeProducing(self) -> None:
        """Deliver again, first what has come meanwhile."""
        resume = getattr(self.transport, "resumeProducing", None)
        if resume is not None:
            resume()
            return
        self._is_paused = False
        held, self._held = self._held, b""
        if held:
            self.protocol.dataReceived(held)

    def stopProducing(self) -> None:
        """Close the connection."""
        self.loseConnection()

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        """Let a producer write; a transport that cannot pause it lets it write on.

        Args:
            producer: Writes.
            streaming: Whether it writes of its own accord.

        Raises:
            RuntimeError: It waits to be asked, and the transport asks no producer.
        """
        register = getattr(self.transport, "registerProducer", None)
        if register is not None:
            register(producer, streaming)
        elif not streaming:
            raise RuntimeError(f"{type(self.transport).__name__} takes no pull producer")

    def unregisterProducer(self) -> None:
        """Let the producer go."""
        unregister = getattr(self.transport, "unregisterProducer", None)
        if unregister is not None:
            unregister()


def _is_ours(error: BaseException) -> bool:
    """Whether an error is ours, or will be located, or is no failure of the endpoint's."""
    return isinstance(error, (TransportError, CancelledError, NoProtocol)) or (
        located(error, "") is not error
    )


def _caused_by(cause: BaseException, error: BaseException) -> BaseException:
    error.__cause__ = cause
    return error
