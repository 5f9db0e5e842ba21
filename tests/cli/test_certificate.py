"""The facts of a certificate that probe and inspect show."""

from __future__ import annotations

from datetime import timedelta

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from tests.cli.probe.samples import CHAIN, NOW
from txtransport.cli.certificate import SOON, certificate_facts


class FactTests(SynchronousTestCase):
    """For whom, how long, and with which key."""

    def test_the_days_left_have_the_colour_of_their_danger(self) -> None:
        """An end that is near is doubtful; a certificate that is not valid now is bad."""
        for begins, ends, words, kind in (
            (-1, SOON, f"{SOON} days left", None),
            (-1, SOON - 1, f"{SOON - 1} days left", "doubtful"),
            (-9, -3, "EXPIRED 3 days ago", "bad"),
            (1, 9, "NOT YET valid", "bad"),
        ):
            shown = evolve(
                CHAIN[0],
                not_before=NOW + timedelta(begins),
                not_after=NOW + timedelta(ends),
            )
            _, valid, _ = certificate_facts(shown, NOW)
            self.assertTrue(valid[0].endswith(f", {words}"), valid)
            self.assertEqual(valid[1], kind)

    def test_whom_it_is_for(self) -> None:
        """Names are listed; a leaf without names is for nobody, an authority needs none."""
        leaf, authority = CHAIN
        for certificate, first in (
            (leaf, "for    mail.example.com, imap.example.com"),
            (evolve(leaf, names=()), "for    nobody"),
        ):
            self.assertEqual(next(certificate_facts(certificate, NOW)), (first, None))
        self.assertTrue(next(certificate_facts(authority, NOW))[0].startswith("valid  "))
