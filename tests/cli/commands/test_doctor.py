"""``txtransport doctor``: the text, the JSON and the exit status for any results."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.cli.test_main import MainTestCase
from txtransport.cli import doctor
from txtransport.cli.doctor import CHECKS, CheckResult, Verdict, check_result

ROOT: Final = Path(__file__).resolve().parents[3]
FINE: Final = check_result(Verdict.OK, "all there")
ODD: Final = check_result(Verdict.WARNING, "a little odd", "nothing much")
BAD: Final = check_result(
    Verdict.WRONG, "nothing there", "install it " + "again and " * 9 + "again"
)


class DoctorTests(MainTestCase):
    """``txtransport doctor``."""

    def set_results(self, *results: CheckResult) -> None:
        """Make the checks have these results."""
        named = {f"check {number}": result for number, result in enumerate(results)}
        self.patch(doctor, "run_checks", lambda: named)

    def test_a_good_installation_has_nothing_wrong(self) -> None:
        """Each check has a line, and the last line says that nothing is wrong."""
        self.set_results(FINE, FINE)
        self.assertEqual(
            self.does("doctor"),
            (
                0,
                "ok  check 0  all there\nok  check 1  all there\n\nNothing is wrong.\n",
                "",
            ),
        )

    def test_a_warning_leaves_the_status_at_0(self) -> None:
        """A warning is shown with what to do, and the exit status is 0."""
        self.set_results(FINE, ODD)
        status, output, _ = self.does("doctor")
        self.assertEqual(status, 0)
        self.assertIn("warning  check 1  a little odd. To do: nothing much\n", output)
        self.assertTrue(output.endswith("\nNothing is wrong.\n"))

    def test_what_is_wrong_is_named_and_the_status_is_1(self) -> None:
        """The last line names each check that is wrong, and the exit status is 1."""
        self.set_results(BAD, FINE, BAD)
        status, output, complaints = self.does("doctor")
        self.assertEqual((status, complaints), (1, ""))
        self.assertTrue(output.endswith("\nWrong: check 0, check 2.\n"))

    def test_the_output_fits_the_window(self) -> None:
        """In a window of any width, no line is too long and no word is lost."""
        self.set_results(BAD, ODD, FINE)
        words = self.does("doctor")[1].split()
        for width in (80, 40):
            self.patch(os, "environ", {**os.environ, "COLUMNS": str(width)})
            output = self.does("doctor")[1]
            self.assertLessEqual(max(map(len, output.splitlines())), width)
            self.assertEqual(output.split(), words)

    def test_json_has_an_object_for_each_check(self) -> None:
        """With --json each check is an object; the exit status is the same."""
        self.set_results(FINE, ODD)
        status, output, complaints = self.does("doctor", "--json")
        self.assertEqual((status, complaints), (0, ""))
        document = json.loads(output)
        self.assertIs(document["ok"], True)
        self.assertEqual(
            document["checks"][1],
            {
                "name": "check 1",
                "verdict": "warning",
                "found": "a little odd",
                "advice": "nothing much",
            },
        )
        self.assertIsNone(document["checks"][0]["advice"])
        self.set_results(BAD)
        status, output, _ = self.does("doctor", "--json")
        self.assertEqual((status, json.loads(output)["ok"]), (1, False))

    def test_it_runs_in_an_empty_environment(self) -> None:
        """Without any environment variable, each check has a result."""
        done = subprocess.run(
            [sys.executable, "-m", "txtransport", "doctor", "--json"],
            cwd=ROOT,
            env={},
            capture_output=True,
            text=True,
            timeout=60,
        )
        self.assertEqual(done.stderr, "")
        document = json.loads(done.stdout)
        self.assertEqual([row["name"] for row in document["checks"]], [*CHECKS])
        self.assertEqual(done.returncode, 0 if document["ok"] else 1)
