"""One connection is made, as any client would make it, and reported."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.error import ConnectingCancelledError
from twisted.internet.protocol import Factory, Protocol

import txtransport
from tests import certificates
from tests.loopback import LoopbackTestCase, Recorders
from txtransport import InvalidOption, InvalidTransport, TransportURL
from txtransport.cli.probe.document import as_document
from txtransport.cli.probe.probing import probe
from txtransport.cli.probe.report import AddressOutcome, ProbeReport, ProbeStage
from txtransport.cli.probe.text import as_text
from txtransport.cli.terminal import TerminalStyle
from txtransport.testing.proxy import TestProxy
from txtransport.tls.connection import MAX_FIRST_BYTES


class Greeter(Protocol):
    """Sends lines at once, more than a probe keeps."""

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(b"hello\r\n" * 40)


class ProbingTests(LoopbackTestCase):
    """Probes of peers on loopback."""

    async def probed(self, url: str, **options: Any) -> ProbeReport:
        """Probe a URL; progress is noted."""
        self.messages: list[str] = []
        return await probe(
            self.reactor, TransportURL.parse(url), options, wait=2, on_progress=self.messages.append
        )

    async def serving(self, query: str = "", factory: Any = None, **options: Any) -> str:
        """Start a server that greets; its URL."""
        factory = factory or Factory.forProtocol(Greeter)
        port = await self.listening(
            f"tls://127.0.0.1:0{query}", factory, local_cert=certificates.site(), **options
        )
        return f"tls://localhost:{port}{query}"

    async def test_good_connection_is_reported_whole(self) -> None:
        """The session, the chain, the stages and the address of a good connection are reported."""
        report = await self.probed(
            await self.serving("?starttls=smtp"), cafile=certificates.cafile()
        )
        self.assertTrue(report.is_connected and report.is_verified)
        assert report.session is not None
        self.assertEqual((report.session.version, report.session.resumed), ("TLSv1.3", False))
        self.assertEqual([each.subject for each in report.chain], ["CN=localhost"])
        stages = [stage for stage in ProbeStage if stage is not ProbeStage.PROXY]
        self.assertEqual([span.stage for span in report.spans], stages)
        ends = [span.end for span in report.spans]
        self.assertEqual(ends, sorted(ends))
        # Where localhost is ::1, too, that is tried first, and nothing listens there.
        address = report.addresses[-1]
        self.assertEqual((address.host, address.outcome), ("127.0.0.1", AddressOutcome.CONNECTED))
        messages = [doing for doing in self.messages if doing != "connecting to ::1"]
        self.assertEqual(messages[:4], ["looking up localhost", "connecting to 127.0.0.1",
                                    "negotiating", "shaking hands"])  # fmt: skip

    async def test_a_proxy_is_a_stage_of_its_own(self) -> None:
        """The addresses are the proxy's, and neither report nor progress has its password."""
        url = await self.serving("?starttls=smtp")
        port = url.partition("?")[0].rpartition(":")[2]
        proxy = TestProxy(
            self.reactor, {"user": "hunter2"}, {f"mail.example:{port}": ("127.0.0.1", int(port))}
        )
        self.addCleanup(proxy.end)
        at = await self.listening("tcp://127.0.0.1:0", proxy)
        for login, failed in (("user:hunter2", None), ("user:wrong", ProbeStage.PROXY)):
            report = await self.probed(
                f"tls://mail.example:{port}?starttls=smtp", cafile=certificates.cafile(),
                peer_name="localhost", proxy=f"http://{login}@127.0.0.1:{at}",
            )  # fmt: skip
            self.assertIs(report.failed_stage, failed, report.diagnosis)
            self.assertEqual(report.is_verified, failed is None)
            self.assertEqual(report.is_silent, failed is not None)
            self.assertEqual([each.host for each in report.addresses], ["127.0.0.1"])
            now = datetime.now(timezone.utc)
            texts = (
                as_text(report, TerminalStyle(), now),
                json.dumps(as_document(report, now)),
                " ".join(self.messages),
            )
            for text in texts:
                for secret in ("hunter2", "wrong"):
                    self.assertNotIn(secret, text)
            self.assertIn(f"addresses of the proxy http://user:***@127.0.0.1:{at}", texts[0])
            self.assertIn(f'"proxy": "http://user:***@127.0.0.1:{at}"', texts[1])
            self.assertEqual(self.messages[:2], ["connecting to 127.0.0.1", "asking the proxy"])
            if failed is None:
                self.assertEqual([span.stage for span in report.spans], [*ProbeStage])

    async def test_first_bytes_are_the_peer_s_and_bounded(self) -> None:
        """The first bytes are the peer's, without the outcome of STARTTLS, up to a bound."""
        report = await self.probed(
            await self.serving("?starttls=smtp"), cafile=certificates.cafile()
        )
        assert report.first_byte is not None
        self.assertEqual(report.first_byte.data, (b"hello\r\n" * 40)[:MAX_FIRST_BYTES])

    async def test_second_connection_shows_resumption(self) -> None:
        """A second connection resumes the session, unless there are no tickets."""
        cafile = certificates.cafile()
        for version in ("1.2", "1.3"):
            url = await self.serving(max_version=version)
            self.assertIs((await self.probed(url, cafile=cafile)).is_resumed, True)
        url = await self.serving()
        self.assertIs((await self.probed(url, cafile=cafile, no_ticket=True)).is_resumed, False)

    async def test_failing_second_connection_is_no_failure(self) -> None:
        """When a second connection fails, the first is reported as it was."""
        server = txtransport.server(
            self.reactor, "tls://127.0.0.1:0", local_cert=certificates.site()
        )
        port: Any = await server.listen(Factory.forProtocol(Greeter))
        stopped: list[Deferred[Any]] = []

        def on_progress(doing: str) -> None:
            if "again" in doing:
                stopped.append(maybeDeferred(port.stopListening))

        url = TransportURL.parse(f"tls://localhost:{port.getHost().port}")
        options = {"cafile": certificates.cafile()}
        report = await probe(self.reactor, url, options, on_progress=on_progress)
        await stopped[0]
        self.assertEqual((report.is_verified, report.is_resumed), (True, None))

    async def test_plain_connection_has_no_session_and_is_not_verified(self) -> None:
        """Without TLS there is no session and nothing to resume, and nothing is verified."""
        port = await self.listening("tcp://127.0.0.1:0", Factory.forProtocol(Greeter))
        report = await self.probed(f"tcp://127.0.0.1:{port}")
        self.assertEqual((report.is_connected, report.is_verified), (True, False))
        self.assertEqual((report.is_resumed, report.session), (None, None))

    async def test_local_socket_has_its_path_as_address(self) -> None:
        """A local socket has a path where others have an address."""
        path = self.socket_path()
        await self.listening(f"unix://{path}", Factory.forProtocol(Greeter))
        report = await self.probed(f"unix://{path}")
        self.assertTrue(report.is_connected)
        self.assertEqual([(each.host, each.outcome) for each in report.addresses],
                         [(path, AddressOutcome.CONNECTED)])  # fmt: skip

    async def test_every_address_tried_is_reported(self) -> None:
        """Each address that was tried is reported, with why it failed."""
        self.resolving(**{"two.example": ["127.0.0.2", "127.0.0.1"]})
        port = await self.listening("tcp://127.0.0.1:0", Factory.forProtocol(Greeter))
        report = await self.probed(f"tcp://two.example:{port}")
        first, second = report.addresses
        assert first.diagnosis is not None
        self.assertEqual((first.host, first.diagnosis.cause), ("127.0.0.2", "refused"))
        self.assertEqual((second.host, second.outcome), ("127.0.0.1", AddressOutcome.CONNECTED))

    async def test_allowed_plaintext_is_connected_and_not_verified(self) -> None:
        """With starttls_policy=may a peer without TLS is connected, and not verified."""

        class NoTLS(Protocol):
            def connectionMade(self) -> None:
                assert self.transport is not None
                self.transport.write(b"220 a ESMTP\r\n")

            def dataReceived(self, data: bytes) -> None:
                assert self.transport is not None
                self.transport.write(b"250 a\r\n")

        port = await self.listening("tcp://127.0.0.1:0", Factory.forProtocol(NoTLS))
        report = await self.probed(f"tls://127.0.0.1:{port}?starttls=smtp&starttls_policy=may")
        self.assertEqual((report.is_connected, report.session), (True, None))

    async def test_wrong_url_or_option_raises(self) -> None:
        """A wrong URL or option raises, and makes no report."""
        with self.assertRaises(InvalidTransport):
            await self.probed("tls://localhost")
        with self.assertRaises(InvalidOption):
            await self.probed("tls://localhost:1", cafile="/no/such/file")

    async def test_unavailable_transport_is_not_tried(self) -> None:
        """A transport that is unavailable is not tried, and the report says why."""
        report = await self.probed("sslv3://localhost:1")
        assert report.diagnosis is not None
        self.assertEqual((report.diagnosis.cause, report.spans), ("unavailable", ()))
        self.assertEqual((report.milliseconds, report.failed_stage), (0.0, None))

    async def test_peer_that_does_not_close_is_not_waited_for(self) -> None:
        """A peer that does not close its side is not waited for."""
        recorders = Recorders()
        url = await self.serving(factory=recorders)
        arrived = recorders.next()
        transport, options = TransportURL.parse(url), {"cafile": certificates.cafile()}
        running = Deferred.fromCoroutine(
            probe(self.reactor, transport, options, wait=0.05, is_again=False)
        )
        server = await arrived
        server.transport.pauseProducing()  # type: ignore[union-attr]
        report = await running
        self.assertTrue(report.is_verified)
        server.transport.resumeProducing()  # type: ignore[union-attr]
        await server.gone()

    async def test_cancelled_probe_leaves_nothing(self) -> None:
        """A probe that is cancelled, at any moment, ends and leaves no connection."""
        recorders = Recorders()
        url = await self.serving(factory=recorders)
        for moment in ("connecting to", "shaking", "waiting", "again"):
            reached: Deferred[None] = Deferred()

            def on_progress(
                doing: str, moment: str = moment, reached: Deferred[None] = reached
            ) -> None:
                if moment in doing and not reached.called:
                    reached.callback(None)

            options = {"cafile": certificates.cafile()}
            running = Deferred.fromCoroutine(
                probe(
                    self.reactor,
                    TransportURL.parse(url),
                    options,
                    wait=0.2,
                    on_progress=on_progress,
                )
            )
            await reached
            await self.turn()
            running.cancel()
            await self.assertFailure(running, CancelledError, ConnectingCancelledError)
            for recorder in recorders.all:
                await self.end(recorder)
