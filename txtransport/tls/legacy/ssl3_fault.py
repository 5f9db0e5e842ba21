"""What ends a connection of SSL 3.0: the alert for the peer and the reason for us."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from txtransport.diagnosis.alerts import ALERTS

__all__ = ["Alert", "SSL3Fault", "bad_record", "reason_of_alert", "unexpected_message"]


class Alert(IntEnum):
    """The alerts of SSL 3.0 that are sent or need an answer (RFC 6101, section 5.4)."""

    CLOSE_NOTIFY = 0
    UNEXPECTED_MESSAGE = 10
    BAD_RECORD_MAC = 20
    HANDSHAKE_FAILURE = 40
    NO_CERTIFICATE = 41
    BAD_CERTIFICATE = 42
    UNSUPPORTED_CERTIFICATE = 43
    ILLEGAL_PARAMETER = 47


class SSL3Fault(Exception):
    """The peer has broken the protocol or was refused, and the connection must end.

    It never leaves the engine.

    Args:
        reason: In OpenSSL's words.
        alert: What the peer is told, or None for nothing.
    """

    def __init__(self, reason: str, alert: Alert | None) -> None:
        super().__init__(reason)
        self.reason: str = reason
        self.alert: Alert | None = alert


def bad_record() -> SSL3Fault:
    """A record cannot be decrypted; why, nobody is told."""
    return SSL3Fault("decryption failed or bad record mac", Alert.BAD_RECORD_MAC)


def unexpected_message() -> SSL3Fault:
    """A message or a record that has no place where it stands."""
    return SSL3Fault("unexpected message", Alert.UNEXPECTED_MESSAGE)


_NAMES: Final = {alert.number: alert.name for alert in ALERTS}

_LAST_OF_SSL3: Final = 47
"""The highest number of an alert that SSL 3.0 has."""


def reason_of_alert(number: int) -> str:
    """OpenSSL's reason for an alert that the peer has sent.

    Args:
        number: The alert's number on the wire. Peers that speak TLS send those of TLS.
    """
    name = _NAMES.get(number)
    if name is None:
        # As OpenSSL prints SSL_AD_REASON_OFFSET + number, for which it has no words.
        return f"reason({1000 + number})"
    prefix = "sslv3 alert" if number <= _LAST_OF_SSL3 else "tlsv1 alert"
    return f"{prefix} {name}"
