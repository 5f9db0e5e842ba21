"""What the kernel tells of a TCP connection: how much of what we sent has arrived (tcp(7))."""

from __future__ import annotations

import socket
import struct
from typing import Final


def socket_of(transport: object) -> object:
    """What the system knows a transport by, or None when it has no such thing."""
    handle = getattr(transport, "getHandle", None)
    return None if handle is None else handle()


def acknowledged(handle: object) -> int | None:
    """How many bytes the peer's kernel has taken so far, or None where that is not known.

    Args:
        handle: What the system knows the connection by.

    Source: ``tcpi_bytes_acked`` of Linux's ``struct tcp_info`` (tcp(7), RFC 4898).
    """
    return _tcp_info(handle, _ACKED)


def is_draining(handle: object) -> bool:
    """Whether some of what was written is still on its way to the peer's kernel.

    Args:
        handle: What the system knows the connection by.

    Source: ``tcpi_unacked`` (packets) and ``tcpi_notsent_bytes`` of the same.
    """
    return bool(_tcp_info(handle, _UNACKED) or _tcp_info(handle, _UNSENT))


def _tcp_info(handle: object, field: struct.Struct) -> int | None:
    if not isinstance(handle, socket.socket) or not hasattr(socket, "TCP_INFO"):
        return None
    try:
        info = handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, field.size)
        return int(field.unpack(info)[0])
    except (OSError, struct.error):
        return None


# Where the numbers stand in struct tcp_info.
_UNACKED: Final = struct.Struct("24xI")


_ACKED: Final = struct.Struct("120xQ")


_UNSENT: Final = struct.Struct("144xI")
