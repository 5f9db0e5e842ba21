"""Which versions of TLS a peer accepts."""

from __future__ import annotations

from typing import Any
from unittest import skipIf

from tests import certificates
from tests.loopback import LoopbackTestCase, Recorders
from tests.tls.legacy.fake import forget_process
from txtransport import InvalidTransport, TransportURL
from txtransport.cli.probe.report import VersionResult
from txtransport.cli.probe.versions import versions
from txtransport.config import schemes


class VersionsTestCase(LoopbackTestCase):
    """What the tests of this file share."""

    async def tried(self, url: str, **options: Any) -> tuple[VersionResult, ...]:
        """Offer each version."""
        return await versions(self.reactor, TransportURL.parse(url), options, lambda doing: None)

    async def serving(self, query: str = "", **options: Any) -> str:
        """Start a server; its URL."""
        port = await self.listening(
            f"tls://127.0.0.1:0{query}", Recorders(), local_cert=certificates.site(), **options
        )
        return f"tls://localhost:{port}{query}"


class VersionsTests(VersionsTestCase):
    """Servers on loopback that speak some versions and not others."""

    def setUp(self) -> None:
        self.patch(schemes, "is_legacy_installed", lambda: False)

    async def test_every_version_is_offered_alone(self) -> None:
        """Every version is offered, the oldest first, and what is refused has its cause."""
        url = await self.serving(max_version="1.2")
        tried = await self.tried(url, cafile=certificates.cafile())
        self.assertEqual(
            [(version.name, version.is_accepted) for version in tried],
            [("TLSv1.0", False), ("TLSv1.1", False), ("TLSv1.2", True), ("TLSv1.3", False)],
        )
        assert tried[3].diagnosis is not None
        self.assertEqual(tried[3].diagnosis.cause, "no-common-version")
        self.assertIsNone(tried[2].diagnosis)

    async def test_old_versions_are_found(self) -> None:
        """A server that still speaks TLS 1.0 is found to."""
        url = await self.serving(min_version="1.0", security_level=0)
        tried = await self.tried(url, cafile=certificates.cafile())
        self.assertTrue(all(version.is_accepted for version in tried), tried)

    async def test_refused_certificate_means_an_accepted_version(self) -> None:
        """A peer whose certificate is refused has accepted the version by then."""
        tried = await self.tried(await self.serving())
        self.assertEqual([version.is_accepted for version in tried], [False, False, True, True])
        assert tried[3].diagnosis is not None
        self.assertEqual(tried[3].diagnosis.cause, "unknown-issuer")

    async def test_options_about_versions_are_ignored(self) -> None:
        """What the URL says of versions is ignored; its other options are used."""
        url = await self.serving("?starttls=smtp")
        tried = await self.tried(
            f"{url}&min_version=1.2&max_version=1.2&ciphers=ECDHE-ECDSA-AES256-GCM-SHA384",
            cafile=certificates.cafile(),
            security_level="1",
        )
        self.assertEqual([version.is_accepted for version in tried], [False, False, True, True])

    async def test_only_tls_over_tcp_has_versions(self) -> None:
        """Without TLS over TCP, it is refused before anything is opened."""
        for url in ("tcp://127.0.0.1:9", "tls+unix:///x?peer_name=a.example"):
            with self.assertRaises(InvalidTransport):
                await self.tried(url)


@skipIf(not schemes.is_legacy_installed(), "the extra txtransport[legacy] is not installed")
class BrokenVersionsTests(VersionsTestCase):
    """With the extra, SSL 2.0 and SSL 3.0 are offered as well."""

    def setUp(self) -> None:
        forget_process(self)

    async def test_ssl_is_offered_first(self) -> None:
        """A server of TLS refuses both, and one of SSL 3.0 accepts that and no other."""
        names = ["SSLv2", "SSLv3", "TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3"]
        tried = await self.tried(await self.serving(), cafile=certificates.cafile())
        self.assertEqual([version.name for version in tried], names)
        self.assertEqual([version.is_accepted for version in tried], [*[False] * 4, True, True])
        for scheme, own, accepted in (
            ("sslv3", certificates.rsa_site(), "SSLv3"),
            ("sslv2", certificates.ssl2_site(), "SSLv2"),
        ):
            port = await self.listening(
                f"{scheme}://127.0.0.1:0", Recorders(), local_cert=own, allow_broken_ssl=True
            )
            for name in ("tls", scheme):
                url = f"{name}://localhost:{port}"
                given = {} if name == "tls" else {"ciphers": "RC4-MD5"}
                tried = await self.tried(url, cafile=certificates.cafile(), **given)
                found = [version.name for version in tried if version.is_accepted]
                self.assertEqual(found, [accepted], tried)
