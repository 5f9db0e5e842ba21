"""Every error that a connection can fail with has a diagnosis."""

from __future__ import annotations

import contextlib
import copy
import errno
import gc
import os
import pickle
import resource
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from twisted.internet import error as twisted
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import DatagramProtocol, Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase

import txtransport
from tests.loopback import LoopbackTestCase, Recorder, Recorders
from txtransport.endpoints.network_errors import (
    NETWORK_ERRORS,
    NetworkError,
    diagnosis_of,
    located,
)
from txtransport.endpoints.srv_records import (
    BadTarget,
    NoServiceRecord,
    NoSuchService,
    ServiceLookUpError,
)
from txtransport.errors import FAULTS, TLSNotOffered, TransportError


@contextlib.contextmanager
def no_more_descriptors(spare: int = 0) -> Iterator[None]:
    """Let this process open so many descriptors more, and no other."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free + spare, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


class Refusing(Factory):
    """A factory that wants no connection."""

    noisy = False

    def buildProtocol(self, addr: object) -> Protocol | None:
        return None


class TableTests(SynchronousTestCase):
    """Twisted's errors, made by the tests."""

    def test_each_error_has_the_cause_that_a_reader_would_name(self) -> None:
        """Each of Twisted's errors, with its number, has its own cause."""
        causes = [
            (twisted.DNSLookupError("no"), "no-such-name"),
            (twisted.UnknownHostError(), "no-such-name"),
            (NoServiceRecord(), "no-srv-record"),
            (NoSuchService(), "no-such-service"),
            (ServiceLookUpError(), "srv-look-up"),
            (BadTarget(), "bad-srv-target"),
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


class LocatedTests(SynchronousTestCase):
    """Twisted's errors with the endpoint, the cause and the remedy."""

    ERRORS: Final = (
        twisted.DNSLookupError("there is no address of h"),
        twisted.UnknownHostError(socket.EAI_NONAME, "unknown"),
        twisted.ConnectBindError(errno.EADDRINUSE, "in use"),
        twisted.ConnectBindError(errno.EMFILE, "Too many open files"),
        twisted.CannotListenError("::1", 7, OSError(errno.EADDRINUSE, "in use")),
        twisted.CannotListenError("/run/x", "/run/x", OSError(errno.EACCES, "denied")),
        twisted.CannotListenError("::2", 7, OSError(errno.EADDRNOTAVAIL, "not here")),
        twisted.ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"),
        twisted.NoRouteError(errno.ENETUNREACH, "unreachable"),
        twisted.ConnectError(errno.EHOSTUNREACH, "unreachable"),
        twisted.ConnectError(errno.ENOENT, "no such file"),
        twisted.ConnectError(errno.EACCES, "denied"),
        twisted.ConnectError(errno.ECONNRESET, "reset"),
        twisted.ConnectError(errno.EINVAL, "odd"),
        twisted.TimeoutError(),
        twisted.TCPTimedOutError(errno.ETIMEDOUT, "timed out"),
        twisted.NoProtocol(),
        twisted.UnsupportedAddressFamily(socket.AF_INET6),
    )
    """What Twisted's connect() and listen() fail with."""

    def test_except_of_either_class_finds_the_error(self) -> None:
        """An error is of Twisted's class and of ours, with the attributes of both."""
        for original in self.ERRORS:
            error = located(original, "tls://h:1")
            self.assertIsInstance(error, type(original))
            self.assertIsInstance(error, TransportError)
            self.assertIs(error.__cause__, original)
            for name, value in vars(original).items():
                self.assertEqual(getattr(error, name), value, name)

    def test_an_error_carries_the_diagnosis_of_the_table(self) -> None:
        """The attributes and the diagnosis are those that `diagnosis_of` finds."""
        for original in self.ERRORS:
            error: Any = located(original, "tls://h:1")
            expected = diagnosis_of(original, "tls://h:1")
            self.assertEqual(diagnosis_of(error, "elsewhere"), expected)
            self.assertEqual((error.cause, error.remedy), (expected.cause, expected.remedy))

    def test_the_text_is_ours_alone(self) -> None:
        """The text begins with the endpoint, has the system's name of the error, and the remedy."""
        for original in self.ERRORS:
            error: Any = located(original, "tls://h:1")
            self.assertTrue(str(error).startswith(error.summary), error)
            self.assertTrue(str(error).startswith("tls://h:1: "), error)
            self.assertTrue(str(error).endswith(error.remedy), error)
        refused = located(twisted.ConnectionRefusedError(errno.ECONNREFUSED), "tcp://h:1")
        self.assertIn("nothing listens there (ECONNREFUSED). Is the server running", str(refused))

    def test_an_error_can_be_copied_and_pickled(self) -> None:
        """The copy has the class, the text, the diagnosis and Twisted's attributes."""
        exhausted = OSError(errno.EMFILE, "Too many open files")
        for original in (*self.ERRORS, exhausted):
            error: Any = located(original, "tls://h:1")
            for copied in (
                copy.copy(error),
                copy.deepcopy(error),
                pickle.loads(pickle.dumps(error)),
            ):
                self.assertIs(type(copied), type(error))
                self.assertEqual((str(copied), copied.args), (str(error), error.args))
                self.assertEqual(copied.diagnosis, error.diagnosis)
                self.assertEqual(repr(vars(copied)), repr(vars(error)))
        kinds = {type(located(original, "x")) for original in (*self.ERRORS, exhausted)}
        self.assertEqual(kinds, {*NetworkError.__subclasses__()})

    def test_the_most_special_class_of_twisted_s_is_kept(self) -> None:
        """A subclass of Twisted's that is not known becomes the nearest that is."""

        class Odd(twisted.ConnectionRefusedError):
            pass

        found = located(Odd(errno.ECONNREFUSED), "tcp://h:1")
        self.assertIsInstance(found, twisted.ConnectionRefusedError)
        self.assertIsInstance(found, NetworkError)

    def test_an_error_of_the_system_keeps_its_number(self) -> None:
        """Whoever looks at ``errno`` of an OSError finds it."""
        error: Any = located(OSError(errno.EMFILE, "Too many open files"), "tls://h:1")
        self.assertIsInstance(error, OSError)
        self.assertEqual((error.errno, error.strerror), (errno.EMFILE, "Too many open files"))
        self.assertTrue(str(error).startswith("tls://h:1: "))

    def test_what_is_not_of_the_network_is_left_alone(self) -> None:
        """Our own errors, a cancelled attempt and a program's exceptions stay as they are."""
        for error in (
            TLSNotOffered(b""),
            located(twisted.NoProtocol(), "x"),
            CancelledError(),
            twisted.ConnectingCancelledError("h"),
            ValueError(),
            OSError(errno.EPERM, "no"),
        ):
            self.assertIs(located(error, "tls://h:1"), error)


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
        """A local socket that does not exist has a cause of its own, and may come with a server."""
        path = self.socket_path()
        Path(f"{path}-file").write_text("precious")
        for place, is_permanent in ((path, False), (f"{path}-file/below", True)):
            endpoint = txtransport.client(self.reactor, f"unix://{place}")
            error: Any = await self.assertFailure(endpoint.connect(Recorders()), NetworkError)
            self.assertEqual((error.cause, error.permanent), ("no-such-socket", is_permanent))

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

    async def test_refusals_and_failed_look_ups_name_the_endpoint(self) -> None:
        """What an endpoint's Deferred fails with has endpoint, cause and remedy."""
        self.resolving(one=["127.0.0.1"])
        taken = await self.listening("tcp://127.0.0.1:0", Recorders())
        free, path = self.free_port(), self.socket_path()
        os.mkdir(path)
        client, server, datagram = txtransport.client, txtransport.server, txtransport.datagram
        rows: tuple[tuple[Any, str, type[Exception], str], ...] = (
            (client, f"tcp://127.0.0.1:{free}", twisted.ConnectionRefusedError, "refused"),
            (client, f"tls://127.0.0.1:{free}", twisted.ConnectionRefusedError, "refused"),
            (client, f"tcp://one:{free}", twisted.ConnectionRefusedError, "refused"),
            (client, "tcp://nowhere.example:1", twisted.DNSLookupError, "no-such-name"),
            (client, "unix:///nonexistent", twisted.ConnectError, "no-such-socket"),
            (server, f"tcp://127.0.0.1:{taken}", twisted.CannotListenError, "port-taken"),
            (server, "tcp://198.51.100.7:0", twisted.CannotListenError, "cannot-listen"),
            (server, "tcp://nowhere.example:1", twisted.DNSLookupError, "no-such-name"),
            (server, f"unix://{path}", twisted.CannotListenError, "port-taken"),
            (datagram, "udp://nowhere.example:1", twisted.DNSLookupError, "no-such-name"),
            (datagram, "udp://198.51.100.7:7", twisted.CannotListenError, "cannot-listen"),
        )
        for entry, url, kind, cause in rows:
            endpoint = entry(self.reactor, url)
            opening = (endpoint.connect if entry is client else endpoint.listen)(Recorders())
            error: Any = await self.assertFailure(opening, kind)
            self.assertIsInstance(error, TransportError, url)
            self.assertEqual(error.cause, cause, url)
            self.assertTrue(error.summary.startswith(f"{url}: "), error.summary)
            self.assertTrue(error.remedy, url)
            # Its traceback holds the socket that Twisted leaves to be collected.
            del error
        self.flushWarnings()

    async def test_a_factory_that_builds_none_is_told(self) -> None:
        """A factory whose buildProtocol() returns None ends the attempt as Twisted's NoProtocol."""
        port = await self.listening("tcp://127.0.0.1:0", Recorders())
        connecting = txtransport.client(self.reactor, f"tcp://127.0.0.1:{port}").connect(Refusing())
        error: Any = await self.assertFailure(connecting, twisted.NoProtocol)
        self.assertEqual(error.cause, "no-protocol")

    async def test_a_process_without_descriptors_is_told(self) -> None:
        """With no descriptor left, connecting and listening fail with that cause."""
        client, server, datagram = txtransport.client, txtransport.server, txtransport.datagram
        rows: tuple[tuple[Any, str, int], ...] = (
            (client, "tcp://127.0.0.1:1", 0),
            (client, "unix:///nonexistent", 0),
            (server, "tcp://127.0.0.1:0", 0),
            # One for the socket, and none for the reactor, which duplicates it.
            (server, "tcp://127.0.0.1:0", 1),
            (server, f"unix://{self.socket_path()}", 0),
            (datagram, "udp://127.0.0.1:0", 0),
        )
        for entry, url, spare in rows:
            endpoint: Any = entry(self.reactor, url)
            opening = endpoint.connect if entry is client else endpoint.listen
            with no_more_descriptors(spare):
                waiting = opening(Recorders())
            error: Any = await self.assertFailure(waiting, TransportError)
            self.assertEqual(error.cause, "too-many-files", url)
            self.assertTrue(error.summary.startswith(url), error)
            if entry is not client:
                self.assertIsInstance(error, twisted.CannotListenError, url)
                self.assertEqual(error.socketError.errno, errno.EMFILE)

    async def told(self, opening: Any) -> tuple[str, bool, str]:
        """Cause, permanence and text of the error that it fails with."""
        error: Any = await self.assertFailure(opening, NetworkError)
        return error.cause, error.permanent, str(error)

    async def test_what_is_in_a_local_server_s_way_is_told(self) -> None:
        """A server at a path is told of another server, a lock, a file or a missing folder."""
        path = self.socket_path()
        await self.listening(f"unix://{path}", Recorders())
        os.symlink(str(os.getppid()), f"{path}-held.lock")
        os.symlink("nonsense", f"{path}-damaged.lock")
        os.mkdir(f"{path}-folder.lock")
        Path(f"{path}-file").write_text("precious")
        for place, cause, words in (
            (path, "port-taken", f"{path}: that path is taken"),
            (path, "port-taken", "readlink PATH.lock"),
            (f"{path}-held", "port-taken", "the lock beside the socket"),
            (f"{path}-file", "port-taken", "by another file (EADDRINUSE)"),
            (f"{path}/below", "cannot-listen", "Does the folder exist"),
            (f"{path}-no/below", "cannot-listen", "Does the folder exist"),
            (f"{path}-damaged", "cannot-listen", "PATH.lock"),
            (f"{path}-folder", "cannot-listen", "PATH.lock"),
        ):
            endpoint = txtransport.server(self.reactor, f"unix://{place}")
            found = await self.told(endpoint.listen(Recorders()))
            self.assertEqual(found[:2], (cause, True), place)
            self.assertIn(words, found[2])
        # Twisted leaves the socket that it could not bind to be collected.
        gc.collect()
        self.flushWarnings()

    async def test_what_is_wrong_with_a_local_socket_is_told(self) -> None:
        """A client is told of a socket without a server, of another kind, or with a full queue."""
        path = self.socket_path()
        for name, kind in (("left", socket.SOCK_STREAM), ("other", socket.SOCK_DGRAM)):
            with socket.socket(socket.AF_UNIX, kind) as bound:
                bound.bind(f"{path}-{name}")
                if kind == socket.SOCK_DGRAM:
                    found = await self.told(self.connecting(f"unix://{path}-other"))
                    self.assertEqual(found[:2], ("no-such-socket", True))
                    self.assertIn("of another kind", found[2])
        for url in (f"unix://{path}-left", f"unix://@txtransport-{id(self)}"):
            found = await self.told(self.connecting(url))
            self.assertEqual(found[:2], ("refused", False))
            self.assertIn("no server listens at that local socket", found[2])
            self.assertNotIn("firewall", found[2])
        if "Poll" not in type(self.reactor).__name__:
            # select(2) does not tell that the queue is full: Twisted then tries again until
            # there is space, or until the attempt's deadline.
            return
        with socket.socket(socket.AF_UNIX) as full, socket.socket(socket.AF_UNIX) as first:
            full.bind(f"{path}-full")
            full.listen(0)
            first.connect(f"{path}-full")
            found = await self.told(self.connecting(f"unix://{path}-full"))
            self.assertEqual(found[:2], ("queue-full", False))

    def connecting(self, url: str) -> Deferred[Any]:
        """A client's attempt to connect."""
        return txtransport.client(self.reactor, url).connect(Recorders())

    async def test_a_broadcast_names_its_option(self) -> None:
        """To send to a broadcast address without so_broadcast names the option."""
        endpoint = txtransport.datagram(self.reactor, "udp://255.255.255.255:1")
        found = await self.told(endpoint.connect(DatagramProtocol()))
        self.assertEqual(found[:2], ("not-permitted", True))
        self.assertIn("so_broadcast=yes", found[2])

    async def test_a_link_local_address_needs_an_interface_of_this_machine(self) -> None:
        """Without an interface, and with one that is not there, each endpoint says so."""
        for host, cause, words in (
            ("[fe80::1]", "zone-missing", "[fe80::1%25eth0]"),
            ("[fe80::1%25nope]", "no-such-interface", "no such network interface"),
        ):
            for opening in (
                self.connecting(f"tcp://{host}:1"),
                txtransport.server(self.reactor, f"tcp://{host}:0").listen(Recorders()),
                txtransport.datagram(self.reactor, f"udp://{host}:1").connect(DatagramProtocol()),
            ):
                found = await self.told(opening)
                self.assertEqual(found[:2], (cause, True))
                self.assertIn(words, found[2])
        gc.collect()
        self.flushWarnings()

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
