"""Recognises protocols in plain text by a peer's first bytes, and says what to do.

One table is for what servers send to a client that expects TLS, the other for what
clients send to a server that expects TLS. A match is a guess: it goes into the text of
an error, so that a user can correct a URL or a setting, and decides nothing else.
"""

from __future__ import annotations

import functools
import re
from typing import Final

from attrs import frozen

from txtransport.config.policy import Side
from txtransport.diagnosis.rule import Rule, first_match
from txtransport.errors import Diagnosis
from txtransport.starttls.protocols import STARTTLS_PROTOCOLS

__all__ = ["Banner", "recognise_plaintext", "remedy_at"]

_LOCATION: Final = "tls://…"
_SECURE: Final = ("tls", "ssl")

# An LDAPMessage: SEQUENCE with a length, INTEGER of 1 to 4 bytes (RFC 4511, 4.1.1).
_LDAP: Final = rb"\x30(?:[\x00-\x7f]|\x81.|\x82..|\x84....)\x02[\x01-\x04]"


@frozen
class Banner:
    """How a peer that does not speak TLS begins.

    Attributes:
        pattern: A regular expression that the peer's first bytes match.
        who: What the peer is, with an article: ``a plain-text SMTP server``.
    """

    pattern: bytes
    who: str


def recognise_plaintext(received: bytes, side: Side, port: int | None) -> Rule[Banner] | None:
    """Find the protocol that a peer speaks in plain text.

    Args:
        received: The peer's first bytes; 256 are enough.
        side: Whether we are the client or the server: servers and clients begin
            differently.
        port: The server's port, if it is known; it decides between protocols with the
            same greeting.

    Returns:
        The first rule that matches, or None when the bytes are of no known protocol.
    """
    rule = first_match(_RULES[side], lambda banner: _compiled(banner.pattern).match(received))
    return _FTP if rule is _SMTP_OR_FTP and port in _FTP_PORTS else rule


def remedy_at(diagnosis: Diagnosis, where: str) -> str:
    """The remedy of a diagnosis, with the URL of the user's own endpoint in it.

    Args:
        diagnosis: Of a rule that `recognise_plaintext` returned.
        where: The endpoint, for people; used if it is a ``tls://`` or ``ssl://`` URL.
    """
    remedy = diagnosis.remedy
    return remedy.replace(_LOCATION, where) if where.startswith(_SECURE) else remedy


# --- servers ---------------------------------------------------------------------


def _server(pattern: bytes, who: str, remedy: str) -> Rule[Banner]:
    diagnosis = Diagnosis("plaintext-peer", f"the peer is {who}", remedy, fault="ours")
    return Rule(Banner(pattern, who), diagnosis)


def _with_starttls(pattern: bytes, name: str, starttls: str) -> Rule[Banner]:
    protocol = STARTTLS_PROTOCOLS[starttls]
    is_elsewhere = protocol.tls_port not in (None, protocol.port)
    other = f", or implicit TLS on port {protocol.tls_port}" if is_elsewhere else ""
    remedy = f"Use {_LOCATION}?starttls={starttls} on this port{other}"
    return _server(pattern, f"a plain-text {name} server", remedy)


def _no_starttls(pattern: bytes, name: str, instead: str) -> Rule[Banner]:
    return _server(pattern, f"a plain-text {name} server", f"Use tcp:// here, or {instead}")


_HTTPS_PORT: Final = "the port of https (443)"
_FTP: Final = _with_starttls(rb"220[ -].*(?i:ftp|filezilla)", "FTP", "ftp")
_FTP_PORTS: Final = (STARTTLS_PROTOCOLS["ftp"].port, STARTTLS_PROTOCOLS["ftp"].tls_port)
# A greeting that names no protocol: SMTP's, unless the port is FTP's.
_SMTP_OR_FTP: Final = _with_starttls(rb"220[ -]|(?:421|554)[ -]", "SMTP", "smtp")

_SERVERS: Final = (
    _with_starttls(rb"220[ -].*SMTP", "SMTP", "smtp"),
    _FTP,
    _with_starttls(rb"220[ -].*(?i:mail|mx)", "SMTP", "smtp"),
    _SMTP_OR_FTP,
    _with_starttls(rb"\+OK", "POP3", "pop3"),
    _with_starttls(rb"\* (?:OK|PREAUTH|BYE)", "IMAP", "imap"),
    _no_starttls(rb"\* ACAP", "ACAP", "a tunnel"),
    _with_starttls(rb"20[01] |(?:400|502) ", "NNTP", "nntp"),
    _with_starttls(rb'"IMPLEMENTATION"|(?:BYE|NO) [("]', "ManageSieve", "sieve"),
    _with_starttls(rb"(?:<\?xml|<stream:).*jabber:server", "XMPP", "xmpp-server"),
    _with_starttls(rb"<\?xml|<stream:", "XMPP", "xmpp"),
    _server(rb"SSH-", "an SSH server", "SSH encrypts for itself; use tcp:// with an SSH library"),
    _no_starttls(rb"HTTP/1\.|<(?i:html|!doc)", "HTTP", _HTTPS_PORT),
    _no_starttls(rb"\x00\x00.\x04", "HTTP/2", _HTTPS_PORT),
    _with_starttls(rb"RFB 0", "VNC", "vnc"),
    _with_starttls(rb"INFO \{", "NATS", "nats"),
    _with_starttls(rb"AMQP", "AMQP", "amqp"),
    _with_starttls(rb"NBDMAGIC", "NBD", "nbd"),
    _no_starttls(
        rb"-(?:NOAUTH|DENIED|ERR (?:unknown|Protocol|max|wrong))|\+PONG", "Redis", "its tls-port"
    ),
    # A POP3 server that receives a ClientHello before it has sent its greeting.
    _with_starttls(rb"-ERR", "POP3", "pop3"),
    # A numeric reply, such as 451 (not registered): RFC 1459, section 6.1.
    _with_starttls(rb":.* NOTICE |NOTICE |ERROR :|:[^ ]+ [45]\d\d ", "IRC", "irc"),
    _with_starttls(rb"ERR (?:UNKNOWN|ACCESS|INVALID|USERNAME|FEATURE)-", "NUT", "nut"),
    _no_starttls(rb"OK MPD", "MPD", "a tunnel"),
    _no_starttls(rb"Asterisk ", "Asterisk", "its tlsbindaddr (5039)"),
    _with_starttls(rb"\xff[\xfb-\xfe]", "telnet", "telnet"),
    _with_starttls(rb"..\x00\x00[\x0a\xff]", "MySQL", "mysql"),
    _with_starttls(rb"\x03\x00..", "RDP", "rdp"),
    _no_starttls(rb"\x04\x01", "SQL Server", "a tunnel"),
    _with_starttls(_LDAP, "LDAP", "ldap"),
    _with_starttls(rb"[NSE](?:\Z|\x00\x00)", "PostgreSQL", "postgres"),
    _server(rb"\x05[\x00-\x02\xff]\Z|\x00[\x5a-\x5d]", "a SOCKS proxy", "Use it as a proxy"),
    _no_starttls(rb"[\x81-\x83]\x00", "NetBIOS", "a tunnel"),
)


# --- clients ---------------------------------------------------------------------


def _client(pattern: bytes, who: str, remedy: str) -> Rule[Banner]:
    return Rule(Banner(pattern, who), Diagnosis("plaintext-peer", f"the peer is {who}", remedy))


_USE_HTTPS: Final = "This port speaks TLS: the client's URL must begin with https://"
_IMPLICIT: Final = (
    "This port speaks TLS at once (implicit TLS); the client must not ask for STARTTLS"
)

_CLIENTS: Final = (
    _client(
        rb"(?:GET|POST|PUT|HEAD|OPTIONS|DELETE|PATCH|TRACE|CONNECT) ",
        "a plain-text HTTP client",
        _USE_HTTPS,
    ),
    _client(rb"PRI \* ", "a plain-text HTTP/2 client", _USE_HTTPS),
    _client(
        rb"PROXY |\r\n\r\n\0\r\nQUIT\n",
        "a balancer that sends a PROXY header",
        "Give this server proxy_protocol=any and proxy_from=, the balancer's address, or take "
        "send-proxy off the balancer's line",
    ),
    _client(rb"(?i:EHLO|HELO|LHLO) ", "a plain-text SMTP client", _IMPLICIT),
    _client(rb"(?i:CAPA\r|STLS\r|USER )", "a plain-text POP3 client", _IMPLICIT),
    _client(
        rb"(?i:[a-z0-9.]+ (?:LOGIN|CAPABILITY|STARTTLS|ID|NOOP)\b)",
        "a plain-text IMAP client",
        _IMPLICIT,
    ),
    _client(rb"<\?xml|<stream:", "a plain-text XMPP client", _IMPLICIT),
    _client(_LDAP, "a plain-text LDAP client", _IMPLICIT),
    _client(
        rb"\0\0\0\x08\x04\xd2\x16[\x2f\x30]",
        "a plain-text PostgreSQL client",
        "The client needs sslnegotiation=direct, or this port needs starttls=postgres",
    ),
    _client(rb"\x80.\x01", "a client of SSL 2.0", "It is too old; it needs TLS 1.2"),
    _client(rb"\x05[\x01-\x0f]|\x04[\x01\x02]", "a SOCKS client", "This port is no proxy"),
    _client(rb"SSH-", "an SSH client", "This port speaks TLS, not SSH"),
    _client(rb"\xff[\xfb-\xfe]", "a plain-text telnet client", _IMPLICIT),
)

# The tables by our own side: a client searches what servers send.
_RULES: Final = {Side.CLIENT: _SERVERS, Side.SERVER: _CLIENTS}


@functools.cache
def _compiled(pattern: bytes) -> re.Pattern[bytes]:
    # Compiled when it is first needed: importing this costs nothing.
    return re.compile(pattern, re.DOTALL)
