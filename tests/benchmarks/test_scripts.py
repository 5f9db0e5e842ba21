"""Each workload's script, its peers and its processes; nothing is measured."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.lab import processes, workload
from benchmarks.lab.processes import ROOT, Worker, WorkerFailed, child_cpu_seconds
from benchmarks.lab.report import Sample, Table, make_table
from benchmarks.lab.workload import Lab, Workload, peer_of, run
from benchmarks.peers import PEERS, Peer
from benchmarks.run import WORKLOADS, write

FOLDER: Final = ROOT / "benchmarks"
CORE: Final = min(os.sched_getaffinity(0))

ECHOING: Final = """
import json, sys, time
print(json.dumps({"deeds": ["say", "fail", "end", "stay"], "library": "none"}), flush=True)
for line in sys.stdin:
    request = json.loads(line)
    if request["do"] == "end":
        break
    if request["do"] == "stay":
        import signal
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print("{}", flush=True)
        while True:
            time.sleep(60)
    print(json.dumps({"error": "no"} if request["do"] == "fail" else request), flush=True)
"""
"""A worker that is easy to see through."""


class ScriptTests(SynchronousTestCase):
    """What a user types."""

    def test_each_workload_prints_its_help(self) -> None:
        """``--help`` says what is measured, and which options there are."""
        for each in WORKLOADS:
            text = io.StringIO()
            with redirect_stdout(text):
                self.assertRaises(SystemExit, run, [each], each.about, ["--help"])
            self.assertIn(each.about.strip().splitlines()[0], text.getvalue())
            self.assertIn("--quick", text.getvalue())

    def test_a_script_starts(self) -> None:
        """As a module, the way that the documentation names; and the one of all workloads."""
        for name in ("connect", "run"):
            done = subprocess.run(
                [sys.executable, "-m", f"benchmarks.{name}", "--help"],
                cwd=ROOT, capture_output=True, text=True, timeout=60, check=True,
            )  # fmt: skip
            self.assertIn("--rounds", done.stdout)

    def test_no_workload_is_forgotten(self) -> None:
        """Every script of the folder is one of those that `run` runs."""
        scripts = {path.stem for path in FOLDER.glob("*.py")} - {"__init__", "run"}
        modules = {each.tables.__module__.rpartition(".")[2] for each in WORKLOADS}
        self.assertEqual(scripts, modules)

    def test_the_results_are_three_files(self) -> None:
        """A page, a document and a plot, in a folder that is made."""
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        folder = Path(temporary.name, "new")
        write(folder, [], ["a note"])
        self.assertEqual(
            sorted(path.name for path in folder.iterdir()),
            ["performance.json", "performance.md", "performance.svg"],
        )
        self.assertIn("- a note\n", (folder / "performance.md").read_text(encoding="utf-8"))


class PeerTests(SynchronousTestCase):
    """The table of peers."""

    def test_a_workload_that_fails_costs_only_itself(self) -> None:
        """The others are measured and written, and the exit status says that one failed."""
        self.addCleanup(signal.signal, signal.SIGTERM, signal.getsignal(signal.SIGTERM))
        written: list[tuple[list[Table], list[str]]] = []

        def fails(lab: Lab) -> Iterator[Table]:
            yield make_table("half", "Half", "s", {"stock Twisted": [Sample(1.0)]})
            raise WorkerFailed("too slow")

        def works(lab: Lab) -> Iterator[Table]:
            yield make_table("whole", "Whole", "s", {"stock Twisted": [Sample(1.0)]})

        with redirect_stdout(io.StringIO()) as said:
            ended = self.assertRaises(
                SystemExit,
                run,
                [Workload("", fails), Workload("", works)],
                "about",
                ["--into", self.mktemp()],
                lambda folder, tables, notes: written.append((tables, notes)),
            )
        self.assertEqual(str(ended), "1 of 2 workloads failed")
        ((tables, notes),) = written
        self.assertEqual([table.name for table in tables], ["half", "whole"])
        self.assertIn("Not measured: too slow.", notes)
        self.assertIn("Not measured: too slow.", said.getvalue())

    def test_what_is_missing_is_said(self) -> None:
        """A peer without its module or its program is left out, with what to install."""
        for peer, named in (
            (Peer("x", lambda folder: (), module="no_such_module"), "no_such_module"),
            (Peer("x", lambda folder: (), program="no-such-program"), "no-such-program"),
        ):
            self.assertIn(named, peer.missing())
        self.assertEqual(PEERS["txtransport"].missing(), "")

    def test_a_row_is_about_a_peer(self) -> None:
        """The name of a row begins with its peer's, however the names begin."""
        self.assertEqual(peer_of("txtransport, resumed"), "txtransport")
        self.assertEqual(peer_of("pyOpenSSL, blocking, resumed"), "pyOpenSSL, blocking")
        self.assertEqual(peer_of("nothing"), "")

    def test_the_extra_has_what_peers_need(self) -> None:
        """``pip install .[bench]`` brings every module that a peer names."""
        extra = re.search(r"^bench =\n((?: .*\n)+)", (ROOT / "setup.cfg").read_text(), re.M)
        assert extra is not None
        wanted = {peer.module for peer in PEERS.values() if peer.module}
        self.assertEqual(set(re.findall(r"^ +(\w+)", extra[1], re.M)), wanted)


class LeftOutTests(SynchronousTestCase):
    """Peers that cannot be measured."""

    def candidates(self, peer: Peer) -> tuple[Lab, dict[str, tuple[str, str]]]:
        """The candidates of a lab whose only peer this is."""
        self.patch(workload, "PEERS", {peer.name: peer})
        lab = Lab(Path("nowhere"))
        self.addCleanup(lab.end)
        return lab, lab.candidates("say")

    def test_one_that_is_not_installed(self) -> None:
        """It is no candidate, and the notes have a line that says what it needs."""
        lab, found = self.candidates(Peer("Go", lambda folder: (), program="no-such-program"))
        self.assertEqual(found, {})
        self.assertIn("Left out: Go: needs the program no-such-program.", lab.notes())

    def test_one_that_does_not_start(self) -> None:
        """Nor does a program end the run that ends at once."""
        command = (sys.executable, "-c", "")
        lab, found = self.candidates(Peer("Go", lambda folder: command))
        self.assertEqual(found, {})
        self.assertIn("Left out: Go: does not start: Go has ended.", lab.notes())

    def test_one_that_cannot_do_it(self) -> None:
        """A peer is measured at what it offers, in each of its ways."""
        command = (sys.executable, "-c", ECHOING)
        lab, found = self.candidates(Peer("Go", lambda folder: command))
        self.assertEqual(found, {"Go": ("Go", "")})
        self.assertEqual(lab.candidates("fly"), {})
        ways = lab.candidates("say", ways={"Go": ("", "loudly")})
        self.assertEqual(ways, {"Go": ("Go", ""), "Go, loudly": ("Go", "loudly")})


class TurnTests(SynchronousTestCase):
    """How candidates take turns."""

    def lab(self) -> Lab:
        """A lab without certificates."""
        return Lab(Path("nowhere"))

    def test_every_round_has_a_turn_of_each(self) -> None:
        """One round to warm up, then as many as are asked for, each with all candidates."""
        order: list[str] = []

        def turn(name: str) -> Sample:
            order.append(name)
            return Sample(1.0)

        samples = self.lab().measure({name: partial(turn, name) for name in "abc"}, 4)
        self.assertEqual([len(samples[name]) for name in "abc"], [4, 4, 4])
        for begin in range(0, 15, 3):
            self.assertEqual(sorted(order[begin : begin + 3]), ["a", "b", "c"])

    def test_a_peer_that_fails_is_left_out(self) -> None:
        """It is named with what it said; the others are measured."""
        lab = self.lab()

        def fail() -> Sample:
            raise WorkerFailed("no TLS today")

        samples = lab.measure({"Go": fail, "PHP": lambda: Sample(1.0)}, 2)
        self.assertEqual(list(samples), ["PHP"])
        self.assertIn("Failed: Go: no TLS today.", lab.notes())

    def test_ours_may_not_fail(self) -> None:
        """A benchmark without this package, or without its baseline, is none."""

        def fail() -> Sample:
            raise WorkerFailed("broken")

        for name in ("txtransport, resumed", "stock Twisted"):
            self.assertRaises(WorkerFailed, self.lab().measure, {name: fail}, 1)

    def test_quick_is_short(self) -> None:
        """Two rounds, unless the user says how many."""
        lab = self.lab()
        self.assertEqual(lab.rounds(15), 15)
        lab.is_quick = True
        self.assertEqual(lab.rounds(15), 2)
        lab.given_rounds = 7
        self.assertEqual(lab.rounds(15), 7)


class WorkerTests(SynchronousTestCase):
    """Processes: each is ended, whatever it does."""

    def worker(self) -> Worker:
        """A worker that is ended with the test."""
        worker = Worker("x", [sys.executable, "-c", ECHOING], CORE)
        self.addCleanup(worker.end)
        return worker

    def test_it_answers(self) -> None:
        """A line there and a line back."""
        self.assertEqual(self.worker().ask("say", word="ä")["word"], "ä")

    def test_it_says_why_it_failed(self) -> None:
        """Its words are in the message; and it can go on."""
        worker = self.worker()
        failure = self.assertRaises(WorkerFailed, worker.ask, "fail")
        self.assertEqual(str(failure), "x: fail: no")
        self.assertEqual(worker.ask("say", word=1)["word"], 1)

    def test_one_that_ends_early_is_told(self) -> None:
        """Neither its silence nor its closed pipe is waited for."""
        worker = self.worker()
        self.assertRaises(WorkerFailed, worker.ask, "end")
        self.assertRaises(WorkerFailed, worker.ask, "say")

    def test_one_that_does_not_end_is_killed(self) -> None:
        """Neither the end of its input nor SIGTERM moves it, but SIGKILL does."""
        self.patch(processes, "FAREWELL", 0.1)
        worker = Worker("x", [sys.executable, "-c", ECHOING], CORE)
        worker.ask("stay")
        worker.end()
        self.assertEqual(worker._process.returncode, -9)

    def test_one_that_is_too_slow_is_told(self) -> None:
        """Every answer has a deadline."""
        self.patch(processes, "PATIENCE", 0.1)
        self.patch(processes, "FAREWELL", 0.1)
        failure = self.assertRaises(
            WorkerFailed, Worker, "x", [sys.executable, "-c", "import time; time.sleep(60)"], CORE
        )
        self.assertIn("no answer", str(failure))

    def test_it_is_pinned(self) -> None:
        """It has one core, and this process keeps its own."""
        mine = os.sched_getaffinity(0)
        program = "import os; assert len(os.sched_getaffinity(0)) == 1"
        cpu, elapsed = child_cpu_seconds([sys.executable, "-c", program], CORE)
        self.assertTrue(cpu > 0 and elapsed > 0)
        self.assertEqual(os.sched_getaffinity(0), mine)
        self.assertRaises(
            WorkerFailed, child_cpu_seconds, [sys.executable, "-c", "raise SystemExit(3)"], CORE
        )
