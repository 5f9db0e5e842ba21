"""What the owner of a file is told, in place of the peer that refuses it."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txtransport.diagnosis.own_files import FILE_RULES, OWNER_RULES, owner_diagnosis
from txtransport.diagnosis.x509_errors import CAUSE_RULES, X509_RULES
from txtransport.errors import CAUSES


class OwnerTests(SynchronousTestCase):
    """Remedies for the side that has the certificate."""

    def test_no_remedy_is_about_the_peer(self) -> None:
        """Whatever a peer refuses, the owner is asked to mend it, and not "the peer"."""
        known = [rule.diagnosis for rule in CAUSE_RULES] + [rule.diagnosis for rule in X509_RULES]
        for diagnosis in known:
            for depth in (0, 1):
                turned = owner_diagnosis(diagnosis, depth)
                self.assertEqual((turned.fault, turned.cause), ("ours", diagnosis.cause))
                self.assertNotIn("The peer", turned.remedy)

    def test_a_certificate_above_the_leaf_is_named(self) -> None:
        """That it is an authority which is refused stands in the summary."""
        expired = next(rule.diagnosis for rule in CAUSE_RULES if rule.match == "expired")
        above, leaf = owner_diagnosis(expired, 1), owner_diagnosis(expired, 0)
        self.assertEqual(above.summary, f"an authority above it is not good: {leaf.summary}")
        self.assertNotEqual(above.remedy, leaf.remedy)

    def test_every_fault_says_what_to_do(self) -> None:
        """Each row has a remedy, no row is there twice, and causes are those of the library."""
        for rules in (FILE_RULES, OWNER_RULES):
            matches = [rule.match for rule in rules]
            self.assertEqual(len(matches), len(set(matches)))
            self.assertTrue(all(rule.diagnosis.remedy for rule in rules))
        self.assertEqual({rule.match for rule in OWNER_RULES} - set(CAUSES), set())
