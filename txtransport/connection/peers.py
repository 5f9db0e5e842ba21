"""How the peer of a connection is written in messages and in the log."""

from __future__ import annotations

import os

from txtransport.config.host import host_in_url
from txtransport.config.url import TransportURL

__all__ = ["describe_address", "location_of"]


def describe_address(address: object) -> str:
    """An address of Twisted's in a few words: ``192.0.2.1:4040``, ``a local socket``.

    Args:
        address: The peer's address, of any kind, or None.
    """
    host, port = getattr(address, "host", None), getattr(address, "port", None)
    return f"{host_in_url(host)}:{port}" if isinstance(host, str) and host else "a local socket"


def location_of(address: object) -> str:
    """The URL of a peer's address: ``tcp://192.0.2.1:4040``, ``unix:///run/x``.

    Args:
        address: The peer's address. A client of a local socket has no name, and gives
            ``unix://…``.
    """
    host, port = getattr(address, "host", None), getattr(address, "port", None)
    if isinstance(host, str) and host:
        return TransportURL("tcp", host, port).location
    name = getattr(address, "name", None)
    if not name:
        return "unix://…"
    path = os.fsdecode(name)
    return TransportURL("unix", path=f"@{path[1:]}" if path.startswith("\0") else path).location
