"""The table of all schemes (``tcp``, ``tls``, ``unix``, …), one row each.

A row says what a scheme stands for, and not how an endpoint of it is made.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from attrs import frozen

from txtransport.errors import Diagnosis

__all__ = ["SCHEMES", "Kind", "Scheme", "available_schemes"]


class Kind(Enum):
    """What travels over a transport: a stream of bytes, or separate datagrams."""

    STREAM = "stream"
    DATAGRAM = "datagram"


@frozen
class Scheme:
    """One row of the table.

    Attributes:
        name: What stands before ``://`` in a URL, in lower case.
        kind: Stream or datagrams.
        meaning: One line for the reference page.
        is_secure: Whether TLS (or DTLS) is part of the scheme.
        is_local: Whether a URL of the scheme has a path, and neither host nor
            port.
        version: The only version of TLS that the scheme speaks, one of
            `txtransport.config.policy.VERSIONS`; or None when the policy
            decides.
        is_weak: Whether RFC 8996 deprecates that version.
        refusal: Why the scheme is not available and what to use instead, or
            None when it is available.
    """

    name: str
    kind: Kind
    meaning: str
    is_secure: bool = False
    is_local: bool = False
    version: str | None = None
    is_weak: bool = False
    refusal: Diagnosis | None = None

    @property
    def reason(self) -> str | None:
        """Why the scheme is not available and what to use instead, or None when it is."""
        if self.refusal is None:
            return None
        return f"{self.refusal.summary}; {self.refusal.remedy}"


def _unavailable(summary: str, remedy: str) -> Diagnosis:
    return Diagnosis("unavailable", summary, remedy, fault="ours")


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
        refusal=_unavailable(
            "RFC 6176 prohibits SSL 2.0, which anyone can break, and OpenSSL removed it in 1.1.0",
            "use tls:// with a peer that speaks TLS 1.2 or newer",
        ),
    ),
    Scheme(
        "sslv3",
        Kind.STREAM,
        "SSL 3.0",
        is_secure=True,
        refusal=_unavailable(
            "RFC 7568 prohibits SSL 3.0 (POODLE, CVE-2014-3566), and OpenSSL is built without it",
            "use tls://, or tlsv1.0:// for a peer that cannot be renewed",
        ),
    ),
    Scheme("unix", Kind.STREAM, "local stream socket", is_local=True),
    Scheme("tls+unix", Kind.STREAM, "TLS over a local stream socket", True, True),
    Scheme("udp", Kind.DATAGRAM, "UDP datagrams"),
    Scheme(
        "udg",
        Kind.DATAGRAM,
        "local datagram socket",
        is_local=True,
        refusal=_unavailable(
            "local datagrams are not part of this release", "use unix:// for a local stream"
        ),
    ),
    Scheme(
        "dtls",
        Kind.DATAGRAM,
        "DTLS 1.2 over UDP",
        is_secure=True,
        refusal=_unavailable("DTLS is not part of this release", "use tls:// for a stream"),
    ),
)

SCHEMES: Final = {row.name: row for row in _ROWS}
"""Every scheme, by its name."""


def available_schemes() -> dict[str, str | None]:
    """All schemes that a URL may have, and which of them can be used.

    Returns:
        A mapping from each scheme's name to None when the scheme is available,
        or to the reason why it is not.
    """
    return {row.name: row.reason for row in _ROWS}
