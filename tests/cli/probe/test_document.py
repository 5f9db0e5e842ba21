"""What programs read is what ``docs/probe.md`` says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

from attrs import evolve, fields
from twisted.trial.unittest import SynchronousTestCase

from tests.cli.probe.samples import BAD, CLEAR, GOOD, NOW
from txtransport import Session, TransportURL
from txtransport.cli.probe.document import as_document, as_survey_document
from txtransport.cli.probe.report import ProbeReport, Survey

PAGE: Final = Path(__file__).resolve().parents[3] / "docs" / "probe.md"


def explained_keys() -> dict[str, list[str]]:
    """The keys that the page explains, by the object that they belong to."""
    tables: dict[str, list[str]] = {}
    owner = ""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        head = re.match(r"\| key(?: of (`\w+`|a survey))? \| is \|", line)
        row = re.match(r"\| `(\w+)` \|", line)
        if head:
            owner = (head[1] or "").strip("`")
        elif row and owner is not None:
            tables.setdefault(owner, []).append(row[1])
    return tables


def document(report: ProbeReport) -> dict[str, Any]:
    """The report as a program reads it, by way of JSON."""
    return dict(json.loads(json.dumps(as_document(report, NOW))))


class DocumentTests(SynchronousTestCase):
    """Reports as JSON."""

    def test_page_explains_every_key(self) -> None:
        """``docs/probe.md`` explains every key, in this order, and no other."""
        seen, failed = document(GOOD), document(BAD)
        survey: dict[str, Any] = as_survey_document(Survey("mail.example.com", (GOOD, BAD)), NOW)
        objects: dict[str, dict[str, Any]] = {
            "": seen,
            "a survey": survey,
            "session": seen["session"],
            "addresses": seen["addresses"][0],
            "timing": seen["timing"],
            "chain": seen["chain"][0],
            "versions": seen["versions"][0],
            "diagnosis": failed["diagnosis"],
        }
        self.assertEqual({owner: [*keys] for owner, keys in objects.items()}, explained_keys())

    def test_promised_keys_are_there(self) -> None:
        """The keys that programs may rely on are there, and a diagnosis has these and no others."""
        promised = {
            "url", "connected", "verified", "session", "addresses", "timing", "chain", "diagnosis",
        }  # fmt: skip
        for report in (GOOD, BAD, CLEAR):
            self.assertEqual(promised - as_document(report, NOW).keys(), set())
        self.assertIsNone(document(GOOD)["diagnosis"])
        self.assertEqual(
            [*document(BAD)["diagnosis"]],
            ["cause", "fault", "permanent", "summary", "evidence", "remedy"],
        )

    def test_every_report_has_every_key(self) -> None:
        """Every report has every key, with null for what does not apply."""
        for report in (BAD, CLEAR):
            self.assertEqual([*as_document(report, NOW)], [*as_document(GOOD, NOW)])
        self.assertIsNone(document(CLEAR)["session"])

    def test_session_has_the_fields_of_Session(self) -> None:
        """The keys of the session are the public fields of `txtransport.Session`."""
        session = document(GOOD)["session"]
        names = [field.name for field in fields(Session) if not field.name.startswith("_")]
        self.assertEqual([*session], names)
        self.assertEqual(session["peer_certificate"], document(GOOD)["chain"][0]["fingerprint"])

    def test_times_are_milliseconds(self) -> None:
        """Each stage has its own time, and a stage that was not reached has null."""
        self.assertEqual(
            document(GOOD)["timing"],
            {
                "look_up": 2.0,
                "connect": 12.0,
                "proxy": None,
                "negotiation": 6.0,
                "handshake": 20.0,
                "first_byte": 3.5,
                "total": 40.0,
            },
        )
        timing = document(BAD)["timing"]
        self.assertEqual((timing["handshake"], timing["first_byte"]), (1.0, None))

    def test_failure_has_stage_cause_and_chain(self) -> None:
        """A failure has its stage, its cause, and the certificates that the peer had sent."""
        failed = document(BAD)
        self.assertEqual((failed["connected"], failed["verified"]), (False, False))
        self.assertEqual((failed["stage"], failed["diagnosis"]["cause"]),
                         ("handshake", "plaintext-peer"))  # fmt: skip
        self.assertEqual(len(failed["chain"]), 2)

    def test_days_that_are_too_few_name_the_certificates(self) -> None:
        """With --warn-days the certificates with fewer days left are there by fingerprint."""
        leaf, below = (each["fingerprint"] for each in document(GOOD)["chain"])
        for least, expected in ((None, None), (90, []), (91, [leaf]), (9999, [leaf, below])):
            made = document(evolve(GOOD, warn_days=least))
            self.assertEqual((made["warn_days"], made["expiring"]), (least, expected))

    def test_every_report_survives_json(self) -> None:
        """Every report can be written as JSON, and read again as it was."""
        for report in (GOOD, BAD, CLEAR):
            made = as_document(report, NOW)
            self.assertEqual(json.loads(json.dumps(made)), made)

    def test_passphrase_is_in_no_document(self) -> None:
        """A passphrase in the URL is in no document."""
        url = TransportURL.parse("tls://a.example:1?passphrase=hidden&local_cert=a.pem")
        text = json.dumps(as_document(evolve(GOOD, url=url), NOW))
        self.assertNotIn("hidden", text)
