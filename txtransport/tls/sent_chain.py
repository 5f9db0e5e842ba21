"""Whether a peer sends its certificates as it should: each one once, and in order.

Behind the leaf stands its issuer, then the issuer's issuer, and so on (RFC 8446, section
4.4.2). OpenSSL and browsers sort a chain that is not like that, and other clients, older
ones and small ones above all, fail. So what is found here is no reason to refuse a peer;
it is told, so that the peer's file can be put right.

Certificates are compared by their names, as a path is built (RFC 5280, section 6.1).
Whether one has really signed another is for the verification.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from txtransport.tls.pem import display_issuer, display_subject

__all__ = ["chain_problems", "strangers", "wrong_issuer"]

_MOST: Final = 4
"""How many problems are told: a peer may send a hundred certificates."""


def chain_problems(chain: Sequence[x509.Certificate]) -> tuple[str, ...]:
    """What is wrong with the order of a peer's certificates, a sentence each.

    Args:
        chain: The certificates as they were sent, leaf first.

    Returns:
        The problems, without a full stop; none where a certificate's names cannot be
        read.
    """
    try:
        once = _without_copies(chain)
        found = [*_copies(chain), *_out_of_order(once)]
        found += [f"{display_subject(each)} is sent, and issued none of the others"
                  for each in strangers(once)]  # fmt: skip
    except (ValueError, TypeError):
        # cryptography cannot read a name that OpenSSL accepts.
        return ()
    return tuple(found[:_MOST])


def strangers(chain: Sequence[x509.Certificate]) -> list[x509.Certificate]:
    """The certificates behind the leaf that have issued no other one of the chain.

    Args:
        chain: The certificates as they were sent, leaf first.

    Raises:
        ValueError: The names of a certificate cannot be read.
    """
    # Read once: a peer may send hundreds of certificates.
    names = [(each.subject, each.issuer) for each in chain]
    issued = Counter(issuer for _, issuer in names)
    return [
        each
        for each, (subject, issuer) in zip(chain[1:], names[1:], strict=True)
        if issued[subject] == (subject == issuer)
    ]


def wrong_issuer(chain: Sequence[x509.Certificate]) -> str:
    """What to do about a chain whose issuer is not known, if the peer sends another authority.

    Args:
        chain: The certificates as they were sent, leaf first.

    Returns:
        A sentence without its full stop, or nothing if no wrong authority was sent.
    """
    try:
        once = _without_copies(chain)
        wrong, path = strangers(once), _path(once)
    except (ValueError, TypeError):
        # cryptography cannot read a name that OpenSSL accepts.
        return ""
    if not wrong or path[-1].issuer == path[-1].subject:
        return ""
    return (
        f"The peer sends {display_subject(wrong[0])}, which issued none of its certificates: "
        f"{display_issuer(path[-1])} belongs in its place"
    )


def _without_copies(chain: Sequence[x509.Certificate]) -> list[x509.Certificate]:
    return [*{_digest(each): each for each in reversed(chain)}.values()][::-1]


def _copies(chain: Sequence[x509.Certificate]) -> list[str]:
    counts = Counter(map(_digest, chain))
    return [
        f"{display_subject(each)} is sent {'twice' if count == 2 else f'{count} times'}"
        for each in _without_copies(chain)
        if (count := counts[_digest(each)]) > 1
    ]


def _out_of_order(chain: Sequence[x509.Certificate]) -> list[str]:
    """The first certificate that stands in the place of another one."""
    path = _path(chain)
    sent = [each for each in chain if each in path]
    for before, expected, found in zip(path, path[1:], sent[1:], strict=False):
        if found is not expected:
            return [
                "the certificates are sent out of order, which some clients refuse: behind "
                f"{display_subject(before)} stands {display_subject(found)}, and not "
                f"{display_subject(expected)}, which issued it"
            ]
    return []


def _path(chain: Sequence[x509.Certificate]) -> list[x509.Certificate]:
    """The leaf, its issuer, the issuer's issuer, and so on, as far as they were sent."""
    path = [*chain[:1]]
    left = [(each.subject, each) for each in chain[1:]]
    while path and path[-1].issuer != path[-1].subject:
        issuer = path[-1].issuer
        following = [pair for pair in left if pair[0] == issuer][:1]
        if not following:
            break
        path.append(following[0][1])
        left.remove(following[0])
    return path


def _digest(certificate: x509.Certificate) -> bytes:
    return certificate.fingerprint(hashes.SHA256())
