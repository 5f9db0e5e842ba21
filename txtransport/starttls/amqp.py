"""AMQP 1.0: the header that asks for TLS (OASIS AMQP 1.0, part 5, 5.2).

    C: 41 4d 51 50 02 01 00 00          "AMQP", TLS, version 1.0.0
    S: 41 4d 51 50 02 01 00 00          or the header that the server prefers
    TLS
    C: 41 4d 51 50 03 01 00 00          "AMQP", SASL

AMQP 0-9-1 has no upgrade: its servers answer with ``00 00 09 01``, and close the
connection. The application's protocol receives nothing: a client sends first.
"""

from __future__ import annotations

from typing import Final

from txtransport.errors import PeerMisbehaved, TLSRefused
from txtransport.starttls.wire import Dialogue, Wire
from txtransport.text import escape_bytes

__all__ = ["connect", "serve"]

_TLS: Final = b"AMQP\x02\x01\x00\x00"


def connect(wire: Wire) -> Dialogue[bytes]:
    """The client's side."""
    wire.ask(_TLS)
    answer = yield from wire.exactly(len(_TLS))
    if not answer.startswith(b"AMQP"):
        raise PeerMisbehaved(f"expected a header of AMQP, and the peer sent {escape_bytes(answer)}")
    if answer != _TLS:
        protocol, *version = answer[4:]
        raise TLSRefused(f"protocol {protocol}, version {'.'.join(map(str, version))}", answer)
    return b""


def serve(wire: Wire) -> Dialogue[bytes]:
    """The server's side."""
    header = yield from wire.exactly(len(_TLS))
    wire.send(_TLS)
    if header != _TLS:
        # The server sends the header that it supports, and closes (part 2, 2.2).
        raise PeerMisbehaved(f"the client did not ask for TLS, and sent {escape_bytes(header)}")
    return b""
