"""Starts workers, pins them to a core, talks to them, and ends every one of them."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]

PATIENCE: Final = 180.0
"""Seconds that a worker has for an answer."""

FAREWELL: Final = 5.0
"""Seconds that a worker has to end, before it is terminated, and again before it is killed."""


class WorkerFailed(Exception):
    """A worker could not do what it was told: it said so, ended, or took too long."""


class Worker:
    """A process that does what it is told (see worker.py).

    Attributes:
        name: For messages.
        deeds: What it can do.
        library: Its TLS library and what else tells it apart, in its own words.
        is_used: Whether it was told to do anything.
    """

    is_used = False

    def __init__(self, name: str, command: Sequence[str], core: int) -> None:
        """Start it.

        Args:
            name: For messages.
            command: The program with its arguments; runs in the checkout.
            core: The only core on which it may run.
        """
        self.name = name
        mine = os.sched_getaffinity(0)
        # A child inherits the affinity, with all its threads, from its first moment on.
        os.sched_setaffinity(0, {core})
        try:
            # In a session of its own: Ctrl-C is the harness's, which ends it in order.
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                cwd=ROOT,
                start_new_session=True,
            )
        finally:
            os.sched_setaffinity(0, mine)
        self._received = b""
        try:
            greeting = self._next()
        except BaseException:
            self.end()
            raise
        self.deeds: frozenset[str] = frozenset(greeting["deeds"])
        self.library: str = greeting["library"]

    def ask(self, do: str, **arguments: object) -> Mapping[str, Any]:
        """Have it do something.

        Raises:
            WorkerFailed: It did not.
        """
        assert self._process.stdin is not None
        self.is_used = True
        line = json.dumps({"do": do, **arguments}) + "\n"
        try:
            self._process.stdin.write(line.encode())
            self._process.stdin.flush()
        except BrokenPipeError:
            raise WorkerFailed(f"{self.name} has ended") from None
        answer = self._next()
        if "error" in answer:
            raise WorkerFailed(f"{self.name}: {do}: {answer['error']}")
        return answer

    def end(self) -> None:
        """End it, at the latest in twice `FAREWELL`."""
        assert self._process.stdin is not None and self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        for harder in (self._process.terminate, self._process.kill):
            try:
                self._process.wait(FAREWELL)
            except subprocess.TimeoutExpired:
                harder()
        self._process.wait()
        self._process.stdout.close()

    def _next(self) -> dict[str, Any]:
        """The next line that it writes."""
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        deadline = time.monotonic() + PATIENCE
        while b"\n" not in self._received:
            left = max(0, deadline - time.monotonic())
            if not select.select([descriptor], [], [], left)[0]:
                raise WorkerFailed(f"{self.name} gave no answer in {PATIENCE:.0f} seconds")
            data = os.read(descriptor, 65536)
            if not data:
                raise WorkerFailed(f"{self.name} has ended")
            self._received += data
        line, _, self._received = self._received.partition(b"\n")
        found: dict[str, Any] = json.loads(line)
        return found


def child_cpu_seconds(command: Sequence[str], core: int) -> tuple[float, float]:
    """Run a program to its end.

    Returns:
        The CPU time that it took, and the time on the clock, in seconds.

    Raises:
        WorkerFailed: It exits with an error.
    """
    mine = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    began = time.perf_counter()
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            cwd=ROOT,
            start_new_session=True,
        )
    finally:
        os.sched_setaffinity(0, mine)
    try:
        _, status, usage = os.wait4(process.pid, 0)
    except BaseException:
        process.kill()
        process.wait()
        raise
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise WorkerFailed(f"{command[0]} exited with {process.returncode}")
    return usage.ru_utime + usage.ru_stime, time.perf_counter() - began
