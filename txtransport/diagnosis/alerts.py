"""The alerts of TLS: what a peer says when it ends a handshake.

OpenSSL's words for an alert differ from one release to the next; on the wire it is
always the same number (RFC 8446, section 6).
"""

from __future__ import annotations

import re
from typing import Final

from attrs import frozen

from txtransport.starttls.tls_record import alert_number

__all__ = ["ALERTS", "Alert", "alert_of_reason", "alert_of_record"]


@frozen
class Alert:
    """One kind of alert.

    Attributes:
        number: The byte that stands for it on the wire.
        name: OpenSSL's words for it.
    """

    number: int
    name: str


ALERTS: Final = tuple(
    Alert(number, name)
    for number, name in (
        (0, "close notify"),
        (10, "unexpected message"),
        (20, "bad record mac"),
        (22, "record overflow"),
        (40, "handshake failure"),
        (42, "bad certificate"),
        (43, "unsupported certificate"),
        (44, "certificate revoked"),
        (45, "certificate expired"),
        (46, "certificate unknown"),
        (47, "illegal parameter"),
        (48, "unknown ca"),
        (49, "access denied"),
        (50, "decode error"),
        (51, "decrypt error"),
        (70, "protocol version"),
        (71, "insufficient security"),
        (80, "internal error"),
        (86, "inappropriate fallback"),
        (90, "user canceled"),
        (109, "missing extension"),
        (110, "unsupported extension"),
        (112, "unrecognized name"),
        (113, "bad certificate status response"),
        (115, "unknown psk identity"),
        (116, "certificate required"),
        (120, "no application protocol"),
    )
)
"""Every alert that a peer may send."""

_BY_NAME: Final = {alert.name: alert for alert in ALERTS}
_BY_NUMBER: Final = {alert.number: alert for alert in ALERTS}

# Alerts that are as old as SSL 3.0 are "sslv3 alert …" up to OpenSSL 3.1, "ssl/tls
# alert …" from 3.2 to 3.6, and "tls alert …" from 4.0 on; younger ones are "tlsv1 …"
# or "tlsv13 …" (ssl/ssl_err.c of each).
_REASON: Final = re.compile(r"(?:sslv3|ssl/tls|tls|tlsv1|tlsv13)(?: alert)? (.*)").fullmatch


def alert_of_reason(reason: str) -> Alert | None:
    """The alert that is named by OpenSSL's reason, or None when the reason is no alert.

    Args:
        reason: Such as ``tls alert handshake failure`` or ``tlsv1 unrecognized name``.
    """
    found = _REASON(reason)
    return _BY_NAME.get(found[1]) if found else None


def alert_of_record(received: bytes) -> Alert | None:
    """The alert in a peer's first record, or None when that is no alert.

    Args:
        received: The first bytes of the peer; 7 are enough.
    """
    number = alert_number(received)
    return None if number is None else _BY_NUMBER.get(number)
