"""Why a certificate was refused, and what to do: by cause, and by OpenSSL's number.

`OF_CAUSE` has one general diagnosis for each cause; our own verification and the error
lines of other tools share it. `X509_RULES` has a diagnosis for each of OpenSSL's
numbers, of which several share a cause. `diagnosis_at_depth` makes the remedy more
exact where the certificate or its place in the chain allows that.
"""

from __future__ import annotations

from typing import Final

from attrs import evolve

from txtransport.diagnosis.rule import Rule, indexed
from txtransport.errors import Diagnosis

__all__ = ["CAUSE_RULES", "OF_CAUSE", "X509_RULES", "diagnosis_at_depth", "diagnosis_of_x509"]

CAUSE_RULES: Final = (
    Rule(
        "wrong-name",
        Diagnosis(
            "wrong-name",
            "it is for another name or address than the one that was asked for",
            "Connect by a name that it is for, or say peer_name=NAME if another is meant",
        ),
    ),
    Rule(
        "unknown-issuer",
        Diagnosis(
            "unknown-issuer",
            "its issuer is not known here",
            "Name the authority with cafile=FILE; if it is a public one, the peer "
            "forgets to send its intermediate certificate",
            fault="ours",
        ),
    ),
    Rule(
        "self-signed",
        Diagnosis(
            "self-signed",
            "no one but itself vouches for it (self-signed)",
            "Trust this one with cafile=FILE, a copy of the certificate itself",
            fault="ours",
        ),
    ),
    Rule(
        "expired",
        Diagnosis(
            "expired",
            "it has expired",
            "The peer must renew it; check this machine's clock if the dates look right",
        ),
    ),
    Rule(
        "not-yet-valid",
        Diagnosis(
            "not-yet-valid",
            "it is not valid yet",
            "Check this machine's clock and the peer's",
            fault="ours",
        ),
    ),
    Rule(
        "wrong-purpose",
        Diagnosis(
            "wrong-purpose",
            "it is not made for this purpose (extended key usage)",
            "It needs the extended key usage for servers (serverAuth), or on a "
            "client for clients (clientAuth), and a key usage for handshakes (digitalSignature)",
        ),
    ),
    Rule(
        "revoked",
        Diagnosis(
            "revoked",
            "its issuer has revoked it",
            "The peer must get a new one; do not trust it meanwhile",
        ),
    ),
    Rule(
        "fingerprint",
        Diagnosis(
            "fingerprint",
            "it is not the one expected",
            "If the change is expected, renew the digest; if not, someone is in between",
            fault="someone-between",
        ),
    ),
)
"""By one of `txtransport.errors.CAUSES`; "it" is the certificate."""

OF_CAUSE: Final = indexed(CAUSE_RULES)

_UNKNOWN_ISSUER: Final = OF_CAUSE["unknown-issuer"]
_NO_AUTHORITY: Final = Diagnosis(
    "unknown-issuer",
    "it signed another certificate and is no authority",
    "The peer must get one from a real authority, which has CA:TRUE (basicConstraints) and the "
    "key usage keyCertSign",
)
_CONSTRAINED: Final = (
    "The peer must get one from an authority that may vouch for its names (nameConstraints)"
)
_STRONGER: Final = "The peer must renew it with {what}; security_level={level} lets it pass"
_LONG_KEY: Final = "a key of at least 2048 bits (RSA) or 256 (EC)"

# X509_verify_cert_error_string(3) is not public in pyOpenSSL; these are the
# numbers of x509_vfy.h that a peer's certificate can bring about.
X509_RULES: Final = (
    Rule(2, evolve(_UNKNOWN_ISSUER, summary="the certificate of its issuer is missing")),
    Rule(
        3,
        Diagnosis(
            "other",
            "there is no revocation list of its issuer, which crl demands",
            "Put the list of its issuer into the file of crl, or leave crl out",
            fault="ours",
        ),
    ),
    Rule(
        7,
        Diagnosis(
            "unknown-issuer",
            "its signature is not its issuer's",
            "Two authorities have the same name: the peer's is another than the one in cafile, "
            "or someone pretends to be it",
        ),
    ),
    Rule(9, OF_CAUSE["not-yet-valid"]),
    Rule(10, OF_CAUSE["expired"]),
    Rule(
        12,
        Diagnosis(
            "other",
            "the revocation list of its issuer has expired",
            "Fetch the present list of its issuer for the file of crl",
            fault="ours",
        ),
    ),
    Rule(18, OF_CAUSE["self-signed"]),
    Rule(
        19,
        evolve(_UNKNOWN_ISSUER, summary="its chain ends at an authority that is not trusted here"),
    ),
    Rule(20, _UNKNOWN_ISSUER),
    Rule(21, evolve(_UNKNOWN_ISSUER, summary="it came alone, and its issuer is not known here")),
    Rule(
        22,
        Diagnosis(
            "other",
            "its chain is longer than verify_depth allows",
            "Raise verify_depth if the chain is as it should be",
            fault="ours",
        ),
    ),
    Rule(23, OF_CAUSE["revoked"]),
    Rule(24, _NO_AUTHORITY),
    Rule(
        25,
        Diagnosis(
            "other",
            "an authority above it allows fewer authorities below itself",
            "The peer must get one from an authority nearer to the root, or that authority must "
            "be issued anew with a greater pathlen (basicConstraints)",
        ),
    ),
    Rule(26, OF_CAUSE["wrong-purpose"]),
    Rule(
        32,
        evolve(_NO_AUTHORITY, cause="wrong-purpose", summary="its key may not sign certificates"),
    ),
    Rule(
        34,
        Diagnosis(
            "other",
            "it has a critical extension that OpenSSL does not know",
            "The peer must get one without that extension, or in which it is not critical",
        ),
    ),
    Rule(
        47,
        Diagnosis(
            "wrong-name",
            "its names are not among those that an authority above it may vouch for",
            _CONSTRAINED,
        ),
    ),
    Rule(
        48,
        Diagnosis(
            "wrong-name",
            "its names are among those that an authority above it must not vouch for",
            _CONSTRAINED,
        ),
    ),
    Rule(
        66,
        Diagnosis(
            "other",
            "its key is too short for the security level",
            _STRONGER.format(what=_LONG_KEY, level=0),
        ),
    ),
    Rule(
        67,
        Diagnosis(
            "other",
            "an authority's key is too short for the security level",
            _STRONGER.format(what="an authority that has " + _LONG_KEY, level=0),
        ),
    ),
    Rule(
        68,
        Diagnosis(
            "other",
            "its signature's digest is too weak for the security level",
            _STRONGER.format(what="a signature of SHA-256", level=0),
        ),
    ),
    Rule(79, _NO_AUTHORITY),
)
"""By OpenSSL's number (``X509_V_ERR_…``, x509_vfy.h); "it" is the certificate."""

_OF_X509: Final = indexed(X509_RULES)

_EXPIRED_AUTHORITY: Final = (
    "An authority must be renewed: the peer must send the new one behind its leaf or, if it is a "
    "root, cafile needs it here; check this machine's clock if the dates look right"
)
_MISSING_INTERMEDIATE: Final = (
    "The peer does not send its intermediate certificate, which can be fetched from {url}: it "
    "belongs behind the leaf in the server's file. Until then put it and the authority above it "
    "into a file of your own and name that with cafile=FILE"
)

# X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY and X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE.
_ISSUER_MISSING: Final = (20, 21)


def diagnosis_of_x509(code: int) -> Diagnosis:
    """Why OpenSSL refuses a certificate.

    Args:
        code: OpenSSL's number for the reason, ``X509_V_ERR_…``.

    Returns:
        The diagnosis of the table; for a number that the table does not have, one
        that names the number.
    """
    known = _OF_X509.get(code)
    return known or Diagnosis("other", f"OpenSSL refuses it with X509 error {code}")


def diagnosis_at_depth(
    diagnosis: Diagnosis, code: int, depth: int, issuer_place: str | None
) -> Diagnosis:
    """Make a remedy more exact by what is known of the certificate.

    Args:
        diagnosis: Why the certificate was refused.
        code: OpenSSL's number, or 0 for a reason of our own.
        depth: Where in the chain the certificate stands: 0 is the leaf.
        issuer_place: The URL of its issuer's certificate, if the certificate names
            one (authority information access, RFC 5280, 4.2.2.1), or None.

    Returns:
        The diagnosis with a remedy for a missing intermediate or an expired
        authority; otherwise the same diagnosis.
    """
    if code in _ISSUER_MISSING and issuer_place:
        remedy = _MISSING_INTERMEDIATE.format(url=issuer_place)
        return evolve(diagnosis, remedy=remedy, fault="peer")
    if diagnosis.cause == "expired" and depth:
        return evolve(diagnosis, remedy=_EXPIRED_AUTHORITY)
    return diagnosis
