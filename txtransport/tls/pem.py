"""Reads and checks the files that TLS options name.

Each function takes the option's name beside the path, so that an error says
which option to correct. A file is read and checked completely before any
connection is made: whether it holds what the option needs, whether certificate
and key belong together, whether the passphrase opens the key.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import re
import stat
from collections.abc import Callable, Iterator
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

from txtransport.config.policy import CertificateFiles, TLSPolicy
from txtransport.errors import BadCertificateFile
from txtransport.text import ascii_repr, escape_text
from txtransport.tls.file_format import FileFormat, recognise_format

__all__ = [
    "FileContents",
    "Identity",
    "PrivateKey",
    "Stamp",
    "check_folder",
    "display_issuer",
    "display_subject",
    "file_stamps",
    "identity",
    "policy_files",
    "read_authorities",
    "read_contents",
    "read_identity",
    "read_key",
    "read_revocations",
    "same_key",
]

PrivateKey = (
    rsa.RSAPrivateKey
    | ec.EllipticCurvePrivateKey
    | ed25519.Ed25519PrivateKey
    | ed448.Ed448PrivateKey
    | dsa.DSAPrivateKey
)
"""The kinds of keys that a certificate can have in TLS."""

Stamp = tuple[tuple[int, int, int] | None, ...]
"""The state of some files, to detect changes.

For each file its change time (ns since the epoch), size (bytes) and inode; None
for a file that is missing.
"""

_Loaded = TypeVar("_Loaded")

_MAX_SIZE: Final = 16 * 2**20
_MAX_KEYS: Final = 8
_MAX_BLOCKS: Final = 1000
_KEY_BEGIN: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]*PRIVATE KEY)-----")
_LATER_KEY: Final = "only the first key is read, and a later one is the right one: remove the first"
_LABELS: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----").findall
_IDENTITY_FILE: Final = "a PEM file with our certificate, then its chain, and its key"
_EXPECTED: Final = {
    "local_cert": _IDENTITY_FILE,
    "SNI_server_certs": _IDENTITY_FILE,
    "local_pk": "a PEM file with the key of local_cert",
    "passphrase_file": "a file whose first line is the passphrase",
    "cafile": "a PEM file with the certificates of authorities",
    "capath": "a folder of authorities, as openssl rehash makes it",
    "crl": "a PEM file with revocation lists",
}
_KEY_ELSEWHERE: Final = {
    "local_cert": "; local_pk names the key's file if it has one of its own",
    "SNI_server_certs": "; in Python {'local_cert': …, 'local_pk': …} in place of the path names "
    "the key's file as well",
}
_KEY_TYPES: Final = (
    rsa.RSAPrivateKey,
    ec.EllipticCurvePrivateKey,
    ed25519.Ed25519PrivateKey,
    ed448.Ed448PrivateKey,
    dsa.DSAPrivateKey,
)


@frozen
class FileContents:
    """What stands in a file, whether an option can use it or not.

    Attributes:
        labels: The labels of its PEM blocks, such as ``CERTIFICATE``, in their order; a
            block may be broken.
        is_encrypted: Whether one of its private keys is encrypted.
        form: The form of the file, where it is none of the kinds of PEM that options
            read and is known.
        ends_line: Whether its last line has an end, so that text can be appended.
    """

    labels: tuple[str, ...]
    is_encrypted: bool
    form: FileFormat | None
    ends_line: bool

    @property
    def has_certificate(self) -> bool:
        """Whether there is a certificate, be it broken."""
        return "CERTIFICATE" in self.labels

    @property
    def has_key(self) -> bool:
        """Whether there is a private key, be it broken or encrypted."""
        return any(label.endswith("PRIVATE KEY") for label in self.labels)


@frozen
class Identity:
    """A certificate of our own, with its chain and its private key.

    Attributes:
        option: The option that names the certificate's file.
        path: The path of that file.
        leaf: The certificate.
        chain: The other certificates of the file, in its order: the
            authorities between the leaf and the root.
        key: The leaf's private key.
    """

    option: str
    path: str
    leaf: x509.Certificate
    chain: tuple[x509.Certificate, ...]
    key: PrivateKey = field(repr=False)


def identity(policy: TLSPolicy) -> Identity | None:
    """Read the certificate that the policy's `local_cert` names, with chain and key.

    Returns:
        The identity; None when the policy has no `local_cert`.

    Raises:
        BadCertificateFile: A file is missing, empty, not PEM, holds something
            else, or certificate and key do not belong together.
    """
    if policy.local_cert is None:
        return None
    files = CertificateFiles(policy.local_cert, policy.local_pk)
    return read_identity(policy, "local_cert", files)


def read_identity(policy: TLSPolicy, option: str, files: CertificateFiles) -> Identity:
    """Read a certificate, its chain and its key, and check that they belong together.

    Args:
        policy: Has the passphrase of the key, if it is encrypted.
        option: The option that names the files: ``local_cert`` or
            ``SNI_server_certs``.
        files: PEM files: of the leaf, then its chain, and the key before, between
            or after them; or of those and of the key.

    Raises:
        BadCertificateFile: As for `identity`.
    """
    file = _File.read(option, files.local_cert)
    leaf, *chain = file.certificates()
    key_file = file
    if files.local_pk is not None:
        key_option = "local_pk" if option == "local_cert" else option
        key_file = _File.read(key_option, files.local_pk, _EXPECTED["local_pk"])
    passphrase = _passphrase(policy)
    key = key_file.key(passphrase)
    if _spki(leaf) != _spki(key):
        if _spki(key) in map(_spki, chain):
            raise file.bad("its key belongs to a later certificate", "the leaf stands first")
        wrong = f"the key is not that of the certificate {display_subject(leaf)}"
        is_later = _spki(leaf) in map(_spki, key_file.later_keys(passphrase))
        raise key_file.bad(wrong, _LATER_KEY if is_later else "")
    return Identity(option, files.local_cert, leaf, tuple(chain), key)


def read_key(policy: TLSPolicy, option: str, path: str) -> PrivateKey:
    """Read the first private key of a PEM file.

    Args:
        policy: Names the passphrase.
        option: The option that names the file, for errors: ``local_pk``.
        path: The file.

    Raises:
        BadCertificateFile: The file is missing, empty or broken, holds no private
            key, or the passphrase does not open it.
    """
    return _File.read(option, path).key(_passphrase(policy))


def read_authorities(option: str, path: str) -> list[x509.Certificate]:
    """Read all certificates of a PEM file.

    Args:
        option: The option that names the file, for errors.
        path: The file.

    Raises:
        BadCertificateFile: The file is missing, empty or broken, or holds no
            certificate.
    """
    stamp = _file_stamp(path)
    is_small = stamp is not None and stamp[1] <= _MAX_CACHED
    read = _cached_authorities if is_small else _authorities
    return list(read(option, path, stamp))


def _authorities(
    option: str, path: str, stamp: tuple[int, int, int] | None
) -> tuple[x509.Certificate, ...]:
    return tuple(_File.read(option, path).certificates())


# Policies that differ otherwise often trust the same authorities: a context for each
# is built of a file that is parsed once for each of its states.
_cached_authorities: Final = functools.lru_cache(maxsize=32)(_authorities)
_MAX_CACHED: Final = 2**20
"""Bytes of a file; the platform's bundle of authorities has a fifth of it."""


def read_revocations(option: str, path: str) -> list[x509.CertificateRevocationList]:
    """Read all certificate revocation lists of a PEM file.

    Args:
        option: The option that names the file, for errors.
        path: The file.

    Raises:
        BadCertificateFile: The file is missing, empty or broken, or holds no
            revocation list.
    """
    file = _File.read(option, path)
    return file.blocks("revocation list", b"X509 CRL", x509.load_pem_x509_crl)


def read_contents(option: str, path: str) -> FileContents:
    """Look into a file without using what is in it.

    Args:
        option: The option that would name the file, for errors.
        path: The file.

    Raises:
        BadCertificateFile: The file is missing, empty, too large, or no file.
    """
    content = _File.read(option, path).content
    labels = _LABELS(content)
    return FileContents(
        tuple(label.decode() for label in labels[:_MAX_BLOCKS]),
        any(b"ENCRYPTED" in block for _, block in _key_blocks(content)),
        recognise_format(content),
        content.endswith(b"\n"),
    )


def same_key(one: PrivateKey | x509.Certificate, other: PrivateKey | x509.Certificate) -> bool:
    """Whether two certificates or keys have one public key; a key of unknown kind is no other's."""
    return _spki(one) is not None and _spki(one) == _spki(other)


def check_folder(option: str, path: str) -> None:
    """Check that `path` is a folder that this process can list.

    Args:
        option: The option that names the folder, for errors.
        path: The folder.

    Raises:
        BadCertificateFile: It is not such a folder.
    """
    try:
        os.listdir(path)
    except (OSError, ValueError) as problem:
        raise _bad(option, path, _reason(problem, path), _EXPECTED[option]) from problem


def policy_files(policy: TLSPolicy) -> tuple[str, ...]:
    """The paths of all files and folders that the policy names."""
    named = (policy.local_cert, policy.local_pk, policy.passphrase_file, policy.cafile)
    of_names = [files for _, files in policy.SNI_server_certs]
    more = (policy.capath, policy.crl, *(files.local_cert for files in of_names))
    keys = tuple(files.local_pk for files in of_names)
    return tuple(path for path in named + more + keys if path is not None)


def file_stamps(paths: tuple[str, ...]) -> Stamp:
    """The present state of these files; another state later means that one has changed."""
    return tuple(_file_stamp(path) for path in paths)


def display_subject(certificate: x509.Certificate) -> str:
    """A certificate's subject (RFC 4514), quoted, escaped and bounded, for messages."""
    return _display_name(lambda: certificate.subject)


def display_issuer(issued: x509.Certificate | x509.CertificateRevocationList) -> str:
    """The issuer of a certificate or list (RFC 4514), quoted, escaped, bounded, for messages."""
    return _display_name(lambda: issued.issuer)


def _display_name(name: Callable[[], x509.Name]) -> str:
    try:
        return ascii_repr(name().rfc4514_string(), 200)
    except Exception:
        # OpenSSL accepts a name whose bytes are not valid in its declared
        # string type (Latin-1 labelled T61String is common); cryptography
        # raises ValueError there, and TypeError for a bit string.
        return "unreadable"


def _file_stamp(path: str) -> tuple[int, int, int] | None:
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    # The change time (ctime), because chmod alone can make a file readable.
    return status.st_ctime_ns, status.st_size, status.st_ino


@frozen
class _File:
    """The content of a file, with the option that names the file."""

    option: str
    path: str
    expected: str
    content: bytes = field(repr=False)

    @classmethod
    def read(cls, option: str, path: str, expected: str | None = None) -> _File:
        """Read the file; refuse one that is not regular, empty or too large.

        Args:
            option: The option that names the file, for errors.
            path: The file.
            expected: What should be in it, if the option names files of two kinds.
        """
        expected = expected or _EXPECTED[option]
        try:
            # Opening a FIFO waits for a writer, perhaps for ever.
            content = _content(path) if stat.S_ISREG(os.stat(path).st_mode) else None
        except (OSError, ValueError) as problem:
            raise _bad(option, path, _reason(problem, path), expected) from problem
        if content is None:
            raise _bad(option, path, "it is a folder or a device, not a file", expected)
        if not content.strip():
            raise _bad(option, path, "it is empty", expected)
        if len(content) > _MAX_SIZE:
            raise _bad(option, path, "it is larger than 16 MiB", expected)
        return cls(option, path, expected, content)

    def bad(self, problem: str, hint: str = "") -> BadCertificateFile:
        """The error that names the option, the file and the problem, and what to do."""
        return _bad(self.option, self.path, problem, self.expected, hint=hint)

    def lacks(self, word: str, elsewhere: str = "") -> BadCertificateFile:
        """The error that there is no block of a kind, and what there is in its place.

        Args:
            word: What the file does not hold.
            elsewhere: Where that may be, if the file is not of another form.
        """
        form = recognise_format(self.content)
        if form is None:
            return self.bad(f"it holds no {word}{elsewhere or self._instead()}")
        command = form.command(self.option, self.path)
        problem = f"it holds no {word}, but {form.name}"
        hint = form.hint or ("convert it" if command else "")
        return _bad(self.option, self.path, problem, self.expected, hint=hint, command=command)

    def certificates(self) -> list[x509.Certificate]:
        """All certificates, in the file's order; at least one."""
        return self.blocks("certificate", b"CERTIFICATE", x509.load_pem_x509_certificate)

    def blocks(self, word: str, label: bytes, load: Callable[[bytes], _Loaded]) -> list[_Loaded]:
        """Load every PEM block of one kind.

        Args:
            word: What the block holds, for errors.
            label: The label in its BEGIN line (RFC 7468, section 2).
            load: Parses one block; raises ValueError for a broken one.

        Raises:
            BadCertificateFile: There is no such block, or one is broken.
        """
        begin, end = b"-----BEGIN %b-----" % label, b"-----END %b-----" % label
        loaded = []
        for number, block in enumerate(self.content.split(begin)[1:], 1):
            inside, found, _ = block.partition(end)
            try:
                if not found:
                    raise ValueError("its end is missing")
                loaded.append(load(begin + inside + end))
            except (ValueError, x509.InvalidVersion) as problem:
                reason = str(problem)[:200]
                raise self.bad(f"{word} {number} in it is broken ({reason})") from problem
        if not loaded:
            raise self.lacks(word)
        return loaded

    def key(self, passphrase: bytes) -> PrivateKey:
        """The file's first private key, opened with the passphrase if it is encrypted.

        Args:
            passphrase: Empty when the policy has none.
        """
        label, block = next(_key_blocks(self.content), ("", b""))
        if not block and b"PRIVATE KEY-----" in self.content:
            raise self.bad("its key is broken (its end is missing)")
        if not block:
            elsewhere = ""
            if self.expected == _IDENTITY_FILE and b"-----BEGIN CERTIFICATE-----" in self.content:
                elsewhere = _KEY_ELSEWHERE[self.option]
            raise self.lacks("private key", elsewhere)
        return self._load_key(label, block, passphrase)

    def later_keys(self, passphrase: bytes) -> Iterator[PrivateKey]:
        """The private keys after the first; those that cannot be read are left out."""
        for label, block in itertools.islice(_key_blocks(self.content), 1, _MAX_KEYS):
            with contextlib.suppress(BadCertificateFile):
                yield self._load_key(label, block, passphrase)

    def _load_key(self, label: str, block: bytes, passphrase: bytes) -> PrivateKey:
        is_encrypted = b"ENCRYPTED" in block
        if is_encrypted and not passphrase:
            raise self.bad("its key is encrypted", "give passphrase or passphrase_file")
        try:
            key = load_pem_private_key(block, passphrase if is_encrypted else None)
        except (ValueError, UnsupportedAlgorithm) as problem:
            if is_encrypted:
                raise self.bad(
                    "the passphrase does not open its key", "give the one of this very key"
                ) from problem
            reason = str(problem)[:200]
            raise self.bad(f"its {label.lower()!r} is broken ({reason})") from problem
        if not isinstance(key, _KEY_TYPES):
            raise self.bad("its key is of a kind that TLS has no use for")
        return key

    def _instead(self) -> str:
        """The end of an error's sentence: what the file holds instead, if recognized."""
        labels = dict.fromkeys(_LABELS(self.content))
        if labels:
            names = " and ".join(repr(label.decode().lower()) for label in list(labels)[:4])
            return f", but {names} (are the files swapped?)"
        return " (it looks like DER)" if self.content[:1] == b"0" else ""


def _content(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(_MAX_SIZE + 1)


def _key_blocks(content: bytes) -> Iterator[tuple[str, bytes]]:
    """The label of each private key, and its PEM block; an empty one where the end is missing.

    Between the lines of a block are base64 and headers (RFC 1421, section 4.6), which have
    no five hyphens, so each end is looked for no further than at the next ones. One regular
    expression for the whole block would look through the rest of the file for each of a
    million first lines.
    """
    for begin in _KEY_BEGIN.finditer(content):
        last_line = b"-----END %b-----" % begin[1]
        end = content.find(b"-----", begin.end())
        is_whole = end >= 0 and content.startswith(last_line, end)
        yield begin[1].decode(), content[begin.start() : end + len(last_line)] if is_whole else b""


def _bad(
    option: str, path: str, problem: str, expected: str, *, hint: str = "", command: str = ""
) -> BadCertificateFile:
    expected = f"expected is {expected}"
    return BadCertificateFile(option, path, problem, hint, expected=expected, command=command)


def _reason(problem: Exception, path: str) -> str:
    reason = getattr(problem, "strerror", None) or str(problem)
    if not isinstance(problem, FileNotFoundError) or os.path.isabs(path):
        return reason
    try:
        folder = os.getcwd()
    except OSError:
        # The current folder itself was removed.
        return reason
    return f"{reason} (looked for in {escape_text(folder)})"


def _passphrase(policy: TLSPolicy) -> bytes:
    """The passphrase of the key, from the policy or its file; empty without one."""
    if policy.passphrase is not None:
        # A lone surrogate cannot be encoded, and the UnicodeEncodeError would
        # quote the whole passphrase. Passed on, it merely opens no key.
        return policy.passphrase.encode("utf-8", "surrogatepass")
    if policy.passphrase_file is None:
        return b""
    file = _File.read("passphrase_file", policy.passphrase_file)
    line = file.content.splitlines()[0]
    if not line:
        raise file.bad("its first line is empty")
    return line


def _spki(owner: PrivateKey | x509.Certificate) -> bytes | None:
    """The public key in DER, to compare; None for a kind that cryptography does not know."""
    try:
        return owner.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (ValueError, UnsupportedAlgorithm):
        return None
