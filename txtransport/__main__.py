"""The command line: ``txtransport``, also ``python -m txtransport``.

It chooses a command; what each does is in ``txtransport/cli/commands/``.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final, NoReturn

from txtransport import __version__
from txtransport.cli.terminal import error_lines, is_terminal, write_output
from txtransport.text import short_text

__all__ = ["COMMANDS", "command_parser", "main"]

COMMANDS: Final = (
    "demo",
    "probe",
    "inspect",
    "transports",
    "options",
    "devcert",
    "doctor",
    "explain",
    "completion",
)
"""In the order of the help; each is a module in ``txtransport/cli/commands/``."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that the arguments name.

    Args:
        arguments: Without the program's name; by default those of ``sys.argv``.

    Returns:
        The exit status: 0 when all is well, 1 when something is not, 2 when there
        are no arguments, and 128 plus its number when a signal ended the command.

    Raises:
        SystemExit: The arguments asked for help (0), or were wrong (2).
    """
    words = sys.argv[1:] if arguments is None else arguments
    parser = command_parser()
    try:
        if not words:
            # Nothing was done: a script that lost its arguments must not go on.
            write_output(parser.format_help())
            return 2
        _refuse_unknown(parser, words)
        chosen = parser.parse_args(words)
        status: int = chosen.command(chosen)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except OSError as problem:
        print(f"txtransport: {problem}", file=sys.stderr)
        return 1
    return status


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Exit with 2, and say why; on a terminal in lines that fit it.

        Args:
            message: One paragraph. A command to copy, at its end, gets a line of its own.
        """
        self.print_usage(sys.stderr)
        text = f"{self.prog}: error: {message}"
        if is_terminal(sys.stderr):
            text = "\n".join(error_lines(text, shutil.get_terminal_size().columns))
        self.exit(2, f"{text}\n")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """Exit, also where the help that was written cannot reach its reader."""
        # Flushes it: `| head` would else make Python complain when it exits.
        write_output("")
        super().exit(status, message)


def command_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line, with one for each command."""
    parser = _Parser(prog="txtransport", description="Transports by URL for Twisted.")
    parser.add_argument("--version", action="version", version=f"txtransport {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in COMMANDS:
        import_module(f"txtransport.cli.commands.{name}").add(commands)
    return parser


def _refuse_unknown(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    """Exit with 2 where no command has the name that was typed, and say what was meant."""
    # Only the commands have options that take a value.
    typed = next((word for word in words if not word.startswith("-")), None)
    if typed is None:
        # argparse would say that the command is missing, and not what is wrong.
        own = parser.parse_known_args([*words, COMMANDS[0]])[1]
        if own:
            parser.error(f"unrecognized arguments: {' '.join(map(short_text, own))}")
    elif typed not in COMMANDS:
        from txtransport.cli.mistyped import refusal

        parser.error(refusal(typed, COMMANDS))


if __name__ == "__main__":
    sys.exit(main())
