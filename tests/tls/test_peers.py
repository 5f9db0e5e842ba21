"""Peers that OpenSSL has few words for: what each comes to, produced with OpenSSL on both sides."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import Final

from OpenSSL import SSL
from twisted.trial.unittest import SynchronousTestCase

from tests import certificates
from tests.tls.handshake import NAME, arranged, client, meet, server
from txtransport.config.policy import TLSPolicy
from txtransport.errors import HandshakeFailed
from txtransport.testing.devcert import Authority

Answer = Callable[[bytes], bytes]


def hello(version: int) -> bytes:
    """A ClientHello of an old version, with one cipher."""
    body = bytes((3, version)) + bytes(33) + b"\x00\x02\x00\x2f\x01\x00"
    message = b"\x01" + len(body).to_bytes(3, "big") + body
    return bytes((0x16, 3, version)) + len(message).to_bytes(2, "big") + message


def answering(said: bytes) -> Answer:
    """A peer that says this to whatever it hears."""
    return lambda heard: said


def echo(heard: bytes) -> bytes:
    """A peer that says what it hears."""
    return heard


def choosing(choice: Callable[[], bytes]) -> Answer:
    """A server whose callback for application protocols chooses so."""

    def answer(heard: bytes) -> bytes:
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.use_certificate_chain_file(certificates.site())
        context.use_privatekey_file(certificates.site())
        context.set_alpn_select_callback(lambda connection, offered: choice())
        peer = SSL.Connection(context, None)
        peer.set_accept_state()
        peer.bio_write(heard)
        with contextlib.suppress(SSL.Error, ValueError):
            peer.do_handshake()
        return peer.bio_read(2**16)

    return answer


def refuse() -> bytes:
    """As a strict callback does."""
    raise ValueError("none of these")


H2: Final = functools.partial(client, alpn_protocols=("h2",))

SERVERS: Final = (
    ("one that echoes", echo, client, "other", "unexpected message", ""),
    ("zeros", answering(bytes(64)), client, "plaintext-peer", "does not speak it", "right port"),
    ("rubbish", answering(b"\x99" * 64), client, "plaintext-peer", "\\x99", "right port"),
    # Twisted's own, which has no protocols or none of ours.
    ("one of Twisted's", choosing(lambda: b""), H2,
     "peer-alert", "'internal error' (80)", "Try without alpn_protocols"),
    ("a strict one", choosing(refuse), H2,
     "no-common-protocol", "'no application protocol' (120)", "alpn_protocols on both sides"),
)  # fmt: skip
"""A server, how it answers, who asks, the cause, and words of the text and of the remedy."""

CLIENTS: Final = (
    ("zeros", bytes(64), "plaintext-peer", b""),
    ("a hello of SSL 3.0", hello(0), "no-common-version", b"\x15\x03\x00\x00\x02\x02\x46"),
    ("a hello of TLS 1.0", hello(1), "no-common-version", b"\x15\x03\x01\x00\x02\x02\x46"),
    ("a hello of TLS 1.1", hello(2), "no-common-version", b"\x15\x03\x02\x00\x02\x02\x46"),
    ("an alert", b"\x15\x03\x01\x00\x02\x02\x28", "no-common-cipher",
     b"\x15\x03\x01\x00\x02\x02\x0a"),
)  # fmt: skip
"""What a client begins with, the cause, and what it hears."""


class ServerTests(SynchronousTestCase):
    """Servers, as a client sees them."""

    def told(self, answer: Answer, policy: TLSPolicy) -> HandshakeFailed:
        """What a client is told whose hello is answered so."""
        end = arranged(policy).client
        end.hear(answer(end.hear(b"")))
        return end.explained()

    def test_each_is_told_apart(self) -> None:
        """Whatever answers a ClientHello has a cause, and what to do about it."""
        for what, answer, asking, cause, text, remedy in SERVERS:
            error = self.told(answer, asking())
            self.assertEqual(error.cause, cause, what)
            self.assertIn(text, str(error), what)
            self.assertIn(remedy, error.remedy, what)

    def test_ciphers_for_another_kind_of_key(self) -> None:
        """A cipher for RSA and a certificate with another kind of key have nothing in common."""
        asking = client(max_version="1.2", ciphers="ECDHE-RSA-AES128-GCM-SHA256")
        meeting = meet(asking)
        for end in (meeting.client, meeting.server):
            error = end.explained()
            self.assertEqual(error.cause, "no-common-cipher")
            self.assertIn("ciphers", error.remedy)
        rsa = certificates.issued("rsa.pem", NAME, key="rsa")
        self.assertTrue(meet(asking, server(local_cert=rsa)).is_secure)

    def test_the_authority_before_the_name(self) -> None:
        """Where both are wrong, that no one vouches for it is told first."""
        made = Authority.create("another").issue("other.example")
        host = server(local_cert=certificates.written("both-wrong.pem", made.pem))
        self.assertEqual(meet(None, host).client.explained().cause, "unknown-issuer")


class ClientTests(SynchronousTestCase):
    """Clients, as a server sees them."""

    def test_each_is_told_apart(self) -> None:
        """Whatever a client begins with has a cause, and the client an answer where TLS has one."""
        for what, said, cause, answer in CLIENTS:
            end = arranged().server
            self.assertEqual(end.hear(said), answer, what)
            error = end.explained()
            self.assertEqual(error.cause, cause, what)
            self.assertTrue(error.remedy, what)
