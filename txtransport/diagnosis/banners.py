"""Who speaks in the clear: protocols, known by their first bytes.

What a server says when a client expects TLS of it, what a client says when a
server does, and what to do about it. Nothing here believes the peer: it is
only a guess, for whoever has to mend a URL or a setting.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from attrs import frozen

from txtransport.config.policy import Side

_LOCATION: Final = "tls://…"
_SECURE: Final = ("tls", "ssl")

# A message, and its number (RFC 4511, 4.1.1).
_LDAP: Final = rb"\x30(?:[\x00-\x7f]|\x81.|\x82..|\x84....)\x02[\x01-\x04]"


@frozen
class Plain:
    """A peer that does not speak TLS.

    Attributes:
        who: What it is, with its article.
        advice: The URL or setting to use, a sentence without its full stop.
    """

    who: str
    advice: str

    def advice_at(self, where: str) -> str:
        """The advice for one place.

        Args:
            where: A URL or another name of the place, for people.
        """
        return self.advice.replace(_LOCATION, where) if where.startswith(_SECURE) else self.advice


def recognise_plaintext(received: bytes, side: Side, port: int | None) -> Plain | None:
    """The peer that such first bytes belong to, or None.

    Args:
        received: The first bytes, 256 are enough.
        side: Who we are; servers and clients open differently.
        port: Decides between protocols with the same greeting.
    """
    for matches, plain in _TABLES[side]:
        if matches(received):
            return plain if plain is not None else _FTP if port in (21, 990) else _SMTP
    return None


def is_tls(received: bytes) -> bool:
    """Whether these may be the first bytes of a TLS record (RFC 8446, 5.1)."""
    return received[:1] in (b"\x14", b"\x15", b"\x16", b"\x17") and received[1:2] in (b"", b"\x03")


# --- servers ---------------------------------------------------------------------


def _with_starttls(name: str, starttls: str, port: int | None = None) -> Plain:
    other = f", or implicit TLS on port {port}" if port else ""
    return Plain(
        f"a plain-text {name} server", f"Use {_LOCATION}?starttls={starttls} on this port{other}"
    )


def _no_starttls(name: str, place: str) -> Plain:
    return Plain(f"a plain-text {name} server", f"Use tcp:// here, or {place}")


_SMTP: Final = _with_starttls("SMTP", "smtp", 465)
_FTP: Final = _with_starttls("FTP", "ftp", 990)
_POP3: Final = _with_starttls("POP3", "pop3", 995)

# First match wins; None leaves it to the port.
_SERVERS: Final[tuple[tuple[bytes, Plain | None], ...]] = (
    (rb"220[ -].*SMTP", _SMTP),
    (rb"220[ -].*(?i:ftp|filezilla)", _FTP),
    (rb"220[ -].*(?i:mail|mx)", _SMTP),
    (rb"220[ -]|(?:421|554)[ -]", None),
    (rb"\+OK", _POP3),
    (rb"\* (?:OK|PREAUTH|BYE)", _with_starttls("IMAP", "imap", 993)),
    (rb"\* ACAP", _no_starttls("ACAP", "a tunnel")),
    (rb"20[01] |(?:400|502) ", _with_starttls("NNTP", "nntp", 563)),
    (rb'"IMPLEMENTATION"|(?:BYE|NO) [("]', _with_starttls("ManageSieve", "sieve")),
    (rb"(?:<\?xml|<stream:).*jabber:server", _with_starttls("XMPP", "xmpp-server", 5270)),
    (rb"<\?xml|<stream:", _with_starttls("XMPP", "xmpp", 5223)),
    (rb"SSH-", Plain("an SSH server", "SSH encrypts for itself; use tcp:// with an SSH library")),
    (rb"HTTP/1\.|<(?i:html|!doc)", _no_starttls("HTTP", "the port of https (443)")),
    (rb"\x00\x00.\x04", _no_starttls("HTTP/2", "the port of https (443)")),
    (rb"RFB 0", _with_starttls("VNC", "vnc")),
    (rb"INFO \{", _with_starttls("NATS", "nats")),
    (rb"AMQP", _with_starttls("AMQP", "amqp", 5671)),
    (rb"NBDMAGIC", _with_starttls("NBD", "nbd")),
    (
        rb"-(?:NOAUTH|DENIED|ERR (?:unknown|Protocol|max|wrong))|\+PONG",
        _no_starttls("Redis", "its tls-port"),
    ),
    # What a server says that is startled before it has greeted.
    (rb"-ERR", _POP3),
    # A numeric reply, such as 451 (not registered): RFC 1459, section 6.1.
    (rb":.* NOTICE |NOTICE |ERROR :|:[^ ]+ [45]\d\d ", _with_starttls("IRC", "irc", 6697)),
    (rb"ERR (?:UNKNOWN|ACCESS|INVALID|USERNAME|FEATURE)-", _with_starttls("NUT", "nut")),
    (rb"OK MPD", _no_starttls("MPD", "a tunnel")),
    (rb"Asterisk ", _no_starttls("Asterisk", "its tlsbindaddr (5039)")),
    (rb"\xff[\xfb-\xfe]", _with_starttls("telnet", "telnet", 992)),
    (rb"..\x00\x00[\x0a\xff]", _with_starttls("MySQL", "mysql")),
    (rb"\x03\x00..", _with_starttls("RDP", "rdp")),
    (rb"\x04\x01", _no_starttls("SQL Server", "a tunnel")),
    (_LDAP, _with_starttls("LDAP", "ldap", 636)),
    (rb"[NSE](?:\Z|\x00\x00)", _with_starttls("PostgreSQL", "postgres")),
    (rb"\x05[\x00-\x02\xff]\Z|\x00[\x5a-\x5d]", Plain("a SOCKS proxy", "Use it as a proxy")),
    (rb"[\x81-\x83]\x00", _no_starttls("NetBIOS", "a tunnel")),
)  # fmt: skip


# --- clients ---------------------------------------------------------------------


def _client(name: str, advice: str) -> Plain:
    return Plain(f"a plain-text {name} client", advice)


_IMPLICIT: Final = (
    "This port speaks TLS at once (implicit TLS); the client must not ask for STARTTLS"
)

_CLIENTS: Final[tuple[tuple[bytes, Plain | None], ...]] = (
    (
        rb"(?:GET|POST|PUT|HEAD|OPTIONS|DELETE|PATCH|TRACE|CONNECT) ",
        _client("HTTP", "This port speaks TLS: the client's URL begins with https://"),
    ),
    (rb"PRI \* ", _client("HTTP/2", "This port speaks TLS: the client's URL begins with https://")),
    (
        rb"PROXY |\r\n\r\n\0\r\nQUIT\n",
        Plain("a balancer that sends a PROXY header",
              "Take send-proxy out of the balancer's line for this server"),
    ),
    (rb"(?i:EHLO|HELO|LHLO) ", _client("SMTP", _IMPLICIT)),
    (rb"(?i:CAPA\r|STLS\r|USER )", _client("POP3", _IMPLICIT)),
    (rb"(?i:[a-z0-9.]+ (?:LOGIN|CAPABILITY|STARTTLS|ID|NOOP)\b)", _client("IMAP", _IMPLICIT)),
    (rb"<\?xml|<stream:", _client("XMPP", _IMPLICIT)),
    (_LDAP, _client("LDAP", _IMPLICIT)),
    (
        rb"\0\0\0\x08\x04\xd2\x16[\x2f\x30]",
        _client("PostgreSQL", "The client wants sslnegotiation=direct, or this port "
                "starttls=postgres"),
    ),
    (rb"\x80.\x01", Plain("a client of SSL 2.0", "It is too old; it needs TLS 1.2")),
    (rb"\x05[\x01-\x0f]|\x04[\x01\x02]", Plain("a SOCKS client", "This port is no proxy")),
    (rb"SSH-", Plain("an SSH client", "This port speaks TLS, not SSH")),
    (rb"\xff[\xfb-\xfe]", _client("telnet", _IMPLICIT)),
)  # fmt: skip


def _matcher(pattern: bytes) -> Callable[[bytes], object]:
    return re.compile(pattern, re.DOTALL).match


_TABLES: Final = {
    Side.CLIENT: [(_matcher(pattern), plain) for pattern, plain in _SERVERS],
    Side.SERVER: [(_matcher(pattern), plain) for pattern, plain in _CLIENTS],
}
