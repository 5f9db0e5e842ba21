"""Prints the reference of transports and options, from the tables that the library reads.

python docs/reference.py > docs/options.md
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from txtransport.config.options import OPTIONS, Option
from txtransport.config.php_options import PHP_OPTIONS, PHPOption
from txtransport.config.schemes import SCHEMES, Scheme

HEAD = """\
<!-- Made by `python docs/reference.py > docs/options.md`; change the tables in the code. -->

# Transports and options

A transport is written `[scheme://]host[:port][?name=value&…]`, a local socket \
`scheme:///path[?…]`, a socket that was open before us `fd://number[?…]` or \
`systemd://name[?…]` ([sockets.md](sockets.md)). An option has one name: in the URL, as a \
Python keyword and here. In a URL its value is percent-encoded UTF-8, and `&` within it is `%26`.

As the host of a server, `*` is every address: a socket of IPv6 and one of IPv4, with the \
same port number. `[::]` is one socket, at which the system writes IPv4 clients as IPv6 \
addresses (`::ffff:192.0.2.7`), unless `ipv6_v6only=yes` refuses them; with `udp` so is `*`."""


FROM_PHP = """\
Options keep the names that PHP gave them, and take the forms of PHP's arrays as Python \
values: `peer_fingerprint={"sha256": "…"}` (MD5 and SHA-1 are refused; with several \
algorithms PHP demands all, so that a mapping has one here), and \
`SNI_server_certs={"www.example.com": {"local_cert": "www.pem", "local_pk": "www.key"}}`. \
An option of PHP's that there is not here is refused with what to use instead:"""


def page() -> Iterator[str]:
    """The whole page, paragraph by paragraph."""
    yield HEAD
    yield "## Transports"
    yield table(("scheme", "what it is", "available"), map(transport, SCHEMES.values()))
    yield "## Options"
    yield (
        "*Sides* are those that have the option: c is a client, s a server, d a datagram "
        "endpoint. A URL that comes from a stranger "
        "(`txtransport.TransportURL.parse(url, trusted=False)`) may carry those marked *safe*, "
        "and no others. What that keeps and does not: [untrusted.md](untrusted.md)."
    )
    by_schemes = sorted(OPTIONS.values(), key=lambda row: places().index(row.belongs))
    for belongs, rows in groupby(by_schemes, key=lambda row: row.belongs):
        yield f"### {heading(belongs)}"
        yield table(("option", "takes", "default", "sides", "safe", "meaning"), map(option, rows))
    yield "## From PHP"
    yield FROM_PHP
    yield table(("PHP's option", "here"), map(of_php, PHP_OPTIONS.values()))


def transport(row: Scheme) -> tuple[str, ...]:
    """One transport's cells."""
    if row.refusal is None:
        return f"`{row.name}`", row.meaning, "yes"
    # Whether the extra is installed here says nothing of the reader's machine.
    extra = "with `txtransport[legacy]` and `allow_broken_ssl=yes`: [legacy.md](legacy.md)"
    reason = f"{row.refusal.summary}; {row.refusal.remedy}"
    return f"`{row.name}`", row.meaning, extra if row.is_broken else f"no: {reason}"


def option(row: Option) -> tuple[str, ...]:
    """One option's cells."""
    sides = " ".join(side[0] for side in sorted(row.sides))
    most = row.most_for_strangers
    upto = "" if most is None else f" up to {most:g}"
    safe = f"safe{upto}" if row.is_for_strangers else ""
    return f"`{row.name}`", row.type.expects, row.default, sides, safe, row.meaning


def of_php(row: PHPOption) -> tuple[str, ...]:
    """The cells of an option of PHP's."""
    return f"`{row.name}`", row.advice


def places() -> list[str]:
    """Where options belong, in the order of the table."""
    return list(dict.fromkeys(row.belongs for row in OPTIONS.values()))


def heading(belongs: str) -> str:
    """The schemes that have what belongs there, of those that can be had."""
    one = next(row for row in OPTIONS.values() if row.belongs == belongs)
    there = [row for row in SCHEMES.values() if row.refusal is None or row.is_broken]
    having = [scheme.name for scheme in there if one.serves(scheme)]
    return "Every transport" if len(having) == len(there) else ", ".join(having)


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A table in Markdown."""
    return "\n".join(map(line, (head, ("---",) * len(head), *rows)))


def line(cells: tuple[str, ...]) -> str:
    """A table's row; a star or a bar within it is itself."""
    return "| {} |".format(" | ".join(cell.translate({42: "\\*", 124: "\\|"}) for cell in cells))


if __name__ == "__main__":
    print("\n\n".join(page()))
