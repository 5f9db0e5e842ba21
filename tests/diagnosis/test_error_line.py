"""What is read out of any error line: its tool, OpenSSL's codes, hosts and ports."""

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


class NormalizeTests(SynchronousTestCase):
    """Text as the tables of known lines spell it."""

    def test_line_breaks_do_not_matter(self) -> None:
        """A line is found wherever a log or a terminal has broken it."""
        self.assertEqual(
            one_line(" certificate\n\tverify\r\n failed "), "certificate verify failed"
        )

    def test_text_beyond_the_bound_is_ignored(self) -> None:
        """Of a long text, MAX_TEXT characters are read."""
        self.assertEqual(len(one_line("a" * (MAX_TEXT + 1))), MAX_TEXT)

    def test_constants_and_words_are_spelt_alike(self) -> None:
        """A constant is spelt like the words that it stands for."""
        self.assertEqual(normalize("CERT_HAS_EXPIRED"), "cert has expired")

    @given(st.text())
    def test_positions_stay_the_same(self, text: str) -> None:
        """What is found in normalized text is at the same position in the line."""
        self.assertEqual(len(normalize(text)), len(text))


class ToolTests(SynchronousTestCase):
    """Which tool printed a line."""

    def test_a_tool_that_quotes_openssl_is_recognised(self) -> None:
        """A line with OpenSSL's words belongs to the tool whose other marks it has."""
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

    def test_words_without_a_mark_belong_to_no_tool(self) -> None:
        """Where nothing tells the tool, none is named."""
        self.assertIsNone(tool_of("certificate verify failed"))


class ErrorCodeTests(SynchronousTestCase):
    """OpenSSL's error codes."""

    def test_codes_of_openssl_3_and_1_1_are_read(self) -> None:
        """OpenSSL 3 and 1.1 pack the same reason in different ways."""
        for text in ("0A00010B", "1408F10B"):
            (code,) = error_codes(f"x:error:{text}:SSL routines:")
            self.assertEqual(code, ErrorCode(text, "wrong version number"))

    def test_a_code_alone_is_recognised(self) -> None:
        """The code alone, as people quote it, is enough; other hexadecimal is no code."""
        self.assertEqual(
            error_codes("what is 0a000086?"), (ErrorCode("0a000086", "certificate verify failed"),)
        )
        self.assertEqual(error_codes("80CC43AAD37F0000 1408F10B 0A00010B0 x0A00010B"), ())

    def test_alerts_are_reasons_above_1000(self) -> None:
        """The code of a peer's alert is 1000 and the alert's number."""
        for alert in ALERTS:
            (code,) = error_codes(f"error:{20 << 23 | 1000 + alert.number:08X}:")
            assert code.reason is not None
            self.assertEqual(alert_of_reason(code.reason), alert)

    def test_a_code_without_known_words_has_none(self) -> None:
        """Codes of other libraries, and unknown ones, are returned without words."""
        self.assertEqual(error_codes("error:05800074:"), (ErrorCode("05800074", None),))
        self.assertEqual(error_codes("error:0A000001:"), (ErrorCode("0A000001", None),))

    def test_each_code_is_returned_once_and_8_at_most(self) -> None:
        """A long log has a short result."""
        self.assertEqual(len(error_codes("error:0A00010B: " * 5)), 1)
        many = " ".join(f"error:0A00{number:04X}:" for number in range(100))
        self.assertEqual(len(error_codes(many)), 8)

    def test_openssl_has_the_same_words_for_each_code(self) -> None:
        """``openssl errstr`` prints the same words for each code."""
        openssl = path(OPENSSL, os.environ)
        numbers = (0x86, 0x9B, 0x9C, 0xB5, 0xB9, 0xBF, 0xC1, 0xC6, 0xC7, 0xEB, 0x102, 0x10B, 0x119,
                   0x126, 0x14D, 0x152, 0x18A, 0x18C, 0x18F, 0x76)  # fmt: skip
        texts = [f"{20 << 23 | number:08X}" for number in numbers]
        output = subprocess.run(
            [openssl, "errstr", *texts], capture_output=True, text=True, timeout=30
        ).stdout
        for text, line in zip(texts, output.splitlines(), strict=True):
            self.assertEqual(f"error:{text}:SSL routines::{error_codes(line)[0].reason}", line)


class HostAndPortTests(SynchronousTestCase):
    """Hosts that a line names with a port."""

    def test_hosts_with_a_port_are_found(self) -> None:
        """A host is found in a URL, before a colon, in brackets, and as curl prints it."""
        for line, host_and_port in (
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
            self.assertEqual(hosts_and_ports(line), (host_and_port,), line)

    def test_times_and_source_lines_are_no_hosts(self) -> None:
        """Times, lines of source files, codes and impossible ports are no hosts with a port."""
        for line in (
            "at 06:57:36", "rec_layer_s3.c:1601", "_ssl.c:1006", "server.go:3093:", "node:net:343",
            "error:0A000086", "a.example:0", "a.example:65536", "a.example:123456", "app.py:12",
            "a.example:80abc", "2026-11-24T07:00:00Z",
        ):  # fmt: skip
            self.assertEqual(hosts_and_ports(line), (), line)

    def test_each_host_is_returned_once_and_4_at_most(self) -> None:
        """A long log has a short result."""
        self.assertEqual(len(hosts_and_ports("a.example:25 " * 9)), 1)
        self.assertEqual(
            len(hosts_and_ports(" ".join(f"a.example:{port}" for port in range(1, 99)))), 4
        )
