"""The PROXY header that a client sends for a connection that it passes on."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address
from typing import Final, cast

from twisted.internet.address import UNIXAddress

from txtransport.config.address import find_peer_address
from txtransport.connection.proxy_header import proxy_header_of
from txtransport.connection.twisted_types import TCPTransport
from txtransport.errors import InvalidOption
from txtransport.proxy.proxy_protocol.header import ProxiedAddress, ProxyHeader
from txtransport.proxy.proxy_protocol.reader import write_header
from txtransport.proxy.proxy_protocol.tlv import TLV, TLVs
from txtransport.text import short_repr
from txtransport.tls.proxied_session import session_tlvs
from txtransport.tls.session import session_of

__all__ = ["header_to_send"]

_NUMBERS: Final = {"v1": 1, "v2": 2}


def header_to_send(version: str | None, proxied_for: object) -> bytes:
    """The header with which a client's connections begin.

    Args:
        version: ``v1`` or ``v2``, as ``send_proxy`` has it; None if it is not given.
        proxied_for: The transport whose connection is passed on; None if the connections
            are our own, which the header then says (``LOCAL``, or ``UNKNOWN``).

    Raises:
        InvalidOption: There is a transport and no version; it is no transport, or is
            closed; or the header is too long.
    """
    if version is None:
        raise InvalidOption(
            "proxied_for", "proxied_for needs send_proxy, without which it does nothing"
        )
    number = _NUMBERS[version]
    if proxied_for is None:
        return write_header(ProxyHeader(number, is_local=True))
    try:
        return write_header(_header_for(number, cast(TCPTransport, proxied_for)))
    except (AttributeError, OSError, ValueError, OverflowError) as problem:
        raise InvalidOption(
            "proxied_for",
            f"proxied_for takes the open transport of a connection to us, not "
            f"{short_repr(proxied_for)}: {short_repr(problem)}",
        ) from problem


def _header_for(number: int, transport: TCPTransport) -> ProxyHeader:
    before = proxy_header_of(transport)
    if before is None:
        source, destination = _of_one_kind(_told(transport.getPeer()), _told(transport.getHost()))
        before = ProxyHeader(number, source, destination)
    return ProxyHeader(
        number,
        before.source,
        before.destination,
        is_local=before.is_local,
        is_datagram=before.is_datagram,
        tlvs=_tlvs(before, transport),
    )


def _tlvs(before: ProxyHeader, transport: TCPTransport) -> TLVs:
    """What was told of the connection when it came to us, and what our TLS adds.

    Where it was told of the client's TLS, that ended before us, and ours was with a balancer.
    """
    told = {kind for kind, _ in before.tlvs}
    session = session_of(transport)
    if session is None or TLV.SSL in told:
        return before.tlvs
    ours = (each for each in session_tlvs(session) if each[0] not in told)
    return (*before.tlvs, *ours)


def _told(address: object) -> ProxiedAddress | None:
    if isinstance(address, UNIXAddress):
        return address.name or b""
    host, port = getattr(address, "host", None), getattr(address, "port", None)
    return (host, port) if isinstance(host, str) and isinstance(port, int) else None


def _of_one_kind(
    source: ProxiedAddress | None, destination: ProxiedAddress | None
) -> tuple[ProxiedAddress | None, ProxiedAddress | None]:
    """Both addresses as IPv4 where they stand for that, else both as IPv6."""
    if not isinstance(source, tuple) or not isinstance(destination, tuple):
        return source, destination
    hosts = [_address(host) for host, _ in (source, destination)]
    if not all(isinstance(host, IPv4Address) for host in hosts):
        hosts = [_mapped(host) for host in hosts]
    one, other = map(_written, hosts)
    return (one, source[1]), (other, destination[1])


def _address(host: str) -> IPv4Address | IPv6Address:
    address = find_peer_address(host)
    if address is None:
        raise ValueError(host)
    return address


def _mapped(address: IPv4Address | IPv6Address) -> IPv6Address:
    if isinstance(address, IPv6Address):
        return address
    return IPv6Address(b"\0" * 10 + b"\xff\xff" + address.packed)


def _written(address: IPv4Address | IPv6Address) -> str:
    family = socket.AF_INET if isinstance(address, IPv4Address) else socket.AF_INET6
    return socket.inet_ntop(family, address.packed)
