"""Files in other forms than PEM: each is recognised, with the command that converts it.

That the commands do what they say is tested with the real programs in
tests/live/test_file_formats.py.
"""

from __future__ import annotations

import base64
import functools
import os
import shlex
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    pkcs7,
    pkcs12,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests import certificates
from txtransport.testing.devcert import Issued
from txtransport.tls.file_format import recognise_format

SECRET: Final = b"hunter2"


@functools.cache
def site() -> Issued:
    """A certificate that an intermediate authority issued."""
    return certificates.authority().intermediate().issue("good.example", key="rsa")


def request(encoding: Encoding) -> bytes:
    """A request for a certificate."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(site().certificate.subject)
    return builder.sign(site().key, hashes.SHA256()).public_bytes(encoding)


def forms() -> dict[str, bytes]:
    """A file of each form, by how its name begins."""
    leaf, key, text = site().certificate, site().key, site().pem.decode()
    spki = PublicFormat.SubjectPublicKeyInfo
    lists = x509.load_pem_x509_crl(certificates.authority().revocation_list())
    ssh = ed25519.Ed25519PrivateKey.generate()
    bundle = pkcs12.serialize_key_and_certificates(
        b"site", key, leaf, site().chain, BestAvailableEncryption(SECRET)
    )
    chain = [leaf, *site().chain]
    return {
        "text in UTF-16, as": text.encode("utf-16"),
        "text in UTF-16": text.encode("utf-16-le"),
        "text in UTF": text.encode("utf-16-be"),
        "PKCS#12": bundle,
        "PKCS#7 (a .p7b or .p7c file: certificates, and no key) in DER": (
            pkcs7.serialize_certificates(chain, Encoding.DER)
        ),
        "PKCS#7": pkcs7.serialize_certificates(chain, Encoding.PEM),
        "a certificate in DER": leaf.public_bytes(Encoding.DER),
        "a revocation list in DER": lists.public_bytes(Encoding.DER),
        "a private key in DER": key.private_bytes(
            Encoding.DER, PrivateFormat.PKCS8, NoEncryption()
        ),
        "a private key in": key.private_bytes(
            Encoding.DER, PrivateFormat.PKCS8, BestAvailableEncryption(SECRET)
        ),
        "a request for a certificate (CSR) in DER": request(Encoding.DER),
        "a request for a certificate (CSR)": request(Encoding.PEM),
        "a certificate in OpenSSL's own form": (
            leaf.public_bytes(Encoding.PEM).replace(b" CERT", b" TRUSTED CERT")
        ),
        "a key of SSH": ssh.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()),
        "a public key alone": key.public_key().public_bytes(Encoding.PEM, spki),
        "a certificate in base64": base64.encodebytes(leaf.public_bytes(Encoding.DER)),
        "a key store of Java": b"\xfe\xed\xfe\xed\0\0\0\2",
        "a compressed file": b"PK\x03\x04rest",
        "a web page": b"\n<!DOCTYPE html><html>",
        "PEM whose BEGIN lines": text.replace("-----", "\N{EN DASH}" * 5).encode(),
    }


class FormTests(SynchronousTestCase):
    """What is recognised."""

    def test_each_form_is_recognised(self) -> None:
        """What people have in place of PEM is called by its name."""
        for beginning, content in forms().items():
            form = recognise_format(content)
            assert form is not None, beginning
            self.assertTrue(form.name.startswith(beginning), (beginning, form.name))
            self.assertTrue(form.commands or form.hint, form.name)

    def test_the_byte_orders_of_utf16_are_told_apart(self) -> None:
        """Text in UTF-16 without its mark is converted from the order that it has."""
        for code in ("UTF-16LE", "UTF-16BE"):
            form = recognise_format(f"Notes\n{site().pem.decode()}".encode(code))
            assert form is not None
            self.assertIn(f"iconv -f {code} ", form.command("cafile", "a.txt"))

    def test_good_files_have_no_form(self) -> None:
        """PEM of the right kinds, and what nobody knows, is given no name."""
        lists = certificates.authority().revocation_list()
        for content in (site().pem, site().key_pem("x"), lists, b"", b"hello", b"0\x82", b"\0" * 9):
            self.assertIsNone(recognise_format(content), content[:40])

    @settings(deadline=None)
    @given(st.binary(max_size=300), st.sampled_from([b"", b"0\x82\x01", b"MII", b"\xff\xfe", b"-"]))
    def test_no_content_crashes(self, content: bytes, beginning: bytes) -> None:
        """Whatever a file holds, recognising it raises nothing."""
        form = recognise_format(beginning + content)
        self.assertTrue(form is None or form.name)


class CommandTests(SynchronousTestCase):
    """The command that is printed."""

    def command(self, path: str, option: str = "local_cert") -> str:
        """The command for a PKCS#12 file at that path."""
        form = recognise_format(forms()["PKCS#12"])
        assert form is not None
        return form.command(option, path)

    def test_a_path_is_quoted(self) -> None:
        """A command can be copied, whatever characters its file's path has."""
        path = "my $(reboot) site's.p12"
        words = shlex.split(self.command(path))
        self.assertEqual(words[2:], ["-in", path, "-nodes", "-out", "my $(reboot) site's.pem"])
        self.assertIn("-in ./-rf.p12 -nodes -out ./-rf.pem", self.command("-rf.p12"))

    def test_a_path_that_cannot_be_copied_has_no_command(self) -> None:
        """A path with control characters would reach the shell as another one."""
        for path in ("a\x1b[31m.p12", "a\nb.p12", "a\udce9.p12", "a" * 300):
            self.assertEqual(self.command(path), "", path)

    def test_no_file_is_overwritten(self) -> None:
        """The new file's name is one that is not taken, even by a link to nothing."""
        folder = certificates.folder() / "convert"
        folder.mkdir()
        old = folder / "site.p12"
        for name in ("site.pem", "site-new.pem", "site-new-2.pem"):
            self.assertTrue(self.command(str(old)).endswith(f"-out {folder / name}"), name)
            os.symlink("nothing", folder / name)

    def test_an_option_without_a_command_has_none(self) -> None:
        """PKCS#12 has no revocation lists, so there is nothing to convert for crl."""
        self.assertEqual(self.command("a.p12", "crl"), "")
