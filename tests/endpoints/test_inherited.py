"""Sockets that were open before: ``fd://3`` and ``systemd://NAME``."""

from __future__ import annotations

import os
import socket
import stat
import tempfile
from collections.abc import Callable
from typing import Any, cast

from attrs import frozen
from twisted.internet.address import UNIXAddress
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError, InvalidAddressError
from twisted.internet.protocol import DatagramProtocol
from twisted.trial.unittest import SynchronousTestCase

import txtransport
from tests import certificates
from tests.loopback import LoopbackTestCase, Recorder, Recorders
from txtransport import InvalidOption, InvalidTransport, TransportURL
from txtransport.endpoints import inherited
from txtransport.endpoints.network_errors import NetworkError


@frozen
class Passed:
    """What Twisted's endpoint systemd:…:index=N tells of a descriptor."""

    fileno: int


class InheritedTestCase(LoopbackTestCase):
    """Makes sockets as a parent process would, and names them."""

    def passed(self, made: socket.socket) -> int:
        """The number of a descriptor of a socket, which the test's end closes if need be."""
        number = os.dup(made.fileno())
        self.addCleanup(self._close, number, os.fstat(number).st_ino)
        return number

    @staticmethod
    def _close(number: int, inode: int) -> None:
        try:
            if os.fstat(number).st_ino == inode:
                os.close(number)
        except OSError:
            pass

    def tcp(self, host: str = "127.0.0.1", backlog: int = 5) -> socket.socket:
        """A listening TCP socket."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        made = socket.create_server((host, 0), family=family, backlog=backlog)
        self.addCleanup(made.close)
        return made

    def local(self, mode: int = 0o640) -> tuple[socket.socket, str]:
        """A listening local socket, and its path."""
        path = self.socket_path()
        made = socket.socket(socket.AF_UNIX)
        self.addCleanup(made.close)
        made.bind(path)
        os.chmod(path, mode)
        made.listen(5)
        return made, path

    def udp(self, host: str = "127.0.0.1", port: int = 0) -> socket.socket:
        """A bound UDP socket."""
        made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(made.close)
        made.bind((host, port))
        return made

    def systemd(self, **sockets: list[socket.socket]) -> None:
        """Pass sockets by names, as systemd does."""
        names, numbers = [], []
        for name, made in sockets.items():
            for each in made:
                names.append(name)
                numbers.append(self.passed(each))
        self.patch(os, "environ", {"LISTEN_FDNAMES": ":".join(names)})

        def from_string(reactor: object, text: str) -> Passed:
            self.assertTrue(text.startswith("systemd:UNIX:index="))
            return Passed(numbers[int(text.rpartition("=")[2])])

        self.patch(inherited, "serverFromString", from_string)
        self.patch(inherited, "_identities", {})

    def refusal(self, url: str, make: Callable[..., object] | None = None, **options: Any) -> str:
        """The text of the error about a URL."""
        make = make or txtransport.server
        error = self.assertRaises(InvalidTransport, make, self.reactor, url, **options)
        self.assertTrue(str(error).startswith(f"{url}: "), error)
        return str(error)

    async def serve(self, url: str, factory: Recorders, **options: Any) -> Any:
        """Listen until the test is over."""
        port = await txtransport.server(self.reactor, url, **options).listen(factory)
        self.addCleanup(port.stopListening)
        return port


class StreamTests(InheritedTestCase):
    """Servers."""

    async def test_a_descriptor_is_listened_at(self) -> None:
        """fd://N accepts the connections of that socket, with TCP_NODELAY."""
        made, factory = self.tcp(), Recorders()
        serving = factory.next()
        port = await self.serve(f"fd://{self.passed(made)}", factory)
        self.assertEqual(port.getHost().port, made.getsockname()[1])
        await self.connected(f"tcp://127.0.0.1:{made.getsockname()[1]}")
        served = await serving
        self.addCleanup(self.end, served)
        assert served.transport is not None
        plain: Any = served.transport
        self.assertTrue(plain.getTcpNoDelay())

    async def test_tls_over_a_descriptor(self) -> None:
        """tls+fd://N: verified, with the limits of any server."""
        made, factory = self.tcp(), Recorders()
        serving = factory.next()
        url = f"tls+fd://{self.passed(made)}"
        await self.serve(
            url, factory, local_cert=certificates.site(), max_connections=1, max_per_ip=1
        )
        number = made.getsockname()[1]
        ours = await self.connected(f"tls://localhost:{number}", cafile=certificates.cafile())
        self.addCleanup(self.end, await serving)
        session = txtransport.session_of(ours.transport)
        assert session is not None
        self.assertTrue(session.verified)

    async def test_a_balancer_s_header(self) -> None:
        """Behind a balancer the client's address is known, on local sockets as well."""
        local, path = self.local(0o600)
        remote = self.tcp()
        for made, url in (
            (local, f"unix://{path}"),
            (remote, f"tcp://127.0.0.1:{remote.getsockname()[1]}"),
        ):
            factory = Recorders()
            serving = factory.next()
            await self.serve(
                f"fd://{self.passed(made)}", factory,
                proxy_protocol="v1", proxy_from="unix,127.0.0.1", max_per_ip=5,
            )  # fmt: skip
            ours = await self.connected(url)
            ours.say(b"PROXY TCP4 192.0.2.9 192.0.2.10 1 2\r\nhello")
            served = await serving
            await served.heard(b"hello")
            plain: Any = served.transport
            self.assertEqual(plain.getPeer().host, "192.0.2.9")

    async def test_sockets_of_one_name_listen_together(self) -> None:
        """systemd://NAME is every socket of that name, and of no other."""
        mine, yours = [self.tcp(), self.tcp()], self.tcp()
        self.systemd(web=mine, other=[yours])
        factory = Recorders()
        port = await self.serve("systemd://web", factory)
        for each in mine:
            serving = factory.next()
            await self.connected(f"tcp://127.0.0.1:{each.getsockname()[1]}")
            self.addCleanup(self.end, await serving)
        self.assertEqual(factory.built, 2)
        port.pauseProducing()
        port.resumeProducing()

    async def test_a_name_may_have_sockets_of_both_kinds(self) -> None:
        """Streams and datagrams of one unit (DNS): each endpoint takes its own."""
        self.systemd(dns=[self.tcp(), self.udp()])
        port = await self.serve("systemd://dns", Recorders())
        self.assertEqual(port.getHost().type, "TCP")
        listening = txtransport.datagram(self.reactor, "systemd://dns").listen(DatagramProtocol())
        other: Any = await listening
        self.addCleanup(other.stopListening)
        self.assertEqual(other.getHost().type, "UDP")
        # The numbers are given anew, and are not taken for sockets of that name.
        _files = [self.tcp(), self.tcp()]
        self.assertIn("an endpoint listens already", self.refusal("systemd://dns"))

    async def test_a_local_socket_keeps_its_rights_its_queue_and_its_file(self) -> None:
        """Twisted's own adoption makes it 0666, and removes the file in the end."""
        made, path = self.local(0o640)
        factory = Recorders()
        serving = factory.next()
        port = await txtransport.server(self.reactor, f"fd://{self.passed(made)}").listen(factory)
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o640)
        self.assertEqual(cast(UNIXAddress, port.getHost()).name, os.fsencode(path))
        ours = await self.connected(f"unix://{path}")
        self.addCleanup(self.end, await serving)
        ours.say(b"hello")
        await self.stop(port)
        self.assertTrue(os.path.exists(path))
        # The parent goes on listening, for the next start of the service.
        made.settimeout(5)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
            made.accept()[0].close()

    async def test_the_parent_s_socket_goes_on_listening(self) -> None:
        """What stops is our part: the socket is not shut down for those who hold it."""
        made = self.tcp()
        endpoint = txtransport.server(self.reactor, f"fd://{self.passed(made)}")
        await self.stop(await endpoint.listen(Recorders()))
        made.settimeout(5)
        with socket.create_connection(made.getsockname()):
            made.accept()[0].close()

    async def test_a_blocking_socket_does_not_block_the_reactor(self) -> None:
        """systemd passes blocking sockets (NonBlocking=no): accept(2) would wait."""
        made = self.tcp()
        made.setblocking(True)
        await self.serve(f"fd://{self.passed(made)}", Recorders())
        self.assertFalse(os.get_blocking(made.fileno()))

    async def test_the_descriptor_is_ours_from_then_on(self) -> None:
        """It is closed when the reactor has one of its own, as Twisted does."""
        number = self.passed(self.tcp())
        await self.serve(f"fd://{number}", Recorders())
        self.assertRaises(OSError, os.fstat, number)

    async def test_standard_input_stays_taken(self) -> None:
        """inetd's wait passes descriptor 0; the next file must not become standard input."""
        made = self.tcp()
        kept = os.dup(0)
        self.addCleanup(os.close, kept)
        self.addCleanup(os.dup2, kept, 0)
        os.dup2(made.fileno(), 0)
        await self.serve("fd://0", Recorders())
        self.assertTrue(os.path.samestat(os.fstat(0), os.stat(os.devnull)))

    async def test_it_is_listened_at_once(self) -> None:
        """A second listen() would take whatever has that number by then."""
        number = self.passed(self.tcp())
        endpoint = txtransport.server(self.reactor, f"fd://{number}")
        twin = txtransport.server(self.reactor, f"fd://{number}")
        port = await endpoint.listen(Recorders())
        self.addCleanup(port.stopListening)
        # Another listening socket has the number now.
        os.dup2(self.tcp().fileno(), number)
        for each in (endpoint, twin):
            error = self.failureResultOf(each.listen(Recorders()), CannotListenError).value
            self.assertIsInstance(error, NetworkError)
            self.assertIn("is not there any more (EBADF). It can be listened at once", str(error))

    async def test_all_or_none(self) -> None:
        """If one socket of a name cannot be had, none of them is listened at."""
        one, other = self.tcp(), self.tcp()
        self.systemd(web=[one, other])
        endpoint = txtransport.server(self.reactor, "systemd://web")
        self.patch(inherited.InheritedSocket, "close", None)
        adopted: list[Any] = []
        adopt = self.reactor.adoptStreamPort

        def failing(number: int, family: int, factory: Any) -> Any:
            if adopted:
                raise OSError(24, "Too many open files")
            adopted.append(adopt(number, family, factory))
            return adopted[0]

        self.patch(self.reactor, "adoptStreamPort", failing)
        self.failureResultOf(endpoint.listen(Recorders()), CannotListenError)
        await self.turn()
        self.assertFalse(adopted[0].connected)


class RefusalTests(InheritedTestCase):
    """A descriptor may be anything; what cannot be listened at is an error of server()."""

    def test_a_connection_is_refused_with_what_to_do(self) -> None:
        """Accept=yes passes connections."""
        for pair in (socket.socketpair(), self._connection()):
            for each in pair:
                self.addCleanup(each.close)
            text = self.refusal(f"fd://{self.passed(pair[0])}")
            self.assertIn("is a connection", text)
            self.assertIn("Accept=no", text)
            self.assertIn("over=stdio%3A", text)

    def _connection(self) -> tuple[socket.socket, socket.socket]:
        made = self.tcp()
        return socket.create_connection(made.getsockname()), made.accept()[0]

    def test_a_connection_among_the_sockets_of_a_name_is_refused(self) -> None:
        """Not even the others of that name are listened at."""
        pair = self._connection()
        for each in pair:
            self.addCleanup(each.close)
        self.systemd(web=[self.tcp(), pair[0]])
        self.assertIn("is a connection", self.refusal("systemd://web"))

    def test_what_does_not_listen_is_refused(self) -> None:
        """A socket that is only bound, a closed descriptor, a file."""
        bound = socket.socket()
        self.addCleanup(bound.close)
        bound.bind(("127.0.0.1", 0))
        self.assertIn("does not listen", self.refusal(f"fd://{self.passed(bound)}"))
        self.assertIn("is not open", self.refusal("fd://987654"))
        with tempfile.TemporaryFile() as file:
            self.assertIn("is no socket", self.refusal(f"fd://{file.fileno()}"))

    def test_the_other_kind_is_refused_with_the_right_function(self) -> None:
        """A UDP socket is for datagram(), a TCP socket for server()."""
        text = self.refusal(f"fd://{self.passed(self.udp())}")
        self.assertIn("it is a socket for datagrams; use txtransport.datagram(…)", text)
        text = self.refusal(f"fd://{self.passed(self.tcp())}", txtransport.datagram)
        self.assertIn("it is a socket for streams; use txtransport.server(…)", text)
        url = f"tls+fd://{self.passed(self.udp())}"
        self.refusal(url, local_cert=certificates.site())

    def test_sockets_that_are_not_for_the_internet(self) -> None:
        """Local datagrams, and kinds that no transport is made of."""
        local = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        other = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for made in (local, other):
            self.addCleanup(made.close)
        text = self.refusal(f"fd://{self.passed(local)}", txtransport.datagram)
        self.assertIn("a local socket for datagrams", text)
        self.assertIn("of a kind", self.refusal(f"fd://{self.passed(other)}"))

    def test_a_name_that_was_not_passed_lists_those_that_were(self) -> None:
        """The user sees what the unit has called them."""
        self.systemd(http=[self.tcp()], https=[self.tcp(), self.tcp()])
        text = self.refusal("systemd://web")
        self.assertIn(
            "no socket of that name was passed to this process, but 'http', 'https'", text
        )

    def test_nothing_was_passed(self) -> None:
        """Started by hand, or by a shell in between: the message says which."""
        self.assertIn(
            "no socket was passed to this process (LISTEN_PID", self.refusal("systemd://w")
        )
        self.patch(os, "environ", {"LISTEN_PID": "1"})
        self.assertIn("exec", self.refusal("systemd://w"))

    def test_clients_are_refused(self) -> None:
        """What listens connects to nobody."""
        for url in ("fd://3", "tls+fd://3", "systemd://x", "tls+systemd://x"):
            text = self.refusal(url, txtransport.client)
            self.assertIn("hence for servers; a client over a connected socket", text)

    def test_a_limit_by_address_needs_addresses(self) -> None:
        """All clients of a local socket would count as one."""
        made, _ = self.local()
        error = self.assertRaises(
            InvalidOption, txtransport.server, self.reactor, f"fd://{self.passed(made)}",
            max_per_ip=3,
        )  # fmt: skip
        self.assertEqual(error.option, "max_per_ip")

    def test_options_of_a_socket_are_refused(self) -> None:
        """What the parent has settled is not settled again."""
        for name, value in (("backlog", 5), ("so_reuseport", True), ("over", "stdio:"),
                            ("tcp_nodelay", True), ("mode", "0600")):  # fmt: skip
            error = self.assertRaises(
                InvalidOption, txtransport.server, self.reactor, "fd://3", **{name: value}
            )
            self.assertEqual(error.option, name)

    def test_nobody_from_outside_names_a_socket(self) -> None:
        """A stranger's URL has no schemes of this machine."""
        for url in ("fd://3", "tls+fd://3", "systemd://x", "tls+systemd://x"):
            self.assertRaises(InvalidTransport, TransportURL.parse, url, trusted=False)


class Echo(DatagramProtocol):
    """Answers each datagram with itself."""

    is_stopped = False

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        assert self.transport is not None
        self.transport.write(datagram, addr)

    def stopProtocol(self) -> None:
        self.is_stopped = True


class DatagramTests(InheritedTestCase):
    """Datagrams."""

    async def answer(self, made: socket.socket) -> bytes:
        """What the socket's address answers, from that very address."""
        heard: Any = Recorder()

        class Asking(DatagramProtocol):
            def datagramReceived(self, datagram: bytes, addr: Any) -> None:
                heard.dataReceived(datagram)

        host, port = made.getsockname()[:2]
        place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        asking: Any = await txtransport.datagram(self.reactor, f"udp://{place}").connect(Asking())
        self.addCleanup(asking.stopListening)
        asking.write(b"question")
        return bytes(await heard.heard(b"question"))

    async def test_a_descriptor_is_listened_at(self) -> None:
        """datagram("fd://N") receives, and answers from the socket's address."""
        made, echo = self.udp(), Echo()
        number = self.passed(made)
        port: Any = await txtransport.datagram(self.reactor, f"fd://{number}").listen(echo)
        self.addCleanup(port.stopListening)
        self.assertRaises(OSError, os.fstat, number)
        self.assertEqual(await self.answer(made), b"question")

    async def test_both_families_of_a_name(self) -> None:
        """One protocol answers by the socket of the asker's family."""
        four = self.udp()
        six = self.udp("::1")
        self.systemd(dns=[six, four])
        echo = Echo()
        port: Any = await txtransport.datagram(self.reactor, "systemd://dns").listen(echo)
        self.assertEqual(port.getHost().port, six.getsockname()[1])
        for made in (four, six):
            self.assertEqual(await self.answer(made), b"question")
        self.assertRaises(InvalidAddressError, port.write, b"x")
        self.assertRaises(InvalidAddressError, port.write, b"x", ("localhost", 1))
        self.assertRaises(RuntimeError, port.connect, "127.0.0.1", 1)
        port.setBroadcastAllowed(True)
        self.assertTrue(port.getBroadcastAllowed())
        self.assertFalse(echo.is_stopped)
        await port.stopListening()
        self.assertTrue(echo.is_stopped)

    async def test_a_protocol_that_cannot_start(self) -> None:
        """Nothing is left open, and the error is the protocol's own."""

        class Failing(DatagramProtocol):
            def startProtocol(self) -> None:
                raise ZeroDivisionError

        self.systemd(dns=[self.udp("::1"), self.udp()])
        endpoint = txtransport.datagram(self.reactor, "systemd://dns")
        self.failureResultOf(endpoint.listen(Failing()), ZeroDivisionError)
        port: Any = await endpoint.listen(Echo())
        await port.stopListening()

    def test_two_of_one_family_are_refused(self) -> None:
        """An answer could leave by the wrong one."""
        self.systemd(dns=[self.udp(), self.udp()])
        text = self.refusal("systemd://dns", txtransport.datagram)
        self.assertIn("2 sockets for datagrams have that name", text)

    def test_a_connected_socket_is_refused(self) -> None:
        """It receives from one peer alone."""
        made = self.udp()
        made.connect(self.udp().getsockname())
        text = self.refusal(f"fd://{self.passed(made)}", txtransport.datagram)
        self.assertIn("is a connection", text)

    def test_it_is_not_for_sending(self) -> None:
        """connect() needs somewhere to send to."""
        endpoint = txtransport.datagram(self.reactor, f"fd://{self.passed(self.udp())}")
        error = self.failureResultOf(endpoint.connect(Echo()), InvalidTransport).value
        self.assertIn("is for listening", str(error))


class URLTests(SynchronousTestCase):
    """The form of the URLs."""

    def test_canonical_forms(self) -> None:
        """A number without zeros in front, a name percent-decoded."""
        for written, canonical in (
            ("fd://3", "fd://3"), ("FD://007", "fd://7"), ("tls+fd://0", "tls+fd://0"),
            ("systemd://web.socket", "systemd://web.socket"),
            ("systemd://web@1.socket", "systemd://web@1.socket"),
            ("systemd://a%20b", "systemd://a%20b"), ("tls+systemd://A", "tls+systemd://A"),
        ):  # fmt: skip
            url = TransportURL.parse(written)
            self.assertEqual(str(url), canonical)
            self.assertEqual(TransportURL.parse(canonical), url)
            self.assertEqual((url.host, url.port), ("", None))

    def test_what_is_neither_is_refused(self) -> None:
        """No port, no path, no sign, and nothing is guessed."""
        for text in (
            "fd://", "fd://x", "fd://-1", "fd://+3", "fd://3:80", "fd://3/", "fd://٣", "fd://3&a=b",
            "fd://[3]", "fd://9999999999", "fd://%33", "systemd://", "systemd://a:1",
            "systemd://web:80", "systemd://é", "systemd://a%3Ab", f"systemd://{'a' * 256}",
            "systemd://a%0Ab",
        ):  # fmt: skip
            self.assertRaises(InvalidTransport, TransportURL.parse, text)
        for url in ("fd://3", "systemd://web"):
            error = self.assertRaises(InvalidTransport, TransportURL.parse, url, 80)
            self.assertIn("has no port", str(error))

    def test_a_secret_behind_a_mistyped_separator_is_not_shown(self) -> None:
        """&passphrase= in place of ?passphrase=."""
        for text in ("fd://3&passphrase=hunter2", "tls+systemd://web&passphrase=hunter2"):
            error = self.assertRaises(InvalidTransport, TransportURL.parse, text)
            self.assertNotIn("hunter2", str(error))

    def test_prefixes_of_endpoint_strings(self) -> None:
        """fd, tls+fd and tls+systemd are prefixes; systemd is Twisted's own."""
        for text in ("fd://987654", "transport:fd://987654", "tls+systemd://x?local_cert=y"):
            self.assertRaises((InvalidTransport, InvalidOption), serverFromString, None, text)
