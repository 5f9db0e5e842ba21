"""The host of a URL in its one form: a name as the DNS has it, or an address.

Each function raises ValueError with what is wrong, a sentence without the URL, which
the caller knows. None of them looks a name up.
"""

from __future__ import annotations

import re
from typing import Final

import idna

from txtransport.config.address import canonical_ipv4, canonical_ipv6, ends_in_number, is_zone
from txtransport.text import short_repr

__all__ = ["canonical_host", "canonical_literal", "host_in_url"]

_LABEL: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)").fullmatch
_DIGIT: Final = re.compile("[0-9]").search


def canonical_host(host: str) -> str:
    """The canonical form of a name or of an IPv4 address.

    Args:
        host: Without brackets and without a port; ``*`` is none.

    Raises:
        ValueError: It is neither.
    """
    if not host:
        raise ValueError("the host is missing")
    if not host.isascii():
        host = _ascii_name(host)
    host = host.lower()
    if ends_in_number(host):
        try:
            return canonical_ipv4(host)
        except ValueError:
            said = short_repr(host, 60)
            raise ValueError(
                f"{said} is not an IPv4 address: four decimal numbers from 0 to 255, separated "
                "by dots"
            ) from None
    bare = host.removesuffix(".")
    labels = bare.split(".")
    if "" in labels:
        raise ValueError("the host has an empty label")
    for label in labels:
        if not _LABEL(label):
            raise ValueError(f"{short_repr(label, 70)} cannot be part of a host's name")
    if len(bare) > 253:
        raise ValueError("the host's name is longer than 253 characters")
    return host


def canonical_literal(literal: str) -> str:
    """The canonical form of an IPv6 address, with its zone unescaped.

    Args:
        literal: Without brackets; the zone behind ``%25``, as RFC 6874 has it, or behind
            a ``%`` alone, as many write it.

    Raises:
        ValueError: It is no such address, or its zone is empty or strange.
    """
    address, percent, zone = literal.partition("%")
    try:
        canonical = canonical_ipv6(address)
    except ValueError:
        said = short_repr(literal, 60)
        raise ValueError(
            f"{said} is not an IPv6 address, and only those stand in brackets"
        ) from None
    if not percent:
        return canonical
    # An interface whose name begins with 25 must therefore be written with the
    # escape: number 250 is %25250.
    zone = zone.removeprefix("25")
    if not zone:
        # ZoneID = 1*( unreserved / pct-encoded )
        raise ValueError(
            f"the zone is empty (RFC 6874); write [{canonical}], or the interface behind %25, "
            f"[{canonical}%25eth0]"
        )
    if not is_zone(zone):
        raise ValueError(f"{short_repr(zone, 40)} is not the name of a network interface")
    return f"{canonical}%{zone}"


def host_in_url(host: str) -> str:
    """A canonical host as a URL has it: an IPv6 address in brackets, its zone escaped."""
    return f"[{host.replace('%', '%25', 1)}]" if ":" in host else host


def _ascii_name(host: str) -> str:
    """An international name as the DNS has it.

    UTS 46 maps many characters to an ASCII digit (full-width, circled, raised and bold
    ones) and some to a dot. Such a text looks like a name to a check that reads it
    before the mapping, and is the address 127.0.0.1 behind it. So it is refused, with
    the text that it would have become, which the user can write. The ideographic full
    stop, which input methods write for a dot, may separate letters.

    Source: UTS 46, section 4; RFC 5891, section 4.2.
    """
    try:
        ascii_name = idna.encode(host, uts46=True).decode("ascii")
    except idna.IDNAError as problem:
        reason = str(problem)[:120]
        raise ValueError(f"the host is not an international name: {reason}") from None
    if ends_in_number(ascii_name) or any(map(_becomes_digit, host)):
        raise ValueError(
            "the host has digits or dots that are not ASCII, and look like others; if "
            f"{short_repr(ascii_name, 70)} is meant, write that"
        )
    return ascii_name


def _becomes_digit(character: str) -> bool:
    """Whether a character that is not ASCII is mapped to a text with an ASCII digit."""
    if character.isascii():
        return False
    return _DIGIT(idna.uts46_remap(character, std3_rules=False)) is not None
