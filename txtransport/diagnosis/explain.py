"""What an error line of any tool means.

`explain` searches a text for the known lines of ``diagnosis/tools`` and adds the names,
hosts and ports that stand in it. `clues` says what can be read out of a text without any
known line.
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
"""The rows that name a reason, the one that says most first."""


ALL_ROWS: Final = (*SPECIFIC, *VAGUE)

_MOST: Final = 8


@frozen
class KnownLine:
    """A known line that stands in a text.

    Attributes:
        tool: Whose line it is, as far as it shows.
        words: The words that are known, printable, 200 characters at the most.
        diagnosis: What they mean, whose fault it usually is, what to do.
        in_tool: How the tool itself is told that, or nothing.
    """

    tool: str
    words: str
    diagnosis: Diagnosis
    in_tool: str = ""


def explain(text: str) -> list[KnownLine]:
    """The known lines in a text, the most telling first.

    A line that only says that something failed counts where there is no other.

    Args:
        text: Of any length and content; its first 64 KiB are read.
    """
    line = one_line(text)
    # A code without its words, as from a program that has not loaded them.
    words = "".join(f" {code.reason}" for code in error_codes(line) if code.reason)
    searched = normalize(f"{line}{words}")
    found = _found(SPECIFIC, searched) or _found(VAGUE, searched)[:1]
    named, tool = hosts_and_ports(line), tool_of(searched)
    return [_known_line(rule, match, f"{line}{words}", tool, named) for rule, match in found]


def clues(text: str) -> tuple[str, ...]:
    """What can be read out of a text without a known line, a line each.

    Args:
        text: Of any length and content; its first 64 KiB are read.
    """
    line = one_line(text)
    plain = recognise_plaintext(line[:64].encode("ascii", "replace"), Side.CLIENT, None)
    return (
        *([f"it begins like {plain.match.who}: {plain.diagnosis.remedy}"] if plain else ()),
        *(_code(code.text, code.reason) for code in error_codes(line)),
        *(f"the place {place}" for place in hosts_and_ports(line)),
        *([f"the words look like those of {who}"] if (who := tool_of(normalize(line))) else ()),
    )


def _code(text: str, reason: str | None) -> str:
    return f"the code {text} of OpenSSL: {reason or f'openssl errstr {text} has its words'}"


def _found(
    rules: Iterable[Rule[KnownWords]], searched: str
) -> list[tuple[Rule[KnownWords], re.Match[str]]]:
    """The rules that match, one for each meaning and for each part of the text."""
    found: dict[str, tuple[Rule[KnownWords], re.Match[str]]] = {}
    for rule in rules:
        meaning = rule.diagnosis.summary
        match = _search(rule.match.pattern, searched) if meaning not in found else None
        if match is None or any(_overlap(match, other) for _, other in found.values()):
            continue
        found[meaning] = (rule, match)
        if len(found) == _MOST:
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
    # OpenSSL's words are passed on by other tools.
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
    for place in named:
        yield f"at {place}"


# --- the URL to use ----------------------------------------------------------------

# Of two protocols that share a port the first is the more usual.
_PROTOCOLS: Final = {
    25: "smtp",
    **{row.port: row.name for row in reversed(STARTTLS_PROTOCOLS.values()) if row.port},
}


def _urls_for(cause: str, named: tuple[HostAndPort, ...]) -> Iterator[str]:
    """The URL to use, where a host and port was named that usually begins in the clear."""
    if cause in ("plaintext-peer", "closed", "timeout"):
        for place in named:
            protocol = _PROTOCOLS.get(place.port)
            if protocol is not None:
                yield f"Use tls://{place}?starttls={protocol}: that port begins in the clear"
