"""The options: one vocabulary for URLs, for Python and for the reference.

`OPTIONS` is the table. The parser, the error messages, the defaults and the
documentation are made from its rows. What the options of one endpoint come to
together is `txtransport.config.settings`'s to say.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from typing import Any, Final

from attrs import field, frozen

from txtransport.config.option_types import (
    ADDRESS,
    CERTIFICATES_BY_NAME,
    FILE,
    FINGERPRINTS,
    FLAG,
    FOLDER,
    PINS,
    PROTOCOLS,
    SECONDS,
    SIZE,
    STARTTLS,
    TEXT,
    VERIFY,
    Type,
    choice,
    whole,
)
from txtransport.config.policy import VERSIONS
from txtransport.config.schemes import SCHEMES, Kind, Scheme
from txtransport.errors import InvalidOption
from txtransport.text import short_repr

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

    def parse(self, given: Any) -> Any:
        """What was written for this option, as what it means.

        Args:
            given: Text, as in a URL, or a Python value.

        Raises:
            InvalidOption: The value is not of the option's type.
        """
        try:
            return self.type.read(given)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
            saw = "" if self.is_secret else f", not {short_repr(given)}"
            meant = _meant(given, self.type.words)
            raise InvalidOption(
                self.name, f"{self.name} takes {self.type.expects}{saw}{meant}"
            ) from None


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
    Option("bindto", ADDRESS,
           "any", _CLIENT | {"datagram"}, "ip",
           "the local address and port to connect from; a failure is fatal"),
    Option("backlog", whole(1, 65535), "50", _SERVER, "stream",
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
    Option("tcp_keepidle", whole(1, 32767), "the system's", _BOTH, "tcp",
           "seconds of idleness before the first probe", is_for_strangers=True),
    Option("tcp_keepintvl", whole(1, 32767), "the system's", _BOTH, "tcp",
           "seconds between probes", is_for_strangers=True),
    Option("tcp_keepcnt", whole(1, 127), "the system's", _BOTH, "tcp",
           "probes without an answer before the connection ends", is_for_strangers=True),
    Option("so_linger", whole(0, 32767), "the system's", _BOTH, "tcp",
           "seconds that closing waits for unsent data; 0 resets"),
    Option("so_rcvbuf", SIZE, "the system's", _ALL, "ip", "bytes of the receive buffer"),
    Option("so_sndbuf", SIZE, "the system's", _ALL, "ip", "bytes of the send buffer"),
    # TLS: whom to trust.
    Option("verify_peer", VERIFY,
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
    Option("verify_depth", whole(0, 100), "9", _BOTH, "tls",
           "how many authorities may stand between leaf and root"),
    Option("peer_fingerprint",
           FINGERPRINTS,
           "any", _BOTH, "tls",
           "the peer's certificate must have this digest, beside the other checks"),
    Option("pin", PINS,
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
           CERTIFICATES_BY_NAME,
           "none", _SERVER, "tls",
           "a certificate for each name; *.example.com matches one label"),
    # TLS: how to speak.
    Option("min_version", choice(*VERSIONS), "1.2", _BOTH, "tls", "the oldest version of TLS"),
    Option("max_version", choice(*VERSIONS), "1.3", _BOTH, "tls", "the newest version of TLS"),
    Option("ciphers", TEXT, "OpenSSL's", _BOTH, "tls",
           "OpenSSL cipher list for TLS 1.2 and older"),
    Option("security_level", whole(0, 5), "OpenSSL's", _BOTH, "tls",
           "OpenSSL's security level; 0 for the schemes tlsv1.0 and tlsv1.1"),
    Option("alpn_protocols", PROTOCOLS,
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
    Option("starttls", STARTTLS,
           "none", _BOTH, "tls",
           "the protocol whose own dialogue leads to TLS", is_for_strangers=True),
    Option("starttls_name", TEXT, "the URL's host", _CLIENT, "tls",
           "the domain that the dialogue asks for and the certificate is for (XMPP)"),
    Option("starttls_from", TEXT, "none", _CLIENT, "tls",
           "the domain that we speak for, between servers (XMPP)"),
    Option("starttls_policy", choice("must", "may"), "must", _CLIENT, "tls",
           "may: if the peer will not start TLS, go on in the clear"),
    Option("proxy_protocol", FLAG, "no", _SERVER, "stream",
           "expect HAProxy's header", refusal=_LATER),
    Option("proxy_from", TEXT, "none", _SERVER, "stream",
           "who may send that header", refusal=_LATER),
    Option("send_proxy", TEXT, "no", _CLIENT, "stream",
           "send HAProxy's header", refusal=_LATER),
    # Serving.
    Option("max_connections", whole(1, 10**6), "unlimited", _SERVER, "stream",
           "how many connections at once"),
    Option("max_per_ip", whole(1, 10**6), "unlimited", _SERVER, "tcp",
           "how many connections at once from one address"),
    Option("overflow", choice("pause", "close"), "pause", _SERVER, "stream",
           "above max_connections: stop accepting, or close the newcomer"),
)  # fmt: skip

OPTIONS: Final = {row.name: row for row in _ROWS}
"""Every option by its name."""


def find_option(name: str, scheme: Scheme) -> Option:
    """The option of that name, if the scheme has it.

    Raises:
        InvalidOption: There is no such option, or not for that scheme.
    """
    option = OPTIONS.get(name)
    if option is None:
        written = name if isinstance(name, str) else repr(name)
        raise InvalidOption(
            written, f"there is no option {short_repr(name)}{_nearest(written[:80], scheme)}"
        )
    if not option.serves(scheme):
        having = [
            row.name for row in SCHEMES.values() if row.refusal is None and option.serves(row)
        ]
        raise InvalidOption(
            name, f"{scheme.name}:// has no option {name}; it belongs to {', '.join(having)}"
        )
    return option


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
