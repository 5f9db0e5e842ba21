"""Socket options: each reaches the system, and what the system refuses has a name."""

from __future__ import annotations

import errno
import socket
from typing import Any, Final

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.memory import End
from txtransport.config.settings import SocketOptions
from txtransport.endpoints import sockets
from txtransport.endpoints.sockets import (
    OptionSetter,
    SocketSetting,
    bind_socket,
    refuse_ipv6_alone,
    refuse_other_family,
    socket_address,
)
from txtransport.errors import InvalidOption

STREAM: Final = socket.SOCK_STREAM
DATAGRAM: Final = socket.SOCK_DGRAM


class SettingsTests(SynchronousTestCase):
    """What is set on a socket, for each option."""

    def names(self, kind: socket.SocketKind = STREAM, **options: Any) -> list[str]:
        """The names of what is set for these options."""
        return [setting.name for setting in sockets.socket_settings(SocketOptions(**options), kind)]

    def test_by_default_only_tcp_nodelay_is_set(self) -> None:
        """A stream sends small writes at once; nothing else is touched."""
        self.assertEqual(
            sockets.socket_settings(SocketOptions(), STREAM),
            (SocketSetting("tcp_nodelay", socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),),
        )
        self.assertEqual(self.names(tcp_nodelay=False), [])

    def test_datagrams_have_nothing_of_tcp(self) -> None:
        """What belongs to TCP is never set on a socket for datagrams."""
        self.assertEqual(self.names(DATAGRAM, so_broadcast=True, so_rcvbuf=1), [
            "so_rcvbuf", "so_broadcast",
        ])  # fmt: skip

    def test_so_linger_0_is_set(self) -> None:
        """``so_linger=0`` means a reset, and is not the same as no ``so_linger``."""
        self.assertEqual(self.names(so_linger=0, tcp_nodelay=False), ["so_linger"])

    def test_an_option_that_the_system_does_not_have_is_refused(self) -> None:
        """What cannot be done is refused, and not left out in silence."""
        row = ("tcp_keepcnt", socket.IPPROTO_TCP, None)
        self.patch(sockets, "_ROWS", (*sockets._ROWS[:-1], row))
        self.assertEqual(self.names(), ["tcp_nodelay"])
        error = self.assertRaises(InvalidOption, self.names, so_keepalive=True, tcp_keepcnt=3)
        self.assertEqual(str(error), "this system has no tcp_keepcnt")


class OptionSetterTests(SynchronousTestCase):
    """Options are set on the socket of a transport."""

    def test_the_refused_option_is_named(self) -> None:
        """The error says which option it was, and keeps the system's number."""
        # Options of TCP, on a socket that is none of TCP's.
        set_options = OptionSetter(sockets.socket_settings(SocketOptions(), STREAM))
        with socket.socket(socket.AF_UNIX) as local:
            error = self.assertRaises(OSError, set_options, TransportWithHandle(local))
        self.assertEqual(error.errno, errno.EOPNOTSUPP)
        self.assertIn("tcp_nodelay cannot be set: ", str(error))

    def test_a_transport_without_a_socket_is_left_alone(self) -> None:
        """Nothing is set on transports in memory, and on other people's."""
        set_options = OptionSetter(sockets.socket_settings(SocketOptions(), STREAM))
        set_options(End(Clock()))
        set_options(TransportWithHandle("no socket"))


class TransportWithHandle:
    """A transport with that for its socket."""

    def __init__(self, handle: object) -> None:
        self._handle = handle

    def getHandle(self) -> object:
        return self._handle


class FamilyTests(SynchronousTestCase):
    """One address family cannot be reached from the other."""

    def test_bindto_and_host_must_be_of_one_family(self) -> None:
        """``bindto`` and the host are both of IPv4 or both of IPv6."""
        for host, local in (("127.0.0.1", "127.0.0.2"), ("::1", "::1"), ("fe80::1%1", "::1")):
            refuse_other_family(host, (local, 0), "tcp://h:1")
            refuse_other_family(host, None, "tcp://h:1")
        for host, local in (("127.0.0.1", "::1"), ("::1", "127.0.0.1")):
            error = self.assertRaises(
                InvalidOption, refuse_other_family, host, (local, 0), "tcp://h:1"
            )
            self.assertEqual(error.option, "bindto")
            self.assertIn(f"tcp://h:1: bindto={local} and {host}", str(error))

    def test_ipv6_alone_needs_ipv6(self) -> None:
        """``ipv6_v6only`` for an IPv4 address would do nothing, and is refused."""
        only = SocketOptions(ipv6_v6only=True)
        for host in ("*", "::", "::1"):
            refuse_ipv6_alone(host, only)
        refuse_ipv6_alone("127.0.0.1", SocketOptions())
        error = self.assertRaises(InvalidOption, refuse_ipv6_alone, "0.0.0.0", only)
        self.assertEqual(error.option, "ipv6_v6only")


class BindTests(SynchronousTestCase):
    """Sockets that are bound, with their options."""

    def bound(
        self, host: str, port: int = 0, kind: socket.SocketKind = STREAM, **options: Any
    ) -> socket.socket:
        """A bound socket, until the test is over."""
        made = bind_socket(host, port, kind, SocketOptions(**options))
        self.addCleanup(made.close)
        return made

    def flag(self, made: socket.socket, level: int, number: int) -> int:
        """What the system says of an option."""
        return made.getsockopt(level, number)

    def test_an_address_of_either_family_is_bound(self) -> None:
        """An address of either family is bound to, at the port that was asked for."""
        for host, family in (("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)):
            made = self.bound(host)
            self.assertEqual((made.family, made.getsockname()[0]), (family, host))
            port = made.getsockname()[1]
            made.close()
            self.assertEqual(self.bound(host, port).getsockname()[1], port)

    def test_a_star_is_ipv6_and_ipv4(self) -> None:
        """``*`` is IPv6 and IPv4 both, unless IPv4 is refused."""
        for wanted, only in ((None, 0), (False, 0), (True, 1)):
            for host in ("*", "::"):
                made = self.bound(host, ipv6_v6only=wanted)
                self.assertEqual(made.getsockname()[0], "::")
                self.assertEqual(self.flag(made, socket.IPPROTO_IPV6, socket.IPV6_V6ONLY), only)

    def test_a_bound_socket_does_not_block(self) -> None:
        """A socket for a reactor never waits."""
        self.assertFalse(self.bound("127.0.0.1").getblocking())

    def test_a_port_just_closed_can_be_bound_again(self) -> None:
        """A server can be started again at once; datagrams need no such thing."""
        for kind, expected in ((STREAM, 1), (DATAGRAM, 0)):
            made = self.bound("127.0.0.1", kind=kind)
            self.assertEqual(self.flag(made, socket.SOL_SOCKET, socket.SO_REUSEADDR), expected)

    def test_so_reuseport_lets_several_sockets_share_a_port(self) -> None:
        """With ``so_reuseport`` a port is bound twice, and without it is not."""
        for kind in (STREAM, DATAGRAM):
            first = self.bound("127.0.0.1", kind=kind, so_reuseport=True)
            port = first.getsockname()[1]
            self.bound("127.0.0.1", port, kind, so_reuseport=True)
            if kind is STREAM:
                first.listen()
            error = self.assertRaises(OSError, self.bound, "127.0.0.1", port, kind)
            self.assertEqual(error.errno, errno.EADDRINUSE)

    def test_the_options_are_set_on_a_bound_socket(self) -> None:
        """They are set before it listens, so that accepted sockets inherit them (tcp(7))."""
        made = self.bound("127.0.0.1", so_keepalive=True, tcp_keepidle=77)
        self.assertEqual(self.flag(made, socket.IPPROTO_TCP, socket.TCP_NODELAY), 1)
        self.assertEqual(self.flag(made, socket.SOL_SOCKET, socket.SO_KEEPALIVE), 1)
        self.assertEqual(self.flag(made, socket.IPPROTO_TCP, socket.TCP_KEEPIDLE), 77)

    def test_an_address_of_another_machine_is_an_error(self) -> None:
        """Neither such an address nor an unknown zone can be bound to."""
        for host in ("198.51.100.7", "fe80::1%nowhere0"):
            self.assertRaises(OSError, self.bound, host)

    def without_ipv6(self, number: int) -> None:
        """Until the test is over, sockets of IPv6 fail with that error."""
        make = socket.socket

        def made(family: int = -1, *others: Any) -> socket.socket:
            if family == socket.AF_INET6:
                raise OSError(number, "as in the test")
            return make(family, *others)

        self.patch(socket, "socket", made)

    def test_without_ipv6_a_star_is_ipv4(self) -> None:
        """``*`` is every address that there is, and on some machines that is IPv4."""
        for number in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
            self.without_ipv6(number)
            self.assertEqual(self.bound("*").getsockname()[0], "0.0.0.0")
            self.assertRaises(OSError, self.bound, "*", ipv6_v6only=True)
            self.assertRaises(OSError, self.bound, "::")

    def test_no_other_error_leads_to_ipv4_alone(self) -> None:
        """If IPv6 fails because the port is in use, IPv4 is not bound alone."""
        self.without_ipv6(errno.EADDRINUSE)
        self.assertRaises(OSError, self.bound, "*")

    def test_socket_addresses_are_as_the_system_takes_them(self) -> None:
        """Addresses have the form of the socket module, with the number of a zone."""
        self.assertEqual(socket_address("127.0.0.1", 7, DATAGRAM), ("127.0.0.1", 7))
        self.assertEqual(socket_address("::1", 7, STREAM), ("::1", 7, 0, 0))
        number = socket.if_nametoindex("lo")
        self.assertEqual(socket_address("fe80::1%lo", 7, STREAM)[1:], (7, 0, number))
