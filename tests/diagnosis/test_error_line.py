"""What any line gives away: its tool, codes of OpenSSL, places."""

from __future__ import annotations

import os
import subprocess

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.live.peers import OPENSSL, path
from txtransport.diagnosis.alerts import ALERTS, alert_of_reason
from txtransport.diagnosis.error_line import (
    MAX_TEXT,
    ErrorCode,
    HostAndPort,
    error_codes,
    hosts_and_ports,
    normalize,
    one_line,
    tool_of,
)


class FoldingTests(SynchronousTestCase):
    """Text as the tables spell it."""

    def test_one_line(self) -> None:
        """Where a log or a terminal broke the line does not matter."""
        self.assertEqual(
            one_line(" certificate\n\tverify\r\n failed "), "certificate verify failed"
        )

    def test_it_is_cut(self) -> None:
        """No more is read than the bound says."""
        self.assertEqual(len(one_line("a" * (MAX_TEXT + 1))), MAX_TEXT)

    def test_one_spelling(self) -> None:
        """Constants and words look alike."""
        self.assertEqual(normalize("CERT_HAS_EXPIRED"), "cert has expired")

    @given(st.text())
    def test_places_stay(self, text: str) -> None:
        """What is found in folded text stands at the same place in the line."""
        self.assertEqual(len(normalize(text)), len(text))


class SpeakerTests(SynchronousTestCase):
    """Who says it."""

    def test_whoever_passes_words_on(self) -> None:
        """OpenSSL's words come by way of others, whose marks tell."""
        words = "error:0A000086:SSL routines::certificate verify failed"
        for tool, line in (
            ("OpenSSL", words),
            ("PHP", f"SSL operation failed with code 1. OpenSSL Error messages: {words}"),
            ("Node", f"Error: write EPROTO 80CC:{words}"),
            ("curl", f"curl: (60) {words}"),
            ("Python", f"ssl.SSLError: {words} (_ssl.c:1006)"),
            ("Twisted", f"twisted.python.failure.Failure OpenSSL.SSL.Error: {words}"),
        ):
            self.assertEqual(tool_of(normalize(line)), tool)

    def test_no_one(self) -> None:
        """Words without a mark are no one's."""
        self.assertIsNone(tool_of("certificate verify failed"))


class CodeTests(SynchronousTestCase):
    """Codes of OpenSSL."""

    def test_the_codes_of_each_release(self) -> None:
        """OpenSSL 3 and 1.1 pack the same reason in different ways."""
        for text in ("0A00010B", "1408F10B"):
            (code,) = error_codes(f"x:error:{text}:SSL routines:")
            self.assertEqual(code, ErrorCode(text, "wrong version number"))

    def test_a_bare_code(self) -> None:
        """The code alone, as people quote it, is enough; other hexadecimal is none."""
        self.assertEqual(
            error_codes("what is 0a000086?"), (ErrorCode("0a000086", "certificate verify failed"),)
        )
        self.assertEqual(error_codes("80CC43AAD37F0000 1408F10B 0A00010B0 x0A00010B"), ())

    def test_alerts(self) -> None:
        """A peer's alert is a reason above 1000."""
        for alert in ALERTS:
            (code,) = error_codes(f"error:{20 << 23 | 1000 + alert.number:08X}:")
            assert code.reason is not None
            self.assertEqual(alert_of_reason(code.reason), alert)

    def test_other_libraries(self) -> None:
        """Codes of which we know no words are shown as they are."""
        self.assertEqual(error_codes("error:05800074:"), (ErrorCode("05800074", None),))
        self.assertEqual(error_codes("error:0A000001:"), (ErrorCode("0A000001", None),))

    def test_each_once_and_not_too_many(self) -> None:
        """A long log is told in a few lines."""
        self.assertEqual(len(error_codes("error:0A00010B: " * 5)), 1)
        many = " ".join(f"error:0A00{number:04X}:" for number in range(100))
        self.assertEqual(len(error_codes(many)), 8)

    def test_the_words_are_openssls(self) -> None:
        """OpenSSL itself, where it is there, has the same words for each code."""
        openssl = path(OPENSSL, os.environ)
        numbers = (0x86, 0x9B, 0x9C, 0xB5, 0xB9, 0xBF, 0xC1, 0xC6, 0xC7, 0xEB, 0x102, 0x10B, 0x119,
                   0x126, 0x14D, 0x152, 0x18A, 0x18C, 0x18F, 0x76)  # fmt: skip
        texts = [f"{20 << 23 | number:08X}" for number in numbers]
        told = subprocess.run(
            [openssl, "errstr", *texts], capture_output=True, text=True, timeout=30
        ).stdout
        for text, line in zip(texts, told.splitlines(), strict=True):
            self.assertEqual(f"error:{text}:SSL routines::{error_codes(line)[0].reason}", line)


class PlaceTests(SynchronousTestCase):
    """Hosts with a port."""

    def test_places(self) -> None:
        """A place is found in a URL, with a colon, in brackets, and as curl says it."""
        for line, place in (
            (
                "Unable to connect to tls://mail.example.com:587 (x)",
                HostAndPort("mail.example.com", 587),
            ),
            ("SSL_ERROR_SYSCALL in connection to localhost:38285", HostAndPort("localhost", 38285)),
            ("dial tcp 192.0.2.7:443: connect", HostAndPort("192.0.2.7", 443)),
            ("to [2001:db8::1]:25,", HostAndPort("[2001:db8::1]", 25)),
            ("Failed to connect to a.example port 25 after 0 ms", HostAndPort("a.example", 25)),
            ("tls://mail:465", HostAndPort("mail", 465)),
        ):
            self.assertEqual(hosts_and_ports(line), (place,), line)

    def test_what_is_none(self) -> None:
        """Times, lines of source files, codes and ports that cannot be are no places."""
        for line in (
            "at 06:57:36", "rec_layer_s3.c:1601", "_ssl.c:1006", "server.go:3093:", "node:net:343",
            "error:0A000086", "a.example:0", "a.example:65536", "a.example:123456", "app.py:12",
            "a.example:80abc", "2026-11-24T07:00:00Z",
        ):  # fmt: skip
            self.assertEqual(hosts_and_ports(line), (), line)

    def test_each_once_and_not_too_many(self) -> None:
        """A long log is told in a few lines."""
        self.assertEqual(len(hosts_and_ports("a.example:25 " * 9)), 1)
        self.assertEqual(
            len(hosts_and_ports(" ".join(f"a.example:{port}" for port in range(1, 99)))), 4
        )
