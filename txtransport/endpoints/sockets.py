"""Socket options to sockets: what to set, and sockets on which it is set."""

from __future__ import annotations

import errno
import socket
import struct
from typing import Any, Final

from attrs import frozen

from txtransport.config.address import is_ipv6
from txtransport.config.settings import SocketOptions
from txtransport.connection.tcp_info import socket_of
from txtransport.errors import InvalidOption


@frozen
class SocketSetting:
    """One option to be set on a socket.

    Attributes:
        name: The option's, for people.
        level: As ``socket.setsockopt`` takes it, and so are the others.
        number: The option.
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
    """What to set on a socket.

    Args:
        options: As read from the URL.
        kind: ``SOCK_STREAM`` or ``SOCK_DGRAM``, which has nothing of TCP.

    Raises:
        InvalidOption: This system does not have one of them.
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
    """Sets the options of a transport's socket.

    Attributes:
        settings: What to set.
    """

    settings: tuple[SocketSetting, ...]

    def __call__(self, transport: object) -> None:
        """Set them on the socket of `transport`, if it has one.

        Raises:
            OSError: The system refuses; the connection must not be used.
        """
        handle = socket_of(transport)
        if isinstance(handle, socket.socket):
            set_options(handle, self.settings)


def set_options(handle: socket.socket, wanted: tuple[SocketSetting, ...]) -> None:
    """Set options on a socket.

    Raises:
        OSError: The system refuses one of them; the text names it.
    """
    for setting in wanted:
        try:
            handle.setsockopt(setting.level, setting.number, setting.value)
        except OSError as problem:
            text = f"{setting.name} cannot be set: {problem.strerror}"
            raise OSError(problem.errno, text) from problem


def refuse_other_family(host: str, bindto: tuple[str, int] | None) -> None:
    """Refuse a local address from which none of the host's can be reached.

    Args:
        host: An address.
        bindto: The option.

    Raises:
        InvalidOption: They are not of the same family.
    """
    if bindto is not None and is_ipv6(bindto[0]) != is_ipv6(host):
        raise InvalidOption(
            "bindto", f"bindto={bindto[0]} and {host} are not of the same address family"
        )


def refuse_ipv6_alone(host: str, options: SocketOptions) -> None:
    """Refuse ``ipv6_v6only`` where there is no IPv6.

    Args:
        host: An address, or ``*`` for every one.
        options: As read from the URL.

    Raises:
        InvalidOption: The option is on, and the address is IPv4's.
    """
    if options.ipv6_v6only and host != "*" and not is_ipv6(host):
        raise InvalidOption(
            "ipv6_v6only", f"ipv6_v6only=yes is for IPv6 addresses, and {host} is not one"
        )


def bind_socket(
    host: str, port: int, kind: socket.SocketKind, options: SocketOptions
) -> socket.socket:
    """A socket that is bound to an address, and not listening yet.

    Args:
        host: An address, without brackets, or ``*`` for every one.
        port: 0 to 65535, 0 being any.
        kind: ``SOCK_STREAM`` or ``SOCK_DGRAM``.
        options: Are set before it is bound, since some must be.

    Raises:
        OSError: It cannot be had.
    """
    if host != "*":
        return _bind_socket(host, port, kind, options)
    try:
        return _bind_socket("::", port, kind, options)
    except OSError as problem:
        # A machine without IPv6 has IPv4 only; any other trouble, such as a
        # port in use, is no reason to listen on half.
        if problem.errno not in _NO_IPV6 or options.ipv6_v6only:
            raise
    return _bind_socket("0.0.0.0", port, kind, options)


# IPv6 is not built in, or switched off.
_NO_IPV6: Final = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL})


def socket_address(host: str, port: int, kind: socket.SocketKind) -> tuple[Any, ...]:
    """An address as a socket takes it.

    Args:
        host: An address, perhaps with a zone, whose name is resolved to its number.
        port: 0 to 65535.
        kind: ``SOCK_STREAM`` or ``SOCK_DGRAM``.

    Raises:
        OSError: There is no such zone.
    """
    # No look-up is made for what is numeric.
    found = socket.getaddrinfo(host, port, type=kind, flags=socket.AI_NUMERICHOST)
    return found[0][4]


def _bind_socket(
    host: str, port: int, kind: socket.SocketKind, options: SocketOptions
) -> socket.socket:
    family = socket.AF_INET6 if is_ipv6(host) else socket.AF_INET
    made = socket.socket(family, kind)
    try:
        made.setblocking(False)
        if kind is socket.SOCK_STREAM:
            # A port that was just closed can be had again at once.
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if options.so_reuseport:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            # Said either way: what holds otherwise differs between systems.
            only = int(bool(options.ipv6_v6only))
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only)
        set_options(made, socket_settings(options, kind))
        made.bind(socket_address(host, port, kind))
    except BaseException:
        made.close()
        raise
    return made
