"""Stops a factory only when nothing is under way any more that may ask it for a protocol."""

from __future__ import annotations

from twisted.internet.interfaces import IProtocolFactory

__all__ = ["DelayedStop"]


class DelayedStop:
    """Starts and stops the factory of a port whose connections need time before their protocol.

    A connection that was accepted before the port was closed still gets its protocol, as it
    would at once otherwise.

    Args:
        factory: The factory.

    Attributes:
        under_way: How many connections are on their way to their protocol; who adds one
            calls `over` for it.
    """

    __slots__ = ("_factory", "_stops", "under_way")

    def __init__(self, factory: IProtocolFactory) -> None:
        self.under_way: int = 0
        self._factory = factory
        # How often `stop` was called and not passed on yet.
        self._stops = 0

    def start(self) -> None:
        """Start the factory: a port listens."""
        self._factory.doStart()

    def stop(self) -> None:
        """Stop the factory, once nothing is under way: a port is closed."""
        self._stops += 1
        self._pass_on()

    def over(self) -> None:
        """Count one less: it has its protocol, or will have none."""
        self.under_way -= 1
        if self._stops:
            self._pass_on()

    def _pass_on(self) -> None:
        while self._stops and not self.under_way:
            self._stops -= 1
            self._factory.doStop()
