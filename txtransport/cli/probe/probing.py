"""One connection, watched from the look-up to the first byte, and what is seen on the way.

It is what any other client of the same URL would do, no more: nothing is tried
without verification, and what is said to the peer is what the URL says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from attrs import Factory as Made
from attrs import define, evolve
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectingCancelledError, ConnectionDone
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

import txtransport
from txtransport import Session, TransportURL
from txtransport.cli.probe.report import (
    AddressOutcome,
    AddressResult,
    FirstByte,
    ProbeReport,
    ProbeStage,
    StageTime,
    stages_of,
)
from txtransport.config.policy import Side
from txtransport.config.schemes import SCHEMES
from txtransport.connection.handshake import starttls_outcome
from txtransport.connection.trace import Event, Step
from txtransport.diagnosis.banners import recognise_plaintext, remedy_at
from txtransport.endpoints.network_errors import diagnosis_of
from txtransport.errors import HandshakeFailed, TransportTimeout, TransportUnavailable
from txtransport.starttls.protocols import STARTTLS_PROTOCOLS
from txtransport.tls.certificate import summarize_chain
from txtransport.tls.connection import MAX_FIRST_BYTES
from txtransport.tls.session import session_of

FIRST_BYTE: Final = 1.0
"""Seconds to wait for the peer's first byte; many wait for the client's."""

_CLOSE_WAIT: Final = 0.5

Progress = Callable[[str], object]
"""Is told what is going on, in a few words."""


async def probe(
    reactor: Any,
    url: TransportURL,
    options: Mapping[str, Any],
    *,
    wait: float = FIRST_BYTE,
    is_again: bool = True,
    told: Progress = lambda doing: None,
) -> ProbeReport:
    """Connect, look, and hang up.

    Args:
        reactor: Connects and keeps time.
        transport: Where to.
        options: As for `txtransport.client`.
        wait: Seconds to wait for the first byte.
        is_again: Whether to connect a second time, to see if the session is
            resumed.
        told: Is told what is going on.

    Raises:
        InvalidTransport: The URL is not one of a client.
        InvalidOption: An option, or a file that it names, cannot be used.
    """
    trail = ProbeRecorder(reactor, url, told)
    try:
        endpoint = txtransport.client(reactor, url, trace=trail.on, **options)
    except TransportUnavailable as error:
        return ProbeReport(url, diagnosis=diagnosis_of(error))
    trail.is_negotiated = "starttls" in {*dict(url.options), *options}
    trail.begin()
    try:
        protocol = cast(_ProbeProtocol, await endpoint.connect(_ProbeFactory(reactor)))
    except (CancelledError, ConnectingCancelledError):
        raise
    except Exception as error:
        return trail.failed(error)
    trail.secured(protocol.session)
    try:
        told("waiting for the first byte")
        seen = trail.seen(protocol, await protocol.first(wait))
    finally:
        await protocol.leave()
    if not is_again or not seen.is_connected or seen.session is None:
        return seen
    told("connecting again, to resume the session")
    return evolve(seen, is_resumed=await _resumed(reactor, url, options))


async def _resumed(reactor: Any, url: TransportURL, options: Mapping[str, Any]) -> bool | None:
    endpoint = txtransport.client(reactor, url, **options)
    try:
        protocol = cast(_ProbeProtocol, await endpoint.connect(_ProbeFactory(reactor)))
    except (CancelledError, ConnectingCancelledError):
        raise
    except Exception:
        # The first one has been seen; that a second is not let in is no answer
        # to what this asks.
        return None
    await protocol.leave()
    return protocol.session.resumed if protocol.session is not None else None


class _ProbeFactory(Factory):
    """Builds the guests."""

    noisy = False

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock

    def buildProtocol(self, addr: object) -> _ProbeProtocol:
        """One more."""
        return _ProbeProtocol(self._clock)


class _ProbeProtocol(Protocol):
    """Listens, and says nothing.

    Args:
        clock: Keeps time.

    Attributes:
        session: The TLS session, or None in the clear.
        data: The peer's first bytes.
        reason: Why the connection is over, or None while it is not.
    """

    session: Session | None = None

    def __init__(self, clock: IReactorTime) -> None:
        self.data = b""
        self.reason: BaseException | None = None
        self._clock = clock
        self._repeated = b""
        self._heard: Deferred[None] = Deferred()
        self._gone: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        self.session = session_of(self.transport)
        # What it hears first may be the dialogue's outcome, in our words.
        self._repeated = starttls_outcome(self.transport)

    def dataReceived(self, data: bytes) -> None:
        repeated, self._repeated = self._repeated, b""
        if data == repeated:
            return
        self.data = (self.data + data)[:MAX_FIRST_BYTES]
        self._fire(self._heard)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.reason = reason.value
        self._fire(self._heard)
        self._fire(self._gone)

    async def first(self, seconds: float) -> FirstByte:
        """Wait until the peer says something or hangs up."""
        began = self._clock.seconds()
        await self._heard.addTimeout(seconds, self._clock, lambda result, _: None)
        waited = (self._clock.seconds() - began) * 1000
        return FirstByte(waited, self.data, self.reason is not None and not self.data)

    async def leave(self) -> None:
        """Hang up, and be gone soon."""
        if self.reason is not None:
            return
        transport = cast(Any, self.transport)
        transport.loseConnection()
        impatience = self._clock.callLater(_CLOSE_WAIT, transport.abortConnection)
        try:
            await self._gone
        finally:
            if impatience.active():
                impatience.cancel()
            transport.abortConnection()

    def _fire(self, waiting: Deferred[None]) -> None:
        if not waiting.called:
            waiting.callback(None)


@define(eq=False)
class ProbeRecorder:
    """What one attempt leaves behind, while it goes on.

    Attributes:
        clock: Keeps time.
        transport: Where to.
        told: Is told what is going on.
        is_negotiated: Whether a dialogue comes before TLS.
    """

    clock: IReactorTime
    url: TransportURL
    told: Progress
    is_negotiated: bool = False
    _began: float = 0.0
    _marks: dict[ProbeStage, float] = Made(dict)
    _turns: dict[str, float] = Made(dict)
    _addresses: dict[str, AddressResult] = Made(dict)

    def begin(self) -> None:
        """From now on time counts."""
        self._began = self.clock.seconds()
        if not (self.url.is_literal or self.url.path):
            self.told(f"looking up {self.url.host}")

    def on(self, event: Event) -> None:
        """A step was taken."""
        _EVENT_HANDLERS[event.step](self, event)

    def secured(self, session: Session | None) -> None:
        """The guest is there; a session came of the handshake, if there was one."""
        self._mark(ProbeStage.HANDSHAKE if session is not None else ProbeStage.CONNECT)

    def failed(self, error: BaseException) -> ProbeReport:
        """It came to nothing."""
        begun = stages_of(self.url, self.is_negotiated)
        self._mark(next((stage for stage in begun if stage not in self._marks), begun[-1]))
        chain = error.chain if isinstance(error, HandshakeFailed) else ()
        return ProbeReport(
            self.url,
            self._tried(),
            self._spans(),
            chain=summarize_chain(chain),
            diagnosis=diagnosis_of(error, self.url.location),
            hint="" if self.is_negotiated else _usual_protocol_hint(self.url, error),
        )

    def seen(self, protocol: _ProbeProtocol, first_byte: FirstByte) -> ProbeReport:
        """It came about, and the guest has listened for a while."""
        session = protocol.session
        report = ProbeReport(
            self.url,
            self._tried(),
            self._spans(),
            session,
            summarize_chain(session.peer_chain if session is not None else ()),
            first_byte,
            hint=self._hint(session, first_byte),
        )
        reason = protocol.reason
        if first_byte.data or reason is None or isinstance(reason, ConnectionDone):
            return report
        # In TLS 1.3 a peer judges our certificate when we are through already.
        return evolve(report, diagnosis=diagnosis_of(reason, self.url.location))

    def _trying(self, event: Event) -> None:
        self._mark(ProbeStage.LOOK_UP)
        self._turns[event.host] = self._now()
        self.told(f"connecting to {event.host}")

    def _failed_at(self, event: Event) -> None:
        error = cast(BaseException, event.error)
        if isinstance(error, (CancelledError, ConnectingCancelledError)):
            self._address(event.host, AddressOutcome.GIVEN_UP)
        else:
            self._address(event.host, AddressOutcome.FAILED, error)

    def _connected(self, event: Event) -> None:
        self._mark(ProbeStage.CONNECT)
        # A local socket's address has no host: it is the one that was tried.
        host = event.host if event.host in self._turns else next(iter(self._turns), "")
        self._address(host, AddressOutcome.CONNECTED)
        self._tell_what_follows(ProbeStage.CONNECT)

    def _negotiated(self, event: Event) -> None:
        self._mark(ProbeStage.NEGOTIATION)
        self._tell_what_follows(ProbeStage.NEGOTIATION)

    def _tell_what_follows(self, stage: ProbeStage) -> None:
        following = stages_of(self.url, self.is_negotiated)
        for later in following[following.index(stage) + 1 :][:1]:
            self.told(_STAGE_WORDS[later])

    def _address(
        self, host: str, outcome: AddressOutcome, error: BaseException | None = None
    ) -> None:
        took = self._now() - self._turns.get(host, 0.0)
        diagnosis = None if error is None else diagnosis_of(error)
        self._addresses[host] = AddressResult(host, outcome, took, diagnosis)

    def _tried(self) -> tuple[AddressResult, ...]:
        return tuple(self._addresses[host] for host in self._turns if host in self._addresses)

    def _spans(self) -> tuple[StageTime, ...]:
        spans, begin = [], 0.0
        for stage, end in self._marks.items():
            spans.append(StageTime(stage, begin, end))
            begin = end
        return tuple(spans)

    def _mark(self, stage: ProbeStage) -> None:
        self._marks.setdefault(stage, self._now())

    def _now(self) -> float:
        """Milliseconds from the start."""
        return (self.clock.seconds() - self._began) * 1000

    def _hint(self, session: Session | None, first_byte: FirstByte) -> str:
        """Who speaks in the clear, where a URL for TLS is to be had."""
        if session is not None or SCHEMES[self.url.scheme].is_local:
            return ""
        known = recognise_plaintext(first_byte.data, Side.CLIENT, self.url.port)
        if known is None:
            return ""
        secure = evolve(self.url, scheme="tls", options=())
        return f"The peer is {known.match.who}. {remedy_at(known.diagnosis, secure.location)}"


# The first row of a port is the one that most speak there.
USUAL_STARTTLS: Final = {
    protocol.port: protocol.name
    for protocol in reversed(STARTTLS_PROTOCOLS.values())
    if protocol.port is not None
}
"""Ports at which a peer usually begins in the clear, and its protocol."""


def _usual_protocol_hint(url: TransportURL, error: BaseException) -> str:
    """What usually stands at the port of a peer that left, or waits, without a word."""
    if not isinstance(error, (HandshakeFailed, TransportTimeout)) or error.received:
        return ""
    name = USUAL_STARTTLS.get(url.port or 0)
    if name is None or error.cause not in ("closed", "timeout"):
        return ""
    there = evolve(url, options=(("starttls", name), *url.options))
    return (
        f"Port {url.port} is usually that of {name}, which begins in the clear: try "
        f"{there.redacted()} instead"
    )


_STAGE_WORDS: Final = {ProbeStage.NEGOTIATION: "negotiating", ProbeStage.HANDSHAKE: "shaking hands"}

_EVENT_HANDLERS: Final = {
    Step.TRYING: ProbeRecorder._trying,
    Step.FAILED: ProbeRecorder._failed_at,
    Step.CONNECTED: ProbeRecorder._connected,
    Step.NEGOTIATED: ProbeRecorder._negotiated,
}
