"""The table: each row is a conversation that was held."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from attrs import evolve
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectingCancelledError

import txtransport
from tests.cli.demo.samples import StageTestCase
from tests.cli.demo.test_servers import NOWHERE
from txtransport import TransportURL
from txtransport.cli.demo.report import PLAIN, Form, RowOutcome
from txtransport.cli.demo.servers import DemoPeer, DemoServers
from txtransport.cli.demo.table import MORE, PHP, row, table
from txtransport.config.schemes import SCHEMES


class FormTests(StageTestCase):
    """What is asked for."""

    def test_the_forms_of_php_s_manual(self) -> None:
        """All of the manual's forms are there, as they stand there, and three with ports."""
        self.assertEqual(
            " ".join(form.asked for form in PHP),
            "127.0.0.1 fe80::1 www.example.com tcp://127.0.0.1 tcp://fe80::1 "
            "tcp://www.example.com udp://www.example.com ssl://www.example.com "
            "sslv2://www.example.com sslv3://www.example.com tls://www.example.com "
            "tcp://127.0.0.1:80 tcp://[fe80::1]:80 tcp://www.example.com:80",
        )

    def test_every_transport_is_shown(self) -> None:
        """Whatever can be had has a row, but what RFC 8996 deprecates."""
        shown = {form.asked.partition("://")[0] for form in (*PHP, *MORE)}
        available = {
            name for name, reason in txtransport.available_schemes().items() if reason is None
        }
        self.assertEqual(
            available - shown, {name for name, scheme in SCHEMES.items() if scheme.is_weak}
        )


class TableTests(StageTestCase):
    """What comes of it."""

    async def test_all_is_as_it_should_be(self) -> None:
        """Every row connects or is refused, as it should."""
        rows = await table(self.stage())
        self.assertEqual([seen.form for seen in rows], [*PHP, *MORE])
        self.assertEqual([seen for seen in rows if not seen.is_right], [])

    async def test_a_plain_row(self) -> None:
        """A bare IPv6 address is read as TCP, dialled at ::1, and answers."""
        seen = await row(self.stage(), Form("fe80::1", PLAIN))
        if seen.outcome is RowOutcome.SKIPPED:
            self.skipTest(seen.reason)
        self.assertEqual(str(seen.parsed), "tcp://[fe80::1]")
        assert seen.dialled is not None and seen.milliseconds is not None
        self.assertEqual(seen.dialled.host, "::1")
        self.assertGreater(seen.milliseconds, 0)
        self.assertEqual((seen.result, seen.session, seen.reason), ("plain", None, ""))

    async def test_datagrams(self) -> None:
        """A line goes over UDP and comes back."""
        seen = await row(self.stage(), Form("udp://www.example.com", PLAIN))
        self.assertEqual((seen.outcome, seen.result), (RowOutcome.CONNECTED, "plain"))

    async def test_a_tls_row(self) -> None:
        """The session is that of the connection, with the name that was asked for."""
        seen = await row(self.stage(), Form("tlsv1.2://www.example.com", "TLSv1.2"))
        assert seen.session is not None
        self.assertEqual(seen.session.version, "TLSv1.2")
        self.assertEqual(seen.session.server_name, "www.example.com")
        self.assertTrue(seen.session.verified)

    async def test_a_session_is_resumed(self) -> None:
        """The second connection to the same place takes up the session of the first."""
        stage, form = self.stage(), Form("tls://www.example.com", "TLSv1.3")
        first, second = await row(stage, form), await row(stage, evolve(form, is_resumed=True))
        self.assertEqual((first.is_right, second.is_right), (True, True))
        assert first.session is not None and second.session is not None
        self.assertEqual((first.session.resumed, second.session.resumed), (False, True))

    async def test_a_refusal(self) -> None:
        """SSL 3.0 is refused, with the reason, and nothing is dialled."""
        seen = await row(self.stage(), Form("sslv3://www.example.com", "refused"))
        self.assertEqual((seen.outcome, seen.dialled), (RowOutcome.REFUSED, None))
        self.assertIn("RFC 7568", seen.reason)

    async def test_without_ipv6(self) -> None:
        """On a machine without IPv6 its rows say why they are skipped, and nothing is wrong."""
        rows = await table(self.stage(ipv6=NOWHERE))
        skipped = [seen for seen in rows if seen.outcome is RowOutcome.SKIPPED]
        self.assertEqual(
            [seen.form.asked for seen in skipped],
            ["fe80::1", "tcp://fe80::1", "tcp://[fe80::1]:80", "tls://[::1]:443"],
        )
        self.assertEqual({NOWHERE in seen.reason for seen in skipped}, {True})
        self.assertTrue(all(seen.is_right for seen in rows))


class HangsUp(DemoPeer):
    """Says goodbye at once."""

    def connectionMade(self) -> None:
        """Goodbye."""
        super().connectionMade()
        cast(Any, self.transport).loseConnection()


class FailureTests(StageTestCase):
    """What goes wrong becomes a row that says so."""

    def odd(self, build: Callable[[], DemoPeer], wait: float) -> DemoServers:
        """A stage on which every server behaves like that."""

        class Odd(DemoServers):
            async def served_url(self, asked: TransportURL) -> TransportURL:
                return await self.serve("tcp", build)

        stage = Odd(self.reactor, self.folder(), wait=wait)
        self.addCleanup(stage.close)
        return stage

    async def test_what_cannot_be_read(self) -> None:
        """A form that is no transport fails, with the words of the parser."""
        seen = await row(self.stage(), Form("gopher://www.example.com", PLAIN))
        self.assertEqual((seen.outcome, seen.parsed), (RowOutcome.FAILED, None))
        self.assertIn("InvalidTransport: ", seen.reason)
        self.assertIn("there is no transport 'gopher'", seen.reason)

    async def test_a_certificate_for_others(self) -> None:
        """A name that the certificate is not for fails, and is not passed over."""
        seen = await row(self.stage(), Form("tls://other.example", "TLSv1.3"))
        self.assertEqual((seen.outcome, seen.is_right), (RowOutcome.FAILED, False))
        self.assertIn("HandshakeFailed: ", seen.reason)
        self.assertIn("not for other.example", seen.reason)

    async def test_a_server_that_does_not_answer(self) -> None:
        """A connection over which nothing comes back is no success."""
        seen = await row(self.odd(DemoPeer, 0.1), Form("tcp://silent", PLAIN))
        self.assertEqual(seen.outcome, RowOutcome.FAILED)
        self.assertIn("nothing came within", seen.reason)

    async def test_a_server_that_hangs_up(self) -> None:
        """A connection that ends before the line came back is no success."""
        seen = await row(self.odd(HangsUp, 5), Form("tcp://silent", PLAIN))
        self.assertEqual(seen.outcome, RowOutcome.FAILED)
        self.assertIn("Connection", seen.reason)

    async def test_no_time_is_left(self) -> None:
        """When the demo's time is over, the rest of the rows say that they were not tried."""
        seen = await row(self.stage(total=0.0), Form("tcp://www.example.com", PLAIN))
        self.assertIn("not tried", seen.reason)
        self.assertEqual(seen.outcome, RowOutcome.FAILED)

    async def test_cancelling_is_not_failing(self) -> None:
        """A row that is cancelled is no row, so that the demo ends at once."""
        trying = Deferred.fromCoroutine(row(self.odd(DemoPeer, 5), Form("tcp://silent", PLAIN)))
        trying.cancel()
        with self.assertRaises((CancelledError, ConnectingCancelledError)):
            await trying
