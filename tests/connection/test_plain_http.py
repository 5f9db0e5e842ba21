"""What whoever speaks HTTP to a port of TLS is told."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.protocol import Factory
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from tests import certificates
from tests.loopback import LoopbackTestCase, Recorder, Recorders
from txtransport.connection.plain_http import plain_http_answer


class DirectionsTests(SynchronousTestCase):
    """The answer, to any bytes."""

    def test_the_right_url_is_named(self) -> None:
        """A browser shows where to go: the host that it asked for, under https."""
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

    def test_a_host_that_is_none_is_not_repeated(self) -> None:
        """What the stranger sends comes back only if it is a host's name."""
        for host in (b"<script>", b"a b", b"a\x1b[2J", b"x" * 300, b"", b"h:999999"):
            answer = plain_http_answer(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
            self.assertIn("use https://…\n".encode(), answer)

    def test_others_get_nothing(self) -> None:
        """Whoever speaks no HTTP is told nothing, least of all a ClientHello."""
        for said in (b"", b"GET", b"EHLO x\r\n", b"\x16\x03\x01", b"PRI * HTTP/2.0\r\n"):
            self.assertEqual(plain_http_answer(said), b"")

    @given(st.binary(max_size=5000))
    def test_any_bytes(self, said: bytes) -> None:
        """No bytes make a long answer."""
        self.assertLess(len(plain_http_answer(b"GET / HTTP/1.1\r\n" + said)), 600)


class PortTests(LoopbackTestCase):
    """Over a real port."""

    async def test_a_browser_that_forgot_the_s(self) -> None:
        """It gets the answer, the log gets the reason, and no guest is built."""
        factory = Recorders()
        port = await self.listening("tls://127.0.0.1:0", factory, local_cert=certificates.site())
        client = await self.connected(f"tcp://127.0.0.1:{port}")
        client.say(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await client.gone()
        self.assertIn(b"use https://localhost/\n", client.received)
        self.assertEqual(factory.all, [])

    async def test_tls_at_a_port_in_the_clear(self) -> None:
        """The log says it once, and the guest hears the bytes: it may pass TLS on."""
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

    async def test_an_alert_where_plain_text_was_expected(self) -> None:
        """A client in the clear hears of TLS's alert in the log, whatever its guest makes of it."""
        port = await self.listening("tcp://127.0.0.1:0", Alerting())
        with capturedLogs() as events:
            client = await self.connected(f"tcp://127.0.0.1:{port}")
            await client.heard(b"\x15\x03")
        told = [str(formatEvent(event)) for event in events]
        self.assertTrue(any("this port wants tls://" in text for text in told), told)


class Alerting(Factory):
    """A server of TLS that refuses whoever comes."""

    noisy = False

    def buildProtocol(self, addr: object) -> Recorder:
        recorder = Recorder()
        recorder.made.addCallback(lambda _: recorder.say(b"\x15\x03\x01\x00\x02\x02\x46"))
        return recorder
