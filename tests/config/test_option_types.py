"""How values of options are read: the same everywhere, and nothing guessed."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.vocabulary import (
    EXAMPLES,
    HEX,
)
from txtransport.config.options import OPTIONS
from txtransport.config.policy import CertificateFiles
from txtransport.errors import InvalidOption


class ValueTests(SynchronousTestCase):
    """What may be written for an option, and what it means."""

    def test_every_option_has_examples(self) -> None:
        """A new option needs examples of its values in tests/vocabulary.py."""
        self.assertEqual(list(EXAMPLES), list(OPTIONS))

    def test_url_text_and_python_value_mean_the_same(self) -> None:
        """The text of a URL and the value of a Python programmer are read to the same."""
        for name, examples in EXAMPLES.items():
            for text, written, meant in examples.good:
                self.assertEqual(OPTIONS[name].parse(text), meant, name)
                self.assertEqual(OPTIONS[name].parse(written), meant, name)

    def test_a_bad_value_names_what_is_expected(self) -> None:
        """Whatever is wrong with a value, the message names the option and what it takes."""
        for name, examples in EXAMPLES.items():
            for bad in examples.bad:
                error = self.assertRaises(InvalidOption, OPTIONS[name].parse, bad)
                self.assertEqual(error.option, name)
                self.assertIn(f"{name} takes {OPTIONS[name].type.expects}", str(error))
                self.assertTrue(str(error).isprintable() and len(str(error)) < 400, error)

    def test_a_bad_value_is_shown_unless_it_is_secret(self) -> None:
        """The message repeats what was written, but never a passphrase."""
        for name, option in OPTIONS.items():
            for bad in ("\0hunter2", ("hunter2", object())):
                error = self.assertRaises(InvalidOption, option.parse, bad)
                self.assertEqual("hunter2" in str(error), not option.is_secret, name)

    def test_the_text_of_a_key_in_place_of_its_file_is_not_shown(self) -> None:
        """A key that is given itself, and not by its path, is not in the message."""
        begin, secret, end = "-----BEGIN PRIVATE KEY-----", "hunter2", "-----END PRIVATE KEY-----"
        for separator in ("\n", "\\n", ""):
            key = separator.join((begin, secret, end))
            for name in ("local_cert", "local_pk", "passphrase_file", "cafile", "crl", "capath"):
                for given_ in (key, key.encode()):
                    error = self.assertRaises(InvalidOption, OPTIONS[name].parse, given_)
                    self.assertNotIn(secret, str(error))
                    self.assertIn("not the text of a PEM file: write that to a file", str(error))
            for files in (key, {"local_cert": "/a", "local_pk": key}, {"local_cert": key}):
                read = OPTIONS["SNI_server_certs"].parse
                error = self.assertRaises(InvalidOption, read, {"a.example": files})
                self.assertNotIn(secret, str(error))

    def test_a_passphrase_in_php_s_form_is_not_shown(self) -> None:
        """A passphrase beside the files of a name is refused, and not in the message."""
        for name in ("passphrase", "password", "pw"):
            files = {name: "hunter2", "local_cert": "/a.pem"}
            read = OPTIONS["SNI_server_certs"].parse
            error = self.assertRaises(InvalidOption, read, {"a.example": files})
            self.assertNotIn("hunter2", str(error))
            self.assertIn("the files of a name are local_cert and", str(error))

    def test_a_number_is_not_taken_for_a_version(self) -> None:
        """min_version=1.2 in Python is refused: the message says that a version is text."""
        error = self.assertRaises(InvalidOption, OPTIONS["min_version"].parse, 1.2)
        self.assertIn("takes '1.0' or '1.1' or '1.2' or '1.3', not 1.2", str(error))

    def test_weak_digests_are_refused_with_the_reason(self) -> None:
        """MD5 and SHA-1, as text and in PHP's form: the message says why, and what to run."""
        for digest in (
            HEX[:32], HEX[:40], [HEX, HEX[:40]], {"md5": HEX[:32]}, {"SHA1": HEX[:40]},
            ":".join(["AB"] * 20),
        ):  # fmt: skip
            error = self.assertRaises(InvalidOption, OPTIONS["peer_fingerprint"].parse, digest)
            self.assertIn("two certificates can be made with the same MD5 or SHA-1", str(error))
            self.assertIn("openssl x509 -noout -fingerprint -sha256 -in FILE", str(error))

    def test_of_php_s_digests_none_is_dropped(self) -> None:
        """PHP demands every digest of a mapping, and we any of several: two are refused."""
        for digests in ({"sha256": HEX, "sha512": HEX * 2}, {}):
            error = self.assertRaises(InvalidOption, OPTIONS["peer_fingerprint"].parse, digests)
            self.assertIn("in PHP all digests of a mapping must match", str(error))

    def test_php_s_files_are_two(self) -> None:
        """A mistyped name in PHP's form is not ignored, so that no key is looked for elsewhere."""
        read = OPTIONS["SNI_server_certs"].parse
        files = {"local_cert": Path("/a.pem"), "local_pk": "/a.key"}
        self.assertEqual(read({"A.example": files}), (
            ("a.example", CertificateFiles("/a.pem", "/a.key")),))  # fmt: skip
        error = self.assertRaises(InvalidOption, read, {"a": {"local_cert": "x", "local_key": "y"}})
        self.assertIn("are local_cert and, if the key has one, local_pk", str(error))

    @settings(deadline=None)
    @given(
        st.sampled_from(sorted(OPTIONS)),
        st.recursive(
            st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary()),
            lambda inner: st.one_of(
                st.lists(inner), st.tuples(inner, inner), st.dictionaries(st.text(), inner)
            ),
        ),
    )
    def test_any_value_is_read_or_refused(self, name: str, given_: object) -> None:
        """Any value at all is read or refused, and reading the result again changes nothing."""
        option = OPTIONS[name]
        try:
            meant = option.parse(given_)
        except InvalidOption as error:
            self.assertTrue(str(error).isprintable() and len(str(error)) < 400, error)
        else:
            again = dict(meant) if name == "SNI_server_certs" else meant
            self.assertEqual(option.parse(again), meant)
