"""Every error that a connection can fail with has a diagnosis."""

from __future__ import annotations

import errno
import socket

from twisted.internet import error as twisted
from twisted.internet.defer import CancelledError
from twisted.internet.protocol import Factory
from twisted.trial.unittest import SynchronousTestCase

import txtransport
from tests.loopback import LoopbackTestCase, Recorder, Recorders
from txtransport.endpoints.network_errors import NETWORK_ERRORS, diagnosis_of
from txtransport.errors import FAULTS, TLSNotOffered


class TableTests(SynchronousTestCase):
    """Twisted's errors, made by the tests."""

    def test_each_error_has_the_cause_that_a_reader_would_name(self) -> None:
        """Each of Twisted's errors, with its number, has its own cause."""
        causes = [
            (twisted.DNSLookupError("no"), "no-such-name"),
            (twisted.UnknownHostError(), "no-such-name"),
            (twisted.ConnectBindError(errno.EADDRINUSE), "bind-failed"),
            (twisted.CannotListenError("", 1, OSError(errno.EADDRINUSE, "")), "port-taken"),
            (twisted.CannotListenError("", 1, OSError(errno.EACCES, "")), "not-permitted"),
            (twisted.CannotListenError("", 1, OSError(errno.EINVAL, "")), "cannot-listen"),
            (twisted.ConnectionRefusedError(errno.ECONNREFUSED), "refused"),
            (twisted.NoRouteError(errno.ENETUNREACH), "unreachable"),
            (twisted.ConnectError(errno.EHOSTUNREACH), "unreachable"),
            (twisted.ConnectError(errno.ENOENT), "no-such-socket"),
            (twisted.ConnectError(errno.EACCES), "not-permitted"),
            (twisted.ConnectError(errno.EMFILE), "too-many-files"),
            (OSError(errno.EMFILE, "Too many open files"), "too-many-files"),
            (twisted.TimeoutError(), "timeout"),
            (twisted.TCPTimedOutError(errno.ETIMEDOUT), "timeout"),
            (twisted.ConnectError(errno.ECONNRESET), "reset"),
            (twisted.ConnectionLost(), "reset"),
            (twisted.ConnectionDone(), "closed"),
            (twisted.ConnectionAborted(), "aborted"),
            (twisted.ConnectingCancelledError("here"), "cancelled"),
            (CancelledError(), "cancelled"),
            (twisted.NoProtocol(), "no-protocol"),
            (twisted.UnsupportedAddressFamily(), "wrong-family"),
            (twisted.ConnectError(errno.EINVAL), "other"),
            (ValueError("odd"), "other"),
        ]
        for error, cause in causes:
            self.assertEqual(diagnosis_of(error).cause, cause, error)

    def test_every_rule_has_a_fault_a_summary_and_a_remedy(self) -> None:
        """A rule says whose fault it is, what happened and, unless nothing is wrong, what to do."""
        for rule in NETWORK_ERRORS:
            self.assertIn(rule.diagnosis.fault, FAULTS)
            self.assertFalse(
                rule.diagnosis.summary.endswith(".") or rule.diagnosis.remedy.endswith("."),
                rule.diagnosis.cause,
            )
            self.assertTrue(
                rule.diagnosis.remedy or rule.diagnosis.cause in ("closed", "aborted", "cancelled")
            )

    def test_our_own_errors_keep_their_diagnosis(self) -> None:
        """An error of this package keeps the diagnosis that it has."""
        error = TLSNotOffered(b"500 what?")
        self.assertEqual(diagnosis_of(error, "elsewhere"), error.diagnosis)

    def test_the_summary_begins_with_the_endpoint(self) -> None:
        """The summary begins with the endpoint, and the evidence has Twisted's own words."""
        found = diagnosis_of(twisted.ConnectionLost(), "tls://here:1")
        self.assertTrue(found.summary.startswith("tls://here:1: "))
        self.assertIn("ConnectionLost: Connection to the other side", found.evidence[0])

    def test_untrusted_text_is_escaped_and_bounded(self) -> None:
        """What an error quotes is printable and of bounded length."""
        for text in ("\x1b[2J", "\u202eabc"):
            self.assertTrue(diagnosis_of(ValueError(text)).summary.isprintable())
        self.assertLess(len(diagnosis_of(ValueError("x" * 10000)).summary), 300)

    def test_an_error_without_text_is_named_by_its_class(self) -> None:
        """An error whose text cannot be made is named by its class."""

        class Textless(Exception):
            def __str__(self) -> str:
                raise ValueError

        self.assertIn("Textless", diagnosis_of(Textless()).summary)


class SystemErrorTests(LoopbackTestCase):
    """Twisted's errors, caused by the system."""

    async def cause(self, url: str) -> str:
        """The cause for which a client fails to connect."""
        endpoint = txtransport.client(self.reactor, url)
        try:
            await endpoint.connect(Factory.forProtocol(Recorder))
        except Exception as error:
            return diagnosis_of(error).cause
        return "none: it is connected"

    async def test_a_port_without_a_listener_refuses(self) -> None:
        """To connect to a port where nothing listens is refused."""
        self.assertEqual(await self.cause(f"tcp://127.0.0.1:{self.free_port()}"), "refused")

    async def test_a_missing_local_socket_is_named(self) -> None:
        """A local socket that does not exist has a cause of its own."""
        self.assertEqual(await self.cause(f"unix://{self.socket_path()}"), "no-such-socket")

    async def test_a_name_without_an_address_is_named(self) -> None:
        """A name that has no address has a cause of its own."""
        self.resolving()
        self.assertEqual(await self.cause("tcp://nowhere.example:1"), "no-such-name")

    async def test_a_port_in_use_is_taken(self) -> None:
        """To listen on a port that is in use fails as taken."""
        port = await self.listening("tcp://127.0.0.1:0", Recorders())
        with self.assertRaises(twisted.CannotListenError) as caught:
            await txtransport.server(self.reactor, f"tcp://127.0.0.1:{port}").listen(Factory())
        self.assertEqual(diagnosis_of(caught.exception).cause, "port-taken")

    async def test_a_reset_connection_was_cut_off(self) -> None:
        """A connection that the peer resets ends as reset."""
        server = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(server.close)
        client = await self.connected(f"tcp://127.0.0.1:{server.getsockname()[1]}")
        accepted, _ = server.accept()
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        accepted.close()
        reason = await client.gone()
        assert reason.value is not None
        self.assertEqual(diagnosis_of(reason.value).cause, "reset")
