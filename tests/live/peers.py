"""Foreign peers: programs of others, started for a test and gone after it.

A peer is a child process. What it prints is kept, can be waited for, and is
shown when the test fails; whatever happens, it is killed and reaped.

Where a program is missing, a live test is skipped and says why. With
TXTRANSPORT_REQUIRE_PEERS=1 in the environment it fails instead, so that a
machine that is there to run these tests does not pass without them.
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
"""The environment's variable; ``1`` makes a missing peer a failure."""

PATIENCE: Final = 8.0
"""Seconds that a peer has for anything that a test waits for."""


# --- is it there? ----------------------------------------------------------------


@frozen
class Program:
    """A program of others.

    Attributes:
        command: Its name on the path.
        question: Arguments upon which it prints what it is, if it does.
        answer: What it must print then, as a regular expression.
        elsewhere: Folders that are not on everyone's path, as a glob pattern.
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


def path(program: Program, environ: Mapping[str, str]) -> str:
    """Where a program is.

    Args:
        program: Which.
        environ: Decides by `REQUIRE` what it means when there is none.

    Raises:
        SkipTest: It is not to be had here.
        AssertionError: The same, where peers are required.
    """
    folders = [environ.get("PATH", os.defpath), *glob.glob(program.elsewhere)]
    found = shutil.which(program.command, path=os.pathsep.join(folders))
    demand(_problem(program, found), environ)
    assert found is not None
    return found


def demand(problem: str | None, environ: Mapping[str, str]) -> None:
    """See that nothing is lacking.

    Args:
        problem: What is, or None.
        environ: Decides by `REQUIRE` what that means.

    Raises:
        SkipTest: Something is.
        AssertionError: The same, where peers are required.
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


# --- while it runs ---------------------------------------------------------------


class Peer(ProcessProtocol):
    """A program, while a test has to do with it.

    Args:
        clock: For the bounds of the waits.
        command: What was started, for people.
        farewell: The signal that ends it. A program with processes of its own
            takes ``TERM`` as word to end those first.

    Attributes:
        printed: What it has printed so far, errors included.
    """

    transport: Any

    def __init__(self, clock: IReactorTime, command: str, farewell: str = "KILL") -> None:
        self.command = command
        self.printed = b""
        self._clock = clock
        self._farewell = farewell
        self._code: int | None = None
        self._is_over = False
        self._waits: dict[Deferred[Any], Callable[[], Any]] = {}

    def prints(self, pattern: bytes) -> Deferred[re.Match[bytes]]:
        """Fires with the match, once it has printed that.

        Args:
            pattern: A regular expression. ``^`` and ``$`` stand at lines' ends,
                and ``$`` also where more of the line may come.
        """
        search = re.compile(pattern, re.MULTILINE).search
        return self._wait(f"print {pattern!r}", lambda: search(self.printed))

    async def exits(self) -> int | None:
        """Its exit code, when it has come to its end; None after a signal."""
        await self._wait("end", lambda: self._is_over)
        return self._code

    def type(self, data: bytes) -> None:
        """Write to its standard input."""
        self.transport.write(data)

    def kill(self, signal: str = "KILL") -> None:
        """End it at once, with no time for a farewell unless the signal leaves it some."""
        with contextlib.suppress(ProcessExitedAlready):
            self.transport.signalProcess(signal)

    async def reaped(self) -> None:
        """Ended, if need be, and over, with whatever it had started that can still print."""
        self.kill(self._farewell)
        try:
            await self.exits()
        finally:
            self.kill()

    def transcript(self) -> str:
        """What it was and what it printed."""
        return f"--- {self.command}\n{self.printed.decode(errors='backslashreplace')}\n---"

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        self.printed += data
        self._look()

    def processEnded(self, reason: Failure) -> None:
        ended: Any = reason.value
        self._code = ended.exitCode
        self._is_over = True
        self._look()

    def _wait(self, what: str, question: Callable[[], Any]) -> Deferred[Any]:
        """Fires with the question's answer, once it is true."""
        wait: Deferred[Any] = Deferred(lambda wait: self._in_vain(wait, what))
        self._waits[wait] = question
        wait.addTimeout(PATIENCE, self._clock, lambda failure, seconds: failure)
        self._look()
        return wait

    def _look(self) -> None:
        for wait, question in list(self._waits.items()):
            answer = question()
            if answer and self._waits.pop(wait, None):
                wait.callback(answer)
        for wait in list(self._waits) if self._is_over else ():
            wait.cancel()

    def _in_vain(self, wait: Deferred[Any], what: str) -> None:
        del self._waits[wait]
        how = f"ended with {self._code}" if self._is_over else f"had {PATIENCE:g} seconds"
        wait.errback(AssertionError(f"{self.command.split()[0]} did not {what}; it {how}"))


def under_tls(recorder: Recorder) -> Session:
    """The session of a conversation of ours that is under TLS."""
    session = session_of(recorder.transport)
    assert session is not None
    return session


class PeerTestCase(LoopbackTestCase):
    """A test with a foreign program.

    Attributes:
        program: Which.
    """

    program: ClassVar[Program]

    def setUp(self) -> None:
        """Find the program, and see to it that it is heard when the test fails."""
        path(self.program, os.environ)
        self._peers: list[Peer] = []
        self._is_well = False
        name = self.id().rpartition(".")[2]
        setattr(self, name, self._bounded(getattr(self, name)))

    def start(
        self,
        *arguments: str,
        program: Program | None = None,
        farewell: str = "KILL",
        user: str | None = None,
        environ: Mapping[str, str] = MappingProxyType({}),
    ) -> Peer:
        """Start a program; when the test is over, so is it.

        Args:
            *arguments: As its command line has them.
            program: Which, if not the one that the test is about.
            farewell: As for `Peer`.
            user: Whose rights it has when we are root; the very same by default.
            environ: Added to its environment.
        """
        program = program or self.program
        found = path(program, os.environ)
        peer = Peer(self.reactor, " ".join((program.command, *arguments)), farewell)
        environ = {**os.environ, "LC_ALL": "C", **environ}
        rights = pwd.getpwnam(user)[2:4] if user and not os.geteuid() else (None, None)
        # From here, where the working folder may be root's alone.
        folder = "/" if user else None
        # By its whole path, from which some find what belongs to them.
        command = [found, *arguments]
        self.reactor.spawnProcess(peer, found, command, environ, folder, *rights)
        self.addCleanup(lambda: ensureDeferred(peer.reaped()))
        self._peers.append(peer)
        return peer

    def refusal(self) -> Deferred[HandshakeFailed]:
        """Fires with the next reason for which a server of ours turns a peer away, as logged."""
        refused: Deferred[HandshakeFailed] = Deferred()

        @provider(ILogObserver)
        def observe(event: LogEvent) -> None:
            if isinstance(event.get("error"), HandshakeFailed) and not refused.called:
                refused.callback(event["error"])

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        return refused

    def folder(self) -> Path:
        """A new folder with a short name, gone when the test is over."""
        made = tempfile.mkdtemp(prefix="txt-")
        self.addCleanup(shutil.rmtree, made)
        return Path(made)

    def tearDown(self) -> None:
        """Tell what the peers printed, which are over by now, unless all was well."""
        for peer in () if self._is_well else self._peers:
            sys.stderr.write(f"\n{peer.transcript()}\n")

    def _bounded(self, test: Callable[[], object]) -> Callable[[], Awaitable[None]]:
        """The test, which ends before trial's own timeout, and whose success is noted.

        Trial would leave a coroutine behind that goes on while it cleans up.
        """

        async def bounded() -> None:
            await maybeDeferred(test).addTimeout(self.timeout * 0.75, self.reactor)
            self._is_well = True

        return bounded
