"""Users' programs, checked by mypy as in a project that has txtransport installed."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from unittest import skipIf

from twisted.trial.unittest import SynchronousTestCase

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[1]

WRONG: Final = """\
import txtransport
from txtransport import servre
endpoint = txtransport.client(None, "tcp://192.0.2.7:25")
txtransport.clinet(None, "tcp://192.0.2.7:25")
txtransport.client(None, "tcp://192.0.2.7", "25")
endpoint.conect(None)
endpoint.connect(None)
"""
"""A program with a mistake in its second line, and in each from the fourth on."""


def programs(*names: str) -> dict[str, str]:
    """The texts of programs in this folder, by their names."""
    return {name: (HERE / name).read_text(encoding="utf-8") for name in names}


def mypy(project: Mapping[str, str], config: str = "") -> str:
    """The errors that mypy finds in a user's project.

    Args:
        project: The texts of its programs, by their names.
        config: More lines for mypy's configuration.
    """
    with tempfile.TemporaryDirectory(prefix="txtransport-typing-") as folder:
        for name, text in project.items():
            Path(folder, name).write_text(text, encoding="utf-8")
        # Many of Twisted's own functions have no types.
        settings = f"[mypy]\nstrict = true\nuntyped_calls_exclude = twisted\n{config}\n"
        Path(folder, "mypy.ini").write_text(settings, encoding="utf-8")
        run = subprocess.run(
            [sys.executable, "-m", "mypy", "--no-error-summary", *project],
            cwd=folder,
            # Found on the path of Python, the package counts as an installed one, of
            # which mypy reports no errors and, without py.typed, knows no types.
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=300,
        )
    return (run.stdout + run.stderr).strip()


@skipIf(find_spec("mypy") is None, "mypy is not installed (it comes with the extra: dev)")
class UserTests(SynchronousTestCase):
    """Programs of users, in mypy's strict mode."""

    def test_a_program_is_typed_without_a_plugin(self) -> None:
        """Endpoints, the mixin, the guard and errors have types that mypy alone understands."""
        self.assertEqual(mypy(programs("user_program.py")), "")

    @skipIf(find_spec("mypy_zope") is None, "mypy-zope is not installed (extra: dev)")
    def test_a_program_is_typed_with_mypy_zope(self) -> None:
        """With Twisted's plugin for mypy, our endpoints are also Twisted's."""
        project = programs("user_program.py", "with_twisted.py")
        self.assertEqual(mypy(project, "plugins = mypy_zope:plugin"), "")

    def test_what_is_misspelt_is_an_error(self) -> None:
        """A name that txtransport does not have is found before the program runs."""
        found = mypy({"wrong.py": WRONG}).splitlines()
        lines = [int(line.split(":")[1]) for line in found]
        self.assertEqual(lines, [2, 4, 5, 6, 7], found)
