"""Options of PHP's that there are not here: each is answered with what to use instead."""

from __future__ import annotations

import re

from twisted.trial.unittest import SynchronousTestCase

from txtransport.config.options import OPTIONS
from txtransport.config.php_options import PHP_OPTIONS
from txtransport.config.policy import Side
from txtransport.config.settings import tls_policy
from txtransport.config.url import TransportURL
from txtransport.errors import InvalidOption
from txtransport.tls.session import Session


class PHPOptionsTests(SynchronousTestCase):
    """The table of PHP's options."""

    def test_no_option_of_ours_is_among_them(self) -> None:
        """An option that there is here is never refused as PHP's."""
        self.assertEqual(PHP_OPTIONS.keys() & OPTIONS.keys(), set())

    def test_what_to_use_instead_is_said(self) -> None:
        """In a URL, as a keyword and for startTLS(), the error says what to use instead."""
        for row in PHP_OPTIONS.values():
            for made in (
                lambda name=row.name: TransportURL.parse(f"tls://h:1?{name}=x"),
                lambda name=row.name: tls_policy({name: 1}, Side.SERVER),
            ):
                error = self.assertRaises(InvalidOption, made)
                self.assertEqual(error.option, row.name)
                self.assertIn(f"there is no option '{row.name}'; {row.advice}", str(error))

    def test_advice_names_options_that_there_are(self) -> None:
        """Each option to use instead exists and is in the advice; otherwise it says why not."""
        for row in PHP_OPTIONS.values():
            for name in row.instead:
                self.assertIn(name, OPTIONS)
                self.assertIn(name, row.advice)
            named = set(re.findall(r"[a-z]+(?:_[a-z]+)+", row.advice))
            of_session = {*Session.__annotations__, "session_of"}
            self.assertEqual(named - of_session - OPTIONS.keys(), set(), row.name)
            if not row.instead:
                self.assertRegex(row.advice, "leave it out|never used|session_of", row.name)

    def test_the_advice_is_the_end_of_a_sentence(self) -> None:
        """The advice reads as the end of the message, in a line or two."""
        for row in PHP_OPTIONS.values():
            self.assertRegex(row.advice, r"\A[A-Za-z].{10,170}[^.]\Z")
