"""``txtransport probe``."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from txtransport.commands.output import say


def add(commands: Any) -> None:
    """Add the command's parser to argparse's subparsers."""
    parser = commands.add_parser(
        "probe",
        help="connect to a URL, and show how each step went",
        description="Connects as any client of the URL would, and shows the addresses that were "
        "tried, where the time went, what was agreed on, the peer's certificates, and either "
        "that all is well or what is wrong and what to do.",
        epilog="The exit status is 0 when it is connected and verified, 1 when it is not, and 2 "
        "when the URL or an option is wrong.",
    )
    parser.add_argument(
        "url",
        metavar="URL",
        help="such as tls://mail.example.com:587?starttls=smtp",
    )
    parser.add_argument(
        "-o",
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an option of the transport, such as cafile=ca.pem; may be given several times",
    )
    parser.add_argument("--json", action="store_true", help="write one object of JSON")
    parser.add_argument(
        "--quiet", action="store_true", help="write the verdict alone, and no progress"
    )
    parser.set_defaults(command=run, refuse=parser.error)


def run(chosen: argparse.Namespace) -> int:
    """Probe, and show what was seen.

    Returns:
        The exit status.

    Raises:
        SystemExit: The URL or an option is wrong (2).
    """
    from txtransport import InvalidOption, InvalidTransport, Transport
    from txtransport.commands.program import Interrupted, completed
    from txtransport.probe.document import as_document
    from txtransport.probe.look import is_terminal, look_of
    from txtransport.probe.probing import probe
    from txtransport.probe.progress import Progress
    from txtransport.probe.text import as_text

    width = shutil.get_terminal_size().columns
    is_watched = is_terminal(sys.stderr) and os.environ.get("TERM") != "dumb" and not chosen.quiet
    progress = Progress(sys.stderr if is_watched else None, width)
    try:
        transport = Transport.parse(chosen.url)
        options = _options(chosen.option, transport)
        report = completed(lambda reactor: probe(reactor, transport, options, told=progress.told))
    except (InvalidTransport, InvalidOption) as wrong:
        chosen.refuse(str(wrong))
    except Interrupted as end:
        return 128 + end.number
    finally:
        progress.done()
    now = datetime.now(timezone.utc)
    if chosen.json:
        say(json.dumps(as_document(report, now), indent=2) + "\n")
    else:
        say(as_text(report, look_of(sys.stdout, width=width), now, is_brief=chosen.quiet))
    return 0 if report.is_verified else 1


def _options(given: list[str], transport: Any) -> Mapping[str, str]:
    """The options of the command line.

    Raises:
        InvalidOption: One is unknown, or given twice.
    """
    from txtransport.errors import InvalidOption, seen
    from txtransport.options import known
    from txtransport.schemes import SCHEMES

    options: dict[str, str] = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not equals:
            raise InvalidOption(name, f"--option {seen(each)}: write NAME=VALUE")
        known(name, SCHEMES[transport.scheme])
        if name in options:
            raise InvalidOption(name, f"{name} is given twice")
        options[name] = value
    return options
