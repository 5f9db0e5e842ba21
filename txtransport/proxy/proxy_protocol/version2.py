"""Version 2 of the PROXY protocol: binary.

::

    byte  0   \\r\\n\\r\\n\\0\\r\\nQUIT\\n   the signature, which no other protocol begins with
         12   0x21              version 2; 0 LOCAL or 1 PROXY
         13   0x11              1 IPv4, 2 IPv6, 3 local socket; 1 stream or 2 datagrams
         14   0x00 0x0c         how many bytes follow
         16   addresses         client, balancer, then their ports
          …   TLVs              type, length, value, up to the end

Source: proxy-protocol.txt, section 2.2.
"""

from __future__ import annotations

import socket
import struct
from typing import Final, cast

from attrs import frozen

from txtransport.errors import InvalidProxyHeader
from txtransport.proxy.proxy_protocol.crc32c import crc32c
from txtransport.proxy.proxy_protocol.header import (
    AddressKind,
    ProxiedAddress,
    ProxiedTLS,
    ProxyHeader,
)
from txtransport.proxy.proxy_protocol.tlv import TLV, TLVs, read_tlvs, refuse_twice, value_of

__all__ = ["MOST", "SIGNATURE", "read", "write"]

SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"

MOST: Final = 16384
"""The most bytes that are accepted behind the first 16; a certificate has room there."""

_BEGIN: Final = struct.Struct("!12sBBH")
_LOCAL: Final = 0x20
_PROXY: Final = 0x21
_UNSPECIFIED: Final = 0x00


@frozen
class _Layout:
    """How the addresses of one kind are laid out: client, balancer, and perhaps ports."""

    kind: AddressKind
    structure: struct.Struct

    @property
    def _family(self) -> socket.AddressFamily:
        return socket.AF_INET if self.kind is AddressKind.IPV4 else socket.AF_INET6

    def read(self, data: bytes) -> tuple[ProxiedAddress, ProxiedAddress]:
        one, other, *ports = self.structure.unpack(data)
        if not ports:
            return _path(one), _path(other)
        hosts = (socket.inet_ntop(self._family, packed) for packed in (one, other))
        source, destination = zip(hosts, ports, strict=True)
        return source, destination

    def write(self, source: ProxiedAddress, destination: ProxiedAddress) -> bytes:
        if self.kind is AddressKind.LOCAL:
            return self.structure.pack(source, destination)
        (host, port), (our_host, our_port) = cast(_Pairs, (source, destination))
        packed = (socket.inet_pton(self._family, each) for each in (host, our_host))
        return self.structure.pack(*packed, port, our_port)


_Pairs = tuple[tuple[str, int], tuple[str, int]]

_LAYOUTS: Final = {
    0x1: _Layout(AddressKind.IPV4, struct.Struct("!4s4sHH")),
    0x2: _Layout(AddressKind.IPV6, struct.Struct("!16s16sHH")),
    0x3: _Layout(AddressKind.LOCAL, struct.Struct("!108s108s")),
}
"""By the upper four bits of byte 13."""

_NUMBERS: Final = {layout.kind: number for number, layout in _LAYOUTS.items()}
_STREAM: Final = 0x1
_DATAGRAM: Final = 0x2


def read(received: bytes) -> tuple[ProxyHeader, int] | None:
    """Read a header.

    Args:
        received: All bytes so far; they begin with `SIGNATURE`, or are its beginning.

    Returns:
        The header and how many bytes it has, or None while it is not complete.

    Raises:
        InvalidProxyHeader: It is wrong, or longer than `MOST`.
    """
    if len(received) < _BEGIN.size:
        return None
    _, command, family, length = _BEGIN.unpack_from(received)
    if command not in (_LOCAL, _PROXY):
        raise InvalidProxyHeader(f"its version and command are 0x{command:02x}")
    if length > MOST:
        raise InvalidProxyHeader(f"it has {length} bytes, and {MOST} are accepted")
    size = _BEGIN.size + length
    if len(received) < size:
        return None
    if command == _LOCAL:
        # The rest must be ignored, whatever it is.
        return ProxyHeader(2, is_local=True), size
    return _proxied(received[:size], family), size


def _proxied(header: bytes, family: int) -> ProxyHeader:
    source: ProxiedAddress | None = None
    destination: ProxiedAddress | None = None
    end = _BEGIN.size
    if family != _UNSPECIFIED:
        layout, transport = _LAYOUTS.get(family >> 4), family & 0xF
        if layout is None or transport not in (_STREAM, _DATAGRAM):
            raise InvalidProxyHeader(f"its kind of address is 0x{family:02x}")
        end += layout.structure.size
        if len(header) < end:
            raise InvalidProxyHeader("its addresses are cut off")
        source, destination = layout.read(header[_BEGIN.size : end])
    return ProxyHeader(
        2,
        source,
        destination,
        is_datagram=family & 0xF == _DATAGRAM,
        tlvs=_checked_tlvs(header, end),
    )


def _checked_tlvs(header: bytes, place: int) -> TLVs:
    """The TLVs of a header, without checksum and padding.

    Args:
        header: All of it.
        place: Where the TLVs begin.
    """
    tlvs = read_tlvs(header[place:])
    refuse_twice(tlvs, TLV.ONCE)
    checksum = value_of(tlvs, TLV.CRC32C)
    if checksum is not None:
        _verify(header, place, tlvs, checksum)
    if len(value_of(tlvs, TLV.UNIQUE_ID) or b"") > _MAX_ID:
        raise InvalidProxyHeader(f"its unique id has more than {_MAX_ID} bytes")
    ssl = value_of(tlvs, TLV.SSL)
    if ssl is not None:
        ProxiedTLS.from_bytes(ssl)
    return tuple(each for each in tlvs if each[0] not in (TLV.CRC32C, TLV.NOOP))


_MAX_ID: Final = 128


def _verify(header: bytes, place: int, tlvs: TLVs, checksum: bytes) -> None:
    """Verify the checksum, which was computed with zeros in its own place."""
    for kind, value in tlvs:
        place += 3
        if kind == TLV.CRC32C:
            break
        place += len(value)
    cleared = header[:place] + bytes(len(checksum)) + header[place + len(checksum) :]
    if crc32c(cleared).to_bytes(4, "big") != checksum:
        raise InvalidProxyHeader("its checksum (CRC-32C) is wrong")


def write(header: ProxyHeader) -> bytes:
    """Make a header; one that is not ``LOCAL`` gets a checksum.

    Args:
        header: What it says. Two addresses of different kinds are left out.

    Raises:
        ValueError: It is longer than `MOST`.
    """
    if header.is_local:
        return _BEGIN.pack(SIGNATURE, _LOCAL, _UNSPECIFIED, 0)
    family, addresses = _UNSPECIFIED, b""
    if header.kind is not None:
        number = _NUMBERS[header.kind]
        family = number << 4 | (_DATAGRAM if header.is_datagram else _STREAM)
        addresses = _LAYOUTS[number].write(
            cast(ProxiedAddress, header.source), cast(ProxiedAddress, header.destination)
        )
    rest = b"".join(TLV.encode(kind, value) for kind, value in header.tlvs)
    length = len(addresses) + _CHECKSUM_SIZE + len(rest)
    if length > MOST:
        raise ValueError(f"a PROXY header of {length} bytes is longer than {MOST}")
    begin = _BEGIN.pack(SIGNATURE, _PROXY, family, length) + addresses
    checksum = crc32c(begin + TLV.encode(TLV.CRC32C, bytes(4)) + rest).to_bytes(4, "big")
    return begin + TLV.encode(TLV.CRC32C, checksum) + rest


_CHECKSUM_SIZE: Final = 7


def _path(padded: bytes) -> bytes:
    """The path of a local socket; an abstract name begins with NUL (unix(7))."""
    return padded.rstrip(b"\0") if padded[:1] == b"\0" else padded.partition(b"\0")[0]
