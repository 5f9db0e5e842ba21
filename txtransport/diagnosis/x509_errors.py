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
from txtransport.diagnosis.x509_strict import STRICT_RULES
from txtransport.diagnosis.x509_symbols import x509_reason
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
            "it is a self-signed certificate, which anyone can make: no authority that is trusted "
            "here has signed it",
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
            "it is not made for this purpose (key usage or extended key usage)",
            "It needs the extended key usage for servers (serverAuth), or on a "
            "client for clients (clientAuth), and a key usage for handshakes (digitalSignature)",
        ),
    ),
    Rule(
        "malformed",
        Diagnosis(
            "malformed",
            "it is not made as certificates must be (RFC 5280)",
            "The peer must get a new one; openssl x509 -in FILE -noout -text shows what is in it",
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
_FETCH: Final = "Fetch the list of its issuer anew for the file of crl"
_LIST_UNVERIFIED: Final = Diagnosis(
    "other",
    "the signature of its issuer's revocation list cannot be verified",
    _FETCH,
    fault="ours",
)
_FORGED: Final = Diagnosis(
    "unknown-issuer",
    "its signature is not its issuer's",
    "Two authorities have the same name: the peer's is another than the one in cafile, "
    "or someone pretends to be it",
)


def _malformed(summary: str, remedy: str = "") -> Diagnosis:
    general = OF_CAUSE["malformed"]
    return evolve(general, summary=summary, remedy=remedy or general.remedy)


def _list(summary: str, remedy: str = _FETCH) -> Diagnosis:
    """What is wrong with the file of ``crl``, and not with the certificate."""
    return Diagnosis("other", summary, remedy, fault="ours")


_CONSTRAINT: Final = (
    "The peer must get one from an authority without that constraint (nameConstraints)"
)
_STRONGER_SIGNATURE: Final = "The peer must renew it with a signature of RSA or ECDSA with SHA-256"
_STRONGER: Final = "The peer must renew it with {what}; security_level={level} lets it pass"
_LONG_KEY: Final = "a key of at least 2048 bits (RSA) or 256 (EC)"

# X509_verify_cert_error_string(3) is not public in pyOpenSSL; these are the
# numbers of x509_vfy.h that a peer's certificate or one of our options can bring
# about. tests/diagnosis/test_x509_errors.py has the others, with the reasons.
X509_RULES: Final[tuple[Rule[int], ...]] = (
    Rule(
        1,
        Diagnosis(
            "other",
            "it was refused by OpenSSL without a reason",
            "Look whether it, or an authority above it, has a malformed extension, or a great "
            "many names and name constraints, which OpenSSL does not compare",
        ),
    ),
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
    Rule(4, evolve(_FORGED, summary="its signature cannot be decrypted with its issuer's key")),
    Rule(5, _LIST_UNVERIFIED),
    Rule(
        6,
        _malformed(
            "the public key of its issuer cannot be read",
            "The peer must get one from an authority whose key OpenSSL knows (RSA, EC or EdDSA)",
        ),
    ),
    Rule(7, _FORGED),
    Rule(8, _LIST_UNVERIFIED),
    Rule(9, OF_CAUSE["not-yet-valid"]),
    Rule(10, OF_CAUSE["expired"]),
    Rule(
        11,
        _list(
            "the revocation list of its issuer is not valid yet",
            "Check this machine's clock, and fetch the present list for the file of crl",
        ),
    ),
    Rule(
        12,
        Diagnosis(
            "other",
            "the revocation list of its issuer has expired",
            "Fetch the present list of its issuer for the file of crl",
            fault="ours",
        ),
    ),
    Rule(13, _malformed("its first date is malformed (notBefore)")),
    Rule(14, _malformed("its last date is malformed (notAfter)")),
    Rule(15, _list("a date in the revocation list of its issuer is malformed (lastUpdate)")),
    Rule(16, _list("a date in the revocation list of its issuer is malformed (nextUpdate)")),
    Rule(
        17,
        Diagnosis(
            "other",
            "there was not enough memory to verify it",
            "Look at the memory of this machine, and at the limits of this process",
            permanent=False,
            fault="ours",
        ),
    ),
    Rule(18, OF_CAUSE["self-signed"]),
    Rule(
        19,
        evolve(
            _UNKNOWN_ISSUER,
            summary="its chain ends at a self-signed certificate, that of an authority which is "
            "not trusted here",
        ),
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
    # X509_V_ERR_NO_ISSUER_PUBLIC_KEY since OpenSSL 3.0; before, what is 79 now.
    Rule(
        24,
        _malformed(
            "its issuer's certificate has no public key that can be read",
            "The peer must get one from an authority whose key OpenSSL knows (RSA, EC or EdDSA)",
        ),
    ),
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
        27,
        Diagnosis(
            "other",
            "the trust store here does not trust it for this purpose",
            "Look at the trusted uses of the authority in cafile or capath (openssl x509 -text)",
            fault="ours",
        ),
    ),
    Rule(
        28,
        Diagnosis(
            "other",
            "the trust store here rejects it for this purpose",
            "Look at the rejected uses of the authority in cafile or capath (openssl x509 -text)",
            fault="ours",
        ),
    ),
    Rule(
        32,
        evolve(_NO_AUTHORITY, cause="wrong-purpose", summary="its key may not sign certificates"),
    ),
    Rule(33, _list("the authority that signed the revocation list is not known here")),
    Rule(
        34,
        Diagnosis(
            "other",
            "it has a critical extension that OpenSSL does not know",
            "The peer must get one without that extension, or in which it is not critical",
        ),
    ),
    Rule(
        35,
        Diagnosis(
            "other",
            "its issuer signed a revocation list and is not allowed to sign (key usage)",
            "The certificate of its issuer needs the key usage cRLSign; without crl no list is "
            "looked at",
        ),
    ),
    Rule(
        36,
        _list(
            "the revocation list of its issuer has a critical extension that OpenSSL does not know",
            "Fetch the complete list of its issuer for the file of crl, not one of changes or of "
            "a part",
        ),
    ),
    Rule(
        40,
        Diagnosis(
            "other",
            "it is a proxy certificate (RFC 3820), and none is accepted",
            "The peer must show the certificate that an authority issued to it",
        ),
    ),
    Rule(41, _malformed("one of its extensions is malformed or contradicts another")),
    Rule(
        44,
        _list(
            "the revocation list of its issuer is not for certificates of its kind",
            "Fetch the complete list of its issuer for the file of crl",
        ),
    ),
    Rule(
        45,
        Diagnosis(
            "other",
            "one of its extensions demands what OpenSSL does not support",
            "The peer must get one without that extension",
        ),
    ),
    Rule(
        46,
        Diagnosis(
            "other",
            "it is for addresses or AS numbers that an authority above it does not have (RFC 3779)",
            "The peer must get one within what its authority has, or without that extension",
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
        49,
        _malformed(
            "an authority above it has a name constraint with a minimum or a maximum, which RFC "
            "5280 forbids",
            _CONSTRAINT,
        ),
    ),
    Rule(
        51,
        Diagnosis(
            "other",
            "an authority above it constrains a kind of names that OpenSSL cannot compare",
            _CONSTRAINT,
        ),
    ),
    Rule(52, _malformed("an authority above it has a malformed name constraint", _CONSTRAINT)),
    Rule(
        53,
        _malformed(
            "one of its names is malformed, where an authority above it constrains names",
            "The peer must get one without that name, or from an authority without constraints "
            "for its kind (nameConstraints)",
        ),
    ),
    Rule(54, _list("the authority that signed the revocation list cannot be verified")),
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
    Rule(
        70,
        Diagnosis(
            "other",
            "its issuer could not be looked up in the trust store",
            "See that cafile or capath can be read",
            permanent=False,
            fault="ours",
        ),
    ),
    Rule(
        76,
        Diagnosis(
            "other",
            "its signature has an algorithm that OpenSSL does not know",
            _STRONGER_SIGNATURE,
        ),
    ),
    Rule(77, evolve(_FORGED, summary="its signature is not of the kind of its issuer's key")),
    Rule(79, _NO_AUTHORITY),
    Rule(101, _LIST_UNVERIFIED),
)
"""By OpenSSL's number (``X509_V_ERR_…``, x509_vfy.h); "it" is the certificate."""

_OF_X509: Final = indexed((*X509_RULES, *STRICT_RULES))

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


# X509_V_ERR_INVALID_CA and X509_V_ERR_KU_KEY_CERT_SIGN_INVALID_FOR_NON_CA.
_NO_AUTHORITY_NUMBER: Final = 79
_MAY_SIGN_NUMBER: Final = 82


def diagnosis_of_x509(code: int, *, is_leaf: bool = False) -> Diagnosis:
    """Why OpenSSL refuses a certificate.

    Args:
        code: OpenSSL's number for the reason, ``X509_V_ERR_…``.
        is_leaf: Whether the certificate is the peer's own, which has signed no
            other. With x509_strict, OpenSSL has the number of a false authority for
            a leaf that has no basicConstraints and whose key may sign certificates.

    Returns:
        The diagnosis of the table; for a number that the table does not have, one
        that has OpenSSL's name and number.
    """
    if is_leaf and code == _NO_AUTHORITY_NUMBER:
        code = _MAY_SIGN_NUMBER
    known = _OF_X509.get(code)
    return known or Diagnosis("other", f"OpenSSL refuses it with {x509_reason(code)}")


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
