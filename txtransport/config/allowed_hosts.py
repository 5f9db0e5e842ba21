"""Which hosts a client may connect to: ``allow_hosts=`` and ``public_only=`` of `client`.

They are for URLs from strangers, and for that reason keywords and no options: a URL
cannot carry them. Both restrict, and both hold where both are given.

`HostRules` answers two questions. `refuse_host` is asked once, about the URL, and
saves the look-up of a name that no answer could make acceptable. `require_allowed` is
asked about each address just before it is tried, and it is this answer that counts:
between the two, what a name leads to can change.

Whatever leaves the look-up to someone else, such as most kinds of proxy, gives no address
to judge, and must refuse both keywords.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network
from typing import Final

from attrs import evolve, field, frozen

from txtransport.config.address import find_address, without_zone
from txtransport.config.public_address import embedded, judged_addresses, why_not_public
from txtransport.config.url import TransportURL
from txtransport.errors import InvalidOption, InvalidTransport
from txtransport.text import escape_text, short_repr

__all__ = ["HostRules", "read_host_rules"]

_ALLOW_HOSTS: Final = "allow_hosts"
_PUBLIC_ONLY: Final = "public_only"
_EXPECTED: Final = (
    "allow_hosts takes a list of names (example.com, *.example.com), addresses and networks "
    "(192.0.2.0/24)"
)


@frozen
class HostRules:
    """Which hosts may be connected to.

    Attributes:
        names: The names that are allowed, in lower case and ASCII; ``*.`` in front
            stands for one label. None when any name is.
        networks: The networks that are allowed beside the names; an address is a
            network of one.
        is_public_only: Whether the address must be one of the public Internet.
    """

    names: frozenset[str] | None = None
    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    is_public_only: bool = field(default=False, kw_only=True)

    def refuse_host(self, url: TransportURL) -> None:
        """Refuse a URL whose host cannot be allowed, whatever its name leads to.

        Raises:
            InvalidOption: The host is an address that is not allowed, or a local
                socket, or a name that is not allowed while no network is.
        """
        where = url.location
        if url.path:
            name = _PUBLIC_ONLY if self.is_public_only else _ALLOW_HOSTS
            raise InvalidOption(name, f"{where}: {name} allows no local socket")
        if url.is_literal:
            self.require_allowed(url, url.host)
        elif not self._is_named(url) and not self.networks:
            raise InvalidOption(_ALLOW_HOSTS, f"{where}: allow_hosts does not have {url.name}")

    def require_allowed(self, url: TransportURL, address: str) -> None:
        """Refuse an address that must not be connected to.

        Args:
            url: The URL, with the name that led to the address.
            address: The address that is tried next, perhaps with a zone.

        Raises:
            InvalidOption: The address is not allowed; its text says why.
        """
        where, shown = url.location, escape_text(address)[:80]
        why = why_not_public(address) if self.is_public_only else None
        if why is not None:
            raise InvalidOption(_PUBLIC_ONLY, f"{where}: public_only: {shown} {why}")
        if not self._is_named(url) and not self._has(address):
            raise InvalidOption(_ALLOW_HOSTS, f"{where}: allow_hosts does not have {shown}")

    def for_targets_of(self, url: TransportURL) -> HostRules:
        """The rules for the hosts that the DNS names as those of a URL's service (``srv=``).

        They are the choice of the owner of the URL's host, as its addresses are: where that
        is allowed by its name, their names do not count, and where it is not, they allow
        nothing. Their addresses are judged as any host's.

        Args:
            url: The URL, whose host is a name.
        """
        return evolve(self, names=None if self._is_named(url) else frozenset())

    def _is_named(self, url: TransportURL) -> bool:
        if self.names is None:
            return True
        parent = url.name.partition(".")[2]
        return url.name in self.names or f"*.{parent}" in self.names

    def _has(self, text: str) -> bool:
        """Whether an address, or each one inside it, is in one of the networks."""
        address = find_address(without_zone(text))
        return address is not None and all(
            any(judged in network for network in self.networks)
            for judged in judged_addresses(address)
        )


def read_host_rules(allow_hosts: object, public_only: object) -> HostRules | None:
    """The rules of the two keywords, or None when neither restricts anything.

    Args:
        allow_hosts: An iterable of texts, or None.
        public_only: A bool.

    Raises:
        InvalidOption: One of them is something else.
    """
    if not isinstance(public_only, bool):
        raise InvalidOption(
            _PUBLIC_ONLY, f"public_only is True or False, not {short_repr(public_only)}"
        )
    if allow_hosts is None:
        return HostRules(is_public_only=True) if public_only else None
    if isinstance(allow_hosts, (str, bytes)) or not isinstance(allow_hosts, Iterable):
        raise InvalidOption(_ALLOW_HOSTS, f"{_EXPECTED}, not {short_repr(allow_hosts)}")
    names, networks = set(), []
    for entry in allow_hosts:
        network = _network(entry)
        if network is None:
            names.add(_name(entry))
        else:
            networks.append(network)
    return HostRules(frozenset(names), tuple(networks), is_public_only=public_only)


def _network(entry: object) -> IPv4Network | IPv6Network | None:
    """The network, or the address as a network of one, that an entry is; None for a name."""
    # A zone is a matter of the address that is tried, and is not compared.
    if not isinstance(entry, str) or "%" in entry:
        raise _wrong(entry)
    try:
        network = ipaddress.ip_network(entry)
    except ValueError:
        return None
    if embedded(network.network_address) and embedded(network.broadcast_address):
        # An address is judged by the one inside it, so that this entry would do nothing.
        raise InvalidOption(
            _ALLOW_HOSTS, f"{entry} stands for IPv4; allow_hosts takes the IPv4 address itself"
        )
    return network


def _name(entry: str) -> str:
    """A name in the form of `TransportURL.name`, perhaps behind ``*.``."""
    star = "*." if entry.startswith("*.") else ""
    try:
        url = TransportURL.parse(f"tcp://{entry.removeprefix(star)}")
    except (InvalidTransport, InvalidOption):
        raise _wrong(entry) from None
    if url.is_literal or url.host == "*" or url != TransportURL("tcp", url.host):
        raise _wrong(entry)
    return star + url.name


def _wrong(entry: object) -> InvalidOption:
    return InvalidOption(_ALLOW_HOSTS, f"{_EXPECTED}; {short_repr(entry)} is none of them")
