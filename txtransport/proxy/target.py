"""Where a proxy is asked to connect to, and as whom it is asked."""

from __future__ import annotations

import ipaddress
from ipaddress import IPv4Address, IPv6Address

from attrs import field, frozen

__all__ = ["Credentials", "Target"]


@frozen
class Target:
    """What a proxy is asked to connect to: a server, or the next proxy.

    Attributes:
        host: A name in ASCII, of 255 bytes at the most, or an address without brackets
            and without a zone.
        port: 1 to 65535.
    """

    host: str
    port: int

    @property
    def address(self) -> IPv4Address | IPv6Address | None:
        """The host as an address; None if it is a name, which the proxy looks up."""
        try:
            return ipaddress.ip_address(self.host)
        except ValueError:
            return None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@frozen
class Credentials:
    """As whom a proxy is asked.

    Attributes:
        user: The name.
        password: The password; no ``repr`` shows it.
    """

    user: str
    password: str = field(repr=lambda password: "***")
