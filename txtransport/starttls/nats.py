r"""NATS: TLS behind the server's ``INFO``.

    S: INFO {"server_id":"NA…","version":"2.10.0",…,"tls_required":true}
    TLS                                 at once; the client says nothing before
    C: CONNECT {…}

``tls_available`` instead of ``tls_required`` leaves it to the client, and ours
wants it. A server with ``handshake_first`` speaks TLS from its first byte:
that is plain ``tls://``, and no dialogue.

The guest hears an ``INFO`` again, in our words, with what it needs to connect
and no more: ``nonce``, for it is signed; ``auth_required``, for some clients
send credentials only then; ``headers`` and ``max_payload``, for they bound what
it may send. Not ``connect_urls``, which would let someone in the middle name
the servers of the next connection; not ``tls_required``, for TLS is on; not
``jetstream``, which a client asks the server for, under TLS.

Our server cannot know what the application behind it will say; it promises
what NATS has by default, and asks for credentials, which go through TLS.
"""

from __future__ import annotations

import json
from typing import Any, Final

from txtransport.errors import PeerLeft, PeerMisbehaved, TLSNotOffered
from txtransport.starttls.wire import Dialogue, Wire
from txtransport.text import escape_bytes

_INFO: Final = 32768
"""Bytes of an INFO, at the most: a big cluster lists all its servers in it."""

_HEARD: Final = {
    "server_id": str,
    "version": str,
    "proto": int,
    "max_payload": int,
    "auth_required": bool,
    "nonce": str,
    "headers": bool,
}
"""What the guest hears of an INFO, if it has that type."""


def connect(wire: Wire) -> Dialogue[bytes]:
    """The client's side."""
    line = yield from wire.line(_INFO)
    verb, _, argument = line.partition(b" ")
    if verb.upper() == b"-ERR":
        raise PeerLeft(line)
    if verb.upper() != b"INFO":
        raise PeerMisbehaved(f"expected INFO, and the peer sent {escape_bytes(line)}")
    info = _object(argument)
    heard = {key: info[key] for key, kind in _HEARD.items() if type(info.get(key)) is kind}
    wire.greeting = _info(heard)
    if info.get("tls_required") is not True and info.get("tls_available") is not True:
        raise TLSNotOffered(line)
    return wire.greeting


def serve(wire: Wire) -> Dialogue[bytes]:
    """The server's side."""
    wire.accepts_early_client_hello = True
    wire.send(
        _info(
            {
                "server_id": wire.local_name,
                "version": "2.2.0",
                "proto": 1,
                "max_payload": 1048576,
                "auth_required": True,
                "headers": True,
                "tls_required": True,
            }
        )
    )
    yield from ()  # A dialogue, though there is nothing to wait for.
    return b""


def _object(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text.decode())
    except (ValueError, RecursionError) as error:
        raise PeerMisbehaved(f"an INFO holds no JSON: {escape_bytes(text)}") from error
    if not isinstance(found, dict):
        raise PeerMisbehaved(f"an INFO holds no object: {escape_bytes(text)}")
    return found


def _info(info: dict[str, Any]) -> bytes:
    return b"INFO " + json.dumps(info, separators=(",", ":")).encode("ascii") + b"\r\n"
