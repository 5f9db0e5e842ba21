"""A connection of SSL 2.0 or SSL 3.0, as a driver and as Twisted's TLS layer see it."""

from __future__ import annotations

import gc
import weakref
from typing import Any, Final

from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import SSL, crypto
from twisted.trial.unittest import SynchronousTestCase

from tests import certificates
from tests.tls.legacy.fake import install_fakes
from txtransport.config.policy import Side, TLSPolicy, Verify
from txtransport.tls.connection import MAX_FIRST_BYTES
from txtransport.tls.creator import creator_for
from txtransport.tls.engine import Signal
from txtransport.tls.legacy.connection import LayeredLegacyConnection, LegacyConnection
from txtransport.tls.session import session_of

VERSIONS: Final = ("SSLv2", "SSLv3")


def policy(version: str, **options: Any) -> TLSPolicy:
    """A policy of one version."""
    named = {"min_version": version, "max_version": version, "allow_broken_ssl": True}
    return TLSPolicy(**{**named, **options})


def pair(version: str, *, is_layered: bool = False, **server: Any) -> tuple[Any, Any]:
    """The connections of a client and a server."""
    own = certificates.ssl2_site() if version == "SSLv2" else certificates.rsa_site()
    policies = {
        Side.CLIENT: policy(version, cafile=certificates.cafile(), peer_name="good.example"),
        Side.SERVER: policy(version, local_cert=own, **server),
    }
    creators = [creator_for(each, side) for side, each in policies.items()]
    made = [each.new_layered_connection() if is_layered else each.new_engine() for each in creators]
    return made[0], made[1]


class ConnectionTestCase(SynchronousTestCase):
    """What the tests of this file share."""

    def setUp(self) -> None:
        install_fakes(self)

    def met(self, version: str, **server: Any) -> tuple[LegacyConnection, LegacyConnection]:
        """A client and a server whose handshake is over, as drivers have them."""
        client, server_ = pair(version, **server)
        client.start()
        events = [
            server_.receive(client.data_to_send()),
            client.receive(server_.data_to_send()),
            server_.receive(client.data_to_send()),
        ]
        self.assertEqual(events, [[], [Signal.COMPLETE], [Signal.COMPLETE]])
        return client, server_


class DriverTests(ConnectionTestCase):
    """What a driver does with it."""

    def test_it_describes_itself(self) -> None:
        """It is the connection of its engine, with the facts that a session has."""
        for version in VERSIONS:
            client, server = self.met(version)
            self.assertIs(client.connection, client)
            self.assertTrue(client.is_complete and client.is_verified and not server.is_verified)
            self.assertFalse(client.is_resumed)
            self.assertEqual(client.get_protocol_version_name(), version)
            self.assertEqual((client.get_cipher_name(), client.get_cipher_bits()), ("STRONG", 128))
            self.assertEqual(client.get_alpn_proto_negotiated(), b"")
            self.assertIsNone(client.get_servername())
            self.assertIsInstance(client.get_peer_certificate(), crypto.X509)
            self.assertIsInstance(
                client.get_peer_certificate(as_cryptography=True), x509.Certificate
            )
            self.assertEqual(len(client.shown_chain), len(client.get_peer_cert_chain() or ()))
            self.assertEqual((server.get_peer_certificate(), server.shown_chain), (None, ()))
            self.assertIsNone(server.get_peer_cert_chain())

    def test_nothing_is_known_before_the_handshake(self) -> None:
        """Before the handshake there is no session, and no fact that could be taken for one."""
        client, _ = pair("SSLv3")
        self.assertEqual((client.get_cipher_name(), client.get_cipher_bits()), (None, None))
        self.assertFalse(client.is_complete or client.is_verified or client.is_ended_by_peer)

        class Transport:
            def getHandle(self) -> object:
                return client

        self.assertIsNone(session_of(Transport()))

    def test_the_first_bytes_are_kept(self) -> None:
        """The peer's first bytes are kept to explain a failure, and not those of data."""
        client, server = pair("SSLv3")
        client.receive(b"220 mail ")
        self.assertEqual(client.first_bytes, b"220 mail ")
        server.receive(b"H\0\0\x10\0" + b"x" * 300)
        self.assertEqual(len(server.first_bytes), MAX_FIRST_BYTES)
        client, server = self.met("SSLv3")
        before = server.first_bytes
        client.send(b"password")
        server.receive(client.data_to_send())
        self.assertEqual(server.first_bytes, before)

    def test_a_close_of_ssl2_waits_for_nothing(self) -> None:
        """SSL 2.0 has no close_notify: after ours nothing is waited for, and nothing was read."""
        for version, waits in (("SSLv2", False), ("SSLv3", True)):
            client, server = self.met(version)
            client.close()
            self.assertEqual(client.is_closed_by_peer, not waits)
            self.assertFalse(client.is_ended_by_peer)
            said = client.data_to_send()
            self.assertEqual(bool(said), waits)
            if said:
                self.assertEqual(server.receive(said), [Signal.CLOSED])
                self.assertTrue(server.is_ended_by_peer)

    def test_a_missing_certificate_has_openssls_reason(self) -> None:
        """A client without the certificate that a server demands is told as in TLS."""
        client, server = pair("SSLv3", verify_peer=Verify.YES, cafile=certificates.cafile())
        client.start()
        self.assertEqual(server.receive(client.data_to_send()), [Signal.FAILED])
        self.assertIn("peer did not return a certificate", str(server.error))

    def test_nothing_keeps_a_connection(self) -> None:
        """A connection is freed with its last user, without the collector of cycles."""
        client, server = self.met("SSLv3")
        gc.disable()
        try:
            gone = [weakref.ref(each) for each in (client, server)]
            del client, server
            self.assertEqual([each() for each in gone], [None, None])
        finally:
            gc.enable()

    @settings(deadline=None, max_examples=50)
    @given(st.lists(st.binary(min_size=1, max_size=60), max_size=6), st.integers(1, 40), st.data())
    def test_any_segments_come_to_the_same(
        self, said: list[bytes], size: int, data: st.DataObject
    ) -> None:
        """However the bytes are cut on their way, what was said arrives, then the close."""
        client, server = self.met(data.draw(st.sampled_from(VERSIONS)))
        for each in said:
            client.send(memoryview(each))
        client.close()
        sent = client.data_to_send()
        events: list[Any] = []
        for begin in range(0, len(sent), size):
            events += server.receive(sent[begin : begin + size])
        closed = [Signal.CLOSED] if server.engine.has_close_notify else []
        self.assertEqual(events, [*said, *closed])


class LayerTests(ConnectionTestCase):
    """What Twisted's TLS layer calls."""

    def carry(self, client: Any, server: Any) -> None:
        """Carry what both send, until neither sends anything."""
        is_moved = True
        while is_moved:
            is_moved = False
            for one, other in ((client, server), (server, client)):
                try:
                    sent = one.bio_read(2**15)
                except SSL.WantReadError:
                    continue
                is_moved = True
                other.bio_write(sent)

    def together(self, version: str) -> tuple[LayeredLegacyConnection, LayeredLegacyConnection]:
        """A client and a server whose handshake is over, as Twisted's layers have them."""
        client, server = pair(version, is_layered=True)
        for each in (client, server):
            self.assertRaises(SSL.WantReadError, each.do_handshake)
        self.carry(client, server)
        for each in (client, server):
            each.do_handshake()
        return client, server

    def test_nothing_passes_before_the_handshake(self) -> None:
        """Neither side can send or read data before the handshake is over."""
        for each in pair("SSLv3", is_layered=True):
            self.assertRaises(SSL.WantReadError, each.send, b"x")
            self.assertRaises(SSL.WantReadError, each.recv, 10)
            self.assertEqual(each.get_shutdown(), 0)

    def test_data_is_taken_piece_by_piece(self) -> None:
        """More than a piece is taken in part, and is read in parts as small as asked for."""
        client, server = self.together("SSLv3")
        data = bytes(range(256)) * 100
        left = data
        while left:
            left = left[client.send(left) :]
        self.assertLess(client.piece, len(data))
        self.carry(client, server)
        self.assertEqual(client.outgoing.end_of_data, client.outgoing.total)
        read = b""
        while len(read) < len(data):
            read += server.recv(1000)
        self.assertEqual(read, data)
        self.assertRaises(SSL.WantReadError, server.recv, 1000)

    def test_both_sides_close(self) -> None:
        """A close is told to whoever watches, and what comes after is an end, or waits for it."""
        client, server = self.together("SSLv3")
        closed: list[object] = []
        client.on_close = lambda: closed.append(client)
        self.assertFalse(client.shutdown())
        self.assertEqual(closed, [client])
        self.assertEqual(client.get_shutdown(), SSL.SENT_SHUTDOWN)
        self.assertRaises(SSL.Error, client.send, b"x")
        self.carry(client, server)
        self.assertRaises(SSL.ZeroReturnError, server.recv, 10)
        self.assertTrue(server.shutdown())
        self.carry(client, server)
        self.assertRaises(SSL.ZeroReturnError, client.recv, 10)
        self.assertEqual(client.get_shutdown(), SSL.SENT_SHUTDOWN | SSL.RECEIVED_SHUTDOWN)

    def test_a_cut_is_no_close(self) -> None:
        """The end of TCP is the error that OpenSSL has for it, in SSL 2.0 as well."""
        for version in VERSIONS:
            client, server = self.together(version)
            client.bio_shutdown()
            error = self.assertRaises(SSL.SysCallError, client.recv, 10)
            self.assertEqual(error.args, (-1, "Unexpected EOF"))
            early, _ = pair(version, is_layered=True)
            early.bio_shutdown()
            self.assertRaises(SSL.SysCallError, early.do_handshake)
            # Who has closed SSL 2.0 has ended it.
            server.bio_shutdown()
            self.assertEqual(server.shutdown(), version == "SSLv2")

    def test_a_refused_peer_is_an_error_for_ever(self) -> None:
        """Once the peer was refused, nothing is sent or read any more."""
        own = certificates.rsa_site()
        client = creator_for(policy("SSLv3", peer_name="other.example",
                                    cafile=certificates.cafile()), Side.CLIENT)  # fmt: skip
        made: list[Any] = [client.new_layered_connection()]
        made.append(creator_for(policy("SSLv3", local_cert=own), Side.SERVER)
                    .new_layered_connection())  # fmt: skip
        self.assertRaises(SSL.WantReadError, made[0].do_handshake)
        self.carry(*made)
        for call in (made[0].do_handshake, lambda: made[0].recv(1), lambda: made[0].send(b"x")):
            self.assertRaises(SSL.Error, call)
        self.assertEqual(made[0].verification.problems[0].diagnosis.cause, "wrong-name")
        self.assertFalse(made[0].is_complete or made[0].is_verified)

    def test_app_data_is_kept(self) -> None:
        """What Twisted's own contexts keep on a connection can be kept here."""
        client, _ = pair("SSLv3", is_layered=True)
        client.set_connect_state()
        client.set_accept_state()
        self.assertIsNone(client.get_app_data())
        client.set_app_data(self)
        self.assertIs(client.get_app_data(), self)
