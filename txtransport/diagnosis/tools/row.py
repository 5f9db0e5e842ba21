"""What the rules of this folder match: words of a tool, as a pattern.

A pattern is searched in text as `txtransport.diagnosis.error_line.normalize` spells it:
lower case, blanks for underscores, one line. So ``CERT_HAS_EXPIRED`` and ``cert has
expired`` look alike, and one pattern is enough for all tools that pass OpenSSL's words
on. The text may be made to be slow to search, so no pattern has a repetition within a
repetition, nor a repetition without a bound.
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
        tool: The tool that prints them; ``OpenSSL`` also for tools that pass its words on.
        pattern: A regular expression over normalized text. Its groups ``wanted`` and
            ``names``, if it has them, are the name that was asked for and the names
            that the certificate is for.
    """

    tool: str
    pattern: str


def rows_for(diagnosis: Diagnosis, **patterns: str | tuple[str, ...]) -> Iterator[Rule[KnownWords]]:
    """Make a rule for each pattern of each tool, all with the same diagnosis.

    Args:
        diagnosis: What the words mean. Its summary is the rest of a sentence; its fault
            says whose fault it usually is.
        **patterns: By the tool's name, one pattern or several.
    """
    for tool, of_tool in patterns.items():
        for pattern in (of_tool,) if isinstance(of_tool, str) else of_tool:
            yield Rule(KnownWords(tool, pattern), diagnosis)
