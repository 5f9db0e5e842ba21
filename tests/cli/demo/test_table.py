"""The table: each row is a connection that was made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast
from unittest import skipIf

from attrs import evolve
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectingCancelledError

import txtransport
from tests.cli.demo.samples import DemoTestCase
from tests.cli.demo.test_servers import NOWHERE
from txtransport import TransportURL
from txtransport.cli.demo import table
from txtransport.cli.demo.report import PLAIN, Form, RowOutcome
from txtransport.cli.demo.servers import DemoPeer, DemoServers
from txtransport.cli.demo.table import MORE, PHP, try_form, try_forms
from txtransport.config import schemes
from txtransport.config.schemes import SCHEMES


class FormTests(DemoTestCase):
    """What is asked for."""

    def test_every_form_of_php_s_manual_is_tried(self) -> None:
        """All forms of PHP's manual are tried, as they are written there, and three with ports."""
        self.assertEqual(
            " ".join(form.asked for form in PHP),
            "127.0.0.1 fe80::1 www.example.com tcp://127.0.0.1 tcp://fe80::1 "
            "tcp://www.example.com udp://www.example.com ssl://www.example.com "
            "sslv2://www.example.com sslv3://www.example.com tls://www.example.com "
            "tcp://127.0.0.1:80 tcp://[fe80::1]:80 tcp://www.example.com:80",
        )

    def test_every_available_transport_is_tried(self) -> None:
        """A row for each that a client can ask for, but for those that RFC 8996 deprecates."""
        shown = {form.asked.partition("://")[0] for form in (*PHP, *MORE)}
        available = {
            name for name, reason in txtransport.available_schemes().items() if reason is None
        }
        left_out = {
            name for name, scheme in SCHEMES.items() if scheme.is_weak or scheme.is_inherited
        }
        self.assertEqual(available - shown, left_out)


class TableTests(DemoTestCase):
    """What the forms come to on this machine."""

    async def test_every_row_is_right(self) -> None:
        """Every row connects or is refused, as it should."""
        rows = await try_forms(self.servers())
        self.assertEqual([row.form.asked for row in rows], [form.asked for form in (*PHP, *MORE)])
        self.assertEqual([row for row in rows if not row.is_right], [])

    async def test_bare_ipv6_address_is_tcp(self) -> None:
        """A bare IPv6 address is read as TCP, dialled at ::1, and answers."""
        row = await try_form(self.servers(), Form("fe80::1", PLAIN))
        if row.outcome is RowOutcome.SKIPPED:
            self.skipTest(row.reason)
        self.assertEqual(str(row.parsed), "tcp://[fe80::1]")
        assert row.dialled is not None and row.milliseconds is not None
        self.assertEqual(row.dialled.host, "::1")
        self.assertGreater(row.milliseconds, 0)
        self.assertEqual((row.result, row.session, row.reason), ("plain", None, ""))

    async def test_line_goes_over_udp_and_comes_back(self) -> None:
        """A line goes over UDP and comes back."""
        row = await try_form(self.servers(), Form("udp://www.example.com", PLAIN))
        self.assertEqual((row.outcome, row.result), (RowOutcome.CONNECTED, "plain"))

    async def test_tls_row_has_the_session_of_its_connection(self) -> None:
        """A TLS row has its connection's session, verified with the name that was asked for."""
        row = await try_form(self.servers(), Form("tlsv1.2://www.example.com", "TLSv1.2"))
        assert row.session is not None
        self.assertEqual(row.session.version, "TLSv1.2")
        self.assertEqual(row.session.server_name, "www.example.com")
        self.assertTrue(row.session.verified)

    async def test_second_connection_resumes_the_session(self) -> None:
        """The second connection to the same server resumes the session of the first."""
        servers, form = self.servers(), Form("tls://www.example.com", "TLSv1.3")
        first, second = (
            await try_form(servers, form),
            await try_form(servers, evolve(form, is_resumed=True)),
        )
        self.assertEqual((first.is_right, second.is_right), (True, True))
        assert first.session is not None and second.session is not None
        self.assertEqual((first.session.resumed, second.session.resumed), (False, True))

    async def test_refused_transport_is_not_dialled(self) -> None:
        """Without the extra SSL 3.0 is refused with how to get it, and nothing is dialled."""
        for module in (schemes, table):
            self.patch(module, "is_legacy_installed", lambda: False)
        row = await try_form(
            self.servers(), Form("sslv3://www.example.com", "SSLv3", is_broken=True)
        )
        self.assertTrue(row.is_right)
        self.assertIn("pip install 'txtransport[legacy]'", row.reason)
        self.assertEqual((row.outcome, row.dialled), (RowOutcome.REFUSED, None))
        self.assertIn("RFC 7568", row.reason)

    @skipIf(not schemes.is_legacy_installed(), "the extra txtransport[legacy] is not installed")
    async def test_with_the_extra_ssl_connects(self) -> None:
        """With the extra, both are connected and verified, each with a key of its own."""
        servers = self.servers()
        for form in (form for form in PHP if form.is_broken):
            row = await try_form(servers, form)
            self.assertEqual((row.outcome, row.result), (RowOutcome.CONNECTED, form.expected))
            assert row.session is not None
            self.assertTrue(row.session.verified)
        keys = {(servers.folder / f"{name}.pem").read_bytes() for name in ("sslv2", "sslv3")}
        self.assertEqual(len(keys), 2)

    async def test_rows_without_ipv6_are_skipped(self) -> None:
        """On a machine without IPv6 its rows say why they are skipped, and nothing is wrong."""
        rows = await try_forms(self.servers(ipv6=NOWHERE))
        skipped = [row for row in rows if row.outcome is RowOutcome.SKIPPED]
        self.assertEqual(
            [row.form.asked for row in skipped],
            ["fe80::1", "tcp://fe80::1", "tcp://[fe80::1]:80", "tls://[::1]:443"],
        )
        self.assertEqual({NOWHERE in row.reason for row in skipped}, {True})
        self.assertTrue(all(row.is_right for row in rows))


class ClosesAtOnce(DemoPeer):
    """Closes the connection at once."""

    def connectionMade(self) -> None:
        """Close."""
        super().connectionMade()
        cast(Any, self.transport).loseConnection()


class FailureTests(DemoTestCase):
    """A failure becomes a row that says so."""

    def servers_of(self, build: Callable[[], DemoPeer], wait: float) -> DemoServers:
        """Servers of which every one builds such peers."""

        class OddServers(DemoServers):
            async def served_url(self, asked: TransportURL) -> TransportURL:
                return await self.serve("tcp", build)

        servers = OddServers(self.reactor, self.folder(), wait=wait)
        self.addCleanup(servers.close)
        return servers

    async def test_form_that_cannot_be_read_fails(self) -> None:
        """A form that is no transport fails, with the message of the parser."""
        row = await try_form(self.servers(), Form("gopher://www.example.com", PLAIN))
        self.assertEqual((row.outcome, row.parsed), (RowOutcome.FAILED, None))
        self.assertIn("InvalidTransport: ", row.reason)
        self.assertIn("there is no transport 'gopher'", row.reason)

    async def test_certificate_for_another_name_fails(self) -> None:
        """A server whose certificate is for another name is a failure."""
        row = await try_form(self.servers(), Form("tls://other.example", "TLSv1.3"))
        self.assertEqual((row.outcome, row.is_right), (RowOutcome.FAILED, False))
        self.assertIn("HandshakeFailed: ", row.reason)
        self.assertIn("not for other.example", row.reason)

    async def test_silent_server_fails(self) -> None:
        """A connection over which nothing comes back is a failure."""
        row = await try_form(self.servers_of(DemoPeer, 0.1), Form("tcp://silent", PLAIN))
        self.assertEqual(row.outcome, RowOutcome.FAILED)
        self.assertIn("nothing came within", row.reason)

    async def test_server_that_hangs_up_fails(self) -> None:
        """A connection that ends before the line came back is a failure."""
        row = await try_form(self.servers_of(ClosesAtOnce, 5), Form("tcp://silent", PLAIN))
        self.assertEqual(row.outcome, RowOutcome.FAILED)
        self.assertIn("Connection", row.reason)

    async def test_rows_after_the_deadline_are_not_tried(self) -> None:
        """When the demo's time is over, the rest of the rows say that they were not tried."""
        row = await try_form(self.servers(total=0.0), Form("tcp://www.example.com", PLAIN))
        self.assertIn("not tried", row.reason)
        self.assertEqual(row.outcome, RowOutcome.FAILED)

    async def test_cancelling_is_not_failing(self) -> None:
        """A cancelled row raises, and is not reported as failed, so that the demo ends at once."""
        trying = Deferred.fromCoroutine(
            try_form(self.servers_of(DemoPeer, 5), Form("tcp://silent", PLAIN))
        )
        trying.cancel()
        with self.assertRaises((CancelledError, ConnectingCancelledError)):
            await trying
