"""The parser of URLs: from text to `TransportURL`, and back.

The grammar has a form for hosts, and two for sockets of this machine::

    [scheme://]host[:port][?name=value&…]
    scheme:///path[?name=value&…]            or scheme://@name for Linux's abstract names
    scheme://number[?…], scheme://name[?…]   a socket that was there before: fd, systemd

A text outside the grammar is refused with the reason. Nothing is guessed, since
a wrong guess would connect to another place than the user meant.

Three rules shape the code:

- *Most URLs are plain*: ``tls://www.example.com:443``, with a few options
  without escapes. One regular expression (`_COMMON`) reads those, two to three
  times as fast as the general parser. What it does not match, and what has
  anything wrong with it, goes to the general parser, which alone writes messages,
  and whose results are remembered.
- *A message begins with its place.* It is ``scheme://host:port`` as soon as those are
  read, and before that the text itself, in quotes.
- *A URL may hold secrets*: a passphrase or the password for a proxy in its options, or
  that of some other URL that was pasted by mistake. A message shows the text only after
  `_without_secrets`, which must not fail on a text that is broken anywhere.

Options are checked here one by one and kept as text, so that a URL can be
written again as it was. `txtransport.config.settings` turns them into values.
"""

from __future__ import annotations

import difflib
import functools
import re
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from attrs import evolve, field, frozen

from txtransport.config.address import (
    ends_in_number,
    is_ipv6,
    is_ipv6_in_url,
    without_zone,
)
from txtransport.config.application_schemes import refuse_application_url
from txtransport.config.host import canonical_host, canonical_literal, host_in_url
from txtransport.config.options import MOST_CACHED, OPTIONS, find_option
from txtransport.config.schemes import SCHEMES, Scheme
from txtransport.errors import InvalidOption, InvalidTransport
from txtransport.text import short_repr

__all__ = ["TransportURL"]


@frozen
class TransportURL:
    """Where to connect or listen, and over what. Frozen; `str` gives the URL back.

    Attributes:
        scheme: What stands before ``://``, in lower case; a key of `SCHEMES`.
        host: A name (in ASCII, IDNA applied), an address without brackets, or
            ``*``. Empty for a local socket, and for one that was open before.
        port: 0 to 65535, or None when the URL has none.
        path: The path of a local socket. Begins with ``/``, or with ``@`` for
            Linux's abstract names. Of a socket that was open before, the descriptor or
            the name. Empty for any other scheme.
        options: The URL's options as ``(name, text)``, in the URL's order,
            percent-decoded.
    """

    scheme: str
    host: str = ""
    port: int | None = None
    path: str = ""
    options: tuple[tuple[str, str], ...] = field(default=())

    @classmethod
    def parse(cls, text: str, port: int | None = None, trusted: bool = True) -> TransportURL:
        """Read a URL.

        Args:
            text: For example ``tls://www.example.com:443?verify_depth=3``.
                Without ``scheme://`` the scheme is ``tcp``.
            port: The port, when `text` has none; 0 to 65535.
            trusted: False for a URL from an untrusted source: options that
                name files or weaken checks are refused, and so are local
                sockets, SSL, deprecated versions of TLS and waits of more than 60
                seconds. Where the URL leads is not looked at
                (``docs/untrusted.md``).

        Returns:
            The URL, also when its scheme is not available here.

        Raises:
            InvalidTransport: The text is not in the grammar.
            InvalidOption: An option is unknown, given twice, not one of this
                scheme, or its value is of the wrong type.
        """
        found = _COMMON(text) if port is None and type(text) is str else None
        if found is not None:
            name, host, digits, query = found.groups()
            scheme, number = SCHEMES.get(name), int(digits)
            if scheme is not None and scheme.has_host and number <= 65535:
                options: tuple[tuple[str, str], ...] | None = ()
                if query is not None:
                    read = _cached_options if len(query) <= MOST_CACHED else _common_options
                    options = read(query, name)
                if options is not None:
                    parsed = cls(name, host, number, options=options)
                    return parsed if trusted else _for_strangers(parsed, scheme)
        if cls is TransportURL and type(text) is str and len(text) <= MOST_CACHED:
            parsed, scheme = _cached_parse(text, port)
        else:
            parsed, scheme = _parse(cls, text, port)
        return parsed if trusted else _for_strangers(parsed, scheme)

    def __str__(self) -> str:
        return self._written(secrets=True)

    def __repr__(self) -> str:
        return f"<TransportURL {self.redacted()}>"

    def redacted(self) -> str:
        """The canonical URL with ``***`` for each secret, fit for logs and messages.

        Of a proxy the password is hidden, and what it is told about TLS.
        """
        return self._written(secrets=False)

    @property
    def location(self) -> str:
        """The canonical URL without its options, fit for messages."""
        rest = quote(self.path, safe="/@,") if self.path else self._authority()
        return f"{self.scheme}://{rest}"

    @property
    def name(self) -> str:
        """The peer's name for TLS: the host without a trailing dot or a zone."""
        return without_zone(self.host).removesuffix(".")

    @property
    def is_literal(self) -> bool:
        """Whether the host is an IP address, and not a name to look up."""
        return is_ipv6(self.host) or ends_in_number(self.host)

    def _authority(self) -> str:
        host = host_in_url(self.host)
        return host if self.port is None else f"{host}:{self.port}"

    def _written(self, secrets: bool) -> str:
        query = "&".join(
            f"{name}={quote(text if secrets else OPTIONS[name].redacted(text), safe=_SAFE)}"
            for name, text in self.options
        )
        return f"{self.location}?{query}" if query else self.location


# Signs that need no escape in the values of the canonical form. A colon and a
# backslash do need one: Twisted's endpoint strings give them a meaning.
_SAFE: Final = "/,@*="

# A plain URL: scheme, name and port, and options without escapes. The last label
# of the name begins with a letter, so that the name cannot be an IPv4 address
# (see `ends_in_number`). No part of the pattern can match one text in two ways, so
# that it takes linear time on any text.
_COMMON: Final = re.compile(
    r"([a-z][a-z0-9.+]*)://"
    r"((?=.{1,253}:)(?:(?!-)[a-z0-9-]{1,63}(?<!-)\.)*[a-z][a-z0-9-]{0,62}(?<!-))"
    r":([0-9]{1,5})"
    r"(?:\?([A-Za-z0-9_]+=[A-Za-z0-9_./,+*-]*(?:&[A-Za-z0-9_]+=[A-Za-z0-9_./,+*-]*)*))?"
).fullmatch
_AVAILABLE: Final = [row.name for row in SCHEMES.values() if row.refusal is None]
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*").fullmatch
_PORT: Final = re.compile("[0-9]{1,5}").fullmatch
_DESCRIPTOR: Final = re.compile("[0-9]{1,9}").fullmatch
_FORBIDDEN: Final = re.compile(r"[\x00-\x20\x7f-\xa0]|\s").search
_BAD_PERCENT: Final = re.compile("%(?![0-9A-Fa-f]{2})").search
# Signs of an option, which no host and no port contains.
_OPTION: Final = re.compile("[&=]").search
# The same, also in the path of a local socket, and escaped as in its canonical form.
_HIDDEN: Final = re.compile("[&=]|%(?:26|3[DdFf])").search
# No path and no value of another option has a secret in it: the user mistyped
# the separator before it.
_MISPLACED_SECRET: Final = re.compile(
    "(?:" + "|".join(name for name, row in OPTIONS.items() if row.is_secret) + ")=", re.IGNORECASE
).search
# What follows a host: a path, or a colon and no port, as before the password of a URL
# whose @ was lost or is written in another form.
_BEHIND_HOST: Final = re.compile(r"[/?#&]|:(?![0-9]{0,5}(?:[/?#&]|\Z))").search
_SEPARATORS: Final = "options begin with ? and are separated by &"
# In characters: enough for the names and files of several hundred certificates
# (SNI_server_certs).
_LONGEST: Final = 65536


def _parse(cls: type[TransportURL], text: str, port: int | None) -> tuple[TransportURL, Scheme]:
    """The general parser, which reads any URL, and says what is wrong with any other text."""
    if not isinstance(text, str):
        raise InvalidTransport(f"a transport is text, not {type(text).__name__}")
    if len(text) > _LONGEST:
        raise InvalidTransport(f"the text is longer than {_LONGEST} characters")
    refusal = refuse_application_url(text, port)
    if refusal is not None:
        raise InvalidTransport(refusal)
    bad = _FORBIDDEN(text)
    if bad is not None:
        raise _invalid(text, f"it holds {bad[0]!r}; white space and control characters "
                       "must be percent-encoded in options and cannot be in a host")  # fmt: skip
    head, _, query = text.partition("?")
    name, mark, rest = head.partition("://")
    if not mark:
        name, rest = "tcp", head
    elif not _SCHEME(name):
        raise _invalid(text, "what stands before :// is not the name of a transport")
    scheme = SCHEMES.get(name.lower())
    if scheme is None:
        raise _invalid(text, f"there is no transport {short_repr(name, 40)}; "
                       f"{_nearest(name)}there are {', '.join(_AVAILABLE)}")  # fmt: skip
    if scheme.has_host and ("@" in rest or _is_password(query)):
        raise _invalid(text, "a transport has no user name and no password; the protocol "
                       "above it authenticates")  # fmt: skip
    if scheme.has_host and _OPTION(rest):
        raise _invalid(text, "what follows is neither host nor port; options begin with ?")
    if "#" in text:
        raise _invalid(text, "a transport has no fragment; a # in an option's value is %23")
    if not scheme.has_host:
        url = cls(scheme.name, path=_PATHS[scheme.inherited_by](rest, text))
        if port is not None:
            raise _wrong(url, f"{scheme.name}:// has no port")
    else:
        authority, slash, path = rest.partition("/")
        if path:
            raise _invalid(text, _no_path(scheme, head if not mark else ""))
        if slash and not authority:
            raise _invalid(text, "the host is missing")
        host, number = _authority_parts(authority, port is not None, text)
        url = cls(scheme.name, host, number)
        if port is not None:
            url = evolve(url, port=_agreed_port(url, port))
    return evolve(url, options=_options_of(url, query, scheme)) if query else url, scheme


# A program parses the same few URLs again and again; True is not taken for port 1.
@functools.lru_cache(maxsize=512, typed=True)
def _cached_parse(text: str, port: int | None) -> tuple[TransportURL, Scheme]:
    return _parse(TransportURL, text, port)


def _options_of(url: TransportURL, query: str, scheme: Scheme) -> tuple[tuple[str, str], ...]:
    """The options of a query; what is wrong with one is said with the URL's place in front."""
    try:
        return _options(query, scheme)
    except InvalidOption as error:
        raise error.located(url.location) from None
    except ValueError as problem:
        raise _wrong(url, str(problem)) from None


def _nearest(name: str) -> str:
    """``did you mean …? `` with the scheme nearest to `name`, or nothing if none is near."""
    close = difflib.get_close_matches(name[:40].lower(), _AVAILABLE, n=1)
    return f"did you mean {close[0]}? " if close else ""


def _no_path(scheme: Scheme, without_scheme: str) -> str:
    """What is wrong with a path behind a host, or with an address whose scheme was not read."""
    problem = f"{scheme.name}:// has no path"
    if not without_scheme:
        return problem
    form = "a transport is written scheme://host:port, or unix:///path"
    meant = _meant(without_scheme)
    return form + meant if meant else f"{problem}; {form}"


def _meant(address: str) -> str:
    """``; did you mean …?`` for an address that has ``tls:`` in place of ``tls://``, or nothing."""
    name, _, rest = address.partition(":")
    scheme = SCHEMES.get(name.lower())
    if scheme is None or rest.startswith("//"):
        return ""
    rest = rest.removeprefix("/")
    if scheme.is_local:
        rest = f"/{rest}"
    elif "/" in rest:
        return ""
    return f"; did you mean {short_repr(f'{scheme.name}://{rest}', 80)}?"


def _authority_parts(authority: str, has_port: bool, text: str) -> tuple[str, int | None]:
    """The canonical host, and the port, of ``host[:port]``.

    Args:
        authority: What stands between ``://`` and the first ``/`` or ``?``.
        has_port: Whether there is a ``port=`` as well.
        text: The whole URL.
    """
    if authority.startswith("["):
        literal, bracket, tail = authority[1:].partition("]")
        if not bracket or (tail and not tail.startswith(":")):
            raise _invalid(text, "an address in brackets ends with ] and then :port")
        return _literal(literal, text), _number(tail[1:], text) if tail else None
    if authority.count(":") > 1:
        return _bare_ipv6(authority, has_port, text), None
    host, colon, digits = authority.partition(":")
    return _host(host, text), _number(digits, text) if colon else None


def _agreed_port(url: TransportURL, port: int) -> int:
    """The port of ``port=``, with which that of the URL must agree if there is one."""
    if isinstance(port, bool) or not isinstance(port, int):
        raise _wrong(url, f"port= takes a whole number, not {type(port).__name__}")
    if not 0 <= port <= 65535:
        raise _wrong(url, f"port={short_repr(port)} is not from 1 to 65535")
    if url.port is not None and port != url.port:
        raise _wrong(url, f"the URL says port {url.port} and port= says {port}")
    return int(port)


def _number(digits: str, text: str) -> int:
    """The port that stands in the URL."""
    if not _PORT(digits):
        raise _invalid(
            text, f"{short_repr(digits, 40)} is not a port: 1 to 65535 in decimal digits"
            f"{_meant(text.partition('?')[0])}"
        )  # fmt: skip
    number = int(digits)
    if number > 65535:
        raise _invalid(text, f"{number} is not a port: the highest is 65535")
    return number


def _bare_ipv6(authority: str, has_port: bool, text: str) -> str:
    """The canonical form of an IPv6 address without brackets.

    ``fe80::1:80`` is an address, and would also be fe80::1 with port 80. A text
    with two readings is refused, unless ``port=`` shows that the first is meant.
    """
    before, _, last = authority.rpartition(":")
    if not is_ipv6_in_url(authority):
        hint = _meant(authority)
        if is_ipv6_in_url(before):
            hint = f"; an IPv6 address stands in brackets: [{before}]:port"
        raise _invalid(
            text, f"{short_repr(authority, 60)} is neither host:port nor an IPv6 address{hint}"
        )
    if not has_port and _PORT(last) and is_ipv6_in_url(before):
        raise _invalid(text, f"write [{before}]:{last} for port {last}, or [{authority}] "
                       "for the whole as an address")  # fmt: skip
    return _literal(authority, text)


def _literal(literal: str, text: str) -> str:
    """The canonical form of an IPv6 address, with its zone unescaped."""
    try:
        return canonical_literal(literal)
    except ValueError as problem:
        raise _invalid(text, str(problem)) from None


def _host(host: str, text: str) -> str:
    """The canonical form of a name, an IPv4 address or ``*``."""
    if host == "*":
        return host
    try:
        return canonical_host(host)
    except ValueError as problem:
        raise _invalid(text, str(problem)) from None


def _local(rest: str, text: str) -> str:
    """The path of a local socket, percent-decoded."""
    try:
        path = _decoded(rest)
    except ValueError as problem:
        raise _invalid(text, str(problem)) from None
    if _MISPLACED_SECRET(path):
        raise _invalid(text, f"the path holds an option; {_SEPARATORS}")
    if not path.startswith(("/", "@")):
        raise _invalid(text, "a local socket is named by its whole path, unix:///run/name, "
                       "or by an abstract name, unix://@name")  # fmt: skip
    if path.endswith("/") or path == "@":
        raise _invalid(text, "the path does not name a socket")
    # sun_path holds 108 bytes, the last of them NUL (unix(7)).
    if len(path.encode()) > 107:
        raise _invalid(text, "the path of a local socket is longer than 107 bytes")
    return path


def _descriptor(rest: str, text: str) -> str:
    """The number of a descriptor, without leading zeros."""
    if not _DESCRIPTOR(rest):
        raise _invalid(text, "a descriptor is a number from 0 on, as in fd://3, and nothing "
                       f"follows it; {_SEPARATORS}")  # fmt: skip
    return str(int(rest))


def _systemd_name(rest: str, text: str) -> str:
    """The name of sockets of systemd, percent-decoded.

    It is what systemd takes for one (``FileDescriptorName=``, systemd.socket(5)): 1 to 255
    characters of ASCII that can be shown, and no colon.
    """
    try:
        name = _decoded(rest)
    except ValueError as problem:
        raise _invalid(text, str(problem)) from None
    if _MISPLACED_SECRET(name):
        raise _invalid(text, f"the name holds an option; {_SEPARATORS}")
    if not 0 < len(name) <= 255 or not name.isascii() or ":" in name:
        raise _invalid(text, "a name of systemd's (FileDescriptorName=) has 1 to 255 characters of "
                       "ASCII, and no colon; there is no port")  # fmt: skip
    return name


_PATHS: Final = {"": _local, "descriptor": _descriptor, "name": _systemd_name}
"""What reads the part behind ``://`` where that is no host, by `Scheme.inherited_by`."""


def _common_options(query: str, name: str) -> tuple[tuple[str, str], ...] | None:
    """The options of a query without escapes, or None if one is wrong.

    The general parser then finds the error again, and tells it with the whole URL.
    """
    try:
        return _options(query, SCHEMES[name])
    except ValueError:
        return None


# A program uses the same options again and again, and the table never changes.
_cached_options: Final = functools.lru_cache(maxsize=512)(_common_options)


def _options(query: str, scheme: Scheme) -> tuple[tuple[str, str], ...]:
    """The options of a query, each checked against its row in the table.

    Raises:
        InvalidOption: An option is wrong.
        ValueError: The query is not made of options; the text quotes nothing of it.
    """
    options: dict[str, str] = {}
    for pair in query.split("&"):
        name, equals, raw = pair.partition("=")
        if not equals or not name:
            raise ValueError(
                f"option {len(options) + 1} is not written name=value; & in a value is %26"
            )
        if name not in OPTIONS:
            secret = next((before for before in options if OPTIONS[before].is_secret), None)
            if secret is not None:
                # A raw & may have cut a secret in two: the name is not shown.
                raise ValueError(f"what follows the {secret} is no option; & in a value is %26")
        if "?" in raw or ";" in raw:
            raise ValueError(
                f"option {len(options) + 1} holds a raw ? or ;: options are separated by &, and in "
                "a value these are %3F and %3B"
            )
        option = find_option(name, scheme)
        if name in options:
            raise InvalidOption(name, f"{name} is given twice")
        options[name] = decoded = _decoded(raw)
        if not option.is_secret and _MISPLACED_SECRET(decoded):
            raise ValueError(f"the value of {name} holds an option; {_SEPARATORS}")
        option.parse(decoded)
    return tuple(options.items())


def _decoded(raw: str) -> str:
    """A path or an option's value, percent-decoded as UTF-8; a ValueError says what is wrong."""
    decoded = raw
    # Bytes cannot be made of a lone surrogate (half a character of UTF-16). Like
    # every character that cannot be shown it is refused, at the end.
    if "%" in raw and raw.isprintable():
        if _BAD_PERCENT(raw):
            raise ValueError("a % is followed by two hexadecimal digits; % itself is %25")
        try:
            decoded = unquote_to_bytes(raw).decode("utf-8")
        except UnicodeDecodeError:
            raise ValueError("what is percent-encoded is not UTF-8") from None
    if not decoded.isprintable():
        raise ValueError("it holds a character that cannot be shown, perhaps percent-encoded")
    return decoded


def _for_strangers(parsed: TransportURL, scheme: Scheme) -> TransportURL:
    """The URL as it is, if an untrusted source may give it; an error otherwise."""
    if not scheme.has_host:
        raise _wrong(parsed, "a URL from a stranger may not name a socket of this machine")
    if scheme.is_weak or scheme.is_broken:
        raise _wrong(parsed, f"a URL from a stranger may not ask for {scheme.meaning}")
    for name, text in parsed.options:
        option = OPTIONS[name]
        if not option.is_for_strangers:
            raise InvalidOption(
                name, f"{parsed.location}: a URL from a stranger may not carry {name}"
            )
        most = option.most_for_strangers
        if most is not None and option.parse(text) > most:
            raise InvalidOption(
                name,
                f"{parsed.location}: a URL from a stranger may give {name} {most:g} at the most, "
                f"not {text}",
            )
    return parsed


def _wrong(url: TransportURL, problem: str) -> InvalidTransport:
    """The error about a URL whose host and port are good."""
    return InvalidTransport(f"{url.location}: {problem}")


def _invalid(text: str, problem: str) -> InvalidTransport:
    """The error about a text that is no URL, with as much of it as is safe to show."""
    return InvalidTransport(f"{short_repr(_without_secrets(text), 120)}: {problem}")


def _without_secrets(text: str) -> str:
    """The text with ``***`` for user name and password, and without the options.

    Args:
        text: A URL of any kind, pasted by mistake perhaps, and perhaps broken
            anywhere. What may be part of a password is taken for one, and what
            follows the first sign of an option for options, a ``?`` or not. The
            path of a scheme that is not ours may be a secret as well.
    """
    name, slashes, rest = text.partition("://")
    if slashes and name.lower() not in SCHEMES:
        text = f"{name}{slashes}{_without_path(rest)}"
    address, mark, query = text.partition("?")
    if _is_password(query):
        address, mark, query = f"{address}@", "", ""
    more = "…" if query else ""
    before, at, after = address.rpartition("@")
    hidden = _HIDDEN(address)
    if hidden is not None:
        # Where it begins before the @, the @ itself may be of a passphrase.
        shown = max(0, hidden.start() - len(before + at))
        after, mark, more = after[:shown], "", "…"
    if at:
        name, slashes, user = before.partition("://")
        if not slashes or not _SCHEME(name):
            name, slashes, user = "", "", before
        before = f"{name}{slashes}***" if user else f"{name}{slashes}"
    return f"{before}{at}{after}{mark}{more}"


def _without_path(rest: str) -> str:
    """What follows ``://``, with an ellipsis in place of all that follows host and port."""
    before, at, after = rest.rpartition("@")
    if re.search(r"[/?#\\]", before):
        # A password with a slash, or a path with an @: either side may be the secret.
        return "…"
    end = _BEHIND_HOST(after)
    return rest if end is None else f"{before}{at}{after[: end.start()]}…"


def _is_password(query: str) -> bool:
    """Whether the ``?`` before `query` belongs to a password: no option's name has an ``@``."""
    return "@" in query.partition("=")[0]
