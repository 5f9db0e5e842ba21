"""The transports that exist, one row each.

Knows their names and what tells them apart; not how any of them is reached.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from attrs import frozen


class Kind(Enum):
    """What a conversation over a transport is made of."""

    STREAM = "stream"
    DATAGRAM = "datagram"


@frozen
class Scheme:
    """One transport.

    Attributes:
        name: What stands before ``://``, in lower case.
        kind: Stream or datagrams.
        meaning: One line for people.
        is_secure: Whether TLS (or DTLS) is part of it.
        is_local: Whether it is named by a path and not by host and port.
        version: The one version of TLS that it speaks, or None for the
            policy's range.
        is_weak: Whether that version is one that RFC 8996 deprecates.
        refusal: Why it cannot be had, or None when it can.
    """

    name: str
    kind: Kind
    meaning: str
    is_secure: bool = False
    is_local: bool = False
    version: str | None = None
    is_weak: bool = False
    refusal: str | None = None


_ROWS: Final = (
    Scheme("tcp", Kind.STREAM, "plain TCP"),
    Scheme("tls", Kind.STREAM, "TLS over TCP, 1.2 or newer", is_secure=True),
    Scheme("ssl", Kind.STREAM, "the same as tls", is_secure=True),
    Scheme("tlsv1.0", Kind.STREAM, "TLS 1.0 only", is_secure=True, version="1.0", is_weak=True),
    Scheme("tlsv1.1", Kind.STREAM, "TLS 1.1 only", is_secure=True, version="1.1", is_weak=True),
    Scheme("tlsv1.2", Kind.STREAM, "TLS 1.2 only", is_secure=True, version="1.2"),
    Scheme("tlsv1.3", Kind.STREAM, "TLS 1.3 only", is_secure=True, version="1.3"),
    Scheme(
        "sslv2",
        Kind.STREAM,
        "SSL 2.0",
        is_secure=True,
        refusal="RFC 6176 prohibits SSL 2.0, which anyone can break, and OpenSSL "
        "removed it in 1.1.0; use tls:// with a peer that speaks TLS 1.2 or newer",
    ),
    Scheme(
        "sslv3",
        Kind.STREAM,
        "SSL 3.0",
        is_secure=True,
        refusal="RFC 7568 prohibits SSL 3.0 (POODLE, CVE-2014-3566), and OpenSSL is "
        "built without it; use tls://, or tlsv1.0:// for a peer that cannot be renewed",
    ),
    Scheme("unix", Kind.STREAM, "local stream socket", is_local=True),
    Scheme("tls+unix", Kind.STREAM, "TLS over a local stream socket", True, True),
    Scheme("udp", Kind.DATAGRAM, "UDP datagrams"),
    Scheme(
        "udg",
        Kind.DATAGRAM,
        "local datagram socket",
        is_local=True,
        refusal="local datagrams are not part of this release; use unix:// for a local stream",
    ),
    Scheme(
        "dtls",
        Kind.DATAGRAM,
        "DTLS 1.2 over UDP",
        is_secure=True,
        refusal="DTLS is not part of this release; use tls:// for a stream",
    ),
)

SCHEMES: Final = {row.name: row for row in _ROWS}
"""Every transport by its name."""


def available_schemes() -> dict[str, str | None]:
    """The transports, each available or why not.

    Returns:
        A scheme's name to None when it can be had, or to the reason why not.
    """
    return {row.name: row.refusal for row in _ROWS}
