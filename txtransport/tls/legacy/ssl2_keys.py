"""What SSL 2.0 does with RSA: the master key's way to the server, and a client's proof.

A server that can be asked whether a padding is good decrypts, in some ten thousand
questions, what was encrypted for it in any protocol (Bleichenbacher, 1998). SSL 2.0 asks
for it: after CLIENT-MASTER-KEY the server speaks first, encrypted with a key that for
suites of export has 40 secret bits. DROWN (2016) searches these, and sends the same
ciphertext twice: a server that puts *random* bytes in the place of what it could not
decrypt answers with two keys, and says by that that the padding was bad.

So what takes the place here is not random. It follows from the ciphertext and the private
key, in the same way as in OpenSSL's implicit rejection (since 3.2), which does the same for
bad paddings and gives a text of any length. A text of the wrong length, such as the 48
bytes of a TLS session that was recorded, is replaced as well. Then two questions with one
ciphertext have one answer, be the padding good or bad, and the answer to a good one cannot
be told from that to a bad one.

In SSL 3.0 a client that was made to speak SSL 2.0 says so in the padding (RFC 6101,
appendix E.2), and servers *that have SSL 3.0* look there. Ours has one version alone, which
there is nothing to roll back from; and nobody may see a padding, ours included.
"""

from __future__ import annotations

import hashlib
import hmac
import warnings
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.hashes import MD5

from txtransport.tls.legacy.ssl2_messages import ErrorCode, SSL2Error

__all__ = ["check_response", "decrypt_secret", "encrypt_secret", "key_bytes", "sign_response"]

_LABEL: Final = b"txtransport: in place of a secret of SSL 2.0"


def encrypt_secret(certificate: bytes, secret: bytes) -> bytes:
    """Encrypt the secret part of the master key for a server.

    Args:
        certificate: The server's, in DER, verified.
        secret: The secret part.

    Raises:
        SSL2Error: The certificate has no RSA key, or one that is too short for it.
    """
    try:
        return _public_key(certificate).encrypt(secret, PKCS1v15())
    except ValueError:
        raise SSL2Error("ee key too small", ErrorCode.BAD_CERTIFICATE) from None


def decrypt_secret(key: RSAPrivateKey, encrypted: bytes, size: int) -> bytes:
    """Decrypt the secret part of the master key, or replace it; nobody can tell which.

    Args:
        key: The server's.
        encrypted: Exactly as long as the key (`key_bytes`).
        size: How many bytes the secret must have, 32 at the most.
    """
    private = key_bytes(key), key.private_numbers().d
    seed = hashlib.sha256(_LABEL + private[1].to_bytes(private[0], "big")).digest()
    replacement = hmac.digest(seed, bytes((size,)) + encrypted, "sha256")[:size]
    try:
        secret = key.decrypt(encrypted, PKCS1v15())
    except ValueError:
        # Not a number below the modulus, as everybody can see; or OpenSSL is older than 3.2.
        secret = b""
    return (replacement, secret)[len(secret) == size]


def key_bytes(key: RSAPrivateKey) -> int:
    """The size of a key, and of what is encrypted with it, in bytes."""
    return (key.key_size + 7) // 8


def sign_response(key: RSAPrivateKey, material: bytes, challenge: bytes, server: bytes) -> bytes:
    """Prove that we have the key of our certificate (section 5.5.3).

    Args:
        key: The client's.
        material: All that the session's keys were made of.
        challenge: What the server has sent to be signed.
        server: The server's certificate in DER, so that it cannot use the proof elsewhere.
    """
    return key.sign(material + challenge + server, PKCS1v15(), MD5())


def check_response(
    certificate: bytes, response: bytes, material: bytes, challenge: bytes, server: bytes
) -> None:
    """Whether a client has the key of its certificate; the rest is as for `sign_response`.

    Raises:
        SSL2Error: It has not.
    """
    key = _public_key(certificate)
    try:
        key.verify(response, material + challenge + server, PKCS1v15(), MD5())
    except InvalidSignature:
        raise SSL2Error("bad checksum", ErrorCode.BAD_CERTIFICATE) from None


def _public_key(certificate: bytes) -> RSAPublicKey:
    try:
        with warnings.catch_warnings():
            # Of serial numbers and the like, which are the verification's matter.
            warnings.simplefilter("ignore")
            key = x509.load_der_x509_certificate(certificate).public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion):
        raise SSL2Error("unreadable certificate", ErrorCode.BAD_CERTIFICATE) from None
    if not isinstance(key, RSAPublicKey):
        raise SSL2Error("public key is not rsa", ErrorCode.UNSUPPORTED_CERTIFICATE_TYPE)
    return key
