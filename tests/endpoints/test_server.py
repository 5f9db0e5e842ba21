"""Servers: where they listen, which connections they accept, and what they log."""

from __future__ import annotations

import errno
import os
import socket
import struct
from pathlib import Path
from typing import Any, cast

from twisted.application.strports import service
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.error import CannotListenError, ConnectionRefusedError, DNSLookupError
from twisted.internet.interfaces import IListeningPort, IStreamServerEndpoint
from twisted.internet.protocol import DatagramProtocol, Factory
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import LogLevel
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

import txtransport
from tests import certificates
from tests.loopback import ClockedReactor, LoopbackTestCase, Recorder, Recorders
from txtransport.config.settings import SocketOptions
from txtransport.config.url import TransportURL
from txtransport.endpoints import server as servers
from txtransport.endpoints import sockets
from txtransport.endpoints.port_group import PortGroup
from txtransport.errors import InvalidOption, InvalidTransport, TransportTimeout
from txtransport.testing.devcert import Authority
from txtransport.tls.session import session_of


class URLTests(SynchronousTestCase):
    """A URL that a server cannot listen at is refused before it tries."""

    def test_a_server_needs_a_port(self) -> None:
        """The port may be any, but that must be said."""
        for url in ("tcp://*", "tls://127.0.0.1", "tcp://[::1]"):
            error = self.assertRaises(
                InvalidTransport, txtransport.server, MemoryReactorClock(), url,
                **({"local_cert": certificates.site()} if url.startswith("tls") else {}),
            )  # fmt: skip
            self.assertIn(f"{url}: the port is missing; write {url}:PORT, 0 for any", str(error))

    def test_ipv6_alone_needs_ipv6(self) -> None:
        """``ipv6_v6only`` for an IPv4 address is refused, since it would do nothing."""
        error = self.assertRaises(
            InvalidOption, txtransport.server, MemoryReactorClock(), "tcp://0.0.0.0:0",
            ipv6_v6only=True,
        )  # fmt: skip
        self.assertEqual(error.option, "ipv6_v6only")
        for host in ("*", "[::]", "name"):
            txtransport.server(MemoryReactorClock(), f"tcp://{host}:0", ipv6_v6only=True)

    def test_every_server_endpoint_is_one_of_twisted_s(self) -> None:
        """Whatever takes a server endpoint of Twisted's takes one of these."""
        reactor = MemoryReactorClock()
        cert = f"local_cert={certificates.site()}"
        for url in ("tcp://*:1", "tcp://127.0.0.1:1", "unix:///run/x", f"tls://name:0?{cert}"):
            endpoint = txtransport.server(reactor, url)
            self.assertTrue(verifyObject(IStreamServerEndpoint, endpoint))
            plain = servers.plaintext_endpoint(
                reactor, TransportURL.parse(url), SocketOptions(), 1.0
            )
            self.assertTrue(verifyObject(IStreamServerEndpoint, plain))


class ServerTestCase(LoopbackTestCase):
    """What the tests of this file share."""

    async def port_of(self, url: str, factory: Factory | None = None, **options: Any) -> Any:
        """A listening port, until the test is over."""
        endpoint = txtransport.server(self.reactor, url, **options)
        port: IListeningPort = await endpoint.listen(factory or Recorders())
        self.adopt(port)
        return port

    async def fails(self, url: str, kind: type[Exception], **options: Any) -> Any:
        """The error with which listening fails."""
        endpoint: Any = txtransport.server(self.reactor, url, **options)
        return await self.assertFailure(endpoint.listen(Recorders()), kind)

    async def served(
        self, factory: Recorders, url: str, **options: Any
    ) -> tuple[Recorder, Recorder]:
        """A client, and the server's recorder for it."""
        arriving = factory.next()
        client = await self.connected(url, **options)
        return client, await arriving


class Addressees(Recorders):
    """Recorders that keep the address for which each was built."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[object] = []

    def buildProtocol(self, addr: object) -> Recorder:
        self.addresses.append(addr)
        return super().buildProtocol(addr)


class AddressTests(ServerTestCase):
    """The addresses that a server listens on."""

    async def test_a_star_is_every_address(self) -> None:
        """``*`` is reached over IPv6 and over IPv4."""
        factory = Recorders()
        port = (await self.port_of("tcp://*:0", factory)).getHost().port
        for host in ("[::1]", "127.0.0.1"):
            await self.served(factory, f"tcp://{host}:{port}")

    async def test_a_star_shows_ipv4_clients_as_ipv4(self) -> None:
        """An IPv4 client of ``*`` is 127.0.0.1 for factory and transport, not ::ffff:127.0.0.1."""
        for scheme, ours, theirs in (
            ("tcp", {}, {}),
            ("tls", {"local_cert": certificates.site()}, {"cafile": certificates.cafile()}),
        ):
            factory = Addressees()
            port = (await self.port_of(f"{scheme}://*:0", factory, **ours)).getHost().port
            for host, over in (("127.0.0.1", IPv4Address), ("::1", IPv6Address)):
                url = f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
                _, server = await self.served(factory, url, **theirs)
                for address in (factory.addresses[-1], cast(Any, server.transport).getPeer()):
                    self.assertIsInstance(address, over)
                    self.assertEqual(cast(Any, address).host, host)

    async def test_the_ipv6_wildcard_is_one_socket_of_both(self) -> None:
        """``[::]`` is one socket, at which the system writes IPv4 clients as IPv6 addresses."""
        factory = Recorders()
        port = await self.port_of("tcp://[::]:0", factory)
        self.assertNotIsInstance(port, PortGroup)
        _, server = await self.served(factory, f"tcp://127.0.0.1:{port.getHost().port}")
        self.assertEqual(cast(Any, server.transport).getPeer().host, "::ffff:127.0.0.1")

    async def test_limits_of_a_star_hold_in_both_families_together(self) -> None:
        """A full server accepts on neither address, and then on both again."""
        factory = Recorders()
        port = (await self.port_of("tcp://*:0", factory, max_connections=1)).getHost().port
        await self.served(factory, f"tcp://127.0.0.1:{port}")
        for host in ("[::1]", "127.0.0.1"):
            await self.connected(f"tcp://{host}:{port}")
        await self.turn()
        self.assertEqual(factory.built, 1)
        for built in (2, 3):
            arriving = factory.next()
            await self.end(factory.all[built - 2])
            await arriving
            self.assertEqual(factory.built, built)

    async def test_a_star_stops_in_both_families(self) -> None:
        """When the port has stopped, nothing listens on either address."""
        port = await self.port_of("tcp://*:0")
        number = port.getHost().port
        await self.stop(port)
        for host in ("[::1]", "127.0.0.1"):
            endpoint: Any = txtransport.client(self.reactor, f"tcp://{host}:{number}")
            await self.assertFailure(endpoint.connect(Recorders()), ConnectionRefusedError)

    def binding(self, failing: dict[str, int]) -> list[tuple[str, int]]:
        """Let binding to an address fail as often as said; the list of what was bound to."""
        bind, asked = sockets.bind_socket, []

        def bound(host: str, *arguments: Any) -> socket.socket:
            asked.append((host, arguments[0]))
            if failing.get(host, 0):
                failing[host] -= 1
                raise OSError(errno.EADDRINUSE, "as in the test")
            return bind(host, *arguments)

        self.patch(servers, "bind_socket", bound)
        return asked

    async def test_any_port_is_free_in_both_families(self) -> None:
        """If the port that the system chose is taken in the other family, it chooses again."""
        asked = self.binding({"0.0.0.0": 3})
        port = await self.port_of("tcp://*:0")
        self.assertEqual([host for host, _ in asked], ["::", "0.0.0.0"] * 4)
        self.assertEqual({one.getHost().port for one in port.ports}, {port.getHost().port})

    async def test_choosing_again_comes_to_an_end(self) -> None:
        """If no port is free in both families, listening fails."""
        asked = self.binding({"0.0.0.0": 10**6})
        error = await self.fails("tcp://*:0", CannotListenError)
        self.assertEqual(error.socketError.errno, errno.EADDRINUSE)
        self.assertLess(len(asked), 100)

    async def test_a_port_that_was_asked_for_is_not_chosen_again(self) -> None:
        """A port in use in one family fails, and is not listened on in the other."""
        asked = self.binding({"0.0.0.0": 1})
        number = self.free_port()
        await self.fails(f"tcp://*:{number}", CannotListenError)
        self.assertEqual(asked, [("::", number), ("0.0.0.0", number)])
        await self.port_of(f"tcp://[::1]:{number}")

    def without_ipv6(self) -> None:
        """Take IPv6 from the machine until the test is over."""
        make = socket.socket

        def made(family: int = -1, *others: Any, **keywords: Any) -> socket.socket:
            if family == socket.AF_INET6:
                raise OSError(errno.EAFNOSUPPORT, "as in the test")
            return make(family, *others, **keywords)

        self.patch(socket, "socket", made)

    async def test_without_ipv6_a_star_is_ipv4_alone(self) -> None:
        """On a machine without IPv6 ``*`` is one socket of IPv4."""
        self.without_ipv6()
        port = await self.port_of("tcp://*:0")
        self.assertEqual(port.getHost().host, "0.0.0.0")

    async def test_without_ipv6_a_name_is_its_ipv4_addresses(self) -> None:
        """A file of hosts may have ``::1 localhost`` all the same."""
        await self.turn()
        self.resolving(both=["::1", "127.0.0.1"], six=["::1"])
        self.without_ipv6()
        port = await self.port_of("tcp://both:0")
        self.assertEqual(port.getHost().host, "127.0.0.1")
        for url in ("tcp://six:0", "tcp://both:0?ipv6_v6only=yes"):
            error = await self.fails(url, CannotListenError)
            self.assertEqual(error.socketError.errno, errno.EAFNOSUPPORT)

    async def test_ipv6_v6only_leaves_the_port_free_in_ipv4(self) -> None:
        """With ``ipv6_v6only`` the same port is free for someone else in IPv4."""
        port = (await self.port_of("tcp://*:0?ipv6_v6only=yes")).getHost().port
        other = await self.port_of(f"tcp://127.0.0.1:{port}")
        self.assertEqual(other.getHost().port, port)

    async def test_one_address_is_not_reached_by_another(self) -> None:
        """A server that listens on one address is not reached by another."""
        port = (await self.port_of("tcp://127.0.0.2:0")).getHost().port
        await self.connected(f"tcp://127.0.0.2:{port}")
        endpoint: Any = txtransport.client(self.reactor, f"tcp://127.0.0.1:{port}")
        await self.assertFailure(endpoint.connect(Recorders()), ConnectionRefusedError)

    async def test_port_0_is_any_free_port(self) -> None:
        """Port 0 is any that is free, and the port says which."""
        one, other = [(await self.port_of("tcp://127.0.0.1:0")).getHost().port for _ in range(2)]
        self.assertNotIn(0, (one, other))
        self.assertNotEqual(one, other)

    async def test_an_endpoint_can_listen_several_times(self) -> None:
        """An endpoint is a description, and not the port itself."""
        endpoint = txtransport.server(self.reactor, "tcp://127.0.0.1:0")
        ports = {self.adopt(await endpoint.listen(Recorders())) for _ in range(2)}
        self.assertEqual(len(ports), 2)

    async def test_a_port_in_use_cannot_be_listened_on(self) -> None:
        """A second server is told so, and so is one for every address."""
        port = (await self.port_of("tcp://127.0.0.1:0")).getHost().port
        for host in ("127.0.0.1", "*"):
            error = await self.fails(f"tcp://{host}:{port}", CannotListenError)
            self.assertEqual(error.port, port)
            self.assertEqual(error.socketError.errno, errno.EADDRINUSE)

    async def test_a_port_that_another_socket_listens_on_is_an_error(self) -> None:
        """Two may have bound the same port; only one of them can listen."""
        port = self.free_port()
        bind = sockets.bind_socket

        def bound(*arguments: Any) -> socket.socket:
            made = bind(*arguments)
            rival = bind(*arguments)
            self.addCleanup(rival.close)
            rival.listen()
            return made

        self.patch(servers, "bind_socket", bound)
        error = await self.fails(f"tcp://127.0.0.1:{port}", CannotListenError)
        self.assertEqual(error.socketError.errno, errno.EADDRINUSE)

    async def test_an_address_of_another_machine_is_an_error(self) -> None:
        """Only an address of this machine can be listened on."""
        await self.fails("tcp://198.51.100.7:0", CannotListenError)


class StartTests(ServerTestCase):
    """Listening on a name before the reactor runs, as twistd does."""

    def setUp(self) -> None:
        self.starting = ClockedReactor(self.reactor)
        self.starting.running = False

    def failing_with(self, error: Exception) -> None:
        """Let the system's look-up raise this exception."""

        def getaddrinfo(*arguments: object, **keywords: object) -> None:
            raise error

        self.patch(socket, "getaddrinfo", getaddrinfo)

    def test_a_name_is_bound_before_listen_returns(self) -> None:
        """A port below 1024 is bound while twistd still has the rights, before it drops them."""
        for url in ("tcp://localhost:0", f"tls://localhost:0?local_cert={certificates.site()}"):
            endpoint = txtransport.server(self.starting, url)
            port: Any = self.successResultOf(cast(Any, endpoint.listen(Recorders())))
            self.assertGreater(self.adopt(port), 0)
        receiving: Any = txtransport.datagram(self.starting, "udp://localhost:0")
        self.adopt(self.successResultOf(receiving.listen(DatagramProtocol())))
        self.assertEqual(self.starting.clock.getDelayedCalls(), [])

    def test_twistd_does_not_start_on_a_port_in_use(self) -> None:
        """A service raises CannotListenError at its start, so that twistd exits."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            number = taken.getsockname()[1]
            text = f"transport:tcp\\://localhost\\:{number}"
            starting = service(text, Recorders(), cast(Any, self.starting))
            error = self.assertRaises(CannotListenError, starting.privilegedStartService)
            self.assertIn(f"tcp://localhost:{number}", str(error))

    def test_a_name_without_addresses_fails_at_once(self) -> None:
        """A name that does not exist is an error of the start as well."""
        self.failing_with(socket.gaierror(socket.EAI_NONAME, "Name or service not known"))
        endpoint = txtransport.server(self.starting, "tcp://nowhere:0")
        failure = self.failureResultOf(cast(Any, endpoint.listen(Recorders())), DNSLookupError)
        self.assertIn("tcp://nowhere:0", str(failure.value))

    def test_any_other_exception_of_the_look_up_fails_at_once(self) -> None:
        """What getaddrinfo raises is in the Deferred, and nothing waits for a deadline."""
        self.failing_with(UnicodeError("label too long"))
        endpoint = txtransport.server(self.starting, "tcp://name:0")
        self.failureResultOf(cast(Any, endpoint.listen(Recorders())), UnicodeError)
        self.assertEqual(self.starting.clock.getDelayedCalls(), [])

    def test_a_client_does_not_block_before_the_start(self) -> None:
        """Only what listens must be bound at once: a client waits for the resolver."""
        self.resolving(name=None)
        connecting: Any = txtransport.client(self.starting, "tcp://name:1").connect(Recorders())
        self.assertNoResult(connecting)
        connecting.cancel()
        self.failureResultOf(connecting)


class NameTests(ServerTestCase):
    """Listening on a name."""

    def setUp(self) -> Deferred[None]:  # type: ignore[override]
        """Let the reactor run: before it does, its resolver is not asked."""
        return self.turn()

    async def test_a_name_is_listened_on_at_all_of_its_addresses(self) -> None:
        """Each is reached, at one and the same port, and counts as one port."""
        self.resolving(both=["127.0.0.1", "::1"])
        factory = Recorders()
        port = await self.port_of("tcp://both:0", factory)
        self.assertTrue(verifyObject(IListeningPort, port))
        number = port.getHost().port
        for host in ("[::1]", "127.0.0.1"):
            await self.served(factory, f"tcp://{host}:{number}")
        await self.stop(port)
        for host in ("[::1]", "127.0.0.1"):
            await self.port_of(f"tcp://{host}:{number}")

    async def test_a_name_s_link_local_address_is_bound_in_its_zone(self) -> None:
        """The zone that the resolver found is kept; without one it would be EINVAL."""
        self.resolving(link=["fe80::7%1"])
        error = await self.fails("tcp://link:0", CannotListenError)
        self.assertEqual(error.interface, "fe80::7%1")
        self.assertEqual(error.socketError.errno, errno.EADDRNOTAVAIL)

    async def test_a_full_server_pauses_on_every_address(self) -> None:
        """A full server pauses on every address, and resumes on every address."""
        self.resolving(both=["127.0.0.1", "::1"])
        factory = Recorders()
        port = await self.port_of("tcp://both:0", factory, max_connections=1)
        number = port.getHost().port
        first, _ = await self.served(factory, f"tcp://127.0.0.1:{number}")
        for host in ("[::1]", "127.0.0.1"):
            await self.connected(f"tcp://{host}:{number}")
        first.say(b"still there")
        await factory.all[0].heard(b"still there")
        self.assertEqual(factory.built, 1)
        for count in (1, 2):
            arriving = factory.next()
            await self.end(factory.all[count - 1])
            await arriving
            self.assertEqual(factory.built, count + 1)

    async def test_a_name_with_one_address_has_one_port(self) -> None:
        """A name with one address has one port."""
        self.resolving(one=["127.0.0.1"])
        port = await self.port_of("tcp://one:0")
        self.assertNotIsInstance(port, PortGroup)

    async def test_an_address_that_fails_fails_the_whole_name(self) -> None:
        """If one address cannot be had, the server does not listen on the others."""
        port = (await self.port_of("tcp://[::1]:0")).getHost().port
        self.resolving(both=["127.0.0.1", "::1"])
        await self.fails(f"tcp://both:{port}", CannotListenError)
        await self.turn()
        await self.port_of(f"tcp://127.0.0.1:{port}")

    async def test_a_name_without_addresses_is_twisted_s_error(self) -> None:
        """Twisted's own error says so."""
        self.resolving()
        await self.fails("tcp://nowhere:0", DNSLookupError)

    async def test_a_look_up_that_never_ends_is_given_up(self) -> None:
        """It is given up at a deadline, and can be cancelled before."""
        self.resolving(lost=None)
        clocked = ClockedReactor(self.reactor)
        endpoint = txtransport.server(clocked, "tcp://lost:0")
        listening: Any = endpoint.listen(Recorders())
        clocked.clock.advance(31)
        error: Any = await self.assertFailure(listening, TransportTimeout)
        self.assertEqual(error.stage, "look-up")
        listening = endpoint.listen(Recorders())
        listening.cancel()
        await self.assertFailure(listening, CancelledError)
        self.assertEqual(clocked.clock.getDelayedCalls(), [])


class SocketTests(ServerTestCase):
    """The sockets of a server, and of those that it accepts."""

    async def test_an_accepted_socket_has_the_options(self) -> None:
        """``tcp_nodelay`` is on in the clear and under TLS; the others are as in the URL."""
        tcp, sol = socket.IPPROTO_TCP, socket.SOL_SOCKET
        rows: tuple[tuple[dict[str, Any], int, int, int], ...] = (
            ({}, tcp, socket.TCP_NODELAY, 1),
            ({"tcp_nodelay": False}, tcp, socket.TCP_NODELAY, 0),
            ({"so_keepalive": True}, sol, socket.SO_KEEPALIVE, 1),
            ({"so_keepalive": True, "tcp_keepidle": 77}, tcp, socket.TCP_KEEPIDLE, 77),
            ({"so_keepalive": True, "tcp_keepintvl": 7}, tcp, socket.TCP_KEEPINTVL, 7),
            ({"so_keepalive": True, "tcp_keepcnt": 3}, tcp, socket.TCP_KEEPCNT, 3),
            ({"so_rcvbuf": 20000}, sol, socket.SO_RCVBUF, 40000),
            ({"so_sndbuf": 20000}, sol, socket.SO_SNDBUF, 40000),
        )
        for scheme, ours, theirs in (
            ("tcp", {}, {}),
            ("tls", {"local_cert": certificates.site()}, {"cafile": certificates.cafile()}),
        ):
            for options, level, number, expected in rows:
                factory = Recorders()
                url = f"{scheme}://127.0.0.1"
                port = await self.port_of(f"{url}:0", factory, **ours, **options)
                url = f"{url}:{port.getHost().port}"
                _, server = await self.served(factory, url, **theirs)
                self.assertEqual(server.socket.getsockopt(level, number), expected, options)

    async def test_an_accepted_socket_has_so_linger(self) -> None:
        """``so_linger`` holds for what is accepted, too."""
        factory = Recorders()
        port = await self.port_of("tcp://127.0.0.1:0?so_linger=7", factory)
        _, server = await self.served(factory, f"tcp://127.0.0.1:{port.getHost().port}")
        value = server.socket.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)
        self.assertEqual(struct.unpack("ii", value), (1, 7))

    async def test_so_reuseport_lets_several_servers_share_a_port(self) -> None:
        """With ``so_reuseport`` several processes may share the work."""
        port = (await self.port_of("tcp://127.0.0.1:0?so_reuseport=yes")).getHost().port
        await self.port_of(f"tcp://127.0.0.1:{port}?so_reuseport=yes")
        await self.fails(f"tcp://127.0.0.1:{port}", CannotListenError)

    async def test_the_backlog_is_set(self) -> None:
        """``backlog`` reaches the kernel."""
        port = await self.port_of("tcp://127.0.0.1:0?backlog=7")
        # Of a listening socket, Linux tells the backlog in tcpi_sacked (tcp(7)).
        info = port.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
        self.assertEqual(int.from_bytes(info[28:32], "little"), 7)


class LocalTests(ServerTestCase):
    """Local sockets."""

    async def test_the_file_of_a_local_socket_lives_as_long_as_its_port(self) -> None:
        """The file is there while the server listens, and is then removed."""
        path = self.socket_path()
        factory = Recorders()
        port = await self.port_of(f"unix://{path}", factory)
        client, server = await self.served(factory, f"unix://{path}")
        client.say(b"hello")
        await server.heard(b"hello")
        await self.stop(port)
        self.assertEqual(os.listdir(Path(path).parent), [])

    async def test_an_abstract_name_leaves_no_file(self) -> None:
        """An abstract name leaves no file at all."""
        factory = Recorders()
        await self.port_of(f"unix://@txtransport-{id(self)}", factory)
        await self.served(factory, f"unix://@txtransport-{id(self)}")

    async def test_a_path_in_use_cannot_be_listened_on(self) -> None:
        """A second server on a path, or on a name, is told so."""
        for place in (self.socket_path(), f"@txtransport-{id(self)}"):
            factory = Recorders()
            await self.port_of(f"unix://{place}", factory)
            await self.fails(f"unix://{place}", CannotListenError)
            await self.served(factory, f"unix://{place}")
        # Twisted leaves the socket that it could not bind to be collected.
        self.flushWarnings()

    async def test_the_socket_that_a_crash_left_is_replaced(self) -> None:
        """The socket of a process that is gone is replaced."""
        path = self.socket_path()
        with socket.socket(socket.AF_UNIX) as crashed:
            crashed.bind(path)
        # No process has the highest number (proc(5), pid_max).
        os.symlink("4194304", f"{path}.lock")
        factory = Recorders()
        await self.port_of(f"unix://{path}", factory)
        await self.served(factory, f"unix://{path}")

    async def test_a_file_that_is_no_socket_is_kept(self) -> None:
        """Nothing that might be someone's data is removed, and no lock stays behind."""
        path = self.socket_path()
        Path(path).write_text("precious")
        for _ in range(2):
            error = await self.fails(f"unix://{path}", CannotListenError)
            self.assertIn(path, str(error))
            self.assertEqual(error.socketError.errno, errno.EADDRINUSE)
            # Its traceback holds the socket that Twisted leaves to be collected.
            del error
        self.flushWarnings()
        self.assertEqual(Path(path).read_text(), "precious")
        os.unlink(path)
        self.assertEqual(os.listdir(Path(path).parent), [])
        await self.port_of(f"unix://{path}")

    async def test_a_missing_folder_is_cannot_listen_error(self) -> None:
        """Whatever the reason, it is CannotListenError."""
        error = await self.fails("unix:///nonexistent/folder/socket", CannotListenError)
        self.assertIn("/nonexistent/folder/socket", str(error))


class HandshakeTests(ServerTestCase):
    """Connections whose handshake is never complete."""

    def url(self) -> str:
        """The URL of a server."""
        return f"tls://127.0.0.1:0?local_cert={certificates.site()}"

    async def test_a_silent_client_is_dropped_at_the_deadline(self) -> None:
        """A client that sends nothing is disconnected at the deadline; no protocol is built."""
        factory = Recorders()
        clocked = ClockedReactor(self.reactor)
        port = self.adopt(await txtransport.server(clocked, self.url()).listen(factory))
        silent = [await self.connected(f"tcp://127.0.0.1:{port}") for _ in range(2)]
        silent[1].say(b"\x16\x03")
        telling = self.overheard()
        # Accepted when their deadlines run.
        while len(clocked.clock.getDelayedCalls()) < 2:
            await self.turn()
        clocked.clock.advance(9.9)
        self.assertEqual([one.is_connected for one in silent], [True, True])
        clocked.clock.advance(0.2)
        for one in silent:
            await one.gone()
        self.assertEqual(factory.built, 0)
        self.assertEqual(clocked.clock.getDelayedCalls(), [])
        self.assertEqual([event["log_level"] for event in telling.events], [LogLevel.info] * 2)
        for event in telling.events:
            self.assertIsInstance(event["error"], TransportTimeout)
            self.assertEqual(event["error"].stage, "handshake")
            self.assertEqual(event["cause"], "timeout")

    async def test_a_timeout_shows_the_bytes_of_the_client(self) -> None:
        """Less than the head of a TLS record is shown at the deadline, with what it suggests."""
        for said, advice in ((b"abc", ""), (b"\r\n", ""), (b"\x05\x01\x00", "no proxy")):
            endpoint = txtransport.server(self.reactor, self.url(), handshake_timeout=0.3)
            port = self.adopt(await endpoint.listen(Recorders()))
            telling = self.overheard().next()
            client = await self.connected(f"tcp://127.0.0.1:{port}")
            client.say(said)
            event = await telling
            self.assertEqual((event["cause"], event["error"].received), ("timeout", said))
            self.assertIn(advice, event["diagnosis"].remedy)
            await client.gone()

    def test_the_log_names_the_application(self) -> None:
        """The name in the log is that of the application's factory, with (TLS)."""
        endpoint: Any = txtransport.server(self.reactor, self.url())
        handshake = servers.TLSServerFactory(endpoint.config, Recorders())
        self.assertEqual(handshake.logPrefix(), "Recorders (TLS)")

    def test_the_log_names_the_application_without_tls(self) -> None:
        """Without TLS it is the name of the application's factory alone."""
        endpoint: Any = txtransport.server(self.reactor, "tcp://127.0.0.1:0")
        plain = servers.PlaintextServerFactory(endpoint.config, Recorders())
        self.assertEqual(plain.logPrefix(), "Recorders")

    async def test_a_port_scan_is_logged_for_debugging_only(self) -> None:
        """A client that connects and disconnects is logged at level debug."""
        factory = Recorders()
        port = self.adopt(await txtransport.server(self.reactor, self.url()).listen(factory))
        heard = self.overheard()
        telling = heard.next()
        await self.end(await self.connected(f"tcp://127.0.0.1:{port}"))
        event = await telling
        self.assertEqual(event["log_level"], LogLevel.debug)
        self.assertEqual(event["cause"], "closed")
        self.assertEqual(event["peer"].host, "127.0.0.1")
        self.assertEqual(len(heard.events), 1)
        self.assertEqual(factory.built, 0)

    async def test_a_reset_is_logged_for_debugging_only(self) -> None:
        """So is a client that resets the connection before its ClientHello."""
        port = self.adopt(await txtransport.server(self.reactor, self.url()).listen(Recorders()))
        telling = self.overheard().next()
        client = await self.connected(f"tcp://127.0.0.1:{port}")
        cast(Any, client.transport).abortConnection()
        event = await telling
        self.assertEqual((event["log_level"], event["cause"]), (LogLevel.debug, "closed"))

    async def test_an_exception_of_the_application_is_logged_once(self) -> None:
        """A factory or a protocol that raises is logged once, and the connection ends."""
        heard = self.overheard()
        for mood, count in (("build", 1), ("made", 1), ("none", 0)):
            port = await self.listening(self.url(), Moody(mood))
            heard.events.clear()
            client = await self.connected(f"tls://127.0.0.1:{port}", cafile=certificates.cafile())
            await client.gone()
            self.assertEqual(len(self.flushLoggedErrors()), count)
            self.assertEqual(len(heard.events), 1)


class LongHandshakeTests(ServerTestCase):
    """A handshake with more bytes than Twisted's TLS layer reads from OpenSSL at once."""

    async def test_a_long_list_of_authorities_is_sent_whole(self) -> None:
        """A server that trusts hundreds of authorities can ask its clients for certificates."""
        authorities = [
            Authority.create(f"An authority with a name of usual length, number {number}, here")
            for number in range(450)
        ]
        many = b"".join(
            [certificates.authority().pem, *(authority.pem for authority in authorities)]
        )
        for version in ("1.2", "1.3"):
            port = await self.listening(
                "tls://127.0.0.1:0", Recorders(), local_cert=certificates.site(),
                verify_peer="yes", cafile=certificates.written("many.pem", many),
                max_version=version,
            )  # fmt: skip
            client = await self.connected(
                f"tls://localhost:{port}", cafile=certificates.cafile(),
                local_cert=certificates.client(), timeout=3,
            )  # fmt: skip
            await self.end(client)


class Moody(Factory):
    """A factory that fails, or builds what fails."""

    noisy = False

    def __init__(self, mood: str) -> None:
        self._mood = mood

    def buildProtocol(self, addr: object) -> Any:
        if self._mood == "none":
            return None
        if self._mood == "build":
            raise RuntimeError("build")
        return Broken()


class Broken(Recorder):
    """Fails when it is connected."""

    def connectionMade(self) -> None:
        raise RuntimeError("made")


class StoppingTests(ServerTestCase):
    """A port that is closed while a handshake is under way."""

    async def test_the_factory_stops_after_the_last_handshake(self) -> None:
        """A connection accepted before still gets a protocol from a factory that is not stopped."""
        told: list[str] = []

        class Telling(Recorders):
            def startFactory(self) -> None:
                told.append("start")

            def stopFactory(self) -> None:
                told.append("stop")

            def buildProtocol(self, addr: object) -> Recorder:
                told.append("build")
                return super().buildProtocol(addr)

        factory = Telling()
        url = f"tls://127.0.0.1:0?local_cert={certificates.site()}"
        port = await txtransport.server(self.reactor, url).listen(factory)
        number = cast(Any, port.getHost()).port
        early = await self.connected(f"tcp://127.0.0.1:{number}")
        arriving = factory.next()
        client = await self.connected(f"tls://127.0.0.1:{number}?cafile={certificates.cafile()}")
        await arriving
        await maybeDeferred(port.stopListening)
        self.assertEqual(told, ["start", "build"])
        await self.end(early)
        await self.end(client)
        while "stop" not in told:
            await self.turn()
        self.assertEqual(told, ["start", "build", "stop"])


class ReloadTests(ServerTestCase):
    """Certificates that change while a server runs."""

    async def serial(self, port: int) -> int:
        """The serial number of the certificate that a new client is shown."""
        client = await self.connected(f"tls://127.0.0.1:{port}", cafile=certificates.cafile())
        session = session_of(client.transport)
        assert session is not None
        assert session.peer_certificate is not None
        return session.peer_certificate.serial_number

    async def test_the_next_connection_has_the_new_certificate(self) -> None:
        """A certificate is renewed by replacing its file, and nothing else."""
        file = certificates.issued("renewed.pem", *certificates.NAMES)
        port = await self.listening("tls://127.0.0.1:0", Recorders(), local_cert=file)
        before = await self.serial(port)
        self.assertEqual(await self.serial(port), before)
        certificates.issued("renewed.pem", *certificates.NAMES)
        after = await self.serial(port)
        self.assertNotEqual(after, before)
        self.assertEqual(await self.serial(port), after)

    async def test_a_bad_certificate_file_does_not_stop_the_server(self) -> None:
        """The old one goes on, it is logged once, and the next good one is taken."""
        file = certificates.issued("replaced.pem", *certificates.NAMES)
        port = await self.listening("tls://127.0.0.1:0", Recorders(), local_cert=file)
        before = await self.serial(port)
        heard = self.overheard()
        certificates.written("replaced.pem", b"half a certifica")
        self.assertEqual(await self.serial(port), before)
        self.assertEqual(await self.serial(port), before)
        self.assertEqual(len(heard.events), 1)
        self.assertEqual(heard.events[0]["log_level"], LogLevel.error)
        self.assertIn("replaced.pem", str(heard.events[0]["problem"]))
        certificates.issued("replaced.pem", *certificates.NAMES)
        self.assertNotEqual(await self.serial(port), before)
        self.assertEqual(len(heard.events), 1)

    async def test_open_connections_are_not_disturbed(self) -> None:
        """An open connection goes on, whatever happens to the file."""
        factory = Recorders()
        file = certificates.issued("steady.pem", *certificates.NAMES)
        port = await self.listening("tls://127.0.0.1:0", factory, local_cert=file)
        client, server = await self.served(
            factory, f"tls://127.0.0.1:{port}", cafile=certificates.cafile()
        )
        certificates.issued("steady.pem", *certificates.NAMES)
        await self.serial(port)
        client.say(b"still there")
        await server.heard(b"still there")
