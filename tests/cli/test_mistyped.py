"""What was meant by a word that is no command."""

from __future__ import annotations

import os

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests import certificates
from txtransport.__main__ import COMMANDS
from txtransport.cli.mistyped import refusal


class RefusalTests(SynchronousTestCase):
    """What is typed, and what is answered."""

    def assert_meant(self, typed: str, meant: str) -> None:
        """The answer to what was typed ends with a line to copy."""
        self.assertTrue(refusal(typed, COMMANDS).endswith(f"; did you mean: {meant}"), typed)

    def test_a_mistyped_command(self) -> None:
        """The nearest command is offered, whatever the case of its letters."""
        for typed, meant in (
            ("prob", "probe"),
            ("PROBE", "probe"),
            ("inspct", "inspect"),
            ("option", "options"),
            ("complete", "completion"),
        ):
            self.assert_meant(typed, f"txtransport {meant}")

    def test_a_url_is_for_the_probe(self) -> None:
        """A URL in the command's place is offered to the probe, quoted for the shell."""
        self.assert_meant("tls://host:443", "txtransport probe tls://host:443")
        url = "tls://host:587?starttls=smtp&timeout=5"
        self.assert_meant(url, f"txtransport probe '{url}'")

    def test_no_secret_of_a_url_is_repeated(self) -> None:
        """What may be a password, in a URL of ours or of another kind, is not shown."""
        for url in (
            "tls://host:443?local_cert=a.pem&passphrase=hunter2",
            "https://user:hunter2@example.com/hunter2",
            "postgres://user:hunter2@db/hunter2",
        ):
            self.assertNotIn("hunter2", refusal(url, COMMANDS), url)

    def test_a_host_is_for_the_probe(self) -> None:
        """A host, with a port or without, is what the probe takes."""
        self.assert_meant("mail.example.com", "txtransport probe mail.example.com")
        for host in ("192.0.2.7:443", "localhost", "localhost:8443", "'[::1]:443'"):
            self.assert_meant(host.strip("'"), f"txtransport probe {host}")

    def test_a_file_is_for_inspect(self) -> None:
        """A file that is there is what inspect takes."""
        path = certificates.site()
        self.assert_meant(path, f"txtransport inspect {path}")
        folder = certificates.folder() / "a b.c"
        folder.mkdir()
        self.assert_meant(str(folder), f"txtransport inspect '{folder}'")
        self.addCleanup(os.rmdir, folder)

    def test_anything_else_is_answered_with_the_commands(self) -> None:
        """Where nothing is near, all commands are listed."""
        answer = refusal("xyz", COMMANDS)
        for command in COMMANDS:
            self.assertIn(command, answer)

    @given(st.text())
    def test_no_word_crashes(self, typed: str) -> None:
        """Whatever is typed, the answer is one printable line of bounded length."""
        answer = refusal(typed, COMMANDS)
        self.assertTrue(answer.isprintable(), answer)
        self.assertLess(len(answer), 1000)
