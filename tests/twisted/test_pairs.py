"""Which test cases there are, and that each reason for a skip is one of something."""

from __future__ import annotations

from typing import Any, Final

from twisted.python.runtime import platform
from twisted.trial.unittest import SynchronousTestCase

from tests.twisted import test_clients, test_connections, test_ports, test_writing
from tests.twisted.pairs import PAIRS, SKIPS

MODULES: Final = (test_clients, test_connections, test_ports, test_writing)

REACTORS: Final = (
    ("AsyncioSelector", "EPoll", "Poll", "Select", "ThreadedSelect")
    if platform.isLinux()
    else ("Select",)
)
"""Reactors that every machine has; others are used where they can be imported."""


class PairsTests(SynchronousTestCase):
    """The test cases that were made of pairs and reactors."""

    def setUp(self) -> None:
        self.cases: list[tuple[str, Any]] = [
            (name, case)
            for module in MODULES
            for name, case in vars(module).items()
            if name.endswith("ReactorTests")
        ]

    def test_each_pair_is_tested_with_each_reactor(self) -> None:
        """A reactor that cannot be imported is left out, but none that must be there."""
        for module in MODULES:
            for pair in PAIRS:
                for reactor in REACTORS:
                    found = [
                        name
                        for name, case in self.cases
                        if case.__module__ == module.__name__
                        and case.pair is pair
                        and name.endswith(f"_{reactor}ReactorTests")
                    ]
                    self.assertEqual(len(found), 1, (module, pair.name, reactor))

    def test_each_skip_is_of_something(self) -> None:
        """The tests and the pairs that a reason names are there."""
        for row in SKIPS:
            for test in row.tests:
                skipped = {
                    case.pair.name
                    for _, case in self.cases
                    if getattr(getattr(case, test, None), "skip", None) == row.reason
                }
                self.assertEqual(skipped, row.pairs, test)
