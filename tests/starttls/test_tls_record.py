"""TLS records, recognised by their first bytes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txtransport.starttls.tls_record import (
    alert_number,
    begins_handshake,
    begins_hello,
    is_alert,
    is_ssl2,
    is_ssl3,
    is_tls,
)

CLIENT_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"
ALERT = b"\x15\x03\x03\x00\x02\x02\x28"


class RecordTests(SynchronousTestCase):
    """What may be TLS, and what cannot be."""

    def test_each_content_type_is_tls(self) -> None:
        """Change of ciphers, alert, handshake and application data are records."""
        for kind in range(256):
            record = bytes([kind]) + b"\x03\x03\x00\x05"
            self.assertEqual(is_tls(record), 0x14 <= kind <= 0x17, kind)

    def test_plain_text_is_not_tls(self) -> None:
        """What protocols in the clear begin with, and SSL 2.0, is no record."""
        for said in (b"", b"220 ", b"EHLO x\r\n", b"\x80\x2e\x01\x00\x02", b"\x00\x00", b"\x03"):
            self.assertFalse(is_tls(said) or begins_handshake(said) or is_alert(said), said)

    def test_what_speaks_ssl3_at_most(self) -> None:
        """An alert or hello of SSL 3.0 is known, a hello of TLS in such a record is not."""
        for said in (b"\x15\x03\0\0\x02\x02\x28", b"\x16\x03\0\0\x4a\x02\0\0\x46\x03\0",
                     b"\x16\x03\0\0\x4a\x01\0\0\x46\x03\0"):  # fmt: skip
            self.assertTrue(is_ssl3(said), said)
        for said in (CLIENT_HELLO, ALERT, b"\x16\x03\0\0\x4a\x01\0\0\x46\x03\x01", b"\x16\x03\0",
                     b"\x80\x2e\x01\0\x02", b""):  # fmt: skip
            self.assertFalse(is_ssl3(said), said)

    def test_messages_of_ssl2_are_no_plain_text(self) -> None:
        """A hello or an error of SSL 2.0 is known; what protocols say in the clear is none."""
        for kind in (0, 1, 4):
            self.assertTrue(is_ssl2(b"\x80\x2e" + bytes([kind])))
        for said in (
            b"220 mail",
            b"EHLO",
            b"\x16\x03\x01",
            b"\xff\xfb\x01\xff"[:1] + b"\xfb\x20",
            b"",
        ):
            self.assertFalse(is_ssl2(said), said)

    def test_one_byte_may_be_a_record(self) -> None:
        """A peer may send one byte at a time; its first byte alone rules nothing out."""
        for size in range(1, len(CLIENT_HELLO)):
            self.assertTrue(is_tls(CLIENT_HELLO[:size]))
            self.assertTrue(begins_handshake(CLIENT_HELLO[:size]))
        self.assertFalse(is_alert(ALERT[:1]))

    def test_another_version_is_no_record(self) -> None:
        """A second byte other than 3 is no TLS, whatever the first one is."""
        for said in (b"\x16\x02\x00", b"\x15\x00", b"\x17 "):
            self.assertFalse(is_tls(said) or begins_handshake(said) or is_alert(said), said)

    def test_only_a_handshake_record_begins_a_handshake(self) -> None:
        """Alerts and application data are TLS, and no ClientHello."""
        self.assertTrue(begins_handshake(bytearray(CLIENT_HELLO)))
        for said in (ALERT, b"\x17\x03\x03", b"\x14\x03\x03"):
            self.assertFalse(begins_handshake(said), said)

    def test_only_the_first_message_of_each_side_is_a_hello(self) -> None:
        """A hello is known by its sixth byte; fewer bytes, or another message, are none."""
        self.assertTrue(begins_hello(CLIENT_HELLO[:6]))
        self.assertTrue(begins_hello(b"\x16\x03\x03\x00\x7a\x02\x00"))
        for said in (CLIENT_HELLO[:5], b"\x16\x03\x03\x00\x05hello", ALERT, b"220 \x00\x02", b""):
            self.assertFalse(begins_hello(said), said)

    def test_an_alert_has_a_number(self) -> None:
        """A whole alert, warning or fatal, of any version, has the peer's number."""
        self.assertTrue(is_alert(ALERT))
        self.assertEqual(alert_number(ALERT), 40)
        self.assertEqual(alert_number(b"\x15\x03\x01\x00\x02\x01\x00more"), 0)
        for said in (ALERT[:-1], CLIENT_HELLO, b"", b"\x15\x03\x03\x00\x03\x02\x28\x00"):
            self.assertIsNone(alert_number(said), said)

    @given(st.binary(max_size=12))
    def test_any_bytes(self, said: bytes) -> None:
        """What begins a handshake, or is an alert, is TLS as well."""
        if (
            begins_handshake(said)
            or begins_hello(said)
            or is_alert(said)
            or alert_number(said) is not None
        ):
            self.assertTrue(is_tls(said))
