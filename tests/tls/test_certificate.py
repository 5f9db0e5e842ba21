"""A certificate is summarized in text that is safe to print on a terminal."""

from __future__ import annotations

import contextlib
import warnings
from datetime import datetime, timedelta, timezone

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtensionOID
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests import certificates
from txtransport.testing.devcert import self_signed
from txtransport.tls.certificate import CertificateSummary, summarize_chain

NOW = datetime(2030, 1, 1, tzinfo=timezone.utc)


def summarize(certificate: x509.Certificate) -> CertificateSummary:
    """The summary of one certificate."""
    return summarize_chain([certificate])[0]


def self_signed_with(
    key: CertificateIssuerPrivateKeyTypes, *extensions: x509.ExtensionType
) -> x509.Certificate:
    """A certificate with that key and those extensions, signed with the same key."""
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


class CertificateSummaryTests(SynchronousTestCase):
    """The fields of a certificate, as text."""

    def test_a_leaf_is_summarized(self) -> None:
        """A leaf's subject, issuer, names, key, signature and fingerprint are told."""
        issued = certificates.authority().issue("good.example", "127.0.0.1", now=NOW)
        leaf = summarize(issued.certificate)
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

    def test_a_root_is_an_authority_and_its_own_issuer(self) -> None:
        """A root certificate is an authority, names itself as issuer, and has no names."""
        root = summarize(certificates.authority().certificate)
        self.assertTrue(root.is_authority and root.is_own_issuer)
        self.assertEqual(root.names, ())

    def test_days_left_are_rounded_down(self) -> None:
        """Only whole days count, and the number is negative after the certificate has expired."""
        leaf = summarize(self_signed_with(ed25519.Ed25519PrivateKey.generate()))
        days = [leaf.days_left(NOW + timedelta(hours=hours)) for hours in (1, 25, 47, 49)]
        self.assertEqual(days, [1, 0, 0, -1])

    def test_each_kind_of_key_is_named(self) -> None:
        """Each kind of key has its name, with its size where sizes differ."""
        self.assertEqual(
            summarize(self_signed_with(ed25519.Ed25519PrivateKey.generate())).key, "Ed25519"
        )
        key = rsa.generate_private_key(65537, 2048)
        self.assertEqual(summarize(self_signed_with(key)).key, "RSA 2048 bits")

    def test_no_certificate_of_a_peer_raises_an_exception(self) -> None:
        """A certificate that cannot be read in part is summarized all the same."""
        for what, certificate in certificates.hostile():
            summary = summarize(certificate)
            self.assertEqual(len(summary.fingerprint), 64, what)
            self.assertIsInstance(summary.days_left(NOW), int, what)

    @settings(deadline=None, max_examples=300)
    @given(st.integers(0), st.integers(0, 255))
    def test_no_changed_byte_raises_an_exception(self, at: int, value: int) -> None:
        """Whatever byte of a certificate is changed, it is summarized or not loaded at all."""
        der = bytearray(
            certificates.authority().issue("good.example").certificate.public_bytes(Encoding.DER)
        )
        der[at % len(der)] = value
        with contextlib.suppress(ValueError, x509.InvalidVersion), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # cryptography's, about odd serial numbers.
            changed = x509.load_der_x509_certificate(bytes(der))
            self.assertTrue(repr(summarize(changed)).isprintable())

    def test_malformed_fields_are_called_unreadable(self) -> None:
        """A name with wrong bytes and a malformed extension are shown as unreadable."""
        self.assertEqual(summarize(certificates.mislabelled().certificate).subject, "unreadable")
        rubbish = x509.UnrecognizedExtension(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, b"\x30")
        leaf = summarize(self_signed_with(ed25519.Ed25519PrivateKey.generate(), rubbish))
        self.assertEqual((leaf.names, leaf.is_authority), (("unreadable",), False))

    def test_control_characters_are_escaped(self) -> None:
        """Escape sequences in names are shown as text, and at most 100 names are shown."""
        leaf = summarize(self_signed("a.example", common_name="\x1b[2J\u202e").certificate)
        self.assertTrue(leaf.subject.isprintable() and leaf.subject.isascii(), leaf.subject)
        many = x509.SubjectAlternativeName(
            [
                x509.UniformResourceIdentifier("a:\x1b[2J"),
                x509.OtherName(x509.ObjectIdentifier("1.2.3"), b"\x05\x00"),
                *(x509.DNSName(f"n{number}.example") for number in range(200)),
            ]
        )
        names = summarize(self_signed_with(ed25519.Ed25519PrivateKey.generate(), many)).names
        self.assertEqual(len(names), 100)
        self.assertTrue(names[0].isprintable())
