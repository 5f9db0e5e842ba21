"""From what was seen to what to say.

A handshake that fails leaves traces: problems that verification wrote down,
OpenSSL's reason, an alert, the first bytes of the peer, an end. `explain`
reads them, the most telling first, and answers with the error that names the
cause and the remedy. What the tables do not know keeps its original text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from attrs import frozen
from OpenSSL import SSL

from txtransport.errors import HandshakeFailed, shown
from txtransport.tls.identity import named
from txtransport.tls.pem import shown_name
from txtransport.tls.policy import Side
from txtransport.tls.session import GOODBYE, Conversation, Problem


@frozen
class Attempt:
    """A handshake that did not come about.

    Attributes:
        where: With whom, for people: ``tls://mail.example.com:587``.
        side: Who we were in it.
        port: The peer's port (clients) or ours (servers), or None.
        received: The first bytes of the peer, 64 at the most.
        error: What ended it.
        connection: OpenSSL's side of it, or None when it never came to that.
        is_upgrade: Whether the conversation had begun in the clear.
    """

    where: str
    side: Side
    port: int | None
    received: bytes
    error: BaseException
    connection: Conversation | None
    is_upgrade: bool = False


@frozen
class Finding:
    """What an attempt comes to: the parts of a `HandshakeFailed`."""

    cause: str
    text: str
    remedy: str
    permanent: bool = True


def explain(attempt: Attempt) -> HandshakeFailed:
    """The error that an attempt deserves."""
    finding = next(filter(None, (look(attempt) for look in _LOOKS)))
    error = HandshakeFailed(
        f"{attempt.where}: {finding.text}",
        cause=finding.cause,
        permanent=finding.permanent,
        remedy=finding.remedy,
        original=attempt.error,
        received=attempt.received,
    )
    error.__cause__ = attempt.error
    return error


def explain_late(attempt: Attempt) -> HandshakeFailed | None:
    """Why a conversation that had begun was ended, if it was a verdict on us.

    In TLS 1.3 a server judges our certificate when our side of the handshake
    is over, and the guest has been built.
    """
    if attempt.side is Side.SERVER or not isinstance(attempt.error, SSL.Error):
        return None
    explained = explain(attempt)
    return explained if explained.cause in _LATE else None


_LATE: Final = ("client-certificate-required", "peer-alert")


def hint(received: bytes, side: Side, port: int | None, where: str) -> str:
    """What the first bytes of a peer that then fell silent suggest, or nothing."""
    return _advice(recognise(received, side, port) if received else None, where)


def _advice(known: Plain | None, where: str) -> str:
    if known is None:
        return ""
    return known.advice.replace(_HERE, where) if where.startswith(_SECURE) else known.advice


_HERE: Final = "tls://…"
_SECURE: Final = ("tls", "ssl")


# --- who is the peer? ------------------------------------------------------------


@frozen
class Plain:
    """A protocol that speaks in the clear, known by its first bytes.

    Attributes:
        name: The protocol.
        advice: The URL or setting to use, a sentence.
    """

    name: str
    advice: str


def _upgrade(name: str, starttls: str, implicit: str | None = None) -> Plain:
    other = f", or implicit TLS on {implicit}" if implicit else ""
    return Plain(name, f"Use {_HERE}?starttls={starttls} on this port{other}")


_SMTP: Final = _upgrade("SMTP", "smtp", "port 465")
_FTP: Final = _upgrade("FTP", "ftp", "port 990")
_LOOK_AT_PORT: Final = "Use tcp:// with this port, or the protocol's own port for TLS"

# First match wins. What a server says when a client expects TLS of it.
_SERVERS: Final[tuple[tuple[bytes, Plain | None], ...]] = (
    (rb"220[ -].*(?:FTP|FileZilla)", _FTP),
    (rb"220[ -].*(?:SMTP|[Mm]ail|mx)", _SMTP),
    (rb"220[ -]|(?:421|554)[ -]", None),  # SMTP or FTP; the port decides
    (rb"\+OK", _upgrade("POP3", "pop3", "port 995")),
    (rb"\* (?:OK|PREAUTH|BYE)", _upgrade("IMAP", "imap", "port 993")),
    (rb"20[01] |(?:400|502) ", _upgrade("NNTP", "nntp", "port 563")),
    (rb'"IMPLEMENTATION"', _upgrade("ManageSieve", "sieve")),
    (rb"(?:<\?xml|<stream:)", _upgrade("XMPP", "xmpp", "port 5223")),
    (rb"SSH-", Plain("SSH", "SSH does its own encryption; use tcp:// with an SSH library")),
    (rb"HTTP/1\.|<(?i:html|!doc)", Plain("HTTP", "Use tcp:// here, or the port of https (443)")),
    (rb"RFB 0", _upgrade("VNC", "vnc")),
    (rb"INFO \{", _upgrade("NATS", "nats")),
    (rb"AMQP", _upgrade("AMQP", "amqp", "port 5671")),
    (rb"NBDMAGIC", _upgrade("NBD", "nbd")),
    (rb"-(?:NOAUTH|DENIED|ERR)|\+PONG", Plain("Redis", "Use tcp:// here, or its tls-port")),
    (rb":.* NOTICE |NOTICE |ERROR :", _upgrade("IRC", "irc", "port 6697")),
    (rb"\xff[\xfb-\xfe]", _upgrade("telnet", "telnet", "port 992")),
    (rb"\x03\x00..", _upgrade("RDP", "rdp")),
    (rb"..\x00\x00[\x0a\xff]", _upgrade("MySQL", "mysql")),
    (rb"[NSE](?:\Z|\x00\x00)", _upgrade("PostgreSQL", "postgres")),
    (rb"\x00\x00.\x04", Plain("HTTP/2 in the clear", _LOOK_AT_PORT)),
)

_PROXY: Final = Plain(
    "a PROXY header", "Take send-proxy out of the balancer's line for this server"
)

# What a client says when a server expects TLS of it.
_CLIENTS: Final[tuple[tuple[bytes, Plain | None], ...]] = (
    (
        rb"(?:GET|POST|PUT|HEAD|OPTIONS|DELETE|PATCH|TRACE|CONNECT) ",
        Plain("HTTP", "This port speaks TLS: the client's URL begins with https://"),
    ),
    (rb"PRI \* ", Plain("HTTP/2 in the clear", "This port speaks TLS: the client wants https://")),
    (rb"(?i:EHLO|HELO|LHLO) ", Plain("SMTP", "This port is implicit TLS, without STARTTLS")),
    (rb"PROXY |\r\n\r\n\0\r\nQUIT\n", _PROXY),
    (rb"[\x80-\xff].\x01", Plain("an SSL 2.0 hello", "The client is too old; it needs TLS 1.2")),
    (
        rb"\0\0\0\x08\x04\xd2\x16[\x2f\x30]",
        Plain("PostgreSQL", "The client wants starttls=postgres, or sslnegotiation=direct"),
    ),
    (rb"\x05[\x01-\x0f]", Plain("SOCKS", "This port is no proxy")),
    (rb"SSH-", Plain("SSH", "This port speaks TLS, not SSH")),
    (rb"<\?xml|<stream:", Plain("XMPP", "The client wants STARTTLS; this port is implicit TLS")),
)  # fmt: skip


def _matcher(pattern: bytes) -> Callable[[bytes], object]:
    return re.compile(pattern, re.DOTALL).match


_TABLES: Final = {
    Side.CLIENT: [(_matcher(pattern), plain) for pattern, plain in _SERVERS],
    Side.SERVER: [(_matcher(pattern), plain) for pattern, plain in _CLIENTS],
}


def recognise(received: bytes, side: Side, port: int | None) -> Plain | None:
    """The protocol that a peer's first bytes belong to, or None.

    Args:
        received: The first bytes, 64 are enough.
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


# --- the looks, the most telling first --------------------------------------------


def _certificate(attempt: Attempt) -> Finding | None:
    """Verification wrote down why it refused."""
    if attempt.connection is None or not attempt.connection.evidence.problems:
        return None
    problem = attempt.connection.evidence.problems[0]
    whose = "peer's" if attempt.side is Side.CLIENT else "client's"
    place = "" if problem.depth == 0 else f" (an authority, depth {problem.depth})"
    text = f"the {whose} certificate{place} was refused: {problem.text}{_described(problem)}"
    return Finding(problem.cause, text, _REMEDIES.get(problem.cause, ""))


def _described(problem: Problem) -> str:
    certificate = problem.certificate
    if certificate is None:
        return ""
    number = f"; X509 error {problem.code}" if problem.code else ""
    return (
        f" (subject {shown_name(certificate.subject)}, issuer {shown_name(certificate.issuer)}, "
        f"names {named(certificate)}, valid {certificate.not_valid_before_utc:%Y-%m-%d} "
        f"to {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC{number})"
    )


_REMEDIES: Final = {
    "wrong-name": "Connect by a name that it is for, or say peer_name=NAME if another is meant",
    "unknown-issuer": "Name the authority with cafile=FILE; if it is a public one, the peer "
    "forgets to send its intermediate certificate",
    "self-signed": "Trust this one with cafile=FILE, a copy of the certificate itself",
    "expired": "The peer must renew it; check this machine's clock if the dates look right",
    "not-yet-valid": "Check this machine's clock and the peer's",
    "wrong-purpose": "It needs the extended key usage for servers (serverAuth), or on a "
    "client for clients (clientAuth)",
    "fingerprint": "If the change is expected, renew the digest; if not, someone is in between",
}


def _plaintext(attempt: Attempt) -> Finding | None:
    """The peer's first bytes are not TLS."""
    received = attempt.received
    if not received or is_tls(received):
        return None
    known = recognise(received, attempt.side, attempt.port)
    who = (
        f"a plain-text {known.name} "
        if known is not None and known is not _PROXY
        else "a plain-text "
    )
    if known is _PROXY:
        who = "one with a PROXY header, a "
    role = "server" if attempt.side is Side.CLIENT else "client"
    if attempt.is_upgrade:
        return Finding(
            "plaintext-peer",
            f"the {role} sent plain text {shown(received)} where its TLS was to begin",
            "None of it was delivered. Someone in the middle may have put it there, or the "
            f"{role} did not switch to TLS after the go-ahead",
        )
    return Finding(
        "plaintext-peer",
        f"expected a TLS handshake, but the peer is {who}{role}: it sent {shown(received)}",
        _advice(known, attempt.where) or "Is this the right port for TLS?",
    )


def _goodbye(attempt: Attempt) -> Finding | None:
    """A close_notify where the handshake should be; OpenSSL has no words for it."""
    if _reason(attempt.error) != GOODBYE:
        return None
    return Finding(
        "closed",
        "the peer said goodbye (close_notify) instead of a handshake",
        "It speaks TLS and does not want to talk now; look at its log",
        permanent=False,
    )


# OpenSSL's reasons for alerts: 4.0 says "tls alert …", 3.x "sslv3 alert …".
_ALERTS: Final = {
    "unexpected message": 10,
    "bad record mac": 20,
    "record overflow": 22,
    "handshake failure": 40,
    "bad certificate": 42,
    "unsupported certificate": 43,
    "certificate revoked": 44,
    "certificate expired": 45,
    "certificate unknown": 46,
    "illegal parameter": 47,
    "unknown ca": 48,
    "access denied": 49,
    "decode error": 50,
    "decrypt error": 51,
    "protocol version": 70,
    "insufficient security": 71,
    "internal error": 80,
    "inappropriate fallback": 86,
    "missing extension": 109,
    "unsupported extension": 110,
    "unrecognized name": 112,
    "bad certificate status response": 113,
    "unknown psk identity": 115,
    "certificate required": 116,
    "no application protocol": 120,
}
_IS_ALERT: Final = re.compile(r"(?:tls|sslv3|tlsv1|tlsv13)(?: alert)? (.*)").fullmatch

_VERSIONS_REMEDY: Final = "Compare the versions of both: min_version and max_version here"
_OUR_CERTIFICATE: Final = frozenset({42, 43, 44, 45, 46, 48})
_ALERT_FINDINGS: Final = {
    70: Finding("no-common-version", "the peer speaks none of our versions of TLS",
                _VERSIONS_REMEDY),
    71: Finding("no-common-cipher", "the peer finds our ciphers too weak",
                "Look at ciphers and security_level"),
    112: Finding("peer-alert", "the peer does not know the name that we asked for (SNI)",
                 "Use a name that it serves, or peer_name=NAME"),
    116: Finding("client-certificate-required", "the peer demands a client certificate",
                 "Give one with local_cert=FILE"),
    120: Finding("no-common-protocol", "the peer speaks none of our application protocols (ALPN)",
                 "Look at alpn_protocols on both sides"),
}  # fmt: skip


def _alert(attempt: Attempt) -> Finding | None:
    """The peer told us why, with an alert."""
    found = _IS_ALERT(_reason(attempt.error))
    number = _ALERTS.get(found[1]) if found else None
    if found is None or number is None:
        return None
    said = f"the peer ended the handshake with the alert {found[1]!r} ({number})"
    if number in _ALERT_FINDINGS:
        finding = _ALERT_FINDINGS[number]
        return Finding(finding.cause, f"{finding.text}; {said}", finding.remedy)
    if number == 40:
        return _handshake_failure(attempt, said)
    if number in _OUR_CERTIFICATE:
        return _certificate_refused(attempt, said)
    remedy = "Look at the peer's log for the reason"
    if number == 80 and attempt.connection and attempt.connection.policy.alpn_protocols:
        remedy = ("Try without alpn_protocols: a Twisted server without protocols of its own "
                  "answers so to every offer")  # fmt: skip
    return Finding("peer-alert", said, remedy, permanent=number != 80)


def _handshake_failure(attempt: Attempt, said: str) -> Finding:
    connection = attempt.connection
    if (
        attempt.side is Side.CLIENT
        and connection is not None
        and connection.policy.local_cert is None
        and connection.get_client_ca_list()
    ):
        required = _ALERT_FINDINGS[116]
        return Finding(required.cause, f"{required.text}; {said}", required.remedy)
    return Finding(
        "no-common-cipher",
        f"{said}: it finds nothing acceptable in our ciphers, groups or signatures",
        "Compare ciphers, min_version and security_level of both; before TLS 1.3 a missing "
        "client certificate (local_cert) reads the same",
    )


def _certificate_refused(attempt: Attempt, said: str) -> Finding:
    if attempt.side is Side.SERVER:
        return Finding(
            "peer-alert",
            f"the client refused our certificate; {said}",
            "The client must trust the authority of local_cert and ask for a name that it is "
            "for; see that local_cert holds the intermediate certificates",
        )
    if attempt.connection is not None and attempt.connection.policy.local_cert is None:
        return Finding(
            "client-certificate-required",
            f"the peer demands a client certificate; {said}",
            "Give one with local_cert=FILE",
        )
    return Finding(
        "peer-alert",
        f"the peer refused our certificate; {said}",
        "It must trust the authority of local_cert, and the certificate must be for clients",
    )


_REASONS: Final = {
    "unsupported protocol": Finding(
        "no-common-version", "the two sides have no version of TLS in common", _VERSIONS_REMEDY
    ),
    "version too low": Finding(
        "no-common-version", "the peer's version of TLS is too old", _VERSIONS_REMEDY
    ),
    "no protocols available": Finding(
        "no-common-version", "no version of TLS is left to speak", _VERSIONS_REMEDY
    ),
    "no shared cipher": Finding(
        "no-common-cipher",
        "the two sides have no cipher in common",
        "Look at ciphers and security_level, and whether there is a certificate for the name "
        "that was asked for",
    ),
    "no ciphers available": Finding(
        "no-common-cipher", "no cipher is left to offer", "Look at ciphers and security_level"
    ),
    "wrong cipher returned": Finding(
        "no-common-cipher", "the peer chose a cipher that was not offered", "Look at ciphers"
    ),
    "no application protocol": Finding(
        "no-common-protocol",
        "the two sides have no application protocol in common",
        "Look at alpn_protocols on both sides",
    ),
    "peer did not return a certificate": Finding(
        "client-certificate-required",
        "the client showed no certificate, and verify_peer=yes demands one",
        "The client needs local_cert; verify_peer=optional lets it come without",
    ),
    "dh key too small": Finding(
        "no-common-cipher",
        "the peer's key exchange is too weak",
        "The peer must be renewed; security_level=1 lets it pass",
    ),
    "ee key too small": Finding(
        "other", "the peer's key is too short", "The peer must renew its certificate"
    ),
}


def _own_reason(attempt: Attempt) -> Finding | None:
    """OpenSSL on this side had a reason that we know."""
    return _REASONS.get(_reason(attempt.error))


def _end(attempt: Attempt) -> Finding | None:
    """The connection ended, and no one said why."""
    if isinstance(attempt.error, SSL.Error) and not isinstance(
        attempt.error, (SSL.ZeroReturnError, SSL.SysCallError)
    ):
        return None
    count = len(attempt.received)
    if count:
        seen = "more than 63 bytes" if count > 63 else f"{count} byte{'s'[: count > 1]}"
        text = f"the peer closed the connection during the TLS handshake, after {seen}"
    else:
        text = "the peer closed the connection without a byte of TLS"
    return Finding(
        "closed",
        text,
        "Is this port for TLS? A firewall, a full server or a name that the peer does not "
        "serve looks the same"
        if attempt.side is Side.CLIENT
        else "Health checks and port scans look like this",
        permanent=False,
    )


def _otherwise(attempt: Attempt) -> Finding:
    return Finding("other", f"the TLS handshake failed: {_reason(attempt.error)}", "")


_LOOKS: Final[tuple[Callable[[Attempt], Finding | None], ...]] = (
    _certificate,
    _plaintext,
    _goodbye,
    _alert,
    _own_reason,
    _end,
    _otherwise,
)


def _reason(error: BaseException) -> str:
    """OpenSSL's last reason, or the text of any other error."""
    if isinstance(error, SSL.Error) and error.args and isinstance(error.args[0], list):
        queue = error.args[0]
        return str(queue[-1][-1]) if queue else ""
    return f"{type(error).__name__}: {error}"[:200]
