"""What is wrong with the certificates, keys and lists in files of ours, and what to do.

`OF_FILE` has the faults that can be seen in a file. `owner_diagnosis` turns round what a
peer says of our certificate: the table of `txtransport.diagnosis.x509_errors` advises the
side that refuses one, and here the side that must mend it is asked.
"""

from __future__ import annotations

from typing import Final

from attrs import evolve

from txtransport.diagnosis.rule import Rule, indexed
from txtransport.errors import Diagnosis

__all__ = ["FILE_RULES", "OF_FILE", "OWNER_RULES", "owner_diagnosis"]


def _ours(cause: str, summary: str, remedy: str) -> Diagnosis:
    return Diagnosis(cause, summary, remedy, fault="ours")


FILE_RULES: Final = (
    Rule(
        "key-missing",
        _ours(
            "key-missing",
            "it holds no private key, so local_cert takes it only together with local_pk",
            "Name the file of the key: --key FILE",
        ),
    ),
    Rule(
        "key-readable",
        _ours(
            "key-readable",
            "other users of this machine can read it, and the private key in it",
            "Take their rights away",
        ),
    ),
    Rule(
        "key-needless",
        _ours(
            "key-needless",
            "it holds a private key, which clients do not need to verify a server",
            "Leave the key out of the file that clients get",
        ),
    ),
    Rule(
        "out-of-order",
        _ours(
            "out-of-order",
            "its chain is not in order, which some clients do not accept",
            "Each certificate must have issued the one before it",
        ),
    ),
    Rule(
        "doubled",
        _ours("doubled", "a certificate is in it twice", "Leave the second one out"),
    ),
    Rule(
        "unrelated",
        _ours(
            "unrelated",
            "a certificate in it has issued nothing in the chain",
            "Leave it out, or see whether it is of another year than the one that is needed",
        ),
    ),
    Rule(
        "root-included",
        _ours(
            "root-included",
            "its chain ends with the root, which clients have already",
            "Leave the root out, so that handshakes are shorter",
        ),
    ),
    Rule(
        "authority-leaf",
        _ours(
            "authority-leaf",
            "its first certificate is an authority, so who has its key can pose as anyone",
            "Have the authority issue a certificate for this server, and keep the authority's "
            "key elsewhere",
        ),
    ),
    Rule(
        "expires-soon",
        _ours("expires-soon", "it expires soon", "Renew it now"),
    ),
    Rule(
        "expired-anchor",
        _ours(
            "expired",
            "an authority in it has expired, so that every chain through it is refused",
            "Replace it by the new one of that authority, or leave it out",
        ),
    ),
    Rule(
        "future-anchor",
        _ours(
            "not-yet-valid",
            "an authority in it is not valid yet, so that every chain through it is refused",
            "Check this machine's clock",
        ),
    ),
    Rule(
        "no-anchor",
        _ours(
            "no-authority",
            "a certificate in it is no authority: clients will trust it for itself, and "
            "nothing that it has signed",
            "Put the certificate of its authority into the file, if that one is meant",
        ),
    ),
    Rule(
        "unhashed",
        _ours(
            "unhashed",
            "files in it are not named by their hash, so that OpenSSL does not find them",
            "Have openssl make the links",
        ),
    ),
    Rule(
        "list-expired",
        _ours(
            "expired",
            "a revocation list in it is out of date, so that every certificate of its issuer "
            "is refused",
            "Fetch the present list of its issuer",
        ),
    ),
    Rule(
        "list-future",
        _ours(
            "not-yet-valid",
            "a revocation list in it is not valid yet, so that every certificate of its issuer "
            "is refused",
            "Check this machine's clock, and fetch the present list of its issuer",
        ),
    ),
    Rule(
        "list-forged",
        _ours(
            "unknown-issuer",
            "a revocation list in it is not signed by the authority whose name it has",
            "Fetch the list anew, of the authority that is in cafile",
        ),
    ),
    Rule(
        "list-foreign",
        _ours(
            "unknown-issuer",
            "a revocation list in it is of no authority in cafile",
            "Name the list of the authority that is in cafile",
        ),
    ),
)
"""By a word for the fault; "it" is the file."""

OF_FILE: Final = indexed(FILE_RULES)

_RENEW: Final = "Renew it; check this machine's clock if the dates look right"
_RENEW_AUTHORITY: Final = (
    "Replace the authority's certificate behind the leaf by the authority's new one; a root "
    "that has expired must be replaced where it is trusted"
)

OWNER_RULES: Final = (
    Rule(
        "unknown-issuer",
        _ours(
            "unknown-issuer",
            "",
            "Put the certificate of its issuer (the intermediate) behind it. If the authority is "
            "your own, clients need it as cafile=FILE: --cafile FILE tries it with that",
        ),
    ),
    Rule(
        "self-signed",
        _ours(
            "self-signed",
            "",
            "Give clients a copy of the certificate as cafile=FILE (--cafile FILE tries it with "
            "that), or get one of an authority",
        ),
    ),
    Rule("expired", _ours("expired", "", _RENEW)),
    Rule("not-yet-valid", _ours("not-yet-valid", "", "Check this machine's clock")),
    Rule(
        "wrong-purpose",
        _ours(
            "wrong-purpose",
            "",
            "Get one with the extended key usage for servers (serverAuth), for clients "
            "(clientAuth), and the key usage digitalSignature",
        ),
    ),
    Rule(
        "wrong-name",
        _ours("wrong-name", "", "Get one that has the name as a subject alternative name (SAN)"),
    ),
    Rule(
        "malformed",
        _ours(
            "malformed",
            "",
            "Get a new one; openssl x509 -in FILE -noout -text shows what is in it",
        ),
    ),
    Rule(
        "revoked",
        _ours("revoked", "", "Get a new one, with a new key"),
    ),
)
"""By one of `txtransport.errors.CAUSES`: what the owner of a refused certificate does."""

_OF_OWNER: Final = indexed(OWNER_RULES)


def owner_diagnosis(diagnosis: Diagnosis, depth: int) -> Diagnosis:
    """What the owner of a certificate does about a peer's refusal.

    Args:
        diagnosis: What the peer says; its summary ends a sentence about the certificate.
        depth: Where in the chain the refused certificate stands: 0 is the leaf.

    Returns:
        The same cause and summary with the owner's remedy. A cause for which there is
        none here keeps its remedy, which then asks the owner.
    """
    above = "an authority above it is not good: " if depth else ""
    known = _OF_OWNER.get(diagnosis.cause)
    remedy = known.remedy if known is not None else _addressed(diagnosis.remedy)
    if depth and diagnosis.cause == "expired":
        remedy = _RENEW_AUTHORITY
    return evolve(diagnosis, summary=above + diagnosis.summary, remedy=remedy, fault="ours")


def _addressed(remedy: str) -> str:
    """A remedy that says what the peer must do, as one that asks the reader to do it."""
    asked = remedy.removeprefix("The peer must ")
    return asked[:1].upper() + asked[1:]
