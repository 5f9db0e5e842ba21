"""The command line: ``txtransport``, also ``python -m txtransport``."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final, NoReturn

from txtransport.cli.terminal import version, write_output

COMMANDS: Final = ("demo", "probe", "transports", "options", "devcert", "doctor", "explain")
"""In the order of the help; each is a room under ``commands/``."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says.

    Args:
        arguments: In place of ``sys.argv``, without the program's name.

    Returns:
        The exit status: 0 when all is well, 1 when something is not, 128 and
        the number of a signal that came.

    Raises:
        SystemExit: The arguments asked for help (0), or were wrong (2).
    """
    try:
        chosen = _parser().parse_args(arguments)
        status: int = chosen.command(chosen)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except OSError as problem:
        print(f"txtransport: {problem}", file=sys.stderr)
        return 1
    return status


class _Parser(argparse.ArgumentParser):
    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """Leave, when help has been written."""
        write_output("")
        super().exit(status, message)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="txtransport", description="Transports by URL for Twisted.")
    parser.add_argument(
        "--version", action="version", version=f"txtransport {version('txtransport')}"
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in COMMANDS:
        import_module(f"txtransport.cli.commands.{name}").add(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
