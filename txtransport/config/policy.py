"""`TLSPolicy`: what one side demands of TLS, as a frozen value.

The TLS options of a URL become a policy (`txtransport.config.settings`), or a
program makes one itself. A policy is data only: it has names of files and opens
none, and it knows no OpenSSL. `txtransport.tls` builds an OpenSSL context from a
policy, and equal policies share one context.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from enum import Enum

from attrs import evolve, field, frozen

__all__ = ["VERSIONS", "CertificateFiles", "Side", "TLSPolicy", "Verify"]


class Side(Enum):
    """Which end of a TLS connection we are: the client connects, the server listens."""

    CLIENT = "client"
    SERVER = "server"


class Verify(Enum):
    """Whether the peer must show a certificate, and the certificate must be trusted.

    With `OPTIONAL`, for servers only, a client need not show a certificate;
    when it shows one, the certificate must be trusted.
    """

    NO = "no"
    OPTIONAL = "optional"
    YES = "yes"


VERSIONS = ("1.0", "1.1", "1.2", "1.3")
"""The versions of TLS, oldest first."""


@frozen
class CertificateFiles:
    """The files of a certificate of ours.

    Attributes:
        local_cert: PEM file of the certificate and its chain, leaf first.
        local_pk: PEM file of the certificate's key, when it is not in `local_cert`.
    """

    local_cert: str
    local_pk: str | None = None


_Files = str | CertificateFiles | Mapping[str, str]


def _as_tuple(given: str | Iterable[str]) -> tuple[str, ...]:
    # A string is one name. Iterating over it would give a name for each letter.
    return (given,) if isinstance(given, str) else tuple(given)


def _as_digests(given: str | Iterable[str] | Mapping[str, str]) -> tuple[str, ...]:
    if not isinstance(given, Mapping):
        return _as_tuple(given)
    if len(given) != 1:
        # In PHP all digests of a mapping must match, here one of several.
        raise ValueError("peer_fingerprint as a mapping has one algorithm and its digest")
    return tuple(given.values())


def _as_files(given: _Files) -> CertificateFiles:
    if isinstance(given, Mapping):
        return CertificateFiles(**given)
    return given if isinstance(given, CertificateFiles) else CertificateFiles(given)


def _as_pairs(
    given: Mapping[str, _Files] | Iterable[tuple[str, _Files]],
) -> tuple[tuple[str, CertificateFiles], ...]:
    pairs = given.items() if isinstance(given, Mapping) else given
    return tuple((name, _as_files(files)) for name, files in pairs)


@frozen(cache_hash=True)
class TLSPolicy:
    """What one side demands of TLS. Each attribute has the name of its option.

    The defaults are safe: a client verifies the chain of certificates against
    the platform's authorities, and the name; a server asks for no certificate.

    Attributes:
        verify_peer: Whether the peer must show a trusted certificate; None
            means yes for clients and no for servers.
        verify_peer_name: Whether the certificate must be for `peer_name`; None
            means yes for clients and no for servers.
        peer_name: The name or address that the peer's certificate must be for;
            clients send it as SNI.
        allow_self_signed: Accept a leaf certificate that is signed with its
            own key, and by no authority. If its signature cannot be verified
            (MD5), it needs a matching `peer_fingerprint` or `pin` as well.
        cafile: PEM file of the authorities to trust, in place of the platform's. A
            chain ends at the first of them; with `pin` only at a root.
        capath: OpenSSL hashed folder of the authorities to trust.
        local_cert: PEM file of our certificate and its chain, leaf first.
        local_pk: PEM file of the certificate's key, when it is not in
            `local_cert`.
        passphrase: The passphrase of the key; never shown.
        passphrase_file: File whose first line is the passphrase.
        verify_depth: How many authorities may stand between leaf and root.
        x509_strict: Refuse certificates that break rules of RFC 5280 which OpenSSL
            otherwise lets pass.
        ciphers: OpenSSL list for TLS 1.2 and older; None is OpenSSL's default and,
            on servers of TLS 1.2 or newer, Mozilla's intermediate profile.
        security_level: OpenSSL's security level, 0 to 5; None is OpenSSL's
            default. SSL 2.0 and SSL 3.0 have 0 alone, with `peer_fingerprint` or `pin`.
        min_version: Oldest version of TLS to speak, one of `VERSIONS`; or ``SSLv2`` or
            ``SSLv3``, which is then `max_version` as well.
        max_version: Newest version of TLS to speak, one of `VERSIONS`; or ``SSLv2`` or
            ``SSLv3``.
        allow_broken_ssl: Whether SSL 2.0 or SSL 3.0 may be spoken; both versions must
            name it as well.
        alpn_protocols: Names of application protocols (ALPN), the preferred
            first; without any, those of the application's factory.
        alpn_mismatch: What a server does with a client that offers only other
            application protocols: ``refuse``, or ``ignore``, which goes on
            without one.
        SNI_enabled: Whether a client names the peer in its ClientHello.
        SNI_server_certs: ``(name, files)`` pairs for servers of many names;
            ``*.example.com`` matches one label. May be given as a mapping of names to
            PEM files, or to PHP's ``{"local_cert": …, "local_pk": …}``.
        peer_fingerprint: Digests of the peer's certificate, one of which must
            match; lower-case hex, 64 (SHA-256), 96 or 128 digits. May be given as
            PHP's ``{"sha256": digest}``.
        pin: Base64 SHA-256 digests of public keys (SPKI), one of which must be
            in the peer's chain.
        honor_cipher_order: Whether a server chooses the cipher by its own
            order of preference, and not by the client's.
        no_ticket: No session tickets, hence no resumption of sessions.
        crl: PEM file of revocation lists, in which the leaf is looked up.
        keylog: File to which the secrets of each connection are appended.
    """

    verify_peer: Verify | None = None
    verify_peer_name: bool | None = None
    peer_name: str | None = None
    allow_self_signed: bool = False
    cafile: str | None = None
    capath: str | None = None
    local_cert: str | None = None
    local_pk: str | None = None
    passphrase: str | None = field(default=None, repr=lambda given: "***" if given else "None")
    passphrase_file: str | None = None
    verify_depth: int = 9
    x509_strict: bool = False
    ciphers: str | None = None
    security_level: int | None = None
    min_version: str = "1.2"
    max_version: str = "1.3"
    allow_broken_ssl: bool = False
    alpn_protocols: tuple[str, ...] = field(default=(), converter=_as_tuple)
    alpn_mismatch: str = "refuse"
    SNI_enabled: bool = True
    SNI_server_certs: tuple[tuple[str, CertificateFiles], ...] = field(
        default=(), converter=_as_pairs
    )
    peer_fingerprint: tuple[str, ...] = field(default=(), converter=_as_digests)
    pin: tuple[str, ...] = field(default=(), converter=_as_tuple)
    honor_cipher_order: bool = True
    no_ticket: bool = False
    crl: str | None = None
    keylog: str | None = None

    def for_peer(self, name: str) -> TLSPolicy:
        """This policy with `name` as its `peer_name`, unless it has a `peer_name` already."""
        return self if self.peer_name is not None else _named(self, name)

    @property
    def without_peer(self) -> TLSPolicy:
        """This policy without its `peer_name`."""
        return self if self.peer_name is None else _named(self, None)

    def verifies(self, side: Side) -> Verify:
        """Whether we check the peer's chain of certificates when we are on `side`."""
        if self.verify_peer is not None:
            return self.verify_peer
        return Verify.YES if side is Side.CLIENT else Verify.NO

    def verifies_name(self, side: Side) -> bool:
        """Whether we check that the certificate is for `peer_name` when we are on `side`."""
        if self.verify_peer_name is not None:
            return self.verify_peer_name
        return side is Side.CLIENT


# Copying all fields takes longer than everything else in making an endpoint.
@functools.lru_cache(maxsize=1024)
def _named(policy: TLSPolicy, name: str | None) -> TLSPolicy:
    return evolve(policy, peer_name=name)
