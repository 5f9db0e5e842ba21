"""Certificates that signed another, and do not say that they are an authority's."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Final

from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtensionOID
from twisted.trial.unittest import SynchronousTestCase

from tests import certificates
from tests.tls.handshake import NAME, Meeting, client, meet, server
from txtransport.config.policy import Verify
from txtransport.testing.devcert import Authority, Issued
from txtransport.tls.authority import authority_problem

A_DAY: Final = timedelta(days=1)
MAY_SIGN: Final = x509.KeyUsage(
    digital_signature=False, content_commitment=False, key_encipherment=False,
    data_encipherment=False, key_agreement=False, key_cert_sign=True, crl_sign=True,
    encipher_only=False, decipher_only=False,
)  # fmt: skip
ECDSA_WITH_SHA256: Final = bytes.fromhex("300a06082a8648ce3d040302")
VERSION_3: Final = bytes.fromhex("a003020102")


@frozen
class Maker:
    """Makes certificates with the extensions that a test wants and no others.

    Attributes:
        name: The subject of its own certificate.
        key: Its key.
    """

    name: str
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def of(cls, name: str) -> Maker:
        """A maker with a new key."""
        return cls(name, ec.generate_private_key(ec.SECP256R1()))

    def sign(self, subject: Maker, *extensions: x509.ExtensionType) -> x509.Certificate:
        """A certificate for `subject`, its own if that is this maker."""
        now = datetime.now(timezone.utc)
        builder = (
            x509.CertificateBuilder()
            .subject_name(_named(subject.name))
            .issuer_name(_named(self.name))
            .public_key(subject.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - A_DAY)
            .not_valid_after(now + A_DAY)
        )
        for extension in extensions:
            builder = builder.add_extension(extension, False)
        return builder.sign(self.key, hashes.SHA256())

    def of_version_1(self) -> x509.Certificate:
        """Its own certificate, of version 1, which has no extensions."""
        newer = self.sign(self).tbs_certificate_bytes
        fields = newer[newer.index(VERSION_3) + len(VERSION_3) :]
        tbs = _der(0x30, fields)
        signature = self.key.sign(tbs, ec.ECDSA(hashes.SHA256()))
        der = _der(0x30, tbs + ECDSA_WITH_SHA256 + _der(0x03, b"\0" + signature))
        return x509.load_der_x509_certificate(der)


def _named(name: str) -> x509.Name:
    return x509.Name.from_rfc4514_string(f"CN={name}")


def _der(tag: int, content: bytes) -> bytes:
    size = len(content)
    # X.690, section 8.1.3: in DER a length has as few bytes as it can.
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    if size >= 128:
        length = bytes((0x80 + len(length),)) + length
    return bytes((tag,)) + length + content


def written(file: str, *made: x509.Certificate) -> str:
    """Write certificates into a file; return its path."""
    return certificates.written(file, b"".join(one.public_bytes(Encoding.PEM) for one in made))


class AuthorityTestCase(SynchronousTestCase):
    """A server whose certificate someone has signed."""

    def meeting(
        self, signer: Maker, anchor: x509.Certificate, *between: x509.Certificate, **options: object
    ) -> Meeting:
        """A handshake at a server whose certificate `signer` has signed.

        Args:
            signer: Signs the server's certificate.
            anchor: What the client trusts.
            *between: What the server shows besides its own certificate.
            **options: The client's other options.
        """
        own = Maker.of("the server")
        leaf = signer.sign(own, x509.SubjectAlternativeName([x509.DNSName(NAME)]))
        site = certificates.written("site-x.pem", Issued(leaf, own.key, between).pem)
        trusting = client(cafile=written("anchor.pem", anchor), **options)
        return meet(trusting, server(local_cert=site))

    def assert_no_authority(self, meeting: Meeting) -> None:
        """The client refused an authority that is none, and the error says so."""
        self.assertFalse(meeting.client.is_secure)
        error = meeting.client.explained()
        self.assertEqual(error.cause, "unknown-issuer")
        self.assertIn("an authority, depth 1", str(error))
        self.assertIn("it signed another certificate and is no authority", str(error))
        self.assertIn("basicConstraints", error.remedy)


class BasicConstraintsTests(AuthorityTestCase):
    """An authority without basicConstraints."""

    def test_a_root_must_say_that_it_is_an_authority(self) -> None:
        """A root of version 1, or with a key usage alone, vouches for no one."""
        root = Maker.of("root")
        for anchor in (root.of_version_1(), root.sign(root, MAY_SIGN), root.sign(root)):
            self.assert_no_authority(self.meeting(root, anchor))
            self.assertFalse(self.meeting(root, anchor, x509_strict=True).client.is_secure)

    def test_an_intermediate_that_is_the_anchor_must_say_so_too(self) -> None:
        """Being trusted by cafile does not make a certificate an authority."""
        root, below = Maker.of("root"), Maker.of("below")
        anchor = root.sign(below, MAY_SIGN)
        self.assert_no_authority(self.meeting(below, anchor))
        self.assert_no_authority(self.meeting(below, anchor, anchor))

    def test_a_trusted_server_cannot_vouch_for_others(self) -> None:
        """The key of a certificate in cafile that is a server's signs no other certificate."""
        for extensions in ((), (x509.BasicConstraints(False, None),)):
            other = Maker.of("other")
            anchor = certificates.authority()
            trusted = Maker("root", anchor.key).sign(other, *extensions)
            self.assert_no_authority(self.meeting(other, trusted))

    def test_with_basic_constraints_it_is_accepted(self) -> None:
        """What the other tests refuse is accepted with basicConstraints."""
        root, below = Maker.of("root"), Maker.of("below")
        authority = x509.BasicConstraints(True, None)
        for signer, anchor in (
            (root, root.sign(root, authority)),
            (below, root.sign(below, authority)),
        ):
            meeting = self.meeting(signer, anchor)
            self.assertEqual(meeting.errors, [])
            self.assertTrue(meeting.client.session.verified)

    def test_a_leaf_that_is_its_own_anchor_is_no_authority(self) -> None:
        """A server's certificate in cafile is accepted without basicConstraints."""
        own = Maker.of(NAME)
        for signer in (own, Maker.of("someone")):
            leaf = signer.sign(own, x509.SubjectAlternativeName([x509.DNSName(NAME)]))
            site = certificates.written("site-y.pem", Issued(leaf, own.key).pem)
            meeting = meet(client(cafile=written("own.pem", leaf)), server(local_cert=site))
            self.assertEqual(meeting.errors, [])
            self.assertTrue(meeting.client.session.verified)

    def test_verify_peer_no_looks_at_no_chain(self) -> None:
        """With verify_peer=no the handshake completes, and does not count as verified."""
        root = Maker.of("root")
        meeting = self.meeting(
            root, root.of_version_1(), root.of_version_1(), verify_peer=Verify.NO
        )
        self.assertEqual(meeting.errors, [])
        self.assertFalse(meeting.client.session.verified)

    def test_only_what_signed_another_is_looked_at(self) -> None:
        """The leaf, at depth 0, need not have basicConstraints."""
        certificate = Maker.of("x").of_version_1()
        self.assertEqual(certificate.version, x509.Version.v1)
        self.assertIsNone(authority_problem(certificate, 0))
        problem = authority_problem(certificate, 1)
        assert problem is not None
        self.assertEqual((problem.depth, problem.certificate), (1, certificate))
        self.assertIsNone(authority_problem(Authority.create("y").certificate, 3))

    def test_an_extension_twice_makes_no_authority(self) -> None:
        """A certificate that has an extension twice has signed nothing that counts."""
        der = Authority.create("x").certificate.public_bytes(Encoding.DER)
        constraints, usage = b"\x06\x03\x55\x1d\x13", b"\x06\x03\x55\x1d\x0f"
        self.assertIn(usage, der)
        twice = x509.load_der_x509_certificate(der.replace(usage, constraints))
        self.assertRaises(x509.DuplicateExtension, lambda: twice.extensions)
        self.assertIsNotNone(authority_problem(twice, 1))

    def test_an_extension_that_cannot_be_read_is_not_held_against_an_authority(self) -> None:
        """Another extension of an authority may be malformed; basicConstraints alone count."""
        malformed = x509.UnrecognizedExtension(
            ExtensionOID.SUBJECT_ALTERNATIVE_NAME, b"\x30\x03\x01"
        )
        root = Maker.of("root")
        with_constraints = root.sign(root, x509.BasicConstraints(True, None), malformed)
        self.assertRaises(ValueError, lambda: with_constraints.extensions)
        self.assertIsNone(authority_problem(with_constraints, 1))
        self.assertIsNotNone(authority_problem(root.sign(root, malformed), 1))
