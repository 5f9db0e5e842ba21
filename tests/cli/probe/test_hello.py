"""A port that is silent in the clear is asked once whether it speaks TLS."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectingCancelledError
from twisted.internet.protocol import Factory, Protocol

from tests import certificates
from tests.loopback import LoopbackTestCase, Recorders
from txtransport import TransportURL
from txtransport.cli.probe import probing, recorder
from txtransport.cli.probe.probing import probe
from txtransport.cli.probe.report import ProbeReport
from txtransport.starttls.tls_record import begins_hello
from txtransport.testing.devcert import self_signed


class Answerer(Protocol):
    """Answers the first bytes that arrive, and keeps them."""

    def __init__(self, answers: Answering) -> None:
        self._answers = answers

    def dataReceived(self, data: bytes) -> None:
        self._answers.heard.append(data)
        assert self.transport is not None
        self.transport.write(self._answers.answer)
        if self._answers.is_over:
            self.transport.loseConnection()


class Answering(Factory):
    """A factory of `Answerer`s.

    Args:
        answer: What they answer.
        is_over: Whether they hang up then.

    Attributes:
        heard: The segments that arrived, of all connections.
        built: How many connections there were.
    """

    noisy = False

    def __init__(self, answer: bytes = b"", *, is_over: bool = False) -> None:
        self.answer = answer
        self.is_over = is_over
        self.heard: list[bytes] = []
        self.built = 0

    def buildProtocol(self, addr: object) -> Answerer:
        self.built += 1
        return Answerer(self)


class HelloTests(LoopbackTestCase):
    """Probes in the clear of ports that wait for the client."""

    async def probed(self, url: str, **options: Any) -> ProbeReport:
        """Probe a URL, with a short wait for the first byte."""
        return await probe(self.reactor, TransportURL.parse(url), options, wait=0.05)

    async def answered(self, answers: Answering, **options: Any) -> ProbeReport:
        """Probe a peer in the clear that answers like that."""
        port = await self.listening("tcp://127.0.0.1:0", answers)
        return await self.probed(f"localhost:{port}", **options)

    async def test_port_with_tls_is_recognised_without_a_scheme(self) -> None:
        """host:port is asked in the clear; a server of TLS is recognised, with its URL."""
        port = await self.listening(
            "tls://127.0.0.1:0", Recorders(), local_cert=certificates.site()
        )
        for url in (f"localhost:{port}", f"tcp://localhost:{port}"):
            report = await self.probed(url)
            self.assertEqual(report.hint, f"This port speaks TLS: probe tls://localhost:{port}")
            self.assertIs(report.speaks_tls, True)
            self.assertEqual((report.is_connected, report.is_verified), (True, False))

    async def test_certificate_does_not_matter(self) -> None:
        """Whether the certificate would be accepted is not asked: the port speaks TLS anyway."""
        made = self_signed("other.example", days=0.001)
        path = certificates.written("hello.pem", made.pem)
        port = await self.listening("tls://127.0.0.1:0", Recorders(), local_cert=path)
        self.assertIs((await self.probed(f"localhost:{port}")).speaks_tls, True)

    async def test_alert_is_tls_as_well(self) -> None:
        """A server that refuses our hello by an alert, as for an unknown name, speaks TLS."""
        report = await self.answered(Answering(b"\x15\x03\x03\x00\x02\x02\x70", is_over=True))
        self.assertIs(report.speaks_tls, True)

    async def test_nothing_is_said_but_one_hello(self) -> None:
        """There is one more connection, and a ClientHello with the name is all that is said."""
        answers = Answering(b"\x16\x03\x03\x00\x7a\x02\x00")
        await self.answered(answers)
        self.assertEqual(answers.built, 2)
        (hello,) = answers.heard
        self.assertTrue(begins_hello(hello))
        self.assertEqual(len(hello), 5 + int.from_bytes(hello[3:5], "big"))
        self.assertIn(b"\x00\x00\x09localhost", hello)

    async def test_plain_text_in_answer_is_named(self) -> None:
        """A server that answers the hello in plain text is named, and speaks no TLS."""
        report = await self.answered(Answering(b"HTTP/1.1 400 Bad Request\r\n\r\n", is_over=True))
        self.assertIs(report.speaks_tls, False)
        self.assertIn("a plain-text HTTP server", report.hint)

    async def test_few_bytes_are_not_taken_for_tls(self) -> None:
        """One byte of TLS, or none, is no sign that a port speaks it."""
        for answer in (b"\x16", b"\x15", b""):
            report = await self.answered(Answering(answer, is_over=True))
            self.assertEqual((report.speaks_tls, report.hint), (False, ""))

    async def test_usual_protocol_of_the_port_is_named(self) -> None:
        """At the port of a protocol that begins in the clear, its URL is named."""
        for answer in (b"", b"\x15\x03\x03\x00\x02\x02\x78"):
            answers = Answering(answer, is_over=True)
            port = await self.listening("tcp://127.0.0.1:0", answers)
            self.patch(recorder, "USUAL_STARTTLS", {port: "postgres"})
            report = await self.probed(f"localhost:{port}")
            self.assertIs(report.speaks_tls, bool(answer))
            self.assertIn(f"tls://localhost:{port}?starttls=postgres", report.hint)

    async def test_url_can_be_copied_into_a_shell(self) -> None:
        """A URL with characters of the shell stands in quotes."""
        port = await self.listening(
            "tls://127.0.0.1:0", Recorders(), local_cert=certificates.site()
        )
        report = await self.probed(f"tcp://localhost:{port}?tcp_nodelay=no&so_keepalive=yes")
        self.assertTrue(
            report.hint.endswith(f"probe 'tls://localhost:{port}?tcp_nodelay=no&so_keepalive=yes'"),
            report.hint,
        )

    async def test_peer_that_speaks_is_not_asked(self) -> None:
        """A peer that says something of its own accord, or hangs up, is not asked."""

        class Speaking(Answerer):
            def connectionMade(self) -> None:
                assert self.transport is not None
                self.transport.write(self._answers.answer)
                self.transport.loseConnection()

        for said in (b"220 a ESMTP\r\n", b""):
            answers = Answering(said)
            self.patch(answers, "buildProtocol", lambda addr, made=answers: _count(made, Speaking))
            report = await self.answered(answers)
            self.assertEqual((report.speaks_tls, answers.built), (None, 1))

    async def test_local_socket_is_not_asked(self) -> None:
        """A local socket is asked nothing: whose it is, is known on this machine."""
        path, answers = self.socket_path(), Answering()
        await self.listening(f"unix://{path}", answers)
        report = await self.probed(f"unix://{path}")
        self.assertEqual((report.speaks_tls, answers.built), (None, 1))

    async def test_allowed_plain_text_is_not_asked(self) -> None:
        """A URL with TLS that goes on in the clear, as it may, is not asked once more."""
        answers = Answering(b"220 a ESMTP\r\n")
        port = await self.listening("tcp://127.0.0.1:0", answers)
        url = f"tls://127.0.0.1:{port}?starttls=smtp&starttls_policy=may"
        report = await self.probed(url, timeout=1)
        self.assertIsNone(report.speaks_tls)

    async def test_answer_is_awaited_in_what_is_left_of_the_time(self) -> None:
        """The wait ends with the timeout of the whole attempt, wherever that is given."""
        for query, options in (("?timeout=0.2", {}), ("", {"timeout": "0.2"})):
            port = await self.listening("tcp://127.0.0.1:0", Answering())
            began = self.reactor.seconds()
            report = await self.probed(f"tcp://localhost:{port}{query}", **options)
            self.assertIs(report.speaks_tls, False)
            self.assertLess(self.reactor.seconds() - began, 2)

    async def test_wait_for_the_answer_has_a_bound_of_its_own(self) -> None:
        """However much time there is, the answer is awaited for some seconds only."""
        self.patch(probing, "HELLO_WAIT", 0.1)
        report = await self.answered(Answering())
        self.assertIs(report.speaks_tls, False)

    async def test_no_time_left_is_no_question(self) -> None:
        """When the wait for the first byte has used all the time, nothing more is asked."""
        answers = Answering()
        report = await self.answered(answers, timeout=0.05)
        self.assertEqual((report.speaks_tls, answers.built), (None, 1))

    async def test_failing_second_connection_is_no_failure(self) -> None:
        """When the second connection fails, the first is reported as it was."""

        async def refuse(*arguments: object) -> None:
            raise ConnectionRefusedError

        self.patch(probing, "HELLO_WAIT", 0.2)
        from txtransport.cli.probe import hello

        self.patch(hello, "connect_protocol", refuse)
        report = await self.answered(Answering())
        self.assertTrue(report.is_connected)
        self.assertIsNone(report.speaks_tls)

    async def test_cancelled_question_leaves_nothing(self) -> None:
        """Ctrl-C while the answer is awaited ends the probe and leaves no connection."""
        recorders = Recorders()
        port = await self.listening("tcp://127.0.0.1:0", recorders)
        reached: Deferred[None] = Deferred()

        def on_progress(doing: str) -> None:
            if "asking" in doing:
                reached.callback(None)

        running = Deferred.fromCoroutine(
            probe(
                self.reactor, TransportURL.parse(f"tcp://127.0.0.1:{port}"), {}, wait=0.01,
                on_progress=on_progress,
            )
        )  # fmt: skip
        await reached
        await recorders.next()
        running.cancel()
        await self.assertFailure(running, CancelledError, ConnectingCancelledError)
        for each in recorders.all:
            await each.gone()


def _count(answers: Answering, kind: type[Answerer]) -> Answerer:
    answers.built += 1
    return kind(answers)
