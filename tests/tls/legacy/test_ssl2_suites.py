"""The cipher suites of SSL 2.0 and their keys."""

from __future__ import annotations

import hashlib

from twisted.trial.unittest import SynchronousTestCase

from txtransport.tls.legacy.ssl2_suites import (
    SSL2_CIPHERS,
    SSL2_EXPORT_CIPHERS,
    SUITES,
    SessionKeys,
    find_suites,
)

MASTER, NONCES = bytes(range(24)), bytes(range(100, 132))


def block(number: bytes, size: int) -> bytes:
    """A block of key material, as the specification writes it."""
    return hashlib.md5(MASTER[:size] + number + NONCES).digest()


class SuiteTests(SynchronousTestCase):
    """Names and sizes."""

    def test_export_is_for_those_who_name_it(self) -> None:
        """40 bits are never offered by default, and the rest has 112 at least."""
        self.assertEqual(SSL2_CIPHERS, ("RC4-MD5", "DES-CBC3-MD5", "EXP-RC4-MD5"))
        self.assertEqual(SSL2_EXPORT_CIPHERS, {"EXP-RC4-MD5"})
        others = [name for name in SSL2_CIPHERS if name not in SSL2_EXPORT_CIPHERS]
        self.assertGreaterEqual(min(SUITES[name].bits for name in others), 112)

    def test_the_order_of_names_is_kept(self) -> None:
        """The first name is the preferred suite."""
        names = ("EXP-RC4-MD5", "DES-CBC3-MD5")
        self.assertEqual([suite.name for suite in find_suites(names)], list(names))

    def test_a_name_that_ssl_2_has_not_is_an_error_that_says_which_it_has(self) -> None:
        """A cipher of TLS in the list is a mistake, and not left out in silence."""
        error = self.assertRaises(ValueError, find_suites, ["RC4-MD5", "AES128-SHA"])
        self.assertEqual(
            str(error), "SSL 2.0 has RC4-MD5, DES-CBC3-MD5, EXP-RC4-MD5 here, and no 'AES128-SHA'"
        )

    def test_sizes_are_those_of_the_specification(self) -> None:
        """How much of the master key is secret, and how long the vector is."""
        sizes = {name: (one.secret_size, one.argument_size) for name, one in SUITES.items()}
        expected = {"RC4-MD5": (16, 0), "DES-CBC3-MD5": (24, 8), "EXP-RC4-MD5": (5, 0)}
        self.assertEqual(sizes, expected)


class KeyTests(SynchronousTestCase):
    """The keys that are made of the master key."""

    def test_rc4_has_a_block_for_each_direction(self) -> None:
        """What the server encrypts with comes first, what the client encrypts with second."""
        for name in ("RC4-MD5", "EXP-RC4-MD5"):
            keys = SessionKeys.derive(SUITES[name], MASTER[:16], NONCES, b"")
            self.assertEqual(keys.server.key, block(b"0", 16))
            self.assertEqual(keys.client.key, block(b"1", 16))
            self.assertEqual(keys.material, keys.server.key + keys.client.key)

    def test_triple_des_has_three_blocks_for_both(self) -> None:
        """Three blocks are cut in the middle of the second."""
        keys = SessionKeys.derive(SUITES["DES-CBC3-MD5"], MASTER, NONCES, b"argument")
        blocks = [block(number, 24) for number in (b"0", b"1", b"2")]
        self.assertEqual(keys.server.key, blocks[0] + blocks[1][:8])
        self.assertEqual(keys.client.key, blocks[1][8:] + blocks[2])
        self.assertEqual(keys.client.argument, b"argument")

    def test_keys_are_not_shown(self) -> None:
        """A repr, which may end up in a log, has no key in it."""
        keys = SessionKeys.derive(SUITES["RC4-MD5"], MASTER[:16], NONCES, b"")
        self.assertNotIn(repr(keys.client.key)[2:-1], repr(keys))
        self.assertIn("RC4-MD5", repr(keys))
