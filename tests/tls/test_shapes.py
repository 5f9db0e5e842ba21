"""Broken certificates of every kind: each is refused, and the error says why and what to do."""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any, Final

from attrs import field, frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID, ObjectIdentifier
from twisted.trial.unittest import SynchronousTestCase

from tests import certificates
from tests.tls.handshake import NAME, client, meet, server
from txtransport.testing.devcert import Authority, Issued, self_signed

NOW: Final = datetime.now(timezone.utc)
A_DAY: Final = timedelta(days=1)
ISSUER_URL: Final = "http://ca.example/between.crt"
USES: Final = (
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
    "key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
)  # fmt: skip

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
Extension = tuple[x509.ExtensionType, bool]


def usage(*uses: str) -> Extension:
    """A key usage extension: what the key may be used for."""
    return x509.KeyUsage(**{use: use in uses for use in USES}), True


def constraint(length: int | None = None) -> Extension:
    """Basic constraints: the certificate is an authority's, with `length` authorities below."""
    return x509.BasicConstraints(True, length), True


FOR_CERTIFICATES: Final = usage("key_cert_sign", "crl_sign")
FOR_HANDSHAKES: Final = usage("digital_signature", "key_encipherment")
FOR_SERVERS: Final[Extension] = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False
NAMED: Final[Extension] = x509.SubjectAlternativeName([x509.DNSName(NAME)]), False


@functools.cache
def untrusted() -> Authority:
    """An authority that the client does not trust."""
    return Authority.create("a stranger")


@functools.cache
def short_key() -> rsa.RSAPrivateKey:
    """A key of 1024 bits: long enough for security level 1, too short for level 2."""
    return rsa.generate_private_key(65537, 1024)


def root() -> Authority:
    """The root that the client trusts."""
    return certificates.authority()


def built(
    name: str,
    *extensions: Extension,
    key: PrivateKey | None = None,
    digest: hashes.SHA224 | hashes.SHA256 | None = None,
    by: Authority | None = None,
) -> Issued:
    """A certificate with these extensions and no others, issued by the root or by `by`."""
    issuer, private = by or root(), key or ec.generate_private_key(ec.SECP256R1())
    above = issuer.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    own = x509.SubjectKeyIdentifier.from_public_key(private.public_key())
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer.certificate.subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - A_DAY)
        .not_valid_after(NOW + 90 * A_DAY)
        .add_extension(own, False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(above), False)
    )
    for extension, is_critical in extensions:
        builder = builder.add_extension(extension, is_critical)
    return Issued(builder.sign(issuer.key, digest or hashes.SHA256()), private, issuer.parents)


def leaf(*extensions: Extension, **keywords: Any) -> bytes:
    """A server's certificate with these extensions besides the usual ones."""
    return built(NAME, NAMED, FOR_SERVERS, *extensions, **keywords).pem


def between(*extensions: Extension, by: Authority | None = None) -> Authority:
    """An authority with these extensions and no others, below the root or another."""
    made = built("between", *extensions, by=by)
    assert isinstance(made.key, ec.EllipticCurvePrivateKey)
    return Authority(made.certificate, made.key, (made.certificate, *made.chain))


def constrained(**names: list[x509.GeneralName]) -> bytes:
    """A certificate by an authority that may vouch for some names only."""
    both = {"permitted_subtrees": None, "excluded_subtrees": None, **names}
    limits = x509.NameConstraints(**both)
    return between(constraint(), FOR_CERTIFICATES, (limits, True)).issue(NAME).pem


def wildcard_beside(*excluded: x509.GeneralName) -> bytes:
    """A wildcard by an authority that must not vouch for some names."""
    limits = x509.NameConstraints(None, excluded)
    return between(constraint(), FOR_CERTIFICATES, (limits, True)).issue("*.wild.example").pem


def named(*names: x509.GeneralName) -> bytes:
    """A certificate with those alternative names."""
    return root().issue(common_name=NAME, alternative_names=names).pem


def alone(url: str | None = None) -> bytes:
    """A leaf without the intermediate certificate above it."""
    made = root().intermediate().issue(NAME, issuer_place=url)
    return Issued(made.certificate, made.key).pem


def below_a_leaf() -> bytes:
    """A certificate that was issued by another leaf."""
    made = root().issue(NAME)
    assert isinstance(made.key, ec.EllipticCurvePrivateKey)
    return Authority(made.certificate, made.key, (made.certificate,)).issue(NAME).pem


def forged() -> bytes:
    """A certificate that names the root as its issuer but was signed with another key."""
    return Authority(root().certificate, untrusted().key).issue(NAME).pem


def two_below_one() -> bytes:
    """A certificate below two authorities, of which the upper one may have none below itself."""
    upper = between(constraint(0), FOR_CERTIFICATES)
    return upper.intermediate().issue(NAME).pem


@functools.cache
def old_root() -> Authority:
    """A root that has expired but is still in the client's cafile."""
    return Authority.create("an old root", now=NOW - 99 * A_DAY, days=90)


def with_a_short_key_above() -> bytes:
    """A certificate by an authority whose key is too short."""
    above = built("short", constraint(), FOR_CERTIFICATES, key=short_key())
    weak: Any = Authority(above.certificate, above.key, (above.certificate,))  # type: ignore[arg-type]
    return leaf(FOR_HANDSHAKES, by=weak)


@functools.cache
def revoked() -> Issued:
    """A certificate that its authority has revoked."""
    return root().issue(NAME)


@functools.cache
def unlisted() -> Authority:
    """An authority whose key may sign certificates, but no revocation lists."""
    return between(constraint(), usage("key_cert_sign"))


def odd_list() -> bytes:
    """The root's revocation list, with a critical extension that no one knows."""
    return (
        x509.CertificateRevocationListBuilder()
        .issuer_name(root().certificate.subject)
        .last_update(NOW - A_DAY)
        .next_update(NOW + A_DAY)
        .add_extension(*UNKNOWN)
        .sign(root().key, hashes.SHA256())
        .public_bytes(Encoding.PEM)
    )


def beside(name: x509.GeneralName) -> bytes:
    """A certificate with a name besides its own, of a kind that its authority constrains."""
    limits = x509.NameConstraints(None, [name])
    above = between(constraint(), FOR_CERTIFICATES, (limits, True))
    names = [x509.DNSName(NAME), name]
    return above.issue(common_name=NAME, alternative_names=names).pem


def beyond_measure() -> bytes:
    """A certificate of whose names and constraints there are more than a million pairs."""
    many = [x509.DNSName(f"n{number}.example") for number in range(1100)]
    above = between(constraint(), FOR_CERTIFICATES, (x509.NameConstraints(None, many), True))
    names = [x509.DNSName(NAME), *(x509.DNSName(f"m{number}") for number in range(1000))]
    return above.issue(common_name=NAME, alternative_names=names).pem


def lists() -> dict[str, str]:
    """Files with a revocation list each, by whose list it is."""
    made = {
        "its own": root().revocation_list(revoked().certificate),
        "another's": untrusted().revocation_list(),
        "an old one": root().revocation_list(now=NOW - 9 * A_DAY, days=1),
        "one unsigned": unlisted().revocation_list(),
        "an odd one": odd_list(),
    }
    return {name: certificates.written(f"shapes-{name}.pem", pem) for name, pem in made.items()}


def without_usage() -> Authority:
    """An authority that does not say what its key may be used for."""
    return between(constraint())


Options = Callable[[], Mapping[str, object]]


def no_options() -> Mapping[str, object]:
    """No options."""
    return {}


@frozen
class Shape:
    """One kind of broken certificate, and the error that it must lead to.

    Attributes:
        what: What is wrong with it.
        make: Makes the content of the server's PEM file.
        cause: The error's cause.
        evidence: A part of the error's evidence.
        remedy: A part of the error's remedy.
        fault: The error's fault.
        client_options: The client's options, when the default ones would accept it.
        server_options: The server's options, when the default ones would not send it.
    """

    what: str
    make: Callable[[], bytes]
    cause: str
    evidence: str
    remedy: str
    fault: str = "peer"
    client_options: Options = field(default=no_options)
    server_options: Mapping[str, object] = field(factory=dict)


STRICT: Final[Mapping[str, object]] = {"x509_strict": True}
MAY_SIGN_TOO: Final = usage("digital_signature", "key_cert_sign")
WEAK: Final[Mapping[str, object]] = {"security_level": 0}
MALFORMED: Final[Extension] = (
    x509.UnrecognizedExtension(ExtensionOID.AUTHORITY_INFORMATION_ACCESS, b"\x30\x03\x02"), False
)  # fmt: skip
MALFORMED_NAMES: Final[Extension] = (
    x509.UnrecognizedExtension(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, b"\x30\x03\x82\x01\xff"),
    False,
)  # fmt: skip
AN_ADDRESS: Final = x509.IPAddress(ipaddress.ip_address("192.0.2.7"))
DIRECTORY: Final = x509.DirectoryName(x509.Name.from_rfc4514_string(f"CN={NAME}"))
UNKNOWN: Final[Extension] = (
    x509.UnrecognizedExtension(ObjectIdentifier("1.3.6.1.4.1.55555.1"), b"\x05\x00"), True
)  # fmt: skip

RENEW: Final = "must renew it"
BY_A_NAME: Final = "Connect by a name that it is for"
OF_SERVERS: Final = "serverAuth"
AUTHORITY: Final = "cafile=FILE"

SHAPES: Final = (
    # Whom to trust.
    Shape("self-signed", lambda: self_signed(NAME).pem,
          "self-signed", "a self-signed certificate", "a copy of the certificate", "ours"),
    Shape("of an unknown authority", lambda: untrusted().issue(NAME).pem,
          "unknown-issuer", "its issuer is not known", AUTHORITY, "ours"),
    Shape("of an unknown root that is shown", lambda: untrusted().issue(NAME).pem + untrusted().pem,
          "unknown-issuer", "is not trusted here", AUTHORITY, "ours"),
    Shape("without its intermediate", alone,
          "unknown-issuer", "its issuer is not known", "intermediate", "ours"),
    Shape("without its intermediate, which is to be had", lambda: alone(ISSUER_URL),
          "unknown-issuer", "its issuer is not known", ISSUER_URL),
    Shape("signed with another key", forged,
          "unknown-issuer", "its signature is not its issuer's", "same name"),
    # When.
    Shape("expired", lambda: root().issue(NAME, now=NOW - 99 * A_DAY).pem,
          "expired", "certificate 0: it has expired", RENEW),
    Shape("of an expired intermediate",
          lambda: root().intermediate(now=NOW - 99 * A_DAY, days=90).issue(NAME).pem,
          "expired", "certificate 1: it has expired", "authority"),
    Shape("of an expired root", lambda: old_root().issue(NAME).pem,
          "expired", "certificate 1: it has expired", "cafile",
          client_options=lambda: {"cafile": certificates.written("old-root.pem", old_root().pem)}),
    Shape("not valid yet", lambda: root().issue(NAME, now=NOW + 9 * A_DAY).pem,
          "not-yet-valid", "not valid yet", "clock", "ours"),
    # For whom.
    Shape("for another name", lambda: root().issue("other.example").pem,
          "wrong-name", "it is for other.example, not for good.example", BY_A_NAME),
    Shape("for another address", lambda: root().issue("127.0.0.1").pem,
          "wrong-name", "it is for 127.0.0.1, not for 127.0.0.2", BY_A_NAME,
          client_options=lambda: {"peer_name": "127.0.0.2"}),
    Shape("without SAN", lambda: root().issue(common_name=NAME).pem,
          "wrong-name", "no subject alternative name", "as a subject alternative name"),
    Shape("for *", lambda: named(x509.DNSName("*")),
          "wrong-name", "it is for *, not", BY_A_NAME),
    Shape("for *.*.example", lambda: named(x509.DNSName("*.*.example")),
          "wrong-name", "it is for *.*.example", BY_A_NAME),
    Shape("for a whole domain", lambda: named(x509.DNSName("*.example")),
          "wrong-name", "it is for *.example", BY_A_NAME),
    Shape("for an empty name", lambda: named(x509.DNSName("")),
          "wrong-name", "it is for nobody", BY_A_NAME),
    Shape("for an address as a name", lambda: named(x509.DNSName("192.0.2.7")),
          "wrong-name", "address 192.0.2.7 among its DNS names, where none counts", BY_A_NAME,
          client_options=lambda: {"peer_name": "192.0.2.7"}),
    Shape("for an address, not a name", lambda: named(AN_ADDRESS),
          "wrong-name", "it is for 192.0.2.7", BY_A_NAME),
    Shape("for mail", lambda: named(x509.RFC822Name(f"me@{NAME}")),
          "wrong-name", f"it is for me@{NAME}", BY_A_NAME),
    Shape("for a directory", lambda: named(DIRECTORY),
          "wrong-name", f"CN={NAME}", BY_A_NAME),
    Shape("for names beyond its authority", lambda: constrained(
              permitted_subtrees=[x509.DNSName("other.example")]),
          "wrong-name", "not among those that an authority", "nameConstraints"),
    Shape("for names that its authority must not vouch for", lambda: constrained(
              excluded_subtrees=[x509.DNSName(NAME)]),
          "wrong-name", "must not vouch for", "nameConstraints"),
    Shape("for a wildcard with a name that its authority must not vouch for",
          lambda: wildcard_beside(x509.DNSName("a.wild.example")),
          "wrong-name", "must not vouch for a.wild.example", "nameConstraints",
          client_options=lambda: {"peer_name": "a.wild.example"}),
    # For what.
    Shape("for clients", lambda: root().issue(NAME, purpose="client").pem,
          "wrong-purpose", "for this purpose (key usage or extended key usage)", OF_SERVERS),
    Shape("with a key for other uses", lambda: leaf(FOR_CERTIFICATES),
          "wrong-purpose", "for this purpose (key usage or extended key usage)",
          "digitalSignature"),
    Shape("with an extension that no one knows", lambda: leaf(FOR_HANDSHAKES, UNKNOWN),
          "other", "critical extension", "without that extension"),
    # What cannot be read.
    Shape("with a malformed extension that is not about names",
          lambda: leaf(FOR_HANDSHAKES, MALFORMED),
          "malformed", "it has an extension that cannot be read", "must get a new one"),
    Shape("with malformed names", lambda: built(
              NAME, FOR_SERVERS, FOR_HANDSHAKES, MALFORMED_NAMES).pem,
          "malformed", "it has an extension that cannot be read", "must get a new one"),
    Shape("with a name of a kind that OpenSSL compares with no constraint",
          lambda: beside(x509.RegisteredID(ObjectIdentifier("1.2.3"))),
          "other", "a kind of names that OpenSSL cannot compare", "nameConstraints"),
    Shape("with a malformed name where names are constrained",
          lambda: beside(x509.RFC822Name("nobody")),
          "malformed", "one of its names is malformed", "nameConstraints"),
    Shape("with more names and constraints than OpenSSL compares", beyond_measure,
          "other", "without a reason", "a great many"),
    # By whom.
    Shape("of a leaf", below_a_leaf,
          "unknown-issuer", "is no authority", "basicConstraints"),
    Shape("of an intermediate that is no authority",
          lambda: between(FOR_CERTIFICATES).issue(NAME).pem,
          "unknown-issuer", "is no authority", "basicConstraints"),
    Shape("of an authority whose key may not sign",
          lambda: between(constraint(), FOR_HANDSHAKES).issue(NAME).pem,
          "unknown-issuer", "is no authority", "keyCertSign"),
    Shape("below more authorities than one of them allows", two_below_one,
          "other", "allows fewer authorities below itself", "pathlen"),
    Shape("below more authorities than we allow",
          lambda: root().intermediate().issue(NAME).pem,
          "other", "longer than verify_depth allows", "verify_depth", "ours",
          client_options=lambda: {"verify_depth": 0}),
    # How strong.
    Shape("with a key that is too short", lambda: leaf(FOR_HANDSHAKES, key=short_key()),
          "other", "its key is too short", "security_level", server_options=WEAK),
    Shape("of an authority with a key that is too short", with_a_short_key_above,
          "other", "an authority's key is too short", "security_level", server_options=WEAK),
    # SHA-224 is too weak for level 3, as SHA-1 is for level 2; cryptography no longer
    # signs with SHA-1.
    Shape("signed with a digest that is too weak",
          lambda: leaf(FOR_HANDSHAKES, digest=hashes.SHA224()),
          "other", "digest is too weak", "SHA-256",
          client_options=lambda: {"security_level": 3}),
    # How strictly.
    Shape("of an authority without a key usage", lambda: without_usage().issue(NAME).pem,
          "malformed", "an authority that has no key usage", "RFC 5280 (section 4.2.1.3)",
          client_options=lambda: STRICT),
    Shape("with a key that may sign, though it is no authority", lambda: leaf(MAY_SIGN_TOO),
          "malformed", "its key may sign certificates", "x509_strict=no",
          client_options=lambda: STRICT),
    Shape("with a key that may sign, though it says that it is no authority",
          lambda: leaf(MAY_SIGN_TOO, (x509.BasicConstraints(False, None), True)),
          "malformed", "its key may sign certificates", "x509_strict=no",
          client_options=lambda: STRICT),
    # What we know besides.
    Shape("revoked", lambda: revoked().pem,
          "revoked", "its issuer has revoked it", "must get a new one",
          client_options=lambda: {"crl": lists()["its own"]}),
    Shape("without a revocation list", lambda: root().issue(NAME).pem,
          "other", "no revocation list of its issuer", "crl", "ours",
          client_options=lambda: {"crl": lists()["another's"]}),
    Shape("with an old revocation list", lambda: root().issue(NAME).pem,
          "other", "revocation list of its issuer has expired", "crl", "ours",
          client_options=lambda: {"crl": lists()["an old one"]}),
    Shape("with a list that its authority may not sign", lambda: unlisted().issue(NAME).pem,
          "other", "not allowed to sign (key usage)", "cRLSign",
          client_options=lambda: {"crl": lists()["one unsigned"]}),
    Shape("with a list of which OpenSSL does not know an extension",
          lambda: root().issue(NAME).pem,
          "other", "list of its issuer has a critical extension", "complete list", "ours",
          client_options=lambda: {"crl": lists()["an odd one"]}),
    Shape("with another fingerprint", lambda: root().issue(NAME).pem,
          "fingerprint", "its SHA-256 fingerprint is", "renew the digest", "someone-between",
          client_options=lambda: {"peer_fingerprint": "0" * 64}),
    Shape("with another key than the pinned one", lambda: root().issue(NAME).pem,
          "fingerprint", "pin", "renew the digest", "someone-between",
          client_options=lambda: {"pin": untrusted().issue(NAME).spki_pin}),
)  # fmt: skip
"""Every kind of broken certificate."""


class ShapeTests(SynchronousTestCase):
    """A client at a server with a broken certificate."""

    def test_each_is_refused_with_its_own_cause_fault_evidence_and_remedy(self) -> None:
        """A user reads what is wrong with exactly this certificate, and what to do about it."""
        for shape in SHAPES:
            path = certificates.written("shape.pem", shape.make())
            meeting = meet(
                client(**shape.client_options()), server(local_cert=path, **shape.server_options)
            )
            self.assertFalse(meeting.client.is_secure or meeting.server.is_secure, shape.what)
            error = meeting.client.explained()
            self.assertEqual((error.cause, error.fault), (shape.cause, shape.fault), shape.what)
            self.assertIn(shape.evidence, "\n".join(error.evidence), shape.what)
            self.assertIn(shape.remedy, error.remedy, shape.what)
            self.assertTrue(error.permanent, shape.what)
            self.assertTrue(str(error).endswith(error.remedy), shape.what)

    def test_more_than_35_kinds_are_tried(self) -> None:
        """No kind is tried twice, and there are more than 35 of them."""
        self.assertEqual(len({shape.what for shape in SHAPES}), len(SHAPES))
        self.assertGreater(len(SHAPES), 35)

    def test_the_same_without_the_defect_is_accepted(self) -> None:
        """Certificates that are built in the same way, but correctly, are accepted."""
        good = (
            leaf(FOR_HANDSHAKES),
            between(constraint(), FOR_CERTIFICATES).issue(NAME).pem,
            between(constraint(1), FOR_CERTIFICATES).intermediate().issue(NAME).pem,
            constrained(permitted_subtrees=[x509.DNSName("example")]),
            named(x509.DNSName(NAME), AN_ADDRESS, DIRECTORY),
        )
        for pem in good:
            self.assert_accepted(pem, **STRICT)

    def test_what_only_strictness_refuses_is_accepted_by_default(self) -> None:
        """Without x509_strict, certificates that break lesser rules of RFC 5280 are accepted."""
        for pem in (without_usage().issue(NAME).pem, leaf(MAY_SIGN_TOO)):
            self.assert_accepted(pem)

    def assert_accepted(self, pem: bytes, **options: object) -> None:
        """A client with these options accepts the certificate, and counts it as verified."""
        site = server(local_cert=certificates.written("shape.pem", pem))
        meeting = meet(client(**options), site)
        self.assertEqual(meeting.errors, [])
        self.assertTrue(meeting.client.session.verified)
