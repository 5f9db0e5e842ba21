"""The demo as a program: it leaves nothing behind."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from twisted.internet.defer import Deferred

from tests.cli.demo.samples import DemoTestCase
from txtransport.cli.demo import run as program
from txtransport.cli.demo.run import run_demo
from txtransport.cli.demo.servers import DemoServers

ROOT = Path(__file__).resolve().parents[3]


class RunDemoTests(DemoTestCase):
    """The whole demo, in a reactor that runs already."""

    def temporary_folder(self) -> Path:
        """A folder that the demo takes for the system's temporary one."""
        # Not within the one before, or the paths of local sockets become too long.
        self.patch(tempfile, "tempdir", None)
        folder = self.folder()
        self.patch(tempfile, "tempdir", str(folder))
        return folder

    async def test_demo_is_right_quick_and_leaves_no_file(self) -> None:
        """All rows and mail examples end as expected, within ten seconds, and no file is left."""
        folder = self.temporary_folder()
        report = await run_demo(self.reactor)
        self.assertEqual((report.wrong, len(report.rows), len(report.mail_examples)), ((), 20, 3))
        self.assertLess(report.seconds, 10)
        self.assertEqual(list(folder.iterdir()), [])

    # The keys of SSL 2.0 and SSL 3.0 are of RSA, which takes time to make.
    timeout = 60

    async def test_cancelled_demo_leaves_nothing(self) -> None:
        """Cancelled at any moment, the demo leaves no file, no server and no connection."""
        for turns in range(0, 120, 5):
            folder = self.temporary_folder()
            running = Deferred.fromCoroutine(run_demo(self.reactor))
            for _ in range(turns):
                turn: Deferred[None] = Deferred()
                self.reactor.callLater(0, turn.callback, None)
                await turn
            # There is a folder to remove, unless the demo is over already.
            self.assertTrue(running.called or list(folder.iterdir()))
            running.cancel()
            try:
                await running
            except Exception as problem:
                self.assertIn("Cancelled", type(problem).__name__)
            self.assertEqual(list(folder.iterdir()), [])

    async def test_failing_demo_leaves_nothing(self) -> None:
        """A bug in the demo itself does not leave its folder behind."""
        folder = self.temporary_folder()
        seen: list[Path] = []

        async def broken(servers: DemoServers) -> None:
            seen.extend(folder.iterdir())
            raise RuntimeError("broken")

        self.patch(program, "run_mail_examples", broken)
        with self.assertRaises(RuntimeError):
            await run_demo(self.reactor)
        self.assertEqual((len(seen), list(folder.iterdir())), (1, []))


# A demo that stops in the middle, with everything open, until a signal comes.
WAITING = """
import sys
from twisted.internet.defer import Deferred
import txtransport.cli.demo.run
from txtransport.__main__ import main

async def run_mail_examples(servers):
    print("in the middle", flush=True)
    await Deferred()

txtransport.cli.demo.run.run_mail_examples = run_mail_examples
sys.exit(main(["demo"]))
"""


class SignalTests(DemoTestCase):
    """Real signals, and a real process."""

    async def test_signal_leaves_nothing(self) -> None:
        """Ctrl-C and its kind end the demo at once, without a word and without a file."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            folder = self.folder()
            process = subprocess.Popen(
                [sys.executable, "-c", WAITING],
                cwd=ROOT,
                env={**os.environ, "TMPDIR": str(folder)},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            with process:
                assert process.stdout is not None
                self.assertTrue(select.select([process.stdout], [], [], 20)[0])
                self.assertEqual(process.stdout.readline(), b"in the middle\n")
                self.assertEqual(len(list(folder.iterdir())), 1)
                process.send_signal(number)
                said = process.communicate(timeout=20)
            self.assertEqual((process.returncode, said), (128 + number, (b"", b"")))
            self.assertEqual(list(folder.iterdir()), [])
