"""The messages of the handshake, and the keys that are derived, against other sources."""

from __future__ import annotations

import hashlib
from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.tls.legacy.ssl3_pair import identity
from txtransport.config.policy import Side
from txtransport.tls.legacy import ssl3_messages as messages
from txtransport.tls.legacy.ssl3_fault import Alert, SSL3Fault
from txtransport.tls.legacy.ssl3_messages import DHShare, ECDHShare, MessageType, Transcript
from txtransport.tls.legacy.ssl3_suites import SUITES

RANDOMS: Final = (bytes(range(32)), bytes(range(100, 132)))
RSA: Final = SUITES["AES128-SHA"]
DHE: Final = SUITES["DHE-RSA-AES128-SHA"]
ECDHE: Final = SUITES["ECDHE-RSA-AES128-SHA"]

READERS: Final = {
    "ClientHello": lambda data: messages.read_client_hello(data, is_ssl2=False),
    "ClientHello of SSL 2.0": lambda data: messages.read_client_hello(data, is_ssl2=True),
    "ServerHello": messages.read_server_hello,
    "Certificate": messages.read_certificates,
    "CertificateRequest": messages.read_certificate_request,
    "ServerKeyExchange, DHE": lambda data: messages.read_server_key_exchange(DHE, data, RANDOMS),
    "ServerKeyExchange, ECDHE": lambda data: messages.read_server_key_exchange(
        ECDHE, data, RANDOMS
    ),
    "ServerHelloDone": messages.read_server_hello_done,
    "ClientKeyExchange, RSA": lambda data: messages.read_client_key_exchange(RSA, data),
    "ClientKeyExchange, DHE": lambda data: messages.read_client_key_exchange(DHE, data),
    "ClientKeyExchange, ECDHE": lambda data: messages.read_client_key_exchange(ECDHE, data),
    "CertificateVerify": messages.read_certificate_verify,
    "Finished": messages.read_finished,
}
"""Everything that parses what a peer sends."""


def message(kind: MessageType, body: bytes) -> bytes:
    """A message with its header."""
    return bytes((kind,)) + len(body).to_bytes(3, "big") + body


def derived(secret: bytes, seed: bytes, size: int) -> bytes:
    """RFC 6101, sections 6.1 and 6.2.2: MD5(secret + SHA('A' + secret + seed)) and so on."""
    block = b""
    for number in range(1, 20):
        letters = bytes((ord("A") + number - 1,)) * number
        inner = hashlib.sha1(letters + secret + seed).digest()
        block += hashlib.md5(secret + inner).digest()
    return block[:size]


class FormTests(SynchronousTestCase):
    """What is on the wire."""

    def test_our_client_hello_offers_ssl3_alone(self) -> None:
        """Version 3.0, no session, no compression, no extension, no TLS_FALLBACK_SCSV."""
        hello = messages.client_hello(RANDOMS[0], (RSA, ECDHE))
        self.assertEqual(
            hello,
            message(
                MessageType.CLIENT_HELLO,
                b"\x03\x00" + RANDOMS[0] + b"\x00" + b"\x00\x06\x00\x2f\xc0\x13\x00\xff\x01\x00",
            ),
        )
        self.assertNotIn(b"\x56\x00", hello)
        offer = messages.read_client_hello(hello, is_ssl2=False)
        self.assertEqual(offer.version, (3, 0))
        self.assertEqual(offer.suites, (0x2F, 0xC013, 0xFF))
        self.assertTrue(offer.is_renegotiation_known)

    def test_our_server_hello_answers_what_was_asked(self) -> None:
        """An extension is sent only to a client that knows of secure renegotiation."""
        for is_known in (False, True):
            hello = messages.server_hello(RANDOMS[1], RSA, is_renegotiation_known=is_known)
            choice = messages.read_server_hello(hello)
            expected = ((3, 0), 0x2F, 0, (messages.RENEGOTIATION_INFO,) * is_known)
            self.assertEqual(
                (choice.version, choice.suite, choice.compression, choice.extensions), expected
            )

    def test_certificates_go_there_and_back(self) -> None:
        """In DER, as they are, though nobody has parsed them."""
        for chain in ((), identity().chain, (b"no certificate",)):
            self.assertEqual(messages.read_certificates(messages.certificates(chain)), chain)
        for chain in ((b"",), (b"x",) * 101):
            self.assertRaises(SSL3Fault, messages.read_certificates, messages.certificates(chain))

    def test_a_list_of_authorities_that_is_too_long_is_not_sent(self) -> None:
        """A client that is told of none chooses by itself."""
        request = messages.certificate_request((b"name",))
        self.assertEqual(
            request, message(MessageType.CERTIFICATE_REQUEST, b"\x01\x01\x00\x06\x00\x04name")
        )
        self.assertTrue(messages.read_certificate_request(request))
        request = messages.certificate_request((bytes(60000),) * 2)
        self.assertEqual(request, message(MessageType.CERTIFICATE_REQUEST, b"\x01\x01\x00\x00"))

    def test_key_exchanges_go_there_and_back(self) -> None:
        """What one side writes the other one reads, and the same hash is signed."""
        share: DHShare | ECDHShare
        for suite, share in ((DHE, DHShare(2, 23, 8)), (ECDHE, ECDHShare(23, b"point"))):
            signed: list[bytes] = []

            def sign(digest: bytes, signed: list[bytes] = signed) -> bytes:
                signed.append(digest)
                return b"signature"

            data = messages.server_key_exchange(suite, share, RANDOMS, sign)
            found = messages.read_server_key_exchange(suite, data, RANDOMS)
            self.assertEqual((found.share, found.signature), (share, b"signature"))
            text = b"".join(RANDOMS) + data[4 : -2 - len(b"signature")]
            both = hashlib.md5(text).digest() + hashlib.sha1(text).digest()
            self.assertEqual([found.digest], signed)
            self.assertEqual(found.digest, both)
        for suite in (RSA, DHE, ECDHE):
            data = messages.client_key_exchange(suite, b"value")
            self.assertEqual(messages.read_client_key_exchange(suite, data), b"value")

    def test_one_key_exchange_is_not_taken_for_another(self) -> None:
        """SSL 3.0 does not sign which one it is, so their forms must differ (Wagner, Schneier)."""
        for suite, other, share in (
            (DHE, ECDHE, DHShare(2, (1 << 2048) - 1, 1 << 2047)),
            (ECDHE, DHE, ECDHShare(23, bytes(65))),
        ):
            data = messages.server_key_exchange(suite, share, RANDOMS, lambda digest: bytes(256))
            self.assertRaises(SSL3Fault, messages.read_server_key_exchange, other, data, RANDOMS)

    def test_a_handshake_that_goes_on_with_another_one_is_refused(self) -> None:
        """Someone has begun the connection in the name of the peer (CVE-2009-3555)."""
        extension = b"\x00\x06\xff\x01\x00\x02\x01x"
        hello = message(
            MessageType.CLIENT_HELLO,
            b"\x03\x00" + RANDOMS[0] + b"\x00\x00\x02\x00\x2f\x01\x00" + extension,
        )
        answer = message(
            MessageType.SERVER_HELLO, b"\x03\x00" + RANDOMS[1] + b"\x00\x00\x2f\x00" + extension
        )
        for read, data in ((READERS["ClientHello"], hello), (READERS["ServerHello"], answer)):
            fault = self.assertRaises(SSL3Fault, read, data)
            self.assertEqual(fault.alert, Alert.HANDSHAKE_FAILURE)


class HostileTests(SynchronousTestCase):
    """Bytes that are no message."""

    @settings(max_examples=300)
    @given(
        st.sampled_from(sorted(READERS)),
        st.integers(0, 255),
        st.binary(max_size=120),
        st.booleans(),
    )
    def test_nothing_but_a_fault_is_raised(
        self, reader: str, kind: int, body: bytes, is_right: bool
    ) -> None:
        """Whatever tlslite-ng raises, one kind of error comes out of it, with an alert."""
        size = len(body) if is_right else (len(body) + 3) % 256
        data = bytes((kind,)) + size.to_bytes(3, "big") + body
        try:
            READERS[reader](data)
        except SSL3Fault as fault:
            self.assertIsNotNone(fault.alert)

    def test_nothing_may_follow_within_a_message(self) -> None:
        """A message that is longer than its content is refused."""
        for data, read in (
            (messages.finished(bytes(36)), messages.read_finished),
            (messages.certificate_verify(b"x"), messages.read_certificate_verify),
            (messages.certificates((b"x",)), messages.read_certificates),
            (messages.server_hello_done(), messages.read_server_hello_done),
        ):
            for more in (b"x", bytes(300)):
                longer = data[:1] + (len(data) - 4 + len(more)).to_bytes(3, "big") + data[4:] + more
                self.assertRaises(SSL3Fault, read, longer)
                self.assertRaises(SSL3Fault, read, data + more)


class DerivationTests(SynchronousTestCase):
    """Keys and hashes, beside the RFC's formulas written out."""

    def test_the_master_secret_and_the_keys_are_those_of_the_rfc(self) -> None:
        """RFC 6101, sections 6.1 and 6.2.2."""
        client, server = RANDOMS
        master = messages.master_secret(b"secret", RANDOMS)
        self.assertEqual(master, derived(b"secret", client + server, 48))
        for suite in SUITES.values():
            mac = 16 if suite.digest == "md5" else 20
            sizes = (mac, mac, *(suite.cipher.key_size,) * 2, *(suite.cipher.block_size,) * 2)
            block, parts = derived(master, server + client, sum(sizes)), []
            for size in sizes:
                parts.append(block[:size])
                block = block[size:]
            found = messages.key_block(suite, master, RANDOMS)
            ours, theirs = found[Side.CLIENT], found[Side.SERVER]
            self.assertEqual(
                [ours.mac, theirs.mac, ours.key, theirs.key, ours.iv, theirs.iv], parts
            )
            self.assertNotIn(repr(ours.key), repr(found))

    def test_the_hashes_of_the_handshake_are_those_of_the_rfc(self) -> None:
        """RFC 6101, sections 5.6.8 and 5.6.9."""
        transcript, master = Transcript(), bytes(range(48))
        transcript.add(b"hello ")
        transcript.add(b"done")
        for sender, found in (
            (b"CLNT", transcript.finished(Side.CLIENT, master)),
            (b"SRVR", transcript.finished(Side.SERVER, master)),
            (b"", transcript.certificate_verify(master)),
        ):
            expected = b""
            for name, pad in (("md5", 48), ("sha1", 40)):
                inner = hashlib.new(name, b"hello done" + sender + master + b"\x36" * pad)
                outer = hashlib.new(name, master + b"\x5c" * pad + inner.digest())
                expected += outer.digest()
            self.assertEqual(found, expected)
