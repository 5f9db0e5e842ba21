"""What programs read: the same keys always."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.cli.demo.samples import (
    CLEAR_ROW,
    LOCAL_ROW,
    MISTAKE,
    REFUSED_ROW,
    REPORT,
    TLS_ROW,
    UNREAD_ROW,
    UPGRADE,
)
from txtransport.cli.demo.document import as_document
from txtransport.cli.demo.report import DemoReport, MailExample, Row

ROOT = Path(__file__).resolve().parents[3]


def document(*rows: Row, mail_examples: tuple[MailExample, ...] = ()) -> dict[str, Any]:
    """The report as a program reads it, by way of JSON."""
    made = as_document(DemoReport(rows, mail_examples, 0.25), {"txtransport": "1.2"})
    return dict(json.loads(json.dumps(made)))


class DocumentTests(SynchronousTestCase):
    """The object that ``--json`` writes."""

    def test_tls_row_has_the_facts_of_its_session(self) -> None:
        """A TLS row has its session's facts."""
        (row,) = document(TLS_ROW)["rows"]
        self.assertEqual(
            row,
            {
                "asked": "tls://www.example.com",
                "ok": True,
                "outcome": "connected",
                "parsed": {
                    "url": "tls://www.example.com",
                    "scheme": "tls",
                    "host": "www.example.com",
                    "port": None,
                    "path": None,
                },
                "dialled": "tls://127.0.0.1:65535",
                "version": "TLSv1.3",
                "cipher": "TLS_AES_256_GCM_SHA384",
                "group": "X25519MLKEM768",
                "resumed": False,
                "verified": True,
                "milliseconds": 4.26,
                "reason": None,
            },
        )

    def test_every_row_has_every_key(self) -> None:
        """Every row has every key, with null for what does not apply."""
        rows = document(TLS_ROW, CLEAR_ROW, LOCAL_ROW, REFUSED_ROW, UNREAD_ROW)["rows"]
        self.assertEqual(len({tuple(row) for row in rows}), 1)
        clear, local, refused, unread = rows[1:]
        self.assertEqual((clear["version"], clear["milliseconds"]), (None, 123.457))
        self.assertEqual((local["parsed"]["host"], local["parsed"]["path"]), (None, "/run/a.sock"))
        self.assertEqual((refused["dialled"], refused["ok"]), (None, True))
        self.assertEqual((unread["parsed"], unread["outcome"]), (None, "failed"))

    def test_mail_example_has_its_transcript_or_failure(self) -> None:
        """A mail example has its transcript, or its failure."""
        upgrade, mistake = document(mail_examples=(UPGRADE, MISTAKE))["mail"]
        self.assertEqual(tuple(upgrade), tuple(mistake))
        self.assertEqual(
            upgrade["transcript"],
            [
                {"from": "client", "secure": False, "text": "STARTTLS"},
                {"from": "server", "secure": False, "text": "220 go"},
                {"from": "client", "secure": True, "text": "QUIT"},
            ],
        )
        self.assertEqual((upgrade["version"], upgrade["cause"]), ("TLSv1.3", None))
        self.assertEqual((mistake["version"], mistake["cause"]), (None, "plaintext-peer"))
        self.assertEqual(mistake["explanation"], MISTAKE.explanation)

    def test_verdict_time_and_versions_stand_beside_the_rows(self) -> None:
        """The verdict, the time and the versions stand beside the rows."""
        whole = document(UNREAD_ROW)
        self.assertEqual((whole["ok"], whole["seconds"]), (False, 0.25))
        self.assertEqual(whole["versions"], {"txtransport": "1.2"})

    def test_every_key_is_documented(self) -> None:
        """``docs/demo.md`` explains every key, and no other."""
        whole = json.loads(json.dumps(as_document(REPORT, {})))
        (row, *_), (example, *_) = whole["rows"], whole["mail"]
        keys = {*whole, *row, *example, *row["parsed"], *example["transcript"][0]}
        told = re.findall(r"^\| `(\w+)`", (ROOT / "docs" / "demo.md").read_text("utf-8"), re.M)
        self.assertEqual(sorted(set(told)), sorted(keys))
