"""Type, length, value: how a header of version 2 says what is not an address.

A type takes one byte, a length two, and the value as many as the length says. Types that
are not known are kept: only their length matters to a reader.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from txtransport.errors import InvalidProxyHeader

__all__ = ["TLV", "TLVs", "read_tlvs", "refuse_twice", "value_of"]

TLVs = tuple[tuple[int, bytes], ...]
"""Types and values, in the order of the header."""


class TLV:
    """The types that the specification knows, section 2.2."""

    ALPN: Final = 0x01
    AUTHORITY: Final = 0x02
    CRC32C: Final = 0x03
    NOOP: Final = 0x04
    UNIQUE_ID: Final = 0x05
    SSL: Final = 0x20
    SSL_VERSION: Final = 0x21
    SSL_CN: Final = 0x22
    SSL_CIPHER: Final = 0x23
    SSL_SIG_ALG: Final = 0x24
    SSL_KEY_ALG: Final = 0x25
    NETNS: Final = 0x30

    ONCE: Final = frozenset({ALPN, AUTHORITY, CRC32C, UNIQUE_ID, SSL, NETNS})
    SSL_ONCE: Final = frozenset({SSL_VERSION, SSL_CN, SSL_CIPHER, SSL_SIG_ALG, SSL_KEY_ALG})

    @staticmethod
    def encode(kind: int, value: bytes) -> bytes:
        """A TLV as it goes over the wire.

        Raises:
            OverflowError: The value has more than 65535 bytes.
        """
        return bytes((kind,)) + len(value).to_bytes(2, "big") + value


def read_tlvs(data: bytes) -> TLVs:
    """Read TLVs that fill some bytes entirely.

    Raises:
        InvalidProxyHeader: One says that it is longer than what is there.
    """
    found, place = [], 0
    while place < len(data):
        begin = place + 3
        end = begin + int.from_bytes(data[place + 1 : begin], "big")
        if not begin <= end <= len(data):
            raise InvalidProxyHeader(
                f"its TLV of type 0x{data[place]:02x} says that it is longer than the header"
            )
        found.append((data[place], data[begin:end]))
        place = end
    return tuple(found)


def refuse_twice(tlvs: TLVs, once: Iterable[int]) -> None:
    """Refuse a fact that is told twice: another program may take the other one for true.

    Args:
        tlvs: The TLVs.
        once: The types that may be there once.

    Raises:
        InvalidProxyHeader: One is there twice.
    """
    kinds = [kind for kind, _ in tlvs]
    for kind in once:
        if kinds.count(kind) > 1:
            raise InvalidProxyHeader(f"its TLV of type 0x{kind:02x} is there twice")


def value_of(tlvs: TLVs, kind: int) -> bytes | None:
    """The value of the first TLV of a type, or None."""
    return next((value for found, value in tlvs if found == kind), None)
