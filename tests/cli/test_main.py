"""The command line, as a shell sees it."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from importlib import metadata
from pathlib import Path
from typing import Final

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

import txtransport
from tests.cli.demo.samples import REPORT, UNREAD_ROW
from tests.cli.test_terminal import Terminal
from txtransport.__main__ import main
from txtransport.cli.demo import run as program
from txtransport.cli.demo.report import DemoReport
from txtransport.cli.reactor import Interrupted
from txtransport.cli.terminal import PACKAGES

ROOT: Final = Path(__file__).resolve().parents[2]
FULL: Final = Path("/dev/full")


class MainTestCase(SynchronousTestCase):
    """What the tests of this file share."""

    def does(self, *arguments: str) -> tuple[int, str, str]:
        """Exit status, output and complaints of a command line."""
        output, complaints = io.StringIO(), io.StringIO()
        with redirect_stdout(output), redirect_stderr(complaints):
            try:
                status = main(arguments)
            except SystemExit as end:
                status = int(end.code or 0)
        return status, output.getvalue(), complaints.getvalue()

    def demo_gives(self, what: DemoReport | BaseException) -> None:
        """Make the demo return that report, or raise that exception."""

        def run() -> DemoReport:
            if isinstance(what, BaseException):
                raise what
            return what

        self.patch(program, "run", run)

    @contextmanager
    def output(self, path: str | int) -> Iterator[None]:
        """Send standard output there, buffered as Python does."""
        with open(path, "w", encoding="utf-8") as file:
            self.patch(sys, "stdout", file)
            yield


class UsageTests(MainTestCase):
    """What users expect of any command."""

    def test_help_lists_the_commands(self) -> None:
        """--help lists the commands, and says what a command does."""
        status, output, complaints = self.does("--help")
        self.assertEqual((status, complaints), (0, ""))
        self.assertTrue(output.startswith("usage: txtransport "))
        self.assertIn("demo", output)
        status, output, _ = self.does("demo", "--help")
        self.assertEqual(status, 0)
        self.assertIn("--json", output)

    def test_version_is_the_installed_one(self) -> None:
        """--version says the installed version."""
        expected = f"txtransport {metadata.version('txtransport')}\n"
        self.assertEqual(self.does("--version"), (0, expected, ""))

    def test_version_needs_no_installation(self) -> None:
        """From sources that are not installed --version says the same."""

        def version(package: str) -> str:
            raise metadata.PackageNotFoundError(package)

        self.patch(metadata, "version", version)
        self.assertEqual(
            self.does("--version"), (0, f"txtransport {txtransport.__version__}\n", "")
        )

    def test_without_arguments_the_help_is_printed(self) -> None:
        """The name of the program alone prints the help; a script sees that nothing was done."""
        _, helped, _ = self.does("--help")
        self.assertEqual(self.does(), (2, helped, ""))
        self.patch(sys, "argv", ["txtransport"])
        output = io.StringIO()
        with redirect_stdout(output):
            self.assertEqual(main(), 2)
        self.assertEqual(output.getvalue(), helped)

    def test_mistyped_command_is_answered_with_what_was_meant(self) -> None:
        """A mistyped command, a URL or a file in its place is answered with a line to copy."""
        for words, meant in (
            (["prob", "tls://host:443"], "txtransport probe"),
            (["tls://host:443"], "txtransport probe tls://host:443"),
        ):
            status, output, complaints = self.does(*words)
            self.assertEqual((status, output), (2, ""))
            self.assertTrue(complaints.endswith(f"; did you mean: {meant}\n"), complaints)

    def test_option_without_a_command_is_answered_with_its_name(self) -> None:
        """A mistyped option that stands alone is named, and not the command that is missing."""
        status, _, complaints = self.does("--verison", "-x\n")
        self.assertEqual(status, 2)
        self.assertTrue(complaints.endswith("error: unrecognized arguments: --verison -x\\n\n"))

    def test_complaints_fit_the_terminal(self) -> None:
        """On a terminal no word of a complaint is cut; a command stands whole on a line."""
        self.patch(os, "environ", {**os.environ, "COLUMNS": "80"})
        url = "tls://host.example:587?starttls=smtp&timeout=5&cafile=/etc/ssl/authorities.pem"
        for words in (
            ("probe", "https://user:hunter2@example.com/x"),
            ("probe", "tls:host:443"),
            ("probe", "-o", "cafil=none", "tls://host.example:443"),
            ("inspect", "--cafile", "none", "FILE"),
            (url,),
        ):
            terminal = Terminal()
            with redirect_stderr(terminal):
                self.assertRaises(SystemExit, main, words)
            *lines, last = terminal.getvalue().splitlines()
            self.assertLess(max(map(len, lines)), 81, lines)
            self.assertTrue(len(last) < 81 or last == f"    txtransport probe '{url}'", last)

    def test_wrong_command_line_is_answered_with_usage(self) -> None:
        """An unknown command or option is answered with the usage and status 2."""
        for words in (["nonsense"], ["demo", "nonsense"], ["demo", "--nonsense"], ["--demo"]):
            status, output, complaints = self.does(*words)
            self.assertEqual((status, output), (2, ""), words)
            self.assertTrue(complaints.startswith("usage: txtransport "), words)

    def test_help_does_not_import_twisted_or_openssl(self) -> None:
        """--help does not import what only the commands need."""
        script = "import sys, txtransport.__main__; print({'twisted', 'OpenSSL'} & {*sys.modules})"
        run = subprocess.run(
            [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60
        )
        self.assertEqual((run.stdout, run.stderr), ("set()\n", ""))


class DemoTests(MainTestCase):
    """``txtransport demo``, with a demo whose result the test chooses."""

    def test_demo_writes_text_by_default(self) -> None:
        """By default people read it; the first line has the versions."""
        self.demo_gives(REPORT)
        status, output, complaints = self.does("demo")
        self.assertEqual((status, complaints), (0, ""))
        self.assertTrue(output.startswith(f"txtransport {metadata.version('txtransport')}, "))
        self.assertIn("all as they should be.", output)

    def test_demo_text_is_as_wide_as_the_window(self) -> None:
        """The text is as wide as the window."""
        self.demo_gives(REPORT)
        self.patch(os, "environ", {**os.environ, "COLUMNS": "40"})
        _, output, _ = self.does("demo")
        self.assertLessEqual(max(map(len, output.splitlines())), 40)

    def test_demo_writes_json_on_request(self) -> None:
        """With --json programs read it."""
        self.demo_gives(REPORT)
        status, output, complaints = self.does("demo", "--json")
        self.assertEqual((status, complaints), (0, ""))
        document = json.loads(output)
        self.assertEqual((document["ok"], tuple(document["versions"])), (True, PACKAGES))

    def test_wrong_result_makes_the_status_1(self) -> None:
        """A wrong result makes the status 1, in text and in JSON."""
        self.demo_gives(evolve(REPORT, rows=(UNREAD_ROW,)))
        status, output, _ = self.does("demo")
        self.assertEqual(status, 1)
        self.assertIn("NOT as they should be", output)
        status, output, _ = self.does("demo", "--json")
        self.assertEqual((status, json.loads(output)["ok"]), (1, False))

    def test_signal_ends_the_demo_with_its_status(self) -> None:
        """A signal ends the demo with the status that shells know, and without output."""
        self.demo_gives(Interrupted(15))
        self.assertEqual(self.does("demo"), (143, "", ""))
        self.demo_gives(KeyboardInterrupt())
        self.assertEqual(self.does("demo"), (130, "", ""))

    def test_system_error_is_one_line(self) -> None:
        """An error of the system is reported in one line."""
        self.demo_gives(FileNotFoundError("No usable temporary directory found"))
        self.assertEqual(
            self.does("demo"), (1, "", "txtransport: No usable temporary directory found\n")
        )


class OutputTests(MainTestCase):
    """Where the output goes."""

    def test_reader_that_has_gone_is_no_error(self) -> None:
        """``| head -1`` is no error, neither now nor when Python exits."""
        self.demo_gives(REPORT)
        for words in (["demo"], ["demo", "--json"], ["--help"], ["--version"]):
            reading, writing = os.pipe()
            os.close(reading)
            complaints = io.StringIO()
            with self.output(writing), redirect_stderr(complaints):
                try:
                    status = main(words)
                except SystemExit as end:
                    status = int(end.code or 0)
            self.assertEqual((status, complaints.getvalue()), (0, ""), words)

    def test_full_disk_is_a_failure(self) -> None:
        """When the output cannot be written, the status is 1."""
        if not FULL.exists():
            self.skipTest("this system has no /dev/full")
        self.demo_gives(REPORT)
        complaints = io.StringIO()
        with self.output(str(FULL)), redirect_stderr(complaints):
            status = main(["demo"])
        self.assertEqual(status, 1)
        self.assertIn("No space left", complaints.getvalue())

    def test_missing_standard_output_keeps_the_status(self) -> None:
        """Without standard output the status is still right."""
        self.demo_gives(REPORT)
        self.patch(sys, "stdout", None)
        self.assertEqual(main(["demo"]), 0)

    def test_characters_outside_the_encoding_are_escaped(self) -> None:
        """Characters that the terminal's encoding lacks are escaped."""
        self.demo_gives(evolve(REPORT, rows=(evolve(UNREAD_ROW, reason="müde…"),)))
        raw = io.BytesIO()
        self.patch(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
        self.assertEqual(main(["demo"]), 1)
        self.assertIn(b"m\\xfcde\\u2026", raw.getvalue())


class ProcessTests(SynchronousTestCase):
    """The demo in a process of its own, as ``make run`` calls it."""

    def run_demo(self, *options: str) -> subprocess.CompletedProcess[str]:
        """Run the demo in a process of its own, which must leave no file behind."""
        with tempfile.TemporaryDirectory() as folder:
            environment = {**os.environ, "TMPDIR": folder, "HOME": ""}
            environment.pop("COLUMNS", None)
            done = subprocess.run(
                [sys.executable, "-m", "txtransport", "demo", *options],
                cwd=ROOT,
                env=environment,
                capture_output=True,
                text=True,
                timeout=10,
            )
            self.assertEqual(os.listdir(folder), [])
        return done

    def test_demo_process_succeeds_within_80_columns(self) -> None:
        """The demo ends in time, with status 0, within 80 columns, and without complaints."""
        done = self.run_demo()
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertLessEqual(max(map(len, done.stdout.splitlines())), 80)
        self.assertTrue(done.stdout.endswith(": all as they should be.\n"))

    def test_demo_process_writes_json(self) -> None:
        """With --json the output of the process is a JSON document."""
        done = self.run_demo("--json")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertTrue(json.loads(done.stdout)["ok"])
