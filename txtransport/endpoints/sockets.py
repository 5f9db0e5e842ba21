"""Sockets with the options of a URL set (`bind_socket`, `OptionSetter`), and their addresses."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Sequence
from typing import Final

from attrs import frozen

from txtransport.config.address import is_ipv6
from txtransport.config.settings import SocketOptions
from txtransport.connection.tcp_info import socket_of
from txtransport.errors import InvalidOption

__all__ = [
    "OptionSetter",
    "SocketSetting",
    "addresses_here",
    "bind_socket",
    "every_address",
    "is_ipv6",
    "refuse_ipv6_alone",
    "refuse_other_family",
    "set_options",
    "socket_address",
    "socket_path",
    "socket_settings",
    "with_local_address",
]


@frozen
class SocketSetting:
    """The arguments of one ``socket.setsockopt``, with the option's name in a URL.

    Attributes:
        name: The option's name, for messages.
        level: For example ``SOL_SOCKET``.
        number: For example ``SO_KEEPALIVE``.
        value: What to set it to.
    """

    name: str
    level: int
    number: int
    value: int | bytes


def _number(name: str) -> int | None:
    return getattr(socket, name, None)


_ROWS: Final = (
    ("so_rcvbuf", socket.SOL_SOCKET, socket.SO_RCVBUF),
    ("so_sndbuf", socket.SOL_SOCKET, socket.SO_SNDBUF),
    ("so_keepalive", socket.SOL_SOCKET, socket.SO_KEEPALIVE),
    ("so_broadcast", socket.SOL_SOCKET, socket.SO_BROADCAST),
    ("tcp_nodelay", socket.IPPROTO_TCP, socket.TCP_NODELAY),
    # Not every system has these, and macOS calls the first TCP_KEEPALIVE.
    ("tcp_keepidle", socket.IPPROTO_TCP, _number("TCP_KEEPIDLE") or _number("TCP_KEEPALIVE")),
    ("tcp_keepintvl", socket.IPPROTO_TCP, _number("TCP_KEEPINTVL")),
    ("tcp_keepcnt", socket.IPPROTO_TCP, _number("TCP_KEEPCNT")),
)


def socket_settings(options: SocketOptions, kind: socket.SocketKind) -> tuple[SocketSetting, ...]:
    """The settings that some options mean for a socket.

    Args:
        options: The options of the URL.
        kind: ``SOCK_STREAM`` or ``SOCK_DGRAM``, for which the options of TCP
            are left out.

    Returns:
        One setting for each option that is on; what is off is left as the
        system has it.

    Raises:
        InvalidOption: This system does not have one of the options.
    """
    found: list[SocketSetting] = []
    for name, level, number in _ROWS:
        wanted = getattr(options, name)
        if not wanted or (level == socket.IPPROTO_TCP and kind is socket.SOCK_DGRAM):
            continue
        if number is None:
            raise InvalidOption(name, f"this system has no {name}")
        found.append(SocketSetting(name, level, number, int(wanted)))
    if options.so_linger is not None:
        value = struct.pack("ii", 1, options.so_linger)
        found.append(SocketSetting("so_linger", socket.SOL_SOCKET, socket.SO_LINGER, value))
    return tuple(found)


@frozen
class OptionSetter:
    """Sets the same options on the socket of each transport that it is called with.

    Attributes:
        settings: What to set.
    """

    settings: tuple[SocketSetting, ...]

    def __call__(self, transport: object) -> None:
        """Set the options on the socket of a transport, if it has one.

        Args:
            transport: Any transport of Twisted's.

        Raises:
            OSError: The system refuses one of them; the connection must not be used.
        """
        handle = socket_of(transport)
        if isinstance(handle, socket.socket):
            set_options(handle, self.settings)


def set_options(handle: socket.socket, wanted: tuple[SocketSetting, ...]) -> None:
    """Set options on a socket.

    Args:
        handle: The socket.
        wanted: What to set, in this order.

    Raises:
        OSError: The system refuses one of them; the text names it.
    """
    for setting in wanted:
        try:
            handle.setsockopt(setting.level, setting.number, setting.value)
        except OSError as problem:
            text = f"{setting.name} cannot be set: {problem.strerror}"
            raise OSError(problem.errno, text) from problem


def refuse_other_family(host: str, bindto: tuple[str, int] | None, where: str) -> None:
    """Raise an exception if a host cannot be reached from the local address of ``bindto``.

    Args:
        host: An address.
        bindto: The local address and port, or None for any.
        where: The endpoint, as messages name it.

    Raises:
        InvalidOption: The two are not of the same address family.
    """
    if bindto is not None and is_ipv6(bindto[0]) != is_ipv6(host):
        raise InvalidOption(
            "bindto",
            f"{where}: bindto={bindto[0]} and {host} are not of the same address family",
        )


def with_local_address(where: str, bindto: tuple[str, int] | None) -> str:
    """An endpoint and the local address that it connects from, for messages.

    Args:
        where: The endpoint, as messages name it.
        bindto: The local address and port, or None for any.
    """
    if bindto is None:
        return where
    host, port = bindto
    return f"{where} from bindto={host}, port {port or 'any'}"


def refuse_ipv6_alone(host: str, options: SocketOptions) -> None:
    """Raise an exception if ``ipv6_v6only`` is on for an IPv4 address.

    Args:
        host: An address, or ``*`` for every address.
        options: The options of the URL.

    Raises:
        InvalidOption: The option is on, and the address is one of IPv4.
    """
    if options.ipv6_v6only and host != "*" and not is_ipv6(host):
        raise InvalidOption(
            "ipv6_v6only", f"ipv6_v6only=yes is for IPv6 addresses, and {host} is not one"
        )


def bind_socket(
    host: str, port: int, kind: socket.SocketKind, options: SocketOptions
) -> socket.socket:
    """A new socket, non-blocking and bound to an address, that does not listen yet.

    Args:
        host: An address without brackets, or ``*`` for every address, of IPv6
            and IPv4 where the system has both, on this one socket.
        port: 0 to 65535; 0 is any.
        kind: ``SOCK_STREAM`` or ``SOCK_DGRAM``.
        options: The options of the URL; they are set before the socket is
            bound, since some have no effect later.

    Raises:
        OSError: The address or port cannot be used, or an option not be set.
    """
    if host == "*":
        host = every_address(options)[0]
    return _bind_socket(host, port, kind, options)


def every_address(options: SocketOptions) -> tuple[str, ...]:
    """The addresses that ``*`` stands for: one for each family that this machine has.

    Args:
        options: The options of the URL; with ``ipv6_v6only`` only IPv6 is meant.
    """
    if options.ipv6_v6only:
        return ("::",)
    return ("::", "0.0.0.0") if _has_ipv6() else ("0.0.0.0",)


def addresses_here(hosts: Sequence[str], options: SocketOptions) -> list[str]:
    """The addresses of a name that this machine can listen at, by their families.

    Many a file of hosts has ``::1 localhost`` on a machine without IPv6.

    Args:
        hosts: All addresses of the name.
        options: The options of the URL; with ``ipv6_v6only`` none is left out.

    Returns:
        Without those of IPv6 if the machine has none and there are others.
    """
    of_ipv4 = [host for host in hosts if not is_ipv6(host)]
    is_mixed = 0 < len(of_ipv4) < len(hosts)
    return of_ipv4 if is_mixed and not options.ipv6_v6only and not _has_ipv6() else list(hosts)


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::", 0))
    except OSError as problem:
        # Any other error must not lead to listening on IPv4 alone: who binds the
        # address in earnest meets it again.
        return problem.errno not in _NO_IPV6
    return True


# The errors of a system on which IPv6 is not built in, or is switched off.
_NO_IPV6: Final = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL})


def socket_address(host: str, port: int, kind: socket.SocketKind) -> tuple[object, ...]:
    """The address of a socket, as ``bind`` and ``connect`` take it.

    Args:
        host: An address; that of IPv6 may have a zone (``%eth0``).
        port: 0 to 65535.
        kind: ``SOCK_STREAM`` or ``SOCK_DGRAM``.

    Returns:
        Address and port; for IPv6 also flow label and number of the zone.

    Raises:
        OSError: There is no such zone.
    """
    # AI_NUMERICHOST: an address is parsed, and nothing is looked up.
    found = socket.getaddrinfo(host, port, type=kind, flags=socket.AI_NUMERICHOST)
    return found[0][4]


def _bind_socket(
    host: str, port: int, kind: socket.SocketKind, options: SocketOptions
) -> socket.socket:
    family = socket.AF_INET6 if is_ipv6(host) else socket.AF_INET
    bound = socket.socket(family, kind)
    try:
        bound.setblocking(False)
        if kind is socket.SOCK_STREAM:
            # Without this, a port that was just closed cannot be bound for a while (TIME_WAIT).
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if options.so_reuseport:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            # Always set, since the default differs between systems.
            only = int(bool(options.ipv6_v6only))
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only)
        set_options(bound, socket_settings(options, kind))
        bound.bind(socket_address(host, port, kind))
    except BaseException:
        bound.close()
        raise
    return bound


def socket_path(path: str) -> str:
    """The path of a local socket, as the system takes it.

    Args:
        path: As in a URL; ``@name`` is an abstract name of Linux (unix(7)).

    Returns:
        The path; an abstract name begins with NUL.
    """
    return f"\0{path[1:]}" if path.startswith("@") else path
