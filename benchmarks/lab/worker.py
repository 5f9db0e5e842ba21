"""A worker process: does what it is told, a line of JSON at a time, and says what it cost.

The harness writes ``{"do": "connect", "port": 4321, "count": 40}``, and the
worker answers ``{"cpu": 0.031, "elapsed": 0.044}``. A worker lives as long as its
standard input: it ends when the harness does, however that ends. Workers in
other languages (peers/peer.php, peers/peer.go) speak the same lines.

What a worker of Python measures with is here as well: its CPU time, its memory
and its calls.
"""

from __future__ import annotations

import cProfile
import gc
import json
import os
import platform
import resource
import ssl
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, Final

Deed = Callable[..., Awaitable[Mapping[str, Any]]]

PATIENCE: Final = 30.0
"""Seconds for one connection, on blocking sockets; a worker that waits longer fails."""


async def obey(
    deeds: Mapping[str, Deed],
    readable: Callable[[int], Awaitable[object]],
    library: str,
    *,
    has_own_work: bool = True,
) -> None:
    """Do what standard input says, until it ends.

    Args:
        deeds: What this worker can do, by name.
        readable: Waits until a file descriptor can be read, and serves meanwhile.
        library: Which TLS library it links, and what else tells this worker apart.
        has_own_work: Whether this process is measured, and not one that it runs.
    """
    if has_own_work:
        deeds = {"usage": _usage, "memory": _memory, "profile": _profile, **deeds}
    _answer({"deeds": sorted(deeds), "library": library})
    while True:
        await readable(sys.stdin.fileno())
        line = sys.stdin.readline()
        if not line:
            return
        request = json.loads(line)
        try:
            _answer(await deeds[request.pop("do")](**request))
        except Exception as error:  # the harness leaves this worker out, and says why
            _answer({"error": f"{type(error).__name__}: {error}"})


def run_blocking(work: Coroutine[Any, Any, None]) -> None:
    """Run `obey` without an event loop, where nothing that it awaits suspends."""
    try:
        work.send(None)
    except StopIteration:
        return
    raise RuntimeError("a blocking worker awaits an event")


class Costs:
    """Measures the body of a ``with``.

    Attributes:
        cpu: Seconds of this process, of the user and of the system.
        elapsed: Seconds on the clock.
    """

    cpu = elapsed = 0.0

    def __enter__(self) -> Costs:
        self._cpu, self._clock = cpu_seconds(), time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.cpu = cpu_seconds() - self._cpu
        self.elapsed = time.perf_counter() - self._clock

    def answer(self) -> dict[str, float]:
        """As the worker reports it."""
        return {"cpu": self.cpu, "elapsed": self.elapsed}


def python_library() -> str:
    """The versions, for workers with Python's own ssl."""
    openssl = " ".join(ssl.OPENSSL_VERSION.split()[:2])
    return f"Python {platform.python_version()}, {openssl}, which Python's ssl links"


def cpu_seconds() -> float:
    """What this process has used, by getrusage (to the microsecond)."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def _usage() -> dict[str, float]:
    """What a server has used so far: the harness asks before and after."""
    return {"cpu": cpu_seconds()}


async def _memory() -> dict[str, int]:
    """The resident memory in bytes, without garbage."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return {"bytes": pages * os.sysconf("SC_PAGE_SIZE")}


_profiler = cProfile.Profile()


async def _profile(on: bool) -> dict[str, int]:
    """Begin to count calls, or end and tell how many there were."""
    global _profiler
    if on:
        _profiler = cProfile.Profile()
        _profiler.enable()
        return {}
    _profiler.disable()
    # inlined: as pstats does, without reading the code of every function.
    return {"calls": sum(entry.callcount for entry in _profiler.getstats())}


def _answer(result: Mapping[str, Any]) -> None:
    print(json.dumps(result), flush=True)
