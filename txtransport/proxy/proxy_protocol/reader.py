"""Reads and writes PROXY headers of either version.

A header is read as a whole: its first bytes tell the version, and that how long it is. A
connection that begins with anything else has none, and what to do with it is not ours to
guess.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from attrs import frozen

from txtransport.errors import InvalidProxyHeader
from txtransport.proxy.proxy_protocol import version1, version2
from txtransport.proxy.proxy_protocol.header import ProxyHeader
from txtransport.text import first_words

__all__ = ["ACCEPTED", "read_header", "write_header"]


@frozen
class _Version:
    """One version of the protocol.

    Attributes:
        name: As ``proxy_protocol=`` has it.
        number: As the header has it.
        directive: What has HAProxy send such headers.
        signature: The first bytes.
        read: Reads a header.
        write: Makes one.
    """

    name: str
    number: int
    directive: str
    signature: bytes
    read: Callable[[bytes], tuple[ProxyHeader, int] | None]
    write: Callable[[ProxyHeader], bytes]

    def is_begun(self, received: bytes) -> bool:
        """Whether all bytes so far can be the beginning of such a header."""
        return self.signature.startswith(received[: len(self.signature)])


_V1: Final = _Version("v1", 1, "send-proxy", version1.SIGNATURE, version1.read, version1.write)
_V2: Final = _Version("v2", 2, "send-proxy-v2", version2.SIGNATURE, version2.read, version2.write)

_ACCEPTED: Final = {"v1": (_V1,), "v2": (_V2,), "any": (_V1, _V2)}

ACCEPTED: Final = tuple(_ACCEPTED)
"""Which versions may be accepted: the values of ``proxy_protocol=``."""


def read_header(received: bytes, accepted: str = "any") -> tuple[ProxyHeader, int] | None:
    """Read the header with which a connection begins.

    Args:
        received: All bytes so far.
        accepted: One of `ACCEPTED`.

    Returns:
        The header and how many of the bytes it takes; or None while it is not complete.

    Raises:
        InvalidProxyHeader: The connection does not begin with a header that is accepted
            and right.
    """
    for version in _ACCEPTED[accepted]:
        if version.is_begun(received):
            return version.read(received)
    raise _missing(received, accepted)


def _missing(received: bytes, accepted: str) -> InvalidProxyHeader:
    for version in (_V1, _V2):
        if received.startswith(version.signature):
            other = _ACCEPTED[accepted][0]
            return InvalidProxyHeader(
                f"it is of version {version.number}, and proxy_protocol={accepted}",
                f"Write {other.directive} in the balancer's line for this server, or "
                "proxy_protocol=any here",
            )
    return InvalidProxyHeader(
        f"there is none; it began with {first_words(received[:64])}",
        "Write send-proxy-v2 in the balancer's line for this server (nginx: proxy_protocol on)",
    )


def write_header(header: ProxyHeader) -> bytes:
    """Make a header.

    Args:
        header: What it says, and its version.

    Raises:
        ValueError: It is too long.
    """
    return (_V1 if header.version == 1 else _V2).write(header)
