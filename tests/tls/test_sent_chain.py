"""The order in which a peer sends its certificates."""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests import certificates
from txtransport.testing.devcert import Authority
from txtransport.tls.sent_chain import chain_problems, strangers, wrong_issuer

ROOT = certificates.authority()
UPPER = ROOT.intermediate("upper")
LOWER = UPPER.intermediate("lower")
LEAF = LOWER.issue("a.example").certificate
STRANGER = Authority.create("stranger").certificate
GOOD = (LEAF, LOWER.certificate, UPPER.certificate, ROOT.certificate)


class ChainTests(SynchronousTestCase):
    """What is told of a chain, and of which chains nothing is."""

    def test_nothing_is_told_of_a_chain_in_order(self) -> None:
        """A chain in order is right with the root and without it, and however short it is."""
        for length in range(len(GOOD) + 1):
            self.assertEqual(chain_problems(GOOD[:length]), ())

    def test_a_missing_certificate_is_no_matter_of_order(self) -> None:
        """Where an intermediate is missing, those that were sent are not out of order."""
        self.assertEqual(chain_problems((LEAF,)), ())

    def test_order_is_told_with_the_first_wrong_place(self) -> None:
        """Of a chain out of order, the first certificate in the place of another is told."""
        self.assertEqual(
            chain_problems((LEAF, ROOT.certificate, UPPER.certificate, LOWER.certificate)),
            (
                "the certificates are sent out of order, which some clients refuse: behind "
                "'CN=a.example' stands 'CN=txtransport test CA', and not 'CN=lower', which issued "
                "it",
            ),
        )

    def test_copies_are_told_and_do_not_count_for_the_order(self) -> None:
        """A certificate that is sent several times is told, and the rest is in order."""
        self.assertEqual(
            chain_problems((LEAF, LOWER.certificate, LOWER.certificate, UPPER.certificate)),
            ("'CN=lower' is sent twice",),
        )
        self.assertEqual(chain_problems((LEAF,) * 3), ("'CN=a.example' is sent 3 times",))

    def test_a_certificate_that_issued_none_is_told(self) -> None:
        """An authority that is not the leaf's is the mark of a wrong file."""
        self.assertEqual(
            chain_problems((LEAF, STRANGER)),
            ("'CN=stranger' is sent, and issued none of the others",),
        )
        self.assertEqual(strangers((LEAF, STRANGER)), [STRANGER])

    def test_the_remedy_for_a_wrong_authority_names_the_right_one(self) -> None:
        """Where another authority stands behind the leaf, the one that belongs there is named."""
        for wrong in ((LEAF, STRANGER), (LEAF, STRANGER, STRANGER)):
            remedy = wrong_issuer(wrong)
            self.assertIn("sends 'CN=stranger'", remedy)
            self.assertIn("'CN=lower' belongs in its place", remedy)
        for chain in (GOOD, GOOD[:1], (), GOOD[::-1]):
            self.assertEqual(wrong_issuer(chain), "")
        for what, hostile in certificates.hostile():
            self.assertIsInstance(wrong_issuer((LEAF, hostile, STRANGER)), str, what)

    def test_an_authority_with_two_certificates_is_in_order(self) -> None:
        """A root that another one has signed as well may be sent in both its forms."""
        old = Authority.create("old root")
        crossed = _signed_by(old, ROOT)
        for chain in (
            (LEAF, LOWER.certificate, UPPER.certificate, crossed, old.certificate),
            (LEAF, LOWER.certificate, UPPER.certificate, ROOT.certificate, crossed),
            (LEAF, LOWER.certificate, UPPER.certificate, crossed, ROOT.certificate),
        ):
            self.assertEqual(chain_problems(chain), ())

    def test_a_name_that_cannot_be_read_is_told_nothing_of(self) -> None:
        """A certificate whose names cryptography cannot read ends no report."""
        for what, hostile in certificates.hostile():
            for chain in ((LEAF, hostile), (hostile, LEAF), (hostile, hostile)):
                self.assertIsInstance(chain_problems(chain), tuple, what)

    def test_names_are_escaped_and_bounded(self) -> None:
        """A stranger's names cannot move the cursor, and a hundred strangers are not all told."""
        loud = [Authority.create(f"\x1b[2J{number}\n").certificate for number in range(9)]
        found = chain_problems((LEAF, *loud))
        self.assertEqual(len(found), 4)
        for sentence in found:
            self.assertTrue(sentence.isprintable() and len(sentence) < 300, sentence)

    @given(st.permutations(GOOD[1:]))
    def test_every_other_order_is_told(self, authorities: list[x509.Certificate]) -> None:
        """Of all the orders of one chain, only the right one is right."""
        chain = (LEAF, *authorities)
        self.assertEqual(len(chain_problems(chain)), 0 if chain == GOOD else 1)


def _signed_by(issuer: Authority, holder: Authority) -> x509.Certificate:
    """A certificate for the name and the key of an authority, issued by another one."""
    made = issuer.intermediate("crossed")
    builder = (
        x509.CertificateBuilder()
        .subject_name(holder.certificate.subject)
        .issuer_name(issuer.certificate.subject)
        .public_key(holder.certificate.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(made.certificate.not_valid_before_utc)
        .not_valid_after(made.certificate.not_valid_after_utc)
        .add_extension(x509.BasicConstraints(True, None), True)
    )
    return builder.sign(issuer.key, hashes.SHA256())
