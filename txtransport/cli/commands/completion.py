"""``txtransport completion``: print what makes a shell complete our commands."""

from __future__ import annotations

import argparse
from typing import Final

from txtransport.cli.commands import CommandParsers
from txtransport.cli.completion import SHELLS
from txtransport.cli.terminal import write_output

__all__ = ["add", "run"]

_DESCRIPTION: Final = """\
Prints a script for the shell, which then completes commands, options, the
schemes of URLs and the names of files when Tab is pressed."""

_EPILOG: Final = """\
bash, with the package bash-completion, in new shells:
  mkdir -p ~/.local/share/bash-completion/completions
  txtransport completion bash \\
    > ~/.local/share/bash-completion/completions/txtransport
bash, without it, as a line of ~/.bashrc:
  eval "$(txtransport completion bash)"
zsh, in a folder that ~/.zshrc adds to fpath before it calls compinit
(fpath+=~/.zfunc; autoload -Uz compinit; compinit):
  mkdir -p ~/.zfunc
  txtransport completion zsh > ~/.zfunc/_txtransport"""


def add(commands: CommandParsers) -> None:
    """Add the command's parser to argparse's subparsers."""
    parser = commands.add_parser(
        "completion",
        help="print a script that makes bash or zsh complete the commands",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    # Else argparse would wrap the commands.
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help="one of %(choices)s")
    parser.set_defaults(command=run)


def run(chosen: argparse.Namespace) -> int:
    """Print the script.

    Returns:
        The exit status.
    """
    from importlib.resources import files

    script = files("txtransport.cli.completion").joinpath(SHELLS[chosen.shell])
    write_output(script.read_text(encoding="utf-8"))
    return 0
