"""``txtransport probe``."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

from attrs import evolve

from txtransport.cli.terminal import write_output


def add(commands: Any) -> None:
    """Add the command's parser to argparse's subparsers."""
    parser = commands.add_parser(
        "probe",
        help="connect to a URL or a host, and show how each step went",
        description="Connects as any client of the URL would, and shows the addresses that were "
        "tried, where the time went, what was agreed on, the peer's certificates, and either "
        "that all is well or what is wrong and what to do. A host without scheme and port is "
        "tried at the usual ports of mail, web, directories and databases.",
        epilog="The exit status is 0 when it is connected and verified, 1 when it is not, and 2 "
        "when the URL or an option is wrong.",
    )
    parser.add_argument(
        "url",
        metavar="URL",
        help="such as tls://mail.example.com:587?starttls=smtp, or mail.example.com",
    )
    parser.add_argument(
        "-o",
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an option of the transport, such as cafile=ca.pem; may be given several times",
    )
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        help="for the whole attempt; of a host, for each port (5)",
    )
    parser.add_argument(
        "--versions", action="store_true", help="offer each version of TLS alone, too"
    )
    parser.add_argument("--json", action="store_true", help="write one object of JSON")
    parser.add_argument(
        "--quiet",
        action="store_true",
        help="write the verdict alone (of a host: the URLs that work), and no progress",
    )
    parser.set_defaults(command=run, refuse=parser.error)


def run(chosen: argparse.Namespace) -> int:
    """Probe, and show what was seen.

    Returns:
        The exit status.

    Raises:
        SystemExit: The URL or an option is wrong (2).
    """
    # What they need takes a third of a second to import.
    from txtransport import InvalidOption, InvalidTransport
    from txtransport.cli.reactor import Interrupted
    from txtransport.cli.terminal import Progress, is_terminal

    width = shutil.get_terminal_size().columns
    is_shown = is_terminal(sys.stderr) and os.environ.get("TERM") != "dumb"
    progress = Progress(sys.stderr if is_shown and not chosen.quiet else None, width)
    try:
        is_good, document, text = _seen(chosen, width, progress.show)
    except (InvalidTransport, InvalidOption) as wrong:
        progress.done()
        chosen.refuse(str(wrong))
    except Interrupted as end:
        progress.done()
        return 128 + end.number
    progress.done()
    write_output(json.dumps(document, indent=2) + "\n" if chosen.json else text)
    return 0 if is_good else 1


def _seen(
    chosen: argparse.Namespace, width: int, told: Callable[[str], object]
) -> tuple[bool, dict[str, Any], str]:
    """Whether all is well, and the report for machines and for people."""
    from txtransport import InvalidTransport, TransportURL
    from txtransport.cli.probe.document import as_document, as_survey_document
    from txtransport.cli.probe.probing import probe
    from txtransport.cli.probe.report import ProbeReport
    from txtransport.cli.probe.survey import survey
    from txtransport.cli.probe.text import as_survey_text, as_text
    from txtransport.cli.probe.versions import check, versions
    from txtransport.cli.reactor import run_until_complete
    from txtransport.cli.terminal import style_of

    url = TransportURL.parse(chosen.url)
    is_host = "://" not in chosen.url and url.port is None
    options = _options(chosen, "tls" if is_host else url.scheme)
    look = style_of(sys.stdout, width=width)
    if is_host:
        if chosen.versions:
            raise InvalidTransport(f"--versions is for a URL, such as tls://{chosen.url}:443")
        found = run_until_complete(lambda reactor: survey(reactor, url.host, options, told=told))
        now = datetime.now(timezone.utc)
        text = as_survey_text(found, look, is_brief=chosen.quiet)
        return bool(found.working), as_survey_document(found, now), text

    if chosen.versions:
        check(url)

    async def probed(reactor: Any) -> ProbeReport:
        report = await probe(reactor, url, options, told=told)
        if not chosen.versions or report.is_silent:
            return report
        return evolve(report, versions=await versions(reactor, url, options, told))

    seen = run_until_complete(probed)
    now = datetime.now(timezone.utc)
    text = as_text(seen, look, now, is_brief=chosen.quiet)
    return seen.is_verified, as_document(seen, now), text


def _options(chosen: argparse.Namespace, scheme: str) -> dict[str, str]:
    """The options of the command line.

    Raises:
        InvalidOption: One is unknown, or given twice.
    """
    from txtransport.config.options import find_option
    from txtransport.config.schemes import SCHEMES
    from txtransport.errors import InvalidOption
    from txtransport.text import short_repr

    options: dict[str, str] = {}
    last = [] if chosen.timeout is None else [f"timeout={chosen.timeout}"]
    for each in (*chosen.option, *last):
        name, equals, value = each.partition("=")
        if not equals:
            raise InvalidOption(name, f"--option {short_repr(each)}: write NAME=VALUE")
        find_option(name, SCHEMES[scheme])
        if name in options:
            raise InvalidOption(name, f"{name} is given twice")
        options[name] = value
    return options
