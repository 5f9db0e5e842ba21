"""Makes certificates for development: an authority, and the certificates that it issues.

For tests, demonstrations and experiments. Tests need bad certificates as well,
so it also makes expired ones, ones without a name and ones for the wrong
purpose. None of them is for the public internet: only clients and servers that
are given `Authority.pem` trust them.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Final, Literal

from attrs import field, frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import (
    AuthorityInformationAccessOID,
    ExtendedKeyUsageOID,
    NameOID,
)

from txtransport.config.address import find_address
from txtransport.text import ascii_repr
from txtransport.tls.identity import spki_pin

__all__ = ["Authority", "Issued", "Key", "Purpose", "self_signed", "write_private"]

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
"""The kinds of private keys that are made here."""

Purpose = Literal["server", "client", "both"]
"""Who may use a certificate in TLS: servers, clients or both."""

# Certificates begin to be valid a little before now: a peer whose clock is
# behind ours would refuse one that is not valid yet.
_CLOCK_SKEW: Final = timedelta(minutes=5)
_EXTENDED_USAGES: Final = {
    "server": (ExtendedKeyUsageOID.SERVER_AUTH,),
    "client": (ExtendedKeyUsageOID.CLIENT_AUTH,),
    "both": (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH),
}


@frozen
class Issued:
    """A certificate with its private key and its chain.

    Attributes:
        certificate: The certificate (the leaf of the chain).
        key: Its private key.
        chain: The authorities between the leaf and the root, nearest first;
            the root is not among them.
    """

    certificate: x509.Certificate
    key: Key = field(repr=False)
    chain: tuple[x509.Certificate, ...] = ()

    @property
    def cert_pem(self) -> bytes:
        """The leaf and its chain, in PEM."""
        return b"".join(map(_pem, (self.certificate, *self.chain)))

    def key_pem(self, passphrase: str | None = None) -> bytes:
        """The private key, in PEM (PKCS #8).

        Args:
            passphrase: Encrypts the key; None leaves it unencrypted.
        """
        encryption: KeySerializationEncryption = NoEncryption()
        if passphrase is not None:
            encryption = BestAvailableEncryption(passphrase.encode())
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)

    @property
    def pem(self) -> bytes:
        """Key, leaf and chain, in PEM: the content of a file for ``local_cert``."""
        return self.key_pem() + self.cert_pem

    @property
    def fingerprint(self) -> str:
        """The leaf's SHA-256 digest, 64 hex digits: what ``peer_fingerprint`` takes."""
        return self.certificate.fingerprint(hashes.SHA256()).hex()

    @property
    def spki_pin(self) -> str:
        """The base64 SHA-256 digest of the leaf's public key: what ``pin`` takes."""
        return spki_pin(self.certificate)


@frozen
class Authority:
    """A certificate authority, root or intermediate.

    Attributes:
        certificate: The authority's own certificate.
        key: The authority's private key.
        parents: The chain of what it issues: its own certificate and the
            authorities above it, nearest first, without the root. Empty for a
            root.
    """

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)
    parents: tuple[x509.Certificate, ...] = ()

    @classmethod
    def create(
        cls,
        common_name: str = "txtransport development CA",
        *,
        now: datetime | None = None,
        days: float = 3650,
    ) -> Authority:
        """Make a new root authority with a new key, in memory.

        Args:
            common_name: Its name, cut after 64 bytes.
            now: The start of its validity; the present by default.
            days: The length of its validity.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_name(common_name), key, now, days)
        builder = _authority(builder.issuer_name(_name(common_name)))
        return cls(builder.sign(key, hashes.SHA256()), key)

    def intermediate(
        self,
        common_name: str = "txtransport development intermediate CA",
        *,
        now: datetime | None = None,
        days: float = 1825,
    ) -> Authority:
        """Make an intermediate authority, signed by this one.

        Args:
            common_name: Its name, cut after 64 bytes.
            now: The start of its validity; the present by default.
            days: The length of its validity.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _authority(self._issued_by(_builder(_name(common_name), key, now, days)))
        certificate = builder.sign(self.key, hashes.SHA256())
        return Authority(certificate, key, (certificate, *self.parents))

    def issue(
        self,
        *names: str,
        common_name: str | None = None,
        purpose: Purpose = "server",
        not_before: datetime | None = None,
        not_after: datetime | None = None,
        now: datetime | None = None,
        days: float = 90,
        key: Literal["ec", "rsa"] = "ec",
        alternative_names: Sequence[x509.GeneralName] | None = None,
        issuer_place: str | None = None,
    ) -> Issued:
        """Issue a certificate with a new key.

        Args:
            *names: Its subject alternative names: DNS names in ASCII, which
                may begin with ``*.``, and IP addresses. Without any, no
                client accepts the certificate for any name.
            common_name: The subject's common name; the first of `names` by
                default. Clients ignore it.
            purpose: Who may use the certificate in TLS.
            not_before: The start of its validity; 5 minutes before `now` by
                default.
            not_after: The end of its validity; `days` after `now` by default.
            now: The present by default.
            days: The length of its validity.
            key: The kind of its key: P-256 or 2048-bit RSA.
            alternative_names: Takes the place of `names`, for tests that need
                other kinds of names.
            issuer_place: The URL of the issuer's certificate, for the
                authority information access extension.

        Returns:
            The certificate with its key; its ``pem`` is what ``local_cert`` takes.

        Raises:
            ValueError: One of `names` is neither a DNS name in ASCII nor an
                address, or the validity ends before it begins.
        """
        private = _key(key)
        subject = _subject(common_name, names)
        builder = _builder(subject, private, now, days, not_before, not_after)
        builder = _leaf(
            self._issued_by(builder), private, purpose, _general_names(names, alternative_names)
        )
        if issuer_place is not None:
            url = x509.UniformResourceIdentifier(issuer_place)
            access = x509.AccessDescription(AuthorityInformationAccessOID.CA_ISSUERS, url)
            builder = builder.add_extension(x509.AuthorityInformationAccess([access]), False)
        return Issued(builder.sign(self.key, hashes.SHA256()), private, self.parents)

    def revocation_list(
        self, *revoked: x509.Certificate, now: datetime | None = None, days: float = 7
    ) -> bytes:
        """Make a certificate revocation list, in PEM: the content of a file for ``crl``.

        Args:
            *revoked: Certificates that this authority issued.
            now: The start of the list's validity; the present by default.
            days: The length of the list's validity.
        """
        begin = (now or _now()) - _CLOCK_SKEW
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(begin)
            .next_update(begin + timedelta(days=days))
        )
        for certificate in revoked:
            entry = (
                x509.RevokedCertificateBuilder()
                .serial_number(certificate.serial_number)
                .revocation_date(begin)
            )
            builder = builder.add_revoked_certificate(entry.build())
        return builder.sign(self.key, hashes.SHA256()).public_bytes(Encoding.PEM)

    @property
    def pem(self) -> bytes:
        """The authority's certificate, in PEM: the content of a file for ``cafile``."""
        return _pem(self.certificate)

    def _issued_by(self, builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
        """Name this authority as the issuer."""
        ours = self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        identifier = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ours.value)
        return builder.issuer_name(self.certificate.subject).add_extension(identifier, False)


def self_signed(
    *names: str,
    common_name: str | None = None,
    purpose: Purpose = "server",
    now: datetime | None = None,
    days: float = 90,
) -> Issued:
    """Make a certificate that is signed with its own key.

    Args:
        *names: Its subject alternative names, as for `Authority.issue`.
        common_name: The subject's common name; the first of `names` by default.
        purpose: Who may use the certificate in TLS.
        now: The present by default.
        days: The length of its validity, from `now` on.

    Raises:
        ValueError: One of `names` is neither a DNS name in ASCII nor an address.
    """
    key = _key("ec")
    subject = _subject(common_name, names)
    builder = _builder(subject, key, now, days).issuer_name(subject)
    builder = _leaf(builder, key, purpose, _general_names(names, None))
    return Issued(builder.sign(key, hashes.SHA256()), key)


def write_private(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file that only its owner can read, completely or not at all.

    Args:
        path: The file; an existing one is replaced.
        data: The content, for example `Issued.pem`.

    Raises:
        OSError: The file cannot be written; an existing one is unchanged.
    """
    # mkstemp(3) creates the file with mode 0600, so that it is never readable
    # by others, whatever the umask.
    handle, temporary = tempfile.mkstemp(dir=os.path.dirname(os.fspath(path)) or ".")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _now() -> datetime:
    return datetime.now(timezone.utc)


def _key(kind: str) -> Key:
    if kind == "rsa":
        return rsa.generate_private_key(65537, 2048)
    return ec.generate_private_key(ec.SECP256R1())


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def _subject(common_name: str | None, names: Sequence[str]) -> x509.Name:
    return _name(common_name or "".join(names[:1]) or "nobody")


def _name(common_name: str) -> x509.Name:
    # ub-common-name (RFC 5280, appendix A); cryptography counts bytes.
    shortened = common_name.encode()[:64].decode(errors="ignore")
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, shortened)])


def _builder(
    subject: x509.Name,
    key: Key,
    now: datetime | None,
    days: float,
    not_before: datetime | None = None,
    not_after: datetime | None = None,
) -> x509.CertificateBuilder:
    begin = now or _now()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before or begin - _CLOCK_SKEW)
        .not_valid_after(not_after or begin + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
    )


def _authority(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
    """Add the extensions of an authority (RFC 5280, sections 4.2.1.3 and 4.2.1.9)."""
    return builder.add_extension(x509.BasicConstraints(True, None), True).add_extension(
        _usage("key_cert_sign", "crl_sign", "digital_signature"), True
    )


def _leaf(
    builder: x509.CertificateBuilder,
    key: Key,
    purpose: Purpose,
    names: Sequence[x509.GeneralName],
) -> x509.CertificateBuilder:
    """Add the extensions of a certificate that cannot issue others."""
    uses = ["digital_signature"]
    if isinstance(key, rsa.RSAPrivateKey):
        uses.append("key_encipherment")
    builder = (
        builder.add_extension(x509.BasicConstraints(False, None), True)
        .add_extension(_usage(*uses), True)
        .add_extension(x509.ExtendedKeyUsage(_EXTENDED_USAGES[purpose]), False)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), False)
    return builder


_KEY_USAGES: Final = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


def _usage(*uses: str) -> x509.KeyUsage:
    return x509.KeyUsage(**{use: use in uses for use in _KEY_USAGES})


def _general_names(
    names: Sequence[str], alternative_names: Sequence[x509.GeneralName] | None
) -> Sequence[x509.GeneralName]:
    if alternative_names is not None:
        return alternative_names
    return [_general_name(name) for name in names]


def _general_name(name: str) -> x509.GeneralName:
    address = find_address(name)
    if address is not None:
        return x509.IPAddress(address)
    if not name or not name.isascii() or not name.isprintable() or " " in name:
        raise ValueError(
            f"{ascii_repr(name, 80)} is no name for a certificate: a DNS name in ASCII, "
            "*.example.com, or an address"
        )
    return x509.DNSName(name)
