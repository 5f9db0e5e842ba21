"""Listens on local sockets, whose files have the rights of the URL from the first moment on.

``bind`` makes the socket's file with all rights that the umask of the process leaves, and
Twisted changes them afterwards: in between, everyone could connect whom the umask does not
keep out. So the umask leaves nothing here but what the file's owner may have in the end.
Then the file gets its owner and its group, and only then the other rights.

The new owner may replace the file, and so may, at any moment, the owner of its folder: by a
symbolic link to a file of root's, for example. So both changes are made to the file that
was opened once and is a socket, whatever its name has come to mean, and no link is followed.

The umask is one for the whole process. A file that another thread makes in this moment has
fewer rights than it should have, and never more.
"""

from __future__ import annotations

import contextlib
import errno
import grp
import os
import pwd
import stat
from collections.abc import Callable, Iterator
from typing import Final, cast

from attrs import frozen
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import (
    IListeningPort,
    IProtocolFactory,
    IReactorUNIX,
    IStreamServerEndpoint,
)
from twisted.internet.protocol import ServerFactory
from twisted.python.lockfile import FilesystemLock
from zope.interface import implementer

from txtransport.config.settings import SocketOptions
from txtransport.endpoints.port_group import PortGroup
from txtransport.endpoints.sockets import socket_path
from txtransport.errors import InvalidOption
from txtransport.text import short_repr

__all__ = ["FileRights", "LocalListener", "file_rights", "local_listener"]

_OWNER_ALONE: Final = 0o600
# The largest number of 32 bits means "no change" (chown(2)).
_NO_OWNER: Final = 2**32 - 1
_OPEN_FILES: Final = "/proc/self/fd"


@frozen
class FileRights:
    """Who may connect to a local socket: the owner and the rights of its file.

    Attributes:
        mode: The rights (chmod(2)); who may write may connect (unix(7)).
        user: The number of the owner, or -1 for the process's.
        group: The number of the group, or -1 for the process's.
    """

    mode: int = _OWNER_ALONE
    user: int = -1
    group: int = -1

    @property
    def first_mode(self) -> int:
        """The rights until the file has its owner and its group."""
        return self.mode & _OWNER_ALONE

    def give(self, path: str) -> None:
        """Give a file its owner and group and, after that, its other rights.

        Args:
            path: The file, which has `first_mode`.

        Raises:
            OSError: This process may not do that, or the file is no longer the new socket.
        """
        if not self.has_owner and self.mode == self.first_mode:
            return
        with _the_socket_at(path) as file:
            if self.has_owner:
                os.chown(file, self.user, self.group)
            if self.mode != self.first_mode:
                os.chmod(file, self.mode)

    @property
    def has_owner(self) -> bool:
        """Whether the file is given another owner or group than the process's."""
        return (self.user, self.group) != (-1, -1)


@contextlib.contextmanager
def _the_socket_at(path: str) -> Iterator[str]:
    """A name that stays with the file that is at the path now, which must be a socket."""
    if not _can_name_open_files():
        # `file_rights` has made sure that no more than one change is to be made.
        _require_socket(path, os.lstat(path))
        yield path
        return
    opened = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _require_socket(path, os.fstat(opened))
        # chown(2) and chmod(2) follow this link to the open file itself (proc(5)); fchown(2)
        # and fchmod(2) refuse a descriptor of O_PATH (open(2)), and a socket's file cannot be
        # opened without it.
        yield f"{_OPEN_FILES}/{opened}"
    finally:
        os.close(opened)


def _require_socket(path: str, found: os.stat_result) -> None:
    # With a second name it may be anyone's socket.
    if not stat.S_ISSOCK(found.st_mode) or found.st_nlink != 1:
        raise OSError(errno.ENOTSOCK, "The socket's file was replaced by another", path)


def _can_name_open_files() -> bool:
    return hasattr(os, "O_PATH") and os.path.isdir(_OPEN_FILES)


def file_rights(options: SocketOptions) -> FileRights:
    """The rights that the options mean on this machine.

    Args:
        options: ``mode``, ``user`` and ``group`` of the URL.

    Raises:
        InvalidOption: This machine has no such user or group, or cannot give a file both
            to them and to others.
    """
    mode = _OWNER_ALONE if options.mode is None else options.mode
    rights = FileRights(
        mode,
        _number_of("user", options.user, lambda name: pwd.getpwnam(name).pw_uid),
        _number_of("group", options.group, lambda name: grp.getgrnam(name).gr_gid),
    )
    if rights.has_owner and rights.mode != rights.first_mode and not _can_name_open_files():
        raise InvalidOption(
            "mode", f"mode={mode:04o} is not possible together with user or group on this system: "
            "without /proc and O_PATH (open(2)) the new owner could turn the change of the rights "
            "to another file; leave mode out, or user and group",
        )  # fmt: skip
    return rights


def _number_of(option: str, written: str | None, look_up: Callable[[str], int]) -> int:
    if written is None:
        return -1
    if written.isascii() and written.isdigit():
        if len(written) <= len(str(_NO_OWNER)) and int(written) < _NO_OWNER:
            return int(written)
        raise InvalidOption(option, f"{option}={short_repr(written)}: the number is too large")
    try:
        return look_up(written)
    except KeyError:
        text = f"there is no {option} {short_repr(written)} on this machine"
        raise InvalidOption(option, text) from None


@implementer(IStreamServerEndpoint)
@frozen
class LocalListener:
    """Listens on a local socket.

    Attributes:
        reactor: Listens.
        path: As the system takes it; an abstract name begins with NUL.
        backlog: How many connections may wait in the kernel to be accepted.
        rights: Those of the socket's file; an abstract name has none.
    """

    reactor: IReactorUNIX
    path: str
    backlog: int
    rights: FileRights = FileRights()

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """Listen at the path, with a lock file beside it unless the name is abstract.

        Args:
            protocolFactory: Builds a protocol for each connection.

        Returns:
            Fires with the port. Fails with Twisted's ``CannotListenError``.
        """
        return maybeDeferred(self._listen, protocolFactory)

    def _listen(self, factory: IProtocolFactory) -> IListeningPort:
        # Twisted starts the factory between taking the lock and bind(), hence under our
        # umask. It is started here before, and counts how often: the application's own
        # code does not run there.
        factory.doStart()
        try:
            port = self._bind(factory)
        finally:
            factory.doStop()
        if self._has_file:
            try:
                self.rights.give(self.path)
            except OSError as problem:
                port.stopListening()
                raise CannotListenError(None, self.path, problem) from problem
            # If Twisted started its port again, the file would have other rights.
            return PortGroup((port,))
        return port

    def _bind(self, factory: IProtocolFactory) -> IListeningPort:
        """A port whose file only the process's own user may use, if any."""
        mode = self.rights.first_mode
        try:
            with _umask(0o777 & ~mode):
                # The lock file tells a socket in use from one that a crash has left behind.
                return self.reactor.listenUNIX(
                    self.path, cast(ServerFactory, factory), self.backlog, mode, self._has_file
                )
        except OSError as problem:
            # The lock file could not be written.
            raise CannotListenError(None, self.path, problem) from problem
        except ValueError as problem:
            damaged = OSError(errno.EINVAL, "The lock file names no process")
            raise CannotListenError(None, self.path, damaged) from problem
        except CannotListenError as error:
            if isinstance(error.socketError, str):
                # A process that runs holds the lock, which is no error of the system's.
                taken = OSError(errno.EADDRINUSE, error.socketError)
                raise CannotListenError(None, self.path, taken) from error
            if isinstance(error.socketError, OSError):
                # Twisted took the lock and started the factory before it failed to bind,
                # and undoes neither.
                factory.doStop()
                if self._has_file:
                    FilesystemLock(f"{self.path}.lock").unlock()
            raise

    @property
    def _has_file(self) -> bool:
        return not self.path.startswith("\0")


def local_listener(reactor: IReactorUNIX, path: str, options: SocketOptions) -> LocalListener:
    """An endpoint that listens at a path.

    Args:
        reactor: Listens.
        path: As in a URL; ``@name`` is an abstract name of Linux (unix(7)).
        options: The options of the URL.

    Raises:
        InvalidOption: The rights cannot be set: there is no such user or group, or an
            abstract name, which has no file, was given rights.
    """
    if path.startswith("@"):
        for option in ("mode", "user", "group"):
            if getattr(options, option) is not None:
                raise InvalidOption(
                    option, f"{option} does nothing for {path}: an abstract name has no file, "
                    "and every local user may connect to it",
                )  # fmt: skip
    return LocalListener(reactor, socket_path(path), options.backlog, file_rights(options))


@contextlib.contextmanager
def _umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)
