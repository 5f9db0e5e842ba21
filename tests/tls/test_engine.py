"""The TLS engine: bytes in, bytes out, events; whatever the bytes are cut into."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import SSL
from twisted.trial.unittest import SynchronousTestCase

from tests.tls.handshake import client, server
from txtransport.config.policy import Side, TLSPolicy
from txtransport.tls.connection import MAX_FIRST_BYTES
from txtransport.tls.creator import connection_creator
from txtransport.tls.engine import RECORD, Signal, TLSEngine, TLSEvent


def engine(policy: TLSPolicy, side: Side, *, by_record: bool = False) -> TLSEngine:
    """An engine with a new connection."""
    made = TLSEngine(connection_creator(policy, side).connection())
    if by_record:
        made.keep_unread()
    if side is Side.CLIENT:
        made.start()
    return made


def pair(version: str = "1.3", *, by_record: bool = False) -> tuple[TLSEngine, TLSEngine]:
    """A client and a server that speak one version of TLS, not connected yet."""
    return (
        engine(client(max_version=version), Side.CLIENT, by_record=by_record),
        engine(server(max_version=version), Side.SERVER, by_record=by_record),
    )


def cut(data: bytes, sizes: Iterator[int]) -> Iterator[bytes]:
    """The bytes in pieces of the given sizes."""
    at = 0
    while at < len(data):
        size = next(sizes)
        yield data[at : at + size]
        at += size


class Conversation:
    """A client and a server, and the bytes between them, cut into pieces.

    Attributes:
        client: The client's engine.
        server: The server's engine.
        events: What each of them has said.
    """

    def __init__(self, ends: tuple[TLSEngine, TLSEngine], sizes: Iterable[int] = (2**20,)) -> None:
        self.client, self.server = ends
        self._sizes = itertools.cycle(sizes)
        self.events: dict[TLSEngine, list[TLSEvent]] = {self.client: [], self.server: []}

    def carry(self) -> None:
        """Move bytes until there are none."""
        moved = True
        while moved:
            moved = False
            for source, target in ((self.client, self.server), (self.server, self.client)):
                for piece in cut(source.data_to_send(), self._sizes):
                    moved = True
                    self.events[target] += target.receive(piece)

    def heard(self, end: TLSEngine) -> bytes:
        """The application's data that an end has received."""
        return b"".join(event for event in self.events[end] if isinstance(event, bytes))

    def signals(self, end: TLSEngine) -> list[Signal]:
        """What else an end has said."""
        return [event for event in self.events[end] if isinstance(event, Signal)]


def say(end: TLSEngine, data: bytes) -> bytes:
    """Encrypt any number of bytes."""
    sent = b""
    for begin in range(0, len(data), end.piece):
        end.send(data[begin : begin + end.piece])
        sent += end.data_to_send()
    return sent


SIZES = st.lists(st.integers(1, 20000), min_size=1, max_size=8)
MESSAGES = st.lists(st.binary(min_size=1, max_size=3 * RECORD), max_size=4)


class SegmentationTests(SynchronousTestCase):
    """However the network cuts the bytes, the same arrives."""

    @settings(max_examples=60, deadline=None)
    @given(st.sampled_from(["1.2", "1.3"]), SIZES, MESSAGES, MESSAGES, st.booleans())
    def test_data_arrives_whole_and_in_order(
        self,
        version: str,
        sizes: list[int],
        of_client: list[bytes],
        of_server: list[bytes],
        by_record: bool,
    ) -> None:
        """Both sides receive what the other one has sent, and then its close."""
        talk = Conversation(pair(version, by_record=by_record), sizes)
        talk.carry()
        for end, messages in ((talk.client, of_client), (talk.server, of_server)):
            self.assertEqual(talk.signals(end), [Signal.COMPLETE])
            peer = talk.server if end is talk.client else talk.client
            for message in messages:
                for piece in cut(say(end, message), itertools.cycle(sizes)):
                    talk.events[peer] += peer.receive(piece)
        for end in (talk.client, talk.server):
            end.close()
        talk.carry()
        self.assertEqual(talk.heard(talk.server), b"".join(of_client))
        self.assertEqual(talk.heard(talk.client), b"".join(of_server))
        for end in (talk.client, talk.server):
            self.assertEqual(talk.signals(end), [Signal.COMPLETE, Signal.CLOSED])
            self.assertTrue(end.is_closed_by_peer)
            self.assertIsNone(end.error)

    @settings(max_examples=60, deadline=None)
    @given(SIZES, st.binary(min_size=1, max_size=600))
    def test_garbage_fails_and_raises_nothing(self, sizes: list[int], garbage: bytes) -> None:
        """Whatever a peer sends in place of TLS, the engine fails or waits for more."""
        for by_record in (False, True):
            end = engine(server(), Side.SERVER, by_record=by_record)
            events: list[TLSEvent] = []
            for piece in cut(garbage, itertools.cycle(sizes)):
                events += end.receive(piece)
            self.assertIn(events, ([], [Signal.FAILED]))
            self.assertEqual(end.connection.first_bytes, garbage[:MAX_FIRST_BYTES])
            self.assertFalse(end.is_complete)


class CloseTests(SynchronousTestCase):
    """The end of a connection, and what stands behind it."""

    def test_what_follows_a_close_notify_is_kept(self) -> None:
        """By records, clear bytes behind the close are not lost, however they are cut."""
        for size in (1, 3, 100, 2**16):
            talk = Conversation(pair(by_record=True))
            talk.carry()
            data = say(talk.client, b"last words")
            talk.client.close()
            data += talk.client.data_to_send() + b"226 back in the clear\r\n"
            for piece in cut(data, itertools.repeat(size)):
                talk.events[talk.server] += talk.server.receive(piece)
            self.assertEqual(talk.heard(talk.server), b"last words")
            self.assertEqual(talk.signals(talk.server), [Signal.COMPLETE, Signal.CLOSED])
            self.assertEqual(talk.server.unread, b"226 back in the clear\r\n", size)

    def test_nothing_is_kept_without_records(self) -> None:
        """An engine that is not asked for records keeps nothing of a peer that has closed."""
        talk = Conversation(pair())
        talk.carry()
        talk.client.close()
        self.assertEqual(talk.server.receive(talk.client.data_to_send()), [Signal.CLOSED])
        self.assertEqual(talk.server.receive(b"more"), [])
        self.assertEqual(talk.server.unread, b"")

    def test_a_close_is_made_once(self) -> None:
        """Closing again makes no second close_notify, and nothing can be sent any more."""
        talk = Conversation(pair())
        talk.carry()
        talk.client.close()
        self.assertNotEqual(talk.client.data_to_send(), b"")
        talk.client.close()
        self.assertEqual(talk.client.data_to_send(), b"")
        talk.client.send(b"late")
        self.assertIsNotNone(talk.client.error)
        self.assertEqual(talk.client.data_to_send(), b"")

    def test_a_close_in_the_handshake_is_a_failure(self) -> None:
        """A close_notify in place of a handshake fails, with a reason of its own."""
        end = engine(server(), Side.SERVER)
        self.assertEqual(end.receive(b"\x15\x03\x01\x00\x02\x01\x00"), [Signal.FAILED])
        self.assertIsNotNone(end.error)

    def test_a_broken_record_fails_with_an_alert(self) -> None:
        """A record that was changed on its way ends the connection, and the peer is told."""
        talk = Conversation(pair())
        talk.carry()
        data = bytearray(say(talk.client, b"data"))
        data[-1] ^= 1
        self.assertEqual(talk.server.receive(bytes(data)), [Signal.FAILED])
        self.assertNotEqual(talk.server.data_to_send(), b"")
        self.assertEqual(talk.server.receive(b"more"), [])


class PieceTests(SynchronousTestCase):
    """How much OpenSSL is given at once."""

    def test_pieces_grow_when_a_connection_has_carried_much(self) -> None:
        """A connection that carries little keeps small buffers; a busy one gets large pieces."""
        talk = Conversation(pair())
        talk.carry()
        self.assertEqual(talk.client.piece, RECORD)
        for sent in range(0, 2**21, RECORD):
            if sent == 2**20:
                self.assertEqual((talk.client.piece, talk.server.piece), (RECORD, RECORD))
            talk.server.receive(say(talk.client, bytes(RECORD)))
        # A pyOpenSSL without `clear_mode` encrypts one record at a time.
        expected = 65536 if hasattr(SSL.Context, "clear_mode") else RECORD
        self.assertEqual((talk.client.piece, talk.server.piece), (expected, expected))

    def test_no_more_than_a_piece_is_read_at_once(self) -> None:
        """What OpenSSL has encrypted is returned whole by one call, for every cipher."""
        for version, ciphers in (
            ("1.3", None),
            ("1.2", "ECDHE-ECDSA-AES256-GCM-SHA384"),
            ("1.2", "ECDHE-ECDSA-AES256-SHA384"),
            ("1.2", "ECDHE-ECDSA-CHACHA20-POLY1305"),
        ):
            options = {"max_version": version, "ciphers": ciphers}
            talk = Conversation(
                (engine(client(**options), Side.CLIENT), engine(server(**options), Side.SERVER))
            )
            talk.carry()
            for size in (1, 15, 16, 17, RECORD - 1, RECORD):
                talk.client.send(bytes(size))
                data = talk.client.data_to_send()
                self.assertEqual(talk.client.data_to_send(), b"", (version, ciphers, size))
                self.assertEqual(talk.server.receive(data), [bytes(size)])
