"""From clear text to TLS in mid-conversation, with nothing left in between.

The theory. A protocol's parser takes whatever has arrived and acts on it
command by command. When it meets the command to switch, what follows is in its
buffer already: sent in the clear, and read after the switch as if it had come
encrypted (CVE-2011-0411). No parser can be asked to give it back. So this room
stands in front of the parser and gives it one unit at a time (`units`); when
the parser asks for TLS, whatever else has arrived is still here, in sight, and
ends the connection.

The switch itself is Twisted's ``transport.startTLS()``, so that everyone who
holds the transport writes encrypted from then on. A witness takes the parser's
place above the TLS layer until the handshake is over, since the wrappers that
may stand there do not all pass the news on.

What is shared by `StartTLSMixin` (a protocol's own base class) and `guard`
(around someone else's protocol) is here; how each meets its protocol is not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

from attrs import define
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.error import ConnectionAborted, ConnectionClosed
from twisted.internet.interfaces import IHandshakeListener, IReactorTime
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from zope.interface import implementer

from txtransport.config.options import OPTIONS
from txtransport.config.policy import Side, TLSPolicy
from txtransport.config.settings import Deadlines, validate_policy
from txtransport.config.settings import tls_policy as policy_of
from txtransport.connection.lifetime import (
    ForeignContext,
    LifetimeState,
    TLSEndpointConfig,
    TLSLifetime,
    TwistedConnectionCreator,
)
from txtransport.errors import (
    AlreadySecure,
    ConversationOver,
    InvalidOption,
    NegotiationError,
    PeerMisbehaved,
    PlaintextInjected,
    UpgradeError,
)
from txtransport.tls.creator import ConnectionCreator, connection_creator
from txtransport.tls.session import Session, session_of
from txtransport.upgrade.base_transport import (
    base_transport,
    describe_peer,
    is_client,
    require_startable,
)
from txtransport.upgrade.buffer import MAX_HELD, InputBuffer

Policy = TLSPolicy | Mapping[str, Any] | str
"""What TLS is to be like: a policy, its options, or (clients) the peer's name."""


class TLSState(Enum):
    """How far a conversation is that began in the clear.

    Attributes:
        PLAINTEXT: In the clear, and may switch.
        HANDSHAKING: TLS has begun; nothing is known of the peer yet.
        SECURE: Under TLS, and the peer is verified as the policy demands.
        FAILED: TLS did not come about, and the connection is ending.
        CLOSED: The connection is over, or was never made.
    """

    PLAINTEXT = "plaintext"
    HANDSHAKING = "handshaking"
    SECURE = "secure"
    FAILED = "failed"
    CLOSED = "closed"


@define(eq=False)
class Upgrade:
    """The bytes of one conversation on their way to its parser, and its switch to TLS.

    Attributes:
        feed: What has arrived, on its way to the parser.
        unread: Takes back what the parser has not acted on, if it can tell.
        forget: Is called when the conversation is secure: what was learnt in
            the clear is void.
        state: How far it is.
    """

    buffer: InputBuffer
    unread: Callable[[], bytes]
    forget: Callable[[], object]
    state: TLSState = TLSState.PLAINTEXT
    _verdict: Failure | None = None
    _lifetime: TLSLifetime | None = None
    _done: Deferred[Session] | None = None
    _is_aborted: bool = False

    @property
    def transport(self) -> Any:
        """The protocol's transport."""
        return self.buffer.transport

    def received(self, data: bytes) -> None:
        """Bytes of the peer, or of a parser that gives some back."""
        if self.state is TLSState.SECURE:
            self.buffer.deliver(data)
        elif self.state is TLSState.PLAINTEXT:
            self.buffer.add(data)
            if self.buffer.is_overfull:
                self.end(PeerMisbehaved(f"a message has no end within {MAX_HELD} bytes"))
        elif self.state is TLSState.HANDSHAKING and data:
            # TLS delivers nothing yet: the parser had kept clear text.
            self._injected(data)

    # --- the switch ---

    def start(
        self,
        policy: Policy,
        *,
        reply: bytes = b"",
        client: bool | None = None,
        timeout: float | None = None,
        may_pipeline: bool = False,
        clock: IReactorTime | None = None,
    ) -> Deferred[Session]:
        """Switch to TLS.

        Args:
            policy: What TLS is to be like.
            reply: What tells the peer to go ahead; written when everything
                else has been found good.
            client: Whether we are TLS's client; by default whether we are
                TCP's.
            timeout: Seconds for the handshake; by default 30 for clients and
                10 for servers.
            may_pipeline: Whether a server accepts a ClientHello that came
                together with the request.
            clock: Keeps the deadline; the transport's reactor by default.

        Returns:
            Fires with the session when the handshake is over and the peer is
            verified. Fails with `PlaintextInjected`, `HandshakeFailed` or
            `TransportTimeout`; the connection is ending then.

        Raises:
            UpgradeError, InvalidOption: It cannot be done, or not like this;
                the conversation is as it was.
        """
        raw = self._ready()
        is_by_default = is_client(raw)
        is_ours = is_by_default if client is None else client
        if is_ours is None:
            raise UpgradeError("say client=True or client=False: this transport does not tell")
        if not isinstance(reply, bytes):
            raise TypeError(f"reply is bytes, not {type(reply).__name__}")
        side = Side.CLIENT if is_ours else Side.SERVER
        made, with_whom = _connection_creator(raw, policy, side)
        config = TLSEndpointConfig(
            clock or raw.reactor, with_whom, None, made, _deadlines(timeout), is_upgrade=True
        )
        left = self.unread() + self.buffer.close()
        is_hello = may_pipeline and not is_ours and _is_hello(left)
        if left and not is_hello:
            return fail(self._injected(left))
        if reply:
            self.transport.write(reply)
        done: Deferred[Session] = Deferred(lambda _: self.refuse(Failure(CancelledError())))
        self._done = done
        try:
            self._switch(
                raw, TwistedConnectionCreator(made), config, normal=is_ours is is_by_default
            )
        except Exception:
            # The peer has been told to go ahead: there is no way back.
            if self.state is not TLSState.FAILED:
                self._fail(Failure())
        else:
            if left:
                raw.protocol.dataReceived(left)
        return done

    def start_with_context(
        self, context: object, *, normal: bool = True, clock: IReactorTime | None = None
    ) -> None:
        """Switch to TLS with a protocol's own context.

        Args:
            context: As for Twisted's ``startTLS``. What it verifies is its
                own affair.
            normal: Whether TLS's client is TCP's.
            clock: Keeps the deadline; the transport's reactor by default.

        Raises:
            UpgradeError: It cannot be done now; the conversation is as it was.
            TypeError: Twisted finds the context to be none.
        """
        raw = self._ready()
        is_ours = is_client(raw) is normal
        left = self.unread() + self.buffer.close()
        if left:
            self._injected(left)
            return
        borrowed = ForeignContext(Side.CLIENT if is_ours else Side.SERVER)
        clock = clock or raw.reactor
        config = TLSEndpointConfig(
            clock, describe_peer(raw), None, borrowed, Deadlines(), is_upgrade=True
        )
        try:
            self._switch(raw, context, config, normal=normal)
        except Exception:
            if self.state is TLSState.FAILED:
                return
            self.buffer.is_open = True
            raise
        self._watch_foreign_context(raw.protocol)

    def _switch(
        self, raw: Any, starting: object, config: TLSEndpointConfig, *, normal: bool
    ) -> None:
        """Have Twisted put TLS onto the transport, and watch over it."""
        above, handle = raw.protocol, raw.getHandle()
        producer, is_streaming = raw.producer, raw.streamingProducer
        try:
            raw.startTLS(starting, normal)
        except Exception:
            if raw.TLS:
                # A TLS layer without a connection would keep the end to
                # itself; and there is no way back, the peer goes ahead.
                raw.protocol, raw.TLS = above, False
                self._fail(Failure())
            elif producer is not None:
                # Twisted takes it off before it looks at the context.
                raw.registerProducer(producer, is_streaming)
            raise
        self.state = TLSState.HANDSHAKING
        raw.resumeProducing()
        tls = raw.protocol
        tls.wrappedProtocol = _UpgradeListener(self, tls, above)
        deadlines = config.deadlines
        seconds = deadlines.timeout
        if config.side is Side.SERVER:
            seconds = deadlines.handshake_timeout
        self._lifetime = lifetime = TLSLifetime(
            config, raw, tls, handle=handle, seconds=seconds, total=seconds, failed=self._failed
        )
        lose = tls.loseConnection

        def lose_connection() -> None:
            lose()
            lifetime.closing()

        end = tls.connectionLost

        def connection_lost(reason: Failure) -> None:
            self._is_aborted = reason.check(ConnectionAborted) is not None
            end(reason)

        # Twisted chooses the class of its TLS layer, so what we must know of
        # is put onto the instance.
        tls.loseConnection, tls.connectionLost = lose_connection, connection_lost

    def _watch_foreign_context(self, tls: Any) -> None:
        """Do for a borrowed connection what ours does for itself."""
        lifetime, receive = self._lifetime, tls.dataReceived
        assert lifetime is not None

        def data_received(data: bytes) -> None:
            lifetime.remember_first_bytes(data)
            try:
                receive(data)
            except Exception:
                # A close_notify in the handshake becomes an IndexError in
                # Twisted; exceptions of the protocol above are its own.
                if self.state is not TLSState.HANDSHAKING:
                    raise
                lifetime.refuse(lifetime.explained(Failure()))

        tls.dataReceived = data_received
        lose = tls.transport.loseConnection

        def lose_connection() -> None:
            lose()
            if lifetime.state is LifetimeState.SECURE:
                lifetime.closing()

        # The peer has said goodbye; it may not take what is still to go.
        tls.transport.loseConnection = lose_connection

    def refuse(self, verdict: Failure) -> None:
        """End the connection for that reason, unless it is secure or over."""
        if self._lifetime is not None:
            self._lifetime.refuse(verdict)

    def end(self, error: NegotiationError) -> Failure:
        """End the connection for what the peer has done in the clear.

        Returns:
            The error, as the protocol will hear it.
        """
        verdict = Failure(error.located(describe_peer(self.transport)))
        self._fail(verdict)
        return verdict

    def abort(self) -> None:
        """End the connection at once; the parser gets nothing more."""
        if self.state is not TLSState.HANDSHAKING and self.state is not TLSState.FAILED:
            self.state = TLSState.CLOSED
        self.buffer.close()
        if self._lifetime is not None:
            self._lifetime.closing()
        self.transport.abortConnection()

    def lost(self, reason: Failure) -> Failure:
        """The connection is over.

        Returns:
            Why, as the protocol shall hear it.
        """
        self.buffer.close()
        if self._lifetime is not None:
            if self._is_aborted and reason.check(ConnectionClosed):
                # To OpenSSL our own abort looks as if the peer had cut the line.
                self._lifetime.closing()
                reason = Failure(ConnectionAborted())
            reason = self._lifetime.ended(reason)
        if self.state is not TLSState.FAILED:
            self.state = TLSState.CLOSED
        return self._verdict or reason

    def secured(self) -> None:
        """The handshake is over, and the peer is who it must be."""
        lifetime, done = self._lifetime, self._done
        if lifetime is None or lifetime.is_refused:
            return
        lifetime.secured()
        self.state = TLSState.SECURE
        try:
            self.forget()
            session = session_of(self.transport)
            if session is None:
                raise UpgradeError("the handshake is over, and there is no session")
        except Exception:
            self._fail(Failure())
            return
        if done is not None and not done.called:
            done.callback(session)

    # --- ends ---

    def _ready(self) -> Any:
        """The transport at the bottom, if TLS can be started on it now."""
        if self.state in (TLSState.HANDSHAKING, TLSState.SECURE):
            raise AlreadySecure("TLS is on already, or on its way")
        if self.state is not TLSState.PLAINTEXT:
            raise ConversationOver("the connection is over")
        return require_startable(self.transport)

    def _injected(self, data: bytes) -> Failure:
        return self.end(PlaintextInjected(describe_peer(self.transport), bytes(data)))

    def _fail(self, verdict: Failure) -> None:
        self.state, self._verdict = TLSState.FAILED, verdict
        self.buffer.close()
        self._tell(verdict)
        base_transport(self.transport).abortConnection()

    def _failed(self, verdict: Failure) -> None:
        """The handshake came to nothing."""
        self.state = TLSState.FAILED
        self._verdict = self._verdict or verdict
        self._tell(self._verdict)

    def _tell(self, verdict: Failure) -> None:
        if self._done is not None and not self._done.called:
            self._done.errback(verdict)


@implementer(IHandshakeListener)
class _UpgradeListener(Protocol):
    """Stands above the TLS layer until the handshake is over."""

    def __init__(self, upgrade: Upgrade, tls: Any, above: Any) -> None:
        self._upgrade = upgrade
        self._tls = tls
        self._above = above

    def dataReceived(self, data: bytes) -> None:
        self._above.dataReceived(data)

    def handshakeCompleted(self) -> None:
        vars(self._tls).pop("dataReceived", None)
        self._tls.wrappedProtocol = self._above
        self._upgrade.secured()
        if self._upgrade.state is TLSState.SECURE and IHandshakeListener.providedBy(self._above):
            self._above.handshakeCompleted()

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self._above.connectionLost(reason)


def _is_hello(left: bytes) -> bool:
    # A record of type handshake, of any version (RFC 8446, 5.1).
    return left.startswith(b"\x16\x03") or left == b"\x16"


def _deadlines(timeout: float | None) -> Deadlines:
    if timeout is None:
        return Deadlines()
    seconds = OPTIONS["timeout"].parse(timeout)
    return Deadlines(timeout=seconds, handshake_timeout=seconds)


def _connection_creator(raw: Any, given: Policy, side: Side) -> tuple[ConnectionCreator, str]:
    """What makes the TLS connection, and with whom it will be."""
    policy = _policy(given, side)
    peer = raw.getPeer()
    # Of a local socket there is nothing to tell one peer from another by.
    place = (peer.host, peer.port) if hasattr(peer, "host") else None
    name = policy.peer_name if side is Side.CLIENT else None
    return connection_creator(policy, side, place), describe_peer(raw, name)


def _policy(given: Policy, side: Side) -> TLSPolicy:
    if isinstance(given, TLSPolicy):
        return validate_policy(given, side)
    if isinstance(given, Mapping):
        return policy_of(given, side)
    if isinstance(given, str):
        if side is Side.SERVER:
            raise InvalidOption(
                "local_cert", 'a server needs its certificate: startTLS({"local_cert": FILE})'
            )
        return policy_of({"peer_name": given}, side)
    raise TypeError(
        "startTLS() takes a TLSPolicy, a mapping of options or, on clients, the peer's name; "
        f"not {type(given).__name__}"
    )
