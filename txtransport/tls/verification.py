"""Verifies that the peer is who the policy demands; every doubt is a refusal.

There are two moments at which a peer can be refused:

1. `verify_callback` is called by OpenSSL for each certificate of the chain, from the
   root to the leaf. A refusal there sends the peer an alert and, in TLS 1.3, comes
   before our own certificate is shown to it.
2. `verify_after_handshake` is called when OpenSSL finds the handshake complete. It
   verifies what the callback cannot have seen: a resumed session brings no chain, and
   a cipher without authentication no certificate at all.

Both add what they saw to `TLSConnection.verification`, from which
`txtransport.tls.failure` makes the error. An exception in either is a refusal, since
"could not be verified" must never become "verified".
"""

from __future__ import annotations

import time
from typing import Final

from attrs import evolve
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from OpenSSL import SSL, crypto

from txtransport.config.policy import Side, TLSPolicy, Verify
from txtransport.diagnosis.x509_errors import OF_CAUSE, diagnosis_of_x509
from txtransport.errors import Diagnosis
from txtransport.text import ascii_repr
from txtransport.tls.authority import authority_problem
from txtransport.tls.connection import CertificateProblem, TLSConnection, Verifying
from txtransport.tls.identity import (
    excluded_name_problem,
    fingerprint_problem,
    name_problem,
    pin_problem,
)
from txtransport.tls.verdict_cache import VerdictCache

__all__ = ["verify_after_handshake", "verify_callback"]

# X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT and X509_V_ERR_CERT_HAS_EXPIRED (x509_vfy.h).
_SELF_SIGNED: Final = 18
_EXPIRED: Final = 10


def verify_callback(
    connection: SSL.Connection, certificate: crypto.X509, code: int, depth: int, ok: int
) -> bool:
    """Accept or refuse one certificate of the chain; OpenSSL's verify callback.

    Args:
        connection: A `TLSConnection`; any other connection is refused.
        certificate: The certificate.
        code: OpenSSL's reason to refuse it, ``X509_V_ERR_…``; 0 when there is none.
        depth: Where in the chain it stands: 0 is the leaf.
        ok: 1 when OpenSSL accepts it, 0 when OpenSSL refuses it.

    Returns:
        Whether the handshake goes on; False sends the peer an alert.

    Source: SSL_CTX_set_verify(3).
    """
    if not isinstance(connection, TLSConnection):
        return False
    result = connection.verification
    try:
        der = crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate)
        result.shown[depth] = der
        if ok and depth:
            return _verify_authority(connection, der, depth)
        if ok:
            return _verify_chain(connection)
        x509_certificate = x509.load_der_x509_certificate(der)
        problem = _problem(code, depth, x509_certificate)
        return _tolerate_or_refuse(connection, problem, x509_certificate)
    except Exception as error:
        result.problems.append(_unexamined(code, depth, error))
        return False


def _verify_authority(connection: TLSConnection, der: bytes, depth: int) -> bool:
    """Accept or refuse an authority that OpenSSL accepts."""
    if _verdicts.valid_until(_AUTHORITY, (der,)) is not None:
        return True
    certificate = x509.load_der_x509_certificate(der)
    no_authority = authority_problem(certificate, depth)
    if no_authority is not None:
        return _tolerate_or_refuse(connection, no_authority, certificate)
    _verdicts.accepted(_AUTHORITY, (der,))
    return True


def _verify_chain(connection: TLSConnection) -> bool:
    """Accept or refuse the leaf, which OpenSSL accepts with all that stands above it."""
    result, policy = connection.verification, connection.policy
    # What was tolerated, and what is pinned, is looked at each time.
    is_plain = not result.problems and not result.tolerated and not policy.pin
    # OpenSSL has asked from the root to the leaf.
    question, shown = (policy, connection.side), tuple(result.shown.values())
    if is_plain and _verdicts.valid_until(question, shown) is not None:
        result.is_leaf_accepted = True
        return True
    if not is_plain:
        # Where there was a problem that is tolerated, it has asked of the leaf before.
        shown = tuple(der for _, der in sorted(result.shown.items(), reverse=True))
    chain = [x509.load_der_x509_certificate(der) for der in shown]
    _verify_leaf(connection, chain[-1], chain)
    if is_plain and result.is_leaf_accepted:
        _verdicts.accepted(question, shown)
    return result.is_leaf_accepted


_verdicts: Final = VerdictCache()
_AUTHORITY: Final = "authority"
_RESUMED: Final = "resumed"


def verify_after_handshake(connection: TLSConnection) -> bool:
    """Verify what the callback has not seen, when OpenSSL finds the handshake complete.

    Returns:
        Whether the peer is who the policy demands. If not,
        `TLSConnection.verification` says why, and the connection must be ended.
    """
    result = connection.verification
    if result.problems or result.is_leaf_accepted:
        return not result.problems
    try:
        leaf = connection.get_peer_certificate()
        if leaf is not None:
            _verify_unseen(connection, crypto.dump_certificate(crypto.FILETYPE_ASN1, leaf))
        elif _demands_certificate(connection.policy, connection.side):
            text = "the peer showed no certificate at all"
            result.problems.append(CertificateProblem(Diagnosis("other", text), 0, 0, None))
    except Exception as error:
        result.problems.append(_unexamined(0, 0, error))
    return not result.problems


def _tolerate_or_refuse(
    connection: Verifying, problem: CertificateProblem, certificate: x509.Certificate
) -> bool:
    """Record the problem of a certificate; whether the policy accepts it nevertheless."""
    policy, result = connection.policy, connection.verification
    if policy.verifies(connection.side) is Verify.NO:
        result.tolerated.append(problem)
        return True
    is_self_signed = problem.code == _SELF_SIGNED and problem.depth == 0
    if policy.allow_self_signed and is_self_signed:
        diagnosis = _own_signature_problem(certificate, policy)
        if diagnosis is None:
            result.tolerated.append(problem)
            return True
        problem = evolve(problem, diagnosis=diagnosis)
    result.problems.append(problem)
    return False


def _own_signature_problem(leaf: x509.Certificate, policy: TLSPolicy) -> Diagnosis | None:
    """Why a leaf that OpenSSL calls self-signed is not, or None when its own key signed it.

    OpenSSL goes by names, key identifiers and kinds of keys, and verifies no signature
    of a certificate that it takes for self-signed (X509_verify_cert(3)). Its releases
    4.0.0 and 4.0.1 call a leaf self-signed that another one of the same name has issued.
    """
    try:
        leaf.verify_directly_issued_by(leaf)
    except InvalidSignature:
        return evolve(
            OF_CAUSE["self-signed"],
            summary="it names itself as its issuer, but another key has signed it",
            remedy="allow_self_signed is for a leaf that its own key has signed; name the real "
            "issuer with cafile=FILE",
        )
    except Exception as error:
        # cryptography verifies no MD5, for example. A digest then says which leaf is
        # meant. A resumed session is recognised by the names alone (`_is_own_issuer`).
        if (policy.peer_fingerprint or policy.pin) and _is_own_issuer(leaf):
            return None
        return evolve(
            OF_CAUSE["self-signed"],
            summary=f"its signature cannot be verified here: {ascii_repr(str(error), 120)}",
            remedy="allow_self_signed accepts such a leaf only together with its "
            "peer_fingerprint or the pin of its key",
        )
    return None


def _verify_unseen(connection: TLSConnection, der: bytes) -> None:
    """Verify a leaf that the callback has not seen, which is that of a resumed session."""
    policy, result = connection.policy, connection.verification
    question = _RESUMED, policy, connection.side
    is_plain = connection.is_resumed and not policy.allow_self_signed
    until = _verdicts.valid_until(question, (der,)) if is_plain else None
    if until is not None and time.time() <= until:
        result.is_leaf_accepted = True
        return
    leaf = x509.load_der_x509_certificate(der)
    _verify_resumed(connection, leaf)
    if is_plain and result.is_leaf_accepted:
        _verdicts.accepted(question, (der,), leaf.not_valid_after_utc.timestamp())


def _verify_resumed(connection: TLSConnection, leaf: x509.Certificate) -> None:
    """Verify the leaf of a handshake in which OpenSSL called no callback (a resumed one)."""
    result = connection.verification
    if _is_expired(leaf) and connection.policy.verifies(connection.side) is not Verify.NO:
        # The certificate was verified when the session began; since then only
        # time can have made it invalid.
        result.problems.append(_problem(_EXPIRED, 0, leaf))
    if connection.is_resumed and connection.policy.allow_self_signed and _is_own_issuer(leaf):
        # The certificate was only tolerated when the session began, so the
        # resumed session must not count as verified either.
        result.tolerated.append(_problem(_SELF_SIGNED, 0, leaf))
    # A resumed session has no chain to look for the pinned key in; the pin was
    # checked when the session began.
    _verify_leaf(connection, leaf, None if connection.is_resumed else [leaf])


def _verify_leaf(
    connection: Verifying, leaf: x509.Certificate, chain: list[x509.Certificate] | None
) -> None:
    """Check the leaf's name and digest, and the pin against the keys of the chain.

    Args:
        connection: Its policy says what to check; its result is extended.
        leaf: The peer's own certificate.
        chain: The verified chain, the leaf last, whose keys may be pinned; None where
            there is none, which skips the pin.
    """
    result = connection.verification
    result.problems.extend(_leaf_problems(connection, leaf, chain))
    result.is_leaf_accepted = not result.problems


def _leaf_problems(
    connection: Verifying, leaf: x509.Certificate, chain: list[x509.Certificate] | None
) -> list[CertificateProblem]:
    policy, result = connection.policy, connection.verification
    found: list[Diagnosis | None] = []
    if policy.verifies_name(connection.side):
        name = policy.peer_name or ""
        found.append(name_problem(leaf, name))
        if policy.verifies(connection.side) is not Verify.NO:
            authorities = chain[:-1] if chain is not None else []
            found.append(excluded_name_problem(authorities, name))
    if policy.peer_fingerprint:
        found.append(fingerprint_problem(leaf, policy.peer_fingerprint))
    if policy.pin and chain is not None:
        # Where a bad signature was tolerated, an attacker can send a pinned
        # authority's certificate above a leaf that the authority never signed.
        signed = [leaf] if result.tolerated else chain
        found.append(pin_problem(signed, policy.pin))
    return [CertificateProblem(problem, 0, 0, leaf) for problem in found if problem is not None]


def _demands_certificate(policy: TLSPolicy, side: Side) -> bool:
    """Whether a peer without any certificate is refused."""
    if policy.verifies(side) is Verify.YES:
        return True
    checks_leaf = policy.verifies_name(side) or policy.peer_fingerprint or policy.pin
    return side is Side.CLIENT and bool(checks_leaf)


def _is_expired(leaf: x509.Certificate) -> bool:
    return leaf.not_valid_after_utc.timestamp() < time.time()


def _is_own_issuer(leaf: x509.Certificate) -> bool:
    try:
        return leaf.issuer == leaf.subject
    except ValueError:
        # cryptography cannot read its names: the safe answer is that it is.
        return True


def _unexamined(code: int, depth: int, error: Exception) -> CertificateProblem:
    # An exception of any kind is a reason to refuse.
    text = f"it could not be examined: {ascii_repr(str(error), 120)}"
    return CertificateProblem(Diagnosis("other", text), code, depth, None)


def _problem(code: int, depth: int, certificate: x509.Certificate) -> CertificateProblem:
    diagnosis = diagnosis_of_x509(code, is_leaf=depth == 0)
    return CertificateProblem(diagnosis, code, depth, certificate)
