"""Notes the steps of one connection attempt as they happen, and makes a report of them.

`probing` connects, and this module listens: `ProbeRecorder.record` is the trace of
the endpoint (`txtransport.connection.trace`). It also has the hints that follow
from what a peer said, or did not say, at a port.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Final

from attrs import define, evolve, field
from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectingCancelledError, ConnectionDone
from twisted.internet.interfaces import IReactorTime

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
from txtransport.connection.trace import Event, Step
from txtransport.diagnosis.banners import recognise_plaintext, remedy_at
from txtransport.endpoints.network_errors import diagnosis_of
from txtransport.errors import HandshakeFailed, TransportTimeout
from txtransport.starttls.protocols import USUAL_STARTTLS
from txtransport.starttls.tls_record import is_alert, is_tls
from txtransport.tls.certificate import summarize_chain
from txtransport.tls.chain import chain_problems

__all__ = ["ProbeRecorder", "ProgressCallback"]

ProgressCallback = Callable[[str], object]
"""Is told what is going on, in a few words."""


@define(eq=False)
class ProbeRecorder:
    """The record of one attempt: when each stage ended, and how each address did.

    Attributes:
        clock: Keeps time.
        url: What is probed.
        on_progress: Is told what is going on.
        is_negotiated: Whether a STARTTLS dialogue comes before TLS.
        proxy: The proxies in between, without their secrets; empty if there are none.
    """

    clock: IReactorTime
    url: TransportURL
    on_progress: ProgressCallback
    is_negotiated: bool = False
    proxy: str = ""
    _began: float = 0.0
    # Both in milliseconds from the start of the attempt.
    _stage_ends: dict[ProbeStage, float] = field(factory=dict)
    _address_begins: dict[str, float] = field(factory=dict)
    _results: dict[str, AddressResult] = field(factory=dict)

    def begin(self) -> None:
        """Start the clock, just before the endpoint connects."""
        self._began = self.clock.seconds()
        if not (self.url.is_literal or self.url.path or self.proxy):
            self.on_progress(f"looking up {self.url.host}")

    def record(self, event: Event) -> None:
        """Note a step of the endpoint."""
        _EVENT_HANDLERS[event.step](self, event)

    def connected(self, session: Session | None) -> None:
        """Note that the last stage has ended well.

        Args:
            session: The TLS session, or None without TLS.
        """
        self._end_stage(ProbeStage.HANDSHAKE if session is not None else ProbeStage.CONNECT)

    def failure_report(self, error: BaseException) -> ProbeReport:
        """The report of an attempt that failed."""
        stages = self._stages()
        unfinished = (stage for stage in stages if stage not in self._stage_ends)
        self._end_stage(next(unfinished, stages[-1]))
        chain = error.chain if isinstance(error, HandshakeFailed) else ()
        return ProbeReport(
            self.url,
            self._addresses(),
            self._spans(),
            chain=summarize_chain(chain),
            chain_problems=chain_problems(chain),
            diagnosis=diagnosis_of(error, self.url.location),
            hint="" if self.is_negotiated else _usual_protocol_hint(self.url, error),
            proxy=self.proxy,
        )

    def connected_report(
        self, session: Session | None, first_byte: FirstByte, reason: BaseException | None
    ) -> ProbeReport:
        """The report of an attempt that connected.

        Args:
            session: The TLS session, or None without TLS.
            first_byte: What the peer said of its own accord.
            reason: Why the connection was lost since, or None while it is open.
        """
        chain = session.peer_chain if session is not None else ()
        report = ProbeReport(
            self.url,
            self._addresses(),
            self._spans(),
            session,
            summarize_chain(chain),
            first_byte,
            chain_problems=chain_problems(chain),
            hint="" if session is not None else _plaintext_hint(self.url, first_byte.data),
            proxy=self.proxy,
        )
        if first_byte.data or reason is None or isinstance(reason, ConnectionDone):
            return report
        # In TLS 1.3 a client's handshake ends before the server has seen its
        # certificate (RFC 8446, section 2): a server that refuses it sends an
        # alert on what is a connection already.
        return evolve(report, diagnosis=diagnosis_of(reason, self.url.location))

    def with_answer(self, report: ProbeReport, answer: bytes | None) -> ProbeReport:
        """The report of a peer that was silent in the clear, with its answer to a ClientHello.

        Args:
            report: Of the connection in the clear.
            answer: The first bytes; None where no ClientHello was sent.
        """
        if answer is None:
            return report
        # Of a single byte only the type of the record would be known.
        speaks_tls = len(answer) > 1 and is_tls(answer)
        hint = (
            _tls_hint(self.url, answer)
            if speaks_tls
            else _plaintext_hint(self.url, answer) or _usual_hint(self.url)
        )
        return evolve(report, speaks_tls=speaks_tls, hint=hint)

    def _trying(self, event: Event) -> None:
        self._end_stage(ProbeStage.LOOK_UP)
        self._address_begins[event.host] = self._now()
        self.on_progress(f"connecting to {event.host}")

    def _address_failed(self, event: Event) -> None:
        if isinstance(event.error, (CancelledError, ConnectingCancelledError)):
            self._add_result(event.host, AddressOutcome.GIVEN_UP)
        else:
            self._add_result(event.host, AddressOutcome.FAILED, event.error)

    def _address_connected(self, event: Event) -> None:
        self._end_stage(ProbeStage.CONNECT)
        # The address of a local socket names no host: the only one that was
        # tried is meant.
        is_tried = event.host in self._address_begins
        host = event.host if is_tried else next(iter(self._address_begins), "")
        self._add_result(host, AddressOutcome.CONNECTED)
        self._announce_stage_after(ProbeStage.CONNECT)

    def _proxied(self, event: Event) -> None:
        self._end_stage(ProbeStage.PROXY)
        self._announce_stage_after(ProbeStage.PROXY)

    def _negotiated(self, event: Event) -> None:
        self._end_stage(ProbeStage.NEGOTIATION)
        self._announce_stage_after(ProbeStage.NEGOTIATION)

    def _refused(self, event: Event) -> None:
        """Nothing: the protocol is told of the refusal as well."""

    def _announce_stage_after(self, stage: ProbeStage) -> None:
        stages = self._stages()
        for following in stages[stages.index(stage) + 1 :][:1]:
            self.on_progress(_PROGRESS_WORDS[following])

    def _stages(self) -> tuple[ProbeStage, ...]:
        return stages_of(self.url, is_negotiated=self.is_negotiated, is_proxied=bool(self.proxy))

    def _add_result(
        self, host: str, outcome: AddressOutcome, error: BaseException | None = None
    ) -> None:
        milliseconds = self._now() - self._address_begins.get(host, 0.0)
        diagnosis = None if error is None else diagnosis_of(error)
        self._results[host] = AddressResult(host, outcome, milliseconds, diagnosis)

    def _addresses(self) -> tuple[AddressResult, ...]:
        """The results, in the order in which the addresses were tried."""
        return tuple(self._results[host] for host in self._address_begins if host in self._results)

    def _spans(self) -> tuple[StageTime, ...]:
        spans, begin = [], 0.0
        for stage, end in self._stage_ends.items():
            spans.append(StageTime(stage, begin, end))
            begin = end
        return tuple(spans)

    def _end_stage(self, stage: ProbeStage) -> None:
        """Note the time, unless the stage has ended before.

        With several addresses the look-up "ends" at each of them, and the first counts.
        """
        self._stage_ends.setdefault(stage, self._now())

    def _now(self) -> float:
        """Milliseconds from the start of the attempt."""
        return (self.clock.seconds() - self._began) * 1000


_PROGRESS_WORDS: Final = {
    ProbeStage.PROXY: "asking the proxy",
    ProbeStage.NEGOTIATION: "negotiating",
    ProbeStage.HANDSHAKE: "shaking hands",
}

_EVENT_HANDLERS: Final = {
    Step.TRYING: ProbeRecorder._trying,
    Step.FAILED: ProbeRecorder._address_failed,
    Step.CONNECTED: ProbeRecorder._address_connected,
    Step.PROXIED: ProbeRecorder._proxied,
    Step.NEGOTIATED: ProbeRecorder._negotiated,
    Step.REFUSED: ProbeRecorder._refused,
}


def _plaintext_hint(url: TransportURL, received: bytes) -> str:
    """For a connection in the clear: which protocol the peer speaks, and its URL with TLS."""
    if SCHEMES[url.scheme].is_local:
        return ""
    known = recognise_plaintext(received, Side.CLIENT, url.port)
    if known is None:
        return ""
    secure = evolve(url, scheme="tls", options=())
    return f"The peer is {known.match.who}. {remedy_at(known.diagnosis, secure.location)}"


def _tls_hint(url: TransportURL, answer: bytes) -> str:
    """For a connection in the clear to a peer that answers a ClientHello: the URL with TLS."""
    secure = evolve(url, scheme="tls")
    usual = USUAL_STARTTLS.get(url.port or 0)
    if usual is not None and is_alert(answer):
        # PostgreSQL 17, for one, speaks TLS at once to clients with the right ALPN only.
        secure = evolve(secure, options=(("starttls", usual), *url.options))
    return f"This port speaks TLS: probe {shlex.quote(secure.redacted())}"


def _usual_protocol_hint(url: TransportURL, error: BaseException) -> str:
    """The protocol that is usual at the port of a peer that sent nothing and left, or waits."""
    if not isinstance(error, (HandshakeFailed, TransportTimeout)) or error.received:
        return ""
    return _usual_hint(url) if error.cause in ("closed", "timeout") else ""


def _usual_hint(url: TransportURL) -> str:
    """The protocol that is usual at the port, and its URL with TLS; nothing for other ports."""
    name = USUAL_STARTTLS.get(url.port or 0)
    if name is None:
        return ""
    secure = url if SCHEMES[url.scheme].is_secure else evolve(url, scheme="tls")
    with_starttls = evolve(secure, options=(("starttls", name), *url.options))
    return (
        f"Port {url.port} is usually that of {name}, which begins in the clear: try "
        f"{with_starttls.redacted()} instead"
    )
