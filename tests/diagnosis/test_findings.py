"""The tables of findings: each says what happened, whose cause it is, and what to do."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txtransport.diagnosis.alerts import ALERTS
from txtransport.diagnosis.findings import (
    EXPIRED_AUTHORITY,
    FAULT_OF_CERTIFICATE,
    OF_ALERT,
    OF_CERTIFICATE,
    OF_REASON,
    OF_X509,
)
from txtransport.errors import CAUSES, FAULTS


class TableTests(SynchronousTestCase):
    """The rows fit the errors that are made of them."""

    def test_causes_are_known(self) -> None:
        """A program can tell failures apart by the documented causes alone."""
        for finding in (*OF_REASON.values(), *OF_ALERT.values()):
            self.assertIn(finding.cause, CAUSES)
        self.assertEqual(set(OF_CERTIFICATE) - set(CAUSES), set())

    def test_alerts_are_known(self) -> None:
        """A row is for an alert that there is."""
        self.assertEqual(set(OF_ALERT) - {alert.number for alert in ALERTS}, set())

    def test_every_finding_has_a_remedy(self) -> None:
        """Whoever reads what happened also reads what to do, in whole sentences."""
        remedies = [finding.remedy for finding in (*OF_REASON.values(), *OF_ALERT.values())]
        certificates = [EXPIRED_AUTHORITY, *(advice.remedy for advice in OF_X509.values())]
        for remedy in (*remedies, *OF_CERTIFICATE.values(), *certificates):
            self.assertRegex(remedy, r"\A[A-Z].{10,}[^.!]\Z")

    def test_every_fault_is_someone_s(self) -> None:
        """Whose a failure is, is one of the documented words."""
        faults = {
            *(finding.fault for finding in (*OF_REASON.values(), *OF_ALERT.values())),
            *(advice.fault for advice in OF_X509.values()),
            *FAULT_OF_CERTIFICATE.values(),
        }
        self.assertEqual(faults - set(FAULTS), set())

    def test_texts_end_a_sentence(self) -> None:
        """What happened follows the place, and the remedy follows it."""
        for finding in (*OF_REASON.values(), *OF_ALERT.values()):
            self.assertRegex(finding.text, r"\A[a-z].{10,}[^.!]\Z")
            self.assertTrue(finding.permanent)
