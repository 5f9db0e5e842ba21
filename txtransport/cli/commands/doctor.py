"""``txtransport doctor``: check this installation."""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Mapping
from typing import TYPE_CHECKING

from txtransport.cli.commands import CommandParsers
from txtransport.cli.terminal import table_lines, wrap, write_output

if TYPE_CHECKING:
    from txtransport.cli.doctor import CheckResult
    from txtransport.errors import Diagnosis

__all__ = ["add", "run"]


def add(commands: CommandParsers) -> None:
    """Add the command's parser to argparse's subparsers."""
    parser = commands.add_parser(
        "doctor",
        help="check this installation",
        description="Checks what txtransport stands on: packages, OpenSSL, the trust store, "
        "Twisted's plugins, the clock, IPv6, limits. Nothing is contacted, nothing is changed.",
        epilog="The exit status is 1 when something is wrong; a warning alone is 0.",
    )
    parser.add_argument("--json", action="store_true", help="write one object of JSON")
    parser.set_defaults(command=run)


def run(chosen: argparse.Namespace) -> int:
    """Run all checks, and write what they found to standard output.

    Args:
        chosen: The command's arguments: ``json``.

    Returns:
        The exit status: 1 when something is wrong.
    """
    # Some checks import Twisted and OpenSSL.
    from txtransport.cli import doctor

    results = doctor.run_checks()
    wrong = [name for name, result in results.items() if result.verdict is doctor.Verdict.WRONG]
    if chosen.json:
        checks = [_as_document(name, result) for name, result in results.items()]
        write_output(json.dumps({"ok": not wrong, "checks": checks}, indent=2) + "\n")
    else:
        write_output(_as_text(results, wrong, shutil.get_terminal_size().columns))
    return 1 if wrong else 0


def _as_text(results: Mapping[str, CheckResult], wrong: list[str], width: int) -> str:
    rows = [
        (result.verdict.value, name, _sentence(result.diagnosis))
        for name, result in results.items()
    ]
    last = f"Wrong: {', '.join(wrong)}." if wrong else "Nothing is wrong."
    return "\n".join([*table_lines(rows, width), "", *wrap(last, width)]) + "\n"


def _sentence(diagnosis: Diagnosis) -> str:
    remedy = diagnosis.remedy
    return f"{diagnosis.summary}. To do: {remedy}" if remedy else diagnosis.summary


def _as_document(name: str, result: CheckResult) -> dict[str, str | None]:
    return {
        "name": name,
        "verdict": result.verdict.value,
        "found": result.diagnosis.summary,
        "advice": result.diagnosis.remedy or None,
    }
