"""What every dialogue promises, written once and run for all of them."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.starttls.in_memory import byte_by_byte, negotiate, new_wire, split_at
from txtransport.errors import NegotiationError, PeerLeft, PeerMisbehaved, PlaintextInjected
from txtransport.starttls.negotiation import Negotiation
from txtransport.starttls.protocols import STARTTLS_PROTOCOLS
from txtransport.starttls.wire import TOTAL, Speaker, Wire

# Each test case runs the contract with dialogues of its own, and none of their examples
# is kept for the others.
THOROUGHLY: Final = settings(
    deadline=None,
    max_examples=60,
    database=None,
    suppress_health_check=[HealthCheck.differing_executors],
)


class Contract:
    """What holds for every dialogue, for a test case that says which those are.

    Attributes:
        pairs: Protocols with a client and a server here: the name, and each side.
        sides: Every side of every protocol, with its name.
    """

    pairs: ClassVar[list[tuple[str, Speaker, Speaker]]]
    sides: ClassVar[list[tuple[str, Speaker]]]
    # Those of SynchronousTestCase, with which this is mixed.
    assertEqual: Any
    assertFalse: Any
    assertIsInstance: Any
    assertLess: Any
    assertLessEqual: Any
    assertRaises: Any
    assertTrue: Any

    def test_client_and_server_come_to_tls(self) -> None:
        """Our client and our server come to TLS, and leave no byte in their buffers."""
        for name, connect, serve in self.pairs:
            result = negotiate(connect, serve)
            self.assertTrue(result.client.is_complete and result.server.is_complete, name)
            self.assertEqual(result.server.wire.received, b"")
            self.assertEqual(result.client.wire.received, b"")

    def test_segments_do_not_matter(self) -> None:
        """A dialogue is the same byte by byte, or split in two anywhere."""
        for name, connect, serve in self.pairs:
            plain = negotiate(connect, serve)
            longest = max(map(len, plain.by_client + plain.by_server))
            for cut in (byte_by_byte, *(split_at(place) for place in range(1, longest))):
                again = negotiate(connect, serve, cut)
                self.assertEqual(again.by_client, plain.by_client, name)
                self.assertEqual(again.by_server, plain.by_server, name)
                self.assertTrue(again.client.is_complete and again.server.is_complete)

    def test_bytes_after_the_go_ahead_are_an_attack(self) -> None:
        """A byte after the server's last message ends the client's dialogue (CVE-2011-0411)."""
        for _, connect, serve in self.pairs:
            plain = negotiate(connect, serve)
            if not plain.by_server:
                continue
            *before, last = plain.by_server
            for evil in (b"\x00", b"\n", b" ", b"evil\r\n", b"\x16\x03\x01"):
                client = Negotiation(connect, new_wire())
                for message in before:
                    client.receive_data(message)
                self.assertRaises(PlaintextInjected, client.receive_data, last + evil)

    def test_bytes_after_the_request_are_an_attack(self) -> None:
        """Bytes pipelined after the client's request end the dialogue, and no go-ahead is sent."""
        for name, connect, serve in self.pairs:
            by_client = negotiate(connect, serve).by_client
            if not by_client:  # A client of NATS sends nothing before TLS.
                continue
            *before, last = by_client
            for evil in (b"\x00", b"\n", b"evil\r\n"):
                server = Negotiation(serve, Wire())
                for message in before:
                    server.receive_data(message)
                server.data_to_send()
                self.assertRaises(PlaintextInjected, server.receive_data, last + evil)
                self.assertEqual(server.data_to_send(), b"", name)

    def test_an_answer_before_its_question_is_refused(self) -> None:
        """All messages of a server, sent at once, do not lead to TLS."""
        for _, connect, serve in self.pairs:
            messages = negotiate(connect, serve).by_server
            if len(messages) < 2:
                continue
            client = Negotiation(connect, new_wire())
            self.assertRaises(NegotiationError, client.receive_data, b"".join(messages))

    def test_a_lost_connection_is_reported_at_any_byte(self) -> None:
        """A peer may close after any byte: the dialogue is incomplete, the error is PeerLeft."""
        for name, connect, serve in self.pairs:
            plain = negotiate(connect, serve)
            for speaker, messages in ((connect, plain.by_server), (serve, plain.by_client)):
                everything = byte_by_byte(b"".join(messages))
                for count in range(len(everything)):
                    side = Negotiation(speaker, new_wire())
                    try:
                        for byte in everything[:count]:
                            side.receive_data(byte)
                    except PeerMisbehaved:
                        # The recorded bytes may fit only the first dialogue, such as
                        # the tags of IMAP.
                        break
                    self.assertFalse(side.is_complete, (name, count))
                    self.assertIsInstance(side.connection_lost(), PeerLeft)

    def test_a_flood_ends_the_dialogue(self) -> None:
        """Endless lines, a line without an end and endless binary data end every dialogue."""
        for name, speaker in self.sides:
            for flood in (b"x", b"x\r\n", b"250-x\r\n", b"* x\r\n", b"\x00", b"\xff"):
                side = Negotiation(speaker, new_wire())
                if side.is_complete:  # A server of NATS reads nothing.
                    continue
                chunk = flood * (4096 // len(flood))

                def pour(side: Negotiation = side, chunk: bytes = chunk) -> None:
                    for _ in range(TOTAL // 4096 + 1):
                        side.receive_data(chunk)
                        side.data_to_send()

                self.assertRaises(NegotiationError, pour)
                self.assertLessEqual(len(side.wire.received), TOTAL + 4096, name)

    @THOROUGHLY
    @given(segments=st.lists(st.binary(min_size=1, max_size=64), max_size=12))
    def test_any_bytes_cause_only_negotiation_errors(self, segments: list[bytes]) -> None:
        """Whatever a peer sends, only NegotiationError is raised, with a text that can be shown."""
        for _, speaker in self.sides:
            side = Negotiation(speaker, new_wire())
            try:
                for segment in segments:
                    if not side.is_complete:
                        side.receive_data(segment)
            except NegotiationError as error:
                self.assertTrue(str(error).isprintable())
                self.assertLess(len(str(error)), 1200)

    @THOROUGHLY
    @given(data=st.data())
    def test_a_changed_byte_causes_only_negotiation_errors(self, data: st.DataObject) -> None:
        """A good dialogue with one byte changed comes to TLS, or raises NegotiationError."""
        _, connect, serve = data.draw(st.sampled_from(self.pairs))
        plain = negotiate(connect, serve)
        for speaker, messages in ((connect, plain.by_server), (serve, plain.by_client)):
            if not messages:
                continue
            which = data.draw(st.integers(0, len(messages) - 1))
            place = data.draw(st.integers(0, len(messages[which]) - 1))
            byte = data.draw(st.integers(0, 255))
            side = Negotiation(speaker, new_wire())
            try:
                for number, each in enumerate(messages):
                    changed = bytearray(each)
                    if number == which:
                        changed[place] = byte
                    if not side.is_complete:
                        side.receive_data(bytes(changed))
            except NegotiationError:
                pass


class ContractTests(Contract, SynchronousTestCase):
    """The contract holds for the dialogues before TLS."""

    pairs: ClassVar = [
        (row.name, row.connect, row.serve)
        for row in STARTTLS_PROTOCOLS.values()
        if row.serve is not None
    ]
    sides: ClassVar = [
        (f"{row.name} {side}", speaker)
        for row in STARTTLS_PROTOCOLS.values()
        for side, speaker in (("client", row.connect), ("server", row.serve))
        if speaker is not None
    ]
