"""Looks at files as the options that may name them do.

Whether an option takes a file is asked of the code that `txtransport.client()` and
`txtransport.server()` use, which builds a context from it; what a peer says of a certificate
is the outcome of a handshake in memory. Nothing is contacted, nothing is changed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

from attrs import evolve
from cryptography import x509

from txtransport.cli.inspect import OPTIONS
from txtransport.cli.inspect.checks import check
from txtransport.cli.inspect.peers import ask_peers
from txtransport.cli.inspect.purpose import guess_purpose
from txtransport.cli.inspect.report import (
    FileReport,
    Finding,
    KeySummary,
    ListSummary,
    OptionUse,
)
from txtransport.cli.inspect.subject import (
    Subject,
    certificates_of,
    contents_of,
    key_of,
    lists_of,
)
from txtransport.config.policy import Side, TLSPolicy
from txtransport.diagnosis.own_files import OF_FILE
from txtransport.errors import BadCertificateFile, InvalidOption
from txtransport.text import escape_text
from txtransport.tls import pem
from txtransport.tls.certificate import describe_key, summarize_chain
from txtransport.tls.context import build_context
from txtransport.tls.identity import spki_pin

__all__ = ["OPTIONS", "inspect"]


def inspect(
    path: str,
    key_path: str | None,
    *,
    now: datetime,
    purpose: str | None = None,
    secret: TLSPolicy | None = None,
    cafile: str | None = None,
    names: Sequence[str] = (),
) -> FileReport:
    """Look at one file, or at a certificate's file and its key's.

    Args:
        path: The file, or a folder of authorities.
        key_path: The file of its key, if that is another one.
        now: The present, in UTC.
        purpose: The option to judge the file for; guessed when it is None.
        secret: Has the passphrase of the key, as `passphrase` or `passphrase_file`.
        cafile: Whom the peers of a certificate trust, and whose revocation lists are
            expected; the authorities of the platform when it is None.
        names: Names that clients ask for; those of the certificate when there are none.

    Raises:
        InvalidOption: `cafile` cannot be used.
    """
    trust = TLSPolicy(cafile=cafile)
    build_context(trust, Side.CLIENT)
    own = evolve(secret or TLSPolicy(), local_cert=path, local_pk=key_path)
    subject = Subject(
        path,
        purpose or guess_purpose(path, has_key=key_path is not None),
        own,
        trust,
        tuple(names),
        now,
        tuple(certificates_of(path)),
    )
    uses = tuple(_uses(subject))
    refusals = tuple(_refusals_for_purpose(subject, uses))
    is_shown = subject.purpose == "local_cert" and not refusals
    verdicts, from_peers = ask_peers(subject) if is_shown else ((), ())
    findings = [*refusals, *from_peers, *check(subject, is_taken=not refusals)]
    return FileReport(
        path,
        key_path,
        subject.purpose,
        uses,
        tuple(sorted(findings, key=lambda finding: not finding.is_wrong)),
        cafile or "",
        verdicts,
        summarize_chain(subject.certificates),
        _key(subject),
        tuple(map(_summarize_list, lists_of(path))),
    )


# --- what options make of a file -------------------------------------------------------


def _uses(subject: Subject) -> Iterator[OptionUse]:
    for option in OPTIONS:
        if option != "capath" or subject.purpose == "capath" or os.path.isdir(subject.path):
            yield OptionUse(option, _refusal(subject, option))


def _refusal(subject: Subject, option: str) -> Finding | None:
    try:
        _READERS[option](subject)
    except BadCertificateFile as problem:
        is_its_own = problem.path == subject.path
        place = "" if is_its_own else f"{problem.option}={escape_text(problem.path)}: "
        diagnosis = evolve(problem.diagnosis, summary=place + problem.problem)
        return Finding(diagnosis, True, problem.command)
    except InvalidOption as problem:
        return Finding(problem.diagnosis, True)
    return None


_READERS: Final[Mapping[str, Callable[[Subject], object]]] = {
    "local_cert": lambda subject: build_context(subject.own, Side.SERVER),
    "local_pk": lambda subject: pem.read_key(subject.own, "local_pk", subject.path),
    "cafile": lambda subject: build_context(TLSPolicy(cafile=subject.path), Side.CLIENT),
    "capath": lambda subject: build_context(TLSPolicy(capath=subject.path), Side.CLIENT),
    "crl": lambda subject: build_context(evolve(subject.trust, crl=subject.path), Side.CLIENT),
}
"""The code by which each option reads its file; it raises for one that cannot be used."""


def _refusals_for_purpose(subject: Subject, uses: Sequence[OptionUse]) -> Iterator[Finding]:
    """Why the option that the file is judged for does not take it."""
    is_without_key = subject.own.local_pk is None and not contents_of(subject.path).has_key
    for use in uses:
        if use.option != subject.purpose or use.refusal is None:
            continue
        if use.option == "local_cert" and subject.certificates and is_without_key:
            yield Finding(OF_FILE["key-missing"], True)
        else:
            yield use.refusal


# --- facts -------------------------------------------------------------------------------


def _key(subject: Subject) -> KeySummary | None:
    path = subject.own.local_pk or subject.path
    key = key_of(path, subject.own)
    if key is None:
        return None
    return KeySummary(describe_key(key), contents_of(path).is_encrypted, spki_pin(key))


def _summarize_list(revocations: x509.CertificateRevocationList) -> ListSummary:
    return ListSummary(
        pem.display_issuer(revocations).strip("'\""),
        revocations.last_update_utc,
        revocations.next_update_utc,
        len(revocations),
    )
