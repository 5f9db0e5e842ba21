"""Headers that HAProxy 2.6 has sent, and others for tests."""

from __future__ import annotations

from typing import Final

from txtransport.proxy.proxy_protocol.header import ProxyHeader
from txtransport.proxy.proxy_protocol.tlv import TLV
from txtransport.proxy.proxy_protocol.version2 import SIGNATURE

CHECK_OF_HAPROXY: Final = bytes.fromhex(
    "0d0a0d0a000d0a515549540a2000000f030004889da1df2000050000000000"
)
"""A health check (``LOCAL``), with checksum and with the SSL part that says: no TLS."""

CLIENT_OF_HAPROXY: Final = bytes.fromhex(
    "0d0a0d0a000d0a515549540a2111006e0a4d02020a4d0201e4721c200300041b7379f701000268320200096c"
    "6f63616c686f73740500002000440700000000210007544c5376312e33250005454332353624001165636473"
    "612d776974682d534841323536230016544c535f4145535f3235365f47434d5f534841333834"
)
"""A client's connection, over TLS with a certificate: ``send-proxy-v2`` with
``proxy-v2-options ssl,cert-cn,ssl-cipher,cert-sig,cert-key,authority,crc32c,unique-id``."""

LINE: Final = b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n"
"""A header of version 1."""

HEADER: Final = ProxyHeader(2, ("192.0.2.7", 56324), ("198.51.100.1", 443))
"""What `LINE` says, as a header of version 2."""


def version_2(rest: bytes, command: int = 0x21, family: int = 0x11) -> bytes:
    """A header of version 2 with anything behind its length."""
    return SIGNATURE + bytes((command, family)) + len(rest).to_bytes(2, "big") + rest


def with_tlvs(*tlvs: tuple[int, bytes]) -> bytes:
    """A header of version 2 with these TLVs and no checksum."""
    encoded = b"".join(TLV.encode(kind, value) for kind, value in tlvs)
    return version_2(bytes.fromhex("c0000207c6336401dc0401bb") + encoded)
