"""``txtransport devcert``: certificates for trying things out, and how to trust them."""

from __future__ import annotations

import os
import shlex
import shutil
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

    def says(self, *arguments: str) -> list[str]:
        """What it says when it does what it is told."""
        status, output, complaints = self.does("devcert", str(self.folder), *arguments)
        self.assertEqual((status, complaints), (0, ""))
        return output.splitlines()

    def refuses(self, expected: int, *arguments: str) -> str:
        """Its complaint, when it does not."""
        status, output, complaints = self.does("devcert", str(self.folder), *arguments)
        self.assertEqual((status, output), (expected, ""))
        return complaints

    def line(self, lines: list[str], heading: str) -> str:
        """What is to be copied below a heading."""
        (place,) = [number for number, line in enumerate(lines) if line.startswith(heading)]
        return lines[place + 1].strip()


class MakingTests(DevcertTestCase):
    """What is made."""

    def test_files(self) -> None:
        """The folder is made, with the authority, its key and a certificate for all names."""
        lines = self.says("localhost", "127.0.0.1", "::1")
        self.assertEqual(sorted(os.listdir(self.folder)), ["ca-key.pem", "ca.pem", "localhost.pem"])
        leaf = pem.read_authorities("local_cert", str(self.folder / "localhost.pem"))[0]
        self.assertEqual(certificate_names(leaf), "localhost, 127.0.0.1, ::1")
        text = " ".join(" ".join(lines).split())
        self.assertIn("the authority, new, until ", text)
        self.assertIn("its key, new, so that the next run issues from the same authority", text)
        end = f"{leaf.not_valid_after_utc:%Y-%m-%d}"
        self.assertIn(f"for localhost, 127.0.0.1, ::1, until {end}", text)

    def test_again(self) -> None:
        """A second run keeps the authority, says so, and renews the certificate."""
        self.says("localhost")
        before = {path.name: path.read_bytes() for path in self.folder.iterdir()}
        text = " ".join(" ".join(self.says("localhost", "--days", "7")).split())
        self.assertIn("the authority, kept, until ", text)
        after = {path.name: path.read_bytes() for path in self.folder.iterdir()}
        self.assertEqual(
            [name for name in sorted(after) if after[name] != before[name]], ["localhost.pem"]
        )

    def test_what_is_in_the_way(self) -> None:
        """A file of others is left alone and the status is 1, unless --force is said."""
        self.folder.mkdir()
        (self.folder / "a.pem").write_text("precious")
        complaint = self.refuses(1, "a")
        self.assertIn("a.pem is in the way, and left as it is", complaint)
        self.assertIn("--force", complaint)
        self.assertEqual(os.listdir(self.folder), ["a.pem"])
        self.says("a", "--force")
        self.assertNotEqual((self.folder / "a.pem").read_text(), "precious")

    def test_no_folder(self) -> None:
        """What is no folder is told as the system tells it."""
        self.folder.write_text("precious")
        self.assertIn("File exists", self.refuses(1, "a"))
        self.assertEqual(self.folder.read_text(), "precious")

    def test_what_is_no_name(self) -> None:
        """A name that cannot be one is refused before anything is made."""
        for names in (["https://a.example"], ["a", "b:443"], ["a b"], ["ca"], [""]):
            self.assertIn("txtransport devcert: error: ", self.refuses(2, *names))
        self.assertFalse(self.folder.exists())

    def test_what_is_no_number_of_days(self) -> None:
        """Days are a whole number up to ten years."""
        for days in ("0", "-1", "3651", "1.5", "x", "٣", "9" * 5000):
            self.assertIn("--days", self.refuses(2, "a", "--days", days))
        self.says("a", "--days", "3650")
        self.says("a", "--days", "1")

    def test_it_needs_a_name(self) -> None:
        """Without a name there is nothing to make."""
        self.assertIn("NAME", self.refuses(2))


class TellingTests(DevcertTestCase):
    """What is told."""

    def test_how_to_trust_it(self) -> None:
        """Each place where it can be trusted has a line to copy, fit for the shell."""
        lines = self.says("localhost")
        cafile = str(self.folder / "ca.pem")
        self.assertEqual(shlex.split(self.line(lines, "In curl")), ["curl", "--cacert", cafile])
        self.assertIn(cafile, shlex.split(self.line(lines, "On all of Debian")))
        self.assertIn("update-ca-certificates", self.line(lines, "On all of Debian"))
        self.assertEqual(shlex.split(self.line(lines, "In Chrome"))[-1], cafile)
        self.assertIn(cafile, self.line(lines, "In Firefox"))
        self.assertEqual(self.line(lines, "To trust it in txtransport"), f"cafile={cafile!r}")

    def test_the_names_decide_where(self) -> None:
        """Loopback is listened on as itself, other names at every address."""
        for name, server, client in (
            ("localhost", "tls://localhost:8443", "tls://localhost:8443"),
            ("::1", "tls://[::1]:8443", "tls://[::1]:8443"),
            ("a.example", "tls://*:8443", "tls://a.example:8443"),
            ("*.a.example", "tls://*:8443", "tls://www.a.example:8443"),
        ):
            lines = self.says(name)
            urls = [
                self.line(lines, "To try it, as the URL of a server"),
                self.line(lines, "As the URL of a client"),
            ]
            self.assertEqual([url.partition("?")[0] for url in urls], [server, client])
            self.assertEqual(
                shlex.split(self.line(lines, "And to ask it"))[-1],
                client.replace("tls:", "https:") + "/",
            )

    def test_for_twisted(self) -> None:
        """What is to be given to twistd is an endpoint that Twisted understands."""
        lines = self.says("localhost")
        command = shlex.split(self.line(lines, "With Twisted's web server"))
        serverFromString(MemoryReactor(), command[-1])

    def test_for_clients(self) -> None:
        """A client's certificate is told as one, with the server that asks for it."""
        lines = self.says("alice", "--client")
        client = TransportURL.parse(self.line(lines, "To try it, as the URL of a client"))
        self.assertEqual(client.options, (("local_cert", str(self.folder / "alice.pem")),))
        server = TransportURL.parse(self.line(lines, "And of a server"))
        self.assertEqual(
            server.options,
            (
                ("local_cert", "server.pem"),
                ("verify_peer", "yes"),
                ("cafile", str(self.folder / "ca.pem")),
            ),
        )

    def test_the_window_counts(self) -> None:
        """Prose fits a narrow window; what is to be copied stays whole."""
        self.patch(os, "environ", {**os.environ, "COLUMNS": "40"})
        lines = self.says("localhost")
        wide = [line for line in lines if len(line) > 40]
        self.assertEqual([line for line in wide if self.folder.parent.name not in line], [])


class ConversationTests(LoopbackTestCase):
    """What is made is of use."""

    async def test_a_conversation(self) -> None:
        """A server and a client that use the URLs that are told understand each other."""
        folder = tempfile.mkdtemp(prefix="txtransport-tests-")
        self.addCleanup(shutil.rmtree, folder)
        told = DevcertTestCase()
        told.folder = Path(folder)
        lines = told.says("127.0.0.1")
        server = told.line(lines, "To try it, as the URL of a server")
        client = told.line(lines, "As the URL of a client")
        port = await self.listening(server.replace(":8443", ":0"), Recorders())
        protocol = await self.connected(client.replace(":8443", f":{port}"))
        session = session_of(protocol.transport)
        assert session is not None
        self.assertTrue(session.verified)
