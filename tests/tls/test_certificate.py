"""What a certificate says is told in words that harm no terminal."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.x509.oid import ExtensionOID
from twisted.trial.unittest import SynchronousTestCase

from tests import certificates
from txtransport.testing.devcert import self_signed
from txtransport.tls.certificate import CertificateSummary, summarize_chain

NOW = datetime(2030, 1, 1, tzinfo=timezone.utc)


def one(certificate: x509.Certificate) -> CertificateSummary:
    """A chain of one, described."""
    return summarize_chain([certificate])[0]


def signed(key: Any, *extensions: x509.ExtensionType) -> x509.Certificate:
    """A certificate of that key, with those extensions, signed by itself."""
    name = x509.Name([])
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=2))
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(key, digest)


class DescribedTests(SynchronousTestCase):
    """Certificates as words."""

    def test_a_leaf(self) -> None:
        """Whom it is about and for, who vouches for it, its key and its signature."""
        issued = certificates.authority().issue("good.example", "127.0.0.1", now=NOW)
        leaf = one(issued.certificate)
        self.assertEqual(
            (leaf.subject, leaf.issuer, leaf.names, leaf.key, leaf.signature),
            (
                "CN=good.example",
                "CN=txtransport test CA",
                ("good.example", "127.0.0.1"),
                "EC secp256r1",
                "ecdsa-with-sha256",
            ),
        )
        self.assertFalse(leaf.is_authority or leaf.is_own_issuer)
        self.assertEqual(leaf.fingerprint, issued.fingerprint)

    def test_an_authority(self) -> None:
        """A root is an authority, names itself as its issuer, and is for no one."""
        root = one(certificates.authority().certificate)
        self.assertTrue(root.is_authority and root.is_own_issuer)
        self.assertEqual(root.names, ())

    def test_days_left(self) -> None:
        """Days are counted down, and below zero when it has expired."""
        leaf = one(signed(ed25519.Ed25519PrivateKey.generate()))
        days = [leaf.days_left(NOW + timedelta(hours=hours)) for hours in (1, 25, 47, 49)]
        self.assertEqual(days, [1, 0, 0, -1])

    def test_kinds_of_keys(self) -> None:
        """Each kind of key has its name, and its size where sizes differ."""
        self.assertEqual(one(signed(ed25519.Ed25519PrivateKey.generate())).key, "Ed25519")
        key = rsa.generate_private_key(65537, 2048)
        self.assertEqual(one(signed(key)).key, "RSA 2048 bits")

    def test_what_cannot_be_read(self) -> None:
        """Names that are in no character set and extensions of rubbish are called unreadable."""
        self.assertEqual(one(certificates.mislabelled().certificate).subject, "unreadable")
        rubbish = x509.UnrecognizedExtension(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, b"\x30")
        leaf = one(signed(ed25519.Ed25519PrivateKey.generate(), rubbish))
        self.assertEqual((leaf.names, leaf.is_authority), (("unreadable",), False))

    def test_a_terminal_is_safe(self) -> None:
        """Escape sequences in names stay text, and there are never too many names."""
        leaf = one(self_signed("a.example", common_name="\x1b[2J\u202e").certificate)
        self.assertTrue(leaf.subject.isprintable() and leaf.subject.isascii(), leaf.subject)
        many = x509.SubjectAlternativeName(
            [
                x509.UniformResourceIdentifier("a:\x1b[2J"),
                x509.OtherName(x509.ObjectIdentifier("1.2.3"), b"\x05\x00"),
                *(x509.DNSName(f"n{number}.example") for number in range(200)),
            ]
        )
        names = one(signed(ed25519.Ed25519PrivateKey.generate(), many)).names
        self.assertEqual(len(names), 100)
        self.assertTrue(names[0].isprintable())
