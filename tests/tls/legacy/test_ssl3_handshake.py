"""What client and server of SSL 3.0 agree on, and what each refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from tests.tls.legacy.ssl3_pair import (
    Conversation,
    client_config,
    identity,
    pair,
    reason,
    server_config,
)
from txtransport.config.policy import Verify
from txtransport.tls.engine import Signal
from txtransport.tls.legacy import ssl3_messages as messages
from txtransport.tls.legacy.engine import LegacyConfig
from txtransport.tls.legacy.ssl3 import SSL3_CIPHERS, SSL3Engine
from txtransport.tls.legacy.ssl3_messages import MessageType
from txtransport.tls.legacy.ssl3_suites import SUITES, Suite

RSA: Final = SUITES["AES128-SHA"]
ECDHE: Final = SUITES["ECDHE-RSA-AES128-SHA"]
FALLBACK_SCSV: Final = b"\x56\x00"
RANDOM: Final = bytes(range(32))


def message(kind: MessageType, body: bytes) -> bytes:
    """A message in the clear, in a record of its own."""
    whole = bytes((kind,)) + len(body).to_bytes(3, "big") + body
    return b"\x16\x03\x00" + len(whole).to_bytes(2, "big") + whole


def hello(
    *suites: bytes,
    version: bytes = b"\x03\x00",
    compressions: bytes = b"\x00",
    extensions: bytes = b"",
) -> bytes:
    """A ClientHello."""
    offered = b"".join(suites)
    body = version + RANDOM + b"\x00" + len(offered).to_bytes(2, "big") + offered
    body += bytes((len(compressions),)) + compressions
    if extensions:
        body += len(extensions).to_bytes(2, "big") + extensions
    return message(MessageType.CLIENT_HELLO, body)


def extension(number: int, body: bytes) -> bytes:
    """One extension."""
    return number.to_bytes(2, "big") + len(body).to_bytes(2, "big") + body


def answer(
    version: bytes = b"\x03\x00",
    suite: bytes = b"\x00\x2f",
    compression: bytes = b"\x00",
    extensions: bytes = b"",
) -> bytes:
    """A ServerHello."""
    body = version + RANDOM + b"\x00" + suite + compression
    if extensions:
        body += len(extensions).to_bytes(2, "big") + extensions
    return message(MessageType.SERVER_HELLO, body)


AES: Final = b"\x00\x2f"
CURVE: Final = b"\xc0\x13"


class AgreementTests(SynchronousTestCase):
    """Suites and what goes with them."""

    def test_every_suite_leads_to_a_connection(self) -> None:
        """With and without a client's certificate; both sides tell the same of it."""
        for name in SSL3_CIPHERS:
            for certificate in Verify:
                talk = pair(name, certificate=certificate)
                for end in (talk.client, talk.server):
                    self.assertEqual((end.cipher, end.bits), (name, SUITES[name].cipher.bits))
                    self.assertEqual(talk.signals(end), [Signal.COMPLETE])

    def test_the_server_s_order_counts_or_the_client_s(self) -> None:
        """As honor_cipher_order says."""
        for is_ours, expected in ((True, "RC4-SHA"), (False, "AES128-SHA")):
            talk = Conversation(
                client_config("AES128-SHA", "RC4-SHA"),
                server_config("RC4-SHA", "AES128-SHA", honor_cipher_order=is_ours),
            ).carry()
            self.assertEqual(talk.client.cipher, expected)

    def test_rc4_is_preferred_since_poodle_does_not_break_it(self) -> None:
        """Two sides that have every suite do not take one with a block cipher."""
        self.assertEqual(Conversation().carry().client.cipher, "ECDHE-RSA-RC4-SHA")

    def test_no_suite_in_common_is_explained(self) -> None:
        """On both sides in OpenSSL's words."""
        talk = Conversation(client_config("RC4-SHA"), server_config("AES128-SHA")).carry()
        self.assertEqual(reason(talk.server), "no shared cipher")
        self.assertEqual(reason(talk.client), "sslv3 alert handshake failure")


class ServerTests(SynchronousTestCase):
    """What a server makes of a ClientHello."""

    def server(self, data: bytes, config: LegacyConfig | None = None) -> SSL3Engine:
        """A server that has received it."""
        end = SSL3Engine(config or server_config())
        end.receive(data)
        return end

    def test_a_client_that_speaks_tls_too_is_answered(self) -> None:
        """Whatever its newest version is, and whatever extensions it has."""
        for minor in range(4):
            name = extension(0, b"\x00\x0f\x00\x00\x0cgood.example")
            end = self.server(hello(AES, version=bytes((3, minor)), extensions=name))
            self.assertIsNone(end.error)
            self.assertEqual(end.cipher, "AES128-SHA")

    def test_a_fallback_is_no_concern_of_a_server_without_newer_versions(self) -> None:
        """TLS_FALLBACK_SCSV is ignored, since SSL 3.0 is the newest we speak (RFC 7507, 3)."""
        for minor in range(4):
            end = self.server(hello(AES, FALLBACK_SCSV, version=bytes((3, minor))))
            self.assertEqual((end.error, end.cipher), (None, "AES128-SHA"))
        end = self.server(hello(FALLBACK_SCSV))
        self.assertEqual(reason(end), "no shared cipher")

    def test_a_client_that_lists_its_versions_is_taken_at_its_word(self) -> None:
        """A client of TLS 1.3 that does not list SSL 3.0 will not accept it (RFC 8446, 4.2.1)."""
        listed = extension(43, b"\x04\x03\x04\x03\x03")
        end = self.server(hello(AES, version=b"\x03\x03", extensions=listed))
        self.assertEqual(reason(end), "unsupported protocol")
        listed = extension(43, b"\x04\x03\x04\x03\x00")
        end = self.server(hello(AES, version=b"\x03\x03", extensions=listed))
        self.assertIsNone(end.error)

    def test_a_version_before_ssl3_is_refused(self) -> None:
        """No client is older and has this form of a ClientHello."""
        end = self.server(hello(AES, version=b"\x02\x00"))
        self.assertEqual(reason(end), "unsupported protocol")

    def test_compression_is_not_accepted(self) -> None:
        """A client that wants nothing else is refused (CRIME, CVE-2012-4929)."""
        self.assertIsNone(self.server(hello(AES, compressions=b"\x01\x00")).error)
        self.assertEqual(
            reason(self.server(hello(AES, compressions=b"\x01"))), "no compression specified"
        )

    def test_a_curve_is_one_that_the_client_has(self) -> None:
        """P-256 for a client that names none; another suite if it has no curve of ours."""
        for groups, curve in (
            (b"", 23),
            (extension(10, b"\x00\x04\x00\x18\x00\x17"), 23),
            (extension(10, b"\x00\x02\x00\x19"), 25),
            (extension(10, b"\x00\x02\x00\x1d"), 29),
        ):
            end = self.server(hello(CURVE, AES, extensions=groups), server_config(*NO_RC4))
            self.assertEqual(end.cipher, ECDHE.name)
            self.assertIn(b"\x03" + curve.to_bytes(2, "big"), end.data_to_send())
        end = self.server(
            hello(CURVE, AES, extensions=extension(10, b"\x00\x02\x00\x01")),
            server_config(*NO_RC4),
        )
        self.assertEqual(end.cipher, RSA.name)

    def test_an_old_client_may_begin_as_in_ssl2(self) -> None:
        """Clients that also speak SSL 2.0 offer SSL 3.0 in a ClientHello of its form."""
        for size in (16, 32):
            challenge = bytes(range(size))
            body = b"\x01\x03\x00\x00\x06\x00\x00" + size.to_bytes(2, "big")
            body += b"\x00\x00\x2f\x07\x00\xc0" + challenge
            data = (0x8000 | len(body)).to_bytes(2, "big") + body
            end = SSL3Engine(server_config())
            for byte in data:
                self.assertEqual(end.receive(bytes((byte,))), [])
            self.assertEqual(end.cipher, "AES128-SHA")

    def test_a_client_of_ssl2_alone_is_refused(self) -> None:
        """Its version is too old, which diagnosis can explain."""
        body = b"\x01\x00\x02\x00\x03\x00\x00\x00\x10\x07\x00\xc0" + bytes(16)
        end = self.server((0x8000 | len(body)).to_bytes(2, "big") + body)
        self.assertEqual(reason(end), "unsupported protocol")

    def test_a_hello_of_ssl2_is_good_once_and_first(self) -> None:
        """Later it is no record, and lengths in it are checked."""
        body = b"\x01\x03\x00\x00\x03\x00\x00\x00\x10\x00\x00\x2f" + bytes(16)
        data = (0x8000 | len(body)).to_bytes(2, "big") + body
        self.assertEqual(reason(self.server(data * 2)), "wrong version number")
        self.assertEqual(reason(self.server(hello(AES) + data)), "wrong version number")
        for at in range(5, 11):
            changed = bytearray(data)
            changed[at] ^= 0x21
            self.assertIsNotNone(self.server(bytes(changed)).error)
        end = SSL3Engine(client_config())
        end.start()
        end.receive(data)
        self.assertEqual(reason(end), "wrong version number")


NO_RC4: Final = tuple(name for name in SSL3_CIPHERS if "RC4" not in name)


class ClientTests(SynchronousTestCase):
    """What a client makes of a ServerHello."""

    def client(self, data: bytes, *suites: str) -> SSL3Engine:
        """A client that has received it."""
        end = SSL3Engine(client_config(*suites))
        end.start()
        end.receive(data)
        return end

    def test_what_was_not_offered_is_refused(self) -> None:
        """Another version, suite, compression or extension: nothing is moved by a peer."""
        for data, expected in (
            (answer(version=b"\x03\x01"), "unsupported protocol"),
            (answer(version=b"\x00\x02"), "unsupported protocol"),
            (answer(suite=b"\x00\x00"), "wrong cipher returned"),
            (answer(suite=b"\x00\x02"), "wrong cipher returned"),
            (answer(suite=b"\x00\x35"), "wrong cipher returned"),
            (answer(compression=b"\x01"), "unsupported compression algorithm"),
            (answer(extensions=extension(16, b"\x00\x03\x02h2")), "bad extension"),
        ):
            end = self.client(data, "AES128-SHA", "RC4-SHA")
            self.assertEqual(reason(end), expected)
        self.assertIsNone(self.client(answer()).error)
        known = extension(0xFF01, b"\x00")
        self.assertIsNone(self.client(answer(extensions=known)).error)

    def test_a_server_without_a_certificate_is_refused(self) -> None:
        """None in the message, no message, or what is no certificate."""
        none = answer() + message(MessageType.CERTIFICATE, b"\x00\x00\x00")
        self.assertEqual(reason(self.client(none)), "no certificates returned")
        done = answer() + message(MessageType.SERVER_HELLO_DONE, b"")
        self.assertEqual(reason(self.client(done)), "unexpected message")
        junk = answer() + message(MessageType.CERTIFICATE, b"\x00\x00\x07\x00\x00\x04junk")
        self.assertEqual(reason(self.client(junk)), "unknown certificate type")

    def test_a_key_exchange_is_there_exactly_if_the_suite_has_one(self) -> None:
        """A weak temporary RSA key cannot be put into a suite that has none (FREAK)."""
        chain = messages.certificates(identity().chain)
        start = answer() + b"\x16\x03\x00" + len(chain).to_bytes(2, "big") + chain
        extra = message(MessageType.SERVER_KEY_EXCHANGE, bytes(100))
        self.assertEqual(reason(self.client(start + extra)), "unexpected message")
        start = answer(suite=b"\xc0\x13") + start[len(answer()) :]
        done = message(MessageType.SERVER_HELLO_DONE, b"")
        self.assertEqual(reason(self.client(start + done)), "unexpected message")

    def test_a_request_for_other_kinds_of_certificates_is_answered_with_none(self) -> None:
        """A server that wants DSA gets the alert that there is no certificate."""
        for kinds, is_shown in ((b"\x02", False), (b"\x02\x01", True)):
            end = SSL3Engine(client_config("AES128-SHA", identity=identity("client")))
            end.start()
            end.data_to_send()
            chain = messages.certificates(identity().chain)
            flight = answer() + b"\x16\x03\x00" + len(chain).to_bytes(2, "big") + chain
            request = bytes((len(kinds),)) + kinds + b"\x00\x00"
            flight += message(MessageType.CERTIFICATE_REQUEST, request)
            end.receive(flight + message(MessageType.SERVER_HELLO_DONE, b""))
            sent = end.data_to_send()
            self.assertEqual(sent[:7] == b"\x15\x03\x00\x00\x02\x01\x29", not is_shown)
            self.assertEqual(identity("client").chain[0] in sent, is_shown)


class OrderTests(SynchronousTestCase):
    """Messages in places where they are not due (EarlyCCS, SMACK)."""

    def test_a_side_accepts_each_message_in_its_place_alone(self) -> None:
        """Without one of them, or with one twice, no handshake is complete."""
        for suite in (RSA, ECDHE):
            for is_client in (True, False):
                count = len(self.messages(suite, is_client))
                for at in range(count):
                    for is_twice in (True, False):
                        self.without(suite, is_client, at, is_twice)

    def messages(self, suite: Suite, is_client: bool) -> list[bytes]:
        """The records of one side's handshake."""
        talk = self.talk(suite).carry()
        data = talk.sent[talk.client if is_client else talk.server]
        found = []
        while data:
            size = 5 + int.from_bytes(data[3:5], "big")
            found.append(data[:size])
            data = data[size:]
        return found

    def talk(self, suite: Suite) -> Conversation:
        """A conversation with certificates on both sides."""
        return Conversation(
            client_config(suite.name, identity=identity("client")),
            server_config(certificate=Verify.YES),
        )

    def without(self, suite: Suite, is_client: bool, at: int, is_twice: bool) -> None:
        """Leave a record of one side out, or send it twice."""
        talk = self.talk(suite)
        source = talk.client if is_client else talk.server
        number = 0
        for _ in range(4):
            for end, peer in ((talk.client, talk.server), (talk.server, talk.client)):
                data = end.data_to_send()
                while data:
                    size = 5 + int.from_bytes(data[3:5], "big")
                    times = 1
                    if end is source:
                        times = (0, 2)[is_twice] if number == at else 1
                        number += 1
                    talk.events[peer] += peer.receive(data[:size] * times)
                    data = data[size:]
        target = talk.server if is_client else talk.client
        is_last = number - 1 == at
        if not (is_last and is_twice):
            self.assertFalse(target.is_complete, (suite.name, is_client, at, is_twice))
        self.assertEqual(talk.heard(target), b"")
        if is_twice:
            self.assertIsNotNone(target.error)


class FinishedTests(SynchronousTestCase):
    """The end of the handshake, which proves that nobody has changed it."""

    def with_finished(self, is_client: bool, change: Callable[[bytes], bytes]) -> SSL3Engine:
        """The peer of a side whose Finished is another one, encrypted with the right keys."""
        right, talk = messages.finished, Conversation()
        talk.step(talk.client)
        source, target = talk.server, talk.client
        if is_client:
            source, target = target, source
        else:
            talk.step(talk.server)
        flight = (talk.client if not is_client else talk.server).data_to_send()
        with patch.object(messages, "finished", lambda digest: change(right(digest))):
            source.receive(flight)
        target.receive(source.data_to_send())
        self.assertFalse(target.is_complete)
        return target

    def test_a_wrong_hash_is_refused(self) -> None:
        """A Finished of other messages is an end, on both sides."""
        for is_client in (True, False):
            end = self.with_finished(is_client, lambda right: right[:4] + right[:3:-1])
            self.assertEqual(reason(end), "digest check failed")

    def test_nothing_may_follow_in_its_record(self) -> None:
        """The beginning of another message is no part of the handshake."""
        for is_client in (True, False):
            end = self.with_finished(is_client, lambda right: right + b"\x14")
            self.assertEqual(reason(end), "unexpected message")

    def test_someone_between_cannot_choose_the_suite_or_the_version(self) -> None:
        """A ClientHello that was changed on its way leads to no connection."""
        for old, new in ((b"\x00\x05\x00\x0a", b"\x00\x00\x00\x0a"), (b"\x03\x00", b"\x03\x03")):
            talk = Conversation(client_config("RC4-SHA", "DES-CBC3-SHA"))
            sent = talk.client.data_to_send()
            # Behind the record's header, which has a version as well.
            talk.server.receive(sent[:5] + sent[5:].replace(old, new, 1))
            self.assertIsNone(talk.server.error)
            talk.carry()
            self.assertFalse(talk.server.is_complete or talk.client.is_complete)
