"""Whether a server's answer resumes a session, read from its own bytes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.tls.handshake import Meeting, client, meet, server
from txtransport.config.policy import Side
from txtransport.tls.creator import ConnectionCreator, connection_creator
from txtransport.tls.server_flight import resumes_session


def first_flight(meeting: Meeting) -> bytes:
    """What the server has sent, from its first byte."""
    return meeting.server.sent


class FlightTests(SynchronousTestCase):
    """The answers of a real server."""

    def creators(
        self, version: str, **options: object
    ) -> tuple[ConnectionCreator, ConnectionCreator]:
        """A client's, which keeps sessions, and a server's, which has tickets."""
        return (
            connection_creator(client(max_version=version, **options), Side.CLIENT, ("h", 1)),
            connection_creator(server(max_version=version), Side.SERVER),
        )

    def test_a_full_handshake_is_told_from_a_resumed_one(self) -> None:
        """In either version the first answer is none that resumes, and the second is."""
        for version in ("1.2", "1.3"):
            for options in ({}, {"alpn_protocols": ("h2", "x" * 100)}):
                one, other = self.creators(version, **options)
                met = meet(one, other)
                self.assertIs(resumes_session(first_flight(met)), False, version)
                self.assertIs(met.server.session.resumed, False)
                met.part()
                again = meet(one, other)
                self.assertIs(resumes_session(first_flight(again)), True, version)
                self.assertIs(again.server.session.resumed, True)
                self.assertIs(again.client.session.resumed, True)

    def test_every_beginning_of_a_flight_is_no_answer_or_the_right_one(self) -> None:
        """Of half a ServerHello nothing is concluded."""
        one, other = self.creators("1.3")
        meet(one, other).part()
        flight = first_flight(meet(one, other))
        answers = [resumes_session(flight[:size]) for size in range(len(flight) + 1)]
        known = answers.index(True)
        self.assertEqual(set(answers[:known]), {None})
        self.assertEqual(set(answers[known:]), {True})

    def test_a_retry_is_no_answer(self) -> None:
        """A HelloRetryRequest is a ServerHello by its type, and the next flight counts."""
        one, other = self.creators("1.3")
        meeting = meet(one, other)
        meeting.part()
        flight = first_flight(meet(one, other))
        random = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
        self.assertIsNone(resumes_session(flight[:11] + random + flight[43:]))

    @given(st.binary(max_size=200))
    def test_other_bytes_are_no_answer(self, data: bytes) -> None:
        """An alert, or anything else, is no answer, and raises nothing."""
        self.assertIn(resumes_session(data), (None, True, False))
        self.assertIsNone(resumes_session(b"\x15" + data))
