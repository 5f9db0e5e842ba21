"""The tables of handshake failures, by OpenSSL's reason and by the peer's alert."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txtransport.diagnosis.alerts import ALERTS
from txtransport.diagnosis.openssl_errors import ALERT_RULES, OF_ALERT, REASON_RULES
from txtransport.diagnosis.ssl2_errors import SSL2_RULES
from txtransport.errors import CAUSES, FAULTS

RULES = (*REASON_RULES, *ALERT_RULES, *SSL2_RULES)


class TableTests(SynchronousTestCase):
    """The rules fit the errors that are made from them."""

    def test_causes_are_known(self) -> None:
        """A program can tell failures apart by the documented causes alone."""
        for rule in RULES:
            self.assertIn(rule.diagnosis.cause, CAUSES)

    def test_alerts_are_known(self) -> None:
        """Each rule is for an alert that exists."""
        self.assertEqual(set(OF_ALERT) - {alert.number for alert in ALERTS}, set())

    def test_every_rule_has_a_remedy(self) -> None:
        """A user who reads what happened also reads what to do, in a whole sentence."""
        for rule in RULES:
            self.assertRegex(rule.diagnosis.remedy, r"\A[A-Z].{10,}[^.!]\Z")

    def test_every_fault_is_a_documented_word(self) -> None:
        """A program can tell from documented words whose fault a failure is."""
        faults = {rule.diagnosis.fault for rule in RULES}
        self.assertEqual(faults - set(FAULTS), set())

    def test_summaries_end_a_sentence(self) -> None:
        """A summary can follow the endpoint, and a remedy can follow the summary."""
        for rule in RULES:
            self.assertRegex(rule.diagnosis.summary, r"\A[a-z].{10,}[^.!]\Z")
            self.assertTrue(rule.diagnosis.permanent)
