"""The files that TLS options name: which are read, which are refused, and with which error."""

from __future__ import annotations

import base64
import functools
import os
import time
import traceback
import warnings
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed448, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests import certificates
from txtransport.config.policy import CertificateFiles, TLSPolicy
from txtransport.errors import BadCertificateFile
from txtransport.testing.devcert import Issued
from txtransport.tls import pem

SECRET: Final = "hunter2 ünd mehr"
LONGEST_MESSAGE: Final = 800


@functools.cache
def site() -> Issued:
    """A certificate that an intermediate authority issued."""
    return certificates.authority().intermediate().issue("good.example")


@functools.cache
def other_site() -> Issued:
    """Another certificate, for another name."""
    return certificates.authority().issue("other.example")


def encrypted_key(kind: PrivateFormat = PrivateFormat.PKCS8) -> bytes:
    """The key of `site`, encrypted."""
    encryption = BestAvailableEncryption(SECRET.encode())
    return site().key.private_bytes(Encoding.PEM, kind, encryption)


def path_of(content: bytes) -> str:
    """The path of a file with that content."""
    return certificates.written("test_pem.pem", content)


def make_readable(file: str) -> None:
    """Change a file's mode, again and again until the clock's next tick gives a new ctime."""
    before = os.stat(file).st_ctime_ns
    for _ in range(10**6):
        os.chmod(file, 0o640)
        if os.stat(file).st_ctime_ns != before:
            return


class PemTestCase(SynchronousTestCase):
    """What the tests of this file share."""

    def refusal(self, **options: Any) -> BadCertificateFile:
        """The error for a policy whose files cannot be used."""
        error: BadCertificateFile = self.assertRaises(
            BadCertificateFile, pem.identity, TLSPolicy(**options)
        )
        self.assertLess(len(str(error)), LONGEST_MESSAGE)
        return error

    def assert_refused(self, content: bytes, *reasons: str, **options: Any) -> None:
        """A file with that content is refused as ``local_cert``, with these reasons."""
        file = path_of(content)
        error = self.refusal(local_cert=file, **options)
        self.assertEqual((error.option, error.path), ("local_cert", file))
        for reason in (f"local_cert={file}: ", *reasons, "expected is a PEM file with our"):
            self.assertIn(reason, str(error))


class GoodFileTests(PemTestCase):
    """What the file of a certificate may contain."""

    def test_without_local_cert_there_is_no_identity(self) -> None:
        """A policy without local_cert has no identity."""
        self.assertIsNone(pem.identity(TLSPolicy()))

    def test_key_and_certificates_may_come_in_any_order(self) -> None:
        """The key first or last, comments, any line ends: the identity is the same."""
        leaf, (authority,), key = site().cert_pem, site().chain, site().key_pem()
        for content in (
            key + leaf,
            leaf + key,
            b"Bag Attributes\n  friendlyName: x\n" + leaf + b"\nnotes\n" + key,
            (key + leaf).replace(b"\n", b"\r\n"),
            b"\xef\xbb\xbf" + key + leaf,
        ):
            identity = pem.identity(TLSPolicy(local_cert=path_of(content)))
            assert identity is not None
            self.assertEqual(identity.leaf, site().certificate)
            self.assertEqual(identity.chain, (authority,))
            self.assertEqual(identity.key.public_key(), site().key.public_key())

    def test_the_key_may_have_its_own_file(self) -> None:
        """With local_pk the key is read from there, and a key in local_cert is ignored."""
        key = certificates.written("key.pem", site().key_pem())
        for content in (site().cert_pem, other_site().key_pem() + site().cert_pem):
            policy = TLSPolicy(local_cert=path_of(content), local_pk=key)
            self.assertIsNotNone(pem.identity(policy))

    def test_an_encrypted_key_opens_with_its_passphrase(self) -> None:
        """Both formats of encrypted keys open with the passphrase, given directly or in a file."""
        for kind in (PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL):
            file = path_of(encrypted_key(kind) + site().cert_pem)
            self.assertIsNotNone(pem.identity(TLSPolicy(local_cert=file, passphrase=SECRET)))
            for line in (SECRET, f"{SECRET}\n", f"{SECRET}\r\nnotes\n"):
                words = certificates.written("words", line.encode())
                policy = TLSPolicy(local_cert=file, passphrase_file=words)
                self.assertIsNotNone(pem.identity(policy), line)

    def test_a_passphrase_for_an_unencrypted_key_is_ignored(self) -> None:
        """A passphrase for a key that is not encrypted does no harm."""
        policy = TLSPolicy(local_cert=path_of(site().pem), passphrase=SECRET)
        self.assertIsNotNone(pem.identity(policy))

    def test_sni_certificates_have_a_key_of_their_own(self) -> None:
        """The key of a certificate for SNI is in its file or beside it, never in local_pk."""
        policy = TLSPolicy(local_pk="/nonexistent")
        whole, without = path_of(site().pem), certificates.written("alone.pem", site().cert_pem)
        key = certificates.written("alone.key", site().key_pem())
        for files in (CertificateFiles(whole), CertificateFiles(without, key)):
            identity = pem.read_identity(policy, "SNI_server_certs", files)
            self.assertEqual(
                (identity.option, identity.path), ("SNI_server_certs", files.local_cert)
            )
        error = self.assertRaises(
            BadCertificateFile,
            pem.read_identity, policy, "SNI_server_certs", CertificateFiles(without),
        )  # fmt: skip
        self.assertIn(f"SNI_server_certs={without}: it holds no private key", str(error))
        self.assertIn("{'local_cert': …, 'local_pk': …}", str(error))

    def test_the_key_s_file_of_a_name_is_named(self) -> None:
        """If the key's file of a name is wrong, the error is about that file."""
        without = path_of(site().cert_pem)
        for wrong, said in (
            ("/no/key", "No such file"),
            (without, "holds no private key, but 'certificate'"),
            (
                certificates.written("other.key", other_site().key_pem()),
                "the key is not that of the certificate",
            ),
        ):
            error = self.assertRaises(
                BadCertificateFile,
                pem.read_identity, TLSPolicy(), "SNI_server_certs",
                CertificateFiles(without, wrong),
            )  # fmt: skip
            self.assertEqual((error.option, error.path), ("SNI_server_certs", wrong))
            self.assertIn(f"SNI_server_certs={wrong}: ", str(error))
            self.assertIn(said, str(error))
            self.assertIn("a PEM file with the key of local_cert", str(error))

    def test_a_file_of_authorities_is_parsed_once_for_each_of_its_states(self) -> None:
        """The same certificates are given again, and new ones as soon as the file has changed."""
        path = certificates.written("changing.pem", site().pem)
        first, again = (pem.read_authorities("cafile", path) for _ in range(2))
        self.assertIs(first[0], again[0])
        first.clear()
        self.assertEqual(len(pem.read_authorities("cafile", path)), len(again))
        with open(path, "wb") as file:
            file.write(other_site().pem)
        changed = pem.read_authorities("cafile", path)
        self.assertEqual(changed[0], other_site().certificate)
        os.remove(path)
        self.assertRaises(BadCertificateFile, pem.read_authorities, "cafile", path)

    def test_cafile_may_hold_many_authorities(self) -> None:
        """cafile may hold any number of certificates, in any order."""
        both = certificates.authority().pem + site().chain[0].public_bytes(Encoding.PEM)
        self.assertEqual(len(pem.read_authorities("cafile", path_of(both))), 2)

    def test_crl_may_hold_many_lists(self) -> None:
        """crl may hold the revocation lists of several authorities."""
        lists = certificates.authority().revocation_list()
        self.assertEqual(len(pem.read_revocations("crl", path_of(lists + lists))), 2)


def pem_block(label: str, der: bytes) -> bytes:
    """One PEM block (RFC 7468)."""
    text = base64.encodebytes(der).decode()
    return f"-----BEGIN {label}-----\n{text}-----END {label}-----\n".encode()


class BrokenFileTests(PemTestCase):
    """Each file that cannot be used is refused with the reason."""

    def test_a_file_that_is_not_pem_is_refused(self) -> None:
        """Empty files, white space, DER, UTF-16 and rubbish are refused for what they are."""
        der = site().certificate.public_bytes(Encoding.DER)
        self.assert_refused(b"", "it is empty")
        self.assert_refused(b" \r\n\t\n", "it is empty")
        self.assert_refused(der, "it holds no certificate, but a certificate in DER")
        self.assert_refused(der[:-1], "it holds no certificate", "it looks like DER")
        self.assert_refused(bytes(range(1, 256)) * 9, "it holds no certificate")
        utf16 = site().pem.decode().encode("utf-16")
        self.assert_refused(utf16, "it holds no certificate, but text in UTF-16")

    def test_a_refusal_says_how_to_convert_the_file(self) -> None:
        """A file in another form is refused with the command that makes PEM of it."""
        file = path_of(site().certificate.public_bytes(Encoding.DER))
        error = self.refusal(local_cert=file)
        new = file.replace(".pem", "-new.pem")
        self.assertEqual(error.command, f"openssl x509 -inform DER -in {file} -out {new}")
        self.assertEqual(error.problem, "it holds no certificate, but a certificate in DER "
                         "(often a .cer or .crt file)")  # fmt: skip
        self.assertEqual(error.remedy, "Convert it")
        self.assertTrue(str(error).endswith(f"; to mend it: {error.command}"))

    def test_a_version_that_no_certificate_has_is_refused(self) -> None:
        """A certificate or revocation list with a damaged version is refused as broken."""
        der = site().certificate.public_bytes(Encoding.DER)
        # The version is the first element of a certificate (RFC 5280, 4.1).
        fourth = der.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x03", 1)
        self.assertNotEqual(fourth, der)
        self.assert_refused(
            pem_block("CERTIFICATE", fourth), "certificate 1 in it is broken (3 is not"
        )
        path = path_of(pem_block("CERTIFICATE", fourth))
        self.assertRaises(BadCertificateFile, pem.read_authorities, "cafile", path)
        lists = x509.load_pem_x509_crl(certificates.authority().revocation_list())
        der = lists.public_bytes(Encoding.DER)
        # That of a revocation list follows two lengths of two bytes (5.1).
        odd = der.replace(b"\x02\x01\x01\x30", b"\x02\x01\x11\x30", 1)
        self.assertNotEqual(odd, der)
        path = path_of(pem_block("X509 CRL", odd))
        error = self.assertRaises(BadCertificateFile, pem.read_revocations, "crl", path)
        self.assertIn("revocation list 1 in it is broken (17 is not", str(error))

    def test_a_file_of_other_things_is_refused_by_their_names(self) -> None:
        """When the file holds other things, the error names them."""
        key, lists = site().key_pem(), certificates.authority().revocation_list()
        self.assert_refused(
            key, "it holds no certificate, but 'private key' (are the files swapped?)"
        )
        self.assert_refused(lists, "it holds no certificate, but 'x509 crl'")
        strange = site().pem.replace(b" CERTIFICATE", b" STRANGE CERTIFICATE")
        self.assert_refused(strange, "but 'private key' and 'strange certificate'")
        many = b"".join(b"-----BEGIN %d-----\n" % number for number in range(99))
        self.assert_refused(many, "but '0' and '1' and '2' and '3' (are")

    def test_a_missing_key_is_reported(self) -> None:
        """A certificate without a key is refused, with one file and with two."""
        self.assert_refused(
            site().cert_pem, "it holds no private key; local_pk names the key's file"
        )
        leaf = certificates.written("leaf.pem", site().cert_pem)
        error = self.refusal(local_cert=leaf, local_pk=leaf)
        self.assertEqual((error.option, error.path), ("local_pk", leaf))
        self.assertIn("it holds no private key, but 'certificate' (are the files", str(error))

    def test_swapped_files_are_recognized(self) -> None:
        """When local_cert and local_pk are swapped, the error suggests it."""
        key = certificates.written("key.pem", site().key_pem())
        error = self.refusal(local_cert=key, local_pk=path_of(site().cert_pem))
        self.assertEqual(error.option, "local_cert")
        self.assertIn("are the files swapped?", str(error))

    def test_the_key_of_another_certificate_is_refused(self) -> None:
        """A key that does not belong to the certificate is refused, and the certificate named."""
        wrong = "the key is not that of the certificate 'CN=good.example'"
        self.assert_refused(other_site().key_pem() + site().cert_pem, wrong)
        key = certificates.written("key.pem", other_site().key_pem())
        error = self.refusal(local_cert=path_of(site().cert_pem), local_pk=key)
        self.assertEqual((error.option, error.path), ("local_pk", key))
        self.assertIn(wrong, str(error))

    def test_only_the_first_key_is_read(self) -> None:
        """Of a file with several keys, the error says when a later one is the right one."""
        later = "only the first key is read, and a later one is the right one: remove the first"
        self.assert_refused(other_site().key_pem() + site().pem, later)
        sealed = other_site().key_pem() + encrypted_key() + site().cert_pem
        self.assert_refused(sealed, later, passphrase=SECRET)
        error = self.refusal(local_cert=path_of(other_site().key_pem() * 2 + site().cert_pem))
        self.assertNotIn("a later one", str(error))

    def test_the_leaf_must_come_first(self) -> None:
        """A chain in the wrong order is refused, and the error gives the right order."""
        authority = site().chain[0].public_bytes(Encoding.PEM)
        leaf = site().certificate.public_bytes(Encoding.PEM)
        wrong = "its key belongs to a later certificate; the leaf stands first"
        self.assert_refused(site().key_pem() + authority + leaf, wrong)
        key = certificates.written("key.pem", site().key_pem())
        self.assert_refused(authority + leaf, wrong, local_pk=key)

    def test_a_broken_block_is_reported_by_its_number(self) -> None:
        """A block that is cut off or damaged is reported by its number, and never skipped."""
        lines = other_site().cert_pem.splitlines(keepends=True)
        rows = {
            b"".join(lines[:-1]): "its end is missing",
            b"".join(lines[:3] + lines[4:]): "",
            b"".join(lines[:2]) + b"!" + b"".join(lines[3:]): "",
            lines[0] + lines[-1]: "",
            lines[0] + b"AAAA\n" + lines[-1]: "",
        }
        leaf = site().certificate.public_bytes(Encoding.PEM)
        for broken, why in rows.items():
            self.assert_refused(site().key_pem() + broken, "certificate 1 in it is broken", why)
            self.assert_refused(
                site().key_pem() + leaf + broken, "certificate 2 in it is broken", why
            )
            self.assert_refused(
                site().key_pem() + broken + leaf, "certificate 1 in it is broken", why
            )

    def test_a_broken_key_is_not_reported_as_missing(self) -> None:
        """A key that is cut off or damaged is reported as broken, not as missing."""
        lines = site().key_pem().splitlines(keepends=True)
        cut = site().cert_pem + b"".join(lines[:-1])
        self.assert_refused(cut, "its key is broken (its end is missing)")
        self.assert_refused(cut + site().key_pem(), "its key is broken (its end is missing)")
        for damaged in (
            [lines[0], lines[-1]],
            [lines[0], b"AAAA\n", lines[-1]],
            lines[:1] + lines[2:],
        ):
            self.assert_refused(b"".join(damaged) + site().cert_pem, "its 'private key' is broken")

    def test_keys_that_tls_cannot_use_are_refused(self) -> None:
        """Keys that cannot sign, and keys in formats of other programs, are refused."""
        plain = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        exchange = x25519.X25519PrivateKey.generate().private_bytes(*plain)
        self.assert_refused(
            exchange + site().cert_pem, "its key is of a kind that TLS has no use for"
        )
        ssh = ed25519.Ed25519PrivateKey.generate().private_bytes(
            Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()
        )
        self.assert_refused(ssh + site().cert_pem, "its 'openssh private key' is broken")

    def test_a_key_of_another_kind_is_refused(self) -> None:
        """A key of another kind than the certificate's does not belong to it."""
        for key in (
            ed25519.Ed25519PrivateKey.generate(),
            ed448.Ed448PrivateKey.generate(),
            rsa.generate_private_key(65537, 2048),
        ):
            block = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            self.assert_refused(block + site().cert_pem, "the key is not that of the certificate")

    def test_a_certificate_on_an_unknown_curve_is_refused(self) -> None:
        """A certificate with a key on an unknown curve is refused, and crashes nothing."""
        der = site().certificate.public_bytes(Encoding.DER)
        p256, unheard_of = b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07", b"\x09"
        strange = x509.load_der_x509_certificate(der.replace(p256, p256[:-1] + unheard_of))
        content = site().key_pem() + strange.public_bytes(Encoding.PEM)
        self.assert_refused(content, "the key is not that of the certificate 'CN=good.example'")

    def test_cafile_and_crl_follow_the_same_rules(self) -> None:
        """cafile and crl are refused by the same rules, each by its own name."""
        lists = certificates.authority().revocation_list()
        cut = b"".join(lists.splitlines(keepends=True)[:-1])
        for option, read, content, reason in (
            ("cafile", pem.read_authorities, b"\n", "it is empty"),
            ("cafile", pem.read_authorities, lists, "it holds no certificate, but 'x509 crl'"),
            ("cafile", pem.read_authorities, b"0\x82", "it looks like DER"),
            ("crl", pem.read_revocations, site().cert_pem, "no revocation list, but 'certif"),
            ("crl", pem.read_revocations, cut, "revocation list 1 in it is broken"),
            ("crl", pem.read_revocations, lists + cut, "revocation list 2 in it is broken"),
            ("crl", pem.read_revocations, lists.replace(b"M", b"!"), "list 1 in it is broken"),
        ):
            file = path_of(content)
            error: Any = self.assertRaises(BadCertificateFile, read, option, file)
            self.assertEqual((error.option, error.path), (option, file))
            self.assertIn(reason, str(error))
            self.assertIn("expected is a PEM file with ", str(error))

    @settings(deadline=None, max_examples=150)
    @given(st.binary(max_size=400))
    @example(b"-----BEGIN CERTIFICATE-----")
    @example(b"-----BEGIN CERTIFICATE----------END CERTIFICATE-----")
    @example(b"-----BEGIN PRIVATE KEY----------END PRIVATE KEY-----")
    def test_no_content_crashes(self, content: bytes) -> None:
        """Whatever a file holds, it is refused with our error."""
        self.assert_refused(content)
        self.assert_refused(site().key_pem() + content)

    @settings(deadline=None, max_examples=150)
    @given(st.integers(0, 10**6), st.integers(0, 255))
    def test_no_damage_crashes(self, where: int, what: int) -> None:
        """A file with one changed byte is accepted or refused, and raises nothing else."""
        content = bytearray(site().pem)
        content[where % len(content)] = what
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # cryptography's, about odd serial numbers.
            try:
                pem.identity(TLSPolicy(local_cert=path_of(bytes(content))))
            except BadCertificateFile as error:
                self.assertLess(len(str(error)), LONGEST_MESSAGE)


def _readers() -> dict[str, Any]:
    """For each option, the function that reads its file."""
    return {
        "local_cert": lambda file: pem.identity(TLSPolicy(local_cert=file)),
        "local_pk": lambda file: pem.identity(
            TLSPolicy(local_cert=certificates.site(), local_pk=file)
        ),
        "passphrase_file": lambda file: pem.identity(
            TLSPolicy(local_cert=certificates.site(), passphrase_file=file)
        ),
        "SNI_server_certs": lambda file: pem.read_identity(
            TLSPolicy(), "SNI_server_certs", CertificateFiles(file)
        ),
        "cafile": lambda file: pem.read_authorities("cafile", file),
        "crl": lambda file: pem.read_revocations("crl", file),
    }


class UnreadableFileTests(PemTestCase):
    """Paths at which there is no readable file."""

    def assert_all_refuse(self, file: str, reason: str) -> None:
        """Every option that names this file is refused for this reason."""
        for option, read in _readers().items():
            error: Any = self.assertRaises(BadCertificateFile, read, file)
            self.assertEqual((error.option, error.path), (option, file))
            self.assertIn(f"{option}={file}: {reason}", str(error))
            self.assertRegex(str(error), "; expected is a (PEM )?file .{20,}")

    def test_a_missing_file_is_refused(self) -> None:
        """A file that does not exist is reported as missing, with its path."""
        self.assert_all_refuse("/nonexistent/a.pem", "No such file or directory")

    def test_a_missing_file_with_a_relative_path_names_the_folder(self) -> None:
        """Whoever starts a program elsewhere is told in which folder a file was looked for."""
        here = os.getcwd()
        self.assert_all_refuse("no/a.pem", f"No such file or directory (looked for in {here});")
        error = self.assertRaises(BadCertificateFile, pem.check_folder, "capath", "no/certs")
        self.assertIn(f"No such file or directory (looked for in {here});", str(error))
        self.assert_all_refuse("/no/a.pem", "No such file or directory;")

    def test_a_missing_file_in_a_missing_folder_is_refused(self) -> None:
        """A program whose folder was removed under it is told of the file all the same."""
        self.addCleanup(os.chdir, os.getcwd())
        strange = certificates.folder() / "strange\n\udce9"
        strange.mkdir()
        os.chdir(strange)
        self.assert_all_refuse("a.pem", "No such file or directory (looked for in ")
        error = self.assertRaises(BadCertificateFile, pem.read_authorities, "cafile", "a.pem")
        self.assertTrue(str(error).isprintable())
        strange.rmdir()
        self.assert_all_refuse("a.pem", "No such file or directory;")

    def test_an_empty_file_is_refused(self) -> None:
        """A file without content is reported as empty, for each option."""
        self.assert_all_refuse(path_of(b""), "it is empty")

    def test_a_folder_is_refused(self) -> None:
        """A folder is not a file, even when it is full of certificates."""
        self.assert_all_refuse(str(certificates.folder()), "it is a folder or a device, not a file")

    def test_a_pipe_is_refused_at_once(self) -> None:
        """A named pipe that nobody writes into is refused without waiting."""
        pipe = str(certificates.folder() / "pipe")
        os.mkfifo(pipe)
        self.addCleanup(os.unlink, pipe)
        self.assert_all_refuse(pipe, "it is a folder or a device, not a file")

    def test_an_unreadable_file_is_refused(self) -> None:
        """A file that cannot be read is refused with the system's reason."""
        file = certificates.written("locked.pem", site().pem)
        os.chmod(file, 0)
        if os.access(file, os.R_OK):
            # Root can read every regular file, but not this one.
            self.assert_all_refuse("/proc/self/mem", "Input/output error")
        else:
            self.assert_all_refuse(file, "Permission denied")

    def test_a_huge_file_is_refused(self) -> None:
        """A file that is too large is refused, and not read to its end."""
        file = path_of(b"x")
        os.truncate(file, 2**40)
        self.assert_all_refuse(file, "it is larger than 16 MiB")

    def test_a_file_of_a_million_lines_is_refused_in_time(self) -> None:
        """A file made of the first lines of keys, which have no end, takes no time to refuse."""
        for lines in (b"-----BEGIN PRIVATE KEY-----\n", b"-----BEGIN A PRIVATE KEY-----\n-"):
            file = path_of(lines * 500_000)
            began = time.process_time()
            error = self.refusal(local_cert=file)
            self.assertIn("it holds no certificate", str(error))
            self.assertRaises(BadCertificateFile, pem.read_key, TLSPolicy(), "local_pk", file)
            self.assertFalse(pem.read_contents("local_cert", file).is_encrypted)
            # Seconds of work; hours, if the end of each were looked for in all the rest.
            self.assertLess(time.process_time() - began, 20)

    def test_an_impossible_path_is_refused(self) -> None:
        """A path that no system can have is refused, and crashes nothing."""
        for file in ("/tmp/\0", "/tmp/\ud800", "", "a" * 5000):
            for option, read in _readers().items():
                error: Any = self.assertRaises(BadCertificateFile, read, file)
                self.assertEqual((error.option, error.path), (option, file))

    def test_capath_must_be_a_folder(self) -> None:
        """capath is a folder that can be listed, and nothing else."""
        pem.check_folder("capath", str(certificates.folder()))
        for file, reason in (
            ("/nonexistent", "No such file or directory"),
            (path_of(b"x"), "Not a directory"),
            ("/tmp/\0", "embedded null"),
        ):
            error: Any = self.assertRaises(BadCertificateFile, pem.check_folder, "capath", file)
            self.assertEqual((error.option, error.path), ("capath", file))
            self.assertIn(reason, str(error))
            self.assertIn("expected is a folder of authorities", str(error))


class PassphraseTests(PemTestCase):
    """The passphrase opens the key, and stays secret."""

    def test_a_missing_passphrase_is_reported(self) -> None:
        """An encrypted key without a passphrase is refused, and the error names the options."""
        for kind in (PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL):
            content = encrypted_key(kind) + site().cert_pem
            wanted = "its key is encrypted; give passphrase or passphrase_file"
            self.assert_refused(content, wanted)
            self.assert_refused(content, wanted, passphrase="")

    def test_a_wrong_passphrase_is_reported(self) -> None:
        """A wrong passphrase is reported as wrong, and the key is not called broken."""
        for kind in (PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL):
            for wrong in (SECRET + " ", "x" * 5000, "\0", "\ud800", "\udcff"):
                self.assert_refused(
                    encrypted_key(kind) + site().cert_pem,
                    "the passphrase does not open its key; give the one of this very key",
                    passphrase=wrong,
                )

    def test_an_empty_passphrase_file_is_refused(self) -> None:
        """A passphrase_file whose first line is empty is refused by its own name."""
        words = certificates.written("words", f"\n{SECRET}\n".encode())
        error = self.refusal(
            local_cert=path_of(encrypted_key() + site().cert_pem), passphrase_file=words
        )
        self.assertEqual((error.option, error.path), ("passphrase_file", words))
        self.assertIn("its first line is empty", str(error))

    def test_the_passphrase_is_never_shown(self) -> None:
        """No message, repr or traceback contains the passphrase, whatever fails."""
        words = certificates.written("words", SECRET.encode())
        contents = (b"", site().pem[:-40], encrypted_key()[:-40] + site().cert_pem, encrypted_key())
        for content in (*contents, encrypted_key().replace(b"M", b"N") + site().cert_pem):
            for given_ in ({"passphrase": SECRET}, {"passphrase_file": words}):
                error = self.refusal(local_cert=path_of(content), **given_)
                told = "".join(traceback.format_exception(error)) + repr(error) + repr(error.args)
                self.assertNotIn("hunter2", told)
        half = self.refusal(
            local_cert=path_of(encrypted_key() + site().cert_pem), passphrase=SECRET + "\ud800"
        )
        cause = half.__cause__ or half.__context__
        self.assertNotIn("hunter2", repr(half) + repr(cause) + str(cause))

    def test_repr_hides_the_key(self) -> None:
        """The repr of an identity shows neither key nor passphrase."""
        file = path_of(encrypted_key() + site().cert_pem)
        identity = pem.identity(TLSPolicy(local_cert=file, passphrase=SECRET))
        self.assertNotIn("key", repr(identity))
        self.assertNotIn("hunter2", repr(identity))


class FileStampTests(PemTestCase):
    """Whether a file has changed since it was read."""

    def test_policy_files_names_every_file(self) -> None:
        """`policy_files` has every file and folder that a policy names."""
        policy = TLSPolicy(
            local_cert="a", local_pk="b", passphrase_file="c", cafile="d", capath="e", crl="f",
            SNI_server_certs={
                "x.example": CertificateFiles("g"), "y.example": CertificateFiles("h", "i")
            },
        )  # fmt: skip
        self.assertEqual(sorted(pem.policy_files(policy)), list("abcdefghi"))
        self.assertEqual(pem.policy_files(TLSPolicy()), ())

    def test_any_change_gives_another_stamp(self) -> None:
        """Replacing, chmod, truncating and removing each give another stamp."""
        file = path_of(b"one")
        stamps = [pem.file_stamps((file,))]
        for change in (
            lambda: path_of(b"two"),
            lambda: make_readable(file),
            lambda: os.truncate(file, 1),
            lambda: os.unlink(file),
        ):
            change()
            stamps.append(pem.file_stamps((file,)))
            self.assertEqual(stamps[-1], pem.file_stamps((file,)))
        self.assertEqual(len(set(stamps)), len(stamps))
        self.assertEqual(stamps[-1], (None,))

    def test_an_impossible_path_has_a_stamp(self) -> None:
        """The stamp of a missing file or an impossible path is None, and no error."""
        self.assertEqual(pem.file_stamps(("/nonexistent", "/tmp/\0")), (None, None))


class DisplayTests(SynchronousTestCase):
    """A certificate's names in messages."""

    def test_names_are_escaped_and_bounded(self) -> None:
        """Any name of a stranger fits into one line of a log."""
        strange = certificates.authority().issue("x.example", common_name="\x1b[31mü\n" * 10)
        shown = pem.display_subject(strange.certificate)
        self.assertTrue(shown.isascii() and shown.isprintable(), shown)
        self.assertLess(len(shown), 1300)
        self.assertIn("CN=txtransport test CA", pem.display_issuer(strange.certificate))

    def test_a_name_with_wrong_bytes_is_unreadable(self) -> None:
        """A name that cannot be parsed is shown as unreadable, and raises nothing."""
        strange = certificates.mislabelled().certificate
        self.assertRaises(ValueError, getattr, strange, "subject")
        self.assertEqual(pem.display_subject(strange), "unreadable")
        self.assertEqual(pem.display_issuer(strange), "unreadable")
