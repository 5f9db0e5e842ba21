"""From the options of one endpoint to its settings, the TLS policy among them.

The text of a URL becomes a policy in four steps::

    "tls://h:443?verify_depth=3"                  cafile="ca.pem"
        | TransportURL.parse                      | a Python keyword
    (("verify_depth", "3"),)                      {"cafile": "ca.pem"}
        +---------------------+-------------------+
                              | 1. find_option: does the scheme have it? does this side?
                              | 2. Option.parse: text or Python value -> value
             {"verify_depth": 3, "cafile": "ca.pem"}
                              | 3. _combine: do the options agree with one another?
                              | 4. each option goes to the class that has a field for it
        Settings(sockets, tls=TLSPolicy(verify_depth=3, cafile="ca.pem"), deadlines, …)

Steps 1 and 2 look at one option at a time, by its row in
`txtransport.config.options`. Step 3 has the rules about several options. An
option that needs another one, that contradicts another one, or that would do
nothing, is refused before any file or socket is opened: a check that a user
asked for must not be ignored silently.

Three functions lead through these steps, so that the rules are always the same:

- `resolve_options`, for endpoints, takes the options of a URL and keywords;
- `tls_policy`, for ``startTLS()``, takes a mapping of TLS options;
- `validate_policy`, for ``startTLS()``, takes a `TLSPolicy` that a program made
  itself.

The name of the peer is not known here. `txtransport.config.resolve` takes it
from the URL.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeVar, cast

from attrs import AttrsInstance, fields, frozen

from txtransport.config.address import without_zone
from txtransport.config.options import MOST_CACHED, find_option
from txtransport.config.policy import Side, TLSPolicy, Verify
from txtransport.config.proxy_sources import NO_ONE, ProxySources
from txtransport.config.proxy_url import FROM_ENVIRONMENT, ProxyURL
from txtransport.config.schemes import BROKEN_VERSIONS, SCHEMES, Scheme
from txtransport.errors import InvalidOption
from txtransport.starttls.protocols import StartTLSProtocol

__all__ = [
    "Deadlines",
    "ProxyHeaderOptions",
    "ProxyOptions",
    "ServingPolicy",
    "Settings",
    "SocketOptions",
    "StartTLSOptions",
    "proxy_policy",
    "resolve_options",
    "tls_policy",
    "validate_policy",
]

_T = TypeVar("_T")


@frozen
class SocketOptions:
    """Options of the socket, and where it is connected to. None is the system's default.

    Attributes:
        bindto: Local IP address and port to connect from; port 0 lets the
            system choose one.
        srv: The service whose SRV records say where to connect to, or None.
        backlog: How many connections may wait to be accepted.
        ipv6_v6only: Whether an IPv6 listener refuses IPv4.
        so_reuseport: Whether several processes may listen on the same port.
        so_broadcast: Whether datagrams may go to broadcast addresses.
        tcp_nodelay: Whether small writes are sent at once.
        so_keepalive: Whether TCP probes an idle connection.
        tcp_keepidle: Seconds of idleness before the first probe.
        tcp_keepintvl: Seconds between probes.
        tcp_keepcnt: Probes without an answer before the connection ends.
        so_linger: Seconds that closing waits for unsent data; 0 resets the
            connection.
        so_rcvbuf: Bytes of the receive buffer.
        so_sndbuf: Bytes of the send buffer.
        mode: The rights of a local socket's file; None is 0600.
        user: The name or number of the file's owner.
        group: The name or number of the file's group.
        over: What brings the connections in place of a socket of ours: an endpoint,
            or the description of one.
    """

    bindto: tuple[str, int] | None = None
    srv: str | None = None
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
    mode: int | None = None
    user: str | None = None
    group: str | None = None
    over: object = None


@frozen
class Deadlines:
    """How long each phase of a connection may take, in seconds.

    Attributes:
        timeout: For clients: name look-up, connecting, negotiation and
            handshake together.
        handshake_timeout: For servers: PROXY header, negotiation and handshake
            together.
        close_timeout: How long a close may wait for the peer before the
            connection is aborted. While the peer takes data that was unsent at
            the close, it gets that time again, at the most once for each 16 KiB.
    """

    timeout: float = 30.0
    handshake_timeout: float = 10.0
    close_timeout: float = 5.0


@frozen
class ServingPolicy:
    """How many connections a server holds at once. None is no limit.

    Attributes:
        max_connections: The most connections in all.
        max_per_ip: The most connections from one address; of IPv6, from one /64.
        overflow: What happens above `max_connections`: ``pause`` stops
            accepting, ``close`` closes each new connection.
    """

    max_connections: int | None = None
    max_per_ip: int | None = None
    overflow: str = "pause"


@frozen
class StartTLSOptions:
    """The dialogue in the clear that comes before TLS.

    Attributes:
        starttls: The protocol whose dialogue switches to TLS, or None when TLS
            begins at once.
        starttls_name: The domain that the dialogue asks for, when it is not
            the URL's host (XMPP).
        starttls_from: The domain that we speak for, between servers (XMPP).
        starttls_policy: ``must`` ends the connection when the peer will not
            start TLS; ``may`` goes on in the clear.
    """

    starttls: StartTLSProtocol | None = None
    starttls_name: str | None = None
    starttls_from: str | None = None
    starttls_policy: str = "must"


@frozen
class ProxyHeaderOptions:
    """The PROXY header with which a balancer begins each connection.

    Attributes:
        proxy_protocol: Servers: which version is expected (``v1``, ``v2``, ``any``), or
            None if there is no header.
        proxy_from: Servers: who may connect, and is believed.
        proxy_local: Servers: ``wait`` builds the protocol for a balancer's own connection
            at its first byte, ``serve`` at once.
        send_proxy: Clients: the version that is sent (``v1``, ``v2``), or None.
    """

    proxy_protocol: str | None = None
    proxy_from: ProxySources = NO_ONE
    proxy_local: str = "wait"
    send_proxy: str | None = None


@frozen
class ProxyOptions:
    """What is between us and the peer.

    Attributes:
        proxy: The proxies to connect through, the nearest first; or `FROM_ENVIRONMENT`.
    """

    proxy: tuple[ProxyURL, ...] | str = ()


@frozen
class Settings:
    """The settings of one endpoint, by the part of the package that reads them.

    Attributes:
        sockets: Options of the socket.
        tls: What is demanded of TLS, or None for a scheme without TLS.
        deadlines: How long each phase may take.
        serving: Limits of a server.
        starttls_options: What comes before TLS.
        proxy_header: What comes before all else.
        proxying: What is between us and the peer.
    """

    sockets: SocketOptions
    tls: TLSPolicy | None
    deadlines: Deadlines
    serving: ServingPolicy
    starttls_options: StartTLSOptions
    proxy_header: ProxyHeaderOptions = ProxyHeaderOptions()
    proxying: ProxyOptions = ProxyOptions()


_PARTS: Final[tuple[type[AttrsInstance], ...]] = (
    SocketOptions,
    TLSPolicy,
    Deadlines,
    ServingPolicy,
    StartTLSOptions,
    ProxyHeaderOptions,
    ProxyOptions,
)
_CLASS_OF_OPTION: Final[dict[str, type[AttrsInstance]]] = {
    attribute.name: part for part in _PARTS for attribute in fields(part)
}
"""An option's name to the class that has a field of that name.

``capture_peer_cert``, which does nothing, has no field.
"""


def resolve_options(
    scheme: Scheme,
    url_options: Iterable[tuple[str, str]],
    keywords: Mapping[str, object],
    side: str,
) -> Settings:
    """Read the options of an endpoint, check them against one another, and sort them.

    Args:
        scheme: The scheme of the URL.
        url_options: The URL's options as ``(name, text)``, percent-decoded.
        keywords: The Python keywords. An option may be in both if both mean
            the same.
        side: ``client``, ``server`` or ``datagram``.

    Returns:
        The settings. What is not given has its default, or the scheme's.

    Raises:
        InvalidOption: An option is unknown, not for this scheme or side, of
            the wrong type, contradicts another, or needs one that is missing.
    """
    pairs = tuple(url_options)
    if not keywords and sum(len(text) for _, text in pairs) <= MOST_CACHED:
        return _cached_settings(scheme.name, pairs, side)
    return _resolve_options(scheme, pairs, keywords, side)


def _resolve_options(
    scheme: Scheme,
    url_options: tuple[tuple[str, str], ...],
    keywords: Mapping[str, object],
    side: str,
) -> Settings:
    values: dict[str, object] = {}
    for source in (url_options, keywords.items()):
        for name, written in source:
            option = find_option(name, scheme)
            if side not in option.sides:
                raise InvalidOption(
                    name, f"{name} is an option of a {' or '.join(sorted(option.sides))}, "
                    f"not of a {side}",
                )  # fmt: skip
            value = option.parse(written)
            if values.setdefault(name, value) != value:
                raise InvalidOption(
                    name, f"{name} is in the URL and in the keywords, with different values"
                )
    return _combine(scheme, values, side)


# A program uses the same few URLs again and again, and settings are frozen.
@functools.lru_cache(maxsize=512)
def _cached_settings(
    scheme_name: str, url_options: tuple[tuple[str, str], ...], side: str
) -> Settings:
    return _resolve_options(SCHEMES[scheme_name], url_options, {}, side)


def tls_policy(options: Mapping[str, object], side: Side) -> TLSPolicy:
    """Make a policy from a mapping of TLS options, without a URL.

    Args:
        options: Names and values, as they would be written for ``tls://``.
        side: The side that will use the policy.

    Raises:
        InvalidOption: An option is not one of TLS itself (``timeout`` is not);
            or for the reasons of `resolve_options`.
    """
    scheme, options = _scheme_of(options)
    for name in options:
        # An option without a field passes here: it does nothing.
        if _CLASS_OF_OPTION.get(find_option(name, scheme).name, TLSPolicy) is not TLSPolicy:
            raise InvalidOption(name, f"{name} is not an option of TLS itself")
    policy = resolve_options(scheme, (), options, side.value).tls
    assert policy is not None
    return policy


_BOTH_VERSIONS: Final = ("min_version", "max_version")


def _scheme_of(options: Mapping[str, object]) -> tuple[Scheme, Mapping[str, object]]:
    """The scheme whose rules options without a URL keep, and the options that it then has.

    It is ``tls``, unless both versions are SSL 2.0 or SSL 3.0, and that is allowed.

    Raises:
        InvalidOption: Such a version is named, and not allowed, or not named by both.
    """
    named = [options[name] for name in _BOTH_VERSIONS if name in options]
    broken = [each for each in named if isinstance(each, str) and each in BROKEN_VERSIONS]
    if not broken:
        return SCHEMES["tls"], options
    scheme = BROKEN_VERSIONS[broken[0]]
    if broken != [scheme.version] * len(_BOTH_VERSIONS):
        raise InvalidOption(
            "min_version", f"{scheme.version} is spoken alone: min_version and max_version both "
            "name it",
        )  # fmt: skip
    return scheme, {name: given for name, given in options.items() if name not in _BOTH_VERSIONS}


# A program uses the same policy for one connection after the other.
@functools.lru_cache(maxsize=512)
def validate_policy(policy: TLSPolicy, side: Side) -> TLSPolicy:
    """Hold a policy that a program made itself to the rules that options keep.

    Args:
        policy: The program's policy.
        side: The side that will use the policy.

    Returns:
        A policy with the same demands, its values as an option's would be.

    Raises:
        InvalidOption: As for `tls_policy`.
    """
    default = TLSPolicy()
    # Only what differs counts as given: a rule such as "local_pk needs local_cert"
    # asks which options a user wrote.
    differing = {
        attribute.name: value
        for attribute in fields(TLSPolicy)
        if (value := getattr(policy, attribute.name)) != getattr(default, attribute.name)
    }
    # The policy holds pairs, since it must be hashable; the option takes a mapping.
    if policy.SNI_server_certs:
        differing["SNI_server_certs"] = dict(policy.SNI_server_certs)
    return tls_policy(differing, side)


_OWN_CERTIFICATE: Final = ("local_cert", "SNI_server_certs")
_NEEDS: Final = {
    "local_pk": ("local_cert",),
    "passphrase": _OWN_CERTIFICATE,
    "passphrase_file": _OWN_CERTIFICATE,
    "tcp_keepidle": ("so_keepalive",),
    "tcp_keepintvl": ("so_keepalive",),
    "tcp_keepcnt": ("so_keepalive",),
    "overflow": ("max_connections",),
    "starttls_name": ("starttls",),
    "starttls_from": ("starttls",),
    "starttls_policy": ("starttls",),
    "proxy_from": ("proxy_protocol",),
    "proxy_local": ("proxy_protocol",),
}
"""Each option that does nothing alone, and the options of which it needs one."""

_ABOUT_THE_PEER: Final = (
    "verify_peer_name", "allow_self_signed", "cafile", "capath", "x509_strict", "crl"
)  # fmt: skip
"""Checks of the peer's certificate, which a server gets only if it asks for one."""

_WHO_THE_PEER_IS: Final = ("peer_fingerprint", "pin")
"""Digests by which a server knows its clients, so that none may come without a certificate."""

_ABOUT_THE_CHAIN: Final = (
    "allow_self_signed", "cafile", "capath", "verify_depth", "x509_strict", "crl"
)  # fmt: skip
"""Options about the chain of the peer's certificate, which verify_peer=no skips."""


def _combine(scheme: Scheme, values: dict[str, object], side: str) -> Settings:
    """Check the options against one another, and make the settings from their values.

    Args:
        scheme: The scheme of the URL.
        values: Names of options to what `Option.parse` returned, for those that
            were given. The scheme's own version of TLS is added here.
        side: ``client``, ``server`` or ``datagram``.
    """
    for name, others in _NEEDS.items():
        if name in values and not any(values.get(other) for other in others):
            raise InvalidOption(
                name, f"{name} needs {' or '.join(others)}, without which it does nothing"
            )
    _refuse_proxy_contradictions(scheme, values)
    if "over" in values:
        _refuse_beside_over(values)
    if scheme.is_secure:
        _fix_version(scheme, values)
        _refuse_contradictions(values, side)
    proxies = values.get("proxy", ())
    if proxies != FROM_ENVIRONMENT:
        _refuse_proxies(scheme, cast("tuple[ProxyURL, ...]", proxies))
    return Settings(
        _build(SocketOptions, values),
        _build(TLSPolicy, values) if scheme.is_secure else None,
        _build(Deadlines, values),
        _build(ServingPolicy, values),
        _build(StartTLSOptions, values),
        _build(ProxyHeaderOptions, values),
        _build(ProxyOptions, values),
    )


_OF_A_SOCKET: Final = (
    *(attribute.name for attribute in fields(SocketOptions) if attribute.name != "over"),
    "proxy",
    "srv",
)
"""Options about how a socket is opened, which do nothing where someone else opens it."""


def _refuse_beside_over(values: Mapping[str, object]) -> None:
    for name in _OF_A_SOCKET:
        # The default of tcp_nodelay holds for the sockets of others, too.
        if name in values and not (name == "tcp_nodelay" and values[name]):
            raise InvalidOption(
                name, f"{name} belongs to a socket of our own, and over= says what is used instead"
            )


def _refuse_proxies(scheme: Scheme, proxies: tuple[ProxyURL, ...]) -> None:
    """Refuse proxies that cannot be meant, and options of theirs that are wrong."""
    if proxies and scheme.is_local:
        raise InvalidOption("proxy", f"{scheme.name}:// is of this machine, and behind no proxy")
    for proxy in proxies:
        proxy_policy(proxy)


def proxy_policy(proxy: ProxyURL) -> TLSPolicy | None:
    """What is demanded of TLS with a proxy; None for one that is spoken to in the clear.

    Args:
        proxy: Its host is the name that its certificate must be for, unless its options
            have another.

    Raises:
        InvalidOption: One of the proxy's own options is wrong.
    """
    if not proxy.kind.is_secure:
        return None
    try:
        policy = tls_policy(dict(proxy.options), Side.CLIENT)
        return policy.for_peer(without_zone(proxy.host).removesuffix("."))
    except InvalidOption as problem:
        raise InvalidOption("proxy", f"the proxy {proxy.redacted()}: {problem}") from None


def _build(part: Callable[..., _T], values: Mapping[str, object]) -> _T:
    """An instance of one of the `_PARTS`, from the values of the options that it has."""
    return part(
        **{name: value for name, value in values.items() if _CLASS_OF_OPTION.get(name) is part}
    )


def _fix_version(scheme: Scheme, values: dict[str, object]) -> None:
    """Add the version that the scheme stands for, and refuse versions that cannot be spoken."""
    if scheme.is_broken:
        values["min_version"] = values["max_version"] = scheme.version
        _refuse_unpinned_weakness(scheme, values)
        return
    if scheme.version is not None:
        for name in ("min_version", "max_version"):
            if values.setdefault(name, scheme.version) != scheme.version:
                raise InvalidOption(
                    name, f"{scheme.name}:// is TLS {scheme.version} and nothing else; "
                    f"use tls:// with {name}",
                )  # fmt: skip
        if scheme.is_weak:
            values.setdefault("security_level", 0)
    low = cast(str, values.get("min_version", "1.2"))
    high = cast(str, values.get("max_version", "1.3"))
    if low > high:
        name = "max_version" if "max_version" in values else "min_version"
        raise InvalidOption(
            name, f"min_version={low} is above max_version={high}: no version is left"
        )
    if low < "1.2" and values.get("security_level") != 0:
        name = "security_level" if "security_level" in values else "min_version"
        raise InvalidOption(
            name,
            f"TLS {low} needs security_level=0, without which OpenSSL has no "
            f"cipher for it; tlsv{low}:// sets it, and speaks that version alone",
        )
    if low > "1.2" and "ciphers" in values:
        raise InvalidOption("ciphers", f"ciphers is for TLS 1.2 and older, not for TLS {low}")


def _refuse_unpinned_weakness(scheme: Scheme, values: Mapping[str, object]) -> None:
    """Refuse a ``security_level`` that would accept certificates which anyone can forge.

    The engines of SSL 2.0 and SSL 3.0 know no levels: without the option, certificates are
    held to what OpenSSL's default demands.
    """
    level = values.get("security_level")
    if level is None:
        return
    if level != 0:
        raise InvalidOption("security_level", f"{scheme.name}:// has only security_level=0, which "
                            "accepts weak certificates; leave it out to demand strong "
                            "ones")  # fmt: skip
    if not values.get("peer_fingerprint") and not values.get("pin"):
        raise InvalidOption("security_level", "security_level=0 needs peer_fingerprint or pin on "
                            f"{scheme.name}://: anyone can forge a certificate of MD5, SHA-1 or a "
                            "short key")  # fmt: skip


def _refuse_contradictions(values: Mapping[str, object], side: str) -> None:
    """Refuse TLS options that cannot all be meant, or of which one would check nothing."""
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
    if side == "server" and values.get("verify_peer") is not Verify.YES:
        for name in _WHO_THE_PEER_IS:
            if values.get(name):
                raise InvalidOption(name, f"{name} on a server needs verify_peer=yes, without "
                                    "which a client that shows no certificate is let "
                                    "in")  # fmt: skip
    if values.get("verify_peer") is Verify.NO:
        for name in _ABOUT_THE_CHAIN:
            if values.get(name):
                raise InvalidOption(name, f"{name} does nothing with verify_peer=no, which looks "
                                    "at no chain")  # fmt: skip
    _refuse_starttls_contradictions(values, side)
    if "passphrase" in values and "passphrase_file" in values:
        raise InvalidOption("passphrase", "passphrase and passphrase_file exclude each other")


def _refuse_starttls_contradictions(values: Mapping[str, object], side: str) -> None:
    """Refuse options of the dialogue that the protocol chosen by ``starttls`` has no use for."""
    protocol = values.get("starttls")
    if not isinstance(protocol, StartTLSProtocol):
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


def _refuse_proxy_contradictions(scheme: Scheme, values: Mapping[str, object]) -> None:
    """Refuse a PROXY header that anyone, or no one, could send; and what only does for one."""
    if "proxy_protocol" not in values:
        for name, needed, why in (
            ("handshake_timeout", scheme.is_secure, "TLS or proxy_protocol"),
            ("max_per_ip", not scheme.is_local, "proxy_protocol on a local socket, whose clients "
             "have no address"),
        ):  # fmt: skip
            if name in values and not needed:
                raise InvalidOption(name, f"{name} needs {why}, without which it does nothing")
        return
    sources = values.get("proxy_from")
    if not isinstance(sources, ProxySources):
        raise InvalidOption("proxy_protocol", "proxy_protocol needs proxy_from, the addresses of "
                            "the balancers; otherwise anyone could pose as any client")  # fmt: skip
    if scheme.is_local and not sources.has_unix:
        raise InvalidOption("proxy_from", "proxy_from needs unix: those who connect to a local "
                            "socket have no address")  # fmt: skip
    if scheme.has_host and "over" not in values and not sources.networks:
        raise InvalidOption("proxy_from", "proxy_from needs a network: unix is for local "
                            "sockets, and no one could connect")  # fmt: skip
