"""Reading the files that TLS options name.

Each function takes the option's name beside the path, so that an error says
which option to mend. A file is read whole and checked whole before anything
is opened on the network: what it must hold, whether certificate and key
belong together, whether the passphrase fits.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from typing import Final, TypeVar

from attrs import field, frozen
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from txtransport.config.policy import TLSPolicy
from txtransport.errors import BadCertificateFile

PrivateKey = (
    rsa.RSAPrivateKey
    | ec.EllipticCurvePrivateKey
    | ed25519.Ed25519PrivateKey
    | ed448.Ed448PrivateKey
    | dsa.DSAPrivateKey
)
"""The kinds of keys that a certificate of TLS can have."""

Stamp = tuple[tuple[int, int, int] | None, ...]
"""What a list of files looked like: time (ns), size (bytes) and inode of each."""

_Loaded = TypeVar("_Loaded")

_LARGEST: Final = 16 * 2**20
_KEY: Final = re.compile(
    rb"-----BEGIN ([A-Z0-9 ]*PRIVATE KEY)-----.*?-----END \1-----", re.DOTALL
).search
_OWN: Final = "a PEM file with our certificate, then its chain, and its key"
_EXPECTED: Final = {
    "local_cert": _OWN,
    "SNI_server_certs": _OWN,
    "local_pk": "a PEM file with the key of local_cert",
    "passphrase_file": "a file whose first line is the passphrase",
    "cafile": "a PEM file with the certificates of authorities",
    "capath": "a folder of authorities, as openssl rehash makes it",
    "crl": "a PEM file with revocation lists",
}
_KINDS: Final = (
    rsa.RSAPrivateKey,
    ec.EllipticCurvePrivateKey,
    ed25519.Ed25519PrivateKey,
    ed448.Ed448PrivateKey,
    dsa.DSAPrivateKey,
)


@frozen
class Identity:
    """Who we are: a certificate, its chain and its key.

    Attributes:
        option: The option that names its file.
        path: The file.
        leaf: The certificate.
        chain: The authorities between it and the root, as the file has them.
        key: The certificate's private key.
    """

    option: str
    path: str
    leaf: x509.Certificate
    chain: tuple[x509.Certificate, ...]
    key: PrivateKey = field(repr=False)


def identity(policy: TLSPolicy) -> Identity | None:
    """The policy's own certificate, or None when it has none.

    Raises:
        BadCertificateFile: A file is missing, empty, not PEM, holds something
            else, or certificate and key do not belong together.
    """
    if policy.local_cert is None:
        return None
    return read_identity(policy, "local_cert", policy.local_cert)


def read_identity(policy: TLSPolicy, option: str, path: str) -> Identity:
    """Certificate, chain and key.

    Args:
        policy: Has the key's file and passphrase.
        option: The option that named `path`.
        path: A PEM file: the leaf first, then its chain, and the key in it or
            (for ``local_cert``) in ``local_pk``.

    Raises:
        BadCertificateFile: As for `identity`.
    """
    ours = _File.read(option, path)
    leaf, *chain = ours.certificates()
    keys = ours
    if option == "local_cert" and policy.local_pk is not None:
        keys = _File.read("local_pk", policy.local_pk)
    key = keys.key(_passphrase(policy))
    if _spki(leaf) != _spki(key):
        if _spki(key) in map(_spki, chain):
            raise ours.bad("its key belongs to a later certificate; the leaf stands first")
        raise keys.bad(f"the key is not that of the certificate {display_subject(leaf)}")
    return Identity(option, path, leaf, tuple(chain), key)


def read_authorities(option: str, path: str) -> list[x509.Certificate]:
    """The certificates of a PEM file.

    Raises:
        BadCertificateFile: It is missing, empty, broken, or holds none.
    """
    return _File.read(option, path).certificates()


def read_revocations(option: str, path: str) -> list[x509.CertificateRevocationList]:
    """The revocation lists of a PEM file.

    Raises:
        BadCertificateFile: It is missing, empty, broken, or holds none.
    """
    file = _File.read(option, path)
    return file.all("revocation list", b"X509 CRL", x509.load_pem_x509_crl)


def check_folder(option: str, path: str) -> None:
    """See that `path` is a folder that can be listed.

    Raises:
        BadCertificateFile: It is not.
    """
    try:
        os.listdir(path)
    except (OSError, ValueError) as problem:
        raise _bad(option, path, _reason(problem)) from problem


def policy_files(policy: TLSPolicy) -> tuple[str, ...]:
    """Every file that the policy names."""
    named = (policy.local_cert, policy.local_pk, policy.passphrase_file, policy.cafile)
    more = (policy.capath, policy.crl, *(path for _, path in policy.SNI_server_certs))
    return tuple(path for path in named + more if path is not None)


def file_stamps(paths: tuple[str, ...]) -> Stamp:
    """What those files look like now, to see later whether they have changed."""
    return tuple(_file_stamp(path) for path in paths)


def display_subject(certificate: x509.Certificate) -> str:
    """Whom a certificate is about, escaped and bounded, for messages."""
    return _display_name(lambda: certificate.subject)


def display_issuer(certificate: x509.Certificate) -> str:
    """Who vouches for a certificate, escaped and bounded, for messages."""
    return _display_name(lambda: certificate.issuer)


def _display_name(name: Callable[[], x509.Name]) -> str:
    try:
        return ascii(name().rfc4514_string()[:200])
    except ValueError:
        # OpenSSL reads names that are not in the character set they claim to
        # be in (Latin-1 as T61String is common), cryptography does not.
        return "unreadable"


def _file_stamp(path: str) -> tuple[int, int, int] | None:
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    # The change time: chmod may be all that it took to make a file readable.
    return status.st_ctime_ns, status.st_size, status.st_ino


@frozen
class _File:
    """A file that an option names, and what it holds."""

    option: str
    path: str
    content: bytes = field(repr=False)

    @classmethod
    def read(cls, option: str, path: str) -> _File:
        try:
            # To open a FIFO would wait for whoever writes into it, perhaps for ever.
            content = _content(path) if stat.S_ISREG(os.stat(path).st_mode) else None
        except (OSError, ValueError) as problem:
            raise _bad(option, path, _reason(problem)) from problem
        if content is None:
            raise _bad(option, path, "it is a folder or a device, not a file")
        if not content.strip():
            raise _bad(option, path, "it is empty")
        if len(content) > _LARGEST:
            raise _bad(option, path, "it is larger than 16 MiB")
        return cls(option, path, content)

    def bad(self, problem: str) -> BadCertificateFile:
        return _bad(self.option, self.path, problem)

    def certificates(self) -> list[x509.Certificate]:
        return self.all("certificate", b"CERTIFICATE", x509.load_pem_x509_certificate)

    def all(self, word: str, label: bytes, load: Callable[[bytes], _Loaded]) -> list[_Loaded]:
        """What each block of a kind holds; there must be one, and none may be broken."""
        begin, end = b"-----BEGIN %b-----" % label, b"-----END %b-----" % label
        loaded = []
        for number, block in enumerate(self.content.split(begin)[1:], 1):
            inside, found, _ = block.partition(end)
            try:
                if not found:
                    raise ValueError("its end is missing")
                loaded.append(load(begin + inside + end))
            except ValueError as problem:
                reason = str(problem)[:200]
                raise self.bad(f"{word} {number} in it is broken ({reason})") from problem
        if not loaded:
            raise self.bad(f"it holds no {word}{self._instead()}")
        return loaded

    def key(self, passphrase: bytes) -> PrivateKey:
        """The first key; `passphrase` is empty when there is none."""
        found = _KEY(self.content)
        if found is None and b"PRIVATE KEY-----" in self.content:
            raise self.bad("its key is broken (its end is missing)")
        if found is None:
            elsewhere = ""
            if self.option == "local_cert" and b"-----BEGIN CERTIFICATE-----" in self.content:
                elsewhere = "; local_pk names the key's file if it has one of its own"
            raise self.bad(f"it holds no private key{elsewhere or self._instead()}")
        is_encrypted = b"ENCRYPTED" in found[0]
        if is_encrypted and not passphrase:
            raise self.bad("its key is encrypted; give passphrase or passphrase_file")
        try:
            key = load_pem_private_key(found[0], passphrase if is_encrypted else None)
        except (ValueError, UnsupportedAlgorithm) as problem:
            if is_encrypted:
                raise self.bad("the passphrase does not open its key") from problem
            label, reason = found[1].decode().lower(), str(problem)[:200]
            raise self.bad(f"its {label!r} is broken ({reason})") from problem
        if not isinstance(key, _KINDS):
            raise self.bad("its key is of a kind that TLS has no use for")
        return key

    def _instead(self) -> str:
        """What it holds instead of what was expected, when that can be told."""
        labels = dict.fromkeys(re.findall(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----", self.content))
        if labels:
            names = " and ".join(repr(label.decode().lower()) for label in list(labels)[:4])
            return f", but {names} (are the files swapped?)"
        return " (it looks like DER)" if self.content[:1] == b"0" else ""


def _content(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(_LARGEST + 1)


def _bad(option: str, path: str, problem: str) -> BadCertificateFile:
    return BadCertificateFile(option, path, f"{problem}; expected is {_EXPECTED[option]}")


def _reason(problem: Exception) -> str:
    return getattr(problem, "strerror", None) or str(problem)


def _passphrase(policy: TLSPolicy) -> bytes:
    """The passphrase, or nothing."""
    if policy.passphrase is not None:
        # Half a character opens no key; it shall not raise an error that quotes the rest.
        return policy.passphrase.encode("utf-8", "surrogatepass")
    if policy.passphrase_file is None:
        return b""
    file = _File.read("passphrase_file", policy.passphrase_file)
    line = file.content.splitlines()[0]
    if not line:
        raise file.bad("its first line is empty")
    return line


def _spki(owner: PrivateKey | x509.Certificate) -> bytes | None:
    """A public key, to compare; None for one of a kind that cryptography does not know."""
    try:
        return owner.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (ValueError, UnsupportedAlgorithm):
        return None
