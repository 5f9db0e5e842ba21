"""How both sides come to a secret, and what a peer cannot learn or force."""

from __future__ import annotations

import functools
import hashlib
import os
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any, Final
from unittest.mock import patch

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from twisted.trial.unittest import SynchronousTestCase

from tests import certificates
from tests.tls.legacy.ssl3_pair import identity
from txtransport.tls.legacy import ssl3_key_exchange
from txtransport.tls.legacy.ssl3_fault import Alert, SSL3Fault
from txtransport.tls.legacy.ssl3_key_exchange import (
    CURVES,
    DHSecret,
    ECDHSecret,
    answer,
    encrypted,
    public_key_of,
    rsa_secret,
    sign,
    verify_signature,
)
from txtransport.tls.legacy.ssl3_messages import DH_GROUP, DHShare, ECDHShare

TLS12: Final = (3, 3)
GOOD: Final = bytes(TLS12) + b"s" * 46
DIGEST: Final = hashlib.md5(b"x").digest() + hashlib.sha1(b"x").digest()

# 1024-bit MODP group (RFC 2409, section 6.2), as such devices have it.
OAKLEY_2: Final = int(
    "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74"
    "020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F1437"
    "4FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED"
    "EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE65381FFFFFFFFFFFFFFFF",
    16,
)


def zeros(size: int) -> bytes:
    """In place of random bytes."""
    return bytes(size)


def raw(padded: bytes) -> bytes:
    """What a client would send that decrypts to the given bytes, padding and all."""
    numbers = identity().key.public_key().public_numbers()
    number = pow(int.from_bytes(padded, "big"), numbers.e, numbers.n)
    return number.to_bytes(256, "big")


def padded(text: bytes, head: bytes = b"\x00\x02", end: bytes = b"\x00") -> bytes:
    """A text with PKCS #1's padding, or another one."""
    return head + b"\xaa" * (256 - len(head) - len(end) - len(text)) + end + text


WRONG: Final = {
    "no padding": b"\x00\x17" + b"\xaa" * 254,
    "padding of a signature": padded(GOOD, b"\x00\x01"),
    "no end of the padding": padded(GOOD, end=b"\xaa"),
    "a short padding": b"\x00\x02\xaa\xaa\x00" + b"\xaa" * 251,
    "nothing": padded(b""),
    "47 bytes": padded(GOOD[:-1]),
    "49 bytes": padded(GOOD + b"x"),
    "another version": padded(bytes((3, 0)) + b"s" * 46),
    "a zero in the padding": padded(b"\x00" * 10 + GOOD),
}
"""What a client that tries Bleichenbacher's attack may send."""


class Calls:
    """Counts the calls of functions while it is entered, those in C among them."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def __enter__(self) -> Calls:
        sys.setprofile(self._seen)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _seen(self, frame: FrameType, event: str, argument: Any) -> None:
        if event in ("call", "c_call"):
            self.names.append(getattr(argument, "__name__", frame.f_code.co_name))


class RSATests(SynchronousTestCase):
    """The secret that a client encrypts for us."""

    def secret(self, value: bytes) -> bytes:
        """What it becomes for a client whose newest version is TLS 1.2."""
        return rsa_secret(identity().key, value, TLS12, zeros)

    def test_a_client_s_secret_is_decrypted(self) -> None:
        """48 bytes that begin with the client's newest version."""
        self.assertEqual(self.secret(raw(padded(GOOD))), GOOD)
        self.assertEqual(self.secret(encrypted(identity().key.public_key(), GOOD)), GOOD)

    def test_whatever_is_wrong_becomes_a_random_secret(self) -> None:
        """Nothing tells a wrong padding from a wrong length or version (Bleichenbacher, ROBOT)."""
        for name, value in WRONG.items():
            self.assertEqual(self.secret(raw(value)), bytes(TLS12) + bytes(46), name)
        for value in (b"", b"\x01", bytes(255), bytes(256), bytes(257), b"\xff" * 256):
            self.assertEqual(self.secret(value), bytes(TLS12) + bytes(46))

    def test_what_is_wrong_costs_what_is_right_costs(self) -> None:
        """The same functions are called, in the same order, whatever a client has encrypted."""
        seen = set()
        for value in (padded(GOOD), *WRONG.values()):
            sent, key = raw(value), identity().key
            with Calls() as calls:
                rsa_secret(key, sent, TLS12, zeros)
            seen.add(tuple(calls.names))
        self.assertEqual(len(seen), 1, seen)
        self.assertIn("decrypt", next(iter(seen)))

    def test_keys_that_only_such_devices_have_can_be_used(self) -> None:
        """RSA with 512 bits is enough for a secret; whether it is trusted is decided elsewhere."""
        key = small_key()
        self.assertEqual(key.decrypt(encrypted(key.public_key(), GOOD), PKCS1v15()), GOOD)
        self.assertRaises(SSL3Fault, encrypted, TinyKey(), GOOD)


class TinyKey:
    """A key into which nothing fits; those of cryptography are not that small."""

    def encrypt(self, secret: bytes, padding: PKCS1v15) -> bytes:
        raise ValueError("Encryption failed")


SMALL_KEY: Final = b"""\
-----BEGIN PRIVATE KEY-----
MIIBVgIBADANBgkqhkiG9w0BAQEFAASCAUAwggE8AgEAAkEAyBArP+TQjXa9j2md
CejSIejo2YQDnli39dvyyiqqwbR1TeXCJMtlDQM8O1VT0XXAyUnmULmziwrR0uOx
Q3+x6wIDAQABAkEAmD/FyiAFnkJoy8Th33Kwx2GKIk5WuqBljtLNl5CU1kd2uTKI
d+C8K3l1609uSYy890bG8DYr3SYaYGF7vDOIAQIhAPg6kXILhu7MBlfYgIBdTs0A
9Ihn/ueK7fUCwsv+uUoBAiEAzlOTtNNHYI+dtckKrCvlTKTTPE3H/PY8ta/yGmgK
w+sCIQCLFrY8wvy+fY/oVSXbx2zKLgjXDf6k2xHuwbdI+tf0AQIgWAcueLK/vEHp
3po0tHpR7V5RRWRGE/YWtsmneH61QRsCIQDlCBUlfNFzwWRmFzg0B77YIDgLBhYv
Gmf7gRVzXkl1sQ==
-----END PRIVATE KEY-----
"""
"""RSA with 512 bits, which cryptography does not make any more. It is used for nothing else."""


@functools.cache
def small_key() -> RSAPrivateKey:
    """The key of a device that is very old."""
    key = load_pem_private_key(SMALL_KEY, None)
    assert isinstance(key, RSAPrivateKey)
    return key


class SignatureTests(SynchronousTestCase):
    """How a server proves its half of a key exchange, and a client its certificate."""

    def test_a_signature_is_verified(self) -> None:
        """Both hashes, without their names, and nothing else."""
        key = identity().key
        verify_signature(key.public_key(), sign(key, DIGEST), DIGEST)
        named = key.sign(b"x", PKCS1v15(), SHA1())
        for signature in (sign(key, DIGEST[::-1]), named, sign(key, DIGEST)[:-1], b"", bytes(256)):
            self.assertRaises(SSL3Fault, verify_signature, key.public_key(), signature, DIGEST)

    def test_nothing_may_follow_what_is_signed(self) -> None:
        """A signature that anybody can make for a key with the exponent 3 (CVE-2006-4339)."""
        key = identity().key
        for forged in (DIGEST + b"\x00", b"\x00" + DIGEST, DIGEST[:-1]):
            signature = sign(key, forged)
            self.assertRaises(SSL3Fault, verify_signature, key.public_key(), signature, DIGEST)

    def test_an_older_cryptography_signs_the_same(self) -> None:
        """Before version 47 it cannot sign without a hash's name, and tlslite-ng does."""
        key = identity().key
        expected = sign(key, DIGEST)
        with patch.object(ssl3_key_exchange, "_RAW", None):
            self.assertEqual(sign(key, DIGEST), expected)
            verify_signature(key.public_key(), expected, DIGEST)

    def test_the_key_is_that_of_the_certificate(self) -> None:
        """RSA, from certificates that OpenSSL can read; others are refused with an alert."""
        leaf = identity().chain[0]
        self.assertEqual(public_key_of(leaf), identity().key.public_key())
        self.assertIsInstance(public_key_of(latin()), RSAPublicKey)
        for data in (b"", b"0", leaf[:-1], leaf[1:]):
            fault = self.assertRaises(SSL3Fault, public_key_of, data)
            self.assertEqual(fault.alert, Alert.BAD_CERTIFICATE)
        elliptic = certificates.authority().certificate.public_bytes(Encoding.DER)
        fault = self.assertRaises(SSL3Fault, public_key_of, elliptic)
        self.assertEqual(fault.alert, Alert.UNSUPPORTED_CERTIFICATE)


def latin() -> bytes:
    """A certificate whose subject cryptography cannot read, as old appliances have them."""
    return identity().chain[0].replace(b"\x0c\x0cgood.example", b"\x14\x0cgo\xf6d.example")


class DHTests(SynchronousTestCase):
    """Diffie-Hellman over finite fields."""

    def test_both_sides_come_to_the_same_secret(self) -> None:
        """With our group, and with the group of a device."""
        for ours in (DHSecret(os.urandom), DHSecret(os.urandom, 2, OAKLEY_2, 128)):
            secret, public = answer(ours.share, os.urandom)
            self.assertEqual(ours.agree(public), secret)
            self.assertGreater(len(secret), 120)

    def test_zeros_at_the_beginning_are_not_part_of_the_secret(self) -> None:
        """So SSL 3.0 and TLS have it, and a handshake in 256 would fail otherwise."""
        ours = DHSecret(lambda size: bytes(size))
        exponent = 1 << 254
        self.assertEqual(ours.agree(b"\x02"), plain(pow(2, exponent, DH_GROUP[1])))

    def test_values_that_make_the_secret_known_are_refused(self) -> None:
        """0, 1, p - 1, p and more have secrets that anybody can compute."""
        ours = DHSecret(os.urandom)
        prime = DH_GROUP[1]
        for value in (0, 1, prime - 1, prime, prime + 1, 1 << 4096):
            self.assertRaises(SSL3Fault, ours.agree, plain(value))
            self.assertRaises(SSL3Fault, answer, DHShare(2, prime, value), os.urandom)

    def test_groups_that_are_too_weak_or_too_costly_are_refused(self) -> None:
        """A small prime (Logjam), one that would take us seconds, and what is no prime."""
        for prime in ((1 << 512) - 569, (1 << 1023) - 1, 1 << 2048, (1 << 4097) - 1, 7, 0):
            self.assertRaises(SSL3Fault, answer, DHShare(2, prime, 4), os.urandom)
        for generator in (0, 1, OAKLEY_2 - 1, OAKLEY_2):
            self.assertRaises(SSL3Fault, answer, DHShare(generator, OAKLEY_2, 4), os.urandom)

    def test_each_handshake_has_a_secret_of_its_own(self) -> None:
        """Nothing that an attacker measures can be measured again."""
        self.assertNotEqual(DHSecret(os.urandom).public, DHSecret(os.urandom).public)
        self.assertNotEqual(ECDHSecret().public, ECDHSecret().public)


def plain(value: int) -> bytes:
    """A number, without zeros at its beginning."""
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


class ECDHTests(SynchronousTestCase):
    """The elliptic curves."""

    def test_both_sides_come_to_the_same_secret(self) -> None:
        """On each curve."""
        for curve in CURVES:
            ours = ECDHSecret(curve)
            secret, public = answer(ours.share, os.urandom)
            self.assertEqual(ours.agree(public), secret)

    def test_a_point_of_x25519_that_makes_the_secret_known_is_refused(self) -> None:
        """Points of a small order lead to zeros (RFC 7748, section 6.1)."""
        ours = ECDHSecret(29)
        for point in (bytes(32), b"\x01" + bytes(31), bytes(31), bytes(33), b""):
            self.assertRaises(SSL3Fault, ours.agree, point)

    def test_what_is_no_point_of_the_curve_is_refused(self) -> None:
        """Points of other curves, the infinite one and changed ones (invalid curve attacks)."""
        ours = ECDHSecret()
        good = ECDHSecret().public
        for point in bad_points(good):
            self.assertRaises(SSL3Fault, ours.agree, point)
            self.assertRaises(SSL3Fault, answer, ECDHShare(23, point), os.urandom)

    def test_other_curves_are_refused(self) -> None:
        """A curve that we do not have, such as one of the small binary ones."""
        for curve in (0, 1, 22, 26, 30, 0xFFFF):
            fault = self.assertRaises(SSL3Fault, answer, ECDHShare(curve, b""), os.urandom)
            self.assertEqual(fault.reason, "wrong curve")


def bad_points(good: bytes) -> Iterator[bytes]:
    """Encodings that are no point of P-256."""
    yield from (b"", b"\x00", b"\x04", good[:-1], good + b"\x00", b"\x05" + good[1:])
    yield good[:-1] + bytes((good[-1] ^ 1,))
    yield ECDHSecret(24).public
    yield b"\x04" + bytes(64)
    assert ec.SECP256R1().key_size == 256
