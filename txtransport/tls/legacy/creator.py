"""Makes the connections of SSL 2.0 and SSL 3.0: from a policy to files, ciphers and an engine.

What `txtransport.tls.creator` and `txtransport.tls.context` do for TLS, this module does for
the two versions that OpenSSL no longer has. It is the last place where consent is looked
at: whatever way a policy came here, it must name the version twice and allow it, and the
extra must be installed.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from attrs import field, frozen
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding

from txtransport.config.policy import Side, TLSPolicy, Verify
from txtransport.config.schemes import BROKEN_VERSIONS, is_legacy_installed
from txtransport.errors import BadCertificateFile, InvalidOption
from txtransport.text import short_repr
from txtransport.tls import pem
from txtransport.tls.connection import SecureConnection
from txtransport.tls.context import build_trust
from txtransport.tls.key_use import KeyUse, claim_keys
from txtransport.tls.legacy.connection import LayeredLegacyConnection, LegacyConnection
from txtransport.tls.legacy.engine import LegacyConfig, LegacyEngine, LegacyIdentity
from txtransport.tls.legacy.verification import PeerVerifier, TrustedAuthorities

if TYPE_CHECKING:
    from txtransport.tls.creator import SharedContext

__all__ = ["LegacyConnectionCreator", "LegacyContext", "read_legacy_context"]


@frozen
class LegacyContext:
    """What the connections of a policy share.

    Attributes:
        identity: Our certificate, if we have one.
        trusted: The authorities that the peer's certificate may be of.
        engine: The class of the engines.
        ciphers: The cipher suites, by OpenSSL's names, the preferred first.
        authorities: On servers, the names of the authorities that clients are told, in DER.
    """

    identity: LegacyIdentity | None = field(repr=False)
    trusted: TrustedAuthorities = field(repr=False)
    engine: type[LegacyEngine]
    ciphers: tuple[str, ...]
    authorities: tuple[bytes, ...] = field(repr=False)


@frozen
class LegacyConnectionCreator:
    """Makes the connections of one endpoint of SSL 2.0 or SSL 3.0.

    Attributes:
        policy: The policy; its `peer_name` is in the form that certificates use.
        side: Whether the connections are a client's or a server's.
        context: The files of the policy, shared by equal policies.
    """

    policy: TLSPolicy
    side: Side
    context: SharedContext[LegacyContext] = field(repr=False)

    def new_engine(self, protocols: tuple[bytes, ...] = ()) -> LegacyConnection:
        """Make what is the engine of one connection, and describes it as well.

        Args:
            protocols: The application's protocols, which these versions cannot name.
        """
        return LegacyConnection(*self._parts())

    def new_layered_connection(self, protocols: tuple[bytes, ...] = ()) -> LayeredLegacyConnection:
        """Make a connection that Twisted's TLS layer drives.

        Args:
            protocols: As for `new_engine`.
        """
        return LayeredLegacyConnection(*self._parts())

    def ended(self, connection: SecureConnection) -> None:
        """Nothing: sessions are not resumed."""

    def _parts(self) -> tuple[LegacyEngine, PeerVerifier]:
        context, policy, side = self.context.current(), self.policy, self.side
        verifier = PeerVerifier(policy, side, context.trusted)
        config = LegacyConfig(
            side,
            context.ciphers,
            verifier,
            context.identity,
            policy.verifies(side) if side is Side.SERVER else Verify.NO,
            context.authorities,
            policy.honor_cipher_order,
        )
        return context.engine(config), verifier


def read_legacy_context(policy: TLSPolicy, side: Side) -> LegacyContext:
    """Read the files of a policy of SSL 2.0 or SSL 3.0, and choose its engine.

    Args:
        policy: What to enforce.
        side: Whether the context is for clients or for servers.

    Raises:
        BadCertificateFile: A file that the policy names cannot be used.
        InvalidOption: The version is not allowed or not installed, a cipher is not known,
            or a server has no certificate.
    """
    _require_consent(policy)
    speaker = _SPEAKERS[policy.min_version]()
    ciphers = _ciphers(policy, speaker)
    own = pem.identity(policy)
    if own is None and side is Side.SERVER:
        raise InvalidOption("local_cert", "a server needs local_cert, the PEM file of its "
                            "certificate, chain and key")  # fmt: skip
    trusted, authorities = _trusted(policy, side)
    identity = None if own is None else _legacy_identity(own, policy)
    if own is not None:
        is_oracle = policy.min_version == "SSLv2" and side is Side.SERVER
        claim_keys([own], KeyUse.SSL2_SERVER if is_oracle else KeyUse.OTHER)
    return LegacyContext(identity, trusted, speaker.engine, ciphers, authorities)


def _require_consent(policy: TLSPolicy) -> None:
    scheme = BROKEN_VERSIONS.get(policy.min_version)
    if scheme is None or policy.max_version != policy.min_version:
        raise InvalidOption("min_version", "SSL 2.0 and SSL 3.0 are spoken alone: min_version and "
                            "max_version both name the one")  # fmt: skip
    assert scheme.danger is not None
    assert scheme.refusal is not None
    if not is_legacy_installed():
        missing = scheme.refusal
        raise InvalidOption("allow_broken_ssl", f"{missing.summary}; {missing.remedy}")
    if not policy.allow_broken_ssl:
        danger = scheme.danger
        raise InvalidOption("allow_broken_ssl", f"{danger.summary}; {danger.remedy}")


@frozen
class Speaker:
    """Who speaks a version.

    Attributes:
        engine: The class of its engines.
        ciphers: The suites that it knows, by OpenSSL's names, the preferred first.
        by_name: Those of them that are used only where ``ciphers`` names them.
    """

    engine: type[LegacyEngine]
    ciphers: tuple[str, ...]
    by_name: frozenset[str] = frozenset()


def _ssl2() -> Speaker:
    from txtransport.tls.legacy.ssl2 import SSL2_CIPHERS, SSL2_EXPORT_CIPHERS, SSL2Engine

    return Speaker(SSL2Engine, SSL2_CIPHERS, SSL2_EXPORT_CIPHERS)


def _ssl3() -> Speaker:
    with warnings.catch_warnings():
        # tlslite-ng imports asyncore, of which nothing here is used, where Python has it.
        warnings.simplefilter("ignore", DeprecationWarning)
        from txtransport.tls.legacy.ssl3 import SSL3Engine
        from txtransport.tls.legacy.ssl3_suites import SSL3_CIPHERS

    return Speaker(SSL3Engine, SSL3_CIPHERS)


# Each is imported when the first endpoint that names it is made.
_SPEAKERS: Final[dict[str, Callable[[], Speaker]]] = {"SSLv2": _ssl2, "SSLv3": _ssl3}


def _ciphers(policy: TLSPolicy, speaker: Speaker) -> tuple[str, ...]:
    """The cipher suites that the policy names, or those that are used where it names none."""
    if policy.ciphers is None:
        return tuple(name for name in speaker.ciphers if name not in speaker.by_name)
    # The separators of OpenSSL's lists (openssl-ciphers(1)).
    names = [name for name in re.split("[:, ]", policy.ciphers) if name]
    unknown = [name for name in names if name not in speaker.ciphers]
    if unknown or not names:
        raise InvalidOption(
            "ciphers",
            f"{policy.min_version} has no cipher {short_repr(unknown[0] if unknown else '')}; it "
            f"has {', '.join(speaker.ciphers)}",
        )
    return tuple(dict.fromkeys(names))


def _legacy_identity(own: pem.Identity, policy: TLSPolicy) -> LegacyIdentity:
    if not isinstance(own.key, RSAPrivateKey):
        raise BadCertificateFile(
            own.option, own.path, f"the key of {pem.display_subject(own.leaf)} is no RSA key, and "
            f"{policy.min_version} knows no other",
        )  # fmt: skip
    chain = (own.leaf, *own.chain)
    return LegacyIdentity(tuple(each.public_bytes(Encoding.DER) for each in chain), own.key)


def _trusted(policy: TLSPolicy, side: Side) -> tuple[TrustedAuthorities, tuple[bytes, ...]]:
    """The authorities that the policy trusts, and the names of those that stand in ``cafile``."""
    if side is Side.SERVER and policy.verifies(side) is Verify.NO:
        return TrustedAuthorities(), ()
    lists = [] if policy.crl is None else pem.read_revocations("crl", policy.crl)
    trusted = TrustedAuthorities(build_trust(policy, side), tuple(lists))
    if side is Side.CLIENT or policy.cafile is None:
        return trusted, ()
    named = pem.read_authorities("cafile", policy.cafile)
    return trusted, tuple(each.subject.public_bytes() for each in named)
