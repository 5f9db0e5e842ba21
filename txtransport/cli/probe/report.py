"""What a probe saw, as values. How it came about or is shown is not known here."""

from __future__ import annotations

from enum import Enum
from typing import Final

from attrs import frozen

from txtransport import Session, TransportURL
from txtransport.config.schemes import SCHEMES
from txtransport.errors import Diagnosis
from txtransport.tls.certificate import CertificateSummary


class ProbeStage(Enum):
    """What an attempt spends its time with, in order; each ends at a step."""

    LOOK_UP = "look-up"
    CONNECT = "connect"
    NEGOTIATION = "negotiation"
    HANDSHAKE = "handshake"


_IN_THE_CLEAR: Final = (ProbeStage.LOOK_UP, ProbeStage.CONNECT)


class AddressOutcome(Enum):
    """How an address did."""

    CONNECTED = "connected"
    FAILED = "failed"
    GIVEN_UP = "given up"
    """Another was quicker, or the deadline passed."""


@frozen
class AddressResult:
    """One address that was tried.

    Attributes:
        host: The address, or a local socket's path.
        outcome: How it did.
        milliseconds: From its turn until then.
        diagnosis: Why it failed, or None.
    """

    host: str
    outcome: AddressOutcome
    milliseconds: float
    diagnosis: Diagnosis | None = None


@frozen
class StageTime:
    """The time of one stage.

    Attributes:
        stage: Which.
        begin: Milliseconds from the start of the attempt.
        end: The same.
    """

    stage: ProbeStage
    begin: float
    end: float

    @property
    def milliseconds(self) -> float:
        """How long it took."""
        return self.end - self.begin


@frozen
class FirstByte:
    """What the peer said of its own accord.

    Attributes:
        waited: Milliseconds from the end of the last stage until it said
            something, hung up, or was given up.
        data: The first bytes, 256 at the most; empty when there were none.
        is_goodbye: Whether it hung up without a word.
    """

    waited: float
    data: bytes = b""
    is_goodbye: bool = False


@frozen
class VersionResult:
    """What became of an offer of one version of TLS.

    Attributes:
        name: ``TLSv1.2``.
        is_accepted: Whether the peer went along, be it that we refused its
            certificate then.
        diagnosis: Why it is not connected, or None.
    """

    name: str
    is_accepted: bool
    diagnosis: Diagnosis | None = None


@frozen
class ProbeReport:
    """One probe.

    Attributes:
        transport: What was probed.
        addresses: Those that were tried, in order.
        spans: The stages that were begun; the last one may have failed.
        session: The TLS session, or None where there was none.
        chain: What the peer showed, leaf first, be it that it was refused.
        first_byte: What it said then; None without a connection.
        is_resumed: Whether a second connection took up the session of the
            first; None when there was none.
        diagnosis: Why it is not connected; None when it is.
        hint: What else the first bytes suggest, a sentence; or nothing.
        versions: What became of each version of TLS, if that was asked for.
    """

    url: TransportURL
    addresses: tuple[AddressResult, ...] = ()
    spans: tuple[StageTime, ...] = ()
    session: Session | None = None
    chain: tuple[CertificateSummary, ...] = ()
    first_byte: FirstByte | None = None
    is_resumed: bool | None = None
    diagnosis: Diagnosis | None = None
    hint: str = ""
    versions: tuple[VersionResult, ...] | None = None

    @property
    def is_connected(self) -> bool:
        """Whether there was a connection, and the peer did not take it back."""
        return self.diagnosis is None

    @property
    def is_verified(self) -> bool:
        """Whether it is connected, and the peer proved to be who it must be."""
        return self.is_connected and self.session is not None and self.session.verified

    @property
    def failed_stage(self) -> ProbeStage | None:
        """Where it came to an end, or None when it did not."""
        return self.spans[-1].stage if self.spans and not self.is_connected else None

    @property
    def is_silent(self) -> bool:
        """Whether no one was there: it did not even come to a connection."""
        return self.failed_stage in _IN_THE_CLEAR

    @property
    def milliseconds(self) -> float:
        """How long it took to be connected, or to fail."""
        return self.spans[-1].end if self.spans else 0.0


@frozen
class Survey:
    """What answers at the usual ports of a host.

    Attributes:
        host: Which.
        answering: The probes of those that answered, in the order of the table.
        silent: The URLs at which no one answered.
        diagnosis: Why none could be tried, or None.
    """

    host: str
    answering: tuple[ProbeReport, ...] = ()
    silent: tuple[TransportURL, ...] = ()
    diagnosis: Diagnosis | None = None

    @property
    def working(self) -> tuple[ProbeReport, ...]:
        """Those that are connected and verified."""
        return tuple(report for report in self.answering if report.is_verified)

    @property
    def failing(self) -> tuple[ProbeReport, ...]:
        """The others, where no other way works at the same port."""
        ports = {report.url.port for report in self.working}
        return tuple(
            report
            for report in self.answering
            if not report.is_verified and report.url.port not in ports
        )


def stages_of(url: TransportURL, is_negotiated: bool) -> tuple[ProbeStage, ...]:
    """The stages of an attempt.

    Args:
        transport: What is probed.
        is_negotiated: Whether a dialogue comes before TLS.
    """
    if not SCHEMES[url.scheme].is_secure:
        return _IN_THE_CLEAR
    dialogue = (ProbeStage.NEGOTIATION,) if is_negotiated else ()
    return (*_IN_THE_CLEAR, *dialogue, ProbeStage.HANDSHAKE)
