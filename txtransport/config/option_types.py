"""How the values of options are read.

A value arrives as the text of a URL or as what a Python programmer would write,
and leaves as what the settings hold. Each reader raises ValueError or TypeError
for anything else; which option it was, and what to write instead, is said by
`txtransport.config.options`.
"""

from __future__ import annotations

import base64
import functools
import os
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from attrs import frozen

from txtransport.config.address import (
    canonical_address,
    canonical_ipv4,
    canonical_ipv6,
    is_address,
)
from txtransport.config.policy import Verify
from txtransport.starttls.protocols import STARTTLS_PROTOCOLS, StartTLSProtocol, starttls_protocol


@frozen
class Type:
    """How the values of an option are read.

    Attributes:
        expects: What to write, for people.
        read: Takes what was written, returns what it means; raises ValueError
            or TypeError for anything else.
        words: What may be written, where that is one of a few words.
    """

    expects: str
    read: Callable[[Any], Any]
    words: tuple[str, ...] = ()


_FLAGS: Final = {
    **dict.fromkeys(("yes", "true", "on", "1"), True),
    **dict.fromkeys(("no", "false", "off", "0"), False),
}


def _flag(given: Any) -> bool:
    if isinstance(given, bool):
        return given
    if isinstance(given, str):
        return _FLAGS[given.lower()]
    raise TypeError(given)


def _number(given: Any, low: int, high: int) -> int:
    if isinstance(given, bool) or not isinstance(given, (int, str)):
        raise TypeError(given)
    if isinstance(given, str) and not re.fullmatch("[0-9]{1,12}", given):
        raise ValueError(given)
    number = int(given)
    if not low <= number <= high:
        raise ValueError(given)
    return number


def whole(low: int, high: int) -> Type:
    """A whole number of that range, both ends in it."""
    return Type(
        f"a whole number from {low} to {high}",
        functools.partial(_number, low=low, high=high),
    )


_A_DAY: Final = 86400.0


def _seconds(given: Any) -> float:
    if isinstance(given, bool) or not isinstance(given, (int, float, str)):
        raise TypeError(given)
    if isinstance(given, str) and not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", given):
        raise ValueError(given)
    seconds = float(given)
    if not 0 < seconds <= _A_DAY:
        raise ValueError(given)
    return seconds


def _text(given: Any) -> str:
    if not isinstance(given, str):
        raise TypeError(given)
    if not given or not given.isprintable():
        raise ValueError(given)
    return given


def _path(given: Any) -> str:
    path = _text(os.fspath(given))
    # PATH_MAX (limits.h).
    if len(path) > 4096:
        raise ValueError(given)
    return path


def _names(given: Any) -> tuple[str, ...]:
    words = given.split(",") if isinstance(given, str) else tuple(given)
    if not words:
        raise ValueError(given)
    return tuple(_text(word) for word in words)


def choice(*words: str) -> Type:
    """One of those words."""

    def read(given: Any) -> str:
        if not isinstance(given, str) or given not in words:
            raise ValueError(given)
        return given

    return Type(" or ".join(map(repr, words)), read)


def _verify(given: Any) -> Verify:
    if isinstance(given, Verify):
        return given
    if isinstance(given, str) and given.lower() == "optional":
        return Verify.OPTIONAL
    return Verify.YES if _flag(given) else Verify.NO


def _protocols(given: Any) -> tuple[str, ...]:
    names = _names(given)
    sizes = [len(name.encode()) for name in names]
    # One byte holds a name's length, two that of the list (RFC 7301, 3.1).
    if max(sizes) > 255 or sum(sizes) + len(sizes) > 65535:
        raise ValueError(given)
    return names


_DIGEST_DIGITS: Final = (64, 96, 128)


def _fingerprints(given: Any) -> tuple[str, ...]:
    digests = tuple(name.replace(":", "").lower() for name in _names(given))
    for digest in digests:
        if len(digest) not in _DIGEST_DIGITS or not re.fullmatch("[0-9a-f]+", digest):
            raise ValueError(given)
    return digests


# HPKP writes sha256/ in front, curl sha256//; the digest may begin with a / of its own.
_PIN: Final = re.compile("(?:sha256//?)?([A-Za-z0-9+/]{43}=)").fullmatch


def _pins(given: Any) -> tuple[str, ...]:
    found = [_PIN(name) for name in _names(given)]
    if None in found:
        raise ValueError(given)
    # Decoded and encoded again: the last character has two bits that do not count.
    return tuple(base64.b64encode(base64.b64decode(pin[1])).decode() for pin in found if pin)


def _certificates_by_name(given: Any) -> tuple[tuple[str, str], ...]:
    if isinstance(given, str):
        pairs = [pair.partition("=")[::2] for pair in given.split(",")]
    elif isinstance(given, Mapping):
        pairs = list(given.items())
    else:
        raise TypeError(given)
    certificates = {name.lower(): _path(path) for name, path in pairs}
    if not pairs or len(certificates) < len(pairs):
        raise ValueError(given)
    for name in certificates:
        if not re.fullmatch(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*", name.removeprefix("*.")):
            raise ValueError(given)
    return tuple(certificates.items())


def _address(given: Any) -> tuple[str, int]:
    """An address of this machine and a port, 0 being any."""
    if isinstance(given, tuple):
        host, port = given
        return canonical_address(_text(host)), _number(port, 0, 65535)
    found = _PLACE(_text(given))
    if found is None:
        # IPv6 without brackets, when it cannot be read two ways.
        before, _, last = given.rpartition(":")
        if _PLACE(f"[{before}]:{last}") and is_address(before):
            raise ValueError(given)
        return canonical_address(given), 0
    six, four, port = found.groups()
    host = canonical_ipv6(six) if six else canonical_ipv4(four)
    return host, _number(port or 0, 0, 65535)


_PLACE: Final = re.compile(r"(?:\[([^\]]+)\]|([^:\[\]]+))(?::([0-9]{1,5}))?").fullmatch


def _starttls(given: Any) -> StartTLSProtocol:
    if isinstance(given, str):
        return starttls_protocol(given)
    if isinstance(given, StartTLSProtocol):
        return given
    if not callable(given):
        raise TypeError(given)
    return StartTLSProtocol(getattr(given, "__name__", "dialogue"), given, given, None)


FLAG: Final = Type("yes or no", _flag)
TEXT: Final = Type("text without control characters", _text)
FILE: Final = Type("the path of a file", _path)
FOLDER: Final = Type("the path of a folder", _path)
SECONDS: Final = Type("seconds, more than 0 and at most 86400", _seconds)
SIZE: Final = whole(1, 2**31 - 1)
STARTTLS: Final = Type(
    f"one of {', '.join(STARTTLS_PROTOCOLS)}, or in Python a dialogue",
    _starttls,
    tuple(STARTTLS_PROTOCOLS),
)
ADDRESS: Final = Type("address:port of this machine, [::1]:0 for IPv6", _address)
VERIFY: Final = Type("yes, no or optional", _verify)
PROTOCOLS: Final = Type("names separated by commas", _protocols)
FINGERPRINTS: Final = Type(
    "hex digest of SHA-256, SHA-384 or SHA-512, colons allowed, several by commas", _fingerprints
)
PINS: Final = Type("base64 SHA-256 of a public key, several by commas", _pins)
CERTIFICATES_BY_NAME: Final = Type(
    "name=path pairs separated by commas, or a mapping", _certificates_by_name
)
