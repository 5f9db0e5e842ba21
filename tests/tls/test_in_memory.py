"""Handshakes in memory: their first bytes, and what peers will say of a certificate."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests import certificates
from tests.tls import handshake
from txtransport.config.policy import TLSPolicy
from txtransport.errors import BadCertificateFile
from txtransport.starttls.tls_record import begins_handshake
from txtransport.tls.in_memory import client_hello, client_refusal, server_refusal


class HelloTests(SynchronousTestCase):
    """What a client says first."""

    def test_it_is_one_record_that_names_the_peer(self) -> None:
        """The first bytes are a handshake record, with the peer's name but not its address."""
        for name, is_named in (("a.example", True), ("192.0.2.1", False)):
            hello = client_hello(name)
            self.assertTrue(begins_handshake(hello))
            self.assertEqual(len(hello), 5 + int.from_bytes(hello[3:5], "big"))
            self.assertEqual(name.encode() in hello, is_named)


class ClientTests(SynchronousTestCase):
    """What clients say of a server's certificate."""

    def test_a_good_certificate_is_accepted(self) -> None:
        """A client that trusts the authority accepts it for a name that it has."""
        self.assertIsNone(client_refusal(handshake.server(), handshake.client()))

    def test_a_refusal_says_why(self) -> None:
        """The refusal has the cause, OpenSSL's number and the certificate at fault."""
        for client, cause, code in (
            (handshake.client(peer_name="bad.example"), "wrong-name", 0),
            (TLSPolicy(peer_name=handshake.NAME), "unknown-issuer", 20),
        ):
            refusal = client_refusal(handshake.server(), client)
            assert refusal is not None
            self.assertEqual((refusal.diagnosis.cause, refusal.code), (cause, code))
            self.assertIsNotNone(refusal.certificate)

    def test_what_two_sides_have_not_in_common_is_a_refusal(self) -> None:
        """Where it is not the certificate, the refusal says what it is."""
        client = handshake.client(max_version="1.2")
        refusal = client_refusal(handshake.server(min_version="1.3"), client)
        assert refusal is not None
        self.assertEqual(refusal.diagnosis.cause, "no-common-version")
        self.assertIsNone(refusal.certificate)
        self.assertNotIn("inspect", refusal.diagnosis.summary)

    def test_a_file_that_cannot_be_used_is_an_error(self) -> None:
        """Without a certificate there is nothing that a client could say."""
        own = handshake.server(local_cert="/nonexistent")
        self.assertRaises(BadCertificateFile, client_refusal, own, handshake.client())


class ServerTests(SynchronousTestCase):
    """What servers say of a client's certificate."""

    def test_a_good_certificate_is_accepted(self) -> None:
        """A server that demands a certificate and trusts the authority accepts it."""
        own = TLSPolicy(local_cert=certificates.client())
        self.assertIsNone(server_refusal(own, TLSPolicy(cafile=certificates.cafile())))

    def test_a_server_s_certificate_is_refused(self) -> None:
        """One that is for servers is not for clients."""
        own = TLSPolicy(local_cert=certificates.site())
        refusal = server_refusal(own, TLSPolicy(cafile=certificates.cafile()))
        assert refusal is not None
        self.assertEqual(refusal.diagnosis.cause, "wrong-purpose")
