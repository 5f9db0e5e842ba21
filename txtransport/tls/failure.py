"""Why a handshake failed: turns what was seen of it into the error that explains it.

There are several kinds of evidence: problems that verification found, OpenSSL's
reason, the peer's alert, the peer's first bytes, the end of the connection. Several
of them may be there at once, and one often hides the other: plain text makes OpenSSL
say "wrong version number", and a refused certificate "certificate verify failed".
So each function of `_DIAGNOSES` looks at one kind of evidence and returns a
`Diagnosis` or None; the functions are asked in order, the most specific kind first,
and the first diagnosis counts. A reason that no table has is shown in OpenSSL's words.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from typing import Final

from attrs import evolve, frozen
from cryptography import x509
from OpenSSL import SSL

from txtransport.config.policy import Side
from txtransport.config.schemes import BROKEN_VERSIONS
from txtransport.diagnosis.alerts import Alert, alert_of_reason, alert_of_record
from txtransport.diagnosis.banners import recognise_plaintext, remedy_at
from txtransport.diagnosis.openssl_errors import OF_ALERT, OF_REASON
from txtransport.diagnosis.x509_errors import diagnosis_at_depth
from txtransport.diagnosis.x509_symbols import x509_reason
from txtransport.errors import Diagnosis, HandshakeFailed
from txtransport.starttls.tls_record import (
    alert_number,
    begins_handshake,
    begins_hello,
    is_ssl2,
    is_ssl3,
    is_tls,
)
from txtransport.text import escape_bytes, first_words, short_repr, short_text
from txtransport.tls.certificate import validity
from txtransport.tls.chain import wrong_issuer
from txtransport.tls.connection import (
    CLOSE_NOTIFY,
    MAX_FIRST_BYTES,
    CertificateProblem,
    SecureConnection,
)
from txtransport.tls.identity import certificate_names, issuer_place
from txtransport.tls.pem import display_issuer, display_subject

__all__ = ["FailedConnection", "handshake_failure", "late_failure", "timeout_hint"]


@frozen
class FailedConnection:
    """A connection whose handshake failed, or that the peer ended just after it.

    Attributes:
        where: The endpoint, for people: ``tls://mail.example.com:587``.
        side: Whether we were the client or the server.
        port: The peer's port (clients) or ours (servers), or None.
        received: The first bytes of the peer, `MAX_FIRST_BYTES` (256) at the most.
        error: The exception that ended the connection.
        connection: The connection, or None when there was none yet.
        is_upgrade: Whether the connection had begun in the clear (STARTTLS).
        is_reset: Whether TCP was reset (RST), and not closed by the peer (FIN) or by us.
    """

    where: str
    side: Side
    port: int | None
    received: bytes
    error: BaseException
    connection: SecureConnection | None
    is_upgrade: bool = False
    is_reset: bool = False

    @property
    def peer(self) -> str:
        """What to call the peer: ``server`` or ``client``."""
        return "server" if self.side is Side.CLIENT else "client"

    @property
    def reason(self) -> str:
        """OpenSSL's last reason, such as ``no shared cipher``; empty for any other error."""
        if not isinstance(self.error, SSL.Error):
            return ""
        try:
            return str(self.error.args[0][-1][-1])
        except (LookupError, TypeError):
            return ""

    @property
    def speaks_broken_version(self) -> str | None:
        """``SSLv2`` or ``SSLv3``, if the connection speaks that."""
        version = "" if self.connection is None else self.connection.policy.min_version
        return version if version in BROKEN_VERSIONS else None

    @property
    def has_certificate(self) -> bool:
        """Whether our policy has a certificate of our own (``local_cert``)."""
        return self.connection is not None and self.connection.policy.local_cert is not None


def handshake_failure(failed: FailedConnection) -> HandshakeFailed:
    """Explain a failed handshake.

    Args:
        failed: The connection and what was seen of it.

    Returns:
        The error that the application gets; its ``__cause__`` is the original one.
    """
    diagnosis = next(filter(None, (diagnose(failed) for diagnose in _DIAGNOSES)))
    diagnosis = _with_scheme(failed, diagnosis)
    error = HandshakeFailed(
        f"{failed.where}: {diagnosis.summary}",
        cause=diagnosis.cause,
        permanent=diagnosis.permanent,
        remedy=diagnosis.remedy,
        fault=diagnosis.fault,
        evidence=_evidence(failed),
        original=failed.error,
        received=failed.received,
        chain=failed.connection.shown_chain if failed.connection is not None else (),
        details=_refused_details(failed),
    )
    error.__cause__ = failed.error
    return error


def _with_scheme(failed: FailedConnection, diagnosis: Diagnosis) -> Diagnosis:
    """Name the schemes to try, where one of the two sides speaks SSL 2.0 or SSL 3.0."""
    if diagnosis.cause not in ("no-common-version", "no-common-cipher", "peer-alert"):
        return diagnosis
    if failed.speaks_broken_version is not None:
        if diagnosis.cause == "no-common-version":
            return evolve(diagnosis, remedy=_NEWER)
        return evolve(diagnosis, remedy=_CIPHERS_OR_NEWER)
    if is_ssl3(failed.received):
        if failed.side is Side.SERVER:
            return evolve(diagnosis, remedy=_OLD_CLIENT)
        connection = failed.connection
        has_tried = connection is not None and connection.policy.min_version == "1.0"
        return evolve(diagnosis, remedy=_OLD_SERVER.format("" if has_tried else _TRY_OLD_TLS))
    return diagnosis


_NEWER: Final = "Try tls:// first, then tlsv1.0://"
_CIPHERS_OR_NEWER: Final = (
    "The peer may speak another version: try tls:// first, then tlsv1.0://. Otherwise compare "
    "ciphers, and look whether a server demands a client certificate (local_cert)"
)
_OLD_SERVER: Final = (
    "It answers in SSL 3.0, and may speak nothing newer: {}sslv3:// is for a device that cannot be "
    "renewed (docs/legacy.md)"
)
_TRY_OLD_TLS: Final = "try tlsv1.0:// first; "
_OLD_CLIENT: Final = (
    "Its newest version is SSL 3.0, which can be broken: it must be renewed; a server of sslv3:// "
    "for such devices alone is in docs/legacy.md"
)


def late_failure(failed: FailedConnection) -> HandshakeFailed | None:
    """Explain the end of a secured connection, if the server refused our certificate.

    In TLS 1.3 a server verifies the client's certificate after the client has
    finished its handshake (RFC 8446, 4.4), so the refusal arrives when the
    application's protocol exists already.

    Args:
        failed: A client's connection and what was seen of it.

    Returns:
        The error, or None when the connection ended for any other reason.
    """
    alert = alert_of_reason(failed.reason)
    if failed.side is Side.SERVER or alert is None:
        return None
    # A server on OpenSSL whose verify callback refuses, as ours may, sends "internal error".
    is_refusal = alert.number in _REFUSALS or (
        alert.number == _INTERNAL_ERROR and failed.has_certificate
    )
    return handshake_failure(failed) if is_refusal else None


def timeout_hint(received: bytes, side: Side, port: int | None, where: str) -> str:
    """What to do about a peer that sent something and then nothing more.

    Args:
        received: The first bytes of the peer.
        side: Whether we are the client or the server.
        port: The peer's port (clients) or ours (servers), or None.
        where: The endpoint, for people.

    Returns:
        A sentence, or an empty text when the bytes tell nothing.
    """
    if side is Side.CLIENT and len(received) > 1 and begins_handshake(received):
        return _STOPPED
    known = recognise_plaintext(received, side, port)
    return remedy_at(known.diagnosis, where) if known is not None else ""


# A message of several packets whose end never comes: RFC 2923, section 2.1.
_STOPPED: Final = (
    "the peer began its TLS handshake and stopped: does the network in between drop large packets "
    "(MTU), or has the server no time?"
)


# --- one function for each kind of evidence ---------------------------------------


def _certificate(failed: FailedConnection) -> Diagnosis | None:
    """Verification refused the peer's certificate."""
    if failed.connection is None or not failed.connection.verification.problems:
        return None
    problem = failed.connection.verification.problems[0]
    whose = "peer's" if failed.side is Side.CLIENT else "client's"
    place = "" if problem.depth == 0 else f" (an authority, depth {problem.depth})"
    diagnosis = problem.diagnosis
    if problem.certificate is not None:
        issuer_url = issuer_place(problem.certificate)
        diagnosis = diagnosis_at_depth(diagnosis, problem.code, problem.depth, issuer_url)
    wrong = wrong_issuer(failed.connection.shown_chain) if problem.code in _NO_ROOT else ""
    if wrong:
        diagnosis = evolve(diagnosis, remedy=f"{wrong}. {diagnosis.remedy}", fault="peer")
    policy = failed.connection.policy
    if policy.pin and policy.cafile and problem.code in _NO_ROOT:
        diagnosis = evolve(diagnosis, remedy=_ROOT_FOR_PIN)
    text = f"the {whose} certificate{place} was refused: {diagnosis.summary}{_facts(problem)}"
    return evolve(diagnosis, summary=text)


# X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, …_LOCALLY and …_VERIFY_LEAF_SIGNATURE.
_NO_ROOT: Final = frozenset({2, 20, 21})
_ROOT_FOR_PIN: Final = (
    "With pin the chain must end at a root: put the root of the authority in cafile there as "
    "well, or use peer_fingerprint instead of pin"
)


def _refused_details(failed: FailedConnection) -> str:
    """The facts of the certificate that was refused, for the error's text; empty for none."""
    if failed.connection is None or not failed.connection.verification.problems:
        return ""
    problem = failed.connection.verification.problems[0]
    return _details(problem.certificate, f"; {x509_reason(problem.code)}" if problem.code else "")


def _details(certificate: x509.Certificate | None, more: str = "") -> str:
    """The facts of a certificate, in brackets, with something more at their end."""
    if certificate is None:
        return ""
    start, end = validity(certificate)
    return (
        f" (subject {display_subject(certificate)}, issuer {display_issuer(certificate)}, "
        f"names {certificate_names(certificate)}, "
        f"valid {start:%Y-%m-%d} to {end:%Y-%m-%d %H:%M} UTC{more})"
    )


def _facts(problem: CertificateProblem) -> str:
    """The issuer that is missing, or the date that is wrong and ours: our clock may be wrong."""
    cause = problem.diagnosis.cause
    if problem.certificate is None:
        return ""
    if problem.code in _NO_ROOT:
        return f": {display_issuer(problem.certificate)}"
    if cause not in ("expired", "not-yet-valid"):
        return ""
    start, end = validity(problem.certificate)
    date = f"on {end:%Y-%m-%d %H:%M}" if cause == "expired" else f"but from {start:%Y-%m-%d %H:%M}"
    return f", {date} UTC, and now it is {datetime.now(timezone.utc):%Y-%m-%d %H:%M}"


def _evidence(failed: FailedConnection) -> tuple[str, ...]:
    """What was seen, a line each."""
    lines = []
    connection = failed.connection
    if connection is not None:
        asked = connection.get_servername() if failed.side is Side.CLIENT else None
        if asked:
            lines.append(f"asked for the name {escape_bytes(asked, 80)} (SNI)")
        if connection.protocols:
            ours = escape_bytes(b", ".join(connection.protocols), 80)
            lines.append(f"our application protocols: {ours} (ALPN)")
        if connection.offered_protocols:
            theirs = escape_bytes(b", ".join(connection.offered_protocols[:8]), 80)
            lines.append(f"the client's application protocols: {theirs} (ALPN)")
        result = connection.verification
        lines += [
            f"certificate {depth}:{_details(certificate)}"
            for depth, certificate in sorted(result.chain.items())[:_MAX_CERTIFICATES]
        ]
        lines += [
            f"against certificate {problem.depth}: {problem.diagnosis.summary}{_reason(problem)}"
            for problem in result.problems[:_MAX_PROBLEMS]
        ]
    lines += _what_was_sent(failed)
    if failed.is_reset:
        lines.append("the connection was reset (RST, ECONNRESET), not closed (FIN)")
    reason = failed.reason[:200]
    if reason:
        lines.append(f"OpenSSL says {short_repr(reason, 200)}")
    return tuple(lines)


def _reason(problem: CertificateProblem) -> str:
    return f", {x509_reason(problem.code)}" if problem.code else ""


def _what_was_sent(failed: FailedConnection) -> list[str]:
    """The peer's first bytes, if they tell anything; an alert in words.

    A hello tells nothing in bytes: it has come as it should, and what failed came later.
    """
    if not failed.received or begins_hello(failed.received):
        return []
    alert = alert_of_record(failed.received)
    if alert is not None:
        return [f"the {failed.peer} sent the alert {alert.name!r} ({alert.number})"]
    return [f"the {failed.peer} sent {_quoted(failed)}"]


_MAX_CERTIFICATES: Final = 6
_MAX_PROBLEMS: Final = 4


def _quoted(failed: FailedConnection) -> str:
    """The peer's first bytes, escaped; of a client's plain text its first two words alone.

    A client that does not know that TLS is expected may send a password at once, and
    a server's log is read by others than that client.
    """
    is_safe = failed.side is Side.CLIENT or is_tls(failed.received)
    return escape_bytes(failed.received) if is_safe else first_words(failed.received)


def _plaintext(failed: FailedConnection) -> Diagnosis | None:
    """The peer's first bytes are plain text."""
    received, peer = failed.received, failed.peer
    is_own = failed.speaks_broken_version == "SSLv2" and is_ssl2(received)
    if not received or is_own or is_tls(received):
        return None
    quoted = _quoted(failed)
    if failed.is_upgrade:
        return Diagnosis(
            "plaintext-peer",
            f"the {peer} sent plain text {quoted} where its TLS was to begin",
            "None of it was delivered. Someone in the middle may have put it there, or the "
            f"{peer} did not switch to TLS after the go-ahead",
            fault="someone-between",
        )
    known = recognise_plaintext(received, failed.side, failed.port)
    if known is not None:
        text = f"expected a TLS handshake, but {known.diagnosis.summary}: it sent {quoted}"
        return evolve(
            known.diagnosis, summary=text, remedy=remedy_at(known.diagnosis, failed.where)
        )
    return Diagnosis(
        "plaintext-peer",
        f"expected a TLS handshake, but the {peer} does not speak it: it sent {quoted}",
        "Is this the right port for TLS?",
        fault="ours" if failed.side is Side.CLIENT else "peer",
    )


def _close_notify(failed: FailedConnection) -> Diagnosis | None:
    """The peer sent close_notify instead of a handshake; OpenSSL has no reason for that."""
    first = alert_of_record(failed.received)
    if failed.reason != CLOSE_NOTIFY and (first is None or first.number != 0):
        return None
    return Diagnosis(
        "closed",
        "the peer said goodbye (close_notify) instead of a handshake",
        "It speaks TLS and does not want to talk now; look at its log",
        permanent=False,
    )


def _alert(failed: FailedConnection) -> Diagnosis | None:
    """OpenSSL's reason is an alert that the peer sent."""
    alert = alert_of_reason(failed.reason)
    return _of_alert(failed, alert) if alert is not None else None


def _own_reason(failed: FailedConnection) -> Diagnosis | None:
    """OpenSSL's reason is one of this side, and the table has it."""
    return OF_REASON.get(failed.reason)


def _first_alert(failed: FailedConnection) -> Diagnosis | None:
    """The peer's first record is an alert that OpenSSL does not report, or has no name for."""
    number = alert_number(failed.received)
    if number is None:
        return None
    return _of_alert(failed, alert_of_record(failed.received) or Alert(number, "unknown"))


def _connection_end(failed: FailedConnection) -> Diagnosis | None:
    """The peer closed or reset the connection without an alert."""
    if not _is_end(failed.error):
        return None
    how = "the connection was reset (RST)" if failed.is_reset else "the peer closed the connection"
    count = len(failed.received)
    if count:
        sent = (
            f"more than {MAX_FIRST_BYTES - 1} bytes"
            if count >= MAX_FIRST_BYTES
            else f"{count} byte{'s' if count > 1 else ''}"
        )
        text = f"{how} during the TLS handshake, after {sent}"
    else:
        text = f"{how} without a byte of TLS"
    return Diagnosis(
        "closed",
        text,
        _AFTER_END[failed.side, failed.is_reset],
        permanent=False,
        fault="network" if failed.side is Side.CLIENT else "peer",
    )


_AFTER_END: Final = {
    (Side.CLIENT, False): "Is this port for TLS? A firewall, a full server, or one that does not "
    "serve the name, looks the same",
    (Side.CLIENT, True): "Is this port for TLS? A firewall, a balancer without a server behind it "
    "or a server that crashed looks the same",
    (Side.SERVER, False): "Health checks and port scans look like this",
    (Side.SERVER, True): "Health checks and port scans look like this, and clients that crashed",
}
"""What to do about an end, by our side and by whether TCP was reset."""


def _is_end(error: BaseException) -> bool:
    # Twisted's ConnectionDone and ConnectionLost are below ConnectionClosed, which is
    # compared by its name since `txtransport.tls` does not import Twisted.
    return isinstance(error, (SSL.ZeroReturnError, SSL.SysCallError, OSError)) or any(
        kind.__name__ == "ConnectionClosed" for kind in type(error).__mro__
    )


def _unknown_reason(failed: FailedConnection) -> Diagnosis:
    text = failed.reason or short_repr(failed.error, 200)
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
"""The most specific kind of evidence first; the last function has a diagnosis for anything."""


# --- alerts -----------------------------------------------------------------------

_HANDSHAKE_FAILURE: Final = 40
_INTERNAL_ERROR: Final = 80
_CERTIFICATE_REQUIRED: Final = 116
# Alerts by which a peer refuses our certificate (RFC 8446, 6.2) …
_OUR_CERTIFICATE: Final = frozenset({42, 43, 44, 45, 46, 48})
# … and all by which it may do so when our side of the handshake is complete already.
_REFUSALS: Final = _OUR_CERTIFICATE | {_HANDSHAKE_FAILURE, 49, 51, _CERTIFICATE_REQUIRED}


def _of_alert(failed: FailedConnection, alert: Alert) -> Diagnosis:
    """What an alert means, given our side, our certificate and our options."""
    number = alert.number
    alert_text = f"the peer ended the handshake with the alert {alert.name!r} ({number})"
    if number in OF_ALERT:
        return _with_alert(OF_ALERT[number], alert_text)
    if number == _HANDSHAKE_FAILURE:
        return _handshake_failure(failed, alert_text)
    if number in _OUR_CERTIFICATE:
        return _certificate_refused(failed, alert_text)
    remedy = "Look at the peer's log for the reason"
    if number == _INTERNAL_ERROR and failed.side is Side.SERVER:
        remedy += "; clients on OpenSSL send this alert when their own check of our name fails"
    elif (
        number == _INTERNAL_ERROR and failed.connection is not None and failed.connection.protocols
    ):
        remedy = (
            "Try without alpn_protocols: a Twisted server without protocols of its own "
            "sends this alert to every client that offers some"
        )
    return Diagnosis("peer-alert", alert_text, remedy, permanent=number != _INTERNAL_ERROR)


def _with_alert(diagnosis: Diagnosis, alert_text: str) -> Diagnosis:
    return evolve(diagnosis, summary=f"{diagnosis.summary}; {alert_text}")


def _handshake_failure(failed: FailedConnection, alert_text: str) -> Diagnosis:
    """What the alert "handshake failure" (40) means here.

    Before TLS 1.3 a server that demands a client certificate ends the handshake with
    this alert as well. Its request, which came before, tells which of the two happened.
    """
    connection = failed.connection
    if (
        failed.side is Side.CLIENT
        and connection is not None
        and not failed.has_certificate
        and connection.is_certificate_requested
    ):
        return _with_alert(OF_ALERT[_CERTIFICATE_REQUIRED], alert_text)
    return Diagnosis(
        "no-common-cipher",
        f"{alert_text}: it finds nothing acceptable in our ciphers, groups or signatures",
        "Compare ciphers, min_version and security_level of both; before TLS 1.3 a missing "
        "client certificate (local_cert) reads the same",
    )


def _certificate_refused(failed: FailedConnection, alert_text: str) -> Diagnosis:
    if failed.side is Side.SERVER:
        return Diagnosis(
            "peer-alert",
            f"the client refused our certificate; {alert_text}",
            "The client must trust the authority of local_cert and ask for a name that it is "
            "for; see that local_cert holds the intermediate certificates",
            fault="ours",
        )
    if not failed.has_certificate:
        return _with_alert(OF_ALERT[_CERTIFICATE_REQUIRED], alert_text)
    return Diagnosis(
        "peer-alert",
        f"the peer refused our certificate; {alert_text}",
        "It must trust the authority of local_cert, and the certificate must be for clients",
        fault="ours",
    )
