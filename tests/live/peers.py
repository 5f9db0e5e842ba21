"""Runs foreign peers: programs of other projects, each a child process of one test.

A test can wait for the output of a peer, which is shown when the test fails.
The process is killed and reaped when the test ends, whatever happens.

When a program is missing, a live test is skipped and says why. With
TXTRANSPORT_REQUIRE_PEERS=1 in the environment it fails instead, so that a
machine which is set up for these tests cannot pass without running them.
"""

from __future__ import annotations

import contextlib
import functools
import glob
import os
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Final
from unittest import SkipTest

from attrs import frozen
from twisted.internet.defer import Deferred, ensureDeferred, maybeDeferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import provider

from tests.loopback import LoopbackTestCase, Recorder
from txtransport.errors import HandshakeFailed
from txtransport.tls.session import Session, session_of

REQUIRE: Final = "TXTRANSPORT_REQUIRE_PEERS"
"""The environment variable; with ``1``, a missing program is a failure."""

PATIENCE: Final = 8.0
"""Seconds that a test waits for a peer, each time."""


# --- finding programs --------------------------------------------------------------


@frozen
class Program:
    """A program that tests can start, and how to recognize the right version.

    Attributes:
        command: The name of its executable.
        question: Arguments with which it prints its version; empty when the
            program need not be asked.
        answer: A regular expression that this output must match.
        elsewhere: Folders to search besides PATH, as a glob pattern.
    """

    command: str
    question: tuple[str, ...]
    answer: str
    elsewhere: str = "/usr/sbin"


OPENSSL: Final = Program("openssl", ("version",), r"OpenSSL [3-9]\.")
CURL: Final = Program(
    "curl", ("--version",), r"(?m)^Protocols: .*\bftp .*\bimap .*\bpop3 .*\bsmtp\b"
)
PHP: Final = Program(
    "php",
    ("-r", 'echo "PHP ", PHP_VERSION, extension_loaded("openssl") ? " with" : " without", " TLS";'),
    r"PHP (8\.[1-9]|9)\S* with TLS",
)
TESTSSL: Final = Program("testssl", (), "")


def path(program: Program, environ: Mapping[str, str]) -> str:
    """Find a program's executable.

    Args:
        program: The program.
        environ: The environment: PATH, and `REQUIRE`.

    Returns:
        The path of the executable.

    Raises:
        SkipTest: The program is missing, or is not of the right version.
        AssertionError: The same, when `REQUIRE` is 1.
    """
    folders = [environ.get("PATH", os.defpath), *glob.glob(program.elsewhere)]
    found = shutil.which(program.command, path=os.pathsep.join(folders))
    demand(_problem(program, found), environ)
    assert found is not None
    return found


def demand(problem: str | None, environ: Mapping[str, str]) -> None:
    """Skip or fail the test when something that it needs is missing.

    Args:
        problem: What is missing, as a sentence; None when nothing is.
        environ: The environment: `REQUIRE` decides between skip and failure.

    Raises:
        SkipTest: There is a problem.
        AssertionError: The same, when `REQUIRE` is 1.
    """
    if problem is None:
        return
    if environ.get(REQUIRE) == "1":
        raise AssertionError(f"{problem}, and {REQUIRE}=1 demands it")
    raise SkipTest(problem)


@functools.cache
def _problem(program: Program, found: str | None) -> str | None:
    if found is None:
        return f"there is no {program.command} here"
    if not program.question:
        return None
    asked = subprocess.run([found, *program.question], capture_output=True, text=True, timeout=30)
    if re.search(program.answer, asked.stdout + asked.stderr):
        return None
    said = (asked.stdout or asked.stderr).strip()[:80]
    return f"this {program.command} is not of use here; it says {said!r}"


# --- running programs --------------------------------------------------------------


class Peer(ProcessProtocol):
    """A running program.

    Args:
        clock: Bounds the waits, which end after `PATIENCE` unless they say otherwise.
        command: The command line, for messages.
        stop_signal: The signal that ends it. A program with child processes
            may need ``TERM``, so that it can end those first.

    Attributes:
        command: The command line.
        printed: Its output so far, standard output and standard error.
    """

    transport: Any

    def __init__(self, clock: IReactorTime, command: str, stop_signal: str = "KILL") -> None:
        self.command = command
        self.printed = b""
        self._clock = clock
        self._stop_signal = stop_signal
        self._code: int | None = None
        self._is_over = False
        self._waits: dict[Deferred[Any], Callable[[], Any]] = {}

    def prints(self, pattern: bytes, patience: float = PATIENCE) -> Deferred[re.Match[bytes]]:
        """Fires with the match, once the output contains the pattern.

        Args:
            pattern: A regular expression. ``^`` and ``$`` match at lines, and
                ``$`` also at the end of the output so far.
            patience: The most seconds to wait.
        """
        search = re.compile(pattern, re.MULTILINE).search
        return self._wait(f"print {pattern!r}", lambda: search(self.printed), patience)

    async def exits(self, patience: float = PATIENCE) -> int | None:
        """Wait until the program has ended.

        Args:
            patience: The most seconds to wait.

        Returns:
            Its exit code, None after a signal.
        """
        await self._wait("end", lambda: self._is_over, patience)
        return self._code

    def type(self, data: bytes) -> None:
        """Write to its standard input."""
        self.transport.write(data)

    def kill(self, signal: str = "KILL") -> None:
        """Send it a signal, unless it has ended.

        Args:
            signal: The signal's name, without SIG; ``KILL`` ends it at once.
        """
        with contextlib.suppress(ProcessExitedAlready):
            self.transport.signalProcess(signal)

    async def reaped(self) -> None:
        """End the program if it runs, and wait until it is reaped.

        It is not over before its child processes have closed their copies of
        its output as well.
        """
        self.kill(self._stop_signal)
        try:
            await self.exits()
        finally:
            self.kill()

    def transcript(self) -> str:
        """The command line and the output, for a failed test."""
        return f"--- {self.command}\n{self.printed.decode(errors='backslashreplace')}\n---"

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        self.printed += data
        self._check_waits()

    def processEnded(self, reason: Failure) -> None:
        ended: Any = reason.value
        self._code = ended.exitCode
        self._is_over = True
        self._check_waits()

    def _wait(
        self, what: str, condition: Callable[[], Any], patience: float = PATIENCE
    ) -> Deferred[Any]:
        """Fires with the condition's value, once it is true.

        Args:
            what: What the program must do, for the error: a verb.
            condition: Is called after each output and at the program's end.
            patience: The most seconds to wait.
        """
        wait: Deferred[Any] = Deferred(lambda wait: self._fail(wait, what, patience))
        self._waits[wait] = condition
        wait.addTimeout(patience, self._clock, lambda failure, seconds: failure)
        self._check_waits()
        return wait

    def _check_waits(self) -> None:
        for wait, condition in list(self._waits.items()):
            value = condition()
            if value and self._waits.pop(wait, None):
                wait.callback(value)
        for wait in list(self._waits) if self._is_over else ():
            wait.cancel()

    def _fail(self, wait: Deferred[Any], what: str, patience: float) -> None:
        del self._waits[wait]
        how = f"ended with {self._code}" if self._is_over else f"had {patience:g} seconds"
        wait.errback(AssertionError(f"{self.command.split()[0]} did not {what}; it {how}"))


def under_tls(recorder: Recorder) -> Session:
    """The session of a protocol that is connected with TLS."""
    session = session_of(recorder.transport)
    assert session is not None
    return session


class PeerTestCase(LoopbackTestCase):
    """A test with a foreign program.

    Attributes:
        program: The program that the test is about; the test is skipped or
            fails without it.
    """

    program: ClassVar[Program]

    def setUp(self) -> None:
        """Find the program, and prepare to show its output when the test fails."""
        path(self.program, os.environ)
        self._peers: list[Peer] = []
        self._has_passed = False
        name = self.id().rpartition(".")[2]
        setattr(self, name, self._bounded(getattr(self, name)))

    def start(
        self,
        *arguments: str,
        program: Program | None = None,
        stop_signal: str = "KILL",
        user: str | None = None,
        environ: Mapping[str, str] = MappingProxyType({}),
    ) -> Peer:
        """Start a program that runs until the test is over at the latest.

        Args:
            *arguments: Its command line, without the executable.
            program: The program; by default the one that the test is about.
            stop_signal: As for `Peer`.
            user: The user that it runs as when the tests run as root; by
                default root.
            environ: Added to its environment.
        """
        program = program or self.program
        found = path(program, os.environ)
        peer = Peer(self.reactor, " ".join((program.command, *arguments)), stop_signal)
        environ = {**os.environ, "LC_ALL": "C", **environ}
        user_and_group = pwd.getpwnam(user)[2:4] if user and not os.geteuid() else (None, None)
        # Another user may not be able to enter the current folder.
        folder = "/" if user else None
        # Its whole path, because some programs find their own files by it.
        command = [found, *arguments]
        self.reactor.spawnProcess(peer, found, command, environ, folder, *user_and_group)
        self.addCleanup(lambda: ensureDeferred(peer.reaped()))
        self._peers.append(peer)
        return peer

    def refusal(self) -> Deferred[HandshakeFailed]:
        """Fires with the next `HandshakeFailed` that a server of ours logs."""
        refused: Deferred[HandshakeFailed] = Deferred()

        @provider(ILogObserver)
        def observe(event: LogEvent) -> None:
            if isinstance(event.get("error"), HandshakeFailed) and not refused.called:
                refused.callback(event["error"])

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        return refused

    def folder(self) -> Path:
        """A new folder with a short path, which is removed when the test is over."""
        made = tempfile.mkdtemp(prefix="txt-")
        self.addCleanup(shutil.rmtree, made)
        return Path(made)

    def tearDown(self) -> None:
        """Show what the peers printed, unless the test has passed."""
        for peer in () if self._has_passed else self._peers:
            sys.stderr.write(f"\n{peer.transcript()}\n")

    def _bounded(self, test: Callable[[], object]) -> Callable[[], Awaitable[None]]:
        """Wrap a test so that it ends before trial's timeout, and its success is recorded.

        After its own timeout, trial would begin to clean up while the test's
        coroutine still runs.
        """

        async def bounded() -> None:
            await maybeDeferred(test).addTimeout(self.timeout * 0.75, self.reactor)
            self._has_passed = True

        return bounded
