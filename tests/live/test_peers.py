"""Foreign peers: when one may be missing, and that none outlives its test."""

from __future__ import annotations

import os
import sys
from io import StringIO
from typing import Any
from unittest import SkipTest
from unittest import TestResult as Outcome

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.live.peers import PATIENCE, REQUIRE, Peer, PeerTestCase, Program, path

SHELL = Program("sh", ("-c", "echo a shell"), "a shell")
PYTHON = Program(sys.executable, (), "")
MISSING = Program("no-such-program", (), "")
STRANGE = Program("sh", ("-c", "echo something else"), "a shell")

PARENT = """
import signal, subprocess

# Blocked, so that a signal which comes before sigwait() waits for it; a shell's
# "wait" may miss one.
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
child = subprocess.Popen(["sleep", "60"])
print("hello", flush=True)
signal.sigwait({signal.SIGTERM})
child.kill()
child.wait()
print("goodbye", flush=True)
"""
"""A program with a child, which it ends when it is told to end."""


class MissingTests(SynchronousTestCase):
    """A program that is missing."""

    def test_an_installed_program_is_found(self) -> None:
        """When the program is installed, its test runs."""
        for environ in ({}, {REQUIRE: "1"}):
            self.assertTrue(os.access(path(SHELL, environ), os.X_OK))

    def test_a_program_may_be_outside_of_path(self) -> None:
        """A program may be outside of PATH, and need not be asked for its version."""
        mute = Program("sh", (), "never said", "/b[i]n")
        self.assertEqual(path(mute, {"PATH": "/nowhere", REQUIRE: "1"}), "/bin/sh")

    def test_a_missing_program_is_a_reason_to_skip(self) -> None:
        """A missing or wrong program skips the test, with the reason."""
        rows = {MISSING: "there is no no-such-program here", STRANGE: "it says 'something else'"}
        for program, reason in rows.items():
            for environ in ({}, {REQUIRE: ""}, {REQUIRE: "0"}):
                skipped = self.assertRaises(SkipTest, path, program, environ)
                self.assertIn(reason, str(skipped))

    def test_a_missing_required_program_is_a_failure(self) -> None:
        """When peers are required, the test fails for the same reason."""
        rows = {MISSING: "there is no no-such-program here", STRANGE: "it says 'something else'"}
        for program, reason in rows.items():
            failed = self.assertRaises(AssertionError, path, program, {REQUIRE: "1"})
            self.assertIn(reason, str(failed))
            self.assertIn(f"{REQUIRE}=1", str(failed))

    def test_a_whole_test_is_skipped_or_fails(self) -> None:
        """A whole test case is skipped, and fails when peers are required."""

        class Live(PeerTestCase):
            program = MISSING

            async def test(self) -> None:
                """Never runs."""

        for required, outcome in {"": "skipped", "1": "errors"}.items():
            self.patch(os, "environ", {**os.environ, REQUIRE: required})
            result = Outcome()
            Live("test").run(result)
            ((_, told),) = getattr(result, outcome)
            self.assertIn("no-such-program", str(told))


class PeerTests(SynchronousTestCase):
    """What a test can wait for."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.peer = Peer(self.clock, "peer --loud")

    def test_output_may_come_in_pieces(self) -> None:
        """The output may come in pieces, before or after the test begins to wait for it."""
        waiting = self.peer.prints(rb"^port (\d+)\n")
        self.peer.childDataReceived(1, b"hello\npo")
        self.peer.childDataReceived(2, b"rt 42")
        self.assertNoResult(waiting)
        self.peer.childDataReceived(1, b"\n")
        for each in (waiting, self.peer.prints(rb"^port (\d+)\n")):
            self.assertEqual(self.successResultOf(each)[1], b"42")

    def test_a_wait_ends_with_an_error(self) -> None:
        """A wait for output that never comes ends, and the error says what was waited for."""
        waiting = self.peer.prints(rb"never")
        self.clock.advance(PATIENCE)
        error = self.failureResultOf(waiting, AssertionError).value
        self.assertIn("peer did not print b'never'", str(error))
        self.assertEqual(self.clock.getDelayedCalls(), [])


class CleanUpTests(SynchronousTestCase):
    """What is left of a peer when its test is over."""

    def outcome(self, test: Any) -> tuple[Outcome, str, int]:
        """Run a test with a shell that prints hello and stays: result, standard error, pid."""
        pids = []

        class Live(PeerTestCase):
            program = SHELL
            timeout = 1

            async def test(self) -> None:
                """Runs what is to be tried."""
                peer = self.start("-c", "echo hello; exec sleep 60")
                pids.append(peer.transport.pid)
                await peer.prints(b"hello")
                await test(self, peer)

        told = StringIO()
        self.patch(sys, "stderr", told)
        result = Outcome()
        Live("test").run(result)
        (pid,) = pids
        return result, told.getvalue(), pid

    def assert_reaped(self, pid: int) -> None:
        """There is no process of that number any more, not even a zombie."""
        self.assertRaises(ProcessLookupError, os.kill, pid, 0)

    def test_a_success_leaves_no_process_and_no_output(self) -> None:
        """A test that passes leaves no process, and shows nothing."""

        async def passes(case: PeerTestCase, peer: Peer) -> None:
            pass

        result, told, pid = self.outcome(passes)
        self.assertEqual((result.errors, result.failures), ([], []))
        self.assertEqual(told, "")
        self.assert_reaped(pid)

    def test_a_failure_leaves_no_process_and_shows_the_output(self) -> None:
        """A test that fails leaves no process, and the peer's output is shown."""

        async def fails(case: PeerTestCase, peer: Peer) -> None:
            case.fail("as it must")

        result, told, pid = self.outcome(fails)
        self.assertEqual(len(result.failures), 1)
        self.assertIn("echo hello; exec sleep 60\nhello\n", told)
        self.assert_reaped(pid)

    def test_a_timeout_leaves_no_process(self) -> None:
        """A test that times out leaves no process either."""

        async def hangs(case: PeerTestCase, peer: Peer) -> None:
            await Deferred()

        result, told, pid = self.outcome(hangs)
        self.assertEqual(len(result.errors), 1)
        self.assertIn("hello\n", told)
        self.assert_reaped(pid)

    def test_a_peer_can_end_its_own_children(self) -> None:
        """A peer with child processes gets the time to end them."""
        peers: list[Peer] = []

        class Live(PeerTestCase):
            program = PYTHON

            async def test(self) -> None:
                """Starts one that has a child."""
                peers.append(self.start("-c", PARENT, stop_signal="TERM"))
                await peers[0].prints(b"hello")

        result = Outcome()
        Live("test").run(result)
        self.assertEqual((result.errors, result.failures), ([], []))
        self.assertEqual(peers[0].printed, b"hello\ngoodbye\n")

    def test_a_wait_ends_with_the_peer(self) -> None:
        """A wait for a peer that has ended fails at once."""

        async def waits(case: PeerTestCase, peer: Peer) -> None:
            waiting = peer.prints(b"more")
            peer.kill()
            await waiting

        result, _, pid = self.outcome(waits)
        ((_, told),) = result.errors
        self.assertIn("sh did not print b'more'; it ended", told)
        self.assert_reaped(pid)
