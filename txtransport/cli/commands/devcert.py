"""``txtransport devcert``: make a development authority, and certificates that it issues."""

from __future__ import annotations

import argparse
import itertools
import os
import shlex
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from txtransport.cli.commands import CommandParsers
from txtransport.cli.terminal import table_lines, wrap, write_output
from txtransport.text import short_repr

if TYPE_CHECKING:
    from txtransport.cli.devfolder import Folder
    from txtransport.testing.devcert import Issued, Purpose

__all__ = ["add", "run"]

_MAX_DAYS: Final = 3650
_PORT: Final = 8443
_INDENT: Final = "  "
# The names at which a server can listen on any machine, and is reached from it alone.
_HERE: Final = "localhost"
_LOOPBACK: Final = frozenset({_HERE, "127.0.0.1", "::1"})


def add(commands: CommandParsers) -> None:
    """Add the command's parser to argparse's subparsers."""
    parser = commands.add_parser(
        "devcert",
        help="make a development authority and a certificate",
        description="Makes an authority of your own in DIR, and a certificate that it issues, "
        "for trying things out; says how to trust it. The authority stays: later runs issue "
        "from the same one and renew the certificates that it has issued.",
    )
    parser.add_argument("folder", metavar="DIR", help="the folder; is made if it is not there")
    parser.add_argument(
        "names",
        nargs="+",
        metavar="NAME",
        help="whom the certificate is for: localhost, *.example.com, ::1; the first names its file",
    )
    parser.add_argument(
        "--days",
        type=_days,
        default=90,
        help="how long the certificate is valid (default: %(default)s)",
    )
    parser.add_argument(
        "--client", action="store_true", help="make a client's certificate, not a server's"
    )
    parser.add_argument(
        "--force", action="store_true", help="replace files that were not made by this command"
    )
    parser.set_defaults(command=run, refuse=parser.error)


def run(chosen: argparse.Namespace) -> int:
    """Make the files, and show how to use them.

    Returns:
        The exit status.

    Raises:
        OSError: A file is in the way, or cannot be written.
        SystemExit: A name cannot be a certificate's, or a URL cannot name the
            folder's files (2).
    """
    # cryptography takes a while to import.
    from txtransport.cli import devfolder

    try:
        names = [devfolder.read_name(name) for name in chosen.names]
    except ValueError as problem:
        chosen.refuse(str(problem))
    if not _is_fit_for_urls(os.path.join(chosen.folder, devfolder.file_name(names[0]))):
        chosen.refuse(f"{short_repr(chosen.folder)}: no URL can name its files; take another DIR")
    purpose: Purpose = "client" if chosen.client else "server"
    try:
        folder = devfolder.Folder.of(chosen.folder, is_replacing=chosen.force)
        path, issued = folder.issue(names, days=chosen.days, purpose=purpose)
    except devfolder.NotOurs as problem:
        raise FileExistsError(f"{problem}; --force replaces it") from problem
    names = list(dict.fromkeys(names))
    width = shutil.get_terminal_size().columns
    advice = _for_clients if chosen.client else _for_servers
    lines = [
        *_files(folder, path, issued, names, width),
        *_advice_lines(_for_trust(folder.cafile), width),
        *_advice_lines(advice(folder.cafile, path, names[0]), width),
    ]
    write_output("\n".join(lines) + "\n")
    return 0


def _days(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= _MAX_DAYS):
        raise argparse.ArgumentTypeError(
            f"takes a whole number from 1 to {_MAX_DAYS}, not {text[:20]!r}"
        )
    return int(text)


def _files(
    folder: Folder, path: str, issued: Issued, names: list[str], width: int
) -> Iterator[str]:
    state = "new" if folder.is_new else "kept"
    root, leaf = folder.authority.certificate, issued.certificate
    yield from table_lines(
        [
            (folder.cafile, f"the authority, {state}, until {root.not_valid_after_utc:%Y-%m-%d}"),
            (
                folder.key_file,
                f"its key, {state}, so that the next run issues from the same authority; whoever "
                "has it can pose as anyone to those who trust the authority",
            ),
            (
                path,
                f"new: key, certificate and chain for {', '.join(names)}, "
                f"until {leaf.not_valid_after_utc:%Y-%m-%d}",
            ),
        ],
        width,
    )


def _advice_lines(advice: Iterator[tuple[str, str]], width: int) -> Iterator[str]:
    """Each piece of advice, and below it a line to copy."""
    yield ""
    for text, line in advice:
        yield from wrap(f"{text}:", width)
        yield f"{_INDENT}{line}"


def _for_trust(cafile: str) -> Iterator[tuple[str, str]]:
    ca = shlex.quote(cafile)
    yield "To trust it in txtransport, as a keyword", f"cafile={cafile!r}"
    yield "In curl", f"curl --cacert {ca}"
    yield (
        "On all of Debian or Ubuntu",
        f"sudo cp {ca} /usr/local/share/ca-certificates/txtransport-dev.crt "
        "&& sudo update-ca-certificates",
    )
    yield (
        "In Chrome and others that use NSS",
        f'certutil -d "sql:$HOME/.pki/nssdb" -A -t C,, -n txtransport-dev -i {ca}',
    )
    yield (
        "In Firefox",
        f"Settings, Certificates, View Certificates, Authorities, Import: {cafile}",
    )


def _for_servers(cafile: str, path: str, name: str) -> Iterator[tuple[str, str]]:
    # Nothing that is printed listens beyond this machine: a client gets there by the
    # address of loopback, and demands the name all the same.
    is_local = name in _LOOPBACK
    host = name if is_local else _HERE
    peer = name.replace("*.", "www.")
    named = {} if is_local else {"peer_name": peer}
    server = _url(host, local_cert=path)
    yield "To try it, as the URL of a server", server
    yield "As the URL of a client", _url(host, **named, cafile=cafile)
    folder = _new_folder()
    yield (
        "With Twisted's web server, which serves a new folder: never serve one with keys",
        f"mkdir {folder} && echo hello > {folder}/index.html && "
        f"twistd -n web --path {folder} --listen {_endpoint_for_shell(server)}",
    )
    address = _url(peer).partition("://")[2]
    dialled = "" if is_local else f"--connect-to {shlex.quote(f'{address}:{_HERE}:{_PORT}')} "
    yield (
        "And to ask it",
        f"curl --cacert {shlex.quote(cafile)} {dialled}{shlex.quote(f'https://{address}/')}",
    )


def _for_clients(cafile: str, path: str, name: str) -> Iterator[tuple[str, str]]:
    yield "To try it, as the URL of a client", _url(_HERE, local_cert=path, cafile=cafile)
    server = _url(_HERE, local_cert="server.pem", verify_peer="yes", cafile=cafile)
    yield "And of a server that asks for it", server


def _new_folder() -> str:
    """A folder for a web server, that is not there yet, so that no keys are in it."""
    names = itertools.chain(["public"], (f"public-{number}" for number in itertools.count(2)))
    return next(name for name in names if not os.path.lexists(name))


def _url(host: str, **options: str) -> str:
    from txtransport.config.url import TransportURL

    return str(TransportURL("tls", host, _PORT, options=tuple(options.items())))


def _is_fit_for_urls(path: str) -> bool:
    """Whether a URL can name that file: what is printed has such URLs."""
    from txtransport.config.url import TransportURL
    from txtransport.errors import TransportError

    try:
        TransportURL.parse(_url(_HERE, local_cert=path, cafile=path))
    except (TransportError, UnicodeEncodeError):
        return False
    return True


def _endpoint_for_shell(url: str) -> str:
    """A URL as an endpoint string, for the shell."""
    from txtransport.endpoints.strings import endpoint_string

    return shlex.quote(endpoint_string(url))
