"""What the options of one endpoint come to: for the socket, for TLS, for the waits.

Options are read one by one in `txtransport.config.options`; here they meet. What one
needs of another, what contradicts another, and what would be silently ignored
is refused before anything is opened.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Any, Final

from attrs import frozen

from txtransport.config.options import find_option
from txtransport.config.policy import Side, TLSPolicy, Verify
from txtransport.config.schemes import SCHEMES, Scheme
from txtransport.errors import InvalidOption
from txtransport.starttls.protocols import StartTLSProtocol


@frozen
class SocketOptions:
    """What is asked of the socket; None leaves the system's default."""

    bindto: tuple[str, int] | None = None
    backlog: int = 50
    ipv6_v6only: bool | None = None
    so_reuseport: bool = False
    so_broadcast: bool = False
    tcp_nodelay: bool = True
    so_keepalive: bool = False
    tcp_keepidle: int | None = None
    tcp_keepintvl: int | None = None
    tcp_keepcnt: int | None = None
    so_linger: int | None = None
    so_rcvbuf: int | None = None
    so_sndbuf: int | None = None


@frozen
class Deadlines:
    """How long things may take, in seconds."""

    timeout: float = 30.0
    handshake_timeout: float = 10.0
    close_timeout: float = 5.0


@frozen
class ServingPolicy:
    """How many conversations a server holds at once; None is no limit."""

    max_connections: int | None = None
    max_per_ip: int | None = None
    overflow: str = "pause"


@frozen
class StartTLSOptions:
    """What comes before TLS.

    Attributes:
        starttls: The protocol whose dialogue leads there.
        starttls_name: The domain that is asked for, where it is not the host.
        starttls_from: The domain that we speak for, between servers.
        starttls_policy: ``must``, or ``may`` where clear text will do.
    """

    starttls: StartTLSProtocol | None = None
    starttls_name: str | None = None
    starttls_from: str | None = None
    starttls_policy: str = "must"


@frozen
class Settings:
    """Everything that the options of one endpoint come to.

    Attributes:
        sockets: For the socket.
        tls: For TLS, or None where the scheme has none.
        deadlines: For the waits.
        serving: For servers.
        way_in: For what comes before TLS.
    """

    sockets: SocketOptions
    tls: TLSPolicy | None
    deadlines: Deadlines
    serving: ServingPolicy
    starttls_options: StartTLSOptions


_PARTS: Final = (SocketOptions, TLSPolicy, Deadlines, ServingPolicy, StartTLSOptions)
_FIELDS: Final = {
    attribute.name: index
    for index, part in enumerate(_PARTS)
    for attribute in part.__attrs_attrs__  # type: ignore[attr-defined]
}


def resolve_options(
    scheme: Scheme,
    given: Iterable[tuple[str, str]],
    keywords: Mapping[str, Any],
    side: str,
) -> Settings:
    """Options to policies.

    Args:
        scheme: The transport that they are for.
        given: The URL's options, as parsed.
        keywords: The Python keywords; an option may be in both when they agree.
        side: ``client``, ``server`` or ``datagram``.

    Returns:
        The policies, with the defaults of the scheme.

    Raises:
        InvalidOption: An option is unknown, not for this scheme or side, of
            the wrong type, or contradicts another.
    """
    if not keywords:
        return _resolve_url_options(scheme.name, tuple(given), side)
    return _resolve_options(scheme, tuple(given), keywords, side)


def _resolve_options(
    scheme: Scheme, given: tuple[tuple[str, str], ...], keywords: Mapping[str, Any], side: str
) -> Settings:
    values: dict[str, Any] = {}
    for source in (given, keywords.items()):
        for name, written in source:
            option = find_option(name, scheme)
            if side not in option.sides:
                raise InvalidOption(
                    name, f"{name} is an option of a {' or '.join(sorted(option.sides))}, "
                    f"not of a {side}",
                )  # fmt: skip
            if option.refusal is not None:
                raise InvalidOption(name, f"{name} cannot be used: {option.refusal}")
            meant = option.parse(written)
            if values.setdefault(name, meant) != meant:
                raise InvalidOption(
                    name, f"{name} is in the URL and in the keywords, with different values"
                )
    return _combine(scheme, values, side)


# The same URLs come again and again, and what they say never changes.
@functools.lru_cache(maxsize=512)
def _resolve_url_options(name: str, given: tuple[tuple[str, str], ...], side: str) -> Settings:
    return _resolve_options(SCHEMES[name], given, {}, side)


def tls_policy(given: Mapping[str, Any], side: Side) -> TLSPolicy:
    """TLS options, as a mapping, to a policy.

    Args:
        given: Names and values, as they would be written for ``tls://``.
        side: Which side is to keep to it.

    Raises:
        InvalidOption: As for `resolve_options`.
    """
    tls = SCHEMES["tls"]
    for name in given:
        # What has no field does nothing, or says in `resolve_options` why it cannot be used.
        if _FIELDS.get(find_option(name, tls).name, 1) != _PARTS.index(TLSPolicy):
            raise InvalidOption(name, f"{name} is not an option of TLS itself")
    settled = resolve_options(tls, (), given, side.value).tls
    assert settled is not None
    return settled


# The same policy serves one conversation after the other.
@functools.lru_cache(maxsize=512)
def validate_policy(given: TLSPolicy, side: Side) -> TLSPolicy:
    """A policy that a program made itself, held to the rules that options keep.

    Raises:
        InvalidOption: As for `resolve_options`.
    """
    default = TLSPolicy()
    differing = {
        name: meant
        for name, index in _FIELDS.items()
        if index == _PARTS.index(TLSPolicy)
        and (meant := getattr(given, name)) != getattr(default, name)
    }
    # SNI_server_certs is a mapping where it is written.
    if "SNI_server_certs" in differing:
        differing["SNI_server_certs"] = dict(differing["SNI_server_certs"])
    return tls_policy(differing, side)


_OWN: Final = ("local_cert", "SNI_server_certs")
_NEEDS: Final = {
    "local_pk": ("local_cert",),
    "passphrase": _OWN,
    "passphrase_file": _OWN,
    "tcp_keepidle": ("so_keepalive",),
    "tcp_keepintvl": ("so_keepalive",),
    "tcp_keepcnt": ("so_keepalive",),
    "overflow": ("max_connections",),
    "starttls_name": ("starttls",),
    "starttls_from": ("starttls",),
    "starttls_policy": ("starttls",),
}
"""Options that do nothing without one of others."""

_ABOUT_THE_PEER: Final = (
    "verify_peer_name", "allow_self_signed", "cafile", "capath", "peer_fingerprint", "pin", "crl"
)  # fmt: skip
"""Options about a certificate that a server must first ask for."""

_ABOUT_THE_CHAIN: Final = ("allow_self_signed", "cafile", "capath", "verify_depth", "crl")
"""Options about the chain of a peer's certificate."""


def _combine(scheme: Scheme, values: dict[str, Any], side: str) -> Settings:
    parts: tuple[dict[str, Any], ...] = ({}, {}, {}, {}, {})
    for name, meant in values.items():
        if name in _FIELDS:
            parts[_FIELDS[name]][name] = meant
    for name, others in _NEEDS.items():
        if name in values and not any(values.get(other) for other in others):
            raise InvalidOption(
                name, f"{name} needs {' or '.join(others)}, without which it does nothing"
            )
    if scheme.is_secure:
        _fix_version(scheme, parts[1])
        _refuse_contradictions(values, side)
    return Settings(
        SocketOptions(**parts[0]),
        TLSPolicy(**parts[1]) if scheme.is_secure else None,
        Deadlines(**parts[2]),
        ServingPolicy(**parts[3]),
        StartTLSOptions(**parts[4]),
    )


def _fix_version(scheme: Scheme, tls: dict[str, Any]) -> None:
    if scheme.version is not None:
        for name in ("min_version", "max_version"):
            if tls.setdefault(name, scheme.version) != scheme.version:
                raise InvalidOption(
                    name, f"{scheme.name}:// is TLS {scheme.version} and nothing else; "
                    f"use tls:// with {name}",
                )  # fmt: skip
        if scheme.is_weak:
            tls.setdefault("security_level", 0)
    low, high = tls.get("min_version", "1.2"), tls.get("max_version", "1.3")
    if low > high:
        name = "max_version" if "max_version" in tls else "min_version"
        raise InvalidOption(
            name, f"min_version={low} is above max_version={high}: no version is left"
        )
    if low < "1.2" and tls.get("security_level") != 0:
        name = "security_level" if "security_level" in tls else "min_version"
        raise InvalidOption(
            name,
            f"TLS {low} needs security_level=0, without which OpenSSL has no "
            f"cipher for it; tlsv{low}:// sets it, and speaks that version alone",
        )
    if low > "1.2" and "ciphers" in tls:
        raise InvalidOption("ciphers", f"ciphers is for TLS 1.2 and older, not for TLS {low}")


def _refuse_contradictions(values: dict[str, Any], side: str) -> None:
    if side == "client" and values.get("verify_peer") is Verify.OPTIONAL:
        raise InvalidOption("verify_peer", "verify_peer=optional is for servers; a server "
                            "always shows its certificate")  # fmt: skip
    if side == "server" and values.get("verify_peer_name") and "peer_name" not in values:
        raise InvalidOption("verify_peer_name", "verify_peer_name=yes on a server needs "
                            "peer_name, the name that clients' certificates are for")  # fmt: skip
    if side == "server" and "peer_name" in values and not values.get("verify_peer_name"):
        raise InvalidOption("peer_name", "peer_name on a server needs verify_peer_name=yes, "
                            "without which every trusted client is let in")  # fmt: skip
    if side == "server" and values.get("verify_peer", Verify.NO) is Verify.NO:
        for name in _ABOUT_THE_PEER:
            if values.get(name):
                raise InvalidOption(name, f"{name} on a server needs verify_peer=yes or optional, "
                                    "without which no client shows a certificate")  # fmt: skip
    if values.get("verify_peer") is Verify.NO:
        for name in _ABOUT_THE_CHAIN:
            if values.get(name):
                raise InvalidOption(name, f"{name} does nothing with verify_peer=no, which looks "
                                    "at no chain")  # fmt: skip
    _refuse_starttls_contradictions(values, side)
    if "passphrase" in values and "passphrase_file" in values:
        raise InvalidOption("passphrase", "passphrase and passphrase_file exclude each other")


def _refuse_starttls_contradictions(values: dict[str, Any], side: str) -> None:
    protocol: StartTLSProtocol | None = values.get("starttls")
    if protocol is None:
        return
    name = protocol.name
    if side == "server" and protocol.serve is None:
        raise InvalidOption("starttls", f"starttls={name} is for clients only")
    if "starttls_name" in values and protocol.verifies != "domain":
        raise InvalidOption("starttls_name", f"starttls={name} asks for no domain; "
                            "peer_name says whom the certificate is for")  # fmt: skip
    if side == "client" and protocol.is_between_servers is not ("starttls_from" in values):
        demand = "speaks for no domain"
        if protocol.is_between_servers:
            demand = "needs starttls_from, the domain that we speak for"
        raise InvalidOption("starttls_from", f"starttls={name} {demand}")
    if values.get("starttls_policy") == "may" and not protocol.may_continue:
        raise InvalidOption("starttls_policy", f"starttls={name} leaves no conversation to go on "
                            "with when TLS is refused")  # fmt: skip
