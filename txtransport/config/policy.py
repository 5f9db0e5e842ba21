"""What one side demands of TLS, as a value.

A `TLSPolicy` is what the TLS options of a URL come to. It opens no file and
knows no OpenSSL; two equal policies are served by one context.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from enum import Enum

from attrs import evolve, field, frozen


class Side(Enum):
    """Who is speaking: the one that connects, or the one that listens."""

    CLIENT = "client"
    SERVER = "server"


class Verify(Enum):
    """Whether the peer must show a certificate that we trust."""

    NO = "no"
    OPTIONAL = "optional"
    YES = "yes"


VERSIONS = ("1.0", "1.1", "1.2", "1.3")
"""The versions of TLS, oldest first."""


def _several(given: str | Iterable[str]) -> tuple[str, ...]:
    # A string is one name; as an iterable it would be a name for each letter.
    return (given,) if isinstance(given, str) else tuple(given)


def _pairs(given: Mapping[str, str] | tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    return tuple(given.items()) if isinstance(given, Mapping) else tuple(given)


@frozen(cache_hash=True)
class TLSPolicy:
    """What one side demands of TLS; the names are those of the options.

    Every attribute has the safe default of its side: clients verify the chain
    and the name against the platform's trust, servers ask for no certificate.
    `txtransport.config.options` holds the meaning of each.

    Attributes:
        verify_peer: Whether the peer must show a trusted certificate; None is
            the side's default, yes for clients and no for servers.
        verify_peer_name: Whether the certificate must be for `peer_name`; None
            is the side's default, as above.
        peer_name: The name or address that the peer's certificate must be for;
            clients send it as SNI.
        allow_self_signed: Accept a leaf that no one but itself vouches for.
        cafile: PEM file of the authorities to trust, in place of the platform's.
        capath: OpenSSL hashed folder of them.
        local_cert: PEM file of our certificate and its chain, leaf first.
        local_pk: PEM file of its key, when not in `local_cert`.
        passphrase: Of that key; never shown.
        passphrase_file: File whose first line is the passphrase.
        verify_depth: How many authorities may stand between leaf and root.
        ciphers: OpenSSL list for TLS 1.2 and older.
        security_level: OpenSSL's, 0 to 5; None is the library's default.
        min_version: Oldest version to speak, one of `VERSIONS`.
        max_version: Newest version to speak.
        alpn_protocols: Application protocols, the preferred first.
        SNI_enabled: Whether a client names the peer in its hello.
        SNI_server_certs: ``(name, PEM file)`` pairs for servers of many names;
            ``*.example.com`` matches one label.
        peer_fingerprint: Digests of the peer's certificate, one of which must
            match; lower-case hex, 64 (SHA-256), 96 or 128 digits.
        pin: Base64 SHA-256 digests of public keys (SPKI), one of which must be
            in the peer's chain.
        honor_cipher_order: Servers choose by their own order.
        no_ticket: No session tickets, hence no resumption.
        crl: PEM file of revocation lists; the leaf is looked up in them.
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
    ciphers: str | None = None
    security_level: int | None = None
    min_version: str = "1.2"
    max_version: str = "1.3"
    alpn_protocols: tuple[str, ...] = field(default=(), converter=_several)
    SNI_enabled: bool = True
    SNI_server_certs: tuple[tuple[str, str], ...] = field(default=(), converter=_pairs)
    peer_fingerprint: tuple[str, ...] = field(default=(), converter=_several)
    pin: tuple[str, ...] = field(default=(), converter=_several)
    honor_cipher_order: bool = True
    no_ticket: bool = False
    crl: str | None = None

    def for_peer(self, name: str) -> TLSPolicy:
        """This policy for a peer of that name, unless it names one already."""
        return self if self.peer_name is not None else _named(self, name)

    @property
    def without_peer(self) -> TLSPolicy:
        """This policy for a peer of any name: what a context is built for."""
        return self if self.peer_name is None else _named(self, None)

    def verifies(self, side: Side) -> Verify:
        """Whether the peer's chain is checked by the one on that side."""
        if self.verify_peer is not None:
            return self.verify_peer
        return Verify.YES if side is Side.CLIENT else Verify.NO

    def verifies_name(self, side: Side) -> bool:
        """Whether the peer's name is checked by the one on that side."""
        if self.verify_peer_name is not None:
            return self.verify_peer_name
        return side is Side.CLIENT


# A copy of so many fields takes longer than all the rest of making an endpoint.
@functools.lru_cache(maxsize=1024)
def _named(policy: TLSPolicy, name: str | None) -> TLSPolicy:
    return evolve(policy, peer_name=name)
