"""How the two sides of SSL 3.0 come to a secret, and how a server or client proves its key.

RSA and the elliptic curves are `cryptography`'s. Diffie-Hellman over finite fields, which
`cryptography` gives up, is Python's ``pow()``; it takes a time that depends on the secret
exponent, which is used for one connection alone.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import (
    X25519PrivateKey,
    X25519PublicKey,
)
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from OpenSSL import crypto

from txtransport.tls.legacy.ssl3_fault import Alert, SSL3Fault
from txtransport.tls.legacy.ssl3_messages import DH_GROUP, DHShare, ECDHShare, raw_signature

__all__ = [
    "CURVES",
    "DHSecret",
    "ECDHSecret",
    "Entropy",
    "answer",
    "encrypted",
    "public_key_of",
    "rsa_secret",
    "sign",
    "verify_signature",
]

Entropy = Callable[[int], bytes]
"""Returns so many random bytes; `os.urandom` does."""

_SECRET_SIZE: Final = 48
"""The bytes of what an RSA key exchange agrees on."""

_NO_DIGEST_INFO: Final = getattr(utils, "NoDigestInfo", None)
_RAW: Final = None if _NO_DIGEST_INFO is None else _NO_DIGEST_INFO()
"""SSL 3.0 signs MD5 and SHA-1 together, without the name of a hash."""


def _illegal(reason: str) -> SSL3Fault:
    return SSL3Fault(reason, Alert.ILLEGAL_PARAMETER)


# --- RSA --------------------------------------------------------------------------


def public_key_of(certificate: bytes) -> RSAPublicKey:
    """The public key of a certificate.

    Args:
        certificate: In DER.

    Raises:
        SSL3Fault: OpenSSL cannot read it, or its key is not RSA.
    """
    try:
        found = crypto.load_certificate(crypto.FILETYPE_ASN1, certificate).get_pubkey()
        key = found.to_cryptography_key()
    except Exception as error:
        # OpenSSL's errors, and those of cryptography for a key that it does not know.
        raise SSL3Fault("unknown certificate type", Alert.BAD_CERTIFICATE) from error
    if not isinstance(key, RSAPublicKey):
        raise SSL3Fault("wrong certificate type", Alert.UNSUPPORTED_CERTIFICATE)
    return key


def encrypted(key: RSAPublicKey, secret: bytes) -> bytes:
    """The secret of a client, for a server.

    Args:
        key: The server's public key.
        secret: 48 bytes.

    Raises:
        SSL3Fault: The key is too small for it.
    """
    try:
        return key.encrypt(secret, PKCS1v15())
    except ValueError as error:
        raise SSL3Fault("bad rsa encrypt", Alert.HANDSHAKE_FAILURE) from error


def rsa_secret(
    key: RSAPrivateKey, value: bytes, version: tuple[int, int], entropy: Entropy
) -> bytes:
    """The secret that a client has encrypted for us, or a random one.

    Bleichenbacher's attack (1998; ROBOT, 2017) asks a server again and again whether a number
    decrypts to something with the right padding. So nothing may tell: for a wrong padding
    OpenSSL (from 3.2 on) returns random bytes of a random length, and here any wrong length
    and any wrong version becomes a random secret. The handshake goes on and fails at the
    client's Finished, as it does for every other wrong secret.

    Args:
        key: Our private key.
        value: The client's ClientKeyExchange.
        version: The newest version that the client has offered, which is in the secret so
            that nobody between the two can offer an older one.
        entropy: Returns random bytes.
    """
    substitute = bytes(version) + entropy(_SECRET_SIZE - 2)
    try:
        found = key.decrypt(value, PKCS1v15())
    except ValueError:
        # The number of bytes is wrong, or the number too large: everybody can see that.
        # Or OpenSSL is older than 3.2 and says that the padding is wrong.
        found = b""
    is_good = hmac.compare_digest(found[:2], bytes(version)) & (len(found) == _SECRET_SIZE)
    return (substitute, found)[is_good]


def sign(key: RSAPrivateKey, digest: bytes) -> bytes:
    """A signature of both hashes.

    Args:
        key: Our private key.
        digest: MD5 and SHA-1 together: 36 bytes.
    """
    if _RAW is not None:
        return key.sign(digest, PKCS1v15(), _RAW)
    private = key.private_numbers()
    public = private.public_numbers
    return raw_signature(
        (
            public.n,
            public.e,
            private.d,
            private.p,
            private.q,
            private.dmp1,
            private.dmq1,
            private.iqmp,
        ),
        digest,
    )


def verify_signature(key: RSAPublicKey, signature: bytes, digest: bytes) -> None:
    """Check that a signature is of these hashes and no others.

    Args:
        key: The peer's public key.
        signature: The peer's signature.
        digest: MD5 and SHA-1 together: 36 bytes.

    Raises:
        SSL3Fault: It is not.
    """
    try:
        signed = key.recover_data_from_signature(signature, PKCS1v15(), _RAW)
    except (InvalidSignature, ValueError):
        signed = b""
    if not hmac.compare_digest(signed, digest):
        raise SSL3Fault("bad signature", Alert.HANDSHAKE_FAILURE)


# --- Diffie-Hellman ---------------------------------------------------------------

_LEAST_BITS: Final = 1024
"""Below, a prime can be prepared for by anybody (Logjam, CVE-2015-4000)."""

_MOST_BITS: Final = 4096
"""Above, a server could make us calculate for seconds."""

_OUR_EXPONENT: Final = 32
"""Bytes: more than twice the strength of our group (RFC 7919, section 5.2)."""


class DHSecret:
    """Our half of a Diffie-Hellman key exchange.

    Args:
        entropy: Returns random bytes.
        generator: The group's generator.
        prime: The group's prime.
        size: The bytes of the secret exponent.

    Attributes:
        share: What the peer is told.
        public: Our public value.
    """

    def __init__(
        self,
        entropy: Entropy,
        generator: int = DH_GROUP[0],
        prime: int = DH_GROUP[1],
        size: int = _OUR_EXPONENT,
    ) -> None:
        self._exponent = int.from_bytes(entropy(size), "big") | 1 << (8 * size - 2)
        public = pow(generator, self._exponent, prime)
        self.share: DHShare = DHShare(generator, prime, public)
        self.public: bytes = _number(public)

    def agree(self, public: bytes) -> bytes:
        """The secret, without zeros at its beginning.

        Args:
            public: The peer's public value.

        Raises:
            SSL3Fault: The value would make the secret known to everybody.
        """
        prime, value = self.share.prime, int.from_bytes(public, "big")
        if not 1 < value < prime - 1:
            raise _illegal("bad dh value")
        return _number(pow(value, self._exponent, prime))


def _number(value: int) -> bytes:
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


CURVES: Final[dict[int, ec.EllipticCurve | None]] = {
    23: ec.SECP256R1(),
    24: ec.SECP384R1(),
    25: ec.SECP521R1(),
    29: None,
}
"""The curves, by their numbers (RFC 8422, section 5.1.1), the preferred first.

29 is X25519, for which `cryptography` has classes of its own. It is younger than SSL 3.0, but
Java's server takes it for every client that names no curves.
"""


class ECDHSecret:
    """Our half of a key exchange on an elliptic curve.

    Args:
        curve: The curve's number.

    Attributes:
        share: What the peer is told.
        public: Our public point, encoded.
    """

    def __init__(self, curve: int = 23) -> None:
        named = CURVES[curve]
        self._exchange: Callable[[bytes], bytes]
        if named is None:
            on_25519 = X25519PrivateKey.generate()
            self._exchange = lambda point: on_25519.exchange(
                X25519PublicKey.from_public_bytes(point)
            )
            self.public: bytes = on_25519.public_key().public_bytes_raw()
        else:
            on_curve = ec.generate_private_key(named)
            self._exchange = lambda point: on_curve.exchange(
                ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(named, point)
            )
            self.public = on_curve.public_key().public_bytes(
                Encoding.X962, PublicFormat.UncompressedPoint
            )
        self.share: ECDHShare = ECDHShare(curve, self.public)

    def agree(self, public: bytes) -> bytes:
        """The secret.

        Args:
            public: The peer's point.

        Raises:
            SSL3Fault: It is not a point of the curve, or makes the secret known to everybody.
        """
        try:
            return self._exchange(public)
        except ValueError as error:
            raise _illegal("bad ecpoint") from error


def answer(share: DHShare | ECDHShare, entropy: Entropy) -> tuple[bytes, bytes]:
    """A client's half of the key exchange.

    Args:
        share: The server's half, whose signature is verified.
        entropy: Returns random bytes.

    Returns:
        The secret, and our public value or point.

    Raises:
        SSL3Fault: The server's group or value is not acceptable.
    """
    if isinstance(share, ECDHShare):
        if share.curve not in CURVES:
            raise _illegal("wrong curve")
        on_curve = ECDHSecret(share.curve)
        return on_curve.agree(share.point), on_curve.public
    bits = share.prime.bit_length()
    if bits < _LEAST_BITS:
        raise SSL3Fault("dh key too small", Alert.HANDSHAKE_FAILURE)
    if bits > _MOST_BITS or not share.prime & 1:
        raise _illegal("bad dh value")
    if not 1 < share.generator < share.prime - 1:
        raise _illegal("bad dh value")
    # Nothing is known of the group, so the exponent is as long as the prime.
    secret = DHSecret(entropy, share.generator, share.prime, bits // 8)
    return secret.agree(_number(share.public)), secret.public
