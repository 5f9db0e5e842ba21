"""SSL 3.0 as an engine: bytes in, bytes out, events; whatever the bytes are cut into."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

import txtransport
from tests import certificates
from tests.tls.handshake import client as tls_client
from tests.tls.handshake import server as tls_server
from tests.tls.legacy.ssl3_pair import (
    Conversation,
    Judge,
    client_config,
    cut,
    identity,
    pair,
    reason,
    server_config,
)
from tests.tls.test_engine import engine
from txtransport.config.policy import Side, TLSPolicy, Verify
from txtransport.diagnosis.alerts import ALERTS, alert_of_reason
from txtransport.tls.creator import creator_for
from txtransport.tls.engine import Signal, TLSEvent
from txtransport.tls.failure import FailedConnection, handshake_failure
from txtransport.tls.legacy.ssl3 import SSL3_CIPHERS, SSL3Engine
from txtransport.tls.legacy.ssl3_messages import MessageType
from txtransport.tls.legacy.ssl3_records import ContentType

SIZES = st.lists(st.integers(1, 20000), min_size=1, max_size=8)
MESSAGES = st.lists(st.binary(min_size=1, max_size=40000), max_size=4)

HELLO_REQUEST: Final = b"\x16\x03\x00\x00\x04" + bytes(4)
CHANGE: Final = b"\x14\x03\x00\x00\x01\x01"
CLEAR_DATA: Final = b"\x17\x03\x00\x00\x08injected"


def alert(level: int, number: int, minor: int = 0) -> bytes:
    """An alert in the clear."""
    return bytes((21, 3, minor, 0, 2, level, number))


def records(data: bytes) -> Iterator[bytes]:
    """The same bytes, a record at a time."""
    while data:
        size = 5 + int.from_bytes(data[3:5], "big")
        yield data[:size]
        data = data[size:]


def say(end: SSL3Engine, data: bytes) -> bytes:
    """Encrypt any number of bytes."""
    sent = b""
    for begin in range(0, len(data), end.piece):
        end.send(data[begin : begin + end.piece])
        sent += end.data_to_send()
    return sent


class SegmentationTests(SynchronousTestCase):
    """However the network cuts the bytes, the same arrives."""

    @settings(max_examples=60, deadline=None)
    @given(st.sampled_from(SSL3_CIPHERS), SIZES, MESSAGES, MESSAGES, st.booleans())
    def test_data_arrives_whole_and_in_order(
        self,
        suite: str,
        sizes: list[int],
        of_client: list[bytes],
        of_server: list[bytes],
        by_record: bool,
    ) -> None:
        """Both sides receive what the other one has sent, and then its close."""
        talk = Conversation(client_config(suite), None, sizes, by_record=by_record).carry()
        for end, messages in ((talk.client, of_client), (talk.server, of_server)):
            self.assertEqual(talk.signals(end), [Signal.COMPLETE])
            self.assertEqual((end.version, end.cipher), ("SSLv3", suite))
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

    @settings(max_examples=100, deadline=None)
    @given(SIZES, st.binary(min_size=1, max_size=600))
    def test_garbage_fails_and_raises_nothing(self, sizes: list[int], garbage: bytes) -> None:
        """Whatever a peer sends in place of SSL, the engine fails or waits for more."""
        for config in (server_config(), client_config()):
            end = SSL3Engine(config)
            end.start()
            events: list[TLSEvent] = []
            for piece in cut(garbage, itertools.cycle(sizes)):
                events += end.receive(piece)
            self.assertIn(events, ([], [Signal.FAILED]))
            self.assertFalse(end.is_complete)

    def test_four_mebibytes_arrive_unchanged_with_every_suite(self) -> None:
        """Long conversations both ways; a quarter of a mebibyte with 3DES, which is slow."""
        for suite in SSL3_CIPHERS:
            talk = pair(suite)
            data = os.urandom(2**18 if "CBC3" in suite else 2**22)
            for end, peer in ((talk.client, talk.server), (talk.server, talk.client)):
                heard = [
                    event
                    for piece in cut(say(end, data), itertools.cycle((65536, 1, 40000)))
                    for event in peer.receive(piece)
                ]
                self.assertTrue(b"".join(heard) == data, suite)  # type: ignore[arg-type]


class CloseTests(SynchronousTestCase):
    """The end of a connection, and what stands behind it."""

    def test_what_follows_a_close_notify_is_kept(self) -> None:
        """By records, clear bytes behind the close are not lost, however they are cut."""
        for size in (1, 3, 100, 2**16):
            talk = Conversation(by_record=True).carry()
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
        talk = pair()
        talk.client.close()
        data = talk.client.data_to_send()
        self.assertEqual(talk.server.receive(data + b"more"), [Signal.CLOSED])
        self.assertEqual(talk.server.receive(b"more"), [])
        self.assertEqual(talk.server.unread, b"")

    def test_a_close_is_made_once(self) -> None:
        """Closing again makes no second close_notify, and nothing can be sent any more."""
        talk = pair()
        talk.client.close()
        self.assertNotEqual(talk.client.data_to_send(), b"")
        talk.client.close()
        self.assertEqual(talk.client.data_to_send(), b"")
        talk.client.send(b"late")
        self.assertEqual(reason(talk.client), "protocol is shutdown")
        self.assertEqual(talk.client.data_to_send(), b"")

    def test_a_peer_that_has_closed_can_still_be_answered(self) -> None:
        """What is sent behind the peer's close_notify arrives."""
        talk = pair()
        talk.client.close()
        talk.carry()
        self.assertEqual(talk.client.receive(say(talk.server, b"answer")), [b"answer"])

    def test_a_close_in_the_handshake_is_a_failure(self) -> None:
        """A close_notify in place of a handshake fails, with a reason of its own."""
        for config in (server_config(), client_config()):
            end = SSL3Engine(config)
            end.start()
            end.data_to_send()
            self.assertEqual(end.receive(alert(1, 0)), [Signal.FAILED])
            self.assertEqual(reason(end), "close notify")
            self.assertEqual(end.data_to_send(), b"")

    def test_our_close_in_the_handshake_ends_it(self) -> None:
        """A side that closes before it is complete tells the peer, and goes no further."""
        talk = Conversation()
        talk.step(talk.client)
        talk.client.close()
        talk.step(talk.server)
        talk.step(talk.client)
        self.assertFalse(talk.client.is_complete)
        self.assertEqual(talk.signals(talk.client), [])
        self.assertEqual(reason(talk.client), "shutdown while in init")
        self.assertEqual(reason(talk.server), "close notify")

    def test_nothing_is_sent_before_the_handshake_is_complete(self) -> None:
        """Data of an application that is too early is not sent, above all not in the clear."""
        for config in (server_config(), client_config()):
            end = SSL3Engine(config)
            end.start()
            end.data_to_send()
            end.send(b"secret")
            self.assertEqual(end.data_to_send(), b"")
            self.assertEqual(reason(end), "uninitialized")


class AlertTests(SynchronousTestCase):
    """What a peer says when it ends the connection, and what we say."""

    def test_a_fatal_alert_is_named_as_openssl_names_it(self) -> None:
        """Diagnosis finds each alert by OpenSSL's words, those of TLS as well."""
        for known in ALERTS[1:]:
            for config in (server_config(), client_config()):
                end = SSL3Engine(config)
                end.start()
                end.data_to_send()
                self.assertEqual(end.receive(alert(2, known.number, 1)), [Signal.FAILED])
                self.assertEqual(alert_of_reason(reason(end)), known)
                self.assertEqual(end.data_to_send(), b"", "an alert is not answered")
        end = SSL3Engine(server_config())
        end.receive(alert(2, 40))
        self.assertEqual(reason(end), "sslv3 alert handshake failure")

    def test_an_alert_that_nobody_knows_is_a_failure(self) -> None:
        """An alert without a name ends the connection like others."""
        end = SSL3Engine(server_config())
        self.assertEqual(end.receive(alert(2, 200)), [Signal.FAILED])
        self.assertEqual(reason(end), "reason(1200)")

    def test_a_peer_that_speaks_tls_alone_is_recognized(self) -> None:
        """A client of TLS refuses our answer with the alert 70, in a record of TLS."""
        talk = Conversation()
        talk.step(talk.client)
        self.assertEqual(talk.server.receive(alert(2, 70, 3)), [Signal.FAILED])
        self.assertEqual(reason(talk.server), "tlsv1 alert protocol version")

    def test_a_server_that_answers_with_tls_is_refused(self) -> None:
        """A server's newer version is not accepted, although the rest of its answer is good."""
        talk = Conversation()
        talk.step(talk.client)
        answer = bytearray(talk.server.data_to_send())
        answer[10] = 1
        self.assertEqual(talk.client.receive(bytes(answer)), [Signal.FAILED])
        self.assertEqual(reason(talk.client), "unsupported protocol")
        self.assertEqual(talk.client.data_to_send(), alert(2, 40))

    def test_warnings_are_passed_over_but_not_without_end(self) -> None:
        """A few warnings do no harm; a peer that sends more wants to keep us busy."""
        talk = pair()
        for number in range(5):
            self.assertEqual(talk.server.receive(sealed(talk.client, 21, b"\x01\x5a")), [], number)
        self.assertEqual(talk.server.receive(sealed(talk.client, 21, b"\x01\x5a")), [Signal.FAILED])
        self.assertEqual(reason(talk.server), "too many warn alerts")

    def test_an_alert_of_another_form_is_refused(self) -> None:
        """An alert has two bytes, in one record, and one of two levels."""
        for data in (b"\x02", b"\x02\x28\x02\x28", b"\x03\x28", b"\x00\x00"):
            end = SSL3Engine(server_config())
            head = bytes((21, 3, 0, 0, len(data)))
            self.assertEqual(end.receive(head + data), [Signal.FAILED])
            self.assertEqual(reason(end), "invalid alert")

    def test_a_broken_record_fails_with_an_alert(self) -> None:
        """A record that was changed on its way ends the connection, and the peer is told."""
        for suite in SSL3_CIPHERS:
            talk = pair(suite)
            data = bytearray(say(talk.client, b"data"))
            data[-12] ^= 1
            self.assertEqual(talk.server.receive(bytes(data))[-1], Signal.FAILED)
            self.assertEqual(talk.server.receive(b"more"), [])
            self.assertEqual(talk.client.receive(talk.server.data_to_send()), [Signal.FAILED])
            self.assertEqual(reason(talk.client), "sslv3 alert bad record mac")
            talk.server.send(b"more")
            self.assertEqual(talk.server.data_to_send(), b"")

    def test_records_without_data_do_no_harm_but_not_without_end(self) -> None:
        """Old versions of OpenSSL send one before each record, against BEAST."""
        talk = pair("AES128-SHA")
        for _ in range(100):
            data = sealed(talk.client, 23, b"") + say(talk.client, b"x")
            self.assertEqual(talk.server.receive(data), [b"x"])
        events = [talk.server.receive(sealed(talk.client, 23, b"")) for _ in range(33)]
        self.assertEqual(events, [[]] * 32 + [[Signal.FAILED]])


def sealed(end: SSL3Engine, kind: int, data: bytes) -> bytes:
    """A record of any kind, encrypted as an end would do it."""
    return end._writer._record(ContentType(kind), data)


class TLSPeerTests(SynchronousTestCase):
    """A peer that speaks TLS alone, which is OpenSSL: no side moves the other one."""

    def test_a_server_of_tls_is_told_from_others(self) -> None:
        """It refuses our client: OpenSSL from 4.0 on with the alert "protocol version"."""
        for version in ("1.2", "1.3"):
            tls = engine(tls_server(max_version=version), Side.SERVER)
            end = SSL3Engine(client_config())
            end.start()
            self.assertEqual(tls.receive(end.data_to_send()), [Signal.FAILED])
            self.assertEqual(end.receive(tls.data_to_send()), [Signal.FAILED])
            # Older ones map it to what SSL 3.0 has (ssl3_alert_code in ssl/s3_enc.c).
            words = ("tlsv1 alert protocol version", "sslv3 alert handshake failure")
            self.assertIn(reason(end), words)

    def test_a_client_of_tls_is_told_from_others(self) -> None:
        """One of TLS 1.3 lists its versions; one of TLS 1.2 refuses our answer."""
        for version, expected in (
            ("1.3", "unsupported protocol"),
            ("1.2", "tlsv1 alert protocol version"),
        ):
            tls = engine(tls_client(max_version=version), Side.CLIENT)
            end = SSL3Engine(server_config())
            end.receive(tls.data_to_send())
            tls.receive(end.data_to_send())
            end.receive(tls.data_to_send())
            self.assertEqual(reason(end), expected)
            self.assertFalse(tls.is_complete or end.is_complete)
            self.assertIsNotNone(tls.error)


class RepeatedHandshakeTests(SynchronousTestCase):
    """A handshake is done once."""

    def test_a_request_for_another_handshake_ends_the_connection(self) -> None:
        """SSL 3.0 has no alert that says no and lets the connection go on."""
        for side, message in ((Side.CLIENT, bytes(4)), (Side.SERVER, b"\x01\x00\x00\x00")):
            talk = pair()
            end, peer = talk.client, talk.server
            if side is Side.SERVER:
                end, peer = peer, end
            self.assertEqual(end.receive(sealed(peer, 22, message)), [Signal.FAILED])
            self.assertEqual(reason(end), "no renegotiation")
            self.assertEqual(peer.receive(end.data_to_send()), [Signal.FAILED])
            self.assertEqual(reason(peer), "sslv3 alert handshake failure")

    def test_a_request_within_the_handshake_is_passed_over(self) -> None:
        """The handshake that is asked for is going on (RFC 6101, section 5.6.1.1)."""
        talk = Conversation()
        self.assertEqual(talk.client.receive(HELLO_REQUEST), [])
        talk.carry()
        self.assertTrue(talk.client.is_complete)
        end = SSL3Engine(client_config())
        end.start()
        self.assertEqual(end.receive(HELLO_REQUEST * 6), [Signal.FAILED])

    def test_no_other_message_follows_the_handshake(self) -> None:
        """A ChangeCipherSpec or another message of a handshake that is over is refused."""
        for kind, data in ((20, b"\x01"), (22, b"\x14\x00\x00\x00"), (22, b"\x0b")):
            talk = pair()
            self.assertEqual(talk.server.receive(sealed(talk.client, kind, data)), [Signal.FAILED])
            self.assertEqual(reason(talk.server), "unexpected message")


class InjectionTests(SynchronousTestCase):
    """What someone between the two puts into the conversation."""

    def test_clear_text_is_refused_at_every_place_of_the_handshake(self) -> None:
        """Data, a change of keys or a message at any place where they are not due fail."""
        for suite in ("AES128-SHA", "ECDHE-RSA-RC4-SHA"):
            for injected in (CLEAR_DATA, CHANGE, b"\x16\x03\x00\x00\x04\x14\x00\x00\x00"):
                for is_client in (True, False):
                    for place in range(12):
                        talk = self.with_record(suite, is_client, place, injected)
                        if talk is None:
                            continue
                        end = talk.server if is_client else talk.client
                        self.assertEqual(talk.heard(end), b"")
                        self.assertFalse(end.is_complete, (suite, injected, is_client, place))
                        self.assertIsNotNone(end.error)

    def with_record(
        self, suite: str, is_client: bool, place: int, injected: bytes
    ) -> Conversation | None:
        """A conversation with a record before one of a side's; None if it has fewer."""
        talk = Conversation(
            client_config(suite, identity=identity("client")),
            server_config(certificate=Verify.YES),
        )
        source = talk.client if is_client else talk.server
        count = 0
        for _ in range(4):
            for end, peer in ((talk.client, talk.server), (talk.server, talk.client)):
                for record in records(end.data_to_send()):
                    if end is source and count == place:
                        talk.events[peer] += peer.receive(injected)
                    count += end is source
                    talk.events[peer] += peer.receive(record)
        return talk if count > place else None

    def test_clear_text_after_the_handshake_is_refused(self) -> None:
        """No record is read in the clear once keys are agreed on, whatever its type."""
        for suite in SSL3_CIPHERS:
            for injected in (CLEAR_DATA, alert(1, 0), alert(2, 40), CHANGE, HELLO_REQUEST):
                talk = pair(suite)
                for end in (talk.client, talk.server):
                    self.assertEqual(end.receive(injected), [Signal.FAILED])
                    self.assertEqual(reason(end), "decryption failed or bad record mac")

    def test_half_a_message_does_not_go_on_behind_the_change_of_keys(self) -> None:
        """What came in the clear never becomes the beginning of what is encrypted."""
        talk = Conversation(client_config("AES128-SHA"))
        talk.step(talk.client)
        talk.step(talk.server)
        flight = list(records(talk.client.data_to_send()))
        half = b"\x16\x03\x00\x00\x02\x14\x00"
        events = talk.server.receive(flight[0] + half + b"".join(flight[1:]))
        self.assertEqual(events, [Signal.FAILED])
        self.assertEqual(reason(talk.server), "unexpected message")

    def test_records_are_not_repeated_left_out_or_exchanged(self) -> None:
        """Each record is good once, in its place."""
        for suite in ("RC4-SHA", "AES256-SHA", "DES-CBC3-SHA"):
            for order in ((0, 0), (1,), (1, 0), (0, 2)):
                talk = pair(suite)
                sent = [sealed(talk.client, 23, text) for text in (b"one", b"two", b"three")]
                events = [event for at in order for event in talk.server.receive(sent[at])]
                self.assertEqual(events[-1], Signal.FAILED, (suite, order))

    def test_a_side_s_own_records_are_not_accepted_by_it(self) -> None:
        """The keys of both directions differ, so nothing can be sent back."""
        for suite in SSL3_CIPHERS:
            talk = pair(suite)
            self.assertEqual(talk.client.receive(say(talk.client, b"mirror")), [Signal.FAILED])


class LengthTests(SynchronousTestCase):
    """Lengths that a peer only claims, and what they can make us keep."""

    def test_a_message_that_is_too_long_is_refused_at_its_length(self) -> None:
        """A peer cannot make us wait for more than a message may have."""
        for kind, size in ((1, 2**14 - 3), (1, 2**24 - 1), (20, 2**14 - 3), (11, 2**17 - 3)):
            end = SSL3Engine(server_config())
            message = bytes((kind,)) + size.to_bytes(3, "big")
            self.assertEqual(end.receive(b"\x16\x03\x00\x00\x04" + message), [Signal.FAILED])
            self.assertEqual(reason(end), "excessive message size")

    def test_every_length_within_a_message_is_checked(self) -> None:
        """Each byte of both hellos and of the other messages can be any other: nothing escapes."""
        for suite in ("AES128-SHA", "DHE-RSA-AES128-SHA", "ECDHE-RSA-AES128-SHA"):
            talk = Conversation(client_config(suite), server_config(certificate=Verify.OPTIONAL))
            hello = talk.client.data_to_send()
            for data in changed(hello):
                self.no_harm(SSL3Engine(server_config()), data)
            talk.server.receive(hello)
            flight = list(records(talk.server.data_to_send()))
            for at, record in enumerate(flight):
                for data in changed(record) if record[5] != MessageType.CERTIFICATE else ():
                    end = SSL3Engine(client_config(suite))
                    end.start()
                    self.no_harm(end, b"".join(flight[:at]) + data)

    def no_harm(self, end: SSL3Engine, data: bytes) -> None:
        """The engine fails or waits."""
        end.receive(data)
        self.assertFalse(end.is_complete)

    def test_a_handshake_of_single_bytes_is_understood(self) -> None:
        """A record may have one byte of a message, or several messages."""
        talk = Conversation()
        hello = talk.client.data_to_send()[5:]
        for byte in hello:
            self.assertEqual(talk.server.receive(bytes((22, 3, 0, 0, 1, byte))), [])
        flight = b"".join(record[5:] for record in records(talk.server.data_to_send()))
        joined = b"\x16\x03\x00" + len(flight).to_bytes(2, "big") + flight
        self.assertEqual(talk.client.receive(joined), [])
        talk.carry()
        self.assertTrue(talk.client.is_complete and talk.server.is_complete)


def changed(data: bytes) -> Iterator[bytes]:
    """The same bytes with one of them another, for each, and without the last ones."""
    for at in range(5, len(data)):
        for value in {0, 1, 0x7F, 0xFF, data[at] ^ 1, (data[at] + 1) % 256}:
            yield data[:at] + bytes((value,)) + data[at + 1 :]
    for size in range(5, len(data)):
        yield data[:3] + (size - 5).to_bytes(2, "big") + data[5:size]


class TruncationTests(SynchronousTestCase):
    """A conversation that ends somewhere."""

    def test_no_end_is_taken_for_a_handshake(self) -> None:
        """Cut off at any byte, the handshake is not complete, and nothing is raised."""
        whole = Conversation(client_config("AES128-SHA")).carry()
        size = len(whole.sent[whole.client])
        for at in range(0, size, 7):
            talk = Conversation(client_config("AES128-SHA"))
            left = at
            while left:
                data = talk.client.data_to_send()[:left]
                left -= len(data)
                talk.events[talk.server] += talk.server.receive(data)
                talk.step(talk.server)
            self.assertFalse(talk.server.is_complete)
            self.assertEqual(talk.events[talk.server], [])


class ConfigurationTests(SynchronousTestCase):
    """What an engine cannot work with."""

    def test_a_suite_that_ssl3_does_not_have_is_refused(self) -> None:
        """A mistyped name is an error that lists the right ones."""
        error = self.assertRaises(ValueError, SSL3Engine, client_config("AES128-GCM-SHA256"))
        self.assertIn("AES128-SHA", str(error))

    def test_a_server_needs_a_certificate(self) -> None:
        """Suites without certificates are not there."""
        self.assertRaises(ValueError, SSL3Engine, server_config(identity=None))

    def test_a_client_without_suites_says_so(self) -> None:
        """Nothing is sent when there is nothing to offer."""
        end = SSL3Engine(client_config(ciphers=()))
        end.start()
        self.assertEqual(reason(end), "no ciphers available")
        self.assertEqual(end.data_to_send(), b"")

    def test_the_secrets_are_not_shown(self) -> None:
        """The configuration's text has neither key nor certificate."""
        shown = repr(server_config())
        self.assertNotIn("RSAPrivateKey", shown)
        self.assertNotIn("\\x", shown)


class VerdictTests(SynchronousTestCase):
    """Each side asks whether the peer is acceptable."""

    def test_both_sides_are_asked_once_about_what_was_shown(self) -> None:
        """The chains are given as they were shown, leaf first; an empty one if there is none."""
        for certificate in Verify:
            for own in (None, identity("client")):
                if certificate is Verify.YES and own is None:
                    continue
                client, server = Judge(), Judge()
                talk = Conversation(
                    client_config(verify=client, identity=own),
                    server_config(verify=server, certificate=certificate),
                ).carry()
                self.assertTrue(talk.client.is_complete and talk.server.is_complete)
                self.assertEqual(client.asked, [identity().chain])
                is_shown = own is not None and certificate is not Verify.NO
                self.assertEqual(server.asked, [own.chain if own and is_shown else ()])
                self.assertEqual(talk.server.peer_chain, server.asked[0])
                self.assertEqual(talk.client.peer_chain, identity().chain)
                self.assertEqual(talk.client.is_certificate_requested, certificate is not Verify.NO)

    def test_a_server_that_is_refused_gets_nothing_but_an_alert(self) -> None:
        """No key is encrypted for it, and our certificate is not shown; an exception is a no."""
        for verdict in (False, RuntimeError("verification is broken")):
            for suite in ("AES128-SHA", "DHE-RSA-AES128-SHA", "ECDHE-RSA-AES128-SHA"):
                talk = Conversation(
                    client_config(suite, verify=Judge(verdict), identity=identity("client")),
                    server_config(certificate=Verify.YES),
                )
                talk.step(talk.client)
                talk.step(talk.server)
                self.assertEqual(talk.client.data_to_send(), alert(2, 42))
                self.assertEqual(reason(talk.client), "certificate verify failed")
                self.assertEqual(talk.signals(talk.client), [Signal.FAILED])

    def test_a_client_that_is_refused_never_completes(self) -> None:
        """The handshake ends with an alert, whether a certificate was shown or not."""
        for verdict in (False, RuntimeError("verification is broken")):
            for own, number in ((identity("client"), 42), (None, 40)):
                talk = Conversation(
                    client_config(identity=own),
                    server_config(verify=Judge(verdict), certificate=Verify.OPTIONAL),
                ).carry()
                self.assertEqual(reason(talk.server), "certificate verify failed")
                self.assertEqual(talk.signals(talk.client), [Signal.FAILED])
                known = alert_of_reason(reason(talk.client))
                assert known is not None
                self.assertEqual(known.number, number)

    def test_a_client_must_show_the_certificate_that_is_demanded(self) -> None:
        """Without one, the server ends the handshake, and both sides know why."""
        talk = Conversation(client_config(), server_config(certificate=Verify.YES)).carry()
        self.assertEqual(reason(talk.server), "peer did not return a certificate")
        self.assertEqual(reason(talk.client), "sslv3 alert handshake failure")
        self.assertTrue(talk.client.is_certificate_requested)

    def test_a_certificate_without_its_key_is_refused(self) -> None:
        """Someone who only has a client's certificate cannot use it; nor a server's."""
        stolen = identity("client").__class__(identity("client").chain, identity().key)
        talk = Conversation(client_config(identity=stolen), server_config(certificate=Verify.YES))
        talk.carry()
        self.assertEqual(reason(talk.server), "bad signature")
        self.assertFalse(talk.client.is_complete)
        stolen = identity().__class__(identity().chain, identity("client").key)
        for suite in SSL3_CIPHERS:
            talk = Conversation(client_config(suite), server_config(identity=stolen)).carry()
            self.assertFalse(talk.client.is_complete or talk.server.is_complete, suite)


class DiagnosisTests(SynchronousTestCase):
    """What a user is told of a handshake that failed."""

    def cause(self, **server: object) -> str:
        """Why a client does not connect to a server."""
        policy = TLSPolicy(
            min_version="SSLv3",
            max_version="SSLv3",
            allow_broken_ssl=True,
            peer_name="good.example",
            cafile=certificates.cafile(),
        )
        made: Any = creator_for(policy, Side.CLIENT)
        ours, theirs = made.new_engine(), SSL3Engine(server_config(**server))
        ours.start()
        for _ in range(3):
            theirs.receive(ours.data_to_send())
            ours.receive(theirs.data_to_send())
        failed = FailedConnection("here", Side.CLIENT, None, b"", ours.error, ours)
        return str(handshake_failure(failed).cause)

    def test_a_certificate_that_is_missing_is_told_from_no_suite_in_common(self) -> None:
        """Both end with the alert "handshake failure"; before one of them was a request."""
        self.assertEqual(self.cause(certificate=Verify.YES), "client-certificate-required")
        self.assertEqual(self.cause(ciphers=()), "no-common-cipher")


class DependencyTests(SynchronousTestCase):
    """tlslite-ng is an extra, which nobody loads who does not use SSL 3.0."""

    def test_tlslite_is_imported_in_one_place(self) -> None:
        """And that is loaded by nothing but the engine."""
        package = Path(txtransport.__file__).parent
        found = {
            str(path.relative_to(package))
            for path in package.rglob("*.py")
            if re.search(r"^\s*(from|import) tlslite\b", path.read_text(encoding="utf-8"), re.M)
        }
        self.assertEqual(found, {"tls/legacy/ssl3_messages.py"})

    def test_txtransport_works_without_it(self) -> None:
        """Importing the package, and making endpoints of TLS, loads no tlslite-ng."""
        script = (
            "import sys, txtransport, txtransport.tls.legacy.engine\n"
            "from twisted.internet.task import Clock\n"
            "txtransport.client(Clock(), 'tls://localhost:443')\n"
            "print('tlslite' in sys.modules)\n"
        )
        run = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, timeout=60
        )
        self.assertEqual((run.stdout + run.stderr).strip(), "False")
