"""``txtransport devcert``: certificates for trying things out, and how to trust them."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

from twisted.internet.endpoints import serverFromString
from twisted.internet.testing import MemoryReactor

from tests.cli.test_main import MainTestCase
from tests.loopback import LoopbackTestCase, Recorders
from txtransport import TransportURL, session_of
from txtransport.tls import pem
from txtransport.tls.identity import certificate_names


class DevcertTestCase(MainTestCase):
    """What the tests of this file share."""

    def setUp(self) -> None:
        made = Path(tempfile.mkdtemp(prefix="txtransport-tests-"))
        self.addCleanup(shutil.rmtree, made)
        self.folder = made / "dev certs"

    def output_lines(self, *arguments: str) -> list[str]:
        """The output of a command line that succeeds."""
        status, output, complaints = self.does("devcert", str(self.folder), *arguments)
        self.assertEqual((status, complaints), (0, ""))
        return output.splitlines()

    def complaint(self, expected: int, *arguments: str) -> str:
        """The complaint of a command line that fails with that status."""
        status, output, complaints = self.does("devcert", str(self.folder), *arguments)
        self.assertEqual((status, output), (expected, ""))
        return complaints

    def line(self, lines: list[str], heading: str) -> str:
        """The line to copy below a heading."""
        (start,) = [number for number, line in enumerate(lines) if line.startswith(heading)]
        return lines[start + 1].strip()


class MakingTests(DevcertTestCase):
    """The files that the command makes."""

    def test_folder_gets_authority_key_and_certificate(self) -> None:
        """The folder is made, with the authority, its key and a certificate for all names."""
        lines = self.output_lines("localhost", "127.0.0.1", "::1")
        self.assertEqual(sorted(os.listdir(self.folder)), ["ca-key.pem", "ca.pem", "localhost.pem"])
        leaf = pem.read_authorities("local_cert", str(self.folder / "localhost.pem"))[0]
        self.assertEqual(certificate_names(leaf), "localhost, 127.0.0.1, ::1")
        text = " ".join(" ".join(lines).split())
        self.assertIn("the authority, new, until ", text)
        self.assertIn("its key, new, so that the next run issues from the same authority", text)
        end = f"{leaf.not_valid_after_utc:%Y-%m-%d}"
        self.assertIn(f"for localhost, 127.0.0.1, ::1, until {end}", text)

    def test_folder_that_no_url_can_name_is_refused_before_anything_is_written(self) -> None:
        """No keys are left in a folder whose files the printed URLs could not name."""
        parent = self.folder.parent
        for name in (
            "new\nline",
            "no\xa0break",
            "latin-\udce9",
            "\x1b[2J",
            "passphrase=a",
            "x" * 4096,
        ):
            self.folder = parent / name
            said = self.complaint(2, "localhost")
            self.assertIn("no URL can name its files", said, ascii(name))
            self.assertTrue(said.replace("\n", "").isprintable(), ascii(name))
            self.assertEqual(os.listdir(parent), [], ascii(name))

    def test_second_run_keeps_the_authority_and_renews_the_certificate(self) -> None:
        """A second run keeps the authority, says so, and renews the certificate."""
        self.output_lines("localhost")
        before = {path.name: path.read_bytes() for path in self.folder.iterdir()}
        text = " ".join(" ".join(self.output_lines("localhost", "--days", "7")).split())
        self.assertIn("the authority, kept, until ", text)
        after = {path.name: path.read_bytes() for path in self.folder.iterdir()}
        self.assertEqual(
            [name for name in sorted(after) if after[name] != before[name]], ["localhost.pem"]
        )

    def test_files_of_others_stay_unless_forced(self) -> None:
        """A file that the command did not make stays, and the status is 1, without --force."""
        self.folder.mkdir()
        (self.folder / "a.pem").write_text("precious")
        complaint = self.complaint(1, "a")
        self.assertIn("a.pem is in the way, and left as it is", complaint)
        self.assertIn("--force", complaint)
        self.assertEqual(os.listdir(self.folder), ["a.pem"])
        self.output_lines("a", "--force")
        self.assertNotEqual((self.folder / "a.pem").read_text(), "precious")

    def test_path_that_is_no_folder_is_refused(self) -> None:
        """A path that is not a folder is reported with the system's message."""
        self.folder.write_text("precious")
        self.assertIn("File exists", self.complaint(1, "a"))
        self.assertEqual(self.folder.read_text(), "precious")

    def test_wrong_name_is_refused_before_anything_is_made(self) -> None:
        """A name that cannot be one is refused before anything is made."""
        for names in (["https://a.example"], ["a", "b:443"], ["a b"], ["ca"], [""]):
            self.assertIn("txtransport devcert: error: ", self.complaint(2, *names))
        self.assertFalse(self.folder.exists())

    def test_days_are_a_whole_number_up_to_ten_years(self) -> None:
        """Days are a whole number up to ten years."""
        for days in ("0", "-1", "3651", "1.5", "x", "٣", "9" * 5000):
            self.assertIn("--days", self.complaint(2, "a", "--days", days))
        self.output_lines("a", "--days", "3650")
        self.output_lines("a", "--days", "1")

    def test_at_least_one_name_is_required(self) -> None:
        """Without a name the command line is wrong."""
        self.assertIn("NAME", self.complaint(2))


class AdviceTests(DevcertTestCase):
    """What the command says about the use of its files."""

    def test_every_way_to_trust_the_authority_can_be_copied(self) -> None:
        """Each place where the authority can be trusted has a line to copy, fit for the shell."""
        lines = self.output_lines("localhost")
        cafile = str(self.folder / "ca.pem")
        self.assertEqual(shlex.split(self.line(lines, "In curl")), ["curl", "--cacert", cafile])
        self.assertIn(cafile, shlex.split(self.line(lines, "On all of Debian")))
        self.assertIn("update-ca-certificates", self.line(lines, "On all of Debian"))
        self.assertEqual(shlex.split(self.line(lines, "In Chrome"))[-1], cafile)
        self.assertIn(cafile, self.line(lines, "In Firefox"))
        self.assertEqual(self.line(lines, "To trust it in txtransport"), f"cafile={cafile!r}")

    def test_nothing_that_is_shown_listens_beyond_this_machine(self) -> None:
        """Every server that is shown listens on loopback, whatever the certificate's name."""
        for name, host in (
            ("localhost", "localhost"),
            ("::1", "[::1]"),
            ("a.example", "localhost"),
            ("*.a.example", "localhost"),
            ("192.0.2.7", "localhost"),
        ):
            lines = self.output_lines(name)
            url = self.line(lines, "To try it, as the URL of a server")
            self.assertEqual(url.partition("?")[0], f"tls://{host}:8443")
            self.assertNotIn("*", "".join(self.line(lines, "With Twisted's web server").split()))
        lines = self.output_lines("alice", "--client")
        server = self.line(lines, "And of a server")
        self.assertEqual(server.partition("?")[0], "tls://localhost:8443")

    def test_a_client_demands_the_name_from_the_server_on_this_machine(self) -> None:
        """What connects to localhost verifies the certificate's name all the same."""
        for name, url, curl in (
            ("localhost", "tls://localhost:8443", "https://localhost:8443/"),
            ("::1", "tls://[::1]:8443", "https://[::1]:8443/"),
            ("a.example", "tls://localhost:8443?peer_name=a.example", "https://a.example:8443/"),
            (
                "*.a.example",
                "tls://localhost:8443?peer_name=www.a.example",
                "https://www.a.example:8443/",
            ),
            (
                "2001:db8::7",
                "tls://localhost:8443?peer_name=2001%3Adb8%3A%3A7",
                "https://[2001:db8::7]:8443/",
            ),
        ):
            lines = self.output_lines(name)
            given = self.line(lines, "As the URL of a client")
            self.assertEqual(re.split("[?&]cafile=", given)[0], url)
            asked = shlex.split(self.line(lines, "And to ask it"))
            self.assertEqual(asked[-1], curl)
            address = curl.removeprefix("https://").removesuffix("/")
            wanted = [] if "?" not in url else ["--connect-to", f"{address}:localhost:8443"]
            self.assertEqual(asked[3:-1], wanted)

    def test_twistd_line_is_an_endpoint_that_twisted_reads(self) -> None:
        """The endpoint in the line for twistd is one that Twisted understands."""
        lines = self.output_lines("localhost")
        command = shlex.split(self.line(lines, "With Twisted's web server"))
        serverFromString(MemoryReactor(), command[-1])

    def test_twistd_serves_a_folder_of_its_own(self) -> None:
        """The web server has a new folder, which the line makes first, and never the keys."""
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(self.folder.parent)
        # Where the certificates are, as the user may name it.
        for place in ("certs", ".", "public", "public/certs", "public-2"):
            self.folder = Path(place)
            line = self.line(self.output_lines("localhost"), "With Twisted's web server")
            preparation, _, command = line.rpartition("twistd ")
            served = shlex.split(command)[shlex.split(command).index("--path") + 1]
            self.assertFalse(os.path.lexists(served), place)
            preparation = preparation.removesuffix(" && ")
            subprocess.run(["sh", "-c", preparation], check=True, timeout=30)
            self.assertEqual(os.listdir(served), ["index.html"])
            # If the folder is there by then, nothing is served.
            again = subprocess.run(["sh", "-c", preparation], capture_output=True, timeout=30)
            self.assertNotEqual(again.returncode, 0)

    def test_client_certificate_comes_with_urls_for_both_sides(self) -> None:
        """For a client's certificate there are the client's URL and that of its server."""
        lines = self.output_lines("alice", "--client")
        client = TransportURL.parse(self.line(lines, "To try it, as the URL of a client"))
        cafile = str(self.folder / "ca.pem")
        self.assertEqual(
            client.options, (("local_cert", str(self.folder / "alice.pem")), ("cafile", cafile))
        )
        server = TransportURL.parse(self.line(lines, "And of a server"))
        self.assertEqual(
            server.options,
            (
                ("local_cert", "server.pem"),
                ("verify_peer", "yes"),
                ("cafile", cafile),
            ),
        )

    def test_prose_fits_a_narrow_window(self) -> None:
        """Prose fits a narrow window; what is to be copied stays whole."""
        self.patch(os, "environ", {**os.environ, "COLUMNS": "40"})
        lines = self.output_lines("localhost")
        wide = [line for line in lines if len(line) > 40]
        self.assertEqual([line for line in wide if self.folder.parent.name not in line], [])


class UsabilityTests(LoopbackTestCase):
    """What the command makes can be used."""

    async def test_server_and_client_with_the_shown_urls_connect(self) -> None:
        """A server and a client with the URLs that the command shows connect, verified."""
        for name in ("127.0.0.1", "a.example", "192.0.2.7"):
            folder = tempfile.mkdtemp(prefix="txtransport-tests-")
            self.addCleanup(shutil.rmtree, folder)
            devcert = DevcertTestCase()
            devcert.folder = Path(folder)
            lines = devcert.output_lines(name)
            server = devcert.line(lines, "To try it, as the URL of a server")
            client = devcert.line(lines, "As the URL of a client")
            port = await self.listening(server.replace(":8443", ":0"), Recorders())
            protocol = await self.connected(client.replace(":8443", f":{port}"))
            session = session_of(protocol.transport)
            assert session is not None
            self.assertTrue(session.verified)
