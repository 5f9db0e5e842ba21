"""In which order certificates of a file or of a peer belong, and which are superfluous.

Whether a chain is trusted is not decided here: OpenSSL looks for an issuer among all the
certificates that came. Other software follows them one by one, as TLS 1.2 has it: each
must have issued the one before it (RFC 5246, section 7.4.2).
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen
from cryptography import x509
from cryptography.exceptions import InvalidSignature

__all__ = ["ChainOrder", "chain_order", "is_issued_by"]


@frozen
class ChainOrder:
    """Where certificates belong, each named by its place in the list: 0 is the first.

    Attributes:
        path: From the leaf to the highest authority that is there, each the issuer of
            the one before.
        doubled: Those that are there a second time.
        unrelated: The others, which have issued nothing in the path.
        has_root: Whether the path has authorities and ends at one that has issued
            itself, which clients have already.
    """

    path: tuple[int, ...]
    doubled: tuple[int, ...]
    unrelated: tuple[int, ...]
    has_root: bool

    @property
    def is_in_order(self) -> bool:
        """Whether the path goes down the list."""
        return list(self.path) == sorted(self.path)


def chain_order(certificates: Sequence[x509.Certificate]) -> ChainOrder:
    """Find out in which order certificates belong.

    Args:
        certificates: The leaf first, and the others as they come; at least one.
    """
    distinct: dict[x509.Certificate, int] = {}
    doubled = []
    for place, certificate in enumerate(certificates):
        if distinct.setdefault(certificate, place) != place:
            doubled.append(place)
    path = [0]
    rest = [place for place in distinct.values() if place]
    has_root = False
    while True:
        top = certificates[path[-1]]
        has_root = is_issued_by(top, top)
        above = None if has_root else _issuer(certificates, top, rest)
        if above is None:
            break
        path.append(above)
        rest.remove(above)
    return ChainOrder(tuple(path), tuple(doubled), tuple(rest), has_root and len(path) > 1)


def is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether one certificate has signed another, by its name and by its key.

    Where the signature cannot be verified (cryptography verifies no MD5), the names
    decide; nothing is trusted for it.
    """
    try:
        certificate.verify_directly_issued_by(issuer)
    except InvalidSignature:
        return False
    except Exception:
        # The names differ, or the signature or a name is of a kind that cryptography
        # does not read.
        return _is_issuer_by_name(certificate, issuer)
    return True


def _is_issuer_by_name(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        return certificate.issuer == issuer.subject
    except Exception:
        # cryptography raises ValueError or TypeError for a name that it cannot read.
        return False


def _issuer(
    certificates: Sequence[x509.Certificate], of: x509.Certificate, among: Sequence[int]
) -> int | None:
    return next((place for place in among if is_issued_by(of, certificates[place])), None)
