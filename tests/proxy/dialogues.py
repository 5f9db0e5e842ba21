"""The dialogues of proxies, each with what it is asked for, as the other tests need them."""

from __future__ import annotations

from functools import partial
from typing import Final

from txtransport.proxy import http_connect, socks5
from txtransport.proxy.target import Credentials, Target
from txtransport.starttls.wire import Dialogue, Speaker, Wire

TARGET: Final = Target("mail.example.com", 465)
LOGIN: Final = Credentials("user", "pass word")
USERS: Final = {"user": "pass word"}


def serve_http_users(wire: Wire) -> Dialogue[bytes]:
    """An HTTP proxy that knows one user, and connects to anything."""
    target = yield from http_connect.request(wire, USERS)
    wire.send(http_connect.ESTABLISHED)
    return str(target).encode()


def serve_socks_users(wire: Wire) -> Dialogue[bytes]:
    """A SOCKS proxy that knows one user, and connects to anything."""
    target = yield from socks5.request(wire, USERS)
    wire.send(socks5.answer(socks5.SUCCEEDED))
    return str(target).encode("utf-8")


PAIRS: Final[list[tuple[str, Speaker, Speaker]]] = [
    ("http", partial(http_connect.connect, target=TARGET), http_connect.serve),
    (
        "http with a user",
        partial(http_connect.connect, target=TARGET, credentials=LOGIN),
        serve_http_users,
    ),
    ("socks", partial(socks5.connect, target=TARGET), socks5.serve),
    (
        "socks with a user",
        partial(socks5.connect, target=TARGET, credentials=LOGIN),
        serve_socks_users,
    ),
    ("socks to IPv4", partial(socks5.connect, target=Target("192.0.2.7", 1)), socks5.serve),
    ("socks to IPv6", partial(socks5.connect, target=Target("2001:db8::7", 1)), socks5.serve),
]
"""The name of each, the client's side and the proxy's."""
