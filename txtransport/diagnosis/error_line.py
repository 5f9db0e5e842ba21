"""What can be read out of any error line: the tool, OpenSSL's codes, hosts and ports.

The text may come from anyone. It is bounded, and the time that the patterns take grows
with the length of the text and no faster.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from typing import Final

from attrs import frozen

from txtransport.diagnosis.alerts import ALERTS

MAX_TEXT: Final = 65536
"""Characters of a text that are looked at."""

_FOLDED: Final = str.maketrans(string.ascii_uppercase + "_", string.ascii_lowercase + " ")


def one_line(text: str) -> str:
    """A text as one line, since logs and terminals break lines anywhere.

    Args:
        text: Cut behind `MAX_TEXT` characters.
    """
    return " ".join(text[:MAX_TEXT].split())


def normalize(line: str) -> str:
    """A line as the tables spell it: ``CERT_HAS_EXPIRED`` becomes ``cert has expired``.

    The length stays the same, so that a match has the same place in both.
    """
    return line.translate(_FOLDED)


# --- the tool --------------------------------------------------------------------

# Patterns over normalized text. The first match wins, so a tool that quotes others
# stands before them.
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
    """The tool that a line comes from, or None where it does not show.

    Args:
        line: As `normalize` gives it.
    """
    found = (tool for tool, pattern in _TOOLS if re.search(pattern, line))
    return next(found, None)


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
"""OpenSSL's reasons by their number, of the library SSL."""

_SSL: Final = 20
# A peer's alert has its number and this (SSL_AD_REASON_OFFSET, ssl.h).
_ALERT: Final = 1000
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

    OpenSSL 3 packs a code as library (bits 23 to 30) and reason, OpenSSL 1 as
    library (the first byte), function and reason (err.h of each).

    Args:
        line: As `one_line` gives it.
        most: How many to return.
    """
    found = dict.fromkeys(match[1] or match[2] for match in _CODE.finditer(line))
    return tuple(ErrorCode(text, _reason(int(text, 16))) for text in list(found)[:most])


def _reason(code: int) -> str | None:
    if code >> 23 == _SSL:
        number = code & 0x7FFFFF
    elif code >> 24 == _SSL:
        number = code & 0xFFF
    else:
        return None
    name = _ALERT_NAMES.get(number - _ALERT)
    return _REASONS.get(number) if name is None else f"tls alert {name}"


# --- hosts and ports -------------------------------------------------------------


@frozen
class HostAndPort:
    """A host and a port that a line names."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


# What stands before a host is no part of one, so that every run of letters is
# read once and not from each of its letters.
_HOST_AND_PORT: Final = re.compile(
    r"(?<![A-Za-z0-9._-])(?:([A-Za-z][A-Za-z0-9+.-]{1,15})://)?"
    r"([A-Za-z0-9][A-Za-z0-9.-]{0,252}|\[[0-9A-Fa-f:.]{2,45}\])"
    r"(?::| port )([0-9]{1,5})(?![0-9A-Za-z])"
)
_FILE: Final = re.compile(r".*\.(?:c|cc|go|h|java|js|mjs|php|py|rb|rs|ts)").fullmatch


def hosts_and_ports(line: str, most: int = 4) -> tuple[HostAndPort, ...]:
    """The hosts with a port in a line, each once.

    Args:
        line: As `one_line` gives it.
        most: How many to return.
    """
    found: dict[HostAndPort, None] = {}
    for place in _hosts_and_ports(line):
        found[place] = None
        if len(found) == most:
            break
    return tuple(found)


def _hosts_and_ports(line: str) -> Iterator[HostAndPort]:
    for match in _HOST_AND_PORT.finditer(line):
        scheme, host, port = match.groups()
        # A time has colons too, and so has a place in a source file.
        is_host = scheme or host[0] == "[" or host.lower() == "localhost" or "." in host
        if is_host and (scheme or not _FILE(host)) and 0 < int(port) <= 65535:
            yield HostAndPort(host, int(port))
