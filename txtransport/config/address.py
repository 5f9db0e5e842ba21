"""Which kind of address a text or a host is, and how an address is written.

Six questions sound alike, and have different answers:

======================  ========================================  =========================
function                what it is asked about                    what it answers
======================  ========================================  =========================
`is_address`            any text                                  IPv4 or IPv6?
`is_ipv6_in_url`        any text, from a URL                      IPv6, with a zone that a
                                                                  URL may carry?
`is_ipv6`               a host that was checked before            IPv6?
`client_network`        a client's address                        whom does a limit count?
`find_peer_address`     a peer's address                          is it the same as another?
`ends_in_number`        a host's name in ASCII                    would the C library read
                                                                  it as an IPv4 address?
======================  ========================================  =========================

None of them knows brackets: ``[::1]`` is how a URL writes the address ``::1``.

A *zone* names the network interface on which a link-local IPv6 address is
meant: ``fe80::1%eth0`` (RFC 4007, section 11). It means something on this
machine only, so that certificates and peers never see it.

An IPv4 address is four decimal numbers here. The C library's ``inet_aton``
takes more, and would connect to 127.0.0.1 for ``127.1``, ``0x7f000001`` and
``2130706433``. A text of that kind is neither an address nor a name to us
(`ends_in_number`): two programs that read it differently are how a check of
the host is bypassed.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from typing import Final

__all__ = [
    "canonical_address",
    "canonical_ipv4",
    "canonical_ipv6",
    "client_network",
    "ends_in_number",
    "find_address",
    "find_peer_address",
    "is_address",
    "is_ipv6",
    "is_ipv6_in_url",
    "is_zone",
    "without_zone",
]

# RFC 6874 has unreserved characters and percent escapes in a zone. Names of
# interfaces need no escapes. Linux allows 15 bytes, Windows more.
_ZONE: Final = re.compile(r"[A-Za-z0-9._~-]{1,64}").fullmatch

# The WHATWG's URL standard has the same rule ("ends in a number").
_NUMERIC_END: Final = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)\.?", re.IGNORECASE).fullmatch


def is_address(text: str) -> bool:
    """Whether any text is an IPv4 or an IPv6 address.

    Args:
        text: Anything. Brackets and a port are no part of an address; a zone
            is, and may hold anything but ``%`` and ``/``.
    """
    return find_address(text) is not None


def find_address(text: str) -> IPv4Address | IPv6Address | None:
    """The address that a text is, as a value, or None when the text is none.

    Args:
        text: As for `is_address`.
    """
    return _cached_address(text) if len(text) <= _MAX_CACHED else _address(text)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


_MAX_CACHED: Final = 255
"""Characters; no host is longer."""

# A program asks the same of the same few hosts, several times for each connection.
_cached_address: Final = functools.lru_cache(maxsize=1024)(_address)


def client_network(host: str) -> str:
    """The part of an address by which clients of a server are told apart.

    A host of IPv6 chooses the last 64 bits of its addresses itself, and takes new ones
    when it likes, so that they tell nothing. An IPv4-mapped address is how a socket of
    IPv6 shows an IPv4 client; by their first 64 bits all of those would be one.

    Args:
        host: A client's address; any other text is returned as it is.

    Returns:
        The IPv4 address, or the network of the first 64 bits.

    Source: RFC 4291, sections 2.5.4 and 2.5.5.2; RFC 8981 (temporary addresses).
    """
    address = find_address(host)
    if not isinstance(address, IPv6Address):
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(IPv6Network((int(address) >> 64 << 64, 64)))


def find_peer_address(host: str) -> IPv4Address | IPv6Address | None:
    """The address of a peer, as it is compared with others: without zone, and IPv4 as such.

    Args:
        host: As for `client_network`; an IPv4-mapped address is how a socket of IPv6 shows
            an IPv4 peer.

    Returns:
        None if it is no address.
    """
    address = find_address(without_zone(host))
    if isinstance(address, IPv6Address):
        return address.ipv4_mapped or address
    return address


def is_ipv6(host: str) -> bool:
    """Whether a host that was checked before is an IPv6 address.

    No name and no IPv4 address has a colon in it, so that one look suffices.
    About an unchecked text this says nothing: ``h:80`` has a colon as well.

    Args:
        host: A name, an address without brackets, or ``*``.
    """
    return ":" in host


def is_ipv6_in_url(text: str) -> bool:
    """Whether any text is an IPv6 address as a URL may have it.

    Args:
        text: Anything; a zone must be one that `is_zone` accepts.
    """
    address, percent, zone = text.partition("%")
    try:
        IPv6Address(address)
    except ValueError:
        return False
    return not percent or is_zone(zone)


def is_zone(text: str) -> bool:
    """Whether a text can be the zone of an address in a URL.

    Args:
        text: What stands behind the ``%``, percent-decoded.
    """
    return _ZONE(text) is not None


def ends_in_number(host: str) -> bool:
    """Whether a host's last label is a decimal or hexadecimal number.

    Such a host is an IPv4 address or an error, and never a name.

    Args:
        host: Without brackets, perhaps with a trailing dot.
    """
    return _NUMERIC_END(host) is not None


def canonical_address(text: str) -> str:
    """An IPv4 or IPv6 address in its shortest form.

    Args:
        text: The address; a zone is kept as it is.

    Raises:
        ValueError: The text is no address.

    Source: RFC 5952, sections 4 and 5.
    """
    return _written(ipaddress.ip_address(text))


def canonical_ipv4(text: str) -> str:
    """An IPv4 address of four decimal numbers, as it is.

    Raises:
        ValueError: The text is anything else, a number with a leading zero
            included (``127.0.0.01``), which some read as octal.
    """
    return str(IPv4Address(text))


def canonical_ipv6(text: str) -> str:
    """An IPv6 address in its shortest form.

    Args:
        text: The address; a zone is kept as it is.

    Raises:
        ValueError: The text is no IPv6 address.

    Source: RFC 5952, sections 4 and 5.
    """
    return _written(IPv6Address(text))


def _written(address: IPv4Address | IPv6Address) -> str:
    """An address as text, which is the same on every Python.

    Before 3.13, Python itself writes an IPv4-mapped address in hexadecimal digits.
    """
    if isinstance(address, IPv4Address) or address.ipv4_mapped is None:
        return str(address)
    zone = "" if address.scope_id is None else f"%{address.scope_id}"
    return f"::ffff:{address.ipv4_mapped}{zone}"


def without_zone(host: str) -> str:
    """A host without the zone, if it is an address that has one.

    Args:
        host: A name, or an address without brackets.
    """
    return host.partition("%")[0]
