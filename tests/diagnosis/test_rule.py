"""Rules: the first that fits counts, and a table can be read as a mapping."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txtransport.diagnosis.rule import Rule, first_match, indexed
from txtransport.errors import Diagnosis

NARROW = Rule("abc", Diagnosis("narrow", "it is abc"))
WIDE = Rule("a", Diagnosis("wide", "it begins with a"))


class RuleTests(SynchronousTestCase):
    """How tables of rules are read."""

    def test_the_first_rule_that_fits_counts(self) -> None:
        """Where several rules fit, the one that stands first in the table is found."""
        self.assertIs(first_match((NARROW, WIDE), "abcd".startswith), NARROW)
        self.assertIs(first_match((NARROW, WIDE), "axyz".startswith), WIDE)

    def test_where_no_rule_fits_there_is_none(self) -> None:
        """A failure that no rule fits gives None, and no guess."""
        self.assertIsNone(first_match((NARROW, WIDE), "b".startswith))
        self.assertIsNone(first_match((), "b".startswith))

    def test_a_table_can_be_read_as_a_mapping(self) -> None:
        """Where matches are compared for equality, each diagnosis is found by its match."""
        self.assertEqual(indexed((NARROW, WIDE)), {"abc": NARROW.diagnosis, "a": WIDE.diagnosis})
