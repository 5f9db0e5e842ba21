"""Certificates for development: their names, their validity, and files for their keys."""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import os
import shutil
import stat
import tempfile
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError
from twisted.trial.unittest import SynchronousTestCase

from txtransport.testing.devcert import Authority, Issued, self_signed, write_private

NOW: Final = datetime(2031, 5, 6, 7, 8, 9, tzinfo=timezone.utc)
SECRET: Final = "hunter2"


def verified(made: Issued, root: Authority, name: str, when: datetime | None = None) -> bool:
    """Whether another implementation than OpenSSL accepts it as a server's certificate."""
    builder = PolicyBuilder().store(Store([root.certificate])).time(when or datetime.now())
    try:
        subject: Any = x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        subject = x509.DNSName(name)
    try:
        builder.build_server_verifier(subject).verify(made.certificate, list(made.chain))
    except VerificationError:
        return False
    return True


def extension(made: Issued | Authority, kind: Any) -> Any:
    """The value of an extension."""
    return made.certificate.extensions.get_extension_for_class(kind).value


class IssuedTests(SynchronousTestCase):
    """Certificates that an authority issues."""

    def test_a_certificate_is_for_its_names_only(self) -> None:
        """A certificate is valid for the given names and addresses, and for no others."""
        root = Authority.create()
        made = root.issue("a.example", "*.b.example", "127.0.0.1", "::1")
        for name in ("a.example", "x.b.example", "127.0.0.1", "::1"):
            self.assertTrue(verified(made, root, name), name)
        for name in ("b.example", "x.a.example", "127.0.0.2", "::2"):
            self.assertFalse(verified(made, root, name), name)
        self.assertFalse(verified(made, Authority.create(), "a.example"))

    def test_keys_are_new_and_of_the_kind_asked_for(self) -> None:
        """The key is an elliptic curve key unless RSA is asked for, and new each time."""
        root = Authority.create()
        for kind, of in (("ec", ec.EllipticCurvePrivateKey), ("rsa", rsa.RSAPrivateKey)):
            made = root.issue("a.example", key=kind)  # type: ignore[arg-type]
            self.assertIsInstance(made.key, of)
            self.assertTrue(verified(made, root, "a.example"))
        self.assertNotEqual(root.issue("x").spki_pin, root.issue("x").spki_pin)

    def test_the_chain_ends_below_the_root(self) -> None:
        """A certificate of an intermediate authority has the chain up to the root, without it."""
        root = Authority.create()
        first = root.intermediate("first")
        second = first.intermediate("second")
        made = second.issue("a.example")
        self.assertEqual(made.chain, (second.certificate, first.certificate))
        self.assertTrue(verified(made, root, "a.example"))
        self.assertEqual(root.issue("a.example").chain, ())

    def test_the_purpose_is_servers_by_default(self) -> None:
        """A certificate is for servers unless clients, or both, are asked for."""
        server, client = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
        rows: dict[Any, list[x509.ObjectIdentifier]] = {
            "server": [server], "client": [client], "both": [server, client],
        }  # fmt: skip
        for purpose, uses in rows.items():
            for made in (
                Authority.create().issue("a.example", purpose=purpose),
                self_signed("a.example", purpose=purpose),
            ):
                self.assertEqual(list(extension(made, x509.ExtendedKeyUsage)), uses)

    def test_only_authorities_can_issue(self) -> None:
        """No leaf can issue certificates, not even a self-signed one."""
        root = Authority.create()
        for made, is_authority in (
            (root, True), (root.intermediate(), True),
            (root.issue("x"), False), (self_signed("x"), False),
        ):  # fmt: skip
            self.assertIs(extension(made, x509.BasicConstraints).ca, is_authority)
            self.assertIs(extension(made, x509.KeyUsage).key_cert_sign, is_authority)

    def test_without_names_there_are_no_alternative_names(self) -> None:
        """Without names a certificate has no alternative names, whatever its subject is."""
        for made in (Authority.create().issue(), self_signed(common_name="a.example")):
            self.assertRaises(x509.ExtensionNotFound, extension, made, x509.SubjectAlternativeName)

    def test_alternative_names_replace_the_names(self) -> None:
        """For tests, any alternative names can replace the given names."""
        odd = [x509.DNSName("*"), x509.RFC822Name("me@a.example")]
        made = Authority.create().issue("a.example", alternative_names=odd)
        self.assertEqual(list(extension(made, x509.SubjectAlternativeName)), odd)

    def test_impossible_names_are_refused(self) -> None:
        """A name that cannot be in a certificate is refused, and quoted."""
        for make in (Authority.create().issue, self_signed):
            for name in ("", "a b", "bücher.example", "a\n", "a\0", "\x7f"):
                error = self.assertRaises(ValueError, make, name)
                self.assertIn(f"{name!a} is no name for a certificate", str(error))

    def test_the_subject_is_the_first_name(self) -> None:
        """The subject is the first name, or another if given, and never longer than 64 bytes."""
        root = Authority.create()
        for made, subject in (
            (root.issue("a.example", "b.example"), "a.example"),
            (root.issue("a.example", common_name="A"), "A"),
            (root.issue(), "nobody"),
            (root.issue(f"{'x' * 60}.example"), f"{'x' * 60}.exa"),
            (root.issue(common_name="ü" * 64), "ü" * 32),
            (root.issue(common_name="x" + "ü" * 64), "x" + "ü" * 31),
            (self_signed("a.example"), "a.example"),
        ):
            (name,) = made.certificate.subject
            self.assertEqual(name.value, subject)
        self.assertEqual(Authority.create("ü" * 99).certificate.subject.rfc4514_string(),
                         "CN=" + "ü" * 32)  # fmt: skip


class ValidityTests(SynchronousTestCase):
    """The start and the end of the validity."""

    def validity(self, made: Issued | Authority) -> tuple[datetime, datetime]:
        """The start and the end of a certificate's validity."""
        certificate = made.certificate
        return certificate.not_valid_before_utc, certificate.not_valid_after_utc

    def test_days_are_counted_from_now(self) -> None:
        """A certificate begins a little before now, because clocks differ, and lasts for `days`."""
        root = Authority.create(now=NOW, days=3)
        for made, days in (
            (root, 3), (root.intermediate(now=NOW, days=2), 2), (root.issue("x", now=NOW), 90),
            (root.issue("x", now=NOW, days=0.5), 0.5), (self_signed("x", now=NOW, days=1), 1),
        ):  # fmt: skip
            begin, end = self.validity(made)
            self.assertEqual(end, NOW + timedelta(days=days))
            self.assertTrue(timedelta(0) < NOW - begin < timedelta(hours=1))

    def test_certificates_are_valid_now_by_default(self) -> None:
        """Unless another time is given, certificates are valid at present."""
        for made in (Authority.create(), Authority.create().issue("x"), self_signed("x")):
            begin, end = self.validity(made)
            self.assertTrue(begin < datetime.now(timezone.utc) < end)

    def test_any_dates_can_be_given(self) -> None:
        """For tests, both dates can be anything, if the start comes before the end."""
        root = Authority.create(now=NOW)
        dates = (NOW - timedelta(days=9), NOW - timedelta(days=8))
        made = root.issue("x", not_before=dates[0], not_after=dates[1])
        self.assertEqual(self.validity(made), dates)
        self.assertRaises(ValueError, root.issue, "x", not_before=dates[1], not_after=dates[0])


class RevocationListTests(SynchronousTestCase):
    """Revocation lists of an authority."""

    def test_revoked_certificates_are_listed(self) -> None:
        """A list has the revoked certificates, and is signed by their issuer."""
        root = Authority.create()
        bad, good = root.issue("bad"), root.issue("good")
        lists = x509.load_pem_x509_crl(root.revocation_list(bad.certificate))
        number = bad.certificate.serial_number
        self.assertIsNotNone(lists.get_revoked_certificate_by_serial_number(number))
        number = good.certificate.serial_number
        self.assertIsNone(lists.get_revoked_certificate_by_serial_number(number))
        self.assertTrue(lists.is_signature_valid(root.key.public_key()))
        self.assertEqual(lists.issuer, root.certificate.subject)

    def test_a_list_is_valid_for_days(self) -> None:
        """A list begins a little before now, and must be renewed after `days`."""
        lists = x509.load_pem_x509_crl(Authority.create().revocation_list(now=NOW, days=2))
        self.assertEqual(len(list(lists)), 0)
        assert lists.next_update_utc is not None
        self.assertTrue(lists.last_update_utc < NOW < lists.next_update_utc)
        self.assertEqual(lists.next_update_utc - lists.last_update_utc, timedelta(days=2))


class PEMTests(SynchronousTestCase):
    """The texts that are written into files."""

    def test_pem_has_key_leaf_and_chain(self) -> None:
        """``pem`` is the key, the leaf and its chain, in the order that local_cert needs."""
        made = Authority.create().intermediate().issue("a.example")
        chain = x509.load_pem_x509_certificates(made.pem)
        self.assertEqual(chain, [made.certificate, *made.chain])
        self.assertEqual(chain, x509.load_pem_x509_certificates(made.cert_pem))
        self.assertEqual(made.pem, made.key_pem() + made.cert_pem)
        key: Any = load_pem_private_key(made.pem, None)
        self.assertEqual(key.private_numbers(), made.key.private_numbers())

    def test_a_key_can_be_encrypted(self) -> None:
        """With a passphrase, the key in PEM cannot be read without it."""
        made = self_signed("a.example")
        locked = made.key_pem(SECRET)
        self.assertIn(b"ENCRYPTED", locked)
        self.assertRaises(TypeError, load_pem_private_key, locked, None)
        key: Any = load_pem_private_key(locked, SECRET.encode())
        self.assertEqual(key.private_numbers(), made.key.private_numbers())

    def test_the_pem_of_an_authority_has_no_key(self) -> None:
        """An authority's ``pem`` is its certificate, without the key."""
        root = Authority.create()
        self.assertEqual(x509.load_pem_x509_certificate(root.pem), root.certificate)
        self.assertNotIn(b"PRIVATE", root.pem)

    def test_repr_shows_no_key(self) -> None:
        """The repr of an authority or a certificate shows no key."""
        for made in (Authority.create(), self_signed("x")):
            self.assertNotIn("key=", repr(made))

    def test_digests_are_as_options_take_them(self) -> None:
        """`fingerprint` and `spki_pin` are the digests that the options take."""
        made = Authority.create().issue("a.example")
        der = made.certificate.public_bytes(Encoding.DER)
        self.assertEqual(made.fingerprint, hashlib.sha256(der).hexdigest())
        spki = made.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.assertEqual(base64.b64decode(made.spki_pin), hashlib.sha256(spki).digest())


class WritePrivateTests(SynchronousTestCase):
    """Files that hold keys."""

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="txtransport-tests-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.path = self.folder / "key.pem"

    def test_only_the_owner_can_read_the_file(self) -> None:
        """Whatever the umask and the old file's mode, only the owner can read the new file."""
        before = os.umask(0)
        self.addCleanup(os.umask, before)
        self.path.write_bytes(b"old")
        self.path.chmod(0o666)
        for name in ("key.pem", "new.pem"):
            write_private(self.folder / name, b"new")
            mode = (self.folder / name).stat().st_mode
            self.assertEqual(stat.S_IMODE(mode), 0o600)
            self.assertEqual((self.folder / name).read_bytes(), b"new")

    def test_a_path_may_be_text_bytes_or_path(self) -> None:
        """A path may be text, bytes or a Path, with a folder or without."""
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(self.folder)
        kinds: tuple[Callable[[Path], Any], ...] = (str, Path, os.fsencode, lambda path: path.name)
        for kind in kinds:
            write_private(kind(self.path), b"x")
            self.assertEqual(self.path.read_bytes(), b"x")
            self.path.unlink()

    def test_a_failed_write_leaves_the_old_file(self) -> None:
        """When the file cannot be written, the old one is unchanged and no other file is left."""
        self.path.write_bytes(b"old")
        data: Any = "text"
        self.assertRaises(TypeError, write_private, self.path, data)
        (self.folder / "taken").mkdir()
        self.assertRaises(OSError, write_private, self.folder / "taken", b"new")
        self.assertRaises(OSError, write_private, self.folder / "missing" / "key.pem", b"new")
        self.assertEqual(sorted(os.listdir(self.folder)), ["key.pem", "taken"])
        self.assertEqual(self.path.read_bytes(), b"old")
