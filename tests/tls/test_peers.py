"""Odd peers, made with OpenSSL: the error that each leads to."""

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


def answering(data: bytes) -> Answer:
    """A peer that sends these bytes, whatever it receives."""
    return lambda received: data


def echo(received: bytes) -> bytes:
    """A peer that sends back what it receives."""
    return received


def choosing(choice: Callable[[], bytes]) -> Answer:
    """A server whose ALPN callback is this one."""

    def answer(received: bytes) -> bytes:
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.use_certificate_chain_file(certificates.site())
        context.use_privatekey_file(certificates.site())
        context.set_alpn_select_callback(lambda connection, offered: choice())
        peer = SSL.Connection(context, None)
        peer.set_accept_state()
        peer.bio_write(received)
        with contextlib.suppress(SSL.Error, ValueError):
            peer.do_handshake()
        return peer.bio_read(2**16)

    return answer


def refuse() -> bytes:
    """An ALPN callback that refuses all protocols by an exception."""
    raise ValueError("none of these")


H2: Final = functools.partial(client, alpn_protocols=("h2",))

SERVERS: Final = (
    ("one that echoes", echo, client, "other", "unexpected message", ""),
    ("zeros", answering(bytes(64)), client, "plaintext-peer", "does not speak it", "right port"),
    ("rubbish", answering(b"\x99" * 64), client, "plaintext-peer", "\\x99", "right port"),
    # A Twisted server without application protocols, or without any of ours.
    ("one of Twisted's", choosing(lambda: b""), H2,
     "peer-alert", "'internal error' (80)", "Try without alpn_protocols"),
    ("a strict one", choosing(refuse), H2,
     "no-common-protocol", "'no application protocol' (120)", "alpn_protocols on both sides"),
)  # fmt: skip
"""A server, its answer, the client's policy, the cause, and words of the text and the remedy."""

CLIENTS: Final = (
    ("zeros", bytes(64), "plaintext-peer", b""),
    # OpenSSL before 4.0 answers with handshake_failure.
    ("a hello of SSL 3.0", hello(0), "no-common-version", rb"\x15\x03\x00\x00\x02\x02[\x46\x28]"),
    ("a hello of TLS 1.0", hello(1), "no-common-version", rb"\x15\x03\x01\x00\x02\x02\x46"),
    ("a hello of TLS 1.1", hello(2), "no-common-version", rb"\x15\x03\x02\x00\x02\x02\x46"),
    ("an alert", b"\x15\x03\x01\x00\x02\x02\x28", "no-common-cipher",
     rb"\x15\x03\x01\x00\x02\x02\x0a"),
)  # fmt: skip
"""A client, its first bytes, the cause, and a pattern of the bytes that it receives."""


class ServerTests(SynchronousTestCase):
    """The errors that clients get for odd servers."""

    def error(self, answer: Answer, policy: TLSPolicy) -> HandshakeFailed:
        """The error of a client whose ClientHello is answered in that way."""
        end = arranged(policy).client
        end.hear(answer(end.hear(b"")))
        return end.explained()

    def test_each_odd_server_has_its_own_error(self) -> None:
        """Whatever answers a ClientHello, the error has the right cause and a remedy."""
        for what, answer, policy, cause, text, remedy in SERVERS:
            error = self.error(answer, policy())
            self.assertEqual(error.cause, cause, what)
            self.assertIn(text, str(error), what)
            self.assertIn(remedy, error.remedy, what)

    def test_ciphers_for_another_kind_of_key_are_not_in_common(self) -> None:
        """A cipher for RSA cannot be used with a certificate of another kind of key."""
        asking = client(max_version="1.2", ciphers="ECDHE-RSA-AES128-GCM-SHA256")
        meeting = meet(asking)
        for end in (meeting.client, meeting.server):
            error = end.explained()
            self.assertEqual(error.cause, "no-common-cipher")
            self.assertIn("ciphers", error.remedy)
        rsa = certificates.issued("rsa.pem", NAME, key="rsa")
        self.assertTrue(meet(asking, server(local_cert=rsa)).is_secure)

    def test_an_unknown_authority_is_told_before_a_wrong_name(self) -> None:
        """If the authority is unknown and the name is wrong, the error is about the authority."""
        made = Authority.create("another").issue("other.example")
        serving = server(local_cert=certificates.written("both-wrong.pem", made.pem))
        self.assertEqual(meet(None, serving).client.explained().cause, "unknown-issuer")


class ClientTests(SynchronousTestCase):
    """The errors that servers get for odd clients."""

    def test_each_odd_client_has_its_own_error(self) -> None:
        """Whatever a client begins with, the error has a cause; TLS clients receive an alert."""
        for what, data, cause, answer in CLIENTS:
            end = arranged().server
            self.assertRegex(end.hear(data), rb"\A%b\Z" % answer, what)
            error = end.explained()
            self.assertEqual(error.cause, cause, what)
            self.assertTrue(error.remedy, what)
