"""Bytes arrive unchanged on every reactor, and nothing is left of a connection."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from tests import integrity

ROOT: Final = Path(__file__).parents[1]


class IntegrityTests(SynchronousTestCase):
    """The script, with little to do; ``.ci/run`` runs it with more."""

    def test_bytes_arrive_unchanged_and_nothing_is_left(self) -> None:
        """Random traffic arrives unchanged on each reactor, and 300 connections leave nothing."""
        done = subprocess.run(
            [sys.executable, "-m", "tests.integrity", "--mebibytes=8", "--connections=300"],
            cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        lines = done.stdout.splitlines()
        self.assertEqual(len(lines), len(integrity.REACTORS) * (len(integrity.KINDS) + 1))

    def test_bytes_that_were_not_sent_are_found(self) -> None:
        """A stream differs from another one in its first byte, and knows its end."""
        stream = integrity.Stream(7, 3_000_000)
        taken = [stream.take(size) for size in (1, 2_000_000, 10**7, 10**7, 10**7)]
        self.assertEqual(sum(map(len, taken)), 3_000_000)
        self.assertTrue(stream.is_over)
        again = stream.copy()
        while not again.is_over:
            again.take(999)
        self.assertEqual(again.digest.digest(), stream.digest.digest())
        self.assertNotEqual(integrity.Stream(8, 10).take(10), integrity.Stream(7, 10).take(10))
