"""PostgreSQL: SSLRequest (protocol 3.0, "SSL Session Encryption").

    C: 00 00 00 08 04 d2 16 2f          SSLRequest
    S: S                                or N, which is a refusal
    TLS
    C: StartupMessage

One byte is the whole answer, and it is the last in the clear. A server may be
asked for GSSAPI encryption first (``04 d2 16 30``) and says N to that. Since
PostgreSQL 17 the ClientHello may come together with the request, or in its
place (``sslnegotiation=direct``).
"""

from __future__ import annotations

from typing import Final

from txtransport.errors import PeerLeft, PeerMisbehaved, TLSRefused
from txtransport.starttls.wire import Dialogue, Wire
from txtransport.text import escape_bytes

_SSL: Final = bytes.fromhex("00000008 04d2162f")
_GSS: Final = bytes.fromhex("00000008 04d21630")
_CANCEL: Final = bytes.fromhex("00000010 04d2162e")
_ASKED: Final = 4
"""How often a client may ask for something else first."""

_REFUSAL: Final = b"SFATAL\0VFATAL\0C28000\0Mconnection requires SSL\0\0"


def connect(wire: Wire) -> Dialogue[bytes]:
    """The client's side."""
    wire.ask(_SSL)
    answer = yield from wire.exactly(1)
    if answer == b"N":
        raise TLSRefused("N", b"the server has no TLS, or not for this client")
    if answer == b"E":
        # An error, and then the end. Nothing of it is shown: who sent it is not
        # known (CVE-2024-10977).
        raise PeerLeft(answer)
    if answer != b"S":
        raise PeerMisbehaved(f"expected S or N, and the peer sent {escape_bytes(answer)}")
    return b""


def serve(wire: Wire) -> Dialogue[bytes]:
    """The server's side."""
    wire.accepts_early_client_hello = True
    yield from wire.wait_for_data()
    if wire.received.startswith(b"\x16"):
        return b""
    for _ in range(_ASKED):
        request = yield from wire.exactly(8)
        if request == _SSL:
            wire.send(b"S")
            return b""
        if request == _CANCEL:
            raise PeerLeft()
        if request != _GSS:
            break
        wire.send(b"N")
    wire.send(b"E" + (len(_REFUSAL) + 4).to_bytes(4, "big") + _REFUSAL)
    raise PeerMisbehaved("the client did not ask for TLS (sslmode=require does)")
