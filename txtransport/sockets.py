"""Socket options to sockets: what to set, and sockets on which it is set."""

from __future__ import annotations

import errno
import socket
import struct
from typing import Any, Final

from attrs import frozen

from txtransport.options import SocketOptions

Setting = tuple[int, int, int | bytes]
"""Level, option and value, as ``socket.setsockopt`` takes them."""

_ROWS: Final = (
    ("so_rcvbuf", socket.SOL_SOCKET, socket.SO_RCVBUF),
    ("so_sndbuf", socket.SOL_SOCKET, socket.SO_SNDBUF),
    ("so_keepalive", socket.SOL_SOCKET, socket.SO_KEEPALIVE),
    ("so_broadcast", socket.SOL_SOCKET, socket.SO_BROADCAST),
    ("tcp_nodelay", socket.IPPROTO_TCP, socket.TCP_NODELAY),
    # Not every system has these under the same names.
    ("tcp_keepidle", socket.IPPROTO_TCP, getattr(socket, "TCP_KEEPIDLE", None)),
    ("tcp_keepintvl", socket.IPPROTO_TCP, getattr(socket, "TCP_KEEPINTVL", None)),
    ("tcp_keepcnt", socket.IPPROTO_TCP, getattr(socket, "TCP_KEEPCNT", None)),
)


def settings(options: SocketOptions, kind: socket.SocketKind) -> tuple[Setting, ...]:
    """What to set on a socket.

    Args:
        options: As read from the URL.
        kind: ``SOCK_STREAM`` or ``SOCK_DGRAM``, which has nothing of TCP.
    """
    found: list[Setting] = []
    for name, level, number in _ROWS:
        wanted = getattr(options, name)
        is_there = level == socket.SOL_SOCKET or kind is socket.SOCK_STREAM
        if wanted and number is not None and is_there:
            found.append((level, number, int(wanted)))
    if options.so_linger is not None:
        found.append((socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, options.so_linger)))
    return tuple(found)


@frozen
class Tuner:
    """Sets the options of a transport's socket.

    Attributes:
        settings: What to set.
    """

    settings: tuple[Setting, ...]

    def __call__(self, transport: Any) -> None:
        """Set them on the socket of `transport`, if it has one.

        Raises:
            OSError: The system refuses; the connection must not be used.
        """
        handle = transport.getHandle()
        if isinstance(handle, socket.socket):
            apply(handle, self.settings)


def apply(handle: socket.socket, wanted: tuple[Setting, ...]) -> None:
    """Set options on a socket.

    Raises:
        OSError: The system refuses one of them.
    """
    for level, number, value in wanted:
        handle.setsockopt(level, number, value)


def bound(host: str, port: int, kind: socket.SocketKind, options: SocketOptions) -> socket.socket:
    """A socket that is bound to an address, and not listening yet.

    Args:
        host: An address, without brackets, or ``*`` for every one.
        port: 0 to 65535, 0 being any.
        kind: ``SOCK_STREAM`` or ``SOCK_DGRAM``.
        options: Are set before it is bound, since some must be.

    Raises:
        OSError: It cannot be had.
    """
    if host != "*":
        return _bound(host, port, kind, options, options.ipv6_v6only)
    try:
        return _bound("::", port, kind, options, bool(options.ipv6_v6only))
    except OSError as problem:
        # A machine without IPv6 has IPv4 only; any other trouble, such as a
        # port in use, is no reason to listen on half.
        if problem.errno not in _NO_IPV6 or options.ipv6_v6only:
            raise
    return _bound("0.0.0.0", port, kind, options, None)


# IPv6 is not built in, or switched off.
_NO_IPV6: Final = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL})


def _bound(
    host: str, port: int, kind: socket.SocketKind, options: SocketOptions, only: bool | None
) -> socket.socket:
    # Resolves a zone's name to its number; no look-up is made for a literal.
    found = socket.getaddrinfo(host, port, type=kind, flags=socket.AI_NUMERICHOST)
    family, *_, place = found[0]
    made = socket.socket(family, kind)
    try:
        made.setblocking(False)
        if kind is socket.SOCK_STREAM:
            # A port that was just closed can be had again at once.
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if options.so_reuseport:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6 and only is not None:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(only))
        apply(made, settings(options, kind))
        made.bind(place)
    except BaseException:
        made.close()
        raise
    return made


def acknowledged(handle: object) -> int | None:
    """How many bytes the peer's kernel has taken so far, or None where that is not known.

    Args:
        handle: What a transport's ``getHandle()`` gives.

    Source: ``tcpi_bytes_acked`` of Linux's ``struct tcp_info`` (tcp(7), RFC 4898).
    """
    if not isinstance(handle, socket.socket) or not hasattr(socket, "TCP_INFO"):
        return None
    try:
        info = handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _ACKED.size)
        return int(_ACKED.unpack(info)[0])
    except (OSError, struct.error):
        return None


_ACKED: Final = struct.Struct("120xQ")
