"""Verifies the peer of a connection of SSL 2.0 or SSL 3.0, as that of any TLS connection.

In TLS it is OpenSSL that builds the chain, asks `txtransport.tls.verification` about each of
its certificates, and knows of itself what a server's certificate may be for and how short
its key may be. Here the chain is built by OpenSSL's ``X509StoreContext``, which looks at
signatures, dates, constraints and revocation lists as it does there, but knows neither a
purpose nor a security level. So both are looked at here, over the chain that it returns:

- *purpose*: key usage and Netscape's type of the leaf, extended key usage of the leaf and of
  all that stands above it (RFC 5280, sections 4.2.1.3 and 4.2.1.12);
- *strength*, which is that of OpenSSL's security level 2: no signature of MD5 or SHA-1 but the
  last certificate's own, which is trusted for itself; no key of RSA under 2048 bits.

``X509StoreContext`` stops at the first thing that is wrong. Where ``allow_self_signed`` lets
that pass, the chain is built anew with the leaf as its own authority, so that its dates
and all else are looked at as well.

Name, fingerprint and pin are the same code as everywhere, and so are the causes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from attrs import define, evolve, field, frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from OpenSSL import SSL, crypto

from txtransport.config.policy import Side, TLSPolicy, Verify
from txtransport.tls.authority import authority_problem
from txtransport.tls.connection import CertificateProblem, VerificationResult
from txtransport.tls.context import store_flags
from txtransport.tls.identity import spki_pin
from txtransport.tls.verification import (
    _demands_certificate,
    _problem,
    _tolerate_or_refuse,
    _unexamined,
    _verify_leaf,
)

__all__ = ["PeerVerifier", "TrustedAuthorities"]

# X509_V_ERR_CERT_CHAIN_TOO_LONG, …_INVALID_PURPOSE, …_EE_KEY_TOO_SMALL, …_CA_KEY_TOO_SMALL and
# …_CA_MD_TOO_WEAK (x509_vfy.h).
_TOO_LONG: Final = 22
_WRONG_PURPOSE: Final = 26
_SHORT_KEY: Final = 66
_SHORT_KEY_OF_AUTHORITY: Final = 67
_WEAK_DIGEST: Final = 68
_WEAK: Final = frozenset({_SHORT_KEY, _SHORT_KEY_OF_AUTHORITY, _WEAK_DIGEST})


@frozen
class TrustedAuthorities:
    """The authorities that a peer's certificate may be of.

    Attributes:
        context: Has them in its store, and makes no connection; None where nobody is verified.
        lists: The revocation lists of the policy.
    """

    context: SSL.Context | None = None
    lists: tuple[x509.CertificateRevocationList, ...] = ()

    def store(self) -> crypto.X509Store:
        """The store of the authorities; it is good as long as this value lives."""
        store = None if self.context is None else self.context.get_cert_store()
        return store or crypto.X509Store()

    def store_of(self, leaf: crypto.X509, policy: TLSPolicy) -> crypto.X509Store:
        """A store that trusts one certificate and no other.

        Args:
            leaf: The certificate.
            policy: What its chain, which is itself, must be.
        """
        store = crypto.X509Store()
        store.add_cert(leaf)
        for each in self.lists:
            store.add_crl(each)
        store.set_flags(store_flags(policy) | crypto.X509StoreFlags.PARTIAL_CHAIN)
        return store


@define
class PeerVerifier:
    """Decides once, in a handshake, whether the peer is acceptable.

    Attributes:
        policy: What the peer must be.
        side: Whether we are the client or the server.
        trusted: Of which authorities its certificate may be.
        verification: What was seen, and what is wrong.
        is_missing: Whether the peer was refused because it has shown no certificate.
    """

    policy: TLSPolicy
    side: Side
    trusted: TrustedAuthorities = field(repr=False)
    verification: VerificationResult = field(factory=VerificationResult)
    is_missing: bool = False

    def __call__(self, shown: tuple[bytes, ...]) -> bool:
        """Whether the peer is who the policy demands; `verification` says why not.

        Args:
            shown: The certificates that the peer has shown, in DER, leaf first.
        """
        result = self.verification
        if not shown:
            self.is_missing = _demands_certificate(self.policy, self.side)
            return not self.is_missing
        try:
            self._verify(shown)
        except Exception as error:
            # Could not be verified is not verified.
            result.problems.append(_unexamined(0, 0, error))
        if not result.problems and not result.is_leaf_accepted:
            result.problems.append(_unexamined(0, 0, ValueError("verification did not end")))
        if result.problems:
            result.problems[0] = self._with_way_out(result.problems[0], shown[0])
        return not result.problems

    def _verify(self, shown: Sequence[bytes]) -> None:
        leaf = x509.load_der_x509_certificate(shown[0])
        self.verification.shown[0] = shown[0]
        others = [crypto.load_certificate(crypto.FILETYPE_ASN1, der) for der in shown[1:]]
        chain = self._built(crypto.X509.from_cryptography(leaf), others)
        if chain is None:
            return
        for depth, certificate in enumerate(chain):
            self.verification.shown[depth] = certificate.public_bytes(Encoding.DER)
        problems = [*_problems(chain, self.policy, self.side)]
        # Not by all(): each is to be looked at, and told.
        passed = [_tolerate_or_refuse(self, problem, chain[problem.depth]) for problem in problems]
        if False not in passed:
            # The leaf comes last, as OpenSSL asks of a chain.
            _verify_leaf(self, leaf, chain[::-1])

    def _built(
        self, leaf: crypto.X509, others: list[crypto.X509], store: crypto.X509Store | None = None
    ) -> list[x509.Certificate] | None:
        """The chain from the leaf to an authority that is trusted; None if there is none.

        Args:
            leaf: The peer's own certificate.
            others: Those that it has shown behind it.
            store: Whom to trust, in place of the policy's authorities.
        """
        context = crypto.X509StoreContext(store or self.trusted.store(), leaf, others)
        try:
            return [each.to_cryptography() for each in context.get_verified_chain()]
        except crypto.X509StoreContextError as refusal:
            code, depth, _ = refusal.errors
            certificate = refusal.certificate.to_cryptography()
            self.verification.shown[depth] = certificate.public_bytes(Encoding.DER)
            if not _tolerate_or_refuse(self, _problem(code, depth, certificate), certificate):
                return None
        if self.policy.verifies(self.side) is Verify.NO:
            return [leaf.to_cryptography()]
        # It is its own authority, and that may pass; all else may not.
        return self._built(leaf, [], self.trusted.store_of(leaf, self.policy))

    def _with_way_out(self, problem: CertificateProblem, leaf: bytes) -> CertificateProblem:
        """The problem with what to do about a device that cannot get a better certificate."""
        remedy = self._way_out(problem, leaf)
        if not remedy:
            return problem
        diagnosis = problem.diagnosis
        if problem.code in _WEAK:
            diagnosis = evolve(diagnosis, remedy="The peer must get a stronger one")
        told = f"{diagnosis.remedy}. {remedy}" if diagnosis.remedy else remedy
        return evolve(problem, diagnosis=evolve(diagnosis, remedy=told))

    def _way_out(self, problem: CertificateProblem, leaf: bytes) -> str:
        if problem.diagnosis.cause in ("fingerprint", "revoked"):
            return ""
        try:
            certificate = x509.load_der_x509_certificate(leaf)
            fingerprint, pin = certificate.fingerprint(hashes.SHA256()).hex(), spki_pin(certificate)
        except Exception:
            # It cannot be read, so that it cannot be accepted either.
            return ""
        if self.side is Side.CLIENT:
            return _PIN_DEVICE.format(fingerprint=fingerprint)
        return _PIN_CLIENT.format(pin=pin) if problem.code in _WEAK else ""


_PIN_DEVICE: Final = (
    "If the device has no other, and this is its own (compare at its console), accept this one and "
    "none else: verify_peer=no&verify_peer_name=no&peer_fingerprint={fingerprint}"
)
_PIN_CLIENT: Final = "If this key is the client's, security_level=0&pin={pin} accepts it"


# --- what X509StoreContext does not look at ----------------------------------------


def _problems(
    chain: Sequence[x509.Certificate], policy: TLSPolicy, side: Side
) -> Iterator[CertificateProblem]:
    """What is wrong with a chain that OpenSSL accepts.

    Args:
        chain: The leaf first, the trusted authority last.
        policy: What the chain must be.
        side: Whether we are the client or the server.
    """
    if len(chain) - 2 > policy.verify_depth:
        yield _problem(_TOO_LONG, len(chain) - 1, chain[-1])
    for depth, certificate in enumerate(chain):
        no_authority = authority_problem(certificate, depth)
        if no_authority is not None:
            yield no_authority
        if not _is_for(_PURPOSES[side], certificate, is_leaf=not depth):
            yield _problem(_WRONG_PURPOSE, depth, certificate)
        if policy.security_level == 0:
            continue
        if not _is_long(certificate):
            yield _problem(_SHORT_KEY_OF_AUTHORITY if depth else _SHORT_KEY, depth, certificate)
        if depth < len(chain) - 1 and not _is_well_signed(certificate):
            yield _problem(_WEAK_DIGEST, depth, certificate)


@frozen
class _Purpose:
    """What a peer's certificate must be for.

    Attributes:
        extended: The extended key usages of which it must have one, if it has any.
        usages: The key usages of which a leaf must have one, if it has any.
        netscape: The bit that a leaf of Netscape's time must have in its type, if it has one.
    """

    extended: frozenset[x509.ObjectIdentifier]
    usages: Callable[[x509.KeyUsage], Iterable[bool]]
    netscape: int


# By our side. As OpenSSL has it (X509_check_purpose(3)): the step-up usages of Netscape and
# Microsoft are a server's as well, and "any" is nobody's.
_PURPOSES: Final = {
    Side.CLIENT: _Purpose(
        frozenset(
            {
                ExtendedKeyUsageOID.SERVER_AUTH,
                x509.ObjectIdentifier("2.16.840.1.113730.4.1"),
                x509.ObjectIdentifier("1.3.6.1.4.1.311.10.3.3"),
            }
        ),
        lambda usage: (usage.digital_signature, usage.key_encipherment, usage.key_agreement),
        0x40,
    ),
    Side.SERVER: _Purpose(
        frozenset({ExtendedKeyUsageOID.CLIENT_AUTH}),
        lambda usage: (usage.digital_signature, usage.key_agreement),
        0x80,
    ),
}


def _is_for(purpose: _Purpose, certificate: x509.Certificate, *, is_leaf: bool) -> bool:
    """Whether a certificate, or what is below an authority, may be for a purpose."""
    extensions = certificate.extensions
    try:
        extended = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        pass
    else:
        if purpose.extended.isdisjoint(extended):
            return False
    if not is_leaf:
        # Whether its key may sign certificates OpenSSL has looked at.
        return True
    if not _netscape_type(certificate) & purpose.netscape:
        return False
    try:
        usage = extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return any(purpose.usages(usage))


_NETSCAPE_TYPE: Final = x509.ObjectIdentifier("2.16.840.1.113730.1.1")
_ANY_TYPE: Final = 0xFF


def _netscape_type(certificate: x509.Certificate) -> int:
    """The bits of nsCertType, by which certificates once said their purpose."""
    for extension in certificate.extensions:
        if extension.oid == _NETSCAPE_TYPE:
            assert isinstance(extension.value, x509.UnrecognizedExtension)
            # A bit string of one byte, in DER (X.690, section 8.6).
            return extension.value.value[3] if len(extension.value.value) == 4 else 0
    return _ANY_TYPE


_SHORTEST: Final = 2048
_SHORTEST_CURVE: Final = 224
"""Bits: 112 bits of strength, OpenSSL's security level 2 (SSL_CTX_set_security_level(3))."""


def _is_long(certificate: x509.Certificate) -> bool:
    key = certificate.public_key()
    if isinstance(key, (rsa.RSAPublicKey, dsa.DSAPublicKey)):
        return key.key_size >= _SHORTEST
    return not isinstance(key, ec.EllipticCurvePublicKey) or key.key_size >= _SHORTEST_CURVE


def _is_well_signed(certificate: x509.Certificate) -> bool:
    # None for a signature that has its digest built in (EdDSA).
    return not isinstance(certificate.signature_hash_algorithm, (hashes.MD5, hashes.SHA1))
