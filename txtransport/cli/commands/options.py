"""``txtransport options``: list the options of URLs, with their meanings, values and defaults."""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from attrs import evolve

from txtransport.cli.commands import CommandParsers
from txtransport.cli.terminal import table_lines, wrap, write_output
from txtransport.config.schemes import SCHEMES, Kind, Scheme

if TYPE_CHECKING:
    from txtransport.config.options import Option

__all__ = ["SIDES", "add", "run"]

SIDES: Final = {
    Kind.STREAM: frozenset({"client", "server"}),
    Kind.DATAGRAM: frozenset({"datagram"}),
    Kind.EITHER: frozenset({"client", "server", "datagram"}),
}
"""The sides that a transport can have, by its kind; no client has a socket from before."""

_EVERY_SIDE: Final = frozenset[str]().union(*SIDES.values())


def add(commands: CommandParsers) -> None:
    """Add the command's parser to argparse's subparsers."""
    parser = commands.add_parser(
        "options",
        help="list the options of a transport, or all",
        description="Lists the options: what each means, what it takes, and what holds without "
        "it. An option has one name, in a URL and as a Python keyword.",
    )
    parser.add_argument(
        "scheme",
        nargs="?",
        type=str.lower,
        choices=SCHEMES,
        metavar="SCHEME",
        help="only those of this transport, such as tls",
    )
    parser.add_argument(
        "--side",
        choices=sorted(_EVERY_SIDE),
        help="only those of this side",
    )
    parser.add_argument("--json", action="store_true", help="write one object of JSON")
    parser.set_defaults(command=run, refuse=parser.error)


def run(chosen: argparse.Namespace) -> int:
    """List the options.

    Returns:
        The exit status.

    Raises:
        SystemExit: The transport does not have that side (2).
    """
    scheme = None if chosen.scheme is None else SCHEMES[chosen.scheme]
    sides = _sides(scheme) if scheme else _EVERY_SIDE
    if chosen.side is not None and chosen.side not in sides:
        chosen.refuse(f"{chosen.scheme}:// has no {chosen.side}, but {' and '.join(sorted(sides))}")
    rows = [*_rows(scheme, sides & {chosen.side or side for side in sides})]
    if chosen.json:
        write_output(json.dumps({"options": [*map(_as_document, rows)]}, indent=2) + "\n")
        return 0
    width = shutil.get_terminal_size().columns
    lines = [*table_lines([*map(_as_row, rows)], width)]
    if scheme is not None and not scheme.is_available:
        lines += ["", *wrap(f"{scheme.name}:// is not available: {scheme.reason}", width)]
    write_output("\n".join(lines) + "\n")
    return 0


def _sides(scheme: Scheme) -> frozenset[str]:
    return SIDES[scheme.kind] - ({"client"} if scheme.is_inherited else frozenset())


def _rows(scheme: Scheme | None, sides: frozenset[str]) -> Iterator[Option]:
    """The options that the scheme has on one of the sides, each with those sides alone."""
    # To import the table imports all STARTTLS dialogues, whose names it has.
    from txtransport.config.options import OPTIONS

    for option in OPTIONS.values():
        if option.sides & sides and (scheme is None or option.serves(scheme)):
            yield evolve(option, sides=option.sides & sides)


def _as_row(option: Option) -> tuple[str, ...]:
    return option.name, (
        f"{option.meaning}. Takes {option.type.expects}; default: {option.default}; "
        f"for: {', '.join(sorted(option.sides))}."
    )


def _as_document(option: Option) -> dict[str, object]:
    return {
        "name": option.name,
        "meaning": option.meaning,
        "takes": option.type.expects,
        "default": option.default,
        "sides": sorted(option.sides),
        "schemes": [scheme.name for scheme in SCHEMES.values() if option.serves(scheme)],
        "for_strangers": option.is_for_strangers,
    }
