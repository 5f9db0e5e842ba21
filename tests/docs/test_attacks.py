"""docs/attacks.md: each attack has tests, and the tests are there."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from tests.docs.pages import PAGES, ROOT

TEST: Final = re.compile(r"tests/[\w/]+\.py(?:::\w+){2}")
MOST: Final = 4
"""Tests of a row, at the most: typical ones, not all."""


def rows(page: str) -> Iterator[list[str]]:
    """The cells of each row of the page's tables, without the heads."""
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and cells[0] != "name" and set(cells[0]) != {"-"}:
            yield cells


@functools.cache
def defined_tests(path: str) -> frozenset[str]:
    """The tests that a file has, as ``Class::name``; those of base classes in it included."""
    classes = {
        node.name: node
        for node in ast.parse((ROOT / path).read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef)
    }
    return frozenset(
        f"{name}::{test}" for name, made in classes.items() for test in _tests(made, classes)
    )


def _tests(made: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> Iterator[str]:
    functions = (n for n in made.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))
    yield from (n.name for n in functions if n.name.startswith("test_"))
    for base in made.bases:
        if isinstance(base, ast.Name) and base.id in classes:
            yield from _tests(classes[base.id], classes)


class AttacksTests(SynchronousTestCase):
    """The page's tables."""

    def setUp(self) -> None:
        """Read the page."""
        self.rows = [*rows(PAGES["attacks.md"].read_text(encoding="utf-8"))]

    def test_each_row_is_whole(self) -> None:
        """An attack has a name, what it does, where it was seen, and one to four tests."""
        self.assertGreater(len(self.rows), 60)
        for row in self.rows:
            self.assertEqual(len(row), 4, row[0])
            self.assertTrue(all(row), row[0])
            tests = row[3].split()
            self.assertTrue(all(map(TEST.fullmatch, tests)), row)
            self.assertTrue(1 <= len(tests) <= MOST, row[0])
            self.assertEqual(len({*tests}), len(tests), row[0])

    def test_no_name_is_there_twice(self) -> None:
        """A row can be referred to by its name."""
        names = [row[0] for row in self.rows]
        self.assertEqual(len({*names}), len(names))

    def test_each_test_exists(self) -> None:
        """What is said to hold an attack is a test of that file and class."""
        for row in self.rows:
            for test in row[3].split():
                path, _, name = test.partition("::")
                self.assertTrue((ROOT / path).is_file(), f"{row[0]}: {test}")
                self.assertIn(name, defined_tests(path), row[0])

    def test_a_test_that_is_missing_is_seen(self) -> None:
        """Names are looked up in the file's classes, and in no other place."""
        own = defined_tests("tests/docs/test_attacks.py")
        self.assertIn("AttacksTests::test_each_test_exists", own)
        self.assertNotIn("AttacksTests::setUp", own)
        self.assertNotIn("AttacksTests::test_none", own)
