"""The tables of certificate failures, by cause and by OpenSSL's number."""

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

ISSUER_URL = "http://ca.example/issuer.crt"


class TableTests(SynchronousTestCase):
    """The rules fit the errors that are made from them."""

    def test_causes_are_known(self) -> None:
        """A program can tell refusals apart by the documented causes alone."""
        for rule in (*CAUSE_RULES, *X509_RULES):
            self.assertIn(rule.diagnosis.cause, CAUSES)

    def test_every_cause_is_its_own(self) -> None:
        """The general diagnosis of a cause has that cause."""
        for rule in CAUSE_RULES:
            self.assertEqual(rule.diagnosis.cause, rule.match)

    def test_every_rule_has_a_remedy(self) -> None:
        """A user who reads what is wrong also reads what to do, in a whole sentence."""
        for rule in (*CAUSE_RULES, *X509_RULES):
            self.assertRegex(rule.diagnosis.remedy, r"\A[A-Z].{10,}[^.!]\Z")

    def test_every_summary_goes_on_with_the_certificate(self) -> None:
        """The summary ends the sentence "the certificate was refused: …"."""
        for rule in (*CAUSE_RULES, *X509_RULES):
            self.assertRegex(rule.diagnosis.summary, r"\A[a-z].{9,}[^.!]\Z")

    def test_every_fault_is_a_documented_word(self) -> None:
        """A program can tell from documented words whose fault a refusal is."""
        faults = {rule.diagnosis.fault for rule in (*CAUSE_RULES, *X509_RULES)}
        self.assertEqual(faults - set(FAULTS), set())

    def test_every_number_stands_once(self) -> None:
        """No rule hides another of the same number."""
        numbers = [rule.match for rule in X509_RULES]
        self.assertEqual(sorted(set(numbers)), numbers)


class LookUpTests(SynchronousTestCase):
    """What a number of OpenSSL, and the place in the chain, lead to."""

    def test_a_number_without_a_rule_is_named(self) -> None:
        """A number that only a newer OpenSSL has is named in the text."""
        found = diagnosis_of_x509(9999)
        self.assertEqual((found.cause, found.fault, found.remedy), ("other", "peer", ""))
        self.assertIn("9999", found.summary)

    def test_an_expired_authority_has_its_own_remedy(self) -> None:
        """The remedy for an expired authority is not the one for an expired leaf."""
        expired = diagnosis_of_x509(10)
        self.assertEqual(diagnosis_at_depth(expired, 10, 0, None), expired)
        above = diagnosis_at_depth(expired, 10, 1, None)
        self.assertIn("authority must be renewed", above.remedy)

    def test_the_remedy_for_a_missing_intermediate_has_its_url(self) -> None:
        """If the certificate has the URL of its issuer's, the remedy has it as well."""
        for code in (20, 21):
            missing = diagnosis_of_x509(code)
            self.assertEqual(diagnosis_at_depth(missing, code, 0, None), missing)
            found = diagnosis_at_depth(missing, code, 0, ISSUER_URL)
            self.assertEqual(found.fault, "peer")
            self.assertIn(ISSUER_URL, found.remedy)

    def test_the_issuer_s_url_is_told_only_when_the_issuer_is_missing(self) -> None:
        """For another problem, such as a wrong clock, the remedy has no such URL."""
        early = OF_CAUSE["not-yet-valid"]
        self.assertEqual(diagnosis_at_depth(early, 9, 0, ISSUER_URL), early)
