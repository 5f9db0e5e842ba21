"""The files that options name: what is read, what is refused, and what is said."""

from __future__ import annotations

import functools
import os
import traceback
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
from txtransport.config.policy import TLSPolicy
from txtransport.errors import BadCertificateFile
from txtransport.testing.devcert import Issued
from txtransport.tls import pem

SECRET: Final = "hunter2 ünd mehr"
LONGEST_MESSAGE: Final = 800


@functools.cache
def made() -> Issued:
    """A certificate below an intermediate authority."""
    return certificates.authority().intermediate().issue("good.example")


@functools.cache
def other() -> Issued:
    """Another's."""
    return certificates.authority().issue("other.example")


def locked(kind: PrivateFormat = PrivateFormat.PKCS8) -> bytes:
    """The key, encrypted."""
    encryption = BestAvailableEncryption(SECRET.encode())
    return made().key.private_bytes(Encoding.PEM, kind, encryption)


def path(content: bytes) -> str:
    """A file with that content."""
    return certificates.written("test_pem.pem", content)


def made_readable(file: str) -> None:
    """Change a file's mode, in another tick of the system's clock than the last change."""
    before = os.stat(file).st_ctime_ns
    for _ in range(10**6):
        os.chmod(file, 0o640)
        if os.stat(file).st_ctime_ns != before:
            return


class PemTestCase(SynchronousTestCase):
    """What the tests of this file share."""

    def refusal(self, **options: Any) -> BadCertificateFile:
        """Why the files of a policy cannot be used."""
        error: BadCertificateFile = self.assertRaises(
            BadCertificateFile, pem.identity, TLSPolicy(**options)
        )
        self.assertLess(len(str(error)), LONGEST_MESSAGE)
        return error

    def refused(self, content: bytes, *reasons: str, **options: Any) -> None:
        """A file of that content is refused as ``local_cert``, and these are among the reasons."""
        file = path(content)
        error = self.refusal(local_cert=file, **options)
        self.assertEqual((error.option, error.path), ("local_cert", file))
        for reason in (f"local_cert={file}: ", *reasons, "expected is a PEM file with our"):
            self.assertIn(reason, str(error))


class GoodFileTests(PemTestCase):
    """What may stand in the file of a certificate."""

    def test_no_file_no_certificate(self) -> None:
        """A policy without local_cert has no identity."""
        self.assertIsNone(pem.identity(TLSPolicy()))

    def test_the_order_of_key_and_certificates_is_free(self) -> None:
        """Key first or last, with notes between, with any line ends: it is the same identity."""
        leaf, (authority,), key = made().cert_pem, made().chain, made().key_pem()
        for content in (
            key + leaf,
            leaf + key,
            b"Bag Attributes\n  friendlyName: x\n" + leaf + b"\nnotes\n" + key,
            (key + leaf).replace(b"\n", b"\r\n"),
            b"\xef\xbb\xbf" + key + leaf,
        ):
            identity = pem.identity(TLSPolicy(local_cert=path(content)))
            assert identity is not None
            self.assertEqual(identity.leaf, made().certificate)
            self.assertEqual(identity.chain, (authority,))
            self.assertEqual(identity.key.public_key(), made().key.public_key())

    def test_the_key_may_have_its_own_file(self) -> None:
        """local_pk is where the key is; one in local_cert is not looked at then."""
        key = certificates.written("key.pem", made().key_pem())
        for content in (made().cert_pem, other().key_pem() + made().cert_pem):
            policy = TLSPolicy(local_cert=path(content), local_pk=key)
            self.assertIsNotNone(pem.identity(policy))

    def test_an_encrypted_key_opens_with_its_passphrase(self) -> None:
        """Both forms of encrypted keys open, with the passphrase in the policy or in a file."""
        for kind in (PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL):
            file = path(locked(kind) + made().cert_pem)
            self.assertIsNotNone(pem.identity(TLSPolicy(local_cert=file, passphrase=SECRET)))
            for line in (SECRET, f"{SECRET}\n", f"{SECRET}\r\nnotes\n"):
                words = certificates.written("words", line.encode())
                policy = TLSPolicy(local_cert=file, passphrase_file=words)
                self.assertIsNotNone(pem.identity(policy), line)

    def test_a_key_that_is_open_needs_no_passphrase(self) -> None:
        """A passphrase for a key that is not encrypted does no harm."""
        policy = TLSPolicy(local_cert=path(made().pem), passphrase=SECRET)
        self.assertIsNotNone(pem.identity(policy))

    def test_a_key_for_each_name(self) -> None:
        """The certificate of a name has its key in its own file, never in local_pk."""
        policy = TLSPolicy(local_pk="/nonexistent")
        identity = pem.read_identity(policy, "SNI_server_certs", path(made().pem))
        self.assertEqual(identity.option, "SNI_server_certs")
        without = path(made().cert_pem)
        error = self.assertRaises(
            BadCertificateFile, pem.read_identity, policy, "SNI_server_certs", without
        )
        self.assertIn(f"SNI_server_certs={without}: it holds no private key", str(error))

    def test_many_authorities_in_one_file(self) -> None:
        """cafile may hold any number of certificates, in any order."""
        both = certificates.authority().pem + made().chain[0].public_bytes(Encoding.PEM)
        self.assertEqual(len(pem.read_authorities("cafile", path(both))), 2)

    def test_many_revocation_lists_in_one_file(self) -> None:
        """crl may hold the lists of several authorities."""
        lists = certificates.authority().revocation_list()
        self.assertEqual(len(pem.read_revocations("crl", path(lists + lists))), 2)


class BrokenFileTests(PemTestCase):
    """Each file that cannot be used is refused with what is the matter."""

    def test_what_is_no_pem(self) -> None:
        """Nothing, white space, DER, UTF-16 and rubbish are told for what they are."""
        der = made().certificate.public_bytes(Encoding.DER)
        self.refused(b"", "it is empty")
        self.refused(b" \r\n\t\n", "it is empty")
        self.refused(der, "it holds no certificate", "it looks like DER")
        self.refused(bytes(range(1, 256)) * 9, "it holds no certificate")
        self.refused(made().pem.decode().encode("utf-16"), "it holds no certificate")

    def test_what_is_something_else(self) -> None:
        """A file that holds other things is refused by the names of those things."""
        key, lists = made().key_pem(), certificates.authority().revocation_list()
        self.refused(key, "it holds no certificate, but 'private key' (are the files swapped?)")
        self.refused(lists, "it holds no certificate, but 'x509 crl'")
        trusted = made().pem.replace(b" CERTIFICATE", b" TRUSTED CERTIFICATE")
        self.refused(trusted, "but 'private key' and 'trusted certificate'")
        many = b"".join(b"-----BEGIN %d-----\n" % number for number in range(99))
        self.refused(many, "but '0' and '1' and '2' and '3' (are")

    def test_the_key_is_missing(self) -> None:
        """A certificate without a key is refused, in one file and in two."""
        self.refused(made().cert_pem, "it holds no private key; local_pk names the key's file")
        leaf = certificates.written("leaf.pem", made().cert_pem)
        error = self.refusal(local_cert=leaf, local_pk=leaf)
        self.assertEqual((error.option, error.path), ("local_pk", leaf))
        self.assertIn("it holds no private key, but 'certificate' (are the files", str(error))

    def test_swapped_files(self) -> None:
        """local_cert and local_pk, one in place of the other, are seen to be swapped."""
        key = certificates.written("key.pem", made().key_pem())
        error = self.refusal(local_cert=key, local_pk=path(made().cert_pem))
        self.assertEqual(error.option, "local_cert")
        self.assertIn("are the files swapped?", str(error))

    def test_the_key_of_another_certificate(self) -> None:
        """A key that is not the certificate's is refused by the certificate's name."""
        wrong = "the key is not that of the certificate 'CN=good.example'"
        self.refused(other().key_pem() + made().cert_pem, wrong)
        key = certificates.written("key.pem", other().key_pem())
        error = self.refusal(local_cert=path(made().cert_pem), local_pk=key)
        self.assertEqual((error.option, error.path), ("local_pk", key))
        self.assertIn(wrong, str(error))

    def test_the_leaf_stands_first(self) -> None:
        """A chain in the wrong order is refused, and the right one is told."""
        authority = made().chain[0].public_bytes(Encoding.PEM)
        leaf = made().certificate.public_bytes(Encoding.PEM)
        wrong = "its key belongs to a later certificate; the leaf stands first"
        self.refused(made().key_pem() + authority + leaf, wrong)
        key = certificates.written("key.pem", made().key_pem())
        self.refused(authority + leaf, wrong, local_pk=key)

    def test_a_broken_block_of_many(self) -> None:
        """A block that is cut off or damaged is told by its number, and never passed over."""
        lines = other().cert_pem.splitlines(keepends=True)
        rows = {
            b"".join(lines[:-1]): "its end is missing",
            b"".join(lines[:3] + lines[4:]): "",
            b"".join(lines[:2]) + b"!" + b"".join(lines[3:]): "",
            lines[0] + lines[-1]: "",
            lines[0] + b"AAAA\n" + lines[-1]: "",
        }
        leaf = made().certificate.public_bytes(Encoding.PEM)
        for broken, why in rows.items():
            self.refused(made().key_pem() + broken, "certificate 1 in it is broken", why)
            self.refused(made().key_pem() + leaf + broken, "certificate 2 in it is broken", why)
            self.refused(made().key_pem() + broken + leaf, "certificate 1 in it is broken", why)

    def test_a_broken_key(self) -> None:
        """A key that is cut off or damaged is told from one that is missing."""
        lines = made().key_pem().splitlines(keepends=True)
        cut = made().cert_pem + b"".join(lines[:-1])
        self.refused(cut, "its key is broken (its end is missing)")
        for damaged in (
            [lines[0], lines[-1]],
            [lines[0], b"AAAA\n", lines[-1]],
            lines[:1] + lines[2:],
        ):
            self.refused(b"".join(damaged) + made().cert_pem, "its 'private key' is broken")

    def test_keys_that_tls_has_no_use_for(self) -> None:
        """Keys for other things than signing, and in other programs' formats, are refused."""
        plain = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        exchange = x25519.X25519PrivateKey.generate().private_bytes(*plain)
        self.refused(exchange + made().cert_pem, "its key is of a kind that TLS has no use for")
        ssh = ed25519.Ed25519PrivateKey.generate().private_bytes(
            Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()
        )
        self.refused(ssh + made().cert_pem, "its 'openssh private key' is broken")

    def test_keys_of_all_kinds_are_compared(self) -> None:
        """A key of another kind than the certificate's does not belong to it."""
        for key in (
            ed25519.Ed25519PrivateKey.generate(),
            ed448.Ed448PrivateKey.generate(),
            rsa.generate_private_key(65537, 2048),
        ):
            block = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            self.refused(block + made().cert_pem, "the key is not that of the certificate")

    def test_a_certificate_with_a_key_unheard_of(self) -> None:
        """A certificate on a curve that nobody knows is refused, and crashes nothing."""
        der = made().certificate.public_bytes(Encoding.DER)
        p256, unheard_of = b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07", b"\x09"
        strange = x509.load_der_x509_certificate(der.replace(p256, p256[:-1] + unheard_of))
        content = made().key_pem() + strange.public_bytes(Encoding.PEM)
        self.refused(content, "the key is not that of the certificate 'CN=good.example'")

    def test_authorities_and_revocation_lists(self) -> None:
        """cafile and crl are refused by the same rules, each by its own name."""
        lists = certificates.authority().revocation_list()
        cut = b"".join(lists.splitlines(keepends=True)[:-1])
        for option, read, content, reason in (
            ("cafile", pem.read_authorities, b"\n", "it is empty"),
            ("cafile", pem.read_authorities, lists, "it holds no certificate, but 'x509 crl'"),
            ("cafile", pem.read_authorities, b"0\x82", "it looks like DER"),
            ("crl", pem.read_revocations, made().cert_pem, "no revocation list, but 'certif"),
            ("crl", pem.read_revocations, cut, "revocation list 1 in it is broken"),
            ("crl", pem.read_revocations, lists + cut, "revocation list 2 in it is broken"),
            ("crl", pem.read_revocations, lists.replace(b"M", b"!"), "list 1 in it is broken"),
        ):
            file = path(content)
            error: Any = self.assertRaises(BadCertificateFile, read, option, file)
            self.assertEqual((error.option, error.path), (option, file))
            self.assertIn(reason, str(error))
            self.assertIn("expected is a PEM file with ", str(error))

    @settings(deadline=None, max_examples=150)
    @given(st.binary(max_size=400))
    @example(b"-----BEGIN CERTIFICATE-----")
    @example(b"-----BEGIN CERTIFICATE----------END CERTIFICATE-----")
    @example(b"-----BEGIN PRIVATE KEY----------END PRIVATE KEY-----")
    def test_no_file_crashes(self, content: bytes) -> None:
        """Whatever a file holds, it is refused in our own words."""
        self.refused(content)
        self.refused(made().key_pem() + content)

    @settings(deadline=None, max_examples=150)
    @given(st.integers(0, 10**6), st.integers(0, 255))
    def test_no_damage_crashes(self, where: int, what: int) -> None:
        """A byte that changed makes a file good or refused, and nothing else."""
        content = bytearray(made().pem)
        content[where % len(content)] = what
        try:
            pem.identity(TLSPolicy(local_cert=path(bytes(content))))
        except BadCertificateFile as error:
            self.assertLess(len(str(error)), LONGEST_MESSAGE)


def _reading() -> dict[str, Any]:
    """How a file of each option is read."""
    return {
        "local_cert": lambda file: pem.identity(TLSPolicy(local_cert=file)),
        "local_pk": lambda file: pem.identity(
            TLSPolicy(local_cert=certificates.site(), local_pk=file)
        ),
        "passphrase_file": lambda file: pem.identity(
            TLSPolicy(local_cert=certificates.site(), passphrase_file=file)
        ),
        "SNI_server_certs": lambda file: pem.read_identity(TLSPolicy(), "SNI_server_certs", file),
        "cafile": lambda file: pem.read_authorities("cafile", file),
        "crl": lambda file: pem.read_revocations("crl", file),
    }


class PlaceTests(PemTestCase):
    """Where the file should be, there is none that can be read."""

    def refused_by_all(self, file: str, reason: str) -> None:
        """Whatever option names that file, it says why it cannot be."""
        for option, read in _reading().items():
            error: Any = self.assertRaises(BadCertificateFile, read, file)
            self.assertEqual((error.option, error.path), (option, file))
            self.assertIn(f"{option}={file}: {reason}", str(error))
            self.assertRegex(str(error), "; expected is a (PEM )?file .{20,}")

    def test_a_missing_file(self) -> None:
        """A file that is not there is missing by name."""
        self.refused_by_all("/nonexistent/a.pem", "No such file or directory")

    def test_an_empty_file(self) -> None:
        """A file without content is empty, for each option."""
        self.refused_by_all(path(b""), "it is empty")

    def test_a_folder(self) -> None:
        """A folder is no file, even one full of certificates."""
        self.refused_by_all(str(certificates.folder()), "it is a folder or a device, not a file")

    def test_a_pipe(self) -> None:
        """A pipe into which nobody writes holds nobody up."""
        pipe = str(certificates.folder() / "pipe")
        os.mkfifo(pipe)
        self.addCleanup(os.unlink, pipe)
        self.refused_by_all(pipe, "it is a folder or a device, not a file")

    def test_an_unreadable_file(self) -> None:
        """A file that may not be read, or cannot, says why in the system's words."""
        file = certificates.written("locked.pem", made().pem)
        os.chmod(file, 0)
        if os.access(file, os.R_OK):
            # Root reads everything; but not even root reads this one.
            self.refused_by_all("/proc/self/mem", "Input/output error")
        else:
            self.refused_by_all(file, "Permission denied")

    def test_a_huge_file(self) -> None:
        """A file that cannot be what it should be is not read to its end."""
        file = path(b"x")
        os.truncate(file, 2**40)
        self.refused_by_all(file, "it is larger than 16 MiB")

    def test_what_is_no_path(self) -> None:
        """A path that no system has is refused, and crashes nothing."""
        for file in ("/tmp/\0", "/tmp/\ud800", "", "a" * 5000):
            for option, read in _reading().items():
                error: Any = self.assertRaises(BadCertificateFile, read, file)
                self.assertEqual((error.option, error.path), (option, file))

    def test_a_folder_of_authorities(self) -> None:
        """capath is a folder that can be listed, and nothing else."""
        pem.check_folder("capath", str(certificates.folder()))
        for file, reason in (
            ("/nonexistent", "No such file or directory"),
            (path(b"x"), "Not a directory"),
            ("/tmp/\0", "embedded null"),
        ):
            error: Any = self.assertRaises(BadCertificateFile, pem.check_folder, "capath", file)
            self.assertEqual((error.option, error.path), ("capath", file))
            self.assertIn(reason, str(error))
            self.assertIn("expected is a folder of authorities", str(error))


class PassphraseTests(PemTestCase):
    """What opens a key, and stays secret."""

    def test_without_a_passphrase(self) -> None:
        """An encrypted key without a passphrase says which options give one."""
        for kind in (PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL):
            content = locked(kind) + made().cert_pem
            wanted = "its key is encrypted; give passphrase or passphrase_file"
            self.refused(content, wanted)
            self.refused(content, wanted, passphrase="")

    def test_with_the_wrong_one(self) -> None:
        """A wrong passphrase is called wrong, and the key is not called broken."""
        for kind in (PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL):
            for wrong in (SECRET + " ", "x" * 5000, "\0", "\ud800", "\udcff"):
                self.refused(
                    locked(kind) + made().cert_pem,
                    "the passphrase does not open its key",
                    passphrase=wrong,
                )

    def test_a_file_without_one(self) -> None:
        """A passphrase file whose first line is empty is refused by its own name."""
        words = certificates.written("words", f"\n{SECRET}\n".encode())
        error = self.refusal(local_cert=path(locked() + made().cert_pem), passphrase_file=words)
        self.assertEqual((error.option, error.path), ("passphrase_file", words))
        self.assertIn("its first line is empty", str(error))

    def test_it_is_never_shown(self) -> None:
        """Whatever fails, no message, representation or traceback gives the passphrase away."""
        words = certificates.written("words", SECRET.encode())
        contents = (b"", made().pem[:-40], locked()[:-40] + made().cert_pem, locked())
        for content in (*contents, locked().replace(b"M", b"N") + made().cert_pem):
            for given_ in ({"passphrase": SECRET}, {"passphrase_file": words}):
                error = self.refusal(local_cert=path(content), **given_)
                told = "".join(traceback.format_exception(error)) + repr(error) + repr(error.args)
                self.assertNotIn("hunter2", told)
        half = self.refusal(
            local_cert=path(locked() + made().cert_pem), passphrase=SECRET + "\ud800"
        )
        cause = half.__cause__ or half.__context__
        self.assertNotIn("hunter2", repr(half) + repr(cause) + str(cause))

    def test_an_identity_hides_its_key(self) -> None:
        """An identity in a log shows neither key nor passphrase."""
        file = path(locked() + made().cert_pem)
        identity = pem.identity(TLSPolicy(local_cert=file, passphrase=SECRET))
        self.assertNotIn("key", repr(identity))
        self.assertNotIn("hunter2", repr(identity))


class StampTests(PemTestCase):
    """Whether a file has changed since it was read."""

    def test_every_file_is_watched(self) -> None:
        """Each file that a policy names is one to look at for changes."""
        policy = TLSPolicy(
            local_cert="a", local_pk="b", passphrase_file="c", cafile="d", capath="e", crl="f",
            SNI_server_certs=(("x.example", "g"), ("y.example", "h")),
        )  # fmt: skip
        self.assertEqual(sorted(pem.policy_files(policy)), list("abcdefgh"))
        self.assertEqual(pem.policy_files(TLSPolicy()), ())

    def test_any_change_is_seen(self) -> None:
        """Replaced, made readable, written, removed: each makes another stamp."""
        file = path(b"one")
        stamps = [pem.file_stamps((file,))]
        for change in (
            lambda: path(b"two"),
            lambda: made_readable(file),
            lambda: os.truncate(file, 1),
            lambda: os.unlink(file),
        ):
            change()
            stamps.append(pem.file_stamps((file,)))
            self.assertEqual(stamps[-1], pem.file_stamps((file,)))
        self.assertEqual(len(set(stamps)), len(stamps))
        self.assertEqual(stamps[-1], (None,))

    def test_what_is_no_path_never_changes(self) -> None:
        """To look at an impossible path is no error."""
        self.assertEqual(pem.file_stamps(("/nonexistent", "/tmp/\0")), (None, None))


class ShownTests(SynchronousTestCase):
    """A certificate's names in messages."""

    def test_names_are_escaped_and_bounded(self) -> None:
        """Whatever a stranger calls itself, it fits into a line of a log."""
        strange = certificates.authority().issue("x.example", common_name="\x1b[31mü\n" * 10)
        shown = pem.display_subject(strange.certificate)
        self.assertTrue(shown.isascii() and shown.isprintable(), shown)
        self.assertLess(len(shown), 1300)
        self.assertIn("CN=txtransport test CA", pem.display_issuer(strange.certificate))

    def test_a_name_in_the_wrong_characters(self) -> None:
        """A name that cannot be read is called so, and is no error."""
        strange = certificates.mislabelled().certificate
        self.assertRaises(ValueError, getattr, strange, "subject")
        self.assertEqual(pem.display_subject(strange), "unreadable")
        self.assertEqual(pem.display_issuer(strange), "unreadable")
