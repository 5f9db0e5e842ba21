"""What the platform brings: the versions of TLS that it speaks, and whom it trusts."""

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


class TrustTests(SynchronousTestCase):
    """Whom clients trust by default."""

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="txtransport-tests-"))
        self.addCleanup(shutil.rmtree, self.folder)
        # OpenSSL reads the process's environment, not Python's copy.
        for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
            self.addCleanup(self.set, name, os.environ.get(name))
            self.set(name, "/nonexistent")

    def set(self, name: str, value: str | None) -> None:
        """An environment variable is that, or is not there."""
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value

    def hashed(self, authority: Authority) -> Path:
        """The authority's certificate in the folder, as ``openssl rehash`` names it."""
        number = crypto.X509.from_cryptography(authority.certificate).subject_name_hash()
        path = self.folder / f"{number:08x}.0"
        path.write_bytes(authority.pem)
        return path

    def test_none(self) -> None:
        """Where OpenSSL finds no authority, there is none, whatever the machine has elsewhere."""
        self.assertEqual(trust_store(), TrustStore(0, ()))

    def test_a_file(self) -> None:
        """The authorities of a bundle are counted, each once."""
        first, second = Authority.create("first"), Authority.create("second")
        path = self.folder / "bundle.pem"
        path.write_bytes(b"# a comment\n" + first.pem + second.pem + first.pem)
        self.set("SSL_CERT_FILE", str(path))
        self.assertEqual(trust_store(), TrustStore(2, (str(path),)))

    def test_a_folder(self) -> None:
        """A hashed folder counts as well; what it holds beside authorities does no harm."""
        self.hashed(Authority.create("first"))
        self.hashed(Authority.create("second"))
        (self.folder / "notes.txt").write_text("nothing")
        broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
        (self.folder / "broken.pem").write_text(broken)
        (self.folder / "below").mkdir()
        os.mkfifo(self.folder / "fifo")
        self.set("SSL_CERT_DIR", str(self.folder))
        self.assertEqual(trust_store(), TrustStore(2, (str(self.folder),)))

    def test_both(self) -> None:
        """An authority that is in a bundle and in a folder is one."""
        authority = Authority.create()
        path = self.folder / "bundle.pem"
        path.write_bytes(authority.pem)
        self.hashed(authority)
        self.hashed(Authority.create("another"))
        self.set("SSL_CERT_FILE", str(path))
        self.set("SSL_CERT_DIR", str(self.folder))
        self.assertEqual(trust_store(), TrustStore(2, (str(path), str(self.folder))))

    def test_the_expired_do_not_count(self) -> None:
        """An authority whose time is over helps no one."""
        long_ago = datetime.now(timezone.utc) - timedelta(days=400)
        path = self.folder / "bundle.pem"
        path.write_bytes(Authority.create(now=long_ago, days=2).pem)
        self.set("SSL_CERT_FILE", str(path))
        self.assertEqual(trust_store(), TrustStore(0, ()))

    def test_what_openssl_does_not_take(self) -> None:
        """A file in the folder that is not named by its hash is not trusted, and not counted."""
        (self.folder / "ca.pem").write_bytes(Authority.create().pem)
        self.set("SSL_CERT_DIR", str(self.folder))
        self.assertEqual(trust_store(), TrustStore(0, ()))

    def test_what_cannot_be_read(self) -> None:
        """A file that is there and cannot be read is as good as none."""
        self.hashed(Authority.create())
        self.set("SSL_CERT_DIR", str(self.folder))

        def denied(path: object, mode: str) -> NoReturn:
            raise PermissionError(path)

        self.patch(builtins, "open", denied)
        self.assertEqual(trust_store(), TrustStore(0, ()))


class VersionTests(SynchronousTestCase):
    """Whether OpenSSL speaks by a policy."""

    def test_what_is_spoken(self) -> None:
        """TLS 1.2 and 1.3 are spoken, and whatever a plain tls:// is."""
        for name in ("tls", "tlsv1.2", "tlsv1.3"):
            policy = resolve_options(SCHEMES[name], (), {}, "client").tls
            assert policy is not None
            self.assertIsNone(refusal(policy), name)

    def test_what_is_not(self) -> None:
        """What OpenSSL would not begin with is refused with its reason."""
        weak = TLSPolicy(min_version="1.0", max_version="1.0", security_level=2)
        self.assertEqual(refusal(weak), "no protocols available")
        self.assertIn("ciphers=", str(refusal(TLSPolicy(ciphers="NONSENSE"))))
        self.assertIn("/nonexistent", str(refusal(TLSPolicy(cafile="/nonexistent"))))
