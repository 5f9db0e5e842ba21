"""The table of transports, and what it promises."""

from __future__ import annotations

import subprocess
import sys
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from txtransport.config import schemes
from txtransport.config.schemes import BROKEN_VERSIONS, SCHEMES, Kind, available_schemes

BROKEN: Final = {"sslv2", "sslv3"}
"""To be had with the extra ``txtransport[legacy]`` alone."""

REFUSED: Final = {"udg", "dtls"}
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
        ssl = {"sslv2": "SSLv2", "sslv3": "SSLv3"}
        for name, row in SCHEMES.items():
            expected = name.removeprefix("tlsv") if name.startswith("tlsv") else ssl.get(name)
            self.assertEqual(row.version, expected, name)
        self.assertEqual({*ssl.values()}, {*BROKEN_VERSIONS})

    def test_deprecated_versions_are_marked(self) -> None:
        """TLS 1.0 and 1.1 are marked as weak (RFC 8996)."""
        weak = {name for name, row in SCHEMES.items() if row.is_weak}
        self.assertEqual(weak, {"tlsv1.0", "tlsv1.1"})

    def test_all_other_schemes_are_encrypted(self) -> None:
        """Only these six carry clear text; every other scheme has TLS."""
        clear = {name for name, row in SCHEMES.items() if not row.is_secure}
        self.assertEqual(clear, {"tcp", "udp", "unix", "udg", "fd", "systemd"})

    def test_local_and_datagram_schemes_are_marked(self) -> None:
        """The table marks the schemes that have a path or no place, and those of datagrams."""
        local = {name for name, row in SCHEMES.items() if row.is_local}
        datagrams = {name for name, row in SCHEMES.items() if row.kind is Kind.DATAGRAM}
        inherited = {name for name, row in SCHEMES.items() if row.is_inherited}
        hosts = {name for name, row in SCHEMES.items() if row.has_host}
        self.assertEqual(inherited, {"fd", "tls+fd", "systemd", "tls+systemd"})
        self.assertEqual(hosts, SCHEMES.keys() - local - inherited)
        self.assertEqual(local, {"unix", "tls+unix", "udg"})
        self.assertEqual(datagrams, {"udp", "udg", "dtls"})


class AvailableSchemesTests(SynchronousTestCase):
    """available_schemes() says of each scheme whether it can be used, or why not."""

    def with_extra(self, *, is_installed: bool) -> dict[str, str | None]:
        """The schemes, as they are with or without the extra."""
        self.patch(schemes, "is_legacy_installed", lambda: is_installed)
        return available_schemes()

    def test_an_unavailable_scheme_says_why(self) -> None:
        """A scheme that is not available has the reason, and what to use instead."""
        available = self.with_extra(is_installed=False)
        self.assertEqual({name for name, why in available.items() if why}, REFUSED | BROKEN)
        for name in REFUSED | BROKEN:
            self.assertRegex(available[name] or "", "; use (tls|unix)://", name)

    def test_ssl_is_refused_with_its_rfc_and_how_to_get_it(self) -> None:
        """SSL 2.0 and 3.0 are refused with the RFC that forbids each, and name the extra."""
        available = self.with_extra(is_installed=False)
        self.assertIn("RFC 6176", available["sslv2"] or "")
        self.assertIn("RFC 7568", available["sslv3"] or "")
        for name in BROKEN:
            self.assertIn("pip install 'txtransport[legacy]'", available[name] or "")

    def test_the_extra_makes_ssl_available(self) -> None:
        """Who installs the extra has consented to SSL 2.0 and 3.0 being there."""
        available = self.with_extra(is_installed=True)
        self.assertEqual({name for name, why in available.items() if why}, REFUSED)

    def test_the_extra_is_found_without_an_import(self) -> None:
        """Looking whether the extra is there does not import its package."""
        code = (
            "import sys; from txtransport.config.schemes import available_schemes, "
            "is_legacy_installed; available_schemes(); print('tlslite' in sys.modules)"
        )
        found = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
        )
        self.assertEqual(found.stdout, "False\n")

    def test_every_scheme_is_listed(self) -> None:
        """available_schemes() lists every scheme that a URL may have."""
        self.assertEqual(list(available_schemes()), list(SCHEMES))
