"""The commands that convert files: run by a shell, with the programs that they name."""

from __future__ import annotations

import os
import stat
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from tests.live.peers import OPENSSL, path
from tests.tls.test_file_format import SECRET, forms, site
from txtransport.config.policy import CertificateFiles, TLSPolicy
from txtransport.errors import BadCertificateFile
from txtransport.testing.devcert import write_private
from txtransport.tls import pem


def _identity(option: str, file: str) -> object:
    return pem.read_identity(TLSPolicy(), option, CertificateFiles(file, _key_file(file)))


def _key_file(file: str) -> str:
    """A file with the key, for certificates whose own file has none."""
    key = Path(file).with_name("key")
    write_private(key, site().key_pem())
    return str(key)


READERS: Final = {
    "local_cert": _identity,
    "local_pk": lambda option, file: pem.read_key(TLSPolicy(), option, file),
    "cafile": pem.read_authorities,
    "crl": pem.read_revocations,
}


class CommandTests(SynchronousTestCase):
    """What a refusal has people copy into their shell."""

    def refusal(self, option: str, file: Path) -> BadCertificateFile:
        """The error for a file that the option cannot read."""
        error: BadCertificateFile = self.assertRaises(
            BadCertificateFile, READERS[option], option, str(file)
        )
        return error

    def convert(self, command: str, words: bytes) -> None:
        """Run the command; its questions are answered with the passphrase."""
        done = subprocess.run(
            ["sh", "-c", command],
            input=words,
            capture_output=True,
            timeout=30,
            # Without a terminal openssl reads the passphrase from standard input.
            start_new_session=True,
        )
        self.assertEqual(done.returncode, 0, (command, done.stderr))

    def rows(self) -> Iterable[tuple[str, str, bytes]]:
        """An option, the beginning of a form's name, and a file of it."""
        for beginning, content in forms().items():
            for option in READERS:
                yield option, beginning, content

    def test_each_command_makes_a_file_that_is_accepted(self) -> None:
        """The copied command makes a file that the option reads, and keys stay private."""
        path(OPENSSL, os.environ)
        converted = set()
        for option, beginning, content in self.rows():
            with tempfile.TemporaryDirectory() as folder:
                old = Path(folder, "it's $HOME.dat")
                old.write_bytes(content)
                command = self.refusal(option, old).command
                if not command or command.startswith("keytool"):
                    continue
                if beginning.startswith("text in UTF") and option == "crl":
                    continue
                self.convert(command, SECRET + b"\n")
                new = old.with_suffix(".pem")
                # The certificates of PKCS#7 have no order: the leaf may not be the first.
                reader = "cafile" if beginning.startswith("PKCS#7") else option
                READERS[reader](option, str(new))
                converted.add((option, beginning))
                if b"PRIVATE KEY" in new.read_bytes():
                    self.assertEqual(stat.S_IMODE(new.stat().st_mode), 0o600, command)
        self.assertGreaterEqual(len(converted), 15)
