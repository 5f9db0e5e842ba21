"""A folder with a development authority, and the certificates that it has issued.

The authority is made when the folder is first used, and kept: programs that
trust it also trust the certificates that later runs issue. A file that stands in
the way and was not made by ``txtransport devcert`` is never overwritten, unless
the user says so.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from typing import Final

from attrs import field, frozen
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec

from txtransport.config.address import is_address
from txtransport.config.policy import TLSPolicy
from txtransport.errors import BadCertificateFile
from txtransport.testing.devcert import Authority, Issued, Purpose, write_private
from txtransport.text import short_repr
from txtransport.tls import pem
from txtransport.tls.identity import expected_name

__all__ = ["AUTHORITY", "AUTHORITY_KEY", "Folder", "NotOurs", "file_name", "read_name"]

AUTHORITY: Final = "ca.pem"
"""The file with the authority's certificate, which everyone may read."""

AUTHORITY_KEY: Final = "ca-key.pem"
"""The file with the authority's key, which only the owner may read."""


class NotOurs(FileExistsError):
    """A file stands in the way that ``txtransport devcert`` did not make.

    Attributes:
        path: The file.
    """

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path} is in the way, and left as it is: {problem}")
        self.path = path


@frozen
class Folder:
    """A folder, and its authority.

    Attributes:
        path: The folder.
        authority: Its authority, made or found.
        is_new: Whether the authority was made just now, and is not written yet.
        is_replacing: Whether files that were not made here may be replaced.
    """

    path: str
    authority: Authority
    is_new: bool
    is_replacing: bool = field(kw_only=True)

    @classmethod
    def of(cls, path: str, *, is_replacing: bool = False) -> Folder:
        """Read the folder's authority, or make one; nothing is written yet.

        Args:
            path: The folder, which need not exist.
            is_replacing: Whether files that were not made here may be replaced.

        Raises:
            NotOurs: The authority's files are not an authority, or one that
                has expired.
        """
        files = [os.path.join(path, name) for name in (AUTHORITY, AUTHORITY_KEY)]
        if any(map(os.path.lexists, files)):
            try:
                return cls(path, _authority(*files), False, is_replacing=is_replacing)
            except NotOurs:
                if not is_replacing:
                    raise
        return cls(path, Authority.create(), True, is_replacing=is_replacing)

    @property
    def cafile(self) -> str:
        """The file with the authority's certificate."""
        return os.path.join(self.path, AUTHORITY)

    @property
    def key_file(self) -> str:
        """The file with the authority's key."""
        return os.path.join(self.path, AUTHORITY_KEY)

    def issue(
        self, names: Iterable[str], *, days: float = 90, purpose: Purpose = "server"
    ) -> tuple[str, Issued]:
        """Issue a certificate, and write it to a file that is named after its first name.

        Args:
            names: Whom the certificate is for, as `read_name` gives them.
            days: How long it is valid; it never outlives the authority.
            purpose: Whether it is for a server or a client.

        Returns:
            The path of the file, which only its owner may read, and its content.

        Raises:
            NotOurs: The file exists, and the authority has not issued it.
            OSError: The file cannot be written.
        """
        first, *more = dict.fromkeys(names)
        path = os.path.join(self.path, file_name(first))
        if os.path.lexists(path) and not self.is_replacing:
            self._require_issued(path)
        end = datetime.now(timezone.utc) + timedelta(days=days)
        end = min(end, self.authority.certificate.not_valid_after_utc)
        issued = self.authority.issue(first, *more, purpose=purpose, not_after=end)
        os.makedirs(self.path, exist_ok=True)
        if self.is_new:
            root = Issued(self.authority.certificate, self.authority.key)
            write_private(self.key_file, root.key_pem())
            write_private(self.cafile, root.cert_pem)
            os.chmod(self.cafile, 0o644)
        write_private(path, issued.pem)
        return path, issued

    def _require_issued(self, path: str) -> None:
        try:
            leaf = pem.read_authorities("local_cert", path)[0]
            leaf.verify_directly_issued_by(self.authority.certificate)
        except (BadCertificateFile, ValueError, TypeError, InvalidSignature):
            raise NotOurs(path, f"it is no certificate that {self.cafile} has issued") from None


def read_name(given: str) -> str:
    """A name in the form that certificates have: lower case, in ASCII.

    Args:
        given: A DNS name, international or not, perhaps with ``*.`` before it;
            or an address.

    Raises:
        ValueError: It is neither, or its file would have the name of the
            authority's.
    """
    star, name = ("*.", given[2:]) if given.startswith("*.") else ("", given)
    try:
        name = expected_name(name)
    except ValueError:
        name = ""
    if not name or (star and is_address(name)):
        raise ValueError(
            f"{short_repr(given)} is no name for a certificate: a DNS name, *.example.com, or an "
            "address, without scheme and port"
        )
    if file_name(star + name) in (AUTHORITY, AUTHORITY_KEY):
        raise ValueError(f"{file_name(star + name)} is the authority's; give another name first")
    return star + name


def file_name(name: str) -> str:
    """The file for the certificate of that name."""
    return re.sub("[^a-z0-9._-]", "_", name) + ".pem"


def _authority(cafile: str, key_file: str) -> Authority:
    """Read an authority that was made here.

    Raises:
        NotOurs: The files are something else, or the authority has expired.
    """
    try:
        own = pem.identity(TLSPolicy(local_cert=cafile, local_pk=key_file))
    except BadCertificateFile as problem:
        existing = cafile if os.path.lexists(cafile) else key_file
        raise NotOurs(existing, f"it takes two files to make an authority ({problem})") from problem
    assert own is not None
    if not isinstance(own.key, ec.EllipticCurvePrivateKey) or not _is_authority(own.leaf):
        raise NotOurs(cafile, "it is no authority that was made here")
    if own.leaf.not_valid_after_utc < datetime.now(timezone.utc):
        raise NotOurs(cafile, f"it is valid until {own.leaf.not_valid_after_utc:%Y-%m-%d} only")
    return Authority(own.leaf, own.key)


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        extensions = certificate.extensions
        extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        return extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (ValueError, x509.ExtensionNotFound):
        return False
