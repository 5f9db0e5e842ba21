"""``txtransport probe``: connect, and show how each step went."""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Final

from attrs import evolve

from txtransport.cli.commands import CommandParsers
from txtransport.cli.terminal import write_output

if TYPE_CHECKING:
    from txtransport import TransportURL
    from txtransport.cli.probe.recorder import ProgressCallback
    from txtransport.cli.terminal import TerminalStyle

__all__ = ["add", "run"]


def add(commands: CommandParsers) -> None:
    """Add the command's parser to argparse's subparsers."""
    parser = commands.add_parser(
        "probe",
        help="connect to a URL or a host, and show how each step went",
        description="Connects as any client of the URL would, and shows the addresses that were "
        "tried, where the time went, what was agreed on, the peer's certificates, and either "
        "that all is well or what is wrong and what to do. A host without scheme and port is "
        "tried at the usual ports of mail, web, directories and databases.",
        epilog="The exit status is 0 when it is connected and verified, 1 when it is not, or when "
        "a certificate has fewer days left than --warn-days, and 2 when the URL or an option is "
        "wrong.",
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
        "--versions",
        action="store_true",
        help="offer each version of TLS alone, too, and SSL where txtransport[legacy] is installed",
    )
    parser.add_argument(
        "--warn-days",
        type=_whole_days,
        metavar="N",
        help="exit with 1, too, when a certificate that the peer sent has fewer days left",
    )
    parser.add_argument("--json", action="store_true", help="write one object of JSON")
    parser.add_argument(
        "--quiet",
        action="store_true",
        help="write the verdict alone (of a host: the URLs that work), and no progress",
    )
    parser.set_defaults(command=run, refuse=parser.error)


def run(chosen: argparse.Namespace) -> int:
    """Probe a URL or a host, and show the report.

    Returns:
        The exit status.

    Raises:
        SystemExit: The URL or an option is wrong (2).
    """
    # Twisted and OpenSSL take a third of a second to import.
    from txtransport import InvalidOption, InvalidTransport
    from txtransport.cli.reactor import Interrupted
    from txtransport.cli.terminal import Progress, is_terminal

    width = shutil.get_terminal_size().columns
    has_progress = not chosen.quiet and is_terminal(sys.stderr) and os.environ.get("TERM") != "dumb"
    progress = Progress(sys.stderr if has_progress else None, width)
    try:
        is_good, document, text = _probe(chosen, width, progress.show)
    except (InvalidTransport, InvalidOption) as wrong:
        progress.done()
        chosen.refuse(str(wrong))
    except Interrupted as end:
        progress.done()
        return 128 + end.number
    progress.done()
    write_output(json.dumps(document, indent=2) + "\n" if chosen.json else text)
    return 0 if is_good else 1


def _probe(
    chosen: argparse.Namespace, width: int, on_progress: ProgressCallback
) -> tuple[bool, dict[str, object], str]:
    """Whether all is well, and the report for machines and for people."""
    from txtransport import InvalidTransport, TransportURL
    from txtransport.cli.terminal import style_of

    url = TransportURL.parse(chosen.url)
    style = style_of(sys.stdout, width=width)
    if "://" in chosen.url or url.port is not None:
        return _probe_url(chosen, url, style, on_progress)
    # The first URL that comes to mind stands for those that are tried.
    place = TransportURL("tls", url.host, 443)
    if chosen.versions:
        raise InvalidTransport(f"--versions is for a URL, such as {shlex.quote(str(place))}")
    return _probe_host(chosen, place, style, on_progress)


def _probe_host(
    chosen: argparse.Namespace,
    place: TransportURL,
    style: TerminalStyle,
    on_progress: ProgressCallback,
) -> tuple[bool, dict[str, object], str]:
    from txtransport import InvalidOption
    from txtransport.cli.probe.document import as_survey_document
    from txtransport.cli.probe.survey import survey
    from txtransport.cli.probe.survey_text import as_survey_text
    from txtransport.cli.reactor import run_until_complete

    options = _options(chosen, place)
    if "over" in options:
        raise InvalidOption("over", f"{place.location}: over= is for a URL, and a host has many")
    found = run_until_complete(
        lambda reactor: survey(reactor, place.host, options, on_progress=on_progress)
    ).with_warn_days(chosen.warn_days)
    now = datetime.now(timezone.utc)
    text = as_survey_text(found, style, now, is_brief=chosen.quiet)
    return found.is_good(now), as_survey_document(found, now), text


def _probe_url(
    chosen: argparse.Namespace,
    url: TransportURL,
    style: TerminalStyle,
    on_progress: ProgressCallback,
) -> tuple[bool, dict[str, object], str]:
    from txtransport.cli.probe.document import as_document
    from txtransport.cli.probe.probing import probe
    from txtransport.cli.probe.report import ProbeReport
    from txtransport.cli.probe.text import as_text
    from txtransport.cli.probe.versions import versions
    from txtransport.cli.reactor import run_until_complete

    options = _options(chosen, url)
    _require_tls(chosen, url)

    async def probe_url(reactor: object) -> ProbeReport:
        report = await probe(reactor, url, options, on_progress=on_progress)
        if not chosen.versions or report.is_silent:
            return report
        return evolve(report, versions=await versions(reactor, url, options, on_progress))

    report = evolve(run_until_complete(probe_url), warn_days=chosen.warn_days)
    now = datetime.now(timezone.utc)
    text = as_text(report, style, now, is_brief=chosen.quiet)
    return report.is_good(now), as_document(report, now), text


def _require_tls(chosen: argparse.Namespace, url: TransportURL) -> None:
    """Refuse options of the command that are for TLS alone.

    Raises:
        InvalidTransport: The URL is of another transport.
    """
    from txtransport import InvalidTransport
    from txtransport.cli.probe.versions import require_tls_over_tcp
    from txtransport.config.schemes import SCHEMES

    if chosen.versions:
        require_tls_over_tcp(url)
    if chosen.warn_days is not None and not SCHEMES[url.scheme].is_secure:
        raise InvalidTransport(
            f"{url.location}: --warn-days is for TLS, and this is asked in the clear"
        )


_MOST_DAYS: Final = 9999


def _whole_days(text: str) -> int:
    """The number of --warn-days.

    Raises:
        argparse.ArgumentTypeError: It is not a number from 1 on.
    """
    from txtransport.text import short_repr

    # Not int() alone, which takes " +1_0 " and the digits of other scripts.
    days = int(text) if re.fullmatch("[0-9]{1,4}", text) else 0
    if not 1 <= days <= _MOST_DAYS:
        raise argparse.ArgumentTypeError(
            f"{short_repr(text)} is no number of days: write 1 to {_MOST_DAYS}"
        )
    return days


def _options(chosen: argparse.Namespace, url: TransportURL) -> dict[str, str]:
    """The transport's options that the command line and SSLKEYLOGFILE give, by their names.

    Args:
        chosen: Has `option` and `timeout`.
        url: What they are for.

    Raises:
        InvalidOption: An option is unknown, or given twice.
    """
    from txtransport.config.options import OPTIONS
    from txtransport.config.schemes import SCHEMES
    from txtransport.errors import InvalidOption

    from_environment = os.environ.get("SSLKEYLOGFILE")
    options = {}
    has_keylog = OPTIONS["keylog"].serves(SCHEMES[url.scheme])
    if from_environment and has_keylog and "keylog" not in dict(url.options):
        options["keylog"] = from_environment
    try:
        return {**options, **dict(_named_options(chosen, url.scheme))}
    except InvalidOption as wrong:
        raise wrong.located(url.location) from None


def _named_options(chosen: argparse.Namespace, scheme: str) -> Iterator[tuple[str, str]]:
    from txtransport.config.options import find_option
    from txtransport.config.schemes import SCHEMES
    from txtransport.errors import InvalidOption
    from txtransport.text import short_repr

    names: set[str] = set()
    timeout = [] if chosen.timeout is None else [f"timeout={chosen.timeout}"]
    for each in (*chosen.option, *timeout):
        name, equals, value = each.partition("=")
        if not equals:
            raise InvalidOption(name, f"--option {short_repr(each)}: write NAME=VALUE")
        find_option(name, SCHEMES[scheme])
        if name in names:
            raise InvalidOption(name, f"{name} is given twice")
        names.add(name)
        yield name, value
