"""The hosts that a user has named: ``hosts=`` of an HTTP agent.

What an agent shows or demands of some hosts alone, such as our certificate, must not go
to another host to which a redirect leads. A host here is what a URL says, and not what
its name leads to: nothing is looked up.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from attrs import frozen

from txtransport.config.url import TransportURL
from txtransport.errors import InvalidOption, InvalidTransport
from txtransport.text import short_repr

__all__ = ["NamedHosts", "read_named_hosts"]

_EXPECTED: Final = (
    "hosts takes a list of names (example.com, *.example.com) and addresses (192.0.2.7, "
    "[2001:db8::7]), each with a port (example.com:8443) or for all ports"
)


@frozen
class NamedHosts:
    """Some hosts.

    Attributes:
        entries: Each a name in the form of `TransportURL.name`, perhaps behind ``*.``,
            which stands for one label, and a port or None for any.
    """

    entries: frozenset[tuple[str, int | None]] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.entries)

    def includes(self, url: TransportURL) -> bool:
        """Whether a URL's host is one of them, at its port.

        Args:
            url: The URL.
        """
        names = [url.name]
        if not url.is_literal:
            names.append(f"*.{url.name.partition('.')[2]}")
        return any((name, port) in self.entries for name in names for port in (url.port, None))


def read_named_hosts(given: object) -> NamedHosts:
    """The hosts that a list names.

    Args:
        given: An iterable of texts.

    Raises:
        InvalidOption: It is something else, or an entry is none of a host.
    """
    if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
        raise InvalidOption("hosts", f"{_EXPECTED}; not {short_repr(given)}")
    return NamedHosts(frozenset(map(_entry, given)))


def _entry(given: object) -> tuple[str, int | None]:
    wrong = InvalidOption("hosts", f"{_EXPECTED}; {short_repr(given)} is none of them")
    # The parser lets a slash behind a host pass.
    if not isinstance(given, str) or "/" in given:
        raise wrong
    star = "*." if given.startswith("*.") else ""
    try:
        url = TransportURL.parse(f"tcp://{given.removeprefix(star)}")
    except (InvalidTransport, InvalidOption):
        raise wrong from None
    if url.host == "*" or url.port == 0 or url != TransportURL("tcp", url.host, url.port):
        raise wrong
    if star and url.is_literal:
        raise wrong
    return f"{star}{url.name}", url.port
