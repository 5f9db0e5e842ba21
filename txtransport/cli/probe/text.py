"""The report of a probe for people: verdict, addresses, times, session and certificates."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from attrs import evolve

from txtransport import Session
from txtransport.cli.indented import INDENT, MIN_WIDTH, indented_lines, paragraphs
from txtransport.cli.probe.certificate_tree import chain_lines
from txtransport.cli.probe.report import (
    AddressOutcome,
    AddressResult,
    FirstByte,
    ProbeReport,
    ProbeStage,
    StageTime,
)
from txtransport.cli.probe.verdict import brief_lines, headline, verdict_lines, verdict_of
from txtransport.cli.terminal import TerminalStyle, wrap
from txtransport.config.schemes import BROKEN_VERSIONS
from txtransport.text import escape_bytes, escape_text

__all__ = ["as_text"]


def as_text(
    report: ProbeReport, style: TerminalStyle, now: datetime, *, is_brief: bool = False
) -> str:
    """The report, as lines that fit the terminal.

    Args:
        report: What the probe saw.
        style: What the terminal can show.
        now: From which the days until a certificate's end are counted.
        is_brief: Whether to write the verdict alone, three lines at the most.

    Returns:
        Lines, each with its ending, the last one too.
    """
    style = evolve(style, width=max(style.width, MIN_WIDTH))
    found, url = verdict_of(report, now), report.url.redacted()
    if is_brief:
        return paragraphs([[*brief_lines(url, found, style)]])
    return paragraphs(
        [
            [*verdict_lines(report, style, now)],
            [*_addresses(report, style)],
            [*_timeline(report, style)],
            [*_session(report, style)],
            [*_versions(report, style)],
            [*chain_lines(report, style, now)],
            # Once more, as the first lines may have left the screen.
            [*headline(url, found, style)],
        ]
    )


def _addresses(report: ProbeReport, style: TerminalStyle) -> Iterator[str]:
    if not report.addresses:
        return
    title = f"addresses of the proxy {report.proxy}" if report.proxy else "addresses"
    for line in wrap(escape_text(title), style.width):
        yield style.painted(line, "heading")
    column = max(len(address.host) for address in report.addresses)
    for address in report.addresses:
        text = f"{escape_text(address.host):{column}}  {_result(address)}"
        yield from indented_lines(text, style, _COLOUR_OF_ADDRESS[address.outcome])


_COLOUR_OF_ADDRESS: Final = {
    AddressOutcome.CONNECTED: None,
    AddressOutcome.FAILED: "doubtful",
    AddressOutcome.GIVEN_UP: "aside",
}


def _result(address: AddressResult) -> str:
    why = f": {address.diagnosis.summary}" if address.diagnosis is not None else ""
    return f"{address.outcome.value} after {_time(address.milliseconds)}{why}"


_MIN_BAR_WIDTH: Final = 8


def _timeline(report: ProbeReport, style: TerminalStyle) -> Iterator[str]:
    """The stages, each with a bar from where it begins to where it ends."""
    spans = [
        span
        for span in report.spans
        if span.stage is not ProbeStage.LOOK_UP or not _is_literal(report)
    ]
    if not spans:
        return
    yield style.painted("time", "heading")
    # Never 0, by which the bars would divide.
    total = max(report.milliseconds, 0.001)
    label = max(len("first byte"), *(len(span.stage.value) for span in spans))
    number = max(len(_time(span.milliseconds)) for span in spans)
    # What is left for the bars.
    width = style.width - len(INDENT) * 3 - label - number
    for span in spans:
        failed = report.failed_stage is span.stage
        bar = _bar(span, total, width, style)
        line = f"{INDENT}{span.stage.value:{label}}{INDENT}{_time(span.milliseconds):>{number}}"
        line = f"{line}{INDENT}{bar}".rstrip()
        yield style.painted(line, "bad") if failed else line
    if report.first_byte is not None:
        yield from indented_lines(
            f"{'first byte':{label}}  {_first_byte(report.first_byte)}", style
        )


def _is_literal(report: ProbeReport) -> bool:
    """Whether there was nothing to look up: the URL has an address or a path."""
    return not report.proxy and (report.url.is_literal or bool(report.url.path))


def _bar(span: StageTime, total: float, width: int, style: TerminalStyle) -> str:
    if width < _MIN_BAR_WIDTH:
        return ""
    begin = min(int(span.begin / total * width), width - 1)
    length = max(1, round(span.milliseconds / total * width))
    return " " * begin + style.bar * min(length, width - begin)


def _first_byte(first: FirstByte) -> str:
    if first.data:
        return f"{_time(first.waited)}: {escape_bytes(first.data)}"
    if first.is_goodbye:
        return f"none: the peer hung up after {_time(first.waited)}"
    return f"none within {_time(first.waited)}; many servers wait for the client"


def _time(milliseconds: float) -> str:
    if milliseconds >= 1000:
        return f"{milliseconds / 1000:.2f} s"
    return f"{milliseconds:.1f} ms"


def _session(report: ProbeReport, style: TerminalStyle) -> Iterator[str]:
    session = report.session
    if session is None:
        return
    yield style.painted("session", "heading")
    rows = [*_facts(session), ("resumption", _RESUMED[report.is_resumed])]
    column = max(len(name) for name, _ in rows)
    for name, value in rows:
        colour = "bad" if value in BROKEN_VERSIONS else None
        yield from indented_lines(f"{name:{column}}  {value}", style, colour)


_RESUMED: Final = {
    True: "yes, on a second connection",
    False: "no: a second connection began anew",
    None: "not tried",
}


def _facts(session: Session) -> Iterator[tuple[str, str]]:
    yield "version", session.version
    yield "cipher", f"{session.cipher}, {session.bits} bits"
    yield "group", session.group or "none known"
    yield "ALPN", session.alpn_protocol or "none agreed on"
    yield "SNI", session.server_name or "none sent"


def _versions(report: ProbeReport, style: TerminalStyle) -> Iterator[str]:
    if not report.versions:
        return
    yield style.painted("versions", "heading")
    for version in report.versions:
        text = "accepted" if version.is_accepted else "refused"
        if version.diagnosis is not None:
            text += f" ({version.diagnosis.cause}): {version.diagnosis.summary}"
        is_broken = version.name in BROKEN_VERSIONS
        accepted = "bad" if is_broken else None
        colour = accepted if version.is_accepted else "aside"
        yield from indented_lines(f"{version.name}  {text}", style, colour)
