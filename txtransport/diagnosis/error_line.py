"""Reads the tool, OpenSSL's error codes, hosts and ports out of any error line.

The text may come from anyone. Its length is bounded, and the time that the patterns
take is proportional to it.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from typing import Final

from attrs import frozen

from txtransport.diagnosis.alerts import ALERTS

__all__ = [
    "MAX_TEXT",
    "ErrorCode",
    "HostAndPort",
    "error_codes",
    "hosts_and_ports",
    "normalize",
    "one_line",
    "tool_of",
]

MAX_TEXT: Final = 65536
"""How many characters of a text are read; the rest is ignored."""

_FOLDED: Final = str.maketrans(string.ascii_uppercase + "_", string.ascii_lowercase + " ")


def one_line(text: str) -> str:
    """Join a text into one line, since logs and terminals break lines anywhere.

    Args:
        text: Of any length; its first `MAX_TEXT` characters are used.
    """
    return " ".join(text[:MAX_TEXT].split())


def normalize(line: str) -> str:
    """Spell a line as the tables do: ``CERT_HAS_EXPIRED`` becomes ``cert has expired``.

    The length stays the same, so a match in the result is at the same place in the line.
    """
    return line.translate(_FOLDED)


# --- the tool --------------------------------------------------------------------

# Patterns over normalized text. The first match wins, so a tool stands before those
# whose lines it quotes.
_TOOLS: Final = (
    ("PHP", r"php (?:warning|fatal)|stream socket |fsockopen\(|failed to enable crypto"
            r"|ssl operation failed with code|\bin \S{1,200}\.php\b"),
    ("Node", r"\beproto\b|\(?node:|\berr (?:tls|ssl|ossl) |npm err|deps/openssl|\beconn[a-z]{3}"),
    ("curl", r"\bcurl\W"),
    ("Twisted", r"\btwisted\b|\[\('ssl routines'|openssl\.ssl\."),
    ("Python", r" ssl\.c:\d|\bssl\.ssl|\[ssl: |\[x509: |sslerror|\bsslcertverif|smtplib"),
    ("Go", r"\bx509: |\btls: |net/http: "),
    ("Java", r"javax\.net|sun\.security|java\.(?:io|net|security)"),
    ("GnuTLS", r"gnutls|crlfile:"),
    ("OpenSSL", r"\berror:[0-9a-f]{8}:|verify error:num|verify return code|\bs client\b"),
)  # fmt: skip


def tool_of(line: str) -> str | None:
    """The tool that printed a line, or None when nothing in the line shows which.

    Args:
        line: As `normalize` returns it.
    """
    return next((tool for tool, pattern in _TOOLS if re.search(pattern, line)), None)


# --- codes of OpenSSL ------------------------------------------------------------

_REASONS: Final = {
    0x076: "no suitable signature algorithm",
    0x086: "certificate verify failed",
    0x09B: "https proxy request",
    0x09C: "http request",
    0x0B5: "no ciphers available",
    0x0B9: "no cipher match",
    0x0BF: "no protocols available",
    0x0C1: "no shared cipher",
    0x0C6: "packet length too long",
    0x0C7: "peer did not return a certificate",
    0x0EB: "no application protocol",
    0x102: "unsupported protocol",
    0x10B: "wrong version number",
    0x119: "decryption failed or bad record mac",
    0x126: "unexpected eof while reading",
    0x14D: "legacy sigalg disallowed or unsupported",
    0x152: "unsafe legacy renegotiation disabled",
    0x18A: "dh key too small",
    0x18C: "version too low",
    0x18F: "ee key too small",
}
"""OpenSSL's words by the number of a reason of its library SSL (sslerr.h)."""

# ERR_LIB_SSL (err.h).
_LIBRARY_SSL: Final = 20
# The reason for a peer's alert is the alert's number plus this (SSL_AD_REASON_OFFSET, ssl.h).
_ALERT_OFFSET: Final = 1000
_ALERT_NAMES: Final = {alert.number: alert.name for alert in ALERTS}

_CODE: Final = re.compile(r"\berror:([0-9a-fA-F]{8})(?![0-9a-fA-F])|\b(0[aA]000[0-9a-fA-F]{3})\b")


@frozen
class ErrorCode:
    """An error code of OpenSSL.

    Attributes:
        text: Eight hexadecimal digits, as they stand in the line.
        reason: OpenSSL's words for it, or None when the table does not have it.
    """

    text: str
    reason: str | None


def error_codes(line: str, most: int = 8) -> tuple[ErrorCode, ...]:
    """The error codes of OpenSSL in a line, each once.

    OpenSSL 3 packs a code as library (bits 23 to 30) and reason (the bits below);
    OpenSSL 1 as library (the first byte), function and reason (12 bits each). Source:
    ``err.h`` of each.

    Args:
        line: As `one_line` returns it.
        most: How many to return at the most.
    """
    found = dict.fromkeys(match[1] or match[2] for match in _CODE.finditer(line))
    return tuple(ErrorCode(text, _reason(int(text, 16))) for text in list(found)[:most])


def _reason(code: int) -> str | None:
    if code >> 23 == _LIBRARY_SSL:
        number = code & 0x7FFFFF
    elif code >> 24 == _LIBRARY_SSL:
        number = code & 0xFFF
    else:
        return None
    name = _ALERT_NAMES.get(number - _ALERT_OFFSET)
    return _REASONS.get(number) if name is None else f"tls alert {name}"


# --- hosts and ports -------------------------------------------------------------


@frozen
class HostAndPort:
    """A host and a port that a line names.

    Attributes:
        host: A name or an address as it was written; IPv6 in brackets.
        port: 1 to 65535.
    """

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


# The lookbehind lets a host begin only where a run of its characters begins. Without
# it the search would start again at each character of a long run, which takes
# quadratic time.
_HOST_AND_PORT: Final = re.compile(
    r"(?<![A-Za-z0-9._-])(?:([A-Za-z][A-Za-z0-9+.-]{1,15})://)?"
    r"([A-Za-z0-9][A-Za-z0-9.-]{0,252}|\[[0-9A-Fa-f:.]{2,45}\])"
    r"(?::| port )([0-9]{1,5})(?![0-9A-Za-z])"
)
_SOURCE_FILE: Final = re.compile(r".*\.(?:c|cc|go|h|java|js|mjs|php|py|rb|rs|ts)").fullmatch


def hosts_and_ports(line: str, most: int = 4) -> tuple[HostAndPort, ...]:
    """The hosts that a line names with a port, each once.

    Args:
        line: As `one_line` returns it.
        most: How many to return at the most.
    """
    found: dict[HostAndPort, None] = {}
    for host_and_port in _hosts_and_ports(line):
        found[host_and_port] = None
        if len(found) == most:
            break
    return tuple(found)


def _hosts_and_ports(line: str) -> Iterator[HostAndPort]:
    for match in _HOST_AND_PORT.finditer(line):
        scheme, host, port = match.groups()
        # "06:57:36" is a time, and "server.go:3093" a line of a source file.
        is_host = scheme or host[0] == "[" or host.lower() == "localhost" or "." in host
        if is_host and (scheme or not _SOURCE_FILE(host)) and 0 < int(port) <= 65535:
            yield HostAndPort(host, int(port))
