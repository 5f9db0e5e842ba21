"""Asks a port that is silent in the clear whether it speaks TLS: one connection, one ClientHello.

A server of TLS waits for the client, and so do many others. What a ClientHello is
answered with tells them apart: a server of TLS sends its own hello or an alert, HTTP and
Redis an error in plain text, and the rest nothing.

Nothing is said beyond the ClientHello: the handshake is not finished, no certificate is
asked about, and none of ours is shown. So nothing here is verified and nothing need be.
"""

from __future__ import annotations

from typing import Final

from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectingCancelledError
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint

from txtransport.cli.probe.protocol import connect_protocol
from txtransport.tls.in_memory import client_hello

__all__ = ["answer_to_hello"]

_ENOUGH: Final = 7
"""Bytes that tell what the answer is: an alert is no longer."""


async def answer_to_hello(
    endpoint: IStreamClientEndpoint, clock: IReactorTime, name: str, seconds: float
) -> bytes | None:
    """Connect, send a ClientHello, and wait for the first bytes of an answer.

    Args:
        endpoint: Connects in the clear, within the same time.
        clock: Keeps time.
        name: The peer's name or address, for SNI.
        seconds: How long it may take.

    Returns:
        The first bytes, 256 at the most, or nothing if the peer sent none; None if
        there was no connection.
    """
    hello = client_hello(name)
    ends_at = clock.seconds() + seconds
    try:
        protocol = await connect_protocol(endpoint, clock, hello, _ENOUGH)
    except (CancelledError, ConnectingCancelledError):
        raise
    except Exception:
        # The report is about the first connection, which was made.
        return None
    try:
        await protocol.first_byte(max(0.0, ends_at - clock.seconds()))
        return protocol.data
    finally:
        await protocol.disconnect()
