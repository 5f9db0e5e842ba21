"""A host without scheme and port: the URLs that work are found."""

from __future__ import annotations

from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectingCancelledError
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase

from tests import certificates
from tests.loopback import LoopbackTestCase, Recorders
from txtransport import InvalidOption
from txtransport.cli.probe.report import Survey
from txtransport.cli.probe.survey import CANDIDATES, MAX_CONNECTIONS, Candidate, survey
from txtransport.starttls.protocols import STARTTLS_PROTOCOLS
from txtransport.testing.proxy import TestProxy


class CandidateTests(SynchronousTestCase):
    """The table of what is tried."""

    def test_mail_web_directories_and_databases_are_tried(self) -> None:
        """Mail, web, directories and databases are in the table, each with its own port."""
        urls = {str(candidate.url_for("a.example")) for candidate in CANDIDATES}
        for url in (
            "tls://a.example:25?starttls=smtp",
            "tls://a.example:587?starttls=smtp",
            "tls://a.example:465",
            "tls://a.example:143?starttls=imap",
            "tls://a.example:993",
            "tls://a.example:443",
            "tls://a.example:389?starttls=ldap",
            "tls://a.example:636",
            "tls://a.example:5432?starttls=postgres",
            "tls://a.example:3306?starttls=mysql",
        ):
            self.assertIn(url, urls)

    def test_no_url_is_tried_twice(self) -> None:
        """No URL is tried twice."""
        urls = [str(candidate.url_for("a.example")) for candidate in CANDIDATES]
        self.assertEqual(len(urls), len(set(urls)))

    def test_every_starttls_protocol_is_tried(self) -> None:
        """Every STARTTLS protocol for clients is tried, and none that is between servers."""
        missing = set(STARTTLS_PROTOCOLS) - {candidate.starttls for candidate in CANDIDATES}
        self.assertEqual(missing, {"xmpp-server"})

    def test_address_is_a_host(self) -> None:
        """An IPv6 address is a host as well."""
        self.assertEqual(str(Candidate("https", 443).url_for("::1")), "tls://[::1]:443")


class Silent(Protocol):
    """Accepts connections, and sends nothing."""


class SurveyTests(LoopbackTestCase):
    """Servers on loopback, and candidates that the tests choose."""

    async def surveyed(
        self, *candidates: Candidate, host: str = "localhost", **options: Any
    ) -> Survey:
        """Survey those candidates."""
        return await survey(
            self.reactor, host, {"cafile": certificates.cafile(), **options}, candidates=candidates
        )

    async def candidate(self, query: str = "", **options: Any) -> Candidate:
        """Start a server with a good certificate; its port as a candidate."""
        options = {"local_cert": certificates.site(), **options}
        port = await self.listening(f"tls://127.0.0.1:0{query}", Recorders(), **options)
        return Candidate("ours", port, query.partition("=")[2] or None)

    async def test_working_failing_and_silent_are_told_apart(self) -> None:
        """What is verified, what answers and fails, and what is silent are told apart."""
        good, imap = await self.candidate(), await self.candidate("?starttls=imap")
        other = certificates.issued("other-name.pem", "other.example")
        bad = await self.candidate(local_cert=other)
        nobody = Candidate("nobody", self.free_port())
        seen = await self.surveyed(bad, imap, nobody, good)
        self.assertEqual([report.url.port for report in seen.working], [imap.port, good.port])
        (failing,) = seen.failing
        assert failing.diagnosis is not None
        self.assertEqual((failing.url.port, failing.diagnosis.cause), (bad.port, "wrong-name"))
        self.assertEqual(seen.silent, (nobody.url_for("localhost"),))

    async def test_port_that_works_is_not_listed_as_failing(self) -> None:
        """A port that works with STARTTLS is not listed as failing without it."""
        smtp = await self.candidate("?starttls=smtp")
        seen = await self.surveyed(evolve(smtp, starttls=None), smtp)
        self.assertEqual((len(seen.answering), seen.failing), (2, ()))

    async def test_connections_and_time_are_bounded(self) -> None:
        """At most eight connections are open at the same time, each with its own deadline."""
        present: set[object] = set()
        most = 0

        class Counting(Silent):
            def connectionMade(self) -> None:
                nonlocal most
                present.add(self)
                most = max(most, len(present))

            def connectionLost(self, reason: Any = None) -> None:
                present.discard(self)

        port = await self.listening("tcp://127.0.0.1:0", Factory.forProtocol(Counting))
        began = self.reactor.seconds()
        seen = await self.surveyed(
            *[Candidate("silent", port)] * (MAX_CONNECTIONS * 2), timeout="0.2"
        )
        self.assertLess(self.reactor.seconds() - began, 5)
        self.assertEqual((most, len(seen.answering)), (MAX_CONNECTIONS, MAX_CONNECTIONS * 2))
        causes = {report.diagnosis.cause for report in seen.answering if report.diagnosis}
        self.assertEqual(causes, {"timeout"})

    async def test_behind_a_proxy_the_name_is_not_looked_up_here(self) -> None:
        """What the proxy cannot connect to is silent; the proxy looks the name up."""
        self.resolving()
        port = await self.listening(
            "tls://127.0.0.1:0", Factory.forProtocol(Silent), local_cert=certificates.site()
        )
        proxy = TestProxy(self.reactor, routes={
            f"mail.example:{port}": ("127.0.0.1", port),
            "mail.example:1": ("127.0.0.1", self.free_port()),
        })  # fmt: skip
        self.addCleanup(proxy.end)
        at = await self.listening("tcp://127.0.0.1:0", proxy)
        for kind in ("http", "socks5h"):
            found = await self.surveyed(
                Candidate("https", port), Candidate("smtp", 1, "smtp"),
                host="mail.example", proxy=f"{kind}://127.0.0.1:{at}", peer_name="localhost",
            )  # fmt: skip
            self.assertEqual([report.url.port for report in found.working], [port])
            self.assertEqual([url.port for url in found.silent], [1])

    async def test_unknown_name_is_reported_once(self) -> None:
        """A name without an address is reported once, and not for every port."""
        self.resolving()
        seen = await self.surveyed(Candidate("https", 443), host="nowhere.example")
        assert seen.diagnosis is not None
        self.assertEqual((seen.diagnosis.cause, seen.answering, seen.silent),
                         ("no-such-name", (), ()))  # fmt: skip

    async def test_wrong_option_raises_before_anything_is_opened(self) -> None:
        """A wrong option raises before anything is opened."""
        port = await self.listening("tcp://127.0.0.1:0", recorders := Recorders())
        with self.assertRaises(InvalidOption):
            await self.surveyed(Candidate("ours", port), cafile="/no/such/file")
        self.assertEqual(recorders.built, 0)

    async def test_cancelled_survey_leaves_nothing(self) -> None:
        """A survey that is cancelled leaves no connection."""
        port = await self.listening("tcp://127.0.0.1:0", recorders := Recorders())
        arrived = recorders.next()
        running = Deferred.fromCoroutine(self.surveyed(*[Candidate("silent", port)] * 12))
        server = await arrived
        running.cancel()
        await self.assertFailure(running, ConnectingCancelledError)
        await server.gone()
        for recorder in recorders.all:
            await self.end(recorder)

    async def test_progress_is_counted(self) -> None:
        """The caller is told how many have been tried."""
        messages: list[str] = []
        candidates = [Candidate("nobody", self.free_port())] * 3
        await survey(
            self.reactor, "127.0.0.1", {}, on_progress=messages.append, candidates=candidates
        )
        self.assertIn("tried 3 of 3 ways", messages)
