"""Whether the peer is who the policy demands. Every doubt is a refusal.

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
from OpenSSL import SSL, crypto

from txtransport.config.policy import Side, TLSPolicy, Verify
from txtransport.diagnosis.x509_errors import OF_CAUSE, diagnosis_of_x509
from txtransport.errors import Diagnosis
from txtransport.text import ascii_repr
from txtransport.tls.connection import CertificateProblem, TLSConnection
from txtransport.tls.identity import fingerprint_problem, name_problem, pin_problem

_SELF_SIGNED: Final = 18
_EXPIRED: Final = 10


def verify_callback(
    connection: SSL.Connection, certificate: crypto.X509, code: int, depth: int, ok: int
) -> bool:
    """Accept or refuse one certificate of the chain; OpenSSL's verify callback.

    Args:
        connection: A `TLSConnection`; any other is refused.
        certificate: The certificate.
        code: OpenSSL's reason against it, ``X509_V_ERR_…``.
        depth: Where in the chain it stands, 0 being the leaf.
        ok: 1 when OpenSSL has no reason against it, and 0 when it has.

    Returns:
        Whether the handshake goes on.

    Source: SSL_CTX_set_verify(3).
    """
    if not isinstance(connection, TLSConnection):
        return False
    evidence = connection.verification
    try:
        seen = certificate.to_cryptography()
        evidence.chain[depth] = seen
        if not ok:
            is_tolerated = _is_tolerated(connection, code, depth)
            notes = evidence.tolerated if is_tolerated else evidence.problems
            notes.append(_problem(code, depth, seen))
            return is_tolerated
        if depth == 0:
            _verify_leaf(connection, seen, list(evidence.chain.values()))
            return evidence.is_leaf_accepted
    except Exception as error:
        evidence.problems.append(_unexamined(code, depth, error))
        return False
    return True


def verify_after_handshake(connection: TLSConnection) -> bool:
    """Verify what the callback has not seen, when OpenSSL finds the handshake complete.

    Returns:
        Whether the peer is who the policy demands. If not,
        `TLSConnection.verification` says why, and the connection must be ended.
    """
    evidence = connection.verification
    if evidence.problems or evidence.is_leaf_accepted:
        return not evidence.problems
    try:
        leaf = connection.get_peer_certificate(as_cryptography=True)
        if leaf is not None:
            _verify_resumed(connection, leaf)
        elif _demands_certificate(connection.policy, connection.side):
            text = "the peer showed no certificate at all"
            evidence.problems.append(CertificateProblem(Diagnosis("other", text), 0, 0, None))
    except Exception as error:
        evidence.problems.append(_unexamined(0, 0, error))
    return not evidence.problems


def info_callback(connection: SSL.Connection, where: int, code: int) -> None:
    """Note on servers that our certificate was sent; OpenSSL's info callback.

    A resumed handshake does not send it, which is the only public sign of one.
    """
    is_showing = where == SSL.SSL_CB_ACCEPT_LOOP and connection.get_state_string() == _SHOWING
    if is_showing and isinstance(connection, TLSConnection):
        connection.verification.is_certificate_sent = True


_SHOWING: Final = b"SSLv3/TLS write certificate"


def _is_tolerated(connection: TLSConnection, code: int, depth: int) -> bool:
    policy = connection.policy
    if policy.verifies(connection.side) is Verify.NO:
        return True
    return policy.allow_self_signed and code == _SELF_SIGNED and depth == 0


def _verify_resumed(connection: TLSConnection, leaf: x509.Certificate) -> None:
    """Verify the leaf of a handshake in which OpenSSL did not (a resumed one)."""
    evidence = connection.verification
    if _is_expired(leaf) and connection.policy.verifies(connection.side) is not Verify.NO:
        # The session was verified when it began; since then only time can have
        # made the certificate a bad one.
        evidence.problems.append(_problem(_EXPIRED, 0, leaf))
    if connection.is_resumed and connection.policy.allow_self_signed and _is_own_issuer(leaf):
        # It was tolerated when the session began, and the session must not
        # count as verified now.
        evidence.tolerated.append(_problem(_SELF_SIGNED, 0, leaf))
    # A resumed session shows no chain: its key was pinned when it began.
    _verify_leaf(connection, leaf, None if connection.is_resumed else [leaf])


def _verify_leaf(
    connection: TLSConnection, leaf: x509.Certificate, chain: list[x509.Certificate] | None
) -> None:
    """Check name, digest and key of the leaf; a `chain` of None leaves the pin unchecked."""
    evidence = connection.verification
    evidence.problems.extend(_leaf_problems(connection, leaf, chain))
    evidence.is_leaf_accepted = not evidence.problems


def _leaf_problems(
    connection: TLSConnection, leaf: x509.Certificate, chain: list[x509.Certificate] | None
) -> list[CertificateProblem]:
    policy = connection.policy
    found: list[tuple[str, str | None]] = []
    if policy.verifies_name(connection.side):
        found.append(("wrong-name", name_problem(leaf, policy.peer_name or "")))
    if policy.peer_fingerprint:
        found.append(("fingerprint", fingerprint_problem(leaf, policy.peer_fingerprint)))
    if policy.pin and chain is not None:
        # Where a bad signature was tolerated, anyone can put a pinned
        # authority above a leaf of their own.
        vouched = [leaf] if connection.verification.tolerated else chain
        found.append(("fingerprint", pin_problem(vouched, policy.pin)))
    return [
        CertificateProblem(evolve(OF_CAUSE[cause], summary=text), 0, 0, leaf)
        for cause, text in found
        if text is not None
    ]


def _demands_certificate(policy: TLSPolicy, side: Side) -> bool:
    if policy.verifies(side) is Verify.YES:
        return True
    is_picky = policy.verifies_name(side) or policy.peer_fingerprint or policy.pin
    return side is Side.CLIENT and bool(is_picky)


def _is_expired(leaf: x509.Certificate) -> bool:
    return leaf.not_valid_after_utc.timestamp() < time.time()


def _is_own_issuer(leaf: x509.Certificate) -> bool:
    try:
        return leaf.issuer == leaf.subject
    except ValueError:
        # Names that cryptography cannot read vouch for no one.
        return True


def _unexamined(code: int, depth: int, error: Exception) -> CertificateProblem:
    # Whatever went wrong, it is no reason to accept.
    text = f"it could not be examined: {ascii_repr(str(error), 120)}"
    return CertificateProblem(Diagnosis("other", text), code, depth, None)


def _problem(code: int, depth: int, certificate: x509.Certificate) -> CertificateProblem:
    return CertificateProblem(diagnosis_of_x509(code), code, depth, certificate)
