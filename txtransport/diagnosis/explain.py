"""Explains the error lines of any tool.

`explain` searches a text for the known lines of ``diagnosis/tools`` and adds the names,
hosts and ports that the text has. `clues` is for texts without a known line: it lists
what can be read out of them all the same.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator
from typing import Final

from attrs import evolve, frozen

from txtransport.config.policy import Side
from txtransport.diagnosis.banners import recognise_plaintext
from txtransport.diagnosis.error_line import (
    ErrorCode,
    HostAndPort,
    error_codes,
    hosts_and_ports,
    normalize,
    one_line,
    tool_of,
)
from txtransport.diagnosis.rule import Rule
from txtransport.diagnosis.tools.advice import in_tool
from txtransport.diagnosis.tools.alerts import ALERTS_OF_PEER
from txtransport.diagnosis.tools.certificates import CERTIFICATES
from txtransport.diagnosis.tools.configuration import CONFIGURATION
from txtransport.diagnosis.tools.disconnects import DISCONNECTS
from txtransport.diagnosis.tools.mismatch import MISMATCHES
from txtransport.diagnosis.tools.plaintext import PLAINTEXT
from txtransport.diagnosis.tools.row import KnownWords
from txtransport.diagnosis.tools.vague import VAGUE
from txtransport.errors import Diagnosis
from txtransport.starttls.protocols import STARTTLS_PROTOCOLS
from txtransport.text import short_text

__all__ = ["ALL_ROWS", "SPECIFIC", "KnownLine", "clues", "explain"]

SPECIFIC: Final = (
    *CERTIFICATES,
    *PLAINTEXT,
    *ALERTS_OF_PEER,
    *MISMATCHES,
    *CONFIGURATION,
    *DISCONNECTS,
)
"""The rules whose lines name a reason, the most specific first."""

ALL_ROWS: Final = (*SPECIFIC, *VAGUE)
"""Those, and then the rules whose lines say only that something failed."""

_MAX_LINES: Final = 8


@frozen
class KnownLine:
    """A known line that was found in a text.

    Attributes:
        tool: The tool that printed it; OpenSSL when nothing shows which tool passed
            OpenSSL's words on.
        words: The part of the line that is known, printable, 200 characters at the most.
        diagnosis: What the words mean, whose fault it usually is, what to do.
        in_tool: The tool's own option for what the remedy says, or an empty text.
    """

    tool: str
    words: str
    diagnosis: Diagnosis
    in_tool: str = ""


def explain(text: str) -> list[KnownLine]:
    """Find the known lines in a text.

    Args:
        text: Of any length and content; its first 64 Ki characters are read.

    Returns:
        The known lines, the most specific first, 8 at the most; a line that says only
        that something failed is returned when there is no other.
    """
    line = one_line(text)
    # A program that has not loaded OpenSSL's words prints its codes alone: add the words.
    words = "".join(f" {code.reason}" for code in error_codes(line) if code.reason)
    searched = normalize(f"{line}{words}")
    found = _found(SPECIFIC, searched) or _found(VAGUE, searched)[:1]
    named, tool = hosts_and_ports(line), tool_of(searched)
    return [_known_line(rule, match, f"{line}{words}", tool, named) for rule, match in found]


def clues(text: str) -> tuple[str, ...]:
    """What can be read out of a text that has no known line.

    Args:
        text: Of any length and content; its first 64 Ki characters are read.

    Returns:
        A phrase for each fact: a server's greeting, OpenSSL's codes, hosts with a
        port, the tool.
    """
    return (*_clues(one_line(text)),)


def _clues(line: str) -> Iterator[str]:
    greeting = recognise_plaintext(line[:64].encode("ascii", "replace"), Side.CLIENT, None)
    if greeting is not None:
        yield f"it begins like {greeting.match.who}: {greeting.diagnosis.remedy}"
    yield from map(_code_in_words, error_codes(line))
    for host_and_port in hosts_and_ports(line):
        yield f"the place {host_and_port}"
    tool = tool_of(normalize(line))
    if tool is not None:
        yield f"the words look like those of {tool}"


def _code_in_words(code: ErrorCode) -> str:
    words = code.reason or f"openssl errstr {code.text} has its words"
    return f"the code {code.text} of OpenSSL: {words}"


def _found(
    rules: Iterable[Rule[KnownWords]], searched: str
) -> list[tuple[Rule[KnownWords], re.Match[str]]]:
    """The rules that match, each with its match.

    No summary is found twice, and no part of the text counts for two rules: a rule for
    long words stands before one for short words that the long ones contain.
    """
    found: dict[str, tuple[Rule[KnownWords], re.Match[str]]] = {}
    for rule in rules:
        summary = rule.diagnosis.summary
        match = _search(rule.match.pattern, searched) if summary not in found else None
        if match is None or any(_overlap(match, other) for _, other in found.values()):
            continue
        found[summary] = (rule, match)
        if len(found) == _MAX_LINES:
            break
    return [*found.values()]


def _overlap(one: re.Match[str], other: re.Match[str]) -> bool:
    return one.start() < other.end() and other.start() < one.end()


def _search(pattern: str, searched: str) -> re.Match[str] | None:
    return _compiled(pattern).search(searched)


@functools.cache
def _compiled(pattern: str) -> re.Pattern[str]:
    # Compiled when it is first needed: importing this costs nothing.
    return re.compile(pattern)


def _known_line(
    rule: Rule[KnownWords],
    match: re.Match[str],
    line: str,
    tool: str | None,
    named: tuple[HostAndPort, ...],
) -> KnownLine:
    # Other tools pass OpenSSL's words on; then the rest of the line tells which tool it was.
    whose = (tool or rule.match.tool) if rule.match.tool == "OpenSSL" else rule.match.tool
    general = rule.diagnosis
    diagnosis = evolve(
        general,
        summary=general.summary[0].upper() + general.summary[1:],
        evidence=tuple(_evidence(match, named)),
        remedy=". ".join([*_urls_for(general.cause, named), general.remedy]),
    )
    words = short_text(line[slice(*match.span())])
    return KnownLine(whose, words, diagnosis, in_tool(general.remedy, whose))


def _evidence(match: re.Match[str], named: tuple[HostAndPort, ...]) -> Iterator[str]:
    groups = match.groupdict()
    if groups.get("wanted"):
        yield f"asked for: {short_text(groups['wanted'].rstrip('.'))}"
    if groups.get("names"):
        yield f"the certificate is for: {short_text(groups['names'])}"
    for host_and_port in named:
        yield f"at {host_and_port}"


# --- the URL to use ----------------------------------------------------------------

# By port; of two protocols with the same port the first in the table is the more usual.
_PROTOCOLS: Final = {
    25: "smtp",
    **{row.port: row.name for row in reversed(STARTTLS_PROTOCOLS.values()) if row.port},
}


def _urls_for(cause: str, named: tuple[HostAndPort, ...]) -> Iterator[str]:
    """A sentence with the URL to use, for each port that usually begins in the clear."""
    if cause in ("plaintext-peer", "closed", "timeout"):
        for host_and_port in named:
            protocol = _PROTOCOLS.get(host_and_port.port)
            if protocol is not None:
                url = f"tls://{host_and_port}?starttls={protocol}"
                yield f"Use {url}: that port begins in the clear"
