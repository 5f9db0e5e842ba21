"""A row of the tables of known lines.

Its pattern is over text as `txtransport.diagnosis.error_line.folded` spells it: lower case,
blanks for underscores, one line. So ``CERT_HAS_EXPIRED`` and ``certificate has
expired`` look alike, and one pattern serves all who pass OpenSSL's words on. No
pattern has a repetition within a repetition, nor one without a bound.
"""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

from txtransport.diagnosis.findings import Finding


@frozen
class Explanation:
    """What a line means.

    Attributes:
        pattern: A regular expression over folded text. Its groups ``wanted`` and
            ``names``, if it has them, are the name that was asked for and those
            that the certificate is for.
        tool: Whose words they are.
        meaning: What happened, the rest of a sentence.
        remedy: What to do, a sentence without its full stop.
        cause: One of `txtransport.errors.CAUSES` where one fits, or else a word
            like those of the other errors.
        fault: Whose it usually is, one of `txtransport.errors.FAULTS`.
        permanent: Whether trying again cannot help.
    """

    pattern: str
    tool: str
    meaning: str
    remedy: str
    cause: str
    fault: str = "peer"
    permanent: bool = True


def rows_for(finding: Finding, **patterns: str | tuple[str, ...]) -> Iterator[Explanation]:
    """One row for each way in which a tool says it.

    Args:
        finding: What it comes to.
        **patterns: Each tool's way or ways.
    """
    for tool, ways in patterns.items():
        for pattern in (ways,) if isinstance(ways, str) else ways:
            yield Explanation(
                pattern,
                tool,
                finding.text,
                finding.remedy,
                finding.cause,
                finding.fault,
                finding.permanent,
            )
