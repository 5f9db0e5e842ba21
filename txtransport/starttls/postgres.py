"""PostgreSQL: SSLRequest (protocol 3.0, "SSL Session Encryption").

    C: 00 00 00 08 04 d2 16 2f          SSLRequest
    S: S                                or N, which is a refusal
    TLS
    C: StartupMessage

The answer is one byte, the last one in plaintext. A client may first ask for
GSSAPI encryption (``04 d2 16 30``); our server answers N. Since PostgreSQL 17 the
ClientHello may come together with the request, or instead of it
(``sslnegotiation=direct``). The application's protocol receives nothing: a client
sends first.
"""

from __future__ import annotations

from typing import Final

from txtransport.errors import PeerLeft, PeerMisbehaved, TLSRefused
from txtransport.starttls.tls_record import begins_handshake
from txtransport.starttls.wire import Dialogue, Wire
from txtransport.text import escape_bytes

__all__ = ["connect", "serve"]

_SSL_REQUEST: Final = bytes.fromhex("00000008 04d2162f")
_GSS_REQUEST: Final = bytes.fromhex("00000008 04d21630")
_CANCEL_REQUEST: Final = bytes.fromhex("00000010 04d2162e")
_MAX_REQUESTS: Final = 4
"""The most requests of a client, the one for TLS among them."""

_ERROR_FIELDS: Final = b"SFATAL\0VFATAL\0C28000\0Mconnection requires SSL\0\0"


def connect(wire: Wire) -> Dialogue[bytes]:
    """The client's side."""
    wire.ask(_SSL_REQUEST)
    answer = yield from wire.exactly(1)
    if answer == b"N":
        raise TLSRefused("N", b"the server has no TLS, or not for this client")
    if answer == b"E":
        # An ErrorResponse. Its text is not shown: anyone may have sent it
        # (CVE-2024-10977).
        raise PeerLeft(answer)
    if answer != b"S":
        raise PeerMisbehaved(f"expected S or N, and the peer sent {escape_bytes(answer)}")
    return b""


def serve(wire: Wire) -> Dialogue[bytes]:
    """The server's side."""
    wire.accepts_early_client_hello = True
    yield from wire.wait_for_data()
    if begins_handshake(wire.received[:1]):
        return b""
    for _ in range(_MAX_REQUESTS):
        request = yield from wire.exactly(8)
        if request == _SSL_REQUEST:
            wire.send(b"S")
            return b""
        if request == _CANCEL_REQUEST:
            raise PeerLeft()
        if request != _GSS_REQUEST:
            break
        wire.send(b"N")
    wire.send(b"E" + (len(_ERROR_FIELDS) + 4).to_bytes(4, "big") + _ERROR_FIELDS)
    raise PeerMisbehaved("the client did not ask for TLS (sslmode=require does)")
