r"""HTTP's way through a proxy: ``CONNECT`` (RFC 9110, section 9.3.6).

    C: CONNECT mail.example.com:465 HTTP/1.1
    C: Host: mail.example.com:465
    C: Proxy-Authorization: Basic dXNlcjpwYXNzd29yZA==      with a user only (RFC 7617)
    C:
    P: HTTP/1.1 200 Connection established
    P: Via: 1.1 proxy.example.com                           ignored, as all such lines
    P:
    the bytes of mail.example.com:465

The user and the password are sent with the request, and not only when the proxy asks
for them (407): each request would otherwise need a second connection. They stand in the
request to the proxy, which does not pass it on.

An answer of 200 to 299 has no body, whatever its headers say (RFC 9110, 9.3.6). That of
a refusal is not read: the connection ends.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Final

from attrs import frozen

from txtransport.errors import PeerMisbehaved, ProxyRefused
from txtransport.proxy.target import Credentials, Target
from txtransport.starttls.wire import Dialogue, Wire
from txtransport.text import escape_bytes

__all__ = ["ESTABLISHED", "connect", "request", "serve"]

ESTABLISHED: Final = b"HTTP/1.1 200 Connection established\r\n\r\n"
"""What a proxy says when it has connected."""

_STATUS: Final = re.compile(rb"HTTP/1\.[0-9] ([1-5][0-9]{2})(?: (.*))?").fullmatch
_FIELD: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*").fullmatch
# The name of a scheme begins a field, or follows a comma, and is not that of a parameter
# (RFC 9110, section 11.6.1).
_SCHEME: Final = re.compile(rb"(?:\A|,)[ \t]*([A-Za-z][A-Za-z0-9-]{0,30})(?=[ \t,]|\Z)")
_MOST_SCHEMES: Final = 8


def connect(wire: Wire, target: Target, credentials: Credentials | None = None) -> Dialogue[bytes]:
    """The client's side.

    Args:
        wire: The connection to the proxy.
        target: What the proxy is to connect to.
        credentials: As whom it is asked, or None.

    Raises:
        ProxyRefused: The proxy will not, or cannot.
        PeerMisbehaved: It does not speak HTTP/1.
    """
    place = str(target).encode("ascii")
    lines = [b"CONNECT " + place + b" HTTP/1.1", b"Host: " + place]
    if credentials is not None:
        lines.append(b"Proxy-Authorization: Basic " + _basic(credentials))
    wire.ask(b"\r\n".join((*lines, b"", b"")))
    answer = yield from _answer(wire)
    while answer.status in _INTERIM:
        answer = yield from _answer(wire)
    if answer.status // 100 == 2:
        return b""
    if answer.status // 100 == 1:
        # 101: the proxy goes over to a protocol that nothing was said about.
        raise PeerMisbehaved(f"the proxy answered with status {answer.status}")
    raise ProxyRefused("HTTP status", answer.status, answer.reason, answer.schemes)


_INTERIM: Final = (100, 102, 103, 104)
"""What a server may say before its answer, and a client has to pass over (RFC 9110, 15.2)."""


@frozen
class _Answer:
    status: int
    reason: bytes
    schemes: tuple[str, ...]


def _answer(wire: Wire) -> Dialogue[_Answer]:
    first = yield from wire.line()
    found = _STATUS(first)
    if found is None:
        raise PeerMisbehaved(f"expected an answer of HTTP/1.1, and got {escape_bytes(first)}")
    schemes: list[bytes] = []
    for name, value in (yield from _fields(wire)):
        if name == b"proxy-authenticate":
            schemes += _SCHEME.findall(value)
    offered = tuple(scheme.decode("ascii") for scheme in schemes[:_MOST_SCHEMES])
    return _Answer(int(found[1]), found[2] or b"", offered)


def _fields(wire: Wire) -> Dialogue[list[tuple[bytes, bytes]]]:
    """Wait for the lines of a header up to the empty one; names are in lower case."""
    fields: list[tuple[bytes, bytes]] = []
    while line := (yield from wire.line()):
        if fields and line[:1] in (b" ", b"\t"):
            # An old way to go on with the line before (RFC 9112, section 5.2).
            fields[-1] = (fields[-1][0], fields[-1][1] + b" " + line.strip())
            continue
        found = _FIELD(line)
        if found is None:
            raise PeerMisbehaved(f"expected a header of HTTP, and got {escape_bytes(line)}")
        fields.append((found[1].lower(), found[2]))
    return fields


def _basic(credentials: Credentials) -> bytes:
    """User and password as RFC 7617 writes them, in UTF-8."""
    return base64.b64encode(f"{credentials.user}:{credentials.password}".encode())


# --- the proxy's side ---------------------------------------------------------------

_TARGET: Final = re.compile(rb"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]{1,255})):([0-9]{1,5})")


def request(wire: Wire, users: Mapping[str, str] | None = None) -> Dialogue[Target]:
    """The proxy's side up to the request; what is answered is the caller's to say.

    Args:
        wire: The connection to the client.
        users: The password of each user; None for a proxy that asks nobody.

    Returns:
        What the client wants to be connected to.

    Raises:
        PeerMisbehaved: The client is told why.
    """
    first = yield from wire.line()
    method, _, rest = first.partition(b" ")
    place, _, version = rest.partition(b" ")
    fields = dict((yield from _fields(wire)))
    found = _TARGET.fullmatch(place)
    if method != b"CONNECT" or version not in (b"HTTP/1.0", b"HTTP/1.1") or found is None:
        wire.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        # Its end may be part of a password.
        raise PeerMisbehaved(f"expected CONNECT, and the client began with {method[:20]!r}")
    if users is not None and not _is_known(fields.get(b"proxy-authorization", b""), users):
        wire.send(
            b"HTTP/1.1 407 Proxy Authentication Required\r\n"
            b'Proxy-Authenticate: Basic realm="proxy"\r\n\r\n'
        )
        raise PeerMisbehaved("the client is none of the users")
    return Target((found[1] or found[2]).decode("ascii"), int(found[3]))


def _is_known(login: bytes, users: Mapping[str, str]) -> bool:
    known = (_basic(Credentials(user, password)) for user, password in users.items())
    return login in [b"Basic " + each for each in known]


def serve(wire: Wire) -> Dialogue[bytes]:
    """The proxy's side, for a client that need not log in, and a target that can be reached.

    Returns:
        The target, as ``host:port``.
    """
    target = yield from request(wire)
    wire.send(ESTABLISHED)
    return str(target).encode("ascii")
