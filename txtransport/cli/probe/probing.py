"""Connects once, and reports what happened from the look-up to the peer's first byte.

The connection is what any other client of the same URL would make, no more:
nothing is tried without verification, and nothing is said to the peer beyond
what the URL asks for. `recorder` notes the steps on the way.

Two questions need a further connection: whether a session is resumed, and whether
a peer that was asked in the clear, and says nothing, waits for TLS (`hello`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from attrs import evolve
from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectingCancelledError
from twisted.internet.interfaces import IReactorTime

import txtransport
from txtransport import TransportURL
from txtransport.cli.probe.hello import answer_to_hello
from txtransport.cli.probe.protocol import connect_protocol
from txtransport.cli.probe.recorder import ProbeRecorder, ProgressCallback
from txtransport.cli.probe.report import FirstByte, ProbeReport
from txtransport.config.resolve import resolve
from txtransport.config.schemes import SCHEMES, Kind
from txtransport.connection.trace import Trace
from txtransport.endpoints.network_errors import diagnosis_of
from txtransport.errors import TransportUnavailable

__all__ = ["FIRST_BYTE", "HELLO_WAIT", "client_endpoint", "probe"]

FIRST_BYTE: Final = 1.0
"""Seconds to wait for the peer's first byte; many wait for the client's."""

HELLO_WAIT: Final = 5.0
"""Seconds at the most for a second connection and for the answer to a ClientHello."""


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
            resumed or, in the clear, if a silent peer speaks TLS.
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
    recorder.proxy = endpoint.config.proxy
    recorder.is_negotiated = "starttls" in {*dict(url.options), *options}
    recorder.begin()
    began = clock.seconds()
    try:
        protocol = await connect_protocol(endpoint, clock)
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
    if not is_again or not report.is_connected:
        return report
    if report.session is not None:
        on_progress("connecting again, to resume the session")
        return evolve(report, is_resumed=await _is_resumed(reactor, url, options))
    if not _may_wait_for_tls(url, first_byte):
        return report
    on_progress("asking whether the port speaks TLS")
    answer = await _answer_to_hello(reactor, url, options, clock.seconds() - began)
    return recorder.with_answer(report, answer)


def _may_wait_for_tls(url: TransportURL, first_byte: FirstByte) -> bool:
    """Whether a peer that was asked in the clear is at a port, and as silent as TLS is."""
    scheme = SCHEMES[url.scheme]
    return first_byte.is_silence and not scheme.is_secure and not scheme.is_local


def client_endpoint(
    reactor: object, url: TransportURL, options: Mapping[str, object], trace: Trace | None = None
) -> txtransport.ClientEndpoint:
    """`txtransport.client`, with options by name, as a command line has them.

    Args:
        reactor: Connects and keeps time.
        url: What to connect to.
        options: As for `txtransport.client`.
        trace: Is told of each step of an attempt.
    """
    keywords: dict[str, Any] = dict(options)
    return txtransport.client(reactor, url, trace=trace, **keywords)


async def _answer_to_hello(
    reactor: object, url: TransportURL, options: Mapping[str, object], spent: float
) -> bytes | None:
    """What a silent peer answers to a ClientHello, in what is left of ``timeout``.

    Args:
        reactor: Connects and keeps time.
        url: What was connected to.
        options: As for `txtransport.client`.
        spent: Seconds that the attempt has taken so far.

    Returns:
        As for `answer_to_hello`; None also when there is no time left.
    """
    timeout = resolve(url, options, "client", Kind.STREAM).deadlines.timeout
    seconds = min(timeout - spent, HELLO_WAIT)
    if seconds <= 0:
        return None
    in_url = tuple(option for option in url.options if option[0] != "timeout")
    given = {**options, "timeout": seconds}
    endpoint = client_endpoint(reactor, evolve(url, options=in_url), given)
    return await answer_to_hello(endpoint, cast(IReactorTime, reactor), url.name, seconds)


async def _is_resumed(
    reactor: object, url: TransportURL, options: Mapping[str, object]
) -> bool | None:
    """Whether a second connection resumes the session; None when it fails."""
    endpoint = client_endpoint(reactor, url, options)
    try:
        protocol = await connect_protocol(endpoint, cast(IReactorTime, reactor))
    except (CancelledError, ConnectingCancelledError):
        raise
    except Exception:
        # The report is about the first connection, which was made. That the
        # second failed does not say whether the session can be resumed.
        return None
    await protocol.disconnect()
    return protocol.session.resumed if protocol.session is not None else None
