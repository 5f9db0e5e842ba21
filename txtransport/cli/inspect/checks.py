"""What is to be mended in a file that its option takes, by the option."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from attrs import evolve
from cryptography import x509

from txtransport.cli.certificate import SOON
from txtransport.cli.inspect.report import Finding
from txtransport.cli.inspect.subject import Subject, certificates_of, contents_of, lists_of
from txtransport.diagnosis.own_files import OF_FILE
from txtransport.text import escape_text, shell_path
from txtransport.tls import hashed_folder
from txtransport.tls.authority import authority_problem
from txtransport.tls.certificate import CertificateSummary, summarize_chain, validity
from txtransport.tls.chain import chain_order

__all__ = ["check"]


def check(subject: Subject, *, is_taken: bool) -> Iterator[Finding]:
    """What is to be mended in a file, besides what its option or a peer refuses.

    Args:
        subject: The file.
        is_taken: Whether its option takes it; what is in a file that is refused is not
            looked at, since it may have to be another one.
    """
    if is_taken:
        yield from _CHECKS[subject.purpose](subject)
    if subject.purpose in ("local_cert", "local_pk"):
        yield from _check_rights(subject)


def _check_identity(subject: Subject) -> Iterator[Finding]:
    """What is odd about a certificate and its chain, though our clients accept it."""
    certificates = subject.certificates
    if not certificates:
        return
    order = chain_order(certificates)
    if not order.is_in_order:
        right = ", ".join(str(place + 1) for place in order.path)
        yield _finding("out-of-order", f"the right order is {right}")
    yield from _at("doubled", "certificate", [place + 1 for place in order.doubled])
    yield from _at("unrelated", "certificate", [place + 1 for place in order.unrelated])
    if order.ends_at_root and len(order.path) > 1:
        yield _finding("root-included", f"certificate {order.path[-1] + 1}")
    summaries = summarize_chain(certificates)
    if summaries[0].is_authority:
        yield _finding("authority-leaf")
    for place in order.path:
        yield from _check_end(summaries[place], place + 1, subject.now)


def _check_end(summary: CertificateSummary, number: int, now: datetime) -> Iterator[Finding]:
    if timedelta(0) <= summary.not_after - now < timedelta(SOON):
        days = summary.days_left(now)
        left = f"{days} day{'s' if days != 1 else ''} left"
        yield _finding("expires-soon", f"certificate {number} has {left}")


def _check_authorities(subject: Subject) -> Iterator[Finding]:
    """Which certificates of ``cafile`` will not do what is expected of an authority."""
    expired, future, powerless = [], [], []
    for number, certificate in enumerate(subject.certificates, 1):
        start, end = validity(certificate)
        if end < subject.now:
            expired.append(number)
        if subject.now < start:
            future.append(number)
        if authority_problem(certificate, 1) or not summarize_chain([certificate])[0].is_authority:
            powerless.append(number)
    is_useless = {*expired, *future} == {*range(1, len(subject.certificates) + 1)}
    yield from _at("expired-anchor", "certificate", expired, is_wrong=is_useless)
    yield from _at("future-anchor", "certificate", future, is_wrong=is_useless)
    yield from _at("no-anchor", "certificate", powerless)
    if contents_of(subject.path).has_key:
        yield _finding("key-needless")


def _check_lists(subject: Subject) -> Iterator[Finding]:
    """Which revocation lists make OpenSSL refuse every certificate of their issuer."""
    authorities = certificates_of(subject.trust.cafile) if subject.trust.cafile else []
    faults: dict[str, list[int]] = {}
    for number, revocations in enumerate(lists_of(subject.path), 1):
        for fault in _faults_of_list(revocations, authorities, subject.now):
            faults.setdefault(fault, []).append(number)
    for fault, numbers in faults.items():
        yield from _at(fault, "list", numbers, is_wrong=True)


def _faults_of_list(
    revocations: x509.CertificateRevocationList,
    authorities: Sequence[x509.Certificate],
    now: datetime,
) -> Iterator[str]:
    end = revocations.next_update_utc
    if end is not None and end < now:
        yield "list-expired"
    if now < revocations.last_update_utc:
        yield "list-future"
    issuers = [each for each in authorities if _is_named(revocations, each)]
    if authorities and not issuers:
        yield "list-foreign"
    elif issuers and not any(_has_signed(each, revocations) for each in issuers):
        yield "list-forged"


def _is_named(revocations: x509.CertificateRevocationList, authority: x509.Certificate) -> bool:
    try:
        return revocations.issuer == authority.subject
    except Exception:
        # cryptography raises ValueError or TypeError for a name that it cannot read.
        return False


def _has_signed(authority: x509.Certificate, revocations: x509.CertificateRevocationList) -> bool:
    try:
        return revocations.is_signature_valid(authority.public_key())  # type: ignore[arg-type]
    except Exception:
        # A key of another kind, or a digest that cryptography does not verify.
        return False


def _check_folder(subject: Subject) -> Iterator[Finding]:
    """Whether OpenSSL finds the authorities of a folder."""
    try:
        lost = hashed_folder.lost_files(subject.path)
    except OSError:
        return
    if lost:
        found = _finding("unhashed", _listed([*map(escape_text, lost)]), is_wrong=True)
        yield evolve(found, command=_command("openssl rehash", subject.path))


_MAX_SHOWN: Final = 4


_CHECKS: Final[Mapping[str, Callable[[Subject], Iterator[Finding]]]] = {
    "local_cert": _check_identity,
    "local_pk": lambda subject: iter(()),
    "cafile": _check_authorities,
    "crl": _check_lists,
    "capath": _check_folder,
}


def _check_rights(subject: Subject) -> Iterator[Finding]:
    """Which files with a private key other users can read."""
    for path in filter(None, (subject.path, subject.own.local_pk)):
        if not contents_of(path).has_key:
            continue
        if stat.S_IMODE(os.stat(path).st_mode) & (stat.S_IRGRP | stat.S_IROTH):
            place = "" if path == subject.path else escape_text(path)
            yield evolve(_finding("key-readable", place), command=_command("chmod go=", path))


def _command(words: str, path: str) -> str:
    """A line for a shell about a file; nothing for a path that cannot be copied."""
    shown = shell_path(path)
    return shown and f"{words} {shown}"


def _at(
    fault: str, word: str, numbers: Sequence[int], *, is_wrong: bool = False
) -> Iterator[Finding]:
    """One finding for all places at which there is the same fault; none without a place."""
    if numbers:
        plural = "s" if len(numbers) > 1 else ""
        places = f"{word}{plural} {_listed([*map(str, numbers)])}"
        yield _finding(fault, places, is_wrong=is_wrong)


def _listed(names: Sequence[str]) -> str:
    """The first names of a list, and how many more there are."""
    more = f" and {len(names) - _MAX_SHOWN} more" if len(names) > _MAX_SHOWN else ""
    return ", ".join(names[:_MAX_SHOWN]) + more


def _finding(fault: str, seen: str = "", *, is_wrong: bool = False) -> Finding:
    diagnosis = OF_FILE[fault]
    return Finding(evolve(diagnosis, evidence=(seen,) if seen else ()), is_wrong)
