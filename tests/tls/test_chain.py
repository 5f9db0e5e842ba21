"""The order of certificates: who has issued whom, which are superfluous, and what is told."""

from __future__ import annotations

import functools
from typing import Final, cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests import certificates
from txtransport.testing.devcert import Authority
from txtransport.tls.chain import (
    ChainOrder,
    chain_order,
    chain_problems,
    is_issued_by,
    wrong_issuer,
)

STRANGER: Final = Authority.create("stranger").certificate


@functools.cache
def chain() -> tuple[x509.Certificate, ...]:
    """A leaf, two intermediate authorities and their root."""
    root = certificates.authority()
    leaf = root.intermediate("upper").intermediate("lower").issue("good.example")
    return (leaf.certificate, *leaf.chain, root.certificate)


class OrderTests(SynchronousTestCase):
    """Where certificates belong."""

    def test_a_chain_as_it_should_be(self) -> None:
        """The leaf and the authorities above it, without the root, have nothing to mend."""
        order = chain_order(chain()[:3])
        self.assertEqual(order, ChainOrder((0, 1, 2), (), (), False))
        self.assertTrue(order.is_in_order)
        self.assertEqual(chain_order(chain()[:1]), ChainOrder((0,), (), (), False))

    def test_the_root_is_seen(self) -> None:
        """A chain that goes on to its root is told, and so is a root alone."""
        self.assertTrue(chain_order(chain()).ends_at_root)
        self.assertTrue(chain_order(chain()[3:]).ends_at_root)
        self.assertFalse(chain_order(chain()[:3]).ends_at_root)

    def test_superfluous_certificates_are_seen(self) -> None:
        """What is there twice, and what has issued nothing, is named by its place."""
        leaf, lower, upper, _ = chain()
        other = certificates.authority().issue("other.example").certificate
        order = chain_order([leaf, other, leaf, lower, lower, upper])
        self.assertEqual(order, ChainOrder((0, 3, 5), (2, 4), (1,), False))

    def test_an_authority_with_two_certificates_is_related(self) -> None:
        """A root that another one has signed as well may be there in both its forms."""
        leaf, lower, upper, root = chain()
        old = Authority.create("old root")
        crossed = _signed_by(old, certificates.authority())
        for above in ((crossed, old.certificate), (root, crossed), (crossed, root)):
            order = chain_order([leaf, lower, upper, *above])
            self.assertEqual((order.unrelated, order.is_in_order), ((), True))

    def test_a_whole_strange_chain_is_unrelated(self) -> None:
        """What has issued only a certificate that is unrelated is unrelated as well."""
        strange = Authority.create("strange root")
        other = strange.intermediate("strange").certificate
        order = chain_order([*chain()[:3], other, strange.certificate])
        self.assertEqual(order.unrelated, (3, 4))

    def test_an_authority_of_the_same_name_and_another_key_is_unrelated(self) -> None:
        """An authority that was renewed with a new key has not issued the older leaf."""
        leaf, lower, upper, _ = chain()
        renewed = certificates.authority().intermediate("lower").certificate
        self.assertEqual(chain_order([leaf, renewed, upper]).unrelated, (1, 2))
        self.assertEqual(chain_order([leaf, renewed, lower, upper]).path, (0, 2, 3))

    def test_nothing_is_called_unrelated_where_a_name_cannot_be_read(self) -> None:
        """A certificate that cryptography cannot read may have issued any other one."""
        leaf, *_ = chain()
        other = certificates.authority().certificate
        unreadable = certificates.mislabelled().certificate
        self.assertEqual(chain_order([leaf, unreadable, other]).unrelated, ())

    def test_hundreds_of_certificates_of_one_name_cost_little(self) -> None:
        """A peer whose certificates may all have issued each other gets few signatures verified."""
        for names in (["one"], ["one", "other"], ["one", "second", "third"]):
            _Counted.verified = 0
            sent = [
                _Counted(names[place % len(names)], names[(place + 1) % len(names)])
                for place in range(400)
            ]
            order = chain_order([cast(x509.Certificate, each) for each in sent])
            self.assertEqual(order.path[0], 0)
            self.assertTrue(0 < _Counted.verified <= 16, _Counted.verified)

    @settings(deadline=None)
    @given(st.permutations(range(1, 4)))
    def test_any_order_is_recognised(self, places: list[int]) -> None:
        """However the authorities are mixed, the path leads from the leaf to the root."""
        given_ = [chain()[0], *(chain()[place] for place in places)]
        order = chain_order(given_)
        self.assertEqual([given_[place] for place in order.path], list(chain()))
        self.assertEqual(order.is_in_order, places == [1, 2, 3])


class IssuerTests(SynchronousTestCase):
    """Who has issued a certificate."""

    def test_the_name_alone_is_not_enough(self) -> None:
        """An authority with the right name and another key has not issued it."""
        leaf = certificates.authority().issue("good.example").certificate
        pretender = Authority.create("txtransport test CA").certificate
        self.assertTrue(is_issued_by(leaf, certificates.authority().certificate))
        self.assertFalse(is_issued_by(leaf, pretender))
        self.assertFalse(is_issued_by(leaf, leaf))

    def test_unreadable_certificates_have_an_answer(self) -> None:
        """Certificates that cryptography cannot read raise nothing."""
        root = certificates.authority().certificate
        for why, certificate in certificates.hostile():
            for one, other in ((certificate, root), (root, certificate), (certificate,) * 2):
                self.assertIn(is_issued_by(one, other), (True, False), why)
            self.assertEqual(chain_order([certificate, root]).path[0], 0)


class ToldTests(SynchronousTestCase):
    """What is told of a peer's chain, and of which chains nothing is."""

    def test_nothing_is_told_of_a_chain_in_order(self) -> None:
        """A chain in order is right with the root and without it, and however short it is."""
        for length in range(len(chain()) + 1):
            self.assertEqual(chain_problems(chain()[:length]), ())

    def test_order_is_told_with_the_first_wrong_place(self) -> None:
        """Of a chain out of order, the first certificate in the place of another is told."""
        leaf, lower, upper, root = chain()
        self.assertEqual(
            chain_problems((leaf, root, upper, lower)),
            (
                "the certificates are sent out of order, which some clients refuse: behind "
                "'CN=good.example' stands 'CN=txtransport test CA', and not 'CN=lower', which "
                "issued it",
            ),
        )

    def test_copies_are_told_and_do_not_count_for_the_order(self) -> None:
        """A certificate that is sent several times is told, and the rest is in order."""
        leaf, lower, upper, _ = chain()
        self.assertEqual(chain_problems((leaf, lower, lower, upper)), ("'CN=lower' is sent twice",))
        self.assertEqual(chain_problems((leaf,) * 3), ("'CN=good.example' is sent 3 times",))

    def test_a_certificate_that_issued_none_is_told(self) -> None:
        """An authority that is not the leaf's is the mark of a wrong file."""
        self.assertEqual(
            chain_problems((chain()[0], STRANGER)),
            ("'CN=stranger' is sent, and issued none of the others",),
        )

    def test_the_remedy_for_a_wrong_authority_names_the_right_one(self) -> None:
        """Where another authority stands behind the leaf, the one that belongs there is named."""
        leaf = chain()[0]
        for wrong in ((leaf, STRANGER), (leaf, STRANGER, STRANGER)):
            remedy = wrong_issuer(wrong)
            self.assertIn("sends 'CN=stranger'", remedy)
            self.assertIn("'CN=lower' belongs in its place", remedy)
        for right in (chain(), chain()[:1], (), chain()[::-1]):
            self.assertEqual(wrong_issuer(right), "")

    def test_a_name_that_cannot_be_read_ends_no_report(self) -> None:
        """Of a certificate whose names cryptography cannot read nothing untrue is told."""
        leaf = chain()[0]
        for what, hostile in certificates.hostile():
            for sent in ((leaf, hostile), (hostile, leaf), (hostile, hostile)):
                self.assertIsInstance(chain_problems(sent), tuple, what)
            self.assertIsInstance(wrong_issuer((leaf, hostile, STRANGER)), str, what)
        unreadable = certificates.mislabelled().certificate
        self.assertEqual(chain_problems((leaf, unreadable, STRANGER)), ())
        self.assertEqual(wrong_issuer((leaf, unreadable, STRANGER)), "")

    def test_names_are_escaped_and_bounded(self) -> None:
        """A stranger's names cannot move the cursor, and a hundred strangers are not all told."""
        loud = [Authority.create(f"\x1b[2J{number}\n").certificate for number in range(9)]
        found = chain_problems((chain()[0], *loud))
        self.assertEqual(len(found), 4)
        for sentence in found:
            self.assertTrue(sentence.isprintable() and len(sentence) < 300, sentence)

    @settings(deadline=None)
    @given(st.permutations(range(1, 4)))
    def test_every_other_order_is_told(self, places: list[int]) -> None:
        """Of all the orders of one chain, only the right one is right."""
        sent = [chain()[0], *(chain()[place] for place in places)]
        self.assertEqual(len(chain_problems(sent)), 0 if places == [1, 2, 3] else 1)


class _Counted:
    """In place of a certificate whose signature any of its issuer's name may have made."""

    verified = 0

    def __init__(self, subject: str, issuer: str) -> None:
        self.subject = _name(subject)
        self.issuer = _name(issuer)

    def verify_directly_issued_by(self, issuer: object) -> None:
        """Count, and agree."""
        _Counted.verified += 1


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])


def _signed_by(issuer: Authority, holder: Authority) -> x509.Certificate:
    """A certificate for the name and the key of an authority, issued by another one."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(holder.certificate.subject)
        .issuer_name(issuer.certificate.subject)
        .public_key(holder.certificate.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(holder.certificate.not_valid_before_utc)
        .not_valid_after(holder.certificate.not_valid_after_utc)
        .add_extension(x509.BasicConstraints(True, None), True)
    )
    return builder.sign(issuer.key, hashes.SHA256())
