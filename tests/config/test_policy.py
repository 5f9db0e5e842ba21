"""A policy is a value: safe by default, equal when it demands the same."""

from __future__ import annotations

from attrs import evolve
from attrs.exceptions import FrozenInstanceError
from twisted.trial.unittest import SynchronousTestCase

from txtransport.config.policy import VERSIONS, CertificateFiles, Side, TLSPolicy, Verify


class DefaultTests(SynchronousTestCase):
    """A policy that demands nothing is safe."""

    def test_a_client_verifies_by_default(self) -> None:
        """A client checks chain and name unless told otherwise."""
        policy = TLSPolicy()
        self.assertIs(policy.verifies(Side.CLIENT), Verify.YES)
        self.assertIs(policy.verifies_name(Side.CLIENT), True)

    def test_a_server_asks_for_no_certificate_by_default(self) -> None:
        """A server asks clients for no certificate unless told to."""
        policy = TLSPolicy()
        self.assertIs(policy.verifies(Side.SERVER), Verify.NO)
        self.assertIs(policy.verifies_name(Side.SERVER), False)

    def test_an_explicit_answer_holds_on_both_sides(self) -> None:
        """An explicit yes or no is stronger than the default of the side."""
        for side in Side:
            for verify in Verify:
                self.assertIs(TLSPolicy(verify_peer=verify).verifies(side), verify)
            for is_on in (True, False):
                self.assertIs(TLSPolicy(verify_peer_name=is_on).verifies_name(side), is_on)

    def test_weakening_one_check_leaves_the_other(self) -> None:
        """verify_peer=no does not switch the name check off, nor the other way round."""
        chainless = TLSPolicy(verify_peer=Verify.NO)
        nameless = TLSPolicy(verify_peer_name=False)
        self.assertIs(chainless.verifies_name(Side.CLIENT), True)
        self.assertIs(nameless.verifies(Side.CLIENT), Verify.YES)

    def test_default_versions_are_current(self) -> None:
        """Unless a policy says otherwise, TLS is 1.2 or 1.3."""
        policy = TLSPolicy()
        self.assertEqual((policy.min_version, policy.max_version), ("1.2", "1.3"))
        self.assertEqual(VERSIONS, tuple(sorted(VERSIONS)))


class ValueTests(SynchronousTestCase):
    """A policy is a frozen value, equal to any other with the same demands."""

    def test_policies_with_equal_demands_are_equal(self) -> None:
        """Two policies with the same demands are the same key of a cache, however written."""
        one = TLSPolicy(alpn_protocols=("h2",), SNI_server_certs=(("a.example", "a.pem"),))
        other = TLSPolicy(
            alpn_protocols=["h2"],
            SNI_server_certs={"a.example": "a.pem"},
        )
        third = evolve(other, SNI_server_certs={"a.example": {"local_cert": "a.pem"}})
        self.assertEqual(len({one, other, third}), 1)
        self.assertNotEqual(one, evolve(one, verify_depth=3))

    def test_a_policy_cannot_be_changed(self) -> None:
        """A policy cannot change after a context was built from it."""
        self.assertRaises(FrozenInstanceError, setattr, TLSPolicy(), "verify_peer", Verify.NO)

    def test_a_single_text_is_a_list_of_one(self) -> None:
        """A single text is one protocol or one digest, and not a list of letters."""
        policy = TLSPolicy(
            alpn_protocols="h2",
            peer_fingerprint="ab" * 32,
            pin="x" * 44,
        )
        self.assertEqual(policy.alpn_protocols, ("h2",))
        self.assertEqual(policy.peer_fingerprint, ("ab" * 32,))
        self.assertEqual(policy.pin, ("x" * 44,))

    def test_the_forms_of_php_are_taken(self) -> None:
        """A policy takes PHP's mappings, and has the same value as from other forms."""
        self.assertEqual(
            TLSPolicy(peer_fingerprint={"sha256": "ab" * 32}), TLSPolicy(peer_fingerprint="ab" * 32)
        )
        files = {"local_cert": "a.pem", "local_pk": "a.key"}
        policy = TLSPolicy(SNI_server_certs={"a.example": files})
        self.assertEqual(
            policy.SNI_server_certs, (("a.example", CertificateFiles("a.pem", "a.key")),)
        )
        self.assertEqual(evolve(policy, verify_depth=9), policy)

    def test_of_several_digests_by_algorithm_none_is_dropped(self) -> None:
        """PHP demands all digests of a mapping, and we any of a list: the mapping has one."""
        for digests in ({}, {"sha256": "ab" * 32, "sha512": "ab" * 64}):
            self.assertRaises(ValueError, TLSPolicy, peer_fingerprint=digests)

    def test_a_passphrase_is_never_shown(self) -> None:
        """A policy in a log or a traceback does not give the key away."""
        for policy in (TLSPolicy(passphrase="hunter2"), evolve(TLSPolicy(), passphrase="hunter2")):
            self.assertNotIn("hunter2", repr(policy))
            self.assertNotIn("hunter2", str(policy))
            self.assertIn("passphrase=***", repr(policy))
        self.assertIn("passphrase=None", repr(TLSPolicy()))


class PeerNameTests(SynchronousTestCase):
    """The name that the peer's certificate must be for."""

    def test_the_peer_is_named_by_the_url(self) -> None:
        """Unless the policy names the peer, the peer has the name from the URL."""
        self.assertEqual(TLSPolicy().for_peer("mail.example").peer_name, "mail.example")

    def test_a_name_in_the_policy_comes_first(self) -> None:
        """A policy that names the peer keeps that name."""
        policy = TLSPolicy(peer_name="mx.example")
        self.assertIs(policy.for_peer("mail.example"), policy)

    def test_a_context_is_shared_by_peers_of_all_names(self) -> None:
        """Policies that differ only in the peer's name share one context."""
        one, other = TLSPolicy(peer_name="a.example"), TLSPolicy(peer_name="b.example")
        self.assertEqual(one.without_peer, other.without_peer)
        self.assertIsNone(one.without_peer.peer_name)
        self.assertEqual(one.without_peer.for_peer("a.example"), one)
