"""The options: one vocabulary for URLs, for Python and for the reference.

`OPTIONS` is the table. The parser, the error messages, the defaults and the
documentation are made from its rows. A value arrives as the text of a URL or
as what a Python programmer would write, and leaves as what the policies hold.
"""

from __future__ import annotations

import base64
import difflib
import functools
import ipaddress
import os
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from attrs import field, frozen

from txtransport.errors import InvalidOption, seen
from txtransport.schemes import SCHEMES, Kind, Scheme
from txtransport.starttls.catalogue import UPGRADABLE, Upgradable, upgradable
from txtransport.tls.policy import VERSIONS, Side, TLSPolicy, Verify

# --- how a value is read -------------------------------------------------------


@frozen
class Type:
    """How the values of an option are read.

    Attributes:
        expects: What to write, for people.
        read: Takes what was written, returns what it means; raises ValueError
            or TypeError for anything else.
        words: What may be written, where that is one of a few words.
    """

    expects: str
    read: Callable[[Any], Any]
    words: tuple[str, ...] = ()


_FLAGS: Final = {
    **dict.fromkeys(("yes", "true", "on", "1"), True),
    **dict.fromkeys(("no", "false", "off", "0"), False),
}


def _flag(given: Any) -> bool:
    if isinstance(given, bool):
        return given
    if isinstance(given, str):
        return _FLAGS[given.lower()]
    raise TypeError(given)


def _number(given: Any, low: int, high: int) -> int:
    if isinstance(given, bool) or not isinstance(given, (int, str)):
        raise TypeError(given)
    if isinstance(given, str) and not re.fullmatch("[0-9]{1,12}", given):
        raise ValueError(given)
    number = int(given)
    if not low <= number <= high:
        raise ValueError(given)
    return number


def _whole(low: int, high: int) -> Type:
    return Type(
        f"a whole number from {low} to {high}",
        functools.partial(_number, low=low, high=high),
    )


_A_DAY: Final = 86400.0


def _seconds(given: Any) -> float:
    if isinstance(given, bool) or not isinstance(given, (int, float, str)):
        raise TypeError(given)
    if isinstance(given, str) and not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", given):
        raise ValueError(given)
    seconds = float(given)
    if not 0 < seconds <= _A_DAY:
        raise ValueError(given)
    return seconds


def _text(given: Any) -> str:
    if not isinstance(given, str):
        raise TypeError(given)
    if not given or not given.isprintable():
        raise ValueError(given)
    return given


def _path(given: Any) -> str:
    path = _text(os.fspath(given))
    # PATH_MAX (limits.h).
    if len(path) > 4096:
        raise ValueError(given)
    return path


def _names(given: Any) -> tuple[str, ...]:
    words = given.split(",") if isinstance(given, str) else tuple(given)
    if not words:
        raise ValueError(given)
    return tuple(_text(word) for word in words)


def _choice(*words: str) -> Type:
    def read(given: Any) -> str:
        if not isinstance(given, str) or given not in words:
            raise ValueError(given)
        return given

    return Type(" or ".join(map(repr, words)), read)


def _verify(given: Any) -> Verify:
    if isinstance(given, Verify):
        return given
    if isinstance(given, str) and given.lower() == "optional":
        return Verify.OPTIONAL
    return Verify.YES if _flag(given) else Verify.NO


def _protocols(given: Any) -> tuple[str, ...]:
    names = _names(given)
    sizes = [len(name.encode()) for name in names]
    # One byte holds a name's length, two that of the list (RFC 7301, 3.1).
    if max(sizes) > 255 or sum(sizes) + len(sizes) > 65535:
        raise ValueError(given)
    return names


_DIGEST_DIGITS: Final = (64, 96, 128)


def _fingerprints(given: Any) -> tuple[str, ...]:
    digests = tuple(name.replace(":", "").lower() for name in _names(given))
    for digest in digests:
        if len(digest) not in _DIGEST_DIGITS or not re.fullmatch("[0-9a-f]+", digest):
            raise ValueError(given)
    return digests


# HPKP writes sha256/ in front, curl sha256//; the digest may begin with a / of its own.
_PIN: Final = re.compile("(?:sha256//?)?([A-Za-z0-9+/]{43}=)").fullmatch


def _pins(given: Any) -> tuple[str, ...]:
    found = [_PIN(name) for name in _names(given)]
    if None in found:
        raise ValueError(given)
    # Decoded and encoded again: the last character has two bits that do not count.
    return tuple(base64.b64encode(base64.b64decode(pin[1])).decode() for pin in found if pin)


def _certificates_by_name(given: Any) -> tuple[tuple[str, str], ...]:
    if isinstance(given, str):
        pairs = [pair.partition("=")[::2] for pair in given.split(",")]
    elif isinstance(given, Mapping):
        pairs = list(given.items())
    else:
        raise TypeError(given)
    certificates = {name.lower(): _path(path) for name, path in pairs}
    if not pairs or len(certificates) < len(pairs):
        raise ValueError(given)
    for name in certificates:
        if not re.fullmatch(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*", name.removeprefix("*.")):
            raise ValueError(given)
    return tuple(certificates.items())


def _address(given: Any) -> tuple[str, int]:
    """An address of this machine and a port, 0 being any."""
    if isinstance(given, tuple):
        host, port = given
        return str(ipaddress.ip_address(_text(host))), _number(port, 0, 65535)
    found = _PLACE(_text(given))
    if found is None:
        # IPv6 without brackets, when it cannot be read two ways.
        before, _, last = given.rpartition(":")
        if _PLACE(f"[{before}]:{last}") and _is_address(before):
            raise ValueError(given)
        return str(ipaddress.ip_address(given)), 0
    six, four, port = found.groups()
    host = ipaddress.IPv6Address(six) if six else ipaddress.IPv4Address(four)
    return str(host), _number(port or 0, 0, 65535)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


_PLACE: Final = re.compile(r"(?:\[([^\]]+)\]|([^:\[\]]+))(?::([0-9]{1,5}))?").fullmatch


def _starttls(given: Any) -> Upgradable:
    if isinstance(given, str):
        return upgradable(given)
    if isinstance(given, Upgradable):
        return given
    if not callable(given):
        raise TypeError(given)
    return Upgradable(getattr(given, "__name__", "dialogue"), given, given, None)


FLAG: Final = Type("yes or no", _flag)
TEXT: Final = Type("text without control characters", _text)
FILE: Final = Type("the path of a file", _path)
FOLDER: Final = Type("the path of a folder", _path)
SECONDS: Final = Type("seconds, more than 0 and at most 86400", _seconds)
SIZE: Final = _whole(1, 2**31 - 1)

# --- the table -------------------------------------------------------------------

_BOTH: Final = frozenset({"client", "server"})
_ALL: Final = frozenset({"client", "server", "datagram"})
_CLIENT: Final = frozenset({"client"})
_SERVER: Final = frozenset({"server"})


@frozen
class Option:
    """One option.

    Attributes:
        name: Its name in a URL and as a Python keyword, PHP's where PHP has it.
        type: How its value is read.
        default: What holds without it, for people.
        sides: Which of client, server and datagram have it.
        belongs: ``ip``, ``tcp``, ``udp``, ``tls`` or ``stream``: the schemes
            that have it.
        meaning: One line for people.
        is_for_strangers: Whether a URL from a stranger may carry it: it
            neither names a file nor weakens a check.
        is_secret: Whether its value must never be shown.
        refusal: Why it cannot be used yet, or None.
    """

    name: str
    type: Type
    default: str
    sides: frozenset[str]
    belongs: str
    meaning: str
    is_for_strangers: bool = field(default=False, kw_only=True)
    is_secret: bool = field(default=False, kw_only=True)
    refusal: str | None = field(default=None, kw_only=True)

    def serves(self, scheme: Scheme) -> bool:
        """Whether that scheme has this option."""
        return _BELONGS[self.belongs](scheme)


_BELONGS: Final[dict[str, Callable[[Scheme], bool]]] = {
    "ip": lambda scheme: not scheme.is_local,
    "tcp": lambda scheme: not scheme.is_local and scheme.kind is Kind.STREAM,
    "udp": lambda scheme: not scheme.is_local and scheme.kind is Kind.DATAGRAM,
    "tls": lambda scheme: scheme.is_secure,
    "stream": lambda scheme: scheme.kind is Kind.STREAM,
    "all": lambda scheme: True,
}

_LATER: Final = "it is known, and not part of this release"

_ROWS: Final = (
    # Sockets.
    Option("bindto", Type("address:port of this machine, [::1]:0 for IPv6", _address),
           "any", _CLIENT | {"datagram"}, "ip",
           "the local address and port to connect from; a failure is fatal"),
    Option("backlog", _whole(1, 65535), "50", _SERVER, "stream",
           "how many connections may wait to be accepted"),
    Option("ipv6_v6only", FLAG, "no", _SERVER | {"datagram"}, "ip",
           "an IPv6 listener refuses IPv4"),
    Option("so_reuseport", FLAG, "no", _SERVER | {"datagram"}, "ip",
           "several processes may listen on the same port"),
    Option("so_broadcast", FLAG, "no", frozenset({"datagram"}), "udp",
           "datagrams may go to broadcast addresses"),
    Option("tcp_nodelay", FLAG, "yes", _BOTH, "tcp",
           "small writes leave at once", is_for_strangers=True),
    Option("so_keepalive", FLAG, "no", _BOTH, "tcp",
           "probe an idle connection", is_for_strangers=True),
    Option("tcp_keepidle", _whole(1, 32767), "the system's", _BOTH, "tcp",
           "seconds of idleness before the first probe", is_for_strangers=True),
    Option("tcp_keepintvl", _whole(1, 32767), "the system's", _BOTH, "tcp",
           "seconds between probes", is_for_strangers=True),
    Option("tcp_keepcnt", _whole(1, 127), "the system's", _BOTH, "tcp",
           "probes without an answer before the connection ends", is_for_strangers=True),
    Option("so_linger", _whole(0, 32767), "the system's", _BOTH, "tcp",
           "seconds that closing waits for unsent data; 0 resets"),
    Option("so_rcvbuf", SIZE, "the system's", _ALL, "ip", "bytes of the receive buffer"),
    Option("so_sndbuf", SIZE, "the system's", _ALL, "ip", "bytes of the send buffer"),
    # TLS: whom to trust.
    Option("verify_peer", Type("yes, no or optional", _verify),
           "yes for clients, no for servers", _BOTH, "tls",
           "the peer must show a certificate that we trust; optional, for servers: "
           "if it shows one at all"),
    Option("verify_peer_name", FLAG, "yes for clients, no for servers", _BOTH, "tls",
           "the certificate must be for peer_name"),
    Option("peer_name", TEXT, "the URL's host", _BOTH, "tls",
           "the name that the certificate must be for; clients send it as SNI"),
    Option("allow_self_signed", FLAG, "no", _BOTH, "tls",
           "accept a leaf that no one but itself vouches for"),
    Option("cafile", FILE, "the platform's", _BOTH, "tls",
           "PEM file of the authorities to trust, instead of the platform's"),
    Option("capath", FOLDER, "the platform's", _BOTH, "tls",
           "OpenSSL hashed folder of authorities to trust, instead of the platform's"),
    Option("verify_depth", _whole(0, 100), "9", _BOTH, "tls",
           "how many authorities may stand between leaf and root"),
    Option("peer_fingerprint",
           Type("hex digest of SHA-256, SHA-384 or SHA-512, colons allowed, several by commas",
                _fingerprints),
           "any", _BOTH, "tls",
           "the peer's certificate must have this digest, beside the other checks"),
    Option("pin", Type("base64 SHA-256 of a public key, several by commas", _pins),
           "any", _BOTH, "tls",
"a public key (SPKI) of the peer's chain must have this digest, beside the other "
           "checks"),
    Option("crl", FILE, "none", _BOTH, "tls",
           "PEM file of revocation lists in which the leaf is looked up"),
    # TLS: who we are.
    Option("local_cert", FILE, "none", _BOTH, "tls",
           "PEM file of our certificate and its chain, leaf first; servers need one"),
    Option("local_pk", FILE, "in local_cert", _BOTH, "tls",
           "PEM file of the certificate's key"),
    Option("passphrase", TEXT, "none", _BOTH, "tls",
           "the passphrase of that key", is_secret=True),
    Option("passphrase_file", FILE, "none", _BOTH, "tls",
           "file whose first line is the passphrase"),
    Option("SNI_enabled", FLAG, "yes", _CLIENT, "tls",
           "name the peer in the hello, so that it can choose its certificate"),
    Option("SNI_server_certs",
           Type("name=path pairs separated by commas, or a mapping", _certificates_by_name),
           "none", _SERVER, "tls",
           "a certificate for each name; *.example.com matches one label"),
    # TLS: how to speak.
    Option("min_version", _choice(*VERSIONS), "1.2", _BOTH, "tls", "the oldest version of TLS"),
    Option("max_version", _choice(*VERSIONS), "1.3", _BOTH, "tls", "the newest version of TLS"),
    Option("ciphers", TEXT, "OpenSSL's", _BOTH, "tls",
           "OpenSSL cipher list for TLS 1.2 and older"),
    Option("security_level", _whole(0, 5), "OpenSSL's", _BOTH, "tls",
           "OpenSSL's security level; 0 for the schemes tlsv1.0 and tlsv1.1"),
    Option("alpn_protocols", Type("names separated by commas", _protocols),
           "none", _BOTH, "tls",
           "application protocols, the preferred first", is_for_strangers=True),
    Option("honor_cipher_order", FLAG, "yes", _SERVER, "tls",
           "servers choose ciphers by their own order"),
    Option("no_ticket", FLAG, "no", _BOTH, "tls",
           "no session tickets, hence no resumption", is_for_strangers=True),
    Option("capture_peer_cert", FLAG, "yes", _BOTH, "tls",
           "accepted for PHP's sake; session_of() always has the certificate",
           is_for_strangers=True),
    # Time.
    Option("timeout", SECONDS, "30", _CLIENT | {"datagram"}, "all",
           "one deadline over look-up, connecting, negotiation and handshake",
           is_for_strangers=True),
    Option("handshake_timeout", SECONDS, "10", _SERVER, "tls",
           "the deadline of negotiation and handshake"),
    Option("close_timeout", SECONDS, "5", _BOTH, "tls",
           "how long a close may wait for the peer, then the connection is aborted",
           is_for_strangers=True),
    # The way in.
    Option("starttls", Type(f"one of {', '.join(UPGRADABLE)}, or in Python a dialogue", _starttls,
                            tuple(UPGRADABLE)),
           "none", _BOTH, "tls",
           "the protocol whose own dialogue leads to TLS", is_for_strangers=True),
    Option("starttls_name", TEXT, "the URL's host", _CLIENT, "tls",
           "the domain that the dialogue asks for and the certificate is for (XMPP)"),
    Option("starttls_from", TEXT, "none", _CLIENT, "tls",
           "the domain that we speak for, between servers (XMPP)"),
    Option("starttls_policy", _choice("must", "may"), "must", _CLIENT, "tls",
           "may: if the peer will not start TLS, go on in the clear"),
    Option("proxy_protocol", FLAG, "no", _SERVER, "stream",
           "expect HAProxy's header", refusal=_LATER),
    Option("proxy_from", TEXT, "none", _SERVER, "stream",
           "who may send that header", refusal=_LATER),
    Option("send_proxy", TEXT, "no", _CLIENT, "stream",
           "send HAProxy's header", refusal=_LATER),
    # Serving.
    Option("max_connections", _whole(1, 10**6), "unlimited", _SERVER, "stream",
           "how many connections at once"),
    Option("max_per_ip", _whole(1, 10**6), "unlimited", _SERVER, "tcp",
           "how many connections at once from one address"),
    Option("overflow", _choice("pause", "close"), "pause", _SERVER, "stream",
           "above max_connections: stop accepting, or close the newcomer"),
)  # fmt: skip

OPTIONS: Final = {row.name: row for row in _ROWS}
"""Every option by its name."""

# --- what they come to ---------------------------------------------------------


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
class WayIn:
    """What comes before TLS.

    Attributes:
        starttls: The protocol whose dialogue leads there.
        starttls_name: The domain that is asked for, where it is not the host.
        starttls_from: The domain that we speak for, between servers.
        starttls_policy: ``must``, or ``may`` where clear text will do.
    """

    starttls: Upgradable | None = None
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
    way_in: WayIn


_PARTS: Final = (SocketOptions, TLSPolicy, Deadlines, ServingPolicy, WayIn)
_FIELDS: Final = {
    attribute.name: index
    for index, part in enumerate(_PARTS)
    for attribute in part.__attrs_attrs__  # type: ignore[attr-defined]
}

# --- reading ---------------------------------------------------------------------


def known(name: str, scheme: Scheme) -> Option:
    """The option of that name, if the scheme has it.

    Raises:
        InvalidOption: There is no such option, or not for that scheme.
    """
    option = OPTIONS.get(name)
    if option is None:
        written = name if isinstance(name, str) else repr(name)
        raise InvalidOption(
            written, f"there is no option {seen(name)}{_nearest(written[:80], scheme)}"
        )
    if not option.serves(scheme):
        having = [
            row.name for row in SCHEMES.values() if row.refusal is None and option.serves(row)
        ]
        raise InvalidOption(
            name, f"{scheme.name}:// has no option {name}; it belongs to {', '.join(having)}"
        )
    return option


def value(option: Option, given: Any) -> Any:
    """What was written for an option, as what it means.

    Raises:
        InvalidOption: The value is not of the option's type.
    """
    try:
        return option.type.read(given)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
        saw = "" if option.is_secret else f", not {seen(given)}"
        meant = _meant(given, option.type.words)
        raise InvalidOption(
            option.name, f"{option.name} takes {option.type.expects}{saw}{meant}"
        ) from None


def split(
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
        return _split_url(scheme.name, tuple(given), side)
    return _split(scheme, tuple(given), keywords, side)


def _split(
    scheme: Scheme, given: tuple[tuple[str, str], ...], keywords: Mapping[str, Any], side: str
) -> Settings:
    values: dict[str, Any] = {}
    for source in (given, keywords.items()):
        for name, written in source:
            option = known(name, scheme)
            if side not in option.sides:
                raise InvalidOption(
                    name, f"{name} is an option of a {' or '.join(sorted(option.sides))}, "
                    f"not of a {side}",
                )  # fmt: skip
            if option.refusal is not None:
                raise InvalidOption(name, f"{name} cannot be used: {option.refusal}")
            meant = value(option, written)
            if values.setdefault(name, meant) != meant:
                raise InvalidOption(
                    name, f"{name} is in the URL and in the keywords, with different values"
                )
    return _settle(scheme, values, side)


# The same URLs come again and again, and what they say never changes.
@functools.lru_cache(maxsize=512)
def _split_url(name: str, given: tuple[tuple[str, str], ...], side: str) -> Settings:
    return _split(SCHEMES[name], given, {}, side)


def policy(given: Mapping[str, Any], side: Side) -> TLSPolicy:
    """TLS options, as a mapping, to a policy.

    Args:
        given: Names and values, as they would be written for ``tls://``.
        side: Which side is to keep to it.

    Raises:
        InvalidOption: As for `split`.
    """
    tls = SCHEMES["tls"]
    for name in given:
        # What has no field does nothing, or says in `split` why it cannot be used.
        if _FIELDS.get(known(name, tls).name, 1) != _PARTS.index(TLSPolicy):
            raise InvalidOption(name, f"{name} is not an option of TLS itself")
    settled = split(tls, (), given, side.value).tls
    assert settled is not None
    return settled


# The same policy serves one conversation after the other.
@functools.lru_cache(maxsize=512)
def checked(given: TLSPolicy, side: Side) -> TLSPolicy:
    """A policy that a program made itself, held to the rules that options keep.

    Raises:
        InvalidOption: As for `split`.
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
    return policy(differing, side)


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


def _settle(scheme: Scheme, values: dict[str, Any], side: str) -> Settings:
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
        WayIn(**parts[4]),
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
    _refuse_way_in(values, side)
    if "passphrase" in values and "passphrase_file" in values:
        raise InvalidOption("passphrase", "passphrase and passphrase_file exclude each other")


def _refuse_way_in(values: dict[str, Any], side: str) -> None:
    protocol: Upgradable | None = values.get("starttls")
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


def _nearest(name: str, scheme: Scheme) -> str:
    there = [row.name for row in _ROWS if row.serves(scheme)]
    return _meant(name, there) or f" for {scheme.name}://"


def _meant(written: object, words: Iterable[str]) -> str:
    """The word that was meant, if that can be told."""
    if not isinstance(written, str):
        return ""
    there = {word.lower(): word for word in words}
    close = difflib.get_close_matches(written[:80].lower(), there, n=1)
    return f"; did you mean {there[close[0]]}?" if close else ""
