"""``txtransport transports``: list the schemes of URLs, and why some cannot be used."""

from __future__ import annotations

import argparse
import json
import shutil

from txtransport.cli.commands import CommandParsers
from txtransport.cli.terminal import table_lines, write_output
from txtransport.config.schemes import SCHEMES, Scheme

__all__ = ["add", "run"]


def add(commands: CommandParsers) -> None:
    """Add the command's parser to argparse's subparsers."""
    parser = commands.add_parser(
        "transports",
        help="list the transports, each available or why not",
        description="Lists what may stand before :// in a URL, each available or why not.",
    )
    parser.add_argument("--json", action="store_true", help="write one object of JSON")
    parser.set_defaults(command=run)


def run(chosen: argparse.Namespace) -> int:
    """List the transports.

    Returns:
        The exit status.
    """
    if chosen.json:
        rows = [_as_document(scheme) for scheme in SCHEMES.values()]
        write_output(json.dumps({"transports": rows}, indent=2) + "\n")
    else:
        lines = table_lines([*map(_as_row, SCHEMES.values())], shutil.get_terminal_size().columns)
        write_output("\n".join(lines) + "\n")
    return 0


def _as_row(scheme: Scheme) -> tuple[str, ...]:
    answer = f"no: {scheme.reason}"
    if scheme.is_available:
        answer = "with allow_broken_ssl=yes" if scheme.is_broken else "yes"
    return scheme.name, scheme.meaning, answer


def _as_document(scheme: Scheme) -> dict[str, object]:
    return {
        "name": scheme.name,
        "meaning": scheme.meaning,
        "available": scheme.is_available,
        "reason": scheme.reason,
        "kind": scheme.kind.value,
        "secure": scheme.is_secure,
        "local": scheme.is_local,
        "version": scheme.version,
    }
