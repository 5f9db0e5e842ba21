"""Alerts are known by their numbers, whatever an OpenSSL calls them."""

from __future__ import annotations

from typing import Final

from hypothesis import given
from hypothesis import strategies as st
from OpenSSL import SSL
from twisted.trial.unittest import SynchronousTestCase

from tests.tls import handshake
from txtransport.diagnosis.alerts import ALERTS, Alert, alert_of_reason, alert_of_record

WORDINGS: Final = (
    "sslv3 alert", "ssl/tls alert", "tls alert", "tlsv1 alert", "tlsv13 alert", "tlsv1",
)  # fmt: skip
"""What stands before an alert's name, in the releases of OpenSSL."""


def record(number: int, level: int = 2) -> bytes:
    """An alert, as it goes over the wire."""
    return bytes((0x15, 3, 3, 0, 2, level, number))


class ReasonTests(SynchronousTestCase):
    """Alerts in OpenSSL's reasons."""

    def test_every_release_of_openssl_names_the_same_alert(self) -> None:
        """``sslv3 alert`` (to 3.1), ``ssl/tls alert`` (3.2 to 3.6) and ``tls alert`` are one."""
        for words in WORDINGS:
            alert = alert_of_reason(f"{words} handshake failure")
            self.assertEqual(alert, Alert(40, "handshake failure"), words)

    def test_every_alert_that_openssl_reports_is_recognised(self) -> None:
        """The words of the OpenSSL that is linked lead to the right number, for each alert."""
        silent = {0, 90}  # OpenSSL reports no error for these.
        for alert in ALERTS:
            if alert.number in silent:
                continue
            end = handshake.arranged().client
            end.hear(b"")
            end.hear(record(alert.number))
            assert isinstance(end.error, SSL.Error)
            reason = end.error.args[0][-1][-1]
            self.assertEqual(alert_of_reason(reason), alert, reason)

    def test_other_reasons_are_no_alerts(self) -> None:
        """A reason that is no alert is not taken for one."""
        for reason in (
            "", "unexpected message", "wrong version number", "tls alert", "tls alert ",
            "tls alert no such thing", "certificate verify failed", "xtls alert unknown ca",
        ):  # fmt: skip
            self.assertIsNone(alert_of_reason(reason))

    def test_numbers_and_names_are_one_to_one(self) -> None:
        """No two alerts share a number or a name."""
        self.assertEqual(len({alert.number for alert in ALERTS}), len(ALERTS))
        self.assertEqual(len({alert.name for alert in ALERTS}), len(ALERTS))


class RecordTests(SynchronousTestCase):
    """Alerts in bytes."""

    def test_an_alert_is_read_from_the_first_record(self) -> None:
        """The first record has the number, whether the alert is a warning or fatal."""
        for alert in ALERTS:
            self.assertEqual(alert_of_record(record(alert.number)), alert)
            self.assertEqual(alert_of_record(record(alert.number, 1) + b"more"), alert)

    def test_other_bytes_are_no_alert(self) -> None:
        """Other records, parts of an alert and unknown numbers are no alert."""
        for received in (
            b"", b"\x15", record(40)[:-1], b"\x16" + record(40)[1:], record(255),
            record(40, 3), b"\x15\x03\x03\x00\x1a" + b"\2" * 26, b"HTTP/1.1 400",
        ):  # fmt: skip
            self.assertIsNone(alert_of_record(received))

    @given(st.binary(max_size=64))
    def test_any_bytes_can_be_looked_at(self, received: bytes) -> None:
        """No bytes of a peer raise an exception."""
        alert_of_record(received)
        alert_of_record(b"\x15\x03" + received)
