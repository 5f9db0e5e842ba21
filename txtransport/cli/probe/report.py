"""What a probe saw, as values, which know neither how they came about nor how to be shown."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import Final

from attrs import evolve, frozen

from txtransport import Session, TransportURL
from txtransport.config.schemes import SCHEMES
from txtransport.errors import Diagnosis
from txtransport.tls.certificate import CertificateSummary

__all__ = [
    "AddressOutcome",
    "AddressResult",
    "FirstByte",
    "ProbeReport",
    "ProbeStage",
    "StageTime",
    "Survey",
    "VersionResult",
    "stages_of",
]


class ProbeStage(Enum):
    """What a connection attempt spends its time with, in order."""

    LOOK_UP = "look-up"
    CONNECT = "connect"
    PROXY = "proxy"
    NEGOTIATION = "negotiation"
    HANDSHAKE = "handshake"


_IN_THE_CLEAR: Final = (ProbeStage.LOOK_UP, ProbeStage.CONNECT)
_BEFORE_PEER: Final = (*_IN_THE_CLEAR, ProbeStage.PROXY)
"""The stages in which the peer has said nothing."""


class AddressOutcome(Enum):
    """What happened to the attempt at one address."""

    CONNECTED = "connected"
    FAILED = "failed"
    GIVEN_UP = "given up"
    """Another address connected first, or the deadline passed."""


@frozen
class AddressResult:
    """One address that was tried.

    Attributes:
        host: The address, or a local socket's path.
        outcome: What happened there.
        milliseconds: From the start of the attempt there until the outcome.
        diagnosis: Why the attempt failed, or None.
    """

    host: str
    outcome: AddressOutcome
    milliseconds: float
    diagnosis: Diagnosis | None = None


@frozen
class StageTime:
    """When one stage began and ended.

    Attributes:
        stage: Which stage.
        begin: Milliseconds from the start of the attempt.
        end: Milliseconds from the start of the attempt.
    """

    stage: ProbeStage
    begin: float
    end: float

    @property
    def milliseconds(self) -> float:
        """How long the stage took."""
        return self.end - self.begin


@frozen
class FirstByte:
    """What the peer said of its own accord.

    Attributes:
        waited: Milliseconds from the end of the last stage until the peer sent
            something or hung up, or the time for it was over.
        data: The first bytes, 256 at the most; empty when there were none.
        is_goodbye: Whether the peer hung up without sending anything.
    """

    waited: float
    data: bytes = b""
    is_goodbye: bool = False

    @property
    def is_silence(self) -> bool:
        """Whether the peer neither sent anything nor hung up."""
        return not self.data and not self.is_goodbye


@frozen
class VersionResult:
    """Whether a peer accepts one version of TLS.

    Attributes:
        name: For example ``TLSv1.2``.
        is_accepted: Whether the peer chose the version, even if its
            certificate was refused afterwards.
        diagnosis: Why there was no connection, or None.
    """

    name: str
    is_accepted: bool
    diagnosis: Diagnosis | None = None


@frozen
class ProbeReport:
    """What a probe of one URL saw.

    Attributes:
        url: What was probed.
        addresses: Those that were tried, in order; with a proxy, its own.
        spans: The stages that were begun; the last one may have failed.
        session: The TLS session, or None where there was none.
        chain: The certificates that the peer sent, leaf first, even if they
            were refused.
        first_byte: What the peer said then; None without a connection.
        is_resumed: Whether a second connection resumed the session of the
            first; None when there was no second connection.
        speaks_tls: Whether a peer that was silent in the clear answered a
            ClientHello with TLS; None where none was sent.
        diagnosis: Why there is no connection; None when there is.
        hint: What the port or the first bytes suggest: a sentence without its
            full stop, or nothing.
        versions: Which versions of TLS the peer accepts; None when that was
            not asked for.
        chain_problems: What is wrong with the order of the certificates, a
            sentence each, without a full stop.
        warn_days: With how many days left, or more, a certificate is good
            enough; None when any is that has not expired.
        proxy: The proxies in between, without their secrets; empty if there are none.
    """

    url: TransportURL
    addresses: tuple[AddressResult, ...] = ()
    spans: tuple[StageTime, ...] = ()
    session: Session | None = None
    chain: tuple[CertificateSummary, ...] = ()
    first_byte: FirstByte | None = None
    is_resumed: bool | None = None
    speaks_tls: bool | None = None
    diagnosis: Diagnosis | None = None
    hint: str = ""
    versions: tuple[VersionResult, ...] | None = None
    chain_problems: tuple[str, ...] = ()
    warn_days: int | None = None
    proxy: str = ""

    def expiring(self, now: datetime) -> tuple[CertificateSummary, ...]:
        """The certificates that have too few days left, those with the fewest first.

        All that the peer has sent count: when an intermediate expires, the leaf is of no
        use either.

        Args:
            now: The present, in UTC.
        """
        least = self.warn_days
        found = [each for each in self.chain if least is not None and each.days_left(now) < least]
        return tuple(sorted(found, key=lambda each: each.not_after))

    def is_good(self, now: datetime) -> bool:
        """Whether the peer is verified, and all its certificates have enough days left.

        Args:
            now: The present, in UTC.
        """
        return self.is_verified and not self.expiring(now)

    @property
    def is_connected(self) -> bool:
        """Whether there was a connection, and the peer did not refuse it afterwards."""
        return self.diagnosis is None

    @property
    def is_verified(self) -> bool:
        """Whether there was a connection with TLS, and the peer was verified."""
        return self.is_connected and self.session is not None and self.session.verified

    @property
    def failed_stage(self) -> ProbeStage | None:
        """The stage that failed, or None when none did."""
        return self.spans[-1].stage if self.spans and not self.is_connected else None

    @property
    def is_silent(self) -> bool:
        """Whether the attempt failed before there was a connection."""
        return self.failed_stage in _BEFORE_PEER

    @property
    def milliseconds(self) -> float:
        """How long the attempt took to connect, or to fail."""
        return self.spans[-1].end if self.spans else 0.0


@frozen
class Survey:
    """What answers at the usual ports of a host.

    Attributes:
        host: A name or an address.
        answering: The reports of the candidates that answered, in their order.
        silent: The URLs at which nothing answered.
        diagnosis: Why nothing could be tried, or None.
    """

    host: str
    answering: tuple[ProbeReport, ...] = ()
    silent: tuple[TransportURL, ...] = ()
    diagnosis: Diagnosis | None = None

    @property
    def working(self) -> tuple[ProbeReport, ...]:
        """The reports of those that are connected and verified."""
        return tuple(report for report in self.answering if report.is_verified)

    def expiring(self, now: datetime) -> tuple[ProbeReport, ...]:
        """The reports of those that work with a certificate that has too few days left.

        Args:
            now: The present, in UTC.
        """
        return tuple(report for report in self.working if report.expiring(now))

    def is_good(self, now: datetime) -> bool:
        """Whether anything works, and no certificate of what works has too few days left.

        Args:
            now: The present, in UTC.
        """
        return bool(self.working) and not self.expiring(now)

    def with_warn_days(self, warn_days: int | None) -> Survey:
        """The same survey, with certificates measured by the days that they have left.

        Args:
            warn_days: As in `ProbeReport`.
        """
        return evolve(
            self, answering=tuple(evolve(each, warn_days=warn_days) for each in self.answering)
        )

    @property
    def failing(self) -> tuple[ProbeReport, ...]:
        """The reports of the others, unless another candidate works at the same port."""
        ports = {report.url.port for report in self.working}
        return tuple(
            report
            for report in self.answering
            if not report.is_verified and report.url.port not in ports
        )


def stages_of(
    url: TransportURL, *, is_negotiated: bool = False, is_proxied: bool = False
) -> tuple[ProbeStage, ...]:
    """The stages that an attempt goes through, in order.

    Args:
        url: What is probed.
        is_negotiated: Whether a STARTTLS dialogue comes before TLS.
        is_proxied: Whether there is a proxy in between.
    """
    clear = _BEFORE_PEER if is_proxied else _IN_THE_CLEAR
    if not SCHEMES[url.scheme].is_secure:
        return clear
    dialogue = (ProbeStage.NEGOTIATION,) if is_negotiated else ()
    return (*clear, *dialogue, ProbeStage.HANDSHAKE)
