"""The value of ``proxy=``: one proxy or several, each a URL within the transport's URL.

The grammar, whose percent-encoding is its own and beside that of the URL around it::

    scheme://[user[:password]@]host:port[?name=value&…]          several by commas

In the URL of a transport the whole is a value, so that ``?``, ``&``, ``;`` and, in endpoint
strings, ``:`` are percent-encoded there. A sign of the user or the password that means
something here (``:``, ``@``, ``/``, ``?``, ``,``, ``%``) is percent-encoded here, and once
more in the URL around it: a comma within a password is ``%2C`` here and ``%252C`` there.

A text that is no proxy is never shown, since any part of it may be the password.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Final, cast
from urllib.parse import quote, unquote_to_bytes

from attrs import field, frozen

from txtransport.config.host import canonical_host, canonical_literal, host_in_url
from txtransport.proxy.socks5 import LONGEST
from txtransport.proxy.target import Credentials

__all__ = [
    "FROM_ENVIRONMENT",
    "PROXY_SCHEMES",
    "ProxyScheme",
    "ProxyURL",
    "parse_proxies",
    "parse_proxy",
    "redacted_proxies",
]

FROM_ENVIRONMENT: Final = "env"
"""The value that stands for what the environment says."""

_HIDDEN: Final = "***"


@frozen
class ProxyScheme:
    """One kind of proxy.

    Attributes:
        name: What stands before ``://``, in lower case.
        is_secure: Whether the connection to the proxy is under TLS.
        is_socks: Whether the proxy speaks SOCKS 5, and not HTTP.
        looks_up_here: Whether names are looked up here, and the proxy is given addresses.
    """

    name: str
    is_secure: bool = False
    is_socks: bool = False
    looks_up_here: bool = False


PROXY_SCHEMES: Final = {
    row.name: row
    for row in (
        ProxyScheme("http"),
        ProxyScheme("https", is_secure=True),
        ProxyScheme("socks5", is_socks=True, looks_up_here=True),
        ProxyScheme("socks5h", is_socks=True),
    )
}
"""Every kind of proxy, by its name."""

_KNOWN: Final = ", ".join(f"{name}://" for name in PROXY_SCHEMES)
_REFUSED: Final = {
    "socks": "socks:// may be any version: write socks5h://, with which the proxy looks names "
    "up, or socks5://",
    "socks4": "SOCKS 4 has no login and no IPv6: have the proxy speak SOCKS 5",
    "socks4a": "SOCKS 4 has no login and no IPv6: have the proxy speak SOCKS 5",
    "tcp": "a proxy speaks HTTP or SOCKS: write http:// or socks5h://",
    "tls": "a proxy under TLS speaks HTTP: write https://",
    "ssl": "a proxy under TLS speaks HTTP: write https://",
}
_PORT: Final = re.compile("[0-9]{1,5}").fullmatch
_BAD_PERCENT: Final = re.compile("%(?![0-9A-Fa-f]{2})").search
_MOST_PROXIES: Final = 8


@frozen(repr=False)
class ProxyURL:
    """One proxy. `str` gives its URL with the secrets; `repr` and `redacted` hide them.

    Attributes:
        scheme: A key of `PROXY_SCHEMES`.
        host: A name in ASCII, or an address without brackets.
        port: 1 to 65535.
        credentials: As whom the proxy is asked, or None.
        options: Those of TLS to an ``https`` proxy, as ``(name, text)``, percent-decoded.
    """

    scheme: str
    host: str
    port: int
    credentials: Credentials | None = None
    options: tuple[tuple[str, str], ...] = field(default=())

    @property
    def kind(self) -> ProxyScheme:
        """What its scheme stands for."""
        return PROXY_SCHEMES[self.scheme]

    @property
    def location(self) -> str:
        """The URL without user and options."""
        return f"{self.scheme}://{self._place}"

    @property
    def _place(self) -> str:
        return f"{host_in_url(self.host)}:{self.port}"

    def redacted(self) -> str:
        """The URL without its options and with ``***`` for the password, fit for messages."""
        login = self.credentials
        if login is None:
            return self.location
        # A user without a password may be a secret by itself: a token.
        user = f"{_quoted(login.user)}:" if login.password else ""
        return f"{self.scheme}://{user}{_HIDDEN}@{self._place}"

    def __str__(self) -> str:
        login, user = self.credentials, ""
        if login is not None:
            secret = f":{_quoted(login.password)}" if login.password else ""
            user = f"{_quoted(login.user)}{secret}@"
        query = "&".join(f"{name}={_quoted(text)}" for name, text in self.options)
        return f"{self.scheme}://{user}{self._place}{'?' if query else ''}{query}"

    def __repr__(self) -> str:
        return f"<ProxyURL {self.redacted()}>"


def _quoted(text: str) -> str:
    return quote(text, safe="")


def parse_proxies(given: object) -> tuple[ProxyURL, ...] | str:
    """Read the value of ``proxy=``.

    Args:
        given: Text; or in Python the proxies one by one, each a text or a `ProxyURL`.

    Returns:
        The proxies, the nearest first; or `FROM_ENVIRONMENT`.

    Raises:
        ValueError: It is none; the text says why, and quotes nothing.
        TypeError: It is neither text nor several texts.
    """
    if given == FROM_ENVIRONMENT:
        return FROM_ENVIRONMENT
    if isinstance(given, (str, ProxyURL)):
        given = given.split(",") if isinstance(given, str) else (given,)
    if isinstance(given, bytes):
        raise TypeError("bytes")
    proxies = tuple(
        each if isinstance(each, ProxyURL) else parse_proxy(each)
        for each in cast("Iterable[str | ProxyURL]", given)
    )
    if not 1 <= len(proxies) <= _MOST_PROXIES:
        raise ValueError(f"a chain has 1 to {_MOST_PROXIES} proxies")
    return proxies


def parse_proxy(text: str) -> ProxyURL:
    """Read one proxy.

    Args:
        text: Its URL.

    Raises:
        ValueError: It is none; the text says why, and quotes nothing.
        TypeError: It is no text.
    """
    if not isinstance(text, str):
        raise TypeError(type(text).__name__)
    if not text.isprintable() or " " in text:
        raise ValueError("white space and what cannot be shown is percent-encoded")
    name, mark, rest = text.partition("://")
    if not mark:
        raise ValueError(f"a proxy's URL begins with one of {_KNOWN}")
    scheme = PROXY_SCHEMES.get(name.lower())
    if scheme is None:
        raise ValueError(_REFUSED.get(name.lower(), f"{_nearest(name)}there are {_KNOWN}"))
    head, question, query = rest.partition("?")
    if question and not scheme.is_secure:
        raise ValueError(
            f"{scheme.name}:// has no options: those of an https:// proxy are for TLS with it"
        )
    user, at, authority = head.removesuffix("/").rpartition("@")
    credentials = _credentials(user, scheme) if at else None
    host, port = _host_and_port(authority)
    return ProxyURL(scheme.name, host, port, credentials, _options(query) if question else ())


def _nearest(name: str) -> str:
    """``did you mean …? `` with the scheme nearest to `name`, or nothing if none is near."""
    close = difflib.get_close_matches(name[:40].lower(), PROXY_SCHEMES, n=1)
    return f"did you mean {close[0]}://? " if close else ""


def _credentials(text: str, scheme: ProxyScheme) -> Credentials:
    if "@" in text or "/" in text:
        raise ValueError("in a user's name or password @ is %40 and / is %2F")
    name, _, secret = text.partition(":")
    if ":" in secret:
        raise ValueError("in a user's name or password : is %3A")
    user, password = _decoded(name), _decoded(secret)
    if not user:
        raise ValueError("the user's name before the @ is missing")
    if scheme.is_socks:
        if not password:
            raise ValueError("SOCKS has no user without a password (RFC 1929)")
        if max(len(user.encode()), len(password.encode())) > LONGEST:
            raise ValueError(
                f"a user's name or password of SOCKS has {LONGEST} bytes at the most (RFC 1929)"
            )
    elif ":" in user:
        raise ValueError("a user's name has no colon in HTTP (RFC 7617)")
    return Credentials(user, password)


def _host_and_port(authority: str) -> tuple[str, int]:
    if "/" in authority:
        raise ValueError("it has no path; a / in a user's name or password is %2F")
    # What is wrong with a host may quote it, and without the @ it may be a password.
    literal, bracket, tail = authority.removeprefix("[").partition("]")
    host, colon, digits = ("", tail[:1], tail[1:]) if bracket else authority.partition(":")
    if not colon:
        raise ValueError(
            "its port is missing (often 3128 or 8080 for http://, and 1080 or 9050 for socks5h://)"
        )
    if not _PORT(digits) or not 1 <= int(digits) <= 65535:
        raise ValueError(
            "behind its host there is no port from 1 to 65535; IPv6 stands in brackets"
        )
    try:
        if authority.startswith("[") and bracket and colon == ":":
            return canonical_literal(literal), int(digits)
        return canonical_host(host), int(digits)
    except ValueError:
        raise ValueError("its host is neither a name nor an address") from None


def _options(query: str) -> tuple[tuple[str, str], ...]:
    options: dict[str, str] = {}
    for pair in query.split("&"):
        name, equals, raw = pair.partition("=")
        if not equals or not re.fullmatch("[A-Za-z0-9_]{1,40}", name):
            raise ValueError("its options are not written name=value&…")
        if name in options:
            raise ValueError(f"its option {name} is given twice")
        options[name] = _decoded(raw)
    return tuple(options.items())


def _decoded(raw: str) -> str:
    if _BAD_PERCENT(raw):
        raise ValueError("a % is followed by two hexadecimal digits; % itself is %25")
    try:
        decoded = unquote_to_bytes(raw).decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("what is percent-encoded is not UTF-8") from None
    if not decoded.isprintable():
        raise ValueError("what is percent-encoded cannot be shown")
    return decoded


def redacted_proxies(text: str) -> str:
    """The value of ``proxy=`` without passwords and options.

    Args:
        text: As `parse_proxies` takes it.

    Returns:
        The same proxies; ``***`` for a text that is none.
    """
    try:
        proxies = parse_proxies(text)
    except ValueError:
        return _HIDDEN
    return proxies if isinstance(proxies, str) else ",".join(each.redacted() for each in proxies)
