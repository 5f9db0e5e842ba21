"""The report of a survey, as people read it."""

from __future__ import annotations

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from tests.cli.probe.samples import BAD, GOOD, NOW
from txtransport import TransportURL
from txtransport.cli.probe.report import Survey
from txtransport.cli.probe.survey_text import as_survey_text
from txtransport.cli.terminal import TerminalStyle


class TextTests(SynchronousTestCase):
    """The text of ``txtransport probe HOST``."""

    SEEN = Survey(
        "mail.example.com", (BAD, GOOD), (TransportURL.parse("tls://mail.example.com:443"),)
    )

    def test_text_has_working_failing_and_silent(self) -> None:
        """The URLs that work, those that fail, with cause and remedy, and how many are silent."""
        text = as_survey_text(self.SEEN, TerminalStyle(), NOW)
        self.assertIn("  tls://mail.example.com:143?starttls=imap\n", text)
        self.assertIn("plaintext-peer: the peer speaks SMTP\n", text)
        self.assertIn("Use tls://mail.example.com:465?starttls=smtp on this port", text)
        self.assertTrue(text.endswith("1 URL works; 1 of 3 usual ways are silent\n"), text)

    def test_quiet_lists_the_urls_that_work(self) -> None:
        """``--quiet`` leaves the URLs that work, one a line, for a script to read."""
        self.assertEqual(
            as_survey_text(self.SEEN, TerminalStyle(is_coloured=True), NOW, is_brief=True),
            "tls://mail.example.com:143?starttls=imap\n",
        )

    def test_no_url_that_works_is_the_verdict(self) -> None:
        """When no URL works, the verdict says so, also with ``--quiet``."""
        for answering, silent in (((), "1 of 1"), ((BAD,), "1 of 2")):
            seen = evolve(self.SEEN, answering=answering)
            for is_brief in (False, True):
                text = as_survey_text(seen, TerminalStyle(), NOW, is_brief=is_brief)
                self.assertIn(f"none works; {silent} usual ways are silent\n", text)

    def test_silence_everywhere_has_advice(self) -> None:
        """Where nothing answers, the text says what to try; elsewhere each failure does."""
        for host, url in (("mail.example.com", "tls://mail.example.com:PORT"),
                          ("::1", "tls://[::1]:PORT")):  # fmt: skip
            silent = evolve(self.SEEN, host=host, answering=())
            text = as_survey_text(silent, TerminalStyle(), NOW)
            said = f"What to do: If the server has another port, name it: {url};"
            self.assertIn(said, " ".join(text.split()))
        self.assertNotIn("What to do", as_survey_text(self.SEEN, TerminalStyle(), NOW))

    def test_failed_look_up_is_a_diagnosis(self) -> None:
        """Why none could be tried is shown like any diagnosis."""
        seen = Survey("mail.example.com", diagnosis=BAD.diagnosis)
        text = as_survey_text(seen, TerminalStyle(), NOW)
        self.assertTrue(text.startswith("mail.example.com: not connected (plaintext-peer)\n"), text)
        self.assertIn("- it sent", text)
        brief = as_survey_text(seen, TerminalStyle(), NOW, is_brief=True)
        self.assertEqual(len(brief.splitlines()), 3)
        self.assertIn("What to do: ", brief)

    def test_unverified_is_not_working(self) -> None:
        """What is connected by options that verify nothing does not count as working."""
        assert GOOD.session is not None
        weak = evolve(GOOD, session=evolve(GOOD.session, verified=False))
        text = as_survey_text(Survey("mail.example.com", (weak,)), TerminalStyle(), NOW)
        self.assertIn("not-verified: the options do not demand chain and name", text)
        self.assertIn("none works", text)

    def test_certificate_that_expires_soon_is_told_at_its_url(self) -> None:
        """With --warn-days, a URL whose certificate has fewer days left is told; quiet is not."""
        seen = self.SEEN.with_warn_days(91)
        text = as_survey_text(seen, TerminalStyle(), NOW)
        self.assertIn(
            "  tls://mail.example.com:143?starttls=imap\n"
            "    expires soon: the certificate CN=mail.example.com has 90 days left",
            text,
        )
        self.assertIn("1 URL works, 1 with a certificate that expires soon; 1 of 3", text)
        self.assertEqual(
            as_survey_text(seen, TerminalStyle(), NOW, is_brief=True),
            "tls://mail.example.com:143?starttls=imap\n",
        )
        for enough in (None, 90):
            text = as_survey_text(self.SEEN.with_warn_days(enough), TerminalStyle(), NOW)
            self.assertNotIn("expires", text)
