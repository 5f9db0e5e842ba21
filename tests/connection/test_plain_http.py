"""The answer to plain HTTP on a port for TLS, and TLS on a port in the clear."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.protocol import Factory
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from tests import certificates
from tests.loopback import LoopbackTestCase, Recorder, Recorders
from txtransport.connection.plain_http import plain_http_answer


class AnswerTests(SynchronousTestCase):
    """The answer to any first bytes."""

    def test_the_answer_names_the_https_url(self) -> None:
        """A browser shows the URL to use: the host that it asked for, under https."""
        rows = {
            b"GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n": b"https://www.example.com/",
            b"POST /x HTTP/1.0\r\nA: b\r\nhost: h:8443\r\n\r\n": b"https://h:8443/",
            b"HEAD / HTTP/1.1\nHost: [::1]:8443\n\n": b"https://[::1]:8443/",
        }
        for request, url in rows.items():
            answer = plain_http_answer(request)
            self.assertTrue(answer.startswith(b"HTTP/1.1 400 Bad Request\r\n"))
            self.assertIn(url, answer)
            head, _, body = answer.partition(b"\r\n\r\n")
            self.assertIn(b"Content-Length: %d\r\n" % len(body), head)

    def test_what_is_no_host_is_not_repeated(self) -> None:
        """Of what the client sends, only a valid host name comes back."""
        for host in (b"<script>", b"a b", b"a\x1b[2J", b"x" * 300, b"", b"h:999999"):
            answer = plain_http_answer(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
            self.assertIn("use https://…\n".encode(), answer)

    def test_other_protocols_get_no_answer(self) -> None:
        """What is no HTTP request gets no answer, least of all a ClientHello."""
        for said in (b"", b"GET", b"EHLO x\r\n", b"\x16\x03\x01", b"PRI * HTTP/2.0\r\n"):
            self.assertEqual(plain_http_answer(said), b"")

    @given(st.binary(max_size=5000))
    def test_no_bytes_make_a_long_answer(self, said: bytes) -> None:
        """Whatever follows the request line, the answer is short."""
        self.assertLess(len(plain_http_answer(b"GET / HTTP/1.1\r\n" + said)), 600)


class PortTests(LoopbackTestCase):
    """Over a real port."""

    async def test_a_plain_http_request_gets_an_answer(self) -> None:
        """A browser that was given http:// for https:// gets the answer; no protocol is built."""
        factory = Recorders()
        port = await self.listening("tls://127.0.0.1:0", factory, local_cert=certificates.site())
        client = await self.connected(f"tcp://127.0.0.1:{port}")
        client.say(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await client.gone()
        self.assertIn(b"use https://localhost/\n", client.received)
        self.assertEqual(factory.all, [])

    async def test_tls_at_a_port_in_the_clear_is_logged_once(self) -> None:
        """The application hears the bytes all the same: it may pass TLS on."""
        with capturedLogs() as events:
            factory = Recorders()
            port = await self.listening("tcp://127.0.0.1:0", factory)
            for _ in range(2):
                arriving = factory.next()
                client = await self.connected(f"tcp://127.0.0.1:{port}")
                client.say(b"\x16\x03\x01")
                server = await arriving
                await server.heard(b"\x16\x03\x01")
                await self.end(client)
        told = [formatEvent(event) for event in events if "in the clear" in str(formatEvent(event))]
        self.assertEqual(len(told), 1, told)
        self.assertIn("it wants tls:// there", str(told[0]))

    async def test_a_tls_alert_to_a_plain_client_is_logged(self) -> None:
        """The log says that the port wants tls://, whatever the application makes of the bytes."""
        port = await self.listening("tcp://127.0.0.1:0", Alerting())
        with capturedLogs() as events:
            client = await self.connected(f"tcp://127.0.0.1:{port}")
            await client.heard(b"\x15\x03")
        told = [str(formatEvent(event)) for event in events]
        self.assertTrue(any("this port wants tls://" in text for text in told), told)


class Alerting(Factory):
    """A TLS server that answers every client with an alert."""

    noisy = False

    def buildProtocol(self, addr: object) -> Recorder:
        recorder = Recorder()
        recorder.made.addCallback(lambda _: recorder.say(b"\x15\x03\x01\x00\x02\x02\x46"))
        return recorder
