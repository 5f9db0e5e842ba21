"""The command line: ``txtransport``, also ``python -m txtransport``."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
from collections.abc import Sequence
from importlib import metadata
from typing import Final, NoReturn

PACKAGES: Final = ("txtransport", "twisted", "pyopenssl", "cryptography")
"""Whose versions a report names."""


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
        _say("")
        super().exit(status, message)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="txtransport", description="Transports by URL for Twisted.")
    parser.add_argument(
        "--version", action="version", version=f"txtransport {_version('txtransport')}"
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    demo = commands.add_parser(
        "demo",
        help="show real conversations over every transport, on loopback",
        description="Starts servers on loopback, with certificates of a throw-away authority, "
        "and connects to them: the forms of PHP's manual and more as a table, then mail by "
        "implicit TLS, by STARTTLS, and by mistake. Nothing outside is contacted, and nothing "
        "stays.",
        epilog="The exit status is 0 when everything came out as it should; that SSL 2 and 3 are "
        "refused is as it should be.",
    )
    demo.add_argument("--json", action="store_true", help="write one object of JSON")
    demo.set_defaults(command=_demo)
    return parser


def _demo(chosen: argparse.Namespace) -> int:
    # What the commands need takes a third of a second to import.
    from txtransport.demo.document import as_document
    from txtransport.demo.run import Interrupted, run
    from txtransport.demo.text import as_text

    try:
        report = run()
    except Interrupted as end:
        return 128 + end.number
    versions = {package: _version(package) for package in PACKAGES}
    if chosen.json:
        _say(json.dumps(as_document(report, versions), indent=2) + "\n")
    else:
        title = ", ".join(f"{package} {version}" for package, version in versions.items())
        _say(as_text(report, title, shutil.get_terminal_size().columns))
    return 0 if report.is_right else 1


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "(not installed)"


def _say(text: str) -> None:
    """Write to standard output; that no one reads on, as in ``| head``, is no error."""
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    try:
        print(text.encode(encoding, "backslashreplace").decode(encoding), end="", flush=True)
    except OSError as problem:
        # Python would try once more when it exits, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(problem, BrokenPipeError):
            raise


if __name__ == "__main__":
    sys.exit(main())
