"""The table of transports, and what it promises."""

from __future__ import annotations

from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from txtransport.config.schemes import SCHEMES, Kind, available_schemes

REFUSED: Final = {"sslv2", "sslv3", "udg", "dtls"}
"""Known by name, and not to be had."""


class SchemeTableTests(SynchronousTestCase):
    """What holds for the rows of the table."""

    def test_every_transport_of_php_is_known(self) -> None:
        """A user who comes from PHP finds every transport of its manual."""
        php = "tcp udp unix udg ssl tls tlsv1.0 tlsv1.1 tlsv1.2 tlsv1.3 sslv2 sslv3"
        self.assertEqual(set(php.split()) - SCHEMES.keys(), set())

    def test_a_scheme_is_found_by_its_name(self) -> None:
        """The keys of the table are the names, in lower case."""
        for name, row in SCHEMES.items():
            self.assertEqual((row.name, name.lower()), (name, name))

    def test_ssl_is_an_alias_of_tls(self) -> None:
        """ssl and tls differ in nothing but their name and description."""
        tls, ssl = SCHEMES["tls"], SCHEMES["ssl"]
        self.assertEqual(
            (tls.kind, tls.is_secure, tls.is_local, tls.version, tls.refusal),
            (ssl.kind, ssl.is_secure, ssl.is_local, ssl.version, ssl.refusal),
        )

    def test_a_version_in_the_name_is_the_version_spoken(self) -> None:
        """tlsv1.2 is TLS 1.2 and nothing else; other schemes leave the version to the policy."""
        for name, row in SCHEMES.items():
            expected = name.removeprefix("tlsv") if name.startswith("tlsv") else None
            self.assertEqual(row.version, expected, name)

    def test_deprecated_versions_are_marked(self) -> None:
        """TLS 1.0 and 1.1 are marked as weak (RFC 8996)."""
        weak = {name for name, row in SCHEMES.items() if row.is_weak}
        self.assertEqual(weak, {"tlsv1.0", "tlsv1.1"})

    def test_all_other_schemes_are_encrypted(self) -> None:
        """Only these four carry clear text; every other scheme has TLS."""
        clear = {name for name, row in SCHEMES.items() if not row.is_secure}
        self.assertEqual(clear, {"tcp", "udp", "unix", "udg"})

    def test_local_and_datagram_schemes_are_marked(self) -> None:
        """The table marks the schemes that have a path, and those of datagrams."""
        local = {name for name, row in SCHEMES.items() if row.is_local}
        datagrams = {name for name, row in SCHEMES.items() if row.kind is Kind.DATAGRAM}
        self.assertEqual(local, {"unix", "tls+unix", "udg"})
        self.assertEqual(datagrams, {"udp", "udg", "dtls"})


class AvailableSchemesTests(SynchronousTestCase):
    """available_schemes() says of each scheme whether it can be used, or why not."""

    def test_an_unavailable_scheme_says_why(self) -> None:
        """A scheme that is not available has the reason, and what to use instead."""
        self.assertEqual({name for name, why in available_schemes().items() if why}, REFUSED)
        for name in REFUSED:
            self.assertRegex(available_schemes()[name] or "", "; use (tls|unix)://", name)

    def test_ssl_is_refused_with_its_rfc(self) -> None:
        """SSL 2.0 and 3.0 are refused with the RFC that forbids each."""
        self.assertIn("RFC 6176", available_schemes()["sslv2"] or "")
        self.assertIn("RFC 7568", available_schemes()["sslv3"] or "")

    def test_every_scheme_is_listed(self) -> None:
        """available_schemes() lists every scheme that a URL may have."""
        self.assertEqual(list(available_schemes()), list(SCHEMES))
