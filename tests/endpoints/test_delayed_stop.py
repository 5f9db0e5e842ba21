"""A factory is stopped only when no connection may ask it for a protocol any more."""

from __future__ import annotations

from twisted.internet.protocol import Factory
from twisted.trial.unittest import SynchronousTestCase

from txtransport.endpoints.delayed_stop import DelayedStop


class CountingFactory(Factory):
    """Counts how often it was started and stopped."""

    noisy = False

    def __init__(self) -> None:
        self.calls: list[str] = []

    def startFactory(self) -> None:
        self.calls.append("start")

    def stopFactory(self) -> None:
        self.calls.append("stop")


class DelayedStopTests(SynchronousTestCase):
    """Starting and stopping."""

    def setUp(self) -> None:
        self.factory = CountingFactory()
        self.stopping = DelayedStop(self.factory)

    def test_without_connections_a_stop_is_passed_on(self) -> None:
        """So is each start; a factory of several ports is stopped with the last."""
        self.stopping.start()
        self.stopping.start()
        self.stopping.stop()
        self.assertEqual(self.factory.calls, ["start"])
        self.stopping.stop()
        self.assertEqual(self.factory.calls, ["start", "stop"])

    def test_the_last_connection_passes_the_stop_on(self) -> None:
        """A connection that was accepted before still gets its protocol."""
        self.stopping.start()
        self.stopping.under_way += 2
        self.stopping.stop()
        self.stopping.over()
        self.assertEqual(self.factory.calls, ["start"])
        self.stopping.over()
        self.assertEqual(self.factory.calls, ["start", "stop"])

    def test_a_connection_that_is_over_stops_nothing_by_itself(self) -> None:
        """The port still listens."""
        self.stopping.start()
        self.stopping.under_way += 1
        self.stopping.over()
        self.assertEqual(self.factory.calls, ["start"])
