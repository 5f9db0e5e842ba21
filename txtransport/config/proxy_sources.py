"""Who may send PROXY headers to a server: the value of ``proxy_from``.

A header is believed, whatever it says, so that this list is all that keeps others from
posing as any client.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network
from typing import Final, cast

from attrs import frozen

from txtransport.config.address import find_peer_address

__all__ = ["NO_ONE", "ProxySources", "read_proxy_sources"]

_UNIX: Final = "unix"


@frozen
class ProxySources:
    """Networks, and perhaps those who connect to a local socket.

    Attributes:
        networks: The networks; an address is a network of one.
        has_unix: Whether those who may connect to a local socket may send headers there.
    """

    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    has_unix: bool = False

    def has(self, host: str | None) -> bool:
        """Whether a connection may begin with a header.

        Args:
            host: The peer's address, perhaps with a zone; None of a local socket.
        """
        if host is None:
            return self.has_unix
        address = find_peer_address(host)
        return address is not None and any(address in network for network in self.networks)

    @property
    def everyone(self) -> str | None:
        """The network that has every address of IPv4 or IPv6 in it, if there is one."""
        return next((str(each) for each in self.networks if each.prefixlen == 0), None)


NO_ONE: Final = ProxySources()
"""The list that has no one."""


def read_proxy_sources(given: object) -> ProxySources:
    """Read the value of the option.

    Args:
        given: Networks, addresses and the word ``unix``, separated by commas or as an
            iterable of texts.

    Raises:
        ValueError: One is none of these, or a network has bits beside its prefix.
        TypeError: It is something else.
    """
    if isinstance(given, ProxySources):
        return given
    words = given.split(",") if isinstance(given, str) else tuple(cast("Iterable[object]", given))
    if not words:
        raise ValueError(given)
    texts = [word for word in words if word != _UNIX]
    return ProxySources(tuple(map(_network, texts)), len(texts) < len(words))


def _network(text: object) -> IPv4Network | IPv6Network:
    if not isinstance(text, str) or not text.isascii() or "%" in text:
        # Python takes integers and bytes for addresses.
        raise TypeError(text)
    return ipaddress.ip_network(text)
