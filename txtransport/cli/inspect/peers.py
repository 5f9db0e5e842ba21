"""What peers will say of a certificate: the outcomes of handshakes in memory."""

from __future__ import annotations

import shlex
from typing import Final

from attrs import evolve
from cryptography import x509

from txtransport.cli.inspect.report import Finding, PeerVerdict
from txtransport.cli.inspect.subject import Subject, contents_of
from txtransport.diagnosis.own_files import owner_diagnosis
from txtransport.diagnosis.x509_symbols import x509_reason
from txtransport.errors import Diagnosis
from txtransport.text import shell_path
from txtransport.tls.certificate import is_for_clients_alone, summarize_chain
from txtransport.tls.connection import CertificateProblem
from txtransport.tls.identity import expected_name, issuer_place
from txtransport.tls.in_memory import client_refusal, server_refusal

__all__ = ["MAX_NAMES", "ask_peers", "is_name"]

MAX_NAMES: Final = 8
"""For how many names of a certificate a client is asked."""


def ask_peers(subject: Subject) -> tuple[tuple[PeerVerdict, ...], tuple[Finding, ...]]:
    """What peers say of the certificate, and what follows for its owner."""
    leaf = subject.certificates[0]
    problems: list[tuple[str, CertificateProblem | None]]
    if is_for_clients_alone(leaf) and not subject.names:
        problems = [("", server_refusal(subject.own, subject.trust))]
    else:
        problems = [
            (name, client_refusal(subject.own, subject.trust.for_peer(_asked(name))))
            for name in subject.names or _names(leaf)
        ]
    verdicts = []
    findings: dict[Diagnosis, Finding] = {}
    for name, problem in problems:
        if problem is None:
            verdicts.append(PeerVerdict(name, None))
            continue
        refusal = owner_diagnosis(problem.diagnosis, problem.depth)
        verdicts.append(PeerVerdict(name, refusal))
        told = _told(name, refusal, problem.code)
        findings.setdefault(told, Finding(told, True, _fetch(subject, problem)))
    return tuple(verdicts), tuple(findings.values())


def _told(name: str, refusal: Diagnosis, code: int) -> Diagnosis:
    """A peer's refusal as a finding about the file.

    Args:
        name: The name that a client asked for; empty where a server is the peer.
        refusal: Why, in words for the owner.
        code: OpenSSL's number of the reason; 0 for none.
    """
    who = "clients refuse it" if name else "servers refuse it"
    reason = f", {x509_reason(code)}" if code else ""
    return evolve(refusal, summary=f"{who}: {refusal.summary}{reason}", evidence=())


def _names(leaf: x509.Certificate) -> tuple[str, ...]:
    """The names of a certificate; without any its common name, which no client accepts."""
    (summary,) = summarize_chain([leaf])
    names = [name for name in summary.names if is_name(name)]
    if names:
        return tuple(names[:MAX_NAMES])
    try:
        common = leaf.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        names = [str(each.value) for each in common]
    except Exception:
        # cryptography raises ValueError or TypeError for a name that it cannot read.
        names = []
    return tuple(name for name in names[:1] if is_name(name)) or ("localhost",)


def is_name(name: str) -> bool:
    """Whether a client can ask for a name: a DNS name, perhaps with ``*`` first, or an address."""
    try:
        expected_name(_asked(name))
    except ValueError:
        return False
    return True


def _asked(name: str) -> str:
    """The name that a client asks for: one that the wildcard stands for, where it is one."""
    return f"www{name[1:]}" if name.startswith("*.") else name


def _fetch(subject: Subject, problem: CertificateProblem) -> str:
    """The command that appends a missing intermediate certificate to the file."""
    if problem.certificate is None or problem.diagnosis.cause != "unknown-issuer":
        return ""
    url = issuer_place(problem.certificate) or ""
    path = shell_path(subject.path)
    # Of a URL that had to be escaped or cut, the shell would make another one.
    if not url.startswith(("http://", "https://")) or "\\" in url or len(url) >= _MAX_URL:
        return ""
    if not path or not contents_of(subject.path).ends_line:
        return ""
    # With -g curl takes the URL as it is: [1-1000000] is else a million requests.
    return f"curl -gsSf {shlex.quote(url)} | openssl x509 -inform DER >> {path}"


_MAX_URL: Final = 200
"""Characters at which `issuer_place` cuts."""
