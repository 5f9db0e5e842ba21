"""A folder of development certificates: made, found again, and no file of others lost."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from cryptography import x509
from twisted.trial.unittest import SynchronousTestCase

from tests.testing.test_devcert import verified
from txtransport.cli.devfolder import Folder, NotOurs, file_name, read_name
from txtransport.config.policy import TLSPolicy
from txtransport.testing.devcert import Authority, Issued, self_signed
from txtransport.tls import pem


class FolderTestCase(SynchronousTestCase):
    """What the tests of this file share."""

    def setUp(self) -> None:
        made = Path(tempfile.mkdtemp(prefix="txtransport-tests-"))
        self.addCleanup(shutil.rmtree, made)
        self.path = made / "certificates"

    def folder(self, **keywords: Any) -> Folder:
        """Read the folder, as the next run does."""
        return Folder.of(str(self.path), **keywords)

    def contents(self) -> dict[str, bytes]:
        """The names of its files, and what is in them."""
        return {path.name: path.read_bytes() for path in self.path.iterdir()}


class MakingTests(FolderTestCase):
    """A folder that is new."""

    def test_nothing_is_written_before_it_is_needed(self) -> None:
        """A folder is made with the first certificate, not sooner."""
        self.assertTrue(self.folder().is_new)
        self.assertFalse(self.path.exists())

    def test_only_the_authority_is_for_everyone(self) -> None:
        """Authority, key and certificate are three files; everyone may read the first alone."""
        before = os.umask(0o077)
        self.addCleanup(os.umask, before)
        path, _ = self.folder().issue(["localhost", "127.0.0.1"])
        self.assertEqual(path, str(self.path / "localhost.pem"))
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in self.path.iterdir()}
        self.assertEqual(modes, {"ca.pem": 0o644, "ca-key.pem": 0o600, "localhost.pem": 0o600})

    def test_certificate_is_verified_by_the_authority(self) -> None:
        """The file is what local_cert takes, and the authority verifies it for its names alone."""
        path, issued = self.folder().issue(["localhost", "*.a.example", "::1", "localhost"])
        own = pem.identity(TLSPolicy(local_cert=path))
        assert own is not None
        self.assertEqual(own.leaf, issued.certificate)
        root = self.folder().authority
        self.assertEqual(pem.read_authorities("cafile", self.folder().cafile), [root.certificate])
        for name in ("localhost", "x.a.example", "::1"):
            self.assertTrue(verified(issued, root, name), name)
        self.assertFalse(verified(issued, root, "b.example"))

    def test_certificate_never_outlives_the_authority(self) -> None:
        """A certificate is valid for so many days, and never longer than the authority."""
        folder = self.folder()
        _, issued = folder.issue(["a"], days=2)
        left = issued.certificate.not_valid_after_utc - datetime.now(timezone.utc)
        self.assertTrue(timedelta(days=1, hours=23) < left <= timedelta(days=2))
        _, issued = folder.issue(["a"], days=99999)
        self.assertEqual(
            issued.certificate.not_valid_after_utc,
            folder.authority.certificate.not_valid_after_utc,
        )

    def test_client_certificate_is_not_for_servers(self) -> None:
        """A client's certificate is not accepted as a server's."""
        _, issued = self.folder().issue(["alice"], purpose="client")
        self.assertFalse(verified(issued, self.folder().authority, "alice"))


class FindingTests(FolderTestCase):
    """A folder that exists already."""

    def test_later_runs_issue_from_the_same_authority(self) -> None:
        """A later run issues from the same authority, whose files it leaves as they are."""
        self.folder().issue(["a"])
        before = self.contents()
        again = self.folder()
        self.assertFalse(again.is_new)
        _, issued = again.issue(["b"])
        self.assertTrue(verified(issued, again.authority, "b"))
        after = self.contents()
        self.assertEqual({name: after[name] for name in before}, before)
        self.assertEqual({*after} - {*before}, {"b.pem"})

    def test_certificates_are_renewed(self) -> None:
        """A certificate of the same name replaces the last one."""
        path, first = self.folder().issue(["a"])
        _, second = self.folder().issue(["a", "b"])
        self.assertNotEqual(first.certificate, second.certificate)
        self.assertEqual(pem.read_authorities("local_cert", path), [second.certificate])

    def assert_left_alone(self, file: str, *names: str) -> None:
        """Check that the file is refused and left as it is, and nothing else is written."""
        before = self.contents()

        def attempt() -> None:
            self.folder().issue(names)

        problem = self.assertRaises(NotOurs, attempt)
        self.assertEqual(problem.path, str(self.path / file))
        self.assertIn(file, str(problem))
        self.assertEqual(self.contents(), before)

    def test_files_of_others_stay(self) -> None:
        """A file of that name that the authority has not issued is left alone."""
        self.path.mkdir()
        (self.path / "a.pem").write_bytes(b"precious")
        self.assert_left_alone("a.pem", "a")
        for content in (b"", self_signed("a").pem, Authority.create().issue("a").pem):
            (self.path / "a.pem").write_bytes(content)
            self.assert_left_alone("a.pem", "a")
        self.folder().issue(["b"])
        self.assert_left_alone("a.pem", "a")

    def test_broken_link_stays(self) -> None:
        """A link to a file that does not exist is left alone as well."""
        self.folder().issue(["b"])
        (self.path / "a.pem").symlink_to("/nonexistent/a.pem")
        self.assertRaises(NotOurs, self.folder().issue, ["a"])

    def test_authority_needs_certificate_and_key(self) -> None:
        """An authority without its key, or a key without its authority, is refused."""
        self.folder().issue(["a"])
        key = (self.path / "ca-key.pem").read_bytes()
        (self.path / "ca-key.pem").unlink()
        self.assert_left_alone("ca.pem", "a")
        (self.path / "ca-key.pem").write_bytes(Authority.create().issue("x").key_pem())
        self.assert_left_alone("ca.pem", "a")
        (self.path / "ca-key.pem").write_bytes(key)
        (self.path / "ca.pem").unlink()
        self.assert_left_alone("ca-key.pem", "a")

    def write_authority(self, made: Issued) -> None:
        """Write a certificate and its key in the place of the authority's."""
        self.path.mkdir(exist_ok=True)
        (self.path / "ca.pem").write_bytes(made.cert_pem)
        (self.path / "ca-key.pem").write_bytes(made.key_pem())

    def test_certificate_that_is_no_authority_is_refused(self) -> None:
        """A certificate that may not issue others, or has a key of another kind, is refused."""
        self.write_authority(self_signed("a"))
        self.assert_left_alone("ca.pem", "a")
        self.write_authority(Authority.create().issue("a", key="rsa"))
        self.assert_left_alone("ca.pem", "a")

    def test_expired_authority_is_refused_with_its_date(self) -> None:
        """An expired authority is refused with its date, and not replaced unasked."""
        long_ago = datetime.now(timezone.utc) - timedelta(days=400)
        root = Authority.create(now=long_ago, days=2)
        self.write_authority(Issued(root.certificate, root.key))
        self.assert_left_alone("ca.pem", "a")
        problem = self.assertRaises(NotOurs, self.folder)
        self.assertIn(f"valid until {long_ago + timedelta(days=2):%Y-%m-%d}", str(problem))

    def test_files_of_others_are_replaced_on_request(self) -> None:
        """With is_replacing new files take the place of whatever there was."""
        self.path.mkdir()
        for name in ("ca.pem", "ca-key.pem", "a.pem"):
            (self.path / name).write_bytes(b"precious")
        folder = self.folder(is_replacing=True)
        self.assertTrue(folder.is_new)
        _, issued = folder.issue(["a"])
        self.assertTrue(verified(issued, self.folder().authority, "a"))
        kept = self.contents()["ca.pem"]
        (self.path / "a.pem").write_bytes(b"precious")
        self.folder(is_replacing=True).issue(["a"])
        self.assertEqual(self.contents()["ca.pem"], kept)


class NameTests(SynchronousTestCase):
    """Whom a certificate can be for."""

    def test_names_are_read_as_certificates_have_them(self) -> None:
        """Names and addresses are read as certificates have them, each with a file of its own."""
        for given, name, file in (
            ("localhost", "localhost", "localhost.pem"),
            ("WWW.Example.com.", "www.example.com", "www.example.com.pem"),
            ("*.Example.com", "*.example.com", "_.example.com.pem"),
            ("bücher.example", "xn--bcher-kva.example", "xn--bcher-kva.example.pem"),
            ("127.0.0.1", "127.0.0.1", "127.0.0.1.pem"),
            ("0:0::1", "::1", "__1.pem"),
        ):
            self.assertEqual(read_name(given), name)
            self.assertEqual(file_name(name), file)
            general = Authority.create().issue(name).certificate.extensions
            names = general.get_extension_for_class(x509.SubjectAlternativeName).value
            self.assertEqual([str(one.value) for one in names], [name])

    def test_wrong_names_are_refused_in_few_words(self) -> None:
        """Paths, URLs and other wrong names are refused, in a short message."""
        for given in (
            "", "*", "*.", "*.*.example", "a.*.example", "*.127.0.0.1", "*.::1", "../../etc/passwd",
            "a/b", "https://a.example", "a.example:443", "[::1]", "a b", "a\nb", "a\0b", "-\u202e",
            "x" * 9999, "..",
        ):  # fmt: skip
            problem = self.assertRaises(ValueError, read_name, given)
            self.assertIn("is no name for a certificate", str(problem))
            self.assertLess(len(str(problem)), 250)
            self.assertTrue(str(problem).isprintable(), given)

    def test_name_of_the_authority_s_file_is_refused(self) -> None:
        """A name whose file would be the authority's is refused."""
        for given in ("ca", "CA", "ca-key"):
            self.assertIn(
                "is the authority's", str(self.assertRaises(ValueError, read_name, given))
            )
        self.assertEqual(read_name("ca.example"), "ca.example")
