"""Sessions that are taken up again: once, by whom they are for, and by no one else."""

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
PLACE: Final = ("good.example", 443)


def visiting(place: object = PLACE, **options: Any) -> ConnectionCreator:
    """A client that keeps sessions."""
    return connection_creator(client(**options), Side.CLIENT, place)


def hosting(**options: Any) -> ConnectionCreator:
    """A server; the same one for the same options."""
    return connection_creator(server(**options), Side.SERVER)


class ResumptionTestCase(SynchronousTestCase):
    """What the tests of this file share."""

    def kept(self, client: ConnectionCreator, host: ConnectionCreator) -> Meeting:
        """A conversation that went well, and is over."""
        meeting = meet(client, host)
        self.assertTrue(meeting.is_secure, meeting.errors)
        meeting.part()
        return meeting

    def resumed(self, client: ConnectionCreator, host: ConnectionCreator) -> bool:
        """Whether the next conversation takes one up; both sides agree."""
        meeting = meet(client, host)
        self.assertTrue(meeting.is_secure, meeting.errors)
        found = {meeting.client.session.resumed, meeting.server.session.resumed}
        self.assertEqual(len(found), 1)
        return bool(found.pop())


class TakingUpTests(ResumptionTestCase):
    """A session is taken up by both sides."""

    def test_a_second_conversation_resumes_the_first(self) -> None:
        """In TLS 1.2 and in 1.3, the second conversation shows no certificate."""
        for version in VERSIONS:
            client, host = visiting(max_version=version), hosting(no_ticket=False)
            self.kept(client, host)
            meeting = meet(client, host)
            for session in (meeting.client.session, meeting.server.session):
                self.assertIs(session.resumed, True)
                self.assertEqual(session.version, f"TLSv{version}")
            self.assertEqual(meeting.client.conversation.verification.chain, {})

    def test_who_the_peer_is_is_still_known(self) -> None:
        """A resumed session is as verified as the first, and knows the peer's certificate."""
        for version in VERSIONS:
            client = visiting(max_version=version, local_cert=certificates.client())
            host = hosting(verify_peer=Verify.YES, cafile=certificates.cafile())
            first = self.kept(client, host)
            second = meet(client, host)
            for before, after in (
                (first.client, second.client.session),
                (first.server, second.server.session),
            ):
                self.assertIs(after.resumed, True)
                self.assertIs(after.verified, True)
                leaf = before.conversation.get_peer_certificate(as_cryptography=True)
                self.assertEqual(after.peer_certificate, leaf)

    def test_what_was_tolerated_is_not_verified_later(self) -> None:
        """A leaf that only allow_self_signed let pass is none the better for a resumption."""
        ours = certificates.written("tolerated.pem", self_signed(NAME).pem)
        protocol = self_signed("visitor.example", purpose="client")
        theirs = certificates.written("tolerated-visitor.pem", protocol.pem)
        trusting = {"verify_peer": Verify.YES, "cafile": certificates.cafile()}
        for version in VERSIONS:
            client = visiting(allow_self_signed=True, local_cert=theirs, max_version=version)
            host = hosting(allow_self_signed=True, local_cert=ours, **trusting)
            for is_resumed in (False, True):
                meeting = self.kept(client, host)
                for end in (meeting.client, meeting.server):
                    session = end.session
                    self.assertEqual((session.resumed, session.verified), (is_resumed, False))

    def test_a_pinned_authority(self) -> None:
        """A session whose chain held the pinned key is taken up, though it shows no chain."""
        between = certificates.authority().intermediate()
        host = hosting(local_cert=certificates.issued("pinned.pem", NAME, by=between))
        client = visiting(pin=spki_pin(between.certificate))
        self.kept(client, host)
        self.assertTrue(self.resumed(client, host))

    def test_a_chain_of_conversations(self) -> None:
        """Each conversation leaves a session for the next, a whole day long."""
        for version in VERSIONS:
            client, host = visiting(max_version=version), hosting()
            self.kept(client, host)
            for _ in range(3):
                self.assertIs(self.kept(client, host).client.session.resumed, True)

    def test_a_session_is_used_once(self) -> None:
        """No two conversations show the same ticket, by which they could be tied together."""
        for version in VERSIONS:
            client, host = visiting(max_version=version), hosting()
            self.kept(client, host)
            self.assertTrue(self.resumed(client, host))
            self.assertFalse(self.resumed(client, host))

    def test_the_peer_may_have_forgotten(self) -> None:
        """A server that does not know the ticket is spoken to in full."""
        client = visiting()
        self.kept(client, hosting())
        self.assertFalse(self.resumed(client, hosting(no_ticket=True)))

    def test_a_connection_that_just_ended(self) -> None:
        """A session can be taken up although the peer never said goodbye."""
        for version in VERSIONS:
            client, host = visiting(max_version=version), hosting()
            meeting = meet(client, host)
            client.ended(meeting.client.conversation)
            del meeting
            self.assertTrue(self.resumed(client, host))


class KeepingApartTests(ResumptionTestCase):
    """A session is never offered where another verification would have been demanded."""

    def apart(
        self,
        client: ConnectionCreator,
        other: ConnectionCreator,
        host: ConnectionCreator | None = None,
    ) -> None:
        """A session of the one is not offered by the other."""
        host = host or hosting()
        self.kept(client, host)
        meeting = meet(other, host)
        self.assertIsNot(meeting.server.conversation.is_resumed, True)
        # It is still there, for whom it is for.
        self.assertTrue(self.resumed(client, host))

    def test_by_name(self) -> None:
        """A session with one name is not taken up by another at the same place."""
        self.apart(visiting(), visiting(peer_name="localhost"))
        self.apart(visiting(), visiting(peer_name="127.0.0.1"))

    def test_by_place(self) -> None:
        """A session with one place is not taken up at another, though it is of the same name."""
        self.apart(visiting(), visiting(("good.example", 993)))

    def test_by_policy(self) -> None:
        """A session that was less examined is not taken up by who demands more."""
        weak = visiting(verify_peer=Verify.NO, verify_peer_name=False)
        for options in (
            {},
            {"verify_peer_name": False},
            {"verify_depth": 8},
            {"pin": certificates.authority().issue("x").spki_pin},
            {"local_cert": certificates.client()},
            {"alpn_protocols": "imap"},
        ):
            self.apart(weak, visiting(**options))

    def test_one_name_in_many_forms(self) -> None:
        """However the name is written, the session is that of the name."""
        host = hosting()
        self.kept(visiting(peer_name="GOOD.example."), host)
        self.assertTrue(self.resumed(visiting(), host))

    def test_without_a_place_there_is_none(self) -> None:
        """A client that does not say where it goes neither keeps nor takes sessions."""
        creator, host = visiting(None), hosting()
        # The shelf is shared with whoever has an equal policy.
        before = len(creator.context.sessions)
        self.kept(creator, host)
        self.assertEqual(len(creator.context.sessions), before)
        self.assertFalse(self.resumed(creator, host))

    def test_without_tickets_there_is_none(self) -> None:
        """no_ticket, on either side, is no resumption."""
        for version in VERSIONS:
            for creator, host in (
                (visiting(max_version=version, no_ticket=True), hosting()),
                (visiting(max_version=version), hosting(no_ticket=True)),
            ):
                self.kept(creator, host)
                self.assertFalse(self.resumed(creator, host))

    def test_servers_keep_nothing(self) -> None:
        """A server's sessions are with its clients, sealed; it has nothing to keep."""
        host = hosting()
        meeting = meet(visiting(), host)
        host.ended(meeting.server.conversation)
        self.assertEqual(len(host.context.sessions), 0)

    def test_servers_of_different_policies(self) -> None:
        """A server does not take up what another of another policy has sealed."""
        client = visiting()
        trusting = {"verify_peer": Verify.OPTIONAL, "cafile": certificates.cafile()}
        self.kept(client, hosting())
        self.assertFalse(self.resumed(client, hosting(**trusting)))


class LaterTests(ResumptionTestCase):
    """What only time can do."""

    def test_an_expired_certificate_is_refused(self) -> None:
        """A session is not taken up with a peer whose certificate has run out since."""
        soon = datetime.now(timezone.utc) + timedelta(hours=1)
        for version in VERSIONS:
            host = hosting(local_cert=certificates.issued("soon.pem", NAME, not_after=soon))
            client = visiting(max_version=version)
            self.kept(client, host)
            meeting = arranged(client, host)
            self.at(soon + timedelta(seconds=1), meeting.go_on)
            self.assertFalse(meeting.client.is_secure)
            self.assertTrue(meeting.client.conversation.is_resumed)
            self.assertEqual(meeting.client.explained().cause, "expired")
            self.assertIsNone(session_of(meeting.client))

    def test_an_expired_client_is_refused(self) -> None:
        """So does a server with a client."""
        soon = datetime.now(timezone.utc) + timedelta(hours=1)
        protocol = certificates.issued("guest.pem", "x.example", purpose="client", not_after=soon)
        host = hosting(verify_peer=Verify.YES, cafile=certificates.cafile())
        client = visiting(local_cert=protocol)
        self.kept(client, host)
        meeting = arranged(client, host)
        self.at(soon + timedelta(seconds=1), meeting.go_on)
        self.assertFalse(meeting.server.is_secure)
        self.assertEqual(meeting.server.explained().cause, "expired")

    def test_where_nothing_is_verified_nothing_expires(self) -> None:
        """Without verification of the chain, the dates do not count later either."""
        soon = datetime.now(timezone.utc) + timedelta(hours=1)
        host = hosting(local_cert=certificates.issued("soon.pem", NAME, not_after=soon))
        client = visiting(verify_peer=Verify.NO)
        self.kept(client, host)
        meeting = arranged(client, host)
        self.at(soon + timedelta(seconds=1), meeting.go_on)
        self.assertTrue(meeting.is_secure)
        self.assertIs(meeting.client.session.resumed, True)

    def at(self, moment: datetime, work: Any) -> None:
        """Do that when it is so late."""
        patch = self.patch(time, "time", moment.timestamp)
        work()
        patch.restore()


class ShelfTests(ResumptionTestCase):
    """Where sessions are kept."""

    def setUp(self) -> None:
        self.connection = self.kept(visiting(None), hosting()).client.conversation

    def test_the_latest_comes_first(self) -> None:
        """What was kept last is taken first, and then is gone."""
        shelf = SessionCache()
        self.assertIsNone(shelf.take(PLACE))
        shelf.keep(PLACE, self.connection)
        shelf.keep("elsewhere", self.connection)
        self.assertEqual(len(shelf), 2)
        self.assertIsInstance(shelf.take(PLACE), SSL.Session)
        self.assertIsNone(shelf.take(PLACE))
        self.assertEqual(len(shelf), 1)

    def test_there_is_room_for_a_few_of_each(self) -> None:
        """A peer that is visited a thousand times does not fill the memory."""
        shelf = SessionCache()
        for _ in range(1000):
            shelf.keep(PLACE, self.connection)
        self.assertEqual(len(shelf), 8)

    def test_there_is_room_for_many_peers(self) -> None:
        """The peers that were longest not visited are forgotten first."""
        shelf = SessionCache()
        for number in range(1024):
            shelf.keep(number, self.connection)
        shelf.keep(0, self.connection)
        shelf.keep("one more", self.connection)
        self.assertEqual(len(shelf), 1025)
        self.assertIsNone(shelf.take(1))
        for place in (0, 2, 1023, "one more"):
            self.assertIsNotNone(shelf.take(place), place)

    def test_a_connection_without_session(self) -> None:
        """A connection that never came about leaves nothing."""
        shelf = SessionCache()
        shelf.keep(PLACE, arranged().client.conversation)
        self.assertEqual(len(shelf), 0)
        self.assertIsNone(shelf.take(PLACE))

    def test_a_policy_is_hidden_from_none(self) -> None:
        """A policy that names no peer keeps its sessions by place alone."""
        policy = TLSPolicy(verify_peer_name=False, cafile=certificates.cafile())
        client, host = connection_creator(policy, Side.CLIENT, PLACE), hosting()
        self.kept(client, host)
        self.assertTrue(self.resumed(client, host))
