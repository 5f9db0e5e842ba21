"""What came of a handshake: who has the last word, and what is told of it."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, cast

from attrs.exceptions import FrozenInstanceError
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL
from twisted.trial.unittest import SynchronousTestCase

from tests import certificates
from tests.tls.handshake import NAME, End, Meeting, arranged, client, meet, server
from txtransport.config.policy import Side, Verify
from txtransport.errors import Diagnosis
from txtransport.testing.devcert import self_signed
from txtransport.tls.connection import (
    CLOSE_NOTIFY,
    MAX_FIRST_BYTES,
    CertificateProblem,
    TLSConnection,
)
from txtransport.tls.session import Session, session_of

VERSIONS: Final = ("1.2", "1.3")


def judging(end: End, verdict: Callable[[TLSConnection], bool]) -> None:
    """Let someone else have the last word at that end."""
    before = end.conversation
    end.conversation = TLSConnection(before.get_context(), before.policy, before.side, verdict)
    end.begin()


class LastWordTests(SynchronousTestCase):
    """A handshake is complete when the peer is acceptable, and not before."""

    def judged(self, side: Side, version: str, verdict: Callable[[TLSConnection], bool]) -> Meeting:
        """A handshake in which one side asks `verdict` when it is over."""
        meeting = arranged(client(max_version=version))
        judging(meeting.client if side is Side.CLIENT else meeting.server, verdict)
        return meeting.go_on()

    def test_it_is_asked_for(self) -> None:
        """Whoever judges is asked once the handshake is over, with the conversation at hand."""
        for version in VERSIONS:
            for side in Side:
                asked: list[bool] = []

                def verdict(conversation: TLSConnection, asked: list[bool] = asked) -> bool:
                    asked.append(conversation.is_complete)
                    return True

                self.assertTrue(self.judged(side, version, verdict).is_secure)
                self.assertEqual(asked, [True])

    def test_a_refusal_ends_it(self) -> None:
        """Whoever drives the handshake hears of a refusal as of any failure, again and again."""
        for version in VERSIONS:
            for side in Side:
                meeting = self.judged(side, version, lambda conversation: False)
                refusing = meeting.client if side is Side.CLIENT else meeting.server
                self.assertFalse(refusing.is_secure)
                self.assertIn("the peer is not acceptable", str(refusing.error))
                for _ in range(3):
                    self.assertRaises(SSL.Error, refusing.conversation.do_handshake)

    def test_the_peer_is_told_nothing(self) -> None:
        """Nothing leaves after a refusal by which the peer would take itself to be accepted."""
        for side, version in ((Side.CLIENT, "1.3"), (Side.SERVER, "1.2")):
            meeting = self.judged(side, version, lambda conversation: False)
            refusing, other = meeting.client, meeting.server
            if side is Side.SERVER:
                refusing, other = other, refusing
            self.assertFalse(other.is_secure)
            self.assertIsNone(session_of(other))
            self.assertRaises(SSL.WantReadError, refusing.conversation.bio_read, 1)

    def test_nothing_that_waits_leaves(self) -> None:
        """Not even what was about to be sent before the refusal leaves after it."""
        meeting = self.judged(Side.SERVER, "1.3", lambda conversation: False)
        # What a server says last are the tickets, when all is well.
        well = meet(client(max_version="1.3"))
        self.assertLess(len(meeting.server.sent), len(well.server.sent))
        self.assertRaises(SSL.WantReadError, meeting.server.conversation.bio_read, 1)

    def test_a_judge_who_fails(self) -> None:
        """A verdict that raises is none: the handshake is not complete."""

        def verdict(conversation: TLSConnection) -> bool:
            raise RuntimeError("no verdict")

        for side in Side:
            self.assertRaises(RuntimeError, self.judged, side, "1.3", verdict)


class GoodbyeTests(SynchronousTestCase):
    """A peer that closes."""

    def test_instead_of_a_handshake(self) -> None:
        """A close_notify in place of a ServerHello is an error that has words."""
        end = arranged().client
        end.hear(b"")
        end.hear(b"\x15\x03\x03\x00\x02\x01\x00")
        assert end.error is not None
        self.assertEqual(end.error.args[0][-1][-1], CLOSE_NOTIFY)
        self.assertIsInstance(end.error.__cause__, SSL.ZeroReturnError)

    def test_after_it(self) -> None:
        """A conversation knows whether the peer said goodbye, so that nothing is missing."""
        meeting = meet()
        self.assertFalse(meeting.client.conversation.is_ended_by_peer)
        meeting.client.hear(meeting.server.goodbye())
        self.assertTrue(meeting.client.conversation.is_ended_by_peer)
        self.assertFalse(meeting.server.conversation.is_ended_by_peer)


class ReceivedTests(SynchronousTestCase):
    """The first bytes of the peer are kept."""

    def test_the_first_are_kept(self) -> None:
        """However the bytes arrive, the first ones are kept, and no more."""
        whole = bytes(range(200)) * 2
        for size in (1, 7, 255, 256, 257, 400):
            conversation = arranged().client.conversation
            for start in range(0, len(whole), size):
                conversation.bio_write(memoryview(whole)[start : start + size])
            self.assertEqual(conversation.first_bytes, whole[:MAX_FIRST_BYTES])
        self.assertEqual(arranged().server.conversation.first_bytes, b"")


class SessionTests(SynchronousTestCase):
    """A session describes the conversation."""

    def test_both_sides_see_the_same(self) -> None:
        """Version, cipher, group, protocol and name are the same on both sides."""
        for version in VERSIONS:
            meeting = meet(
                client(max_version=version, alpn_protocols=("h2", "imap")),
                server(alpn_protocols=("imap", "h2")),
            )
            for session in (meeting.client.session, meeting.server.session):
                self.assertEqual(session.version, f"TLSv{version}")
                self.assertIn(session.bits, (128, 256))
                self.assertIn(str(session.bits), session.cipher)
                self.assertIn("X25519", str(session.group).upper())
                self.assertEqual(session.alpn_protocol, "imap")
                self.assertEqual(session.server_name, NAME)
                self.assertIs(session.resumed, False)
            self.assertEqual(meeting.client.session.cipher, meeting.server.session.cipher)

    def test_what_there_is_not(self) -> None:
        """Without ALPN, SNI and key exchange by groups there is None, not an empty text."""
        meeting = meet(
            client(SNI_enabled=False, max_version="1.2", ciphers="AES128-GCM-SHA256"),
            server(local_cert=certificates.issued("rsa.pem", NAME, key="rsa"),
                   ciphers="AES128-GCM-SHA256"),
        )  # fmt: skip
        self.assertTrue(meeting.is_secure)
        for session in (meeting.client.session, meeting.server.session):
            self.assertIsNone(session.alpn_protocol)
            self.assertIsNone(session.server_name)
            self.assertIsNone(session.group)

    def test_a_certificate_that_no_one_can_read(self) -> None:
        """What a peer sends beside its chain may be rubbish, and is left out."""
        der = self_signed("beside.example").certificate.public_bytes(Encoding.DER)
        version_4 = der.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x03", 1)
        rubbish = ssl.DER_cert_to_PEM_cert(version_4).encode()
        path = certificates.written("beside.pem", Path(certificates.site()).read_bytes() + rubbish)
        meeting = arranged()
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.use_certificate_chain_file(path)
        context.use_privatekey_file(path)
        before = meeting.server.conversation
        meeting.server.conversation = TLSConnection(
            context, before.policy, before.side, lambda conversation: True
        )
        meeting.server.begin()
        meeting.go_on()
        session = meeting.client.session
        self.assertIs(session.verified, True)
        self.assertEqual(session.peer_chain, (session.peer_certificate,))

    def test_names_that_could_do_harm(self) -> None:
        """A name that a stranger asks for can be shown: what is no text in it is escaped."""
        for asked, told in (
            (b"evil\n\x1b[2J.example", "evil\\n\\x1b[2J.example"),
            (b"\xff.example", "\\xff.example"),
            ("ü.example".encode(), "ü.example"),
        ):
            meeting = arranged(client(peer_name=None, verify_peer_name=False))
            meeting.client.conversation.set_tlsext_host_name(asked)
            self.assertEqual(meeting.go_on().server.session.server_name, told)

    def test_the_peer_s_certificate(self) -> None:
        """A client sees the server's leaf and chain; a server, the client's if it was shown."""
        below = certificates.authority().intermediate()
        host = certificates.issued("below.pem", NAME, by=below)
        protocol = certificates.issued("guest.pem", "visitor.example", by=below, purpose="client")
        trusting = {"verify_peer": Verify.YES, "cafile": certificates.cafile()}
        for version in VERSIONS:
            meeting = meet(
                client(local_cert=protocol, max_version=version),
                server(local_cert=host, **trusting),
            )
            for session, name in (
                (meeting.client.session, NAME),
                (meeting.server.session, "visitor.example"),
            ):
                leaf, *chain = session.peer_chain
                self.assertEqual(session.peer_certificate, leaf)
                self.assertEqual(leaf.subject.rfc4514_string(), f"CN={name}")
                self.assertEqual(chain, [below.certificate])
                self.assertIs(session.verified, True)

    def test_a_peer_without_certificate(self) -> None:
        """A server that asked for no certificate has seen none, and verified no one."""
        session = meet().server.session
        self.assertIsNone(session.peer_certificate)
        self.assertEqual(session.peer_chain, ())
        self.assertIs(session.verified, False)

    def test_verified_means_chain_and_name(self) -> None:
        """A session is verified when chain and name were, whatever else was asked for."""
        for policy, verified in (
            (client(), True),
            (client(verify_peer=Verify.NO), False),
            (client(verify_peer_name=False), False),
            (client(verify_peer=Verify.NO, verify_peer_name=False), False),
        ):
            meeting = meet(policy)
            self.assertTrue(meeting.is_secure)
            self.assertIs(meeting.client.session.verified, verified)

    def test_a_tolerated_certificate_is_not_verified(self) -> None:
        """A self-signed certificate that the policy lets pass is not called verified."""
        alone = certificates.written("alone.pem", self_signed(NAME).pem)
        meeting = meet(client(allow_self_signed=True), server(local_cert=alone))
        self.assertTrue(meeting.is_secure)
        self.assertIs(meeting.client.session.verified, False)

    def test_a_session_is_a_value(self) -> None:
        """A session can be compared and kept, and not be changed."""
        meeting = meet()
        self.assertEqual(meeting.client.session, meeting.client.session)
        self.assertRaises(FrozenInstanceError, setattr, meeting.client.session, "verified", False)


class NoSessionTests(SynchronousTestCase):
    """Where there is no TLS, there is no session."""

    def test_before_it_is_over(self) -> None:
        """At no step before the end does either side have a session."""
        for version in VERSIONS:
            meeting = arranged(client(max_version=version))
            said = b""
            for _ in range(5):
                for end in (meeting.client, meeting.server):
                    self.assertEqual(session_of(end) is not None, end.is_secure)
                    self.assertEqual(end.conversation.is_complete, end.is_secure)
                    said = end.hear(said)
            self.assertIsNotNone(session_of(meeting.client))
            self.assertIsNotNone(session_of(meeting.server))

    def test_after_a_refusal(self) -> None:
        """A handshake that OpenSSL completed and we did not has no session."""
        meeting = arranged()
        judging(meeting.client, _refusing)
        meeting.go_on()
        self.assertIsNotNone(meeting.client.conversation.get_finished())
        self.assertFalse(meeting.client.conversation.is_complete)
        self.assertIsNone(session_of(meeting.client))

    def test_transports_without_tls(self) -> None:
        """Plain transports, closed ones and things that are none have no session."""
        plain = socket.socket()
        self.addCleanup(plain.close)
        for transport in (None, object(), "tls", _Held(None), _Held(plain), _Held(object())):
            self.assertIsNone(session_of(transport))

    def test_connections_of_others(self) -> None:
        """A connection that is not of our making is described, and never called verified."""
        theirs = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None)
        theirs.set_connect_state()
        self.assertIsNone(session_of(_Held(theirs)))
        meeting = arranged()
        meeting.client.conversation = cast(TLSConnection, theirs)
        meeting.go_on()
        session = session_of(_Held(theirs))
        assert isinstance(session, Session)
        self.assertEqual(session.version, "TLSv1.3")
        self.assertIsNotNone(session.peer_certificate)
        self.assertIsNone(session.resumed)
        self.assertIs(session.verified, False)


class _Held:
    """A transport that holds something."""

    def __init__(self, handle: object) -> None:
        self._handle = handle

    def getHandle(self) -> Any:
        return self._handle


def _refusing(conversation: TLSConnection) -> bool:
    conversation.verification.problems.append(
        CertificateProblem(Diagnosis("other", "it is not wanted"), 0, 0, None)
    )
    return False
