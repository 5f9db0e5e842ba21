"""Whether an address is one of the public Internet, and which address stands inside another.

A program that connects where a stranger says can be made to reach what only this
machine can reach: services on loopback, devices of the local network, the server
that gives a cloud's machines their credentials (169.254.169.254). Names do not
help to tell: anyone can let a name of their own lead to 127.0.0.1, or to another
address at each look-up (*DNS rebinding*). So it is always the address that is
judged, the very one that is connected to next.

Some IPv6 addresses stand for an IPv4 address, which a gateway or the system itself
then connects to::

    ::ffff:127.0.0.1      IPv4-mapped (RFC 4291, 2.5.5.2)      the last 32 bits
    64:ff9b::7f00:1       NAT64 (RFC 6052)                     the last 32 bits
    2002:7f00:1::         6to4 (RFC 3056)                      bits 16 to 47
    2001:0:7f00:1::       Teredo (RFC 4380, 4)                 bits 32 to 63, the server
    2001::80ff:fffe       Teredo                               the last 32, inverted: the client

They are judged by what stands inside, Teredo by both. Addresses of a tunnel within
some network (ISATAP, RFC 5214) end in ``0:5efe:`` or ``200:5efe:`` and an IPv4 address:
they are judged by themselves and by what stands inside. A network may use a NAT64 prefix
of its own choice, which nobody outside can recognise.

`ipaddress` of Python answers a similar question (``is_global``), and differently
from release to release (CVE-2024-4032). The tables here are IANA's registries of
special-purpose addresses, in which also what is reachable through some relay or
anycast service (6to4, AMT, AS112) counts as not public: where it leads depends on the
network that one is in. Of IPv6 only 2000::/3, from which IANA assigns, can be public at
all, and of that all but the networks listed here, assigned yet or not.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

from txtransport.config.address import find_address, without_zone

__all__ = ["embedded", "judged_addresses", "why_not_public"]

Address = IPv4Address | IPv6Address

_METADATA: Final = "gives a cloud's machines their credentials"

# The more specific first, where one holds another.
# https://www.iana.org/assignments/iana-ipv4-special-registry
_IPV4: Final = tuple(
    (IPv4Network(network), what)
    for network, what in (
        ("169.254.169.254/32", _METADATA),
        ("169.254.170.2/32", _METADATA),
        ("100.100.100.200/32", _METADATA),
        ("168.63.129.16/32", _METADATA),
        ("192.0.0.192/32", _METADATA),
        ("0.0.0.0/32", "is unspecified, and means this machine"),
        ("0.0.0.0/8", "is of this network (RFC 791)"),
        ("10.0.0.0/8", "is private (RFC 1918)"),
        ("100.64.0.0/10", "is shared behind a carrier's NAT (RFC 6598)"),
        ("127.0.0.0/8", "is of loopback (RFC 1122)"),
        ("169.254.0.0/16", "is link-local (RFC 3927)"),
        ("172.16.0.0/12", "is private (RFC 1918)"),
        ("192.0.0.0/24", "is for protocols (RFC 6890)"),
        ("192.0.2.0/24", "is for documentation (RFC 5737)"),
        ("192.31.196.0/24", "is of AS112's anycast (RFC 7535)"),
        ("192.52.193.0/24", "is of AMT relays (RFC 7450)"),
        ("192.88.99.0/24", "is of 6to4 relays (RFC 7526)"),
        ("192.168.0.0/16", "is private (RFC 1918)"),
        ("192.175.48.0/24", "is of AS112's anycast (RFC 7534)"),
        ("198.18.0.0/15", "is for benchmarks (RFC 2544)"),
        ("198.51.100.0/24", "is for documentation (RFC 5737)"),
        ("203.0.113.0/24", "is for documentation (RFC 5737)"),
        ("224.0.0.0/4", "is multicast (RFC 5771)"),
        ("255.255.255.255/32", "is broadcast (RFC 919)"),
        ("240.0.0.0/4", "is reserved (RFC 1112)"),
    )
)

_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")

# https://www.iana.org/assignments/iana-ipv6-special-registry
_IPV6: Final = tuple(
    (IPv6Network(network), what)
    for network, what in (
        ("fd00:ec2::/32", _METADATA),
        ("fd20:ce::254/128", _METADATA),
        ("::/128", "is unspecified, and means this machine"),
        ("::1/128", "is of loopback (RFC 4291)"),
        ("64:ff9b:1::/48", "is of a NAT64 of this network (RFC 8215)"),
        ("2001::/23", "is for protocols (RFC 2928)"),
        ("2001:db8::/32", "is for documentation (RFC 3849)"),
        ("2620:4f:8000::/48", "is of AS112's anycast (RFC 7534)"),
        ("3ffe::/16", "was of the 6bone, and went back to IANA (RFC 3701)"),
        ("3fff::/20", "is for documentation (RFC 9637)"),
        ("fc00::/7", "is private (RFC 4193)"),
        ("fe80::/10", "is link-local (RFC 4291)"),
        ("fec0::/10", "is private (RFC 3879)"),
        ("ff00::/8", "is multicast (RFC 4291)"),
    )
)

_MAPPED: Final = IPv6Network("::ffff:0:0/96")
_NAT64: Final = IPv6Network("64:ff9b::/96")
_6TO4: Final = IPv6Network("2002::/16")
_TEREDO: Final = IPv6Network("2001::/32")
_LAST_32_BITS: Final = 0xFFFFFFFF
# The first half of an interface identifier, by whether the IPv4 address inside is
# unique in the world (RFC 5214, section 6.1).
_ISATAP: Final = (0x0000_5EFE, 0x0200_5EFE)


def why_not_public(text: str) -> str | None:
    """Why an address is not one of the public Internet.

    Args:
        text: An address, perhaps with a zone. What is no address is not public.

    Returns:
        The end of a sentence that begins with the address, such as ``is of
        loopback (RFC 1122)``; None for a public address.
    """
    address = find_address(without_zone(text))
    if address is None:
        return "is no address"
    for judged in (*judged_addresses(address), *_tunnel_end(address)):
        what = _what_is_special(judged)
        if what is not None:
            return what if judged == address else f"stands for {judged}, which {what}"
    return None


def judged_addresses(address: Address) -> tuple[Address, ...]:
    """The addresses by which an address is judged: those inside it, or else itself.

    Args:
        address: IPv4 or IPv6. A zone is ignored.
    """
    return embedded(address) or (address,)


def embedded(address: Address) -> tuple[IPv4Address, ...]:
    """The IPv4 addresses for which an IPv6 address stands.

    Args:
        address: IPv4 or IPv6. A zone is ignored.

    Returns:
        One for the IPv4-mapped, NAT64 and 6to4 forms, two for Teredo (the
        server's and the client's), and none for any other address.
    """
    if isinstance(address, IPv4Address):
        return ()
    bits = int(address)
    if address in _MAPPED or address in _NAT64:
        return (IPv4Address(bits & _LAST_32_BITS),)
    if address in _6TO4:
        return (IPv4Address(bits >> 80 & _LAST_32_BITS),)
    if address in _TEREDO:
        client = ~bits & _LAST_32_BITS
        return IPv4Address(bits >> 64 & _LAST_32_BITS), IPv4Address(client)
    return ()


def _tunnel_end(address: Address) -> tuple[IPv4Address, ...]:
    """The IPv4 address at which the tunnel of an ISATAP address ends, if it is one."""
    if isinstance(address, IPv4Address) or int(address) >> 32 & _LAST_32_BITS not in _ISATAP:
        return ()
    return (IPv4Address(int(address) & _LAST_32_BITS),)


def _what_is_special(address: Address) -> str | None:
    if isinstance(address, IPv4Address):
        return next((what for network, what in _IPV4 if address in network), None)
    known = next((what for network, what in _IPV6 if address in network), None)
    if known is None and address not in _GLOBAL_UNICAST:
        return "is not assigned to the Internet (2000::/3 is)"
    return known
