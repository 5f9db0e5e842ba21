"""``txtransport inspect``, as a shell sees it."""

from __future__ import annotations

import getpass
import io
import json
import os
import sys
import warnings
from typing import Final, NoReturn

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests import certificates
from tests.cli.test_main import MainTestCase

SECRET: Final = "hunter2 ünd mehr"


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        """A person sits there."""
        return True


class InspectTests(MainTestCase):
    """Exit status, output and complaints."""

    def inspects(self, *words: str) -> tuple[int, str, str]:
        """What the command does with the tests' authority."""
        return self.does("inspect", "--cafile", certificates.cafile(), *words)

    def sealed(self) -> str:
        """The path of a file whose key is encrypted."""
        made = certificates.authority().issue("good.example")
        return certificates.written("sealed.pem", made.key_pem(SECRET) + made.cert_pem)

    def test_a_good_file_is_status_0(self) -> None:
        """The verdict on a good file is its first line, and the status is 0."""
        status, output, complaints = self.inspects(certificates.site())
        self.assertEqual((status, complaints), (0, ""))
        self.assertTrue(output.startswith("good for local_cert: "), output)

    def test_a_bad_file_is_status_1(self) -> None:
        """A bad file makes the status 1, also where another one is good."""
        status, output, _ = self.inspects("/nonexistent/a.pem", certificates.site())
        self.assertEqual(status, 1)
        self.assertIn("NOT good for local_cert: /nonexistent/a.pem\n", output)
        self.assertIn("\n\ngood for local_cert: ", output)

    def test_json_is_one_object(self) -> None:
        """With --json programs read one object for all files."""
        status, output, _ = self.inspects("--json", certificates.site(), certificates.cafile())
        document = json.loads(output)
        self.assertEqual((status, document["ok"]), (0, True))
        purposes = [file["purpose"] for file in document["files"]]
        self.assertEqual(purposes, ["local_cert", "cafile"])

    def test_wrong_words_are_status_2(self) -> None:
        """A name that is none, a bad cafile and words that do not fit are the user's errors."""
        site = certificates.site()
        for words, part in (
            (["--name", "a b", site], "is neither a DNS name nor an address"),
            (["--key", site, site, site], "--key is for one FILE"),
            (["--as", "passphrase", site], "argument --as: invalid choice"),
            (["--cafile", "/nonexistent", site], "cafile=/nonexistent: No such file"),
            ([], "the following arguments are required: FILE"),
        ):
            status, output, complaints = self.does("inspect", *words)
            self.assertEqual((status, output), (2, ""), words)
            self.assertIn(part, complaints)

    def test_a_key_of_its_own_file(self) -> None:
        """The key is named, or its file is given beside the certificate's."""
        made = certificates.authority().issue("good.example")
        cert = certificates.written("cert.pem", made.cert_pem)
        key = certificates.written("cert-key.pem", made.key_pem())
        for words in (["--key", key, cert], [cert, key], [key, cert], [key, cert, key]):
            status, output, _ = self.inspects(*words)
            self.assertEqual(status, 0, output)
            self.assertEqual(output.count("good for local_cert: "), 1)
        self.assertEqual(self.inspects(cert)[0], 1)

    def test_names_and_purposes_are_passed_on(self) -> None:
        """--name asks for a name, --as demands an option."""
        site = certificates.site()
        self.assertEqual(self.inspects("--name", "localhost", "--name", "::1", site)[0], 0)
        self.assertEqual(self.inspects("--name", "bad.example", site)[0], 1)
        self.assertEqual(self.inspects("--as", "crl", site)[0], 1)

    def test_the_passphrase_comes_from_a_file(self) -> None:
        """The first line of --passphrase-file opens the key."""
        words = certificates.written("words.txt", f"{SECRET}\nnotes\n".encode())
        status, output, _ = self.inspects("--passphrase-file", words, self.sealed())
        self.assertEqual(status, 0, output)
        self.assertNotIn("hunter2", output)

    def test_the_passphrase_is_asked_for_on_a_terminal(self) -> None:
        """A person is asked, without an echo; nobody else is, and then the key stays shut."""
        asked = []

        def answer(prompt: str) -> str:
            asked.append(prompt)
            return SECRET

        self.patch(getpass, "getpass", answer)
        sealed = self.sealed()
        self.patch(sys, "stdin", io.StringIO())
        self.assertEqual((self.inspects(sealed)[0], asked), (1, []))
        self.patch(sys, "stdin", _Terminal())
        self.assertEqual(self.inspects(sealed)[0], 0)
        self.assertEqual(asked, [f"Passphrase of the key in {sealed}: "])
        self.assertEqual(self.inspects(certificates.site())[0], 0)
        self.assertEqual(len(asked), 1)

    def test_no_answer_is_no_passphrase(self) -> None:
        """Ctrl-D at the question leaves the key shut, and is no error of its own."""

        def leave(prompt: str) -> NoReturn:
            raise EOFError

        self.patch(getpass, "getpass", leave)
        self.patch(sys, "stdin", _Terminal())
        status, output, _ = self.inspects(self.sealed())
        self.assertEqual(status, 1)
        self.assertIn("Its key is encrypted", output)

    def test_a_passphrase_in_another_encoding_is_no_crash(self) -> None:
        """Bytes that the terminal's encoding lacks are answered with the way by a file."""

        def answer(prompt: str) -> NoReturn:
            SECRET.encode("latin-1").decode()
            raise AssertionError("it can be decoded")

        self.patch(getpass, "getpass", answer)
        self.patch(sys, "stdin", _Terminal())
        status, output, complaints = self.inspects(self.sealed())
        self.assertEqual((status, output), (2, ""))
        self.assertIn("write it into a file, and name that: --passphrase-file FILE", complaints)
        self.assertNotIn("hunter2", complaints)

    def test_odd_certificates_are_no_complaint(self) -> None:
        """What cryptography warns of is not written among what the command says."""
        root = certificates.authority().certificate
        serial = root.public_bytes(Encoding.DER)
        length = serial.index(b"\xa0\x03\x02\x01\x02\x02") + 6
        first = serial[length + 1]
        odd = serial[: length + 1] + bytes([first | 0x80]) + serial[length + 2 :]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            block = x509.load_der_x509_certificate(odd).public_bytes(Encoding.PEM)
        path = certificates.written("odd.pem", block)
        status, output, complaints = self.does("inspect", path)
        self.assertEqual((status, complaints), (0, ""))
        self.assertIn("good for cafile", output)

    def test_nothing_is_changed(self) -> None:
        """The files and their folder are as they were."""
        folder = certificates.folder()
        before = {name: os.stat(folder / name).st_mtime_ns for name in os.listdir(folder)}
        self.inspects(certificates.site(), certificates.cafile())
        after = {name: os.stat(folder / name).st_mtime_ns for name in os.listdir(folder)}
        self.assertEqual({name: after[name] for name in before}, before)
