"""Why a handshake failed: from what was seen of it to the error that explains it.

A failed handshake leaves traces: problems that verification found, OpenSSL's
reason, an alert, the first bytes of the peer, the end of the connection. Each
function of `_DIAGNOSES` reads one kind of trace and answers with a `Diagnosis`
or None; the first answer counts, and the most telling kind comes first. A
reason that no table knows keeps its original text.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from typing import Final

from attrs import evolve, frozen
from OpenSSL import SSL

from txtransport.config.policy import Side
from txtransport.diagnosis.alerts import Alert, alert_of_reason, alert_of_record
from txtransport.diagnosis.banners import recognise_plaintext, remedy_at
from txtransport.diagnosis.openssl_errors import OF_ALERT, OF_REASON
from txtransport.diagnosis.x509_errors import diagnosis_at_depth
from txtransport.errors import Diagnosis, HandshakeFailed
from txtransport.starttls.tls_record import is_tls
from txtransport.text import escape_bytes, first_words, short_repr, short_text
from txtransport.tls.connection import (
    CLOSE_NOTIFY,
    MAX_FIRST_BYTES,
    CertificateProblem,
    TLSConnection,
)
from txtransport.tls.identity import certificate_names, issuer_place
from txtransport.tls.pem import display_issuer, display_subject


@frozen
class FailedConnection:
    """A connection whose handshake failed, or that the peer ended just after it.

    Attributes:
        where: The endpoint, for people: ``tls://mail.example.com:587``.
        side: Whether we were the client or the server.
        port: The peer's port (clients) or ours (servers), or None.
        received: The first bytes of the peer, 256 at the most.
        error: What ended it.
        connection: OpenSSL's side of it, or None when it never came to that.
        is_upgrade: Whether the connection had begun in the clear (STARTTLS).
    """

    where: str
    side: Side
    port: int | None
    received: bytes
    error: BaseException
    connection: TLSConnection | None
    is_upgrade: bool = False

    @property
    def peer(self) -> str:
        """What the peer was: ``server`` or ``client``."""
        return "server" if self.side is Side.CLIENT else "client"

    @property
    def reason(self) -> str:
        """OpenSSL's last reason, or nothing when the error is none of OpenSSL's."""
        if not isinstance(self.error, SSL.Error):
            return ""
        try:
            return str(self.error.args[0][-1][-1])
        except (LookupError, TypeError):
            return ""

    @property
    def has_certificate(self) -> bool:
        """Whether we have a certificate to show."""
        return self.connection is not None and self.connection.policy.local_cert is not None


def handshake_failure(attempt: FailedConnection) -> HandshakeFailed:
    """Why a handshake failed, as the error that the application gets."""
    diagnosis = next(filter(None, (diagnose(attempt) for diagnose in _DIAGNOSES)))
    error = HandshakeFailed(
        f"{attempt.where}: {diagnosis.summary}",
        cause=diagnosis.cause,
        permanent=diagnosis.permanent,
        remedy=diagnosis.remedy,
        fault=diagnosis.fault,
        evidence=_evidence(attempt),
        original=attempt.error,
        received=attempt.received,
        chain=attempt.connection.shown_chain if attempt.connection is not None else (),
    )
    error.__cause__ = attempt.error
    return error


def late_failure(attempt: FailedConnection) -> HandshakeFailed | None:
    """Why a secured connection was ended, if the server refused our certificate.

    In TLS 1.3 a server verifies the client's certificate after the client has
    finished its handshake, so the application's protocol exists already.

    Returns:
        The error, or None when the end has another reason.
    """
    alert = alert_of_reason(attempt.reason)
    if attempt.side is Side.SERVER or alert is None:
        return None
    # "Internal error" is what OpenSSL says when a callback refuses, as ours may.
    is_verdict = alert.number in _VERDICTS or (alert.number == 80 and attempt.has_certificate)
    return handshake_failure(attempt) if is_verdict else None


def timeout_hint(received: bytes, side: Side, port: int | None, where: str) -> str:
    """What to do about a peer that began in plain text and then fell silent, or nothing."""
    known = recognise_plaintext(received, side, port)
    return remedy_at(known.diagnosis, where) if known is not None else ""


# --- one function for each kind of trace ------------------------------------------


def _certificate(attempt: FailedConnection) -> Diagnosis | None:
    """Verification found a reason to refuse the peer's certificate."""
    if attempt.connection is None or not attempt.connection.verification.problems:
        return None
    problem = attempt.connection.verification.problems[0]
    whose = "peer's" if attempt.side is Side.CLIENT else "client's"
    place = "" if problem.depth == 0 else f" (an authority, depth {problem.depth})"
    found = problem.diagnosis
    if problem.certificate is not None:
        elsewhere = issuer_place(problem.certificate)
        found = diagnosis_at_depth(found, problem.code, problem.depth, elsewhere)
    text = f"the {whose} certificate{place} was refused: {found.summary}{_described(problem)}"
    return evolve(found, summary=text)


def _described(problem: CertificateProblem) -> str:
    certificate = problem.certificate
    if certificate is None:
        return ""
    number = f"; X509 error {problem.code}" if problem.code else ""
    return (
        f" (subject {display_subject(certificate)}, issuer {display_issuer(certificate)}, "
        f"names {certificate_names(certificate)}, "
        f"valid {certificate.not_valid_before_utc:%Y-%m-%d} "
        f"to {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC{_now(problem)}{number})"
    )


def _now(problem: CertificateProblem) -> str:
    """The present time, where the certificate's dates are the reason."""
    if problem.diagnosis.cause not in ("expired", "not-yet-valid"):
        return ""
    return f", and now it is {datetime.now(timezone.utc):%Y-%m-%d %H:%M}"


def _evidence(attempt: FailedConnection) -> tuple[str, ...]:
    """What was seen, a line each."""
    lines = []
    connection = attempt.connection
    if connection is not None:
        asked = connection.get_servername() if attempt.side is Side.CLIENT else None
        if asked:
            lines.append(f"asked for the name {escape_bytes(asked, 80)} (SNI)")
        if connection.policy.alpn_protocols:
            ours = ", ".join(connection.policy.alpn_protocols)
            lines.append(f"our application protocols: {short_repr(ours)} (ALPN)")
        found = connection.verification
        for depth, certificate in sorted(found.chain.items())[:_CERTIFICATES]:
            problem = CertificateProblem(_NO_PROBLEM, 0, depth, certificate)
            lines.append(f"certificate {depth}:{_described(problem)}")
        lines += [
            f"against certificate {each.depth}: {each.diagnosis.summary}"
            for each in found.problems[:4]
        ]
    if attempt.received:
        is_ours_to_show = attempt.side is Side.CLIENT or is_tls(attempt.received)
        said = escape_bytes(attempt.received) if is_ours_to_show else first_words(attempt.received)
        lines.append(f"the {attempt.peer} sent {said}")
    reason = attempt.reason[:200]
    if reason:
        lines.append(f"OpenSSL says {short_repr(reason, 200)}")
    return tuple(lines)


_CERTIFICATES: Final = 6
"""Certificates of a chain that are shown."""

_NO_PROBLEM: Final = Diagnosis("", "")


def _plaintext(attempt: FailedConnection) -> Diagnosis | None:
    """The peer's first bytes are plain text."""
    received, peer = attempt.received, attempt.peer
    if not received or is_tls(received):
        return None
    # Clients log in, and a server's log is read by others than they.
    said = escape_bytes(received) if attempt.side is Side.CLIENT else first_words(received)
    if attempt.is_upgrade:
        return Diagnosis(
            "plaintext-peer",
            f"the {peer} sent plain text {said} where its TLS was to begin",
            "None of it was delivered. Someone in the middle may have put it there, or the "
            f"{peer} did not switch to TLS after the go-ahead",
            fault="someone-between",
        )
    known = recognise_plaintext(received, attempt.side, attempt.port)
    said_of = f": it sent {said}"
    if known is not None:
        text = f"expected a TLS handshake, but {known.diagnosis.summary}{said_of}"
        return evolve(
            known.diagnosis, summary=text, remedy=remedy_at(known.diagnosis, attempt.where)
        )
    return Diagnosis(
        "plaintext-peer",
        f"expected a TLS handshake, but the {peer} does not speak it{said_of}",
        "Is this the right port for TLS?",
        fault="ours" if attempt.side is Side.CLIENT else "peer",
    )


def _close_notify(attempt: FailedConnection) -> Diagnosis | None:
    """The peer sent close_notify instead of a handshake, for which OpenSSL has no reason."""
    first = alert_of_record(attempt.received)
    if attempt.reason != CLOSE_NOTIFY and (first is None or first.number != 0):
        return None
    return Diagnosis(
        "closed",
        "the peer said goodbye (close_notify) instead of a handshake",
        "It speaks TLS and does not want to talk now; look at its log",
        permanent=False,
    )


def _alert(attempt: FailedConnection) -> Diagnosis | None:
    """OpenSSL reports an alert of the peer."""
    alert = alert_of_reason(attempt.reason)
    return _of_alert(attempt, alert) if alert is not None else None


def _own_reason(attempt: FailedConnection) -> Diagnosis | None:
    """OpenSSL on this side has a reason of its own, which the table knows."""
    return OF_REASON.get(attempt.reason)


def _first_alert(attempt: FailedConnection) -> Diagnosis | None:
    """The peer's first record is an alert that OpenSSL does not report."""
    alert = alert_of_record(attempt.received)
    return _of_alert(attempt, alert) if alert is not None else None


def _connection_end(attempt: FailedConnection) -> Diagnosis | None:
    """The connection ended without a reason."""
    if not _is_end(attempt.error):
        return None
    count = len(attempt.received)
    if count:
        sent = (
            f"more than {MAX_FIRST_BYTES - 1} bytes"
            if count >= MAX_FIRST_BYTES
            else f"{count} byte{'s'[: count > 1]}"
        )
        text = f"the peer closed the connection during the TLS handshake, after {sent}"
    else:
        text = "the peer closed the connection without a byte of TLS"
    return Diagnosis(
        "closed",
        text,
        "Is this port for TLS? A firewall, a full server or a name that the peer does not "
        "serve looks the same"
        if attempt.side is Side.CLIENT
        else "Health checks and port scans look like this",
        permanent=False,
        fault="network" if attempt.side is Side.CLIENT else "peer",
    )


def _is_end(error: BaseException) -> bool:
    # Twisted's errors of this kind have a base of this name; `tls` imports no Twisted.
    return isinstance(error, (SSL.ZeroReturnError, SSL.SysCallError, OSError)) or any(
        kind.__name__ == "ConnectionClosed" for kind in type(error).__mro__
    )


def _unknown_reason(attempt: FailedConnection) -> Diagnosis:
    text = attempt.reason or short_repr(attempt.error, 200)
    return Diagnosis("other", f"the TLS handshake failed: {short_text(text)}")


_DIAGNOSES: Final[tuple[Callable[[FailedConnection], Diagnosis | None], ...]] = (
    _certificate,
    _plaintext,
    _close_notify,
    _alert,
    _own_reason,
    _first_alert,
    _connection_end,
    _unknown_reason,
)
"""The most telling kind of trace first."""


# --- alerts -----------------------------------------------------------------------

# Alerts by which a peer refuses our certificate …
_OUR_CERTIFICATE: Final = frozenset({42, 43, 44, 45, 46, 48})
# … and those that it may send when our side of the handshake is complete already.
_VERDICTS: Final = _OUR_CERTIFICATE | {40, 49, 51, 116}


def _of_alert(attempt: FailedConnection, alert: Alert) -> Diagnosis:
    number = alert.number
    said = f"the peer ended the handshake with the alert {alert.name!r} ({number})"
    if number in OF_ALERT:
        return _with_alert(OF_ALERT[number], said)
    if number == 40:
        return _handshake_failure(attempt, said)
    if number in _OUR_CERTIFICATE:
        return _certificate_refused(attempt, said)
    remedy = "Look at the peer's log for the reason"
    if number == 80 and attempt.side is Side.SERVER:
        remedy += "; clients of OpenSSL say so when their own check of our name refuses it"
    elif number == 80 and attempt.connection and attempt.connection.policy.alpn_protocols:
        remedy = ("Try without alpn_protocols: a Twisted server without protocols of its own "
                  "answers so to every offer")  # fmt: skip
    return Diagnosis("peer-alert", said, remedy, permanent=number != 80)


def _with_alert(diagnosis: Diagnosis, said: str) -> Diagnosis:
    return evolve(diagnosis, summary=f"{diagnosis.summary}; {said}")


def _handshake_failure(attempt: FailedConnection, said: str) -> Diagnosis:
    connection = attempt.connection
    if (
        attempt.side is Side.CLIENT
        and connection is not None
        and not attempt.has_certificate
        and connection.get_client_ca_list()
    ):
        return _with_alert(OF_ALERT[116], said)
    return Diagnosis(
        "no-common-cipher",
        f"{said}: it finds nothing acceptable in our ciphers, groups or signatures",
        "Compare ciphers, min_version and security_level of both; before TLS 1.3 a missing "
        "client certificate (local_cert) reads the same",
    )


def _certificate_refused(attempt: FailedConnection, said: str) -> Diagnosis:
    if attempt.side is Side.SERVER:
        return Diagnosis(
            "peer-alert",
            f"the client refused our certificate; {said}",
            "The client must trust the authority of local_cert and ask for a name that it is "
            "for; see that local_cert holds the intermediate certificates",
            fault="ours",
        )
    if not attempt.has_certificate:
        return _with_alert(OF_ALERT[116], said)
    return Diagnosis(
        "peer-alert",
        f"the peer refused our certificate; {said}",
        "It must trust the authority of local_cert, and the certificate must be for clients",
        fault="ours",
    )
