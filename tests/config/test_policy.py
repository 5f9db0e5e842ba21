"""A policy is a value: safe by default, equal when it demands the same."""

from __future__ import annotations

from attrs import evolve
from attrs.exceptions import FrozenInstanceError
from twisted.trial.unittest import SynchronousTestCase

from txtransport.config.policy import VERSIONS, Side, TLSPolicy, Verify


class DefaultTests(SynchronousTestCase):
    """Whoever demands nothing gets what is safe."""

    def test_a_client_verifies(self) -> None:
        """A client checks chain and name unless told otherwise."""
        policy = TLSPolicy()
        self.assertIs(policy.verifies(Side.CLIENT), Verify.YES)
        self.assertIs(policy.verifies_name(Side.CLIENT), True)

    def test_a_server_asks_for_nothing(self) -> None:
        """A server asks clients for no certificate unless told to."""
        policy = TLSPolicy()
        self.assertIs(policy.verifies(Side.SERVER), Verify.NO)
        self.assertIs(policy.verifies_name(Side.SERVER), False)

    def test_what_is_asked_for_holds_on_both_sides(self) -> None:
        """An explicit answer beats the side's default."""
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

    def test_versions_are_current(self) -> None:
        """Without a word from anyone, TLS is 1.2 or 1.3."""
        policy = TLSPolicy()
        self.assertEqual((policy.min_version, policy.max_version), ("1.2", "1.3"))
        self.assertEqual(VERSIONS, tuple(sorted(VERSIONS)))


class ValueTests(SynchronousTestCase):
    """Two policies that demand the same are one."""

    def test_equal_policies_share(self) -> None:
        """However it was written, the same demand is the same key in a table."""
        one = TLSPolicy(alpn_protocols=("h2",), SNI_server_certs=(("a.example", "a.pem"),))
        other = TLSPolicy(
            alpn_protocols=["h2"],
            SNI_server_certs={"a.example": "a.pem"},
        )
        self.assertEqual(one, other)
        self.assertEqual(len({one, other}), 1)
        self.assertNotEqual(one, evolve(one, verify_depth=3))

    def test_a_policy_cannot_be_changed(self) -> None:
        """What was demanded when the context was built is demanded still."""
        self.assertRaises(FrozenInstanceError, setattr, TLSPolicy(), "verify_peer", Verify.NO)

    def test_one_name_is_a_list_of_one(self) -> None:
        """A single string is one protocol and one digest, never a row of letters."""
        policy = TLSPolicy(
            alpn_protocols="h2",
            peer_fingerprint="ab" * 32,
            pin="x" * 44,
        )
        self.assertEqual(policy.alpn_protocols, ("h2",))
        self.assertEqual(policy.peer_fingerprint, ("ab" * 32,))
        self.assertEqual(policy.pin, ("x" * 44,))

    def test_a_passphrase_is_never_shown(self) -> None:
        """A policy in a log or a traceback does not give the key away."""
        for policy in (TLSPolicy(passphrase="hunter2"), evolve(TLSPolicy(), passphrase="hunter2")):
            self.assertNotIn("hunter2", repr(policy))
            self.assertNotIn("hunter2", str(policy))
            self.assertIn("passphrase=***", repr(policy))
        self.assertIn("passphrase=None", repr(TLSPolicy()))


class ExpectingTests(SynchronousTestCase):
    """Whom the certificate must be for."""

    def test_the_url_names_the_peer(self) -> None:
        """Without a word from the policy the peer is who was dialled."""
        self.assertEqual(TLSPolicy().for_peer("mail.example").peer_name, "mail.example")

    def test_the_policy_knows_better(self) -> None:
        """A policy that names the peer keeps its word."""
        policy = TLSPolicy(peer_name="mx.example")
        self.assertIs(policy.for_peer("mail.example"), policy)

    def test_a_context_is_for_everyone(self) -> None:
        """Policies that differ in nothing but the peer's name are served by one context."""
        one, other = TLSPolicy(peer_name="a.example"), TLSPolicy(peer_name="b.example")
        self.assertEqual(one.without_peer, other.without_peer)
        self.assertIsNone(one.without_peer.peer_name)
        self.assertEqual(one.without_peer.for_peer("a.example"), one)
