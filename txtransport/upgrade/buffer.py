"""What has arrived in the clear, on its way to a parser that gets it unit by unit.

Knows when a parser may have more, and keeps the rest in sight. Why that must
be so is `txtransport.upgrade.switch`'s to say, where a unit ends `txtransport.upgrade.framing`'s.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from attrs import define, field

from txtransport.upgrade.framing import Held

MAX_HELD: Final = 2**20
"""How many bytes of one unit are waited for, at the most."""


@define(eq=False)
class InputBuffer:
    """The bytes of one conversation that its parser has not had yet.

    Attributes:
        transport: Tells whether the conversation is being closed.
        deliver: The parser's ``dataReceived``.
        next_unit: How many bytes the parser may have next; 0 is "not yet".
        is_paused: Whether the parser wants nothing for the moment.
        is_open: Whether the parser is to get anything more from here.
    """

    transport: Any
    deliver: Callable[[bytes], object]
    next_unit: Callable[[Held], int]
    is_paused: Callable[[], bool]
    is_open: bool = True
    _held: bytearray = field(factory=bytearray)
    _is_holding: bool = False
    _is_feeding: bool = False

    def add(self, data: bytes) -> None:
        """Bytes of the peer, or of a parser that gives some back."""
        # A parser that leaves its raw mode gives back what came behind the
        # raw data, which is older than what waits here.
        place = 0 if self._is_feeding else len(self._held)
        self._held[place:place] = data
        self.deliver_units()

    def deliver_units(self) -> None:
        """Give the parser what is whole, as long as it wants it."""
        if self._is_feeding:
            return
        self._is_feeding = True
        try:
            while self._held and self._is_wanted:
                size = self.next_unit(self._held)
                if not 0 < size <= len(self._held):
                    break
                unit = bytes(self._held[:size])
                del self._held[:size]
                self.deliver(unit)
        finally:
            self._is_feeding = False
        if self.transport.disconnecting or not self.is_open:
            self._held.clear()

    def hold(self) -> None:
        """Give the parser nothing until `release`."""
        if self.is_open and not self._is_holding:
            self._is_holding = True
            self.transport.pauseProducing()

    def release(self) -> None:
        """Give the parser more."""
        if self._is_holding:
            self._is_holding = False
            if not self.is_paused():
                self.transport.resumeProducing()
            self.deliver_units()

    def close(self) -> bytes:
        """Give the parser nothing more; what it would have had."""
        self.is_open = self._is_holding = False
        left = bytes(self._held)
        self._held.clear()
        return left

    @property
    def is_overfull(self) -> bool:
        """Whether a unit has no end within reason."""
        return len(self._held) > MAX_HELD and self._is_wanted

    @property
    def _is_wanted(self) -> bool:
        return (
            self.is_open
            and not self._is_holding
            and not self.is_paused()
            and not self.transport.disconnecting
        )
