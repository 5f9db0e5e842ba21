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
from txtransport.diagnosis.x509_strict import STRICT_RULES
from txtransport.errors import CAUSES, FAULTS

ISSUER_URL = "http://ca.example/issuer.crt"

DIAGNOSES = (
    *(rule.diagnosis for rule in CAUSE_RULES),
    *(rule.diagnosis for rule in X509_RULES),
    *(rule.diagnosis for rule in STRICT_RULES),
)

LAST = 103
"""The highest number of OpenSSL 4.0 (x509_vfy.h)."""

IMPOSSIBLE = {
    **dict.fromkeys((29, 30, 31, 55), "used only while an issuer is looked for"),
    **dict.fromkeys((37, 38, 39, 72), "below a proxy certificate, which 40 refuses first"),
    **dict.fromkeys((42, 43), "of certificate policies, which are not demanded"),
    **dict.fromkeys(range(56, 62), "of Suite B, which is not demanded"),
    **dict.fromkeys((62, 63, 64), "of names, which are compared here and not by OpenSSL"),
    65: "of DANE, which is not used",
    71: "of certificate transparency, which is not demanded",
    **dict.fromkeys((73, 74, 75, *range(96, 101)), "of OCSP, which is not demanded"),
    **dict.fromkeys((50, 69), "a fault of the program that calls OpenSSL"),
    95: "of raw public keys, which are not used",
}
"""OpenSSL's numbers that no peer and no option can bring about, and why."""


class TableTests(SynchronousTestCase):
    """The rules fit the errors that are made from them."""

    def test_causes_are_known(self) -> None:
        """A program can tell refusals apart by the documented causes alone."""
        for diagnosis in DIAGNOSES:
            self.assertIn(diagnosis.cause, CAUSES)

    def test_every_cause_is_its_own(self) -> None:
        """The general diagnosis of a cause has that cause."""
        for rule in CAUSE_RULES:
            self.assertEqual(rule.diagnosis.cause, rule.match)

    def test_every_rule_has_a_remedy(self) -> None:
        """A user who reads what is wrong also reads what to do, in a whole sentence."""
        for diagnosis in DIAGNOSES:
            self.assertRegex(diagnosis.remedy, r"\A[A-Z].{10,}[^.!]\Z")

    def test_every_summary_goes_on_with_the_certificate(self) -> None:
        """The summary ends the sentence "the certificate was refused: …"."""
        for diagnosis in DIAGNOSES:
            self.assertRegex(diagnosis.summary, r"\A[a-z].{9,}[^.!]\Z")

    def test_self_signed_is_said_in_the_words_that_people_search_for(self) -> None:
        """ "self-signed certificate", and that no authority has signed it."""
        own, root = diagnosis_of_x509(18).summary, diagnosis_of_x509(19).summary
        self.assertIn("self-signed certificate", own)
        self.assertIn("no authority that is trusted here has signed it", own)
        self.assertIn("its chain ends at a self-signed certificate", root)
        self.assertIn("authority", root)

    def test_every_fault_is_a_documented_word(self) -> None:
        """A program can tell from documented words whose fault a refusal is."""
        faults = {diagnosis.fault for diagnosis in DIAGNOSES}
        self.assertEqual(faults - set(FAULTS), set())

    def test_every_number_of_openssl_has_words(self) -> None:
        """Whatever OpenSSL refuses a certificate for, a user reads why and what to do."""
        numbers = {rule.match for rule in (*X509_RULES, *STRICT_RULES)}
        self.assertEqual({*range(1, LAST + 1)} - numbers, set(IMPOSSIBLE))
        self.assertEqual(numbers & set(IMPOSSIBLE), set())

    def test_no_two_numbers_read_the_same_by_accident(self) -> None:
        """Numbers that say the same are those that mean the same."""
        words: dict[str, list[int]] = {}
        for rule in (*X509_RULES, *STRICT_RULES):
            words.setdefault(rule.diagnosis.summary, []).append(rule.match)
        same = [numbers for numbers in words.values() if len(numbers) > 1]
        self.assertEqual(same, [[5, 8, 101]])

    def test_an_issuer_without_a_key_is_not_taken_for_a_false_authority(self) -> None:
        """Since OpenSSL 3.0 the number 24 says that the issuer's certificate has no public key."""
        found = diagnosis_of_x509(24)
        self.assertEqual(found.cause, "malformed")
        self.assertIn("no public key", found.summary)

    def test_every_number_stands_once(self) -> None:
        """No rule hides another of the same number."""
        for rules in (X509_RULES, STRICT_RULES):
            numbers = [rule.match for rule in rules]
            self.assertEqual(sorted(set(numbers)), numbers)
        shared = {rule.match for rule in X509_RULES} & {rule.match for rule in STRICT_RULES}
        self.assertEqual(shared, set())


class LookUpTests(SynchronousTestCase):
    """What a number of OpenSSL, and the place in the chain, lead to."""

    def test_a_number_without_a_rule_is_named(self) -> None:
        """A number that only a newer OpenSSL has is named in the text."""
        found = diagnosis_of_x509(9999)
        self.assertEqual((found.cause, found.fault, found.remedy), ("other", "peer", ""))
        self.assertIn("9999", found.summary)

    def test_a_leaf_is_not_said_to_have_signed_another(self) -> None:
        """OpenSSL's number for a false authority means something else for a leaf."""
        above, own = diagnosis_of_x509(79), diagnosis_of_x509(79, is_leaf=True)
        self.assertIn("signed another certificate", above.summary)
        self.assertIn("may sign certificates", own.summary)
        self.assertEqual(diagnosis_of_x509(10, is_leaf=True), diagnosis_of_x509(10))

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
