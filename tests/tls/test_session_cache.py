"""A session is resumed once, by the client that it is for, and by no other."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from typing import Any, Final

from OpenSSL import SSL
from twisted.trial.unittest import SynchronousTestCase

from tests import certificates
from tests.tls.handshake import NAME, Meeting, arranged, client, meet, server
from txtransport.config.policy import Side, TLSPolicy, Verify
from txtransport.testing.devcert import self_signed
from txtransport.tls.creator import ConnectionCreator, connection_creator
from txtransport.tls.identity import spki_pin
from txtransport.tls.session import session_of
from txtransport.tls.session_cache import SessionCache

VERSIONS: Final = ("1.2", "1.3")
PEER: Final = ("good.example", 443)


def client_creator(peer: object = PEER, **options: Any) -> ConnectionCreator:
    """A client's creator, which caches sessions."""
    return connection_creator(client(**options), Side.CLIENT, peer)


def server_creator(**options: Any) -> ConnectionCreator:
    """A server's creator; equal options share a context."""
    return connection_creator(server(**options), Side.SERVER)


class ResumptionTestCase(SynchronousTestCase):
    """What the tests of this file share."""

    def completed(self, client: ConnectionCreator, server: ConnectionCreator) -> Meeting:
        """Run a handshake that succeeds, and close; the client caches the session."""
        meeting = meet(client, server)
        self.assertTrue(meeting.is_secure, meeting.errors)
        meeting.part()
        return meeting

    def resumed(self, client: ConnectionCreator, server: ConnectionCreator) -> bool:
        """Whether the next handshake resumes a session; both sides agree on it."""
        meeting = meet(client, server)
        self.assertTrue(meeting.is_secure, meeting.errors)
        found = {meeting.client.session.resumed, meeting.server.session.resumed}
        self.assertEqual(len(found), 1)
        return bool(found.pop())


class ResumptionTests(ResumptionTestCase):
    """A session is resumed by both sides."""

    def test_a_second_connection_resumes_the_first(self) -> None:
        """In TLS 1.2 and 1.3 a second handshake resumes the session, and shows no certificate."""
        for version in VERSIONS:
            client, server = client_creator(max_version=version), server_creator(no_ticket=False)
            self.completed(client, server)
            meeting = meet(client, server)
            for session in (meeting.client.session, meeting.server.session):
                self.assertIs(session.resumed, True)
                self.assertEqual(session.version, f"TLSv{version}")
            self.assertEqual(meeting.client.conversation.verification.chain, {})

    def test_a_resumed_session_knows_the_verified_peer(self) -> None:
        """A resumed session is as verified as the first, and has the peer's certificate."""
        for version in VERSIONS:
            client = client_creator(max_version=version, local_cert=certificates.client())
            server = server_creator(verify_peer=Verify.YES, cafile=certificates.cafile())
            first = self.completed(client, server)
            second = meet(client, server)
            for before, after in (
                (first.client, second.client.session),
                (first.server, second.server.session),
            ):
                self.assertIs(after.resumed, True)
                self.assertIs(after.verified, True)
                leaf = before.conversation.get_peer_certificate(as_cryptography=True)
                self.assertEqual(after.peer_certificate, leaf)

    def test_a_tolerated_certificate_stays_unverified(self) -> None:
        """A leaf that only allow_self_signed accepted is not verified after a resumption either."""
        ours = certificates.written("tolerated.pem", self_signed(NAME).pem)
        issued = self_signed("client.example", purpose="client")
        theirs = certificates.written("tolerated-client.pem", issued.pem)
        trusting = {"verify_peer": Verify.YES, "cafile": certificates.cafile()}
        for version in VERSIONS:
            client = client_creator(allow_self_signed=True, local_cert=theirs, max_version=version)
            server = server_creator(allow_self_signed=True, local_cert=ours, **trusting)
            for is_resumed in (False, True):
                meeting = self.completed(client, server)
                for end in (meeting.client, meeting.server):
                    session = end.session
                    self.assertEqual((session.resumed, session.verified), (is_resumed, False))

    def test_a_session_with_a_pinned_authority_is_resumed(self) -> None:
        """A session whose chain held the pinned key is resumed, although it shows no chain."""
        between = certificates.authority().intermediate()
        server = server_creator(local_cert=certificates.issued("pinned.pem", NAME, by=between))
        client = client_creator(pin=spki_pin(between.certificate))
        self.completed(client, server)
        self.assertTrue(self.resumed(client, server))

    def test_each_connection_leaves_a_session_for_the_next(self) -> None:
        """Resumed connections leave a session for the next one as well."""
        for version in VERSIONS:
            client, server = client_creator(max_version=version), server_creator()
            self.completed(client, server)
            for _ in range(3):
                self.assertIs(self.completed(client, server).client.session.resumed, True)

    def test_a_session_is_used_once(self) -> None:
        """No two connections send the same ticket, which would show that they belong together."""
        for version in VERSIONS:
            client, server = client_creator(max_version=version), server_creator()
            self.completed(client, server)
            self.assertTrue(self.resumed(client, server))
            self.assertFalse(self.resumed(client, server))

    def test_an_unknown_ticket_leads_to_a_full_handshake(self) -> None:
        """With a server that does not know the ticket, the handshake is a full one."""
        client = client_creator()
        self.completed(client, server_creator())
        self.assertFalse(self.resumed(client, server_creator(no_ticket=True)))

    def test_a_session_without_close_notify_can_be_resumed(self) -> None:
        """A session can be resumed although the peer never sent a close_notify."""
        for version in VERSIONS:
            client, server = client_creator(max_version=version), server_creator()
            meeting = meet(client, server)
            client.ended(meeting.client.conversation)
            del meeting
            self.assertTrue(self.resumed(client, server))


class SeparationTests(ResumptionTestCase):
    """A session is never offered where the policy demands another verification."""

    def assert_separate(
        self,
        client: ConnectionCreator,
        other: ConnectionCreator,
        server: ConnectionCreator | None = None,
    ) -> None:
        """A session of one creator is not offered by another."""
        server = server or server_creator()
        self.completed(client, server)
        meeting = meet(other, server)
        self.assertIsNot(meeting.server.conversation.is_resumed, True)
        # It is still cached for its own client.
        self.assertTrue(self.resumed(client, server))

    def test_sessions_are_separate_by_name(self) -> None:
        """A session with one name is not offered to another name on the same host and port."""
        self.assert_separate(client_creator(), client_creator(peer_name="localhost"))
        self.assert_separate(client_creator(), client_creator(peer_name="127.0.0.1"))

    def test_sessions_are_separate_by_port(self) -> None:
        """A session is not offered on another port, although the name is the same."""
        self.assert_separate(client_creator(), client_creator(("good.example", 993)))

    def test_sessions_are_separate_by_policy(self) -> None:
        """A session that was verified less is not resumed by a policy that demands more."""
        weak = client_creator(verify_peer=Verify.NO, verify_peer_name=False)
        for options in (
            {},
            {"verify_peer_name": False},
            {"verify_depth": 8},
            {"pin": certificates.authority().issue("x").spki_pin},
            {"local_cert": certificates.client()},
            {"alpn_protocols": "imap"},
        ):
            self.assert_separate(weak, client_creator(**options))

    def test_sessions_are_separate_by_application_protocols(self) -> None:
        """A session is not offered by a client that offers other application protocols."""
        offers: list[tuple[str, ...]] = [(), ("imap",), ("imap", "h2")]
        for one in offers:
            for other in offers:
                if one != other:
                    self.assert_separate(
                        client_creator(alpn_protocols=one), client_creator(alpn_protocols=other)
                    )

    def test_spellings_of_a_name_share_sessions(self) -> None:
        """However the name is written, the session is found."""
        server = server_creator()
        self.completed(client_creator(peer_name="GOOD.example."), server)
        self.assertTrue(self.resumed(client_creator(), server))

    def test_without_a_peer_nothing_is_cached(self) -> None:
        """A creator without a peer neither caches nor offers sessions."""
        creator, server = client_creator(None), server_creator()
        # The cache is shared by all creators with an equal policy.
        before = len(creator.context.sessions)
        self.completed(creator, server)
        self.assertEqual(len(creator.context.sessions), before)
        self.assertFalse(self.resumed(creator, server))

    def test_no_ticket_prevents_resumption(self) -> None:
        """With no_ticket on either side, no session is resumed."""
        for version in VERSIONS:
            for creator, other in (
                (client_creator(max_version=version, no_ticket=True), server_creator()),
                (client_creator(max_version=version), server_creator(no_ticket=True)),
            ):
                self.completed(creator, other)
                self.assertFalse(self.resumed(creator, other))

    def test_servers_cache_nothing(self) -> None:
        """A server's sessions are in its clients' tickets; the server caches none."""
        server = server_creator()
        meeting = meet(client_creator(), server)
        server.ended(meeting.server.conversation)
        self.assertEqual(len(server.context.sessions), 0)

    def test_a_ticket_of_another_policy_is_not_accepted(self) -> None:
        """A server does not resume a session whose ticket comes from a server of another policy."""
        client = client_creator()
        trusting = {"verify_peer": Verify.OPTIONAL, "cafile": certificates.cafile()}
        self.completed(client, server_creator())
        self.assertFalse(self.resumed(client, server_creator(**trusting)))


class ExpiryTests(ResumptionTestCase):
    """Certificates that expire between two connections."""

    def test_a_server_that_has_expired_is_not_resumed(self) -> None:
        """A session is not resumed with a server whose certificate has expired since."""
        soon = datetime.now(timezone.utc) + timedelta(hours=1)
        for version in VERSIONS:
            server = server_creator(
                local_cert=certificates.issued("soon.pem", NAME, not_after=soon)
            )
            client = client_creator(max_version=version)
            self.completed(client, server)
            meeting = arranged(client, server)
            self.at(soon + timedelta(seconds=1), meeting.go_on)
            self.assertFalse(meeting.client.is_secure)
            self.assertTrue(meeting.client.conversation.is_resumed)
            self.assertEqual(meeting.client.explained().cause, "expired")
            self.assertIsNone(session_of(meeting.client))

    def test_a_client_that_has_expired_is_not_resumed(self) -> None:
        """A session is not resumed with a client whose certificate has expired since."""
        soon = datetime.now(timezone.utc) + timedelta(hours=1)
        theirs = certificates.issued("soon-client.pem", "x.example", purpose="client",
                                     not_after=soon)  # fmt: skip
        server = server_creator(verify_peer=Verify.YES, cafile=certificates.cafile())
        client = client_creator(local_cert=theirs)
        self.completed(client, server)
        meeting = arranged(client, server)
        self.at(soon + timedelta(seconds=1), meeting.go_on)
        self.assertFalse(meeting.server.is_secure)
        self.assertEqual(meeting.server.explained().cause, "expired")

    def test_expiry_does_not_matter_without_verification(self) -> None:
        """With verify_peer off, an expired certificate does not prevent resumption."""
        soon = datetime.now(timezone.utc) + timedelta(hours=1)
        server = server_creator(local_cert=certificates.issued("soon.pem", NAME, not_after=soon))
        client = client_creator(verify_peer=Verify.NO)
        self.completed(client, server)
        meeting = arranged(client, server)
        self.at(soon + timedelta(seconds=1), meeting.go_on)
        self.assertTrue(meeting.is_secure)
        self.assertIs(meeting.client.session.resumed, True)

    def at(self, moment: datetime, work: Any) -> None:
        """Call `work` at that time."""
        patch = self.patch(time, "time", moment.timestamp)
        work()
        patch.restore()


class SessionCacheTests(ResumptionTestCase):
    """The cache itself."""

    def setUp(self) -> None:
        self.connection = self.completed(client_creator(None), server_creator()).client.conversation

    def test_the_latest_session_comes_first(self) -> None:
        """The session added last is taken first, and is then no longer in the cache."""
        cache = SessionCache()
        self.assertIsNone(cache.take(PEER))
        cache.keep(PEER, self.connection)
        cache.keep("elsewhere", self.connection)
        self.assertEqual(len(cache), 2)
        self.assertIsInstance(cache.take(PEER), SSL.Session)
        self.assertIsNone(cache.take(PEER))
        self.assertEqual(len(cache), 1)

    def test_sessions_of_one_peer_are_bounded(self) -> None:
        """A peer that is connected to a thousand times keeps 8 sessions."""
        cache = SessionCache()
        for _ in range(1000):
            cache.keep(PEER, self.connection)
        self.assertEqual(len(cache), 8)

    def test_the_number_of_sessions_is_bounded(self) -> None:
        """When 1024 sessions are cached, the least recently used peer is dropped."""
        cache = SessionCache()
        for number in range(1023):
            cache.keep(number, self.connection)
        cache.keep(0, self.connection)
        cache.keep("one more", self.connection)
        self.assertEqual(len(cache), 1024)
        self.assertIsNone(cache.take(1))
        for peer in (0, 2, 1022, "one more"):
            self.assertIsNotNone(cache.take(peer), peer)

    def test_peers_with_many_sessions_do_not_add_up(self) -> None:
        """Thousands of peers that are connected to again and again keep 1024 sessions."""
        cache = SessionCache()
        for number in range(300):
            for _ in range(8):
                cache.keep(number, self.connection)
        self.assertLessEqual(len(cache), 1024)

    def test_a_connection_without_session_adds_nothing(self) -> None:
        """A connection without a complete handshake leaves nothing in the cache."""
        cache = SessionCache()
        cache.keep(PEER, arranged().client.conversation)
        self.assertEqual(len(cache), 0)
        self.assertIsNone(cache.take(PEER))

    def test_sessions_without_a_name_are_kept_by_peer(self) -> None:
        """A policy without peer_name caches its sessions by host and port alone."""
        policy = TLSPolicy(verify_peer_name=False, cafile=certificates.cafile())
        client, server = connection_creator(policy, Side.CLIENT, PEER), server_creator()
        self.completed(client, server)
        self.assertTrue(self.resumed(client, server))
