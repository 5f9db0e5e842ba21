"""Users' programs, checked by mypy as in a project that has txtransport installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from unittest import skipIf

from twisted.trial.unittest import SynchronousTestCase

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[1]


def mypy(*programs: str, config: str = "") -> str:
    """The errors that mypy finds in programs that stand alone in a folder, the user's project.

    Args:
        programs: Files of this folder.
        config: More lines for mypy's configuration.
    """
    with tempfile.TemporaryDirectory(prefix="txtransport-typing-") as project:
        for program in programs:
            shutil.copy(HERE / program, project)
        # Many of Twisted's own functions have no types.
        settings = f"[mypy]\nstrict = true\nuntyped_calls_exclude = twisted\n{config}\n"
        Path(project, "mypy.ini").write_text(settings, encoding="utf-8")
        run = subprocess.run(
            [sys.executable, "-m", "mypy", "--no-error-summary", *programs],
            cwd=project,
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
        self.assertEqual(mypy("user_program.py"), "")

    @skipIf(find_spec("mypy_zope") is None, "mypy-zope is not installed (extra: dev)")
    def test_a_program_is_typed_with_mypy_zope(self) -> None:
        """With Twisted's plugin for mypy, our endpoints are also Twisted's."""
        programs = "user_program.py", "with_twisted.py"
        self.assertEqual(mypy(*programs, config="plugins = mypy_zope:plugin"), "")
