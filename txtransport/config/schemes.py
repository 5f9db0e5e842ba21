"""The table of all schemes (``tcp``, ``tls``, ``unix``, …), one row each.

A row says what a scheme stands for, and not how an endpoint of it is made.
"""

from __future__ import annotations

import functools
import importlib.util
from enum import Enum
from typing import Final

from attrs import field, frozen

from txtransport.errors import Diagnosis

__all__ = [
    "BROKEN_VERSIONS",
    "SCHEMES",
    "Kind",
    "Scheme",
    "available_schemes",
    "is_legacy_installed",
]


class Kind(Enum):
    """What travels over a transport: a stream of bytes, separate datagrams, or as it comes."""

    STREAM = "stream"
    DATAGRAM = "datagram"
    EITHER = "stream or datagram"


@frozen
class Scheme:
    """One row of the table.

    Attributes:
        name: What stands before ``://`` in a URL, in lower case.
        kind: Stream or datagrams; either, where the socket decides.
        meaning: One line for the reference page.
        is_secure: Whether TLS (or DTLS) is part of the scheme.
        is_local: Whether a URL of the scheme has a path, and neither host nor
            port.
        version: The only version of TLS that the scheme speaks, one of
            `txtransport.config.policy.VERSIONS`, ``SSLv2`` or ``SSLv3``; or None
            when the policy decides.
        inherited_by: What a URL of the scheme has in place of host and port, to name a
            socket that was open before this process began: ``descriptor`` or ``name``.
            Empty for any other scheme.
        has_host: Whether a URL of the scheme has a host and a port.
        is_weak: Whether RFC 8996 deprecates that version.
        refusal: Why the scheme is not available and what to use instead, or
            None when it is available.
        danger: What is broken about the version, and what to try first, if the scheme
            serves devices that speak nothing else: the extra ``txtransport[legacy]``
            makes it available, and its endpoints then need ``allow_broken_ssl``.
    """

    name: str
    kind: Kind
    meaning: str
    is_secure: bool = False
    is_local: bool = False
    version: str | None = None
    is_weak: bool = False
    refusal: Diagnosis | None = None
    danger: Diagnosis | None = None
    inherited_by: str = field(default="", kw_only=True)
    # An attribute, since it is asked for each URL that is parsed.
    has_host: bool = field(init=False)

    @has_host.default
    def _has_host(self) -> bool:
        return not self.is_local and not self.inherited_by

    @property
    def is_broken(self) -> bool:
        """Whether the version is SSL 2.0 or SSL 3.0, which can be broken."""
        return self.danger is not None

    @property
    def is_available(self) -> bool:
        """Whether this installation has the scheme."""
        return self.refusal is None or (self.is_broken and is_legacy_installed())

    @property
    def is_inherited(self) -> bool:
        """Whether a URL of the scheme names a socket that was open before."""
        return bool(self.inherited_by)

    def carries(self, kind: Kind) -> bool:
        """Whether the scheme is for streams, or for datagrams.

        Args:
            kind: One of the two.
        """
        return self.kind in (kind, Kind.EITHER)

    @property
    def reason(self) -> str | None:
        """Why the scheme is not available and what to use instead, or None when it is."""
        if self.is_available or self.refusal is None:
            return None
        return f"{self.refusal.summary}; {self.refusal.remedy}"


@functools.cache
def is_legacy_installed() -> bool:
    """Whether the extra ``txtransport[legacy]`` is installed, which has SSL 2.0 and SSL 3.0.

    SSL 2.0 needs nothing of the package that the extra brings (tlslite-ng): the extra is
    the consent of the one who installs. Looked for and not imported.
    """
    return importlib.util.find_spec("tlslite") is not None


def _unavailable(summary: str, remedy: str) -> Diagnosis:
    return Diagnosis("unavailable", summary, remedy, fault="ours")


_EXTRA: Final = (
    "for a device that speaks nothing else, docs/legacy.md and pip install 'txtransport[legacy]'"
)


def _broken(summary: str) -> Diagnosis:
    return Diagnosis(
        "unavailable",
        summary,
        "try tlsv1.0:// first, which the peer may speak as well; if it speaks nothing else, and "
        "nobody can get between it and you, allow_broken_ssl=yes allows this (docs/legacy.md)",
        fault="ours",
    )


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
            f"use tls:// with a peer that speaks TLS 1.2 or newer; {_EXTRA}",
        ),
        version="SSLv2",
        danger=_broken(
            "SSL 2.0 is broken: those in between can choose the cipher, cut the connection "
            "unnoticed, and decrypt with it what TLS protects with the same key (DROWN, "
            "CVE-2016-0800); RFC 6176 prohibits it"
        ),
    ),
    Scheme(
        "sslv3",
        Kind.STREAM,
        "SSL 3.0",
        is_secure=True,
        refusal=_unavailable(
            "RFC 7568 prohibits SSL 3.0 (POODLE, CVE-2014-3566), and OpenSSL is built without it",
            f"use tls://, or tlsv1.0:// for a peer that cannot be renewed; {_EXTRA}",
        ),
        version="SSLv3",
        danger=_broken(
            "SSL 3.0 is broken: those in between can decrypt what is sent again and again, such "
            "as passwords and cookies (POODLE, CVE-2014-3566); RFC 7568 prohibits it"
        ),
    ),
    Scheme("unix", Kind.STREAM, "local stream socket", is_local=True),
    Scheme("tls+unix", Kind.STREAM, "TLS over a local stream socket", True, True),
    Scheme("udp", Kind.DATAGRAM, "UDP datagrams"),
    Scheme(
        "fd",
        Kind.EITHER,
        "listening socket, by number",
        inherited_by="descriptor",
    ),
    Scheme("tls+fd", Kind.STREAM, "TLS over such a socket", True, inherited_by="descriptor"),
    Scheme(
        "systemd",
        Kind.EITHER,
        "systemd's sockets, by name",
        inherited_by="name",
    ),
    Scheme("tls+systemd", Kind.STREAM, "TLS over such sockets", True, inherited_by="name"),
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

BROKEN_VERSIONS: Final = {row.version: row for row in _ROWS if row.is_broken}
"""``SSLv2`` and ``SSLv3``, to their schemes; each is spoken by its scheme and no other."""


def available_schemes() -> dict[str, str | None]:
    """All schemes that a URL may have, and which of them can be used.

    Returns:
        A mapping from each scheme's name to None when the scheme is available,
        or to the reason why it is not.
    """
    return {row.name: row.reason for row in _ROWS}
