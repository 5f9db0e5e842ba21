"""A URL and options to what they come to: settings, and a policy for that peer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from txtransport.config.policy import Side, TLSPolicy, Verify
from txtransport.config.schemes import SCHEMES, Kind
from txtransport.config.settings import Settings, WayIn, split
from txtransport.config.url import Transport
from txtransport.errors import InvalidOption, InvalidTransport


def expecting(transport: Transport, policy: TLSPolicy, way_in: WayIn) -> TLSPolicy:
    """The URL names the peer, unless an option does. A path names no one."""
    name = way_in.starttls_name or transport.name
    return policy.expecting(name) if name else policy


def where_of(transport: Transport, way_in: WayIn) -> str:
    """The endpoint, for messages: with the dialogue that leads to TLS there."""
    protocol = way_in.starttls
    if protocol is None:
        return transport.where
    if transport.host and transport.port is None and protocol.port is not None:
        raise InvalidTransport(
            f"{transport.where}: the port is missing; the usual one of {protocol.name} "
            f"is {protocol.port}"
        )
    return f"{transport.where}?starttls={protocol.name}"


def weaknesses(policy: TLSPolicy, side: Side, way_in: WayIn) -> list[str]:
    weak = []
    if way_in.starttls_policy == "may":
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


def placed(url: str | Transport, port: int | None) -> Transport:
    """A URL with the port that stands beside it.

    Raises:
        InvalidTransport: It is no URL, or has another port.
    """
    if not isinstance(url, Transport):
        return Transport.parse(url, port)
    if port is None or url.port == port:
        return url
    if url.port is None:
        return Transport.parse(str(url), port)
    raise InvalidTransport(f"{url.where}: the URL says port {url.port} and port= says {port}")


def resolve(transport: Transport, options: Mapping[str, Any], side: str, kind: Kind) -> Settings:
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
    scheme = SCHEMES[transport.scheme]
    if scheme.kind is not kind:
        right = "datagram(…)" if scheme.kind is Kind.DATAGRAM else "client(…) or server(…)"
        raise InvalidTransport(
            f"{transport.where}: {scheme.name} is made of {scheme.kind.value}s; "
            f"use txtransport.{right}"
        )
    try:
        return split(scheme, transport.options, options, side)
    except InvalidOption as error:
        raise error.located(transport.where) from error.__cause__
