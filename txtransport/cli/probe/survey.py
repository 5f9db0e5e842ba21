"""Probes a host without scheme and port at the usual ports, to find the URLs that work.

The candidates are every STARTTLS protocol, at its port for STARTTLS and at its
port for implicit TLS, the web, and other services whose ports have implicit TLS.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, cast

from attrs import frozen
from twisted.internet.defer import (
    CancelledError,
    DeferredSemaphore,
    FirstError,
    gatherResults,
)
from twisted.internet.error import ConnectingCancelledError

from txtransport import TransportURL
from txtransport.cli.probe.probing import client_endpoint, probe
from txtransport.cli.probe.recorder import ProgressCallback
from txtransport.cli.probe.report import ProbeReport, Survey
from txtransport.endpoints.network_errors import diagnosis_of
from txtransport.endpoints.resolve import resolve_addresses
from txtransport.starttls.protocols import STARTTLS_PROTOCOLS

__all__ = ["CANDIDATES", "FIRST_BYTE_WAIT", "MAX_CONNECTIONS", "TIMEOUT", "Candidate", "survey"]

MAX_CONNECTIONS: Final = 8
"""How many connections are open at the same time, at the most."""

TIMEOUT: Final = 5.0
"""Seconds for each connection, where the options have no ``timeout``."""

FIRST_BYTE_WAIT: Final = 0.5
"""Seconds in which a peer that is connected can still refuse (TLS 1.3, client certificates)."""


@frozen
class Candidate:
    """A usual port, and how TLS begins there.

    Attributes:
        protocol: The name of the application protocol, for people.
        port: Its usual port.
        starttls: The dialogue before TLS, or None for TLS from the start.
    """

    protocol: str
    port: int
    starttls: str | None = None

    def url_for(self, host: str) -> TransportURL:
        """The URL for it at that host."""
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
            # A client would have to pose as another domain's server.
            continue
        if protocol.port is not None:
            yield Candidate(protocol.name, protocol.port, protocol.name)
        if protocol.tls_port is not None:
            yield Candidate(protocol.name, protocol.tls_port)


CANDIDATES: Final = tuple(_candidates())
"""What is tried, unless `survey` is told otherwise."""


async def survey(
    reactor: object,
    host: str,
    options: Mapping[str, object],
    *,
    on_progress: ProgressCallback = lambda doing: None,
    candidates: Sequence[Candidate] = CANDIDATES,
) -> Survey:
    """Probe every candidate, `MAX_CONNECTIONS` at the same time.

    Args:
        reactor: Connects and keeps time.
        host: A name or an address.
        options: As for `txtransport.client`; without ``timeout`` each probe
            has `TIMEOUT` seconds, so that all of them end in a bounded time.
        on_progress: Is told what is going on.
        candidates: What is tried.

    Raises:
        InvalidTransport: The host is neither a name nor an address.
        InvalidOption: An option, or a file that it names, cannot be used.
    """
    options = {"timeout": TIMEOUT, **options}
    urls = [candidate.url_for(host) for candidate in candidates]
    # Raises for a wrong option, before anything is opened.
    endpoints = [client_endpoint(reactor, url, options) for url in urls]
    is_proxied = any(endpoint.config.proxy for endpoint in endpoints)
    if not is_proxied:
        on_progress(f"looking up {host}")
    if urls and not urls[0].is_literal and not is_proxied:
        # One look-up for all: a name that does not exist is reported once. A proxy may be
        # there so that the name is not looked up here.
        try:
            seconds = float(cast("float | str", options["timeout"]))
            await resolve_addresses(reactor, host, 0, "TCP", seconds=seconds, where=host)
        except (CancelledError, ConnectingCancelledError):
            raise
        except Exception as error:
            return Survey(host, diagnosis=diagnosis_of(error, host))
    reports = await _probe_all(reactor, urls, options, on_progress)
    return Survey(
        host,
        tuple(report for report in reports if not report.is_silent),
        tuple(report.url for report in reports if report.is_silent),
    )


async def _probe_all(
    reactor: object,
    urls: Sequence[TransportURL],
    options: Mapping[str, object],
    on_progress: ProgressCallback,
) -> list[ProbeReport]:
    semaphore = DeferredSemaphore(MAX_CONNECTIONS)
    done = 0

    async def probe_one(url: TransportURL) -> ProbeReport:
        nonlocal done
        report = await probe(reactor, url, options, wait=FIRST_BYTE_WAIT, is_again=False)
        done += 1
        on_progress(f"tried {done} of {len(urls)} ways")
        return report

    probes = [semaphore.run(probe_one, url) for url in urls]
    try:
        return await gatherResults(probes, consumeErrors=True)
    except FirstError as first:
        raise cast(Exception, first.subFailure.value) from first
    finally:
        # After an error, or when the survey is cancelled, no probe goes on.
        for each in probes:
            each.cancel()
