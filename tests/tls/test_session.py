"""The end of a handshake: the final verification, and the session that describes it."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final, cast

from attrs import evolve
from attrs.exceptions import FrozenInstanceError
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL
from twisted.trial.unittest import SynchronousTestCase

from tests import certificates
from tests.tls.handshake import (
    GROUP_IS_KNOWN,
    NAME,
    End,
    Meeting,
    arranged,
    client,
    meet,
    server,
)
from txtransport.config.policy import Side, Verify
from txtransport.errors import Diagnosis
from txtransport.testing.devcert import self_signed
from txtransport.tls.connection import (
    CLOSE_NOTIFY,
    MAX_FIRST_BYTES,
    CertificateProblem,
    ObservedConnection,
    TLSConnection,
)
from txtransport.tls.session import Session, session_of

VERSIONS: Final = ("1.2", "1.3")


def accept_by(end: End, is_acceptable: Callable[[TLSConnection], bool]) -> None:
    """Give one side a connection that asks `is_acceptable` at the end of the handshake."""
    before = end.conversation
    end.conversation = TLSConnection(
        before.get_context(), before.policy, before.side, is_acceptable
    )
    end.begin()


class AcceptanceTests(SynchronousTestCase):
    """A handshake is complete only when the peer is acceptable."""

    def handshake(
        self, side: Side, version: str, is_acceptable: Callable[[TLSConnection], bool]
    ) -> Meeting:
        """Run a handshake in which one side asks `is_acceptable` at the end."""
        meeting = arranged(client(max_version=version))
        accept_by(meeting.client if side is Side.CLIENT else meeting.server, is_acceptable)
        return meeting.go_on()

    def test_acceptance_is_asked_for_at_the_end(self) -> None:
        """`is_acceptable` is asked once, when the handshake is over, with the connection."""
        for version in VERSIONS:
            for side in Side:
                asked: list[bool] = []

                def is_acceptable(connection: TLSConnection, asked: list[bool] = asked) -> bool:
                    asked.append(connection.is_complete)
                    return True

                self.assertTrue(self.handshake(side, version, is_acceptable).is_secure)
                self.assertEqual(asked, [True])

    def test_a_refusal_fails_the_handshake(self) -> None:
        """A refusal raises from do_handshake like any failure, every time it is called."""
        for version in VERSIONS:
            for side in Side:
                meeting = self.handshake(side, version, lambda connection: False)
                refusing = meeting.client if side is Side.CLIENT else meeting.server
                self.assertFalse(refusing.is_secure)
                self.assertIn("the peer is not acceptable", str(refusing.error))
                for _ in range(3):
                    self.assertRaises(SSL.Error, refusing.conversation.do_handshake)

    def test_a_refused_peer_never_sees_a_complete_handshake(self) -> None:
        """After a refusal nothing is sent that would complete the peer's handshake."""
        for side, version in ((Side.CLIENT, "1.3"), (Side.SERVER, "1.2")):
            meeting = self.handshake(side, version, lambda connection: False)
            refusing, other = meeting.client, meeting.server
            if side is Side.SERVER:
                refusing, other = other, refusing
            self.assertFalse(other.is_secure)
            self.assertIsNone(session_of(other))
            self.assertRaises(SSL.WantReadError, refusing.conversation.bio_read, 1)

    def test_pending_output_is_discarded_after_a_refusal(self) -> None:
        """Bytes that waited to be sent before the refusal are not sent after it."""
        meeting = self.handshake(Side.SERVER, "1.3", lambda connection: False)
        # After a handshake that succeeds, the server sends its tickets last.
        accepted = meet(client(max_version="1.3"))
        self.assertLess(len(meeting.server.sent), len(accepted.server.sent))
        self.assertRaises(SSL.WantReadError, meeting.server.conversation.bio_read, 1)

    def test_an_exception_is_a_refusal(self) -> None:
        """When `is_acceptable` raises, the handshake is not complete."""

        def is_acceptable(connection: TLSConnection) -> bool:
            raise RuntimeError("no answer")

        for side in Side:
            self.assertRaises(RuntimeError, self.handshake, side, "1.3", is_acceptable)


class CloseNotifyTests(SynchronousTestCase):
    """A peer that sends a close_notify."""

    def test_close_notify_during_the_handshake_has_a_reason(self) -> None:
        """A close_notify in place of a ServerHello gives an error with a reason."""
        end = arranged().client
        end.hear(b"")
        end.hear(b"\x15\x03\x03\x00\x02\x01\x00")
        assert end.error is not None
        self.assertEqual(end.error.args[0][-1][-1], CLOSE_NOTIFY)
        self.assertIsInstance(end.error.__cause__, SSL.ZeroReturnError)

    def test_close_notify_after_the_handshake_is_known(self) -> None:
        """A connection knows whether the peer has closed it, so that no data is missing."""
        meeting = meet()
        self.assertFalse(meeting.client.conversation.is_ended_by_peer)
        meeting.client.hear(meeting.server.goodbye())
        self.assertTrue(meeting.client.conversation.is_ended_by_peer)
        self.assertFalse(meeting.server.conversation.is_ended_by_peer)


class FirstBytesTests(SynchronousTestCase):
    """The peer's first bytes are kept, to explain failures."""

    def test_only_the_first_bytes_are_kept(self) -> None:
        """However the bytes arrive, the first 256 are kept and no more."""
        whole = bytes(range(200)) * 2
        for size in (1, 7, 255, 256, 257, 400):
            connection = arranged().client.conversation
            for start in range(0, len(whole), size):
                connection.bio_write(memoryview(whole)[start : start + size])
            self.assertEqual(connection.first_bytes, whole[:MAX_FIRST_BYTES])
        self.assertEqual(arranged().server.conversation.first_bytes, b"")


def _observed(end: End) -> ObservedConnection:
    assert isinstance(end.conversation, ObservedConnection)
    return end.conversation


class OutgoingBytesTests(SynchronousTestCase):
    """The encrypted bytes of a connection, counted on their way to the transport."""

    def test_data_is_told_from_what_tls_sends_by_itself(self) -> None:
        """Handshake and close_notify are counted, and are not the application's data."""
        met = meet()
        end = met.server
        outgoing = _observed(end).outgoing
        self.assertEqual((outgoing.total, outgoing.end_of_data), (len(end.sent), 0))
        end.say(b"x" * 100)
        self.assertEqual((outgoing.total, outgoing.end_of_data), (len(end.sent), len(end.sent)))
        before = len(end.sent)
        end.goodbye()
        self.assertGreater(len(end.sent), before)
        self.assertEqual((outgoing.total, outgoing.end_of_data), (len(end.sent), before))

    def test_data_that_is_read_in_parts_is_data_to_its_end(self) -> None:
        """A record that the transport fetches in several parts is counted as a whole."""
        connection = _observed(meet().server)
        connection.send(b"x" * 100)
        while len(connection.bio_read(50)) == 50:
            pass
        self.assertEqual(connection.outgoing.end_of_data, connection.outgoing.total)


class SessionTests(SynchronousTestCase):
    """A session describes what client and server agreed on."""

    def test_both_sides_agree_on_the_session(self) -> None:
        """Version, cipher, group, ALPN protocol and server name are the same on both sides."""
        for version in VERSIONS:
            meeting = meet(
                client(max_version=version, alpn_protocols=("h2", "imap")),
                server(alpn_protocols=("imap", "h2")),
            )
            for session in (meeting.client.session, meeting.server.session):
                self.assertEqual(session.version, f"TLSv{version}")
                self.assertIn(session.bits, (128, 256))
                self.assertIn(str(session.bits), session.cipher)
                if GROUP_IS_KNOWN:
                    self.assertIn("X25519", str(session.group).upper())
                else:
                    self.assertIsNone(session.group)
                self.assertEqual(session.alpn_protocol, "imap")
                self.assertEqual(session.server_name, NAME)
                self.assertIs(session.resumed, False)
            self.assertEqual(meeting.client.session.cipher, meeting.server.session.cipher)

    def test_absent_values_are_none(self) -> None:
        """Without ALPN, SNI and a key exchange group, the session has None there."""
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

    def test_an_unreadable_certificate_is_left_out(self) -> None:
        """A certificate beside the chain that cannot be parsed is left out of peer_chain."""
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
            context, before.policy, before.side, lambda connection: True
        )
        meeting.server.begin()
        meeting.go_on()
        session = meeting.client.session
        self.assertIs(session.verified, True)
        self.assertEqual(session.peer_chain, (session.peer_certificate,))

    def test_no_certificate_of_a_peer_makes_a_session_unprintable(self) -> None:
        """A session can be printed, logged and compared, whatever certificate the peer has."""
        session = meet().client.session
        self.assertIn("peer_certificate=<certificate 'CN=localhost'>", repr(session))
        for what, certificate in certificates.hostile():
            odd = evolve(
                session, peer_certificate=certificate, peer_chain=(certificate, certificate)
            )
            self.assertTrue(repr(odd).isprintable(), what)
            self.assertEqual(repr(odd).count("<certificate "), 3, what)
            self.assertNotEqual(odd, session, what)

    def test_a_certificate_of_no_known_version_is_left_out(self) -> None:
        """A leaf of version 4, which a connection of others accepts, is no certificate to us."""
        made = self_signed(NAME)
        der = made.certificate.public_bytes(Encoding.DER)
        version_4 = der.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x03", 1)
        pem = made.key_pem() + ssl.DER_cert_to_PEM_cert(version_4).encode()
        path = certificates.written("version-4.pem", pem)
        serving = SSL.Context(SSL.TLS_SERVER_METHOD)
        serving.use_certificate_chain_file(path)
        serving.use_privatekey_file(path)
        meeting = arranged()
        for end, context in (
            (meeting.client, SSL.Context(SSL.TLS_CLIENT_METHOD)), (meeting.server, serving)
        ):  # fmt: skip
            theirs = SSL.Connection(context, None)
            side = end.conversation.side
            theirs.set_connect_state() if side is Side.CLIENT else theirs.set_accept_state()
            end.conversation = cast(TLSConnection, theirs)
        meeting.go_on()
        session = session_of(meeting.client)
        assert session is not None
        self.assertIsNone(session.peer_certificate)
        self.assertEqual(session.peer_chain, ())
        self.assertIs(session.verified, False)

    def test_control_characters_in_server_name_are_escaped(self) -> None:
        """Unprintable characters in the name that a client sends are escaped."""
        for asked, told in (
            (b"evil\n\x1b[2J.example", "evil\\n\\x1b[2J.example"),
            (b"\xff.example", "\\xff.example"),
            ("ü.example".encode(), "ü.example"),
        ):
            meeting = arranged(client(peer_name=None, verify_peer_name=False))
            meeting.client.conversation.set_tlsext_host_name(asked)
            self.assertEqual(meeting.go_on().server.session.server_name, told)

    def test_each_side_has_the_peer_s_chain(self) -> None:
        """A client has the server's leaf and chain; a server has the client's, if it sent one."""
        below = certificates.authority().intermediate()
        ours = certificates.issued("below.pem", NAME, by=below)
        theirs = certificates.issued("client.pem", "client.example", by=below, purpose="client")
        trusting = {"verify_peer": Verify.YES, "cafile": certificates.cafile()}
        for version in VERSIONS:
            meeting = meet(
                client(local_cert=theirs, max_version=version),
                server(local_cert=ours, **trusting),
            )
            for session, name in (
                (meeting.client.session, NAME),
                (meeting.server.session, "client.example"),
            ):
                leaf, *chain = session.peer_chain
                self.assertEqual(session.peer_certificate, leaf)
                self.assertEqual(leaf.subject.rfc4514_string(), f"CN={name}")
                self.assertEqual(chain, [below.certificate])
                self.assertIs(session.verified, True)

    def test_a_client_without_certificate_is_not_verified(self) -> None:
        """A server that asks for no certificate has none of the client, and verified no one."""
        session = meet().server.session
        self.assertIsNone(session.peer_certificate)
        self.assertEqual(session.peer_chain, ())
        self.assertIs(session.verified, False)

    def test_verified_means_chain_and_name(self) -> None:
        """A session is verified only when both the chain and the name were."""
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
        """A self-signed certificate that allow_self_signed accepts does not count as verified."""
        alone = certificates.written("alone.pem", self_signed(NAME).pem)
        meeting = meet(client(allow_self_signed=True), server(local_cert=alone))
        self.assertTrue(meeting.is_secure)
        self.assertIs(meeting.client.session.verified, False)

    def test_a_session_is_an_immutable_value(self) -> None:
        """Sessions can be compared and kept, and cannot be changed."""
        meeting = meet()
        self.assertEqual(meeting.client.session, meeting.client.session)
        self.assertRaises(FrozenInstanceError, setattr, meeting.client.session, "verified", False)


class NoSessionTests(SynchronousTestCase):
    """Without a complete TLS handshake there is no session."""

    def test_there_is_none_before_the_handshake_is_complete(self) -> None:
        """During the handshake neither side has a session."""
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

    def test_there_is_none_after_a_refusal(self) -> None:
        """A handshake that OpenSSL completed and we refused has no session."""
        meeting = arranged()
        accept_by(meeting.client, _refuse)
        meeting.go_on()
        self.assertIsNotNone(meeting.client.conversation.get_finished())
        self.assertFalse(meeting.client.conversation.is_complete)
        self.assertIsNone(session_of(meeting.client))

    def test_there_is_none_without_tls(self) -> None:
        """Plain transports, closed ones and other objects have no session."""
        plain = socket.socket()
        self.addCleanup(plain.close)
        for transport in (
            None,
            object(),
            "tls",
            _TransportOf(None),
            _TransportOf(plain),
            _TransportOf(object()),
        ):
            self.assertIsNone(session_of(transport))

    def test_other_libraries_connections_are_not_verified(self) -> None:
        """A connection that txtransport did not make is described, but never as verified."""
        theirs = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None)
        theirs.set_connect_state()
        self.assertIsNone(session_of(_TransportOf(theirs)))
        meeting = arranged()
        meeting.client.conversation = cast(TLSConnection, theirs)
        meeting.go_on()
        session = session_of(_TransportOf(theirs))
        assert isinstance(session, Session)
        self.assertEqual(session.version, "TLSv1.3")
        self.assertIsNotNone(session.peer_certificate)
        self.assertIsNone(session.resumed)
        self.assertIs(session.verified, False)


class _TransportOf:
    """A transport whose handle is the given object."""

    def __init__(self, handle: object) -> None:
        self._handle = handle

    def getHandle(self) -> object:
        return self._handle


def _refuse(connection: TLSConnection) -> bool:
    connection.verification.problems.append(
        CertificateProblem(Diagnosis("other", "it is not wanted"), 0, 0, None)
    )
    return False
