"""The order of certificates: who has issued whom, and which are superfluous."""

from __future__ import annotations

import functools

from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests import certificates
from txtransport.testing.devcert import Authority
from txtransport.tls.chain import ChainOrder, chain_order, is_issued_by


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
        """A chain that goes on to its root is told; a root alone is a leaf to itself."""
        self.assertTrue(chain_order(chain()).has_root)
        self.assertFalse(chain_order(chain()[3:]).has_root)

    def test_superfluous_certificates_are_seen(self) -> None:
        """What is there twice, and what has issued nothing, is named by its place."""
        leaf, lower, upper, _ = chain()
        other = certificates.authority().issue("other.example").certificate
        order = chain_order([leaf, other, leaf, lower, lower, upper])
        self.assertEqual(order, ChainOrder((0, 3, 5), (2, 4), (1,), False))

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
