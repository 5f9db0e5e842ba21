"""From a URL and keywords to the settings of an endpoint, and to a policy for its peer.

The endpoints call these functions in order::

    with_port          url, port=         -> TransportURL with that port
    resolve            TransportURL, side -> Settings, the rules of options kept
    describe_endpoint  TransportURL       -> text for messages, and for repr()
    policy_for_peer    TLSPolicy          -> TLSPolicy with the peer's name
    weaknesses         TLSPolicy          -> what to warn of

`txtransport.config.settings` reads the options and refuses contradictions. Only
what needs the whole URL is here.
"""

from __future__ import annotations

from collections.abc import Mapping

from txtransport.config.policy import Side, TLSPolicy, Verify
from txtransport.config.schemes import BROKEN_VERSIONS, SCHEMES, Kind
from txtransport.config.settings import (
    ProxyHeaderOptions,
    Settings,
    StartTLSOptions,
    resolve_options,
)
from txtransport.config.url import TransportURL
from txtransport.errors import InvalidOption, InvalidTransport
from txtransport.text import short_text

__all__ = [
    "describe_endpoint",
    "header_weaknesses",
    "policy_for_peer",
    "represent_endpoint",
    "resolve",
    "weaknesses",
    "with_port",
]


def policy_for_peer(
    url: TransportURL, policy: TLSPolicy, starttls_options: StartTLSOptions
) -> TLSPolicy:
    """The policy with the name that the peer's certificate must be for.

    Args:
        url: Its host is the peer's name. A local socket has no host, and gives
            the policy back as it is.
        policy: Keeps its ``peer_name``, if it has one.
        starttls_options: Their ``starttls_name`` comes before the URL's host.
    """
    name = starttls_options.starttls_name or url.name
    return policy.for_peer(name) if name else policy


def describe_endpoint(
    url: TransportURL,
    starttls_options: StartTLSOptions,
    srv: str | None = None,
    *,
    needs_port: bool = True,
) -> str:
    """An endpoint in a few words, for messages: the URL with its ``starttls`` and ``srv``.

    Args:
        url: The URL, whose other options are not shown.
        starttls_options: Have the protocol.
        srv: The service that the DNS is asked for, or None.
        needs_port: Whether the port is part of where the endpoint leads.

    Raises:
        InvalidTransport: The URL has a host and no port, and ``starttls`` names
            a protocol with a usual port, which the message suggests.
    """
    protocol = starttls_options.starttls
    if srv is not None:
        return f"{url.location}?srv={srv}" + (f"&starttls={protocol.name}" if protocol else "")
    if protocol is None:
        return url.location
    if needs_port and url.host and url.port is None and protocol.port is not None:
        raise InvalidTransport(
            f"{url.location}: the port is missing; the usual one of {protocol.name} "
            f"is {protocol.port}"
        )
    return f"{url.location}?starttls={protocol.name}"


def represent_endpoint(side: str, where: str, proxy: str = "") -> str:
    """The ``repr`` of an endpoint, of less than 120 characters and without a secret.

    Args:
        side: ``client``, ``server`` or ``datagram``.
        where: As `describe_endpoint` has it, which shows no other option.
        proxy: The proxies in between, without their secrets.
    """
    if proxy:
        where = f"{short_text(where, 45)} through {proxy}"
    return f"<txtransport {side} {short_text(where, 90)}>"


def weaknesses(policy: TLSPolicy, side: Side, starttls_options: StartTLSOptions) -> list[str]:
    """What is weak about the settings, a line for each weakness, fit for a warning.

    Args:
        policy: What is demanded of TLS.
        side: The side that uses the policy.
        starttls_options: What comes before TLS.
    """
    weak = []
    if starttls_options.starttls_policy == "may":
        weak.append("starttls_policy=may: anyone in between can keep the peer from TLS")
    broken = BROKEN_VERSIONS.get(policy.min_version)
    if broken is not None and broken.danger is not None:
        weak.append(broken.danger.summary)
    elif policy.min_version < "1.2":
        weak.append(f"TLS {policy.min_version} is deprecated (RFC 8996) and can be broken")
    if policy.keylog is not None:
        weak.append("keylog: all who can read that file can decrypt the connections")
    if side is Side.SERVER or policy.peer_fingerprint:
        # The rest is about a client that checks its server. With a fingerprint the
        # client accepts one certificate only, so that its issuer and its names do
        # not matter.
        return weak
    if not policy.verifies_name(side):
        weak.append("verify_peer_name=no: any trusted certificate will do")
    if not policy.pin and policy.verifies(side) is Verify.NO:
        weak.append("verify_peer=no: anyone can pose as the peer")
    elif not policy.pin and policy.allow_self_signed:
        weak.append("allow_self_signed=yes: anyone can pose as the peer; peer_fingerprint or pin "
                    "says which certificate is meant")  # fmt: skip
    return weak


def header_weaknesses(url: TransportURL, proxy_header: ProxyHeaderOptions) -> list[str]:
    """What is weak about whose PROXY headers are believed, as `weaknesses` has it.

    Args:
        url: Where a server listens.
        proxy_header: The server's options.
    """
    sources = proxy_header.proxy_from
    if sources.everyone and not url.path:
        return [f"proxy_from={sources.everyone}: anyone can pose as any client"]
    if sources.has_unix and url.path.startswith("@"):
        return ["proxy_from=unix: every local user may connect to an abstract name, and can pose "
                "as any client"]  # fmt: skip
    return []


def with_port(url: str | TransportURL, port: int | None) -> TransportURL:
    """A URL, parsed if it is text, with the port that a caller gave beside it.

    Args:
        url: The text or the value.
        port: 0 to 65535, or None to take the URL's.

    Raises:
        InvalidTransport: The text is no URL, or the URL has another port.
        InvalidOption: An option in the text is unknown, doubled or wrong.
    """
    if not isinstance(url, TransportURL):
        return TransportURL.parse(url, port)
    if port is None or url.port == port:
        return url
    if url.port is None:
        return TransportURL.parse(str(url), port)
    raise InvalidTransport(f"{url.location}: the URL says port {url.port} and port= says {port}")


def resolve(url: TransportURL, options: Mapping[str, object], side: str, kind: Kind) -> Settings:
    """Read the options of a URL, and those beside it, into settings.

    Args:
        url: The URL.
        options: The Python keywords.
        side: ``client``, ``server`` or ``datagram``.
        kind: What travels over the endpoint: a stream, or datagrams.

    Raises:
        InvalidTransport: The URL's scheme is not of that kind.
        InvalidOption: An option cannot be used; the message names the URL.
    """
    scheme = SCHEMES[url.scheme]
    if scheme.is_inherited and side == "client":
        raise InvalidTransport(
            f"{url.location}: {scheme.name} is for sockets that listen, hence for servers; "
            "a client over a connected socket is made with over="
        )
    if not scheme.carries(kind):
        right = "datagram(…)" if scheme.kind is Kind.DATAGRAM else "client(…) or server(…)"
        raise InvalidTransport(
            f"{url.location}: {scheme.name} is made of {scheme.kind.value}s; "
            f"use txtransport.{right}"
        )
    try:
        return resolve_options(scheme, url.options, options, side)
    except InvalidOption as error:
        raise error.located(url.location) from error.__cause__
