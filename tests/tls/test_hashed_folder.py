"""Folders of authorities, and the files in them that OpenSSL does not find."""

from __future__ import annotations

import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests import certificates
from tests.tls import handshake
from txtransport.tls.hashed_folder import lost_files


class FolderTests(SynchronousTestCase):
    """A folder, as ``openssl rehash`` makes it and as people do."""

    def setUp(self) -> None:
        made = tempfile.TemporaryDirectory()
        self.addCleanup(made.cleanup)
        self.folder = Path(made.name)
        (self.folder / "ca.pem").write_bytes(certificates.authority().pem)
        (self.folder / "notes").write_text("no certificate")
        (self.folder / "more").mkdir()

    def is_trusted(self) -> bool:
        """Whether a client that is given the folder accepts what the authority has issued."""
        return handshake.meet(handshake.client(capath=str(self.folder))).is_secure

    def test_a_file_without_its_hash_is_lost(self) -> None:
        """OpenSSL does not find an authority by its file's own name, nor by another hash."""
        self.assertEqual(lost_files(str(self.folder)), ["ca.pem"])
        (self.folder / "00000000.0").symlink_to("ca.pem")
        self.assertEqual(lost_files(str(self.folder)), ["00000000.0", "ca.pem"])
        self.assertFalse(self.is_trusted())

    def test_a_file_with_a_link_is_found(self) -> None:
        """A link, or the file itself, with the hash of the subject is what OpenSSL opens."""
        # What `openssl x509 -hash` prints for the subject CN=txtransport test CA.
        (self.folder / "501cd488.0").symlink_to("ca.pem")
        self.assertEqual(lost_files(str(self.folder)), [])
        self.assertTrue(self.is_trusted())

    def test_a_folder_that_is_none_is_an_error(self) -> None:
        """A folder that cannot be listed has no lost files, but an error."""
        self.assertRaises(OSError, lost_files, str(self.folder / "ca.pem"))
