"""Whether a peer still takes what was written before a close, and for how long it may.

A close waits for the peer: for it to take what was written, and for its
close_notify. A peer on a slow line may need minutes for a large answer, so the
wait goes on while it takes data. But a peer that only pretends must not keep the
connection, its descriptor and its place under ``max_connections``.

**What counts.** Bytes that arrive are not enough. In TLS 1.3 a KeyUpdate with
``update_requested`` obliges us to answer with one (RFC 8446, 4.6.3), and OpenSSL
answers even after it has sent its close_notify. A peer that asks a hundred times
a second makes our side send, and its own system acknowledge, for as long as it
likes. So only the application's data counts. TCP delivers in order, so it is
enough to know where, among all encrypted bytes, the last data ends, and how many
bytes the peer's system has acknowledged::

    encrypted bytes, since the handshake
    |-------- acknowledged --------|
    |--------------- data ----------------|-- close_notify, KeyUpdates … --|
                                   |unsent|

When the unsent part gets no shorter, the wait is over.

**How long.** A peer that takes one byte each time makes progress, too. So the
wait is limited: one ``close_timeout`` for each 16 KiB that was unsent at the
close, and one more, for the peer's close_notify.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from txtransport.tls.connection import OutgoingBytes

__all__ = ["Delivery"]

_PART: Final = 16384
"""For each so many bytes that were unsent at the close, the wait may go on once."""

_SMALL_ANSWER: Final = 4096
"""The most bytes of a last small answer, which the peer's system always has space for."""


class Delivery:
    """Judges, each time that ``close_timeout`` has passed, whether the close may wait on.

    Made when the handshake is complete. By then the peer has answered, and its
    system acknowledged, all that was handed to the transport before.

    Args:
        outgoing: Counts the encrypted bytes.
        acknowledged: Returns how many bytes the peer's system has acknowledged,
            or None where that is not known.
    """

    __slots__ = ("_acknowledged", "_before", "_begin", "_first", "_outgoing", "_waits")

    def __init__(self, outgoing: OutgoingBytes, acknowledged: Callable[[], int | None]) -> None:
        self._outgoing = outgoing
        self._acknowledged = acknowledged
        self._first = (acknowledged() or 0) - outgoing.total
        self._begin: int | None = None
        self._before: int | None = None
        self._waits = 0

    def begin(self) -> None:
        """The close begins, and the first wait."""
        self._begin = self._before = self._arrived()
        self._waits = 1

    def may_wait_on(self) -> bool:
        """Whether another wait may follow the one that is over.

        Returns:
            True if the peer has taken data since it was asked last, and the most
            waits are not used up. A small answer that has arrived as a whole is
            no sign that the peer reads. False where it is not known.
        """
        before, now = self._before, self._arrived()
        if self._begin is None or before is None or now is None:
            return False
        self._before = now
        self._waits += 1
        # Data may be written after the close, by a producer that goes on.
        end = self._outgoing.end_of_data
        at_close = end - self._begin
        is_taken = now > before and (now < end or at_close > _SMALL_ANSWER)
        return is_taken and self._waits <= -(-at_close // _PART) + 1

    def _arrived(self) -> int | None:
        """Where, among the encrypted bytes, the data that the peer's system has ends."""
        now = self._acknowledged()
        return None if now is None else min(now - self._first, self._outgoing.end_of_data)
