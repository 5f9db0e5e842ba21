"""Twisted's endpoint strings to endpoints.

Twisted takes a description apart at every ``:`` and at the first ``=`` of
each part before a plugin sees it, and swallows every ``\\``. What it took
apart is put together again here, and refused where that could be done in two
ways: never a guess about where a server listens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from twisted.internet.endpoints import quoteStringArgument
from twisted.internet.interfaces import IStreamClientEndpoint, IStreamServerEndpoint

from txtransport.config.address import is_ipv6
from txtransport.config.url import TransportURL
from txtransport.endpoints import api as endpoints
from txtransport.errors import InvalidTransport
from txtransport.text import short_repr

PREFIX = "transport"
"""The prefix that takes any URL."""


def endpoint_string(url: str | TransportURL) -> str:
    """A URL as an endpoint string, whatever is in it.

    Args:
        url: For example ``tls://[::1]?local_cert=C:/site.pem``.

    Returns:
        ``transport:`` and the canonical URL with every ``:`` and ``\\`` quoted,
        for anything that takes an endpoint string.

    Raises:
        InvalidTransport: It is no URL of a transport.
        InvalidOption: It has an option that cannot be.
    """
    parsed = url if isinstance(url, TransportURL) else TransportURL.parse(url)
    return f"{PREFIX}:{quoteStringArgument(str(parsed))}"


def parse_client(
    reactor: Any, prefix: str, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> IStreamClientEndpoint:
    """What ``clientFromString`` gets for a prefix of ours.

    Args:
        reactor: Connects.
        prefix: ``transport``, or one of the schemes that are prefixes.
        args: What Twisted found without ``=``; text or bytes.
        kwargs: What it found with one.

    Raises:
        InvalidTransport, InvalidOption, TransportUnavailable: As
            `txtransport.client` does.
    """
    return endpoints.client(reactor, url_from_parts(prefix, args, kwargs))


def parse_server(
    reactor: Any, prefix: str, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> IStreamServerEndpoint:
    """What ``serverFromString`` gets for a prefix of ours; as `parse_client`."""
    return endpoints.server(reactor, url_from_parts(prefix, args, kwargs))


def url_from_parts(prefix: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> TransportURL:
    """The URL that Twisted took apart.

    Raises:
        InvalidTransport: It cannot be told what it was; the text says how to
            quote it.
    """
    parts = [_text(part) for part in args]
    pairs = [(_text(name), _text(given)) for name, given in kwargs.items()]
    if not parts and len(pairs) == 1 and pairs[0][0] == "url":
        return TransportURL.parse(pairs[0][1])
    text = ":".join([*parts, *(f"{name}={given}" for name, given in pairs)])
    if prefix != PREFIX:
        text = f"{prefix}:{text}"
    if len(pairs) > 1:
        raise _ambiguous(text)
    try:
        # The place first: a raw ":" in a value puts the rest of that value there.
        TransportURL.parse(text.partition("?")[0])
        url = TransportURL.parse(text)
    except InvalidTransport as problem:
        if "passphrase=" in text:
            # The rest may be half of it.
            raise InvalidTransport(
                f"the endpoint string is no URL, and not shown for its passphrase: {_ADVICE}"
            ) from None
        raise InvalidTransport(f"{problem} ({_ADVICE})") from problem
    if parts and pairs and is_ipv6(url.host) and url.port is None:
        # A raw ":" in a value would have become part of the address. Where
        # there is but one part, none was raw.
        raise _ambiguous(text)
    return url


_ADVICE = (
    "in an endpoint string a : or \\ inside an option's value is written %3A or %5C, "
    "or the whole as txtransport.endpoint_string(url) gives it"
)


def _ambiguous(text: str) -> InvalidTransport:
    # Without the options, among which there may be a passphrase.
    place = text.partition("?")[0].rpartition("@")[2]
    return InvalidTransport(
        f"{short_repr(place)} and what follows can be read in two ways: {_ADVICE}"
    )


def _text(part: Any) -> str:
    if not isinstance(part, bytes):
        return str(part)
    try:
        return part.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidTransport("the endpoint string is not UTF-8") from None
