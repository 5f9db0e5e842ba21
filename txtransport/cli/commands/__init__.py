"""The commands of ``txtransport``, a module each.

Each module has ``add(commands)``, which adds the command's parser, and
``run(chosen)``, which does its work and returns the exit status. What a command
needs for its work it imports in ``run()``: for ``--help``, which must be quick,
all modules are imported.
"""

from __future__ import annotations

import argparse
from typing import Protocol

__all__ = ["CommandParsers"]


class CommandParsers(Protocol):
    """What ``ArgumentParser.add_subparsers()`` returns, of which argparse exports no type."""

    def add_parser(
        self, name: str, *, help: str, description: str, epilog: str | None = None
    ) -> argparse.ArgumentParser:
        """Add the parser of one command.

        Args:
            name: The command, as it is typed.
            help: Stands in the list of all commands.
            description: Stands above the command's own help.
            epilog: Stands below it.
        """
