"""The table of all options: their names, types, defaults and meanings.

An option has one name, in a URL, as a Python keyword and in the documentation.
The parser, the error messages and ``docs/options.md`` are made from the rows of
`OPTIONS`. A row knows one option alone; `txtransport.config.settings` has the
rules about several of them, and turns them into settings.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from attrs import field, frozen

from txtransport.config.option_types import (
    ADDRESS,
    ALPN_PROTOCOLS,
    CERTIFICATES_BY_NAME,
    ENDPOINT,
    FILE,
    FILE_MODE,
    FINGERPRINTS,
    FLAG,
    FOLDER,
    OWNER,
    PEM_BEGIN,
    PINS,
    PROXIES,
    PROXY_SOURCES,
    SECONDS,
    SERVICE,
    SIZE,
    STARTTLS,
    TEXT,
    VERIFY,
    OptionType,
    RefusedValue,
    choice,
    whole,
)
from txtransport.config.php_options import PHP_OPTIONS
from txtransport.config.policy import VERSIONS
from txtransport.config.proxy_url import redacted_proxies
from txtransport.config.schemes import SCHEMES, Kind, Scheme
from txtransport.errors import InvalidOption
from txtransport.proxy.proxy_protocol.reader import ACCEPTED
from txtransport.text import short_repr

__all__ = ["MOST_CACHED", "OPTIONS", "Option", "find_option"]

MOST_CACHED: Final = 512
"""Options of an endpoint with more characters than these are read anew each time.

Programs write short ones, and the same again and again, so that what they lead to is
kept. Long ones may be a stranger's, who could fill the memory with them.
"""

_BOTH: Final = frozenset({"client", "server"})
_ALL: Final = frozenset({"client", "server", "datagram"})
_CLIENT: Final = frozenset({"client"})
_SERVER: Final = frozenset({"server"})


@frozen
class Option:
    """One row of the table.

    Attributes:
        name: The option's name in a URL and as a Python keyword. PHP's name,
            if PHP has the option.
        type: What may be written as its value.
        default: What holds when the option is not given, in words, for the
            reference page.
        sides: The endpoints that have the option: ``client``, ``server``,
            ``datagram``.
        belongs: The group of schemes that have the option, a key of `_BELONGS`.
        meaning: One line for the reference page.
        is_for_strangers: Whether an untrusted URL may carry the option. Such
            an option neither names a file nor weakens a check.
        most_for_strangers: The highest number that an untrusted URL may give,
            or None where any value will do.
        is_secret: Whether the value must never be shown, in a log for example.
        hide: What is shown of a secret value.
    """

    name: str
    type: OptionType
    default: str
    sides: frozenset[str]
    belongs: str
    meaning: str
    is_for_strangers: bool = field(default=False, kw_only=True)
    most_for_strangers: float | None = field(default=None, kw_only=True)
    is_secret: bool = field(default=False, kw_only=True)
    hide: Callable[[str], str] = field(default=lambda text: "***", kw_only=True)

    def serves(self, scheme: Scheme) -> bool:
        """Whether this option may be given to an endpoint of `scheme`."""
        return _BELONGS[self.belongs](scheme)

    def redacted(self, text: str) -> str:
        """The value as it may be shown.

        Args:
            text: The value, as in a URL, percent-decoded.
        """
        return self.hide(text) if self.is_secret else text

    # Any, since the type differs from row to row, which a table cannot tell mypy.
    def parse(self, given: object) -> Any:
        """Read a value that was written for this option.

        Args:
            given: Text, as in a URL, or a Python value.

        Returns:
            What the settings hold for it: a bool, a number, a text, a tuple
            of texts and so on, as the option's type has it.

        Raises:
            InvalidOption: The value is not of the option's type. The message
                says what to write, and shows the value unless it may hold a secret.
        """
        try:
            return self.type.read(given)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as problem:
            saw = "" if self.is_secret else _seen(given)
            suggestion = _suggestion(given, self.type.words)
            if isinstance(problem, RefusedValue):
                suggestion = f"; {problem}"
            raise InvalidOption(
                self.name, f"{self.name} takes {self.type.expects}{saw}{suggestion}"
            ) from None


# Which schemes belong to each group that a row's `belongs` can name.
_BELONGS: Final[dict[str, Callable[[Scheme], bool]]] = {
    "ip": lambda scheme: scheme.has_host,
    "local": lambda scheme: scheme.is_local and scheme.kind is Kind.STREAM,
    "tcp": lambda scheme: scheme.has_host and scheme.kind is Kind.STREAM,
    "udp": lambda scheme: scheme.has_host and scheme.kind is Kind.DATAGRAM,
    "secure": lambda scheme: scheme.is_secure,
    "tls": lambda scheme: scheme.is_secure and not scheme.is_broken,
    "broken": lambda scheme: scheme.is_broken,
    "stream": lambda scheme: scheme.carries(Kind.STREAM),
    # Streams whose socket is opened here.
    "opened": lambda scheme: scheme.kind is Kind.STREAM and not scheme.is_inherited,
    # Where there is something to look up or to connect to.
    "reached": lambda scheme: not scheme.is_inherited,
}

# How many seconds a stranger's URL may have a connection kept for it.
_A_MINUTE: Final = 60.0

_ROWS: Final = (
    # Sockets.
    Option("bindto", ADDRESS,
           "any", _CLIENT | {"datagram"}, "ip",
           "the local address and port to connect from; a failure is fatal"),
    Option("srv", SERVICE, "none", _CLIENT, "tcp",
           "the service, such as xmpps-client, whose SRV records in the DNS say on which hosts "
           "and ports it is; the URL's host stays the peer's name, and is connected to, at the "
           "URL's port, if there are no records"),
    Option("backlog", whole(1, 65535), "50", _SERVER, "opened",
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
    Option("mode", FILE_MODE, "0600", _SERVER, "local",
           "the rights of the socket's file, at no moment wider; who may write to it may "
           "connect. An abstract name (@) has no file: every local user may connect"),
    Option("user", OWNER, "the process's", _SERVER, "local", "whom the socket's file belongs to"),
    Option("group", OWNER, "the process's", _SERVER, "local",
           "the group of the socket's file"),
    Option("over", ENDPOINT, "a socket of our own", _BOTH, "tcp",
           "the endpoint that brings the connections; the URL's host is then only the name to "
           "verify. Never shown, since a description may hold secrets of any kind",
           is_secret=True),
    # TLS: which peers to trust.
    Option("verify_peer", VERIFY,
           "yes for clients, no for servers", _BOTH, "secure",
           "the peer must show a certificate that we trust; optional, for servers: "
           "if it shows one at all"),
    Option("verify_peer_name", FLAG, "yes for clients, no for servers", _BOTH, "secure",
           "the certificate must be for peer_name"),
    Option("peer_name", TEXT, "the URL's host", _BOTH, "secure",
           "the name that the certificate must be for; clients send it as SNI"),
    Option("allow_self_signed", FLAG, "no", _BOTH, "secure",
           "accept a self-signed leaf: its own key has signed it, and no authority"),
    Option("cafile", FILE, "the platform's", _BOTH, "secure",
           "PEM file of the authorities to trust, roots or not, instead of the platform's; "
           "with pin, roots only"),
    Option("capath", FOLDER, "the platform's", _BOTH, "secure",
           "OpenSSL hashed folder of authorities to trust, instead of the platform's"),
    Option("verify_depth", whole(0, 100), "9", _BOTH, "secure",
           "how many authorities may stand between leaf and root"),
    Option("x509_strict", FLAG, "no", _BOTH, "secure",
           "refuse certificates that break rules of RFC 5280 which OpenSSL otherwise lets pass"),
    Option("peer_fingerprint",
           FINGERPRINTS,
           "any", _BOTH, "secure",
           "the peer's certificate must have this digest, beside the other checks"),
    Option("pin", PINS,
           "any", _BOTH, "secure",
           "a public key (SPKI) of the peer's chain must have this digest, beside the other "
           "checks"),
    Option("crl", FILE, "none", _BOTH, "secure",
           "PEM file of revocation lists in which the leaf is looked up"),
    # TLS: our own certificate.
    Option("local_cert", FILE, "none", _BOTH, "secure",
           "PEM file of our certificate and its chain, leaf first; servers need one"),
    Option("local_pk", FILE, "in local_cert", _BOTH, "secure",
           "PEM file of the certificate's key"),
    Option("passphrase", TEXT, "none", _BOTH, "secure",
           "the passphrase of that key", is_secret=True),
    Option("passphrase_file", FILE, "none", _BOTH, "secure",
           "file whose first line is the passphrase"),
    Option("SNI_enabled", FLAG, "yes", _CLIENT, "tls",
           "name the peer in the hello, so that it can choose its certificate"),
    Option("SNI_server_certs",
           CERTIFICATES_BY_NAME,
           "none", _SERVER, "tls",
           "a certificate for each name; *.example.com matches one label"),
    # TLS: versions, ciphers and extensions.
    Option("min_version", choice(*VERSIONS), "1.2", _BOTH, "tls", "the oldest version of TLS"),
    Option("max_version", choice(*VERSIONS), "1.3", _BOTH, "tls", "the newest version of TLS"),
    Option("allow_broken_ssl", FLAG, "no", _BOTH, "broken",
           "speak SSL 2.0 or SSL 3.0, both of which can be broken, with a device that has nothing "
           "else (docs/legacy.md); needs the extra txtransport[legacy]"),
    Option("ciphers", TEXT,
           "OpenSSL's; on servers without TLS 1.0 and 1.1 Mozilla's intermediate profile",
           _BOTH, "secure",
           "OpenSSL cipher list for TLS 1.2 and older; sslv2 and sslv3 take names of their suites"),
    Option("security_level", whole(0, 5), "OpenSSL's", _BOTH, "secure",
           "OpenSSL's security level; 0 for the schemes tlsv1.0 and tlsv1.1; sslv2 and sslv3 have "
           "0 alone, with peer_fingerprint or pin"),
    Option("alpn_protocols", ALPN_PROTOCOLS,
           "the factory's", _BOTH, "tls",
           "application protocols (ALPN), the preferred first", is_for_strangers=True),
    Option("alpn_mismatch", choice("refuse", "ignore"), "refuse", _SERVER, "tls",
           "a client that offers only other application protocols is refused (alert 120); "
           "ignore: go on without one"),
    Option("honor_cipher_order", FLAG, "yes", _SERVER, "secure",
           "servers choose ciphers by their own order"),
    Option("no_ticket", FLAG, "no", _BOTH, "tls",
           "no session tickets, hence no resumption", is_for_strangers=True),
    Option("capture_peer_cert", FLAG, "yes", _BOTH, "secure",
           "accepted for PHP's sake; session_of() always has the certificate",
           is_for_strangers=True),
    Option("keylog", FILE, "none", _BOTH, "tls",
           "file to which the secrets of each connection are appended (SSLKEYLOGFILE's format), "
           "to decrypt captures of it; made with the rights 0600"),
    # Time.
    Option("timeout", SECONDS, "30", _CLIENT | {"datagram"}, "reached",
           "one deadline over look-up, connecting, negotiation and handshake",
           is_for_strangers=True, most_for_strangers=_A_MINUTE),
    Option("handshake_timeout", SECONDS, "10", _SERVER, "stream",
           "the deadline of PROXY header, negotiation and handshake"),
    Option("close_timeout", SECONDS, "5", _BOTH, "secure",
           "how long a close may wait for the peer, then the connection is aborted; over TCP on "
           "Linux it waits longer for a peer that goes on taking the data that was written",
           is_for_strangers=True, most_for_strangers=_A_MINUTE),
    # What comes before TLS.
    Option("starttls", STARTTLS,
           "none", _BOTH, "secure",
           "the protocol whose own dialogue leads to TLS", is_for_strangers=True),
    Option("starttls_name", TEXT, "the URL's host", _CLIENT, "secure",
           "the domain that the dialogue asks for and the certificate is for (XMPP)"),
    Option("starttls_from", TEXT, "none", _CLIENT, "secure",
           "the domain that we speak for, between servers (XMPP)"),
    Option("starttls_policy", choice("must", "may"), "must", _CLIENT, "secure",
           "may: if the peer will not start TLS, go on in the clear"),
    Option("proxy", PROXIES,
           "none", _CLIENT, "stream",
           "the proxy to connect through, or a chain of them, the nearest first; env: what "
           "HTTPS_PROXY, ALL_PROXY and NO_PROXY say",
           is_secret=True, hide=redacted_proxies),
    # Behind balancers.
    Option("proxy_protocol", choice(*ACCEPTED), "none", _SERVER, "stream",
           "each connection begins, below TLS, with HAProxy's PROXY header of this version; "
           "getPeer() is then the client's address"),
    Option("proxy_from", PROXY_SOURCES, "none", _SERVER, "stream",
           "the balancers, who alone may connect when there is proxy_protocol, and whose headers "
           "are believed"),
    Option("proxy_local", choice("wait", "serve"), "wait", _SERVER, "stream",
           "a balancer's own connections, such as health checks: the protocol is built at their "
           "first byte; serve: at once, for checks that read a greeting"),
    Option("send_proxy", choice("v1", "v2"), "none", _CLIENT, "stream",
           "begin the connection, below TLS, with a PROXY header of this version; the keyword "
           "proxied_for says whose connection is passed on"),
    # Serving.
    Option("max_connections", whole(1, 10**6), "unlimited", _SERVER, "stream",
           "how many connections at once"),
    Option("max_per_ip", whole(1, 10**6), "unlimited", _SERVER, "stream",
           "how many connections at once from one address; of IPv6, from one /64; with "
           "proxy_protocol, from one client"),
    Option("overflow", choice("pause", "close"), "pause", _SERVER, "stream",
           "above max_connections: stop accepting, or close the newcomer"),
)  # fmt: skip

OPTIONS: Final = {row.name: row for row in _ROWS}
"""Every option, by its name."""


def find_option(name: str, scheme: Scheme) -> Option:
    """The option that `name` stands for in a URL of `scheme`.

    Args:
        name: As it was written; upper and lower case differ.
        scheme: The scheme of the URL.

    Raises:
        InvalidOption: There is no option of that name, or the scheme does not
            have it. The message says what to use instead of an option of PHP's,
            suggests the nearest name that the scheme has, or lists the schemes that
            have the option.
    """
    option = OPTIONS.get(name)
    if option is None:
        written = name if isinstance(name, str) else repr(name)
        of_php = PHP_OPTIONS.get(written)
        hint = f"; {of_php.advice}" if of_php is not None else _nearest(written[:80], scheme)
        raise InvalidOption(written, f"there is no option {short_repr(name)}{hint}")
    if not option.serves(scheme):
        serving = [row for row in SCHEMES.values() if option.serves(row)]
        having = [row.name for row in serving if row.refusal is None or option.belongs == "broken"]
        raise InvalidOption(
            name, f"{scheme.name}:// has no option {name}; it belongs to {', '.join(having)}"
        )
    return option


def _nearest(name: str, scheme: Scheme) -> str:
    """The end of the message about an unknown option: a suggestion, or else the scheme."""
    names = [row.name for row in _ROWS if row.serves(scheme)]
    return _suggestion(name, names) or f" for {scheme.name}://"


def _seen(given: object) -> str:
    """``, not …`` with what was given for an option; or nothing, where it may hold a secret.

    Three mistakes put a secret into an option that takes none: the text of a PEM file is
    given in place of its path, a passphrase beside the files of a name, and a proxy in
    place of anything else.
    """
    shown = short_repr(given)
    if "://" in shown and "@" in str(given):
        return ", not a URL with a user"
    if PEM_BEGIN in shown:
        return ", not the text of a PEM file: write that to a file, and give its path"
    if isinstance(given, Mapping) and any(isinstance(each, Mapping) for each in given.values()):
        return ""
    return f", not {shown}"


def _suggestion(written: object, words: Iterable[str]) -> str:
    """``; did you mean …?`` with the word nearest to `written`, or nothing if none is near."""
    if not isinstance(written, str):
        return ""
    by_lower_case = {word.lower(): word for word in words}
    close = difflib.get_close_matches(written[:80].lower(), by_lower_case, n=1)
    return f"; did you mean {by_lower_case[close[0]]}?" if close else ""
