"""TLS on a plain transport: the protocol of the one below, the transport of the one above.

::

      application's protocol
          ^            |
          | data       | write(), loseConnection(), registerProducer() …
          |            v
      +--------------------+
      |     TLSDriver      |----- bytes, events ----- TLSEngine (OpenSSL in memory)
      +--------------------+
          ^            |
          | encrypted  | encrypted
          |            v
      plain transport: TCP, a local socket, or anything else that is a transport

The driver is there before the application's protocol. It runs the handshake, and only
when the peer is verified does it ask the factory for the protocol and connect it. So no
byte of the application is written for a peer that nobody has verified.

**Writing.** Small writes are collected until the end of the reactor's turn and become one
record, which costs a record's overhead, a system call and a packet less for each. What is
written while the peer's data is delivered goes out when all of it was delivered; at other
times a timer of 0 seconds ends the turn.

A TCP connection of Twisted's takes the encrypted bytes at once (`PlainWriter`).

**Producers.** A push producer is paused while something waits below, and when it has
written half a megabyte in one turn: the socket's peer may read as fast as it writes, and
then no other connection would have a turn. A pull producer is asked again and again, with
the same limit. The producer is registered with us and not with the plain transport, which
can therefore close although the producer is still there; the producer is then stopped.

**The end.** ``loseConnection()`` sends what was written and a close_notify, and waits for
the peer's (`ConnectionAttempt.closing` has the deadline). The peer's close_notify is
answered, and the plain transport closed. Without any close_notify the end is
``ConnectionLost``: something may be missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, cast

from twisted.internet import tcp
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import ConnectionAborted, ConnectionClosed, ConnectionLost
from twisted.internet.interfaces import (
    IConsumer,
    IDelayedCall,
    IHandshakeListener,
    INegotiated,
    IProducer,
    IProtocol,
    IPullProducer,
    IPushProducer,
    IReactorTime,
    ISSLTransport,
    ISystemHandle,
    ITCPTransport,
)
from twisted.internet.main import CONNECTION_DONE
from twisted.internet.protocol import Protocol
from twisted.logger import Logger
from twisted.protocols.policies import ProtocolWrapper
from twisted.python.failure import Failure
from twisted.python.log import callWithLogger
from zope.interface import implementer

from txtransport.config.policy import Side
from txtransport.connection.attempt import ConnectionAttempt, is_reset
from txtransport.connection.pending import PendingProtocol, rename_in_log, replace_in_path
from txtransport.connection.plain_http import plain_http_answer
from txtransport.connection.plain_writer import PlainWriter
from txtransport.connection.tcp_info import socket_of
from txtransport.connection.twisted_types import TCPTransport
from txtransport.tls.connection import SecureConnection
from txtransport.tls.engine import Engine, Signal, TLSEvent

__all__ = ["TLSDriver", "starttls_outcome"]

_log: Final = Logger()

_MAX_GREETING: Final = 65536
"""The most bytes that are kept back while an application's greeting has no end."""

_MAX_CORKED: Final = 16384
"""Bytes: from so many on, what was written is not collected any longer. One record.

What a producer writes is collected until it is as much as the engine takes at once.
"""

_MAX_PER_TURN: Final = 2**19
"""The most bytes that a producer writes in one turn of the reactor."""


@implementer(ISSLTransport, INegotiated, ISystemHandle, IConsumer, IPushProducer)
class TLSDriver(Protocol):
    """One TLS connection on a plain transport.

    ``ITLSTransport`` is not among what it provides: a server that sees it offers
    STARTTLS.

    Args:
        attempt: The connection's deadlines, and what comes of it.
        outcome: The outcome of the dialogue before TLS, if there was one.
        greeting: Is given all that a server's application has written so far, and
            returns how many bytes of that are its greeting, which is not sent since the
            client had one in the clear; 0 while it is not complete. None if the
            application's greeting is to be sent.
        writer: Has written to the plain transport what came before TLS; None if nothing did.
        opened: Is called with the application's protocol when that is connected and the
            attempt knows.

    Attributes:
        outcome: As given.
        disconnecting: Whether the close was asked for, and the end is awaited.
        transport: The plain transport.
    """

    transport: TCPTransport  # type: ignore[assignment]
    connected: int = 0
    disconnecting: bool = False
    # What is None or False for most connections is an attribute of the class until then.
    _engine: Engine | None = None
    _protocol: IProtocol | None = None
    _writer: PlainWriter
    _producer: IProducer | None = None
    _is_streaming = False
    _is_producer_paused = False
    _is_membrane_registered = False
    _is_below_full = False
    # The application has paused reading.
    _is_paused = False
    _is_in_turn = False
    _is_encrypting = False
    # Nothing can be written any more: TLS is closed or broken, or the connection is over.
    _is_write_over = False
    # Aborted, or the plain connection is gone: nothing is delivered or sent any more.
    _is_over = False
    _withheld = b""
    _corked_size = 0
    _piece = 0
    _turn_size = 0
    _end_of_turn: IDelayedCall | None = None
    # Is called when TLS is off again, where that was asked for.
    _stopped: Callable[[], object] | None = None
    _held: list[bytes]
    _undelivered: Iterator[TLSEvent] | None = None

    def __init__(
        self,
        attempt: ConnectionAttempt,
        outcome: bytes = b"",
        greeting: Callable[[bytes], int] | None = None,
        *,
        writer: PlainWriter | None = None,
        opened: Callable[[IProtocol], object] | None = None,
    ) -> None:
        self._opened = opened
        self.outcome: bytes = outcome
        self._attempt = attempt
        self._greeting = greeting
        self._corked: list[bytes] = []
        self._is_first = writer is None
        if writer is not None:
            self._writer = writer

    @property
    def protocol(self) -> IProtocol | None:
        """What hears the data; the name of Twisted's connections (`replace_in_path`)."""
        return self._protocol

    @protocol.setter
    def protocol(self, protocol: IProtocol) -> None:
        self._protocol = protocol

    # --- the protocol of the plain transport ---

    def connectionMade(self) -> None:
        """Begin the handshake."""
        attempt, plain = self._attempt, self.transport
        attempt.handshaking(self, plain)
        try:
            if self._is_first:
                self._writer = PlainWriter(plain)
                attempt.connected(plain, self._writer)
            self._writer.emptied = self._resume_producer
            self._engine = engine = attempt.config.new_engine(attempt.factory)
            attempt.connection = engine.connection
            if attempt.config.side is Side.CLIENT:
                engine.start()
                self._send()
                if engine.error is not None:
                    self._close_below()
        except Exception:
            attempt.give_up()
            self._engine = None
            plain.abortConnection()
            attempt.failed(Failure())

    def dataReceived(self, data: bytes) -> None:
        """Decrypt bytes of the peer, deliver what they hold, and send what that has written.

        Args:
            data: Encrypted bytes.
        """
        engine = self._engine
        if engine is None or self._is_over:
            return
        if not engine.connection.first_bytes and self._attempt.config.side is Side.SERVER:
            self._answer_plain_http(data)
        self._is_in_turn = True
        try:
            self._undelivered = events = iter(engine.receive(data))
            for event in events:
                if self._is_over:
                    break
                if event.__class__ is bytes:
                    if not self.disconnecting or self._producer is not None:
                        self._protocol.dataReceived(event)  # type: ignore[union-attr]
                elif event is Signal.COMPLETE:
                    self._completed()
                elif event is Signal.CLOSED:
                    self._peer_closed()
                else:
                    self._broken()
            self._undelivered = None
        finally:
            self._is_in_turn = False
        if engine.is_closed_by_peer or self._is_over:
            # What there was to send was sent before the plain transport was closed.
            return
        if self._corked:
            self._flush()
        else:
            self._send()

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """Tell the application's protocol, or the attempt, of the end.

        Args:
            reason: Why the plain connection is gone.
        """
        if not self.connected:
            return
        if self._undelivered is not None:
            self._deliver_rest(self._undelivered)
        self.connected = 0
        self.disconnecting = self._is_write_over = self._is_over = True
        if self._end_of_turn is not None:
            self._stop_turn(self._end_of_turn)
        if self._producer is not None:
            self._stop_producer(self._producer)
        self._attempt.is_reset = is_reset(reason)
        reason = self._attempt.ended(self._reason(reason))
        self._stopped = None
        # A cycle would keep all that the connection has until garbage is collected.
        self._writer.emptied = None
        protocol, self._protocol, self._engine = self._protocol, None, None
        self._opened = None
        if protocol is not None:
            protocol.connectionLost(reason)

    def _answer_plain_http(self, data: bytes) -> None:
        """Answer a client that speaks plain HTTP; TLS then ends the connection."""
        answer = plain_http_answer(data)
        if answer:
            self._writer.write(answer)

    def _deliver_rest(self, undelivered: Iterator[TLSEvent]) -> None:
        """Deliver what was decrypted when the application's protocol raised an exception."""
        for event in undelivered:
            if self._is_over or (self.disconnecting and self._producer is None):
                return
            if isinstance(event, bytes) and self._protocol is not None:
                try:
                    self._protocol.dataReceived(event)
                except Exception:
                    # The reactor would end the connection for this; it is ending already.
                    _log.failure("{protocol} failed", protocol=self._protocol)

    def _reason(self, plain: Failure) -> Failure:
        """Why the connection is gone, given why the plain one is."""
        engine = self._engine
        if engine is not None and engine.error is not None:
            return Failure(engine.error)
        error = plain.value
        is_cut = isinstance(error, ConnectionClosed) and not isinstance(error, ConnectionAborted)
        if is_cut and engine is not None and engine.is_complete and not engine.is_closed_by_peer:
            # What the peer sent last may be missing.
            return Failure(ConnectionLost())
        return plain

    # --- the way back to clear text ---

    def keep_unread(self) -> None:
        """Make `stop` possible later; is asked for when the protocol is connected."""
        if self._engine is not None:
            self._engine.keep_unread()

    @property
    def clock(self) -> IReactorTime:
        """Keeps the connection's deadlines."""
        return self._attempt.config.clock

    @property
    def has_producer(self) -> bool:
        """Whether a producer is registered."""
        return self._producer is not None

    @property
    def may_stop(self) -> bool:
        """Whether the plain transport can be given to the application's protocol."""
        if self._engine is None or not self._engine.keeps_unread:
            return False
        above = getattr(self.transport, "protocol", None)
        return above is self or isinstance(above, PendingProtocol)

    def stop(self, stopped: Callable[[], object], *, waits: bool = False) -> None:
        """Close TLS on both sides, and have the application's protocol go on in the clear.

        Args:
            stopped: Is called when TLS is off, and the plain transport is that of the
                application's protocol; clear bytes follow.
            waits: Whether our close_notify is the answer to the peer's.
        """
        self._stopped, self._held = stopped, []
        if waits:
            self._flush()
            self._is_write_over = True
        else:
            self._close_engine()

    def _leave(self, stopped: Callable[[], object]) -> None:
        """Leave the plain transport to the application's protocol: both sides have closed TLS."""
        engine, above, plain, held = self._engine, self._protocol, self.transport, self._held
        assert engine is not None and above is not None
        self._attempt.ended(Failure(CONNECTION_DONE))
        self._writer.emptied = None
        self._writer.leave()
        self._engine = self._protocol = self._stopped = None
        self._is_over = self.disconnecting = True
        self.connected = 0
        above.transport = plain  # type: ignore[attr-defined]
        replace_in_path(plain, self, above)
        for data in held:
            plain.write(data)
        stopped()
        # Perhaps TLS has begun anew.
        below = getattr(plain, "protocol", None)
        if engine.unread and below is not None:
            below.dataReceived(engine.unread)

    # --- what TLS says ---

    def _completed(self) -> None:
        """Build and connect the application's protocol: the peer is verified."""
        attempt = self._attempt
        try:
            protocol = attempt.build_protocol()
        except Exception:
            attempt.refuse(Failure())
            return
        if attempt.verdict is not None:
            # The attempt was cancelled while the factory was building.
            return
        if attempt.config.side is Side.SERVER and attempt.connection is not None:
            # They explain a failure, which only a client can still have (`late_failure`).
            attempt.connection.first_bytes = b""
        attempt.secured(socket_of(self.transport))
        self._protocol = protocol
        try:
            rename_in_log(self.transport, protocol)
            protocol.makeConnection(self)
            if IHandshakeListener.providedBy(protocol):
                protocol.handshakeCompleted()
        except Exception:
            self.abortConnection()
            attempt.failed(Failure())
        else:
            attempt.opened(protocol)
            if self._opened is not None:
                self._opened(protocol)

    def _peer_closed(self) -> None:
        """Answer the peer's close_notify, and close the plain transport, or go on with it."""
        if self._stopped is not None:
            self._close_engine()
            self._leave(self._stopped)
            return
        self._close_engine()
        self._close_below()

    def _broken(self) -> None:
        """Send the alert that says why, if there is one, and close the plain transport."""
        self._is_write_over = True
        self._send()
        self._close_below()

    def _close_below(self) -> None:
        writer = self._writer
        if writer.is_waiting or writer.direct is None:
            # The peer may not take what is still to be sent.
            self._attempt.closing(is_reading=not self._is_paused)
        plain = self.transport
        if self._is_membrane_registered:
            # Otherwise the plain transport would wait for our producer.
            self._is_membrane_registered = False
            cast(IConsumer, plain).unregisterProducer()
        direct = writer.direct
        if direct is None or writer.is_waiting or direct.disconnecting:
            plain.loseConnection()
            return
        # The system has taken all that was written. `loseConnection` would wait until the
        # socket can be written to, and write nothing to it.
        direct.stopReading()
        direct.disconnecting = True
        clock = self._attempt.config.clock
        # What the application logs then has its name, as when the reactor calls.
        clock.callLater(0, callWithLogger, direct, direct.connectionLost, Failure(CONNECTION_DONE))

    # --- the transport of the application's protocol: writing and closing ---

    def write(self, data: bytes) -> None:
        """Send data, encrypted; what is written after the close is dropped.

        Args:
            data: Plaintext of any length.
        """
        if not isinstance(data, bytes):
            data = _as_bytes(data)
        if self._is_write_over:
            if self._stopped is not None:
                # TLS is closing, and this is to be sent in the clear.
                self._held.append(data)
            return
        if self._greeting is not None:
            data = self._behind_greeting(self._greeting, data)
        self._corked.append(data)
        self._corked_size = size = self._corked_size + len(data)
        if size >= _MAX_CORKED and (self._producer is None or size >= self._piece):
            self._flush()
        elif not self._is_in_turn:
            self._wait_for_turn()

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """Write the chunks as one.

        Args:
            iovec: Chunks of the application's data.
        """
        try:
            data = b"".join(iovec)
        except TypeError:
            raise TypeError("Data must be bytes") from None
        self.write(data)

    def loseConnection(self) -> None:
        """Send what was written and a close_notify, and wait ``close_timeout`` for the peer's.

        While a producer is registered, its data goes first.
        """
        if self.disconnecting or not self.connected:
            return
        self.disconnecting = True
        self._stopped = None
        if self._producer is None:
            self._say_goodbye()
        self._attempt.closing(is_reading=not self._is_paused)

    def abortConnection(self) -> None:
        """End the connection at once, if it has not ended yet."""
        if self.connected and not self._is_over:
            self._is_over = self._is_write_over = self.disconnecting = True
            self._corked.clear()
            self.transport.abortConnection()

    def _say_goodbye(self) -> None:
        """Send a close_notify, and close the plain transport if the peer sent one before."""
        if self._engine is not None:
            self._close_engine()
            if self._engine.is_closed_by_peer:
                self._close_below()

    def _close_engine(self) -> None:
        """Send what was written, and a close_notify behind it."""
        engine = self._engine
        assert engine is not None
        if engine.is_closed:
            return
        if self._corked and self._encrypt_corked(engine):
            # For `Delivery`, the application's data ends before the close_notify.
            self._send(is_data=True)
        self._is_write_over = True
        engine.close()
        self._send()

    def _behind_greeting(self, greeting: Callable[[bytes], int], data: bytes) -> bytes:
        """What follows the application's greeting; nothing until that is complete."""
        self._withheld += data
        end = greeting(self._withheld)
        if not end:
            if len(self._withheld) > _MAX_GREETING:
                self.abortConnection()
            return b""
        rest, self._withheld, self._greeting = self._withheld[end:], b"", None
        return rest

    # --- from the application to the plain transport ---

    def _wait_for_turn(self) -> None:
        if self._end_of_turn is None and self.connected:
            self._end_of_turn = self._attempt.config.clock.callLater(0, self._next_turn)

    def _next_turn(self) -> None:
        """A turn of the reactor is over: send what was collected, and let a producer go on."""
        self._end_of_turn = None
        self._turn_size = 0
        try:
            self._flush()
            self._resume_producer()
        except Exception:
            # The reactor only logs what a timer raises. Where the plain transport calls a
            # producer that raises, it ends the connection, and so it does here.
            _log.failure("{producer} failed", producer=self._producer)
            self.abortConnection()

    def _stop_turn(self, call: IDelayedCall) -> None:
        self._end_of_turn = None
        call.cancel()

    def _flush(self) -> None:
        """Encrypt what was written, and send it with all that OpenSSL has to send."""
        engine = self._engine
        if engine is not None and not self._is_over:
            self._send(is_data=self._encrypt_corked(engine))
            if self._producer is not None and not self._may_produce:
                self._pause_producer()

    def _encrypt_corked(self, engine: Engine) -> bool:
        """Give OpenSSL what was written; all but its last piece is sent.

        Returns:
            Whether there was anything.
        """
        if not self._corked:
            return False
        data = self._corked[0] if len(self._corked) == 1 else b"".join(self._corked)
        self._corked.clear()
        self._corked_size = 0
        if not data or engine.is_closed or engine.error is not None:
            return False
        size, self._piece = len(data), engine.piece
        self._turn_size += size
        engine.send(data if size <= engine.piece else self._send_all_but_last(engine, data))
        if engine.error is not None:
            self._broken()
        return True

    def _send_all_but_last(self, engine: Engine, data: bytes) -> memoryview:
        """Encrypt and send all pieces but the last one.

        A plain transport that is full pauses our producer from within its ``write()``. Told
        of that now, the producer might write between two pieces.

        Returns:
            The last piece.
        """
        self._is_encrypting = True
        rest = memoryview(data)
        try:
            while len(rest) > engine.piece:
                size = engine.piece
                engine.send(rest[:size])
                rest = rest[size:]
                self._send(is_data=True)
        finally:
            self._is_encrypting = False
        return rest

    def _send(self, *, is_data: bool = False) -> None:
        """Give what OpenSSL has to send to the plain transport.

        Args:
            is_data: Whether there is data of the application among it.
        """
        data = self._engine.data_to_send()  # type: ignore[union-attr]
        if not data:
            return
        outgoing = self._attempt.outgoing
        outgoing.total += len(data)
        if is_data:
            outgoing.end_of_data = outgoing.total
        self._writer.write(data)

    # --- producers ---

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        """Let a producer write, as fast as the peer takes it.

        Args:
            producer: Is paused and resumed, or asked for data piece by piece.
            streaming: Whether it writes of its own accord (`IPushProducer`).

        Raises:
            RuntimeError: There is one already.
        """
        if self._producer is not None:
            raise RuntimeError(
                f"Cannot register producer {producer}, because producer {self._producer} "
                "was never unregistered."
            )
        if self._is_write_over:
            producer.stopProducing()
            return
        if self._writer.direct is None:
            cast(IConsumer, self.transport).registerProducer(_Membrane(self), True)
            self._is_membrane_registered = True
        self._producer, self._is_streaming = producer, streaming
        self._is_producer_paused = not streaming
        if streaming:
            self._pause_producer()
            return
        if self._may_produce:
            cast(IPullProducer, producer).resumeProducing()
        self._ask_again()

    def unregisterProducer(self) -> None:
        """Let the producer go; a close that waited for it goes on."""
        if self._producer is None:
            return
        self._producer = None
        self._is_producer_paused = False
        if self._is_membrane_registered:
            self._is_membrane_registered = self._is_below_full = False
            cast(IConsumer, self.transport).unregisterProducer()
        if self.disconnecting and not self._is_over:
            self._say_goodbye()

    def stopConsuming(self) -> None:
        """Let the producer go and close the connection; a name of Twisted's connections."""
        self.unregisterProducer()
        self.loseConnection()

    @property
    def _is_blocked(self) -> bool:
        """Whether a producer has to wait for more than the next turn."""
        return self._writer.is_waiting or self._is_below_full or self._is_write_over

    @property
    def _may_produce(self) -> bool:
        return not (
            self._turn_size >= _MAX_PER_TURN
            or self._writer.is_waiting
            or self._is_below_full
            or self._is_write_over
        )

    def _pause_producer(self) -> None:
        """Pause the push producer, if it has to wait and does not do so already."""
        if self._producer is None or self._may_produce:
            return
        if self._turn_size >= _MAX_PER_TURN:
            self._wait_for_turn()
        if self._is_streaming and not self._is_producer_paused:
            self._is_producer_paused = True
            cast(IPushProducer, self._producer).pauseProducing()

    def _resume_producer(self) -> None:
        """Resume the push producer, or ask the pull producer for data while it may produce."""
        if self._producer is None:
            return
        if self._is_streaming:
            if self._is_producer_paused and self._may_produce:
                self._is_producer_paused = False
                cast(IPushProducer, self._producer).resumeProducing()
            return
        while self._producer is not None and self._may_produce:
            before = self._turn_size + self._corked_size
            cast(IPullProducer, self._producer).resumeProducing()
            if self._turn_size + self._corked_size == before:
                break
        self._ask_again()

    def _ask_again(self) -> None:
        """Ask a pull producer that wrote nothing, or its share of this turn, in the next one."""
        if self._producer is not None and not self._is_blocked:
            self._wait_for_turn()

    def _stop_producer(self, producer: IProducer) -> None:
        self._producer = None
        try:
            producer.stopProducing()
        except Exception:
            # The application's protocol must hear of the end nevertheless.
            _log.failure("{producer} failed", producer=producer)

    def below_is_full(self, is_full: bool) -> None:
        """The plain transport asks for a pause, or for more.

        Args:
            is_full: Whether for a pause.
        """
        self._is_below_full = is_full
        if self._is_encrypting:
            # All that is being written goes first. `_flush` pauses the producer then.
            self._wait_for_turn()
        elif is_full:
            self._pause_producer()
        else:
            self._resume_producer()

    # --- the transport of the application's protocol: the rest ---

    def pauseProducing(self) -> None:
        """Stop reading from the peer."""
        self._is_paused = True
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """Read from the peer again."""
        self._is_paused = False
        self.transport.resumeProducing()

    def stopReading(self) -> None:
        """Stop reading from the peer, as `pauseProducing`; a name of Twisted's connections."""
        self.pauseProducing()

    def startReading(self) -> None:
        """Read from the peer again, as `resumeProducing`; a name of Twisted's connections."""
        self.resumeProducing()

    def stopProducing(self) -> None:
        """Close the connection."""
        self.loseConnection()

    def getHandle(self) -> SecureConnection | None:
        """OpenSSL's connection, or what stands for it; None when the connection is over."""
        return None if self._engine is None else self._engine.connection

    def getPeerCertificate(self) -> object:
        """The peer's certificate, as pyOpenSSL has it; None without one."""
        return None if self._engine is None else self._engine.connection.get_peer_certificate()

    @property
    def negotiatedProtocol(self) -> bytes | None:
        """The application protocol that was agreed on (ALPN), or None."""
        if self._engine is None:
            return None
        return self._engine.connection.get_alpn_proto_negotiated() or None

    def getHost(self) -> IPv4Address | IPv6Address:
        """Our own address; on a local socket, of its own kind."""
        return cast(ITCPTransport, self.transport).getHost()

    def getPeer(self) -> IPv4Address | IPv6Address:
        """The peer's address; on a local socket, of its own kind."""
        return cast(ITCPTransport, self.transport).getPeer()

    def loseWriteConnection(self) -> None:
        """Close the connection: in TLS both directions end together."""
        self.loseConnection()

    def getTcpNoDelay(self) -> bool:
        """Whether small packets are sent at once (TCP_NODELAY)."""
        return bool(cast(tcp.Connection, self.transport).getTcpNoDelay())

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Say whether small packets are sent at once (TCP_NODELAY)."""
        cast(tcp.Connection, self.transport).setTcpNoDelay(enabled)

    def getTcpKeepAlive(self) -> bool:
        """Whether the system looks if a silent peer is still there (SO_KEEPALIVE)."""
        return bool(cast(tcp.Connection, self.transport).getTcpKeepAlive())

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Say whether the system looks if a silent peer is still there (SO_KEEPALIVE)."""
        cast(tcp.Connection, self.transport).setTcpKeepAlive(enabled)


@implementer(IPushProducer)
class _Membrane:
    """Passes the pauses of a plain transport on to a driver.

    Args:
        driver: Is told.
    """

    __slots__ = ("_driver",)

    def __init__(self, driver: TLSDriver) -> None:
        self._driver = driver

    def pauseProducing(self) -> None:
        self._driver.below_is_full(True)

    def resumeProducing(self) -> None:
        self._driver.below_is_full(False)

    def stopProducing(self) -> None:
        """Do nothing: the driver hears of the end by itself."""


def _as_bytes(data: object) -> bytes:
    if isinstance(data, (bytearray, memoryview)):
        return bytes(data)
    raise TypeError("Data must be bytes")


def starttls_outcome(transport: object) -> bytes:
    """The outcome of the dialogue before TLS (``starttls=``), for protocols that go on from it.

    Args:
        transport: The ``transport`` of the application's protocol, or of a
            wrapper above it.

    Returns:
        What ``docs/starttls.md`` says of the protocol: for MySQL, for example,
        the server's greeting packet. Empty where there was no dialogue.
    """
    while isinstance(transport, ProtocolWrapper):
        transport = transport.transport
    return transport.outcome if isinstance(transport, TLSDriver) else b""
