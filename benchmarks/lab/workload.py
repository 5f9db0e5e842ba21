"""A workload: its candidates take turns, round after round, in random order.

The machine's speed changes all the time, and one stack's turn warms or cools the
processor for the next one. So every round has a turn of every candidate, in an
order that is drawn anew, and what is compared are the turns of one round.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import date
from pathlib import Path
from typing import Final, TypeVar

from attrs import define, field, frozen

from benchmarks.lab.processes import Worker, WorkerFailed
from benchmarks.lab.report import (
    OURS,
    STOCK,
    Sample,
    Table,
    document,
    one_line,
    plain_text,
)
from benchmarks.peers import NEUTRAL, PEERS
from txtransport.testing.devcert import Authority, write_private

BURST: Final = 40
"""Connections of one turn: 20 to 50 ms, long enough for the clock, and short enough
that the machine is the same for all the turns of a round."""

T = TypeVar("T")

Turn = Callable[[], Sample]


@define
class Lab:
    """Where the workloads run: workers, certificates, and how long to measure.

    Attributes:
        folder: Has ``ca.pem`` and ``site.pem`` (P-256, for localhost), and is temporary.
        is_quick: To see that it works, in place of figures that can be trusted.
        given_rounds: How many rounds there are, if the user says so.
        only: The peers to measure; all if empty.
        order: Draws the order of the turns.
        missing: Peers that are not measured, and why.
        failures: Candidates that have failed in a workload, and what they said;
            the next workload tries them again.
    """

    folder: Path
    is_quick: bool = False
    given_rounds: int | None = None
    only: frozenset[str] = frozenset()
    order: random.Random = field(factory=random.Random)
    missing: dict[str, str] = field(factory=dict)
    failures: list[tuple[str, str]] = field(factory=list)
    _workers: dict[tuple[str, int], Worker] = field(factory=dict)

    def rounds(self, usual: int, quick: int = 2) -> int:
        """How many rounds to measure, where `usual` make figures that can be trusted."""
        return self.given_rounds or (quick if self.is_quick else usual)

    def candidates(
        self, *deeds: str, ways: Mapping[str, Sequence[str]] | None = None
    ) -> dict[str, tuple[str, str]]:
        """The peers that are here, are wanted, and can do this, in all ways.

        Args:
            *deeds: What they must be able to do.
            ways: The ways of peers that do not have only one.

        Returns:
            For each row of a table the peer, and its way (empty if it is the only one).
        """
        return {
            f"{peer}, {way}" if way else peer: (peer, way)
            for peer in PEERS
            if (worker := self._available(peer)) and worker.deeds.issuperset(deeds)
            for way in (ways or {}).get(peer, ("",))
        }

    @property
    def burst(self) -> int:
        """How many connections there are in one turn."""
        return 10 if self.is_quick else BURST

    def worker(self, name: str) -> Worker:
        """The process of a peer that is measured; it lives as long as the lab."""
        return self._worker(name, measured_core())

    @property
    def neutral(self) -> Worker:
        """The other end, on the other core if there is one."""
        return self._worker(NEUTRAL, _cores()[0])

    @contextmanager
    def new_worker(self, name: str) -> Iterator[Worker]:
        """A process of a peer in which nothing has run before."""
        worker = Worker(name, PEERS[name].command(self.folder), measured_core())
        try:
            yield worker
        finally:
            worker.end()

    def measure(self, candidates: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, list[T]]:
        """Have all candidates take turns; one round before the first is not counted.

        A candidate that fails is left out, with what it said, unless it is this
        package or what it is compared to.

        Raises:
            WorkerFailed: One of those did.
        """
        samples: dict[str, list[T]] = {name: [] for name in candidates}
        for index in range(rounds + 1):
            for name in self.order.sample(list(samples), len(samples)):
                try:
                    sample = candidates[name]()
                except WorkerFailed as failure:
                    self._fail(name, failure)
                    del samples[name]
                else:
                    if index:
                        samples[name].append(sample)
        return samples

    def calls(self, turns: Mapping[str, Turn], count: int) -> dict[str, float]:
        """Calls of Python for each piece of work, by cProfile.

        Args:
            turns: The candidates' turns, which are not timed here. Those without
                Python are left out.
            count: Pieces of work in a turn.
        """
        found = {}
        for name, turn in turns.items():
            worker = self.worker(peer_of(name))
            if "profile" in worker.deeds:
                worker.ask("profile", on=True)
                try:
                    turn()
                except WorkerFailed as failure:
                    self._fail(name, failure)
                else:
                    found[name] = worker.ask("profile", on=False)["calls"] / count
        return found

    def call(self, work: Callable[[], object], count: int, unit: float) -> Sample:
        """A turn that needs no other process: `count` calls in this one, on the measured core.

        Args:
            work: What to call.
            count: How often.
            unit: What to multiply CPU seconds with, to have the table's unit.
        """
        mine = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {measured_core()})
        try:
            before = time.process_time()
            for _ in range(count):
                work()
            return Sample((time.process_time() - before) / count * unit)
        finally:
            os.sched_setaffinity(0, mine)

    def notes(self) -> list[str]:
        """What a reader of the tables has to know."""
        libraries: dict[str, list[str]] = {}
        for (name, _), worker in self._workers.items():
            if worker.is_used and name not in libraries.setdefault(worker.library, []):
                libraries[worker.library].append(name)
        return [
            f"Measured on {date.today()}: {processor()}, {len(_cores())} cores,"
            f" {platform.system()} {platform.release()}, load {os.getloadavg()[2]:.1f}.",
            "All stacks: the same certificate (P-256, from an authority that clients verify),"
            " each library's default ciphers and groups, TLS 1.2 or newer (all agree on 1.3).",
            *(f"{', '.join(names)}: {library}." for library, names in libraries.items()),
            "A neutral peer (blocking pyOpenSSL) is at the other end, on another core"
            " if there are two.",
            *(f"Left out: {name}: {reason}." for name, reason in self.missing.items()),
            *(f"Failed: {name}: {reason}." for name, reason in self.failures),
        ]

    def end(self) -> None:
        """End all workers."""
        while self._workers:
            self._workers.popitem()[1].end()

    def _available(self, name: str) -> Worker | None:
        if (self.only and name not in self.only) or name in self.missing:
            return None
        if missing := PEERS[name].missing():
            self.missing[name] = f"needs {missing}"
            return None
        try:
            return self.worker(name)
        except (WorkerFailed, OSError, subprocess.SubprocessError) as failure:
            if name in (OURS, STOCK):
                raise
            self.missing[name] = f"does not start: {failure}"
            return None

    def _fail(self, name: str, failure: WorkerFailed) -> None:
        """Go on without a candidate, but not without this package or its baseline."""
        if name.startswith((OURS, STOCK)):
            raise failure
        self.failures.append((name, str(failure)))
        for key in [key for key in self._workers if key[0] == peer_of(name)]:
            self._workers.pop(key).end()

    def _worker(self, name: str, core: int) -> Worker:
        if (name, core) not in self._workers:
            self._workers[name, core] = Worker(name, PEERS[name].command(self.folder), core)
        return self._workers[name, core]


@frozen
class Workload:
    """What one script measures.

    Attributes:
        about: What it says of itself for ``--help``: the docstring of its module.
        tables: Measures and summarises.
    """

    about: str
    tables: Callable[[Lab], Iterable[Table]]

    def main(self) -> None:
        """The script: measure, and print the tables."""
        run([self], self.about, sys.argv[1:])


def run(
    workloads: Sequence[Workload],
    about: str,
    arguments: Sequence[str],
    write: Callable[[Path, list[Table], list[str]], None] | None = None,
) -> None:
    """Run workloads as the command line says.

    Args:
        workloads: One after the other.
        about: The help's first part.
        arguments: The command line.
        write: Gets the folder that the user named for the results.
    """
    options = _parser(about, write is not None).parse_args(arguments)
    # Ended as by Ctrl-C, so that the workers are ended, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            _write_certificates(folder)
            lab = Lab(folder, options.quick, options.rounds, frozenset(options.only))
            stack.callback(lab.end)
            tables: list[Table] = []
            failures: list[WorkerFailed] = []
            for workload in workloads:
                try:
                    for table in workload.tables(lab):
                        tables.append(table)
                        if not options.json:
                            print((one_line if options.brief else plain_text)(table), flush=True)
                except WorkerFailed as failure:
                    # What the others have measured in a quarter of an hour is not lost.
                    failures.append(failure)
                    lab.end()
            notes = lab.notes() + [f"Not measured: {failure}." for failure in failures]
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    if options.json:
        json.dump(document(tables, notes), sys.stdout, indent=1)
    else:
        print("".join(f"- {note}\n" for note in notes), end="")
    if write is not None and options.into is not None and tables:
        write(options.into, tables, notes)
    if failures:
        sys.exit(f"{len(failures)} of {len(workloads)} workloads failed")


def peer_of(row: str) -> str:
    """The peer that a row of a table is about, whose name begins the row's; empty if none."""
    return max((name for name in PEERS if row.startswith(name)), key=len, default="")


def _parser(about: str, can_write: bool) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="two rounds, to see that it works")
    parser.add_argument("--rounds", type=_at_least_one, metavar="N", help="how many turns each")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        choices=list(PEERS),
        metavar="PEER",
        help=f"measure this one; can be given again: {', '.join(PEERS)}",
    )
    parser.add_argument("--brief", action="store_true", help="print a line a table")
    parser.add_argument("--json", action="store_true", help="print JSON in place of tables")
    if can_write:
        parser.add_argument(
            "--into",
            type=Path,
            metavar="FOLDER",
            help="write performance.md, performance.json and performance.svg; what stands in the"
            " page above its mark is kept",
        )
    return parser


def _at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def processor() -> str:
    """What Linux calls the processor."""
    found = re.search(
        r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE
    )
    return found[1] if found else platform.machine()


def measured_core() -> int:
    """The core on which what is measured runs; the other end is on the first one."""
    return _cores()[-1]


def _cores() -> list[int]:
    """The cores that this process may use."""
    return sorted(os.sched_getaffinity(0))


def _write_certificates(folder: Path) -> None:
    authority = Authority.create()
    folder.joinpath("ca.pem").write_bytes(authority.pem)
    write_private(folder / "site.pem", authority.issue("localhost").pem)
