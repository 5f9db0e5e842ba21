"""A folder with a development authority, and the certificates that it has issued.

The authority is made when the folder is first used, and found again later, so
that what has once been told to trust it goes on doing so. A file that is in the
way and was not made here is left alone.
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

AUTHORITY: Final = "ca.pem"
"""The authority's certificate, which everyone may read."""

AUTHORITY_KEY: Final = "ca-key.pem"
"""Its key, which only the owner may read."""


class NotOurs(FileExistsError):
    """A file is in the way that was not made here."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path} is in the way, and left as it is: {problem}")
        self.path = path


@frozen
class Folder:
    """A folder, and its authority.

    Attributes:
        path: The folder.
        authority: Its authority, made or found.
        is_new: Whether it was made, and is not written yet.
        is_replacing: Whether files that were not made here may be replaced.
    """

    path: str
    authority: Authority
    is_new: bool
    is_replacing: bool = field(kw_only=True)

    @classmethod
    def of(cls, path: str, *, is_replacing: bool = False) -> Folder:
        """The folder of that path, which need not be there yet.

        Args:
            path: The folder.
            is_replacing: Whether files that were not made here may be replaced.

        Raises:
            NotOurs: It has something else in the authority's place, or an
                authority whose time is over.
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
        """A certificate in a file that is called like its first name.

        Args:
            names: As `read_name` gives them.
            days: How long it is valid, unless the authority ends before.
            purpose: Whose certificate it may be.

        Returns:
            The file, which is written and only its owner's, and what is in it.

        Raises:
            NotOurs: There is such a file, and the authority has not issued it.
            OSError: It cannot be written.
        """
        first, *more = dict.fromkeys(names)
        path = os.path.join(self.path, file_name(first))
        if os.path.lexists(path) and not self.is_replacing:
            self._recognise(path)
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

    def _recognise(self, path: str) -> None:
        try:
            leaf = pem.read_authorities("local_cert", path)[0]
            leaf.verify_directly_issued_by(self.authority.certificate)
        except (BadCertificateFile, ValueError, TypeError, InvalidSignature):
            raise NotOurs(path, f"it is no certificate that {self.cafile} has issued") from None


def read_name(given: str) -> str:
    """A name as certificates have it.

    Args:
        given: A DNS name, international or not, perhaps with ``*.`` before it;
            or an address.

    Raises:
        ValueError: It can be none of these, or the file would take the
            authority's place.
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
    """What the file with the certificate of that name is called."""
    return re.sub("[^a-z0-9._-]", "_", name) + ".pem"


def _authority(cafile: str, key_file: str) -> Authority:
    """The authority in those files."""
    try:
        own = pem.identity(TLSPolicy(local_cert=cafile, local_pk=key_file))
    except BadCertificateFile as problem:
        there = cafile if os.path.lexists(cafile) else key_file
        raise NotOurs(there, f"it takes two files to make an authority ({problem})") from problem
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
