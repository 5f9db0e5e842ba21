"""Which authorities the platform trusts, and which versions of TLS its OpenSSL accepts."""

from __future__ import annotations

import builtins
import os
import shutil
import tempfile
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import NoReturn

from OpenSSL import crypto
from twisted.trial.unittest import SynchronousTestCase

from txtransport.config.policy import TLSPolicy
from txtransport.config.schemes import SCHEMES
from txtransport.config.settings import resolve_options
from txtransport.testing.devcert import Authority
from txtransport.tls.trust_store import TrustStore, refusal, trust_store


class TrustStoreTests(SynchronousTestCase):
    """The authorities that clients trust by default."""

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="txtransport-tests-"))
        self.addCleanup(shutil.rmtree, self.folder)
        # OpenSSL reads the process's environment, not Python's copy.
        for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
            self.addCleanup(self.set, name, os.environ.get(name))
            self.set(name, "/nonexistent")

    def set(self, name: str, value: str | None) -> None:
        """Set an environment variable, or remove it (None)."""
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value

    def write_hashed(self, authority: Authority) -> Path:
        """Write the authority's certificate into the folder, named as ``openssl rehash`` does."""
        number = crypto.X509.from_cryptography(authority.certificate).subject_name_hash()
        path = self.folder / f"{number:08x}.0"
        path.write_bytes(authority.pem)
        return path

    def test_without_authorities_the_count_is_zero(self) -> None:
        """When OpenSSL finds no authority, none is counted, whatever the machine has elsewhere."""
        self.assertEqual(trust_store(), TrustStore(0, ()))

    def test_the_authorities_of_a_file_are_counted(self) -> None:
        """Each authority of a bundle is counted once."""
        first, second = Authority.create("first"), Authority.create("second")
        path = self.folder / "bundle.pem"
        path.write_bytes(b"# a comment\n" + first.pem + second.pem + first.pem)
        self.set("SSL_CERT_FILE", str(path))
        self.assertEqual(trust_store(), TrustStore(2, (str(path),)))

    def test_the_authorities_of_a_folder_are_counted(self) -> None:
        """A hashed folder counts as well; other files in it do no harm."""
        self.write_hashed(Authority.create("first"))
        self.write_hashed(Authority.create("second"))
        (self.folder / "notes.txt").write_text("nothing")
        broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
        (self.folder / "broken.pem").write_text(broken)
        (self.folder / "below").mkdir()
        os.mkfifo(self.folder / "fifo")
        self.set("SSL_CERT_DIR", str(self.folder))
        self.assertEqual(trust_store(), TrustStore(2, (str(self.folder),)))

    def test_an_authority_in_both_is_counted_once(self) -> None:
        """An authority that is in a bundle and in a folder is counted once."""
        authority = Authority.create()
        path = self.folder / "bundle.pem"
        path.write_bytes(authority.pem)
        self.write_hashed(authority)
        self.write_hashed(Authority.create("another"))
        self.set("SSL_CERT_FILE", str(path))
        self.set("SSL_CERT_DIR", str(self.folder))
        self.assertEqual(trust_store(), TrustStore(2, (str(path), str(self.folder))))

    def test_expired_authorities_are_not_counted(self) -> None:
        """An authority whose certificate has expired is not counted."""
        long_ago = datetime.now(timezone.utc) - timedelta(days=400)
        path = self.folder / "bundle.pem"
        path.write_bytes(Authority.create(now=long_ago, days=2).pem)
        self.set("SSL_CERT_FILE", str(path))
        self.assertEqual(trust_store(), TrustStore(0, ()))

    def test_files_without_a_hash_name_are_not_counted(self) -> None:
        """OpenSSL does not find a file that is not named by its hash, so it is not counted."""
        (self.folder / "ca.pem").write_bytes(Authority.create().pem)
        self.set("SSL_CERT_DIR", str(self.folder))
        self.assertEqual(trust_store(), TrustStore(0, ()))

    def test_unreadable_files_are_not_counted(self) -> None:
        """A file that exists and cannot be read is not counted."""
        self.write_hashed(Authority.create())
        self.set("SSL_CERT_DIR", str(self.folder))

        def denied(path: object, mode: str) -> NoReturn:
            raise PermissionError(path)

        self.patch(builtins, "open", denied)
        self.assertEqual(trust_store(), TrustStore(0, ()))


class RefusalTests(SynchronousTestCase):
    """Whether OpenSSL accepts a policy."""

    def test_current_versions_are_accepted(self) -> None:
        """OpenSSL accepts TLS 1.2, TLS 1.3 and the default of tls://."""
        for name in ("tls", "tlsv1.2", "tlsv1.3"):
            policy = resolve_options(SCHEMES[name], (), {}, "client").tls
            assert policy is not None
            self.assertIsNone(refusal(policy), name)

    def test_a_refusal_has_a_reason(self) -> None:
        """A policy that OpenSSL does not accept is refused with its reason."""
        weak = TLSPolicy(min_version="1.0", max_version="1.0", security_level=2)
        self.assertEqual(refusal(weak), "no protocols available")
        self.assertIn("ciphers=", str(refusal(TLSPolicy(ciphers="NONSENSE"))))
        self.assertIn("/nonexistent", str(refusal(TLSPolicy(cafile="/nonexistent"))))
