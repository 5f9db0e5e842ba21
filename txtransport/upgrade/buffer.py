"""The clear bytes that have arrived and that the parser has not received yet.

`InputBuffer` decides when the parser receives its next unit, and keeps the rest
where `txtransport.upgrade.switch` can see it; that module's docstring explains
the reason. Where a unit ends is decided in `txtransport.upgrade.framing`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from attrs import define, field

from txtransport.connection.twisted_types import TCPTransport
from txtransport.upgrade.framing import Held

__all__ = ["MAX_HELD", "InputBuffer"]

MAX_HELD: Final = 2**20
"""How many bytes may wait, for the end of a unit or for the parser; more end the connection."""


@define(eq=False)
class InputBuffer:
    """The input of one connection, on its way to the protocol's parser.

    Attributes:
        transport: The protocol's transport; paused by `hold`, and asked whether
            the connection is closing.
        deliver: The parser's ``dataReceived``.
        next_unit: Says how many of the bytes held the parser may receive next;
            0 means that its next unit is not complete yet.
        is_paused: Says whether the parser wants no input for the moment.
        is_open: Whether this buffer still delivers to the parser.
    """

    transport: TCPTransport
    deliver: Callable[[bytes], object]
    next_unit: Callable[[Held], int]
    is_paused: Callable[[], bool]
    is_open: bool = True
    _held: bytearray = field(factory=bytearray)
    _is_holding: bool = False
    _is_delivering: bool = False

    def add(self, data: bytes) -> None:
        """Deliver what is complete after these bytes, and keep the rest.

        Args:
            data: From the peer, or given back by the parser while it handles a
                unit.
        """
        # A parser gives bytes back when it leaves a raw mode: they follow the
        # raw data, and so are older than what is held here.
        place = 0 if self._is_delivering else len(self._held)
        self._held[place:place] = data
        if self._is_holding:
            # A parser resumes the transport when it resumes itself.
            self.transport.pauseProducing()
        self.deliver_units()

    def deliver_units(self) -> None:
        """Deliver complete units, one at a time, as long as the parser wants input."""
        # The parser's handling of one unit may call this method again.
        if self._is_delivering:
            return
        self._is_delivering = True
        try:
            while self._held and self._is_wanted:
                size = self.next_unit(self._held)
                if not 0 < size <= len(self._held):
                    break
                unit = bytes(self._held[:size])
                del self._held[:size]
                self.deliver(unit)
        finally:
            self._is_delivering = False
        if self.transport.disconnecting or not self.is_open:
            self._held.clear()

    def hold(self) -> None:
        """Deliver nothing until `release`, and pause the transport."""
        if self.is_open and not self._is_holding:
            self._is_holding = True
            self.transport.pauseProducing()

    def release(self) -> None:
        """Deliver again after `hold`."""
        if self._is_holding:
            self._is_holding = False
            if not self.is_paused():
                self.transport.resumeProducing()
            self.deliver_units()

    def close(self) -> bytes:
        """Deliver nothing from now on.

        Returns:
            The bytes that the parser has not received.
        """
        self.is_open = self._is_holding = False
        left = bytes(self._held)
        self._held.clear()
        return left

    @property
    def is_overfull(self) -> bool:
        """Whether more than `MAX_HELD` bytes wait."""
        return len(self._held) > MAX_HELD

    @property
    def _is_wanted(self) -> bool:
        return (
            self.is_open
            and not self._is_holding
            and not self.is_paused()
            and not self.transport.disconnecting
        )
