"""SOCKS 5, from both sides."""

from __future__ import annotations

from functools import partial
from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.proxy.dialogues import LOGIN, TARGET, serve_socks_users
from tests.starttls.in_memory import after_receiving, failure_after, negotiate
from txtransport.errors import NegotiationError, PeerMisbehaved, ProxyRefused
from txtransport.proxy.socks5 import answer, connect, serve
from txtransport.proxy.target import Credentials, Target
from txtransport.starttls.wire import Speaker

CONNECT: Final = partial(connect, target=TARGET)
LOG_IN: Final = partial(connect, target=TARGET, credentials=LOGIN)
OK: Final = bytes.fromhex("05000001 00000000 0000")


class ClientTests(SynchronousTestCase):
    """The client's side."""

    def sent(self, target: Target) -> bytes:
        """The request for a target."""
        negotiation = after_receiving(partial(connect, target=target))
        negotiation.data_to_send()
        negotiation.receive_data(b"\x05\x00")
        return negotiation.data_to_send()

    def failed(self, speaker: Speaker, *segments: bytes) -> NegotiationError:
        """The error about a proxy that says this, each segment after the one before was read."""
        return failure_after(speaker, *segments)[0]

    def test_the_messages_are_those_of_the_rfcs(self) -> None:
        """Greeting, login and requests, byte by byte."""
        self.assertEqual(after_receiving(CONNECT).data_to_send(), b"\x05\x01\x00")
        self.assertEqual(self.sent(TARGET), b"\x05\x01\x00\x03\x10mail.example.com\x01\xd1")
        self.assertEqual(
            self.sent(Target("192.0.2.7", 80)), bytes.fromhex("05010001 c0000207 0050")
        )
        self.assertEqual(
            self.sent(Target("2001:db8::7", 80)),
            bytes.fromhex("05010004 20010db8000000000000000000000007 0050"),
        )
        login = after_receiving(LOG_IN)
        self.assertEqual(login.data_to_send(), b"\x05\x01\x02")
        login.receive_data(b"\x05\x02")
        self.assertEqual(login.data_to_send(), b"\x01\x04user\x09pass word")

    def test_a_login_is_not_sent_to_a_proxy_that_does_not_ask(self) -> None:
        """A proxy that chooses another method than the one offered gets no password."""
        for chosen in (0x00, 0x01, 0x03, 0x80):
            error, sent = failure_after(LOG_IN, bytes((5, chosen)))
            self.assertIs(type(error), PeerMisbehaved)
            self.assertEqual(sent, b"\x05\x01\x02")
        error, sent = failure_after(CONNECT, b"\x05\x02")
        self.assertIs(type(error), PeerMisbehaved)
        self.assertEqual(sent, b"\x05\x01\x00")

    def test_a_proxy_may_refuse_in_three_ways(self) -> None:
        """No method, no such user, or the request itself: each error has the code."""
        for speaker, segments, kind, code in (
            (CONNECT, [b"\x05\xff"], "SOCKS method", 255),
            (LOG_IN, [b"\x05\x02", b"\x01\x01"], "SOCKS login", 1),
            *((CONNECT, [b"\x05\x00", bytes((5, n))], "SOCKS reply", n) for n in range(1, 10)),
        ):  # fmt: skip
            error = self.failed(speaker, *segments)
            assert isinstance(error, ProxyRefused), error
            self.assertEqual((error.kind, error.code), (kind, code))
            self.assertIn(f"({kind} {code})", str(error))

    def test_a_refusal_needs_no_address(self) -> None:
        """Some proxies close behind the code, and leave out the rest of the answer."""
        error = self.failed(CONNECT, b"\x05\x00", b"\x05\x05")
        self.assertIsInstance(error, ProxyRefused)

    def test_the_bound_address_is_read_and_not_believed(self) -> None:
        """IPv4, IPv6, a name of any bytes: it is passed over, whatever it says."""
        for bound in (
            b"\x01" + b"\x7f\x00\x00\x01" + b"\x00\x19",
            b"\x04" + b"\xff" * 16 + b"\xff\xff",
            b"\x03\x00\x00\x00",
            b"\x03\xff" + b"\xfe" * 255 + b"\x00\x00",
        ):
            done = after_receiving(CONNECT, b"\x05\x00", b"\x05\x00\x00" + bound)
            self.assertTrue(done.is_complete)
            self.assertEqual(done.outcome, b"")

    def test_a_bound_address_of_no_known_type_is_refused(self) -> None:
        """Without its length, the bytes of the target could not be told from it."""
        for kind in (0, 2, 5, 255):
            error = self.failed(CONNECT, b"\x05\x00", bytes((5, 0, 0, kind)))
            self.assertIn(f"there is no type {kind}", str(error))

    def test_answers_of_other_versions_are_refused(self) -> None:
        """SOCKS 4, HTTP, TLS or any other protocol in place of each answer."""
        for wrong in (
            b"\x00\x5b",
            b"HTTP/1.1 400 Bad Request\r\n",
            b"\x15\x03\x01\x00\x02",
            b"\x04\x00",
        ):
            for before in ([], [b"\x05\x00"]):
                error = self.failed(CONNECT, *before, wrong)
                self.assertIn("expected an answer of SOCKS 5", str(error))
        self.assertIn("expected an answer", str(self.failed(LOG_IN, b"\x05\x02", b"\x05\x00")))

    def test_answers_before_their_questions_are_refused(self) -> None:
        """A proxy that answers everything at once has not read what it was asked.

        The password is not sent to it, and neither is the target.
        """
        for speaker, answers in ((CONNECT, b"\x05\x00" + OK), (LOG_IN, b"\x05\x02\x01\x00" + OK)):
            error, sent = failure_after(speaker, answers)
            self.assertIn("answered before it was asked", str(error))
            self.assertEqual(len(sent), 3)
        error, sent = failure_after(LOG_IN, b"\x05\x02", b"\x01\x00" + OK)
        self.assertNotIn(b"mail.example.com", sent)

    @settings(deadline=None, max_examples=60)
    @given(user=st.text(min_size=1, max_size=60), password=st.text(min_size=1, max_size=60))
    def test_any_user_and_password_arrive(self, user: str, password: str) -> None:
        """Both are sent as they are, in UTF-8, whatever they hold."""
        try:
            login = user.encode(), password.encode()
        except UnicodeEncodeError:
            return
        negotiation = after_receiving(
            partial(connect, target=TARGET, credentials=Credentials(user, password)), b"\x05\x02"
        )
        name, word = login
        sent = negotiation.data_to_send()
        self.assertEqual(
            sent, b"\x05\x01\x02\x01" + bytes((len(name),)) + name + bytes((len(word),)) + word
        )


class ProxyTests(SynchronousTestCase):
    """The proxy's side."""

    def test_only_a_known_user_is_connected(self) -> None:
        """With users, a client that cannot log in is refused, and so is a wrong password."""
        self.assertEqual(
            negotiate(LOG_IN, serve_socks_users).server.outcome, b"mail.example.com:465"
        )
        _, said = failure_after(serve_socks_users, b"\x05\x01\x00")
        self.assertEqual(said, b"\x05\xff")
        _, said = failure_after(serve_socks_users, b"\x05\x01\x02", b"\x01\x04user\x01x")
        self.assertEqual(said, b"\x05\x02\x01\x01")

    def test_there_is_connect_alone(self) -> None:
        """BIND and UDP ASSOCIATE are answered with reply 7."""
        for command in (2, 3):
            request = bytes((5, command, 0, 1, 127, 0, 0, 1, 0, 1))
            _, said = failure_after(serve, b"\x05\x01\x00", request)
            self.assertEqual(said, b"\x05\x00" + answer(7))
