"""The tables of certificate failures: what is wrong, by cause and by OpenSSL's number."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txtransport.diagnosis.x509_errors import (
    CAUSE_RULES,
    OF_CAUSE,
    X509_RULES,
    diagnosis_at_depth,
    diagnosis_of_x509,
)
from txtransport.errors import CAUSES, FAULTS

PLACE = "http://ca.example/issuer.crt"


class TableTests(SynchronousTestCase):
    """The rules fit the errors that are made of them."""

    def test_causes_are_known(self) -> None:
        """A program can tell refusals apart by the documented causes alone."""
        for rule in (*CAUSE_RULES, *X509_RULES):
            self.assertIn(rule.diagnosis.cause, CAUSES)

    def test_every_cause_is_its_own(self) -> None:
        """The general diagnosis of a cause has that cause."""
        for rule in CAUSE_RULES:
            self.assertEqual(rule.diagnosis.cause, rule.match)

    def test_every_rule_has_a_remedy(self) -> None:
        """A user who reads what is wrong also reads what to do, in whole sentences."""
        for rule in (*CAUSE_RULES, *X509_RULES):
            self.assertRegex(rule.diagnosis.remedy, r"\A[A-Z].{10,}[^.!]\Z")

    def test_every_summary_goes_on_with_the_certificate(self) -> None:
        """The summary ends the sentence "the certificate was refused: …"."""
        for rule in (*CAUSE_RULES, *X509_RULES):
            self.assertRegex(rule.diagnosis.summary, r"\A[a-z].{9,}[^.!]\Z")

    def test_every_fault_is_someone_s(self) -> None:
        """Whose fault a refusal is, is one of the documented words."""
        faults = {rule.diagnosis.fault for rule in (*CAUSE_RULES, *X509_RULES)}
        self.assertEqual(faults - set(FAULTS), set())

    def test_every_number_stands_once(self) -> None:
        """No rule hides another of the same number."""
        numbers = [rule.match for rule in X509_RULES]
        self.assertEqual(sorted(set(numbers)), numbers)


class LookUpTests(SynchronousTestCase):
    """What OpenSSL's number and the place in the chain come to."""

    def test_a_number_without_a_rule(self) -> None:
        """A number of a newer OpenSSL is named, and blamed on the peer."""
        found = diagnosis_of_x509(9999)
        self.assertEqual((found.cause, found.fault, found.remedy), ("other", "peer", ""))
        self.assertIn("9999", found.summary)

    def test_an_authority_that_expired(self) -> None:
        """The remedy for an expired authority is not the one for an expired leaf."""
        expired = diagnosis_of_x509(10)
        self.assertEqual(diagnosis_at_depth(expired, 10, 0, None), expired)
        above = diagnosis_at_depth(expired, 10, 1, None)
        self.assertIn("authority must be renewed", above.remedy)

    def test_an_intermediate_that_the_peer_did_not_send(self) -> None:
        """Where the certificate says where its issuer's is, so does the remedy."""
        for code in (20, 21):
            missing = diagnosis_of_x509(code)
            self.assertEqual(diagnosis_at_depth(missing, code, 0, None), missing)
            found = diagnosis_at_depth(missing, code, 0, PLACE)
            self.assertEqual(found.fault, "peer")
            self.assertIn(PLACE, found.remedy)

    def test_another_problem_of_a_certificate_that_names_its_issuer(self) -> None:
        """Where the issuer's certificate is to be had helps no one whose clock is wrong."""
        early = OF_CAUSE["not-yet-valid"]
        self.assertEqual(diagnosis_at_depth(early, 9, 0, PLACE), early)
