"""Verification of the peer: a good certificate is accepted, every doubt is a refusal."""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any, Final

from attrs import evolve
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtensionOID, NameOID
from OpenSSL import SSL, crypto
from twisted.trial.unittest import SynchronousTestCase

from tests import certificates
from tests.tls.handshake import NAME, End, Meeting, arranged, client, meet, server
from tests.tls.test_shapes import FOR_CERTIFICATES, between, built, constraint
from txtransport.config.policy import Side, TLSPolicy, Verify
from txtransport.errors import CAUSES
from txtransport.testing.devcert import Authority, Issued, Key, self_signed
from txtransport.tls.creator import connection_creator
from txtransport.tls.verification import verify_after_handshake, verify_callback

VERSIONS: Final = ("1.2", "1.3")
NOW: Final = datetime.now(timezone.utc)
A_DAY: Final = timedelta(days=1)

MakePEM = Callable[[], bytes]


@functools.cache
def untrusted() -> Authority:
    """An authority that no side trusts."""
    return Authority.create("a stranger")


def issue(*names: str, by: Authority | None = None, **keywords: Any) -> Issued:
    """A certificate, issued by the tests' root or by `by`."""
    return (by or certificates.authority()).issue(*names, **keywords)


def with_names(*names: x509.GeneralName) -> MakePEM:
    """Makes a certificate with those alternative names."""
    return lambda: issue(common_name=NAME, alternative_names=names).pem


def below_a_leaf() -> bytes:
    """A certificate that was issued by another leaf."""
    leaf = issue(NAME)
    assert isinstance(leaf.key, ec.EllipticCurvePrivateKey)
    return Authority(leaf.certificate, leaf.key, (leaf.certificate,)).issue(NAME).pem


def signed_by_another_key() -> Issued:
    """A leaf that names itself as its issuer, and that another key has signed."""
    key, other = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    return Issued(_own_issuer(key).sign(other, hashes.SHA256()), key)


def signed_with_md5() -> Issued:
    """A leaf that names itself as its issuer, and says that it is signed with MD5."""
    key = rsa.generate_private_key(65537, 2048)
    der = _own_issuer(key).sign(key, hashes.SHA256()).public_bytes(Encoding.DER)
    # md5WithRSAEncryption and sha256WithRSAEncryption differ in their last byte (RFC 8017).
    pkcs_1 = bytes.fromhex("06092a864886f70d0101")
    weak = der.replace(pkcs_1 + b"\x0b", pkcs_1 + b"\x04")
    return Issued(x509.load_der_x509_certificate(weak), key)


def _own_issuer(key: Key) -> x509.CertificateBuilder:
    # Without an authority key identifier OpenSSL tells by names and kinds of keys alone
    # whether a certificate is self-signed.
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - A_DAY)
        .not_valid_after(NOW + A_DAY)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), False)
    )


def with_the_root() -> bytes:
    """A certificate that is sent with a root that no side trusts."""
    root = untrusted()
    return root.issue(NAME).pem + root.pem


def without_the_intermediate() -> bytes:
    """A certificate that is sent without the intermediate above it."""
    made = certificates.authority().intermediate().issue(NAME)
    return made.key_pem() + made.certificate.public_bytes(Encoding.PEM)


BAD: Final[tuple[tuple[str, str, MakePEM], ...]] = (
    ("it is self-signed", "self-signed", lambda: self_signed(NAME).pem),
    ("it is self-signed and its names cannot be read", "self-signed",
     lambda: certificates.mislabelled().pem),
    ("its authority is unknown", "unknown-issuer", lambda: issue(NAME, by=untrusted()).pem),
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
    ("it is for everyone", "wrong-name", with_names(x509.DNSName("*"))),
    ("it is for a whole domain", "wrong-name", with_names(x509.DNSName("*.example"))),
    ("it has two wildcards", "wrong-name", with_names(x509.DNSName("*.*.example"))),
    ("its name is empty", "wrong-name", with_names(x509.DNSName(""))),
    ("its name is an address", "wrong-name", with_names(x509.DNSName("127.0.0.1"))),
    ("it is for mail", "wrong-name", with_names(x509.RFC822Name(f"me@{NAME}"))),
    ("it is for a directory", "wrong-name",
     with_names(x509.DirectoryName(x509.Name.from_rfc4514_string(f"CN={NAME}")))),
)  # fmt: skip
"""What is wrong with it, the cause of the error, and a function that makes it."""


class VerificationTestCase(SynchronousTestCase):
    """What the tests of this file share."""

    def refused(self, cause: str, meeting: Meeting, what: str = "") -> End:
        """The client's end, which must have refused for that cause."""
        refusing = meeting.client
        self.assertFalse(refusing.is_secure, what)
        self.assertEqual(refusing.explained().cause, cause, what)
        self.assertIn(cause, CAUSES)
        return refusing

    def accepted(self, meeting: Meeting) -> Meeting:
        """The same meeting, in which both sides must have accepted."""
        self.assertTrue(meeting.is_secure, meeting.errors)
        return meeting


class BadCertificateTests(VerificationTestCase):
    """Each bad certificate is refused, for its own cause."""

    def test_each_is_refused_for_its_cause(self) -> None:
        """In TLS 1.2 and 1.3, every bad certificate is refused, with the right cause."""
        for what, cause, make in BAD:
            serving = server(local_cert=certificates.written("bad.pem", make()))
            for version in VERSIONS:
                meeting = meet(client(max_version=version), serving)
                self.refused(cause, meeting, what)
                # The server receives an alert, and its handshake fails as well.
                self.assertFalse(meeting.server.is_secure, what)
                self.assertIn("alert", str(meeting.server.error), what)

    def test_each_is_refused_with_an_address_too(self) -> None:
        """A client that expects an address refuses every bad certificate as well."""
        for what, cause, make in BAD:
            serving = server(local_cert=certificates.written("bad.pem", make()))
            if what != "it is for an address":
                self.refused(cause, meet(client(peer_name="127.0.0.1"), serving), what)

    def test_a_certificate_for_another_address_is_refused(self) -> None:
        """A certificate for one address is not accepted for another."""
        for name in ("127.0.0.2", "::2", "::ffff:127.0.0.1"):
            self.refused("wrong-name", meet(client(peer_name=name)))

    def test_without_the_name_check_a_bad_chain_is_still_refused(self) -> None:
        """Without verify_peer_name only wrong names are accepted, and no other problem."""
        for what, cause, make in BAD:
            serving = server(local_cert=certificates.written("bad.pem", make()))
            meeting = meet(client(verify_peer_name=False), serving)
            if cause == "wrong-name":
                self.accepted(meeting)
            else:
                self.refused(cause, meeting, what)

    def test_without_the_chain_check_a_bad_name_is_still_refused(self) -> None:
        """Without verify_peer a bad chain is accepted, but the name is still checked."""
        for what, cause, make in BAD:
            serving = server(local_cert=certificates.written("bad.pem", make()))
            meeting = meet(client(verify_peer=Verify.NO), serving)
            if cause == "wrong-name":
                self.refused(cause, meeting, what)
            else:
                self.accepted(meeting)

    def test_without_both_checks_any_certificate_is_accepted(self) -> None:
        """Without verify_peer and verify_peer_name, every certificate is accepted."""
        for _, _, make in BAD:
            serving = server(local_cert=certificates.written("bad.pem", make()))
            self.accepted(meet(client(verify_peer=Verify.NO, verify_peer_name=False), serving))

    def test_the_chain_is_checked_before_the_name(self) -> None:
        """A certificate that has expired and is for another name is refused as expired."""
        both = issue("other.example", not_before=NOW - 2 * A_DAY, not_after=NOW - A_DAY)
        serving = server(local_cert=certificates.written("bad.pem", both.pem))
        self.refused("expired", meet(None, serving))


class GoodNameTests(VerificationTestCase):
    """Good certificates are accepted, however the name is written."""

    def test_each_name_of_the_certificate_is_accepted(self) -> None:
        """A name or address of the certificate is accepted in each form it may be written in."""
        for name in (
            NAME, "GOOD.Example", "good.example.", "localhost", "a.wild.example",
            "127.0.0.1", "::1", "0:0:0:0:0:0:0:1", "::1%lo",
        ):  # fmt: skip
            self.accepted(meet(client(peer_name=name)))

    def test_an_international_name_is_compared_by_its_a_labels(self) -> None:
        """A name with letters beyond ASCII matches the certificate's A-labels."""
        path = certificates.issued("idna.pem", "xn--bcher-kva.example")
        for name in ("xn--bcher-kva.example", "bücher.example", "BÜCHER.example."):
            meeting = self.accepted(meet(client(peer_name=name), server(local_cert=path)))
            self.assertEqual(meeting.server.session.server_name, "xn--bcher-kva.example")

    def test_an_international_name_is_for_a_wildcard_too(self) -> None:
        """A name with letters beyond ASCII in its first label matches a wildcard."""
        self.accepted(meet(client(peer_name="bücher.wild.example")))

    def test_a_complete_chain_of_any_length_is_accepted(self) -> None:
        """A chain with any number of authorities is accepted when it is complete."""
        first = certificates.authority().intermediate("first")
        second = first.intermediate("second")
        path = certificates.issued("chain.pem", NAME, by=second)
        trusted = certificates.written("trusted.pem", certificates.authority().pem)
        meeting = self.accepted(meet(client(cafile=trusted), server(local_cert=path)))
        self.assertEqual(len(meeting.client.session.peer_chain), 3)

    def test_a_self_signed_certificate_in_cafile_is_accepted(self) -> None:
        """A self-signed certificate is accepted by a client that has a copy of it in cafile."""
        alone = self_signed(NAME)
        copy = certificates.written("copy.pem", alone.cert_pem)
        serving = server(local_cert=certificates.written("alone.pem", alone.pem))
        self.accepted(meet(client(cafile=copy), serving))
        self.refused("wrong-name", meet(client(cafile=copy, peer_name="other.example"), serving))


class ExcludedNameTests(VerificationTestCase):
    """Names that an authority must not vouch for, whatever form they have in the certificate."""

    def serving(self, *names: str, excluded: str, by: Authority | None = None) -> TLSPolicy:
        """A server whose certificate has those names, below an authority with a constraint."""
        limits = x509.NameConstraints(None, [x509.DNSName(excluded)])
        above = between(constraint(), FOR_CERTIFICATES, (limits, True), by=by)
        return server(local_cert=certificates.written("excluded.pem", above.issue(*names).pem))

    def test_a_wildcard_is_not_for_an_excluded_name(self) -> None:
        """A wildcard of an authority with an excluded name is for its other names alone."""
        serving = self.serving("*.wild.example", excluded="a.wild.example")
        for version in VERSIONS:
            for name in ("a.wild.example", "A.Wild.Example."):
                policy = client(peer_name=name, max_version=version)
                refusing = self.refused("wrong-name", meet(policy, serving))
                self.assertIn("must not vouch for a.wild.example", str(refusing.explained()))
            self.accepted(meet(client(peer_name="b.wild.example", max_version=version), serving))

    def test_the_constraint_of_every_authority_counts(self) -> None:
        """The constraint may be the root's or that of any authority below the root."""
        above = between(constraint(), FOR_CERTIFICATES)
        limits = x509.NameConstraints(None, [x509.DNSName("a.wild.example")])
        anchor = between(constraint(), FOR_CERTIFICATES, (limits, True))
        below = anchor.intermediate("below")
        pem = certificates.written("below.pem", below.issue("*.wild.example").pem)
        for serving in (
            self.serving("*.wild.example", excluded="a.wild.example", by=above),
            server(local_cert=pem),
        ):
            self.refused("wrong-name", meet(client(peer_name="a.wild.example"), serving))
            self.accepted(meet(client(peer_name="b.wild.example"), serving))

    def test_it_is_part_of_the_checks_of_chain_and_name(self) -> None:
        """Without one of these checks an authority's constraints mean nothing."""
        serving = self.serving("*.wild.example", excluded="a.wild.example")
        for more in ({"verify_peer": Verify.NO}, {"verify_peer_name": False}):
            self.accepted(meet(client(peer_name="a.wild.example", **more), serving))

    def test_a_constraint_that_cannot_be_read_is_a_refusal(self) -> None:
        """What an authority must not vouch for may be the very name that was asked for."""
        names = x509.NameConstraints(None, [x509.DNSName("other.example")]).public_bytes()
        addresses = x509.NameConstraints(
            None, [x509.IPAddress(ipaddress.ip_network("192.0.2.0/24"))]
        ).public_bytes()
        for raw in (
            names.replace(b"other.", b"*ther."),
            names.replace(b"example", b"exampl."),
            names.replace(b"other.", b"oth r."),
            addresses.replace(b"\xff\xff\xff\x00", b"\xff\x00\xff\x00"),
        ):
            limits = x509.UnrecognizedExtension(ExtensionOID.NAME_CONSTRAINTS, raw)
            # cryptography issues nothing below a certificate that it cannot read, so a
            # second one of the same name and key does.
            twin = between(constraint(), FOR_CERTIFICATES)
            above = built("between", constraint(), FOR_CERTIFICATES, (limits, True), key=twin.key)
            made = evolve(twin.issue(NAME, "127.0.0.1"), chain=(above.certificate,))
            serving = server(local_cert=certificates.written("unread.pem", made.pem))
            refusing = self.refused("malformed", meet(client(), serving))
            self.assertIn("a constraint that cannot be read", str(refusing.explained()))

    def test_a_client_s_name_is_held_against_them_too(self) -> None:
        """A server that checks its clients' name refuses an excluded one."""
        limits = x509.NameConstraints(None, [x509.DNSName("a.wild.example")])
        above = between(constraint(), FOR_CERTIFICATES, (limits, True))
        made = above.issue("*.wild.example", purpose="client")
        asking = server(
            verify_peer=Verify.YES, verify_peer_name=True, peer_name="a.wild.example",
            cafile=certificates.cafile(),
        )  # fmt: skip
        theirs = client(local_cert=certificates.written("client.pem", made.pem))
        meeting = meet(theirs, asking)
        self.assertEqual(meeting.server.explained().cause, "wrong-name")
        self.assertFalse(meeting.is_secure)

    def test_a_session_of_another_name_is_not_resumed(self) -> None:
        """A client that is refused by name cannot come in with the session of another endpoint."""
        limits = x509.NameConstraints(None, [x509.DNSName("a.wild.example")])
        above = between(constraint(), FOR_CERTIFICATES, (limits, True))
        made = above.issue("*.wild.example", purpose="client")
        asking = functools.partial(
            server, verify_peer=Verify.YES, verify_peer_name=True, cafile=certificates.cafile()
        )
        for version in VERSIONS:
            refusing, accepting = (
                connection_creator(asking(peer_name=name, max_version=version), Side.SERVER)
                for name in ("a.wild.example", "b.wild.example")
            )
            path = certificates.written("client.pem", made.pem)
            theirs = connection_creator(client(local_cert=path), Side.CLIENT, "peer")
            self.assertFalse(meet(theirs, refusing).is_secure)
            meet(theirs, accepting).part()
            self.assertFalse(meet(theirs, refusing).is_secure)


class DepthTests(VerificationTestCase):
    """How long a chain may be."""

    def test_verify_depth_counts_the_authorities_between(self) -> None:
        """verify_depth is how many authorities may be between the leaf and the root."""
        authority = certificates.authority()
        for count in range(3):
            serving = server(local_cert=certificates.issued("deep.pem", NAME, by=authority))
            self.accepted(meet(client(verify_depth=count), serving))
            if count:
                refusing = self.refused("other", meet(client(verify_depth=count - 1), serving))
                self.assertIn("longer than verify_depth allows", str(refusing.explained()))
            authority = authority.intermediate(f"authority {count}")


class SelfSignedTests(VerificationTestCase):
    """allow_self_signed: accepts a self-signed leaf, and no other problem."""

    def test_a_self_signed_leaf_is_accepted_but_not_verified(self) -> None:
        """A self-signed leaf is accepted, but the session is not called verified."""
        serving = server(local_cert=certificates.written("alone.pem", self_signed(NAME).pem))
        meeting = self.accepted(meet(client(allow_self_signed=True), serving))
        self.assertFalse(meeting.client.session.verified)

    def test_a_leaf_that_another_key_signed_is_refused(self) -> None:
        """A leaf that only names itself as its issuer, as OpenSSL compares it, is refused."""
        made = signed_by_another_key()
        serving = server(local_cert=certificates.written("claims.pem", made.pem))
        for more in ({}, {"pin": made.spki_pin}, {"peer_fingerprint": made.fingerprint}):
            for version in VERSIONS:
                policy = client(allow_self_signed=True, max_version=version, **more)
                self.refused("self-signed", meet(policy, serving))

    def test_a_signature_that_cannot_be_checked_needs_a_digest(self) -> None:
        """A leaf signed with MD5 is accepted only by its fingerprint or by the pin of its key."""
        made = signed_with_md5()
        serving = server(local_cert=certificates.written("md5.pem", made.pem), security_level=0)
        self.refused("self-signed", meet(client(allow_self_signed=True), serving))
        for name, right, wrong in (
            ("peer_fingerprint", made.fingerprint, "0" * 64),
            ("pin", made.spki_pin, issue(NAME).spki_pin),
        ):
            self.accepted(meet(client(allow_self_signed=True, **{name: right}), serving))
            refused = meet(client(allow_self_signed=True, **{name: wrong}), serving)
            self.refused("fingerprint", refused)

    def test_no_other_problem_is_tolerated(self) -> None:
        """With allow_self_signed, every other problem is still a refusal."""
        expired = self_signed(NAME, now=NOW - 9 * A_DAY, days=1)
        rows = [
            *((cause, make) for _, cause, make in BAD if cause != "self-signed"),
            ("expired", lambda: expired.pem),
            ("wrong-name", lambda: self_signed("other.example").pem),
            ("wrong-name", lambda: self_signed(common_name=NAME).pem),
            ("wrong-purpose", lambda: self_signed(NAME, purpose="client").pem),
        ]
        for cause, make in rows:
            serving = server(local_cert=certificates.written("bad.pem", make()))
            self.refused(cause, meet(client(allow_self_signed=True), serving))


class FingerprintTests(VerificationTestCase):
    """peer_fingerprint: this certificate and no other, beside all other checks."""

    def setUp(self) -> None:
        self.made = issue(NAME)
        self.serving = server(local_cert=certificates.written("digest.pem", self.made.pem))

    def digests(self) -> list[str]:
        """The certificate's digests of every kind that is understood."""
        kinds = (hashes.SHA256(), hashes.SHA384(), hashes.SHA512())
        return [self.made.certificate.fingerprint(kind).hex() for kind in kinds]

    def test_the_right_digest_is_accepted(self) -> None:
        """Each kind of digest is accepted, alone and among others."""
        for digest in self.digests():
            self.accepted(meet(client(peer_fingerprint=digest), self.serving))
            self.accepted(meet(client(peer_fingerprint=("0" * 64, digest)), self.serving))

    def test_a_wrong_digest_is_refused(self) -> None:
        """Another certificate is refused, and the error has its digest."""
        for version in VERSIONS:
            policy = client(peer_fingerprint="0" * 64, max_version=version)
            refusing = self.refused("fingerprint", meet(policy, self.serving))
            self.assertIn(self.made.fingerprint, str(refusing.explained()))

    def test_it_replaces_no_other_check(self) -> None:
        """With the right digest, a wrong name or an unknown authority is still refused."""
        digest = self.made.fingerprint
        other = client(peer_fingerprint=digest, peer_name="other.example")
        self.refused("wrong-name", meet(other, self.serving))
        foreign = issue(NAME, by=untrusted())
        serving = server(local_cert=certificates.written("foreign.pem", foreign.pem))
        self.refused("unknown-issuer", meet(client(peer_fingerprint=foreign.fingerprint), serving))

    def test_it_may_be_the_only_check(self) -> None:
        """Without the checks of chain and name, a wrong digest is still refused."""
        alone = {"verify_peer": Verify.NO, "verify_peer_name": False}
        self.accepted(meet(client(peer_fingerprint=self.made.fingerprint, **alone), self.serving))
        self.refused("fingerprint", meet(client(peer_fingerprint="0" * 64, **alone), self.serving))


class PinTests(VerificationTestCase):
    """pin: one of the public keys of the chain."""

    def setUp(self) -> None:
        self.between = certificates.authority().intermediate()
        self.made = issue(NAME, by=self.between)
        self.serving = server(local_cert=certificates.written("pin.pem", self.made.pem))
        self.pins = [
            self.made.spki_pin,
            Issued(self.between.certificate, self.between.key).spki_pin,
            Issued(certificates.authority().certificate, certificates.authority().key).spki_pin,
        ]

    def test_any_key_of_the_chain_may_be_pinned(self) -> None:
        """The pin may be that of the leaf, of an authority between, and of the root."""
        for pin in self.pins:
            for version in VERSIONS:
                self.accepted(meet(client(pin=pin, max_version=version), self.serving))

    def test_a_chain_without_the_pinned_key_is_refused(self) -> None:
        """A chain without the pinned key is refused, and the error has the keys of the chain."""
        for version in VERSIONS:
            policy = client(pin=issue(NAME).spki_pin, max_version=version)
            refusing = self.refused("fingerprint", meet(policy, self.serving))
            for pin in self.pins:
                self.assertIn(pin, str(refusing.explained()))

    def test_without_verify_peer_only_the_leaf_s_key_counts(self) -> None:
        """With verify_peer=no, a pinned authority above a leaf that it never signed is refused."""
        false = issue(NAME, by=untrusted())
        chain = false.pem + self.between.pem + certificates.authority().pem
        serving = server(local_cert=certificates.written("false.pem", chain))
        for pin in self.pins[1:]:
            self.refused("fingerprint", meet(client(verify_peer=Verify.NO, pin=pin), serving))
        self.accepted(meet(client(verify_peer=Verify.NO, pin=false.spki_pin), serving))

    def test_a_pinned_authority_that_signed_nothing_does_not_count(self) -> None:
        """A pinned authority that is sent along but did not sign the leaf does not count."""
        content = issue(NAME).pem + self.between.pem
        serving = server(local_cert=certificates.written("beside.pem", content))
        self.refused("fingerprint", meet(client(pin=self.pins[1]), serving))

    def test_with_a_pin_the_chain_must_end_at_a_root(self) -> None:
        """A cafile of an authority that is no root refuses, and the remedy says why."""
        cafile = certificates.written("between.pem", self.between.pem)
        self.accepted(meet(client(cafile=cafile), self.serving))
        refusing = self.refused(
            "unknown-issuer", meet(client(cafile=cafile, pin=self.pins[1]), self.serving)
        )
        self.assertIn("With pin the chain must end at a root", refusing.explained().remedy)
        both = certificates.written("both.pem", self.between.pem + certificates.authority().pem)
        self.accepted(meet(client(cafile=both, pin=self.pins[1]), self.serving))

    def test_a_self_signed_leaf_is_pinned_by_its_own_key(self) -> None:
        """With allow_self_signed the pin is that of the leaf."""
        alone = self_signed(NAME)
        serving = server(local_cert=certificates.written("alone.pem", alone.pem))
        self.accepted(meet(client(allow_self_signed=True, pin=alone.spki_pin), serving))
        self.refused("fingerprint", meet(client(allow_self_signed=True, pin=self.pins[0]), serving))


class RevocationTests(VerificationTestCase):
    """crl: certificates that the leaf's authority has revoked are refused."""

    def policy(self, *lists: bytes) -> TLSPolicy:
        """A client's policy with those revocation lists."""
        return client(crl=certificates.written("lists.pem", b"".join(lists)))

    def test_a_certificate_that_is_not_listed_is_accepted(self) -> None:
        """A certificate that is not on its authority's list is accepted."""
        lists = certificates.authority().revocation_list(issue(NAME).certificate)
        self.accepted(meet(self.policy(lists)))

    def test_a_revoked_certificate_is_refused(self) -> None:
        """A certificate that is on the list is refused as revoked."""
        made = issue(NAME)
        serving = server(local_cert=certificates.written("revoked.pem", made.pem))
        lists = certificates.authority().revocation_list(made.certificate)
        for version in VERSIONS:
            policy = client(crl=certificates.written("lists.pem", lists), max_version=version)
            refusing = self.refused("revoked", meet(policy, serving))
            self.assertIn("its issuer has revoked it", str(refusing.explained()))

    def test_a_missing_list_is_a_refusal(self) -> None:
        """Without a list of its authority, a certificate may be revoked, so it is refused."""
        refusing = self.refused("other", meet(self.policy(untrusted().revocation_list())))
        self.assertIn("no revocation list of its issuer", str(refusing.explained()))

    def test_an_expired_list_is_a_refusal(self) -> None:
        """With a list that is past its next update, a certificate is refused."""
        old = certificates.authority().revocation_list(now=NOW - 9 * A_DAY, days=1)
        refusing = self.refused("other", meet(self.policy(old)))
        self.assertIn("revocation list of its issuer has expired", str(refusing.explained()))

    def test_the_right_list_is_found_among_several(self) -> None:
        """The authority's list is found among lists of other authorities."""
        lists = (untrusted().revocation_list(), certificates.authority().revocation_list())
        self.accepted(meet(self.policy(*lists)))


class ClientCertificateTests(VerificationTestCase):
    """Servers that ask their clients for a certificate."""

    def meeting(
        self, verify: Verify, version: str, certificate: bytes | None, **options: Any
    ) -> Meeting:
        """A client with that certificate, or None, at a server that asks for one."""
        own = {}
        if certificate is not None:
            own["local_cert"] = certificates.written("client.pem", certificate)
        asking = {"verify_peer": verify, "cafile": certificates.cafile(), **options}
        return meet(client(max_version=version, **own), server(**asking))

    def test_a_client_with_a_good_certificate_is_accepted(self) -> None:
        """A client with a good certificate is accepted, and the session has the certificate."""
        good = issue("client.example", purpose="client")
        for verify in (Verify.YES, Verify.OPTIONAL):
            for version in VERSIONS:
                meeting = self.accepted(self.meeting(verify, version, good.pem))
                session = meeting.server.session
                self.assertEqual(session.peer_certificate, good.certificate)
                self.assertIs(session.verified, True)

    def test_a_client_without_a_certificate_is_accepted_only_where_optional(self) -> None:
        """verify_peer=optional accepts a client without a certificate; verify_peer=yes does not."""
        for version in VERSIONS:
            meeting = self.accepted(self.meeting(Verify.OPTIONAL, version, None))
            self.assertIsNone(meeting.server.session.peer_certificate)
            self.assertIs(meeting.server.session.verified, False)
            meeting = self.meeting(Verify.YES, version, None)
            self.assertFalse(meeting.server.is_secure)
            for end in (meeting.server, meeting.client):
                self.assertEqual(end.explained().cause, "client-certificate-required")

    def test_a_bad_client_certificate_is_refused_even_where_optional(self) -> None:
        """A bad client certificate is refused for its cause, also where none is demanded."""
        rows = {
            "unknown-issuer": issue("x.example", by=untrusted(), purpose="client"),
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
        """A server that does not verify clients does not ask, so it receives no certificate."""
        meeting = self.accepted(meet(client(local_cert=certificates.client())))
        self.assertIsNone(meeting.server.session.peer_certificate)

    def test_a_client_s_name_is_checked_only_on_demand(self) -> None:
        """A client's certificate may have any name, unless the server demands one."""
        nobody = issue(common_name="nobody", purpose="client")
        self.accepted(self.meeting(Verify.YES, "1.3", nobody.pem))
        demanding = {"verify_peer_name": True, "peer_name": "client.example"}
        meeting = self.meeting(Verify.YES, "1.3", nobody.pem, **demanding)
        self.assertEqual(meeting.server.explained().cause, "wrong-name")
        good = issue("client.example", purpose="client")
        self.accepted(self.meeting(Verify.YES, "1.3", good.pem, **demanding))

    def test_clients_can_be_known_by_digest_or_pin(self) -> None:
        """A server can demand that the client's certificate has a digest or a key."""
        good = issue("client.example", purpose="client")
        for name, right in (("peer_fingerprint", good.fingerprint), ("pin", good.spki_pin)):
            self.accepted(self.meeting(Verify.YES, "1.3", good.pem, **{name: right}))
            other = issue("client.example", purpose="client")
            meeting = self.meeting(Verify.YES, "1.3", other.pem, **{name: right})
            self.assertEqual(meeting.server.explained().cause, "fingerprint")

    def test_in_tls_1_3_the_client_hears_of_the_refusal_late(self) -> None:
        """In TLS 1.3 the client's handshake is complete before the server refuses; in 1.2 not."""
        meeting = self.meeting(Verify.YES, "1.3", None)
        self.assertTrue(meeting.client.is_secure)
        self.assertFalse(meeting.is_secure)
        self.assertFalse(self.meeting(Verify.YES, "1.2", None).client.is_secure)


class CallbackTests(SynchronousTestCase):
    """What happens in OpenSSL's callback and after the handshake, without a peer."""

    def setUp(self) -> None:
        self.connection = arranged().client.conversation
        self.leaf = crypto.X509.from_cryptography(issue(NAME).certificate)

    def test_a_connection_of_another_class_is_refused(self) -> None:
        """A connection that is no TLSConnection has no policy, so its peer is refused."""
        theirs = SSL.Connection(SSL.Context(SSL.TLS_METHOD), None)
        self.assertIs(verify_callback(theirs, self.leaf, 0, 0, 1), False)

    def test_an_error_while_verifying_is_a_refusal(self) -> None:
        """A certificate whose examination raises an exception is refused with that reason."""
        for ok in (0, 1):
            broken: Any = object()
            self.assertIs(verify_callback(self.connection, broken, 0, 0, ok), False)
            problem = self.connection.verification.problems[-1]
            self.assertEqual(problem.diagnosis.cause, "other")
            self.assertIn("it could not be examined", problem.diagnosis.summary)
            self.assertIs(verify_after_handshake(self.connection), False)

    def test_an_unknown_number_of_openssl_is_a_refusal(self) -> None:
        """A number that no table has is a refusal, and the error has the number."""
        self.assertIs(verify_callback(self.connection, self.leaf, 12345, 1, 0), False)
        problem = self.connection.verification.problems[0]
        self.assertEqual(
            (problem.diagnosis.cause, problem.code, problem.depth), ("other", 12345, 1)
        )
        self.assertIn("X509 error 12345", problem.diagnosis.summary)

    def test_every_number_of_openssl_has_a_cause_and_a_text(self) -> None:
        """Every number of OpenSSL leads to a refusal with a documented cause and a text."""
        for code in range(1, 120):
            connection = arranged().client.conversation
            self.assertIs(verify_callback(connection, self.leaf, code, 0, 0), False)
            (problem,) = connection.verification.problems
            self.assertIn(problem.diagnosis.cause, CAUSES)
            self.assertRegex(problem.diagnosis.summary, "[a-z].{10,}[^.]$")

    def test_allow_self_signed_is_for_leaves_only(self) -> None:
        """With allow_self_signed, a self-signed leaf is tolerated, and an authority is not."""
        alone = crypto.X509.from_cryptography(self_signed(NAME).certificate)
        for leaf, depth, is_tolerated in (
            (alone, 0, True),
            (alone, 1, False),
            (self.leaf, 0, False),
        ):
            connection = arranged(client(allow_self_signed=True)).client.conversation
            self.assertIs(verify_callback(connection, leaf, 18, depth, 0), is_tolerated)

    def test_a_good_authority_does_not_accept_the_leaf(self) -> None:
        """A good authority alone does not make verification succeed."""
        self.assertIs(verify_callback(self.connection, self.leaf, 0, 1, 1), True)
        self.assertIs(self.connection.verification.is_leaf_accepted, False)
        self.assertIs(verify_after_handshake(self.connection), False)

    def test_a_peer_without_a_certificate_is_refused_by_every_check(self) -> None:
        """A peer without a certificate is refused by any policy that checks anything."""
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
            connection = arranged(client(**options)).client.conversation
            self.assertIs(verify_after_handshake(connection), is_good)
            if not is_good:
                (problem,) = connection.verification.problems
                self.assertEqual(problem.diagnosis.summary, "the peer showed no certificate at all")

    def test_an_error_after_the_handshake_is_a_refusal(self) -> None:
        """An exception in the check after the handshake is a refusal."""
        connection = arranged().client.conversation
        self.patch(connection, "get_peer_certificate", None)
        self.assertIs(verify_after_handshake(connection), False)
        self.assertIn(
            "could not be examined", connection.verification.problems[0].diagnosis.summary
        )

    def test_a_leaf_without_a_callback_is_verified_after_the_handshake(self) -> None:
        """A leaf for which OpenSSL called no callback is checked for its name and its dates."""
        expired = issue(NAME, now=NOW - 9 * A_DAY, days=1).certificate
        for leaf, causes in (
            (issue(NAME).certificate, []),
            (issue("other.example").certificate, ["wrong-name"]),
            (expired, ["expired"]),
        ):
            connection = arranged().client.conversation
            shown = crypto.X509.from_cryptography(leaf)
            self.patch(connection, "get_peer_certificate", lambda shown=shown: shown)
            self.assertIs(verify_after_handshake(connection), not causes)
            found = [problem.diagnosis.cause for problem in connection.verification.problems]
            self.assertEqual(found, causes)


class AddressTests(VerificationTestCase):
    """Certificates for addresses."""

    def test_an_address_counts_only_among_the_addresses(self) -> None:
        """An address among the certificate's DNS names does not count."""
        listed = with_names(
            x509.IPAddress(ipaddress.ip_address("192.0.2.7")), x509.DNSName("192.0.2.8")
        )
        serving = server(local_cert=certificates.written("address.pem", listed()))
        self.accepted(meet(client(peer_name="192.0.2.7"), serving))
        self.refused("wrong-name", meet(client(peer_name="192.0.2.8"), serving))
