"""How much of what we have sent the peer's kernel has acknowledged (tcp(7), TCP_INFO)."""

from __future__ import annotations

import socket
import struct
from typing import Final

__all__ = ["acknowledged", "socket_of"]


def socket_of(transport: object) -> object:
    """The socket of a transport.

    Args:
        transport: Any transport of Twisted's.

    Returns:
        What its ``getHandle()`` gives: a socket for TCP and local sockets. None
        if it has no such method.
    """
    handle = getattr(transport, "getHandle", None)
    return None if handle is None else handle()


def acknowledged(handle: object) -> int | None:
    """How many bytes the peer's kernel has acknowledged so far.

    Args:
        handle: The connection's socket, as `socket_of` gives it.

    Returns:
        The number of bytes; None where it is not known: for anything but a TCP
        socket, and elsewhere than on Linux.

    Source: ``tcpi_bytes_acked`` of Linux's ``struct tcp_info`` (tcp(7), RFC 4898).
    """
    if _TCP_INFO is None or not isinstance(handle, socket.socket):
        return None
    try:
        info = handle.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _SIZE)
        acked: int = _ACKED.unpack(info)[0]
    except (OSError, struct.error):
        return None
    return acked


_TCP_INFO: Final[int | None] = getattr(socket, "TCP_INFO", None)
_ACKED: Final = struct.Struct("120xQ")
"""The field ``tcpi_bytes_acked``, at its offset in ``struct tcp_info``."""
_SIZE: Final = _ACKED.size
