"""Which results count as right."""

from __future__ import annotations

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from tests.cli.demo.samples import (
    CLEAR_ROW,
    MISTAKE,
    REFUSED_ROW,
    REPORT,
    RESUMED,
    ROWS,
    SESSION,
    SKIPPED_ROW,
    TLS_ROW,
    UNREAD_ROW,
    UPGRADE,
)
from txtransport.cli.demo.report import PLAIN, DemoReport, Form, RowOutcome


class RowTests(SynchronousTestCase):
    """A row of the table."""

    def test_result_is_one_word(self) -> None:
        """A row says plain, the version of TLS, or its outcome."""
        self.assertEqual(
            [row.result for row in (CLEAR_ROW, TLS_ROW, REFUSED_ROW, SKIPPED_ROW, UNREAD_ROW)],
            ["plain", "TLSv1.3", "refused", "skipped", "failed"],
        )

    def test_expected_refusal_is_right(self) -> None:
        """A refusal that was expected is as good as a connection that was."""
        self.assertEqual([row.form.asked for row in ROWS if not row.is_right], [])

    def test_failure_is_wrong(self) -> None:
        """What failed for another reason than a lack of addresses is wrong."""
        self.assertFalse(UNREAD_ROW.is_right)

    def test_what_should_be_refused_must_be(self) -> None:
        """SSL 2.0 that connects would be an alarm, and so would plain text in its place."""
        form = Form("sslv2://www.example.com", "refused")
        self.assertFalse(evolve(TLS_ROW, form=form).is_right)
        self.assertFalse(evolve(CLEAR_ROW, form=form).is_right)

    def test_plain_text_is_not_tls(self) -> None:
        """A TLS form that connects without TLS is wrong, and so is the reverse."""
        self.assertFalse(evolve(TLS_ROW, session=None).is_right)
        self.assertFalse(evolve(TLS_ROW, form=Form("tcp://www.example.com", PLAIN)).is_right)

    def test_another_version_is_wrong(self) -> None:
        """tlsv1.2:// that speaks TLS 1.3 would be wrong."""
        self.assertFalse(evolve(TLS_ROW, session=evolve(SESSION, version="TLSv1.2")).is_right)

    def test_unverified_is_wrong(self) -> None:
        """A connection to a peer that was not verified is wrong."""
        self.assertFalse(evolve(TLS_ROW, session=evolve(SESSION, verified=False)).is_right)

    def test_resumption_must_be_as_expected(self) -> None:
        """A session that should be resumed must be, and no other may."""
        again = Form("tls://www.example.com", "TLSv1.3", is_resumed=True)
        self.assertTrue(evolve(TLS_ROW, form=again, session=RESUMED).is_right)
        self.assertFalse(evolve(TLS_ROW, form=again).is_right)
        self.assertFalse(evolve(TLS_ROW, session=RESUMED).is_right)
        self.assertFalse(evolve(TLS_ROW, session=evolve(SESSION, resumed=None)).is_right)


class MailExampleTests(SynchronousTestCase):
    """A mail example."""

    def test_mistake_is_right_when_it_fails_for_its_own_reason(self) -> None:
        """The mistake is right when it fails for its own reason."""
        self.assertTrue(MISTAKE.is_right)
        self.assertFalse(evolve(MISTAKE, cause="closed").is_right)
        self.assertFalse(evolve(MISTAKE, cause="", session=SESSION).is_right)

    def test_upgrade_is_right_when_the_peer_was_verified(self) -> None:
        """An upgrade is right when the peer was verified."""
        self.assertTrue(UPGRADE.is_right)
        self.assertFalse(evolve(UPGRADE, session=None).is_right)
        self.assertFalse(evolve(UPGRADE, session=evolve(SESSION, verified=False)).is_right)
        self.assertFalse(evolve(UPGRADE, cause="TimeoutError").is_right)


class ReportTests(SynchronousTestCase):
    """The whole report."""

    def test_report_without_errors_is_right(self) -> None:
        """Without anything wrong, the report is right."""
        self.assertEqual((REPORT.is_right, REPORT.wrong), (True, ()))

    def test_what_is_wrong_is_named(self) -> None:
        """One thing that is wrong makes the whole wrong, be it a row or a mail example."""
        failed = evolve(TLS_ROW, outcome=RowOutcome.FAILED)
        self.assertEqual(
            DemoReport((CLEAR_ROW, failed), (evolve(MISTAKE, cause="closed"),), 1.0).wrong,
            ("tls://www.example.com", "tls://mail.example.com:587"),
        )
        self.assertFalse(DemoReport((failed,), (), 1.0).is_right)
        self.assertFalse(DemoReport((), (evolve(UPGRADE, session=None),), 1.0).is_right)
