"""The cipher suites of SSL 2.0 that we have, and the keys that are made for them.

Of the seven in the specification (draft-hickman-netscape-ssl-00, appendix C.4) there are
those that the devices have which still speak SSL 2.0. RC2, IDEA and single DES are left out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import Any, Final

from attrs import field, frozen
from cryptography.hazmat.decrepit.ciphers.algorithms import ARC4, TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.modes import CBC

__all__ = [
    "SSL2_CIPHERS",
    "SSL2_EXPORT_CIPHERS",
    "SUITES",
    "DirectionKey",
    "SessionKeys",
    "Suite",
    "find_suites",
]


@frozen
class Suite:
    """A cipher suite; MD5 is the hash of every one.

    Attributes:
        name: OpenSSL's name.
        kind: Its number on the wire.
        bits: Its strength.
        key_size: The size of a key, and of the master key, in bytes.
        clear_size: How many bytes of the master key are sent in the clear, because the
            United States once did not allow more than 40 secret bits to leave them.
        block: The size of a cipher's block in bytes, and of its initialization vector; 1
            for a stream cipher, which has no vector.
    """

    name: str
    kind: bytes
    bits: int
    key_size: int
    clear_size: int
    block: int
    _new: Callable[[bytes, bytes], Cipher[Any]] = field(repr=False)

    @property
    def secret_size(self) -> int:
        """How many bytes of the master key are sent encrypted."""
        return self.key_size - self.clear_size

    @property
    def argument_size(self) -> int:
        """The size of the initialization vector in bytes."""
        return self.block if self.block > 1 else 0

    def cipher(self, key: DirectionKey) -> Cipher[Any]:
        """The cipher with its key."""
        return self._new(key.key, key.argument)


@frozen
class DirectionKey:
    """What encrypts one side's records and is the secret of their MAC.

    Attributes:
        suite: The cipher suite.
        key: The key.
        argument: The initialization vector.
    """

    suite: Suite
    key: bytes = field(repr=False)
    argument: bytes = field(repr=False)


@frozen
class SessionKeys:
    """The keys of a connection.

    Attributes:
        material: All that was made, which a client signs to prove its own key.
        client: What the client's records are encrypted with.
        server: What the server's records are encrypted with.
    """

    material: bytes = field(repr=False)
    client: DirectionKey
    server: DirectionKey

    @classmethod
    def derive(cls, suite: Suite, master: bytes, nonces: bytes, argument: bytes) -> SessionKeys:
        """Make the keys of a connection (section 5.5.2).

        Args:
            suite: The cipher suite.
            master: The master key.
            nonces: The client's challenge and the connection's id.
            argument: The initialization vector, the same in both directions.
        """
        size = suite.key_size
        material = b"".join(
            hashlib.md5(b"%b%d%b" % (master, number, nonces)).digest()
            for number in range(2 * size // hashlib.md5().digest_size)
        )
        server, client = material[:size], material[size:]
        return cls(
            material, DirectionKey(suite, client, argument), DirectionKey(suite, server, argument)
        )


def _rc4(key: bytes, argument: bytes) -> Cipher[Any]:
    return Cipher(ARC4(key), None)


def _triple_des(key: bytes, argument: bytes) -> Cipher[Any]:
    return Cipher(TripleDES(key), CBC(argument))


SUITES: Final = {
    suite.name: suite
    for suite in (
        Suite("RC4-MD5", b"\x01\x00\x80", 128, 16, 0, 1, _rc4),
        Suite("DES-CBC3-MD5", b"\x07\x00\xc0", 112, 24, 0, 8, _triple_des),
        Suite("EXP-RC4-MD5", b"\x02\x00\x80", 40, 16, 11, 1, _rc4),
    )
}
"""All that we have, by OpenSSL's name."""

SSL2_CIPHERS: Final = tuple(SUITES)
"""The names of all, the preferred first.

RC4 comes first. Its biases (RFC 7465) need millions of connections with the same secret at
the same place; with 3DES one changed byte of a header cuts bytes off a record, unnoticed
(`txtransport.tls.legacy.ssl2_record`).
"""

SSL2_EXPORT_CIPHERS: Final = frozenset(name for name, suite in SUITES.items() if suite.clear_size)
"""The names of those that are used only where the user names them: 40 bits protect nothing."""


def find_suites(names: Iterable[str]) -> tuple[Suite, ...]:
    """The suites of these names, in the same order.

    Raises:
        ValueError: There is none of that name.
    """
    names = tuple(names)
    unknown = [name for name in names if name not in SUITES]
    if unknown:
        raise ValueError(f"SSL 2.0 has {', '.join(SUITES)} here, and no {unknown[0]!r}")
    return tuple(SUITES[name] for name in names)
