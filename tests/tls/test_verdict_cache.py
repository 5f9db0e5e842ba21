"""A verdict that is remembered answers the same question only, and never a later one wrongly."""

from __future__ import annotations

import time
from typing import Any, Final

from twisted.trial.unittest import SynchronousTestCase

from tests import certificates
from tests.tls.handshake import client, meet, server
from txtransport.config.policy import Side, Verify
from txtransport.testing.devcert import Authority, self_signed
from txtransport.tls.creator import connection_creator
from txtransport.tls.verdict_cache import VerdictCache

A_DAY: Final = 86400.0
VERSIONS: Final = ("1.2", "1.3")


class BoundsTests(SynchronousTestCase):
    """How much is remembered."""

    def test_a_verdict_is_for_its_question_and_its_certificates(self) -> None:
        """Another question, another certificate or another order is not known."""
        cache = VerdictCache()
        cache.accepted("q", (b"a", b"b"), 7.0)
        self.assertEqual(cache.valid_until("q", (b"a", b"b")), 7.0)
        for question, chain in (("r", (b"a", b"b")), ("q", (b"b", b"a")), ("q", (b"ab",))):
            self.assertIsNone(cache.valid_until(question, chain))

    def test_old_ones_and_large_ones_are_forgotten(self) -> None:
        """However many peers there are, and however long their chains, memory has an end."""
        cache = VerdictCache()
        for number in range(600):
            cache.accepted(number, (b"x",))
        known = [n for n in range(600) if cache.valid_until(n, (b"x",)) is not None]
        self.assertEqual(known, list(range(88, 600)))
        cache.accepted("long", (b"x" * 16385,))
        self.assertIsNone(cache.valid_until("long", (b"x" * 16385,)))


class HandshakeTests(SynchronousTestCase):
    """Peers that were accepted before."""

    def test_an_endpoint_that_differs_in_one_option_verifies_anew(self) -> None:
        """That one endpoint accepts a certificate means nothing for a stricter one."""
        nobody = certificates.written("nobody.pem", Authority.create("nobody").pem)
        stricter: tuple[tuple[str, dict[str, Any]], ...] = (
            ("wrong-name", {"peer_name": "other.example"}),
            ("fingerprint", {"peer_fingerprint": "0" * 64}),
            ("fingerprint", {"pin": ("A" * 43 + "=",)}),
            ("unknown-issuer", {"cafile": nobody}),
        )
        for version in VERSIONS:
            for cause, options in stricter:
                for lenient in (
                    {},
                    {"verify_peer": Verify.NO, "verify_peer_name": False},
                    {"verify_peer_name": False},
                ):
                    first = meet(client(max_version=version, **lenient))
                    self.assertTrue(first.is_secure)
                    again = meet(client(max_version=version, **options))
                    self.assertFalse(again.client.is_secure, (cause, lenient))
                    self.assertEqual(again.client.explained().cause, cause)

    def test_what_was_accepted_unverified_is_never_verified(self) -> None:
        """With verify_peer=no, and with a self-signed leaf, the second time is as the first."""
        alone = certificates.written("alone.pem", self_signed("good.example").pem)
        for options in (
            {"verify_peer": Verify.NO},
            {"allow_self_signed": True},
        ):
            for version in VERSIONS:
                ours = connection_creator(
                    client(max_version=version, **options), Side.CLIENT, ("h", 1)
                )
                theirs = connection_creator(
                    server(local_cert=alone, max_version=version), Side.SERVER
                )
                for resumed in (False, True, True):
                    meeting = meet(ours, theirs)
                    session = meeting.client.session
                    self.assertEqual((session.resumed, session.verified), (resumed, False))
                    meeting.part()

    def test_a_client_that_is_tolerated_stays_unverified_when_it_resumes(self) -> None:
        """A server does not take a self-signed client for a verified one, however it comes."""
        own = certificates.written("me.pem", self_signed("me", purpose="client").pem)
        for version in VERSIONS:
            ours = connection_creator(
                client(max_version=version, local_cert=own), Side.CLIENT, ("h", 2)
            )
            theirs = connection_creator(
                server(
                    verify_peer=Verify.YES, allow_self_signed=True,
                    cafile=certificates.cafile(), max_version=version,
                ),
                Side.SERVER,
            )  # fmt: skip
            for resumed in (False, True, True):
                meeting = meet(ours, theirs)
                session = meeting.server.session
                self.assertEqual((session.resumed, session.verified), (resumed, False))
                meeting.part()

    def test_a_resumed_session_ends_with_its_certificate(self) -> None:
        """A session whose certificate has expired meanwhile is refused, also if it was accepted."""
        for version in VERSIONS:
            ours = connection_creator(client(max_version=version), Side.CLIENT, ("h", 3))
            theirs = connection_creator(server(max_version=version), Side.SERVER)
            for resumed in (False, True, True):
                meeting = meet(ours, theirs)
                self.assertIs(meeting.client.session.resumed, resumed)
                meeting.part()
            later = time.time() + 3650 * A_DAY
            with self.subTest(version):
                patch = self.patch(time, "time", lambda later=later: later)
                refused = meet(ours, theirs)
                patch.restore()
                self.assertFalse(refused.client.is_secure)
                self.assertEqual(refused.client.explained().cause, "expired")
