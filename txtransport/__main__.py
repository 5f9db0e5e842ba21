"""The command line: ``txtransport``, also ``python -m txtransport``.

It chooses a command; what each does is in ``txtransport/cli/commands/``.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final, NoReturn

from txtransport.cli.terminal import version, write_output

__all__ = ["COMMANDS", "main"]

COMMANDS: Final = (
    "demo",
    "probe",
    "inspect",
    "transports",
    "options",
    "devcert",
    "doctor",
    "explain",
)
"""In the order of the help; each is a module in ``txtransport/cli/commands/``."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that the arguments name.

    Args:
        arguments: Without the program's name; by default those of ``sys.argv``.

    Returns:
        The exit status: 0 when all is well, 1 when something is not, and 128
        plus its number when a signal ended the command.

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
        """Exit, also where the help that was written cannot reach its reader."""
        # Flushes it: `| head` would else make Python complain when it exits.
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
