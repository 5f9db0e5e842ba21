"""``txtransport doctor``."""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from txtransport.cli.terminal import table_lines, wrap, write_output

if TYPE_CHECKING:
    from txtransport.cli.doctor import CheckResult
    from txtransport.errors import Diagnosis


def add(commands: Any) -> None:
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
    """Check, and say what was found.

    Returns:
        The exit status.
    """
    # Some checks import Twisted and OpenSSL.
    from txtransport.cli import doctor

    found = doctor.run_checks()
    wrong = [name for name, one in found.items() if one.verdict is doctor.Verdict.WRONG]
    if chosen.json:
        checks = [_as_document(name, one) for name, one in found.items()]
        write_output(json.dumps({"ok": not wrong, "checks": checks}, indent=2) + "\n")
    else:
        write_output(_as_text(found, wrong, shutil.get_terminal_size().columns))
    return 1 if wrong else 0


def _as_text(found: Mapping[str, CheckResult], wrong: list[str], width: int) -> str:
    rows = [(one.verdict.value, name, _sentence(one.diagnosis)) for name, one in found.items()]
    verdict = f"Wrong: {', '.join(wrong)}." if wrong else "Nothing is wrong."
    return "\n".join([*table_lines(rows, width), "", *wrap(verdict, width)]) + "\n"


def _sentence(diagnosis: Diagnosis) -> str:
    remedy = diagnosis.remedy
    return f"{diagnosis.summary}. To do: {remedy}" if remedy else diagnosis.summary


def _as_document(name: str, one: CheckResult) -> dict[str, Any]:
    return {
        "name": name,
        "verdict": one.verdict.value,
        "found": one.diagnosis.summary,
        "advice": one.diagnosis.remedy or None,
    }
