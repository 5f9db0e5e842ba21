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
MISSING = Program("no-such-program", (), "")
STRANGE = Program("sh", ("-c", "echo something else"), "a shell")


class MissingTests(SynchronousTestCase):
    """What happens when a program is not there."""

    def test_a_program_that_is_there(self) -> None:
        """Where the program is, its test runs."""
        for environ in ({}, {REQUIRE: "1"}):
            self.assertTrue(os.access(path(SHELL, environ), os.X_OK))

    def test_a_program_that_is_hidden(self) -> None:
        """It may stand off the path, and need not say what it is."""
        mute = Program("sh", (), "never said", "/b[i]n")
        self.assertEqual(path(mute, {"PATH": "/nowhere", REQUIRE: "1"}), "/bin/sh")

    def test_a_missing_program_is_a_reason_to_skip(self) -> None:
        """Where it is not, or is another one, the test is skipped and says why."""
        rows = {MISSING: "there is no no-such-program here", STRANGE: "it says 'something else'"}
        for program, reason in rows.items():
            for environ in ({}, {REQUIRE: ""}, {REQUIRE: "0"}):
                skipped = self.assertRaises(SkipTest, path, program, environ)
                self.assertIn(reason, str(skipped))

    def test_a_required_program_must_be_there(self) -> None:
        """Where peers are required, the test fails for the same reason."""
        rows = {MISSING: "there is no no-such-program here", STRANGE: "it says 'something else'"}
        for program, reason in rows.items():
            failed = self.assertRaises(AssertionError, path, program, {REQUIRE: "1"})
            self.assertIn(reason, str(failed))
            self.assertIn(f"{REQUIRE}=1", str(failed))

    def test_the_test_is_skipped_or_fails(self) -> None:
        """A whole test of a missing program is skipped, and fails where peers are required."""

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

    def test_a_line_that_comes(self) -> None:
        """What is waited for may come in pieces, before or after one waits."""
        waiting = self.peer.prints(rb"^port (\d+)\n")
        self.peer.childDataReceived(1, b"hello\npo")
        self.peer.childDataReceived(2, b"rt 42")
        self.assertNoResult(waiting)
        self.peer.childDataReceived(1, b"\n")
        for each in (waiting, self.peer.prints(rb"^port (\d+)\n")):
            self.assertEqual(self.successResultOf(each)[1], b"42")

    def test_a_line_that_does_not_come(self) -> None:
        """No one waits for ever, and who waited in vain is told for what."""
        waiting = self.peer.prints(rb"never")
        self.clock.advance(PATIENCE)
        error = self.failureResultOf(waiting, AssertionError).value
        self.assertIn("peer did not print b'never'", str(error))
        self.assertEqual(self.clock.getDelayedCalls(), [])


class LeavingTests(SynchronousTestCase):
    """What is left of a peer when its test is over."""

    def outcome(self, test: Any) -> tuple[Outcome, str, int]:
        """What came of a test with a shell that says hello and stays; what was told; its pid."""
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

    def assertReaped(self, pid: int) -> None:
        """There is no process of that number any more, not even a dead one."""
        self.assertRaises(ProcessLookupError, os.kill, pid, 0)

    def test_all_is_well(self) -> None:
        """A test that passes leaves no process, and nothing is told."""

        async def passes(case: PeerTestCase, peer: Peer) -> None:
            pass

        result, told, pid = self.outcome(passes)
        self.assertEqual((result.errors, result.failures), ([], []))
        self.assertEqual(told, "")
        self.assertReaped(pid)

    def test_a_failure(self) -> None:
        """A test that fails leaves no process, and what its peer printed is told."""

        async def fails(case: PeerTestCase, peer: Peer) -> None:
            case.fail("as it must")

        result, told, pid = self.outcome(fails)
        self.assertEqual(len(result.failures), 1)
        self.assertIn("echo hello; exec sleep 60\nhello\n", told)
        self.assertReaped(pid)

    def test_a_timeout(self) -> None:
        """Neither does a test that never ends."""

        async def hangs(case: PeerTestCase, peer: Peer) -> None:
            await Deferred()

        result, told, pid = self.outcome(hangs)
        self.assertEqual(len(result.errors), 1)
        self.assertIn("hello\n", told)
        self.assertReaped(pid)

    def test_a_farewell(self) -> None:
        """A peer with processes of its own is given the time to end them."""
        peers: list[Peer] = []

        class Live(PeerTestCase):
            program = SHELL

            async def test(self) -> None:
                """Starts one that has a child."""
                peers.append(self.start("-c", self.script, farewell="TERM"))
                await peers[0].prints(b"hello")

            script = "trap 'kill $!; wait; echo goodbye; exit' TERM; sleep 60 & echo hello; wait"

        result = Outcome()
        Live("test").run(result)
        self.assertEqual((result.errors, result.failures), ([], []))
        self.assertEqual(peers[0].printed, b"hello\ngoodbye\n")

    def test_a_peer_that_dies(self) -> None:
        """Who waits for a peer that has come to its end is told so at once."""

        async def waits(case: PeerTestCase, peer: Peer) -> None:
            waiting = peer.prints(b"more")
            peer.kill()
            await waiting

        result, _, pid = self.outcome(waits)
        ((_, told),) = result.errors
        self.assertIn("sh did not print b'more'; it ended", told)
        self.assertReaped(pid)
