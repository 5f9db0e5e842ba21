"""Certificates for development: an authority of one's own, and what it issues.

For trying things out, for demonstrations and for tests, which need broken
certificates as well: expired ones, ones without a name, ones for the wrong
purpose. Nothing here is for the public internet; no one but the holder of
`Authority.pem` trusts it.
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
from txtransport.tls.identity import spki_pin

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
Purpose = Literal["server", "client", "both"]

# Clocks differ, and a certificate that begins later than the peer's now is
# refused.
_SKEW: Final = timedelta(minutes=5)
_PURPOSES: Final = {
    "server": (ExtendedKeyUsageOID.SERVER_AUTH,),
    "client": (ExtendedKeyUsageOID.CLIENT_AUTH,),
    "both": (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH),
}


@frozen
class Issued:
    """A certificate with its key, and the chain up to the root, without the root.

    Attributes:
        certificate: The leaf.
        key: Its private key.
        chain: The authorities between it and the root, the nearest first.
    """

    certificate: x509.Certificate
    key: Key = field(repr=False)
    chain: tuple[x509.Certificate, ...] = ()

    @property
    def cert_pem(self) -> bytes:
        """The leaf and its chain, as PEM."""
        return b"".join(map(_pem, (self.certificate, *self.chain)))

    def key_pem(self, passphrase: str | None = None) -> bytes:
        """The key, as PEM.

        Args:
            passphrase: Encrypts it, when given.
        """
        encryption: KeySerializationEncryption = NoEncryption()
        if passphrase is not None:
            encryption = BestAvailableEncryption(passphrase.encode())
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)

    @property
    def pem(self) -> bytes:
        """Key, leaf and chain: what ``local_cert`` takes."""
        return self.key_pem() + self.cert_pem

    @property
    def fingerprint(self) -> str:
        """The leaf's SHA-256 digest, 64 hex digits: what ``peer_fingerprint`` takes."""
        return self.certificate.fingerprint(hashes.SHA256()).hex()

    @property
    def spki_pin(self) -> str:
        """The digest of its public key: what ``pin`` takes."""
        return spki_pin(self.certificate)


@frozen
class Authority:
    """A certificate authority.

    Attributes:
        certificate: Its own certificate.
        key: Its private key.
        parents: The authorities above it, without the root; the nearest first.
            Its own certificate is the first of them when it is no root.
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
        """A new root.

        Args:
            common_name: Its name, cut after 64 bytes.
            now: When it begins to be valid; the present by default.
            days: How long it is valid.

        Returns:
            The authority, with a key of its own; nothing is written anywhere.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_named(common_name), key, now, days)
        builder = _authority(builder.issuer_name(_named(common_name)), key)
        return cls(builder.sign(key, hashes.SHA256()), key)

    def intermediate(
        self,
        common_name: str = "txtransport development intermediate CA",
        *,
        now: datetime | None = None,
        days: float = 1825,
    ) -> Authority:
        """An authority below this one; what it issues carries it in its chain.

        Args:
            common_name: Its name, cut after 64 bytes.
            now: When it begins to be valid; the present by default.
            days: How long it is valid.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _authority(self._below(_builder(_named(common_name), key, now, days)), key)
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
        """A certificate.

        Args:
            *names: DNS names, in ASCII, perhaps beginning with ``*.``, and
                addresses. Without any, the certificate is for no one.
            common_name: The subject; the first name by default. No one looks
                at it.
            purpose: Whose certificate it may be.
            not_before: When it begins to be valid; just before now by default.
            not_after: When it ends to be; `days` after now by default.
            now: The present by default.
            days: How long it is valid.
            key: The kind of its key.
            alternative_names: In place of `names`, for odd ones.
            issuer_place: The URL at which the issuer's certificate is to be had.

        Returns:
            The certificate with its key; its ``pem`` is what ``local_cert`` takes.

        Raises:
            ValueError: A name cannot be one.
        """
        private = _key(key)
        subject = _subject(common_name, names)
        builder = _builder(subject, private, now, days, not_before, not_after)
        builder = _leaf(self._below(builder), private, purpose, _general(names, alternative_names))
        if issuer_place is not None:
            place = x509.UniformResourceIdentifier(issuer_place)
            access = x509.AccessDescription(AuthorityInformationAccessOID.CA_ISSUERS, place)
            builder = builder.add_extension(x509.AuthorityInformationAccess([access]), False)
        return Issued(builder.sign(self.key, hashes.SHA256()), private, self.parents)

    def revocation_list(
        self, *revoked: x509.Certificate, now: datetime | None = None, days: float = 7
    ) -> bytes:
        """A list of what this authority has revoked, as PEM: what ``crl`` takes.

        Args:
            *revoked: Certificates that it issued.
            now: When the list begins to be valid; the present by default.
            days: How long it is valid.
        """
        begin = (now or _now()) - _SKEW
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
        """Its certificate, as PEM: what ``cafile`` takes."""
        return _pem(self.certificate)

    def _below(self, builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
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
    """A certificate that no one but itself vouches for.

    Args:
        *names: DNS names and addresses.
        common_name: The subject; the first name by default.
        purpose: Whose certificate it may be.
        now: The present by default.
        days: How long it is valid.

    Raises:
        ValueError: A name cannot be one.
    """
    key = _key("ec")
    subject = _subject(common_name, names)
    builder = _builder(subject, key, now, days).issuer_name(subject)
    builder = _leaf(builder, key, purpose, _general(names, None))
    return Issued(builder.sign(key, hashes.SHA256()), key)


def write_private(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file that only its owner can read, whole or not at all.

    Args:
        path: Is replaced if it is there.
        data: For example `Issued.pem`.
    """
    # mkstemp makes it 0600 from the first moment.
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
    return _named(common_name or "".join(names[:1]) or "nobody")


def _named(common_name: str) -> x509.Name:
    # ub-common-name (RFC 5280, appendix A); cryptography counts bytes.
    fitting = common_name.encode()[:64].decode(errors="ignore")
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, fitting)])


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
        .not_valid_before(not_before or begin - _SKEW)
        .not_valid_after(not_after or begin + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
    )


def _authority(builder: x509.CertificateBuilder, key: Key) -> x509.CertificateBuilder:
    return builder.add_extension(x509.BasicConstraints(True, None), True).add_extension(
        _usage("key_cert_sign", "crl_sign", "digital_signature"), True
    )


def _leaf(
    builder: x509.CertificateBuilder,
    key: Key,
    purpose: Purpose,
    names: Sequence[x509.GeneralName],
) -> x509.CertificateBuilder:
    uses = ["digital_signature"]
    if isinstance(key, rsa.RSAPrivateKey):
        uses.append("key_encipherment")
    builder = (
        builder.add_extension(x509.BasicConstraints(False, None), True)
        .add_extension(_usage(*uses), True)
        .add_extension(x509.ExtendedKeyUsage(_PURPOSES[purpose]), False)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), False)
    return builder


_USES: Final = (
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
    return x509.KeyUsage(**{use: use in uses for use in _USES})


def _general(
    names: Sequence[str], instead: Sequence[x509.GeneralName] | None
) -> Sequence[x509.GeneralName]:
    return instead if instead is not None else [_general_name(name) for name in names]


def _general_name(name: str) -> x509.GeneralName:
    address = find_address(name)
    if address is not None:
        return x509.IPAddress(address)
    if not name or not name.isascii() or not name.isprintable() or " " in name:
        raise ValueError(
            f"{name[:80]!a} is no name for a certificate: a DNS name in ASCII, *.example.com, "
            "or an address"
        )
    return x509.DNSName(name)
