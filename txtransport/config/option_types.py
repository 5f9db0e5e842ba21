"""Readers of option values: from what a user wrote to what it means.

A value comes from a URL as text (``"yes"``, ``"127.0.0.1:80"``), or from Python
as a programmer would write it (``True``, ``("127.0.0.1", 80)``). Both forms mean
the same, and one reader takes both. It returns what the settings hold, and
raises ValueError or TypeError for anything else (a `RefusedValue`, if there is more
to say than what to write). The reader does not know for which option it reads:
`txtransport.config.options.Option.parse` adds the option's name to the error, and
says what to write.
"""

from __future__ import annotations

import base64
import functools
import os
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final, cast

from attrs import frozen

from txtransport.config.address import (
    canonical_address,
    canonical_ipv4,
    canonical_ipv6,
    is_address,
)
from txtransport.config.policy import CertificateFiles, Verify
from txtransport.config.proxy_sources import read_proxy_sources
from txtransport.config.proxy_url import PROXY_SCHEMES, ProxyURL, parse_proxies
from txtransport.starttls.protocols import STARTTLS_PROTOCOLS, StartTLSProtocol, starttls_protocol
from txtransport.starttls.wire import Speaker

__all__ = [
    "ADDRESS",
    "ALPN_PROTOCOLS",
    "CERTIFICATES_BY_NAME",
    "ENDPOINT",
    "FILE",
    "FILE_MODE",
    "FINGERPRINTS",
    "FLAG",
    "FOLDER",
    "OWNER",
    "PEM_BEGIN",
    "PINS",
    "PROXIES",
    "PROXY_SOURCES",
    "SECONDS",
    "SERVICE",
    "SIZE",
    "STARTTLS",
    "TEXT",
    "VERIFY",
    "OptionType",
    "RefusedValue",
    "choice",
    "whole",
]


@frozen
class OptionType:
    """What may be written for an option, and the function that reads it.

    Attributes:
        expects: What to write, in words, for messages and the reference page.
        read: Takes the text of a URL or a Python value, and returns what the
            settings hold. Raises ValueError, TypeError, KeyError,
            AttributeError or OverflowError for a value that it cannot read.
        words: The words that may be written, if there are only a few; a
            mistyped word is answered with the nearest of them.
    """

    expects: str
    read: Callable[[object], object]
    words: tuple[str, ...] = ()


PEM_BEGIN: Final = "-----BEGIN"
"""With this the text of a PEM file begins (RFC 7468, section 2)."""


class RefusedValue(ValueError):
    """A value that is refused for a reason of its own.

    Its text is the reason, for the end of a message, and quotes nothing of the value.
    """


_FLAGS: Final = {
    **dict.fromkeys(("yes", "true", "on", "1"), True),
    **dict.fromkeys(("no", "false", "off", "0"), False),
}


def _flag(given: object) -> bool:
    if isinstance(given, bool):
        return given
    if isinstance(given, str):
        return _FLAGS[given.lower()]
    raise TypeError(given)


def _number(given: object, low: int, high: int) -> int:
    if isinstance(given, bool) or not isinstance(given, (int, str)):
        raise TypeError(given)
    if isinstance(given, str) and not re.fullmatch("[0-9]{1,12}", given):
        raise ValueError(given)
    number = int(given)
    if not low <= number <= high:
        raise ValueError(given)
    return number


def whole(low: int, high: int) -> OptionType:
    """The type of a whole number from `low` to `high`, both included."""
    return OptionType(
        f"a whole number from {low} to {high}",
        functools.partial(_number, low=low, high=high),
    )


_A_DAY: Final = 86400.0


def _seconds(given: object) -> float:
    if isinstance(given, bool) or not isinstance(given, (int, float, str)):
        raise TypeError(given)
    if isinstance(given, str) and not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", given):
        raise ValueError(given)
    seconds = float(given)
    if not 0 < seconds <= _A_DAY:
        raise ValueError(given)
    return seconds


def _text(given: object) -> str:
    if not isinstance(given, str):
        raise TypeError(given)
    if not given or not given.isprintable():
        raise ValueError(given)
    return given


def _endpoint(given: object) -> object:
    # Which of the two an endpoint must be depends on the side, which is not known here.
    if callable(getattr(given, "connect", None)) or callable(getattr(given, "listen", None)):
        return given
    return _text(given)


def _path(given: object) -> str:
    path = _text(os.fspath(cast("str | os.PathLike[str]", given)))
    # PATH_MAX (limits.h). A file that begins like PEM is likelier a key than a path, and
    # must not be shown as one that is missing.
    if len(path) > 4096 or PEM_BEGIN in path:
        raise ValueError(given)
    return path


def _file_mode(given: object) -> int:
    """The rights of a file (chmod(1)); in Python the number itself, such as 0o660."""
    if isinstance(given, bool) or not isinstance(given, (int, str)):
        raise TypeError(given)
    if isinstance(given, str):
        if not re.fullmatch("0?[0-7]{3}", given):
            raise ValueError(given)
        return int(given, 8)
    # A decimal 660, written by mistake, has bits above these.
    if not 0 <= given <= 0o777:
        raise ValueError(given)
    return given


def _owner(given: object) -> str:
    """A user or group: its name, or its number in decimal digits."""
    if isinstance(given, int):
        return str(_number(given, 0, 2**32 - 2))
    name = _text(given)
    if name.isascii() and name.isdigit():
        return str(_number(name, 0, 2**32 - 2))
    return name


_SERVICE: Final = re.compile("[a-z0-9](?:-?[a-z0-9])*").fullmatch


def _service(given: object) -> str:
    """The name of a service (RFC 6335, section 5.1), in lower case.

    Names in use are longer than the 15 characters that are registered
    (``sipfederationtls``); a label of the DNS has 63, of which one is the underscore.
    """
    name = _text(given).lower()
    if name.startswith("_"):
        raise RefusedValue("leave the underscore and what follows the service out")
    if len(name) > 62 or not _SERVICE(name) or name.isdigit():
        raise ValueError(given)
    return name


def _comma_separated(given: object) -> tuple[str, ...]:
    """The parts of a text between its commas, or the items of an iterable of texts."""
    words = given.split(",") if isinstance(given, str) else tuple(cast("Iterable[object]", given))
    if not words:
        raise ValueError(given)
    return tuple(_text(word) for word in words)


def choice(*words: str) -> OptionType:
    """The type of a value that is one of `words`, in exactly that spelling."""

    def read(given: object) -> str:
        if not isinstance(given, str) or given not in words:
            raise ValueError(given)
        return given

    return OptionType(" or ".join(map(repr, words)), read)


def _verify(given: object) -> Verify:
    if isinstance(given, Verify):
        return given
    if isinstance(given, str) and given.lower() == "optional":
        return Verify.OPTIONAL
    return Verify.YES if _flag(given) else Verify.NO


def _alpn_protocols(given: object) -> tuple[str, ...]:
    names = _comma_separated(given)
    sizes = [len(name.encode()) for name in names]
    # On the wire one byte holds the length of a name (RFC 7301, section 3.1). The
    # list may have 65535 bytes there; here it is bounded, since URLs of strangers
    # have such lists, and what they lead to is kept in memory.
    if max(sizes) > 255 or sum(sizes) + len(sizes) > 1024:
        raise ValueError(given)
    return names


_DIGEST_DIGITS: Final = {"sha256": 64, "sha384": 96, "sha512": 128}
# PHP takes these two alone as text, and calls them by these names in an array.
_BROKEN_DIGESTS: Final = {"md5": 32, "sha1": 40}
_USE_SHA256: Final = (
    "two certificates can be made with the same MD5 or SHA-1, so that it tells none from another; "
    "openssl x509 -noout -fingerprint -sha256 -in FILE prints the one to use"
)


def _fingerprints(given: object) -> tuple[str, ...]:
    if isinstance(given, Mapping):
        return (_fingerprint_of(given),)
    digests = tuple(map(_digest, _comma_separated(given)))
    if {len(digest) for digest in digests} & set(_BROKEN_DIGESTS.values()):
        raise RefusedValue(_USE_SHA256)
    if not {len(digest) for digest in digests} <= set(_DIGEST_DIGITS.values()):
        raise ValueError(given)
    return digests


def _fingerprint_of(given: Mapping[object, object]) -> str:
    """The digest of PHP's form, which has the name of its algorithm as the key."""
    if len(given) != 1:
        raise RefusedValue(
            "in PHP all digests of a mapping must match, and of several here one: give the "
            "strongest alone"
        )
    ((name, digest),) = given.items()
    algorithm = _text(name).lower()
    if algorithm in _BROKEN_DIGESTS:
        raise RefusedValue(_USE_SHA256)
    read = _digest(_text(digest))
    if len(read) != _DIGEST_DIGITS[algorithm]:
        raise RefusedValue(f"{algorithm} has {_DIGEST_DIGITS[algorithm]} hexadecimal digits")
    return read


def _digest(written: str) -> str:
    """A digest in lower-case digits without colons."""
    digest = written.replace(":", "").lower()
    if not re.fullmatch("[0-9a-f]+", digest):
        raise ValueError(written)
    return digest


# HPKP (RFC 7469) writes sha256/ before the digest, and curl writes sha256//.
# The digest itself may begin with a / as well.
_PIN: Final = re.compile("(?:sha256//?)?([A-Za-z0-9+/]{43}=)").fullmatch


def _pins(given: object) -> tuple[str, ...]:
    found = [_PIN(name) for name in _comma_separated(given)]
    if None in found:
        raise ValueError(given)
    # 43 characters of base64 carry 258 bits, and a digest has 256. The last two
    # bits may differ between two texts of one digest, so it is decoded and encoded
    # again.
    return tuple(base64.b64encode(base64.b64decode(pin[1])).decode() for pin in found if pin)


def _certificates_by_name(given: object) -> tuple[tuple[str, CertificateFiles], ...]:
    pairs: list[tuple[str, object]]
    if isinstance(given, str):
        pairs = [pair.partition("=")[::2] for pair in given.split(",")]
    elif isinstance(given, Mapping):
        pairs = list(given.items())
    else:
        raise TypeError(given)
    certificates = {name.lower(): _certificate_files(files) for name, files in pairs}
    if not pairs or len(certificates) < len(pairs):
        raise ValueError(given)
    for name in certificates:
        if not re.fullmatch(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*", name.removeprefix("*.")):
            raise ValueError(given)
    return tuple(certificates.items())


def _certificate_files(given: object) -> CertificateFiles:
    """The path of a PEM file, or PHP's form with the paths of certificate and key."""
    if isinstance(given, CertificateFiles):
        given = {"local_cert": given.local_cert, "local_pk": given.local_pk}
    if not isinstance(given, Mapping):
        return CertificateFiles(_path(given))
    if not given.keys() <= {"local_cert", "local_pk"}:
        raise RefusedValue("the files of a name are local_cert and, if the key has one, local_pk")
    key_path = given.get("local_pk")
    return CertificateFiles(
        _path(given["local_cert"]), None if key_path is None else _path(key_path)
    )


def _address(given: object) -> tuple[str, int]:
    """A local IP address and a port; port 0 lets the system choose one."""
    if isinstance(given, tuple):
        host, port = given
        return canonical_address(_text(host)), _number(port, 0, 65535)
    text = _text(given)
    found = _ADDRESS_AND_PORT(text)
    if found is None:
        # IPv6 without brackets and without a port. `2001:db8::1:80` could also be
        # 2001:db8::1 with port 80, so a text with two readings is refused.
        before, _, last = text.rpartition(":")
        if _ADDRESS_AND_PORT(f"[{before}]:{last}") and is_address(before):
            raise ValueError(given)
        return canonical_address(text), 0
    six, four, port = found.groups()
    host = canonical_ipv6(six) if six else canonical_ipv4(four)
    return host, _number(port or 0, 0, 65535)


# [IPv6] or IPv4, each perhaps with :port.
_ADDRESS_AND_PORT: Final = re.compile(r"(?:\[([^\]]+)\]|([^:\[\]]+))(?::([0-9]{1,5}))?").fullmatch


def _starttls(given: object) -> StartTLSProtocol:
    if isinstance(given, str):
        return starttls_protocol(given)
    if isinstance(given, StartTLSProtocol):
        return given
    if not callable(given):
        raise TypeError(given)
    # A user's own dialogue. Only the endpoint knows on which side it is, so that
    # the same function stands for both sides here.
    dialogue = cast(Speaker, given)
    return StartTLSProtocol(getattr(given, "__name__", "dialogue"), dialogue, dialogue, None)


def _proxies(given: object) -> tuple[ProxyURL, ...] | str:
    try:
        return parse_proxies(given)
    except ValueError as problem:
        # Quotes nothing, since any part of the value may be a password.
        raise RefusedValue(str(problem)) from None


FLAG: Final = OptionType("yes or no", _flag)
TEXT: Final = OptionType("text without control characters", _text)
FILE: Final = OptionType("the path of a file", _path)
FILE_MODE: Final = OptionType("octal digits, such as 0660 (in Python the number 0o660)", _file_mode)
OWNER: Final = OptionType("a name or a number", _owner)
FOLDER: Final = OptionType("the path of a folder", _path)
SECONDS: Final = OptionType("seconds, more than 0 and at most 86400", _seconds)
SERVICE: Final = OptionType("the name of a service, such as xmpps-client", _service)
SIZE: Final = whole(1, 2**31 - 1)
STARTTLS: Final = OptionType(
    f"one of {', '.join(STARTTLS_PROTOCOLS)}, or in Python a dialogue",
    _starttls,
    tuple(STARTTLS_PROTOCOLS),
)
PROXIES: Final = OptionType(
    f"scheme://[user:password@]host:port, with one of {', '.join(PROXY_SCHEMES)} as the scheme, "
    "several by commas, or env",
    _proxies,
)
ADDRESS: Final = OptionType("address:port of this machine, [::1]:0 for IPv6", _address)
VERIFY: Final = OptionType("yes, no or optional", _verify)
ALPN_PROTOCOLS: Final = OptionType("names separated by commas", _alpn_protocols)
FINGERPRINTS: Final = OptionType(
    "hex digest of SHA-256, SHA-384 or SHA-512, colons allowed, several by commas, or in Python "
    "{'sha256': digest}",
    _fingerprints,
)
PINS: Final = OptionType("base64 SHA-256 of a public key, several by commas", _pins)
ENDPOINT: Final = OptionType(
    "the description of one of Twisted's endpoints, or in Python the endpoint itself", _endpoint
)
PROXY_SOURCES: Final = OptionType(
    "networks and addresses (10.0.0.0/8, 2001:db8::/32) separated by commas, and unix for local "
    "sockets",
    read_proxy_sources,
)
CERTIFICATES_BY_NAME: Final = OptionType(
    "name=path pairs separated by commas, or in Python a mapping of names to paths or to "
    "{'local_cert': path, 'local_pk': path}",
    _certificates_by_name,
)
