"""Version 1 of the PROXY protocol: one line of text.

::

    PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\\r\\n
    PROXY UNKNOWN\\r\\n

Source: proxy-protocol.txt, section 2.1.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from typing import Final, cast

from txtransport.errors import InvalidProxyHeader
from txtransport.proxy.proxy_protocol.header import AddressKind, ProxyHeader
from txtransport.text import escape_bytes

__all__ = ["SIGNATURE", "read", "write"]

SIGNATURE: Final = b"PROXY "

_LINE: Final = 107
"""The most bytes of a line with its end; the longest that is right has 104."""

_PORT: Final = rb" (0|[1-9][0-9]{0,4})"
_ADDRESSES: Final = re.compile(
    rb"PROXY TCP([46]) ([0-9a-fA-F.:]+) ([0-9a-fA-F.:]+)" + _PORT + _PORT
).fullmatch


def read(received: bytes) -> tuple[ProxyHeader, int] | None:
    """Read a line.

    Args:
        received: All bytes so far; they begin with `SIGNATURE`, or are its beginning.

    Returns:
        The header and how many bytes it has, or None while it is not complete.

    Raises:
        InvalidProxyHeader: It is wrong.
    """
    end = received.find(b"\r\n", 0, _LINE)
    if end < 0:
        # An end that is no CR LF is none: another program might read on.
        if len(received) >= _LINE or b"\n" in received:
            raise InvalidProxyHeader(f"its line does not end with CR LF within {_LINE} bytes")
        return None
    line = received[:end]
    # What follows UNKNOWN is to be ignored.
    if re.match(rb"PROXY UNKNOWN(?: |\Z)", line):
        return ProxyHeader(1, is_local=True), end + 2
    return _addresses(line), end + 2


def _addresses(line: bytes) -> ProxyHeader:
    match = _ADDRESSES(line)
    if match is None:
        raise InvalidProxyHeader(f"its line is wrong: {escape_bytes(line, 107)}")
    family, source, destination, source_port, destination_port = match.groups()
    return ProxyHeader(
        1, _address(family, source, source_port), _address(family, destination, destination_port)
    )


def _address(family: bytes, host: bytes, port: bytes) -> tuple[str, int]:
    text = host.decode()
    try:
        if family == b"4":
            written = str(ipaddress.IPv4Address(text))
        else:
            # As the system writes addresses, and not as this Python does.
            written = socket.inet_ntop(socket.AF_INET6, ipaddress.IPv6Address(text).packed)
    except ValueError:
        raise InvalidProxyHeader(f"{text[:45]} is no address of TCP{family.decode()}") from None
    if int(port) > 65535:
        raise InvalidProxyHeader(f"{port.decode()} is no port")
    return written, int(port)


def write(header: ProxyHeader) -> bytes:
    """Make the line of a header.

    Args:
        header: Of what it says, a line can only tell two addresses of TCP.
    """
    source, destination = header.source, header.destination
    family = None if header.kind is None else _NAMES.get(header.kind)
    if header.is_local or family is None:
        return b"PROXY UNKNOWN\r\n"
    (host, port), (our_host, our_port) = cast(_Pair, source), cast(_Pair, destination)
    return f"PROXY {family} {host} {our_host} {port} {our_port}\r\n".encode("ascii")


_NAMES: Final = {AddressKind.IPV4: "TCP4", AddressKind.IPV6: "TCP6"}
_Pair = tuple[str, int]
