"""``txtransport probe``, as a shell and a terminal see it."""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import re
import shlex
import shutil
import struct
import sys
import tempfile
import termios
from contextlib import redirect_stderr, redirect_stdout
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from attrs import evolve, frozen
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone
from twisted.internet.protocol import Factory, ProcessProtocol, Protocol
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests import certificates
from tests.cli.probe.samples import BAD, CLEAR, GOOD
from tests.loopback import LoopbackTestCase
from txtransport import InvalidOption, TransportURL
from txtransport.__main__ import main
from txtransport.cli import reactor as program
from txtransport.cli.probe import probing
from txtransport.cli.probe import survey as surveying
from txtransport.cli.probe import versions as offering
from txtransport.cli.probe.report import Survey, VersionResult
from txtransport.cli.reactor import Interrupted

ROOT = Path(__file__).resolve().parents[3]


@frozen
class EndedProcess:
    """How a process ended, and what it wrote.

    Attributes:
        status: Its exit status.
        output: What it wrote.
        complaints: What it wrote on standard error; a terminal has both in `output`.
    """

    status: int
    output: str
    complaints: str


class Greeter(Protocol):
    """Sends a line at once, so that the probe need not wait for the first byte."""

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(b"hello\r\n")


class Process(ProcessProtocol):
    """Collects what a process writes.

    Attributes:
        ended: Fires when the process has ended.
        begun: Fires when the process has written something.
    """

    def __init__(self) -> None:
        self.written = {1: b"", 2: b""}
        self.ended: Deferred[EndedProcess] = Deferred()
        self.begun: Deferred[None] = Deferred()

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        self.written[childFD] += data
        if not self.begun.called:
            self.begun.callback(None)

    def processEnded(self, reason: Failure) -> None:
        error: Any = reason.value
        status = 0 if isinstance(error, ProcessDone) else error.exitCode
        self.ended.callback(
            EndedProcess(status, self.written[1].decode(), self.written[2].decode())
        )


class ProbeTestCase(LoopbackTestCase):
    """Runs the command in a process of its own, and servers in the test's reactor."""

    def start(self, *arguments: str, columns: int | None = None, **environment: str) -> Process:
        """Start the command.

        Args:
            *arguments: Behind ``txtransport probe``.
            columns: The width of the terminal that it runs in; a pipe by default.
            **environment: Besides the one that there is.
        """
        process = Process()
        clean = {
            name: value
            for name, value in os.environ.items()
            if name not in ("COLUMNS", "NO_COLOR", "SSLKEYLOGFILE", "TERM")
        }
        environment = {**clean, "TERM": "xterm", "PYTHONIOENCODING": "utf-8", **environment}
        terminal: Any = False
        if columns is not None:
            terminal = (*pty.openpty(), "")
            size = struct.pack("HHHH", 24, columns, 0, 0)
            fcntl.ioctl(terminal[1], termios.TIOCSWINSZ, size)
        self.reactor.spawnProcess(
            process,
            sys.executable,
            [sys.executable, "-W", "error", "-m", "txtransport", "probe", *arguments],
            environment,
            str(ROOT),
            usePTY=terminal,
        )
        return process

    async def does(
        self, *arguments: str, columns: int | None = None, **environment: str
    ) -> EndedProcess:
        """Start the command, as `start` does, and wait until it ends."""
        return await self.start(*arguments, columns=columns, **environment).ended

    async def serving(self, url: str = "tls://127.0.0.1:0") -> str:
        """Start a server with a good certificate; the URL to probe."""
        factory = Factory.forProtocol(Greeter)
        port = await self.listening(url, factory, local_cert=certificates.site())
        scheme, _, rest = url.partition("://")
        return f"{scheme}://localhost:{port}{rest[rest.find('?') :] if '?' in rest else ''}"


WRONG_DAYS = ("0", "-1", "1.5", "+7", " 7", "1_0", "\u0667", "\uff17", "10000", "soon", "", "7d")

TRUST = f"cafile={certificates.folder()}/ca.pem"


class StatusTests(ProbeTestCase):
    """What a shell sees."""

    def setUp(self) -> None:
        certificates.cafile()

    async def test_verified_connection_exits_with_0(self) -> None:
        """Connected and verified: status 0, and nothing on standard error of a pipe."""
        url = await self.serving()
        ended = await self.does(url, "-o", TRUST)
        self.assertEqual((ended.status, ended.complaints), (0, ""), ended)
        self.assertTrue(ended.output.startswith(f"{url}: connected, verified\n"))
        self.assertTrue(ended.output.endswith(f"\n{url}: connected, verified\n"))
        self.assertNotIn("\x1b", ended.output)

    async def test_untrusted_certificate_exits_with_1(self) -> None:
        """A certificate that is not trusted: status 1, the chain, and what to do."""
        ended = await self.does(await self.serving())
        self.assertEqual((ended.status, ended.complaints), (1, ""), ended)
        self.assertIn(": not connected (unknown-issuer)\n", ended.output)
        self.assertIn("CN=localhost", ended.output)
        self.assertIn("What to do: ", ended.output)

    async def test_the_key_log_of_the_environment_is_honoured(self) -> None:
        """As by curl and browsers; an option goes before it, and clear text has no keys."""
        url = await self.serving()
        folder = tempfile.mkdtemp(prefix="txtransport-")
        self.addCleanup(shutil.rmtree, folder)
        first, second, third = (f"{folder}/{number}" for number in range(3))
        ended = await self.does(url, "-o", TRUST, SSLKEYLOGFILE=first)
        self.assertEqual(ended.status, 0, ended)
        await self.does(url, "-o", TRUST, "-o", f"keylog={second}", SSLKEYLOGFILE=third)
        await self.does(f"{url}?keylog={second}", "-o", TRUST, SSLKEYLOGFILE=third)
        await self.does(url.replace("tls", "tcp"), SSLKEYLOGFILE=third)
        # SSL 3.0 has no key log: it is probed, and not refused for the variable's sake.
        ended = await self.does("sslv3://127.0.0.1:1?allow_broken_ssl=yes", SSLKEYLOGFILE=third)
        self.assertEqual((ended.status, ended.complaints), (1, ""), ended)
        self.assertEqual(sorted(os.listdir(folder)), ["0", "1"])
        for path, connections in ((first, 2), (second, 4)):
            with open(path, encoding="ascii") as file:
                written = file.read()
            self.assertEqual(written.count("CLIENT_HANDSHAKE_TRAFFIC_SECRET "), connections)

    async def test_a_key_log_that_cannot_be_used_is_an_error(self) -> None:
        """A user who wants the keys and gets none hears of it before anything is opened."""
        url = await self.serving()
        ended = await self.does(url, "-o", TRUST, SSLKEYLOGFILE="/nonexistent/keys")
        self.assertEqual((ended.status, ended.output), (2, ""))
        self.assertIn("keylog=/nonexistent/keys: it cannot be opened", ended.complaints)

    async def test_json_has_one_object_and_the_same_status(self) -> None:
        """With --json the output is one object, with the same status."""
        url = await self.serving()
        ended = await self.does(url, "--json", "--option", TRUST)
        document = json.loads(ended.output)
        self.assertEqual((ended.status, document["url"], document["verified"]), (0, url, True))
        self.assertIs(document["resumption"], True)
        ended = await self.does(url, "--json")
        self.assertEqual(ended.status, 1)
        self.assertEqual(json.loads(ended.output)["diagnosis"]["cause"], "unknown-issuer")

    async def test_versions_are_shown_in_text_and_json(self) -> None:
        """``--versions`` shows each version, in words and in JSON."""
        url = await self.serving()
        ended = await self.does(url, "--versions", "-o", TRUST)
        self.assertEqual(ended.status, 0, ended)
        self.assertIn("  TLSv1.0  refused (no-common-version): ", ended.output)
        self.assertIn("  TLSv1.3  accepted\n", ended.output)
        ended = await self.does(url, "--versions", "--json", "-o", TRUST)
        versions = json.loads(ended.output)["versions"]
        accepted = [each["version"] for each in versions if each["accepted"]]
        self.assertEqual(accepted, ["TLSv1.2", "TLSv1.3"])

    async def test_host_is_probed_at_the_usual_ports(self) -> None:
        """A bare host is probed at the usual ports; when none answers the status is 1."""
        # Loopback too, and no one listens there alone.
        ended = await self.does("127.83.20.9", "-o", TRUST)
        self.assertEqual(ended.complaints, "")
        self.assertRegex(ended.output, r"\A127\.83\.20\.9\n(.*\n)*.* usual ways are silent\n")
        self.assertEqual(ended.status, 1 if "none works" in ended.output else 0)
        ended = await self.does("127.83.20.9", "-o", TRUST, "--json")
        self.assertEqual(json.loads(ended.output)["host"], "127.83.20.9")

    async def test_timeout_ends_the_attempt(self) -> None:
        """``--timeout`` ends the attempt."""
        ended = await self.does(f"tls://127.0.0.1:{self.full_port()}", "--timeout", "0.2")
        self.assertEqual(ended.status, 1)
        self.assertIn(": not connected (timeout)\n", ended.output)

    async def test_quiet_writes_the_verdict_alone(self) -> None:
        """With --quiet the output is the verdict alone."""
        url = await self.serving()
        ended = await self.does(url, "--quiet", "-o", TRUST, columns=80, NO_COLOR="1")
        self.assertEqual((ended.status, ended.output), (0, f"{url}: connected, verified\r\n"))

    async def test_wrong_url_or_option_exits_with_2(self) -> None:
        """A URL or an option that is wrong: status 2, one line on what is wrong, no output."""
        cases: tuple[tuple[list[str], str], ...] = (
            (["tls://localhost"], "port is missing"),
            (["tls://localhost:1?cafile=/no/such"], "/no/such"),
            (["tls://localhost:1", "--timeout", "soon"], "timeout takes seconds"),
            (["udp://localhost:1"], "datagrams"),
            (["tls://\x1b[2J:1"], "\\x1b"),
            ([], "required"),
        )
        for process, complaint in [
            (self.start(*arguments), complaint) for arguments, complaint in cases
        ]:
            ended = await process.ended
            self.assertEqual((ended.status, ended.output), (2, ""), ended)
            self.assertIn(complaint, ended.complaints)
            self.assertNotIn("\x1b", ended.complaints)
            self.assertNotIn("Traceback", ended.complaints)

    async def test_unavailable_transport_exits_with_1(self) -> None:
        """sslv3:// is a good command line, and is not connected."""
        ended = await self.does("sslv3://localhost:1")
        self.assertEqual((ended.status, ended.complaints), (1, ""))
        self.assertIn("RFC 7568", ended.output)

    async def test_passphrase_is_not_shown(self) -> None:
        """The passphrase of a key is in no line."""
        url = f"{await self.serving()}?passphrase=hidden&local_cert={certificates.client()}"
        for arguments in ([url], [url, "--json"], [url, "-o", TRUST]):
            ended = await self.does(*arguments)
            self.assertNotIn("hidden", ended.output + ended.complaints)


class TerminalTests(ProbeTestCase):
    """What someone at a terminal sees."""

    def setUp(self) -> None:
        certificates.cafile()

    def screen(self, output: str) -> str:
        """What stays on the screen: the output without progress and without colours."""
        lines = output.replace("\r\n", "\n").split("\x1b[K")
        return re.sub(r"\x1b\[[0-9]*m", "", lines[-1])

    async def test_report_fits_terminals_of_two_widths(self) -> None:
        """At 80 and at 40 columns every fact is shown, in colour, and fits."""
        url = await self.serving("tls://127.0.0.1:0?starttls=imap")
        for columns in (80, 40):
            ended = await self.does(url, "-o", TRUST, columns=columns)
            self.assertEqual(ended.status, 0, ended.output)
            self.assertIn(f"\x1b[32m{url}:", ended.output)
            self.assertRegex(ended.output, r"(?i)connected, verified")
            text = self.screen(ended.output)
            for fact in ("negotiation", "TLSv1.3", "└─ CN=localhost", "█"):
                self.assertIn(fact, text)
            for line in text.splitlines():
                self.assertTrue(len(line) <= columns or len(line.split()) == 1, line)

    async def test_progress_stays_on_one_line_and_is_erased(self) -> None:
        """During the probe one line says what is going on, and it is erased in the end."""
        ended = await self.does(await self.serving(), "-o", TRUST, columns=80)
        for doing in ("looking up localhost", "connecting to 127.0.0.1", "shaking hands",
                      "waiting for the first byte", "connecting again"):  # fmt: skip
            self.assertIn(f"\r\x1b[K{doing}", ended.output)
        self.assertNotIn("...", self.screen(ended.output))

    async def test_colours_can_be_switched_off(self) -> None:
        """With ``NO_COLOR``, and on a dumb terminal, the words are the same, without colours."""
        url = await self.serving()
        for environment in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
            ended = await self.does(url, "-o", TRUST, columns=80, **environment)
            self.assertNotRegex(ended.output, r"\x1b\[[0-9]*m")
        self.assertNotIn("\x1b", ended.output)

    async def test_ascii_output_has_ascii_bars_and_branches(self) -> None:
        """Where output is ASCII, so are bars and branches."""
        url = await self.serving()
        ended = await self.does(url, "-o", TRUST, PYTHONIOENCODING="ascii")
        self.assertTrue(ended.output.isascii())
        self.assertIn("`- CN=localhost", ended.output)

    async def test_ctrl_c_ends_the_probe_without_output(self) -> None:
        """Ctrl-C ends the probe at once, with status 130 and without output."""
        process = self.start(f"tcp://127.0.0.1:{self.full_port()}", columns=80)
        await process.begun
        process.transport.signalProcess("INT")  # type: ignore[union-attr]
        ended = await process.ended
        self.assertEqual((ended.status, self.screen(ended.output)), (130, ""))


class CommandTests(SynchronousTestCase):
    """The command within this process, with a probe whose result the test chooses."""

    def does(self, *arguments: str, seen: Any = GOOD) -> tuple[int, str, str]:
        """Exit status, output and complaints, with a probe that ends with `seen`.

        Args:
            *arguments: Behind ``txtransport probe``.
            seen: The report, or what is raised.
        """

        def run(work: Any) -> Any:
            if isinstance(seen, BaseException):
                raise seen
            results: list[Any] = []
            Deferred.fromCoroutine(work(None)).addCallback(results.append)
            return results[0]

        async def probe(*arguments: Any, **keywords: Any) -> Any:
            return seen

        async def versions(*arguments: Any, **keywords: Any) -> tuple[VersionResult, ...]:
            return (VersionResult("TLSv1.9", True),)

        self.patch(program, "run_until_complete", run)
        self.patch(probing, "probe", probe)
        self.patch(surveying, "survey", probe)
        self.patch(offering, "versions", versions)
        output, complaints = io.StringIO(), io.StringIO()
        with redirect_stdout(output), redirect_stderr(complaints):
            try:
                status = main(["probe", *arguments])
            except SystemExit as end:
                status = int(end.code or 0)
        return status, output.getvalue(), complaints.getvalue()

    def test_status_says_whether_it_is_verified(self) -> None:
        """The status is 0 when the connection is verified and 1 when not, in text and in JSON."""
        for report, expected in ((GOOD, 0), (BAD, 1), (CLEAR, 1)):
            status, text, complaints = self.does("tls://a.example:1", seen=report)
            self.assertEqual((status, complaints), (expected, ""))
            self.assertTrue(text.startswith(str(report.url)))
            status, text, _ = self.does("tls://a.example:1", "--json", seen=report)
            self.assertEqual((status, json.loads(text)["verified"]), (expected, expected == 0))

    def test_quiet_is_the_verdict_alone(self) -> None:
        """With --quiet the output is the verdict alone."""
        self.assertEqual(
            self.does("tls://a.example:1", "--quiet")[1], f"{GOOD.url}: connected, verified\n"
        )

    def test_certificate_with_too_few_days_exits_with_1(self) -> None:
        """With --warn-days the status is 1 when a certificate has fewer days left, a host's too."""
        ends = datetime.now(timezone.utc) + timedelta(days=20, hours=1)
        good = evolve(GOOD, chain=tuple(evolve(each, not_after=ends) for each in GOOD.chain))
        survey = Survey("a.example", (good, BAD))
        for days, status in (("20", 0), ("21", 1)):
            warned = ("--warn-days", days)
            self.assertEqual(self.does("tls://a.example:1", *warned, seen=good)[0], status)
            self.assertEqual(self.does("a.example", *warned, seen=survey)[0], status)
            _, text, _ = self.does("tls://a.example:1", *warned, "--json", seen=good)
            document = json.loads(text)
            self.assertEqual((document["verified"], len(document["expiring"])), (True, 2 * status))
        self.assertEqual(self.does("tls://a.example:1", "--warn-days", "1", seen=BAD)[0], 1)

    def test_host_exits_with_0_when_any_url_works(self) -> None:
        """A host is surveyed: the status is 0 when any URL works."""
        for reports, expected in (((GOOD, BAD), 0), ((BAD,), 1)):
            seen = Survey("a.example", reports)
            self.assertEqual(self.does("a.example", seen=seen)[0], expected)
            status, text, _ = self.does("a.example", "--json", "--timeout", "1", seen=seen)
            self.assertEqual((status, json.loads(text)["host"]), (expected, "a.example"))
        self.assertEqual(
            self.does("a.example", "--quiet", seen=Survey("a.example", (GOOD,)))[1],
            f"{GOOD.url}\n",
        )

    def test_what_has_a_port_or_a_scheme_is_a_url(self) -> None:
        """Only a bare host is surveyed; host:port is tcp, as everywhere."""
        for url in ("a.example:1", "tcp://a.example:1", "unix:///a"):
            self.assertIn("connected", self.does(url)[1], url)

    def test_versions_are_offered_to_a_peer_that_answers(self) -> None:
        """Versions are offered if the user asks for that, and only to a peer that answers."""
        self.assertIn("TLSv1.9", self.does("tls://a.example:1", "--versions")[1])
        self.assertIn("TLSv1.9", self.does("tls://a.example:1", "--versions", seen=BAD)[1])
        gone = evolve(BAD, spans=BAD.spans[:2])
        self.assertNotIn("TLSv1.9", self.does("tls://a.example:1", "--versions", seen=gone)[1])

    def test_wrong_command_line_exits_with_2(self) -> None:
        """Status 2, and one line on what is wrong."""
        for arguments in (
            ["nonsense://a.example:1"],
            ["tls://a.example:1", "-o", "cafil=x"],
            ["tls://a.example:1", "-o", "reactor=1"],
            ["tls://a.example:1", "-o", "trace=1"],
            ["tls://a.example:1", "-o", "cafile"],
            ["tls://a.example:1", "-o", "pin=a", "-o", "pin=b"],
            ["a.example", "--versions"],
            ["tcp://a.example:1", "--versions"],
            ["a.example:1", "--warn-days", "9"],
            ["a.example", "-o", "over=tcp:a.example:1"],
            *(["tls://a.example:1", "--warn-days", days] for days in WRONG_DAYS),
        ):
            status, output, complaints = self.does(*arguments)
            self.assertEqual((status, output), (2, ""), arguments)
            self.assertIn("txtransport probe: error: ", complaints)

    def test_complaint_about_an_option_begins_with_the_place(self) -> None:
        """An option behind -o that is wrong is told with its endpoint, as in every message."""
        for url, place in (
            ("tls://a.example:1?passphrase=x", "tls://a.example:1"),
            ("tls://a.example:587?starttls=smtp", "tls://a.example:587"),
            ("a.example", "tls://a.example:443"),
        ):
            for words in (["cafil=x"], ["cafile"], ["pin=a", "pin=b"]):
                options = [part for word in words for part in ("-o", word)]
                _, _, complaints = self.does(url, *options)
                self.assertIn(f"error: {place}: ", complaints)

    def test_url_that_is_suggested_for_versions_can_be_copied(self) -> None:
        """An IPv6 address gets its brackets, and a shell does not take them for a pattern."""
        for host, url in (
            ("a.example", "tls://a.example:443"),
            ("::1", "'tls://[::1]:443'"),
            ("[::1]", "'tls://[::1]:443'"),
            ("fe80::1%eth0", "'tls://[fe80::1%25eth0]:443'"),
        ):
            _, _, complaints = self.does(host, "--versions")
            self.assertTrue(complaints.endswith(f" such as {url}\n"), complaints)
            (word,) = shlex.split(url)
            self.assertEqual(str(TransportURL.parse(word)), word)

    def test_url_of_an_application_is_answered_with_ours(self) -> None:
        """https:// and the like exit with 2, and with the URL to probe in their place."""
        for given, meant in (
            ("https://user:secret@example.com/path", "write tls://example.com:443;"),
            ("smtps://mail.example.com", "write tls://mail.example.com:465\n"),
            ("imaps://user@mail.example.com/INBOX", "write tls://mail.example.com:993;"),
            ("pop3s://mail.example.com", "write tls://mail.example.com:995\n"),
            ("ldaps://ldap.example.com", "write tls://ldap.example.com:636\n"),
            ("wss://example.com/path", "write tls://example.com:443;"),
            ("postgres://user:secret@db/path", "write tls://db:5432?starttls=postgres;"),
            ("mysql://db:3307", "write tls://db:3307?starttls=mysql\n"),
            ("rediss://:secret@cache:6380/path", "write tls://cache:6380;"),
            ("amqps://queue", "write tls://queue:5671\n"),
        ):
            status, output, complaints = self.does(given)
            self.assertEqual((status, output), (2, ""), given)
            self.assertIn(meant, complaints)
            for hidden in ("user", "secret", "path"):
                self.assertNotIn(hidden, complaints.partition("error: ")[2])

    def test_errors_of_the_probe_become_statuses(self) -> None:
        """An option that turns out to be wrong is usage; a signal ends with its own status."""
        wrong = InvalidOption("cafile", "cafile=x: is not there")
        status, output, complaints = self.does("tls://a.example:1", seen=wrong)
        self.assertEqual((status, output), (2, ""))
        self.assertIn("is not there", complaints)
        self.assertEqual(self.does("tls://a.example:1", seen=Interrupted(15)), (143, "", ""))

    def test_closed_standard_error_is_no_failure(self) -> None:
        """A process whose standard error is closed works as well."""
        self.patch(sys, "stderr", None)
        self.patch(program, "run_until_complete", lambda work: GOOD)
        with redirect_stdout(io.StringIO()) as output:
            self.assertEqual(main(["probe", "tls://a.example:1"]), 0)
        self.assertIn("connected, verified", output.getvalue())
