"""How long a close waits: for a peer that takes what was written, and for no other."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txtransport.connection.delivery import Delivery
from txtransport.tls.connection import OutgoingBytes

ACKNOWLEDGED_BEFORE = 1_234
"""What the peer's system has acknowledged before the handshake was complete."""


class Peer:
    """A peer's system, and the delivery that watches it.

    Args:
        unsent: How many bytes of data are written and not taken at the close.
        overhead: How many bytes of TLS's own follow them.
    """

    def __init__(self, unsent: int, overhead: int = 24) -> None:
        self.outgoing = OutgoingBytes()
        self.acknowledged: int | None = ACKNOWLEDGED_BEFORE
        self.delivery = Delivery(self.outgoing, lambda: self.acknowledged)
        if unsent:
            self.outgoing.add(unsent, is_data=True)
        self.delivery.begin()
        self.outgoing.add(overhead, is_data=False)

    def takes(self, size: int) -> bool:
        """Let it take as many bytes, at most all; return whether the close may wait on."""
        assert self.acknowledged is not None
        most = ACKNOWLEDGED_BEFORE + self.outgoing.total
        self.acknowledged = min(self.acknowledged + size, most)
        return self.delivery.may_wait_on()


class DeliveryTests(SynchronousTestCase):
    """What makes a close wait on."""

    def test_a_slow_reader_gets_everything(self) -> None:
        """A peer that takes 16 KiB in each close_timeout gets an answer of any size."""
        peer = Peer(1_000_000)
        waits = 1
        while peer.takes(16384):
            waits += 1
        assert peer.acknowledged is not None
        self.assertEqual(peer.acknowledged, ACKNOWLEDGED_BEFORE + peer.outgoing.total)
        # 62 parts of 16 KiB, and one more for the peer's close_notify.
        self.assertEqual(waits, 63)

    def test_a_peer_that_stops_is_not_waited_for(self) -> None:
        """When nothing more is taken, the wait is over, however much is unsent."""
        peer = Peer(1_000_000)
        self.assertTrue(peer.takes(100_000))
        self.assertFalse(peer.takes(0))

    def test_what_tls_sends_by_itself_is_no_progress(self) -> None:
        """A peer that takes answers to its own KeyUpdates is not waited for."""
        peer = Peer(0, overhead=1_000_000)
        self.assertFalse(peer.takes(100_000))
        peer = Peer(20_000, overhead=1_000_000)
        self.assertTrue(peer.takes(100_000))
        self.assertFalse(peer.takes(100_000))

    def test_a_small_last_answer_is_no_progress(self) -> None:
        """That a few bytes have arrived in the peer's system does not show that the peer reads."""
        self.assertFalse(Peer(4096).takes(5000))
        self.assertTrue(Peer(4097).takes(5000))
        self.assertTrue(Peer(4096).takes(4000))

    def test_nothing_is_waited_for_where_nothing_is_known(self) -> None:
        """Where the system does not tell what was acknowledged, there is one close_timeout."""
        peer = Peer(1_000_000)
        peer.acknowledged = None
        self.assertFalse(peer.delivery.may_wait_on())
        unknown = Delivery(OutgoingBytes(), lambda: None)
        self.assertFalse(unknown.may_wait_on())
        unknown.begin()
        self.assertFalse(unknown.may_wait_on())

    def test_data_of_a_producer_that_goes_on_counts(self) -> None:
        """What a registered producer writes after the close is the application's data as well."""
        peer = Peer(0, overhead=0)
        for _ in range(5):
            peer.outgoing.add(20_000, is_data=True)
            self.assertTrue(peer.takes(20_000))
        self.assertFalse(peer.takes(20_000))

    @given(
        unsent=st.integers(0, 200_000),
        overhead=st.integers(0, 10_000_000),
        steps=st.lists(st.integers(0, 20_000), max_size=40),
    )
    def test_no_peer_is_waited_for_without_end(
        self, unsent: int, overhead: int, steps: list[int]
    ) -> None:
        """One close_timeout for each 16 KiB that was unsent, and one more, is the most."""
        peer = Peer(unsent, overhead)
        waits = 1
        for step in steps + [1] * 40:
            if not peer.takes(step):
                break
            waits += 1
        self.assertLessEqual(waits, -(-unsent // 16384) + 1)
