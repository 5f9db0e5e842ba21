"""One connection to a proxy, until what comes over it is what is behind the proxy.

::

    TCP, or TLS            TunnelProtocol           the protocol behind it: TLS with the
    with the proxy   -->   asks the proxy     -->   peer, a dialogue of starttls=, the
                           (txtransport.proxy)      application, or the next proxy's tunnel

The factory that a `TunnelAttempt` stands for is asked for its protocol only when the
proxy has said that it is connected. The protocol then takes the place of the
`TunnelProtocol`, which leaves the path of the bytes.

**What may stand behind the proxy's answer.** The bytes behind the answer are those of the
target. Where we speak first (TLS, the next proxy) there can be none, unless the proxy, or
someone between, made them up: the connection ends. Where the target speaks first (the
greeting of a mail server) they go to the protocol behind the tunnel, for which they came
in the clear anyway.

**What a proxy is told.** The target's host and port, user and password of this proxy, and
nothing else. What it says is never part of what the application hears.
"""

from __future__ import annotations

from functools import partial
from typing import Final, Protocol, cast

from attrs import frozen
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import NoProtocol
from twisted.internet.interfaces import (
    IAddress,
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from txtransport.config.proxy_url import ProxyURL
from txtransport.connection.attempt import is_reset
from txtransport.connection.clear_transport import ClearTransport
from txtransport.connection.driver import TLSDriver
from txtransport.connection.pending import PendingProtocol
from txtransport.connection.plain_writer import PlainWriter
from txtransport.connection.twisted_types import TCPTransport
from txtransport.diagnosis.proxy_refusals import explain_refusal, remedy_of_protocol
from txtransport.errors import (
    NegotiationError,
    PeerLeft,
    PeerMisbehaved,
    ProxyRefused,
    TransportError,
)
from txtransport.proxy import http_connect, socks5
from txtransport.proxy.target import Target
from txtransport.starttls.negotiation import Negotiation
from txtransport.starttls.wire import Speaker, Wire
from txtransport.text import escape_bytes
from txtransport.tls.connection import MAX_FIRST_BYTES

__all__ = ["Tunnel", "TunnelAttempt", "TunnelUser"]

_LOG_IN_OR_NOT: Final = (
    "Is it a proxy of that kind, and does it want a login, or none? One that speaks TLS is "
    "written https://"
)
_CANNOT_CONNECT: Final = (
    "Some proxies, such as ssh -D, hang up when they cannot connect: is {} spelt rightly, and "
    "does it run?"
)


class TunnelUser(Protocol):
    """A factory that is told when a connection comes to a proxy.

    It is Twisted's ``IProtocolFactory`` as well.
    """

    def proxying(self, proxy: ProxyURL, address: IAddress) -> None:
        """A proxy is connected to.

        Args:
            proxy: Which one.
            address: Its address.
        """


@frozen
class Tunnel:
    """What one proxy is asked, for any number of connections.

    Attributes:
        proxy: The proxy.
        target: What it is to connect to.
        address: The same, as Twisted describes it: for ``buildProtocol``.
        where: The endpoint and the proxy, for messages.
        is_target_first: Whether the target may speak before we have.
    """

    proxy: ProxyURL
    target: Target
    address: IAddress
    where: str
    is_target_first: bool

    @property
    def speaker(self) -> Speaker:
        """The dialogue."""
        connect = socks5.connect if self.proxy.kind.is_socks else http_connect.connect
        return partial(connect, target=self.target, credentials=self.proxy.credentials)

    def explained(self, error: NegotiationError, received: bytes) -> NegotiationError:
        """An error of the dialogue, with where it was and what to do.

        Args:
            error: The error.
            received: The proxy's first bytes.
        """
        advice = remedy_of_protocol(self.proxy.scheme, received)
        if isinstance(error, ProxyRefused):
            has_login = self.proxy.credentials is not None
            diagnosis = explain_refusal(error, str(self.target), has_login=has_login)
            return error.explained(diagnosis).located(self.where, advice or diagnosis.remedy)
        if isinstance(error, PeerLeft):
            # Behind its first answer a login that it does not know is no reason any more.
            advice = advice or (_CANNOT_CONNECT.format(self.target) if received else _LOG_IN_OR_NOT)
        return error.located(self.where, advice)


@implementer(IProtocolFactory)
class TunnelAttempt:
    """One attempt to come through a proxy, and the factory of the connection to the proxy.

    Args:
        tunnel: What the proxy is asked.
        factory: Builds the protocol behind the tunnel; a `TunnelUser`.

    Attributes:
        tunnel: As given.
        done: Fires with that protocol when it is built, before it is connected.
    """

    def __init__(self, tunnel: Tunnel, factory: IProtocolFactory) -> None:
        self.tunnel = tunnel
        self.done: Deferred[IProtocol] = Deferred(self._cancelled)
        self._factory = factory
        self._connecting: Deferred[IProtocol] | None = None
        self._protocol: TunnelProtocol | None = None

    def begin(self, to_proxy: IStreamClientEndpoint) -> Deferred[IProtocol]:
        """Connect to the proxy, and through it.

        Args:
            to_proxy: Connects to the proxy.

        Returns:
            `done`. Fails with what `to_proxy` fails with, with a `NegotiationError`, or
            with what the factory raises.
        """
        connecting = maybeDeferred(to_proxy.connect, self)
        self._connecting = connecting
        connecting.addCallbacks(self._connected, self.failed)
        return self.done

    # --- the factory of the connection to the proxy, and for that a tunnel's user ---

    def doStart(self) -> None:
        """Connecting to an address begins."""
        self._factory.doStart()

    def doStop(self) -> None:
        """Connecting to an address has failed, or the connection is over."""
        self._factory.doStop()

    def proxying(self, proxy: ProxyURL, address: IAddress) -> None:
        """Pass on that a proxy is connected to."""
        cast(TunnelUser, self._factory).proxying(proxy, address)

    def buildProtocol(self, addr: IAddress | None) -> IProtocol:
        """The protocol that asks the proxy."""
        self._protocol = TunnelProtocol(self)
        return self._protocol

    # --- what it comes to ---

    def build_next(self) -> IProtocol | None:
        """Build the protocol behind the tunnel; None if there is to be none."""
        try:
            protocol = self._factory.buildProtocol(self.tunnel.address)
            if protocol is None:
                raise NoProtocol()
        except Exception:
            self.failed(Failure())
            return None
        if self.done.called:
            # Cancelled while the factory was building.
            return None
        self._protocol = None
        self.done.callback(protocol)
        return protocol

    def failed(self, reason: Failure) -> None:
        """Fail, unless the attempt has ended."""
        self._connecting = self._protocol = None
        if not self.done.called:
            self.done.errback(reason)

    def _connected(self, protocol: object) -> None:
        """The connection is made; what comes of it, its protocol tells."""
        self._connecting = None

    def _cancelled(self, done: Deferred[IProtocol]) -> None:
        connecting, protocol = self._connecting, self._protocol
        self._connecting = self._protocol = None
        if protocol is not None:
            protocol.abort()
        if connecting is not None:
            connecting.cancel()


class TunnelProtocol(PendingProtocol):
    """Asks one proxy, and then leaves the connection to the protocol behind the tunnel.

    Args:
        attempt: What the connection is for.
    """

    def __init__(self, attempt: TunnelAttempt) -> None:
        self._attempt = attempt
        self._tunnel = attempt.tunnel
        self._negotiation: Negotiation | None = None
        self._first_bytes = b""

    def connectionMade(self) -> None:
        """Begin the dialogue."""
        if isinstance(self.transport, TLSDriver):
            # What is behind the tunnel must not take TLS with the proxy for TLS with the peer.
            vars(self)["transport"] = ClearTransport(self.transport)
        self._writer = PlainWriter(self._plain_transport)
        try:
            self._attempt.proxying(self._tunnel.proxy, self._plain_transport.getPeer())
            wire = Wire(host=self._tunnel.proxy.host)
            negotiation = Negotiation(self._tunnel.speaker, wire, self._tunnel.where)
            negotiation.keeps_leftover = True
            self._negotiation = negotiation
            self._continue(negotiation)
        except Exception:
            self._fail(Failure())

    def dataReceived(self, data: bytes) -> None:
        """Pass the proxy's bytes to the dialogue, later to the protocol behind the tunnel."""
        negotiation = self._negotiation
        if negotiation is None:
            super().dataReceived(data)
            return
        missing = MAX_FIRST_BYTES - len(self._first_bytes)
        self._first_bytes += data[:missing]
        try:
            negotiation.receive_data(data)
            self._continue(negotiation)
        except NegotiationError as error:
            # Its frames would keep the connection, and with it TLS with the proxy, for as
            # long as an application or a log keeps the error.
            error = error.with_traceback(None)
            self._fail(Failure(self._tunnel.explained(error, self._first_bytes)))

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """Fail the attempt, unless the protocol behind the tunnel has the connection."""
        negotiation, self._negotiation = self._negotiation, None
        if negotiation is not None:
            # TLS with the proxy may have said why.
            if not isinstance(reason.value, TransportError):
                left = PeerLeft(
                    bytes(negotiation.wire.received),
                    is_reset=is_reset(reason),
                    before="it had connected us",
                )
                reason = Failure(self._tunnel.explained(left, self._first_bytes))
            self._attempt.failed(reason)
        super().connectionLost(reason)

    def abort(self) -> None:
        """End the connection at once; what the attempt comes to is known."""
        self._negotiation = None
        self._plain_transport.abortConnection()

    def _continue(self, negotiation: Negotiation) -> None:
        data = negotiation.data_to_send()
        if data:
            self._writer.write(data)
        if not negotiation.is_complete:
            return
        leftover = negotiation.leftover
        if leftover and not self._tunnel.is_target_first:
            raise PeerMisbehaved(
                f"{escape_bytes(leftover)} stood behind the proxy's answer, before anything was "
                "said to what is behind it; none of it was delivered"
            )
        if self._writer.is_waiting:
            raise PeerMisbehaved("the proxy answered before it was asked")
        self._negotiation = None
        self._connect_next(leftover)

    def _connect_next(self, leftover: bytes) -> None:
        protocol = self._attempt.build_next()
        if protocol is None:
            self.abort()
            return
        self.expect(protocol)
        self.connect_protocol()
        self.leave()
        if leftover:
            protocol.dataReceived(leftover)

    def _fail(self, reason: Failure) -> None:
        self.abort()
        self._attempt.failed(reason)

    @property
    def _plain_transport(self) -> TCPTransport:
        return cast(TCPTransport, self.transport)
