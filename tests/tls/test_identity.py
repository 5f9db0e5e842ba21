"""A certificate is checked against a name, a fingerprint or a pin; the checks fail closed."""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Sequence
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests import certificates
from txtransport.config.address import is_address
from txtransport.testing.devcert import Issued, self_signed
from txtransport.tls.identity import (
    certificate_names,
    excluded_name_problem,
    expected_name,
    fingerprint_problem,
    name_problem,
    pin_problem,
    spki_pin,
)

LONGEST_LIST: Final = 700


def certificate(*names: x509.GeneralName | str) -> x509.Certificate:
    """A certificate with these alternative names; a string is a dNSName, whatever it holds."""
    given_ = [x509.DNSName(name) if isinstance(name, str) else name for name in names]
    return _issued(tuple(given_)).certificate


@functools.cache
def _issued(names: Sequence[x509.GeneralName]) -> Issued:
    return certificates.authority().issue(common_name="good.example", alternative_names=names)


def address(text: str) -> x509.IPAddress:
    """An alternative name that is an IP address."""
    return x509.IPAddress(ipaddress.ip_address(text))


def unreadable() -> x509.Certificate:
    """A certificate whose alternative names are not valid ASCII."""
    der = self_signed("good.example").certificate.public_bytes(Encoding.DER)
    return x509.load_der_x509_certificate(der.replace(b"\x82\x0cgood.", b"\x82\x0cg\xff\xffd."))


def limited(
    permitted: tuple[x509.GeneralName, ...] = (), excluded: tuple[x509.GeneralName, ...] = ()
) -> x509.Certificate:
    """The certificate of an authority with these constraints on names."""
    root = certificates.authority()
    if not permitted and not excluded:
        return root.certificate
    builder = (
        x509.CertificateBuilder()
        .subject_name(root.certificate.subject)
        .issuer_name(root.certificate.subject)
        .public_key(root.key.public_key())
        .serial_number(1)
        .not_valid_before(root.certificate.not_valid_before_utc)
        .not_valid_after(root.certificate.not_valid_after_utc)
        .add_extension(x509.NameConstraints(permitted or None, excluded or None), True)
    )
    return builder.sign(root.key, hashes.SHA256())


def address_range(text: str) -> x509.IPAddress:
    """A name constraint that is a range of addresses."""
    return x509.IPAddress(ipaddress.ip_network(text))


NAMES: Final = st.lists(st.sampled_from(("a", "b", "ab", "b-a")), min_size=1, max_size=4).map(
    ".".join
)
"""DNS names of few labels, so that one is often the end of another."""

PERSONS: Final = (
    x509.RFC822Name("good.example@good.example"),
    x509.DirectoryName(x509.Name.from_rfc4514_string("CN=good.example")),
    x509.UniformResourceIdentifier("https://good.example"),
    x509.RegisteredID(x509.ObjectIdentifier("1.2.3")),
    x509.OtherName(x509.ObjectIdentifier("1.2.3"), b"\x0c\x0cgood.example"),
)


class ExpectedNameTests(SynchronousTestCase):
    """The peer's name in the form that certificates and SNI use."""

    def test_host_names_are_normalized(self) -> None:
        """Case, a trailing dot and white space do not count; other scripts become A-labels."""
        for given_, expected in (
            ("good.example", "good.example"),
            ("Good.EXAMPLE", "good.example"),
            ("good.example.", "good.example"),
            (" good.example\n", "good.example"),
            ("localhost", "localhost"),
            ("_sip.good.example", "_sip.good.example"),
            ("Bücher.example.", "xn--bcher-kva.example"),
            ("XN--BCHER-KVA.example", "xn--bcher-kva.example"),
            ("1and1.example", "1and1.example"),
        ):
            self.assertEqual(expected_name(given_), expected)

    def test_addresses_are_normalized(self) -> None:
        """Addresses get their shortest form, without the zone."""
        for given_, expected in (
            ("127.0.0.1", "127.0.0.1"),
            ("::1", "::1"),
            ("0:0:0:0:0:0:0:1", "::1"),
            ("FE80::1%eth0", "fe80::1"),
            ("2001:DB8:0:0::1", "2001:db8::1"),
        ):
            self.assertEqual(expected_name(given_), expected)

    def test_impossible_names_are_refused(self) -> None:
        """Text that is neither a host name nor an address is refused."""
        for given_ in (
            "", ".", "..", "good..example", ".example", "good.example..", "good example",
            "good.example/x", "good.example:443", "[::1]", "*.example", "1234", "1.2.3.4.",
            "300.1.1.1%x", "::1%", "a" * 64 + ".example", "a." * 127 + "aa", "good\0.example",
            "xn--ü.example", "\ud800", "\N{SNOWMAN}\u200d.example",
        ):  # fmt: skip
            self.assertRaises(ValueError, expected_name, given_)

    @settings(deadline=None)
    @given(st.text(max_size=80))
    def test_a_normalized_name_stays_the_same(self, text: str) -> None:
        """A name that is already normalized is not changed, and is ASCII."""
        try:
            name = expected_name(text)
        except ValueError:
            return
        self.assertEqual(expected_name(name), name)
        self.assertTrue(name.isascii())

    def test_only_literals_are_addresses(self) -> None:
        """Only IPv4 and IPv6 literals are addresses."""
        for literal in ("127.0.0.1", "::1", "fe80::1%eth0"):
            self.assertTrue(is_address(literal))
        for name in ("good.example", "127.1", "0x7f000001", "", "[::1]", "1234"):
            self.assertFalse(is_address(name))


class NameTests(SynchronousTestCase):
    """The names that a certificate is for."""

    def assert_for(self, name: str, *names: x509.GeneralName | str) -> None:
        """A certificate with these names is for that peer."""
        self.assertIsNone(name_problem(certificate(*names), name))

    def assert_not_for(self, name: str, *names: x509.GeneralName | str) -> str:
        """A certificate with these names is not for that peer; returns what is said about it."""
        problem = name_problem(certificate(*names), name)
        assert problem is not None, name
        return problem.summary

    def test_a_name_matches_itself(self) -> None:
        """A name matches itself, in any case, at any place in the list."""
        self.assert_for("good.example", "good.example")
        self.assert_for("good.example", "GOOD.Example")
        self.assert_for("good.example", "other.example", "127.0.0.1", "good.example")
        self.assert_for("xn--bcher-kva.example", "xn--bcher-kva.example")

    def test_related_names_do_not_match(self) -> None:
        """A parent, a child, a sibling or a part of the name does not match."""
        for name in ("example", "a.good.example", "other.example", "ood.example", "good.exampl"):
            text = self.assert_not_for(name, "good.example")
            self.assertEqual(text, f"it is for good.example, not for {name}")

    def test_a_wildcard_stands_for_the_first_label(self) -> None:
        """``*`` stands for the whole first label, and for nothing else."""
        self.assert_for("a.wild.example", "*.wild.example")
        for name in ("wild.example", "a.b.wild.example", "wild"):
            self.assert_not_for(name, "*.wild.example")
        self.assert_not_for("abc.wild.example", "a*.wild.example")
        self.assert_not_for("a.wild.example", "a.*.example")

    def test_a_wildcard_does_not_hide_a_name_of_one_label(self) -> None:
        """A certificate for ``localhost`` is for it, whatever wildcards stand before."""
        self.assert_for("localhost", "*.wild.example", "localhost")
        refused = name_problem(certificate("*.wild.example"), "localhost")
        assert refused is not None
        self.assertIn("it is for *.wild.example, not for localhost", refused.summary)

    def test_a_wildcard_stands_for_an_international_label_too(self) -> None:
        """``*`` stands for a label in A-label form; within an A-label it stands for nothing."""
        self.assert_for("xn--bcher-kva.wild.example", "*.wild.example")
        self.assert_for("a.xn--bcher-kva.example", "*.xn--bcher-kva.example")
        for pattern in ("xn--*.wild.example", "xn--b*.wild.example", "*-kva.wild.example"):
            self.assert_not_for("xn--bcher-kva.wild.example", pattern)

    def test_wildcards_that_are_too_wide_match_nothing(self) -> None:
        """A wildcard for a whole top-level domain, or for everything, matches nothing."""
        for pattern in ("*", "*.", "*.example", "*.*.example", "*.*", "**.good.example", "g*.*"):
            for name in ("good.example", "a.good.example", "example"):
                self.assert_not_for(name, pattern)

    def test_an_address_matches_itself(self) -> None:
        """An address matches itself in any spelling, and no other address."""
        self.assert_for("127.0.0.1", address("127.0.0.1"))
        self.assert_for("::1", address("::1"))
        self.assert_for("0:0::1", address("::1"))
        self.assert_not_for("127.0.0.2", address("127.0.0.1"))
        self.assert_not_for("::2", address("::1"), address("127.0.0.1"))
        self.assert_not_for("::ffff:127.0.0.1", address("127.0.0.1"))

    def test_addresses_and_dns_names_are_kept_apart(self) -> None:
        """An address among the DNS names does not count, nor a name among the addresses."""
        self.assert_not_for("127.0.0.1", "127.0.0.1")
        self.assert_not_for("::1", "::1")
        self.assert_not_for("127.0.0.1", "*.0.0.1")
        self.assert_not_for("good.example", address("127.0.0.1"))

    def test_odd_names_do_no_harm_beside_a_good_one(self) -> None:
        """A certificate with odd names beside the right one is accepted."""
        odd = ("", "*", "127.0.0.1", "1234", "*.*.example", *PERSONS)
        self.assert_for("good.example", *odd, "good.example")
        self.assert_for("127.0.0.1", *odd, address("127.0.0.1"))
        self.assert_not_for("good.example", *odd, "other.example")

    def test_an_empty_name_matches_nothing(self) -> None:
        """A certificate with an empty name is for nobody."""
        for name in ("", " ", "."):
            self.assert_not_for("good.example", name)
        self.assertEqual(self.assert_not_for("good.example", ""), "it is for nobody, not for "
                         "good.example")  # fmt: skip

    def test_names_with_white_space_match_nothing(self) -> None:
        """A name with white space passed an authority's name constraints as another name."""
        for name in (" good.example", "good.example ", "good.example\n", "\t*.example.org"):
            self.assert_not_for("good.example", name)
            self.assert_not_for("a.example.org", name)
            self.assert_for("good.example", name, "good.example")

    def test_names_of_other_kinds_match_no_host(self) -> None:
        """A certificate for a mail address, a directory name, a URI or an object is for no host."""
        for person in PERSONS:
            self.assert_not_for("good.example", person)
            self.assert_not_for("127.0.0.1", person)
        self.assert_not_for("good.example", *PERSONS)

    def test_the_common_name_does_not_count(self) -> None:
        """A certificate without alternative names is for no one, whatever its subject says."""
        alone = certificates.authority().issue(common_name="good.example").certificate
        for name in ("good.example", "127.0.0.1"):
            problem = name_problem(alone, name)
            assert problem is not None
            self.assertIn("no subject alternative name (SAN)", problem.summary)
            self.assertIn("the common name does not count", problem.summary)

    def test_unreadable_names_are_a_problem(self) -> None:
        """Alternative names that cannot be parsed are never a reason to accept."""
        for name in ("good.example", "127.0.0.1"):
            problem = name_problem(unreadable(), name)
            assert problem is not None
            self.assertEqual(problem.cause, "malformed")
            self.assertIn("an extension that cannot be read", problem.summary)

    def test_an_impossible_expected_name_matches_nothing(self) -> None:
        """No certificate is for an expected name that is not a proper name."""
        for name in ("", "1234", "\ud800"):
            self.assert_not_for(name, "good.example", "*", "")

    @settings(deadline=None, max_examples=60)
    @given(st.text(max_size=30))
    def test_no_other_name_is_good(self, name: str) -> None:
        """Only the certificate's own names match, whatever name is expected."""
        problem = name_problem(certificate("good.example", address("127.0.0.1")), name)
        is_good = name.strip().lower() in ("good.example", "127.0.0.1")
        self.assertEqual(problem is None, is_good)


class ExcludedNameTests(SynchronousTestCase):
    """Names that an authority must not vouch for (RFC 5280, section 4.2.1.10)."""

    def is_excluded(self, name: str, *excluded: str) -> bool:
        """Whether an authority with these excluded names must not vouch for `name`."""
        names = tuple(x509.DNSName(each) for each in excluded)
        return excluded_name_problem([limited(excluded=names)], name) is not None

    def test_a_name_and_all_below_it_are_excluded(self) -> None:
        """A constraint is for the name, in any case, and for every name with labels before it."""
        for name, excluded, is_excluded in (
            ("a.example", "a.example", True),
            ("a.example", "A.Example", True),
            ("b.a.example", "a.example", True),
            ("c.b.a.example", "a.example", True),
            ("ba.example", "a.example", False),
            ("example", "a.example", False),
            ("a.example.org", "a.example", False),
            ("b.a.example", ".a.example", True),
            ("a.example", ".a.example", False),
            ("xn--bcher-kva.example", "xn--bcher-kva.example", True),
            ("anything.example", "", True),
            ("127.0.0.1", "", False),
            ("127.0.0.1", "0.0.1", False),
        ):
            self.assertIs(self.is_excluded(name, excluded), is_excluded, (name, excluded))

    def test_every_constraint_of_every_authority_counts(self) -> None:
        """A name is excluded by any constraint of any authority, wherever that stands."""
        free, one = limited(), limited(excluded=(x509.DNSName("x.example"),))
        two = limited(excluded=(x509.RFC822Name("y.example"), x509.DNSName("y.example")))
        for name, is_excluded in (("x.example", True), ("y.example", True), ("z.example", False)):
            for authorities in ([free, one, two], [two, one, free], [two, free, one]):
                problem = excluded_name_problem(authorities, name)
                self.assertIs(problem is not None, is_excluded)
        problem = excluded_name_problem([one], "x.example")
        assert problem is not None
        self.assertIn("must not vouch for x.example", problem.summary)
        self.assertIn("nameConstraints", problem.remedy)
        self.assertIsNone(excluded_name_problem([], "x.example"))

    def test_permitted_names_and_other_kinds_are_openssl_s(self) -> None:
        """Constraints that OpenSSL holds against every name are not looked at again."""
        others = (address_range("0.0.0.0/0"), *PERSONS[:3])
        permitting = limited(permitted=(x509.DNSName("other.example"),))
        self.assertIsNone(excluded_name_problem([permitting], "good.example"))
        self.assertIsNone(excluded_name_problem([limited(excluded=others)], "good.example"))

    def test_an_unreadable_authority_without_constraints_excludes_nothing(self) -> None:
        """An authority is refused only for a constraint that cannot be read."""
        for _, odd in certificates.hostile():
            self.assertIsNone(excluded_name_problem([odd], "good.example"))

    @settings(deadline=None, max_examples=200)
    @given(NAMES, NAMES)
    def test_labels_decide(self, name: str, excluded: str) -> None:
        """A name is excluded exactly if its last labels are those of the constraint."""
        labels, limits = name.split("."), excluded.split(".")
        is_excluded = labels[-len(limits) :] == limits
        self.assertIs(self.is_excluded(name, excluded), is_excluded)


class CertificateNamesTests(SynchronousTestCase):
    """The names of a certificate, for messages."""

    def test_names_are_listed(self) -> None:
        """DNS names, addresses and mail addresses are listed in their order."""
        self.assertEqual(
            certificate_names(certificate("good.example", address("::1"), PERSONS[0])),
            "good.example, ::1, good.example@good.example",
        )

    def test_a_long_list_is_cut(self) -> None:
        """Of many names the first 8 are shown, with a sign that there are more."""
        many = certificate(*(f"host{number}.example" for number in range(500)))
        self.assertEqual(certificate_names(many).count("example"), 8)
        self.assertTrue(certificate_names(many).endswith(", …"))
        self.assertLess(
            len(certificate_names(certificate(*("x" * 5000 for _ in range(20))))), LONGEST_LIST
        )

    def test_control_characters_are_escaped(self) -> None:
        """A name with control characters is escaped."""
        text = certificate_names(certificate("a\n\x1b[31mb", "ok.example"))
        self.assertTrue(text.isprintable(), text)
        self.assertIn("ok.example", text)

    def test_missing_and_unreadable_names_are_said_so(self) -> None:
        """A certificate without names is for nobody; unreadable names are called so."""
        self.assertEqual(certificate_names(certificate(PERSONS[-1])), "nobody")
        self.assertEqual(certificate_names(certificates.authority().certificate), "nobody")
        self.assertEqual(certificate_names(unreadable()), "names that cannot be read")


class FingerprintTests(SynchronousTestCase):
    """The fingerprint of a certificate."""

    def test_the_length_selects_the_algorithm(self) -> None:
        """SHA-256, SHA-384 and SHA-512 digests are recognized by their length."""
        one = certificate("good.example")
        for algorithm in (hashes.SHA256(), hashes.SHA384(), hashes.SHA512()):
            digest = one.fingerprint(algorithm).hex()
            self.assertIsNone(fingerprint_problem(one, (digest,)))
            self.assertIsNone(fingerprint_problem(one, ("0" * 64, digest)))
            self.assertIsNotNone(fingerprint_problem(one, (digest[:-1] + "x",)))
            self.assertIsNotNone(fingerprint_problem(one, (digest[:-2],)))

    def test_weak_digests_match_nothing(self) -> None:
        """SHA-1 and MD5 digests match nothing, even when they are right."""
        one = certificate("good.example")
        for algorithm in (hashes.SHA1(), hashes.MD5()):
            self.assertIsNotNone(fingerprint_problem(one, (one.fingerprint(algorithm).hex(),)))

    def test_a_mismatch_shows_the_fingerprint(self) -> None:
        """When no digest matches, the certificate's own is told, so that it can be compared."""
        one, other = certificate("good.example"), certificate("other.example")
        digest = other.fingerprint(hashes.SHA256()).hex()
        problem = fingerprint_problem(other, (one.fingerprint(hashes.SHA256()).hex(),))
        assert problem is not None
        self.assertEqual(
            problem.summary,
            f"its SHA-256 fingerprint is {digest}, which peer_fingerprint does not have",
        )
        self.assertIsNotNone(fingerprint_problem(one, ()))


class PinTests(SynchronousTestCase):
    """The pins of the public keys in a chain."""

    def test_any_key_of_the_chain_may_be_pinned(self) -> None:
        """A pin may be that of the leaf or of any authority above it."""
        below = certificates.authority().intermediate()
        chain = [below.issue("good.example").certificate, below.certificate]
        for one in chain:
            self.assertIsNone(pin_problem(chain, (spki_pin(one),)))
            self.assertIsNone(pin_problem(chain, ("x" * 44, spki_pin(one))))

    def test_a_mismatch_shows_the_pins_of_the_chain(self) -> None:
        """When no key is pinned, the pins of the chain's keys are told."""
        one, other = certificate("good.example"), certificate("other.example")
        problem = pin_problem([one], (spki_pin(other),))
        assert problem is not None
        self.assertEqual(
            problem.summary, f"its public keys are {spki_pin(one)}, none of which is in pin"
        )
        self.assertIsNotNone(pin_problem([one], ()))
        self.assertIsNotNone(pin_problem([], (spki_pin(one),)))

    def test_the_pin_is_of_the_key(self) -> None:
        """The pin is of the public key, not of the certificate, so a renewal keeps it."""
        made = certificates.authority().issue("good.example")
        self.assertEqual(made.spki_pin, spki_pin(made.certificate))
        self.assertNotEqual(made.spki_pin, spki_pin(certificate("good.example")))
        self.assertEqual(len(made.spki_pin), 44)
