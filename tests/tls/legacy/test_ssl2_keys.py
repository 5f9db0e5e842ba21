"""What SSL 2.0 does with RSA: no question to a server tells whether a padding was good."""

from __future__ import annotations

import secrets

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.certificates import authority
from tests.tls.legacy.ssl2_ends import operations, person, site
from txtransport.tls.legacy.ssl2_keys import (
    check_response,
    decrypt_secret,
    encrypt_secret,
    sign_response,
)
from txtransport.tls.legacy.ssl2_messages import ErrorCode, SSL2Error

SIZE = 256
"""What is encrypted for the site has as many bytes as its key."""


def encrypted(secret: bytes) -> bytes:
    """A secret, encrypted for the site by a client that may be hostile."""
    return site().key.public_key().encrypt(secret, PKCS1v15())


def below_the_modulus() -> bytes:
    """A ciphertext whose padding is bad, as all but one in 65,536 are."""
    return b"\0" + secrets.token_bytes(SIZE - 1)


class DecryptTests(SynchronousTestCase):
    """The secret part of the master key."""

    def test_a_good_secret_is_decrypted(self) -> None:
        """What a client encrypts for a certificate, the server has."""
        for size in (5, 16, 24):
            secret = secrets.token_bytes(size)
            sent = encrypt_secret(site().chain[0], secret)
            self.assertEqual(decrypt_secret(site().key, sent, size), secret)

    def test_a_bad_one_is_replaced_and_always_by_the_same(self) -> None:
        """DROWN asks twice with one ciphertext: two different answers mean a bad padding."""
        for sent in (
            below_the_modulus(),
            b"\xff" * SIZE,
            encrypted(b""),
            encrypted(bytes(4)),
            encrypted(bytes(48)),
            encrypted(bytes(SIZE - 11)),
        ):
            for size in (5, 16, 24):
                first = decrypt_secret(site().key, sent, size)
                self.assertEqual(len(first), size)
                self.assertNotEqual(first, bytes(size))
                self.assertEqual(decrypt_secret(site().key, sent, size), first)

    def test_what_takes_its_place_is_of_the_ciphertext_and_the_key(self) -> None:
        """It differs with each ciphertext, size and key, so it says nothing of any other."""
        sent = encrypted(bytes(48))
        made = {
            decrypt_secret(key, what, size)[:5]
            for key in (site().key, person().key)
            for what in (sent, encrypted(bytes(48)))
            for size in (5, 16, 24)
        }
        self.assertEqual(len(made), 12)

    @settings(max_examples=50, deadline=None)
    @given(st.binary(min_size=SIZE, max_size=SIZE), st.sampled_from([5, 16, 24]))
    def test_any_ciphertext_gives_a_secret(self, sent: bytes, size: int) -> None:
        """No ciphertext of the right size raises an exception, or gives another size."""
        self.assertEqual(len(decrypt_secret(site().key, sent, size)), size)

    def test_good_and_bad_cost_the_same(self) -> None:
        """The same functions are called, in the same order, whatever was encrypted."""
        key, sent = site().key, encrypted(bytes(range(16)))
        good = operations(lambda: decrypt_secret(key, sent, 16))
        for bad in (below_the_modulus(), encrypted(bytes(48)), encrypted(bytes(15))):
            self.assertEqual(operations(lambda s=bad: decrypt_secret(key, s, 16)), good)  # type: ignore[misc]
        self.assertEqual(good.count("decrypt"), 1)


class EncryptTests(SynchronousTestCase):
    """The client's side."""

    def test_a_certificate_must_have_an_rsa_key(self) -> None:
        """SSL 2.0 knows no other key."""
        leaf = authority().issue("good.example", key="ec").certificate
        der = leaf.public_bytes(Encoding.DER)
        error = self.assertRaises(SSL2Error, encrypt_secret, der, bytes(16))
        self.assertEqual(error.reason, "public key is not rsa")
        self.assertEqual(error.code, ErrorCode.UNSUPPORTED_CERTIFICATE_TYPE)

    def test_what_is_no_certificate_is_refused(self) -> None:
        """Also one that is cut off."""
        for der in (b"", b"cert", site().chain[0][:-1], site().chain[0] + b"\0"):
            error = self.assertRaises(SSL2Error, encrypt_secret, der, bytes(16))
            self.assertEqual(error.reason, "unreadable certificate")

    def test_a_certificate_of_no_version_is_refused(self) -> None:
        """cryptography has an exception of its own for these, which is no ValueError."""
        der = site().chain[0].replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x06", 1)
        error = self.assertRaises(SSL2Error, encrypt_secret, der, bytes(16))
        self.assertEqual(error.reason, "unreadable certificate")

    def test_a_key_must_have_room_for_the_secret(self) -> None:
        """Of a key that is too short for it, nothing is sent."""
        error = self.assertRaises(SSL2Error, encrypt_secret, site().chain[0], bytes(SIZE))
        self.assertEqual(error.reason, "ee key too small")


class ResponseTests(SynchronousTestCase):
    """How a client proves the key of its certificate."""

    def test_only_the_key_of_the_certificate_proves_it(self) -> None:
        """The proof holds for this connection, this challenge and this server alone."""
        said = b"material", b"challenge", b"server"
        proof = sign_response(person().key, *said)
        check_response(person().chain[0], proof, *said)
        for certificate, response, told in (
            (site().chain[0], proof, said),
            (person().chain[0], proof[:-1] + bytes((proof[-1] ^ 1,)), said),
            (person().chain[0], b"", said),
            (person().chain[0], proof, (b"MATERIAL", b"challenge", b"server")),
            (person().chain[0], proof, (b"material", b"CHALLENGE", b"server")),
            (person().chain[0], proof, (b"material", b"challenge", b"SERVER")),
        ):
            error = self.assertRaises(SSL2Error, check_response, certificate, response, *told)
            self.assertEqual((error.reason, error.code), ("bad checksum", 4))
