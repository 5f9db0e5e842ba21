"""The file of secrets: what is in it, who may read it, and which files are refused."""

from __future__ import annotations

import gc
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from tests import certificates
from tests.tls.handshake import NAME, Meeting, client, meet, server
from txtransport.config.policy import Side
from txtransport.errors import BadCertificateFile
from txtransport.tls.creator import connection_creator
from txtransport.tls.keylog import KeyLog

LINE: Final = re.compile(rb"[A-Z0-9_]+ [0-9a-f]{64} [0-9a-f]{64,96}\n")


class KeyLogTestCase(SynchronousTestCase):
    """A folder for the file."""

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="txtransport-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.path = self.folder / "keys.log"

    def lines(self) -> list[bytes]:
        """The lines of the file, each of which is whole."""
        lines = self.path.read_bytes().splitlines(keepends=True)
        for line in lines:
            self.assertRegex(line, LINE)
        return lines

    def refused(self, path: Path) -> BadCertificateFile:
        """The error for a file, which no context is built with."""
        for side, policy in ((Side.CLIENT, client), (Side.SERVER, server)):
            error: BadCertificateFile = self.assertRaises(
                BadCertificateFile, connection_creator, policy(keylog=str(path)), side
            )
        self.assertEqual((error.option, error.path), ("keylog", str(path)))
        return error


class ContentTests(KeyLogTestCase):
    """What is written."""

    def labels(self, meeting: Meeting) -> set[bytes]:
        """The labels of the lines, after a complete handshake; the file is empty again."""
        self.assertTrue(meeting.is_secure)
        lines = self.lines()
        self.path.write_bytes(b"")
        return {line.partition(b" ")[0] for line in lines}

    def test_both_ends_write_the_secrets_of_each_version(self) -> None:
        """The labels that Wireshark and curl know."""
        log = str(self.path)
        of_13 = {
            b"CLIENT_HANDSHAKE_TRAFFIC_SECRET", b"SERVER_HANDSHAKE_TRAFFIC_SECRET",
            b"CLIENT_TRAFFIC_SECRET_0", b"SERVER_TRAFFIC_SECRET_0", b"EXPORTER_SECRET",
        }  # fmt: skip
        for version, expected in (("1.3", of_13), ("1.2", {b"CLIENT_RANDOM"})):
            of_client = self.labels(meet(client(keylog=log, max_version=version)))
            of_server = self.labels(meet(client(max_version=version), server(keylog=log)))
            self.assertEqual((of_client, of_server), (expected, expected))

    def test_lines_are_appended(self) -> None:
        """What a file has already stays, and both ends may share it."""
        log = str(self.path)
        meet(client(keylog=log))
        before = self.lines()
        meet(client(keylog=log), server(keylog=log))
        lines = self.lines()
        self.assertEqual(lines[: len(before)], before)
        self.assertEqual(len(lines), 3 * len(before))

    def test_no_other_endpoint_s_secrets_are_written(self) -> None:
        """An endpoint without the option has a context without it, before and after."""
        plain = connection_creator(client(), Side.CLIENT)
        logging = connection_creator(client(keylog=str(self.path)), Side.CLIENT)
        self.assertIsNot(plain.context, logging.context)
        for made in (plain, connection_creator(client(), Side.CLIENT)):
            self.assertTrue(meet(made).is_secure)
        self.assertEqual(self.lines(), [])
        self.assertTrue(meet(logging).is_secure)
        self.assertNotEqual(self.lines(), [])

    def test_each_name_of_a_server_is_logged(self) -> None:
        """A certificate of SNI_server_certs has a context of its own."""
        serving = server(
            local_cert=certificates.site(), SNI_server_certs={NAME: certificates.site()},
            keylog=str(self.path),
        )  # fmt: skip
        self.assertTrue(meet(client(), serving).is_secure)
        self.assertEqual(len(self.lines()), 5)

    def test_the_file_does_not_count_as_one_that_changes(self) -> None:
        """A line in it does not cost a new context, which could resume no session."""
        made = connection_creator(client(keylog=str(self.path)), Side.CLIENT)
        before = made.context.current()
        meet(made)
        self.assertIs(made.context.current(), before)


class FileTests(KeyLogTestCase):
    """The file itself."""

    def test_it_is_its_user_s_alone(self) -> None:
        """It is made with the rights 0600, whatever the umask."""
        before = os.umask(0)
        self.addCleanup(os.umask, before)
        KeyLog(str(self.path))
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)

    def test_a_file_that_others_may_read_or_write_is_refused(self) -> None:
        """With the command that mends it, which then works."""
        self.path.touch()
        for mode in (0o640, 0o604, 0o620, 0o602, 0o666):
            self.path.chmod(mode)
            error = self.refused(self.path)
            self.assertIn("open to other users", str(error))
            self.assertEqual(error.command, f"chmod 600 {self.path}")
        subprocess.run(error.command, shell=True, check=True)
        KeyLog(str(self.path))

    def test_no_link_is_followed(self) -> None:
        """Neither to a file nor to nothing: another user may have put it there."""
        aim = self.folder / "aim"
        self.path.symlink_to(aim)
        self.assertIn("symbolic link", str(self.refused(self.path)))
        self.assertFalse(aim.exists())
        aim.write_bytes(b"kept")
        aim.chmod(0o600)
        self.refused(self.path)
        self.assertEqual(aim.read_bytes(), b"kept")

    def test_what_is_no_file_is_refused_at_once(self) -> None:
        """A folder, a FIFO without a reader and with one, and a device."""
        self.refused(self.folder)
        os.mkfifo(self.path, 0o600)
        self.refused(self.path)
        reader = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, reader)
        self.assertIn("not a regular file", str(self.refused(self.path)))
        self.assertIn("not a regular file", str(self.refused(Path("/dev/null"))))
        self.refused(self.folder / "missing" / "keys.log")

    def test_another_user_s_file_is_refused(self) -> None:
        """Its owner could read it, whatever its rights are."""
        self.path.touch(0o600)
        with mock.patch("os.geteuid", lambda: self.path.stat().st_uid + 1):
            self.assertIn("another user", str(self.refused(self.path)))

    def test_a_file_that_was_removed_is_made_again(self) -> None:
        """The secrets of later connections do not go to a file that no one can find."""
        log = KeyLog(str(self.path))
        log.write(None, b"one")
        self.path.unlink()
        log.write(None, b"two")
        self.assertEqual(self.path.read_bytes(), b"two\n")
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)
        self.path.unlink()
        self.path.symlink_to(self.folder / "aim")
        log.write(None, b"three")
        self.assertFalse((self.folder / "aim").exists())

    def test_a_full_disk_ends_no_connection(self) -> None:
        """The secrets are lost, and the connection is made."""
        policy = client(keylog=str(self.path))
        made = connection_creator(policy, Side.CLIENT)
        with mock.patch("os.write", side_effect=OSError(28, "No space left on device")):
            self.assertTrue(meet(made).is_secure)

    def test_the_descriptor_is_closed_and_not_inherited(self) -> None:
        """With the last that uses it; a child process never has it."""
        log = KeyLog(str(self.path))
        (file,) = [
            int(each) for each in os.listdir("/proc/self/fd")
            if os.path.realpath(f"/proc/self/fd/{each}") == str(self.path)
        ]  # fmt: skip
        self.assertFalse(os.get_inheritable(file))
        self.path.unlink()
        log.write(None, b"again")
        self.assertFalse(os.get_inheritable(file))
        del log
        gc.collect()
        self.assertRaises(OSError, os.fstat, file)

    if not sys.platform.startswith("linux"):
        test_the_descriptor_is_closed_and_not_inherited.skip = "needs /proc"  # type: ignore[attr-defined]


class ProgramTests(SynchronousTestCase):
    """What is refused without a file."""

    def test_a_path_that_is_no_command_s_word_has_no_command(self) -> None:
        """Nothing that is printed as a command would do something else."""
        with mock.patch("os.fstat", lambda file: mock.Mock(
            st_mode=stat.S_IFREG | 0o644, st_uid=os.geteuid()
        )), mock.patch("os.open", lambda *given: os.dup(2)):  # fmt: skip
            error = self.assertRaises(BadCertificateFile, KeyLog, "a\nrm b")
        self.assertEqual(error.command, "")
