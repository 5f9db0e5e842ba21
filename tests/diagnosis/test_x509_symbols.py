"""OpenSSL's names for its reasons to refuse a certificate."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from pathlib import Path
from typing import Final
from unittest import SkipTest

from OpenSSL import crypto
from twisted.trial.unittest import SynchronousTestCase

from tests import certificates
from txtransport.diagnosis.x509_errors import X509_RULES, diagnosis_of_x509
from txtransport.diagnosis.x509_strict import STRICT_RULES
from txtransport.diagnosis.x509_symbols import X509_SYMBOLS, x509_reason
from txtransport.testing.devcert import Issued, self_signed

HEADER: Final = Path("/usr/include/openssl/x509_vfy.h")
_NUMBERED: Final = re.compile(r"#\s*define\s+X509_V_ERR_(\w+)\s+(\d+)")


class SymbolTests(SynchronousTestCase):
    """The table has every number, each with the name that OpenSSL gives to it."""

    def test_a_reason_is_told_by_name_and_number(self) -> None:
        """People search for OpenSSL's name of a reason, and programs print its number."""
        self.assertEqual(x509_reason(10), "X509_V_ERR_CERT_HAS_EXPIRED (10)")
        self.assertEqual(x509_reason(20), "X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY (20)")

    def test_a_number_without_a_name_is_told_as_a_number(self) -> None:
        """A number that only a newer OpenSSL has is told, and no name is made up."""
        self.assertEqual(x509_reason(9999), "X509 error 9999")

    def test_no_number_and_no_name_is_missing_or_stands_twice(self) -> None:
        """The numbers run from 1 without a gap, and no two have the same name."""
        self.assertEqual([*X509_SYMBOLS], [*range(1, 104)])
        self.assertEqual(len({*X509_SYMBOLS.values()}), len(X509_SYMBOLS))
        for name in X509_SYMBOLS.values():
            self.assertRegex(name, r"\A[A-Z][A-Z0-9_]+\Z")

    def test_every_rule_has_a_name(self) -> None:
        """Whatever is explained in words has OpenSSL's name as well."""
        for rule in (*X509_RULES, *STRICT_RULES):
            self.assertIn(rule.match, X509_SYMBOLS)

    def test_a_reason_without_words_of_ours_is_told_by_its_name(self) -> None:
        """A reason that no peer can bring about has no words, but a name."""
        self.assertIn("X509_V_ERR_DANE_NO_MATCH (65)", diagnosis_of_x509(65).summary)

    def test_names_are_those_of_openssl_s_header(self) -> None:
        """Where OpenSSL's header is installed, each of its names has the same number here."""
        if not HEADER.exists():
            raise SkipTest(f"{HEADER} is not there: it comes with libssl-dev")
        named = {int(number): name for name, number in _NUMBERED.findall(HEADER.read_text())}
        self.assertGreater(len(named), 90)
        self.assertEqual({number: X509_SYMBOLS.get(number) for number in named}, named)

    def test_numbers_mean_what_openssl_means(self) -> None:
        """What OpenSSL says of a certificate in words is what the name of its number says."""
        past = datetime(2020, 1, 1, tzinfo=timezone.utc)
        future = datetime(2100, 1, 1, tzinfo=timezone.utc)
        root = certificates.authority()
        between = root.intermediate("between")
        for made, words in (
            (root.issue("a.example", now=past), "certificate has expired"),
            (root.issue("a.example", now=future), "certificate is not yet valid"),
            (self_signed("a.example"), "self[- ]signed certificate"),
            (between.issue("a.example"), "unable to get local issuer certificate"),
        ):
            number, said = _refused(made)
            self.assertRegex(said, words)
            known = X509_SYMBOLS[number].lower().replace("_", " ").split()
            for word in {"expired", "yet", "signed", "issuer", "locally"} & {*known}:
                self.assertIn(word.removesuffix("ly"), said)


def _refused(made: Issued) -> tuple[int, str]:
    """OpenSSL's number and words for a leaf that comes without its chain."""
    store = crypto.X509Store()
    store.add_cert(crypto.X509.from_cryptography(certificates.authority().certificate))
    context = crypto.X509StoreContext(store, crypto.X509.from_cryptography(made.certificate))
    try:
        context.verify_certificate()
    except crypto.X509StoreContextError as error:
        number, _, said = error.errors
        return int(number), str(said)
    raise AssertionError("OpenSSL accepts it")
