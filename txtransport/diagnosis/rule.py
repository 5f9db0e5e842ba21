"""One row of a table of known failures, and two ways to search such a table.

A table is a tuple of rules, the most specific first. Each table chooses what its
rules match (a number, OpenSSL's words, a pattern over bytes or text, a class of
exceptions); what a rule means is always a `Diagnosis`.
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
    """What a failure looks like, and what it means.

    Attributes:
        match: What is compared with the failure at hand; the table says how.
        diagnosis: Why it failed, whose fault it is, and what to do.
    """

    match: Match
    diagnosis: Diagnosis


def first_match(
    rules: Iterable[Rule[Match]], fits: Callable[[Match], object]
) -> Rule[Match] | None:
    """The first rule of a table whose match fits the failure at hand.

    Args:
        rules: The table.
        fits: Called with each rule's match; whether that match fits.

    Returns:
        The rule, or None when no rule fits.
    """
    return next((rule for rule in rules if fits(rule.match)), None)


def indexed(rules: Iterable[Rule[Key]]) -> Mapping[Key, Diagnosis]:
    """A table as a mapping, for matches that are compared for equality.

    Args:
        rules: The table, in which no match may stand twice.

    Returns:
        Each rule's diagnosis by its match.
    """
    return {rule.match: rule.diagnosis for rule in rules}
