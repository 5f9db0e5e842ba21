r"""SOCKS 5: through a proxy by binary messages (RFC 1928), perhaps with a login (RFC 1929).

    C: 05 01 00                         version; one method: 00 no login, 02 user and password
    P: 05 00                            the method that the proxy chose; FF none
    C: 01 04 user 02 pw                 with method 02
    P: 01 00                            00 is a success
    C: 05 01 00 03 10 mail.example.com 01 d1        CONNECT to a name and a port
    P: 05 00 00 01 c0 00 02 07 0f a0    00 is a success; the address is the proxy's own
    the bytes of mail.example.com:465

Whether a name is looked up here (``socks5``) or by the proxy (``socks5h``) is decided by
what is asked for: an address (types 01 and 04) or a name (03).

**One method is offered.** A client with a user offers only the login. A proxy that takes
anyone, or someone between who plays one, thus cannot have the client forget who it is:
Tor, for one, keeps the circuits of its users apart by their names.

**The address in the last answer is not believed.** It says from where the proxy has
connected, mostly 0.0.0.0, and may hold anything. It is read since the bytes behind it are
those of the target, and it is used for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from txtransport.errors import PeerMisbehaved, ProxyRefused
from txtransport.proxy.target import Credentials, Target
from txtransport.starttls.wire import Dialogue, Wire
from txtransport.text import escape_bytes

__all__ = ["LONGEST", "SUCCEEDED", "answer", "connect", "request", "serve"]

LONGEST: Final = 255
"""The most bytes that a name, a user or a password may have: one byte has their length."""

SUCCEEDED: Final = 0
"""The reply of a proxy that has connected."""

_VERSION: Final = 5
_LOGIN_VERSION: Final = 1
_NO_LOGIN: Final = 0
_LOGIN: Final = 2
_NO_METHOD: Final = 0xFF
_CONNECT: Final = 1
_IPV4: Final = 1
_NAME: Final = 3
_IPV6: Final = 4
_SIZES: Final = {_IPV4: 4, _IPV6: 16}


def connect(wire: Wire, target: Target, credentials: Credentials | None = None) -> Dialogue[bytes]:
    """The client's side.

    Args:
        wire: The connection to the proxy.
        target: What the proxy is to connect to; it looks a name up itself.
        credentials: As whom it is asked, each of 1 to 255 bytes of UTF-8; or None.

    Raises:
        ProxyRefused: The proxy will not, or cannot.
        PeerMisbehaved: It does not speak SOCKS 5, or not as the RFC has it.
    """
    method = _NO_LOGIN if credentials is None else _LOGIN
    wire.ask(bytes((_VERSION, 1, method)))
    chosen = yield from _code(wire, _VERSION)
    if chosen == _NO_METHOD:
        raise ProxyRefused("SOCKS method", _NO_METHOD)
    if chosen != method:
        raise PeerMisbehaved(f"the proxy chose login method {chosen}, and {method} was offered")
    if credentials is not None:
        wire.ask(
            bytes((_LOGIN_VERSION,))
            + _counted(credentials.user.encode())
            + _counted(credentials.password.encode())
        )
        status = yield from _code(wire, _LOGIN_VERSION)
        if status != SUCCEEDED:
            raise ProxyRefused("SOCKS login", status)
    wire.ask(bytes((_VERSION, _CONNECT, 0)) + _encoded(target))
    # What follows a refusal is not waited for: some proxies leave it out.
    reply = yield from _code(wire, _VERSION)
    if reply != SUCCEEDED:
        raise ProxyRefused("SOCKS reply", reply)
    yield from wire.exactly(1)
    yield from _address(wire)
    return b""


def _code(wire: Wire, version: int) -> Dialogue[int]:
    """Wait for a version and the code behind it."""
    found = yield from wire.exactly(2)
    if found[0] != version:
        seen = escape_bytes(found + bytes(wire.received))
        raise PeerMisbehaved(f"expected an answer of SOCKS 5, and got {seen}")
    return found[1]


def _address(wire: Wire) -> Dialogue[Target]:
    """Wait for a type, an address of this type, and a port."""
    (kind,) = yield from wire.exactly(1)
    if kind == _NAME:
        (size,) = yield from wire.exactly(1)
    elif kind in _SIZES:
        size = _SIZES[kind]
    else:
        raise PeerMisbehaved(f"there is no type {kind} of addresses in SOCKS 5")
    host = yield from wire.exactly(size)
    port = int.from_bytes((yield from wire.exactly(2)), "big")
    if kind == _NAME:
        return Target(host.decode("ascii", "backslashreplace"), port)
    return Target(str((IPv4Address if kind == _IPV4 else IPv6Address)(host)), port)


def _encoded(target: Target) -> bytes:
    address = target.address
    port = target.port.to_bytes(2, "big")
    if address is None:
        return bytes((_NAME,)) + _counted(target.host.encode("ascii")) + port
    kind = _IPV4 if isinstance(address, IPv4Address) else _IPV6
    return bytes((kind,)) + address.packed + port


def _counted(text: bytes) -> bytes:
    return bytes((len(text),)) + text


# --- the proxy's side ---------------------------------------------------------------


def request(wire: Wire, users: Mapping[str, str] | None = None) -> Dialogue[Target]:
    """The proxy's side up to the request; what is answered is the caller's to say.

    Args:
        wire: The connection to the client.
        users: The password of each user; None for a proxy that asks nobody.

    Returns:
        What the client wants to be connected to.

    Raises:
        PeerMisbehaved: The client is told why, where SOCKS has a code for it.
    """
    count = yield from _code(wire, _VERSION)
    methods = yield from wire.exactly(count)
    wanted = _NO_LOGIN if users is None else _LOGIN
    if wanted not in methods:
        wire.send(bytes((_VERSION, _NO_METHOD)))
        raise PeerMisbehaved(f"the client does not offer login method {wanted}")
    wire.send(bytes((_VERSION, wanted)))
    if users is not None:
        yield from _log_in(wire, users)
    command = yield from _code(wire, _VERSION)
    yield from wire.exactly(1)
    target = yield from _address(wire)
    if command != _CONNECT:
        wire.send(answer(7))
        raise PeerMisbehaved(f"the client sent command {command}, and there is CONNECT alone")
    return target


def _log_in(wire: Wire, users: Mapping[str, str]) -> Dialogue[None]:
    size = yield from _code(wire, _LOGIN_VERSION)
    user = yield from wire.exactly(size)
    (size,) = yield from wire.exactly(1)
    password = yield from wire.exactly(size)
    if (user, password) not in [(name.encode(), word.encode()) for name, word in users.items()]:
        wire.send(bytes((_LOGIN_VERSION, 1)))
        raise PeerMisbehaved("the client is none of the users")
    wire.send(bytes((_LOGIN_VERSION, SUCCEEDED)))


def answer(reply: int) -> bytes:
    """The answer of a proxy to a request.

    Args:
        reply: `SUCCEEDED`, or why not (RFC 1928, section 6).
    """
    return bytes((_VERSION, reply, 0)) + _encoded(Target("0.0.0.0", 0))


def serve(wire: Wire) -> Dialogue[bytes]:
    """The proxy's side, for a client that need not log in, and a target that can be reached.

    Returns:
        The target, as ``host:port``.
    """
    target = yield from request(wire)
    wire.send(answer(SUCCEEDED))
    return str(target).encode("utf-8")
