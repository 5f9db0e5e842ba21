"""The cipher suites of SSL 3.0 that are offered and accepted: a table.

They are those that tlslite-ng has for SSL 3.0 and for certificates with RSA keys, but for
the ones without encryption. What it has and is not here: suites without a certificate (DH
anonymous, SRP), with DSA or ECDSA certificates, and with a fixed Diffie-Hellman key. What it
does not have either: EXPORT suites and single DES.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from attrs import frozen

__all__ = ["SSL3_CIPHERS", "SUITES", "BulkCipher", "KeyExchange", "Suite", "suites_named"]


class KeyExchange(Enum):
    """How the two sides come to a secret."""

    RSA = "RSA"
    """The client encrypts it with the key in the server's certificate: no forward secrecy."""
    DHE = "DHE"
    ECDHE = "ECDHE"


class BulkCipher(Enum):
    """What encrypts the records: the sizes of key and block in bytes, and the strength in bits.

    A size of 0 is that of a stream cipher, which has no blocks.
    """

    RC4 = (16, 0, 128)
    TRIPLE_DES = (24, 8, 112)
    AES_128 = (16, 16, 128)
    AES_256 = (32, 16, 256)

    def __init__(self, key_size: int, block_size: int, bits: int) -> None:
        self.key_size = key_size
        self.block_size = block_size
        self.bits = bits


@frozen
class Suite:
    """One cipher suite.

    Attributes:
        number: Stands for it on the wire.
        name: OpenSSL's name of it.
        exchange: How the two sides come to a secret.
        cipher: What encrypts the records.
        digest: The hash of the records' MAC: ``md5`` or ``sha1``.
    """

    number: int
    name: str
    exchange: KeyExchange
    cipher: BulkCipher
    digest: str = "sha1"


_RSA, _DHE, _ECDHE = KeyExchange

_ALL: Final = (
    Suite(0xC011, "ECDHE-RSA-RC4-SHA", _ECDHE, BulkCipher.RC4),
    Suite(0x0005, "RC4-SHA", _RSA, BulkCipher.RC4),
    Suite(0x0004, "RC4-MD5", _RSA, BulkCipher.RC4, "md5"),
    Suite(0xC014, "ECDHE-RSA-AES256-SHA", _ECDHE, BulkCipher.AES_256),
    Suite(0xC013, "ECDHE-RSA-AES128-SHA", _ECDHE, BulkCipher.AES_128),
    Suite(0x0039, "DHE-RSA-AES256-SHA", _DHE, BulkCipher.AES_256),
    Suite(0x0033, "DHE-RSA-AES128-SHA", _DHE, BulkCipher.AES_128),
    Suite(0x0035, "AES256-SHA", _RSA, BulkCipher.AES_256),
    Suite(0x002F, "AES128-SHA", _RSA, BulkCipher.AES_128),
    Suite(0xC012, "ECDHE-RSA-DES-CBC3-SHA", _ECDHE, BulkCipher.TRIPLE_DES),
    Suite(0x0016, "DHE-RSA-DES-CBC3-SHA", _DHE, BulkCipher.TRIPLE_DES),
    Suite(0x000A, "DES-CBC3-SHA", _RSA, BulkCipher.TRIPLE_DES),
)

SUITES: Final = {suite.name: suite for suite in _ALL}
"""Every suite, by OpenSSL's name."""

SSL3_CIPHERS: Final = tuple(SUITES)
"""The names of all suites, the preferred first.

RC4 comes first, which is nowhere else the case: it is the only cipher of SSL 3.0 that POODLE
does not break (B. Möller, T. Duong, K. Kotowicz, "This POODLE Bites", 2014). POODLE takes a
byte of a cookie with 256 requests; the biases of RC4 (RFC 7465) need many millions.
"""


def suites_named(names: tuple[str, ...]) -> tuple[Suite, ...]:
    """The suites with these names, in the same order.

    Args:
        names: OpenSSL's names.

    Raises:
        ValueError: SSL 3.0 here has no suite of a name.
    """
    unknown = [name for name in names if name not in SUITES]
    if unknown:
        raise ValueError(f"SSL 3.0 has no cipher suite {unknown[0]!r}; it has {', '.join(SUITES)}")
    return tuple(SUITES[name] for name in names)
