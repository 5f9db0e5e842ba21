"""Changed conversations of SSL 3.0, found by hypothesis; `mutate_ssl3` tries a million."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.tls.legacy.mutate_ssl2 import KINDS, Change
from tests.tls.legacy.mutate_ssl3 import Scenario, examine, scenarios

CHANGES = st.builds(
    Change,
    st.sampled_from(KINDS),
    st.floats(0, 1, exclude_max=True),
    st.sampled_from([1, 2, 3, 40]),
    st.integers(0, 255),
)


class MutationTests(SynchronousTestCase):
    """Whatever a peer says, it is refused, or it is what the peer said."""

    def test_conversations_are_complete_when_nothing_is_changed(self) -> None:
        """The recordings, which the other test changes, are good."""
        for scenario in scenarios():
            if "ECDHE" not in scenario.suite:
                self.assertEqual(examine(scenario, scenario.said, [1, 100]), "complete")

    @settings(max_examples=300, deadline=None)
    @given(
        st.deferred(lambda: st.sampled_from(scenarios())),
        st.lists(CHANGES, min_size=1, max_size=4),
        st.lists(st.integers(1, 1500), max_size=4),
    )
    def test_no_change_is_taken_for_what_the_peer_said(
        self, scenario: Scenario, changes: list[Change], sizes: list[int]
    ) -> None:
        """No exception, no other data, nothing after a failure, no other peer, little kept."""
        data = scenario.said
        for change in changes:
            data = change.apply(data)
        examine(scenario, data, sizes)
