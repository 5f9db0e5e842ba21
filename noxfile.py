"""The tests on every Python and with the oldest and the newest dependencies, by nox.

`nox` runs all sessions, and skips those whose Python is not on the path.
`nox -s 'tests-3.13(oldest)'` runs one, and what stands behind `--` goes to pytest.
"""

import nox

nox.needs_version = ">=2024.4.15"
nox.options.default_venv_backend = "venv"
nox.options.error_on_missing_interpreters = False

PYTHONS = ["3.10", "3.11", "3.12", "3.13"]


@nox.session(python=PYTHONS)
@nox.parametrize("dependencies", ["oldest", "newest"], ids=["oldest", "newest"])
def tests(session: nox.Session, dependencies: str) -> None:
    """Run the tests; those that need foreign peers only where they are named."""
    constraints = f"constraints/{dependencies}.txt"
    session.install("--editable", ".[test,legacy]", "--constraint", constraints)
    session.run("python", "-m", "pytest", *(session.posargs or ["--ignore=tests/live"]))
