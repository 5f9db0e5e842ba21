"""The switch from clear text to TLS in mid-conversation (STARTTLS).

`StartTLSMixin` is a base class of the application's protocol; `guard` wraps a
protocol that is not ours. What both do between a protocol and TLS is here.

**The attack.** A parser takes all the bytes that one read of the socket brought,
and acts on them command by command. Someone in the middle can put a command of
their own behind the victim's ``STARTTLS``, in the clear. The parser then has
both in its memory. It acts on the first, and TLS starts; it acts on the second
as if that had arrived encrypted, from the verified peer (CVE-2011-0411).
There is no general way to ask a parser what it still has.

**One unit at a time.** So an `InputBuffer` stands in front of the parser and
delivers one unit at a time: a line, a message, a byte
(`txtransport.upgrade.framing`). When the parser asks for TLS, it has the command
and not a byte more; the rest is in the buffer. `Upgrade.start` looks there, and
at what the parser has kept, where a parser can tell (`Upgrade.unread`). Bytes
found there are never delivered: the connection ends with `PlaintextInjected`.
There is one exception. Where the protocol allows a client to send its ClientHello
together with its request, the server passes these bytes to TLS. Clear bytes that
were still in the socket go to TLS as well; TLS takes them for a record of its
own, and the handshake fails.

**What Twisted's** ``transport.startTLS()`` **does.** Here ``transport`` is the
TCP or local connection under all wrappers, and *above* is its
``transport.protocol``: the lowest wrapper or, without wrappers, the protocol
itself. ``startTLS()`` builds a TLS layer (`TLSMemoryBIOProtocol`) around
*above*, whose ``connectionMade()`` is not called again, and makes the layer
``transport.protocol``: the layer receives what the socket brings from now on.
Then ``startTLS()`` sets ``transport.TLS``, and from now on ``transport.write()``
passes everything to the layer. So the transport is the same object as before, and
the protocol and the wrappers, which hold it, write encrypted without any change.
The layer keeps what they write before the handshake is over. Only the layer
writes to the socket, through an object of Twisted's that ignores
``transport.TLS`` (`_BypassTLS`).

**The listener.** When the handshake is over, the TLS layer calls
``handshakeCompleted()`` on the protocol right above it, if that provides
`IHandshakeListener`. *Above* may be a wrapper, and Twisted's wrappers do not
pass this call on. So `Upgrade` puts an `_UpgradeListener` between the layer and *above*,
as soon as ``startTLS()`` returns. At the call, the listener puts *above* into
its place again and tells `Upgrade`, which tells the application::

      in the clear           during the handshake         secure

         parser                    parser                 parser
           ^                                                ^
           | one unit              (nothing)                | all bytes
      InputBuffer                InputBuffer                |
           ^                      (closed)                  |
           | all bytes                                      |
         above                     above                  above
           ^                         ^                      ^
           |                  _UpgradeListener              |
           |                         ^                      |
           |                     TLS layer              TLS layer
           |                         ^                      ^
       transport                 transport              transport

(The `InputBuffer` belongs to the mixin's protocol or to the guard, and these are
*above* itself if there are no other wrappers.) After the handshake the mixin
takes itself out of the bytes' path; the guard, which is its protocol's
transport, stays and passes them on.

**Guards below.** A protocol with the mixin, or a guard, may stand in another guard,
whose `InputBuffer` keeps clear text as well when the protocol above it pauses. So
`Upgrade.start` takes what is left out of the buffers of all guards down to the
transport, and they follow its state: a guard below delivers nothing during the
handshake, and passes everything on afterwards.

TLS delivers no byte before the handshake is over. A byte that reaches
`Upgrade.received` before that was kept by the parser, which now gives it back.
It is clear text, and ends the connection.

**No way back.** A switch that is refused before it begins, because of the
connection's state, the policy or the context, raises an exception and leaves the
conversation as it was. Once the reply is written or TLS has started, every
failure ends the connection: the parser never receives clear text again.

The stages, the deadlines of handshake and close, and the explanation of the connection's
end are those of a `ConnectionAttempt`, as they are where TLS is there from the start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from functools import partial
from typing import Final, cast

from attrs import define, field
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.error import ConnectionAborted, ConnectionClosed, ConnectionDone
from twisted.internet.interfaces import IHandshakeListener, IReactorTime
from twisted.internet.protocol import Protocol
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from txtransport.config.options import OPTIONS
from txtransport.config.policy import Side, TLSPolicy
from txtransport.config.schemes import BROKEN_VERSIONS
from txtransport.config.settings import Deadlines, tls_policy, validate_policy
from txtransport.connection.attempt import ConnectionAttempt, EndpointConfig, is_reset
from txtransport.connection.deadline import Deadline
from txtransport.connection.twisted_types import StartTLSTransport, TCPTransport
from txtransport.errors import (
    AlreadySecure,
    ConversationOver,
    InvalidOption,
    NegotiationError,
    PeerMisbehaved,
    PlaintextInjected,
    ProducerInTheWay,
    TransportTimeout,
    UpgradeError,
)
from txtransport.starttls.tls_record import begins_handshake
from txtransport.tls.connection import MAX_FIRST_BYTES, ObservedConnection, SecureConnection
from txtransport.tls.creator import Creator, creator_for
from txtransport.tls.session import Session, session_of
from txtransport.upgrade.base_transport import (
    base_transport,
    describe_peer,
    driver_below,
    is_client,
    require_startable,
    wrappers_below,
)
from txtransport.upgrade.buffer import MAX_HELD, InputBuffer
from txtransport.upgrade.stop import LayerStop
from txtransport.upgrade.twisted_layer import (
    ConnectionMaker,
    TLSLayer,
    keep_declarations,
    observe_end,
    observe_foreign_context,
)

__all__ = ["Policy", "TLSState", "Upgrade", "upgrade_of"]

_log: Final = Logger()

Policy = TLSPolicy | Mapping[str, object] | str
"""The demands on TLS: a policy, a mapping of TLS options, or (clients) the peer's name."""


_TOO_MUCH_WAITS: Final = (
    f"more than {MAX_HELD} bytes wait, for the end of a message or for a protocol that takes none"
)


class TLSState(Enum):
    """How far a conversation that began in the clear has come with TLS.

    Attributes:
        PLAINTEXT: In the clear; a switch to TLS is possible.
        HANDSHAKING: TLS has started; the peer is not verified yet.
        SECURE: Under TLS; the peer is verified as the policy demands.
        STOPPING: Both sides are closing TLS; the conversation goes on in the clear.
        FAILED: The switch to TLS, or back, failed; the connection is ending.
        CLOSED: The connection is over, or was never made.
    """

    PLAINTEXT = "plaintext"
    HANDSHAKING = "handshaking"
    SECURE = "secure"
    STOPPING = "stopping"
    FAILED = "failed"
    CLOSED = "closed"


@define(eq=False)
class Upgrade:
    """One conversation's input on its way to the parser, and its switch to TLS.

    Attributes:
        buffer: Delivers the input to the parser.
        unread: Takes back the bytes that the parser has received and not acted
            on, if it can tell; else returns ``b""``.
        forget: Is called when the conversation is secure, to void what was
            learnt in the clear.
        resume: Is called when the conversation is in the clear again, to have its bytes
            brought to `received`.
        state: How far the conversation has come.
    """

    buffer: InputBuffer
    unread: Callable[[], bytes]
    forget: Callable[[], object]
    resume: Callable[[], object] = lambda: None
    state: TLSState = TLSState.PLAINTEXT
    _verdict: Failure | None = None
    _attempt: ConnectionAttempt | None = None
    _done: Deferred[Session] | None = None
    _stopping: Deferred[None] | None = None
    _deadline: Deadline | None = None
    _handle: object = None
    _is_aborted: bool = False
    _below: list[Upgrade] = field(factory=list)

    @property
    def transport(self) -> TCPTransport:
        """The protocol's transport, with any wrappers."""
        return self.buffer.transport

    def received(self, data: bytes) -> None:
        """Bring bytes to the parser: the peer's, or some that the parser gives back.

        Args:
            data: Clear text, or what TLS has decrypted.
        """
        if self.state is TLSState.SECURE or self.state is TLSState.STOPPING:
            self.buffer.deliver(data)
        elif self.state is TLSState.PLAINTEXT:
            self.buffer.add(data)
            if self.buffer.is_overfull:
                self.end(PeerMisbehaved(_TOO_MUCH_WAITS))
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
        factory: object = None,
    ) -> Deferred[Session]:
        """Switch to TLS under a policy.

        Args:
            policy: The demands on TLS.
            reply: Tells the peer to go ahead, for example ``220 ready\\r\\n``;
                written only when all checks have passed.
            client: Whether we are TLS's client; by default, whether we opened
                the TCP connection.
            timeout: Seconds for the handshake; by default 30 for clients and
                10 for servers.
            may_pipeline: Whether a server accepts a ClientHello that arrived
                together with the request.
            clock: Runs the deadlines; the transport's reactor by default.
            factory: The factory of the application's protocol, which is asked for
                its application protocols (ALPN) where the policy names none.

        Returns:
            Fires with the session when the handshake is over and the peer is
            verified. Fails with `PlaintextInjected`, `HandshakeFailed` or
            `TransportTimeout`, and then the connection is ending. Cancelling
            aborts the connection.

        Raises:
            UpgradeError, InvalidOption: TLS cannot start, or not like this;
                the conversation is as it was.
        """
        with self._located():
            raw = self._require_startable()
            is_tcp_client = is_client(raw)
            is_tls_client = is_tcp_client if client is None else client
            if is_tls_client is None:
                raise UpgradeError("say client=True or client=False: this transport does not tell")
            if not isinstance(reply, bytes):
                raise TypeError(f"reply is bytes, not {type(reply).__name__}")
            side = Side.CLIENT if is_tls_client else Side.SERVER
            creator, where = _connection_creator(raw, policy, side)
            deadlines = _deadlines(timeout)
        config = EndpointConfig(
            clock or raw.reactor, where, None, side, creator, deadlines, is_upgrade=True
        )
        attempt = _UpgradeAttempt(config, self._handshake_failed)
        # All checks have passed.
        left = self._take_input()
        is_hello = may_pipeline and not is_tls_client and begins_handshake(left)
        if left and not is_hello:
            return fail(self._injected(left))
        if reply:
            self.transport.write(reply)
        done: Deferred[Session] = Deferred(lambda _: self.refuse(Failure(CancelledError())))
        self._done = done
        try:
            tls = self._switch(
                raw,
                ConnectionMaker(attempt, factory),
                attempt,
                normal=is_tls_client is is_tcp_client,
            )
        except Exception:
            # The peer has been told to go ahead: there is no way back.
            if self.state is not TLSState.FAILED:
                self._fail(Failure())
        else:
            if left:
                tls.dataReceived(left)
        return done

    def start_with_context(
        self, context: object, *, normal: bool = True, clock: IReactorTime | None = None
    ) -> None:
        """Switch to TLS with a context that the application's protocol brings.

        Args:
            context: As for Twisted's ``startTLS``. The context decides what is
                verified.
            normal: Whether TLS's client is the one that opened the TCP
                connection.
            clock: Runs the deadlines; the transport's reactor by default.

        Raises:
            UpgradeError: TLS cannot start now; the conversation is as it was.
            TypeError: Twisted cannot use `context`; the conversation is as it
                was.
        """
        with self._located():
            raw = self._require_startable()
        is_tls_client = is_client(raw) is normal
        left = self._take_input()
        if left:
            self._injected(left)
            return
        side = Side.CLIENT if is_tls_client else Side.SERVER
        clock = clock or raw.reactor
        config = EndpointConfig(
            clock, describe_peer(raw), None, side, None, Deadlines(), is_upgrade=True
        )
        attempt = _UpgradeAttempt(config, self._handshake_failed)
        try:
            tls = self._switch(raw, context, attempt, normal=normal)
        except Exception as problem:
            if self.state is TLSState.FAILED:
                return
            for upgrade in (self, *self._below):
                upgrade.buffer.is_open = True
            if isinstance(problem, AttributeError):
                # Twisted before 26.4 says by this that the context is none.
                raise TypeError(f"startTLS() cannot use this context: {problem}") from problem
            raise
        observe_foreign_context(tls, attempt, attempt.remember)

    # --- the way back ---

    def stop(
        self,
        *,
        waits: bool = False,
        timeout: float | None = None,
        clock: IReactorTime | None = None,
    ) -> Deferred[None]:
        """Close TLS on both sides, and go on in the clear.

        Args:
            waits: Whether our close_notify is the answer to the peer's.
            timeout: Seconds to wait for the peer's close_notify; by default 5.
            clock: Runs the deadline; the transport's reactor by default.

        Returns:
            Fires when TLS is off. Fails with `TransportTimeout`, or with the end of the
            connection, and then the connection is ending. Cancelling aborts it.

        Raises:
            UpgradeError, InvalidOption: TLS cannot be closed now, or not like this; the
                conversation is as it was.
        """
        with self._located():
            begin = self._require_stoppable(waits=waits)
            seconds = Deadlines().close_timeout
            if timeout is not None:
                seconds = OPTIONS["close_timeout"].parse(timeout)
        for upgrade in (self, *self._below):
            upgrade.state = TLSState.STOPPING
        stopping: Deferred[None] = Deferred(lambda _: self._stop_failed(CancelledError()))
        self._stopping = stopping
        if clock is None:
            driver = driver_below(self.transport)
            clock = base_transport(self.transport).reactor if driver is None else driver.clock
        expired = TransportTimeout(describe_peer(self.transport), "close of TLS", seconds)
        self._deadline = Deadline(
            clock,
            seconds,
            lambda: self._stop_failed(expired),
        )
        begin()
        return stopping

    def _require_stoppable(self, *, waits: bool) -> Callable[[], object]:
        """What begins to close TLS, if that is possible now.

        Args:
            waits: As for `stop`.

        Raises:
            UpgradeError: It is not.
        """
        driver, raw = driver_below(self.transport), base_transport(self.transport)
        if self.state not in (TLSState.PLAINTEXT, TLSState.SECURE):
            raise ConversationOver(f"TLS is {self.state.value}, and cannot be closed now")
        # What is below a driver need not be a connection of Twisted's.
        carrier = raw if driver is None else driver
        if carrier.disconnecting or self.transport.disconnecting or not carrier.connected:
            raise ConversationOver("the connection is closing")
        if driver is not None:
            if driver.has_producer:
                raise ProducerInTheWay("a producer is registered; unregister it first")
            if not driver.may_stop:
                raise UpgradeError("TLS cannot be taken off a transport of this kind")
            return partial(driver.stop, self._stopped, waits=waits)
        connection = None if self._attempt is None else self._attempt.connection
        layer = getattr(raw, "protocol", None)
        if self.state is TLSState.PLAINTEXT and not getattr(raw, "TLS", False):
            raise UpgradeError("TLS is not on")
        if isinstance(connection, SecureConnection) and not isinstance(
            connection, ObservedConnection
        ):
            raise UpgradeError("SSL 2.0 and SSL 3.0 cannot be taken off")
        if not isinstance(connection, ObservedConnection) or not isinstance(
            layer, TLSMemoryBIOProtocol
        ):
            raise UpgradeError("this TLS was begun by someone else")
        if layer.disconnecting:
            raise ConversationOver("the connection is closing")
        if raw.producer is not None:
            raise ProducerInTheWay("a producer is registered; unregister it first")
        return LayerStop(raw, cast(TLSLayer, layer), connection, self._stopped, waits=waits).begin

    def _stopped(self) -> None:
        """Note that TLS is off, and tell the application."""
        stopping, self._stopping = self._stopping, None
        self._stop_deadline()
        if self._attempt is not None:
            self._attempt.ended(Failure(ConnectionDone()))
            self._attempt = None
        for upgrade in (self, *self._below):
            upgrade.state = TLSState.PLAINTEXT
            upgrade.buffer.is_open = True
        self._done, self._below = None, []
        self.resume()
        if stopping is not None and not stopping.called:
            stopping.callback(None)

    def _stop_failed(self, error: BaseException) -> None:
        """End the connection, which is neither under TLS nor in the clear."""
        self.state = TLSState.FAILED
        self._verdict = self._verdict or Failure(error)
        self._stop_deadline()
        base_transport(self.transport).abortConnection()

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.stop()

    def _take_input(self) -> bytes:
        """Close all buffers on the way to the parser, and take what the parser did not act on.

        Returns:
            The clear bytes, oldest first: what the parser has kept, what is in
            our buffer, and what is in the buffers of the guards below.
        """
        self._below = [
            upgrade
            for wrapper in wrappers_below(self.transport)
            if (upgrade := upgrade_of(wrapper)) is not None
        ]
        buffers = (self.buffer, *(upgrade.buffer for upgrade in self._below))
        return self.unread() + b"".join(buffer.close() for buffer in buffers)

    def _switch(
        self,
        raw: StartTLSTransport,
        context: object,
        attempt: ConnectionAttempt,
        *,
        normal: bool,
    ) -> TLSLayer:
        """Have Twisted put its TLS layer onto the transport, and put the listener onto that.

        Returns:
            The TLS layer.
        """
        above, handle = raw.protocol, raw.getHandle()
        producer, is_streaming = raw.producer, raw.streamingProducer
        try:
            raw.startTLS(context, normal)
        except Exception:
            if raw.TLS:
                # The context could not make an OpenSSL connection. The TLS layer
                # without one fails in its own connectionLost(), and nobody would
                # hear of the end, so it is taken off again. There is no way back:
                # the peer may have been told to go ahead.
                raw.protocol, raw.TLS = above, False
                self._fail(Failure())
            elif producer is not None:
                # Twisted takes the producer off before it looks at the context.
                raw.registerProducer(producer, is_streaming)
            raise
        for upgrade in (self, *self._below):
            upgrade.state = TLSState.HANDSHAKING
        # The handshake needs input, though the parser may have paused its own:
        # guards below learn that it is resumed, and other wrappers may ignore it.
        self.transport.resumeProducing()
        raw.resumeProducing()
        tls: TLSLayer = raw.protocol  # type: ignore[assignment]
        tls.wrappedProtocol = _UpgradeListener(self, tls, above)  # type: ignore[arg-type]
        self._attempt, self._handle = attempt, handle
        attempt.handshaking(tls, raw)
        attempt.run_deadline(attempt.total)
        keep_declarations(tls)
        observe_end(tls, attempt.closing, self._plain_lost)
        return tls

    def _plain_lost(self, reason: Failure) -> None:
        """Note why the plain connection is gone, before the TLS layer asks OpenSSL."""
        if self._attempt is not None:
            self._attempt.is_reset = is_reset(reason)
        self._is_aborted = isinstance(reason.value, ConnectionAborted)
        if self.state is TLSState.HANDSHAKING and not isinstance(reason.value, ConnectionClosed):
            # Raised by the application, perhaps right behind its startTLS();
            # the reactor ends the connection for it.
            self._verdict = self._verdict or reason

    def refuse(self, verdict: Failure) -> None:
        """End the connection in the middle of the handshake; at other times, do nothing.

        Args:
            verdict: Why; `lost` will return it.
        """
        if self._attempt is not None:
            self._attempt.refuse(verdict)

    def end(self, error: NegotiationError, advice: str = "") -> Failure:
        """End the connection for what was done in the clear.

        Args:
            error: What was done.
            advice: What to do about it, or nothing.

        Returns:
            The error with the peer's address, as ``connectionLost()`` of the
            application's protocol will receive it.
        """
        verdict = Failure(error.located(describe_peer(self.transport), advice))
        self._fail(verdict)
        return verdict

    def abort(self) -> None:
        """End the connection at once; the parser receives nothing more."""
        if self.state is not TLSState.HANDSHAKING and self.state is not TLSState.FAILED:
            self.state = TLSState.CLOSED
        self.buffer.close()
        if self._attempt is not None:
            self._attempt.closing()
        self.transport.abortConnection()

    def lost(self, reason: Failure) -> Failure:
        """Note that the connection is over.

        Args:
            reason: Why, as the transport or the TLS layer has said.

        Returns:
            Why, for ``connectionLost()`` of the application's protocol.
        """
        self.buffer.close()
        if self._attempt is not None:
            if self._is_aborted and isinstance(reason.value, ConnectionClosed):
                # To OpenSSL our own abort looks as if the peer had cut the line.
                self._attempt.closing()
                reason = Failure(ConnectionAborted())
            reason = self._attempt.ended(reason)
        if self.state is not TLSState.FAILED:
            self.state = TLSState.CLOSED
        verdict = self._verdict or reason
        stopping, self._stopping = self._stopping, None
        self._stop_deadline()
        if stopping is not None and not stopping.called:
            stopping.errback(verdict)
        return verdict

    def secured(self) -> None:
        """Note that the handshake is over, and tell the application."""
        attempt, done = self._attempt, self._done
        if attempt is None or attempt.verdict is not None:
            return
        attempt.secured(self._handle)
        for upgrade in (self, *self._below):
            upgrade.state = TLSState.SECURE
        try:
            self.forget()
            for upgrade in self._below:
                upgrade.forget()
            session = session_of(self.transport)
            if session is None:
                raise UpgradeError("the handshake is over, and there is no session")
        except Exception:
            self._fail(Failure())
            return
        if done is not None and not done.called:
            done.callback(session)

    # --- refusals and failures ---

    @contextmanager
    def _located(self) -> Iterator[None]:
        """Put the peer in front of why TLS cannot start."""
        try:
            yield
        except (UpgradeError, InvalidOption) as error:
            if self.transport is None:
                raise
            raise error.located(describe_peer(self.transport)) from error.__cause__

    def _require_startable(self) -> StartTLSTransport:
        """The transport under all wrappers, if TLS can be started on it now.

        Raises:
            UpgradeError: TLS cannot be started.
        """
        if self.state in (TLSState.HANDSHAKING, TLSState.SECURE):
            raise AlreadySecure("TLS is on already, or on its way")
        if self.state is not TLSState.PLAINTEXT:
            raise ConversationOver("the connection is over")
        return require_startable(self.transport)

    def _injected(self, data: bytes) -> Failure:
        """End the connection for clear text where TLS was to begin."""
        return self.end(PlaintextInjected(describe_peer(self.transport), bytes(data)))

    def _fail(self, verdict: Failure) -> None:
        """End the connection for that reason, whatever its state."""
        self.state, self._verdict = TLSState.FAILED, verdict
        self.buffer.close()
        self._errback(verdict)
        base_transport(self.transport).abortConnection()

    def _handshake_failed(self, verdict: Failure) -> None:
        """Note that the connection has ended before the handshake was over."""
        self.state = TLSState.FAILED
        self._verdict = self._verdict or verdict
        self._errback(self._verdict)

    def _errback(self, verdict: Failure) -> None:
        if self._done is not None and not self._done.called:
            self._done.errback(verdict)


def upgrade_of(protocol: object) -> Upgrade | None:
    """The upgrade of a `Guard`, or of a protocol with `StartTLSMixin`; None for any other.

    Args:
        protocol: The protocol or wrapper, which is connected.
    """
    # Not by getattr(): Twisted's wrappers answer for what is below them.
    found = getattr(protocol, "__dict__", {}).get("_upgrade")
    return found if isinstance(found, Upgrade) else None


class _UpgradeAttempt(ConnectionAttempt):
    """The attempt of an upgrade; the application's protocol is there already.

    Args:
        config: What is known of this one connection.
        failed: Is called with the reason, if the handshake fails.
    """

    def __init__(self, config: EndpointConfig, failed: Callable[[Failure], object]) -> None:
        deadlines = config.deadlines
        is_server = config.side is Side.SERVER
        super().__init__(config, deadlines.handshake_timeout if is_server else deadlines.timeout)
        self._failed = failed
        self._first_bytes = b""

    def failed(self, reason: Failure) -> None:
        self._failed(reason)

    @property
    def first_bytes(self) -> bytes:
        """The first bytes of the peer under TLS, also with a foreign context."""
        return self._first_bytes if self.connection is None else self.connection.first_bytes

    def remember(self, data: bytes) -> None:
        """Keep the first bytes of a peer, where a foreign context does not."""
        if len(self._first_bytes) < MAX_FIRST_BYTES:
            self._first_bytes = (self._first_bytes + data)[:MAX_FIRST_BYTES]


@implementer(IHandshakeListener)
class _UpgradeListener(Protocol):
    """Stands right above the TLS layer until the handshake is over.

    Args:
        upgrade: Is told that the handshake is over.
        tls: The TLS layer.
        above: The protocol whose place this one takes meanwhile.
    """

    def __init__(self, upgrade: Upgrade, tls: TLSLayer, above: Protocol) -> None:
        self._upgrade = upgrade
        self._tls = tls
        self._above = above

    def dataReceived(self, data: bytes) -> None:
        self._above.dataReceived(data)

    def handshakeCompleted(self) -> None:
        self._tls.wrappedProtocol = self._above
        self._upgrade.secured()
        if self._upgrade.state is TLSState.SECURE and IHandshakeListener.providedBy(self._above):
            cast(IHandshakeListener, self._above).handshakeCompleted()

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self._above.connectionLost(reason)


def _deadlines(timeout: float | None) -> Deadlines:
    if timeout is None:
        return Deadlines()
    seconds = OPTIONS["timeout"].parse(timeout)
    return Deadlines(timeout=seconds, handshake_timeout=seconds)


def _connection_creator(raw: StartTLSTransport, given: Policy, side: Side) -> tuple[Creator, str]:
    """The creator of the TLS connection, and the peer's description for messages."""
    policy = _tls_policy(given, side)
    broken = BROKEN_VERSIONS.get(policy.min_version)
    if broken is not None and broken.danger is not None:
        _log.warn("{where}: {danger}", where=describe_peer(raw), danger=broken.danger.summary)
    peer = raw.getPeer()
    # Sessions are kept by address and port. Local sockets have none to tell one
    # peer from another.
    place = (peer.host, peer.port) if isinstance(peer, (IPv4Address, IPv6Address)) else None
    name = policy.peer_name if side is Side.CLIENT else None
    return creator_for(policy, side, place), describe_peer(raw, name)


def _tls_policy(given: Policy, side: Side) -> TLSPolicy:
    if isinstance(given, TLSPolicy):
        return validate_policy(given, side)
    if isinstance(given, Mapping):
        return tls_policy(given, side)
    if isinstance(given, str):
        if side is Side.SERVER:
            raise InvalidOption(
                "local_cert", 'a server needs its certificate: startTLS({"local_cert": FILE})'
            )
        return tls_policy({"peer_name": given}, side)
    raise TypeError(
        "startTLS() takes a TLSPolicy, a mapping of options or, on clients, the peer's name; "
        f"not {type(given).__name__}"
    )
