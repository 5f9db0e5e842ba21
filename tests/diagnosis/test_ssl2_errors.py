"""The table of failures of SSL 2.0."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import txtransport.tls.legacy
from txtransport.diagnosis.openssl_errors import OF_REASON, REASON_RULES
from txtransport.diagnosis.ssl2_errors import SSL2_RULES

ELSEWHERE = {
    "certificate verify failed",  # what verification found is told instead
    "internal error",  # an exception, which is raised
    "protocol is shutdown",
    "uninitialized",  # after the handshake, or before any
}


def reasons() -> Iterator[str]:
    """What the engine of SSL 2.0 says in `SSL2Error`, as far as it is written there."""
    (folder,) = txtransport.tls.legacy.__path__
    for path in Path(folder).glob("ssl2*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in _RAISED:
                for part in ast.walk(node):
                    if (
                        isinstance(part, ast.Constant)
                        and isinstance(part.value, str)
                        and part.value
                    ):
                        yield part.value


_RAISED = {"SSL2Error", "super().__init__"}


class TableTests(SynchronousTestCase):
    """The rules and the engine fit."""

    def test_every_reason_of_the_engine_is_explained(self) -> None:
        """A failure of SSL 2.0 has a cause and a remedy, whatever it is."""
        found = set(reasons())
        self.assertGreater(len(found), 15)
        self.assertEqual(found - set(OF_REASON) - ELSEWHERE, set())

    def test_no_reason_of_tls_is_explained_as_one_of_ssl_2(self) -> None:
        """The two tables have nothing in common."""
        self.assertFalse(
            {rule.match for rule in SSL2_RULES} & {rule.match for rule in REASON_RULES}
        )
