"""Whether the peer is who the policy demands: every doubt is a refusal."""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL, crypto
from twisted.trial.unittest import SynchronousTestCase

from tests import certificates
from tests.tls.handshake import NAME, End, Meeting, arranged, client, meet, server
from txtransport.config.policy import TLSPolicy, Verify
from txtransport.errors import CAUSES
from txtransport.testing.devcert import Authority, Issued, self_signed
from txtransport.tls.verification import verify_after_handshake, verify_callback

VERSIONS: Final = ("1.2", "1.3")
NOW: Final = datetime.now(timezone.utc)
A_DAY: Final = timedelta(days=1)

Making = Callable[[], bytes]


@functools.cache
def stranger() -> Authority:
    """An authority that no one trusts."""
    return Authority.create("a stranger")


def issue(*names: str, by: Authority | None = None, **keywords: Any) -> Issued:
    """A certificate; by the tests' root unless it says otherwise."""
    return (by or certificates.authority()).issue(*names, **keywords)


def odd(*names: x509.GeneralName) -> Making:
    """One with those alternative names."""
    return lambda: issue(common_name=NAME, alternative_names=names).pem


def below_a_leaf() -> bytes:
    """One that was issued by a certificate that is no authority."""
    leaf = issue(NAME)
    assert isinstance(leaf.key, ec.EllipticCurvePrivateKey)
    return Authority(leaf.certificate, leaf.key, (leaf.certificate,)).issue(NAME).pem


def with_the_root() -> bytes:
    """One whose chain ends at a root that no one trusts, and shows it."""
    root = stranger()
    return root.issue(NAME).pem + root.pem


def without_the_intermediate() -> bytes:
    """One whose chain has a gap."""
    made = certificates.authority().intermediate().issue(NAME)
    return made.key_pem() + made.certificate.public_bytes(Encoding.PEM)


BAD: Final[tuple[tuple[str, str, Making], ...]] = (
    ("it is signed by no one", "self-signed", lambda: self_signed(NAME).pem),
    ("so is one that cannot be read", "self-signed", lambda: certificates.mislabelled().pem),
    ("its authority is unknown", "unknown-issuer", lambda: issue(NAME, by=stranger()).pem),
    ("its authority is shown and unknown", "unknown-issuer", with_the_root),
    ("its chain has a gap", "unknown-issuer", without_the_intermediate),
    ("its issuer is no authority", "unknown-issuer", below_a_leaf),
    ("it has expired", "expired", lambda: issue(NAME, not_before=NOW - 2 * A_DAY,
                                                not_after=NOW - A_DAY).pem),
    ("it is not valid yet", "not-yet-valid", lambda: issue(NAME, not_before=NOW + A_DAY).pem),
    ("it is for clients", "wrong-purpose", lambda: issue(NAME, purpose="client").pem),
    ("it is for another host", "wrong-name", lambda: issue("other.example").pem),
    ("it is for an address", "wrong-name", lambda: issue("127.0.0.1").pem),
    ("it is for the parent", "wrong-name", lambda: issue("example").pem),
    ("it has a common name only", "wrong-name", lambda: issue(common_name=NAME).pem),
    ("it is for everyone", "wrong-name", odd(x509.DNSName("*"))),
    ("it is for a whole domain", "wrong-name", odd(x509.DNSName("*.example"))),
    ("it has two wildcards", "wrong-name", odd(x509.DNSName("*.*.example"))),
    ("its name is empty", "wrong-name", odd(x509.DNSName(""))),
    ("its name is an address", "wrong-name", odd(x509.DNSName("127.0.0.1"))),
    ("it is for mail", "wrong-name", odd(x509.RFC822Name(f"me@{NAME}"))),
    ("it is for a directory", "wrong-name",
     odd(x509.DirectoryName(x509.Name.from_rfc4514_string(f"CN={NAME}")))),
)  # fmt: skip
"""What is the matter with it, the cause that is told, and how it is made."""


class VerificationTestCase(SynchronousTestCase):
    """What the tests of this file share."""

    def refused(self, cause: str, meeting: Meeting, what: str = "") -> End:
        """The client refused, for that cause; the client."""
        refusing = meeting.client
        self.assertFalse(refusing.is_secure, what)
        self.assertEqual(refusing.explained().cause, cause, what)
        self.assertIn(cause, CAUSES)
        return refusing

    def accepted(self, meeting: Meeting) -> Meeting:
        """Both are content."""
        self.assertTrue(meeting.is_secure, meeting.errors)
        return meeting


class BadCertificateTests(VerificationTestCase):
    """Each certificate that is not good enough is refused, for its own cause."""

    def test_each_is_refused_for_its_cause(self) -> None:
        """In TLS 1.2 and 1.3, no bad certificate gets through, and each is told apart."""
        for what, cause, make in BAD:
            host = server(local_cert=certificates.written("bad.pem", make()))
            for version in VERSIONS:
                meeting = meet(client(max_version=version), host)
                self.refused(cause, meeting, what)
                # The peer hears of it: it has not shaken hands with anyone.
                self.assertFalse(meeting.server.is_secure, what)
                self.assertIn("alert", str(meeting.server.error), what)

    def test_each_is_refused_with_an_address_too(self) -> None:
        """Who dials an address gets through with no bad certificate either."""
        for what, cause, make in BAD:
            host = server(local_cert=certificates.written("bad.pem", make()))
            if what != "it is for an address":
                self.refused(cause, meet(client(peer_name="127.0.0.1"), host), what)

    def test_a_certificate_for_another_address_is_refused(self) -> None:
        """A certificate for one address is not for another."""
        for name in ("127.0.0.2", "::2", "::ffff:127.0.0.1"):
            self.refused("wrong-name", meet(client(peer_name=name)))

    def test_without_the_name_check_a_bad_chain_is_still_refused(self) -> None:
        """Without verify_peer_name only names are forgiven, and nothing else."""
        for what, cause, make in BAD:
            host = server(local_cert=certificates.written("bad.pem", make()))
            meeting = meet(client(verify_peer_name=False), host)
            if cause == "wrong-name":
                self.accepted(meeting)
            else:
                self.refused(cause, meeting, what)

    def test_without_the_chain_check_a_bad_name_is_still_refused(self) -> None:
        """Without verify_peer only the chain is forgiven: the name is still looked at."""
        for what, cause, make in BAD:
            host = server(local_cert=certificates.written("bad.pem", make()))
            meeting = meet(client(verify_peer=Verify.NO), host)
            if cause == "wrong-name":
                self.refused(cause, meeting, what)
            else:
                self.accepted(meeting)

    def test_without_both_checks_any_certificate_is_accepted(self) -> None:
        """Who forgives chain and name gets through with any certificate."""
        for _, _, make in BAD:
            host = server(local_cert=certificates.written("bad.pem", make()))
            self.accepted(meet(client(verify_peer=Verify.NO, verify_peer_name=False), host))

    def test_the_chain_is_checked_before_the_name(self) -> None:
        """One that has expired and is for another host besides is refused by the walk."""
        both = issue("other.example", not_before=NOW - 2 * A_DAY, not_after=NOW - A_DAY)
        host = server(local_cert=certificates.written("bad.pem", both.pem))
        self.refused("expired", meet(None, host))


class GoodNameTests(VerificationTestCase):
    """Names that mean the same are the same."""

    def test_each_name_of_the_certificate_is_accepted(self) -> None:
        """Each name that the certificate is for is good, in each form that it may be written."""
        for name in (
            NAME, "GOOD.Example", "good.example.", "localhost", "a.wild.example",
            "127.0.0.1", "::1", "0:0:0:0:0:0:0:1", "::1%lo",
        ):  # fmt: skip
            self.accepted(meet(client(peer_name=name)))

    def test_an_international_name_is_compared_by_its_a_labels(self) -> None:
        """A name with letters beyond ASCII is that with the A-labels."""
        path = certificates.issued("idna.pem", "xn--bcher-kva.example")
        for name in ("xn--bcher-kva.example", "bücher.example", "BÜCHER.example."):
            meeting = self.accepted(meet(client(peer_name=name), server(local_cert=path)))
            self.assertEqual(meeting.server.session.server_name, "xn--bcher-kva.example")

    def test_a_complete_chain_of_any_length_is_accepted(self) -> None:
        """A chain of any number of authorities is good when it is whole."""
        first = certificates.authority().intermediate("first")
        second = first.intermediate("second")
        path = certificates.issued("chain.pem", NAME, by=second)
        trusted = certificates.written("trusted.pem", certificates.authority().pem)
        meeting = self.accepted(meet(client(cafile=trusted), server(local_cert=path)))
        self.assertEqual(len(meeting.client.session.peer_chain), 3)

    def test_a_self_signed_certificate_in_cafile_is_accepted(self) -> None:
        """A self-signed certificate is good for those who have a copy of it in cafile."""
        alone = self_signed(NAME)
        copy = certificates.written("copy.pem", alone.cert_pem)
        host = server(local_cert=certificates.written("alone.pem", alone.pem))
        self.accepted(meet(client(cafile=copy), host))
        self.refused("wrong-name", meet(client(cafile=copy, peer_name="other.example"), host))


class DepthTests(VerificationTestCase):
    """How long a chain may be."""

    def test_verify_depth_counts_the_authorities_between(self) -> None:
        """verify_depth is how many authorities may stand between leaf and root."""
        authority = certificates.authority()
        for count in range(3):
            host = server(local_cert=certificates.issued("deep.pem", NAME, by=authority))
            self.accepted(meet(client(verify_depth=count), host))
            if count:
                refusing = self.refused("other", meet(client(verify_depth=count - 1), host))
                self.assertIn("longer than verify_depth allows", str(refusing.explained()))
            authority = authority.intermediate(f"authority {count}")


class SelfSignedTests(VerificationTestCase):
    """allow_self_signed: a leaf that no one but itself vouches for, and no more."""

    def test_a_self_signed_leaf_is_accepted_but_not_verified(self) -> None:
        """A self-signed leaf is accepted, and is not called verified."""
        host = server(local_cert=certificates.written("alone.pem", self_signed(NAME).pem))
        meeting = self.accepted(meet(client(allow_self_signed=True), host))
        self.assertFalse(meeting.client.session.verified)

    def test_no_other_problem_is_tolerated(self) -> None:
        """Another root, a gap, an expired or foreign certificate is refused as ever."""
        expired = self_signed(NAME, now=NOW - 9 * A_DAY, days=1)
        rows = [
            *((cause, make) for _, cause, make in BAD if cause != "self-signed"),
            ("expired", lambda: expired.pem),
            ("wrong-name", lambda: self_signed("other.example").pem),
            ("wrong-name", lambda: self_signed(common_name=NAME).pem),
            ("wrong-purpose", lambda: self_signed(NAME, purpose="client").pem),
        ]
        for cause, make in rows:
            host = server(local_cert=certificates.written("bad.pem", make()))
            self.refused(cause, meet(client(allow_self_signed=True), host))


class FingerprintTests(VerificationTestCase):
    """peer_fingerprint: this certificate and no other, beside all other checks."""

    def setUp(self) -> None:
        self.made = issue(NAME)
        self.host = server(local_cert=certificates.written("digest.pem", self.made.pem))

    def digests(self) -> list[str]:
        """The digests that are understood."""
        kinds = (hashes.SHA256(), hashes.SHA384(), hashes.SHA512())
        return [self.made.certificate.fingerprint(kind).hex() for kind in kinds]

    def test_the_right_digest_is_accepted(self) -> None:
        """Any of the three digests will do, alone and among others."""
        for digest in self.digests():
            self.accepted(meet(client(peer_fingerprint=digest), self.host))
            self.accepted(meet(client(peer_fingerprint=("0" * 64, digest)), self.host))

    def test_a_wrong_digest_is_refused(self) -> None:
        """Another certificate is refused, and its digest is told."""
        for version in VERSIONS:
            policy = client(peer_fingerprint="0" * 64, max_version=version)
            refusing = self.refused("fingerprint", meet(policy, self.host))
            self.assertIn(self.made.fingerprint, str(refusing.explained()))

    def test_it_replaces_no_other_check(self) -> None:
        """The right digest does not make a wrong name or an unknown authority good."""
        digest = self.made.fingerprint
        other = client(peer_fingerprint=digest, peer_name="other.example")
        self.refused("wrong-name", meet(other, self.host))
        foreign = issue(NAME, by=stranger())
        host = server(local_cert=certificates.written("foreign.pem", foreign.pem))
        self.refused("unknown-issuer", meet(client(peer_fingerprint=foreign.fingerprint), host))

    def test_it_may_be_the_only_check(self) -> None:
        """Without chain and name, the digest is still demanded."""
        alone = {"verify_peer": Verify.NO, "verify_peer_name": False}
        self.accepted(meet(client(peer_fingerprint=self.made.fingerprint, **alone), self.host))
        self.refused("fingerprint", meet(client(peer_fingerprint="0" * 64, **alone), self.host))


class PinTests(VerificationTestCase):
    """pin: one of the public keys of the chain."""

    def setUp(self) -> None:
        self.between = certificates.authority().intermediate()
        self.made = issue(NAME, by=self.between)
        self.host = server(local_cert=certificates.written("pin.pem", self.made.pem))
        self.pins = [
            self.made.spki_pin,
            Issued(self.between.certificate, self.between.key).spki_pin,
            Issued(certificates.authority().certificate, certificates.authority().key).spki_pin,
        ]

    def test_any_key_of_the_chain_may_be_pinned(self) -> None:
        """The pin may be that of the leaf, of an authority between, and of the root."""
        for pin in self.pins:
            for version in VERSIONS:
                self.accepted(meet(client(pin=pin, max_version=version), self.host))

    def test_a_chain_without_the_pinned_key_is_refused(self) -> None:
        """A chain without the pinned key is refused, and its keys are told."""
        for version in VERSIONS:
            policy = client(pin=issue(NAME).spki_pin, max_version=version)
            refusing = self.refused("fingerprint", meet(policy, self.host))
            for pin in self.pins:
                self.assertIn(pin, str(refusing.explained()))

    def test_without_verify_peer_only_the_leaf_s_key_counts(self) -> None:
        """With verify_peer=no anyone can put a pinned authority above a leaf of his own."""
        false = issue(NAME, by=stranger())
        chain = false.pem + self.between.pem + certificates.authority().pem
        host = server(local_cert=certificates.written("false.pem", chain))
        for pin in self.pins[1:]:
            self.refused("fingerprint", meet(client(verify_peer=Verify.NO, pin=pin), host))
        self.accepted(meet(client(verify_peer=Verify.NO, pin=false.spki_pin), host))

    def test_a_pinned_authority_that_signed_nothing_does_not_count(self) -> None:
        """A pinned authority that is sent along, and vouches for nothing, does not count."""
        content = issue(NAME).pem + self.between.pem
        host = server(local_cert=certificates.written("beside.pem", content))
        self.refused("fingerprint", meet(client(pin=self.pins[1]), host))

    def test_a_self_signed_leaf_is_pinned_by_its_own_key(self) -> None:
        """With allow_self_signed the pin is that of the leaf."""
        alone = self_signed(NAME)
        host = server(local_cert=certificates.written("alone.pem", alone.pem))
        self.accepted(meet(client(allow_self_signed=True, pin=alone.spki_pin), host))
        self.refused("fingerprint", meet(client(allow_self_signed=True, pin=self.pins[0]), host))


class RevocationTests(VerificationTestCase):
    """crl: what the leaf's authority has taken back."""

    def policy(self, *lists: bytes) -> TLSPolicy:
        """A client that looks into those lists."""
        return client(crl=certificates.written("lists.pem", b"".join(lists)))

    def test_a_certificate_that_is_not_listed_is_accepted(self) -> None:
        """A certificate that its authority's list does not have is good."""
        lists = certificates.authority().revocation_list(issue(NAME).certificate)
        self.accepted(meet(self.policy(lists)))

    def test_a_revoked_certificate_is_refused(self) -> None:
        """One that it has is refused as revoked."""
        made = issue(NAME)
        host = server(local_cert=certificates.written("revoked.pem", made.pem))
        lists = certificates.authority().revocation_list(made.certificate)
        for version in VERSIONS:
            policy = client(crl=certificates.written("lists.pem", lists), max_version=version)
            refusing = self.refused("revoked", meet(policy, host))
            self.assertIn("its issuer has revoked it", str(refusing.explained()))

    def test_a_missing_list_is_a_refusal(self) -> None:
        """Without a list of its authority a certificate is refused: nobody knows."""
        refusing = self.refused("other", meet(self.policy(stranger().revocation_list())))
        self.assertIn("no revocation list of its issuer", str(refusing.explained()))

    def test_an_expired_list_is_a_refusal(self) -> None:
        """A list that should have been renewed is none."""
        old = certificates.authority().revocation_list(now=NOW - 9 * A_DAY, days=1)
        refusing = self.refused("other", meet(self.policy(old)))
        self.assertIn("revocation list of its issuer has expired", str(refusing.explained()))

    def test_the_right_list_is_found_among_several(self) -> None:
        """The list is found among those of others."""
        lists = (stranger().revocation_list(), certificates.authority().revocation_list())
        self.accepted(meet(self.policy(*lists)))


class ClientCertificateTests(VerificationTestCase):
    """Servers that ask their clients for a certificate."""

    def meeting(
        self, verify: Verify, version: str, protocol: bytes | None, **options: Any
    ) -> Meeting:
        """A client with that certificate at a server that asks for one."""
        own = {"local_cert": certificates.written("client.pem", protocol)} if protocol else {}
        asking = {"verify_peer": verify, "cafile": certificates.cafile(), **options}
        return meet(client(max_version=version, **own), server(**asking))

    def test_a_client_with_a_good_certificate_is_accepted(self) -> None:
        """A client with a certificate of the authority comes in, and is known."""
        good = issue("client.example", purpose="client")
        for verify in (Verify.YES, Verify.OPTIONAL):
            for version in VERSIONS:
                meeting = self.accepted(self.meeting(verify, version, good.pem))
                session = meeting.server.session
                self.assertEqual(session.peer_certificate, good.certificate)
                self.assertIs(session.verified, True)

    def test_a_client_without_a_certificate_is_accepted_only_where_optional(self) -> None:
        """A client without a certificate comes in where it is optional, and only there."""
        for version in VERSIONS:
            meeting = self.accepted(self.meeting(Verify.OPTIONAL, version, None))
            self.assertIsNone(meeting.server.session.peer_certificate)
            self.assertIs(meeting.server.session.verified, False)
            meeting = self.meeting(Verify.YES, version, None)
            self.assertFalse(meeting.server.is_secure)
            for end in (meeting.server, meeting.client):
                self.assertEqual(end.explained().cause, "client-certificate-required")

    def test_a_bad_client_certificate_is_refused_even_where_optional(self) -> None:
        """A bad certificate is refused for its cause, be it demanded or not."""
        rows = {
            "unknown-issuer": issue("x.example", by=stranger(), purpose="client"),
            "self-signed": self_signed("x.example", purpose="client"),
            "expired": issue("x.example", purpose="client", now=NOW - 9 * A_DAY, days=1),
            "wrong-purpose": issue("x.example", purpose="server"),
        }
        for cause, made in rows.items():
            for verify in (Verify.YES, Verify.OPTIONAL):
                for version in VERSIONS:
                    meeting = self.meeting(verify, version, made.pem)
                    self.assertFalse(meeting.server.is_secure)
                    self.assertEqual(meeting.server.explained().cause, cause)
                    self.assertIn("the client's certificate", str(meeting.server.explained()))
                    self.assertIn("alert", str(meeting.client.error))

    def test_a_client_shows_no_certificate_unasked(self) -> None:
        """A server that verifies nobody does not ask, and no client shows one unasked."""
        meeting = self.accepted(meet(client(local_cert=certificates.client())))
        self.assertIsNone(meeting.server.session.peer_certificate)

    def test_a_client_s_name_is_checked_only_on_demand(self) -> None:
        """A client's certificate may be for anyone, unless the server says for whom."""
        nobody = issue(common_name="nobody", purpose="client")
        self.accepted(self.meeting(Verify.YES, "1.3", nobody.pem))
        demanding = {"verify_peer_name": True, "peer_name": "client.example"}
        meeting = self.meeting(Verify.YES, "1.3", nobody.pem, **demanding)
        self.assertEqual(meeting.server.explained().cause, "wrong-name")
        good = issue("client.example", purpose="client")
        self.accepted(self.meeting(Verify.YES, "1.3", good.pem, **demanding))

    def test_clients_can_be_known_by_digest_or_pin(self) -> None:
        """A server may know its client by digest or key as well."""
        good = issue("client.example", purpose="client")
        for name, right in (("peer_fingerprint", good.fingerprint), ("pin", good.spki_pin)):
            self.accepted(self.meeting(Verify.YES, "1.3", good.pem, **{name: right}))
            other = issue("client.example", purpose="client")
            meeting = self.meeting(Verify.YES, "1.3", other.pem, **{name: right})
            self.assertEqual(meeting.server.explained().cause, "fingerprint")

    def test_in_tls_1_3_the_client_hears_of_the_refusal_late(self) -> None:
        """In TLS 1.3 a client is content before the server has judged it; then it is told."""
        meeting = self.meeting(Verify.YES, "1.3", None)
        self.assertTrue(meeting.client.is_secure)
        self.assertFalse(meeting.is_secure)
        self.assertFalse(self.meeting(Verify.YES, "1.2", None).client.is_secure)


class CallbackTests(SynchronousTestCase):
    """Whatever goes wrong while looking is a refusal."""

    def setUp(self) -> None:
        self.conversation = arranged().client.conversation
        self.leaf = crypto.X509.from_cryptography(issue(NAME).certificate)

    def test_a_connection_of_another_class_is_refused(self) -> None:
        """A connection that is not of our making is refused: nothing is known of its policy."""
        theirs = SSL.Connection(SSL.Context(SSL.TLS_METHOD), None)
        self.assertIs(verify_callback(theirs, self.leaf, 0, 0, 1), False)

    def test_an_error_while_verifying_is_a_refusal(self) -> None:
        """A certificate that cannot be examined is refused, and that is what is told."""
        for ok in (0, 1):
            broken: Any = object()
            self.assertIs(verify_callback(self.conversation, broken, 0, 0, ok), False)
            problem = self.conversation.verification.problems[-1]
            self.assertEqual(problem.diagnosis.cause, "other")
            self.assertIn("it could not be examined", problem.diagnosis.summary)
            self.assertIs(verify_after_handshake(self.conversation), False)

    def test_an_unknown_number_of_openssl_is_a_refusal(self) -> None:
        """A code that nobody has heard of is a refusal with that code."""
        self.assertIs(verify_callback(self.conversation, self.leaf, 12345, 1, 0), False)
        problem = self.conversation.verification.problems[0]
        self.assertEqual(
            (problem.diagnosis.cause, problem.code, problem.depth), ("other", 12345, 1)
        )
        self.assertIn("X509 error 12345", problem.diagnosis.summary)

    def test_every_number_of_openssl_has_a_cause_and_a_text(self) -> None:
        """Whatever OpenSSL holds against a certificate has a documented cause and a text."""
        for code in range(1, 120):
            conversation = arranged().client.conversation
            self.assertIs(verify_callback(conversation, self.leaf, code, 0, 0), False)
            (problem,) = conversation.verification.problems
            self.assertIn(problem.diagnosis.cause, CAUSES)
            self.assertRegex(problem.diagnosis.summary, "[a-z].{10,}[^.]$")

    def test_allow_self_signed_is_for_leaves_only(self) -> None:
        """With allow_self_signed, what is said of the leaf is not said of an authority."""
        for depth in (0, 1):
            conversation = arranged(client(allow_self_signed=True)).client.conversation
            self.assertIs(verify_callback(conversation, self.leaf, 18, depth, 0), depth == 0)

    def test_a_good_authority_does_not_accept_the_leaf(self) -> None:
        """An authority that is found good makes no leaf good."""
        self.assertIs(verify_callback(self.conversation, self.leaf, 0, 1, 1), True)
        self.assertIs(self.conversation.verification.is_leaf_accepted, False)
        self.assertIs(verify_after_handshake(self.conversation), False)

    def test_a_peer_without_a_certificate_is_refused_by_every_check(self) -> None:
        """A peer that showed no certificate is refused by any policy that makes a demand."""
        pin = issue(NAME).spki_pin
        for options, is_good in (
            ({}, False),
            ({"verify_peer": Verify.NO}, False),
            ({"verify_peer_name": False}, False),
            ({"verify_peer": Verify.NO, "verify_peer_name": False}, True),
            ({"verify_peer": Verify.NO, "verify_peer_name": False, "pin": pin}, False),
            ({"verify_peer": Verify.NO, "verify_peer_name": False,
              "peer_fingerprint": "0" * 64}, False),
        ):  # fmt: skip
            conversation = arranged(client(**options)).client.conversation
            self.assertIs(verify_after_handshake(conversation), is_good)
            if not is_good:
                (problem,) = conversation.verification.problems
                self.assertEqual(problem.diagnosis.summary, "the peer showed no certificate at all")

    def test_an_error_after_the_handshake_is_a_refusal(self) -> None:
        """If the last look fails, the last word is no."""
        conversation = arranged().client.conversation
        self.patch(conversation, "get_peer_certificate", None)
        self.assertIs(verify_after_handshake(conversation), False)
        self.assertIn(
            "could not be examined", conversation.verification.problems[0].diagnosis.summary
        )

    def test_a_leaf_without_a_callback_is_verified_after_the_handshake(self) -> None:
        """A leaf that is first seen at the end is looked at there, and must not have expired."""
        expired = issue(NAME, now=NOW - 9 * A_DAY, days=1).certificate
        for leaf, causes in (
            (issue(NAME).certificate, []),
            (issue("other.example").certificate, ["wrong-name"]),
            (expired, ["expired"]),
        ):
            conversation = arranged().client.conversation
            self.patch(conversation, "get_peer_certificate", lambda leaf=leaf, **_: leaf)
            self.assertIs(verify_after_handshake(conversation), not causes)
            found = [problem.diagnosis.cause for problem in conversation.verification.problems]
            self.assertEqual(found, causes)


class AddressTests(VerificationTestCase):
    """Addresses of all kinds."""

    def test_an_address_counts_only_among_the_addresses(self) -> None:
        """An address is good if it is among the certificate's addresses, and not elsewhere."""
        listed = odd(x509.IPAddress(ipaddress.ip_address("192.0.2.7")), x509.DNSName("192.0.2.8"))
        host = server(local_cert=certificates.written("address.pem", listed()))
        self.accepted(meet(client(peer_name="192.0.2.7"), host))
        self.refused("wrong-name", meet(client(peer_name="192.0.2.8"), host))
