"""``txtransport demo``: connect over every transport, on loopback, and show the results."""

from __future__ import annotations

import argparse
import json
import shutil

from txtransport.cli.commands import CommandParsers
from txtransport.cli.terminal import PACKAGES, version, write_output

__all__ = ["add", "run"]


def add(commands: CommandParsers) -> None:
    """Add the command's parser to argparse's subparsers."""
    parser = commands.add_parser(
        "demo",
        help="show real conversations over every transport, on loopback",
        description="Starts servers on loopback, with certificates of a throw-away authority, "
        "and connects to them: the forms of PHP's manual and more as a table, then mail by "
        "implicit TLS, by STARTTLS, and by mistake. Nothing outside is contacted, and nothing "
        "stays.",
        epilog="The exit status is 0 when everything came out as it should; that SSL 2 and 3 are "
        "refused is as it should be.",
    )
    parser.add_argument("--json", action="store_true", help="write one object of JSON")
    parser.set_defaults(command=run)


def run(chosen: argparse.Namespace) -> int:
    """Run the demo, and show what it saw.

    Returns:
        The exit status.
    """
    # Twisted and OpenSSL take a third of a second to import.
    from txtransport.cli.demo import run as demo
    from txtransport.cli.demo.document import as_document
    from txtransport.cli.demo.text import as_text
    from txtransport.cli.reactor import Interrupted

    try:
        report = demo.run()
    except Interrupted as end:
        return 128 + end.number
    versions = {package: version(package) for package in PACKAGES}
    if chosen.json:
        write_output(json.dumps(as_document(report, versions), indent=2) + "\n")
    else:
        title = ", ".join(f"{package} {number}" for package, number in versions.items())
        write_output(as_text(report, title, shutil.get_terminal_size().columns))
    return 0 if report.is_right else 1
