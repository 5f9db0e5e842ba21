r"""NATS: TLS after the server's ``INFO``.

    S: INFO {"server_id":"NA…","version":"2.10.0",…,"tls_required":true}
    TLS                                 at once; the client sends nothing before
    C: CONNECT {…}

With ``tls_available`` instead of ``tls_required`` the client decides, and ours
starts TLS. A server with ``handshake_first`` speaks TLS from its first byte:
that is ``tls://`` without a dialogue.

The application's protocol of a client receives an ``INFO`` that is made here,
with only the keys that it needs to connect: ``nonce``, which the client signs;
``auth_required``, because some clients send credentials only then; ``headers``
and ``max_payload``, which limit what the client may send. ``connect_urls`` is left
out, because someone on the path could name the servers of the next connection in
it; ``tls_required``, because TLS is already on; ``jetstream``, because a client
asks for it under TLS.

Our server cannot know the ``INFO`` of the application behind it. It sends the
defaults of NATS, and asks for credentials, which go through TLS.
"""

from __future__ import annotations

import json
from typing import Final

from txtransport.errors import PeerLeft, PeerMisbehaved, TLSNotOffered
from txtransport.starttls.wire import Dialogue, Wire
from txtransport.text import escape_bytes

__all__ = ["connect", "serve"]

_MAX_INFO: Final = 32768
"""The most bytes of an INFO: a big cluster lists all its servers in it."""

_FORWARDED: Final = {
    "server_id": str,
    "version": str,
    "proto": int,
    "max_payload": int,
    "auth_required": bool,
    "nonce": str,
    "headers": bool,
}
"""The keys of an INFO that the application's protocol receives, if the value has this type."""


def connect(wire: Wire) -> Dialogue[bytes]:
    """The client's side; returns a greeting for the application's protocol."""
    line = yield from wire.line(_MAX_INFO)
    verb, _, argument = line.partition(b" ")
    if verb.upper() == b"-ERR":
        raise PeerLeft(line)
    if verb.upper() != b"INFO":
        raise PeerMisbehaved(f"expected INFO, and the peer sent {escape_bytes(line)}")
    info = _object(argument)
    forwarded = {key: info[key] for key, kind in _FORWARDED.items() if type(info.get(key)) is kind}
    wire.greeting = _info(forwarded)
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
    yield from ()  # This makes it a generator; there is nothing to wait for.
    return b""


def _object(text: bytes) -> dict[str, object]:
    try:
        found = json.loads(text.decode())
    except (ValueError, RecursionError) as error:
        raise PeerMisbehaved(f"an INFO holds no JSON: {escape_bytes(text)}") from error
    if not isinstance(found, dict):
        raise PeerMisbehaved(f"an INFO holds no object: {escape_bytes(text)}")
    return found


def _info(info: dict[str, object]) -> bytes:
    return b"INFO " + json.dumps(info, separators=(",", ":")).encode("ascii") + b"\r\n"
