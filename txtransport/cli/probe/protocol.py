"""The protocol of a probe's connections: it listens, waits for the first byte, and closes."""

from __future__ import annotations

from typing import Final, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from txtransport import Session
from txtransport.cli.probe.report import FirstByte
from txtransport.connection.driver import starttls_outcome
from txtransport.connection.twisted_types import TCPTransport
from txtransport.tls.connection import MAX_FIRST_BYTES
from txtransport.tls.session import session_of

__all__ = ["ProbeProtocol", "connect_protocol"]

_CLOSE_WAIT: Final = 0.5
"""Seconds until a connection that does not close is aborted."""


async def connect_protocol(
    endpoint: IStreamClientEndpoint, clock: IReactorTime, opening: bytes = b"", enough: int = 1
) -> ProbeProtocol:
    """Connect a `ProbeProtocol` by an endpoint.

    Args:
        endpoint: Where to connect to.
        clock: Keeps time.
        opening: As for `ProbeProtocol`.
        enough: As for `ProbeProtocol`.

    Raises:
        Exception: Whatever the endpoint fails with.
    """
    return cast(ProbeProtocol, await endpoint.connect(_ProbeFactory(clock, opening, enough)))


class _ProbeFactory(Factory):
    """Builds `ProbeProtocol`s, with the same arguments."""

    noisy = False

    def __init__(self, clock: IReactorTime, opening: bytes, enough: int) -> None:
        self._arguments = clock, opening, enough

    def buildProtocol(self, addr: object) -> ProbeProtocol:
        """Build one, whatever the address."""
        return ProbeProtocol(*self._arguments)


class ProbeProtocol(Protocol):
    """The application's protocol of a probe: it listens, and sends at most one thing.

    Args:
        clock: Keeps time.
        opening: Sent as soon as it is connected; nothing, if empty.
        enough: How many bytes of the peer end the wait for its first byte.

    Attributes:
        session: The TLS session, or None in the clear.
        data: The peer's first bytes.
        reason: Why the connection was lost, or None while it is open.
    """

    session: Session | None = None

    def __init__(self, clock: IReactorTime, opening: bytes = b"", enough: int = 1) -> None:
        self.data: bytes = b""
        self.reason: BaseException | None = None
        self._clock = clock
        self._opening = opening
        self._enough = enough
        self._starttls_outcome = b""
        self._heard: Deferred[None] = Deferred()
        self._gone: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        self.session = session_of(self.transport)
        # After STARTTLS an endpoint first delivers the outcome of its dialogue,
        # such as a greeting that it composed. Those are not bytes of the peer.
        self._starttls_outcome = starttls_outcome(self.transport)
        if self._opening:
            cast(TCPTransport, self.transport).write(self._opening)

    def dataReceived(self, data: bytes) -> None:
        outcome, self._starttls_outcome = self._starttls_outcome, b""
        if data == outcome:
            return
        self.data = (self.data + data)[:MAX_FIRST_BYTES]
        if len(self.data) >= self._enough:
            self._fire(self._heard)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.reason = reason.value
        self._fire(self._heard)
        self._fire(self._gone)

    async def first_byte(self, seconds: float) -> FirstByte:
        """Wait until the peer has sent enough or hangs up, or the time is over."""
        began = self._clock.seconds()
        await self._heard.addTimeout(seconds, self._clock, lambda result, _: None)
        waited = (self._clock.seconds() - began) * 1000
        return FirstByte(waited, self.data, self.reason is not None and not self.data)

    async def disconnect(self) -> None:
        """Close the connection, in time or by force, and wait until it is lost."""
        if self.reason is not None:
            return
        transport = cast(TCPTransport, self.transport)
        transport.loseConnection()
        timer = self._clock.callLater(_CLOSE_WAIT, transport.abortConnection)
        try:
            await self._gone
        finally:
            if timer.active():
                timer.cancel()
            # It is still open when the wait was cancelled.
            transport.abortConnection()

    def _fire(self, waiting: Deferred[None]) -> None:
        if not waiting.called:
            waiting.callback(None)
