"""What the demo's tests share: reports to show, and servers on loopback."""

from __future__ import annotations

import stat
import tempfile
from pathlib import Path
from typing import Any, Final

from attrs import evolve

from tests.loopback import LoopbackTestCase
from txtransport import Session, TransportURL
from txtransport.cli.demo.report import PLAIN, DemoReport, Form, Line, MailExample, Row, RowOutcome
from txtransport.cli.demo.servers import DemoServers

SESSION: Final = Session(
    version="TLSv1.3",
    cipher="TLS_AES_256_GCM_SHA384",
    bits=256,
    group="X25519MLKEM768",
    alpn_protocol=None,
    server_name="www.example.com",
    resumed=False,
    peer_certificate=None,
    peer_chain=(),
    verified=True,
)
RESUMED: Final = evolve(SESSION, resumed=True)

CLEAR_ROW: Final = Row(
    Form("fe80::1", PLAIN),
    RowOutcome.CONNECTED,
    TransportURL.parse("fe80::1"),
    TransportURL.parse("tcp://[::1]:65535"),
    milliseconds=123.45678,
)
TLS_ROW: Final = Row(
    Form("tls://www.example.com", "TLSv1.3"),
    RowOutcome.CONNECTED,
    TransportURL.parse("tls://www.example.com"),
    TransportURL.parse("tls://127.0.0.1:65535"),
    SESSION,
    4.26,
)
LOCAL_ROW: Final = Row(
    Form("unix:///run/a.sock", PLAIN),
    RowOutcome.CONNECTED,
    TransportURL.parse("unix:///run/a.sock"),
    TransportURL.parse("unix:///tmp/txtransport-1/a.sock"),
    milliseconds=0.31,
)
REFUSED_ROW: Final = Row(
    Form("sslv2://www.example.com", "refused"),
    RowOutcome.REFUSED,
    TransportURL.parse("sslv2://www.example.com"),
    reason="sslv2:// is not available: RFC 6176 prohibits SSL 2.0, which anyone can break",
)
SKIPPED_ROW: Final = Row(
    Form("tcp://[fe80::1]:80", PLAIN),
    RowOutcome.SKIPPED,
    TransportURL.parse("tcp://[fe80::1]:80"),
    reason="this machine has no ::1",
)
UNREAD_ROW: Final = Row(Form("gopher://www.example.com", PLAIN), reason="there is no gopher")
ROWS: Final = (CLEAR_ROW, TLS_ROW, LOCAL_ROW, REFUSED_ROW, SKIPPED_ROW)

UPGRADE: Final = MailExample(
    "STARTTLS",
    "tcp://mail.example.com:587",
    "TLSv1.3",
    TransportURL.parse("tcp://127.0.0.1:65535"),
    (Line(True, False, "STARTTLS"), Line(False, False, "220 go"), Line(True, True, "QUIT")),
    SESSION,
)
MISTAKE: Final = MailExample(
    "The mistake",
    "tls://mail.example.com:587",
    "plaintext-peer",
    TransportURL.parse("tls://127.0.0.1:65535"),
    cause="plaintext-peer",
    explanation="expected a TLS handshake, but the peer is a plain-text SMTP server",
)

REPORT: Final = DemoReport(ROWS, (UPGRADE, MISTAKE), 0.25)


class DemoTestCase(LoopbackTestCase):
    """A test with servers on loopback."""

    def folder(self) -> Path:
        """A folder that is removed with the test, or earlier."""
        made = tempfile.TemporaryDirectory(prefix="txt-", ignore_cleanup_errors=True)
        self.addCleanup(made.cleanup)
        return Path(made.name)

    def servers(self, **options: Any) -> DemoServers:
        """Servers that are closed when the test is over."""
        servers = DemoServers(self.reactor, self.folder(), **options)
        self.addCleanup(servers.close)
        return servers


def mode(path: str) -> int:
    """The permissions of a file."""
    return stat.S_IMODE(Path(path).stat().st_mode)
