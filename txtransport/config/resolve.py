"""A URL and options to what they come to: settings, and a policy for that peer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from txtransport.config.policy import Side, TLSPolicy, Verify
from txtransport.config.schemes import SCHEMES, Kind
from txtransport.config.settings import Settings, StartTLSOptions, resolve_options
from txtransport.config.url import TransportURL
from txtransport.errors import InvalidOption, InvalidTransport


def policy_for_peer(
    url: TransportURL, policy: TLSPolicy, starttls_options: StartTLSOptions
) -> TLSPolicy:
    """The URL names the peer, unless an option does. A path names no one."""
    name = starttls_options.starttls_name or url.name
    return policy.for_peer(name) if name else policy


def describe_endpoint(url: TransportURL, starttls_options: StartTLSOptions) -> str:
    """The endpoint, for messages: with the dialogue that leads to TLS there."""
    protocol = starttls_options.starttls
    if protocol is None:
        return url.location
    if url.host and url.port is None and protocol.port is not None:
        raise InvalidTransport(
            f"{url.location}: the port is missing; the usual one of {protocol.name} "
            f"is {protocol.port}"
        )
    return f"{url.location}?starttls={protocol.name}"


def weaknesses(policy: TLSPolicy, side: Side, starttls_options: StartTLSOptions) -> list[str]:
    weak = []
    if starttls_options.starttls_policy == "may":
        weak.append("starttls_policy=may: anyone in between can keep the peer from TLS")
    if policy.min_version < "1.2":
        weak.append(f"TLS {policy.min_version} is deprecated (RFC 8996) and can be broken")
    if side is Side.SERVER or policy.peer_fingerprint:
        # That one certificate and no other: whoever vouches for it, and for
        # whichever name it is.
        return weak
    if not policy.verifies_name(side):
        weak.append("verify_peer_name=no: any trusted certificate will do")
    if not policy.pin and policy.verifies(side) is Verify.NO:
        weak.append("verify_peer=no: anyone can pose as the peer")
    elif not policy.pin and policy.allow_self_signed:
        weak.append("allow_self_signed=yes: anyone can pose as the peer; peer_fingerprint or pin "
                    "says which certificate is meant")  # fmt: skip
    return weak


def with_port(url: str | TransportURL, port: int | None) -> TransportURL:
    """A URL with the port that stands beside it.

    Raises:
        InvalidTransport: It is no URL, or has another port.
    """
    if not isinstance(url, TransportURL):
        return TransportURL.parse(url, port)
    if port is None or url.port == port:
        return url
    if url.port is None:
        return TransportURL.parse(str(url), port)
    raise InvalidTransport(f"{url.location}: the URL says port {url.port} and port= says {port}")


def resolve(url: TransportURL, options: Mapping[str, Any], side: str, kind: Kind) -> Settings:
    """A URL and keywords to settings.

    Args:
        transport: The URL.
        options: The keywords.
        side: ``client``, ``server`` or ``datagram``.
        kind: What the endpoint moves.

    Raises:
        InvalidTransport: The URL is not one of such an endpoint.
        InvalidOption: An option cannot be used.
    """
    scheme = SCHEMES[url.scheme]
    if scheme.kind is not kind:
        right = "datagram(…)" if scheme.kind is Kind.DATAGRAM else "client(…) or server(…)"
        raise InvalidTransport(
            f"{url.location}: {scheme.name} is made of {scheme.kind.value}s; "
            f"use txtransport.{right}"
        )
    try:
        return resolve_options(scheme, url.options, options, side)
    except InvalidOption as error:
        raise error.located(url.location) from error.__cause__
