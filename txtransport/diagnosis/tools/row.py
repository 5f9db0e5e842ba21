"""A row of the tables of known lines.

Its pattern is over text as `txtransport.diagnosis.error_line.normalize` spells it: lower
case, blanks for underscores, one line. So ``CERT_HAS_EXPIRED`` and ``certificate has
expired`` look alike, and one pattern serves all tools that pass OpenSSL's words on. No
pattern has a repetition within a repetition, nor one without a bound.
"""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

from txtransport.diagnosis.rule import Rule
from txtransport.errors import Diagnosis

__all__ = ["KnownWords", "rows_for"]


@frozen
class KnownWords:
    """Words by which a tool says that something failed.

    Attributes:
        tool: Whose words they are.
        pattern: A regular expression over normalized text. Its groups ``wanted`` and
            ``names``, if it has them, are the name that was asked for and those
            that the certificate is for.
    """

    tool: str
    pattern: str


def rows_for(diagnosis: Diagnosis, **patterns: str | tuple[str, ...]) -> Iterator[Rule[KnownWords]]:
    """One rule for each way in which a tool says it.

    Args:
        diagnosis: What the words mean. Its summary is the rest of a sentence; its fault
            is whose it usually is.
        **patterns: Each tool's pattern or patterns.
    """
    for tool, ways in patterns.items():
        for pattern in (ways,) if isinstance(ways, str) else ways:
            yield Rule(KnownWords(tool, pattern), diagnosis)
