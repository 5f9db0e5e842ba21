"""Forty files and more, sound and broken, as people name them in options."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Final

from attrs import field, frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from tests import certificates
from tests.tls.test_file_format import forms
from txtransport.testing.devcert import Authority, Issued, self_signed
from txtransport.tls.pem import PrivateKey

SECRET: Final = "hunter2 ünd mehr"
NAME: Final = "good.example"
NOW: Final = datetime.now(timezone.utc)


@frozen
class Sample:
    """One file, and what is to be said of it.

    Attributes:
        name: What it is, in a few words.
        content: Its bytes; None for what is made by `make`.
        purpose: The option that it is guessed to be for.
        fault: Words of the finding that is told first; empty for a file that is good.
        is_wrong: Whether that makes the file bad.
        key: The content of the file of its key, if that is another one.
        passphrase: Opens the key.
        mode: The rights of the file.
        make: Puts something else than a file with `content` at a path.
    """

    name: str
    content: bytes | None
    purpose: str = "local_cert"
    fault: str = ""
    is_wrong: bool = True
    key: bytes | None = field(default=None, kw_only=True)
    passphrase: str | None = field(default=None, kw_only=True)
    mode: int = field(default=0o600, kw_only=True)
    make: Callable[[Path], object] | None = field(default=None, kw_only=True)

    @property
    def is_good(self) -> bool:
        """Whether the exit status is 0."""
        return not (self.fault and self.is_wrong)

    def put(self, folder: Path) -> tuple[str, str | None]:
        """Write the file and that of its key; their paths."""
        path = folder / "file.pem"
        if self.make is not None:
            self.make(path)
        if self.content is not None:
            path.write_bytes(self.content)
            path.chmod(self.mode)
        if self.key is None:
            return str(path), None
        key_path = folder / "key.pem"
        key_path.write_bytes(self.key)
        key_path.chmod(0o600)
        return str(path), str(key_path)


@functools.cache
def issuer() -> Authority:
    """An intermediate authority, below the one that the tests trust."""
    return certificates.authority().intermediate("intermediate")


@functools.cache
def site() -> Issued:
    """A server's certificate with an intermediate and a key."""
    return issuer().issue(NAME, "*.wild.example", "127.0.0.1")


def _pem(*certificates_: x509.Certificate) -> bytes:
    return b"".join(each.public_bytes(Encoding.PEM) for each in certificates_)


def _of_key(key: PrivateKey) -> bytes:
    """A certificate for `NAME` with that key, and the key."""
    root = certificates.authority()
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)]))
        .issuer_name(root.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=90))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), False)
    )
    made = builder.sign(root.key, hashes.SHA256())
    plain = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return plain + _pem(made)


def _signed_with_sha1() -> bytes:
    """A key and a certificate that the root signed with SHA-1, as cryptography makes none."""
    root = certificates.authority()
    made = root.issue(NAME)
    body = made.certificate.tbs_certificate_bytes[4:].replace(_WITH_SHA256, _WITH_SHA1, 1)
    tbs = _sequence(body)
    signature = root.key.sign(tbs, ec.ECDSA(hashes.SHA1()))
    bits = bytes([3, len(signature) + 1, 0]) + signature
    der = _sequence(tbs + _WITH_SHA1 + bits)
    return made.key_pem() + _pem(x509.load_der_x509_certificate(der))


def _sequence(content: bytes) -> bytes:
    return b"\x30\x82" + len(content).to_bytes(2, "big") + content


# AlgorithmIdentifiers (RFC 5758, section 3.2; RFC 3279, section 2.2.3).
_WITH_SHA256: Final = b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02"
_WITH_SHA1: Final = b"\x30\x09\x06\x07\x2a\x86\x48\xce\x3d\x04\x01"


def _exchange_key() -> bytes:
    key = x25519.X25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**24 + 1)
        file.write(b"x")


def _folder(path: Path) -> None:
    path.mkdir()
    (path / "ca.pem").write_bytes(certificates.authority().pem)
    (path / "README").write_text("authorities")


def _hashed_folder(path: Path) -> None:
    _folder(path)
    # What `openssl rehash` finds for the subject CN=txtransport test CA.
    (path / "501cd488.0").symlink_to("ca.pem")


@functools.cache
def samples() -> tuple[Sample, ...]:
    """Every file, the sound ones first."""
    return (
        *_sound(),
        *_orders_and_keys(),
        *_of_other_forms(),
        *_refused_by_clients(),
        *_authorities_and_lists(),
        *_no_files(),
    )


def _sound() -> Iterator[Sample]:
    leaf, chain, key = _pem(site().certificate), _pem(*site().chain), site().key_pem()
    rsa_site = certificates.authority().issue(NAME, key="rsa")
    old = rsa_site.key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    parameters = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    yield Sample("key, leaf and chain", key + leaf + chain)
    yield Sample("chain and key in two files", leaf + chain, key=key)
    yield Sample("lines that end with CR LF", (key + leaf + chain).replace(b"\n", b"\r\n"))
    yield Sample("a byte order mark", b"\xef\xbb\xbf" + key + leaf + chain)
    yield Sample("text between the blocks", b"Bag Attributes\n" + leaf + chain + b"\nx\n" + key)
    yield Sample("RSA PRIVATE KEY", old + rsa_site.cert_pem)
    yield Sample("EC PARAMETERS before the key", parameters + key + leaf + chain)
    yield Sample("Ed25519", _of_key(ed25519.Ed25519PrivateKey.generate()))
    yield Sample("a key alone", key, "local_pk")
    yield Sample(
        "an encrypted key with its passphrase",
        site().key_pem(SECRET) + leaf + chain,
        passphrase=SECRET,
    )
    sealed = site().key.private_bytes(
        Encoding.PEM,
        PrivateFormat.TraditionalOpenSSL,
        BestAvailableEncryption(SECRET.encode()),
    )
    yield Sample("an old encrypted key", sealed + leaf + chain, passphrase=SECRET)
    made = certificates.authority().issue("client.example", purpose="client")
    yield Sample("a client's certificate", made.pem)


def _orders_and_keys() -> Iterator[Sample]:
    leaf, chain, key = _pem(site().certificate), _pem(*site().chain), site().key_pem()
    root = certificates.authority().pem
    other = certificates.authority().issue("other.example")
    broken = b"".join(leaf.splitlines(keepends=True)[:-1])
    twisted = b"".join(leaf.splitlines(keepends=True)[:4] + leaf.splitlines(keepends=True)[5:])
    yield Sample("the leaf last", key + chain + leaf, fault="its key belongs to a later")
    yield Sample("the key missing", leaf + chain, fault="it holds no private key")
    yield Sample("the key of another", other.key_pem() + leaf + chain, fault="is not that of the")
    yield Sample(
        "a file with the key of another", leaf + chain, fault="not that of", key=other.key_pem()
    )
    yield Sample(
        "two keys, the wrong one first", other.key_pem() + key + leaf, fault="is not that of"
    )
    yield Sample("two keys", key + other.key_pem() + leaf + chain)
    yield Sample("no passphrase", site().key_pem(SECRET) + leaf, fault="its key is encrypted")
    yield Sample(
        "a wrong passphrase", site().key_pem("other") + leaf, fault="does not open", passphrase="x"
    )
    yield Sample("its end cut off", key + broken, fault="broken (its end is missing)")
    yield Sample("a line missing", key + twisted, fault="certificate 1 in it is broken")
    yield Sample("a key that signs nothing", _exchange_key(), "local_pk", "TLS has no use for")
    yield Sample("leaf twice", key + leaf + leaf + chain, fault="in it twice", is_wrong=False)
    yield Sample(
        "intermediate twice", key + leaf + chain + chain, fault="in it twice", is_wrong=False
    )
    yield Sample("the root too", key + leaf + chain + root, fault="the root", is_wrong=False)
    second = certificates.authority().intermediate("second").intermediate("third")
    deep = second.issue(NAME)
    turned = deep.key_pem() + _pem(deep.certificate, *reversed(deep.chain))
    yield Sample("chain out of order", turned, fault="not in order", is_wrong=False)
    stray = key + leaf + chain + _pem(other.certificate)
    yield Sample("a stray certificate", stray, fault="has issued nothing", is_wrong=False)
    yield Sample(
        "a key that all can read",
        key + leaf + chain,
        fault="other users",
        is_wrong=False,
        mode=0o644,
    )
    bundle = key + leaf + chain + certificates.authority().pem * 300
    yield Sample("a bundle behind it", bundle, fault="too large")
    soon = certificates.authority().issue(NAME, days=3)
    yield Sample("three days left", soon.pem, fault="expires soon", is_wrong=False)


_FORMS_FOR: Final = {
    "a revocation list in DER": "crl",
    "a private key in DER": "local_pk",
    "a private key in": "local_pk",
}


def _of_other_forms() -> Iterator[Sample]:
    for beginning, content in forms().items():
        purpose = _FORMS_FOR.get(beginning, "local_cert")
        yield Sample(beginning, content, purpose, f", but {beginning}")


def _refused_by_clients() -> Iterator[Sample]:
    root = certificates.authority()
    yield Sample("intermediate missing", site().key_pem() + _pem(site().certificate),
                 fault="its issuer is not known")  # fmt: skip
    stranger = Authority.create("stranger").issue(NAME)
    yield Sample("of a strange authority", stranger.pem, fault="its issuer is not known")
    yield Sample("self-signed", self_signed(NAME).pem, fault="self-signed certificate")
    past, future = NOW - timedelta(days=9), NOW + timedelta(days=9)
    expired = root.issue(NAME, not_before=past - timedelta(days=1), not_after=past)
    yield Sample("expired", expired.pem, fault="it has expired")
    early = root.issue(NAME, not_before=future)
    yield Sample("not yet valid", early.pem, fault="it is not valid yet")
    yield Sample("no name", root.issue(common_name=NAME).pem, fault="no subject alternative name")
    old = root.intermediate(now=NOW - timedelta(days=40), days=30).issue(NAME)
    yield Sample("expired intermediate", old.pem, fault="above it is not good: it has expired")
    small = rsa.generate_private_key(65537, 1024)
    yield Sample("a weak key", _of_key(small), fault="key too small")
    yield Sample("signed with SHA-1", _signed_with_sha1(), fault="too weak")
    plain = root.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    yield Sample("an authority as leaf", plain + root.pem, fault="no subject alternative name")
    hostile = certificates.mislabelled()
    yield Sample("a subject that cannot be read", hostile.pem, fault="clients refuse it")


def _authorities_and_lists() -> Iterator[Sample]:
    root = certificates.authority()
    yield Sample("authorities", root.pem + _pem(issuer().certificate), "cafile")
    yield Sample("a certificate to trust", _pem(self_signed(NAME).certificate), "cafile",
                 "no authority", is_wrong=False)  # fmt: skip
    past = Authority.create("past", now=NOW - timedelta(days=30), days=9).pem
    yield Sample("an expired authority", past, "cafile", "an authority in it has expired")
    yield Sample(
        "an expired authority among others",
        root.pem + past,
        "cafile",
        "an authority in it has expired",
        is_wrong=False,
    )
    coming = Authority.create("coming", now=NOW + timedelta(days=9)).pem
    yield Sample("a future authority", coming, "cafile", "is not valid yet")
    yield Sample("a revocation list", root.revocation_list(), "crl")
    old = root.revocation_list(now=NOW - timedelta(days=30))
    yield Sample("an old revocation list", old, "crl", "out of date")
    future = root.revocation_list(now=NOW + timedelta(days=30))
    yield Sample("a future revocation list", future, "crl", "not valid yet")
    foreign = Authority.create("stranger").revocation_list()
    yield Sample("a list of another authority", foreign, "crl", "of no authority in cafile")
    forged = Authority.create("txtransport test CA").revocation_list()
    yield Sample("a forged list", forged, "crl", "is not signed by the authority")
    cut = b"".join(root.revocation_list().splitlines(keepends=True)[:-1])
    yield Sample("a list cut off", cut, "crl", "revocation list 1 in it is broken")


_UNREADABLE: Final = "/proc/self/mem"


def _no_files() -> Iterator[Sample]:
    yield Sample("empty", b"", fault="it is empty")
    yield Sample("white space", b" \r\n\n", fault="it is empty")
    yield Sample("rubbish", bytes(range(1, 256)), fault="it holds no certificate")
    yield Sample("missing", None, fault="No such file or directory")
    yield Sample("huge", None, fault="larger than 16 MiB", make=_huge)
    yield Sample("a pipe", None, fault="a folder or a device", make=lambda path: os.mkfifo(path))
    yield Sample(
        "an unreadable file",
        None,
        fault="rror",
        make=lambda path: path.symlink_to("/proc/self/mem"),
    )
    yield Sample("a folder of authorities", None, "capath", "not named by their hash", make=_folder)
    yield Sample("a hashed folder", None, "capath", make=_hashed_folder)
