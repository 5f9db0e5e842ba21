"""Lines by which a tool reports an alert of the other side.

There is one rule for each alert and each tool's words for it, made from the table of
alerts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from txtransport.diagnosis.alerts import ALERTS
from txtransport.diagnosis.openssl_errors import OF_ALERT
from txtransport.diagnosis.rule import Rule
from txtransport.diagnosis.tools.row import KnownWords, rows_for
from txtransport.errors import Diagnosis

__all__ = ["ALERTS_OF_PEER", "UNDECRYPTABLE"]

_FOR_SERVERS: Final = (
    "In a server's log it means that a client refused: the client must trust your authority, "
    "and local_cert must hold the intermediate certificates"
)
_OWN_CERTIFICATE: Final = Diagnosis(
    "peer-alert",
    "the other side refuses the certificate of this one",
    f"{_FOR_SERVERS}. On a client: show another certificate with local_cert=FILE",
    fault="ours",
)
_OWN_EXPIRED: Final = Diagnosis(
    "peer-alert",
    "the other side says that this side's certificate has expired or is revoked",
    "Renew local_cert, and see that the running program has loaded the new file",
    fault="ours",
)
_OWN_UNKNOWN: Final = Diagnosis(
    "peer-alert",
    "the other side does not know the authority of this side's certificate",
    f"{_FOR_SERVERS}. On a client: the server does not accept certificates of that authority",
    fault="ours",
)
UNDECRYPTABLE: Final = Diagnosis(
    "other",
    "a record came that could not be decrypted: something on the way changes the bytes, or one "
    "side has a fault",
    "Try without the proxy, balancer or virus scanner in between, and with a current OpenSSL",
    fault="network",
)
_OF_ALERT: Final = {
    **OF_ALERT,
    20: UNDECRYPTABLE,
    40: Diagnosis(
        "no-common-cipher",
        "the other side found nothing acceptable in what this one offers: ciphers, groups, "
        "signatures or versions",
        "Compare ciphers, min_version and security_level of both; a server that wants a client "
        "certificate (local_cert) or another name (peer_name) says the same, and so does a device "
        "that speaks tlsv1.0:// or sslv3:// alone (docs/legacy.md)",
    ),
    42: _OWN_CERTIFICATE,
    43: _OWN_CERTIFICATE,
    44: _OWN_EXPIRED,
    45: _OWN_EXPIRED,
    46: _OWN_CERTIFICATE,
    48: _OWN_UNKNOWN,
    51: UNDECRYPTABLE,
    80: Diagnosis(
        "peer-alert",
        "the other side failed for a reason of its own, which it does not tell (internal error)",
        "Look at its log. A server without a certificate sends this alert, and a Twisted server "
        "to a client that offers protocols: try without alpn_protocols",
        permanent=False,
    ),
}

# The words that differ from OpenSSL's, by number: crypto/tls/alert.go, gnutls_alert_get_name(3).
_IN_GO: Final = {
    44: "revoked certificate",
    45: "expired certificate",
    46: "unknown certificate",
    48: "unknown certificate authority",
    50: "error decoding message",
    51: "error decrypting message",
    70: "protocol version not supported",
    71: "insufficient security level",
}
_IN_GNUTLS: Final = {
    40: "handshake failed",
    42: "certificate is bad",
    43: "certificate is not supported",
    44: "certificate was revoked",
    45: "certificate is expired",
    46: "unknown certificate",
    48: "ca is unknown",
    49: "access was denied",
    70: "error in protocol version",
    112: "the server name sent was not recognized",
    116: "certificate is required",
    120: "no supported application protocol could be negotiated",
}
# "bad certificate" must not match in "bad certificate status response".
_NOT_LONGER: Final = r"(?! (?:status|authority))"


def _rows() -> Iterator[Rule[KnownWords]]:
    for alert in ALERTS:
        if alert.number == 0:
            continue
        diagnosis = _OF_ALERT.get(alert.number) or Diagnosis(
            "peer-alert",
            f"the other side ended it with the alert {alert.name!r} ({alert.number})",
            "Look at its log for the reason",
        )
        name = alert.name
        yield from rows_for(
            diagnosis,
            OpenSSL=(
                rf"\b(?:sslv3|tlsv1|tlsv13|tls)(?: alert)? {name}{_NOT_LONGER}",
                rf"\balert number {alert.number}\b",
            ),
            Go=rf"remote error: tls: {_IN_GO.get(alert.number, name)}{_NOT_LONGER}",
            Java=rf"received fatal alert: {name}{_NOT_LONGER}",
        )
        if alert.number in _IN_GNUTLS:
            yield from rows_for(
                diagnosis, GnuTLS=rf"gnutls handshake\(\) failed: {_IN_GNUTLS[alert.number]}"
            )


ALERTS_OF_PEER: Final = (*_rows(),)
