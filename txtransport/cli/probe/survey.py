"""A host without scheme and port: which of the usual ways in does it answer?

The table has every protocol that switches to TLS, at its port for that and at
its port with TLS from the start, and the ports of the web and of what else has
TLS from the start.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, cast

from attrs import frozen
from twisted.internet.defer import (
    CancelledError,
    DeferredSemaphore,
    FirstError,
    gatherResults,
)
from twisted.internet.error import ConnectingCancelledError

import txtransport
from txtransport import TransportURL
from txtransport.cli.probe.probing import Progress, probe
from txtransport.cli.probe.report import ProbeReport, Survey
from txtransport.endpoints.network_errors import diagnosis_of
from txtransport.endpoints.resolve import resolve_addresses
from txtransport.starttls.protocols import STARTTLS_PROTOCOLS

AT_ONCE: Final = 8
"""Connections that are open at the same time."""

EACH: Final = 5.0
"""Seconds for each way."""


SETTLED: Final = 0.5
"""Seconds in which a peer can take back what it has accepted (TLS 1.3, client certificates)."""


@frozen
class Candidate:
    """One way in.

    Attributes:
        protocol: Whose it is, for people.
        port: The usual one.
        starttls: The dialogue before TLS, or None for TLS from the start.
    """

    protocol: str
    port: int
    starttls: str | None = None

    def url_for(self, host: str) -> TransportURL:
        """The transport that leads there."""
        options = () if self.starttls is None else (("starttls", self.starttls),)
        return TransportURL("tls", host, self.port, options=options)


_MORE: Final = (
    Candidate("https", 443),
    Candidate("https", 8443),
    Candidate("smtp", 25, "smtp"),
    Candidate("ldap (global catalogue)", 3269),
    Candidate("redis", 6379),
    Candidate("mongodb", 27017),
    Candidate("dns", 853),
    Candidate("mqtt", 8883),
)


def _candidates() -> Iterator[Candidate]:
    yield from _MORE
    for protocol in STARTTLS_PROTOCOLS.values():
        if protocol.is_between_servers:
            # It would have to speak for a domain.
            continue
        if protocol.port is not None:
            yield Candidate(protocol.name, protocol.port, protocol.name)
        if protocol.tls_port is not None:
            yield Candidate(protocol.name, protocol.tls_port)


CANDIDATES: Final = tuple(_candidates())
"""Every way that is tried."""


async def survey(
    reactor: Any,
    host: str,
    options: Mapping[str, Any],
    *,
    told: Progress = lambda doing: None,
    ways: Sequence[Candidate] = CANDIDATES,
) -> Survey:
    """Try every way, `AT_ONCE` at the same time.

    Args:
        reactor: Connects and keeps time.
        host: A name or an address.
        options: As for `txtransport.client`; without ``timeout`` each way has
            `EACH` seconds, so that all of them end in a bounded time.
        told: Is told what is going on.
        ways: What is tried.

    Raises:
        InvalidTransport: The host is none.
        InvalidOption: An option, or a file that it names, cannot be used.
    """
    options = {"timeout": EACH, **options}
    there = [way.url_for(host) for way in ways]
    for url in there:
        # What is wrong with an option is said before anything is opened.
        txtransport.client(reactor, url, **options)
    told(f"looking up {host}")
    if there and not there[0].is_literal:
        try:
            seconds = float(options["timeout"])
            await resolve_addresses(reactor, host, 0, "TCP", seconds=seconds, where=host)
        except (CancelledError, ConnectingCancelledError):
            raise
        except Exception as error:
            return Survey(host, diagnosis=diagnosis_of(error, host))
    reports = await _all(reactor, there, options, told)
    return Survey(
        host,
        tuple(report for report in reports if not report.is_silent),
        tuple(report.url for report in reports if report.is_silent),
    )


async def _all(
    reactor: Any, there: Sequence[TransportURL], options: Mapping[str, Any], told: Progress
) -> list[ProbeReport]:
    turns = DeferredSemaphore(AT_ONCE)
    done = 0

    async def one(url: TransportURL) -> ProbeReport:
        nonlocal done
        report = await probe(reactor, url, options, wait=SETTLED, is_again=False)
        done += 1
        told(f"tried {done} of {len(there)} ways")
        return report

    probing = [turns.run(one, url) for url in there]
    try:
        return await gatherResults(probing, consumeErrors=True)
    except FirstError as first:
        raise cast(Exception, first.subFailure.value) from first
    finally:
        # When one is at fault, or all were given up, none goes on.
        for each in probing:
            each.cancel()
