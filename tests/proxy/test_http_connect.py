"""HTTP's CONNECT, from both sides."""

from __future__ import annotations

from functools import partial
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from tests.proxy.dialogues import LOGIN, TARGET, serve_http_users
from tests.starttls.in_memory import after_receiving, failure_after, negotiate
from txtransport.errors import NegotiationError, PeerMisbehaved, ProxyRefused
from txtransport.proxy.http_connect import connect, serve
from txtransport.proxy.target import Credentials, Target

CONNECT: Final = partial(connect, target=TARGET)
REQUEST: Final = (
    b"CONNECT mail.example.com:465 HTTP/1.1\r\nHost: mail.example.com:465\r\n\r\n"
)  # fmt: skip


class ClientTests(SynchronousTestCase):
    """The client's side."""

    def refused(self, *segments: bytes) -> ProxyRefused:
        """The refusal of a proxy that says this."""
        error, _ = failure_after(CONNECT, *segments)
        assert isinstance(error, ProxyRefused), error
        return error

    def misbehaved(self, *segments: bytes) -> NegotiationError:
        """The error about a proxy that says what no proxy should."""
        error, _ = failure_after(CONNECT, *segments)
        self.assertIs(type(error), PeerMisbehaved)
        return error

    def test_the_request_names_the_target_twice(self) -> None:
        """CONNECT and Host have the same host and port (RFC 9110, 7.2 and 9.3.6)."""
        self.assertEqual(after_receiving(CONNECT).data_to_send(), REQUEST)
        six = after_receiving(partial(connect, target=Target("2001:db8::1", 1))).data_to_send()
        self.assertIn(b"CONNECT [2001:db8::1]:1 HTTP/1.1\r\nHost: [2001:db8::1]:1\r\n", six)

    def test_user_and_password_go_with_the_request(self) -> None:
        """The example of RFC 7617, and letters that are not ASCII, in UTF-8."""
        for user, password, login in (
            ("Aladdin", "open sesame", b"QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
            ("test", "123\u00a3", b"dGVzdDoxMjPCow=="),
        ):
            credentials = Credentials(user, password)
            sent = after_receiving(
                partial(connect, target=TARGET, credentials=credentials)
            ).data_to_send()
            self.assertIn(b"\r\nProxy-Authorization: Basic " + login + b"\r\n\r\n", sent)

    def test_any_status_of_success_connects(self) -> None:
        """Status 200 to 299 of HTTP/1.0 and 1.1, with or without words and headers."""
        for answer in (
            b"HTTP/1.1 200 Connection established\r\n\r\n",
            b"HTTP/1.0 200 OK\r\nVia: 1.0 x\r\nProxy-agent: y\r\n\r\n",
            b"HTTP/1.1 204\r\n\r\n",
            b"HTTP/1.1 299 \r\n\r\n",
            b"HTTP/1.1 200 OK\nX: 1\n\n",
            b"HTTP/1.1 200 OK\r\nX-Folded: a\r\n\tb\r\n\r\n",
        ):
            self.assertTrue(after_receiving(CONNECT, answer).is_complete, answer)

    def test_a_success_has_no_body(self) -> None:
        """What Content-Length and Transfer-Encoding say of a success is not believed."""
        for field in (b"Content-Length: 5", b"Transfer-Encoding: chunked"):
            answer = b"HTTP/1.1 200 OK\r\n" + field + b"\r\n\r\n"
            self.assertTrue(after_receiving(CONNECT, answer).is_complete)

    def test_an_interim_answer_is_passed_over(self) -> None:
        """Status 100, 102 and 103 come before the answer, and are none."""
        for status in (b"100 Continue", b"102 Processing", b"103 Early Hints"):
            interim = b"HTTP/1.1 " + status + b"\r\nLink: x\r\n\r\n"
            waiting = after_receiving(CONNECT, interim)
            self.assertFalse(waiting.is_complete)
            waiting.receive_data(b"HTTP/1.1 200 OK\r\n\r\n")
            self.assertTrue(waiting.is_complete)
        self.misbehaved(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n")

    def test_a_refusal_has_the_status_and_the_words(self) -> None:
        """Any other status is a refusal, and a redirection is one: it is not followed."""
        for status in (300, 302, 400, 403, 404, 407, 500, 502, 503, 504):
            error = self.refused(b"HTTP/1.1 %d No way\r\nLocation: http://x\r\n\r\n" % status)
            self.assertEqual(
                (error.kind, error.code, error.text), ("HTTP status", status, b"No way")
            )
            self.assertIn(f"(HTTP status {status})", str(error))

    def test_a_refusal_does_not_wait_for_its_body(self) -> None:
        """The page that an HTTP proxy sends to people is not read."""
        error = self.refused(b"HTTP/1.1 403 No\r\nContent-Length: 99999\r\n\r\n<html>")
        self.assertEqual(error.code, 403)

    def test_the_ways_to_log_in_are_told(self) -> None:
        """With 407 the proxy says which it takes, in one header or several."""
        error = self.refused(
            b"HTTP/1.1 407 No\r\nProxy-Authenticate: Negotiate, NTLM\r\nProxy-authenticate: "
            b'Basic realm="a, b", charset="UTF-8"\r\nWWW-Authenticate: Digest x=1\r\n\r\n'
        )
        self.assertEqual(error.schemes, ("Negotiate", "NTLM", "Basic"))

    def test_hostile_words_are_escaped_and_bounded(self) -> None:
        """What a proxy says goes into messages, and may hold anything."""
        said = str(self.refused(b"HTTP/1.1 502 \x1b[2J\x07" + b"x" * 4000 + b"\r\n\r\n"))
        self.assertTrue(said.isprintable())
        self.assertLess(len(said), 400)

    def test_another_protocol_is_recognised(self) -> None:
        """Whatever is not HTTP/1 is an error that shows what came."""
        for answer in (
            b"220 mail.example.com ESMTP\r\n", b"HTTP/2 200\r\n", b"\r\n", b"ICY 200 OK\r\n",
            b"HTTP/1.1 2000 OK\r\n", b"HTTP/1.1 099 OK\r\n", b"HTTP/1.1 200\tOK\r\n",
            b"http/1.1 200 OK\r\n", b"\x15\x03\x01\x00\x02\x02\x0a\n",
        ):  # fmt: skip
            self.assertIn("expected an answer of HTTP/1.1", str(self.misbehaved(answer)))

    def test_a_broken_header_is_refused(self) -> None:
        """A line that is no header, or a folded line with none before it."""
        for line in (b"no colon", b": x", b" folded: first", b"a b: c", b"\x00: x"):
            self.misbehaved(b"HTTP/1.1 200 OK\r\n" + line + b"\r\n\r\n")

    def test_endless_headers_are_bounded(self) -> None:
        """Neither many headers, nor long ones, nor one without an end are read for ever."""
        for flood in (
            b"X: y\r\n" * 250,
            b"X: " + b"y" * 9000,
            (b"X: " + b"y" * 8000 + b"\r\n") * 9,
        ):
            self.misbehaved(b"HTTP/1.1 200 OK\r\n" + flood)
        self.misbehaved(b"HTTP/1.1 100 Continue\r\n\r\n" * 150)


class ProxyTests(SynchronousTestCase):
    """The proxy's side."""

    def test_only_a_known_user_is_connected(self) -> None:
        """With users, a request without a login or with another one is answered with 407."""
        good = negotiate(partial(connect, target=TARGET, credentials=LOGIN), serve_http_users)
        self.assertEqual(good.server.outcome, b"mail.example.com:465")
        for credentials in (None, Credentials("user", "x"), Credentials("x", "pass word")):
            sent = after_receiving(
                partial(connect, target=TARGET, credentials=credentials)
            ).data_to_send()
            _, answer = failure_after(serve_http_users, sent)
            self.assertIn(b"HTTP/1.1 407 ", answer)
            self.assertIn(b'Proxy-Authenticate: Basic realm="proxy"', answer)

    def test_anything_but_connect_is_refused(self) -> None:
        """Another method, another version, a target without a port: 400."""
        for line in (
            b"GET http://h/ HTTP/1.1", b"CONNECT h HTTP/1.1", b"CONNECT h:1 HTTP/2", b"CONNECT",
            b"CONNECT h:x HTTP/1.1", b"CONNECT [::1:1 HTTP/1.1", b"",
        ):  # fmt: skip
            _, answer = failure_after(serve, line + b"\r\n\r\n")
            self.assertEqual(answer, b"HTTP/1.1 400 Bad Request\r\n\r\n")
