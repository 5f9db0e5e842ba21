"""In which order certificates belong, which came twice, and which have nothing to do there.

Behind a leaf stands its issuer, then the issuer's issuer, and so on (RFC 5246, section
7.4.2; RFC 8446, section 4.4.2 advises it). OpenSSL and browsers look for an issuer among
all the certificates that came, so they accept a chain in another order; clients that follow
the certificates one by one do not. Whether a chain is trusted is not decided here: what is
found is told to those who can put the file right, be it ours (``txtransport inspect``) or a
peer's (``txtransport probe``, and the remedy of a failed handshake).

A certificate has issued another if its name is the issuer's and its key has made the
signature: an authority that was renewed has two certificates with one name and two keys. A
peer may send hundreds of certificates that all have one name. So the names are compared
first, by a dictionary, and only `_MAX_SIGNATURES` signatures are verified; from then on the
names decide.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from attrs import frozen
from cryptography import x509
from cryptography.exceptions import InvalidSignature

from txtransport.tls.pem import display_issuer, display_subject

__all__ = ["ChainOrder", "chain_order", "chain_problems", "is_issued_by", "wrong_issuer"]

_MAX_SIGNATURES: Final = 16
"""Verified for one chain, of which a real one needs a few; one takes up to 4 ms (DSA)."""

_MAX_TOLD: Final = 4
"""Problems that are told: a peer may send a hundred certificates."""


@frozen
class ChainOrder:
    """Where certificates belong, each named by its place in the list: 0 is the leaf.

    Attributes:
        path: From the leaf to the highest authority that is there, each the issuer of
            the one before.
        doubled: The second and later copies of a certificate.
        unrelated: Those that have issued neither the leaf nor an authority above it.
            None is, where the names of a certificate cannot be read: that one may
            have been issued by any.
        ends_at_root: Whether the last one of the path has issued itself.
    """

    path: tuple[int, ...]
    doubled: tuple[int, ...]
    unrelated: tuple[int, ...]
    ends_at_root: bool

    @property
    def is_in_order(self) -> bool:
        """Whether the path goes down the list."""
        return list(self.path) == sorted(self.path)


def chain_order(certificates: Sequence[x509.Certificate]) -> ChainOrder:
    """Find out in which order certificates belong.

    Args:
        certificates: The leaf first, and the others as they come; at least one.
    """
    first_places: dict[x509.Certificate, int] = {}
    doubled = []
    for place, certificate in enumerate(certificates):
        if first_places.setdefault(certificate, place) != place:
            doubled.append(place)
    issuers = _Issuers(certificates, first_places.values())
    path = _path(issuers)
    related = _with_all_above(issuers)
    others = () if issuers.is_unsure else first_places.values()
    return ChainOrder(
        tuple(path),
        tuple(doubled),
        tuple(place for place in others if place not in related),
        path[-1] in issuers.of(path[-1]),
    )


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
        names, names_of_issuer = _names(certificate), _names(issuer)
        if names is None or names_of_issuer is None:
            return False
        return names[1] == names_of_issuer[0]
    return True


class _Issuers:
    """Finds the issuers of certificates among those that came, with bounded work.

    Args:
        certificates: As for `chain_order`.
        places: Those of the certificates that are looked at, each one once.

    Attributes:
        is_unsure: Whether there is a certificate whose names cannot be read.
    """

    def __init__(self, certificates: Sequence[x509.Certificate], places: Iterable[int]) -> None:
        self._certificates = certificates
        self._by_subject: dict[x509.Name, list[int]] = {}
        self._issuer_names: dict[int, x509.Name] = {}
        self._found: dict[int, list[int]] = {}
        self._signatures_left = _MAX_SIGNATURES
        self.is_unsure = False
        for place in places:
            names = _names(certificates[place])
            if names is None:
                self.is_unsure = True
                continue
            subject, self._issuer_names[place] = names
            self._by_subject.setdefault(subject, []).append(place)

    def of(self, place: int) -> list[int]:
        """The places of those that have issued a certificate, perhaps itself among them."""
        if place not in self._found:
            name = self._issuer_names.get(place)
            named = [] if name is None else self._by_subject.get(name, [])
            self._found[place] = [issuer for issuer in named if self._has_issued(issuer, place)]
        return self._found[place]

    def _has_issued(self, issuer: int, issued: int) -> bool:
        """Whether a certificate with the name of an issuer is the issuer."""
        if not self._signatures_left:
            return True
        self._signatures_left -= 1
        return is_issued_by(self._certificates[issued], self._certificates[issuer])


def _path(issuers: _Issuers) -> list[int]:
    """The leaf, its issuer, the issuer's issuer and so on; of two issuers the first sent."""
    top: int | None = 0
    path: dict[int, None] = {}
    while top is not None:
        path[top] = None
        found = issuers.of(top)
        top = None if top in found else next((each for each in found if each not in path), None)
    return [*path]


def _with_all_above(issuers: _Issuers) -> set[int]:
    """The leaf and all that have issued it, or one of its issuers, by whatever way."""
    related, fresh = {0}, [0]
    while fresh:
        above = set(issuers.of(fresh.pop())) - related
        related |= above
        fresh += above
    return related


def _names(certificate: x509.Certificate) -> tuple[x509.Name, x509.Name] | None:
    """Subject and issuer; None where one cannot be read."""
    try:
        return certificate.subject, certificate.issuer
    except (ValueError, TypeError):
        # OpenSSL accepts names that cryptography does not read.
        return None


# --- in words, of a peer's chain ---------------------------------------------------


def chain_problems(chain: Sequence[x509.Certificate]) -> tuple[str, ...]:
    """What is wrong with the order of a peer's certificates.

    Args:
        chain: The certificates as they were sent, leaf first.

    Returns:
        A sentence for each problem, without its full stop; four at the most.
    """
    if not chain:
        return ()
    order = chain_order(chain)
    copies = Counter(chain[place] for place in order.doubled)
    problems = [
        f"{display_subject(each)} is sent {'twice' if count == 1 else f'{count + 1} times'}"
        for each, count in copies.items()
    ]
    if not order.is_in_order:
        problems.append(_first_wrong_place(chain, order))
    problems += [f"{display_subject(chain[place])} is sent, and issued none of the others"
                 for place in order.unrelated]  # fmt: skip
    return tuple(problems[:_MAX_TOLD])


def wrong_issuer(chain: Sequence[x509.Certificate]) -> str:
    """What to do about a chain whose issuer is not known, if the peer sends another authority.

    Args:
        chain: The certificates as they were sent, leaf first.

    Returns:
        A sentence without its full stop, or nothing if no wrong authority was sent.
    """
    if not chain:
        return ""
    order = chain_order(chain)
    if not order.unrelated or order.ends_at_root:
        return ""
    return (
        f"The peer sends {display_subject(chain[order.unrelated[0]])}, which issued none of its "
        f"certificates: {display_issuer(chain[order.path[-1]])} belongs in its place"
    )


def _first_wrong_place(chain: Sequence[x509.Certificate], order: ChainOrder) -> str:
    """The first certificate that stands in the place of another one of the path."""
    steps = zip(order.path, order.path[1:], sorted(order.path)[1:], strict=False)
    before, expected, found = next(step for step in steps if step[1] != step[2])
    return (
        "the certificates are sent out of order, which some clients refuse: behind "
        f"{display_subject(chain[before])} stands {display_subject(chain[found])}, and not "
        f"{display_subject(chain[expected])}, which issued it"
    )
