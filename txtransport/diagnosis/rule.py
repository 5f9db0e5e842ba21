"""The row that all tables of failures are made of.

A table is a tuple of rules, the most telling first. What a rule matches is the
table's own affair (a number, OpenSSL's words, a pattern over bytes or text, a
class of exceptions); what it means is always a `Diagnosis`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Generic, TypeVar

from attrs import frozen

from txtransport.errors import Diagnosis

__all__ = ["Rule", "first_match", "indexed"]

Match = TypeVar("Match")
Key = TypeVar("Key", bound=Hashable)


@frozen
class Rule(Generic[Match]):
    """What is looked for, and what it means.

    Attributes:
        match: What the table compares with what was seen.
        diagnosis: Why it failed, whose fault it is, and what to do.
    """

    match: Match
    diagnosis: Diagnosis


def first_match(
    rules: Iterable[Rule[Match]], fits: Callable[[Match], object]
) -> Rule[Match] | None:
    """The first rule of a table that fits what was seen, or None.

    Args:
        rules: The table.
        fits: Is asked with the match of one rule after the other.
    """
    return next((rule for rule in rules if fits(rule.match)), None)


def indexed(rules: Iterable[Rule[Key]]) -> Mapping[Key, Diagnosis]:
    """A table whose matches are compared for equality, as a mapping.

    Args:
        rules: The table; each match stands in it once.
    """
    return {rule.match: rule.diagnosis for rule in rules}
