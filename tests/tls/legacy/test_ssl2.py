"""The engine of SSL 2.0: bytes in, bytes out, events; whatever the bytes are cut into."""

from __future__ import annotations

import itertools
import random
from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import SSL
from twisted.trial.unittest import SynchronousTestCase

from tests.tls.handshake import client as tls_client
from tests.tls.legacy.ssl2_ends import (
    ALL,
    Conversation,
    client,
    connected,
    cut,
    reason,
    records,
    server,
)
from txtransport.config.policy import Side, Verify
from txtransport.tls.creator import connection_creator
from txtransport.tls.engine import Signal, TLSEngine, TLSEvent
from txtransport.tls.legacy.engine import LegacyConfig
from txtransport.tls.legacy.ssl2 import SSL2Engine

SIZES: Final = st.lists(st.integers(1, 20000), min_size=1, max_size=8)
MESSAGES: Final = st.lists(st.binary(min_size=1, max_size=40000), max_size=4)
FAILED: Final = [Signal.FAILED]


def said(end: SSL2Engine, data: bytes) -> bytes:
    """Data, encrypted."""
    end.send(data)
    return end.data_to_send()


class DataTests(SynchronousTestCase):
    """The application's data."""

    @settings(max_examples=60, deadline=None)
    @given(st.sampled_from(ALL), st.sampled_from(Verify), SIZES, MESSAGES, MESSAGES)
    def test_data_arrives_whole_and_in_order(
        self,
        name: str,
        demand: Verify,
        sizes: list[int],
        of_client: list[bytes],
        of_server: list[bytes],
    ) -> None:
        """However the network cuts handshake and data, both sides receive what was sent."""
        demand = Verify.OPTIONAL if demand is Verify.YES else demand
        talk = Conversation(client(name), server(name, certificate=demand), sizes).carry()
        for end, messages in ((talk.client, of_client), (talk.server, of_server)):
            self.assertEqual(talk.signals(end), [Signal.COMPLETE])
            peer = talk.server if end is talk.client else talk.client
            for message in messages:
                for piece in cut(said(end, message), itertools.cycle(sizes)):
                    talk.events[peer] += peer.receive(piece)
        self.assertEqual(talk.heard(talk.server), b"".join(of_client))
        self.assertEqual(talk.heard(talk.client), b"".join(of_server))

    def test_much_data_arrives_unchanged(self) -> None:
        """4 MiB each way with RC4, and 256 KiB with 3DES, in pieces of random sizes."""
        chance = random.Random(11)
        for name, size in (("RC4-MD5", 2**22), ("EXP-RC4-MD5", 2**22), ("DES-CBC3-MD5", 2**18)):
            talk, data = connected(name), chance.randbytes(size)
            for end, peer in ((talk.client, talk.server), (talk.server, talk.client)):
                pieces = (chance.randrange(1, 50000) for _ in itertools.count())
                for piece in cut(data, pieces):
                    for part in cut(said(end, piece), pieces):
                        talk.events[peer] += peer.receive(part)
                self.assertTrue(talk.heard(peer) == data, name)

    def test_a_piece_is_one_record(self) -> None:
        """What the engine names as its piece makes one record, and more makes several."""
        talk = connected()
        self.assertEqual(len(records(said(talk.client, bytes(talk.client.piece)))), 1)
        self.assertEqual(len(records(said(talk.client, bytes(talk.client.piece + 1)))), 2)

    def test_records_without_data_say_nothing(self) -> None:
        """An empty record is allowed, and no event: an empty one would mean the end to some."""
        talk = connected()
        empty = talk.client._handshake.writer.seal(b"")
        self.assertEqual(talk.server.receive(empty), [])
        self.assertEqual(talk.server.receive(said(talk.client, b"more")), [b"more"])

    def test_records_without_data_have_an_end(self) -> None:
        """A peer that sends nothing else keeps us at work for 32 of them."""
        talk = connected()
        seal = talk.client._handshake.writer.seal
        self.assertEqual(talk.server.receive(seal(b"") + seal(b"data")), [b"data"])
        many = b"".join(seal(b"") for _ in range(32))
        self.assertEqual(talk.server.receive(many + seal(b"data")), [b"data"])
        many = b"".join(seal(b"") for _ in range(33))
        self.assertEqual(talk.server.receive(many + seal(b"data")), FAILED)
        self.assertEqual(reason(talk.server), "record too small")

    def test_what_looks_like_a_message_is_data(self) -> None:
        """After the handshake nothing tells them apart, so nothing is taken for a message."""
        talk = connected()
        for message in (b"\x00\x00\x01", b"\x07\x01" + bytes(16), b"\x01\x00\x02"):
            self.assertEqual(talk.client.receive(said(talk.server, message)), [message])

    def test_what_came_before_a_bad_record_is_delivered(self) -> None:
        """The good records are the application's, whatever follows them."""
        talk = connected()
        data = said(talk.client, b"first") + said(talk.client, b"second")
        bad = bytes((data[-1] ^ 1,))
        self.assertEqual(talk.server.receive(data[:-1] + bad), [b"first", Signal.FAILED])
        self.assertEqual(talk.server.receive(said(talk.client, b"third")), [])


class InjectionTests(SynchronousTestCase):
    """Clear text where the encrypted was to be."""

    def test_clear_text_after_the_switch_is_never_data(self) -> None:
        """Nothing that is not encrypted arrives: neither text nor messages nor their echo."""
        for name in ALL:
            for text in (b"220 welcome\r\n", b"\x80\x05hello", b"\x80\x11\x06" + bytes(16)):
                talk = connected(name)
                for end in (talk.client, talk.server):
                    got = end.receive(text + bytes(40000))
                    self.assertEqual(got, FAILED)
                    self.assertEqual(reason(end), "bad mac decode")
                    self.assertEqual(end.data_to_send(), b"")

    def test_a_handshake_is_not_finished_in_the_clear(self) -> None:
        """Behind the hello all is encrypted: a clear SERVER-VERIFY or FINISHED ends it."""
        for name in ALL:
            for end_of_record in (b"\x80\x11\x05" + bytes(16), b"\x80\x11\x06" + bytes(16)):
                talk = Conversation(client(name), server(name))
                talk.server.receive(talk.client.data_to_send())
                hello = talk.server.data_to_send()
                events = talk.client.receive(hello + end_of_record)
                self.assertEqual(events, FAILED)
                self.assertEqual(reason(talk.client), "bad mac decode")

    def test_data_before_the_handshake_is_over_is_no_data(self) -> None:
        """A server reads CLIENT-FINISHED and nothing else, were it encrypted as it should."""
        for name in ALL:
            talk = Conversation(client(name), server(name))
            talk.server.receive(talk.client.data_to_send())
            talk.client.receive(talk.server.data_to_send())
            flight = records(talk.client.data_to_send())
            early = talk.client._handshake.writer.seal(b"data")
            self.assertEqual(talk.server.receive(flight[0] + early), FAILED)

    def test_data_right_behind_the_last_message_arrives(self) -> None:
        """The server's first data may come in one segment with SERVER-FINISHED."""
        talk = Conversation(client(), server())
        while not talk.server.is_complete:
            talk.client.receive(talk.server.data_to_send())
            talk.server.receive(talk.client.data_to_send())
        talk.server.send(b"hello")
        self.assertEqual(
            talk.client.receive(talk.server.data_to_send()), [Signal.COMPLETE, b"hello"]
        )


class OtherProtocolTests(SynchronousTestCase):
    """Peers that speak something else."""

    def test_a_client_of_tls_is_told_in_tls(self) -> None:
        """It gets an alert that it understands, and this side says what it spoke."""
        hello = TLSEngine(connection_creator(tls_client(), Side.CLIENT).connection())
        hello.start()
        end = server()
        self.assertEqual(end.receive(hello.data_to_send()), FAILED)
        self.assertEqual(reason(end), "peer speaks ssl 3.0 or tls")
        hello.receive(end.data_to_send())
        self.assertIsInstance(hello.error, SSL.Error)
        assert hello.error is not None
        self.assertIn("protocol version", hello.error.args[0][-1][-1])

    def test_a_hello_for_several_versions_is_refused(self) -> None:
        """Old clients say in SSL 2.0 that they have TLS; ours never takes that for SSL 2.0."""
        talk = Conversation(client(), server())
        hello = talk.client.data_to_send()
        for version, alert in (
            (b"\x03\x00", b"\x03\x00\x00\x02\x02\x28"),
            (b"\x03\x03", b"\x03\x01\x00\x02\x02\x46"),
        ):
            end = server()
            self.assertEqual(end.receive(hello[:3] + version + hello[5:]), FAILED)
            self.assertEqual(reason(end), "peer speaks ssl 3.0 or tls")
            self.assertEqual(end.data_to_send(), b"\x15" + alert)

    def test_a_server_of_tls_is_told_by_its_alert(self) -> None:
        """A client never answers in TLS, and says what the server speaks."""
        for answer in (b"\x15\x03\x00\x00\x02\x02\x28", b"\x16\x03\x01\x00\x40"):
            end = client()
            end.data_to_send()
            self.assertEqual(end.receive(answer), FAILED)
            self.assertEqual(reason(end), "peer speaks ssl 3.0 or tls")
            self.assertEqual(end.data_to_send(), b"")

    def test_a_client_offers_one_version(self) -> None:
        """Its hello is of version 2, whatever it could speak elsewhere: it never falls back."""
        self.assertEqual(client().data_to_send()[2:5], b"\x01\x00\x02")

    @settings(max_examples=100, deadline=None)
    @given(SIZES, st.binary(min_size=1, max_size=600), st.booleans())
    def test_garbage_fails_and_raises_nothing(
        self, sizes: list[int], garbage: bytes, is_client: bool
    ) -> None:
        """Whatever a peer sends in place of SSL 2.0, the engine fails or waits for more."""
        end = client() if is_client else server()
        events: list[TLSEvent] = []
        for piece in cut(garbage, itertools.cycle(sizes)):
            events += end.receive(piece)
        self.assertIn(events, ([], FAILED))
        self.assertFalse(end.is_complete)


class EndTests(SynchronousTestCase):
    """The end of a connection, of which SSL 2.0 has no word."""

    def test_a_close_says_nothing_and_ends_our_data(self) -> None:
        """There is no close_notify; what the peer sends still arrives."""
        talk = connected()
        talk.client.close()
        talk.client.close()
        self.assertTrue(talk.client.is_closed)
        self.assertEqual(talk.client.data_to_send(), b"")
        self.assertEqual(talk.client.receive(said(talk.server, b"late")), [b"late"])
        talk.client.send(b"more")
        self.assertEqual(reason(talk.client), "protocol is shutdown")
        self.assertEqual(talk.client.data_to_send(), b"")

    def test_the_peer_s_end_is_never_known(self) -> None:
        """So a connection that is cut never looks as one that has said all."""
        talk = connected()
        talk.client.close()
        talk.carry()
        self.assertFalse(talk.server.is_closed_by_peer)
        self.assertEqual(talk.server.unread, b"")

    def test_truncation_delivers_whole_records_only(self) -> None:
        """Cut anywhere, the records that have come are there, and no part of another."""
        for name in ALL:
            talk = connected(name)
            data = said(talk.client, b"one") + said(talk.client, b"two")
            first, got = len(records(data)[0]), []
            for at in range(len(data) - 1):
                got += talk.server.receive(data[at : at + 1])
                self.assertEqual(got, [b"one"] if at + 1 >= first else [])

    def test_nothing_is_sent_before_the_handshake_is_complete(self) -> None:
        """Data that is given too early is an error, and not sent in the clear."""
        for end in (client(), server()):
            end.data_to_send()
            end.send(b"password")
            self.assertEqual(reason(end), "uninitialized")
            self.assertEqual(end.data_to_send(), b"")

    def test_a_broken_connection_takes_and_sends_nothing(self) -> None:
        """After an error, calls do no more; the first error stays."""
        talk = connected()
        talk.server.receive(bytes(100))
        talk.server.send(b"data")
        talk.server.close()
        talk.server.start()
        self.assertEqual(reason(talk.server), "bad mac decode")
        self.assertEqual((talk.server.data_to_send(), talk.server.is_closed), (b"", False))


class StartTests(SynchronousTestCase):
    """The beginning."""

    def test_a_client_begins_with_its_hello(self) -> None:
        """Once, however often it is started; a server has nothing to say."""
        end = client("RC4-MD5")
        end.start()
        hello = end.data_to_send()
        self.assertEqual(hello[:13], b"\x80\x1c\x01\x00\x02\x00\x03\x00\x00\x00\x10\x01\x00")
        self.assertEqual(len(hello), 30)
        self.assertEqual(server().data_to_send(), b"")

    def test_a_server_need_not_be_started(self) -> None:
        """Bytes of the peer start it, as TLSEngine's do."""
        end = SSL2Engine(server().config)
        end.receive(client().data_to_send())
        self.assertNotEqual(end.data_to_send(), b"")

    def test_a_cipher_of_tls_is_a_mistake(self) -> None:
        """It is not left out in silence."""
        config = LegacyConfig(Side.CLIENT, ("AES128-SHA",), lambda chain: True)
        self.assertRaises(ValueError, SSL2Engine, config)

    def test_challenges_and_keys_are_new_each_time(self) -> None:
        """No two connections begin, or encrypt, alike."""
        hellos = {client().data_to_send() for _ in range(8)}
        self.assertEqual(len(hellos), 8)
        sent = {said(connected("RC4-MD5").client, b"hello") for _ in range(4)}
        self.assertEqual(len(sent), 4)
