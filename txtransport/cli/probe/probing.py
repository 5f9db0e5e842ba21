"""Connects once, and reports what happened from the look-up to the peer's first byte.

The connection is what any other client of the same URL would make, no more:
nothing is tried without verification, and nothing is said to the peer beyond
what the URL asks for. `recorder` notes the steps on the way.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from attrs import evolve
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectingCancelledError
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

import txtransport
from txtransport import Session, TransportURL
from txtransport.cli.probe.recorder import ProbeRecorder, ProgressCallback
from txtransport.cli.probe.report import FirstByte, ProbeReport
from txtransport.connection.handshake import starttls_outcome
from txtransport.connection.trace import Trace
from txtransport.connection.twisted_types import TCPTransport
from txtransport.endpoints.network_errors import diagnosis_of
from txtransport.errors import TransportUnavailable
from txtransport.tls.connection import MAX_FIRST_BYTES
from txtransport.tls.session import session_of

__all__ = ["FIRST_BYTE", "client_endpoint", "probe"]

FIRST_BYTE: Final = 1.0
"""Seconds to wait for the peer's first byte; many wait for the client's."""

_CLOSE_WAIT: Final = 0.5
"""Seconds until a connection that does not close is aborted."""


async def probe(
    reactor: object,
    url: TransportURL,
    options: Mapping[str, object],
    *,
    wait: float = FIRST_BYTE,
    is_again: bool = True,
    on_progress: ProgressCallback = lambda doing: None,
) -> ProbeReport:
    """Connect, wait for the first byte, and close the connection.

    Args:
        reactor: Connects and keeps time.
        url: What to connect to.
        options: As for `txtransport.client`.
        wait: Seconds to wait for the first byte.
        is_again: Whether to connect a second time, to see if the session is
            resumed.
        on_progress: Is told what is going on.

    Returns:
        The report, also when the connection fails.

    Raises:
        InvalidTransport: The URL is not one of a client.
        InvalidOption: An option, or a file that it names, cannot be used.
    """
    clock = cast(IReactorTime, reactor)
    recorder = ProbeRecorder(clock, url, on_progress)
    try:
        endpoint = client_endpoint(reactor, url, options, recorder.record)
    except TransportUnavailable as error:
        return ProbeReport(url, diagnosis=diagnosis_of(error))
    recorder.is_negotiated = "starttls" in {*dict(url.options), *options}
    recorder.begin()
    try:
        protocol = await _connected(endpoint, clock)
    except (CancelledError, ConnectingCancelledError):
        raise
    except Exception as error:
        return recorder.failure_report(error)
    recorder.connected(protocol.session)
    try:
        on_progress("waiting for the first byte")
        first_byte = await protocol.first_byte(wait)
        report = recorder.connected_report(protocol.session, first_byte, protocol.reason)
    finally:
        await protocol.disconnect()
    if not is_again or not report.is_connected or report.session is None:
        return report
    on_progress("connecting again, to resume the session")
    return evolve(report, is_resumed=await _is_resumed(reactor, url, options))


def client_endpoint(
    reactor: object, url: TransportURL, options: Mapping[str, object], trace: Trace | None = None
) -> IStreamClientEndpoint:
    """`txtransport.client`, with options by name, as a command line has them.

    Args:
        reactor: Connects and keeps time.
        url: What to connect to.
        options: As for `txtransport.client`.
        trace: Is told of each step of an attempt.
    """
    keywords: dict[str, Any] = dict(options)
    return txtransport.client(reactor, url, trace=trace, **keywords)


async def _is_resumed(
    reactor: object, url: TransportURL, options: Mapping[str, object]
) -> bool | None:
    """Whether a second connection resumes the session; None when it fails."""
    endpoint = client_endpoint(reactor, url, options)
    try:
        protocol = await _connected(endpoint, cast(IReactorTime, reactor))
    except (CancelledError, ConnectingCancelledError):
        raise
    except Exception:
        # The report is about the first connection, which was made. That the
        # second failed does not say whether the session can be resumed.
        return None
    await protocol.disconnect()
    return protocol.session.resumed if protocol.session is not None else None


async def _connected(endpoint: IStreamClientEndpoint, clock: IReactorTime) -> _ProbeProtocol:
    return cast(_ProbeProtocol, await endpoint.connect(_ProbeFactory(clock)))


class _ProbeFactory(Factory):
    """Builds `_ProbeProtocol`s."""

    noisy = False

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock

    def buildProtocol(self, addr: object) -> _ProbeProtocol:
        """Build one, whatever the address."""
        return _ProbeProtocol(self._clock)


class _ProbeProtocol(Protocol):
    """The application's protocol of a probe: it listens, and sends nothing.

    Args:
        clock: Keeps time.

    Attributes:
        session: The TLS session, or None in the clear.
        data: The peer's first bytes.
        reason: Why the connection was lost, or None while it is open.
    """

    session: Session | None = None

    def __init__(self, clock: IReactorTime) -> None:
        self.data = b""
        self.reason: BaseException | None = None
        self._clock = clock
        self._starttls_outcome = b""
        self._heard: Deferred[None] = Deferred()
        self._gone: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        self.session = session_of(self.transport)
        # After STARTTLS an endpoint first delivers the outcome of its dialogue,
        # such as a greeting that it composed. Those are not bytes of the peer.
        self._starttls_outcome = starttls_outcome(self.transport)

    def dataReceived(self, data: bytes) -> None:
        outcome, self._starttls_outcome = self._starttls_outcome, b""
        if data == outcome:
            return
        self.data = (self.data + data)[:MAX_FIRST_BYTES]
        self._fire(self._heard)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.reason = reason.value
        self._fire(self._heard)
        self._fire(self._gone)

    async def first_byte(self, seconds: float) -> FirstByte:
        """Wait until the peer sends something or hangs up, or the time is over."""
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
