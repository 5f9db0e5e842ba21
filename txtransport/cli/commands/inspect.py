"""``txtransport inspect``: say what the options will make of files."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import warnings
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from txtransport.cli.commands import CommandParsers
from txtransport.cli.inspect import OPTIONS
from txtransport.cli.terminal import write_output

if TYPE_CHECKING:
    from txtransport.cli.inspect.report import FileReport
    from txtransport.config.policy import TLSPolicy

__all__ = ["add", "run"]


def add(commands: CommandParsers) -> None:
    """Add the command's parser to argparse's subparsers."""
    parser = commands.add_parser(
        "inspect",
        help="say what local_cert, cafile and crl will make of a file",
        description="Says what the options that name files will make of FILE, a certificate, a "
        "key, authorities or revocation lists; what clients will say of the certificate; and how "
        "to mend what is wrong. A certificate and a file with its key may be given together. "
        "Nothing is contacted, nothing is changed, and no key is shown.",
        epilog="The exit status is 0 when the file is good, 1 when something is wrong, and 2 when "
        "the command line is. A passphrase is read from --passphrase-file, or asked for on a "
        "terminal.",
    )
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help="the file, or a folder of authorities"
    )
    parser.add_argument("--key", metavar="FILE", help="the file of the key, as for local_pk")
    parser.add_argument(
        "--as",
        dest="purpose",
        choices=OPTIONS,
        metavar="OPTION",
        help="judge FILE for this option (%(choices)s); guessed by default",
    )
    parser.add_argument(
        "--cafile",
        metavar="FILE",
        help="the authorities that clients trust, in place of the platform's",
    )
    parser.add_argument(
        "--name",
        action="append",
        default=[],
        metavar="NAME",
        help="a name that clients ask for; may be given several times (those of the certificate)",
    )
    parser.add_argument("--passphrase-file", metavar="FILE", help="its first line opens the key")
    parser.add_argument("--json", action="store_true", help="write one object of JSON")
    parser.set_defaults(command=run, refuse=parser.error)


def run(chosen: argparse.Namespace) -> int:
    """Inspect the files, and show what was found.

    Returns:
        The exit status.

    Raises:
        SystemExit: A name is none, or `--cafile` cannot be used (2).
    """
    # OpenSSL takes a while to import.
    from txtransport.cli.inspect.document import as_document
    from txtransport.cli.inspect.text import as_text
    from txtransport.cli.terminal import style_of
    from txtransport.errors import InvalidOption

    _refuse_wrong_words(chosen)
    now = datetime.now(timezone.utc)
    try:
        with warnings.catch_warnings():
            # cryptography warns of odd certificates, in the words of a programmer; the
            # roots of this machine's own bundle are among them.
            warnings.simplefilter("ignore")
            reports = _inspect(chosen, now)
    except InvalidOption as wrong:
        chosen.refuse(str(wrong))
    if chosen.json:
        write_output(json.dumps(as_document(reports, now), indent=2) + "\n")
    else:
        style = style_of(sys.stdout, width=shutil.get_terminal_size().columns)
        write_output("\n".join(as_text(report, style, now) for report in reports))
    return 0 if all(report.is_good for report in reports) else 1


def _refuse_wrong_words(chosen: argparse.Namespace) -> None:
    """Exit with 2 for words that do not go together, or that are no names."""
    from txtransport.cli.inspect.peers import is_name
    from txtransport.text import short_repr

    if chosen.key is not None and len(chosen.files) > 1:
        chosen.refuse("--key is for one FILE")
    for name in chosen.name:
        if not is_name(name):
            chosen.refuse(f"--name {short_repr(name)}: is neither a DNS name nor an address")


def _inspect(chosen: argparse.Namespace, now: datetime) -> list[FileReport]:
    from txtransport.cli.inspect.inspecting import inspect
    from txtransport.cli.inspect.purpose import with_keys

    files: Sequence[str] = list(dict.fromkeys(chosen.files))
    secret = _secret(chosen, [*files, *filter(None, [chosen.key])])
    pairs = [(files[0], chosen.key)] if chosen.key else with_keys(files, secret)
    return [
        inspect(
            path,
            key,
            now=now,
            purpose=chosen.purpose,
            secret=secret,
            cafile=chosen.cafile,
            names=chosen.name,
        )
        for path, key in pairs
    ]


def _secret(chosen: argparse.Namespace, files: Sequence[str]) -> TLSPolicy:
    """A policy with the passphrase, asked for where a person can answer."""
    from txtransport.cli.inspect.subject import contents_of
    from txtransport.cli.terminal import is_terminal
    from txtransport.config.policy import TLSPolicy
    from txtransport.text import short_text

    if chosen.passphrase_file is not None:
        return TLSPolicy(passphrase_file=chosen.passphrase_file)
    sealed = next((path for path in files if contents_of(path).is_encrypted), None)
    if sealed is None or not is_terminal(sys.stdin):
        return TLSPolicy()
    import getpass

    try:
        given = getpass.getpass(f"Passphrase of the key in {short_text(sealed)}: ")
    except EOFError:
        given = ""
    except UnicodeDecodeError:
        # Of a terminal with another encoding. From a file the bytes are taken as they are.
        chosen.refuse(
            "the passphrase is not in the encoding of this terminal; write it into a file, and "
            "name that: --passphrase-file FILE"
        )
    return TLSPolicy(passphrase=given or None)
