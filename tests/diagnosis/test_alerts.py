"""Alerts: whatever OpenSSL calls them, they are the numbers on the wire."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from OpenSSL import SSL
from twisted.trial.unittest import SynchronousTestCase

from tests.tls import handshake
from txtransport.diagnosis.alerts import ALERTS, Alert, alert_of_reason, alert_of_record


def record(number: int, level: int = 2) -> bytes:
    """An alert, as it goes over the wire."""
    return bytes((0x15, 3, 3, 0, 2, level, number))


class ReasonTests(SynchronousTestCase):
    """OpenSSL's words."""

    def test_both_ways_of_saying_it(self) -> None:
        """OpenSSL 3 says ``sslv3 alert`` for what OpenSSL 4 calls ``tls alert``."""
        for words in ("sslv3 alert", "tls alert", "tlsv1 alert", "tlsv13 alert", "tlsv1"):
            alert = alert_of_reason(f"{words} handshake failure")
            self.assertEqual(alert, Alert(40, "handshake failure"))

    def test_every_alert_that_openssl_reports(self) -> None:
        """Each alert, received by the OpenSSL that is linked, is known by its number."""
        silent = {0, 90}  # These end a handshake without an error of their own.
        for alert in ALERTS:
            if alert.number in silent:
                continue
            end = handshake.arranged().client
            end.hear(b"")
            end.hear(record(alert.number))
            assert isinstance(end.error, SSL.Error)
            reason = end.error.args[0][-1][-1]
            self.assertEqual(alert_of_reason(reason), alert, reason)

    def test_other_reasons(self) -> None:
        """What is no alert is not taken for one."""
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
    """Bytes on the wire."""

    def test_a_peer_that_begins_with_an_alert(self) -> None:
        """The first record tells the number, be it a warning or fatal."""
        for alert in ALERTS:
            self.assertEqual(alert_of_record(record(alert.number)), alert)
            self.assertEqual(alert_of_record(record(alert.number, 1) + b"more"), alert)

    def test_anything_else(self) -> None:
        """Other records, halves of an alert and numbers unheard of are no alert."""
        for received in (
            b"", b"\x15", record(40)[:-1], b"\x16" + record(40)[1:], record(255),
            record(40, 3), b"\x15\x03\x03\x00\x1a" + b"\2" * 26, b"HTTP/1.1 400",
        ):  # fmt: skip
            self.assertIsNone(alert_of_record(received))

    @given(st.binary(max_size=64))
    def test_any_bytes(self, received: bytes) -> None:
        """Whatever a peer sends, to look at it is no error."""
        alert_of_record(received)
        alert_of_record(b"\x15\x03" + received)
