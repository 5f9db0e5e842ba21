"""Endpoints from Twisted's endpoint strings, and endpoint strings from URLs.

Twisted splits an endpoint string at every ``:`` and at the first ``=`` of each
part before a plugin sees it, and removes every ``\\``. The URL is put together
again here. Where the parts can be read as two different URLs, the string is
refused: nothing is guessed about where a server listens.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from twisted.internet.endpoints import quoteStringArgument

from txtransport.config.address import is_ipv6
from txtransport.config.application_schemes import refuse_application_url
from txtransport.config.options import OPTIONS
from txtransport.config.url import TransportURL
from txtransport.endpoints import api as endpoints
from txtransport.endpoints.client import ClientEndpoint
from txtransport.endpoints.server import ServerEndpoint
from txtransport.errors import InvalidTransport
from txtransport.text import short_repr

__all__ = ["PREFIX", "endpoint_string", "parse_client", "parse_server", "url_from_parts"]

PREFIX = "transport"
"""The prefix of endpoint strings that takes any URL."""


def endpoint_string(url: str | TransportURL, *, nested: bool = False) -> str:
    """A URL as an endpoint string, with everything quoted that Twisted would split.

    Args:
        url: For example ``tls://[::1]?local_cert=C:/site.pem``.
        nested: Whether the string is to stand in another one, whose parser splits it
            before ours does: ``autobahn:STRING:url=…``, ``tls:host:443:endpoint=STRING``.

    Returns:
        ``transport:`` and the canonical URL with every ``:`` and ``\\`` quoted,
        for anything that takes an endpoint string; if nested, quoted once more, and
        with every ``=`` quoted as well.

    Raises:
        InvalidTransport: The URL is not one of a transport.
        InvalidOption: The URL has an option that cannot be used.
    """
    parsed = url if isinstance(url, TransportURL) else TransportURL.parse(url)
    string = f"{PREFIX}:{quoteStringArgument(str(parsed))}"
    # At the first place of a part, a raw = would make it a name and a value.
    return quoteStringArgument(string).replace("=", r"\=") if nested else string


def parse_client(
    reactor: object, prefix: str, args: Sequence[object], kwargs: Mapping[str, object]
) -> ClientEndpoint:
    """The endpoint that ``clientFromString`` returns for a prefix of ours.

    Args:
        reactor: Connects and keeps time.
        prefix: ``transport``, or one of the schemes that are prefixes.
        args: The parts of the string that have no ``=``; text or bytes.
        kwargs: The parts that have one, split at it; the values are text or bytes.

    Raises:
        InvalidTransport, InvalidOption, TransportUnavailable: As
            `txtransport.client` does.
    """
    return endpoints.client(reactor, url_from_parts(prefix, args, kwargs))


def parse_server(
    reactor: object, prefix: str, args: Sequence[object], kwargs: Mapping[str, object]
) -> ServerEndpoint:
    """The endpoint that ``serverFromString`` returns for a prefix of ours.

    Args:
        reactor: Listens and keeps time.
        prefix: As for `parse_client`, and so are the others.
        args: The parts without ``=``.
        kwargs: The parts with one.

    Raises:
        InvalidTransport, InvalidOption, TransportUnavailable: As
            `txtransport.server` does.
    """
    return endpoints.server(reactor, url_from_parts(prefix, args, kwargs))


def url_from_parts(
    prefix: str, args: Sequence[object], kwargs: Mapping[str, object]
) -> TransportURL:
    """The URL of an endpoint string that Twisted has split.

    Args:
        prefix: As for `parse_client`, and so are the others.
        args: The parts without ``=``.
        kwargs: The parts with one.

    Raises:
        InvalidTransport: The parts are no URL, or can be read as two different
            ones; the text says how to quote it.
    """
    parts = [_text(part) for part in args]
    pairs = [(_text(name), _text(value)) for name, value in kwargs.items()]
    if not parts and len(pairs) == 1 and pairs[0][0] == "url":
        return TransportURL.parse(pairs[0][1])
    text = ":".join([*parts, *(f"{name}={value}" for name, value in pairs)])
    if prefix != PREFIX:
        text = f"{prefix}:{text}"
    refusal = _application_refusal(parts, pairs)
    if refusal is not None:
        raise InvalidTransport(refusal)
    if len(pairs) > 1:
        raise _ambiguous(text)
    try:
        # First without the query: if a value has an unquoted ":", the rest of
        # that value is in front of the query now, and the error is about it.
        TransportURL.parse(text.partition("?")[0])
        url = TransportURL.parse(text)
    except InvalidTransport as problem:
        secret = next((name for name in _SECRETS if f"{name}=" in text), None)
        if secret is not None:
            # Any part of the text may be the rest of the secret.
            raise InvalidTransport(
                f"the endpoint string is no URL, and not shown for its {secret}: {_ADVICE}"
            ) from None
        raise InvalidTransport(f"{problem} ({_ADVICE})") from problem
    if parts and pairs and is_ipv6(url.host) and url.port is None:
        # An unquoted ":" in a value would have made that part of the address.
        # With only one part, none was unquoted.
        raise _ambiguous(text)
    return url


_SECRETS: Final = tuple(name for name, row in OPTIONS.items() if row.is_secret)

_ADVICE = (
    "in an endpoint string a : or \\ inside an option's value is written %3A or %5C, "
    "or the whole as txtransport.endpoint_string(url) gives it"
)


def _application_refusal(parts: list[str], pairs: list[tuple[str, str]]) -> str | None:
    """Why a string that holds an application's URL is refused, or None if it holds none.

    Twisted keeps the parts with a ``=`` apart from the others, so that their order is
    lost, and with it which part is the host and which one of the password. If an ``@``
    may be at another place than it seems, the message shows no host.
    """
    if [name for name, _ in pairs] == ["url"]:
        # url=https://… with its colons not quoted.
        parts, pairs = [pairs[0][1], *parts], []
    begin = [*parts[1:2], *(name for name, _ in pairs[:1])]
    if not parts or not any(part.startswith("//") for part in begin):
        return None
    # Of two parts with one name Twisted keeps the last, so that an @ may be lost with the
    # other. Behind a sign that ends the authority (RFC 3986, 3.2) that makes no difference.
    is_in_order = begin[0].startswith("//") and all(
        "@" not in name + value and _ENDS_AUTHORITY(name) for name, value in pairs
    )
    rest = ":".join([*parts[1:], *(f"{name}={value}" for name, value in pairs)])
    return refuse_application_url(f"{parts[0]}:{rest if is_in_order else '//'}")


_ENDS_AUTHORITY: Final = re.compile("[/?#]").search


def _ambiguous(text: str) -> InvalidTransport:
    # Without the options: one of them may be a passphrase.
    location = text.partition("?")[0].rpartition("@")[2]
    return InvalidTransport(
        f"{short_repr(location)}: this and what follows can be read in two ways: {_ADVICE}"
    )


def _text(part: object) -> str:
    if not isinstance(part, bytes):
        return str(part)
    try:
        return part.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidTransport("the endpoint string is not UTF-8") from None
